"""Reading with a base's own head: nothing is tuned, validation calibrates, and unknown classes are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from samples.model_samples import CUTOFF, sentences
from samples.plain_logits import plain_logits
from samples.small_bases import small_base, small_classifier

from embargo.data_loaders.errors import ConfigError
from embargo.models.bundles.bundle import bundle_reader, open_bundle, write_bundle
from embargo.models.bundles.card import model_card
from embargo.models.evaluation.forgetting import measure_forgetting
from embargo.models.export.merged import merge
from embargo.models.export.onnx import check_runtime
from embargo.models.fitting import fit_scorer
from embargo.models.loading.load import load_tokenizer
from embargo.models.methods.cards import check_method
from embargo.models.methods.defaults import explain_settings
from embargo.models.methods.settings import TuneSettings
from embargo.models.scorers.transformer import TransformerScorer
from embargo.models.tuning.adapters import open_adapter, tune
from embargo.research.config.model import ModelSection

LABELS = ("positive", "negative", "neutral")
SETTINGS = TuneSettings(method="none", max_length=64, compute="fp32")
TEXTS = ["profit rose", "sales fell in a bank", "the bank held flat of a profit and a loss"]
HELD_OUT = sentences(30, seed=6)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return small_classifier("bert", tmp_path_factory.mktemp("own"), LABELS)


def fitted(base, cache, **changes):
    empty = pd.DataFrame({"text": [], "label": []})
    options = {"train": empty, "validation": HELD_OUT, "trained_until": CUTOFF, "settings": SETTINGS}
    return fit_scorer("transformer", base=base, cache_dir=cache, **(options | changes))


def own_logits(base):
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(base.path_or_id).eval()
    tokens = load_tokenizer(base)(TEXTS, padding=True, return_tensors="pt")
    return plain_logits(model, tokens["input_ids"], tokens["attention_mask"])


def test_it_reads_as_its_publisher_does_in_our_order(base, tmp_path):
    model = fitted(base, tmp_path)
    assert np.abs(model.scorer.logits(TEXTS) - own_logits(base)[:, [1, 2, 0]]).max() < 1e-6
    assert model.manifest["n_train"] == 0
    assert model.train_text_hashes == ()
    assert model.manifest["settings"]["method"] == "none"
    assert model.manifest["epochs"] == []
    assert model.manifest["temperature"] != 1.0
    # The samples of two folds leave it the same scorer.
    other = fitted(base, tmp_path, validation=sentences(30, seed=7), trained_until=CUTOFF + pd.Timedelta(days=9))
    assert other.scorer.identity == model.scorer.identity


def test_it_knows_what_its_base_and_its_calibration_know(base, tmp_path):
    unknown = fitted(base, tmp_path)
    assert unknown.manifest["knowledge_cutoff"] is None
    before = replace(base, knowledge_cutoff=CUTOFF - pd.Timedelta(days=90))
    known = fitted(before, tmp_path)
    assert known.scorer.knowledge_cutoff == before.knowledge_cutoff
    assert known.manifest["knowledge_cutoff"] == CUTOFF.isoformat()


def test_a_head_that_cannot_be_read_is_refused_by_name(tmp_path):
    plain = small_base("bert", tmp_path / "plain")
    numbered = small_classifier("bert", tmp_path / "numbered", ("LABEL_0", "LABEL_1", "LABEL_2"))
    with pytest.raises(ConfigError, match="read with method 'none': it brings no head"):
        check_method("none", plain)
    with pytest.raises(ConfigError, match=r"'LABEL_0' and 'LABEL_1' and 'LABEL_2' \(id2label"):
        fitted(numbered, tmp_path / "cache")
    with pytest.raises(ValueError, match="'tiny' has none"):
        ModelSection(method="none")
    assert ModelSection(method="none", base="mine").method == "none"


def test_a_model_folder_of_it_opens_again(base, tmp_path):
    model = fitted(base, tmp_path)
    adapter = open_adapter(tmp_path / "adapters" / model.manifest["adapter"])
    facts = {"name": "own", "model": {**model.manifest, "events": []}, "data": {"source": "a file"}, "seed": 0}
    facts |= {"metrics": {}, "versions": {}}
    write_bundle(
        tmp_path / "own",
        base=base,
        adapter=adapter,
        calibration=model.calibration,
        facts=facts,
        validation_texts=HELD_OUT["text"],
    )
    bundle = open_bundle(tmp_path / "own")
    card = (tmp_path / "own" / "README.md").read_text()
    assert "(positive, negative, neutral) put into the order bearish, neutral, bullish" in card
    assert "none: the base's own head, not tuned" in card
    reader = bundle_reader(bundle, cache_dir=tmp_path, given=Path(base.path_or_id))
    assert np.array_equal(reader.scorer.logits(TEXTS), model.scorer.logits(TEXTS))
    assert reader.train_text_hashes == frozenset()


def test_cards_say_which_head_was_started_from(base, tmp_path):
    manifest = {**fitted(base, tmp_path).manifest, "events": []}
    heads = {
        "drawn fresh: the base brings none": None,
        "drawn fresh: the rows of the base's own are called LABEL_0": {"labels": ["LABEL_0"], "start": "fresh"},
        "are called nothing": {"labels": [], "start": "fresh"},
        "already": {"labels": list(LABELS), "start": "own"},
    }
    whole = {
        "name": "own",
        "adapter_identity": "9c0e",
        "calibration": manifest["calibration"],
        "base": {"exposures": [], "evidence": "none", "revision": None, "knowledge_cutoff": None}
        | dict.fromkeys(("name", "kind", "weights_hash", "source"), "x"),
        "data": {"source": "a file"},
        "metrics": {},
        "seed": 0,
        "versions": {},
    }
    for words, head in heads.items():
        assert words in model_card({**whole, "model": manifest | {"head": head}})


def test_it_is_written_as_a_plain_model(base, tmp_path):
    adapter = tuned(base, tmp_path)
    merged = merge(base, adapter, tmp_path / "merged")
    assert merged.max_dlogit == 0.0
    again = small_logits(merged.path)
    assert np.abs(again - TransformerScorer(base, adapter).logits(TEXTS)).max() < 1e-6
    with pytest.raises(ConfigError, match="nothing was tuned"):
        measure_forgetting(base, adapter)
    with pytest.raises(ConfigError, match="scales from training texts"):
        check_runtime("onnx-int8", base, "none")
    reasons = {row.setting: row.why for row in explain_settings("none", 100, base)}
    assert reasons["rank"] == reasons["learning_rate"] == "not used by it"


def tuned(base, cache):
    return tune(
        base,
        train_texts=[],
        train_labels=[],
        validation_texts=[],
        validation_labels=[],
        settings=SETTINGS,
        trained_until=None,
        cache_dir=cache,
    )


def small_logits(folder):
    from embargo.models.bases.resolve import open_base

    return own_logits(open_base(folder, name="merged"))
