"""Features as a linear model and the neural head take them: complete, clipped, standardised, and flagged where missing.

What replaces, clips and scales is learnt from the training samples alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from embargo.signals.fusion.samples import GROUPS


def learn_scaling(x: np.ndarray, tails: float) -> dict[str, np.ndarray]:
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


def prepared(arrays: Mapping[str, np.ndarray], features: Sequence[str], x: np.ndarray) -> dict[str, np.ndarray]:
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
