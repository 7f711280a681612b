"""Packed texts: nothing lost in the layout, and the logits and gradients of each text taken alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples.tiny_models import save_tiny_model

from embargo.data_loaders.errors import DataError
from embargo.models.loading import packing
from embargo.models.loading.packing import pack, packable, packed_logits, token_groups

PAD = 1
CPU, GPU = torch.device("cpu"), torch.device("cuda")
lengths_of_texts = st.lists(st.integers(1, 40), min_size=1, max_size=40)


def texts_of(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(5, 200, length).tolist() for length in lengths]


@given(lengths_of_texts, st.integers(8, 64))
def test_every_token_lies_once_in_its_own_text(lengths, room):
    texts = texts_of(lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "ROW", room)
        packed = pack(texts, PAD)
    owned = set()
    for text, row, start, end in zip(texts, packed.rows, packed.starts, packed.ends, strict=True):
        assert packed.tokens[row, start : end + 1].tolist() == text
        assert packed.positions[row, start : end + 1].tolist() == list(range(len(text)))
        own = np.flatnonzero(packed.owners[row] == packed.owners[row, start])
        assert own.tolist() == list(range(start, end + 1))
        owned |= {(row, place) for place in own}
    assert len(owned) == sum(lengths)
    rest = [packed.tokens[place] for place in np.ndindex(packed.tokens.shape) if place not in owned]
    assert set(rest) <= {PAD}
    assert packed.tokens.shape[1] < max(room, max(lengths)) + 8


@given(lengths_of_texts, st.integers(1, 120))
def test_groups_hold_every_text_once_and_keep_to_the_budget(lengths, budget):
    groups = token_groups(lengths, budget)
    assert np.concatenate(groups).tolist() == list(range(len(lengths)))
    for group, following in zip(groups, [*groups[1:], None], strict=True):
        held = sum(lengths[text] for text in group)
        assert held <= budget or len(group) == 1
        assert following is None or held + lengths[following[0]] > budget


def test_no_text_makes_no_group():
    assert token_groups([], 10) == []


@pytest.mark.parametrize("texts", [[], [[5], []]])
def test_texts_without_tokens_are_refused(texts):
    with pytest.raises(DataError, match="without a token"):
        pack(texts, PAD)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Builder of a random classifier of an architecture."""

    def build(architecture):
        import torch
        from transformers import AutoModelForSequenceClassification

        folder = save_tiny_model(architecture, tmp_path_factory.mktemp(architecture))
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(str(folder), num_labels=3, dtype=torch.float32)
        model.config.pad_token_id = PAD
        for name, parameter in model.named_parameters():
            if ("score" in name or "classifier" in name) and parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.5)
        return model.eval()

    return build


def alone(model, text):
    return model(input_ids=torch.tensor([text]), attention_mask=torch.ones(1, len(text), dtype=torch.long)).logits[0]


@pytest.mark.parametrize("architecture", sorted({"bert", "llama", "qwen2", "gemma2", "mistral", "phi3"}))
def test_packed_logits_are_those_of_the_texts_alone(classifier, architecture, monkeypatch):
    model = classifier(architecture)
    assert packable(model, GPU)
    # Several rows, several texts in each, a text of one token, and texts longer than a sliding window.
    monkeypatch.setattr(packing, "ROW", 64)
    texts = texts_of([3, 30, 1, 17, 40, 8, 9, 25, 1, 2, 33])
    packed = pack(texts, PAD)
    assert len(packed.tokens) > 1
    with torch.no_grad():
        found = packed_logits(model, packed, CPU)
        wanted = torch.stack([alone(model, text) for text in texts])
    assert wanted.std() > 0.05
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["qwen3", "gemma", "gemma3_text", "olmo2"])
def test_packed_logits_of_the_other_decoders(classifier, architecture, monkeypatch):
    test_packed_logits_are_those_of_the_texts_alone(classifier, architecture, monkeypatch)


def test_adapters_get_the_gradients_of_padded_rows(classifier):
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        task_type="SEQ_CLS", r=4, target_modules="all-linear", modules_to_save=["score"], init_lora_weights=False
    )
    adapted = get_peft_model(classifier("llama"), config)
    adapted.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    adapted.train()
    assert packable(adapted, CPU)
    texts = texts_of([5, 21, 12, 1])
    target = torch.tensor([0, 1, 2, 1])

    def gradients(logits):
        adapted.zero_grad()
        torch.nn.functional.cross_entropy(logits, target).backward()
        return {name: value.grad.clone() for name, value in adapted.named_parameters() if value.requires_grad}

    found = gradients(packed_logits(adapted, pack(texts, PAD), torch.device("cpu")))
    wanted = gradients(torch.stack([alone(adapted, text) for text in texts]))
    assert any(name.endswith("score.modules_to_save.default.weight") for name in found)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-4, msg=name)


def test_what_is_not_packed(classifier):
    from peft import PrefixTuningConfig, get_peft_model

    assert not packable(classifier("distilbert"), GPU)
    encoder = classifier("bert")
    assert not packable(encoder, CPU)
    encoder.config._attn_implementation = "eager"
    assert not packable(encoder, GPU)
    decoder = classifier("llama")
    assert packable(decoder, CPU)
    assert not packable(get_peft_model(decoder, PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=4)), CPU)
