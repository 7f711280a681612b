"""How somebody's file is written, told from its first bytes and lines; and its first rows, read that way."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from embargo.data_loaders.archive.dialect import PLAIN, Dialect, marked_encoding
from embargo.data_loaders.archive.files import Table, TableReader, damage_named, tables_of, told_workbooks, workbooks_in
from embargo.data_loaders.archive.tables import columns_of, pieces
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.research.proposing.lines import Setting

# What is looked at: enough for years of news or of some hundred symbols, and seconds to read.
LOOKED_AT = 200_000
_HEAD, _LINES = 1 << 20, 200
_SIGNS = ",;\t|"
# What symbols may be called inside a list of records.
_INSIDE = ("[]", "[].symbol", "[].ticker", "[].code", "[].name")


@dataclass(frozen=True, eq=False)
class Sheet:
    """A table as it was found.

    Attributes
    ----------
    path : Path
        File or folder.
    dialect : Dialect
        How it is written, as far as that could be told.
    settings : tuple of Setting
        What of this a config has to say.
    frame : DataFrame
        Its first rows, at most 200,000, cells as they stand; indexed by row from 1. Columns inside nested ones are
        named by their path.
    whole : bool
        Whether these are all.
    """

    path: Path
    dialect: Dialect
    settings: tuple[Setting, ...]
    frame: pd.DataFrame
    whole: bool

    @property
    def extent(self) -> str:
        """Say of how many rows something holds."""
        return f"all {len(self.frame):,} rows" if self.whole else f"the first {len(self.frame):,} rows"


def open_sheet(path: Path) -> Sheet:
    """Find out how a table is written and read its first rows.

    Raises
    ------
    MissingPartError, DataError
        If nothing is there, or nothing that can be read.
    """
    part = tables_of(path)[0]
    settings: list[Setting] = []
    if books := workbooks_in(path):
        note = f"{told_workbooks(books)} Save each sheet that belongs here as CSV beside the others."
        settings.append(Setting("path", None, (note,), "note"))
    encoding, delimiter, header = None, None, True
    if part.format != "parquet":
        with TableReader() as reader, damage_named(part), reader.opened(part) as opened:
            head = opened.stream.read(_HEAD)
        if not head.strip():
            raise DataError(f"{part}: the file is empty.")
        encoding, said = _encoding_of(head)
        settings += said
        if part.format in ("csv", "tsv"):
            text = codecs.getincrementaldecoder(Dialect(encoding=encoding).decoding)("replace").decode(head)
            delimiter, header, said = _layout_of(text, whole=len(head) < _HEAD, tabs=part.format == "tsv")
            settings += said
    dialect = Dialect(delimiter, encoding, header)
    parts = tables_of(path, dialect=dialect if dialect.told else PLAIN)
    frame, whole = _first_rows(parts)
    if frame.empty:
        raise DataError(f"{part}: there are no rows.")
    return Sheet(path, dialect, tuple(settings), frame, whole)


def _encoding_of(head: bytes) -> tuple[str | None, list[Setting]]:
    if (marked := marked_encoding(head)) is not None:
        note = f"the file begins with the mark of {marked.upper()}."
        return marked, [Setting("encoding", marked, (note,), "confirm")]
    if _decodes(head, "utf-8"):
        return None, []
    if _decodes(head, "cp1252"):
        text = codecs.getincrementaldecoder("cp1252")().decode(head)
        words = ", ".join(repr(word[:30]) for word in dict.fromkeys(re.findall(r"\w*[^\W\x00-\x7f]\w*", text)) if word)
        note = f"the file is no UTF-8. As Windows of western Europe writes (cp1252) it has words such as {words[:120]}."
        note += " If they look wrong, it is another encoding; that garbles words and moves no time."
        return "cp1252", [Setting("encoding", "cp1252", (note,), "confirm")]
    note = "the file is neither UTF-8 nor cp1252, so that nobody knows its words. Ask its source for it."
    return "latin-1", [Setting("encoding", "gb18030", (note,), "open", ("shift_jis", "cp1251", "utf-16"))]


def _decodes(head: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _layout_of(text: str, *, whole: bool, tabs: bool) -> tuple[str | None, bool, list[Setting]]:
    """Tell the sign between cells, and whether the first line names columns."""
    lines = text.splitlines(keepends=True)
    kept = "".join((lines if whole or len(lines) < 2 else lines[:-1])[:_LINES])
    settings: list[Setting] = []
    found = {sign: _rows_of(kept, sign) for sign in _SIGNS}
    # A quoted text may go over the last line that was kept, so that one row may differ.
    alike = {sign: Counter(map(len, rows)).most_common(1)[0] for sign, rows in found.items() if rows}
    fits = {s: width for s, (width, n) in alike.items() if width > 1 and n >= 0.98 * len(found[s])}
    plain = "\t" if tabs else ","
    sign = max(fits, key=lambda one: (fits[one], one == plain), default=plain)
    rows = found[sign]
    if sign != plain:
        note = f"{len(rows):,} lines looked at have {fits[sign]} cells each between {sign!r}."
        settings.append(Setting("delimiter", sign, (note,), "confirm"))
    first = [cell.strip() for cell in rows[0]] if rows else []
    header = not any(re.match(r"[-+]?\d", cell) for cell in first) and len(set(first)) == len(first) and all(first)
    if not header:
        note = f"the first line is taken for data, since it does not name every column: {', '.join(first)[:100]!r}."
        note += " Columns are then called by their place, '1', '2' ..."
        settings.append(Setting("header", False, (note,), "confirm"))
    return (None if sign == plain else sign), header, settings


def _rows_of(text: str, sign: str) -> list[list[str]]:
    with suppress(csv.Error):
        return [row for row in csv.reader(io.StringIO(text), delimiter=sign) if row]
    return []


def _first_rows(parts: Sequence[Table]) -> tuple[pd.DataFrame, bool]:
    names = columns_of(parts[0])
    try:
        return _gathered(parts, names)
    except (DataError, ConfigError):
        # One of the columns is nested: each by itself, so that the others are had.
        columns, whole = {}, True
        for name in names:
            for path in (name, *(f"{name}{inside}" for inside in _INSIDE)):
                with suppress(DataError, ConfigError):
                    read, whole = _gathered(parts, [path])
                    if path == name or _names_something(read[path]):
                        columns[path] = read[path]
                        break
        if not columns:
            raise
        return pd.DataFrame(columns), whole


def _names_something(lists: pd.Series) -> bool:
    return any(isinstance(entry, str) for cell in lists.head(1_000) if isinstance(cell, list | tuple) for entry in cell)


def _gathered(parts: Sequence[Table], names: Sequence[str]) -> tuple[pd.DataFrame, bool]:
    frames, rows = [], 0
    several = names[0] if len(names) == 1 and "[]" in names[0] else None
    for frame in _frames(parts, names, several):
        frames.append(frame)
        rows += len(frame)
        if rows >= LOOKED_AT:
            break
    frame = pd.concat(frames) if frames else pd.DataFrame(columns=list(names))
    # Of several files the rows are numbered on.
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    return frame.head(LOOKED_AT), rows < LOOKED_AT


def _frames(parts: Sequence[Table], names: Sequence[str], several: str | None) -> Iterator[pd.DataFrame]:
    for piece in pieces(parts, names, several=several):
        yield piece.frame


def distinct(sheet: Sheet, column: str) -> pd.Series:
    """Return what is in a column of the whole file, each value once."""
    if sheet.whole:
        return pd.Series(sheet.frame[column].dropna().unique())
    found: dict[object, None] = {}
    parts = tables_of(sheet.path, dialect=sheet.dialect)
    for piece in pieces(parts, [column]):
        found |= dict.fromkeys(piece.frame[column].dropna().unique())
    return pd.Series(list(found))
