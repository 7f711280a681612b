import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.bootstrap import cosine_variance, prewhitened_variance
from reference.sizes import automatic_length
from scipy.signal import lfilter
from scipy.stats import t as student

from embargo.backtest.significance.long_run import (
    autocovariances,
    long_run_variance,
    sharpe_influence,
    variance_inflation,
)
from embargo.backtest.significance.means import mean_estimate
from embargo.backtest.significance.standard_errors import aggregated_sharpe, aggregation_factor, sharpe_errors
from embargo.data_loaders.errors import ConfigError, DataError

# Lo (2002), table 1: standard errors of Sharpe ratios for independent normal returns, by ratio and rows.
LO_ERRORS = {
    0.50: {12: 0.306, 24: 0.217, 36: 0.177, 48: 0.153, 60: 0.137, 125: 0.095, 250: 0.067, 500: 0.047},
    1.50: {12: 0.421, 24: 0.298, 36: 0.243, 48: 0.210, 60: 0.188, 125: 0.130, 250: 0.092, 500: 0.065},
    3.00: {12: 0.677, 24: 0.479, 36: 0.391, 48: 0.339, 60: 0.303, 125: 0.210, 250: 0.148, 500: 0.105},
}
# Lo (2002), table 2: what the Sharpe ratio is multiplied by over q periods of a first-order autoregression.
LO_FACTORS = {
    0.0: {2: 1.41, 3: 1.73, 4: 2.00, 6: 2.45, 12: 3.46, 24: 4.90, 36: 6.00, 48: 6.93, 125: 11.18, 250: 15.81},
    0.2: {2: 1.29, 12: 2.88},
    -0.2: {2: 1.58, 12: 4.17},
}


def autoregressive(rng, n, phi=0.2, mean=0.0):
    noise = rng.standard_t(6, n + 50) * 0.01
    return mean + lfilter([1.0], [1.0, -phi], noise)[50:]


def returns_with_sharpe(ratio, n):
    """Return two-valued returns whose Sharpe ratio (deviation with n) is exact."""
    return ratio + np.tile([1.0, -1.0], n // 2)


@pytest.mark.parametrize(("ratio", "n"), [(ratio, n) for ratio, row in LO_ERRORS.items() for n in row if n % 2 == 0])
def test_the_errors_of_independent_normal_returns_are_those_of_the_paper(ratio, n):
    errors = sharpe_errors(returns_with_sharpe(ratio, n), periods_per_year=1.0)
    assert errors.normal == pytest.approx(LO_ERRORS[ratio][n], abs=5.1e-4)


def test_the_factors_over_longer_periods_are_those_of_the_paper():
    for rho, row in LO_FACTORS.items():
        for q, factor in row.items():
            assert aggregation_factor(rho ** np.arange(1, q), q) == pytest.approx(factor, abs=5.1e-3)


@given(st.floats(-0.8, 0.8), st.integers(1, 30))
def test_the_factor_is_the_ratio_of_the_sharpe_ratios(rho, q):
    """Against the variance of a sum of q rows, summed pair by pair."""
    correlation = rho ** np.arange(1, q)
    variance = sum(rho ** abs(i - j) if i != j else 1.0 for i in range(q) for j in range(q))
    assert aggregation_factor(correlation, q) == pytest.approx(q / math.sqrt(variance), rel=1e-9)


def test_the_aggregated_ratio_is_what_longer_periods_show():
    returns = autoregressive(np.random.default_rng(0), 600_000, 0.3, 0.001)
    monthly = returns.reshape(-1, 20).sum(axis=1)
    expected = monthly.mean() / monthly.std(ddof=1)
    plain = returns.mean() / returns.std() * math.sqrt(20)
    assert aggregated_sharpe(returns, 20, lags=10) == pytest.approx(expected, rel=0.02)
    assert plain > 1.2 * expected
    short = autoregressive(np.random.default_rng(1), 500, 0.3, 0.001)
    assert aggregated_sharpe(short, 12) == aggregated_sharpe(short, 12, lags=5)
    assert aggregated_sharpe(short, 12, lags=0) == pytest.approx(short.mean() / short.std(ddof=1) * math.sqrt(12))


def test_impossible_autocorrelations_and_settings_are_refused():
    with pytest.raises(DataError, match="fewer lags"):
        aggregation_factor([-0.9], 12)
    with pytest.raises(ConfigError, match="q must"):
        aggregation_factor([0.1], 0)
    with pytest.raises(ConfigError, match="lags"):
        aggregated_sharpe(np.arange(20.0), 12, lags=20)
    for ask in (sharpe_errors, mean_estimate):
        with pytest.raises(ConfigError, match="periods_per_year"):
            ask(np.arange(40.0), periods_per_year=0.0)
        with pytest.raises(DataError, match="missing"):
            ask(np.array([0.1, np.nan] * 20), periods_per_year=252.0)
    with pytest.raises(ConfigError, match="level"):
        mean_estimate(np.arange(40.0), periods_per_year=252.0, level=0.4)


@given(st.integers(20, 120), st.floats(-0.8, 0.95), st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_the_long_run_variance_equals_the_sum_over_lags(n, phi, seed):
    values = autoregressive(np.random.default_rng(seed), n, phi)
    assert long_run_variance(values) == pytest.approx(prewhitened_variance(values.tolist()), rel=1e-6)


@pytest.mark.parametrize("phi", [-0.4, 0.0, 0.2, 0.6])
def test_the_long_run_variance_finds_that_of_an_autoregression(phi):
    values = lfilter([1.0], [1.0, -phi], np.random.default_rng(3).normal(size=200_000))
    assert long_run_variance(values) == pytest.approx(1.0 / (1.0 - phi) ** 2, rel=0.05)
    assert variance_inflation(values) == pytest.approx((1.0 + phi) / (1.0 - phi), rel=0.05)


def test_the_errors_of_autoregressive_means_are_those_of_statsmodels_at_a_long_bandwidth():
    """A wide Bartlett window on many rows and the pre-whitened kernel estimate the same number."""
    from statsmodels.regression.linear_model import OLS

    values = autoregressive(np.random.default_rng(9), 50_000, 0.3)
    wide = OLS(values, np.ones(len(values))).fit(cov_type="HAC", cov_kwds={"maxlags": 60}).bse[0]
    assert math.sqrt(long_run_variance(values) / len(values)) == pytest.approx(wide, rel=0.03)
    assert mean_estimate(values, periods_per_year=1.0).standard_error == pytest.approx(wide, rel=0.06)


def test_autocovariances_by_hand():
    np.testing.assert_allclose(autocovariances(np.array([1.0, 2.0, -1.0])), [2.0, 0.0, -1.0 / 3.0], atol=1e-12)


@given(st.integers(0, 10**6), st.booleans())
def test_the_influence_is_the_derivative_of_the_ratio(seed, partial):
    """Against the change that a little more weight on one row makes."""
    rng = np.random.default_rng(seed)
    values = autoregressive(rng, 60, mean=0.002)
    member = rng.random(60) < 0.6 if partial else None
    inside = np.ones(60, dtype=bool) if member is None else member
    ratio, influence = sharpe_influence(values, member)

    def weighted(weight):
        mean = np.average(values[inside], weights=weight[inside])
        return mean / math.sqrt(np.average((values[inside] - mean) ** 2, weights=weight[inside]))

    assert ratio == pytest.approx(weighted(np.ones(60)))
    assert abs(influence.mean()) < 1e-9
    row, step = int(rng.integers(60)), 1e-6
    change = (weighted(np.ones(60) + step * 60 * (np.arange(60) == row)) - ratio) / step
    assert influence[row] == pytest.approx(change, rel=1e-3, abs=1e-4)


@given(st.integers(0, 10**6), st.floats(0.01, 100.0))
def test_errors_do_not_depend_on_scale_or_type(seed, scale):
    returns = autoregressive(np.random.default_rng(seed), 80)
    plain = sharpe_errors(returns, periods_per_year=252.0)
    scaled = sharpe_errors(pd.Series(returns * scale), periods_per_year=252.0)
    for name, value in plain.as_dict().items():
        assert scaled.as_dict()[name] == pytest.approx(value, rel=1e-6)
    assert variance_inflation(returns * scale) == pytest.approx(variance_inflation(returns), rel=1e-6)
    json.dumps(plain.as_dict(), allow_nan=False)


def test_normal_errors_and_those_from_moments_agree_on_normal_returns():
    returns = np.random.default_rng(2).normal(0.001, 0.01, 100_000)
    errors = sharpe_errors(returns, periods_per_year=252.0)
    assert errors.moments == pytest.approx(errors.normal, rel=0.01)
    assert errors.hac == pytest.approx(errors.normal, rel=0.03)
    assert errors.normal == pytest.approx(math.sqrt(252 / 100_000), rel=0.01)


def test_mertens_error_is_the_formula_of_the_moments():
    from scipy.stats import kurtosis, skew

    returns = np.random.default_rng(2).gamma(2.0, 0.01, 400) - 0.015
    ratio = returns.mean() / returns.std()
    factor = 1.0 - skew(returns) * ratio + (kurtosis(returns, fisher=False) - 1.0) / 4.0 * ratio**2
    assert sharpe_errors(returns, periods_per_year=1.0).moments == pytest.approx(math.sqrt(factor / 400), rel=1e-9)


@pytest.mark.parametrize("returns", [np.zeros(100), np.full(100, 0.01), np.array([]), np.array([0.1, 0.2])])
def test_without_variation_there_is_no_error(returns):
    assert set(sharpe_errors(returns, periods_per_year=252.0).as_dict().values()) == {None}
    assert aggregated_sharpe(returns, 12) is None
    assert variance_inflation(returns) == 1.0
    estimate = mean_estimate(returns, periods_per_year=252.0)
    assert estimate.p_value is None
    assert (estimate.mean is None) == (len(returns) == 0)


@given(st.integers(30, 200), st.integers(0, 10**6))
@settings(max_examples=20)
def test_the_mean_test_is_that_of_the_cosines(n, seed):
    returns = autoregressive(np.random.default_rng(seed), n, mean=0.001)
    estimate = mean_estimate(returns, periods_per_year=252.0, level=0.9)
    degrees = math.floor(min(0.4 * n ** (2 / 3), 0.6 * n / automatic_length(returns)))
    error = math.sqrt(cosine_variance(returns.tolist(), degrees) / n)
    t = returns.mean() / error
    assert estimate.degrees_of_freedom == degrees
    assert estimate.t == pytest.approx(t, rel=1e-9)
    assert estimate.p_value == pytest.approx(student.sf(t, degrees), rel=1e-9)
    assert estimate.low == pytest.approx(252 * (returns.mean() - student.ppf(0.95, degrees) * error), abs=1e-9)
    assert estimate.high + estimate.low == pytest.approx(2 * estimate.mean)
    json.dumps(estimate.as_dict(), allow_nan=False)


def test_the_mean_test_tells_an_edge_from_none():
    rng = np.random.default_rng(4)
    assert mean_estimate(autoregressive(rng, 504, mean=0.003), periods_per_year=252.0).p_value < 0.01
    assert mean_estimate(autoregressive(rng, 504, mean=-0.003), periods_per_year=252.0).p_value > 0.99
