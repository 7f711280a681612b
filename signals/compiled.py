"""Rearranged evidence to weights in one compiled pass, to the last bit what the plain path makes of it.

Sums are therefore taken in the order in which numpy takes them, and nothing is reassociated. All compiled functions
share this file, because numba's cache notices changes only in the file of the function that is called.
"""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

Array = np.ndarray

# Numpy adds up at most this many numbers in one go, in eight lanes.
_RUN, _LANES = 128, 8
# What demeaning leaves below this is rounding.
_RESIDUE = 1e-12


class WeightRules(NamedTuple):
    """What makes weights of evidence as plain numbers; ``net`` below 0 is no limit."""

    keep: float
    shrinkage: float
    least: float
    neutral: bool
    long_only: bool
    equal: bool
    gross: float
    cap: float
    net: float
    band: float


@nb.njit(cache=True, error_model="numpy")
def added(values: Array) -> float:
    """Add up a row as numpy does: pairwise over runs, each in eight lanes."""
    n = len(values)
    if n > _RUN:
        half = n // 2
        half -= half % _LANES
        return float(added(values[:half]) + added(values[half:]))
    total = 0.0
    start = 0
    if n >= _LANES:
        r0, r1, r2, r3 = values[0], values[1], values[2], values[3]
        r4, r5, r6, r7 = values[4], values[5], values[6], values[7]
        start = n - n % _LANES
        for i in range(_LANES, start, _LANES):
            r0 += values[i]
            r1 += values[i + 1]
            r2 += values[i + 2]
            r3 += values[i + 3]
            r4 += values[i + 4]
            r5 += values[i + 5]
            r6 += values[i + 6]
            r7 += values[i + 7]
        total = ((r0 + r1) + (r2 + r3)) + ((r4 + r5) + (r6 + r7))
    for i in range(start, n):
        total += values[i]
    return total


@nb.njit(cache=True, error_model="numpy")
def _decay_row(said: Array, weighed: Array, columns: Array, keep: float, top: Array, bottom: Array) -> None:
    for j in range(len(columns)):
        column = columns[j]
        top[j] = keep * top[j] + said[column]
        bottom[j] = keep * bottom[j] + weighed[column]


@nb.njit(cache=True, error_model="numpy")
def _turned_row(
    said: Array, weighed: Array, columns: Array, signs: Array, keep: float, top: Array, bottom: Array
) -> None:
    for j in range(len(columns)):
        column = columns[j]
        top[j] = keep * top[j] + said[column] * signs[j]
        bottom[j] = keep * bottom[j] + weighed[column]


@nb.njit(cache=True, error_model="numpy")
def _signal_row(top: Array, bottom: Array, tradable: Array, shrinkage: float, least: float, raw: Array) -> int:
    """Write the signal of the row where it counts and 0 elsewhere; return in how many places it does.

    No signal that counts is 0, so that what is 0 does not.
    """
    number = 0
    for j in range(len(raw)):
        weight = bottom[j] + shrinkage
        signal = top[j] / (weight if bottom[j] > 0.0 else 1.0)
        signal = min(max(signal, -1.0), 1.0)
        counts = (bottom[j] > 0.0) & (abs(signal) >= least) & tradable[j]
        raw[j] = signal if counts else 0.0
        number += counts
    return number


@nb.njit(cache=True, error_model="numpy")
def _position_row(raw: Array, number: int, rules: WeightRules) -> None:
    if rules.neutral:
        mean = added(raw) / max(number, 1)
        for j in range(len(raw)):
            raw[j] = raw[j] - mean if raw[j] != 0.0 else 0.0
    if rules.long_only:
        for j in range(len(raw)):
            raw[j] = max(raw[j], 0.0)
    if rules.equal:
        for j in range(len(raw)):
            raw[j] = np.sign(raw[j]) if abs(raw[j]) > _RESIDUE else 0.0


@nb.njit(cache=True, error_model="numpy")
def _sides(weights: Array, part: Array) -> tuple[float, float]:
    """Return what the longs and the shorts of a row are worth."""
    for j in range(len(weights)):
        part[j] = max(weights[j], 0.0)
    longs = added(part)
    for j in range(len(weights)):
        part[j] = min(weights[j], 0.0)
    return longs, -added(part)


@nb.njit(cache=True, error_model="numpy")
def _scale_sides(weights: Array, up: float, down: float) -> None:
    for j in range(len(weights)):
        weights[j] *= up if weights[j] > 0.0 else down


@nb.njit(cache=True, error_model="numpy")
def _within_net(weights: Array, net: float, part: Array) -> None:
    longs, shorts = _sides(weights, part)
    up = (shorts + net) / longs if longs > shorts + net else 1.0
    down = (longs + net) / shorts if shorts > longs + net else 1.0
    _scale_sides(weights, up, down)


@nb.njit(cache=True, error_model="numpy")
def _absolute(weights: Array, part: Array) -> float:
    for j in range(len(weights)):
        part[j] = abs(weights[j])
    return float(added(part))


@nb.njit(cache=True, error_model="numpy")
def _size_row(weights: Array, rules: WeightRules, gate: float, part: Array) -> None:
    factor = rules.gross / max(_absolute(weights, part), 1.0)
    for j in range(len(weights)):
        weights[j] = min(max(weights[j] * factor, -rules.cap), rules.cap)
    if rules.neutral:
        longs, shorts = _sides(weights, part)
        side = min(longs, shorts)
        _scale_sides(weights, side / longs if longs > 0.0 else 0.0, side / shorts if shorts > 0.0 else 0.0)
    if rules.net >= 0.0:
        _within_net(weights, rules.net, part)
    for j in range(len(weights)):
        weights[j] = weights[j] * gate + 0.0


@nb.njit(cache=True, error_model="numpy")
def _band_row(weights: Array, held: Array, rules: WeightRules, part: Array) -> None:
    """Keep what moved by less than the band since the weight last set; ``held`` is the row before, and the next."""
    for j in range(len(weights)):
        wanted, before = weights[j], held[j]
        keep = (abs(wanted - before) < rules.band) & (wanted != 0.0) & (before != 0.0)
        held[j] = before if keep else wanted
    total = _absolute(held, part)
    if total > rules.gross:
        factor = rules.gross / total
        for j in range(len(weights)):
            held[j] *= factor
    if rules.net >= 0.0:
        _within_net(held, rules.net, part)
    for j in range(len(held)):  # one by one: an array put into another takes two seconds to compile
        weights[j] = held[j]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def weights_of(
    numerator: Array,
    denominator: Array,
    rows: Array,
    columns: Array,
    signs: Array,
    tradable: Array,
    gate: Array,
    rules: WeightRules,
    weights: Array,
) -> None:
    """Write the weights of rearranged evidence; panels of shape (rows, symbols).

    Row t of ``signs`` and of ``gate`` counts where they have that many rows, else nothing is turned and all is held.
    """
    symbols = len(columns)
    top, bottom, part, held = np.zeros(symbols), np.zeros(symbols), np.empty(symbols), np.zeros(symbols)
    for t in range(len(rows)):
        said, weighed, row = numerator[rows[t]], denominator[rows[t]], weights[t]
        if len(signs):
            _turned_row(said, weighed, columns, signs[t], rules.keep, top, bottom)
        else:
            _decay_row(said, weighed, columns, rules.keep, top, bottom)
        number = _signal_row(top, bottom, tradable[t], rules.shrinkage, rules.least, row)
        _position_row(row, number, rules)
        _size_row(row, rules, gate[t] if len(gate) else 1.0, part)
        if rules.band > 0.0:
            _band_row(row, held, rules, part)
