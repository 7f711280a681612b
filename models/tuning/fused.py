"""BERT in training on a CPU: texts end to end, each layer in few steps, and of the last one what first tokens need.

Objective and gradients are those of the layers as transformers and peft carry them out, up to rounding and to which
numbers dropout draws. Torch is loaded with this module: import it where something is trained.
"""

from __future__ import annotations

from functools import partial
from typing import Any
from weakref import ref

import torch
from torch.nn import functional

from embargo.models.loading.libraries import untyped
from embargo.models.tuning.autograd import AdaptedStep, AttentionStep, Frozen, Layout, LinearStep, PaddedStep, dense
from embargo.models.tuning.dropout import draw_kept


class _Folded:
    """Keys or values of the last layer, which only first tokens ask: never made, but folded into what asks for them.

    With a weight of ``W`` a head's score ``q (W x + b)`` is ``(q W) x`` and a number that softmax drops, and its mix of
    values is ``W`` times the mix of ``x``, plus ``b`` times the sum of shares. An adapter folds in the same way.
    """

    def __init__(self, module: Any, heads: int) -> None:
        lora = _is_lora(module)
        plain = dense(module.base_layer if lora else module)
        self.weight = plain.weight.detach().view(heads, -1, plain.in_features)
        self.bias = None if plain.bias is None else plain.bias.detach().view(heads, -1)
        self.lora = ref(module) if lora else None

    def narrow(self, hidden: torch.Tensor, layout: Layout) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return what an adapter makes of all tokens, shape (texts, tokens, rank), and its way up, (heads, d, rank)."""
        if self.lora is None:
            return None
        lora: Any = self.lora()
        kept, grown = _dropping(lora.lora_dropout["default"], hidden)
        down, up = (each["default"].weight for each in (lora.lora_A, lora.lora_B))
        read = functional.linear(hidden if kept is None else hidden * kept, down)
        scale = lora.scaling["default"] * grown
        return untyped(PaddedStep).apply(read, layout), scale * up.view(*self.weight.shape[:2], -1)

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
    return untyped(AttentionStep).apply(query, key, value, kept, grown, heads, layout), None


def _first_tokens(
    layer: ref[Any], folded: tuple[_Folded, _Folded] | None, hidden: torch.Tensor, layout: Layout, **_: Any
) -> tuple[torch.Tensor, None]:
    """Return what attention makes of first tokens, shape (texts, width): all that the head reads of the last layer."""
    whole: Any = layer()
    own, first = whole.attention.self, hidden.index_select(0, layout.firsts)
    heads, width = own.num_attention_heads, own.attention_head_size
    query = (own.query(first) * width**-0.5).view(layout.texts, heads, width).transpose(0, 1)
    states = untyped(PaddedStep).apply(hidden, layout)
    if folded is None:
        key, value = (untyped(PaddedStep).apply(make(hidden), layout) for make in (own.key, own.value))
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
    result: torch.Tensor = untyped(LinearStep).apply(states, frozen)
    return result


def _adapted(module: ref[Any], frozen: Frozen, states: torch.Tensor) -> torch.Tensor:
    lora: Any = module()
    kept, grown = _dropping(lora.lora_dropout["default"], states)
    down, up = (each["default"].weight for each in (lora.lora_A, lora.lora_B))
    scale = lora.scaling["default"] * grown
    result: torch.Tensor = untyped(AdaptedStep).apply(states, down, up, kept, scale, frozen)
    return result


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
