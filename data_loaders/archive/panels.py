"""Laying out long bars as price panels, checked against the calendar they are said to follow.

A bar that the calendar does not know is an error that names it, never a bar moved to the nearest session.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import ROUND_THE_CLOCK, length_of, sessions
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import PRICE_FIELDS, Prices, validate_prices

_DAY = pd.Timedelta(days=1)


def _expected(open_at: pd.DatetimeIndex, calendar: str, length: pd.Timedelta) -> tuple[pd.DatetimeIndex, np.ndarray]:
    """When bars that open at these instants should close, and which of them the calendar does not know."""
    table = sessions(calendar, open_at.min() - _DAY, open_at.max() + _DAY)
    opens, closes = pd.DatetimeIndex(table["open_at"]), pd.DatetimeIndex(table["close_at"])
    session = np.searchsorted(opens, open_at, side="right") - 1
    known = session >= 0
    session = np.maximum(session, 0)
    if length == _DAY:
        return closes[session], ~known | (opens[session] != open_at)
    if calendar == ROUND_THE_CLOCK:
        return open_at + length, (open_at - opens[session]) % length != pd.Timedelta(0)
    close_at = (open_at + length).where(open_at + length < closes[session], closes[session])
    return close_at, ~known | (open_at >= closes[session])


def intraday_closes(open_at: pd.DatetimeIndex, *, calendar: str, bar: str) -> pd.DatetimeIndex:
    """When bars shorter than a day close: with their session at the latest, if they open inside one."""
    length = length_of(bar)
    close_at, strange = _expected(open_at, calendar, length)
    return close_at.where(~strange, open_at + length)


def check_alignment(frame: pd.DataFrame, *, calendar: str, bar: str, where: str) -> None:
    """Check that bars open and close when the calendar says.

    Parameters
    ----------
    frame : DataFrame, shape (n, columns)
        Bars with ``symbol, open_at, close_at``.
    calendar : str
        exchange_calendars code or ``"24/7"``.
    bar : str
        Length; daily bars are whole sessions, shorter ones of an exchange end with their session at the latest.
    where : str
        Named in errors.

    Raises
    ------
    DataError
        Naming the first bar of another calendar or alignment.
    ConfigError
        If the bar is longer than a day.
    """
    length = length_of(bar)
    if length > _DAY:
        raise ConfigError(f"{where}: bar = {bar!r} is longer than a day. Use '1d', '1h', '5min' or the like.")
    open_at = pd.DatetimeIndex(frame["open_at"].drop_duplicates().sort_values())
    close_at, strange = _expected(open_at, calendar, length)
    row = open_at.get_indexer(pd.DatetimeIndex(frame["open_at"]))
    bad = strange[row] | np.asarray(pd.DatetimeIndex(frame["close_at"]) != close_at[row])
    if bad.any():
        first = frame.iloc[int(np.argmax(bad))]
        should = close_at[row[int(np.argmax(bad))]]
        hint = "opens outside its sessions" if strange[row[int(np.argmax(bad))]] else f"should close at {should}"
        raise DataError(
            f"{where}: the {bar} bar of {first['symbol']} from {first['open_at']} to {first['close_at']} is none of "
            f"calendar {calendar!r}: it {hint} ({int(bad.sum())} such bars). Name the calendar of the venue."
        )


def holes(opens: pd.DataFrame) -> int:
    """Count cells without an opening price between a symbol's first and last one."""
    quoted = opens.notna().to_numpy()
    started = np.maximum.accumulate(quoted, axis=0)
    unfinished = np.maximum.accumulate(quoted[::-1], axis=0)[::-1]
    return int((started & unfinished & ~quoted).sum())


def absent_bars(open_at: pd.DatetimeIndex, *, calendar: str, bar: str) -> int:
    """Count bars that the calendar has between the first and the last one but no symbol does.

    For intraday bars of an exchange this is 0: its sessions do not hold a whole number of bars.
    """
    length = length_of(bar)
    if length == _DAY:
        table = sessions(calendar, open_at[0] - _DAY, open_at[-1] + _DAY)
        inside = (table["open_at"] >= open_at[0]) & (table["open_at"] <= open_at[-1])
        return int(inside.sum()) - len(open_at)
    if calendar == ROUND_THE_CLOCK:
        return int((open_at[-1] - open_at[0]) / length) + 1 - len(open_at)
    return 0


def panels(frame: pd.DataFrame, symbols: list[str], *, calendar: str, bar: str, where: str) -> Prices:
    """Lay out bars as panels on the union of all symbols' bars; nothing is filled.

    Parameters
    ----------
    frame : DataFrame, shape (n, columns)
        One row per symbol and bar: ``symbol, open_at, close_at`` and the price fields.
    symbols : list of str
        Columns, in this order.
    calendar, bar, where : str
        As in ``check_alignment``.

    Returns
    -------
    Prices
        Validated; NaN where a symbol has no bar.

    Raises
    ------
    DataError
        As ``check_alignment`` and ``schemas.validate_prices`` do.
    """
    check_alignment(frame, calendar=calendar, bar=bar, where=where)
    bars = frame[["open_at", "close_at"]].drop_duplicates("open_at").sort_values("open_at")
    open_at, close_at = pd.DatetimeIndex(bars["open_at"], name=None), pd.DatetimeIndex(bars["close_at"], name=None)
    row = open_at.get_indexer(pd.DatetimeIndex(frame["open_at"]))
    column = pd.Index(symbols).get_indexer(pd.Index(frame["symbol"]))
    laid_out = {}
    for name in PRICE_FIELDS:
        values = np.full((len(open_at), len(symbols)), np.nan)
        values[row, column] = frame[name].to_numpy(dtype=float)
        laid_out[name] = pd.DataFrame(values, index=open_at, columns=pd.Index(symbols, dtype="str"))
    prices = Prices(**laid_out, open_at=open_at, close_at=close_at, calendar=calendar, adjustment="none")
    return validate_prices(prices, where=where)
