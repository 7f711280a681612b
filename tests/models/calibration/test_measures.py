import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.calibration.fitting import Calibration
from embargo.models.calibration.measures import (
    adaptive_calibration_error,
    brier_decomposition,
    brier_score,
    classwise_calibration_error,
    expected_calibration_error,
    reliability_table,
    wilson_interval,
)
from embargo.models.calibration.significance import calibration_test, confidence_test

LOGITS = arrays(float, st.tuples(st.integers(1, 30), st.just(3)), elements=st.floats(-30, 30))


def told(rng, n, temperature=1.0, spread=2.0):
    """Forecasts and outcomes; temperature 1: the forecasts are true, above 1: the model is overconfident."""
    logits = rng.normal(size=(n, 3)) * spread
    truth = Calibration(temperature).apply(logits)
    return Calibration().apply(logits), (rng.random((n, 1)) > truth.cumsum(axis=1)).sum(axis=1)


@settings(max_examples=50)
@given(LOGITS, st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_reliability_table_equals_a_loop(logits, bins, seed):
    probabilities = Calibration().apply(logits)
    labels = np.random.default_rng(seed).integers(0, 3, len(logits))
    table = reliability_table(probabilities, labels, bins=bins)
    assert table["count"].sum() == len(labels)
    error = 0.0
    for _, row in table.iterrows():
        inside = [
            (max(p), int(np.argmax(p) == y))
            for p, y in zip(probabilities, labels, strict=True)
            if row["lower"] < max(p) <= row["upper"]
        ]
        assert len(inside) == row["count"]
        if inside:
            confidence, accuracy = np.mean(inside, axis=0)
            assert row["confidence"] == pytest.approx(confidence)
            assert row["accuracy"] == pytest.approx(accuracy)
            error += abs(confidence - accuracy) * len(inside) / len(labels)
    assert expected_calibration_error(probabilities, labels, bins=bins) == pytest.approx(error)


def test_brier_score_of_certain_and_uniform_forecasts():
    labels = np.array([0, 1, 2])
    assert brier_score(np.eye(3), labels) == 0
    assert brier_score(np.eye(3)[[1, 2, 0]], labels) == 2
    assert brier_score(np.full((3, 3), 1 / 3), labels) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_of_newcombes_table(hits, n, low, high):
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    assert wilson_interval(hits, n) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@settings(max_examples=100)
@given(st.integers(1, 500), st.data())
def test_wilson_interval_agrees_with_statsmodels(n, data):
    from statsmodels.stats.proportion import proportion_confint

    hits = data.draw(st.integers(0, n))
    assert np.allclose(wilson_interval(hits, n, level=0.9), proportion_confint(hits, n, 0.1, "wilson"), atol=1e-12)


def test_reliability_intervals_are_wilsons_and_missing_where_a_bin_is_empty():
    probabilities = np.array([[0.8, 0.1, 0.1]] * 20 + [[0.2, 0.2, 0.6]] * 5)
    labels = np.array([0] * 16 + [1] * 4 + [2] * 5)
    table = reliability_table(probabilities, labels, bins=5).set_index("count")
    assert table.loc[20, ["accuracy_low", "accuracy_high"]].tolist() == pytest.approx(np.ravel(wilson_interval(16, 20)))
    assert table.loc[5, "accuracy_high"] == 1.0
    assert table.loc[0, ["accuracy_low", "accuracy_high"]].isna().all().all()
    narrow = reliability_table(probabilities, labels, bins=5, level=0.5).set_index("count")
    assert narrow.loc[20, "accuracy_low"] > table.loc[20, "accuracy_low"]


@settings(max_examples=50, deadline=None)
@given(LOGITS, st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_adaptive_and_classwise_errors_equal_loops(logits, bins, seed):
    # Rounded, so that many forecasts are equal.
    probabilities = Calibration().apply(np.round(logits / 10))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, len(logits))
    confidence = probabilities.max(axis=1)
    filled: dict[int, list[float]] = {}
    for c, p, y in zip(confidence, probabilities, labels, strict=True):
        filled.setdefault(int((confidence < c).sum()) * bins // len(labels), []).append(c - (p.argmax() == y))
    expected = sum(abs(sum(gaps)) for gaps in filled.values()) / len(labels)
    found = adaptive_calibration_error(probabilities, labels, bins=bins)
    assert found == pytest.approx(expected, abs=1e-12)
    order = rng.permutation(len(labels))
    assert found == pytest.approx(adaptive_calibration_error(probabilities[order], labels[order], bins=bins))
    total, edges = 0.0, np.linspace(0, 1, bins + 1)
    for k, column in enumerate(probabilities.T):
        for b in range(bins):
            inside = ((column > edges[b]) | (b == 0)) & (column <= edges[b + 1])
            total += abs((column[inside] - (labels[inside] == k)).sum()) / len(labels)
    assert classwise_calibration_error(probabilities, labels, bins=bins) == pytest.approx(total / 3, abs=1e-12)


def test_equal_mass_sees_what_equal_width_averages_away():
    # All confidences within one wide bin; half of them right always, half of them half of the time.
    probabilities = np.repeat([[0.80, 0.1, 0.1], [0.82, 0.1, 0.08]], 100, axis=0)
    labels = np.concatenate([np.zeros(100, int), np.repeat([0, 1], [62, 38])])
    assert expected_calibration_error(probabilities, labels, bins=2) < 0.001
    assert adaptive_calibration_error(probabilities, labels, bins=2) == pytest.approx(0.2)


def test_brier_decomposition_by_hand():
    # Two forecasts, 0.8 and 0.4 of bearish: 3 of 4 and 1 of 4 come true (bullish is never forecast and never comes).
    probabilities = np.repeat([[0.8, 0.2, 0.0], [0.4, 0.6, 0.0]], 4, axis=0)
    found = brier_decomposition(probabilities, np.array([0, 0, 0, 1, 0, 1, 1, 1]))
    # Per class: ((0.8 - 0.75)^2 + (0.4 - 0.25)^2) / 2; (0.25^2 + 0.25^2) / 2; 0.5 * 0.5. Two classes are alike.
    assert found.reliability == pytest.approx(2 * 0.0125)
    assert found.resolution == pytest.approx(2 * 0.0625)
    assert found.uncertainty == pytest.approx(2 * 0.25)
    assert found.within_bins == pytest.approx(0, abs=1e-15)


@settings(max_examples=60, deadline=None)
@given(LOGITS, st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_the_parts_add_up_to_the_brier_score(logits, bins, seed):
    probabilities = Calibration().apply(logits)
    labels = np.random.default_rng(seed).integers(0, 3, len(logits))
    parts = brier_decomposition(probabilities, labels, bins=bins)
    assert min(parts.reliability, parts.resolution, parts.uncertainty) >= 0
    assert parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins == pytest.approx(
        brier_score(probabilities, labels), abs=1e-12
    )


def test_confidence_test_by_hand():
    # Spiegelhalter's sum((y - p)(1 - 2p)) = 0.32 over the root of sum((1 - 2p)^2 p (1 - p)) = 0.1248.
    probabilities = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    found = confidence_test(probabilities, np.array([0, 2, 2]))
    assert found.z == pytest.approx(0.32 / np.sqrt(0.1248))
    assert found.p_value == pytest.approx(2 * norm.sf(0.905822), abs=1e-6)


def test_calibration_test_by_hand():
    # sum(p^2) = 0.38 and 0.66, sum(p^3) = 0.16 and 0.514; class 1 (0.3) and class 0 (0.8) occur.
    found = calibration_test(np.array([[0.5, 0.3, 0.2], [0.8, 0.1, 0.1]]), np.array([1, 0]))
    assert found.z == pytest.approx((0.38 - 0.3 + 0.66 - 0.8) / np.sqrt(0.16 - 0.38**2 + 0.514 - 0.66**2))


@settings(max_examples=60, deadline=None)
@given(LOGITS, st.integers(0, 2**32 - 1))
def test_calibration_test_is_the_excess_of_the_brier_score(logits, seed):
    probabilities = Calibration().apply(logits / 10)
    labels = np.random.default_rng(seed).integers(0, 3, len(logits))
    found = calibration_test(probabilities, labels)
    promised = (probabilities * ((probabilities[:, None, :] - np.eye(3)) ** 2).sum(axis=2)).sum(axis=1).mean()
    excess = brier_score(probabilities, labels) - promised
    if found.z is not None:
        assert np.sign(found.z) == np.sign(excess) or abs(excess) < 1e-12
        assert 0 <= found.p_value <= 1


def test_nothing_can_be_said_of_certain_or_even_forecasts():
    assert calibration_test(np.eye(3), np.array([0, 1, 1])).z is None
    assert calibration_test(np.full((4, 3), 1 / 3), np.array([0, 1, 1, 2])).p_value is None
    assert confidence_test(np.array([[0.5, 0.5, 0.0]] * 4), np.array([0, 1, 1, 0])).z is None


def test_overconfidence_is_found_and_has_a_sign():
    rng = np.random.default_rng(3)
    for test in (calibration_test, confidence_test):
        assert test(*told(rng, 3000)).p_value > 0.01
        over, under = test(*told(rng, 3000, 1.5)), test(*told(rng, 3000, 0.7))
        assert over.z > 3
        assert under.z < -3


def test_refuses_what_is_no_forecast():
    with pytest.raises(DataError, match="no probabilities"):
        calibration_test(np.array([[0.5, 0.1, 0.1]]), np.array([0]))
    with pytest.raises(DataError):
        confidence_test(np.empty((0, 3)), np.array([]))
    for measure in (adaptive_calibration_error, classwise_calibration_error, brier_decomposition, reliability_table):
        with pytest.raises(ConfigError, match="bin"):
            measure(np.eye(3), np.arange(3), bins=0)
    with pytest.raises(ConfigError, match="level"):
        wilson_interval(1, 2, level=1.0)


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 100, 1000])
@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_size_and_power_of_the_calibration_tests(n, spread):
    rng = np.random.default_rng(n)
    for test in (calibration_test, confidence_test):
        rates = [
            np.mean([test(*told(rng, n, temperature, spread)).p_value <= 0.05 for _ in range(2000)])
            for temperature in (1.0, 1.5)
        ]
        print(f"{test.__name__} n={n} spread={spread}: size {rates[0]:.3f}, power at temperature 1.5 {rates[1]:.3f}")
        assert 0.03 < rates[0] < 0.07
        if n == 1000 and spread == 2.0:
            assert rates[1] > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("n", [10, 50])
def test_wilson_interval_covers(n):
    rng = np.random.default_rng(n)
    covered = []
    for share in np.linspace(0.05, 0.95, 19):
        low, high = wilson_interval(rng.binomial(n, share, 5000), n)
        covered.append(((low <= share) & (share <= high)).mean())
    print("Wilson covers", np.mean(covered), min(covered))
    assert 0.94 < np.mean(covered) < 0.97


@pytest.mark.parametrize("copies", [1, 4])
def test_an_article_told_many_times_over_counts_once(copies):
    probabilities, labels = told(np.random.default_rng(0), 300)
    again, groups = np.repeat(probabilities, copies, axis=0), np.repeat(np.arange(300), copies)
    table = reliability_table(probabilities, labels).drop(columns="count")
    clustered = reliability_table(again, np.repeat(labels, copies), groups=groups).drop(columns="count")
    np.testing.assert_allclose(clustered, table, atol=1e-12)
    for test in (confidence_test, calibration_test):
        once, often = test(probabilities, labels), test(again, np.repeat(labels, copies), groups=groups)
        assert (often.z, often.p_value) == pytest.approx((once.z, once.p_value))


def test_a_bin_in_which_all_are_right_is_worth_its_groups():
    probabilities, labels = np.tile([0.9, 0.05, 0.05], (12, 1)), np.zeros(12, dtype=int)
    table = reliability_table(probabilities, labels, groups=np.repeat([0, 1, 2], 4))
    low, high = wilson_interval(np.array(3), np.array(3))
    assert table.loc[8, ["accuracy_low", "accuracy_high"]].tolist() == pytest.approx([low, high])


def test_groups_must_be_named_for_every_article():
    probabilities, labels = told(np.random.default_rng(0), 3)
    for groups in (["a", "b"], ["a", None, "b"]):
        for measure in (reliability_table, confidence_test, calibration_test):
            with pytest.raises(DataError, match="Name the group of every sample"):
                measure(probabilities, labels, groups=groups)


def test_days_that_move_together_do_not_make_a_true_forecast_look_false():
    """Nominal 5 %: articles of one day are right or wrong together, so that without days every third is rejected."""
    rng, rejected = np.random.default_rng(0), {"days": 0, "none": 0}
    for _ in range(300):
        confidence, days = rng.uniform(0.5, 0.9, 80), np.repeat(np.arange(80), 6)
        right = rng.random(80) < confidence
        stated = np.repeat(confidence, 6)
        probabilities = np.column_stack([stated, (1 - stated) / 2, (1 - stated) / 2])
        labels = np.where(np.repeat(right, 6), 0, 1)
        rejected["days"] += confidence_test(probabilities, labels, groups=days).p_value < 0.05
        rejected["none"] += confidence_test(probabilities, labels).p_value < 0.05
    assert rejected["days"] / 300 < 0.09
    assert rejected["none"] / 300 > 0.3
