"""What a return series owes to luck: after all attempts, beside each benchmark, and how far its sample can see."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

from embargo.backtest.arguments import check_at_least, check_share
from embargo.backtest.metrics import relative
from embargo.backtest.significance import (
    MINIMUM_ROWS,
    aggregated_sharpe,
    detectable_sharpe,
    holm,
    mean_estimate,
    moving_rows,
    probabilistic_sharpe,
    required_length,
    sample_shape,
    sharpe_errors,
    stepwise_sharpe,
    variance_inflation,
)
from embargo.backtest.significance.panels import checked_members
from embargo.data_loaders.errors import ConfigError, DataError

_QUARTER = 0.25
# Beyond this many standard errors a normal tail is less than any number.
_FARTHEST = 37.0


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
    p_value: float | None,
    *,
    panel: np.ndarray | None,
    member: np.ndarray | None = None,
    own: int = 0,
    n_trials: int,
    significance: float,
    n_boot: int,
    block: float | None,
    seed: int,
) -> AfterAttempts:
    """Adjust the p-value of a Sharpe ratio for all attempts that it may have been picked from.

    Attempts whose returns are known count by how they move together (`stepwise_sharpe`), each of the others in full
    (Bonferroni). So does an attempt on less than a quarter of the bars: too few blocks of it would be resampled, and on
    so few bars it owes little to the others.

    Parameters
    ----------
    p_value : float or None
        Of the Sharpe ratio alone.
    panel : float array, shape (bars, attempts known), or None
        Net returns, the one in question among the columns.
    member : bool array, shape (bars, attempts known), optional
        Bars that each was made on; all by default.
    own : int
        Column of the one in question.
    n_trials : int
        All attempts, this one among them.
    significance : float
        Level of the test.
    n_boot : int
    block : float, optional
    seed : int
        As in `stepwise_sharpe`.

    Raises
    ------
    ConfigError
        If ``n_trials`` is less than the attempts whose returns are given, ``own`` is none of them, or a setting is out
        of range.
    DataError
        If the p-value is no probability, or the panel or the membership is not as `stepwise_sharpe` takes it.

    Examples
    --------
    Two looks at the same strategy, one at the first half of its bars, against ten attempts of which nothing is known:

    >>> import numpy as np
    >>> from embargo.backtest.chance import after_attempts
    >>> returns = np.random.default_rng(0).normal(0.15, 1.0, (400, 1)).repeat(2, axis=1)
    >>> member = np.column_stack([np.ones(400, dtype=bool), np.arange(400) < 200])
    >>> settings = {"significance": 0.05, "n_boot": 500, "block": 1.0, "seed": 0}
    >>> looked = after_attempts(0.004, panel=returns, member=member, n_trials=2, **settings)
    >>> unknown = after_attempts(0.004, panel=None, n_trials=10, **settings)
    >>> round(looked.adjusted_p_value, 3), round(unknown.adjusted_p_value, 3)
    (0.016, 0.04)
    """
    check_share("significance", significance)
    check_at_least("n_trials", n_trials, 1)
    if p_value is not None and not 0.0 <= p_value <= 1.0:
        raise DataError(f"after_attempts: p_value must lie in [0, 1], got {p_value}. Pass None where there is none.")
    known = 1
    together, left = p_value, significance
    if panel is not None and p_value is not None:
        values, inside = checked_members(panel, member, "after_attempts")
        columns = values.shape[1]
        if n_trials < columns:
            raise ConfigError(f"n_trials must count the {columns} attempts whose returns are given, got {n_trials}.")
        if not 0 <= own < columns:
            raise ConfigError(f"own must be the number of one of the {columns} columns, from 0 on, got {own}.")
        rows = inside.sum(axis=0)
        joint = np.flatnonzero(rows >= _QUARTER * rows[own])
        known, taken = len(joint), inside[:, joint].any(axis=1)
        # A single attempt has a critical value of its own too, beyond the normal one: its error is an estimate.
        found = stepwise_sharpe(
            values[np.ix_(taken, joint)],
            member=inside[np.ix_(taken, joint)],
            level=significance,
            n_boot=n_boot,
            block=block,
            seed=seed,
        )
        left = significance if found.critical_value is None else float(ndtr(-min(found.critical_value, _FARTHEST)))
        if known > 1:
            together = max(p_value, float(found.p_values[np.searchsorted(joint, own)]))
    unknown = n_trials - known
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


def held_against(returns: pd.Series, benchmarks: pd.DataFrame, *, periods_per_year: float) -> dict[str, dict[str, Any]]:
    """Hold returns against each benchmark, with the p-values of their alphas corrected together.

    Parameters
    ----------
    returns : Series, shape (bars,)
    benchmarks : DataFrame, shape (bars, benchmarks)
        A column ``cash`` is passed over.
    periods_per_year : float

    Returns
    -------
    dict of str to dict
        By benchmark, the figures of `embargo.backtest.metrics.relative`, and ``alpha_p_value_holm``: the two-sided
        p-value after Holm's correction for the number of benchmarks.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.chance import held_against
    >>> panel = pd.DataFrame(np.random.default_rng(1).normal(0.0, 0.01, (250, 3)), columns=["mine", "one", "other"])
    >>> found = held_against(panel["mine"], panel[["one", "other"]], periods_per_year=252)
    >>> [round(one["alpha_p_value"], 2) for one in found.values()]
    [0.44, 0.46]
    >>> [round(one["alpha_p_value_holm"], 2) for one in found.values()]
    [0.88, 0.88]
    """
    found = {
        str(name): relative(returns, benchmarks[name], periods_per_year=periods_per_year)
        for name in benchmarks.columns
        if name != "cash"
    }
    corrected = holm([one["alpha_p_value"] for one in found.values()])
    return {name: one | {"alpha_p_value_holm": p} for (name, one), p in zip(found.items(), corrected, strict=True)}


def _moments(performance: Mapping[str, Any], periods_per_year: float) -> tuple[float, int, float, float]:
    per_bar = float(performance["sharpe"]) / math.sqrt(periods_per_year)
    return per_bar, int(performance["n_bars"]), float(performance["skew"]), float(performance["kurtosis_raw"])
