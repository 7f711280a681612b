"""What a store holds: one entry per batch, written last, which is what makes the batch visible.

An entry names its files with their hashes and carries a checksum of itself. No file is shared between writers, so any
number of processes may append at once without a lock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import pandas as pd

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.records import Dataset
from embargo.data_loaders.store.files import Folder

FOLDER = "manifest"
FORMAT = 1
LIST_SUFFIX = ".articles"


@dataclass(frozen=True)
class Cover:
    """A source was asked for [start, end) of one series and answered in full, maybe with nothing.

    Attributes
    ----------
    dataset : str
        Kind of fact.
    venue, symbol, bar : str
        The series; ``bar`` is empty where the kind has none.
    start, end : Timestamp
        UTC; ``end`` is not included.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.store import Cover
    >>> first, last = (pd.Timestamp(day, tz="UTC") for day in ("2020-01-01", "2020-02-01"))
    >>> Cover("bars", "yahoo", "AAPL", "1d", first, last).end - first
    Timedelta('31 days 00:00:00')
    """

    dataset: Dataset
    venue: str
    symbol: str
    bar: str
    start: pd.Timestamp
    end: pd.Timestamp


@dataclass(frozen=True)
class FileEntry:
    """One data file: where it is, what it must hash to, and the ranges that tell whether a question needs it.

    Attributes
    ----------
    path : str
        Relative to the store.
    rows, bytes : int
    sha256 : str
        Of the whole file.
    first_known, last_known : Timestamp
        Range of the instants at which its rows could be known at the earliest.
    first_event, last_event : Timestamp
        Range of ``published_at``, ``open_at``, ``ex_at``, ``settles_at`` or ``seen_at`` (instruments).
    first_commit, last_commit : Timestamp
        Range of the instants at which its rows were first appended; one instant unless compacted.
    assumed : int
        Rows whose source did not say when they could be had.
    """

    path: str
    rows: int
    bytes: int
    sha256: str
    first_known: pd.Timestamp
    last_known: pd.Timestamp
    first_event: pd.Timestamp
    last_event: pd.Timestamp
    first_commit: pd.Timestamp
    last_commit: pd.Timestamp
    assumed: int


@dataclass(frozen=True)
class Batch:
    """Facts that became visible together.

    Attributes
    ----------
    id : str
        Unique; begins with the instant of the commit.
    dataset : str
        Kind of fact.
    source : str
        Where the facts come from; ``"compaction"`` for merged batches.
    committed_at : Timestamp
        When they were appended, UTC.
    rows : int
        Rows stored.
    files : tuple of FileEntry
    covers : tuple of Cover
        What the source was asked for and answered in full.
    collapsed : int
        Identical rows of the appended frame that were stored once.
    sources : tuple of str
        Every source that stands in the batch.
    replaces : tuple of str
        Ids of batches whose facts this one holds too.
    """

    id: str
    dataset: Dataset
    source: str
    committed_at: pd.Timestamp
    rows: int
    files: tuple[FileEntry, ...]
    covers: tuple[Cover, ...]
    collapsed: int = 0
    sources: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True)
class VisibleBatches:
    """The batches that were visible when the store was looked at, in the order of their commits."""

    batches: tuple[Batch, ...]

    @cached_property
    def covers(self) -> dict[tuple[Dataset, str, str, str], list[tuple[pd.Timestamp, pd.Timestamp]]]:
        """What was asked for, by (dataset, venue, symbol, bar); intervals as they came."""
        series: dict[tuple[Dataset, str, str, str], list[tuple[pd.Timestamp, pd.Timestamp]]] = {}
        for batch in self.batches:
            for cover in batch.covers:
                of = (cover.dataset, cover.venue, cover.symbol, cover.bar)
                series.setdefault(of, []).append((cover.start, cover.end))
        return series

    def of(self, dataset: str) -> list[Batch]:
        """Batches of one kind of fact."""
        return [batch for batch in self.batches if batch.dataset == dataset]


def _plain(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return value.tz_convert("UTC").strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    raise TypeError(f"{value!r} has no place in a manifest")


def encode(batch: Batch) -> bytes:
    """Write an entry as JSON with the checksum of its content."""
    content = asdict(batch) | {"format": FORMAT}
    return sealed(content)


def sealed(content: dict[str, Any]) -> bytes:
    """Write a document as canonical JSON under its own checksum."""
    plain = json.dumps(content, default=_plain, sort_keys=True, separators=(",", ":"))
    checksum = hashlib.sha256(plain.encode()).hexdigest()
    return f'{{"checksum":"{checksum}","content":{plain}}}\n'.encode()


def unsealed(document: bytes, *, what: str, remedy: str, formats: Sequence[int] = (FORMAT,)) -> dict[str, Any]:
    """Read a sealed document of one of some formats.

    Raises
    ------
    DataError
        If a single byte of it differs from what was written.
    """
    try:
        content: dict[str, Any] = json.loads(document)["content"]
        intact = sealed(content) == document
    except (ValueError, KeyError, TypeError):
        intact = False
    if not intact:
        raise DataError(f"{what} is damaged: it does not match its own checksum. {remedy}")
    if content.get("format") not in formats:
        raise DataError(
            f"{what} has format {content.get('format')!r}, known is {' and '.join(map(str, formats))}. Use a newer "
            "version."
        )
    return content


def _instants(record: dict[str, Any], kind: type) -> dict[str, Any]:
    return {
        item.name: pd.Timestamp(record[item.name]).as_unit("us") if item.type == "pd.Timestamp" else record[item.name]
        for item in fields(kind)
    }


def decode(document: bytes, *, what: str, remedy: str) -> Batch:
    """Read an entry back; DataError where it is damaged."""
    record = unsealed(document, what=what, remedy=remedy)
    values = _instants(record, Batch)
    return Batch(
        **values
        | {
            "files": tuple(FileEntry(**_instants(item, FileEntry)) for item in record["files"]),
            "covers": tuple(Cover(**_instants(item, Cover)) for item in record["covers"]),
            "sources": tuple(record["sources"]),
            "replaces": tuple(record["replaces"]),
        }
    )


def entry_name(batch_id: str) -> str:
    """Place of a batch's entry in the store."""
    return f"{FOLDER}/{batch_id}.json"


def list_name(path: str) -> str:
    """Place of the list of articles of a data file."""
    return path.removesuffix(".parquet") + LIST_SUFFIX


class Manifest:
    """Reads the entries of a store, each one once: an entry never changes after it was written."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._known: dict[str, Batch] = {}
        self._listing = VisibleBatches(())
        self._ids: frozenset[str] = frozenset()

    def ids(self) -> list[str]:
        """Ids of all entries, visible or replaced, sorted."""
        names = self._folder.names(FOLDER)
        return [name.removesuffix(".json") for name in names if name.endswith(".json") and not name.startswith(".")]

    def entry(self, batch_id: str) -> Batch | None:
        """Read one entry, None where it was removed meanwhile; DataError where it is damaged."""
        if batch_id not in self._known:
            name = entry_name(batch_id)
            try:
                document = self._folder.read(name)
            except FileNotFoundError:
                return None
            batch = decode(
                document,
                what=f"manifest entry {self._folder.shown(name)}",
                remedy="Restore it from a copy; or move it out of the folder, which hides its batch, and fetch or "
                "import again what the batch held.",
            )
            if batch.id != batch_id:
                raise DataError(
                    f"manifest entry {self._folder.shown(name)} is that of batch {batch.id}. Give it its name back."
                )
            self._known[batch_id] = batch
        return self._known[batch_id]

    def entries(self) -> list[Batch]:
        """All entries, visible or replaced."""
        found = [self.entry(batch_id) for batch_id in self.ids()]
        return [batch for batch in found if batch is not None]

    def listing(self) -> VisibleBatches:
        """Look at the store: every batch that no other one replaces."""
        batches = self.entries()
        ids = frozenset(batch.id for batch in batches)
        if ids != self._ids:
            self._listing = VisibleBatches(visible(batches))
            self._ids = ids
        return self._listing


def visible(batches: Iterable[Batch]) -> tuple[Batch, ...]:
    """Batches that no other one replaces, in the order of their commits."""
    batches = list(batches)
    replaced = {batch_id for batch in batches for batch_id in batch.replaces}
    return tuple(
        sorted(
            (batch for batch in batches if batch.id not in replaced), key=lambda batch: (batch.committed_at, batch.id)
        )
    )


def merged(intervals: Sequence[tuple[pd.Timestamp, pd.Timestamp]]) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """Unite half-open intervals: sorted, disjoint, none touching the next, empty ones dropped."""
    result: list[tuple[pd.Timestamp, pd.Timestamp]] = []
    for start, end in sorted(interval for interval in intervals if interval[0] < interval[1]):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((start, end))
    return result


def gaps(
    intervals: Sequence[tuple[pd.Timestamp, pd.Timestamp]], start: pd.Timestamp, end: pd.Timestamp
) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """Return what of [start, end) lies in none of the intervals: sorted, disjoint, none empty."""
    result = []
    for first, last in merged(intervals):
        if last <= start or first >= end:
            continue
        if first > start:
            result.append((start, first))
        start = max(start, last)
    if start < end:
        result.append((start, end))
    return result
