"""Compiled loop of the Sharpe comparison: what each resample of paired rows gives, from the sums of its blocks."""

from __future__ import annotations

import math

import numba as nb
import numpy as np


@nb.njit(cache=True, error_model="numpy", nogil=True)
def resampled_differences(
    totals: np.ndarray, starts: np.ndarray, lengths: np.ndarray, fewest: int, out: np.ndarray, errors: np.ndarray
) -> None:
    """Differences of Sharpe ratios of resamples, and their standard errors from the spread of their own blocks.

    Parameters
    ----------
    totals : float array, shape (2 n + 1, 5)
        Running totals, from 0, of two turns of: membership, a, b, a squared, b squared; all 0 outside the members.
    starts, lengths : int arrays, shape (resamples, blocks)
        As `stationary_blocks` draws them.
    fewest : int
        Member rows that a resample needs.
    out, errors : float arrays, shape (resamples,)
        Filled; NaN where a resample has too few rows or no variation.
    """
    number, blocks = starts.shape
    sums = np.empty((blocks, 5))
    for draw in range(number):
        whole = np.zeros(5)
        for k in range(blocks):
            first, last = starts[draw, k], starts[draw, k] + lengths[draw, k]
            for part in range(5):
                sums[k, part] = totals[last, part] - totals[first, part]
                whole[part] += sums[k, part]
        rows = whole[0]
        mean_a, mean_b = whole[1] / rows, whole[2] / rows
        variance_a, variance_b = whole[3] / rows - mean_a * mean_a, whole[4] / rows - mean_b * mean_b
        if rows < fewest or not (variance_a > 1e-12 and variance_b > 1e-12):
            out[draw] = errors[draw] = np.nan
            continue
        ratio_a, ratio_b = mean_a / math.sqrt(variance_a), mean_b / math.sqrt(variance_b)
        spread = 0.0
        for k in range(blocks):
            n = sums[k, 0]
            one = (sums[k, 1] - n * mean_a) / math.sqrt(variance_a)
            squares = (sums[k, 3] - 2.0 * mean_a * sums[k, 1] + n * mean_a * mean_a) / variance_a
            moved = one - 0.5 * ratio_a * (squares - n)
            one = (sums[k, 2] - n * mean_b) / math.sqrt(variance_b)
            squares = (sums[k, 4] - 2.0 * mean_b * sums[k, 2] + n * mean_b * mean_b) / variance_b
            moved -= one - 0.5 * ratio_b * (squares - n)
            spread += moved * moved
        out[draw] = ratio_a - ratio_b
        errors[draw] = math.sqrt(spread) / rows if spread > 0.0 else np.nan


@nb.njit(cache=True, error_model="numpy", nogil=True)
def resampled_means(
    totals: np.ndarray, starts: np.ndarray, lengths: np.ndarray, fewest: int, out: np.ndarray, errors: np.ndarray
) -> None:
    """Means of resamples of one series, and their standard errors; ``totals`` holds membership and values."""
    number, blocks = starts.shape
    sums = np.empty((blocks, 2))
    for draw in range(number):
        rows, whole = 0.0, 0.0
        for k in range(blocks):
            first, last = starts[draw, k], starts[draw, k] + lengths[draw, k]
            for part in range(2):
                sums[k, part] = totals[last, part] - totals[first, part]
            rows += sums[k, 0]
            whole += sums[k, 1]
        if rows < fewest:
            out[draw] = errors[draw] = np.nan
            continue
        mean = whole / rows
        spread = 0.0
        for k in range(blocks):
            moved = sums[k, 1] - sums[k, 0] * mean
            spread += moved * moved
        out[draw] = mean
        errors[draw] = math.sqrt(spread) / rows if spread > 0.0 else np.nan
