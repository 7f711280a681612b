import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data_loaders.errors import ConfigError, DataError
from models.calibration import (
    Calibration,
    brier_score,
    expected_calibration_error,
    fit_temperature,
    reliability_table,
)

LOGITS = arrays(float, st.tuples(st.integers(1, 30), st.just(3)), elements=st.floats(-30, 30))


def drawn(temperature: float, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    logits = rng.normal(size=(n, 3)) * 2
    probabilities = Calibration(temperature).apply(logits)
    labels = (rng.random((n, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    return logits, labels


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_finds_the_temperature_that_drew_the_labels(temperature):
    assert fit_temperature(*drawn(temperature)).temperature == pytest.approx(temperature, rel=0.05)


def test_calibration_lowers_the_error_of_overconfident_logits():
    logits, labels = drawn(3.0)
    before = expected_calibration_error(Calibration().apply(logits), labels)
    after = expected_calibration_error(fit_temperature(logits, labels).apply(logits), labels)
    assert before > 0.15
    assert after < 0.02


def test_perfect_separation_stops_at_the_bound_instead_of_certainty():
    logits = np.eye(3)[[0, 1, 2]] * 5
    calibration = fit_temperature(logits, np.array([0, 1, 2]))
    assert 0.05 <= calibration.temperature < 0.5
    assert np.isfinite(calibration.apply(logits)).all()


@given(LOGITS, st.floats(0.05, 20))
def test_probabilities_sum_to_one_and_keep_the_order_of_classes(logits, temperature):
    probabilities = Calibration(temperature).apply(logits)
    assert np.allclose(probabilities.sum(axis=1), 1)
    top = np.take_along_axis(probabilities, logits.argmax(axis=1)[:, None], axis=1)[:, 0]
    assert (top >= probabilities.max(axis=1) - 1e-12).all()


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
    ("logits", "labels"),
    [
        (np.empty((0, 3)), np.array([])),
        (np.zeros((2, 2)), np.array([0, 1])),
        (np.array([[0.0, np.nan, 0.0]]), np.array([0])),
        (np.zeros((1, 3)), np.array([3])),
    ],
)
def test_refuses_what_cannot_be_calibrated(logits, labels):
    with pytest.raises(DataError):
        fit_temperature(logits, labels)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_refuses_an_impossible_temperature(temperature):
    with pytest.raises(ConfigError):
        Calibration(temperature)
