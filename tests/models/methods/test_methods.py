import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from samples.model_samples import CUTOFF
from samples.plain_logits import plain_logits
from samples.small_bases import CONFIGS, UNLISTED, small_base

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.bases.resolve import DECODERS
from embargo.models.loading.load import deterministic, load_classifier, load_tokenizer, quiet
from embargo.models.methods.cards import METHODS, attention_layers, check_method, refusal
from embargo.models.methods.defaults import default_settings, explain_settings
from embargo.models.methods.settings import Method, TuneSettings
from embargo.models.scorers import transformer
from embargo.models.scorers.transformer import TransformerScorer, merged_model
from embargo.models.tuning import loop
from embargo.models.tuning.adapters import feed_heads_fp32, tune

ENDS = ("fell down", "held flat", "rose up")
WORDS = ("profit", "loss", "sales", "bank", "the", "of", "in", "a", "and")
TOLERANCE = 5e-6
QUICK = ("bert", "llama")
# What tunes: reading with a base's own head has tests of its own.
TUNING = [name for name in METHODS if name != "none"]
EVERY = [(kind, method) for kind in CONFIGS for method in TUNING if refusal(method, kind) is None]


def sample(n, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n).tolist()
    return [f"{ENDS[y]} {' '.join(rng.choice(WORDS, rng.integers(1, 20)))}" for y in labels], labels


TRAIN, VALIDATION, TEST = sample(48, 1), sample(16, 2), [*sample(12, 3)[0], "up", " ".join(["sales"] * 100)]


def tuned(base, folder, method, **changes):
    settings = {"rank": 4, "epochs": 2, "batch_size": 16, "learning_rate": 1e-2, "warmup": 0.0, "compute": "fp32"}
    return tune(
        base,
        train_texts=TRAIN[0],
        train_labels=TRAIN[1],
        validation_texts=VALIDATION[0],
        validation_labels=VALIDATION[1],
        settings=TuneSettings(method=method, **(settings | {"max_length": 64} | changes)),
        trained_until=CUTOFF,
        cache_dir=folder,
    )


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = small_base(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return get


def unmerged(base, adapter, method):
    """Return logits one text at a time, unpadded, by peft's own reading of the adapter."""
    from peft import PeftModel

    with deterministic(0), quiet():
        if method == "full":
            model, _ = load_classifier(base, method=method, compute="fp32", saved=adapter.path)
        else:
            plain, _ = load_classifier(base, method=method, compute="fp32")
            model = PeftModel.from_pretrained(plain, str(adapter.path)).eval()
            feed_heads_fp32(model)
    tokenizer = load_tokenizer(base)
    limit = 56 if method in ("prefix", "prompt", "ptuning") else 64
    ids = [torch.tensor([tokenizer(text, truncation=True, max_length=limit)["input_ids"]]) for text in TEST]
    return np.vstack([plain_logits(model, each) for each in ids])


def trains_saves_and_scores(base, kind, method, tmp_path, monkeypatch):
    passes = []
    one_pass = loop.Loop.one_pass

    def watched(loop, progress):
        one_pass(loop, progress)
        passes.append({name: value.detach().clone() for name, value in loop.trained.items()})

    monkeypatch.setattr(loop.Loop, "one_pass", watched)
    # Twelve steps: six are too few for P-tuning's encoder to be past its first stumble.
    rate = 1e-3 if method == "full" else 1e-2
    adapter = tuned(base, tmp_path, method, learning_rate=rate, batch_size=8)
    assert [epoch["epoch"] for epoch in adapter.manifest["epochs"]] == [1, 2]
    # An encoder's unused pooler stays where it was.
    moving = [name for name, value in passes[0].items() if not torch.equal(value, passes[1][name])]
    still = set(passes[0]) - set(moving)
    assert len(moving) > len(passes[0]) * 0.5, still
    if method != "full":
        assert not still, "what a method trains must move in the second epoch too"
    assert adapter.manifest["epochs"][1]["train_loss"] < adapter.manifest["epochs"][0]["train_loss"]

    scorer = TransformerScorer(base, adapter)
    together = scorer.logits(TEST)
    assert np.ptp(together[:12], axis=0).max() > 1e-4
    alone = np.vstack([scorer.logits([text]) for text in TEST])
    in_64 = scorer.logits([TEST[row % len(TEST)] for row in range(64)])[: len(TEST)]
    assert np.abs(alone - together).max() <= TOLERANCE
    assert np.abs(alone - in_64).max() <= TOLERANCE
    assert np.abs(unmerged(base, adapter, method) - together).max() <= TOLERANCE
    if METHODS[method].mergeable:
        assert not hasattr(merged_model(base, adapter), "peft_config")
    else:
        with pytest.raises(ConfigError, match="cannot be merged"):
            merged_model(base, adapter)


@pytest.mark.parametrize(("kind", "method"), [pair for pair in EVERY if pair[0] in QUICK])
def test_a_method_trains_saves_and_scores_alike_alone_and_together(bases, kind, method, tmp_path, monkeypatch):
    trains_saves_and_scores(bases(kind), kind, method, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "method"), [pair for pair in EVERY if pair[0] not in QUICK])
def test_every_architecture_takes_every_method_it_is_not_refused(bases, kind, method, tmp_path, monkeypatch):
    trains_saves_and_scores(bases(kind), kind, method, tmp_path, monkeypatch)


@pytest.mark.parametrize("method", ["qlora", "lora"])
def test_gpt2_whose_layers_are_transposed_scores_as_it_was_tuned(bases, method, tmp_path, monkeypatch):
    trains_saves_and_scores(bases("gpt2"), "gpt2", method, tmp_path, monkeypatch)


@pytest.mark.parametrize("method", ["dora", "adalora", "ia3", "prefix", "ptuning", "full"])
def test_bf16_trains_and_scores_near_fp32(bases, method, tmp_path):
    base = bases("bert")
    adapter = tuned(base, tmp_path, method, compute="bf16")
    assert all(value.dtype == torch.float32 for value in load_file(weights_of(adapter)).values())
    half = TransformerScorer(base, adapter).logits(TEST)
    whole = TransformerScorer(base, adapter, compute="fp32").logits(TEST)
    assert np.abs(half - whole).max() < 0.05


def weights_of(adapter):
    return next(path for path in adapter.path.iterdir() if path.suffix == ".safetensors")


@pytest.mark.parametrize(
    ("method", "kind", "reason"),
    [
        ("prompt", "llama", "padding"),
        ("ptuning", "gpt2", "padding"),
        ("prefix", "modernbert", "keys and values"),
        ("prefix", "deberta-v2", "keys and values"),
        ("prefix", "distilbert", "keys and values"),
    ],
)
def test_a_pair_that_cannot_work_is_refused_by_name_before_loading(bases, method, kind, reason, tmp_path, monkeypatch):
    base = bases(kind)
    monkeypatch.setattr("embargo.models.tuning.adapters.load_classifier", lambda *_, **__: pytest.fail("loaded"))
    monkeypatch.setattr("embargo.models.tuning.adapters.load_tokenizer", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(ConfigError, match=rf"'small {kind}' \({kind}\).*'{method}'.*{reason}"):
        tuned(base, tmp_path, method)
    assert list(tmp_path.iterdir()) == []


def test_decoders_lose_what_encoders_keep():
    for kind in CONFIGS:
        assert (refusal("prompt", kind) is None) == (kind not in DECODERS)
        assert all(refusal(method, kind) is None for method in METHODS if METHODS[method].mergeable)
    assert "tried only" in refusal("ia3", "t5")
    assert refusal("full", "t5") is None


def test_an_architecture_without_the_named_layers_is_refused_for_low_rank_adapters(bases, tmp_path):
    strange = tmp_path / "strange"
    strange.mkdir()
    source = bases("bert")
    for path in source_files(source):
        (strange / path.name).write_bytes(path.read_bytes())
    config = json.loads((strange / "config.json").read_text()) | {"model_type": "newbert"}
    (strange / "config.json").write_text(json.dumps(config))
    base = replace(source, path_or_id=str(strange))
    check_method("lora", base)
    weights = load_file(strange / "model.safetensors")
    lost = "encoder.layer.1.attention.self.value.weight"
    save_file({name: value for name, value in weights.items() if name != lost}, strange / "model.safetensors")
    with pytest.raises(ConfigError, match="not every layer has projections called query with value or"):
        check_method("lora", base)
    convolved = {name: value[..., None] if "query" in name else value for name, value in weights.items()}
    save_file(convolved, strange / "model.safetensors")
    with pytest.raises(ConfigError, match="not every layer"):
        check_method("lora", base)
    check_method("lora", base, "all-linear")
    with pytest.raises(ConfigError, match="must be one of"):
        check_method("magic", base)


@pytest.mark.parametrize("kind", UNLISTED)
def test_the_layers_of_any_architecture_are_found_by_their_tensors(bases, kind, tmp_path):
    base = bases(kind)
    found = attention_layers(base)
    if kind == "squeezebert":  # projects by convolutions
        assert found is None
        return
    adapter = tuned(base, tmp_path, "lora", target="attention", epochs=1)
    adapted = {name.split(".lora_")[0] for name in load_file(weights_of(adapter)) if ".lora_" in name}
    layers = 1 if kind == "albert" else 2  # ALBERT's are one
    assert [sum(name.endswith(f".{each}") for name in adapted) for each in found] == [layers] * len(found)
    assert len(adapted) == len(found) * layers
    assert np.ptp(TransformerScorer(base, adapter).logits(TEST), axis=0).max() > 1e-4


def source_files(base):
    return [path for path in Path(base.path_or_id).iterdir() if path.is_file()]


def test_another_base_is_refused_before_loading(bases, tmp_path, monkeypatch):
    adapter = tuned(bases("bert"), tmp_path, "lora", epochs=1)
    other = small_base("bert", tmp_path / "other", seed=1)
    monkeypatch.setattr(transformer, "load_classifier", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(ConfigError, match="tuned on base 'small bert'"):
        TransformerScorer(other, adapter)
    with pytest.raises(ConfigError, match="tuned on base 'small bert'"):
        transformer.scoring_model(other, adapter, "fp32")


@pytest.mark.parametrize("method", ["lora", "full", "prefix"])
@pytest.mark.parametrize("damage", ["flip", "cut", "lose"])
def test_a_corrupt_adapter_is_refused(bases, method, damage, tmp_path):
    adapter = tuned(bases("bert"), tmp_path, method, epochs=1)
    scorer = TransformerScorer(bases("bert"), adapter)
    weights = weights_of(adapter)
    content = bytearray(weights.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
        weights.write_bytes(content)
    elif damage == "cut":
        weights.write_bytes(content[: len(content) // 2])
    else:
        weights.unlink()
    with pytest.raises(DataError, match=weights.name):
        scorer.logits(["up"])


def test_virtual_tokens_must_leave_room_for_a_text(bases, tmp_path):
    with pytest.raises(ConfigError, match="no room"):
        tuned(bases("bert"), tmp_path, "prompt", rank=60)


def test_every_method_of_the_settings_has_a_card():
    assert tuple(METHODS) == get_args(Method)
    assert all(name == card.name for name, card in METHODS.items())


@pytest.mark.parametrize("method", [name for name in TUNING if refusal(name, "bert") is None])
def test_defaults_follow_the_number_of_examples(bases, method):
    base = bases("bert")
    for n, ranks in ((50, (4, 8)), (999, (4, 8)), (1_000, (8, 16)), (9_999, (8, 16)), (50_000, (16, 32))):
        chosen = default_settings(method, n, base)
        assert chosen.method == method
        assert ranks[0] <= chosen.rank <= ranks[1]
        assert chosen.alpha == 2 * chosen.rank
        assert 0.05 <= chosen.dropout <= 0.1
        assert 0.05 <= chosen.warmup <= 0.1
        assert 0.01 <= chosen.weight_decay <= 0.1
        assert (chosen.patience, chosen.min_delta, chosen.clip) == (3, 0.001, 1.0)
        rows = explain_settings(method, n, base)
        assert {row.setting: row.value for row in rows} == vars(chosen)
        assert all(row.why for row in rows)


def of_width(source, width, folder):
    folder.mkdir()
    for path in source_files(source):
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text()) | {"hidden_size": width}
    (folder / "config.json").write_text(json.dumps(config))
    return replace(source, path_or_id=str(folder))


@pytest.mark.parametrize("method", ["qlora", "lora", "dora"])
def test_rates_of_wide_bases_are_those_of_the_literature_and_narrower_ones_learn_faster(bases, method, tmp_path):
    rates = {}
    for width in (128, 255, 256, 384, 511, 512, 768, 4096):
        base = of_width(bases("bert"), width, tmp_path / str(width))
        rates[width] = default_settings(method, 5_000, base).learning_rate
        why = next(row.why for row in explain_settings(method, 5_000, base) if row.setting == "learning_rate")
        assert ("too slowly" in why) == (width < 512)
    assert rates[128] == rates[255] == 2e-3
    assert rates[256] == rates[384] == rates[511] == 1e-3
    assert 1e-4 <= rates[512] == rates[768] == rates[4096] <= 3e-4


def test_large_bases_are_tuned_in_less_memory(bases, tmp_path):
    wide = of_width(bases("llama"), 4096, tmp_path / "wide")
    chosen = default_settings("qlora", 5_000, wide)
    assert chosen.checkpointing
    assert chosen.micro_batch == 8
    assert not default_settings("prefix", 5_000, wide).checkpointing
    with pytest.raises(ConfigError, match="prompt"):
        default_settings("prompt", 5_000, wide)
