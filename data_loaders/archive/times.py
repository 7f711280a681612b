"""Times as archives write them: instants with or without a zone, epoch times, dates, and forms that have to be named.

What a time means is never guessed: without ``time_format`` only ISO 8601 is read, and a time without a zone needs one
named. A row that does not fit is an error that names it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from embargo.data_loaders.archive.epochs import EPOCHS, better_unit
from embargo.data_loaders.archive.tables import numbers_of
from embargo.data_loaders.archive.time_forms import TimeForm, form_hint, time_form
from embargo.data_loaders.calendars import edge_of
from embargo.data_loaders.errors import ConfigError, DataError, such
from embargo.data_loaders.fields import UTC_DTYPE

# A clock time followed by a zone; a bare date must not pass for a time at offset -01.
_CLOCK = r"[T ](?:\d{1,2}:\d{2}|\d{4})"
_HAS_ZONE = rf"(?i){_CLOCK}.*(?:Z|UTC|GMT|[+-]\d{{2}}(?::?\d{{2}})?)$"
_ZONE = r"(?i)\s*(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"
# A whole date: a year or a month alone would pass for its first day, long before it is over.
_ISO_DATE = r"\d{4}(?:\d{4}|-\d{1,2}-\d{1,2}|/\d{1,2}/\d{1,2})(?:\D|$)"
# A wrong unit puts an instant a thousand times further from 1970, which no archive reaches.
_FURTHEST = 300 * 365.25 * 86_400.0


def _parse_stamps(text: pd.Series, *, where: str, utc: bool) -> pd.Series:
    # The letters that ISO 8601 writes as Z.
    if utc and text.str.contains("(?i)UTC|GMT", regex=True).any():
        # One by one, so only where somebody writes them.
        text = text.str.replace(r"(?i)\s*(?:UTC|GMT)$", "Z", regex=True)
    whole = text.str.match(_ISO_DATE).astype(bool)
    stamps = pd.to_datetime(text.where(whole), format="ISO8601", errors="coerce", utc=utc)
    odd = stamps.isna()
    if odd.any():
        row = odd.index[int(np.argmax(odd.to_numpy()))]
        raise DataError(f"{where}, row {row}: {_not_iso(text.loc[row])}")
    return stamps


def _not_iso(stamp: str) -> str:
    """Say what a text is that is no ISO 8601 time, and which setting may read it."""
    bare = stamp.strip()
    if bare.replace(".", "", 1).isdigit() and len(bare) not in (len("20240102"), len("20240102100000")):
        return (
            f"{stamp!r} is a number. Name its unit with 'timezone', such as 'unix:ms', or set time_format = 'excel' if "
            "it is a spreadsheet's count of days."
        )
    iso = f"{stamp!r} is no ISO 8601 time such as 2014-01-31T16:05:00+00:00"
    if zone := re.search(r"(?i)(?:UTC|GMT)\s*[+-]\s*\d+(?::\d+)?$", bare):
        return (
            f"{iso}, and {zone[0]} is east of Greenwich for some and west of it for others. Write the offset alone, as "
            "+00:00, or put these letters into time_format and name the source's zone with 'timezone'."
        )
    return f"{iso}. {form_hint(stamp)}"


def _localise(naive: pd.Series, timezone: str, counts: dict[str, int]) -> pd.Series:
    """Place local times in their zone, choosing the later instant where the clock is ambiguous or skips."""
    strict: pd.Series = naive.dt.tz_localize(timezone, ambiguous="NaT", nonexistent="NaT")
    counts["uncertain_local_times"] = counts.get("uncertain_local_times", 0) + int(strict.isna().sum())
    return later_of(naive, timezone)


def later_of(naive: pd.Series, timezone: str) -> pd.Series:
    """Place local times in their zone, in UTC: the later instant where the clock is ambiguous or skips."""
    later = np.zeros(len(naive), dtype=bool)
    local = naive.dt.tz_localize(timezone, ambiguous=later, nonexistent="shift_forward")
    placed: pd.Series = local.dt.tz_convert("UTC")
    return placed


def form_of(time_format: str | None, timezone: str | None) -> TimeForm | None:
    """Read the settings ``time_format`` and ``timezone``.

    Raises
    ------
    ConfigError
        If the zone is neither a zone name nor an epoch unit, or the form is unknown or does not go with it.
    """
    check_timezone(timezone)
    if time_format is None:
        return None
    if timezone in EPOCHS:
        raise ConfigError(
            f"time_format = {time_format!r} is for texts, and timezone = {timezone!r} for numbers. Use one."
        )
    return time_form(time_format)


def check_timezone(timezone: str | None) -> None:
    """Refuse a setting that is neither a zone name nor an epoch unit.

    Raises
    ------
    ConfigError
        If it is unknown.
    """
    if timezone is None or timezone in EPOCHS:
        return
    try:
        ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as failure:
        raise ConfigError(
            f"timezone = {timezone!r} is unknown. Name a zone such as 'America/New_York', or for numbers their unit: "
            f"one of {sorted(EPOCHS)}."
        ) from failure


def zone_name(timezone: str | None) -> str:
    """Zone whose days a ``timezone`` setting speaks of: UTC where none is named and for epoch times."""
    return "UTC" if timezone is None or timezone in EPOCHS else timezone


def _from_epoch(values: pd.Series, unit: str, *, where: str) -> pd.Series:
    """Read counts of seconds or fractions of them since 1970 in UTC, to the microsecond."""
    numbers = pd.to_numeric(values, errors="coerce")
    if not pd.api.types.is_integer_dtype(numbers.dtype):
        numbers = numbers_of(values, where=where)
    odd = (numbers * EPOCHS[unit]).abs() > _FURTHEST
    if odd.any():
        place = int(odd.to_numpy().argmax())
        raise DataError(
            f"{where}, row {values.index[place]}: {values.iloc[place]} lies outside the years 1670 to 2270 when read "
            f"as {unit!r}. {better_unit(float(numbers.iloc[place]), unit)}"
        )
    numbers = numbers.dropna()
    if pd.api.types.is_integer_dtype(numbers.dtype):
        microseconds = numbers.astype("int64")
        microseconds = microseconds // 1_000 if unit == "unix:ns" else microseconds * round(EPOCHS[unit] * 1e6)
    else:
        microseconds = (numbers * (EPOCHS[unit] * 1e6)).round().astype("int64")
    instants: pd.Series = microseconds.astype("datetime64[us]").dt.tz_localize("UTC").reindex(values.index)
    return instants


def _refuse_naive(first: Any, row: Any, *, where: str) -> DataError:
    return DataError(
        f"{where}, row {row}: the time {first!r} has no time zone. Write it with an offset, or name the source's zone "
        "with 'timezone'."
    )


def _texts_of(values: pd.Series) -> pd.Series:
    """Write dates and stamps of mixed kinds as texts, and figures such as 20240102 by their digits."""
    if isinstance(values.dtype, pd.StringDtype):
        return values.str.strip()
    text = values.map(lambda value: value.isoformat() if hasattr(value, "isoformat") else str(value).strip())
    return text.astype("str")


def joined_times(raw: pd.DataFrame, names: Sequence[str], *, where: str, remedy: str) -> pd.Series:
    """Join the columns of a date and its time of day by a space, as one column would hold them.

    Parameters
    ----------
    raw : DataFrame, shape (n, columns)
        Cells as they stand.
    names : sequence of str
        The column of dates, then those of the rest.
    where : str
        Named in errors.
    remedy : str
        What to do about a date that has none beside it.

    Returns
    -------
    Series of str, shape (n,), index kept; missing where there is no date.

    Raises
    ------
    DataError
        Naming the first date without a time of day.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.archive.times import joined_times
    >>> raw = pd.DataFrame({"Datum": ["02.01.2024", None], "Uhrzeit": ["09:30", None]})
    >>> joined_times(raw, ["Datum", "Uhrzeit"], where="news.csv", remedy="Filter it out.").tolist()
    ['02.01.2024 09:30', nan]
    """
    day, *rest = (_written(raw[name]) for name in names)
    dated, joined = day.notna(), day
    for name, part in zip(names[1:], rest, strict=True):
        alone = dated & part.isna()
        if alone.any():
            row = alone.index[int(np.argmax(alone.to_numpy()))]
            raise DataError(
                f"{where}, column {name!r}, row {row}: nothing stands beside {day.loc[row]!r} "
                f"({such(alone.sum(), 'row')} here), so that nobody can tell the time of that day. {remedy}"
            )
        joined = joined + " " + part
    return joined


def check_time_from(names: Sequence[str], mapped: Collection[str], stamp: str, timezone: str | None) -> None:
    """Refuse ``time_from`` beside what contradicts it.

    Raises
    ------
    ConfigError
        If it is one column alone, or its instant is mapped or counted from 1970 as well.
    """
    if not names:
        return
    if len(set(names)) != len(names) or len(names) < 2:
        raise ConfigError(
            f"time_from = {list(names)} names no date and time of day. Name the columns of both, in this order; one "
            f"that holds both goes to columns, as {stamp}."
        )
    if stamp in mapped:
        raise ConfigError(f"time_from and columns.{stamp} both say where times stand. Keep one of them.")
    if timezone in EPOCHS:
        raise ConfigError(f"time_from joins texts, and timezone = {timezone!r} is for numbers. Use one.")


def _written(values: pd.Series) -> pd.Series:
    """Write cells as texts, stored days without their midnight; blank ones are missing."""
    present = values.dropna()
    if pd.api.types.is_datetime64_dtype(present.dtype) and (present == present.dt.normalize()).all():
        text = present.dt.strftime("%Y-%m-%d").astype("str")
    else:
        text = _texts_of(present)
    written: pd.Series = text.loc[text != ""].reindex(values.index).astype("str")
    return written


def bare_dates_of(values: pd.Series, timezone: str | None, form: TimeForm | None = None) -> pd.Series:
    """Mark the values that are a date without a time of day."""
    bare = pd.Series(False, index=values.index)
    present = values.dropna()
    known = isinstance(present.dtype, pd.DatetimeTZDtype) or not pd.api.types.is_object_dtype(present.dtype)
    known &= form is None or not pd.api.types.is_numeric_dtype(present.dtype)
    if timezone in EPOCHS or present.empty or (known and not isinstance(present.dtype, pd.StringDtype)):
        return bare
    if form is not None:
        bare.loc[present.index] = form.without_clock(_texts_of(present))
        return bare
    bare.loc[present.index] = ~_texts_of(present).str.contains(_CLOCK, regex=True).astype(bool)
    return bare


def instants_of(
    values: pd.Series,
    timezone: str | None,
    counts: dict[str, int],
    *,
    where: str,
    bare_dates: bool = False,
    form: TimeForm | None = None,
    remedy: str = "Set date_only = 'all' to have such articles known at the end of their day.",
) -> pd.Series:
    """Read instants: timestamps or ISO 8601 texts, each with its own offset, local to a named zone, or epoch times.

    Parameters
    ----------
    values : Series, shape (n,)
        Timestamps or texts; missing stays NaT.
    timezone : str or None
        Zone of those without an offset, or ``"unix:s"``, ``"unix:ms"``, ``"unix:us"`` or ``"unix:ns"`` for numbers
        counted from 1970 in UTC. Where a local time happens twice or never (clock changes) the later instant is
        taken, which can delay news by an hour but not leak it; ``counts["uncertain_local_times"]`` says how many.
    counts : dict
        Added to.
    where : str
        Named in errors.
    bare_dates : bool
        Whether a text may be a date without a clock time.
    form : TimeForm, optional
        How texts, and figures such as 20240102100000, are written; without it as ISO 8601.
    remedy : str
        What to do about one that may not.

    Returns
    -------
    Series of datetime64[us, UTC], shape (n,), index kept.

    Raises
    ------
    DataError
        Naming the first row whose time has no zone (unless ``timezone`` is given), is unreadable, is a bare date
        although those are not allowed, or is a number.
    """
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        aware_values: pd.Series = values.dt.tz_convert("UTC").astype(UTC_DTYPE)
        return aware_values
    result = pd.Series(pd.NaT, index=values.index, dtype=UTC_DTYPE)
    present = values.dropna()
    if present.empty:
        return result
    if pd.api.types.is_datetime64_dtype(present.dtype):
        if timezone is None or timezone in EPOCHS:
            raise _refuse_naive(present.iloc[0], present.index[0], where=where)
        result.loc[present.index] = _localise(present, timezone, counts).astype(UTC_DTYPE)
        return result
    if timezone in EPOCHS:
        result.loc[present.index] = _from_epoch(present, timezone, where=where)
        return result
    if form is not None:
        _fill_by_form(result, present, form, timezone, counts, where=where, bare=None if bare_dates else remedy)
        return result
    if pd.api.types.is_numeric_dtype(present.dtype):
        raise DataError(
            f"{where}, row {present.index[0]}: {present.iloc[0]} is a number, and nobody can tell its unit. Name it "
            f"with 'timezone', one of {sorted(EPOCHS)}, or its form with time_format if its digits write a date, "
            "or count days as a spreadsheet does ('excel')."
        )
    _fill_iso(result, present, timezone, counts, where=where, bare=None if bare_dates else remedy)
    return result


def _fill_iso(
    result: pd.Series,
    present: pd.Series,
    timezone: str | None,
    counts: dict[str, int],
    *,
    where: str,
    bare: str | None,
) -> None:
    """Read ISO 8601 texts into the rows of a result; ``bare`` is the remedy if dates may not be."""
    text = _texts_of(present)
    text = text.loc[text != ""]
    clocked = text.str.contains(_CLOCK, regex=True)
    if bare is not None and not clocked.all():
        row = clocked.index[int(np.argmin(clocked.to_numpy()))]
        _parse_stamps(text.loc[[row]], where=where, utc=False)
        raise DataError(f"{where}, row {row}: {text.loc[row]!r} is a date without a time of day. {bare}")
    aware = text.str.contains(_HAS_ZONE, regex=True)
    if aware.any():
        result.loc[aware.index[aware]] = _parse_stamps(text[aware], where=where, utc=True).astype(UTC_DTYPE)
    if not aware.all():
        naive = _parse_stamps(text[~aware], where=where, utc=False)
        if timezone is None:
            raise _refuse_naive(text.loc[naive.index[0]], naive.index[0], where=where)
        result.loc[naive.index] = _localise(naive, timezone, counts).astype(UTC_DTYPE)


def _fill_by_form(
    result: pd.Series,
    present: pd.Series,
    form: TimeForm,
    timezone: str | None,
    counts: dict[str, int],
    *,
    where: str,
    bare: str | None,
) -> None:
    """Read what is written in a named form into the rows of a result; ``bare`` is the remedy if dates may not be."""
    text = _texts_of(present)
    text = text.loc[text != ""]
    if text.empty:
        return
    stamps = form.parsed(text, where=where)
    if bare is not None and not form.has_clock:
        raise DataError(f"{where}: time_format = {form.text!r} has no time of day. {bare}")
    if bare is not None and (dates := form.without_clock(text)).any():
        row = dates.index[int(np.argmax(dates.to_numpy()))]
        raise DataError(f"{where}, row {row}: {text.loc[row]!r} is a date without a time of day. {bare}")
    if form.has_zone:
        result.loc[text.index] = stamps.astype(UTC_DTYPE)
        return
    if timezone is None:
        raise _refuse_naive(text.iloc[0], text.index[0], where=where)
    result.loc[text.index] = _localise(stamps, timezone, counts).astype(UTC_DTYPE)


def _refuse_missing(days: pd.Series, *, where: str) -> None:
    if days.isna().any():
        row = days.index[int(np.argmax(days.isna().to_numpy()))]
        raise DataError(f"{where}, row {row}: the date is missing. Filter the row out.")


def _written_days(text: pd.Series, timezone: str | None, *, where: str) -> pd.Series:
    """Read days as ISO 8601 writes them: in the zone that is named, if all carry an offset, else as they stand."""
    if timezone is not None and text.str.contains(_HAS_ZONE, regex=True).all():
        local: pd.Series = _parse_stamps(text, where=where, utc=True).dt.tz_convert(timezone).dt.tz_localize(None)
        return local
    clocked = text.str.contains(_CLOCK, regex=True)
    return _parse_stamps(text.where(~clocked, text.str.replace(_ZONE, "", regex=True)), where=where, utc=False)


def session_labels_of(
    values: pd.Series, timezone: str | None, *, where: str, form: TimeForm | None = None
) -> pd.Series:
    """Read trading days: the wall-clock date a source writes, whatever offset follows it; midnight, naive.

    Parameters
    ----------
    values : Series, shape (n,)
        Dates, timestamps or texts without missing values.
    timezone : str or None
        Zone to see timezone-aware timestamps in; without it the zone they are stored in.
    where : str
        Named in errors.
    form : TimeForm, optional
        How texts and figures are written; without it as ISO 8601.

    Raises
    ------
    DataError
        If a label is missing, unreadable or carries a time of day.
    """
    _refuse_missing(values, where=where)
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        labels = (values if timezone is None or timezone in EPOCHS else values.dt.tz_convert(timezone)).dt.tz_localize(
            None
        )
    elif pd.api.types.is_datetime64_dtype(values.dtype):
        labels = values
    elif timezone in EPOCHS:
        labels = _from_epoch(values, timezone, where=where).dt.tz_localize(None)
    elif form is not None:
        labels = form.parsed(_texts_of(values), where=where)
        if form.has_zone:
            raise DataError(
                f"{where}: time_format = {form.text!r} has an offset, and a trading day has none. Write the offset "
                "itself in the place of %z, if all rows have the same."
            )
    elif pd.api.types.is_numeric_dtype(values.dtype):
        raise DataError(
            f"{where}, row {values.index[0]}: {values.iloc[0]} is a number. If its digits write a date, set "
            "time_format, such as '%Y%m%d', or 'excel' for a spreadsheet's count of days; if it counts from 1970, set "
            "its unit with timezone, such as 'unix:s'."
        )
    else:
        labels = _written_days(_texts_of(values), timezone, where=where)
    _refuse_missing(labels, where=where)
    timed = labels != labels.dt.normalize()
    if timed.any():
        row = timed.index[int(np.argmax(timed.to_numpy()))]
        if ((labels + pd.Timedelta(seconds=1)).dt.normalize() > labels).all():
            raise DataError(
                f"{where}, row {row}: {values.loc[row]} is the end of its day, at which a bar closes. Write the day "
                f"itself, {labels.loc[row]:%Y-%m-%d}; the one after it would put the prices one bar too late."
            )
        zone = (
            "Write the day itself, since a count from 1970 leaves no room to name the zone in which it is midnight"
            if timezone in EPOCHS
            else "Name the zone in which it is midnight with 'timezone'"
        )
        raise DataError(
            f"{where}, row {row}: {values.loc[row]} carries a time of day, so it is no trading day. {zone}, or set "
            "bar to an intraday length."
        )
    days: pd.Series = labels.astype("datetime64[us]")
    return days


def range_of(
    start: str | pd.Timestamp | None, end: str | pd.Timestamp | None, *, where: str
) -> tuple[pd.Timestamp | None, pd.Timestamp | None]:
    """Read a range of instants; either edge may be open.

    Raises
    ------
    ConfigError
        If an edge is no date, or the range is empty.
    """
    first, last = (None if edge is None else edge_of(edge, name) for edge, name in ((start, "start"), (end, "end")))
    if first is not None and last is not None and last <= first:
        raise ConfigError(f"{where}: end {last} is not after start {first}. Move the dates apart.")
    return first, last


def outside(when: pd.Series, start: pd.Timestamp | None, end: pd.Timestamp | None) -> pd.Series:
    """Mark instants before ``start``, or at or after ``end``."""
    excluded = pd.Series(False, index=when.index)
    if start is not None:
        excluded |= when < start
    if end is not None:
        excluded |= when >= end
    return excluded
