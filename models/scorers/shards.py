"""Shards of kept scores: rows of one scorer in one file, sorted by text and named by what is in it.

A shard never changes. Whoever writes the same rows writes the same file, readers need no lock, and a byte that was
flipped since makes the name wrong. A row takes 40 bytes: half of the text's sha256 and three float64.
"""

from __future__ import annotations

import hashlib
import mmap
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES

if TYPE_CHECKING:
    from embargo.data_loaders.store.files import Folder

# How many rows there are, and the sha256 of the whole.
NAME = re.compile(r"(\d{10})-([0-9a-f]{64})\.scores")
_FORMAT = 1
_MAGIC = b"embargo scores "
_HEADER = np.dtype([("magic", "S15"), ("format", "u1"), ("rows", "<u8"), ("identity", "V32"), ("spare", "V8")])
_HEX, _HEX_DIGITS = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]+")


class DamagedError(Exception):
    """A shard whose bytes are not those that it is named by, or that has become shorter since it was opened."""


def keys_of(text_hashes: Sequence[str]) -> np.ndarray:
    """Return the first 16 bytes of each text hash, as two big-endian numbers, uint64 of shape (n, 2).

    What is no sha256 in hexadecimal digits is hashed first.
    """
    # Many at once in a fraction of the time, where all are what they should be.
    joined = "".join(text_hashes)
    if set(map(len, text_hashes)) == {64} and _HEX_DIGITS.fullmatch(joined):
        whole = np.frombuffer(bytes.fromhex(joined), dtype=">u8").reshape(-1, 4)
        return whole[:, :2].astype(np.uint64)
    digests = [
        bytes.fromhex(name)[:16]
        if _HEX.fullmatch(name)
        else hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:16]
        for name in text_hashes
    ]
    return np.frombuffer(b"".join(digests), dtype=">u8").reshape(-1, 2).astype(np.uint64)


def digest_of(identity: str) -> bytes:
    """Return the sha256 of a scorer's identity: its folder is named by it, and each of its shards holds it."""
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True)
class Rows:
    """Logits by text: ``keys`` uint64 of shape (n, 2), in ascending order, and ``logits`` float64 of shape (n, 3)."""

    keys: np.ndarray
    logits: np.ndarray

    @classmethod
    def of(cls, parts: Sequence[Rows]) -> Rows:
        """Put parts together in order; of a text that several hold, the first counts."""
        keys, logits = (np.concatenate([getattr(part, name) for part in parts]) for name in ("keys", "logits"))
        order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable
        keys, logits = keys[order], logits[order]
        first = np.ones(len(keys), dtype=bool)
        first[1:] = (keys[1:] != keys[:-1]).any(axis=1)
        return cls(keys[first], logits[first])

    def written(self, identity: bytes) -> tuple[str, bytes]:
        """Return the name of their shard and its bytes."""
        header = np.zeros((), dtype=_HEADER)
        header["magic"], header["format"], header["rows"] = _MAGIC, _FORMAT, len(self.keys)
        header["identity"] = np.void(identity)
        columns = [np.ascontiguousarray(self.keys[:, place], dtype="<u8").tobytes() for place in (0, 1)]
        content = b"".join([header.tobytes(), *columns, np.ascontiguousarray(self.logits, dtype="<f8").tobytes()])
        return f"{len(self.keys):010d}-{hashlib.sha256(content).hexdigest()}.scores", content


@dataclass(frozen=True)
class Shard:
    """An open shard: columns of a file that is mapped, not read, or of what is held in memory.

    Attributes
    ----------
    heads, tails : uint64 arrays, shape (n,)
        Both halves of the keys, ascending.
    logits : float64 array, shape (n, 3)
    content : mmap or None
        The whole file; None where the columns lie in memory.
    """

    heads: np.ndarray
    tails: np.ndarray
    logits: np.ndarray
    content: mmap.mmap | None = None

    @classmethod
    def saying(cls, logits: np.ndarray, keys: np.ndarray) -> Shard:
        """Say the same, logits of shape (3,), of each text; keys of shape (n, 2) in any order."""
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        return cls(keys[order, 0], keys[order, 1], np.broadcast_to(logits, (len(keys), len(CLASSES))))

    def find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which of the keys, shape (n, 2), are there, and the logits of those.

        Raises
        ------
        DamagedError
            If something has cut the file short since it was opened.
        """
        self._refuse_cut()
        if not len(self.heads):
            return np.zeros(len(keys), dtype=bool), np.empty((0, len(CLASSES)))
        at = np.minimum(np.searchsorted(self.heads, keys[:, 0]), len(self.heads) - 1)
        there = (self.heads[at] == keys[:, 0]) & (self.tails[at] == keys[:, 1])
        # Texts whose first eight bytes are the same lie side by side.
        for row in np.flatnonzero((self.heads[at] == keys[:, 0]) & ~there):
            stop = int(np.searchsorted(self.heads, keys[row, 0], side="right"))
            found = np.flatnonzero(self.tails[at[row] : stop] == keys[row, 1])
            if len(found):
                at[row] += found[0]
                there[row] = True
        return there, np.array(self.logits[at[there]], dtype=float)

    @property
    def rows(self) -> Rows:
        """Copy of all that it holds; DamagedError as of `find`."""
        self._refuse_cut()
        return Rows(np.column_stack([self.heads, self.tails]).astype(np.uint64), np.array(self.logits, dtype=float))

    def _refuse_cut(self) -> None:
        # Whoever reads a mapped page that its file no longer has is ended by the system.
        if self.content is not None and self.content.size() < len(self.content):
            raise DamagedError


def open_shard(folder: Folder, name: str, identity: bytes) -> Shard:
    """Open a shard and hold its bytes against its name.

    Raises
    ------
    FileNotFoundError
        If it is not there any more.
    DamagedError
        If its bytes are not those that it is named by.
    DataError
        If a later release wrote it.
    """
    content = _mapped(folder, name)
    matched = NAME.fullmatch(Path(name).name)
    assert matched is not None
    # Of a later format too the name is the hash of the whole, so that damage is told from it.
    if hashlib.sha256(content).hexdigest() != matched[2] or len(content) < _HEADER.itemsize:
        raise DamagedError
    header = np.frombuffer(content, dtype=_HEADER, count=1)[0]
    if header["magic"] != _MAGIC:
        raise DamagedError
    if header["format"] > _FORMAT:
        raise DataError(
            f"score cache {folder.shown(name)}: of format {header['format']}, and this release reads {_FORMAT}. "
            "Install the release that wrote it, or name another folder as the cache."
        )
    n, start = int(header["rows"]), _HEADER.itemsize
    if header["identity"].tobytes() != identity or len(content) != start + n * (16 + 8 * len(CLASSES)):
        raise DamagedError
    heads, tails = (np.frombuffer(content, dtype="<u8", count=n, offset=start + place * 8 * n) for place in (0, 1))
    logits = np.frombuffer(content, dtype="<f8", offset=start + 16 * n).reshape(n, len(CLASSES))
    return Shard(heads, tails, logits, content)


def _mapped(folder: Folder, name: str) -> mmap.mmap:
    if folder.local:
        path = Path(folder.path(name))
    else:
        path = folder.copy_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(folder.read(name))
    with path.open("rb") as file:
        # The map holds the length of the file at this moment, and what is hashed and told by it is no more.
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as failure:
            raise DamagedError from failure  # an empty file cannot be mapped
