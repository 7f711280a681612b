"""Laying out long bars as price panels, checked against the calendar they are said to follow.

A bar that the calendar does not know is an error that names it, never a bar moved to the nearest session.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from embargo.data_loaders.archive.spacing import bars_in_order, check_bars, check_steps
from embargo.data_loaders.calendars import (
    ROUND_THE_CLOCK,
    label_sessions,
    length_of,
    name_of,
    remedy_for_instants,
    sessions,
)
from embargo.data_loaders.errors import ConfigError, DataError, such
from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.schemas import Prices, check_numbers, validate_prices

_DAY = pd.Timedelta(days=1)

_ADJUSTMENTS = ("none", "splits", "splits+dividends")


def bar_length(bar: str, *, where: str) -> pd.Timedelta:
    """Read the length of a bar, a day at most.

    Raises
    ------
    ConfigError
        If it is no length, or longer than a day.
    """
    length = length_of(bar)
    if length > _DAY:
        raise ConfigError(f"{where}: bar = {bar!r} is longer than a day. Use '1d', '1h', '5min' or the like.")
    return length


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


def opened_and_closed(
    bars: pd.DatetimeIndex, *, calendar: str, bar: str, where: str
) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex]:
    """When bars open and close, daily ones told by their trading day and shorter ones by the instant they open."""
    if length_of(bar) == _DAY:
        return label_sessions(bars, calendar, where=where)
    return bars, intraday_closes(bars, calendar=calendar, bar=bar)


def check_alignment(frame: pd.DataFrame, *, calendar: str, bar: str, where: str) -> None:
    """Check that bars open and close when the calendar says, and follow one another as bars of their length do.

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
        Naming the first bar of another calendar, alignment or length.
    ConfigError
        If the bar is longer than a day.
    """
    length = bar_length(bar, where=where)
    open_at = pd.DatetimeIndex(frame["open_at"].drop_duplicates().sort_values())
    close_at, strange = _expected(open_at, calendar, length)
    row = open_at.get_indexer(pd.DatetimeIndex(frame["open_at"]))
    bad = strange[row] | np.asarray(pd.DatetimeIndex(frame["close_at"]) != close_at[row])
    if bad.any():
        first = frame.iloc[int(np.argmax(bad))]
        should = close_at[row[int(np.argmax(bad))]]
        outside = strange[row[int(np.argmax(bad))]]
        hint = "opens outside its sessions" if outside else f"should close at {should}"
        remedy = "Name the calendar of the venue."
        if outside and calendar != ROUND_THE_CLOCK:
            remedy += " " + remedy_for_instants(open_at[strange], calendar, open_at)
        raise DataError(
            f"{where}: the {bar} bar of {first['symbol']} from {first['open_at']} to {first['close_at']} is none of "
            f"calendar {name_of(calendar)!r}: it {hint} ({such(bad.sum(), 'bar')}). {remedy}"
        )
    bars = bars_in_order(frame["symbol"], pd.DatetimeIndex(frame["open_at"]))

    def place(row: int) -> str:
        return f"{where}: the bar of {bars.names[bars.code[row]]} at {bars.opens[row]}Z"

    check_steps(bars, calendar=calendar, bar=bar, place=place)


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


def lay_out(frame: pd.DataFrame, symbols: list[str], *, calendar: str, bar: str, where: str) -> Prices:
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
    bars = frame[["open_at", "close_at"]].drop_duplicates("open_at").sort_values("open_at", kind="stable")
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


def _bars_of(index: pd.Index, *, calendar: str, bar: str, where: str) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex]:
    """When the bars of a frame open and close, told by its index."""
    length = bar_length(bar, where=where)
    if index.empty:
        raise DataError(f"{where}: no bars. Check the date range.")
    if not isinstance(index, pd.DatetimeIndex) or index.hasnans:
        kind = "a missing instant" if isinstance(index, pd.DatetimeIndex) else f"{index.dtype}, no instants"
        raise DataError(f"{where}: the index holds {kind}. Make it dates or instants with pd.to_datetime.")
    if index.tz is None:
        if length < _DAY:
            raise DataError(
                f"{where}: the {bar} bars have no time zone (first {index[0]}). Name the one they are in, such as "
                "frame.tz_localize('America/New_York')."
            )
        return label_sessions(index, calendar, where=where)
    open_at = index.tz_convert("UTC").as_unit("us").rename(None)
    if length < _DAY:
        return open_at, intraday_closes(open_at, calendar=calendar, bar=bar)
    close_at, strange = _expected(open_at, calendar, length)
    if strange.any():
        raise DataError(
            f"{where}: no session of {name_of(calendar)} opens at {open_at[int(np.argmax(strange))]} "
            f"({int(strange.sum())} such bars). Give the instants at which sessions open; or, if these are dates, take "
            "their zone away with frame.tz_localize(None). Else check the calendar, which "
            "embargo.data_loaders.amended gives sessions that it lacks."
        )
    return open_at, close_at


def _panel(frame: pd.DataFrame, index: pd.DatetimeIndex, symbols: pd.Index) -> pd.DataFrame:
    return pd.DataFrame(frame.to_numpy(dtype=float, na_value=np.nan), index=index, columns=symbols)


def prices_from_frames(
    *,
    open: pd.DataFrame,  # noqa: A002 - the field's word for it
    high: pd.DataFrame,
    low: pd.DataFrame,
    close: pd.DataFrame,
    volume: pd.DataFrame | None = None,
    calendar: str,
    bar: str = "1d",
    adjustment: Literal["none", "splits", "splits+dividends"] = "none",
) -> Prices:
    """Make prices of wide frames; see `Prices.from_frames`, which is the same.

    Parameters
    ----------
    open, high, low, close : DataFrame, shape (bars, symbols)
        Levels, all with one index and the same columns; NaN where a symbol did not trade.
    volume : DataFrame, shape (bars, symbols), optional
        Units traded; without it every volume is unknown.
    calendar : str
        exchange_calendars code such as ``"XNYS"``, ``"24/7"``, or what `embargo.data_loaders.amended` returns.
    bar : str
        Length of a bar, a day at most: ``"1d"``, ``"1h"``, ``"5min"``.
    adjustment : {"none", "splits", "splits+dividends"}
        What the levels are adjusted for already. Nothing is adjusted here.

    Returns
    -------
    Prices
        Validated, on a copy.

    Raises
    ------
    DataError
        If the frames disagree, a bar has no zone or is none of the calendar's, or a level is not positive.
    ConfigError
        If ``calendar``, ``bar`` or ``adjustment`` is unknown.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.archive import prices_from_frames
    >>> close = pd.DataFrame({"BTC": [330.0, 340.0]}, index=pd.to_datetime(["2015-07-03", "2015-07-04"]))
    >>> prices_from_frames(open=close - 1, high=close, low=close - 2, close=close, calendar="24/7").close_at[-1]
    Timestamp('2015-07-05 00:00:00+0000', tz='UTC')
    """
    where = "prices"
    if adjustment not in _ADJUSTMENTS:
        raise ConfigError(f"{where}: adjustment must be one of {list(_ADJUSTMENTS)}, got {adjustment!r}.")
    frames = {"open": open, "high": high, "low": low, "close": close}
    if volume is not None:
        frames["volume"] = volume
    for name, frame in frames.items():
        if not isinstance(frame, pd.DataFrame):
            raise DataError(
                f"{where}.{name}: expected a DataFrame of bars and symbols, got {type(frame).__name__}. Make a column "
                "for each symbol, such as series.to_frame('AAPL')."
            )
        check_numbers(frame, where=f"{where}.{name}")
        if not frame.index.equals(open.index) or not frame.columns.equals(open.columns):
            raise DataError(
                f"{where}.{name}: its bars or symbols are not those of open. Give it the same, such as "
                f"{name}.reindex(index=open.index, columns=open.columns)."
            )
    if isinstance(open.columns, pd.MultiIndex):
        raise DataError(f"{where}: columns have {open.columns.nlevels} levels. Keep the level of the symbols alone.")
    symbols = pd.Index([str(name) for name in open.columns], dtype="str")
    if not symbols.is_unique:
        raise DataError(f"{where}: {symbols[symbols.duplicated()][0]!r} has several columns. Keep one for each symbol.")
    open_at, close_at = _bars_of(open.index, calendar=calendar, bar=bar, where=where)
    row, column = np.nonzero(open.notna().to_numpy())
    check_bars(symbols.to_numpy()[column], open_at[row], calendar=calendar, bar=bar, where=where)
    laid_out = {name: _panel(frame, open_at, symbols) for name, frame in frames.items()}
    if volume is None:
        laid_out["volume"] = pd.DataFrame(np.nan, index=open_at, columns=symbols)
    prices = Prices(**laid_out, open_at=open_at, close_at=close_at, calendar=calendar, adjustment=adjustment)
    return validate_prices(prices, where=where)
