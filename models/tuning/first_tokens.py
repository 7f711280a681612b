"""BERT trained on a CPU without what no loss reads: which bases are, and how they become so.

No padding is multiplied, and the last layer is carried out for first tokens alone, which are all that the head reads;
`embargo.models.tuning.fused` does so.
"""

from __future__ import annotations

from typing import Any

from embargo.models.loading.unpadded import UNPADDED
from embargo.models.tuning.dropout import drop_as_bytes


def takes_first_tokens(architecture: str | None, *, device: str, virtual_tokens: int) -> bool:
    """Return whether a base is trained so: BERT on a CPU, without virtual tokens before its texts."""
    return architecture in UNPADDED and device == "cpu" and not virtual_tokens


def take_first_tokens(model: Any) -> None:
    """Let a classifier of `UNPADDED`, or peft's wrapper of one, train so, in place; its weights stay as they are."""
    from embargo.models.tuning.fused import fuse

    classifier = model.get_base_model() if hasattr(model, "peft_config") else model
    if not classifier.config.is_decoder:
        drop_as_bytes(model)
        fuse(model)
