"""The compiled account against itself, against vectorbt and against the steps it fuses."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.backtest.books import compiled
from embargo.backtest.books.costs import Costs
from embargo.backtest.books.execution import Execution, trailing_volatility, trailing_volume
from embargo.backtest.books.kernel import Decisions, Market, decision_weights, record, run, sweep, sweep_weights
from embargo.backtest.books.simulation import bar_years, marks, simulate
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.signals.aggregation import AggregationSettings, Evidence, decay
from embargo.signals.weights import WeightSettings, weights_array

FREE = Costs(0.0, 0.0, 0.0)
NAMES = list("ABCDEFGH")


def panels(seed, n=30, symbols=5, gaps=0.1, gross=1.0, long_only=False, volatility=0.04):
    rng = np.random.default_rng(seed)
    close = np.exp(rng.normal(3, 1, symbols) + np.cumsum(rng.normal(0, volatility, (n, symbols)), axis=0))
    opening = close * np.exp(rng.normal(0, volatility / 3, (n, symbols)))
    if gaps:
        gone = rng.random((n, symbols)) < gaps
        gone[n // 2 :, 0] |= seed % 2 == 0
        opening[gone] = np.nan
        close[gone | (rng.random((n, symbols)) < gaps / 2)] = np.nan
    weights = rng.normal(size=(n, symbols))
    weights = np.abs(weights) if long_only else weights
    weights[rng.random((n, symbols)) < 0.2] = 0.0
    weights *= gross / np.maximum(np.abs(weights).sum(axis=1, keepdims=True), 1e-9)
    extra = {
        "volume": np.where(rng.random((n, symbols)) < 0.1, np.nan, rng.lognormal(9, 1, (n, symbols))),
        "volatility": np.where(rng.random((n, symbols)) < 0.1, np.nan, rng.uniform(0.01, 0.05, (n, symbols))),
        "funding": np.where(rng.random((n, symbols)) < 0.1, np.nan, rng.normal(0, 1e-3, (n, symbols))),
    }
    return weights, opening, close, extra


def books(weights, opening, close, costs, execution=Execution(), engine="vectorbt", **extra):  # noqa: B008 - frozen
    index = pd.date_range("2020-01-01 14:30", periods=len(weights), freq="D", tz="UTC", unit="us")
    frames = [pd.DataFrame(panel, index, NAMES[: weights.shape[1]]) for panel in (weights, opening, close)]
    named = {name: pd.DataFrame(panel, index, frames[0].columns) for name, panel in extra.items()}
    return simulate(*frames, open_at=index, costs=costs, execution=execution, engine=engine, **named)


def own_sizing(weights, opening, close, costs):
    """What vectorbt makes of the same targets when it sizes the orders itself; no missing prices, no carry."""
    import vectorbt

    value = np.vstack([opening, close[-1:]])
    portfolio = vectorbt.Portfolio.from_orders(
        close=pd.DataFrame(value[1:]),
        size=weights,
        size_type="targetpercent",
        price=opening,
        val_price=opening,
        fees=costs.fee,
        slippage=costs.slippage,
        init_cash=1e6,
        group_by=True,
        cash_sharing=True,
        call_seq="auto",
        freq="1D",
    )
    return np.array(portfolio.value(), dtype=float)


RATES = st.builds(
    Costs,
    st.sampled_from([0.0, 0.0005, 0.02]),
    st.sampled_from([0.0, 0.002]),
    st.sampled_from([0.0, 0.1]),
)
ANY_COSTS = st.builds(
    Costs,
    fee=st.sampled_from([0.0, 0.001]),
    slippage=st.sampled_from([0.0, 0.002]),
    borrow_annual=st.sampled_from([0.0, 0.1]),
    fee_per_share=st.sampled_from([0.0, 0.01]),
    fee_minimum=st.sampled_from([0.0, 5.0]),
    impact=st.sampled_from([0.0, 0.5]),
    interest_annual=st.sampled_from([0.0, 0.08]),
)
ANY_EXECUTION = st.builds(
    Execution,
    fill=st.sampled_from(["open", "close"]),
    leverage=st.sampled_from([1.0, 2.0, 4.0]),
    participation=st.sampled_from([None, 0.01, 0.3]),
    unfilled=st.sampled_from(["carry", "drop"]),
    lot=st.sampled_from([0.0, 1.0, 100.0]),
    stale_after=st.integers(1, 6),
    haircut=st.sampled_from([0.0, 0.3]),
)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.1, 0.4]), RATES, st.booleans(), st.integers(1, 4))
def test_the_plain_path_is_the_general_one(seed, gaps, costs, long_only, stale_after):
    weights, opening, close, _ = panels(seed, gaps=gaps, long_only=long_only)
    market, execution = Market(opening, close, np.full(len(weights), 1 / 252)), Execution(stale_after=stale_after)
    plain, general = run(weights, market, costs, execution), record(weights, market, costs, execution).account
    np.testing.assert_allclose(plain.equity, general.equity, rtol=1e-10)
    np.testing.assert_allclose(plain.returns, general.returns, atol=1e-11)
    np.testing.assert_allclose(plain.turnover, general.turnover, atol=1e-10)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), RATES, st.booleans())
def test_the_kernel_sizes_orders_as_vectorbt_does(seed, costs, long_only):
    weights, opening, close, _ = panels(seed, gaps=0.0, long_only=long_only)
    free = Costs(costs.fee, costs.slippage, 0.0)
    expected = own_sizing(weights, opening, close, free)
    kept = run(weights, Market(opening, close, np.zeros(len(weights))), free)
    np.testing.assert_allclose(kept.equity, expected, rtol=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.15]), ANY_COSTS, ANY_EXECUTION)
def test_vectorbt_keeps_the_same_books_under_every_rule(seed, gaps, costs, execution):
    weights, opening, close, extra = panels(seed, gaps=gaps, gross=execution.leverage)
    theirs = books(weights, opening, close, costs, execution, **extra)
    ours = books(weights, opening, close, costs, execution, engine="kernel", **extra)
    scale = ours.equity.cummax()
    np.testing.assert_allclose(theirs.equity / scale, ours.equity / scale, atol=1e-9)
    assert theirs.counts == ours.counts
    assert ours.trades is None
    assert len(theirs.trades) > 0 or len(theirs.orders) == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), ANY_COSTS, ANY_EXECUTION)
def test_money_is_conserved_and_costs_add_up(seed, costs, execution):
    weights, opening, close, extra = panels(seed, gross=execution.leverage)
    fill = close if execution.fill == "close" else opening
    years = np.full(len(weights), 1 / 252)
    kept = record(weights, Market(fill, close, years, **extra), costs, execution)
    frames = [pd.DataFrame(panel) for panel in (fill, close)]
    value = np.nan_to_num(marks(*frames))
    held = kept.sizes.sum(axis=0) @ value[-1]
    paid = (kept.sizes * kept.prices + kept.fees).sum() + kept.carry.sum()
    if (kept.account.equity > 0.0).all():
        assert 1e6 - paid + held == pytest.approx(kept.account.equity[-1], rel=1e-9, abs=1e-3)
    in_prices = (kept.sizes * (kept.prices - value[:-1])).sum()
    assert kept.spread + kept.impact + kept.haircut == pytest.approx(in_prices, rel=1e-6, abs=1e-4)
    assert kept.commission == pytest.approx(kept.fees.sum())


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), ANY_COSTS, ANY_EXECUTION, st.integers(5, 29))
def test_the_future_changes_no_completed_row(seed, costs, execution, n):
    weights, opening, close, extra = panels(seed, gross=execution.leverage)
    fill = close if execution.fill == "close" else opening
    years = np.full(len(weights), 1 / 252)
    whole = record(weights, Market(fill, close, years, **extra), costs, execution)
    short = {name: panel[:n] for name, panel in extra.items()}
    cut = record(weights[:n], Market(fill[:n], close[:n], years[:n], **short), costs, execution)
    np.testing.assert_array_equal(cut.account.returns[:-1], whole.account.returns[: n - 1])
    np.testing.assert_array_equal(cut.sizes, whole.sizes[:n])


def flat(n=4, symbols=1, price=100.0):
    return np.full((n, symbols), price)


def test_participation_caps_and_carries_or_drops_the_rest():
    volume = {"volume": flat(4, price=100.0)}
    capped = Execution(participation=0.1)
    carried = books(flat(price=0.5), flat(), flat(), FREE, capped, **volume)
    assert carried.orders["size"].tolist() == [10.0] * 4
    assert carried.counts["capped_orders"] == 4
    assert carried.counts["clipped_orders"] == 0
    weights = np.array([[0.5], [0.5], [0.4], [0.4]])
    dropped = books(weights, flat(), flat(), FREE, Execution(participation=0.1, unfilled="drop"), **volume)
    assert dropped.orders["bar"].tolist() == [0, 2]
    assert (dropped.counts["capped_orders"], dropped.counts["dropped_orders"]) == (2, 2)
    unknown = books(weights, flat(), flat(), FREE, capped, volume=flat(price=np.nan))
    assert len(unknown.orders) == 0
    assert unknown.counts["capped_orders"] == 4


def test_lots_round_towards_zero_and_exits_are_whole():
    weights = np.array([[0.00777], [-0.00777], [0.0], [0.0]])
    result = books(weights, flat(), flat(), Costs(0.0, 0.0, 0.0), Execution(lot=10.0))
    assert result.orders["size"].tolist() == [70.0, 140.0, 70.0]
    assert result.counts["rounded_orders"] == 2
    assert result.counts["clipped_orders"] == 0


def test_commissions_per_share_and_at_least_a_minimum():
    weights = np.array([[0.01], [0.01], [0.5], [0.5]])
    result = books(weights, flat(), flat(), Costs(0.0, 0.0, 0.0, fee_per_share=0.01, fee_minimum=5.0))
    size = result.orders["size"]
    np.testing.assert_allclose(result.orders["fees"], np.maximum(5.0, 0.01 * size))
    assert size.iloc[0] == 100.0
    assert result.commission == pytest.approx(result.orders["fees"].sum())


def test_impact_follows_the_square_root_of_participation():
    costs = Costs(0.0, 0.001, 0.0, impact=2.0)
    extra = {"volume": flat(price=10_000.0), "volatility": flat(price=0.01)}
    result = books(flat(price=0.09), flat(), flat(), costs, **extra)
    first = result.orders.iloc[0]
    assert first["size"] == pytest.approx(900.0)
    assert first["price"] == pytest.approx(100 * (1 + 0.001 + 2 * 0.01 * 0.3))
    no_volume = books(flat(price=0.09), flat(), flat(), costs, **(extra | {"volume": flat(price=0.0)}))
    assert no_volume.counts["impact_unknown"] == len(no_volume.orders)
    assert no_volume.impact_paid == pytest.approx(0.0, abs=1e-9)


def test_leverage_pays_interest_and_is_called():
    execution = Execution(leverage=2.0, maintenance=0.3)
    borrowed = books(flat(price=2.0), flat(), flat(), Costs(0.0, 0.0, 0.0, interest_annual=0.0365), execution)
    assert borrowed.returns.iloc[0] == pytest.approx(-0.0365 / 365.25)
    assert borrowed.interest_paid == pytest.approx(1e6 - borrowed.equity.iloc[-1])
    falling = np.array([[100.0], [70.0], [70.0], [70.0]])
    called = books(flat(price=2.0), falling, falling, FREE, execution)
    assert called.counts["margin_calls"] == 1
    assert called.realised_weights.iloc[1, 0] == pytest.approx(1.0)
    assert called.realised_weights.iloc[2, 0] == pytest.approx(2.0)
    with pytest.raises(ConfigError, match="exceeds 2"):
        books(flat(price=2.1), flat(), flat(), FREE, execution)


def test_longs_pay_positive_funding_and_shorts_earn_it():
    rates = {"funding": flat(price=0.001)}
    longs, shorts = (books(flat(price=side), flat(), flat(), FREE, **rates) for side in (0.5, -0.5))
    np.testing.assert_allclose(longs.returns, -0.0005)
    np.testing.assert_allclose(shorts.returns, 0.0005)
    assert longs.funding_paid > 0.0 > shorts.funding_paid


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_delisted_position_loses_the_haircut(side):
    opening = np.array([[100.0]] + [[np.nan]] * 3)
    execution = Execution(stale_after=2, haircut=0.2, participation=0.5, lot=7.0)
    volume = np.array([[1e9]] + [[np.nan]] * 3)
    result = books(flat(price=0.5 * side), opening, opening, FREE, execution, volume=volume)
    last = result.orders.iloc[-1]
    assert last["bar"] == 2
    assert last["price"] == pytest.approx(100.0 * (1 - 0.2 * side))
    assert result.haircut_paid == pytest.approx(20.0 * last["size"])
    assert result.counts["stale_exits"] == 1


def test_fills_at_the_close_earn_from_close_to_close():
    close = np.array([[100.0], [110.0], [99.0]])
    result = books(np.ones((3, 1)), close * 0.5, close, FREE, Execution(fill="close"))
    np.testing.assert_allclose(result.returns, [0.1, -0.1, 0.0], atol=1e-12)


def test_a_buy_that_cannot_pay_the_minimum_is_not_made():
    weights = np.array([[0.5, 0.5]])
    costs = Costs(0.0, 0.0, 0.0, fee_minimum=600_000.0)
    kept = record(weights, Market(flat(1, 2), flat(1, 2), np.zeros(1)), costs)
    assert kept.sizes.tolist() == [[4000.0, 0.0]]


def test_trailing_figures_use_closed_bars_only():
    volume = pd.DataFrame({"A": [10.0, 20.0, np.nan, 40.0, 1e9]})
    np.testing.assert_array_equal(trailing_volume(volume, bars=2)["A"], [np.nan, 10.0, 15.0, 20.0, 40.0])
    late = trailing_volume(volume, np.array([-1, -1, 0, 1, 2]), bars=2)["A"]
    np.testing.assert_array_equal(late, [np.nan, np.nan, 10.0, 15.0, 20.0])
    with pytest.raises(DataError, match="cannot have closed"):
        trailing_volume(volume, np.arange(5))
    close = pd.DataFrame({"A": [1.0, 2.0, 1.0, 2.0, 100.0]})
    deviation = trailing_volatility(close)["A"]
    np.testing.assert_allclose(deviation.iloc[-2:], [np.std([1, -0.5], ddof=1), np.std([1, -0.5, 1], ddof=1)])


def evidence(seed, variants=2, n=60, symbols=6):
    rng = np.random.default_rng(seed)
    denominator = rng.random((variants, n, symbols)) * (rng.random((variants, n, symbols)) < 0.3)
    return denominator * rng.uniform(-1, 1, denominator.shape), denominator, rng.random((n, symbols)) < 0.9


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.3, 2.0, 9.0]),
    st.sampled_from([0.0, 0.5]),
    st.sampled_from([0.5, 1.0]),
    st.sampled_from([0.05, 0.4]),
    st.sampled_from([0.0, 0.1]),
)
def test_fused_weights_are_those_of_the_signal_path(seed, half_life, shrinkage, gross, cap, least):
    numerator, denominator, tradable = evidence(seed)
    fused = decision_weights(
        Decisions(numerator, denominator, tradable, np.array([1, 0]), half_life, shrinkage, gross, cap, least)
    )
    rules = WeightSettings(gross=gross, cap=cap, min_signal=least)
    for k, weights in zip((1, 0), fused, strict=True):
        sums = Evidence(numerator[k], denominator[k], denominator[k] > 0, {})
        signal = decay(sums, AggregationSettings(half_life_bars=half_life, shrinkage=shrinkage))
        np.testing.assert_allclose(weights, weights_array(signal, tradable, rules), atol=1e-12)


@pytest.mark.parametrize("costs", [Costs(), Costs(fee_minimum=1.0)])
def test_a_sweep_is_many_runs(costs):
    numerator, denominator, tradable = evidence(3)
    _, opening, close, _ = panels(3, n=60, symbols=6)
    market = Market(opening, close, np.full(60, 1 / 252))
    half_life = np.linspace(0.0, 5.0, 20)
    decisions = Decisions(numerator, denominator, tradable, np.arange(20) % 2, half_life, cap=0.3)
    each = [costs if s % 2 else FREE for s in range(20)]
    weights = decision_weights(decisions)
    fused, given_weights = sweep(decisions, market, each), sweep_weights(weights, market, each)
    for s in range(20):
        alone = run(weights[s], market, each[s])
        np.testing.assert_allclose(fused.returns[s], alone.returns, atol=1e-12)
        np.testing.assert_allclose(given_weights.returns[s], alone.returns, atol=1e-12)
        assert fused.turnover[s] == pytest.approx(alone.turnover.mean())


def test_a_sweep_leaves_the_threads_of_others_alone():
    code = """
import sys
import numpy as np
from embargo.backtest.books.costs import Costs
from embargo.backtest.books.kernel import Market, sweep_weights
prices = np.full((3, 2), 5.0)
sweep_weights(np.zeros((4, 3, 2)), Market(prices, prices, np.full(3, 1 / 252)), Costs(0.0, 0.0, 0.0))
assert "numba" in sys.modules
assert not any(name.startswith("numba.np.ufunc.omppool") for name in sys.modules), "numba started OpenMP"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_many_clipped_buys_are_cut_from_the_largest_down():
    order, last = np.arange(1.0, 41.0), np.ones(40)
    spent = compiled._clip(order, last, order.sum(), 10.5)
    np.testing.assert_allclose(order[:5], [1, 2, 3, 4, 0.5])
    assert (order[5:] == 0.0).all()
    assert spent == pytest.approx(10.5)


def test_vectorbt_books_that_differ_are_refused(monkeypatch):
    from embargo.backtest.books import vectorbt as vectorbt_books

    monkeypatch.setattr(vectorbt_books, "_credit", lambda *_: 0.0)
    weights = np.array([[0.5, 0.5], [1.5, 0.5]])
    with pytest.raises(DataError, match=r"differ at bar 2020-01-02.*in A"):
        books(weights, flat(2, 2), flat(2, 2), FREE, Execution(leverage=2.0))


def test_bad_input_is_refused():
    market = Market(flat(), flat(), np.zeros(4))
    with pytest.raises(DataError, match="not finite"):
        run(flat(price=np.nan), market, FREE)
    with pytest.raises(ConfigError, match="of row 0 exceeds the leverage"):
        run(flat(price=1.5), market, FREE)
    with pytest.raises(DataError, match="must agree"):
        run(flat(3), market, FREE)
    with pytest.raises(DataError, match="close"):
        run(flat(price=0.5), Market(flat(), flat(3), np.zeros(4)), FREE)
    with pytest.raises(ConfigError, match="trailing volume"):
        run(flat(price=0.5), market, FREE, Execution(participation=0.1))
    with pytest.raises(ConfigError, match="volatility"):
        run(flat(price=0.5), Market(flat(), flat(), np.zeros(4), volume=flat()), Costs(impact=1.0))
    with pytest.raises(DataError, match="variant 3"):
        sweep(Decisions(flat(), flat(), None, np.array([3])), market, FREE)
    with pytest.raises(ConfigError, match=r"gross 1\.5"):
        sweep(Decisions(flat(), flat(), None, np.array([0]), gross=1.5), market, FREE)
    with pytest.raises(DataError, match="2 settings but 1 costs"):
        sweep(Decisions(flat(), flat(), None, np.array([0, 0])), market, [FREE])
    with pytest.raises(DataError, match="Prices are positive"):
        books(flat(price=0.5), flat(price=0.0), flat(), FREE)
    with pytest.raises(ConfigError, match="engine"):
        books(flat(price=0.5), flat(), flat(), FREE, engine="backtrader")


@pytest.mark.parametrize(
    "field",
    [
        {"fill": "vwap"},
        {"leverage": 0.5},
        {"maintenance": 1.0},
        {"participation": 0.0},
        {"volume_bars": 0},
        {"unfilled": "keep"},
        {"lot": -1.0},
        {"stale_after": 0},
        {"haircut": 1.0},
    ],
)
def test_execution_out_of_range_is_refused(field):
    with pytest.raises(ConfigError, match=next(iter(field))):
        Execution(**field)


def test_years_follow_the_calendar_in_the_books():
    index = pd.date_range("2020-01-01", periods=4, freq="D", tz="UTC", unit="us")
    result = books(flat(price=-0.5), flat(), flat(), Costs(0.0, 0.0, 0.1))
    expected = run(flat(price=-0.5), Market(flat(), flat(), bar_years(index)), Costs(0.0, 0.0, 0.1))
    np.testing.assert_allclose(result.returns, expected.returns, rtol=1e-9)


def test_the_benchmark_runs(capsys):
    from embargo.research.benchmarks.backtest import main

    main(["--quick"])
    printed = capsys.readouterr().out
    assert "× copy" in printed
    assert "times faster" in printed
