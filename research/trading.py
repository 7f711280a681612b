"""The trading half of a run: scored articles to bars, to a signal, to weights, to books.

`decide` is the single path from scores to weights. The run trades with it, the permutation test shuffles in it, and the
audit attacks it; there is no second one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from backtest.costs import Costs
from backtest.metrics import sharpe
from backtest.significance import PermutationResult, permutation_test
from backtest.simulate import Books, bar_years, holding_returns, net_returns, simulate
from data_loaders.errors import DataError
from data_loaders.schemas import CLASSES, Prices
from research.config import Config
from research.preparation import Part, World
from research.progress import Advance
from signals.aggregation import AggregationSettings, Evidence, collect, decay, signal_frame
from signals.alignment import Alignment, align
from signals.weights import WeightSettings, to_weights, tradable_mask, weights_array


@dataclass(frozen=True)
class Rules:
    """The settings that turn scores into weights and weights into books, in the terms of the packages below."""

    aggregation: AggregationSettings
    weights: WeightSettings
    costs: Costs


@dataclass(frozen=True)
class Decision:
    """Every step from scored news to weights on the test rows; panels of shape (test rows, symbols)."""

    placed: Alignment
    evidence: Evidence
    signal: pd.DataFrame
    tradable: pd.DataFrame
    weights: pd.DataFrame


@dataclass(frozen=True)
class Trade:
    """A decision and what came of it.

    Attributes
    ----------
    decision : Decision
    books : Books
    asset_returns : DataFrame, shape (test rows, symbols)
        What each symbol earned from one open to the next.
    placed : DataFrame
        The scored news with ``row`` and ``column`` of the bar each article reached (-1 for none), and whether its
        confidence let it count (``used``).
    counts : dict
        What alignment, threshold and order book left out.
    """

    decision: Decision
    books: Books
    asset_returns: pd.DataFrame
    placed: pd.DataFrame
    counts: dict[str, dict[str, int]]


def rules_of(config: Config) -> Rules:
    """Translate the config's sections."""
    signal, portfolio = config.signal, config.portfolio
    return Rules(
        AggregationSettings(
            threshold=signal.threshold,
            half_life_bars=signal.half_life,
            shrinkage=signal.shrinkage,
            min_articles=signal.min_articles,
        ),
        WeightSettings(
            method=portfolio.method,
            gross=portfolio.gross,
            cap=portfolio.cap,
            neutral=portfolio.neutral,
            long_only=portfolio.long_only,
            band=portfolio.band,
            k=portfolio.k,
            min_signal=portfolio.min_signal,
        ),
        Costs(fee=config.costs.fee, slippage=config.costs.slippage, borrow_annual=config.costs.borrow_annual),
    )


def trading_rows(world: World, parts: list[Part]) -> slice:
    """Return the positions of the bars decided inside the test windows, which follow one another without a gap.

    Raises
    ------
    DataError
        If no bar is decided inside them.
    """
    first, last = parts[0].fold.test_start, parts[-1].fold.test_end
    start, stop = (int(position) for position in world.decided_at.searchsorted([first, last]))
    if stop - start < 2:
        raise DataError(f"prices: {stop - start} bars are decided between {first} and {last}. Check split and prices.")
    return slice(start, stop)


def decide(world: World, rows: slice, rules: Rules, scored: pd.DataFrame, prices: Prices) -> Decision:
    """Go from scored news and prices to the weights of the test rows; nothing else in a run does."""
    placed = align(scored["known_at"], scored["symbol"], world.decided_at[rows], prices.symbols)
    evidence = collect(
        placed.row,
        placed.column,
        (scored["bullish"] - scored["bearish"]).to_numpy(dtype=float),
        scored["confidence"].to_numpy(dtype=float),
        shape=(rows.stop - rows.start, len(prices.symbols)),
        settings=rules.aggregation,
    )
    signal = signal_frame(evidence, rules.aggregation, open_at=prices.open_at[rows], symbols=prices.open.columns)
    tradable = tradable_mask(prices.close, world.last_closed[: len(prices.close)]).iloc[rows]
    return Decision(placed, evidence, signal, tradable, to_weights(signal, tradable, rules.weights))


def trade(config: Config, world: World, rows: slice, scored: pd.DataFrame) -> Trade:
    """Trade scored news on the test rows through the authoritative books.

    Parameters
    ----------
    config : Config
    world : World
    rows : slice
        From `trading_rows`.
    scored : DataFrame
        News columns with class probabilities and ``confidence``.
    """
    rules, prices = rules_of(config), world.prices
    decision = decide(world, rows, rules, scored, prices)
    opens, closes = prices.open.iloc[rows], prices.close.iloc[rows]
    books = simulate(
        decision.weights,
        opens,
        closes,
        open_at=prices.open_at[rows],
        costs=rules.costs,
        initial_cash=config.portfolio.initial_cash,
    )
    placed = decision.placed
    return Trade(
        decision=decision,
        books=books,
        asset_returns=holding_returns(opens, closes),
        placed=scored.assign(
            row=placed.row, column=placed.column, used=scored["confidence"] >= rules.aggregation.threshold
        ),
        counts={"news": placed.counts | decision.evidence.counts, "orders": books.counts},
    )


def shuffle_news(config: Config, world: World, result: Trade, progress: Advance) -> PermutationResult:
    """Shuffle the news against the dates in blocks and ask how often chance does as well as the run.

    Each shuffle re-orders what the articles said per bar, then walks the whole path from decay to net returns, so that
    holding times, costs and the market itself stay as they were.
    """
    rules = rules_of(config)
    decision = result.decision
    index = decision.weights.index
    tradable, returns = decision.tradable.to_numpy(), result.asset_returns.to_numpy()
    fillable, years = world.prices.open.loc[index].notna().to_numpy(), bar_years(index)

    def shuffled_sharpe(order: np.ndarray) -> float:
        signal = decay(decision.evidence.take(order), rules.aggregation)
        weights = weights_array(signal, tradable, rules.weights)
        value = sharpe(
            net_returns(weights, returns, rules.costs, tradable=fillable, years=years),
            periods_per_year=world.periods_per_year,
        )
        return 0.0 if value is None else value

    return permutation_test(
        shuffled_sharpe,
        len(index),
        block=config.statistics.block or default_block(len(index), config.signal.half_life),
        n_permutations=config.statistics.permutations,
        seed=config.seed,
        progress=progress,
    )


def default_block(bars: int, half_life: float) -> int:
    """Length of the blocks in which news is shuffled: four half-lives of the signal, or the cube root of the sample.

    Whichever is longer, so that what a signal remembers stays inside a block; never more than a tenth of the sample.
    """
    return max(1, min(bars // 10, int(np.ceil(max(5.0, bars ** (1 / 3), 4.0 * half_life)))))


def perfect_scores(world: World, scored: pd.DataFrame) -> pd.DataFrame | None:
    """Return the same articles scored by the simulated market's truth; None where there is no truth to know."""
    if world.truth is None:
        return None
    truth = world.truth.perfect_scores.set_index("article_id")[[*CLASSES, "confidence"]]
    return scored.drop(columns=[*CLASSES, "confidence"]).join(truth, on="article_id")
