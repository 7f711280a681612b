"""The built-in decoder in a run: made of what was known before the first split, then tuned as any other base."""

from __future__ import annotations

import json
from importlib.resources import files

import pandas as pd
import pytest

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.research.config.experiment import Config, load_config
from embargo.research.modelling.tuning import TunePlan, explained, load_tuning, plan_tuning
from embargo.research.progress import Quiet
from embargo.research.run.pipeline import execute
from embargo.research.run.preparation import prepare
from embargo.research.run.reading import with_base

SMALL = files("embargo.research.examples") / "small.toml"
SETTINGS = ["model.kind=transformer", "model.base=tiny-lm", "model.epochs=1", "model.method=lora"]


def test_is_made_of_texts_known_before_the_first_training_ends(tmp_path):
    plan = prepare(load_config(SMALL, SETTINGS), Quiet())
    until = plan.parts[0].fold.train_end
    base = with_base(plan, until, tmp_path, Quiet()).base
    news = plan.world.news
    known = news.loc[news["known_at"] < until]
    assert (base.name, base.kind) == ("tiny-lm", "decoder")
    assert base.knowledge_cutoff == known["known_at"].max() < until
    assert f"on {known['text'].nunique()} texts" in base.source


def test_without_earlier_texts_it_cannot_be_made(tmp_path):
    plan = prepare(load_config(SMALL, SETTINGS), Quiet())
    with pytest.raises(DataError, match=r"model\.base = 'tiny-lm': no text before the first split"):
        with_base(plan, pd.Timestamp("1990-01-01", tz="UTC"), tmp_path, Quiet())


def test_its_settings_are_explained_before_it_is_made():
    config = load_tuning(SMALL, [*SETTINGS, "model.target=attention"])
    assert isinstance(config, Config)
    plan = plan_tuning(config, Quiet())
    assert isinstance(plan, TunePlan)
    told = {row.setting: row.value for row in explained(plan, plan.samples[0])}
    assert told["method"] == "lora"


@pytest.mark.parametrize("overrides", [["model.method=none"], ["model.base={ 2013-12-31 = 'tiny-lm' }"]])
def test_what_it_cannot_be_is_said_at_once(overrides):
    with pytest.raises(ConfigError, match="tiny-lm"):
        load_config(SMALL, [*SETTINGS, *overrides])


@pytest.mark.slow
def test_a_run_tunes_it_and_says_what_it_could_know(tmp_path):
    outcome = execute(load_config(SMALL, SETTINGS), out=tmp_path / "runs", cache=tmp_path / "cache", stages=Quiet())
    for model in json.loads((outcome.folder / "manifest.json").read_text())["models"]:
        assert model["base"] == "tiny-lm"
        assert pd.Timestamp(model["base_knowledge_cutoff"]) < pd.Timestamp(model["knowledge_cutoff"])
