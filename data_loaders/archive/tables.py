"""Reading tables from parquet, CSV and JSONL files in pieces, with filters that count what they remove.

Memory is bounded by what is kept, never by the size of a file. CSV cells are read as text, so that a ticker ``NA``, an
id ``007`` or a time without a zone is not turned into something else on the way in.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa

from embargo.data_loaders.archive.epochs import EPOCHS, better_unit
from embargo.data_loaders.archive.files import FileProgress, Opened, Table, TableReader, damage_named
from embargo.data_loaders.calendars import edge_of
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import UTC_DTYPE

if TYPE_CHECKING:
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pa_parquet

PIECE_ROWS = 65_536
PIECE_BYTES = 32 << 20
_BUFFER = 4 << 20
_CSV_RULE = "A header row is needed, and quotes around texts with commas or line breaks (a bare CR is one)."

# A clock time followed by a zone; a bare date must not pass for a time at offset -01.
_HAS_ZONE = r"(?i)[T ]\d{2}:?\d{2}.*(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"
# A wrong unit puts an instant a thousand times further from 1970, which no archive reaches.
_FURTHEST = 300 * 365.25 * 86_400.0

_HAS_CLOCK = r"[T ]\d{2}:?\d{2}"
_ZONE = r"(?i)\s*(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"


@dataclass(frozen=True)
class Piece:
    """Some rows of one table: the index of ``frame`` is the row number in it, counted from 1.

    Attributes
    ----------
    place : str
        The file, or zip and member, that the rows are from.
    frame : DataFrame
        The wanted columns.
    used : int
        Bytes of the whole archive on disk that have been read so far.
    """

    place: str
    frame: pd.DataFrame
    used: int


def columns_of(part: Table) -> list[str]:
    """Columns of a table; for JSONL the keys of its first line."""
    with TableReader() as reader, damage_named(part), reader.opened(part) as opened:
        match part.format:
            case "parquet":
                return list(_parquet_of(part, opened).schema_arrow.names)
            case "csv":
                with _csv_of(part, opened, None) as csv:
                    return list(csv.schema.names)
            case _:
                for _, record in _json_records(part, opened):
                    return list(record)
                raise DataError(f"{part}: the file is empty.")


def _parquet_of(part: Table, opened: Opened) -> pa_parquet.ParquetFile:
    # Loaded by those who read such a file: it takes longer than a small one does.
    import pyarrow.parquet as pa_parquet

    try:
        # With a buffer the pages are read as they are needed, instead of a whole row group at once.
        return pa_parquet.ParquetFile(opened.stream, buffer_size=_BUFFER, pre_buffer=False)
    except pa.ArrowInvalid as failure:
        raise DataError(f"{part}: unreadable as parquet: {failure}. Fetch it again.") from failure


def _csv_of(part: Table, opened: Opened, names: Sequence[str] | None) -> pa_csv.CSVStreamingReader:
    """Open a CSV with every cell as text and empty ones missing."""
    import pyarrow.csv as pa_csv

    options = pa_csv.ConvertOptions(
        column_types={} if names is None else dict.fromkeys(names, pa.string()),
        include_columns=None if names is None else list(names),
        null_values=[""],
        strings_can_be_null=True,
    )
    try:
        return pa_csv.open_csv(
            opened.stream,
            read_options=pa_csv.ReadOptions(block_size=_BUFFER),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=options,
        )
    except pa.ArrowInvalid as failure:
        raise DataError(f"{part}: unreadable as CSV: {failure}. {_CSV_RULE}") from failure


def _json_record(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
        if "\\ud" in line or "\\uD" in line:
            json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError as failure:
        raise DataError(f"{where}: half of a character that was cut in two ({failure}). Mend the line.") from failure
    except (ValueError, RecursionError) as failure:
        raise DataError(f"{where}: not JSON ({failure}). Write one object per line.") from failure
    if not isinstance(record, dict):
        raise DataError(f"{where}: expected an object, found {type(record).__name__}.")
    return record


def _json_records(part: Table, opened: Opened) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the length of each line and the object it holds."""
    try:
        with io.TextIOWrapper(opened.stream, encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield len(line), _json_record(line, f"{part}, line {number}")
    except UnicodeDecodeError as failure:
        raise DataError(f"{part}: not UTF-8 ({failure}). Convert it first.") from failure


def _json_frame(records: Sequence[Mapping[str, Any]], names: Sequence[str]) -> pd.DataFrame:
    columns = {}
    for name in names:
        values = [record.get(name) for record in records]
        gappy = set(map(type, values)) == {int, type(None)} and all(abs(value or 0) < 1 << 63 for value in values)
        columns[name] = pd.array(values, dtype="Int64") if gappy else values
    return pd.DataFrame(columns, columns=list(names))


def _whole_numbers_kept(batch: pa.RecordBatch) -> pd.DataFrame:
    """Convert a batch; beside missing values whole numbers stay what they are, so that an id keeps all its digits."""
    frame: pd.DataFrame = batch.to_pandas()
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if column.null_count and pa.types.is_integer(column.type) and not pa.types.is_uint64(column.type):
            whole = column.cast(pa.int64())
            frame[name] = whole.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame


def _missing_columns(part: Table, names: Sequence[str], present: Sequence[str]) -> None:
    missing = [name for name in names if name not in present]
    if missing:
        raise DataError(f"{part}: missing columns {missing}; it has {list(present)}. Map or filter by one of these.")


def _rows_at_once(metadata: pa_parquet.FileMetaData) -> int:
    """Take fewer rows where they are long, so that whole articles need no more memory than headlines."""
    size = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    fitting = PIECE_BYTES * int(metadata.num_rows) // max(int(size), 1)
    return max(1, min(PIECE_ROWS, fitting))


def _frames(part: Table, opened: Opened, names: Sequence[str]) -> Iterator[pd.DataFrame]:
    match part.format:
        case "parquet":
            with _parquet_of(part, opened) as reader:
                _missing_columns(part, names, reader.schema_arrow.names)
                for batch in reader.iter_batches(batch_size=_rows_at_once(reader.metadata), columns=list(names)):
                    yield _whole_numbers_kept(batch)[list(names)]
        case "csv":
            try:
                with _csv_of(part, opened, names) as reader:
                    for batch in reader:
                        yield batch.to_pandas()
            except KeyError:
                _missing_columns(part, names, columns_of(part))
                raise
            except pa.ArrowInvalid as failure:
                raise DataError(f"{part}: unreadable as CSV: {failure}. {_CSV_RULE}") from failure
        case _:
            yield from _json_frames(part, opened, names)


def _json_frames(part: Table, opened: Opened, names: Sequence[str]) -> Iterator[pd.DataFrame]:
    rows: list[dict[str, Any]] = []
    size, empty = 0, True
    for length, record in _json_records(part, opened):
        if empty:
            _missing_columns(part, names, list(record))
            empty = False
        rows.append(record)
        size += length
        if len(rows) == PIECE_ROWS or size >= PIECE_BYTES:
            yield _json_frame(rows, names)
            rows, size = [], 0
    if empty:
        raise DataError(f"{part}: the file is empty.")
    if rows:
        yield _json_frame(rows, names)


def pieces(parts: Sequence[Table], wanted: Sequence[str], *, progress: FileProgress | None = None) -> Iterator[Piece]:
    """Yield the wanted columns of some tables, at most about 65,536 rows or 32 MiB at a time.

    Parameters
    ----------
    parts : sequence of Table
        As ``files.tables_of`` lists them.
    wanted : sequence of str
        Columns; each table must have all of them.
    progress : callable, optional
        Called with (tables done, tables in all).

    Raises
    ------
    DataError
        If a column is missing, or a table unreadable, damaged or cut short.
    """
    names = list(dict.fromkeys(wanted))
    before = 0
    with TableReader() as reader:
        for done, part in enumerate(parts):
            read = 0
            with damage_named(part), reader.opened(part) as opened:
                for frame in _frames(part, opened, names):
                    frame.index = pd.RangeIndex(read + 1, read + 1 + len(frame))
                    read += len(frame)
                    yield Piece(str(part), frame, before + opened.used())
            before += part.size
            if progress is not None:
                progress(done + 1, len(parts))


def truth_of(values: pd.Series, *, where: str) -> pd.Series:
    """Read a column of flags: booleans, 0 and 1, or the words true, false, yes, no, 1, 0; missing is False.

    Raises
    ------
    DataError
        If a value is none of these.
    """
    if pd.api.types.is_bool_dtype(values.dtype) and not values.isna().any():
        return values.astype(bool)
    codes, distinct = pd.factorize(values)
    known = {"true": True, "yes": True, "1": True, "1.0": True, "false": False, "no": False, "0": False, "0.0": False}
    meant = [known.get(str(value).strip().casefold()) for value in distinct]
    if None in meant:
        row = values.index[int(np.argmax(codes == meant.index(None)))]
        raise DataError(f"{where}, row {row}: {values.loc[row]!r} is no flag. Use true or false.")
    # A missing value has the code -1 and so gets the last entry.
    return pd.Series(np.array([*meant, False], dtype=bool)[codes], index=values.index)


def _equals(values: pd.Series, wanted: Any, *, where: str) -> pd.Series:
    if isinstance(wanted, bool):
        return truth_of(values, where=where) == wanted
    if isinstance(wanted, int | float) and not pd.api.types.is_numeric_dtype(values):
        return numbers_of(values, where=where) == float(wanted)
    equal: pd.Series = (values == wanted).fillna(False).astype(bool)
    return equal


def _comparable(values: pd.Series, bound: Any, *, where: str) -> tuple[pd.Series, Any]:
    if isinstance(values.dtype, pd.DatetimeTZDtype) and not isinstance(bound, int | float):
        stamp = pd.Timestamp(bound)
        return values, stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp
    if isinstance(bound, int | float) and not pd.api.types.is_numeric_dtype(values):
        return numbers_of(values, where=where), bound
    return values, bound


def _passes(values: pd.Series, rule: Any, *, where: str) -> pd.Series:
    if isinstance(rule, Mapping):
        odd = sorted(set(rule) - {"min", "max"})
        if odd or not rule:
            raise ConfigError(f"{where}: a range filter knows 'min' and 'max' (both included), got {dict(rule)}.")
        keep = values.notna()
        for side, bound in rule.items():
            try:
                left, right = _comparable(values, bound, where=where)
                keep &= ((left >= right) if side == "min" else (left <= right)).fillna(False).astype(bool)
            except (TypeError, ValueError) as failure:
                raise ConfigError(f"{where}: {side} = {bound!r} does not compare with {values.dtype}.") from failure
        return keep
    if isinstance(rule, list | tuple | set | frozenset):
        keep = pd.Series(False, index=values.index)
        for option in rule:
            keep |= _equals(values, option, where=where)
        return keep
    return _equals(values, rule, where=where)


def keep_filtered(piece: Piece, filters: Mapping[str, Any], counts: dict[str, int]) -> pd.DataFrame:
    """Apply filters in order and count, under ``filtered:<column>``, the rows each of them removes.

    A filter is a value (equality), a list (membership) or ``{"min": a, "max": b}`` (both included). A missing value
    passes no filter.
    """
    frame = piece.frame
    for column, rule in filters.items():
        keep = _passes(frame[column], rule, where=f"{piece.place}, filter on {column!r}")
        key = f"filtered:{column}"
        counts[key] = counts.get(key, 0) + int((~keep).sum())
        frame = frame.loc[keep]
    return frame


def numbers_of(values: pd.Series, *, where: str) -> pd.Series:
    """Read numbers; missing stays NaN.

    Raises
    ------
    DataError
        Naming the first row that is no number.
    """
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    odd = numbers.isna() & values.notna()
    if odd.any() and (values.dtype == object or isinstance(values.dtype, pd.StringDtype)):
        odd &= ~values.map(lambda value: str(value).strip().casefold() in ("", "nan", "none", "null", "na", "n/a"))
    if odd.any():
        row = odd.index[int(np.argmax(odd.to_numpy()))]
        raise DataError(f"{where}, row {row}: {values.loc[row]!r} is no number. Mend or filter the row.")
    return numbers


def _parse_stamps(text: pd.Series, *, where: str, utc: bool) -> pd.Series:
    stamps = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=utc)
    odd = stamps.isna()
    if odd.any():
        row = odd.index[int(np.argmax(odd.to_numpy()))]
        raise DataError(f"{where}, row {row}: {text.loc[row]!r} is no ISO 8601 time. Write 2014-01-31T16:05:00+00:00.")
    return stamps


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
    if pd.api.types.is_integer_dtype(numbers.dtype):
        microseconds = numbers.astype("int64")
        microseconds = microseconds // 1_000 if unit == "unix:ns" else microseconds * round(EPOCHS[unit] * 1e6)
    else:
        microseconds = (numbers * (EPOCHS[unit] * 1e6)).round().astype("int64")
    return microseconds.astype("datetime64[us]").dt.tz_localize("UTC")


def _refuse_naive(first: Any, row: Any, *, where: str) -> DataError:
    return DataError(
        f"{where}, row {row}: the time {first!r} has no time zone. Write it with an offset, or name the source's zone "
        "with 'timezone'."
    )


def _iso_texts(values: pd.Series) -> pd.Series:
    """Write dates and stamps of mixed kinds as texts."""
    if isinstance(values.dtype, pd.StringDtype):
        return values.str.strip()
    text = values.map(lambda value: value.isoformat() if hasattr(value, "isoformat") else str(value).strip())
    return text.astype("str")


def bare_dates_of(values: pd.Series, timezone: str | None) -> pd.Series:
    """Mark the values that are a date without a time of day."""
    bare = pd.Series(False, index=values.index)
    present = values.dropna()
    known = isinstance(present.dtype, pd.DatetimeTZDtype) or not pd.api.types.is_object_dtype(present.dtype)
    if timezone in EPOCHS or present.empty or (known and not isinstance(present.dtype, pd.StringDtype)):
        return bare
    bare.loc[present.index] = ~_iso_texts(present).str.contains(_HAS_CLOCK, regex=True).astype(bool)
    return bare


def _without_clock(stamp: str, remedy: str) -> str:
    """Say what a stamp without a time of day is, and what to do."""
    bare = stamp.strip()
    if bare.replace(".", "", 1).isdigit() and len(bare) != len("20240102"):
        return f"{stamp!r} is a number. Name its unit with 'timezone', such as 'unix:ms'."
    return f"{stamp!r} is a date without a time of day. {remedy}"


def instants_of(
    values: pd.Series,
    timezone: str | None,
    counts: dict[str, int],
    *,
    where: str,
    bare_dates: bool = False,
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
    if pd.api.types.is_numeric_dtype(present.dtype):
        raise DataError(
            f"{where}, row {present.index[0]}: {present.iloc[0]} is a number, and nobody can tell its unit. Name it "
            f"with 'timezone', one of {sorted(EPOCHS)}, or write times as ISO 8601 texts or timestamps."
        )
    text = _iso_texts(present)
    clocked = text.str.contains(_HAS_CLOCK, regex=True)
    if not bare_dates and not clocked.all():
        row = clocked.index[int(np.argmin(clocked.to_numpy()))]
        raise DataError(f"{where}, row {row}: {_without_clock(text.loc[row], remedy)}")
    aware = text.str.contains(_HAS_ZONE, regex=True)
    if aware.all() and len(text) == len(values):
        return _parse_stamps(text, where=where, utc=True).astype(UTC_DTYPE)
    if aware.any():
        result.loc[aware.index[aware]] = _parse_stamps(text[aware], where=where, utc=True).astype(UTC_DTYPE)
    if not aware.all():
        if timezone is None:
            row = aware.index[int(np.argmin(aware.to_numpy()))]
            raise _refuse_naive(text.loc[row], row, where=where)
        naive = _parse_stamps(text[~aware], where=where, utc=False)
        result.loc[naive.index] = _localise(naive, timezone, counts).astype(UTC_DTYPE)
    return result


def session_labels_of(values: pd.Series, timezone: str | None, *, where: str) -> pd.Series:
    """Read trading days: the wall-clock date a source writes, whatever offset follows it; midnight, naive.

    Parameters
    ----------
    values : Series, shape (n,)
        Dates, timestamps or texts without missing values.
    timezone : str or None
        Zone to see timezone-aware timestamps in; without it the zone they are stored in.
    where : str
        Named in errors.

    Raises
    ------
    DataError
        If a label is missing, unreadable or carries a time of day.
    """
    if values.isna().any():
        row = values.index[int(np.argmax(values.isna().to_numpy()))]
        raise DataError(f"{where}, row {row}: the date is missing. Filter the row out.")
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        labels = (values if timezone is None or timezone in EPOCHS else values.dt.tz_convert(timezone)).dt.tz_localize(
            None
        )
    elif pd.api.types.is_datetime64_dtype(values.dtype):
        labels = values
    elif timezone in EPOCHS:
        labels = _from_epoch(values, timezone, where=where).dt.tz_localize(None)
    elif pd.api.types.is_numeric_dtype(values.dtype):
        raise DataError(f"{where}, row {values.index[0]}: {values.iloc[0]} is a number. Write dates as 2014-01-31.")
    else:
        text = _iso_texts(values)
        clocked = text.str.contains(_HAS_CLOCK, regex=True)
        text = text.where(~clocked, text.str.replace(_ZONE, "", regex=True))
        labels = _parse_stamps(text, where=where, utc=False)
    timed = labels != labels.dt.normalize()
    if timed.any():
        row = timed.index[int(np.argmax(timed.to_numpy()))]
        if ((labels + pd.Timedelta(seconds=1)).dt.normalize() > labels).all():
            raise DataError(
                f"{where}, row {row}: {values.loc[row]} is the end of its day, at which a bar closes. Write the day "
                f"itself, {labels.loc[row]:%Y-%m-%d}; the one after it would put the prices one bar too late."
            )
        raise DataError(
            f"{where}, row {row}: {values.loc[row]} carries a time of day, so it is no trading day. Name the zone in "
            "which it is midnight with 'timezone', or set bar to an intraday length."
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


def mapped(parts: Sequence[Table], columns: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Complete a column map with the canonical names that the first table has anyway."""
    present = columns_of(parts[0])
    return {name: name for name in names if name in present and name not in columns} | dict(columns)


def read_table(
    parts: Sequence[Table], columns: Sequence[str], filters: Mapping[str, Any]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read columns of some tables, filtered; the counts hold ``rows`` and ``filtered:<column>``."""
    counts = {"rows": 0}
    kept = []
    for piece in pieces(parts, [*columns, *filters]):
        counts["rows"] += len(piece.frame)
        kept.append(keep_filtered(piece, filters, counts)[list(columns)])
    frame = pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=list(columns), dtype="str")
    return frame, counts
