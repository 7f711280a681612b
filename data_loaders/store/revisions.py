"""The revisions of each fact, as SQL.

A fact's revisions are ordered by the instant at which each could be known. What is known at t is a prefix of that
order, so neither a revision's number nor its content ever depends on what came later.
"""

# ruff: noqa: S608 - every text, instant and path that goes into a query is quoted here, none comes from outside

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from data_loaders.records import Facts
from data_loaders.store.manifest import FileEntry

Versions = Literal["latest", "first", "all"]

# Rows that are sorted at once where the files allow it.
PART_ROWS = 500_000


@dataclass(frozen=True)
class Question:
    """Which rows of one kind of fact are wanted.

    Attributes
    ----------
    t : Timestamp or None
        What was known then; None for every revision there is.
    equal : tuple of (column, text)
        Key columns that must equal a text.
    symbols : tuple of str or None
        Only these.
    start, end : Timestamp or None
        ``start <= event < end``.
    versions : {"latest", "first", "all"}
        Which revisions known at t.
    """

    t: pd.Timestamp | None = None
    equal: tuple[tuple[str, str], ...] = ()
    symbols: tuple[str, ...] | None = None
    start: pd.Timestamp | None = None
    end: pd.Timestamp | None = None
    versions: Versions = "latest"


def name_in_sql(name: str) -> str:
    """Quote the name of a column."""
    return '"' + name.replace('"', '""') + '"'


def text_in_sql(text: str) -> str:
    """Quote a text."""
    return "'" + text.replace("'", "''") + "'"


def instant_in_sql(instant: pd.Timestamp) -> str:
    """Write an instant, to the microsecond."""
    return f"TIMESTAMPTZ '{instant.tz_convert('UTC').strftime('%Y-%m-%d %H:%M:%S.%f')}+00'"


def pattern(path: Path) -> str:
    """Write a path so that DuckDB, which expands wildcards, takes each sign literally."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in str(path))


def stored_rows(facts: Facts, paths: Sequence[Path]) -> str:
    """Select the rows of some files as they were stored, columns united by name."""
    if paths:
        files = ", ".join(text_in_sql(pattern(path)) for path in paths)
        return f"SELECT * FROM read_parquet([{files}], union_by_name = true, hive_partitioning = false)"
    types = dict.fromkeys(facts.columns, "TIMESTAMPTZ")
    types |= dict.fromkeys(facts.texts, "VARCHAR") | dict.fromkeys(facts.numbers, "DOUBLE")
    types |= {"assumed": "BOOLEAN", "committed_at": "TIMESTAMPTZ", "content": "UBIGINT", "key": "UBIGINT"}
    nothing = ", ".join(f"NULL::{kind} AS {name}" for name, kind in types.items())
    return f"SELECT {nothing} WHERE false"


def _event_range(facts: Facts, question: Question) -> list[str]:
    bounds = []
    if question.start is not None:
        bounds.append(f"{facts.event} >= {instant_in_sql(question.start)}")
    if question.end is not None:
        bounds.append(f"{facts.event} < {instant_in_sql(question.end)}")
    return bounds


def _on_keys(facts: Facts, question: Question) -> list[str]:
    """Conditions on key columns: they keep or drop whole histories, so they may be applied first."""
    conditions = [f"{name} = {text_in_sql(text)}" for name, text in question.equal]
    if question.symbols is not None:
        wanted = ", ".join(map(text_in_sql, question.symbols)) or "NULL"
        conditions.append(f"symbol IN ({wanted})")
    if facts.event_in_key:
        conditions += _event_range(facts, question)
    return conditions


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _rows_of(facts: Facts, paths: Sequence[Path], question: Question) -> str:
    return f"(SELECT * FROM ({stored_rows(facts, paths)}){_where(_on_keys(facts, question))})"


def _repeated(rows: str) -> str:
    return f'SELECT "key" FROM {rows} GROUP BY "key" HAVING count(*) > 1'


def _on_result(facts: Facts, question: Question) -> list[str]:
    """Conditions on single versions: they may be applied only once histories are resolved."""
    conditions = [] if facts.event_in_key else _event_range(facts, question)
    if question.t is not None:
        conditions.append(f"known_at <= {instant_in_sql(question.t)}")
    return conditions


def _single(facts: Facts, rows: str, question: Question) -> str:
    """Rows whose key hash occurs once: each is its fact's first and only revision."""
    return f"""\
SELECT * EXCLUDE (assumed, committed_at, content, "key"), greatest({facts.natural}, seen_at) AS known_at,
  0::BIGINT AS revision
FROM {rows} ANTI JOIN repeated USING ("key"){_where(_on_result(facts, question))}"""


def _several(facts: Facts, rows: str, question: Question) -> str:
    """Rows whose key hash occurs more than once, resolved under their real key: two keys of one hash stay two."""
    key = ", ".join(facts.key)
    chosen = {
        "all": [],
        "first": ["revision = 0"],
        "latest": ['"#next" IS NULL' + ("" if question.t is None else f' OR "#next" > {instant_in_sql(question.t)}')],
    }[question.versions]
    conditions = [f"({condition})" for condition in (*_on_result(facts, question), *chosen)]
    return f"""\
WITH opened AS (
  SELECT *,
    first_value(committed_at) OVER opening AS "#commit", first_value(content) OVER opening AS "#content"
  FROM {rows} SEMI JOIN repeated USING ("key")
  WINDOW opening AS (PARTITION BY {key} ORDER BY committed_at, content)
),
effective AS (
  SELECT * REPLACE (CASE WHEN NOT assumed OR (committed_at = "#commit" AND content = "#content") THEN seen_at
    ELSE committed_at END AS seen_at)
  FROM opened
),
dated AS (SELECT *, greatest({facts.natural}, seen_at) AS known_at FROM effective),
changed AS (
  SELECT * FROM dated
  QUALIFY content IS DISTINCT FROM
    lag(content) OVER (PARTITION BY {key} ORDER BY known_at, seen_at, committed_at, content)
),
numbered AS (
  SELECT * EXCLUDE ("#commit", "#content", assumed, committed_at, content, "key"),
    row_number() OVER later - 1 AS revision, lead(known_at) OVER later AS "#next"
  FROM changed
  WINDOW later AS (PARTITION BY {key} ORDER BY known_at, seen_at, committed_at, content)
)
SELECT * EXCLUDE "#next" FROM numbered{_where(conditions)}"""


def every_revision(facts: Facts, paths: Sequence[Path]) -> str:
    """Write the SQL for every revision of every fact in some files, in no order."""
    question = Question(versions="all")
    rows = _rows_of(facts, paths, question)
    return f"""\
WITH repeated AS ({_repeated(rows)})
SELECT * FROM ({_several(facts, rows, question)}) UNION ALL BY NAME ({_single(facts, rows, question)})"""


@dataclass(frozen=True)
class _Part:
    """Files whose rows became known in a stretch of time that no other part reaches into."""

    last_known: pd.Timestamp
    rows: int
    paths: tuple[Path, ...]


def _parts(files: Sequence[tuple[FileEntry, Path]]) -> list[_Part]:
    parts: list[_Part] = []
    for entry, path in sorted(files, key=lambda pair: (pair[0].first_known, pair[0].path)):
        last = parts[-1] if parts else None
        if last and (entry.first_known <= last.last_known or last.rows + entry.rows <= PART_ROWS):
            parts[-1] = _Part(max(last.last_known, entry.last_known), last.rows + entry.rows, (*last.paths, path))
        else:
            parts.append(_Part(entry.last_known, entry.rows, (path,)))
    return parts


def in_order(
    connection: Any, facts: Facts, files: Sequence[tuple[FileEntry, Path]], question: Question
) -> Iterator[str]:
    """Resolve stored rows to revisions and offer them piece by piece, sorted by ``known_at``, then by key.

    Rows that are their fact's only ones are sorted by the stretches of time that the files cover, so that no more is
    sorted at once than overlaps.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Fresh; it gets two temporary tables.
    facts : Facts
    files : sequence of (FileEntry, Path)
        Every file that holds a row of a key in question, or one committed before it under the same key.
    question : Question

    Yields
    ------
    str
        A query for the next rows: all stored columns but ``assumed, committed_at, content, key``, with ``known_at``
        and ``revision``. All have the same columns.
    """
    rows = _rows_of(facts, [path for _, path in files], question)
    connection.execute(f"CREATE TEMP TABLE repeated AS {_repeated(rows)}")
    # It has the columns of all files, so that each part below gets them too.
    connection.execute(f"CREATE TEMP TABLE several AS {_several(facts, rows, question)}")
    wanted = [
        (entry, path)
        for entry, path in files
        if (question.t is None or entry.first_known <= question.t)
        and (question.end is None or entry.first_event < question.end)
        and (question.start is None or entry.last_event >= question.start)
    ]
    order = f"ORDER BY known_at, {', '.join(facts.key)}, revision"
    parts = _parts(wanted)
    after: pd.Timestamp | None = None
    for number, part in enumerate(parts):
        until = None if number == len(parts) - 1 else part.last_known
        stretch = [
            *([] if after is None else [f"known_at > {instant_in_sql(after)}"]),
            *([] if until is None else [f"known_at <= {instant_in_sql(until)}"]),
        ]
        single = _single(facts, _rows_of(facts, part.paths, question), question)
        yield f"SELECT * FROM several{_where(stretch)} UNION ALL BY NAME ({single}) {order}"
        after = until
    if not parts:
        yield f"SELECT * FROM several {order}"
