"""Score texts with an exported model: ONNX Runtime, the tokenizer's own file and numpy, without torch or transformers.

Every file is checked against the manifest before it is used, and the machine must reproduce the logits that were
recorded at export. A text's logits depend on the text alone: activations have static scales and padding is a function
of the text, so batches may be of any size.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import DataError, MissingPartError
from embargo.data_loaders.fields import CLASSES
from embargo.models.bases.folders import refuse_links, refuse_pickles, understood
from embargo.models.calibration.fitting import Calibration
from embargo.models.content import check_seal, json_hash, read_manifest
from embargo.models.loading.batches import batched_logits, padded, tokens_of
from embargo.models.scorer import Progress

ONNX = "onnx"
MODEL = "model.onnx"
TOKENIZER = "tokenizer.json"
# How a graph that does not hold its weights itself says where they lie.
EXTERNAL = b"\x08location"
TOKEN_BUDGET = 1024
# What rounding differs by between processors: fp32 sums in another order, and in int8 a value near the edge of a step
# falls to its other side.
REPRODUCTION = {"fp32": 1e-3, "int8": 0.25}
DETERMINING = (
    "kind",
    "files",
    "precision",
    "max_length",
    "padding_step",
    "smallest_batch",
    "pad_token_id",
    "truncation_side",
)


def require(name: str) -> Any:
    """Import an optional package of the extra ``onnx``.

    Raises
    ------
    MissingPartError
        If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as failure:
        raise MissingPartError(
            f"package {name.partition('.')[0]!r} is not installed. Run: pip install 'embargo-backtest[onnx]'."
        ) from failure


class OnnxScorer:
    """An exported model that turns texts into logits.

    Parameters
    ----------
    folder : Path
        As ``embargo.models.export.onnx.export_onnx`` wrote it.
    token_budget : int
        Tokens, padding included, in a batch; changes no logit.
    threads : int
        Threads that share an operation. With more than one the last digits of a logit hang on their number.

    Attributes
    ----------
    identity : str
        sha256 over everything that determines a logit.
    knowledge_cutoff : Timestamp or None
        Latest instant that anything in it could know, UTC; None if unknown.
    calibration : Calibration
        Turns the logits into probabilities.
    manifest : dict
        What was exported from what, and how far the two agree.

    Raises
    ------
    MissingPartError
        If ONNX Runtime is not installed, or the folder is not there.
    DataError
        If a file is missing or differs from the manifest, or this machine does not reproduce the recorded logits.

    Examples
    --------
    >>> from embargo.models import OnnxScorer
    >>> OnnxScorer("nowhere")
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.MissingPartError: no exported model at nowhere. Check the path, or export one.
    """

    def __init__(self, folder: str | Path, *, token_budget: int = TOKEN_BUDGET, threads: int = 1) -> None:
        runtime = require("onnxruntime")
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise MissingPartError(f"no exported model at {self.folder}. Check the path, or export one.")
        refuse_links(self.folder)
        refuse_pickles(self.folder)
        with understood(self.folder, "exported model"):
            self.manifest = opened_manifest(self.folder)
            self.identity: str = identity_of(self.manifest)
            cutoff = self.manifest["knowledge_cutoff"]
            self.knowledge_cutoff: pd.Timestamp | None = None if cutoff is None else pd.Timestamp(cutoff).as_unit("us")
            self.calibration = Calibration.from_dict(self.manifest["calibration"])
            self._token_budget, self._threads = token_budget, threads
            self._tokenizer = _open_tokenizer(self.folder, self.manifest)
            self._session = _open_session(runtime, self.folder / MODEL, threads)
            self._reproduce()

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process opens, and checks, the files by itself.
        return partial(OnnxScorer, self.folder, token_budget=self._token_budget, threads=self._threads), ()

    def logits(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return the logits of bearish, neutral and bullish, float64 of shape (len(texts), 3).

        Parameters
        ----------
        texts : sequence of str
        progress : callable, optional
            Called with (texts done, texts in all).

        Raises
        ------
        DataError
            If a text has no token.
        """
        pad_id = int(self.manifest["pad_token_id"])

        def forward(rows: Sequence[Sequence[int]], length: int) -> np.ndarray:
            return np.asarray(self._session.run(["logits"], graph_inputs(rows, pad_id, length))[0])

        return batched_logits(
            self.encode(texts),
            forward,
            token_budget=self._token_budget,
            step=int(self.manifest["padding_step"]),
            smallest=int(self.manifest["smallest_batch"]),
            progress=progress,
        )

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, cut to the model's maximum length, as in tuning.

        Raises
        ------
        DataError
            If a text has no token.
        """
        return tokens_of(texts, lambda chunk: [found.ids for found in self._tokenizer.encode_batch(chunk)])

    def _reproduce(self) -> None:
        recorded = self.manifest["recorded"]
        before = np.array(recorded["logits"], dtype=float).reshape(-1, len(CLASSES))
        moved = float(np.abs(self.logits(recorded["texts"]) - before).max(initial=0.0))
        allowed = REPRODUCTION[self.manifest["precision"]]
        # Written so that a logit which is no number is refused too.
        if not moved <= allowed:
            raise DataError(
                f"{self.folder / MODEL}: this machine moves the recorded logits by {moved:.2g}, more than {allowed:g}. "
                "Export the model again here."
            )


def graph_inputs(rows: Sequence[Sequence[int]], pad_id: int, length: int) -> dict[str, np.ndarray]:
    """Return the graph's inputs, ``input_ids`` and ``attention_mask``, int64 of shape (len(rows), length)."""
    ids, mask = padded(rows, pad_id, length)
    return {"input_ids": ids, "attention_mask": mask}


def identity_of(manifest: dict[str, Any]) -> str:
    """Return the sha256 (hex) over what determines a logit: files, cut and padding; not calibration or figures."""
    return json_hash({name: manifest[name] for name in DETERMINING})


def opened_manifest(folder: Path) -> dict[str, Any]:
    """Check every file of an exported model, the manifest included, and return the manifest.

    Raises
    ------
    DataError
        If it is no exported model, or a file is missing or differs from what was written.
    """
    manifest = read_manifest(folder)
    if manifest.get("kind") != ONNX:
        raise DataError(f"{folder}: holds {manifest.get('kind')!r}, not an exported model. Export it to ONNX first.")
    check_seal(folder, manifest)
    return manifest


def _open_tokenizer(folder: Path, manifest: dict[str, Any]) -> Any:
    tokenizer = require("tokenizers").Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=int(manifest["max_length"]), direction=manifest["truncation_side"])
    return tokenizer


def _open_session(runtime: Any, model: Path, threads: int) -> Any:
    if EXTERNAL in model.read_bytes():
        raise DataError(f"{model}: takes weights from other files, which no hash here covers. Export the model again.")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as failure:  # ONNX Runtime has no common ancestor of its errors
        raise DataError(
            f"{model}: ONNX Runtime {runtime.__version__} cannot load it ({failure}). Export the model again."
        ) from failure
