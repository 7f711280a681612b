"""Permutation tests: a statistic against its values once the link between evidence and returns is broken."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from data_loaders.errors import ConfigError, DataError


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
