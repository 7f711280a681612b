import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from samples.model_samples import CUTOFF

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.calibration.fitting import calibrated_loss
from embargo.models.loading.load import deterministic, device
from embargo.models.methods.settings import TuneSettings
from embargo.models.scorers.transformer import TransformerScorer
from embargo.models.tuning import adapters, loop
from embargo.models.tuning.adapters import adapted_model, open_adapter, tune
from embargo.models.tuning.loop import Encoded, cosine_rate, epoch_batches

FAST = TuneSettings(epochs=6, batch_size=16, learning_rate=3e-3, compute="fp32", max_length=32)


def run(base, samples, cache_dir, settings=FAST, **changes):
    arguments = {
        "train_texts": samples["train"]["text"].tolist(),
        "train_labels": samples["train"]["label"].tolist(),
        "validation_texts": samples["validation"]["text"].tolist(),
        "validation_labels": samples["validation"]["label"].tolist(),
        "trained_until": CUTOFF,
        "cache_dir": cache_dir,
    }
    return tune(base, settings=settings, **(arguments | changes))


@pytest.fixture(scope="module")
def adapter(tiny_base, samples, cache_dir):
    return run(tiny_base, samples, cache_dir)


def test_learns_what_words_decide(tiny_base, samples, adapter):
    logits = TransformerScorer(tiny_base, adapter).logits(samples["test"]["text"].tolist())
    assert (logits.argmax(axis=1) == samples["test"]["label"]).mean() > 0.85


def test_manifest_says_what_was_seen_and_holds_no_clock(adapter, samples, tiny_base):
    manifest = adapter.manifest
    assert manifest["trained_until"] == CUTOFF.isoformat()
    assert manifest["base"]["weights_hash"] == tiny_base.weights_hash
    assert (manifest["n_train"], manifest["n_validation"]) == (600, 120)
    assert len(manifest["epochs"]) <= FAST.epochs
    assert len(adapter.train_text_hashes) == samples["train"]["text"].nunique()
    best = min(manifest["epochs"], key=lambda epoch: epoch["validation_loss"])
    assert manifest["best_epoch"] == best["epoch"]
    assert json.loads(json.dumps(manifest)) == manifest


def test_same_seed_gives_the_same_bits_whatever_the_order_and_the_ambient_generator(
    tiny_base, samples, adapter, tmp_path
):
    torch.manual_seed(12345)
    before = torch.get_rng_state()
    shuffled = samples | {"train": samples["train"].sample(frac=1, random_state=9)}
    again = run(tiny_base, shuffled, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.are_deterministic_algorithms_enabled()
    assert again.path.name == adapter.path.name
    assert again.identity == adapter.identity
    assert (again.path / "adapter_model.safetensors").read_bytes() == (
        adapter.path / "adapter_model.safetensors"
    ).read_bytes()


def test_second_call_loads_and_a_change_of_anything_tunes_anew(tiny_base, samples, adapter, cache_dir, monkeypatch):
    def refuse(*_arguments, **_names):
        raise AssertionError("tuned again")

    monkeypatch.setattr(adapters, "_train", refuse)
    assert run(tiny_base, samples, cache_dir) == adapter
    flipped = samples["train"]["label"].tolist()
    flipped[0] = (flipped[0] + 1) % 3
    for change in (
        {"train_labels": flipped},
        {"trained_until": None},
        {"settings": replace(FAST, seed=1)},
    ):
        with pytest.raises(AssertionError, match="tuned again"):
            run(tiny_base, samples, cache_dir, **change)


def test_an_adapter_is_opened_from_its_folder(adapter, tmp_path):
    assert open_adapter(adapter.path) == adapter
    with pytest.raises(DataError, match=r"manifest\.json"):
        open_adapter(tmp_path)


def test_a_flipped_byte_in_a_cached_adapter_is_refused(tiny_base, samples, tmp_path):
    short = replace(FAST, epochs=1)
    weights = run(tiny_base, samples, tmp_path, short).path / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(DataError, match="adapter_model"):
        run(tiny_base, samples, tmp_path, short)


@pytest.mark.parametrize("compute", ["fp32", "bf16"])
def test_four_bit_adapters_still_learn_after_an_evaluation(tiny_base, compute):
    # bitsandbytes repacks 4-bit weights in the first evaluation on some CPUs, and gradients stop without an error.
    if compute == "bf16" and not torch.cpu._is_avx512_bf16_supported():
        pytest.skip("bf16 on this CPU is emulated and does not repack")
    with deterministic(0):
        model = adapted_model(tiny_base, replace(FAST, compute=compute), compute)
        ids = torch.randint(5, 50, (8, 16)).to(device())
        labels = torch.arange(8, device=device()) % 3
        for _ in range(2):
            model.train()
            model.zero_grad()
            torch.nn.functional.cross_entropy(model(input_ids=ids).logits.float(), labels).backward()
            gradients = {n: p.grad for n, p in model.named_parameters() if "lora_B" in n}
            assert len(gradients) == 2
            assert all(g is not None and g.abs().sum() > 0 for g in gradients.values())
            model.eval()
            with torch.no_grad():
                model(input_ids=ids)


def test_linear_layers_are_four_bit_and_heads_are_not(tiny_base):
    import bitsandbytes as bnb

    with deterministic(0):
        model = adapted_model(tiny_base, FAST, "fp32")
    packed = {n for n, m in model.named_modules() if isinstance(m, bnb.nn.Linear4bit)}
    assert sum(n.endswith("Wqkv.base_layer") for n in packed) == 2
    assert any("mlp.Wi" in n for n in packed)
    assert not any(".head." in n or "classifier" in n for n in packed)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert all("lora_" in n or ".head." in n or "classifier" in n for n in trained)
    assert any(".head." in n for n in trained), "the checkpoint brings no pooling head, so it must be trained"


def test_adapters_change_in_the_second_epoch(tiny_base, samples, tmp_path):
    one, two = (run(tiny_base, samples, tmp_path, replace(FAST, epochs=n, warmup=0.0)) for n in (1, 2))
    assert two.manifest["best_epoch"] == 2
    first, second = (load_file(a.path / "adapter_model.safetensors") for a in (one, two))
    changed = [name for name in first if "lora_B" in name and not torch.equal(first[name], second[name])]
    assert len(changed) == 2


def test_stops_early_and_keeps_the_best_epoch(tiny_base, samples, tmp_path):
    rng = np.random.default_rng(0)
    noise = samples | {"validation": samples["validation"].assign(label=rng.integers(0, 3, 120))}
    adapter = run(tiny_base, noise, tmp_path, replace(FAST, epochs=12, patience=1))
    losses = [epoch["validation_loss"] for epoch in adapter.manifest["epochs"]]
    assert len(losses) < 12
    scorer = TransformerScorer(tiny_base, adapter)
    logits = scorer.logits(noise["validation"]["text"].tolist())
    kept = calibrated_loss(logits, noise["validation"]["label"].to_numpy())
    assert kept == pytest.approx(min(losses), abs=2e-3)


def test_a_divergence_is_an_error(tiny_base, samples, tmp_path, monkeypatch):
    monkeypatch.setattr(loop.Loop, "_validate", lambda _: float("nan"))
    with pytest.raises(DataError, match="diverged"):
        run(tiny_base, samples, tmp_path)
    assert list((tmp_path / "adapters").iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_texts": [], "train_labels": []}, "no samples"),
        ({"train_labels": [1] * 600}, "needs two classes"),
        ({"train_labels": [3] * 600}, "is not 0"),
        ({"train_labels": [float("nan")] * 600}, "is not 0"),
        ({"train_labels": [0, 1]}, "one label per text"),
        ({"validation_texts": [], "validation_labels": []}, "validation samples: no samples"),
    ],
)
def test_refuses_unusable_samples(tiny_base, samples, tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        run(tiny_base, samples, tmp_path, **changes)


@pytest.mark.parametrize(
    "change",
    [
        {"rank": 0},
        {"learning_rate": 0.0},
        {"warmup": 1.0},
        {"method": "magic"},
        {"compute": "fp16"},
        {"max_length": 4},
        {"micro_batch": 33},
        {"micro_batch": 0},
        {"gamma": -1.0},
        {"loss": "hinge"},
        {"checkpointing": True, "method": "prefix"},
    ],
)
def test_refuses_impossible_settings(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        TuneSettings(**change)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=300), st.integers(1, 40), st.integers(0, 1000))
def test_every_row_comes_once_in_an_epoch(lengths, batch_size, seed):
    part = Encoded([[1] * length for length in lengths], np.zeros(len(lengths), dtype=np.int64))
    batches = list(epoch_batches(part, batch_size, np.random.default_rng(seed)))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert all(len(batch) <= batch_size for batch in batches)
    assert len(batches) == -(-len(lengths) // batch_size)


@given(st.integers(2, 500), st.floats(0, 0.5))
def test_learning_rate_rises_then_falls_to_zero(steps, warmup):
    rates = np.array([cosine_rate(step, steps=steps, warmup=warmup) for step in range(steps + 1)])
    assert ((rates >= 0) & (rates <= 1)).all()
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    peak = rates.argmax()
    assert (np.diff(rates[: peak + 1]) >= 0).all()
    assert (np.diff(rates[peak:]) <= 0).all()


def test_trained_until_is_written_in_utc(tiny_base, samples, adapter):
    scorer = TransformerScorer(tiny_base, adapter)
    assert scorer.knowledge_cutoff == CUTOFF
    assert isinstance(scorer.knowledge_cutoff, pd.Timestamp)
