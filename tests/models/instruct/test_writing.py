"""What a tuned decoder writes: the same for a prompt whatever else is asked, in a new process, and once merged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from samples.instruct_samples import SETTINGS, TRAIN_UNTIL, VALIDATION_UNTIL, articles, moves, tones, tuned

from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.models.bases.resolve import resolve_base
from embargo.models.bundles import list_bundles
from embargo.models.content import text_hash
from embargo.models.evaluation import RefusalChange, Refusals
from embargo.models.fitting import fit_scorer
from embargo.models.instruct import (
    AnswerModel,
    answer_models,
    exchanges,
    load_templates,
    merge_answers,
    open_answer_bundle,
    write_answer_bundle,
)
from embargo.models.instruct.writing import greedy_answer, merged_decoder, unmerged_decoder
from embargo.models.loading.causal import load_causal
from embargo.models.loading.load import load_tokenizer
from embargo.models.prompting import PromptSettings
from embargo.models.tuning.adapters import open_adapter


@pytest.fixture(scope="module")
def adapter(reader, short, tmp_path_factory):
    train, validation, _ = tones(short, n=60)
    return tuned(reader, train, validation, tmp_path_factory.mktemp("cache"), replace(SETTINGS, epochs=1))


@pytest.fixture(scope="module")
def asked():
    made, _ = exchanges(articles(6, seed=8), load_templates(), held_out=True)
    return made


def test_an_answer_and_its_likelihood_depend_on_the_prompt_alone(reader, adapter, asked):
    model = AnswerModel(reader, adapter)
    together, losses = model.answers(asked), model.losses(asked)
    for row in (0, 3, len(asked) - 1):
        assert model.answers([asked[row]]) == [together[row]]
        assert model.losses([asked[row]])[0] == losses[row]
    backwards = model.losses(asked[::-1])[::-1]
    np.testing.assert_array_equal(backwards, losses)


NEW_PROCESS = """
import json, sys
sys.path[:0] = {paths!r}
from pathlib import Path
from samples.instruct_samples import articles
from embargo.models.bases.resolve import open_base
from embargo.models.instruct import AnswerModel, exchanges, load_templates
from embargo.models.tuning.adapters import open_adapter

model = AnswerModel(open_base(Path({base!r}), name="reader"), open_adapter(Path({adapter!r})))
asked, _ = exchanges(articles(6, seed=8), load_templates(), held_out=True)
print(json.dumps([model.answers(asked[:6]), [one.hex() for one in model.losses(asked).tolist()]]))
"""


@pytest.mark.slow
def test_a_new_process_writes_the_same_to_the_bit(reader, adapter, asked):
    paths = [str(Path(__file__).parents[2])]
    script = NEW_PROCESS.format(paths=paths, base=reader.path_or_id, adapter=str(adapter.path))
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, timeout=240)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    answers, losses = json.loads(done.stdout.decode().splitlines()[-1])
    model = AnswerModel(reader, adapter)
    assert answers == model.answers(asked[:6])
    assert losses == [one.hex() for one in model.losses(asked).tolist()]


def test_greedy_answers_are_those_of_transformers(reader, adapter):
    model, tokenizer = merged_decoder(reader, adapter, "fp32"), load_tokenizer(reader)
    for text in ("Alder sales 7 % rose in the", "Borcor orders"):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        written = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, num_beams=1, max_new_tokens=12
        )
        expected = tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True).strip()
        assert greedy_answer(model, tokenizer, ids[0].tolist(), most=12, one_line=False) == expected


@pytest.mark.parametrize("method", ["lora", "qlora", "dora", "rslora"])
def test_merged_weights_give_the_logits_of_the_adapter_beside_them(reader, short, tmp_path, method):
    train, validation, _ = tones(short, n=40)
    made = tuned(reader, train, validation, tmp_path, replace(SETTINGS, method=method, epochs=1))
    tokenizer = load_tokenizer(reader)
    ids = tokenizer("Alder sales 7 % rose in the quarter", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        apart, merged, untuned = (
            model(input_ids=ids).logits
            for model in (
                unmerged_decoder(reader, made),
                merged_decoder(reader, made, "fp32"),
                merged_decoder(reader, made, "fp32", tuned=False),
            )
        )
    torch.testing.assert_close(merged, apart, rtol=0, atol=1e-4)
    assert (merged - untuned).abs().max() > 1e-2, "the adapter changes nothing"


def test_a_merged_folder_is_a_base_like_any_other(reader, adapter, asked, tmp_path):
    merged = merge_answers(reader, adapter, tmp_path / "merged")
    assert merged.max_dlogit <= merged.manifest["proof"]["tolerance"]
    cutoff = pd.Timestamp(merged.manifest["knowledge_cutoff"])
    assert cutoff == VALIDATION_UNTIL
    base = resolve_base(str(tmp_path / "merged"), knowledge_cutoff=cutoff)
    assert (base.kind, base.knowledge_cutoff) == ("decoder", VALIDATION_UNTIL)
    tokenizer, model = load_tokenizer(base), load_causal(base, method="lora", compute="fp32")
    tuned_model, _ = AnswerModel(reader, adapter)._model()[::-1]
    ids = tokenizer(asked[0].prompt, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        torch.testing.assert_close(model(input_ids=ids).logits, tuned_model(input_ids=ids).logits, rtol=0, atol=1e-5)


def test_a_merged_model_reads_news_when_it_is_prompted(reader, adapter, tmp_path):
    merge_answers(reader, adapter, tmp_path / "merged")
    base = resolve_base(str(tmp_path / "merged"), knowledge_cutoff=VALIDATION_UNTIL)
    frame = moves(40, seed=5).assign(label=lambda frame: frame["label"].map({"bearish": 0, "bullish": 2}))
    early, late = frame.iloc[:20], frame.iloc[20:]
    template = tmp_path / "short.toml"
    template.write_text(
        'name = "short"\nversion = "1"\ninstruction = "in the quarter"\narticle = "said {text} in sales, said"\n'
        'answer = " {label}"\nretrieved = "said {text} ."\nseparator = "\\n"\n'
        '[labels]\nbearish = "orders"\nneutral = "held"\nbullish = "margins"\n'
    )
    tuned_reader, untuned = (
        fit_scorer(
            "prompted",
            train=early,
            validation=late,
            trained_until=frame["known_at"].max(),
            base=one,
            settings=PromptSettings(template=str(template)),
            cache_dir=tmp_path,
        )
        for one in (base, reader)
    )
    found, before = (model.scorer.logits(late["text"].tolist()) for model in (tuned_reader, untuned))
    assert found.shape == (20, 3)
    assert np.isfinite(found).all()
    assert np.abs(found - before).max() > 0.01, "the tuning is lost"
    assert tuned_reader.scorer.identity != untuned.scorer.identity
    assert tuned_reader.scorer.knowledge_cutoff == VALIDATION_UNTIL
    assert untuned.scorer.knowledge_cutoff == TRAIN_UNTIL


FACTS = {
    "name": "desk",
    "seed": 0,
    "templates": {"name": "research-desk", "version": 1, "hash": "ab" * 32},
    "data": {
        "source": "articles.parquet",
        "left_out": {"in_the_embargo": 2},
        "split": {},
        **{part: {"articles": 3, "exchanges": {"understanding/tone": 3}} for part in ("train", "validation", "test")},
    },
    "metrics": None,
    "refusals": RefusalChange(
        *[Refusals((True,) * 3, (False,) * 3, 1.0, 0.4, 1.0, 0.0, 0.0, 0.6, 0.95)] * 2, 0, 0, 1.0
    ).to_dict(),
    "versions": {"torch": "2"},
}


def test_a_folder_says_what_the_model_is_and_finds_its_base(reader, adapter, asked, tmp_path):
    bundle = write_answer_bundle(
        tmp_path / "models" / "desk", base=reader, adapter=adapter, facts=FACTS, validation_hashes=[text_hash("x")]
    )
    model = bundle.manifest["model"]
    assert model["knowledge_cutoff"] == VALIDATION_UNTIL.isoformat()
    assert model["base_knowledge_cutoff"] == TRAIN_UNTIL.isoformat()
    assert model["weights"] == {"understanding": 1.0, "completion": 0.0, "summary": 0.0, "questions": 0.0}
    card = (bundle.path / "README.md").read_text(encoding="utf-8")
    for told in (
        "2015-10-15 00:00 UTC",
        "`abababababababab`",
        "100 % (40 to 100 %)",
        "| understanding | 1 | 3 | 3 | 3 |",
        "embargo 2",
    ):
        assert told in card
    assert text_hash("x") in bundle.text_hashes
    assert set(adapter.train_text_hashes) < bundle.text_hashes
    (row,) = list_bundles(tmp_path / "models")
    assert (row["kind"], row["base"], row["method"]) == ("instruct", "reader", "lora")
    opened, untuned = answer_models(open_answer_bundle(bundle.path), cache_dir=tmp_path, given=Path(reader.path_or_id))
    np.testing.assert_array_equal(opened.losses(asked[:4]), AnswerModel(reader, adapter).losses(asked[:4]))
    assert untuned.knowledge_cutoff == TRAIN_UNTIL
    assert opened.identity != untuned.identity


def test_a_folder_that_was_changed_is_not_opened(reader, adapter, tmp_path):
    bundle = write_answer_bundle(tmp_path / "desk", base=reader, adapter=adapter, facts=FACTS, validation_hashes=[])
    manifest = bundle.path / "adapter" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(VALIDATION_UNTIL.isoformat(), "2012-01-01T00:00:00+00:00"))
    with pytest.raises(DataError, match="is not the adapter that was written"):
        open_answer_bundle(bundle.path)
    with pytest.raises(MissingPartError, match="no such model folder"):
        open_answer_bundle(tmp_path / "other")


def test_an_adapter_of_another_base_or_another_task_is_refused(decoder, reader, adapter):
    with pytest.raises(ConfigError, match="tuned on base 'reader'"):
        AnswerModel(decoder, adapter)
    classifier = replace(adapter, manifest={**adapter.manifest, "task": None})
    with pytest.raises(ConfigError, match="tuned to classify"):
        AnswerModel(reader, classifier)


def test_the_folder_of_an_adapter_opens_as_any_other(adapter):
    assert open_adapter(adapter.path).identity == adapter.identity
    uses = {sample.use for sample in adapter.read}
    assert uses == {"optimiser", "stopping"}
