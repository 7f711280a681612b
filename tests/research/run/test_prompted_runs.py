"""A run that asks a decoder shows it nothing from after a fold's training, and says so in its record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from embargo.data_loaders.errors import ConfigError, MissingPartError
from embargo.models.prompting.context import Context
from embargo.models.scorers.cache import ScoreCache
from embargo.models.scorers.kind import FitRequest
from embargo.research.config.experiment import Config, load_config
from embargo.research.examples.shipped import example
from embargo.research.progress import Quiet
from embargo.research.run import reading
from embargo.research.run.pipeline import execute
from embargo.research.run.plan import Plan
from embargo.research.run.preparation import prepare

CANARY = "zyxcanary"
PROMPTED = ('model.kind="prompted"', 'model.base="tiny-lm"')
SHOWING = {
    "few-shot": ("model.prompt.examples=6",),
    "nearest": ("model.prompt.examples=6", 'model.prompt.choose="nearest"'),
    "retrieval": ('model.prompt.retrieve="bm25"',),
}


def configured(*overrides: str) -> Config:
    with example("small") as path:
        return load_config(path, [*PROMPTED, *overrides])


def prompts_of(plan: Plan, fold: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Render the prompts of a fold's test news from what the pipeline hands to its fit."""
    handed: list[dict[str, Any]] = []

    def fit(**given: Any) -> Any:
        handed.append(given)
        raise InterruptedError

    monkeypatch.setattr(reading, "fit_scorer", fit)
    part = plan.parts[fold]
    with ScoreCache(tmp_path / "scores") as store, pytest.raises(InterruptedError):
        reading.fit_fold(plan, part, None, tmp_path, store, lambda *_: None)
    (given,) = handed
    train = given["train"]
    request = FitRequest(
        train["text"].tolist(),
        train["label"].tolist(),
        [],
        [],
        given["trained_until"],
        given["settings"],
        tmp_path,
        train=train,
        background=given["background"],
        seed=given["seed"],
    )
    context = Context.build(given["settings"], request)
    latest = [each.known_at for each in (*context.shown, *(() if context.earlier is None else context.earlier.shown))]
    assert max(latest) < part.fold.train_end
    # Texts of the unpoisoned world are asked about in either.
    return [prompt.rendered for prompt in context.prompts(ASKED[fold])]


ASKED: dict[int, list[str]] = {}


@pytest.fixture(scope="module")
def planned() -> Plan:
    plan = prepare(configured(*SHOWING["few-shot"]), Quiet())
    for fold, part in enumerate(plan.parts):
        ASKED[fold] = [*part.test_news["text"].head(40), *part.validation["text"].head(10)]
    return plan


def poisoned(plan: Plan, since: pd.Timestamp, *, let_in: bool = False) -> Plan:
    news = plan.world.news
    late = news["known_at"] >= since
    texts = news["text"].where(~late, CANARY + " " + news["text"])
    known_at = news["known_at"]
    if let_in:
        known_at = known_at.where(~late | (known_at > known_at[late].min()), known_at.min())
    world = replace(plan.world, news=news.assign(text=texts, known_at=known_at))
    return replace(plan, world=world)


@pytest.mark.parametrize("showing", SHOWING.values(), ids=SHOWING)
@pytest.mark.parametrize("fold", [0, 1])
def test_what_comes_after_training_moves_no_prompt(
    planned: Plan, showing: tuple[str, ...], fold: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plan = replace(planned, config=configured(*showing))
    before = prompts_of(plan, fold, monkeypatch, tmp_path)
    since = plan.parts[fold].fold.train_end
    after = prompts_of(poisoned(plan, since), fold, monkeypatch, tmp_path)
    assert before == after
    assert not any(CANARY in prompt for prompt in after)


def test_one_later_article_in_the_background_is_seen(
    planned: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plan = replace(planned, config=configured('model.prompt.retrieve="bm25"', "model.prompt.retrieved=32"))
    ASKED[0].append(CANARY)
    since = plan.parts[0].fold.train_end
    before, after = (
        prompts_of(poisoned(plan, since, let_in=let_in), 0, monkeypatch, tmp_path) for let_in in (False, True)
    )
    ASKED[0].pop()
    assert before != after
    assert CANARY in after[-1].split("Earlier:")[-1]


def test_an_encoder_cannot_be_asked() -> None:
    with pytest.raises(ConfigError, match=r"'tiny' is an encoder; set model.base = 'tiny-instruct'"):
        configured('model.base="tiny"')
    with pytest.raises(ConfigError, match=r"'minilm' is an encoder.*Name a decoder"):
        prepare(configured('model.base="minilm"'), Quiet())


def test_examples_come_as_many_of_each_class() -> None:
    with pytest.raises(ConfigError, match=r"model.prompt.examples: .*multiple of 3"):
        configured("model.prompt.examples=4")


def test_a_template_lies_beside_its_config_and_counts_by_content(tmp_path: Path) -> None:
    words = (
        'name = "mine"\nversion = "1"\ninstruction = "Judge."\narticle = "N: [{text}]\\nA:"\nanswer = " {label}"\n'
        'retrieved = "E: [{text}]"\nseparator = "\\n"\n[labels]\nbearish = "low"\nneutral = "same"\nbullish = "high"\n'
    )
    (tmp_path / "mine.toml").write_text(words)
    with example("small") as path:
        (tmp_path / "config.toml").write_text(path.read_text())
    config = load_config(tmp_path / "config.toml", [*PROMPTED, 'model.prompt.template="mine.toml"'])
    assert config.model.prompt is not None
    assert config.model.prompt.template == str(tmp_path / "mine.toml")
    before = config.fingerprint()
    (tmp_path / "mine.toml").write_text(words.replace("Judge.", "Judge it."))
    assert config.fingerprint() != before
    (tmp_path / "mine.toml").unlink()
    with pytest.raises(MissingPartError, match=r"mine.toml cannot be read"):
        prepare(config, Quiet())


@pytest.mark.slow
@pytest.mark.parametrize("showing", [(), ("model.prompt.examples=3", 'model.prompt.retrieve="bm25"')])
def test_a_whole_run_asks_the_built_in_decoder(showing: tuple[str, ...], tmp_path: Path) -> None:
    config = configured(*showing, *(["model.prompt.retrieved=1"] if showing else []))
    outcome = execute(config, out=tmp_path / "runs", cache=tmp_path / "cache", stages=Quiet())
    assert outcome.status != "invalid"
    assert not [finding for finding in outcome.findings if finding.verdict == "leak"]
    record = pd.read_parquet(outcome.folder / "fitted_on.parquet")
    assert set(record["use"]) == ({"calibration", "example", "retrieved"} if showing else {"calibration"})
    assert record["known_at"].notna().all()
