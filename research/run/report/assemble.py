"""From a finished run to what its report shows: the only place that knows both.

Nothing is computed here that is not in the run's own artefacts; this is a translation into words, rows and panels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from embargo.backtest.leakage import Finding, not_tested
from embargo.backtest.significance import PermutationResult
from embargo.data_loaders.fields import CLASSES
from embargo.models.bases.vintages import Vintages
from embargo.research.pages import formats
from embargo.research.pages.formats import Unit
from embargo.research.records import figures
from embargo.research.records.classifier import Classification
from embargo.research.records.metrics import Metrics, TruthFigures
from embargo.research.run.report.asked import asked_table
from embargo.research.run.report.book import BookSources
from embargo.research.run.report.contents import DataPart, MetricRow, ReportData
from embargo.research.run.report.tables import chance_tables_of, name_of, regime_tables_of, tables_of, without_table

if TYPE_CHECKING:
    from embargo.research.run.data_verdict import DataVerdict
    from embargo.research.run.look_back import LookBack
    from embargo.research.run.measurement import Measured
    from embargo.research.run.plan import Plan
    from embargo.research.run.reading import Reading
    from embargo.research.run.trading import Trade
    from embargo.research.run.verdict import Verdict

_ROWS = (
    "total_return",
    "annual_return",
    "annual_volatility",
    "sharpe",
    "sortino",
    "calmar",
    "max_drawdown",
    "longest_drawdown_bars",
    "hit_rate",
)
_STRATEGY_ROWS = (
    "turnover",
    "exposure_gross",
    "exposure_net",
    "n_trades",
    "probabilistic_sharpe",
    "deflated_sharpe",
    "sharpe_p_value",
    "adjusted_p_value",
    "permutation_p_value",
)
_PRINTED: dict[figures.FigureUnit, Unit] = {
    "fraction": "percent",
    "fraction a year": "percent",
    "ratio": "ratio",
    "Sharpe ratio a year": "ratio",
    "times a year": "ratio",
    "probability": "probability",
    "p-value": "probability",
    "one less p": "probability",
    "bars": "count",
    "count": "count",
}


def headline_of(metrics: Metrics) -> list[tuple[str, str, str]]:
    """Return the figures a reader sees first, as (label, value, note) of ready texts."""
    interval = formats.interval((metrics.sharpe_low, metrics.sharpe_high))
    tried = metrics.n_trials + metrics.trials_elsewhere
    sharpe, total, fall, p_value, shuffled = figures.labels_of(
        Metrics, "sharpe", "total_return", "max_drawdown", "sharpe_p_value", "permutation_p_value"
    )
    tiles = [
        (sharpe, formats.ratio(metrics.sharpe), f"{metrics.level:.0%} interval {interval}"),
        (
            total,
            formats.percent(metrics.total_return),
            f"{formats.percent(metrics.annual_return)} a year, after costs",
        ),
        (
            fall,
            formats.percent(metrics.max_drawdown),
            f"longest {formats.count(metrics.longest_drawdown_bars)} bars",
        ),
        (p_value, formats.probability(metrics.sharpe_p_value), "block bootstrap"),
        (shuffled, formats.probability(metrics.permutation_p_value), "shuffled against dates"),
        (
            "p after attempts, one-sided",
            formats.probability(metrics.adjusted_p_value),
            f"of the Sharpe ratio, {tried} attempt{'s' if tried != 1 else ''}",
        ),
    ]
    truth = metrics.truth
    if truth is not None:
        reach = formats.interval((truth.perfect_sharpe_low, truth.perfect_sharpe_high))
        (perfect,) = figures.labels_of(TruthFigures, "perfect_sharpe")
        tiles.append(
            (
                perfect,
                formats.ratio(truth.perfect_sharpe),
                f"Sharpe of true sentiment, {reach}",
            )
        )
    return tiles


def assemble(
    plan: Plan,
    reading: Reading,
    result: Trade,
    measured: Measured,
    permutation: PermutationResult,
    findings: Sequence[Finding],
    verdict: Verdict,
    manifest: dict[str, Any],
    book: LookBack,
) -> ReportData:
    """Translate a finished run into a `ReportData`."""
    config, metrics = plan.config, measured.metrics
    judged = metrics.classification
    return ReportData(
        name=config.report.title or config.name,
        status=verdict.status,
        stamp=verdict.stamp,
        verdict_headline=verdict.headline,
        verdict_text=verdict.text,
        headline=headline_of(metrics),
        metrics=_metric_rows(metrics),
        tables=[*tables_of(metrics, measured.regimes), *([asked] if (asked := asked_table(reading.manifests)) else [])],
        equity=measured.equity,
        regimes=measured.regimes.reindex(measured.equity.index).rename(columns=name_of),
        regime_table=measured.regime_table.rename(columns={"n_bars": "bars"}).assign(
            definition=measured.regime_table["definition"].map(name_of)
        ),
        significance=config.statistics.significance,
        regime_tables=regime_tables_of(metrics),
        chance_tables=chance_tables_of(metrics),
        reliability=None if judged is None else _reliability(judged),
        confusion=None if judged is None else pd.DataFrame(judged.confusion, index=CLASSES, columns=CLASSES),
        classification=None if judged is None else _classification(judged),
        permutation=_permutation(permutation),
        folds=_folds(plan, reading),
        findings=[finding.to_dict() for finding in findings],
        not_tested=not_tested(finding.code for finding in findings),
        data=_data(plan.data, metrics),
        book=book,
        book_sources=BookSources(result.books.realised_weights, result.placed),
        level=metrics.level,
        counts=_counts(plan, result),
        config=config.to_dict(),
        manifest=manifest,
    )


def _data(data: DataVerdict, metrics: Metrics) -> DataPart:
    return DataPart(
        grade=data.grade,
        refused=not data.stands,
        stamp=data.stamp,
        summary=data.summary,
        checks=[
            {
                "code": check.code,
                "verdict": check.verdict,
                "summary": check.summary,
                "where": data.places.get(check.code, ""),
                "remedy": check.remedy,
                "accepted": data.accepted.get(check.code),
                "rows": check.rows,
            }
            for check in data.checks
        ],
        without=without_table(metrics),
    )


def _counts(plan: Plan, result: Trade) -> dict[str, dict[str, int]]:
    groups = {
        "News": plan.world.counts["news"],
        "Labels from returns": {"before_prices": early} if (early := plan.parts[0].counts.get("before_prices")) else {},
        "Scores of a file": plan.world.counts.get("scores", {}),
        "Prices": plan.world.counts["prices"],
        "Funding": plan.world.counts.get("funding", {}),
        "Articles on their way to a bar": result.counts["news"],
        "Bars by regime gate": result.counts["gate"],
        "Orders": result.counts["orders"],
    }
    return {name: counts for name, counts in groups.items() if counts}


def _metric_rows(metrics: Metrics) -> list[MetricRow]:
    benchmarks = {name.replace("_", " "): found for name, found in metrics.benchmarks.items() if name != "cash"}
    known = (
        None if metrics.sharpe_low is None or metrics.sharpe_high is None else (metrics.sharpe_low, metrics.sharpe_high)
    )
    meanings = figures.figures_of(Metrics)
    return [
        MetricRow(
            meanings[name].label,
            getattr(metrics, name),
            known if name == "sharpe" else None,
            {rival: getattr(found, name) for rival, found in benchmarks.items()} if name in _ROWS else {},
            _PRINTED[meanings[name].unit],
            meanings[name].definition,
        )
        for name in (*_ROWS, *_STRATEGY_ROWS)
    ]


def _reliability(judged: Classification) -> pd.DataFrame:
    tables = [
        pd.DataFrame([figures.values_of(row) for row in rows]).assign(stage=stage)
        for stage, rows in judged.reliability.items()
    ]
    return pd.concat(tables, ignore_index=True)


def _classification(judged: Classification) -> dict[str, Any]:
    def around(value: float | None, interval: figures.Interval | None) -> float | tuple[float, float, float] | None:
        return value if value is None or interval is None else (value, interval[0], interval[1])

    p_value = judged.confidence_test.p_value
    return {
        "articles": judged.n,
        "days": judged.n_groups,
        "accuracy": around(judged.accuracy, judged.accuracy_interval),
        "macro_f1": around(judged.macro_f1, judged.macro_f1_interval),
        "weighted_f1": around(judged.weighted_f1, judged.weighted_f1_interval),
        "matthews_correlation": around(judged.mcc, judged.mcc_interval),
        "mean_auc": around(judged.auc["macro"], judged.auc_interval["macro"]),
        "mean_confidence": judged.confidence,
        "confidence_equals_accuracy": None if p_value is None else f"{formats.p_value(p_value)}, two-sided",
        "ece": judged.ece,
        "brier": judged.brier,
        "log_loss": judged.log_loss,
        "majority_accuracy": judged.majority.accuracy,
        "majority_macro_f1": judged.majority.macro_f1,
        **{
            name: {
                "precision": judged.classes[name].precision,
                "recall": judged.classes[name].recall,
                "f1": judged.classes[name].f1,
                "f1_interval": formats.interval(judged.class_intervals[name].f1),
                "support": judged.classes[name].support,
            }
            for name in CLASSES
        },
    }


def _permutation(permutation: PermutationResult) -> dict[str, Any]:
    counts, edges = np.histogram(permutation.null, bins=40)
    return {
        "observed": permutation.observed,
        "counts": counts.tolist(),
        "edges": edges.tolist(),
        "p_value": permutation.p_value,
        "quantiles": {"0.95": float(np.quantile(permutation.null, 0.95))},
        "statistic": "Sharpe ratio a year",
        "permutations": permutation.n_permutations,
        "method": f"News shuffled against dates in blocks of {permutation.block} bar{'s' * (permutation.block != 1)}",
    }


def _folds(plan: Plan, reading: Reading) -> pd.DataFrame:
    rows = []
    for part, manifest in zip(plan.parts, reading.manifests, strict=True):
        fold, counts = part.fold, part.counts
        rows.append(
            {
                "fold": fold.index,
                **{
                    name: getattr(fold, name)
                    for name in ("train_start", "train_end", "validation_start", "validation_end")
                },
                "test_start": fold.test_start,
                "test_end": fold.test_end,
                "train_samples": len(part.train),
                "validation_samples": len(part.validation),
                "test_samples": part.n_test_articles,
                "purged": counts.get("purged_train", 0) + counts.get("purged_validation", 0),
                "embargoed": counts.get("embargoed_train", 0) + counts.get("embargoed_validation", 0),
                "epochs": len(manifest.get("epochs") or []),
                "temperature": manifest.get("temperature"),
                "macro_f1": manifest.get("validation_macro_f1"),
                **({"base": manifest["base"]} if isinstance(plan.base, Vintages) else {}),
                **({"runtime": "{name}: {why}".format(**chosen)} if (chosen := manifest.get("runtime")) else {}),
            }
        )
    return pd.DataFrame(rows)
