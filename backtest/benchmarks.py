"""What doing nothing clever would have earned on the same rows, after the same costs.

Each benchmark uses only what was known when its row opened; symbols that list later are not bought in advance.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from backtest.costs import Costs
from backtest.simulate import STALE_AFTER, holding_returns, net_returns
from data_loaders.errors import DataError


def buy_and_hold(
    open: pd.DataFrame,  # noqa: A002
    close: pd.DataFrame,
    *,
    costs: Costs,
    stale_after: int = STALE_AFTER,
) -> pd.Series:
    """Equal amounts of every symbol that trades at the first open, never touched again.

    A position whose symbol stops trading is written out at its newest price like in ``simulate`` and stays in cash.

    Returns
    -------
    Series, shape (bars,)
        Net return of each row, fraction.

    Raises
    ------
    DataError
        If no symbol has an opening price on the first row.
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


def equal_weight(
    open: pd.DataFrame,  # noqa: A002
    close: pd.DataFrame,
    *,
    costs: Costs,
    stale_after: int = STALE_AFTER,
) -> pd.Series:
    """All symbols that trade at an open, rebalanced to equal weights at every open.

    Returns
    -------
    Series, shape (bars,)
        Net return of each row, fraction.
    """
    growth = holding_returns(open, close, stale_after=stale_after).to_numpy()
    quoted = open.notna().to_numpy()
    alive = ~np.isnan(growth)
    weights = alive / np.maximum(alive.sum(axis=1, keepdims=True), 1)
    returns = net_returns(weights, growth, costs, tradable=quoted)
    return pd.Series(returns, index=open.index, name="equal_weight")


def cash(index: pd.DatetimeIndex) -> pd.Series:
    """Hold nothing: a return of 0 on every row, since the books pay no interest on cash either."""
    return pd.Series(np.zeros(len(index)), index=index, name="cash")


def benchmark_returns(
    open: pd.DataFrame,  # noqa: A002
    close: pd.DataFrame,
    *,
    costs: Costs,
    stale_after: int = STALE_AFTER,
) -> pd.DataFrame:
    """All benchmarks side by side.

    Returns
    -------
    DataFrame, shape (bars, 3)
        Net returns with the columns ``buy_and_hold``, ``equal_weight`` and ``cash``.
    """
    return pd.concat(
        [
            buy_and_hold(open, close, costs=costs, stale_after=stale_after),
            equal_weight(open, close, costs=costs, stale_after=stale_after),
            cash(pd.DatetimeIndex(open.index)),
        ],
        axis=1,
    )
