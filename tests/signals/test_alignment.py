import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_loaders.calendars import decision_times, sessions
from data_loaders.errors import DataError
from signals.alignment import align

BARS = sessions("XNYS", pd.Timestamp("2014-07-01"), pd.Timestamp("2014-07-10"))
OPEN_AT = pd.DatetimeIndex(BARS["open_at"])
DECIDED = decision_times(OPEN_AT, pd.Timedelta(minutes=5))


def at(*texts):
    return pd.Series(pd.to_datetime(list(texts), utc=True, format="ISO8601"))


def test_an_article_reaches_the_first_row_decided_at_or_after_it():
    known = at("2014-07-01 13:25:00", "2014-07-01 13:25:00.000001", "2014-07-04 12:00", "2014-07-03 16:59")
    placed = align(known, ["A", "A", "B", "B"], DECIDED, ["A", "B"])
    assert placed.row.tolist() == [0, 1, 3, 3]
    assert OPEN_AT[3] == pd.Timestamp("2014-07-07 13:30", tz="UTC")
    assert placed.column.tolist() == [0, 0, 1, 1]
    assert placed.counts == {"aligned": 4, "after_last_bar": 0, "before_first_bar": 0, "unknown_symbol": 0}


def test_what_cannot_be_placed_is_counted_and_marked():
    known = at("2014-07-02 10:00", "2014-07-02 10:00", "2014-08-01 10:00", "2013-01-01 10:00")
    placed = align(known, ["A", "Z", "A", "A"], DECIDED, ["A"], not_before=pd.Timestamp("2014-06-30", tz="UTC"))
    assert placed.row.tolist() == [1, -1, -1, -1]
    assert placed.column.tolist() == [0, -1, -1, -1]
    assert placed.used.tolist() == [True, False, False, False]
    assert placed.counts == {"aligned": 1, "after_last_bar": 1, "before_first_bar": 1, "unknown_symbol": 1}


def test_nothing_to_place():
    placed = align(pd.DatetimeIndex([], dtype="datetime64[us, UTC]"), [], DECIDED, ["A"])
    assert len(placed.row) == 0
    assert sum(placed.counts.values()) == 0


def test_without_not_before_old_news_lands_on_the_first_row():
    assert align(at("2001-01-01"), ["A"], DECIDED, ["A"]).row.tolist() == [0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"known_at": pd.Series(pd.to_datetime(["2014-07-01"]))}, "no time zone"),
        ({"symbol": ["A", "B"]}, "1 instants but 2 symbols"),
        ({"columns": ["A", "A"]}, "names two columns"),
        ({"decided_at": DECIDED[::-1]}, "not increasing at row 1"),
        ({"not_before": pd.Timestamp("2014-01-01")}, "no time zone"),
    ],
)
def test_bad_input_is_refused(change, message):
    given_ = {"known_at": at("2014-07-01 10:00"), "symbol": ["A"], "decided_at": DECIDED, "columns": ["A"]} | change
    with pytest.raises(DataError, match=message):
        align(**given_)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 10 * 24 * 3600), max_size=40), st.integers(0, 12 * 3600))
def test_agrees_with_a_linear_search_and_never_looks_ahead(seconds, latency):
    decided = decision_times(OPEN_AT, pd.Timedelta(seconds=latency))
    known = pd.Series(pd.Timestamp("2014-07-01", tz="UTC") + pd.to_timedelta(seconds, unit="s")).astype(
        "datetime64[us, UTC]"
    )
    placed = align(known, ["A"] * len(known), decided, ["A"])
    for instant, row in zip(known, placed.row, strict=True):
        eligible = [t for t in range(len(decided)) if decided[t] >= instant]
        assert row == (eligible[0] if eligible else -1)
    assert sum(placed.counts.values()) == len(known)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 10 * 24 * 3600), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_the_articles_does_not_matter(seconds, random):
    order = list(range(len(seconds)))
    random.shuffle(order)
    known = pd.Series(pd.Timestamp("2014-07-01", tz="UTC") + pd.to_timedelta(seconds, unit="s"))
    symbols = np.array(["A" if second % 2 else "B" for second in seconds], dtype=object)
    straight = align(known, symbols, DECIDED, ["A", "B"])
    mixed = align(known.iloc[order], symbols[order], DECIDED, ["A", "B"])
    np.testing.assert_array_equal(mixed.row, straight.row[order])
    np.testing.assert_array_equal(mixed.column, straight.column[order])
