import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.data_loaders.calendars import decision_times, sessions
from embargo.data_loaders.errors import DataError
from embargo.signals.alignment import align

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


MICROSECOND = pd.Timedelta(microseconds=1)
FORMS = {
    "list": list,
    "str": lambda names: pd.Series(names, dtype="str"),
    "object": lambda names: np.array(names, dtype=object),
    "categorical": lambda names: pd.Series(pd.Categorical(names)),
    "categorical index": lambda names: pd.CategoricalIndex(names),
    "bare categorical": lambda names: pd.Categorical(names, categories=["Z", "C", "B", "A"]),
    "arrow": lambda names: pa.array(names, pa.string()),
    "arrow chunks": lambda names: pa.chunked_array([names[:3], names[3:]], pa.large_string()),
    "arrow dictionary": lambda names: pa.array(names, pa.string()).dictionary_encode(),
    "dictionaries that differ": lambda names: pa.chunked_array(
        [pa.array(part, pa.string()).dictionary_encode() for part in (names[:3], names[3:])]
    ),
    "dictionary column": lambda names: pd.Series(
        names, dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string())), index=range(7, 7 + len(names))
    ),
}


def by_hand(known, symbols, decided, columns, not_before):
    """Look at every bar for every article."""
    rows, places, counts = [], [], dict.fromkeys(["aligned", "after_last_bar", "before_first_bar", "unknown_symbol"], 0)
    for instant, name in zip(known, symbols, strict=True):
        row = next((bar for bar, decision in enumerate(decided) if instant <= decision), None)
        why = "aligned"
        if name not in columns:
            why = "unknown_symbol"
        elif not_before is not None and instant < not_before:
            why = "before_first_bar"
        elif row is None:
            why = "after_last_bar"
        counts[why] += 1
        rows.append(row if why == "aligned" else -1)
        places.append(columns.index(name) if why == "aligned" else -1)
    return rows, places, counts


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25)
@given(data=st.data(), ordered=st.booleans(), stale=st.booleans(), latency=st.integers(0, 7200))
def test_agrees_with_looking_at_every_bar_to_the_microsecond(form, data, ordered, stale, latency):
    decided = decision_times(OPEN_AT, pd.Timedelta(seconds=latency))
    near = st.builds(
        lambda bar, off: decided[bar] + off * MICROSECOND, st.integers(0, len(decided) - 1), st.integers(-2, 2)
    )
    far = st.integers(0, 12 * 86400).map(
        lambda second: pd.Timestamp("2014-06-30", tz="UTC") + pd.Timedelta(seconds=second)
    )
    known = data.draw(st.lists(near | far, max_size=30))
    known = sorted(known) if ordered else known
    names = data.draw(st.lists(st.sampled_from(["A", "B", "C", None]), min_size=len(known), max_size=len(known)))
    not_before = decided[1] + data.draw(st.integers(-1, 1)) * MICROSECOND if stale else None
    stamps = pd.Series(pd.DatetimeIndex(known, dtype="datetime64[us, UTC]"))
    placed = align(stamps, FORMS[form](names), decided, ["B", "A"], not_before=not_before)
    rows, places, counts = by_hand(known, names, decided, ["B", "A"], not_before)
    assert (placed.row.tolist(), placed.column.tolist(), placed.counts) == (rows, places, counts)
    assert placed.row.dtype == placed.column.dtype == np.int64


def test_a_nanosecond_late_is_late():
    known = pd.Series(pd.DatetimeIndex([DECIDED[2], DECIDED[2]]).as_unit("ns") + pd.to_timedelta([0, 1], unit="ns"))
    assert align(known, ["A", "A"], DECIDED, ["A"]).row.tolist() == [2, 3]
    early = pd.DatetimeIndex(DECIDED.as_unit("ns") - pd.Timedelta(1, unit="ns"))
    assert align(known, ["A", "A"], early, ["A"]).row.tolist() == [3, 3]


def test_instants_of_any_zone_and_unit_mean_the_same():
    known = pd.DatetimeIndex(at("2014-07-01 13:25:00", "2014-07-01 13:25:01", "2014-07-03 10:00"))
    for variant in (
        known.tz_convert("America/New_York"),
        known.as_unit("s"),
        known.as_unit("ns"),
        pd.Series(known.astype(object), dtype=object),
        pd.Series(known, index=["x", "x", "y"]),
    ):
        assert align(variant, ["A"] * 3, DECIDED, ["A"]).row.tolist() == [0, 1, 2]


def test_missing_instants_are_refused():
    for known in (at("2014-07-01 10:00", None), pd.DatetimeIndex(["2014-07-01", None], dtype="datetime64[ns, UTC]")):
        with pytest.raises(DataError, match="1 rows have no timestamp, first at row 1"):
            align(known, ["A", "A"], DECIDED, ["A"])


def test_its_input_is_left_alone():
    known, symbols = at("2014-07-02 10:00", "2015-07-02 10:00"), pd.Categorical(["A", "Z"])
    before = known.copy()
    align(known, symbols, DECIDED, ["A"])
    pd.testing.assert_series_equal(known, before)
    assert list(symbols) == ["A", "Z"]


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
