"""Gradient-boosted trees, grown by scikit-learn and applied without it from arrays of nodes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from embargo.signals.fusion.settings import FusionSettings

_NODE = {
    "feature_idx": np.int64,
    "num_threshold": np.float64,
    "missing_go_to_left": np.uint8,
    "left": np.int64,
    "right": np.int64,
    "is_leaf": np.uint8,
    "value": np.float64,
}


def grow_trees(
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


def tree_logits(arrays: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return uncalibrated logits, shape (samples, classes), for features of shape (samples, features)."""
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
    return both_logits(total)


def both_logits(logits: np.ndarray) -> np.ndarray:
    """Give the falling one of two classes a logit of its own, which is 0."""
    return np.asarray(logits if logits.shape[1] > 1 else np.concatenate([np.zeros_like(logits), logits], axis=1))
