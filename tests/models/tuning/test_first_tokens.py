"""Training BERT without what no loss reads: the gradients of the whole model, and dropout that a seed repeats."""

import copy

import numpy as np
import pytest
import torch
from samples.small_tunings import tuned_on
from samples.tiny_models import save_tiny_model

from embargo.models.bases.resolve import resolve_base
from embargo.models.tuning import adapters
from embargo.models.tuning.dropout import PARTS, drop_as_bytes
from embargo.models.tuning.first_tokens import take_first_tokens, takes_first_tokens


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return resolve_base(str(save_tiny_model("bert", tmp_path_factory.mktemp("bases") / "bert")))


@pytest.fixture
def adapted(base):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        base.path_or_id, num_labels=3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    config = LoraConfig(
        task_type="SEQ_CLS", r=4, target_modules="all-linear", modules_to_save=["classifier"], init_lora_weights=False
    )
    return get_peft_model(model, config).train()


def learnt(model, whole=False):
    rng = np.random.default_rng(7_300_002)
    ids = torch.from_numpy(rng.integers(5, 200, (4, 12)))
    mask = (torch.arange(12) < torch.tensor([[12], [3], [7], [1]])).long()
    logits = model(input_ids=ids, attention_mask=torch.ones_like(mask) if whole else mask).logits
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 1])).backward()
    return logits, {name: value.grad for name, value in model.named_parameters() if value.requires_grad}


@pytest.mark.parametrize("whole", [False, True])
def test_logits_and_gradients_are_those_of_the_whole_last_layer(adapted, whole):
    brief = copy.deepcopy(adapted)
    take_first_tokens(brief)
    seen = []
    brief.get_base_model().bert.encoder.layer[-1].intermediate.register_forward_hook(
        lambda _, given, __: seen.append(given[0].shape)
    )
    (logits, wanted), (found_logits, found) = learnt(adapted, whole), learnt(brief, whole)
    assert seen == [(4, 64)]
    torch.testing.assert_close(found_logits, logits, atol=1e-6, rtol=1e-5)
    assert any(".1.attention" in name for name in wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-4, msg=name)


def test_dropout_keeps_the_mean_drops_its_share_and_repeats_with_a_seed():
    def drawn(share, seed=0, training=True):
        holder = torch.nn.Sequential(torch.nn.Dropout(share).train(training))
        drop_as_bytes(holder)
        torch.manual_seed(seed)
        return holder[0](torch.ones(301, 1001))

    found = drawn(0.1)
    scale = PARTS / (PARTS - round(0.1 * PARTS))
    torch.testing.assert_close(found.unique(), torch.tensor([0.0, scale]))
    # Five standard errors of a share of 301,301 draws.
    assert abs(float((found == 0).double().mean()) - 0.1) < 5 * (0.09 / found.numel()) ** 0.5
    torch.testing.assert_close(drawn(0.1), found, rtol=0, atol=0)
    assert not torch.equal(drawn(0.1, seed=1), found)
    assert torch.equal(drawn(0.0), torch.ones(301, 1001))
    assert torch.equal(drawn(0.5, training=False), torch.ones(301, 1001))


@pytest.mark.parametrize(
    ("architecture", "device", "virtual_tokens", "expected"),
    [("bert", "cpu", 0, True), ("bert", "cuda", 0, False), ("bert", "cpu", 8, False), ("modernbert", "cpu", 0, False)],
)
def test_what_is_trained_like_this(architecture, device, virtual_tokens, expected):
    assert takes_first_tokens(architecture, device=device, virtual_tokens=virtual_tokens) == expected


@pytest.mark.parametrize("method", ["lora", "qlora", "full", "prefix"])
def test_an_adapter_is_the_same_twice_and_another_than_of_whole_layers(base, samples, tmp_path, monkeypatch, method):
    settings = {"rows": 48, "method": method, "epochs": 2, "max_length": 32, "compute": "fp32"}
    first, second = (tuned_on(base, samples, tmp_path / name, **settings) for name in ("a", "b"))
    assert first.identity == second.identity
    monkeypatch.setattr(adapters, "takes_first_tokens", lambda *_, **__: False)
    before = tuned_on(base, samples, tmp_path / "a", **settings)
    assert (before.path == first.path) == (method == "prefix")
    losses = [each.manifest["epochs"][0]["validation_loss"] for each in (first, before)]
    assert abs(losses[0] - losses[1]) < 0.05
