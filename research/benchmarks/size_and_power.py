"""Simulate every test that a report quotes where the truth is known.

Run by ``python -m embargo.research.benchmarks.size_and_power``. A test is sound when it rejects a true null hypothesis
as often as its level says, whatever the returns look like, and useful when it finds an edge that is there. ``--write
docs/size_and_power.md`` renews the committed table. A new test joins by an entry in ``PROCEDURES``.
"""

from __future__ import annotations

import argparse
import math
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from scipy.stats import kurtosis, norm, skew

from embargo.backtest.regimes.equality import sharpe_equality
from embargo.backtest.significance.attempts import stepwise_sharpe
from embargo.backtest.significance.comparison import mean_difference, sharpe_difference
from embargo.backtest.significance.deflation import probabilistic_sharpe
from embargo.backtest.significance.forecasts import diebold_mariano
from embargo.backtest.significance.long_run import variance_inflation
from embargo.backtest.significance.means import mean_estimate
from embargo.backtest.significance.power import detectable_sharpe
from embargo.backtest.significance.sharpe import conditional_sharpe, sharpe_estimate
from embargo.backtest.significance.standard_errors import sharpe_errors
from embargo.backtest.significance.superior import reality_check, stepwise_superior, superior_ability
from embargo.research.benchmarks.sections import SECTIONS
from embargo.research.benchmarks.worlds import WORLDS

LEVEL = 0.05
REACH = 0.015
YEAR = 252.0
LENGTHS = (504, 2520)
RESAMPLES = 499
EDGES = tuple(0.25 * step for step in range(9))
PAIR_CORRELATION = 0.5
STRATEGIES = 10
REGIME_ROWS = 20.0

Panel = np.ndarray
Rejections = Mapping[str, np.ndarray]


# The worlds on which every test is tried; the others are for the section on hard samples.
PLAIN = ("i.i.d.", "AR(1) 0.2", "GARCH(1,1)", "t, 4 d.f.")


def returns_of(
    world: str, draws: int, n: int, rng: np.random.Generator, *, edge: float = 0.0, series: int = 1
) -> Panel:
    """Draw daily returns of 1 % volatility with a true annual Sharpe ratio; shape (draws, n) or (draws, n, series)."""
    values = 0.01 * (WORLDS[world](draws, n, series, rng, correlation=PAIR_CORRELATION) + edge / math.sqrt(YEAR))
    return values[:, :, 0] if series == 1 else values


def _misses(low: float | None, high: float | None, truth: float) -> bool:
    return low is None or high is None or not low <= truth <= high


def bootstrap_rows(panel: Panel, rng: np.random.Generator, truth: float = 0.0) -> Rejections:
    """Judge by the studentised bootstrap of a run: its p-value and both intervals."""
    found: dict[str, list[bool]] = {}
    for returns in panel:
        estimate = sharpe_estimate(returns, periods_per_year=YEAR, n_boot=RESAMPLES, seed=rng)
        p_value = 1.0 if estimate.p_value is None else estimate.p_value
        found.setdefault("`sharpe_estimate`, p-value", []).append(p_value <= LEVEL)
        found.setdefault("`sharpe_estimate`, interval", []).append(_misses(estimate.low, estimate.high, truth))
        percentile = _misses(estimate.low_percentile, estimate.high_percentile, truth)
        found.setdefault("`sharpe_estimate`, percentile interval", []).append(percentile)
    return {name: np.array(values) for name, values in found.items()}


def closed_form_rows(panel: Panel, rng: np.random.Generator, truth: float = 0.0) -> Rejections:
    """Judge without resampling: Lo's errors with normal quantiles, the mean's t-test, probabilistic Sharpe ratios."""
    one, two = norm.ppf(1.0 - LEVEL), norm.ppf(1.0 - 0.5 * LEVEL)
    found: dict[str, list[bool]] = {}

    def say(name: str, verdict: bool) -> None:
        found.setdefault(name, []).append(bool(verdict))

    for returns in panel:
        ratio = returns.mean() / returns.std(ddof=1) * math.sqrt(YEAR)
        errors = sharpe_errors(returns, periods_per_year=YEAR)
        for name, error in (("normal i.i.d.", errors.normal), ("i.i.d. moments", errors.moments), ("HAC", errors.hac)):
            say(f"`sharpe_errors`, {name}, one-sided", ratio > one * (error or math.inf))
            say(f"`sharpe_errors`, {name}, two-sided", abs(ratio - truth) > two * (error or math.inf))
        mean = mean_estimate(returns, periods_per_year=YEAR)
        say("`mean_estimate`, p-value", (1.0 if mean.p_value is None else mean.p_value) <= LEVEL)
        say("`mean_estimate`, interval", _misses(mean.low, mean.high, truth * 0.01 * math.sqrt(YEAR)))
        moments = (ratio / math.sqrt(YEAR), len(returns), float(skew(returns)), float(kurtosis(returns, fisher=False)))
        say("`probabilistic_sharpe`, paper's formula", probabilistic_sharpe(*moments) >= 1.0 - LEVEL)
        inflation = variance_inflation(returns)
        say("`probabilistic_sharpe`, inflated", probabilistic_sharpe(*moments, inflation=inflation) >= 1.0 - LEVEL)
    return {name: np.array(values) for name, values in found.items()}


def _first_regime(n: int, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(np.cumsum(rng.random(n) < 1.0 / REGIME_ROWS) % 2 == 0)


def regime_rows(panel: Panel, rng: np.random.Generator) -> Rejections:
    """Judge the Sharpe ratio within one of two persistent regimes that have nothing to do with the returns."""
    found: dict[str, list[bool]] = {"`conditional_sharpe`, p-value": [], "`conditional_sharpe`, interval": []}
    for returns in panel:
        member = _first_regime(len(returns), rng)
        estimate = conditional_sharpe(returns, member, periods_per_year=YEAR, n_boot=RESAMPLES, seed=rng)
        p_value = 1.0 if estimate.p_value is None else estimate.p_value
        found["`conditional_sharpe`, p-value"].append(p_value <= LEVEL)
        found["`conditional_sharpe`, interval"].append(_misses(estimate.low, estimate.high, 0.0))
    return {name: np.array(values) for name, values in found.items()}


def equality_rows(panel: Panel, rng: np.random.Generator) -> Rejections:
    """Judge whether the Sharpe ratio is equal in two persistent regimes, where it is."""
    found = []
    for returns in panel:
        labels = pd.Series(np.where(_first_regime(len(returns), rng), "one", "two"))
        test = sharpe_equality(pd.Series(returns), labels, periods_per_year=YEAR, n_boot=RESAMPLES, seed=rng)
        found.append((1.0 if test.p_value is None else test.p_value) <= LEVEL)
    return {"`sharpe_equality`, p-value": np.array(found)}


def pair_rows(panel: Panel, rng: np.random.Generator) -> Rejections:
    """Judge whether one of two equally good strategies is better; their returns serve as losses of forecasts too."""
    found: dict[str, list[bool]] = {}
    for a, b in np.swapaxes(panel, 1, 2):
        ratios = sharpe_difference(a, b, periods_per_year=YEAR, n_boot=RESAMPLES, seed=rng)
        means = mean_difference(a, b, periods_per_year=YEAR, n_boot=RESAMPLES, seed=rng)
        p_values = {
            "`sharpe_difference`, p-value": ratios.p_value,
            "`sharpe_difference`, HAC p-value": ratios.p_value_hac,
            "`mean_difference`, p-value": means.p_value,
            "`mean_difference`, HAC p-value": means.p_value_hac,
            "`diebold_mariano`": diebold_mariano(a, b).p_value,
            "`diebold_mariano`, horizon=1": diebold_mariano(a, b, horizon=1).p_value,
        }
        for name, p_value in p_values.items():
            found.setdefault(name, []).append((1.0 if p_value is None else p_value) <= LEVEL)
    return {name: np.array(values) for name, values in found.items()}


def many_rows(panel: Panel, rng: np.random.Generator) -> Rejections:
    """Judge the best of several worthless strategies against a benchmark of 0."""
    found: dict[str, list[bool]] = {}
    for excess in panel:
        best = superior_ability(excess, n_boot=RESAMPLES, seed=rng).p_value
        raw = reality_check(excess, n_boot=RESAMPLES, seed=rng)
        any_of_them = stepwise_superior(excess, level=LEVEL, n_boot=RESAMPLES, seed=rng).superior.any()
        found.setdefault("`superior_ability`, p-value", []).append(best <= LEVEL)
        found.setdefault("`reality_check`", []).append(raw <= LEVEL)
        found.setdefault("`stepwise_superior`, any", []).append(bool(any_of_them))
        adjusted = stepwise_sharpe(excess, level=LEVEL, n_boot=RESAMPLES, seed=rng).p_values.min()
        found.setdefault("`stepwise_sharpe`, any", []).append(bool(adjusted <= LEVEL))
    return {name: np.array(values) for name, values in found.items()}


@dataclass(frozen=True)
class Procedure:
    """One or more tests that share their work.

    Attributes
    ----------
    run : callable
        Takes returns under a true null hypothesis, shape (draws, n), or (draws, n, series) for more than one series
        with true Sharpe ratios of 0 and equal variances, and a Generator; returns by name of the test (one row of the
        table) which draws it rejects at 5 %, bool of shape (draws,).
    series : int
        Series of each draw; more than one are correlated by 0.5.
    most_draws : int, optional
        A lower number of draws for tests that take long.
    """

    run: Callable[[Panel, np.random.Generator], Rejections]
    series: int = 1
    most_draws: int | None = None


PROCEDURES: list[Procedure] = [
    Procedure(bootstrap_rows),
    Procedure(closed_form_rows),
    Procedure(regime_rows),
    Procedure(equality_rows, most_draws=500),
    Procedure(pair_rows, series=2),
    Procedure(many_rows, series=STRATEGIES, most_draws=1000),
]

# Rows that are shown to be compared with, and whose docstrings say that they miss.
KNOWN_TO_MISS = ("percentile interval", "i.i.d.", "paper's formula", "horizon=1")


def _generator(seed: int, *names: object) -> np.random.Generator:
    return np.random.default_rng([seed, *(zlib.crc32(str(name).encode()) for name in names)])


def size_cell(procedure: Procedure, world: str, n: int, draws: int, seed: int) -> dict[str, tuple[float, int]]:
    """Rejection rate and draws of each test of a procedure in one world."""
    draws = min(draws, procedure.most_draws or draws)
    # All procedures see the same returns, so that their rows can be compared.
    panel = returns_of(world, draws, n, _generator(seed, world, n, procedure.series), series=procedure.series)
    rejected = procedure.run(panel, _generator(seed, world, n, procedure.run.__name__))
    return {name: (float(np.mean(values)), draws) for name, values in rejected.items()}


def coverage_cell(world: str, n: int, draws: int, seed: int, edge: float = 1.0) -> dict[str, float]:
    """Share of intervals that miss a true annual Sharpe ratio other than 0."""
    panel = returns_of(world, draws, n, _generator(seed, "coverage", world, n), edge=edge)
    rows = {**bootstrap_rows(panel, _generator(seed, n), edge), **closed_form_rows(panel, _generator(seed, n), edge)}
    wanted = ("interval", "HAC, two-sided", "moments, two-sided")
    return {name: float(np.mean(values)) for name, values in rows.items() if name.endswith(wanted)}


def power_cell(world: str, n: int, draws: int, seed: int, edge: float) -> dict[str, float]:
    """Rejection rates at a true annual Sharpe ratio."""
    panel = returns_of(world, draws, n, _generator(seed, "power", world, n), edge=edge)
    boot = bootstrap_rows(panel, _generator(seed, world, n), edge)["`sharpe_estimate`, p-value"]
    means = (mean_estimate(returns, periods_per_year=YEAR).p_value for returns in panel)
    found = [p_value is not None and p_value <= LEVEL for p_value in means]
    return {"`sharpe_estimate`": float(np.mean(boot)), "`mean_estimate`": float(np.mean(found))}


def _call(work: Callable[[], Any]) -> Any:
    return work()


def _workers(count: int) -> Executor:
    if count == 1:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"))


def rate(value: float) -> str:
    """Percent with one digit."""
    return f"{100.0 * value:.1f}"


def judged(name: str, value: float, draws: int) -> str:
    """Percent, bold where a test that promises its size misses the band, in italics where it is known to."""
    if abs(value - LEVEL) <= max(REACH, 3.0 * math.sqrt(LEVEL * (1.0 - LEVEL) / draws)) + 1e-9:
        return rate(value)
    known = any(part in name for part in KNOWN_TO_MISS)
    return f"*{rate(value)}*" if known else f"**{rate(value)}**"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def size_table(cells: Mapping[tuple[int, str, int], dict[str, tuple[float, int]]], procedures: int) -> str:
    """Rows: tests; columns: worlds within sample lengths."""
    keys = [(n, world) for n in LENGTHS for world in PLAIN]
    header = ["test", *(f"{world}, {n:,}" for n, world in keys), "draws"]
    rows = []
    for place in range(procedures):
        first = cells[(*keys[0], place)]
        for name, (_, draws) in first.items():
            rates = [judged(name, *cells[(n, world, place)][name]) for n, world in keys]
            rows.append([name, *rates, f"{draws:,}"])
    return markdown(header, rows)


def _text(draws: int, seed: int, size: str, coverage: str, power: str, sections: str) -> str:
    error = 100.0 * math.sqrt(LEVEL * (1.0 - LEVEL) / draws)
    return f"""# Size and power of the tests

Simulated by `python -m embargo.research.benchmarks.size_and_power --draws {draws} --seed {seed} --write
docs/size_and_power.md`. Each cell comes from {draws:,} draws unless the last column says otherwise; the standard error
of a rate near 5 % is {error:.1f} points. Bootstraps use {RESAMPLES} resamples. Returns are daily with a true Sharpe
ratio of 0 and come from

- **i.i.d.**: independent normal returns;
- **AR(1) 0.2**: a first-order autoregression with coefficient 0.2;
- **GARCH(1,1)**: alpha 0.08, beta 0.90, normal shocks;
- **t, 4 d.f.**: independent, Student's t with four degrees of freedom;

504 or 2,520 rows of them. Where a test compares several series (two, or {STRATEGIES} against a benchmark), these are
correlated by {PAIR_CORRELATION}. Further down are harder worlds, with the standard error beside each rate.

## Size: how often a true null hypothesis is rejected at 5 %, percent

A test rejects at a p-value of 0.05 or less; a 95 % interval (two-sided) rejects where it misses the truth. A rate
outside {rate(LEVEL - REACH)} to {rate(LEVEL + REACH)} (with fewer draws: beyond three standard errors) is in italics
where the function's description warns of it, and in bold where it does not. Regimes last {REGIME_ROWS:.0f} rows on
average and have nothing to do with the returns.

{size}

## Intervals at a true annual Sharpe ratio of 1: how often 95 % miss it, percent

{coverage}

## Power: how often an edge is found, percent

By true annual Sharpe ratio, from half as many draws. The last column is what `detectable_sharpe` calls the smallest
ratio found four times out of five, for independent normal rows, or with the variance inflated by 1.5 for the
autoregression.

{power}

{sections}
"""


def power_table(found: Mapping[tuple[str, int, float], dict[str, float]], worlds: Sequence[str]) -> str:
    """Rows: test, world and length; columns: true Sharpe ratios."""
    rows = []
    for name in ("`sharpe_estimate`", "`mean_estimate`"):
        for n in LENGTHS:
            for world in worlds:
                inflation = 1.5 if world == "AR(1) 0.2" else 1.0
                smallest = detectable_sharpe(n, periods_per_year=YEAR, inflation=inflation)
                rates = [rate(found[(world, n, edge)][name]) for edge in EDGES]
                rows.append([name, world, f"{n:,}", *rates, "none" if smallest is None else f"{smallest:.2f}"])
    header = ["test", "returns", "rows", *(f"{edge:g}" for edge in EDGES), "detectable"]
    return markdown(header, rows)


def report(draws: int, *, workers: int = 1, seed: int = 0, say: Callable[[str], None] = lambda line: None) -> str:
    """Simulate everything and return the document."""
    power_worlds = ("i.i.d.", "AR(1) 0.2")
    with _workers(workers) as pool:
        size = {
            (n, world, place): pool.submit(_call, partial(size_cell, procedure, world, n, draws, seed))
            for place, procedure in enumerate(PROCEDURES)
            for n in LENGTHS
            for world in PLAIN
        }
        coverage = {
            (n, world): pool.submit(_call, partial(coverage_cell, world, n, draws, seed))
            for n in LENGTHS
            for world in PLAIN
        }
        power = {
            (world, n, edge): pool.submit(_call, partial(power_cell, world, n, max(draws // 2, 1), seed, edge))
            for world in power_worlds
            for n in LENGTHS
            for edge in EDGES
        }
        further = {
            section.title: [pool.submit(_call, partial(row, draws, seed)) for row in section.rows]
            for section in SECTIONS
        }
        sizes = {}
        for (n, world, place), future in size.items():
            sizes[(n, world, place)] = future.result()
            for name, (value, _) in sizes[(n, world, place)].items():
                say(f"{n:>5} {world:<11} {name:<45} {rate(value):>5}")
        covered = {key: future.result() for key, future in coverage.items()}
        powers = {key: future.result() for key, future in power.items()}
        tables = {}
        for title, rows_of in further.items():
            tables[title] = [future.result() for future in rows_of]
            say(f"{title}: {len(rows_of)} rows")
    names = next(iter(covered.values()))
    header = ["interval", *(f"{world}, {n:,}" for n, world in covered)]
    rows = [[name, *(judged(name, cell[name], draws) for cell in covered.values())] for name in names]
    further_text = "\n\n".join(
        f"## {section.title}\n\n{fill(section.text, 120)}\n\n{markdown(section.header, tables[section.title])}"
        for section in SECTIONS
    )
    return _text(
        draws,
        seed,
        size_table(sizes, len(PROCEDURES)),
        markdown(header, rows),
        power_table(powers, power_worlds),
        further_text,
    )


def main(arguments: list[str] | None = None) -> None:
    """Print the rates as they come, and write the document where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) // 2))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help="Markdown file to (re)write")
    asked = parser.parse_args(arguments)
    console = Console(width=140, highlight=False)
    document = report(asked.draws, workers=asked.workers, seed=asked.seed, say=console.print)
    if asked.write is None:
        console.print(document, markup=False)
    else:
        asked.write.write_text(document, encoding="utf-8")


if __name__ == "__main__":
    main()
