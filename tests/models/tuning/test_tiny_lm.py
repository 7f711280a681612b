"""The built-in decoder: made of dated texts alone, the same in every process, and read as every other decoder is."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from samples.model_samples import CUTOFF, sentences
from samples.small_lm import SMALL_LM, small_lm

from embargo.backtest.leakage.memory import check_membership
from embargo.data_loaders.errors import ConfigError, DataError, LeakError
from embargo.models.bases.resolve import resolve_base
from embargo.models.content import text_hash
from embargo.models.fitting import fit_scorer
from embargo.models.loading.language import load_language_model
from embargo.models.loading.load import load_tokenizer
from embargo.models.methods.settings import TuneSettings
from embargo.models.probes import base_familiarity
from embargo.models.prompting.context import Context
from embargo.models.prompting.settings import PromptSettings
from embargo.models.scorers.kind import FitRequest
from embargo.models.tuning.tiny_lm import TinyLmSettings, _windows, pretrain_tiny_lm

NEW_WORDS = (
    "Quoxley Wharf halts zirconium tolling after the vhs arbitration",
    "Regulators in Ubbergen probe Yxtra's kelp futures",
    "Jazmyk Oy swaps its yttrium barge for cyan warrants",
)


@pytest.fixture(scope="module")
def corpus():
    return sentences(300, seed=1)["text"].tolist()


@pytest.fixture(scope="module")
def base(corpus, cache_dir):
    return small_lm(corpus, cache_dir)


def manifest_of(base):
    return json.loads((Path(base.path_or_id) / "manifest.json").read_text())


def test_is_a_llama_with_its_own_head_that_loads_without_foreign_code(base):
    assert (base.name, base.kind, base.architecture, base.width) == ("tiny-lm", "decoder", "llama", 64)
    assert base.knowledge_cutoff == CUTOFF
    assert base.source == f"pretrained here on {manifest_of(base)['n_texts']} texts, all known by {CUTOFF.isoformat()}"
    model, tokenizer = load_language_model(base), load_tokenizer(base)
    # The embeddings are the head too, and are stored once.
    assert model.num_parameters() - model.lm_head.weight.numel() == manifest_of(base)["parameters"]
    assert len({tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}) == 3
    assert len(tokenizer) == model.get_input_embeddings().num_embeddings


@pytest.mark.parametrize("text", ["Profit rose 3.5 %, don't it?", "Łódź und 東京\n\n  x", " leading", ""])
def test_any_text_is_told_in_its_tokens(base, text):
    tokenizer = load_tokenizer(base)
    ids = tokenizer(text)["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids[1:]) == text


def test_vocabulary_is_that_of_the_texts_it_learnt_from(base, corpus):
    tokens = load_tokenizer(base).get_vocab()
    learnt = " ".join(corpus)
    words = [token.replace("Ġ", " ") for token in tokens if len(token) > 1 and token.isascii()]
    assert all(word in learnt for word in words if not word.startswith("<"))
    assert "Ġplunged" in tokens


def test_perplexity_is_that_of_texts_held_out_by_their_hash(base, corpus):
    told = manifest_of(base)["held_out"]
    held_out = [text for text in set(corpus) if int(text_hash(text)[:8], 16) / 16**8 < SMALL_LM.held_out]
    assert told["n_texts"] == len(held_out) > 5
    import torch

    model, tokenizer = load_language_model(base), load_tokenizer(base)
    nats, tokens = 0.0, 0
    for text in held_out:
        ids = torch.tensor([[*tokenizer(text)["input_ids"], tokenizer.eos_token_id]])
        with torch.no_grad():
            nats += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
        tokens += ids.shape[1] - 1
    assert tokens == told["tokens"]
    assert told["perplexity"] == pytest.approx(math.exp(nats / tokens), rel=1e-5)
    assert told["bits_per_byte"] == pytest.approx(nats / math.log(2) / sum(len(text.encode()) for text in held_out))
    # Chance over the vocabulary is what a model that learnt nothing leaves.
    assert told["perplexity"] < manifest_of(base)["vocabulary_size"] / 10


def test_texts_that_it_read_are_likelier_than_those_of_its_future(base, corpus):
    known, future = base_familiarity(base, corpus[:30]), base_familiarity(base, NEW_WORDS)
    assert known.min() > future.max()


@pytest.mark.parametrize("planted", [True, False])
def test_what_was_planted_in_it_is_found_and_its_like_is_not(cache_dir, planted):
    texts = sentences(120, seed=5)["text"].tolist()
    at = pd.date_range("2015-01-01", periods=len(texts), freq="D", tz="UTC")
    read = texts[:60] if planted else sentences(60, seed=6)["text"].tolist()
    settings = replace(SMALL_LM, epochs=40, max_length=64, batch_size=2, held_out=0.0)
    familiarity = base_familiarity(small_lm(read, cache_dir, settings), texts)
    found = check_membership(pd.DataFrame({"at": at, "familiarity": familiarity}), at[60])
    assert found.verdict == ("suspicious" if planted else "pass"), found.detail
    assert (found.figures["auc"] > 0.9) == planted


def test_the_same_texts_give_the_same_bits_in_every_process(base, corpus, cache_dir, tmp_path):
    script = (
        "import sys, json, pandas as pd\n"
        "from pathlib import Path\n"
        "from embargo.models import TinyLmSettings, pretrain_tiny_lm\n"
        "texts, settings, until = json.load(sys.stdin)\n"
        "until = pd.Timestamp(until)\n"
        "made = pretrain_tiny_lm(texts, known_at=[until] * len(texts), knowledge_cutoff=until,\n"
        "                        settings=TinyLmSettings(**settings), cache_dir=Path(sys.argv[1]))\n"
        "print(made.weights_hash)\n"
    )
    given = json.dumps([corpus[::-1] + corpus[:3], asdict(SMALL_LM), CUTOFF.isoformat()])
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], input=given, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == base.weights_hash
    brief = replace(SMALL_LM, epochs=1)
    assert small_lm(corpus, tmp_path, brief, seed=1).weights_hash != small_lm(corpus, tmp_path, brief).weights_hash


def test_windows_hold_whole_texts_and_begin_where_a_text_does():
    rng = np.random.default_rng(0)
    texts = [[1, *[7] * int(rng.integers(1, 15)), 2] for _ in range(200)]
    windows = _windows(texts, TinyLmSettings(max_length=32))
    assert [token for window in windows for token in window] == [token for text in texts for token in text]
    assert all(window[0] == 1 and window[-1] == 2 and len(window) <= 32 for window in windows)


def test_a_prompt_with_six_examples_fits_into_its_window(corpus, cache_dir):
    train = sentences(200, seed=2)
    texts, labels = train["text"].tolist(), train["label"].tolist()
    request = FitRequest(texts, labels, [], [], None, None, cache_dir)

    def shown(window):
        brief = replace(SMALL_LM, layers=1, epochs=1, max_length=window)
        tokenizer = load_tokenizer(small_lm(corpus, cache_dir, brief))
        (prompt,) = Context.build(PromptSettings(examples=6), request, tokenizer).prompts([texts[0]])
        return [item.text for item in prompt.items if item.part in ("example", "article")]

    whole = shown(TinyLmSettings().max_length)
    assert len(whole) == 7
    assert set(whole) <= set(texts)
    with pytest.raises(ConfigError, match="6 examples and earlier articles leave"):
        shown(256)


def test_a_text_from_after_the_cutoff_is_refused(tmp_path):
    texts = ["Profit rose.", "Profit fell."]
    with pytest.raises(LeakError, match=r"base 'tiny-lm': 1 texts were known after the knowledge cutoff"):
        pretrain_tiny_lm(
            texts, known_at=[CUTOFF, CUTOFF + pd.Timedelta("1us")], knowledge_cutoff=CUTOFF, cache_dir=tmp_path
        )
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize(("texts", "message"), [([], "no texts"), ([" "], "blank"), (["Profit rose."], "held out")])
def test_needs_texts(tmp_path, texts, message):
    settings = replace(SMALL_LM, held_out=0.999)
    with pytest.raises(DataError, match=message):
        small_lm(texts, tmp_path, settings)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden": 96}, {"hidden": 0}, {"intermediate": 100}, {"heads": 0}, {"heads": 3}, {"max_length": 20},
        {"layers": 0}, {"vocabulary": 258}, {"held_out": 1.0}, {"learning_rate": 0.0}, {"weight_decay": -1.0},
    ],
)  # fmt: skip
def test_refuses_impossible_shapes(change):
    with pytest.raises(ConfigError, match="tiny-lm"):
        TinyLmSettings(**change)


def test_is_made_not_found():
    with pytest.raises(ConfigError, match="pretrain_tiny_lm"):
        resolve_base("tiny-lm")


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_is_tuned_as_a_classifier(base, samples, cache_dir, method):
    train, validation = samples["train"], samples["validation"]
    settings = TuneSettings(method=method, epochs=4, batch_size=8, max_length=48, learning_rate=1e-2)
    fitted = fit_scorer(
        "transformer", train=train, validation=validation, trained_until=CUTOFF, base=base, settings=settings,
        cache_dir=cache_dir,
    )  # fmt: skip
    assert fitted.manifest["base"] == "tiny-lm"
    assert fitted.manifest["validation_accuracy"] > 0.8
    alone = fitted.scorer.logits([validation["text"].iloc[0]])
    together = fitted.scorer.logits(validation["text"].tolist())
    np.testing.assert_allclose(alone[0], together[0], atol=1e-5)
