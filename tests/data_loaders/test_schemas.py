"""The doors of the platform: what they let in, what they refuse, and what the refusal says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import UTC_DTYPE
from embargo.data_loaders.schemas import Prices, as_utc, is_among, validate_news, validate_prices, validate_scores


def news_rows(**changes: object) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "article_id": ["b", "a"],
            "published_at": pd.to_datetime(["2020-01-02 15:00", "2020-01-01 12:00"], utc=True),
            "symbol": ["AAA", "BBB"],
            "text": ["up", "down"],
        }
    )
    return frame.assign(**changes)


def bars(count: int = 4) -> Prices:
    open_at = pd.date_range("2020-01-01 10:00", periods=count, freq="h", tz="UTC", unit="us")
    panel = pd.DataFrame(np.full((count, 2), 10.0), index=open_at, columns=["AAA", "BBB"])
    return Prices(panel, panel, panel, panel, panel, open_at, open_at + pd.Timedelta(hours=1), "24/7")


def test_known_at_is_the_later_of_published_and_seen() -> None:
    seen = pd.to_datetime(["2020-01-02 14:00", "2020-01-03 12:00"], utc=True)
    news = validate_news(news_rows(seen_at=seen))
    assert news["article_id"].tolist() == ["b", "a"]
    assert news["known_at"].tolist() == [
        pd.Timestamp("2020-01-02 15:00", tz="UTC"),
        pd.Timestamp("2020-01-03 12:00", tz="UTC"),
    ]
    assert news["known_at"].dtype == UTC_DTYPE


def test_news_without_seen_at_are_seen_when_published_and_sorted() -> None:
    news = validate_news(news_rows())
    assert news["article_id"].tolist() == ["a", "b"]
    assert (news["seen_at"] == news["published_at"]).all()
    assert news["source"].eq("unknown").all()


def test_validate_news_leaves_its_input_alone_and_keeps_other_columns() -> None:
    frame = news_rows(mood=[1, 2])
    before = frame.copy()
    assert validate_news(frame)["mood"].tolist() == [2, 1]
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"published_at": pd.to_datetime(["2020-01-01", "2020-01-02"])}, "no time zone"),
        ({"published_at": ["2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"]}, "Parse them first"),
        ({"text": ["up", "  "]}, "not_blank"),
        ({"text": ["up", None]}, "'text' is empty at row 1"),
        ({"symbol": ["AAA", ""]}, "symbol"),
        ({"article_id": ["a", "a"], "symbol": ["AAA", "AAA"]}, r"1 duplicate .*\('a', 'AAA'\)"),
        ({"published_at": pd.to_datetime(["2020-01-01", None], utc=True)}, "1 rows have no timestamp, first at row 1"),
    ],
)
def test_bad_news_is_refused(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        validate_news(news_rows(**changes))


def test_missing_news_columns_are_named() -> None:
    with pytest.raises(DataError, match=r"missing columns \['text'\]"):
        validate_news(news_rows().drop(columns="text"))


def test_one_naive_stamp_among_aware_ones_is_found() -> None:
    mixed = pd.Series([pd.Timestamp("2020-01-01", tz="UTC"), pd.Timestamp("2020-01-02")], dtype=object)
    with pytest.raises(DataError, match="1 timestamps have no time zone, first 2020-01-02"):
        as_utc(mixed, what="stamps")


@given(st.lists(st.datetimes(timezones=st.timezones()), min_size=1, max_size=5))
def test_as_utc_keeps_instants_whatever_their_zone(stamps: list) -> None:
    series = pd.Series([pd.Timestamp(stamp) for stamp in stamps], dtype=object)
    result = as_utc(series, what="stamps")
    assert result.dtype == UTC_DTYPE
    assert [stamp.timestamp() for stamp in result] == pytest.approx([stamp.timestamp() for stamp in series], abs=2e-6)


def test_scores_must_sum_to_one_and_be_unique() -> None:
    good = pd.DataFrame(
        {
            "article_id": ["a", "b"],
            "bearish": [0.2, 1.0],
            "neutral": [0.3, 0.0],
            "bullish": [0.5, 0.0],
            "confidence": [0.5, 1.0],
            "model_id": "m",
        }
    )
    assert len(validate_scores(good)) == 2
    with pytest.raises(DataError, match=r"'a' sum to 0\.900000"):
        validate_scores(good.assign(neutral=[0.2, 0.0]))
    with pytest.raises(DataError, match="article_id"):
        validate_scores(good.assign(article_id="a"))
    with pytest.raises(DataError, match="bearish"):
        validate_scores(good.assign(bearish=[-0.2, 1.0], neutral=[0.7, 0.0]))
    with pytest.raises(DataError, match="bullish"):
        validate_scores(good.drop(columns="bullish"))


def test_good_prices_pass_and_select_keeps_fields_together() -> None:
    prices = validate_prices(bars())
    part = prices.select(symbols=["BBB"], bars=slice(1, 3))
    assert part.symbols == ["BBB"]
    assert part.open.shape == part.volume.shape == (2, 1)
    assert part.close_at[0] == prices.close_at[1]
    validate_prices(part)


@pytest.mark.parametrize("field", ["open", "high", "low", "close", "volume"])
@pytest.mark.parametrize("value", [-1.0, np.inf])
def test_a_bad_price_is_named(field: str, value: float) -> None:
    prices = bars()
    panel = getattr(prices, field).copy()
    panel.iloc[2, 1] = value
    with pytest.raises(DataError, match=rf"{field}.*BBB at 2020-01-01 12:00"):
        validate_prices(replace(prices, **{field: panel}))


def test_zero_is_a_volume_but_no_price() -> None:
    prices = bars()
    validate_prices(replace(prices, volume=prices.volume * 0))
    with pytest.raises(DataError, match="first 0"):
        validate_prices(replace(prices, close=prices.close * 0))


def test_crossed_silent_unordered_and_overlapping_bars_are_refused() -> None:
    prices = bars()
    with pytest.raises(DataError, match="low exceeds high for AAA"):
        validate_prices(replace(prices, low=prices.low * 1.1))
    silent = prices.open.copy()
    silent["BBB"] = np.nan
    with pytest.raises(DataError, match=r"no opening price at all for \['BBB'\]"):
        validate_prices(replace(prices, open=silent))
    with pytest.raises(DataError, match="before the one before it closed"):
        validate_prices(replace(prices, close_at=prices.close_at + pd.Timedelta(minutes=1)))
    with pytest.raises(DataError, match="closes before it opens"):
        validate_prices(replace(prices, close_at=prices.open_at))
    with pytest.raises(DataError, match="index or columns differ"):
        validate_prices(replace(prices, high=prices.high.iloc[:-1]))
    with pytest.raises(DataError, match="strictly increasing"):
        validate_prices(prices.select(bars=np.array([1, 0, 2])))
    with pytest.raises(DataError, match="no bars"):
        validate_prices(prices.select(bars=slice(0, 0)))


@given(
    st.lists(st.sampled_from(["a", "b", "", "ä"]), max_size=6), st.lists(st.sampled_from(["b", "", "c"]), max_size=4)
)
def test_strings_are_looked_up_as_pandas_does(values: list[str], others: list[str]) -> None:
    known, sought = pd.Series(others, dtype="str"), pd.Series(values, dtype="str")
    assert is_among(sought, known).tolist() == sought.isin(others).tolist()
    numbered = sought.map({"a": 1, "b": 2, "": 3, "ä": 4}).astype("int64")
    assert is_among(numbered, pd.Index([2, 3])).tolist() == sought.isin(["b", ""]).tolist()
