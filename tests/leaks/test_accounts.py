"""Books held against raw bars: every honest account is passed over, whatever its rules; every gift is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from samples import account_worlds as accounts
from samples import leak_worlds as worlds

from embargo.backtest.books import Costs, Execution, simulate
from embargo.backtest.books.simulation import Books
from embargo.backtest.leakage import Finding, check_books, check_fills
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices

FAIR = Costs(fee=0.0005, slippage=0.001, borrow_annual=0.01)


def judge_books(books: Books, world: accounts.World, costs: Costs, fill: str, **changes: object) -> Finding:
    given = {
        "weights": world.weights,
        "returns": books.returns,
        "orders": books.orders,
        "fill": world.open if fill == "open" else world.close,
        "close": world.close,
        "initial_cash": accounts.CASH,
        "half_spread": costs.slippage,
        "funding": world.funding,
        "apart": books.counts["beyond_tolerance"],
    }
    return check_books(**(given | changes))


@settings(max_examples=150, deadline=None)
@given(accounts.cases())
def test_no_honest_account_is_doubted(case) -> None:
    world, costs, execution = case
    books = accounts.books_of(world, costs, execution)
    finding = judge_books(books, world, costs, execution.fill)
    assert finding.verdict in ("pass", "not-applicable"), finding.detail


@settings(max_examples=100, deadline=None)
@given(accounts.cases())
def test_a_gift_on_any_bar_is_found_there(case) -> None:
    world, _, execution = case
    books = accounts.books_of(world.but(funding=world.funding * 0.0), accounts.FREE, replace(execution, haircut=0.0))
    alive = np.flatnonzero(books.equity.to_numpy() > 0.0)
    if books.orders.empty or len(alive) < len(world.weights):
        return
    bar = len(world.weights) // 2
    gifted = books.returns.copy()
    gifted.iloc[bar] += 0.001
    finding = judge_books(books, world, accounts.FREE, execution.fill, returns=gifted, funding=None)
    assert finding.verdict == "leak"
    assert finding.evidence[0]["bar"] == world.weights.index[bar].isoformat()
    assert finding.evidence[0]["beyond"] == pytest.approx(0.001, rel=1e-3)


@pytest.fixture(scope="module")
def world() -> worlds.World:
    return worlds.make_world(3, n_bars=200)


def kept(world: worlds.World, fill: pd.DataFrame, weights: pd.DataFrame | None = None) -> Books:
    held = worlds.honest(world.news, world.prices) if weights is None else weights
    prices = world.prices
    return simulate(
        held, fill, prices.close, open_at=prices.open_at, costs=FAIR, execution=Execution(), engine="kernel"
    )


def judged(world: worlds.World, books: Books, weights: pd.DataFrame | None = None) -> tuple[Finding, Finding]:
    held = worlds.honest(world.news, world.prices) if weights is None else weights
    prices = world.prices
    found = check_books(
        held,
        books.returns,
        books.orders,
        prices.open,
        prices.close,
        initial_cash=1_000_000.0,
        half_spread=FAIR.slippage,
        apart=books.counts["beyond_tolerance"],
    )
    return found, check_fills(books.orders, prices, fill="open", half_spread=FAIR.slippage)


def best_prices(world: worlds.World, weights: pd.DataFrame) -> pd.DataFrame:
    """Opens replaced by the low where the weights rise and by the high where they fall."""
    change = weights.diff().fillna(weights)
    return world.prices.low.where(change > 0, world.prices.high.where(change < 0, world.prices.open))


def test_honest_fills_pass(world: worlds.World) -> None:
    books, fills = judged(world, kept(world, world.prices.open))
    assert (books.verdict, fills.verdict) == ("pass", "pass")


def test_fills_at_the_best_price_of_the_bar_are_a_leak_in_both(world: worlds.World) -> None:
    weights = worlds.honest(world.news, world.prices)
    books, fills = judged(world, kept(world, best_prices(world, weights)))
    assert (books.verdict, fills.verdict) == ("leak", "leak")
    first = fills.evidence[0]
    assert first["without_spread"] < first["raw_price"] or first["side"] == "sell"
    assert fills.effect > 0.5
    assert books.effect > 0.05


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_one_fill_that_is_too_good_is_found(world: worlds.World, side: str) -> None:
    orders = kept(world, world.prices.open).orders
    place = int(np.flatnonzero(orders["side"] == side)[7])
    better = 0.9995 if side == "buy" else 1.0005
    orders.loc[place, "price"] *= better
    finding = check_fills(orders, world.prices, fill="open", half_spread=FAIR.slippage)
    assert (finding.verdict, len(finding.evidence)) == ("leak", 1)
    assert finding.evidence[0]["symbol"] == orders.loc[place, "symbol"]
    orders.loc[place, "price"] /= better**2
    assert check_fills(orders, world.prices, fill="open", half_spread=FAIR.slippage).verdict == "pass", (
        "dearer is no gift"
    )


def test_a_spread_that_is_stated_and_not_paid_is_a_leak(world: worlds.World) -> None:
    weights = worlds.honest(world.news, world.prices)
    free = replace(FAIR, slippage=0.0)
    prices = world.prices
    books = simulate(weights, prices.open, prices.close, open_at=prices.open_at, costs=free, engine="kernel")
    told, fills = judged(world, books)
    assert (told.verdict, fills.verdict) == ("leak", "leak")


def test_positions_that_were_not_decided_are_suspicious(world: worlds.World) -> None:
    decided = worlds.honest(world.news, world.prices)
    early = decided.shift(-1).fillna(0.0)
    books, _ = judged(world, kept(world, world.prices.open, early), decided)
    assert books.verdict == "suspicious"
    assert books.evidence[0]["held"] != books.evidence[0]["decided"]


def opened(world: worlds.World, opens: pd.DataFrame, calendar: str = "XNYS") -> tuple[worlds.World, Books]:
    prices = world.prices
    panels = [prices.high, prices.low, opens, prices.close]
    made = replace(
        prices,
        open=opens,
        high=pd.DataFrame(np.fmax.reduce([p.to_numpy() for p in panels]), opens.index, opens.columns),
        low=pd.DataFrame(np.fmin.reduce([p.to_numpy() for p in panels]), opens.index, opens.columns),
        calendar=calendar,
    )
    told = replace(world, prices=made)
    return told, kept(told, opens, worlds.honest(world.news, prices))


@pytest.mark.parametrize(("share", "verdict"), [(1.0, "suspicious"), (0.4, "suspicious"), (0.05, "pass")])
def test_opens_that_repeat_the_close_before_are_suspicious(world: worlds.World, share: float, verdict: str) -> None:
    repeated = np.random.default_rng(0).random(world.prices.open.shape) < share
    opens = world.prices.open.mask(repeated & world.prices.close.shift(1).notna(), world.prices.close.shift(1))
    told, books = opened(world, opens)
    finding = check_fills(books.orders, told.prices, fill="open", half_spread=FAIR.slippage)
    assert finding.verdict == verdict
    assert ("repeats the close before" in finding.detail) == (verdict == "suspicious")


def test_a_market_that_never_closes_may_open_where_it_closed() -> None:
    world = worlds.make_world(1, calendar="24/7", n_bars=200)
    told, books = opened(world, world.prices.close.shift(1).fillna(world.prices.open), "24/7")
    assert check_fills(books.orders, told.prices, fill="open", half_spread=FAIR.slippage).verdict == "pass"


def test_opens_at_the_best_price_of_their_bar_are_suspicious_though_the_books_agree(world: worlds.World) -> None:
    """Bars made from the trades themselves: the raw open is the low of what is bought, the high of what is sold."""
    weights = worlds.honest(world.news, world.prices)
    told = replace(world, prices=replace(world.prices, open=best_prices(world, weights)))
    books, fills = judged(told, kept(told, told.prices.open, weights), weights)
    assert books.verdict == "pass"
    assert fills.verdict == "suspicious"
    assert "best price of their bar" in fills.detail


def test_coarse_ticks_put_opens_at_extremes_by_chance(world: worlds.World) -> None:
    prices = world.prices
    coarse = {name: getattr(prices, name).round(1) for name in ("open", "high", "low", "close")}
    told = replace(world, prices=replace(prices, **coarse))
    opens, low, high = (coarse[name].to_numpy() for name in ("open", "low", "high"))
    at_low = float((opens == low)[high > low].mean())
    assert 0.01 < at_low < 0.1
    orders = kept(told, told.prices.open).orders
    finding = check_fills(orders, told.prices, fill="open", half_spread=FAIR.slippage)
    assert "best price of their bar" not in finding.detail
    # Nor do a few fills prove anything that happen to be lucky somewhat more often.
    bar, column = orders["bar"].to_numpy(), told.prices.open.columns.get_indexer(pd.Index(orders["symbol"]))
    best = np.where(orders["side"] == "buy", low[bar, column], high[bar, column]) == opens[bar, column]
    few = pd.concat([orders[best & (high > low)[bar, column]].head(4), orders[~best].head(20)])
    finding = check_fills(few, told.prices, fill="open", half_spread=FAIR.slippage)
    assert "best price of their bar" not in finding.detail


def test_a_raw_price_outside_its_bar_is_suspicious(world: worlds.World) -> None:
    prices = world.prices
    told = replace(world, prices=replace(prices, high=prices.high.where(prices.high < prices.open, prices.open * 0.99)))
    finding = check_fills(kept(world, prices.open).orders, told.prices, fill="open", half_spread=FAIR.slippage)
    assert (finding.verdict, finding.effect) == ("suspicious", 1.0)


def test_fills_at_the_close_are_held_against_the_close() -> None:
    world = accounts.build(5, bars=60, symbols=5, gaps=0.0)
    execution = Execution(fill="close")
    books = accounts.books_of(world, FAIR, execution)
    high, low = np.fmax(world.open, world.close) * 1.01, np.fmin(world.open, world.close) * 0.99
    at = world.open_at
    prices = Prices(world.open, high, low, world.close, world.close, at, at + pd.Timedelta(hours=6), "XNYS")
    assert check_fills(books.orders, prices, fill="close", half_spread=FAIR.slippage).verdict == "pass"
    assert check_fills(books.orders, prices, fill="open", half_spread=FAIR.slippage).verdict == "leak"
    assert judge_books(books, world, FAIR, "close").verdict == "pass"
    assert judge_books(books, world, FAIR, "open").verdict == "leak"


def test_what_cannot_be_compared_is_refused(world: worlds.World) -> None:
    books = kept(world, world.prices.open)
    weights = worlds.honest(world.news, world.prices)
    stated = {"initial_cash": 1e6, "half_spread": 0.0}
    prices = world.prices
    with pytest.raises(DataError, match="Align"):
        check_books(weights.iloc[1:], books.returns, books.orders, prices.open, prices.close, **stated)
    with pytest.raises(DataError, match="one per row"):
        check_books(weights, books.returns[1:], books.orders, prices.open, prices.close, **stated)
    with pytest.raises(DataError, match="missing columns"):
        check_fills(books.orders.drop(columns="side"), prices, fill="open", half_spread=0.0)
    with pytest.raises(DataError, match="unknown bar"):
        check_fills(books.orders.assign(bar=len(weights)), prices, fill="open", half_spread=0.0)
    none = books.orders.iloc[:0]
    assert check_books(weights, books.returns, none, prices.open, prices.close, **stated).verdict == "not-applicable"
    assert check_fills(none, prices, fill="open", half_spread=0.0).verdict == "not-applicable"
