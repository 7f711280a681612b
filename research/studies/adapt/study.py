"""Every way to read on one scale: one split, one test set, one trading rule, and a row for each reader.

Readers are fitted as a run fits them, on the folds of one loaded world, and each that trades is an attempt in the
ledger exactly as if it had been run. A reader that cannot be carried out is a row that says why; the others go on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.metrics import sharpe
from embargo.data_loaders.errors import EmbargoError
from embargo.research.cache import ledger_folder
from embargo.research.config.adapt import AdaptConfig
from embargo.research.config.experiment import Config
from embargo.research.config.model import ModelSection
from embargo.research.pages.page import write_page
from embargo.research.progress import Stages
from embargo.research.records import ledger
from embargo.research.records.attempts import tried_around
from embargo.research.records.folders import write_json, writing
from embargo.research.records.windows import TradedWindow
from embargo.research.run.audit import judge_bases
from embargo.research.run.given_scores import answered
from embargo.research.run.measurement import article_days, estimate
from embargo.research.run.pipeline import attempt_of, kin_of, material_of, series_of, tuning_of, window_of
from embargo.research.run.plan import Plan, traded_news
from embargo.research.run.preparation import prepare
from embargo.research.run.reading import Reading
from embargo.research.run.samples import Part, Samples, samples_hash, split_labelled_file
from embargo.research.run.text_checks import judge_agreement
from embargo.research.run.trading import fuse, trade
from embargo.research.studies.adapt.adaptation import Adaptation, as_document
from embargo.research.studies.adapt.carry import ReadBy, plan_of, read_by
from embargo.research.studies.adapt.costs import VOLUMES, break_evens
from embargo.research.studies.adapt.judgement import (
    enough_resamples,
    figures_of,
    pairs_of,
    same_items,
    trust_of,
    trust_undated,
)
from embargo.research.studies.adapt.page import render_page
from embargo.research.studies.adapt.recommend import recommend
from embargo.research.studies.adapt.rows import TRUSTED, Row, Trust

NAME = "adapt.json"


@dataclass(frozen=True)
class _Desk:
    """What all readers of a study share."""

    study: AdaptConfig
    plan: Plan | None
    parts: Sequence[Samples]
    cache: Path
    window: TradedWindow | None


@dataclass(frozen=True)
class _Done:
    """One reader carried out."""

    plan: Plan | None
    read: ReadBy
    returns: pd.Series | None
    trial: str


def adapt(study: AdaptConfig, *, out: Path, cache: Path, stages: Stages) -> Adaptation:
    """Carry every reader of a study through the same split, test and trading, and say what it comes to.

    Parameters
    ----------
    study : AdaptConfig
    out : Path
        Folder of runs; the study lands in ``out/<name>-adapt-<hash>`` whole or not at all.
    cache : Path
        Where what is fitted is kept, with what it took; a study that was killed goes on from there. Unless
        ``$EMBARGO_LEDGER`` names another place, the ledger of attempts is there too.
    stages : Stages
        Shows progress.

    Returns
    -------
    Adaptation

    Raises
    ------
    EmbargoError
        Whatever is wrong with the config or its data is raised before any reader is fitted. What is wrong with one
        reader alone becomes its row; if no reader can be carried out, the first one's error is raised.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from embargo.research import Quiet, adapt
    >>> from embargo.research.config import load_adapt
    >>> readers = [f"readers.{kind}.kind={kind}" for kind in ("majority", "lexicon", "linear")]
    >>> study = load_adapt(files("embargo.research.examples") / "small.toml", [*readers, "adapt.probed=5"])
    >>> with TemporaryDirectory() as folder:
    ...     found = adapt(study, out=Path(folder) / "runs", cache=Path(folder) / "cache", stages=Quiet())
    >>> [(row.name, round(row.accuracy, 2)) for row in found.rows]
    [('majority', 0.35), ('lexicon', 0.75), ('linear', 0.74)]
    >>> len(found.pairs), found.advice.take
    (3, 'lexicon')
    """
    desk = _desk(study, cache, stages)
    done: dict[str, _Done] = {}
    failed: dict[str, EmbargoError] = {}
    for name in study.readers:
        try:
            done[name] = _carried(desk, name, stages)
        except EmbargoError as failure:
            failed[name] = failure
    if not done:
        raise next(iter(failed.values()))
    stages.stage("Test the readers against each other")
    items = same_items({name: one.read.judged for name, one in done.items()})
    probabilities, labels, articles = items.probabilities, items.labels, items.articles
    groups = _groups(desk, next(iter(done.values())), articles)
    statistics, seed = study.experiment.statistics, study.experiment.seed
    rows = [
        _row(desk, name, done[name], probabilities[name], labels, groups)
        if name in done
        else Row(name, study.readers[name].kind, failed=str(failed[name]))
        for name in study.readers
    ]
    traded = {name: one.returns for name, one in done.items() if one.returns is not None and _moves(one.returns)}
    pairs = pairs_of(
        probabilities,
        labels,
        groups,
        traded,
        statistics=statistics,
        periods_per_year=None if desk.plan is None else desk.plan.world.periods_per_year,
        seed=seed,
    )
    advice = recommend(rows, pairs, study.adapt, significance=statistics.significance)
    folder = out / f"{study.experiment.name}-adapt-{_identity(desk)}"
    figures = _figures(desk, rows, done, groups) | {"n_left_out": items.left_out}
    found = Adaptation(folder, rows, pairs, advice, figures)
    stages.stage("Write the report")
    _save(found, {name: one.read.judged for name, one in done.items()}, {k: v.returns for k, v in done.items()})
    return found


def _desk(study: AdaptConfig, cache: Path, stages: Stages) -> _Desk:
    """Load and split what all readers are tested on, and see that attempts can be written down."""
    experiment = study.experiment
    if not isinstance(experiment, Config):
        stages.stage("Read the labelled file")
        held = split_labelled_file(experiment.labels, experiment.seed)
        counts = dict(held.counts)
        part = Samples(0, held.train, held.validation, held.test, held.test, held.known_until, None, None, counts)
        return _Desk(study, None, [part], cache, None)
    # A word list needs no base, so the world is loaded and split before any reader asks for one.
    plain = experiment.model_copy(update={"model": ModelSection(kind="lexicon")})
    plan = prepare(plain, stages)
    window, place = window_of(plan), ledger_folder(cache)
    tried_around(place, window)
    ledger.refuse_unwritable(place, window)
    return _Desk(study, plan, plan.parts, cache, window)


def _carried(desk: _Desk, name: str, stages: Stages) -> _Done:
    study = desk.study
    if desk.plan is None:
        return _Done(None, read_by(study, name, None, desk.parts, desk.cache, stages), None, "")
    own = plan_of(study, name, desk.plan.world.inputs)
    found = read_by(study, name, own, own.parts, desk.cache, stages)
    assert found.scored is not None
    stages.stage(f"Trade {name}")
    scored = answered(found.scored)
    result = trade(own, traded_news(own, scored), fuse(own, scored))
    returns = result.books.returns
    return _Done(own, found, returns, _record(desk, own, returns))


def _record(desk: _Desk, own: Plan, returns: pd.Series) -> str:
    """Write a reader down as an attempt, the very one that a run of its config would be."""
    assert desk.window is not None
    config, data, values = own.config, material_of(own, own.parts), returns.to_numpy(dtype=float)
    trial = ledger.Trial(
        desk.window.identity,
        attempt_of(config, data),
        config.name,
        sharpe(values, periods_per_year=1.0) or 0.0,
        len(values),
        series=series_of(config),
        kin=kin_of(config, data),
        tuning=tuning_of(config),
    )
    place = ledger_folder(desk.cache)
    known = ledger.trials_on(place, desk.window.identity).get(trial.settings)
    if known != trial:
        ledger.record(place, desk.window, trial, values)
    return trial.settings


def _moves(returns: pd.Series) -> bool:
    return float(returns.std()) > 0.0


def _groups(desk: _Desk, done: _Done, articles: pd.Series) -> np.ndarray | None:
    """Return the day on which each judged article was known; None where nobody knows."""
    if done.read.scored is None:
        return None
    return article_days(Reading(done.read.scored, done.read.judged.assign(article_id=articles), []))


def _row(desk: _Desk, name: str, done: _Done, probs: np.ndarray, labels: np.ndarray, groups: np.ndarray | None) -> Row:
    study, found = desk.study, done.read
    section, prices, costs = study.readers[name], study.adapt, found.costs
    trust, note = _trust(desk, section, done)
    cutoffs = [manifest["knowledge_cutoff"] for manifest in found.manifests]
    row = Row(
        name,
        section.kind,
        probed=found.probed,
        unprobed=found.unprobed,
        cutoff=None if None in cutoffs else max(map(pd.Timestamp, cutoffs)).isoformat(),
        trust=trust,
        trust_note=note,
        **figures_of(probs, labels, groups, study.experiment.statistics, study.experiment.seed),
    )
    if unknown := _unknown_costs(section) or ("" if costs.fit.known else "made before what it took was written down"):
        row = replace(row, costs_note=unknown)
    else:
        row = replace(
            row,
            fit_cpu=costs.fit.cpu,
            fit_wall=costs.fit.wall,
            fit_cost=costs.fit.money(prices),
            article_cpu=1000.0 * costs.article.cpu,
            article_wall=1000.0 * costs.article.wall,
            article_cost=1000.0 * costs.article.money(prices),
        )
    if done.plan is None or done.returns is None:
        return row
    if not _moves(done.returns):
        return replace(row, traded=False)
    told = estimate(done.plan, done.returns)
    return replace(
        row,
        traded=True,
        sharpe=told.sharpe,
        sharpe_low=told.low,
        sharpe_high=told.high,
        sharpe_p_value=told.p_value,
    )


def _unknown_costs(section: ModelSection) -> str:
    """Say why nobody knows what a reader costs; empty where it is measured."""
    readers = [section, *([] if section.teacher is None else [section.teacher])]
    if any(each.scores is not None for each in readers):
        return "made elsewhere"
    asked = [each.endpoint for each in readers if each.endpoint is not None]
    if any(one.prompt_price is None and one.completion_price is None for one in asked):
        return "no price is set"
    return ""


def _trust(desk: _Desk, section: ModelSection, done: _Done) -> tuple[Trust, str]:
    """Say whether a reader's knowledge ended before each window that it was tested on."""
    manifests = done.read.manifests
    news, of_returns = (
        (None, False) if done.plan is None else (done.plan.world.news, done.plan.config.labels.source == "returns")
    )
    agreement = judge_agreement(done.read.judged, manifests, news=news, of_returns=of_returns)
    if agreement.verdict == "suspicious":
        return "doubted", agreement.detail
    if done.plan is None:
        return trust_undated(section, manifests[0]["exposures"])
    trust, note = trust_of(judge_bases(done.plan, manifests), section)
    if trust not in TRUSTED:
        return trust, note
    for manifest in manifests:
        fold = next(part.fold for part in done.plan.parts if part.index == manifest["fold"])
        cutoff = manifest["knowledge_cutoff"]
        if cutoff is None:
            return "unknown", "Nobody says until when what it knows reaches."
        if pd.Timestamp(cutoff) >= fold.test_start:
            return "inside", f"It knows until {cutoff[:10]}, and the test begins on {fold.test_start:%Y-%m-%d}."
    return trust, note


def _identity(desk: _Desk) -> str:
    told = desk.study.to_dict()
    told.pop("name", None)
    if desk.plan is None:
        told["labels"].pop("path", None)
        material = {"samples": samples_hash(desk.parts)}
    else:
        for section in ("news", "prices", "labels"):
            told[section].pop("path", None)
        material = material_of(desk.plan, desk.parts)
    written = json.dumps([told, material], sort_keys=True)
    return hashlib.sha256(written.encode()).hexdigest()[:8]


def _figures(desk: _Desk, rows: Sequence[Row], done: Mapping[str, _Done], groups: np.ndarray | None) -> dict[str, Any]:
    study = desk.study
    statistics = study.experiment.statistics
    priced = {row.name: (row.cost(0.0), row.cost(1.0) - row.cost(0.0)) for row in rows if row.fit_cost is not None}
    figures: dict[str, Any] = {
        "name": study.experiment.name,
        "n": next(row.n for row in rows if row.ran),
        "n_groups": None if groups is None else len(set(groups)),
        "level": statistics.level,
        "significance": statistics.significance,
        "resamples": enough_resamples(statistics, len(done)),
        "family": sum(1 for _ in range(len(done) * (len(done) - 1) // 2)),
        "adapt": study.adapt.model_dump(),
        "timed": {name: one.read.n_timed for name, one in done.items()},
        "volumes": list(VOLUMES),
        "cost_at": {
            row.name: {str(volume): row.cost(volume) for volume in VOLUMES} for row in rows if row.name in priced
        },
        "break_evens": [asdict(crossing) for crossing in break_evens(priced)],
        "traded": study.traded,
        "train": [len(part.train) for part in desk.parts],
        "settings": study.to_dict(),
    }
    if desk.plan is not None and desk.window is not None:
        index = desk.plan.decided_at
        attempts = tried_around(
            ledger_folder(desk.cache), desk.window, elsewhere=study.experiment.statistics.trials_elsewhere
        )
        folds = [part.fold for part in desk.parts if isinstance(part, Part)]
        figures |= {
            "start": folds[0].test_start.isoformat(),
            "end": folds[-1].test_end.isoformat(),
            "n_bars": len(index),
            "bars_per_year": desk.plan.world.periods_per_year,
            "n_trials": len(attempts.trials),
            "trials": {name: one.trial for name, one in done.items()},
            "data": desk.plan.data.to_dict(),
        }
    return figures


def _save(found: Adaptation, judged: Mapping[str, pd.DataFrame], returns: Mapping[str, pd.Series | None]) -> None:
    table = pd.concat([frame.assign(reader=name) for name, frame in judged.items()], ignore_index=True)
    moved = {name: series for name, series in returns.items() if series is not None}
    with writing(found.folder) as draft:
        table.to_parquet(draft / "judged.parquet")
        if moved:
            pd.DataFrame(moved).to_parquet(draft / "returns.parquet")
        write_json(draft / NAME, as_document(found))
        write_page(render_page(found), draft / "report.html")
