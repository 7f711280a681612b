"""The long-run variance of dependent series: what the variance of a mean is made of when rows remember each other.

Pre-whitening is what keeps tests near their nominal size: kernel estimates alone are too small for positively
correlated rows, and so is the variance that the stationary bootstrap implies at its automatic block length.
"""

from __future__ import annotations

import math

import numpy as np

from embargo.backtest.significance.series import varies
from embargo.data_loaders.errors import DataError

# Andrews and Monahan's bound: closer to a unit root the recolouring would explode.
_LARGEST_MEMORY = 0.97
_NO_BANDWIDTH = 1e-3
_PARZEN = 2.6614


def autocovariances(values: np.ndarray) -> np.ndarray:
    """Sum of products at each lag over the number of rows, around zero; shape (n,)."""
    n = len(values)
    spectrum = np.fft.rfft(values, 2 * n)
    return np.asarray(np.fft.irfft(spectrum * np.conj(spectrum), 2 * n)[:n] / n)


def first_order_memory(values: np.ndarray) -> float:
    """First-order coefficient by least squares, held away from a unit root."""
    past = values[:-1]
    power = float(past @ past)
    slope = float(values[1:] @ past) / power if power > 0.0 else 0.0
    return min(max(slope, -_LARGEST_MEMORY), _LARGEST_MEMORY)


def _quadratic_spectral(values: np.ndarray) -> float:
    """Kernel estimate with the bandwidth that is best for a first-order process, around zero."""
    memory = first_order_memory(values)
    bandwidth = 1.3221 * (4.0 * memory**2 / (1.0 - memory) ** 4 * len(values)) ** 0.2
    if bandwidth < _NO_BANDWIDTH:
        return float(values @ values) / len(values)
    covariance = autocovariances(values)
    angle = 1.2 * math.pi * np.arange(1, len(values)) / bandwidth
    weight = 3.0 / angle**2 * (np.sin(angle) / angle - np.cos(angle))
    return float(covariance[0] + 2.0 * (weight @ covariance[1:]))


def long_run_variance(values: np.ndarray) -> float:
    """Variance of ``sqrt(n)`` times the mean of a stationary series, by a pre-whitened quadratic-spectral kernel.

    Parameters
    ----------
    values : float array, shape (n,)
        At least three rows, in order; their mean is taken out.

    Returns
    -------
    float
        In squared units of the values, never negative; 0 without variation.

    References
    ----------
    Andrews (1991), "Heteroskedasticity and Autocorrelation Consistent Covariance Matrix Estimation", Econometrica
    59(3), for kernel and bandwidth; Andrews and Monahan (1992), Econometrica 60(4), for pre-whitening by a first-order
    autoregression. Ledoit and Wolf (2008) studentise Sharpe ratios by it.
    """
    centred = np.asarray(values, dtype=float) - np.mean(values)
    memory = first_order_memory(centred)
    rest = centred[1:] - memory * centred[:-1]
    return max(_quadratic_spectral(rest), 0.0) / (1.0 - memory) ** 2


def sharpe_influence(values: np.ndarray, member: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """Sharpe ratio of the member rows, and how much each row of the series moves it.

    Parameters
    ----------
    values : float array, shape (n,)
        Returns with variation among the members.
    member : bool array, shape (n,), optional
        All rows by default.

    Returns
    -------
    (float, float array of shape (n,))
        Ratio per period, deviation with n; the influence has mean 0, and the variance of its mean is that of the ratio.

    References
    ----------
    Lo (2002), "The Statistics of Sharpe Ratios", Financial Analysts Journal 58(4), appendix A: the delta method.
    """
    if member is None:
        member = np.ones(len(values), dtype=bool)
    inside = values[member]
    centre, deviation = float(inside.mean()), float(inside.std())
    ratio = centre / deviation
    u = (values - centre) / deviation
    return ratio, np.where(member, u - 0.5 * ratio * (u**2 - 1.0), 0.0) / float(member.mean())


def variance_inflation(returns: np.ndarray) -> float:
    """How many times larger serial dependence makes the variance of a Sharpe ratio.

    Parameters
    ----------
    returns : array, shape (n,)
        Simple returns per row, without missing values.

    Returns
    -------
    float
        1 for independent rows, above 1 for trending ones; 1 for a series without variation or below three rows.

    References
    ----------
    Lo (2002), "The Statistics of Sharpe Ratios", Financial Analysts Journal 58(4), for what each row moves the ratio
    by; Andrews and Monahan (1992), Econometrica 60(4), for its long-run variance.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import variance_inflation
    >>> noise = np.random.default_rng(1).normal(0.0, 0.01, 1000)
    >>> trending = noise[1:] + 0.5 * noise[:-1]
    >>> round(variance_inflation(noise), 2), round(variance_inflation(trending), 2)
    (0.96, 2.14)
    """
    values = np.asarray(returns, dtype=float)
    if len(values) < 3 or not varies(values):
        return 1.0
    _, influence = sharpe_influence(values)
    plain = float(influence @ influence) / len(influence)
    return long_run_variance(influence) / plain if plain > 0.0 else 1.0


def prewhitened_covariance(values: np.ndarray) -> np.ndarray:
    """Long-run covariance of a series of vectors with mean 0, allowing for serial dependence.

    Filters by a vector autoregression of order 1 (its singular values held below 0.97), weights the autocovariances of
    what is left by the Parzen kernel with the automatic bandwidth, and undoes the filter.

    Parameters
    ----------
    values : float array, shape (rows, k)
        The bandwidth depends on the units of the columns; give them one scale.

    Returns
    -------
    float array, shape (k, k)
        Of the sum of all autocovariances, with the correction rows / (rows - k) for k estimated moments.

    References
    ----------
    Andrews and Monahan (1992), "An improved heteroskedasticity and autocorrelation consistent covariance matrix
    estimator", Econometrica 60(4). Andrews (1991), Econometrica 59(3), for the bandwidth.
    """
    values = np.asarray(values, dtype=float)
    rows, k = values.shape
    if rows <= 2 * k + 2:
        raise DataError(f"prewhitened_covariance: {rows} rows are too few for {k} columns. Give more rows.")
    coefficients = np.linalg.lstsq(values[:-1], values[1:], rcond=None)[0].T
    left, singular, right = np.linalg.svd(coefficients)
    filter_ = left @ np.diag(np.minimum(singular, _LARGEST_MEMORY)) @ right
    rest = values[1:] - values[:-1] @ filter_.T
    n = len(rest)
    bandwidth = _PARZEN * (_curvature(rest) * n) ** 0.2
    covariance = rest.T @ rest / n
    for lag in range(1, min(n, math.ceil(bandwidth))):
        shifted = rest[lag:].T @ rest[:-lag] / n
        covariance += _parzen(lag / bandwidth) * (shifted + shifted.T)
    undo = np.linalg.inv(np.eye(k) - filter_)
    return np.asarray(undo @ covariance @ undo.T * (n / (n - k)))


def _curvature(rest: np.ndarray) -> float:
    """Andrews's alpha(2) from a first-order autoregression of each column, all columns weighing alike."""
    above, below = 0.0, 0.0
    for column in rest.T:
        now, before = column[1:] - column.mean(), column[:-1] - column.mean()
        power = float(before @ before)
        if power <= 0.0:
            continue
        root = float(np.clip(now @ before / power, -_LARGEST_MEMORY, _LARGEST_MEMORY))
        noise = float(np.mean((now - root * before) ** 2)) ** 2
        above += 4.0 * root**2 * noise / (1.0 - root) ** 8
        below += noise / (1.0 - root) ** 4
    return above / below if below > 0.0 else 0.0


def _parzen(x: float) -> float:
    return 1.0 - 6.0 * x**2 + 6.0 * x**3 if x <= 0.5 else 2.0 * (1.0 - x) ** 3
