import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.bootstrap import alike, resample, sharpe_and_error
from scipy.signal import lfilter

from embargo.backtest.significance import resampling
from embargo.backtest.significance.compiled import length_guide
from embargo.backtest.significance.resampling import (
    automatic_block_length,
    block_rows,
    bootstrap_sharpe,
    stationary_blocks,
)
from embargo.data_loaders.errors import ConfigError, DataError


def autoregressive(rng, n, phi=0.2, mean=0.0):
    noise = rng.standard_t(6, n + 50) * 0.01
    return mean + lfilter([1.0], [1.0, -phi], noise)[50:]


@given(st.integers(1, 80), st.floats(1.0, 30.0), st.integers(0, 10**6))
def test_a_resample_is_made_of_exactly_n_rows(n, block, seed):
    starts, lengths = stationary_blocks(n, block, 20, np.random.default_rng(seed))
    assert (lengths.sum(axis=1) == n).all()
    assert (lengths >= 0).all()
    assert starts.min() >= 0
    assert starts.max() < n


@given(st.integers(1, 60), st.floats(1.0, 30.0), st.integers(0, 10**6))
@settings(deadline=None)
def test_drawn_blocks_equal_those_written_out_in_python(n, block, seed):
    starts, lengths = stationary_blocks(n, block, 3, np.random.default_rng(seed))
    keys = np.random.default_rng(seed).integers(0, 2**64, 3, dtype=np.uint64)
    for key, begin, length in zip(keys, starts, lengths, strict=True):
        blocks = resample(n, block, int(key))
        assert length[: len(blocks)].tolist() == [len(chunk) for chunk in blocks]
        assert begin[: len(blocks)].tolist() == [chunk[0] for chunk in blocks]
        assert not length[len(blocks) :].any()


def test_block_lengths_are_geometric():
    _, lengths = stationary_blocks(4000, 8.0, 200, np.random.default_rng(2))
    inner = lengths[:, :300]
    assert inner.mean() == pytest.approx(8.0, rel=0.02)
    assert inner.var() == pytest.approx(8.0 * 7.0, rel=0.05)


@given(st.integers(20, 700), st.floats(-0.9, 0.97), st.integers(0, 10**6))
@settings(max_examples=40)
def test_block_lengths_are_those_of_arch(n, phi, seed):
    from arch.bootstrap import optimal_block_length

    values = autoregressive(np.random.default_rng(seed), n, phi)
    expected = max(1.0, float(optimal_block_length(values)["stationary"].iloc[0]))
    assert automatic_block_length(values) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "period"), [(100, 7), (400, 40)])
def test_blocks_are_no_longer_than_arch_allows(n, period):
    from arch.bootstrap import optimal_block_length

    waves = np.sin(2.0 * np.pi * np.arange(n) / period + 0.3)
    assert automatic_block_length(waves) == float(optimal_block_length(waves)["stationary"].iloc[0])
    assert automatic_block_length(waves) == math.ceil(min(3 * math.sqrt(n), n / 3))


@pytest.mark.parametrize("values", [np.zeros(50), np.full(9, 0.1), np.array([]), np.array([1.0]), np.array([1.0, 2.0])])
def test_without_variation_blocks_are_single_rows(values):
    assert automatic_block_length(values) == 1.0


@given(st.integers(3, 19), st.integers(0, 10**6))
def test_short_series_have_a_block_length(n, seed):
    assert 1.0 <= automatic_block_length(np.random.default_rng(seed).normal(size=n)) <= math.ceil(n / 3)


@given(st.integers(12, 90), st.integers(1, 25), st.booleans(), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_the_compiled_resamples_equal_those_laid_out_row_by_row(n, block, partial, seed):
    rng = np.random.default_rng(seed)
    returns = autoregressive(rng, n, mean=0.002)
    member = rng.random(n) < 0.7 if partial else np.ones(n, dtype=bool)
    member[:2] = True
    ratios, errors = bootstrap_sharpe(returns, member, block=block, n_boot=5, seed=seed)
    keys = np.random.default_rng(seed).integers(0, 2**64, 5, dtype=np.uint64)
    for key, ratio, error in zip(keys, ratios, errors, strict=True):
        blocks = alike(n, block, int(key))
        if sum(member[row] for chunk in blocks for row in chunk) < 10:
            assert np.isnan(ratio)
            continue
        expected, spread = sharpe_and_error(returns.tolist(), member.tolist(), blocks)
        assert ratio == pytest.approx(expected, rel=1e-7)
        if sum(any(member[row] for row in chunk) for chunk in blocks) == 1:
            assert np.isnan(error)
        else:
            assert error == pytest.approx(spread, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("block", [1.0, 1.01, 3.0, 40.0, 1e6])
def test_the_guide_gives_the_lengths_of_the_logarithm(block):
    stay = 1.0 - 1.0 / block
    guide = length_guide(stay)
    drawn = np.random.default_rng(0).integers(0, 2**32, 20_000)
    lengths = guide[drawn >> 20]
    exact = np.ones(len(drawn))
    if stay > 0.0:
        exact += np.floor(np.log((drawn + 0.5) / 2**32) / math.log(stay))
    known = lengths > 0
    np.testing.assert_array_equal(lengths[known], exact[known])
    if block < 100:
        assert known.mean() > 0.9


def test_compiled_blocks_start_anywhere_and_are_geometric():
    """A spike in one row: how often resamples hold it tells of starts, how it comes with its neighbour of lengths."""
    n, block = 50, 4.0
    held, together = np.zeros(n), 0
    for key in np.random.default_rng(5).integers(0, 2**64, 400, dtype=np.uint64):
        blocks = resample(n, block, int(key))
        for chunk in blocks:
            np.add.at(held, chunk, 1)
            together += len(chunk) - 1
    assert held.sum() == 400 * n
    assert np.abs(held - 400).max() < 5 * math.sqrt(400 * 7)
    assert together / held.sum() == pytest.approx(1 - 1 / block, abs=0.02)


def test_the_resampled_distribution_is_that_of_arch():
    from arch.bootstrap import CircularBlockBootstrap

    returns = autoregressive(np.random.default_rng(4), 504, mean=0.0005)
    ours, _ = bootstrap_sharpe(returns, block=5, n_boot=4000, seed=1)
    theirs = CircularBlockBootstrap(5, returns, seed=1).apply(lambda r: r.mean() / r.std(), 4000)[:, 0]
    assert ours.mean() == pytest.approx(theirs.mean(), abs=4 * theirs.std() / math.sqrt(4000))
    assert ours.std() == pytest.approx(theirs.std(), rel=0.06)
    for tail in (0.025, 0.975):
        assert np.quantile(ours, tail) == pytest.approx(np.quantile(theirs, tail), abs=0.15 * theirs.std())


def test_threads_and_the_number_of_resamples_change_no_resample(monkeypatch):
    returns = autoregressive(np.random.default_rng(1), 300)
    monkeypatch.setattr("embargo.backtest.threads.THREADS", 1)
    alone = bootstrap_sharpe(returns, block=2, n_boot=1000, seed=3)
    monkeypatch.setattr("embargo.backtest.threads.THREADS", 3)
    monkeypatch.setattr(resampling, "_SMALL_WORK", 1)
    spread = bootstrap_sharpe(returns, block=2, n_boot=1000, seed=3)
    np.testing.assert_array_equal(alone, spread)
    np.testing.assert_array_equal(bootstrap_sharpe(returns, block=2, n_boot=10, seed=3)[0], alone[0][:10])


def test_resamples_without_enough_members_have_no_ratio():
    returns = autoregressive(np.random.default_rng(1), 200)
    member = np.zeros(200, dtype=bool)
    member[:20] = True
    ratios, errors = bootstrap_sharpe(returns, member, block=40, n_boot=500, seed=3)
    assert 0 < np.isnan(ratios).sum() < np.isnan(errors).sum() < 500
    assert np.isnan(errors[np.isnan(ratios)]).all()
    assert errors[np.isfinite(errors)].min() > 1e-4
    alternating = np.tile([0.0, 0.01], 100)
    assert np.isfinite(bootstrap_sharpe(alternating, block=5, n_boot=100, seed=0)[0]).all()


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(DataError, match="do not vary"):
        bootstrap_sharpe(np.zeros(50), block=5, n_boot=10, seed=0)
    for change in ({"block": 0}, {"n_boot": 0}):
        with pytest.raises(ConfigError, match="at least 1"):
            bootstrap_sharpe(np.arange(50.0), **({"block": 5, "n_boot": 10, "seed": 0} | change))


@given(st.integers(30, 5000), st.floats(1.0, 200.0))
def test_a_block_is_as_long_as_memory_asks_but_never_shorter_than_the_root_of_the_rows(n, automatic):
    length = block_rows(n, automatic)
    assert length <= n
    assert length == min(n, round(max(1.5 ** (1 / 3) * automatic, math.sqrt(n))))
    assert length >= math.floor(math.sqrt(n))
