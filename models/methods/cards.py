"""The ways to tune a base model, what each one needs of it, and which bases each one cannot take.

A refusal comes by name and before any weight is loaded: it is read from the base's configuration and from the names of
its tensors. What is refused was tried on small models of each architecture and failed, or gave logits that depend on
how a text is padded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from embargo.data_loaders.errors import ConfigError
from embargo.models.bases.folders import folder_shapes
from embargo.models.bases.heads import OwnHead, own_head
from embargo.models.bases.resolve import DECODERS, Base
from embargo.models.methods.settings import AdapterTarget, Method, TuneSettings


@dataclass(frozen=True)
class MethodCard:
    """What a method is.

    Attributes
    ----------
    name, title, paper : str
        As in the settings, in words, and where it was published; empty where nothing is tuned.
    quantised : bool
        Whether the frozen weights are held in 4 bits.
    mergeable : bool
        Whether the change can be written into the weights, so that a scored model costs nothing more than its base.
    rank : str
        What ``rank`` means for it; empty where it means nothing.
    learning_rate, middle_rate, narrow_rate : float
        Default peak rate, and those for bases less than 512 and less than 256 wide. The first is the literature's. The
        others were chosen for LoRA by validation loss, on MiniLM (384 wide) and the built-in base (128); those of the
        other methods were set by LoRA's and not searched.

    Examples
    --------
    >>> from embargo.models.methods import METHODS
    >>> METHODS["qlora"].paper, METHODS["qlora"].quantised
    ('arXiv 2305.14314', True)
    """

    name: Method
    title: str
    paper: str
    quantised: bool
    mergeable: bool
    rank: str
    learning_rate: float
    middle_rate: float
    narrow_rate: float


_UPDATE = "rank of the update of each adapted layer"
_TOKENS = "number of virtual tokens before each text"

METHODS: Mapping[str, MethodCard] = MappingProxyType(
    {
        card.name: card
        for card in (
            MethodCard("qlora", "LoRA on 4-bit weights", "arXiv 2305.14314", True, True, _UPDATE, 2e-4, 1e-3, 2e-3),
            MethodCard("lora", "low-rank adapters", "arXiv 2106.09685", False, True, _UPDATE, 2e-4, 1e-3, 2e-3),
            MethodCard(
                "dora", "LoRA of direction and magnitude", "arXiv 2402.09353", False, True, _UPDATE, 2e-4, 1e-3, 2e-3
            ),
            MethodCard("rslora", "rank-stabilised LoRA", "arXiv 2312.03732", False, True, _UPDATE, 1e-4, 5e-4, 1e-3),
            MethodCard(
                "adalora",
                "LoRA with a rank per layer",
                "arXiv 2303.10512",
                False,
                True,
                "mean rank that is left of one and a half times as much",
                1e-3,
                3e-3,
                4e-3,
            ),
            MethodCard("ia3", "rescaled activations", "arXiv 2205.05638", False, True, "", 3e-3, 1e-2, 1e-2),
            MethodCard("prefix", "prefix tuning", "arXiv 2101.00190", False, False, _TOKENS, 1e-2, 1e-2, 1e-2),
            MethodCard("prompt", "prompt tuning", "arXiv 2104.08691", False, False, _TOKENS, 1e-2, 1e-2, 1e-2),
            MethodCard("ptuning", "P-tuning", "arXiv 2103.10385", False, False, _TOKENS, 1e-3, 3e-3, 3e-3),
            MethodCard(
                "full", "full fine-tuning (the reference)", "arXiv 1810.04805", False, True, "", 3e-5, 1e-4, 5e-4
            ),
            MethodCard("none", "the base's own head, not tuned", "", False, True, "", 2e-4, 1e-3, 2e-3),
        )
    }
)

PROMPTS = frozenset({"prefix", "prompt", "ptuning"})
LOW_RANK = frozenset({"qlora", "lora", "dora", "rslora", "adalora"})


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
)
# The part of a tensor's name that says which layer it is of.
_LAYER = re.compile(r".*?\.\d+\.")

# Of the architectures above, those whose layers read no keys and values from before the text.
_NO_PREFIX = frozenset({"deberta-v2", "distilbert", "modernbert"})


def refusal(method: str, model_type: str) -> str | None:
    """Return why an architecture cannot be tuned with a method, None where nothing speaks against it.

    Parameters
    ----------
    method : str
        A name of `METHODS`.
    model_type : str
        As in the base's ``config.json``.
    """
    if method in PROMPTS | {"ia3"} and model_type not in LAYERS:
        return f"it was tried only on {', '.join(sorted(LAYERS))}"
    if method == "prefix" and model_type in _NO_PREFIX:
        return "the architecture takes no keys and values from before the text"
    if method in ("prompt", "ptuning") and model_type in DECODERS:
        return "behind virtual tokens a decoder's classifier reads the padding instead of the last word"
    return None


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
    if reason is None and method in LOW_RANK and target == "attention" and attention_layers(base) is None:
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


def lora_targets(model_type: str, target: AdapterTarget) -> list[str]:
    """Return the layers that get low-rank adapters: names for an architecture, or peft's word for all linear layers."""
    if target == "all-linear":
        return ["all-linear"]
    return list(LAYERS.get(model_type, _LLAMA).attention)


def virtual_tokens(method: str, rank: int) -> int:
    """Return how many positions of the base a method takes for itself."""
    return rank if method in PROMPTS else 0


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

    model_type = model_config.model_type
    shared: dict[str, Any] = {"task_type": peft.TaskType.SEQ_CLS, "modules_to_save": list(heads)}
    if settings.method in PROMPTS:
        shared["num_virtual_tokens"] = settings.rank
        if model_type == "distilbert":  # names its widths in a way that peft does not know
            shared |= {"token_dim": model_config.dim, "num_layers": model_config.n_layers}
            shared |= {"num_attention_heads": model_config.n_heads, "num_transformer_submodules": 1}
        if settings.method == "prefix":
            return peft.PrefixTuningConfig(**shared)
        if settings.method == "prompt":
            return peft.PromptTuningConfig(**shared)
        return peft.PromptEncoderConfig(encoder_hidden_size=model_config.hidden_size, **shared)
    # GPT-2 stores its layers transposed.
    shared["fan_in_fan_out"] = model_type == "gpt2" and settings.method != "qlora"
    if settings.method == "ia3":
        layers = LAYERS[model_type]
        return peft.IA3Config(
            target_modules=list(layers.rescaled), feedforward_modules=list(layers.feedforward), **shared
        )
    targets: Any = lora_targets(model_type, settings.target)
    shared |= {
        "target_modules": "all-linear" if settings.target == "all-linear" else targets,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
    }
    if settings.method == "adalora":
        return peft.AdaLoraConfig(
            init_r=settings.rank + max(1, settings.rank // 2),
            target_r=settings.rank,
            total_step=steps,
            tinit=steps // 10,
            tfinal=steps // 3,
            deltaT=max(1, steps // 100),
            **shared,
        )
    return peft.LoraConfig(
        r=settings.rank, use_dora=settings.method == "dora", use_rslora=settings.method == "rslora", **shared
    )
