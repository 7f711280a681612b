"""How good a classifier of market news is: accuracy and its relatives, each headline figure with its uncertainty.

Everything returned is JSON: plain floats, and None where a figure is undefined.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from data_loaders.errors import ConfigError, DataError
from data_loaders.schemas import CLASSES
from models.calibration import brier_score, expected_calibration_error


def classification_report(
    probs: np.ndarray, labels: np.ndarray, *, seed: int = 0, resamples: int = 1000, level: float = 0.95
) -> dict[str, Any]:
    """Measure predicted probabilities against labels.

    Parameters
    ----------
    probs : ndarray, shape (n, 3)
        Rows sum to 1. The predicted class is the most probable one, the lower index on a tie.
    labels : ndarray of int, shape (n,)
    seed : int
        Of the bootstrap.
    resamples : int
        Bootstrap samples of articles (Efron 1979). They assume independent articles: near-duplicates make the true
        intervals wider.
    level : float
        Coverage of the percentile intervals.

    Returns
    -------
    dict with ``n, accuracy, accuracy_interval, macro_f1, macro_f1_interval, weighted_f1, classes`` (for each class
    ``precision, recall, f1, support``), ``confusion`` (rows true, columns predicted), ``log_loss`` (nats; probabilities
    are clipped at 1e-15), ``brier, ece`` and ``majority`` (accuracy and macro-F1 of always answering the most frequent
    class). Macro-F1 averages over the classes that occur or are predicted; precision of a class never predicted and
    recall of a class that never occurs are None.

    Raises
    ------
    DataError
        If there are no samples, or shapes or values do not fit.
    """
    if not 0 < level < 1 or resamples < 1:
        raise ConfigError(
            f"classification_report: level {level} must lie in (0, 1) and resamples {resamples} be positive."
        )
    values, classes = np.asarray(probs, dtype=float), np.asarray(labels)
    brier = brier_score(values, classes)
    if np.abs(values.sum(axis=1) - 1).max() > 1e-6 or values.min() < 0:
        raise DataError("classification_report: rows are no probabilities (negative, or their sum is not 1).")
    predicted = values.argmax(axis=1)
    confusion = _confusions(classes, predicted, np.ones((1, len(classes)), dtype=np.int64))
    weights = np.random.default_rng(seed).multinomial(
        len(classes), np.full(len(classes), 1 / len(classes)), size=resamples
    )
    drawn = _confusions(classes, predicted, weights)
    tail = (1 - level) / 2 * 100
    support = confusion[0].sum(axis=1)
    majority = _confusions(
        classes, np.full_like(classes, int(support.argmax())), np.ones((1, len(classes)), dtype=np.int64)
    )
    picked = values[np.arange(len(classes)), classes]
    return {
        "n": len(classes),
        "accuracy": float(_accuracy(confusion)[0]),
        "accuracy_interval": np.percentile(_accuracy(drawn), [tail, 100 - tail]).tolist(),
        "macro_f1": float(_macro_f1(confusion)[0]),
        "macro_f1_interval": np.percentile(_macro_f1(drawn), [tail, 100 - tail]).tolist(),
        "weighted_f1": float((np.nan_to_num(_f1(confusion)[0]) * support).sum() / support.sum()),
        "classes": {name: _one_class(confusion[0], index) for index, name in enumerate(CLASSES)},
        "confusion": confusion[0].tolist(),
        "log_loss": float(-np.log(np.clip(picked, 1e-15, 1.0)).mean()),
        "brier": brier,
        "ece": expected_calibration_error(values, classes),
        "majority": {"accuracy": float(_accuracy(majority)[0]), "macro_f1": float(_macro_f1(majority)[0])},
    }


def _confusions(classes: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    cell = np.eye(len(CLASSES) ** 2, dtype=np.int64)[classes * len(CLASSES) + predicted]
    return np.asarray(weights @ cell).reshape(len(weights), len(CLASSES), len(CLASSES))


def _accuracy(confusion: np.ndarray) -> np.ndarray:
    return np.asarray(np.trace(confusion, axis1=1, axis2=2) / confusion.sum(axis=(1, 2)))


def _f1(confusion: np.ndarray) -> np.ndarray:
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * hits / (confusion.sum(axis=1) + confusion.sum(axis=2)))


def _macro_f1(confusion: np.ndarray) -> np.ndarray:
    return np.asarray(np.nanmean(_f1(confusion), axis=1))


def _one_class(confusion: np.ndarray, index: int) -> dict[str, float | int | None]:
    hits, support, predicted = confusion[index, index], confusion[index].sum(), confusion[:, index].sum()
    return {
        "precision": float(hits / predicted) if predicted else None,
        "recall": float(hits / support) if support else None,
        "f1": float(2 * hits / (support + predicted)) if support + predicted else None,
        "support": int(support),
    }
