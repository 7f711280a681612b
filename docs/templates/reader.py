"""A naive Bayes reader of words: a template for readers of your own.

A reader is fitted on one fold's training part and then asked for logits, text by text. It is run with ``model.kind =
"reader:READER"`` and ``--allow reader:READER`` from the folder that holds it, and calibrated, cached and audited like
those of the product. What it needs to be told stands in ``model.settings``.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError
from embargo.models.record import samples_read
from embargo.models.scorers import Fit, FitRequest, ScorerKind

_WORD = re.compile(r"[a-z]+")
_CLASSES = 3


@dataclass(frozen=True)
class BayesSettings:
    """What ``model.settings`` may say.

    Attributes
    ----------
    smoothing : float
        Added to the count of every word in every class, above 0.
    """

    smoothing: float = 1.0

    def __post_init__(self) -> None:
        if not self.smoothing > 0.0:
            raise ConfigError(f"model.settings: smoothing = {self.smoothing} must be above 0.")


class BayesScorer:
    """Logits of bearish, neutral and bullish: the log prior of a class, and the log likelihood of each word in it.

    Attributes
    ----------
    identity : str
        Names everything that a logit depends on. Where two scorers may answer otherwise, it must be another one.
    knowledge_cutoff : Timestamp or None
        Latest instant that anything in it could know: here that of the samples, for there is nothing else in it.
    """

    def __init__(self, prior: np.ndarray, words: dict[str, np.ndarray], until: pd.Timestamp | None) -> None:
        self._prior, self._words = prior, words
        learnt = repr([prior.tolist(), sorted((word, values.tolist()) for word, values in words.items())])
        self.identity = f"naive Bayes {hashlib.sha256(learnt.encode()).hexdigest()}"
        self.knowledge_cutoff = until

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Return logits, shape (len(texts), 3); a text of unknown words has the prior's."""
        found = np.tile(self._prior, (len(texts), 1))
        for row, text in enumerate(texts):
            for word in _WORD.findall(text.lower()):
                found[row] += self._words.get(word, 0.0)
        return found


def fit_bayes(request: FitRequest) -> Fit:
    """Count the words of the training part.

    Parameters
    ----------
    request : FitRequest
        The samples of one fold, and the settings.

    Returns
    -------
    Fit
        With every sample that was read, so that the audit can hold it against time.

    Examples
    --------
    >>> from pathlib import Path
    >>> until = pd.Timestamp("2016-01-01", tz="UTC")
    >>> texts, labels = ["sales rose", "sales fell", "sales"], [2, 0, 1]
    >>> fit = fit_bayes(FitRequest(texts, labels, [], [], until, BayesSettings(), Path("cache")))
    >>> fit.scorer.logits(["it rose", "it fell"]).argmax(axis=1).tolist()
    [2, 0]
    """
    settings = request.settings if isinstance(request.settings, BayesSettings) else BayesSettings()
    counts = [Counter[str]() for _ in range(_CLASSES)]
    for text, label in zip(request.train_texts, request.train_labels, strict=True):
        counts[label].update(_WORD.findall(text.lower()))
    known = sorted(set().union(*counts))
    table = np.array([[count[word] for count in counts] for word in known], dtype=float).reshape(-1, _CLASSES)
    likelihood = np.log((table + settings.smoothing) / (table + settings.smoothing).sum(axis=0))
    shares = np.bincount(request.train_labels, minlength=_CLASSES) + settings.smoothing
    scorer = BayesScorer(
        np.log(shares / shares.sum()), dict(zip(known, likelihood, strict=True)), request.trained_until
    )
    return Fit(
        scorer,
        trained_on=request.train_texts,
        read=samples_read("optimiser", request.train_texts, request.train_labels),
        cutoff_source="counted on the training samples alone",
        # Nothing was there before the fit; a reader with pretrained weights states until when these know.
        base_knowledge_cutoff=request.trained_until,
        settings={"smoothing": settings.smoothing, "words": len(known)},
    )


READER = ScorerKind(fit=fit_bayes, settings=BayesSettings)
