"""One strategy among everything that was tried: p-values of Sharpe ratios that allow for the number of attempts.

The attempts are resampled together, so those that move alike count as little as they are worth, and each ratio is held
against its own error, so a bad or a wild sibling takes nothing from a good one. Blocks have one length: a resample is
then a row of counts of blocks, and all its sums over all attempts are a product of two matrices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from embargo.backtest.arguments import check_mean_block, check_n_boot, check_share
from embargo.backtest.significance.long_run import sharpe_influence
from embargo.backtest.significance.panels import block_error, checked_panel, panel_block_length
from embargo.backtest.significance.resampling import block_rows
from embargo.backtest.significance.series import MINIMUM_ROWS, varies
from embargo.backtest.significance.sharpe import moving_rows

_CELLS_PER_CHUNK = 4_000_000
_COLUMNS_PER_CHUNK = 250
_FLAT = 1e-12
_NO_SPREAD = 1e-9


@dataclass(frozen=True)
class StepwiseSharpe:
    """Which of many Sharpe ratios are positive beyond chance, all of them having been looked at.

    Attributes
    ----------
    p_values : float array, shape (attempts,)
        One-sided, for the null hypothesis that the true Sharpe ratio of the attempt is not positive, adjusted for all
        attempts: the chance that any attempt without an edge falls to a level or below it is at most that level. 1 for
        attempts that are not judged.
    statistics : float array, shape (attempts,)
        Sharpe ratio in standard errors of its own; NaN for attempts that are not judged.
    critical_value : float or None
        What the best of all judged attempts has to exceed at ``level``; None where none is judged.
    judged : bool array, shape (attempts,)
        Attempts with at least 30 rows that move (`moving_rows`). The others can claim nothing, and so cost nothing.
    level : float
    block_length : int
        Rows of a block.
    n, n_boot : int
        Rows, resamples.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.significance import stepwise_sharpe
    >>> found = stepwise_sharpe(np.random.default_rng(1).normal(size=(60, 2)), n_boot=200, seed=0)
    >>> found.judged.tolist(), found.n
    ([True, True], 60)
    """

    p_values: np.ndarray = field(repr=False, compare=False)
    statistics: np.ndarray = field(repr=False, compare=False)
    critical_value: float | None
    judged: np.ndarray = field(repr=False, compare=False)
    level: float
    block_length: int
    n: int
    n_boot: int


def stepwise_sharpe(
    returns: np.ndarray,
    *,
    level: float = 0.05,
    n_boot: int = 2000,
    block: float | None = None,
    seed: int | np.random.Generator,
) -> StepwiseSharpe:
    """Find the attempts whose Sharpe ratio is positive, with control of the family-wise error (Romano-Wolf max-t).

    The resampled quantity is ``(SR* - SR) / se*`` of every attempt, where se* comes from the spread of the resample's
    own blocks, as in `sharpe_estimate`; the attempt with the k-th largest statistic is held against the largest of
    those that rank no better. Attempts far below zero are taken to be losers, not to be worth nothing, as in
    `superior_ability`.

    `docs/size_and_power.md` has the simulated rates. With 252 and 504 rows and 5 or 100 worthless attempts, any of them
    is found in 2 to 6.5 % of 200 simulated panels (i.i.d., autoregressive 0.2, GARCH). A true Sharpe ratio of 2 is
    found on 756 rows in 96 % of 200 panels beside none, in 96 % beside one of -3, in 91 % beside one of 0, and in 82 %
    beside four of 0.

    Parameters
    ----------
    returns : float array, shape (bars, attempts)
        Net simple returns of every attempt on the same bars.
    level : float
        Family-wise error rate, in (0, 1), that ``critical_value`` belongs to.
    n_boot : int
        Resamples, at least 100.
    block : float, optional
        Rows of a block, rounded; by default the automatic length, but no less than the root of the rows: attempts on
        one market share its slow trends, of which short blocks know nothing.
    seed : int or Generator

    Returns
    -------
    StepwiseSharpe
        Beside no other attempt, the p-value is that of `sharpe_estimate` up to the draws.

    Raises
    ------
    DataError
        If values are missing, or there are fewer than 30 rows.
    ConfigError
        If a setting is out of range.

    References
    ----------
    Romano and Wolf (2005), "Stepwise Multiple Testing as Formalized Data Snooping", Econometrica 73(4); Romano and Wolf
    (2016), Statistics & Probability Letters 113, for the adjusted p-values; Ledoit and Wolf (2008), Journal of
    Empirical Finance 15(5), and Götze and Künsch (1996), Annals of Statistics 24(5), for the studentised ratio; Hansen
    (2005), Journal of Business & Economic Statistics 23(4), for what is far below zero.

    Examples
    --------
    A strategy is none the worse for a bad sibling:

    >>> import numpy as np
    >>> from embargo.backtest.significance import stepwise_sharpe
    >>> returns = np.random.default_rng(2).normal([0.002, -0.002], 0.01, (500, 2))
    >>> found = stepwise_sharpe(returns, seed=0)
    >>> found.p_values.round(3).tolist(), round(found.critical_value, 2)
    ([0.0, 1.0], 1.88)
    """
    check_share("level", level)
    check_n_boot(n_boot)
    check_mean_block(block)
    panel = checked_panel(returns, "stepwise_sharpe")
    n, attempts = panel.shape
    judged = np.array([varies(column) and moving_rows(column) >= MINIMUM_ROWS for column in panel.T])
    length = block_rows(n, panel_block_length(panel)) if block is None else max(1, min(round(block), n))
    p_values, statistics = np.ones(attempts), np.full(attempts, np.nan)
    columns = np.flatnonzero(judged)
    if len(columns):
        ratios, influences = zip(*(sharpe_influence(panel[:, column]) for column in columns), strict=True)
        # Errors that owe less to chance: of many attempts, those whose own errors happen to be small would rank first.
        errors = block_error(np.column_stack(influences), length)
        statistics[columns] = np.asarray(ratios) * math.sqrt(n) / errors
    judged = np.isfinite(statistics)
    columns = np.flatnonzero(judged)
    critical: float | None = None
    if len(columns):
        # From the worst to the best, so that the largest of those behind is always known.
        order = columns[np.argsort(statistics[columns], kind="stable")]
        above, largest = _exceeded(panel[:, order], statistics[order], length, n_boot, np.random.default_rng(seed))
        adjusted = (1 + above) / (1 + n_boot)
        p_values[order] = np.maximum.accumulate(adjusted[::-1])[::-1]
        critical = float(np.quantile(largest, 1.0 - level))
    return StepwiseSharpe(
        p_values=p_values,
        statistics=statistics,
        critical_value=critical,
        judged=judged,
        level=level,
        block_length=length,
        n=n,
        n_boot=n_boot,
    )


def _exceeded(
    panel: np.ndarray, observed: np.ndarray, length: int, n_boot: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Count the resamples whose largest statistic among a column and all before it reaches that column's own.

    Also returns the largest over all columns of each resample, shape (n_boot,).
    """
    n = len(panel)
    blocks = -(-n // length)
    losers = np.where(observed < -math.sqrt(2.0 * math.log(math.log(n))), observed, 0.0)
    above, largest = np.zeros(panel.shape[1], dtype=np.int64), np.empty(n_boot)
    step = max(1, _CELLS_PER_CHUNK // n)
    for first in range(0, n_boot, step):
        size = min(step, n_boot - first)
        places = rng.integers(0, n, (size, blocks)) + np.arange(size)[:, None] * n
        counts = np.bincount(places.ravel(), minlength=size * n).reshape(size, n).astype(float)
        highest = np.full(size, -np.inf)
        for left in range(0, panel.shape[1], _COLUMNS_PER_CHUNK):
            part = slice(left, left + _COLUMNS_PER_CHUNK)
            drawn = _pivots(counts, panel[:, part], length)
            behind = np.column_stack([highest, drawn + losers[part]])
            np.maximum.accumulate(behind, axis=1, out=behind)
            above[part] += np.count_nonzero(np.maximum(drawn, behind[:, :-1]) >= observed[part], axis=0)
            highest = behind[:, -1].copy()
        largest[first : first + size] = highest
    return above, largest


def _pivots(counts: np.ndarray, panel: np.ndarray, length: int) -> np.ndarray:
    """Sharpe ratios of resamples less those of the panel, in errors from their own blocks; shape (resamples, columns).

    Minus infinity where a resample does not vary.
    """
    centre, scale = panel.mean(axis=0), panel.std(axis=0)
    shift = centre / scale
    z = (panel - centre) / scale
    one, two = _block_sums(z, length), _block_sums(z * z, length)
    rows = float(counts[0].sum()) * length
    sums, squares = counts @ one, counts @ two
    mean = sums / rows
    variance = squares / rows - mean * mean
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = np.sqrt(variance)
        ratio = (shift + mean) / deviation
        # Influence of a block on the ratio, linear in its sums; over all blocks it adds up to nothing.
        on_two = -0.5 * ratio / variance
        on_one = 1.0 / deviation + ratio * mean / variance
        constant = length * (-mean / deviation - 0.5 * ratio * (mean * mean / variance - 1.0))
        spread = on_one**2 * (counts @ one**2)
        spread += on_two**2 * (counts @ two**2)
        spread += 2.0 * on_one * on_two * (counts @ (one * two))
        # (a + x)**2 over the blocks, where the x add up to -a each.
        spread -= constant**2 * (rows / length)
        pivot = (ratio - shift) * rows / np.sqrt(spread)
    usable = (variance > _FLAT) & (spread > _NO_SPREAD * rows)
    return np.where(usable, pivot, -np.inf)


def _block_sums(values: np.ndarray, length: int) -> np.ndarray:
    """Sum of the rows of each block, by the row that it starts on; the last ones go round to the first rows."""
    totals = np.zeros((len(values) + length, values.shape[1]))
    np.cumsum(np.concatenate([values, values[: length - 1]]), axis=0, out=totals[1:])
    return totals[length:] - totals[:-length]
