"""Exchanges as tokens: what the model reads, what it must answer, and where the one ends and the other begins.

Prompt and answer are tokenized apart, so that no token reaches over the border and a model is trained on the very
tokens that it is given when it answers. What a text says is never taken for a special token. How much of an article
is shown does not depend on its answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embargo.data_loaders.errors import ConfigError
from embargo.models.instruct.exchanges import Exchange, row_weights
from embargo.models.loading.load import readable_length

# Of the labels of tokens that are not part of an answer, as torch's cross-entropy knows it.
IGNORED = -100
# Tokens that have to be left for a prompt.
LEAST_PROMPT = 16
_GAPS = re.compile(r"\s+")


@dataclass(frozen=True)
class EncodedAnswers:
    """Exchanges as token ids, one after the other.

    Attributes
    ----------
    tokens : list of list of int
        Prompt and answer of each.
    starts : ndarray of int, shape (n,)
        How many of them are the prompt's.
    weights : ndarray of float, shape (n,)
        How much each counts.
    before : list of tuple of (int, int), optional
        Where answers stand within each prompt that are learnt too, those of its examples: first token and the one
        behind the last.
    """

    tokens: list[list[int]]
    starts: np.ndarray
    weights: np.ndarray
    before: list[tuple[tuple[int, int], ...]] | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def answers(self, row: int) -> list[tuple[int, int]]:
        """Return where answers stand among the tokens of one: first token and the one behind the last."""
        within = [] if self.before is None else list(self.before[row])
        return [*within, (int(self.starts[row]), len(self.tokens[row]))]


@dataclass(frozen=True)
class Room:
    """How many tokens there are for a prompt, and for an answer without the token that ends it."""

    prompt: int
    answer: int


def room_of(tokenizer: Any, max_length: int, max_answer: int) -> Room:
    """Return the room for prompts and answers.

    Raises
    ------
    ConfigError
        If the answer leaves none for the prompt.
    """
    prompt = readable_length(tokenizer, max_length) - max_answer - 1
    if prompt < LEAST_PROMPT:
        raise ConfigError(
            f"model.max_length: {readable_length(tokenizer, max_length)} tokens, of which an answer may take "
            f"{max_answer} (max_answer), leave no room for a prompt. Raise it, or lower max_answer."
        )
    return Room(prompt, max_answer)


def prompt_tokens(tokenizer: Any, exchange: Exchange, room: Room) -> list[int] | None:
    """Return the tokens of a prompt, its text cut between two words where it is too long.

    None where what has to be read for the answer is cut off, or no word of the text is left.
    """
    whole = _tokens(tokenizer, exchange.prompt, opened=True)
    if len(whole) <= room.prompt:
        return whole
    text = exchange.text
    gaps = [match.span() for match in _GAPS.finditer(text)]
    # Ends of what is kept, or its beginnings; from the shortest that is kept to the longest.
    places = [start for start, _ in gaps] if exchange.cut == "end" else [end for _, end in reversed(gaps)]
    low, high, found = 0, len(places), None
    while low < high:
        middle = (low + high) // 2
        kept = text[: places[middle]] if exchange.cut == "end" else text[places[middle] :]
        ids = _tokens(tokenizer, exchange.before + kept + exchange.after, opened=True)
        if len(ids) <= room.prompt:
            low, found = middle + 1, (ids, len(kept))
        else:
            high = middle
    if found is None or (exchange.cut == "end" and found[1] < exchange.needs):
        return None
    return found[0]


def answer_tokens(tokenizer: Any, answer: str, room: Room) -> list[int]:
    """Return the tokens of an answer and the one that ends it, which an answer that is cut has not."""
    ids = _tokens(tokenizer, f" {answer}", opened=False)
    return ids[: room.answer] if len(ids) > room.answer else [*ids, int(tokenizer.eos_token_id)]


def _tokens(tokenizer: Any, text: str, *, opened: bool) -> list[int]:
    encoded = tokenizer(text, add_special_tokens=opened, split_special_tokens=True, return_attention_mask=False)
    ids = [int(one) for one in encoded["input_ids"]]
    # Some tokenizers end every text; the answer is yet to come.
    while opened and ids and ids[-1] == tokenizer.eos_token_id:
        ids.pop()
    return ids


def encode_exchanges(
    tokenizer: Any, made: Sequence[Exchange], weights: Mapping[str, float], room: Room
) -> tuple[EncodedAnswers, list[int], dict[str, int]]:
    """Return exchanges as tokens, which of them these are, and how many were left out by reason.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizer
    made : sequence of Exchange
    weights : mapping of str to float
        Of the tasks; see `embargo.models.instruct.row_weights`, which counts what was not left out.
    room : Room

    Returns
    -------
    (encoded, rows, counts)
    """
    tokens, starts, rows = [], [], []
    counts: Counter[str] = Counter()
    for row, exchange in enumerate(made):
        prompt = prompt_tokens(tokenizer, exchange, room)
        if prompt is None:
            counts["answer_beyond_the_cut"] += 1
            continue
        answer = answer_tokens(tokenizer, exchange.answer, room)
        tokens.append(prompt + answer)
        starts.append(len(prompt))
        rows.append(row)
    kept = np.array(row_weights([made[row] for row in rows], weights), dtype=float)
    return EncodedAnswers(tokens, np.array(starts, dtype=np.int64), kept), rows, dict(counts)


def answer_labels(encoded: EncodedAnswers, rows: Sequence[int] | np.ndarray, length: int) -> np.ndarray:
    """Return what each place must predict, int64 of shape (len(rows), length): the next token if it is the answer's.

    Everything else is `IGNORED`. The last token of a prompt predicts the first one of the answer.
    """
    labels = np.full((len(rows), length), IGNORED, dtype=np.int64)
    for line, row in enumerate(rows):
        tokens = encoded.tokens[row]
        for start, end in encoded.answers(int(row)):
            labels[line, start - 1 : end - 1] = tokens[start:end]
    return labels
