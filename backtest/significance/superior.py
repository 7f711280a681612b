"""Many strategies on the same bars: is the best of them better than the benchmark, and which ones are.

Means of all strategies are resampled together by the stationary bootstrap, as one product of a matrix of counts and the
panel of returns, in chunks of bounded memory. Every p-value is (1 + resamples at least as extreme) / (1 + resamples).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from embargo.backtest.arguments import check_share
from embargo.backtest.significance.panels import (
    PanelResampling,
    bootstrap_variance,
    checked_panel,
    panel_resampling,
    prewhitened_error,
)
from embargo.data_loaders.errors import DataError

_NOTHING = 1e-12


@dataclass(frozen=True)
class SuperiorAbility:
    """The best of many strategies against their benchmark.

    Attributes
    ----------
    statistic : float
        Largest mean return beyond the benchmark, in standard errors of its own if ``studentized``, else times the root
        of the rows; 0 if no strategy beats the benchmark.
    best : int
        Column of the largest.
    p_value : float
        Hansen's consistent p-value, for the null hypothesis that no strategy beats the benchmark.
    p_lower, p_upper : float
        The same if every strategy that looks worse than the benchmark is taken to be worse, and if every strategy is
        taken to be as good as the benchmark. The lower one is a bound, no test: it rejects too often.
    strategies, n, n_boot : int
        Columns, rows, resamples.
    block_length : float
        Mean block length in rows.
    studentized : bool

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import superior_ability
    >>> found = superior_ability(np.random.default_rng(1).normal(size=(60, 2)), n_boot=100, seed=0)
    >>> found.n, found.strategies, found.p_lower <= found.p_value <= found.p_upper
    (60, 2, True)
    """

    statistic: float
    best: int
    p_value: float
    p_lower: float
    p_upper: float
    strategies: int
    n: int
    n_boot: int
    block_length: float
    studentized: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON-able dictionary."""
        return asdict(self)


@dataclass(frozen=True)
class StepwiseSuperior:
    """Which of many strategies beat their benchmark.

    Attributes
    ----------
    p_values : float array, shape (strategies,)
        Adjusted for the number of strategies: a strategy is superior at every level its p-value does not exceed.
    superior : bool array, shape (strategies,)
        At the level asked for. The chance that any of them is not superior in truth is at most that level.
    statistics : float array, shape (strategies,)
        Mean return beyond the benchmark in standard errors (or times the root of the rows, if not studentised).
    level : float
    n, n_boot : int
    block_length : float
        Mean block length in rows.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import stepwise_superior
    >>> found = stepwise_superior(np.random.default_rng(1).normal(size=(60, 2)), n_boot=100, seed=0)
    >>> found.superior.tolist(), found.level
    ([False, False], 0.05)
    """

    p_values: np.ndarray = field(repr=False, compare=False)
    superior: np.ndarray = field(repr=False, compare=False)
    statistics: np.ndarray = field(repr=False, compare=False)
    level: float
    n: int
    n_boot: int
    block_length: float


@dataclass(frozen=True)
class _Scaled:
    """Columns that can vary, centred and scaled so that a resample's row of counts times ``panel`` is its statistics.

    ``lower`` and ``consistent`` are what recentering leaves below zero, in the same unit.
    """

    panel: np.ndarray
    columns: np.ndarray
    statistics: np.ndarray
    lower: np.ndarray
    consistent: np.ndarray


def _scaled(excess: np.ndarray, plan: PanelResampling, studentize: bool, prewhiten: bool) -> _Scaled:
    n = len(excess)
    mean = excess.mean(axis=0)
    centred = excess - mean
    highest, lowest = excess.max(axis=0), excess.min(axis=0)
    size = np.maximum(np.maximum(highest, -lowest), np.finfo(float).tiny)
    varies = highest - lowest > _NOTHING * size
    certain = ~varies & (mean > 0.0)
    if certain.any():
        column = int(np.argmax(certain))
        raise DataError(
            f"superior ability: column {column} is {mean[column]:.6g} on every row, so its mean has no uncertainty. "
            "Leave it out, or subtract the benchmark's returns first."
        )
    columns = np.flatnonzero(varies)
    if len(columns) == 0:
        raise DataError("superior ability: no column varies; there is nothing to test.")
    centred, mean = centred if varies.all() else np.ascontiguousarray(centred[:, columns]), mean[columns]
    resampled = np.sqrt(bootstrap_variance(centred, plan.block))
    error = prewhitened_error(centred, plan.block) if prewhiten else resampled
    unit = error if studentize else np.ones_like(error)
    statistics = np.sqrt(n) * mean / unit
    bound = -np.sqrt(2.0 * np.log(np.log(n))) * error / unit
    centred *= error / (resampled * unit * np.sqrt(n))
    return _Scaled(
        panel=centred,
        columns=columns,
        statistics=statistics,
        lower=np.minimum(statistics, 0.0),
        consistent=np.where(statistics < bound, statistics, 0.0),
    )


def superior_ability(
    excess: np.ndarray,
    *,
    n_boot: int = 1000,
    studentize: bool = True,
    prewhiten: bool = True,
    block: float | None = None,
    seed: int | np.random.Generator,
    resamples: np.ndarray | None = None,
) -> SuperiorAbility:
    """Test whether the best of many strategies beats the benchmark, allowing for the search (Hansen's SPA).

    At nominal 5 %, with 504 rows and 1 to 200 strategies, the consistent p-value rejects 3.8 to 6.8 % of simulated true
    nulls (i.i.d., autoregressive 0.2, GARCH, t with 4 degrees of freedom; 500 draws each); ``p_lower`` up to 10 %.

    The class of this name in arch 8 takes ``studentize`` but never divides by the standard errors; without that a good
    strategy of low volatility is lost among wild ones.

    Parameters
    ----------
    excess : float array, shape (bars, strategies)
        Simple returns of each strategy minus the benchmark's on the same bars; every strategy that was tried. A column
        that is zero on every row (never traded) counts but cannot win.
    n_boot : int
        Resamples, at least 100.
    studentize : bool
        Divide each mean by its own standard error.
    prewhiten : bool
        Take standard errors from what a first-order autoregression leaves over, and give the resampled means the same
        spread. Without it, p-values are those of the plain stationary bootstrap.
    block : float, optional
        Mean block length in rows; by default `panel_block_length`.
    seed : int or Generator
    resamples : int array, shape (resamples, bars), optional
        Row numbers of ready-made resamples, instead of ``n_boot`` drawn ones; ``block`` then only sets standard errors.

    Returns
    -------
    SuperiorAbility
        ``p_value`` is one-sided for the null hypothesis that no strategy's mean exceeds the benchmark's.

    Raises
    ------
    DataError
        If values are missing, or a column is the same positive number on every row.
    ConfigError
        If a setting is out of range.

    References
    ----------
    Hansen (2005), "A Test for Superior Predictive Ability", Journal of Business & Economic Statistics 23(4).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import superior_ability
    >>> excess = np.random.default_rng(1).normal(0.0, 0.01, (500, 20))
    >>> excess[:, 3] += 0.002
    >>> found = superior_ability(excess, seed=0)
    >>> found.best, round(found.statistic, 2), round(found.p_value, 3)
    (3, 3.78, 0.001)
    """
    panel = checked_panel(excess, "superior_ability")
    plan = panel_resampling(panel, n_boot=n_boot, block=block, seed=seed, resamples=resamples)
    ready = _scaled(panel, plan, studentize, prewhiten)
    statistic = max(0.0, float(ready.statistics.max()))
    above = np.zeros(3, dtype=np.int64)
    for counts in plan.counts(panel.shape[1]):
        drawn = counts @ ready.panel
        for place, shift in enumerate((ready.lower, ready.consistent, 0.0)):
            above[place] += np.count_nonzero(np.maximum((drawn + shift).max(axis=1), 0.0) >= statistic)
    lower, consistent, upper = (float(value) for value in (1 + above) / (1 + plan.n_boot))
    return SuperiorAbility(
        statistic=statistic,
        best=int(ready.columns[np.argmax(ready.statistics)]),
        p_value=consistent,
        p_lower=lower,
        p_upper=upper,
        strategies=panel.shape[1],
        n=plan.n,
        n_boot=plan.n_boot,
        block_length=plan.block,
        studentized=studentize,
    )


def reality_check(
    excess: np.ndarray,
    *,
    n_boot: int = 1000,
    prewhiten: bool = True,
    block: float | None = None,
    seed: int | np.random.Generator,
    resamples: np.ndarray | None = None,
) -> float:
    """P-value of White's reality check: the best raw mean, every strategy taken to be as good as the benchmark.

    Bad strategies in the panel make it less likely to reject; `superior_ability` is the better test.

    Parameters
    ----------
    excess : float array, shape (bars, strategies)
    n_boot : int
    prewhiten : bool
    block : float, optional
    seed : int or Generator
    resamples : int array, shape (resamples, bars), optional
        As in `superior_ability`.

    Returns
    -------
    float in (0, 1]

    Raises
    ------
    DataError
        If values are missing, or a column is the same positive number on every row.
    ConfigError
        If a setting is out of range.

    References
    ----------
    White (2000), "A Reality Check for Data Snooping", Econometrica 68(5).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import reality_check
    >>> round(reality_check(np.random.default_rng(1).normal(0.002, 0.01, (500, 5)), seed=0), 3)
    0.001
    """
    found = superior_ability(
        excess, n_boot=n_boot, studentize=False, prewhiten=prewhiten, block=block, seed=seed, resamples=resamples
    )
    return found.p_upper


def stepwise_superior(
    excess: np.ndarray,
    *,
    level: float = 0.05,
    n_boot: int = 1000,
    studentize: bool = True,
    prewhiten: bool = True,
    block: float | None = None,
    seed: int | np.random.Generator,
    resamples: np.ndarray | None = None,
) -> StepwiseSuperior:
    """Find the strategies that beat the benchmark, with control of the family-wise error (StepM).

    The strategies found in one step are left out of the next one's maximum, until a step finds none; strategies far
    below the benchmark are recentered as in the consistent `superior_ability`.

    Parameters
    ----------
    excess : float array, shape (bars, strategies)
        As in `superior_ability`.
    level : float
        Family-wise error rate, in (0, 1).
    n_boot : int
    studentize : bool
    prewhiten : bool
    block : float, optional
    seed : int or Generator
    resamples : int array, shape (resamples, bars), optional
        As in `superior_ability`.

    Returns
    -------
    StepwiseSuperior

    Raises
    ------
    DataError
        If values are missing, or a column is the same positive number on every row.
    ConfigError
        If a setting is out of range.

    References
    ----------
    Romano and Wolf (2005), "Stepwise Multiple Testing as Formalized Data Snooping", Econometrica 73(4); Romano and Wolf
    (2016), Statistics & Probability Letters 113, for the adjusted p-values; Hsu, Hsu and Kuan (2010), Journal of
    Empirical Finance 17(3), for the recentering.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import stepwise_superior
    >>> excess = np.random.default_rng(2).normal([0.002, 0.0, -0.001], 0.01, (500, 3))
    >>> found = stepwise_superior(excess, seed=0)
    >>> found.superior.tolist(), found.p_values.round(3).tolist()
    ([True, False, False], [0.002, 1.0, 1.0])
    """
    check_share("level", level)
    panel = checked_panel(excess, "stepwise_superior")
    plan = panel_resampling(panel, n_boot=n_boot, block=block, seed=seed, resamples=resamples)
    ready = _scaled(panel, plan, studentize, prewhiten)
    order = np.argsort(-ready.statistics, kind="stable")
    ranked = np.ascontiguousarray(ready.panel[:, order])
    shift, observed = ready.consistent[order], np.maximum(ready.statistics[order], 0.0)
    above = np.zeros(len(order), dtype=np.int64)
    for counts in plan.counts(2 * panel.shape[1]):
        drawn = counts @ ranked
        drawn += shift
        np.maximum(drawn, 0.0, out=drawn)
        rest = np.maximum.accumulate(drawn[:, ::-1], axis=1)[:, ::-1]
        above += np.count_nonzero(rest >= observed, axis=0)
    adjusted = np.maximum.accumulate((1 + above) / (1 + plan.n_boot))
    p_values, statistics = np.ones(panel.shape[1]), np.zeros(panel.shape[1])
    p_values[ready.columns[order]] = adjusted
    statistics[ready.columns] = ready.statistics
    return StepwiseSuperior(
        p_values=p_values,
        superior=p_values <= level,
        statistics=statistics,
        level=level,
        n=plan.n,
        n_boot=plan.n_boot,
        block_length=plan.block,
    )
