"""Score texts with a base and its adapter, in the quantisation the adapter was tuned in.

Adapters are merged into the weights the tuning multiplied with (4-bit ones are expanded once), which is exact up to
rounding and several times faster. Batches have one fixed shape for each padded length, so that a text's logits depend
on the text alone and not on which other texts are scored beside it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from data_loaders.schemas import CLASSES
from models.artifacts import json_hash
from models.bases import Base
from models.loading import (
    Compute,
    dequantise,
    deterministic,
    device,
    encode,
    load_classifier,
    load_tokenizer,
    pad,
    padded_length,
    quiet,
    resolve_compute,
)
from models.tuning import Adapter, Progress

TOKEN_BUDGET = 1024


class TransformerScorer:
    """A tuned transformer that turns texts into logits.

    Parameters
    ----------
    base : Base
    adapter : Adapter
        Tuned on this base.
    compute : {"auto", "fp32", "bf16"}, optional
        Arithmetic of scoring; by default the adapter's own. It is part of the identity.
    token_budget : int
        Tokens, padding included, in a batch; not part of the identity.

    Attributes
    ----------
    identity : str
        sha256 over everything that determines a logit: weights, adapter, tokenizer, cut, quantisation, arithmetic.
    knowledge_cutoff : Timestamp or None
        Later of the base's cutoff and the adapter's ``trained_until``; None where either is unknown.
    """

    def __init__(
        self, base: Base, adapter: Adapter, *, compute: Compute | None = None, token_budget: int = TOKEN_BUDGET
    ) -> None:
        settings = adapter.manifest["settings"]
        self._base = base
        self._adapter = adapter
        self._method: Literal["qlora", "lora"] = settings["method"]
        self._compute: Literal["fp32", "bf16"] = resolve_compute(
            settings["compute"] if compute is None else compute, base
        )
        self._max_length = int(settings["max_length"])
        self._token_budget = token_budget
        self._loaded: tuple[Any, Any] | None = None
        self.knowledge_cutoff = later_cutoff(base.knowledge_cutoff, adapter.manifest["trained_until"])
        self.identity = json_hash(
            {
                "kind": "transformer",
                "base": base.weights_hash,
                "adapter": adapter.identity,
                "max_length": self._max_length,
                "method": self._method,
                "tuned_in": settings["compute"],
                "compute": self._compute,
                "device": device().type,
            }
        )

    def logits(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return the logits of bearish, neutral and bullish, float64 of shape (len(texts), 3).

        Parameters
        ----------
        texts : sequence of str
        progress : callable, optional
            Called with (texts done, texts in all).

        Raises
        ------
        DataError
            If a text has no token.
        """
        import torch

        result = np.empty((len(texts), len(CLASSES)))
        if not len(texts):
            return result
        tokenizer, model = self._model()
        tokens = encode(tokenizer, texts, self._max_length)
        buckets: dict[int, list[int]] = defaultdict(list)
        for row, ids in enumerate(tokens):
            buckets[padded_length(len(ids))].append(row)
        done = 0
        with torch.inference_mode():
            for length in sorted(buckets):
                size = max(1, self._token_budget // length)
                for start in range(0, len(buckets[length]), size):
                    rows = buckets[length][start : start + size]
                    # A short last batch is filled up with its own first row: the shape, and with it the order of
                    # every sum, stays the same whatever else is scored.
                    filled = rows + [rows[0]] * (size - len(rows))
                    ids, mask = pad([tokens[row] for row in filled], tokenizer.pad_token_id, length)
                    output = model(input_ids=ids.to(device()), attention_mask=mask.to(device())).logits
                    result[rows] = output[: len(rows)].double().cpu().numpy()
                    done += len(rows)
                    if progress is not None:
                        progress(done, len(texts))
        return result

    def _model(self) -> tuple[Any, Any]:
        if self._loaded is None:
            self._loaded = (load_tokenizer(self._base), _merged(self._base, self._adapter, self._method, self._compute))
        return self._loaded


def _merged(base: Base, adapter: Adapter, method: Literal["qlora", "lora"], compute: Literal["fp32", "bf16"]) -> Any:
    import torch

    with quiet():
        from peft import PeftModel

    tuned_in: Literal["fp32", "bf16"] = adapter.manifest["settings"]["compute"]
    with deterministic(0):
        model, _ = load_classifier(base, method=method, compute=tuned_in)
    # The sum of weight and adapter is taken in fp32 and rounded once.
    if method == "qlora":
        dequantise(model, torch.float32)
    model.float()
    with quiet():
        merged = PeftModel.from_pretrained(model, str(adapter.path)).merge_and_unload()
    if compute == "bf16":
        merged.to(torch.bfloat16)
    return merged.to(device()).eval()


def later_cutoff(first: pd.Timestamp | None, second: pd.Timestamp | str | None) -> pd.Timestamp | None:
    """Return the later of two knowledge cutoffs, or None where either is unknown."""
    if first is None or second is None:
        return None
    return max(first, pd.Timestamp(second))
