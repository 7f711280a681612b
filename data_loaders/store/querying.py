"""DuckDB on a connection that is bounded in memory, reads the store's files and reaches for nothing else."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.store.revisions import pattern, text_in_sql

MEMORY_LIMIT = "1536MiB"


@dataclass(frozen=True)
class Connection:
    """DuckDB, and a folder on this machine that is removed with it."""

    duckdb: duckdb.DuckDBPyConnection
    spill: Path


@contextmanager
def connected() -> Iterator[Connection]:
    """Open DuckDB in memory: bounded, spilling to a folder of its own, in UTC, never reaching for the network."""
    with tempfile.TemporaryDirectory(prefix="embargo-query-") as spill:
        connection = duckdb.connect(
            ":memory:",
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "python_enable_replacements": "false",
                "allow_persistent_secrets": "false",
                "temp_directory": spill,
                "memory_limit": MEMORY_LIMIT,
                "threads": str(os.cpu_count() or 1),
                "preserve_insertion_order": "false",
                "arrow_large_buffer_size": "true",
            },
        )
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")
            yield Connection(connection, Path(spill))
        finally:
            connection.close()


def fence(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> None:
    """Let a connection read these files and nothing else, for good."""
    allowed = ", ".join(text_in_sql(name) for path in paths for name in {str(path), pattern(path)})
    connection.execute(f"SET allowed_paths = [{allowed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def only_a_select(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Refuse everything but one SELECT (EXPLAIN included); ConfigError otherwise."""
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as failure:
        raise refused(failure) from failure
    kinds = [statement.type.name for statement in statements]
    if kinds not in (["SELECT"], ["EXPLAIN"]):
        raise ConfigError(f"sql: one SELECT is expected, got {kinds or 'nothing'}. The store is only read here.")


def refused(failure: duckdb.Error) -> ConfigError:
    """Turn what DuckDB says about a query into an error of ours."""
    return ConfigError(
        f"sql: {str(failure).strip()}\nThe views are news, bars, actions, funding and instruments; nothing else can be "
        "read or written."
    )


def in_pandas(pieces: list[pa.Table]) -> pd.DataFrame:
    """Convert the pieces of a result, freeing them as it goes; whole numbers stay whole beside missing ones."""
    table = pa.concat_tables(pieces)
    pieces.clear()
    text = pd.StringDtype(na_value=float("nan"))
    kinds = {pa.string(): text, pa.large_string(): text}
    names = table.column_names
    gappy = [
        name
        for name, column in zip(names, table.columns, strict=True)
        if column.null_count and (pa.types.is_integer(column.type) or pa.types.is_boolean(column.type))
    ]
    nullable = {pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    beside = table.select(gappy).to_pandas(types_mapper=nullable.get)
    table = table.drop_columns(gappy)
    frame: pd.DataFrame = table.to_pandas(types_mapper=kinds.get, split_blocks=True, self_destruct=True)
    return frame.join(beside)[names] if gappy else frame
