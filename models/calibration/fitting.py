"""Turn logits into probabilities that mean what they say.

A calibration is fitted on the validation part and never on test. Temperature changes no ranking of classes within a
text; vector scaling and isotonic regression may.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.calibration.forecasts import checked
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
    >>> from embargo.models.calibration.fitting import Curve
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
        from scipy.special import softmax

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
    scores, classes = checked(logits, labels)
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
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax, softmax

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
    from scipy.optimize import minimize
    from scipy.special import log_softmax, softmax

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
    from scipy.special import softmax
    from sklearn.isotonic import IsotonicRegression

    shares, floor = softmax(scores, axis=1), 1 / (len(classes) + 2)
    curves = []
    for index in range(len(CLASSES)):
        fitted = IsotonicRegression(y_min=floor, y_max=1 - floor, out_of_bounds="clip")
        fitted.fit(shares[:, index], (classes == index).astype(float))
        x, first = np.unique(fitted.X_thresholds_, return_index=True)
        curves.append(Curve(tuple(x.tolist()), tuple(fitted.y_thresholds_[first].tolist())))
    return Calibration(method="isotonic", curves=tuple(curves))
