import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.integrate import quad
from scipy.stats import norm

from embargo.backtest import metrics
from embargo.data_loaders.errors import ConfigError

SERIES = hnp.arrays(float, st.integers(1, 60), elements=st.floats(-0.5, 0.5))
LEVELS = st.floats(0.5, 0.995)
# Bacon (2008), the 24 months of his running example.
BACON = (
    np.array(
        [3, 26, 11, -10, 15, 25, 16, 67, -14, 40, -5, 81, 40, -37, -61, 17, -49, -22, 70, 58, -65, 24, -5, -9],
        dtype=float,
    )
    / 1000
)
_ROWS = np.arange(101)
WAVES = 0.6 * (0.01 * np.sin(1.1 * _ROWS + 0.3) + 0.0003) + 0.012 * np.sin(1.7 * _ROWS)
WAVES += 0.008 * np.cos(0.37 * _ROWS**2) - 0.0005


def test_the_published_figures_of_bacons_example():
    """As printed by R's PerformanceAnalytics 2.1: Bernardo-Ledoit 1.78, kurtosis 2.43, pain 0.0399, Martin 1.6945.

    Releases before it did not count the starting capital as a peak and printed 0.0390 and 1.7077.
    """
    assert metrics.profit_factor(BACON) == pytest.approx(1.779783, abs=1e-6)
    assert metrics.kurtosis_raw(BACON) == pytest.approx(2.43, abs=0.005)
    assert -metrics.drawdowns(BACON).mean() == pytest.approx(0.0399, abs=1e-4)
    martin = metrics.annual_return(BACON, periods_per_year=12) / metrics.ulcer_index(BACON)
    assert martin == pytest.approx(1.6945, abs=5e-5)


def test_drawdowns_by_hand():
    returns = np.array([0.10, -0.05, 0.02, -0.10, 0.0, 0.04, 0.20, -0.01])
    table = metrics.deepest_drawdowns(returns)
    assert table["depth"].tolist() == pytest.approx([0.95 * 1.02 * 0.9 - 1, -0.01])
    assert table["start_bar"].tolist() == [1, 7]
    assert table["trough_bar"].tolist() == [3, 7]
    assert table["recovery_bar"].tolist() == [6, pd.NA]
    assert table["length_bars"].tolist() == [5, 1]
    assert metrics.drawdown_lengths(returns) == (5, 3)
    assert len(metrics.deepest_drawdowns(returns, k=1)) == 1
    assert metrics.deepest_drawdowns(np.array([0.1, 0.0])).empty
    with pytest.raises(ConfigError, match="k must"):
        metrics.deepest_drawdowns(returns, k=0)


def test_ulcer_index_is_not_quantstats():
    """quantstats 0.0.86 divides by n - 1: 0.03353677371096478 on the same rows."""
    assert metrics.ulcer_index(WAVES) == pytest.approx(0.03353677371096478 * np.sqrt(100 / 101), rel=1e-10)
    depths = metrics.deepest_drawdowns(WAVES, k=4)["depth"]
    assert depths.tolist() == pytest.approx([-0.09527548, -0.02780764, -0.02694947, -0.02296481], abs=1e-7)


@given(SERIES)
def test_drawdowns_cover_the_rows_below_the_peak(returns):
    table = metrics.deepest_drawdowns(returns, k=None)
    depth = metrics.drawdowns(returns)
    assert (depth <= 0.0).all()
    assert table["length_bars"].sum() == (depth < -1e-12).sum()
    assert table["depth"].is_monotonic_increasing
    assert ((table["start_bar"] <= table["trough_bar"]) & (table["depth"] < 0)).all()
    assert table["recovery_bar"].isna().sum() <= 1
    if len(table):
        assert table["depth"].iloc[0] == metrics.max_drawdown(returns)
        assert metrics.ulcer_index(returns) <= -metrics.max_drawdown(returns) + 1e-12


def test_historical_losses_by_hand():
    returns = np.array([-0.10, -0.08, -0.06, -0.04, -0.02, 0.0, 0.02, 0.04, 0.06, 0.08])
    assert metrics.value_at_risk(returns, 0.8) == pytest.approx(0.06)
    assert metrics.expected_shortfall(returns, 0.8) == pytest.approx(0.09)
    assert metrics.value_at_risk(returns, 0.85) == pytest.approx(0.08)
    assert metrics.expected_shortfall(returns, 0.85) == pytest.approx((0.10 + 0.5 * 0.08) / 1.5)
    assert metrics.value_at_risk(np.arange(300.0), 0.95) == -15.0


def test_golden_losses_of_empyrical():
    """empyrical-reloaded 0.7.1 where the interpolated percentile falls on a row; its shortfall takes 6 rows for 5.05.

    quantstats 0.0.86 calls the normal distribution's 0.01847 value at risk.
    """
    assert metrics.value_at_risk(WAVES, 0.95) == pytest.approx(0.01965794944249658, rel=1e-10)
    assert metrics.tail_ratio(WAVES) == pytest.approx(0.967185764990244, rel=1e-10)
    worst = np.sort(WAVES)
    assert -worst[:6].mean() == pytest.approx(0.02247659977139738, rel=1e-10)
    assert metrics.expected_shortfall(WAVES, 0.95) == pytest.approx(-(worst[:5].sum() + 0.05 * worst[5]) / 5.05)


@given(SERIES, LEVELS, LEVELS)
def test_losses_grow_with_the_level_and_shortfall_is_beyond(returns, one, two):
    low, high = sorted((one, two))
    for risk in (metrics.value_at_risk, metrics.expected_shortfall):
        assert risk(returns, low) <= risk(returns, high) + 1e-12
    assert metrics.expected_shortfall(returns, low) >= metrics.value_at_risk(returns, low) - 1e-12


SKEWED = np.sort(norm.ppf((np.arange(400) + 0.5) / 400)) * 0.01
SKEWED = SKEWED - 1.5 * SKEWED**2 * np.sign(0.5 - (np.arange(400) / 400)) - 8 * SKEWED**2


@given(LEVELS, LEVELS)
def test_cornish_fisher_grows_with_the_level(one, two):
    low, high = sorted((one, two))
    assert metrics.skewness(SKEWED) < -0.3
    for risk in (metrics.value_at_risk_cornish_fisher, metrics.expected_shortfall_cornish_fisher):
        assert risk(SKEWED, low) <= risk(SKEWED, high) + 1e-12
    assert metrics.expected_shortfall_cornish_fisher(SKEWED, low) >= metrics.value_at_risk_cornish_fisher(SKEWED, low)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_cornish_fisher_shortfall_is_the_mean_of_its_values_at_risk(level):
    def loss(u):
        return metrics.value_at_risk_cornish_fisher(SKEWED, 1.0 - u)

    mean = quad(loss, 1e-9, 1.0 - level, limit=200)[0] / (1.0 - level)
    assert metrics.expected_shortfall_cornish_fisher(SKEWED, level) == pytest.approx(mean, rel=1e-5)


def test_cornish_fisher_of_a_normal_sample_is_normal():
    sample = norm.ppf((np.arange(20_000) + 0.5) / 20_000) * 0.02 + 0.001
    assert metrics.value_at_risk_cornish_fisher(sample, 0.99) == pytest.approx(0.02 * 2.3263 - 0.001, rel=2e-3)
    expected = 0.02 * norm.pdf(2.3263) / 0.01 - 0.001
    assert metrics.expected_shortfall_cornish_fisher(sample, 0.99) == pytest.approx(expected, rel=2e-3)


def test_losses_that_do_not_exist_are_none():
    crash = np.r_[np.full(200, 0.001), -0.4]
    assert metrics.value_at_risk_cornish_fisher(crash) is None
    assert metrics.expected_shortfall_cornish_fisher(crash) is None
    assert metrics.value_at_risk(crash, 0.999) == pytest.approx(0.4)
    assert metrics.tail_ratio(np.full(30, 0.01)) is None
    nothing = np.array([])
    assert metrics.value_at_risk(nothing) is None
    assert metrics.expected_shortfall(nothing) is None
    with pytest.raises(ConfigError, match="level"):
        metrics.value_at_risk(BACON, 0.05)


@given(SERIES.filter(lambda r: np.ptp(r) > 1e-6), st.floats(0.1, 1.5), st.floats(-0.1, 0.1))
def test_scale_and_shift(returns, size, shift):
    for risk in (
        metrics.value_at_risk,
        metrics.expected_shortfall,
        metrics.value_at_risk_cornish_fisher,
        metrics.expected_shortfall_cornish_fisher,
    ):
        plain, moved = risk(returns, 0.9), risk(size * returns + shift, 0.9)
        # At the edge of its domain the expansion may exist for one and not for the other.
        if plain is not None and moved is not None:
            assert moved == pytest.approx(size * plain - shift, rel=1e-7, abs=1e-9)
    assert metrics.skewness(size * returns + shift) == pytest.approx(metrics.skewness(returns), rel=1e-5, abs=1e-5)
