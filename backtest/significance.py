"""How much of a Sharpe ratio chance explains: bootstrap intervals, deflation for the number of trials, permutations.

Every function owns its randomness (a seed or a Generator) and says which null hypothesis its p-value belongs to.
Sharpe ratios are per period unless a parameter says otherwise; kurtosis is raw (3 for a normal distribution).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from data_loaders.errors import ConfigError, DataError

MINIMUM_ROWS = 30
_CELLS_PER_CHUNK = 100_000
_FEWEST_IN_RESAMPLE = 10
_USABLE_SHARE = 0.9


@dataclass(frozen=True)
class SharpeEstimate:
    """A Sharpe ratio with what chance makes of it.

    Attributes
    ----------
    sharpe : float or None
        Annual; None without variation.
    low, high : float or None
        Ends of the two-sided confidence interval, annual; None below 30 rows.
    p_value : float or None
        One-sided, for the null hypothesis that the true Sharpe ratio is not positive.
    standard_error : float or None
        Annual, allowing for serial dependence, skewness and fat tails.
    block_length : float or None
        Mean block length of the stationary bootstrap, in rows.
    n : int
        Rows used.
    level : float
        Confidence level of the interval.
    """

    sharpe: float | None
    low: float | None
    high: float | None
    p_value: float | None
    standard_error: float | None
    block_length: float | None
    n: int
    level: float

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON-able dictionary."""
        return asdict(self)


def automatic_block_length(values: np.ndarray) -> float:
    """Mean block length for the stationary bootstrap of a series, at least 1 row.

    References
    ----------
    Politis and White (2004), Econometric Reviews 23(1); corrected by Patton, Politis and White (2009), 28(4).
    """
    from arch.bootstrap import optimal_block_length

    values = np.asarray(values, dtype=float)
    if values.std() <= 1e-14 * max(1.0, float(np.abs(values).max())):
        return 1.0
    length = float(optimal_block_length(values)["stationary"].iloc[0])
    return max(1.0, length) if math.isfinite(length) else 1.0


def stationary_blocks(n: int, block: float, n_boot: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the blocks of stationary-bootstrap resamples of n rows.

    Returns
    -------
    (starts, lengths) : int arrays, shape (n_boot, most blocks in a resample)
        A resample joins the rows ``starts[b, k] ... starts[b, k] + lengths[b, k] - 1`` (modulo n); lengths are
        geometric with mean ``block``, the last one is cut so that a resample has n rows, and the rest are 0.

    References
    ----------
    Politis and Romano (1994), "The Stationary Bootstrap", JASA 89(428).
    """
    chance = min(1.0, 1.0 / block)
    width = int(n * chance + 6.0 * math.sqrt(n * chance) + 10)
    lengths = rng.geometric(chance, size=(n_boot, width))
    ends = np.cumsum(lengths, axis=1)
    while ends[:, -1].min() < n:
        more = rng.geometric(chance, size=(n_boot, width))
        ends = np.concatenate([ends, ends[:, -1:] + np.cumsum(more, axis=1)], axis=1)
    ends = np.minimum(ends, n)
    used = int((ends < n).sum(axis=1).max()) + 1
    lengths = np.diff(ends[:, :used], axis=1, prepend=0)
    starts = rng.integers(0, n, size=lengths.shape)
    return starts, lengths


def _block_sums(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Sum of the values of each block, from two look-ups in a running total instead of one per row."""
    total = np.concatenate([[0.0], np.cumsum(np.concatenate([values, values]))])
    return np.asarray(total[starts + lengths] - total[starts])


def _influence(values: np.ndarray, member: np.ndarray) -> tuple[float, np.ndarray]:
    """Per-period Sharpe ratio of the member rows, and how much each row of the series moves it."""
    inside = values[member]
    u = (values - inside.mean()) / inside.std()
    ratio = float(inside.mean() / inside.std())
    share = member.mean()
    return ratio, np.where(member, u - 0.5 * ratio * (u**2 - 1.0), 0.0) / share


def _dependent_error(influence: np.ndarray, block: float) -> float:
    """Return the standard error of the mean influence under the stationary bootstrap, in closed form.

    References
    ----------
    Politis and Romano (1994), lemma 1: the variance the bootstrap would show with infinitely many resamples.
    """
    n = len(influence)
    spectrum = np.fft.rfft(influence, 2 * n)
    covariance = np.fft.irfft(spectrum * np.conj(spectrum))[:n] / n
    lag = np.arange(n)
    stay = 1.0 - min(1.0, 1.0 / block)
    weight = (1.0 - lag / n) * stay**lag + (lag / n) * stay ** (n - lag)
    variance = covariance[0] + 2.0 * float(weight[1:] @ covariance[1:])
    return math.sqrt(max(variance, 0.0) / n)


def _resampled(
    values: np.ndarray, member: np.ndarray, block: float, n_boot: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Sharpe ratios of resamples and their standard errors from the spread of their own blocks; NaN if undefined."""
    n = len(values)
    centre, scale = values[member].mean(), values[member].std()
    z = np.where(member, (values - centre) / scale, 0.0)
    everything = bool(member.all())
    ratios, errors = np.empty(n_boot), np.empty(n_boot)
    step = max(1, int(_CELLS_PER_CHUNK / (n / max(block, 1.0) + 10.0)))
    for first in range(0, n_boot, step):
        size = min(step, n_boot - first)
        starts, lengths = stationary_blocks(n, block, size, rng)
        number = lengths if everything else _block_sums(member.astype(float), starts, lengths)
        one, two = _block_sums(z, starts, lengths), _block_sums(z * z, starts, lengths)
        rows = number.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = one.sum(axis=1) / rows
            variance = two.sum(axis=1) / rows - mean**2
            variance = np.where((variance > 1e-12) & (rows >= _FEWEST_IN_RESAMPLE), variance, np.nan)
            deviation = np.sqrt(variance)
            ratio = (centre / scale + mean) / deviation
            m, v = mean[:, None], variance[:, None]
            u = (one - number * m) / deviation[:, None]
            squares = (two - 2.0 * m * one + number * m**2) / v
            influence = u - 0.5 * ratio[:, None] * (squares - number)
            error = np.sqrt((influence**2).sum(axis=1)) / rows
        chunk = slice(first, first + size)
        ratios[chunk], errors[chunk] = ratio, np.where(error > 0.0, error, np.nan)
    return ratios, errors


def conditional_sharpe(
    returns: pd.Series | np.ndarray,
    member: np.ndarray,
    *,
    periods_per_year: float,
    n_boot: int = 2000,
    level: float = 0.95,
    block: float | None = None,
    seed: int | np.random.Generator,
) -> SharpeEstimate:
    """Sharpe ratio of the member rows of a series, resampling rows and membership together.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns of all rows, in order.
    member : bool array, shape (bars,)
        Rows whose Sharpe ratio is asked for, such as one market regime.
    periods_per_year, n_boot, level, block, seed
        As in ``sharpe_estimate``.

    Returns
    -------
    SharpeEstimate
        ``n`` counts the member rows.
    """
    values = np.asarray(returns, dtype=float)
    member = np.asarray(member, dtype=bool)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise DataError(
            "sharpe_estimate: returns must be one series without missing values. Drop or mend the rows first."
        )
    if member.shape != values.shape:
        raise DataError(f"sharpe_estimate: {len(values)} returns but membership of shape {member.shape}.")
    if n_boot < 100:
        raise ConfigError(f"n_boot must be at least 100, got {n_boot}. Quantiles of fewer resamples mean little.")
    if not 0.5 <= level < 1.0:
        raise ConfigError(f"level must lie in [0.5, 1), got {level}.")
    if block is not None and not block >= 1.0:
        raise ConfigError(f"block must be at least 1 row, got {block}. Leave it out for an automatic length.")
    if not periods_per_year > 0.0:
        raise ConfigError(f"periods_per_year must be positive, got {periods_per_year}.")
    n = int(member.sum())
    inside = values[member]
    spread = float(inside.std(ddof=1)) if n > 1 else 0.0
    if spread <= 1e-14 * max(1.0, float(np.abs(inside).max(initial=0.0))):
        return SharpeEstimate(None, None, None, None, None, None, n, level)
    year = math.sqrt(periods_per_year)
    sharpe = float(inside.mean() / spread * year)
    if n < MINIMUM_ROWS:
        return SharpeEstimate(sharpe, None, None, None, None, None, n, level)

    rng = np.random.default_rng(seed)
    length = automatic_block_length(values) if block is None else min(float(block), float(len(values)))
    ratio, influence = _influence(values, member)
    error = _dependent_error(influence, length)
    ratios, errors = _resampled(values, member, length, n_boot, rng)
    pivot = (ratios - ratio) / errors
    pivot = pivot[np.isfinite(pivot)]
    if len(pivot) < _USABLE_SHARE * n_boot or error <= 0.0:
        return SharpeEstimate(sharpe, None, None, None, None, length, n, level)
    tail = 0.5 * (1.0 - level)
    below, above = np.quantile(pivot, [tail, 1.0 - tail])
    return SharpeEstimate(
        sharpe=sharpe,
        low=float(sharpe - above * error * year),
        high=float(sharpe - below * error * year),
        p_value=float((1 + np.count_nonzero(pivot >= ratio / error)) / (1 + len(pivot))),
        standard_error=float(error * year),
        block_length=length,
        n=n,
        level=level,
    )


def sharpe_estimate(
    returns: pd.Series | np.ndarray,
    *,
    periods_per_year: float,
    n_boot: int = 2000,
    level: float = 0.95,
    block: float | None = None,
    seed: int | np.random.Generator,
) -> SharpeEstimate:
    """Sharpe ratio with a studentised stationary-bootstrap interval and p-value.

    The resampled quantity is ``(SR* - SR) / se*``, where se* comes from the spread of the resample's own blocks; that
    keeps the size near nominal under serial dependence and fat tails where the plain percentile method over-rejects.

    Parameters
    ----------
    returns : Series or array, shape (bars,)
        Net simple returns per row, without missing values.
    periods_per_year : float
        Rows in a year; the result is annual.
    n_boot : int
        Resamples, at least 100.
    level : float
        Confidence level of the two-sided interval.
    block : float, optional
        Mean block length in rows; by default the automatic choice of Politis and White.
    seed : int or Generator

    Returns
    -------
    SharpeEstimate
        ``p_value`` is one-sided for the null hypothesis "true Sharpe ratio <= 0". No interval below 30 rows.

    Raises
    ------
    DataError
        If returns are missing.
    ConfigError
        If a setting is out of range.

    References
    ----------
    Ledoit and Wolf (2008), "Robust performance hypothesis testing with the Sharpe ratio", Journal of Empirical Finance
    15(5); Götze and Künsch (1996), Annals of Statistics 24(5), for the block-based standard error.
    """
    everything = np.ones(np.shape(returns), dtype=bool)
    return conditional_sharpe(
        returns, everything, periods_per_year=periods_per_year, n_boot=n_boot, level=level, block=block, seed=seed
    )


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


def block_permutation(n: int, block: int, rng: np.random.Generator) -> np.ndarray:
    """Permutation of n rows that keeps runs of ``block`` neighbours together.

    The rows are read as a ring from a random starting point, so that block borders fall anywhere.

    Parameters
    ----------
    n, block : int
        Rows, and rows per block, both at least 1; one shorter block holds the remainder.
    rng : Generator

    Returns
    -------
    int array, shape (n,)
    """
    if n < 1 or block < 1:
        raise ConfigError(f"block_permutation: n and block must be at least 1, got {n} and {block}.")
    ring = (np.arange(n) + int(rng.integers(n))) % n
    pieces = np.split(ring, range(block, n, block))
    return np.concatenate([pieces[piece] for piece in rng.permutation(len(pieces))])


@dataclass(frozen=True)
class PermutationResult:
    """A statistic against its distribution under permutation.

    Attributes
    ----------
    observed : float
    p_value : float
        One-sided: (1 + permutations at least as large) / (1 + permutations).
    null_mean, null_sd : float
        Of the permuted statistics.
    null_quantiles : dict
        Keys ``"0.05"``, ``"0.5"``, ``"0.95"``, ``"0.99"``.
    n_permutations, block : int
    null : float array, shape (n_permutations,)
        The permuted statistics, in the order drawn.
    """

    observed: float
    p_value: float
    null_mean: float
    null_sd: float
    null_quantiles: dict[str, float]
    n_permutations: int
    block: int
    null: np.ndarray = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields but the permuted statistics themselves as a JSON-able dictionary."""
        return {name: value for name, value in asdict(self).items() if name != "null"}


def permutation_test(
    statistic: Callable[[np.ndarray], float],
    n: int,
    *,
    block: int,
    n_permutations: int = 500,
    seed: int | np.random.Generator,
    progress: Callable[[int, int], None] | None = None,
) -> PermutationResult:
    """Compare a statistic with its values when the link between signal rows and return rows is broken.

    Permute the signal, not the returns of the strategy: a Sharpe ratio does not change when its returns are shuffled.

    Parameters
    ----------
    statistic : callable
        Takes a permutation of the row positions, int array of shape (n,), that re-orders the signal (or the evidence
        behind it) against unmoved prices; returns a number, larger meaning better.
    n : int
        Rows.
    block : int
        Rows kept together, at least as long as the signal's memory.
    n_permutations : int
    seed : int or Generator
    progress : callable, optional
        Called with (done, total).

    Returns
    -------
    PermutationResult
        Null hypothesis: the statistic is no larger than it would be if the signal's dates meant nothing.

    Raises
    ------
    DataError
        If the statistic is not a finite number.

    References
    ----------
    Phipson and Smyth (2010), "Permutation p-values should never be zero", SAGMB 9(1).
    """
    if n_permutations < 1:
        raise ConfigError(f"permutation_test: n_permutations must be at least 1, got {n_permutations}.")
    rng = np.random.default_rng(seed)
    observed = float(statistic(np.arange(n)))
    null = np.empty(n_permutations)
    for draw in range(n_permutations):
        null[draw] = statistic(block_permutation(n, block, rng))
        if progress is not None:
            progress(draw + 1, n_permutations)
    if not (math.isfinite(observed) and np.isfinite(null).all()):
        raise DataError(
            "permutation_test: the statistic is not a finite number for every permutation. Return 0 for none."
        )
    # Permutations that only move empty rows repeat the observed value up to rounding; they count as equal.
    margin = 1e-12 * max(1.0, abs(observed))
    quantiles = {str(level): float(np.quantile(null, level)) for level in (0.05, 0.5, 0.95, 0.99)}
    return PermutationResult(
        observed=observed,
        p_value=float((1 + np.count_nonzero(null >= observed - margin)) / (1 + n_permutations)),
        null_mean=float(null.mean()),
        null_sd=float(null.std(ddof=1)) if n_permutations > 1 else 0.0,
        null_quantiles=quantiles,
        n_permutations=n_permutations,
        block=block,
        null=null,
    )


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values for the number of tests (family-wise error); None stays None and does not count as a test.

    References
    ----------
    Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6(2).
    """
    given = [(p, place) for place, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    worst = 0.0
    for rank, (p, place) in enumerate(sorted(given)):
        worst = max(worst, min(1.0, p * (len(given) - rank)))
        adjusted[place] = worst
    return adjusted
