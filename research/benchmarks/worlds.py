"""Simulated returns, signals and forecasts of which the truth is known, to ask what a test does where it is true.

Every generator is pure: the Generator is handed in, all draws are made at once, and series of one draw may be
correlated. Returns have a true mean of 0 and are in units of one bar's deviation, about.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.signal import lfilter
from scipy.special import ndtr, ndtri

Panel = np.ndarray
World = Callable[..., Panel]

CORRELATION = 0.5
_WARM_UP = 500


def shocks(
    draws: int,
    n: int,
    series: int,
    rng: np.random.Generator,
    *,
    correlation: float = CORRELATION,
    degrees: float | None = None,
) -> Panel:
    """Draw standard normal shocks, or Student's t with so many degrees of freedom; shape (draws, n, series).

    The series of a draw share a factor that makes their correlation.
    """
    values = rng.standard_normal((draws, n, series))
    if series > 1 and correlation > 0.0:
        values *= math.sqrt(1.0 - correlation)
        values += math.sqrt(correlation) * rng.standard_normal((draws, n, 1))
    if degrees is not None:
        values /= np.sqrt(rng.chisquare(degrees, (draws, n, 1)) / degrees)
    return values


def independent(
    draws: int, n: int, series: int, rng: np.random.Generator, *, correlation: float = CORRELATION
) -> Panel:
    """Draw independent normal returns of variance 1, shape (draws, n, series)."""
    return shocks(draws, n, series, rng, correlation=correlation)


def autoregressive(
    draws: int, n: int, series: int, rng: np.random.Generator, *, memory: float = 0.2, correlation: float = CORRELATION
) -> Panel:
    """Draw a first-order autoregression of variance 1."""
    noise = shocks(draws, n + _WARM_UP, series, rng, correlation=correlation)
    return np.asarray(lfilter([math.sqrt(1.0 - memory**2)], [1.0, -memory], noise, axis=1)[:, _WARM_UP:])


def garch(draws: int, n: int, series: int, rng: np.random.Generator, *, correlation: float = CORRELATION) -> Panel:
    """Draw a GARCH(1,1) with alpha 0.08, beta 0.90 and normal shocks, unconditional variance 1."""
    values = shocks(draws, n + _WARM_UP, series, rng, correlation=correlation)
    variance = np.ones((draws, series))
    for row in range(n + _WARM_UP):
        values[:, row] *= np.sqrt(variance)
        variance = 0.02 + 0.08 * values[:, row] ** 2 + 0.90 * variance
    return values[:, _WARM_UP:]


def fat_tailed(draws: int, n: int, series: int, rng: np.random.Generator, *, correlation: float = CORRELATION) -> Panel:
    """Draw independent Student's t with four degrees of freedom, variance 1."""
    return shocks(draws, n, series, rng, correlation=correlation, degrees=4.0) / math.sqrt(2.0)


def crashing(
    draws: int,
    n: int,
    series: int,
    rng: np.random.Generator,
    *,
    every: float,
    size: float = 20.0,
    correlation: float = CORRELATION,
) -> Panel:
    """Draw returns of short volatility: they lose about ``size`` deviations once in so many bars and are paid for it.

    The size of a crash is exponential and common to all series, crashes of correlated series come together more often
    than chance, and the pay makes the true mean 0.
    """
    fallen = shocks(draws, n, series, rng, correlation=correlation) < ndtri(1.0 / every)
    lost = fallen * rng.exponential(size, (draws, n, 1))
    return shocks(draws, n, series, rng, correlation=correlation) - lost + size / every


def drifting(
    draws: int,
    n: int,
    series: int,
    rng: np.random.Generator,
    *,
    share: float = 0.05,
    memory: float = 0.9,
    correlation: float = CORRELATION,
) -> Panel:
    """Draw normal returns whose mean wanders: ``share`` of the variance is an autoregression common to all series."""
    slow = autoregressive(draws, n, 1, rng, memory=memory)
    return math.sqrt(share) * slow + math.sqrt(1.0 - share) * shocks(draws, n, series, rng, correlation=correlation)


def one_large_bar(
    draws: int, n: int, series: int, rng: np.random.Generator, *, size: float = 25.0, correlation: float = CORRELATION
) -> Panel:
    """Draw normal returns but for one bar, the same in all series, that gains or loses 25 deviations by a fair coin."""
    values = shocks(draws, n, series, rng, correlation=correlation)
    values[np.arange(draws), rng.integers(0, n, draws)] = size * rng.choice([-1.0, 1.0], (draws, 1))
    return values


def seldom_trading(
    draws: int, n: int, series: int, rng: np.random.Generator, *, share: float = 0.1, correlation: float = CORRELATION
) -> Panel:
    """Hold nothing on nine bars of ten, and what has fat tails on the others."""
    held = ndtr(shocks(draws, n, series, rng, correlation=correlation)) < share
    return fat_tailed(draws, n, series, rng, correlation=correlation) * held


def overlapping(
    draws: int, n: int, series: int, rng: np.random.Generator, *, bars: int = 20, correlation: float = CORRELATION
) -> Panel:
    """Draw returns over 20 bars, one a bar, of variance 1: neighbours share 19."""
    noise = shocks(draws, n + bars, series, rng, correlation=correlation)
    total = np.cumsum(noise, axis=1)
    return np.asarray((total[:, bars:] - total[:, :-bars]) / math.sqrt(bars))


def moving_average(
    draws: int, n: int, series: int, rng: np.random.Generator, *, memory: float, correlation: float = CORRELATION
) -> Panel:
    """Draw a first-order moving average of variance 1; negative memory is what bounces between bid and ask."""
    noise = shocks(draws, n + 1, series, rng, correlation=correlation)
    return (noise[:, 1:] + memory * noise[:, :-1]) / math.sqrt(1.0 + memory**2)


WORLDS: dict[str, World] = {
    "i.i.d.": independent,
    "AR(1) 0.2": autoregressive,
    "GARCH(1,1)": garch,
    "t, 4 d.f.": fat_tailed,
    "MA(1) 0.4": partial(moving_average, memory=0.4),
    "MA(1) -0.4": partial(moving_average, memory=-0.4),
    "overlapping 20": overlapping,
    "slow drift": drifting,
    "seldom trading": seldom_trading,
    "crashes 1 in 60": partial(crashing, every=60.0),
    "crashes 1 in 250": partial(crashing, every=250.0),
    "one bar of 25 %": one_large_bar,
}


def slow_signals(
    draws: int, n: int, symbols: int, rng: np.random.Generator, *, half_life: float = 60.0, share: float = 0.05
) -> tuple[Panel, Panel]:
    """Draw signals that know nothing, and returns whose means wander as slowly, each of shape (draws, n, symbols).

    Both remember half of what they were after ``half_life`` bars; the drift is a ``share`` of the returns' variance.
    """
    memory = 0.5 ** (1.0 / half_life)
    signal, drift = (autoregressive(draws, n, symbols, rng, memory=memory, correlation=0.0) for _ in range(2))
    noise = shocks(draws, n, symbols, rng, correlation=0.0)
    return signal, math.sqrt(share) * drift + math.sqrt(1.0 - share) * noise


def forecasts(
    draws: int, days: int, articles: int, rng: np.random.Generator, *, correlation: float = 0.15
) -> tuple[np.ndarray, np.ndarray]:
    """Draw calibrated probabilities of three classes, and classes that come out alike on one day.

    Returns
    -------
    (probabilities, classes)
        Shapes (draws, days, articles, 3) and (draws, days, articles). The normal score of how far each forecast was
        right has the given correlation within a day.
    """
    values = rng.dirichlet((2.0, 2.0, 2.0), (draws, days, articles))
    luck = math.sqrt(correlation) * rng.standard_normal((draws, days, 1))
    score = ndtr(luck + math.sqrt(1.0 - correlation) * rng.standard_normal((draws, days, articles)))
    order = np.argsort(-values, axis=-1, kind="stable")
    reached = np.cumsum(np.take_along_axis(values, order, axis=-1), axis=-1)[..., :2]
    place = (score[..., None] > reached).sum(axis=-1)
    return values, np.take_along_axis(order, place[..., None], axis=-1)[..., 0]
