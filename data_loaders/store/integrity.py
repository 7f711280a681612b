"""Whether the bytes of a store are the bytes that were written, found out before they are used.

Every data file is hashed when a process first reads it and named when it differs: with its batch, its source and what
to do. Nothing damaged is ever skipped in silence.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.store.files import Folder
from embargo.data_loaders.store.manifest import Batch, FileEntry, entry_name, list_name

IDENTITY = "store.json"
_PIECE = 1 << 20
# What appends leave behind; nothing else in the folder of a store is its own to list or to sweep.
_LEFTOVER = re.compile(r"\d+T\d{12}Z-[0-9a-f]{16}-\d+\.(?:parquet|articles)|\..+\.[0-9a-f]{16}\.part")


class SweptError(Exception):
    """A file of the listing is gone; it may have been merged into another one meanwhile."""


@dataclass(frozen=True)
class Damage:
    """One file that is not what was written: where, whose, and what is wrong with it."""

    path: str
    batch: str
    source: str
    reason: str


@dataclass(frozen=True)
class StoreHealth:
    """What a full check found.

    Attributes
    ----------
    batches, files, rows, bytes : int
        Visible batches and what they hold.
    damaged : tuple of Damage
        Files and entries that cannot be trusted.
    orphans : tuple of str
        Files without an entry: appends that never finished, or are about to. They are never read.

    Examples
    --------
    >>> from embargo.data_loaders.store import StoreHealth
    >>> StoreHealth(batches=1, files=1, rows=2, bytes=900, damaged=(), orphans=()).sound
    True
    """

    batches: int
    files: int
    rows: int
    bytes: int
    damaged: tuple[Damage, ...]
    orphans: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether every file that counts is what was written."""
        return not self.damaged


class Verifier:
    """Hands out paths on this machine whose content was hashed and found right."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._sound: set[tuple[str, str, int, int]] = set()

    def path_of(self, batch: Batch, entry: FileEntry) -> Path:
        """Verify a file and return where it can be read.

        Raises
        ------
        SweptError
            If the file is not there.
        DataError
            If its content is not what was written.
        """
        try:
            path, reason = (self._verify if self._folder.local else self._fetch)(entry)
        except FileNotFoundError:
            raise SweptError(entry.path) from None
        if reason:
            raise damaged(self._folder, batch, entry, reason)
        return path

    def _verify(self, entry: FileEntry) -> tuple[Path, str]:
        path = Path(self._folder.path(entry.path))
        status = path.stat()
        if status.st_size != entry.bytes:
            return path, f"it has {status.st_size} bytes, not the {entry.bytes} that were written"
        mark = (str(path), entry.sha256, status.st_size, status.st_mtime_ns)
        if mark in self._sound:
            return path, ""
        with path.open("rb") as source:
            if hashlib.file_digest(source, "sha256").hexdigest() != entry.sha256:
                return path, "its content is not what was written (sha256 differs)"
        self._sound.add(mark)
        return path, ""

    def _fetch(self, entry: FileEntry) -> tuple[Path, str]:
        """Copy a remote file beside the process, hashing what passes; later reads use the copy."""
        target = self._folder.copy_path(f"{entry.sha256}.parquet")
        if target.exists():
            return target, ""
        digest, size = hashlib.sha256(), 0
        unfinished = target.with_suffix(f".{os.getpid()}.part")
        with self._folder.open(entry.path) as source, unfinished.open("wb") as sink:
            while piece := source.read(_PIECE):
                digest.update(piece)
                size += len(piece)
                sink.write(piece)
        if digest.hexdigest() != entry.sha256:
            unfinished.unlink()
            if size != entry.bytes:
                return target, f"it has {size} bytes, not the {entry.bytes} that were written"
            return target, "its content is not what was written (sha256 differs)"
        unfinished.replace(target)
        return target, ""


def damaged(folder: Folder, batch: Batch, entry: FileEntry, reason: str) -> DataError:
    """Build the error for a file that cannot be trusted."""
    return DataError(
        f"{folder.shown(entry.path)}: {reason}. It belongs to batch {batch.id} of {batch.source!r}. Restore the file "
        f"from a copy; or move {folder.shown(entry_name(batch.id))} out of the store, which hides the whole batch "
        f"({batch.rows} rows), and fetch or import {', '.join(map(repr, batch.sources))} again."
    )


def orphans(names: Iterable[str], batches: Iterable[Batch]) -> Iterator[str]:
    """Files that appends wrote and no entry names; whatever else lies in the folder belongs to somebody else."""
    named = {name for batch in batches for entry in batch.files for name in (entry.path, list_name(entry.path))}
    for name in names:
        if name not in named and _LEFTOVER.fullmatch(name.rpartition("/")[2]):
            yield name
