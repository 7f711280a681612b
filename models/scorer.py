"""What every scorer promises, and the words that choose how one is run and calibrated.

A scorer turns texts into logits and says what it could know. Anything that keeps to `Scorer` is cached, calibrated,
measured and audited alike, whatever it is written in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd

# What a tuned transformer is scored with; int8 moves probabilities, so it is never chosen unasked.
Runtime = Literal["torch", "onnx", "onnx-int8", "auto"]
CalibrationMethod = Literal["temperature", "vector", "isotonic"]

# Called with (done, in all).
Progress = Callable[[int, int], None]


class Scorer(Protocol):
    """Anything that turns texts into logits.

    Attributes
    ----------
    identity : str
        Changes whenever a logit could change.
    knowledge_cutoff : Timestamp or None
        Latest instant that anything in it could know, UTC; None if unknown.

    Examples
    --------
    >>> from embargo.models import LexiconScorer, Scorer
    >>> scorer: Scorer = LexiconScorer()
    >>> scorer.logits(["Profit was strong.", "A lawsuit over losses."]).round(2).tolist()
    [[0.0, 0.35, 0.69], [0.69, 0.35, 0.0]]
    """

    identity: str
    knowledge_cutoff: pd.Timestamp | None

    def logits(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return logits of bearish, neutral and bullish, float64 of shape (len(texts), 3)."""
        ...


@runtime_checkable
class ByArticle(Protocol):
    """A scorer whose answers are kept by article: two articles of one text may have two, and new texts have none."""

    def logits_of(self, article_ids: Sequence[str]) -> np.ndarray:
        """Return logits of bearish, neutral and bullish, float64 of shape (n, 3); rows of NaN where it has none."""
        ...


@runtime_checkable
class Paid(Protocol):
    """A scorer whose answers are paid for one by one, so that none is asked for without need.

    Attributes
    ----------
    overhead : tuple of str
        Hashes of what it was asked beside any text.
    """

    overhead: tuple[str, ...]

    @property
    def asked(self) -> str:
        """Name of all that can change an answer of the same server."""
        ...

    def asked_again(self, texts: Sequence[str], *, ask: bool = True) -> np.ndarray:
        """Return what it says of texts when it is asked once more, NaN where it is not; see `Scorer.logits`."""
        ...

    def stated_errors(self, texts: Sequence[str], kept: np.ndarray) -> np.ndarray:
        """Return how far what was kept of texts lies from what `asked_again` said, and how far it may by itself.

        Parameters
        ----------
        texts : sequence of str
        kept : ndarray of shape (n, 3)
            Logits.

        Returns
        -------
        ndarray of shape (n, 8)
            Distance of the class shares, and its standard error where the same model is asked twice; how often each
            class was drawn the first time, and the second. NaN where the reader states none, because it says the same
            each time but for rounding.
        """
        ...

    def account(self, text_hashes: Sequence[str]) -> dict[str, Any]:
        """Return what asking of some texts took, JSON-able."""
        ...


def later_cutoff(first: pd.Timestamp | None, second: pd.Timestamp | str | None) -> pd.Timestamp | None:
    """Return the later of two knowledge cutoffs, or None where either is unknown."""
    if first is None or second is None:
        return None
    return max(first, pd.Timestamp(second))
