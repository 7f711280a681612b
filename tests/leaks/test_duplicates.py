from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.backtest.leakage import article_keys, check_duplicates
from embargo.backtest.leakage import word_pairs as module
from embargo.backtest.leakage.duplicates import ReadTexts, judge_copies
from embargo.backtest.leakage.word_pairs import WordPairs, near_matches
from embargo.data_loaders.errors import ConfigError, DataError

VOCABULARY = np.array([f"word{i}" for i in range(400)])


def _texts(rng: np.random.Generator, n: int, length: int = 11) -> list[str]:
    weights = 1.0 / np.arange(3, 403)
    return [" ".join(row) for row in rng.choice(VOCABULARY, (n, length), p=weights / weights.sum())]


def _split(seed: int, n_train: int = 1600, n_test: int = 400):
    rng = np.random.default_rng(seed)
    at = pd.Series(pd.date_range("2020-01-01", periods=n_train + n_test, freq="h", tz="UTC", unit="us"))
    texts = _texts(rng, n_train + n_test)
    return rng, texts[:n_train], at[:n_train], texts[n_train:], at[n_train:]


def _mangle(text: str) -> str:
    return "RT @desk: " + text.replace(" ", ", ", 2).upper() + " !! https://t.co/x1"


def _one_word_changed(text: str) -> str:
    words = text.split()
    return " ".join([*words[:-1], "altogether"])


@pytest.mark.parametrize("seed", range(4))
def test_fresh_texts_pass(seed):
    _, train, train_at, test, test_at = _split(seed)
    finding = check_duplicates(train, train_at, test, test_at)
    assert (finding.verdict, finding.effect) == ("pass", 0.0)


@pytest.mark.parametrize("change", [_mangle, _one_word_changed])
@pytest.mark.parametrize(("dose", "verdict"), [(0.10, "leak"), (0.04, "leak"), (0.015, "suspicious")])
def test_copied_headlines_are_found(change, dose, verdict):
    rng, train, train_at, test, test_at = _split(1)
    count = int(dose * len(test))
    for place, source in zip(rng.permutation(len(test))[:count], rng.permutation(len(train))[:count], strict=True):
        test[place] = change(train[source])
    finding = check_duplicates(train, train_at, test, test_at)
    assert finding.verdict == verdict
    assert finding.effect == pytest.approx(dose, abs=0.005)
    assert finding.interval[0] < dose < finding.interval[1]
    assert {"test_text", "train_text", "similarity"} <= set(finding.evidence[0])


def test_a_source_that_repeats_itself_is_its_own_yardstick():
    rng, train, train_at, test, test_at = _split(2)
    for texts, start in ((train, 400), (test, 0)):
        for place in np.flatnonzero(rng.random(len(texts)) < 0.15):
            if place >= start:
                texts[place] = train[int(rng.integers(0, 300))]
    assert check_duplicates(train, train_at, test, test_at).verdict == "pass"
    assert check_duplicates(train, train_at, test, test_at, allowed=0.01).verdict == "leak"
    for place in rng.permutation(len(test))[:80]:
        test[place] = train[int(rng.integers(300, 1600))] + "."
    assert check_duplicates(train, train_at, test, test_at).verdict == "leak"


def test_a_training_copy_from_later_is_always_a_leak():
    _, train, train_at, test, test_at = _split(3)
    train[-1], train_at = test[0] + "!", train_at.copy()
    train_at.iloc[-1] = test_at.iloc[0] + pd.Timedelta(days=1)
    finding = check_duplicates(train, train_at, test, test_at)
    assert finding.verdict == "leak"
    assert "later than themselves" in finding.detail
    train[-1] = _one_word_changed(test[0])
    assert check_duplicates(train, train_at, test, test_at).verdict == "pass", "one near match is no proof"


@pytest.mark.parametrize("change", [_mangle, _one_word_changed])
@pytest.mark.parametrize(("n_train", "n_test"), [(60, 20), (300, 90), (390, 130)])
def test_one_copy_in_small_training_proves_nothing_and_says_so(n_train, n_test, change):
    _, train, train_at, test, test_at = _split(6, n_train, n_test)
    assert check_duplicates(train, train_at, test, test_at).verdict == "pass"
    test[3] = change(train[5])
    finding = check_duplicates(train, train_at, test, test_at)
    assert finding.verdict == "inconclusive"
    assert f"{n_train} training texts are too few to show the source's habit" in finding.detail
    assert check_duplicates(train, train_at, test, test_at, allowed=0.0).verdict == "leak"


def test_a_small_test_is_held_against_the_habit_of_a_large_training():
    _, train, train_at, test, test_at = _split(9, 1600, 40)
    test[0] = _one_word_changed(train[5])
    finding = check_duplicates(train, train_at, test, test_at)
    assert (finding.verdict, finding.remedy) == ("pass", "")
    assert "repeat earlier ones at up to 0.00%" in finding.detail
    test[:12] = map(_one_word_changed, train[:12])
    assert check_duplicates(train, train_at, test, test_at).verdict == "leak"


@pytest.mark.parametrize(
    ("copies", "change", "verdict"),
    [
        (40, _one_word_changed, "inconclusive"),
        (40, _mangle, "leak"),
        (7, _mangle, "suspicious"),
        (3, _mangle, "inconclusive"),
    ],
)
def test_small_training_doubts_copies_word_for_word_beyond_its_own_repeats(copies, change, verdict):
    _, train, train_at, test, test_at = _split(7, 300, 90)
    test[:copies] = [change(text) for text in train[50 : 50 + copies]]
    assert check_duplicates(train, train_at, test, test_at).verdict == verdict
    # The same number of copies is no doubt where training repeats itself as often.
    train[200 : 200 + copies * 2] = (train[:copies] * 2)[: copies * 2]
    assert check_duplicates(train, train_at, test, test_at).verdict == "inconclusive"


@pytest.mark.parametrize(("copies", "verdict"), [(20, "pass"), (30, "suspicious"), (90, "leak")])
def test_near_matches_are_held_against_as_many_as_a_larger_training_brings(copies, verdict):
    """Chance resemblances are as many as there are texts to resemble: 8 in 1,200 and 5 in 800 are some 12 in 1,600."""
    _, train, train_at, test, test_at = _split(8)
    train[1200:1208] = map(_one_word_changed, train[:8])
    train[800:805] = map(_one_word_changed, train[20:25])
    test[:copies] = map(_one_word_changed, train[100 : 100 + copies])
    assert check_duplicates(train, train_at, test, test_at).verdict == verdict


def test_the_remedy_never_leads_into_look_ahead():
    _, train, train_at, test, test_at = _split(1)
    test[:80] = train[:80]
    assert "never move a test text into training" in check_duplicates(train, train_at, test, test_at).remedy


def test_short_texts_are_counted_not_compared():
    _, train, train_at, test, test_at = _split(4)
    train[:200], test[:100] = ["Buy AAPL now"] * 200, ["buy aapl now!"] * 100
    finding = check_duplicates(train, train_at, test, test_at)
    assert finding.verdict == "pass"
    assert "300 texts of fewer than 4 words" in finding.detail
    assert check_duplicates(["a b"], train_at[:1], ["a b"], test_at[:1]).verdict == "not-applicable"


def test_capped_search_is_a_fair_sample_and_says_so(monkeypatch):
    rng, train, train_at, test, test_at = _split(5)
    for place in rng.permutation(len(test))[:80]:
        test[place] = _one_word_changed(train[int(rng.integers(0, 1600))])
    full = check_duplicates(train, train_at, test, test_at)
    monkeypatch.setattr(module, "_POSTINGS_IN_ALL", 60)
    capped = check_duplicates(train, train_at, test, test_at)
    assert "Near copies were sought for" in capped.detail
    assert capped.verdict == full.verdict == "leak"
    assert capped.effect == pytest.approx(full.effect, rel=0.6)


def _pairs_of(text: str) -> set[tuple[str, str]]:
    words = ["", *text.split(" "), ""]
    return set(pairwise(words))


def _slow_best(query: str, corpus: list[str], threshold: float) -> tuple[int, float]:
    best, place = 0.0, -1
    for position, text in enumerate(corpus):
        one, other = _pairs_of(query), _pairs_of(text)
        jaccard = len(one & other) / len(one | other)
        if jaccard >= threshold - 1e-12 and jaccard > best:
            best, place = jaccard, position
    return place, best


words = st.lists(st.sampled_from(["up", "down", "oil", "bank", "rate"]), min_size=1, max_size=9).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(words, min_size=1, max_size=8), st.lists(words, min_size=1, max_size=12), st.sampled_from([0.5, 0.7, 1.0])
)
def test_near_matches_equal_brute_force(queries, corpus, threshold):
    found = near_matches(queries, corpus, threshold=threshold)
    assert found.searched.all()
    for query, place, similarity in zip(queries, found.position, found.similarity, strict=True):
        assert (place, similarity) == _slow_best(query, corpus, threshold)


@settings(max_examples=60, deadline=None)
@given(st.lists(words, min_size=1, max_size=12), st.integers(1, 5), st.data())
def test_texts_that_are_parted_in_pieces_hold_the_same_pairs(texts, piece, data):
    rows = np.array(data.draw(st.lists(st.integers(0, len(texts) - 1), unique=True, min_size=1)))
    with pytest.MonkeyPatch.context() as cut:
        cut.setattr(module, "_PIECE", piece)
        parts = WordPairs.of(pa.array(texts, pa.large_string()))
    whole = WordPairs.of(pa.array(texts, pa.large_string()))
    assert (parts.ends == whole.ends).all()
    assert parts.kinds == whole.kinds
    assert (parts.codes == whole.codes).all()
    held = whole.matrix(rows)
    alone = WordPairs.of(pa.array([texts[row] for row in rows], pa.large_string())).matrix(np.arange(len(rows)))
    # Columns are numbered as if no other text had been read, so that the same texts are searched.
    assert (held.toarray() == alone.toarray()).all()
    assert [len(_pairs_of(texts[row])) for row in rows] == np.diff(held.indptr).tolist()


@pytest.mark.parametrize("cap", [10**9, 3_000])
def test_several_splits_of_texts_that_are_read_once_are_judged_like_each_alone(cap, monkeypatch):
    monkeypatch.setattr(module, "_POSTINGS_IN_ALL", cap)
    monkeypatch.setattr(module, "_PIECE", 37)
    rng, train, train_at, test, test_at = _split(7_300_011, 900, 300)
    for place in rng.permutation(len(test))[:60]:
        test[place] = _one_word_changed(train[int(rng.integers(0, 900))])
    for place in rng.permutation(len(test))[:20]:
        test[place] = _mangle(train[int(rng.integers(0, 900))])
    texts, at = pd.Series([*train, "too short", *test], dtype="str"), pd.concat([train_at, train_at[:1], test_at])
    # No text of the first is copied within it.
    cuts = [(slice(0, 500), slice(500, 900)), (slice(200, 1000), slice(1000, 1201)), (slice(0, 901), slice(901, 1100))]
    read = ReadTexts.of([texts.iloc[own] for cut in cuts for own in cut])
    for fold, (learnt, tested) in enumerate(cuts):
        found = judge_copies(read, (2 * fold, at.iloc[learnt]), (2 * fold + 1, at.iloc[tested]), seed=fold)
        alone = check_duplicates(texts.iloc[learnt], at.iloc[learnt], texts.iloc[tested], at.iloc[tested], seed=fold)
        assert found == alone
        assert bool(found.evidence) == (fold > 0)


def test_keys_ignore_punctuation_but_not_the_instant():
    at = pd.Timestamp("2020-01-01 10:00", tz="UTC")
    frame = pd.DataFrame(
        {"text": ["Acme rises.", "ACME rises!", "Acme rises."], "known_at": [at, at, at + pd.Timedelta(1, "s")]}
    )
    first, same, later = article_keys(frame)
    assert first == same != later
    assert len(first) == 64


def test_malformed_input_is_refused():
    _, train, train_at, test, test_at = _split(0, 20, 10)
    with pytest.raises(DataError, match="one instant per text"):
        check_duplicates(train, train_at[:-1], test, test_at)
    with pytest.raises(DataError, match="no time zone"):
        check_duplicates(train, train_at.dt.tz_localize(None), test, test_at)
    with pytest.raises(ConfigError, match="allowed"):
        check_duplicates(train, train_at, test, test_at, allowed=1.0)


def test_nothing_is_near_to_nothing_and_all_of_it_was_searched():
    for queries, corpus in (([], ["a text of four words"]), (["a text of four words"], [])):
        found = near_matches(queries, corpus)
        assert found.position.tolist() == [-1] * len(queries)
        assert found.similarity.tolist() == [0.0] * len(queries)
        assert found.searched.tolist() == [True] * len(queries)


def test_queries_that_meet_nothing_do_not_end_the_search(monkeypatch):
    """Searched one by one, those after a query without a match are searched all the same."""
    monkeypatch.setattr(module, "_POSTINGS_AT_ONCE", 1)
    corpus = [f"a text of five words {number}" for number in range(6)]
    for seed in (7, 21, 26):  # they search it first
        found = near_matches(["nothing here is like any other", *corpus], corpus, seed=seed)
        assert found.position.tolist() == [-1, *range(6)]
        assert found.searched.all()
