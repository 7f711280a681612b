"""A store as Delta tables, for those who keep their data in a lake: one table for each kind of fact, with all versions.

A table says of each version when it was first committed, from when it could be seen and from when it counts, so that a
query of the lake can ask what was known when. Rows are written as they are read, never more than a few at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import get_args

import pandas as pd
import pyarrow as pa

from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.data_loaders.records import Dataset
from embargo.data_loaders.store.reading import committed_versions
from embargo.data_loaders.store.store import Store


def export_delta(store: Store, folder: str | Path, *, at: pd.Timestamp) -> dict[str, int]:
    """Write what a store knows at an instant as Delta tables.

    A table that is there already gets a new version of itself; its earlier ones stay readable by Delta's time travel.

    Parameters
    ----------
    store : Store
    folder : str or Path
        Each kind of fact of which something is known becomes a table in a folder of its name below this one.
    at : Timestamp
        Versions known until then are written, UTC.

    Returns
    -------
    dict of str to int
        Rows of each table. Columns are those of the kind of fact, ``seen_at`` as it counts, ``known_at``, the later of
        it and the fact's natural instant, ``revision``, counted from 0, and ``committed_at``, when this version was
        first appended to the store; instants are UTC, whole numbers without a sign are decimals.

    Raises
    ------
    ConfigError
        If the folder has no name, or lies in the store.
    MissingPartError
        If the package deltalake is not installed.
    DataError
        If a file of the store is damaged, or the table cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from embargo.data_loaders.store import Store, export_delta
    >>> at = pd.Timestamp("2020-01-02 15:00", tz="UTC")
    >>> news = pd.DataFrame([{"article_id": "1", "published_at": at, "symbol": "AAPL", "text": "Apple beats"}])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store.create(f"{folder}/store")
    ...     batch = store.append("news", news, source="wire", committed_at=at)
    ...     export_delta(store, f"{folder}/lake", at=at)
    {'news': 1}
    """
    try:
        from deltalake import CommitProperties, write_deltalake
        from deltalake.exceptions import DeltaError
    except ImportError as failure:
        raise MissingPartError(
            f"Delta tables need the package deltalake ({failure}). Run: pip install 'embargo-backtest[delta]'."
        ) from failure
    if not str(folder).strip():
        raise ConfigError("export: the folder has no name. Say where the Delta tables are to be written.")
    if _inside(str(folder), store.root):
        raise ConfigError(f"{folder}: lies in the store itself. Choose a folder outside {store.root}.")
    snapshot = store.as_of(at)
    told = {"embargo.known_until": snapshot.t.isoformat()}
    held = {batch.dataset for batch in store.batches() if batch.rows}
    written = {}
    for dataset in (dataset for dataset in get_args(Dataset) if dataset in held):
        batches = committed_versions(snapshot, dataset)
        first = next(batches, None)
        if first is None:
            continue
        counted = _Counted(first, batches)
        try:
            write_deltalake(
                f"{str(folder).rstrip('/')}/{dataset}",
                pa.RecordBatchReader.from_batches(counted.schema, counted),
                mode="overwrite",
                schema_mode="overwrite",
                commit_properties=CommitProperties(custom_metadata=told),
            )
        except (DeltaError, OSError) as failure:
            raise DataError(
                f"{folder}/{dataset}: the Delta table cannot be written ({failure}). What it was stays. Make room, get "
                "the right to write there, or choose another folder."
            ) from failure
        written[dataset] = counted.rows
    return written


def _inside(folder: str, store: str) -> bool:
    """Tell whether a folder is another, or lies in it; addresses are compared as they are written."""
    if "://" not in folder + store:
        return Path(folder).resolve().is_relative_to(Path(store).resolve())
    return f"{folder.rstrip('/')}/".startswith(f"{store.rstrip('/')}/")


class _Counted:
    """Passes rows on in types that Delta knows, and counts them."""

    def __init__(self, first: pa.RecordBatch, others: Iterator[pa.RecordBatch]) -> None:
        self._batches = chain([first], others)
        self.schema = pa.schema([_in_delta(field) for field in first.schema])
        self.rows = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            self.rows += batch.num_rows
            yield batch.cast(self.schema)


def _in_delta(field: pa.Field) -> pa.Field:
    return field.with_type(pa.decimal128(20, 0)) if pa.types.is_unsigned_integer(field.type) else field
