import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from embargo.backtest import metrics
from embargo.backtest.metrics import performance
from embargo.data_loaders.errors import ConfigError, DataError

RETURNS = np.array([0.10, -0.05, 0.02, -0.10, 0.0, 0.04, 0.20])
_ROWS = np.arange(101)
WAVES = 0.6 * (0.01 * np.sin(1.1 * _ROWS + 0.3) + 0.0003) + 0.012 * np.sin(1.7 * _ROWS)
WAVES += 0.008 * np.cos(0.37 * _ROWS**2) - 0.0005
SERIES = hnp.arrays(float, st.integers(0, 60), elements=st.floats(-0.5, 0.5).map(lambda r: round(r, 9)))


def test_golden_values_worked_by_hand():
    mean = 0.21 / 7
    squares = sum((r - mean) ** 2 for r in RETURNS)
    assert metrics.sharpe(RETURNS, periods_per_year=252) == pytest.approx(
        mean / math.sqrt(squares / 6) * math.sqrt(252)
    )
    downside = math.sqrt((0.05**2 + 0.10**2) / 7)
    assert metrics.sortino(RETURNS, periods_per_year=252) == pytest.approx(mean / downside * math.sqrt(252))
    wealth = 1.1 * 0.95 * 1.02 * 0.9 * 1.04 * 1.2
    assert metrics.total_return(RETURNS) == pytest.approx(wealth - 1)
    assert metrics.annual_return(RETURNS, periods_per_year=14) == pytest.approx(wealth**2 - 1)
    assert metrics.max_drawdown(RETURNS) == pytest.approx(0.95 * 1.02 * 0.9 - 1)
    assert metrics.calmar(RETURNS, periods_per_year=7) == pytest.approx((wealth - 1) / (1 - 0.95 * 1.02 * 0.9))
    assert metrics.annual_volatility(RETURNS, periods_per_year=4) == pytest.approx(2 * math.sqrt(squares / 6))
    assert metrics.hit_rate(RETURNS) == pytest.approx(4 / 6)
    assert metrics.drawdown_lengths(RETURNS) == (5, 3)


def test_the_starting_capital_is_a_peak():
    assert metrics.max_drawdown(np.array([-0.1, 0.05])) == pytest.approx(-0.1)
    assert metrics.drawdown_lengths(np.array([-0.1, 0.05])) == (2, None)
    assert metrics.drawdown_lengths(np.array([0.1, 0.05])) == (0, 0)


def test_agrees_with_vectorbt_where_the_definitions_agree():
    """vectorbt divides by the same n - 1 and counts a year as told, but calls an idle strategy's Sharpe infinite."""
    import vectorbt  # noqa: F401 - registers the accessor

    rng = np.random.default_rng(5)
    returns = pd.Series(rng.normal(0.0004, 0.01, 700), index=pd.date_range("2020-01-01", periods=700, freq="D"))
    theirs = returns.vbt.returns(freq="1D", year_freq="252 days")
    ours = performance(returns, periods_per_year=252)
    assert ours["sharpe"] == pytest.approx(theirs.sharpe_ratio(), rel=1e-9)
    assert ours["sortino"] == pytest.approx(theirs.sortino_ratio(), rel=1e-9)
    assert ours["calmar"] == pytest.approx(theirs.calmar_ratio(), rel=1e-9)
    assert ours["max_drawdown"] == pytest.approx(theirs.max_drawdown(), rel=1e-9)
    assert ours["annual_return"] == pytest.approx(theirs.annualized(), rel=1e-9)
    assert ours["annual_volatility"] == pytest.approx(theirs.annualized_volatility(), rel=1e-9)


@pytest.mark.parametrize("returns", [np.zeros(50), np.full(50, 0.001), np.array([]), np.array([0.01])])
def test_what_does_not_exist_is_none(returns):
    figures = performance(returns, periods_per_year=252)
    assert figures["sharpe"] is None
    assert figures["sortino"] is None
    assert figures["calmar"] is None
    json.dumps(figures, allow_nan=False)


def test_total_loss():
    figures = performance(np.array([0.1, -1.0, 0.0]), periods_per_year=252)
    assert figures["annual_return"] == -1.0
    assert figures["max_drawdown"] == -1.0
    assert figures["recovery_bars"] is None


@given(SERIES)
def test_always_json_and_in_range(returns):
    figures = performance(returns, periods_per_year=365)
    json.dumps(figures, allow_nan=False)
    if len(returns):
        assert -1.0 <= figures["max_drawdown"] <= 0.0
        assert figures["hit_rate"] is None or 0.0 <= figures["hit_rate"] <= 1.0
        assert figures["longest_drawdown_bars"] <= len(returns)


@given(SERIES.filter(lambda r: len(r) > 2 and r.std() > 1e-6), st.floats(0.01, 1.5))
def test_sharpe_does_not_depend_on_the_size_of_the_bets(returns, size):
    plain = metrics.sharpe(returns, periods_per_year=252)
    assert metrics.sharpe(returns * size, periods_per_year=252) == pytest.approx(plain, rel=1e-9, abs=1e-12)


def test_moments_are_raw():
    sample = np.random.default_rng(0).normal(0, 0.01, 200_000)
    assert metrics.kurtosis_raw(sample) == pytest.approx(3.0, abs=0.05)
    assert metrics.skewness(sample) == pytest.approx(0.0, abs=0.03)


def test_turnover_and_exposure():
    weights = pd.DataFrame({"A": [0.5, 0.0], "B": [-0.25, 0.0]})
    figures = performance(
        np.array([0.01, -0.01]), periods_per_year=252, turnover=pd.Series([0.375, 0.375]), weights=weights
    )
    assert figures["turnover_annual"] == pytest.approx(0.375 * 252)
    assert figures["exposure_gross"] == pytest.approx(0.375)
    assert figures["exposure_net"] == pytest.approx(0.125)
    assert figures["time_in_market"] == 0.5


def test_the_published_sortino_example():
    """Rollinger and Hoffman (2013), "Sortino: A 'Sharper' Ratio": eight years, target 0, ratio 4.417."""
    years = np.array([0.17, 0.15, 0.23, -0.05, 0.12, 0.09, 0.13, -0.04])
    assert metrics.sortino(years, periods_per_year=1) == pytest.approx(4.417, abs=5e-4)


def test_golden_values_of_empyrical_and_quantstats():
    """empyrical-reloaded 0.7.1 and quantstats 0.0.86 on the same rows; they agree with each other on these."""
    ours = performance(WAVES, periods_per_year=252)
    golden = {
        "annual_return": 0.06479657235983116,
        "annual_volatility": 0.18128697707323627,
        "sharpe": 0.43609507263321995,
        "sortino": 0.6409129603136905,
        "calmar": 0.6800970386204522,
        "max_drawdown": -0.09527548082148429,
        "profit_factor": 1.0715929951800844,
        "payoff_ratio": 1.009770322381233,
        "hit_rate": 0.5148514851485149,
        "losing_streak_bars": 3,
    }
    assert {name: ours[name] for name in golden} == pytest.approx(golden, rel=1e-10)
    assert metrics.omega(WAVES) == pytest.approx(1.0715929951800844, rel=1e-10)
    rolling = metrics.rolling_sharpe(WAVES, 21, periods_per_year=252)
    assert rolling.iloc[-1] == pytest.approx(-2.391395820438153, rel=1e-10)


def test_rolling_sharpe_is_the_sharpe_of_each_window():
    series = pd.Series(WAVES, index=pd.date_range("2020-01-01", periods=len(WAVES), freq="D", tz="UTC"))
    series.iloc[30:45] = 0.001
    rolling = metrics.rolling_sharpe(series, 10, periods_per_year=252)
    assert rolling.index.equals(series.index)
    assert rolling.iloc[:9].isna().all()
    for row in (9, 25, 40, 60, 100):
        alone = metrics.sharpe(series.iloc[row - 9 : row + 1], periods_per_year=252)
        assert (np.isnan(rolling.iloc[row]) and alone is None) or rolling.iloc[row] == pytest.approx(alone, rel=1e-9)
    assert np.isnan(rolling.iloc[44])
    assert not np.isnan(rolling.iloc[45])
    assert metrics.rolling_sharpe(series.iloc[:5], 10, periods_per_year=252).isna().all()
    with pytest.raises(ConfigError, match="window"):
        metrics.rolling_sharpe(series, 1, periods_per_year=252)


def test_gains_losses_and_streaks_by_hand():
    assert metrics.profit_factor(RETURNS) == pytest.approx(0.36 / 0.15)
    assert metrics.payoff_ratio(RETURNS) == pytest.approx(0.09 / 0.075)
    assert metrics.omega(RETURNS, 0.02) == pytest.approx((0.08 + 0.02 + 0.18) / (0.07 + 0.12 + 0.02))
    assert metrics.losing_streak(np.array([-1, -1, 0, -1, -1, -1, 2, -1]) / 10) == 3
    assert metrics.losing_streak(np.array([0.1, 0.0])) == 0
    gains = np.array([0.1, 0.2])
    assert metrics.profit_factor(gains) is None
    assert metrics.payoff_ratio(gains) is None


@given(SERIES.filter(lambda r: len(r) > 2 and np.abs(r).max() > 1e-6), st.floats(0.01, 1.5))
def test_ratios_of_gains_to_losses_do_not_depend_on_the_size_of_the_bets(returns, size):
    for figure in (metrics.profit_factor, metrics.payoff_ratio):
        plain = figure(returns)
        assert figure(returns * size) == (None if plain is None else pytest.approx(plain, rel=1e-9))


TRADES = pd.DataFrame(
    {
        "symbol": list("ABAC"),
        "entry_bar": [0, 1, 5, 6],
        "exit_bar": [4, 9, 6, 8],
        "size": [1.0, 2.0, 1.0, 3.0],
        "pnl": [100.0, -30.0, -10.0, 0.0],
        "return": [0.10, -0.03, -0.02, 0.0],
        "direction": ["long", "short", "long", "long"],
    }
)


def test_trades_by_hand():
    figures = performance(RETURNS, periods_per_year=252, trades=TRADES)["trades"]
    assert figures == pytest.approx(
        {
            "n_trades": 4,
            "hit_rate": 1 / 3,
            "profit_factor": 2.5,
            "payoff_ratio": 5.0,
            "losing_streak": 1,
            "mean_return": 0.0125,
            "best_return": 0.10,
            "worst_return": -0.03,
            "mean_bars": (4 + 8 + 1 + 2) / 4,
        }
    )
    json.dumps(figures, allow_nan=False)


def test_no_trades_have_no_figures():
    figures = metrics.trade_figures(TRADES.iloc[:0])
    assert figures["n_trades"] == 0
    assert figures["losing_streak"] == 0
    assert all(figures[name] is None for name in figures if name not in ("n_trades", "losing_streak"))
    with pytest.raises(DataError, match="no column pnl"):
        metrics.trade_figures(TRADES.drop(columns="pnl"))


def test_bad_input_is_refused():
    with pytest.raises(DataError, match="row 1 is nan"):
        metrics.sharpe(np.array([0.1, np.nan]), periods_per_year=252)
    with pytest.raises(DataError, match="one return series"):
        metrics.sharpe(np.zeros((2, 2)), periods_per_year=252)
    with pytest.raises(ConfigError, match="periods_per_year"):
        metrics.sharpe(RETURNS, periods_per_year=0)
