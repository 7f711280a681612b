"""Examples printed in papers, closed forms that hold in the limit, and peers that compute the same in another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import norm

from embargo.backtest.significance import sharpe_difference, stepwise_sharpe, stepwise_superior
from embargo.backtest.significance.deflation import (
    expected_maximum_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
)
from embargo.backtest.significance.forecasts import diebold_mariano
from embargo.backtest.significance.long_run import long_run_variance
from embargo.backtest.significance.power import detectable_sharpe
from embargo.backtest.significance.resampling import automatic_block_length


def autoregressive(seed, n, phi):
    noise = np.random.default_rng(seed).normal(size=n + 100)
    return lfilter([1.0], [1.0, -phi], noise)[100:]


def test_the_hedge_fund_of_the_sharpe_ratio_frontier():
    """Bailey and López de Prado (2012): monthly ratio 0.458, skewness -2.448, raw kurtosis 10.164.

    After two years a normal fund would be skilled with 0.982, this one with 0.913; after three years with 0.953.
    """
    moments = {"skew": -2.448, "kurtosis_raw": 10.164}
    assert probabilistic_sharpe(0.458, 24, 0.0, 3.0) == pytest.approx(0.982, abs=5.1e-4)
    assert probabilistic_sharpe(0.458, 24, **moments) == pytest.approx(0.913, abs=5.1e-4)
    assert probabilistic_sharpe(0.458, 36, **moments) == pytest.approx(0.953, abs=6e-4)
    assert 24 < minimum_track_record(0.458, **moments) < 36


@pytest.mark.parametrize(("configurations", "years", "ratio"), [(10, 1, 1.57), (7, 2, 1.0), (45, 5, 1.0)])
def test_the_minimum_backtest_lengths_of_pseudo_mathematics(configurations, years, ratio):
    """Bailey, Borwein, López de Prado and Zhu (2014): the best of so many worthless trials over so many years."""
    assert expected_maximum_sharpe(configurations, 1.0 / years) == pytest.approx(ratio, abs=0.02)


@pytest.mark.parametrize("phi", [0.7, 0.1, -0.4])
def test_block_lengths_tend_to_those_of_the_theory(phi):
    """Patton, Politis and White (2009): for an AR(1), ``(2 phi / (1 - phi ** 2)) ** (2 / 3) * n ** (1 / 3)``.

    Their simulations have these three coefficients.
    """
    n = 20_000
    found = np.mean([automatic_block_length(autoregressive(seed, n, phi)) for seed in range(20)])
    expected = (2.0 * abs(phi) / (1.0 - phi**2)) ** (2.0 / 3.0) * n ** (1.0 / 3.0)
    assert found == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("phi", [0.5, 0.0, -0.3])
def test_the_quadratic_spectral_kernel_is_that_of_arch(phi):
    """Pre-whitened by least squares, arch's kernel at Andrews's (1991, equations 6.2 and 6.4) bandwidth, recoloured."""
    from arch.covariance.kernel import QuadraticSpectral

    values = autoregressive(5, 300, phi)
    centred = values - values.mean()
    first = float(centred[1:] @ centred[:-1] / (centred[:-1] @ centred[:-1]))
    rest = centred[1:] - first * centred[:-1]
    second = float(rest[1:] @ rest[:-1] / (rest[:-1] @ rest[:-1]))
    bandwidth = 1.3221 * (4.0 * second**2 / (1.0 - second) ** 4 * len(rest)) ** 0.2
    theirs = QuadraticSpectral(rest, bandwidth=bandwidth, center=False).cov.long_run.item()
    assert long_run_variance(values) == pytest.approx(theirs / (1.0 - first) ** 2, rel=1e-9)


@pytest.mark.parametrize("horizon", [1, 2, 4])
def test_diebold_and_marianos_statistic_is_a_regression_of_statsmodels(horizon):
    """On a constant, errors with a flat kernel; then the factor of Harvey, Leybourne and Newbold (1997, equation 9)."""
    from statsmodels.regression.linear_model import OLS
    from statsmodels.stats.sandwich_covariance import weights_uniform

    n = 120
    differences = autoregressive(7, n, 0.3) + 0.2
    fit = OLS(differences, np.ones(n)).fit(
        cov_type="HAC", cov_kwds={"maxlags": horizon - 1, "kernel": weights_uniform, "use_correction": False}
    )
    factor = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n
    found = diebold_mariano(differences, np.zeros(n), horizon=horizon)
    assert found.statistic == pytest.approx(float(fit.tvalues[0]) * math.sqrt(factor), rel=1e-9)


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_error_of_a_difference_tends_to_that_of_memmel(correlation):
    """Memmel (2003), "Performance Hypothesis Testing with the Sharpe Ratio": independent normal rows."""
    n, mean = 40_000, np.array([1.0, -0.5])
    spread = np.array([[1.0, correlation], [correlation, 1.0]])
    a, b = np.random.default_rng(2).multivariate_normal(mean, spread, n).T
    variance = 2.0 - 2.0 * correlation
    variance += 0.5 * (mean @ mean) - mean[0] * mean[1] * correlation**2
    found = sharpe_difference(a, b, periods_per_year=1.0, n_boot=100, block=1.0, seed=0)
    assert found.standard_error == pytest.approx(math.sqrt(variance / n), rel=0.03)


@given(st.integers(30, 5000), st.floats(0.01, 0.2), st.floats(0.5, 0.95))
@settings(max_examples=25)
def test_the_detectable_ratio_is_the_effect_size_of_statsmodels(n, significance, power):
    """In errors of its own, ``sqrt(1 + SR ** 2 / 2)``, the least ratio is the effect size of a one-sided z-test."""
    from statsmodels.stats.power import NormalIndPower

    ratio = detectable_sharpe(n, periods_per_year=1.0, significance=significance, power=power)
    effect = ratio / math.sqrt(1.0 + 0.5 * ratio**2)
    theirs = NormalIndPower().power(effect, n - 1, significance, ratio=0.0, alternative="larger")
    assert float(theirs) == pytest.approx(power, abs=1e-9)


def holm_sidak(p_values):
    from statsmodels.stats.multitest import multipletests

    return multipletests(p_values, method="holm-sidak")[1]


@pytest.mark.parametrize("seed", range(3))
def test_independent_attempts_are_adjusted_as_holm_and_sidak_do(seed):
    """What resampling finds of attempts that share nothing is known from their p-values alone (Šidák 1967)."""
    n, k = 2000, 6
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n, k))
    noise -= noise.mean(axis=0)
    returns = noise + np.array([0.07, 0.06, 0.05, 0.04, 0.03, 0.02])
    expected = holm_sidak(norm.sf(np.sqrt(n) * returns.mean(axis=0) / returns.std(axis=0)))
    assert 0.001 < expected[0] < 0.05 < expected[3]
    options = {"block": 1, "n_boot": 10_000, "seed": seed}
    np.testing.assert_allclose(stepwise_sharpe(returns, **options).p_values, expected, atol=0.03)
    np.testing.assert_allclose(stepwise_superior(returns, **options).p_values, expected, atol=0.03)
