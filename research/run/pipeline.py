"""The one place that knows the order of a run.

load → split → tune (one adapter per fold) → calibrate → score → align to bars → aggregate → weights → simulate →
metrics → significance → regimes → audit → report. Each stage is a plain function of its inputs and its own section of
the config.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.leakage import Finding
from embargo.backtest.metrics import sharpe
from embargo.data_loaders.schemas import Prices
from embargo.research.config.experiment import Config, Model
from embargo.research.progress import Quiet, Stages
from embargo.research.records import folders as runs
from embargo.research.records import ledger
from embargo.research.records.attempts import Attempts
from embargo.research.records.provenance import manifest_of
from embargo.research.run.audit import Trail, audit
from embargo.research.run.fusion import Fused
from embargo.research.run.measurement import Measured, estimate, measure
from embargo.research.run.preparation import prepare
from embargo.research.run.reading import Reading, built_in_base, read
from embargo.research.run.report import ReportData, write
from embargo.research.run.report.assemble import assemble, headline_of
from embargo.research.run.trading import (
    Trade,
    decide,
    fuse,
    perfect_scores,
    rules_of,
    shuffle_news,
    trade,
)
from embargo.research.run.verdict import Status, Verdict, conclude
from embargo.research.run.world import Plan, Samples, World, samples_hash


@dataclass(frozen=True)
class Outcome:
    """What a finished run hands back.

    Attributes
    ----------
    folder : Path
        The run's folder, complete.
    status : {'valid', 'caution', 'invalid'}
    metrics : dict
        As in ``metrics.json``.
    verdict : Verdict
    findings : list of Finding
    headline : list of (label, value, note)
        Ready texts for a terminal or a page.
    """

    folder: Path
    status: Status
    metrics: dict[str, Any]
    verdict: Verdict
    findings: list[Finding]
    headline: list[tuple[str, str, str]]


def execute(config: Config, *, out: Path, cache: Path, stages: Stages) -> Outcome:
    """Carry out one experiment and write its run folder.

    Parameters
    ----------
    config : Config
    out : Path
        Folder of runs; the run lands in ``out/<name>-<hash>`` whole or not at all, and in the ledger beside it.
    cache : Path
        Where base models, adapters and scores are kept by content.
    stages : Stages
        Shows progress.
    """
    plan = prepare(config, stages)
    world, parts, rows = plan.world, plan.parts, plan.rows
    settings, window, data = config.fingerprint(), window_of(world, rows), material_of(world, parts)
    identity = attempt_of(config, data)
    folder = out / f"{config.name}-{identity[:8]}"
    earlier = ledger.trials_on(out, window)
    attempts = Attempts(earlier, ledger.returns_of(out, earlier.values()))

    base = plan.base or built_in_base(config, world, parts[0].fold.train_end, cache, stages)
    reading = read(config, parts, base, cache, stages)

    if config.fusion.method != "none":
        stages.stage("Join news and market features")
    fused = fuse(config, world, parts, reading.scored)
    scored = _traded(plan, reading.scored)
    stages.stage("Trade through vectorbt" if config.execution.engine == "vectorbt" else "Trade through the kernel")
    result = trade(config, world, rows, scored, fused)
    returns = result.books.returns.to_numpy(dtype=float)
    # An attempt that never traded is an attempt all the same.
    trial = ledger.Trial(window, identity, config.name, sharpe(returns, periods_per_year=1.0) or 0.0, len(returns))
    attempts = attempts.joined(trial, returns)
    progress = stages.stage("Shuffle the news against the market")
    permutations = shuffle_news(config, world, rows, result, progress, fused)
    rivals = _rivals(config, plan, cache, stages)
    stages.stage("Measure, by regime and against chance")
    measured = measure(config, world, rows, rules_of(config), reading, result, permutations, attempts, rivals)
    measured = measured.having(**_truth(config, world, rows, scored))
    if fused is not None:
        measured = measured.having(fusion={"models": fused.manifest(), "counts": fused.counts})

    findings = audit(config, _trail(plan, reading, result, measured, fused), stages)
    verdict = conclude(measured.metrics, findings, significance=config.statistics.significance)
    measured = measured.having(status=verdict.status, edge=verdict.edge, verdict=verdict.headline)
    manifest = manifest_of(
        settings=settings,
        window=window,
        data=data,
        seed=config.seed,
        models=reading.manifests,
    )

    stages.stage("Write the report")
    report = assemble(plan, reading, result, measured, permutations["dates"], findings, verdict, manifest)
    _save(folder, plan, reading, result, measured, findings, manifest, report)
    ledger.record(out, trial, returns)
    return Outcome(folder, verdict.status, measured.metrics, verdict, findings, headline_of(measured.metrics))


def _rivals(config: Config, plan: Plan, cache: Path, stages: Stages) -> dict[str, pd.DataFrame]:
    """Weights of what a model has to beat: the same news read by a word list, traded by the same rules."""
    if config.model.kind == "lexicon":
        return {}
    stages.stage("Read the news by word list too")
    simple = config.model_copy(update={"model": Model(kind="lexicon", calibration=config.model.calibration)})
    scored = read(simple, plan.parts, None, cache, Quiet()).scored
    rules = rules_of(config)
    return {"lexicon": decide(plan.world, plan.rows, rules, _traded(plan, scored), plan.world.prices).weights}


def _traded(plan: Plan, scored: pd.DataFrame) -> pd.DataFrame:
    """Scored news of the test windows that are traded."""
    first = plan.parts[0 if plan.config.fusion.method == "none" else 1].fold.index
    return scored.loc[scored["fold"] >= first].reset_index(drop=True)


def material_of(world: World, parts: Sequence[Samples]) -> dict[str, str]:
    """Fingerprint what an experiment reads: news, prices and what was learnt from; 64 hex digits each."""
    return world.fingerprints() | {"samples": samples_hash(parts)}


def attempt_of(config: Config, material: dict[str, str]) -> str:
    """Fingerprint an attempt: the same settings on other news, or other labels, are another one; 64 hex digits."""
    return hashlib.sha256("".join([config.fingerprint(), *material.values()]).encode()).hexdigest()


def window_of(world: World, rows: slice) -> str:
    """Fingerprint of what is tested on: the bars and the prices, whatever was read or tried."""
    prices = world.prices.select(bars=np.arange(rows.start, rows.stop))
    digest = hashlib.sha256(",".join(prices.symbols).encode())
    digest.update(prices.open_at.as_unit("us").asi8.tobytes())
    for panel in (prices.open, prices.close):
        digest.update(np.ascontiguousarray(panel.to_numpy(dtype=float)).tobytes())
    return digest.hexdigest()


def _truth(config: Config, world: World, rows: slice, scored: pd.DataFrame) -> dict[str, Any]:
    """Trade the simulated market's own sentiment down the same path; nothing for real data."""
    known = perfect_scores(world, scored)
    if known is None or world.truth is None:
        return {}
    perfect = estimate(config, world, trade(config, world, rows, known).books.returns)
    truth = {
        "information_coefficient": world.truth.information_coefficient,
        "perfect_sharpe": perfect.sharpe,
        "perfect_sharpe_low": perfect.low,
        "perfect_sharpe_high": perfect.high,
    }
    return {"truth": truth}


def _trail(plan: Plan, reading: Reading, result: Trade, measured: Measured, fused: Fused | None) -> Trail:
    world, rows = plan.world, plan.rows
    rules = rules_of(plan.config)

    def weights_of(scored: pd.DataFrame, prices: Prices) -> pd.DataFrame:
        return decide(world, slice(0, rows.stop), rules, scored, prices, fused).weights

    return Trail(
        world=world,
        parts=plan.parts,
        manifests=reading.manifests,
        scored=result.placed,
        decide=weights_of,
        weights=result.decision.weights,
        asset_returns=result.asset_returns,
        orders=result.books.orders,
        rows=rows,
        n_trials=measured.metrics["n_trials"],
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
    }
    with runs.writing(folder) as draft:
        for name, table in tables.items():
            table.to_parquet(draft / f"{name}.parquet")
        (draft / "config.toml").write_text(plan.config.to_toml(), encoding="utf-8")
        runs.write_json(draft / "metrics.json", measured.metrics)
        runs.write_json(draft / "findings.json", [finding.to_dict() for finding in findings])
        runs.write_json(draft / "manifest.json", manifest)
        write(report, draft / "report.html")
