"""When bars open, close and are decided: exchange sessions and round-the-clock bars.

This is the only place that knows calendars. Everything else reads ``open_at``, ``close_at`` and ``decided_at``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import utc_microseconds

if TYPE_CHECKING:
    import exchange_calendars

ROUND_THE_CLOCK = "24/7"
# A calendar takes long to make, whatever its span, so the zone of one that was made is kept.
_ZONES: dict[str, ZoneInfo] = {}


@lru_cache(maxsize=16)
def _exchange(code: str, start: str, end: str) -> exchange_calendars.ExchangeCalendar:
    # Loaded here because round-the-clock bars need no exchange's calendar, and lengths of time are read here too.
    import exchange_calendars

    try:
        calendar = exchange_calendars.get_calendar(code, start=start, end=end)
    except exchange_calendars.errors.InvalidCalendarName as failure:
        raise ConfigError(
            f"calendar {code!r} is unknown. Use '24/7' or an exchange_calendars code such as 'XNYS', 'XLON' or 'XTKS'."
        ) from failure
    _ZONES[code] = ZoneInfo(str(calendar.tz))
    return calendar


def _padded(first: pd.Timestamp, last: pd.Timestamp) -> tuple[str, str]:
    """Span to make a calendar of: equal for all dates of the same years, so that it is made once."""
    return f"{first.year - 1}-12-01", f"{last.year + 1}-01-31"


def sessions(calendar: str, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """Daily bars of a calendar between two dates, both included.

    Parameters
    ----------
    calendar : str
        exchange_calendars code, or ``"24/7"`` for UTC days.
    start, end : Timestamp
        Dates; a time of day or zone is ignored.

    Returns
    -------
    DataFrame indexed by naive session date (the label an exchange gives the day, not an instant) with the columns
    ``open_at`` and ``close_at`` in UTC. Half days close early: XNYS on 2014-07-03 closes 17:00 UTC.

    Raises
    ------
    ConfigError
        If the calendar is unknown.

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
    schedule = _exchange(calendar, *_padded(first, last)).schedule
    schedule = schedule.loc[first:last]
    frame = pd.DataFrame({"open_at": schedule["open"], "close_at": schedule["close"]})
    frame.index = pd.DatetimeIndex(frame.index).as_unit("us")
    return frame.astype("datetime64[us, UTC]")


def reopenings(calendar: str, start: pd.Timestamp, end: pd.Timestamp) -> pd.DatetimeIndex:
    """Instants at which trading begins between two dates: opens of sessions and ends of their breaks, increasing."""
    table = sessions(calendar, start, end)
    opens = pd.DatetimeIndex(table["open_at"])
    if calendar == ROUND_THE_CLOCK or table.empty:
        return opens
    first, last = (pd.Timestamp(day).tz_localize(None).normalize() for day in (start, end))
    ends = _exchange(calendar, *_padded(first, last)).schedule["break_end"].loc[first:last].dropna()
    return opens.union(pd.DatetimeIndex(ends.astype("datetime64[us, UTC]")))


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
        raise DataError(
            f"{where}: {len(strangers)} days are no sessions of {calendar}, first {strangers[0].date()}. "
            "Check the calendar."
        )
    rows = table.loc[labels]
    return pd.DatetimeIndex(rows["open_at"]), pd.DatetimeIndex(rows["close_at"])


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
        stamp = pd.Timestamp(value)
    except ValueError as failure:
        raise ConfigError(f"{name} = {value!r} is no date. Write it as YYYY-MM-DD.") from failure
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
    if calendar not in _ZONES:
        _exchange(calendar, "2020-01-01", "2020-12-31")
    return _ZONES[calendar]


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
    first, length, latency = open_at[0], close_at[0] - open_at[0], open_at[0] - decided_at[0]
    if calendar == ROUND_THE_CLOCK:
        return first - length - latency
    table = _exchange(calendar, *_padded(first, decided_at[-1])).schedule
    opens, closes = pd.DatetimeIndex(table["open"]), pd.DatetimeIndex(table["close"])
    session = int(opens.searchsorted(first, side="right")) - 1
    inside = session >= 0 and first < closes[session]
    if inside and opens[session] < first:
        return max(first - length, opens[session]) - latency
    earlier = session - 1 if inside else session
    if earlier < 0:
        return first - length - latency
    if inside and close_at[0] >= closes[session]:
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
