"""Scores that were made elsewhere, as a reader: it answers for the articles that a file lists, and for no text.

What the file knows nobody here can tell, so its knowledge cutoff is stated. It is calibrated on the validation part
like any other reader; an article of which it says nothing has no score, which is not the same as a neutral one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from embargo.data_loaders.archive.score_files import LOGITS, LoadedScores
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.fields import CLASSES
from embargo.models.content import json_hash
from embargo.models.scorer import Progress
from embargo.models.scorers.kind import Fit, FitRequest, ScorerKind

# A class that was given no probability at all is given this much, so that it has a logarithm.
LEAST = 1e-12


@dataclass(frozen=True)
class GivenSettings:
    """Scores of a file, and the latest instant that what made them could know (UTC), as somebody states.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.archive import LoadedScores
    >>> from embargo.models.scorers import GivenSettings
    >>> frame = pd.DataFrame({"bearish": [0.1], "neutral": [0.2], "bullish": [0.7]}, index=["a"])
    >>> GivenSettings(LoadedScores(frame, {}, "ab12"), pd.Timestamp("2019-12-31", tz="UTC")).scores.source
    'ab12'
    """

    scores: LoadedScores
    knowledge_cutoff: pd.Timestamp


class GivenScorer:
    """Logits by article: those of the file, or the logarithms of its probabilities.

    Parameters
    ----------
    settings : GivenSettings

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.archive import LoadedScores
    >>> from embargo.models.scorers import GivenScorer, GivenSettings
    >>> frame = pd.DataFrame({"bearish": [0.25], "neutral": [0.25], "bullish": [0.5]}, index=["a"])
    >>> until = pd.Timestamp("2019-12-31", tz="UTC")
    >>> scorer = GivenScorer(GivenSettings(LoadedScores(frame, {}, "ab12"), until))
    >>> scorer.logits_of(["a", "b"]).round(2).tolist()
    [[-1.39, -1.39, -0.69], [nan, nan, nan]]
    """

    def __init__(self, settings: GivenSettings) -> None:
        scores = settings.scores
        self.knowledge_cutoff: pd.Timestamp | None = settings.knowledge_cutoff
        self.identity = json_hash(
            {"kind": "scores", "source": scores.source, "knowledge_cutoff": settings.knowledge_cutoff.isoformat()}
        )
        self._places = pd.Index(scores.frame.index)
        if scores.has_logits:
            self._logits = scores.frame[list(LOGITS)].to_numpy(dtype=float)
        else:
            self._logits = np.log(np.maximum(scores.frame[list(CLASSES)].to_numpy(dtype=float), LEAST))

    def logits_of(self, article_ids: Sequence[str]) -> np.ndarray:
        """Return logits, float64 of shape (n, 3); rows of NaN for articles of which the file says nothing."""
        place = self._places.get_indexer(pd.Index([str(each) for each in article_ids]))
        found = np.full((len(place), len(CLASSES)), np.nan)
        found[place >= 0] = self._logits[place[place >= 0]]
        return found

    def logits(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Refuse to read: a file answers no question.

        Raises
        ------
        ConfigError
            Always.
        """
        raise ConfigError(
            "model.kind = 'scores': the file has scores of articles and reads no texts, so it cannot be asked about "
            f"{len(texts)} of them. Use a reader that can be asked, or leave this question out."
        )


def _fit(request: FitRequest) -> Fit:
    if not isinstance(request.settings, GivenSettings):
        raise ConfigError("model.kind = 'scores' needs scores. Give settings of GivenSettings.")
    scorer = GivenScorer(request.settings)
    scores = request.settings.scores
    return Fit(
        scorer,
        trained_on=(),
        read=(),
        cutoff_source="stated in model.scores.knowledge_cutoff",
        base_knowledge_cutoff=scorer.knowledge_cutoff,
        settings={"scores": "logits" if scores.has_logits else "probabilities", **scores.counts},
    )


SCORES = ScorerKind(fit=_fit, settings=GivenSettings)
