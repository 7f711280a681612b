"""Four witnesses of one account: vectorbt's books, the compiled kernel, a ledger kept by hand, and plain arithmetic."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.account_worlds import CASH, FREE, asleep, books_of, build, by_hand, cases

from embargo.backtest.books import kernel
from embargo.backtest.books.costs import Costs
from embargo.backtest.books.execution import Execution, trailing_volatility, trailing_volume
from embargo.backtest.books.simulation import bar_years, marks, simulate
from embargo.data_loaders.calendars import label_sessions

COUNTS = ("stale_exits", "dead_bar_orders", "capped_orders", "impact_unknown", "margin_calls", "rows_after_ruin")


def market_of(world, execution):
    fill = world.close if execution.fill == "close" else world.open
    panels = {name: panel.to_numpy() for name, panel in world.panels().items() if name not in ("weights", "open")}
    return kernel.Market(fill=fill.to_numpy(), years=bar_years(world.open_at), **panels)


def recorded(world, costs, execution):
    return kernel.record(world.weights.to_numpy(), market_of(world, execution), costs, execution, initial_cash=CASH)


def assert_kernel_is_ledger(case):
    world, costs, execution = case
    ledger = by_hand(world, costs, execution)
    found = recorded(world, costs, execution)
    np.testing.assert_allclose(found.account.equity, ledger.equity, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(found.account.returns, ledger.returns, rtol=1e-9, atol=1e-10)
    sizes, prices = np.zeros(world.weights.shape), np.zeros(world.weights.shape)
    for bar, column, size, price in ledger.orders:
        sizes[bar, column], prices[bar, column] = size, price
    np.testing.assert_allclose(found.sizes, sizes, rtol=1e-9, atol=1e-7)
    traded = sizes != 0.0
    np.testing.assert_allclose(found.prices[traded], prices[traded], rtol=1e-9)
    assert found.fees.sum() == pytest.approx(ledger.fees, rel=1e-9, abs=1e-6)
    fast = kernel.run(world.weights.to_numpy(), market_of(world, execution), costs, execution, initial_cash=CASH)
    np.testing.assert_array_equal(fast.equity, found.account.equity)


@settings(max_examples=50)
@given(cases(bars=18))
def test_the_kernel_is_the_ledger(case):
    assert_kernel_is_ledger(case)


@pytest.mark.slow
@settings(max_examples=2_000)
@given(cases(bars=40))
def test_the_kernel_is_the_ledger_on_two_thousand_panels(case):
    assert_kernel_is_ledger(case)


def assert_engines_agree(case):
    world, costs, execution = case
    ledger = by_hand(world, costs, execution)
    reported, compiled = (books_of(world, costs, execution, engine) for engine in ("vectorbt", "kernel"))
    for books in (reported, compiled):
        np.testing.assert_allclose(books.equity, ledger.equity, rtol=1e-9, atol=1e-6)
        assert books.commission == pytest.approx(ledger.fees, rel=1e-9, abs=1e-6)
        assert books.borrow_paid == pytest.approx(ledger.borrow_paid, rel=1e-9, abs=1e-6)
        assert books.interest_paid == pytest.approx(ledger.interest_paid, rel=1e-9, abs=1e-6)
        assert books.funding_paid == pytest.approx(ledger.funding_paid, rel=1e-9, abs=1e-6)
        spread = books.spread_paid + books.impact_paid + books.haircut_paid
        assert spread == pytest.approx(ledger.spread_paid, rel=1e-9, abs=1e-6)
        assert {name: books.counts[name] for name in COUNTS} == {name: getattr(ledger, name) for name in COUNTS}
        assert len(books.orders) == len(ledger.orders)
    assert reported.counts == compiled.counts
    pd.testing.assert_frame_equal(reported.realised_weights, compiled.realised_weights, rtol=1e-9, atol=1e-9)


@settings(max_examples=8)
@given(cases())
def test_both_engines_are_the_ledger(case):
    assert_engines_agree(case)


@pytest.mark.slow
@settings(max_examples=250)
@given(cases(bars=40))
def test_both_engines_are_the_ledger_on_many_panels(case):
    assert_engines_agree(case)


def assert_vectorbt_sizes_alike(case):
    """Let vectorbt size the orders itself, from target percentages; no impact, lots, caps, margin or carry."""
    import vectorbt

    world, costs, execution = case
    fill, later = (world.close, world.close) if execution.fill == "close" else (world.open, world.close)
    worth = marks(fill, later)
    if execution.fill == "close":
        worth[:-1] = fill.ffill().to_numpy()
        worth[-1] = worth[-2]
    missing = fill.isna().to_numpy()
    run = np.zeros(len(fill.columns), dtype=int)
    price, target = fill.to_numpy(copy=True), world.weights.to_numpy(copy=True)
    for t in range(len(fill)):
        run = np.where(missing[t], run + 1, 0)
        gone = run == execution.stale_after
        target[t, gone], price[t, gone] = 0.0, worth[t, gone]
    solid = np.where(np.isnan(worth), 1.0, worth)
    portfolio = vectorbt.Portfolio.from_orders(
        close=pd.DataFrame(solid[1:]),
        size=target,
        size_type="targetpercent",
        price=price,
        val_price=solid[:-1],
        fees=costs.fee,
        slippage=costs.slippage,
        init_cash=CASH,
        group_by=True,
        cash_sharing=True,
        call_seq="auto",
        freq="1D",
    )
    value = np.array(portfolio.value(), dtype=float)
    alive = int(np.argmax(value <= 0.0)) if (value <= 0.0).any() else len(value)
    books = books_of(world, costs, execution)
    np.testing.assert_allclose(books.equity[:alive], value[:alive], rtol=1e-9, atol=1e-6)
    assert books.counts["rows_after_ruin"] == max(0, len(value) - alive - 1)


PLAIN = {
    "costs": st.builds(
        Costs,
        fee=st.sampled_from([0.0, 0.0005, 0.01]),
        slippage=st.sampled_from([0.0, 0.002]),
        borrow_annual=st.just(0.0),
    ),
    "executions": st.builds(Execution, fill=st.sampled_from(["open", "close"]), stale_after=st.sampled_from([1, 2, 5])),
}


def unfunded(case):
    world, costs, execution = case
    return world.but(funding=world.funding * 0.0, dead=None), costs, execution


@settings(max_examples=6)
@given(cases(**PLAIN).map(unfunded))
def test_vectorbts_own_sizing_is_a_third_witness(case):
    assert_vectorbt_sizes_alike(case)


@pytest.mark.slow
@settings(max_examples=200)
@given(cases(bars=40, **PLAIN).map(unfunded))
def test_vectorbts_own_sizing_on_many_panels(case):
    assert_vectorbt_sizes_alike(case)


def test_generated_worlds_reach_every_rule():
    """A differential test over accounts in which nothing happens proves nothing."""
    reached = dict.fromkeys(COUNTS, 0)
    rng = np.random.default_rng(5)
    for seed in range(40):
        execution = Execution(
            leverage=float(rng.choice([2.0, 4.0])),
            participation=rng.choice([None, 0.02]),
            stale_after=2,
            haircut=0.3,
            maintenance=0.5,
        )
        world = asleep(build(seed, gaps=0.2, swing=0.2, gross=execution.leverage), seed)
        ledger = by_hand(world, Costs(impact=0.5, interest_annual=0.06), execution)
        for name in COUNTS:
            reached[name] += getattr(ledger, name) > 0
    assert min(reached.values()) >= 3, reached


def hand(prices, weights, costs=FREE, volume=1e9, volatility=0.02, funding=0.0, cash=10_000.0, **execution):
    """Books of a small account whose open and close are the same price."""
    index = pd.DatetimeIndex(
        pd.date_range("2021-03-01", periods=len(prices), freq="D", tz="UTC", unit="us"), freq=None, name="open_at"
    )
    names = list("ABC"[: len(prices[0])])
    price, weight = (pd.DataFrame(values, index=index, columns=names, dtype=float) for values in (prices, weights))
    panels = {
        name: pd.DataFrame(np.broadcast_to(np.asarray(values, dtype=float), price.shape), index=index, columns=names)
        for name, values in (("volume", volume), ("volatility", volatility), ("funding", funding))
    }
    world = build(0).but(weights=weight, open=price, close=price, **panels)
    rules = Execution(**execution)
    ledger = by_hand(world, costs, rules, cash)
    books = books_of(world, costs, rules, "vectorbt", cash)
    np.testing.assert_allclose(books.equity, ledger.equity, rtol=1e-9, atol=1e-9)
    return books, ledger


@pytest.mark.parametrize("fill", ["open", "close"])
def test_nothing_fills_on_a_dead_bar_and_what_was_wanted_waits(fill):
    prices, dead = [[100.0]] * 5, np.array([[False], [True], [True], [False], [True]])
    weights = [[0.5], [0.0], [0.5], [0.0], [0.0]]
    open_at = pd.date_range("2021-03-01", periods=5, freq="D", tz="UTC", unit="us")
    price, weight, flag = (pd.DataFrame(values, index=open_at, columns=["A"]) for values in (prices, weights, dead))
    for engine in ("vectorbt", "kernel"):
        books = simulate(
            weight, price, price, open_at=open_at, costs=FREE, execution=Execution(fill=fill), dead=flag, engine=engine
        )
        # The exit of bar 1 fails, bar 2 wants what is held, bar 3 sells, and on bar 4 nothing is wanted.
        assert books.orders["bar"].tolist() == [0, 3]
        assert books.counts["dead_bar_orders"] == 1
        assert books.counts["rejected_orders"] == books.counts["blocked_orders"] == books.counts["stale_exits"] == 0
        assert books.realised_weights["A"].tolist() == pytest.approx([0.5, 0.5, 0.5, 0.0, 0.0])


def test_the_minimum_fee_and_the_fee_per_share_by_arithmetic():
    costs = Costs(0.001, 0.0, 0.0, fee_per_share=0.01, fee_minimum=8.0)
    books, _ = hand([[100.0], [100.0], [100.0]], [[0.5], [0.0], [0.9]], costs)
    assert books.orders["fees"].tolist() == pytest.approx([8.0, 8.0, 0.0011 * 0.9 * 9984])
    assert books.equity.iloc[1] == pytest.approx(9984.0)


def test_a_buy_that_cannot_pay_the_minimum_fee_is_not_filled():
    books, _ = hand([[100.0, 50.0]], [[0.4, 0.6]], Costs(0.0, 0.0, 0.0, fee_minimum=10_000.0))
    assert len(books.orders) == 0
    books, ledger = hand([[100.0, 50.0]], [[0.4, 0.6]], Costs(0.0, 0.0, 0.0, fee_minimum=3000.0))
    assert ledger.orders == [(0, 0, pytest.approx(40.0), 100.0)]
    assert ledger.cash == pytest.approx(3000.0)


def test_impact_is_the_square_root_of_participation():
    books, _ = hand([[100.0]], [[-0.5]], Costs(0.0, 0.001, 0.0, impact=0.8), volume=2000.0, volatility=0.02)
    assert books.orders["price"].iloc[0] == pytest.approx(100 * (1 - 0.001 - 0.8 * 0.02 * np.sqrt(50 / 2000)))
    books, _ = hand([[100.0]], [[-0.5]], Costs(0.0, 0.001, 0.0, impact=0.8), volume=np.nan)
    assert books.orders["price"].iloc[0] == pytest.approx(99.9)
    assert books.counts["impact_unknown"] == 1


@pytest.mark.parametrize(("unfilled", "held"), [("carry", [20.0, 40.0, 50.0, 0.0]), ("drop", [20.0, 20.0, 20.0, 0.0])])
def test_what_the_cap_cut_is_carried_or_dropped(unfilled, held):
    books, ledger = hand(
        [[100.0]] * 4,
        [[0.5]] * 3 + [[0.0]],
        FREE,
        volume=[[200.0]] * 3 + [[2000.0]],
        participation=0.1,
        unfilled=unfilled,
    )
    assert [row[0] for row in ledger.held] == pytest.approx(held)
    assert books.counts["capped_orders"] == (2 if unfilled == "carry" else 1)


def test_no_known_volume_means_no_fill_under_a_cap():
    books, _ = hand([[100.0]] * 2, [[0.5]] * 2, FREE, volume=[[np.nan], [0.0]], participation=0.1)
    assert len(books.orders) == 0
    assert books.counts["capped_orders"] == 2


def test_lots_round_towards_zero_but_a_whole_exit_is_never_rounded():
    _, ledger = hand([[100.0], [50.0], [30.0], [30.0]], [[0.37], [-0.2], [0.0], [0.0]], FREE, lot=10.0)
    # 37 -> 30 shares; -0.2 * 8500 / 50 = -34, from 30: -64 -> -60; the rest goes whole.
    assert [(bar, size) for bar, _, size, _ in ledger.orders] == [(0, 30.0), (1, -60.0), (2, 30.0)]


def test_a_capped_exit_is_rounded_and_the_odd_rest_leaves_whole():
    _, ledger = hand(
        [[100.0]] * 3, [[0.5], [0.0], [0.0]], FREE, volume=[[1e9], [350.0], [1e9]], participation=0.1, lot=20.0
    )
    assert [size for _, _, size, _ in ledger.orders] == pytest.approx([40.0, -20.0, -20.0])


def test_borrowed_cash_costs_interest_and_earns_with_leverage():
    books, ledger = hand([[100.0], [110.0]], [[2.0], [2.0]], Costs(0.0, 0.0, 0.0, interest_annual=0.10), leverage=2.0)
    interest = 10_000 * 0.10 / 365.25
    assert books.equity.iloc[0] == pytest.approx(10_000 + 2_000 - interest)
    assert ledger.interest_paid == pytest.approx(books.interest_paid)
    second = 12_000 - interest
    assert books.interest_paid == pytest.approx(interest + second * 0.10 / 365.25)


def test_a_margin_call_halves_the_allowed_gross():
    books, _ = hand([[100.0], [75.0], [75.0]], [[3.0]] * 3, FREE, leverage=3.0, maintenance=0.25)
    # 300 shares, 20,000 owed; at 75 the equity is 2,500 and the gross 22,500: below a quarter.
    assert books.counts["margin_calls"] == 1
    assert books.realised_weights["A"].tolist() == pytest.approx([3.0, 1.5, 3.0])


def test_longs_pay_positive_funding_and_shorts_receive_it():
    books, _ = hand([[100.0, 100.0]] * 2, [[0.5, -0.25]] * 2, FREE, funding=[[0.01, 0.01], [np.nan, 0.0]])
    assert books.equity.tolist() == pytest.approx([10_000 * (1 - 0.005 + 0.0025)] * 2)
    assert books.funding_paid == pytest.approx(25.0)


def test_a_position_that_stopped_trading_is_written_out_with_a_haircut():
    prices = [[100.0, 100.0]] + [[np.nan, np.nan]] * 3
    books, _ = hand(
        prices,
        [[0.4, -0.4]] * 4,
        Costs(0.0, 0.01, 0.0, impact=0.5),
        stale_after=2,
        haircut=0.2,
        participation=0.001,
        lot=3.0,
    )
    exits = books.orders[books.orders["bar"] == 2].set_index("symbol")["price"]
    assert exits["A"] == pytest.approx(100 * 0.8 * 0.99)
    assert exits["B"] == pytest.approx(100 * 1.2 * 1.01)
    assert books.counts["stale_exits"] == 2


def test_buys_take_the_cash_in_order_of_size():
    books, _ = hand([[100.0, 10.0, 1.0]], [[0.5, 0.2, 0.3]], Costs(0.1 - 1e-9, 0.0, 0.0))
    assert books.orders.set_index("symbol")["size"]["B"] == pytest.approx(200.0)
    assert books.orders.set_index("symbol")["size"]["C"] == pytest.approx(3000.0)
    assert books.orders.set_index("symbol")["size"]["A"] == pytest.approx((10_000 - 5_500) / 110.0)


def test_behind_a_buy_that_did_not_fit_nothing_is_bought():
    costs = Costs(0.0, 0.0, 0.0, fee_minimum=3000.0)
    # 5,000 are left for B's ten shares of 250 and a fee of 3,000; no whole lot fits, and C does not take its place.
    _, ledger = hand([[1.0, 250.0, 1.0]], [[0.2, 0.3, 0.5]], costs, lot=10.0)
    assert ledger.orders == [(0, 0, 2000.0, 1.0)]


def test_a_row_at_the_close_earns_from_its_close_to_the_next():
    world = build(3, gaps=0.0)
    at_close = books_of(world, FREE, Execution(fill="close"))
    shifted = books_of(world.but(open=world.close), FREE, Execution())
    np.testing.assert_allclose(at_close.equity, shifted.equity, rtol=1e-12)
    poisoned = books_of(world.but(open=world.open * 3.0), FREE, Execution(fill="close"))
    pd.testing.assert_series_equal(poisoned.equity, at_close.equity)


@settings(max_examples=12)
@given(st.integers(0, 10_000), st.integers(1, 7))
def test_trailing_figures_know_only_the_bars_before(seed, bars):
    rng = np.random.default_rng(seed)
    panel = pd.DataFrame(np.where(rng.random((15, 2)) < 0.3, np.nan, rng.lognormal(3, 1, (15, 2))))
    found = trailing_volume(panel, bars=bars).to_numpy()
    for t in range(15):
        known = panel.iloc[max(0, t - bars) : t]
        np.testing.assert_allclose(found[t], known.mean().to_numpy(), rtol=1e-9)
    late = trailing_volume(panel, np.arange(15) - 2, bars=bars).to_numpy()
    np.testing.assert_allclose(late[1:], found[:-1], rtol=1e-9)
    whole = panel.ffill().bfill()
    swings = trailing_volatility(whole, bars=5).to_numpy()
    moves = whole.pct_change()
    for t in range(7, 15):
        np.testing.assert_allclose(swings[t], moves.iloc[t - 5 : t].std(ddof=1).to_numpy(), rtol=1e-9)


def real_world(table, start, stop, seed=0, gross=0.95):
    """Real panels with weights of noise that change once a week."""
    panels = {
        name: table.pivot_table(index="date", columns="symbol", values=name, aggfunc="first").loc[start:stop]
        for name in ("open", "close", "volume")
    }
    dates = pd.DatetimeIndex(panels["open"].index)
    open_at, _ = label_sessions(dates, "XNYS", where="prices")
    for panel in panels.values():
        panel.index = open_at
    rng = np.random.default_rng(seed)
    raw = np.repeat(rng.normal(size=(len(dates) // 5 + 1, panels["open"].shape[1])), 5, axis=0)[: len(dates)]
    raw = np.where(panels["open"].notna(), raw, 0.0)
    weights = panels["open"] * 0.0 + gross * raw / np.abs(raw).sum(axis=1, keepdims=True)
    return build(0).but(
        weights=weights.fillna(0.0),
        open=panels["open"],
        close=panels["close"],
        volume=trailing_volume(panels["volume"]),
        volatility=trailing_volatility(panels["close"]),
        funding=panels["open"] * 0.0,
    )


REAL = [("stocknet_prices", "2014-07-01", "2015-03-31", 88), ("us_stocks_daily", "1990-01-02", "1991-06-30", 53)]


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "start", "stop", "symbols"), REAL)
def test_kernel_and_ledger_agree_on_real_shares(real_data, name, start, stop, symbols):
    table = pd.read_parquet(real_data / f"{name}.parquet")
    execution = Execution(leverage=2.0, participation=0.01, lot=1.0, haircut=0.1)
    costs = Costs(fee_per_share=0.005, fee_minimum=1.0, impact=0.5, interest_annual=0.05)
    world = real_world(table, pd.Timestamp(start, tz="UTC"), pd.Timestamp(stop, tz="UTC"), gross=1.6)
    assert world.weights.shape[1] == symbols
    books = books_of(world, costs, execution, cash=1e8)
    ledger = by_hand(world, costs, execution, cash=1e8)
    np.testing.assert_allclose(books.equity, ledger.equity, rtol=1e-9)
    assert np.isfinite(books.equity).all()
    assert (books.equity > 0).all()
    assert books.counts["bars_without_price"] == int(world.open.isna().to_numpy().sum())
    assert {n: books.counts[n] for n in COUNTS} == {n: getattr(ledger, n) for n in COUNTS}
    assert books.counts["capped_orders"] > 0
    assert books.counts["margin_calls"] == 0
    assert books.counts["stale_exits"] <= symbols


@pytest.mark.slow
@pytest.mark.real_data
def test_all_engines_agree_on_53_shares_since_1990(real_data):
    table = pd.read_parquet(real_data / "us_stocks_daily.parquet")
    world = real_world(table, pd.Timestamp("1990-01-02", tz="UTC"), pd.Timestamp("2023-11-07", tz="UTC"))
    costs, execution = Costs(impact=0.5), Execution(participation=0.05)
    ledger = by_hand(world, costs, execution, cash=1e7)
    for engine in ("kernel", "vectorbt"):
        books = books_of(world, costs, execution, engine, cash=1e7)
        np.testing.assert_allclose(books.equity, ledger.equity, rtol=1e-9)
        assert np.isfinite(books.returns).all()
        assert len(books.orders) == len(ledger.orders)
