"""Labelled text sets in the formats in which they are published, read into samples.

Financial PhraseBank, FiQA 2018 task 1, SemEval-2017 task 5, the Twitter financial news set, and any table of text and
label. Scores are cut into classes by a rule that is stated, sentences whose targets disagree are dropped and counted,
and an undated set must say by when its labels were known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from embargo.data_loaders.archive.dialect import PLAIN, Dialect
from embargo.data_loaders.archive.files import FORMATS, Table, TableReader, damage_named, passed_over, tables_of
from embargo.data_loaders.archive.tables import columns_of, numbers_of, read_table
from embargo.data_loaders.archive.times import instants_of
from embargo.data_loaders.checks.repeats import text_keys
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.labels import Labelled, encode, settle
from embargo.data_loaders.schemas import as_utc

LabelFormat = Literal["auto", "phrasebank", "fiqa", "semeval", "twitter", "table", "scores"]

# The sets define no classes. FinGPT's benchmark cuts FiQA's scores here, negative below -0.1 and positive from 0.1 on
# (Yang, Liu and Wang 2023, "FinGPT: Open-Source Financial Large Language Models"; its benchmarks/fiqa.py).
THRESHOLD = 0.1
AGREEMENTS = {50: "50", 66: "66", 75: "75", 100: "all"}
_TWITTER = {"0": "bearish", "1": "bullish", "2": "neutral"}
_FILES = FORMATS | {".txt": "lines"}
_AGREEMENT_NAME = re.compile(r"sentences_(50|66|75|all)agree", re.IGNORECASE)


@dataclass(frozen=True)
class _Raw:
    """Texts with a label each, or a score each, and what was set aside on the way."""

    frame: pd.DataFrame
    counts: dict[str, int]


def _lines(part: Table, encoding: str) -> list[str]:
    with TableReader() as reader, damage_named(part), reader.opened(part) as opened:
        return opened.stream.read().decode(encoding).replace("\r\n", "\n").split("\n")


def _phrasebank(parts: list[Table], agreement: int | None, where: str) -> _Raw:
    """Read lines ``sentence@label`` in ISO-8859-1.

    The published folder holds four files, each containing the next: sentences on whose label at least 50, 66, 75 or
    all of 100 annotators agreed. Reading more than one would count sentences up to four times.
    """
    levels = {part: match.group(1).lower() for part in parts if (match := _AGREEMENT_NAME.search(str(part)))}
    if agreement is not None:
        wanted = AGREEMENTS.get(agreement)
        if wanted is None:
            raise ConfigError(f"{where}: agreement = {agreement!r} is unknown. Use one of {sorted(AGREEMENTS)}.")
        parts = [part for part, level in levels.items() if level == wanted]
        if not parts:
            raise DataError(f"{where}: no file of agreement {agreement}; there are {sorted(levels.values())}.")
    if len(parts) > 1:
        raise ConfigError(
            f"{where}: {len(parts)} files, {sorted(Path(str(part)).name for part in parts)}. Name one, or choose with "
            f"agreement = {sorted(AGREEMENTS)}."
        )
    rows = []
    for number, line in enumerate(_lines(parts[0], parts[0].dialect.encoding or "latin-1"), start=1):
        if not line.strip():
            continue
        sentence, mark, name = line.rpartition("@")
        if not mark or not sentence.strip():
            raise DataError(f"{parts[0]}, line {number}: expected 'sentence@label', found {line[:60]!r}.")
        rows.append((sentence.strip(), name.strip()))
    return _Raw(pd.DataFrame(rows, columns=["text", "label"], dtype="str"), {"rows": len(rows)})


def _document(part: Table) -> Any:
    with TableReader() as reader, damage_named(part), reader.opened(part) as opened:
        try:
            return json.loads(opened.stream.read().decode(part.dialect.decoding))
        except UnicodeError:
            raise
        except (ValueError, RecursionError) as failure:
            raise DataError(f"{part}: not JSON ({failure}). Fetch it again.") from failure


def _scored(rows: Iterable[tuple[object, object, object]], part: Table, counts: dict[str, int]) -> pd.DataFrame:
    """Collect (place, text, score) and read the scores, which the sets write as texts or numbers."""
    frame = pd.DataFrame(rows, columns=["place", "text", "score"]).set_index("place")
    blank = frame["text"].isna() | (frame["text"].astype("str").str.strip() == "")
    counts["rows"] = counts.get("rows", 0) + len(frame)
    counts["without_text"] = counts.get("without_text", 0) + int(blank.sum())
    frame = frame.loc[~blank].astype({"text": "str"})
    score = numbers_of(frame["score"], where=f"{part}, score", dialect=part.dialect)
    odd = ~score.between(-1.0, 1.0)
    if odd.any():
        place = odd.index[int(odd.to_numpy().argmax())]
        raise DataError(f"{part}, entry {place}: score {frame['score'].loc[place]!r} is outside [-1, 1].")
    return frame.assign(text=frame["text"].str.strip(), score=score).reset_index(drop=True)


def _fiqa(parts: list[Table], _: int | None, where: str) -> _Raw:
    """Read FiQA 2018 task 1, headlines or posts: an object of entries with a sentence and a score per target."""
    counts: dict[str, int] = {}
    frames = []
    for part in parts:
        content = _document(part)
        if not _is_fiqa(content):
            raise DataError(f"{part}: expected an object of entries with 'sentence' and 'info'. Choose another format.")
        rows = []
        for name, entry in content.items():
            for target in entry["info"]:
                if "sentiment_score" not in target:
                    raise DataError(f"{part}, entry {name}: a target without 'sentiment_score'. Test files carry none.")
                rows.append((name, entry["sentence"], target["sentiment_score"]))
        frames.append(_scored(rows, part, counts))
    return _Raw(pd.concat(frames, ignore_index=True), counts)


def _semeval(parts: list[Table], _: int | None, where: str) -> _Raw:
    """Read SemEval-2017 task 5: headlines (title, company, sentiment) or microblogs (spans, cashtag, sentiment score).

    The microblogs come without their text, which Twitter's terms forbid to share: the annotated spans stand in for it,
    unless a ``text`` was added.
    """
    counts: dict[str, int] = {}
    frames = []
    for part in parts:
        content = _document(part)
        if not _is_semeval(content):
            raise DataError(
                f"{part}: expected a list of entries with 'title' and 'sentiment', or with 'spans' and 'sentiment "
                "score'. Choose another format."
            )
        rows = []
        for number, entry in enumerate(content, start=1):
            score = entry.get("sentiment score", entry.get("sentiment"))
            if score is None:
                raise DataError(f"{part}, entry {number}: no score. Test files carry none.")
            spans = entry.get("spans", "")
            joined = " ".join(str(span).strip() for span in spans) if isinstance(spans, list) else str(spans)
            rows.append((number, entry.get("title") or entry.get("text") or joined, score))
        frames.append(_scored(rows, part, counts))
    return _Raw(pd.concat(frames, ignore_index=True), counts)


def _twitter(parts: list[Table], _: int | None, where: str) -> _Raw:
    """Read the Twitter financial news set: columns ``text`` and ``label`` with 0 bearish, 1 bullish, 2 neutral."""
    frame, counts = read_table(parts, ["text", "label"], {})
    label = frame["label"].astype("str").str.strip().str.replace(r"\.0$", "", regex=True)
    odd = ~label.isin(list(_TWITTER))
    if odd.any():
        row = int(odd.to_numpy().argmax())
        raise DataError(
            f"{where}: label {frame['label'].iloc[row]!r} at row {row + 1} is none of {sorted(_TWITTER)}. "
            "Choose format = 'table' for other labels."
        )
    return _Raw(frame.assign(label=label.map(_TWITTER)), counts)


_READERS: dict[str, Callable[[list[Table], int | None, str], _Raw]] = {
    "phrasebank": _phrasebank,
    "fiqa": _fiqa,
    "semeval": _semeval,
    "twitter": _twitter,
}


def _is_fiqa(content: Any) -> bool:
    if not isinstance(content, dict) or not content:
        return False
    return all(
        isinstance(entry, dict)
        and "sentence" in entry
        and isinstance(entry.get("info"), list)
        and all(isinstance(target, dict) for target in entry["info"])
        for entry in content.values()
    )


def _is_semeval(content: Any) -> bool:
    if not isinstance(content, list) or not content:
        return False
    return all(
        isinstance(entry, dict) and ({"title", "sentiment"} <= set(entry) or "spans" in entry) for entry in content
    )


def _is_table(part: Table, *names: str) -> bool:
    """Tell whether a JSON file reads as objects that all hold these names."""
    try:
        return set(names) <= set(columns_of(part))
    except DataError:
        return False


def _recognised(parts: list[Table], text: str, label: str, mapping: object, where: str) -> str:
    """Tell the format where nothing else could be meant."""
    match parts[0].format:
        case "lines":
            return "phrasebank"
        case "json":
            content = None if _is_table(parts[0], text, label) else _document(parts[0])
            for name, fits in (("fiqa", _is_fiqa), ("semeval", _is_semeval)):
                if fits(content):
                    return name
            if content is not None:
                raise DataError(
                    f"{where}: this JSON is of no known set. Choose format = 'fiqa' or 'semeval', or write a list of "
                    f"objects with {text!r} and {label!r}."
                )
    present = columns_of(parts[0])
    if mapping is None and {text, label} <= set(present):
        frame, _ = read_table(parts, [label], {})
        names = set(frame[label].dropna().astype("str").str.strip().str.replace(r"\.0$", "", regex=True))
        if names and all(name.lstrip("-").isdigit() for name in names):
            raise ConfigError(
                f"{where}: the labels are the numbers {sorted(names)[:5]}, and sets number their classes differently. "
                "Choose format = 'twitter' (0 bearish, 1 bullish, 2 neutral), or say it with 'mapping'."
            )
        if names and all(re.fullmatch(r"-?[01]?\.?\d*(?:[eE]-\d+)?", name) for name in names):
            raise ConfigError(
                f"{where}: the labels are scores such as {sorted(names)[0]}. Choose format = 'scores', which cuts them "
                "into classes at the threshold."
            )
    return "table"


def cut_scores(scores: pd.Series, threshold: float) -> pd.Series:
    """Name the classes of scores in [-1, 1]: bearish below ``-threshold``, bullish from ``threshold`` on.

    Raises
    ------
    ConfigError
        If the threshold does not lie between 0 and 1.
    """
    if not 0.0 < threshold < 1.0:
        raise ConfigError(f"threshold must lie between 0 and 1, got {threshold}.")
    classes = pd.Series("neutral", index=scores.index, dtype="str")
    return classes.mask(scores < -threshold, "bearish").mask(scores >= threshold, "bullish")


def _one_sample_per_text(frame: pd.DataFrame, counts: dict[str, int]) -> pd.DataFrame:
    """Keep one row per sentence; drop those whose targets fall into different classes."""
    classes = frame.groupby("text")["label"].transform("nunique")
    torn = classes > 1
    counts["conflicting_targets"] = int(frame.loc[torn, "text"].nunique())
    kept = frame.loc[~torn]
    once = ~kept.duplicated("text")
    counts["further_targets"] = int((~once).sum())
    counts["rows_with_conflicting_targets"] = int(torn.sum())
    return kept.loc[once].reset_index(drop=True)


def _check_dates(knowledge_cutoff: pd.Timestamp | None, published_at: str | None, name: str, where: str) -> None:
    if (knowledge_cutoff is None) == (published_at is None):
        raise ConfigError(
            f"{where}: give either knowledge_cutoff (an undated set) or published_at (a dated one). Without "
            "it nobody can tell what a model trained on the set may be tested on."
        )
    if published_at is not None and name != "table":
        raise ConfigError(f"{where}: the format {name!r} carries no dates. Give knowledge_cutoff instead.")
    if knowledge_cutoff is not None and knowledge_cutoff.tzinfo is None:
        raise ConfigError(f"{where}: knowledge_cutoff {knowledge_cutoff} has no time zone. Write it in UTC.")


def read_label_set(
    path: str | Path,
    *,
    format: LabelFormat = "auto",  # noqa: A002 - the field's word for it
    agreement: int | None = None,
    threshold: float = THRESHOLD,
    text: str = "text",
    label: str = "label",
    mapping: Mapping[str, str] | None = None,
    filters: Mapping[str, Any] | None = None,
    knowledge_cutoff: pd.Timestamp | None = None,
    published_at: str | None = None,
    dialect: Dialect = PLAIN,
) -> Labelled:
    """Read a labelled text set in the format in which it is published.

    Parameters
    ----------
    path : str or Path
        A file, a folder or a zip of files of one format.
    format : {"auto", "phrasebank", "fiqa", "semeval", "twitter", "table", "scores"}
        ``"phrasebank"``: lines ``sentence@label`` in ISO-8859-1 (.txt). ``"fiqa"``: FiQA 2018 task 1, headlines or
        posts (.json). ``"semeval"``: SemEval-2017 task 5, either subtask (.json). ``"twitter"``: the Twitter financial
        news set (``text, label`` with 0 bearish, 1 bullish, 2 neutral). ``"table"``: parquet, CSV or JSONL with a
        column of texts and one of labels; ``"scores"``: one of scores from -1 to 1 in their place. ``"auto"`` tells
        them apart where nothing else could be meant, and asks otherwise.
    agreement : {50, 66, 75, 100}, optional
        Which of the PhraseBank's files to read, in percent of annotators; needed where several lie together.
    threshold : float
        Cuts scores, such as those of FiQA: bearish below ``-threshold``, bullish from ``threshold`` on, else neutral.
    text, label : str
        Columns of the sentence and its label in a ``"table"``, or its score in ``"scores"``.
    mapping : mapping, optional
        Source label to class, such as ``{"positive": "bullish"}``, for ``"phrasebank"`` and ``"table"``.
    filters : mapping, optional
        As in ``archive.read_news``, for a ``"table"`` or ``"scores"``.
    knowledge_cutoff : Timestamp, optional
        Timezone-aware instant by which all labels of an undated set were known; becomes ``known_at``, ``starts_at``
        and ``ends_at`` of every sample. Required unless ``published_at`` is given.
    published_at : str, optional
        Column of timezone-aware publication instants of a dated ``"table"``.
    dialect : Dialect
        Delimiter, encoding and header of the files, where they are not those of the format. A table without a header
        has the columns ``"1"``, ``"2"`` and so on.

    Returns
    -------
    Labelled
        Samples whose ``article_id`` is ``label-`` and the hash of the normalised text. Counts: ``rows`` (sentences, or
        sentences and targets), ``filtered:<column>``, ``unlabelled``, ``conflicting_texts``, ``repeated_articles`` (the
        repeated texts) and ``samples`` as ``labels.samples_from_news``; for scores also ``without_text``,
        ``conflicting_targets`` (sentences whose targets fall into different classes: dropped, with
        ``rows_with_conflicting_targets``) and ``further_targets`` (rows that agree with an earlier one).

    Raises
    ------
    ConfigError
        If the format cannot be told, a setting does not belong to it, or neither or both of ``knowledge_cutoff`` and
        ``published_at`` are given, or the cutoff is naive.
    DataError
        If a file is not of its format, a column is missing, a text is blank, a label unknown or a timestamp naive.
    MissingPartError
        If there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from embargo.data_loaders.archive import read_label_set
    >>> table = pd.DataFrame({"text": ["Profit rose", "Profit fell"], "label": ["positive", "negative"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table.to_csv(f"{folder}/labels.csv", index=False)
    ...     samples = read_label_set(f"{folder}/labels.csv", knowledge_cutoff=pd.Timestamp("2014-01-01", tz="UTC"))
    >>> samples.frame["label"].tolist()
    [2, 0]
    """
    where = f"labels {Path(path).name}"
    if format not in get_args(LabelFormat):
        raise ConfigError(f"{where}: format {format!r} is unknown. Use one of {list(get_args(LabelFormat))}.")
    parts = tables_of(path, _FILES, dialect)
    name = _recognised(parts, text, label, mapping, where) if format == "auto" else format
    _check_dates(knowledge_cutoff, published_at, name, where)
    if agreement is not None and name != "phrasebank":
        raise ConfigError(
            f"{where}: agreement belongs to the PhraseBank, not to {name!r}. Leave it out, or use filters."
        )
    if mapping is not None and name not in ("phrasebank", "table"):
        raise ConfigError(f"{where}: the classes of {name!r} are fixed. Leave 'mapping' out, or choose 'table'.")
    if filters and name not in ("table", "scores"):
        raise ConfigError(f"{where}: a {name!r} set has no columns to filter by, got {sorted(filters)}.")
    if name in ("table", "scores"):
        wanted = [column for column in (text, label, published_at) if column is not None]
        frame, counts = read_table(parts, wanted, filters or {})
        raw = _Raw(frame.rename(columns={text: "text", label: "label"}), counts)
        if name == "scores":
            aside: dict[str, int] = {}
            rows = zip(frame.index + 1, frame[text], frame[label], strict=True)
            raw = _Raw(_scored(rows, parts[0], aside), counts | {"without_text": aside["without_text"]})
    else:
        raw = _READERS[name](parts, agreement, where)
    counts = raw.counts | passed_over(path)
    frame = raw.frame
    if "score" in frame:
        frame = _one_sample_per_text(frame.assign(label=cut_scores(frame["score"], threshold)), counts)
    return _samples(frame, counts, mapping, knowledge_cutoff, published_at, where)


def _samples(
    raw: pd.DataFrame,
    counts: dict[str, int],
    mapping: Mapping[str, str] | None,
    knowledge_cutoff: pd.Timestamp | None,
    published_at: str | None,
    where: str,
) -> Labelled:
    blank = raw["text"].isna() | (raw["text"].astype("str").str.strip() == "")
    if blank.any():
        raise DataError(f"{where}: {int(blank.sum())} texts are blank, first at row {blank.idxmax()!r}.")
    raw = raw.assign(text=raw["text"].map(str).astype("str"))
    if knowledge_cutoff is not None:
        known_at = pd.Series(knowledge_cutoff.tz_convert("UTC"), index=raw.index)
    else:
        known_at = instants_of(raw[published_at], None, counts, where=f"{where}, column {published_at!r}")
    known_at = as_utc(known_at, what=f"{where}, column {published_at or 'knowledge_cutoff'}")
    frame = pd.DataFrame(
        {
            "article_id": "label-" + text_keys(raw["text"]),
            "text": raw["text"],
            "label": encode(raw["label"], mapping, where=f"{where}, labels"),
            "known_at": known_at,
            "starts_at": known_at,
            "ends_at": known_at,
        }
    )
    return settle(frame, counts)
