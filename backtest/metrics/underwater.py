"""How far and for how long wealth stood below its earlier peak; the starting capital counts as a peak."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from embargo.backtest.arguments import check_at_least
from embargo.backtest.metrics.series import Returns, checked

_DRY = 1e-12


def drawdowns(returns: Returns) -> np.ndarray:
    """Distance of wealth below its highest value so far, fraction <= 0 per row, shape (bars,).

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.

    Returns
    -------
    float array, shape (bars,)
        Fraction, at most 0.

    Raises
    ------
    DataError
        If it is not one series, or a return is missing.

    Examples
    --------
    >>> from embargo.backtest.metrics import drawdowns
    >>> drawdowns([0.10, -0.05, 0.02]).round(3).tolist()
    [0.0, -0.05, -0.031]
    """
    wealth = np.cumprod(1.0 + checked(returns))
    peak = np.maximum(np.maximum.accumulate(wealth), 1.0) if len(wealth) else wealth
    return np.asarray(wealth / peak - 1.0)


def max_drawdown(returns: Returns) -> float | None:
    """Deepest fall of wealth below its earlier peak, as a fraction <= 0; the starting capital counts as a peak.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.

    Returns
    -------
    float or None
        Fraction, at most 0; None without rows.

    Raises
    ------
    DataError
        If it is not one series, or a return is missing.

    Examples
    --------
    >>> from embargo.backtest.metrics import max_drawdown
    >>> round(max_drawdown([0.10, -0.05, -0.02, 0.10]), 3)
    -0.069
    """
    depth = drawdowns(returns)
    return float(depth.min()) if len(depth) else None


def drawdown_lengths(returns: Returns) -> tuple[int, int | None]:
    """Longest time under water and time to recover from the deepest drawdown, both in rows.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.

    Returns
    -------
    (longest, recovery)
        ``longest``: most consecutive rows below an earlier peak. ``recovery``: rows from the lowest point of the
        deepest drawdown to the first row back at the peak; None if it never came back, 0 if there was no drawdown.

    Raises
    ------
    DataError
        If it is not one series, or a return is missing.

    Examples
    --------
    >>> from embargo.backtest.metrics import drawdown_lengths
    >>> drawdown_lengths([0.10, -0.05, -0.02, 0.10])
    (2, 1)
    """
    depth = drawdowns(returns)
    starts, troughs, ends = _spells(depth)
    if not len(starts):
        return 0, 0
    deepest = int(np.argmin(depth[troughs]))
    recovery = None if ends[deepest] == len(depth) else int(ends[deepest] - troughs[deepest])
    return int((ends - starts).max()), recovery


def _spells(depth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First row, lowest row and row after the last of each time below the peak."""
    edges = np.diff((depth < -_DRY).astype(np.int8), prepend=0, append=0)
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    spans = zip(starts, ends, strict=True)
    troughs = np.array([start + int(np.argmin(depth[start:end])) for start, end in spans], dtype=np.int64)
    return starts, troughs, ends


def deepest_drawdowns(returns: Returns, k: int | None = 5) -> pd.DataFrame:
    """Return the k deepest drawdowns, the deepest first.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row.
    k : int, optional
        Rows of the table at most; None for all drawdowns.

    Returns
    -------
    DataFrame
        ``depth`` (fraction < 0), ``start_bar`` (the first row below the peak), ``trough_bar``, ``recovery_bar`` (the
        first row back at the peak; missing if wealth never came back) and ``length_bars`` (rows below the peak). Bars
        are positions of rows.

    Raises
    ------
    ConfigError
        If k is below 1.

    Examples
    --------
    >>> from embargo.backtest.metrics import deepest_drawdowns
    >>> table = deepest_drawdowns([0.10, -0.05, -0.02, 0.10, -0.01])
    >>> table[['depth', 'start_bar', 'length_bars']].round(3).values.tolist()
    [[-0.069, 1.0, 2.0], [-0.01, 4.0, 1.0]]
    """
    if k is not None:
        check_at_least("k", k, 1)
    depth = drawdowns(returns)
    starts, troughs, ends = _spells(depth)
    table = pd.DataFrame(
        {
            "depth": depth[troughs],
            "start_bar": starts,
            "trough_bar": troughs,
            "recovery_bar": pd.array(ends, dtype="Int64"),
            "length_bars": ends - starts,
        }
    )
    table.loc[table["recovery_bar"] == len(depth), "recovery_bar"] = pd.NA
    return table.sort_values("depth", kind="stable", ignore_index=True).head(len(table) if k is None else k)


def ulcer_index(returns: Returns) -> float | None:
    """Root mean square of the drawdown over all rows, fraction >= 0; None without rows.

    quantstats divides by n - 1, as if a mean had been estimated.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.

    Returns
    -------
    float or None
        Fraction.

    Raises
    ------
    DataError
        If it is not one series, or a return is missing.

    References
    ----------
    Martin and McCann (1989), "The Investor's Guide to Fidelity Funds"; Bacon (2008), "Practical Portfolio Performance
    Measurement and Attribution", 2nd edition.

    Examples
    --------
    >>> from embargo.backtest.metrics import ulcer_index
    >>> round(ulcer_index([0.10, -0.05, -0.02, 0.10]), 4)
    0.0426
    """
    depth = drawdowns(returns)
    return math.sqrt(float(np.mean(depth**2))) if len(depth) else None
