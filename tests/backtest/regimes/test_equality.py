"""The test of equal Sharpe ratios across regimes: closed form, slow resampling, size and power."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from embargo.backtest.regimes import UNLABELLED, sharpe_equality
from embargo.backtest.significance import stationary_blocks
from embargo.data_loaders.errors import ConfigError, DataError

YEAR = 252


def chain(n: int, states: int, stay: float, rng: np.random.Generator) -> pd.Series:
    """Labels of a persistent chain."""
    state, found = int(rng.integers(states)), []
    for _ in range(n):
        if rng.random() > stay:
            state = (state + int(rng.integers(1, states))) % states
        found.append(("bear", "bull", "sideways")[state])
    return pd.Series(found)


def null_returns(kind: str, n: int, rng: np.random.Generator) -> pd.Series:
    """Returns of equal Sharpe ratio everywhere: independent, autocorrelated, with clustered volatility, fat-tailed."""
    noise = rng.standard_t(4, n + 200) if kind == "t4" else rng.normal(size=n + 200)
    values, variance = noise.copy(), 1.0
    for t in range(1, n + 200):
        if kind == "ar":
            values[t] = 0.2 * values[t - 1] + noise[t]
        elif kind == "garch":
            variance = 0.05 + 0.1 * values[t - 1] ** 2 + 0.85 * variance
            values[t] = np.sqrt(variance) * noise[t]
    return pd.Series(0.01 * values[200:] + 0.0005)


def test_without_dependence_the_statistic_is_that_of_textbooks():
    """Delta method: the variance of a Sharpe ratio from its skewness and kurtosis (Mertens 2002)."""
    rng = np.random.default_rng(0)
    returns, labels = null_returns("t4", 800, rng), chain(800, 2, 0.9, rng)
    found = sharpe_equality(returns, labels, periods_per_year=YEAR, block=1.0, n_boot=100, seed=0)
    ratios, variances = [], []
    for name in ("bear", "bull"):
        inside = returns[labels == name].to_numpy()
        ratio = inside.mean() / inside.std()
        skew, kurtosis_raw = stats.skew(inside), stats.kurtosis(inside, fisher=False)
        variances.append((1.0 - skew * ratio + (kurtosis_raw - 1.0) / 4.0 * ratio**2) / len(inside))
        ratios.append(ratio)
    assert found.statistic == pytest.approx((ratios[0] - ratios[1]) ** 2 / sum(variances))
    (pair,) = found.pairs
    assert pair.difference == pytest.approx((ratios[0] - ratios[1]) * np.sqrt(YEAR))
    assert pair.p_value == pair.p_value_holm == found.p_value


@pytest.mark.parametrize("states", [2, 3])
def test_resamples_are_those_of_a_slow_loop(states):
    rng = np.random.default_rng(states)
    returns, labels = null_returns("ar", 300, rng), chain(300, states, 0.95, rng)
    n_boot, block, level = 150, 6.0, 0.9
    found = sharpe_equality(
        returns, labels, periods_per_year=YEAR, block=block, n_boot=n_boot, level=level, seed=3, minimum_bars=20
    )
    values, names = returns.to_numpy(), labels.to_numpy()
    regimes = sorted(set(names))
    sample = np.array([values[names == name].mean() / values[names == name].std() for name in regimes])
    starts, lengths = stationary_blocks(300, block, n_boot, np.random.default_rng(3))
    walds, sizes = [], {pair: [] for pair in combinations(range(len(regimes)), 2)}
    for row_starts, row_lengths in zip(starts, lengths, strict=True):
        blocks = [(start + np.arange(length)) % 300 for start, length in zip(row_starts, row_lengths, strict=True)]
        rows = np.concatenate(blocks)
        ratio, pushes = np.empty(len(regimes)), np.empty((len(regimes), len(blocks)))
        for k, name in enumerate(regimes):
            inside = values[rows][names[rows] == name]
            ratio[k] = inside.mean() / inside.std()
            for j, block_rows in enumerate(blocks):
                u = (values[block_rows][names[block_rows] == name] - inside.mean()) / inside.std()
                pushes[k, j] = (u - 0.5 * ratio[k] * (u**2 - 1.0)).sum() / len(inside)
        covariance = pushes @ pushes.T
        shift = ratio - sample
        contrast = np.array([[-1.0] + [1.0 if k == j else 0.0 for k in range(1, states)] for j in range(1, states)])
        move = contrast @ shift
        walds.append(move @ np.linalg.inv(contrast @ covariance @ contrast.T) @ move)
        for i, j in sizes:
            spread = covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]
            sizes[i, j].append(abs(shift[i] - shift[j]) / np.sqrt(spread))
    assert found.p_value == pytest.approx((1 + np.sum(np.array(walds) >= found.statistic)) / (1 + n_boot))
    for pair, (i, j) in zip(found.pairs, sizes, strict=True):
        half = (pair.high - pair.low) / 2.0
        error = half / np.quantile(sizes[i, j], level)
        expected = (1 + np.sum(np.array(sizes[i, j]) >= abs(pair.difference) / error)) / (1 + n_boot)
        assert pair.p_value == pytest.approx(expected)


def test_an_edge_in_one_regime_is_found_and_named():
    rng = np.random.default_rng(1)
    labels = chain(1500, 3, 0.98, rng)
    returns = null_returns("garch", 1500, rng) + np.where(labels == "bull", 0.003, 0.0)
    found = sharpe_equality(returns, labels, periods_per_year=YEAR, n_boot=500, seed=0)
    assert found.p_value < 0.05
    assert found.regimes == ("bear", "bull", "sideways")
    by_pair = {(pair.first, pair.second): pair for pair in found.pairs}
    assert by_pair["bear", "bull"].p_value_holm < 0.05 < by_pair["bear", "sideways"].p_value_holm
    assert by_pair["bear", "bull"].high < 0.0
    smallest = min(found.pairs, key=lambda pair: pair.p_value)
    assert smallest.p_value_holm == pytest.approx(3 * smallest.p_value)
    for pair in found.pairs:
        assert pair.low < pair.difference < pair.high
        assert pair.p_value <= pair.p_value_holm
        assert (pair.p_value <= 0.05) == (not pair.low <= 0.0 <= pair.high) or abs(pair.p_value - 0.05) < 0.005
    document = found.as_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == json.loads(json.dumps(document))


def test_volatility_alone_is_no_difference():
    """A Sharpe ratio does not change when a regime only scales returns."""
    rng = np.random.default_rng(2)
    labels = chain(2000, 2, 0.98, rng)
    returns = null_returns("iid", 2000, rng)
    scaled = returns * np.where(labels == "bull", 5.0, 1.0)
    one, other = (
        sharpe_equality(r, labels, periods_per_year=YEAR, block=5.0, n_boot=300, seed=0) for r in (returns, scaled)
    )
    assert one.statistic == pytest.approx(other.statistic)
    assert one.p_value == pytest.approx(other.p_value)


def test_small_unlabelled_and_idle_regimes_are_left_out():
    rng = np.random.default_rng(3)
    returns = null_returns("iid", 400, rng)
    labels = pd.Series(["bull"] * 200 + ["bear"] * 30 + ["sideways"] * 70 + [UNLABELLED] * 100)
    returns[labels == "sideways"] = 0.0
    found = sharpe_equality(returns, labels, periods_per_year=YEAR, n_boot=100, seed=0)
    assert found.statistic is found.p_value is None
    assert (found.regimes, found.left_out, found.pairs) == (("bull",), ("bear", "sideways"), ())
    assert "fewer than two regimes" in found.note
    json.dumps(found.as_dict(), allow_nan=False)


def test_one_short_spell_is_no_ground_for_a_test():
    returns = null_returns("iid", 1000, np.random.default_rng(4))
    labels = pd.Series(["bull"] * 990 + ["bear"] * 10)
    found = sharpe_equality(returns, labels, periods_per_year=YEAR, n_boot=200, seed=0, minimum_bars=5, block=20.0)
    assert found.p_value is None
    assert "too many resamples" in found.note


def test_input_is_checked():
    rng = np.random.default_rng(5)
    returns, labels = null_returns("iid", 200, rng), chain(200, 2, 0.9, rng)
    with pytest.raises(DataError, match="different bars"):
        sharpe_equality(returns, labels.iloc[:-1], periods_per_year=YEAR, seed=0)
    with pytest.raises(DataError, match="missing"):
        sharpe_equality(returns.where(returns.index > 0), labels, periods_per_year=YEAR, seed=0)
    for setting, value in (("n_boot", 10), ("level", 1.0), ("block", 0.5)):
        with pytest.raises(ConfigError, match=setting):
            sharpe_equality(returns, labels, periods_per_year=YEAR, seed=0, **{setting: value})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["iid", "ar", "garch", "t4"])
@pytest.mark.parametrize("states", [2, 3])
def test_size(kind, states):
    """Nominal 5 %; with 2,000 draws and T = 504 between 4.5 and 6.1 % were measured."""
    rng = np.random.default_rng(1)
    joint, paired = [], []
    for _ in range(600):
        labels = chain(504, states, 0.98, rng)
        found = sharpe_equality(null_returns(kind, 504, rng), labels, periods_per_year=YEAR, n_boot=399, seed=rng)
        if found.p_value is not None:
            joint.append(found.p_value <= 0.05)
            paired.append(any(pair.p_value_holm <= 0.05 for pair in found.pairs))
    assert 0.024 < np.mean(joint) < 0.08  # three standard errors around 3.5 to 6.5 %, less a little
    assert np.mean(paired) < 0.08


@pytest.mark.slow
def test_power():
    """A difference of 2 a year over ten years is found about as often as a t-test of known error says."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(200):
        labels = chain(2520, 2, 0.98, rng)
        returns = null_returns("iid", 2520, rng) + np.where(labels == "bull", 0.01 * 2.0 / np.sqrt(YEAR), 0.0)
        found.append(sharpe_equality(returns, labels, periods_per_year=YEAR, n_boot=399, seed=rng).p_value <= 0.05)
    error = np.sqrt(YEAR) * np.sqrt(2.0 / 1260)
    expected = stats.norm.sf(1.96 - 2.0 / error)
    assert expected - 0.12 < np.mean(found) < expected + 0.1
