"""What is found once for many rows or folds is what was found for each: held against the plain ways to find it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.data_loaders import labels
from embargo.data_loaders.archive import prices as archive_prices
from embargo.data_loaders.archive import read_prices
from embargo.data_loaders.checks import reaction
from embargo.data_loaders.checks.repeats import text_numbers
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.schemas import time_order, validate_news
from embargo.data_loaders.splits import holdout, part_of

AT = pd.date_range("2020-01-01", periods=4, freq="20D", tz="UTC", unit="us")
TEXTS = ["Apple beats", "APPLE beats!", "Apple misses", "Pear", "pear.", "https://t.example/x", "https://t.example/y"]


@st.composite
def news_frames(draw: st.DrawFn) -> pd.DataFrame:
    """News with few instants, texts and articles, so that ties, copies and contradictions are common."""
    keys = draw(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ABC")), min_size=1, max_size=14, unique=True))
    rows = draw(st.lists(st.tuples(*[st.integers(0, n) for n in (3, 3, 6, 3)]), min_size=len(keys), max_size=len(keys)))
    said = ["bearish", " Bullish", "neutral", None]
    return pd.DataFrame(
        {
            "article_id": [f"a{number}" for number, _ in keys],
            "symbol": [symbol for _, symbol in keys],
            "published_at": [AT[row[0]] for row in rows],
            "seen_at": [AT[row[1]] for row in rows],
            "text": pd.Series([TEXTS[row[2]] for row in rows], dtype="str"),
            "label": pd.Series([said[row[3]] for row in rows], dtype="str"),
        }
    )


@settings(max_examples=60)
@given(news_frames())
def test_news_are_sorted_as_by_all_three_keys(frame: pd.DataFrame) -> None:
    news = validate_news(frame)
    known_at = frame[["published_at", "seen_at"]].max(axis=1)
    keys = ["known_at", "article_id", "symbol"]
    wanted = frame.assign(known_at=known_at, source="unknown").sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(news, wanted[list(news.columns)])
    np.testing.assert_array_equal(time_order(news, ("article_id", "symbol")), np.arange(len(news)))


@settings(max_examples=80)
@given(news_frames())
def test_texts_numbered_once_settle_and_split_as_when_compared_anew(frame: pd.DataFrame) -> None:
    news = validate_news(frame)
    rows = labels.labelled_rows(news, "label")
    said = news["label"].str.strip().str.lower().map({"bearish": 0.0, "neutral": 1.0, "bullish": 2.0})
    pd.testing.assert_series_equal(rows["label"], said.rename("label"), check_dtype=False)
    numbered = rows.assign(**{labels.STORY: text_numbers(rows["text"])})
    for until in AT:
        part = rows["known_at"] <= until
        one, other = labels.settle(rows[part], {}), labels.settle(numbered[part], {})
        pd.testing.assert_frame_equal(one.frame, other.frame.drop(columns=labels.STORY))
        assert one.counts == other.counts
        known = rows[part].dropna(subset="label")
        said_of = known.groupby(text_numbers(known["text"]))["label"].transform("nunique")
        kept = known[said_of == 1].sort_values(["known_at", "article_id"], kind="stable").drop_duplicates("article_id")
        assert one.frame["article_id"].tolist() == kept["article_id"].tolist()
        assert one.frame["label"].tolist() == kept["label"].tolist()
    samples = labels.settle(numbered, {}).frame
    if samples["known_at"].nunique() == len(AT):
        fold = holdout(AT[0], AT[2], AT[3], AT[3] + pd.Timedelta("1D"))
        told, anew = (
            part_of(each, fold, embargo=pd.Timedelta("1D")).counts
            for each in (samples, samples.drop(columns=labels.STORY))
        )
        assert told == anew


def test_a_text_in_training_and_test_is_counted_by_its_number() -> None:
    at = pd.to_datetime(["2020-01-02", "2020-02-02", "2020-03-02", "2020-03-03"], utc=True).as_unit("us")
    frame = pd.DataFrame(
        {"article_id": list("abcd"), "text": ["Apple beats", "Pear", "apple BEATS", "Plum"], "label": 1}
    )
    samples = frame.assign(known_at=at, starts_at=at, ends_at=at)
    fold = holdout("2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01")
    for each in (samples, samples.assign(**{labels.STORY: text_numbers(samples["text"])})):
        assert part_of(each, fold, embargo=pd.Timedelta("1D")).counts["test_texts_seen_in_train"] == 1


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("BAC")), min_size=1, max_size=12, unique=True))
def test_bars_are_laid_out_as_by_a_pivot(keys: list[tuple[int, str]]) -> None:
    bars = pd.date_range("2020-01-01", periods=6, freq="D", tz="UTC", unit="us")
    level = np.arange(len(keys), dtype=float)
    frame = pd.DataFrame(
        {"symbol": pd.Series([name for _, name in keys], dtype="str"), "bar": bars[[at for at, _ in keys]]}
    )
    frame = frame.assign(**{name: level + place for place, name in enumerate(PRICE_FIELDS)})
    found = archive_prices._panels(frame, ["C", "A"])
    wide = frame.pivot(index="bar", columns="symbol", values=list(PRICE_FIELDS))  # noqa: PD010
    for name in PRICE_FIELDS:
        wanted = wide[name].reindex(columns=["C", "A"]).sort_index().rename_axis(columns=None)
        pd.testing.assert_frame_equal(found[name], wanted, check_column_type=False)


def test_days_written_once_for_all_symbols_are_refused_by_their_row(tmp_path: object) -> None:
    quote = {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0}
    rows = [{"symbol": name, "date": day} | quote for name in "AB" for day in ("2014-07-01", "2014-07-02")]
    pd.DataFrame(rows).to_csv(f"{tmp_path}/bars.csv", index=False)
    assert read_prices(f"{tmp_path}/bars.csv", calendar="XNYS").prices.close.shape == (2, 2)
    rows[3]["date"] = "2014-07-02 10:00"
    pd.DataFrame(rows).to_csv(f"{tmp_path}/bars.csv", index=False)
    with pytest.raises(DataError, match=r"row 4.*2014-07-02 10:00.*time of day"):
        read_prices(f"{tmp_path}/bars.csv", calendar="XNYS")


def test_a_bar_written_twice_counts_once_and_one_of_two_contents_is_refused(tmp_path: object) -> None:
    quote = {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0}
    rows = [{"symbol": name, "date": "2014-07-01"} | quote for name in "ABAA"]
    pd.DataFrame(rows).to_csv(f"{tmp_path}/bars.csv", index=False)
    loaded = read_prices(f"{tmp_path}/bars.csv", calendar="XNYS")
    assert loaded.counts["identical_rows_collapsed"] == 2
    rows[2]["volume"] = 2.0
    pd.DataFrame(rows).to_csv(f"{tmp_path}/bars.csv", index=False)
    with pytest.raises(DataError, match=r"A has several different bars.*2 such rows"):
        read_prices(f"{tmp_path}/bars.csv", calendar="XNYS")


@settings(max_examples=80)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), max_size=60), st.booleans())
def test_cells_of_rows_in_order_are_those_that_sorting_finds(rows: list[tuple[int, int]], in_order: bool) -> None:
    rows = sorted(rows, key=lambda row: row[0]) if in_order else rows
    place, column = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    found = reaction._cells(place, column, 4)
    key, group = np.unique(place * 4 + column, return_inverse=True)
    for one, other in zip(found, (*np.divmod(key, 4), group), strict=True):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 30), max_size=40), st.lists(st.integers(0, 30), min_size=1, max_size=9, unique=True))
def test_stamps_in_order_are_cut_where_a_search_finds_them(stamps: list[int], starts: list[int]) -> None:
    at, begun = (np.array(sorted(each), dtype="datetime64[us]") for each in (stamps, starts))
    nothing = np.empty((len(begun), 0))
    legs = reaction.Legs(begun, begun[-1], nothing, nothing, pd.Index([]), alternate=False)
    for each in (at, at[::-1]):
        np.testing.assert_array_equal(legs.of(each), np.searchsorted(begun, each, side="right") - 1)
