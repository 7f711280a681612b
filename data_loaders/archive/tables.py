"""Reading tables from parquet, CSV and JSONL files in pieces, with filters that count what they remove.

Memory is bounded by what is kept, never by the size of a file. CSV cells are read as text, so that a ticker ``NA``, an
id ``007`` or a time without a zone is not turned into something else on the way in.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from embargo.data_loaders.archive.dialect import PLAIN, Dialect
from embargo.data_loaders.archive.files import FileProgress, Opened, Table, TableReader, damage_named
from embargo.data_loaders.archive.numerals import numeral_hint, plain_numerals
from embargo.data_loaders.archive.paths import ColumnPath, path_of, reach, refuse_nested
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import iso_stamp

if TYPE_CHECKING:
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pa_parquet

PIECE_ROWS = 65_536
PIECE_BYTES = 32 << 20
_BUFFER = 4 << 20
_TEXT_CHUNK, _LONGEST_RECORD = 1 << 20, 64 << 20
_JSON_GAP = re.compile(r"[\s,]*")
# JSON needs not name in its first line all that the others have.
_LOOKED_AT = 1_000


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
    dialect : Dialect
        How its table is written.
    """

    place: str
    frame: pd.DataFrame
    used: int
    dialect: Dialect = PLAIN


def columns_of(part: Table) -> list[str]:
    """Columns of a table; for JSON the keys of its first thousand objects."""
    with TableReader() as reader, damage_named(part), reader.opened(part) as opened:
        match part.format:
            case "parquet":
                return list(_parquet_of(opened).schema_arrow.names)
            case "csv" | "tsv":
                with _csv_of(part, opened, None) as csv:
                    names = list(csv.schema.names)
                    return names if part.dialect.header else [str(number + 1) for number in range(len(names))]
            case _:
                found: dict[str, None] = {}
                for _, record in islice(_json_records(part, opened), _LOOKED_AT):
                    found |= dict.fromkeys(record)
                if not found:
                    raise DataError(f"{part}: the file is empty.")
                return list(found)


def _parquet_of(opened: Opened) -> pa_parquet.ParquetFile:
    # Loaded by those who read such a file: it takes longer than a small one does.
    import pyarrow.parquet as pa_parquet

    # With a buffer the pages are read as they are needed, instead of a whole row group at once.
    return pa_parquet.ParquetFile(opened.stream, buffer_size=_BUFFER, pre_buffer=False)


def _csv_of(part: Table, opened: Opened, names: Sequence[str] | None) -> pa_csv.CSVStreamingReader:
    """Open a CSV with every cell as text and empty ones missing; without a header columns are numbered from f0."""
    import pyarrow.csv as pa_csv

    dialect = part.dialect
    options = pa_csv.ConvertOptions(
        column_types={} if names is None else dict.fromkeys(names, pa.string()),
        include_columns=None if names is None else list(names),
        null_values=[""],
        strings_can_be_null=True,
    )
    return pa_csv.open_csv(
        opened.stream,
        read_options=pa_csv.ReadOptions(
            block_size=_BUFFER, encoding=dialect.encoding or "utf8", autogenerate_column_names=not dialect.header
        ),
        parse_options=pa_csv.ParseOptions(
            newlines_in_values=True, delimiter=dialect.delimiter or ("\t" if part.format == "tsv" else ",")
        ),
        convert_options=options,
    )


def _json_record(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
        _refuse_half_characters(record, line)
    except UnicodeEncodeError as failure:
        raise DataError(f"{where}: half of a character that was cut in two ({failure}). Mend the line.") from failure
    except (ValueError, RecursionError) as failure:
        raise DataError(f"{where}: not JSON ({failure}). Write one object per line.") from failure
    if not isinstance(record, dict):
        raise DataError(f"{where}: expected an object, found {type(record).__name__}.")
    return record


def _refuse_half_characters(record: object, written: str) -> None:
    if "\\ud" in written or "\\uD" in written:
        json.dumps(record, ensure_ascii=False).encode()


def _json_records(part: Table, opened: Opened) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the length of each object, as it is written, and the object."""
    with io.TextIOWrapper(opened.stream, encoding=part.dialect.decoding) as text:
        if part.format == "json":
            while (sign := text.read(1)).isspace():
                pass
            if sign == "[":
                yield from _listed_records(part, text)
                return
            first = sign + text.readline()
            if not first.strip():
                raise DataError(f"{part}: the file is empty. Fetch it again.")
            if first.strip() == "{":
                whole = _json_record(first + text.read(_LONGEST_RECORD), str(part))
                raise DataError(f"{part}: one object over several lines. {_wrapped_hint(whole)}")
            yield len(first), _json_record(first, f"{part}, line 1")
        number = 1 if part.format == "json" else 0
        for line in text:
            number += 1
            if line.strip():
                yield len(line), _json_record(line, f"{part}, line {number}")


def _wrapped_hint(record: Mapping[str, Any]) -> str:
    """Say what to do about one object that wraps the rows, as the answers of services do."""
    for name, value in record.items():
        if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value[:10]):
            return f"Its list {name!r} seems to hold the rows: write that list alone, as 'jq .{name}' does."
    return "Write a list of objects, or one object per line."


def _listed_records(part: Table, text: io.TextIOWrapper) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of one JSON list, of which never more than some are in memory."""
    decoder = json.JSONDecoder()
    buffer, at, number, ended = "", 0, 0, False
    more = _TEXT_CHUNK

    def where() -> str:
        return f"{part}, entry {number + 1}"

    while True:
        sign = _JSON_GAP.match(buffer, at)
        at = at if sign is None else sign.end()
        if at < len(buffer) and buffer[at] == "]":
            return
        if at < len(buffer) and buffer[at] != "{":
            raise DataError(f"{where()}: expected an object, found {buffer[at : at + 40]!r}. Write a list of objects.")
        try:
            if at == len(buffer):
                raise json.JSONDecodeError("cut short", buffer, at)
            record, end = decoder.raw_decode(buffer, at)
            _refuse_half_characters(record, buffer[at:end])
        except UnicodeEncodeError as failure:
            raise DataError(f"{where()}: half of a character that was cut in two ({failure}). Mend it.") from failure
        except (ValueError, RecursionError) as failure:
            # Perhaps the object only goes on in what was not read yet.
            if ended or len(buffer) - at > _LONGEST_RECORD or isinstance(failure, RecursionError):
                raise DataError(f"{where()}: not JSON ({failure}). Fetch the file again.") from failure
            read = text.read(more)
            buffer, at, ended, more = buffer[at:] + read, 0, not read, more * 2
            continue
        yield end - at, record
        number += 1
        at, more = end, _TEXT_CHUNK


def _json_column(values: Sequence[Any]) -> Any:
    """Make a column; beside missing values whole numbers stay what they are."""
    gappy = set(map(type, values)) == {int, type(None)} and all(abs(value or 0) < 1 << 63 for value in values)
    return pd.array(values, dtype="Int64") if gappy else values


def _json_frame(records: Sequence[Mapping[str, Any]], names: Sequence[str]) -> pd.DataFrame:
    columns = {name: _json_column([record.get(name) for record in records]) for name in names}
    return pd.DataFrame(columns, columns=list(names))


def _whole_numbers_kept(batch: pa.RecordBatch) -> pd.DataFrame:
    """Convert a batch; beside missing values whole numbers stay what they are, so that an id keeps all its digits."""
    frame: pd.DataFrame = batch.to_pandas()
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if column.null_count and pa.types.is_integer(column.type) and not pa.types.is_uint64(column.type):
            whole = column.cast(pa.int64())
            frame[name] = whole.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame


def missing_columns(part: Table, names: Sequence[str], present: Sequence[str]) -> None:
    """Refuse a table without some of the columns, and say which setting may be what is missing.

    Raises
    ------
    DataError
        Naming them, and the columns that are there.
    """
    missing = [name for name in names if name not in present]
    if missing:
        shown = [name if len(name) <= 60 else f"{name[:57]}..." for name in present[:40]]
        raise DataError(f"{part}: missing columns {missing}; it has {shown}. {columns_hint(part, present)}")


def columns_hint(part: Table, present: Sequence[str]) -> str:
    """Say how columns that a table does not seem to have may be reached."""
    csv = part.format in ("csv", "tsv")
    if csv and len(present) == 1 and (sign := next((one for one in ";\t|," if one in present[0]), None)) is not None:
        return f"Its one column holds {sign!r}: set delimiter = {sign!r} if that parts the cells."
    if csv and part.dialect.header and any(len(name) > 60 or name.strip() == "" for name in present):
        return "If its first line is no header, set header = false and name columns by their place: '1', '2' ..."
    if csv and not part.dialect.header:
        return "Without a header columns are named by their place: '1', '2' ..."
    if part.format in ("json", "jsonl"):
        with TableReader() as reader, damage_named(part), reader.opened(part) as opened:
            records = list(islice(_json_records(part, opened), 2))
        hint = _wrapped_hint(records[0][1]) if len(records) == 1 else ""
        if "seems to hold" in hint:
            return hint
    return "Map or filter by one of these."


def _rows_at_once(metadata: pa_parquet.FileMetaData) -> int:
    """Take fewer rows where they are long, so that whole articles need no more memory than headlines."""
    size = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    fitting = PIECE_BYTES * int(metadata.num_rows) // max(int(size), 1)
    return max(1, min(PIECE_ROWS, fitting))


def _frames(part: Table, opened: Opened, names: Sequence[str]) -> Iterator[pd.DataFrame]:
    match part.format:
        case "parquet":
            with _parquet_of(opened) as reader:
                missing_columns(part, names, reader.schema_arrow.names)
                for batch in reader.iter_batches(batch_size=_rows_at_once(reader.metadata), columns=list(names)):
                    yield _whole_numbers_kept(batch)[list(names)]
        case "csv" | "tsv":
            yield from _csv_frames(part, opened, names)
        case _:
            yield from _json_frames(part, opened, names)


def _csv_frames(part: Table, opened: Opened, names: Sequence[str]) -> Iterator[pd.DataFrame]:
    source = list(names)
    if not part.dialect.header:
        missing_columns(part, names, columns_of(part))
        source = [f"f{int(name) - 1}" for name in names]
    try:
        with _csv_of(part, opened, source) as reader:
            for batch in reader:
                yield batch.to_pandas().set_axis(list(names), axis=1)
    except KeyError:
        missing_columns(part, names, columns_of(part))
        raise


def _json_frames(part: Table, opened: Opened, names: Sequence[str]) -> Iterator[pd.DataFrame]:
    rows: list[dict[str, Any]] = []
    size, first = 0, True

    def frame() -> pd.DataFrame:
        if first:
            missing_columns(part, names, list(dict.fromkeys(key for record in rows for key in record)))
        return _json_frame(rows, names)

    for length, record in _json_records(part, opened):
        rows.append(record)
        size += length
        if len(rows) == PIECE_ROWS or size >= PIECE_BYTES:
            yield frame()
            rows, size, first = [], 0, False
    if first and not rows:
        raise DataError(f"{part}: the file is empty.")
    if rows:
        yield frame()


def pieces(
    parts: Sequence[Table],
    wanted: Sequence[str],
    *,
    several: str | None = None,
    progress: FileProgress | None = None,
) -> Iterator[Piece]:
    """Yield the wanted columns of some tables, at most about 65,536 rows or 32 MiB at a time.

    Parameters
    ----------
    parts : sequence of Table
        As ``files.tables_of`` lists them.
    wanted : sequence of str
        Columns, or paths inside nested ones as in ``archive.paths``; each table must have all of them.
    several : str, optional
        The one of them whose path may lead to lists.
    progress : callable, optional
        Called with (tables done, tables in all).

    Raises
    ------
    DataError
        If a column is missing, holds lists or records, or a table is unreadable, damaged or cut short.
    """
    names = list(dict.fromkeys(wanted))
    before = 0
    paths: dict[str, ColumnPath] = {}
    with TableReader() as reader:
        for done, part in enumerate(parts):
            read = 0
            if done == 0:
                paths = _paths(part, names, several)
            columns = list(dict.fromkeys(path.column for path in paths.values()))
            with damage_named(part), reader.opened(part) as opened:
                for frame in _frames(part, opened, columns):
                    frame.index = pd.RangeIndex(read + 1, read + 1 + len(frame))
                    reached = _reached(frame, paths, str(part), first=done == 0 and read == 0)
                    read += len(frame)
                    yield Piece(str(part), reached, before + opened.used(), part.dialect)
            before += part.size
            if progress is not None:
                progress(done + 1, len(parts))


def _paths(part: Table, names: Sequence[str], several: str | None) -> dict[str, ColumnPath]:
    """Read names as columns or as paths inside them."""
    nested = any(mark in name for name in names for mark in ".[")
    present = columns_of(part) if nested else []
    paths = {name: path_of(name, present) for name in names} if nested else {name: ColumnPath(name) for name in names}
    lists = [name for name, path in paths.items() if path.lists and name != several]
    if lists:
        raise ConfigError(f"{part}: {lists[0]!r} leads to several values a row, which only columns.symbol may have.")
    return paths


def _reached(frame: pd.DataFrame, paths: Mapping[str, ColumnPath], where: str, *, first: bool) -> pd.DataFrame:
    """Take the paths inside nested columns, and refuse nested cells where none was named."""
    if all(not path.steps for path in paths.values()):
        reached = frame[list(paths)]
    else:
        columns: dict[str, Any] = {}
        for name, path in paths.items():
            inside = reach(frame[path.column], path, where=where, first=first) if path.steps else frame[path.column]
            if path.lists:
                inside = pd.Series(inside, index=frame.index, dtype=object)
            columns[name] = (
                inside if isinstance(inside, pd.Series) else pd.Series(_json_column(inside), index=frame.index)
            )
        reached = pd.DataFrame(columns, index=frame.index)
    for name, path in paths.items():
        if not path.lists:
            refuse_nested(reached[name], name, where=where)
    return reached


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


def _equals(values: pd.Series, wanted: Any, dialect: Dialect, *, where: str) -> pd.Series:
    if isinstance(wanted, bool):
        return truth_of(values, where=where) == wanted
    if isinstance(wanted, int | float) and not pd.api.types.is_numeric_dtype(values):
        return numbers_of(values, where=where, dialect=dialect) == float(wanted)
    equal: pd.Series = (values == wanted).fillna(False).astype(bool)
    return equal


def _comparable(values: pd.Series, bound: Any, dialect: Dialect, *, where: str) -> tuple[pd.Series, Any]:
    if isinstance(values.dtype, pd.DatetimeTZDtype) and not isinstance(bound, int | float):
        stamp = iso_stamp(bound)
        return values, stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp
    if isinstance(bound, int | float) and not pd.api.types.is_numeric_dtype(values):
        return numbers_of(values, where=where, dialect=dialect), bound
    return values, bound


def _passes(values: pd.Series, rule: Any, dialect: Dialect, *, where: str) -> pd.Series:
    if isinstance(rule, Mapping):
        odd = sorted(set(rule) - {"min", "max"})
        if odd or not rule:
            raise ConfigError(f"{where}: a range filter knows 'min' and 'max' (both included), got {dict(rule)}.")
        keep = values.notna()
        for side, bound in rule.items():
            try:
                left, right = _comparable(values, bound, dialect, where=where)
                keep &= ((left >= right) if side == "min" else (left <= right)).fillna(False).astype(bool)
            except (TypeError, ValueError) as failure:
                raise ConfigError(f"{where}: {side} = {bound!r} does not compare with {values.dtype}.") from failure
        return keep
    if isinstance(rule, list | tuple | set | frozenset):
        keep = pd.Series(False, index=values.index)
        for option in rule:
            keep |= _equals(values, option, dialect, where=where)
        return keep
    return _equals(values, rule, dialect, where=where)


def keep_filtered(piece: Piece, filters: Mapping[str, Any], counts: dict[str, int]) -> pd.DataFrame:
    """Apply filters in order and count, under ``filtered:<column>``, the rows each of them removes.

    A filter is a value (equality), a list (membership) or ``{"min": a, "max": b}`` (both included). A missing value
    passes no filter.
    """
    frame = piece.frame
    for column, rule in filters.items():
        keep = _passes(frame[column], rule, piece.dialect, where=f"{piece.place}, filter on {column!r}")
        key = f"filtered:{column}"
        counts[key] = counts.get(key, 0) + int((~keep).sum())
        frame = frame.loc[keep]
    return frame


def numbers_of(values: pd.Series, *, where: str, dialect: Dialect = PLAIN) -> pd.Series:
    """Read numbers, texts of them as the dialect writes them; missing stays NaN.

    Raises
    ------
    DataError
        Naming the first row that is no number.
    """
    numbers = pd.to_numeric(plain_numerals(values, dialect), errors="coerce").astype(float)
    odd = numbers.isna() & values.notna()
    if odd.any() and (values.dtype == object or isinstance(values.dtype, pd.StringDtype)):
        odd &= ~values.map(lambda value: str(value).strip().casefold() in ("", "nan", "none", "null", "na", "n/a"))
    if odd.any():
        row = odd.index[int(np.argmax(odd.to_numpy()))]
        hint = numeral_hint(str(values.loc[row]), dialect)
        raise DataError(f"{where}, row {row}: {values.loc[row]!r} is no number. {hint}")
    return numbers


def _refuse_repeated(part: Table, present: Sequence[str]) -> None:
    twice = sorted({name for name in present if list(present).count(name) > 1})
    if twice and len(present) < 1_000:
        raise DataError(f"{part}: two columns are called {twice[0]!r}. Rename one.")


def mapped(parts: Sequence[Table], columns: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Complete a column map with the canonical names that the first table has anyway."""
    present = columns_of(parts[0])
    _refuse_repeated(parts[0], present)
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
