"""What a return series was worth: definitions, with units, of every figure a run reports.

Returns are simple per-period fractions; annual figures take the periods per year from the caller, never from a
default. A figure that does not exist (no trades, no losses, too few rows) is None, never NaN or infinity, so that no
comparison can pick it as the best.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from data_loaders.errors import ConfigError, DataError

Returns: TypeAlias = "pd.Series | np.ndarray"

_FLAT = 1e-14


def _values(returns: Returns) -> np.ndarray:
    values = np.asarray(returns, dtype=float)
    if values.ndim != 1:
        raise DataError(f"metrics: expected one return series, got shape {values.shape}.")
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise DataError(f"metrics: the return at row {row} is {values[row]}. Returns of the books are never missing.")
    return values


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _yearly(periods_per_year: float) -> float:
    if not periods_per_year > 0.0:
        raise ConfigError(f"periods_per_year must be positive, got {periods_per_year}. Use calendars.bars_per_year.")
    return float(periods_per_year)


def _deviation(values: np.ndarray) -> float:
    """Sample standard deviation (n - 1), with rounding residues of a constant series taken as 0."""
    if len(values) < 2:
        return math.nan
    deviation = float(np.std(values, ddof=1))
    return deviation if deviation > _FLAT * max(1.0, float(np.abs(values).max())) else 0.0


def total_return(returns: Returns) -> float:
    """Compound return over the whole series, fraction: ``prod(1 + r) - 1``."""
    return float(np.prod(1.0 + _values(returns)) - 1.0)


def annual_return(returns: Returns, *, periods_per_year: float) -> float | None:
    """Geometric return per year, fraction: ``prod(1 + r) ** (periods_per_year / n) - 1``; -1 after a total loss."""
    values = _values(returns)
    if len(values) == 0:
        return None
    wealth = float(np.prod(1.0 + values))
    if wealth <= 0.0:
        return -1.0
    exponent = math.log(wealth) * _yearly(periods_per_year) / len(values)
    return _number(math.expm1(exponent)) if exponent < 700.0 else None


def annual_volatility(returns: Returns, *, periods_per_year: float) -> float | None:
    """Sample standard deviation (n - 1) per year, fraction."""
    return _number(_deviation(_values(returns)) * math.sqrt(_yearly(periods_per_year)))


def sharpe(returns: Returns, *, periods_per_year: float) -> float | None:
    """Annual Sharpe ratio ``mean / sd * sqrt(periods_per_year)`` over a risk-free rate of 0, sd with n - 1.

    None for fewer than two rows or without variation: a strategy that never traded has no Sharpe ratio.

    References
    ----------
    Sharpe (1994), "The Sharpe Ratio", Journal of Portfolio Management 21(1).
    """
    values = _values(returns)
    deviation = _deviation(values)
    if not deviation > 0.0:
        return None
    return float(values.mean() / deviation * math.sqrt(_yearly(periods_per_year)))


def sortino(returns: Returns, *, periods_per_year: float) -> float | None:
    """Annual Sortino ratio: mean over the root mean square of ``min(r, 0)`` over all rows, times the annual root.

    None without a losing row.

    References
    ----------
    Sortino and van der Meer (1991), "Downside Risk", Journal of Portfolio Management 17(4); target return 0.
    """
    values = _values(returns)
    if len(values) < 2:
        return None
    downside = math.sqrt(float(np.mean(np.minimum(values, 0.0) ** 2)))
    if downside <= _FLAT:
        return None
    return float(values.mean() / downside * math.sqrt(_yearly(periods_per_year)))


def _drawdowns(values: np.ndarray) -> np.ndarray:
    """Distance below the highest wealth so far (the start counts), fraction <= 0 per row."""
    wealth = np.cumprod(1.0 + values)
    peak = np.maximum(np.maximum.accumulate(wealth), 1.0) if len(wealth) else wealth
    return np.asarray(wealth / peak - 1.0)


def max_drawdown(returns: Returns) -> float | None:
    """Deepest fall of wealth below its earlier peak, as a fraction <= 0; the starting capital counts as a peak."""
    depth = _drawdowns(_values(returns))
    return float(depth.min()) if len(depth) else None


def drawdown_lengths(returns: Returns) -> tuple[int, int | None]:
    """Longest time under water and time to recover from the deepest drawdown, both in rows.

    Returns
    -------
    (longest, recovery)
        ``longest``: most consecutive rows below an earlier peak. ``recovery``: rows from the lowest point of the
        deepest drawdown to the first row back at the peak; None if it never came back, 0 if there was no drawdown.
    """
    depth = _drawdowns(_values(returns))
    under = depth < -1e-12
    position = np.arange(len(depth))
    last_dry = np.maximum.accumulate(np.where(under, -1, position)) if len(depth) else position
    longest = int((position - last_dry).max(initial=0))
    if longest == 0:
        return 0, 0
    trough = int(np.argmin(depth))
    back = np.flatnonzero(~under[trough:])
    return longest, int(back[0]) if len(back) else None


def calmar(returns: Returns, *, periods_per_year: float) -> float | None:
    """Annual geometric return over the absolute maximum drawdown; None without a drawdown."""
    depth = max_drawdown(returns)
    yearly = annual_return(returns, periods_per_year=periods_per_year)
    if not depth or yearly is None:
        return None
    return yearly / abs(depth)


def hit_rate(returns: Returns) -> float | None:
    """Share of the rows with a non-zero return that gained, in [0, 1]; None if every return is 0."""
    values = _values(returns)
    moved = values[values != 0.0]
    return float((moved > 0.0).mean()) if len(moved) else None


def exposure(weights: pd.DataFrame) -> dict[str, float | None]:
    """Average gross and net exposure (fractions of equity) and the share of rows with any position.

    Parameters
    ----------
    weights : DataFrame, shape (bars, symbols)
        Realised weights.
    """
    values = weights.to_numpy(dtype=float)
    if not len(values):
        return {"exposure_gross": None, "exposure_net": None, "time_in_market": None}
    gross = np.abs(values).sum(axis=1)
    return {
        "exposure_gross": float(gross.mean()),
        "exposure_net": float(values.sum(axis=1).mean()),
        "time_in_market": float((gross > 0.0).mean()),
    }


def annual_turnover(turnover: Returns, *, periods_per_year: float) -> float | None:
    """One-way turnover per year: how many times the equity is exchanged, from the per-row one-way turnover."""
    values = _values(turnover)
    return float(values.mean() * _yearly(periods_per_year)) if len(values) else None


def skewness(returns: Returns) -> float | None:
    """Return the population skewness ``m3 / m2 ** 1.5``; None without variation."""
    values = _values(returns)
    if not _deviation(values) > 0.0:
        return None
    centred = values - values.mean()
    return float(np.mean(centred**3) / np.mean(centred**2) ** 1.5)


def kurtosis_raw(returns: Returns) -> float | None:
    """Return the population kurtosis ``m4 / m2 ** 2``: raw, so 3 for a normal distribution; None without variation."""
    values = _values(returns)
    if not _deviation(values) > 0.0:
        return None
    centred = values - values.mean()
    return float(np.mean(centred**4) / np.mean(centred**2) ** 2)


def performance(
    returns: Returns,
    *,
    periods_per_year: float,
    turnover: pd.Series | None = None,
    weights: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """All figures of a return series as one JSON-able dictionary.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row.
    periods_per_year : float
        Rows in a year, from ``calendars.bars_per_year``.
    turnover : Series, optional
        One-way turnover per row; adds ``turnover_annual``.
    weights : DataFrame, optional
        Realised weights; adds ``exposure_gross``, ``exposure_net`` and ``time_in_market``.

    Returns
    -------
    dict of str to float, int or None
        None where a figure does not exist.
    """
    values = _values(returns)
    yearly = _yearly(periods_per_year)
    longest, recovery = drawdown_lengths(values)
    figures: dict[str, Any] = {
        "n_bars": len(values),
        "total_return": total_return(values),
        "annual_return": annual_return(values, periods_per_year=yearly),
        "annual_volatility": annual_volatility(values, periods_per_year=yearly),
        "sharpe": sharpe(values, periods_per_year=yearly),
        "sortino": sortino(values, periods_per_year=yearly),
        "calmar": calmar(values, periods_per_year=yearly),
        "max_drawdown": max_drawdown(values),
        "longest_drawdown_bars": longest,
        "recovery_bars": recovery,
        "hit_rate": hit_rate(values),
        "skew": skewness(values),
        "kurtosis_raw": kurtosis_raw(values),
        "best_bar": float(values.max()) if len(values) else None,
        "worst_bar": float(values.min()) if len(values) else None,
    }
    if turnover is not None:
        figures["turnover_annual"] = annual_turnover(turnover, periods_per_year=yearly)
    if weights is not None:
        figures.update(exposure(weights))
    return figures
