"""Where the tables of an archive lie: one file or a folder of thousands, plain, compressed or inside zips.

Every table has a name that errors can show (``news.zip/part1.csv``) and opens as a stream of bytes. Nothing is ever
unpacked into a folder: only parquet, which is read from its end, passes through a nameless temporary file.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import hashlib
import io
import lzma
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any

import pyarrow as pa

from embargo.data_loaders.archive.dialect import PLAIN, Dialect, encoding_hint
from embargo.data_loaders.errors import DataError, EmbargoError, MissingPartError

FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
}
_UNPACKED: dict[str, Callable[[Any], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": lambda stream: io.BufferedReader(pa.CompressedInputStream(stream, "zstd")),
}
_WORKBOOKS = dict.fromkeys((".xlsx", ".xls", ".xlsm", ".xlsb", ".ods"), "workbook")
_DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)
# What readers raise on bytes they cannot make sense of, besides: metadata that name no type, zone or column, say.
_UNREADABLE = (pa.ArrowException, ValueError, KeyError, TypeError, OverflowError, RecursionError, MemoryError)
_CHUNK = 1 << 20
_IN_MEMORY = 64 << 20

FileProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Table:
    """One table of an archive.

    Attributes
    ----------
    file : Path
        The file on disk.
    member : str
        Name inside the zip, empty for a file that is none.
    format : str
        ``"parquet"``, ``"csv"``, ``"tsv"`` (tabs), ``"jsonl"`` or ``"json"`` (a list of objects, or one each line).
    packing : str
        ``".gz"``, ``".bz2"``, ``".xz"``, ``".zst"`` or empty.
    size : int
        Bytes it takes up on disk.
    dialect : Dialect
        How it is written.
    """

    file: Path
    member: str
    format: str
    packing: str
    size: int
    dialect: Dialect = PLAIN

    def __str__(self) -> str:
        return f"{self.file}/{self.member}" if self.member else str(self.file)


def _kind(name: str, formats: dict[str, str]) -> tuple[str, str] | None:
    """Return (format, packing) by the endings of a name, or None where they are unknown."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    packing = suffixes.pop() if suffixes and suffixes[-1] in _UNPACKED else ""
    return (formats[suffixes[-1]], packing) if suffixes and suffixes[-1] in formats else None


def _hidden(name: str) -> bool:
    steps = PurePosixPath(name).parts
    # A spreadsheet that is open leaves ~$ files beside its workbooks.
    return any(step == "__MACOSX" or (step.startswith((".", "~$")) and step != "..") for step in steps)


def _members(file: Path, formats: dict[str, str]) -> Iterator[Table]:
    try:
        with zipfile.ZipFile(file) as packed:
            listing = sorted(packed.infolist(), key=lambda entry: entry.filename)
    except _DAMAGED as failure:
        raise DataError(f"{file}: damaged or no zip at all ({failure}). Fetch it again.") from failure
    for entry, following in zip(listing, [*listing[1:], None], strict=True):
        if following is not None and following.filename == entry.filename:
            raise DataError(f"{file}/{entry.filename}: two members of one name. Unpack or pack the zip again.")
        kind = _kind(entry.filename, formats)
        if entry.filename.lower().endswith(".zip"):
            raise DataError(f"{file}/{entry.filename}: a zip inside a zip. Unpack the outer one first.")
        if entry.is_dir() or kind is None or _hidden(entry.filename):
            continue
        if entry.flag_bits & 1:
            raise DataError(f"{file}/{entry.filename}: encrypted. Unpack the zip with its password first.")
        yield Table(file, entry.filename, *kind, size=entry.compress_size)


def _parts_in(file: Path, formats: dict[str, str]) -> Iterator[Table]:
    if file.suffix.lower() == ".zip":
        yield from _members(file, formats)
    elif (kind := _kind(file.name, formats)) is not None:
        yield Table(file, "", *kind, size=file.stat().st_size)


def tables_of(path: str | Path, formats: dict[str, str] = FORMATS, dialect: Dialect = PLAIN) -> list[Table]:
    """List the tables at a path: a file, the members of a zip, or all of one format in a folder and below, sorted.

    Parameters
    ----------
    path : str or Path
        A table, plain or packed as ``.gz``, ``.bz2``, ``.xz`` or ``.zst``; a ``.zip`` of them; or a folder of either.
        Hidden files and files with other endings are passed over in folders and zips, and so is ``.json`` beside tables
        of another format, which it often describes. Workbooks among tables are passed over too; `passed_over` counts
        them.
    formats : dict
        Ending to format.
    dialect : Dialect
        How the tables are written.

    Raises
    ------
    MissingPartError
        If nothing is there, or the folder or zip holds no table.
    DataError
        If the format is unknown, formats are mixed, all are workbooks, or a zip is damaged or encrypted.
    ConfigError
        If the dialect does not go with the format.
    """
    path = Path(path)
    if not path.exists():
        raise MissingPartError(f"no file or folder {path}. Check the path; relative ones start at the working folder.")
    known = f"{', '.join(sorted(formats))} (plain, or packed as {', '.join(sorted(_UNPACKED))} or in a .zip)"
    looked_for = _WORKBOOKS | formats
    if path.is_file():
        found = list(_parts_in(path, looked_for))
        if not found and path.suffix.lower() != ".zip":
            raise DataError(f"{path}: format {path.suffix!r} is unknown. Use one of {known}.")
    else:
        files = sorted(file for file in path.rglob("*") if not _hidden(str(file.relative_to(path))) and file.is_file())
        found = [part for file in files for part in _parts_in(file, looked_for)]
    found = _without_workbooks(found)
    if not found:
        raise MissingPartError(f"{path}: the {'zip' if path.is_file() else 'folder'} holds no {known} file.")
    found = [part for part in found if part.format != "json"] or found
    mixed = sorted({part.format for part in found})
    if len(mixed) > 1:
        raise DataError(f"{path}: the archive mixes {mixed} files. Point to one format.")
    dialect.check_fits(str(path), mixed[0])
    return [replace(part, dialect=dialect) for part in found] if dialect.told else found


def _without_workbooks(found: list[Table]) -> list[Table]:
    """Leave out workbooks among tables, which `passed_over` counts; where there is nothing else, say what to do."""
    tables = [part for part in found if part.format != "workbook"]
    if found and not tables:
        raise DataError(
            f"{found[0]}: a workbook is not read. Save its sheet as CSV (in Excel: Save as, 'CSV UTF-8'); dates, "
            "decimal commas and separators may stay as the spreadsheet writes them, for the settings say them and "
            "'embargo init' proposes those."
        )
    return tables


def workbooks_in(path: str | Path) -> list[str]:
    """Name the workbooks of a folder or a zip, which are no tables and which `tables_of` passes over; sorted."""
    path = Path(path)
    if path.is_dir():
        names = [str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()]
    elif path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as packed:
            names = packed.namelist()
    else:
        return []
    return sorted(name for name in names if name.lower().endswith(tuple(_WORKBOOKS)) and not _hidden(name))


def told_workbooks(names: Sequence[str]) -> str:
    """Say that workbooks are not read, with up to three of their names."""
    some = ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
    if len(names) == 1:
        return f"1 workbook beside the tables is not read: {some}."
    return f"{len(names):,} workbooks beside the tables are not read: {some}."


def passed_over(path: str | Path) -> dict[str, int]:
    """Count what a folder or a zip holds that may be data and is not read; empty where there is nothing such."""
    workbooks = len(workbooks_in(path))
    return {"workbooks_passed_over": workbooks} if workbooks else {}


@contextmanager
def damage_named(part: Table) -> Iterator[None]:
    """Turn whatever a broken file raises while it is read into a ``DataError`` that names the part and the place."""
    try:
        yield
    except EmbargoError:
        raise
    except (*_DAMAGED, *_UNREADABLE) as failure:
        if (misspelt := misspelling(part, failure)) is not None:
            raise DataError(misspelt) from failure
        reason = " ".join(str(failure).split())[:300] or type(failure).__name__
        if isinstance(failure, _DAMAGED) and not isinstance(failure, pa.ArrowException):
            raise DataError(f"{part}: damaged or cut short ({reason}). Fetch or pack it again.") from failure
        raise DataError(f"{part}: unreadable as {part.format} ({reason}). {_REMEDIES[part.format]}") from failure


_REMEDIES = {
    "csv": "A header row is needed, or header = false; and quotes around texts with the delimiter or line breaks (a "
    "bare CR is one). Cells kept apart by another sign than a comma need delimiter = ';' or the like.",
    "tsv": "A header row is needed, or header = false; and quotes around texts with tabs or line breaks.",
    "jsonl": "Write one object per line.",
    "json": "Write a list of objects, or one object per line.",
    "parquet": "Fetch or write it again.",
    "lines": "Fetch it again.",
}


def misspelling(part: Table, failure: BaseException) -> str | None:
    """Name the line of a part that is no text of its encoding, and the setting for it; None if all of it is text."""
    if part.format == "parquet" or not isinstance(failure, UnicodeError | pa.ArrowException):
        return None
    decoder = codecs.getincrementaldecoder(part.dialect.decoding)()
    line, first = 1, None
    try:
        with TableReader() as reader, reader.opened(part) as opened:
            while True:
                chunk = opened.stream.read(_CHUNK)
                first = chunk[:4] if first is None else first
                # Line by line, since what was decoded of a chunk before its fault is lost.
                for piece in chunk.splitlines(keepends=True) or [b""]:
                    line += decoder.decode(piece, final=not chunk).count("\n")
                if not chunk:
                    break
    except UnicodeError as fault:
        said = part.dialect.encoding or "UTF-8"
        reason = getattr(fault, "reason", str(fault))
        return f"{part}, line {line}: no {said} text ({reason}). {encoding_hint(first or b'', part.dialect.encoding)}"
    except _DAMAGED:
        return None
    return None


@dataclass(frozen=True)
class Opened:
    """The bytes of a part, unpacked, and how many of its bytes on disk have been used up so far."""

    stream: IO[bytes]
    used: Callable[[], int]


class TableReader:
    """Opens parts one after the other; a zip stays open while its members follow each other."""

    def __init__(self) -> None:
        self._zip: zipfile.ZipFile | None = None

    def __enter__(self) -> TableReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close_zip()

    def _close_zip(self) -> None:
        if self._zip is not None:
            self._zip.close()
            self._zip = None

    def _raw(self, part: Table) -> IO[bytes]:
        if not part.member:
            return part.file.open("rb")
        if self._zip is None or self._zip.filename != str(part.file):
            self._close_zip()
            self._zip = zipfile.ZipFile(part.file)
        return self._zip.open(part.member)

    @contextmanager
    def opened(self, part: Table) -> Iterator[Opened]:
        """Open one part as a stream of unpacked bytes, seekable if its format is parquet."""
        with ExitStack() as stack:
            raw = stack.enter_context(self._raw(part))
            stream = raw
            if part.packing:
                stream = stack.enter_context(_UNPACKED[part.packing](raw))
            if part.format == "parquet" and (part.packing or part.member):
                whole = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))
                shutil.copyfileobj(stream, whole, _CHUNK)
                whole.seek(0)
                yield Opened(whole, lambda: part.size)
                return
            unpacked = self._zip.getinfo(part.member).file_size if self._zip is not None and part.member else part.size
            share = part.size / max(unpacked, 1)
            yield Opened(stream, lambda: part.size if raw.closed else int(raw.tell() * share))


def fingerprint(parts: Sequence[Table], *, progress: FileProgress | None = None) -> str:
    """Digest the content of the files that hold these parts, streamed, whatever their names and folders.

    Parameters
    ----------
    parts : sequence of Table
        As ``tables_of`` lists them.
    progress : callable, optional
        Called with (bytes done, bytes in all).

    Returns
    -------
    str
        32 hexadecimal digits (BLAKE2b). A file's size goes in before its content, so that files cannot run together.
    """
    files = list(dict.fromkeys(part.file for part in parts))
    total = sum(file.stat().st_size for file in files)
    digest, done = hashlib.blake2b(digest_size=16), 0
    for file in files:
        digest.update(f"{file.stat().st_size}\0".encode())
        with file.open("rb") as content:
            while chunk := content.read(_CHUNK):
                digest.update(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, total)
    return digest.hexdigest()
