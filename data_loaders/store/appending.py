"""Appending facts: data files first, under names nobody else uses, then one manifest entry that makes them visible.

A process that dies half-way leaves files that no entry names. They are never read and are swept later; what was visible
before stays as it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from embargo.data_loaders.errors import DataError, such
from embargo.data_loaders.records import Dataset, Facts, facts_of, instant_of, validate_facts
from embargo.data_loaders.store.article_lists import encoded, is_listed, listed
from embargo.data_loaders.store.files import Folder, unique_name
from embargo.data_loaders.store.hashing import row_hashes
from embargo.data_loaders.store.manifest import Batch, Cover, FileEntry, encode, entry_name, list_name

FILE_ROWS = 1_000_000
_ROW_GROUP = 32_768
_SAMPLE = 8_192
_INSTANT = pa.timestamp("us", tz="UTC")


def new_id(committed_at: pd.Timestamp) -> str:
    """Name a batch: sortable by commit, unique among all processes."""
    return f"{committed_at.strftime('%Y%m%dT%H%M%S%fZ')}-{unique_name()}"


def _arrow(frame: pd.DataFrame) -> pa.Table:
    columns = {}
    for name, values in frame.items():
        array = pa.array(values, from_pandas=True)
        if pa.types.is_timestamp(array.type):
            array = array.cast(_INSTANT)
        elif pa.types.is_dictionary(array.type) or pa.types.is_null(array.type) or pa.types.is_string(array.type):
            array = array.cast(pa.large_string())
        elif pa.types.is_integer(array.type) and not pa.types.is_uint64(array.type):
            array = array.cast(pa.int64())
        columns[str(name)] = array
    return pa.table(columns)


def prepare(
    dataset: Dataset, frame: pd.DataFrame, committed_at: pd.Timestamp, *, where: str, hashing: int
) -> tuple[pa.Table, int]:
    """Turn validated facts into the rows that are stored.

    Returns
    -------
    table : Table
        The facts with ``seen_at`` resolved, ``assumed``, ``committed_at`` and the hashes ``content`` and ``key``,
        in the order in which they could be known.
    collapsed : int
        Identical rows that were dropped.

    Raises
    ------
    DataError
        If one key has two contents, or a bar has not closed yet.
    """
    facts = facts_of(dataset)
    tidy = validate_facts(dataset, frame, where=where)
    if dataset == "bars" and (tidy["close_at"] > committed_at).any():
        row = tidy.loc[(tidy["close_at"] > committed_at).to_numpy()].iloc[0]
        raise DataError(
            f"{where}: the {row['bar']} bar of {row['symbol']} closes at {row['close_at']}, after it is committed at "
            f"{committed_at}, so it is not finished. Drop such bars, or correct the clock."
        )
    table = _arrow(tidy)
    values = [name for name in table.column_names if name not in facts.key and name != "seen_at"]
    key, content = row_hashes(table, facts.key, hashing=hashing), row_hashes(table, values, hashing=hashing)
    collapsed = 0
    ordered = np.sort(key)
    if (ordered[1:] == ordered[:-1]).any():
        repeated = pd.Series(key).duplicated(keep=False).to_numpy()
        keep = _one_content_per_key(table, facts, repeated, content, where)
        collapsed = int((~keep).sum())
        table, key, content = table.filter(pa.array(keep)), key[keep], content[keep]
    assumed = pc.is_null(table["seen_at"])
    seen_at = pc.coalesce(table["seen_at"], table[facts.natural])
    table = table.set_column(table.column_names.index("seen_at"), "seen_at", seen_at)
    table = table.append_column("assumed", assumed)
    table = table.append_column("committed_at", pa.repeat(pa.scalar(committed_at, _INSTANT), table.num_rows))
    table = table.append_column("content", pa.array(content)).append_column("key", pa.array(key))
    known = np.maximum(_micros(table[facts.natural]), _micros(table["seen_at"]))
    if (known[1:] < known[:-1]).any():
        table = table.take(pa.array(np.argsort(known, kind="stable")))
    return table, collapsed


def _one_content_per_key(
    table: pa.Table, facts: Facts, repeated: np.ndarray, content: np.ndarray, where: str
) -> np.ndarray:
    """Mark the rows to keep: one of those that say the same about the same."""
    rows = np.flatnonzero(repeated)
    few = table.select([*facts.key, "seen_at"]).take(pa.array(rows)).to_pandas()
    few["content"] = content[rows]
    key = list(facts.key)
    contents = few.groupby(key, sort=False)["content"].transform("nunique")
    if (contents > 1).any():
        first = few.loc[contents > 1].iloc[0]
        raise DataError(
            f"{where}: {first[key].to_dict()} stands there with {int(contents.loc[first.name])} different contents "
            f"({such((contents > 1).sum(), 'row')}). Keep one, or append the versions one after the other."
        )
    keep = np.ones(table.num_rows, dtype=bool)
    keep[rows[few.duplicated([*key, "seen_at"]).to_numpy()]] = False
    return keep


def _micros(instants: pa.ChunkedArray) -> np.ndarray:
    values: np.ndarray = instants.cast(pa.int64()).to_numpy()
    return values


def _stamp(value: int | np.integer) -> pd.Timestamp:
    return pd.Timestamp(int(value), unit="us", tz="UTC").as_unit("us")


def years_of(table: pa.Table, facts: Facts) -> Iterator[tuple[int, pa.Table]]:
    """Split rows by the UTC year in which their event happens, keeping their order."""
    years = _micros(table[facts.event]).view("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
    present = np.unique(years, sorted=True)
    if len(present) == 1:
        yield int(present[0]), table
    elif (years[1:] < years[:-1]).any():
        for year in present:
            yield int(year), table.filter(pa.array(years == year))
    else:
        edges = np.searchsorted(years, [*present, present[-1] + 1])
        for year, first, last in zip(present, edges[:-1], edges[1:], strict=True):
            yield int(year), table.slice(first, last - first)


def _layout(table: pa.Table, facts: Facts) -> dict[str, Any]:
    """Say how the columns of a file are written: cheap to write, small, and so that questions can pass rows over."""
    sample = table.slice(0, _SAMPLE)
    words, stamps = [], {}
    for item in table.schema:
        if pa.types.is_large_string(item.type) or pa.types.is_string(item.type):
            if item.name != "text" and pc.count_distinct(sample[item.name]).as_py() * 4 <= sample.num_rows:
                words.append(item.name)
        elif pa.types.is_timestamp(item.type):
            stamps[item.name] = "DELTA_BINARY_PACKED"
    hashes = ("content", "key")
    return {
        "compression": {name: "none" if name in hashes else "zstd" for name in table.column_names},
        "use_dictionary": words,
        "column_encoding": stamps,
        "write_statistics": [name for name in (*facts.key, *facts.instants, "seen_at") if name != "article_id"],
    }


def write_file(folder: Folder, dataset: Dataset, partition: str, name: str, table: pa.Table) -> FileEntry:
    """Write rows as one parquet file, list its articles beside it, and describe it."""
    sink = pa.BufferOutputStream()
    facts = facts_of(dataset)
    pq.write_table(table, sink, row_group_size=_ROW_GROUP, **_layout(table, facts))
    content = sink.getvalue()
    path = f"{dataset}/{partition}/{name}.parquet"
    folder.write(path, memoryview(content))
    sha256 = hashlib.sha256(content).hexdigest()
    if is_listed(facts):
        folder.write(list_name(path), encoded(listed(table, facts, table.schema), sha256))
    seen, natural = _micros(table["seen_at"]), _micros(table[facts.natural])
    known, event, commit = np.maximum(seen, natural), _micros(table[facts.event]), _micros(table["committed_at"])
    return FileEntry(
        path=path,
        rows=table.num_rows,
        bytes=len(content),
        sha256=sha256,
        first_known=_stamp(known.min()),
        last_known=_stamp(known.max()),
        first_event=_stamp(event.min()),
        last_event=_stamp(event.max()),
        first_commit=_stamp(commit.min()),
        last_commit=_stamp(commit.max()),
        assumed=int(pc.sum(table["assumed"]).as_py() or 0),
    )


def partition_of(dataset: Dataset, year: int) -> str:
    """Folder of a year; instruments are few and share one."""
    return "all" if dataset == "instruments" else f"year={year:04d}"


def check_covers(covers: Sequence[Cover], dataset: Dataset, where: str) -> tuple[Cover, ...]:
    """Return covers with their instants in UTC; DataError where one is of another kind or ends before it starts."""
    checked = []
    for cover in covers:
        if cover.dataset != dataset:
            raise DataError(f"{where}: a cover of {cover.dataset} cannot stand with facts of {dataset}.")
        start, end = (instant_of(getattr(cover, name), f"{where}, cover {name}") for name in ("start", "end"))
        if end <= start:
            raise DataError(f"{where}: the cover of {cover.symbol} ends at {end}, not after its start {start}.")
        checked.append(Cover(dataset, cover.venue, cover.symbol, cover.bar, start, end))
    return tuple(checked)


def append(
    folder: Folder,
    dataset: Dataset,
    frame: pd.DataFrame,
    *,
    source: str,
    committed_at: pd.Timestamp,
    covers: Sequence[Cover],
    hashing: int,
) -> Batch:
    """Write one batch of facts (see ``Store.append``)."""
    where = f"{dataset} of {source!r}"
    facts = facts_of(dataset)
    if not source:
        raise DataError(f"{dataset}: a batch needs the name of its source.")
    committed_at = instant_of(committed_at, f"{where}, committed_at")
    covers = check_covers(covers, dataset, where)
    if frame.empty and not covers:
        raise DataError(f"{where}: no rows and no covers, so there is nothing to append.")
    batch_id = new_id(committed_at)
    files: list[FileEntry] = []
    rows = collapsed = 0
    if not frame.empty:
        table, collapsed = prepare(dataset, frame, committed_at, where=where, hashing=hashing)
        rows = table.num_rows
        for year, part in years_of(table, facts):
            for first in range(0, part.num_rows, FILE_ROWS):
                piece = part.slice(first, FILE_ROWS)
                files.append(
                    write_file(folder, dataset, partition_of(dataset, year), f"{batch_id}-{len(files)}", piece)
                )
    batch = Batch(
        batch_id, dataset, source, committed_at, rows, tuple(files), covers, collapsed, sources=(source,)
    )  # fmt: skip
    folder.write(entry_name(batch_id), encode(batch))
    return batch
