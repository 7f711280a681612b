"""Texts in batches of one padded length each, whatever the model is written in.

A text's padding follows from the text alone, and a short batch can be filled up with copies of its own first row, so
that the shapes that a model sees, and with them its logits, do not depend on which other texts are scored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.scorer import Progress

# Texts are padded to a multiple of this.
LENGTH_STEP = 8
# Texts that a tokenizer is given at once.
CHUNK = 4096


def padded_length(tokens: int, step: int = LENGTH_STEP) -> int:
    """Return the length to which a text of that many tokens is padded: the next multiple of ``step``."""
    return -(-tokens // step) * step


def padded(rows: Sequence[Sequence[int]], pad_id: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (input_ids, attention_mask), both int64 of shape (len(rows), length), padded on the right."""
    ids = np.full((len(rows), length), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), length), dtype=np.int64)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return ids, mask


def tokens_of(texts: Sequence[str], tokenize: Callable[[list[str]], list[list[int]]]) -> list[list[int]]:
    """Return the token ids of each text, tokenized some thousand texts at a time.

    Raises
    ------
    DataError
        If a text has no token.
    """
    ids: list[list[int]] = []
    for start in range(0, len(texts), CHUNK):
        ids.extend(tokenize(list(texts[start : start + CHUNK])))
    for position, tokens in enumerate(ids):
        if not tokens:
            raise DataError(f"text {position} ({texts[position]!r}) has no token. Filter out blank texts first.")
    return ids


def batches(
    lengths: Sequence[int], *, token_budget: int, step: int = LENGTH_STEP
) -> Iterator[tuple[list[int], int, int]]:
    """Yield (rows, padded length, rows that a full batch has): texts of one padded length together, short ones first.

    Parameters
    ----------
    lengths : sequence of int, none of them 0
        Tokens of each text.
    token_budget : int
        Tokens, padding included, in a batch; one text where its length alone is more.
    step : int
        Texts are padded to the next multiple of it.
    """
    buckets: dict[int, list[int]] = defaultdict(list)
    for row, tokens in enumerate(lengths):
        buckets[padded_length(tokens, step)].append(row)
    for length in sorted(buckets):
        size = max(1, token_budget // length)
        for start in range(0, len(buckets[length]), size):
            yield buckets[length][start : start + size], length, size


def batched_logits(
    tokens: Sequence[Sequence[int]],
    forward: Callable[[Sequence[Sequence[int]], int], np.ndarray],
    *,
    token_budget: int,
    step: int = LENGTH_STEP,
    smallest: int | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Return the logits of bearish, neutral and bullish, float64 of shape (len(tokens), 3).

    Parameters
    ----------
    tokens : sequence of token ids, none of them empty
    forward : callable
        Takes some of these and the length to pad them to, and returns their logits, shape (rows, 3).
    token_budget, step
        See `batches`.
    smallest : int, optional
        Rows to which a shorter batch is filled up with copies of its first; by default as many as the budget allows,
        so that each padded length has one shape.
    progress : callable, optional
        Called with (texts done, texts in all).

    Raises
    ------
    DataError
        If a logit is not finite.
    """
    result = np.empty((len(tokens), len(CLASSES)))
    done = 0
    for rows, length, size in batches([len(ids) for ids in tokens], token_budget=token_budget, step=step):
        filled = rows + [rows[0]] * ((size if smallest is None else smallest) - len(rows))
        result[rows] = forward([tokens[row] for row in filled], length)[: len(rows)]
        done += len(rows)
        if progress is not None:
            progress(done, len(tokens))
    return refuse_strange(result)


def refuse_strange(logits: np.ndarray) -> np.ndarray:
    """Return logits as they are.

    Raises
    ------
    DataError
        If one is not finite.
    """
    strange = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(strange):
        raise DataError(
            f"the model gives no numbers for {len(strange):,} of {len(logits):,} texts, first text {strange[0]}. Its "
            "weights are damaged, or too large for its arithmetic: fetch or tune it anew, or score in fp32."
        )
    return logits
