"""A distilled reader in a run: taught on what each fold knew, audited with its teacher, and shown side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from samples.small_runs import embargo, settings

from embargo.backtest.leakage import CHECKS
from embargo.data_loaders.errors import ConfigError
from embargo.models.content import text_hash
from embargo.models.scorers.cache import ScoreCache
from embargo.research.config.experiment import load_config
from embargo.research.examples.shipped import example
from embargo.research.modelling.distilling import load_distillation
from embargo.research.modelling.opening import open_model
from embargo.research.progress import Quiet
from embargo.research.run import reading
from embargo.research.run.pipeline import execute
from embargo.research.run.plan import background_of, base_of, teacher_base_of
from embargo.research.run.preparation import prepare
from embargo.research.run.reading import fit_fold, model_settings, read, with_base

LINEAR = ["model.kind=distilled", 'model.distill={teacher={kind="linear"}, student="linear"}']
ELSEWHERE = CHECKS["check_contamination"].title


def configured(*overrides: str):
    with example("small") as path:
        return load_config(path, [*LINEAR, *overrides])


def findings_of(outcome) -> dict[str, str]:
    return {each.code: each.verdict for each in outcome.findings if each.title != ELSEWHERE}


def test_a_run_is_clean_and_says_who_taught(tmp_path: Path) -> None:
    outcome = execute(configured(), out=tmp_path / "runs", cache=tmp_path / "cache", stages=Quiet())
    found = findings_of(outcome)
    assert {code: found[code] for code in ("M11", "M12", "S5")} == dict.fromkeys(("M11", "M12", "S5"), "pass")
    assert "leak" not in found.values()
    for model in json.loads((outcome.folder / "manifest.json").read_text())["models"]:
        assert model["kind"] == "distilled"
        assert model["settings"]["teacher"]["kind"] == "linear"


def test_no_test_article_is_among_what_a_fold_was_fitted_on(tmp_path: Path) -> None:
    plan = prepare(configured(), Quiet())
    told = read(plan, plan.parts, tmp_path, Quiet()).fitted_on
    assert set(told["use"]) == {"taught", "optimiser", "calibration"}
    for part in plan.parts:
        own = told.loc[told["fold"] == part.index]
        taught = own.loc[own["use"] == "taught"]
        assert len(taught) > 0
        assert (taught["known_at"] < part.fold.train_end).all()
        earlier = set(background_of(plan, part)["text"])
        tested = set(part.test_news["text"]) - earlier
        assert not set(own["text_hash"]) & {text_hash(text) for text in tested}
        assert not set(taught["text_hash"]) & set(part.validation["text"].map(text_hash))


def test_a_student_that_was_taught_the_test_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def everything(plan, part):
        news = plan.world.news
        # Undated, or it would be refused before anything is fitted.
        return news.loc[news["known_at"] < part.fold.test_end, ["article_id", "symbol", "text"]]

    monkeypatch.setattr(reading, "background_of", everything)
    outcome = execute(configured(), out=tmp_path / "runs", cache=tmp_path / "cache", stages=Quiet())
    assert findings_of(outcome)["M11"] == "leak"


def test_what_makes_the_teacher_makes_the_student(tmp_path: Path) -> None:
    """Another teacher is another content, for whoever remembers what was fitted."""
    memory = reading.Memory()
    plans = [
        prepare(configured(), Quiet()),
        prepare(configured('model.distill={teacher={kind="lexicon"}, student="linear"}'), Quiet()),
        prepare(configured('model.distill={teacher={kind="linear"}, student="linear", max_texts=60}'), Quiet()),
    ]
    with ScoreCache(tmp_path / "scores") as store:
        fitted = [fit_fold(plan, plan.parts[0], None, tmp_path, store, lambda *_: None, memory) for plan in plans]
    assert len({model.scorer.identity for model in fitted}) == len(memory.models) == 3
    assert fitted[2].manifest["settings"]["taught"]["n_texts"] == 60


@pytest.mark.slow
def test_teacher_and_student_each_have_their_base(tmp_path: Path) -> None:
    taught = 'model.distill={teacher={kind="transformer", base="tiny-lm", epochs=1}, student="transformer"}'
    plan = prepare(configured(taught, "model.base=tiny"), Quiet())
    plan = with_base(plan, plan.parts[0].fold.train_end, tmp_path, Quiet())
    part = plan.parts[0]
    one, two = base_of(plan, part), teacher_base_of(plan, part)
    assert (one.name, two.name) == ("tiny", "tiny-lm")
    assert one.knowledge_cutoff == two.knowledge_cutoff < part.fold.train_end
    assert model_settings(plan.config.model, one, 100, seed=0).settings.method == "qlora"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.kind=linear", "model.distill={teacher={kind='linear'}}"], "belongs to kind"),
        (["model.distill={teacher={kind='distilled'}}"], "needs the section model.distill"),
        (["model.distill={teacher={kind='linear'}, student='transformer'}", "model.method=none"], "has to learn"),
        (["model.distill={teacher={kind='linear', max_train=5}}"], "max_train"),
        (["model.distill={teacher={kind='linear'}, temperature=0}"], "temperature"),
    ],
)
def test_what_does_not_go_together_is_said_at_once(overrides, message) -> None:
    with pytest.raises(ConfigError, match=message):
        configured(*overrides)


def test_the_command_leaves_a_card_that_says_what_is_lost_and_saved(tmp_path: Path) -> None:
    with example("small") as path:
        call = ("distill", path, *settings(*LINEAR), "--out", tmp_path / "models", "--cache", tmp_path / "cache")
        result = embargo(*call)
        assert result.exit_code == 0, result.output
        again = embargo(*call)
    assert "was there" in again.output
    assert "in-sample" in again.output
    folders = sorted((tmp_path / "models").iterdir())
    assert len(folders) == 2
    for folder in folders:
        told = json.loads((folder / "manifest.json").read_text())
        assert told["agreement"]["share"] > 0.9
        low, high = told["agreement"]["kappa_interval"]
        assert low <= told["agreement"]["kappa"] <= high
        assert told["cost"]["student"]["cpu_seconds_per_1000"] > 0
        answers = pd.read_parquet(folder / "answers.parquet")
        same = answers.filter(like="teacher_").to_numpy().argmax(axis=1) == answers.filter(
            like="student_"
        ).to_numpy().argmax(axis=1)
        assert same.mean() == pytest.approx(told["agreement"]["share"])
        card = (folder / "README.md").read_text()
        taught = told["student"]["settings"]["taught"]
        assert 0 < taught["n_in_sample"] < taught["n_texts"]
        assert f"fitted on or shown {taught['n_in_sample']:,} of the {taught['n_texts']:,} texts that taught" in card
        for words in ("the later of both", "Cohen's kappa", "calibration error", "CPU seconds per 1,000 texts"):
            assert words in card
        assert f"{told['agreement']['share']:.3f}" in card


def test_the_command_refuses_a_reader_that_learns_from_nobody() -> None:
    with example("small") as path, pytest.raises(ConfigError, match="learns from no teacher"):
        load_distillation(path, ["model.kind=linear"])


def test_a_teacher_of_ones_own_is_run_where_it_is_allowed() -> None:
    own = "model.distill={teacher={kind='mine.readers:WORDS'}, student='linear'}"
    result = embargo("distill", "--help")
    assert "--allow" in result.output
    with example("small") as path:
        settings_read = load_distillation(path, ["model.kind=distilled", own], allow=["mine.readers:WORDS"])
    assert settings_read.allow == ("mine.readers:WORDS",)


@pytest.mark.slow
def test_a_tuned_student_is_left_as_a_model_that_reads(tmp_path: Path) -> None:
    chosen = [
        "model.kind=distilled", 'model.distill={teacher={kind="linear"}, student="transformer"}', "model.base=tiny",
        "model.epochs=1",
    ]  # fmt: skip
    with example("small") as path:
        place = ("--out", tmp_path / "models", "--cache", tmp_path / "cache")
        result = embargo("distill", path, *settings(*chosen), *place)
    assert result.exit_code == 0, result.output
    for folder in (tmp_path / "models").iterdir():
        told = json.loads((folder / "manifest.json").read_text())
        reader = open_model(folder / "student", fold=None, cache=tmp_path / "cache")
        assert reader.scorer.identity == told["student"]["scorer_identity"]
        assert set(told["versions"]) >= {"torch", "peft"}
