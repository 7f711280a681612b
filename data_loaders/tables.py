"""Reading tables from parquet, CSV and JSONL files in pieces, with filters that count what they remove.

Memory is bounded by what is kept, never by the size of a file. CSV cells are read as text, so that a ticker ``NA``, an
id ``007`` or a time without a zone is not turned into something else on the way in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from data_loaders.errors import ConfigError, DataError, MissingPartError
from data_loaders.schemas import UTC_DTYPE

BATCH_ROWS = 65_536
SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}

Progress = Callable[[int, int], None]

# A clock time followed by a zone; a bare date must not pass for a time at offset -01.
_HAS_ZONE = r"(?i)[T ]\d{2}:?\d{2}.*(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"
_HAS_CLOCK = r"[T ]\d{2}:?\d{2}"
_ZONE = r"(?i)\s*(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"


@dataclass(frozen=True)
class Piece:
    """Some rows of one file: the index of ``frame`` is the row number in the file, counted from 1."""

    file: Path
    frame: pd.DataFrame


def files_of(path: str | Path) -> list[Path]:
    """List the data files at a path: the file itself, or all of one format in a folder and below, sorted.

    Raises
    ------
    MissingPartError
        If nothing is there, or the folder holds no data file.
    DataError
        If the format is unknown or a folder mixes formats.
    """
    path = Path(path)
    if not path.exists():
        raise MissingPartError(f"no file or folder {path}. Check the path; relative ones start at the working folder.")
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise DataError(f"{path}: format {path.suffix!r} is unknown. Use one of {sorted(SUFFIXES)}.")
        return [path]
    found = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in SUFFIXES)
    if not found:
        raise MissingPartError(f"{path}: the folder holds no {', '.join(sorted(SUFFIXES))} file.")
    formats = {SUFFIXES[file.suffix.lower()] for file in found}
    if len(formats) > 1:
        raise DataError(f"{path}: the folder mixes {sorted(formats)} files. Point to one format.")
    return found


def columns_of(file: Path) -> list[str]:
    """Columns of a file; for JSONL the keys of its first line."""
    match SUFFIXES[file.suffix.lower()]:
        case "parquet":
            return list(pa_parquet.read_schema(file).names)
        case "csv":
            try:
                return list(_open_csv(file, None).schema.names)
            except pa.ArrowInvalid as failure:
                raise DataError(f"{file}: unreadable as CSV: {failure}. A header row is needed.") from failure
        case _:
            for _, record in _json_records(file):
                return list(record)
            raise DataError(f"{file}: the file is empty.")


def _open_csv(file: Path, names: Sequence[str] | None) -> Any:
    options = pa_csv.ConvertOptions(
        column_types={} if names is None else dict.fromkeys(names, pa.string()),
        include_columns=None if names is None else list(names),
        strings_can_be_null=False,
    )
    return pa_csv.open_csv(
        file, parse_options=pa_csv.ParseOptions(newlines_in_values=True), convert_options=options
    )  # fmt: skip


def _json_records(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as failure:
                raise DataError(f"{file}, line {number}: not JSON ({failure}). Write one object per line.") from failure
            if not isinstance(record, dict):
                raise DataError(f"{file}, line {number}: expected an object, found {type(record).__name__}.")
            yield number, record


def _frames(file: Path, names: Sequence[str]) -> Iterator[pd.DataFrame]:
    match SUFFIXES[file.suffix.lower()]:
        case "parquet":
            with pa_parquet.ParquetFile(file) as reader:
                for batch in reader.iter_batches(batch_size=BATCH_ROWS, columns=list(names)):
                    yield batch.to_pandas()[list(names)]
        case "csv":
            try:
                for batch in _open_csv(file, names):
                    yield batch.to_pandas().replace("", None)
            except pa.ArrowInvalid as failure:
                raise DataError(f"{file}: unreadable as CSV: {failure}. Quote texts that hold commas.") from failure
        case _:
            rows: list[dict[str, Any]] = []
            for _, record in _json_records(file):
                rows.append({name: record.get(name) for name in names})
                if len(rows) == BATCH_ROWS:
                    yield pd.DataFrame(rows, columns=list(names))
                    rows = []
            if rows:
                yield pd.DataFrame(rows, columns=list(names))


def pieces(path: str | Path, wanted: Sequence[str], *, progress: Progress | None = None) -> Iterator[Piece]:
    """Yield the wanted columns of all files at a path, at most about 65,536 rows at a time.

    Parameters
    ----------
    path : str or Path
        A file, or a folder of files of one format.
    wanted : sequence of str
        Columns; each file must have all of them.
    progress : callable, optional
        Called with (files done, files in all).

    Raises
    ------
    DataError
        If a column is missing or a file unreadable.
    """
    names = list(dict.fromkeys(wanted))
    files = files_of(path)
    for done, file in enumerate(files):
        present = columns_of(file)
        missing = [name for name in names if name not in present]
        if missing:
            raise DataError(f"{file}: missing columns {missing}; it has {present}. Map or filter by one of these.")
        read = 0
        for frame in _frames(file, names):
            frame.index = pd.RangeIndex(read + 1, read + 1 + len(frame))
            read += len(frame)
            yield Piece(file, frame)
        if progress is not None:
            progress(done + 1, len(files))


def truth_of(values: pd.Series, *, where: str) -> pd.Series:
    """Read a column of flags: booleans, 0 and 1, or the words true, false, yes, no, 1, 0; missing is False.

    Raises
    ------
    DataError
        If a value is none of these.
    """
    words = values.map(lambda value: "false" if pd.isna(value) else str(value).strip().casefold())
    known = {"true": True, "yes": True, "1": True, "1.0": True, "false": False, "no": False, "0": False, "0.0": False}
    flags = words.map(known)
    if flags.isna().any():
        row = flags.index[int(np.argmax(flags.isna().to_numpy()))]
        raise DataError(f"{where}, row {row}: {values.loc[row]!r} is no flag. Use true or false.")
    return flags.astype(bool)


def _equals(values: pd.Series, wanted: Any, *, where: str) -> pd.Series:
    if isinstance(wanted, bool):
        return truth_of(values, where=where) == wanted
    if isinstance(wanted, int | float) and not pd.api.types.is_numeric_dtype(values):
        return numbers_of(values, where=where) == float(wanted)
    return (values == wanted).fillna(False).astype(bool)


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
        keep = _passes(frame[column], rule, where=f"{piece.file}, filter on {column!r}")
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
    if values.dtype == object or isinstance(values.dtype, pd.StringDtype):
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
    strict = naive.dt.tz_localize(timezone, ambiguous="NaT", nonexistent="NaT")
    counts["uncertain_local_times"] = counts.get("uncertain_local_times", 0) + int(strict.isna().sum())
    later = np.zeros(len(naive), dtype=bool)
    return naive.dt.tz_localize(timezone, ambiguous=later, nonexistent="shift_forward").dt.tz_convert("UTC")


def _refuse_naive(first: Any, row: Any, *, where: str) -> DataError:
    return DataError(
        f"{where}, row {row}: the time {first!r} has no time zone. Write it with an offset, or name the source's zone "
        "with 'timezone'."
    )


def instants_of(
    values: pd.Series, timezone: str | None, counts: dict[str, int], *, where: str, bare_dates: bool = False
) -> pd.Series:
    """Read instants: timestamps or ISO 8601 texts, each with its own offset, or all local to a named zone.

    Parameters
    ----------
    values : Series, shape (n,)
        Timestamps or texts; missing stays NaT.
    timezone : str or None
        Zone of those without an offset. Where a local time happens twice or never (clock changes) the later instant is
        taken, which can delay news by an hour but not leak it; ``counts["uncertain_local_times"]`` says how many.
    counts : dict
        Added to.
    where : str
        Named in errors.
    bare_dates : bool
        Whether a text may be a date without a clock time.

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
        return values.dt.tz_convert("UTC").astype(UTC_DTYPE)
    result = pd.Series(pd.NaT, index=values.index, dtype=UTC_DTYPE)
    present = values.dropna()
    if present.empty:
        return result
    if pd.api.types.is_datetime64_dtype(present.dtype):
        if timezone is None:
            raise _refuse_naive(present.iloc[0], present.index[0], where=where)
        result.loc[present.index] = _localise(present, timezone, counts).astype(UTC_DTYPE)
        return result
    if pd.api.types.is_numeric_dtype(present.dtype):
        raise DataError(
            f"{where}, row {present.index[0]}: {present.iloc[0]!r} is a number, and nobody can tell its unit. Write "
            "times as ISO 8601 texts or timestamps."
        )
    text = present.map(lambda value: value.isoformat() if hasattr(value, "isoformat") else str(value).strip())
    text = text.astype("str")
    clocked = text.str.contains(_HAS_CLOCK, regex=True)
    if not bare_dates and not clocked.all():
        row = clocked.index[int(np.argmin(clocked.to_numpy()))]
        raise DataError(
            f"{where}, row {row}: {text.loc[row]!r} is a date without a time of day. Set date_only = 'all' to have "
            "such articles known at the end of their day."
        )
    aware = text.str.contains(_HAS_ZONE, regex=True)
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
        labels = (values if timezone is None else values.dt.tz_convert(timezone)).dt.tz_localize(None)
    elif pd.api.types.is_datetime64_dtype(values.dtype):
        labels = values
    elif pd.api.types.is_numeric_dtype(values.dtype):
        raise DataError(f"{where}, row {values.index[0]}: {values.iloc[0]!r} is a number. Write dates as 2014-01-31.")
    else:
        text = values.map(lambda value: value.isoformat() if hasattr(value, "isoformat") else str(value).strip())
        clocked = text.str.contains(_HAS_CLOCK, regex=True)
        text = text.where(~clocked, text.str.replace(_ZONE, "", regex=True))
        labels = _parse_stamps(text, where=where, utc=False)
    timed = labels != labels.dt.normalize()
    if timed.any():
        row = timed.index[int(np.argmax(timed.to_numpy()))]
        raise DataError(
            f"{where}, row {row}: {values.loc[row]} carries a time of day, so it is no trading day. Name the zone in "
            "which it is midnight with 'timezone', or set bar to an intraday length."
        )
    return labels.astype("datetime64[us]")


def boundary_of(value: str | pd.Timestamp | None, name: str) -> pd.Timestamp | None:
    """Read the edge of a range: a bare date or naive stamp is taken as UTC, since an edge is not an event."""
    if value is None:
        return None
    try:
        stamp = pd.Timestamp(value)
    except ValueError as failure:
        raise ConfigError(f"{name} = {value!r} is no date. Write it as YYYY-MM-DD.") from failure
    return stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")


def read_table(
    path: str | Path, columns: Sequence[str], filters: Mapping[str, Any]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read columns of a table, filtered; the counts hold ``rows`` and ``filtered:<column>``."""
    counts = {"rows": 0}
    kept = []
    for piece in pieces(path, [*columns, *filters]):
        counts["rows"] += len(piece.frame)
        kept.append(keep_filtered(piece, filters, counts)[list(columns)])
    frame = pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=list(columns), dtype="str")
    return frame, counts
