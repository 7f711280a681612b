"""Fit a fusion of what the news say with what the market did.

Everything that is learnt, from thresholds between classes and missing values to weights, comes from the training
samples alone, and the calibration from the validation samples alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pandas as pd
from scipy.special import log_softmax, softmax

from embargo.data_loaders.errors import DataError, LeakError
from embargo.data_loaders.labels import cut_classes, fit_thresholds
from embargo.signals.fusion.head import train_head
from embargo.signals.fusion.model import FusionModel, feature_values
from embargo.signals.fusion.samples import GROUPS
from embargo.signals.fusion.scaling import learn_scaling, prepared
from embargo.signals.fusion.settings import FusionSettings
from embargo.signals.fusion.trees import grow_trees

# Fewer samples of a class than this say nothing about it.
MINIMUM_PER_CLASS = 5
SCALE_BOUNDS = (0.0, 20.0)
BIAS_BOUNDS = (-10.0, 10.0)


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
    _check_parts(train, validation, settings)
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


def _check_parts(train: pd.DataFrame, validation: pd.DataFrame, settings: FusionSettings) -> None:
    for name, part in (("training", train), ("validation", validation)):
        if len(part) < settings.min_samples:
            raise DataError(
                f"fusion: {len(part)} {name} samples, fewer than {settings.min_samples}. Give more of them, widen "
                "the mask or lower min_samples."
            )
    if train["ends_at"].max() >= validation["known_at"].min():
        late = train.iloc[int(train["ends_at"].argmax())]
        raise LeakError(
            f"fusion: the label of training sample {late['article_id']!r} ends at {late['ends_at']}, not before the "
            f"first validation sample is known at {validation['known_at'].min()}. Split with splits.part_of."
        )


def _loss(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def _tally(labels: np.ndarray, settings: FusionSettings) -> dict[str, int]:
    return {name: int((labels == code).sum()) for code, name in enumerate(settings.names)}


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
    return feature_values(part, features, f"{what} samples"), labels


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

        scaling = learn_scaling(x, settings.tails)
        inputs = prepared(scaling, features, x)
        model = LogisticRegression(C=settings.strength, max_iter=1000, tol=1e-8)
        model.fit(np.concatenate([inputs[name] for name in GROUPS], axis=1), y)
        return scaling | {"coefficients": model.coef_, "intercepts": model.intercept_}, []
    later, answers = _labelled(stop, features, thresholds, settings, "stopping (the latest training)")
    if settings.kind == "boosting":
        return grow_trees(x, y, later, answers, settings)
    scaling = learn_scaling(x, settings.tails)
    head = train_head(
        prepared(scaling, features, x),
        y,
        prepared(scaling, features, later),
        answers,
        classes=len(settings.names),
        settings=settings.head,
        seed=settings.seed,
    )
    return scaling | head.arrays, list(head.losses)


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
    from scipy.optimize import minimize  # loaded here because few runs fuse

    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-14, "gtol": 1e-9})
    return float(found.x[0]), (0.0, *(float(bias) for bias in found.x[1:]))
