"""What the single trades were worth, from entry to exit, out of the books' trade records."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.metrics.ratios import hit_rate, losing_streak, payoff_ratio, profit_factor
from embargo.backtest.metrics.series import checked
from embargo.data_loaders.errors import DataError

_COLUMNS = ("entry_bar", "exit_bar", "pnl", "return")


def trade_figures(trades: pd.DataFrame) -> dict[str, Any]:
    """Return hit rate, profit factor and the like over trades instead of rows.

    Parameters
    ----------
    trades : DataFrame
        ``Books.trades``: one row per trade with ``entry_bar`` and ``exit_bar`` (positions of rows), ``pnl`` (currency,
        after fees) and ``return`` (fraction of the money put in). A position still open at the end counts at its last
        value.

    Returns
    -------
    dict of str to float, int or None
        ``n_trades``; ``hit_rate`` (share of those with a profit or loss that made a profit), ``profit_factor`` and
        ``payoff_ratio``, all three in currency; ``losing_streak`` (trades, by exit); ``mean_return``, ``best_return``
        and ``worst_return`` (fractions); ``mean_bars`` (rows from entry to exit). None where a figure does not exist.

    Raises
    ------
    DataError
        If a column is absent or a profit is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.metrics import trade_figures
    >>> trades = pd.DataFrame(
    ...     {'entry_bar': [0, 3], 'exit_bar': [2, 4], 'pnl': [120.0, -40.0], 'return': [0.012, -0.004]}
    ... )
    >>> told = trade_figures(trades)
    >>> told['hit_rate'], told['profit_factor'], told['mean_bars']
    (0.5, 3.0, 1.5)
    """
    absent = [name for name in _COLUMNS if name not in trades.columns]
    if absent:
        raise DataError(f"trade_figures: the trade records have no column {', '.join(absent)}. Pass Books.trades.")
    ordered = trades.sort_values("exit_bar", kind="stable")
    profits, returns = checked(ordered["pnl"]), checked(ordered["return"])
    held = ordered["exit_bar"].to_numpy(dtype=float) - ordered["entry_bar"].to_numpy(dtype=float)
    some = len(profits) > 0
    return {
        "n_trades": len(profits),
        "hit_rate": hit_rate(profits),
        "profit_factor": profit_factor(profits),
        "payoff_ratio": payoff_ratio(profits),
        "losing_streak": losing_streak(profits),
        "mean_return": float(returns.mean()) if some else None,
        "best_return": float(returns.max()) if some else None,
        "worst_return": float(returns.min()) if some else None,
        "mean_bars": float(np.mean(held)) if some else None,
    }
