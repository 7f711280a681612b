import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from samples.model_samples import CUTOFF
from samples.small_bases import small_base
from samples.small_tunings import HELD_OUT, SETTINGS, TEXTS
from torch.nn import functional

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.calibration.fitting import calibrated_loss
from embargo.models.effort import NOTE
from embargo.models.loading.load import device
from embargo.models.methods.settings import TuneSettings
from embargo.models.scorers.transformer import TransformerScorer
from embargo.models.tuning import adapters, loop
from embargo.models.tuning.adapters import tune
from embargo.models.tuning.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from embargo.models.tuning.losses import training_loss


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return small_base("bert", tmp_path_factory.mktemp("bert"))


def run(base, folder, settings=SETTINGS, **changes):
    arguments = {
        "train_texts": TEXTS["text"].tolist(),
        "train_labels": TEXTS["label"].tolist(),
        "validation_texts": HELD_OUT["text"].tolist(),
        "validation_labels": HELD_OUT["label"].tolist(),
        "trained_until": CUTOFF,
        "cache_dir": folder,
    }
    return tune(base, settings=settings, **(arguments | changes))


def losses(adapter):
    return [(epoch["train_loss"], epoch["validation_loss"]) for epoch in adapter.manifest["epochs"]]


@pytest.fixture(scope="module")
def undisturbed(base, tmp_path_factory):
    return run(base, tmp_path_factory.mktemp("undisturbed"))


def written_out(base, settings):
    """Return the best weights of a plain loop: one batch a step, torch's own schedule, nothing that can go wrong."""
    from embargo.models.loading.batches import padded_length
    from embargo.models.loading.load import deterministic, encode, load_tokenizer, pad
    from embargo.models.samples import in_content_order
    from embargo.models.tuning.adapters import adapted_model
    from embargo.models.tuning.loop import Encoded, cosine_rate, epoch_batches

    tokenizer = load_tokenizer(base)
    ordered = [in_content_order(part["text"].tolist(), part["label"].to_numpy()) for part in (TEXTS, HELD_OUT)]
    train, held_out = (Encoded(encode(tokenizer, texts, settings.max_length), labels) for texts, labels in ordered)
    weights = None
    if settings.class_weights:
        counts = np.bincount(train.labels, minlength=3)
        weights = torch.tensor(counts.sum() / (3 * counts), dtype=torch.float32, device=device())

    def logits_of(model, part, rows):
        chosen = [part.tokens[row] for row in rows]
        ids, mask = pad(chosen, tokenizer.pad_token_id, padded_length(max(map(len, chosen))))
        return model(input_ids=ids.to(device()), attention_mask=mask.to(device())).logits.float()

    steps = settings.epochs * math.ceil(len(TEXTS) / settings.batch_size)
    rng = np.random.default_rng(settings.seed)
    best, kept = math.inf, {}
    with deterministic(settings.seed):
        model = adapted_model(base, settings, "fp32")
        trained = [value for value in model.parameters() if value.requires_grad]
        optimiser = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        rate = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: cosine_rate(step, steps=steps, warmup=settings.warmup)
        )
        for _ in range(settings.epochs):
            model.train()
            for rows in epoch_batches(train, settings.batch_size, rng):
                target = torch.from_numpy(train.labels[rows]).to(device())
                functional.cross_entropy(logits_of(model, train, rows), target, weight=weights).backward()
                torch.nn.utils.clip_grad_norm_(trained, settings.clip)
                optimiser.step()
                rate.step()
                optimiser.zero_grad()
            model.eval()
            order = np.argsort([len(tokens) for tokens in held_out.tokens], kind="stable")
            with torch.no_grad():
                now = calibrated_loss(logits_of(model, held_out, order).cpu().numpy(), held_out.labels[order])
            if now < best:
                best, kept = now, {n: v.detach().clone() for n, v in model.named_parameters() if v.requires_grad}
    return kept


@pytest.mark.parametrize("changes", [{"method": "qlora"}, {"method": "lora", "class_weights": True}])
def test_the_loop_gives_the_bits_of_a_plain_one(base, tmp_path, monkeypatch, changes):
    monkeypatch.setattr(loop, "_packs", lambda _: False)  # packed rows add up in another order
    # The last layer of first tokens alone is the whole model's up to rounding, and drops other activations.
    monkeypatch.setattr(adapters, "_first_tokens_alone", lambda base, settings: False)
    settings = replace(SETTINGS, dropout=0.1, optimizer="adamw", compute="fp32", **changes)
    expected = written_out(base, settings)
    found = load_file(run(base, tmp_path, settings).path / "adapter_model.safetensors")
    assert len(found) == len(expected)
    for name, value in expected.items():
        saved = name.replace(".default", "").replace(".modules_to_save", "")
        assert torch.equal(found[saved], value.cpu()), name


@pytest.mark.parametrize("changes", [{}, {"class_weights": True}, {"loss": "focal", "class_weights": True}])
def test_a_step_in_parts_is_the_same_step(base, tmp_path, changes):
    whole = run(base, tmp_path, replace(SETTINGS, **changes))
    # 16 is no multiple of 5: the last part of each batch is a lone row.
    parts = run(base, tmp_path, replace(SETTINGS, micro_batch=5, **changes))
    assert whole.path != parts.path
    assert np.allclose(losses(whole), losses(parts), atol=1e-4)
    assert losses(whole) != losses(run(base, tmp_path, replace(SETTINGS, batch_size=5, **changes)))[:4]


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_checkpointed_activations_change_no_bit(base, tmp_path, method, monkeypatch):
    settings = replace(SETTINGS, method=method, epochs=2, dropout=0.1)
    plain = run(base, tmp_path, settings)
    calls = []
    original = torch.utils.checkpoint.checkpoint
    monkeypatch.setattr(torch.utils.checkpoint, "checkpoint", lambda *a, **k: (calls.append(1), original(*a, **k))[1])
    monkeypatch.setattr(
        "transformers.modeling_utils.checkpoint", lambda *a, **k: (calls.append(1), original(*a, **k))[1]
    )
    saving = run(base, tmp_path, replace(settings, checkpointing=True))
    assert calls, "nothing was checkpointed"
    assert losses(plain) == losses(saving)
    assert plain.identity == saving.identity


def out_of_memory_above(limit, monkeypatch):
    original = loop.Loop._logits

    def limited(loop, part, rows):
        if len(rows) > limit:
            raise torch.OutOfMemoryError("out of memory")
        return original(loop, part, rows)

    monkeypatch.setattr(loop.Loop, "_logits", limited)


def test_out_of_memory_halves_what_goes_through_at_once_and_keeps_the_step(base, tmp_path, undisturbed, monkeypatch):
    monkeypatch.setattr(loop, "_packs", lambda _: False)  # what is packed is counted in tokens
    out_of_memory_above(5, monkeypatch)
    with pytest.warns(RuntimeWarning, match="16 texts at once in training: going on with 8") as caught:
        adapter = run(base, tmp_path)
    assert sum("out of memory" in str(warning.message) for warning in caught) == 1
    events = [(event["part"], event["texts_at_once"]) for event in adapter.manifest["events"]]
    assert events == [("training", 8), ("training", 4), ("validation", 12), ("validation", 6), ("validation", 3)]
    assert np.allclose(losses(adapter), losses(undisturbed), atol=1e-4)
    assert json.loads((adapter.path / "manifest.json").read_text())["events"] == adapter.manifest["events"]


def test_out_of_memory_with_one_text_is_an_error_that_says_what_to_do(base, tmp_path, monkeypatch):
    out_of_memory_above(0, monkeypatch)
    with pytest.warns(RuntimeWarning), pytest.raises(ConfigError, match="one text at a time"):
        run(base, tmp_path)


def nan_from(epoch, monkeypatch):
    original = loop.training_loss
    steps = math.ceil(len(TEXTS) / SETTINGS.batch_size)
    calls = []

    def broken(*arguments, **names):
        calls.append(1)
        loss = original(*arguments, **names)
        return loss * float("nan") if len(calls) > (epoch - 1) * steps + 1 else loss

    monkeypatch.setattr(loop, "training_loss", broken)


def test_a_divergence_keeps_the_best_pass_before_it_and_says_so(base, tmp_path, monkeypatch):
    nan_from(3, monkeypatch)
    adapter = run(base, tmp_path)
    assert [epoch["epoch"] for epoch in adapter.manifest["epochs"]] == [1, 2]
    (event,) = adapter.manifest["events"]
    assert (event["epoch"], event["what"], event["train_loss"]) == (3, "diverged", "nan")
    assert event["kept_epoch"] == adapter.manifest["best_epoch"] in (1, 2)
    kept = load_file(adapter.path / "adapter_model.safetensors")
    assert all(torch.isfinite(value).all() for value in kept.values())
    json.loads(json.dumps(adapter.manifest, allow_nan=False))


def test_a_divergence_in_the_first_pass_is_an_error(base, tmp_path, monkeypatch):
    nan_from(1, monkeypatch)
    with pytest.raises(DataError, match="diverged in epoch 1"):
        run(base, tmp_path)
    assert list((tmp_path / "adapters").iterdir()) == []


KILLED = """
import os, signal, sys
sys.path[:0] = {paths!r}
from pathlib import Path
import test_training as t
from dataclasses import replace
from embargo.models.bases.resolve import open_base

base = open_base(Path({base!r}), name="small bert")
def progress(done, total):
    if done == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
t.run(base, Path({folder!r}), replace(t.SETTINGS, method={method!r}, dropout=0.1), progress=progress)
"""


@pytest.mark.parametrize("method", ["adalora", pytest.param("qlora", marks=pytest.mark.slow)])
def test_a_killed_training_goes_on_to_the_same_bits(base, tmp_path, method):
    settings = replace(SETTINGS, method=method, dropout=0.1)
    whole = run(base, tmp_path / "whole", settings)
    here = Path(__file__).parent
    steps = math.ceil(len(TEXTS) / SETTINGS.batch_size)
    script = KILLED.format(
        paths=[str(here), str(here.parents[1])],
        base=base.path_or_id,
        step=2 * steps + 2,
        folder=str(tmp_path / "killed"),
        method=method,
    )
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    killed = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    adapters = tmp_path / "killed" / "adapters"
    [path] = adapters.glob(".training-*.safetensors")
    assert not list(adapters.glob("adapter-*"))
    kept = read_checkpoint(path)
    assert 0.0 < kept.took[0] < 600.0
    write_checkpoint(path, replace(kept, took=(1000.0, 2000.0)))
    seen = []
    resumed = run(base, tmp_path / "killed", settings, progress=lambda done, _total: seen.append(done))
    assert seen[0] == 2 * steps + 1, "it did not go on from the end of the second pass"
    assert resumed.identity == whole.identity
    assert resumed.manifest == whole.manifest
    assert not list(adapters.glob(".training-*"))
    cpu, wall = json.loads((resumed.path / NOTE).read_text())
    assert 1000.0 < cpu < 1600.0, "what it took before it was killed counts"
    assert wall > 2000.0


def test_a_damaged_checkpoint_is_noticed_and_training_starts_over(base, tmp_path, undisturbed, monkeypatch):
    passes = []
    one_pass = loop.Loop.one_pass

    def stop_in_third(loop, progress):
        if len(passes) == 2:
            raise KeyboardInterrupt
        passes.append(1)
        one_pass(loop, progress)

    monkeypatch.setattr(loop.Loop, "one_pass", stop_in_third)
    with pytest.raises(KeyboardInterrupt):
        run(base, tmp_path)
    monkeypatch.undo()
    (checkpoint,) = (tmp_path / "adapters").glob(".training-*")
    content = bytearray(checkpoint.read_bytes())
    content[-1] ^= 1
    checkpoint.write_bytes(content)
    seen = []
    with pytest.warns(RuntimeWarning, match="damaged"):
        adapter = run(base, tmp_path, progress=lambda done, _total: seen.append(done))
    assert seen[0] == 1
    assert adapter.identity == undisturbed.identity


def test_a_checkpoint_comes_back_as_it_was_written(tmp_path):
    path = tmp_path / "state.safetensors"
    assert read_checkpoint(path) is None
    tensors = {
        "a/b": torch.arange(6.0).reshape(2, 3),
        "step": torch.tensor(3.0),
        "bytes": torch.tensor([1, 255]).byte(),
    }
    state = {"rng": np.random.default_rng(0).bit_generator.state, "loss": 0.1 + 0.2, "none": None}
    write_checkpoint(path, Checkpoint(tensors, state))
    back = read_checkpoint(path)
    assert back is not None
    assert back.state == state
    assert {name: value.tolist() for name, value in back.tensors.items()} == {
        name: value.tolist() for name, value in tensors.items()
    }
    path.write_bytes(b"nonsense")
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert read_checkpoint(path) is None
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


@given(
    st.lists(st.tuples(*[st.floats(-5, 5)] * 3, st.integers(0, 2)), min_size=1, max_size=8),
    st.floats(0, 5),
    st.booleans(),
)
def test_focal_loss_is_that_of_the_paper(rows, gamma, weighted):
    logits = torch.tensor([row[:3] for row in rows], dtype=torch.float64)
    target = torch.tensor([row[3] for row in rows])
    weights = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64) if weighted else None
    found = training_loss(logits, target, TuneSettings(loss="focal", gamma=gamma), weights)
    shares = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(axis=1, keepdims=True)
    p = shares[np.arange(len(rows)), target.numpy()]
    w = np.array([0.5, 1.0, 2.0])[target.numpy()] if weighted else np.ones(len(rows))
    expected = (w * (1 - p) ** gamma * -np.log(p)).sum() / w.sum()
    assert found.item() == pytest.approx(expected, abs=1e-6)
    if gamma == 0:
        assert found.item() == pytest.approx(functional.cross_entropy(logits, target, weight=weights).item())


def test_focal_loss_has_a_finite_slope_where_all_is_right():
    logits = torch.tensor([[80.0, 0.0, 0.0]], requires_grad=True)
    training_loss(logits, torch.tensor([0]), TuneSettings(loss="focal", gamma=0.5), None).backward()
    assert torch.isfinite(logits.grad).all()


def test_focal_loss_trains_otherwise_than_cross_entropy(base, tmp_path, undisturbed):
    focal = run(base, tmp_path, replace(SETTINGS, loss="focal"))
    assert focal.identity != undisturbed.identity
    assert focal.manifest["epochs"][0]["train_loss"] < undisturbed.manifest["epochs"][0]["train_loss"]


def test_adalora_ends_with_as_many_ranks_as_it_may_keep(base, tmp_path, monkeypatch):
    # Each pass is the best so far, so that the last one is kept.
    monkeypatch.setattr(loop.Loop, "_validate", lambda running: 1.0 / (1 + running.state.epoch))
    settings = replace(SETTINGS, method="adalora", epochs=8, patience=8, min_delta=0.0)
    adapter = run(base, tmp_path, settings)
    weights = load_file(adapter.path / "adapter_model.safetensors")
    singular = [value for name, value in weights.items() if "lora_E" in name]
    assert len(singular) == 4
    assert all(value.shape == (6, 1) for value in singular)
    assert adapter.manifest["best_epoch"] == 8
    assert sum(int((value != 0).sum()) for value in singular) == 4 * 4


def test_adalora_keeps_the_ranks_of_the_pass_it_keeps(base, tmp_path, monkeypatch):
    # The first pass is the best one: nothing was cut yet, whatever is cut later.
    monkeypatch.setattr(loop.Loop, "_validate", lambda running: 1.0 + running.state.epoch)
    adapter = run(base, tmp_path, replace(SETTINGS, method="adalora", epochs=8, patience=8))
    assert adapter.manifest["best_epoch"] == 1
    weights = load_file(adapter.path / "adapter_model.safetensors")
    assert all(value.shape == (6, 1) for name, value in weights.items() if "lora_E" in name)
    assert TransformerScorer(base, adapter).logits(["Altera surged"]).shape == (1, 3)


def test_adalora_trains_against_that_penalty(base, tmp_path, monkeypatch):
    settings = replace(SETTINGS, method="adalora", epochs=1)
    held = run(base, tmp_path / "held", settings)
    original = loop.orthogonality
    monkeypatch.setattr(loop, "orthogonality", lambda adalora: 0 * original(adalora))
    assert run(base, tmp_path / "free", settings).identity != held.identity


def test_an_adapter_is_written_in_the_same_order_by_every_process(base, tmp_path):
    adapter = run(base, tmp_path, replace(SETTINGS, epochs=1, target="all-linear"))
    targets = json.loads((adapter.path / "adapter_config.json").read_text())["target_modules"]
    assert len(targets) > 3
    assert targets == sorted(targets)


def test_adalora_is_held_to_orthogonal_bases(base):
    from embargo.models.loading.load import deterministic
    from embargo.models.tuning.adapters import adapted_model

    with deterministic(0):
        model = adapted_model(base, replace(SETTINGS, method="adalora"), "fp32", steps=20)
    expected = []
    for name, value in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            matrix = value.detach().cpu().numpy()
            gram = matrix @ matrix.T if "lora_A" in name else matrix.T @ matrix
            expected.append(np.linalg.norm(gram - np.eye(len(gram))))
    assert loop.orthogonality(model.base_model).item() == pytest.approx(0.5 * np.mean(expected), rel=1e-5)


_SLOW_IN_BF16 = [
    pytest.param(name, marks=pytest.mark.slow) for name in ("lora", "dora", "rslora", "adalora", "ia3", "prefix")
]


@pytest.mark.parametrize("method", ["qlora", *_SLOW_IN_BF16])
def test_what_a_gpu_trains_in_bf16_keeps_heads_in_fp32_and_comes_near(base, tmp_path, monkeypatch, method):
    settings = replace(SETTINGS, method=method, epochs=2, compute="bf16")
    plain = run(base, tmp_path / "plain", settings)
    widths, original = set(), torch.nn.functional.cross_entropy
    monkeypatch.setattr(functional, "cross_entropy", lambda *a, **k: (widths.add(a[0].dtype), original(*a, **k))[1])
    autocasts = []
    train = loop.train

    def as_on_a_gpu(*arguments, **names):
        autocasts.append(names["autocast"])
        return train(*arguments, **(names | {"autocast": "bf16"}))

    monkeypatch.setattr(adapters, "train", as_on_a_gpu)
    halved = run(base, tmp_path / "halved", settings)
    assert autocasts == ["bf16" if device().type == "cuda" else "fp32"], "a CPU keeps what caches were made with"
    assert widths == {torch.float32}
    alike = device().type == "cuda" or method in ("ia3", "prefix")  # these multiply nothing in fp32
    assert halved.identity != plain.identity or alike
    assert np.allclose(losses(halved), losses(plain), atol=0.03)


@pytest.mark.parametrize("changes", [{}, {"micro_batch": 3, "class_weights": True}])
def test_a_step_in_packed_rows_is_the_same_step(tmp_path, monkeypatch, changes):
    base = small_base("llama", tmp_path / "llama")
    settings = replace(SETTINGS, epochs=2, max_length=16, **changes)
    padded = run(base, tmp_path / "padded", settings)
    monkeypatch.setattr(loop, "_packs", lambda _: True)
    seen, original = [], loop.packed_logits
    monkeypatch.setattr(loop, "packed_logits", lambda *a: (seen.append(len(a[1].rows)), original(*a))[1])
    packed = run(base, tmp_path / "packed", settings)
    assert seen
    assert np.allclose(losses(packed), losses(padded), atol=1e-4)


def test_a_loss_is_looked_at_before_a_long_pass_ends(base, tmp_path, monkeypatch):
    steps = []
    monkeypatch.setattr(loop, "LOOK_EVERY", 2)
    monkeypatch.setattr(loop.Loop, "_step", lambda _, rows: (steps.append(1), loop._zero() / 0)[1])
    with pytest.raises(DataError, match="diverged in epoch 1"):
        run(base, tmp_path)
    assert len(steps) == 2
