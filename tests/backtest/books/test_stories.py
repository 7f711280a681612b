"""Leaks of timing and execution as stories: the honest account does not move, and the wrong way is seen to differ."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.account_worlds import FREE, build, by_hand

from embargo.backtest import backtest
from embargo.backtest.books.costs import Costs
from embargo.backtest.books.execution import Execution, dead_bars, trailing_volume
from embargo.backtest.books.simulation import bar_years, simulate
from embargo.data_loaders.archive.prices import read_prices
from embargo.data_loaders.calendars import decision_times, label_sessions, last_closed_bar, sessions
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.funding import funding_panel
from embargo.data_loaders.schemas import Prices

LATENCY = pd.Timedelta(minutes=5)
HOUR = pd.Timedelta(hours=1)


def held(weights, opening, close, costs=FREE, **rules):
    """Books by the kernel; names in ``rules`` that are panels go to the market, the others to the execution."""
    given = {name: rules.pop(name) for name in ("volume", "volatility", "funding") if name in rules}
    execution = Execution(**rules)
    return simulate(
        weights, opening, close, open_at=weights.index, costs=costs, execution=execution, engine="kernel", **given
    )


def instants(index):
    return pd.DatetimeIndex(index, freq=None).as_unit("us")


def hours(n, start="2022-03-01 00:00"):
    return instants(pd.date_range(start, periods=n, freq=HOUR, tz="UTC"))


def constant(index, value=100.0, names="A"):
    return pd.DataFrame(value, index=index, columns=list(names))


def sharpe(returns):
    return returns.mean() / returns.std() * np.sqrt(252)


def noise(n=400, symbols=6, seed=8):
    """Prices without memory: nothing can be earned from what happened."""
    rng = np.random.default_rng(seed)
    index = instants(pd.date_range("2020-01-01 14:30", periods=n, freq="D", tz="UTC"))
    steps = rng.normal(0, 0.01, (2 * n, symbols)).cumsum(axis=0)
    opening, close = (pd.DataFrame(100 * np.exp(steps[k::2]), index=index, columns=list("ABCDEF")) for k in (0, 1))
    return opening, close


def as_weights(signal):
    return signal.div(signal.abs().sum(axis=1).replace(0.0, 1.0), axis=0).fillna(0.0)


def test_t1_a_close_cannot_be_traded_at_the_open_before_it():
    opening, close = noise()
    signal = np.sign(close / opening - 1.0)
    honest = held(as_weights(signal.shift(1)), opening, close)
    same_bar = held(as_weights(signal), opening, close)
    assert abs(sharpe(honest.returns)) < 2.0
    assert sharpe(same_bar.returns) > 10.0


def test_t1_every_fill_comes_after_its_decision_and_at_that_bars_open():
    opening, close = noise()
    weights = as_weights(np.sign(close / opening - 1.0).shift(1))
    orders = held(weights, opening, close).orders
    bar = orders["bar"].to_numpy()
    decided_at = decision_times(weights.index, LATENCY)
    assert (pd.DatetimeIndex(orders["fill_at"]) == weights.index[bar]).all()
    assert (pd.DatetimeIndex(orders["fill_at"]) > decided_at[bar]).all()
    columns = opening.columns.get_indexer(orders["symbol"])
    np.testing.assert_allclose(orders["price"], opening.to_numpy()[bar, columns])


def test_t1_a_fill_at_the_close_earns_nothing_of_its_own_bar():
    opening, close = noise()
    weights = as_weights(np.sign(close / opening - 1.0))
    at_close = held(weights, opening, close, fill="close")
    assert abs(sharpe(at_close.returns)) < 2.0
    np.testing.assert_allclose(
        at_close.returns[:-1], (weights * (close.shift(-1) / close - 1.0)).sum(axis=1)[:-1], atol=1e-12
    )


def test_t2_a_bar_stamped_at_its_open_is_not_known_at_its_open():
    """Round the clock the bar before is still open when a row is decided: its volume is two bars away."""
    open_at = hours(48)
    last = last_closed_bar(open_at + HOUR, decision_times(open_at, LATENCY))
    np.testing.assert_array_equal(last[1:], np.arange(1, 48) - 2)
    volume = pd.DataFrame(np.random.default_rng(0).lognormal(5, 1, (48, 1)), index=open_at, columns=["A"])
    poisoned = volume.copy()
    poisoned.iloc[29:31] *= 1e6
    weights, prices = constant(open_at, 0.9), constant(open_at)

    late = weights * (np.arange(48) >= 30)[:, None]

    def moved(closed):
        realised = [
            held(late, prices, prices, participation=0.1, volume=trailing_volume(panel, closed)).realised_weights[:31]
            for panel in (volume, poisoned)
        ]
        return not realised[0].equals(realised[1])

    assert not moved(last)
    assert moved(np.arange(48) - 1)
    with pytest.raises(DataError, match="cannot have closed"):
        trailing_volume(volume, np.arange(48))


def test_t2_a_session_bar_is_known_the_next_morning():
    table = sessions("XNYS", pd.Timestamp("2014-06-30"), pd.Timestamp("2014-07-11"))
    open_at, close_at = pd.DatetimeIndex(table["open_at"]), pd.DatetimeIndex(table["close_at"])
    last = last_closed_bar(close_at, decision_times(open_at, LATENCY))
    np.testing.assert_array_equal(last, np.arange(len(table)) - 1)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_t3_a_half_formed_last_bar_changes_no_decision_and_no_open_fill(factor):
    world = build(2, gaps=0.0)
    rules = {"participation": 0.3, "volume": world.volume, "volatility": world.volatility}
    costs = Costs(impact=0.5)
    forming = world.close.copy()
    forming.iloc[-1] *= factor
    whole, half = (held(world.weights, world.open, close, costs, **rules) for close in (world.close, forming))
    pd.testing.assert_frame_equal(half.orders, whole.orders)
    pd.testing.assert_frame_equal(half.realised_weights, whole.realised_weights)
    pd.testing.assert_series_equal(half.returns[:-1], whole.returns[:-1])
    assert half.returns.iloc[-1] != whole.returns.iloc[-1]
    rules["fill"] = "close"
    whole, half = (held(world.weights, world.open, close, costs, **rules) for close in (world.close, forming))
    assert not half.orders.equals(whole.orders)


def easter(calendar_days):
    """Real bars of Easter 2014 laid out on a calendar; Good Friday, 18 April, was no session."""
    table = sessions("XNYS", pd.Timestamp("2014-04-14"), pd.Timestamp("2014-04-25"))
    prices = pd.DataFrame({"A": 100.0 + np.arange(len(table))}, index=table.index)
    prices = prices.reindex(calendar_days.as_unit("us"))
    index = instants((calendar_days + pd.Timedelta(hours=13, minutes=30)).tz_localize("UTC"))
    return prices.set_axis(index)


def test_t6_good_friday_is_no_missing_session():
    span = (pd.Timestamp("2014-04-14"), pd.Timestamp("2014-04-25"))
    right, wrong = easter(sessions("XNYS", *span).index), easter(pd.bdate_range(*span))
    assert len(wrong) == len(right) + 1
    books, weekdays = (held(constant(p.index, 0.5), p, p, stale_after=1) for p in (right, wrong))
    assert (books.counts["bars_without_price"], books.counts["stale_exits"]) == (0, 0)
    assert (weekdays.counts["bars_without_price"], weekdays.counts["stale_exits"]) == (1, 1)
    assert weekdays.equity.iloc[-1] != books.equity.iloc[-1]


@pytest.mark.parametrize(
    ("friday", "monday", "length"),
    [("2014-03-07", "2014-03-10", 71.0), ("2014-10-31", "2014-11-03", 73.0), ("2014-04-04", "2014-04-07", 72.0)],
)
def test_t6_borrow_runs_over_the_hours_that_the_clock_really_ran(friday, monday, length):
    """A weekend with a change of clocks is an hour shorter or longer in New York."""
    open_at, _ = label_sessions(pd.DatetimeIndex([friday, monday]).tz_localize("UTC"), "XNYS", where="here")
    open_at = instants(open_at)
    prices = constant(open_at)
    books = held(constant(open_at, -0.5), prices, prices, Costs(0.0, 0.0, 0.10))
    assert books.returns.iloc[0] == pytest.approx(-0.05 * length / 24 / 365.25, rel=1e-9)
    by_label = pd.DatetimeIndex([friday, monday]).tz_localize("UTC").as_unit("us")
    same = np.isclose(bar_years(by_label)[0], bar_years(open_at)[0])
    assert same == (length == 72.0)


def test_t6_a_half_day_closes_early_and_its_close_is_known_then():
    table = sessions("XNYS", pd.Timestamp("2014-07-02"), pd.Timestamp("2014-07-03"))
    close_at = pd.DatetimeIndex(table["close_at"])
    assert [f"{instant:%H:%M}" for instant in close_at] == ["20:00", "17:00"]
    afternoon = pd.DatetimeIndex(["2014-07-03 18:00"], tz="UTC").as_unit("us")
    assert last_closed_bar(close_at, afternoon)[0] == 1
    always_four = close_at.normalize() + pd.Timedelta(hours=20)
    assert last_closed_bar(always_four, afternoon)[0] == 0


@pytest.mark.parametrize("panel", ["close", "volume", "both"])
def test_t7_nothing_of_the_fill_bar_but_its_open_touches_an_open_fill(panel):
    world = build(6, gaps=0.0, bars=30)
    raw = pd.DataFrame(np.random.default_rng(6).lognormal(7, 1, world.open.shape), world.open.index, world.open.columns)
    costs, bar = Costs(impact=0.5), 20

    def fills(close, traded):
        books = held(world.weights, world.open, close, costs, participation=0.05, volume=traded)
        return books.orders[books.orders["bar"] <= bar].reset_index(drop=True)

    close, volume = world.close.copy(), raw.copy()
    if panel in ("close", "both"):
        close.iloc[bar] *= 5.0
    if panel in ("volume", "both"):
        volume.iloc[bar] *= 100.0
    pd.testing.assert_frame_equal(fills(close, trailing_volume(volume)), fills(world.close, trailing_volume(raw)))
    capped_by_its_own_bar = fills(close, volume), fills(world.close, raw)
    assert capped_by_its_own_bar[0].equals(capped_by_its_own_bar[1]) == (panel == "close")


def test_t7_a_bar_that_will_not_trade_again_is_still_filled_at_its_open():
    """A limit or halt later in the bar shows in its close alone; the open fill must not know of it."""
    world = build(6, gaps=0.0)
    halted = world.close.copy()
    halted.iloc[10] = np.nan
    plain, late = (held(world.weights, world.open, close).orders for close in (world.close, halted))
    pd.testing.assert_frame_equal(late, plain)


def quoted(seed, bars=40):
    """Prices of a vendor that writes the last close for bars on which nothing traded."""
    world, rng = build(seed, bars=bars, symbols=3, gaps=0.0), np.random.default_rng(seed)
    volume = pd.DataFrame(rng.integers(0, 3, world.open.shape) * 0.5, world.open.index, world.open.columns)
    level = {name: getattr(world, name).copy() for name in ("open", "close")}
    flat = rng.random(world.open.shape) < 0.4
    before = level["close"].shift(1).fillna(level["open"])
    level = {name: panel.where(~flat, before) for name, panel in level.items()}
    high, low = (np.maximum(level["open"], level["close"]), np.minimum(level["open"], level["close"]))
    high = high.where(flat, high * 1.01)
    at = world.open_at
    return Prices(level["open"], high, low, level["close"], volume, at, at + pd.Timedelta(hours=6), "24/7")


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 39))
def test_a_dead_bar_is_told_by_its_own_record_and_by_volumes_before_it(seed, bars):
    prices = quoted(seed)
    dead = dead_bars(prices)
    for name in dead:
        for t in range(len(dead)):
            own = {field: getattr(prices, field)[name].iloc[t] for field in ("open", "high", "low", "close", "volume")}
            still = own["open"] == own["high"] == own["low"] == own["close"] and own["volume"] == 0.0
            assert dead[name].iloc[t] == (still and (prices.volume[name].iloc[:t] > 0.0).any())
    pd.testing.assert_frame_equal(dead_bars(prices.select(bars=np.arange(bars))), dead.iloc[:bars])
    for unknown in (0.0, np.nan):
        silent = replace(prices, volume=prices.volume * 0.0 + unknown)
        assert not dead_bars(silent).to_numpy().any()


def test_t7_a_dead_bar_stops_its_fill_and_no_decision():
    """Whoever decides cannot know it: the order is sent, and fails."""
    prices = quoted(1)
    weights = pd.DataFrame(0.2, prices.open_at, prices.open.columns) * [1.0, -1.0, 1.0]
    weights.iloc[1::2] *= -1.0
    result = backtest(weights, prices, n_boot=100, engine="kernel")
    dead = dead_bars(prices).to_numpy()
    assert dead.any()
    assert result.books.counts["dead_bar_orders"] == dead.sum()
    column = prices.open.columns.get_indexer(pd.Index(result.books.orders["symbol"]))
    assert not dead[result.books.orders["bar"], column].any()
    assert f"{dead.sum()} on bars without trade" in str(result)
    pd.testing.assert_frame_equal(result.weights, weights, check_freq=False)


def test_the_day_that_never_traded(cases):
    """Eight shares with a flat bar of no volume on one day; the clean twin has none."""
    found, clean = (
        dead_bars(read_prices(cases / folder / "prices.csv", calendar="XNYS").prices)
        for folder in ("flat_zero_volume", "base")
    )
    assert found.loc["2014-10-20"].to_numpy().all()
    assert found.to_numpy().sum() == 8
    assert not clean.to_numpy().any()


def perpetual(settlements, rates, n=48):
    open_at = hours(n)
    prices = constant(open_at)
    facts = pd.DataFrame({"symbol": "A", "settles_at": pd.DatetimeIndex(settlements), "rate": rates})
    panels = dict.fromkeys(("open", "high", "low", "close", "volume"), prices)
    bars = Prices(**panels, open_at=open_at, close_at=open_at + HOUR, calendar="24/7")
    return open_at, prices, funding_panel(facts, bars)[0]


@pytest.mark.parametrize(
    ("first", "last", "times"), [(0, 8, 1), (8, 9, 0), (7, 8, 1), (9, 15, 0), (8, 17, 1), (0, 17, 2)]
)
def test_t8_funding_is_paid_by_who_holds_at_the_settlement(first, last, times):
    """Held from the open of bar ``first`` to the open of bar ``last``; settlements at 08:00 and 16:00."""
    eight = pd.Timestamp("2022-03-01 08:00", tz="UTC")
    open_at, prices, rates = perpetual([eight, eight + 8 * HOUR], [0.001, 0.001])
    weights = constant(open_at, 0.0)
    weights.iloc[first:last] = 0.5
    books = held(weights, prices, prices, funding=rates)
    assert books.funding_paid == pytest.approx(1e6 * (1 - (1 - 0.0005) ** times), rel=1e-9, abs=1e-9)
    assert books.equity.iloc[-1] == pytest.approx(1e6 - books.funding_paid)
    charged = np.flatnonzero(books.returns)
    assert set(open_at[charged] + HOUR) <= {eight, eight + 8 * HOUR}


def test_t8_funding_charged_eight_hours_early_is_another_account():
    settlements = pd.date_range("2022-03-01 08:00", periods=5, freq=8 * HOUR, tz="UTC")
    rates = [0.003, -0.001, 0.002, -0.004, 0.001]
    open_at, prices, honest = perpetual(settlements, rates)
    early = honest.shift(-8, fill_value=0.0)
    weights = constant(open_at, -0.8)
    weights.iloc[:9] = 0.8
    right, wrong = (held(weights, prices, prices, funding=panel) for panel in (honest, early))
    assert right.equity.iloc[-1] != pytest.approx(wrong.equity.iloc[-1], rel=1e-6)
    for bar in range(48):
        cut = held(weights.iloc[: bar + 1], prices[: bar + 1], prices[: bar + 1], funding=honest.iloc[: bar + 1])
        np.testing.assert_allclose(cut.returns, right.returns[: bar + 1], atol=1e-15)


def delisted(n=30, gone=20):
    world = build(9, bars=n, gaps=0.0)
    opening, close = world.open.copy(), world.close.copy()
    opening.iloc[gone:, 0] = np.nan
    close.iloc[gone:, 0] = np.nan
    return constant(world.open_at, 0.24, "ABCD"), opening, close


@pytest.mark.parametrize("days", [1, 3, 7, 12])
def test_t9_the_end_of_the_data_is_not_known(days):
    weights, opening, close = delisted()
    whole = held(weights, opening, close, haircut=0.3)
    n = 30 - days
    cut = held(weights[:n], opening[:n], close[:n], haircut=0.3)
    pd.testing.assert_frame_equal(cut.orders, whole.orders[whole.orders["bar"] < n])
    pd.testing.assert_frame_equal(cut.realised_weights, whole.realised_weights[:n])
    assert (cut.realised_weights.iloc[-1][["B", "C", "D"]] > 0.2).all()


def test_t9_a_delisting_is_sold_after_it_and_never_before():
    weights, opening, close = delisted()
    books = held(weights, opening, close, haircut=0.3)
    shares = books.orders[books.orders["symbol"] == "A"]
    assert shares["bar"].iloc[-1] == 20 + 4
    assert shares["price"].iloc[-1] == pytest.approx(close["A"].iloc[19] * 0.7)
    assert books.realised_weights["A"].iloc[19:24].gt(0.1).all()
    clairvoyant = weights.copy()
    clairvoyant.loc[clairvoyant.index[13:20], "A"] = 0.0
    knowing = held(clairvoyant, opening, close, haircut=0.3)
    assert knowing.realised_weights["A"].iloc[19] == 0.0
    assert knowing.equity.iloc[-1] > books.equity.iloc[-1]


def test_t9_the_ledger_tells_the_same_stories():
    weights, opening, close = delisted()
    world = build(9, bars=30, gaps=0.0)
    world = world.but(weights=weights, open=opening, close=close, funding=world.funding * 0.0)
    ledger = by_hand(world, FREE, Execution(haircut=0.3), 1e6)
    np.testing.assert_allclose(held(weights, opening, close, haircut=0.3).equity, ledger.equity, rtol=1e-9)
