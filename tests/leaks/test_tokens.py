"""Words are those that stand in the texts, in order; terms are counted once a text."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.backtest.leakage import tokens
from embargo.backtest.leakage.groups import _stories
from embargo.backtest.leakage.tokens import Words

TEXTS = st.lists(st.lists(st.sampled_from(["acme", "beta", "up", "über", "7"]), max_size=8).map(" ".join), max_size=12)


def told(words: Words) -> list[list[str]]:
    return [[str(words.names[place]) for place in words.ids[words.text == text]] for text in range(words.texts)]


@given(TEXTS)
def test_words_are_those_of_the_texts(texts):
    assert told(Words.of(pd.Series(texts, dtype="str"))) == [text.split() for text in texts]


def test_signs_links_and_handles_part_words():
    assert told(Words.of(["RT @bob: ACME's 5% https://t.co/x up\n"])) == [["rt", "acme", "s", "5", "up"]]


@given(TEXTS, st.data())
def test_some_texts_are_taken_in_the_order_asked_for(texts, data):
    chosen = data.draw(st.permutations(range(len(texts)))) if texts else []
    chosen = chosen[: len(texts) // 2]
    words = Words.of(pd.Series(texts, dtype="str")).rows(np.array(chosen, dtype=np.int64))
    assert told(words) == [texts[place].split() for place in chosen]


@given(TEXTS, st.integers(1, 3))
def test_terms_are_counted_once_a_text(texts, fewest):
    words = Words.of(pd.Series(texts, dtype="str"))
    terms, holds = words.frequent(fewest)
    found = {words.name(term): set(holds[:, place].nonzero()[0]) for place, term in enumerate(terms.T)}
    assert holds.nnz == 0 or set(holds.data) == {1.0}
    wanted: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        parts = text.split()
        for term in [*parts, *(" ".join(pair) for pair in pairwise(parts))]:
            wanted.setdefault(term, []).append(row)
    single = {term: rows for term, rows in wanted.items() if " " not in term}
    for term, rows in wanted.items():
        if len(rows) >= fewest and all(len(single[part]) >= fewest for part in term.split()):
            assert found[term] == set(rows)


MIXED = st.lists(
    st.lists(
        st.sampled_from(["acme", "Beta", "up", "ÜBER", "7", "@bob", "https://t.co/x", "'s", "\n", ""]), max_size=8
    ).map(" ".join),
    min_size=1,
    max_size=30,
)


@given(MIXED, st.integers(1, 7), st.integers(1, 9))
def test_texts_that_are_read_in_pieces_have_the_numbers_of_texts_that_are_read_at_once(texts, piece, at_once):
    series = pd.Series(texts, dtype="str")
    whole = Words.of(series)
    with pytest.MonkeyPatch.context() as cut:
        cut.setattr(tokens, "_PIECE", piece)
        cut.setattr(tokens, "_AT_ONCE", at_once)
        parts = Words.of(series)
        blocks = list(parts.blocks())
        stories = _stories(parts)
    assert parts.names.tolist() == whole.names.tolist()
    assert (parts.ids == whole.ids).all()
    assert (parts.text == whole.text).all()
    assert parts.texts == whole.texts == len(texts)
    assert parts.ids.dtype == parts.text.dtype == np.int32
    assert [place for own, _ in blocks for place in range(own.start, own.stop)] == list(range(len(texts)))
    assert [place for _, own in blocks for place in range(own.start, own.stop)] == list(range(len(whole.ids)))
    assert stories.tolist() == _stories(whole).tolist()


@given(TEXTS)
def test_texts_of_the_same_words_are_one_story(texts):
    stories = _stories(Words.of(pd.Series([f"{text} x y z" for text in texts], dtype="str")))
    seen: dict[str, int] = {}
    for text, story in zip(texts, stories, strict=True):
        assert seen.setdefault(" ".join(text.split()), story) == story
    assert len(set(seen.values())) == len(seen)


def test_too_many_words_are_drawn_by_a_seed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tokens, "MOST_WORDS", 50)
    words = Words.of([f"acme beta {number}" for number in range(100)])
    every = np.arange(100)
    first, again, other = words.drawn(every, 1), words.drawn(every, 1), words.drawn(every, 2)
    assert len(first) == 16
    assert (first == again).all()
    assert (np.diff(first) > 0).all()
    assert (first != other).any()
