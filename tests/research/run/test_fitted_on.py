"""A run whose model was fitted on what it is tested on is invalid, whatever its plan says; its clean twin is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from embargo.backtest.leakage import CHECKS, Finding
from embargo.models import fitting
from embargo.models.scorers.kind import FitRequest, ScorerKind
from embargo.research.config.experiment import Config, load_config
from embargo.research.examples.shipped import example
from embargo.research.progress import Quiet
from embargo.research.run import reading, samples
from embargo.research.run.pipeline import Outcome, execute
from embargo.research.run.samples import Part

CODES = {"M11", "M12", "S5"}
# The other M11 compares texts, whatever the fit wrote down.
ELSEWHERE = CHECKS["check_contamination"].title


def configured(*overrides: str) -> Config:
    with example("small") as path:
        return load_config(path, ['model.kind="linear"', *overrides])


def run(folder: Path, config: Config) -> tuple[Outcome, dict[str, Finding]]:
    outcome = execute(config, out=folder / "runs", cache=folder / "cache", stages=Quiet())
    return outcome, {each.code: each for each in outcome.findings if each.code in CODES and each.title != ELSEWHERE}


def undated(*parts: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(parts)[["article_id", "text", "label"]]


@pytest.mark.parametrize("overrides", [(), ('labels.source="returns"',)], ids=["news", "returns"])
def test_a_clean_run_proves_what_it_was_fitted_on(overrides: tuple[str, ...], tmp_path: Path) -> None:
    outcome, found = run(tmp_path, configured(*overrides))
    assert {code: finding.verdict for code, finding in found.items()} == dict.fromkeys(CODES, "pass")
    record = pd.read_parquet(outcome.folder / "fitted_on.parquet")
    assert set(record["use"]) == {"optimiser", "calibration"}
    assert record["fold"].nunique() == 2


def taught_the_test(part: Part) -> Part:
    return replace(part, train=undated(part.train, part.test), validation=undated(part.validation))


def calibrated_on_the_test(part: Part) -> Part:
    return replace(part, train=undated(part.train), validation=undated(part.test))


@pytest.mark.parametrize(
    ("plant", "code"), [(taught_the_test, "M11"), (calibrated_on_the_test, "M12")], ids=["training", "calibration"]
)
def test_a_fit_that_is_handed_the_test_is_a_leak(
    plant: Callable[[Part], Part], code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, handed = reading.fit_fold, []

    def greedy(config: Config, part: Part, *rest: Any) -> Any:
        handed.append(set(part.test["article_id"]))
        return honest(config, plant(part), *rest)

    monkeypatch.setattr(reading, "fit_fold", greedy)
    outcome, found = run(tmp_path, configured())
    assert outcome.status == "invalid"
    assert {name for name, finding in found.items() if finding.verdict == "leak"} == {code, "S5"}
    assert {row["article_id"] for row in found[code].evidence} <= set.union(*handed)
    assert found[code].effect > 0.4


def test_a_kind_that_helps_itself_to_the_test_is_a_leak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured()
    honest, news = fitting.KINDS["linear"].fit, pd.DataFrame()

    def greedy(request: FitRequest) -> Any:
        texts, labels = [*request.train_texts, *news["text"]], [*request.train_labels, *news["label"]]
        return honest(replace(request, train_texts=texts, train_labels=labels))

    planned = reading.read

    def watched(plan: Any, parts: Any, *rest: Any) -> Any:
        nonlocal news
        news = pd.concat([part.test for part in parts]).iloc[::10]
        return planned(plan, parts, *rest)

    kind = ScorerKind(greedy, fitting.KINDS["linear"].settings)
    monkeypatch.setattr(fitting, "KINDS", {**fitting.KINDS, "linear": kind})
    monkeypatch.setattr("embargo.research.run.pipeline.read", watched)
    outcome, found = run(tmp_path, config)
    assert (outcome.status, found["M11"].verdict) == ("invalid", "leak")


def test_thresholds_learnt_on_all_returns_are_a_leak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, everything = samples._learn_thresholds, samples.labels.forward_returns
    found_returns: list[pd.DataFrame] = []

    def kept(*arguments: Any, **options: Any) -> Any:
        made = everything(*arguments, **options)
        found_returns.append(made.frame)
        return made

    monkeypatch.setattr(samples.labels, "forward_returns", kept)
    monkeypatch.setattr(samples, "_learn_thresholds", lambda _, share: honest(found_returns[-1], share))
    outcome, found = run(tmp_path, configured('labels.source="returns"'))
    assert (outcome.status, found["M12"].verdict) == ("invalid", "leak")
    assert found["M12"].evidence[0]["use"] == "threshold"


def test_a_model_without_a_record_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = reading.fit_scorer
    monkeypatch.setattr(reading, "fit_scorer", lambda *a, **b: replace(honest(*a, **b), fitted_on=None))
    outcome, found = run(tmp_path, configured())
    assert outcome.status != "invalid"
    assert (found["M11"].verdict, found["M12"].verdict) == ("inconclusive", "inconclusive")
