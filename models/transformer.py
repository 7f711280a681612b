"""Score texts with a base and its adapter, in the quantisation the adapter was tuned in.

Adapters are merged into the weights the tuning multiplied with (4-bit ones are expanded once), which is exact up to
rounding and several times faster; virtual tokens cannot be merged and stay beside the base. Batches have one fixed
shape for each padded length, so that a text's logits depend on the text alone and not on which other texts are scored
beside it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from data_loaders.errors import ConfigError, DataError
from data_loaders.schemas import CLASSES
from models.artifacts import json_hash, read_manifest
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
    readable_length,
    resolve_compute,
)
from models.methods import METHODS, Method, virtual_tokens
from models.training import Progress
from models.tuning import Adapter

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

    Raises
    ------
    ConfigError
        If the adapter was tuned on another base.
    """

    def __init__(
        self, base: Base, adapter: Adapter, *, compute: Compute | None = None, token_budget: int = TOKEN_BUDGET
    ) -> None:
        _require_base(base, adapter)
        settings = adapter.manifest["settings"]
        self._base = base
        self._adapter = adapter
        self._method: Method = settings["method"]
        self._compute: Literal["fp32", "bf16"] = resolve_compute(
            settings["compute"] if compute is None else compute, base
        )
        self._max_length = int(settings["max_length"])
        self._virtual_tokens = virtual_tokens(self._method, int(settings["rank"]))
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
            If a text has no token, or the adapter's files are not as they were written.
        """
        import torch

        result = np.empty((len(texts), len(CLASSES)))
        if not len(texts):
            return result
        tokenizer, model = self._model()
        tokens = encode(tokenizer, texts, readable_length(tokenizer, self._max_length, self._virtual_tokens))
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
            model = scoring_model(self._base, self._adapter, self._compute)
            self._loaded = (load_tokenizer(self._base), model)
        return self._loaded


def scoring_model(base: Base, adapter: Adapter, compute: Literal["fp32", "bf16"]) -> Any:
    """Return the tuned model in eval mode, as it is scored: merged where the method can be, else with its adapter.

    Parameters
    ----------
    base : Base
    adapter : Adapter
        Tuned on this base.
    compute : {"fp32", "bf16"}
        Precision of the returned weights.

    Returns
    -------
    A module on `device()` that takes ``input_ids`` and ``attention_mask`` and gives ``.logits``.

    Raises
    ------
    ConfigError
        If the adapter was tuned on another base.
    DataError
        If the adapter's files are not as they were written.
    """
    import torch

    _require_base(base, adapter)
    read_manifest(adapter.path)
    settings = adapter.manifest["settings"]
    card = METHODS[settings["method"]]
    dtype = torch.bfloat16 if compute == "bf16" else torch.float32
    if card.name == "full":
        with deterministic(0):
            model, fresh = load_classifier(base, method="full", compute="fp32", saved=adapter.path)
        if fresh:
            raise DataError(f"{adapter.path}: weights of {fresh} are missing. Delete the folder to tune anew.")
        return model.to(dtype).to(device()).eval()
    with deterministic(0):
        model, _ = load_classifier(base, method=card.name, compute=settings["compute"])
    # The sum of weight and adapter is taken in fp32 and rounded once.
    if card.quantised:
        dequantise(model, torch.float32)
    # Virtual tokens are cast to what the base is in when they are put on it.
    model.to(torch.float32 if card.mergeable else dtype)
    with quiet():
        from peft import PeftModel

        adapted = PeftModel.from_pretrained(model, str(adapter.path))
        if card.name == "ia3":
            adapted = _unload_ia3(adapted)
        elif card.mergeable:
            adapted = adapted.merge_and_unload()
    return adapted.to(dtype).to(device()).eval()


def merged_model(base: Base, adapter: Adapter, compute: Literal["fp32", "bf16"] = "fp32") -> Any:
    """Return the tuned model as a plain transformers model, with the adapter written into its weights.

    Raises
    ------
    ConfigError
        If the method cannot be merged, or the adapter was tuned on another base.
    DataError
        If the adapter's files are not as they were written.
    """
    method = adapter.manifest["settings"]["method"]
    if not METHODS[method].mergeable:
        able = [name for name, card in METHODS.items() if card.mergeable]
        raise ConfigError(f"an adapter of method {method!r} cannot be merged into its base. Tune with one of {able}.")
    return scoring_model(base, adapter, compute)


def _unload_ia3(model: Any) -> Any:
    # peft's own unloading fails where a head is more than one linear layer.
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import ModulesToSaveWrapper

    model.merge_adapter()
    plain = model.get_base_model()
    for name, module in list(plain.named_modules()):
        if isinstance(module, BaseTunerLayer):
            inner = module.get_base_layer()
        elif isinstance(module, ModulesToSaveWrapper):
            inner = module.modules_to_save["default"]
        else:
            continue
        parent, _, child = name.rpartition(".")
        setattr(plain.get_submodule(parent), child, inner)
    if hasattr(plain, "peft_config"):
        del plain.peft_config
    return plain


def _require_base(base: Base, adapter: Adapter) -> None:
    tuned_on = adapter.manifest["base"]
    if tuned_on["weights_hash"] != base.weights_hash:
        raise ConfigError(
            f"{adapter.path}: tuned on base {tuned_on['name']!r} (weights {tuned_on['weights_hash'][:12]}), not on "
            f"{base.name!r} (weights {base.weights_hash[:12]}). Give the base it was tuned on, or tune anew."
        )


def later_cutoff(first: pd.Timestamp | None, second: pd.Timestamp | str | None) -> pd.Timestamp | None:
    """Return the later of two knowledge cutoffs, or None where either is unknown."""
    if first is None or second is None:
        return None
    return max(first, pd.Timestamp(second))
