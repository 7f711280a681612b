"""Small self-made worlds: sessions, dated articles that move prices at once and a little afterwards, and traders.

The honest trader reads what was known; each leaky one adds a single well-known mistake, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import decision_times, last_closed_bar, sessions
from embargo.data_loaders.schemas import Prices

NEW_YORK = ZoneInfo("America/New_York")
LATENCY = pd.Timedelta(minutes=5)
HOUR = pd.Timedelta(hours=1)
HOURLY_NEWS = np.array([1, 1, 1, 1, 1, 2, 4, 8, 11, 12, 12, 10, 9, 9, 9, 10, 13, 8, 5, 4, 3, 2, 2, 1], dtype=float)


@dataclass(frozen=True)
class World:
    news: pd.DataFrame
    prices: Prices
    decided_at: pd.DatetimeIndex
    sentiment: np.ndarray
    earned: pd.DataFrame


def make_world(
    seed: int,
    *,
    n_bars: int = 260,
    n_symbols: int = 8,
    per_bar: float = 0.5,
    jump: float = 0.01,
    drift: float = 0.002,
    calendar: str = "XNYS",
    start: str = "2016-01-04",
) -> World:
    rng = np.random.default_rng(seed)
    days = sessions(calendar, pd.Timestamp(start), pd.Timestamp(start) + pd.Timedelta(days=int(n_bars * 1.6) + 10))
    days = days.iloc[:n_bars]
    open_at, close_at = pd.DatetimeIndex(days["open_at"]), pd.DatetimeIndex(days["close_at"])
    decided_at = decision_times(open_at, LATENCY)
    symbols = [f"S{i:02d}" for i in range(n_symbols)]

    n = rng.poisson(per_bar * n_bars * n_symbols)
    day = rng.integers(0, n_bars, n)
    hour = rng.choice(24, size=n, p=HOURLY_NEWS / HOURLY_NEWS.sum())
    local = days.index[day] + pd.to_timedelta(hour * 3600 + rng.integers(0, 3600, n) + rng.integers(1, 10, n), unit="s")
    published = local.tz_localize(NEW_YORK, ambiguous=np.ones(n, dtype=bool), nonexistent="shift_forward")
    column = rng.integers(0, n_symbols, n)
    sentiment = rng.uniform(-1, 1, n)
    news = pd.DataFrame(
        {
            "published_at": published.tz_convert("UTC").as_unit("us"),
            "symbol": np.array(symbols)[column],
            "sentiment": sentiment,
            "column": column,
        }
    ).sort_values("published_at", ignore_index=True)
    news["article_id"] = [f"a{i:05d}" for i in range(n)]
    news["known_at"] = news["published_at"] + pd.Timedelta(seconds=20)
    news["bullish"] = np.clip(news["sentiment"], 0, 1)
    news["bearish"] = np.clip(-news["sentiment"], 0, 1)
    news["neutral"] = 1 - news["bullish"] - news["bearish"]
    news["confidence"] = rng.uniform(0.5, 1, n)

    # A published article moves the price at once (in the gap or in the session), then drifts from the first row on.
    feel, column = news["sentiment"].to_numpy(), news["column"].to_numpy()
    gap = rng.normal(0, 0.004, (n_bars, n_symbols))
    session = rng.normal(0, 0.010, (n_bars, n_symbols)) + rng.normal(0, 0.006, (n_bars, 1))
    stamp = news["published_at"].to_numpy()
    running = np.searchsorted(open_at.to_numpy(), stamp, side="right") - 1
    trading = (running >= 0) & (stamp < close_at.to_numpy()[np.maximum(running, 0)])
    np.add.at(session, (running[trading], column[trading]), jump * feel[trading])
    following = np.where(trading, n_bars, running + 1)
    ok = following < n_bars
    np.add.at(gap, (following[ok], column[ok]), jump * feel[ok])
    row = np.searchsorted(decided_at.to_numpy(), news["known_at"].to_numpy(), side="left")
    ok = row < n_bars
    np.add.at(session, (row[ok], column[ok]), drift * feel[ok])

    log_close = np.log(50) + np.cumsum(gap + session, axis=0)
    log_open = log_close - session

    def panel(values: np.ndarray) -> pd.DataFrame:
        frame = pd.DataFrame(values, index=open_at, columns=symbols)
        frame.iloc[:20, 0] = np.nan  # lists late
        frame.iloc[n_bars // 2, 1] = np.nan  # a halted day
        return frame

    high, low = np.maximum(log_open, log_close) + 0.002, np.minimum(log_open, log_close) - 0.002
    prices = Prices(
        open=panel(np.exp(log_open)),
        high=panel(np.exp(high)),
        low=panel(np.exp(low)),
        close=panel(np.exp(log_close)),
        volume=panel(rng.lognormal(12, 0.5, (n_bars, n_symbols))),
        open_at=open_at,
        close_at=close_at,
        calendar=calendar,
    )
    opens = np.exp(log_open)
    earned = np.full((n_bars, n_symbols), np.nan)
    earned[:-1] = opens[1:] / opens[:-1] - 1
    return World(news, prices, decided_at, feel, pd.DataFrame(earned, index=open_at, columns=symbols))


def first_rows(known_at: pd.Series, decided_at: pd.DatetimeIndex) -> np.ndarray:
    return np.searchsorted(decided_at.to_numpy(), known_at.to_numpy(), side="left")


def as_articles(world: World, row: np.ndarray | None = None) -> pd.DataFrame:
    row = first_rows(world.news["known_at"], world.decided_at) if row is None else row
    return world.news[["article_id", "symbol", "published_at", "known_at"]].assign(row=row)


def as_effects(world: World, row: np.ndarray) -> pd.DataFrame:
    inside = row < len(world.earned)
    earned = world.earned.to_numpy()[np.minimum(row, len(world.earned) - 1), world.news["column"].to_numpy()]
    return pd.DataFrame({"score": world.sentiment, "earned": np.where(inside, earned, np.nan)}, index=world.news.index)


Decide = Callable[[pd.DataFrame, Prices], pd.DataFrame]


def _score_panel(news: pd.DataFrame, prices: Prices, row: np.ndarray) -> np.ndarray:
    shape = prices.open.shape
    total = np.zeros(shape)
    column = prices.open.columns.get_indexer(news["symbol"])
    ok = (row >= 0) & (row < shape[0])
    net = ((news["bullish"] - news["bearish"]) * news["confidence"]).to_numpy()
    np.add.at(total, (row[ok], column[ok]), net[ok])
    for bar in range(1, shape[0]):
        total[bar] += 0.5 * total[bar - 1]
    return total


def _momentum(prices: Prices) -> np.ndarray:
    """Return of the newest closed bar, by row."""
    change = prices.close.pct_change(fill_method=None).fillna(0.0).to_numpy()
    last = last_closed_bar(prices.close_at, decision_times(prices.open_at, LATENCY))
    return np.where((last >= 0)[:, None], change[np.maximum(last, 0)], 0.0)


def _normalise(signal: np.ndarray, prices: Prices) -> pd.DataFrame:
    gross = np.abs(signal).sum(axis=1, keepdims=True)
    return pd.DataFrame(signal / np.where(gross > 0, gross, 1.0), index=prices.open_at, columns=prices.open.columns)


def honest(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    row = first_rows(news["known_at"], decision_times(prices.open_at, LATENCY))
    return _normalise(_score_panel(news, prices, row) + 5 * _momentum(prices), prices)


def merged_by_date(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    return _normalise(_score_panel(news, prices, rows_by_date(news, prices)) + 5 * _momentum(prices), prices)


def rows_by_date(news: pd.DataFrame, prices: Prices) -> np.ndarray:
    days = prices.open_at.tz_convert(NEW_YORK).normalize()
    return days.get_indexer(pd.DatetimeIndex(news["published_at"]).tz_convert(NEW_YORK).normalize())


def no_latency(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    return _normalise(_score_panel(news, prices, first_rows(news["known_at"], prices.open_at)), prices)


def same_bar_close(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    return _normalise(prices.close.pct_change(fill_method=None).fillna(0.0).to_numpy(), prices)


def own_open(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    gap = (prices.open / prices.close.shift(1) - 1).fillna(0.0).to_numpy()
    return honest(news, prices) - 0.1 * np.sign(gap)


def scaled_over_all_dates(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    signal = honest(news, prices)
    return signal - signal.mean()


def filled_backwards(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    row = first_rows(news["known_at"], decision_times(prices.open_at, LATENCY))
    total = pd.DataFrame(_score_panel(news, prices, row))
    return _normalise(total.mask(total.abs() < 0.05).bfill().fillna(0.0).to_numpy(), prices)


def half_day_peek(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Uses the close of the bar itself, but only where the session is short."""
    weights = honest(news, prices)
    length = (prices.close_at - prices.open_at).to_numpy()
    short = length < np.median(length)
    change = (prices.close / prices.open - 1).fillna(0.0).to_numpy()
    return weights + np.where(short[:, None], np.sign(change), 0.0) * 0.1


def open_bar_round_the_clock(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Takes the bar before for closed, although it still runs when a round-the-clock bar is decided."""
    change = prices.close.pct_change(fill_method=None).shift(1).fillna(0.0).to_numpy()
    return _normalise(change, prices)


def universe_of_the_news(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    return honest(news, prices)[sorted(news.loc[news["known_at"] > prices.open_at[-40], "symbol"].unique())]


class Restless:
    """Honest but for noise of its own, different in every call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
        self.calls += 1
        return honest(news, prices) + 1e-9 * self.calls
