"""Two launched processes tune to answer what one does, up to rounding or by shares to the bit; the main one writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file
from samples.instruct_samples import SETTINGS, articles
from samples.two_processes import run_by, run_by_two

from embargo.models.bases.resolve import open_base
from embargo.models.instruct import exchanges, load_templates, tune_answers
from embargo.models.loading import processes
from embargo.models.tuning.adapters import open_adapter

pytestmark = pytest.mark.slow


def tune_mixed(base, folder, progress=None, **changes):
    made, _ = exchanges(articles(5, seed=4), load_templates())
    return tune_answers(
        base,
        train=made,
        validation=made[:11],
        templates_hash="ab12",
        weights={"understanding": 0.4, "completion": 0.3, "summary": 0.2, "questions": 0.1},
        settings=replace(SETTINGS, **{"dropout": 0.0, "batch_size": 11, "micro_batch": 3} | changes),
        max_answer=16,
        trained_until=None,
        cache_dir=folder,
        progress=progress,
    )


def take_part(base_folder, folder):
    seen = []
    adapter = tune_mixed(open_base(Path(base_folder), name="small"), Path(folder), lambda *at: seen.append(at))
    assert bool(seen) == processes.is_main()
    (Path(folder) / f"found-{processes.rank()}.json").write_text(json.dumps(adapter.identity))


def share_out(base_folder, folder):
    adapter = tune_mixed(open_base(Path(base_folder), name="small"), Path(folder), dropout=0.1, shares=4)
    (Path(folder) / f"found-{processes.rank()}.json").write_text(json.dumps(adapter.identity))


def test_two_processes_give_the_weights_of_one(decoder, tmp_path):
    base = replace(decoder, name="small")
    (tmp_path / "two").mkdir()
    run_by_two(__file__, base.path_or_id, str(tmp_path / "two"))
    alone = tune_mixed(base, tmp_path / "one")
    (folder,) = (tmp_path / "two" / "adapters").iterdir()
    together = open_adapter(folder)
    assert [json.loads((tmp_path / "two" / f"found-{rank}.json").read_text()) for rank in range(2)] == [
        together.identity
    ] * 2
    assert folder.name != alone.path.name, "equal up to rounding is another adapter"
    for one, other in zip(alone.manifest["epochs"], together.manifest["epochs"], strict=True):
        assert other == pytest.approx(one, abs=1e-5)
    expected, found = (load_file(one.path / "adapter_model.safetensors") for one in (alone, together))
    assert expected.keys() == found.keys()
    apart = max(float((expected[key] - found[key]).abs().max()) for key in expected)
    # AdamW divides a gradient by its own size, so that rounding in a small one becomes a part of a step.
    assert apart < 0.01 * SETTINGS.learning_rate
    assert max(float(value.abs().max()) for key, value in found.items() if "lora_B" in key) > SETTINGS.learning_rate


def test_shares_give_the_bits_of_one(decoder, tmp_path):
    base = replace(decoder, name="small")
    (tmp_path / "two").mkdir()
    run_by(2, __file__, base.path_or_id, str(tmp_path / "two"), call="share_out")
    alone = tune_mixed(base, tmp_path / "one", dropout=0.1, shares=4)
    found = [json.loads((tmp_path / "two" / f"found-{rank}.json").read_text()) for rank in range(2)]
    assert found == [alone.identity] * 2
