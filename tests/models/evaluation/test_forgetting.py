import numpy as np
import pytest
import torch
from samples.model_samples import CUTOFF, sentences
from samples.small_tunings import tuned_on
from samples.tiny_models import save_tiny_model

from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.models.bases.resolve import open_base, resolve_base
from embargo.models.evaluation import forgetting
from embargo.models.evaluation.forgetting import embedding_drift, language_loss, measure_forgetting
from embargo.models.evaluation.general_texts import GENERAL_TEXTS
from embargo.models.loading.load import encode, load_tokenizer, pad, quiet

TEXTS = sentences(40, seed=11)["text"].tolist()
# So small that what is added to a weight is rounded away.
STANDSTILL = 1e-30


@pytest.fixture(scope="module", params=["bert", "llama"])
def base(request, tmp_path_factory):
    """A base that has learnt a language, small as it is: it has something to forget."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    encoder = request.param == "bert"
    folder = save_tiny_model(request.param, tmp_path_factory.mktemp("bases") / request.param)
    base = resolve_base(str(folder), knowledge_cutoff=CUTOFF)
    tokenizer = load_tokenizer(base)
    auto = AutoModelForMaskedLM if encoder else AutoModelForCausalLM
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = auto.from_pretrained(str(folder)).train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
        tokens = encode(tokenizer, sentences(320, seed=12)["text"].tolist(), 64)
        for step in range(80):
            rows = tokens[(step % 10) * 32 :][:32]
            ids, mask = pad(rows, tokenizer.pad_token_id, max(map(len, rows)))
            target, shown = ids.masked_fill(mask == 0, -100), ids
            if encoder:
                hidden = torch.rand(ids.shape) < 0.15
                target, shown = target.masked_fill(~hidden, -100), ids.masked_fill(hidden, tokenizer.mask_token_id)
            model(input_ids=shown, attention_mask=mask, labels=target).loss.backward()
            optimiser.step()
            optimiser.zero_grad()
        model.save_pretrained(str(folder), safe_serialization=True)
    return resolve_base(str(folder), knowledge_cutoff=CUTOFF)


def tuned(base, samples, cache_dir, **changes):
    settings = {"epochs": 1, "max_length": 32, "compute": "fp32", "method": "lora"} | changes
    return tuned_on(base, samples, cache_dir, rows=48, **settings)


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_an_adapter_that_changed_nothing_forgot_exactly_nothing(base, samples, cache_dir, method):
    adapter = tuned(base, samples, cache_dir, method=method, learning_rate=STANDSTILL, weight_decay=0.0)
    found = measure_forgetting(base, adapter, TEXTS)
    assert found.measure == ("masked loss" if base.kind == "encoder" else "causal loss")
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)
    assert found.before == found.after
    drift = embedding_drift(base, adapter, TEXTS)
    assert (drift.difference, drift.low, drift.high) == (0.0, 0.0, 0.0)


def test_a_wrecked_model_forgot_what_a_gently_tuned_one_kept(base, samples, cache_dir):
    wrecked = tuned(base, samples, cache_dir, target="all-linear", learning_rate=0.5)
    gentle = tuned(base, samples, cache_dir, target="all-linear", learning_rate=1e-4)
    lost, kept = measure_forgetting(base, wrecked, TEXTS), measure_forgetting(base, gentle, TEXTS)
    assert lost.before == kept.before < 4.5
    assert lost.low > 1.0
    assert lost.low < lost.difference < lost.high
    assert lost.difference == pytest.approx(lost.after - lost.before)
    assert abs(kept.difference) < 0.05
    turned, stayed = embedding_drift(base, wrecked, TEXTS), embedding_drift(base, gentle, TEXTS)
    assert turned.low > 0.05 > stayed.high


def test_the_head_is_the_bases_even_where_full_tuning_moves_its_twin(base, samples, cache_dir, monkeypatch):
    adapter = tuned(base, samples, cache_dir, method="full", learning_rate=STANDSTILL, weight_decay=0.0)
    honest = forgetting._tuned

    def scaled(base, adapter):
        model = honest(base, adapter)
        with torch.no_grad():
            model.get_input_embeddings().weight.mul_(3.0)
        return model

    heads = []
    loss = forgetting._loss

    def watched(model, *rest):
        heads.append(model.get_output_embeddings().weight.clone())
        return loss(model, *rest)

    monkeypatch.setattr(forgetting, "_loss", watched)
    monkeypatch.setattr(forgetting, "_tuned", scaled)
    assert language_loss(base, adapter, TEXTS).difference != 0.0
    assert torch.equal(*heads)


def test_the_loss_is_transformers_own(base, samples, cache_dir):
    """One text by hand: every token hidden once, in seven rounds, and predicted by the untouched model."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    adapter = tuned(base, samples, cache_dir, learning_rate=STANDSTILL, weight_decay=0.0)
    tokenizer, text = load_tokenizer(base), TEXTS[0]
    ids = encode(tokenizer, [text], 128)[0]
    found = measure_forgetting(base, adapter, [text, text])
    auto = AutoModelForMaskedLM if base.kind == "encoder" else AutoModelForCausalLM
    with quiet():
        model = auto.from_pretrained(base.path_or_id).eval()
    if base.kind == "decoder":
        expected = float(model(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss.detach())
        assert found.n_tokens == 2 * (len(ids) - 1)
    else:
        tasks = forgetting._masked(base, tokenizer, [text], [ids], 0)
        hidden = sorted(place for task in tasks for place in task.places)
        assert hidden == list(range(1, len(ids) - 1))
        assert len(tasks) == forgetting.ROUNDS
        for task in tasks:
            shown = [tokenizer.mask_token_id if place in task.places else ids[place] for place in range(len(ids))]
            assert task.tokens == shown
        assert found.n_tokens == 2 * (len(ids) - 2)
        losses = []
        for task in tasks:
            target = torch.full((1, len(ids)), -100)
            target[0, list(task.places)] = torch.tensor([ids[place] for place in task.places])
            one = model(input_ids=torch.tensor([task.tokens]), labels=target).loss
            losses.append(float(one.detach()) * len(task.places))
        expected = sum(losses) / len(hidden)
    assert found.before == pytest.approx(expected, abs=1e-4)


def test_a_base_without_a_head_is_named_and_its_drift_told(tiny_base, samples, cache_dir):
    adapter = tuned(tiny_base, samples, cache_dir, learning_rate=1e-3)
    with pytest.raises(MissingPartError, match=r"base 'tiny' has no language-modelling head .*head\.dense\.weight"):
        language_loss(tiny_base, adapter, TEXTS)
    found = measure_forgetting(tiny_base, adapter, TEXTS)
    assert found.measure == "embedding drift"
    assert "base 'tiny' has no language-modelling head" in found.note
    assert (found.before, found.after) == (None, None)
    assert 0 < found.low < found.difference < found.high < 2
    assert found.n_texts == len(TEXTS)


def test_the_masks_depend_on_seed_and_text_alone(tiny_base):
    tokenizer = load_tokenizer(tiny_base)

    def masks(texts, seed):
        tasks = forgetting._masked(tiny_base, tokenizer, texts, encode(tokenizer, texts, 128), seed)
        return {(texts[task.row], tuple(task.places)) for task in tasks}

    assert masks(TEXTS, 0) == masks(TEXTS[::-1], 0)
    assert masks(TEXTS[:3], 0) < masks(TEXTS, 0)
    assert masks(TEXTS, 0) != masks(TEXTS, 1)


def test_intervals_draw_whole_texts_again():
    generator = np.random.default_rng(0)
    counts, differences = generator.integers(5, 15, 400), generator.normal(0.1, 1.0, 400)
    low, high = forgetting._interval(differences, counts, 0, 2000, 0.95)
    middle = differences.sum() / counts.sum()
    spread = np.std(differences - middle * counts) / np.sqrt(400) / counts.mean()
    assert (high - low) / 2 == pytest.approx(1.96 * spread, rel=0.1)


def test_what_cannot_be_measured_is_said(tiny_base, samples, cache_dir):
    adapter = tuned(tiny_base, samples, cache_dir, learning_rate=1e-3)
    with pytest.raises(DataError, match="1 texts give no interval"):
        measure_forgetting(tiny_base, adapter, TEXTS[:1])
    with pytest.raises(ConfigError, match="level 2"):
        measure_forgetting(tiny_base, adapter, TEXTS, level=2.0)
    virtual = tuned(tiny_base, samples, cache_dir, method="prompt")
    with pytest.raises(ConfigError, match="'prompt' leaves the base's weights as they are"):
        measure_forgetting(tiny_base, virtual, TEXTS)


def test_the_general_texts_are_sixty_different_sentences():
    assert len(set(GENERAL_TEXTS)) == len(GENERAL_TEXTS) == 60


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["roberta", "deberta-v2", "distilbert", "modernbert", "qwen2", "gpt2"])
def test_other_architectures_are_measured_alike(architecture, samples, cache_dir, tmp_path):
    folder = save_tiny_model(architecture, tmp_path / architecture)
    base = open_base(folder, name=architecture)
    adapter = tuned(base, samples, cache_dir, learning_rate=STANDSTILL, weight_decay=0.0)
    found = measure_forgetting(base, adapter)
    assert found.measure == ("masked loss" if base.kind == "encoder" else "causal loss")
    assert (found.difference, found.n_texts) == (0.0, 60)


def test_layers_that_four_bits_turned_round_are_compared_under_the_bases_own_head(samples, cache_dir, tmp_path):
    base = resolve_base(str(save_tiny_model("gpt2", tmp_path / "gpt2")), knowledge_cutoff=CUTOFF)
    adapter = tuned(base, samples, cache_dir, method="qlora", learning_rate=STANDSTILL, weight_decay=0.0)
    found = measure_forgetting(base, adapter, TEXTS)
    assert found.measure == "causal loss"
    assert (found.difference, found.before) == (0.0, found.after)
