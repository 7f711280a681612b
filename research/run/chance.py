"""What chance would have made of a run's news: the same trading once the news has been torn from the market.

Draws are traded by the path that the run itself traded on, from decay to books, so that holding times, costs and the
market stay as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from embargo.backtest.books import kernel
from embargo.backtest.metrics import sharpe
from embargo.backtest.significance import (
    WAYS,
    PermutationResult,
    Rearrangement,
    Way,
    permutation_test,
    possible,
    rearrangement,
)
from embargo.research.progress import Advance
from embargo.research.run.fusion import Fused
from embargo.research.run.kept import Kept
from embargo.research.run.plan import Plan
from embargo.research.run.trading import Trade, market_of, signal_of
from embargo.signals.aggregation import Evidence, half_life_in_bars
from embargo.signals.rearranged import weights_pass
from embargo.signals.weights import weights_array


def replay(plan: Plan, result: Trade, fused: Fused | None = None) -> Callable[[Evidence], np.ndarray]:
    """Return what trades other evidence on the same bars under the same rules: evidence to returns, shape (rows,).

    It walks the whole path from decay to the kernel's books.
    """
    rules, limits, booked = plan.rules, result.decision.limits, _booked(plan)
    tradable = limits.tradable.to_numpy()
    gate = None if limits.gate is None else limits.gate.to_numpy(dtype=float)

    def returns_of(evidence: Evidence) -> np.ndarray:
        signal = signal_of(plan, evidence, limits, fused)
        return booked(weights_array(signal.values, tradable, rules.weights, risk=limits.risk, gate=gate))

    return returns_of


def rearranged_returns(plan: Plan, result: Trade, fused: Fused | None = None) -> Callable[[Rearrangement], np.ndarray]:
    """Return what trades a rearrangement of a run's evidence as `replay` trades it: to returns, shape (rows,).

    Weights are made in one compiled pass where the settings have one, equal to the last bit.
    """
    evidence, rules, limits = result.decision.evidence, plan.rules, result.decision.limits
    gate = None if limits.gate is None else limits.gate.to_numpy(dtype=float)
    tradable = limits.tradable.to_numpy()
    compiled = None if fused else weights_pass(evidence, rules.signal, rules.weights, tradable=tradable, gate=gate)
    if compiled is None:
        returns_of = replay(plan, result, fused)
        return lambda drawn: returns_of(evidence.rearranged(drawn.rows, drawn.columns, drawn.signs))
    booked, moved = _booked(plan), compiled
    return lambda drawn: booked(moved(drawn.rows, drawn.columns, drawn.signs))


def _booked(plan: Plan) -> Callable[[np.ndarray], np.ndarray]:
    """Return what books weights on the plan's rows: weights to returns, shape (rows,)."""
    rules, market, cash = plan.rules, market_of(plan), plan.config.portfolio.initial_cash
    return lambda weights: kernel.run(weights, market, rules.costs, rules.execution, initial_cash=cash).returns


def shuffle_news(
    plan: Plan,
    result: Trade,
    progress: Advance,
    fused: Fused | None = None,
    ways: Sequence[Way] = WAYS,
    kept: Kept | None = None,
) -> dict[Way, PermutationResult]:
    """Break the link between news and market in the ways the panel allows, and ask how often chance does as well.

    Each draw moves what the articles said to other bars or symbols, or turns it round, then is traded as by `replay`.
    What the same evidence earned on the same market by the same rules is looked up where results are ``kept``.

    Returns
    -------
    dict of way to PermutationResult
        Of the annual Sharpe ratio; ``"dates"`` is always possible. See `embargo.backtest.significance.rearrangement`.
    """
    decision, returns_of = result.decision, rearranged_returns(plan, result, fused)
    (bars, symbols), block = decision.weights.shape, block_of(plan)
    shape = bars, symbols

    def sharpe_of(drawn: Rearrangement) -> float:
        value = sharpe(returns_of(drawn), periods_per_year=plan.world.periods_per_year)
        return 0.0 if value is None else value

    ways = [way for way in ways if possible(way, shape, block)]
    draws = plan.config.statistics.permutations
    observed = sharpe_of(Rearrangement(np.arange(bars), np.arange(symbols)))

    def advance(before: int, done: int, _: int) -> None:
        progress(before + done, len(ways) * draws)

    def test(number: int, way: Way) -> PermutationResult:
        return permutation_test(
            sharpe_of,
            partial(rearrangement, way, shape, block),
            observed=observed,
            block=block,
            n_permutations=draws,
            # Not the seed alone, which [seed, 0] would be: random timing draws its blocks from that.
            seed=np.random.default_rng([plan.config.seed, 1 + WAYS.index(way)]),
            progress=partial(advance, number * draws),
        )

    if kept is None or fused is not None:
        return {way: test(number, way) for number, way in enumerate(ways)}
    # All that `rearranged_returns` trades by, and what is drawn.
    traded_by = [decision.evidence, decision.limits, plan.rules, market_of(plan), plan.config.portfolio.initial_cash]
    drawn = [observed, shape, block, draws, plan.config.seed, plan.world.periods_per_year]
    return {
        way: kept.of("shuffle_news", [way, *drawn, *traded_by], partial(test, number, way), PermutationResult)
        for number, way in enumerate(ways)
    }


def block_of(plan: Plan) -> int:
    """Length of the blocks in which the news of a run is shuffled: ``statistics.block``, or `default_block`."""
    half_life = half_life_in_bars(plan.rules.signal.aggregation, plan.decided_at)
    return plan.config.statistics.block or default_block(len(plan.decided_at), half_life)


def default_block(bars: int, half_life: float) -> int:
    """Length of the blocks in which news is shuffled: four half-lives of the signal, or the cube root of the sample.

    Whichever is longer, so that what a signal remembers stays inside a block; never more than a tenth of the sample.
    """
    return max(1, min(bars // 10, int(np.ceil(max(5.0, bars ** (1 / 3), 4.0 * half_life)))))
