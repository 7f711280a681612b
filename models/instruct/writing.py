"""What a decoder answers: greedy, bounded, one prompt at a time, and how likely it holds the answer that is expected.

A prompt's answer and likelihood depend on the prompt and the model alone, never on what else is asked beside it, and a
new process gives them again to the bit. With an adapter the model has it written into the weights that the tuning
multiplied with; without one it is the base in these same weights, so that the two differ by nothing but the adapter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.threads import one_thread
from embargo.models.bases.folders import understood
from embargo.models.bases.resolve import Base
from embargo.models.content import json_hash, read_manifest
from embargo.models.evaluation.refusals import OpeningLikelihoods, causal_likelihoods
from embargo.models.instruct.encoding import IGNORED, Room, answer_labels, encode_exchanges, room_of
from embargo.models.instruct.exchanges import Exchange
from embargo.models.instruct.training import is_instruct
from embargo.models.loading.attach import attach
from embargo.models.loading.batches import batches
from embargo.models.loading.causal import load_causal
from embargo.models.loading.devices import device_type
from embargo.models.loading.load import dequantise, deterministic, device, load_tokenizer, pad, quiet
from embargo.models.methods.cards import METHODS
from embargo.models.methods.settings import Arithmetic
from embargo.models.scorer import Progress, later_cutoff
from embargo.models.tuning.adapters import Adapter

# Tokens, padding included, that likelihoods are computed of at once.
TOKEN_BUDGET = 1024


class AnswerModel:
    """A decoder that answers, tuned or as it was before.

    Parameters
    ----------
    base : Base
    adapter : Adapter
        Tuned to answer, on this base.
    tuned : bool
        False for the base alone, in the weights that the adapter was tuned on.

    Attributes
    ----------
    identity : str
        sha256 over everything that determines a word.
    knowledge_cutoff : Timestamp or None
        Latest instant that anything in it could know, UTC; None if unknown.

    Raises
    ------
    ConfigError
        If the adapter was tuned on another base, or to classify.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models import Adapter, Base
    >>> from embargo.models.instruct import AnswerModel
    >>> base = Base("mine", "/models/mine", "decoder", None, "not documented", weights_hash="ab12")
    >>> tuned_on = {"base": {"name": "mine", "weights_hash": "ab12"}, "settings": {"method": "lora"}}
    >>> AnswerModel(base, Adapter(Path("cache/adapters/adapter-1f"), "9c0e", tuned_on, ()))
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: cache/adapters/adapter-1f: was tuned to classify, not to answer.
    """

    def __init__(self, base: Base, adapter: Adapter, *, tuned: bool = True) -> None:
        if not is_instruct(adapter):
            raise ConfigError(f"{adapter.path}: was tuned to classify, not to answer.")
        tuned_on = adapter.manifest["base"]
        if tuned_on["weights_hash"] != base.weights_hash:
            raise ConfigError(
                f"{adapter.path}: tuned on base {tuned_on['name']!r} (weights {tuned_on['weights_hash'][:12]}), not on "
                f"{base.name!r} (weights {base.weights_hash[:12]}). Give the base it was tuned on, or tune anew."
            )
        self.base, self.adapter, self.tuned = base, adapter, tuned
        self._settings = adapter.manifest["settings"]
        self._loaded: tuple[Any, Any] | None = None
        until = adapter.manifest["trained_until"]
        self.knowledge_cutoff = later_cutoff(base.knowledge_cutoff, until) if tuned else base.knowledge_cutoff
        self.identity = json_hash(
            {
                "kind": "answers",
                "base": base.weights_hash,
                "adapter": adapter.identity if tuned else None,
                **{name: self._settings[name] for name in ("method", "compute", "max_length", "max_answer")},
                "device": device_type(),
            }
        )

    def answers(self, asked: Sequence[Exchange], progress: Progress | None = None) -> list[str | None]:
        """Return what the model writes after each prompt; None where its text would be cut before the answer.

        At each step the likeliest token is taken, until the one that ends a text, a line break where one line is
        expected, or the longest answer that was tuned.

        Parameters
        ----------
        asked : sequence of Exchange
        progress : callable, optional
            Called with (prompts done, prompts in all).
        """
        tokenizer, model = self._model()
        room = self._room(tokenizer)
        encoded, rows, _ = encode_exchanges(tokenizer, asked, _even(asked), room)
        written: list[str | None] = [None] * len(asked)
        for done, row in enumerate(rows, start=1):
            prompt = encoded.tokens[done - 1][: int(encoded.starts[done - 1])]
            one_line = asked[row].task != "completion"
            written[row] = greedy_answer(model, tokenizer, prompt, most=room.answer, one_line=one_line)
            if progress is not None:
                progress(done, len(rows))
        return written

    def losses(self, asked: Sequence[Exchange]) -> np.ndarray:
        """Return the mean cross-entropy of each expected answer's tokens, in nats, float64 of shape (n,).

        NaN where the text would be cut before the answer.

        Parameters
        ----------
        asked : sequence of Exchange
        """
        import torch

        tokenizer, model = self._model()
        encoded, rows, _ = encode_exchanges(tokenizer, asked, _even(asked), self._room(tokenizer))
        found = np.full(len(asked), np.nan)
        with torch.inference_mode(), one_thread():
            for chosen, length, size in batches([len(ids) for ids in encoded.tokens], token_budget=TOKEN_BUDGET):
                # Filled up, so that each length has one shape and with it the same sums.
                filled = chosen + [chosen[0]] * (size - len(chosen))
                ids, mask = pad([encoded.tokens[at] for at in filled], tokenizer.pad_token_id, length)
                logits = model(input_ids=ids.to(device()), attention_mask=mask.to(device()), use_cache=False).logits
                labels = torch.from_numpy(answer_labels(encoded, filled, length)).to(device())
                for line, at in enumerate(chosen):
                    places = labels[line] != IGNORED
                    loss = torch.nn.functional.cross_entropy(logits[line][places].double(), labels[line][places])
                    found[rows[at]] = float(loss)
        return found

    def likelihoods(self) -> OpeningLikelihoods:
        """Return what tells how likely openings are behind requests, for `embargo.models.evaluation.measure_refusals`.

        Not the negative `losses`: those count the token that ends an answer, which refusals end sooner than help does,
        and cut a request to the room of the tuning.
        """
        tokenizer, model = self._model()
        return causal_likelihoods(model, tokenizer)

    def _room(self, tokenizer: Any) -> Room:
        return room_of(tokenizer, int(self._settings["max_length"]), int(self._settings["max_answer"]))

    def _model(self) -> tuple[Any, Any]:
        if self._loaded is None:
            with understood(f"base {self.base.name!r} with {self.adapter.path}"):
                compute: Arithmetic = self._settings["compute"]
                model = merged_decoder(self.base, self.adapter, compute, tuned=self.tuned)
                self._loaded = (load_tokenizer(self.base), model)
        return self._loaded


def _even(asked: Sequence[Exchange]) -> dict[str, float]:
    # Only tokens are wanted here; any weights will do that sum to one over what is there.
    tasks = sorted({one.task for one in asked})
    return dict.fromkeys(tasks, 1 / len(tasks)) if tasks else {"completion": 1.0}


def merged_decoder(base: Base, adapter: Adapter, compute: Arithmetic, *, tuned: bool = True) -> Any:
    """Return a plain transformers decoder in eval mode, the adapter written into its weights.

    Weights that were 4-bit are expanded to exactly what the tuning multiplied with; the sum of weight and adapter is
    taken in fp32 and rounded once.

    Parameters
    ----------
    base : Base
    adapter : Adapter
    compute : {"fp32", "bf16"}
        Of the returned weights.
    tuned : bool
        False leaves the adapter out.

    Raises
    ------
    DataError
        If the adapter's files are not as they were written, or do not fit the base.
    """
    import torch

    read_manifest(adapter.path)
    dtype = torch.bfloat16 if compute == "bf16" else torch.float32
    model = _expanded(base, adapter)
    if tuned:
        adapted = attach(model, adapter.path, method=adapter.manifest["settings"]["method"], drawn=[])
        with quiet():
            model = adapted.merge_and_unload()
    if hasattr(model, "peft_config"):
        del model.peft_config
    return model.to(dtype).to(device()).eval()


def unmerged_decoder(base: Base, adapter: Adapter) -> Any:
    """Return the tuned decoder with its adapter beside the weights, in fp32: what a merged one is held against."""
    return attach(
        _expanded(base, adapter), adapter.path, method=adapter.manifest["settings"]["method"], drawn=[]
    ).eval()


def _expanded(base: Base, adapter: Adapter) -> Any:
    import torch

    settings = adapter.manifest["settings"]
    with deterministic(0):
        model = load_causal(base, method=settings["method"], compute=settings["compute"])
    if METHODS[settings["method"]].quantised:
        dequantise(model, torch.float32)
    # The model's own ``float`` refuses what was quantised.
    torch.nn.Module.float(model)
    return model


def greedy_answer(model: Any, tokenizer: Any, prompt: Sequence[int], *, most: int, one_line: bool) -> str:
    """Return what follows a prompt when the likeliest token is taken each time.

    Parameters
    ----------
    model, tokenizer
        Of transformers.
    prompt : sequence of int
        Token ids, one or more.
    most : int
        Tokens at most.
    one_line : bool
        Whether a line break ends the answer.
    """
    import torch

    written: list[int] = []
    inputs = torch.tensor([list(prompt)], dtype=torch.int64, device=device())
    past = None
    with torch.inference_mode(), one_thread():
        while len(written) < most:
            output = model(input_ids=inputs, past_key_values=past, use_cache=True)
            token = int(output.logits[0, -1].argmax())
            if token == tokenizer.eos_token_id:
                break
            written.append(token)
            past = output.past_key_values
            inputs = torch.tensor([[token]], dtype=torch.int64, device=device())
            if one_line and "\n" in _text(tokenizer, written).lstrip():
                break
    text = _text(tokenizer, written).strip()
    return text.split("\n")[0].strip() if one_line else text


def _text(tokenizer: Any, tokens: Sequence[int]) -> str:
    return str(tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))
