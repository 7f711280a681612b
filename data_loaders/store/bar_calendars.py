"""Which calendar the bars of a store follow: a store keeps instants, and the calendar is read from them.

A venue may list symbols of many exchanges. Bars fit a calendar if each of them lies in a session (daily bars: is one);
of those that fit, the calendar with the fewest sessions that have no bar is the likeliest.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import ROUND_THE_CLOCK, length_of, sessions
from embargo.data_loaders.errors import DataError
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
    """Name the calendar that bars of one symbol follow.

    Parameters
    ----------
    bars : DataFrame
        ``open_at, close_at``, UTC.
    daily : bool
        Whether one bar is one session, rather than a part of one.

    Returns
    -------
    str or None
        A code, or None if they follow no calendar that is tried.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import sessions
    >>> from embargo.data_loaders.store import calendar_of_bars
    >>> calendar_of_bars(sessions("XLON", pd.Timestamp("2020-01-01"), pd.Timestamp("2020-03-01")), daily=True)
    'XLON'
    """
    opened, closed = utc_microseconds(bars["open_at"]), utc_microseconds(bars["close_at"])
    fitting: list[tuple[int, str]] = []
    for code in CANDIDATES:
        try:
            table = sessions(code, bars["open_at"].min() - pd.Timedelta(days=1), bars["close_at"].max())
        except DataError:  # bars of years that this calendar does not record are none of its
            continue
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
    """Name the calendar of every symbol of a venue, read from its newest bars.

    Parameters
    ----------
    store : Store
    venue : str
        Where they trade, such as ``"yahoo"``.
    bar : str
        Length of the bars, such as ``"1d"``.

    Returns
    -------
    dict of str to str or None
        Calendar by symbol; None where the bars follow none that is tried.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from embargo.data_loaders import sessions
    >>> from embargo.data_loaders.store import Store, calendars_in
    >>> bars = sessions("XNYS", pd.Timestamp("2020-01-01"), pd.Timestamp("2020-03-01")).reset_index(drop=True)
    >>> quote = {"open": 93.7, "high": 94.1, "low": 93.2, "close": 94.0, "volume": 22_891_800.0}
    >>> bars = bars.assign(venue="mine", symbol="AAPL", bar="1d", **quote)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store.create(folder)
    ...     _ = store.append("bars", bars, source="mine", committed_at=pd.Timestamp("2020-04-01", tz="UTC"))
    ...     found = calendars_in(store, "mine", "1d")
    >>> found
    {'AAPL': 'XNYS'}
    """
    newest = store.sql(
        "SELECT symbol, open_at, close_at FROM bars "  # noqa: S608
        f"WHERE revision = 0 AND venue = '{_quoted(venue)}' AND bar = '{_quoted(bar)}' "
        f"QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY open_at DESC) <= {NEWEST_BARS} ORDER BY 1, 2"
    )
    daily = length_of(bar) >= pd.Timedelta(days=1)
    return {str(symbol): calendar_of_bars(part, daily=daily) for symbol, part in newest.groupby("symbol")}


def _quoted(text: str) -> str:
    return text.replace("'", "''")
