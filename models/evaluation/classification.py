"""How good a classifier of market news is: accuracy and its relatives, each headline figure with its uncertainty.

Everything returned is JSON: plain floats, and None where a figure is undefined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.calibration.forecasts import check_probabilities, checked
from embargo.models.calibration.measures import adaptive_calibration_error, brier_score, expected_calibration_error
from embargo.models.evaluation.resampling import bootstrap_weights, check_resampling, percentile_interval
from embargo.models.samples import group_members

# False positive rates at which the curves of a report are given.
ROC_POINTS = 51


def classification_report(
    probs: np.ndarray,
    labels: np.ndarray,
    *,
    groups: Sequence[Any] | np.ndarray | None = None,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, Any]:
    """Measure predicted probabilities against labels.

    Parameters
    ----------
    probs : ndarray, shape (n, 3)
        Rows sum to 1. The predicted class is the most probable one, the lower index on a tie.
    labels : ndarray of int, shape (n,)
    groups : sequence of length n, optional
        Names clusters of dependent articles (near-duplicates, days): whole clusters are resampled then.
    seed : int
        Of the bootstrap.
    resamples : int
        Bootstrap samples of articles (Efron 1979) or of groups. Without groups they assume independent articles:
        near-duplicates make the true intervals wider.
    level : float
        Coverage of the percentile intervals. They skip bootstrap samples in which a figure is undefined.

    Returns
    -------
    dict with ``n, accuracy, accuracy_interval, macro_f1, macro_f1_interval, weighted_f1, weighted_f1_interval, mcc,
    mcc_interval`` (Matthews correlation of all classes, None if truth or prediction has one class only), ``classes``
    (for each class ``precision, recall, f1, support``), ``class_intervals`` (of the same but the support), ``auc,
    auc_interval`` (each class against the rest, and ``macro``, the mean of those that are defined), ``roc`` (each class
    against the rest, ``true_positive_rate`` at 51 values of ``false_positive_rate``; None like its area), ``confusion``
    (rows true, columns predicted), ``log_loss`` (nats; probabilities are clipped at 1e-15), ``brier, ece, adaptive_ece,
    majority`` (accuracy and macro-F1 of always answering the most frequent class) and ``n_groups`` (None without
    groups). Macro-F1 averages over the classes that occur or are predicted; precision of a class never predicted and
    recall of a class that never occurs are None.

    Raises
    ------
    ConfigError
        If level or resamples are out of range.
    DataError
        If there are no samples, shapes or values do not fit, or there is one group only.

    References
    ----------
    Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient". Hanley & McNeil 1982,
    "The meaning and use of the area under a ROC curve". Field & Welsh 2007, "Bootstrapping clustered data".

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models import classification_report
    >>> sure = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.2, 0.2, 0.6]] * 5)
    >>> labels = np.array([0, 1, 2, 0] * 5)
    >>> report = classification_report(sure, labels)
    >>> report["accuracy"], [round(end, 2) for end in report["accuracy_interval"]]
    (0.75, [0.55, 0.95])
    >>> report["confusion"]
    [[5, 0, 5], [0, 5, 0], [0, 0, 5]]
    """
    check_resampling(level, resamples, what="classification_report")
    values, classes = np.asarray(probs, dtype=float), np.asarray(labels)
    brier = brier_score(values, classes)
    check_probabilities(values, what="classification_report")
    # Rows of weights a few at a time, so that what is made of them stays near the processor.
    n = len(classes)
    members, n_groups = _members(groups, n)
    cells = _cells(values, classes, members, n_groups)
    ranks = [_ranked(values[:, k], classes == k, members) for k in range(len(CLASSES))]
    figures = _figures(cells, ranks, np.ones((1, n_groups)))
    drawn = [
        _figures(cells, ranks, weights) for weights in bootstrap_weights(n_groups, resamples, seed=seed, width=8 * n)
    ]
    intervals = {name: _interval(np.concatenate([one[name] for one in drawn]), level) for name in figures}
    confusion = cells.sum(axis=0).astype(np.int64).reshape(len(CLASSES), len(CLASSES))
    support = confusion.sum(axis=1)
    constant = np.zeros((1, len(CLASSES), len(CLASSES)))
    constant[0, :, support.argmax()] = support
    picked = values[np.arange(n), classes]
    headline: dict[str, Any] = {}
    for name in ("accuracy", "macro_f1", "weighted_f1", "mcc"):
        headline[name], headline[f"{name}_interval"] = _plain(figures[name][0]), intervals[name]
    return {
        "n": n,
        "n_groups": None if members is None else n_groups,
        **headline,
        "classes": {name: _one_class(confusion, index) for index, name in enumerate(CLASSES)},
        "class_intervals": {
            name: {figure: intervals[f"{figure} {name}"] for figure in ("precision", "recall", "f1")}
            for name in CLASSES
        },
        "auc": {name: _plain(figures[f"auc {name}"][0]) for name in (*CLASSES, "macro")},
        "auc_interval": {name: intervals[f"auc {name}"] for name in (*CLASSES, "macro")},
        "roc": {name: _roc(values[:, k], classes == k) for k, name in enumerate(CLASSES)},
        "confusion": confusion.tolist(),
        "log_loss": float(-np.log(np.clip(picked, 1e-15, 1.0)).mean()),
        "brier": brier,
        "ece": expected_calibration_error(values, classes),
        "adaptive_ece": adaptive_calibration_error(values, classes),
        "majority": {"accuracy": float(_accuracy(constant)[0]), "macro_f1": float(_macro_f1(constant)[0])},
    }


def accuracy_report(
    probs: np.ndarray,
    labels: np.ndarray,
    *,
    groups: Sequence[Any] | np.ndarray | None = None,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, Any]:
    """Measure accuracy and macro-F1 alone, as `classification_report` does and many times faster.

    Parameters
    ----------
    probs, labels, groups, seed, resamples, level
        As of `classification_report`.

    Returns
    -------
    dict with ``n, accuracy, accuracy_interval, macro_f1, macro_f1_interval``, equal to those of
    `classification_report`.

    Raises
    ------
    ConfigError, DataError
        As `classification_report`.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models.evaluation.classification import accuracy_report
    >>> sure = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.2, 0.2, 0.6]] * 5)
    >>> found = accuracy_report(sure, np.array([0, 1, 2, 0] * 5))
    >>> found["accuracy"], [round(end, 2) for end in found["accuracy_interval"]]
    (0.75, [0.55, 0.95])
    """
    check_resampling(level, resamples, what="accuracy_report")
    values, classes = checked(probs, labels)
    check_probabilities(values, what="accuracy_report")
    members, n_groups = _members(groups, len(classes))
    cells = _cells(values, classes, members, n_groups)
    whole = _confusions(cells, np.ones((1, n_groups)))
    drawn = np.concatenate(
        [_confusions(cells, weights) for weights in bootstrap_weights(n_groups, resamples, seed=seed)]
    )
    report: dict[str, Any] = {"n": len(classes)}
    for name, figure in (("accuracy", _accuracy), ("macro_f1", _macro_f1)):
        report[name], report[f"{name}_interval"] = _plain(figure(whole)[0]), _interval(figure(drawn), level)
    return report


def _cells(values: np.ndarray, classes: np.ndarray, members: np.ndarray | None, n_groups: int) -> np.ndarray:
    """Count the articles of each group, or each alone, in each cell of the confusion; float, shape (groups, 9)."""
    number = len(CLASSES) ** 2
    cell = classes * len(CLASSES) + values.argmax(axis=1)
    group = np.arange(len(classes)) if members is None else members
    return np.bincount(group * number + cell, minlength=n_groups * number).reshape(n_groups, number).astype(float)


def _confusions(cells: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the confusion for each row of weights; sums of whole numbers, which are exact in any order."""
    found: np.ndarray = weights.astype(float) @ cells
    return found.reshape(len(weights), len(CLASSES), len(CLASSES))


def _members(groups: Sequence[Any] | np.ndarray | None, n: int) -> tuple[np.ndarray | None, int]:
    if groups is None:
        return None, n
    members = group_members(groups, n, what="classification_report")
    n_groups = int(members.max()) + 1
    if n_groups < 2:
        raise DataError("classification_report: one group only; no interval can be had from it. Name two or more.")
    return members, n_groups


@dataclass(frozen=True)
class _Ranked:
    """Where the articles of a class stand among the others: for each the others below it, and those below or equal.

    ``own`` and ``others`` name, in the order of scores, the column of the weights that is each article's.
    """

    own: np.ndarray
    others: np.ndarray
    below: np.ndarray
    not_above: np.ndarray

    def area(self, weights: np.ndarray) -> np.ndarray:
        """Return the area under the ROC curve for each row of weights, NaN where a side is empty.

        Wins are whole numbers and halves, whose sums are exact in any order.
        """
        own = np.take(weights, self.own, axis=1)
        others = np.zeros((len(weights), len(self.others) + 1))
        np.cumsum(np.take(weights, self.others, axis=1), axis=1, out=others[:, 1:])
        beaten = np.take(others, self.below, axis=1)
        beaten += np.take(others, self.not_above, axis=1)
        wins = np.einsum("ij,ij->i", own, beaten) / 2
        with np.errstate(invalid="ignore"):
            return np.asarray(wins / (own.sum(axis=1) * others[:, -1]))


def _ranked(scores: np.ndarray, own: np.ndarray, members: np.ndarray | None) -> _Ranked:
    column = np.arange(len(scores)) if members is None else members
    order = np.argsort(scores, kind="stable")
    mine = own[order]
    ordered, against = scores[order][mine], scores[order][~mine]
    return _Ranked(
        column[order][mine],
        column[order][~mine],
        np.searchsorted(against, ordered, "left"),
        np.searchsorted(against, ordered, "right"),
    )


def _figures(cells: np.ndarray, ranks: list[_Ranked], weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return every figure that gets an interval, one value for each row of weights, NaN where undefined."""
    weights = weights.astype(float)
    confusions = _confusions(cells, weights)
    hits = np.diagonal(confusions, axis1=1, axis2=2)
    support, predicted = confusions.sum(axis=2), confusions.sum(axis=1)
    f1 = _f1(confusions)
    with np.errstate(invalid="ignore"):
        precision, recall = hits / predicted, hits / support
    figures = {
        "accuracy": _accuracy(confusions),
        "macro_f1": _macro_f1(confusions),
        "weighted_f1": (np.nan_to_num(f1) * support).sum(axis=1) / support.sum(axis=1),
        "mcc": _matthews(confusions),
    }
    for k, name in enumerate(CLASSES):
        figures |= {f"precision {name}": precision[:, k], f"recall {name}": recall[:, k], f"f1 {name}": f1[:, k]}
        figures[f"auc {name}"] = ranks[k].area(weights)
    areas = np.column_stack([figures[f"auc {name}"] for name in CLASSES])
    defined = ~np.isnan(areas)
    with np.errstate(invalid="ignore"):
        figures["auc macro"] = np.nansum(areas, axis=1) / defined.sum(axis=1)
    return figures


def _interval(values: np.ndarray, level: float) -> list[float] | None:
    defined = values[~np.isnan(values)]
    return list(percentile_interval(defined, level)) if len(defined) else None


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _accuracy(confusion: np.ndarray) -> np.ndarray:
    return np.asarray(np.trace(confusion, axis1=1, axis2=2) / confusion.sum(axis=(1, 2)))


def _f1(confusion: np.ndarray) -> np.ndarray:
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * hits / (confusion.sum(axis=1) + confusion.sum(axis=2)))


def _macro_f1(confusion: np.ndarray) -> np.ndarray:
    return np.asarray(np.nanmean(_f1(confusion), axis=1))


def _matthews(confusion: np.ndarray) -> np.ndarray:
    total, hits = confusion.sum(axis=(1, 2)), np.trace(confusion, axis1=1, axis2=2)
    true, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    spread = (total**2 - (true**2).sum(axis=1)) * (total**2 - (predicted**2).sum(axis=1))
    with np.errstate(invalid="ignore"):
        return np.asarray((hits * total - (true * predicted).sum(axis=1)) / np.sqrt(spread))


def _one_class(confusion: np.ndarray, index: int) -> dict[str, float | int | None]:
    hits, support, predicted = confusion[index, index], confusion[index].sum(), confusion[:, index].sum()
    return {
        "precision": float(hits / predicted) if predicted else None,
        "recall": float(hits / support) if support else None,
        "f1": float(2 * hits / (support + predicted)) if support + predicted else None,
        "support": int(support),
    }


def _roc(scores: np.ndarray, own: np.ndarray) -> dict[str, list[float]] | None:
    if own.all() or not own.any():
        return None
    order = np.argsort(-scores, kind="stable")
    # Articles with one score are called positive together: the curve turns only where the score changes.
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true, false = (np.concatenate([[0.0], np.cumsum(side[order])[last] / side.sum()]) for side in (own, ~own))
    grid = np.linspace(0.0, 1.0, ROC_POINTS)
    # Where the curve stands upright, interpolation takes its upper end.
    return {"false_positive_rate": grid.tolist(), "true_positive_rate": np.interp(grid, false, true).tolist()}
