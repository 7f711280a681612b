"""Dropout that costs little on a CPU: what is dropped is drawn as bytes.

They come from a generator that each draw seeds from torch's own, whose state a checkpoint holds: the same seed gives
the same bits.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from embargo.models.loading.libraries import untyped

if TYPE_CHECKING:
    import torch

# Of so many equal parts dropout takes a whole number.
PARTS = 2**16


def drop_as_bytes(model: Any) -> None:
    """Let dropout draw what it drops as bytes, in place."""
    import torch

    for module in model.modules():
        if type(module) is torch.nn.Dropout:
            # Weakly: a model that holds itself would stay in memory after its last use.
            untyped(module).forward = partial(_dropped, ref(module))


def draw_kept(shape: tuple[int, ...], share: float, dtype: torch.dtype) -> tuple[torch.Tensor | None, float]:
    """Return what dropout keeps of a tensor, ones and zeros, and the scale that makes good for the rest.

    None where nothing is dropped.
    """
    import torch

    threshold = min(round(share * PARTS), PARTS - 1)
    if not threshold:
        return None, 1.0
    seed, size = int(torch.randint(2**62, ())), math.prod(shape)
    drawn = np.random.SFC64(seed).random_raw(-(-size // 4)).view(np.int16)[:size]
    kept = torch.empty(shape, dtype=dtype)
    # One pass, a comparison into numbers. The bytes are read as signed numbers, which torch compares.
    torch.ge(torch.from_numpy(drawn).view(shape), threshold - PARTS // 2, out=kept)
    return kept, PARTS / (PARTS - threshold)


def _dropped(module: ref[Any], states: torch.Tensor) -> torch.Tensor:
    """Return states of which a share was dropped, and the rest scaled up to make good for it."""
    dropout: Any = module()
    kept, grown = draw_kept(tuple(states.shape), dropout.p if dropout.training else 0.0, states.dtype)
    return states if kept is None else states * kept.mul_(grown)
