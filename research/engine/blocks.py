"""Blocks of texts as tasks: scored wherever there is room, and kept by the driver."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.scorer import Scorer
from embargo.models.scorers.linear import LinearScorer
from embargo.models.scorers.onnx import OnnxScorer
from embargo.models.scorers.score import Spread
from embargo.models.scorers.transformer import TransformerScorer
from embargo.research.engine.keepers import Engine, Serial

# Of these the logits of a text are its own, whatever is scored beside it, and another process can open them.
_SENT = (LinearScorer, OnnxScorer, TransformerScorer)


def spread_over(engine: Engine | None) -> Spread | None:
    """Return what carries out blocks of texts on an engine; None where they are scored here anyway.

    Parameters
    ----------
    engine : Engine or None

    Examples
    --------
    >>> from embargo.research.engine.blocks import spread_over
    >>> from embargo.research.engine.keepers import Serial
    >>> spread_over(Serial()) is None
    True
    """
    if engine is None or isinstance(engine, Serial):
        return None

    def spread(scorer: Scorer, blocks: Sequence[Sequence[str]], keep: Callable[[int, np.ndarray], None]) -> None:
        where = engine if isinstance(scorer, _SENT) else Serial()
        where.map(_logits, blocks, scorer, done=keep)

    return spread


def _logits(scorer: Scorer, texts: Sequence[str]) -> np.ndarray:
    found = np.asarray(scorer.logits(texts), dtype=float)
    if found.shape != (len(texts), len(CLASSES)):
        raise DataError(f"scorer {scorer.identity[:12]}: logits of shape {found.shape} for {len(texts)} texts.")
    return found
