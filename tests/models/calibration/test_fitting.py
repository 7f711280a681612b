import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax, softmax

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.calibration.fitting import (
    MINIMUM_PER_CLASS,
    Calibration,
    Curve,
    calibrated_loss,
    fit_calibration,
    fit_temperature,
)
from embargo.models.calibration.measures import classwise_calibration_error, expected_calibration_error

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


METHODS = ("temperature", "vector", "isotonic")


def loss(probabilities, labels):
    return -np.log(probabilities[np.arange(len(labels)), labels]).mean()


def test_temperature_is_what_it_was():
    logits, labels = drawn(3.0)
    assert fit_calibration("temperature", logits, labels) == fit_temperature(logits, labels)
    # Recorded before other methods were there: the figures of old runs stay.
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(500, 3)) * 3, rng.integers(0, 3, 500)
    labels[:300] = logits[:300].argmax(axis=1)
    assert fit_temperature(logits, labels).temperature == pytest.approx(3.301943068443774, rel=1e-12)


def test_vector_scaling_finds_the_scales_and_biases_that_drew_the_labels():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(40_000, 3)) * 2
    truth = Calibration(method="vector", scales=(0.5, 1.0, 2.0), biases=(0.6, -0.9, 0.3))
    labels = (rng.random((len(logits), 1)) > truth.apply(logits).cumsum(axis=1)).sum(axis=1)
    found = fit_calibration("vector", logits, labels)
    assert found.scales == pytest.approx(truth.scales, abs=0.06)
    assert found.biases == pytest.approx(truth.biases, abs=0.06)
    assert sum(found.biases) == pytest.approx(0, abs=1e-12)


def test_vector_scaling_equals_the_optimum_of_another_solver():
    from scipy.optimize import minimize

    logits, labels = drawn(2.0, 400)
    logits = logits + np.array([0.7, 0.0, -0.4])
    own = loss(fit_calibration("vector", logits, labels).apply(logits), labels)

    def slow(parameters):
        raised = np.exp(logits * parameters[:3] + np.append(parameters[3:], 0.0))
        return loss(raised / raised.sum(axis=1, keepdims=True), labels)

    other = minimize(slow, [1.0, 1.0, 1.0, 0.0, 0.0], method="Nelder-Mead", options={"maxiter": 9000, "fatol": 1e-12})
    assert own == pytest.approx(other.fun, abs=1e-7)
    assert own <= loss(fit_temperature(logits, labels).apply(logits), labels)


def test_isotonic_straightens_what_no_temperature_can():
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(8000, 3))
    probabilities = Calibration().apply(logits)
    # The share of neutral is believed three times too often in its middle range.
    truth = probabilities.copy()
    truth[:, 1] = np.where(truth[:, 1] > 0.5, truth[:, 1], truth[:, 1] ** 3)
    truth /= truth.sum(axis=1, keepdims=True)
    labels = (rng.random((len(logits), 1)) > truth.cumsum(axis=1)).sum(axis=1)
    half = slice(0, 4000), slice(4000, None)
    errors = {
        method: classwise_calibration_error(
            fit_calibration(method, logits[half[0]], labels[half[0]]).apply(logits[half[1]]), labels[half[1]]
        )
        for method in METHODS
    }
    assert errors["isotonic"] < 0.03 < errors["temperature"]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 50))
def test_isotonic_is_scikit_learns_clipped_and_never_certain(seed, spread):
    from sklearn.isotonic import IsotonicRegression

    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1, 2], 150))
    logits = rng.normal(size=(450, 3)) + np.eye(3)[labels] * spread
    calibration = fit_calibration("isotonic", logits, labels)
    unseen = rng.normal(size=(100, 3)) * spread
    probabilities = calibration.apply(unseen)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-12)
    # A clipped column is at least 1 / 452, and the three add up to less than 3.
    assert probabilities.min() > 1 / 452 / 3
    assert loss(probabilities, np.zeros(100, dtype=int)) < np.log(3 * 452)
    shares = Calibration().apply(logits)
    columns = [
        IsotonicRegression(out_of_bounds="clip")
        .fit(shares[:, k], labels == k)
        .predict(Calibration().apply(unseen)[:, k])
        .clip(1 / 452, 451 / 452)
        for k in range(3)
    ]
    expected = np.column_stack(columns) / np.sum(columns, axis=0)[:, None]
    assert np.allclose(probabilities, expected, atol=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_is_written_and_read_to_the_last_bit(method):
    logits, labels = drawn(2.0, 600)
    calibration = fit_calibration(method, logits, labels)
    read = Calibration.from_dict(json.loads(json.dumps(calibration.to_dict(), allow_nan=False)))
    assert read == calibration
    assert np.array_equal(read.apply(logits), calibration.apply(logits))
    assert calibration.to_dict()["method"] == calibration.method == method


@pytest.mark.parametrize("method", ["vector", "isotonic"])
def test_refuses_too_few_of_a_class(method):
    least = MINIMUM_PER_CLASS[method]
    labels = np.repeat([0, 1, 2], [least, least, least - 1])
    logits = np.random.default_rng(0).normal(size=(len(labels) + 1, 3))
    with pytest.raises(DataError, match=f"every class needs {least}"):
        fit_calibration(method, logits[:-1], labels)
    fit_calibration(method, logits, np.append(labels, 2))


@pytest.mark.parametrize("method", ["temperature", "vector"])
def test_pseudo_samples_hold_back_a_few_separable_samples_and_vanish_on_many(method):
    few = np.eye(3)[np.repeat([0, 1, 2], 10)] * 1.5
    labels = np.repeat([0, 1, 2], 10)
    bold, held = (fit_calibration(method, few, labels, pseudo_samples=k).apply(few).max() for k in (0, 30))
    promised = Calibration().apply(few).max()
    assert bold > 0.999
    # Thirty real and thirty pseudo-samples: halfway between certainty and the model's own word.
    assert held == pytest.approx((1 + promised) / 2, abs=0.005)
    logits, many = drawn(2.0, 20_000)
    moved = [fit_calibration(method, logits, many, pseudo_samples=k).apply(logits) for k in (0, 30)]
    assert np.abs(moved[0] - moved[1]).max() < 0.003


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 5), st.floats(0, 1000))
def test_pseudo_samples_pull_the_temperature_towards_one(seed, temperature, k):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(50, 3)) * 2
    labels = (rng.random((50, 1)) > Calibration(temperature).apply(logits).cumsum(axis=1)).sum(axis=1)
    free = np.log(fit_temperature(logits, labels).temperature)
    held = np.log(fit_calibration("temperature", logits, labels, pseudo_samples=k).temperature)
    assert min(free, 0) - 1e-4 <= held <= max(free, 0) + 1e-4


@pytest.mark.slow
def test_pseudo_samples_lower_the_loss_on_unseen_articles_when_few_validate():
    rng = np.random.default_rng(5)
    figures = []
    for _ in range(400):
        logits = rng.normal(size=(2015, 3)) * 2
        labels = (rng.random((2015, 1)) > Calibration(1.5).apply(logits).cumsum(axis=1)).sum(axis=1)
        calibrations = [
            fit_calibration("temperature", logits[:15], labels[:15], pseudo_samples=k) for k in (0, 5, 10, 20)
        ]
        figures.append([loss(c.apply(logits[15:]), labels[15:]) for c in calibrations])
    free, *held = np.mean(figures, axis=0)
    print("mean loss with 0, 5, 10, 20 pseudo-samples and 15 real ones, true temperature 1.5:", free, held)
    assert min(held) < free - 0.005


@pytest.mark.parametrize(
    "build",
    [
        lambda: Calibration(2.0, method="vector", scales=(1, 1, 1), biases=(0, 0, 0)),
        lambda: Calibration(method="vector"),
        lambda: Calibration(method="vector", scales=(1, -1, 1), biases=(0, 0, 0)),
        lambda: Calibration(scales=(1, 1, 1)),
        lambda: Calibration(method="platt"),
        lambda: Curve((0.1, 0.1), (0.2, 0.3)),
        lambda: Curve((0.1, 0.2), (0.3, 0.2)),
        lambda: Curve((0.1, 0.2), (0.3, 1.0)),
        lambda: Curve((), ()),
        lambda: Calibration.from_dict({"temperature": 1.0}),
        lambda: Calibration.from_dict({"method": "temperature", "tempreature": 1.0}),
        lambda: Calibration.from_dict({"method": "isotonic", "curves": [{"shares": [0.1]}]}),
        lambda: fit_calibration("platt", np.zeros((1, 3)), np.array([0])),
        lambda: fit_calibration("temperature", np.zeros((1, 3)), np.array([0]), pseudo_samples=-1),
        lambda: fit_calibration("isotonic", np.zeros((1, 3)), np.array([0]), pseudo_samples=1),
    ],
)
def test_refuses_impossible_calibrations(build):
    with pytest.raises(ConfigError):
        build()


def test_calibrated_loss_forgives_overconfidence_and_nothing_else():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(400, 3))
    labels = np.array([rng.choice(3, p=row) for row in softmax(logits, axis=1)])
    honest = calibrated_loss(logits, labels)
    plain = -log_softmax(logits, axis=1)[np.arange(400), labels].mean()
    assert honest == pytest.approx(plain, abs=0.01)
    assert honest <= plain
    assert calibrated_loss(7.0 * logits, labels) == pytest.approx(honest, abs=1e-6)
    assert calibrated_loss(logits[:, ::-1], labels) > honest + 0.1
