import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter

from backtest.significance import (
    block_permutation,
    conditional_sharpe,
    deflated_sharpe,
    expected_maximum_sharpe,
    holm,
    permutation_test,
    probabilistic_sharpe,
    sharpe,
    sharpe_estimate,
    stationary_blocks,
)
from data_loaders.errors import ConfigError, DataError


def autoregressive(rng, n, phi=0.2, mean=0.0):
    noise = rng.standard_t(6, n + 50) * 0.01
    return mean + lfilter([1.0], [1.0, -phi], noise)[50:]


def test_the_worked_example_of_the_deflated_sharpe_ratio():
    """Bailey and López de Prado (2014): Sharpe 2.5 a year, 250 days, five years, skew -3, raw kurtosis 10."""
    assert expected_maximum_sharpe(100, 0.5 / 250) == pytest.approx(0.113172, abs=5e-7)
    for trials, probability in ((100, 0.900397), (46, 0.950502)):
        value = deflated_sharpe(2.5 / math.sqrt(250), 1250, -3.0, 10.0, n_trials=trials, variance=0.5 / 250)
        assert value == pytest.approx(probability, abs=5e-7)


def test_one_trial_needs_no_deflation():
    assert expected_maximum_sharpe(1, 0.3) == 0.0
    plain = probabilistic_sharpe(0.1, 500, 0.0, 3.0)
    assert deflated_sharpe(0.1, 500, 0.0, 3.0, n_trials=1, variance=0.3) == plain


def test_the_expected_maximum_is_what_simulation_finds():
    draws = np.random.default_rng(1).normal(0, 0.2, (20_000, 50)).max(axis=1).mean()
    assert expected_maximum_sharpe(50, 0.04) == pytest.approx(draws, rel=0.02)


@given(st.floats(-0.2, 0.2), st.integers(10, 3000), st.integers(1, 500))
def test_more_trials_never_make_a_result_more_credible(ratio, n, trials):
    fewer, more = (deflated_sharpe(ratio, n, -0.5, 5.0, n_trials=k, variance=0.001) for k in (trials, trials + 50))
    assert 0.0 <= more <= fewer <= 1.0


def test_impossible_moments_and_counts_are_refused():
    with pytest.raises(DataError, match="raw, not excess"):
        probabilistic_sharpe(0.5, 100, 3.0, 0.0)
    with pytest.raises(ConfigError, match="at least 2"):
        probabilistic_sharpe(0.5, 1, 0.0, 3.0)
    with pytest.raises(ConfigError, match="n_trials"):
        expected_maximum_sharpe(0, 0.1)
    with pytest.raises(ConfigError, match="variance"):
        expected_maximum_sharpe(2, -0.1)


@given(st.integers(1, 80), st.floats(1.0, 30.0), st.integers(0, 10**6))
def test_a_resample_is_made_of_exactly_n_rows(n, block, seed):
    starts, lengths = stationary_blocks(n, block, 20, np.random.default_rng(seed))
    assert (lengths.sum(axis=1) == n).all()
    assert (lengths >= 0).all()
    assert starts.min() >= 0
    assert starts.max() < n


def test_block_lengths_are_geometric():
    _, lengths = stationary_blocks(4000, 8.0, 200, np.random.default_rng(2))
    inner = lengths[:, :300]
    assert inner.mean() == pytest.approx(8.0, rel=0.02)
    assert inner.var() == pytest.approx(8.0 * 7.0, rel=0.05)


@pytest.mark.parametrize("partial", [False, True])
def test_block_arithmetic_equals_resampling_row_by_row(partial):
    rng = np.random.default_rng(3)
    returns = autoregressive(rng, 120, mean=0.001)
    member = rng.random(120) < 0.5 if partial else np.ones(120, dtype=bool)
    ratios, errors = sharpe._resampled(returns, member, 6.0, 40, np.random.default_rng(9))
    starts, lengths = stationary_blocks(120, 6.0, 40, np.random.default_rng(9))
    for draw in range(40):
        blocks = [np.arange(s, s + k) % 120 for s, k in zip(starts[draw], lengths[draw], strict=True) if k]
        rows = np.concatenate(blocks)
        inside = returns[rows][member[rows]]
        ratio = inside.mean() / inside.std()
        spread = 0.0
        for block in blocks:
            u = (returns[block][member[block]] - inside.mean()) / inside.std()
            spread += (u - ratio / 2 * (u**2 - 1)).sum() ** 2
        assert ratios[draw] == pytest.approx(ratio, rel=1e-8)
        assert errors[draw] == pytest.approx(math.sqrt(spread) / len(inside), rel=1e-7)


def test_the_resampled_distribution_is_that_of_arch():
    from arch.bootstrap import StationaryBootstrap

    returns = autoregressive(np.random.default_rng(4), 504, mean=0.0005)
    ours, _ = sharpe._resampled(returns, np.ones(504, dtype=bool), 5.0, 4000, np.random.default_rng(1))
    theirs = StationaryBootstrap(5, returns, seed=1).apply(lambda r: r.mean() / r.std(), 4000)[:, 0]
    assert ours.mean() == pytest.approx(theirs.mean(), abs=4 * theirs.std() / math.sqrt(4000))
    assert ours.std() == pytest.approx(theirs.std(), rel=0.06)


@pytest.mark.parametrize(("n", "block"), [(400, 7.0), (24, 12.0)])
def test_the_standard_error_is_that_of_infinitely_many_resamples(n, block):
    returns = autoregressive(np.random.default_rng(6), n, phi=0.7)
    _, influence = sharpe._influence(returns, np.ones(n, dtype=bool))
    starts, lengths = stationary_blocks(n, block, 20_000, np.random.default_rng(0))
    means = sharpe._block_sums(influence, starts, lengths).sum(axis=1) / n
    assert sharpe._dependent_error(influence, block) == pytest.approx(means.std(), rel=0.02)


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


def test_the_seed_decides_and_chunks_do_not_overlap(monkeypatch):
    returns = autoregressive(np.random.default_rng(1), 200)
    first, again = (sharpe_estimate(returns, periods_per_year=252, seed=5, n_boot=300) for _ in range(2))
    assert first == again
    assert sharpe_estimate(returns, periods_per_year=252, seed=6, n_boot=300) != first
    monkeypatch.setattr(sharpe, "_CELLS_PER_CHUNK", 1000)
    chunked = sharpe_estimate(returns, periods_per_year=252, seed=5, n_boot=300)
    assert chunked.low == pytest.approx(first.low, abs=0.6)
    assert chunked.sharpe == first.sharpe


@pytest.mark.parametrize("returns", [np.zeros(100), np.full(100, 0.01), np.array([]), np.array([0.1])])
def test_without_variation_there_is_no_sharpe(returns):
    estimate = sharpe_estimate(returns, periods_per_year=252, seed=0)
    assert estimate.sharpe is None
    assert estimate.p_value is None


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


@given(st.integers(1, 100), st.integers(1, 120), st.integers(0, 10**6))
def test_a_block_permutation_moves_whole_blocks(n, block, seed):
    index = block_permutation(n, block, np.random.default_rng(seed))
    assert sorted(index) == list(range(n))
    breaks = np.count_nonzero(np.diff(index) % n != 1 % n) if n > 1 else 0
    assert breaks <= math.ceil(n / block) - 1


def test_permutation_finds_a_planted_link_and_only_that():
    rng = np.random.default_rng(0)
    signal, noise = rng.normal(size=300), rng.normal(size=300)
    linked = 0.5 * signal + noise

    def test(outcome):
        return permutation_test(lambda index: float(signal[index] @ outcome), 300, block=5, n_permutations=199, seed=1)

    found = test(linked)
    assert found.p_value == 1 / 200
    assert found.observed == pytest.approx(signal @ linked)
    assert abs(found.null_mean) < 4 * found.null_sd / math.sqrt(199)
    assert test(noise).p_value > 0.05
    json.dumps(found.as_dict(), allow_nan=False)


def test_a_statistic_that_ignores_the_order_is_never_significant():
    result = permutation_test(lambda index: float(index.sum()), 50, block=5, n_permutations=50, seed=0)
    assert result.p_value == 1.0
    empty = permutation_test(lambda index: 0.0, 50, block=5, n_permutations=50, seed=0)
    assert (empty.p_value, empty.null_sd) == (1.0, 0.0)


def test_permutation_reports_progress_and_refuses_nonsense():
    calls = []
    permutation_test(lambda index: 0.0, 5, block=1, n_permutations=3, seed=0, progress=lambda *done: calls.append(done))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(DataError, match="finite"):
        permutation_test(lambda index: math.nan, 5, block=1, n_permutations=3, seed=0)
    with pytest.raises(ConfigError, match="n_permutations"):
        permutation_test(lambda index: 0.0, 5, block=1, n_permutations=0, seed=0)
    with pytest.raises(ConfigError, match="block"):
        block_permutation(5, 0, np.random.default_rng(0))


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
    draws, rejected, covered = 1000, 0, 0
    for _ in range(draws):
        estimate = sharpe_estimate(autoregressive(rng, n, phi), periods_per_year=252, n_boot=399, seed=rng)
        rejected += estimate.p_value <= 0.05
        covered += estimate.low <= 0 <= estimate.high
    print(f"n={n} phi={phi}: rejects {rejected / draws:.3f}, covers {covered / draws:.3f}")
    assert 0.02 < rejected / draws < 0.085
    assert 0.91 < covered / draws < 0.98


@pytest.mark.slow
def test_power_grows_with_the_edge():
    rng = np.random.default_rng(12)
    powers = []
    for yearly in (0.0, 1.0, 2.0):
        mean = yearly / math.sqrt(252) * 0.01 * math.sqrt(1.5)
        estimates = [
            sharpe_estimate(autoregressive(rng, 504, 0.0, mean), periods_per_year=252, n_boot=199, seed=rng)
            for _ in range(300)
        ]
        powers.append(np.mean([estimate.p_value <= 0.05 for estimate in estimates]))
    print("power at Sharpe 0, 1, 2 over two years:", powers)
    assert powers[0] < 0.09
    assert powers[1] > 0.3
    assert powers[2] > 0.75


@pytest.mark.slow
def test_size_of_the_permutation_test_with_a_persistent_signal():
    rng = np.random.default_rng(21)
    rejected = 0
    for _ in range(400):
        signal = lfilter([1.0], [1.0, -0.7], rng.normal(size=400))
        outcome = rng.normal(size=400)
        result = permutation_test(
            lambda index, s=signal, o=outcome: float(s[index] @ o), 400, block=20, n_permutations=99, seed=rng
        )
        rejected += result.p_value <= 0.05
    print("permutation test rejects", rejected / 400)
    assert 0.02 < rejected / 400 < 0.085
