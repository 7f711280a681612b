"""How far probabilities are from what happened: reliability by bins, calibration errors and the Brier score.

Each is a number of forecasts and labels alone; whether it could be chance, `significance` tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.fields import CLASSES
from embargo.models.calibration.forecasts import checked, design_effect, members_of


def wilson_interval(successes: np.ndarray, n: np.ndarray, *, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the (low, high) ends of the interval of a share, NaN where ``n`` is 0.

    Parameters
    ----------
    successes, n : ndarray or number, broadcast together
    level : float
        Coverage, in (0, 1); on average over shares close to it even for small n.

    Returns
    -------
    (low, high) : ndarrays of the common shape
        Fractions in [0, 1].

    References
    ----------
    Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models import wilson_interval
    >>> low, high = wilson_interval(np.array([8]), np.array([10]))
    >>> round(float(low[0]), 3), round(float(high[0]), 3)
    (0.49, 0.943)
    """
    from scipy.special import ndtri

    if not 0 < level < 1:
        raise ConfigError(f"wilson_interval: level {level} must lie in (0, 1).")
    hits, trials = np.broadcast_arrays(np.asarray(successes, dtype=float), np.asarray(n, dtype=float))
    z = float(ndtri((1 + level) / 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = hits / trials
        centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
        half = z / (1 + z * z / trials) * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def reliability_table(
    probs: np.ndarray,
    labels: np.ndarray,
    *,
    bins: int = 10,
    level: float = 0.95,
    groups: Sequence[Any] | np.ndarray | None = None,
) -> pd.DataFrame:
    """Compare confidence (the highest probability) with accuracy in bins of equal width.

    Parameters
    ----------
    probs : ndarray, shape (n, 3)
    labels : ndarray of int, shape (n,)
    bins : int
        Number of bins on (0, 1]; the first includes 0.
    level : float
        Coverage of each bin's interval, if its articles or groups are independent.
    groups : sequence of length n, optional
        Names clusters of dependent articles (near-duplicates, days): as many articles as the clusters are worth then
        make the interval. A day's article told ten times over counts once.

    Returns
    -------
    DataFrame with ``bins`` rows: ``lower, upper, confidence, accuracy`` (NaN in an empty bin), ``count``, and
    ``accuracy_low, accuracy_high`` (Wilson; NaN in an empty bin). A calibrated bin's confidence lies between them.

    References
    ----------
    Guo et al. 2017, arXiv 1706.04599. Dean & Pagano 2015, "Evaluating confidence interval methods for binomial
    proportions in clustered surveys" (Wilson's interval of the effective sample size).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models import reliability_table
    >>> probs = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    >>> labels = np.array([0, 2, 1, 2])
    >>> table = reliability_table(probs, labels, bins=5)
    >>> table.loc[table["count"] > 0, ["confidence", "accuracy", "count"]].round(2).values.tolist()
    [[0.8, 0.75, 4.0]]
    """
    values, classes = checked(probs, labels)
    _check_bins(bins, "reliability_table")
    members = members_of(groups, len(classes))
    edges = np.linspace(0.0, 1.0, bins + 1)
    confidence = values.max(axis=1)
    correct = values.argmax(axis=1) == classes
    position = _equal_width(confidence, bins)
    count = np.bincount(position, minlength=bins)
    hits = np.bincount(position, weights=correct, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(position, weights=confidence, minlength=bins) / count
        accuracy = hits / count
    worth = count.astype(float)
    if members is not None:
        for one in np.flatnonzero(count):
            inside = position == one
            worth[one] /= design_effect(correct[inside].astype(float), members[inside])
    low, high = wilson_interval(np.nan_to_num(accuracy) * worth, worth, level=level)
    return pd.DataFrame(
        {
            "lower": edges[:-1],
            "upper": edges[1:],
            "confidence": mean_confidence,
            "accuracy": accuracy,
            "count": count,
            "accuracy_low": low,
            "accuracy_high": high,
        }
    )


def expected_calibration_error(probs: np.ndarray, labels: np.ndarray, *, bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy over bins, weighted by their counts, in [0, 1].

    Parameters
    ----------
    probs : ndarray, shape (n, 3)
        Probabilities of bearish, neutral and bullish; rows sum to 1.
    labels : ndarray of int, shape (n,)
        0 bearish, 1 neutral, 2 bullish.
    bins : int
        Number of bins of equal width on (0, 1].

    Returns
    -------
    float
        A fraction; 0 if calibrated.

    References
    ----------
    Naeini, Cooper, Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning".

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models import expected_calibration_error
    >>> probs = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    >>> labels = np.array([0, 2, 1, 2])
    >>> round(expected_calibration_error(probs, labels), 3)
    0.05
    """
    table = reliability_table(probs, labels, bins=bins)
    gap = (table["confidence"] - table["accuracy"]).abs()
    return float((gap * table["count"]).sum() / table["count"].sum())


def adaptive_calibration_error(probs: np.ndarray, labels: np.ndarray, *, bins: int = 15) -> float:
    """Return the same as `expected_calibration_error` over bins of equal mass: as many articles in each.

    Bins of equal width leave most of them empty where a model is nearly always confident. Equal confidences share a
    bin, so that the order of articles does not matter.

    Parameters
    ----------
    probs : ndarray, shape (n, 3)
        Probabilities of bearish, neutral and bullish; rows sum to 1.
    labels : ndarray of int, shape (n,)
        0 bearish, 1 neutral, 2 bullish.
    bins : int
        Number of bins.

    Returns
    -------
    float
        A fraction in [0, 1]; 0 if calibrated.

    References
    ----------
    Nixon et al. 2019, "Measuring calibration in deep learning", arXiv 1904.01685.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models import adaptive_calibration_error
    >>> probs = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    >>> labels = np.array([0, 2, 1, 2])
    >>> round(adaptive_calibration_error(probs, labels), 3)
    0.05
    """
    values, classes = checked(probs, labels)
    _check_bins(bins, "adaptive_calibration_error")
    return _mean_gap(values.max(axis=1), values.argmax(axis=1) == classes, bins, _equal_mass)


def classwise_calibration_error(probs: np.ndarray, labels: np.ndarray, *, bins: int = 15) -> float:
    """Return the mean over classes of the gap between a class's probability and its frequency, bins of equal width.

    Confidence looks at the winning class alone; this sees the bearish probability of an article called neutral, too.

    Parameters
    ----------
    probs : ndarray, shape (n, 3)
        Probabilities of bearish, neutral and bullish; rows sum to 1.
    labels : ndarray of int, shape (n,)
        0 bearish, 1 neutral, 2 bullish.
    bins : int
        Number of bins.

    Returns
    -------
    float
        A fraction in [0, 1]; 0 if calibrated.

    References
    ----------
    Nixon et al. 2019, arXiv 1904.01685 (static calibration error); Kull et al. 2019, "Beyond temperature scaling",
    arXiv 1910.12656 (classwise-ECE).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models import classwise_calibration_error
    >>> probs = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    >>> labels = np.array([0, 2, 1, 2])
    >>> round(classwise_calibration_error(probs, labels), 3)
    0.183
    """
    values, classes = checked(probs, labels)
    _check_bins(bins, "classwise_calibration_error")
    return float(np.mean([_mean_gap(values[:, k], classes == k, bins, _equal_width) for k in range(len(CLASSES))]))


def brier_score(probs: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean squared distance between probabilities and outcomes, summed over classes, in [0, 2].

    Parameters
    ----------
    probs : ndarray, shape (n, 3)
        Probabilities of bearish, neutral and bullish; rows sum to 1.
    labels : ndarray of int, shape (n,)
        0 bearish, 1 neutral, 2 bullish.

    Returns
    -------
    float
        0 is perfect.

    References
    ----------
    Brier 1950, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models import brier_score
    >>> probs = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    >>> labels = np.array([0, 2, 1, 2])
    >>> round(brier_score(probs, labels), 3)
    0.41
    """
    values, classes = checked(probs, labels)
    return float(((values - np.eye(len(CLASSES))[classes]) ** 2).sum(axis=1).mean())


@dataclass(frozen=True)
class BrierDecomposition:
    """The Brier score in parts: ``reliability - resolution + uncertainty + within_bins``.

    Attributes
    ----------
    reliability : float
        Mean squared gap between probability and frequency, 0 if calibrated.
    resolution : float
        How far frequencies differ between bins: what the forecast knows. Higher is better.
    uncertainty : float
        The score of always forecasting the frequencies of the classes.
    within_bins : float
        What is lost by treating the probabilities in one bin as their mean; 0 where each bin holds one value.

    Examples
    --------
    >>> from embargo.models import BrierDecomposition
    >>> parts = BrierDecomposition(reliability=0.02, resolution=0.2, uncertainty=0.6, within_bins=0.0)
    >>> round(parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins, 2)
    0.42
    """

    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float


def brier_decomposition(probs: np.ndarray, labels: np.ndarray, *, bins: int = 15) -> BrierDecomposition:
    """Split the Brier score, class by class over bins of equal mass, and sum over classes.

    Parameters
    ----------
    probs : ndarray, shape (n, 3)
        Probabilities of bearish, neutral and bullish; rows sum to 1.
    labels : ndarray of int, shape (n,)
        0 bearish, 1 neutral, 2 bullish.
    bins : int
        Number of bins.

    Returns
    -------
    BrierDecomposition

    References
    ----------
    Murphy 1973, "A new vector partition of the probability score", Journal of Applied Meteorology 12. Stephenson,
    Coelho & Jolliffe 2008, "Two extra components in the Brier score decomposition", Weather and Forecasting 23.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models import brier_decomposition, brier_score
    >>> probs = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    >>> labels = np.array([0, 2, 1, 2])
    >>> parts = brier_decomposition(probs, labels)
    >>> whole = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins
    >>> round(whole, 3) == round(brier_score(probs, labels), 3)
    True
    """
    values, classes = checked(probs, labels)
    _check_bins(bins, "brier_decomposition")
    reliability = resolution = uncertainty = within = 0.0
    for k in range(len(CLASSES)):
        outcome = (classes == k).astype(float)
        position = _equal_mass(values[:, k], bins)
        count = np.bincount(position)
        means = np.bincount(position, weights=values[:, k]) / np.maximum(count, 1)
        filled = count > 0
        forecast, frequency = means[filled], np.bincount(position, weights=outcome)[filled] / count[filled]
        share, base = count[filled] / len(classes), outcome.mean()
        reliability += float(share @ (forecast - frequency) ** 2)
        resolution += float(share @ (frequency - base) ** 2)
        uncertainty += float(base * (1 - base))
        apart = values[:, k] - means[position]
        within += float((apart * (apart - 2 * outcome)).mean())
    return BrierDecomposition(reliability, resolution, uncertainty, within)


def _equal_width(values: np.ndarray, bins: int) -> np.ndarray:
    edges = np.linspace(0.0, 1.0, bins + 1)
    return np.asarray(np.clip(np.searchsorted(edges, values, side="left") - 1, 0, bins - 1))


def _equal_mass(values: np.ndarray, bins: int) -> np.ndarray:
    # Ranked by how many are smaller, so that equal values cannot be torn apart.
    return np.asarray(np.searchsorted(np.sort(values), values, side="left") * bins // len(values))


def _mean_gap(
    forecast: np.ndarray, hit: np.ndarray, bins: int, place: Callable[[np.ndarray, int], np.ndarray]
) -> float:
    gaps = np.bincount(place(forecast, bins), weights=forecast - hit, minlength=bins)
    return float(np.abs(gaps).sum() / len(forecast))


def _check_bins(bins: int, what: str) -> None:
    if bins < 1:
        raise ConfigError(f"{what} needs at least one bin, got {bins}.")
