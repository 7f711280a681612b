"""How likely a causal model takes each of a few answers behind many prompts, with what the prompts share computed once.

The keys and values of the shared tokens are computed once and lent to every batch. A prompt's own tokens are padded on
the right, where no token of a causal model sees them, in one shape for each padded length, so that a likelihood depends
on the prompt alone. One pass over a prompt gives all answers of one token, and longer ones go on from it.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.threads import one_thread
from embargo.models.loading.batches import LENGTH_STEP, batched_logits
from embargo.models.loading.load import device, pad
from embargo.models.scorer import Progress

if TYPE_CHECKING:
    import torch

# Tokens of a batch, those of the shared beginning not counted, and bytes of keys and values that are lent to one.
TOKEN_BUDGETS, LENT = {"cpu": 192, "cuda": 4096}, {"cpu": 2**30, "cuda": 4 * 2**30}
# Settings under which architectures say how far back a token sees, where that is not all the way.
_WINDOWS = ("sliding_window", "window_size", "attention_chunk_size")


@dataclass(frozen=True)
class Answers:
    """The tokens of each answer behind a prompt.

    Attributes
    ----------
    tokens : tuple of tuple of int
        Of each answer, none empty.
    healed : int
        Tokens at the end of a prompt that a tokenizer joins with the answer: they belong to the answers.
    """

    tokens: tuple[tuple[int, ...], ...]
    healed: int = 0

    @classmethod
    def behind(cls, prompts: Sequence[str], answers: Sequence[str], tokenizer: Any) -> Answers:
        """Find out which tokens stand for answers behind prompts.

        Parameters
        ----------
        prompts : sequence of str
            Several, whose articles end in different ways.
        answers : sequence of str
            With the blank before them, where there is one.
        tokenizer : PreTrainedTokenizerBase

        Raises
        ------
        ConfigError
            If the tokens depend on the prompt, are the same for two answers, or are unknown to the tokenizer.
        """
        found = {_behind(prompt, answers, tokenizer) for prompt in prompts}
        if len(found) > 1:
            raise ConfigError(
                "prompt.template: the tokenizer joins the answer with the article. Put fixed signs between them, such "
                "as a line 'Tone:'."
            )
        answered = found.pop()
        unknown = tokenizer.unk_token_id
        for answer, tokens in zip(answers, answered.tokens, strict=True):
            if not tokens or (unknown is not None and unknown in tokens):
                raise ConfigError(
                    f"prompt.template: the tokenizer has no tokens for the answer {answer!r}. Choose other labels."
                )
        if len(set(answered.tokens)) < len(answers):
            raise ConfigError(
                f"prompt.template: the tokenizer gives answers of {list(answers)} the same tokens. Choose other labels."
            )
        return answered

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each answer, shape (answers,)."""
        return np.array([len(tokens) for tokens in self.tokens])


def token_ids(texts: Sequence[str], tokenizer: Any) -> list[list[int]]:
    """Return the tokens of texts as a model reads them from the start, without what a tokenizer puts at their end."""
    plain = {"return_attention_mask": False, "add_special_tokens": False, "verbose": False}
    alone = list(tokenizer("a b", **plain)["input_ids"])
    whole = list(tokenizer("a b", return_attention_mask=False)["input_ids"])
    starts = [at for at in range(len(whole)) if whole[at : at + len(alone)] == alone]
    head = whole[: starts[0]] if starts else []
    return [[*head, *ids] for ids in tokenizer(list(texts), **plain)["input_ids"]]


def common_start(rows: Sequence[Sequence[int]]) -> list[int]:
    """Return the tokens that all rows begin with."""
    shortest = min(rows, key=len)
    for at, token in enumerate(shortest):
        if any(row[at] != token for row in rows):
            return list(shortest[:at])
    return list(shortest)


def _behind(prompt: str, answers: Sequence[str], tokenizer: Any) -> Answers:
    alone, *answered = token_ids([prompt, *(prompt + answer for answer in answers)], tokenizer)
    kept = len(common_start([alone, *answered]))
    return Answers(tuple(tuple(ids[kept:]) for ids in answered), len(alone) - kept)


class Reader:
    """A causal model that says how likely answers are, behind prompts that begin alike.

    Parameters
    ----------
    model : PreTrainedModel
        Causal, in eval mode on `device()`.
    answers : Answers
    shared : sequence of int
        Tokens that prompts begin with; none to share nothing.
    pad_id : int
        Any token.
    token_budget : int, optional
        Tokens in a batch, padding included.
    """

    def __init__(
        self,
        model: Any,
        answers: Answers,
        shared: Sequence[int] = (),
        *,
        pad_id: int = 0,
        token_budget: int | None = None,
    ) -> None:
        self._model, self._answers, self._pad_id = model, answers, pad_id
        self._takes_positions = "position_ids" in inspect.signature(model.forward).parameters
        self._shared = len(shared)
        self._lent = _start(model, shared) if len(shared) else None
        where = device().type
        self._budget = TOKEN_BUDGETS[where] if token_budget is None else token_budget
        if self._lent is not None:
            one = sum(_bytes(layer.keys) + _bytes(layer.values) for layer in self._lent.layers if layer.is_initialized)
            # As many rows as the shortest batch may have are lent the whole beginning each.
            self._budget = max(LENGTH_STEP, min(self._budget, LENT[where] // max(one, 1) * LENGTH_STEP))

    def log_likelihoods(self, rows: Sequence[Sequence[int]], progress: Progress | None = None) -> np.ndarray:
        """Return the log-likelihood (nats) of each answer behind each prompt, float64 of shape (len(rows), 3).

        Parameters
        ----------
        rows : sequence of sequences of int
            What follows the shared tokens in each prompt; none empty.
        progress : callable, optional
            Called with (prompts done, prompts in all).

        Raises
        ------
        DataError
            If a likelihood is not finite.
        """
        import torch

        with torch.inference_mode(), one_thread():
            return batched_logits(rows, self._forward, token_budget=self._budget, progress=progress)

    def _forward(self, rows: Sequence[Sequence[int]], length: int) -> np.ndarray:
        import torch

        ids, mask = (each.to(device()) for each in pad(rows, self._pad_id, length))
        longer = [tokens for tokens in self._answers.tokens if len(tokens) > 1]
        cache = None if self._lent is None else _forked(self._lent, len(rows))
        options: dict[str, Any] = {} if cache is None else {"past_key_values": cache}
        last = mask.sum(dim=1, keepdim=True) - 1
        output = self._model(input_ids=ids, use_cache=bool(longer) or cache is not None, logits_to_keep=last, **options)
        first = torch.log_softmax(output.logits[:, 0].double(), dim=-1)
        found = first[:, [tokens[0] for tokens in self._answers.tokens]]
        for answer, tokens in enumerate(self._answers.tokens):
            if len(tokens) > 1:
                found[:, answer] += self._rest(rows, ids, mask, tokens, output.past_key_values)
        return np.asarray(found.cpu().numpy())

    def _rest(
        self,
        rows: Sequence[Sequence[int]],
        ids: torch.Tensor,
        mask: torch.Tensor,
        answer: tuple[int, ...],
        cache: Any,
    ) -> torch.Tensor:
        """Return the log-likelihood of the tokens of an answer behind its first, shape (rows,)."""
        import torch

        before, length, more = self._shared, ids.shape[1], len(answer) - 1
        said = torch.tensor(answer[:-1], device=ids.device).expand(len(rows), more)
        if self._sees_all(before + length + more):
            lengths = mask.sum(dim=1, keepdim=True)
            seen = torch.cat([mask.new_ones(len(rows), before), mask, mask.new_ones(len(rows), more)], dim=1)
            options: dict[str, Any] = {"attention_mask": seen, "past_key_values": _forked(cache, len(rows))}
            if self._takes_positions:
                options["position_ids"] = before + lengths + torch.arange(more, device=ids.device)
            logits = self._model(input_ids=said, use_cache=True, **options).logits
        else:
            # How far back a token sees is counted in places, of which padding takes some: prompt and answer go through
            # once more, with the padding behind both.
            ids, _ = (
                each.to(device()) for each in pad([[*row, *answer[:-1]] for row in rows], self._pad_id, length + more)
            )
            places = mask.sum(dim=1, keepdim=True) + torch.arange(more, device=ids.device)
            options = {} if self._lent is None else {"past_key_values": _forked(self._lent, len(rows))}
            logits = self._model(input_ids=ids, use_cache=bool(options), logits_to_keep=places, **options).logits
        wanted = torch.tensor(answer[1:], device=ids.device).expand(len(rows), more)[:, :, None]
        return torch.log_softmax(logits.double(), dim=-1).gather(2, wanted)[:, :, 0].sum(dim=1)

    def _sees_all(self, length: int) -> bool:
        """Return whether every token sees all before it in a row of that length."""
        config = self._model.config.get_text_config()
        windows = [window for name in _WINDOWS if (window := getattr(config, name, None)) is not None]
        return all(length <= int(window) for window in windows)


def _start(model: Any, shared: Sequence[int]) -> Any:
    """Return the keys and values of the tokens that prompts begin with, of one row."""
    import torch

    ids = torch.tensor([list(shared)], device=device())
    with torch.inference_mode(), one_thread():
        return model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values


def _forked(cache: Any, rows: int) -> Any:
    """Return keys and values for so many rows that grow by themselves, and leave those they come from as they are."""
    # A layer that grows puts a longer tensor in place of its own, and never writes into it.
    forked = copy.copy(cache)
    forked.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in forked.layers:
        if layer.is_initialized and layer.keys.shape[0] != rows:
            layer.keys = layer.keys.expand(rows, -1, -1, -1)
            layer.values = layer.values.expand(rows, -1, -1, -1)
    return forked


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()
