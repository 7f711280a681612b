"""Probabilities that were made elsewhere, from parquet, CSV or JSONL: one answer per article, or an error.

Rows that repeat an article say the same or are refused; rows without probabilities count as no answer. What logits a
file has are kept beside its probabilities, so that a calibration starts from what the model said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from embargo.data_loaders.archive.dialect import PLAIN, Dialect
from embargo.data_loaders.archive.files import Table, TableReader, damage_named, fingerprint, passed_over, tables_of
from embargo.data_loaders.archive.tables import columns_of, mapped, missing_columns, numbers_of, read_table
from embargo.data_loaders.errors import ConfigError, DataError, LeakError, such
from embargo.data_loaders.fields import CLASSES

LOGITS = tuple(f"{name}_logit" for name in CLASSES)
SCORE_COLUMNS = ("article_id", *CLASSES, *LOGITS)
# Three probabilities that were each rounded to three decimals sum to 1 within this.
SUM_TOLERANCE = 2e-3
# Under this name a parquet file tells what its scores could know, as `embargo score` writes it.
CUTOFF_KEY = b"embargo.knowledge_cutoff"


@dataclass(frozen=True)
class LoadedScores:
    """Scores of a file by article, and how many rows were read and set aside for which reason.

    Attributes
    ----------
    frame : DataFrame
        Index ``article_id``; columns ``bearish, neutral, bullish``, or where the file has them their logits
        ``bearish_logit, neutral_logit, bullish_logit``; float64.
    counts : dict of str to int
        ``rows, repeated_rows, blank, articles``.
    source : str
        Hash of the files and of how their columns were read.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.archive import LoadedScores
    >>> frame = pd.DataFrame({"bearish": [0.1], "neutral": [0.2], "bullish": [0.7]}, index=["a"])
    >>> LoadedScores(frame, {"articles": 1}, "ab12").has_logits
    False
    """

    frame: pd.DataFrame = field(repr=False)
    counts: dict[str, int]
    source: str

    @property
    def has_logits(self) -> bool:
        """Whether the file brings logits."""
        return LOGITS[0] in self.frame.columns


def read_scores(
    path: str | Path,
    *,
    knowledge_cutoff: pd.Timestamp,
    columns: Mapping[str, str] | None = None,
    dialect: Dialect = PLAIN,
) -> LoadedScores:
    """Read scores that were made elsewhere.

    Parameters
    ----------
    path : str or Path
        A parquet, CSV or JSONL table, plain or packed; a zip or a folder of them.
    knowledge_cutoff : Timestamp
        Latest instant that anything in what made them could know, as stated; UTC. When they were made does not count: a
        model that reads old news today says what it would have said, as long as it knows nothing later.
    columns : mapping, optional
        ``article_id, bearish, neutral, bullish, bearish_logit, neutral_logit, bullish_logit`` to source column; one
        that has its own name already needs no entry. Logits are taken in the place of probabilities if all are there.
    dialect : Dialect
        Delimiter, encoding and header of the files, where they are not the plain ones.

    Returns
    -------
    LoadedScores
        Probabilities lie in [0, 1] and sum to 1 within 0.002.

    Raises
    ------
    MissingPartError
        If there is no such file.
    ConfigError
        If ``columns`` names something else, or takes one column for two things.
    DataError
        If a column is missing, a row has no id, some probabilities and not all, probabilities that are none, or logits
        that are not finite; or if two rows of an article disagree.
    LeakError
        If the file itself tells a later cutoff than the one stated.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from embargo.data_loaders.archive import read_scores
    >>> table = pd.DataFrame({"id": ["a", "b"], "neg": [0.1, 0.6], "neu": [0.2, 0.3], "pos": [0.7, 0.1]})
    >>> names = {"article_id": "id", "bearish": "neg", "neutral": "neu", "bullish": "pos"}
    >>> until = pd.Timestamp("2019-12-31", tz="UTC")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table.to_csv(f"{folder}/scores.csv", index=False)
    ...     scores = read_scores(f"{folder}/scores.csv", knowledge_cutoff=until, columns=names)
    >>> scores.frame.loc["a"].tolist(), scores.counts["articles"]
    ([0.1, 0.2, 0.7], 2)
    """
    where = f"scores {path}"
    if odd := sorted(set(columns or {}) - set(SCORE_COLUMNS)):
        raise ConfigError(f"{where}: columns maps {odd}. It may map {', '.join(SCORE_COLUMNS)}.")
    parts = tables_of(path, dialect=dialect)
    _refuse_earlier(parts, knowledge_cutoff, where)
    present = mapped(parts, columns or {}, SCORE_COLUMNS)
    names = _chosen(parts[0], present, where)
    _refuse_shared({name: present[name] for name in ("article_id", *names)}, where)
    frame, counts = read_table(parts, [present[name] for name in ("article_id", *names)], {})
    scores = pd.DataFrame({name: frame[present[name]] for name in ("article_id", *names)})
    scores = scores.assign(
        article_id=_ids(scores["article_id"], where),
        **{
            name: numbers_of(scores[name], where=f"{where}, column {present[name]!r}", dialect=dialect)
            for name in names
        },
    )
    values = scores[names].to_numpy(dtype=float)
    blank = np.isnan(values).all(axis=1)
    _check_values(scores["article_id"], values, blank, names, where)
    kept = scores.loc[~blank]
    once = kept.drop_duplicates()
    _refuse_torn(once, names, where)
    counts |= {"blank": int(blank.sum()), "repeated_rows": len(kept) - len(once), "articles": len(once)}
    counts |= passed_over(path)
    if once.empty:
        none = "its one row has no" if counts["rows"] == 1 else f"none of its {counts['rows']:,} rows has"
        raise DataError(f"{where}: {none} probabilities. Is it the right file?")
    told = [fingerprint(parts), *(f"{name}={present[name]}" for name in ("article_id", *names))]
    return LoadedScores(once.set_index("article_id"), counts, "; ".join(told))


def _chosen(part: Table, present: Mapping[str, str], where: str) -> list[str]:
    """Name the columns that are read: logits where all are there, else probabilities."""
    logits = [name for name in LOGITS if name in present]
    names = list(LOGITS if len(logits) == len(LOGITS) else CLASSES)
    if logits and len(logits) < len(LOGITS):
        lacking = [name for name in LOGITS if name not in present]
        raise DataError(f"{where}: there is {logits[0]} and no {lacking[0]}. Give the logits of all classes, or none.")
    missing_columns(part, [present.get(name, name) for name in ("article_id", *names)], columns_of(part))
    return names


def _refuse_shared(present: Mapping[str, str], where: str) -> None:
    """Refuse one column of the file under two names: a class of its own would be made up."""
    for name, column in present.items():
        others = [other for other in present if other != name and present[other] == column]
        if others:
            raise ConfigError(
                f"{where}: columns takes {column!r} for {name} and for {others[0]}. Three classes are needed "
                f"({', '.join(CLASSES)}), each with a column of its own beside article_id; where a model tells two, "
                "its third has no probability to be read, and none is made up: take a model that tells three."
            )


def _ids(values: pd.Series, where: str) -> pd.Series:
    unnamed = values.isna() | (values.astype("str").str.strip() == "")
    if unnamed.any():
        rows = "1 row has" if unnamed.sum() == 1 else f"{int(unnamed.sum()):,} rows have"
        first = unnamed.index[int(np.argmax(unnamed.to_numpy()))] + 1
        raise DataError(f"{where}: {rows} no article_id, first row {first}. Name them.")
    return values.map(str).astype("str")


def _check_values(ids: pd.Series, values: np.ndarray, blank: np.ndarray, names: list[str], where: str) -> None:
    """Refuse rows that are no probabilities, or no logits."""
    finite = np.isfinite(values).all(axis=1)
    faults = [(~finite & ~blank, f"is not three finite numbers ({', '.join(names)})", "Give all three, or none")]
    if names == list(CLASSES):
        total = values.sum(axis=1)
        outside = finite & ((values < 0.0) | (values > 1.0)).any(axis=1)
        faults.append((outside, "lies outside 0 to 1", "Divide percentages by 100; name logits in scores.columns"))
        apart = finite & ~(np.abs(total - 1.0) <= SUM_TOLERANCE)
        faults.append((apart, f"does not sum to 1 within {SUM_TOLERANCE:g}", "Normalise the scores"))
    for wrong, said, remedy in faults:
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(
                f"{where}: the score of article {ids.iloc[row]!r} {said}: {_shown(values[row])} "
                f"({such(wrong.sum(), 'row')}). {remedy}."
            )


def _shown(values: np.ndarray, digits: int = 4) -> str:
    return f"[{', '.join(f'{value:.{digits}g}' for value in values)}]"


def _differing(one: np.ndarray, two: np.ndarray) -> str:
    """Write two rows with as few digits as tell them apart."""
    for digits in (4, 8, 17):
        said = _shown(one, digits), _shown(two, digits)
        if said[0] != said[1]:
            break
    return f"{said[0]} and {said[1]}"


def _refuse_torn(once: pd.DataFrame, names: list[str], where: str) -> None:
    torn = once["article_id"].duplicated(keep=False)
    if torn.any():
        first = once.loc[torn, "article_id"].iloc[0]
        said = once.loc[once["article_id"] == first, names].to_numpy(dtype=float)[:2]
        raise DataError(
            f"{where}: article {first!r} stands there with different scores, {_differing(*said)} "
            f"({such(once.loc[torn, 'article_id'].nunique(), 'article')}). Keep those of one model in a file."
        )


def _refuse_earlier(parts: list[Table], stated: pd.Timestamp, where: str) -> None:
    """Hold the stated cutoff against what a parquet file tells of itself."""
    for part in parts:
        if part.format != "parquet":
            continue
        # Loaded by those who read such a file: it takes longer than a small one does.
        import pyarrow.parquet as pa_parquet

        with TableReader() as reader, damage_named(part), reader.opened(part) as opened:
            told = (pa_parquet.ParquetFile(opened.stream).schema_arrow.metadata or {}).get(CUTOFF_KEY)
        if told is None:
            continue
        known = json.loads(told)
        if known is not None and pd.Timestamp(known) > stated:
            raise LeakError(
                f"{where}: scores.knowledge_cutoff is {stated}, and the file says that the model which made it knows "
                f"until {known}. State that, or score with a model that ends sooner."
            )
