"""Guess by the classes alone: the same probabilities for every text, those with which the training part's classes came.

It reads no text. Whatever a reader of news is worth, it is worth beyond this.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from embargo.data_loaders.fields import CLASSES
from embargo.models.content import json_hash
from embargo.models.record import samples_read
from embargo.models.samples import check_labels
from embargo.models.scorer import Progress
from embargo.models.scorers.kind import Fit, FitRequest, ScorerKind


class MajorityScorer:
    """The shares of the classes among training labels as logits, whatever the text says.

    Parameters
    ----------
    counts : sequence of int, shape (3,)
        Training samples of each class; one more of each is counted, so that no class is impossible (Laplace's rule of
        succession).
    knowledge_cutoff : Timestamp or None
        Latest instant at which any of the labels was known, UTC.

    Examples
    --------
    >>> from embargo.models.scorers import MajorityScorer
    >>> scorer = MajorityScorer([1, 7, 3], None)
    >>> scorer.logits(["Losses.", "Profit was strong."]).argmax(axis=1).tolist()
    [1, 1]
    """

    def __init__(self, counts: Sequence[int], knowledge_cutoff: pd.Timestamp | None) -> None:
        smoothed = np.asarray(counts, dtype=float) + 1.0
        self._logits = np.log(smoothed / smoothed.sum())
        self.knowledge_cutoff = knowledge_cutoff
        self.identity = json_hash({"kind": "majority", "counts": [int(count) for count in counts], "formula": 1})

    def logits(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return the logits of bearish, neutral and bullish, float64 of shape (len(texts), 3)."""
        if progress is not None:
            progress(len(texts), len(texts))
        return np.tile(self._logits, (len(texts), 1))


def _fit(request: FitRequest) -> Fit:
    labels = check_labels(request.train_texts, request.train_labels, what="training samples")
    counts = np.bincount(labels, minlength=len(CLASSES))
    return Fit(
        MajorityScorer(counts.tolist(), request.trained_until),
        trained_on=request.train_texts,
        read=samples_read("optimiser", request.train_texts, labels),
        cutoff_source="the classes of the training samples alone",
    )


MAJORITY = ScorerKind(fit=_fit)
