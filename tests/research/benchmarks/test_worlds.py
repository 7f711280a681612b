"""The worlds are what they are named for: mean 0, their memory, their correlations."""

import numpy as np
import pytest
from reference import sizes

from embargo.backtest.significance import sample_shape, sharpe_estimate
from embargo.models.calibration.significance import calibration_test
from embargo.research.benchmarks import worlds
from embargo.research.benchmarks.sections import SECTIONS, returns_in, share, told_row
from embargo.research.benchmarks.worlds import WORLDS, forecasts, slow_signals


@pytest.mark.parametrize("world", WORLDS)
def test_every_world_has_a_true_mean_of_zero_and_correlated_series(world):
    panel = WORLDS[world](300, 504, 2, np.random.default_rng(1), correlation=0.9)
    assert panel.shape == (300, 504, 2)
    error = panel.mean(axis=1).std() / np.sqrt(300)
    assert abs(panel.mean()) < 5 * error
    alike = np.mean([np.corrcoef(draw.T)[0, 1] for draw in panel])
    assert alike > (0.5 if world.startswith(("seldom", "crashes")) else 0.75)
    single = WORLDS[world](2, 50, 1, np.random.default_rng(1))
    assert single.shape == (2, 50, 1)


@pytest.mark.parametrize(
    ("world", "lag", "expected"),
    [("MA(1) 0.4", 1, 0.345), ("MA(1) -0.4", 1, -0.345), ("overlapping 20", 10, 0.5), ("slow drift", 5, 0.05 * 0.9**5)],
)
def test_memory_is_what_the_name_says(world, lag, expected):
    panel = WORLDS[world](200, 2000, 1, np.random.default_rng(2))[:, :, 0]
    found = np.mean(panel[:, lag:] * panel[:, :-lag]) / np.mean(panel**2)
    assert found == pytest.approx(expected, abs=0.012)


def test_crashes_come_as_often_as_they_should_and_are_paid_for():
    panel = WORLDS["crashes 1 in 60"](400, 1000, 1, np.random.default_rng(3))
    assert np.mean(panel < -10.0) == pytest.approx(np.exp(-10.33 / 20.0) / 60.0, rel=0.05)
    large = WORLDS["one bar of 25 %"](500, 120, 2, np.random.default_rng(3))
    assert (np.abs(large) == 25.0).sum(axis=1).tolist() == [[1, 1]] * 500
    assert 0.4 < np.mean(large.max(axis=(1, 2)) == 25.0) < 0.6


def test_slow_signals_know_nothing_and_remember_half():
    signal, returns = slow_signals(20, 4000, 5, np.random.default_rng(4))
    assert np.mean(signal[:, 60:] * signal[:, :-60]) == pytest.approx(0.5, abs=0.08)
    assert abs(np.mean(signal * returns)) < 0.02


def test_forecasts_are_calibrated_and_days_stick_together():
    values, classes = forecasts(200, 30, 10, np.random.default_rng(5))
    assert values.sum(axis=-1) == pytest.approx(1.0)
    happened = np.take_along_axis(values, classes[..., None], axis=-1)
    assert happened.mean() == pytest.approx((values**2).sum(axis=-1).mean(), abs=0.005)
    right = values.argmax(axis=-1) == classes
    by_day = right.mean(axis=2).var()
    assert by_day > 1.5 * right.mean() * (1 - right.mean()) / 10
    alone = forecasts(200, 30, 10, np.random.default_rng(5), correlation=0.0)
    free = (alone[0].argmax(axis=-1) == alone[1]).mean(axis=2).var()
    assert free < 1.3 * right.mean() * (1 - right.mean()) / 10


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)
def test_every_row_fits_its_table(section):
    for row in (section.rows[0], section.rows[-1]) if not section.title.startswith("Any") else section.rows[:1]:
        assert len(row(4, 0)) == len(section.header)


def test_a_rate_comes_with_its_standard_error():
    assert share([True] * 5 + [False] * 95) == "5.0 ± 2.2"
    assert share([]) == "none"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "n"), [("i.i.d.", 252), ("GARCH(1,1)", 504), ("slow drift", 252), ("MA(1) -0.4", 252)]
)
def test_sizes_are_the_same_when_measured_again_in_plain_numpy(world, n):
    """Within four standard errors of 400 draws, the same ones for both."""
    panel, rng = returns_in(world, 400, n, np.random.default_rng(6))[:, :, 0], np.random.default_rng(7)
    ours = np.array([sharpe_estimate(r, periods_per_year=252, n_boot=199, seed=rng).p_value for r in panel]) <= 0.05
    again = np.array([sizes.sharpe_p_value(r, 199, rng) for r in panel]) <= 0.05
    assert np.mean(ours != again) < 0.04
    assert abs(ours.mean() - again.mean()) < 0.02
    assert ours.mean() == pytest.approx(0.05, abs=0.0436)


@pytest.mark.slow
def test_doubts_are_rare_where_nothing_is_wrong_and_find_what_is():
    rng = np.random.default_rng(8)
    for world, most in (("i.i.d.", 0.035), ("AR(1) 0.2", 0.035), ("GARCH(1,1)", 0.045), ("t, 4 d.f.", 0.08)):
        panel = returns_in(world, 500, 252, rng)[:, :, 0]
        assert np.mean([sizes.doubted(r) for r in panel]) == np.mean([bool(sample_shape(r).doubts) for r in panel])
        assert np.mean([bool(sample_shape(r).doubts) for r in panel]) < most
    for world, least in (("one bar of 25 %", 0.99), ("crashes 1 in 60", 0.85)):
        panel = returns_in(world, 200, 252, rng)[:, :, 0]
        assert np.mean([bool(sample_shape(r).doubts) for r in panel]) > least


@pytest.mark.slow
def test_calibration_by_day_holds_its_size_and_one_by_one_does_not():
    values, labels = worlds.forecasts(600, 100, 10, np.random.default_rng(9))
    days = np.repeat(np.arange(100), 10)
    rejected = {"by day": 0, "one by one": 0}
    for probs, classes in zip(values.reshape(600, -1, 3), labels.reshape(600, -1), strict=True):
        rejected["by day"] += calibration_test(probs, classes, groups=days).p_value <= 0.05
        rejected["one by one"] += calibration_test(probs, classes).p_value <= 0.05
    assert rejected["by day"] / 600 == pytest.approx(0.05, abs=0.027)
    assert rejected["one by one"] / 600 > 0.08


@pytest.mark.slow
def test_the_power_that_is_told_is_true():
    found = float(told_row(5, 504, 0.0, 1.0, 600, 3)[-1].split()[0])
    assert found == pytest.approx(80.0, abs=6.0)
