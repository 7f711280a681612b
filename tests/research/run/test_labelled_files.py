"""A labelled file is undated: what is read of it serves every world that is made of the same inputs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from embargo.data_loaders.errors import MissingPartError
from embargo.research.config.experiment import load_config
from embargo.research.examples.shipped import example
from embargo.research.progress import Quiet
from embargo.research.run.samples import plan_folds, plan_parts
from embargo.research.run.world import load_inputs, world_of


def test_a_labelled_file_is_read_once_for_all_worlds_of_the_same_inputs(tmp_path: Path) -> None:
    file = tmp_path / "labelled.csv"
    texts = [f"Firm {number} reports {what}" for number in range(30) for what in ("a loss", "a profit", "its results")]
    pd.DataFrame({"text": texts, "label": ["negative", "positive", "neutral"] * 30}).to_csv(file, index=False)
    overrides = ["labels.source='file'", f"labels.path='{file}'", "labels.knowledge_cutoff=2014-12-31"]
    with example("small") as path:
        config, other = (load_config(path, [*overrides, f"seed={seed}"]) for seed in (0, 1))
    inputs = load_inputs(config, Quiet())
    world = world_of(config, inputs)
    folds = plan_folds(config, world)
    first = plan_parts(config, world, folds, Quiet())
    file.unlink()
    again = plan_parts(config, world_of(config, inputs), folds[-1:], Quiet())
    for name in ("train", "validation", "test"):
        pd.testing.assert_frame_equal(getattr(again[0], name), getattr(first[-1], name))
    with pytest.raises(MissingPartError):
        plan_parts(other, world, folds, Quiet())
