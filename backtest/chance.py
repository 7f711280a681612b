"""What the moments of a return series say about luck: how probable an edge is, and how far its sample can see."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from embargo.backtest.significance import (
    MINIMUM_ROWS,
    aggregated_sharpe,
    detectable_sharpe,
    mean_estimate,
    moving_rows,
    probabilistic_sharpe,
    required_length,
    sample_shape,
    sharpe_errors,
    stepwise_sharpe,
    variance_inflation,
)


@dataclass(frozen=True)
class AfterAttempts:
    """What is left of a Sharpe ratio's p-value after everything that was tried.

    Attributes
    ----------
    adjusted_p_value : float or None
        One-sided; None where the ratio alone has none.
    significance_left : float
        Level at which a single normal test has the critical value that all attempts together leave; below the level
        that was asked for even after a single attempt, whose own error is an estimate.
    """

    adjusted_p_value: float | None
    significance_left: float


def after_attempts(
    returns: np.ndarray,
    p_value: float | None,
    *,
    panel: np.ndarray | None,
    n_trials: int,
    significance: float,
    n_boot: int,
    block: float | None,
    seed: int,
) -> AfterAttempts:
    """Adjust the p-value of a Sharpe ratio for all attempts that it may have been picked from.

    Attempts whose returns are known count by how they move together (`stepwise_sharpe`), each of the others in full
    (Bonferroni).

    Parameters
    ----------
    returns : float array, shape (bars,)
    p_value : float or None
        Of its Sharpe ratio alone.
    panel : float array, shape (bars, attempts known), or None
        With these returns among its columns.
    n_trials : int
        All attempts, this one among them.
    significance : float
        Level of the test.
    n_boot : int
    block : float, optional
    seed : int
        As in `stepwise_sharpe`.
    """
    together, left = p_value, significance
    if p_value is not None:
        # A single attempt has a critical value of its own too, beyond the normal one: its error is an estimate.
        known = returns[:, None] if panel is None else panel
        found = stepwise_sharpe(known, level=significance, n_boot=n_boot, block=block, seed=seed)
        left = significance if found.critical_value is None else float(norm.sf(found.critical_value))
        if known.shape[1] > 1:
            own = int(np.argmax((known == returns[:, None]).all(axis=0)))
            together = max(p_value, float(found.p_values[own]))
    unknown = n_trials - (1 if panel is None else panel.shape[1])
    return AfterAttempts(
        adjusted_p_value=None if together is None or p_value is None else min(1.0, together + unknown * p_value),
        significance_left=significance / (significance / min(left, significance) + unknown),
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
        At which a Sharpe ratio would count: what `after_attempts` leaves of the level.

    Returns
    -------
    dict
        ``detectable_sharpe`` (annual) and ``required_bars`` (of a true Sharpe ratio like this one; None if it is not
        positive), both found with 80 % probability and None below 30 bars that move; ``sharpe_errors``
        (annual, under three sets of assumptions), ``mean`` (annual, with its t-test), ``sharpe_aggregated`` (annual,
        allowing for autocorrelation, after Lo) and ``sample`` (of `sample_shape`: whether the tests are known to hold
        their size on such returns).
    """
    mean = mean_estimate(returns, periods_per_year=periods_per_year, level=level).as_dict()
    errors = sharpe_errors(returns, periods_per_year=periods_per_year).as_dict()
    aggregated = aggregated_sharpe(returns, max(1, round(periods_per_year)))
    found: dict[str, Any] = {"mean": mean, "sharpe_errors": errors, "sharpe_aggregated": aggregated}
    found["sample"] = sample_shape(returns).as_dict()
    if performance["sharpe"] is None or moving_rows(returns) < MINIMUM_ROWS:
        return found | {"detectable_sharpe": None, "required_bars": None}
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
        "required_bars": required_length(
            per_bar, significance=significance, skew=skew, kurtosis_raw=kurtosis_raw, inflation=inflation
        ),
    }


def _moments(performance: Mapping[str, Any], periods_per_year: float) -> tuple[float, int, float, float]:
    per_bar = float(performance["sharpe"]) / math.sqrt(periods_per_year)
    return per_bar, int(performance["n_bars"]), float(performance["skew"]), float(performance["kurtosis_raw"])
