"""Resamples that keep serial dependence: the stationary bootstrap and its block length."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from embargo.backtest.arguments import check_at_least
from embargo.backtest.significance.series import checked_member, varies
from embargo.data_loaders.errors import DataError

# Fewer resamples with a figure than this share make no quantiles.
USABLE_SHARE = 0.9
_SMALL_WORK = 100_000
# The best length of blocks that are all alike, over the best mean length of geometric ones (Patton, Politis and White).
_ALIKE = 1.5 ** (1.0 / 3.0)


def automatic_block_length(values: np.ndarray) -> float:
    """Mean block length for the stationary bootstrap of a series, at least 1 row.

    The rule of ``arch.bootstrap.optimal_block_length``, to rounding, without its import and its data frame.

    Parameters
    ----------
    values : float array, shape (n,)

    Returns
    -------
    float
        Rows; 1 below three rows or without variation.

    References
    ----------
    Politis and White (2004), Econometric Reviews 23(1); corrected by Patton, Politis and White (2009), 28(4).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import automatic_block_length
    >>> noise = np.random.default_rng(1).normal(size=1000)
    >>> round(automatic_block_length(noise), 1), round(automatic_block_length(np.convolve(noise, np.ones(5))), 1)
    (1.1, 14.0)
    """
    values = np.asarray(values, dtype=float)
    n = len(values)
    if n < 3 or not varies(values):
        return 1.0
    centred = values - values.mean()
    run = max(5, int(math.log10(n)))
    most = min(math.ceil(math.sqrt(n)) + run, n - 2)
    covariance = np.array([centred[lag:] @ centred[: n - lag] for lag in range(most + 1)]) / n
    power = np.cumsum(centred**2)
    late, early = power[-1] - power[: most + 1], power[n - 2 :: -1][: most + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.abs(covariance * n) / np.sqrt(late * early)
    negligible = correlation < 2.0 * math.sqrt(math.log10(n) / n)
    last = next((lag for lag in range(most - run + 1) if negligible[lag : lag + run].all()), None)
    width = most if last is None else min(2 * max(last, 1), most)
    lags = np.arange(1, width + 1)
    taper = np.minimum(1.0, 2.0 * (1.0 - lags / width)) * covariance[1 : width + 1]
    level, slope = float(covariance[0] + 2.0 * taper.sum()), float(2.0 * (lags @ taper))
    if level == 0.0:
        return 1.0
    longest = math.ceil(min(3.0 * math.sqrt(n), n / 3.0))
    length = min((slope**2 / level**2 * n) ** (1.0 / 3.0), longest)
    return max(1.0, length) if math.isfinite(length) else 1.0


def mean_block_length(values: np.ndarray, block: float | None) -> float:
    """Mean block length that was asked for, at most all rows; without one the automatic length of the series."""
    return automatic_block_length(values) if block is None else min(float(block), float(len(values)))


def block_rows(n: int, automatic: float) -> int:
    """Rows of a block where all blocks are alike: what the automatic length asks for, but at least the root of n.

    Slow trends of a mean, of which a year holds a few, show in no autocorrelation that the automatic length looks at.

    Parameters
    ----------
    n : int
        Rows of the series.
    automatic : float
        From `automatic_block_length`.

    Examples
    --------
    >>> from embargo.backtest.significance.resampling import block_rows
    >>> block_rows(504, 1.0), block_rows(504, 40.0)
    (22, 46)
    """
    return max(1, min(n, round(max(_ALIKE * automatic, math.sqrt(n)))))


def rows_asked(block: float, n: int) -> int:
    """Rows of a block that was asked for, rounded: at least 1, at most all n.

    Examples
    --------
    >>> from embargo.backtest.significance.resampling import rows_asked
    >>> rows_asked(20.4, 252), rows_asked(float("inf"), 252)
    (20, 252)
    """
    return max(1, round(min(float(block), float(n))))


def stationary_blocks(n: int, block: float, n_boot: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the blocks of stationary-bootstrap resamples of n rows.

    Parameters
    ----------
    n : int
        Rows.
    block : float
        Mean block length in rows, at least 1.
    n_boot : int
        Resamples.
    rng : Generator

    Returns
    -------
    (starts, lengths) : int arrays, shape (n_boot, most blocks in a resample)
        A resample joins the rows ``starts[b, k] ... starts[b, k] + lengths[b, k] - 1`` (modulo n); lengths are
        geometric with mean ``block``, the last one is cut so that a resample has n rows, and the rest are 0.

    References
    ----------
    Politis and Romano (1994), "The Stationary Bootstrap", JASA 89(428).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import stationary_blocks
    >>> starts, lengths = stationary_blocks(100, 10.0, 3, np.random.default_rng(1))
    >>> lengths.sum(axis=1).tolist()
    [100, 100, 100]
    """
    # Loading numba takes about a second, which only those who resample should pay.
    from embargo.backtest.significance.compiled import draw_blocks, length_guide

    chance = min(1.0, 1.0 / block)
    guide = length_guide(1.0 - chance)
    keys = rng.integers(0, 2**64, n_boot, dtype=np.uint64)
    width = min(n, int(n * chance + 6.0 * math.sqrt(n * chance) + 10))
    while True:
        starts, lengths = np.empty((n_boot, width), dtype=np.int64), np.empty((n_boot, width), dtype=np.int64)
        most = draw_blocks(n, 1.0 - chance, guide, keys, starts, lengths)
        if most <= width:
            return starts[:, :most], lengths[:, :most]
        width = most


def bootstrap_sharpe(
    returns: np.ndarray,
    member: np.ndarray | None = None,
    *,
    block: int,
    n_boot: int,
    seed: int | np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Sharpe ratios of resamples that join blocks of one length, each with its own standard error.

    Parameters
    ----------
    returns : array, shape (n,)
    member : bool array, shape (n,), optional
        Rows whose Sharpe ratio is asked for; rows and membership are resampled together. All rows by default.
    block : int
        Rows of a block, at least 1; a block that reaches the last row goes on at the first.
    n_boot : int
        Resamples.
    seed : int or Generator

    Returns
    -------
    (ratios, errors) : float arrays, shape (n_boot,)
        Per period, deviation with n. The errors come from the spread of a resample's own blocks (Götze and Künsch,
        1996, Annals of Statistics 24(5)). NaN where a resample has fewer than ten members or no variation, errors also
        where all of them lie in one block.

    Raises
    ------
    DataError
        If the members do not vary.
    """
    from embargo.backtest.significance.compiled import studentised_ratios
    from embargo.backtest.threads import THREADS

    check_at_least("block", block, 1)
    check_at_least("n_boot", n_boot, 1)
    values = np.asarray(returns, dtype=float)
    inside = checked_member(member, len(values), "bootstrap_sharpe")
    centre, scale = float(values[inside].mean()), float(values[inside].std())
    if not scale > 0.0:
        raise DataError(
            "bootstrap_sharpe: the returns do not vary, so they have no Sharpe ratio. Do not resample them."
        )
    z = np.where(inside, (values - centre) / scale, 0.0)
    n = len(z)
    totals = np.zeros((2 * n + 1, 3))
    np.cumsum(np.tile(np.column_stack([inside, z, z * z]), (2, 1)), axis=0, out=totals[1:])
    keys = np.random.default_rng(seed).integers(0, 2**64, n_boot, dtype=np.uint64)
    ratios, errors = np.empty(n_boot), np.empty(n_boot)

    everything, shift = bool(inside.all()), centre / scale

    def some(part: slice) -> None:
        studentised_ratios(totals, n, everything, shift, block, keys[part], ratios[part], errors[part])

    if n_boot * n / block < _SMALL_WORK or THREADS == 1:
        some(slice(0, n_boot))
    else:
        step = -(-n_boot // (4 * THREADS))
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(some, [slice(first, first + step) for first in range(0, n_boot, step)]))
    return ratios, errors
