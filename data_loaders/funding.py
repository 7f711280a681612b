"""What a position in a perpetual pays for each bar it is held: recorded funding rates, laid out on the bars.

A settlement is charged to the bar during which it falls, to whoever held the position when it came; it is never known,
and never charged, before that.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices, as_utc, utc_microseconds


def funding_panel(
    facts: pd.DataFrame, prices: Prices, *, fill: Literal["open", "close"] = "open"
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Sum the funding rates that settle while each row is held.

    Parameters
    ----------
    facts : DataFrame
        ``symbol, settles_at, rate``; the rate is a fraction of the position's value, and longs pay where it is
        positive.
    prices : Prices
    fill : {"open", "close"}
        When a row is traded: it is held from there to the same edge of the next row.

    Returns
    -------
    (rates, counts)
        ``rates``, shape (bars, symbols): the settlements after open[t] and up to open[t+1], where the last row runs to
        its close; or after close[t] and up to close[t+1], where the last row is over as it is traded. Who buys at the
        very instant of a settlement does not pay it. 0 where nothing settles. ``counts``: ``settlements`` used,
        ``outside`` the bars, and ``without_funding``: symbols that have none.

    Raises
    ------
    DataError
        If a rate is not finite, a settlement is recorded twice, or none falls on these bars.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import Prices, funding_panel
    >>> days = pd.to_datetime(["2020-01-01", "2020-01-02"])
    >>> close = pd.DataFrame({"BTCUSDT": [7200.0, 7000.0]}, index=days)
    >>> prices = Prices.from_frames(open=close, high=close, low=close, close=close, calendar="24/7")
    >>> settles_at = pd.to_datetime(["2020-01-01 08:00Z", "2020-01-01 16:00Z"])
    >>> facts = pd.DataFrame({"symbol": "BTCUSDT", "settles_at": settles_at, "rate": [0.0001, 0.0002]})
    >>> rates, counts = funding_panel(facts, prices)
    >>> rates["BTCUSDT"].round(6).tolist(), counts["settlements"]
    ([0.0003, 0.0], 2)
    """
    facts = facts.loc[facts["symbol"].isin(prices.symbols)]
    settles_at = as_utc(facts["settles_at"], what="funding, column settles_at")
    values = facts["rate"].to_numpy(dtype=float)
    if not np.isfinite(values).all():
        raise DataError(f"funding: the rate at row {int(np.argmin(np.isfinite(values)))} is not a finite number.")
    repeated = facts[["symbol", "settles_at"]].duplicated()
    if repeated.any():
        symbol, instant = facts.loc[repeated, ["symbol", "settles_at"]].iloc[0]
        raise DataError(f"funding: {symbol} settles twice at {instant}. Keep one rate for each settlement.")
    opens, closes = utc_microseconds(prices.open_at), utc_microseconds(prices.close_at)
    edges = np.append(opens, closes[-1]) if fill == "open" else closes
    row = np.searchsorted(edges, utc_microseconds(settles_at), side="left") - 1
    inside = (row >= 0) & (row < len(edges) - 1)
    if not inside.any():
        raise DataError(
            f"funding: none of the {len(facts)} settlements falls between {prices.open_at[0]} and "
            f"{prices.close_at[-1]}. Fetch it with 'embargo fetch bybit --funding', or set execution.funding = false."
        )
    column = pd.Index(prices.symbols).get_indexer(pd.Index(facts["symbol"]))
    rates = np.zeros(prices.open.shape)
    np.add.at(rates, (row[inside], column[inside]), values[inside])
    panel = pd.DataFrame(rates, index=prices.open.index, columns=prices.open.columns)
    bare = set(prices.symbols) - set(facts["symbol"])
    counts = {"settlements": int(inside.sum()), "outside": int((~inside).sum()), "without_funding": len(bare)}
    return panel, counts
