"""The trading half of a run: scored articles to bars, to a signal, to weights, to books.

`decide` is the single path from scores to weights. The run trades with it, the permutation test shuffles in it, and the
audit attacks it; there is no second one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from embargo.backtest.books import kernel
from embargo.backtest.books.costs import Costs
from embargo.backtest.books.execution import Execution, trailing_volatility, trailing_volume
from embargo.backtest.books.simulate import Books, bar_years, holding_returns, simulate
from embargo.backtest.metrics import sharpe
from embargo.backtest.significance import WAYS, PermutationResult, Way, permutation_test, possible, rearrangement
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import CLASSES, Prices
from embargo.research.config.experiment import Config
from embargo.research.config.regimes import Regimes
from embargo.research.progress import Advance
from embargo.research.run.regimes import known_regimes
from embargo.research.run.world import Part, World
from embargo.signals.aggregation import AggregationSettings, Evidence, collect, half_life_in_bars
from embargo.signals.alignment import Alignment, align
from embargo.signals.articles import ArticleSettings, Opinions, read_articles
from embargo.signals.cross_section import CrossSectionSettings, Signal, SignalSettings, to_signal
from embargo.signals.sectors import GroupSettings, group_codes
from embargo.signals.weights import (
    Risk,
    WeightSettings,
    regime_gate,
    to_weights,
    tradable_mask,
    trailing_risk,
    weights_array,
)

if TYPE_CHECKING:
    from embargo.research.run.fusion import Fused


@dataclass(frozen=True)
class Rules:
    """The settings that turn scores into weights and weights into books, in the terms of the packages below."""

    articles: ArticleSettings
    signal: SignalSettings
    sectors: Mapping[str, str]
    weights: WeightSettings
    risk_half_life: float
    gate: Mapping[str, float]
    regimes: Regimes
    costs: Costs
    execution: Execution


@dataclass(frozen=True)
class Limits:
    """What a signal and its weights must obey beside the settings, known when each test row was decided.

    Attributes
    ----------
    tradable : DataFrame of bool, shape (test rows, symbols)
    sectors : int array, shape (symbols,), or None
    risk : Risk or None
    gate : Series or None
    market : dict of str to DataFrame
        Features for a fusion; empty without one.
    """

    tradable: pd.DataFrame
    sectors: np.ndarray | None
    risk: Risk | None
    gate: pd.Series | None
    market: dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Decision:
    """Every step from scored news to weights on the test rows; panels of shape (test rows, symbols).

    ``used`` tells of each article whether its confidence and weight let it count, wherever it was placed.
    """

    placed: Alignment
    used: np.ndarray
    evidence: Evidence
    signal: pd.DataFrame
    limits: Limits
    weights: pd.DataFrame
    counts: dict[str, int]


@dataclass(frozen=True)
class Trade:
    """A decision and what came of it.

    Attributes
    ----------
    decision : Decision
    books : Books
    asset_returns : DataFrame, shape (test rows, symbols)
        What each symbol earned from one fill to the next: open to open, or close to close.
    placed : DataFrame
        The scored news with ``row`` and ``column`` of the bar each article reached (-1 for none), and whether its
        confidence and weight let it count (``used``).
    counts : dict
        What alignment, threshold and order book left out, and on how many bars the gate did.
    """

    decision: Decision
    books: Books
    asset_returns: pd.DataFrame
    placed: pd.DataFrame
    counts: dict[str, dict[str, int]]


def rules_of(config: Config) -> Rules:
    """Translate the config's sections."""
    signal, portfolio, costs, execution = config.signal, config.portfolio, config.costs, config.execution
    return Rules(
        articles=ArticleSettings(
            confidence=signal.confidence,
            source_weights=signal.source_weights,
            novelty_floor=signal.novelty_floor,
            novelty_window=signal.novelty_window,
            novelty_scope=signal.novelty_scope,
            echo_weight=signal.echo_weight,
        ),
        signal=SignalSettings(
            AggregationSettings(
                threshold=signal.threshold,
                half_life_bars=signal.half_life,
                shrinkage=signal.shrinkage,
                min_articles=signal.min_articles,
                mode=signal.mode,
                hold=signal.hold,
                scale=signal.scale,
                half_life_hours=signal.half_life_hours,
                holding_bars=signal.holding_bars,
            ),
            GroupSettings(weight=signal.group_weight),
            CrossSectionSettings(min_signal=portfolio.min_signal, **signal.cross_section.model_dump()),
        ),
        sectors=signal.sectors,
        weights=WeightSettings(
            method=portfolio.method,
            gross=portfolio.gross,
            net=portfolio.net,
            cap=portfolio.cap,
            leverage=execution.leverage,
            neutral=portfolio.neutral,
            long_only=portfolio.long_only,
            band=portfolio.band,
            k=portfolio.k,
            min_signal=portfolio.min_signal,
            inverse_volatility=portfolio.inverse_volatility,
            target_volatility=portfolio.target_volatility,
        ),
        risk_half_life=portfolio.risk_half_life,
        gate={str(label): share for label, share in portfolio.gate.items()},
        regimes=config.regimes,
        costs=Costs(**costs.model_dump()),
        execution=Execution(**execution.model_dump(exclude={"engine", "funding"})),
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


def decide(
    world: World,
    rows: slice,
    rules: Rules,
    scored: pd.DataFrame,
    prices: Prices,
    fused: Fused | None = None,
    opinions: Opinions | None = None,
) -> Decision:
    """Go from scored news and prices to the weights of the test rows; nothing else in a run does.

    Comparing texts is slow, so who decides many times on the same news may hand in its `read_articles`.
    """
    placed, used, evidence, counts = _heard(world, rows, rules, scored, prices, opinions)
    limits = _limits(world, rows, rules, prices, fused)
    signal = _signal(evidence, rules, limits, fused, world.decided_at[rows], rows.start)
    panel = pd.DataFrame(signal.values, index=prices.open_at[rows], columns=prices.open.columns)
    weights = to_weights(panel, limits.tradable, rules.weights, risk=limits.risk, gate=limits.gate)
    return Decision(placed, used, evidence, panel, limits, weights, counts | signal.counts)


def rehearse(world: World, rows: slice, rules: Rules) -> None:
    """Decide without any news, so that rules that lack what they need are found before anything is trained.

    Raises
    ------
    ConfigError, DataError
        Whatever `decide` and `conditions` say.
    """
    nothing = world.news.iloc[:0].assign(**dict.fromkeys([*CLASSES, "confidence"], 0.0))
    decide(world, rows, rules, nothing, world.prices)
    conditions(world, rows, rules)


def _heard(
    world: World,
    rows: slice,
    rules: Rules,
    scored: pd.DataFrame,
    prices: Prices,
    opinions: Opinions | None = None,
) -> tuple[Alignment, np.ndarray, Evidence, dict[str, int]]:
    decided_at = world.decided_at[rows]
    placed = align(scored["known_at"], scored["symbol"], decided_at, prices.symbols)
    opinions = opinions or read_articles(scored, rules.articles)
    evidence = collect(
        placed.row,
        placed.column,
        opinions.net,
        opinions.confidence,
        shape=(rows.stop - rows.start, len(prices.symbols)),
        settings=rules.signal.aggregation,
        weight=opinions.weight,
        known_at=scored["known_at"],
        decided_at=decided_at,
    )
    used = (opinions.confidence >= rules.signal.aggregation.threshold) & (opinions.weight > 0.0)
    return placed, used, evidence, opinions.counts


def _signal(
    evidence: Evidence, rules: Rules, limits: Limits, fused: Fused | None, decided_at: pd.DatetimeIndex, first: int
) -> Signal:
    """Turn evidence into a signal, through the fusion where there is one."""
    if fused is None:
        return to_signal(evidence, rules.signal, tradable=limits.tradable.to_numpy(), sectors=limits.sectors)
    values = fused.signal(
        evidence,
        rules.signal.aggregation,
        limits.market,
        tradable=limits.tradable,
        decided_at=decided_at,
        first=first,
    )
    return Signal(values, {})


def fuse(config: Config, world: World, parts: list[Part], scored: pd.DataFrame) -> Fused | None:
    """Fit the fusions of a run on its own earlier test windows; None where none is asked for."""
    if config.fusion.method == "none":
        return None
    # Loaded here because most runs have no fusion, and what fits one takes long to load.
    from embargo.research.run.fusion import fit_fusions

    rules, rows = rules_of(config), trading_rows(world, parts)
    _, _, evidence, _ = _heard(world, rows, rules, scored, world.prices)
    tradable = tradable_mask(world.prices.close, world.last_closed).iloc[rows]
    return fit_fusions(config, world, parts, rows, evidence, rules.signal.aggregation, tradable)


def _limits(world: World, rows: slice, rules: Rules, prices: Prices, fused: Fused | None) -> Limits:
    last_closed = world.last_closed[: len(prices.close)]
    risk = gate = None
    if rules.weights.inverse_volatility or rules.weights.target_volatility is not None:
        risk = trailing_risk(
            prices.close, last_closed, half_life=rules.risk_half_life, periods_per_year=world.periods_per_year
        ).rows(rows)
    if rules.gate:
        decided_at = world.decided_at[: len(prices.close)]
        labels = known_regimes(rules.regimes, rules.regimes.gate_by, prices.close, last_closed, decided_at).iloc[rows]
        gate = pd.concat([regime_gate(labels[name], rules.gate) for name in labels.columns], axis=1).prod(axis=1)
    return Limits(
        tradable=tradable_mask(prices.close, last_closed).iloc[rows],
        sectors=group_codes(prices.symbols, rules.sectors) if rules.sectors else None,
        risk=risk,
        gate=gate,
        market={} if fused is None else fused.market(prices, last_closed, rows),
    )


def trade(config: Config, world: World, rows: slice, scored: pd.DataFrame, fused: Fused | None = None) -> Trade:
    """Trade scored news on the test rows through the authoritative books.

    Parameters
    ----------
    config : Config
    world : World
    rows : slice
        From `trading_rows`.
    scored : DataFrame
        News columns with class probabilities and ``confidence``.
    fused : Fused, optional
        From `fuse`.
    """
    rules, prices = rules_of(config), world.prices
    decision = decide(world, rows, rules, scored, prices, fused)
    opens, closes = prices.open.iloc[rows], prices.close.iloc[rows]
    books = simulate(
        decision.weights,
        opens,
        closes,
        open_at=prices.open_at[rows],
        costs=rules.costs,
        execution=rules.execution,
        **conditions(world, rows, rules),
        initial_cash=config.portfolio.initial_cash,
        engine=config.execution.engine,
    )
    placed = decision.placed
    return Trade(
        decision=decision,
        books=books,
        asset_returns=holding_returns(
            closes if rules.execution.fill == "close" else opens, closes, stale_after=rules.execution.stale_after
        ),
        placed=scored.assign(row=placed.row, column=placed.column, used=decision.used),
        counts={
            "news": placed.counts | decision.evidence.counts | decision.counts,
            "orders": books.counts,
            "gate": _gated(decision.limits.gate),
        },
    )


def _gated(gate: pd.Series | None) -> dict[str, int]:
    if gate is None:
        return {}
    shut, ajar = int((gate == 0.0).sum()), int(gate.between(0.0, 1.0, inclusive="neither").sum())
    return {"bars_shut": shut, "bars_reduced": ajar, "bars_open": len(gate) - shut - ajar}


def conditions(world: World, rows: slice, rules: Rules) -> dict[str, Any]:
    """Return the trailing volume and volatility and the funding that fills of the test rows meet; None where unused.

    Raises
    ------
    DataError
        If the volume is needed and there is none: not one order would be filled, or moved.
    """
    prices, moved = world.prices, rules.costs.impact > 0.0
    limited = moved or rules.execution.participation is not None
    volume = volatility = None
    if limited:
        volume = trailing_volume(prices.volume, world.last_closed, bars=rules.execution.volume_bars).iloc[rows]
        if not (volume.to_numpy() > 0.0).any():
            raise DataError(
                "prices: no bar of the test rows has a volume, which execution.participation and costs.impact need. "
                "Leave both out, or use prices with volumes."
            )
    if moved:
        volatility = trailing_volatility(prices.close, world.last_closed).iloc[rows]
    funding = None if world.funding is None else world.funding.iloc[rows]
    return {"volume": volume, "volatility": volatility, "funding": funding}


def market_of(world: World, rows: slice, rules: Rules) -> kernel.Market:
    """Return what the kernel trades the test rows against: the same prices and conditions as the books of record."""
    opens, closes = (panel.iloc[rows].to_numpy(dtype=float) for panel in (world.prices.open, world.prices.close))
    met = {
        name: None if panel is None else panel.to_numpy(dtype=float)
        for name, panel in conditions(world, rows, rules).items()
    }
    return kernel.Market(
        fill=closes if rules.execution.fill == "close" else opens,
        close=closes,
        years=bar_years(world.prices.open_at[rows]),
        **met,
    )


def replay(
    config: Config, world: World, rows: slice, result: Trade, fused: Fused | None = None
) -> Callable[[Evidence], np.ndarray]:
    """Return what trades other evidence on the same bars under the same rules: evidence to returns, shape (test rows,).

    It walks the whole path from decay to the kernel's books.
    """
    rules, limits = rules_of(config), result.decision.limits
    tradable, market = limits.tradable.to_numpy(), market_of(world, rows, rules)
    gate = None if limits.gate is None else limits.gate.to_numpy(dtype=float)
    decided_at = world.decided_at[rows]

    def returns_of(evidence: Evidence) -> np.ndarray:
        signal = _signal(evidence, rules, limits, fused, decided_at, rows.start)
        weights = weights_array(signal.values, tradable, rules.weights, risk=limits.risk, gate=gate)
        account = kernel.run(weights, market, rules.costs, rules.execution, initial_cash=config.portfolio.initial_cash)
        return account.returns

    return returns_of


def shuffle_news(
    config: Config,
    world: World,
    rows: slice,
    result: Trade,
    progress: Advance,
    fused: Fused | None = None,
    ways: Sequence[Way] = WAYS,
) -> dict[Way, PermutationResult]:
    """Break the link between news and market in the ways the panel allows, and ask how often chance does as well.

    Each draw moves what the articles said to other bars or symbols, or turns it round, then is traded by `replay`, so
    that holding times, costs and the market itself stay as they were.

    Returns
    -------
    dict of way to PermutationResult
        Of the annual Sharpe ratio; ``"dates"`` is always possible. See `embargo.backtest.significance.rearrangement`.
    """
    decision, returns_of = result.decision, replay(config, world, rows, result, fused)
    shape, block = decision.weights.shape, block_of(config, world, rows)

    def sharpe_of(evidence: Evidence) -> float:
        value = sharpe(returns_of(evidence), periods_per_year=world.periods_per_year)
        return 0.0 if value is None else value

    ways = [way for way in ways if possible(way, shape, block)]
    draws, observed = config.statistics.permutations, sharpe_of(decision.evidence)

    def advance(before: int, done: int, _: int) -> None:
        progress(before + done, len(ways) * draws)

    return {
        way: permutation_test(
            lambda drawn: sharpe_of(decision.evidence.rearranged(drawn.rows, drawn.columns, drawn.signs)),
            partial(rearrangement, way, shape, block),
            observed=observed,
            block=block,
            n_permutations=draws,
            # Not the seed alone, which [seed, 0] would be: random timing draws its blocks from that.
            seed=np.random.default_rng([config.seed, 1 + WAYS.index(way)]),
            progress=partial(advance, number * draws),
        )
        for number, way in enumerate(ways)
    }


def block_of(config: Config, world: World, rows: slice) -> int:
    """Length of the blocks in which the news of a run is shuffled: ``statistics.block``, or `default_block`."""
    half_life = half_life_in_bars(rules_of(config).signal.aggregation, world.decided_at[rows])
    return config.statistics.block or default_block(rows.stop - rows.start, half_life)


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
