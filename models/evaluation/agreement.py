"""How far two readers say the same of the same texts: the class they choose, beyond chance, and their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from embargo.data_loaders.errors import DataError
from embargo.models.calibration.forecasts import check_probabilities
from embargo.models.evaluation.resampling import bootstrap_weights, check_resampling, percentile_interval
from embargo.models.samples import group_members

# Probabilities below this count as this, so that one of nothing costs no infinity.
LEAST = 1e-12


def agreement(
    first: np.ndarray,
    second: np.ndarray,
    *,
    groups: Sequence[Any] | np.ndarray | None = None,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, Any]:
    """Measure how far a second reader agrees with a first.

    Parameters
    ----------
    first, second : ndarrays, shape (n, 3)
        Probabilities of the same texts; rows sum to 1.
    groups : sequence of length n, optional
        Names clusters of dependent texts, such as days, which are resampled whole.
    seed : int
        Of the bootstrap.
    resamples : int
    level : float
        Coverage of the percentile intervals. Readers that agree on every text have an interval without width.

    Returns
    -------
    dict with ``n``, ``n_groups`` (None without groups), ``share`` (of texts given the same class), ``kappa`` (Cohen's:
    the share beyond what readers with these frequencies of classes would agree on by chance, 1 at best; None where both
    give all texts one class), ``kl`` (mean Kullback-Leibler divergence of the second's probabilities from the first's,
    nats), and an ``_interval`` for each.

    Raises
    ------
    ConfigError
        If level or resamples are out of range.
    DataError
        If there are no texts, or shapes or values do not fit.

    References
    ----------
    Cohen (1960), "A coefficient of agreement for nominal scales".

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models.evaluation import agreement
    >>> one = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.2, 0.2, 0.6]])
    >>> two = one[[0, 1, 2, 0]]
    >>> found = agreement(one, two)
    >>> found["share"], round(found["kappa"], 2), round(found["kl"], 2)
    (0.75, 0.64, 0.23)
    """
    check_resampling(level, resamples, what="agreement")
    one, two = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if one.shape != two.shape or one.ndim != 2 or len(one) == 0:
        raise DataError(f"agreement: shapes {one.shape} and {two.shape}. Give the same texts to both readers.")
    for values in (one, two):
        check_probabilities(values, what="agreement")
    n, k = one.shape
    chosen, other = one.argmax(axis=1), two.argmax(axis=1)
    cells = np.eye(k * k)[chosen * k + other]
    logs = np.log(np.maximum(one, LEAST)) - np.log(np.maximum(two, LEAST))
    apart = (one * logs).sum(axis=1)
    table = np.column_stack([cells, apart])
    n_groups = None
    if groups is not None:
        members = group_members(groups, n, what="agreement")
        n_groups = int(members.max()) + 1
        table = np.array([np.bincount(members, weights=column, minlength=n_groups) for column in table.T]).T
    sizes = table[:, : k * k].sum(axis=1)
    draws = bootstrap_weights(len(table), resamples, seed=seed, width=table.shape[1])
    drawn = np.concatenate([_figures(weights @ table, weights @ sizes, k) for weights in draws])
    told: dict[str, Any] = {"n": n, "n_groups": n_groups, "level": level}
    whole = _figures(table.sum(axis=0, keepdims=True), np.array([float(n)]), k)[0]
    for name, value, values in zip(("share", "kappa", "kl"), whole, drawn.T, strict=True):
        known = values[~np.isnan(values)]
        told[name] = None if np.isnan(value) else float(value)
        told[f"{name}_interval"] = list(percentile_interval(known, level)) if len(known) else None
    return told


def _figures(sums: np.ndarray, sizes: np.ndarray, k: int) -> np.ndarray:
    """Return share, kappa and divergence of each row of sums over texts, shape (rows, 3)."""
    shares = sums[:, : k * k].reshape(-1, k, k) / sizes[:, None, None]
    same = np.trace(shares, axis1=1, axis2=2)
    chance = (shares.sum(axis=2) * shares.sum(axis=1)).sum(axis=1)
    certain = 1.0 - chance < LEAST
    kappa = np.where(certain, np.nan, (same - chance) / np.where(certain, 1.0, 1.0 - chance))
    return np.column_stack([same, kappa, sums[:, -1] / sizes])
