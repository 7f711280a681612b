"""Series of returns as the tests take them: finite, in one dimension, and told from those that never move."""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import DataError

# Fewer rows that move say nothing about a Sharpe ratio or a mean.
MINIMUM_ROWS = 30


def checked_returns(returns: pd.Series | np.ndarray, who: str) -> np.ndarray:
    """Return one finite series as an array; ``who`` asks, for the error's text."""
    values = np.asarray(returns, dtype=float)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise DataError(f"{who}: returns must be one series without missing values. Drop or mend the rows first.")
    return values


def checked_member(member: np.ndarray | None, rows: int, who: str) -> np.ndarray:
    """Return membership as one truth value a row, all true without any; ``who`` asks, for the error's text."""
    inside = np.ones(rows, dtype=bool) if member is None else np.asarray(member, dtype=bool)
    if inside.shape != (rows,):
        raise DataError(f"{who}: {rows} rows but membership of shape {inside.shape}. Pass one truth value a row.")
    return inside


def varies(values: np.ndarray) -> bool:
    """Tell whether a series has a deviation beyond what rounding leaves of a constant one."""
    return len(values) > 1 and float(values.std()) > 1e-14 * max(1.0, float(np.abs(values).max()))
