"""The compiled loops behind resamples and splits: none ever lays out a resample, none calls a matrix library.

A block of neighbours enters through its sums, which two look-ups in running totals give; a resample costs as much as it
has blocks. Every resample draws from a stream of its own, so results depend neither on threads nor on chunks. Import
this where it is used, not at the top of a module: the compiler takes a second to load.
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
    block: int,
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
    block : int
        Rows of a block; the last one of a resample is cut.
    keys : uint64 array, shape (n_boot,)
    ratios, errors : float array, shape (n_boot,)
        Filled in; NaN where a resample has too few members or no variation, errors also where one block holds them all.
    """
    rows_in_ring = np.uint64(n)
    for draw in range(len(keys)):
        state = _mixed(keys[draw])
        left = n
        rows = one = two = 0.0
        rows_rows = rows_one = rows_two = one_one = one_two = two_two = 0.0
        while left > 0:
            state += _STEP
            bits = _mixed(state)
            start = int(((bits >> _HALF) * rows_in_ring) >> _HALF)
            length = min(block, left)
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


@nb.njit(cache=True, nogil=True, error_model="numpy")
def count_exceeding(
    one: Array,
    two: Array,
    held: Array,
    starts: Array,
    shift: Array,
    observed: Array,
    losers: Array,
    largest: Array,
    above: Array,
    alone: Array,
    usable: Array,
) -> None:
    """Count the resamples whose largest studentised Sharpe ratio among a column and those before it reaches its own.

    Parameters
    ----------
    one, two, held : float array, shape (n, columns)
        Sums of standardised returns and of their squares, and number of rows that belong to the column, over the block
        that starts on each row.
    starts : int array, shape (n_boot, blocks)
        First rows of the blocks of each resample.
    shift : float array, shape (columns,)
        Mean over deviation, which standardising took out.
    observed : float array, shape (columns,)
        What is to be reached.
    losers : float array, shape (columns,)
        Added to the statistics of a column when those after it are held against them.
    largest : float array, shape (n_boot,)
        Largest among the columns before; raised by these.
    above, alone : int array, shape (columns,)
        Raised by the counts, and by those of resamples in which the column itself reaches it. A resample in which a
        column does not vary, or lies in one block, counts against that column and takes nothing from the others.
    usable : int array, shape (columns,)
        Raised by the number of all other resamples.
    """
    columns, blocks = one.shape[1], starts.shape[1]
    sums, squares, pivots = np.empty((3, columns)), np.empty((6, columns)), np.empty(columns)
    for draw in range(len(starts)):
        sums[:] = 0.0
        squares[:] = 0.0
        for block in range(blocks):
            start = starts[draw, block]
            for column in range(columns):
                a, b, c = one[start, column], two[start, column], held[start, column]
                sums[0, column] += a
                sums[1, column] += b
                sums[2, column] += c
                squares[0, column] += a * a
                squares[1, column] += b * b
                squares[2, column] += c * c
                squares[3, column] += a * b
                squares[4, column] += a * c
                squares[5, column] += b * c
        for column in range(columns):
            rows = sums[2, column]
            mean = sums[0, column] / rows
            variance = sums[1, column] / rows - mean * mean
            deviation = math.sqrt(variance)
            ratio = (shift[column] + mean) / deviation
            # Influence of a block on the ratio, linear in its sums; over all blocks it adds up to nothing.
            x = 1.0 / deviation + ratio * mean / variance
            y = -0.5 * ratio / variance
            z = -mean / deviation - 0.5 * ratio * (mean * mean / variance - 1.0)
            spread = x * x * squares[0, column] + y * y * squares[1, column] + z * z * squares[2, column]
            spread += 2.0 * (x * y * squares[3, column] + x * z * squares[4, column] + y * z * squares[5, column])
            told = rows > 0.0 and variance > _FLAT and spread > _NO_SPREAD * rows
            pivots[column] = (ratio - shift[column]) * rows / math.sqrt(spread) if told else np.nan
        highest = largest[draw]
        for column in range(columns):
            told = not math.isnan(pivots[column])
            reached = not told or pivots[column] >= observed[column]
            usable[column] += told
            alone[column] += reached
            above[column] += reached or highest >= observed[column]
            if told:
                highest = max(highest, pivots[column] + losers[column])
        largest[draw] = highest


@nb.njit(cache=True, error_model="numpy", nogil=True)
def resampled_differences(totals: Array, starts: Array, lengths: Array, fewest: int, out: Array, errors: Array) -> None:
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
def resampled_means(totals: Array, starts: Array, lengths: Array, fewest: int, out: Array, errors: Array) -> None:
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
