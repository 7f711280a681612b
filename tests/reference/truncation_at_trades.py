"""Look-ahead as freqtrade's lookahead-analysis finds it, re-made from its documentation: cut at trades, compare, count.

A backtest over everything is the baseline. It is cancelled if it made fewer trades than a minimum. Then each trade is
looked at by itself: the data of its own pair are cut where it was entered, the strategy runs again, and its signal at
that candle is held against the baseline's. Only what was traded is looked at, the candle of the trade itself is inside
the cut, and the other pairs are not there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from embargo.backtest.leakage import Finding
from embargo.data_loaders.schemas import Prices

TITLE = "Signals at trades stay as they were when data end with the trade"
MINIMUM_TRADES = 10
TARGETED_TRADES = 20


def truncation_at_trades(
    decide: Callable[[pd.DataFrame, Prices], pd.DataFrame],
    news: pd.DataFrame,
    prices: Prices,
    decided_at: pd.DatetimeIndex,
    *,
    n_rows: int = TARGETED_TRADES,
    seed: int = 0,
) -> list[Finding]:
    """Hold the weights at each of up to ``n_rows`` trades against those of a run on data that end with its bar.

    A trade is a cell in which a weight changed. The signature is that of `embargo.backtest.leakage.perturb_function`.
    """
    base = decide(news.copy(), prices)
    values = np.nan_to_num(base.to_numpy(dtype=float))
    trades = np.argwhere(np.diff(values, axis=0, prepend=0.0) != 0.0)
    if len(trades) < MINIMUM_TRADES:
        detail = f"{len(trades)} trades, {MINIMUM_TRADES} are needed: cancelled."
        return [Finding("T1", "inconclusive", TITLE, detail)]
    looked_at = np.random.default_rng(seed).permutation(trades)[:n_rows]
    biased = []
    for row, column in sorted(map(tuple, looked_at.tolist())):
        symbol, until = base.columns[column], prices.close_at[row]
        known = news.loc[(news["known_at"] <= until) & (news["symbol"] == symbol)]
        cut = decide(known.copy(), prices.select(symbols=[symbol], bars=np.arange(row + 1)))
        now = float(cut[symbol].iloc[-1]) if symbol in cut else np.nan
        if now != values[row, column]:
            biased.append({"symbol": str(symbol), "row": int(row), "decided_at": decided_at[row].isoformat()})
    detail = f"{len(biased)} of {len(looked_at)} trades have another signal on data that end with their bar."
    return [Finding("T1", "leak" if biased else "pass", TITLE, detail, biased[:5])]
