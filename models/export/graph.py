"""Write a classifier as an ONNX graph with free batch and sequence axes, and round it to 8 bits with fixed scales.

What cannot be written is refused by name before any weight is loaded. Scales of activations come from given texts and
never from the batch at hand.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from embargo.data_loaders.errors import ConfigError, MissingPartError
from embargo.data_loaders.fields import CLASSES
from embargo.models.bases.folders import folder_shapes
from embargo.models.bases.resolve import Base
from embargo.models.loading.batches import LENGTH_STEP, padded_length
from embargo.models.loading.load import quiet
from embargo.models.scorers.onnx import graph_inputs, require

OPSET = 17
# A protobuf file ends at 2 GiB.
LARGEST_BYTES = 2_000_000_000
# Architectures whose traced graph was seen to equal torch at shapes other than the traced one.
EXPORTABLE = frozenset(
    [
        "bert",
        "deberta-v2",
        "distilbert",
        "electra",
        "gemma",
        "gemma2",
        "gemma3_text",
        "gpt2",
        "llama",
        "mistral",
        "modernbert",
        "olmo2",
        "opt",
        "phi",
        "phi3",
        "qwen2",
        "qwen3",
        "roberta",
        "xlm-roberta",
    ]
)


def check_exportable(base: Base) -> None:
    """Refuse a base that no ONNX file can be made of, before any weight is loaded.

    Raises
    ------
    ConfigError
        If its architecture is not among ``EXPORTABLE``, or its weights are more than one file holds.
    """
    architecture = base.architecture
    if architecture not in EXPORTABLE:
        raise ConfigError(
            f"base {base.name!r}: architecture {architecture!r} cannot be exported to ONNX here. It can be merged; "
            f"exported can be {', '.join(sorted(EXPORTABLE))}."
        )
    weights = sum(math.prod(shape) for shape in folder_shapes(Path(base.path_or_id)).values())
    if 4 * weights > LARGEST_BYTES:
        raise ConfigError(
            f"base {base.name!r}: {weights:,} weights are more than one ONNX file holds (2 GB in fp32). Merge it "
            "instead."
        )


def write_tokenizer(base: Base, tokenizer: Any, path: Path) -> None:
    """Write the tokenizer as the one file that the package ``tokenizers`` reads, without padding and cut.

    Raises
    ------
    MissingPartError
        If the tokenizer has no such form.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise MissingPartError(
            f"base {base.name!r}: its tokenizer has no fast form, which a scorer without transformers needs. "
            "Use a base with a tokenizer.json."
        )
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    backend.save(str(path))


def write_graph(model: Any, path: Path) -> None:
    """Trace a transformers classifier, inputs ``input_ids`` and ``attention_mask``, output ``logits``, in fp32.

    The model is left on the CPU and without fused attention.
    """
    import torch

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    model = model.cpu()
    model.config.use_cache = False
    # Attention spelt out: fused attention has branches that a trace would freeze.
    model.set_attn_implementation("eager")
    axes = {0: "batch", 1: "sequence"}
    # Two rows, one of them padded, so that no branch for a single row or a full mask is what the trace records.
    example = torch.ones((2, 2 * LENGTH_STEP), dtype=torch.int64)
    mask = example.clone()
    mask[1, LENGTH_STEP:] = 0
    with quiet(), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Logits().eval(),
            (example, mask),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "batch"}},
        )


def quantise(path: Path, tokens: list[list[int]], pad_id: int) -> None:
    """Round the graph's linear layers to 8 bits in place, all but the head.

    Parameters
    ----------
    path : Path
        A graph that ``write_graph`` wrote.
    tokens : list of lists of int
        Texts whose activations, from lowest to highest, set the scales.
    pad_id : int
    """
    onnx = require("onnx")
    quantization = require("onnxruntime.quantization")

    class Batches:
        def __init__(self) -> None:
            self._rows = iter(tokens)

        def get_next(self) -> dict[str, np.ndarray] | None:
            row = next(self._rows, None)
            return None if row is None else graph_inputs([row], pad_id, padded_length(len(row)))

    model = onnx.load(str(path))
    shapes = {weight.name: tuple(weight.dims) for weight in model.graph.initializer}
    # The head decides the class and is small: it stays exact.
    heads = [
        node.name
        for node in model.graph.node
        if node.op_type in ("MatMul", "Gemm") and len(CLASSES) in shapes.get(node.input[1], ())
    ]
    with _silenced(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantization.quantize_static(
            model,
            str(path),
            Batches(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            # Seven bits of weight: with eight, processors without VNNI saturate in 16 bits and give other logits.
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=heads,
            extra_options={
                "MatMulConstBOnly": True,
                "OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"],
            },
        )


@contextmanager
def _silenced() -> Iterator[None]:
    # ONNX Runtime's quantiser advises a preparation step through the root logger; it changes nothing here.
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
