"""What measures and tests of calibration are given: forecasts beside labels, and articles that depend on each other.

They are refused here where they cannot be judged, in one way for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.samples import group_members


def check_probabilities(values: np.ndarray, *, what: str) -> None:
    """Raise DataError if the rows of values, shape (n, classes), are not probabilities."""
    if np.abs(values.sum(axis=1) - 1).max() > 1e-6 or values.min() < 0:
        raise DataError(f"{what}: rows are no probabilities (negative, or their sum is not 1). Calibrate logits first.")


def members_of(groups: Sequence[Any] | np.ndarray | None, n: int) -> np.ndarray | None:
    """Return the number of the group of each of n articles, int64 of shape (n,); None without groups."""
    return None if groups is None else group_members(groups, n, what="calibration")


def design_effect(values: np.ndarray, members: np.ndarray) -> float:
    """Return how many times the variance of a mean is what it would be if the values were independent, at least 1."""
    apart = values - values.mean()
    alone = float((apart**2).sum())
    if alone <= 1e-12 * len(values):
        # Nothing varies, so nothing tells how alike the members of a group are: each group counts once.
        return len(values) / len(np.unique(members))
    return max(1.0, float((np.bincount(members, weights=apart) ** 2).sum()) / alone)


def checked(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return logits or probabilities as float64, labels as int64; what is empty, misshapen or not finite is refused."""
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
