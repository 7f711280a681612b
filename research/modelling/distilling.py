"""Teach a student what its teacher says, fold by fold, and measure both on news that neither was fitted on.

Nothing is traded. Each fold leaves a folder with a card: who taught whom, how far they agree on the test window, how
good and how well calibrated each is, and what reading costs with either. The teacher reads test news only after the
student has learnt.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.fields import CLASSES
from embargo.models.content import json_hash, new_folder, read_sealed, sample_fingerprint, text_hash, write_manifest
from embargo.models.evaluation.agreement import agreement
from embargo.models.fitting import FittedModel
from embargo.models.loading.shared import SharedBase
from embargo.models.scorer import ByArticle, Paid
from embargo.models.scorers.cache import ScoreCache
from embargo.models.scorers.score import cached_logits
from embargo.research.config.experiment import Config, load_config
from embargo.research.modelling.distilled_card import distilled_card
from embargo.research.modelling.judging import days_of, report_of
from embargo.research.modelling.tuning import samples_of, write_model
from embargo.research.progress import Stages
from embargo.research.records.provenance import git_commit, versions
from embargo.research.run.asking import PaidAccount, foreseen, spent, texts_of_teacher, took
from embargo.research.run.plan import Plan, base_of
from embargo.research.run.preparation import prepare
from embargo.research.run.reading import fit_fold, fit_teacher, lent, with_base
from embargo.research.run.samples import Part

KIND = "distilled student"
# Test articles on which both are asked, and texts on which their speed is taken.
ASKED, TIMED = 2000, 200
ANSWERS = "answers.parquet"
COSTS = ("cpu_seconds_per_1000", "requests_per_1000", "cost_per_1000")


@dataclass(frozen=True)
class Distilled:
    """The folder of one fold's student.

    Attributes
    ----------
    path : Path
    manifest : dict
    was_there : bool
        Whether the same student had been made before.
    """

    path: Path
    manifest: dict[str, Any]
    was_there: bool


def load_distillation(
    path: Path, overrides: list[str] | None = None, *, env: Collection[str] = (), allow: Collection[str] = ()
) -> Config:
    """Read an experiment whose reader is distilled from another.

    `env` names the environment variables that paths in it may take in, `allow` the code of its own that it may run.

    Raises
    ------
    ConfigError
        As `embargo.research.config.experiment.load_config`; also if its reader learns from no teacher.
    """
    config = load_config(path, overrides, env=env, allow=allow)
    if config.model.teacher is None:
        raise ConfigError(
            f"{path}: model.kind = {config.model.kind!r} learns from no teacher. Set model.kind = 'distilled' and "
            "model.distill."
        )
    return config


def distill_models(config: Config, *, out: Path, cache: Path, stages: Stages) -> Iterator[Distilled]:
    """Distil the student of every fold, and yield each folder as soon as it is written.

    Parameters
    ----------
    config : Config
    out : Path
        Each folder lands in ``out/<name>-fold<n>-<hash>``.
    cache : Path
        Where bases, adapters and answers are kept.
    stages : Stages
        Shows progress.

    Raises
    ------
    EmbargoError
        Whatever is wrong with config, data or a reader.
    """
    plan = prepare(config, stages)
    plan = with_base(plan, plan.parts[0].fold.train_end, cache, stages)
    # One labelled file trains one model for all folds.
    parts = plan.parts[:1] if config.labels.source == "file" else plan.parts

    def read_too(part: Part) -> list[str]:
        return [*_drawn(part, config.seed)["text"], *part.test["text"]]

    for said in foreseen(replace(plan, parts=parts), read_too=read_too):
        stages.say(said)
    before, accounts = spent(config, cache), []
    taught_before, asked_before = set[tuple[str, str]](), set[tuple[str, str]]()
    with ExitStack() as stack:
        store = stack.enter_context(ScoreCache(cache / "scores"))
        shared: SharedBase | None = None
        for part in parts:
            of = f"fold {part.index + 1} of {len(parts)}"
            shared = lent(shared, base_of(plan, part), stack)
            student = fit_fold(plan, part, shared, cache, store, stages.stage(f"Teach the student, {of}"))
            folder, account = out / _name(plan, part, student), PaidAccount.of_teacher(student.manifest, cache)
            teaching = [] if account is None else texts_of_teacher(plan, part)
            taught = None if account is None else account.of(teaching, taught_before)
            if folder.exists():
                accounts += [] if account is None else [account.of(teaching, asked_before)]
                yield Distilled(folder, read_sealed(folder), was_there=True)
                continue
            teacher = fit_teacher(plan, part, cache, store, stages.stage(f"Find the teacher, {of}"))
            stages.stage(f"Ask both, {of}")
            yield _written(folder, plan, part, len(parts), teacher, student, cache, store, taught)
            accounts += [] if account is None else [account.of([*teaching, *read_too(part)], asked_before)]
    for said in took(config, accounts, before, cache):
        stages.say(said)


def _name(plan: Plan, part: Part, student: FittedModel) -> str:
    key = json_hash(
        {
            "student": student.manifest["model_id"],
            "teacher": student.manifest["settings"]["teacher"]["model_id"],
            "tested": sorted(part.test_news["article_id"].astype(str).unique().tolist()),
            "labels": sample_fingerprint(part.test["text"].tolist(), part.test["label"].tolist()),
            "seed": plan.config.seed,
        }
    )
    return f"{plan.config.name}-fold{part.index + 1}-{key[:8]}"


def _written(
    folder: Path,
    plan: Plan,
    part: Part,
    folds: int,
    teacher: FittedModel,
    student: FittedModel,
    cache: Path,
    store: ScoreCache,
    taught: dict[str, Any] | None,
) -> Distilled:
    config, base = plan.config, base_of(plan, part)
    dated = config.labels.source != "file"
    news = _drawn(part, config.seed)
    pair = {"teacher": teacher, "student": student}
    with_labels = _without_known(part.test, student)
    answers = {name: _answers(model, news, store) for name, model in pair.items()}
    there = ~np.isnan(np.column_stack(list(answers.values()))).any(axis=1)
    apart = agreement(
        answers["teacher"][there], answers["student"][there], groups=_days(news.loc[there]), seed=config.seed
    )
    manifest: dict[str, Any] = {
        "kind": KIND,
        "name": folder.name,
        "seed": config.seed,
        "fold": {
            "index": part.index,
            "of": folds,
            "test_start": part.fold.test_start.isoformat(),
            "test_end": part.fold.test_end.isoformat(),
        },
        "teacher": teacher.manifest,
        "student": student.manifest,
        "agreement": apart | {"n_unanswered": int((~there).sum())},
        "judged": {name: _judged(model, with_labels, config.seed, store, dated=dated) for name, model in pair.items()},
        "cost": {name: _cost(model, news) for name, model in pair.items()},
        "teaching": taught,
        "versions": versions() | {"commit": git_commit() or "unknown"},
    }
    with new_folder(folder) as draft:
        told = news[["article_id", "known_at"]].reset_index(drop=True)
        for name, probs in answers.items():
            told[[f"{name}_{each}" for each in CLASSES]] = probs
        told.to_parquet(draft / ANSWERS, index=False)
        (draft / "README.md").write_text(distilled_card(manifest), encoding="utf-8")
        if base is not None:
            write_model(draft / "student", config, base, samples_of(config, part, folds, base), student, cache, store)
        manifest = write_manifest(draft, manifest, sealed=True)
    return Distilled(folder, manifest, was_there=False)


def _drawn(part: Part, seed: int) -> pd.DataFrame:
    """Draw the test articles that both are asked about, each once."""
    news = part.test_news[["article_id", "text", "known_at"]].drop_duplicates("article_id")
    drawn = np.random.default_rng([seed, part.index]).permutation(len(news))[:ASKED]
    return news.iloc[np.sort(drawn)].reset_index(drop=True)


def _without_known(test: pd.DataFrame, student: FittedModel) -> pd.DataFrame:
    """Leave out labelled texts whose words either reader was fitted on."""
    known = set(student.train_text_hashes)
    return test.loc[~test["text"].map(text_hash).isin(known)]


def _days(news: pd.DataFrame) -> np.ndarray | None:
    return days_of(news, dated=True)


def _answers(model: FittedModel, news: pd.DataFrame, store: ScoreCache) -> np.ndarray:
    """Return calibrated probabilities, shape (n, 3); rows of NaN where a reader has nothing to say."""
    articles = news["article_id"].astype(str).tolist()
    logits = cached_logits(model.scorer, news["text"].tolist(), articles=articles, cache=store).logits
    found = np.full(logits.shape, np.nan)
    there = ~np.isnan(logits).any(axis=1)
    if there.any():
        found[there] = model.calibration.apply(logits[there])
    return found


def _judged(
    model: FittedModel, part: pd.DataFrame, seed: int, store: ScoreCache, *, dated: bool
) -> dict[str, Any] | None:
    """Measure on labelled test samples that have an answer; None where there are none."""
    if part.empty:
        return None
    articles = part["article_id"].astype(str).tolist() if "article_id" in part else None
    logits = cached_logits(model.scorer, part["text"].tolist(), articles=articles, cache=store).logits
    there = ~np.isnan(logits).any(axis=1)
    if not there.any():
        return None
    known = part.loc[there]
    labels = known["label"].to_numpy(dtype=np.int64)
    report = report_of(logits[there], labels, model.calibration, days=days_of(known, dated), seed=seed)
    del report["roc"]
    return report


def _cost(model: FittedModel, news: pd.DataFrame) -> dict[str, float | None]:
    """Return CPU seconds, requests and money per 1,000 texts; None for what a reader does not take."""
    scorer, texts = model.scorer, news["text"].drop_duplicates().tolist()
    found: dict[str, float | None] = dict.fromkeys(COSTS)
    if isinstance(scorer, Paid):
        # Its account is of the articles that it was asked about just now, or before: none is asked for its time alone.
        told = scorer.account([text_hash(text) for text in texts])
        if told["texts"]:
            spent = (told["cpu_seconds"], told["requests"], told["cost"])
            found |= {name: 1000 * value / told["texts"] for name, value in zip(COSTS, spent, strict=True)}
    elif not isinstance(scorer, ByArticle):
        timed = texts[:TIMED]
        scorer.logits(timed[:1])  # what is loaded once is not counted a thousand times
        began = time.process_time()
        scorer.logits(timed)
        found["cpu_seconds_per_1000"] = 1000 * (time.process_time() - began) / len(timed)
    return found
