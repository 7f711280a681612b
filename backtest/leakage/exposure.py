"""Exposure against timing: what average weights, held throughout, would have earned is no skill of the news."""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import Finding, plain
from embargo.data_loaders.errors import DataError

FEWEST_BARS = 60
ONE_SIDED = 0.5
ONE_SIDED_Z = 1.645
# Standard errors by which average weights must be ahead of timing: 0.3 %, one-sided, where timing earned as much.
LEAD_Z = 2.75


def check_exposure(weights: pd.DataFrame, asset_returns: pd.DataFrame, *, periods_per_year: float) -> Finding:
    """Split returns before costs into those of the average weights and those of departing from them (P5).

    Suspicious is a strategy that stands on one side of the market (its mean net weight is half its mean gross weight or
    more) and earned something (5 %, one-sided), of which the average weights earned more than the departures from them
    did by 2.75 standard errors, while the departures earned nothing that chance does not explain at 5 %. The tests take
    bars as independent. docs/check_power.md has the rates of false alarms.

    Silent on: strategies that stand on both sides, those that earned nothing, markets whose rise is no clearer than
    chance, and fewer than 60 bars.

    Parameters
    ----------
    weights : DataFrame, shape (bars, symbols)
        Row t is held from its fill; missing weights count as 0.
    asset_returns : DataFrame, shape (bars, symbols)
        Simple return from one fill to the next, as a fraction; missing returns count as 0.
    periods_per_year : float
        Bars in a year.

    Returns
    -------
    Finding
        Code ``P5``; ``effect`` is the annual Sharpe ratio of the departures.

    Raises
    ------
    DataError
        If the two panels have different rows or symbols.

    References
    ----------
    Lo (2002), "The Statistics of Sharpe Ratios", Financial Analysts Journal 58(4), for the interval.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_exposure
    >>> rising = pd.DataFrame(np.random.default_rng(1).normal(0.002, 0.01, (500, 3)))
    >>> always = pd.DataFrame(np.random.default_rng(2).uniform(0.2, 0.3, (500, 3)))
    >>> check_exposure(always, rising, periods_per_year=252).verdict
    'suspicious'
    >>> check_exposure((rising > 0) / 3, rising, periods_per_year=252).verdict
    'pass'
    """
    check, unit = CHECKS["check_exposure"], "annual Sharpe ratio of timing"
    if not (weights.index.equals(asset_returns.index) and weights.columns.equals(asset_returns.columns)):
        raise DataError("exposure: weights and asset returns have different rows or symbols. Align them first.")
    held, earned = (np.nan_to_num(panel.to_numpy(dtype=float)) for panel in (weights, asset_returns))
    n = len(held)
    if n < FEWEST_BARS:
        detail = f"{n} bars are too few to tell timing from exposure; {FEWEST_BARS} are needed."
        return Finding("P5", "inconclusive", check.title, detail)
    gross = float(np.abs(held).sum(axis=1).mean())
    if gross == 0.0:
        return Finding("P5", "not-applicable", check.title, "The strategy never traded.")
    whole, average = (held * earned).sum(axis=1), (held.mean(axis=0) * earned).sum(axis=1)
    timing = whole - average
    z_whole, z_timing = (_z(series) for series in (whole, timing))
    year = float(np.sqrt(periods_per_year))
    sharpe, error = year * z_timing / np.sqrt(n), year * float(np.sqrt((1 + z_timing**2 / (2 * n)) / n))
    side = float(held.sum(axis=1).mean()) / gross
    numbers = (
        f"net weight {side:.0%} of gross; {whole.mean() * periods_per_year:.1%} a year before costs, of which average "
        f"weights, held throughout, earned {average.mean() * periods_per_year:.1%} and timing "
        f"{timing.mean() * periods_per_year:.1%} (z {z_timing:.1f})"
    )
    guilty = abs(side) >= ONE_SIDED and z_whole > ONE_SIDED_Z > z_timing and _z(average - timing) > LEAD_Z
    evidence = [
        {"part": name, "return_a_year": plain(series.mean() * periods_per_year), "z": plain(_z(series))}
        for name, series in (("whole", whole), ("average weights", average), ("timing", timing))
    ]
    return Finding(
        "P5",
        "suspicious" if guilty else "pass",
        check.title,
        f"{numbers[0].upper()}{numbers[1:]}{': the market was earned, not the news.' if guilty else '.'}",
        evidence,
        sharpe,
        unit,
        check.remedy if guilty else "",
        (sharpe - 1.96 * error, sharpe + 1.96 * error),
    )


def _z(series: np.ndarray) -> float:
    """Mean over its standard error; 0 without variation."""
    spread = float(series.std(ddof=1))
    return float(series.mean() / spread * np.sqrt(len(series))) if spread > 1e-15 else 0.0
