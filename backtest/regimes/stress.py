"""Stretches of market stress by name, and how a strategy came through those that its rows cover.

They were named with hindsight, so they may only report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from embargo.backtest.metrics import max_drawdown, total_return
from embargo.data_loaders.errors import DataError

StressedMarket = Literal["shares", "crypto"]


@dataclass(frozen=True)
class StressWindow:
    """A stretch of stress with a name.

    Attributes
    ----------
    name : str
    market : {"shares", "crypto"}
        Whose stress it was.
    first, last : str
        Days in UTC, inclusive, ISO 8601.
    fact : str
        One fact.

    Examples
    --------
    >>> from embargo.backtest.regimes import WINDOWS
    >>> WINDOWS[0].name, WINDOWS[0].first, WINDOWS[0].last
    ('Crash of 1929', '1929-09-17', '1929-11-13')
    """

    name: str
    market: StressedMarket
    first: str
    last: str
    fact: str


# Falls are those of daily closes of the S&P 500, and of bitcoin in dollars where crypto is meant.
WINDOWS: tuple[StressWindow, ...] = (
    StressWindow("Crash of 1929", "shares", "1929-09-17", "1929-11-13", "The S&P composite fell 45 % in two months."),
    StressWindow("Great Depression", "shares", "1930-04-11", "1932-06-01", "The S&P composite fell 83 %."),
    StressWindow("Recession of 1937", "shares", "1937-03-11", "1938-03-31", "The S&P composite fell 54 %."),
    StressWindow("Oil crisis 1973-74", "shares", "1973-01-12", "1974-10-03", "The S&P 500 fell 48 % in 21 months."),
    StressWindow("Black Monday 1987", "shares", "1987-10-14", "1987-10-19", "On 19 October it fell 20.5 % in one day."),
    StressWindow(
        "Russia and LTCM 1998", "shares", "1998-07-20", "1998-08-31", "Russia defaulted; the S&P 500 fell 19 %."
    ),
    StressWindow("Dot-com bust", "shares", "2000-03-27", "2002-10-09", "The S&P 500 fell 49 % in 31 months."),
    StressWindow("Financial crisis", "shares", "2007-10-10", "2009-03-09", "The S&P 500 fell 57 % in 17 months."),
    StressWindow("Lehman autumn 2008", "shares", "2008-09-15", "2008-11-20", "Lehman filed on 15 September 2008."),
    StressWindow(
        "Flash crash 2010", "shares", "2010-05-06", "2010-05-06", "Down 9 % within the day, 3.2 % at its close."
    ),
    StressWindow(
        "Euro crisis 2011", "shares", "2011-07-25", "2011-10-03", "S&P took the AAA from US debt on 5 August."
    ),
    StressWindow(
        "Yuan devaluation 2015", "shares", "2015-08-18", "2015-08-25", "The S&P 500 fell 11 % in six sessions."
    ),
    StressWindow("Volmageddon 2018", "shares", "2018-01-29", "2018-02-08", "The VIX rose from 17 to 37 on 5 February."),
    StressWindow("Fourth quarter 2018", "shares", "2018-09-21", "2018-12-24", "The S&P 500 fell 19.8 %."),
    StressWindow("COVID crash", "shares", "2020-02-20", "2020-03-23", "The S&P 500 fell 34 % in 23 sessions."),
    StressWindow("Rates shock 2022", "shares", "2022-01-04", "2022-10-12", "The S&P 500 fell 25 % as rates rose."),
    StressWindow(
        "Regional banks 2023", "shares", "2023-03-08", "2023-03-13", "Silicon Valley Bank failed on 10 March."
    ),
    StressWindow(
        "Yen carry unwind 2024", "shares", "2024-08-01", "2024-08-05", "The Nikkei 225 fell 12.4 % on 5 August."
    ),
    StressWindow("Tariff shock 2025", "shares", "2025-04-03", "2025-04-08", "The S&P 500 fell 12 % in four sessions."),
    StressWindow("Crypto winter 2018", "crypto", "2018-01-07", "2018-12-15", "Bitcoin fell by more than 80 %."),
    StressWindow(
        "Crypto crash March 2020", "crypto", "2020-03-12", "2020-03-13", "Bitcoin lost over a third in a day."
    ),
    StressWindow(
        "Crypto crash May 2021", "crypto", "2021-05-12", "2021-05-23", "China's ban; bitcoin lost over a third."
    ),
    StressWindow("Terra collapse 2022", "crypto", "2022-05-07", "2022-05-12", "The stablecoin UST lost its peg."),
    StressWindow(
        "Three Arrows, Celsius 2022", "crypto", "2022-06-10", "2022-06-18", "Celsius froze withdrawals on 12 June."
    ),
    StressWindow("FTX collapse 2022", "crypto", "2022-11-06", "2022-11-11", "FTX filed for bankruptcy on 11 November."),
)


def stress_table(
    returns: pd.Series,
    *,
    market: pd.Series | None = None,
    windows: Sequence[StressWindow] = WINDOWS,
) -> pd.DataFrame:
    """Measure a strategy inside the stretches of stress that its rows cover, in order of time.

    Parameters
    ----------
    returns : Series, shape (bars,)
        Net simple returns per row; the index are the instants (UTC) at which rows begin. A row belongs to a window if
        the day on which it begins does.
    market : Series, shape (bars,), optional
        Returns of the market on the same rows, to stand beside.
    windows : sequence of StressWindow

    Returns
    -------
    DataFrame
        ``window, market, first, last, fact, n_bars, covered`` (share of the window's days between the first and last
        row of the series), ``total_return, max_drawdown, worst_bar`` and ``market_return`` (fractions). Windows without
        a row are not listed; with overlapping windows a row counts in each.

    Raises
    ------
    DataError
        If the index is not UTC instants, or the market has other rows.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.regimes import stress_table
    >>> days = pd.date_range('2023-03-06', periods=10, tz='UTC')
    >>> returns = pd.Series([0.0, 0.0, -0.01, -0.02, 0.0, 0.0, -0.01, 0.02, 0.0, 0.0], days)
    >>> table = stress_table(returns)
    >>> table['window'].tolist(), round(table['total_return'][0], 4), table['n_bars'][0]
    (['Regional banks 2023'], -0.0203, 6)
    """
    index = returns.index
    if not isinstance(index, pd.DatetimeIndex) or str(index.tz) != "UTC":
        raise DataError("stress_table: the index must be UTC instants. Convert it with tz_convert('UTC').")
    if market is not None and not market.index.equals(index):
        raise DataError("stress_table: returns and market carry different bars. Reindex one to the other.")
    values = returns.to_numpy(dtype=float)
    day = index.normalize()
    rows: list[dict[str, Any]] = []
    for window in sorted(windows, key=lambda window: window.first):
        first, last = pd.Timestamp(window.first, tz="UTC"), pd.Timestamp(window.last, tz="UTC")
        inside = np.asarray((day >= first) & (day <= last))
        if not inside.any():
            continue
        days = pd.date_range(first, last, freq="D")
        held = values[inside]
        rows.append(
            {
                "window": window.name,
                "market": window.market,
                "first": window.first,
                "last": window.last,
                "fact": window.fact,
                "n_bars": int(inside.sum()),
                "covered": float(((days >= day[0]) & (days <= day[-1])).mean()),
                "total_return": total_return(held),
                "max_drawdown": max_drawdown(held),
                "worst_bar": float(held.min()),
                "market_return": None if market is None else total_return(market.to_numpy(dtype=float)[inside]),
            }
        )
    columns = ["window", "market", "first", "last", "fact", "n_bars", "covered", "total_return", "max_drawdown"]
    return pd.DataFrame(rows, columns=[*columns, "worst_bar", "market_return"], dtype=object)
