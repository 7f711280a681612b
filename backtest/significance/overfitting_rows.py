"""Compiled loop of the cross-validation behind `backtest.significance.overfitting`: one pass per split, no BLAS.

A matrix library spends more time on handing such small products to its threads than on the products.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

Array = np.ndarray


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _ratios(one: Array, two: Array, mean: Array, rows: float, flat: float) -> None:
    """Turn sums of rows and of their squares into Sharpe ratios, in place of the sums; 0 without variation."""
    for column in range(len(one)):
        average = one[column] / rows
        square = two[column] / rows
        variance = square - average * average
        moves = variance > flat * max(1.0, square)
        ratio = (average + mean[column]) / math.sqrt(variance * rows / (rows - 1.0) if moves else 1.0)
        one[column] = ratio if moves else 0.0


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _best(values: Array) -> int:
    best = 0
    for column in range(1, len(values)):
        if values[column] > values[best]:
            best = column
    return best


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _rank(values: Array, value: float, tie: float) -> float:
    """Rank of a value, 1 for the lowest; ties share the mean of their ranks."""
    margin = tie * max(1.0, abs(value))
    below, not_above = 0, 0
    for column in range(len(values)):
        below += values[column] < value - margin
        not_above += values[column] <= value + margin
    return 0.5 * (below + not_above + 1.0)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def judge_splits(
    counts: Array,
    one: Array,
    two: Array,
    mean: Array,
    picked: Array,
    flat: float,
    tie: float,
    chosen: Array,
    inside: Array,
    outside: Array,
    rank: Array,
) -> None:
    """Choose on the picked blocks and judge on the others, then the other way round.

    Parameters
    ----------
    counts : float array, shape (blocks,)
        Rows of each block.
    one, two : float array, shape (blocks, strategies)
        Sums of standardised returns and of their squares.
    mean : float array, shape (strategies,)
        Mean over all rows, in the same unit.
    picked : bool array, shape (splits, blocks)
    flat, tie : float
        What is no variation, and what is no difference.
    chosen, inside, outside, rank : array, shape (2, splits)
        Filled in: column of the best, its Sharpe ratios where it was chosen and elsewhere, and its rank there.
    """
    sums, squares = np.empty((2, one.shape[1])), np.empty((2, one.shape[1]))
    for split in range(len(picked)):
        sums[:], squares[:] = 0.0, 0.0
        rows = np.zeros(2)
        for block in range(len(counts)):
            half = 0 if picked[split, block] else 1
            rows[half] += counts[block]
            for column in range(one.shape[1]):
                sums[half, column] += one[block, column]
                squares[half, column] += two[block, column]
        for half in range(2):
            _ratios(sums[half], squares[half], mean, rows[half], flat)
        for half in range(2):
            best = _best(sums[half])
            value = sums[1 - half, best]
            chosen[half, split] = best
            inside[half, split] = sums[half, best]
            outside[half, split] = value
            rank[half, split] = _rank(sums[1 - half], value, tie)
