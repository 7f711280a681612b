"""Tell whether one strategy is better than another on the same rows, or was lucky.

Every test here is paired: it looks at both series row by row, so that what moves both cancels out. The null hypothesis
is always that the two are equally good, and p-values are two-sided.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from embargo.backtest.arguments import (
    check_at_least,
    check_level,
    check_mean_block,
    check_n_boot,
    check_periods_per_year,
)
from embargo.backtest.significance.long_run import prewhitened_covariance, sharpe_influence
from embargo.backtest.significance.resampling import USABLE_SHARE, mean_block_length, stationary_blocks
from embargo.backtest.significance.series import MINIMUM_ROWS, paired_series, varies

_CELLS_PER_CHUNK = 200_000
_FEWEST_IN_RESAMPLE = 10


@dataclass(frozen=True)
class PairedDifference:
    """How much better ``a`` did than ``b``, with what chance makes of it.

    Attributes
    ----------
    a, b : float or None
        The two figures, annual; None without variation.
    difference : float or None
        a minus b, annual.
    low, high : float or None
        Ends of the symmetric studentised interval of the difference, annual; None below 30 rows that differ.
    low_percentile, high_percentile : float or None
        Ends of the plain percentile interval of the same resamples, annual. Its coverage falls short under serial
        dependence; it is here to be compared.
    p_value : float or None
        Two-sided, by studentised bootstrap.
    p_value_hac : float or None
        Two-sided, by the normal distribution and the HAC standard error alone.
    standard_error : float or None
        HAC, annual.
    detectable : float or None
        True difference, annual, that so long a sample shows with 80 % probability at this level.
    block_length : float or None
        Mean block length of the stationary bootstrap, in rows.
    n : int
        Rows used.
    level : float
        Confidence level of the intervals.

    Examples
    --------
    Three rows are too few for an interval:

    >>> import numpy as np
    >>> from embargo.backtest.significance import sharpe_difference
    >>> mine, theirs = np.array([0.01, -0.01, 0.03]), np.array([0.01, -0.02, 0.03])
    >>> found = sharpe_difference(mine, theirs, periods_per_year=252, seed=0)
    >>> round(found.difference, 2), found.low, found.n
    (3.73, None, 3)
    """

    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    low_percentile: float | None
    high_percentile: float | None
    p_value: float | None
    p_value_hac: float | None
    standard_error: float | None
    detectable: float | None
    block_length: float | None
    n: int
    level: float

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON-able dictionary."""
        return asdict(self)


def _checked(n_boot: int, level: float, block: float | None, periods_per_year: float) -> None:
    check_n_boot(n_boot)
    check_level(level)
    check_mean_block(block)
    check_periods_per_year(periods_per_year)


def differing_rows(a: pd.Series | np.ndarray, b: pd.Series | np.ndarray) -> int:
    """Count the rows on which two series of returns differ: by more than rounding, and than a thousandth of the usual.

    The second bound leaves out what fades away after two strategies have come together.

    Parameters
    ----------
    a, b : Series or array, shape (bars,)
        Simple returns on the same bars.

    Returns
    -------
    int

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import differing_rows
    >>> mine = np.array([0.01, 0.02, -0.01, 0.0])
    >>> differing_rows(mine, np.array([0.01, 0.01, -0.01, 0.0]))
    1
    """
    gap = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    if not gap.size:
        return 0
    least = max(1e-300, 1e-12 * float(np.abs(np.asarray(a, dtype=float)).max()), 1e-3 * float(gap.std()))
    return int((np.abs(gap) > least).sum())


def sharpe_difference(
    a: pd.Series | np.ndarray,
    b: pd.Series | np.ndarray,
    *,
    member: np.ndarray | None = None,
    periods_per_year: float,
    n_boot: int = 2000,
    level: float = 0.95,
    block: float | None = None,
    seed: int | np.random.Generator,
) -> PairedDifference:
    """Test whether two strategies have the same Sharpe ratio, by the studentised bootstrap of Ledoit and Wolf.

    The resampled quantity is ``|difference* - difference| / se*``. On the data the standard error comes from a
    prewhitened Parzen kernel, in a resample from the spread of its own blocks. The paper draws blocks of one length on
    a circle; here their lengths are geometric (the stationary bootstrap), so that the choice of length matters less.

    Parameters
    ----------
    a, b : Series or array, shape (bars,)
        Net simple returns of the two strategies on the same bars, in order, without missing values.
    member : bool array, shape (bars,), optional
        Rows whose Sharpe ratios are compared, such as one market regime. Rows and membership are resampled together.
    periods_per_year : float
        Rows in a year; the result is annual.
    n_boot : int
        Resamples, at least 100.
    level : float
        Confidence level of the intervals.
    block : float, optional
        Mean block length in rows; by default the automatic choice of Politis and White for what moves the difference.
    seed : int or Generator

    Returns
    -------
    PairedDifference
        ``p_value`` is for the null hypothesis "equal Sharpe ratios"; the interval leaves 0 out where it is below
        ``1 - level``. No interval below 30 member rows, or where the two series are the same on all but 30 of them:
        a difference rests on the rows that differ, however many there are.

    Raises
    ------
    DataError
        If rows differ or values are missing.
    ConfigError
        If a setting is out of range.

    References
    ----------
    Ledoit and Wolf (2008), "Robust performance hypothesis testing with the Sharpe ratio", Journal of Empirical Finance
    15(5). Götze and Künsch (1996), Annals of Statistics 24(5), for the standard error of a resample.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import sharpe_difference
    >>> rng = np.random.default_rng(1)
    >>> market = rng.normal(0.0, 0.01, 500)
    >>> mine, theirs = market + rng.normal(0.0005, 0.002, 500), market + rng.normal(0.0, 0.002, 500)
    >>> found = sharpe_difference(mine, theirs, periods_per_year=252, seed=0)
    >>> round(found.difference, 2), round(found.low, 2), round(found.high, 2), round(found.p_value, 3)
    (0.69, 0.27, 1.11, 0.003)
    """
    _checked(n_boot, level, block, periods_per_year)
    pair = paired_series(a, b, member, "sharpe_difference")
    inside_a, inside_b = pair.a[pair.member], pair.b[pair.member]
    if not (varies(inside_a) and varies(inside_b)):
        return _nothing(pair.n, level)
    # Sharpe ratios do not depend on the unit; the bandwidth of the kernel does.
    one, two = inside_a / inside_a.std(), inside_b / inside_b.std()
    # The paper divides by n, the house's Sharpe ratio by n - 1; one factor keeps interval, error and p-value together.
    year = math.sqrt(periods_per_year * (pair.n - 1) / pair.n)
    ratios = float(one.mean() * year), float(two.mean() * year)
    if pair.n < MINIMUM_ROWS or differing_rows(inside_a, inside_b) < MINIMUM_ROWS:
        return _nothing(pair.n, level, *ratios)
    rows = np.zeros((len(pair.member), 5))
    rows[pair.member] = np.column_stack([np.ones(pair.n), one, two, one**2, two**2])
    moments = rows[pair.member, 1:].mean(axis=0)
    share = pair.n / len(rows)
    # The mean and the share of members are estimated together: outside rows deviate by nothing.
    deviations = np.where(pair.member[:, None], rows[:, 1:] - moments, 0.0) / share
    gradient = _gradient(moments)
    influence = deviations @ gradient
    if not varies(influence):
        return _nothing(pair.n, level, *ratios)
    variance = float(gradient @ prewhitened_covariance(deviations) @ gradient)
    length = mean_block_length(influence, block)
    from embargo.backtest.significance.compiled import resampled_differences

    resampled = _resample(resampled_differences, rows, length, n_boot, np.random.default_rng(seed))
    found = float(one.mean() - two.mean())
    return _judged(found, math.sqrt(max(variance, 0.0) / len(rows)), resampled, year, ratios, length, pair.n, level)


def mean_difference(
    a: pd.Series | np.ndarray,
    b: pd.Series | np.ndarray,
    *,
    member: np.ndarray | None = None,
    periods_per_year: float,
    n_boot: int = 2000,
    level: float = 0.95,
    block: float | None = None,
    seed: int | np.random.Generator,
) -> PairedDifference:
    """Test whether two strategies have the same mean return, by a studentised stationary bootstrap of the pairs.

    A strategy that takes twice the risk earns twice the mean; to compare skill, compare Sharpe ratios.

    Parameters
    ----------
    a, b : Series or array, shape (bars,)
    member : bool array, shape (bars,), optional
    periods_per_year : float
    n_boot : int
    level : float
    block : float, optional
    seed : int or Generator
        As in `sharpe_difference`.

    Returns
    -------
    PairedDifference
        In fractions a year, without compounding.

    Raises
    ------
    DataError
        If rows differ or values are missing.
    ConfigError
        If a setting is out of range.

    References
    ----------
    Politis and Romano (1994), "The stationary bootstrap", JASA 89(428). Götze and Künsch (1996), Annals of Statistics
    24(5).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import mean_difference
    >>> rng = np.random.default_rng(1)
    >>> market = rng.normal(0.0, 0.01, 500)
    >>> mine, theirs = market + rng.normal(0.0005, 0.002, 500), market + rng.normal(0.0, 0.002, 500)
    >>> found = mean_difference(mine, theirs, periods_per_year=252, seed=0)
    >>> round(found.difference, 3), round(found.standard_error, 3), round(found.p_value, 3)
    (0.103, 0.031, 0.001)
    """
    _checked(n_boot, level, block, periods_per_year)
    pair = paired_series(a, b, member, "mean_difference")
    if pair.n == 0:
        return _nothing(0, level)
    means = tuple(float(values[pair.member].mean() * periods_per_year) for values in (pair.a, pair.b))
    change = np.where(pair.member, pair.a - pair.b, 0.0)
    inside = change[pair.member]
    few = differing_rows(pair.a[pair.member], pair.b[pair.member]) < MINIMUM_ROWS
    if pair.n < MINIMUM_ROWS or few or not varies(inside):
        return _nothing(pair.n, level, *means)
    scale = float(inside.std())
    rows = np.column_stack([pair.member.astype(float), change / scale])
    found = float(inside.mean() / scale)
    deviations = np.where(pair.member, rows[:, 1] - found, 0.0) * (len(rows) / pair.n)
    variance = float(prewhitened_covariance(deviations[:, None])[0, 0])
    length = mean_block_length(deviations, block)
    from embargo.backtest.significance.compiled import resampled_means

    resampled = _resample(resampled_means, rows, length, n_boot, np.random.default_rng(seed))
    error = math.sqrt(max(variance, 0.0) / len(rows))
    return _judged(found, error, resampled, scale * periods_per_year, (means[0], means[1]), length, pair.n, level)


def stretch_differences(
    a: pd.Series | np.ndarray,
    b: pd.Series | np.ndarray,
    *,
    stretch: int,
    member: np.ndarray | None = None,
    periods_per_year: float,
) -> np.ndarray:
    """Split the difference of two Sharpe ratios over stretches of time, for tests that want independent numbers.

    A row's part is the difference plus what the row moves it by (its pseudo-value in the sense of the jackknife), so
    that the parts allow for volatility, skewness and tails and average to the difference itself.

    Parameters
    ----------
    a, b : Series or array, shape (bars,)
    stretch : int
        Rows of a stretch, long enough that neighbouring stretches are about independent; what is left over goes to the
        first stretches, one row each.
    member : bool array, shape (bars,), optional
        As in `sharpe_difference`; member rows are joined before they are cut.
    periods_per_year : float

    Returns
    -------
    float array, shape (member rows // stretch,)
        Annual. Empty where either series does not vary or there is no whole stretch.

    Raises
    ------
    DataError
        If rows differ or values are missing.
    ConfigError
        If a setting is out of range.

    References
    ----------
    Tukey (1958), "Bias and confidence in not quite large samples", Annals of Mathematical Statistics 29, for
    pseudo-values.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import stretch_differences
    >>> rng = np.random.default_rng(1)
    >>> mine, theirs = rng.normal(0.001, 0.01, 504), rng.normal(0.0, 0.01, 504)
    >>> stretch_differences(mine, theirs, stretch=126, periods_per_year=252).round(2).tolist()
    [0.5, 2.38, 1.31, 4.35]
    """
    check_at_least("stretch", stretch, 1)
    check_periods_per_year(periods_per_year)
    pair = paired_series(a, b, member, "stretch_differences")
    one, two = pair.a[pair.member], pair.b[pair.member]
    number = pair.n // stretch
    if number < 1 or not (varies(one) and varies(two)):
        return np.empty(0)
    ratio_a, moved_a = sharpe_influence(one)
    ratio_b, moved_b = sharpe_influence(two)
    parts = ratio_a - ratio_b + moved_a - moved_b
    # One weight a row, not a stretch: stretches that differ by a row still average to the difference.
    means = [len(part) * part.mean() * number / pair.n for part in np.array_split(parts, number)]
    return np.asarray(np.array(means) * math.sqrt(periods_per_year * (pair.n - 1) / pair.n))


def _gradient(moments: np.ndarray) -> np.ndarray:
    """Return the derivative of the difference of Sharpe ratios in the means and raw second moments of a and b."""
    mean_a, mean_b, square_a, square_b = moments
    cube_a, cube_b = (square_a - mean_a**2) ** 1.5, (square_b - mean_b**2) ** 1.5
    return np.array([square_a / cube_a, -square_b / cube_b, -0.5 * mean_a / cube_a, 0.5 * mean_b / cube_b])


def _resample(
    compiled: Callable[..., None], rows: np.ndarray, block: float, n_boot: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Statistics of stationary-bootstrap resamples and their standard errors, some resamples at a time."""
    n = len(rows)
    totals = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(np.concatenate([rows, rows]), axis=0)])
    values, errors = np.empty(n_boot), np.empty(n_boot)
    step = max(1, int(_CELLS_PER_CHUNK / (n / max(block, 1.0) + 10.0)))
    for first in range(0, n_boot, step):
        chunk = slice(first, min(first + step, n_boot))
        starts, lengths = stationary_blocks(n, block, chunk.stop - chunk.start, rng)
        compiled(totals, starts, lengths, _FEWEST_IN_RESAMPLE, values[chunk], errors[chunk])
    return values, errors


def _nothing(n: int, level: float, a: float | None = None, b: float | None = None) -> PairedDifference:
    difference = None if a is None or b is None else a - b
    empty = dict.fromkeys(
        ("low", "high", "low_percentile", "high_percentile", "p_value", "p_value_hac", "standard_error", "detectable")
    )
    return PairedDifference(a, b, difference, block_length=None, n=n, level=level, **empty)


def _judged(
    found: float,
    error: float,
    resampled: tuple[np.ndarray, np.ndarray],
    unit: float,
    figures: tuple[float, float],
    block: float,
    n: int,
    level: float,
) -> PairedDifference:
    """Turn a difference, its error and its resamples, all per row, into annual figures."""
    values, errors = resampled
    usable = np.isfinite(values) & np.isfinite(errors)
    if not error > 0.0 or usable.mean() < USABLE_SHARE:
        return _nothing(n, level, *figures)
    values = values[usable]
    pivots = np.abs(values - found) / errors[usable]
    reached = abs(found) / error
    tail = 0.5 * (1.0 - level)
    half = float(np.quantile(pivots, level)) * error * unit
    low, high = np.quantile(values, [tail, 1.0 - tail]) * unit
    difference = found * unit
    return PairedDifference(
        a=figures[0],
        b=figures[1],
        difference=difference,
        low=difference - half,
        high=difference + half,
        low_percentile=float(low),
        high_percentile=float(high),
        p_value=float((1 + np.count_nonzero(pivots >= reached)) / (1 + len(pivots))),
        p_value_hac=float(2.0 * ndtr(-reached)),
        standard_error=error * unit,
        detectable=float((ndtri(1.0 - tail) + ndtri(0.8)) * error * unit),
        block_length=block,
        n=n,
        level=level,
    )
