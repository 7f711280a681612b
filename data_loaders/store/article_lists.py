"""Which articles each file of news holds: a sorted list of hashes beside the file, from which no row need be read.

An article may stand in any file, since its source may restate when it was published. A question about a month has to
know every version of the month's articles: the lists tell which other files hold one, at eight bytes an article. A list
is derived from its file and bound to its hash. A file without one, as stores of before have them, is read instead.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.records import Facts, facts_of
from embargo.data_loaders.store.files import Folder
from embargo.data_loaders.store.hashing import row_hashes
from embargo.data_loaders.store.integrity import Damage, SweptError, Verifier
from embargo.data_loaders.store.manifest import LIST_SUFFIX, Batch, FileEntry, list_name, sealed, unsealed

_HEAD = struct.Struct("<Q")
_BUCKET_BITS = 23
# Hashes that are compared at once: few enough to stay in the processor's cache.
_AT_ONCE = 16_384
_REMEDY = "Remove it: it says nothing that its data file does not, and `embargo data compact` writes it anew."

# Kinds of columns beyond those that news name. One of another kind keeps its store from being asked by windows.
KINDS: dict[str, pa.DataType] = {
    str(kind): kind
    for kind in (
        pa.large_string(), pa.string(), pa.int64(), pa.uint64(), pa.float64(), pa.bool_(), pa.timestamp("us", tz="UTC")
    )
}  # fmt: skip

Extras = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ArticleList:
    """The articles of one file.

    Attributes
    ----------
    articles : ndarray of uint64
        Hashes of their names, sorted, each one once.
    restated : ndarray of uint64
        Those that the file dates to more than one instant of publication.
    extras : tuple of (str, str)
        Columns of the file that news do not name, in its order, and their kinds.
    """

    articles: np.ndarray
    restated: np.ndarray
    extras: Extras


def is_listed(facts: Facts) -> bool:
    """Whether files of a kind get a list: where a range of events does not hold whole histories."""
    return bool(facts.shared) and not facts.event_in_key


def article_hashes(names: pa.ChunkedArray) -> np.ndarray:
    """Hash articles by name, whatever the column is called."""
    return row_hashes(pa.table({"article": names}), ["article"])


def _distinct(hashes: np.ndarray) -> np.ndarray:
    ordered = np.sort(hashes)
    return ordered[np.insert(ordered[1:] != ordered[:-1], 0, True)] if len(ordered) else ordered


def listed(table: pa.Table, facts: Facts, schema: pa.Schema) -> ArticleList:
    """List the articles of some rows, of a file with that schema."""
    hashes = article_hashes(table[facts.shared[0]])
    articles = _distinct(hashes)
    restated = np.zeros(0, np.uint64)
    if len(articles) < len(hashes):
        place = np.searchsorted(articles, hashes)
        events = table[facts.event].cast(pa.int64()).to_numpy()
        first, last = np.full(len(articles), np.iinfo(np.int64).max), np.full(len(articles), np.iinfo(np.int64).min)
        np.minimum.at(first, place, events)
        np.maximum.at(last, place, events)
        restated = articles[first < last]
    return ArticleList(articles, restated, further_columns(facts, schema))


def further_columns(facts: Facts, schema: pa.Schema) -> Extras:
    """Columns of a file that its kind does not name, and their kinds."""
    named = {*facts.columns, "assumed", "committed_at", "content", "key"}
    return tuple((item.name, str(item.type)) for item in schema if item.name not in named)


def _sum(hashes: np.ndarray) -> int:
    return int(np.add.reduce(hashes, dtype=np.uint64))


def encoded(content: ArticleList, sha256: str) -> bytes:
    """Write a list for the file of a hash."""
    head = sealed(
        {
            "format": 1,
            "of": sha256,
            "counts": [len(content.articles), len(content.restated)],
            "sums": [_sum(content.articles), _sum(content.restated)],
            "extras": content.extras,
        }
    )
    padding = b"\0" * (-len(head) % 8)
    arrays = [part.astype("<u8", copy=False).tobytes() for part in (content.articles, content.restated)]
    return b"".join([_HEAD.pack(len(head)), head, padding, *arrays])


def _decoded(document: bytes, entry: FileEntry, what: str) -> ArticleList:
    damage = DataError(f"{what} is damaged: it is not the list of {entry.path}. {_REMEDY}")
    if len(document) < _HEAD.size:
        raise damage
    (size,) = _HEAD.unpack_from(document)
    head = unsealed(document[_HEAD.size : _HEAD.size + size], what=what, remedy=_REMEDY)
    start = _HEAD.size + size + (-size % 8)
    articles, restated = head["counts"]
    if head["of"] != entry.sha256 or len(document) != start + 8 * (articles + restated):
        raise damage
    parts = (
        np.frombuffer(document, "<u8", articles, start),
        np.frombuffer(document, "<u8", restated, start + 8 * articles),
    )
    if [_sum(part) for part in parts] != head["sums"]:
        raise damage
    return ArticleList(*parts, tuple((name, kind) for name, kind in head["extras"]))


def read_list(folder: Folder, entry: FileEntry) -> ArticleList | None:
    """Read the list of a data file, None where it has none.

    Raises
    ------
    DataError
        If it is not what was written.
    """
    name = list_name(entry.path)
    copy = None if folder.local else folder.copy_path(f"{entry.sha256}{LIST_SUFFIX}")
    if copy is not None and copy.exists():
        return _decoded(copy.read_bytes(), entry, folder.shown(name))
    try:
        # Read, not mapped: who reads a mapped page that something has cut off is ended by the system.
        document = folder.read(name)
    except FileNotFoundError:
        return None
    found = _decoded(document, entry, folder.shown(name))
    if copy is not None:
        copy.write_bytes(document)
    return found


class Sought:
    """Articles that are looked for in many lists."""

    def __init__(self, hashes: np.ndarray) -> None:
        self._hashes = _distinct(hashes)
        self._buckets = np.zeros(1 << _BUCKET_BITS, bool)
        self._buckets[self._hashes >> np.uint64(64 - _BUCKET_BITS)] = True

    def among(self, articles: np.ndarray) -> np.ndarray:
        """Those that are among some hashes, sorted if these are."""
        pieces = [articles[first : first + _AT_ONCE] for first in range(0, len(articles), _AT_ONCE)]
        shift = np.uint64(64 - _BUCKET_BITS)
        there = [piece[np.flatnonzero(self._buckets.take((piece >> shift).view(np.int64)))] for piece in pieces]
        likely = np.concatenate(there or [articles])
        if not len(likely):
            return likely
        place = np.searchsorted(self._hashes, likely)
        place[place == len(self._hashes)] = 0
        found: np.ndarray = likely[self._hashes[place] == likely]
        return found


def _from_file(path: Path, facts: Facts) -> ArticleList:
    with pq.ParquetFile(path) as file:
        return listed(file.read(columns=[facts.shared[0], facts.event]), facts, file.schema_arrow)


def _files(batches: Iterable[Batch]) -> Iterator[tuple[Batch, FileEntry, Facts]]:
    for batch in batches:
        facts = facts_of(batch.dataset)
        if is_listed(facts):
            yield from ((batch, entry, facts) for entry in batch.files)


def write_missing(folder: Folder, batches: Iterable[Batch]) -> int:
    """Write the lists that the files of some batches do not have, and count them."""
    verifier, written = Verifier(folder), 0
    for batch, entry, facts in _files(batches):
        if folder.has(list_name(entry.path)):
            continue
        try:
            content = _from_file(verifier.path_of(batch, entry), facts)
        except (SweptError, FileNotFoundError):
            continue
        folder.write(list_name(entry.path), encoded(content, entry.sha256))
        written += 1
    return written


def false_lists(folder: Folder, verifier: Verifier, batches: Iterable[Batch]) -> Iterator[Damage]:
    """Make every list anew from its file, which is sound, and name those that say something else."""
    for batch, entry, facts in _files(batches):
        name = list_name(entry.path)
        try:
            found = read_list(folder, entry)
            if found is None or _same(found, _from_file(verifier.path_of(batch, entry), facts)):
                continue
            yield Damage(name, batch.id, batch.source, f"it is not the list of its file. {_REMEDY}")
        except SweptError:
            continue
        except DataError as failure:
            yield Damage(name, batch.id, batch.source, str(failure))


def _same(one: ArticleList, other: ArticleList) -> bool:
    return (
        np.array_equal(one.articles, other.articles)
        and np.array_equal(one.restated, other.restated)
        and one.extras == other.extras
    )
