"""How alike texts are: BM25 over their words, or cosines of embeddings, with ties that never depend on chance.

An index is built once over texts that were known when training ended, and a text's likeness to them depends on that
text and the index alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import MissingPartError
from embargo.models.bases.resolve import resolve_base
from embargo.models.loading.embedding import Embedder

_WORD = re.compile(r"(?u)\w+")
# Likeness is compared to so many digits: what differs by rounding alone is a tie.
DIGITS = 6


def words_of(text: str) -> list[str]:
    """Return the words of a text, without case and signs."""
    return [str(word) for word in _WORD.findall(text.casefold())]


def same_words(text: str) -> str:
    """Return what two texts share that differ in case, blanks and signs alone."""
    return " ".join(words_of(text)) or text


class Likeness(Protocol):
    """Texts that others are compared with.

    Attributes
    ----------
    identity : mapping, JSON-able
        Beside the texts, what determines a score.
    knowledge_cutoff : Timestamp or None
        Latest instant that it could know beyond the texts; None if unknown.
    timeless : bool
        Whether it knows nothing beyond the texts.
    """

    identity: dict[str, Any]
    knowledge_cutoff: pd.Timestamp | None
    timeless: bool

    def scores(self, text: str) -> np.ndarray:
        """Return how like each of the texts is, shape (texts,); 0 or less is not at all."""
        ...


class WordLikeness:
    """BM25 as Lucene has it, with k1 = 1.5 and b = 0.75, over words without case.

    Parameters
    ----------
    texts : sequence of str

    Raises
    ------
    MissingPartError
        If bm25s is not installed.

    References
    ----------
    Robertson and Zaragoza (2009), "The Probabilistic Relevance Framework: BM25 and Beyond"; Lù (2024), "BM25S: Orders
    of magnitude faster lexical search via eager sparse scoring", arXiv 2407.03618.

    Examples
    --------
    >>> from embargo.models.prompting.likeness import WordLikeness
    >>> WordLikeness(["profit rose", "a new plant"]).scores("Profit fell.").round(2).tolist()
    [0.3, 0.0]
    """

    timeless = True

    def __init__(self, texts: Sequence[str]) -> None:
        try:
            import bm25s
        except ImportError as failure:
            raise MissingPartError(
                "BM25 needs the package bm25s. Run: pip install 'embargo-backtest[retrieval]', or set "
                "prompt.retrieve to 'embedding'."
            ) from failure
        self.identity: dict[str, Any] = {"likeness": "bm25", "bm25s": version("bm25s"), "numpy": version("numpy")}
        self.knowledge_cutoff: pd.Timestamp | None = None
        self._number = len(texts)
        words = [words_of(text) for text in texts]
        self._index = bm25s.BM25(backend="numpy") if any(words) else None
        if self._index is not None:
            self._index.index(words, show_progress=False)

    def scores(self, text: str) -> np.ndarray:
        """Return the BM25 score of each text for the words of another, shape (texts,); 0 shares none."""
        found = [] if self._index is None else self._index.get_tokens_ids(words_of(text))
        if self._index is None or not found:
            return np.zeros(self._number)
        return np.asarray(self._index.get_scores_from_ids(found), dtype=float).round(DIGITS)


class MeaningLikeness:
    """Cosine of mean-pooled embeddings.

    Parameters
    ----------
    texts : sequence of str
    encoder : str
        See `resolve_base`.

    Raises
    ------
    ConfigError, MissingPartError
        If there is no such encoder here, or it is a decoder.
    """

    timeless = False

    def __init__(self, texts: Sequence[str], encoder: str) -> None:
        base = resolve_base(encoder)
        self._embedder = Embedder(base)
        self.identity = {"likeness": "embedding", **self._embedder.identity}
        self.knowledge_cutoff = base.knowledge_cutoff
        self._vectors = self._embedder.embed(texts)

    def scores(self, text: str) -> np.ndarray:
        """Return the cosine of each text with another, shape (texts,)."""
        # Of one text at a time, so that the last digit does not depend on which others are asked.
        return np.asarray(self._vectors @ self._embedder.embed([text])[0]).round(DIGITS)


def best(scores: np.ndarray, number: int) -> np.ndarray:
    """Return the places of the highest scores, highest first; of equal ones the first.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models.prompting.likeness import best
    >>> best(np.array([1.0, 3.0, 2.0, 3.0, 2.0]), 3).tolist()
    [1, 3, 2]
    """
    if number >= len(scores):
        return np.argsort(-scores, kind="stable")
    least = np.partition(scores, len(scores) - number)[len(scores) - number]
    places = np.flatnonzero(scores >= least)
    return places[np.argsort(-scores[places], kind="stable")][:number]
