import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from samples.model_samples import CUTOFF, sentences
from samples.small_bases import small_base
from samples.two_processes import run_by_two

from embargo.models.bases.resolve import open_base
from embargo.models.loading import processes
from embargo.models.methods.settings import TuneSettings
from embargo.models.tuning import loop
from embargo.models.tuning.adapters import open_adapter, tune

pytestmark = pytest.mark.slow

SETTINGS = TuneSettings(method="lora", rank=4, dropout=0.0, epochs=2, batch_size=16, learning_rate=1e-2, compute="fp32")
# One row is left for the last batch: fewer than there are processes.
TEXTS = sentences(33, seed=5)
HELD_OUT = sentences(23, seed=6)
CASES = {
    "qlora": replace(SETTINGS, method="qlora", class_weights=True, micro_batch=3),
    "adalora": replace(SETTINGS, method="adalora"),
    "full": replace(SETTINGS, method="full", learning_rate=1e-4, loss="focal"),
}


def run(base, folder, settings, **changes):
    return tune(
        base,
        train_texts=TEXTS["text"].tolist(),
        train_labels=TEXTS["label"].tolist(),
        validation_texts=HELD_OUT["text"].tolist(),
        validation_labels=HELD_OUT["label"].tolist(),
        settings=settings,
        trained_until=CUTOFF,
        cache_dir=folder,
        **changes,
    )


def take_part(base_folder, folder):
    """What each launched process does; the main one writes down what the tunings gave."""
    base, folder = open_base(Path(base_folder), name="small bert"), Path(folder)
    seen, found = [], {}
    for name, settings in CASES.items():
        adapter = run(base, folder / name, settings, progress=lambda *at: seen.append(at))
        found[name] = (adapter.path.name, adapter.identity)
        again = run(base, folder / name, settings)
        assert again == adapter
    assert bool(seen) == processes.is_main()
    dropping = replace(SETTINGS, dropout=0.2, epochs=3)
    whole = run(base, folder / "whole", dropping)
    one_pass = loop.Loop.one_pass

    def stop_in_third(loop, progress):
        if loop.state.epoch == 2:
            raise KeyboardInterrupt
        one_pass(loop, progress)

    loop.Loop.one_pass = stop_in_third
    try:
        run(base, folder / "stopped", dropping)
        raise AssertionError("was not stopped")
    except KeyboardInterrupt:
        loop.Loop.one_pass = one_pass
    assert run(base, folder / "stopped", dropping).identity == whole.identity, "goes on to other bits"
    (folder / f"found-{processes.rank()}.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return small_base("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def two(base, tmp_path_factory):
    """Folder of what two processes made together, over gloo on the loopback interface."""
    folder = tmp_path_factory.mktemp("two")
    run_by_two(__file__, base.path_or_id, str(folder), timeout=240)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_two_processes_give_the_weights_of_one(base, two, tmp_path, name):
    alone = run(base, tmp_path, CASES[name])
    told = [json.loads((two / f"found-{rank}.json").read_text())[name] for rank in range(2)]
    assert told[0] == told[1], "both processes open the same adapter"
    (folder,) = (two / name / "adapters").iterdir()
    together = open_adapter(folder)
    assert [folder.name, together.identity] == told[0]
    assert folder.name != alone.path.name, "equal up to rounding is another adapter"
    assert together.manifest["key"]["processes"] == 2
    assert "processes" not in alone.manifest["key"]
    assert together.manifest["best_epoch"] == alone.manifest["best_epoch"]
    for one, other in zip(alone.manifest["epochs"], together.manifest["epochs"], strict=True):
        assert other == pytest.approx(one, abs=1e-5)
    (weights,) = [path.name for path in folder.glob("*.safetensors")]
    expected, found = load_file(alone.path / weights), load_file(folder / weights)
    assert expected.keys() == found.keys()
    # The loss does not depend on a key's bias: its gradient is rounding alone, which AdamW scales up to whole steps.
    compared = [key for key in expected if not key.endswith("key.bias")]
    assert max(float((expected[key] - found[key]).abs().max()) for key in compared) < 1e-5


def test_nothing_is_left_behind(two):
    names = {path.name for path in two.rglob("*") if path.name.startswith(".")}
    assert not names
    assert len(list((two / "stopped" / "adapters").iterdir())) == 1


def test_alone_there_is_one_process_and_no_network(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")  # as some clusters set it for jobs of one process
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    assert (processes.count(), processes.rank(), processes.local_rank(), processes.is_main()) == (1, 0, 0, True)
    rows = np.arange(5)
    assert processes.share_of(rows) is rows
    assert processes.told_by_main([3, 4]) == [3, 4]
    tensor = torch.ones(3)
    processes.add_up([tensor])
    processes.take_from_main([tensor])
    processes.wait()
    assert torch.equal(tensor, torch.ones(3))
    assert not torch.distributed.is_initialized()
