"""Score articles: each distinct text once, from the cache where it was scored before, calibrated at the end.

The cache holds raw logits, so a new temperature costs nothing. Nothing is dropped: the counts say where each score
came from. A stream of articles takes the memory of one of its frames, however long it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.schemas import validate_scores
from embargo.data_loaders.threads import one_thread
from embargo.models.calibration.fitting import Calibration
from embargo.models.content import json_hash, text_hash
from embargo.models.scorer import ByArticle, Progress, Scorer
from embargo.models.scorers.cache import LOOKUP_CHUNK, ScoreCache

# Carries out blocks of texts for a scorer, somewhere, and calls back with number and logits of each, in any order.
Spread = Callable[[Scorer, Sequence[Sequence[str]], Callable[[int, np.ndarray], None]], None]
# Scores are stored after this many texts, so that a kill costs at most one block.
BLOCK = 4096


@dataclass(frozen=True)
class ScoredArticles:
    """Scores and where they came from.

    Attributes
    ----------
    scores : DataFrame
        One row per article in order of first appearance; see ``schemas.validate_scores``.
    n_articles, n_distinct_texts : int
        Distinct articles and distinct texts among them.
    n_cached, n_scored : int
        Distinct texts taken from the cache and scored now; they sum to ``n_distinct_texts``.
    n_unscored : int
        Articles that have no score, whose probabilities are NaN: only of scorers that answer by article.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.models import Calibration, LexiconScorer, score_articles
    >>> articles = pd.DataFrame({"article_id": ["a", "b"], "text": ["Losses.", "Losses."]})
    >>> found = score_articles(LexiconScorer(), Calibration(), articles)
    >>> found.n_articles, found.n_distinct_texts
    (2, 1)
    """

    scores: pd.DataFrame
    n_articles: int
    n_distinct_texts: int
    n_cached: int
    n_scored: int
    n_unscored: int = 0


def model_id(scorer: Scorer, calibration: Calibration) -> str:
    """Return a short name for a scorer with its calibration: the same name means the same probabilities.

    Parameters
    ----------
    scorer : Scorer
    calibration : Calibration

    Returns
    -------
    str
        Sixteen hexadecimal digits.

    Examples
    --------
    >>> from embargo.models import Calibration, LexiconScorer
    >>> from embargo.models.scorers import model_id
    >>> plain, soft = (model_id(LexiconScorer(), Calibration(temperature)) for temperature in (1.0, 2.0))
    >>> len(plain), plain == soft
    (16, False)
    """
    parameters = calibration.to_dict()
    # Temperature is named by its value alone: the names that runs have written stay true.
    if parameters["method"] == "temperature":
        del parameters["method"]
    else:
        parameters = {"calibration": parameters}
    return json_hash({"scorer": scorer.identity, **parameters})[:16]


@dataclass(frozen=True)
class Logits:
    """Logits of texts, float64 of shape (texts, 3), and how many distinct texts were cached and scored.

    Rows of NaN belong to articles of which a scorer that answers by article has no score.

    Examples
    --------
    >>> from embargo.models import LexiconScorer
    >>> from embargo.models.scorers import cached_logits
    >>> found = cached_logits(LexiconScorer(), ["Profit fell.", "Profit fell.", "Losses."])
    >>> found.logits.shape, found.n_scored
    ((3, 3), 2)
    """

    logits: np.ndarray
    n_cached: int
    n_scored: int


@one_thread()
def cached_logits(
    scorer: Scorer,
    texts: Sequence[str],
    *,
    articles: Sequence[str] | None = None,
    cache: ScoreCache | None = None,
    progress: Progress | None = None,
    spread: Spread | None = None,
) -> Logits:
    """Return the logits of texts, scoring each distinct text that the cache does not hold once.

    Parameters
    ----------
    scorer : Scorer
    texts : sequence of str
    articles : sequence of str, optional
        Which article each text is of, for scorers that answer by article; those are not cached.
    cache : ScoreCache, optional
        What is scored is written to it block by block, so that a run that was killed goes on where it stopped.
    progress : callable, optional
        Called with (distinct texts done, distinct texts in all).
    spread : callable, optional
        Carries out the blocks, where there are several; by default they are scored here, one after the other.

    Returns
    -------
    Logits

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from embargo.models import LexiconScorer, ScoreCache
    >>> from embargo.models.scorers import cached_logits
    >>> with tempfile.TemporaryDirectory() as folder, ScoreCache(Path(folder) / "scores") as cache:
    ...     first = cached_logits(LexiconScorer(), ["Strong profit.", "Losses."], cache=cache)
    ...     second = cached_logits(LexiconScorer(), ["Losses.", "A lawsuit."], cache=cache)
    >>> first.n_scored, second.n_cached, second.n_scored
    (2, 1, 1)
    """
    if articles is not None and isinstance(scorer, ByArticle):
        return Logits(scorer.logits_of(articles), 0, len(set(texts)))
    hashes = [text_hash(text) for text in texts]
    distinct = dict(zip(hashes, texts, strict=True))
    names = list(distinct)
    row_of = dict(zip(names, range(len(names)), strict=True))
    known, logits = np.zeros(len(names), dtype=bool), np.full((len(names), len(CLASSES)), np.nan)
    if cache is not None:
        known, logits = cache.find(scorer.identity, names)
    n_cached = n_known = int(known.sum())
    # Sorted by length, so that each block fills its batches.
    missing = sorted((names[row] for row in np.flatnonzero(~known)), key=lambda name: (len(distinct[name]), name))
    blocks = [missing[start : start + BLOCK] for start in range(0, len(missing), BLOCK)]

    def report(done: int, _total: int = 0) -> None:
        if progress is not None:
            progress(n_known + done, len(distinct))

    def keep(number: int, found: np.ndarray) -> None:
        nonlocal n_known
        if cache is not None:
            cache.keep(scorer.identity, blocks[number], found)
        logits[[row_of[name] for name in blocks[number]]] = found
        n_known += len(blocks[number])
        report(0)

    if spread is not None and len(blocks) > 1:
        spread(scorer, [[distinct[name] for name in block] for block in blocks], keep)
    else:
        for number, block in enumerate(blocks):
            keep(number, scorer.logits([distinct[name] for name in block], report))
    if progress is not None:
        progress(len(distinct), len(distinct))
    if len(names) < len(hashes):
        logits = logits[[row_of[name] for name in hashes]]
    return Logits(logits, n_cached, len(missing))


def score_articles(
    scorer: Scorer,
    calibration: Calibration,
    articles: pd.DataFrame,
    *,
    cache: ScoreCache | None = None,
    progress: Progress | None = None,
    spread: Spread | None = None,
) -> ScoredArticles:
    """Score articles.

    Parameters
    ----------
    scorer : Scorer
    calibration : Calibration
    articles : DataFrame
        Columns ``article_id`` and ``text``. An article may occur several times (once per symbol) with the same text.
    cache : ScoreCache, optional
    progress : callable, optional
        Called with (distinct texts done, distinct texts in all).
    spread : callable, optional
        See `cached_logits`.

    Returns
    -------
    ScoredArticles

    Raises
    ------
    DataError
        If a text is blank, one ``article_id`` has two texts, or a score is no number.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.models import Calibration, LexiconScorer, score_articles
    >>> articles = pd.DataFrame({"article_id": ["a", "b"], "text": ["Profit was strong.", "A lawsuit."]})
    >>> found = score_articles(LexiconScorer(), Calibration(), articles)
    >>> print(found.scores[["article_id", "bearish", "neutral", "bullish"]].round(3).to_string(index=False))
    article_id  bearish  neutral  bullish
             a    0.227    0.320    0.453
             b    0.293    0.414    0.293
    """
    return _scored(scorer, calibration, _distinct(articles), cache, progress, spread)


def score_stream(
    scorer: Scorer,
    calibration: Calibration,
    frames: Iterable[pd.DataFrame],
    *,
    cache: ScoreCache,
    progress: Progress | None = None,
    spread: Spread | None = None,
) -> Iterator[ScoredArticles]:
    """Score any number of articles frame by frame, in the memory of one frame.

    The scores of all frames, one below the other, are those that `score_articles` gives for all articles at once.

    Parameters
    ----------
    scorer : Scorer
    calibration : Calibration
    frames : iterable of DataFrame
        Each with columns ``article_id`` and ``text``; taken one at a time. Some thousand rows fill the batches.
    cache : ScoreCache
        Where a text that comes again in a later frame is found. After a kill, stream the same frames again: what had
        been scored costs no more than a look-up.
    progress : callable, optional
        Called with (texts done, texts read so far), counted frame by frame.
    spread : callable, optional
        See `cached_logits`; of use where a frame has several blocks of 4,096 texts.

    Yields
    ------
    ScoredArticles
        One for each frame, as soon as it is scored, with the articles that no earlier frame had; there may be none.

    Raises
    ------
    DataError
        If a text is blank, or one ``article_id`` has two texts, in whichever frames: what came earlier waits in a
        temporary file, of about 150 bytes an article.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from embargo.models import Calibration, LexiconScorer, ScoreCache, score_stream
    >>> frames = [pd.DataFrame({"article_id": [name], "text": ["A lawsuit."]}) for name in ("a", "b")]
    >>> with tempfile.TemporaryDirectory() as folder, ScoreCache(Path(folder) / "scores") as cache:
    ...     parts = list(score_stream(LexiconScorer(), Calibration(), frames, cache=cache))
    >>> [(part.n_articles, part.n_scored, part.n_cached) for part in parts]
    [(1, 1, 0), (1, 0, 1)]
    """
    before = 0
    with closing(_Seen()) as seen:
        for frame in frames:
            wanted = seen.first(_distinct(frame))

            def report(done: int, total: int, before: int = before) -> None:
                if progress is not None:
                    progress(before + done, before + total)

            found = _scored(scorer, calibration, wanted, cache, report, spread)
            before += found.n_distinct_texts
            yield found


class _Seen:
    """Which article came with which text, on disk: SQLite keeps 2 MB of a temporary file in memory."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute("PRAGMA temp_store=FILE")
        self._connection.execute("CREATE TABLE seen (article_id TEXT PRIMARY KEY, text_hash BLOB) WITHOUT ROWID")

    def first(self, wanted: pd.DataFrame) -> pd.DataFrame:
        """Return the articles that were not there yet, and remember them."""
        ids = wanted["article_id"].astype(str).tolist()
        hashes = [bytes.fromhex(text_hash(text)) for text in wanted["text"]]
        known: dict[str, bytes] = {}
        for start in range(0, len(ids), LOOKUP_CHUNK):
            chunk = ids[start : start + LOOKUP_CHUNK]
            marks = ",".join("?" * len(chunk))
            known.update(
                self._connection.execute(
                    f"SELECT article_id, text_hash FROM seen WHERE article_id IN ({marks})",  # noqa: S608
                    chunk,
                )
            )
        changed = [name for name, found in zip(ids, hashes, strict=True) if known.get(name, found) != found]
        if changed:
            raise _two_texts(changed[0], len(changed))
        fresh = [name not in known for name in ids]
        self._connection.execute("BEGIN")
        self._connection.executemany(
            "INSERT INTO seen VALUES (?, ?)",
            (pair for pair, new in zip(zip(ids, hashes, strict=True), fresh, strict=True) if new),
        )
        self._connection.execute("COMMIT")
        return wanted.loc[fresh].reset_index(drop=True)

    def close(self) -> None:
        self._connection.close()


def _distinct(articles: pd.DataFrame) -> pd.DataFrame:
    wanted = articles[["article_id", "text"]].drop_duplicates(ignore_index=True)
    repeated = wanted["article_id"].duplicated()
    if repeated.any():
        raise _two_texts(wanted.loc[repeated, "article_id"].iloc[0], int(repeated.sum()))
    blank = np.array([not (isinstance(text, str) and text.strip()) for text in wanted["text"].tolist()], dtype=bool)
    if blank.any():
        raise DataError(
            f"scoring: {int(blank.sum())} articles have no text, first {wanted.loc[blank, 'article_id'].iloc[0]!r}. "
            "Filter them out first."
        )
    return wanted


def _two_texts(article_id: object, n: int) -> DataError:
    return DataError(
        f"scoring: article {article_id!r} has more than one text ({n} such articles). Give each revision its own "
        "article_id."
    )


def _scored(
    scorer: Scorer,
    calibration: Calibration,
    wanted: pd.DataFrame,
    cache: ScoreCache | None,
    progress: Progress | None,
    spread: Spread | None,
) -> ScoredArticles:
    ids = wanted["article_id"].astype(str)
    found = cached_logits(
        scorer, wanted["text"].tolist(), articles=ids.tolist(), cache=cache, progress=progress, spread=spread
    )
    unscored = np.isnan(found.logits).any(axis=1)
    probabilities = np.full(found.logits.shape, np.nan)
    probabilities[~unscored] = calibration.apply(found.logits[~unscored])
    scores = pd.DataFrame(probabilities, columns=list(CLASSES))
    scores.insert(0, "article_id", ids)
    scores["confidence"] = probabilities.max(axis=1) if len(scores) else pd.Series(dtype=float)
    scores["model_id"] = model_id(scorer, calibration)
    scores = scores.astype({"model_id": str})
    # Only who answers by article may have no answer.
    missing = unscored if isinstance(scorer, ByArticle) else np.zeros(len(scores), dtype=bool)
    checked = validate_scores(scores.loc[~missing])
    scores = pd.concat([checked, scores.loc[missing]]).sort_index() if missing.any() else checked
    return ScoredArticles(
        scores=scores,
        n_articles=len(scores),
        n_distinct_texts=found.n_cached + found.n_scored,
        n_cached=found.n_cached,
        n_scored=found.n_scored,
        n_unscored=int(unscored.sum()),
    )
