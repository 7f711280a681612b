"""Scores already computed, kept by what made them: the scorer's identity and the text's hash.

One SQLite file holds raw float64 logits, each with a checksum over them and what they answer for, so that a byte that
was flipped since is told. Each write is a transaction, so a kill at any moment leaves the scores of before or of after;
several processes may read and write at once.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES

LOOKUP_CHUNK = 500
BUSY_TIMEOUT_S = 60.0
# Format of the file: 2 has a checksum in every row. Rows of before are computed anew when they are asked for.
_VERSION = 2
_BYTES_BEFORE = 8 * len(CLASSES)
_ROW = np.dtype([("logits", "<f8", (len(CLASSES),)), ("checksum", "<u4")])


class ScoreCache:
    """A file of logits by (scorer identity, text hash).

    Parameters
    ----------
    path : Path
        SQLite file; made on demand.

    Raises
    ------
    DataError
        If the file is damaged, not a score cache, made by a later release, or cannot be used now.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from embargo.models import ScoreCache
    >>> with tempfile.TemporaryDirectory() as folder, ScoreCache(Path(folder) / "scores.sqlite") as cache:
    ...     cache.put_many("my scorer", {"ab12": np.array([0.0, 1.0, 2.0])})
    ...     print(cache.get_many("my scorer", ["ab12", "cd34"]))
    {'ab12': array([0., 1., 2.])}
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS scores (identity TEXT NOT NULL, text_hash TEXT NOT NULL, "
                "logits BLOB NOT NULL, PRIMARY KEY (identity, text_hash)) WITHOUT ROWID"
            )
            [[version]] = self._connection.execute("PRAGMA user_version").fetchall()
            if version < _VERSION:
                self._connection.execute(f"PRAGMA user_version={_VERSION}")
        except sqlite3.DatabaseError as failure:
            raise self._damaged(failure) from failure
        if version > _VERSION:
            raise DataError(
                f"score cache {self.path}: of format {version}, and this release reads {_VERSION}. Install the release "
                "that wrote it, or name another folder as the cache."
            )

    def get_many(self, identity: str, text_hashes: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the logits, float64 of shape (3,), of those texts that are there, by text hash.

        Raises
        ------
        DataError
            If the file is damaged.
        """
        found: dict[str, np.ndarray] = {}
        try:
            for start in range(0, len(text_hashes), LOOKUP_CHUNK):
                chunk = list(text_hashes[start : start + LOOKUP_CHUNK])
                marks = ",".join("?" * len(chunk))
                rows = self._connection.execute(
                    f"SELECT text_hash, logits FROM scores WHERE identity = ? AND text_hash IN ({marks})",  # noqa: S608
                    [identity, *chunk],
                )
                found |= self._checked(identity, [row for row in rows if len(row[1]) != _BYTES_BEFORE])
        except sqlite3.DatabaseError as failure:
            raise self._damaged(failure) from failure
        return found

    def _checked(self, identity: str, rows: Sequence[tuple[str, bytes]]) -> dict[str, np.ndarray]:
        for name, blob in rows:
            if len(blob) != _ROW.itemsize:
                raise self._damaged(f"{len(blob)} bytes of logits for text {name}, expected {_ROW.itemsize}")
        kept = np.frombuffer(b"".join(blob for _, blob in rows), dtype=_ROW)
        checksums = _checksums(identity, rows)
        if checksums != kept["checksum"].tolist():
            wrong = next(name for (name, _), a, b in zip(rows, checksums, kept["checksum"], strict=True) if a != b)
            raise self._damaged(f"the scores of text {wrong} do not match their checksum, so bytes have changed")
        return dict(zip((name for name, _ in rows), kept["logits"].astype(float), strict=True))

    def put_many(self, identity: str, scores: Mapping[str, np.ndarray]) -> None:
        """Store logits, shape (3,), by text hash, all or none; a text already there with a checksum keeps what it has.

        Raises
        ------
        DataError
            If the file is damaged, or a row is not three finite numbers.
        """
        rows = []
        for name, logits in scores.items():
            values = np.asarray(logits, dtype="<f8")
            if values.shape != (len(CLASSES),) or not np.isfinite(values).all():
                raise DataError(
                    f"score cache: logits of text {name} are {values}, not three finite numbers. Retune the model."
                )
            rows.append((name, values.tobytes()))
        checksums = _checksums(identity, rows)
        kept = [
            (identity, name, blob + checksum.to_bytes(4, "little"))
            for (name, blob), checksum in zip(rows, checksums, strict=True)
        ]
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(
                    "INSERT INTO scores VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET logits = excluded.logits "  # noqa: S608
                    f"WHERE length(scores.logits) = {_BYTES_BEFORE}",
                    kept,
                )
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has ended it already
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.DatabaseError as failure:
            raise self._damaged(failure) from failure

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def __enter__(self) -> ScoreCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _damaged(self, failure: object) -> DataError:
        if isinstance(failure, sqlite3.OperationalError):
            return DataError(
                f"score cache {self.path}: cannot be used now ({failure}). Its scores are whole: keep the file, make "
                "room or let the other process finish, and repeat the command."
            )
        return DataError(
            f"score cache {self.path}: unusable ({failure}). Delete the file; scores are then computed anew."
        )


def _checksums(identity: str, rows: Sequence[tuple[str, bytes]]) -> list[int]:
    """Return the CRC-32 of identity, text hash and logits of every row: it tells every change within four bytes."""
    start, size = zlib.crc32(identity.encode()), _BYTES_BEFORE
    return [zlib.crc32(name.encode() + blob[:size], start) for name, blob in rows]


class SpareCache(ScoreCache):
    """Takes scores from a file and leaves it as it is: what is scored anew is kept in memory alone.

    Parameters
    ----------
    path : Path
        File of a `ScoreCache`.
    answers : mapping of text hash to logits
        What any scorer is taken to say of these texts.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from embargo.models import ScoreCache
    >>> from embargo.models.scorers.cache import SpareCache
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "scores.sqlite"
    ...     with SpareCache(path, {"ef56": np.zeros(3)}) as spare:
    ...         spare.put_many("my scorer", {"ab12": np.ones(3)})
    ...         print(sorted(spare.get_many("my scorer", ["ab12", "ef56"])))
    ...     with ScoreCache(path) as cache:
    ...         print(cache.get_many("my scorer", ["ab12", "ef56"]))
    ['ab12', 'ef56']
    {}
    """

    def __init__(self, path: Path, answers: Mapping[str, np.ndarray]) -> None:
        super().__init__(path)
        self._answers = answers
        self._anew: dict[tuple[str, str], np.ndarray] = {}

    def get_many(self, identity: str, text_hashes: Sequence[str]) -> dict[str, np.ndarray]:
        """Return logits by text hash: those of the file, those scored since, and the given answers."""
        found = super().get_many(identity, [name for name in text_hashes if name not in self._answers])
        for name in text_hashes:
            if name in self._answers:
                found[name] = self._answers[name]
            elif (identity, name) in self._anew:
                found[name] = self._anew[identity, name]
        return found

    def put_many(self, identity: str, scores: Mapping[str, np.ndarray]) -> None:
        """Keep logits in memory."""
        self._anew.update({(identity, name): logits for name, logits in scores.items()})

    @property
    def anew(self) -> dict[str, dict[str, np.ndarray]]:
        """What was scored since, by identity and text hash, for whoever may write it down."""
        kept: dict[str, dict[str, np.ndarray]] = {}
        for (identity, name), logits in self._anew.items():
            kept.setdefault(identity, {})[name] = logits
        return kept
