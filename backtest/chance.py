"""What the moments of a return series say about luck: how probable an edge is, and how far its sample can see."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from embargo.backtest.significance import (
    MINIMUM_ROWS,
    aggregated_sharpe,
    detectable_sharpe,
    mean_estimate,
    minimum_track_record,
    moving_rows,
    probabilistic_sharpe,
    sharpe_errors,
    variance_inflation,
)


def beyond_luck(
    performance: Mapping[str, Any], returns: np.ndarray, *, luck: float | None, periods_per_year: float
) -> dict[str, float | None]:
    """Say how probable it is that the true Sharpe ratio exceeds 0, and what luck alone would show.

    Parameters
    ----------
    performance : mapping
        Of the returns, from `embargo.backtest.metrics.performance`.
    returns : float array, shape (bars,)
    luck : float or None
        Sharpe ratio per row that the luckiest of as many worthless attempts is expected to show; None if nobody knows.
    periods_per_year : float

    Returns
    -------
    dict
        ``probabilistic_sharpe`` and ``deflated_sharpe``, in [0, 1]; None below 30 rows that move, the second also where
        ``luck`` is None.

    References
    ----------
    Bailey and López de Prado (2014), "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5).
    """
    found: dict[str, float | None] = {"probabilistic_sharpe": None, "deflated_sharpe": None}
    if performance["sharpe"] is None or moving_rows(returns) < MINIMUM_ROWS:
        return found
    moments, inflation = _moments(performance, periods_per_year), variance_inflation(returns)
    found["probabilistic_sharpe"] = probabilistic_sharpe(*moments, inflation=inflation)
    if luck is not None:
        found["deflated_sharpe"] = probabilistic_sharpe(*moments, benchmark=luck, inflation=inflation)
    return found


def reach(
    performance: Mapping[str, Any], returns: np.ndarray, *, periods_per_year: float, level: float, significance: float
) -> dict[str, Any]:
    """Say how far a sample of this length and kind can see, and what else its mean and its Sharpe ratio are worth.

    Parameters
    ----------
    performance : mapping
        Of the returns, from `embargo.backtest.metrics.performance`.
    returns : float array, shape (bars,)
    periods_per_year : float
    level : float
        Of the interval of the mean.
    significance : float
        At which a Sharpe ratio would count.

    Returns
    -------
    dict
        ``detectable_sharpe`` (annual, found with 80 % probability) and ``minimum_track_record`` (bars until this Sharpe
        ratio would be significant; None if it is not positive), both None below 30 bars that move; ``sharpe_errors``
        (annual, under three sets of assumptions), ``mean`` (annual, with its t-test) and ``sharpe_aggregated`` (annual,
        allowing for autocorrelation, after Lo).
    """
    mean = mean_estimate(returns, periods_per_year=periods_per_year, level=level).as_dict()
    errors = sharpe_errors(returns, periods_per_year=periods_per_year).as_dict()
    aggregated = aggregated_sharpe(returns, max(1, round(periods_per_year)))
    found: dict[str, Any] = {"mean": mean, "sharpe_errors": errors, "sharpe_aggregated": aggregated}
    if performance["sharpe"] is None or moving_rows(returns) < MINIMUM_ROWS:
        return found | {"detectable_sharpe": None, "minimum_track_record": None}
    per_bar, n, skew, kurtosis_raw = _moments(performance, periods_per_year)
    inflation = variance_inflation(returns)
    return found | {
        "detectable_sharpe": detectable_sharpe(
            n,
            periods_per_year=periods_per_year,
            significance=significance,
            skew=skew,
            kurtosis_raw=kurtosis_raw,
            inflation=inflation,
        ),
        "minimum_track_record": minimum_track_record(
            per_bar, skew, kurtosis_raw, level=1.0 - significance, inflation=inflation
        ),
    }


def _moments(performance: Mapping[str, Any], periods_per_year: float) -> tuple[float, int, float, float]:
    per_bar = float(performance["sharpe"]) / math.sqrt(periods_per_year)
    return per_bar, int(performance["n_bars"]), float(performance["skew"]), float(performance["kurtosis_raw"])
