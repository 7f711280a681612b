"""``embargo tune``, ``evaluate``, ``score``, ``models`` and ``export``, run for real on a random base."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from samples.model_desk import ModelDesk, desk_in, news, texts

from embargo.data_loaders.errors import MissingPartError
from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.schemas import validate_scores
from embargo.research.modelling import judging, tuning
from embargo.research.modelling import scoring as news_scoring
from embargo.research.modelling.opening import open_model
from embargo.research.progress import Lines


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelDesk]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(judging, "RESAMPLES", 60)
        yield desk_in(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def model(desk: ModelDesk) -> Path:
    return desk.tuned()


def interrupted_after(steps: int, stage_of: str) -> Callable[[Lines, str], Callable[[int, int], None]]:
    """Ctrl-C when a stage has come so far."""

    def stage(_: Lines, name: str) -> Callable[[int, int], None]:
        def advance(done: int, total: int) -> None:
            if name.startswith(stage_of) and done >= steps:
                raise KeyboardInterrupt

        return advance

    return stage


def test_tune_writes_one_folder_with_card_weights_and_hashes(desk: ModelDesk, model: Path) -> None:
    names = {str(path.relative_to(model)) for path in model.rglob("*") if path.is_file()}
    assert {"README.md", "manifest.json", "calibration.json", "train_text_hashes.txt"} <= names
    assert "adapter/adapter_model.safetensors" in names
    manifest = json.loads((model / "manifest.json").read_text())
    card = (model / "README.md").read_text()
    assert manifest["model"]["knowledge_cutoff"].startswith("2014-12-31")
    assert f"{manifest['metrics']['test']['accuracy']:.3f}" in card
    assert manifest["metrics"]["test"]["n"] == manifest["data"]["test"]["n"]
    sizes = [manifest["data"][part]["n"] for part in ("train", "validation", "test")]
    assert sum(sizes) == 150
    assert "Left out" not in card
    again = desk.run("tune", desk.folder / "tune.toml", "--out", model.parent)
    assert again.exit_code == 0
    assert "was there" in again.output


def test_a_later_cutoff_of_the_base_makes_another_model(desk: ModelDesk, model: Path) -> None:
    later = desk.tuned("--set", "model.knowledge_cutoff=2016-06-30")
    assert later != model
    assert json.loads((later / "manifest.json").read_text())["model"]["knowledge_cutoff"].startswith("2016-06-30")


def test_rows_that_no_part_has_are_told(desk: ModelDesk, tmp_path: Path) -> None:
    labelled = pd.read_csv(desk.folder / "labels.csv")
    torn = labelled.head(5).assign(
        label=labelled["label"].head(5).map(lambda name: {"neutral": "bullish"}.get(name, "neutral"))
    )
    pd.concat([labelled, torn, labelled.tail(3)]).to_csv(tmp_path / "more.csv", index=False)
    options = ("--out", tmp_path / "models", "--set", f"labels.path={tmp_path / 'more.csv'}", "--set", "model.epochs=1")
    result = desk.run("tune", desk.folder / "tune.toml", *options)
    assert result.exit_code == 0, result.output
    told = "conflicting texts 10, repeated articles 3"
    assert told in result.output
    (card,) = (tmp_path / "models").glob("*/README.md")
    assert f"Left out: {told}." in card.read_text()


def test_a_model_that_another_process_has_written_meanwhile_stays(
    desk: ModelDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = tuning.write_model

    def twice(*arguments: Any) -> Any:
        written(*arguments)
        return written(*arguments)

    monkeypatch.setattr(tuning, "write_model", twice)
    options = ("--out", desk.folder / "race", "--set", "model.knowledge_cutoff=2013-06-30")
    result = desk.run("tune", desk.folder / "tune.toml", *options)
    assert result.exit_code == 0, result.output
    assert "was there" in result.output
    assert len(desk.models("race")) == 1


def test_an_interrupted_tuning_goes_on_to_the_same_model(
    desk: ModelDesk, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = desk_in(tmp_path)
    shutil.rmtree(tmp_path / "base")
    shutil.copytree(desk.folder / "base", tmp_path / "base")
    with monkeypatch.context() as patched:
        patched.setattr(Lines, "stage", interrupted_after(6, "Tune"))
        result = other.run("tune", tmp_path / "tune.toml", "--out", tmp_path / "models")
    assert result.exit_code == 130
    assert "continues after the last one" in result.output
    assert other.models() == []
    (checkpoint,) = (tmp_path / "cache" / "adapters").glob(".training-*.safetensors")
    resumed = []
    with monkeypatch.context() as patched:
        patched.setattr(Lines, "stage", lambda _, name: lambda done, total: resumed.append(done))
        assert other.tuned().name == model.name
    assert resumed[0] > 1
    assert not checkpoint.exists()
    weights = Path("adapter") / "adapter_model.safetensors"
    assert (model / weights).read_bytes() == (tmp_path / "models" / model.name / weights).read_bytes()


def test_an_experiment_tunes_one_model_for_each_fold(desk: ModelDesk) -> None:
    result = desk.run("tune", desk.folder / "folds.toml", "--out", desk.folder / "folds")
    assert result.exit_code == 0, result.output
    found = desk.models("folds")
    assert [path.name.split("-")[1] for path in found] == ["fold1", "fold2"]
    manifests = [json.loads((path / "manifest.json").read_text()) for path in found]
    for manifest in manifests:
        assert manifest["model"]["knowledge_cutoff"] < manifest["fold"]["test_start"]
        assert manifest["data"]["test"]["first"] >= manifest["fold"]["test_start"]
    assert manifests[0]["adapter_identity"] != manifests[1]["adapter_identity"]


def test_explain_shows_every_setting_and_trains_nothing(desk: ModelDesk) -> None:
    result = desk.run("tune", desk.folder / "tune.toml", "--out", desk.folder / "none", "--explain", "--set", "seed=5")
    assert result.exit_code == 0, result.output
    lines = {line.split()[0]: line for line in result.output.splitlines() if line.strip()}
    assert "2 (config)" in lines["rank"]
    assert "4-8 under 1,000" in lines["rank"]
    assert "5 (config)" in lines["seed"]
    assert "(config)" not in lines["patience"]
    assert not (desk.folder / "none").exists()


@pytest.mark.parametrize(
    ("change", "status", "named"),
    [
        ("model.kind=linear", 2, "needs no tuning"),
        ("model.kind=lexicon", 2, "a fixed list"),
        ('model={kind="scores", scores={path="s.csv", knowledge_cutoff=2015-01-01}}', 2, "made elsewhere"),
        ('model={kind="prompted", base="tiny-lm"}', 2, "asks its base as it is"),
        ('model={kind="endpoint", endpoint={url="http://127.0.0.1:1/v1", model="m"}}', 2, "not here to be tuned"),
        ('model={kind="distilled", distill={teacher={kind="linear"}}}', 2, "embargo distill"),
        ("model.kind=mine:READER", 2, "of your own"),
        ("model.base=tiny", 2, "leave it out, or set model.base"),
        ('model={base="tiny", method="lora"}', 2, "name another base"),
        ("model.base=./gone", 1, "no such folder"),
        ("model.method=prompt", 0, ""),
        ("model.knowledge=1", 2, "unknown key"),
        ("labels.source=news", 2, "must be 'file'"),
        ("labels.path=gone.csv", 1, "gone.csv"),
        ("labels.label=nolabel", 1, "nolabel"),
        ("model.max_train=5", 2, "max_train"),
        ("labels.filters.label=neutral", 1, "a classifier needs two classes"),
        ("model.calibration=isotonic", 1, "every class needs 100"),
        ("model.scorer=onnx-int8", 2, "--set model.scorer=torch"),
    ],
)
def test_tune_refuses_before_any_work(desk: ModelDesk, change: str, status: int, named: str) -> None:
    result = desk.run("tune", desk.folder / "tune.toml", "--out", desk.folder / "no", "--set", change, "--explain")
    assert result.exit_code == status, result.output
    assert named in result.output
    assert not (desk.folder / "no").exists()


def test_a_method_that_the_base_cannot_take_is_refused_by_name(desk: ModelDesk, tmp_path: Path) -> None:
    from samples.small_bases import small_base

    small_base("llama", tmp_path / "decoder")
    change = ("--set", f"model.base={tmp_path / 'decoder'}", "--set", "model.method=prompt")
    result = desk.run("tune", desk.folder / "tune.toml", "--out", tmp_path / "no", *change)
    assert result.exit_code == 2
    assert "cannot be tuned with method 'prompt'" in result.output


def test_evaluate_judges_and_compares_on_what_neither_model_has_seen(
    desk: ModelDesk, model: Path, tmp_path: Path
) -> None:
    # The same parts, other weights.
    other = desk.tuned("--set", "model.rank=3", out="others")
    mixed = pd.concat([texts(40, seed=2), pd.read_csv(desk.folder / "labels.csv")])
    when = pd.date_range("2014-12-22", periods=190, freq="1D", tz="UTC")
    mixed = mixed.assign(when=when.astype(str))
    pd.concat([mixed, mixed.tail(1)]).to_csv(tmp_path / "mixed.csv", index=False)
    options = ("--published-at", "when", "--against", other, "--robustness", "--forgetting", "--bias")
    options += ("--json", tmp_path / "new" / "figures.json")
    result = desk.run("evaluate", model, tmp_path / "mixed.csv", *options)
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "new" / "figures.json").read_text())
    manifest = json.loads((model / "manifest.json").read_text())
    train, validation, test = (manifest["data"][part]["n"] for part in ("train", "validation", "test"))
    assert figures["counts"] == {
        "read": 190,
        "training": train,
        "validation": validation,
        "judged": 40 + test,
        "known_before": 10,
    }
    assert f"Leak: {train + validation} of 190 texts were left out" in result.output
    assert "Left out of mixed.csv: repeated articles 1\n" in result.output
    assert f"10 of {40 + test} texts were known by the knowledge cutoff of the model" in result.output
    assert f"10 of {40 + test} texts were known by the knowledge cutoff of {other.name}" in result.output
    shown = ("macro-F1", "lexicon", "majority", "adaptive ECE", "order to answer bullish", "McNemar mid-p", "forgotten")
    shown += ("the same sentence about", "women (gender of the officer, against men)")
    for word in shown:
        assert word in result.output
    assert other.name in result.output
    belief = figures["belief"]
    better = next(row for row in figures["against"] if "log" in row["question"] and "mean" in row["question"])
    assert belief["mean"] == pytest.approx(-better["estimate"])
    assert belief["below"] + belief["inside"] + belief["above"] == pytest.approx(1.0)
    assert f"truly has the lower log loss: {belief['positive']:.3f}" in result.output
    forgotten = figures["forgetting"]
    # The small base was saved without a language-modelling head.
    assert forgotten["measure"] == "embedding drift"
    assert 0 < forgotten["low"] <= forgotten["difference"] <= forgotten["high"]
    assert len(figures["bias"]["groups"]) == 17
    # Measured when it was tuned, on the same sentences.
    assert figures["bias"] == manifest["bias"]
    assert "## Bias" in (model / "README.md").read_text()
    report = figures["report"]
    for name in ("accuracy", "macro_f1", "weighted_f1", "ece", "adaptive_ece", "brier"):
        low, high = report[f"{name}_interval"]
        assert low <= report[name] <= high
    assert np.array(report["confusion"]).sum() == 40 + test


def test_evaluate_refuses_a_file_of_training_texts_only(desk: ModelDesk, model: Path, tmp_path: Path) -> None:
    hashes = set((model / "train_text_hashes.txt").read_text().split())
    from embargo.models.content import text_hash

    labelled = pd.read_csv(desk.folder / "labels.csv")
    labelled[labelled["text"].map(lambda text: text_hash(text) in hashes)].to_csv(tmp_path / "t.csv", index=False)
    result = desk.run("evaluate", model, tmp_path / "t.csv")
    assert result.exit_code == 1
    assert "tuned on" in result.output


def test_score_writes_valid_scores_and_goes_on_after_a_kill(
    desk: ModelDesk, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = news(60, seed=5, start="2014-12-22")
    twice = pd.concat([frame, frame.head(5).assign(symbol="BBB")])
    twice.rename(columns={"text": "headline"}).to_parquet(tmp_path / "news.parquet")
    out = tmp_path / "scores.parquet"
    ask = ("score", model, tmp_path / "news.parquet", "--out", out, "--map", "text=headline")
    # Small frames, so that an article comes again in a later one, and that a kill leaves some of them scored.
    monkeypatch.setattr(news_scoring, "FRAME_ROWS", 3)
    with monkeypatch.context() as patched:
        patched.setattr(Lines, "stage", interrupted_after(41, "Score"))
        stopped = desk.run(*ask)
    assert stopped.exit_code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["news.parquet"]
    result = desk.run(*ask)
    assert result.exit_code == 0, result.output
    assert "15 of 65 rows were known by the model's knowledge cutoff" in result.output
    rows = {line.rsplit(maxsplit=1)[0].strip(): line.split()[-1] for line in result.output.splitlines() if line.strip()}
    assert (rows["rows written"], rows["articles"]) == ("65", "60")
    kept, fresh = (int(rows[name]) for name in ("texts from the cache", "texts scored now"))
    assert kept + fresh == 60
    assert 38 <= kept <= 41
    scores = pd.read_parquet(out)
    said = [f"{name}_logit" for name in CLASSES]
    assert list(scores.columns) == ["article_id", "symbol", "known_at", *CLASSES, "confidence", "model_id", *said]
    assert scores[said].notna().all(axis=None)
    validate_scores(scores.drop_duplicates("article_id"))
    assert scores["known_at"].min() == frame["published_at"].min()
    again = desk.run(*ask)
    assert again.exit_code == 2
    assert "exists already" in again.output


@pytest.mark.parametrize(
    ("arguments", "status", "named"),
    [
        (("score", "{model}", "gone.parquet", "--out", "s.parquet"), 1, "gone.parquet"),
        (("score", "{model}", "{news}", "--out", "{out}", "--map", "text=nothing"), 1, "nothing"),
        (("score", "{model}", "{news}", "--out", "{out}", "--fold", "1"), 2, "--fold is for"),
        (("score", "{empty}", "{news}", "--out", "{out}"), 1, "holds no model"),
        (("evaluate", "{empty}/gone", "{labels}"), 1, "no such folder"),
        (("evaluate", "{model}", "{labels}", "--label", "sentiment"), 1, "sentiment"),
        (("evaluate", "{model}", "{labels}", "--base", "{other}"), 2, "tuned on"),
        (("export", "{model}"), 2, "choose one"),
        (("export", "{model}", "--merge", "--int8"), 2, "--int8 belongs"),
        (("export", "{model}", "--onnx", "--int8"), 2, "--calibration-texts"),
        (("export", "{model}", "--merge", "--out", "{model}"), 2, "exists already"),
    ],
)
def test_bad_arguments_are_told_before_any_work(
    desk: ModelDesk, model: Path, tmp_path: Path, arguments: tuple[str, ...], status: int, named: str
) -> None:
    from samples.small_bases import small_base

    if "{other}" in arguments:
        small_base("bert", tmp_path / "other", seed=9)
    news(3, seed=6, start="2020-01-01").to_parquet(tmp_path / "news.parquet")
    (tmp_path / "empty").mkdir()
    places = {
        "model": model,
        "news": tmp_path / "news.parquet",
        "out": tmp_path / "scores.parquet",
        "empty": tmp_path / "empty",
        "labels": desk.folder / "labels.csv",
        "other": tmp_path / "other",
    }
    result = desk.run(*(word.format(**places) for word in arguments))
    assert result.exit_code == status, result.output
    assert named in result.output
    assert not (tmp_path / "scores.parquet").exists()


def test_a_fold_of_a_run_is_a_model(desk: ModelDesk, model: Path, tmp_path: Path) -> None:
    entry = json.loads((model / "manifest.json").read_text())["model"]
    run = tmp_path / "run-1"
    run.mkdir()
    (run / "metrics.json").write_text("{}")
    (run / "config.toml").write_text('[model]\nbase = "x"\n')
    (run / "manifest.json").write_text(json.dumps({"models": [entry, {**entry, "kind": "lexicon"}]}))
    ours, theirs = (
        open_model(path, fold=fold, cache=desk.folder / "cache") for path, fold in ((run, 1), (model, None))
    )
    assert ours.scorer.identity == theirs.scorer.identity
    assert (ours.calibration, ours.knowledge_cutoff) == (theirs.calibration, theirs.knowledge_cutoff)
    assert open_model(run, fold=None, cache=desk.folder / "cache").name == "run-1 fold 2"
    (run / "config.toml").write_text('[model]\nbase = "x"\nscorer = "onnx"\n')
    with pytest.raises(MissingPartError, match="ONNX export"):
        open_model(run, fold=1, cache=desk.folder / "cache")
    beyond = desk.run("evaluate", run, desk.folder / "labels.csv", "--fold", 3)
    assert beyond.exit_code == 2
    assert "folds 1 to 2" in beyond.output


def test_models_lists_bases_and_folders(desk: ModelDesk, model: Path) -> None:
    result = desk.run("models", "--folder", model.parent, "--search", "FinBERT")
    assert result.exit_code == 0, result.output
    assert "ProsusAI/finbert" in result.output
    assert "Llama" not in result.output
    assert next(line for line in result.output.splitlines() if line.startswith(model.name)).split()[3] == "lora"
    assert "109 M" in result.output
    assert desk.run("models", "--folder", desk.folder / "gone").exit_code == 0


def test_a_merged_model_comes_with_its_proof(desk: ModelDesk, model: Path, tmp_path: Path) -> None:
    result = desk.run("export", model, "--merge", "--out", tmp_path / "merged")
    assert result.exit_code == 0, result.output
    assert "no logit moves" in result.output
    assert (tmp_path / "merged" / "model.safetensors").is_file()
    refused = desk.run("evaluate", tmp_path / "merged", desk.folder / "labels.csv")
    assert refused.exit_code == 1
    assert "merged model" in refused.output


@pytest.mark.parametrize("precision", [pytest.param("fp32", marks=pytest.mark.slow), "int8"])
def test_an_onnx_export_is_a_model_that_remembers_its_training_texts(
    desk: ModelDesk, model: Path, tmp_path: Path, precision: str
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    scales = ("--int8", "--calibration-texts", desk.folder / "labels.csv") if precision == "int8" else ()
    result = desk.run("export", model, "--onnx", "--out", tmp_path / "onnx", *scales)
    assert result.exit_code == 0, result.output
    for word in ("torch fp32", "p50", "p99"):
        assert word in result.output
    if precision == "int8":
        assert "were not trained on and left out" in result.output
    exported = open_model(tmp_path / "onnx", fold=None, cache=desk.folder / "cache")
    original = open_model(model, fold=None, cache=desk.folder / "cache")
    assert exported.train_text_hashes == original.train_text_hashes
    assert exported.validation_text_hashes == original.validation_text_hashes
    assert exported.knowledge_cutoff == original.knowledge_cutoff
    news(20, seed=8, start="2020-01-01").to_parquet(tmp_path / "news.parquet")
    scored = desk.run("score", tmp_path / "onnx", tmp_path / "news.parquet", "--out", tmp_path / "s.parquet")
    assert scored.exit_code == 0, scored.output
    again = desk.run("export", tmp_path / "onnx", "--merge", "--out", tmp_path / "no")
    assert again.exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["news.parquet", "onnx", "s.parquet"]


def test_scales_of_strangers_are_refused(desk: ModelDesk, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    texts(30, seed=11).to_csv(tmp_path / "strange.csv", index=False)
    ask = ("export", model, "--onnx", "--int8", "--calibration-texts", tmp_path / "strange.csv")
    result = desk.run(*ask, "--out", tmp_path / "onnx")
    assert result.exit_code == 1
    assert "none of its 30 texts" in result.output
    assert not (tmp_path / "onnx").exists()
