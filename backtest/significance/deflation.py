"""What a Sharpe ratio is worth against a benchmark, and after allowing for the number of attempts it was chosen from.

Sharpe ratios are per period; kurtosis is raw (3 for a normal distribution).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr, ndtri

from embargo.backtest.arguments import check_at_least, check_positive
from embargo.data_loaders.errors import ConfigError, DataError


def probabilistic_sharpe(
    sharpe_per_period: float,
    n: int,
    skew: float,
    kurtosis_raw: float,
    benchmark: float = 0.0,
    *,
    inflation: float = 1.0,
) -> float:
    """One less the one-sided p-value of a true Sharpe ratio at most a benchmark, by the moments of the returns.

    The paper calls it the probability that the true ratio exceeds the benchmark, which no p-value can be.

    The paper's formula is for independent rows. Under AR(1) with coefficient 0.2, values above 0.95 turn up 9 to 10 %
    of the time without any edge; with ``inflation`` it stays near 5 % (`docs/size_and_power.md`). Nor is it for
    strategies that seldom hold anything, whose few gains look certain; `moving_rows` counts.

    Parameters
    ----------
    sharpe_per_period : float
        Estimate, not annualised.
    n : int
        Rows behind the estimate.
    skew, kurtosis_raw : float
        Of the returns; kurtosis is 3 for a normal distribution.
    benchmark : float
        Sharpe ratio per period to beat.
    inflation : float
        What serial dependence multiplies the variance of the estimate by, from ``variance_inflation(returns)``; 1 for
        independent rows.

    Returns
    -------
    float in [0, 1]

    Raises
    ------
    ConfigError
        If a setting is out of range.
    DataError
        If the moments cannot belong together.

    References
    ----------
    Bailey and López de Prado (2012), "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2).

    Examples
    --------
    >>> from embargo.backtest.significance import probabilistic_sharpe
    >>> round(probabilistic_sharpe(0.1, 250, skew=-1.0, kurtosis_raw=6.0), 4)
    0.9327
    """
    check_at_least("n", n, 2)
    check_positive("inflation", inflation)
    spread = variance_factor("probabilistic_sharpe", sharpe_per_period, skew, kurtosis_raw) * inflation
    return float(ndtr((sharpe_per_period - benchmark) * math.sqrt(n - 1.0) / math.sqrt(spread)))


def variance_factor(who: str, sharpe_per_period: float, skew: float, kurtosis_raw: float) -> float:
    """Variance of an estimated Sharpe ratio times its rows, for independent rows."""
    factor = 1.0 - skew * sharpe_per_period + 0.25 * (kurtosis_raw - 1.0) * sharpe_per_period**2
    if not factor > 0.0:
        raise DataError(
            f"{who}: skew {skew} and raw kurtosis {kurtosis_raw} cannot belong together at Sharpe "
            f"{sharpe_per_period} (variance factor {factor}). Pass raw, not excess, kurtosis."
        )
    return factor


def minimum_track_record(
    sharpe_per_period: float,
    skew: float,
    kurtosis_raw: float,
    benchmark: float = 0.0,
    *,
    level: float = 0.95,
    inflation: float = 1.0,
) -> float | None:
    """Rows that an estimated Sharpe ratio needs for its probabilistic Sharpe ratio to reach a level.

    Parameters
    ----------
    sharpe_per_period : float
    skew, kurtosis_raw : float
    benchmark : float
        As in `probabilistic_sharpe`.
    level : float
        Probability wanted, above one half.
    inflation : float
        As in `probabilistic_sharpe`.

    Returns
    -------
    float or None
        Rows, not rounded. None where the estimate does not exceed the benchmark: no length would do.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    DataError
        If the moments cannot belong together.

    References
    ----------
    Bailey and López de Prado (2012), "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2), equation 13.

    Examples
    --------
    >>> from embargo.backtest.significance import minimum_track_record
    >>> round(minimum_track_record(0.1, skew=-1.0, kurtosis_raw=6.0), 1)
    302.0
    """
    if not 0.5 < level < 1.0:
        raise ConfigError(f"level must lie in (0.5, 1), got {level}. Half is reached by any length.")
    check_positive("inflation", inflation)
    if not sharpe_per_period > benchmark:
        return None
    factor = variance_factor("minimum_track_record", sharpe_per_period, skew, kurtosis_raw) * inflation
    return float(1.0 + factor * (ndtri(level) / (sharpe_per_period - benchmark)) ** 2)


def expected_maximum_sharpe(n_trials: float, variance: float) -> float:
    """Sharpe ratio that the luckiest of several independent worthless trials is expected to show.

    Parameters
    ----------
    n_trials : float
        Trials made on the same test window, at least 1; where they are correlated, their effective number, which need
        not be whole.
    variance : float
        Variance of the trials' Sharpe ratios, per period squared.

    Returns
    -------
    float
        Per period, never negative; 0 for one trial.

    Raises
    ------
    ConfigError
        If there is less than one trial, or the variance is negative.

    References
    ----------
    Bailey and López de Prado (2014), "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5).

    Examples
    --------
    The paper's example, 100 trials whose Sharpe ratios have a variance of 0.5 a year of 250 days:

    >>> from embargo.backtest.significance import expected_maximum_sharpe
    >>> round(expected_maximum_sharpe(100, 0.5 / 250), 6)
    0.113172
    """
    check_at_least("n_trials", n_trials, 1)
    check_at_least("variance", variance, 0)
    if n_trials == 1.0:
        return 0.0
    highest = (1.0 - np.euler_gamma) * ndtri(1.0 - 1.0 / n_trials)
    highest += np.euler_gamma * ndtri(1.0 - 1.0 / (n_trials * math.e))
    # The approximation is negative below 1.3 trials, where the maximum is hardly more than one draw.
    return float(math.sqrt(variance) * max(highest, 0.0))


def deflated_sharpe(
    sharpe_per_period: float,
    n: int,
    skew: float,
    kurtosis_raw: float,
    *,
    n_trials: float,
    variance: float,
    inflation: float = 1.0,
) -> float:
    """Probabilistic Sharpe ratio against what the luckiest of as many worthless trials is expected to show.

    Parameters
    ----------
    sharpe_per_period : float
    n : int
    skew, kurtosis_raw : float
        As in `probabilistic_sharpe`.
    n_trials, variance : float
        As in `expected_maximum_sharpe`.
    inflation : float
        As in `probabilistic_sharpe`.

    Returns
    -------
    float in [0, 1]

    Raises
    ------
    ConfigError
        If a setting is out of range.
    DataError
        If the moments cannot belong together.

    References
    ----------
    Bailey and López de Prado (2014), "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5).

    Examples
    --------
    The paper's example, 2.5 a year on 1,250 days, the best of 100 and of 46 trials:

    >>> from embargo.backtest.significance import deflated_sharpe
    >>> best = dict(sharpe_per_period=2.5 / 250**0.5, n=1250, skew=-3, kurtosis_raw=10, variance=0.5 / 250)
    >>> [round(deflated_sharpe(n_trials=trials, **best), 4) for trials in (100, 46)]
    [0.9004, 0.9505]
    """
    luck = expected_maximum_sharpe(n_trials, variance)
    return probabilistic_sharpe(sharpe_per_period, n, skew, kurtosis_raw, benchmark=luck, inflation=inflation)
