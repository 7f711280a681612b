import warnings

import pytest
import torch
from samples.model_samples import CUTOFF
from samples.small_bases import small_base
from samples.small_tunings import HELD_OUT, SETTINGS, TEXTS
from torch.nn import Parameter

from embargo.data_loaders.errors import ConfigError
from embargo.models.methods.settings import TuneSettings
from embargo.models.tuning import adapters, loop, optimisers
from embargo.models.tuning.adapters import tune
from embargo.models.tuning.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from embargo.models.tuning.optimisers import make_optimiser, moments, resolve_optimizer, set_moments

NAMES = ("adamw", "paged_adamw_8bit")
pytestmark = pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU:UserWarning")


def parameters(seed=0):
    torch.manual_seed(seed)
    # One large enough for 8-bit moments, one that keeps them in fp32.
    return [Parameter(torch.randn(64, 128)), Parameter(torch.randn(16))]


def walk(optimiser, weights, steps, seed):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=generator) + 0.3
        optimiser.step()
        optimiser.zero_grad()


def made(name, weights):
    return make_optimiser(name, weights, rate=1e-2, weight_decay=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_an_optimiser_goes_on_from_a_checkpoint_to_the_same_bits(name, tmp_path):
    whole = parameters()
    optimiser = made(name, whole)
    walk(optimiser, whole, 3, seed=1)
    tensors = {f"optimiser/{key}": value for key, value in moments(optimiser).items()}
    write_checkpoint(tmp_path / "state", Checkpoint(tensors, {}))
    later = [Parameter(weight.detach().clone()) for weight in whole]
    walk(optimiser, whole, 3, seed=2)
    back = read_checkpoint(tmp_path / "state")
    resumed = made(name, later)
    set_moments(resumed, {key.removeprefix("optimiser/"): value for key, value in back.tensors.items()})
    walk(resumed, later, 3, seed=2)
    assert all(torch.equal(one, other) for one, other in zip(whole, later, strict=True))
    forgotten = [Parameter(weight.detach().clone()) for weight in parameters()]
    walk(made(name, forgotten), forgotten, 3, seed=2)
    assert not torch.equal(forgotten[0], whole[0])


def test_eight_bits_are_one_byte_a_moment_and_come_near_adamw():
    exact, rounded = parameters(), parameters()
    one, other = made("adamw", exact), made("paged_adamw_8bit", rounded)
    start = exact[0].detach().clone()
    for optimiser, weights in ((one, exact), (other, rounded)):
        walk(optimiser, weights, 20, seed=3)
    found = moments(other)
    assert found["0/state1"].dtype == found["0/state2"].dtype == torch.uint8
    assert found["1/state1"].dtype == torch.float32
    assert (exact[0] - rounded[0]).abs().mean() < 0.1 * (exact[0] - start).abs().mean()


def test_auto_is_the_paged_one_for_four_bits_on_a_gpu_only(monkeypatch):
    assert {resolve_optimizer("auto", method) for method in ("qlora", "lora", "full")} == {"adamw"}
    monkeypatch.setattr(optimisers, "device_type", lambda: "cuda")
    assert resolve_optimizer("auto", "qlora") == "paged_adamw_8bit"
    assert resolve_optimizer("auto", "lora") == "adamw"
    assert resolve_optimizer("adamw", "qlora") == "adamw"
    assert resolve_optimizer("paged_adamw_8bit", "full") == "paged_adamw_8bit"


def arguments(folder, **changes):
    return {
        "train_texts": TEXTS["text"].tolist(),
        "train_labels": TEXTS["label"].tolist(),
        "validation_texts": HELD_OUT["text"].tolist(),
        "validation_labels": HELD_OUT["label"].tolist(),
        "trained_until": CUTOFF,
        "cache_dir": folder,
    } | changes


def test_the_paged_one_is_refused_without_a_gpu_before_loading(tmp_path, monkeypatch):
    base = small_base("bert", tmp_path / "bert")
    monkeypatch.setattr(adapters, "load_tokenizer", lambda *_: pytest.fail("loaded"))
    with pytest.raises(ConfigError, match=r"tuning\.optimizer.*no GPU"):
        tune(base, settings=TuneSettings(optimizer="paged_adamw_8bit"), **arguments(tmp_path))
    with pytest.raises(ConfigError, match=r"tuning\.optimizer"):
        TuneSettings(optimizer="sgd")


def test_a_training_in_eight_bits_comes_near_and_its_name_says_so(tmp_path, monkeypatch):
    base = small_base("bert", tmp_path / "bert")
    plain = tune(base, settings=SETTINGS, **arguments(tmp_path))
    for module in (loop, adapters):
        monkeypatch.setattr(module, "resolve_optimizer", lambda *_: "paged_adamw_8bit")
    paged = tune(base, settings=SETTINGS, **arguments(tmp_path))
    assert (plain.manifest["settings"]["optimizer"], paged.manifest["settings"]["optimizer"]) == NAMES
    assert paged.path.name != plain.path.name
    losses = [[epoch["train_loss"] for epoch in adapter.manifest["epochs"]] for adapter in (plain, paged)]
    assert losses[1] == pytest.approx(losses[0], abs=0.01)
    assert losses[1][-1] < losses[1][0]
    assert paged.identity != plain.identity


def test_nothing_warns_about_pages_where_nobody_asked_for_them():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weights = parameters()
        walk(made("adamw", weights), weights, 1, seed=0)
