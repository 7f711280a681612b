"""Scores that an earlier release kept in one SQLite file, read once to be moved."""

from __future__ import annotations

import sqlite3
import warnings
import zlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from embargo.data_loaders.fields import CLASSES

_ROWS = 50_000
_BYTES = 8 * len(CLASSES)


def scores_of(path: Path) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield identities with logits by text hash, some thousand rows at a time.

    Rows without a checksum, or whose bytes have changed, are left out; a file that cannot be read is told.

    Parameters
    ----------
    path : Path

    Warns
    -----
    RuntimeWarning
        If the file is damaged.
    """
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        cursor = connection.execute("SELECT identity, text_hash, logits FROM scores ORDER BY identity, text_hash")
        while rows := cursor.fetchmany(_ROWS):
            for identity, same in groupby(rows, key=lambda row: str(row[0])):
                whole = [(name, blob) for _, name, blob in same if _whole(identity, name, blob)]
                yield identity, {name: np.frombuffer(blob[:_BYTES], dtype="<f8") for name, blob in whole}
    except sqlite3.DatabaseError as failure:
        warnings.warn(
            f"{path}: scores of an earlier release, and they cannot be read ({failure}). They are computed anew.",
            RuntimeWarning,
            stacklevel=2,
        )
    finally:
        connection.close()


def _whole(identity: str, name: str, blob: bytes) -> bool:
    if len(blob) != _BYTES + 4:
        return False
    checksum = zlib.crc32(name.encode() + blob[:_BYTES], zlib.crc32(identity.encode()))
    return checksum == int.from_bytes(blob[_BYTES:], "little")
