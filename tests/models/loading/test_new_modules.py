"""Modules that a checkpoint does not bring: trained and saved whole, in every family, or refused by name."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from samples.model_samples import CUTOFF, sentences
from samples.plain_logits import plain_logits
from samples.small_bases import CONFIGS, UNLISTED, small_base

from embargo.data_loaders.errors import DataError, MissingPartError
from embargo.models.bases.resolve import open_base
from embargo.models.content import write_manifest
from embargo.models.loading.load import (
    deterministic,
    encode,
    load_classifier,
    load_tokenizer,
    pad,
    padding_step,
)
from embargo.models.methods.settings import TuneSettings
from embargo.models.scorers import transformer
from embargo.models.scorers.transformer import TransformerScorer
from embargo.models.tuning import loop
from embargo.models.tuning.adapters import Adapter, adapted_model, tune

FAMILIES = tuple(CONFIGS | UNLISTED)
TEXTS, HELD_OUT = sentences(24, seed=5), sentences(8, seed=6)
READ = [*sentences(12, seed=7)["text"], "up", "profit fell " * 40]


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = small_base(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return get


def settings_of(method, **changes):
    common = {"rank": 4, "epochs": 1, "batch_size": 8, "learning_rate": 1e-2, "compute": "fp32", "max_length": 40}
    return TuneSettings(method=method, target="all-linear", **(common | changes))


def tuned(base, cache, method):
    return tune(
        base,
        train_texts=TEXTS["text"].tolist(),
        train_labels=TEXTS["label"].tolist(),
        validation_texts=HELD_OUT["text"].tolist(),
        validation_labels=HELD_OUT["label"].tolist(),
        settings=settings_of(method),
        trained_until=CUTOFF,
        cache_dir=cache,
    )


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_whatever_is_drawn_is_trained_and_saved(bases, kind, method):
    import bitsandbytes as bnb

    base = bases(kind)
    brought = set(load_file(Path(base.path_or_id) / "model.safetensors"))
    with deterministic(0):
        plain, new = load_classifier(base, method=method, compute="fp32")
        model = adapted_model(base, settings_of(method), "fp32")
    prefix = plain.base_model_prefix
    drawn = {
        name
        for name, _ in plain.named_parameters()
        if name.removeprefix(f"{prefix}.") not in brought and name not in brought
    }
    trained = {
        name.removeprefix("base_model.model.").replace("modules_to_save.default.", "")
        for name, value in model.named_parameters()
        if value.requires_grad
    }
    assert drawn
    assert drawn <= trained
    assert {name.split(".")[0] if not name.startswith(f"{prefix}.") else "pooler" for name in drawn} == set(new)
    packed = [name for name, module in plain.named_modules() if isinstance(module, bnb.nn.Linear4bit)]
    assert bool(packed) == (method == "qlora" and kind != "squeezebert")  # whose layers are convolutions
    assert not [name for name in packed if any(name.startswith(f"{each}.") or name == each for each in new)]


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
@pytest.mark.parametrize("kind", ["eurobert", "deberta-v2"])
def test_it_scores_as_it_was_validated(bases, kind, method, tmp_path, monkeypatch):
    kept = {}
    train = loop.train

    def watched(model, *arguments, **names):
        done = train(model, *arguments, **names)
        kept["model"] = model.eval()
        return done

    monkeypatch.setattr("embargo.models.tuning.adapters.train", watched)
    base = bases(kind)
    adapter = tuned(base, tmp_path, method)
    tokenizer = load_tokenizer(base)
    ids, mask = pad(encode(tokenizer, READ, 40), tokenizer.pad_token_id, 40)
    as_trained = plain_logits(kept["model"], ids, mask)
    scored = TransformerScorer(base, adapter).logits(READ)
    assert np.ptp(as_trained, axis=0).max() > 1e-3
    assert np.abs(scored - as_trained).max() < 1e-5


def test_an_adapter_without_a_drawn_module_is_refused(bases, tmp_path):
    base = bases("eurobert")
    adapter = tuned(base, tmp_path, "lora")
    weights = adapter.path / "adapter_model.safetensors"
    tensors = {name: value for name, value in load_file(weights).items() if ".dense." not in name}
    save_file(tensors, weights, metadata={"format": "pt"})
    kept = {name: value for name, value in adapter.manifest.items() if name != "files"}
    older = Adapter(adapter.path, adapter.identity, write_manifest(adapter.path, kept), adapter.train_text_hashes)
    with pytest.raises(DataError, match="the base has no dense and the adapter has none either"):
        TransformerScorer(base, older).logits(["up"])


@pytest.mark.parametrize("kind", ["bert", "llama", "eurobert"])
def test_a_base_that_lacks_a_part_of_its_body_is_refused_by_name(bases, kind, tmp_path):
    tensors = load_file(Path(bases(kind).path_or_id) / "model.safetensors")
    lost = next(name for name in tensors if "query.weight" in name or "q_proj.weight" in name)
    for path in Path(bases(kind).path_or_id).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    kept = {name: value for name, value in tensors.items() if name != lost}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MissingPartError, match=rf"lacks 1 tensors of the model's body, first \S*{lost}"):
        load_classifier(open_base(tmp_path, name="cut"), method="lora", compute="fp32")


@pytest.mark.parametrize(("kind", "one_length"), [("convbert", True), ("mobilebert", True), ("bert", False)])
def test_a_text_is_scored_in_the_shape_it_was_trained_in(bases, kind, one_length, tmp_path, monkeypatch):
    lengths = set()
    original = loop.pad

    def watched(rows, pad_id, length):
        lengths.add(length)
        return original(rows, pad_id, length)

    monkeypatch.setattr(loop, "pad", watched)
    # What is scored without padding is in no shape at all.
    monkeypatch.setattr(transformer, "UNPADDED", frozenset())
    base = bases(kind)
    adapter = tuned(base, tmp_path, "lora")
    assert (lengths == {40}) == one_length
    assert ("padding" in adapter.manifest["key"]) == one_length
    scorer = TransformerScorer(base, adapter)
    together = scorer.logits(READ)
    assert np.abs(np.vstack([scorer.logits([text]) for text in READ]) - together).max() < 1e-6

    tokenizer, model = scorer._model()
    tokens = encode(tokenizer, READ, 40)

    def logits(rows, length):
        return plain_logits(model, *pad(rows, tokenizer.pad_token_id, length))

    longest = max(map(len, tokens))
    assert padding_step(base, 40) == (40 if one_length else 8)
    assert np.abs(logits(tokens, 40) - together).max() < 1e-6
    moved = np.abs(np.vstack([logits([row], -(-len(row) // 8) * 8) for row in tokens]) - logits(tokens, longest)).max()
    assert moved > 1e-4 if one_length else moved < 1e-6
