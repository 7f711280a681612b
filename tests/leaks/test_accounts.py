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


DAYS = pd.date_range("2024-01-02 14:30", periods=3, freq="D", tz="UTC")
FILLED = pd.DataFrame({"A": [10.0, 11.0, 12.0], "B": [20.0, 19.0, 21.0]}, index=DAYS)
CLOSED = pd.DataFrame({"A": [10.5, 11.5, 12.5], "B": [20.5, 19.5, 20.0]}, index=DAYS)
# 50 of A are bought and held; 10 of B are sold short a day later.
ORDERS = pd.DataFrame(
    {
        "symbol": ["A", "B"],
        "bar": [0, 1],
        "size": [50.0, 10.0],
        "price": [10.1, 18.81],
        "fees": [1.0, 2.0],
        "side": ["buy", "sell"],
    }
)
# By paper and pencil, from 1,000: 50 - 5 - 1, then 50 - 20 - 1.9 - 2 of 1,044, then 25 + 10 of 1,070.10.
EARNED = pd.Series([0.044, 26.1 / 1044, 35 / 1070.1], index=DAYS)
HELD = pd.DataFrame({"A": [0.5, 550 / 1044, 600 / 1070.1], "B": [0.0, -190 / 1044, -210 / 1070.1]}, index=DAYS)


def by_pencil(**changes: object) -> Finding:
    given = {"weights": HELD, "returns": EARNED, "orders": ORDERS, "fill": FILLED, "close": CLOSED}
    return check_books(**(given | {"initial_cash": 1000.0, "half_spread": 0.01} | changes))


def test_what_orders_earn_is_what_paper_and_pencil_say() -> None:
    finding = by_pencil()
    assert (finding.verdict, finding.effect) == ("pass", 0.0)
    assert "all 3 bars follow from 2 orders" in finding.detail
    assert "took 0.00%" in finding.detail
    assert "took 1.50%" in by_pencil(returns=EARNED.add([0.0, 0.0, -0.015])).detail


@pytest.mark.parametrize("bar", range(3))
@pytest.mark.parametrize(("gift", "verdict"), [(0.5e-7, "pass"), (2e-7, "leak")])
def test_a_gift_is_found_from_rounding_on_and_told_on_its_bar(bar: int, gift: float, verdict: str) -> None:
    finding = by_pencil(returns=EARNED + gift * (np.arange(3) == bar))
    assert finding.verdict == verdict
    if verdict == "leak":
        assert len(finding.evidence) == 1
        assert finding.evidence[0] == {
            "bar": DAYS[bar].isoformat(),
            "books_earned": pytest.approx(EARNED.iloc[bar] + gift),
            "fills_earned": pytest.approx(EARNED.iloc[bar], abs=1e-12),
            "beyond": pytest.approx(gift, rel=1e-3),
        }
        assert finding.effect == pytest.approx(gift, rel=1e-3)
        assert "On 1 of 3 bars the books earned more" in finding.detail
        assert f"first on {DAYS[bar]}" in finding.detail


def test_gifts_on_several_bars_add_up() -> None:
    finding = by_pencil(returns=EARNED.add([0.001, -0.05, 0.002]))
    assert (finding.verdict, [row["bar"] for row in finding.evidence]) == (
        "leak",
        [DAYS[0].isoformat(), DAYS[2].isoformat()],
    )
    # The equity that the books claim is what later bars are measured by.
    later = 0.002 + 35 / 1070.1 - 35 / (1045 * (1 + 26.1 / 1044 - 0.05))
    assert finding.effect == pytest.approx(0.001 + later)


def test_funding_may_give_its_rate_on_either_side_and_no_more() -> None:
    funding = pd.DataFrame({"A": [0.001, np.nan, 0.0], "B": [0.5, -0.002, 0.0]}, index=DAYS)
    given = pd.Series([0.0445, 26.1 / 1044.5, 35 / 1070.6], index=DAYS)
    assert by_pencil(returns=given).verdict == "leak"
    assert by_pencil(returns=given, funding=funding, weights=HELD * np.nan).verdict == "pass"
    assert by_pencil(returns=given.add([2e-7, 0, 0]), funding=funding).evidence[0]["beyond"] == pytest.approx(
        2e-7, rel=0.01
    )
    short = pd.Series([0.044, 26.48 / 1044, 35 / 1070.48], index=DAYS)
    assert by_pencil(returns=short, funding=funding, weights=HELD * np.nan).verdict == "pass"
    assert by_pencil(returns=short.add([0, 2e-7, 0]), funding=funding).verdict == "leak"


@pytest.mark.parametrize(("row", "name"), [(0, "B"), (1, "A"), (2, "B")])
def test_a_position_that_lies_apart_is_told_with_both_weights(row: int, name: str) -> None:
    decided = HELD.copy()
    decided.loc[DAYS[row], name] += 0.0009
    assert by_pencil(weights=decided).verdict == "pass"
    decided.loc[DAYS[row], name] += 0.0002
    finding = by_pencil(weights=decided)
    assert (finding.verdict, finding.effect) == ("suspicious", pytest.approx(0.0011))
    assert finding.evidence == [
        {
            "bar": DAYS[row].isoformat(),
            "symbol": name,
            "decided": pytest.approx(HELD.loc[DAYS[row], name] + 0.0011),
            "held": pytest.approx(HELD.loc[DAYS[row], name]),
        }
    ]
    assert (
        f"In 1 cells the account holds something else than was decided, where the books own up to 0; first {name}"
        in (finding.detail)
    )
    assert by_pencil(weights=decided, apart=1).verdict == "pass", "the books say so themselves"
    alone = decided.where(decided != HELD)
    assert by_pencil(weights=alone).verdict == "suspicious"
    hidden = FILLED.copy()
    hidden.loc[DAYS[row], name] = np.nan
    assert by_pencil(weights=alone, fill=hidden, returns=EARNED - 0.1).verdict == "pass", "nothing could be traded"


def test_without_a_price_the_newest_one_counts() -> None:
    # A has no price on the second day: it is worth its last close, 10.50, until the third.
    fill, close = FILLED.copy(), CLOSED.copy()
    fill.loc[DAYS[1], "A"] = close.loc[DAYS[1], "A"] = np.nan
    earned = pd.Series([(25 - 6) / 1000, (75 - 20 - 3.9) / 1019, 35 / 1070.1], index=DAYS)
    assert by_pencil(fill=fill, close=close, returns=earned, weights=HELD * np.nan).verdict == "pass"
    for bar in range(3):
        gift = earned + 2e-7 * (np.arange(3) == bar)
        finding = by_pencil(fill=fill, close=close, returns=gift, weights=HELD * np.nan)
        assert [row["bar"] for row in finding.evidence] == [DAYS[bar].isoformat()]


def test_an_account_that_is_lost_loses_no_more_and_is_not_judged_further() -> None:
    ruin = FILLED.assign(A=[10.0, -15.0, 12.0])
    lost = pd.Series([-1.0, 5.0, 5.0], index=DAYS)
    assert by_pencil(fill=ruin, returns=lost, weights=HELD * np.nan).verdict == "pass"
    finding = by_pencil(fill=ruin, returns=lost.add([0.01, 0, 0]), weights=HELD * np.nan)
    assert finding.evidence[0] == {
        "bar": DAYS[0].isoformat(),
        "books_earned": pytest.approx(-0.99),
        "fills_earned": -1.0,
        "beyond": pytest.approx(0.01),
    }


def bars_of(gaps: np.ndarray, best: np.ndarray, side: str = "buy", pause: bool = True) -> Prices:
    """Bars of shape (bars, symbols) that close at 100 and open ``gaps`` away, where ``best`` at their best price."""
    at = pd.date_range("2020-01-01", periods=len(gaps), freq="D", tz="UTC")
    opens = 100.0 + gaps
    low, high = np.minimum(opens, 100.0) - 1.0, np.maximum(opens, 100.0) + 1.0
    low, high = (np.where(best, opens, low), high) if side == "buy" else (low, np.where(best, opens, high))
    close = np.clip(np.full(opens.shape, 100.0), low, high)
    panels = [pd.DataFrame(panel, at, list("AB")[: opens.shape[1]]) for panel in (opens, high, low, close, close)]
    return Prices(*panels, at, at + pd.Timedelta(hours=6 if pause else 24), "XNYS")


def filled_on(prices: Prices, rows: np.ndarray, side: str = "buy") -> Finding:
    """One fill of A at each of these opens, a hundredth of its price away for the spread."""
    price = prices.open["A"].to_numpy()[rows] * (1.01 if side == "buy" else 0.99)
    orders = pd.DataFrame({"symbol": "A", "bar": rows, "size": 1.0, "price": price, "fees": 0.0, "side": side})
    return check_fills(orders, prices, fill="open", half_spread=0.01)


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize(
    ("at_best", "verdict"),
    # 0.36 against 0.09 by chance is 4.7 standard errors, 0.44 against 0.11 is 5.3.
    [(0, "pass"), (9, "pass"), (11, "suspicious"), (25, "suspicious")],
)
def test_fills_at_the_best_price_are_held_against_chance(side: str, at_best: int, verdict: str) -> None:
    sign = 1.0 if side == "buy" else -1.0
    gaps = -sign * np.linspace(0.3, 0.6, 100)[:, None]
    prices = bars_of(gaps, (np.arange(100) < at_best)[:, None], side)
    finding = filled_on(prices, np.arange(25), side)
    assert finding.verdict == verdict
    share = f"{at_best / 25:.0%}", f"{at_best / 100:.0%}"
    assert all(told in finding.detail for told in share)
    if verdict == "suspicious":
        assert finding.effect == at_best / 25
        assert [row["open_at"] for row in finding.evidence] == [at.isoformat() for at in prices.open_at[:5]]
        first = finding.evidence[0]
        assert first["raw_price"] == first["low" if side == "buy" else "high"] == pytest.approx(100 - sign * 0.3)
        assert first["without_spread"] == pytest.approx(first["raw_price"])
        assert first["price"] == pytest.approx(first["raw_price"] * (1 + sign * 0.01))
    # On the other side of the market the same prices are the worst.
    assert filled_on(prices, np.arange(25), "sell" if side == "buy" else "buy").verdict == "pass"


@pytest.mark.parametrize(("others", "verdict"), [(0, "suspicious"), (2, "pass")])
def test_ten_points_beyond_chance_are_needed_however_many_fills(others: int, verdict: str) -> None:
    # 180 of 900 fills at the low, and of 1,800 bars 180 or 182.
    gaps = np.tile(-np.linspace(0.3, 0.6, 900)[:, None], (1, 2))
    best = np.column_stack([np.arange(900) < 180, np.arange(900) < others])
    assert filled_on(bars_of(gaps, best), np.arange(900)).verdict == verdict


def test_bars_of_one_tick_open_at_an_extreme_half_the_time_and_are_not_doubted() -> None:
    """Half of all opens are the low where a bar is one tick wide: that is chance, not knowledge."""
    gaps = -np.linspace(0.3, 0.6, 400)[:, None]
    prices = bars_of(gaps, (np.arange(400) % 5 < 3)[:, None])
    finding = filled_on(prices, np.arange(400))
    assert finding.verdict == "pass"
    assert "60% sit at its best price (60% by chance)" in finding.detail
    assert filled_on(prices, np.flatnonzero(np.arange(400) % 5 < 3)).verdict == "suspicious"


def test_nineteen_fills_are_too_few_to_hold_against_chance_and_twenty_are_enough() -> None:
    prices = bars_of(-np.linspace(0.3, 0.6, 400)[:, None], (np.arange(400) < 20)[:, None])
    assert filled_on(prices, np.arange(19)).verdict == "pass"
    assert filled_on(prices, np.arange(20)).verdict == "suspicious"


@pytest.mark.parametrize(
    ("repeated", "one_tick", "verdict"),
    [(4, 0, "pass"), (5, 0, "suspicious"), (6, 2, "suspicious"), (6, 3, "pass"), (25, 0, "suspicious")],
)
def test_opens_that_repeat_the_close_are_held_against_those_one_tick_away(
    repeated: int, one_tick: int, verdict: str
) -> None:
    gaps = np.r_[0.5, np.zeros(repeated), np.full(one_tick, 0.01), 0.02, 0.02, 0.02, np.linspace(0.3, 0.6, 99)][:26]
    gaps, none = np.r_[gaps, 0.01][:, None], np.zeros((27, 1), bool)
    finding = filled_on(bars_of(gaps, none), np.arange(1, 26))
    assert (finding.verdict, "repeats the close before" in finding.detail) == (verdict, verdict == "suspicious")
    if verdict == "suspicious":
        assert finding.effect == repeated / 25
        assert f"{repeated} of 25 fills after a pause" in finding.detail
        assert finding.evidence[0]["open_at"] == "2020-01-02T00:00:00+00:00"
        assert finding.evidence[0]["raw_price"] == 100.0
    told = filled_on(bars_of(gaps, none, pause=False), np.arange(1, 26))
    assert told.verdict == "pass", "bars that follow each other without a pause go on where they were"


def test_a_bar_without_a_range_is_no_open_that_repeats() -> None:
    """Nothing traded on a flat bar: it repeats the close because nobody came."""
    prices = bars_of(np.zeros((40, 1)), np.zeros((40, 1), bool))
    assert filled_on(prices, np.arange(1, 40)).verdict == "suspicious"
    flat = replace(prices, high=prices.open, low=prices.open)
    assert filled_on(flat, np.arange(1, 40)).verdict == "pass"


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize(("better", "verdict"), [(0.5e-7, "pass"), (2e-7, "leak"), (-0.01, "pass")])
def test_a_fill_is_better_from_rounding_on(side: str, better: float, verdict: str) -> None:
    prices = bars_of(-np.linspace(0.3, 0.6, 30)[:, None], np.zeros((30, 1), bool))
    sign = 1.0 if side == "buy" else -1.0
    raw = prices.open["A"].to_numpy()[[3, 8]]
    price = raw * (1 + 0.01 * sign) * [1.0, 1.0 - sign * better]
    orders = pd.DataFrame({"symbol": "A", "bar": [3, 8], "size": 1.0, "price": price, "fees": 0.0, "side": side})
    finding = check_fills(orders, prices, fill="open", half_spread=0.01)
    assert finding.verdict == verdict
    if verdict == "leak":
        assert (finding.effect, len(finding.evidence)) == (0.5, 1)
        assert finding.evidence[0]["open_at"] == prices.open_at[8].isoformat()
        assert finding.evidence[0]["raw_price"] == raw[1]
        assert "1 of 2 fills are better than the open" in finding.detail


@pytest.mark.parametrize("bound", ["low", "high"])
def test_a_raw_price_outside_its_bar_is_told_and_one_on_its_edge_is_not(bound: str) -> None:
    prices = bars_of(-np.linspace(0.3, 0.6, 30)[:, None], np.zeros((30, 1), bool))
    edge = getattr(prices, bound).copy()
    edge.iloc[5] = prices.open.iloc[5]
    assert filled_on(replace(prices, **{bound: edge}), np.arange(4, 8)).verdict == "pass"
    edge.iloc[5] *= 1 + (2e-7 if bound == "low" else -2e-7)
    finding = filled_on(replace(prices, **{bound: edge}), np.arange(4, 8))
    assert (finding.verdict, finding.effect, len(finding.evidence)) == ("suspicious", 0.25, 1)
    assert finding.evidence[0]["open_at"] == prices.open_at[5].isoformat()


def test_fills_without_a_raw_price_are_passed_over() -> None:
    prices = bars_of(-np.linspace(0.3, 0.6, 30)[:, None], np.zeros((30, 1), bool))
    orders = pd.DataFrame(
        {"symbol": "A", "bar": [2, 3], "size": 1.0, "price": [1.0, 101.0], "fees": 0.0, "side": "buy"}
    )
    gone = replace(prices, open=prices.open.copy())
    gone.open.iloc[2] = np.nan
    found = check_fills(orders, gone, fill="open", half_spread=0.0)
    assert (found.verdict, found.detail) == ("pass", "All 1 fills are at the raw open.")
    gone = replace(prices, open=prices.open * np.nan)
    assert check_fills(orders, gone, fill="open", half_spread=0.0).verdict == "not-applicable"
