"""The store agrees with a slow account of who knew what when, whatever was appended in whatever order."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.revisions import Row, as_of
from samples.store_histories import LATE, MICROSECOND, commits, fill, fresh, minute, revisions

from embargo.data_loaders.schemas import validate_news
from embargo.data_loaders.store import Cover, Store, hashing
from embargo.data_loaders.store.manifest import gaps, merged


@given(commits(), st.lists(st.integers(-1, 61), min_size=2, max_size=3))
@settings(max_examples=25)
def test_it_agrees_with_the_slow_account(batches: list[list[Row]], instants: list[int]) -> None:
    store, rows = fresh(), [row for batch in batches for row in batch]
    fill(store, batches)
    for t, versions in zip([LATE, *instants], ["all", "latest", "first", "all"], strict=False):
        answer = store.as_of(minute(t)).news(versions=versions)
        assert revisions(answer) == as_of(rows, t, versions), (t, versions)


def test_an_edited_text_is_not_backdated_by_filing_it_under_another_symbol() -> None:
    store = fresh()
    told = {"published_at": [minute(0)], "source": ["wire"]}
    opened = pd.DataFrame({"article_id": ["a"], "symbol": ["AAPL"], "text": ["Results due."], "note": ["x"]} | told)
    store.append("news", opened, source="test", committed_at=minute(10))
    edited = opened.assign(symbol="TSLA", text="Results beat, shares soar.")
    same = opened.assign(symbol="MSFT", note="another relevance")
    store.append("news", pd.concat([edited, same], ignore_index=True), source="test", committed_at=minute(20))
    for symbols in (None, ["TSLA", "MSFT"]):
        known = store.as_of(minute(LATE)).news(symbols=symbols).set_index("symbol")["known_at"]
        assert known["TSLA"] == minute(20)
        assert known["MSFT"] == minute(0)
    assert list(store.as_of(minute(19)).news()["symbol"]) == ["AAPL", "MSFT"]
    told_by_sql = store.sql("SELECT known_at FROM news WHERE symbol = 'TSLA'")["known_at"]
    assert list(told_by_sql) == [minute(20)]


@given(commits())
@settings(max_examples=7)
def test_what_is_known_stays_known_and_nothing_comes_early(batches: list[list[Row]]) -> None:
    store = fresh()
    fill(store, batches)
    everything = store.as_of(minute(LATE)).news(versions="all")
    known: set[str] = set()
    numbers: dict[str, int] = {}
    for t in everything["known_at"].drop_duplicates():
        at, before = store.as_of(t).news(), store.as_of(t - MICROSECOND).news()
        assert (at["known_at"] <= t).all()
        assert (at["known_at"] == t).any(), "exactly t counts"
        assert (before["known_at"] < t).all(), "one microsecond earlier it does not"
        keys = at["article_id"] + " " + at["symbol"]
        assert known <= set(keys)
        known = set(keys)
        now = dict(zip(keys, at["revision"], strict=True))
        assert all(now[key] >= number for key, number in numbers.items())
        numbers = now


@given(commits())
@settings(max_examples=7)
def test_compaction_changes_no_answer(batches: list[list[Row]]) -> None:
    store, cover = fresh(), Cover("news", "v", "X", "", minute(0), minute(5))
    fill(store, batches)
    for last in (1, 3):
        store.append("news", pd.DataFrame(), source=f"empty {last}", committed_at=minute(last), covers=[cover])
    sources, covered = store.sources(), store.covered("news", "v", "X")
    instants = [minute(LATE), minute(20)]
    before = [store.as_of(t).news(versions="all") for t in instants]
    report = store.compact(committed_at=minute(100))
    assert report["new_batches"] == 1
    assert len(store.batches()) == 1
    for clock in (minute(101), minute(100) + pd.Timedelta(days=1)):
        for t, frame in zip(instants, before, strict=True):
            pd.testing.assert_frame_equal(store.as_of(t).news(versions="all"), frame)
        assert (store.sources(), store.covered("news", "v", "X")) == (sources, covered)
        report = store.compact(committed_at=clock)
    assert report["removed_entries"] == len(batches) + 2
    assert store.check().orphans == ()


def test_two_compactions_at_once_repeat_facts_that_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    store = fresh()
    fill(store, [[Row("a X", "a", text, (text, 0), 0, None, committed)] for committed, text in enumerate("ABA")])
    before = store.as_of(minute(LATE)).news(versions="all")
    other = Store.open(store.root)
    stale = store._manifest.listing()
    other.compact(committed_at=minute(50))
    monkeypatch.setattr(store._manifest, "listing", lambda: stale)
    store.compact(committed_at=minute(50))
    monkeypatch.undo()
    assert [batch.rows for batch in store.batches()] == [3, 3]
    pd.testing.assert_frame_equal(store.as_of(minute(LATE)).news(versions="all"), before)
    assert store.compact(committed_at=minute(51))["exact_duplicates"] == 3
    pd.testing.assert_frame_equal(store.as_of(minute(LATE)).news(versions="all"), before)


words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=8)
extras = st.fixed_dictionaries(
    {}, optional={"likes": st.integers(-(2**62), 2**62), "url": words, "mood": st.floats(-1, 1), "ad": st.booleans()}
)
articles = st.lists(
    st.tuples(words, words, words, st.integers(-(10**15), 2 * 10**15), extras),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row[:2],
)


@given(articles)
@settings(max_examples=25)
def test_a_round_trip_loses_nothing(rows: list[tuple[str, str, str, int, dict[str, Any]]]) -> None:
    frame = pd.DataFrame(
        {
            "article_id": pd.Series([row[0] for row in rows], dtype="str"),
            "symbol": pd.Series([row[1] for row in rows], dtype="str"),
            "text": pd.Series([row[2] for row in rows], dtype="str"),
            "published_at": pd.Series(np.asarray([row[3] for row in rows], "datetime64[us]")).dt.tz_localize("UTC"),
        }
    )
    kinds = {"likes": "Int64", "url": "str", "mood": "float64", "ad": "boolean"}
    for name in sorted({name for row in rows for name in row[4]}):
        frame[name] = pd.Series([row[4].get(name) for row in rows], dtype=kinds[name])
    store = fresh()
    half = len(frame) // 2
    for part in (frame.iloc[:half], frame.iloc[half:], frame):
        if len(part):
            store.append("news", part, source="test", committed_at=minute(0))
    answer = store.as_of(pd.Timestamp("2100-01-01", tz="UTC")).news(versions="all")
    assert (answer["revision"] == 0).all()
    again = validate_news(answer)
    pd.testing.assert_frame_equal(again, answer, check_dtype=False)
    expected = validate_news(frame.assign(source="unknown"))
    for name in expected.columns:
        left, right = expected[name].astype("object"), answer[name].astype("object")
        assert [None if pd.isna(x) else x for x in left] == [None if pd.isna(x) else x for x in right], name


def test_keys_of_one_hash_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = hashing.row_hashes

    def colliding(table: Any, columns: Any, **how: Any) -> np.ndarray:
        hashes = honest(table, columns, **how)
        return np.zeros_like(hashes) if tuple(columns) == ("article_id", "symbol") else hashes

    monkeypatch.setattr("embargo.data_loaders.store.appending.row_hashes", colliding)
    store = fresh()
    rows = [Row(f"{key} X", key, "A", ("A", 0), 0, None, 1) for key in "ab"]
    later = [Row(f"{key} X", key, "B", ("B", 0), 0, None, 5) for key in "bc"]
    fill(store, [rows, later])
    assert revisions(store.as_of(minute(LATE)).news(versions="all")) == as_of(rows + later, LATE, "all")


@pytest.mark.parametrize(
    ("left", "right", "alike"),
    [
        ([5, 6], [5.0, 6.0], True),
        ([0.0, 1.0], [-0.0, 1.0], True),
        ([1, None], [1.0, float("nan")], True),
        ([2**53 + 1, 0], [2**53 + 2, 0], False),
        ([True, False], [1, 0], True),
        (["5", "6"], [5, 6], False),
    ],
)
def test_hashes_follow_what_a_value_says(left: list[Any], right: list[Any], alike: bool) -> None:
    one = hashing.row_hashes(pa.table({"x": pa.array(left, from_pandas=True)}), ["x"])
    two = hashing.row_hashes(pa.table({"X": pa.array(right, from_pandas=True)}), ["X"])
    assert (one == two).all() == alike


def test_hashes_are_the_same_on_every_machine() -> None:
    table = pa.table({"text": ["Alpha up 3%", None], "likes": [5, 7]})
    for hashing_of, pinned in PINNED.items():
        for columns in (["likes", "text"], ["text", "likes"]):
            assert hashing.row_hashes(table, columns, hashing=hashing_of).tolist() == pinned
    texts = pa.table({"text": ["x" * 600, "é" * 300 + "a", "Alpha up 3% after its results"]})
    assert hashing.row_hashes(texts, ["text"]).tolist() == PINNED_TEXTS


PINNED = {
    1: [17078373907844643564, 16262046375447601947],
    2: [17197750566321016416, 16262046375447601947],
}
PINNED_TEXTS = [10042289026178211420, 5277595176802497013, 7367684161857438009]

written = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.text("a\0 é", min_size=490, max_size=530)


@given(st.lists(st.none() | written, min_size=1, max_size=12), st.data())
@settings(max_examples=40)
def test_a_text_hashes_alike_wherever_it_stands(texts: list[str | None], data: st.DataObject) -> None:
    column = pa.array(texts, pa.large_string())
    alone = [hashing.row_hashes(pa.table({"x": pa.array([text], pa.string())}), ["x"])[0] for text in texts]
    assert hashing.row_hashes(pa.table({"x": column}), ["x"]).tolist() == alone
    first = data.draw(st.integers(0, len(texts) - 1))
    assert hashing.row_hashes(pa.table({"x": column}).slice(first), ["x"]).tolist() == alone[first:]
    assert len(set(alone)) == len(set(texts))


def test_texts_that_differ_in_a_place_or_in_a_word_hash_apart() -> None:
    letters = "abcdefgh"
    texts = [letters * n for n in range(70)] + [letters * n + "\0" for n in range(60)]
    texts += ["abc", "abc\0", "abcdefghABCDEFGH", "ABCDEFGHabcdefgh"]
    texts += ["a" * n + "b" + "a" * (40 - n) for n in range(41)]
    hashes = hashing.row_hashes(pa.table({"x": texts}), ["x"])
    assert len(set(hashes.tolist())) == len(texts)


intervals = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)


@given(intervals, st.integers(0, 40), st.integers(0, 40))
def test_what_is_missing_is_what_no_cover_holds(covers: list[tuple[int, int]], start: int, end: int) -> None:
    pairs = [(minute(a), minute(b)) for a, b in covers]
    grid = {point for a, b in covers for point in range(a, b)}
    holes, spans = gaps(pairs, minute(start), minute(end)), merged(pairs)
    assert {p for a, b in spans for p in range(41) if a <= minute(p) < b} == grid
    assert {p for a, b in holes for p in range(41) if a <= minute(p) < b} == set(range(start, end)) - grid
    for result in (holes, spans):
        assert all(a < b for a, b in result)
        assert all(one[1] < two[0] for one, two in itertools.pairwise(result))
