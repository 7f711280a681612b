import json
import math

import numpy as np
import pandas as pd
import pytest
from arch.covariance.kernel import Bartlett
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from embargo.backtest import metrics
from embargo.backtest.metrics import relative
from embargo.data_loaders.errors import DataError

_ROWS = np.arange(101)
BENCHMARK = 0.01 * np.sin(1.1 * _ROWS + 0.3) + 0.0003
WAVES = 0.6 * BENCHMARK + 0.012 * np.sin(1.7 * _ROWS) + 0.008 * np.cos(0.37 * _ROWS**2) - 0.0005
PAIRS = hnp.arrays(float, st.tuples(st.just(2), st.integers(0, 40)), elements=st.floats(-0.2, 0.2))


def test_golden_values_of_quantstats_and_empyrical():
    """quantstats 0.0.86 `greeks`; empyrical-reloaded 0.7.1 has the same beta, compounds alpha (0.0033058)."""
    ours = relative(WAVES, BENCHMARK, periods_per_year=252)
    assert ours["beta"] == pytest.approx(0.6664795911386309, rel=1e-10)
    assert ours["alpha_annual"] == pytest.approx(0.003300323577691615, rel=1e-8)
    # Both give the information ratio per row.
    assert ours["information_ratio"] == pytest.approx(-0.012877776265855486 * math.sqrt(252), rel=1e-10)
    json.dumps(ours, allow_nan=False)


def test_by_hand():
    mine, theirs = np.array([0.02, -0.01, 0.03, 0.0]), np.array([0.01, -0.02, 0.02, -0.01])
    assert metrics.capture(mine, theirs) == pytest.approx((0.025 / 0.015, 0.005 / 0.015))
    assert metrics.tracking_error(mine, theirs * 0.0, periods_per_year=4) == pytest.approx(2 * mine.std(ddof=1))
    figures = relative(mine, theirs, periods_per_year=4)
    assert figures["excess_return_annual"] == pytest.approx(0.04)
    assert figures["information_ratio"] is None
    assert figures["beta"] is None


def test_errors_against_the_sandwich_written_out():
    rng = np.random.default_rng(3)
    theirs = rng.normal(0.0003, 0.01, 300)
    noise = np.convolve(rng.normal(0, 0.01, 305), np.ones(6) / 6, mode="valid")
    mine = 0.0002 + 0.7 * theirs + noise
    ours = metrics.regression(mine, theirs, periods_per_year=252)
    design = np.column_stack([np.ones(300), theirs])
    inverse = np.linalg.inv(design.T @ design)
    params = inverse @ design.T @ mine
    scores = design * (mine - design @ params)[:, None]
    middle = scores.T @ scores
    for lag in range(1, ours["hac_lags"] + 1):
        cross = scores[lag:].T @ scores[:-lag]
        middle += (1 - lag / (ours["hac_lags"] + 1)) * (cross + cross.T)
    errors = np.sqrt(np.diag(inverse @ middle @ inverse) * 300 / 298)
    assert ours["hac_lags"] > 0
    assert ours["alpha_standard_error"] == pytest.approx(errors[0] * 252, rel=1e-8)
    assert ours["beta_standard_error"] == pytest.approx(errors[1], rel=1e-8)
    assert ours["alpha_t"] == pytest.approx(params[0] / errors[0], rel=1e-8)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("memory", [-0.4, 0.3, 0.8])
def test_lags_are_those_of_arch(seed, memory):
    """With 100 rows, where arch's rounding up of the first lag and the paper's rounding down agree."""
    rng = np.random.default_rng(seed)
    series = np.zeros(100)
    for row in range(1, 100):
        series[row] = memory * series[row - 1] + rng.normal()
    series -= series.mean()
    assert metrics.newey_west_lags(series) == min(math.floor(Bartlett(series).opt_bandwidth), 25)


def test_what_does_not_exist_is_none():
    flat = relative(WAVES, BENCHMARK * 0, periods_per_year=252)
    assert flat["beta"] is None
    assert flat["alpha_p_value"] is None
    assert flat["up_capture"] is None
    assert flat["information_ratio"] == pytest.approx(metrics.sharpe(WAVES, periods_per_year=252))
    itself = relative(2 * BENCHMARK, BENCHMARK, periods_per_year=252)
    assert itself["beta"] == pytest.approx(2.0)
    assert itself["alpha_t"] is None
    assert itself["r_squared"] == pytest.approx(1.0)
    assert all(
        value is None or math.isfinite(value)
        for value in relative(np.array([]), np.array([]), periods_per_year=252).values()
    )


def test_rows_must_be_the_same():
    index = pd.date_range("2020-01-01", periods=101, freq="D", tz="UTC")
    mine, theirs = pd.Series(WAVES, index), pd.Series(BENCHMARK, index)
    assert relative(mine, theirs, periods_per_year=252) == relative(WAVES, BENCHMARK, periods_per_year=252)
    with pytest.raises(DataError, match="same rows"):
        relative(mine, theirs.iloc[:-1], periods_per_year=252)
    with pytest.raises(DataError, match="same rows"):
        relative(mine.iloc[:-1], theirs.iloc[1:], periods_per_year=252)


@settings(max_examples=15, deadline=None)
@given(PAIRS)
def test_always_json(pair):
    json.dumps(relative(*pair, periods_per_year=365), allow_nan=False)


@given(st.floats(0.1, 5.0), st.floats(-0.01, 0.01))
def test_scale_and_shift(size, shift):
    plain = relative(WAVES, BENCHMARK, periods_per_year=252)
    moved = relative(size * WAVES + shift, BENCHMARK, periods_per_year=252)
    assert moved["beta"] == pytest.approx(size * plain["beta"], rel=1e-9)
    assert moved["alpha_annual"] == pytest.approx(size * plain["alpha_annual"] + 252 * shift, abs=1e-9)
    assert moved["beta_standard_error"] == pytest.approx(size * plain["beta_standard_error"], rel=1e-6)
    both = relative(size * WAVES, size * BENCHMARK, periods_per_year=252)
    for name in ("information_ratio", "up_capture", "down_capture", "beta", "alpha_t"):
        assert both[name] == pytest.approx(plain[name], rel=1e-6)


@pytest.mark.slow
def test_size_of_the_alpha_test_under_serial_dependence():
    """A true null with autocorrelated noise: the plain error rejects too often, the HAC error keeps near 5 %."""
    rng = np.random.default_rng(17)
    draws, rows, phi = 600, 1000, 0.3
    rejected, plainly = 0, 0
    for _ in range(draws):
        shocks = rng.normal(0, 0.01, rows + 50)
        noise = np.zeros(rows + 50)
        for row in range(1, rows + 50):
            noise[row] = phi * noise[row - 1] + shocks[row]
        theirs = rng.normal(0, 0.01, rows)
        mine = 0.5 * theirs + noise[50:]
        ours = metrics.regression(mine, theirs, periods_per_year=252)
        rejected += ours["alpha_p_value"] < 0.05
        plainly += abs(noise[50:].mean() / noise[50:].std() * math.sqrt(rows)) > 1.96
    assert plainly / draws > 0.11
    assert 0.025 < rejected / draws < 0.09
