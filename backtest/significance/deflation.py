"""What a Sharpe ratio is worth against a benchmark, and after allowing for the number of attempts it was chosen from.

Sharpe ratios are per period; kurtosis is raw (3 for a normal distribution).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import norm

from data_loaders.errors import ConfigError, DataError


def probabilistic_sharpe(
    sharpe_per_period: float, n: int, skew: float, kurtosis_raw: float, benchmark: float = 0.0
) -> float:
    """Probability that the true Sharpe ratio exceeds a benchmark, given an estimate from n independent rows.

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

    Returns
    -------
    float in [0, 1]

    References
    ----------
    Bailey and López de Prado (2012), "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2).
    """
    if n < 2:
        raise ConfigError(f"probabilistic_sharpe: n must be at least 2, got {n}.")
    spread = 1.0 - skew * sharpe_per_period + 0.25 * (kurtosis_raw - 1.0) * sharpe_per_period**2
    if not spread > 0.0:
        raise DataError(
            f"probabilistic_sharpe: skew {skew} and raw kurtosis {kurtosis_raw} cannot belong together at Sharpe "
            f"{sharpe_per_period} (variance factor {spread}). Pass raw, not excess, kurtosis."
        )
    return float(norm.cdf((sharpe_per_period - benchmark) * math.sqrt(n - 1.0) / math.sqrt(spread)))


def expected_maximum_sharpe(n_trials: int, variance: float) -> float:
    """Sharpe ratio that the luckiest of several independent worthless trials is expected to show.

    Parameters
    ----------
    n_trials : int
        Trials made on the same test window; for 1 the result is 0.
    variance : float
        Variance of the trials' Sharpe ratios, per period squared.

    Returns
    -------
    float
        Per period.

    References
    ----------
    Bailey and López de Prado (2014), "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5).
    """
    if n_trials < 1:
        raise ConfigError(f"expected_maximum_sharpe: n_trials must be at least 1, got {n_trials}.")
    if not variance >= 0.0:
        raise ConfigError(f"expected_maximum_sharpe: variance must not be negative, got {variance}.")
    if n_trials == 1:
        return 0.0
    highest = (1.0 - np.euler_gamma) * norm.ppf(1.0 - 1.0 / n_trials)
    highest += np.euler_gamma * norm.ppf(1.0 - 1.0 / (n_trials * math.e))
    return float(math.sqrt(variance) * highest)


def deflated_sharpe(
    sharpe_per_period: float, n: int, skew: float, kurtosis_raw: float, *, n_trials: int, variance: float
) -> float:
    """Probability that the true Sharpe ratio is positive after allowing for the number of trials it was chosen from.

    Parameters
    ----------
    sharpe_per_period, n, skew, kurtosis_raw
        As in ``probabilistic_sharpe``.
    n_trials, variance
        As in ``expected_maximum_sharpe``.

    Returns
    -------
    float in [0, 1]

    References
    ----------
    Bailey and López de Prado (2014), "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5).
    """
    luck = expected_maximum_sharpe(n_trials, variance)
    return probabilistic_sharpe(sharpe_per_period, n, skew, kurtosis_raw, benchmark=luck)
