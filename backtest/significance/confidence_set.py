"""Models among which the best one lies: those that a test of equal loss cannot tell from the best."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from embargo.backtest.arguments import check_share
from embargo.backtest.significance.panels import checked_panel, panel_resampling
from embargo.data_loaders.errors import ConfigError, DataError

_NO_ERROR = 1e-7
_CELLS_PER_STEP = 100_000


@dataclass(frozen=True)
class ConfidenceSet:
    """The models among which the best one lies, at a confidence.

    Attributes
    ----------
    p_values : float array, shape (models,)
        A model is outside the set at every level its p-value does not exceed; the last one left has 1.
    included : bool array, shape (models,)
        At the level asked for.
    eliminated : int array, shape (models,)
        Columns in the order of their elimination, the last one left at the end.
    level : float
    n, n_boot : int
    block_length : float
        Mean block length in rows.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import model_confidence_set
    >>> found = model_confidence_set(np.random.default_rng(1).normal(size=(60, 2)), n_boot=100, seed=0)
    >>> found.eliminated.tolist(), found.included.tolist()
    ([0, 1], [True, True])
    """

    p_values: np.ndarray = field(repr=False, compare=False)
    included: np.ndarray = field(repr=False, compare=False)
    eliminated: np.ndarray = field(repr=False, compare=False)
    level: float
    n: int
    n_boot: int
    block_length: float


def model_confidence_set(
    losses: np.ndarray,
    *,
    level: float = 0.05,
    method: Literal["range", "max"] = "range",
    n_boot: int = 1000,
    block: float | None = None,
    seed: int | np.random.Generator,
    resamples: np.ndarray | None = None,
) -> ConfidenceSet:
    """Find the models that cannot be told from the best one; the best is among them with probability 1 - level.

    Parameters
    ----------
    losses : float array, shape (rows, models)
        Smaller is better; for strategies, minus their returns.
    level : float
        1 minus the confidence, in (0, 1).
    method : {"range", "max"}
        Statistic and rule of elimination: the largest studentised difference between two models, or between a model
        and the mean of those left.
    n_boot : int
    block : float, optional
    seed : int or Generator
    resamples : int array, shape (resamples, rows), optional
        As in `superior_ability`.

    Returns
    -------
    ConfidenceSet

    Raises
    ------
    DataError
        If values are missing, or there are fewer than two models or 30 rows.
    ConfigError
        If a setting is out of range.

    References
    ----------
    Hansen, Lunde and Nason (2011), "The Model Confidence Set", Econometrica 79(2).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import model_confidence_set
    >>> losses = np.random.default_rng(1).normal([0.0, 0.0, 0.5], 1.0, (300, 3))
    >>> found = model_confidence_set(losses, seed=0)
    >>> found.included.tolist(), found.p_values.round(3).tolist()
    ([True, True, False], [0.598, 1.0, 0.001])
    """
    check_share("level", level)
    if method not in ("range", "max"):
        raise ConfigError(f"method must be 'range' or 'max', got {method!r}.")
    panel = checked_panel(losses, "model_confidence_set")
    if panel.shape[1] < 2:
        raise DataError("model_confidence_set: needs at least two models, got one. There is nothing to compare.")
    plan = panel_resampling(panel, n_boot=n_boot, block=block, seed=seed, resamples=resamples)
    mean = panel.mean(axis=0)
    centred = panel - mean
    drawn = np.concatenate([counts @ centred for counts in plan.counts(panel.shape[1])]) / plan.n
    order, above = (_by_range if method == "range" else _by_maximum)(mean, drawn)
    p_values = np.ones(len(mean))
    p_values[order[:-1]] = np.maximum.accumulate((1 + above) / (1 + plan.n_boot))
    return ConfidenceSet(
        p_values=p_values,
        included=p_values > level,
        eliminated=order,
        level=level,
        n=plan.n,
        n_boot=plan.n_boot,
        block_length=plan.block,
    )


def _ratio(difference: np.ndarray, error: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Difference in errors; without error, twins are 0 apart and models a constant apart are infinitely far."""
    sure = np.where(np.abs(difference) <= margin, 0.0, np.copysign(np.inf, difference))
    return np.where(error > margin, difference / np.where(error > margin, error, 1.0), sure)


def _by_range(mean: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order of elimination, and per step the resamples whose largest difference is at least the observed one.

    Which model goes next does not depend on the resamples. So the maxima over pairs are built from the last model
    backwards, one model at a time, instead of anew for every set.
    """
    models, n_boot = len(mean), len(drawn)
    moments = drawn.T @ drawn / n_boot
    own = np.diag(moments)
    error = np.sqrt(np.maximum(own[:, None] + own - 2.0 * moments, 0.0))
    margin = _NO_ERROR * np.sqrt(own[:, None] + own)
    apart = _ratio(mean[:, None] - mean, error, margin)
    np.fill_diagonal(apart, -np.inf)
    # Standard errors obey the triangle inequality. So whoever is furthest behind the model that goes next is as far
    # behind the one that model lost to, at least: largest distances never change, and one sort gives the order.
    worst = apart.max(axis=1)
    rank = np.argsort(-worst, kind="stable")
    statistics = worst[rank]
    weight = np.where(error > margin, 1.0 / np.where(error > margin, error, 1.0), 0.0)[np.ix_(rank, rank)]
    above = np.zeros(models - 1, dtype=np.int64)
    step = max(1, _CELLS_PER_STEP // models)
    for first in range(0, n_boot, step):
        some = np.ascontiguousarray(drawn[first : first + step, rank].T)
        largest = np.zeros(some.shape[1])
        for place in range(models - 2, -1, -1):
            far = np.abs(some[place + 1 :] - some[place])
            far *= weight[place, place + 1 :, None]
            largest = np.maximum(largest, far.max(axis=0))
            above[place] += np.count_nonzero(largest >= statistics[place])
    return rank, above


def _by_maximum(mean: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order of elimination, and per step the resamples with a distance from the mean at least the observed."""
    left = np.arange(len(mean))
    scale = np.sqrt((drawn**2).mean(axis=0))
    order, above = [], []
    while len(left) > 1:
        apart = drawn[:, left] - drawn[:, left].mean(axis=1, keepdims=True)
        error = np.sqrt((apart**2).mean(axis=0))
        margin = _NO_ERROR * scale[left]
        distance = _ratio(mean[left] - mean[left].mean(), error, margin)
        worst = int(np.argmax(distance))
        apart /= np.where(error > margin, error, np.inf)
        above.append(np.count_nonzero(apart.max(axis=1) >= distance[worst]))
        order.append(left[worst])
        left = np.delete(left, worst)
    return np.array([*order, left[0]]), np.array(above, dtype=np.int64)
