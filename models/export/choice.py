"""What ``model.scorer = "auto"`` stands for: ONNX in fp32 where it repays its export, else torch.

The choice hangs on the base, the method and the number of texts that a fold learns from, all known when its training
ends, and on no clock and no text that comes later: the same run scores with the same on one kind of machine. The
probabilities of both are the same up to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from embargo.data_loaders.errors import ConfigError, MissingPartError
from embargo.models.bases.folders import folder_shapes
from embargo.models.bases.resolve import Base
from embargo.models.export.graph import check_exportable
from embargo.models.export.onnx import require_onnx
from embargo.models.loading.devices import device_type
from embargo.models.loading.unpadded import UNPADDED
from embargo.models.methods.cards import METHODS
from embargo.models.methods.settings import Arithmetic, Method
from embargo.models.scorer import Runtime

# CPU seconds of one thread in fp32, seen with MiniLM and tweets of 42 tokens on a processor with AVX-512: what ONNX
# saves of padded batches for each text and weight outside the embeddings; what an export takes, libraries to be loaded
# included, at least and for each weight.
SAVED = 6e-10
EXPORT_SECONDS, EXPORT_PER_WEIGHT = 5.0, 1.5e-7


@dataclass(frozen=True)
class RuntimeChoice:
    """What scores, and why in a few words.

    Examples
    --------
    >>> from embargo.models.export.choice import RuntimeChoice
    >>> RuntimeChoice("torch", "onnxruntime is not installed").to_dict()["name"]
    'torch'
    """

    name: Runtime
    why: str

    def to_dict(self) -> dict[str, str]:
        """Return it as a manifest holds it."""
        return {"name": self.name, "why": self.why}


def choose_runtime(base: Base, method: Method, compute: Arithmetic, n_texts: int) -> RuntimeChoice:
    """Choose what scores a tuned transformer.

    Parameters
    ----------
    base : Base
    method : str
        It was tuned with.
    compute : {"fp32", "bf16"}
        Arithmetic it is scored in by torch.
    n_texts : int
        Texts that the fold learns from, the validation part included: as many are taken to be scored.

    Returns
    -------
    RuntimeChoice of ``"torch"`` or ``"onnx"``.
    """
    if device_type() == "cuda":
        return RuntimeChoice("torch", "a GPU scores with torch")
    if compute == "bf16":
        return RuntimeChoice("torch", "this processor multiplies in bf16, which ONNX in fp32 is not quicker than")
    if not METHODS[method].mergeable:
        return RuntimeChoice("torch", f"an adapter of method {method!r} cannot be merged")
    if base.architecture in UNPADDED:
        return RuntimeChoice("torch", f"{base.architecture} is scored without padding")
    try:
        require_onnx()
        check_exportable(base)
    except (MissingPartError, ConfigError) as refusal:
        return RuntimeChoice("torch", str(refusal))
    saved, spent = n_texts * SAVED * _weights(base, inner=True), EXPORT_SECONDS + EXPORT_PER_WEIGHT * _weights(base)
    if saved <= spent:
        return RuntimeChoice("torch", f"{n_texts:,} texts of this base do not repay an export")
    return RuntimeChoice("onnx", f"{n_texts:,} texts of this base repay an export")


def _weights(base: Base, *, inner: bool = False) -> int:
    """Return how many weights a base has, or those of its layers alone, without tables of embeddings."""
    shapes = folder_shapes(Path(base.path_or_id))
    return sum(math.prod(shape) for name, shape in shapes.items() if not (inner and "embed" in name))
