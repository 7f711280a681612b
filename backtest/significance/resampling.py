"""Resamples that keep serial dependence: the stationary bootstrap and its block length."""

from __future__ import annotations

import math

import numpy as np


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
