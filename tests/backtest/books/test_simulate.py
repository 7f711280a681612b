import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.ledger import keep_ledger

from embargo.backtest.books.costs import Costs
from embargo.backtest.books.execution import STALE_AFTER, Execution
from embargo.backtest.books.simulation import bar_years, holding_returns, marks, net_returns, simulate
from embargo.data_loaders.errors import ConfigError, DataError

FREE = Costs(fee=0.0, slippage=0.0, borrow_annual=0.0)


def bars(n):
    return pd.date_range("2020-01-01 14:30", periods=n, freq="D", tz="UTC", unit="us")


def frame(values, names="ABCDEFGH"):
    values = np.asarray(values, dtype=float)
    return pd.DataFrame(values, index=bars(len(values)), columns=list(names[: values.shape[1]]))


def market(seed, n=40, symbols=4, gaps=0.0, volatility=0.03):
    """Prices with overnight moves, holes, a late listing and a delisting; weights of gross 1."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, volatility, (n, symbols)), axis=0))
    opening = close * np.exp(rng.normal(0, volatility / 3, (n, symbols)))
    missing = rng.random((n, symbols)) < gaps
    if gaps and symbols > 2:
        missing[: n // 5, 1] = True
        missing[3 * n // 4 :, 2] = True
    opening[missing] = np.nan
    close[missing | (rng.random((n, symbols)) < gaps / 3)] = np.nan
    weights = rng.normal(size=(n, symbols))
    weights /= np.abs(weights).sum(axis=1, keepdims=True)
    return frame(weights), frame(opening), frame(close)


def books(weights, opening, close, costs=FREE, **kwargs):
    return simulate(weights, opening, close, open_at=weights.index, costs=costs, **kwargs)


def test_a_row_earns_from_its_open_to_the_next_open():
    opening, close = frame([[100.0], [110.0], [99.0]]), frame([[104.0], [95.0], [108.9]])
    result = books(frame([[1.0], [0.5], [-1.0]]), opening, close, initial_cash=1000.0)
    np.testing.assert_allclose(result.returns, [0.10, -0.05, -0.10])
    np.testing.assert_allclose(result.equity, [1100.0, 1045.0, 940.5])
    assert result.orders["fill_at"].tolist() == list(bars(3))
    assert result.orders["price"].tolist() == [100.0, 110.0, 99.0]
    assert result.orders["side"].tolist() == ["buy", "sell", "sell"]
    assert result.max_weight_gap < 1e-12


def test_costs_are_charged_on_the_row_that_trades():
    opening = frame([[100.0], [100.0], [100.0]])
    costs = Costs(fee=0.001, slippage=0.002, borrow_annual=0.0)
    result = books(frame([[0.5], [0.5], [0.0]]), opening, opening, costs, initial_cash=1000.0)
    assert result.equity.iloc[0] == pytest.approx(1000 - 5 * 100 * 0.002 - 5 * 100.2 * 0.001)
    assert result.orders["price"].iloc[0] == pytest.approx(100.2)
    assert result.orders["price"].iloc[-1] == pytest.approx(99.8)
    assert result.commission == pytest.approx(result.orders["fees"].sum())
    assert result.turnover.iloc[0] == pytest.approx(0.25)


def test_borrow_accrues_over_calendar_time():
    opening = frame([[100.0]] * 5)
    result = books(frame([[-0.5]] * 5), opening, opening, Costs(0.0, 0.0, 0.10), initial_cash=1000.0)
    np.testing.assert_allclose(result.returns, -0.10 * 0.5 / 365.25, rtol=1e-9)
    assert result.borrow_paid == pytest.approx(1000 - result.equity.iloc[-1])


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([0.0, 0.1, 0.4]),
    st.sampled_from([0.0, 0.0005, 0.01]),
    st.sampled_from([0.0, 0.002]),
    st.sampled_from([0.0, 0.05]),
    st.booleans(),
    st.integers(1, 6),
)
def test_the_books_equal_a_ledger_kept_by_hand(seed, gaps, fee, slippage, borrow, long_only, stale_after):
    weights, opening, close = market(seed, gaps=gaps)
    weights = weights.abs() if long_only else weights
    result = books(weights, opening, close, Costs(fee, slippage, borrow), execution=Execution(stale_after=stale_after))
    ledger = keep_ledger(
        weights.to_numpy().tolist(),
        opening.to_numpy().tolist(),
        close.to_numpy().tolist(),
        fee=fee,
        slippage=slippage,
        borrow=borrow,
        years=bar_years(weights.index).tolist(),
        cash=1_000_000.0,
        stale_after=stale_after,
    )
    np.testing.assert_allclose(result.returns, ledger.returns, rtol=1e-9, atol=1e-11)
    assert result.commission == pytest.approx(ledger.fees, rel=1e-9, abs=1e-6)
    assert result.counts["stale_exits"] == ledger.stale_exits


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.2]))
def test_money_is_conserved(seed, gaps):
    weights, opening, close = market(seed, gaps=gaps)
    result = books(weights, opening, close, Costs(0.001, 0.002, 0.0))
    signed = np.where(result.orders["side"] == "buy", 1, -1) * result.orders["size"]
    cash = 1_000_000.0 - (signed * result.orders["price"]).sum() - result.orders["fees"].sum()
    held = signed.groupby(result.orders["symbol"]).sum().reindex(weights.columns, fill_value=0.0)
    final = np.nan_to_num(marks(opening, close)[-1])
    assert cash + (held.to_numpy() * final).sum() == pytest.approx(result.equity.iloc[-1], rel=1e-9)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.2]), st.sampled_from([7.0, 1 / 7, 1000.0]))
def test_the_price_level_of_a_symbol_means_nothing(seed, gaps, factor):
    weights, opening, close = market(seed, gaps=gaps)
    scale = np.array([factor, 1, 1, 1])
    costs = Costs(0.001, 0.002, 0.01)
    plain, scaled = (
        books(weights, o, c, costs, engine="kernel") for o, c in ((opening, close), (opening * scale, close * scale))
    )
    np.testing.assert_allclose(scaled.returns, plain.returns, atol=1e-10)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.2]), st.permutations(list("ABCD")))
def test_the_order_of_the_symbols_means_nothing(seed, gaps, order):
    weights, opening, close = market(seed, gaps=gaps)
    costs = Costs(0.001, 0.002, 0.01)
    plain = books(weights, opening, close, costs, engine="kernel")
    moved = books(weights[order], opening[order], close[order], costs, engine="kernel")
    np.testing.assert_allclose(moved.returns, plain.returns, atol=1e-10)
    np.testing.assert_allclose(moved.realised_weights[list("ABCD")], plain.realised_weights, atol=1e-9)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3]), st.integers(5, 39))
def test_cutting_off_the_future_changes_no_completed_row(seed, gaps, n):
    weights, opening, close = market(seed, gaps=gaps)
    costs = Costs(0.001, 0.002, 0.01)
    whole = books(weights, opening, close, costs, engine="kernel")
    cut = books(weights.iloc[:n], opening.iloc[:n], close.iloc[:n], costs, engine="kernel")
    np.testing.assert_allclose(cut.returns[:-1], whole.returns[: n - 1], atol=1e-12)
    np.testing.assert_allclose(cut.realised_weights, whole.realised_weights[:n], atol=1e-12)
    assert len(cut.orders) == (whole.orders["bar"] < n).sum()


def test_a_gap_holds_the_position_and_a_delisting_ends_it():
    opening = frame([[100.0, 50.0]] * 2 + [[np.nan, 50.0]] * 8)
    close = frame([[100.0, 50.0], [90.0, 50.0]] + [[np.nan, 50.0]] * 8)
    weights = frame([[-0.5, 0.2]] * 10)
    result = books(weights, opening, close)
    held = result.realised_weights["A"]
    assert (held.iloc[: 1 + STALE_AFTER] < 0).all()
    assert (held.iloc[1 + STALE_AFTER :] == 0).all()
    assert result.returns.iloc[1] == pytest.approx(0.05)
    assert result.counts["stale_exits"] == 1
    assert result.counts["bars_without_price"] == 8
    assert result.counts["blocked_orders"] > 0
    last = result.orders[result.orders["symbol"] == "A"].iloc[-1]
    assert (last["price"], last["side"], last["bar"]) == (90.0, "buy", 1 + STALE_AFTER)


def test_buys_beyond_the_cash_are_clipped_and_counted():
    opening = frame([[100.0, 100.0]])
    result = books(frame([[0.4, 0.6]]), opening, opening, Costs(0.01, 0.0, 0.0))
    assert result.counts["clipped_orders"] == 1
    assert result.counts["beyond_tolerance"] == 1
    assert result.max_weight_gap == pytest.approx(0.6 - (1 - 0.4 * 1.01) / 1.01, rel=1e-6)


def test_ruin_is_the_end():
    opening = frame([[100.0], [350.0], [50.0], [60.0]])
    result = books(frame([[-1.0]] * 4), opening, opening)
    np.testing.assert_allclose(result.returns, [-1, 0, 0, 0])
    assert (result.equity == 0).all()
    assert result.counts["rows_after_ruin"] == 3
    assert len(result.orders) == 1
    fast = net_returns(np.full((4, 1), -1.0), holding_returns(opening, opening).to_numpy(), FREE)
    np.testing.assert_allclose(fast, result.returns)


def test_an_account_that_never_trades():
    _, opening, close = market(3)
    result = books(opening * 0.0, opening, close, Costs())
    assert (result.returns == 0).all()
    assert len(result.orders) == 0
    assert result.max_weight_gap == 0.0
    assert list(result.orders.columns) == ["symbol", "bar", "fill_at", "size", "price", "fees", "side"]


@pytest.mark.parametrize(("long_only", "gaps"), [(False, 0.0), (False, 0.02), (True, 0.0)])
def test_the_fast_path_follows_the_books(long_only, gaps):
    weights, opening, close = market(11, n=504, symbols=6, gaps=gaps, volatility=0.015)
    weights = (weights.abs() if long_only else weights) * 0.9
    costs = Costs(0.0005, 0.0005, 0.01)
    exact = books(weights, opening, close, costs).returns.to_numpy()
    growth = holding_returns(opening, close).to_numpy()
    fast = net_returns(
        weights.to_numpy(), growth, costs, tradable=opening.notna().to_numpy(), years=bar_years(weights.index)
    )
    assert np.abs(fast - exact).max() < 2e-4
    assert np.corrcoef(fast, exact)[0, 1] > 0.99999
    sharpe = [r.mean() / r.std() * np.sqrt(252) for r in (fast, exact)]
    assert sharpe[0] == pytest.approx(sharpe[1], abs=0.01)


def test_the_fast_path_charges_drift():
    growth = np.array([[0.1, 0.0], [0.0, 0.0]])
    weights = np.full((2, 2), 0.5)
    net = net_returns(weights, growth, Costs(0.01, 0.0, 0.0))
    drift = np.array([0.55, 0.5]) / 1.05
    np.testing.assert_allclose(net, [0.05 - 0.01, -0.01 * np.abs(0.5 - drift).sum()])


def test_marks_carry_the_newest_price_forward_only():
    value = marks(frame([[np.nan], [10.0], [np.nan], [12.0]]), frame([[np.nan], [11.0], [np.nan], [13.0]]))
    np.testing.assert_array_equal(value[:, 0], [np.nan, 10.0, 11.0, 12.0, 13.0])


def test_holding_returns_through_gaps():
    gap = [[np.nan], [10.0], [np.nan], [12.0], [np.nan], [np.nan], [np.nan]]
    close = [[np.nan], [11.0], [np.nan], [15.0], [np.nan], [np.nan], [np.nan]]
    result = holding_returns(frame(gap), frame(close), stale_after=3)["A"]
    np.testing.assert_allclose(result, [np.nan, 0.1, 12 / 11 - 1, 0.25, 0.0, 0.0, np.nan])


def test_bar_years_are_calendar_time():
    opens = pd.DatetimeIndex(["2020-01-03", "2020-01-06", "2020-01-07"], tz="UTC").as_unit("us")
    np.testing.assert_allclose(bar_years(opens) * 365.25, [3, 1, 2])


def test_bad_input_is_refused():
    weights, opening, close = market(0)
    with pytest.raises(ConfigError, match="exceeds 1"):
        books(weights * 1.5, opening, close)
    with pytest.raises(DataError, match="is nan"):
        books(weights.replace(weights.iloc[3, 1], np.nan), opening, close)
    with pytest.raises(DataError, match="different bars or symbols"):
        books(weights, opening, close.iloc[:-1])
    with pytest.raises(DataError, match=r"datetime64\[.*Use the same bars, in UTC"):
        simulate(weights, opening, close, open_at=weights.index + pd.Timedelta(hours=1), costs=FREE)
    with pytest.raises(DataError, match="40 rows of weights but 39"):
        simulate(weights, opening, close, open_at=weights.index[1:], costs=FREE)
    with pytest.raises(ConfigError, match="initial_cash"):
        books(weights, opening, close, initial_cash=0.0)
    with pytest.raises(ConfigError, match="stale_after"):
        books(weights, opening, close, execution=Execution(stale_after=0))
    with pytest.raises(ConfigError, match="fee"):
        Costs(fee=5.0)


@pytest.mark.parametrize("engine", ["kernel", "vectorbt"])
def test_what_is_no_panel_of_numbers_is_named(engine):
    weights, opening, close = market(0)

    def refused(match, *panels, **given):
        with pytest.raises((ConfigError, DataError), match=match):
            simulate(*panels, **{"open_at": weights.index, "costs": FREE, "engine": engine} | given)

    refused("initial_cash must be a positive number, got 'a'", weights, opening, close, initial_cash="a")
    refused("weights is a ndarray, and a DataFrame is wanted", weights.to_numpy(), opening, close)
    refused("volume is a ndarray", weights, opening, close, volume=opening.to_numpy())
    refused("dead is a list", weights, opening, close, dead=[True])
    refused("open_at is a list", weights, opening, close, open_at=list(weights.index))
    refused(
        r"weights has the shape \(0, ",
        *(each.iloc[:0] for each in (weights, opening, close)),
        open_at=weights.index[:0],
    )
    refused(r"weights has the shape \(40, 0\)", *(each.iloc[:, :0] for each in (weights, opening, close)))
    for place, name in enumerate(("weight", "open", "close")):
        panels = [each.astype(object) for each in (weights, opening, close)]
        panels[place].iloc[2, 1] = "x"
        refused(f"the {name} of .* at 20.* is 'x', which is no number", *panels)


def test_costs_add_up():
    assert Costs(0.001, 0.002).rate == pytest.approx(0.003)
