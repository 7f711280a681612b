"""BERT trained on a CPU without what no loss reads: the last layer for first tokens alone, and cheaper dropout.

The head reads the first token of a text, so that of the last layer only its keys and values are needed of the others;
gradients are those of the whole layer. What is dropped is drawn as bytes from a generator that each draw seeds from
torch's own, whose state a checkpoint holds: the same seed gives the same bits.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from embargo.models.loading.libraries import untyped
from embargo.models.loading.unpadded import UNPADDED

if TYPE_CHECKING:
    import torch

# Of so many equal parts dropout takes a whole number.
PARTS = 2**16


def takes_first_tokens(architecture: str | None, *, device: str, virtual_tokens: int) -> bool:
    """Return whether a base is trained so: BERT on a CPU, without virtual tokens before its texts."""
    return architecture in UNPADDED and device == "cpu" and not virtual_tokens


def take_first_tokens(model: Any) -> None:
    """Let a classifier of `UNPADDED`, or peft's wrapper of one, train so, in place; its weights stay as they are."""
    import torch

    classifier = model.get_base_model() if hasattr(model, "peft_config") else model
    if classifier.config.is_decoder:
        return
    last = classifier.bert.encoder.layer[-1]
    # Weakly: a model that holds itself would stay in memory after its last use.
    last.forward = partial(_first_tokens, ref(last))
    for module in model.modules():
        if type(module) is torch.nn.Dropout:
            untyped(module).forward = partial(_dropped, ref(module))


def _first_tokens(
    layer: ref[Any], hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, *_: Any, **__: Any
) -> torch.Tensor:
    """Return the states of the first tokens behind a layer, shape (texts, 1, width)."""
    import torch

    whole: Any = layer()
    own, first = whole.attention.self, hidden_states[:, :1]
    shape = (len(hidden_states), -1, own.num_attention_heads, own.attention_head_size)
    query, key, value = (
        multiply(states).view(shape).transpose(1, 2)
        for multiply, states in ((own.query, first), (own.key, hidden_states), (own.value, hidden_states))
    )
    mixed = torch.nn.functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=None if attention_mask is None else attention_mask[:, :, :1],
        dropout_p=own.dropout.p if own.training else 0.0,
    )
    attended = whole.attention.output(mixed.transpose(1, 2).reshape(first.shape[0], 1, -1), first)
    states: torch.Tensor = whole.feed_forward_chunk(attended)
    return states


def _dropped(module: ref[Any], states: torch.Tensor) -> torch.Tensor:
    """Return states of which a share was dropped, and the rest scaled up to make good for it."""
    import torch

    dropout: Any = module()
    threshold = min(round(dropout.p * PARTS), PARTS - 1)
    if not dropout.training or not threshold:
        return states
    seed = int(torch.randint(2**62, ()))
    drawn = np.random.SFC64(seed).random_raw(-(-states.numel() // 4)).view(np.uint16)[: states.numel()]
    kept = (torch.from_numpy(drawn >= threshold).view(states.shape)).to(states.dtype)
    return states * kept.mul_(PARTS / (PARTS - threshold))
