"""A base that brings a head of its own: its rows are put into our order, or a head is drawn anew."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from samples.model_samples import CUTOFF, sentences
from samples.small_bases import small_base, small_classifier

from embargo.data_loaders.fields import CLASSES
from embargo.models.bases.heads import own_head
from embargo.models.bases.resolve import open_base
from embargo.models.fitting import fit_scorer
from embargo.models.loading.load import deterministic, device, load_classifier
from embargo.models.loading.shared import SharedBase
from embargo.models.methods.settings import TuneSettings
from embargo.models.tuning.adapters import tune

PROSUS = ("positive", "negative", "neutral")
ORDERS = [
    (PROSUS, (1, 2, 0)),
    (("Neutral", "Positive", "Negative"), (2, 0, 1)),
    (("Bearish", "Bullish", "Neutral"), (0, 2, 1)),
    ((" NEG", "neu", "Pos"), (0, 1, 2)),
    (CLASSES, (0, 1, 2)),
    (("LABEL_0", "LABEL_1", "LABEL_2"), None),
    (("négatif", "neutre", "positif"), None),
    (("positive", "negative", "mixed"), None),
    (("positive", "bullish", "neutral"), None),
]
SETTINGS = TuneSettings(method="lora", rank=4, epochs=1, batch_size=16, compute="fp32")
TEXTS, HELD_OUT = sentences(24, seed=5), sentences(12, seed=6)


@pytest.fixture(scope="module")
def base_of(tmp_path_factory):
    """Builder of one base per architecture and labels, shared by the tests of this module."""
    made = {}

    def get(labels, model_type="bert"):
        if (labels, model_type) not in made:
            made[labels, model_type] = small_classifier(model_type, tmp_path_factory.mktemp("own"), labels)
        return made[labels, model_type]

    return get


def edited(base, folder, **changes):
    """Return a copy of a base with other entries in its config."""
    folder.mkdir()
    for path in Path(base.path_or_id).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return open_base(folder, name="edited")


def rows_of(base, name="classifier"):
    tensors = load_file(Path(base.path_or_id) / "model.safetensors", device=str(device()))
    return tensors[f"{name}.weight"], tensors.get(f"{name}.bias")


def loaded(base, seed=0, method="lora"):
    with deterministic(seed):
        return load_classifier(base, method=method, compute="fp32")


@pytest.mark.parametrize(("labels", "order"), ORDERS)
def test_rows_are_ordered_by_their_words_or_drawn_anew(base_of, labels, order):
    base = base_of(labels)
    assert own_head(base).order == order
    model, new = loaded(base)
    weight, bias = rows_of(base)
    if order is None:
        assert "classifier" in new
        assert not any(torch.equal(row, old) for row in model.classifier.weight for old in weight)
        assert not model.classifier.bias.any()
        assert torch.equal(loaded(base)[0].classifier.weight, model.classifier.weight)
        assert not torch.equal(loaded(base, seed=1)[0].classifier.weight, model.classifier.weight)
    else:
        assert "classifier" not in new
        assert torch.equal(model.classifier.weight, weight[list(order)])
        assert torch.equal(model.classifier.bias, bias[list(order)])
    assert model.config.id2label == dict(enumerate(CLASSES))


@pytest.mark.parametrize(("model_type", "name"), [("roberta", "classifier.out_proj"), ("llama", "score")])
def test_heads_of_other_architectures_are_found(base_of, model_type, name):
    base = base_of(PROSUS, model_type)
    model, _ = loaded(base)
    assert torch.equal(model.get_submodule(name).weight, rows_of(base, name)[0][[1, 2, 0]])


@pytest.mark.parametrize("labels", [PROSUS, ("LABEL_0", "LABEL_1", "LABEL_2")])
@pytest.mark.parametrize("method", ["lora", "qlora"])
@pytest.mark.parametrize("pooled", [True, False])
def test_a_shared_base_lends_the_same_head(base_of, labels, method, pooled, tmp_path):
    base = base_of(labels)
    if not pooled:  # more than the head is drawn
        base = edited(base, tmp_path / "bare")
        weights = Path(base.path_or_id) / "model.safetensors"
        kept = {name: value for name, value in load_file(weights).items() if "pooler" not in name}
        save_file(kept, weights, metadata={"format": "pt"})
    with SharedBase(base) as shared:
        for seed in (0, 1):
            with deterministic(seed):
                lent, heads = shared.lend(method=method, compute="fp32")
                after = torch.get_rng_state()
            with deterministic(seed):
                read, named = load_classifier(base, method=method, compute="fp32")
                assert torch.equal(torch.get_rng_state(), after)
            assert heads == named
            assert all(torch.equal(one, two) for one, two in zip(lent.parameters(), read.parameters(), strict=True))


def test_what_a_config_says_twice_must_agree(base_of, tmp_path):
    base = base_of(PROSUS)
    same = {"positive": 0, "negative": 1, "neutral": 2}
    assert own_head(edited(base, tmp_path / "same", label2id=same)).order == (1, 2, 0)
    other = {"negative": 0, "neutral": 1, "positive": 2}
    assert own_head(edited(base, tmp_path / "other", label2id=other)).start == "fresh"
    # What transformers writes by itself contradicts nothing.
    numbered = {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    assert own_head(edited(base, tmp_path / "numbered", label2id=numbered)).start == "permuted"
    for place, strange in enumerate(({"0": "positive"}, [*PROSUS], None, "positive")):
        assert own_head(edited(base, tmp_path / str(place), id2label=strange)).start == "fresh"


def test_no_head_and_heads_of_other_sizes_are_none(base_of, tmp_path):
    assert own_head(small_base("bert", tmp_path / "plain")) is None
    assert own_head(base_of(("negative", "positive"))) is None
    assert "classifier" in loaded(base_of(("negative", "positive")))[1]


def test_a_head_split_over_shards_is_found(base_of, tmp_path):
    base = edited(base_of(PROSUS), tmp_path / "shards")
    folder = Path(base.path_or_id)
    tensors = load_file(folder / "model.safetensors")
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    placed = {key: names[key.startswith("classifier")] for key in tensors}
    for name in names:
        part = {key: value for key, value in tensors.items() if placed[key] == name}
        save_file(part, folder / name, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    (folder / "model.safetensors").unlink()
    found = open_base(folder, name="shards")
    assert own_head(found).order == (1, 2, 0)
    assert torch.equal(loaded(found)[0].classifier.bias.cpu(), tensors["classifier.bias"][[1, 2, 0]])


def tuned(base, cache):
    return tune(
        base,
        train_texts=TEXTS["text"].tolist(),
        train_labels=TEXTS["label"].tolist(),
        validation_texts=HELD_OUT["text"].tolist(),
        validation_labels=HELD_OUT["label"].tolist(),
        settings=SETTINGS,
        trained_until=CUTOFF,
        cache_dir=cache,
    )


def test_an_adapter_is_kept_under_another_key_where_its_start_changed(base_of, tmp_path):
    kept = {labels: tuned(base_of(labels), tmp_path).manifest for labels in (PROSUS, CLASSES, ("a", "b", "c"))}
    assert {labels: manifest["head"]["start"] for labels, manifest in kept.items()} == {
        PROSUS: "permuted",
        CLASSES: "own",
        ("a", "b", "c"): "fresh",
    }
    assert [manifest["key"].get("head") for manifest in kept.values()] == ["permuted", None, "fresh"]
    plain = tuned(small_base("bert", tmp_path / "plain"), tmp_path).manifest
    assert "head" not in plain
    assert "head" not in plain["key"]


def test_the_manifest_of_a_fit_says_what_became_of_the_head(base_of, tmp_path):
    options = {"train": TEXTS, "validation": HELD_OUT, "trained_until": CUTOFF, "cache_dir": tmp_path}
    fitted = fit_scorer("transformer", base=base_of(PROSUS), settings=SETTINGS, **options)
    assert fitted.manifest["head"] == {"labels": list(PROSUS), "start": "permuted"}
    plain = fit_scorer("transformer", base=small_base("bert", tmp_path / "plain"), settings=SETTINGS, **options)
    assert "head" not in plain.manifest


def test_a_head_in_any_order_ends_where_one_in_the_right_order_does(tmp_path, monkeypatch):
    cases = Path(os.environ.get("EMBARGO_CASES") or Path(__file__).parents[4] / "shared" / "cases")
    case = cases / "finbert_head"
    if not case.is_dir():
        pytest.skip(f"cases not found at {cases}; set EMBARGO_CASES")
    from samples import small_bases

    # What the case's script makes, it makes where it stands.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "small_bases", small_bases)
    exec(compile((case / "make.py").read_text(), "make.py", "exec"), {})
    classes = {"negative": 0, "neutral": 1, "positive": 2}
    labels, held = (pd.read_csv(case / name).replace({"label": classes}) for name in ("labels.csv", "held.csv"))
    labels["label"], held["label"] = labels["label"].astype(int), held["label"].astype(int)
    right = {}
    for name in ("finbert_order", "same_order"):
        base = open_base(tmp_path / name, name=name)
        model = fit_scorer(
            "transformer",
            train=labels[:94],
            validation=labels[94:],
            base=base,
            settings=replace(SETTINGS, rank=8, epochs=3, learning_rate=2e-3),
            trained_until=None,
            cache_dir=tmp_path / "cache",
        )
        found = model.scorer.logits(held["text"].tolist()).argmax(axis=1)
        right[name] = np.mean(found == held["label"].to_numpy())
    assert right == {"finbert_order": 1.0, "same_order": 1.0}
