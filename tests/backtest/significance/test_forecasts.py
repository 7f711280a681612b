"""Diebold and Mariano's test, and the Bayesian answers: golden values, recomputations, contracts and size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.paired_samples import pairs
from scipy.integrate import quad
from scipy.stats import cauchy, nct, t, ttest_1samp

from embargo.backtest.significance.bayes import MEDIUM, jzs_bayes_factor, paired_belief
from embargo.backtest.significance.forecasts import diebold_mariano
from embargo.data_loaders.errors import ConfigError, DataError

# Student's data on two soporifics (R's `sleep`): gain in hours of sleep, drug 2 less drug 1.
SLEEP = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])


def losses(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(n) ** 2, 1.3 * rng.standard_normal(n) ** 2


@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_the_test_of_harvey_leybourne_and_newbold_by_loops(horizon: int) -> None:
    a, b = losses(1)
    d, n = a - b, 60
    mean = sum(d) / n
    gamma = [sum((d[i] - mean) * (d[i - lag] - mean) for i in range(lag, n)) / n for lag in range(horizon)]
    statistic = mean / math.sqrt((gamma[0] + 2 * sum(gamma[1:])) / n)
    statistic *= math.sqrt((n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n)
    found = diebold_mariano(a, b, horizon=horizon)
    assert found.statistic == pytest.approx(statistic, rel=1e-12)
    assert found.p_value == pytest.approx(2 * t.sf(abs(statistic), n - 1), rel=1e-12)


def test_one_step_ahead_it_is_the_paired_t_test() -> None:
    a, b = losses(2)
    found, known = diebold_mariano(a, b, horizon=1), ttest_1samp(a - b, 0.0)
    assert found.statistic == pytest.approx(known.statistic, rel=1e-12)
    assert found.p_value == pytest.approx(known.pvalue, rel=1e-12)


def test_the_cosine_estimator_by_loops() -> None:
    a, b = losses(3)
    d, n = a - b, 60
    number = int(0.4 * n ** (2 / 3))
    power = [
        (math.sqrt(2 / n) * sum(d[i] * math.cos(math.pi * k * (i + 0.5) / n) for i in range(n))) ** 2
        for k in range(1, number + 1)
    ]
    found = diebold_mariano(a, b)
    assert found.degrees == number == 6
    assert found.statistic == pytest.approx(d.mean() / math.sqrt(sum(power) / number / n), rel=1e-10)


def test_a_negative_variance_is_weighted_instead() -> None:
    d = np.tile([1.0, -1.0], 20) + 0.01
    found = diebold_mariano(d, np.zeros(40), horizon=2)
    assert found.statistic is not None
    assert math.isfinite(found.statistic)


@given(st.integers(0, 10_000), st.sampled_from([None, 1, 3]))
def test_swapped_forecasts_swap_the_sign(seed: int, horizon: int | None) -> None:
    a, b = losses(seed)
    one, other = diebold_mariano(a, b, horizon=horizon), diebold_mariano(b, a, horizon=horizon)
    assert other.statistic == pytest.approx(-one.statistic)
    assert other.p_value == pytest.approx(one.p_value)
    assert diebold_mariano(10 * a, 10 * b, horizon=horizon).p_value == pytest.approx(one.p_value)


def test_forecasts_that_cannot_be_compared() -> None:
    a, b = losses(4)
    assert diebold_mariano(a, a).p_value is None
    with pytest.raises(ConfigError, match="horizon"):
        diebold_mariano(a, b, horizon=0)
    with pytest.raises(DataError, match="too few"):
        diebold_mariano(a[:12], b[:12], horizon=5)
    with pytest.raises(DataError, match="missing"):
        diebold_mariano(a, np.where(b > 1, np.nan, b))


@pytest.mark.parametrize(
    ("statistic", "n", "factor", "digits"),
    [
        (2.24, 80, 1.02, 0.005),
        (2.03, 80, 1.56, 0.005),
    ],
)
def test_the_odds_for_the_null_that_the_paper_reports(statistic: float, n: int, factor: float, digits: float) -> None:
    # Rouder and others (2009), on Grider and Malmberg's experiments; Cauchy prior of scale 1.
    assert 1.0 / jzs_bayes_factor(statistic, n, scale=1.0) == pytest.approx(factor, abs=digits)


def test_the_bayes_factor_of_students_sleep_data_is_that_of_the_r_package() -> None:
    # The BayesFactor manual's own example, prior scale 0.707: 17.25888.
    assert paired_belief(SLEEP).bayes_factor == pytest.approx(17.25888, abs=5e-6)


@pytest.mark.parametrize("scale", [0.2, MEDIUM, 1.5])
@pytest.mark.parametrize(("statistic", "n"), [(0.0, 2), (0.7, 5), (-2.5, 12), (4.0, 40), (1.0, 200)])
def test_the_bayes_factor_by_integrating_over_effects(statistic: float, n: int, scale: float) -> None:
    # Rouder's integral runs over variances; the same number from the noncentral t over effect sizes.
    peak = statistic / math.sqrt(n)
    reach = 200.0 if n < 10 else 9.0 / math.sqrt(n)
    area = quad(
        lambda effect: nct.pdf(statistic, n - 1, effect * math.sqrt(n)) * cauchy.pdf(effect, scale=scale),
        peak - reach,
        peak + reach,
        points=[peak],
        limit=1000,
    )[0]
    assert jzs_bayes_factor(statistic, n, scale=scale) == pytest.approx(area / t.pdf(statistic, n - 1), rel=2e-3)


@given(st.floats(0.0, 60.0), st.integers(2, 5_000))
def test_a_bayes_factor_grows_with_the_evidence(statistic: float, n: int) -> None:
    weak, strong = jzs_bayes_factor(statistic, n), jzs_bayes_factor(statistic + 0.5, n)
    assert 0.0 < weak < strong or strong == weak == math.inf
    assert jzs_bayes_factor(-statistic, n) == weak


def test_a_bayes_factor_holds_at_the_ends() -> None:
    assert jzs_bayes_factor(500.0, 2520) == math.inf
    assert 0.0 < jzs_bayes_factor(0.0, 1_000_000) < 0.002
    # A prior that allows no effect explains the data as well as none.
    assert jzs_bayes_factor(3.0, 50, scale=1e-7) == pytest.approx(1.0, abs=1e-3)


def test_without_correlation_the_credible_interval_is_the_classical_one() -> None:
    found = paired_belief(SLEEP, level=0.9)
    low, high = ttest_1samp(SLEEP, 0.0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.positive == pytest.approx(1.0 - ttest_1samp(SLEEP, 0.0).pvalue / 2)


def test_correlated_folds_say_less() -> None:
    # Nadeau and Bengio: the variance of ten folds' mean is s²(1/10 + 0.1/0.9), not s²/10.
    one, ten = paired_belief(SLEEP), paired_belief(SLEEP, correlation=0.1)
    assert (ten.high - ten.low) / (one.high - one.low) == pytest.approx(math.sqrt((0.1 + 1 / 9) / 0.1))
    assert ten.bayes_factor < one.bayes_factor
    assert ten.positive < one.positive


@given(st.integers(0, 5_000), st.floats(0.0, 2.0), st.floats(0.0, 0.5))
def test_probabilities_are_probabilities(seed: int, rope: float, correlation: float) -> None:
    values = np.random.default_rng(seed).normal(0.3, 1.0, 12)
    found = paired_belief(values, rope=rope, correlation=correlation)
    assert found.below + found.inside + found.above == pytest.approx(1.0)
    assert min(found.below, found.inside, found.above) >= 0.0
    other = paired_belief(-values, rope=rope, correlation=correlation)
    assert (other.below, other.above) == pytest.approx((found.above, found.below))


def test_equal_differences_leave_no_doubt_and_no_bayes_factor() -> None:
    found = paired_belief(np.full(6, 0.2), rope=0.1)
    assert (found.above, found.positive, found.bayes_factor) == (1.0, 1.0, None)
    nothing = paired_belief(np.zeros(6))
    assert (nothing.inside, nothing.positive) == (1.0, 0.5)


@pytest.mark.parametrize(
    "change",
    [{"correlation": 1.0}, {"level": 0.0}, {"rope": -0.1}, {"scale": 0.0}],
    ids=lambda change: next(iter(change)),
)
def test_settings_out_of_range_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        paired_belief(SLEEP, **change)
    with pytest.raises(DataError, match="two finite differences"):
        paired_belief(np.array([1.0]))


@pytest.mark.slow
@pytest.mark.parametrize("n", [504, 2520])
@pytest.mark.parametrize("kind", ["iid", "ar", "garch", "t4"])
def test_equal_forecasts_are_told_apart_as_often_as_the_level_says(kind: str, n: int) -> None:
    first, second = pairs(kind, n, 2000, seed=n)
    drawn = list(zip(first, second / 1.5, strict=True))
    share = np.mean([diebold_mariano(a, b).p_value <= 0.05 for a, b in drawn])
    assert 0.035 <= share <= 0.065
    naive = np.mean([diebold_mariano(a, b, horizon=1).p_value <= 0.05 for a, b in drawn])
    # What the docstring warns of.
    assert naive > 0.09 if kind == "ar" else 0.035 <= naive <= 0.065


@pytest.mark.slow
def test_credible_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(0)
    found = [paired_belief(rng.normal(0.2, 1.0, 20)) for _ in range(2000)]
    assert np.mean([one.low <= 0.2 <= one.high for one in found]) == pytest.approx(0.95, abs=0.015)
