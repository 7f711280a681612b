import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.backtest.regimes import (
    COLUMNS,
    UNLABELLED,
    market_level,
    market_returns,
    regime_table,
    trend_regime,
    turning_regime,
    volatility_regime,
)
from embargo.data_loaders.calendars import decision_times, last_closed_bar
from embargo.data_loaders.errors import ConfigError, DataError

N = 300
OPEN_AT = pd.date_range("2020-01-01 14:30", periods=N, freq="D", tz="UTC", unit="us")
CLOSED = last_closed_bar(OPEN_AT + pd.Timedelta(hours=6), decision_times(OPEN_AT, pd.Timedelta(minutes=5)))


def market(seed=0, drift=0.0, n=N):
    return pd.Series(np.random.default_rng(seed).normal(drift, 0.01, n), index=OPEN_AT[:n])


def test_the_market_is_the_mean_of_what_traded():
    close = pd.DataFrame({"A": [10.0, 11.0, np.nan, 12.0], "B": [10.0, 9.0, 9.0, np.nan]}, index=OPEN_AT[:4])
    np.testing.assert_allclose(market_returns(close), [np.nan, 0.0, 0.0, np.nan], atol=1e-12)


def test_a_crash_during_an_outage_is_not_lost():
    hours = pd.date_range("2024-01-01", periods=60, freq="h", tz="UTC")
    close = pd.DataFrame({"BTC": np.r_[np.full(30, 100.0), np.nan, np.nan, np.full(28, 60.0)]}, index=hours)
    close["ETH"] = close["BTC"] / 20.0
    found = market_returns(close)
    assert found.isna().to_numpy().nonzero()[0].tolist() == [0, 30, 31]
    assert found.iloc[32] == pytest.approx(-0.4)
    assert market_level(found).iloc[-1] == pytest.approx(0.6)
    told = turning_regime(found, np.arange(60) - 1, fall=0.4, rise=0.4)
    assert (told.iloc[:33] == UNLABELLED).all()  # the row of the fall is decided before it
    assert (told.iloc[33:] == "bear").all()


@pytest.mark.parametrize("regime", [trend_regime, volatility_regime])
def test_bars_without_trading_are_passed_over(regime):
    whole = market(4)
    gaps = np.sort(np.random.default_rng(4).permutation(N)[: N // 5])
    broken = whole.copy()
    broken.iloc[gaps] = np.nan
    told = regime(broken, np.arange(N) - 1)
    traded = broken.dropna()
    alone = regime(traded, np.arange(len(traded)) - 1)
    # Row t knows what bar t - 1 left, which is what the newest bar that traded before it left.
    known = np.cumsum(broken.notna().to_numpy())[:-1]
    inside = known < len(traded)
    assert (told.iloc[1:].to_numpy()[inside] == alone.to_numpy()[known[inside]]).all()
    assert (told != UNLABELLED).mean() > 0.3


def test_a_rise_is_a_bull_market_and_a_fall_a_bear_market():
    assert (trend_regime(market(drift=0.01), CLOSED).iloc[63:] != "bull").mean() < 0.05
    assert (trend_regime(market(drift=-0.01), CLOSED).iloc[64:] == "bear").mean() > 0.95
    flat = pd.Series(np.tile([0.01, -0.01], N // 2), index=OPEN_AT)
    assert (trend_regime(flat, CLOSED, lookback=20).iloc[20:] == "sideways").all()


def test_the_warm_up_is_unlabelled():
    trend = trend_regime(market(), CLOSED, lookback=63)
    assert (trend.iloc[:63] == UNLABELLED).all()
    assert (trend.iloc[63:] != UNLABELLED).all()
    volatility = volatility_regime(market(), CLOSED, lookback=21, warm_up=63)
    assert (volatility.iloc[: 21 + 62] == UNLABELLED).all()
    assert (volatility.iloc[21 + 62 :] != UNLABELLED).all()


def test_a_storm_is_turbulent():
    noise = market(3)
    noise.iloc[200:] *= 4
    labels = volatility_regime(noise, CLOSED)
    assert (labels.iloc[225:] == "turbulent").all()


@given(st.integers(0, 1000), st.integers(1, N - 2), st.integers(1, 3))
def test_only_closed_bars_speak(seed, t, delay):
    """Row t must not move when any bar after the newest closed one changes, whatever the delay."""
    closed = np.maximum(np.arange(N) - delay, -1)
    before = market(seed)
    after = before.copy()
    after.iloc[closed[t] + 1 :] = np.random.default_rng(seed + 1).normal(0.05, 0.2, N - closed[t] - 1)
    for regime in (trend_regime, volatility_regime):
        pd.testing.assert_series_equal(
            regime(before, closed).iloc[: t + 1], regime(after, closed).iloc[: t + 1], check_freq=False
        )


def test_the_bar_itself_is_not_known_when_its_row_is_decided():
    with pytest.raises(DataError, match="claims that bar 5"):
        trend_regime(market(), np.where(np.arange(N) == 5, 5, np.arange(N) - 1))
    with pytest.raises(DataError, match="same bars"):
        trend_regime(market(), CLOSED[:-1])
    with pytest.raises(ConfigError, match="lookback"):
        trend_regime(market(), CLOSED, lookback=1)
    with pytest.raises(ConfigError, match="warm_up"):
        volatility_regime(market(), CLOSED, warm_up=0)


def test_the_table_finds_where_the_money_was_made():
    labels = pd.Series(np.where(np.arange(N) < 150, "bull", "bear"), index=OPEN_AT)
    returns = market(1) + np.where(labels == "bull", 0.003, 0.0)
    table = regime_table(returns, labels, periods_per_year=252, seed=0, n_boot=500).set_index("regime")
    inside = returns[labels == "bull"]
    assert table.loc["bull", "sharpe"] == pytest.approx(inside.mean() / inside.std() * np.sqrt(252))
    assert table.loc["bull", "p_value"] < 0.05 < table.loc["bear", "p_value"]
    assert table.loc["bull", "p_value_holm"] == pytest.approx(min(1.0, 2 * table.loc["bull", "p_value"]))
    assert table.loc["bull", "low"] < table.loc["bull", "sharpe"] < table.loc["bull", "high"]
    assert table["share"].sum() == pytest.approx(1.0)
    assert table["n_bars"].sum() == N


def test_small_and_unlabelled_cells_carry_no_figures():
    labels = pd.Series(["unlabelled"] * 70 + ["bear"] * 30 + ["bull"] * 200, index=OPEN_AT)
    table = regime_table(market(2), labels, periods_per_year=252, seed=0, n_boot=200)
    assert table["regime"].tolist() == ["bear", "bull", "unlabelled"]
    records = table.to_dict("records")
    json.dumps(records, allow_nan=False)
    assert records[0]["sharpe"] is None
    assert "fewer than 60" in records[0]["note"]
    assert records[2]["sharpe"] is None
    assert records[1]["p_value_holm"] == records[1]["p_value"]


def test_a_ratio_without_an_interval_is_not_shown():
    returns = pd.Series(0.0, index=OPEN_AT)
    returns.iloc[[5, 100, 290]] = 0.01
    labels = pd.Series(np.where(np.arange(N) % 2, "odd", "even"), index=OPEN_AT)
    for row in regime_table(returns, labels, periods_per_year=252, seed=0, n_boot=200).to_dict("records"):
        assert row["sharpe"] is None, row
        assert row["annual_return"] is None, row
        assert "too few rows with a return" in row["note"], row


def test_the_table_counts_spells_trades_and_turnover():
    labels = pd.Series(["bull"] * 100 + ["bear"] * 70 + ["bull"] * 100 + ["unlabelled"] * 30, index=OPEN_AT)
    returns = market(5)
    trades = pd.DataFrame({"entry_bar": [3, 50, 120, 290], "pnl": [1.0, -1.0, 2.0, 5.0]})
    turnover = pd.Series(np.where(labels == "bull", 0.5, 0.1), index=OPEN_AT)
    table = regime_table(
        returns, labels, periods_per_year=252, seed=0, n_boot=300, turnover=turnover, trades=trades
    ).set_index("regime")
    assert table["n_spells"].tolist() == [1, 2, 1]
    assert table["mean_spell_bars"].tolist() == [70.0, 100.0, 30.0]
    assert table["n_trades"].tolist() == [1, 2, 1]
    assert table["trade_hit_rate"].tolist() == [1.0, 0.5, 1.0]
    assert table["turnover_annual"].tolist()[:2] == pytest.approx([0.1 * 252, 0.5 * 252])
    assert table.loc["unlabelled", "turnover_annual"] is None
    bull = returns[labels == "bull"]
    assert table.loc["bull", "total_return"] == pytest.approx((1 + bull).prod() - 1)
    assert table.loc["bull", "worst_bar"] == bull.min()
    for figure in ("annual_return", "annual_volatility", "hit_rate"):
        for regime in ("bull", "bear"):
            row = table.loc[regime]
            assert row[f"{figure}_low"] < row[figure] < row[f"{figure}_high"]
    # The tenth as long, the wider.
    width = table["annual_volatility_high"] - table["annual_volatility_low"]
    assert width["bear"] > width["bull"]
    json.dumps(table.reset_index().to_dict("records"), allow_nan=False)
    assert tuple(regime_table(returns, labels, periods_per_year=252, seed=0, n_boot=100).columns) == COLUMNS
    with pytest.raises(DataError, match="turnover"):
        regime_table(returns, labels, periods_per_year=252, seed=0, turnover=turnover.iloc[1:])


def test_ruin_has_no_interval_of_growth():
    labels = pd.Series(["bull"] * N, index=OPEN_AT)
    returns = market(6)
    returns.iloc[10] = -1.0
    record = regime_table(returns, labels, periods_per_year=252, seed=0, n_boot=100).to_dict("records")[0]
    assert record["annual_return_low"] is record["annual_return_high"] is None
    assert record["annual_volatility_low"] is not None


@pytest.mark.slow
def test_coverage_of_the_percentile_intervals():
    rng = np.random.default_rng(8)
    inside = dict.fromkeys(("annual_return", "annual_volatility", "hit_rate"), 0)
    truth = {"annual_volatility": 0.01 * np.sqrt(252), "hit_rate": 0.5}
    truth["annual_return"] = float(np.expm1(252 * np.log1p(rng.normal(0.0, 0.01, 2_000_000)).mean()))
    for _ in range(400):
        returns = pd.Series(rng.normal(0.0, 0.01, N), index=OPEN_AT)
        labels = trend_regime(pd.Series(rng.normal(0, 0.01, N), index=OPEN_AT), CLOSED, lookback=20)
        table = regime_table(returns, labels, periods_per_year=252, seed=rng, n_boot=300, minimum_bars=60)
        row = table[table["low"].notna()].iloc[0]
        for figure, value in truth.items():
            inside[figure] += row[f"{figure}_low"] <= value <= row[f"{figure}_high"]
    print("coverage", {name: count / 400 for name, count in inside.items()})
    assert all(0.89 < count / 400 < 0.985 for count in inside.values())


def test_an_idle_strategy_has_no_sharpe_in_any_regime():
    labels = pd.Series(["bull"] * N, index=OPEN_AT)
    record = regime_table(market() * 0, labels, periods_per_year=252, seed=0).to_dict("records")[0]
    assert record["sharpe"] is None
    assert record["annual_return"] == 0.0


def test_different_bars_are_refused():
    with pytest.raises(DataError, match="different bars"):
        regime_table(market(), pd.Series(["bull"] * 5, index=OPEN_AT[:5]), periods_per_year=252, seed=0)


@pytest.mark.slow
def test_coverage_of_the_regime_interval():
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(300):
        returns = pd.Series(rng.normal(0.0, 0.01, N), index=OPEN_AT)
        labels = trend_regime(pd.Series(rng.normal(0, 0.01, N), index=OPEN_AT), CLOSED, lookback=20)
        table = regime_table(returns, labels, periods_per_year=252, seed=rng, n_boot=300, minimum_bars=40)
        row = table[table["low"].notna()].iloc[0]
        covered += row["low"] <= 0 <= row["high"]
    print("coverage", covered / 300)
    assert 0.90 < covered / 300 < 0.985
