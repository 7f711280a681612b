"""Min-K%++ against the formula written out, and on tiny causal models: one of chance, one that was trained on texts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.probes import TokenLikelihoods, membership_scores, min_k_plus_plus
from embargo.research.benchmarks.memory_worlds import make_world


def written_out(logits: np.ndarray, tokens: np.ndarray, k: float) -> float:
    """The formula, one token and one vocabulary entry at a time."""
    standing = []
    for row, token in zip(logits, tokens, strict=True):
        weights = [np.exp(x - row.max()) for x in row]
        probs = [w / sum(weights) for w in weights]
        mean = sum(p * np.log(p) for p in probs)
        variance = sum(p * (np.log(p) - mean) ** 2 for p in probs)
        standing.append((np.log(probs[token]) - mean) / np.sqrt(variance))
    lowest = sorted(standing)[: max(1, int(k * len(standing)))]
    return sum(lowest) / len(lowest)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(2, 9), st.floats(0.05, 1.0))
def test_is_the_formula_written_out(seed, length, vocabulary, k):
    rng = np.random.default_rng(seed)
    logits, tokens = 3.0 * rng.normal(size=(length, vocabulary)), rng.integers(0, vocabulary, length)
    found = min_k_plus_plus(TokenLikelihoods.of(logits, tokens), k=k)
    assert found == pytest.approx(written_out(logits, tokens, k))
    assert min_k_plus_plus(TokenLikelihoods.of(logits + 7.0, tokens), k=k) == pytest.approx(found)


def test_places_without_doubt_are_left_out():
    logits = np.array([[0.0, -np.inf, -np.inf], [0.5, 0.2, 0.1]])
    both = TokenLikelihoods.of(logits, np.array([0, 1]))
    assert min_k_plus_plus(both, k=1.0) == pytest.approx(written_out(logits[1:], np.array([1]), 1.0))
    assert np.isnan(min_k_plus_plus(TokenLikelihoods.of(logits[:1], np.array([0]))))
    assert np.isnan(min_k_plus_plus(TokenLikelihoods.of(np.zeros((0, 3)), np.zeros(0, dtype=int))))
    for k in (0.0, 1.5):
        with pytest.raises(ConfigError):
            min_k_plus_plus(both, k=k)


@pytest.fixture(scope="module")
def tokenizer() -> transformers.PreTrainedTokenizerBase:
    words = sorted({word for text in texts() for word in text.split()})
    vocabulary = {word: place for place, word in enumerate(["[PAD]", "[UNK]", *words])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]")


def texts() -> list[str]:
    # Without the date, so that no text is known by a word of its own.
    return [" ".join(text.split()[2:]) for text in make_world(0, days=34).articles["text"]]


def tiny(tokenizer) -> transformers.GPT2LMHeadModel:
    torch.manual_seed(0)
    shape = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, n_positions=32, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(shape)


def area(first: np.ndarray, second: np.ndarray) -> float:
    return float((first[:, None] > second[None, :]).mean())


def test_texts_that_were_trained_on_are_more_familiar(tokenizer):
    distinct = list(dict.fromkeys(texts()))
    rows = np.random.default_rng(0).permutation(len(distinct))
    seen, unseen = ([distinct[row] for row in part] for part in np.array_split(rows, 2))
    model = tiny(tokenizer)
    untrained = area(membership_scores(model, tokenizer, seen), membership_scores(model, tokenizer, unseen))
    batch = tokenizer(seen, padding=True, return_tensors="pt")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(80):
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    trained = area(membership_scores(model, tokenizer, seen), membership_scores(model, tokenizer, unseen))
    assert abs(untrained - 0.5) < 0.15
    assert trained > 0.8


def test_neither_order_nor_batches_nor_padding_matter(tokenizer, monkeypatch):
    some, model = texts()[:20], tiny(tokenizer)
    whole = membership_scores(model, tokenizer, some)
    assert membership_scores(model, tokenizer, some[::-1])[::-1] == pytest.approx(whole, abs=1e-4)
    monkeypatch.setattr("embargo.models.probes.likelihood.BATCH", 1)
    assert membership_scores(model, tokenizer, some) == pytest.approx(whole, abs=1e-4)
    short = membership_scores(model, tokenizer, some, max_tokens=4)
    assert short == pytest.approx(
        membership_scores(model, tokenizer, [" ".join(text.split()[:4]) for text in some]), abs=1e-4
    )


def test_a_text_of_one_token_has_no_score(tokenizer):
    assert np.isnan(membership_scores(tiny(tokenizer), tokenizer, ["Altera", ""])).all()
    assert membership_scores(tiny(tokenizer), tokenizer, []).shape == (0,)


def test_refuses_settings_that_make_no_sense(tokenizer):
    for wrong in ({"k": 0.0}, {"max_tokens": 1}):
        with pytest.raises(ConfigError):
            membership_scores(tiny(tokenizer), tokenizer, ["a b"], **wrong)
    bare = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, unk_token="[UNK]")
    with pytest.raises(DataError):
        membership_scores(tiny(tokenizer), bare, ["a b"])
