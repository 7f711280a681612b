import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.backtest.books.costs import Costs
from embargo.backtest.books.simulation import simulate
from embargo.backtest.rivals import (
    _exchanged,
    benchmark_returns,
    buy_and_hold,
    equal_weight,
    random_timing,
    weights_benchmark,
)
from embargo.data_loaders.errors import ConfigError, DataError

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


def random_weights(seed, symbols=4, sparse=True):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(len(BARS) // 5, symbols)).repeat(5, axis=0)
    if sparse:
        values *= rng.uniform(size=(len(BARS), symbols)) < 0.8
    values /= np.maximum(np.abs(values).sum(axis=1, keepdims=True), 1.0)
    return pd.DataFrame(values, index=BARS, columns=list("ABCD")[:symbols])


def test_a_panel_of_weights_becomes_a_benchmark():
    opening, close = market(9)
    costs = Costs(0.0005, 0.0005, 0.02)
    weights = random_weights(9)
    alone = weights_benchmark(weights, opening, close, costs=costs, name="lexicon")
    books = simulate(weights, opening, close, open_at=BARS, costs=costs)
    assert np.abs(alone - books.returns).max() < 1e-4
    table = benchmark_returns(opening, close, costs=costs, panels={"lexicon": weights})
    assert list(table.columns) == ["buy_and_hold", "equal_weight", "cash", "lexicon"]
    np.testing.assert_array_equal(table["lexicon"], alone)
    with pytest.raises(DataError, match="lexicon: weights"):
        benchmark_returns(opening, close, costs=costs, panels={"lexicon": weights.iloc[1:]})
    weights.iloc[3, 2] = np.nan
    with pytest.raises(DataError, match="weight of C"):
        weights_benchmark(weights, opening, close, costs=costs, name="lexicon")


def timing(weights, opening, close, **settings):
    settings = {"costs": Costs(), "periods_per_year": 252.0, "block": 10, "n_draws": 60, "seed": 1} | settings
    return random_timing(weights, opening, close, **settings)


@pytest.mark.parametrize("shuffle", ["time", "symbols", "both"])
def test_an_oracle_beats_chance_and_a_fool_does_not(shuffle):
    opening, close = market(10)
    ahead = np.sign(opening.shift(-1) / opening - 1.0).fillna(0.0) / 4
    oracle = timing(ahead, opening, close, shuffle=shuffle, block=1)
    assert oracle.share_beaten == 1.0
    assert oracle.p_value == pytest.approx(1 / 61)
    fool = timing(-ahead, opening, close, shuffle=shuffle, block=1)
    assert fool.share_beaten == 0.0
    assert fool.p_value == 1.0
    assert oracle.gross_kept == pytest.approx(1.0)
    json.dumps(oracle.as_dict(), allow_nan=False)


def test_constant_weights_have_no_timing():
    opening, close = market(11)
    constant = opening * 0 + 0.25
    free = timing(constant, opening, close, costs=FREE)
    np.testing.assert_allclose(free.sharpes, free.sharpe, rtol=1e-9)
    assert free.share_beaten == 0.5
    assert free.p_value == 1.0


def test_every_draw_pays_what_the_strategy_paid():
    flat = pd.DataFrame(10.0, index=BARS, columns=list("ABCD"))
    paid = timing(random_weights(11), flat, flat, costs=Costs(0.001, 0.001, 0.0), block=3)
    assert paid.total_return < -0.02
    np.testing.assert_allclose(paid.total_returns, paid.total_return, rtol=2e-3)


def test_the_same_seed_draws_the_same():
    opening, close = market(12)
    weights = random_weights(12)
    one, two = (timing(weights, opening, close, shuffle="both", seed=seed) for seed in (4, 4))
    np.testing.assert_array_equal(one.sharpes, two.sharpes)
    assert one == two
    other = timing(weights, opening, close, shuffle="both", seed=np.random.default_rng(5))
    assert not np.array_equal(one.sharpes, other.sharpes)


def test_exposure_is_kept_where_symbols_come_and_go():
    opening, close = market(13)
    for panel in (opening, close):
        panel.iloc[:30, 0] = np.nan
        panel.iloc[60:, 1] = np.nan
    weights = pd.DataFrame(np.tile([0.25, 0.25, 0.25, -0.25], (len(BARS), 1)), index=BARS, columns=list("ABCD"))
    weights.iloc[:30, 0] = 0.0
    weights.iloc[65:, 1] = 0.0
    kept = timing(weights, opening, close, shuffle="time")
    assert kept.gross_kept == pytest.approx(1.0, abs=1e-9)
    alone = weights * 0.0
    alone.iloc[:20, 1] = 0.25
    assert timing(alone, opening, close, shuffle="time").gross_kept < 1.0


def test_a_panel_without_positions_beats_nothing():
    opening, close = market(14)
    idle = timing(opening * 0, opening, close, shuffle="both")
    assert (idle.sharpe, idle.share_beaten, idle.p_value, idle.gross_kept) == (0.0, 0.5, 1.0, None)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [({"shuffle": "none"}, "shuffle"), ({"n_draws": 0}, "n_draws"), ({"block": 0}, "block"), ({"block": 121}, "block")],
)
def test_random_timing_refuses_settings_out_of_range(wrong, text):
    opening, close = market(15)
    with pytest.raises(ConfigError, match=text):
        timing(opening * 0, opening, close, **wrong)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_exchanging_symbols_keeps_every_rows_exposure(rows, block, seed):
    rng = np.random.default_rng(seed)
    absent = np.tile(rng.uniform(size=5) < 0.3, (rows, 1))
    panel = np.where(absent, 0.0, rng.normal(size=(rows, 5)))
    moved = _exchanged(panel, absent, block, rng)
    np.testing.assert_allclose(np.sort(moved, axis=1), np.sort(panel, axis=1))
    assert (moved[absent] == 0.0).all()


@pytest.mark.slow
@pytest.mark.parametrize("shuffle", ["time", "symbols", "both"])
def test_weights_that_know_nothing_beat_half_of_the_draws(shuffle):
    """Size of the test: its p-values under a true null reject about as often as they say."""
    p_values = []
    for seed in range(200):
        opening, close = market(1000 + seed)
        weights = random_weights(seed, sparse=False)
        p_values.append(timing(weights, opening, close, shuffle=shuffle, block=5, n_draws=99, seed=seed).p_value)
    assert 0.01 <= np.mean(np.array(p_values) <= 0.05) <= 0.10
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.07)
