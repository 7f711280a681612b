"""A base as the language model that it was trained as, for questions that a classifier cannot answer."""

from __future__ import annotations

from typing import Any

from embargo.data_loaders.errors import MissingPartError
from embargo.models.bases.resolve import Base
from embargo.models.loading.libraries import untyped
from embargo.models.loading.load import deterministic, quiet
from embargo.models.methods.settings import Arithmetic


class NoHeadError(MissingPartError):
    """A base whose checkpoint holds no language-modelling head."""


def load_language_model(base: Base, compute: Arithmetic = "fp32") -> Any:
    """Load a base with the language-modelling head of its own checkpoint, on the CPU, for reading.

    Parameters
    ----------
    base : Base
    compute : {"fp32", "bf16"}
        Precision of its weights.

    Returns
    -------
    PreTrainedModel
        Causal for a decoder, masked for an encoder.

    Raises
    ------
    NoHeadError
        If the checkpoint has no such head, or cannot be loaded as a language model.

    Examples
    --------
    >>> from embargo.models import Base
    >>> from embargo.models.loading.language import load_language_model
    >>> load_language_model(Base("mine", "/nowhere", "decoder", None, "", weights_hash="ab"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    embargo.models.loading.language.NoHeadError: base 'mine': cannot be loaded as a language model ...
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    auto = untyped(AutoModelForMaskedLM if base.kind == "encoder" else AutoModelForCausalLM)
    try:
        with quiet(), deterministic(0):
            model, report = auto.from_pretrained(
                base.path_or_id,
                dtype=torch.bfloat16 if compute == "bf16" else torch.float32,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except (OSError, ValueError) as failure:
        raise NoHeadError(f"base {base.name!r}: cannot be loaded as a language model ({failure}).") from failure
    missing = sorted(report["missing_keys"]) + [str(entry[0]) for entry in report.get("mismatched_keys", ())]
    if missing:
        raise NoHeadError(
            f"base {base.name!r} has no language-modelling head in its checkpoint ({', '.join(missing)} are missing), "
            "and an invented one would measure nothing."
        )
    head = model.get_output_embeddings()
    if head is not None:
        # Shared weights would move with the tuned embeddings.
        head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=False)
    return model
