import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import overfitting as slow
from scipy.special import ndtri
from scipy.stats import linregress

from embargo.backtest.significance.overfitting import overfitting_by_chance, probability_of_overfitting
from embargo.data_loaders.errors import ConfigError, DataError


def normal_numbers_of_r(seed, size):
    """What R's ``set.seed(seed); rnorm(size)`` returns: Mersenne Twister, inversion of two draws each."""
    word, words = seed, []
    for place in range(50 + 625):
        word = (69069 * word + 1) % 2**32
        if place >= 50:
            words.append(word)
    source = np.random.MT19937()
    source.state = {"bit_generator": "MT19937", "state": {"key": np.array(words[1:], dtype=np.uint32), "pos": 624}}
    uniform = source.random_raw(2 * size) * 2.3283064365386963e-10
    return ndtri((np.floor(2**27 * uniform[::2]) + uniform[1::2]) / 2**27)


def test_the_published_example_of_the_r_package():
    """Vignette of ``pbo`` on CRAN: p_bo 1, p_loss 1, adjusted R² 0.97, and -0.0030456 under the name of slope.

    The last is the intercept of the chosen strategies' first Sharpe ratios on their second ones: the package's
    regression runs that way round and its first coefficient is the intercept.
    """
    assert normal_numbers_of_r(42, 3) == pytest.approx([1.37095845, -0.56469817, 0.36312841])
    trials = normal_numbers_of_r(765, 100 * 2400).reshape(100, 2400).T
    trials *= 1.0 / np.sqrt(252.0) / trials.std(axis=0, ddof=1)
    trials -= trials.mean(axis=0)
    found = probability_of_overfitting(trials - 0.03 / 252.0, blocks=8)
    assert (found.probability, found.probability_of_loss, len(found.logits)) == (1.0, 1.0, 70)
    other_way = linregress(found.chosen_out, found.chosen_in)
    assert other_way.intercept == pytest.approx(-0.0030456, abs=5e-8)
    assert 1.0 - (1.0 - found.r_squared) * 69 / 68 == pytest.approx(0.97, abs=0.005)
    ours = linregress(found.chosen_in, found.chosen_out)
    assert (found.slope, found.intercept) == pytest.approx((ours.slope, ours.intercept))
    assert found.r_squared == pytest.approx(ours.rvalue**2)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from([2, 4, 6]), st.integers(30, 60), st.integers(2, 7), st.floats(-1.0, 1.0))
def test_the_slow_recomputation_agrees(seed, blocks, n, strategies, drift):
    rng = np.random.default_rng(seed)
    returns = rng.standard_t(4, (n, strategies)) * rng.uniform(0.001, 0.1, strategies) + drift * 0.01
    expected = slow.splits(returns.T.tolist(), blocks)
    found = probability_of_overfitting(returns, blocks=blocks)
    mine = sorted(zip(found.chosen, found.chosen_in, found.chosen_out, found.logits, strict=True))
    np.testing.assert_allclose(mine, sorted(expected), rtol=1e-7, atol=1e-9)
    places = [round(row[3], 9) for row in expected]
    assert found.probability == pytest.approx(np.mean([0.5 if place == 0.0 else place < 0.0 for place in places]))
    assert found.probability_of_loss == np.mean([row[2] < 0.0 for row in expected])


def test_noise_overfits_half_of_the_time():
    rng = np.random.default_rng(0)
    found = [probability_of_overfitting(rng.normal(size=(480, 60)), blocks=10) for _ in range(40)]
    assert np.mean([one.probability for one in found]) == pytest.approx(0.5, abs=0.06)
    assert np.mean([one.probability_of_loss for one in found]) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("strategies", [3, 15])
def test_a_few_worthless_strategies_overfit_half_of_the_time_too(strategies):
    """With an odd number the chosen one is often the median itself: two thirds if ties counted in full."""
    rng = np.random.default_rng(7)
    found = [probability_of_overfitting(rng.normal(size=(480, strategies)), blocks=8) for _ in range(400)]
    shares = [one.probability for one in found]
    assert np.mean(shares) == pytest.approx(0.5, abs=3 * np.std(shares) / 20)


def test_a_true_winner_does_not_overfit():
    returns = np.random.default_rng(1).normal(size=(800, 50))
    returns[:, 17] += 0.35
    found = probability_of_overfitting(returns)
    assert found.probability < 0.001
    assert found.probability_of_loss < 0.001
    assert (found.chosen == 17).mean() > 0.99
    assert found.logits.max() == pytest.approx(np.log(50.0))


def test_strategies_of_equal_result_over_all_bars_always_overfit():
    """What one half of the bars has more, the other has less."""
    returns = np.random.default_rng(2).normal(size=(640, 40))
    found = probability_of_overfitting(returns - returns.mean(axis=0), blocks=8)
    assert found.probability == 1.0
    assert found.slope == pytest.approx(-1.0, abs=0.1)


@given(st.integers(0, 10**6))
def test_units_and_order_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    returns = rng.normal(size=(60, 6))
    order = rng.permutation(6)
    found = probability_of_overfitting(returns, blocks=6)
    again = probability_of_overfitting((returns * rng.uniform(0.001, 10.0, 6))[:, order], blocks=6)
    np.testing.assert_array_equal(order[again.chosen], found.chosen)
    np.testing.assert_allclose(again.chosen_out, found.chosen_out, atol=1e-12)
    np.testing.assert_allclose(again.logits, found.logits)


def test_copies_of_a_strategy_share_a_rank():
    returns = np.repeat(np.random.default_rng(3).normal(size=(120, 1)), 5, axis=1)
    found = probability_of_overfitting(returns, blocks=6)
    np.testing.assert_allclose(found.logits, 0.0, atol=1e-12)
    assert found.probability == 0.5


def test_a_strategy_that_never_trades_has_a_sharpe_ratio_of_nothing():
    rng = np.random.default_rng(4)
    returns = np.hstack([np.zeros((240, 1)), rng.normal(-0.5, 1.0, (240, 5))])
    found = probability_of_overfitting(returns, blocks=8)
    assert (found.chosen == 0).mean() > 0.9
    assert found.probability < 0.1
    assert set(found.chosen_out[found.chosen == 0]) == {0.0}
    half = rng.normal(size=(240, 3))
    half[:120] = 0.0
    assert np.isfinite(probability_of_overfitting(half, blocks=4).chosen_out).all()


def test_large_means_do_not_lose_digits():
    returns = np.random.default_rng(5).normal(size=(64, 3)) * 1e-6 + 0.01
    expected = slow.splits(returns.T.tolist(), 4)
    found = probability_of_overfitting(returns, blocks=4)
    np.testing.assert_allclose(np.sort(found.chosen_out), np.sort([row[2] for row in expected]), rtol=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_nothing(monkeypatch, threads):
    returns = np.random.default_rng(6).normal(size=(200, 12))
    whole = probability_of_overfitting(returns, blocks=10)
    chance = overfitting_by_chance(returns, blocks=10, draws=100, seed=0)
    monkeypatch.setattr("embargo.backtest.threads.THREADS", threads)
    parts = probability_of_overfitting(returns, blocks=10)
    np.testing.assert_array_equal(parts.logits, whole.logits)
    assert overfitting_by_chance(returns, blocks=10, draws=100, seed=0) == chance
    assert len(set(zip(whole.chosen_in, whole.chosen_out, strict=True))) == 252


def test_the_figures_go_into_json():
    found = probability_of_overfitting(np.random.default_rng(7).normal(size=(100, 4)), blocks=4)
    figures = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert figures["splits"] == 6
    assert figures["probability"] == found.probability
    never = probability_of_overfitting(np.zeros((100, 4)), blocks=4)
    assert (never.slope, never.r_squared, never.probability) == (None, None, 0.5)


def plainly(returns, blocks):
    """The probability from the slow recomputation, ties counted half."""
    places = np.array([round(row[3], 9) for row in slow.splits(returns.T.tolist(), blocks)])
    return float(np.mean(np.where(places == 0.0, 0.5, places < 0.0)))


@pytest.mark.parametrize(
    "mix", [np.eye(3), np.array([[1.0, 0.99, 0.0, 0.0], [0.0, 0.1, 0.0, 0.1], [0.0, 0.0, 1.0, 0.99]])]
)
def test_chance_alone_gives_what_worthless_panels_show(mix):
    """Panels of independent normal rows, judged split by split; the second has two that move together."""
    rng = np.random.default_rng(11)
    panels = (rng.normal(size=(40, 3)) @ mix for _ in range(400))
    seen = np.array([plainly(panel, 4) for panel in panels])
    found = overfitting_by_chance(rng.normal(size=(4000, 3)) @ mix, blocks=4, draws=2000, level=0.8, seed=3)
    assert found.mean == pytest.approx(seen.mean(), abs=3 * seen.std() / 20)
    assert found.deviation == pytest.approx(seen.std(), abs=0.03)
    assert np.quantile(seen, [0.1, 0.9]) == pytest.approx([found.low, found.high], abs=1 / 6)


def test_chance_alone_is_one_half_for_copies_and_wide_for_few():
    rng = np.random.default_rng(12)
    copies = overfitting_by_chance(np.repeat(rng.normal(size=(120, 1)), 4, axis=1), blocks=6, draws=100, seed=0)
    assert (copies.low, copies.mean, copies.high, copies.deviation) == (0.5, 0.5, 0.5, 0.0)
    few, many = (overfitting_by_chance(rng.normal(size=(160, width)), blocks=8, seed=0) for width in (3, 60))
    assert few.high - few.low > many.high - many.low > 0.4
    idle = overfitting_by_chance(np.zeros((120, 3)), blocks=6, draws=100, seed=0)
    assert idle.mean == 0.5


def test_chance_alone_asks_for_what_it_needs():
    returns = np.random.default_rng(13).normal(size=(60, 3))
    one, two = (overfitting_by_chance(returns, blocks=4, draws=100, seed=5) for _ in range(2))
    assert one == two
    assert json.loads(json.dumps(one.as_dict()))["level"] == 0.95
    for wrong in ({"blocks": 5}, {"draws": 10}, {"level": 1.0}):
        with pytest.raises(ConfigError):
            overfitting_by_chance(returns, **{"blocks": 4, "seed": 0} | wrong)


def test_what_cannot_be_split_is_refused():
    returns = np.random.default_rng(8).normal(size=(60, 4))
    for blocks in (3, 0, 22):
        with pytest.raises(ConfigError, match="even number"):
            probability_of_overfitting(returns, blocks=blocks)
    with pytest.raises(ConfigError, match="at least 32 rows"):
        probability_of_overfitting(returns[:31], blocks=16)
    with pytest.raises(ConfigError, match="two strategies"):
        probability_of_overfitting(returns[:, :1])
    returns[3, 1] = np.inf
    with pytest.raises(DataError, match="row 3 of column 1"):
        probability_of_overfitting(returns)
