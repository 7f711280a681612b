"""Merging many small batches into one that says the same, and clearing away what it replaced.

The merged batch becomes visible by its own entry, which names those it replaces; their files stay for a day, so that
whoever is reading them can finish. Two compactions at once leave facts there twice, which reading takes for once.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pyarrow as pa

from embargo.data_loaders.records import Dataset, facts_of
from embargo.data_loaders.store.appending import FILE_ROWS, new_id, partition_of, write_file
from embargo.data_loaders.store.article_lists import write_missing
from embargo.data_loaders.store.files import Folder
from embargo.data_loaders.store.integrity import SweptError, Verifier, damaged, orphans
from embargo.data_loaders.store.manifest import (
    Batch,
    Cover,
    FileEntry,
    Manifest,
    VisibleBatches,
    encode,
    entry_name,
    list_name,
    merged,
    visible,
)
from embargo.data_loaders.store.querying import connected
from embargo.data_loaders.store.revisions import stored_rows

GRACE = pd.Timedelta(days=1)
SMALL_ROWS = 500_000


def _year(entry: FileEntry) -> int:
    return int(entry.path.split("year=")[1][:4]) if "year=" in entry.path else 0


def _merged_files(
    folder: Folder, verifier: Verifier, dataset: Dataset, small: list[Batch], batch_id: str
) -> Iterator[FileEntry]:
    """Write the rows of some batches anew, one year after the other, without exact duplicates."""
    files = sorted(((_year(entry), batch, entry) for batch in small for entry in batch.files), key=lambda item: item[0])
    facts = facts_of(dataset)
    count = 0
    for year in sorted({year for year, _, _ in files}):
        paths = [verifier.path_of(batch, entry) for of, batch, entry in files if of == year]
        order = f"greatest({facts.natural}, seen_at), {', '.join(facts.key)}, committed_at, content"
        with connected() as connection:
            query = f"SELECT DISTINCT * FROM ({stored_rows(facts, paths)}) ORDER BY {order}"  # noqa: S608 - names only
            for batch in connection.duckdb.sql(query).to_arrow_reader(FILE_ROWS):
                table = pa.Table.from_batches([batch])
                partition = partition_of(dataset, year)
                yield write_file(folder, dataset, partition, f"{batch_id}-{count}", table)
                count += 1


def _merged_covers(small: list[Batch]) -> tuple[Cover, ...]:
    series = VisibleBatches(tuple(small)).covers
    return tuple(
        Cover(*of, start=start, end=end) for of, intervals in sorted(series.items()) for start, end in merged(intervals)
    )


def _merge(folder: Folder, dataset: Dataset, small: list[Batch], committed_at: pd.Timestamp) -> Batch:
    verifier = Verifier(folder)
    batch_id = new_id(committed_at)
    try:
        files = tuple(_merged_files(folder, verifier, dataset, small, batch_id))
    except SweptError as missing:
        batch, entry = next((b, e) for b in small for e in b.files if e.path == str(missing))
        raise damaged(folder, batch, entry, "the file is missing") from None
    batch = Batch(
        id=batch_id,
        dataset=dataset,
        source="compaction",
        committed_at=committed_at,
        rows=sum(entry.rows for entry in files),
        files=files,
        covers=_merged_covers(small),
        sources=tuple(sorted({source for batch in small for source in batch.sources})),
        replaces=tuple(sorted({name for batch in small for name in (batch.id, *batch.replaces)})),
    )
    folder.write(entry_name(batch_id), encode(batch))
    return batch


def _sweep_replaced(folder: Folder, manifest: Manifest, committed_at: pd.Timestamp) -> tuple[int, int]:
    """Remove what compactions older than the grace have replaced, once their own files have proved sound."""
    entries = {batch.id: batch for batch in manifest.entries()}
    kept = {batch.id for batch in visible(entries.values())}
    removed_entries = removed_files = 0
    for compaction in entries.values():
        old = [name for name in compaction.replaces if name in entries]
        if not old or compaction.id not in kept or compaction.committed_at + GRACE > committed_at:
            continue
        verifier = Verifier(folder)
        for entry in compaction.files:
            try:
                verifier.path_of(compaction, entry)
            except SweptError:
                raise damaged(folder, compaction, entry, "the file is missing") from None
        for name in old:
            # The entry goes first: a file without an entry is an orphan, an entry without its file would be damage.
            removed_entries += folder.delete(entry_name(name))
            for entry in entries[name].files:
                removed_files += folder.delete(entry.path)
                folder.delete(list_name(entry.path))
    return removed_entries, removed_files


def _sweep_orphans(folder: Folder, manifest: Manifest, committed_at: pd.Timestamp) -> int:
    names = folder.all_names()
    swept = 0
    for name in list(orphans(names, manifest.entries())):
        modified = folder.modified(name)
        if modified is not None and modified + GRACE <= committed_at:
            swept += folder.delete(name)
    return swept


def compact(folder: Folder, manifest: Manifest, *, committed_at: pd.Timestamp) -> dict[str, int]:
    """Merge small batches and clear away what is no longer needed (see ``Store.compact``)."""
    counts = {"merged_batches": 0, "new_batches": 0, "exact_duplicates": 0}
    removed_entries, removed_files = _sweep_replaced(folder, manifest, committed_at)
    swept = _sweep_orphans(folder, manifest, committed_at)
    listing = manifest.listing()
    for dataset in sorted({batch.dataset for batch in listing.batches}):
        small = [batch for batch in listing.of(dataset) if batch.rows < SMALL_ROWS]
        if len(small) < 2:
            continue
        batch = _merge(folder, dataset, small, committed_at)
        counts["merged_batches"] += len(small)
        counts["new_batches"] += 1
        counts["exact_duplicates"] += sum(old.rows for old in small) - batch.rows
    counts["article_lists"] = write_missing(folder, manifest.listing().batches)
    return counts | {"removed_entries": removed_entries, "removed_files": removed_files, "swept_orphans": swept}
