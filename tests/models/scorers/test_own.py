"""A reader of one's own is held to what every scorer promises, and no version of it passes for another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from embargo.data_loaders import own_files
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models import LexiconScorer, fit_scorer
from embargo.models.fitting import FittedModel, scorer_kind
from embargo.models.prompt import Prompt, Prompting
from embargo.models.scorers import Fit, FitRequest, ScorerKind

UNTIL = pd.Timestamp("2016-01-01", tz="UTC")
SAMPLES = pd.DataFrame({"text": ["Strong profit.", "Losses.", "A report."], "label": [2, 0, 1]})
MODULE = "own_reader_under_test"


@dataclass(frozen=True)
class Settings:
    weight: float = 1.0


def scorer(**more: Any) -> SimpleNamespace:
    plain = {"identity": "always the same", "knowledge_cutoff": UNTIL, "logits": lambda texts: np.eye(3)[: len(texts)]}
    return SimpleNamespace(**(plain | more))


def fit_of(made: object, **more: Any) -> Callable[[FitRequest], Fit]:
    return lambda request: Fit(made, trained_on=(), cutoff_source="said", **more)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let caches lie apart, and no test know what another one's readers opened."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(own_files, "_known", {})


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], str]:
    """Put a thing into a module and return what it is called."""

    def put(thing: object) -> str:
        module = ModuleType(MODULE)
        module.thing = thing  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, MODULE, module)
        return f"{MODULE}:thing"

    return put


def fitted(reference: str, settings: object = None, samples: pd.DataFrame = SAMPLES) -> FittedModel:
    return fit_scorer(
        reference,
        train=samples,
        validation=samples,
        trained_until=UNTIL,
        settings=settings,
        cache_dir=Path("cache"),
        allow=[reference],
    )


def test_a_function_is_told_its_settings_as_they_stand(named: Callable[[object], str]) -> None:
    told: list[object] = []

    def fit(request: FitRequest) -> Fit:
        told.append(request.settings)
        return Fit(LexiconScorer(), trained_on=(), read=(), cutoff_source="said")

    model = fitted(named(fit), {"a": [1, 2], "day": datetime(2020, 1, 1, tzinfo=UTC)})
    assert told == [{"a": [1, 2], "day": datetime(2020, 1, 1, tzinfo=UTC)}]
    assert model.manifest["settings"]["a"] == [1, 2]
    assert model.manifest["kind"] == f"{MODULE}:thing"
    np.testing.assert_array_equal(
        model.scorer.logits(SAMPLES["text"].tolist()), LexiconScorer().logits(SAMPLES["text"].tolist())
    )


def test_a_kind_has_its_settings_made(named: Callable[[object], str]) -> None:
    kind = ScorerKind(fit=lambda request: fit_of(scorer(identity=repr(request.settings)))(request), settings=Settings)
    reference = named(kind)
    assert (
        fitted(reference, {"weight": 2.0}).manifest["scorer_identity"]
        != (fitted(reference, {"weight": 3.0}).manifest["scorer_identity"])
    )
    with pytest.raises(ConfigError, match=r"do not fit Settings.*wait"):
        fitted(reference, {"wait": 2.0})


def test_an_identity_that_never_changes_is_kept_apart(named: Callable[[object], str]) -> None:
    lazy = named(fit_of(scorer()))
    learnt = SAMPLES.assign(label=[0, 2, 1])
    untaught = {fitted(lazy, {"a": value}, each).scorer.identity for value in (1, 2) for each in (SAMPLES, learnt)}
    assert len(untaught) == 2, "by settings; what learns nothing is one reader for all folds"

    def taught(request: FitRequest) -> Fit:
        return Fit(scorer(), trained_on=request.train_texts, cutoff_source="said")  # type: ignore[arg-type]

    taught_too = named(taught)
    assert fitted(taught_too).scorer.identity != fitted(taught_too, samples=learnt).scorer.identity


@pytest.mark.parametrize(
    ("thing", "complaint"),
    [
        (3, "is int, no reader"),
        (Settings, "a class, no reader"),
        (lambda: None, "must take one FitRequest"),
        (lambda request, more: None, "must take one FitRequest"),
        (lambda request: None, "its fit returned NoneType"),
        (ScorerKind(fit=fit_of(scorer()), needs_base=True), "needs_base is for readers of the product"),
        (fit_of(SimpleNamespace(identity="x", knowledge_cutoff=None)), "has no method logits"),
        (fit_of(scorer(identity=" ")), "identity of its scorer is ' '"),
        (fit_of(scorer(identity=None)), "identity of its scorer is None"),
        (fit_of(scorer(knowledge_cutoff=pd.Timestamp("2016-01-01"))), "without a time zone"),
        (fit_of(scorer(knowledge_cutoff="2016")), "Give a timezone-aware Timestamp"),
        (fit_of(scorer(), base_knowledge_cutoff=pd.Timestamp("2016-01-01")), "base_knowledge_cutoff is .* without"),
        (fit_of(scorer(logits=lambda: None)), "must take a list of texts"),
    ],
)
def test_what_is_no_reader_is_told(named: Callable[[object], str], thing: object, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        fitted(named(thing))


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda n: np.zeros((n, 2)), r"shape \(3, 2\), not \(3, 3\)"),
        (lambda n: np.zeros((n + 1, 3)), r"shape \(4, 3\)"),
        (lambda n: np.full((n, 3), np.nan), "3 of 3 texts have logits that are not finite.*'Strong profit"),
        (lambda n: [["a", "b", "c"]] * n, "returned no numbers"),
    ],
)
def test_answers_that_are_no_logits_are_refused(
    named: Callable[[object], str], answer: Callable[[int], object], complaint: str
) -> None:
    # The texts are asked in the order of their length.
    made = scorer(logits=lambda texts: answer(len(texts)))
    with pytest.raises(DataError, match=complaint.replace("'Strong profit", "for '")):
        fitted(named(fit_of(made)))


def test_prompts_are_shown_where_it_has_them(named: Callable[[object], str]) -> None:
    def prompts(texts: Sequence[str]) -> list[Prompt]:
        return [Prompt(text, "ab12", ()) for text in texts]

    model = fitted(named(fit_of(scorer(prompts=prompts))))
    assert isinstance(model.scorer, Prompting)
    assert model.scorer.prompts(["Up."]) == [Prompt("Up.", "ab12", ())]
    assert not isinstance(fitted(named(fit_of(scorer()))).scorer, Prompting)


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'linaer' is unknown. Choose one of .*'linear'"):
        scorer_kind("linaer")


def reading_from(place: Path) -> Callable[[FitRequest], Fit]:
    """Return the fit of a reader that opens a file when it is asked."""

    def logits(texts: Sequence[str]) -> np.ndarray:
        return np.eye(3)[: len(texts)] * (1 + len(place.read_text()))

    return fit_of(scorer(logits=logits))


def test_files_that_it_opens_by_itself_are_named(named: Callable[[object], str], tmp_path: Path) -> None:
    place = tmp_path / "secret" / "labels.csv"
    place.parent.mkdir()
    place.write_text("a,b\n", encoding="utf-8")
    model = fitted(named(reading_from(place)))
    assert model.manifest["files_read"] == ["secret/labels.csv"]


def test_neither_packages_nor_the_cache_nor_what_it_wrote_count(named: Callable[[object], str], tmp_path: Path) -> None:
    def fit(request: FitRequest) -> Fit:
        request.cache_dir.mkdir(exist_ok=True)
        for place in (request.cache_dir / "kept.txt", tmp_path / "made_here.txt"):
            place.write_text("1", encoding="utf-8")
            place.read_text(encoding="utf-8")
        Path(np.__file__).read_bytes()
        Path("/proc/self/status").read_text(encoding="utf-8")
        return fit_of(scorer())(request)

    assert "files_read" not in fitted(named(fit)).manifest


def test_files_read_are_known_when_its_answers_come_from_the_cache(
    named: Callable[[object], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "labels.csv"
    place.write_text("a,b\n", encoding="utf-8")
    first = fitted(named(reading_from(place)))
    monkeypatch.setattr(own_files, "_known", {})
    again = fitted(named(fit_of(scorer())))
    assert again.scorer.identity == first.scorer.identity
    assert again.manifest["files_read"] == first.manifest["files_read"] == [f"{tmp_path.name}/labels.csv"]
