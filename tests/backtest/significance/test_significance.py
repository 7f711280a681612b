import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.superiority import prewhitened_variances
from scipy.signal import lfilter

from embargo.backtest.significance import conditional_sharpe, holm, moving_rows, sharpe_estimate
from embargo.backtest.significance.long_run import sharpe_influence
from embargo.backtest.significance.resampling import bootstrap_sharpe
from embargo.data_loaders.errors import ConfigError, DataError


def autoregressive(rng, n, phi=0.2, mean=0.0):
    noise = rng.standard_t(6, n + 50) * 0.01
    return mean + lfilter([1.0], [1.0, -phi], noise)[50:]


def test_independent_normal_returns_have_the_textbook_error():
    returns = np.random.default_rng(0).normal(0.0005, 0.01, 5000)
    estimate = sharpe_estimate(returns, periods_per_year=252, seed=1, n_boot=500, block=1.0)
    assert estimate.standard_error == pytest.approx(math.sqrt(252 / 5000), rel=0.05)
    assert estimate.low < estimate.sharpe < estimate.high
    assert estimate.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(252))


def test_a_strong_edge_is_seen_and_noise_is_not():
    rng = np.random.default_rng(8)
    strong = sharpe_estimate(autoregressive(rng, 504, mean=0.002), periods_per_year=252, seed=0)
    assert strong.p_value < 0.01
    assert strong.low > 0
    negative = sharpe_estimate(autoregressive(rng, 504, mean=-0.002), periods_per_year=252, seed=0)
    assert negative.p_value > 0.95
    assert negative.high < 0


@given(st.integers(0, 1000), st.floats(0.01, 100.0))
def test_scale_and_type_do_not_matter(seed, scale):
    returns = autoregressive(np.random.default_rng(seed), 80)
    plain = sharpe_estimate(returns, periods_per_year=252, seed=1, n_boot=100, block=4)
    scaled = sharpe_estimate(pd.Series(returns * scale), periods_per_year=252, seed=1, n_boot=100, block=4)
    assert scaled.p_value == plain.p_value
    assert scaled.low == pytest.approx(plain.low, rel=1e-6)
    json.dumps(plain.as_dict(), allow_nan=False)


def test_the_seed_decides():
    returns = autoregressive(np.random.default_rng(1), 200)
    first, again = (sharpe_estimate(returns, periods_per_year=252, seed=5, n_boot=300) for _ in range(2))
    assert first == again
    other = sharpe_estimate(returns, periods_per_year=252, seed=6, n_boot=300)
    assert other != first
    assert (other.sharpe, other.standard_error) == (first.sharpe, first.standard_error)


@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([0.8, 0.95]))
@settings(max_examples=25, deadline=None)
def test_intervals_and_p_value_are_the_quantiles_of_what_was_resampled(seed, partial, level):
    """Written out once more, from the resamples of the seed and the error in closed form."""
    rng = np.random.default_rng(seed)
    returns = autoregressive(rng, 150, mean=0.001)
    member = rng.random(150) < 0.6 if partial else np.ones(150, dtype=bool)
    estimate = conditional_sharpe(returns, member, periods_per_year=252, n_boot=400, level=level, block=5, seed=seed)
    inside = returns[member]
    ratio, error = inside.mean() / inside.std(), estimate.standard_error / math.sqrt(252)
    ratios, errors = bootstrap_sharpe(returns, member, block=5, n_boot=400, seed=seed)
    pivot = (ratios - ratio) / errors
    assert estimate.p_value == (1 + (pivot >= ratio / error).sum()) / 401
    low, high = (
        estimate.sharpe - np.quantile(pivot, tail) * error * math.sqrt(252)
        for tail in (0.5 + level / 2, 0.5 - level / 2)
    )
    assert (estimate.low, estimate.high) == (pytest.approx(low), pytest.approx(high))
    plain = np.quantile(ratios, [0.5 - level / 2, 0.5 + level / 2]) * estimate.sharpe / ratio
    assert (estimate.low_percentile, estimate.high_percentile) == pytest.approx(tuple(plain))
    assert error == pytest.approx(
        math.sqrt(prewhitened_variances([sharpe_influence(returns, member)[1].tolist()], 5.0)[0] * (1 + 5 / 150) / 150),
        rel=1e-6,
    )


def test_trending_returns_have_wider_errors_and_reverting_ones_narrower():
    plain, trending, reverting = (
        sharpe_estimate(autoregressive(np.random.default_rng(3), 2000, phi), periods_per_year=252, seed=0)
        for phi in (0.0, 0.4, -0.4)
    )
    assert trending.standard_error > 1.3 * plain.standard_error
    assert reverting.standard_error < 0.8 * plain.standard_error


def test_a_series_of_two_values_has_an_estimate():
    estimate = sharpe_estimate(np.tile([0.01, -0.009, 0.01], 40), periods_per_year=252, seed=0)
    assert estimate.sharpe > 0
    json.dumps(estimate.as_dict(), allow_nan=False)


@pytest.mark.parametrize("returns", [np.zeros(100), np.full(100, 0.01), np.array([]), np.array([0.1])])
def test_without_variation_there_is_no_sharpe(returns):
    estimate = sharpe_estimate(returns, periods_per_year=252, seed=0)
    assert estimate.sharpe is None
    assert estimate.p_value is None


@pytest.mark.parametrize(("held", "told"), [(3, False), (29, False), (30, True)])
def test_a_strategy_that_seldom_holds_anything_has_a_figure_but_no_interval(held, told):
    returns = np.zeros(500)
    returns[np.linspace(0, 499, held).astype(int)] = np.random.default_rng(1).normal(0.002, 0.01, held)
    assert moving_rows(returns) == held
    found = sharpe_estimate(returns, periods_per_year=252.0, n_boot=300, seed=0)
    assert found.sharpe is not None
    assert (found.p_value is not None) == (found.low is not None) == told


def test_few_rows_have_a_figure_but_no_interval():
    estimate = sharpe_estimate(np.random.default_rng(0).normal(size=20), periods_per_year=252, seed=0)
    assert estimate.sharpe is not None
    assert estimate.low is None


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"n_boot": 10}, ConfigError),
        ({"level": 1.0}, ConfigError),
        ({"block": 0.5}, ConfigError),
        ({"periods_per_year": 0.0}, ConfigError),
        ({"returns": np.array([0.1, np.nan])}, DataError),
        ({"member": np.array([True])}, DataError),
    ],
)
def test_bad_input_is_refused(change, error):
    given_ = {
        "returns": np.random.default_rng(0).normal(size=100),
        "member": np.ones(100, dtype=bool),
        "periods_per_year": 252.0,
        "seed": 0,
    } | change
    with pytest.raises(error, match=r"sharpe_estimate|must"):
        conditional_sharpe(**given_)


def test_holm_by_hand_and_against_statsmodels():
    from statsmodels.stats.multitest import multipletests

    assert holm([0.01, None, 0.04, 0.03]) == [pytest.approx(0.03), None, pytest.approx(0.06), pytest.approx(0.06)]
    p = list(np.random.default_rng(0).uniform(0, 0.2, 20))
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
    assert holm([]) == []


@pytest.mark.slow
@pytest.mark.parametrize(("n", "phi"), [(504, 0.0), (504, 0.2), (504, 0.4), (120, 0.2)])
def test_size_of_the_bootstrap_p_value(n, phi):
    rng = np.random.default_rng(n + int(10 * phi))
    draws, rejected, missed = 1000, 0, 0
    for _ in range(draws):
        estimate = sharpe_estimate(autoregressive(rng, n, phi), periods_per_year=252, n_boot=499, seed=rng)
        rejected += estimate.p_value <= 0.05
        missed += not estimate.low <= 0 <= estimate.high
    print(f"n={n} phi={phi}: rejects {rejected / draws:.3f}, misses {missed / draws:.3f}")
    # Three standard errors of 1,000 draws.
    assert rejected / draws == pytest.approx(0.05, abs=0.0207)
    assert missed / draws == pytest.approx(0.05, abs=0.0207)


@pytest.mark.slow
def test_power_grows_with_the_edge():
    rng = np.random.default_rng(12)
    powers = []
    for yearly in (0.0, 1.0, 2.0):
        mean = yearly / math.sqrt(252) * 0.01 * math.sqrt(1.5)
        estimates = [
            sharpe_estimate(autoregressive(rng, 504, 0.0, mean), periods_per_year=252, n_boot=199, seed=rng)
            for _ in range(500)
        ]
        powers.append(np.mean([estimate.p_value <= 0.05 for estimate in estimates]))
    print("power at Sharpe 0, 1, 2 over two years:", powers)
    assert 0.02 < powers[0] < 0.08
    assert 0.33 < powers[1] < 0.50
    assert powers[2] > 0.80
