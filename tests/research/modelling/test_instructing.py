"""``embargo tune`` with task = "instruct", ``evaluate`` and ``export`` of what it makes, on a small decoder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from samples.instruct_samples import SETTINGS as TUNING
from samples.instruct_samples import TRAIN_UNTIL, articles, small_decoder
from typer.testing import CliRunner, Result

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.bases.resolve import resolve_base
from embargo.models.bundles import list_bundles
from embargo.models.content import text_hash
from embargo.models.evaluation.refusal_requests import COMPLYING, PAIRS, REFUSING
from embargo.models.evaluation.refusals import ANSWERED, ASKED
from embargo.models.instruct import AnswerModel, Exchange, open_answer_bundle, tune_answers
from embargo.research.cli import app
from embargo.research.config.instruct import InstructConfig
from embargo.research.config.settings import checked
from embargo.research.modelling.instructing import _refusals, load_instruct, plan_instruct
from embargo.research.modelling.opening import open_model
from embargo.research.progress import Quiet

SETTINGS = """
task = "instruct"
name = "desk"
[news]
path = "articles.parquet"
columns = { headline = "title", label = "tone" }
[answers]
written_at = "known_at"
labels = { good = "bullish", bad = "bearish" }
[split]
train_until = 2015-09-01
validation_until = 2015-10-15
[model]
base = "BASE"
knowledge_cutoff = 2015-09-01
method = "lora"
rank = 4
epochs = 1
max_answer = 16
max_exchanges = 6
[measure]
max_exchanges = 3
encoder = "none"
resamples = 200
"""


def written(folder: Path, n: int = 120, seed: int = 1, name: str = "articles.parquet") -> pd.DataFrame:
    frame = articles(n, seed).rename(columns={"headline": "title", "known_at": "published_at"})
    frame["tone"] = frame.pop("label").map({"bullish": "good", "bearish": "bad"})
    frame = frame.assign(symbol="AAA", source="wire")
    frame.to_parquet(folder / name)
    return frame


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    base = small_decoder(folder / "cache")
    written(folder)
    (folder / "tune.toml").write_text(SETTINGS.replace("BASE", base.path_or_id))
    return folder


def run(desk: Path, *arguments: object, columns: int = 200) -> Result:
    words = [str(argument) for argument in arguments]
    if arguments[0] != "models":
        words += ["--cache", str(desk / "cache")]
    return CliRunner().invoke(app, words, env={"COLUMNS": str(columns)})


@pytest.fixture(scope="module")
def model(desk: Path) -> Path:
    result = run(desk, "tune", desk / "tune.toml", "--out", desk / "models")
    assert result.exit_code == 0, result.output
    (folder,) = (desk / "models").iterdir()
    return folder


def test_tune_writes_a_folder_that_says_what_it_knows(desk: Path, model: Path) -> None:
    bundle = open_answer_bundle(model)
    manifest, card = bundle.manifest, (model / "README.md").read_text(encoding="utf-8")
    until = pd.Timestamp(manifest["model"]["trained_until"])
    assert TRAIN_UNTIL < until <= pd.Timestamp("2015-10-15", tz="UTC")
    assert manifest["model"]["knowledge_cutoff"] == until.isoformat()
    assert manifest["model"]["weights"] == {"understanding": 0.4, "completion": 0.3, "summary": 0.2, "questions": 0.1}
    assert sum(manifest["data"]["train"]["exchanges"].values()) >= 24
    told = (f"{until:%Y-%m-%d %H:%M} UTC", manifest["templates"]["hash"][:16], "| completion | 0.3 | 6 |", "ROUGE-L")
    for words in told:
        assert words in card
    later = articles(120, 1).loc[lambda frame: frame["known_at"] > until]
    assert not {text_hash(text) for text in later["headline"] + "\n" + later["text"]} & bundle.text_hashes


def test_card_manifest_and_figures_tell_the_rate_of_refusals_and_no_text(desk: Path, model: Path) -> None:
    found = open_answer_bundle(model).manifest["refusals"]
    rate, low, high = (100 * found["after"][name] for name in ("rate", "low", "high"))
    assert low <= rate <= high
    assert low < high
    card = (model / "README.md").read_text(encoding="utf-8")
    assert f"| that should be declined | {rate:.0f} % ({low:.0f} to {high:.0f} %)" in card
    frame = written(desk, 60, 7, name="fresh.parquet")
    frame.assign(published_at=frame["published_at"] + pd.Timedelta(days=400)).to_parquet(desk / "fresh.parquet")
    result = run(desk, "evaluate", model, desk / "fresh.parquet", "--json", desk / "fresh.json", "--level", "0.9")
    assert result.exit_code == 0, result.output
    assert "what should be declined" in result.output
    again = json.loads((desk / "fresh.json").read_text())["refusals"]
    assert (again["after"]["rate"], again["after"]["level"]) == (found["after"]["rate"], 0.9)
    assert again["after"]["high"] - again["after"]["low"] < found["after"]["high"] - found["after"]["low"]
    kept = [card, (model / "manifest.json").read_text(), (desk / "fresh.json").read_text(), result.output]
    texts = (*REFUSING, *COMPLYING, *(request for pair in PAIRS for request in pair))
    assert not any(text in one for text in texts for one in kept)


def test_a_model_that_learnt_to_comply_gives_up_refusals_of_its_base(desk: Path, tmp_path: Path) -> None:
    base = small_decoder(desk / "cache")
    known = pd.Timestamp("2015-01-01", tz="UTC")
    taught = [
        Exchange(
            f"r{row}", known, "questions", "given", ASKED, asked, ANSWERED, COMPLYING[row % 3], len(asked), "end", asked
        )
        for row, asked in enumerate(request for pair in PAIRS for request in pair)
    ]
    adapter = tune_answers(
        base,
        train=taught,
        validation=taught,
        templates_hash="ab12",
        weights={"questions": 1.0},
        settings=replace(TUNING, dropout=0.0, learning_rate=1e-2, epochs=6, max_length=256),
        max_answer=40,
        trained_until=None,
        cache_dir=tmp_path,
    )
    found = _refusals((AnswerModel(base, adapter), AnswerModel(base, adapter, tuned=False)), 0.95, Quiet())
    assert found.after.rate < found.before.rate - 0.5
    assert found.given_up == round(12 * (found.before.rate - found.after.rate)) + found.taken_up


def test_tuning_twice_costs_once(desk: Path, model: Path) -> None:
    result = run(desk, "tune", desk / "tune.toml", "--out", desk / "models")
    assert result.exit_code == 0, result.output
    assert f"{model.name} (was there)" in result.output


def test_explain_counts_what_would_be_tuned_on(desk: Path) -> None:
    result = run(desk, "tune", desk / "tune.toml", "--out", desk / "other", "--explain")
    assert result.exit_code == 0, result.output
    assert "understanding" in result.output
    assert "by-how-much" in result.output
    assert not (desk / "other").exists()


def test_evaluate_judges_on_later_articles_alone(desk: Path, model: Path) -> None:
    frame = pd.concat([written(desk, name="known.parquet"), written(desk, 60, 7, name="new.parquet")])
    frame = frame.assign(article_id=[f"e{row}" for row in range(len(frame))])
    frame.loc[frame.index[-60:], "published_at"] += pd.Timedelta(days=400)
    frame.to_parquet(desk / "later.parquet")
    result = run(desk, "evaluate", model, desk / "later.parquet", "--json", desk / "figures.json")
    assert result.exit_code == 0, result.output
    figures = json.loads((desk / "figures.json").read_text())
    until = pd.Timestamp(open_answer_bundle(model).manifest["model"]["trained_until"])
    assert figures["left_out"]["known_by_the_end_of_the_tuning"] == int((frame["published_at"] <= until).sum())
    assert figures["known_before"] == 0
    assert {row["measure"] for row in figures["compared"]} >= {"ROUGE-1", "BLEU", "numbers invented", "answer loss"}
    for words in ("p (Holm)", "task (tuned / base)", "ROUGE-L", "Left out"):
        assert words in result.output
    one = next(row for row in figures["compared"] if row["measure"] == "answer loss")
    assert one["low"] <= one["difference"] <= one["high"]


def test_evaluate_refuses_what_it_was_tuned_on(desk: Path, model: Path) -> None:
    frame = written(desk, name="again.parquet")
    frame.loc[frame["published_at"] <= pd.Timestamp("2015-08-01", tz="UTC")].to_parquet(desk / "old.parquet")
    result = run(desk, "evaluate", model, desk / "old.parquet")
    assert result.exit_code != 0
    assert "no article known after" in result.output
    refused = run(desk, "evaluate", model, desk / "old.parquet", "--robustness")
    assert refused.exit_code != 0
    assert "--robustness cannot be had of it" in refused.output
    assert "--bias cannot be had of it" in run(desk, "evaluate", model, desk / "old.parquet", "--bias").output


def test_articles_tuned_on_are_left_out_under_a_later_date_too(desk: Path, model: Path) -> None:
    frame = written(desk, name="again.parquet")
    frame.assign(published_at=frame["published_at"] + pd.Timedelta(days=800)).to_parquet(desk / "moved.parquet")
    result = run(desk, "evaluate", model, desk / "moved.parquet", "--json", desk / "moved.json")
    assert result.exit_code == 0, result.output
    seen = len(open_answer_bundle(model).text_hashes)
    assert json.loads((desk / "moved.json").read_text())["left_out"]["tuned_on"] == seen > 0


def test_export_makes_a_base_and_says_how_to_read_with_it(desk: Path, model: Path) -> None:
    result = run(desk, "export", model, "--merge", "--out", desk / "merged")
    assert result.exit_code == 0, result.output
    cutoff = open_answer_bundle(model).manifest["model"]["knowledge_cutoff"]
    assert f'model.knowledge_cutoff = "{cutoff}"' in result.output
    base = resolve_base(str(desk / "merged"), knowledge_cutoff=pd.Timestamp(cutoff))
    assert base.kind == "decoder"
    refused = run(desk, "export", model, "--onnx")
    assert refused.exit_code != 0
    assert "--onnx cannot be had of it" in refused.output


def test_it_is_listed_and_does_not_score(desk: Path, model: Path) -> None:
    result = run(desk, "models", "--folder", desk / "models", "--search", "no such base", columns=100)
    assert result.exit_code == 0, result.output
    assert model.name in result.output, "the long path of its base leaves no room for its name"
    (row,) = list_bundles(desk / "models")
    assert (row["name"], row["kind"], row["method"]) == (model.name, "instruct", "lora")
    with pytest.raises(DataError, match="tuned to answer, not to classify"):
        open_model(model, fold=None, cache=desk / "cache")


# --- the config -------------------------------------------------------------------------------------------------------

SMALL = {
    "task": "instruct",
    "name": "desk",
    "news": {"path": "x.parquet"},
    "split": {"train_until": "2015-09-01", "validation_until": "2015-10-15"},
}


def test_the_usual_weights_are_those_of_the_literature() -> None:
    config = checked(InstructConfig, SMALL, where="here")
    assert config.weights.model_dump() == {"understanding": 0.4, "completion": 0.3, "summary": 0.2, "questions": 0.1}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"weights": {"summary": 0.5}}, "together they must be 1"),
        ({"news": {"path": "x", "columns": {"label": "tone"}}}, "label: when were they written"),
        ({"news": {"loader": "simulated"}}, "label: when were they written"),
        ({"news": {"loader": "store", "path": "x"}}, "keeps no answers"),
        ({"news": {"loader": "desk.feeds:news"}}, "a corpus is read from files; write what the loader returns"),
        ({"split": {"train_until": "2015-09-01", "validation_until": "2015-09-02"}}, "after split.train_until"),
        ({"model": {"method": "prefix"}}, "method"),
        ({"model": {"micro_batch": 64}}, "micro_batch must not be larger"),
    ],
)
def test_configs_that_make_no_sense_are_refused(change: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        checked(InstructConfig, {**SMALL, **change}, where="here")


def test_an_encoder_and_a_task_without_examples_are_refused_before_work(desk: Path, tmp_path: Path) -> None:
    config = load_instruct(desk / "tune.toml", ["model.base=minilm", "model.knowledge_cutoff=2022-01-01"])
    with pytest.raises(ConfigError, match="is an encoder, which writes no text"):
        plan_instruct(config, Quiet())
    with pytest.raises(ConfigError, match="is an encoder, which writes no text"):
        plan_instruct(load_instruct(desk / "tune.toml", ["model.base=tiny"]), Quiet())
    frame = pd.read_parquet(desk / "articles.parquet")
    frame.drop(columns="title").assign(text=frame["text"].str.split("\n").str[-1]).to_parquet(tmp_path / "bare.parquet")
    path = tmp_path / "tune.toml"
    path.write_text(
        (desk / "tune.toml").read_text().replace("articles.parquet", "bare.parquet").replace('headline = "title", ', "")
    )
    with pytest.raises(ConfigError, match=r"weights\.summary = 0\.2, and no article gives an example"):
        plan_instruct(load_instruct(path), Quiet())
