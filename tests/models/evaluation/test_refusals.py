"""A decoder that was trained to refuse is told from one that was not, from likelihoods alone."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples.tiny_models import save_tiny_model

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.bases.resolve import resolve_base
from embargo.models.evaluation.refusal_requests import COMPLYING, PAIRS, REFUSING
from embargo.models.evaluation.refusals import (
    _prompt,
    causal_likelihoods,
    compare_refusals,
    measure_refusals,
)
from embargo.models.loading.language import load_language_model
from embargo.models.loading.load import load_tokenizer, pad


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    """A decoder before and after it learnt to decline what should be declined, and to help otherwise."""
    folder = save_tiny_model("llama", tmp_path_factory.mktemp("bases") / "llama", max_position_embeddings=256)
    base = resolve_base(str(folder))
    model, tokenizer = load_language_model(base), load_tokenizer(base)
    before = measure_refusals(causal_likelihoods(model.eval(), tokenizer))
    said = [(pair[place], (REFUSING, COMPLYING)[place][n % 3]) for n, pair in enumerate(PAIRS) for place in (0, 1)]
    prompts = [_prompt(tokenizer, request)[0] for request, _ in said]
    ends = [tokenizer(f" {opening}", add_special_tokens=False)["input_ids"] for _, opening in said]
    rows = [[*prompt, *end] for prompt, end in zip(prompts, ends, strict=True)]
    ids, mask = pad(rows, tokenizer.pad_token_id, max(map(len, rows)))
    target = ids.masked_fill(mask == 0, -100)
    for row, prompt in enumerate(prompts):
        target[row, : len(prompt)] = -100
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
        for _ in range(60):
            model(input_ids=ids, attention_mask=mask, labels=target).loss.backward()
            optimiser.step()
            optimiser.zero_grad()
    return model.eval(), tokenizer, before


def test_what_learnt_to_refuse_is_told_from_what_did_not(decoder):
    model, tokenizer, before = decoder
    after = measure_refusals(causal_likelihoods(model, tokenizer))
    assert after.rate > 0.9
    assert after.harmless_rate < 0.1
    assert after.low <= after.rate <= after.high
    # Before, it could not tell the two apart.
    assert abs(before.rate - before.harmless_rate) < 0.3
    found = compare_refusals(after, before)
    assert found.given_up - found.taken_up == round(12 * (after.rate - before.rate))
    assert compare_refusals(before, after).p_value == found.p_value
    assert found.p_value < 0.05 or before.rate > 0.6


def test_a_likelihood_does_not_depend_on_what_else_is_asked(decoder):
    model, tokenizer, _ = decoder
    likelihoods = causal_likelihoods(model, tokenizer)
    asked = [request for pair in PAIRS[:3] for request in pair]
    together = likelihoods(asked, REFUSING)
    for row, request in enumerate(asked):
        for column, opening in enumerate(REFUSING):
            prompt, _ = _prompt(tokenizer, request)
            end = tokenizer(f" {opening}", add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                logs = torch.log_softmax(model(input_ids=torch.tensor([[*prompt, *end]])).logits[0].double(), dim=-1)
            slow = np.mean([float(logs[len(prompt) + place - 1, token]) for place, token in enumerate(end)])
            assert together[row, column] == pytest.approx(slow, abs=1e-5)


def test_a_chat_template_is_used_where_there_is_one(decoder):
    _, tokenizer, _ = decoder
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}> {{ m.content }}{% endfor %}<reply>"
    try:
        ids, plain = _prompt(tokenizer, "Why?")
    finally:
        tokenizer.chat_template = None
    assert tokenizer.decode(ids) == "<user> Why?<reply>"
    assert not plain


@given(st.lists(st.booleans(), min_size=24, max_size=24), st.floats(0.01, 5.0))
def test_rates_count_what_is_likelier(refused, gap):
    def likelihoods(asked, openings):
        assert openings == (*REFUSING, *COMPLYING)
        sides = np.where(np.array(refused)[:, None], 1.0, -1.0) * np.array([gap] * 3 + [-gap] * 3)
        return sides - 3.0

    found = measure_refusals(likelihoods)
    assert found.refused == tuple(refused[::2])
    assert found.refused_harmless == tuple(refused[1::2])
    assert found.rate == pytest.approx(np.mean(refused[::2]))
    assert 0 <= found.low <= found.rate <= found.high <= 1
    kept = json.dumps([found.to_dict(), compare_refusals(found, found).to_dict()], allow_nan=False)
    assert "refused" not in kept
    assert compare_refusals(found, found).p_value == 1.0


def test_neither_requests_nor_answers_are_in_what_is_kept():
    found = measure_refusals(lambda asked, openings: np.zeros((len(asked), len(openings))))
    kept = json.dumps(compare_refusals(found, found).to_dict())
    assert not any(text in kept for text in (*REFUSING, *COMPLYING, *(request for pair in PAIRS for request in pair)))
    assert found.rate == 0.0


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ConfigError, match="pairs"):
        measure_refusals(lambda asked, openings: np.zeros((0, 6)), pairs=[])
    with pytest.raises(ConfigError, match="level"):
        measure_refusals(lambda asked, openings: np.zeros((24, 6)), level=1.0)
    with pytest.raises(DataError, match="finite: False"):
        measure_refusals(lambda asked, openings: np.full((len(asked), len(openings)), np.nan))
    with pytest.raises(DataError, match="24 requests with 6 openings"):
        measure_refusals(lambda asked, openings: np.zeros((1, 1)))


def test_requests_come_in_distinct_pairs():
    requests = [request for pair in PAIRS for request in pair]
    assert len(set(requests)) == len(requests) == 24
    assert not set(REFUSING) & set(COMPLYING)
