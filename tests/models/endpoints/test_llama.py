"""A real server, llama.cpp's, with the built-in decoder: its answers are what transformers makes of the weights."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from samples.asked import answering_lm, articles, short_template
from servers.llama import llama_server

from embargo.data_loaders.errors import ConfigError, ServiceError
from embargo.models import EndpointSettings
from embargo.models.content import text_hash
from embargo.models.loading.language import load_language_model
from embargo.models.loading.load import load_tokenizer
from embargo.models.prompting import PromptSettings
from embargo.models.scorers.endpoint import EndpointScorer, _fit
from embargo.models.scorers.kind import FitRequest

pytest.importorskip("openai")
pytest.importorskip("xllamacpp")
TEXTS = articles(24, seed=7_300_009)["text"].tolist()
# Of a probability: 32-bit floats added up in another order.
ROUNDING = 2e-3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("asked")


@pytest.fixture(scope="module")
def base(folder):
    return answering_lm(folder)


@pytest.fixture(scope="module")
def server(base, folder):
    return llama_server(base, folder)


def scorer_of(server, folder, tmp_path, **given) -> EndpointScorer:
    prompt = PromptSettings(template=short_template(folder), calibrate=False)
    settings = EndpointSettings(f"{server.listening_address}/v1", **{"model": "tiny-lm", "prompt": prompt} | given)
    scorer = _fit(FitRequest([], [], [], [], None, settings, tmp_path)).scorer
    assert isinstance(scorer, EndpointScorer)
    return scorer


def shares_in(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits)
    return weights / weights.sum(axis=1, keepdims=True)


def own_shares(base, scorer: EndpointScorer, texts=TEXTS) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares that transformers gives to the label words, and their mass, of the twenty likeliest tokens."""
    tokenizer, model = load_tokenizer(base), load_language_model(base)
    masses = []
    for text in texts:
        prompt = scorer.context.rendered(text)
        if scorer.settings.api == "chat":
            system, user = (message["content"] for message in scorer.context.messages(text))
            prompt = f"system: {system}\nuser: {user}\nassistant:"
        words = {f" {label}": place for place, label in enumerate(scorer.context.template.labels)}
        masses.append(_word_masses(model, tokenizer, tokenizer(prompt)["input_ids"], words))
    found = np.array(masses)
    return found / found.sum(axis=1, keepdims=True), found.sum(axis=1)


def _word_masses(model, tokenizer, ids: list[int], words: dict[str, int]) -> np.ndarray:
    """Return the probability of each word, at once and behind the marks that the model says most likely."""
    import torch

    found, weight = np.zeros(len(words)), 1.0
    for _ in range(4):
        with torch.no_grad():
            shares = torch.softmax(model(input_ids=torch.tensor([ids])).logits[0, -1], -1)
        top = shares.topk(20).indices.tolist()
        assert {tokenizer.decode([token]) for token in top} >= set(words)
        for token in top:
            place = words.get(tokenizer.decode([token]))
            if place is not None:
                found[place] += weight * float(shares[token])
        if tokenizer.decode([top[0]]).strip(" :<>.\n"):
            break
        weight *= float(shares[top[0]])
        ids = [*ids, top[0]]
    return found


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_shares_are_those_of_transformers_on_the_same_weights(base, server, folder, tmp_path, api):
    scorer = scorer_of(server, folder, tmp_path, api=api)
    assert scorer.found.manner.form == "logprobs"
    found = shares_in(scorer.logits(TEXTS))
    expected, masses = own_shares(base, scorer)
    np.testing.assert_allclose(found, expected, atol=ROUNDING)
    # The words are what the model says, so that the comparison is of something.
    assert masses.min() > 0.3
    assert np.ptp(found, axis=0).max() > 0.01
    account = scorer.account([text_hash(text) for text in TEXTS])
    assert account["label_mass"] == pytest.approx(float(np.median(masses)), abs=ROUNDING)
    assert (account["requests"], account["failed"], account["upper_bounds"]) == (len(TEXTS), 0, 0)
    assert account["prompt_tokens"] > 0


def test_what_is_asked_side_by_side_or_again_hardly_moves(server, folder, tmp_path):
    """Prompts that share a beginning are read on from it, and in another order of adding up."""
    one, many = (tmp_path / name for name in ("one", "many"))
    alone = scorer_of(server, folder, one, concurrency=1).logits(TEXTS)
    beside = scorer_of(server, folder, many, concurrency=8)
    np.testing.assert_allclose(shares_in(beside.logits(TEXTS)), shares_in(alone), atol=ROUNDING)
    np.testing.assert_allclose(shares_in(beside.asked_again(TEXTS)), shares_in(alone), atol=ROUNDING)


def test_draws_from_a_constrained_answer_follow_the_model(server, folder, tmp_path):
    scorer = scorer_of(server, folder, tmp_path, logprobs="never", samples=3)
    assert scorer.found.manner.form == "schema"
    # Whatever a small model would rather say, the grammar lets one of three words through, or its tokens run out.
    told = scorer.asked_again(TEXTS[:4])
    account = scorer.account([text_hash(text) for text in TEXTS[:4]])
    assert account["requests"] == 12
    answered = np.isfinite(told).all(axis=1)
    counts = np.exp(told[answered]) * 6 - 1
    assert ((counts > -1e-9) & (counts < 3 + 1e-9)).all()
    assert account["answered"] == answered.sum()


def test_a_server_that_serves_another_name_is_told_apart(server, folder, tmp_path):
    with pytest.raises(ServiceError, match=r"'gpt-4o' was asked, and 'tiny-lm' answers"):
        scorer_of(server, folder, tmp_path, model="gpt-4o")


def test_a_prompt_that_is_too_long_is_refused_with_the_server_s_words(server, folder, tmp_path):
    scorer = scorer_of(server, folder, tmp_path)
    long = replace(scorer, context=replace(scorer.context, limit=100_000))
    with pytest.raises(ConfigError, match="does not take the request"):
        long.logits(["profit " * 4000])


def test_the_log_probabilities_are_of_the_whole_vocabulary(base, server, folder, tmp_path):
    """Were they of what sampling leaves over, shares among the three words alone would still look right."""
    scorer = scorer_of(server, folder, tmp_path)
    scorer.logits(TEXTS[:3])
    _, masses = own_shares(base, scorer, TEXTS[:3])
    told = scorer.account([text_hash(text) for text in TEXTS[:3]])["label_mass"]
    assert math.isclose(told, float(np.median(masses)), abs_tol=ROUNDING)
