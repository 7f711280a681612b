"""A decoder as the language model that it was trained as, for tuning and writing: quantised or not, with its own head.

It is read as a classifier is: only safetensors, only from a local folder, and no code of its own.
"""

from __future__ import annotations

from typing import Any

from embargo.data_loaders.errors import ConfigError, MissingPartError
from embargo.models.bases.folders import understood
from embargo.models.bases.resolve import Base
from embargo.models.loading.language import NoHeadError
from embargo.models.loading.libraries import untyped
from embargo.models.loading.load import (
    device,
    keep_autograd,
    load_tokenizer,
    outline,
    quiet,
)
from embargo.models.methods.cards import METHODS
from embargo.models.methods.settings import Arithmetic, Method


def load_causal(base: Base, *, method: Method, compute: Arithmetic) -> Any:
    """Load a decoder with its language-modelling head.

    Parameters
    ----------
    base : Base
        Local folder with safetensors.
    method : str
        ``qlora`` stores the linear layers but the head as 4-bit NormalFloat with double quantisation (Dettmers et al.
        2023, arXiv 2305.14314); the others keep them in ``compute``.
    compute : {"fp32", "bf16"}
        Arithmetic of activations and of unquantised weights.

    Returns
    -------
    PreTrainedModel
        In eval mode on `embargo.models.loading.load.device`.

    Raises
    ------
    ConfigError
        If the base is an encoder, or its tokenizer knows more tokens than it has embeddings or no end of a text.
    NoHeadError
        If the checkpoint brings no language-modelling head.
    MissingPartError, DataError
        If it cannot be loaded, or is damaged.
    """
    if base.kind != "decoder":
        raise ConfigError(f"base {base.name!r} is an encoder, which writes no text. Name a decoder.")
    with understood(base.path_or_id):
        return _load_causal(base, method, compute)


def _load_causal(base: Base, method: Method, compute: Arithmetic) -> Any:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    dtype = torch.bfloat16 if compute == "bf16" else torch.float32
    where = base.path_or_id
    heads = _head_names(where)
    options: dict[str, Any] = {}
    if METHODS[method].quantised:
        options["quantization_config"] = untyped(BitsAndBytesConfig)(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            # A pattern, because transformers compares plain names from the start of a layer's full name.
            llm_int8_skip_modules=[rf"(.*\.)?{name}" for name in heads],
        )
    if torch.cuda.is_available():
        options["device_map"] = {"": device().index}
    try:
        with quiet():
            model, report = untyped(AutoModelForCausalLM).from_pretrained(
                where,
                dtype=dtype,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                **options,
            )
    except torch.OutOfMemoryError:
        raise
    except (OSError, ValueError, RuntimeError, SafetensorError) as failure:
        raise MissingPartError(f"base {base.name!r}: cannot be loaded as a language model ({failure}).") from failure
    missing = sorted(report["missing_keys"]) + [str(entry[0]) for entry in report.get("mismatched_keys", ())]
    if missing:
        raise NoHeadError(
            f"base {base.name!r}: its checkpoint lacks {', '.join(missing[:3])}, and what is invented writes nothing. "
            "Give the whole language model."
        )
    tokenizer = load_tokenizer(base)
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        raise ConfigError(
            f"base {base.name!r}: its tokenizer has {len(tokenizer)} tokens, its model "
            f"{model.get_input_embeddings().weight.shape[0]} embeddings. Use the tokenizer the model was trained with."
        )
    if tokenizer.eos_token_id is None:
        raise ConfigError(f"base {base.name!r}: its tokenizer has no token that ends a text. Name another base.")
    for config in (model.config, model.config.get_text_config()):
        config.pad_token_id = tokenizer.pad_token_id
    keep_autograd(model)
    return model.eval()


def _head_names(where: str) -> list[str]:
    """Return the last names of the modules that turn hidden states into words."""
    from transformers import AutoModelForCausalLM

    model = outline(where, AutoModelForCausalLM)
    head = model.get_output_embeddings()
    return [name.rpartition(".")[2] for name, module in model.named_modules() if module is head]
