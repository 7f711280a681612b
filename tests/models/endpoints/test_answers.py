"""What a server's answer says is read strictly: shares of the label words, or one of them, or nothing."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.models.endpoints.answers import LEAST, label_shares, named_class, read_answer, server_fault

LABELS = ("negative", "neutral", "positive")


def shares(**listed: float) -> list[float]:
    found = label_shares({token: math.log(value) for token, value in listed.items()}, LABELS)
    assert found is not None
    return np.exp(found.logits).tolist()


def test_a_beginning_counts_for_the_one_word_that_it_begins():
    assert shares(neg=0.3, neu=0.1, pos=0.2) == pytest.approx([0.5, 1 / 6, 1 / 3])
    # Of two words it says nothing.
    assert shares(neg=0.3, neu=0.1, pos=0.2, ne=0.4, n=0.1)[0] == pytest.approx(0.5)


def test_blanks_marks_and_capitals_make_no_other_word():
    listed = {" negative": 0.1, "Negative": 0.1, '"negative': 0.1, "\u0120NEG": 0.1, " neutral": 0.2, "**positive": 0.4}
    assert shares(**listed) == pytest.approx([0.4, 0.2, 0.4])


def test_a_word_that_is_not_listed_gets_half_of_what_it_can_have_at_most():
    listed = {" negative": 0.6, " neutral": 0.3, "The": 0.06}
    found = label_shares({token: math.log(value) for token, value in listed.items()}, LABELS)
    assert found is not None
    # The list leaves 0.04 of the whole, less than its least.
    assert np.exp(found.logits) == pytest.approx(np.array([0.6, 0.3, 0.02]) / 0.92)
    assert found.bounded == (False, False, True)
    assert found.mass == pytest.approx(0.9)
    # With much left over, the least that is listed bounds it.
    assert shares(**{" negative": 0.4, " neutral": 0.1})[2] == pytest.approx(0.05 / 0.55)


def test_where_no_word_is_listed_nothing_is_read():
    assert label_shares({"I": math.log(0.9), "ne": math.log(0.05), "": -3.0}, LABELS) is None
    assert label_shares({" negative": -math.inf}, LABELS) is None


@given(st.lists(st.floats(1e-6, 1.0), min_size=4, max_size=4), st.permutations(range(4)), st.booleans())
def test_shares_sum_to_one_and_do_not_hang_on_order(weights, order, absent):
    tokens = [" negative", " neutral", " positive", " other"]
    total = sum(weights) * 1.01
    listed = {tokens[place]: math.log(weights[place] / total) for place in order if not (absent and place == 1)}
    found = label_shares(listed, LABELS)
    assert found is not None
    assert np.isfinite(found.logits).all()
    assert np.exp(found.logits).sum() == pytest.approx(1.0)
    again = label_shares(dict(sorted(listed.items())), LABELS)
    assert again is not None
    np.testing.assert_allclose(again.logits, found.logits, rtol=1e-12)
    # What is not listed never gets more than what is listed least.
    if absent:
        assert found.logits[1] <= min(found.logits) + 1e-12


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (' Positive.\n', 2), ('{"answer": "neutral"}', 1), ('"negative"', 0), ("**Negative**", 0),
        ("positive or neutral", None), ("", None), ('{"answer": 2}', None), ('{"other": "neutral"}', None),
        ("posit", None), ("[1]", None), ("null", None), ("The tone is positive", None),
    ],
)  # fmt: skip
def test_only_the_word_itself_names_a_class(said, expected):
    assert named_class(said, LABELS) == expected


def body(choice: object, **more: object) -> bytes:
    return json.dumps({"model": "m", "choices": [choice], **more}).encode()


NOTHING = [
    b"", b"<html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": null}]}', b'{"choices": null}',
    b'{"choices": [{"message": {"content": 3}}]}', b'{"choices": [{"message": {"content": ["x"]}}]}', b"\xff\xfe",
    b"null",
    b"[" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("given_body", NOTHING)
@pytest.mark.parametrize("logprobs", [True, False])
def test_what_is_no_answer_is_unreadable(given_body, logprobs):
    assert read_answer(given_body, "chat", LABELS, logprobs=logprobs).outcome == "unreadable"


NAMES = (
    "choices", "message", "content", "logprobs", "top_logprobs", "token", "logprob", "bytes", "usage", "model", "refusal",
    "finish_reason", "text", "tokens", "prompt_tokens",
)  # fmt: skip
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=20,
)


@given(DOCUMENTS)
def test_no_document_breaks_the_reading(document):
    choice = {"message": document, **(document if isinstance(document, dict) else {})}
    for given_document in (document, {"choices": [document]}, {"choices": [choice]}):
        for api in ("chat", "completions"):
            for logprobs in (True, False):
                read_answer(json.dumps(given_document).encode(), api, LABELS, logprobs=logprobs)
    server_fault(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("choice", "outcome"),
    [
        ({"message": {"content": None, "refusal": "No."}}, "refused"),
        ({"message": {"content": "I cannot."}}, "refused"),
        ({"message": {"content": "positive"}, "finish_reason": "content_filter"}, "filtered"),
        ({"message": {"content": ""}}, "empty"),
        ({"message": {"content": None}}, "empty"),
        ({"message": {"content": "positive"}}, "answered"),
    ],
)
def test_why_there_is_no_answer_is_told_apart(choice, outcome):
    assert read_answer(body(choice), "chat", LABELS, logprobs=False).outcome == outcome


def test_an_answer_in_words_is_no_answer_where_log_probabilities_were_asked_for():
    said = read_answer(body({"message": {"content": "positive"}}), "chat", LABELS, logprobs=True)
    assert (said.outcome, said.logprobs, said.choice) == ("unreadable", False, None)


def test_the_first_word_is_read_behind_blanks_and_marks():
    """What comes behind a blank counts by the probability of the blank, beside what comes at once."""
    tops = [{"\n": 0.5, " negative": 0.2, " neutral": 0.1, "The": 0.1}, {"pos": 0.8, " negative": 0.1, "x": 0.1}]
    positions = [
        {
            "token": chosen,
            "logprob": math.log(listed[chosen]),
            "top_logprobs": [{"token": token, "logprob": math.log(value)} for token, value in listed.items()],
        }
        for chosen, listed in zip(("\n", "pos"), tops, strict=True)
    ]
    said = read_answer(
        body({"message": {"content": "\npos"}, "logprobs": {"content": positions}}), "chat", LABELS, logprobs=True
    )
    assert said.shares is not None
    expected = np.array([0.2 + 0.5 * 0.1, 0.1, 0.5 * 0.8])
    np.testing.assert_allclose(np.exp(said.shares.logits), expected / expected.sum())
    assert said.shares.mass == pytest.approx(expected.sum())
    # Behind the first word nothing counts any more.
    more = [*positions, {"token": " neutral", "logprob": -0.01, "top_logprobs": []}]
    longer = read_answer(
        body({"message": {"content": "\npos"}, "logprobs": {"content": more}}), "chat", LABELS, logprobs=True
    )
    np.testing.assert_array_equal(longer.shares.logits, said.shares.logits)


def test_parts_of_characters_are_not_taken_for_one_another():
    entries = [{"token": "\ufffd", "bytes": [byte], "logprob": -1.0 - byte / 1000} for byte in (200, 201)]
    entries.append({"token": " neutral", "bytes": list(b" neutral"), "logprob": -2.0})
    position = {**entries[0], "top_logprobs": entries}
    said = read_answer(
        body({"message": {"content": "x"}, "logprobs": {"content": [position]}}), "chat", LABELS, logprobs=True
    )
    assert said.shares is not None
    assert said.shares.mass == pytest.approx(math.exp(-2.0))
    assert said.shares.logits.min() >= math.log(LEAST)


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": True, "completion_tokens": 1}, {"prompt_tokens": -1}, [3]]
)
def test_tokens_that_nobody_counted_are_unknown(usage):
    said = read_answer(body({"message": {"content": "positive"}}, usage=usage), "chat", LABELS, logprobs=False)
    assert said.tokens is None
