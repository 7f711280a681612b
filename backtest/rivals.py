"""What doing nothing clever would have earned on the same rows, after the same costs.

Each benchmark uses only what was known when its row opened; symbols that list later are not bought in advance. Random
timing holds what the strategy held, at other times or in other symbols, and so says how much of a result is exposure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd

from embargo.backtest.arguments import check_at_least, check_block
from embargo.backtest.books.costs import Costs
from embargo.backtest.books.execution import STALE_AFTER
from embargo.backtest.books.simulation import bar_years, holding_returns, net_returns
from embargo.backtest.metrics import sharpe, total_return
from embargo.backtest.significance import block_permutation
from embargo.data_loaders.errors import ConfigError, DataError

Shuffle = Literal["time", "symbols", "both"]

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def buy_and_hold(
    open: pd.DataFrame,  # noqa: A002
    close: pd.DataFrame,
    *,
    costs: Costs,
    stale_after: int = STALE_AFTER,
) -> pd.Series:
    """Equal amounts of every symbol that trades at the first open, never touched again.

    A position whose symbol stops trading is written out at its newest price like in ``simulate`` and stays in cash.

    Parameters
    ----------
    open, close : DataFrame, shape (bars, symbols)
        NaN where a symbol did not trade.
    costs : Costs
    stale_after : int
        As in `simulate`.

    Returns
    -------
    Series, shape (bars,)
        Net return of each row, fraction.

    Raises
    ------
    DataError
        If no symbol has an opening price on the first row.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest import Costs
    >>> from embargo.backtest.rivals import buy_and_hold
    >>> at = pd.date_range('2024-01-01', periods=3, freq='D', tz='UTC')
    >>> opens = pd.DataFrame({'BTC': [100.0, 102.0, 101.0], 'ETH': [50.0, 49.0, 50.0]}, index=at)
    >>> closes = pd.DataFrame({'BTC': [102.0, 101.0, 104.0], 'ETH': [49.0, 50.0, 51.0]}, index=at)
    >>> buy_and_hold(opens, closes, costs=Costs()).round(5).tolist()
    [-0.001, 0.005, 0.02488]
    """
    growth = holding_returns(open, close, stale_after=stale_after).to_numpy()
    start = open.iloc[0].notna().to_numpy()
    if not start.any():
        raise DataError(f"buy_and_hold: no symbol has an opening price on the first row ({open.index[0]}).")
    share = 1.0 / start.sum()
    # Once a position is written out it must stay in cash even if the symbol trades again later.
    gone = np.maximum.accumulate(np.isnan(growth[:, start]), axis=0)
    value = np.cumprod(1.0 + np.where(gone, 0.0, growth[:, start]), axis=0) * share / (1.0 + costs.rate)
    left = np.diff(gone, axis=0, prepend=False)
    exit_cost = np.cumsum((left * value).sum(axis=1)) * costs.rate
    wealth = value.sum(axis=1) - exit_cost
    before = np.concatenate([[1.0], wealth[:-1]])
    return pd.Series(wealth / before - 1.0, index=open.index, name="buy_and_hold")


def weights_benchmark(
    weights: pd.DataFrame,
    open: pd.DataFrame,  # noqa: A002
    close: pd.DataFrame,
    *,
    costs: Costs,
    name: str,
    stale_after: int = STALE_AFTER,
) -> pd.Series:
    """Net returns of any panel of weights on the same rows, such as those of a lexicon's signal.

    Parameters
    ----------
    weights : DataFrame, shape (bars, symbols)
        Targets as fractions of equity, never missing; row t is held from open[t] and was known before it.
    open, close : DataFrame, shape (bars, symbols)
    costs : Costs
    name : str
        Of the benchmark.
    stale_after : int
        As in ``simulate``.

    Returns
    -------
    Series, shape (bars,)
        Net return of each row, fraction, to first order (``net_returns``), borrow cost included.

    Raises
    ------
    DataError
        If the panels carry other bars or symbols, or a weight is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest import Costs
    >>> from embargo.backtest.rivals import weights_benchmark
    >>> at = pd.date_range('2024-01-01', periods=3, freq='D', tz='UTC')
    >>> opens = pd.DataFrame({'BTC': [100.0, 102.0, 101.0], 'ETH': [50.0, 49.0, 50.0]}, index=at)
    >>> closes = pd.DataFrame({'BTC': [102.0, 101.0, 104.0], 'ETH': [49.0, 50.0, 51.0]}, index=at)
    >>> weights = opens * 0.0 + [0.6, 0.2]
    >>> weights_benchmark(weights, opens, closes, costs=Costs(), name='mine').round(5).tolist()
    [0.0072, -0.00181, 0.02181]
    """
    wanted = _panel(weights, open, name)
    growth = holding_returns(open, close, stale_after=stale_after).to_numpy()
    years = bar_years(pd.DatetimeIndex(open.index))
    returns = net_returns(wanted, growth, costs, tradable=open.notna().to_numpy(), years=years)
    return pd.Series(returns, index=open.index, name=name)


def _panel(weights: pd.DataFrame, open: pd.DataFrame, name: str) -> np.ndarray:  # noqa: A002
    if not (weights.index.equals(open.index) and weights.columns.equals(open.columns)):
        raise DataError(
            f"{name}: weights {weights.shape} and prices {open.shape} carry different bars or symbols. "
            "Reindex one to the other."
        )
    values = np.asarray(weights, dtype=float)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(
            f"{name}: the weight of {weights.columns[column]} at {weights.index[row]} is {values[row, column]}. "
            "Write 0 to hold nothing."
        )
    return values


def equal_weight(
    open: pd.DataFrame,  # noqa: A002
    close: pd.DataFrame,
    *,
    costs: Costs,
    stale_after: int = STALE_AFTER,
) -> pd.Series:
    """All symbols that trade at an open, rebalanced to equal weights at every open.

    Parameters
    ----------
    open, close : DataFrame, shape (bars, symbols)
        NaN where a symbol did not trade.
    costs : Costs
    stale_after : int
        As in `simulate`.

    Returns
    -------
    Series, shape (bars,)
        Net return of each row, fraction.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest import Costs
    >>> from embargo.backtest.rivals import equal_weight
    >>> at = pd.date_range('2024-01-01', periods=3, freq='D', tz='UTC')
    >>> opens = pd.DataFrame({'BTC': [100.0, 102.0, 101.0], 'ETH': [50.0, 49.0, 50.0]}, index=at)
    >>> closes = pd.DataFrame({'BTC': [102.0, 101.0, 104.0], 'ETH': [49.0, 50.0, 51.0]}, index=at)
    >>> equal_weight(opens, closes, costs=Costs()).round(5).tolist()
    [-0.001, 0.00528, 0.02484]
    """
    growth = holding_returns(open, close, stale_after=stale_after).to_numpy()
    quoted = open.notna().to_numpy()
    alive = ~np.isnan(growth)
    weights = alive / np.maximum(alive.sum(axis=1, keepdims=True), 1)
    returns = net_returns(weights, growth, costs, tradable=quoted)
    return pd.Series(returns, index=open.index, name="equal_weight")


def cash(index: pd.DatetimeIndex) -> pd.Series:
    """Hold nothing: a return of 0 on every row, since the books pay no interest on cash either.

    Parameters
    ----------
    index : DatetimeIndex, shape (bars,)

    Returns
    -------
    Series, shape (bars,)
        Zeros.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.rivals import cash
    >>> at = pd.date_range('2024-01-01', periods=3, freq='D', tz='UTC')
    >>> cash(at).tolist()
    [0.0, 0.0, 0.0]
    """
    return pd.Series(np.zeros(len(index)), index=index, name="cash")


def benchmark_returns(
    open: pd.DataFrame,  # noqa: A002
    close: pd.DataFrame,
    *,
    costs: Costs,
    stale_after: int = STALE_AFTER,
    panels: Mapping[str, pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """All benchmarks side by side.

    Parameters
    ----------
    open, close : DataFrame, shape (bars, symbols)
    costs : Costs
    stale_after : int
        As in ``simulate``.
    panels : mapping of str to DataFrame, optional
        Weights by name of benchmark, such as ``{"lexicon": ...}``; see ``weights_benchmark``.

    Returns
    -------
    DataFrame, shape (bars, 3 + panels)
        Net returns with the columns ``buy_and_hold``, ``equal_weight`` and ``cash``, then one for each panel.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest import Costs
    >>> from embargo.backtest.rivals import benchmark_returns
    >>> at = pd.date_range('2024-01-01', periods=3, freq='D', tz='UTC')
    >>> opens = pd.DataFrame({'BTC': [100.0, 102.0, 101.0], 'ETH': [50.0, 49.0, 50.0]}, index=at)
    >>> closes = pd.DataFrame({'BTC': [102.0, 101.0, 104.0], 'ETH': [49.0, 50.0, 51.0]}, index=at)
    >>> benchmark_returns(opens, closes, costs=Costs()).round(4).values.tolist()
    [[-0.001, -0.001, 0.0], [0.005, 0.0053, 0.0], [0.0249, 0.0248, 0.0]]
    """
    extra = [
        weights_benchmark(weights, open, close, costs=costs, name=name, stale_after=stale_after)
        for name, weights in (panels or {}).items()
    ]
    return pd.concat(
        [
            buy_and_hold(open, close, costs=costs, stale_after=stale_after),
            equal_weight(open, close, costs=costs, stale_after=stale_after),
            cash(pd.DatetimeIndex(open.index)),
            *extra,
        ],
        axis=1,
    )


@dataclass(frozen=True)
class RandomTiming:
    """A strategy against its own exposure, held at random.

    Attributes
    ----------
    sharpe, total_return : float
        Of the strategy, computed as the draws are (first order); the Sharpe ratio is annual, 0 where there is none.
    share_beaten : float
        Share of the draws whose Sharpe ratio the strategy exceeds, equal ones counted half; in [0, 1].
    p_value : float
        One-sided: (1 + draws with a Sharpe ratio at least as large) / (1 + draws).
    sharpe_quantiles, total_return_quantiles : dict
        Of the draws; keys ``"0.05"``, ``"0.25"``, ``"0.5"``, ``"0.75"``, ``"0.95"``.
    gross_kept : float or None
        Mean gross exposure of the draws over that of the strategy: below 1 where a draw met symbols that did not trade.
        None if the strategy never held anything.
    shuffle : str
    block : int
    n_draws : int
    sharpes, total_returns : float array, shape (n_draws,)
        Of each draw.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest import Costs
    >>> from embargo.backtest.rivals import random_timing
    >>> rng = np.random.default_rng(1)
    >>> close = pd.DataFrame(50.0 * np.exp(rng.normal(0.0, 0.02, (80, 2)).cumsum(axis=0)))
    >>> close.index = pd.date_range('2024-01-01', periods=80, freq='D', tz='UTC')
    >>> weights = np.sign(close.pct_change()).shift(1).fillna(0.0) / 2
    >>> found = random_timing(
    ...     weights, close, close, costs=Costs(), periods_per_year=365, block=5, n_draws=50, seed=1
    ... )
    >>> sorted(found.sharpe_quantiles)
    ['0.05', '0.25', '0.5', '0.75', '0.95']
    """

    sharpe: float
    total_return: float
    share_beaten: float
    p_value: float
    sharpe_quantiles: dict[str, float]
    total_return_quantiles: dict[str, float]
    gross_kept: float | None
    shuffle: Shuffle
    block: int
    n_draws: int
    sharpes: np.ndarray = field(repr=False, compare=False)
    total_returns: np.ndarray = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields but the draws themselves as a JSON-able dictionary."""
        return {name: value for name, value in vars(self).items() if name not in ("sharpes", "total_returns")}


def random_timing(
    weights: pd.DataFrame,
    open: pd.DataFrame,  # noqa: A002
    close: pd.DataFrame,
    *,
    costs: Costs,
    periods_per_year: float,
    block: int,
    shuffle: Shuffle = "time",
    n_draws: int = 500,
    seed: int | np.random.Generator,
    stale_after: int = STALE_AFTER,
) -> RandomTiming:
    """Hold the strategy's own weights at random times, or in random symbols, many times over.

    The draws keep the strategy's gross and net exposure. Over time, blocks of rows change places; where a symbol does
    not exist in its new row, the others on the same side (long or short) take its share. Over symbols, each block of
    rows exchanges symbols among those that exist at its start, so that the exposure of every row stays in place.

    Every draw pays the trading costs of the strategy, their mean per row, and not its own: the trades at the seams of
    the blocks are no part of the strategy and would make chance look poorer than it is. Borrow is the draw's own.

    Parameters
    ----------
    weights : DataFrame, shape (bars, symbols)
        Targets as fractions of equity; row t is held from open[t].
    open, close : DataFrame, shape (bars, symbols)
    costs : Costs
    periods_per_year : float
    block : int
        Rows kept together, at least as long as the signal's memory.
    shuffle : {"time", "symbols", "both"}
        What is left to chance: when, what, or both.
    n_draws : int
    seed : int or Generator
    stale_after : int
        As in ``simulate``.

    Returns
    -------
    RandomTiming
        Null hypothesis: given its exposure, the strategy's choice of times (symbols) is no better than chance.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    DataError
        If the panels carry other bars or symbols, or a weight is missing.

    References
    ----------
    Aronson (2006), "Evidence-Based Technical Analysis" (Monte Carlo permutation of positions against returns); Burns
    (2007), "Random Portfolios for Performance Measurement"; p-value: Phipson and Smyth (2010), SAGMB 9(1).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest import Costs
    >>> from embargo.backtest.rivals import random_timing
    >>> rng = np.random.default_rng(1)
    >>> close = pd.DataFrame(50.0 * np.exp(rng.normal(0.0, 0.02, (80, 2)).cumsum(axis=0)))
    >>> close.index = pd.date_range('2024-01-01', periods=80, freq='D', tz='UTC')
    >>> weights = np.sign(close.pct_change()).shift(1).fillna(0.0) / 2
    >>> found = random_timing(
    ...     weights, close, close, costs=Costs(), periods_per_year=365, block=5, n_draws=50, seed=1
    ... )
    >>> round(found.sharpe, 2), round(found.p_value, 2)
    (-0.1, 0.22)
    """
    if shuffle not in ("time", "symbols", "both"):
        raise ConfigError(f"random_timing: shuffle must be 'time', 'symbols' or 'both', got {shuffle!r}.")
    check_at_least("n_draws", n_draws, 1)
    check_block(block, len(weights))
    rng = np.random.default_rng(seed)
    wanted = _panel(weights, open, "random_timing")
    growth = holding_returns(open, close, stale_after=stale_after).to_numpy()
    tradable, years = open.notna().to_numpy(), bar_years(pd.DatetimeIndex(open.index))
    absent = np.isnan(growth)
    own = np.where(absent, 0.0, wanted)
    untaxed = replace(costs, fee=0.0, slippage=0.0)

    def earned(panel: np.ndarray, charged: Costs) -> np.ndarray:
        return net_returns(panel, growth, charged, tradable=tradable, years=years)

    mine = earned(own, costs)
    cost = float((earned(own, untaxed) - mine).mean())
    sharpes, totals, held = np.empty(n_draws), np.empty(n_draws), 0.0
    for draw in range(n_draws):
        panel = own
        if shuffle != "symbols":
            panel = _placed(panel[block_permutation(len(panel), block, rng)], absent)
        if shuffle != "time":
            panel = _exchanged(panel, absent, block, rng)
        net = np.maximum(earned(panel, untaxed) - cost, -1.0)
        sharpes[draw] = sharpe(net, periods_per_year=periods_per_year) or 0.0
        totals[draw] = total_return(net)
        held += float(np.abs(panel).sum())
    gross = float(np.abs(own).sum()) * n_draws
    observed = sharpe(mine, periods_per_year=periods_per_year) or 0.0
    # A strategy that every shuffle repeats differs from its draws by rounding alone; those count as equal.
    margin = 1e-9 * max(1.0, abs(observed))
    above, equal = sharpes > observed + margin, np.abs(sharpes - observed) <= margin
    return RandomTiming(
        sharpe=observed,
        total_return=total_return(mine),
        share_beaten=float(1.0 - above.mean() - 0.5 * equal.mean()),
        p_value=float((1 + np.count_nonzero(above | equal)) / (1 + n_draws)),
        sharpe_quantiles=_quantiles(sharpes),
        total_return_quantiles=_quantiles(totals),
        gross_kept=held / gross if gross > 0.0 else None,
        shuffle=shuffle,
        block=block,
        n_draws=n_draws,
        sharpes=sharpes,
        total_returns=totals,
    )


def _quantiles(values: np.ndarray) -> dict[str, float]:
    return {str(level): float(np.quantile(values, level)) for level in _QUANTILES}


def _placed(panel: np.ndarray, absent: np.ndarray) -> np.ndarray:
    """Give the weight of symbols that do not exist in a row to the others on the same side, in proportion."""
    short = absent.any(axis=1)
    if not short.all():
        # Where all symbols exist, each side has what it wants.
        placed = panel + 0.0
        placed[short] = _placed(panel[short], absent[short]) if short.any() else 0.0
        return placed
    placed = np.where(absent, 0.0, panel)
    result = np.zeros_like(placed)
    for side in (1.0, -1.0):
        kept = np.maximum(side * placed, 0.0)
        have = kept.sum(axis=1)
        want = np.maximum(side * panel, 0.0).sum(axis=1)
        factor = np.divide(want, have, out=np.zeros_like(have), where=have > 0.0)
        result += side * kept * factor[:, None]
    return result


def _exchanged(panel: np.ndarray, absent: np.ndarray, block: int, rng: np.random.Generator) -> np.ndarray:
    """Let symbols change places in each block of rows, among those that exist when the block starts."""
    result = panel.copy()
    first = int(rng.integers(block))
    for start, stop in _spans(len(panel), block, first):
        present = np.flatnonzero(~absent[start])
        result[start:stop, rng.permutation(present)] = panel[start:stop, present]
    return np.where(absent, 0.0, result)


def _spans(rows: int, block: int, first: int) -> list[tuple[int, int]]:
    """Cut rows into blocks, the first of them shortened so that borders fall anywhere."""
    edges = sorted({0, *range(first, rows, block), rows})
    return list(pairwise(edges))
