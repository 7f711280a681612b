"""Several texts in one row of tokens, so that a GPU multiplies no padding.

Positions start anew with each text and no text attends to another one, so that packed logits are those of the texts
taken alone, up to rounding. Which texts share a row is decided by their lengths and order and by nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embargo.data_loaders.errors import DataError
from embargo.models.loading.batches import padded_length

if TYPE_CHECKING:
    import torch

# Attention grows with the square of a row and the mask with it; at this length both are a few percent of the work.
ROW = 1024
# Decoders that find the borders of texts from their positions. Each was compared with itself unpacked.
PACKED_DECODERS = frozenset(
    {"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi", "phi3", "olmo2"}
)
PACKED_ENCODERS = frozenset({"bert"})


@dataclass(frozen=True)
class Packed:
    """Texts laid out in rows.

    Attributes
    ----------
    tokens, positions, owners : int64 arrays of shape (rows, length)
        Token ids; place of each token in its own text, from 0; number of its text within the row. What fills the end
        of a row counts as a text of its own, which nobody reads.
    rows, starts, ends : int64 arrays of shape (texts,)
        Row of each text, and its first and last place in it, in the order in which the texts were given.
    """

    tokens: np.ndarray
    positions: np.ndarray
    owners: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


def packable(model: Any, where: torch.device) -> bool:
    """Return whether texts go through a classifier in packed rows.

    They do through `PACKED_DECODERS`, and on a GPU through `PACKED_ENCODERS` (a CPU has them done sooner in padded
    batches), also with adapters in their layers. They do not behind virtual tokens, which belong before each text and
    not before a row, nor with foreign kernels of attention.

    Parameters
    ----------
    model : torch module
        From transformers, or peft's wrapper of it.
    where : torch.device
        Where it runs.
    """
    if any(getattr(adapter, "num_virtual_tokens", 0) for adapter in getattr(model, "peft_config", {}).values()):
        return False
    config = _classifier(model).config
    attention = config._attn_implementation
    if config.model_type in PACKED_ENCODERS:
        return bool(where.type == "cuda" and attention == "sdpa")
    return bool(config.model_type in PACKED_DECODERS and attention in ("sdpa", "eager"))


def token_groups(lengths: Sequence[int], budget: int) -> list[np.ndarray]:
    """Cut texts, in the order given, into groups of at most ``budget`` tokens; a longer text is alone.

    Parameters
    ----------
    lengths : sequence of int, length n
        Tokens of each text.
    budget : int
        Tokens that go through a model at once.

    Returns
    -------
    Int64 arrays of positions in ``lengths``, none empty, that together are 0 to n - 1.
    """
    groups: list[np.ndarray] = []
    first, held = 0, 0
    for place, length in enumerate(lengths):
        if place > first and held + length > budget:
            groups.append(np.arange(first, place))
            first, held = place, 0
        held += length
    if len(lengths):
        groups.append(np.arange(first, len(lengths)))
    return groups


def pack(texts: Sequence[Sequence[int]], pad_id: int, room: int | None = None) -> Packed:
    """Lay texts out in rows of at most ``room`` tokens, or of the longest text where that is longer.

    The longest text goes first, each into the first row that has room for it. Rows are as long as the fullest one,
    rounded up to a multiple of eight; only what is left behind it is filled up.

    Parameters
    ----------
    texts : sequence of sequences of int
        Token ids of each text.
    pad_id : int
        Token that fills up the end of a row.
    room : int, optional
        By default `ROW`.

    Raises
    ------
    DataError
        If there are no texts, or one has no token.
    """
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    if not len(lengths) or not lengths.all():
        raise DataError(f"packing: {len(lengths)} texts, {int((lengths == 0).sum())} without a token. Filter them out.")
    room = max(ROW if room is None else room, int(lengths.max()))
    filled: list[int] = []
    counts: list[int] = []
    rows, starts, owner = (np.empty(len(lengths), dtype=np.int64) for _ in range(3))
    for text in np.argsort(-lengths, kind="stable"):
        length = int(lengths[text])
        row = next((row for row, used in enumerate(filled) if used + length <= room), len(filled))
        if row == len(filled):
            filled.append(0)
            counts.append(0)
        rows[text], starts[text], owner[text] = row, filled[row], counts[row]
        filled[row] += length
        counts[row] += 1
    width = padded_length(max(filled))
    shape = (len(filled), width)
    tokens = np.full(shape, pad_id, dtype=np.int64)
    positions, owners = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for row, used in enumerate(filled):
        positions[row, used:] = np.arange(width - used)
        owners[row, used:] = counts[row]
    for text, content in enumerate(texts):
        place = (rows[text], slice(starts[text], starts[text] + lengths[text]))
        tokens[place], positions[place], owners[place] = content, np.arange(lengths[text]), owner[text]
    return Packed(tokens, positions, owners, rows, starts, starts + lengths - 1)


def packed_logits(model: Any, packed: Packed, where: torch.device) -> torch.Tensor:
    """Return the logits of packed texts, shape (texts, classes), in the order in which they were given to `pack`.

    Parameters
    ----------
    model : torch module
        One that is `packable`, on ``where``.
    packed : Packed
    where : torch.device
    """
    import torch

    classifier = _classifier(model)
    body = getattr(classifier, classifier.base_model_prefix)
    # One copy to the device for all of it.
    rows, starts, ends = torch.from_numpy(np.stack([packed.rows, packed.starts, packed.ends])).to(where)
    tokens, positions, owners = torch.from_numpy(np.stack([packed.tokens, packed.positions, packed.owners])).to(where)
    if classifier.config.model_type in PACKED_ENCODERS:
        apart = (owners[:, None, :, None] == owners[:, None, None, :]).contiguous()
        hidden = body(input_ids=tokens, position_ids=positions, attention_mask=apart).last_hidden_state
        first = body.pooler(hidden[rows, starts][:, None])
        encoded: torch.Tensor = classifier.classifier(classifier.dropout(first))
        return encoded
    # Without a mask and a cache the model reads the borders of texts from the positions.
    hidden = body(input_ids=tokens, position_ids=positions, use_cache=False).last_hidden_state
    decoded: torch.Tensor = classifier.score(hidden[rows, ends])
    return decoded


def _classifier(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "peft_config") and hasattr(model, "get_base_model") else model
