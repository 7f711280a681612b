"""Prices of a few coins and sessions, and weights that follow them honestly, for strategies made outside a run."""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import sessions
from embargo.data_loaders.schemas import Prices


def coins(bars: int = 200, seed: int = 1) -> Prices:
    return _prices(pd.date_range("2022-01-01", periods=bars, freq="D", tz="UTC", unit="us"), None, "24/7", seed)


def shares(bars: int = 200, seed: int = 1) -> Prices:
    days = sessions("XNYS", pd.Timestamp("2022-01-03"), pd.Timestamp("2023-12-29")).iloc[:bars]
    return _prices(pd.DatetimeIndex(days["open_at"]), pd.DatetimeIndex(days["close_at"]), "XNYS", seed)


def _prices(open_at: pd.DatetimeIndex, close_at: pd.DatetimeIndex | None, calendar: str, seed: int) -> Prices:
    rng = np.random.default_rng(seed)
    steps = rng.normal(0.0, 0.02, (len(open_at), 3))
    close = pd.DataFrame(50.0 * np.exp(steps.cumsum(axis=0)), index=open_at, columns=list("ABC"))
    opens = close.shift(1).fillna(50.0) * np.exp(rng.normal(0.0, 0.002, close.shape))
    volume = pd.DataFrame(rng.lognormal(12.0, 0.5, close.shape), index=open_at, columns=close.columns)
    both = np.maximum(opens, close), np.minimum(opens, close)
    until = open_at + pd.Timedelta(days=1) if close_at is None else close_at
    return Prices(opens, *both, close, volume, open_at, until, calendar)


def follow(prices: Prices) -> pd.DataFrame:
    """Hold what rose over the five bars before the last two."""
    weights: pd.DataFrame = np.sign(prices.close.pct_change(5)).shift(2).fillna(0.0) / 3
    return weights
