"""Whether bars are what they are said to be: of that length, opening when bars of their calendar do, one after another.

Missing bars are no fault. Bars that lie between those of the calendar, keep to a coarser step, overlap, or stand alone
long after the last one are errors that name the first of them, what was found and what to do about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import (
    ROUND_THE_CLOCK,
    length_of,
    name_of,
    remedy_for_instants,
    reopenings,
    sessions,
)
from embargo.data_loaders.errors import DataError, such
from embargo.data_loaders.schemas import utc_microseconds

Locate = Callable[[str, pd.Timestamp], str]

_DAY = pd.Timedelta(days=1)
# Steps looked at together, so that a file that is daily at first and hourly later is noticed; fewer than the second
# number say little, and have to be all alike.
WINDOW, ENOUGH, LEAST = 32, 20, 5
# A step this many times too long, kept by this share of the steps up to a quarter more or less, is no chance.
COARSER, ALIKE, ABOUT = 1.75, 0.7, 0.25
# No exchange closes for so long, and a bar alone beyond such a hole is a quote of the day a file was made on; unless
# the bars are thin, so that the hole is not this many times their mean step.
HOLE, THIN = pd.Timedelta(days=45), 20


@dataclass(frozen=True)
class Bars:
    """Bars of one archive, in the order of symbol and time.

    Attributes
    ----------
    names : Index
        Symbols.
    code : int array, shape (n,)
        Which of them each bar is of.
    opens : datetime64[us] array, shape (n,)
        When it opens, UTC.
    """

    names: pd.Index
    code: np.ndarray
    opens: np.ndarray


def bars_in_order(symbol: pd.Series | np.ndarray, open_at: pd.DatetimeIndex) -> Bars:
    """Sort bars by symbol and time."""
    code, names = pd.factorize(pd.Index(symbol))
    at = utc_microseconds(open_at)
    order = np.lexsort((at, code))
    return Bars(pd.Index(names), code[order], at[order])


def check_bars(
    symbol: pd.Series | np.ndarray,
    open_at: pd.DatetimeIndex,
    *,
    calendar: str,
    bar: str,
    where: str,
    locate: Locate | None = None,
    lone: bool = True,
) -> None:
    """Check that bars are as long as they are said to be and open when those of their calendar do.

    Parameters
    ----------
    symbol : array of str, shape (n,)
    open_at : DatetimeIndex, shape (n,)
        UTC. Daily bars open with their sessions, which is checked where they are dated.
    calendar : str
        exchange_calendars code or ``"24/7"``.
    bar : str
        Length of a bar.
    where : str
        Named in errors.
    locate : callable, optional
        Takes a symbol and the instant at which a bar opens, and names its file and row.
    lone : bool
        Whether a single bar may not stand beyond a hole of 45 days.

    Raises
    ------
    DataError
        Naming the first bar that is not what it is said to be.
    """
    bars = bars_in_order(symbol, open_at)
    if not len(bars.opens):
        return
    length = length_of(bar)

    def place(row: int) -> str:
        name, at = str(bars.names[bars.code[row]]), pd.Timestamp(bars.opens[row], tz="UTC")
        return f"{where if locate is None else locate(name, at)}: the bar of {name} at {at}"

    if length < _DAY:
        _check_instants(bars, length, calendar, bar, place)
    check_steps(bars, calendar=calendar, bar=bar, place=place)
    if lone:
        _check_lone(bars, place)


def _check_instants(bars: Bars, length: pd.Timedelta, calendar: str, bar: str, place: Callable[[int], str]) -> None:
    table = sessions(calendar, _stamp(bars.opens.min()) - _DAY, _stamp(bars.opens.max()) + _DAY)
    opens, closes = utc_microseconds(table["open_at"]), utc_microseconds(table["close_at"])
    session = np.maximum(np.searchsorted(opens, bars.opens, side="right") - 1, 0)
    since = bars.opens - opens[session]
    step = np.timedelta64(length // pd.Timedelta(1, "us"), "us")
    grid = step if calendar == ROUND_THE_CLOCK else min(step, np.timedelta64(60_000_000, "us"))
    if calendar == ROUND_THE_CLOCK:
        off = since % grid
        strange = off != np.timedelta64(0, "us")
    else:
        # Vendors count the hours of a session from its open or from the full hour: both are bars.
        off = since % grid
        strange = (since < np.timedelta64(0, "us")) | (bars.opens >= closes[session]) | (off != np.timedelta64(0, "us"))
    if not strange.any():
        return
    row = int(np.argmax(strange))
    said = f"{place(row)} is no {bar} bar of calendar {name_of(calendar)!r}"
    many = f"({int(strange.sum())} of {len(strange)} bars; they are {_usual(bars)} apart)"
    short = grid - off
    if (short[strange] <= np.timedelta64(1_000_000, "us")).mean() > 0.5:
        begins = _stamp(bars.opens[row] + short[row] - step)
        raise DataError(
            f"{said}: it is stamped {_told(pd.Timedelta(short[row]))} before the next one opens {many}, as bars are "
            f"that carry the instant at which they close. Its prices are of the bar that opened at {begins}: write "
            "that instant as its open_at. Rounding up instead would put the prices one bar too late."
        )
    if strange.mean() < 0.5 and calendar == ROUND_THE_CLOCK:
        raise DataError(
            f"{said}: it opens {_told(pd.Timedelta(off[row]))} after one that does {many}, perhaps a quote of the "
            "moment at which the file was made. Leave such rows out with filters."
        )
    if calendar == ROUND_THE_CLOCK:
        raise DataError(
            f"{said}: it opens {_told(pd.Timedelta(off[row]))} after one that does {many}. If the file keeps the time "
            "of a zone, name it with timezone; if not, make the bars anew from shorter ones. Moving their stamps would "
            "give prices a time at which they were not known."
        )
    daily = _usual_step(bars) >= _DAY
    late = np.isin(bars.opens, closes).any() and not np.isin(bars.opens, opens).any()
    hint = (
        "Set bar = '1d' and map its trading day to date"
        if daily
        else "Bars stand at the end of sessions and none at their beginning, as if they carried the instant at which "
        "they close: open_at is one bar before that"
        if late
        else "Name the calendar of the venue and the zone of its times; leave out what was traded before or after the "
        "session, and quotes of the moment, with filters"
    )
    besides = remedy_for_instants(_stamps(bars.opens[strange]), calendar, _stamps(bars.opens))
    raise DataError(f"{said}: it opens outside its sessions, or between two minutes {many}. {hint}. {besides}".rstrip())


def check_steps(bars: Bars, *, calendar: str, bar: str, place: Callable[[int], str]) -> None:
    """Check that bars of a symbol neither overlap nor keep to a step longer than they are.

    Raises
    ------
    DataError
        Naming the first bar of a window of steps that are too long, or one that begins before another ends.
    """
    length = length_of(bar)
    row = np.flatnonzero(np.diff(bars.code) == 0)
    steps, unit, word = np.diff(bars.opens)[row] / np.timedelta64(1, "us"), length / pd.Timedelta(1, "us"), ""
    if calendar != ROUND_THE_CLOCK and len(row):
        first, last = _stamp(bars.opens.min()) - _DAY, _stamp(bars.opens.max()) + _DAY
        table = sessions(calendar, first, last)
        opens, closes = utc_microseconds(table["open_at"]), utc_microseconds(table["close_at"])
        session = np.searchsorted(opens, bars.opens, side="right") - 1
        if length == _DAY:
            steps, unit, word = np.diff(session)[row].astype(float), 1.0, "sessions"
        else:
            _check_one_a_session(bars, session, opens, closes, length, bar, place)
            inside = np.diff(session)[row] == 0
            row, steps = row[inside], steps[inside]
            # The bar that a session or the rest of one begins with may be shorter, up to the full hour.
            begins = np.isin(bars.opens[row], utc_microseconds(reopenings(calendar, first, last)))
            _check_overlap(row, np.where(begins, unit, steps), unit, bar, place)
    for start, stop in _runs(bars.code[row]):
        wide = _coarse(steps[start:stop], unit)
        if wide is not None:
            position, step = wide
            _refuse_steps(int(row[start + position]), step, word, bar, place)


def _check_overlap(row: np.ndarray, steps: np.ndarray, unit: float, bar: str, place: Callable[[int], str]) -> None:
    short = (steps > 0) & (steps < unit)
    if short.any():
        first = int(np.argmax(short))
        raise DataError(
            f"{place(int(row[first]) + 1)} opens {_told(pd.Timedelta(steps[first], 'us'))} after the one before, which "
            f"lasts {bar} ({such(short.sum(), 'bar')}). Set bar to their length; leave quotes of the moment out with "
            "filters."
        )


def _runs(code: np.ndarray) -> Iterable[tuple[int, int]]:
    """Where each symbol's steps begin and end."""
    edges = [*np.flatnonzero(np.diff(code, prepend=-1)).tolist(), len(code)]
    return pairwise(edges)


def _coarse(steps: np.ndarray, unit: float) -> tuple[int, float] | None:
    """Position and step of the first window of steps that keep to one too long; None if there is none."""
    if len(steps) < LEAST:
        return None
    if len(steps) < ENOUGH:
        return (0, float(steps[0])) if steps[0] >= COARSER * unit and (steps == steps[0]).all() else None
    size = min(WINDOW, len(steps))
    starts = np.unique([*range(0, len(steps) - size, size // 2), len(steps) - size])
    windows = np.lib.stride_tricks.sliding_window_view(steps, size)[starts]
    middle = np.median(windows, axis=1)
    wide = (middle >= COARSER * unit) & (
        (np.abs(windows - middle[:, None]) <= ABOUT * middle[:, None]).mean(axis=1) >= ALIKE
    )
    if not wide.any():
        return None
    first = int(np.argmax(wide))
    return int(starts[first]), float(middle[first])


def _refuse_steps(row: int, step: float, word: str, bar: str, place: Callable[[int], str]) -> None:
    found = pd.Timedelta(step, "us")
    told = f"{step:.0f} {word}" if word else _told(found)
    if word or found > _DAY:
        remedy = "Longer bars than daily ones cannot be read: give daily bars"
    elif found == _DAY:
        remedy = "Set bar = '1d' and map the trading day to date"
    else:
        remedy = f"Set bar = '{_told(found).replace(' ', '')}'"
    raise DataError(
        f"{place(row)} and those that follow are {told} apart, so they are no {bar} bars. {remedy}; if only part of "
        "the rows is so, leave it out with filters."
    )


def _check_one_a_session(
    bars: Bars,
    session: np.ndarray,
    opens: np.ndarray,
    closes: np.ndarray,
    length: pd.Timedelta,
    bar: str,
    place: Callable[[int], str],
) -> None:
    """Refuse daily bars stamped with the open of their session and read as shorter ones."""
    step = np.timedelta64(length // pd.Timedelta(1, "us"), "us")
    known = np.maximum(session, 0)
    alone = (bars.opens == opens[known]) & (closes[known] - opens[known] > step)
    beside = (np.diff(bars.code) == 0) & (np.diff(session) == 0)
    alone[:-1] &= ~beside
    alone[1:] &= ~beside
    for start, stop in _runs(bars.code):
        part = alone[start:stop]
        held = np.concatenate([[0], np.cumsum(part)])
        size = min(ENOUGH, len(part))
        full = np.flatnonzero(held[size:] - held[:-size] == size)
        if len(part) >= LEAST and len(full):
            raise DataError(
                f"{place(start + int(full[0]))} and those that follow are one session apart, so they are no {bar} "
                "bars. Set bar = '1d' and map the trading day to date; if only part of the rows is so, leave it out "
                "with filters."
            )


def _check_lone(bars: Bars, place: Callable[[int], str]) -> None:
    """Refuse a single instant beyond a long hole at either end, if the symbols that have it have other bars too."""
    instants = np.unique(bars.opens)
    if len(instants) <= ENOUGH:
        return
    hole = np.timedelta64(HOLE // pd.Timedelta(1, "us"), "us")
    for end, beside in ((-1, -2), (0, 1)):
        gap = np.abs(instants[end] - instants[beside])
        usual = (instants[-1] - instants[0] - gap) / (len(instants) - 2)
        there = bars.opens == instants[end]
        more = np.bincount(bars.code, minlength=len(bars.names))[bars.code[there]] > 1
        if gap >= max(hole, THIN * usual) and more.all():
            side = "after" if end else "before"
            raise DataError(
                f"{place(int(np.argmax(there)))} stands alone, {_told(pd.Timedelta(gap))} {side} all others: a quote "
                "of the day on which the file was made, or a wrong date. Leave it out with filters, or with end."
            )


def _stamps(at: np.ndarray) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(at).tz_localize("UTC")


def _stamp(at: np.datetime64) -> pd.Timestamp:
    return pd.Timestamp(at, tz="UTC")


def _usual_step(bars: Bars) -> pd.Timedelta:
    steps = np.diff(bars.opens)[np.diff(bars.code) == 0]
    return pd.Timedelta(np.median(steps)) if len(steps) else pd.Timedelta(0)


def _usual(bars: Bars) -> str:
    return _told(_usual_step(bars))


def _told(length: pd.Timedelta) -> str:
    """Write a length of time in the largest unit that leaves a whole number."""
    for unit, name in ((pd.Timedelta(hours=1), "h"), (pd.Timedelta(minutes=1), "min"), (pd.Timedelta(seconds=1), "s")):
        if length % unit == pd.Timedelta(0):
            count = length // unit
            return f"{count // 24} days" if name == "h" and count > 24 and count % 24 == 0 else f"{count} {name}"
    return f"{length / pd.Timedelta(milliseconds=1):g} ms" if length < pd.Timedelta(minutes=1) else str(length)
