"""Means of what overlaps: an estimate with Newey-West errors across bars, and how many independent bars it is worth.

Returns over several bars share bars, and what a signal says today it mostly said yesterday, so neighbouring rows are
far from independent. A test that takes them for independent finds an edge in a third of all worthless signals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from embargo.data_loaders.errors import ConfigError, DataError

FEWEST_ROWS = 20
_FEWEST_DEGREES = 4.0
_CHUNK = 2_000_000


@dataclass(frozen=True)
class Estimate:
    """A mean with what chance makes of it; NaN where it cannot be known.

    Attributes
    ----------
    value : float
        In the unit of the values, per bar.
    standard_error : float
        Newey-West.
    low, high : float
        Ends of the two-sided confidence interval.
    p_value : float
        Two-sided, for the null hypothesis that the true mean is 0.
    n : int
        Values averaged.
    n_effective : float
        Independent values that would give the same standard error.
    lag : int
        Rows over which neighbours are taken for dependent.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.signals.diagnostics import mean_by_row
    >>> found = mean_by_row(np.random.default_rng(1).normal(0.1, 1.0, 300), lag=20)
    >>> found.low < found.value < found.high, found.n, found.lag
    (True, 300, 20)
    """

    value: float
    standard_error: float
    low: float
    high: float
    p_value: float
    n: int
    n_effective: float
    lag: int


def newey_west_lag(n_rows: int, horizon: int = 1) -> int:
    """Rows over which rows must be taken for dependent when each looks ``horizon`` bars ahead.

    Six times the overlap, because Bartlett's weights fall from the first lag on and would leave out much of it; never
    less than 1.3 times the square root of the sample, which tests with fixed-b critical values call for.

    Parameters
    ----------
    n_rows : int
        Bars of the sample.
    horizon : int
        Bars.

    Returns
    -------
    int

    Raises
    ------
    ConfigError
        If either is below 1.

    References
    ----------
    Lazarus, Lewis, Stock and Watson (2018), "HAR Inference: Recommendations for Practice", JBES 36(4).

    Examples
    --------
    >>> from embargo.signals.diagnostics import newey_west_lag
    >>> newey_west_lag(250), newey_west_lag(250, horizon=10)
    (21, 60)
    """
    if n_rows < 1 or horizon < 1:
        raise ConfigError(f"newey_west_lag: {n_rows} rows and horizon {horizon}; both must be at least 1.")
    return max(math.ceil(1.3 * math.sqrt(n_rows)), 6 * horizon)


def mean_by_row(
    values: np.ndarray, row: np.ndarray | None = None, n_rows: int | None = None, *, lag: int, level: float = 0.95
) -> Estimate:
    """Mean of values that stand on bars, any number to a bar, with Newey-West errors across the bars.

    Values of one bar may depend on each other as they like, and on those of the ``lag`` bars around. The variance is
    freed of the bias that taking off the sample mean brings, and the t distribution has ``1.5 * bars / lag`` degrees of
    freedom: close to the fixed-b critical values.

    Parameters
    ----------
    values : array, shape (n,)
        NaN is left out.
    row : int array, shape (n,), optional
        Bar of each value; by default one value per bar, in order.
    n_rows : int, optional
        Bars in all, those without values included; by default ``len(values)``.
    lag : int
        From `newey_west_lag`.
    level : float
        Confidence level of the interval.

    Returns
    -------
    Estimate
        Without errors where fewer than 20 bars have values or the lag leaves fewer than four degrees of freedom.

    Raises
    ------
    DataError
        If lengths differ or a row lies outside.
    ConfigError
        If the lag is below 1 or the level outside (0, 1).

    References
    ----------
    Newey and West (1987), Econometrica 55(3). Kiefer and Vogelsang (2005), Econometric Theory 21(6), for fixed-b.
    Sun (2014), Journal of Econometrics 178, for the degrees of freedom.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.signals.diagnostics import mean_by_row
    >>> noise = np.random.default_rng(1).normal(0.1, 1.0, 300)
    >>> found = mean_by_row(noise, lag=20)
    >>> round(found.value, 3), round(found.standard_error, 3), round(found.p_value, 3)
    (-0.003, 0.035, 0.938)
    """
    values = np.asarray(values, dtype=float)
    row = np.arange(len(values)) if row is None else np.asarray(row, dtype=np.int64)
    n_rows = len(values) if n_rows is None else int(n_rows)
    if row.shape != values.shape or values.ndim != 1:
        raise DataError(f"mean_by_row: values of shape {values.shape} on rows of shape {row.shape}. Pass one row each.")
    if len(row) and not (row.min() >= 0 and row.max() < n_rows):
        raise DataError(f"mean_by_row: rows {row.min()} to {row.max()} of {n_rows}. Rows count from 0.")
    if lag < 1 or not 0.0 < level < 1.0:
        raise ConfigError(f"mean_by_row: lag = {lag} must be at least 1 and level = {level} inside (0, 1).")
    there = np.isfinite(values)
    values, row = values[there], row[there]
    n = len(values)
    if not n:
        return Estimate(math.nan, math.nan, math.nan, math.nan, math.nan, 0, math.nan, lag)
    mean = float(values.mean())
    unknown = Estimate(mean, math.nan, math.nan, math.nan, math.nan, n, math.nan, lag)
    share = lag / n_rows
    degrees = 1.5 / share
    if len(np.unique(row)) < FEWEST_ROWS or degrees < _FEWEST_DEGREES:
        return unknown
    away = values - mean
    scale = float(np.sqrt(np.mean(away**2)))
    if scale <= 1e-14 * max(1.0, abs(mean)):
        return unknown
    sums = np.bincount(row, weights=away, minlength=n_rows)
    variance = _long_run_sum(sums, lag) / (1.0 - share + share**2 / 3.0)
    if variance <= 0.0:
        return unknown
    error = math.sqrt(variance) / n
    reach = float(stdtrit(degrees, 0.5 + level / 2.0)) * error
    return Estimate(
        value=mean,
        standard_error=error,
        low=mean - reach,
        high=mean + reach,
        p_value=float(2.0 * stdtr(degrees, -abs(mean) / error)),
        n=n,
        n_effective=(scale / error) ** 2,
        lag=lag,
    )


def _long_run_sum(sums: np.ndarray, lag: int) -> float:
    """Sum of all autocovariances of the rows under Bartlett's weights, which is never negative."""
    n = len(sums)
    spectrum = np.fft.rfft(sums, 1 << (2 * n - 1).bit_length())
    covariance = np.fft.irfft(np.abs(spectrum) ** 2)[: min(lag, n)]
    weight = 1.0 - np.arange(len(covariance)) / lag
    weight[1:] *= 2.0
    return float(weight @ covariance)


def block_means(values: np.ndarray, *, block: int, n_boot: int, seed: int | np.random.Generator) -> np.ndarray:
    """Column means of resamples that join blocks of rows, the circular block bootstrap.

    Parameters
    ----------
    values : array, shape (rows, columns)
        NaN is left out of the means.
    block : int
        Rows in a block; the last one of a resample is cut.
    n_boot : int
        Resamples.
    seed : int or Generator

    Returns
    -------
    array, shape (n_boot, columns)
        NaN where a resample has no value.

    References
    ----------
    Politis and Romano (1992), "A circular block-resampling procedure for stationary data".
    """
    n, columns = values.shape
    if not 1 <= block <= n:
        raise ConfigError(f"block_means: block = {block} must lie between 1 and the {n} rows.")
    rng = np.random.default_rng(seed)
    there = np.isfinite(values)
    stacked = np.hstack([np.where(there, values, 0.0), there])
    total = np.zeros((2 * n + 1, 2 * columns))
    np.cumsum(np.vstack([stacked, stacked]), axis=0, out=total[1:])
    whole, rest = divmod(n, block)
    lengths = np.array([block] * whole + [rest] * (rest > 0))
    starts = rng.integers(0, n, size=(n_boot, len(lengths)))
    means = np.empty((n_boot, columns))
    step = max(1, _CHUNK // (len(lengths) * 2 * columns))
    for first in range(0, n_boot, step):
        begin = starts[first : first + step]
        sums = (total[begin + lengths] - total[begin]).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            # Running totals leave crumbs where nothing was counted.
            number = np.round(sums[:, columns:])
            means[first : first + step] = np.where(number > 0, sums[:, :columns] / number, np.nan)
    return means
