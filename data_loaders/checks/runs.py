"""Runs of bars one after the other: pauses of a symbol, levels that stand still."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from embargo.data_loaders.schemas import Prices, utc_microseconds

# Halts last hours or days: five bars and ten days without any are bars that are lost. One alone may be that between two
# holidays.
LONG_PAUSE, LONG_PAUSE_BARS = pd.Timedelta(days=10), 5


class BarRun(NamedTuple):
    """Bars ``start`` to ``stop``, that one excluded, of the symbol in ``column``."""

    column: int
    start: int
    stop: int


def runs(mask: np.ndarray, at_least: int = 1) -> list[BarRun]:
    """Stretches of true bars, shape (bars, symbols), of at least so many, symbol by symbol."""
    bars, symbols = mask.shape
    padded = np.zeros((symbols, bars + 1), dtype=np.int8)
    padded[:, :bars] = mask.T
    edges = np.flatnonzero(np.diff(padded.ravel(), prepend=0))
    starts, stops = edges[::2], edges[1::2]
    chosen = stops - starts >= at_least
    starts, stops = starts[chosen], stops[chosen]
    column = starts // (bars + 1)
    table = np.column_stack([column, starts - column * (bars + 1), stops - column * (bars + 1)])
    return [BarRun(*row) for row in table.tolist()]


def alive(prices: Prices) -> tuple[np.ndarray, np.ndarray]:
    """First and last position of each symbol's quoted bars; shape (symbols,), -1 for a symbol never quoted."""
    quoted = prices.close.notna().to_numpy()
    ever = quoted.any(axis=0)
    first = np.where(ever, quoted.argmax(axis=0), -1)
    last = np.where(ever, len(quoted) - 1 - quoted[::-1].argmax(axis=0), -1)
    return first, last


def holes_of(prices: Prices) -> np.ndarray:
    """Bars without a close between a symbol's first and last one; shape (bars, symbols)."""
    first, last = alive(prices)
    position = np.arange(len(prices.open_at))[:, None]
    return np.asarray((position >= first) & (position <= last) & prices.close.isna().to_numpy())


def long_holes(prices: Prices) -> list[BarRun]:
    """Holes of five bars and ten days or more, from the close before to the open after."""
    opens, closes = utc_microseconds(prices.open_at), utc_microseconds(prices.close_at)
    found = runs(holes_of(prices), LONG_PAUSE_BARS)
    return [run for run in found if opens[run.stop] - closes[run.start - 1] >= LONG_PAUSE.to_timedelta64()]
