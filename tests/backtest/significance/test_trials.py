import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import kurtosis, skew

from embargo.backtest.significance import trials
from embargo.backtest.significance.deflation import deflated_sharpe, probabilistic_sharpe
from embargo.backtest.significance.trials import effective_trials, expected_maximum_normal
from embargo.data_loaders.errors import ConfigError, DataError


def correlated(rng, n, k, shared, groups=1):
    """Returns of k trials that share a factor within their group; ``shared`` is their correlation."""
    factors = np.repeat(rng.normal(size=(n, groups)), k // groups, axis=1)
    return 0.01 * (math.sqrt(shared) * factors + math.sqrt(1.0 - shared) * rng.normal(size=(n, k)))


def test_expected_maxima_of_the_tables():
    """Harter (1961), Biometrika 48: expected values of the largest of n standard normal numbers; n = 2, 3 exactly."""
    assert expected_maximum_normal(1) == pytest.approx(0.0, abs=1e-12)
    assert expected_maximum_normal(2) == pytest.approx(1.0 / math.sqrt(math.pi), abs=1e-9)
    assert expected_maximum_normal(3) == pytest.approx(1.5 / math.sqrt(math.pi), abs=1e-9)
    for number, value in ((5, 1.16296), (10, 1.53875), (20, 1.86748), (100, 2.50759)):
        assert expected_maximum_normal(number) == pytest.approx(value, abs=5e-6)
    with pytest.raises(ConfigError, match="at least 1"):
        expected_maximum_normal(0.5)


@given(st.floats(1.0, 1e5), st.floats(1.001, 3.0))
def test_more_draws_have_a_larger_maximum(number, factor):
    assert expected_maximum_normal(number * factor) > expected_maximum_normal(number)


@pytest.mark.parametrize("k", [1, 2, 10, 200])
def test_independent_trials_count_in_full_and_identical_ones_once(k):
    returns = np.random.default_rng(k).normal(size=(1000, k))
    assert effective_trials(returns, seed=1).number == pytest.approx(k, rel=0.1)
    copies = effective_trials(np.repeat(returns[:, :1], k, axis=1), seed=1)
    assert copies.number == pytest.approx(1.0, abs=1e-6)
    assert copies.trials == k


@pytest.mark.parametrize("shared", [0.3, 0.6, 0.9])
def test_equal_correlation_leaves_the_share_of_luck_that_theory_says(shared):
    """The largest of normal numbers with correlation r is sqrt(1 - r) times that of independent ones, on average."""
    returns = correlated(np.random.default_rng(2), 3000, 100, shared)
    found = effective_trials(returns, n_draws=4000, seed=3)
    luck = math.sqrt(1.0 - shared) * expected_maximum_normal(100)
    assert found.luck == pytest.approx(luck, rel=0.03)
    assert expected_maximum_normal(found.number) == pytest.approx(found.luck, abs=1e-5)
    assert found.mean_correlation == pytest.approx(shared, abs=0.03)


def test_groups_of_close_variants_are_worth_a_little_more_than_one_each():
    returns = correlated(np.random.default_rng(4), 2000, 200, 0.98, groups=20)
    assert 20.0 < effective_trials(returns, seed=5).number < 40.0


@given(st.integers(0, 10**6), st.integers(2, 12), st.floats(0.0, 0.99))
def test_the_number_lies_between_one_and_all(seed, k, shared):
    returns = correlated(np.random.default_rng(seed), 40, k, shared)
    found = effective_trials(returns, n_draws=100, seed=seed)
    assert 1.0 <= found.number <= k
    assert found.variance >= max(found.across, 1.0 / 39.0)
    assert found.across == pytest.approx(np.var(returns.mean(axis=0) / returns.std(axis=0, ddof=1), ddof=1))
    between = np.corrcoef(returns.T)[~np.eye(k, dtype=bool)]
    assert found.mean_correlation == pytest.approx(between.mean(), abs=1e-9)
    by_number = math.sqrt(found.variance) * expected_maximum_normal(found.number)
    # More luck than independent trials have is possible, with opposite ones, and not put into the number.
    assert found.benchmark >= by_number * 0.999
    assert found.number == k or found.benchmark == pytest.approx(by_number, rel=1e-3, abs=1e-6)
    assert effective_trials(returns, n_draws=100, seed=seed) == found
    json.dumps(found.as_dict(), allow_nan=False)


def test_opposite_bets_are_two_trials():
    one = np.random.default_rng(6).normal(size=(500, 1))
    found = effective_trials(np.hstack([one, -one]), n_draws=4000, seed=7)
    # The better of z and -z is worth E|z| = 0.80, which is more than the 0.56 of two independent trials.
    assert found.luck == pytest.approx(math.sqrt(2.0 / math.pi), rel=0.03)
    assert found.number == 2.0


def test_trials_that_react_a_bar_apart_are_alike_within_a_block():
    one = np.random.default_rng(8).normal(size=(2000, 1))
    lagged = np.hstack([np.roll(one, lag, axis=0) for lag in range(4)])
    assert effective_trials(lagged, seed=9).number > 3.5
    assert effective_trials(lagged, block=40, seed=9).number < 1.5
    ring = np.vstack([lagged, lagged[:39]])
    sums = np.array([ring[row : row + 40].sum(axis=0) for row in range(2000)])
    between = np.corrcoef(sums.T)[~np.eye(4, dtype=bool)].mean()
    assert effective_trials(lagged, block=40, seed=9).mean_correlation == pytest.approx(between)


def test_the_variance_is_at_least_what_chance_gives_one_trial():
    rng = np.random.default_rng(15)
    alike = correlated(rng, 2000, 50, 0.9)
    plain = effective_trials(alike, seed=16)
    assert plain.across < 0.5 / 1999
    assert plain.variance == pytest.approx(1.0 / 1999, rel=0.1)
    # The mean of an autoregression with coefficient 0.2 varies as (1 - 0.2²) / (1 - 0.2)² = 1.5 times that of noise.
    trending = effective_trials(lfilter([1.0], [1.0, -0.2], alike, axis=0), seed=16)
    assert trending.variance == pytest.approx(1.5 / 1999, rel=0.1)
    different = effective_trials(alike + 0.01 * np.linspace(-0.2, 0.2, 50), seed=16)
    assert different.variance == different.across > 2.0 / 1999


def test_trials_without_variation_count_as_trials_but_bring_no_luck():
    rng = np.random.default_rng(10)
    returns = np.hstack([rng.normal(size=(300, 5)), np.zeros((300, 20))])
    found = effective_trials(returns, seed=11)
    assert found.trials == 25
    assert 4.0 < found.number <= 5.0
    nothing = effective_trials(np.zeros((300, 4)), seed=11)
    assert (nothing.number, nothing.across, nothing.luck) == (1.0, 0.0, 0.0)


def test_memory_is_bounded_by_chunks(monkeypatch):
    returns = correlated(np.random.default_rng(12), 200, 30, 0.5)
    whole = effective_trials(returns, n_draws=300, seed=13)
    monkeypatch.setattr(trials, "_CELLS_PER_CHUNK", 2500)
    assert effective_trials(returns, n_draws=300, seed=13).number == pytest.approx(whole.number, rel=1e-9)


def test_what_cannot_be_counted_is_refused():
    returns = np.random.default_rng(14).normal(size=(100, 3))
    with pytest.raises(ConfigError, match="n_draws"):
        effective_trials(returns, n_draws=10, seed=0)
    with pytest.raises(ConfigError, match="block"):
        effective_trials(returns, block=0, seed=0)
    returns[1, 2] = np.nan
    with pytest.raises(DataError, match="row 1 of column 2"):
        effective_trials(returns, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("shared", "groups"), [(0.0, 1), (0.3, 1), (0.6, 1), (0.9, 1), (0.98, 1), (0.9, 10), (0.5, 40)]
)
def test_the_best_of_two_hundred_worthless_variants_does_not_pass(shared, groups):
    """Deflated, the best claims an edge in at most 7 % of worlds; without deflation it does so in most of them."""
    rng = np.random.default_rng(int(100 * shared) + groups)
    worlds, plain, deflated, by_number = 600, 0, 0, 0
    for _ in range(worlds):
        returns = correlated(rng, 504, 200, shared, groups)
        ratios = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
        best = returns[:, ratios.argmax()]
        moments = (float(ratios.max()), 504, float(skew(best)), float(kurtosis(best)) + 3.0)
        found = effective_trials(returns, n_draws=200, seed=rng)
        plain += probabilistic_sharpe(*moments) > 0.95
        deflated += probabilistic_sharpe(*moments, benchmark=found.benchmark) > 0.95
        by_number += deflated_sharpe(*moments, n_trials=found.number, variance=found.variance) > 0.95
    print(
        f"correlation {shared} in {groups} groups: plain {plain / worlds:.3f}, deflated {deflated / worlds:.3f}, "
        f"by number and variance {by_number / worlds:.3f}"
    )
    assert deflated / worlds <= 0.07
    assert by_number / worlds <= 0.09
    if shared < 0.5:
        assert plain / worlds > 0.85


def test_looks_at_parts_of_one_series_are_as_correlated_as_the_parts_are_large():
    """Sharpe ratios over n and m rows that are all of them common have correlation sqrt(n / m)."""
    returns = np.repeat(np.random.default_rng(8).normal(0.02, 1.0, (4000, 1)), 2, axis=1)
    member = np.arange(4000)[:, None] < [4000, 1000]
    looked = effective_trials(np.where(member, returns, np.nan), member=member, n_draws=4000, seed=1)
    assert looked.mean_correlation == pytest.approx(0.5, abs=0.03)
    assert looked.luck == pytest.approx(math.sqrt(0.5) * expected_maximum_normal(2), rel=0.05)
    assert looked.variance == pytest.approx(np.mean([1.0 / 3999.0, 1.0 / 999.0]), rel=0.15)
    apart = np.arange(4000)[:, None] // 2000 == [0, 1]
    assert effective_trials(returns, member=apart, seed=1).number == pytest.approx(2.0, abs=0.1)


@given(st.integers(0, 10**6), st.integers(2, 12))
def test_membership_of_all_rows_changes_nothing(seed, k):
    returns = correlated(np.random.default_rng(seed), 40, k, 0.5)
    everywhere = np.ones(returns.shape, dtype=bool)
    assert effective_trials(returns, member=everywhere, n_draws=100, seed=seed) == effective_trials(
        returns, n_draws=100, seed=seed
    )
    with pytest.raises(DataError, match="member"):
        effective_trials(returns, member=everywhere[:-1], seed=seed)
