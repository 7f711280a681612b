"""Probability of backtest overfitting: how often the best strategy of one half of the bars disappoints in the other.

The bars are cut into blocks; every choice of half the blocks is once the sample that a strategy is chosen on and once
the sample it is judged on. Sharpe ratios of all choices come from sums over blocks, so returns are read only once.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from embargo.backtest.significance.panels import checked_panel
from embargo.data_loaders.errors import ConfigError

_MOST_BLOCKS = 20
_FEWEST_ROWS = 2
_NO_VARIATION = 1e-14
_TIE = 1e-9


@dataclass(frozen=True)
class Overfitting:
    """What becomes of the strategy that looked best, over all splits of the blocks into two halves.

    Sharpe ratios are per period. ``chosen_in`` and ``chosen_out`` belong to the strategy chosen in each split.

    Attributes
    ----------
    probability : float
        Share of splits in which the chosen strategy does worse than the median of all in the other half; where it is
        the median, the split counts as half. The paper counts such ties in full, which gives worthless strategies
        two thirds, not one half, where there are three of them.
    probability_of_loss : float
        Share of splits in which its Sharpe ratio in the other half is negative.
    slope, intercept, r_squared : float or None
        Of the regression of ``chosen_out`` on ``chosen_in``; None if the latter does not vary.
    logits : float array, shape (splits,)
        Log odds of the chosen strategy's relative rank in the other half; below 0 is overfitted.
    chosen : int array, shape (splits,)
        Columns.
    chosen_in, chosen_out : float array, shape (splits,)
    strategies, n, blocks : int

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import probability_of_overfitting
    >>> found = probability_of_overfitting(np.random.default_rng(1).normal(size=(60, 3)), blocks=4)
    >>> found.chosen.tolist(), found.as_dict()['splits']
    ([0, 0, 1, 1, 1, 0], 6)
    """

    probability: float
    probability_of_loss: float
    slope: float | None
    intercept: float | None
    r_squared: float | None
    logits: np.ndarray = field(repr=False, compare=False)
    chosen: np.ndarray = field(repr=False, compare=False)
    chosen_in: np.ndarray = field(repr=False, compare=False)
    chosen_out: np.ndarray = field(repr=False, compare=False)
    strategies: int
    n: int
    blocks: int

    def as_dict(self) -> dict[str, Any]:
        """Return the figures, without what each split showed, as a JSON-able dictionary."""
        names = ("probability", "probability_of_loss", "slope", "intercept", "r_squared", "strategies", "n", "blocks")
        return {name: getattr(self, name) for name in names} | {"splits": len(self.logits)}


@dataclass(frozen=True)
class _Blocks:
    """Rows, sums and sums of squares of every block, and the mean of all rows; each column has unit variance."""

    counts: np.ndarray
    one: np.ndarray
    two: np.ndarray
    mean: np.ndarray


def _summed(panel: np.ndarray, blocks: int) -> _Blocks:
    mean, scale = panel.mean(axis=0), panel.std(axis=0)
    varies = scale > _NO_VARIATION * np.maximum(np.abs(panel).max(axis=0), np.finfo(float).tiny)
    scale = np.where(varies, scale, 1.0)
    parts = [np.where(varies, (part - mean) / scale, 0.0) for part in np.array_split(panel, blocks)]
    return _Blocks(
        counts=np.array([len(part) for part in parts], dtype=float),
        one=np.array([part.sum(axis=0) for part in parts]),
        two=np.array([(part**2).sum(axis=0) for part in parts]),
        mean=np.where(varies, mean / scale, 0.0),
    )


def _judged(summed: _Blocks, picked: np.ndarray) -> tuple[np.ndarray, ...]:
    """Column chosen in each split, its Sharpe ratios inside and outside, and its rank outside; mirror images last."""
    # Loading numba takes about a second, which only those who ask should pay.
    from embargo.backtest.significance.compiled import judge_splits
    from embargo.backtest.threads import THREADS

    chosen = np.empty((2, len(picked)), dtype=np.int64)
    inside, outside, rank = (np.empty((2, len(picked))) for _ in range(3))

    def some(part: slice) -> None:
        judge_splits(
            *(summed.counts, summed.one, summed.two, summed.mean),
            picked[part],
            *(_NO_VARIATION, _TIE),
            *(chosen[:, part], inside[:, part], outside[:, part], rank[:, part]),
        )

    step = max(1, -(-len(picked) // (4 * THREADS)))
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(some, [slice(first, first + step) for first in range(0, len(picked), step)]))
    return chosen.ravel(), inside.ravel(), outside.ravel(), rank.ravel()


def probability_of_overfitting(returns: np.ndarray, *, blocks: int = 16) -> Overfitting:
    """Estimate the probability that choosing the best of many strategies overfits (PBO), by symmetric cross-validation.

    Strategies that are all worthless, or all equally good, give one half on average, since the choice then means
    nothing; how far a single panel strays from that by chance depends on how many there are (standard deviation 0.28
    for three independent ones). A strategy that is better in every period gives 0; strategies whose Sharpe ratios over
    all bars are the same number give 1, since what one half of the bars has more, the other has less.

    Parameters
    ----------
    returns : float array, shape (bars, strategies)
        Simple returns of every strategy that was tried, on the same bars.
    blocks : int
        Even, from 2 to 20; the bars are cut into as many blocks of (almost) equal length, and all
        ``binomial(blocks, blocks / 2)`` choices of half of them are tried: 12,870 for 16.

    Returns
    -------
    Overfitting
        A strategy without variation in some half (never traded) has a Sharpe ratio of 0 there.

    Raises
    ------
    ConfigError
        If ``blocks`` is odd or out of range.
    DataError
        If values are missing, or there are fewer than 30 bars.

    References
    ----------
    Bailey, Borwein, López de Prado and Zhu (2017), "The Probability of Backtest Overfitting", Journal of Computational
    Finance 20(4).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import probability_of_overfitting
    >>> returns = np.random.default_rng(1).normal(0.0, 0.01, (400, 10))
    >>> round(probability_of_overfitting(returns, blocks=8).probability, 2)
    0.4
    >>> returns[:, 4] += 0.003
    >>> probability_of_overfitting(returns, blocks=8).probability
    0.0
    """
    panel = checked_panel(returns, "probability_of_overfitting")
    if blocks % 2 or not 2 <= blocks <= _MOST_BLOCKS:
        raise ConfigError(f"blocks must be an even number from 2 to {_MOST_BLOCKS}, got {blocks}.")
    if panel.shape[1] < 2:
        raise ConfigError("probability_of_overfitting: needs at least two strategies; with one there is no choice.")
    if len(panel) < _FEWEST_ROWS * blocks:
        raise ConfigError(f"{blocks} blocks need at least {_FEWEST_ROWS * blocks} rows, got {len(panel)}. Use fewer.")
    # The choices with the first block; what each leaves over is the other half of all choices.
    picked = np.zeros((math.comb(blocks, blocks // 2) // 2, blocks), dtype=bool)
    others = np.array(list(combinations(range(1, blocks), blocks // 2 - 1)), dtype=int).reshape(len(picked), -1)
    picked[:, 0] = True
    np.put_along_axis(picked, others, True, axis=1)
    best, inside, outside, rank = _judged(_summed(panel, blocks), picked)
    relative = rank / (panel.shape[1] + 1.0)
    logits = np.log(relative / (1.0 - relative))
    slope, intercept, r_squared = _line(inside, outside)
    return Overfitting(
        probability=float(np.mean(logits < -_TIE) + 0.5 * np.mean(np.abs(logits) <= _TIE)),
        probability_of_loss=float(np.mean(outside < 0.0)),
        slope=slope,
        intercept=intercept,
        r_squared=r_squared,
        logits=logits,
        chosen=best,
        chosen_in=inside,
        chosen_out=outside,
        strategies=panel.shape[1],
        n=len(panel),
        blocks=blocks,
    )


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float | None, float | None, float | None]:
    across, along = x - x.mean(), y - y.mean()
    square = float(across @ across)
    if square <= _NO_VARIATION * len(x) * max(1.0, float(np.abs(x).max()) ** 2):
        return None, None, None
    slope = float(across @ along) / square
    total = float(along @ along)
    explained = slope * slope * square / total if total > 0.0 else 0.0
    return slope, float(y.mean() - slope * x.mean()), explained
