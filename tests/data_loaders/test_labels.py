"""Labels know over which interval they were computed, and nothing contradictory gets through uncounted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.data_loaders.archive.news import read_news
from embargo.data_loaders.archive.prices import read_prices
from embargo.data_loaders.calendars import decision_times, sessions
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.labels import (
    cut_classes,
    fit_thresholds,
    forward_returns,
    samples_from_news,
    samples_from_returns,
)
from embargo.data_loaders.schemas import Prices, validate_news
from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market

COLUMNS = ["article_id", "text", "label", "known_at", "starts_at", "ends_at"]


def news_of(*rows: tuple[object, ...]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["article_id", "published_at", "symbol", "text", "label"])
    return validate_news(frame.assign(published_at=pd.to_datetime(frame["published_at"], utc=True, format="ISO8601")))


def prices_of(opens: dict[str, list[float]]) -> Prices:
    open_at = pd.date_range("2020-01-06 14:30", periods=len(next(iter(opens.values()))), freq="D", tz="UTC", unit="us")
    panel = pd.DataFrame(opens, index=open_at)
    return Prices(panel, panel, panel, panel, panel, open_at, open_at + pd.Timedelta("6.5h"), "XNYS")


def test_news_labels_become_samples_and_the_rest_is_counted() -> None:
    result = samples_from_news(
        news_of(
            ("1", "2020-01-01", "AAA", "good", "bullish"),
            ("1", "2020-01-01", "BBB", "good", "bullish"),
            ("2", "2020-01-02", "AAA", "bad", "Negative"),
            ("3", "2020-01-03", "AAA", "unread", None),
            ("4", "2020-01-04", "AAA", "Both ways", "neutral"),
            ("5", "2020-01-05", "AAA", "both ways!", "bullish"),
        )
    )
    assert list(result.frame.columns) == COLUMNS
    assert result.frame["article_id"].tolist() == ["1", "2"]
    assert result.frame["label"].tolist() == [2, 0]
    assert result.frame["label"].dtype == np.int64
    assert (result.frame["ends_at"] == result.frame["known_at"]).all()
    assert result.counts == {"rows": 6, "unlabelled": 1, "conflicting_texts": 2, "repeated_articles": 1, "samples": 2}


def test_unknown_labels_and_columns_are_named() -> None:
    news = news_of(("1", "2020-01-01", "AAA", "good", "sell"))
    with pytest.raises(DataError, match="1 labels are unknown, first 'sell' at row 0"):
        samples_from_news(news)
    assert samples_from_news(news, mapping={"sell": "bearish"}).frame["label"].tolist() == [0]
    with pytest.raises(ConfigError, match=r"leads to \['short'\]"):
        samples_from_news(news, mapping={"sell": "short"})
    with pytest.raises(DataError, match="no column 'rating'"):
        samples_from_news(news, "rating")


def test_forward_return_runs_from_the_first_decided_open_net_of_the_universe() -> None:
    prices = prices_of({"AAA": [100, 110, 121, 121], "BBB": [100, 100, 100, 100]})
    decided = decision_times(prices.open_at, pd.Timedelta(minutes=5))
    news = news_of(
        ("in time", "2020-01-06 14:25", "AAA", "a", None),
        ("too late", "2020-01-06 14:25:01", "AAA", "b", None),
        ("no end", "2020-01-08 16:00", "AAA", "c", None),
        ("no prices", "2020-01-06 10:00", "ZZZ", "d", None),
    )
    result = forward_returns(news, prices, decided)
    values = result.frame.set_index("article_id")
    assert values.loc["in time", "value"] == pytest.approx(0.10 - 0.05)
    assert values.loc["too late", "value"] == pytest.approx(0.10 - 0.05)
    assert values.loc["in time", "ends_at"] == prices.open_at[1]
    assert values.loc["too late", "ends_at"] == prices.open_at[2]
    assert (result.frame["starts_at"] == result.frame["known_at"]).all()
    assert result.counts == {
        "rows": 4,
        "without_prices": 1,
        "before_prices": 0,
        "beyond_prices": 1,
        "missing_prices": 0,
        "averaged_rows": 0,
        "samples": 2,
    }
    two_bars = forward_returns(news, prices, decided, horizon_bars=2).frame.set_index("article_id")
    assert two_bars.loc["in time", "value"] == pytest.approx(0.21 / 2)
    assert two_bars.loc["in time", "ends_at"] == prices.open_at[2]


def test_an_article_under_two_symbols_is_one_sample_and_missing_prices_are_counted() -> None:
    prices = prices_of({"AAA": [100, 110, 110], "BBB": [100, 100, 100], "CCC": [np.nan, 100, 100]})
    decided = decision_times(prices.open_at, pd.Timedelta(0))
    news = news_of(
        ("both", "2020-01-06 10:00", "AAA", "a", None),
        ("both", "2020-01-06 10:00", "BBB", "a", None),
        ("both", "2020-01-06 10:00", "CCC", "a", None),
    )
    result = forward_returns(news, prices, decided)
    assert result.frame["value"].tolist() == pytest.approx([0.0])
    assert result.counts["missing_prices"] == 1
    assert result.counts["averaged_rows"] == 1


def test_forward_returns_refuse_what_does_not_fit() -> None:
    prices = prices_of({"AAA": [100, 110]})
    news = news_of(("1", "2020-01-06", "AAA", "a", None))
    with pytest.raises(ConfigError, match="horizon_bars"):
        forward_returns(news, prices, prices.open_at, horizon_bars=0)
    with pytest.raises(ConfigError, match="decision_times"):
        forward_returns(news, prices, prices.open_at[:1])
    with pytest.raises(ConfigError, match="decision_times"):
        forward_returns(news, prices, prices.close_at)


def test_no_label_uses_a_price_from_before_it_was_known_or_after_it_ends() -> None:
    simulation = simulate_market(SimulatedMarket(seed=2, end="2015-06-30", n_symbols=6))
    prices = simulation.prices
    decided = decision_times(prices.open_at, pd.Timedelta(minutes=5))
    before = forward_returns(simulation.news, prices, decided, horizon_bars=3).frame.set_index("article_id")
    assert (before["starts_at"] < before["ends_at"]).all()
    bar = 60
    opens = prices.open.copy()
    opens.iloc[bar] *= np.linspace(0.5, 2.0, 6)
    changed = Prices(**{**vars(prices), "open": opens})
    after = forward_returns(simulation.news, changed, decided, horizon_bars=3).frame.set_index("article_id")
    moved = ~np.isclose(before["value"], after["value"])
    assert moved.any()
    touched = prices.open_at[bar]
    assert (before.loc[moved, "starts_at"] <= touched).all()
    assert (before.loc[moved, "ends_at"] >= touched).all()


@settings(max_examples=60)
@given(
    st.sampled_from([("XNYS", "1d"), ("24/7", "1h")]),
    st.lists(st.floats(-2.0, 12.0), min_size=1, max_size=12),
    st.integers(1, 3),
)
def test_an_article_has_a_label_only_if_a_bar_of_the_prices_is_its_next(
    market: tuple[str, str], places: list[float], horizon: int
) -> None:
    calendar, bar = market
    days = sessions(calendar, pd.Timestamp("2020-01-02"), pd.Timestamp("2020-01-31"))
    every = pd.DatetimeIndex(days["open_at"], name=None)
    if bar == "1h":
        every = pd.date_range(every[0], periods=20, freq="h", unit="us")
    close_at = every + pd.Timedelta(hours=1) if bar == "1h" else pd.DatetimeIndex(days["close_at"], name=None)
    first, bars, latency = 5, 8, pd.Timedelta(minutes=5)
    inside = slice(first, first + bars)
    panel = pd.DataFrame({"AAA": np.arange(bars) ** 2 + 100.0, "BBB": 50.0}, index=every[inside])
    prices = Prices(panel, panel, panel, panel, panel, every[inside], close_at[inside], calendar)
    step = every[1] - every[0]
    known_at = [every[first] - latency + step * place for place in places]
    news = news_of(*((str(i), at.isoformat(), "AAA", f"text {i}", None) for i, at in enumerate(known_at)))
    result = forward_returns(news, prices, decision_times(prices.open_at, latency), horizon_bars=horizon)
    next_bar = [int((every - latency < at).sum()) - first for at in pd.to_datetime(news["known_at"])]
    labelled = {i for i, row in zip(news["article_id"], next_bar, strict=True) if 0 <= row < bars - horizon}
    assert set(result.frame["article_id"]) == labelled
    assert result.counts["before_prices"] == sum(row < 0 for row in next_bar)
    assert result.counts["beyond_prices"] == sum(row >= bars - horizon for row in next_bar)


def test_news_from_long_before_the_prices_teaches_nothing(cases: Path) -> None:
    folder = cases / "news_before_prices"
    prices = read_prices(folder / "prices.csv", calendar="XNYS").prices
    columns = {"article_id": "id", "published_at": "time"}
    news = read_news(cases / "base" / "news.parquet", columns=columns).frame
    decided_at = decision_times(prices.open_at, pd.Timedelta(minutes=5))
    result = forward_returns(news, prices, decided_at, horizon_bars=3)
    day_before = pd.Timestamp("2014-05-14 13:25", tz="UTC")
    assert result.counts["before_prices"] == (news["known_at"] <= day_before).sum() == 2364
    assert result.frame["known_at"].min() > day_before
    whole = read_prices(cases / "base" / "prices.csv", calendar="XNYS").prices
    assert forward_returns(news, whole, decision_times(whole.open_at, pd.Timedelta(0))).counts["before_prices"] == 0


@given(
    st.lists(st.floats(-0.2, 0.2, allow_nan=False, allow_subnormal=False), min_size=30, max_size=300, unique=True),
    st.floats(0.1, 0.9),
)
def test_thresholds_cut_training_returns_into_the_shares_asked_for(values: list[float], neutral_share: float) -> None:
    lower, upper = fit_thresholds(np.array(values), neutral_share)
    classes = cut_classes(values, lower, upper)
    counts = np.bincount(classes, minlength=3) / len(values)
    assert counts[1] == pytest.approx(neutral_share, abs=3 / len(values))
    assert counts[0] == pytest.approx(counts[2], abs=2 / len(values))
    assert (np.diff(classes[np.argsort(values)]) >= 0).all()


def test_thresholds_refuse_nonsense() -> None:
    with pytest.raises(ConfigError, match="neutral_share"):
        fit_thresholds(np.arange(9.0), 1.0)
    with pytest.raises(DataError, match="cannot set thresholds"):
        fit_thresholds(np.array([0.1, np.nan]))
    with pytest.raises(DataError, match="too many equal"):
        fit_thresholds(np.zeros(9))
    with pytest.raises(DataError, match="position 1 is missing"):
        cut_classes(np.array([0.1, np.nan]), -1.0, 1.0)
    with pytest.raises(ConfigError, match="must be below"):
        cut_classes(np.array([0.1]), 1.0, -1.0)


def test_returns_become_samples() -> None:
    prices = prices_of({"AAA": [100, 110, 99], "BBB": [100, 100, 100]})
    news = news_of(("up", "2020-01-06 10:00", "AAA", "a", None), ("down", "2020-01-07 10:00", "AAA", "b", None))
    forward = forward_returns(news, prices, decision_times(prices.open_at, pd.Timedelta(0))).frame
    samples = samples_from_returns(forward, -0.01, 0.01)
    assert list(samples.columns) == COLUMNS
    assert samples.set_index("article_id")["label"].to_dict() == {"up": 2, "down": 0}


def _labelled_news(ends: list) -> pd.DataFrame:
    known_at = pd.date_range("2020-01-01", periods=len(ends), freq="D", tz="UTC", unit="us")
    texts = [f"story {number}" for number in range(len(ends))]
    return pd.DataFrame(
        {
            "article_id": texts,
            "text": texts,
            "label": "bullish",
            "published_at": known_at - pd.Timedelta(hours=2),
            "known_at": known_at,
            "complete": ends,
            "symbol": "A",
        }
    )


def test_a_label_ends_when_its_column_says_and_never_before_it_was_known():
    news = _labelled_news(["2020-01-09T00:00:00+02:00", "2020-01-01T23:00:00Z", "2020-01-03T12:00:00+00:00"])
    frame = samples_from_news(news, ends_at="complete").frame
    wanted = ["2020-01-08 22:00Z", "2020-01-02 00:00Z", "2020-01-03 12:00Z"]
    assert frame["ends_at"].tolist() == list(pd.to_datetime(wanted, utc=True))
    assert (samples_from_news(news).frame["ends_at"] == news["known_at"]).all()
    assert (samples_from_news(news, ends_at="known_at").frame["ends_at"] == news["known_at"]).all()


def test_a_label_that_was_complete_before_its_article_is_refused():
    with pytest.raises(DataError, match=r"'story 1' was complete at 2014-01-01.* \(1 such row\)"):
        samples_from_news(_labelled_news(["2020-01-09T00:00:00Z", "2014-01-01T00:00:00Z"]), ends_at="complete")


def test_an_end_without_an_offset_is_refused_and_none_is_needed_without_a_label():
    with pytest.raises(DataError, match="no time zone"):
        samples_from_news(_labelled_news(["2020-01-09T00:00:00"]), ends_at="complete")
    with pytest.raises(DataError, match="ISO 8601"):
        samples_from_news(_labelled_news(["soon"]), ends_at="complete")
    with pytest.raises(DataError, match="no column 'until'"):
        samples_from_news(_labelled_news(["2020-01-09T00:00:00Z"]), ends_at="until")
    news = _labelled_news(["2020-01-09T00:00:00Z", None])
    with pytest.raises(DataError, match="no timestamp"):
        samples_from_news(news, ends_at="complete")
    news.loc[1, "label"] = None
    assert len(samples_from_news(news, ends_at="complete").frame) == 1
