"""Which calendar the bars of a store follow: a store keeps instants, and the calendar is read from them.

A venue may list symbols of many exchanges. Bars fit a calendar if each of them lies in a session (daily bars: is one);
of those that fit, the calendar with the fewest sessions that have no bar is the likeliest.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import ROUND_THE_CLOCK, length_of, sessions
from embargo.data_loaders.schemas import utc_microseconds
from embargo.data_loaders.store.store import Store

NEWEST_BARS = 300
CANDIDATES = (
    "XNYS",
    ROUND_THE_CLOCK,
    "XLON",
    "XETR",
    "XPAR",
    "XTKS",
    "XHKG",
    "XTSE",
    "XASX",
    "XSWX",
)


def calendar_of_bars(bars: pd.DataFrame, *, daily: bool) -> str | None:
    """Name the calendar that bars of one symbol follow, or None if they follow none that is tried.

    Parameters
    ----------
    bars : DataFrame
        ``open_at, close_at``, UTC.
    daily : bool
        Whether one bar is one session, rather than a part of one.
    """
    opened, closed = utc_microseconds(bars["open_at"]), utc_microseconds(bars["close_at"])
    fitting: list[tuple[int, str]] = []
    for code in CANDIDATES:
        table = sessions(code, bars["open_at"].min() - pd.Timedelta(days=1), bars["close_at"].max())
        begins, ends = utc_microseconds(table["open_at"]), utc_microseconds(table["close_at"])
        row = np.searchsorted(begins, opened, side="right") - 1
        inside = (row >= 0) & (closed <= ends[row])
        if daily:
            inside &= (opened == begins[row]) & (closed == ends[row])
        if not inside.all():
            continue
        without = int(row.max() - row.min() + 1 - len(np.unique(row)))
        if not without:
            return code
        fitting.append((without, code))
    return min(fitting, key=lambda found: found[0])[1] if fitting else None


def calendars_in(store: Store, venue: str, bar: str) -> dict[str, str | None]:
    """Calendar of every symbol of a venue with bars of this length, read from its newest bars."""
    newest = store.sql(
        "SELECT symbol, open_at, close_at FROM bars "  # noqa: S608
        f"WHERE revision = 0 AND venue = '{_quoted(venue)}' AND bar = '{_quoted(bar)}' "
        f"QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY open_at DESC) <= {NEWEST_BARS} ORDER BY 1, 2"
    )
    daily = length_of(bar) >= pd.Timedelta(days=1)
    return {str(symbol): calendar_of_bars(part, daily=daily) for symbol, part in newest.groupby("symbol")}


def _quoted(text: str) -> str:
    return text.replace("'", "''")
