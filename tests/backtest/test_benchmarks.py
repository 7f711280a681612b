import numpy as np
import pandas as pd
import pytest

from backtest.benchmarks import benchmark_returns, buy_and_hold, equal_weight
from backtest.costs import Costs
from backtest.simulate import simulate
from data_loaders.errors import DataError

FREE = Costs(0.0, 0.0, 0.0)
BARS = pd.date_range("2020-01-01 14:30", periods=120, freq="D", tz="UTC", unit="us")


def market(seed, symbols=4):
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (len(BARS), symbols)), axis=0))
    opening = close * np.exp(rng.normal(0, 0.005, close.shape))
    return tuple(pd.DataFrame(values, index=BARS, columns=list("ABCD")[:symbols]) for values in (opening, close))


def test_buy_and_hold_is_the_mean_of_the_price_relatives():
    opening, close = market(1)
    wealth = (1 + buy_and_hold(opening, close, costs=FREE)).prod()
    assert wealth == pytest.approx((close.iloc[-1] / opening.iloc[0]).mean())
    paid = (1 + buy_and_hold(opening, close, costs=Costs(0.001, 0.001, 0.0))).prod()
    assert paid == pytest.approx(wealth / 1.002)


def test_buy_and_hold_equals_the_books_of_one_symbol():
    opening, close = market(2, symbols=1)
    costs = Costs(0.001, 0.0, 0.0)
    books = simulate(opening * 0 + 1.0, opening, close, open_at=BARS, costs=costs)
    np.testing.assert_allclose(buy_and_hold(opening, close, costs=costs), books.returns, atol=1e-12)


def test_equal_weight_follows_the_books():
    opening, close = market(3)
    costs = Costs(0.0005, 0.0005, 0.0)
    books = simulate(opening * 0 + 0.25, opening, close, open_at=BARS, costs=costs)
    fast = equal_weight(opening, close, costs=costs)
    assert np.abs(fast.iloc[1:] - books.returns.iloc[1:]).max() < 1e-4


def test_late_listings_wait_and_delisted_symbols_become_cash():
    opening, close = market(4)
    for panel in (opening, close):
        panel.iloc[:30, 0] = np.nan
        panel.iloc[60:, 1] = np.nan
    held = buy_and_hold(opening, close, costs=FREE)
    assert held.notna().all()
    final = [close["B"].iloc[59] / opening["B"].iloc[0]]
    final += [close[name].iloc[-1] / opening[name].iloc[0] for name in "CD"]
    assert (1 + held).prod() == pytest.approx(np.mean(final))
    shuffled = opening.copy()
    shuffled.iloc[30:, 0] *= 3
    np.testing.assert_array_equal(buy_and_hold(shuffled, close, costs=FREE), held)
    assert equal_weight(opening, close, costs=FREE).notna().all()


def test_all_side_by_side():
    opening, close = market(5)
    table = benchmark_returns(opening, close, costs=Costs())
    assert list(table.columns) == ["buy_and_hold", "equal_weight", "cash"]
    assert table.index.equals(BARS)
    assert (table["cash"] == 0).all()


def test_a_first_row_without_prices_is_refused():
    opening, close = market(6)
    opening.iloc[0] = np.nan
    with pytest.raises(DataError, match="first row"):
        buy_and_hold(opening, close, costs=FREE)


def test_a_symbol_that_comes_back_is_not_bought_again():
    opening, close = market(7)
    for panel in (opening, close):
        panel.iloc[40:60, 0] = np.nan
    held = buy_and_hold(opening, close, costs=FREE)
    richer = [panel.copy() for panel in (opening, close)]
    for panel in richer:
        panel.iloc[60:, 0] *= np.linspace(1, 5, 60)
    np.testing.assert_allclose(buy_and_hold(*richer, costs=FREE), held, atol=1e-14)


def test_writing_a_position_out_costs_a_trade():
    opening, close = market(8)
    for panel in (opening, close):
        panel.iloc[60:, 1] = np.nan
    costs = Costs(0.001, 0.001, 0.0)
    final = [close["B"].iloc[59] / opening["B"].iloc[0] * (1 - 0.002)]
    final += [close[name].iloc[-1] / opening[name].iloc[0] for name in "ACD"]
    assert (1 + buy_and_hold(opening, close, costs=costs)).prod() == pytest.approx(np.mean(final) / 1.002)
