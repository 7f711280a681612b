"""What a run knows of an exchange that its calendar does not: days on which it was shut, sessions held besides.

A calendar is written as its code and what is amended, ``"XHKG -2023-09-01 -2023-09-08"``, so that one text
says all that there is to know, wherever it is handed on or recorded. Days and hours are those of the exchange's zone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, time
from functools import lru_cache

from embargo.data_loaders.errors import ConfigError

ROUND_THE_CLOCK = "24/7"
_SESSION = re.compile(r"(\d{4}-\d{2}-\d{2})[ @](\d{2}:\d{2})-(\d{2}:\d{2})")


@dataclass(frozen=True, order=True)
class ExtraSession:
    """A session that a calendar lacks: its day, and its hours on the exchange's clock."""

    day: date
    opens: time
    closes: time

    def __str__(self) -> str:
        return f"{self.day} {self.opens:%H:%M}-{self.closes:%H:%M}"


@dataclass(frozen=True)
class AmendedCalendar:
    """A calendar's code, and what is amended, in order of days.

    A day that is in both closes with the calendar's hours and opens with those given: a half day that it lacks.
    """

    code: str
    closed: tuple[date, ...] = ()
    extra_sessions: tuple[ExtraSession, ...] = ()

    def __str__(self) -> str:
        extra = [f"+{session}".replace(" ", "@") for session in self.extra_sessions]
        return " ".join([self.code, *(f"-{day}" for day in self.closed), *extra])

    @property
    def name(self) -> str:
        """What to call it in a sentence, however much is amended."""
        number = len({*self.closed, *(session.day for session in self.extra_sessions)})
        return f"{self.code} ({number} {'day' if number == 1 else 'days'} amended)" if number else self.code


def closed_day(text: str) -> date:
    """Read a day on which an exchange was shut; ConfigError where it is none."""
    try:
        return date.fromisoformat(text)
    except ValueError as failure:
        raise ConfigError(f"{text!r} is no day. Write the days an exchange was shut as YYYY-MM-DD.") from failure


def extra_session(text: str) -> ExtraSession:
    """Read a session such as ``2023-11-12 18:15-19:15``; ConfigError where it is none."""
    found = _SESSION.fullmatch(text)
    try:
        if found is None:
            raise ValueError("no day and hours")
        session = ExtraSession(date.fromisoformat(found[1]), time.fromisoformat(found[2]), time.fromisoformat(found[3]))
    except ValueError as failure:
        raise ConfigError(
            f"{text!r} is no session. Write its day and its hours in the exchange's zone, such as "
            "'2023-11-12 18:15-19:15'; special sessions keep hours of their own, so they are never assumed."
        ) from failure
    if session.closes <= session.opens:
        raise ConfigError(f"{text!r} is no session: it closes before it opens. Write the open first, then the close.")
    return session


def amended(calendar: str, *, closed: Iterable[str] = (), extra_sessions: Iterable[str] = ()) -> str:
    """Write a calendar with the days on which the exchange was shut and the sessions that it held besides.

    What this returns is accepted wherever a calendar is.

    Parameters
    ----------
    calendar : str
        exchange_calendars code, or a calendar that is amended already.
    closed : iterable of str
        Days that the calendar has as sessions and the exchange was shut, such as ``"2023-09-01"``.
    extra_sessions : iterable of str
        Days and hours of sessions that the calendar lacks, such as ``"2023-11-12 18:15-19:15"``, on the exchange's
        clock. A day that is in ``closed`` too keeps these hours instead of the calendar's.

    Returns
    -------
    str

    Raises
    ------
    ConfigError
        If a day or session is not written so, a day has two sessions, or the calendar is ``"24/7"``.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import amended, sessions
    >>> mumbai = amended("XBOM", extra_sessions=["2023-11-12 18:15-19:15"])
    >>> mumbai
    'XBOM +2023-11-12@18:15-19:15'
    >>> sessions(mumbai, pd.Timestamp("2023-11-11"), pd.Timestamp("2023-11-12"))["open_at"].tolist()
    [Timestamp('2023-11-12 12:45:00+0000', tz='UTC')]
    """
    before = read_calendar(calendar)
    shut = {*before.closed, *map(closed_day, closed)}
    extra = {*before.extra_sessions, *map(extra_session, extra_sessions)}
    return str(_checked(replace(before, closed=tuple(sorted(shut)), extra_sessions=tuple(sorted(extra)))))


@lru_cache(maxsize=256)
def read_calendar(calendar: str) -> AmendedCalendar:
    """Read a calendar as it is written; ConfigError where an amendment is none."""
    code, *rest = calendar.split() or [calendar]
    shut, extra = set(), set()
    for part in rest:
        if part[0] not in "+-":
            raise ConfigError(
                f"calendar {calendar!r}: {part!r} is no amendment. Write -2023-09-01 for a day on which the exchange "
                "was shut, and +2023-11-12@18:15-19:15 for a session that the calendar lacks."
            )
        if part[0] == "-":
            shut.add(closed_day(part[1:]))
        else:
            extra.add(extra_session(part[1:]))
    return _checked(AmendedCalendar(code, tuple(sorted(shut)), tuple(sorted(extra))))


def _checked(calendar: AmendedCalendar) -> AmendedCalendar:
    days = [session.day for session in calendar.extra_sessions]
    if len(set(days)) < len(days):
        twice = next(day for day in days if days.count(day) > 1)
        raise ConfigError(f"calendar {calendar.code}: {twice} has two extra sessions. Keep one, from open to close.")
    if calendar.code == ROUND_THE_CLOCK and (calendar.closed or calendar.extra_sessions):
        raise ConfigError(
            "calendar '24/7' never closes, so there is nothing to amend. Leave closed days and extra sessions out; "
            "hours that a venue was down are bars that are missing."
        )
    return calendar
