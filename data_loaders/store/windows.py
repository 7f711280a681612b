"""Questions about a range of publication are answered from the articles published in it, not from the whole archive.

All versions of an article count together, and only of articles that have a version in the range. So it is enough to
resolve every row of those articles, wherever it lies: in files that reach into the range, and in those whose list of
articles says so.
"""

# ruff: noqa: S608 - every text, instant and path that goes into a query is quoted here, none comes from outside

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from embargo.data_loaders.records import Facts
from embargo.data_loaders.store.article_lists import (
    KINDS,
    Extras,
    Sought,
    article_hashes,
    further_columns,
    is_listed,
    read_list,
)
from embargo.data_loaders.store.files import Folder
from embargo.data_loaders.store.integrity import Verifier
from embargo.data_loaders.store.manifest import Batch, FileEntry
from embargo.data_loaders.store.revisions import RevisionQuestion, event_range, stored_rows, where

# A range that takes more of the archive's rows than this is read with all others: resolving them costs less than
# finding out which not to.
MOST_ROWS = 0.5


@dataclass(frozen=True)
class Narrowed:
    """The rows that a range of publication needs.

    Attributes
    ----------
    articles : Table
        Names of the articles published in the range, in one column; one may stand there more than once.
    files : list of (Batch, FileEntry)
        Every file with a row of one of them.
    ranged : frozenset of str
        Paths of files of which rows outside the range need not be read.
    extras : tuple
        Each combination of further columns that the archive's files have, in the order in which files come.
    """

    articles: pa.Table
    files: list[tuple[Batch, FileEntry]]
    ranged: frozenset[str]
    extras: tuple[Extras, ...]


def reaches(entry: FileEntry, question: RevisionQuestion) -> bool:
    """Whether a file may have rows in the range of a question."""
    return (question.end is None or entry.first_event < question.end) and (
        question.start is None or entry.last_event >= question.start
    )


def _is_worthwhile(facts: Facts, files: Sequence[tuple[Batch, FileEntry]], question: RevisionQuestion) -> bool:
    if not is_listed(facts) or (question.start is None and question.end is None):
        return False
    inside = sum(entry.rows for _, entry in files if reaches(entry, question))
    return inside <= MOST_ROWS * sum(entry.rows for _, entry in files)


def narrowed(
    folder: Folder,
    verifier: Verifier,
    facts: Facts,
    files: Sequence[tuple[Batch, FileEntry]],
    question: RevisionQuestion,
) -> Narrowed | None:
    """Find the articles of a range and the files that hold them; None where all files had better be read.

    Parameters
    ----------
    folder : Folder
    verifier : Verifier
    facts : Facts
    files : sequence of (Batch, FileEntry)
        Every file that can matter to the question.
    question : RevisionQuestion

    Raises
    ------
    SweptError
        If a file is gone.
    DataError
        If a file or a list is damaged.
    """
    if not _is_worthwhile(facts, files, question):
        return None
    early = [
        (batch, entry)
        for batch, entry in files
        if reaches(entry, question) and (question.t is None or entry.first_known <= question.t)
    ]
    inside = {entry.path: _rows_inside(facts, verifier.path_of(batch, entry), question) for batch, entry in early}
    wanted = [_named(facts, rows, question) for rows in inside.values()]
    articles = pa.concat_tables(wanted) if wanted else pa.table({"article": pa.array([], pa.large_string())})
    sought = Sought(article_hashes(articles["article"]))
    extras: dict[Extras, None] = {}
    chosen, ranged = [], set()
    for batch, entry in files:
        found = read_list(folder, entry)
        if found is None:
            extras[further_columns(facts, pq.read_schema(verifier.path_of(batch, entry)))] = None
            chosen.append((batch, entry))
            continue
        extras[found.extras] = None
        there = sought.among(found.articles)
        rows = inside.get(entry.path)
        if rows is not None:
            chosen.append((batch, entry))
            here = Sought(article_hashes(rows[facts.shared[0]]))
            if len(here.among(there)) == len(there) and not len(sought.among(found.restated)):
                ranged.add(entry.path)
        elif len(there):
            chosen.append((batch, entry))
    return Narrowed(articles, chosen, frozenset(ranged), tuple(extras)) if _are_united(extras) else None


def _are_united(extras: Iterable[Extras]) -> bool:
    """Whether each further column is of a known kind, and holds instants in all files or in none."""
    instants: dict[str, set[bool]] = {}
    for name, kind in (column for columns in extras for column in columns):
        if kind not in KINDS:
            return False
        instants.setdefault(name.lower(), set()).add(pa.types.is_timestamp(KINDS[kind]))
    return all(len(found) == 1 for found in instants.values())


def _rows_inside(facts: Facts, path: Path, question: RevisionQuestion) -> pa.Table:
    """Read what tells a file's articles in the range of a question apart."""
    event = facts.event
    with pq.ParquetFile(path) as file:
        number = file.schema_arrow.get_field_index(event)
        groups = [
            group
            for group in range(file.metadata.num_row_groups)
            if _group_reaches(file.metadata.row_group(group).column(number).statistics, question)
        ]
        table = file.read_row_groups(groups, columns=[facts.shared[0], "symbol", event, "seen_at"])
    instants = table[event].cast(pa.int64()).to_numpy()
    keep = np.ones(len(instants), bool)
    if question.start is not None:
        keep &= instants >= micros(question.start)
    if question.end is not None:
        keep &= instants < micros(question.end)
    return table.filter(pa.array(keep))


def _group_reaches(statistics: Any, question: RevisionQuestion) -> bool:
    if statistics is None or not statistics.has_min_max:
        return True
    return (question.end is None or statistics.min_raw < micros(question.end)) and (
        question.start is None or statistics.max_raw >= micros(question.start)
    )


def micros(instant: pd.Timestamp) -> int:
    """Count the microseconds since 1970."""
    return int(pa.scalar(instant, pa.timestamp("us", tz="UTC")).value)


def _named(facts: Facts, rows: pa.Table, question: RevisionQuestion) -> pa.Table:
    """Name the articles of those rows that a question can ask for."""
    if question.t is not None:
        known = pc.max_element_wise(*(rows[name].cast(pa.int64()) for name in (facts.natural, "seen_at")))
        rows = rows.filter(pc.less_equal(known, micros(question.t)))
    if question.symbols is not None:
        rows = rows.filter(
            pc.is_in(rows["symbol"].cast(pa.large_string()), pa.array(question.symbols, pa.large_string()))
        )
    return pa.table({"article": rows[facts.shared[0]].cast(pa.large_string())})


def gather(
    connection: duckdb.DuckDBPyConnection,
    facts: Facts,
    needed: Narrowed,
    paths: Sequence[Path],
    question: RevisionQuestion,
    spill: Path,
) -> str:
    """Bring the rows of the articles in question into a temporary table, and write the SQL that selects them.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Fresh; it gets the table.
    facts : Facts
    needed : Narrowed
    paths : sequence of Path
        Where its files can be read.
    question : RevisionQuestion
    spill : Path
        A folder for files without rows, which stand for the columns of those that are not read.
    """
    places = {entry.path: path for (_, entry), path in zip(needed.files, paths, strict=True)}
    ranged = [path for name, path in places.items() if name in needed.ranged]
    whole = [path for name, path in places.items() if name not in needed.ranged]
    kinds = []
    if len(needed.extras) > 1 or not places:
        for number, extras in enumerate(needed.extras):
            kinds.append(spill / f"columns-{number}.parquet")
            pq.write_table(_no_rows(facts, extras), kinds[-1])
    connection.register("named", needed.articles)
    pieces = []
    for group, conditions in ((whole, []), (ranged, event_range(facts, question))):
        if group or (not ranged and group is whole):
            rows = f"SELECT * FROM ({stored_rows(facts, [*kinds, *group])}){where(conditions)}"
            pieces.append(
                f"SELECT * FROM ({rows}) AS stored SEMI JOIN named ON stored.{facts.shared[0]} = named.article"
            )
    connection.execute(f"CREATE TEMP TABLE gathered AS {' UNION ALL BY NAME '.join(pieces)}")
    return "SELECT * FROM gathered"


def _no_rows(facts: Facts, extras: Extras) -> pa.Table:
    instant = pa.timestamp("us", tz="UTC")
    kinds = dict.fromkeys(facts.columns, instant)
    kinds |= dict.fromkeys(facts.texts, pa.large_string()) | dict.fromkeys(facts.numbers, pa.float64())
    kinds |= {name: KINDS[kind] for name, kind in extras}
    kinds |= {"assumed": pa.bool_(), "committed_at": instant, "content": pa.uint64(), "key": pa.uint64()}
    return pa.schema(list(kinds.items())).empty_table()
