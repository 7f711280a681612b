"""The state of a training between two passes, in one file that a killed training goes on from.

Tensors are safetensors and the rest is JSON in the file's own header, sealed with a hash: a damaged file is recognised
and the training starts over, which costs time and changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embargo.models.content import json_hash


@dataclass(frozen=True)
class Checkpoint:
    """What a training needs to go on: tensors by name, what JSON can hold, and the CPU and wall seconds it took."""

    tensors: Mapping[str, Any]
    state: Mapping[str, Any]
    took: tuple[float, float] = (math.nan, math.nan)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint at ``path``; a kill at any moment leaves the former one or the new one."""
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    state = json.dumps(checkpoint.state, sort_keys=True, allow_nan=False)
    took = " ".join(map(repr, checkpoint.took))
    handle, scratch = tempfile.mkstemp(prefix=path.name, dir=path.parent)
    os.close(handle)
    try:
        save_file(tensors, scratch, metadata={"state": state, "took": took, "seal": _seal(tensors, state + took)})
        Path(scratch).replace(path)
    finally:
        Path(scratch).unlink(missing_ok=True)


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Return the checkpoint at ``path``; None, with a warning, if it is damaged, and None if there is none."""
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        # A release that did not measure wrote none.
        state, took = notes.get("state", ""), notes.get("took", "")
        if notes.get("seal") == _seal(tensors, state + took):
            cpu, wall = map(float, (took or "nan nan").split())
            return Checkpoint(tensors=tensors, state=json.loads(state), took=(cpu, wall))
        reason = "its contents do not match its seal"
    except (OSError, SafetensorError) as failure:
        reason = str(failure)
    warnings.warn(f"{path}: the checkpoint is damaged ({reason}); tuning starts over.", RuntimeWarning, stacklevel=2)
    return None


def _seal(tensors: Mapping[str, Any], state: str) -> str:
    import torch

    digests = {
        name: [
            str(tensor.dtype),
            list(tensor.shape),
            hashlib.sha256(tensor.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest(),
        ]
        for name, tensor in tensors.items()
    }
    return json_hash([digests, state])
