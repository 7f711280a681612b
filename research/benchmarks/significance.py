"""Time the tests against chance and attempts beside their peers.

Run by ``python -m embargo.research.benchmarks.significance``. Every row computes the same thing in both ways on the
same input and says whether the results agree. Seconds depend on the machine; the ratios are what to watch. The naive
form of the cross-validation is timed on some splits and scaled.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.table import Table

from embargo.backtest.metrics import sharpe
from embargo.backtest.significance import PermutationResult, Way
from embargo.backtest.significance.attempts import StepwiseSharpe, stepwise_sharpe
from embargo.backtest.significance.confidence_set import model_confidence_set
from embargo.backtest.significance.overfitting import probability_of_overfitting
from embargo.backtest.significance.resampling import bootstrap_sharpe
from embargo.backtest.significance.superior import stepwise_superior, superior_ability
from embargo.research.benchmarks.backtest import best_seconds
from embargo.research.config.experiment import load_config
from embargo.research.examples.shipped import example
from embargo.research.progress import Quiet
from embargo.research.run.chance import shuffle_news
from embargo.research.run.preparation import prepare
from embargo.research.run.reading import read
from embargo.research.run.trading import Trade, trade

BLOCK = 10
RUNS = 5
NAIVE_SPLITS = 60
MB = 2**20


@dataclass(frozen=True)
class Sizes:
    """How much work the rows do."""

    bars: int = 2520
    resamples: int = 1000
    strategies: int = 1000
    bootstrap: int = 10_000
    models: int = 100
    blocks: int = 16
    symbols: int = 88
    permutations: int = 1000
    until: str = "2020-01-01"


QUICK = Sizes(80, 120, 12, 200, 6, 6, symbols=4, permutations=100, until="2018-07-01")


@dataclass(frozen=True)
class Row:
    """One computation in two ways.

    Attributes
    ----------
    what, peer, agreement : str
    seconds, peer_seconds : float
    memory : float
        Most bytes that ours had allocated beside its input.
    goal : float or None
        Times faster than the peer.
    """

    what: str
    seconds: float
    memory: float
    peer: str
    peer_seconds: float
    agreement: str
    goal: float | None = None


def strategies(bars: int, number: int, good: int = 0, seed: int = 0) -> np.ndarray:
    """Make returns of strategies with a common factor, of very different volatility; most are bad, ``good`` are not."""
    rng = np.random.default_rng(seed)
    noise = 0.5 * rng.standard_normal((bars, 1)) + rng.standard_normal((bars, number))
    edge = rng.normal(-0.02, 0.025, number)
    edge[:good] = 5.0 / np.sqrt(bars)
    return (noise + edge) * rng.uniform(0.003, 0.02, number)


def seconds_of(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def cpu_seconds_of(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def memory_of(work: Callable[[], object]) -> float:
    """Most bytes allocated at once during a call."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return float(peak)


def rows_of_arch(bars: int, resamples: int, seed: int) -> np.ndarray:
    """Row numbers of the resamples that arch draws with a seed."""
    from arch.bootstrap import StationaryBootstrap

    drawn = StationaryBootstrap(BLOCK, np.arange(bars), seed=seed).bootstrap(resamples)
    return np.array([position[0] for position, _ in drawn])


def bootstrap_row(sizes: Sizes) -> Row:
    """Sharpe ratios of resamples; ours come with the standard error of each, arch's without."""
    from arch.bootstrap import CircularBlockBootstrap

    returns = strategies(sizes.bars, 1)[:, 0]

    def ours() -> tuple[np.ndarray, np.ndarray]:
        return bootstrap_sharpe(returns, block=BLOCK, n_boot=sizes.bootstrap, seed=1)

    def theirs() -> np.ndarray:
        peer = CircularBlockBootstrap(BLOCK, returns, seed=1)
        return np.asarray(peer.apply(lambda values: values.mean() / values.std(), sizes.bootstrap))[:, 0]

    mine, other = ours()[0], theirs()
    return Row(
        what=f"Sharpe ratio, block bootstrap: {sizes.bootstrap:,} × {sizes.bars:,}",
        seconds=best_seconds(ours, RUNS),
        memory=memory_of(ours),
        peer="arch",
        peer_seconds=best_seconds(theirs, 2),
        agreement=f"standard error {np.nanstd(mine):.4f} and {other.std():.4f} (other draws)",
        goal=10.0,
    )


def superior_row(sizes: Sizes) -> Row:
    """Hansen's test; studentised, which arch's is not, so equality is shown without."""
    from arch.bootstrap import SPA

    excess = strategies(sizes.bars, sizes.strategies)

    def ours() -> object:
        return superior_ability(excess, n_boot=sizes.resamples, block=BLOCK, seed=1)

    peer = SPA(np.zeros(sizes.bars), -excess, block_size=BLOCK, reps=sizes.resamples, seed=1)
    theirs = seconds_of(peer.compute)
    same = superior_ability(
        excess,
        studentize=False,
        prewhiten=False,
        block=BLOCK,
        seed=0,
        resamples=rows_of_arch(sizes.bars, sizes.resamples, seed=1),
    )
    mine = [round(p * (1 + sizes.resamples)) - 1 for p in (same.p_lower, same.p_value, same.p_upper)]
    other = [round(p * sizes.resamples) for p in peer.pvalues[["lower", "consistent", "upper"]]]
    ours()
    return Row(
        what=f"SPA: {sizes.strategies:,} strategies × {sizes.bars:,} × {sizes.resamples:,}",
        seconds=best_seconds(ours, RUNS),
        memory=memory_of(ours),
        peer="arch",
        peer_seconds=theirs,
        agreement=verdict(mine == other, f"lower, consistent, upper: {mine} of {sizes.resamples} exceed"),
        goal=15.0,
    )


def stepwise_row(sizes: Sizes) -> Row:
    """Romano and Wolf's search on columns of one standard error, where arch does what it says."""
    from arch.bootstrap import StepM

    from embargo.backtest.significance.panels import bootstrap_variance

    excess = strategies(sizes.bars, sizes.strategies, good=sizes.strategies // 4)
    excess /= np.sqrt(bootstrap_variance(excess - excess.mean(axis=0), BLOCK))

    def ours() -> object:
        return stepwise_superior(excess, n_boot=sizes.resamples, block=BLOCK, seed=1)

    peer = StepM(np.zeros(sizes.bars), -excess, block_size=BLOCK, reps=sizes.resamples, seed=1)
    theirs = seconds_of(peer.compute)
    drawn = rows_of_arch(sizes.bars, sizes.resamples, seed=1)
    same = stepwise_superior(excess, prewhiten=False, block=BLOCK, seed=0, resamples=drawn)
    # Our p-values count the sample itself, which is one resample stricter than arch's cut.
    found = np.flatnonzero(same.p_values * (1 + sizes.resamples) - 1 <= same.level * sizes.resamples + 1e-9)
    ours()
    return Row(
        what=f"StepM: {sizes.strategies:,} strategies × {sizes.bars:,} × {sizes.resamples:,}",
        seconds=best_seconds(ours, RUNS),
        memory=memory_of(ours),
        peer="arch",
        peer_seconds=theirs,
        agreement=verdict(
            [int(column) for column in found] == [int(str(column)) for column in peer.superior_models],
            f"{len(found)} superior",
        ),
    )


def attempts_row(sizes: Sizes) -> Row:
    """P-values that the verdict rests on, against arch's search among means, whose resamples are not studentised.

    Both in seconds of the processor, with as many resamples as a run draws. On columns of one standard error a ratio
    and a mean are nearly the same question, so nearly the same attempts must be found.
    """
    from arch.bootstrap import StepM

    n_boot = 2 * sizes.resamples
    returns = strategies(sizes.bars, sizes.strategies, good=max(1, sizes.strategies // 100))
    returns /= returns.std(axis=0)

    def ours() -> StepwiseSharpe:
        return stepwise_sharpe(returns, n_boot=n_boot, seed=1)

    found = ours()
    peer = StepM(np.zeros(sizes.bars), -returns, block_size=found.block_length, reps=n_boot, seed=1)
    theirs = cpu_seconds_of(peer.compute)
    mine = set(np.flatnonzero(found.p_values <= peer.size).tolist())
    other = {int(str(column)) for column in peer.superior_models}
    return Row(
        what=f"Adjusted p-values: {sizes.strategies:,} attempts × {sizes.bars:,} × {n_boot:,} (CPU)",
        seconds=min(cpu_seconds_of(ours) for _ in range(RUNS)),
        memory=memory_of(ours),
        peer="arch's StepM (CPU)",
        peer_seconds=theirs,
        agreement=f"{len(mine)} and {len(other)} found, {len(mine & other)} by both (other draws)",
        goal=20.0,
    )


def confidence_set_row(sizes: Sizes) -> Row:
    """Hansen, Lunde and Nason's set by the range statistic."""
    from arch.bootstrap import MCS

    losses = -strategies(sizes.bars, sizes.models)

    def ours() -> object:
        return model_confidence_set(losses, n_boot=sizes.resamples, block=BLOCK, seed=1)

    peer = MCS(losses, 0.05, reps=sizes.resamples, block_size=BLOCK, method="R", seed=1)
    theirs = seconds_of(peer.compute)
    same = model_confidence_set(
        losses, block=BLOCK, seed=0, resamples=rows_of_arch(sizes.bars, sizes.resamples, seed=1)
    )
    mine = np.round(same.p_values[same.eliminated[:-1]] * (1 + sizes.resamples)) - 1
    other = np.round(peer.pvalues["Pvalue"].to_numpy()[:-1] * sizes.resamples)
    equal = list(same.eliminated) == list(peer.pvalues.index) and bool((mine == other).all())
    ours()
    return Row(
        what=f"Model confidence set: {sizes.models:,} models × {sizes.bars:,} × {sizes.resamples:,}",
        seconds=best_seconds(ours, RUNS),
        memory=memory_of(ours),
        peer="arch",
        peer_seconds=theirs,
        agreement=verdict(equal, f"order and p-values, {int(same.included.sum())} left in the set"),
    )


def naive_splits(returns: np.ndarray, blocks: int, most: int) -> tuple[np.ndarray, int]:
    """Out-of-sample Sharpe ratio of the strategy chosen, split by split from slices; and how many splits there are."""
    parts = np.array_split(np.arange(len(returns)), blocks)
    splits = list(combinations(range(blocks), blocks // 2))
    chosen = []
    for picked in splits[:most]:
        inside = returns[np.concatenate([parts[place] for place in picked])]
        outside = returns[np.concatenate([part for place, part in enumerate(parts) if place not in picked])]
        first, second = (half.mean(axis=0) / half.std(axis=0, ddof=1) for half in (inside, outside))
        chosen.append(second[first.argmax()])
        # The rank of the chosen one, as it is usually taken.
        second.argsort(kind="stable").argsort(kind="stable")
    return np.array(chosen), len(splits)


def overfitting_row(sizes: Sizes) -> Row:
    """Combinatorially symmetric cross-validation against slices of returns."""
    returns = strategies(sizes.bars, sizes.strategies)

    def ours() -> object:
        return probability_of_overfitting(returns, blocks=sizes.blocks)

    start = time.perf_counter()
    expected, splits = naive_splits(returns, sizes.blocks, NAIVE_SPLITS)
    theirs = (time.perf_counter() - start) / len(expected) * splits
    # The first half of our splits are those with the first block, in the same order.
    found = probability_of_overfitting(returns, blocks=sizes.blocks).chosen_out[: len(expected)]
    apart = float(np.abs(found[: splits // 2] - expected[: splits // 2]).max())
    return Row(
        what=f"PBO: {sizes.strategies:,} strategies × {sizes.bars:,}, {splits:,} splits",
        seconds=best_seconds(ours, RUNS),
        memory=memory_of(ours),
        peer=f"slices, scaled from {len(expected)} splits",
        peer_seconds=theirs,
        agreement=verdict(apart < 1e-9, f"Sharpe ratios of the chosen, at most {apart:.0e} apart"),
        goal=100.0,
    )


def permutation_row(sizes: Sizes) -> Row:
    """News permutations, each from evidence to equity as a run does it, against vectorbt's books for each."""
    with example("demo") as path, TemporaryDirectory() as cache:
        market = [f"news.simulated.symbols={sizes.symbols}", f"split.end={sizes.until}", "model.kind=lexicon"]
        config = load_config(path, [*market, f"statistics.permutations={sizes.permutations}"])
        plan = prepare(config, Quiet())
        scored = read(plan, plan.parts, Path(cache), Quiet()).scored
    result = trade(plan, scored)

    def ours() -> dict[Way, PermutationResult]:
        return shuffle_news(plan, result, lambda done, total: None, ways=["dates"])

    def theirs() -> Trade:
        return trade(plan, scored)

    observed = sharpe(theirs().books.returns, periods_per_year=plan.world.periods_per_year)
    apart = abs(ours()["dates"].observed - (observed or 0.0))
    bars = plan.rows.stop - plan.rows.start
    return Row(
        what=f"{sizes.permutations:,} news permutations: {sizes.symbols} × {bars:,}, evidence to equity",
        seconds=best_seconds(ours, 2),
        memory=memory_of(ours),
        peer="vectorbt's books for each, scaled from 1",
        peer_seconds=best_seconds(theirs, 2) * sizes.permutations,
        agreement=verdict(apart < 1e-9, f"observed Sharpe ratio, {apart:.0e} apart"),
    )


def verdict(equal: bool, what: str) -> str:
    return f"equal ({what})" if equal else f"DIFFERENT ({what})"


ROWS = (bootstrap_row, superior_row, stepwise_row, attempts_row, confidence_set_row, overfitting_row, permutation_row)


def table_of(rows: list[Row]) -> Table:
    table = Table("what", "seconds", "working MB", "peer", "its seconds", "times faster", "goal", "agreement")
    for row in rows:
        table.add_row(
            row.what,
            f"{row.seconds:.3f}",
            f"{row.memory / MB:.0f}",
            row.peer,
            f"{row.peer_seconds:.2f}",
            f"{row.peer_seconds / row.seconds:.0f}",
            "" if row.goal is None else f"{row.goal:.0f}",
            row.agreement,
        )
    return table


def main(arguments: list[str] | None = None) -> None:
    """Print the table; ``--quick`` is tiny."""
    import argparse

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args(arguments)
    sizes = QUICK if asked.quick else Sizes()
    Console(width=180).print(table_of([row(sizes) for row in ROWS]))


if __name__ == "__main__":
    main()
