"""Embeddings of texts by an encoder: the mean of its last hidden states, of length one.

A text's embedding depends on the text alone and not on which others are embedded beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from embargo.data_loaders.errors import ConfigError, MissingPartError
from embargo.data_loaders.threads import one_thread
from embargo.models.bases.folders import understood
from embargo.models.bases.resolve import Base
from embargo.models.loading.batches import batches
from embargo.models.loading.devices import device_type
from embargo.models.loading.libraries import untyped
from embargo.models.loading.load import (
    deterministic,
    device,
    encode,
    load_tokenizer,
    pad,
    padding_step,
    quiet,
    readable_length,
)

TOKEN_BUDGET = 1024


class Embedder:
    """An encoder that turns texts into unit vectors.

    Parameters
    ----------
    base : Base
        An encoder.
    max_length : int
        Tokens after which a text is cut.

    Attributes
    ----------
    identity : dict
        What determines an embedding.

    Raises
    ------
    ConfigError
        If the base is a decoder.

    References
    ----------
    Reimers and Gurevych (2019), "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", arXiv 1908.10084.

    Examples
    --------
    >>> from embargo.models import resolve_base
    >>> from embargo.models.loading.embedding import Embedder
    >>> vectors = Embedder(resolve_base("minilm")).embed(["Profit rose.", "Earnings went up.", "It rained."])
    >>> (vectors @ vectors.T)[0].round(1).tolist()
    [1.0, 0.4, 0.2]
    """

    def __init__(self, base: Base, *, max_length: int = 128) -> None:
        require_encoder(base)
        self._base = base
        self._max_length = max_length
        self._loaded: tuple[Any, Any] | None = None
        self.identity = {
            "encoder": base.weights_hash,
            "max_length": max_length,
            "device": device_type(),
            "versions": {name: version(name) for name in ("torch", "transformers")},
        }

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return the embeddings, float64 of shape (len(texts), width), each of length one.

        Raises
        ------
        DataError
            If a text has no token.
        """
        import torch

        tokenizer, model = self._model()
        longest = readable_length(tokenizer, self._max_length)
        tokens = encode(tokenizer, texts, longest)
        result = np.empty((len(tokens), int(model.config.hidden_size)))
        with torch.inference_mode(), one_thread():
            for rows, length, size in batches(
                [len(ids) for ids in tokens], token_budget=TOKEN_BUDGET, step=padding_step(self._base, longest)
            ):
                filled = rows + [rows[0]] * (size - len(rows))
                ids, mask = (each.to(device()) for each in pad([tokens[row] for row in filled], self._pad, length))
                hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state.double()
                weights = mask.double()[:, :, None]
                means = torch.nn.functional.normalize((hidden * weights).sum(dim=1) / weights.sum(dim=1), dim=1)
                result[rows] = means.cpu().numpy()[: len(rows)]
        return result

    def _model(self) -> tuple[Any, Any]:
        if self._loaded is None:
            self._loaded = load_tokenizer(self._base), _body(self._base)
            self._pad = int(self._loaded[0].pad_token_id)
        return self._loaded


def require_encoder(base: Base) -> None:
    """Raise ConfigError if texts are not embedded with a base."""
    if base.kind != "encoder":
        raise ConfigError(
            f"embedding: base {base.name!r} is a {base.kind}. Name an encoder, such as 'minilm', or retrieve by 'bm25'."
        )


def _body(base: Base) -> Any:
    import torch
    from transformers import AutoModel

    with understood(base.path_or_id):
        try:
            with quiet(), deterministic(0):
                model, report = untyped(AutoModel).from_pretrained(
                    base.path_or_id,
                    dtype=torch.float32,
                    local_files_only=True,
                    use_safetensors=True,
                    trust_remote_code=False,
                    output_loading_info=True,
                )
        except (OSError, ValueError) as failure:
            raise MissingPartError(f"base {base.name!r}: cannot be loaded to embed with ({failure}).") from failure
    missing = [key for key in report["missing_keys"] if not key.startswith("pooler")]
    if missing:
        raise MissingPartError(
            f"base {base.name!r} lacks {len(missing)} tensors of the model's body, first {min(missing)}. Fetch the "
            "whole model."
        )
    return model.to(device()).eval()
