"""Fuse what the news say with what the market did into one calibrated guess at the next bars' direction.

Everything that is learnt, from thresholds between classes and missing values to weights, comes from the training
samples alone, and the calibration from the validation samples alone; a signal is refused on rows decided before either
was known. A fitted model is a JSON manifest and a file of arrays, applied without the library that fitted it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from embargo.data_loaders.errors import ConfigError, DataError, LeakError, MissingPartError
from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.labels import cut_classes, fit_thresholds
from embargo.signals.fusion.head import HeadSettings, head_logits, train_head
from embargo.signals.fusion.samples import GROUPS, FusionInputs, chosen_cells

FusionKind = Literal["logistic", "boosting", "neural"]
FusionTarget = Literal["relative", "absolute"]
FusionClasses = Literal["direction", "three"]

MANIFEST, ARRAYS = "fusion.json", "fusion.safetensors"
# Fewer samples of a class than this say nothing about it.
MINIMUM_PER_CLASS = 5
SCALE_BOUNDS = (0.0, 20.0)
BIAS_BOUNDS = (-10.0, 10.0)
# Cells predicted at once, which bounds memory.
BLOCK = 65_536
_NODE = {
    "feature_idx": np.int64,
    "num_threshold": np.float64,
    "missing_go_to_left": np.uint8,
    "left": np.int64,
    "right": np.int64,
    "is_leaf": np.uint8,
    "value": np.float64,
}


@dataclass(frozen=True)
class FusionSettings:
    """What to predict, and with what.

    Attributes
    ----------
    kind : {"logistic", "boosting", "neural"}
        Logistic regression, histogram gradient boosting (both scikit-learn), or `embargo.signals.fusion.head`.
    target : {"relative", "absolute"}
        The return to predict: less the mean of all symbols, or as it is.
    classes : {"direction", "three"}
        Up or down, where samples that did not move are set aside and counted; or up, flat and down, cut at quantiles
        of the training returns.
    neutral_share : float
        Share of training samples that is flat, in (0, 1); for three classes only.
    strength : float
        Logistic regression: inverse of the L2 penalty.
    trees, leaves, min_leaf : int
        Boosting: most trees (per class), leaves of one, and samples in a leaf.
    learning_rate : float
        Boosting: weight of each tree.
    patience : int
        Boosting: trees without a lower stopping loss after which it ends.
    head : HeadSettings
        The neural head.
    stop_share : float
        Share of the training samples, the latest ones, that tells boosting and the head when to stop, in (0, 0.5].
    tails : float
        Share at each end of a feature's training values to which values are clipped, in [0, 0.5); not for boosting.
    min_samples : int
        Fewest training and fewest validation samples.
    seed : int

    Examples
    --------
    >>> from embargo.signals.fusion import FusionSettings
    >>> FusionSettings(classes='three').names
    ('bearish', 'neutral', 'bullish')
    """

    kind: FusionKind = "logistic"
    target: FusionTarget = "relative"
    classes: FusionClasses = "direction"
    neutral_share: float = 1 / 3
    strength: float = 0.1
    trees: int = 200
    leaves: int = 8
    min_leaf: int = 50
    learning_rate: float = 0.05
    patience: int = 10
    head: HeadSettings = field(default_factory=HeadSettings)
    stop_share: float = 0.2
    tails: float = 0.005
    min_samples: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("kind", FusionKind), ("target", FusionTarget), ("classes", FusionClasses)):
            if getattr(self, name) not in get_args(known):
                raise ConfigError(f"fusion: {name} must be one of {get_args(known)}, got {getattr(self, name)!r}.")
        if not 0.0 < self.neutral_share < 1.0:
            raise ConfigError(f"fusion: neutral_share must lie between 0 and 1, got {self.neutral_share}.")
        if not (self.strength > 0.0 and self.learning_rate > 0.0):
            raise ConfigError("fusion: strength and learning_rate must be positive.")
        if min(self.trees, self.min_leaf, self.patience, self.min_samples) < 1 or self.leaves < 2:
            raise ConfigError("fusion: trees, min_leaf, patience and min_samples must be at least 1, leaves 2.")
        if not (0.0 < self.stop_share <= 0.5 and 0.0 <= self.tails < 0.5):
            raise ConfigError("fusion: stop_share must lie in (0, 0.5] and tails in [0, 0.5).")

    @property
    def names(self) -> tuple[str, ...]:
        """Classes in the order of the probabilities, the falling one first, the rising one last."""
        return CLASSES if self.classes == "three" else (CLASSES[0], CLASSES[2])


@dataclass(frozen=True)
class FusionModel:
    """A fitted and calibrated fusion; made by `fit_fusion` or `load_fusion`.

    Attributes
    ----------
    settings : FusionSettings
    features : tuple of str
        Columns it reads, in order.
    thresholds : tuple of two floats
        Returns below the first are falling, above the second rising.
    arrays : dict of str to ndarray
        Everything else that was learnt from training.
    scale : float
        Calibration: factor of the logits, not negative; 0 where validation found no skill, and then every cell gets
        the shares of the classes in validation.
    biases : tuple of float
        Calibration: added to the scaled logits of each class; the first is 0.
    trained_until : Timestamp
        Latest instant that training and validation samples knew, UTC.
    record : dict
        How it went: counts of samples and classes, losses, versions. JSON-able; in no hash.

    Examples
    --------
    >>> from embargo.signals.fusion import FusionModel
    >>> FusionModel.__match_args__[:4]
    ('settings', 'features', 'thresholds', 'arrays')
    """

    settings: FusionSettings
    features: tuple[str, ...]
    thresholds: tuple[float, float]
    arrays: dict[str, np.ndarray]
    scale: float
    biases: tuple[float, ...]
    trained_until: pd.Timestamp
    record: dict[str, Any]

    @property
    def fitted_hash(self) -> str:
        """SHA-256 of all that was learnt from training, whatever validation and test hold; 64 hex digits."""
        digest = hashlib.sha256(_canonical([asdict(self.settings), self.features, self.thresholds]))
        for name in sorted(self.arrays):
            array = self.arrays[name]
            digest.update(_canonical([name, str(array.dtype), array.shape]))
            digest.update(array.tobytes())
        return digest.hexdigest()

    @property
    def state_hash(self) -> str:
        """SHA-256 of the same, the calibration and ``trained_until``; 64 hex digits."""
        return hashlib.sha256(
            _canonical([self.fitted_hash, self.scale, self.biases, self.trained_until.isoformat()])
        ).hexdigest()

    def manifest(self) -> dict[str, Any]:
        """Describe the model: JSON-able, and enough to read it back together with its arrays."""
        return {
            "settings": asdict(self.settings),
            "features": list(self.features),
            "classes": list(self.settings.names),
            "thresholds": list(self.thresholds),
            "calibration": {"scale": self.scale, "biases": list(self.biases)},
            "trained_until": self.trained_until.isoformat(),
            "record": self.record,
            "fitted_hash": self.fitted_hash,
            "state_hash": self.state_hash,
        }

    def logits(self, values: np.ndarray) -> np.ndarray:
        """Return uncalibrated logits, float64 of shape (n, classes), for features of shape (n, features)."""
        if self.settings.kind == "boosting":
            return _boosted(self.arrays, values)
        inputs = _prepared(self.arrays, self.features, values)
        if self.settings.kind == "neural":
            return head_logits(self.arrays, inputs)
        joined = np.concatenate([inputs[name] for name in GROUPS], axis=1)
        # Not a matrix product, whose last bits hang on how many rows there are.
        return _both(np.einsum("ij,kj->ik", joined, self.arrays["coefficients"]) + self.arrays["intercepts"])

    def probabilities(self, samples: pd.DataFrame) -> np.ndarray:
        """Return calibrated probabilities of ``settings.names``, float64 of shape (n, classes); each row sums to 1.

        Raises
        ------
        DataError
            If a feature has no column.
        """
        return self._calibrated(_features(samples, self.features, "samples"))

    def _calibrated(self, values: np.ndarray) -> np.ndarray:
        found = np.empty((len(values), len(self.settings.names)))
        for start in range(0, len(values), BLOCK):
            rows = slice(start, start + BLOCK)
            found[rows] = softmax(self.scale * self.logits(values[rows]) + np.array(self.biases), axis=1)
        return found


def fusion_signal(
    model: FusionModel, inputs: FusionInputs, rows: slice, *, mask: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Predict rows: probability of rising less probability of falling, in [-1, 1], known before each row opens.

    Parameters
    ----------
    model : FusionModel
    inputs : FusionInputs
        Features of all bars.
    rows : slice
        Positions of the rows to predict.
    mask : DataFrame of bool, shape (bars, symbols), optional
        Cells to predict. The others, and those where no feature speaks, are exactly 0.

    Returns
    -------
    DataFrame, shape (rows, symbols)

    Raises
    ------
    LeakError
        If a row is decided before all that the model learnt from was known.
    DataError
        If a feature of the model is missing, or the mask is labelled differently.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.data_loaders.schemas import Prices
    >>> from embargo.signals.fusion import (
    ...     fit_fusion,
    ...     fusion_inputs,
    ...     fusion_samples,
    ...     fusion_signal,
    ...     market_features,
    ... )
    >>> rng = np.random.default_rng(1)
    >>> days = pd.date_range('2024-01-01', periods=300, tz='UTC')
    >>> close = pd.DataFrame(100.0 * np.exp(rng.normal(0.0, 0.01, (300, 3)).cumsum(axis=0)), days, list('ABC'))
    >>> day = pd.Timedelta('1D')
    >>> prices = Prices(close, 1.01 * close, 0.99 * close, close, 0.0 * close + 1e6, days, days + day, '24/7')
    >>> market = market_features(prices, np.arange(300) - 1, names=['return_1', 'return_5'])
    >>> inputs = fusion_inputs({}, market.panels, days - pd.Timedelta('5min'))
    >>> samples = fusion_samples(inputs, prices).frame
    >>> model = fit_fusion(samples[samples['row'] < 180], samples[samples['row'].between(190, 240)])
    >>> signal = fusion_signal(model, inputs, slice(250, 300))
    >>> signal.shape, bool((signal.abs() <= 1.0).all(axis=None))
    ((50, 3), True)
    """
    decided = inputs.decided_at[rows]
    if len(decided) and decided.min() < model.trained_until:
        raise LeakError(
            f"fusion: the model learnt from what was known by {model.trained_until}, and row {rows.start or 0} is "
            f"decided at {decided.min()}. Predict later rows, or fit on earlier samples."
        )
    absent = [name for name in model.features if name not in inputs.panels]
    if absent:
        raise DataError(f"fusion: the model reads {absent}, which the inputs lack. Make them as for its samples.")
    wanted = (chosen_cells(inputs, mask) & inputs.speaking())[rows]
    row, column = np.nonzero(wanted)
    chosen = FusionInputs({name: inputs.panels[name].iloc[rows] for name in model.features}, decided)
    shares = model._calibrated(chosen.take(model.features, row, column))
    signal = np.zeros(wanted.shape)
    signal[row, column] = np.clip(shares[:, -1] - shares[:, 0], -1.0, 1.0)
    return pd.DataFrame(signal, index=inputs.frame.index[rows], columns=inputs.frame.columns)


def fit_fusion(train: pd.DataFrame, validation: pd.DataFrame, settings: FusionSettings | None = None) -> FusionModel:
    """Fit on training samples, calibrate on validation samples.

    Parameters
    ----------
    train, validation : DataFrame
        Samples of `fusion_samples`, purged by ``splits.part_of``; in any order. Boosting and the head stop by the
        latest ``stop_share`` of ``train``, purged likewise, so that validation is left to the calibration.
    settings : FusionSettings, optional

    Returns
    -------
    FusionModel
        The calibration scales the logits and adds a bias per class: Platt's method for two classes, temperature scaling
        with bias correction for three (Platt 1999; Alexandari, Kundaje & Shrikumar 2020).

    Raises
    ------
    DataError
        If a part has too few samples, lacks a class or a feature; if a feature is missing in all training samples; or
        if all returns are 0, as relative returns of a single symbol are.
    LeakError
        If a training label was not known before the first validation sample.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.data_loaders.schemas import Prices
    >>> from embargo.signals.fusion import fit_fusion, fusion_inputs, fusion_samples, market_features
    >>> rng = np.random.default_rng(1)
    >>> days = pd.date_range('2024-01-01', periods=300, tz='UTC')
    >>> close = pd.DataFrame(100.0 * np.exp(rng.normal(0.0, 0.01, (300, 3)).cumsum(axis=0)), days, list('ABC'))
    >>> day = pd.Timedelta('1D')
    >>> prices = Prices(close, 1.01 * close, 0.99 * close, close, 0.0 * close + 1e6, days, days + day, '24/7')
    >>> market = market_features(prices, np.arange(300) - 1, names=['return_1', 'return_5'])
    >>> inputs = fusion_inputs({}, market.panels, days - pd.Timedelta('5min'))
    >>> samples = fusion_samples(inputs, prices).frame
    >>> model = fit_fusion(samples[samples['row'] < 180], samples[samples['row'].between(190, 240)])
    >>> model.settings.kind, {name: round(loss, 3) for name, loss in model.record['validation_loss'].items()}
    ('logistic', {'uncalibrated': 0.693, 'calibrated': 0.691, 'shares': 0.692})
    """
    settings = FusionSettings() if settings is None else settings
    order = ["known_at", "article_id"]
    train, validation = (part.sort_values(order, kind="stable", ignore_index=True) for part in (train, validation))
    features = tuple(name for name in train.columns if name.split(".")[0] in GROUPS and "." in name)
    for name, part in (("training", train), ("validation", validation)):
        if len(part) < settings.min_samples:
            raise DataError(
                f"fusion: {len(part)} {name} samples, fewer than {settings.min_samples}. Lengthen the {name} window, "
                "widen the mask or lower min_samples."
            )
    if train["ends_at"].max() >= validation["known_at"].min():
        late = train.iloc[int(train["ends_at"].argmax())]
        raise LeakError(
            f"fusion: the label of training sample {late['article_id']!r} ends at {late['ends_at']}, not before the "
            f"first validation sample is known at {validation['known_at'].min()}. Split with splits.part_of."
        )
    thresholds = _thresholds(train, settings)
    learn, stop = train, train.iloc[:0]
    if settings.kind != "logistic":
        learn, stop = _stopping(train, settings)
    x, y = _labelled(learn, features, thresholds, settings, "training")
    unknown = [name for name, known in zip(features, np.isfinite(x).any(axis=0), strict=True) if not known]
    if unknown or not features:
        raise DataError(f"fusion: {unknown or 'all features'} are missing in training. Drop them or train on more.")
    arrays, losses = _fitted(x, y, stop, features, thresholds, settings)
    both = pd.concat([train[["known_at", "ends_at"]], validation[["known_at", "ends_at"]]])
    model = FusionModel(
        settings=settings,
        features=features,
        thresholds=thresholds,
        # The order in memory would change last digits, and a file does not keep it.
        arrays={name: np.ascontiguousarray(array) for name, array in arrays.items()},
        scale=1.0,
        biases=(0.0,) * len(settings.names),
        trained_until=both.max().max().tz_convert("UTC"),
        record={},
    )
    held_out, answers = _labelled(validation, features, thresholds, settings, "validation")
    logits = model.logits(held_out)
    scale, biases = _calibration(logits, answers)
    calibrated = replace(model, scale=scale, biases=biases)
    record = {
        "learnt": _tally(y, settings),
        "stopping": len(stop),
        "validation": _tally(answers, settings),
        "unchanged": {"training": len(learn) - len(y), "validation": len(validation) - len(answers)},
        "missing": {name: int(np.isnan(x[:, i]).sum()) for i, name in enumerate(features)},
        "constant": [name for name, wide in zip(features, np.nanmax(x, 0) > np.nanmin(x, 0), strict=True) if not wide],
        "losses": losses,
        "validation_loss": {
            "uncalibrated": _loss(logits, answers),
            "calibrated": _loss(scale * logits + np.array(biases), answers),
            "shares": _loss(np.log(np.bincount(answers) / len(answers))[None, :].repeat(len(answers), 0), answers),
        },
        "versions": {name: version(name) for name in ("numpy", "scikit-learn", "torch")},
    }
    return replace(calibrated, record=record)


def _loss(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def _tally(labels: np.ndarray, settings: FusionSettings) -> dict[str, int]:
    return {name: int((labels == code).sum()) for code, name in enumerate(settings.names)}


def _features(samples: pd.DataFrame, names: Sequence[str], what: str) -> np.ndarray:
    absent = [name for name in names if name not in samples.columns]
    if absent:
        raise DataError(f"fusion: the {what} have no {absent}. Make them with fusion_samples from the same features.")
    return np.asarray(samples[list(names)].to_numpy(dtype=float))


def _thresholds(train: pd.DataFrame, settings: FusionSettings) -> tuple[float, float]:
    values = train[settings.target].to_numpy(dtype=float)
    if not np.isfinite(values).all() or not values.any():
        raise DataError(
            f"fusion: the {settings.target} returns of the {len(values)} training samples ("
            f"{train['symbol'].nunique()} symbols) are all 0 or some are missing. With one symbol use "
            "target = 'absolute'."
        )
    return (0.0, 0.0) if settings.classes == "direction" else fit_thresholds(values, settings.neutral_share)


def _stopping(train: pd.DataFrame, settings: FusionSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Set the latest samples aside, and purge those whose label reaches them."""
    begins = train["known_at"].iloc[int(len(train) * (1.0 - settings.stop_share))]
    return train.loc[train["ends_at"] < begins], train.loc[train["known_at"] >= begins]


def _labelled(
    part: pd.DataFrame, features: Sequence[str], thresholds: tuple[float, float], settings: FusionSettings, what: str
) -> tuple[np.ndarray, np.ndarray]:
    returns = part[settings.target].to_numpy(dtype=float)
    if settings.classes == "direction":
        part, returns = part.loc[returns != 0.0], returns[returns != 0.0]
        labels = (returns > 0.0).astype(np.int64)
    else:
        labels = cut_classes(returns, *thresholds)
    tally = _tally(labels, settings)
    if min(tally.values()) < MINIMUM_PER_CLASS:
        span = f"from {part['known_at'].min()} to {part['known_at'].max()}" if len(part) else "none at all"
        raise DataError(
            f"fusion: {what} samples by class are {tally} ({span}); each class needs {MINIMUM_PER_CLASS}. Lengthen "
            "the window or widen the mask."
        )
    return _features(part, features, f"{what} samples"), labels


def _fitted(
    x: np.ndarray,
    y: np.ndarray,
    stop: pd.DataFrame,
    features: tuple[str, ...],
    thresholds: tuple[float, float],
    settings: FusionSettings,
) -> tuple[dict[str, np.ndarray], list[float]]:
    if settings.kind == "logistic":
        from sklearn.linear_model import LogisticRegression

        scaling = _scaling(x, settings.tails)
        inputs = _prepared(scaling, features, x)
        model = LogisticRegression(C=settings.strength, max_iter=1000, tol=1e-8)
        model.fit(np.concatenate([inputs[name] for name in GROUPS], axis=1), y)
        return scaling | {"coefficients": model.coef_, "intercepts": model.intercept_}, []
    later, answers = _labelled(stop, features, thresholds, settings, "stopping (the latest training)")
    if settings.kind == "boosting":
        return _boost(x, y, later, answers, settings)
    scaling = _scaling(x, settings.tails)
    head = train_head(
        _prepared(scaling, features, x),
        y,
        _prepared(scaling, features, later),
        answers,
        classes=len(settings.names),
        settings=settings.head,
        seed=settings.seed,
    )
    return scaling | head.arrays, list(head.losses)


def _scaling(x: np.ndarray, tails: float) -> dict[str, np.ndarray]:
    """Learn what replaces missing values, where tails are clipped, and centre and width of what comes out."""
    missing = np.isnan(x)
    low, median, high = np.nanquantile(x, [tails, 0.5, 1.0 - tails], axis=0)
    complete = np.clip(np.where(missing, median, x), low, high)
    width = complete.std(axis=0)
    # A feature that does not vary says nothing: its weight is multiplied by 0.
    varies = width > 1e-12 * np.maximum(np.abs(complete).max(axis=0), np.finfo(float).tiny)
    inverse = np.divide(1.0, width, out=np.zeros_like(width), where=varies)
    return {
        "scaling.median": median,
        "scaling.low": low,
        "scaling.high": high,
        "scaling.mean": complete.mean(axis=0),
        "scaling.inverse_width": inverse,
        "scaling.flagged": missing.any(axis=0).astype(np.uint8),
    }


def _prepared(arrays: Mapping[str, np.ndarray], features: Sequence[str], x: np.ndarray) -> dict[str, np.ndarray]:
    """Complete, clip and standardise, and flag what was missing of features that miss values in training."""
    missing = np.isnan(x)
    complete = np.where(missing, arrays["scaling.median"], x)
    clipped = np.clip(complete, arrays["scaling.low"], arrays["scaling.high"])
    standard = (clipped - arrays["scaling.mean"]) * arrays["scaling.inverse_width"]
    flagged = arrays["scaling.flagged"].astype(bool)
    groups = {}
    for group in GROUPS:
        mine = np.array([name.startswith(f"{group}.") for name in features])
        joined = np.concatenate([standard[:, mine], missing[:, mine & flagged].astype(float)], axis=1)
        groups[group] = np.ascontiguousarray(joined)
    return groups


def _boost(
    x: np.ndarray, y: np.ndarray, later: np.ndarray, answers: np.ndarray, settings: FusionSettings
) -> tuple[dict[str, np.ndarray], list[float]]:
    """Grow trees, and take them out of scikit-learn as arrays of nodes; a split sends missing values its own way."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=settings.trees,
        max_leaf_nodes=settings.leaves,
        min_samples_leaf=settings.min_leaf,
        learning_rate=settings.learning_rate,
        early_stopping=True,
        n_iter_no_change=settings.patience,
        random_state=settings.seed,
    )
    model.fit(x, y, X_val=later, y_val=answers)
    trees = [tree.nodes for each in model._predictors for tree in each]
    arrays = {
        f"trees.{name}": np.concatenate([tree[name] for tree in trees]).astype(kind) for name, kind in _NODE.items()
    }
    arrays["trees.start"] = np.cumsum([0, *(len(tree) for tree in trees)]).astype(np.int64)
    arrays["trees.baseline"] = np.asarray(model._baseline_prediction, dtype=float).reshape(-1)
    return arrays, [float(-score) for score in model.validation_score_]


def _boosted(arrays: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    starts, baseline = arrays["trees.start"], arrays["trees.baseline"]
    total = np.repeat(baseline[None, :], len(x), axis=0)
    every = np.arange(len(x))
    for tree in range(len(starts) - 1):
        nodes = {name: arrays[f"trees.{name}"][starts[tree] : starts[tree + 1]] for name in _NODE}
        at = np.zeros(len(x), dtype=np.int64)
        while not nodes["is_leaf"][at].all():
            value = x[every, nodes["feature_idx"][at]]
            left = np.where(np.isnan(value), nodes["missing_go_to_left"][at] > 0, value <= nodes["num_threshold"][at])
            ahead = np.where(left, nodes["left"][at], nodes["right"][at])
            at = np.where(nodes["is_leaf"][at] > 0, at, ahead)
        total[:, tree % len(baseline)] += nodes["value"][at]
    return _both(total)


def _both(logits: np.ndarray) -> np.ndarray:
    """Give the falling one of two classes a logit of its own, which is 0."""
    return np.asarray(logits if logits.shape[1] > 1 else np.concatenate([np.zeros_like(logits), logits], axis=1))


def _calibration(logits: np.ndarray, labels: np.ndarray) -> tuple[float, tuple[float, ...]]:
    """Minimise the mean log loss, convex in scale and biases."""
    number, classes = logits.shape
    hit = np.eye(classes)[labels]

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        shifted = point[0] * logits + np.concatenate([[0.0], point[1:]])
        excess = (softmax(shifted, axis=1) - hit) / number
        return _loss(shifted, labels), np.concatenate([[(excess * logits).sum()], excess[:, 1:].sum(axis=0)])

    start = np.concatenate([[1.0], np.zeros(classes - 1)])
    bounds = [SCALE_BOUNDS, *[BIAS_BOUNDS] * (classes - 1)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-14, "gtol": 1e-9})
    return float(found.x[0]), (0.0, *(float(bias) for bias in found.x[1:]))


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def save_fusion(model: FusionModel, folder: Path) -> None:
    """Write ``fusion.json`` and ``fusion.safetensors`` into an existing folder.

    Parameters
    ----------
    model : FusionModel
    folder : Path

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.data_loaders.schemas import Prices
    >>> from embargo.signals.fusion import fit_fusion, fusion_inputs, fusion_samples, market_features
    >>> from embargo.signals.fusion import load_fusion, save_fusion
    >>> rng = np.random.default_rng(1)
    >>> days = pd.date_range('2024-01-01', periods=300, tz='UTC')
    >>> close = pd.DataFrame(100.0 * np.exp(rng.normal(0.0, 0.01, (300, 3)).cumsum(axis=0)), days, list('ABC'))
    >>> day = pd.Timedelta('1D')
    >>> prices = Prices(close, 1.01 * close, 0.99 * close, close, 0.0 * close + 1e6, days, days + day, '24/7')
    >>> market = market_features(prices, np.arange(300) - 1, names=['return_1', 'return_5'])
    >>> inputs = fusion_inputs({}, market.panels, days - pd.Timedelta('5min'))
    >>> samples = fusion_samples(inputs, prices).frame
    >>> model = fit_fusion(samples[samples['row'] < 180], samples[samples['row'].between(190, 240)])
    >>> with TemporaryDirectory() as folder:
    ...     save_fusion(model, Path(folder))
    ...     load_fusion(Path(folder)).state_hash == model.state_hash
    True
    """
    from safetensors.numpy import save_file

    save_file(model.arrays, folder / ARRAYS)
    (folder / MANIFEST).write_text(json.dumps(model.manifest(), indent=2) + "\n", encoding="utf-8")


def load_fusion(folder: Path) -> FusionModel:
    """Read what `save_fusion` wrote: the same model to the last bit.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    FusionModel

    Raises
    ------
    MissingPartError
        If a file is not there.
    DataError
        If a file cannot be read, or is not as it was written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.signals.fusion import load_fusion
    >>> load_fusion(Path('nowhere'))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.MissingPartError: fusion: nowhere/fusion.json is not there. ...
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    for name in (MANIFEST, ARRAYS):
        if not (folder / name).is_file():
            raise MissingPartError(f"fusion: {folder / name} is not there. Save the model again with save_fusion.")
    try:
        written = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        chosen = {**written["settings"], "head": HeadSettings(**written["settings"]["head"])}
        model = FusionModel(
            settings=FusionSettings(**{each.name: chosen.pop(each.name) for each in fields(FusionSettings)}),
            features=tuple(written["features"]),
            thresholds=(float(written["thresholds"][0]), float(written["thresholds"][1])),
            arrays=load_file(folder / ARRAYS),
            scale=float(written["calibration"]["scale"]),
            biases=tuple(float(bias) for bias in written["calibration"]["biases"]),
            trained_until=pd.Timestamp(written["trained_until"]),
            record=written["record"],
        )
    except (KeyError, IndexError, TypeError, ValueError, SafetensorError, ConfigError) as failure:
        raise DataError(f"fusion: {folder} cannot be read ({failure!r}). Save the model again.") from failure
    if model.manifest() != written:
        raise DataError(f"fusion: {folder} is not as it was written: its hashes differ. Fit the model again.")
    return model
