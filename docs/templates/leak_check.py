"""Weights that know the return of their own bar: a template for leak checks.

A check is a function of plain frames that returns one finding: a stable code, a verdict, the first offending rows, and
how to mend it. It knows nothing of configs or files, and says what it is deliberately silent on.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from embargo.backtest.leakage import Finding
from embargo.backtest.leakage.findings import evidence_rows
from embargo.data_loaders.errors import DataError

FEWEST = 100
IMPLAUSIBLE = 0.75
_TITLE = "Positions do not guess the return of their own bar too well"
_UNIT = "share of positions on the right side"


def check_right_side(weights: pd.DataFrame, asset_returns: pd.DataFrame) -> Finding:
    """Doubt a strategy that stands on the right side of three positions in four (S7).

    The best documented forecasts of daily returns are right in 51 to 55 % of cases. A share whose lower bound (four
    standard errors, positions taken as independent) is above 75 % is a target that found its way into a feature.

    Silent on: leaks that help less than that, and fewer than 100 positions, which prove nothing.

    Parameters
    ----------
    weights : DataFrame, shape (bars, symbols)
        Row t is held from open[t]; missing or zero is no position.
    asset_returns : DataFrame, shape (bars, symbols)
        Simple return from open[t] to open[t+1], as a fraction; missing or zero is neither right nor wrong.

    Returns
    -------
    Finding
        With code ``S7``; ``effect`` is the share of positions on the right side.

    Raises
    ------
    DataError
        If the two panels have different rows or symbols.

    Examples
    --------
    >>> bars = pd.date_range("2024-01-01", periods=200, tz="UTC", name="open_at")
    >>> returns = pd.DataFrame({"A": np.random.default_rng(0).normal(0, 0.01, 200)}, index=bars)
    >>> check_right_side(np.sign(returns), returns).verdict
    'suspicious'
    >>> check_right_side(np.sign(returns).shift(1), returns).verdict
    'pass'
    """
    if not (weights.index.equals(asset_returns.index) and weights.columns.equals(asset_returns.columns)):
        raise DataError("right side: weights and asset returns have different rows or symbols. Align them first.")
    held, earned = (np.nan_to_num(panel.to_numpy(dtype=float)) for panel in (weights, asset_returns))
    taken = (held != 0.0) & (earned != 0.0)
    n = int(taken.sum())
    if n < FEWEST:
        return Finding("S7", "inconclusive", _TITLE, f"{n} positions are too few to judge; {FEWEST} are needed.")
    right = taken & (np.sign(held) == np.sign(earned))
    share = float(right.sum()) / n
    low = share - 4.0 * math.sqrt(max(share * (1.0 - share), 1.0 / n) / n)
    detail = f"{share:.1%} of {n:,} positions are on the right side of their own bar (lower bound {low:.1%})."
    if low <= IMPLAUSIBLE:
        return Finding("S7", "pass", _TITLE, detail, effect=share, unit=_UNIT)
    rows, columns = np.nonzero(right)
    first = pd.DataFrame(
        {
            "bar": weights.index[rows],
            "symbol": weights.columns[columns],
            "weight": held[rows, columns],
            "return": earned[rows, columns],
        }
    )
    return Finding(
        "S7",
        "suspicious",
        _TITLE,
        detail,
        evidence_rows(first),
        share,
        _UNIT,
        "Look for a feature made from the return it is to forecast: shift it until it is known before the bar opens.",
    )
