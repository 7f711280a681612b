"""BERT's classifier on a CPU without padding: texts lie end to end in rows of one length, whichever they are.

Linear layers multiply a row at a time, so that their products have one shape, and attention goes through the texts of
a row by their own lengths: a text's logits depend on the text alone. The last layer is carried out for the first token
of each text, which is all that the head reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from embargo.data_loaders.fields import CLASSES
from embargo.models.loading.batches import CHUNK, padded_length, refuse_strange
from embargo.models.loading.libraries import untyped
from embargo.models.loading.packing import Packed, pack
from embargo.models.scorer import Progress

if TYPE_CHECKING:
    import torch

# Architectures whose layers are carried out here.
UNPADDED = frozenset({"bert"})
# Tokens of a row: as quick as more, and what a single text takes.
ROOM = 512
# First tokens that go through the last layer together.
FIRSTS = 16


class Unpadded:
    """A classifier of `UNPADDED`, its linear layers laid out for rows of one length.

    Parameters
    ----------
    model : torch module
        BERT for sequence classification on the CPU, in eval mode, without adapters beside its layers.
    room : int
        Tokens of a row. A longer text has a row to itself.
    """

    def __init__(self, model: Any, room: int) -> None:
        self.room = room
        self._embeddings, self._pooler, self._head = model.bert.embeddings, model.bert.pooler, model.classifier
        layers = list(model.bert.encoder.layer)
        self._layers = [_Layer(layer, room, room) for layer in layers[:-1]]
        self._last = _Layer(layers[-1], room, FIRSTS)

    def logits(self, texts: Sequence[Sequence[int]], pad_id: int, progress: Progress | None = None) -> np.ndarray:
        """Return the logits of bearish, neutral and bullish, float64 of shape (len(texts), 3).

        Parameters
        ----------
        texts : sequence of token ids, none of them empty
        pad_id : int
            Token that fills up the end of a row.
        progress : callable, optional
            Called with (texts done, texts in all).

        Raises
        ------
        DataError
            If a logit is not finite.
        """
        result, done = np.empty((len(texts), len(CLASSES))), 0
        for group, width in _groups([len(text) for text in texts], self.room):
            packed = pack([texts[text] for text in group], pad_id, self.room)
            for row in range(len(packed.tokens)):
                held = np.flatnonzero(packed.rows == row)
                held = held[np.argsort(packed.starts[held], kind="stable")]
                result[group[held]] = self._row(packed, row, held, width)
                done += len(held)
                if progress is not None:
                    progress(done, len(texts))
        return refuse_strange(result)

    def _row(self, packed: Packed, row: int, held: np.ndarray, width: int) -> np.ndarray:
        """Return the logits of the texts that a row holds, given in the order in which they stand in it."""
        import torch

        firsts = torch.from_numpy(packed.starts[held])
        spans = list(_spans(packed.ends[held] - packed.starts[held] + 1))
        ids, places = (torch.from_numpy(each[row])[None] for each in (packed.tokens, packed.positions))
        # What fills up a row is read by nobody, and may stand beyond the last place of a text.
        places = places.clamp(max=self._embeddings.position_embeddings.num_embeddings - 1)
        hidden = self._embeddings(
            input_ids=torch.nn.functional.pad(ids, (0, width - ids.shape[1])),
            position_ids=torch.nn.functional.pad(places, (0, width - ids.shape[1])),
        )[0]
        for layer in self._layers:
            hidden = layer.all_tokens(hidden, spans)
        read = self._last.first_tokens(hidden, spans, firsts)
        logits = [self._head(self._pooler(part[:, None])) for part in torch.split(read, FIRSTS)]
        return np.asarray(torch.cat(logits)[: len(held)].double().numpy())


class _Layer:
    """A layer of BERT whose keys and values are taken of rows of ``room`` tokens, and the rest of ``asked`` of them."""

    def __init__(self, layer: Any, room: int, asked: int) -> None:
        own = layer.attention.self
        self.heads, self.activation = own.num_attention_heads, layer.intermediate.intermediate_act_fn
        self.key, self.value = (_multiplier(each, room) for each in (own.key, own.value))
        self.query, self.mix, self.widen, self.narrow = (
            _multiplier(each, asked)
            for each in (own.query, layer.attention.output.dense, layer.intermediate.dense, layer.output.dense)
        )
        self.beside, self.above = layer.attention.output.LayerNorm, layer.output.LayerNorm

    def all_tokens(self, hidden: torch.Tensor, spans: Sequence[tuple[int, int]]) -> torch.Tensor:
        """Return the states behind the layer, of the shape of those before it: (tokens, width)."""
        import torch

        key, value, query = self.key(hidden), self.value(hidden), self.query(hidden)
        mixed, start = torch.zeros_like(query), 0
        for count, length in spans:
            own = slice(start, start + count * length)
            mixed[own] = self._attend(query[own], key[own], value[own], count)
            start += count * length
        return self._onward(mixed, hidden)

    def first_tokens(
        self, hidden: torch.Tensor, spans: Sequence[tuple[int, int]], firsts: torch.Tensor
    ) -> torch.Tensor:
        """Return the states of the texts' first tokens behind the layer, filled up to a multiple of `FIRSTS` rows."""
        import torch

        key, value = self.key(hidden), self.value(hidden)
        asked = hidden[torch.nn.functional.pad(firsts, (0, -len(firsts) % FIRSTS))]
        query = torch.cat([self.query(part) for part in torch.split(asked, FIRSTS)])
        mixed, start, text = torch.zeros_like(query), 0, 0
        for count, length in spans:
            own, mine = slice(start, start + count * length), slice(text, text + count)
            mixed[mine] = self._attend(query[mine], key[own], value[own], count)
            start, text = start + count * length, text + count
        parts = zip(torch.split(mixed, FIRSTS), torch.split(asked, FIRSTS), strict=True)
        return torch.cat([self._onward(part, before) for part, before in parts])

    def _attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, count: int) -> torch.Tensor:
        """Let ``count`` texts of one length, which lie one behind the other, attend each to itself."""
        import torch

        shape = (count, -1, self.heads, query.shape[1] // self.heads)
        asked, keys, values = (each.view(shape).transpose(1, 2) for each in (query, key, value))
        mixed = torch.nn.functional.scaled_dot_product_attention(asked, keys, values)
        return mixed.transpose(1, 2).reshape(query.shape)

    def _onward(self, mixed: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        attended = self.beside(self.mix(mixed) + before)
        states: torch.Tensor = self.above(self.narrow(self.activation(self.widen(attended))) + attended)
        return states


def _groups(lengths: Sequence[int], room: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield some thousand texts of about one length each, and how long their rows are; a text beyond ``room`` alone."""
    counts = np.array(lengths, dtype=np.int64)
    order = np.argsort(counts, kind="stable")
    fitting = int((counts <= room).sum())
    for start in range(0, fitting, CHUNK):
        yield order[start : min(start + CHUNK, fitting)], room
    for text in order[fitting:]:
        yield np.array([text]), padded_length(int(counts[text]))


def _spans(lengths: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield (texts, length) of neighbours of one length."""
    for length, same in groupby(lengths.tolist()):
        yield len(list(same)), length


def _multiplier(layer: Any, rows: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a linear layer as a function, its weights laid out for that many rows where oneDNN is there."""
    import torch

    weight, bias = layer.weight.detach(), layer.bias.detach()
    if weight.dtype == torch.float32 and untyped(torch.backends.mkldnn).is_available():
        laid_out = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
        return lambda states: torch.ops.mkldnn._linear_pointwise(states, laid_out, bias, "none", [], "")
    return partial(torch.nn.functional.linear, weight=weight, bias=bias)
