"""A step that is cut into shares trains the same weights by one process and by several, to the bit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from samples.model_samples import CUTOFF, sentences
from samples.small_bases import small_base
from samples.two_processes import run_by

from embargo.data_loaders.errors import ConfigError
from embargo.models.bases.resolve import open_base
from embargo.models.loading import processes
from embargo.models.methods.settings import TuneSettings
from embargo.models.tuning.adapters import tune

SETTINGS = TuneSettings(
    method="lora", rank=4, dropout=0.2, epochs=2, batch_size=16, learning_rate=1e-2, compute="fp32", shares=4
)
# The last step has two rows, which leaves half of the shares empty.
TEXTS = sentences(34, seed=5)
# More than a block of validation, of which the last is short.
HELD_OUT = sentences(150, seed=6)
CASES = {
    "plain": SETTINGS,
    "qlora": replace(SETTINGS, method="qlora", class_weights=True, micro_batch=3),
    "adalora": replace(SETTINGS, method="adalora"),
    "full": replace(SETTINGS, method="full", learning_rate=1e-4, loss="focal"),
}
MORE = ("qlora", "adalora", "full")


def run(base, folder, settings):
    return tune(
        base,
        train_texts=TEXTS["text"].tolist(),
        train_labels=TEXTS["label"].tolist(),
        validation_texts=HELD_OUT["text"].tolist(),
        validation_labels=HELD_OUT["label"].tolist(),
        settings=settings,
        trained_until=CUTOFF,
        cache_dir=folder,
    )


def take_part(base_folder, folder, *names):
    """What each launched process does; all write down what the tunings gave."""
    base = open_base(Path(base_folder), name="small")
    found = {name: kept(run(base, Path(folder), CASES[name])) for name in names}
    (Path(folder) / f"found-{processes.rank()}.json").write_text(json.dumps(found))


def refuse_together(base_folder, folder):
    """Three processes cannot share four parts."""
    with pytest.raises(ConfigError, match="shares is 4, which 3 processes cannot share evenly"):
        run(open_base(Path(base_folder), name="small"), Path(folder), SETTINGS)


def kept(adapter):
    losses = [[epoch[name].hex() for name in ("train_loss", "validation_loss")] for epoch in adapter.manifest["epochs"]]
    return [adapter.path.name, adapter.identity, losses]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return replace(small_base("bert", tmp_path_factory.mktemp("bert")), name="small")


def together(base, folder, count, *names):
    folder.mkdir()
    run_by(count, __file__, base.path_or_id, str(folder), *names)
    (said,) = {(folder / f"found-{rank}.json").read_text() for rank in range(count)}
    return json.loads(said)


@pytest.mark.slow
def test_two_processes_give_the_bits_of_one(base, tmp_path):
    alone = run(base, tmp_path / "one", SETTINGS)
    assert together(base, tmp_path / "two", 2, "plain") == {"plain": kept(alone)}


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_any_number_of_processes_gives_the_bits_of_one(base, tmp_path, count):
    alone = {name: kept(run(base, tmp_path / "one", CASES[name])) for name in MORE}
    assert together(base, tmp_path / "more", count, *MORE) == alone


@pytest.mark.slow
def test_processes_that_cannot_share_evenly_are_refused(base, tmp_path):
    run_by(3, __file__, base.path_or_id, str(tmp_path), call="refuse_together")


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_step_in_shares_is_the_same_step(base, tmp_path, method):
    settings = replace(SETTINGS, method=method, dropout=0.0, learning_rate=1e-3)
    cut, whole = (run(base, tmp_path, each).manifest["epochs"] for each in (settings, replace(settings, shares=None)))
    assert cut != whole
    for one, other in zip(cut, whole, strict=True):
        assert other == pytest.approx(one, abs=1e-4)


def test_shares_and_blocks_are_dealt_out_whole(monkeypatch):
    rows = np.arange(23)
    monkeypatch.setattr(processes, "count", lambda: 3)
    shares, blocks = [], []
    for rank in range(3):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        shares += processes.own_shares(6)
        blocks.append(processes.blocks_of(rows, 5).tolist())
    assert shares == list(range(6)), "in the order of ranks"
    assert blocks == [[0, 1, 2, 3, 4, 15, 16, 17, 18, 19], [5, 6, 7, 8, 9, 20, 21, 22], [10, 11, 12, 13, 14]]


def test_sums_are_made_in_order(monkeypatch):
    monkeypatch.setattr(processes, "GATHERED_AT_ONCE", 2)
    values = torch.tensor([[1e8, 1.0, 2.0], [-1e8, 2.0, 0.5], [1.0, 1.0, 4.0]])
    expected = (values[0] + values[1]) + values[2]
    assert torch.equal(processes.add_in_order(list(values)), expected)
    assert not torch.equal(expected, values[0] + (values[1] + values[2]))


@pytest.mark.parametrize("shares", [0, 17])
def test_a_number_of_shares_that_no_step_has_is_refused(shares):
    with pytest.raises(ConfigError, match=r"shares must lie between 1 and batch_size \(16\)"):
        replace(SETTINGS, shares=shares)
