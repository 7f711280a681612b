"""How a scorer reads a text, as one number: how far it leans to bullish or to bearish."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embargo.models.calibration.fitting import Calibration
from embargo.models.scorer import Scorer
from embargo.models.scorers.score import cached_logits


def tilts(scorer: Scorer, texts: Sequence[str], *, calibration: Calibration | None = None) -> np.ndarray:
    """Return bullish less bearish probability of each text.

    Parameters
    ----------
    scorer : Scorer
    texts : sequence of str
    calibration : Calibration, optional
        Without one, the scorer's own probabilities.

    Returns
    -------
    ndarray, float64 of shape (len(texts),)
        In [-1, 1].

    Examples
    --------
    >>> from embargo.models import LexiconScorer
    >>> from embargo.models.probes import tilts
    >>> tilts(LexiconScorer(), ["Profit was strong.", "A call."]).round(2).tolist()
    [0.23, 0.0]
    """
    probabilities = (calibration or Calibration()).apply(_logits(scorer, texts))
    return np.asarray(probabilities[:, 2] - probabilities[:, 0])


def log_odds(scorer: Scorer, texts: Sequence[str]) -> np.ndarray:
    """Return the log-odds of bullish against bearish of each text, which do not saturate as probabilities do.

    Parameters
    ----------
    scorer : Scorer
    texts : sequence of str

    Returns
    -------
    ndarray, float64 of shape (len(texts),)

    Examples
    --------
    >>> from embargo.models import LexiconScorer
    >>> from embargo.models.probes import log_odds
    >>> log_odds(LexiconScorer(), ["Profit was strong.", "A call."]).round(2).tolist()
    [0.69, 0.0]
    """
    logits = _logits(scorer, texts)
    return np.asarray(logits[:, 2] - logits[:, 0])


def _logits(scorer: Scorer, texts: Sequence[str]) -> np.ndarray:
    return cached_logits(scorer, list(texts)).logits if len(texts) else np.zeros((0, 3))
