"""Linear layers, low-rank adapters and attention over texts that lie end to end, each one step of autograd each way.

Frozen weights are laid out once for oneDNN, both ways, and no gradient of them is taken; 4-bit ones are read back once.
Products with a low-rank adapter run along the long side of their operands, which MKL multiplies several times as
fast. Torch is loaded with this module: import it where something is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from embargo.models.loading.libraries import untyped
from embargo.models.loading.load import dense_layer

# Rows that weights are laid out for; other numbers of rows are multiplied with the same layout.
ROWS = 1024


def dense(layer: Any) -> Any:
    """Return a linear layer as one of fp32 weights, also where they are held in 4 bits."""
    return dense_layer(layer, torch.float32) if hasattr(layer.weight, "quant_state") else layer


class Frozen:
    """A linear layer whose weights stay as they are; it holds them twice, laid out for each way.

    Parameters
    ----------
    layer : torch.nn.Linear or bitsandbytes' Linear4bit
        In fp32, without gradients of its own.
    """

    def __init__(self, layer: Any) -> None:
        plain = dense(layer)
        weight, self.bias = plain.weight.detach(), None if plain.bias is None else plain.bias.detach()
        self.multiply: Callable[..., torch.Tensor]
        if untyped(torch.backends.mkldnn).is_available():
            lay_out, product = torch.ops.mkldnn._reorder_linear_weight, torch.ops.mkldnn._linear_pointwise
            self._forth, self._back = lay_out(weight, ROWS), lay_out(weight.t().contiguous(), ROWS)
            self.multiply = lambda states, laid_out, bias: product(states, laid_out, bias, "none", [], "")
        else:
            self._forth, self._back = weight, weight.t()
            self.multiply = functional.linear

    def forth(self, states: torch.Tensor) -> torch.Tensor:
        """Return the layer's outputs of states of shape (rows, inputs)."""
        return self.multiply(states, self._forth, self.bias)

    def back(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the gradient of the inputs, shape (rows, inputs), from that of the outputs."""
        return self.multiply(gradient.contiguous(), self._back, None)


class LinearStep(torch.autograd.Function):
    """A frozen layer's outputs, shape (tokens, outputs), of states of shape (tokens, inputs)."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, frozen: Frozen) -> torch.Tensor:
        """Return the outputs, and keep what the way back needs."""
        ctx.frozen = frozen
        return frozen.forth(states)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Return the gradient of each input, None where there is none."""
        return ctx.frozen.back(gradient), None


class AdaptedStep(torch.autograd.Function):
    """A frozen layer's outputs plus ``scale`` times those of a low-rank adapter, which reads what dropout keeps."""

    @staticmethod
    def forward(
        ctx: Any,
        states: torch.Tensor,
        down: torch.Tensor,
        up: torch.Tensor,
        kept: torch.Tensor | None,
        scale: float,
        frozen: Frozen,
    ) -> torch.Tensor:
        """Return the outputs, and keep what the way back needs."""
        read = states if kept is None else states * kept
        narrow = down @ read.t()
        ctx.save_for_backward(read, narrow, down, up, kept)
        ctx.frozen, ctx.scale = frozen, scale
        return frozen.forth(states).addmm_(narrow.t(), up.t(), alpha=scale)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradient of each input, None where there is none."""
        read, narrow, down, up, kept = ctx.saved_tensors
        of_up = (narrow @ gradient).t() * ctx.scale
        of_narrow = (up.t().contiguous() * ctx.scale) @ gradient.t()
        of_states = None
        if ctx.needs_input_grad[0]:
            of_states, through = ctx.frozen.back(gradient), of_narrow.t() @ down
            of_states = of_states.add_(through) if kept is None else of_states.addcmul_(through, kept)
        return of_states, of_narrow @ read, of_up, None, None, None


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a batch stand, padded or end to end.

    Attributes
    ----------
    texts, tokens : int
        Texts of the batch, and tokens of the longest.
    places : int64 tensor of shape (all tokens,) or None
        Place of each token among the ``texts * tokens`` of the padded batch; None where no text is padded.
    sources : int64 tensor of shape (texts * tokens,) or None
        Which token stands at each place; any stands for padding, which ``bias`` shuts out.
    bias : tensor of shape (texts, 1, 1, tokens) or None
        Added to the scores of attention: zeros, and minus infinity at padding.
    firsts : int64 tensor of shape (texts,)
        The first token of each text.
    """

    texts: int
    tokens: int
    places: torch.Tensor | None
    sources: torch.Tensor | None
    bias: torch.Tensor | None
    firsts: torch.Tensor

    @classmethod
    def of(cls, shape: torch.Size, mask: torch.Tensor | None) -> Layout:
        """Return the layout of states of shape (texts, tokens, ...) with a mask as transformers makes it."""
        texts, tokens = shape[:2]
        if mask is None:
            return cls(texts, tokens, None, None, None, torch.arange(texts) * tokens)
        read = mask[:, 0, 0] if mask.dtype == torch.bool else mask[:, 0, 0] == 0
        numbers = read.flatten().cumsum(0)
        sources = (numbers - 1).clamp_min(0)
        bias = torch.zeros(read.shape).masked_fill_(~read, -torch.inf)[:, None, None]
        return cls(texts, tokens, read.flatten().nonzero()[:, 0], sources, bias, sources.view(texts, tokens)[:, 0])

    def padded(self, states: torch.Tensor) -> torch.Tensor:
        """Return states of shape (all tokens, width) as (texts, tokens, width)."""
        spread = states if self.sources is None else states.index_select(0, self.sources)
        return spread.view(self.texts, self.tokens, -1)

    def unpadded(self, states: torch.Tensor) -> torch.Tensor:
        """Return states of shape (texts, tokens, width) as (all tokens, width)."""
        flat = states.reshape(self.texts * self.tokens, -1)
        return flat if self.places is None else flat.index_select(0, self.places)

    def padded_with_zeros(self, states: torch.Tensor) -> torch.Tensor:
        """Return states of shape (all tokens, width) as (texts, tokens, width), padding as zeros."""
        if self.places is None:
            return self.padded(states)
        zeros = states.new_zeros(self.texts * self.tokens, states.shape[-1])
        return zeros.index_copy_(0, self.places, states).view(self.texts, self.tokens, -1)


class AttentionStep(torch.autograd.Function):
    """What heads mix of values, shape (all tokens, width), from queries, keys and values of this shape."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        kept: torch.Tensor | None,
        grown: float,
        heads: int,
        layout: Layout,
    ) -> torch.Tensor:
        """Return the outputs, and keep what the way back needs."""
        texts, tokens, root = layout.texts, layout.tokens, (query.shape[-1] // heads) ** -0.5
        asked = _by_head(layout.padded(query), heads).mul_(root)
        values = _by_head(layout.padded(value), heads).mul_(grown)
        keys = layout.padded(key).view(texts, tokens, heads, -1).permute(0, 2, 3, 1).reshape(len(asked), -1, tokens)
        scores = torch.bmm(asked, keys)
        if layout.bias is not None:
            scores.view(texts, heads, tokens, tokens).add_(layout.bias.to(scores.dtype))
        shares = torch.softmax(scores, -1)
        mixing = shares if kept is None else torch.mul(shares, kept, out=scores)
        ctx.save_for_backward(asked, keys, values, shares, mixing, kept)
        ctx.root, ctx.grown, ctx.heads, ctx.layout = root, grown, heads, layout
        return layout.unpadded(_by_token(torch.bmm(mixing, values), heads))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradient of each input, None where there is none."""
        asked, keys, values, shares, mixing, kept = ctx.saved_tensors
        of_mixed = _by_head(ctx.layout.padded_with_zeros(gradient), ctx.heads)
        of_query = of_key = of_value = None

        def laid(states: torch.Tensor) -> torch.Tensor:
            flat: torch.Tensor = ctx.layout.unpadded(_by_token(states, ctx.heads))
            return flat

        if ctx.needs_input_grad[2]:
            of_value = laid(torch.bmm(mixing.transpose(1, 2), of_mixed).mul_(ctx.grown))
        if ctx.needs_input_grad[0] or ctx.needs_input_grad[1]:
            of_shares = torch.bmm(of_mixed, values.transpose(1, 2))
            if kept is not None:
                of_shares.mul_(kept)
            of_scores = torch._softmax_backward_data(of_shares, shares, -1, shares.dtype)
            if ctx.needs_input_grad[0]:
                of_query = laid(torch.bmm(of_scores, keys.transpose(1, 2)).mul_(ctx.root))
            if ctx.needs_input_grad[1]:
                of_key = laid(torch.bmm(of_scores.transpose(1, 2), asked))
        return of_query, of_key, of_value, None, None, None, None


class PaddedStep(torch.autograd.Function):
    """States of shape (all tokens, width) as (texts, tokens, width); nothing that is read depends on the padding."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, layout: Layout) -> torch.Tensor:
        """Return the outputs, and keep what the way back needs."""
        ctx.layout = layout
        return layout.padded(states)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Return the gradient of each input, None where there is none."""
        return ctx.layout.unpadded(gradient), None


def _by_head(states: torch.Tensor, heads: int) -> torch.Tensor:
    """Return states (texts, tokens, width) as a copy of shape (texts * heads, tokens, width / heads)."""
    texts, tokens, width = states.shape
    turned = states.view(texts, tokens, heads, -1).transpose(1, 2).contiguous()
    return turned.view(texts * heads, tokens, width // heads)


def _by_token(states: torch.Tensor, heads: int) -> torch.Tensor:
    rows, tokens, width = states.shape
    return states.view(rows // heads, heads, tokens, width).transpose(1, 2).reshape(rows // heads, tokens, -1)
