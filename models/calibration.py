"""Turn logits into probabilities that mean what they say, and measure how far they do.

One temperature is fitted on the validation part and never on test; it changes no ranking of classes within a text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from data_loaders.errors import ConfigError, DataError
from data_loaders.schemas import CLASSES

TEMPERATURE_BOUNDS = (0.05, 20.0)


@dataclass(frozen=True)
class Calibration:
    """Temperature scaling: probabilities are ``softmax(logits / temperature)``.

    Attributes
    ----------
    temperature : float
        Above 1 softens overconfident logits, below 1 sharpens; 1 changes nothing.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.temperature) and self.temperature > 0):
            raise ConfigError(f"calibration temperature must be positive and finite, got {self.temperature}.")

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """Return probabilities, float64 of the logits' shape (n, 3); each row sums to 1."""
        return np.asarray(softmax(np.asarray(logits, dtype=float) / self.temperature, axis=1))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """Fit the temperature that minimises the negative log-likelihood (Guo et al. 2017, arXiv 1706.04599).

    Parameters
    ----------
    logits : ndarray, shape (n, 3)
    labels : ndarray of int, shape (n,)
        Of samples that the model was not fitted on, known before the test part begins.

    Returns
    -------
    Calibration with a temperature in [0.05, 20]; the bounds keep a perfectly separated validation part from
    claiming certainty.

    Raises
    ------
    DataError
        If there are no samples, shapes differ, or a logit is not finite.
    """
    scores, classes = _checked(logits, labels)

    def loss(log_temperature: float) -> float:
        log_probabilities = log_softmax(scores / np.exp(log_temperature), axis=1)
        return float(-log_probabilities[np.arange(len(classes)), classes].mean())

    low, high = np.log(TEMPERATURE_BOUNDS)
    # The loss is convex in 1/T, so the bounded search cannot stop in a second valley.
    best = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return Calibration(float(np.exp(best.x)))


def reliability_table(probs: np.ndarray, labels: np.ndarray, *, bins: int = 10) -> pd.DataFrame:
    """Compare confidence (the highest probability) with accuracy in bins of equal width.

    Parameters
    ----------
    probs : ndarray, shape (n, 3)
    labels : ndarray of int, shape (n,)
    bins : int
        Number of bins on (0, 1]; the first includes 0.

    Returns
    -------
    DataFrame with ``bins`` rows: ``lower, upper, confidence, accuracy`` (NaN in an empty bin) and ``count``.

    References
    ----------
    Guo et al. 2017, arXiv 1706.04599.
    """
    values, classes = _checked(probs, labels)
    if bins < 1:
        raise ConfigError(f"reliability_table needs at least one bin, got {bins}.")
    edges = np.linspace(0.0, 1.0, bins + 1)
    confidence = values.max(axis=1)
    correct = values.argmax(axis=1) == classes
    position = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(position, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(position, weights=confidence, minlength=bins) / count
        accuracy = np.bincount(position, weights=correct, minlength=bins) / count
    return pd.DataFrame(
        {
            "lower": edges[:-1],
            "upper": edges[1:],
            "confidence": mean_confidence,
            "accuracy": accuracy,
            "count": count,
        }
    )


def expected_calibration_error(probs: np.ndarray, labels: np.ndarray, *, bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy over bins, weighted by their counts, in [0, 1].

    References
    ----------
    Naeini, Cooper, Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning".
    """
    table = reliability_table(probs, labels, bins=bins)
    gap = (table["confidence"] - table["accuracy"]).abs()
    return float((gap * table["count"]).sum() / table["count"].sum())


def brier_score(probs: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean squared distance between probabilities and outcomes, summed over classes, in [0, 2].

    References
    ----------
    Brier 1950, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78.
    """
    values, classes = _checked(probs, labels)
    return float(((values - np.eye(len(CLASSES))[classes]) ** 2).sum(axis=1).mean())


def _checked(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, classes = np.asarray(values, dtype=float), np.asarray(labels)
    if len(scores) == 0:
        raise DataError("calibration: no samples. The validation part must not be empty.")
    if scores.shape != (len(classes), len(CLASSES)):
        raise DataError(
            f"calibration: values of shape {scores.shape} for {len(classes)} labels; expected (n, {len(CLASSES)})."
        )
    if not np.isfinite(scores).all():
        row = int(np.argmax(~np.isfinite(scores).all(axis=1)))
        raise DataError(f"calibration: row {row} is not finite: {scores[row]}. The model diverged; tune it anew.")
    if not np.isin(classes, range(len(CLASSES))).all():
        raise DataError("calibration: a label is not 0 (bearish), 1 (neutral) or 2 (bullish).")
    return scores, classes.astype(np.int64)
