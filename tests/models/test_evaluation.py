import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from data_loaders.errors import DataError
from data_loaders.schemas import CLASSES
from models.calibration import Calibration
from models.evaluation import classification_report


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.floats(0.1, 5))
def test_agrees_with_scikit_learn(n, seed, spread):
    rng = np.random.default_rng(seed)
    probabilities = Calibration().apply(rng.normal(size=(n, 3)) * spread)
    labels = rng.integers(0, 3, n)
    predicted = probabilities.argmax(axis=1)
    report = classification_report(probabilities, labels, resamples=20)
    assert report["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert report["macro_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    assert report["weighted_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="weighted"))
    assert report["log_loss"] == pytest.approx(metrics.log_loss(labels, probabilities, labels=[0, 1, 2]))
    assert report["confusion"] == metrics.confusion_matrix(labels, predicted, labels=[0, 1, 2]).tolist()
    for index, name in enumerate(CLASSES):
        row = report["classes"][name]
        assert row["support"] == (labels == index).sum()
        assert (row["precision"] is None) == (index not in predicted)
        if row["precision"] is not None:
            assert row["precision"] == pytest.approx(np.mean(labels[predicted == index] == index))


def test_is_json_and_reproducible_and_names_the_majority():
    labels = np.array([1, 1, 1, 0])
    probabilities = np.array([[0.1, 0.8, 0.1]] * 4)
    report = classification_report(probabilities, labels, seed=3)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report == classification_report(probabilities, labels, seed=3)
    assert report["majority"]["accuracy"] == 0.75
    assert report["classes"]["bullish"] == {"precision": None, "recall": None, "f1": None, "support": 0}


def test_bootstrap_interval_has_the_width_of_the_binomial():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 2000)
    guess = np.where(rng.random(2000) < 0.8, labels, (labels + 1) % 3)
    report = classification_report(np.eye(3)[guess] * 0.97 + 0.01, labels, resamples=2000)
    low, high = report["accuracy_interval"]
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.16 / 2000), rel=0.08)
    assert low < report["accuracy"] < high


def test_refuses_rows_that_are_no_probabilities():
    with pytest.raises(DataError, match="no probabilities"):
        classification_report(np.array([[0.5, 0.5, 0.5]]), np.array([0]))
