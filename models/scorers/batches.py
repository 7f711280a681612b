"""Run texts through a model in batches of one padded length each, whatever the model is written in.

A text's padding follows from the text alone, and a short batch can be filled up with copies of its own first row, so
that the shapes that a model sees, and with them its logits, do not depend on which other texts are scored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from embargo.data_loaders.schemas import CLASSES

if TYPE_CHECKING:
    from embargo.models.tuning.loop import Progress


def batched_logits(
    tokens: Sequence[Sequence[int]],
    forward: Callable[[Sequence[Sequence[int]], int], np.ndarray],
    *,
    token_budget: int,
    step: int,
    smallest: int | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Return the logits of bearish, neutral and bullish, float64 of shape (len(tokens), 3).

    Parameters
    ----------
    tokens : sequence of token ids, none of them empty
    forward : callable
        Takes some of these and the length to pad them to, and returns their logits, shape (rows, 3).
    token_budget : int
        Tokens, padding included, in a batch; one text where its length alone is more.
    step : int
        Texts are padded to the next multiple of it.
    smallest : int, optional
        Rows to which a shorter batch is filled up with copies of its first; by default as many as the budget allows,
        so that each padded length has one shape.
    progress : callable, optional
        Called with (texts done, texts in all).
    """
    result = np.empty((len(tokens), len(CLASSES)))
    buckets: dict[int, list[int]] = defaultdict(list)
    for row, ids in enumerate(tokens):
        buckets[-(-len(ids) // step) * step].append(row)
    done = 0
    for length in sorted(buckets):
        size = max(1, token_budget // length)
        for start in range(0, len(buckets[length]), size):
            rows = buckets[length][start : start + size]
            filled = rows + [rows[0]] * ((size if smallest is None else smallest) - len(rows))
            result[rows] = forward([tokens[row] for row in filled], length)[: len(rows)]
            done += len(rows)
            if progress is not None:
                progress(done, len(tokens))
    return result
