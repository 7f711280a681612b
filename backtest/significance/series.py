"""Series of returns as the tests take them: finite, in one dimension, and told from those that never move."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class PairedSeries:
    """Two finite series on the same rows, with the rows that count; what every comparison starts from."""

    a: np.ndarray
    b: np.ndarray
    member: np.ndarray

    @property
    def n(self) -> int:
        """How many rows count."""
        return int(self.member.sum())


def paired_series(
    a: pd.Series | np.ndarray, b: pd.Series | np.ndarray, member: np.ndarray | None, what: str
) -> PairedSeries:
    """Return two series that carry the same rows, without missing values; ``what`` asks, for the error's text."""
    if isinstance(a, pd.Series) and isinstance(b, pd.Series) and not a.index.equals(b.index):
        raise DataError(f"{what}: the two series carry different rows. Reindex both to the rows they share.")
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if first.ndim != 1 or first.shape != second.shape:
        raise DataError(f"{what}: needs two series of the same rows, got shapes {first.shape} and {second.shape}.")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise DataError(f"{what}: values are missing or infinite. Drop those rows from both series first.")
    return PairedSeries(first, second, checked_member(member, len(first), what))
