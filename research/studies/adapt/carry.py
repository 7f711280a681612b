"""Carry one reader through the study: fitted fold by fold as a run fits it, timed, scored, and asked in other words.

What a fold's fit leaves lies in a folder of its own with what the fit and the scoring took. A folder whose costs were
never written belongs to a study that was killed while it fitted: it is emptied, so that no cost is taken from half of
the work.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import EmbargoError
from embargo.data_loaders.fields import CLASSES
from embargo.models.bases.resolve import BUILT_IN, Base
from embargo.models.evaluation.robustness import probe
from embargo.models.fitting import FittedModel, scorer_kind
from embargo.models.scorers.cache import ScoreCache
from embargo.models.scorers.score import score_articles
from embargo.research.config.adapt import AdaptConfig
from embargo.research.config.model import ModelSection
from embargo.research.progress import Advance, Quiet, Stages
from embargo.research.records.folders import write_json
from embargo.research.run.plan import Plan, base_of
from embargo.research.run.reading import (
    SCORES,
    background_of,
    fit_part,
    given_base,
    given_vintages,
    lent,
    pretrained,
    scored_news,
    with_base,
)
from embargo.research.run.samples import Samples, plan_folds, plan_parts
from embargo.research.run.world import content_of
from embargo.research.studies.adapt.costs import Costs, Spent, has_gpu, mean_of, measured, spent_from

COSTS = "costs.json"
PROBED = "probed.json"
# Scored once before the clock starts: the first texts also load what scores them.
WARM_UP = 8
# Kinds that never compute on a device.
_ON_CPU = frozenset({"majority", "lexicon", "linear", "endpoint", "scores"})
# What these answer is bought or was given: they are not asked again for the sake of a measurement.
NOT_ASKED_AGAIN = {
    "endpoint": "not asked: every changed text would be charged for (embargo evaluate asks)",
    "scores": "not asked: a file of scores knows no changed text",
}


@dataclass(frozen=True)
class ReadBy:
    """What one reader made of the texts of the study.

    Attributes
    ----------
    judged : DataFrame
        One row per labelled test sample: ``fold, article_id, label`` and calibrated ``bearish, neutral, bullish``.
    scored : DataFrame or None
        Test news as a run trades on them; None where nothing is traded.
    manifests : list of dict
        One per model fitted.
    costs : Costs
    n_timed : int
        Texts that were scored afresh to measure what an article costs.
    probed : dict or None
        ``flip_rate`` (of all texts that a change altered and that mean the same), ``n``, and of the change that turned
        most: ``worst, worst_rate, worst_low, worst_high``; ``denials`` (share of denials that went unheard).
    unprobed : str
        Why there is no ``probed``.
    """

    judged: pd.DataFrame
    scored: pd.DataFrame | None
    manifests: list[dict[str, Any]]
    costs: Costs
    n_timed: int
    probed: dict[str, Any] | None
    unprobed: str


def plan_of(study: AdaptConfig, reader: str, plan: Plan) -> Plan:
    """Return the plan of one reader on the loaded world; its base is found, its own limits on training are kept.

    Raises
    ------
    MissingPartError, ConfigError, LeakError
        As `embargo.research.run.preparation.prepare`.
    """
    config = study.config_of(reader)
    base = given_base(config.model)
    parts, folds = plan.parts, [part.fold for part in plan.parts]
    bases = given_vintages(config, folds) if base is None and config.model.on_base else base
    if config.model.max_train != plan.config.model.max_train:
        parts = plan_parts(config, plan.world, plan_folds(config, plan.world), Quiet())
    return replace(plan.under(config), parts=parts, base=bases)


def read_by(
    study: AdaptConfig, reader: str, plan: Plan | None, parts: Sequence[Samples], cache: Path, stages: Stages
) -> ReadBy:
    """Fit, time, score and question one reader on every part.

    Parameters
    ----------
    study : AdaptConfig
    reader : str
    plan : Plan or None
        The reader's own, from `plan_of`; None where there are no prices.
    parts : sequence of Samples
        Those of the plan, or the one of a labelled file.
    cache : Path
        What is fitted lies in ``adapt`` below it, in one folder for each fit.
    stages : Stages

    Raises
    ------
    EmbargoError
        Whatever keeps the reader from being carried out.
    """
    section, once = study.readers[reader], study.experiment.labels.source == "file"
    room = cache / "adapt"
    on_gpu = section.kind not in _ON_CPU and has_gpu()
    judged, scored, manifests, fits, articles = [], [], [], [], []
    model: FittedModel | None = None
    with ExitStack() as stack:
        begun = _begun(study, section, plan, parts, room, stages)
        shared = None
        for number, part in enumerate(parts, start=1):
            fold = f"{reader}, fold {number} of {len(parts)}"
            if model is None or not once:
                model = None  # its memory goes before the next one is made
                base = begun.base if plan is None or begun.plan is None else base_of(begun.plan, part)
                shared = lent(shared, base, stack)
                folder = _room_of(room, study, section, plan, part, base)
                store = stack.enter_context(ScoreCache(_store(section, cache, folder)))
                advance = stages.stage(f"Fit {fold}")
                background = _background(begun.plan, part)
                with measured(on_gpu=on_gpu) as fitting:
                    model = fit_part(
                        section,
                        part,
                        shared,
                        folder,
                        store,
                        advance,
                        seed=study.experiment.seed,
                        background=background,
                        allow=study.allow,
                        inputs=None if plan is None else plan.world.inputs,
                    )
                fits.append(_kept(folder, "fit", fitting))
                manifests.append(model.manifest | {"fold": part.index})
            tested = pd.concat([part.test_news[["article_id", "text"]], part.test[["article_id", "text"]]])
            tested = tested.drop_duplicates("article_id")
            advance = stages.stage(f"Score {fold}")
            found = score_articles(model.scorer, model.calibration, tested, cache=store, progress=advance).scores
            if not once or number == 1:
                probabilities = found.set_index("article_id")[list(CLASSES)]
                judged.append(
                    part.test[["article_id", "label"]].join(probabilities, on="article_id").assign(fold=part.index)
                )
                articles.append(_timed(study, section, model, tested["text"], folder, on_gpu))
            if plan is not None:
                scored.append(scored_news(part, found))
        assert model is not None
        probed, unprobed = _probed(study, section, model, tested, plan, folder, stages.stage(f"Question {reader}"))
    costs = Costs(begun.spent + mean_of(fits), mean_of(articles))
    return ReadBy(
        judged=pd.concat(judged, ignore_index=True),
        scored=pd.concat(scored, ignore_index=True) if scored else None,
        manifests=manifests,
        costs=costs,
        n_timed=min(study.adapt.timed, len(tested)),
        probed=probed,
        unprobed=unprobed,
    )


@dataclass(frozen=True)
class _Begun:
    """What a reader starts from: its plan with its base, and what the base took to be made here."""

    plan: Plan | None
    base: Base | None
    spent: Spent


def _begun(
    study: AdaptConfig, section: ModelSection, plan: Plan | None, parts: Sequence[Samples], room: Path, stages: Stages
) -> _Begun:
    if not section.on_base or section.base not in BUILT_IN:
        return _Begun(plan, given_base(section) if plan is None else None, Spent())
    seed = study.experiment.seed
    if plan is None:
        corpus = parts[0].train[["text", "known_at"]].drop_duplicates("text")
    else:
        known = plan.world.news["known_at"] < plan.parts[0].fold.train_end
        corpus = plan.world.news.loc[known, ["text", "known_at"]].drop_duplicates("text")
    folder = _own(room, content_of(base=section.base, corpus=corpus, seed=seed))
    with measured(on_gpu=has_gpu()) as making:
        if plan is None:
            base = pretrained(section, corpus, seed=seed, cache=folder, stages=stages)
            begun = _Begun(None, base, Spent())
        else:
            begun = _Begun(with_base(plan, plan.parts[0].fold.train_end, folder, stages), None, Spent())
    return replace(begun, spent=_kept(folder, "fit", making))


def _background(plan: Plan | None, part: Samples) -> Callable[[], pd.DataFrame]:
    """Return what gives the news known before a part's training ended; of a labelled file, its training texts."""
    if plan is not None:
        return functools.partial(background_of, plan, part)
    return lambda: part.train.assign(symbol="")[["article_id", "symbol", "text", "known_at"]]


def _room_of(
    room: Path, study: AdaptConfig, section: ModelSection, plan: Plan | None, part: Samples, base: Base | None
) -> Path:
    """Return the folder of one fit, by everything that it is made from."""
    columns = ["text", "label"]
    given: dict[str, Any] = {
        "model": json.dumps(section.model_dump(mode="json"), sort_keys=True),
        "train": part.train[columns],
        "validation": part.validation[columns],
        "until": part.trained_until,
        "base": None if base is None else base.weights_hash,
        "seed": study.experiment.seed,
    }
    if plan is not None and scorer_kind(section.kind, allow=study.allow).reads_background:
        given["background"] = background_of(plan, part)
    return _own(room, content_of(**given))


def _own(room: Path, content: str) -> Path:
    folder = room / content[:24]
    if folder.is_dir() and not (folder / COSTS).is_file():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _store(section: ModelSection, cache: Path, folder: Path) -> Path:
    """Return the file of a fit's scores; answers that were paid for are shared with every run."""
    return cache / SCORES if section.kind in NOT_ASKED_AGAIN else folder / SCORES


def _kept(folder: Path, name: str, spent: Spent) -> Spent:
    """Return what some work took when it was first done, and write it down if that was now."""
    path = folder / COSTS
    known: dict[str, Any] = {}
    if path.is_file():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            if name in known:
                return spent_from(known[name])
        except (ValueError, TypeError, KeyError):
            known = {}
    partial = path.with_name(f".{COSTS}.partial")
    write_json(partial, known | {name: vars(spent)})
    partial.replace(path)
    return spent


def _timed(
    study: AdaptConfig, section: ModelSection, model: FittedModel, texts: pd.Series, folder: Path, on_gpu: bool
) -> Spent:
    """Measure what an article costs to score afresh, on texts of the test; what is bought or given costs as charged."""
    if section.kind in NOT_ASKED_AGAIN:
        return Spent()
    distinct = texts.drop_duplicates()
    drawn = np.random.default_rng(study.experiment.seed).permutation(len(distinct))
    chosen = distinct.iloc[drawn[: study.adapt.timed]].tolist()
    # Taken before the work, so that a study that goes on from its cache does not do it again.
    if "article" in json.loads((folder / COSTS).read_text(encoding="utf-8")):
        return _kept(folder, "article", Spent())
    model.scorer.logits(chosen[:WARM_UP])
    with measured(on_gpu=on_gpu) as scoring:
        model.scorer.logits(chosen)
    return _kept(folder, "article", (1.0 / len(chosen)) * scoring)


def _probed(
    study: AdaptConfig,
    section: ModelSection,
    model: FittedModel,
    tested: pd.DataFrame,
    plan: Plan | None,
    folder: Path,
    advance: Advance,
) -> tuple[dict[str, Any] | None, str]:
    """Ask the last model of some test texts in other words, or find what it answered."""
    if section.kind in NOT_ASKED_AGAIN:
        return None, NOT_ASKED_AGAIN[section.kind]
    if not study.adapt.probed:
        return None, "not asked: adapt.probed = 0"
    distinct, seed = tested["text"].drop_duplicates(), study.experiment.seed
    drawn = np.random.default_rng(seed).permutation(len(distinct))[: study.adapt.probed]
    texts = distinct.iloc[np.sort(drawn)].tolist()
    names = [] if plan is None else plan.world.prices.symbols
    path = folder / f"{content_of(texts=texts, names=names, seed=seed)[:16]}-{PROBED}"
    if path.is_file():
        return dict(json.loads(path.read_text(encoding="utf-8"))), ""
    try:
        table = probe(
            model.scorer,
            texts,
            calibration=model.calibration,
            names=names if len(set(names)) > 1 else (),
            seed=seed,
            resamples=1,
            examples=0,
        ).table
    except EmbargoError as failure:
        return None, f"not asked: {failure}"
    same = table.loc[(table["expects"] == "same") & (table["n"] > 0)]
    worst = same["flip_rate"].idxmax()
    found = {
        "n": int(same["n"].sum()),
        "texts": len(texts),
        "flip_rate": float((same["flip_rate"] * same["n"]).sum() / same["n"].sum()),
        "worst": str(worst),
        "worst_rate": float(same.loc[worst, "flip_rate"]),
        "worst_low": float(same.loc[worst, "flip_low"]),
        "worst_high": float(same.loc[worst, "flip_high"]),
        "denials": float(table.loc["negation", "flip_rate"]),
    }
    write_json(path, found)
    advance(1, 1)
    return found, ""
