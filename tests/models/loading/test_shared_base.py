import gc
import weakref
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from samples.model_samples import CUTOFF, sentences
from samples.small_bases import small_base

from embargo.data_loaders.errors import ConfigError
from embargo.models.loading.load import deterministic, device, load_classifier
from embargo.models.loading.shared import SharedBase
from embargo.models.methods.settings import TuneSettings
from embargo.models.scorers.transformer import TransformerScorer, scoring_model
from embargo.models.tuning.adapters import tune

SETTINGS = TuneSettings(rank=4, dropout=0.1, epochs=1, batch_size=16, learning_rate=1e-2, compute="fp32")
TEXTS = sentences(40, seed=5)
HELD_OUT = sentences(16, seed=6)
PAIRS = [
    *(("bert", method) for method in ("qlora", "dora", "ia3", "prefix", "full")),
    *(("llama", method) for method in ("qlora", "lora")),
    pytest.param("bert", "lora", marks=pytest.mark.slow),
    *(pytest.param("llama", method, marks=pytest.mark.slow) for method in ("dora", "ia3", "prefix", "full")),
]


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return {name: small_base(name, tmp_path_factory.mktemp(name)) for name in ("bert", "llama")}


@pytest.fixture
def reads(monkeypatch):
    """Counts how often weights are read from disk."""
    calls = []
    original = transformers.AutoModelForSequenceClassification.from_pretrained

    def counted(*arguments, **names):
        calls.append(arguments)
        return original(*arguments, **names)

    monkeypatch.setattr(transformers.AutoModelForSequenceClassification, "from_pretrained", counted)
    return calls


def tuned(base, folder, shared=None, **changes):
    return tune(
        base,
        train_texts=TEXTS["text"].tolist(),
        train_labels=TEXTS["label"].tolist(),
        validation_texts=HELD_OUT["text"].tolist(),
        validation_labels=HELD_OUT["label"].tolist(),
        settings=replace(SETTINGS, **changes),
        trained_until=CUTOFF,
        cache_dir=folder,
        shared=shared,
    )


def bits(model):
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: value.detach().clone() for name, value in tensors.items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("architecture", "method"), PAIRS)
def test_folds_on_a_shared_base_give_the_bits_of_folds_on_their_own(bases, tmp_path, reads, architecture, method):
    base = bases[architecture]
    texts = HELD_OUT["text"].tolist()
    with SharedBase(base) as shared:
        for seed in (0, 1, 2):
            # The scorer of one fold is alive while the next one is tuned.
            adapter = tuned(base, tmp_path / "shared", shared, method=method, seed=seed)
            scorer = TransformerScorer(base, adapter, shared=shared)
            logits = scorer.logits(texts)
            if seed == 1:
                kept, before = scorer, logits
        from_the_base = [call for call in reads if call[0] == base.path_or_id]
        assert len(from_the_base) == shared.reads == (3 if method == "full" else 1)
        assert np.array_equal(kept.logits(texts), before), "a later fold changed an earlier one's weights"
    alone = tuned(base, tmp_path / "alone", method=method, seed=2)
    assert alone.path.name == adapter.path.name
    assert alone.identity == adapter.identity
    assert alone.manifest["epochs"] == adapter.manifest["epochs"]
    own = TransformerScorer(base, alone)
    assert own.identity == scorer.identity
    assert np.array_equal(own.logits(texts), logits)


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["qlora", "lora"]), st.sampled_from(["fp32", "bf16"])), min_size=1, max_size=4),
    st.integers(0, 100),
)
def test_what_is_lent_is_what_would_have_been_read(bases, asked, seed):
    with SharedBase(bases["bert"]) as shared:
        for method, compute in asked:
            with deterministic(seed):
                lent, heads = shared.lend(method=method, compute=compute)
                lent_state = torch.get_rng_state()
            with deterministic(seed):
                read, named = load_classifier(bases["bert"], method=method, compute=compute)
                assert torch.equal(torch.get_rng_state(), lent_state)
            assert heads == named
            assert same(bits(lent), bits(read))
        changes = sum(first != second for first, second in pairwise(asked))
        assert shared.reads == 1 + changes, "one base in memory"


@pytest.mark.parametrize("method", ["qlora", "lora"])
def test_weights_are_shared_and_heads_are_not(bases, method):
    with SharedBase(bases["llama"]) as shared:
        first, second = (dict(shared.lend(method=method, compute="fp32")[0].named_parameters()) for _ in range(2))
    apart = {name for name in first if first[name].data_ptr() != second[name].data_ptr()}
    assert apart == {"score.weight"}


@pytest.mark.parametrize("method", ["lora", "dora", "ia3", "qlora"])
def test_merging_leaves_the_lent_weights_as_they_were(bases, tmp_path, method):
    base = bases["bert"]
    with SharedBase(base) as shared:
        adapter = tuned(base, tmp_path, shared, method=method)
        with deterministic(0):
            before = bits(shared.lend(method=method, compute="fp32")[0])
        merged = scoring_model(base, adapter, "fp32", shared=shared)
        with deterministic(0):
            after = shared.lend(method=method, compute="fp32")[0]
            assert same(bits(after), before)
        theirs = {value.data_ptr() for value in after.parameters()}
        shares = {name: value.data_ptr() in theirs for name, value in merged.named_parameters()}
        assert shares["bert.embeddings.word_embeddings.weight"]
        assert not shares["classifier.weight"]
        assert not shares["bert.encoder.layer.0.attention.self.value.weight"]


def test_bf16_scoring_keeps_what_the_adapter_left_alone(bases, tmp_path):
    base = bases["bert"]
    with SharedBase(base) as shared:
        adapter = tuned(base, tmp_path, shared, method="lora", compute="bf16")
        merged = scoring_model(base, adapter, "bf16", shared=shared)
        theirs = {value.data_ptr() for value in shared.lend(method="lora", compute="bf16")[0].parameters()}
    shared_names = {name for name, value in merged.named_parameters() if value.data_ptr() in theirs}
    assert "bert.embeddings.word_embeddings.weight" in shared_names
    assert not any("self.query.weight" in name or "classifier" in name for name in shared_names)


def test_memory_goes_with_the_last_that_uses_it(bases, tmp_path):
    base = bases["bert"]
    with SharedBase(base) as shared:
        adapter = tuned(base, tmp_path, shared, method="qlora")
        held = weakref.ref(shared._held[1])
        scorer = TransformerScorer(base, adapter, shared=shared)
        before = scorer.logits(["sales rose"])
    gc.collect()
    assert held() is None
    assert np.array_equal(scorer.logits(["sales rose"]), before)
    # A scorer that had loaded nothing yet still works when the base has gone.
    late = TransformerScorer(base, adapter, shared=shared)
    assert np.array_equal(late.logits(["sales rose"]), before)
    assert shared._held is None


def test_another_base_is_refused(bases, tmp_path):
    with SharedBase(bases["llama"]) as shared, pytest.raises(ConfigError, match="small llama"):
        tuned(bases["bert"], tmp_path, shared)


@pytest.mark.parametrize("architecture", ["bert", "llama"])
@pytest.mark.parametrize("compute", ["fp32", "bf16"])
def test_four_bit_scores_are_those_of_dense_weights(bases, tmp_path, architecture, compute):
    base = bases[architecture]
    texts = HELD_OUT["text"].tolist()
    with SharedBase(base) as shared:
        adapter = tuned(base, tmp_path, shared, method="qlora", compute=compute)
        dense = TransformerScorer(base, adapter, weights="dense", shared=shared)
        packed = TransformerScorer(base, adapter, weights="4bit", shared=shared)
        assert packed.identity != dense.identity
        usual = packed if device().type == "cuda" else dense
        assert TransformerScorer(base, adapter).identity == usual.identity
        difference = np.abs(packed.logits(texts) - dense.logits(texts)).max()
        assert difference < (1e-4 if compute == "fp32" else 0.1)
        together = packed.logits(texts)
        if compute == "fp32":
            assert np.abs(np.vstack([packed.logits([text]) for text in texts]) - together).max() <= 1e-5
        # Other arithmetic than the tuning's, on the same packed weights.
        other = TransformerScorer(
            base, adapter, weights="4bit", compute="bf16" if compute == "fp32" else "fp32", shared=shared
        )
        assert other.identity != packed.identity
        assert np.abs(other.logits(texts) - together).max() < 0.1
        kinds = {type(module).__name__ for module in packed._loaded[1].modules()}
        assert "Linear4bit" in kinds
        assert shared.reads == 1


def test_four_bits_are_refused_where_there_are_none(bases, tmp_path):
    adapter = tuned(bases["bert"], tmp_path, method="lora")
    with pytest.raises(ConfigError, match="'dense'"):
        TransformerScorer(bases["bert"], adapter, weights="4bit")


@pytest.mark.parametrize(("kind", "target", "layers"), [("llama", "attention", 4), ("bert", "all-linear", 13)])
def test_a_merged_four_bit_model_holds_base_and_update(bases, tmp_path, kind, target, layers):
    """W' = W + B A alpha / r, written out from the files; the pooler of a base is adapted but not quantised."""
    base = bases[kind]
    adapter = tuned(base, tmp_path, method="qlora", target=target)
    saved = load_file(adapter.path / "adapter_model.safetensors", device=str(device()))
    from embargo.models.loading.load import dequantise

    with deterministic(0):
        plain, _ = load_classifier(base, method="qlora", compute="fp32")
    dequantise(plain, torch.float32)
    merged = dict(scoring_model(base, adapter, "fp32").named_parameters())
    adapted = 0
    for name, value in plain.named_parameters():
        layer = f"base_model.model.{name.removesuffix('.weight')}"
        expected = value
        if f"{layer}.lora_A.weight" in saved:
            update = saved[f"{layer}.lora_B.weight"] @ saved[f"{layer}.lora_A.weight"]
            expected = value + update * SETTINGS.alpha / SETTINGS.rank
            adapted += 1
        elif f"base_model.model.{name}" in saved:
            expected = saved[f"base_model.model.{name}"]
        assert torch.allclose(merged[name], expected, atol=1e-6), name
    assert adapted == layers
