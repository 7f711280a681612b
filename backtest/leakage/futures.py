"""Worlds in which a stranger's function is called again: all that was known at a decision is as it was, later is not.

One input differs at a time, so that a decision that moves tells which it read. What is compared is what was decided.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from embargo.backtest.leakage.causality import CANARY, Decide, choose_rows, rescaled_prices
from embargo.data_loaders.fields import CLASSES, PRICE_FIELDS
from embargo.data_loaders.schemas import Prices

# Columns that say which article it is and when it was known: never changed, as the worlds are made by them.
KEYS = ("article_id", "symbol", "published_at", "seen_at", "known_at")

FAR_OFF = (4.0, 0.25)


@dataclass(frozen=True)
class FutureWorld:
    """News and prices of which the future differs: what was changed in words, and of which input."""

    changed: str
    source: str
    news: pd.DataFrame
    prices: Prices


def drawn_rows(
    known_at: pd.Series,
    prices: Prices,
    decided_at: pd.DatetimeIndex,
    *,
    n_rows: int,
    rng: np.random.Generator,
    boundaries: Sequence[pd.Timestamp] = (),
) -> list[int]:
    """Draw the rows after which `perturb_function` changes the future: where prices have gaps, rows in them too."""
    inside = rows_in_gaps(prices, decided_at)
    # At the last row of a gap the price that ends it is all that is yet to come.
    last = inside & ~np.append(inside[1:], False)
    rare = [np.flatnonzero(rows) for rows in (last, inside)] if inside.any() else []
    return choose_rows(known_at, prices, decided_at, n_rows=n_rows, boundaries=boundaries, rng=rng, rare=rare)


def rows_in_gaps(prices: Prices, decided_at: pd.DatetimeIndex) -> np.ndarray:
    """Tell rows that may have read a bar without a price, and were decided before the price that ends its gap."""
    found = np.zeros(len(decided_at), dtype=bool)
    for has in prices.close.notna().to_numpy().T:
        held = np.flatnonzero(has)
        gaps = np.flatnonzero(np.diff(held) > 1)
        until = decided_at.searchsorted(prices.close_at[held[gaps + 1]])
        for before, end in zip(held[gaps], until, strict=True):
            found[before + 2 : end] = True
    return found


def attempt(decide: Decide, news: pd.DataFrame, prices: Prices) -> pd.DataFrame | Exception:
    """Call a stranger's function, which may fail in a world that its author never saw."""
    try:
        return decide(news, prices)
    except Exception as failure:
        return failure


def worlds_after(
    news: pd.DataFrame,
    known_at: pd.Series,
    prices: Prices,
    decided_at: pd.DatetimeIndex,
    row: int,
    rng: np.random.Generator,
    *,
    in_gap: bool = False,
) -> Iterator[FutureWorld]:
    """Yield the worlds that differ after a row was decided, one input at a time, and the one that ends there.

    Beside a gap of prices few rows can tell, and those may hold a sign that one future leaves as it is: there later
    bars go far up and far down too.
    """
    decided = decided_at[row]
    later = known_at > decided
    before = news.loc[~later].copy()
    if bool(later.any()):
        yield FutureWorld("later news was removed", "news", before, prices)
        yield FutureWorld("later news was poisoned", "news", poisoned(news, later, rng), prices)
    if bool((prices.close_at > decided).any()):
        moved = [rescaled_prices(prices, decided, rng)]
        if in_gap:
            moved += [lifted(prices, decided, factor) for factor in FAR_OFF]
        for each in moved:
            yield FutureWorld("bars not yet closed were rescaled", "prices", news.copy(), each)
    if row + 1 < len(decided_at):
        yield FutureWorld("the data ended", "end", before, prices.select(bars=np.arange(row + 1)))


def lifted(prices: Prices, decided: pd.Timestamp, factor: float) -> Prices:
    """Multiply all levels of bars that close after a decision; by a power of two nothing is rounded."""
    factors = np.where(prices.close_at > decided, factor, 1.0)
    return replace(prices, **{name: getattr(prices, name).mul(factors, axis=0) for name in PRICE_FIELDS[:4]})


def poisoned(news: pd.DataFrame, later: pd.Series, rng: np.random.Generator, only: str | None = None) -> pd.DataFrame:
    """Change later rows of every column but the keys, or of one: numbers turn round, texts become a canary's."""
    news, mask = news.copy(), later.to_numpy()
    n = int(mask.sum())
    names = [str(name) for name in news.columns if name not in KEYS] if only is None else [only]
    classes = {"bearish", "bullish"} <= set(news.columns)
    if classes and set(names) & set(CLASSES):
        news.loc[mask, ["bearish", "bullish"]] = news.loc[mask, ["bullish", "bearish"]].to_numpy()
    for name in names:
        if classes and name in CLASSES:
            continue
        column = news[name]
        if name == "text":
            news.loc[mask, name] = CANARY
        elif pd.api.types.is_float_dtype(column.dtype):
            values = column.to_numpy(dtype=float, copy=True)
            low, high = np.nanmin(values, initial=0.0), np.nanmax(values, initial=0.0)
            turned = -values[mask] if low < 0.0 else (1.0 if high <= 1.0 else high) - values[mask]
            values[mask] = turned * (1.0 if high <= 1.0 else np.exp(rng.normal(0.0, 0.3, n)))
            news[name] = values
        else:
            drawn = rng.integers(0, len(news), n)
            news.loc[mask, name] = column.to_numpy()[drawn]
    return news


def changes_of(base: pd.DataFrame, weights: pd.DataFrame, rows: int) -> np.ndarray:
    """Absolute changes of the first rows; what one answer lacks counts as not held; infinite beside a missing value."""
    union = base.columns.union(weights.columns, sort=False)
    one, two = (on_columns(frame, union)[:rows] for frame in (base, weights))
    with np.errstate(invalid="ignore"):
        gap = np.abs(one - two)
    same = (one == two) | (np.isnan(one) & np.isnan(two))
    return np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))


def on_columns(frame: pd.DataFrame, columns: pd.Index) -> np.ndarray:
    """Lay values out on columns; 0 where the frame lacks one."""
    found = frame.columns.get_indexer(columns)
    values = np.column_stack([frame.to_numpy(dtype=float), np.zeros(len(frame))])
    return np.asarray(values[:, found])  # -1, for what is not there, takes the zeros
