"""Linear layers, adapters and attention of BERT in fp32 on a CPU, each one step of autograd forward and one back.

Frozen weights are laid out once for oneDNN, both ways, and no gradient of them is taken; 4-bit ones are read back once.
Products with a low-rank adapter run along the long side of their operands, which MKL multiplies several times as
fast, and what attention drops is drawn as bytes. Objective and gradients are those of the layers as they were, up to
rounding and to which numbers dropout draws. Torch is loaded with this module: import it where something is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import ref

import torch
from torch.nn import functional

from embargo.models.loading.libraries import untyped
from embargo.models.loading.load import dense_layer
from embargo.models.tuning.first_tokens import draw_kept

# Rows that weights are laid out for; other numbers of rows are multiplied with the same layout.
ROWS = 1024


class Frozen:
    """A linear layer whose weights stay as they are.

    Parameters
    ----------
    layer : torch.nn.Linear or bitsandbytes' Linear4bit
        In fp32, without gradients of its own.
    """

    def __init__(self, layer: Any) -> None:
        dense = _dense(layer)
        weight, self.bias = dense.weight.detach(), None if dense.bias is None else dense.bias.detach()
        self.multiply: Callable[..., torch.Tensor]
        if untyped(torch.backends.mkldnn).is_available():
            lay_out, product = torch.ops.mkldnn._reorder_linear_weight, torch.ops.mkldnn._linear_pointwise
            self._forth, self._back = lay_out(weight, ROWS), lay_out(weight.t().contiguous(), ROWS)
            self.multiply = lambda states, laid_out, bias: product(states, laid_out, bias, "none", [], "")
        else:
            self._forth, self._back = weight, weight.t()
            self.multiply = torch.nn.functional.linear

    def forth(self, states: torch.Tensor) -> torch.Tensor:
        """Return the layer's outputs of states of shape (rows, inputs)."""
        return self.multiply(states, self._forth, self.bias)

    def back(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the gradient of the inputs, shape (rows, inputs), from that of the outputs."""
        return self.multiply(gradient.contiguous(), self._back, None)


class _Linear(torch.autograd.Function):
    """A frozen layer's outputs, shape (tokens, outputs), of states of shape (tokens, inputs)."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, frozen: Frozen) -> torch.Tensor:
        ctx.frozen = frozen
        return frozen.forth(states)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.frozen.back(gradient), None


class _Adapted(torch.autograd.Function):
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
        read = states if kept is None else states * kept
        narrow = down @ read.t()
        ctx.save_for_backward(read, narrow, down, up, kept)
        ctx.frozen, ctx.scale = frozen, scale
        return frozen.forth(states).addmm_(narrow.t(), up.t(), alpha=scale)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
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


class _Attention(torch.autograd.Function):
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


class _Padded(torch.autograd.Function):
    """States of shape (all tokens, width) as (texts, tokens, width); nothing that is read depends on the padding."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, layout: Layout) -> torch.Tensor:
        ctx.layout = layout
        return layout.padded(states)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.layout.unpadded(gradient), None


def _by_head(states: torch.Tensor, heads: int) -> torch.Tensor:
    """Return states (texts, tokens, width) as a copy of shape (texts * heads, tokens, width / heads)."""
    texts, tokens, width = states.shape
    turned = states.view(texts, tokens, heads, -1).transpose(1, 2).contiguous()
    return turned.view(texts * heads, tokens, width // heads)


def _by_token(states: torch.Tensor, heads: int) -> torch.Tensor:
    rows, tokens, width = states.shape
    return states.view(rows // heads, heads, tokens, width).transpose(1, 2).reshape(rows // heads, tokens, -1)


class _Folded:
    """Keys or values of the last layer, which only first tokens ask: never made, but folded into what asks for them.

    With a weight of ``W`` a head's score ``q (W x + b)`` is ``(q W) x`` and a number that softmax drops, and its mix of
    values is ``W`` times the mix of ``x``, plus ``b`` times the sum of shares. An adapter folds in the same way.
    """

    def __init__(self, module: Any, heads: int) -> None:
        lora = _is_lora(module)
        dense = _dense(module.base_layer if lora else module)
        self.weight = dense.weight.detach().view(heads, -1, dense.in_features)
        self.bias = None if dense.bias is None else dense.bias.detach().view(heads, -1)
        self.lora = ref(module) if lora else None

    def narrow(self, hidden: torch.Tensor, layout: Layout) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return what an adapter makes of all tokens, shape (texts, tokens, rank), and its way up, (heads, d, rank)."""
        if self.lora is None:
            return None
        lora: Any = self.lora()
        kept, grown = _dropping(lora.lora_dropout["default"], hidden)
        down, up = (each["default"].weight for each in (lora.lora_A, lora.lora_B))
        read = functional.linear(hidden if kept is None else hidden * kept, down)
        return untyped(_Padded).apply(read, layout), up.view(*self.weight.shape[:2], -1) * (
            lora.scaling["default"] * grown
        )

    def scores(self, query: torch.Tensor, hidden: torch.Tensor, padded: torch.Tensor, layout: Layout) -> torch.Tensor:
        """Return (texts, heads, tokens) from queries (heads, texts, d) and states, end to end and padded."""
        found = torch.bmm(torch.bmm(query, self.weight).transpose(0, 1), padded.transpose(1, 2))
        adapter = self.narrow(hidden, layout)
        if adapter is not None:
            found = found + torch.bmm(torch.bmm(query, adapter[1]).transpose(0, 1), adapter[0].transpose(1, 2))
        return found

    def mixed(self, shares: torch.Tensor, hidden: torch.Tensor, padded: torch.Tensor, layout: Layout) -> torch.Tensor:
        """Return (texts, width) from shares (texts, heads, tokens) and states, end to end and padded."""
        found = torch.bmm(torch.bmm(shares, padded).transpose(0, 1), self.weight.transpose(1, 2))
        adapter = self.narrow(hidden, layout)
        if adapter is not None:
            found = found + torch.bmm(torch.bmm(shares, adapter[0]).transpose(0, 1), adapter[1].transpose(1, 2))
        if self.bias is not None:
            found = found + shares.sum(-1).t()[..., None] * self.bias[:, None]
        return found.transpose(0, 1).reshape(len(shares), -1)


def fuse(model: Any) -> None:
    """Let a classifier of BERT in training, or peft's wrapper of one, compute so, in place.

    A layer that is trained itself, holds other than fp32 or carries another adapter than LoRA stays as it is, but for
    the frozen layer below it.
    """
    classifier = model.get_base_model() if hasattr(model, "peft_config") else model
    encoder = classifier.bert.encoder
    last = encoder.layer[-1]
    own, folded = last.attention.self, _fold(last.attention.self)
    # Weakly, all of them: a model that holds itself would stay in memory after its last use.
    last.attention.forward = partial(_first_tokens, ref(last), folded)
    encoder.forward = partial(_encoded, ref(encoder))
    for layer in encoder.layer:
        layer.attention.self.forward = partial(_attention, ref(layer.attention.self))
        for output in (layer.attention.output, layer.output):
            output.forward = partial(_added, ref(output))
    done = set() if folded is None else {inside for each in (own.key, own.value) for inside in each.modules()}
    for module in list(encoder.modules()):
        if module in done:
            continue
        if _is_lora(module):
            # An adapter's own layers are read, and neither they nor its base are called any more.
            done.update(module.modules())
            module.forward = partial(_adapted, ref(module), Frozen(module.base_layer))
        elif _is_frozen(module):
            module.forward = partial(_linear, Frozen(module))


def _fold(own: Any) -> tuple[_Folded, _Folded] | None:
    if not all(_is_lora(each) or _is_frozen(each) for each in (own.key, own.value)):
        return None
    return _Folded(own.key, own.num_attention_heads), _Folded(own.value, own.num_attention_heads)


def _dense(layer: Any) -> Any:
    return dense_layer(layer, torch.float32) if hasattr(layer.weight, "quant_state") else layer


def _encoded(
    encoder: ref[Any], hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **_: Any
) -> Any:
    from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

    whole: Any = encoder()
    layout = Layout.of(hidden_states.shape, attention_mask)
    hidden = layout.unpadded(hidden_states)
    for layer in whole.layer:
        hidden = layer(hidden, layout)
    return untyped(BaseModelOutputWithPastAndCrossAttentions)(last_hidden_state=hidden[:, None])


def _attention(own: ref[Any], hidden: torch.Tensor, *_: Any, attention_mask: Layout, **__: Any) -> tuple[Any, None]:
    whole, layout = untyped(own()), attention_mask
    query, key, value = whole.query(hidden), whole.key(hidden), whole.value(hidden)
    heads = whole.num_attention_heads
    shape = (layout.texts * heads, layout.tokens, layout.tokens)
    kept, grown = draw_kept(shape, whole.dropout.p if whole.training else 0.0, query.dtype)
    return untyped(_Attention).apply(query, key, value, kept, grown, heads, layout), None


def _first_tokens(
    layer: ref[Any], folded: tuple[_Folded, _Folded] | None, hidden: torch.Tensor, layout: Layout, **_: Any
) -> tuple[torch.Tensor, None]:
    """Return what attention makes of first tokens, shape (texts, width): all that the head reads of the last layer."""
    whole: Any = layer()
    own, first = whole.attention.self, hidden.index_select(0, layout.firsts)
    heads, width = own.num_attention_heads, own.attention_head_size
    query = (own.query(first) * width**-0.5).view(layout.texts, heads, width).transpose(0, 1)
    states = untyped(_Padded).apply(hidden, layout)
    if folded is None:
        key, value = (untyped(_Padded).apply(make(hidden), layout) for make in (own.key, own.value))
        key, value = (each.view(layout.texts, layout.tokens, heads, width) for each in (key, value))
        scores = torch.einsum("htd,tlhd->thl", query, key)
    else:
        scores = folded[0].scores(query, hidden, states, layout)
    shares = torch.softmax(scores if layout.bias is None else scores + layout.bias[:, 0].to(scores.dtype), -1)
    kept, grown = draw_kept(tuple(shares.shape), own.dropout.p if own.training else 0.0, shares.dtype)
    if kept is not None:
        shares = shares * kept.mul_(grown)
    if folded is None:
        mixed = torch.einsum("thl,tlhd->thd", shares, value).flatten(1)
    else:
        mixed = folded[1].mixed(shares, hidden, states, layout)
    return whole.attention.output(mixed, first), None


def _is_frozen(module: Any) -> bool:
    if not isinstance(module, torch.nn.Linear) or any(value.requires_grad for value in module.parameters()):
        return False
    return bool(getattr(module, "compute_dtype", module.weight.dtype) == torch.float32)


def _is_lora(module: Any) -> bool:
    """Return whether a module is a frozen layer with one LoRA in fp32, and nothing that bends it."""
    base = getattr(module, "base_layer", None)
    if base is None or not _is_frozen(base) or list(getattr(module, "lora_A", ())) != ["default"]:
        return False
    if type(module).__name__ not in ("Linear", "Linear4bit") or module.lora_variant or module.lora_bias["default"]:
        return False
    return all(each["default"].weight.dtype == torch.float32 for each in (module.lora_A, module.lora_B))


def _linear(frozen: Frozen, states: torch.Tensor) -> torch.Tensor:
    return untyped(_Linear).apply(states, frozen)


def _adapted(module: ref[Any], frozen: Frozen, states: torch.Tensor) -> torch.Tensor:
    lora: Any = module()
    kept, grown = _dropping(lora.lora_dropout["default"], states)
    down, up = (each["default"].weight for each in (lora.lora_A, lora.lora_B))
    return untyped(_Adapted).apply(states, down, up, kept, lora.scaling["default"] * grown, frozen)


def _added(module: ref[Any], states: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Return the layer norm of what came before plus what dropout keeps of a linear layer's outputs."""
    output: Any = module()
    states = output.dense(states)
    kept, grown = _dropping(output.dropout, states)
    total = before + states if kept is None else torch.addcmul(before, states, kept, value=grown)
    normed: torch.Tensor = output.LayerNorm(total)
    return normed


def _dropping(dropout: Any, states: torch.Tensor) -> tuple[torch.Tensor | None, float]:
    share = dropout.p if isinstance(dropout, torch.nn.Dropout) and dropout.training else 0.0
    return draw_kept(tuple(states.shape), share, states.dtype)
