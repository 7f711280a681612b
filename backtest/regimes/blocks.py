"""Stationary-bootstrap resamples of a return series and its regimes, some at a time so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from embargo.backtest.significance import stationary_blocks

_CELLS_PER_CHUNK = 200_000
# Fewer resamples with a figure than this share make no quantiles.
USABLE_SHARE = 0.9


def block_chunks(
    n: int, block: float, n_boot: int, rng: np.random.Generator, *, width: int = 1
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Draw ``n_boot`` resamples of n rows by `stationary_blocks`, chunk by chunk; each block carries ``width`` figures.

    Yields
    ------
    (chunk, starts, lengths)
        Which resamples these are, and their blocks; the chunks change no draw.
    """
    step = max(1, int(_CELLS_PER_CHUNK / ((n / block + 10.0) * width)))
    for first in range(0, n_boot, step):
        chunk = slice(first, min(first + step, n_boot))
        starts, lengths = stationary_blocks(n, block, chunk.stop - chunk.start, rng)
        yield chunk, starts, lengths


def block_sums(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Sum of each block from two look-ups in a running total; shape (resamples, blocks)."""
    total = np.concatenate([[0.0], np.cumsum(np.concatenate([values, values]))])
    return np.asarray(total[starts + lengths] - total[starts])
