"""From a finished run to what its report shows: the only place that knows both.

Nothing is computed here that is not in the run's own artefacts; this is a translation into words, rows and panels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from embargo.backtest.leakage import Finding
from embargo.backtest.significance import PermutationResult
from embargo.data_loaders.schemas import CLASSES
from embargo.research.pages import formats
from embargo.research.pages.formats import Unit
from embargo.research.run.report.contents import MetricRow, ReportData
from embargo.research.run.report.regime_tables import name_of, regime_tables_of
from embargo.research.run.report.tables import chance_tables_of, tables_of

if TYPE_CHECKING:
    from embargo.research.run.measurement import Measured
    from embargo.research.run.reading import Reading
    from embargo.research.run.trading import Trade
    from embargo.research.run.verdict import Verdict
    from embargo.research.run.world import Plan

_ROWS: tuple[tuple[str, str, Unit, str], ...] = (
    ("total_return", "Total return", "percent", "Growth of the account over the test bars, after costs."),
    ("annual_return", "Annual return", "percent", "Geometric mean return per year, after costs."),
    ("annual_volatility", "Annual volatility", "percent", "Standard deviation of bar returns, per year."),
    (
        "sharpe",
        "Sharpe ratio",
        "ratio",
        "Mean over standard deviation of bar returns, per year; no risk-free rate taken off.",
    ),
    ("sortino", "Sortino ratio", "ratio", "Mean return over downside deviation below zero, per year."),
    ("calmar", "Calmar ratio", "ratio", "Annual return over the depth of the worst drawdown."),
    ("max_drawdown", "Maximum drawdown", "percent", "Worst fall of the account from an earlier peak."),
    ("longest_drawdown_bars", "Longest drawdown", "count", "Bars from a peak until it was reached again, or the end."),
    ("hit_rate", "Hit rate", "percent", "Share of bars with a return above zero, among bars with a return."),
)
_STRATEGY_ROWS: tuple[tuple[str, str, Unit, str], ...] = (
    ("turnover", "Turnover", "ratio", "Times the account is turned over in a year, one way."),
    ("exposure_gross", "Gross exposure", "percent", "Mean of the absolute weights held."),
    ("exposure_net", "Net exposure", "percent", "Mean of the signed weights held."),
    ("n_trades", "Fills", "count", "Orders filled in the test bars."),
    (
        "probabilistic_sharpe",
        "Probabilistic Sharpe ratio",
        "probability",
        "Probability that the true Sharpe ratio is above 0.",
    ),
    (
        "deflated_sharpe",
        "Deflated Sharpe ratio",
        "probability",
        "The same, after the number of attempts on this window.",
    ),
    (
        "sharpe_p_value",
        "Sharpe p-value",
        "probability",
        "Bootstrap probability of a Sharpe ratio this high if the true one were 0.",
    ),
    (
        "permutation_p_value",
        "Permutation p-value",
        "probability",
        "Share of news shuffled against dates that does as well.",
    ),
)


def headline_of(metrics: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the figures a reader sees first, as (label, value, note) of ready texts."""
    interval = formats.interval((metrics["sharpe_low"], metrics["sharpe_high"]))
    tiles = [
        ("Sharpe ratio", formats.ratio(metrics["sharpe"]), f"{metrics['level']:.0%} interval {interval}"),
        (
            "Total return",
            formats.percent(metrics["total_return"]),
            f"{formats.percent(metrics['annual_return'])} a year, after costs",
        ),
        (
            "Maximum drawdown",
            formats.percent(metrics["max_drawdown"]),
            f"longest {formats.count(metrics['longest_drawdown_bars'])} bars",
        ),
        ("Sharpe p-value", formats.probability(metrics["sharpe_p_value"]), "stationary bootstrap, one-sided"),
        ("Permutation p-value", formats.probability(metrics["permutation_p_value"]), "news shuffled against dates"),
        (
            "Deflated Sharpe",
            formats.probability(metrics["deflated_sharpe"]),
            f"probability of skill after {metrics['n_trials']} attempt{'s' if metrics['n_trials'] != 1 else ''}",
        ),
    ]
    truth = metrics.get("truth")
    if truth:
        reach = formats.interval((truth["perfect_sharpe_low"], truth["perfect_sharpe_high"]))
        tiles.append(("Perfect reader", formats.ratio(truth["perfect_sharpe"]), f"Sharpe of true sentiment, {reach}"))
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
) -> ReportData:
    """Translate a finished run into a `ReportData`."""
    config, metrics = plan.config, measured.metrics
    judged = metrics["classification"]
    return ReportData(
        name=config.report.title or config.name,
        status=verdict.status,
        stamp=verdict.stamp,
        verdict_headline=verdict.headline,
        verdict_text=verdict.text,
        headline=headline_of(metrics),
        metrics=_metric_rows(metrics),
        tables=tables_of(metrics),
        equity=measured.equity,
        regimes=measured.regimes.reindex(measured.equity.index).rename(columns=name_of),
        regime_table=measured.regime_table.rename(columns={"n_bars": "bars"}).assign(
            definition=measured.regime_table["definition"].map(name_of)
        ),
        significance=config.statistics.significance,
        regime_tables=regime_tables_of(metrics),
        chance_tables=chance_tables_of(metrics),
        reliability=None if judged is None else _reliability(judged),
        confusion=None if judged is None else pd.DataFrame(judged["confusion"], index=CLASSES, columns=CLASSES),
        classification=None if judged is None else _classification(judged),
        permutation=_permutation(permutation),
        folds=_folds(plan, reading),
        findings=[finding.to_dict() for finding in findings],
        counts=_counts(plan, result),
        config=config.to_dict(),
        manifest=manifest,
    )


def _counts(plan: Plan, result: Trade) -> dict[str, dict[str, int]]:
    groups = {
        "News": plan.world.counts["news"],
        "Prices": plan.world.counts["prices"],
        "Funding": plan.world.counts.get("funding", {}),
        "Articles on their way to a bar": result.counts["news"],
        "Bars by regime gate": result.counts["gate"],
        "Orders": result.counts["orders"],
    }
    return {name: counts for name, counts in groups.items() if counts}


def _metric_rows(metrics: dict[str, Any]) -> list[MetricRow]:
    benchmarks = {
        str(name).replace("_", " "): values for name, values in metrics["benchmarks"].items() if name != "cash"
    }
    interval = None if metrics["sharpe_low"] is None else (metrics["sharpe_low"], metrics["sharpe_high"])
    rows = [
        MetricRow(
            label,
            metrics[key],
            interval if key == "sharpe" else None,
            {name: values[key] for name, values in benchmarks.items()},
            unit,
            definition,
        )
        for key, label, unit, definition in _ROWS
    ]
    return rows + [MetricRow(label, metrics[key], None, {}, unit, text) for key, label, unit, text in _STRATEGY_ROWS]


def _reliability(judged: dict[str, Any]) -> pd.DataFrame:
    tables = [pd.DataFrame(rows).assign(stage=stage) for stage, rows in judged["reliability"].items()]
    return pd.concat(tables, ignore_index=True)


def _classification(judged: dict[str, Any]) -> dict[str, Any]:
    def around(value: float | None, interval: Sequence[float] | None) -> float | tuple[float, float, float] | None:
        return value if value is None or interval is None else (value, interval[0], interval[1])

    majority, p_value = judged["majority"], judged["confidence_test"]["p_value"]
    return {
        "articles": judged["n"],
        "days": judged["n_groups"],
        **{name: around(judged[name], judged[f"{name}_interval"]) for name in ("accuracy", "macro_f1", "weighted_f1")},
        "matthews_correlation": around(judged["mcc"], judged["mcc_interval"]),
        "mean_auc": around(judged["auc"]["macro"], judged["auc_interval"]["macro"]),
        "mean_confidence": judged["confidence"],
        "confidence_equals_accuracy": None if p_value is None else f"p = {formats.probability(p_value)}",
        **{name: judged[name] for name in ("ece", "brier", "log_loss")},
        "majority_accuracy": majority["accuracy"],
        "majority_macro_f1": majority["macro_f1"],
        **{
            name: {
                **{figure: judged["classes"][name][figure] for figure in ("precision", "recall", "f1")},
                "f1_interval": formats.interval(judged["class_intervals"][name]["f1"]),
                "support": judged["classes"][name]["support"],
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
            }
        )
    return pd.DataFrame(rows)
