"""Turn logits into probabilities that mean what they say, and measure how far they do.

A calibration is fitted on the validation part and never on test. Temperature changes no ranking of classes within a
text; vector scaling and isotonic regression may.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
from scipy.optimize import minimize, minimize_scalar
from scipy.special import erfc, log_softmax, ndtri, softmax

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.samples import group_members
from embargo.models.scorer import CalibrationMethod

TEMPERATURE_BOUNDS = (0.05, 20.0)
# A scale is the inverse of a temperature; a bias of 10 is odds of 22,000 to 1.
SCALE_BOUNDS = (1 / TEMPERATURE_BOUNDS[1], 1 / TEMPERATURE_BOUNDS[0])
BIAS_BOUNDS = (-10.0, 10.0)
# Samples of every class below which a method is refused: one temperature asks for none, vector scaling has five free
# parameters, and a step function follows noise where it is given few points (Niculescu-Mizil & Caruana 2005).
MINIMUM_PER_CLASS = {"temperature": 0, "vector": 10, "isotonic": 100}


@dataclass(frozen=True)
class Curve:
    """One class of an isotonic calibration: a non-decreasing, piecewise linear function of its uncalibrated share.

    Attributes
    ----------
    shares : tuple of float in [0, 1], strictly increasing
        Softmax of the logits; a share outside them takes the value at the nearer end.
    probabilities : tuple of float in (0, 1), as many, non-decreasing
        Clipped to [1 / (n + 2), 1 - 1 / (n + 2)] for n validation samples (Laplace's rule of succession), so that no
        class is ever impossible or certain.

    Examples
    --------
    >>> from embargo.models.calibration import Curve
    >>> Curve(shares=(0.2, 0.8), probabilities=(0.3, 0.6)).probabilities
    (0.3, 0.6)
    """

    shares: tuple[float, ...]
    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        x, y = np.asarray(self.shares, dtype=float), np.asarray(self.probabilities, dtype=float)
        if not (x.shape == y.shape and x.size and np.isfinite(x).all() and np.isfinite(y).all()):
            raise ConfigError("calibration curve: needs as many probabilities as shares, at least one, all finite.")
        if (np.diff(x) <= 0).any() or (np.diff(y) < 0).any() or y[0] <= 0 or y[-1] >= 1:
            raise ConfigError("calibration curve: shares must increase, probabilities not fall and lie within (0, 1).")


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities; the default changes nothing. Made by `fit_calibration`.

    Attributes
    ----------
    temperature : float
        Of temperature scaling, ``softmax(logits / temperature)``: above 1 softens overconfident logits, below 1
        sharpens. 1 with the other methods.
    method : {"temperature", "vector", "isotonic"}
    scales, biases : tuple of 3 floats
        Of vector scaling, ``softmax(scales * logits + biases)``; empty with the other methods.
    curves : tuple of 3 Curve
        Of isotonic regression, one class against the rest each; the three are divided by their sum. Empty with the
        other methods.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models import Calibration
    >>> logits = np.array([[2.0, 0.0, -2.0]])
    >>> Calibration().apply(logits).round(3).tolist()
    [[0.867, 0.117, 0.016]]
    >>> Calibration(temperature=2.0).apply(logits).round(3).tolist()
    [[0.665, 0.245, 0.09]]
    """

    temperature: float = 1.0
    method: CalibrationMethod = "temperature"
    scales: tuple[float, ...] = ()
    biases: tuple[float, ...] = ()
    curves: tuple[Curve, ...] = ()

    def __post_init__(self) -> None:
        if not (np.isfinite(self.temperature) and self.temperature > 0):
            raise ConfigError(f"calibration temperature must be positive and finite, got {self.temperature}.")
        _check_method(self.method)
        affine, stepped = (len(CLASSES) if self.method == name else 0 for name in ("vector", "isotonic"))
        sizes = (len(self.scales), len(self.biases), len(self.curves))
        if sizes != (affine, affine, stepped) or (self.method != "temperature" and self.temperature != 1.0):
            raise ConfigError(f"calibration by {self.method}: parameters do not belong to the method, got {self}.")
        if not (np.isfinite(self.scales).all() and np.isfinite(self.biases).all() and min(self.scales, default=1) > 0):
            raise ConfigError(f"calibration by vector scaling: scales must be positive, all finite, got {self}.")

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """Return probabilities, float64 of the logits' shape (n, 3); each row sums to 1."""
        values = np.asarray(logits, dtype=float)
        if self.method == "vector":
            return np.asarray(softmax(values * np.array(self.scales) + np.array(self.biases), axis=1))
        if self.method == "isotonic":
            shares = softmax(values, axis=1)
            columns = [np.interp(shares[:, k], c.shares, c.probabilities) for k, c in enumerate(self.curves)]
            bent = np.column_stack(columns)
            return np.asarray(bent / bent.sum(axis=1, keepdims=True))
        return np.asarray(softmax(values / self.temperature, axis=1))

    def to_dict(self) -> dict[str, Any]:
        """Return the method and its parameters, JSON-able; `from_dict` gives the same calibration to the last bit."""
        if self.method == "temperature":
            return {"method": self.method, "temperature": self.temperature}
        if self.method == "vector":
            return {"method": self.method, "scales": list(self.scales), "biases": list(self.biases)}
        curves = [{"shares": list(c.shares), "probabilities": list(c.probabilities)} for c in self.curves]
        return {"method": self.method, "curves": curves}

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Calibration:
        """Return the calibration that `to_dict` wrote.

        Raises
        ------
        ConfigError
            If entries are missing, unknown or impossible.
        """
        unknown = sorted(set(written) - {"method", "temperature", "scales", "biases", "curves"})
        if unknown or "method" not in written:
            raise ConfigError(f"calibration: cannot be read, entries {unknown or ['method']} are unknown or missing.")
        try:
            return cls(
                temperature=float(written.get("temperature", 1.0)),
                method=written["method"],
                scales=_floats(written.get("scales", ())),
                biases=_floats(written.get("biases", ())),
                curves=tuple(
                    Curve(_floats(curve["shares"]), _floats(curve["probabilities"]))
                    for curve in written.get("curves", ())
                ),
            )
        except (TypeError, ValueError, KeyError) as failure:
            raise ConfigError(f"calibration: cannot be read from {dict(written)} ({failure!r}).") from failure


def _check_method(method: str) -> None:
    if method not in get_args(CalibrationMethod):
        raise ConfigError(f"calibration method {method!r} is unknown. Choose one of {get_args(CalibrationMethod)}.")


def _floats(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def fit_calibration(
    method: CalibrationMethod, logits: np.ndarray, labels: np.ndarray, *, pseudo_samples: float = 0.0
) -> Calibration:
    """Fit a calibration on a validation part.

    Parameters
    ----------
    method : {"temperature", "vector", "isotonic"}
        Temperature and vector scaling minimise the negative log-likelihood (Guo et al. 2017); isotonic regression fits
        one class against the rest and normalises (Zadrozny & Elkan 2002). The last two shift a class that is predicted
        too often, which no temperature can; that may cost macro-F1, as a weak model turns to the frequent class.
        Isotonic needs the most samples.
    logits : ndarray, shape (n, 3)
    labels : ndarray of int, shape (n,)
        Of samples that the model was not fitted on, known before the test part begins.
    pseudo_samples : float
        How many samples the uncalibrated model's own word is worth, for temperature and vector scaling: the loss is
        that of n real labels and of this many labels drawn (in expectation) from ``softmax(logits)``, which alone would
        give temperature 1. It keeps a handful of separable samples from claiming near-certainty; its weight,
        ``pseudo_samples / (n + pseudo_samples)``, vanishes as n grows. 0 does nothing.

    Returns
    -------
    Calibration. Temperature and scales stay within a factor of 20 of 1, biases (which sum to 0) within [-10, 10] before
    centring.

    Raises
    ------
    ConfigError
        If the method is unknown, or pseudo samples are negative or given to isotonic regression.
    DataError
        If there are no samples, fewer of a class than `MINIMUM_PER_CLASS`, shapes differ or a logit is not finite.

    References
    ----------
    Guo et al. 2017, "On calibration of modern neural networks", arXiv 1706.04599. Zadrozny & Elkan 2002, "Transforming
    classifier scores into accurate multiclass probability estimates", KDD. Niculescu-Mizil & Caruana 2005, "Predicting
    good probabilities with supervised learning", ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models import fit_calibration
    >>> logits = np.array([[4.0, 0.0, 0.0]] * 4 + [[0.0, 0.0, 4.0]] * 4)
    >>> labels = np.array([0, 0, 0, 2, 2, 2, 2, 0])
    >>> found = fit_calibration("temperature", logits, labels)
    >>> round(found.temperature, 2)
    2.23
    >>> found.apply(logits[:1]).round(2).tolist()
    [[0.75, 0.13, 0.13]]
    """
    if not (np.isfinite(pseudo_samples) and pseudo_samples >= 0) or (method == "isotonic" and pseudo_samples):
        raise ConfigError(
            f"calibration by {method}: pseudo_samples {pseudo_samples} must be 0 or more, and 0 for isotonic, "
            "which takes no prior."
        )
    scores, classes = _checked(logits, labels)
    check_calibration(method, classes)
    if method == "isotonic":
        return _isotonic(scores, classes)
    fit = _temperature if method == "temperature" else _vector
    return fit(scores, classes, pseudo_samples)


def check_calibration(method: CalibrationMethod, labels: np.ndarray) -> None:
    """Refuse a method that cannot be fitted on a validation part, before anything costly is done for it.

    Raises
    ------
    ConfigError
        If the method is unknown.
    DataError
        If there are fewer samples of a class than `MINIMUM_PER_CLASS`.
    """
    _check_method(method)
    counts = np.bincount(np.asarray(labels, dtype=np.int64), minlength=len(CLASSES))
    if counts.min() < MINIMUM_PER_CLASS[method]:
        raise DataError(
            f"calibration by {method}: the validation part has {dict(zip(CLASSES, counts.tolist(), strict=True))} "
            f"samples; every class needs {MINIMUM_PER_CLASS[method]}. Use temperature, or a longer validation part."
        )


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """Fit one temperature on the labels alone: ``fit_calibration("temperature", logits, labels)``."""
    return fit_calibration("temperature", logits, labels)


def calibrated_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log-likelihood, nats, that is left after the best temperature."""
    probabilities = fit_temperature(logits, labels).apply(logits)
    own = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(own, np.finfo(float).tiny)).mean())


def _temperature(scores: np.ndarray, classes: np.ndarray, pseudo_samples: float) -> Calibration:
    n, own = len(classes), softmax(scores, axis=1)

    def loss(log_temperature: float) -> float:
        log_probabilities = log_softmax(scores / np.exp(log_temperature), axis=1)
        real = float(-log_probabilities[np.arange(n), classes].mean())
        if not pseudo_samples:
            return real
        prior = float(-(own * log_probabilities).sum(axis=1).mean())
        return (n * real + pseudo_samples * prior) / (n + pseudo_samples)

    low, high = np.log(TEMPERATURE_BOUNDS)
    # The loss is convex in 1/T, so the bounded search cannot stop in a second valley.
    best = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return Calibration(float(np.exp(best.x)))


def _vector(scores: np.ndarray, classes: np.ndarray, pseudo_samples: float) -> Calibration:
    n, k = scores.shape
    targets = (n * np.eye(k)[classes] + pseudo_samples * softmax(scores, axis=1)) / (n + pseudo_samples)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        log_probabilities = log_softmax(scores * parameters[:k] + parameters[k:], axis=1)
        slope = (np.exp(log_probabilities) - targets) / n
        gradient = np.concatenate([(slope * scores).sum(axis=0), slope.sum(axis=0)])
        return float(-(targets * log_probabilities).sum() / n), gradient

    best = minimize(
        loss,
        np.repeat([1.0, 0.0], k),
        jac=True,
        method="L-BFGS-B",
        bounds=[SCALE_BOUNDS] * k + [BIAS_BOUNDS] * k,
        options={"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-8},
    )
    # Equal biases change no probability; centring makes equal calibrations equal.
    biases = best.x[k:] - best.x[k:].mean()
    return Calibration(method="vector", scales=tuple(best.x[:k].tolist()), biases=tuple(biases.tolist()))


def _isotonic(scores: np.ndarray, classes: np.ndarray) -> Calibration:
    from sklearn.isotonic import IsotonicRegression

    shares, floor = softmax(scores, axis=1), 1 / (len(classes) + 2)
    curves = []
    for index in range(len(CLASSES)):
        fitted = IsotonicRegression(y_min=floor, y_max=1 - floor, out_of_bounds="clip")
        fitted.fit(shares[:, index], (classes == index).astype(float))
        x, first = np.unique(fitted.X_thresholds_, return_index=True)
        curves.append(Curve(tuple(x.tolist()), tuple(fitted.y_thresholds_[first].tolist())))
    return Calibration(method="isotonic", curves=tuple(curves))


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
    values, classes = _checked(probs, labels)
    _check_bins(bins, "reliability_table")
    members = _members(groups, len(classes))
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
            worth[one] /= _design_effect(correct[inside].astype(float), members[inside])
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
    values, classes = _checked(probs, labels)
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
    values, classes = _checked(probs, labels)
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
    values, classes = _checked(probs, labels)
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
    values, classes = _checked(probs, labels)
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


@dataclass(frozen=True)
class CalibrationTest:
    """Outcome of a test whose null hypothesis is perfect calibration.

    Attributes
    ----------
    z : float or None
        Standard normal under the null. Positive: the Brier score is worse than the probabilities promise
        (overconfident where they are far from even); negative: better. None if every probability is 0 or 1, or even.
    p_value : float or None
        Two-sided.

    Examples
    --------
    >>> from embargo.models import CalibrationTest
    >>> CalibrationTest(z=2.5, p_value=0.012).z > 0  # worse than promised: overconfident
    True
    """

    z: float | None
    p_value: float | None


def calibration_test(
    probs: np.ndarray, labels: np.ndarray, *, groups: Sequence[Any] | np.ndarray | None = None
) -> CalibrationTest:
    """Test whether whole forecasts are calibrated: whether the Brier score is what the probabilities promise.

    Parameters
    ----------
    probs : ndarray, shape (n, 3)
    labels : ndarray of int, shape (n,)
        Of articles that the calibration was not fitted on.
    groups : sequence of length n, optional
        Names clusters of dependent articles, as in `reliability_table`. Without, articles must be independent:
        near-duplicates make the test reject too often.

    Returns
    -------
    CalibrationTest

    References
    ----------
    Spiegelhalter 1986, "Probabilistic prediction in patient management and clinical trials", Statistics in Medicine 5.
    His two outcomes are generalised to any number: given p, the Brier score varies only through the probability of the
    class that occurs, which has mean sum(p^2) and variance sum(p^3) - sum(p^2)^2.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models import calibration_test
    >>> probs = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    >>> labels = np.array([0, 2, 1, 2])
    >>> found = calibration_test(probs, labels)
    >>> round(found.z, 2), round(found.p_value, 2)
    (0.25, 0.8)
    """
    return _spiegelhalter(*_checked(probs, labels), groups)


def confidence_test(
    probs: np.ndarray, labels: np.ndarray, *, groups: Sequence[Any] | np.ndarray | None = None
) -> CalibrationTest:
    """Test whether confidence is the probability of being right: of the articles scored 0.8, whether 80 % are right.

    Reference as in `calibration_test`; the forecast is (confidence, 1 - confidence) of (right, wrong).
    Confidence near 0.5 carries no weight in it; `reliability_table` shows each bin with its interval.

    Parameters
    ----------
    probs : ndarray, shape (n, 3)
        Probabilities of bearish, neutral and bullish; rows sum to 1.
    labels : ndarray of int, shape (n,)
        0 bearish, 1 neutral, 2 bullish.
    groups : sequence of length n, optional
        Names clusters of dependent articles, as in `reliability_table`.

    Returns
    -------
    CalibrationTest

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models import confidence_test
    >>> probs = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    >>> labels = np.array([0, 2, 1, 2])
    >>> found = confidence_test(probs, labels)
    >>> round(found.z, 2), round(found.p_value, 2)
    (0.25, 0.8)
    """
    values, classes = _checked(probs, labels)
    confidence = values.max(axis=1)
    wrong = (values.argmax(axis=1) != classes).astype(np.int64)
    return _spiegelhalter(np.column_stack([confidence, 1 - confidence]), wrong, groups)


def _spiegelhalter(
    values: np.ndarray, classes: np.ndarray, groups: Sequence[Any] | np.ndarray | None
) -> CalibrationTest:
    check_probabilities(values, what="calibration test")
    promised = (values**2).sum(axis=1)
    variance = float(np.maximum((values**3).sum(axis=1) - promised**2, 0.0).sum())
    if variance <= 1e-12 * len(classes):
        return CalibrationTest(None, None)
    surprises, members = promised - values[np.arange(len(classes)), classes], _members(groups, len(classes))
    if members is not None:
        variance *= _design_effect(surprises, members)
    z = float(surprises.sum() / np.sqrt(variance))
    return CalibrationTest(z, float(erfc(abs(z) / np.sqrt(2))))


def check_probabilities(values: np.ndarray, *, what: str) -> None:
    """Raise DataError if the rows of values, shape (n, classes), are not probabilities."""
    if np.abs(values.sum(axis=1) - 1).max() > 1e-6 or values.min() < 0:
        raise DataError(f"{what}: rows are no probabilities (negative, or their sum is not 1). Calibrate logits first.")


def _members(groups: Sequence[Any] | np.ndarray | None, n: int) -> np.ndarray | None:
    return None if groups is None else group_members(groups, n, what="calibration")


def _design_effect(values: np.ndarray, members: np.ndarray) -> float:
    """Return how many times the variance of a mean is what it would be if the values were independent, at least 1."""
    apart = values - values.mean()
    alone = float((apart**2).sum())
    if alone <= 1e-12 * len(values):
        # Nothing varies, so nothing tells how alike the members of a group are: each group counts once.
        return len(values) / len(np.unique(members))
    return max(1.0, float((np.bincount(members, weights=apart) ** 2).sum()) / alone)


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
