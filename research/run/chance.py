"""What chance would have made of a run's news: the same trading once the news has been torn from the market.

Draws are traded by the path that the run itself traded on, from decay to books, so that holding times, costs and the
market stay as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Any

import numpy as np

from embargo.backtest.books import kernel
from embargo.backtest.metrics import sharpe
from embargo.backtest.significance import (
    WAYS,
    PermutationResult,
    Rearrangement,
    Way,
    permutation_result,
    permutation_test,
    possible,
    rearrangement,
)
from embargo.research.engine.keepers import Engine, Serial
from embargo.research.progress import Advance
from embargo.research.run.fusion import Fused
from embargo.research.run.kept import Kept
from embargo.research.run.plan import Plan
from embargo.research.run.trading import Limits, Trade, market_of, signal_of
from embargo.signals.aggregation import Evidence, half_life_in_bars
from embargo.signals.rearranged import weights_pass
from embargo.signals.weights import weights_array

# Draws to a task where an engine spreads them: few enough that two processes share any test evenly.
DRAWS_PER_TASK = 50


def replay(plan: Plan, result: Trade, fused: Fused | None = None) -> Callable[[Evidence], np.ndarray]:
    """Return what trades other evidence on the same bars under the same rules: evidence to returns, shape (rows,).

    It walks the whole path from decay to the kernel's books.
    """
    return _replayed(plan, result.decision.limits, fused)


def rearranged_returns(plan: Plan, result: Trade, fused: Fused | None = None) -> Callable[[Rearrangement], np.ndarray]:
    """Return what trades a rearrangement of a run's evidence as `replay` trades it: to returns, shape (rows,).

    Weights are made in one compiled pass where the settings have one, equal to the last bit.
    """
    return _rearranged(plan, result.decision.evidence, result.decision.limits, fused)


def _replayed(plan: Plan, limits: Limits, fused: Fused | None) -> Callable[[Evidence], np.ndarray]:
    rules, booked = plan.rules, _booked(plan)
    tradable = limits.tradable.to_numpy()
    gate = None if limits.gate is None else limits.gate.to_numpy(dtype=float)

    def returns_of(evidence: Evidence) -> np.ndarray:
        signal = signal_of(plan, evidence, limits, fused)
        return booked(weights_array(signal.values, tradable, rules.weights, risk=limits.risk, gate=gate))

    return returns_of


def _rearranged(
    plan: Plan, evidence: Evidence, limits: Limits, fused: Fused | None
) -> Callable[[Rearrangement], np.ndarray]:
    rules = plan.rules
    gate = None if limits.gate is None else limits.gate.to_numpy(dtype=float)
    tradable = limits.tradable.to_numpy()
    compiled = None if fused else weights_pass(evidence, rules.signal, rules.weights, tradable=tradable, gate=gate)
    if compiled is None:
        returns_of = _replayed(plan, limits, fused)
        return lambda drawn: returns_of(evidence.rearranged(drawn.rows, drawn.columns, drawn.signs))
    booked, moved = _booked(plan), compiled
    return lambda drawn: booked(moved(drawn.rows, drawn.columns, drawn.signs))


def _booked(plan: Plan) -> Callable[[np.ndarray], np.ndarray]:
    """Return what books weights on the plan's rows: weights to returns, shape (rows,)."""
    rules, market, cash = plan.rules, market_of(plan), plan.config.portfolio.initial_cash
    return lambda weights: kernel.run(weights, market, rules.costs, rules.execution, initial_cash=cash).returns


@dataclass(frozen=True)
class Shuffling:
    """What it takes to trade rearrangements of a run's evidence, and nothing else of the run: no news.

    It is sent to other processes; what it makes of itself there stays there.
    """

    plan: Plan
    evidence: Evidence
    limits: Limits
    fused: Fused | None
    block: int

    @classmethod
    def of(cls, plan: Plan, result: Trade, fused: Fused | None) -> Shuffling:
        """Take what is needed of a run."""
        return cls(plan.without_news(), result.decision.evidence, result.decision.limits, fused, block_of(plan))

    @property
    def shape(self) -> tuple[int, int]:
        """Bars and symbols."""
        bars, symbols = self.limits.tradable.shape
        return bars, symbols

    @cached_property
    def _returns_of(self) -> Callable[[Rearrangement], np.ndarray]:
        return _rearranged(self.plan, self.evidence, self.limits, self.fused)

    def draw(self, way: Way, rng: np.random.Generator) -> Rearrangement:
        """Draw one rearrangement."""
        return rearrangement(way, self.shape, self.block, rng)

    def sharpe_of(self, drawn: Rearrangement) -> float:
        """Return the annual Sharpe ratio that a rearrangement earns; 0 where it has none."""
        value = sharpe(self._returns_of(drawn), periods_per_year=self.plan.world.periods_per_year)
        return 0.0 if value is None else value

    def __getstate__(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True)
class _Draws:
    """So many draws of a way, from where its generator stands."""

    way: Way
    generator: np.random.Generator
    number: int


def _sharpes(shuffling: Shuffling, draws: _Draws) -> np.ndarray:
    generator = deepcopy(draws.generator)  # a task may be carried out again
    found = (shuffling.sharpe_of(shuffling.draw(draws.way, generator)) for _ in range(draws.number))
    return np.fromiter(found, dtype=float, count=draws.number)


def shuffle_news(
    plan: Plan,
    result: Trade,
    progress: Advance,
    fused: Fused | None = None,
    ways: Sequence[Way] = WAYS,
    engine: Engine | None = None,
    kept: Kept | None = None,
) -> dict[Way, PermutationResult]:
    """Break the link between news and market in the ways the panel allows, and ask how often chance does as well.

    Each draw moves what the articles said to other bars or symbols, or turns it round, then is traded as by `replay`.
    What the same evidence earned on the same market by the same rules is looked up where results are ``kept``.

    Parameters
    ----------
    plan : Plan
    result : Trade
    progress : callable
        Called with (done, total).
    fused : Fused, optional
    ways : sequence of {'dates', 'shift', 'symbols', 'signs'}
    engine : Engine, optional
        Where draws are traded; by default here. It moves no bit.
    kept : Kept, optional
        Where results are kept by content.

    Returns
    -------
    dict of way to PermutationResult
        Of the annual Sharpe ratio; ``"dates"`` is always possible. See `embargo.backtest.significance.rearrangement`.
    """
    shuffling = Shuffling.of(plan, result, fused)
    bars, symbols = shuffling.shape
    block, number = shuffling.block, plan.config.statistics.permutations
    ways = [way for way in ways if possible(way, (bars, symbols), block)]
    observed = shuffling.sharpe_of(Rearrangement(np.arange(bars), np.arange(symbols)))

    def test(before: int, way: Way) -> PermutationResult:
        def advance(done: int, _: int) -> None:
            progress(before * number + done, len(ways) * number)

        # Not the seed alone, which [seed, 0] would be: random timing draws its blocks from that.
        generator = np.random.default_rng([plan.config.seed, 1 + WAYS.index(way)])
        if engine is not None and not isinstance(engine, Serial):
            null = _shuffled_elsewhere(shuffling, way, generator, number, engine, advance)
            return permutation_result(null, observed=observed, block=block)
        return permutation_test(
            shuffling.sharpe_of,
            partial(shuffling.draw, way),
            observed=observed,
            block=block,
            n_permutations=number,
            seed=generator,
            progress=advance,
        )

    if kept is None or fused is not None:
        return {way: test(before, way) for before, way in enumerate(ways)}
    # All that `rearranged_returns` trades by, and what is drawn.
    limits, cash = result.decision.limits, plan.config.portfolio.initial_cash
    traded_by = [result.decision.evidence, limits, plan.rules, market_of(plan), cash]
    drawn = [observed, (bars, symbols), block, number, plan.config.seed, plan.world.periods_per_year]
    return {
        way: kept.of("shuffle_news", [way, *drawn, *traded_by], partial(test, before, way), PermutationResult)
        for before, way in enumerate(ways)
    }


def _shuffled_elsewhere(
    shuffling: Shuffling,
    way: Way,
    generator: np.random.Generator,
    number: int,
    engine: Engine,
    advance: Advance,
) -> np.ndarray:
    """Return the Sharpe ratios of so many draws, shape (number,), in blocks carried out by an engine."""
    tasks = []
    for start in range(0, number, DRAWS_PER_TASK):
        own = _Draws(way, deepcopy(generator), min(DRAWS_PER_TASK, number - start))
        tasks.append(own)
        # To draw is cheap beside trading what was drawn, and takes the generator to where the next block starts.
        for _ in range(own.number):
            shuffling.draw(way, generator)

    def progress(done: int, _: int) -> None:
        advance(min(done * DRAWS_PER_TASK, number), number)

    return np.concatenate(engine.map(_sharpes, tasks, shuffling, progress=progress))


def block_of(plan: Plan) -> int:
    """Length of the blocks in which the news of a run is shuffled: ``statistics.block``, or `default_block`."""
    half_life = half_life_in_bars(plan.rules.signal.aggregation, plan.decided_at)
    return plan.config.statistics.block or default_block(len(plan.decided_at), half_life)


def default_block(bars: int, half_life: float) -> int:
    """Length of the blocks in which news is shuffled: four half-lives of the signal, or the cube root of the sample.

    Whichever is longer, so that what a signal remembers stays inside a block; never more than a tenth of the sample.
    """
    return max(1, min(bars // 10, int(np.ceil(max(5.0, bars ** (1 / 3), 4.0 * half_life)))))
