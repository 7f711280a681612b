"""``auto``: ONNX where it repays its export, torch wherever ONNX cannot be or need not be, and told in the manifest."""

import sys

import numpy as np
import pytest
from samples.model_samples import CUTOFF
from samples.tiny_models import save_tiny_model

from embargo.data_loaders.errors import DataError
from embargo.models.bases.resolve import resolve_base
from embargo.models.bundles.bundle import fitted_reader
from embargo.models.export import choice, graph
from embargo.models.export.choice import choose_runtime
from embargo.models.export.onnx import ONNX_TOLERANCE
from embargo.models.fitting import fit_scorer
from embargo.models.methods.settings import TuneSettings
from embargo.models.scorers.onnx import OnnxScorer
from embargo.models.scorers.transformer import TransformerScorer

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

MANY = 10**9


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bases")
    return {name: resolve_base(str(save_tiny_model(name, folder / name))) for name in ("bert", "distilbert", "electra")}


def test_onnx_is_taken_from_the_number_of_texts_that_repays_it(bases, monkeypatch):
    monkeypatch.setattr(choice, "EXPORT_PER_WEIGHT", 0.0)
    weights = choice._weights(bases["distilbert"], inner=True)
    assert 0 < weights < choice._weights(bases["distilbert"])
    enough = int(choice.EXPORT_SECONDS / choice.SAVED / weights)
    found = [choose_runtime(bases["distilbert"], "lora", "fp32", n) for n in (enough - 1, enough + 1)]
    assert [each.name for each in found] == ["torch", "onnx"]
    assert all(f"{n:,} texts" in each.why for n, each in zip((enough - 1, enough + 1), found, strict=True))


@pytest.mark.parametrize(
    ("base", "method", "compute", "why"),
    [
        ("distilbert", "prompt", "fp32", "cannot be merged"),
        ("distilbert", "lora", "bf16", "multiplies in bf16"),
        ("bert", "lora", "fp32", "without padding"),
        ("electra", "lora", "fp32", "cannot be exported"),
    ],
)
def test_torch_stays_where_onnx_cannot_be_or_need_not_be(bases, monkeypatch, base, method, compute, why):
    monkeypatch.setattr(graph, "EXPORTABLE", graph.EXPORTABLE - {"electra"})
    found = choose_runtime(bases[base], method, compute, MANY)
    assert found.name == "torch"
    assert why in found.why


def test_torch_stays_where_a_package_is_missing_and_on_a_gpu(bases, monkeypatch):
    assert choose_runtime(bases["distilbert"], "lora", "fp32", MANY).name == "onnx"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnxruntime", None)
        found = choose_runtime(bases["distilbert"], "lora", "fp32", MANY)
        assert (found.name, "'onnxruntime' is not installed" in found.why) == ("torch", True)
    monkeypatch.setattr(choice, "device_type", lambda: "cuda")
    assert choose_runtime(bases["distilbert"], "lora", "fp32", MANY).name == "torch"


@pytest.mark.parametrize("repaid", [True, False])
def test_a_fold_is_scored_with_what_was_chosen_and_says_so(tiny_base, samples, cache_dir, monkeypatch, repaid):
    if repaid:
        monkeypatch.setattr(choice, "EXPORT_SECONDS", 0.0)
        monkeypatch.setattr(choice, "EXPORT_PER_WEIGHT", 0.0)
    found, torch = (
        fit_scorer(
            "transformer",
            train=samples["train"].head(48),
            validation=samples["validation"].head(48),
            trained_until=CUTOFF,
            base=tiny_base,
            settings=TuneSettings(epochs=1, max_length=32, learning_rate=5e-3, compute="fp32"),
            cache_dir=cache_dir,
            runtime=runtime,
        )
        for runtime in ("auto", "torch")
    )
    assert isinstance(found.scorer, OnnxScorer if repaid else TransformerScorer)
    assert found.manifest["runtime"]["name"] == ("onnx" if repaid else "torch")
    assert "96 texts" in found.manifest["runtime"]["why"]
    assert "runtime" not in torch.manifest
    texts = samples["test"]["text"].tolist()
    before, after = torch.scorer.logits(texts), found.scorer.logits(texts)
    assert np.abs(after - before).max() <= (ONNX_TOLERANCE if repaid else 0.0)
    np.testing.assert_array_equal(after.argmax(axis=1), before.argmax(axis=1))
    reader = fitted_reader("run", found.manifest, revision=None, cache_dir=cache_dir, runtime="auto")
    assert reader.scorer.identity == found.manifest["scorer_identity"]
    with pytest.raises(DataError, match="run"):
        fitted_reader("run", torch.manifest, revision=None, cache_dir=cache_dir, runtime="auto")
