"""What of a result hangs on bars that a check marks: the same orders, with nothing earned or lost at those prices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from embargo.backtest.books import kernel
from embargo.backtest.books.simulation import marks
from embargo.backtest.metrics import performance
from embargo.research.records.data_faults import WithoutBars
from embargo.research.run.plan import Plan
from embargo.research.run.trading import Trade, market_of


def spoiled_rows(marked: np.ndarray, rows: slice) -> np.ndarray:
    """Tell which returns of some rows begin or end at a marked bar.

    Row t earns from the fill of bar t to that of bar t + 1, so a marked bar spoils its own row and the one before.

    Parameters
    ----------
    marked : bool array, shape (bars, symbols)
        Of all bars.
    rows : slice
        Positions of the rows among them.

    Returns
    -------
    bool array, shape (rows, symbols)

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.research.run.without import spoiled_rows
    >>> spoiled_rows(np.array([[False], [False], [True], [False]]), slice(1, 4)).ravel().tolist()
    [True, True, False]
    """
    after = np.vstack([marked[1:], np.zeros((1, marked.shape[1]), dtype=bool)])
    return np.asarray((marked | after)[rows])


def stilled(market: kernel.Market, spoiled: np.ndarray) -> kernel.Market:
    """Return the same market with every level after a spoiled row moved so that nothing was earned over it.

    Parameters
    ----------
    market : Market
    spoiled : bool array, shape (bars, symbols)

    Returns
    -------
    Market
        Volumes move against the levels, so that what can be traded keeps its worth.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.books.kernel import Market
    >>> from embargo.research.run.without import stilled
    >>> fill = np.array([[100.0], [101.0], [50.0], [51.0]])  # a split of two for one before the third bar
    >>> market = Market(fill=fill, close=fill, years=np.full(4, 1 / 252))
    >>> stilled(market, np.array([[False], [True], [False], [False]])).fill.ravel().tolist()
    [100.0, 101.0, 101.0, 103.02]
    """
    value = marks(pd.DataFrame(market.fill), pd.DataFrame(market.close))
    step = value[:-1] / value[1:]
    undone = np.cumprod(np.where(spoiled & np.isfinite(step), step, 1.0), axis=0)
    before = np.vstack([np.ones((1, undone.shape[1])), undone[:-1]])
    return replace(
        market,
        fill=market.fill * before,
        close=market.close * undone,
        volume=None if market.volume is None else market.volume / before,
    )


def without_marked(plan: Plan, result: Trade) -> tuple[dict[str, WithoutBars], WithoutBars | None]:
    """Keep the books of a run once more without the bars that its checks of prices mark.

    The weights stay those of the run: what was learnt, scaled or sorted into regimes by a marked price is not undone.

    Parameters
    ----------
    plan : Plan
    result : Trade
        What the run traded.

    Returns
    -------
    by_check : dict of str to WithoutBars
        For each check that is not clean and marks bars, by its code.
    without_bad : WithoutBars or None
        Without all that the bad ones mark; None where they mark none.
    """
    noticed = plan.data.noticed
    marking = {each.code: each.marked for each in noticed if each.marked is not None and each.marked.any()}
    if not marking:
        return {}, None
    market, weights = market_of(plan), result.decision.weights.to_numpy(dtype=float)
    by_check = {code: _kept_again(plan, market, weights, marked) for code, marked in marking.items()}
    bad = [marking[check.code] for check in plan.data.faults if check.code in marking]
    if not bad:
        return by_check, None
    return by_check, _kept_again(plan, market, weights, np.logical_or.reduce(bad))


def _kept_again(plan: Plan, market: kernel.Market, weights: np.ndarray, marked: np.ndarray) -> WithoutBars:
    spoiled, rules, prices = spoiled_rows(marked, plan.rows), plan.rules, plan.world.prices
    account = kernel.run(
        weights,
        stilled(market, spoiled),
        rules.costs,
        rules.execution,
        initial_cash=plan.config.portfolio.initial_cash,
    )
    returns = pd.Series(account.returns, index=prices.open_at[plan.rows])
    found = performance(returns, periods_per_year=plan.world.periods_per_year)
    quoted = np.isfinite(prices.close.to_numpy(dtype=float))[plan.rows]
    return WithoutBars(
        n_marked=int(marked.sum()),
        n_symbols=int(marked.any(axis=0).sum()),
        n_left_out=int(spoiled.sum()),
        share_left_out=float(spoiled.sum() / max(int((quoted | spoiled).sum()), 1)),
        sharpe=found["sharpe"],
        total_return=found["total_return"],
        max_drawdown=found["max_drawdown"],
    )
