"""Carry one reader through the study: fitted part by part, timed, scored, and asked in other words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import EmbargoError
from embargo.data_loaders.fields import CLASSES
from embargo.models.content import text_hash
from embargo.models.evaluation.robustness import probe
from embargo.models.fitting import FittedModel
from embargo.models.scorers.cache import SCORES, AfreshCache, ScoreCache
from embargo.models.scorers.endpoint import EndpointScorer
from embargo.models.scorers.score import score_articles
from embargo.research.config.adapt import AdaptConfig
from embargo.research.progress import Advance, Quiet, Stages
from embargo.research.records.folders import write_json
from embargo.research.run.plan import Plan
from embargo.research.run.preparation import prepare
from embargo.research.run.reading import lent
from embargo.research.run.samples import Samples
from embargo.research.run.world import Inputs, content_of
from embargo.research.studies.adapt.costs import Effort, ReaderCosts, mean_of, measured
from embargo.research.studies.adapt.fits import Fitting, begin, costs_in, is_bought, kept, own_folder

PROBED = "probed.json"
# Scored once before the clock starts: the first texts also load what scores them.
WARM_UP = 8
_UNPROBED = {
    "endpoint": "not asked: every changed text would be charged for",
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
    costs : ReaderCosts
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
    costs: ReaderCosts
    n_timed: int
    probed: dict[str, Any] | None
    unprobed: str


def plan_of(study: AdaptConfig, reader: str, inputs: Inputs) -> Plan:
    """Return the plan of one reader on what is loaded already, prepared as a run prepares it.

    Raises
    ------
    MissingPartError, ConfigError, DataError, LeakError
        As `embargo.research.run.preparation.prepare`.
    """
    return prepare(study.config_of(reader), Quiet(), inputs)


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
        Of runs; what is measured lies in ``adapt`` below it, in one folder for each fit.
    stages : Stages

    Raises
    ------
    EmbargoError
        Whatever keeps the reader from being carried out.
    """
    once = study.experiment.labels.source == "file"
    judged, scored, manifests, fits, articles = [], [], [], [], []
    model: FittedModel | None = None
    with ExitStack() as stack:
        start = begin(study, reader, plan, parts, cache, stages)
        store = stack.enter_context(ScoreCache(cache / SCORES))
        shared = None
        for number, part in enumerate(parts, start=1):
            fold = f"{reader}, fold {number} of {len(parts)}"
            if model is None or not once:
                model = None  # its memory goes before the next one is made
                shared = lent(shared, start.bases(part)[0], stack)
                folder = own_folder(cache, start.content(part))
                is_measured = "fit" in costs_in(folder) or is_bought(start.section)
                known = ScoreCache(store.path) if is_measured else AfreshCache(store.path)
                with known, measured(on_gpu=start.on_gpu) as fitting:
                    model = start.fit(part, shared, cache, known, stages.stage(f"Fit {fold}"))
                fits.append(_asked(model, part.validation["text"]) or kept(folder, "fit", fitting))
                manifests.append(model.manifest | {"fold": part.index})
            tested = pd.concat([part.test_news[["article_id", "text"]], part.test[["article_id", "text"]]])
            tested = tested.drop_duplicates("article_id")
            advance = stages.stage(f"Score {fold}")
            found = score_articles(model.scorer, model.calibration, tested, cache=store, progress=advance).scores
            told = found.set_index("article_id")
            if not once or number == 1:
                labelled = part.test[["article_id", "label"]].join(told[list(CLASSES)], on="article_id")
                judged.append(labelled.assign(fold=part.index))
                articles.append(_asked(model, tested["text"], each=True) or _timed(start, model, tested, folder))
            if plan is not None:
                columns = [*CLASSES, "confidence", "model_id"]
                scored.append(part.test_news.join(told[columns], on="article_id").assign(fold=part.index))
        assert model is not None
        probed, unprobed = _probed(start, model, tested, folder, stages.stage(f"Question {reader}"))
    return ReadBy(
        judged=pd.concat(judged, ignore_index=True),
        scored=pd.concat(scored, ignore_index=True) if scored else None,
        manifests=manifests,
        costs=ReaderCosts(start.spent + mean_of(fits), mean_of(articles)),
        n_timed=min(study.adapt.timed, tested["text"].nunique()),
        probed=probed,
        unprobed=unprobed,
    )


def _asked(model: FittedModel, texts: pd.Series, *, each: bool = False) -> Effort | None:
    """Return what an endpoint charged and took for some texts, or for each of them; None for other readers."""
    if not isinstance(model.scorer, EndpointScorer):
        return None
    account = model.scorer.account([text_hash(text) for text in texts.unique()])
    spent = Effort(cpu=account["cpu_seconds"], wall=account["wall_seconds"], charged=account["cost"])
    return (1.0 / max(1, account["texts"])) * spent if each else spent


def _timed(start: Fitting, model: FittedModel, tested: pd.DataFrame, folder: Path) -> Effort:
    """Measure what an article costs to score afresh, on texts of the test; what was given costs nothing here."""
    if start.section.kind in _UNPROBED:
        return Effort()
    known = costs_in(folder)
    if "article" in known:
        return known["article"]
    distinct = tested["text"].drop_duplicates()
    drawn = np.random.default_rng(start.study.experiment.seed).permutation(len(distinct))
    chosen = distinct.iloc[drawn[: start.study.adapt.timed]].tolist()
    model.scorer.logits(chosen[:WARM_UP])
    with measured(on_gpu=start.on_gpu) as scoring:
        model.scorer.logits(chosen)
    return kept(folder, "article", (1.0 / len(chosen)) * scoring)


def _probed(
    start: Fitting, model: FittedModel, tested: pd.DataFrame, folder: Path, advance: Advance
) -> tuple[dict[str, Any] | None, str]:
    """Ask the last model of some test texts in other words, or find what it answered."""
    if start.section.kind in _UNPROBED:
        return None, _UNPROBED[start.section.kind]
    study, plan = start.study, start.plan
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
    place = int(same["flip_rate"].to_numpy(dtype=float).argmax())
    rate, low, high = same[["flip_rate", "flip_low", "flip_high"]].to_numpy(dtype=float)[place].tolist()
    denied = table[table["expects"] == "reversal"]
    found = {
        "n": int(same["n"].sum()),
        "texts": len(texts),
        "flip_rate": float((same["flip_rate"] * same["n"]).sum() / same["n"].sum()),
        "worst": str(same.index[place]),
        "worst_rate": rate,
        "worst_low": low,
        "worst_high": high,
        "denials": float(denied["flip_rate"].iloc[0]),
    }
    write_json(path, found)
    advance(1, 1)
    return found, ""
