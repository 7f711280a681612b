"""Model folders: whole or not at all, checked to the last byte, opened only on the base they were tuned on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from samples.model_samples import sentences
from samples.small_bases import small_base

from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.models.bases.resolve import TINY, Base, open_base
from embargo.models.bundles.bundle import Bundle, bundle_reader, fitted_reader, list_bundles, open_bundle, write_bundle
from embargo.models.content import new_folder, text_hash
from embargo.models.evaluation.classification import classification_report
from embargo.models.fitting import FittedModel, fit_scorer
from embargo.models.methods.settings import TuneSettings
from embargo.models.scorers.score import model_id
from embargo.models.tuning.adapters import open_adapter

UNTIL = pd.Timestamp("2016-01-01", tz="UTC")
TEXTS = sentences(20, seed=77)["text"].tolist()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def base(home: Path) -> Base:
    # In the cache of built-in bases and called so, though its weights are random.
    return open_base(Path(small_base("bert", home / "bases" / "tiny-0").path_or_id), name=TINY, knowledge_cutoff=UNTIL)


@pytest.fixture(scope="module")
def fitted(base: Base, home: Path) -> FittedModel:
    return fit_scorer(
        "transformer",
        train=sentences(48, seed=1),
        validation=sentences(24, seed=2),
        trained_until=UNTIL,
        base=base,
        settings=TuneSettings(method="lora", rank=2, epochs=1, max_length=32),
        cache_dir=home,
    )


def written(folder: Path, base: Base, fitted: FittedModel, home: Path) -> Bundle:
    report = classification_report(np.full((3, 3), 1 / 3), np.array([0, 1, 2]), resamples=5)
    figures = {"ece": 0.1, "adaptive_ece": 0.1, "brier": 0.1}
    spans = {f"{name}_interval": [0.0, 0.2] for name in figures}
    facts: dict[str, Any] = {
        "name": folder.name,
        "seed": 0,
        "fold": None,
        "model": fitted.manifest,
        "data": {"source": "a test"},
        "metrics": {"validation": None, "test": report | figures | spans | {"before": figures | spans}},
        "versions": {},
    }
    return write_bundle(
        folder,
        base=base,
        adapter=open_adapter(home / "adapters" / fitted.manifest["adapter"]),
        calibration=fitted.calibration,
        facts=facts,
        validation_texts=sentences(24, seed=2)["text"],
    )


@pytest.fixture(scope="module")
def bundle(base: Base, fitted: FittedModel, home: Path) -> Bundle:
    return written(home / "models" / "one", base, fitted, home)


@pytest.fixture
def copy(bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle.path, tmp_path / "copy"))


def test_a_folder_reads_as_the_model_that_was_fitted(bundle: Bundle, fitted: FittedModel, home: Path) -> None:
    reader = bundle_reader(bundle, cache_dir=home)
    np.testing.assert_array_equal(reader.scorer.logits(TEXTS), fitted.scorer.logits(TEXTS))
    assert model_id(reader.scorer, reader.calibration) == fitted.manifest["model_id"]
    assert reader.knowledge_cutoff == UNTIL
    assert reader.train_text_hashes == frozenset(map(text_hash, sentences(48, seed=1)["text"]))
    assert reader.validation_text_hashes == frozenset(map(text_hash, sentences(24, seed=2)["text"]))
    assert not any(text in (bundle.path / "manifest.json").read_text() for text in TEXTS)


def test_the_built_in_base_goes_with_the_folder_to_another_machine(copy: Path, tmp_path: Path) -> None:
    reader = bundle_reader(open_bundle(copy), cache_dir=tmp_path / "nothing here")
    assert reader.base is not None
    assert Path(reader.base.path_or_id).parent == copy
    assert reader.scorer.logits(TEXTS).shape == (20, 3)


def test_a_reader_of_a_run_finds_adapter_and_base_in_the_cache(fitted: FittedModel, home: Path, tmp_path: Path) -> None:
    reader = fitted_reader("run fold 1", fitted.manifest, revision=None, cache_dir=home)
    np.testing.assert_array_equal(reader.scorer.logits(TEXTS), fitted.scorer.logits(TEXTS))
    with pytest.raises(MissingPartError, match="--cache"):
        fitted_reader("run fold 1", fitted.manifest, revision=None, cache_dir=tmp_path)
    for kind in ("linear", "endpoint"):
        with pytest.raises(ConfigError, match=f"a model of kind '{kind}' is not kept"):
            fitted_reader("run", fitted.manifest | {"kind": kind}, revision=None, cache_dir=home)


def test_a_reader_of_a_run_scores_as_the_run_did(base: Base, fitted: FittedModel, home: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    train = sentences(48, seed=1)
    settings = TuneSettings(method="lora", rank=2, epochs=1, max_length=32)
    ran = fit_scorer(
        "transformer",
        train=train,
        validation=sentences(24, seed=2),
        trained_until=UNTIL,
        base=base,
        settings=settings,
        cache_dir=home,
        runtime="onnx-int8",
    )
    assert ran.manifest["adapter"] == fitted.manifest["adapter"]
    reader = fitted_reader("run", ran.manifest, revision=None, cache_dir=home, runtime="onnx-int8")
    assert reader.scorer.identity == ran.scorer.identity != fitted.scorer.identity
    np.testing.assert_array_equal(reader.scorer.logits(TEXTS), ran.scorer.logits(TEXTS))
    assert reader.knowledge_cutoff == UNTIL
    with pytest.raises(MissingPartError, match="ONNX export"):
        fitted_reader("run", fitted.manifest, revision=None, cache_dir=home, runtime="onnx-int8")


@pytest.mark.parametrize(
    "name", ["README.md", "calibration.json", "train_text_hashes.txt", "adapter/adapter_model.safetensors"]
)
def test_a_file_that_was_changed_is_named(copy: Path, name: str) -> None:
    path = copy / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=path.name):
        open_bundle(copy)


def test_a_manifest_that_was_changed_is_refused(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["model"]["knowledge_cutoff"] = "2010-01-01T00:00:00+00:00"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="was changed"):
        open_bundle(copy)


def test_another_adapter_put_in_its_place_is_refused(copy: Path, base: Base, home: Path, fitted: FittedModel) -> None:
    other = fit_scorer(
        "transformer",
        train=sentences(48, seed=9),
        validation=sentences(24, seed=2),
        trained_until=UNTIL,
        base=base,
        settings=TuneSettings(method="lora", rank=2, epochs=1, max_length=32),
        cache_dir=home,
    )
    shutil.rmtree(copy / "adapter")
    shutil.copytree(home / "adapters" / other.manifest["adapter"], copy / "adapter")
    with pytest.raises(DataError, match="not the adapter that was written"):
        open_bundle(copy)


def test_a_base_with_other_weights_is_refused_by_name(bundle: Bundle, home: Path, tmp_path: Path) -> None:
    small_base("bert", tmp_path / "other", seed=1)
    with pytest.raises(ConfigError, match="--base FOLDER"):
        bundle_reader(bundle, cache_dir=home, given=tmp_path / "other")


def test_a_base_that_is_not_there_is_told_where_to_be_given(
    fitted: FittedModel, base: Base, home: Path, tmp_path: Path
) -> None:
    entry = fitted.manifest | {"base": "./gone"}
    with pytest.raises(MissingPartError, match="--base FOLDER"):
        fitted_reader("run", entry, revision=None, cache_dir=home)
    reader = fitted_reader("run", entry, revision=None, cache_dir=home, given=Path(base.path_or_id))
    assert reader.knowledge_cutoff == UNTIL
    shutil.copytree(home / "adapters", tmp_path / "adapters")
    with pytest.raises(MissingPartError, match="--cache"):
        fitted_reader("run", fitted.manifest, revision=None, cache_dir=tmp_path)


def test_what_is_no_model_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match="no such model folder"):
        open_bundle(tmp_path / "none")
    with pytest.raises(DataError, match="no model folder"):
        open_bundle(tmp_path)


def killed(folder: Path) -> None:
    with new_folder(folder) as draft:
        (draft / "half").write_text("")
        raise KeyboardInterrupt


def test_nothing_is_overwritten_and_nothing_is_left_of_what_failed(
    bundle: Bundle, base: Base, fitted: FittedModel, home: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="exists already"):
        written(bundle.path, base, fitted, home)
    with pytest.raises(KeyboardInterrupt):
        killed(tmp_path / "killed")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="exists already"), new_folder(tmp_path / "theirs"):
        (tmp_path / "theirs" / "first").mkdir(parents=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["theirs", "first"]


def test_folders_are_listed_with_their_headline(bundle: Bundle, home: Path) -> None:
    (home / "models" / "not a model").mkdir(exist_ok=True)
    (row,) = list_bundles(home / "models")
    assert (row["name"], row["base"], row["method"], row["knowledge_cutoff"]) == (
        "one",
        TINY,
        "lora",
        UNTIL.isoformat(),
    )
    assert row["accuracy"] == pytest.approx(1 / 3)


def test_a_damaged_folder_is_listed_as_such(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "manifest.json").write_text('{"kind": "model"}')
    (row,) = list_bundles(tmp_path)
    assert (row["name"], row["kind"], row["accuracy"]) == ("bad", "damaged", None)
