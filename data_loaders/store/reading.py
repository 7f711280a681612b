"""The world as known at an instant: which files that takes, and what they say.

A snapshot looks at the store once and later appends do not change it, as long as what it saw, or the first compaction
that took it over, still stands. Nothing that became known after its instant can reach what it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, get_args

import duckdb
import pandas as pd
import pyarrow as pa

from embargo.data_loaders import adjustment
from embargo.data_loaders.archive.panels import absent_bars, holes, lay_out
from embargo.data_loaders.archive.prices import LoadedPrices, NoPricesError
from embargo.data_loaders.calendars import closed_bars
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.records import Dataset, Facts, facts_of, instant_of
from embargo.data_loaders.store.files import Folder
from embargo.data_loaders.store.integrity import SweptError, Verifier, damaged
from embargo.data_loaders.store.manifest import Batch, FileEntry, Manifest, VisibleBatches
from embargo.data_loaders.store.querying import Connection, connected, fence, in_pandas, only_a_select, refused
from embargo.data_loaders.store.revisions import (
    RevisionQuestion,
    Versions,
    every_revision,
    in_order,
    name_in_sql,
    stored_rows,
)
from embargo.data_loaders.store.windows import Narrowed, gather, narrowed, reaches

T = TypeVar("T")
_QUOTES = ["open", "high", "low", "close"]
_Files = list[tuple[Batch, FileEntry]]
_Verified = tuple[Batch, FileEntry, Path]


class StoreReader:
    """Reads the files of one store: verified before use, looked for once more when a compaction has moved them."""

    def __init__(self, folder: Folder, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._verifier = Verifier(folder)

    def answer(self, listing: VisibleBatches, work: Callable[[VisibleBatches], T]) -> T:
        """Answer a question from a listing, or from what a compaction made of it meanwhile.

        Raises
        ------
        DataError
            If a file is damaged, or missing although its entry stands.
        """
        try:
            return work(listing)
        except (SweptError, FileNotFoundError, duckdb.IOException):
            pass
        listing = _successors(listing, self.manifest.entries())
        try:
            return work(listing)
        except SweptError as missing:
            files = ((batch, entry) for batch in listing.batches for entry in batch.files)
            batch, entry = next((batch, entry) for batch, entry in files if entry.path == str(missing))
            raise damaged(self.folder, batch, entry, "the file is missing") from None

    def verified(self, files: _Files) -> list[_Verified]:
        """Hash files that were not hashed yet, and say where each can be read."""
        return [(batch, entry, self._verifier.path_of(batch, entry)) for batch, entry in files]

    def needed(self, listing: VisibleBatches, dataset: str, question: RevisionQuestion) -> _Needed:
        """Find and verify the files that a question needs."""
        files = files_for(listing, dataset, question)
        found = narrowed(self.folder, self._verifier, facts_of(dataset), files, question)
        return _Needed(self.verified(files if found is None else found.files), found)


@dataclass(frozen=True)
class _Needed:
    """Files that a question needs, and which of their rows, where these are few."""

    files: list[_Verified]
    narrowed: Narrowed | None

    def queries(self, connection: Connection, facts: Facts, question: RevisionQuestion) -> Iterator[str]:
        """Resolve the rows in question: each query is for the next of them."""
        gathered = None
        if self.narrowed is not None:
            paths = [path for *_, path in self.files]
            gathered = gather(connection.duckdb, facts, self.narrowed, paths, question, connection.spill)
        pairs = [(entry, path) for _, entry, path in self.files]
        return in_order(connection.duckdb, facts, pairs, question, gathered)


def _successors(old: VisibleBatches, entries: Sequence[Batch]) -> VisibleBatches:
    """Batches that hold what an old listing held, and as little else as possible.

    A compaction keeps every fact. The smallest one that took a batch over holds the fewest facts from outside.
    """
    standing = {batch.id for batch in entries}
    chosen = {batch.id: batch for batch in old.batches}
    for lost in [batch.id for batch in old.batches if batch.id not in standing]:
        heirs = [batch for batch in entries if lost in batch.replaces]
        if heirs:
            del chosen[lost]
            heir = min(heirs, key=lambda batch: (len(batch.replaces), batch.id))
            chosen[heir.id] = heir
    return VisibleBatches(tuple(chosen.values()))


def _may_open(late: tuple[Batch, FileEntry], early: tuple[Batch, FileEntry], facts: Facts) -> bool:
    """Whether a file known too late may hold the first commit of a key whose assumed row stands in an early file."""
    (late_batch, late_file), (early_batch, early_file) = late, early
    if late_batch.id == early_batch.id and not early_batch.replaces:
        return False
    if late_file.first_commit > early_file.last_commit:
        return False
    apart = late_file.first_event > early_file.last_event or late_file.last_event < early_file.first_event
    return not (facts.event_in_key and apart)


def files_for(listing: VisibleBatches, dataset: str, question: RevisionQuestion) -> _Files:
    """Choose the files that can matter to a question.

    A file whose rows all became known after t matters only where it may hold the first commit of a key: that commit
    decides whether a later row of the same key may assume the instant its source states.
    """
    facts = facts_of(dataset)
    files = [(batch, entry) for batch in listing.of(dataset) for entry in batch.files]
    if facts.event_in_key:
        files = [(batch, entry) for batch, entry in files if reaches(entry, question)]
    if question.t is None:
        return files
    early = [pair for pair in files if pair[1].first_known <= question.t]
    assumed = [pair for pair in early if pair[1].assumed]
    newest = max((entry.last_commit for _, entry in assumed), default=question.t)
    late = [pair for pair in files if pair[1].first_known > question.t and pair[1].first_commit <= newest]
    return early + [pair for pair in late if any(_may_open(pair, other, facts) for other in assumed)]


def _edge(value: object, name: str) -> pd.Timestamp | None:
    return None if value is None else instant_of(value, name)


class Snapshot:
    """The world as known at ``t``: each fact in the version that was known then, and no fact known later.

    Every frame has the columns of its kind (see ``embargo.data_loaders.records``), ``seen_at`` as it counts (the
    instant that is assumed where the source states none), ``known_at``, the instant at which this content became known,
    and ``revision``, counted from 0. Rows are sorted by ``known_at``, then by key. Frames
    are empty where nothing is known.

    Attributes
    ----------
    t : Timestamp
        UTC. What became known exactly at t counts.

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
    ...     snapshot = store.as_of(at)
    ...     articles = snapshot.news(versions="first")
    >>> snapshot.t, articles["text"].tolist()
    (Timestamp('2020-01-02 15:00:00+0000', tz='UTC'), ['Apple beats'])
    """

    def __init__(self, reader: StoreReader, listing: VisibleBatches, t: pd.Timestamp) -> None:
        self.t = instant_of(t, "as_of")
        self._reader = reader
        self._listing = listing

    def news(
        self,
        *,
        symbols: Sequence[str] | None = None,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
        versions: Versions = "latest",
    ) -> pd.DataFrame:
        """Articles known at t, as ``schemas.validate_news`` returns them, with ``revision``.

        Parameters
        ----------
        symbols : sequence of str, optional
            Only these; one without articles is no error.
        start, end : Timestamp, optional
            ``start <= published_at < end``, timezone-aware.
        versions : {"latest", "first", "all"}
            ``"latest"``: each article as it stood at t. ``"first"``: as it was first seen, which is what a backtest
            must read: it decided when the article came, not when it was mended. ``"all"``: every version known at t.

        Returns
        -------
        DataFrame, shape (n, columns)

        Raises
        ------
        DataError
            If an edge is naive, or a file is damaged.
        """
        return self._frame("news", self._question(symbols=symbols, start=start, end=end, versions=versions))

    def bars(
        self,
        *,
        venue: str,
        bar: str,
        symbols: Sequence[str] | None = None,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
    ) -> pd.DataFrame:
        """Bars closed and known at t, long, unadjusted.

        Parameters
        ----------
        venue, bar : str
            Where they traded, and how long they are (``"1d"``, ``"1h"``, ``"5min"``).
        symbols : sequence of str, optional
            Only these; each must have a row.
        start, end : Timestamp, optional
            ``start <= open_at < end``, timezone-aware.

        Returns
        -------
        DataFrame, shape (n, columns)

        Raises
        ------
        DataError
            If the venue is unknown, a symbol has no row, an edge is naive, or a file is damaged.
        """
        question = self._question(venue=venue, bar=bar, symbols=symbols, start=start, end=end)
        frame = self._frame("bars", question)
        absent = [] if symbols is None else sorted(set(symbols) - set(frame["symbol"].unique()))
        if absent and self._listing.of("bars"):
            raise NoPricesError(
                f"store {self._reader.folder.address}: no {bar} bars of {venue!r} known at {self.t} for {absent[:10]}"
                f"{' and others' if len(absent) > 10 else ''} in the range asked for. Fetch them, ask for others, "
                "or check their spelling and the range.",
                absent,
                {},
            )
        return frame

    def actions(
        self,
        *,
        venue: str,
        symbols: Sequence[str] | None = None,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
    ) -> pd.DataFrame:
        """Dividends and splits known at t; ``start <= ex_at < end``. A symbol without any is no error."""
        return self._frame("actions", self._question(venue=venue, symbols=symbols, start=start, end=end))

    def funding(
        self,
        *,
        venue: str,
        symbols: Sequence[str] | None = None,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
    ) -> pd.DataFrame:
        """Funding rates known at t; ``start <= settles_at < end``. A symbol without any is no error."""
        return self._frame("funding", self._question(venue=venue, symbols=symbols, start=start, end=end))

    def instruments(self, *, venue: str, symbols: Sequence[str] | None = None) -> pd.DataFrame:
        """Instruments as they were described at t. A symbol without a description is no error."""
        return self._frame("instruments", self._question(venue=venue, symbols=symbols))

    def prices(
        self,
        *,
        venue: str,
        bar: str,
        calendar: str,
        symbols: Sequence[str] | None = None,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
        adjust: Literal["none", "splits", "total_return"] = "none",
    ) -> LoadedPrices:
        """Bars known at t as panels.

        Parameters
        ----------
        venue, bar, symbols, start, end
            As in ``bars``; columns in the order of ``symbols``, sorted without.
        calendar : str
            exchange_calendars code, ``"24/7"``, or what ``amended`` returns; every bar must be one of its bars, but
            for those of days that it is amended by as closed, which are left out and counted ``on_closed_days``.
        adjust : {"none", "splits", "total_return"}
            Scale earlier levels by the actions known at t, and by none after it.

        Returns
        -------
        LoadedPrices
            NaN where a symbol has no bar; nothing is filled. Counts: ``rows, missing_bars`` (cells without an open
            between a symbol's first and last bar), ``absent_bars`` (bars of the calendar that no symbol has),
            ``zero_volume_rows, partly_empty_rows, revised_rows`` (no first version) and ``actions`` used.

        Raises
        ------
        DataError
            If nothing is known, a symbol has no row, or a bar is none of the calendar's.
        ConfigError
            If ``adjust`` is unknown.
        """
        if adjust not in ("none", "splits", "total_return"):
            raise ConfigError(f"adjust must be 'none', 'splits' or 'total_return', got {adjust!r}.")
        where = f"store {self._reader.folder.address}, {bar} bars of {venue!r} known at {self.t}"
        frame = self.bars(venue=venue, bar=bar, symbols=symbols, start=start, end=end)
        if frame.empty:
            raise DataError(f"{where}: none. Fetch or import them first, or widen the range.")
        chosen = sorted(frame["symbol"].unique()) if symbols is None else list(dict.fromkeys(symbols))
        shut = closed_bars(calendar, pd.DatetimeIndex(frame["open_at"]), daily=False)
        frame = frame.loc[~shut]
        if frame.empty:
            raise DataError(f"{where}: all stand on days that are declared closed. Take them out of prices.closed.")
        prices = lay_out(frame, chosen, calendar=calendar, bar=bar, where=where)
        empty = frame[_QUOTES].isna()
        counts = {
            "rows": len(shut),
            "missing_bars": holes(prices.open),
            "absent_bars": absent_bars(prices.open_at, calendar=calendar, bar=bar),
            "zero_volume_rows": int((frame["volume"] == 0).sum()),
            "partly_empty_rows": int(empty.any(axis=1).sum()),
            "revised_rows": int((frame["revision"] > 0).sum()),
        } | ({"on_closed_days": int(shut.sum())} if shut.any() else {})
        if adjust == "none":
            return LoadedPrices(prices, counts)
        actions = self.actions(venue=venue, symbols=chosen) if self._listing.of("actions") else self._no_actions()
        counts["actions"] = len(actions)
        return LoadedPrices(adjustment.adjust(prices, actions, as_of=self.t, how=adjust), counts)

    def _no_actions(self) -> pd.DataFrame:
        return self._frame("actions", self._question())

    def record_batches(
        self,
        dataset: Dataset,
        *,
        venue: str | None = None,
        bar: str | None = None,
        symbols: Sequence[str] | None = None,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
        versions: Versions = "latest",
        rows: int = 65_536,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows that the frames would hold, in the same order, in bounded memory.

        Parameters
        ----------
        dataset : {"news", "bars", "actions", "funding", "instruments"}
        venue, bar, symbols, start, end, versions
            As in the methods of that name; ``venue`` and ``bar`` are optional here.
        rows : int
            At most this many at a time.

        Yields
        ------
        RecordBatch
        """
        question = self._question(venue=venue, bar=bar, symbols=symbols, start=start, end=end, versions=versions)
        return self._batches(dataset, question, rows)

    def _batches(self, dataset: Dataset, question: RevisionQuestion, rows: int) -> Iterator[pa.RecordBatch]:
        facts = facts_of(dataset)
        needed = self._reader.answer(self._listing, lambda listing: self._reader.needed(listing, dataset, question))
        with connected() as connection:
            for query in needed.queries(connection, facts, question):
                yield from connection.duckdb.sql(query).to_arrow_reader(rows)

    def _question(
        self,
        *,
        venue: str | None = None,
        bar: str | None = None,
        symbols: Sequence[str] | None = None,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
        versions: Versions = "latest",
    ) -> RevisionQuestion:
        if versions not in get_args(Versions):
            raise ConfigError(f"versions must be one of {get_args(Versions)}, got {versions!r}.")
        if isinstance(symbols, str):
            raise ConfigError(f"symbols must be a list of names, got the text {symbols!r}.")
        return RevisionQuestion(
            t=self.t,
            equal=tuple((name, text) for name, text in (("venue", venue), ("bar", bar)) if text is not None),
            symbols=None if symbols is None else tuple(dict.fromkeys(symbols)),
            start=_edge(start, "start"),
            end=_edge(end, "end"),
            versions=versions,
        )

    def _frame(self, dataset: Dataset, question: RevisionQuestion) -> pd.DataFrame:
        facts = facts_of(dataset)

        def work(listing: VisibleBatches) -> pd.DataFrame:
            needed = self._reader.needed(listing, dataset, question)
            with connected() as connection:
                queries = needed.queries(connection, facts, question)
                return in_pandas([connection.duckdb.sql(query).to_arrow_table() for query in queries])

        frame = self._reader.answer(self._listing, work)
        if frame.empty and question.equal:
            self._check_series(dataset, question)
        return frame

    def _check_series(self, dataset: Dataset, question: RevisionQuestion) -> None:
        """Refuse a venue or bar length that the store does not have at all while it has others."""
        every = RevisionQuestion()

        def work(listing: VisibleBatches) -> list[tuple[str, ...]]:
            names = ", ".join(name for name, _ in question.equal)
            files = self._reader.verified(files_for(listing, dataset, every))
            stored = stored_rows(facts_of(dataset), [path for *_, path in files])
            with connected() as connection:
                rows = f"SELECT DISTINCT {names} FROM ({stored}) ORDER BY ALL"  # noqa: S608 - quoted
                return [tuple(row) for row in connection.duckdb.execute(rows).fetchall()]

        known = self._reader.answer(self._listing, work)
        wanted = tuple(text for _, text in question.equal)
        if known and wanted not in known:
            asked = ", ".join(f"{name} {text!r}" for name, text in question.equal)
            raise DataError(
                f"store {self._reader.folder.address}: no {dataset} of {asked}. There are: "
                f"{', '.join(' '.join(series) for series in known)}."
            )


def committed_versions(snapshot: Snapshot, dataset: Dataset, rows: int = 65_536) -> Iterator[pa.RecordBatch]:
    """Yield every version known at a snapshot's instant, with ``committed_at``, the instant of its first commit."""
    question = RevisionQuestion(t=snapshot.t, versions="all", kept=("committed_at",))
    return snapshot._batches(dataset, question, rows)


def ad_hoc(reader: StoreReader, listing: VisibleBatches, query: str) -> pd.DataFrame:
    """Answer one SELECT over views of every revision (see ``Store.sql``)."""
    datasets = get_args(Dataset)
    folded = query.lower()
    mentioned = [dataset for dataset in datasets if dataset in folded] or list(datasets)

    def work(offered: VisibleBatches) -> pd.DataFrame:
        files = reader.verified(
            [pair for dataset in mentioned for pair in files_for(offered, dataset, RevisionQuestion())]
        )
        with connected() as opened:
            connection = opened.duckdb
            only_a_select(connection, query)
            for dataset in mentioned:
                mine = [path for batch, _, path in files if batch.dataset == dataset]
                view = f"CREATE VIEW {name_in_sql(dataset)} AS {every_revision(facts_of(dataset), mine)}"
                connection.execute(view)
            fence(connection, [path for *_, path in files])
            try:
                return in_pandas([connection.sql(query).to_arrow_table()])
            except duckdb.Error as failure:
                raise refused(failure) from failure

    return reader.answer(listing, work)
