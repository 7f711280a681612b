"""Score an archive of news of any size in bounded memory, and write the scores as one parquet file.

Each distinct text is scored once; what was scored before comes from the cache, so that a scoring that was killed goes
on where it stopped. The file exists whole or not at all.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from embargo.data_loaders.archive.score_files import CUTOFF_KEY, LOGITS
from embargo.data_loaders.archive.streams import BATCH_ROWS
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.bundles.bundle import ModelReader
from embargo.models.scorer import Progress
from embargo.models.scorers.cache import ScoreCache
from embargo.models.scorers.score import ScoredArticles, cached_logits, score_articles, score_stream
from embargo.research.engine.blocks import spread_over
from embargo.research.engine.choice import Auto
from embargo.research.engine.keepers import Engine, Serial

# Sixteen blocks of texts: what is held at once where one process scores, or a few.
FRAME_ROWS = 65_536
COLUMNS = ("article_id", "symbol", "known_at", *CLASSES, "confidence", "model_id", *LOGITS)
_SCHEMA = pa.schema(
    [
        ("article_id", pa.string()),
        ("symbol", pa.string()),
        ("known_at", pa.timestamp("us", tz="UTC")),
        *((name, pa.float64()) for name in (*CLASSES, "confidence")),
        ("model_id", pa.string()),
        *((name, pa.float64()) for name in LOGITS),
    ]
)


@dataclass(frozen=True)
class ScoredNews:
    """What became of an archive.

    Attributes
    ----------
    path : Path
        Parquet with one row per article and symbol: ``article_id, symbol, known_at, bearish, neutral, bullish,
        confidence, model_id``, and as ``bearish_logit, neutral_logit, bullish_logit`` what the model said before its
        calibration, in the archive's order. Its metadata tell the model's knowledge cutoff.
    n_rows, n_articles : int
        Rows written, and distinct articles among them.
    n_scored, n_cached : int
        Texts scored now, and texts that an earlier call or an earlier part of the archive had scored.
    n_known_before : int or None
        Rows known by the model's knowledge cutoff; None where that is unknown.
    """

    path: Path
    n_rows: int
    n_articles: int
    n_scored: int
    n_cached: int
    n_known_before: int | None


def score_news(
    reader: ModelReader,
    news: Iterable[pd.DataFrame],
    out: Path,
    *,
    cache: ScoreCache,
    progress: Progress | None = None,
    engine: Engine | None = None,
) -> ScoredNews:
    """Score news and write the scores.

    Parameters
    ----------
    reader : ModelReader
    news : iterable of DataFrame
        As `embargo.data_loaders.archive.news.stream_news` yields them.
    out : Path
        Parquet file; replaced in one step when all is scored.
    cache : ScoreCache
    progress : callable, optional
        Called with (texts done, texts read so far).
    engine : Engine, optional
        Where blocks of texts are scored; by default here.

    Raises
    ------
    DataError
        If there is no article, or one ``article_id`` has two texts.
    """
    waiting: deque[pd.DataFrame] = deque()
    # A frame is over before the next begins: where many score, it is all that was read at once.
    size = FRAME_ROWS if engine is None or isinstance(engine, Serial | Auto) else BATCH_ROWS

    def frames() -> Iterator[pd.DataFrame]:
        for batch in news:
            for start in range(0, len(batch), size):
                frame = batch.iloc[start : start + size]
                waiting.append(frame)
                yield frame[["article_id", "text"]]

    rows = articles = scored = cached = before = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{out.name}-", dir=out.parent)
    os.close(handle)
    draft = Path(name)
    try:
        cutoff = None if reader.knowledge_cutoff is None else reader.knowledge_cutoff.isoformat()
        schema = _SCHEMA.with_metadata({CUTOFF_KEY: json.dumps(cutoff).encode()})
        with pq.ParquetWriter(draft, schema) as writer:
            given = reader.scorer, reader.calibration, frames()
            for found in score_stream(*given, cache=cache, progress=progress, spread=spread_over(engine)):
                frame = waiting.popleft()
                table = _with_scores(reader, frame, found, cache)
                writer.write_table(pa.Table.from_pandas(table, schema=schema, preserve_index=False))
                rows += len(table)
                articles += found.n_articles
                scored += found.n_scored
                cached += found.n_cached
                if reader.knowledge_cutoff is not None:
                    before += int((table["known_at"] <= reader.knowledge_cutoff).sum())
        if not rows:
            raise DataError("news: no article to score is left after filters and columns. Check --filter and --map.")
        draft.chmod(0o644)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    return ScoredNews(
        path=out,
        n_rows=rows,
        n_articles=articles,
        n_scored=scored,
        n_cached=cached,
        n_known_before=None if reader.knowledge_cutoff is None else before,
    )


def _with_scores(reader: ModelReader, frame: pd.DataFrame, found: ScoredArticles, cache: ScoreCache) -> pd.DataFrame:
    scores = found.scores
    # An article of an earlier frame may stand here again under another symbol.
    again = frame.loc[~frame["article_id"].isin(scores["article_id"]), ["article_id", "text"]]
    if len(again):
        more = score_articles(reader.scorer, reader.calibration, again, cache=cache)
        scores = pd.concat([scores, more.scores], ignore_index=True)
    # Just scored, so that the cache holds them.
    texts = frame.drop_duplicates("article_id")
    logits = cached_logits(reader.scorer, texts["text"].tolist(), cache=cache).logits
    said = pd.DataFrame(logits, columns=list(LOGITS)).assign(article_id=texts["article_id"].to_numpy())
    scores = scores.merge(said, on="article_id", how="left", validate="1:1")
    return frame[["article_id", "symbol", "known_at"]].merge(scores, on="article_id", how="left", validate="m:1")[
        list(COLUMNS)
    ]
