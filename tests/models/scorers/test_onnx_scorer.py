import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.model_samples import CUTOFF, sentences
from samples.small_tunings import tuned_on

from embargo.data_loaders.errors import DataError, MissingPartError
from embargo.models.calibration.fitting import Calibration
from embargo.models.content import seal_of
from embargo.models.export.onnx import export_onnx
from embargo.models.export.probes import PROBE_TEXTS
from embargo.models.loading.load import encode, load_tokenizer
from embargo.models.scorers.cache import ScoreCache
from embargo.models.scorers.onnx import OnnxScorer
from embargo.models.scorers.score import score_articles
from embargo.models.scorers.transformer import TransformerScorer

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

MAX_LENGTH = 24
POOL = [
    *sentences(40, seed=8)["text"].tolist(),
    *PROBE_TEXTS,
    "x",
    "Zürich 🚀 $AAPL",
    "long " * 60,
    " ",
    "[MASK] [SEP]",
]
SCORE_WITHOUT_TORCH = """
import sys, json, pathlib
import pandas as pd
from embargo.models.scorers.onnx import OnnxScorer
from embargo.models.scorers.cache import ScoreCache
from embargo.models.scorers.score import score_articles
folder, texts = sys.argv[1], json.loads(sys.argv[2])
scorer = OnnxScorer(folder)
articles = pd.DataFrame({"article_id": [str(n) for n in range(len(texts))], "text": texts})
with ScoreCache(pathlib.Path(sys.argv[3])) as cache:
    found = score_articles(scorer, scorer.calibration, articles, cache=cache)
assert found.n_scored == len(set(texts))
loaded = sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "transformers", "peft", "onnx", "sklearn"})
print(json.dumps({"loaded": loaded, "bullish": found.scores["bullish"].tolist()}))
"""


@pytest.fixture(scope="module")
def adapter(tiny_base, samples, cache_dir):
    return tuned_on(tiny_base, samples, cache_dir, epochs=1, max_length=MAX_LENGTH, compute="fp32")


@pytest.fixture(scope="module")
def folders(tiny_base, adapter, samples, tmp_path_factory):
    root, calibration = tmp_path_factory.mktemp("exports"), Calibration(1.7)
    texts = samples["train"]["text"].head(64).tolist()
    return {
        "fp32": export_onnx(tiny_base, adapter, calibration, root / "fp32", precision="fp32").path,
        "int8": export_onnx(
            tiny_base, adapter, calibration, root / "int8", precision="int8", calibration_texts=texts
        ).path,
    }


@pytest.fixture(scope="module")
def scorers(folders):
    return {name: OnnxScorer(folder) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def alone(scorers):
    return {name: np.vstack([scorer.logits([text]) for text in POOL]) for name, scorer in scorers.items()}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@settings(max_examples=25)
@given(rows=st.lists(st.integers(0, len(POOL) - 1), min_size=1, max_size=64))
def test_logits_are_those_of_the_text_alone_bit_for_bit(scorers, alone, precision, rows):
    together = scorers[precision].logits([POOL[row] for row in rows])
    assert np.array_equal(together, alone[precision][rows])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("budget", [1, 64, 10_000])
def test_a_batch_of_one_equals_a_batch_of_64(folders, alone, precision, budget):
    texts = (POOL * 2)[:64]
    found = OnnxScorer(folders[precision], token_budget=budget).logits(texts)
    assert np.array_equal(found, np.vstack([alone[precision]] * 2)[:64])


@given(st.lists(st.text(max_size=80), min_size=1, max_size=4))
def test_texts_are_cut_as_in_tuning(tiny_base, scorers, texts):
    assert scorers["fp32"].encode(texts) == encode(load_tokenizer(tiny_base), texts, MAX_LENGTH)


def test_awkward_and_long_texts_are_cut_as_in_tuning_and_score_as_torch_does(tiny_base, adapter, scorers):
    tokens = scorers["fp32"].encode(POOL)
    assert tokens == encode(load_tokenizer(tiny_base), POOL, MAX_LENGTH)
    assert max(map(len, tokens)) == MAX_LENGTH
    torch_logits = TransformerScorer(tiny_base, adapter).logits(POOL)
    assert np.abs(scorers["fp32"].logits(POOL) - torch_logits).max() < 1e-4


def test_scores_articles_in_a_process_that_never_loads_torch(folders, scorers, tmp_path):
    texts = [text for text in POOL if text.strip()]
    done = subprocess.run(
        [sys.executable, "-c", SCORE_WITHOUT_TORCH, str(folders["fp32"]), json.dumps(texts), str(tmp_path / "scores")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["loaded"] == []
    expected = Calibration(1.7).apply(scorers["fp32"].logits(texts))[:, 2]
    assert np.array_equal(found["bullish"], expected)


def test_cached_scores_equal_fresh_ones(scorers, tmp_path):
    scorer = scorers["int8"]
    articles = pd.DataFrame({"article_id": [str(n) for n in range(30)], "text": POOL[:30]})
    with ScoreCache(tmp_path / "scores") as cache:
        fresh = score_articles(scorer, scorer.calibration, articles, cache=cache)
        again = score_articles(scorer, scorer.calibration, articles.sample(frac=1, random_state=1), cache=cache)
    assert (fresh.n_scored, again.n_scored) == (30, 0)
    pd.testing.assert_frame_equal(
        fresh.scores.sort_values("article_id", ignore_index=True),
        again.scores.sort_values("article_id", ignore_index=True),
    )


def test_says_what_it_is(scorers, adapter):
    fine, coarse = scorers["fp32"], scorers["int8"]
    assert fine.identity != coarse.identity
    assert fine.knowledge_cutoff == coarse.knowledge_cutoff == CUTOFF
    assert fine.knowledge_cutoff.unit == "us"
    assert fine.calibration == Calibration(1.7)
    assert fine.manifest["adapter"]["identity"] == adapter.identity
    assert (fine.manifest["precision"], fine.manifest["max_length"]) == ("fp32", MAX_LENGTH)


def test_reports_progress_and_scores_nothing(scorers):
    seen = []
    scorers["fp32"].logits(["a b", "c"], lambda done, total: seen.append((done, total)))
    assert seen[-1] == (2, 2)
    assert scorers["fp32"].logits([]).shape == (0, 3)


@pytest.fixture
def copy(folders, tmp_path):
    return shutil.copytree(folders["fp32"], tmp_path / "copy")


def resealed(folder, **changes):
    manifest = json.loads((folder / "manifest.json").read_text()) | changes
    manifest["seal"] = seal_of(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_flipped_bit_is_refused_by_name(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        OnnxScorer(copy)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "manifest.json"])
def test_a_lost_file_is_refused_by_name(copy, name):
    (copy / name).unlink()
    with pytest.raises(DataError, match=name):
        OnnxScorer(copy)


def test_an_edited_manifest_is_refused(copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["knowledge_cutoff"] = "2001-01-01T00:00:00+00:00"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"manifest\.json: was changed"):
        OnnxScorer(copy)


@pytest.mark.parametrize("logit", [5.0, float("nan")])
def test_a_machine_that_scores_otherwise_is_refused(copy, logit):
    recorded = json.loads((copy / "manifest.json").read_text())["recorded"]
    assert len(recorded["texts"]) == len(recorded["logits"]) == 8
    recorded["logits"][3][1] = logit
    resealed(copy, recorded=recorded)
    with pytest.raises(DataError, match="moves the recorded logits"):
        OnnxScorer(copy)


def test_other_folders_are_refused(copy, tmp_path):
    with pytest.raises(MissingPartError, match="nowhere"):
        OnnxScorer(tmp_path / "nowhere")
    resealed(copy, kind="merged")
    with pytest.raises(DataError, match="not an exported model"):
        OnnxScorer(copy)


def test_a_graph_that_onnx_runtime_cannot_read_is_named(copy):
    from embargo.models.content import folder_hashes

    (copy / "model.onnx").write_bytes(b"no graph")
    resealed(copy, files=folder_hashes(copy))
    with pytest.raises(DataError, match=r"model\.onnx: ONNX Runtime .* cannot load it"):
        OnnxScorer(copy)


def test_a_missing_package_is_named(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        MissingPartError, match=r"'onnxruntime' is not installed. Run: pip install 'embargo-backtest\[onnx\]'"
    ):
        OnnxScorer(folders["fp32"])
