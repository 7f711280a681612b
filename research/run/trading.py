"""The trading half of a run: scored articles to bars, to a signal, to weights, to books.

`decide` is the single path from scores to weights. The run trades with it, the permutation test shuffles in it, and the
audit attacks it; there is no second one. It knows no prices but those of the plan that it is given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from embargo.backtest.books import kernel
from embargo.backtest.books.execution import dead_rows, fill_conditions
from embargo.backtest.books.shelf import Shelf
from embargo.backtest.books.simulation import Books, bar_years, holding_returns, simulate
from embargo.data_loaders.calendars import decided_before
from embargo.data_loaders.fields import CLASSES
from embargo.research.run.plan import Plan, trading_rows
from embargo.research.run.regimes import known_regimes
from embargo.research.run.world import World
from embargo.signals.aggregation import Evidence, collect
from embargo.signals.alignment import Alignment, align
from embargo.signals.articles import Opinions, read_articles
from embargo.signals.cross_section import Signal, to_signal
from embargo.signals.sectors import group_codes
from embargo.signals.weights import Risk, regime_gate, to_weights, tradable_mask, trailing_risk

if TYPE_CHECKING:
    from embargo.research.run.fusion import Fused
    from embargo.signals.fusion.model import FusionModel


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
class Conditions:
    """What fills meet beside prices; panels of shape (rows, symbols), None where the rules do not ask for them.

    Attributes
    ----------
    volume, volatility : DataFrame or None
        Of the bars that had closed when each row was decided.
    funding : DataFrame or None
        Rates that settle during each row.
    dead : DataFrame of bool or None
        Bars on which nothing traded, so that no order was filled.
    """

    volume: pd.DataFrame | None
    volatility: pd.DataFrame | None
    funding: pd.DataFrame | None
    dead: pd.DataFrame | None


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


def decide(plan: Plan, scored: pd.DataFrame, fused: Fused | None = None, opinions: Opinions | None = None) -> Decision:
    """Go from scored news and the plan's prices to the weights of its rows; nothing else in a run does.

    Comparing texts is slow, so who decides many times on the same news may hand in its `read_articles`.
    """
    prices, rules = plan.world.prices, plan.rules
    placed, used, evidence, counts = _heard(plan, scored, opinions)
    limits = _limits(plan, fused)
    signal = signal_of(plan, evidence, limits, fused)
    panel = pd.DataFrame(signal.values, index=prices.open_at[plan.rows], columns=prices.open.columns)
    weights = to_weights(panel, limits.tradable, rules.weights, risk=limits.risk, gate=limits.gate)
    return Decision(placed, used, evidence, panel, limits, weights, counts | signal.counts)


def rehearse(plan: Plan) -> None:
    """Decide without any news, so that rules that lack what they need are found before anything is trained.

    Raises
    ------
    ConfigError, DataError
        Whatever `decide` and `conditions` say.
    """
    decide(plan, plan.world.news.iloc[:0].assign(**dict.fromkeys([*CLASSES, "confidence"], 0.0)))
    conditions(plan)


def _heard(
    plan: Plan, scored: pd.DataFrame, opinions: Opinions | None = None
) -> tuple[Alignment, np.ndarray, Evidence, dict[str, int]]:
    rules, symbols, decided_at = plan.rules, plan.world.prices.symbols, plan.decided_at
    placed = align(scored["known_at"], scored["symbol"], decided_at, symbols, not_before=_first_heard(plan))
    opinions = opinions or read_articles(scored, rules.articles)
    evidence = collect(
        placed.row,
        placed.column,
        opinions.net,
        opinions.confidence,
        shape=(len(decided_at), len(symbols)),
        settings=rules.signal.aggregation,
        weight=opinions.weight,
        known_at=scored["known_at"],
        decided_at=decided_at,
    )
    used = (opinions.confidence >= rules.signal.aggregation.threshold) & (opinions.weight > 0.0)
    return placed, used, evidence, opinions.counts


def _first_heard(plan: Plan) -> pd.Timestamp | None:
    """Instant from which news count for the first row; None where a bar before it took in what came earlier."""
    world = plan.world
    if plan.rows.start:
        return None
    prices = world.prices
    before = decided_before(prices.open_at, prices.close_at, world.decided_at, prices.calendar)
    return before + pd.Timedelta(1, "us")


def signal_of(plan: Plan, evidence: Evidence, limits: Limits, fused: Fused | None) -> Signal:
    """Turn evidence on the plan's rows into a signal, through the fusion where there is one."""
    rules = plan.rules.signal
    if fused is None:
        return to_signal(evidence, rules, tradable=limits.tradable.to_numpy(), sectors=limits.sectors)
    values = fused.signal(
        evidence,
        rules.aggregation,
        limits.market,
        tradable=limits.tradable,
        decided_at=plan.decided_at,
        first=plan.rows.start,
    )
    return Signal(values, {})


def fuse(plan: Plan, scored: pd.DataFrame, known: dict[str, FusionModel] | None = None) -> Fused | None:
    """Fit the fusions of a run on its own earlier test windows; None where none is asked for.

    What was fitted from the same content is taken from ``known``, and what is fitted is added to it.
    """
    if plan.config.fusion.method == "none":
        return None
    # Loaded here because most runs have no fusion, and what fits one takes long to load.
    from embargo.research.run.fusion import fit_fusions

    world = plan.world
    whole = replace(plan, rows=trading_rows(world, plan.parts))
    _, _, evidence, _ = _heard(whole, scored)
    tradable = tradable_mask(world.prices.close, world.last_closed).iloc[whole.rows]
    return fit_fusions(whole, evidence, tradable, known)


def _limits(plan: Plan, fused: Fused | None) -> Limits:
    world, rows, rules, prices = plan.world, plan.rows, plan.rules, plan.world.prices
    # An audit takes bars away from the end: a world then has fewer bars than instants of decisions.
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


def trade(plan: Plan, scored: pd.DataFrame, fused: Fused | None = None, shelf: Shelf | None = None) -> Trade:
    """Trade scored news on the plan's rows through the authoritative books.

    Parameters
    ----------
    plan : Plan
    scored : DataFrame
        News columns with class probabilities and ``confidence``.
    fused : Fused, optional
        From `fuse`.
    shelf : Shelf, optional
        Where vectorbt's books are kept and looked up; by default nowhere.
    """
    rules, prices, rows = plan.rules, plan.world.prices, plan.rows
    decision, met = decide(plan, scored, fused), conditions(plan)
    opens, closes = prices.open.iloc[rows], prices.close.iloc[rows]
    books = simulate(
        decision.weights,
        opens,
        closes,
        open_at=prices.open_at[rows],
        costs=rules.costs,
        execution=rules.execution,
        volume=met.volume,
        volatility=met.volatility,
        funding=met.funding,
        dead=met.dead,
        initial_cash=plan.config.portfolio.initial_cash,
        engine=plan.config.execution.engine,
        shelf=shelf,
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


def conditions(plan: Plan) -> Conditions:
    """Return what the fills of the plan's rows meet.

    Raises
    ------
    DataError
        If the volume is needed and there is none: not one order would be filled, or moved.
    """
    world, rows, rules = plan.world, plan.rows, plan.rules
    volume, volatility = fill_conditions(
        world.prices, rows, world.last_closed, costs=rules.costs, execution=rules.execution
    )
    funding = None if world.funding is None else world.funding.iloc[rows]
    return Conditions(volume, volatility, funding, dead_rows(world.prices, rows))


def market_of(plan: Plan) -> kernel.Market:
    """Return what the kernel trades the plan's rows against: the same prices and conditions as the books of record."""
    prices, rows, met = plan.world.prices, plan.rows, conditions(plan)
    # Row after row in memory, as the loops take them, so that who trades often does not lay them out each time.
    opens, closes = (np.ascontiguousarray(panel.iloc[rows], dtype=float) for panel in (prices.open, prices.close))
    return kernel.Market(
        fill=closes if plan.rules.execution.fill == "close" else opens,
        close=closes,
        years=bar_years(prices.open_at[rows]),
        volume=_values(met.volume),
        volatility=_values(met.volatility),
        funding=_values(met.funding),
        dead=None if met.dead is None else np.ascontiguousarray(met.dead, dtype=bool),
    )


def _values(panel: pd.DataFrame | None) -> np.ndarray | None:
    return None if panel is None else np.ascontiguousarray(panel, dtype=float)


def perfect_scores(world: World, scored: pd.DataFrame) -> pd.DataFrame | None:
    """Return the same articles scored by the simulated market's truth; None where there is no truth to know."""
    if world.truth is None:
        return None
    truth = world.truth.perfect_scores.set_index("article_id")[[*CLASSES, "confidence"]]
    return scored.drop(columns=[*CLASSES, "confidence"]).join(truth, on="article_id")
