"""A model's folder that is damaged is refused with one clear error or gives an answer; nothing else ever comes of it.

Folders are damaged from a fixed seed: bytes, JSON and headers of safetensors, as they come from a bad disk and, with
their manifests written anew, from somebody who meant it. What has hashes may not change unnoticed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from samples.damaged_models import TEXTS, copied, damage, outcome, seal
from samples.model_desk import desk_in

from embargo.data_loaders.errors import DataError
from embargo.models.bases.resolve import resolve_base
from embargo.models.bundles.bundle import list_bundles, open_bundle
from embargo.models.loading.load import encode, load_classifier, load_tokenizer
from embargo.research.modelling.opening import open_model

KINDS = ("lora", "full", "onnx", "base")


@dataclass(frozen=True)
class Whole:
    """One whole folder of each kind."""

    folders: dict[str, Path]
    base: Path
    cache: Path

    def read(self, kind: str, folder: Path) -> Callable[[], object]:
        """Return what opens a folder and reads texts with it."""

        def base() -> object:
            found = resolve_base(str(folder))
            encode(load_tokenizer(found), TEXTS, 16)
            return load_classifier(found, method="lora", compute="fp32")

        def model() -> object:
            reader = open_model(folder, fold=None, cache=self.cache, base=None if kind == "onnx" else self.base)
            return reader.calibration.apply(reader.scorer.logits(TEXTS))

        return base if kind == "base" else model


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    desk = desk_in(tmp_path_factory.mktemp("whole"))
    folder = desk.folder
    folders = {
        "lora": desk.tuned("--set", "model.epochs=1", out="lora"),
        "full": desk.tuned("--set", "model.epochs=1", "--set", "model.method=full", out="full"),
        "onnx": folder / "onnx",
        "base": folder / "base",
    }
    exported = desk.run("export", folders["lora"], "--onnx", "--out", folders["onnx"])
    assert exported.exit_code == 0, exported.output
    made = Whole(folders, folder / "base", folder / "cache")
    # What is loaded here is loaded in every fork; and what is whole gives an answer.
    for kind in KINDS:
        made.read(kind, folders[kind])()
    return made


def tried(whole: Whole, scratch: Path, kind: str, *, sealed: bool, seeds: range) -> Iterator[tuple[str, str]]:
    """Damage a folder once for each seed, and say how and what came of it."""
    for seed in seeds:
        folder = copied(whole.folders[kind], scratch / kind)
        how = damage(folder, np.random.default_rng([seed, KINDS.index(kind)]))
        if sealed:
            seal(folder)
        list_bundles(scratch)
        yield f"{kind}, seed {seed}: {how}", outcome(whole.read(kind, folder))


def check(whole: Whole, scratch: Path, seeds: dict[str, int], *, sealed: bool) -> Counter[str]:
    counted: Counter[str] = Counter()
    for kind, n in seeds.items():
        for how, said in tried(whole, scratch, kind, sealed=sealed, seeds=range(n)):
            word = said.split(maxsplit=1)[0]
            assert word in (("answer", "refused") if sealed else ("refused",)), f"{how}: {said}"
            counted[word] += 1
    return counted


def test_no_damage_to_a_model_that_has_hashes_goes_unnoticed(whole: Whole, tmp_path: Path) -> None:
    assert check(whole, tmp_path, {"lora": 4, "full": 2, "onnx": 4}, sealed=False)["refused"] == 10


@pytest.mark.parametrize("entry", ["trained_until", "n_train"])
def test_what_an_adapter_says_of_itself_cannot_be_changed_in_a_model_folder(
    whole: Whole, tmp_path: Path, entry: str
) -> None:
    folder = copied(whole.folders["lora"], tmp_path / "lora")
    path = folder / "adapter" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {entry: None}))
    with pytest.raises(DataError, match="is not the adapter that was written"):
        open_bundle(folder)


def test_what_was_damaged_on_purpose_is_refused_or_read(whole: Whole, tmp_path: Path) -> None:
    counted = check(whole, tmp_path, {"lora": 3, "full": 3, "onnx": 3, "base": 5}, sealed=True)
    assert counted["refused"] >= 3


def test_what_a_base_reads_with_is_in_its_hash(whole: Whole, tmp_path: Path) -> None:
    before = resolve_base(str(whole.base)).weights_hash
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        folder = copied(whole.base, tmp_path / "base")
        document = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(document | {"of_no_use": 1}))
        assert resolve_base(str(folder)).weights_hash != before


@pytest.mark.slow
def test_five_hundred_damaged_folders(whole: Whole, tmp_path: Path) -> None:
    unsealed = check(whole, tmp_path, {"lora": 40, "full": 30, "onnx": 30}, sealed=False)
    sealed = check(whole, tmp_path, {"lora": 100, "full": 60, "onnx": 80, "base": 160}, sealed=True)
    assert unsealed.total() + sealed.total() == 500
    assert min(sealed["answer"], sealed["refused"]) > 40
