"""When bars open, close and are decided: exchange sessions and round-the-clock bars.

This is the only place that knows calendars. Everything else reads ``open_at``, ``close_at`` and ``decided_at``.
"""

from __future__ import annotations

from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from embargo.data_loaders.amendments import ROUND_THE_CLOCK as ROUND_THE_CLOCK
from embargo.data_loaders.amendments import amended, read_calendar
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import iso_stamp
from embargo.data_loaders.recorded_sessions import FIRST_DAY, OTHER_HOURS, RecordedSessions, recorded_sessions
from embargo.data_loaders.schemas import utc_microseconds

# So many days are named in an error; all of them where they are fewer.
_NAMED = 8


@lru_cache(maxsize=64)
def _table(calendar: str) -> pd.DataFrame:
    """Every session of a calendar, amendments worked in: ``open_at, close_at, break_end`` by session date."""
    asked = read_calendar(calendar)
    recorded = recorded_sessions(asked.code)
    closed, table = pd.DatetimeIndex(asked.closed), recorded.table
    for day in (*asked.closed, *(session.day for session in asked.extra_sessions)):
        if not recorded.first <= pd.Timestamp(day) <= recorded.last:
            raise ConfigError(f"{day} cannot be amended: {_span_told(recorded)}. Leave it out.")
    strangers = closed.difference(pd.DatetimeIndex(table.index))
    if len(strangers):
        raise ConfigError(
            f"{_days_told(strangers)} is no session of {asked.code} anyhow. Leave it out of prices.closed, or mend the "
            f"day; days are those of {recorded.zone}."
        )
    table = table.drop(closed)
    if not asked.extra_sessions:
        return table
    days = pd.DatetimeIndex([session.day for session in asked.extra_sessions])
    known = days.intersection(pd.DatetimeIndex(table.index))
    if len(known):
        row = table.loc[known[0]].dt.tz_convert(recorded.zone)
        raise ConfigError(
            f"{_days_told(known[:1])} is a session of {asked.code} already, from {row['open_at']:%H:%M} to "
            f"{row['close_at']:%H:%M}. Leave it out of prices.extra_sessions; if it kept other hours, name its day in "
            "prices.closed too."
        )
    extra = pd.DataFrame(
        {
            name: pd.DatetimeIndex(
                [pd.Timestamp.combine(session.day, getattr(session, hour)) for session in asked.extra_sessions]
            ).tz_localize(recorded.zone)
            for name, hour in (("open_at", "opens"), ("close_at", "closes"))
        },
        index=days,
    ).astype("datetime64[us, UTC]")
    table = pd.concat([table, extra.reindex(columns=table.columns)]).astype("datetime64[us, UTC]").sort_index()
    overlap = (table["open_at"] < table["close_at"].shift()).to_numpy()
    if overlap.any():
        raise ConfigError(f"calendar {calendar}: the session of {table.index[overlap][0].date()} overlaps another.")
    return table


def _span_told(recorded: RecordedSessions) -> str:
    return f"{recorded.code} is recorded from {recorded.first.date()} to {recorded.last.date()}"


def _days_told(days: pd.DatetimeIndex) -> str:
    """Name days with their weekdays: on Saturdays and Sundays something special happened, or dates are a day off."""
    more = f" and {len(days) - _NAMED:,} more" if len(days) > _NAMED else ""
    return ", ".join(f"{day.date()} ({day:%A})" for day in days[:_NAMED]) + more


def sessions(calendar: str, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """Daily bars of a calendar between two dates, both included.

    Parameters
    ----------
    calendar : str
        exchange_calendars code, ``"24/7"`` for UTC days, or what `amended` returns.
    start, end : Timestamp
        Dates; a time of day or zone is ignored.

    Returns
    -------
    DataFrame indexed by naive session date (the label an exchange gives the day, not an instant) with the columns
    ``open_at`` and ``close_at`` in UTC. Half days close early: XNYS on 2014-07-03 closes 17:00 UTC. Of a range that
    reaches beyond the years that the calendar records, the part within them.

    Raises
    ------
    ConfigError
        If the calendar is unknown, or an amendment does not fit it.
    DataError
        If the calendar records nothing of the range.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import sessions
    >>> sessions("XNYS", pd.Timestamp("2014-07-03"), pd.Timestamp("2014-07-06"))["close_at"].tolist()
    [Timestamp('2014-07-03 17:00:00+0000', tz='UTC')]
    """
    first, last = (pd.Timestamp(day).tz_localize(None).normalize() for day in (start, end))
    if calendar == ROUND_THE_CLOCK:
        days = pd.date_range(first, last, freq="D", unit="us")
        opens = days.tz_localize("UTC")
        return pd.DataFrame({"open_at": opens, "close_at": opens + pd.Timedelta(days=1)}, index=days)
    table = _table(calendar)
    recorded = recorded_sessions(read_calendar(calendar).code)
    if last < recorded.first or first > recorded.last:
        raise DataError(
            f"calendar {name_of(calendar)}: no session from {first.date()} to {last.date()} is known, for "
            f"{_span_told(recorded)}. Keep to these years, or install a release of exchange_calendars that knows more."
        )
    return table.loc[first:last, ["open_at", "close_at"]]


def recorded_span(calendar: str) -> tuple[pd.Timestamp, pd.Timestamp]:
    """First and last day, naive, between which a calendar knows its sessions."""
    if calendar == ROUND_THE_CLOCK:
        return pd.Timestamp(FIRST_DAY), pd.Timestamp.max.floor("D")
    recorded = recorded_sessions(read_calendar(calendar).code)
    return recorded.first, recorded.last


def name_of(calendar: str) -> str:
    """Name a calendar in a sentence: its code, and how many days are amended."""
    return read_calendar(calendar).name


def closed_bars(calendar: str, bars: pd.DatetimeIndex, *, daily: bool) -> np.ndarray:
    """Tell which bars stand on days that are declared closed, shape (n,).

    Parameters
    ----------
    calendar : str
    bars : DatetimeIndex, shape (n,)
        Session labels (daily) or instants at which bars open.
    daily : bool
        Whether they are labels.
    """
    asked = read_calendar(calendar)
    closed = pd.DatetimeIndex(sorted({*asked.closed} - {session.day for session in asked.extra_sessions}))
    if closed.empty or bars.empty:
        return np.zeros(len(bars), dtype=bool)
    _table(calendar)  # refuses days that were no sessions
    if daily:
        return np.asarray(bars.tz_localize(None).isin(closed))
    shut = recorded_sessions(asked.code).table.loc[closed]
    opens, closes = utc_microseconds(shut["open_at"]), utc_microseconds(shut["close_at"])
    at = utc_microseconds(bars)
    row = np.searchsorted(opens, at, side="right") - 1
    inside: np.ndarray = (row >= 0) & (at < closes[np.maximum(row, 0)])
    return inside


def reopenings(calendar: str, start: pd.Timestamp, end: pd.Timestamp) -> pd.DatetimeIndex:
    """Instants at which trading begins between two dates: opens of sessions and ends of their breaks, increasing."""
    table = sessions(calendar, start, end)
    opens = pd.DatetimeIndex(table["open_at"])
    if calendar == ROUND_THE_CLOCK or table.empty:
        return opens
    first, last = (pd.Timestamp(day).tz_localize(None).normalize() for day in (start, end))
    return opens.union(pd.DatetimeIndex(_table(calendar)["break_end"].loc[first:last].dropna()))


def label_sessions(dates: pd.DatetimeIndex, calendar: str, *, where: str) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex]:
    """Turn session labels (trading days) into the instants at which those sessions open and close.

    Parameters
    ----------
    dates : DatetimeIndex, shape (n,)
        Trading days, naive or stamped 00:00 in any zone. They are labels, not instants.
    calendar : str
        exchange_calendars code or ``"24/7"``.
    where : str
        Named in errors.

    Returns
    -------
    (open_at, close_at) : two DatetimeIndex in UTC, shape (n,)

    Raises
    ------
    DataError
        If there is no label at all, one carries a time of day, or one is no session of the calendar (a holiday or
        weekend).

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import label_sessions
    >>> open_at, close_at = label_sessions(pd.to_datetime(["2014-07-03"]), "XNYS", where="my bars")
    >>> open_at[0], close_at[0]
    (Timestamp('2014-07-03 13:30:00+0000', tz='UTC'), Timestamp('2014-07-03 17:00:00+0000', tz='UTC'))
    """
    if len(dates) == 0:
        raise DataError(f"{where}: no session dates. Check the date range and the symbols.")
    labels = dates.tz_localize(None)
    if (labels != labels.normalize()).any():
        odd = dates[int(np.argmax(labels != labels.normalize()))]
        raise DataError(
            f"{where}: {odd} carries a time of day, so it is no session label. "
            "Give daily bars their dates, or the instants at which they open with their zone; for shorter bars set "
            "'bar' to their length."
        )
    table = sessions(calendar, labels.min(), labels.max())
    strangers = labels.difference(pd.DatetimeIndex(table.index))
    if len(strangers):
        many = f"{len(strangers):,} {'day is no session' if len(strangers) == 1 else 'days are no sessions'}"
        raise DataError(
            f"{where}: {many} of {name_of(calendar)}, first {_days_told(strangers)}. "
            f"{remedy_for(strangers, calendar, labels)}"
        )
    rows = table.loc[labels]
    return pd.DatetimeIndex(rows["open_at"]), pd.DatetimeIndex(rows["close_at"])


def remedy_for(strangers: pd.DatetimeIndex, calendar: str, labels: pd.DatetimeIndex) -> str:
    """Say what to do about days with bars that are no sessions.

    Parameters
    ----------
    strangers : DatetimeIndex, shape (n,)
        Naive days that the calendar lacks, at least one.
    calendar : str
    labels : DatetimeIndex
        All days that have bars, naive.
    """
    if calendar == ROUND_THE_CLOCK:
        return "Check the dates."
    asked = read_calendar(calendar)
    recorded, day = recorded_sessions(asked.code), strangers[0]
    if not (strangers[0] >= recorded.first and strangers[-1] <= recorded.last):
        return (
            f"{_span_told(recorded)}: leave other years out with start and end, or install a release of "
            "exchange_calendars that knows more."
        )
    if day in pd.DatetimeIndex(asked.closed):
        return f"{day.date()} is declared closed: leave its bars out, or take the day out of prices.closed."
    # Dates that are a day off lack a session wherever they have a day too many.
    index = pd.DatetimeIndex(_table(calendar).index)
    after = index.searchsorted(strangers)
    beside = index[np.clip(np.concatenate([after - 1, after]), 0, len(index) - 1)]
    within = beside[(beside > labels.min()) & (beside < labels.max())]
    if len(within) and (~within.isin(labels)).mean() >= 0.25:
        return (
            f"Sessions beside them have no bar, such as {_days_told(within[~within.isin(labels)][:1])}: perhaps the "
            "dates are a day off, as dates are that were made in another zone than the exchange's, or the calendar is "
            "another's. Name the calendar of the venue and give trading days."
        )
    return (
        f"If {asked.code} did trade then, name the days with the hours they traded, on the exchange's clock: "
        f'prices.extra_sessions = ["{day.date()} HH:MM-HH:MM"], or the calendar '
        f'"{calendar} +{day.date()}@HH:MM-HH:MM". If it did not, check the calendar and the dates, and leave such '
        "rows out with filters."
    )


def remedy_for_instants(strangers: pd.DatetimeIndex, calendar: str, bars: pd.DatetimeIndex) -> str:
    """As ``remedy_for``, of instants (UTC) outside all sessions.

    Empty where their days do have sessions, unless these are known to have kept other hours than the library says.
    """
    if calendar == ROUND_THE_CLOCK:
        return ""
    off, every = (at.tz_convert(zone_of(calendar)).tz_localize(None).normalize().unique() for at in (strangers, bars))
    days = off.difference(pd.DatetimeIndex(_table(calendar).index))
    return remedy_for(days, calendar, every) if len(days) else _other_hours_told(off, calendar)


def _other_hours_told(days: pd.DatetimeIndex, calendar: str) -> str:
    """Say which hours of sessions were put right, and how bars are read that were stamped without knowing it."""
    asked = read_calendar(calendar)
    named = {str(session.day) for session in asked.extra_sessions}
    asked_for = {str(day) for day in days.strftime("%Y-%m-%d")} - named
    for other in OTHER_HOURS.get(asked.code, ()):
        if moved := sorted(asked_for & set(other.days)):
            plain = amended(calendar, closed=moved, extra_sessions=[f"{day} {'-'.join(other.plain)}" for day in moved])
            return (
                f"{asked.code} traded {'-'.join(other.true)} on {', '.join(moved)}. Bars that were stamped by "
                f'a calendar that did not know it can be made anew, in a new store, or read as they are with "{plain}".'
            )
    return ""


def length_of(text: str) -> pd.Timedelta:
    """Read a length of time such as ``1d``, ``90D``, ``1h`` or ``5min``; always positive.

    Parameters
    ----------
    text : str
        A number and a unit.

    Returns
    -------
    Timedelta

    Raises
    ------
    ConfigError
        If the text is no length, or not a positive one.

    Examples
    --------
    >>> from embargo.data_loaders import length_of
    >>> length_of("5min")
    Timedelta('0 days 00:05:00')
    """
    try:
        length = pd.Timedelta(f"{text[:-1]}D" if text.endswith("d") else text)
    except (AttributeError, ValueError) as failure:
        raise ConfigError(f"{text!r} is no length of time. Write it as 1d, 1h or 5min.") from failure
    if not length > pd.Timedelta(0):
        raise ConfigError(f"{text!r} is no positive length of time. Write it as 1d, 1h or 5min.")
    return length


def edge_of(value: str | pd.Timestamp, name: str) -> pd.Timestamp:
    """Read an edge of a range: a bare date or a naive stamp is that time in UTC, since nothing happened then.

    Raises
    ------
    ConfigError
        If the value is no date, or missing.
    """
    try:
        stamp = iso_stamp(value)
    except ValueError as failure:
        raise ConfigError(
            f"{name} = {value!r} is no date. Write it as YYYY-MM-DD, a time of day as 2020-01-31T09:30:00+00:00."
        ) from failure
    if pd.isna(stamp):
        raise ConfigError(f"{name} is missing. Write it as YYYY-MM-DD.")
    return (stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")).as_unit("us")


def bars_per_year(calendar: str, bar: pd.Timedelta) -> float:
    """Count the bars in a year of this calendar: 252 sessions (exchanges) or 365 days (``"24/7"``) times a day's bars.

    Intraday bars of an exchange are counted in a regular session of 6.5 hours, rounded up to whole bars.

    Parameters
    ----------
    calendar : str
        exchange_calendars code or ``"24/7"``.
    bar : Timedelta
        Length of a bar.

    Returns
    -------
    float

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import bars_per_year
    >>> bars_per_year("XNYS", pd.Timedelta(days=1)), bars_per_year("24/7", pd.Timedelta(hours=1))
    (252.0, 8760.0)
    """
    day = pd.Timedelta(days=1)
    if calendar == ROUND_THE_CLOCK:
        return 365.0 * float(day / bar)
    return 252.0 * (1.0 if bar >= day else float(np.ceil(pd.Timedelta(hours=6.5) / bar)))


def zone_of(calendar: str) -> ZoneInfo:
    """Time zone in which a calendar's exchange lives (UTC for ``"24/7"``)."""
    if calendar == ROUND_THE_CLOCK:
        return ZoneInfo("UTC")
    return recorded_sessions(read_calendar(calendar).code).zone


def decision_times(open_at: pd.DatetimeIndex, latency: pd.Timedelta) -> pd.DatetimeIndex:
    """Tell when bars are decided: ``open_at - latency``. Nothing known later may influence the bar's row.

    Parameters
    ----------
    open_at : DatetimeIndex, shape (bars,)
        UTC.
    latency : Timedelta
        Time between the last news read and the open; not negative.

    Returns
    -------
    DatetimeIndex, shape (bars,)

    Raises
    ------
    ConfigError
        If the latency is negative.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import decision_times
    >>> decision_times(pd.to_datetime(["2020-01-02 14:30Z"]), pd.Timedelta(minutes=5))[0]
    Timestamp('2020-01-02 14:25:00+0000', tz='UTC')
    """
    if not latency >= pd.Timedelta(0):
        raise ConfigError(
            f"latency must not be negative, got {latency}. It is the time between the last news read and the open."
        )
    return open_at - latency


def decided_before(
    open_at: pd.DatetimeIndex, close_at: pd.DatetimeIndex, decided_at: pd.DatetimeIndex, calendar: str
) -> pd.Timestamp:
    """Tell when the bar before the first one was decided, a bar that the calendar has and the prices lack.

    What was known by then had its first chance on that bar, or on one before it: none of the bars given is its next.

    Parameters
    ----------
    open_at, close_at, decided_at : DatetimeIndex, shape (bars,)
        UTC, at least one bar. The first one is daily if it ends with its session; shorter ones fill their session.
    calendar : str
        exchange_calendars code or ``"24/7"``.

    Returns
    -------
    Timestamp

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.calendars import decided_before, decision_times, sessions
    >>> days = sessions("XNYS", pd.Timestamp("2014-07-07"), pd.Timestamp("2014-07-09"))
    >>> open_at, close_at = pd.DatetimeIndex(days["open_at"]), pd.DatetimeIndex(days["close_at"])
    >>> decided_before(open_at, close_at, decision_times(open_at, pd.Timedelta(minutes=5)), "XNYS")
    Timestamp('2014-07-03 13:25:00+0000', tz='UTC')
    """
    return _decided_before(open_at[0], close_at[0], open_at[0] - decided_at[0], calendar)


# An audit asks it of the same bars in every world that it decides in.
@lru_cache(maxsize=64)
def _decided_before(first: pd.Timestamp, close: pd.Timestamp, latency: pd.Timedelta, calendar: str) -> pd.Timestamp:
    length = close - first
    if calendar == ROUND_THE_CLOCK:
        return first - length - latency
    table = _table(calendar)
    opens, closes = pd.DatetimeIndex(table["open_at"]), pd.DatetimeIndex(table["close_at"])
    session = int(opens.searchsorted(first, side="right")) - 1
    inside = session >= 0 and first < closes[session]
    if inside and opens[session] < first:
        return max(first - length, opens[session]) - latency
    earlier = session - 1 if inside else session
    if earlier < 0:
        return first - length - latency
    if inside and close >= closes[session]:
        return opens[earlier] - latency
    whole_bars = (closes[earlier] - opens[earlier] - pd.Timedelta(1, "us")) // length
    return opens[earlier] + whole_bars * length - latency


def last_closed_bar(close_at: pd.DatetimeIndex, decided_at: pd.DatetimeIndex) -> np.ndarray:
    """Find the newest bar already closed when each row is decided.

    With round-the-clock bars and a positive latency this is two bars back, since the bar before is still open.

    Parameters
    ----------
    close_at, decided_at : DatetimeIndex, shape (bars,)
        UTC, increasing.

    Returns
    -------
    ndarray of int64, shape (bars,)
        Position of the bar, -1 where there is none.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import decision_times, last_closed_bar, sessions
    >>> days = sessions("24/7", pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-04"))
    >>> decided_at = decision_times(pd.DatetimeIndex(days["open_at"]), pd.Timedelta(minutes=5))
    >>> last_closed_bar(pd.DatetimeIndex(days["close_at"]), decided_at)
    array([-1, -1,  0,  1])
    """
    newest: np.ndarray = np.searchsorted(utc_microseconds(close_at), utc_microseconds(decided_at), side="right") - 1
    return newest
