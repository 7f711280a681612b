"""The shape of a return distribution and the losses in its tail, per row and never scaled to a year.

Value at risk and expected shortfall are losses: positive when money is lost, as fractions of equity. ``level`` is the
confidence, so that a higher level means a rarer and larger loss.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtri

from embargo.backtest.arguments import check_level
from embargo.backtest.metrics.series import Returns, checked, deviation, number, quotient

# Deviations within which the Cornish-Fisher expansion must be increasing; 3 rows in 100,000 lie below.
_REACH = 4.0


def skewness(returns: Returns) -> float | None:
    """Return the population skewness ``m3 / m2 ** 1.5``; None without variation.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.

    Returns
    -------
    float or None
        0 for a symmetric distribution.

    Raises
    ------
    DataError
        If it is not one series, or a return is missing.

    Examples
    --------
    >>> from embargo.backtest.metrics import skewness
    >>> round(skewness([0.01, 0.02, -0.05]), 3)
    -0.652
    """
    values = checked(returns)
    if not deviation(values) > 0.0:
        return None
    z = _standardised(values)
    return float(np.mean(z**3))


def kurtosis_raw(returns: Returns) -> float | None:
    """Return the population kurtosis ``m4 / m2 ** 2``: raw, so 3 for a normal distribution; None without variation.

    quantstats and pandas report the sample excess kurtosis, about 3 less.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.

    Returns
    -------
    float or None
        At least 1.

    Raises
    ------
    DataError
        If it is not one series, or a return is missing.

    Examples
    --------
    >>> from embargo.backtest.metrics import kurtosis_raw
    >>> round(kurtosis_raw([0.01, 0.02, -0.05, 0.01]), 3)
    2.283
    """
    values = checked(returns)
    if not deviation(values) > 0.0:
        return None
    z = _standardised(values)
    return float(np.mean(z**4))


def _standardised(values: np.ndarray) -> np.ndarray:
    """Return z-scores with n; scaled first, so that tiny returns do not underflow."""
    centred = values - values.mean()
    centred = centred / np.abs(centred).max()
    return np.asarray(centred / np.sqrt(np.mean(centred**2)))


def tail_ratio(returns: Returns) -> float | None:
    """95th percentile of the returns over the absolute 5th one; None unless the 5th percentile is a loss.

    Percentiles are interpolated linearly. empyrical and quantstats take the absolute value of a 5th percentile that is
    a gain, and so mark a strategy down for hardly ever losing.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, fraction.

    Returns
    -------
    float or None
        Above 1 where large gains exceed large losses.

    Raises
    ------
    DataError
        If it is not one series, or a return is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.metrics import tail_ratio
    >>> rng = np.random.default_rng(1)
    >>> returns = rng.normal(0.0, 0.01, 500)
    >>> round(tail_ratio(returns), 3)
    0.947
    """
    values = checked(returns)
    if not len(values):
        return None
    low, high = np.quantile(values, (0.05, 0.95))
    return quotient(float(high), -float(low)) if low < 0.0 else None


def _tail(level: float) -> float:
    check_level(level)
    return 1.0 - level


def value_at_risk(returns: Returns, level: float = 0.95) -> float | None:
    """Historical value at risk of one row: the smallest loss that at least ``level`` of the rows do not exceed.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
    level : float
        Confidence in [0.5, 1).

    Returns
    -------
    float or None
        Fraction of equity, positive for a loss; None without rows. It is one of the observed losses: no interpolation
        (empyrical interpolates). quantstats' figure of this name is that of a normal distribution and ignores the tail.

    Raises
    ------
    ConfigError
        If the level is out of range.
    DataError
        If it is not one series, or a return is missing.

    References
    ----------
    McNeil, Frey and Embrechts (2005), "Quantitative Risk Management", definition 2.10.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.metrics import value_at_risk
    >>> rng = np.random.default_rng(1)
    >>> returns = rng.normal(0.0, 0.01, 500)
    >>> round(value_at_risk(returns, 0.95), 4)
    0.0154
    """
    tail, losses = _tail(level), np.sort(-checked(returns))
    if not len(losses):
        return None
    # 0.95 * 300 is not exactly 285 in binary: a rank may not jump for that.
    rank = math.ceil(len(losses) * (1.0 - tail) - 1e-9)
    return float(losses[max(rank, 1) - 1])


def expected_shortfall(returns: Returns, level: float = 0.95) -> float | None:
    """Historical expected shortfall of one row: mean of the worst ``1 - level`` of the distribution, never below VaR.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
    level : float
        Confidence in [0.5, 1).

    Returns
    -------
    float or None
        Fraction of equity, positive for a loss; None without rows. When ``(1 - level) * n`` is not whole, the row on
        the border counts in part; empyrical and quantstats take whole rows.

    Raises
    ------
    ConfigError
        If the level is out of range.
    DataError
        If it is not one series, or a return is missing.

    References
    ----------
    Acerbi and Tasche (2002), "On the coherence of expected shortfall", Journal of Banking & Finance 26(7).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.metrics import expected_shortfall
    >>> rng = np.random.default_rng(1)
    >>> returns = rng.normal(0.0, 0.01, 500)
    >>> round(expected_shortfall(returns, 0.95), 4)
    0.0194
    """
    tail, worst = _tail(level), np.sort(checked(returns))
    if not len(worst):
        return None
    mass = tail * len(worst)
    whole = math.floor(mass + 1e-9)
    border = max(mass - whole, 0.0) * float(worst[min(whole, len(worst) - 1)])
    return -(float(worst[:whole].sum()) + border) / mass


def value_at_risk_cornish_fisher(returns: Returns, level: float = 0.95) -> float | None:
    """Value at risk of one row from the first four moments (population), by the Cornish-Fisher expansion.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
    level : float
        Confidence in [0.5, 1).

    Returns
    -------
    float or None
        Fraction of equity, positive for a loss. None without variation, and where skewness and kurtosis are so far from
        normal that the expansion is no quantile function (a higher level could then mean a smaller loss).

    Raises
    ------
    ConfigError
        If the level is out of range.
    DataError
        If it is not one series, or a return is missing.

    References
    ----------
    Favre and Galeano (2002), "Mean-modified value-at-risk optimization with hedge funds", Journal of Alternative
    Investments 5(2); domain of validity: Maillard (2012), "A user's guide to the Cornish Fisher expansion".

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.metrics import value_at_risk_cornish_fisher
    >>> rng = np.random.default_rng(1)
    >>> returns = rng.normal(0.0, 0.01, 500)
    >>> round(value_at_risk_cornish_fisher(returns, 0.95), 4)
    0.0152
    """
    z = float(ndtri(_tail(level)))
    moments = _expandable(returns)
    if moments is None:
        return None
    mean, spread, skew, excess = moments
    quantile = z + (z**2 - 1) * skew / 6 + (z**3 - 3 * z) * excess / 24 - (2 * z**3 - 5 * z) * skew**2 / 36
    return number(-(mean + spread * quantile))


def expected_shortfall_cornish_fisher(returns: Returns, level: float = 0.95) -> float | None:
    """Mean loss of one row beyond the value at risk, both under the Cornish-Fisher expansion.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
    level : float
        Confidence in [0.5, 1).

    Returns
    -------
    float or None
        Fraction of equity, positive for a loss; None where ``value_at_risk_cornish_fisher`` is None.

    Raises
    ------
    ConfigError
        If the level is out of range.
    DataError
        If it is not one series, or a return is missing.

    References
    ----------
    Boudt, Peterson and Croux (2008), "Estimation and decomposition of downside risk for portfolios with non-normal
    returns", Journal of Risk 11(2); closed form as in Maillard (2012).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.metrics import expected_shortfall_cornish_fisher
    >>> rng = np.random.default_rng(1)
    >>> returns = rng.normal(0.0, 0.01, 500)
    >>> round(expected_shortfall_cornish_fisher(returns, 0.95), 4)
    0.0194
    """
    tail = _tail(level)
    z = float(ndtri(tail))
    moments = _expandable(returns)
    if moments is None:
        return None
    mean, spread, skew, excess = moments
    density = math.exp(-(z**2) / 2.0) / math.sqrt(2.0 * math.pi)
    # Means of the polynomials of a standard normal below z, each over -density / tail.
    shape = 1 + z * skew / 6 + (z**2 - 1) * excess / 24 - (2 * z**2 - 1) * skew**2 / 36
    return number(-(mean - spread * density / tail * shape))


def _expandable(returns: Returns) -> tuple[float, float, float, float] | None:
    """Mean, deviation, skewness and excess kurtosis; None where the expansion is not increasing."""
    values = checked(returns)
    skew, kurtosis = skewness(values), kurtosis_raw(values)
    if skew is None or kurtosis is None:
        return None
    excess = kurtosis - 3.0
    z = np.linspace(-_REACH, _REACH, 161)
    slope = (excess / 8 - skew**2 / 6) * z**2 + skew / 3 * z + 1 - excess / 8 + 5 * skew**2 / 36
    return (float(values.mean()), float(values.std()), skew, excess) if slope.min() > 0.0 else None
