"""Score texts with a base and its adapter, in the quantisation the adapter was tuned in.

Adapters are merged into the weights the tuning multiplied with (4-bit ones are expanded once), which is exact up to
rounding and several times faster; virtual tokens cannot be merged and stay beside the base. On a GPU a 4-bit base stays
packed and its adapter beside it, which keeps memory that of the quantised base. Batches have one fixed shape for each
padded length, or one for all lengths where nothing is padded, so that a text's logits depend on the text alone and not
on which other texts are scored beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.threads import one_thread
from embargo.models.bases.folders import understood
from embargo.models.bases.heads import own_head
from embargo.models.bases.resolve import Base
from embargo.models.content import json_hash, read_manifest
from embargo.models.loading.attach import attach, refuse_adapter_files, refuse_other_architecture
from embargo.models.loading.batches import batched_logits
from embargo.models.loading.devices import device_type
from embargo.models.loading.load import (
    ONE_LENGTH,
    dense_layer,
    dequantise,
    deterministic,
    device,
    encode,
    load_classifier,
    load_tokenizer,
    pad,
    padding_step,
    quiet,
    readable_length,
    resolve_compute,
)
from embargo.models.loading.shared import SharedBase
from embargo.models.loading.steady import COLUMNS, steady
from embargo.models.loading.unpadded import ROOM, UNPADDED, Unpadded
from embargo.models.methods.cards import METHODS, virtual_tokens
from embargo.models.methods.settings import Arithmetic, Compute, Method, TuneSettings
from embargo.models.scorer import Progress, later_cutoff
from embargo.models.scorers.kind import Fit, FitRequest, ScorerKind
from embargo.models.tuning.adapters import Adapter, borrow, tune

TOKEN_BUDGET = 1024
# A GPU is busy with more, and expands its 4-bit weights once for each batch.
GPU_TOKEN_BUDGETS = {"dense": 2048, "4bit": 4096}

Weights = Literal["auto", "dense", "4bit"]


class TransformerScorer:
    """A tuned transformer that turns texts into logits.

    Parameters
    ----------
    base : Base
    adapter : Adapter
        Tuned on this base.
    compute : {"auto", "fp32", "bf16"}, optional
        Arithmetic of scoring; by default the adapter's own. It is part of the identity.
    weights : {"auto", "dense", "4bit"}
        ``dense`` merges the adapter into dense weights, ``4bit`` keeps the packed weights of QLoRA with the adapter
        beside them. ``auto`` is ``4bit`` for QLoRA on a GPU, else ``dense``. It is part of the identity.
    shared : SharedBase, optional
        Lends the base's weights instead of reading them from disk; logits are the same to the bit.
    token_budget : int, optional
        Tokens, padding included, in a batch, by default as many as fit the device; not part of the identity.

    Attributes
    ----------
    identity : str
        sha256 over everything that determines a logit: weights, adapter, tokenizer, cut, quantisation, arithmetic.
    knowledge_cutoff : Timestamp or None
        Later of the base's cutoff and the adapter's ``trained_until``; None where either is unknown.

    Raises
    ------
    ConfigError
        If the adapter was tuned on another base, or ``4bit`` is asked of a method that has no 4-bit weights.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models import Adapter, Base, TransformerScorer
    >>> base = Base("mine", "/models/mine", "encoder", None, "not documented", weights_hash="ab12")
    >>> tuned_on = {"base": {"name": "other", "weights_hash": "cd34"}, "settings": {"method": "lora"}}
    >>> adapter = Adapter(Path("cache/adapters/adapter-1f"), "9c0e", tuned_on, ())
    >>> TransformerScorer(base, adapter)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: cache/adapters/adapter-1f: tuned on base 'other' (weights ...
    """

    def __init__(
        self,
        base: Base,
        adapter: Adapter,
        *,
        compute: Compute | None = None,
        weights: Weights = "auto",
        token_budget: int | None = None,
        shared: SharedBase | None = None,
    ) -> None:
        with understood(adapter.path, "tuned adapter"):
            _require_base(base, adapter)
            settings = adapter.manifest["settings"]
            self._base = base
            self._adapter = adapter
            self._method: Method = settings["method"]
            self._compute: Arithmetic = resolve_compute(settings["compute"] if compute is None else compute, base)
            self._max_length = int(settings["max_length"])
            self._virtual_tokens = virtual_tokens(self._method, int(settings.get("rank", 0)))
            self._weights = _resolve_weights(weights, self._method)
            self._unpadded = (
                base.architecture in UNPADDED
                and device_type() == "cpu"
                and self._weights == "dense"
                and not self._virtual_tokens
            )
            usual = ROOM if self._unpadded else TOKEN_BUDGET
            if device_type() == "cuda":
                usual = GPU_TOKEN_BUDGETS[self._weights]
            self._token_budget = usual if token_budget is None else token_budget
            self._shared = shared
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
                    "device": device_type(),
                    "columns": COLUMNS,
                    **({"weights": "4bit"} if self._weights == "4bit" else {}),
                    **({"padding": "one length"} if base.architecture in ONE_LENGTH else {}),
                    **({"padding": "none"} if self._unpadded else {}),
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

        if not len(texts):
            return np.empty((0, len(CLASSES)))
        with understood(f"base {self._base.name!r} with {self._adapter.path}"):
            tokenizer, model = self._model()
            longest = readable_length(tokenizer, self._max_length, self._virtual_tokens)
            tokens = encode(tokenizer, texts, longest)

            def forward(rows: Sequence[Sequence[int]], length: int) -> np.ndarray:
                ids, mask = pad(rows, tokenizer.pad_token_id, length)
                output = model(input_ids=ids.to(device()), attention_mask=mask.to(device())).logits
                return np.asarray(output.double().cpu().numpy())

            with torch.inference_mode(), one_thread():
                if isinstance(model, Unpadded):
                    return model.logits(tokens, int(tokenizer.pad_token_id), progress)
                return batched_logits(
                    tokens,
                    forward,
                    token_budget=self._token_budget,
                    step=padding_step(self._base, longest),
                    progress=progress,
                )

    def __getstate__(self) -> dict[str, Any]:
        # Another process loads the weights by itself.
        return self.__dict__ | {"_loaded": None, "_shared": None}

    def _model(self) -> tuple[Any, Any]:
        if self._loaded is None:
            model = scoring_model(self._base, self._adapter, self._compute, weights=self._weights, shared=self._shared)
            self._shared = None
            ready = steady(model)
            # A BERT that reads from left to right goes through its own layers.
            if self._unpadded and not ready.config.is_decoder:
                ready = Unpadded(ready, self._token_budget)
            self._loaded = (load_tokenizer(self._base), ready)
        return self._loaded


def scoring_model(
    base: Base,
    adapter: Adapter,
    compute: Arithmetic,
    *,
    weights: Weights = "dense",
    shared: SharedBase | None = None,
) -> Any:
    """Return the tuned model in eval mode, as it is scored: merged where the method can be, else with its adapter.

    Parameters
    ----------
    base : Base
    adapter : Adapter
        Tuned on this base.
    compute : {"fp32", "bf16"}
        Precision of the returned weights; with ``4bit`` that of the arithmetic.
    weights : {"auto", "dense", "4bit"}
        See `TransformerScorer`.
    shared : SharedBase, optional
        Lends the base, whose tensors the returned model keeps wherever its weights are theirs.

    Returns
    -------
    A module on `device()` that takes ``input_ids`` and ``attention_mask`` and gives ``.logits``.

    Raises
    ------
    ConfigError
        If the adapter was tuned on another base, or ``4bit`` is asked of a method that has no 4-bit weights.
    DataError
        If the adapter's files are not as they were written, or do not fit the base.
    """
    with understood(adapter.path, "tuned adapter"):
        return _scoring_model(base, adapter, compute, weights, shared)


def _scoring_model(
    base: Base, adapter: Adapter, compute: Arithmetic, weights: Weights, shared: SharedBase | None
) -> Any:
    import torch

    _require_base(base, adapter)
    read_manifest(adapter.path)
    settings = adapter.manifest["settings"]
    card = METHODS[settings["method"]]
    dtype = torch.bfloat16 if compute == "bf16" else torch.float32
    refuse_adapter_files(adapter.path, card.name)
    if card.name == "full":
        refuse_other_architecture(adapter.path, base)
        with deterministic(0):
            model, fresh = load_classifier(base, method="full", compute="fp32", saved=adapter.path)
        if fresh:
            raise DataError(f"{adapter.path}: weights of {fresh} are missing. Delete the folder to tune anew.")
        return model.to(dtype).to(device()).eval()
    with deterministic(0):
        model, drawn = borrow(base, shared, method=card.name, compute=settings["compute"])
    if card.name == "none":
        return model.to(dtype).to(device()).eval()
    if _resolve_weights(weights, card.name) == "4bit":
        return _packed(model, adapter, dtype, drawn)
    lent = {} if shared is None else {name: value.data for name, value in model.named_parameters()}
    # The sum of weight and adapter is taken in fp32 and rounded once; the model's own casts refuse what is quantised.
    # Virtual tokens are cast to what the base is in when they are put on it.
    (torch.nn.Module.float if card.mergeable or dtype == torch.float32 else torch.nn.Module.bfloat16)(model)
    adapted = attach(model, adapter.path, method=card.name, drawn=drawn)
    with quiet():
        _own_targets(adapted, lent)
        if card.quantised:
            adapted = _unload(adapted, lambda layer: _dense(layer, dtype))
            dequantise(adapted, dtype)
        elif card.mergeable:
            adapted.merge_adapter()
            adapted = _unload(adapted, lambda layer: layer.get_base_layer())
    adapted = adapted.to(dtype).to(device()).eval()
    for name, value in adapted.named_parameters():
        same = lent.get(name)
        if same is not None and same.dtype == dtype and same.shape == value.shape and torch.equal(same, value):
            value.data = same
    return adapted


def _resolve_weights(weights: Weights, method: str) -> Literal["dense", "4bit"]:
    if weights == "4bit" and not METHODS[method].quantised:
        raise ConfigError(f"scoring in 4 bits: an adapter of method {method!r} has none. Ask for 'dense' weights.")
    if weights == "auto":
        return "4bit" if METHODS[method].quantised and device_type() == "cuda" else "dense"
    return weights


def _packed(model: Any, adapter: Adapter, dtype: Any, drawn: Sequence[str]) -> Any:
    import torch

    for module in model.modules():
        if hasattr(module, "compute_dtype"):
            module.compute_dtype = dtype
    # The model's own casts refuse what is quantised.
    cast = torch.nn.Module.bfloat16 if dtype == torch.bfloat16 else torch.nn.Module.float
    cast(model)
    method = adapter.manifest["settings"]["method"]
    return cast(attach(model, adapter.path, method=method, drawn=drawn)).to(device()).eval()


def _own_targets(adapted: Any, lent: dict[str, Any]) -> None:
    """Give the layers that an adapter is merged into weights of their own where they still have the lent ones."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    borrowed = {value.data_ptr() for value in lent.values()}
    for module in adapted.modules():
        if isinstance(module, BaseTunerLayer):
            for parameter in module.get_base_layer().parameters():
                if parameter.data_ptr() in borrowed:
                    parameter.data = parameter.data.clone()


def require_mergeable(adapter: Adapter) -> None:
    """Raise ConfigError if an adapter's method has no weights that could be merged into its base."""
    method = adapter.manifest["settings"]["method"]
    if not METHODS[method].mergeable:
        able = [name for name, card in METHODS.items() if card.mergeable]
        raise ConfigError(f"an adapter of method {method!r} cannot be merged into its base. Tune with one of {able}.")


def merged_model(base: Base, adapter: Adapter, compute: Arithmetic = "fp32") -> Any:
    """Return the tuned model as a plain transformers model, with the adapter written into its weights.

    Raises
    ------
    ConfigError
        If the method cannot be merged, or the adapter was tuned on another base.
    DataError
        If the adapter's files are not as they were written.
    """
    require_mergeable(adapter)
    return scoring_model(base, adapter, compute)


def _dense(layer: Any, dtype: Any) -> Any:
    """Return an adapted layer as a dense one: one layer at a time takes the memory of one in fp32.

    The head that a base brings along, such as BERT's pooler, is adapted too but never stored in four bits.
    """
    import torch

    inner = layer.get_base_layer()
    dense = dense_layer(inner, torch.float32) if hasattr(inner.weight, "quant_state") else inner.float()
    dense.weight.data += layer.get_delta_weight("default")
    return dense.to(dtype)


def _unload(model: Any, written: Callable[[Any], Any]) -> Any:
    """Return the model without peft: what ``written`` makes of each adapted layer, and the heads that were trained."""
    # peft's own unloading fails where a head is more than one linear layer.
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import ModulesToSaveWrapper

    plain = model.get_base_model()
    for name, module in list(plain.named_modules()):
        if isinstance(module, BaseTunerLayer):
            inner = written(module)
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


def _fit(request: FitRequest) -> Fit:
    base = request.base
    assert base is not None
    shared = SharedBase(base) if request.shared is None else request.shared
    adapter = tune(
        base,
        train_texts=request.train_texts,
        train_labels=request.train_labels,
        validation_texts=request.validation_texts,
        validation_labels=request.validation_labels,
        settings=request.settings if isinstance(request.settings, TuneSettings) else TuneSettings(),
        trained_until=request.trained_until,
        cache_dir=request.cache_dir,
        progress=request.progress,
        shared=shared,
    )
    head = own_head(base)
    return Fit(
        TransformerScorer(base, adapter, shared=shared),
        read=adapter.read,
        trained_on=() if adapter.manifest["settings"]["method"] == "none" else request.train_texts,
        settings=adapter.manifest["settings"],
        epochs=adapter.manifest["epochs"],
        best_epoch=adapter.manifest["best_epoch"],
        adapter=adapter,
        cutoff_source=base.source,
        base_knowledge_cutoff=base.knowledge_cutoff,
        head=None if head is None else head.described(),
    )


TRANSFORMER = ScorerKind(fit=_fit, settings=TuneSettings, needs_base=True)
