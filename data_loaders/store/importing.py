"""Bringing archives of any size into the store: in bounded memory, resumable, and never twice.

Each batch is committed under a name made of the archive's content, the rules it was read by, and its rows: what an
interrupted import has committed stays, and the next call adds only what is missing. An edited archive has other
content, so it is read again, and the store takes what changed as revisions seen when they were imported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Unpack

import pandas as pd

from embargo.data_loaders.archive.dialect import PLAIN, Dialect
from embargo.data_loaders.archive.files import FileProgress, Table, fingerprint, passed_over, tables_of
from embargo.data_loaders.archive.news import named, news_batches, one_row_per_key
from embargo.data_loaders.archive.news_rules import NewsRequest, news_rules
from embargo.data_loaders.archive.price_rules import PriceRequest, price_rules
from embargo.data_loaders.archive.prices import bar_batches, bars_of, locate_in
from embargo.data_loaders.archive.streams import Counts, RowBatch, add_count, nothing_left
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.records import Dataset

_END = ":end"
# Where they are not set, what was imported before there were such settings is recognised.
_LATER = ("form", "symbol_separator", "symbol_case", "time_from")


class Keeper(Protocol):
    """What an import needs of a store; see ``embargo.data_loaders.store.Store``."""

    def append(self, dataset: Dataset, frame: pd.DataFrame, *, source: str, committed_at: pd.Timestamp) -> Any:
        """Commit facts, whole or not at all."""

    def sources(self) -> frozenset[str]:
        """Name the sources of all batches ever committed."""


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes
    ----------
    counts : dict
        As those of ``read_news`` or ``read_prices``, over the whole archive, and ``imported``: rows handed to the store
        now. Empty where the whole archive was there already, since it is then not read again.
    batches : tuple of str
        Sources of the batches committed now.
    skipped_batches : int
        Batches that were there already.

    Examples
    --------
    >>> from embargo.data_loaders.store import ImportReport
    >>> ImportReport({"rows": 3, "imported": 2}, ("import:1f:1-3:end",), 0).counts["imported"]
    2
    """

    counts: dict[str, int]
    batches: tuple[str, ...]
    skipped_batches: int


def _digest(content: str, rules: object, *also: object) -> str:
    """Digest what decides about the rows of an import, in whatever order it was asked for."""
    told = []
    for name, value in sorted(vars(rules).items()):
        if name in _LATER and value in (None, ()):
            continue
        if isinstance(value, frozenset):
            value = sorted(value)
        told.append((name, sorted(value.items(), key=str) if isinstance(value, Mapping) else value))
    return hashlib.blake2b(repr((content, told, also)).encode(), digest_size=12).hexdigest()


class _Archive:
    """The files of an import: recognised by their content, and watched for changes while they are read."""

    def __init__(self, path: str | Path, dialect: Dialect, progress: FileProgress | None) -> None:
        self.where = str(path)
        self.parts: list[Table] = tables_of(path, dialect=dialect)
        self._files = list(dict.fromkeys(part.file for part in self.parts))
        self._state = self._states()
        self._progress = progress
        self.passed_over = passed_over(path)
        self._total = 2 * sum(size for size, _ in self._state)
        self.content = fingerprint(self.parts, progress=lambda done, _: self._tell(done))

    def _states(self) -> list[tuple[int, int]]:
        states = [file.stat() for file in self._files]
        return [(state.st_size, state.st_mtime_ns) for state in states]

    def _tell(self, done: int) -> None:
        if self._progress is not None:
            self._progress(min(done, self._total), self._total)

    def read(self, used: int) -> None:
        """Report bytes read, after those that were read to recognise the content."""
        self._tell(self._total // 2 + used)

    def assert_unchanged(self) -> None:
        """Refuse to go on once a file is no longer what it was when its content was digested."""
        for file, before, now in zip(self._files, self._state, self._states(), strict=True):
            if before != now:
                raise DataError(f"{file}: changed while it was imported. Import it again once it is complete.")


def _commit(
    store: Keeper,
    dataset: Dataset,
    archive: _Archive,
    batches: Iterable[RowBatch],
    finish: Callable[[pd.DataFrame], list[pd.DataFrame]],
    *,
    digest: str,
    clock: Callable[[], pd.Timestamp],
    counts: Counts,
) -> ImportReport:
    """Commit every batch that the store does not have yet."""
    prefix = f"import:{digest}:"
    known = {source for source in store.sources() if source.startswith(prefix)}
    if any(source.endswith(_END) for source in known):
        return ImportReport({}, (), len(known))
    committed: list[str] = []
    skipped = 0
    add_count(counts, "imported", 0)
    counts |= archive.passed_over
    for batch in batches:
        layers = finish(batch.frame) if len(batch.frame) else []
        for number in range(len(layers)):
            last = batch.final and number == len(layers) - 1
            source = f"{prefix}{batch.first}-{batch.last}{f'.{number}' if number else ''}{_END if last else ''}"
            if source in known:
                skipped += 1
                continue
            archive.assert_unchanged()
            store.append(dataset, layers[number], source=source, committed_at=clock())
            add_count(counts, "imported", len(layers[number]))
            committed.append(source)
        # Otherwise this batch would stay in memory while the next one is read.
        del batch, layers
    if not committed and not skipped:
        raise DataError(nothing_left(archive.where, "row", counts))
    return ImportReport(counts, tuple(committed), skipped)


def _layers(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """Take versions of one article apart, the first seen first, since a store commits one version at a time."""
    key = ["article_id", "symbol"]
    if not frame.duplicated(key).any():
        return [frame]
    ordered = frame.sort_values("seen_at", kind="stable", na_position="first")
    version = ordered.groupby(key, sort=False).cumcount()
    return [ordered.loc[version == number] for number in range(int(version.max()) + 1)]


def _news_facts(frame: pd.DataFrame, source_name: str, counts: Counts, where: str) -> list[pd.DataFrame]:
    """Turn a batch into facts, leaving ``seen_at`` missing where only the store can tell when content was first seen.

    A date-only article is published when its day ends: nobody can say more. Were the end of its day stated as
    ``seen_at`` instead, a later silent edit of the article would be dated back to it.
    """
    frame = named(frame, where, source_name)
    frame = frame.astype(dict.fromkeys(("article_id", "symbol", "source"), "str"))
    frame = one_row_per_key(frame, where, counts, version=["seen_at"])
    if "day_ends_at" in frame:
        vague = frame["day_ends_at"].notna()
        frame = frame.assign(
            stated_at=frame["published_at"].where(vague),
            published_at=frame["day_ends_at"].fillna(frame["published_at"]),
        ).drop(columns="day_ends_at")
    add_count(counts, "kept", len(frame))
    return _layers(frame.rename(columns={"revision": "source_revision"}))


def import_news(
    path: str | Path,
    store: Keeper,
    *,
    source_name: str,
    clock: Callable[[], pd.Timestamp],
    dialect: Dialect = PLAIN,
    progress: FileProgress | None = None,
    **rules: Unpack[NewsRequest],
) -> ImportReport:
    """Bring news into the store, as many as the archive has, and only those that are not there yet.

    Articles without a stated ``seen_at`` are left for the store to date: the first content ever committed counts from
    ``published_at``, any other from its commit. Under ``date_only`` the ``published_at`` of such an article becomes the
    end of its day, and ``stated_at`` keeps what the archive says. A column ``revision`` arrives as ``source_revision``.
    Several versions of an article may stand there if their ``seen_at`` is stated.

    Parameters
    ----------
    path : str or Path
        As in ``archive.read_news``.
    store : Store
        Where to.
    source_name : str
        ``source`` of the rows whose archive names none.
    clock : callable
        Tells the instant at which a batch is committed.
    dialect : Dialect
        As in ``archive.read_news``.
    progress : callable, optional
        Called with (bytes done, bytes in all). Every byte counts twice: once to recognise the archive by its content,
        once to read it.
    **rules
        The other settings of ``archive.read_news``.

    Returns
    -------
    ImportReport

    Raises
    ------
    MissingPartError, DataError, ConfigError
        As ``archive.read_news``. Batches committed before a fault stay. Contradictions between rows are looked for
        within a batch; between batches the store takes the later row for a revision, seen at its commit.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from embargo.data_loaders.store import Store, import_news
    >>> clock = lambda: pd.Timestamp("2020-02-01", tz="UTC")
    >>> row = {"published_at": "2020-01-02T15:00:00+00:00", "symbol": "AAPL", "text": "Apple beats estimates"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pd.DataFrame([row]).to_csv(f"{folder}/news.csv", index=False)
    ...     store = Store.create(f"{folder}/store")
    ...     first, again = (
    ...         import_news(f"{folder}/news.csv", store, source_name="wire", clock=clock) for _ in range(2)
    ...     )
    >>> first.counts["imported"], again.skipped_batches
    (1, 1)
    """
    archive = _Archive(path, dialect, progress)
    asked = news_rules(archive.parts, **rules)
    counts: Counts = {}
    return _commit(
        store,
        "news",
        archive,
        news_batches(archive.parts, asked, counts, tell=archive.read),
        lambda frame: _news_facts(frame, source_name, counts, archive.where),
        digest=_digest(archive.content, asked, "news", source_name, *dialect.told),
        clock=clock,
        counts=counts,
    )


def import_bars(
    path: str | Path,
    store: Keeper,
    *,
    venue: str,
    calendar: str,
    clock: Callable[[], pd.Timestamp],
    dialect: Dialect = PLAIN,
    progress: FileProgress | None = None,
    **rules: Unpack[PriceRequest],
) -> ImportReport:
    """Bring bars into the store, as many as the archive has, and only those that are not there yet.

    Parameters
    ----------
    path : str or Path
        As in ``archive.read_prices``.
    store : Store
        Where to.
    venue : str
        Name of the market under which the bars are kept.
    calendar : str
        exchange_calendars code or ``"24/7"``.
    clock : callable
        As in `import_news`.
    dialect : Dialect
        As in ``archive.read_news``.
    progress : callable, optional
        As in `import_news`.
    **rules
        The other settings of ``archive.stream_bars``.

    Returns
    -------
    ImportReport

    Raises
    ------
    MissingPartError, DataError, ConfigError
        As ``archive.stream_bars`` and `import_news`.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from embargo.data_loaders.store import Store, import_bars
    >>> clock = lambda: pd.Timestamp("2020-02-01", tz="UTC")
    >>> quote = {"open": 93.7, "high": 94.1, "low": 93.2, "close": 94.0, "volume": 22_891_800}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pd.DataFrame([{"symbol": "AAPL", "date": "2014-07-03", **quote}]).to_csv(f"{folder}/bars.csv", index=False)
    ...     store = Store.create(f"{folder}/store")
    ...     report = import_bars(f"{folder}/bars.csv", store, venue="mine", calendar="XNYS", clock=clock)
    >>> report.counts["imported"]
    1
    """
    archive = _Archive(path, dialect, progress)
    asked = price_rules(archive.parts, calendar, **rules)
    counts: Counts = {}
    locate = locate_in(archive.parts, asked)
    return _commit(
        store,
        "bars",
        archive,
        bar_batches(archive.parts, asked, counts, tell=archive.read),
        lambda frame: [bars_of(frame, asked, venue, counts, where=archive.where, locate=locate)],
        digest=_digest(archive.content, asked, "bars", venue, *dialect.told),
        clock=clock,
        counts=counts,
    )
