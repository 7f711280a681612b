"""Whether a sample is doubted for the right reason, and only then."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import sizes
from scipy.signal import lfilter

from embargo.backtest.significance import sample_shape
from embargo.data_loaders.errors import DataError


def noise(seed=0, n=504):
    return np.random.default_rng(seed).normal(0.0005, 0.01, n)


def test_one_large_bar_carries_the_sample():
    returns = noise()
    returns[77] = -0.25
    found = sample_shape(returns)
    assert len(found.doubts) == 1
    assert found.doubts[0].startswith("a few bars carry the sample: the 3 largest hold 5")
    assert found.skew_term < -0.3
    z = (returns - returns.mean()) / returns.std()
    assert found.largest_share == pytest.approx(np.sort(z**2)[-3:].sum() / 504)
    assert sample_shape(-returns).doubts == found.doubts


def test_a_wandering_mean_drifts():
    slow = lfilter([1.0], [1.0, -0.99], np.random.default_rng(3).normal(0.0, 0.0008, 1500))
    found = sample_shape(noise(n=1500) + slow)
    assert found.doubts[0].startswith("its mean drifts: swings slower than a quarter of the sample")
    assert found.drift > 2.5


def test_a_burst_of_trading_is_too_few_stretches_whatever_idle_cash_earns():
    returns = np.zeros(1000)
    returns[500:560] = noise(n=60)
    said = "it traded in too few stretches: in 3 of 32, each of about 31 bars (known from 7 on)"
    assert said in sample_shape(returns).doubts
    assert said in sample_shape(returns + 1e-5 * (2.0 + np.sin(np.arange(1000) / 50.0))).doubts
    spells = np.where(np.arange(1000) % 75 < 15, noise(n=1000), 0.0)
    assert sample_shape(spells).doubts == ()


@given(st.integers(0, 10**6), st.sampled_from([30, 41, 60, 252]))
def test_what_always_trades_is_never_too_idle(seed, n):
    assert not any("stretches" in doubt for doubt in sample_shape(noise(seed, n)).doubts)


def test_long_overlaps_are_long_memory():
    returns = np.convolve(np.random.default_rng(1).normal(size=800), np.ones(80), "valid")
    assert any(doubt.startswith("its bars remember each other") for doubt in sample_shape(returns).doubts)


@given(st.integers(0, 10**6), st.floats(1e-6, 1e3), st.floats(-1.0, 1.0))
def test_neither_the_unit_nor_the_mean_is_a_reason_for_doubt(seed, scale, shift):
    plain = np.random.default_rng(seed).standard_t(4, 120)
    one, other = sample_shape(plain), sample_shape(scale * (plain + shift))
    for name in ("skew_term", "largest_share", "drift"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-6, abs=1e-9)
    assert len(one.doubts) == len(other.doubts)
    json.dumps(one.as_dict(), allow_nan=False)


@given(
    st.integers(0, 10**6), st.sampled_from([3, 4, 30]), st.sampled_from([0.0, 0.5, 0.97]), st.sampled_from([1, 5, 9])
)
def test_the_slow_recomputation_agrees(seed, degrees, memory, stretches):
    rng = np.random.default_rng(seed)
    returns = lfilter([1.0], [1.0, -memory], rng.standard_t(degrees, 150))
    returns[stretches * 12 : 108] = 0.0
    assert bool(sample_shape(returns).doubts) == sizes.doubted(returns)


def test_an_unseen_loss_is_the_gain_of_a_third_of_the_sample():
    returns = noise(2) - noise(2).mean() + 0.001
    assert sample_shape(returns).unseen_loss == pytest.approx(0.504 / 3.0)
    assert sample_shape(-returns).unseen_loss is None


@pytest.mark.parametrize("returns", [np.zeros(100), np.array([]), np.append(np.zeros(400), noise(n=20))])
def test_nothing_is_said_of_what_hardly_moves(returns):
    found = sample_shape(returns)
    assert (found.skew_term, found.drift, found.memory, found.doubts) == (None, None, None, ())
    assert found.moving_share == pytest.approx(20 / 420 if len(returns) > 400 else 0.0)


def test_missing_values_are_refused():
    with pytest.raises(DataError, match="missing"):
        sample_shape(np.array([0.1, np.nan] * 40))
