"""The tables of a report beside its regimes: whether they differ, how they follow each other, and times of stress.

Each is made of a run's ``metrics.json`` alone and holds ready texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from embargo.backtest.regimes import UNLABELLED
from embargo.backtest.significance import holm
from embargo.research.pages import formats
from embargo.research.pages.tables import ReportTable

_NAMES = {
    "turning_points": "turning points",
    "lunde_timmermann_ex_post": "Lunde-Timmermann, ex post",
    "pagan_sossounov_ex_post": "Pagan-Sossounov, ex post",
    "markov": "Markov switching",
    "markov_ex_post": "Markov switching, ex post",
    "labels_ex_post": "labels, ex post",
}


def name_of(definition: str) -> str:
    """Name a definition of regimes in words; the words "ex post" mark those that look back."""
    return _NAMES.get(definition, definition.replace("_", " "))


def regime_tables_of(metrics: Mapping[str, Any]) -> list[ReportTable]:
    """Return the tables that these metrics have something for, in the order in which they are read."""
    made = (_equality(metrics), _pairs(metrics), _reading(metrics), _transitions(metrics), _stress(metrics))
    return [table for table in made if table.rows]


def _equality(metrics: Mapping[str, Any]) -> ReportTable:
    tests: Mapping[str, Mapping[str, Any]] = metrics["regime_equality"]
    adjusted = holm([test["p_value"] for test in tests.values()])
    rows = tuple(
        (
            name_of(definition),
            ", ".join(test["regimes"]) or formats.MISSING,
            ", ".join(test["left_out"]) or "none",
            formats.ratio(test["statistic"]),
            formats.probability(test["p_value"]),
            formats.probability(corrected),
        )
        for (definition, test), corrected in zip(tests.items(), adjusted, strict=True)
    )
    note = (
        "Whether the Sharpe ratio is the same in all regimes of a definition; those with fewer than two regimes to "
        "judge are not tested. p is how often differences as large arise where there are none, from resampled pairs of "
        "return and label; p (Holm) allows for the number of definitions. A small p says that the strategy depends on "
        "the regime, not that it earns in any of them."
    )
    head = ("Is the Sharpe ratio equal?", "Regimes", "Left out", "Wald statistic", "p", "p (Holm)")
    return ReportTable("Sharpe ratio across regimes", note, head, rows)


def _pairs(metrics: Mapping[str, Any]) -> ReportTable:
    rows = tuple(
        (
            f"{name_of(definition)}: {pair['first']} less {pair['second']}",
            formats.ratio(pair["difference"]),
            formats.interval((pair["low"], pair["high"])),
            formats.probability(pair["p_value"]),
            formats.probability(pair["p_value_holm"]),
        )
        for definition, test in metrics["regime_equality"].items()
        for pair in test["pairs"]
    )
    note = (
        f"Differences of annual Sharpe ratios with {metrics['level']:.0%} intervals; p (Holm) allows for all the pairs "
        "of a definition."
    )
    head = ("Pair", "Difference", "Interval", "p", "p (Holm)")
    return ReportTable("Differences between regimes", note, head, rows)


def _reading(metrics: Mapping[str, Any]) -> ReportTable:
    rows = tuple(
        (
            f"{name_of(definition)}: {regime}",
            formats.count(cell["n"]),
            formats.percent(cell["accuracy"]),
            formats.interval(cell["accuracy_interval"], "percent"),
            formats.ratio(cell["macro_f1"]),
            formats.interval(cell["macro_f1_interval"]),
        )
        for definition, cells in metrics["regime_classification"].items()
        for regime, cell in cells.items()
        if regime != UNLABELLED
    )
    note = "How well the articles were read in each regime, that of the bar an article first reached."
    head = ("Reading by regime", "Articles", "Accuracy", "Interval", "Macro F1", "Interval")
    return ReportTable("Reading by regime", note, head, rows)


def _transitions(metrics: Mapping[str, Any]) -> ReportTable:
    cells: Mapping[str, Mapping[str, Any]] = metrics["regimes"]
    rows: list[tuple[str, ...]] = []
    for definition, moves in metrics["regime_transitions"].items():
        for regime in dict.fromkeys(move["source"] for move in moves):
            if regime == UNLABELLED:
                continue
            cell = cells[definition][regime]
            rows.append(
                (
                    f"{name_of(definition)}: {regime}",
                    formats.count(cell["n_spells"]),
                    formats.number(round(cell["mean_spell_bars"], 1)),
                    _next(moves, regime),
                )
            )
    note = "How long a regime lasts, in bars, and what follows the bar after: chances from the counts in brackets."
    head = ("Regime", "Spells", "Mean length", "Next bar")
    return ReportTable("How regimes follow each other", note, head, tuple(rows))


def _next(moves: Sequence[Mapping[str, Any]], source: str) -> str:
    texts = [
        f"{move['target']} {formats.percent(move['probability'])} ({formats.count(move['count'])})"
        for move in moves
        if move["source"] == source and move["count"]
    ]
    return ", ".join(texts) or formats.MISSING


def _stress(metrics: Mapping[str, Any]) -> ReportTable:
    rows = tuple(
        (
            f"{row['window']} ({row['market']})",
            f"{row['first']} to {row['last']}" + ("" if row["covered"] >= 1.0 else f", {row['covered']:.0%} covered"),
            formats.count(row["n_bars"]),
            formats.percent(row["total_return"]),
            formats.percent(row["max_drawdown"]),
            formats.percent(row["worst_bar"]),
            formats.percent(row["market_return"]),
            row["fact"],
        )
        for row in metrics["stress"]
    )
    note = (
        "What the strategy made in stretches that were named with hindsight. Each is one event: too few bars for any "
        "test. The market is the equal-weighted universe of this run."
    )
    head = ("Stress", "Days", "Bars", "Strategy", "Max drawdown", "Worst bar", "Market", "What happened")
    return ReportTable("Times of stress", note, head, rows)
