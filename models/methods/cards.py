"""The ways to tune a base model, what each one needs of it, and which bases each one cannot take.

A refusal comes by name and before any weight is loaded: it is read from the base's configuration and from the names of
its tensors. What is refused was tried on small models of each architecture and failed, or gave logits that depend on
how a text is padded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from embargo.data_loaders.errors import ConfigError
from embargo.models.bases.folders import folder_shapes
from embargo.models.bases.heads import OwnHead, own_head
from embargo.models.bases.resolve import DECODERS, Base
from embargo.models.methods.settings import AdapterTarget, Method, TuneSettings

# What a method changes: layers by an update of low rank, activations by a factor, the text by virtual tokens before it,
# or every weight.
AdapterChange = Literal["low-rank", "activations", "prompt", "weights", "nothing"]
Configure = Callable[[TuneSettings, Any, dict[str, Any], int], Any]


@dataclass(frozen=True)
class MethodCard:
    """What a method is. It is added by an entry in `METHODS` and its name in the settings' ``Method``.

    Attributes
    ----------
    name, title, paper : str
        As in the settings, in words, and where it was published; empty where nothing is tuned.
    change : {"low-rank", "activations", "prompt", "weights", "nothing"}
        What it changes, which says what of the settings means something to it.
    rank : str
        What ``rank`` means for it; empty where it means nothing.
    learning_rate, middle_rate, narrow_rate : float
        Default peak rate, and those for bases less than 512 and less than 256 wide. The first is the literature's. The
        others were chosen for LoRA by validation loss, on MiniLM (384 wide) and the built-in base (128); those of the
        other methods were set by LoRA's and not searched.
    configure : callable, optional
        Takes the settings, the loaded base's configuration, what peft's configurations share (task type, modules
        trained whole and, for low-rank updates, the adapted layers) and the number of optimiser steps; returns peft's
        configuration. None trains the base itself.
    refuses : callable, optional
        Takes a ``model_type`` and returns why such a base cannot be tuned so, None where nothing speaks against it.
    quantised : bool
        Whether the frozen weights are held in 4 bits.
    mergeable : bool
        Whether the change can be written into the weights, so that a scored model costs nothing more than its base.
    peft_type : str or None
        What peft calls it in a saved configuration; None where peft has no part in it.

    Examples
    --------
    >>> from embargo.models.methods import METHODS
    >>> METHODS["qlora"].paper, METHODS["qlora"].quantised
    ('arXiv 2305.14314', True)
    """

    name: Method
    title: str
    paper: str
    change: AdapterChange
    rank: str
    learning_rate: float
    middle_rate: float
    narrow_rate: float
    configure: Configure | None
    refuses: Callable[[str], str | None] | None = None
    quantised: bool = False
    mergeable: bool = True
    peft_type: str | None = "LORA"


@dataclass(frozen=True)
class Layers:
    """Names of an architecture's layers: query and value projections, those that IA3 rescales, and of these the MLP."""

    attention: tuple[str, ...]
    rescaled: tuple[str, ...]
    feedforward: tuple[str, ...]


_BERT = Layers(("query", "value"), ("key", "value", "output.dense"), ("output.dense",))
_LLAMA = Layers(("q_proj", "v_proj"), ("k_proj", "v_proj", "down_proj"), ("down_proj",))

LAYERS: Mapping[str, Layers] = MappingProxyType(
    {
        **dict.fromkeys(("bert", "roberta", "xlm-roberta", "electra"), _BERT),
        **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"), _LLAMA),
        "deberta-v2": Layers(
            ("query_proj", "value_proj"), ("key_proj", "value_proj", "output.dense"), ("output.dense",)
        ),
        "distilbert": Layers(("q_lin", "v_lin"), ("k_lin", "v_lin", "lin2"), ("lin2",)),
        "modernbert": Layers(("Wqkv",), ("Wqkv", "mlp.Wo"), ("mlp.Wo",)),
        "gpt2": Layers(("c_attn",), ("c_attn", "mlp.c_proj"), ("mlp.c_proj",)),
        "gpt_neox": Layers(("query_key_value",), ("query_key_value", "dense_4h_to_h"), ("dense_4h_to_h",)),
        "phi": Layers(("q_proj", "v_proj"), ("k_proj", "v_proj", "fc2"), ("fc2",)),
        "phi3": Layers(("qkv_proj",), ("qkv_proj", "down_proj"), ("down_proj",)),
        "opt": Layers(("q_proj", "v_proj"), ("k_proj", "v_proj", "fc2"), ("fc2",)),
    }
)

# What query and value projections are called anywhere. Those called as GPT-2's may be stored transposed or not.
_ATTENTION = (
    *dict.fromkeys(layers.attention for name, layers in LAYERS.items() if name != "gpt2"),
    ("attn.q", "attn.v"),
    ("in_proj",),
)
# The part of a tensor's name that says which layer it is of.
_LAYER = re.compile(r".*?\.\d+\.")

# Of the architectures above, those whose layers read no keys and values from before the text.
_NO_PREFIX = frozenset({"deberta-v2", "distilbert", "modernbert"})


def _is_tried(model_type: str) -> str | None:
    return None if model_type in LAYERS else f"it was tried only on {', '.join(sorted(LAYERS))}"


def _takes_prefix(model_type: str) -> str | None:
    if model_type in _NO_PREFIX:
        return "the architecture takes no keys and values from before the text"
    return _is_tried(model_type)


def _takes_words(model_type: str) -> str | None:
    if model_type in LAYERS and model_type in DECODERS:
        return "behind virtual tokens a decoder's classifier reads the padding instead of the last word"
    return _is_tried(model_type)


def lora_targets(model_type: str, target: AdapterTarget) -> list[str]:
    """Return the layers that get low-rank adapters: names for an architecture, or peft's word for all linear layers."""
    if target == "all-linear":
        return ["all-linear"]
    return list(LAYERS.get(model_type, _LLAMA).attention)


def _low_rank(settings: TuneSettings, model_config: Any, shared: dict[str, Any]) -> dict[str, Any]:
    return {
        **shared,
        "fan_in_fan_out": _transposed(model_config) and not METHODS[settings.method].quantised,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
    }


def _transposed(model_config: Any) -> bool:
    # As GPT-2 stores its layers.
    return bool(model_config.model_type == "gpt2")


def _lora(
    settings: TuneSettings,
    model_config: Any,
    shared: dict[str, Any],
    steps: int,
    *,
    use_dora: bool = False,
    use_rslora: bool = False,
) -> Any:
    import peft

    return peft.LoraConfig(
        r=settings.rank, use_dora=use_dora, use_rslora=use_rslora, **_low_rank(settings, model_config, shared)
    )


_dora, _rslora = partial(_lora, use_dora=True), partial(_lora, use_rslora=True)


def _adalora(settings: TuneSettings, model_config: Any, shared: dict[str, Any], steps: int) -> Any:
    import peft

    return peft.AdaLoraConfig(
        init_r=settings.rank + max(1, settings.rank // 2),
        target_r=settings.rank,
        total_step=steps,
        tinit=steps // 10,
        tfinal=steps // 3,
        deltaT=max(1, steps // 100),
        **_low_rank(settings, model_config, shared),
    )


def _ia3(settings: TuneSettings, model_config: Any, shared: dict[str, Any], steps: int) -> Any:
    import peft

    layers = LAYERS[model_config.model_type]
    return peft.IA3Config(
        target_modules=list(layers.rescaled),
        feedforward_modules=list(layers.feedforward),
        fan_in_fan_out=_transposed(model_config),
        **shared,
    )


def _virtual(settings: TuneSettings, model_config: Any, shared: dict[str, Any]) -> dict[str, Any]:
    shape: dict[str, Any] = {}
    if model_config.model_type == "distilbert":  # names its widths in a way that peft does not know
        shape = {"token_dim": model_config.dim, "num_layers": model_config.n_layers}
        shape |= {"num_attention_heads": model_config.n_heads, "num_transformer_submodules": 1}
    elif model_config.model_type == "electra" and settings.method != "prefix":
        # Virtual tokens stand among the embeddings, which are narrower than what they are projected to.
        shape = {"token_dim": model_config.embedding_size}
    return {**shared, "num_virtual_tokens": settings.rank, **shape}


def _prefix(settings: TuneSettings, model_config: Any, shared: dict[str, Any], steps: int) -> Any:
    import peft

    return peft.PrefixTuningConfig(**_virtual(settings, model_config, shared))


def _prompt(settings: TuneSettings, model_config: Any, shared: dict[str, Any], steps: int) -> Any:
    import peft

    return peft.PromptTuningConfig(**_virtual(settings, model_config, shared))


def _ptuning(settings: TuneSettings, model_config: Any, shared: dict[str, Any], steps: int) -> Any:
    import peft

    return peft.PromptEncoderConfig(
        encoder_hidden_size=model_config.hidden_size, **_virtual(settings, model_config, shared)
    )


_UPDATE = "rank of the update of each adapted layer"
_LEFT = "mean rank that is left of one and a half times as much"
_TOKENS = "number of virtual tokens before each text"

# No proxy: a test may hold a card of its own here for as long as it lasts.
METHODS: Mapping[str, MethodCard] = {
    card.name: card
    for card in (
        MethodCard(
            "qlora",
            "LoRA on 4-bit weights",
            "arXiv 2305.14314",
            "low-rank",
            _UPDATE,
            2e-4,
            1e-3,
            2e-3,
            _lora,
            quantised=True,
        ),
        MethodCard("lora", "low-rank adapters", "arXiv 2106.09685", "low-rank", _UPDATE, 2e-4, 1e-3, 2e-3, _lora),
        MethodCard(
            "dora", "LoRA of direction and magnitude", "arXiv 2402.09353", "low-rank", _UPDATE, 2e-4, 1e-3, 2e-3, _dora
        ),
        MethodCard(
            "rslora", "rank-stabilised LoRA", "arXiv 2312.03732", "low-rank", _UPDATE, 1e-4, 5e-4, 1e-3, _rslora
        ),
        MethodCard(
            "adalora",
            "LoRA with a rank per layer",
            "arXiv 2303.10512",
            "low-rank",
            _LEFT,
            1e-3,
            3e-3,
            4e-3,
            _adalora,
            peft_type="ADALORA",
        ),
        MethodCard(
            "ia3",
            "rescaled activations",
            "arXiv 2205.05638",
            "activations",
            "",
            3e-3,
            1e-2,
            1e-2,
            _ia3,
            _is_tried,
            peft_type="IA3",
        ),
        MethodCard(
            "prefix",
            "prefix tuning",
            "arXiv 2101.00190",
            "prompt",
            _TOKENS,
            1e-2,
            1e-2,
            1e-2,
            _prefix,
            _takes_prefix,
            mergeable=False,
            peft_type="PREFIX_TUNING",
        ),
        MethodCard(
            "prompt",
            "prompt tuning",
            "arXiv 2104.08691",
            "prompt",
            _TOKENS,
            1e-2,
            1e-2,
            1e-2,
            _prompt,
            _takes_words,
            mergeable=False,
            peft_type="PROMPT_TUNING",
        ),
        MethodCard(
            "ptuning",
            "P-tuning",
            "arXiv 2103.10385",
            "prompt",
            _TOKENS,
            1e-3,
            3e-3,
            3e-3,
            _ptuning,
            _takes_words,
            mergeable=False,
            peft_type="P_TUNING",
        ),
        MethodCard(
            "full",
            "full fine-tuning (the reference)",
            "arXiv 1810.04805",
            "weights",
            "",
            3e-5,
            1e-4,
            5e-4,
            None,
            peft_type=None,
        ),
        MethodCard("none", "the base's own head, not tuned", "", "nothing", "", 2e-4, 1e-3, 2e-3, None, peft_type=None),
    )
}


def refusal(method: str, model_type: str) -> str | None:
    """Return why an architecture cannot be tuned with a method, None where nothing speaks against it.

    Parameters
    ----------
    method : str
        A name of `METHODS`.
    model_type : str
        As in the base's ``config.json``.
    """
    refuses = METHODS[method].refuses
    return None if refuses is None else refuses(model_type)


def check_method(method: str, base: Base, target: AdapterTarget = "attention") -> None:
    """Refuse a method that a base cannot take, before any of its weights is loaded.

    Parameters
    ----------
    method : str
        A name of `METHODS`.
    base : Base
    target : {"attention", "all-linear"}
        Which layers are to get low-rank adapters.

    Raises
    ------
    ConfigError
        If the method is unknown, or the base's architecture does not admit it.

    Examples
    --------
    >>> from embargo.models import resolve_base
    >>> from embargo.models.methods import check_method
    >>> check_method("qlora", resolve_base("minilm"))
    >>> check_method("magic", resolve_base("minilm"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: tuning.method must be one of ('qlora', 'lora', 'dora', ...
    """
    if method not in METHODS:
        raise ConfigError(f"tuning.method must be one of {tuple(METHODS)}, got {method!r}.")
    model_type = base.architecture
    reason = refusal(method, model_type)
    low_rank = METHODS[method].change == "low-rank"
    if reason is None and low_rank and target == "attention" and attention_layers(base) is None:
        pairs = " or ".join(" with ".join(names) for names in _ATTENTION)
        reason = f"not every layer has projections called {pairs} (tuning.target = 'all-linear' finds its own)"
    if reason is None and method == "none":
        reason = _no_classes(own_head(base))
    if reason is not None:
        others = [name for name in METHODS if refusal(name, model_type) is None and name not in (method, "none")]
        raise ConfigError(
            f"base {base.name!r} ({model_type}) cannot be {'read' if method == 'none' else 'tuned'} with method "
            f"{method!r}: {reason}. "
            f"Choose one of {others} or another base."
        )


def _no_classes(head: OwnHead | None) -> str | None:
    if head is None:
        return "it brings no head of three classes"
    if head.order is None:
        called = " and ".join(map(repr, head.labels)) or "nothing"
        return f"its head's classes are called {called} (id2label), of which nobody knows which is bearish or bullish"
    return None


def attention_layers(base: Base) -> tuple[str, ...] | None:
    """Return what the query and value projections of a base are called; None where its tensors do not tell.

    The names are those of the listed architectures, and in one that is not listed every numbered layer must have all
    of them as matrices: a projection that is a convolution, or is there in some layers only, is none.
    """
    shapes = folder_shapes(Path(base.path_or_id))
    listed = LAYERS.get(base.architecture)
    if listed is not None:
        found = any(key.endswith(f".{name}.weight") for key in shapes for name in listed.attention)
        return listed.attention if found else None
    layers = {match[0] for key in shapes if (match := _LAYER.match(key))}
    for names in _ATTENTION:
        where = [
            {match[0] for key in shapes if key.endswith(f".{name}.weight") and (match := _LAYER.match(key))}
            for name in names
        ]
        matrices = all(
            len(shape) == 2 for key, shape in shapes.items() if key.endswith(tuple(f".{name}.weight" for name in names))
        )
        if layers and matrices and all(found == layers for found in where):
            return names
    return None


def virtual_tokens(method: str, rank: int) -> int:
    """Return how many positions of the base a method takes for itself."""
    return rank if METHODS[method].change == "prompt" else 0


def peft_config(settings: TuneSettings, model_config: Any, heads: Sequence[str], steps: int) -> Any:
    """Return peft's configuration of a method other than full fine-tuning.

    Parameters
    ----------
    settings : TuneSettings
    model_config : PretrainedConfig
        Of the loaded base.
    heads : sequence of str
        Modules that are trained whole.
    steps : int
        Optimiser steps in all, which AdaLoRA plans its ranks over.
    """
    import peft

    card = METHODS[settings.method]
    assert card.configure is not None
    shared: dict[str, Any] = {"task_type": peft.TaskType.SEQ_CLS, "modules_to_save": list(heads)}
    if card.change == "low-rank":
        layers = lora_targets(model_config.model_type, settings.target)
        shared["target_modules"] = "all-linear" if settings.target == "all-linear" else layers
    return card.configure(settings, model_config, shared, steps)
