"""What `size_and_power` measures beyond the plain worlds: hard samples, many attempts, siblings, power.

A `Section` is one table of the document; each of its rows is worked out alone, so that rows can share the cores. A new
table joins by an entry in ``SECTIONS``.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import norm, rankdata

from embargo.backtest.significance import (
    detectable_sharpe,
    mean_estimate,
    sample_shape,
    sequential_test,
    sharpe_estimate,
    stepwise_sharpe,
)
from embargo.models.calibration.significance import calibration_test, confidence_test
from embargo.research.benchmarks import worlds
from embargo.research.benchmarks.worlds import WORLDS, Panel
from embargo.signals.diagnostics.standard_errors import mean_by_row, newey_west_lag

LEVEL = 0.05
YEAR = 252.0
RESAMPLES = 299
LENGTHS = (120, 252, 504, 756, 2520)
# A table of one world and length takes its share of the draws that the command is given.
MANY, SOME, FEW = 1.0, 0.25, 0.1

Row = Callable[[int, int], list[str]]


@dataclass(frozen=True)
class Section:
    """One table of the document.

    Attributes
    ----------
    title, text : str
    header : tuple of str
    rows : tuple of callable
        Each takes the draws and a seed, and returns its cells.
    """

    title: str
    text: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]


def generator(seed: int, *names: object) -> np.random.Generator:
    """Return the Generator of one cell, by what it is called."""
    return np.random.default_rng([seed, *(zlib.crc32(str(name).encode()) for name in names)])


def share(found: Sequence[bool] | np.ndarray) -> str:
    """Percent with its standard error."""
    rate = float(np.mean(found)) if len(found) else math.nan
    error = math.sqrt(max(rate * (1.0 - rate), 0.25 / max(len(found), 1)) / max(len(found), 1))
    return "none" if math.isnan(rate) else f"{100.0 * rate:.1f} ± {100.0 * error:.1f}"


def returns_in(
    world: str, draws: int, n: int, rng: np.random.Generator, *, series: int = 1, correlation: float = 0.5
) -> Panel:
    """Draw worthless daily returns of about 1 % volatility, shape (draws, n, series)."""
    return 0.01 * WORLDS[world](draws, n, series, rng, correlation=correlation)


def sample_row(world: str, n: int, draws: int, seed: int) -> list[str]:
    """Judge single series: p-values, intervals, and where the sample itself is doubted."""
    panel, rng = returns_in(world, draws, n, generator(seed, "sample", world, n))[:, :, 0], generator(seed, world, n)
    found = []
    for returns in panel:
        sharpe = sharpe_estimate(returns, periods_per_year=YEAR, n_boot=RESAMPLES, seed=rng)
        mean = mean_estimate(returns, periods_per_year=YEAR)
        p_values = [1.0 if p_value is None else p_value for p_value in (sharpe.p_value, mean.p_value)]
        missed = [low is not None and high is not None and not low <= 0.0 <= high
                  for low, high in ((sharpe.low, sharpe.high), (mean.low, mean.high))]  # fmt: skip
        found.append([p_values[0] <= LEVEL, missed[0], p_values[1] <= LEVEL, missed[1],
                      bool(sample_shape(returns).doubts)])  # fmt: skip
    judged = np.array(found)
    doubted = judged[:, 4]
    claimed = judged[:, 0] & ~doubted
    return [world, f"{n:,}", *(share(column) for column in judged.T), share(claimed)]


def attempts_row(
    attempts: int, of_draws: float, worlds_of: Sequence[tuple[str, float]], draws: int, seed: int
) -> list[str]:
    """Count how often any of several worthless attempts is found, by world and correlation."""
    number = max(2, round(of_draws * draws))
    cells = []
    for world, correlation in worlds_of:
        rng = generator(seed, "attempts", attempts, world, correlation)
        found = []
        for _ in range(number):
            panel = returns_in(world, 1, 504, rng, series=attempts, correlation=correlation)[0]
            found.append(bool(stepwise_sharpe(panel, n_boot=RESAMPLES, seed=rng).p_values.min() <= LEVEL))
        cells.append(share(found))
    return [f"{attempts:,}", *cells, f"{number:,}"]


def looks_row(world: str, windows: Sequence[tuple[int, int]], of_draws: float, draws: int, seed: int) -> list[str]:
    """Look at one worthless strategy through many windows: each for itself, together, and through growing ones."""
    number, rows = max(2, round(of_draws * draws)), max(stop for _, stop in windows)
    member = np.array([[start <= row < stop for start, stop in windows] for row in range(rows)])
    growing = all(start == windows[0][0] for start, _ in windows)
    rng = generator(seed, "looks", world, len(windows))
    found = []
    for returns in returns_in(world, number, rows, rng)[:, :, 0]:
        panel = np.repeat(returns[:, None], len(windows), axis=1)
        judged = stepwise_sharpe(panel, member=member, n_boot=RESAMPLES, seed=rng)
        stopped = growing and sequential_test(member.sum(axis=0), judged.own_p_values).p_value <= LEVEL
        found.append((judged.own_p_values.min() <= LEVEL, judged.p_values.min() <= LEVEL, stopped))
    alone, together, stopped_at_any = np.array(found).T
    kind = f"{len(windows)} {'looks at a growing window' if growing else 'choices of start and end'}"
    return [kind, world, share(alone), share(together), share(stopped_at_any) if growing else "–", f"{number:,}"]


def siblings_row(
    siblings: Sequence[float], edges: Sequence[float], of_draws: float, draws: int, seed: int
) -> list[str]:
    """Count how often a strategy is found beside attempts with true Sharpe ratios of their own, correlated by 0.5."""
    number, cells = max(2, round(of_draws * draws)), []
    for edge in edges:
        rng = generator(seed, "siblings", len(siblings), *siblings[:2], edge)
        means = 0.01 * np.array([edge, *siblings]) / math.sqrt(YEAR)
        found = [
            bool(stepwise_sharpe(panel + means, n_boot=RESAMPLES, seed=rng).p_values[0] <= LEVEL)
            for panel in returns_in("i.i.d.", number, 756, rng, series=1 + len(siblings))
        ]
        cells.append(share(found))
    kinds = sorted(set(siblings))
    beside = ", ".join(f"{list(siblings).count(kind)} of {kind:g}" for kind in kinds) or "none"
    return [beside, *cells]


def power_row(world: str, n: int, edges: Sequence[float], of_draws: float, draws: int, seed: int) -> list[str]:
    """Count how often single strategies are found, by the Sharpe ratio that they truly have."""
    number, cells = max(2, round(of_draws * draws)), []
    for edge in edges:
        rng = generator(seed, "power", world, n, edge)
        panel = returns_in(world, number, n, rng)[:, :, 0] + 0.01 * edge / math.sqrt(YEAR)
        found = []
        for returns in panel:
            p_value = sharpe_estimate(returns, periods_per_year=YEAR, n_boot=RESAMPLES, seed=rng).p_value
            found.append((p_value or 1.0) <= LEVEL and not sample_shape(returns).doubts)
        cells.append(share(found))
    return [world, f"{n:,}", *cells]


def told_row(attempts: int, n: int, correlation: float, of_draws: float, draws: int, seed: int) -> list[str]:
    """Hold the power that a report tells against the truth: strategies as good as `detectable_sharpe` says."""
    number, rng = max(2, round(of_draws * draws)), generator(seed, "told", attempts, n, correlation)
    panels = returns_in("i.i.d.", number, n, rng, series=attempts, correlation=correlation)
    critical = []
    for panel in panels[:25]:
        value = stepwise_sharpe(panel, n_boot=RESAMPLES, seed=rng).critical_value
        critical.append(math.nan if value is None else value)
    left = min(LEVEL, float(norm.sf(np.nanmedian(critical))))
    edge = detectable_sharpe(n, periods_per_year=YEAR, significance=left) or math.nan
    found = []
    for panel in panels:
        panel[:, 0] += 0.01 * edge / math.sqrt(YEAR)
        found.append(bool(stepwise_sharpe(panel, n_boot=RESAMPLES, seed=rng).p_values[0] <= LEVEL))
    return [f"{attempts:,}", f"{n:,}", f"{correlation:g}", f"{left:.4f}", f"{edge:.2f}", share(found)]


def coefficient_row(n: int, drift: float, half_life: float, of_draws: float, draws: int, seed: int) -> list[str]:
    """Judge information coefficients of ten symbols where signals and means wander and know nothing of each other."""
    number, rng = max(2, round(of_draws * draws)), generator(seed, "coefficient", n, drift, half_life)
    signal, returns = worlds.slow_signals(number, n, 10, rng, half_life=half_life, share=drift)
    ranks = [rankdata(each, axis=2) for each in (signal, returns)]
    known, earned = ((each - each.mean(axis=2, keepdims=True)) / each.std(axis=2, keepdims=True) for each in ranks)
    coefficients = (known * earned).mean(axis=2)
    found = [mean_by_row(row, lag=newey_west_lag(n)).p_value <= LEVEL for row in coefficients]
    told = "yes" if half_life > 0.5 * math.sqrt(n) else "no"
    return [f"{n:,}", f"{half_life:g}", f"{100.0 * drift:g} %", share(found), told]


def calibration_row(days: int, articles: int, correlation: float, draws: int, seed: int) -> list[str]:
    """Judge calibrated probabilities whose outcomes on one day come out alike, by day and one by one."""
    rng = generator(seed, "calibration", days, articles, correlation)
    groups = np.repeat(np.arange(days), articles)
    found: dict[str, list[bool]] = {}
    values, classes = worlds.forecasts(draws, days, articles, rng, correlation=correlation)
    for probs, labels in zip(values.reshape(draws, -1, 3), classes.reshape(draws, -1), strict=True):
        for name, test in (("confidence", confidence_test), ("whole", calibration_test)):
            for way, used in (("by day", groups), ("one by one", None)):
                p_value = test(probs, labels, groups=used).p_value
                found.setdefault(f"{name}, {way}", []).append((1.0 if p_value is None else p_value) <= LEVEL)
    return [f"{days} × {articles}", f"{correlation:g}", *(share(values) for values in found.values())]


_CROWDS = (
    ("i.i.d.", 0.0),
    ("i.i.d.", 0.5),
    ("i.i.d.", 0.9),
    ("GARCH(1,1)", 0.5),
    ("crashes 1 in 60", 0.5),
    ("slow drift", 0.5),
)
_LOOKS = tuple((0, stop) for stop in range(273, 505, 21))
_CHOICES = tuple((start, stop) for start in range(0, 127, 21) for stop in range(378, 505, 21))
_SIBLINGS = ((), (-3.0,), (-3.0, -3.0), (0.0,), (0.0,) * 4, (0.0,) * 19)
_EDGES = (1.0, 1.5, 2.0)

SECTIONS: tuple[Section, ...] = (
    Section(
        "Samples that are short, skewed, drifting or dependent",
        "Each series alone, true Sharpe ratio 0. The last but one column tells how often `sample_shape` doubts it, "
        'where a run claims nothing and says "size not known to hold here"; the last one how often a p-value of 5 % or '
        "less is left standing. Crashes that a sample does not hold leave no trace in it: with one in 250 bars, "
        "most of what is left standing are samples without one, which no test can tell from an edge.",
        ("world", "rows", "Sharpe, p", "Sharpe, interval", "mean, p", "mean, interval", "doubted", "p stands"),
        tuple(partial(sample_row, world, n) for world in WORLDS for n in LENGTHS),
    ),
    Section(
        "Any of many worthless attempts",
        "`stepwise_sharpe` on 504 rows: how often at least one attempt has an adjusted p-value of 5 % or less.",
        ("attempts", *(f"{world}, correlation {correlation:g}" for world, correlation in _CROWDS), "draws"),
        tuple(
            partial(attempts_row, attempts, of_draws, _CROWDS)
            for attempts, of_draws in ((1, SOME), (2, SOME), (5, SOME), (20, SOME), (100, FEW), (1000, FEW))
        ),
    ),
    Section(
        "Windows that overlap",
        "One worthless strategy, looked at twelve times as its window grows from 273 to 504 rows, or from seven starts "
        "to seven ends: how often any of them has a p-value of 5 % or less, each taken for the only one; adjusted for "
        "all of them; and by `sequential_test`, which holds at whatever look one stops.",
        ("windows", "world", "each for itself", "together", "sequential", "draws"),
        tuple(
            partial(looks_row, world, windows, of_draws)
            for windows, of_draws in ((_LOOKS, FEW), (_CHOICES, SOME))
            for world in ("i.i.d.", "GARCH(1,1)")
        ),
    ),
    Section(
        "Bad and worthless siblings",
        "How often a strategy is found on 756 rows, by its true Sharpe ratio, beside attempts with theirs.",
        ("beside", *(f"{edge:g}" for edge in (0.0, *_EDGES))),
        tuple(partial(siblings_row, siblings, (0.0, *_EDGES), SOME) for siblings in _SIBLINGS),
    ),
    Section(
        "Power of one attempt",
        "By true Sharpe ratio; a sample that is doubted claims nothing, and counts as not found.",
        ("world", "rows", *(f"{edge:g}" for edge in _EDGES)),
        tuple(
            partial(power_row, world, n, _EDGES, SOME)
            for world in ("i.i.d.", "AR(1) 0.2", "GARCH(1,1)", "t, 4 d.f.")
            for n in (504, 756, 2520)
        ),
    ),
    Section(
        "The power that a report tells",
        "`detectable_sharpe` promises 80 % at the level that all attempts leave to one; the last column is the truth.",
        ("attempts", "rows", "correlation", "level left", "detectable", "found"),
        tuple(
            partial(told_row, attempts, n, correlation, SOME)
            for n in (504, 2520)
            for attempts, correlation in ((1, 0.5), (5, 0.0), (5, 0.9), (20, 0.5))
        ),
    ),
    Section(
        "Information coefficients of slow signals",
        "Ten symbols, horizon of one bar. Where a signal remembers itself for more than half the root of the rows, the "
        "study says that the size is not known to hold.",
        ("rows", "half-life of both", "drift's share of variance", "p-value", "doubted"),
        tuple(
            partial(coefficient_row, n, drift, half_life, SOME)
            for n in (252, 756, 2520)
            for half_life, drift in ((5.0, 0.05), (60.0, 0.0), (60.0, 0.05))
        ),
    ),
    Section(
        "Calibration within days",
        "Calibrated forecasts; how far each is right has a normal score with a correlation within a day. Runs and "
        "`embargo evaluate` test by day, and not at all where days are not known.",
        ("days × articles", "correlation", "confidence, by day", "one by one", "whole forecast, by day", "one by one"),
        tuple(partial(calibration_row, *kind) for kind in ((60, 10, 0.15), (250, 4, 0.15), (250, 4, 0.0))),
    ),
)
