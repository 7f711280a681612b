"""Time the hot paths of a run against a peer, in one process: ``python -m embargo.research.benchmarks.spine``.

Absolute seconds depend on the machine; the ratios are what to watch.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from arch.bootstrap import StationaryBootstrap
from rich.console import Console
from rich.table import Table

from embargo.backtest.books.costs import Costs
from embargo.backtest.books.simulation import holding_returns, net_returns, simulate
from embargo.backtest.metrics import sharpe
from embargo.backtest.significance import sharpe_estimate
from embargo.signals.aggregation import AggregationSettings, collect, decay
from embargo.signals.alignment import align
from embargo.signals.weights import WeightSettings, weights_array

RUNS = 5
DAYS = 252.0


def seconds(work: Callable[[], object], runs: int = RUNS) -> float:
    """Median wall time of a call, after one call that warms it up."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def alignment(rng: np.random.Generator) -> tuple[str, float, str, float]:
    decided_at = pd.date_range("2012-01-02 14:25", periods=2520, freq="D", tz="UTC", unit="us")
    symbols = [f"S{number:03d}" for number in range(500)]
    instants = decided_at[0] + pd.to_timedelta(np.sort(rng.uniform(0, 2500 * 86400, 1_000_000)), unit="s")
    known_at = pd.Series(pd.DatetimeIndex(instants).as_unit("us"))
    symbol = pd.Series(rng.integers(0, 500, len(known_at))).map(dict(enumerate(symbols)))
    grid = pd.MultiIndex.from_product([decided_at, symbols], names=["decided_at", "symbol"])
    bars = grid.to_frame(index=False)
    bars["row"] = np.repeat(np.arange(len(decided_at)), len(symbols))
    news = pd.DataFrame({"known_at": known_at, "symbol": symbol})

    def peer() -> object:
        return pd.merge_asof(news, bars, left_on="known_at", right_on="decided_at", by="symbol", direction="forward")

    ours = seconds(lambda: align(known_at, symbol, decided_at, symbols))
    return "align 1,000,000 articles to bars and symbols", ours, "pandas merge_asof", seconds(peer, runs=3)


def bootstrap(rng: np.random.Generator) -> tuple[str, float, str, float]:
    returns = rng.normal(0.0005, 0.01, 2520)
    ours = seconds(lambda: sharpe_estimate(returns, periods_per_year=DAYS, n_boot=2000, block=5.0, seed=0), runs=3)

    def peer() -> object:
        return StationaryBootstrap(5, returns, seed=0).apply(lambda sample: sample.mean() / sample.std(ddof=1), 2000)

    return "studentised Sharpe interval, 2,000 × 2,520", ours, "arch, plain Sharpe only", seconds(peer, runs=3)


def books(rng: np.random.Generator) -> list[tuple[str, float, str, float]]:
    bars, symbols, costs = 504, 88, Costs()
    index = pd.date_range("2014-01-02 14:30", periods=bars, freq="D", tz="UTC", unit="us")
    columns = [f"S{number:02d}" for number in range(symbols)]
    close = pd.DataFrame(100 * np.exp(np.cumsum(rng.normal(0, 0.01, (bars, symbols)), axis=0)), index, columns)
    opens = close.shift(1).fillna(100.0)
    settings, weighting = AggregationSettings(), WeightSettings()
    articles = 20_000
    evidence = collect(
        rng.integers(0, bars, articles),
        rng.integers(0, symbols, articles),
        rng.uniform(-1, 1, articles),
        rng.uniform(0.5, 1, articles),
        shape=(bars, symbols),
        settings=settings,
    )
    tradable, columns_kept = np.ones((bars, symbols), dtype=bool), np.arange(symbols)
    returns = holding_returns(opens, close).to_numpy()

    def one_permutation() -> object:
        weights = weights_array(
            decay(evidence.rearranged(rng.permutation(bars), columns_kept), settings), tradable, weighting
        )
        return sharpe(net_returns(weights, returns, costs, tradable=tradable), periods_per_year=DAYS)

    weights = pd.DataFrame(weights_array(decay(evidence, settings), tradable, weighting), index, columns)
    vectorbt = seconds(lambda: simulate(weights, opens, close, open_at=index, costs=costs), runs=3)
    first_order = seconds(lambda: net_returns(weights.to_numpy(), returns, costs, tradable=tradable))
    return [
        ("first-order net returns, 88 × 504", first_order, "vectorbt books", vectorbt),
        ("one news permutation, evidence to Sharpe, 88 × 504", seconds(one_permutation), "vectorbt books", vectorbt),
    ]


def main() -> None:
    rng = np.random.default_rng(0)
    table = Table("what", "seconds", "peer", "seconds ", "times faster")
    for what, ours, peer, theirs in (alignment(rng), bootstrap(rng), *books(rng)):
        table.add_row(what, f"{ours:.4f}", peer, f"{theirs:.4f}", f"{theirs / ours:.1f}")
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
