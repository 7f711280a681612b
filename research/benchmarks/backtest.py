"""Time the account kernel against a copy of its panel and against vectorbt.

Run by ``python -m embargo.research.benchmarks.backtest``. Each size runs in its own process, whose peak memory above
the inputs is shown. Seconds depend on the machine; the ratios are what to watch. vectorbt's sweep is timed on a tenth
of the settings and scaled, unless ``--full`` is given.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from embargo.backtest.books.costs import Costs
from embargo.backtest.books.kernel import Decisions, Market, SweptAccounts, decision_weights, run, sweep
from embargo.backtest.books.simulation import Books, simulate

SIZES = ((1, 2520), (88, 504), (500, 2520))
LARGE = (3000, 2520)
SIMULATED = ((88, 504), (500, 2520), (50, 43_800))
SWEEP = (88, 504, 1000)
QUICK_SIZES, QUICK_SWEEP = ((5, 60),), (5, 60, 10)
VECTORBT_CHUNK = 100
COSTS = Costs()
MB = 2**20


def best_seconds(work: Callable[[], object], runs: int = 7) -> float:
    """Shortest wall time of some calls: the least disturbed one."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def best_cpu_seconds(work: Callable[[], object], runs: int = 5) -> float:
    """Least time of the processor of some calls, which other work on the machine disturbs less."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def peak_bytes() -> int:
    """Most memory this process has ever held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def market(symbols: int, bars: int, seed: int = 0) -> tuple[np.ndarray, Market]:
    """Weights of gross 1 and prices without gaps."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, (bars, symbols)), axis=0))
    weights = rng.normal(size=(bars, symbols))
    weights /= np.abs(weights).sum(axis=1, keepdims=True)
    return weights, Market(close * np.exp(rng.normal(0.0, 0.003, close.shape)), close, np.full(bars, 1.0 / 252.0))


def vectorbt_own(weights: np.ndarray, prices: Market, groups: int = 1) -> np.ndarray:
    """Value of the accounts when vectorbt sizes the orders itself; ``groups`` accounts stand side by side."""
    import vectorbt

    value = np.vstack([prices.fill[1:], prices.close[-1:]])
    portfolio = vectorbt.Portfolio.from_orders(
        close=pd.DataFrame(np.tile(value, groups)),
        size=weights,
        size_type="targetpercent",
        price=np.tile(prices.fill, groups),
        val_price=np.tile(prices.fill, groups),
        fees=COSTS.fee,
        slippage=COSTS.slippage,
        init_cash=1e6,
        group_by=np.repeat(np.arange(groups), prices.fill.shape[1]),
        cash_sharing=True,
        call_seq="auto",
        freq="1D",
    )
    return np.asarray(portfolio.value(), dtype=float)


def kernel_row(symbols: int, bars: int) -> dict[str, float]:
    """Time the kernel and the copy of one panel; memory above the inputs, in panels."""
    weights, prices = market(symbols, bars)
    run(*market(2, 3), COSTS)
    before = peak_bytes()
    seconds = best_seconds(lambda: run(weights, prices, COSTS))
    memory = peak_bytes() - before
    copy = best_seconds(weights.copy)
    return {"kernel": seconds, "copy": copy, "memory": memory, "panel": weights.nbytes}


def vectorbt_row(symbols: int, bars: int) -> dict[str, float]:
    """Time vectorbt's own path after one small call that loads it."""
    weights, prices = market(symbols, bars)
    vectorbt_own(*market(2, 3))
    before = peak_bytes()
    seconds = best_seconds(lambda: vectorbt_own(weights, prices), runs=1 if symbols > 1000 else 3)
    return {"vectorbt": seconds, "memory": peak_bytes() - before}


def _decisions(symbols: int, bars: int, settings: int) -> Decisions:
    rng = np.random.default_rng(1)
    denominator = rng.random((bars, symbols)) * (rng.random((bars, symbols)) < 0.4)
    return Decisions(
        denominator * rng.uniform(-1.0, 1.0, denominator.shape),
        denominator,
        None,
        np.zeros(settings, dtype=np.int64),
        half_life=rng.uniform(0.5, 10.0, settings),
        shrinkage=rng.uniform(0.0, 2.0, settings),
        cap=rng.uniform(0.02, 0.2, settings),
        min_signal=rng.uniform(0.0, 0.2, settings),
    )


def sweep_row(symbols: int, bars: int, settings: int) -> dict[str, float]:
    """Time the fused sweep, evidence to returns."""
    _, prices = market(symbols, bars)
    decisions = _decisions(symbols, bars, settings)

    def all_settings() -> SweptAccounts:
        return sweep(decisions, prices, COSTS)

    sweep(_decisions(2, 3, 1), market(2, 3)[1], COSTS)
    seconds = best_seconds(all_settings, runs=3)
    return {"kernel": seconds, "memory": peak_bytes()}


def vectorbt_sweep_row(symbols: int, bars: int, settings: int) -> dict[str, float]:
    """Time vectorbt's broadcast over ready-made weights, in chunks."""
    _, prices = market(symbols, bars)
    decisions = _decisions(symbols, bars, settings)
    chunks = []
    for start in range(0, settings, VECTORBT_CHUNK):
        part = slice(start, start + VECTORBT_CHUNK)
        knobs = {name: np.asarray(getattr(decisions, name))[part] for name in ("half_life", "shrinkage", "cap")}
        chosen = replace(decisions, evidence=decisions.evidence[part], min_signal=0.02, **knobs)
        chunks.append(np.hstack(list(decision_weights(chosen))))
    vectorbt_own(*market(2, 3))

    def all_chunks() -> None:
        for chunk in chunks:
            vectorbt_own(chunk, prices, chunk.shape[1] // symbols)

    return {"vectorbt": best_seconds(all_chunks, runs=1), "memory": peak_bytes()}


def overhead_row(symbols: int, bars: int) -> dict[str, float]:
    """Time one run with its books against the kernel alone."""
    weights, prices = market(symbols, bars)
    index = pd.date_range("2014-01-02 14:30", periods=bars, freq="D", tz="UTC", unit="us")
    frames = [pd.DataFrame(panel, index) for panel in (weights, prices.fill, prices.close)]
    seconds = {}
    for engine in ("vectorbt", "kernel"):

        def books(engine: Any = engine) -> object:
            return simulate(*frames, open_at=index, costs=COSTS, engine=engine)

        books()
        seconds[engine] = best_seconds(books, runs=3)
    return seconds | {"alone": best_seconds(lambda: run(weights, prices, COSTS))}


def simulated_row(symbols: int, bars: int) -> dict[str, float]:
    """Time one run from frames to returns, one with all of its books, and vectorbt from arrays to its value."""
    weights, prices = market(symbols, bars)
    index = pd.date_range("2014-01-02 14:30", periods=bars, freq="h", tz="UTC", unit="us")
    frames = [pd.DataFrame(panel, index) for panel in (weights, prices.fill, prices.close)]

    def returns() -> Books:
        return simulate(*frames, open_at=index, costs=COSTS, engine="kernel")

    def everything() -> object:
        books = returns()
        return [getattr(books, each.name) for each in fields(books)]

    everything()
    vectorbt_own(*market(2, 3))
    return {
        "returns": best_cpu_seconds(returns),
        "everything": best_cpu_seconds(everything, runs=2),
        "vectorbt": best_cpu_seconds(lambda: vectorbt_own(weights, prices), runs=3),
    }


def in_process(work: Callable[..., dict[str, float]], *arguments: int, apart: bool = True) -> dict[str, float]:
    """Call ``work`` in a fresh process, so that its peak memory is its own."""
    if not apart:
        return work(*arguments)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def sizes_table(sizes: tuple[tuple[int, int], ...], apart: bool) -> Table:
    columns = ("symbols × bars", "copy ms", "kernel ms", "× copy", "memory / panel", "vectorbt s", "times faster", "MB")
    table = Table(*columns, title="one account")
    for symbols, bars in sizes:
        ours = in_process(kernel_row, symbols, bars, apart=apart)
        theirs = in_process(vectorbt_row, symbols, bars, apart=apart)
        table.add_row(
            f"{symbols:,} × {bars:,}",
            f"{ours['copy'] * 1e3:.3f}",
            f"{ours['kernel'] * 1e3:.3f}",
            f"{ours['kernel'] / ours['copy']:.1f}",
            f"{ours['memory'] / ours['panel']:.2f}",
            f"{theirs['vectorbt']:.3f}",
            f"{theirs['vectorbt'] / ours['kernel']:.0f}",
            f"{theirs['memory'] / MB:.0f}",
        )
    return table


def sweep_table(symbols: int, bars: int, settings: int, *, full: bool, apart: bool) -> Table:
    sample = settings if full else max(1, settings // 10)
    ours = in_process(sweep_row, symbols, bars, settings, apart=apart)
    theirs = in_process(vectorbt_sweep_row, symbols, bars, sample, apart=apart)
    scaled = theirs["vectorbt"] * settings / sample
    note = "all settings" if full else f"{sample} settings, scaled"
    table = Table("what", "seconds", "peak MB", title=f"{settings:,} settings on {symbols} × {bars}")
    table.add_row("kernel, evidence to returns", f"{ours['kernel']:.3f}", f"{ours['memory'] / MB:.0f}")
    table.add_row(f"vectorbt from ready weights ({note})", f"{scaled:.1f}", f"{theirs['memory'] / MB:.0f}")
    table.add_row("times faster", f"{scaled / ours['kernel']:.0f}", "")
    return table


def overhead_table(symbols: int, bars: int, apart: bool) -> Table:
    found = in_process(overhead_row, symbols, bars, apart=apart)
    table = Table("books kept by", "seconds", "over the kernel alone", title=f"one run, {symbols} × {bars}")
    for engine in ("vectorbt", "kernel"):
        table.add_row(engine, f"{found[engine]:.4f}", f"{found[engine] - found['alone']:.4f}")
    return table


def simulated_table(sizes: tuple[tuple[int, int], ...], apart: bool) -> Table:
    columns = (
        "symbols × bars",
        "vectorbt CPU ms",
        "returns CPU ms",
        "times faster",
        "all books CPU ms",
        "times faster",
    )
    table = Table(*columns, title="one run through simulate, books kept by the kernel")
    for symbols, bars in sizes:
        found = in_process(simulated_row, symbols, bars, apart=apart)
        ours = [(found[name] * 1e3, found["vectorbt"] / found[name]) for name in ("returns", "everything")]
        cells = [f"{value:.1f}" for pair in ours for value in pair]
        table.add_row(f"{symbols:,} × {bars:,}", f"{found['vectorbt'] * 1e3:.1f}", *cells)
    return table


def main(arguments: list[str] | None = None) -> None:
    """Print the tables; ``--large`` adds 3,000 symbols, ``--full`` times all of vectorbt, ``--quick`` is tiny."""
    import argparse

    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("large", "full", "quick"):
        parser.add_argument(f"--{name}", action="store_true")
    asked = parser.parse_args(arguments)
    sizes = QUICK_SIZES if asked.quick else (*SIZES, LARGE) if asked.large else SIZES
    swept = QUICK_SWEEP if asked.quick else SWEEP
    console = Console(width=140)
    apart = not asked.quick
    console.print(sizes_table(sizes, apart))
    console.print(sweep_table(*swept, full=asked.full, apart=apart))
    console.print(simulated_table(sizes if asked.quick else SIMULATED, apart))
    console.print(overhead_table(*(sizes[0] if asked.quick else (88, 504)), apart))


if __name__ == "__main__":
    main()
