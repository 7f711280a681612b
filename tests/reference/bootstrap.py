"""The stationary bootstrap row by row, and long-run variances by summing over lags, one pair of rows at a time.

Slow on purpose, in plain Python integers and floats, so that it can contradict `embargo.backtest.significance`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

_WORD = 2**64


def _mix(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % _WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % _WORD
    return z ^ (z >> 31)


def random_words(key: int) -> Iterator[int]:
    """SplitMix64 started from a mixed key."""
    state = _mix(key)
    while True:
        state = (state + 0x9E3779B97F4A7C15) % _WORD
        yield _mix(state)


def resample(n: int, block: float, key: int) -> list[list[int]]:
    """Row positions of one resample, block by block: start from the high half of a word, length from the low one."""
    blocks: list[list[int]] = []
    left = n
    for word in random_words(key):
        start = (word >> 32) * n >> 32
        length = 1
        if block > 1.0:
            length += int(math.log(((word & 0xFFFFFFFF) + 0.5) / 2**32) / math.log(1.0 - 1.0 / block))
        length = min(length, left)
        blocks.append([(start + step) % n for step in range(length)])
        left -= length
        if left == 0:
            return blocks
    raise AssertionError


def alike(n: int, length: int, key: int) -> list[list[int]]:
    """Row positions of one resample whose blocks have one length, but for the last: starts as in `resample`."""
    blocks: list[list[int]] = []
    for word, left in zip(random_words(key), range(n, 0, -length), strict=False):
        start = (word >> 32) * n >> 32
        blocks.append([(start + step) % n for step in range(min(length, left))])
    return blocks


def sharpe_and_error(returns: Sequence[float], member: Sequence[bool], blocks: list[list[int]]) -> tuple[float, float]:
    """Sharpe ratio of the members of a resample, and its error from the sums of the influence within each block."""
    inside = [returns[row] for block in blocks for row in block if member[row]]
    mean = math.fsum(inside) / len(inside)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in inside) / len(inside))
    ratio = mean / deviation
    squares = 0.0
    for block in blocks:
        u = [(returns[row] - mean) / deviation for row in block if member[row]]
        squares += math.fsum(value - ratio / 2.0 * (value**2 - 1.0) for value in u) ** 2
    return ratio, math.sqrt(squares) / len(inside)


def _covariance(values: Sequence[float], lag: int) -> float:
    return math.fsum(values[row] * values[row - lag] for row in range(lag, len(values))) / len(values)


def _slope(values: Sequence[float]) -> float:
    above = math.fsum(values[row] * values[row - 1] for row in range(1, len(values)))
    slope = above / math.fsum(value * value for value in values[:-1])
    return max(-0.97, min(0.97, slope))


def quadratic_spectral_weight(x: float) -> float:
    """Andrews (1991), equation 2.7."""
    angle = 6.0 * math.pi * x / 5.0
    return 25.0 / (12.0 * math.pi**2 * x**2) * (math.sin(angle) / angle - math.cos(angle))


def prewhitened_variance(values: Sequence[float]) -> float:
    """Andrews and Monahan (1992): whiten by AR(1), Andrews' (1991) automatic bandwidth, recolour."""
    mean = math.fsum(values) / len(values)
    centred = [value - mean for value in values]
    first = _slope(centred)
    rest = [centred[row] - first * centred[row - 1] for row in range(1, len(centred))]
    second = _slope(rest)
    alpha = 4.0 * second**2 / (1.0 - second) ** 4
    bandwidth = 1.3221 * (alpha * len(rest)) ** 0.2
    total = _covariance(rest, 0)
    for lag in range(1, len(rest)):
        total += 2.0 * quadratic_spectral_weight(lag / bandwidth) * _covariance(rest, lag)
    return total / (1.0 - first) ** 2


def cosine_variance(values: Sequence[float], number: int) -> float:
    """Lazarus, Lewis, Stock and Watson (2018), equation 5: the mean of squared cosine weights."""
    n = len(values)
    squares = []
    for j in range(1, number + 1):
        weight = math.fsum(value * math.cos(math.pi * j * (row + 0.5) / n) for row, value in enumerate(values))
        squares.append(2.0 / n * weight**2)
    return math.fsum(squares) / number
