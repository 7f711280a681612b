"""The revisions of each fact, as SQL.

A fact's revisions are ordered by the instant at which each could be known. What is known at t is a prefix of that
order, so neither a revision's number nor its content ever depends on what came later.
"""

# ruff: noqa: S608 - every text, instant and path that goes into a query is quoted here, none comes from outside

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from embargo.data_loaders.records import Facts
from embargo.data_loaders.store.manifest import FileEntry

Versions = Literal["latest", "first", "all"]

# Rows that are sorted at once where the files allow it.
PART_ROWS = 500_000


@dataclass(frozen=True)
class RevisionQuestion:
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
    kept : tuple of str
        Those of the store's own columns that the answer keeps.
    """

    t: pd.Timestamp | None = None
    equal: tuple[tuple[str, str], ...] = ()
    symbols: tuple[str, ...] | None = None
    start: pd.Timestamp | None = None
    end: pd.Timestamp | None = None
    versions: Versions = "latest"
    kept: tuple[str, ...] = ()


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


@lru_cache(maxsize=65_536)
def _extras(facts_columns: tuple[str, ...], path: Path) -> dict[str, tuple[str, bool]]:
    """Columns of a file that its kind does not name, folded: the name as written, and whether it holds instants."""
    schema = pq.read_schema(path)
    return {
        item.name.lower(): (item.name, pa.types.is_timestamp(item.type))
        for item in schema
        if item.name not in facts_columns
    }


def _as_texts(facts: Facts, paths: Sequence[Path]) -> dict[tuple[tuple[str, bool], ...], list[Path]]:
    """Group files by the columns to be read as texts: those that are instants in some files and not in others.

    DuckDB unites every other pair of types itself.
    """
    if not facts.open_ended:
        return {(): list(paths)}
    extras = [_extras(facts.columns, path) for path in paths]
    kinds: dict[str, set[bool]] = {}
    for columns in extras:
        for folded, (_, instant) in columns.items():
            kinds.setdefault(folded, set()).add(instant)
    groups: dict[tuple[tuple[str, bool], ...], list[Path]] = {}
    for path, columns in zip(paths, extras, strict=True):
        clashing = tuple(sorted(columns[folded] for folded in columns if len(kinds[folded]) > 1))
        groups.setdefault(clashing, []).append(path)
    return groups


def _recast(clashing: Sequence[tuple[str, bool]]) -> str:
    texts = ", ".join(f"CAST({name_in_sql(name)} AS VARCHAR) AS {name_in_sql(name)}" for name, _ in clashing)
    return f" REPLACE ({texts})" if texts else ""


def stored_rows(facts: Facts, paths: Sequence[Path]) -> str:
    """Select the rows of some files as they were stored, columns united by name."""
    if paths:
        files = [
            (_recast(clashing), ", ".join(text_in_sql(pattern(path)) for path in group))
            for clashing, group in _as_texts(facts, paths).items()
        ]
        return " UNION ALL BY NAME ".join(
            f"SELECT *{recast} FROM read_parquet([{group}], union_by_name = true, hive_partitioning = false)"
            for recast, group in files
        )
    types = dict.fromkeys(facts.columns, "TIMESTAMPTZ")
    types |= dict.fromkeys(facts.texts, "VARCHAR") | dict.fromkeys(facts.numbers, "DOUBLE")
    types |= {"assumed": "BOOLEAN", "committed_at": "TIMESTAMPTZ", "content": "UBIGINT", "key": "UBIGINT"}
    nothing = ", ".join(f"NULL::{kind} AS {name}" for name, kind in types.items())
    return f"SELECT {nothing} WHERE false"


def event_range(facts: Facts, question: RevisionQuestion) -> list[str]:
    """Conditions that keep the events of a question's range."""
    bounds = []
    if question.start is not None:
        bounds.append(f"{facts.event} >= {instant_in_sql(question.start)}")
    if question.end is not None:
        bounds.append(f"{facts.event} < {instant_in_sql(question.end)}")
    return bounds


def _on_keys(facts: Facts, question: RevisionQuestion) -> list[str]:
    """Conditions on key columns: they keep or drop whole histories, so they may be applied first."""
    conditions = [f"{name} = {text_in_sql(text)}" for name, text in question.equal]
    if question.symbols is not None:
        wanted = ", ".join(map(text_in_sql, question.symbols)) or "NULL"
        conditions.append(f"symbol IN ({wanted})")
    if facts.event_in_key:
        conditions += event_range(facts, question)
    return conditions


def where(conditions: Sequence[str]) -> str:
    """Write conditions that all have to hold."""
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _rows_of(facts: Facts, stored: str, question: RevisionQuestion) -> str:
    return f"(SELECT * FROM ({stored}){where(_on_keys(facts, question))})"


def _rewritten(facts: Facts, stored: str, *, one_commit: bool = False) -> str:
    """Texts that an article got after its first commit, under whatever symbol.

    Where the source does not say when it had such a text, nobody can have had it before it was committed, even if the
    article is new to that symbol. Articles are sieved by hash first, because few have rows of more than one commit.
    """
    if not facts.shared or one_commit:
        return "SELECT NULL::VARCHAR AS whole, NULL::VARCHAR AS told WHERE false"
    whole, told = facts.shared
    rows = f"(SELECT {whole} AS whole, {told} AS told, committed_at FROM ({stored}))"
    return f"""\
SELECT whole, told FROM (
  SELECT whole, told, min(committed_at) AS first, min(min(committed_at)) OVER (PARTITION BY whole) AS opened
  FROM {rows}
  WHERE hash(whole) IN (
    SELECT hash(whole) FROM {rows} GROUP BY 1 HAVING min(committed_at) <> max(committed_at)
  )
  GROUP BY whole, told
)
WHERE first > opened"""


def _repeated(facts: Facts, rows: str) -> str:
    """Key hashes whose rows need resolving: those of several rows, and those of texts that came late."""
    repeated = f'SELECT "key" FROM {rows} GROUP BY "key" HAVING count(*) > 1'
    if not facts.shared:
        return repeated
    whole, told = facts.shared
    return f"""\
{repeated} UNION SELECT "key" FROM {rows} AS late SEMI JOIN rewritten
  ON late.{whole} = rewritten.whole AND late.{told} = rewritten.told"""


def _on_result(facts: Facts, question: RevisionQuestion) -> list[str]:
    """Conditions on single versions: they may be applied only once histories are resolved."""
    conditions = [] if facts.event_in_key else event_range(facts, question)
    if question.t is not None:
        conditions.append(f"known_at <= {instant_in_sql(question.t)}")
    return conditions


def _hidden(question: RevisionQuestion) -> str:
    own = ("assumed", "committed_at", "content", "key")
    return ", ".join(name_in_sql(name) for name in own if name not in question.kept)


def _single(facts: Facts, rows: str, question: RevisionQuestion) -> str:
    """Rows whose key hash needs no resolving: each is its fact's first and only revision."""
    return f"""\
SELECT * EXCLUDE ({_hidden(question)}), greatest({facts.natural}, seen_at) AS known_at,
  0::BIGINT AS revision
FROM {rows} ANTI JOIN repeated USING ("key"){where(_on_result(facts, question))}"""


def _several(facts: Facts, rows: str, question: RevisionQuestion) -> str:
    """Rows whose key hash needs resolving, resolved under their real key: two keys of one hash stay two."""
    key = ", ".join(facts.key)
    late, join = "false", ""
    if facts.shared:
        whole, told = facts.shared
        late = "rewritten.whole IS NOT NULL"
        join = f"LEFT JOIN rewritten ON stored.{whole} = rewritten.whole AND stored.{told} = rewritten.told"
    chosen = {
        "all": [],
        "first": ["revision = 0"],
        "latest": ['"#next" IS NULL' + ("" if question.t is None else f' OR "#next" > {instant_in_sql(question.t)}')],
    }[question.versions]
    conditions = [f"({condition})" for condition in (*_on_result(facts, question), *chosen)]
    return f"""\
WITH opened AS (
  SELECT stored.*, {late} AS "#late",
    first_value(committed_at) OVER opening AS "#commit", first_value(content) OVER opening AS "#content"
  FROM (SELECT * FROM {rows} SEMI JOIN repeated USING ("key")) AS stored {join}
  WINDOW opening AS (PARTITION BY {key} ORDER BY committed_at, content)
),
effective AS (
  SELECT * REPLACE (CASE
    WHEN NOT assumed OR (committed_at = "#commit" AND content = "#content" AND NOT "#late") THEN seen_at
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
  SELECT * EXCLUDE ("#commit", "#content", "#late", {_hidden(question)}),
    row_number() OVER later - 1 AS revision, lead(known_at) OVER later AS "#next"
  FROM changed
  WINDOW later AS (PARTITION BY {key} ORDER BY known_at, seen_at, committed_at, content)
)
SELECT * EXCLUDE "#next" FROM numbered{where(conditions)}"""


def every_revision(facts: Facts, paths: Sequence[Path]) -> str:
    """Write the SQL for every revision of every fact in some files, in no order."""
    question = RevisionQuestion(versions="all")
    stored = stored_rows(facts, paths)
    rows = _rows_of(facts, stored, question)
    return f"""\
WITH rewritten AS ({_rewritten(facts, stored)}), repeated AS ({_repeated(facts, rows)})
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
    connection: Any,
    facts: Facts,
    files: Sequence[tuple[FileEntry, Path]],
    question: RevisionQuestion,
    gathered: str | None = None,
) -> Iterator[str]:
    """Resolve stored rows to revisions and offer them piece by piece, sorted by ``known_at``, then by key.

    Rows that are their fact's only ones are sorted by the stretches of time that the files cover, so that no more is
    sorted at once than overlaps.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Fresh; it gets three temporary tables.
    facts : Facts
    files : sequence of (FileEntry, Path)
        Every file that holds a row of a key in question, or one committed before it under the same key or article.
    question : RevisionQuestion
    gathered : str, optional
        SQL that selects those of their rows that matter, where they are few.

    Yields
    ------
    str
        A query for the next rows: all stored columns but ``assumed, committed_at, content, key``, with ``known_at``
        and ``revision``. All have the same columns.
    """
    stored = stored_rows(facts, [path for _, path in files]) if gathered is None else gathered
    rows = _rows_of(facts, stored, question)
    one_commit = len({commit for entry, _ in files for commit in (entry.first_commit, entry.last_commit)}) < 2
    connection.execute(f"CREATE TEMP TABLE rewritten AS {_rewritten(facts, stored, one_commit=one_commit)}")
    connection.execute(f"CREATE TEMP TABLE repeated AS {_repeated(facts, rows)}")
    # It has the columns of all files, so that each part below gets them too.
    connection.execute(f"CREATE TEMP TABLE several AS {_several(facts, rows, question)}")
    order = f"ORDER BY known_at, {', '.join(facts.key)}, revision"
    if gathered is not None:
        yield f"SELECT * FROM several UNION ALL BY NAME ({_single(facts, rows, question)}) {order}"
        return
    wanted = [
        (entry, path)
        for entry, path in files
        if (question.t is None or entry.first_known <= question.t)
        and (question.end is None or entry.first_event < question.end)
        and (question.start is None or entry.last_event >= question.start)
    ]
    parts = _parts(wanted)
    after: pd.Timestamp | None = None
    for number, part in enumerate(parts):
        until = None if number == len(parts) - 1 else part.last_known
        stretch = [
            *([] if after is None else [f"known_at > {instant_in_sql(after)}"]),
            *([] if until is None else [f"known_at <= {instant_in_sql(until)}"]),
        ]
        single = _single(facts, _rows_of(facts, stored_rows(facts, part.paths), question), question)
        yield f"SELECT * FROM several{where(stretch)} UNION ALL BY NAME ({single}) {order}"
        after = until
    if not parts:
        yield f"SELECT * FROM several {order}"
