"""Bootstrap of samples or groups of them: how often each is drawn, in blocks that keep the memory small."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from embargo.data_loaders.errors import ConfigError

# Weights are drawn in blocks of about this many, so that memory does not grow with the number of resamples.
BLOCK = 2_000_000


def check_resampling(level: float, resamples: int, *, what: str) -> None:
    """Raise ConfigError if the coverage of an interval is not in (0, 1), or there are no resamples to take it from."""
    if not 0 < level < 1 or resamples < 1:
        raise ConfigError(f"{what}: level {level} must lie in (0, 1) and resamples {resamples} be positive.")


def bootstrap_weights(n: int, resamples: int, *, seed: int, width: int | None = None) -> Iterator[np.ndarray]:
    """Yield how often each of ``n`` samples is drawn, int64 of shape (some, n), ``resamples`` rows in all.

    Parameters
    ----------
    n : int
        Samples, or groups that are drawn whole.
    resamples : int
    seed : int
        The same rows for the same seed, whatever the blocks.
    width : int, optional
        Numbers that the caller makes of each row, if more than ``n``.
    """
    generator, block = np.random.default_rng(seed), max(1, BLOCK // (width or n))
    for start in range(0, resamples, block):
        yield generator.multinomial(n, np.full(n, 1 / n), size=min(block, resamples - start))


def percentile_interval(values: np.ndarray, level: float) -> tuple[float, float]:
    """Return the (low, high) ends between which the share ``level`` of resampled figures lies."""
    tail = (1 - level) / 2 * 100
    low, high = np.percentile(values, [tail, 100 - tail]).tolist()
    return low, high
