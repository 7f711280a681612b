"""Probability of backtest overfitting: how often the best strategy of one half of the bars disappoints in the other.

The bars are cut into blocks; every choice of half the blocks is once the sample that a strategy is chosen on and once
the sample it is judged on. Sharpe ratios of all choices come from sums over blocks, so returns are read only once.
"""

from __future__ import annotations

import math
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from embargo.backtest.arguments import check_at_least, check_level
from embargo.backtest.significance.panels import checked_panel
from embargo.data_loaders.errors import ConfigError

_MOST_BLOCKS = 20
_FEWEST_ROWS = 2
_NO_VARIATION = 1e-14
_TIE = 1e-9
_AT_ONCE = 64


@dataclass(frozen=True)
class Overfitting:
    """What becomes of the strategy that looked best, over all splits of the blocks into two halves.

    Sharpe ratios are per period. ``chosen_in`` and ``chosen_out`` belong to the strategy chosen in each split.

    Attributes
    ----------
    probability : float
        Share of splits in which the chosen strategy does worse than the median of all in the other half; where it is
        the median, the split counts as half. The paper counts such ties in full, which gives worthless strategies
        two thirds, not one half, where there are three of them. The splits share their bars, so that it is the
        probability of nothing: `overfitting_by_chance` says how far it strays where no strategy is better.
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
class OverfittingByChance:
    """Where the probability of overfitting lies by chance alone, for as many strategies that move together as these.

    Attributes
    ----------
    mean, deviation : float
        Of the probability, over the draws.
    low, high : float
        Between which it lies in a share ``level`` of the draws.
    level : float
    draws : int

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import overfitting_by_chance
    >>> returns = np.random.default_rng(1).normal(size=(60, 3))
    >>> found = overfitting_by_chance(returns, blocks=4, draws=100, seed=0)
    >>> found.low <= found.mean <= found.high, found.as_dict()['draws']
    (True, 100)
    """

    mean: float
    deviation: float
    low: float
    high: float
    level: float
    draws: int

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as a JSON-able dictionary."""
        return asdict(self)


@dataclass(frozen=True)
class _Blocks:
    """Rows, sums and sums of squares of every block, and the mean of all rows; each column has unit variance."""

    counts: np.ndarray
    one: np.ndarray
    two: np.ndarray
    mean: np.ndarray


def _standardised(panel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows less their mean in units of their deviation, 0 in a column that does not vary, and the mean in that unit."""
    mean, scale = panel.mean(axis=0), panel.std(axis=0)
    varies = scale > _NO_VARIATION * np.maximum(np.abs(panel).max(axis=0), np.finfo(float).tiny)
    scale = np.where(varies, scale, 1.0)
    return np.where(varies, (panel - mean) / scale, 0.0), np.where(varies, mean / scale, 0.0)


def _summed(panel: np.ndarray, blocks: int) -> _Blocks:
    unit, mean = _standardised(panel)
    parts = np.array_split(unit, blocks)
    return _Blocks(
        counts=np.array([len(part) for part in parts], dtype=float),
        one=np.array([part.sum(axis=0) for part in parts]),
        two=np.array([(part**2).sum(axis=0) for part in parts]),
        mean=mean,
    )


def _judged(summed: _Blocks, picked: np.ndarray, pool: Executor | None = None) -> tuple[np.ndarray, ...]:
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
    parts = [slice(first, first + step) for first in range(0, len(picked), step)]
    if pool is None:
        for part in parts:
            some(part)
    else:
        list(pool.map(some, parts))
    return chosen.ravel(), inside.ravel(), outside.ravel(), rank.ravel()


def probability_of_overfitting(returns: np.ndarray, *, blocks: int = 16) -> Overfitting:
    """Estimate the probability that choosing the best of many strategies overfits (PBO), by symmetric cross-validation.

    Strategies that are all worthless, or all equally good, give one half on average, since the choice then means
    nothing; how far a single panel strays from that by chance, `overfitting_by_chance` says. A strategy that is better
    in every period gives 0; strategies whose Sharpe ratios over all bars are the same number give 1, since what one
    half of the bars has more, the other has less.

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
    from embargo.backtest.threads import THREADS

    panel = _checked(returns, blocks, "probability_of_overfitting")
    with ThreadPoolExecutor(THREADS) as pool:
        best, inside, outside, rank = _judged(_summed(panel, blocks), _choices(blocks), pool)
    logits = _logits(rank, panel.shape[1])
    slope, intercept, r_squared = _line(inside, outside)
    return Overfitting(
        probability=_below_the_median(logits),
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


def overfitting_by_chance(
    returns: np.ndarray, *, blocks: int = 16, draws: int = 500, level: float = 0.95, seed: int | np.random.Generator
) -> OverfittingByChance:
    """Say where `probability_of_overfitting` lies where no strategy is better than another, by simulation.

    Every draw has as many strategies, with Sharpe ratios of 0 and the correlations of these, and chooses among them as
    often. Sums over blocks are drawn as normal, which they nearly are; serial dependence is left out, since what
    stretches all sums alike moves no rank.

    With 16 blocks the probability of three independent worthless strategies has a standard deviation of 0.23 and lies
    between 0.05 and 0.91 in 95 % of cases; of 15 it has 0.21, of 60 it has 0.17. Strategies that all move together as
    much as any two of them do have the same.

    Parameters
    ----------
    returns : float array, shape (bars, strategies)
        As in `probability_of_overfitting`.
    blocks : int
        Even, from 2 to 20; the number that the probability was estimated with.
    draws : int
        At least 100.
    level : float
        Share of the draws between ``low`` and ``high``.
    seed : int or Generator

    Returns
    -------
    OverfittingByChance

    Raises
    ------
    ConfigError
        If a setting is out of range.
    DataError
        If values are missing, or there are fewer than 30 bars.

    References
    ----------
    Wu (1986), Annals of Statistics 14(4), for random weights that keep the correlations of a sample.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import overfitting_by_chance, probability_of_overfitting
    >>> returns = np.random.default_rng(1).normal(0.0, 0.01, (400, 10))
    >>> chance = overfitting_by_chance(returns, blocks=8, seed=0)
    >>> round(chance.low, 1), round(chance.high, 1)
    (0.1, 0.9)
    >>> returns[:, 4] += 0.003
    >>> probability_of_overfitting(returns, blocks=8).probability < chance.low
    True
    """
    from embargo.backtest.threads import THREADS

    panel = _checked(returns, blocks, "overfitting_by_chance")
    check_at_least("draws", draws, 100)
    check_level(level)
    rng = np.random.default_rng(seed)
    unit, _ = _standardised(panel)
    picked = _choices(blocks)
    counts = np.array([len(part) for part in np.array_split(panel, blocks)], dtype=float)
    squares = np.outer(counts, (unit**2).mean(axis=0))

    def one(sums: np.ndarray) -> float:
        *_, rank = _judged(_Blocks(counts, sums, squares, np.zeros(panel.shape[1])), picked)
        return _below_the_median(_logits(rank, panel.shape[1]))

    found = np.empty(draws)
    # Threads share the draws, not the splits of each, which take less time than it takes to start threads for them.
    with ThreadPoolExecutor(THREADS) as pool:
        for first in range(0, draws, _AT_ONCE):
            own = found[first : first + _AT_ONCE]
            noise = [rng.normal(size=(blocks, len(panel))) @ unit for _ in own]
            own[:] = list(pool.map(one, [np.sqrt(counts / len(panel))[:, None] * each for each in noise]))
    low, high = np.quantile(found, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return OverfittingByChance(float(found.mean()), float(found.std()), float(low), float(high), level, draws)


def _checked(returns: np.ndarray, blocks: int, where: str) -> np.ndarray:
    panel = checked_panel(returns, where)
    if blocks % 2 or not 2 <= blocks <= _MOST_BLOCKS:
        raise ConfigError(f"blocks must be an even number from 2 to {_MOST_BLOCKS}, got {blocks}.")
    if panel.shape[1] < 2:
        raise ConfigError(f"{where}: needs at least two strategies; with one there is no choice.")
    if len(panel) < _FEWEST_ROWS * blocks:
        raise ConfigError(f"{blocks} blocks need at least {_FEWEST_ROWS * blocks} rows, got {len(panel)}. Use fewer.")
    return panel


def _choices(blocks: int) -> np.ndarray:
    """Choices of half the blocks that hold the first one; what each leaves over is the other half of all choices."""
    picked = np.zeros((math.comb(blocks, blocks // 2) // 2, blocks), dtype=bool)
    others = np.array(list(combinations(range(1, blocks), blocks // 2 - 1)), dtype=int).reshape(len(picked), -1)
    picked[:, 0] = True
    np.put_along_axis(picked, others, True, axis=1)
    return picked


def _logits(rank: np.ndarray, strategies: int) -> np.ndarray:
    relative = rank / (strategies + 1.0)
    return np.asarray(np.log(relative / (1.0 - relative)))


def _below_the_median(logits: np.ndarray) -> float:
    return float(np.mean(logits < -_TIE) + 0.5 * np.mean(np.abs(logits) <= _TIE))


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float | None, float | None, float | None]:
    across, along = x - x.mean(), y - y.mean()
    square = float(across @ across)
    if square <= _NO_VARIATION * len(x) * max(1.0, float(np.abs(x).max()) ** 2):
        return None, None, None
    slope = float(across @ along) / square
    total = float(along @ along)
    explained = slope * slope * square / total if total > 0.0 else 0.0
    return slope, float(y.mean() - slope * x.mean()), explained
