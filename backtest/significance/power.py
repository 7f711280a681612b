"""What a sample could have shown: the smallest edge that a test would probably have seen, and the length one takes."""

from __future__ import annotations

import math

from scipy.special import ndtri

from embargo.backtest.arguments import check_at_least, check_periods_per_year, check_positive
from embargo.backtest.significance.deflation import variance_factor
from embargo.data_loaders.errors import ConfigError


def detectable_sharpe(
    n: int,
    *,
    periods_per_year: float,
    significance: float = 0.05,
    power: float = 0.8,
    skew: float = 0.0,
    kurtosis_raw: float = 3.0,
    inflation: float = 1.0,
) -> float | None:
    """Smallest true annual Sharpe ratio that a one-sided test on n rows finds with the given probability.

    Where a result is not significant, this tells an absent edge from a short sample.

    Parameters
    ----------
    n : int
        Rows of the sample.
    periods_per_year : float
    significance : float
        Level of the one-sided test of "true Sharpe ratio <= 0"; after many attempts, the level that is left to one. The
        critical values of `stepwise_sharpe`, even for one attempt, exceed the normal ones on short samples: with theirs
        79 to 81 % of true ratios were found on 252 to 2,520 rows where 80 % were promised, with the normal one 75 to
        79 %.
    power : float
        Probability with which the test should reject.
    skew, kurtosis_raw : float
        Of the returns; kurtosis is 3 for a normal distribution.
    inflation : float
        From ``variance_inflation``: what serial dependence multiplies the variance of the estimate by.

    Returns
    -------
    float or None
        Annual. None where no Sharpe ratio, however large, would do: the error of its estimate grows as fast.

    Raises
    ------
    ConfigError
        If a setting is out of range.

    References
    ----------
    The normal approximation of Bailey and López de Prado (2012), "The Sharpe Ratio Efficient Frontier", Journal of
    Risk 15(2), solved for the Sharpe ratio.

    Examples
    --------
    Two years of days find a true Sharpe ratio of 1.77 four times in five, and no smaller one:

    >>> from embargo.backtest.significance import detectable_sharpe
    >>> round(detectable_sharpe(504, periods_per_year=252), 2)
    1.77
    """
    check_at_least("n", n, 2)
    check_periods_per_year(periods_per_year)
    check_positive("inflation", inflation)
    share = _reach(significance, power) ** 2 * inflation / (n - 1.0)
    # The least s > 0 at which s**2 = share * (1 - skew * s + (kurtosis_raw - 1) / 4 * s**2), written so that the
    # coefficient of the square may vanish, or be negative where skewness makes up for it.
    square = 1.0 - 0.25 * (kurtosis_raw - 1.0) * share
    half = 0.5 * skew * share
    inside = half**2 + square * share
    if inside < 0.0 or (square <= 0.0 and half <= 0.0):
        return None
    return share / (half + math.sqrt(inside)) * math.sqrt(periods_per_year)


def required_length(
    sharpe_per_period: float,
    *,
    significance: float = 0.05,
    power: float = 0.8,
    skew: float = 0.0,
    kurtosis_raw: float = 3.0,
    inflation: float = 1.0,
) -> float | None:
    """Rows at which a one-sided test finds a true Sharpe ratio with the given probability.

    Parameters
    ----------
    sharpe_per_period : float
        True ratio, not annualised.
    significance, power, skew, kurtosis_raw, inflation : float
        As in `detectable_sharpe`, whose inverse this is.

    Returns
    -------
    float or None
        Rows, not rounded. None where the ratio is not positive: no length would do.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    DataError
        If the moments cannot belong together.

    References
    ----------
    As `detectable_sharpe`. `minimum_track_record` is the same with a power of one half.

    Examples
    --------
    >>> from embargo.backtest.significance import required_length
    >>> round(required_length(1.0 / 252**0.5) / 252, 1)
    6.2
    """
    check_positive("inflation", inflation)
    reach = _reach(significance, power)
    if not sharpe_per_period > 0.0:
        return None
    factor = variance_factor("required_length", sharpe_per_period, skew, kurtosis_raw) * inflation
    return 1.0 + factor * (reach / sharpe_per_period) ** 2


def _reach(significance: float, power: float) -> float:
    """Distance in standard errors between no edge and one that is found with a given probability."""
    if not 0.0 < significance < 0.5:
        raise ConfigError(f"significance must lie in (0, 0.5), got {significance}. 0.05 is usual.")
    if not significance < power < 1.0:
        raise ConfigError(f"power must lie between significance and 1, got {power}. 0.8 is usual.")
    return float(ndtri(power) - ndtri(significance))
