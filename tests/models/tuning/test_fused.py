"""Layers that training computes in one step each way: the gradients of plain layers, with and without dropout."""

from dataclasses import replace

import pytest
import torch
from samples.tiny_models import save_tiny_model

from embargo.models.bases.resolve import resolve_base
from embargo.models.loading.load import deterministic
from embargo.models.methods.settings import TuneSettings
from embargo.models.tuning import fused
from embargo.models.tuning.adapters import adapted_model
from embargo.models.tuning.autograd import AdaptedStep, AttentionStep, Frozen, Layout, PaddedStep
from embargo.models.tuning.dropout import draw_kept
from embargo.models.tuning.first_tokens import take_first_tokens

LENGTHS, TOKENS, WIDTH, HEADS = [5, 9, 1, 7], 9, 24, 3


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return resolve_base(str(save_tiny_model("bert", tmp_path_factory.mktemp("bases") / "bert")))


def in_training(base, settings, *, dropout):
    with deterministic(0):
        model = adapted_model(base, settings, settings.compute).train()
        for name, value in model.named_parameters():
            # An adapter begins with zeros, and so do the biases of a base that nobody trained.
            if (value.requires_grad and value.dim() == 2) or name.endswith("bias"):
                value.data.add_(0.05 * torch.randn(value.shape))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    return model


def learnt(model, mask):
    ids = torch.randint(5, 200, mask.shape, generator=torch.Generator().manual_seed(7_300_010))
    with deterministic(0):
        logits = model(input_ids=ids, attention_mask=mask).logits
        torch.nn.functional.cross_entropy(logits.float(), torch.arange(len(mask)) % 3).backward()
    return logits, {name: value.grad for name, value in model.named_parameters() if value.requires_grad}


def mask_of(lengths, tokens):
    return (torch.arange(tokens) < torch.tensor(lengths)[:, None]).long()


CASES = [
    *(("lora", target, "fp32") for target in ("attention", "all-linear")),
    *((method, "all-linear", "fp32") for method in ("qlora", "dora", "rslora", "adalora", "ia3", "full")),
    ("lora", "all-linear", "bf16"),
]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("method", "target", "compute"), CASES)
def test_logits_and_gradients_are_those_of_plain_layers(base, method, target, compute, checkpointing):
    settings = TuneSettings(method=method, target=target, compute=compute, checkpointing=checkpointing)
    plain, quick = (in_training(base, settings, dropout=0.0) for _ in range(2))
    take_first_tokens(quick)
    near = {"atol": 2e-6, "rtol": 1e-4} if compute == "fp32" else {"atol": 0.02, "rtol": 0.05}
    for lengths in ([12, 3, 7, 1], [6, 6]):
        mask = mask_of(lengths, max(lengths))
        plain.zero_grad(), quick.zero_grad()
        (logits, wanted), (found_logits, found) = learnt(plain, mask), learnt(quick, mask)
        torch.testing.assert_close(found_logits, logits, **near)
        for name, value in wanted.items():
            assert (found[name] is None) == (value is None), name
            if value is not None:
                torch.testing.assert_close(found[name], value, msg=lambda told, name=name: f"{name}: {told}", **near)


def test_a_seed_repeats_what_is_dropped_also_where_activations_are_computed_twice(base):
    settings = TuneSettings(method="lora", target="all-linear", compute="fp32")
    mask = mask_of([12, 3, 7, 1], 12)
    found = []
    for checkpointing in (False, False, True):
        model = in_training(base, replace(settings, checkpointing=checkpointing), dropout=0.2)
        take_first_tokens(model)
        found.append(learnt(model, mask))
    for logits, gradients in found[1:]:
        torch.testing.assert_close(logits, found[0][0], rtol=0, atol=0)
        for name, value in gradients.items():
            torch.testing.assert_close(value, found[0][1][name], rtol=0, atol=0, msg=name)


def test_a_base_in_4_bits_multiplies_with_what_it_holds(base):
    model = in_training(base, TuneSettings(method="qlora", compute="fp32"), dropout=0.0)
    layer = model.get_base_model().bert.encoder.layer[0].intermediate.dense
    states = torch.randn(7, layer.in_features)
    torch.testing.assert_close(Frozen(layer).forth(states), layer(states), atol=1e-5, rtol=1e-4)


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7_300_020 + seed)).requires_grad_()


def slopes(result, *inputs):
    return torch.autograd.grad(result, inputs, numbers(*result.shape, seed=99).detach())


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("drops", [True, False])
def test_an_adapter_with_dropout_is_that_of_single_steps(drops, reads):
    layer = torch.nn.Linear(WIDTH, 10).requires_grad_(False)
    states, down, up = numbers(13, WIDTH), numbers(2, WIDTH, seed=1), numbers(10, 2, seed=2)
    kept, grown = draw_kept((13, WIDTH), 0.3 if drops else 0.0, torch.float32)
    given = states if reads else states.detach()
    found = AdaptedStep.apply(given, down, up, kept, 0.7 * grown, Frozen(layer))
    read = given if kept is None else given * kept * grown
    wanted = layer(given) + 0.7 * read @ down.T @ up.T
    asked = (states, down, up) if reads else (down, up)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(slopes(found, *asked), slopes(wanted, *asked), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("drops", [True, False])
@pytest.mark.parametrize("lengths", [LENGTHS, [TOKENS, TOKENS]])
def test_attention_with_dropout_is_that_of_each_text_alone(lengths, drops):
    layout = Layout.of((len(lengths), TOKENS), mask_of(lengths, TOKENS).bool()[:, None, None])
    size = (len(lengths) * HEADS, TOKENS, TOKENS)
    kept, grown = draw_kept(size, 0.3 if drops else 0.0, torch.float32)
    query, key, value = (numbers(sum(lengths), WIDTH, seed=seed) for seed in range(3))
    found = AttentionStep.apply(query, key, value, kept, grown, HEADS, layout)
    wanted, start = [], 0
    for text, length in enumerate(lengths):
        asked, keys, values = (
            each[start : start + length].view(length, HEADS, -1).transpose(0, 1) for each in (query, key, value)
        )
        shares = torch.softmax(asked @ keys.transpose(1, 2) / (WIDTH / HEADS) ** 0.5, -1)
        if kept is not None:
            shares = shares * kept.view(-1, HEADS, TOKENS, TOKENS)[text, :, :length, :length] * grown
        wanted.append((shares @ values).transpose(0, 1).reshape(length, WIDTH))
        start += length
    wanted = torch.cat(wanted)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(
        slopes(found, query, key, value), slopes(wanted, query, key, value), atol=1e-5, rtol=1e-4
    )


def test_folded_keys_and_values_drop_as_an_adapter_does(base):
    model = in_training(base, TuneSettings(method="lora", target="all-linear", compute="fp32"), dropout=0.3)
    own = model.get_base_model().bert.encoder.layer[-1].attention.self
    heads, width = own.num_attention_heads, own.value.in_features
    layout = Layout.of((len(LENGTHS), TOKENS), mask_of(LENGTHS, TOKENS).bool()[:, None, None])
    hidden, shares = numbers(sum(LENGTHS), width), torch.rand(len(LENGTHS), heads, TOKENS) * (layout.bias[:, 0] == 0)
    weights = [own.value.lora_A["default"].weight, own.value.lora_B["default"].weight]
    torch.manual_seed(3)
    states = PaddedStep.apply(hidden, layout)
    found = fused._Folded(own.value, heads).mixed(shares, hidden, states, layout)
    torch.manual_seed(3)
    value = layout.padded(fused._adapted(lambda: own.value, Frozen(own.value.base_layer), hidden))
    wanted = torch.einsum("thl,tlhd->thd", shares, value.view(*value.shape[:2], heads, -1)).flatten(1)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(slopes(found, hidden, *weights), slopes(wanted, hidden, *weights), atol=1e-5, rtol=1e-4)


def test_a_tuned_model_is_freed_after_its_last_use(base):
    import gc
    from weakref import ref

    model = in_training(base, TuneSettings(method="lora", target="all-linear", compute="fp32"), dropout=0.1)
    take_first_tokens(model)
    learnt(model, mask_of([4, 2], 4))
    gc.collect()
    gc.disable()
    try:
        held = ref(model.get_base_model().bert.encoder.layer[0].attention.self)
        del model
        assert held() is None
    finally:
        gc.enable()
