"""The compiled stationary bootstrap: Sharpe ratios of resamples and their errors, without ever laying out a resample.

A block of neighbours enters through its sums, which two look-ups in running totals give; a resample costs as much as it
has blocks. Every resample draws from a stream of its own, so results depend neither on threads nor on chunks.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

Array = np.ndarray

# Below these a resample has no Sharpe ratio worth the name.
_FLAT = 1e-12
_FEWEST_ROWS = 10.0
# One block with all members has influences that add up to 0: what is left is rounding, not an error.
_NO_SPREAD = 1e-9

# SplitMix64 (Steele, Lea and Flood, 2014): passes BigCrush, needs one addition and one mix per draw.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_ONE = np.uint64(0xBF58476D1CE4E5B9)
_MIX_TWO = np.uint64(0x94D049BB133111EB)
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_CELL_BITS = 12
_TO_CELL = np.uint64(32 - _CELL_BITS)


def length_guide(stay: float) -> Array:
    """Block lengths that follow from the first 12 of the 32 bits drawn for them; 0 where the others decide.

    A length is ``1 + floor(log(u) / log(stay))``, geometric; the guide saves the logarithm, half the time of a block.
    """
    if stay <= 0.0:
        return np.ones(2**_CELL_BITS, dtype=np.int64)
    width = 2.0 ** (32 - _CELL_BITS)
    cell = np.arange(2**_CELL_BITS) * width
    longest, shortest = (
        np.floor(np.log(bits * 2.0**-32) / math.log(stay)) for bits in (cell + 0.5, cell + width - 0.5)
    )
    return np.where(longest == shortest, 1.0 + longest, 0.0).astype(np.int64)


@nb.njit(cache=True, inline="always")
def _mixed(state: np.uint64) -> np.uint64:
    z = (state ^ (state >> np.uint64(30))) * _MIX_ONE
    z = (z ^ (z >> np.uint64(27))) * _MIX_TWO
    return z ^ (z >> np.uint64(31))


@nb.njit(cache=True, inline="always")
def _length(drawn: np.uint64, guide: Array, scale: float) -> int:
    known = guide[drawn >> _TO_CELL]
    return int(known) if known > 0 else 1 + int(math.log((float(drawn) + 0.5) * 2.0**-32) * scale)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def draw_blocks(n: int, stay: float, guide: Array, keys: Array, starts: Array, lengths: Array) -> int:
    """Fill in the blocks of one resample per key, zeros after the last; return the most blocks of any resample.

    Where that is more than ``starts`` has columns, nothing after the last column is written: call again with enough.
    """
    rows_in_ring = np.uint64(n)
    scale = 1.0 / math.log(stay) if stay > 0.0 else 0.0
    width, most = starts.shape[1], 0
    for draw in range(len(keys)):
        state = _mixed(keys[draw])
        left, block = n, 0
        while left > 0:
            state += _STEP
            bits = _mixed(state)
            length = min(_length(bits & _LOW, guide, scale), left)
            left -= length
            if block < width:
                starts[draw, block] = ((bits >> _HALF) * rows_in_ring) >> _HALF
                lengths[draw, block] = length
            block += 1
        most = max(most, block)
        for empty in range(block, width):
            starts[draw, empty] = lengths[draw, empty] = 0
    return most


@nb.njit(cache=True, nogil=True, error_model="numpy")
def studentised_ratios(
    totals: Array,
    n: int,
    everything: bool,
    shift: float,
    stay: float,
    guide: Array,
    keys: Array,
    ratios: Array,
    errors: Array,
) -> None:
    """Fill in the Sharpe ratio of one resample per key, and its standard error from the spread of its own blocks.

    Parameters
    ----------
    totals : float array, shape (2 * n + 1, 3)
        Running totals of member rows, their standardised values and squares over the series laid out twice.
    n : int
        Rows of the series.
    everything : bool
        Whether all rows are members; the first column is then not read.
    shift : float
        Mean over deviation of the members, which standardising took out.
    stay : float
        Chance that a row is followed by its neighbour: 1 - 1 / mean block.
    guide : int array
        From ``length_guide(stay)``.
    keys : uint64 array, shape (n_boot,)
    ratios, errors : float array, shape (n_boot,)
        Filled in; NaN where a resample has too few members or no variation, errors also where one block holds them all.
    """
    rows_in_ring = np.uint64(n)
    scale = 1.0 / math.log(stay) if stay > 0.0 else 0.0
    for draw in range(len(keys)):
        state = _mixed(keys[draw])
        left = n
        rows = one = two = 0.0
        rows_rows = rows_one = rows_two = one_one = one_two = two_two = 0.0
        while left > 0:
            state += _STEP
            bits = _mixed(state)
            start = int(((bits >> _HALF) * rows_in_ring) >> _HALF)
            length = min(_length(bits & _LOW, guide, scale), left)
            left -= length
            end = start + length
            a = float(length) if everything else totals[end, 0] - totals[start, 0]
            b = totals[end, 1] - totals[start, 1]
            c = totals[end, 2] - totals[start, 2]
            rows += a
            one += b
            two += c
            rows_rows += a * a
            rows_one += a * b
            rows_two += a * c
            one_one += b * b
            one_two += b * c
            two_two += c * c
        mean = one / rows
        variance = two / rows - mean * mean
        if rows < _FEWEST_ROWS or not variance > _FLAT:
            ratios[draw] = errors[draw] = np.nan
            continue
        deviation = math.sqrt(variance)
        ratio = (shift + mean) / deviation
        # Influence of a block on the ratio, linear in its sums: on_rows * a + on_one * b + on_two * c.
        on_two = -0.5 * ratio / variance
        on_one = 1.0 / deviation + ratio * mean / variance
        on_rows = -mean / deviation - 0.5 * ratio * (mean * mean / variance - 1.0)
        spread = on_rows * on_rows * rows_rows + on_one * on_one * one_one + on_two * on_two * two_two
        spread += 2.0 * (on_rows * on_one * rows_one + on_rows * on_two * rows_two + on_one * on_two * one_two)
        ratios[draw] = ratio
        errors[draw] = math.sqrt(spread) / rows if spread > _NO_SPREAD * rows else np.nan
