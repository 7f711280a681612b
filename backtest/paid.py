"""What the books paid for trading and holding, what trading might cost at most, and how much money the edge could bear.

Everything is read from finished books; volumes and volatilities are those that were known when each row was decided.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.books.costs import Costs
from embargo.backtest.books.execution import Execution, trailing_volatility, trailing_volume
from embargo.backtest.books.simulation import Books
from embargo.backtest.metrics import break_even_cost, capacity, cost_breakdown
from embargo.data_loaders.schemas import Prices


def frictions(
    books: Books,
    prices: Prices,
    rows: slice,
    last_closed: np.ndarray,
    *,
    costs: Costs,
    execution: Execution,
    initial_cash: float,
    periods_per_year: float,
) -> dict[str, Any]:
    """Say what was paid and to whom, what trading might cost at most, and how much money the edge could bear.

    Parameters
    ----------
    books : Books
        Of the rows.
    prices : Prices
        All bars there are, those before the rows too.
    rows : slice
        Positions of the bars that were traded.
    last_closed : int array, shape (bars,)
        Newest bar closed when each bar is decided, -1 for none.
    costs : Costs
    execution : Execution
    initial_cash : float
        Currency.
    periods_per_year : float

    Returns
    -------
    dict
        ``costs_paid`` (by part: ``currency, per_year, per_turnover``), ``break_even_cost`` (fraction of the traded
        notional) and ``capacity`` (currency), as in `embargo.backtest.metrics`.

    Raises
    ------
    ConfigError
        If ``periods_per_year`` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest import Costs, Execution, simulate
    >>> from embargo.backtest.paid import frictions
    >>> from embargo.data_loaders.schemas import Prices
    >>> at = pd.date_range('2024-01-01', periods=3, freq='D', tz='UTC')
    >>> opens = pd.DataFrame({'BTC': [100.0, 102.0, 101.0]}, index=at)
    >>> closes = pd.DataFrame({'BTC': [102.0, 101.0, 104.0]}, index=at)
    >>> prices = Prices(opens, opens, closes, closes, 1e4 * closes, at, at + pd.Timedelta(days=1), '24/7')
    >>> half = pd.DataFrame({'BTC': [0.5, 0.5, 0.0]}, index=at)
    >>> books = simulate(half, opens, closes, open_at=at, costs=Costs(), engine='kernel')
    >>> told = frictions(
    ...     books,
    ...     prices,
    ...     slice(0, 3),
    ...     np.arange(3) - 1,
    ...     costs=Costs(),
    ...     execution=Execution(),
    ...     initial_cash=1e6,
    ...     periods_per_year=365,
    ... )
    >>> round(told['costs_paid']['total']['currency'], 2), round(told['break_even_cost'], 5)
    (1005.05, 0.00508)
    """
    before = np.concatenate([[initial_cash], books.equity.to_numpy()[:-1]])
    trading = {"commission": books.commission, "spread": books.spread_paid, "impact": books.impact_paid}
    holding = {"borrow": books.borrow_paid, "interest": books.interest_paid, "funding": books.funding_paid}
    paid = trading | {"haircut": books.haircut_paid} | holding
    orders = books.orders
    traded = np.zeros(books.realised_weights.shape)
    columns = books.realised_weights.columns.get_indexer(pd.Index(orders["symbol"]))
    worth = (orders["size"] * orders["price"]).to_numpy(dtype=float)
    np.add.at(traded, (orders["bar"].to_numpy(), columns), worth / before[orders["bar"].to_numpy()])
    dollars = trailing_volume(prices.volume * prices.close, last_closed, bars=execution.volume_bars)
    volatility = trailing_volatility(prices.close, last_closed)
    per_row = books.impact_paid / before.mean() / len(before)
    return {
        "costs_paid": cost_breakdown(paid, before, books.turnover, periods_per_year=periods_per_year),
        "break_even_cost": break_even_cost(
            books.returns, books.turnover, paid=sum(trading.values()) / before.mean() / len(before)
        ),
        "capacity": capacity(
            books.returns + per_row,
            traded,
            dollars.iloc[rows],
            volatility.iloc[rows],
            impact=costs.impact or 1.0,
            participation=execution.participation or 0.05,
        ),
    }
