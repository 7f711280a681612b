"""What every figure of a return series starts from: checked values, and a number or None at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd

from embargo.backtest.arguments import check_periods_per_year
from embargo.data_loaders.errors import DataError

Returns: TypeAlias = "pd.Series | np.ndarray | Sequence[float]"

FLAT = 1e-14


def checked(returns: Returns) -> np.ndarray:
    """Return the values of one series without gaps, shape (bars,).

    Raises
    ------
    DataError
        If it is not one series or a value is missing.
    """
    values = np.asarray(returns, dtype=float)
    if values.ndim != 1:
        raise DataError(f"metrics: expected one return series, got shape {values.shape}.")
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise DataError(f"metrics: the return at row {row} is {values[row]}. Returns of the books are never missing.")
    return values


def number(value: float) -> float | None:
    """Return a plain float, or None for NaN and infinity."""
    return float(value) if math.isfinite(value) else None


def quotient(over: float, under: float) -> float | None:
    """Return ``over / under``, or None where the divisor is 0 or the result too large to be a number."""
    return number(over / under) if under else None


def yearly(periods_per_year: float) -> float:
    """Return the number of rows in a year, which must be positive.

    Raises
    ------
    ConfigError
    """
    check_periods_per_year(periods_per_year)
    return float(periods_per_year)


def deviation(values: np.ndarray) -> float:
    """Sample standard deviation (n - 1), with rounding residues of a constant series taken as 0; NaN below two rows."""
    if len(values) < 2:
        return math.nan
    spread = float(np.std(values, ddof=1))
    return spread if spread > FLAT * max(1.0, float(np.abs(values).max())) else 0.0
