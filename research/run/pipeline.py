"""The one place that knows the order of a run.

load → split → tune (one adapter per fold) → calibrate → score → align to bars → aggregate → weights → simulate →
metrics → significance → regimes → audit → report. Each stage is a plain function of its inputs and its own section of
the config.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.leakage import Finding
from embargo.backtest.metrics import sharpe
from embargo.data_loaders.archive.files import fingerprint, tables_of
from embargo.data_loaders.schemas import Prices
from embargo.data_loaders.threads import one_thread
from embargo.research.cache import ledger_folder
from embargo.research.config.experiment import Config
from embargo.research.config.model import ModelSection, told_in
from embargo.research.engine.keepers import Engine
from embargo.research.pages.page import write_page
from embargo.research.pages.status import Status
from embargo.research.progress import Lean, Quiet, Stages
from embargo.research.records import ledger
from embargo.research.records.attempts import Attempts, remarks, tried_around
from embargo.research.records.data_faults import DataFault
from embargo.research.records.folders import seal, write_json, writing
from embargo.research.records.metrics import FusionFigures, Metrics, TruthFigures
from embargo.research.records.provenance import manifest_of
from embargo.research.records.seals import keep_seal
from embargo.research.records.windows import TradedWindow, window_on
from embargo.research.run.asking import foreseen, spent, took
from embargo.research.run.audit import Trail, audit
from embargo.research.run.chance import shuffle_news
from embargo.research.run.cutoff import Rival, either_side
from embargo.research.run.data_verdict import DataVerdict
from embargo.research.run.given_scores import scores_told
from embargo.research.run.kept import Kept
from embargo.research.run.kept_books import KeptBooks
from embargo.research.run.look_back import look_back
from embargo.research.run.measurement import Measured, estimate, measure
from embargo.research.run.memory import Memory
from embargo.research.run.own_loaders import own_code
from embargo.research.run.perturbation import Carried, perturb_once
from embargo.research.run.plan import Plan, traded_news
from embargo.research.run.preparation import prepare
from embargo.research.run.reading import Reading, read, with_base
from embargo.research.run.report import ReportData, render_page
from embargo.research.run.report.assemble import assemble, headline_of
from embargo.research.run.samples import Samples, cautions, samples_hash
from embargo.research.run.trading import Trade, decide, fuse, perfect_scores, trade
from embargo.research.run.verdict import Verdict, conclude, idle_windows
from embargo.research.run.without import without_marked


@dataclass(frozen=True)
class Outcome:
    """What a finished run hands back.

    Attributes
    ----------
    folder : Path
        The run's folder, complete.
    status : {'valid', 'caution', 'invalid'}
    metrics : Metrics
    verdict : Verdict
    findings : list of Finding
    headline : list of (label, value, note)
        Ready texts for a terminal or a page.
    data : DataVerdict
        What the news and prices are worth.

    Examples
    --------
    >>> from dataclasses import fields
    >>> from embargo.research.run import Outcome
    >>> [each.name for each in fields(Outcome)]
    ['folder', 'status', 'metrics', 'verdict', 'findings', 'headline', 'data']
    """

    folder: Path
    status: Status
    metrics: Metrics
    verdict: Verdict
    findings: list[Finding]
    headline: list[tuple[str, str, str]]
    data: DataVerdict


@one_thread()
def execute(config: Config, *, out: Path, cache: Path, stages: Stages, engine: Engine | None = None) -> Outcome:
    """Carry out one experiment and write its run folder.

    Parameters
    ----------
    config : Config
    out : Path
        Folder of runs; the run lands in ``out/<name>-<hash>`` whole or not at all.
    cache : Path
        Where base models, adapters and scores are kept by content, and, unless ``$EMBARGO_LEDGER`` names another place,
        the ledger of attempts.
    stages : Stages
        Shows progress.
    engine : Engine, optional
        Where folds are tuned, news is scored and chance is tried; by default here. It moves no figure.

    Returns
    -------
    Outcome
        Also of a run whose audit found a leak: its status is then ``invalid``.

    Raises
    ------
    EmbargoError
        Whatever is wrong with the config or its data is raised before anything is trained.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from embargo.research import Quiet, execute, load_config
    >>> config = load_config(files("embargo.research.examples") / "small.toml")
    >>> with TemporaryDirectory() as folder:
    ...     outcome = execute(config, out=Path(folder) / "runs", cache=Path(folder) / "cache", stages=Quiet())
    >>> outcome.status, outcome.verdict.headline
    ('valid', 'An edge is not shown: chance could have made this result.')
    >>> outcome.metrics.n_bars, round(outcome.metrics.sharpe, 2)
    (128, 0.1)
    >>> outcome.headline[0]
    ('Sharpe ratio', '0.10', '95% interval −2.88 to 2.60')
    """
    kept = Kept(cache / "computed")
    stages = Lean(stages)
    plan = prepare(config, stages, None, kept)
    window, data = window_of(plan), material_of(plan, plan.parts)
    identity = attempt_of(config, data)
    place = ledger_folder(cache)
    # A ledger that cannot be read or written is told before hours of work.
    tried_around(place, window)
    ledger.refuse_unwritable(place, window)

    plan = with_base(plan, plan.parts[0].fold.train_end, cache, stages)
    for told in foreseen(plan):
        stages.say(told)
    before = spent(config, cache)
    memory = Memory()
    reading = read(plan, plan.parts, cache, stages, memory, engine)

    if config.fusion.method != "none":
        stages.stage("Join news and market features")
    fused = fuse(plan, reading.scored, memory.fusions)
    scored = traded_news(plan, reading.scored)
    stages.stage("Trade through vectorbt" if config.execution.engine == "vectorbt" else "Trade through the kernel")
    shelf = KeptBooks(cache / "books")
    result = trade(plan, scored, fused, shelf)
    returns = result.books.returns.to_numpy(dtype=float)
    # An attempt that never traded is an attempt all the same.
    trial = ledger.Trial(
        window.identity,
        identity,
        config.name,
        sharpe(returns, periods_per_year=1.0) or 0.0,
        len(returns),
        series=series_of(config),
        kin=kin_of(config, data),
        tuning=tuning_of(config),
    )
    # Written down before it is judged, so that of runs side by side the later knows the earlier; and a run that is
    # killed from here on was an attempt all the same.
    ledger.record(place, window, trial, returns)
    attempts = tried_around(place, window, elsewhere=config.statistics.trials_elsewhere).joined(trial, returns)
    shuffling = stages.stage("Shuffle the news against the market")
    permutations = shuffle_news(plan, result, shuffling, fused, engine=engine, kept=kept)
    rival = _rival(plan, cache, stages)
    stages.stage("Measure, by regime and against chance")
    rivals = {} if rival is None else {"lexicon": rival.weights}
    measured = measure(plan, reading, result, permutations, attempts, rivals, kept)
    metrics = replace(
        measured.metrics,
        truth=_truth(plan, scored, shelf),
        either_side=either_side(plan, reading.manifests, result),
        fusion=None if fused is None else FusionFigures(models=tuple(fused.manifest()), counts=fused.counts),
        **_data_figures(plan, result),
    )

    first = Carried(plan, reading, result, fused)
    repeat = partial(perturb_once, first, memory, cache, seed=config.seed)
    findings = audit(_trail(first, rival, attempts, measured, repeat, kept), stages)
    verdict = conclude(metrics, findings, significance=config.statistics.significance, bad_data=plan.data.refused)
    held = result.books.realised_weights.to_numpy(dtype=float)
    said = idle_windows(held, plan.decided_at, [part.fold for part in plan.parts])
    said += [*scores_told(plan.world, plan.parts), *cautions(plan.world, plan.parts), *remarks(attempts)]
    said += ledger.earlier_attempts(out, declared=attempts.elsewhere)
    said += took(config, [each["asked"] for each in reading.manifests if "asked" in each], before, cache)
    verdict = replace(verdict, text=" ".join([verdict.text, *said]))
    measured = replace(
        measured,
        metrics=replace(metrics, status=verdict.status, edge=verdict.edge, verdict=verdict.headline),
    )
    manifest = manifest_of(
        settings=config.fingerprint(),
        window=window.identity,
        data=data,
        seed=config.seed,
        models=reading.manifests,
        attempts={
            "ledger": metrics.n_trials,
            "partly_overlapping": metrics.n_partial,
            "elsewhere": metrics.trials_elsewhere,
        },
    )
    if own := own_code(config):
        manifest["code"] = {name: code.to_dict() for name, code in own.items()}
    if (scores := plan.world.counts.get("scores")) is not None:
        manifest["scores"] = scores
    if config.data.accept:
        manifest["accepted_data"] = dict(config.data.accept)

    stages.stage("Write the report")
    book = look_back(plan, result)
    report = assemble(plan, reading, result, measured, permutations["dates"], findings, verdict, manifest, book)
    folder = out / trial.run
    _save(folder, plan, reading, result, measured, findings, manifest, report)
    headline = headline_of(measured.metrics)
    return Outcome(folder, verdict.status, measured.metrics, verdict, findings, headline, plan.data)


def _data_figures(plan: Plan, result: Trade) -> dict[str, Any]:
    """Say what the data are worth and how much of the result hangs on the bars at fault, as fields of `Metrics`."""
    by_check, without_bad = without_marked(plan, result)
    accepted = plan.data.accepted
    return {
        "data_verdict": plan.data.grade,
        "data_faults": {
            check.code: DataFault(
                verdict=check.verdict,
                summary=check.summary,
                accepted=accepted.get(check.code),
                without=by_check.get(check.code),
            )
            for check in plan.data.noticed
        },
        "without_bad_bars": without_bad,
    }


def _rival(plan: Plan, cache: Path, stages: Stages) -> Rival | None:
    """Return what a model has to beat: the same news read by a word list, traded by the same rules."""
    model = plan.config.model
    if model.kind == "lexicon":
        return None
    stages.stage("Read the news by word list too")
    lexicon = ModelSection(kind="lexicon", calibration=model.calibration)
    simple = replace(plan, config=plan.config.model_copy(update={"model": lexicon}), base=None)
    scored = traded_news(simple, read(simple, simple.parts, cache, Quiet()).scored)
    return Rival((scored["bullish"] - scored["bearish"]).to_numpy(dtype=float), decide(simple, scored).weights)


def material_of(plan: Plan, samples: Sequence[Samples]) -> dict[str, str]:
    """Fingerprint what an experiment reads: news, prices, what it learnt from and code of one's own; 64 hex digits."""
    own = {f"code of {name}": code.sha256 for name, code in own_code(plan.config).items()}
    return plan.world.fingerprints() | {"samples": samples_hash(samples)} | own


def attempt_of(config: Config, material: dict[str, str]) -> str:
    """Fingerprint an attempt: the same settings on other news, or other labels, are another one; 64 hex digits.

    What is said of attempts made elsewhere makes no other one.
    """
    statistics = config.statistics.model_copy(update={"trials_elsewhere": None})
    alone = config.model_copy(update={"statistics": statistics})
    return hashlib.sha256("".join([alone.fingerprint(), *material.values()]).encode()).hexdigest()


def series_of(config: Config) -> str:
    """Fingerprint an experiment that may be repeated as new bars come in: everything but where its data end."""
    statistics = config.statistics.model_copy(update={"trials_elsewhere": None})
    split = config.split.model_copy(update={"end": None})
    return config.model_copy(update={"statistics": statistics, "split": split, "as_of": None}).fingerprint()


# What is tuned rather than asked: whole sections, or keys of them.
_TUNED: dict[str, tuple[str, ...] | None] = {
    "signal": None,
    "portfolio": None,
    "fusion": None,
    "regimes": None,
    "labels": ("horizon_bars", "neutral_share", "score_threshold", "validation_share"),
    "model": (
        "rank", "alpha", "dropout", "learning_rate", "epochs", "batch_size", "patience", "weight_decay", "max_length",
        "class_weights", "optimizer", "calibration", "max_train",
    ),
    "split": ("validation_span", "train_span", "embargo", "end"),
}  # fmt: skip
_NOT_ASKED = (
    "name",
    "seed",
    "as_of",
    "report",
    "data",
    "statistics",
    "leakage",
    *(k for k, v in _TUNED.items() if not v),
)


def kin_of(config: Config, material: dict[str, str]) -> str:
    """Fingerprint what attempts have in common that differ in tuning alone: the news, and every other setting."""
    settings = {key: value for key, value in config.to_dict().items() if key not in _NOT_ASKED}
    for section, keys in _TUNED.items():
        for key in keys or ():
            settings[section].pop(key, None)
    for section in ("news", "prices", "labels"):
        settings[section].pop("path", None)
    for scores in told_in(settings["model"], "scores", "path"):
        scores["path"] = fingerprint(tables_of(scores["path"]))
    return hashlib.sha256(json.dumps([settings, material["news"]], sort_keys=True).encode()).hexdigest()


def tuning_of(config: Config) -> str:
    """Write the tuned settings that are not at their default, such as ``signal.threshold=0.6``."""
    told = config.model_dump(mode="json", exclude_defaults=True)
    return ", ".join(
        f"{section}.{key}={value}"
        for section, keys in _TUNED.items()
        for key, value in sorted((told.get(section) or {}).items())
        if keys is None or key in keys
    )


def window_of(plan: Plan) -> TradedWindow:
    """Describe what is tested on: the bars and the prices, whatever was read or tried."""
    prices = plan.world.prices.select(bars=np.arange(plan.rows.start, plan.rows.stop))
    return window_on(prices, plan.config.prices.bar)


def _truth(plan: Plan, scored: pd.DataFrame, shelf: KeptBooks) -> TruthFigures | None:
    """Trade the simulated market's own sentiment down the same path; nothing for real data."""
    truth, known = plan.world.truth, perfect_scores(plan.world, scored)
    if known is None or truth is None:
        return None
    perfect = estimate(plan, trade(plan, known, None, shelf).books.returns)
    return TruthFigures(
        information_coefficient=truth.information_coefficient,
        perfect_sharpe=perfect.sharpe,
        perfect_sharpe_low=perfect.low,
        perfect_sharpe_high=perfect.high,
    )


def _trail(
    run: Carried,
    rival: Rival | None,
    attempts: Attempts,
    measured: Measured,
    repeat: Callable[[], Finding],
    kept: Kept,
) -> Trail:
    plan, reading, result, fused = run.plan, run.reading, run.result, run.fused
    until_end = replace(plan, rows=slice(0, plan.rows.stop))

    def weights_of(scored: pd.DataFrame, prices: Prices) -> pd.DataFrame:
        attacked = replace(until_end, world=replace(plan.world, prices=prices))
        return decide(attacked, scored, fused).weights

    def weights_funded(funding: pd.DataFrame) -> pd.DataFrame:
        charged = replace(until_end, world=replace(plan.world, funding=funding))
        return decide(charged, result.placed, fused).weights

    return Trail(
        plan=plan,
        manifests=reading.manifests,
        judged=reading.judged,
        fitted_on=reading.fitted_on,
        answers=reading.answers,
        prompts=reading.prompts,
        orders=reading.orders,
        scored=result.placed,
        decide=weights_of,
        decide_funded=weights_funded,
        weights=result.decision.weights,
        asset_returns=result.asset_returns,
        books=result.books,
        attempts=attempts,
        p_value=measured.metrics.sharpe_p_value,
        adjusted_p_value=measured.metrics.adjusted_p_value,
        rival=rival,
        growth=measured.equity,
        regimes=measured.regimes,
        repeat=repeat,
        kept=kept,
    )


def _save(
    folder: Path,
    plan: Plan,
    reading: Reading,
    result: Trade,
    measured: Measured,
    findings: list[Finding],
    manifest: dict[str, Any],
    report: ReportData,
) -> None:
    books = result.books
    account = pd.DataFrame({"net_return": books.returns, "equity": books.equity, "turnover": books.turnover})
    tables = {
        "articles": result.placed.drop(columns="text"),
        "classification": reading.judged,
        "signal": result.decision.signal,
        "weights": result.decision.weights,
        "realised_weights": books.realised_weights,
        "account": account,
        "orders": books.orders,
        "growth": measured.equity,
        "regimes": measured.regimes,
        "fitted_on": reading.fitted_on,
        **({} if report.book is None else report.book.tables()),
    }
    if len(reading.prompts):
        tables["prompts"] = reading.prompts
    with writing(folder) as draft:
        for name, table in tables.items():
            table.to_parquet(draft / f"{name}.parquet")
        (draft / "config.toml").write_text(plan.config.to_toml(), encoding="utf-8")
        write_json(draft / "metrics.json", measured.metrics.to_dict())
        write_json(draft / "findings.json", [finding.to_dict() for finding in findings])
        write_json(draft / "data_checks.json", plan.data.to_dict())
        write_page(render_page(report), draft / "report.html")
        # Before the folder is in its place, so that there is never a run whose seal is not known beside it.
        keep_seal(folder.parent, folder.name, seal(draft, manifest))
