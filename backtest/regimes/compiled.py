"""Compiled passes of the Markov-switching model: filter, smoother and expectation-maximisation.

Import it where it is used, not at the top of a module: the compiler takes a second to load.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

_ROOT = math.sqrt(2.0 * math.pi)


@nb.njit(cache=True, error_model="numpy")
def steady_state(moves: np.ndarray) -> np.ndarray:
    """Long-run probabilities of the states; moves[i, j] is the chance of going from i to j."""
    states = len(moves)
    chances = np.full(states, 1.0 / states)
    # Squaring reaches the limit of even very persistent chains.
    powers = moves.copy()
    for _ in range(30):
        powers = powers @ powers
        for row in range(states):
            powers[row] /= powers[row].sum()
    chances = chances @ powers
    return np.asarray(chances / chances.sum())


@nb.njit(cache=True, error_model="numpy")
def filtered(
    values: np.ndarray, means: np.ndarray, deviations: np.ndarray, moves: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Hamilton filter: probabilities given values so far, the forecasts they update, and the log-likelihood.

    A value that is not finite says nothing: its row is the forecast.
    """
    bars, states = len(values), len(means)
    known, forecast = np.empty((bars, states)), np.empty((bars, states))
    start = steady_state(moves)
    scale = -np.log(deviations * _ROOT)
    logs = np.empty(states)
    likelihood = 0.0
    for bar in range(bars):
        for state in range(states):
            if bar == 0:
                forecast[bar, state] = start[state]
                continue
            chance = 0.0
            for earlier in range(states):
                chance += known[bar - 1, earlier] * moves[earlier, state]
            forecast[bar, state] = chance
        value, top = values[bar], -np.inf
        for state in range(states):
            z = (value - means[state]) / deviations[state]
            logs[state] = scale[state] - 0.5 * z * z
            top = max(top, logs[state])
        total = 0.0
        for state in range(states):
            known[bar, state] = forecast[bar, state] * math.exp(logs[state] - top)
            total += known[bar, state]
        if np.isfinite(value) and total > 0.0:
            likelihood += top + math.log(total)
            for state in range(states):
                known[bar, state] /= total
        else:
            for state in range(states):
                known[bar, state] = forecast[bar, state]
    return known, forecast, likelihood


@nb.njit(cache=True, error_model="numpy")
def smoothed(known: np.ndarray, forecast: np.ndarray, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kim's smoother: probabilities given all values, and the expected number of moves from i to j."""
    bars, states = known.shape
    chances = known.copy()
    number = np.zeros((states, states))
    joint = np.empty((states, states))
    for bar in range(bars - 2, -1, -1):
        total = 0.0
        for i in range(states):
            for j in range(states):
                ratio = chances[bar + 1, j] / max(forecast[bar + 1, j], 1e-300)
                joint[i, j] = known[bar, i] * moves[i, j] * ratio
                total += joint[i, j]
        for i in range(states):
            chance = 0.0
            for j in range(states):
                joint[i, j] /= total
                number[i, j] += joint[i, j]
                chance += joint[i, j]
            chances[bar, i] = chance
    return chances, number


@nb.njit(cache=True, error_model="numpy")
def maximised(
    values: np.ndarray,
    means: np.ndarray,
    deviations: np.ndarray,
    moves: np.ndarray,
    floor: float,
    rounds: int,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Climb the likelihood by expectation-maximisation until a round gains less than the tolerance."""
    states = len(means)
    before = -np.inf
    for _ in range(rounds):
        known, forecast, likelihood = filtered(values, means, deviations, moves)
        if likelihood - before < tolerance:
            break
        before = likelihood
        chances, number = smoothed(known, forecast, moves)
        means, deviations, moves = means.copy(), deviations.copy(), moves.copy()
        for state in range(states):
            weight = mean = 0.0
            for bar in range(len(values)):
                if np.isfinite(values[bar]):
                    weight += chances[bar, state]
                    mean += chances[bar, state] * values[bar]
            if weight > 1e-8:
                mean /= weight
                spread = 0.0
                for bar in range(len(values)):
                    if np.isfinite(values[bar]):
                        spread += chances[bar, state] * (values[bar] - mean) ** 2
                means[state] = mean
                deviations[state] = max(math.sqrt(spread / weight), floor)
            total = number[state].sum()
            if total > 1e-8:
                moves[state] = np.maximum(number[state] / total, 1e-6)
                moves[state] /= moves[state].sum()
    return means, deviations, moves, likelihood
