"""Scores already computed, kept by what made them: the scorer's identity and the text's hash.

A folder of shards, on a disk or behind any address that fsspec knows, with a sub-folder for each scorer. A shard is
written whole or not at all and never changed, so that any number of processes may read and write at once, and a kill
at any moment leaves the scores of before or of after.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.scorers.shards import NAME, DamagedError, Rows, Shard, digest_of, keys_of, open_shard

# Where it lies in a folder of all caches.
SCORES = "scores"
LOOKUP_CHUNK = 500
# As many shards of one size become one of the next, so that a look-up asks few of them. Those of 10 MB are left alone:
# to merge takes four times the memory of what comes of it.
_MERGED, _SMALLEST, _LARGEST = 8, 512, 200_000
# What a killed writer left is swept up after this.
_LITTER = pd.Timedelta(days=1)


class ScoreCache:
    """Logits by (scorer identity, text hash).

    A shard whose bytes have changed is named in a warning, and its scores are computed anew. The scores of an earlier
    release, in ``scores.sqlite`` beside the folder ``scores``, are moved into it once.

    Parameters
    ----------
    path : Path or str
        Folder, made on demand, or an address such as ``s3://bucket/scores``.

    Raises
    ------
    DataError
        If it is a file, or made by a later release.

    Warns
    -----
    RuntimeWarning
        If a shard is damaged.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from embargo.models import ScoreCache
    >>> with tempfile.TemporaryDirectory() as folder, ScoreCache(Path(folder) / "scores") as cache:
    ...     cache.put_many("my scorer", {"ab12": np.array([0.0, 1.0, 2.0])})
    ...     print(cache.get_many("my scorer", ["ab12", "cd34"]))
    {'ab12': array([0., 1., 2.])}
    """

    def __init__(self, path: Path | str) -> None:
        # Loaded here because only who keeps scores needs file systems.
        from embargo.data_loaders.store.files import Folder

        self.path = path
        if isinstance(path, Path) and path.is_file():
            raise DataError(f"score cache {path}: is a file, and scores are kept in a folder. Name another place.")
        self._folder = Folder.at(path)
        self._open: dict[str, Shard] = {}
        self._damaged: set[str] = set()
        self._take_over()

    def _take_over(self) -> None:
        """Move the scores of an earlier release's file, which lay beside the folder, into it."""
        if not isinstance(self.path, Path):
            return
        old = self.path.with_name(f"{self.path.name}.sqlite")
        if not old.is_file():
            return
        # Loaded here because a cache has such a file once.
        from embargo.models.scorers.former_cache import scores_of

        for identity, scores in scores_of(old):
            self.put_many(identity, scores)
        old.replace(old.with_name(f"{old.name}.moved"))

    def get_many(self, identity: str, text_hashes: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the logits, float64 of shape (3,), of those texts that are there, by text hash.

        Raises
        ------
        DataError
            If a later release wrote them.
        """
        names = list(dict.fromkeys(text_hashes))
        there, logits = self.find(identity, names)
        return {names[row]: logits[row] for row in np.flatnonzero(there)}

    def find(self, identity: str, text_hashes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Look many texts up at once.

        Parameters
        ----------
        identity : str
        text_hashes : sequence of str, length n

        Returns
        -------
        there : ndarray of bool, shape (n,)
        logits : ndarray of float64, shape (n, 3)
            NaN where there is none.

        Raises
        ------
        DataError
            If a later release wrote them.
        """
        keys, logits = keys_of(text_hashes), np.full((len(text_hashes), len(CLASSES)), np.nan)
        left = np.arange(len(text_hashes))
        for name, shard in self._shards(identity).items():
            if not len(left):
                break
            try:
                there, found = shard.find(keys[left])
            except DamagedError:
                self._set_aside(f"{digest_of(identity).hex()}/{name}")
                continue
            logits[left[there]] = found
            left = left[~there]
        known = np.ones(len(text_hashes), dtype=bool)
        known[left] = False
        return known, logits

    def put_many(self, identity: str, scores: Mapping[str, np.ndarray]) -> None:
        """Store logits, shape (3,), by text hash, all or none; a text already there keeps what it has.

        Raises
        ------
        DataError
            If a row is not three finite numbers, or nothing can be written.
        """
        for name, values in scores.items():
            if np.shape(values) != (len(CLASSES),):
                raise _not_three(name, values)
        self.keep(identity, list(scores), np.array(list(scores.values()), dtype=float).reshape(-1, len(CLASSES)))

    def keep(self, identity: str, text_hashes: Sequence[str], logits: np.ndarray) -> None:
        """Store logits, shape (n, 3), of as many texts, each named once, as `put_many` does.

        Raises
        ------
        DataError
            If a number is not finite, or nothing can be written.
        """
        finite = np.isfinite(logits).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            raise _not_three(text_hashes[row], logits[row])
        fresh = ~ScoreCache.find(self, identity, text_hashes)[0]
        if not fresh.any():
            return
        digest = digest_of(identity)
        rows = Rows.of([Rows(keys_of(text_hashes)[fresh], np.asarray(logits, dtype=float)[fresh])])
        name, content = rows.written(digest)
        self._folder.write(f"{digest.hex()}/{name}", content)
        # Rows that were computed anew have the name of the shard that was damaged.
        self._damaged.discard(f"{digest.hex()}/{name}")
        self._remove(
            [each for each in self._damaged if each.startswith(digest.hex()) and self._is_damaged(each, digest)]
        )
        self._damaged = {each for each in self._damaged if not each.startswith(digest.hex())}
        self._merge(identity)

    def _is_damaged(self, name: str, digest: bytes) -> bool:
        """Look once more: another process may have written the same rows since."""
        try:
            open_shard(self._folder, name, digest)
        except DamagedError:
            return True
        except FileNotFoundError:
            pass
        return False

    def _shards(self, identity: str) -> dict[str, Shard]:
        """Return the shards of a scorer by name, the largest first."""
        digest = digest_of(identity)
        while True:
            names = [name for name in self._folder.names(digest.hex()) if NAME.fullmatch(name)]
            try:
                found = {
                    name: self._opened(f"{digest.hex()}/{name}", digest)
                    for name in sorted(names, reverse=True)
                    if f"{digest.hex()}/{name}" not in self._damaged
                }
            except FileNotFoundError:
                continue  # merged into a larger one meanwhile
            for gone in [name for name in self._open if name.startswith(digest.hex()) and name[65:] not in found]:
                del self._open[gone]
            return {name: shard for name, shard in found.items() if shard is not None}

    def _opened(self, name: str, digest: bytes) -> Shard | None:
        if name not in self._open:
            try:
                self._open[name] = open_shard(self._folder, name, digest)
            except DamagedError:
                self._set_aside(name)
                return None
        return self._open[name]

    def _set_aside(self, name: str) -> None:
        """Take nothing from a damaged shard any more, and say so."""
        self._damaged.add(name)
        self._open.pop(name, None)
        warnings.warn(
            f"score cache {self._folder.shown(name)}: bytes have changed since it was written. Its scores are "
            "computed anew; look after the disk.",
            RuntimeWarning,
            stacklevel=2,
        )

    def _merge(self, identity: str) -> None:
        """Make one shard of many small ones; they go when the new one is on the medium."""
        digest = digest_of(identity)
        while True:
            sizes: dict[int, list[str]] = defaultdict(list)
            shards = self._shards(identity)
            for name, shard in shards.items():
                if len(shard.heads) < _LARGEST:
                    sizes[_size(len(shard.heads))].append(name)
            several = next(
                (few for _, names in sorted(sizes.items()) if len(few := _together(names, shards)) > 1), None
            )
            if several is None:
                return
            try:
                merged, content = Rows.of([shards[name].rows for name in several]).written(digest)
            except DamagedError:
                return  # the next look-up tells which one
            self._folder.write(f"{digest.hex()}/{merged}", content)
            self._remove([f"{digest.hex()}/{name}" for name in several if name != merged])
            self._sweep(digest.hex())

    def _remove(self, names: Sequence[str]) -> None:
        for name in names:
            self._folder.delete(name)
            self._damaged.discard(name)

    def _sweep(self, place: str) -> None:
        from embargo.data_loaders.store.files import UNFINISHED

        # The age of a file is no figure: whoever is still writing finishes within a day.
        now = pd.Timestamp.now(tz="UTC")
        for name in self._folder.names(place):
            written = self._folder.modified(f"{place}/{name}") if name.endswith(UNFINISHED) else None
            if written is not None and now - written > _LITTER:
                self._folder.delete(f"{place}/{name}")

    def close(self) -> None:
        """Release the files."""
        self._open.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _not_three(name: str, values: np.ndarray) -> DataError:
    return DataError(f"score cache: logits of text {name} are {values}, not three finite numbers. Retune the model.")


def _together(names: Sequence[str], shards: Mapping[str, Shard]) -> list[str]:
    """Return those of many shards of one size that make a shard within the limit; none of few."""
    rows, several = 0, []
    for name in sorted(names, key=lambda each: (len(shards[each].heads), each)) if len(names) >= _MERGED else ():
        rows += len(shards[name].heads)
        if rows > _LARGEST:
            break
        several.append(name)
    return several


def _size(rows: int) -> int:
    """Return which size a shard of so many rows is of; each is `_MERGED` times the one before."""
    size = 0
    while rows > _SMALLEST * _MERGED**size:
        size += 1
    return size


class AfreshCache(ScoreCache):
    """Writes what is scored into a folder, and takes nothing from it that it did not write itself.

    What scoring takes is measured with it where some of the texts may have been scored before.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from embargo.models import ScoreCache
    >>> from embargo.models.scorers.cache import AfreshCache
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "scores"
    ...     with ScoreCache(path) as cache:
    ...         cache.put_many("my scorer", {"ab12": np.ones(3)})
    ...     with AfreshCache(path) as afresh:
    ...         afresh.put_many("my scorer", {"ef56": np.zeros(3)})
    ...         print(sorted(afresh.get_many("my scorer", ["ab12", "ef56"])))
    ['ef56']
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self._written: set[tuple[str, str]] = set()

    def find(self, identity: str, text_hashes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Look up those that were written here."""
        there, logits = super().find(identity, text_hashes)
        for row, name in enumerate(text_hashes):
            if (identity, name) not in self._written:
                there[row], logits[row] = False, np.nan
        return there, logits

    def keep(self, identity: str, text_hashes: Sequence[str], logits: np.ndarray) -> None:
        """Store logits as a `ScoreCache` does."""
        super().keep(identity, text_hashes, logits)
        self._written.update((identity, name) for name in text_hashes)


class SpareCache(ScoreCache):
    """Takes scores from a folder and leaves it as it is: what is scored anew is kept in memory alone.

    Parameters
    ----------
    path : Path or str
        Folder of a `ScoreCache`.
    answers : Shard, optional
        What any scorer is taken to say of some texts.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from embargo.models import ScoreCache
    >>> from embargo.models.scorers.cache import SpareCache
    >>> from embargo.models.scorers.shards import Shard, keys_of
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "scores"
    ...     with SpareCache(path, Shard.saying(np.zeros(3), keys_of(["ef56"]))) as spare:
    ...         spare.put_many("my scorer", {"ab12": np.ones(3)})
    ...         print(sorted(spare.get_many("my scorer", ["ab12", "ef56"])))
    ...     with ScoreCache(path) as cache:
    ...         print(cache.get_many("my scorer", ["ab12", "ef56"]))
    ['ab12', 'ef56']
    {}
    """

    def __init__(self, path: Path | str, answers: Shard | None = None) -> None:
        super().__init__(path)
        self._answers = answers
        self._anew: dict[tuple[str, str], np.ndarray] = {}

    def _take_over(self) -> None:
        """Leave it where it is."""

    def find(self, identity: str, text_hashes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Look up those of the folder, those scored since, and the given answers."""
        there, logits = super().find(identity, text_hashes)
        for row, name in enumerate(text_hashes if self._anew else ()):
            if (identity, name) in self._anew:
                there[row], logits[row] = True, self._anew[identity, name]
        if self._answers is not None:
            given, said = self._answers.find(keys_of(text_hashes))
            there[given], logits[given] = True, said
        return there, logits

    def keep(self, identity: str, text_hashes: Sequence[str], logits: np.ndarray) -> None:
        """Keep logits in memory."""
        self._anew.update({(identity, name): row for name, row in zip(text_hashes, logits, strict=True)})

    @property
    def anew(self) -> dict[str, dict[str, np.ndarray]]:
        """What was scored since, by identity and text hash, for whoever may write it down."""
        kept: dict[str, dict[str, np.ndarray]] = {}
        for (identity, name), logits in self._anew.items():
            kept.setdefault(identity, {})[name] = logits
        return kept
