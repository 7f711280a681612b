"""BERT without padding: the logits of the model itself, and the same bits of a text whatever is scored beside it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.small_tunings import tuned_on
from samples.tiny_models import save_tiny_model

from embargo.data_loaders.errors import DataError
from embargo.models.bases.resolve import resolve_base
from embargo.models.loading.load import load_tokenizer
from embargo.models.loading.steady import steady
from embargo.models.loading.unpadded import FIRSTS, Unpadded
from embargo.models.scorers.transformer import TransformerScorer, scoring_model

PAD, ROOM = 1, 64
LENGTHS = (3, 30, 1, 17, 40, 8, 9, 25, 1, 2, 33, 8, 8, 40, 64, 63, *[4] * (FIRSTS + 3))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(0)
    folder = save_tiny_model("bert", tmp_path_factory.mktemp("bert"))
    model = AutoModelForSequenceClassification.from_pretrained(str(folder), num_labels=3, dtype=torch.float32)
    torch.nn.init.normal_(model.classifier.weight, std=0.5)
    return steady(model.eval())


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(7_300_001)
    return [rng.integers(5, 200, length).tolist() for length in LENGTHS]


@pytest.fixture(scope="module")
def together(model, texts):
    with torch.inference_mode():
        return Unpadded(model, ROOM).logits(texts, PAD)


@pytest.mark.parametrize("room", [1, 16, ROOM, 512])
def test_logits_are_those_of_the_model_itself(model, texts, room):
    with torch.inference_mode():
        found = Unpadded(model, room).logits(texts, PAD)
        wanted = torch.cat([model(input_ids=torch.tensor([text])).logits for text in texts]).numpy()
    assert wanted.std() > 0.05
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@settings(max_examples=40)
@given(st.lists(st.integers(0, len(LENGTHS) - 1), min_size=1, max_size=50))
def test_a_text_has_the_same_bits_whatever_is_scored_beside_it(model, texts, together, rows):
    with torch.inference_mode():
        found = Unpadded(model, ROOM).logits([texts[row] for row in rows], PAD)
    np.testing.assert_array_equal(found, together[rows])


def test_progress_counts_every_text(model, texts):
    seen = []
    with torch.inference_mode():
        Unpadded(model, ROOM).logits(texts, PAD, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(texts), len(texts))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_a_damaged_model_is_refused(model, texts):
    damaged = Unpadded(model, ROOM)
    damaged._head = torch.nn.Linear(64, 3)
    torch.nn.init.constant_(damaged._head.bias, float("nan"))
    with torch.inference_mode(), pytest.raises(DataError, match="first text 0"):
        damaged.logits(texts[:3], PAD)


@pytest.mark.parametrize("method", ["qlora", "lora"])
def test_a_tuned_bert_is_scored_as_its_merged_model(tmp_path, samples, cache_dir, method):
    base = resolve_base(str(save_tiny_model("bert", tmp_path / "bert")))
    adapter = tuned_on(base, samples, cache_dir, rows=64, method=method, epochs=1, max_length=32, compute="fp32")
    chosen = samples["test"]["text"].tolist()[:40]
    scorer = TransformerScorer(base, adapter)
    found = scorer.logits(chosen)
    assert isinstance(scorer._loaded[1], Unpadded)
    plain, tokenizer = scoring_model(base, adapter, "fp32"), load_tokenizer(base)
    with torch.inference_mode():
        cut = [tokenizer(text, truncation=True, max_length=32, return_tensors="pt") for text in chosen]
        wanted = torch.cat([plain(**each).logits for each in cut]).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    np.testing.assert_array_equal(found[::-1][:7], scorer.logits(chosen[::-1][:7]))


def test_a_bert_that_reads_from_left_to_right_goes_through_its_own_layers(tmp_path, samples, cache_dir):
    import json

    folder = save_tiny_model("bert", tmp_path / "causal")
    config = json.loads((folder / "config.json").read_text()) | {"is_decoder": True}
    (folder / "config.json").write_text(json.dumps(config))
    base = resolve_base(str(folder))
    adapter = tuned_on(base, samples, cache_dir, rows=48, method="lora", epochs=1, max_length=32, compute="fp32")
    scorer = TransformerScorer(base, adapter)
    assert scorer.logits(["profit fell"]).shape == (1, 3)
    assert not isinstance(scorer._loaded[1], Unpadded)
