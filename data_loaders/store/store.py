"""The store itself: one folder, on a disk or behind any fsspec address, that facts are appended to and read from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from embargo.data_loaders.errors import MissingPartError
from embargo.data_loaders.records import Dataset, instant_of
from embargo.data_loaders.store import appending, compaction
from embargo.data_loaders.store.checking import check
from embargo.data_loaders.store.files import Folder
from embargo.data_loaders.store.integrity import IDENTITY, StoreHealth
from embargo.data_loaders.store.manifest import Batch, Cover, Manifest, gaps, merged, sealed, unsealed
from embargo.data_loaders.store.reading import Snapshot, StoreReader, ad_hoc

_KIND = "embargo store"
# A store's format says how its rows are hashed. What is appended to one of an older format is hashed as all before it,
# since the same content must not seem to be another.
_FORMATS = (1, 2)


class Store:
    """Facts as they were learned: appended, never overwritten, readable as known at any instant.

    A fact has a key (an article and its symbol, a bar and its opening). Different content under one key is a new
    revision; the same content again is the same fact. Each revision counts from ``known_at``, the later of its natural
    instant (publication, close, ex-date, settlement) and the instant at which it was seen. Where a source does not
    state when a fact could be seen, the first content ever committed under the key is taken to have been seen at its
    natural instant, and any later one when it was committed: an edit made in silence is never back-dated. That goes for
    an article's text under all its symbols: a text it did not have in its first commit counts from its own commit.

    Any number of processes may append at once; each batch is visible whole or not at all.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from embargo.data_loaders.store import Store
    >>> at = pd.Timestamp("2020-01-02 15:00", tz="UTC")
    >>> news = pd.DataFrame([{"article_id": "1", "published_at": at, "symbol": "AAPL", "text": "Apple beats"}])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store.create(folder)
    ...     batch = store.append("news", news, source="wire", committed_at=at + pd.Timedelta(minutes=1))
    ...     before, after = (store.as_of(at + pd.Timedelta(hours=hours)).news() for hours in (-1, 1))
    >>> len(before), len(after)
    (0, 1)
    """

    def __init__(self, folder: Folder, *, hashing: int = _FORMATS[-1]) -> None:
        self._folder = folder
        self._hashing = hashing
        self._manifest = Manifest(folder)
        self._reader = StoreReader(folder, self._manifest)

    @classmethod
    def create(cls, root: str | Path) -> Store:
        """Make a store, or open the one that is there.

        Parameters
        ----------
        root : str or Path
            A folder, or any address that fsspec knows (``file://``, ``s3://``, ``gs://``).

        Raises
        ------
        ConfigError, MissingPartError
            If the address is unknown, or the package that speaks it is missing.
        DataError
            If something is there that is no sound store, or it cannot be written.
        """
        folder = Folder.at(root)
        try:
            folder.read(IDENTITY)
        except (FileNotFoundError, NotADirectoryError):
            folder.write(IDENTITY, sealed({"format": _FORMATS[-1], "kind": _KIND}))
        return cls._opened(folder)

    @classmethod
    def open(cls, root: str | Path) -> Store:
        """Open a store that is there.

        Raises
        ------
        MissingPartError
            If there is none at the address.
        DataError
            If its identity is damaged.
        """
        return cls._opened(Folder.at(root))

    @classmethod
    def _opened(cls, folder: Folder) -> Store:
        try:
            document = folder.read(IDENTITY)
        except (FileNotFoundError, NotADirectoryError):
            raise MissingPartError(
                f"no store at {folder.address}: it has no {IDENTITY}. Check the address, or create one."
            ) from None
        identity = unsealed(
            document,
            what=f"{folder.shown(IDENTITY)}",
            remedy="Copy it from another store of the same age, or create a store elsewhere and compare.",
            formats=_FORMATS,
        )
        return cls(folder, hashing=identity["format"])

    @property
    def root(self) -> str:
        """Address of the store, as it was given."""
        return self._folder.address

    def append(
        self,
        dataset: Dataset,
        frame: pd.DataFrame,
        *,
        source: str,
        committed_at: pd.Timestamp,
        covers: Sequence[Cover] = (),
    ) -> Batch:
        """Append one batch of facts.

        Parameters
        ----------
        dataset : {"news", "bars", "actions", "funding", "instruments"}
        frame : DataFrame, shape (n, columns)
            As ``records.validate_facts`` wants it. Leave ``seen_at`` NaT, or the column out, where the source does not
            state it. May be empty where there are covers.
        source : str
            Where the facts come from; an import knows by it what it has already.
        committed_at : Timestamp
            Now, by the clock of the caller.
        covers : sequence of Cover
            What the source was asked for and answered in full.

        Returns
        -------
        Batch
            Visible, and on the medium.

        Raises
        ------
        DataError
            If a row is not acceptable, a key has two contents, or an instant is naive. Nothing is stored then.
        """
        return appending.append(
            self._folder,
            dataset,
            frame,
            source=source,
            committed_at=committed_at,
            covers=covers,
            hashing=self._hashing,
        )

    def covered(
        self, dataset: Dataset, venue: str, symbol: str, bar: str = ""
    ) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
        """Return what sources have answered in full for a series: half-open intervals, sorted, disjoint, merged."""
        return merged(self._manifest.listing().covers.get((dataset, venue, symbol, bar), []))

    def missing(
        self, dataset: Dataset, venue: str, symbol: str, start: pd.Timestamp, end: pd.Timestamp, bar: str = ""
    ) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
        """Return what of [start, end) no source has answered yet: half-open intervals, sorted, disjoint."""
        first, last = instant_of(start, "missing, start"), instant_of(end, "missing, end")
        return gaps(self._manifest.listing().covers.get((dataset, venue, symbol, bar), []), first, last)

    def sources(self) -> frozenset[str]:
        """Return the sources of every batch, compacted ones included."""
        return frozenset(source for batch in self.batches() for source in batch.sources)

    def batches(self) -> list[Batch]:
        """Visible batches in the order of their commits."""
        return list(self._manifest.listing().batches)

    def as_of(self, t: pd.Timestamp) -> Snapshot:
        """Return the world as known at an instant; what became known exactly then counts.

        Raises
        ------
        DataError
            If t is naive, or an entry of the manifest is damaged.
        """
        return Snapshot(self._reader, self._manifest.listing(), t)

    def sql(self, query: str) -> pd.DataFrame:
        """Answer one SELECT of DuckDB's SQL.

        Parameters
        ----------
        query : str
            Over the views ``news, bars, actions, funding, instruments``: every revision, with ``known_at`` and
            ``revision``. To see what was known at t, filter on ``known_at`` and take the greatest revision.

        Returns
        -------
        DataFrame

        Raises
        ------
        ConfigError
            If it is no single SELECT, does not run, or reaches for anything outside the store.
        DataError
            If a file is damaged.
        """
        return ad_hoc(self._reader, self._manifest.listing(), query)

    def check(self) -> StoreHealth:
        """Hash every file and read every entry anew; damage is reported, not raised."""
        return check(self._folder, self._manifest)

    def compact(self, *, committed_at: pd.Timestamp) -> dict[str, int]:
        """Merge small batches of each kind of fact into one, and clear away leftovers older than a day.

        Answers are the same before and after. Run it from time to time; it may run beside appends and readers.

        Parameters
        ----------
        committed_at : Timestamp
            Now, by the clock of the caller.

        Returns
        -------
        dict
            ``merged_batches, new_batches, exact_duplicates`` (rows that stood there twice), ``removed_entries,
            removed_files`` (of batches merged more than a day ago), ``swept_orphans`` (files of appends that died),
            ``article_lists`` (written for files of news that had none).

        Raises
        ------
        DataError
            If a file is damaged; nothing is removed then.
        """
        return compaction.compact(
            self._folder, self._manifest, committed_at=instant_of(committed_at, "compact, committed_at")
        )
