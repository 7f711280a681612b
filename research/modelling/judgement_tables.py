"""How the judgement of a model reads on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.table import Table

from embargo.data_loaders.schemas import CLASSES
from embargo.research.pages import formats
from embargo.research.progress import escaped

if TYPE_CHECKING:
    from rich.console import Console

    from embargo.backtest.significance import PairedBelief
    from embargo.models.evaluation.forgetting import Forgetting
    from embargo.research.modelling.judging import Judgement


def print_judgement(console: Console, judged: Judgement) -> None:
    """Print every table of a judgement, and the notes last, where they are seen."""
    report = judged.report
    console.print(
        f"[bold]{escaped(judged.name)}[/] on {report['n']:,} texts, {formats.percent(report['level'])} intervals",
        highlight=False,
    )
    console.print(_headline(judged))
    console.print(_classes(report))
    console.print(_confusion(report))
    console.print(_calibration(report))
    if judged.against is not None:
        console.print(_against(judged.against))
    if judged.belief is not None:
        console.print(_believed(judged.name, judged.belief), soft_wrap=True, highlight=False)
    if judged.robustness is not None:
        console.print(_robustness(judged.robustness.table))
    if judged.forgotten is not None:
        console.print(_forgotten(judged.forgotten))
        console.print(f"[dim]{escaped(judged.forgotten.note)}[/]", soft_wrap=True, highlight=False)
    for note in judged.notes:
        console.print(f"[yellow]{escaped(note)}[/]", soft_wrap=True, highlight=False)


def _headline(judged: Judgement) -> Table:
    report = judged.report
    table = _table("", "model", *judged.baselines)
    names = {"accuracy": "accuracy", "macro_f1": "macro-F1", "weighted_f1": "weighted F1"}
    for key, name in names.items():
        baselines = [_figure(figures[key]) for figures in judged.baselines.values()]
        table.add_row(name, _spread(report[key], report[f"{key}_interval"]), *baselines)
    for key in ("accuracy", "macro_f1"):
        ahead = [figures[f"{key}_ahead"] for figures in judged.baselines.values()]
        told = [
            f"{_spread(one['estimate'], (one['low'], one['high']))}, p {formats.probability(one['p_value'])}"
            for one in ahead
        ]
        table.add_row(f"  ahead in {names[key]} by", "", *told)
    table.add_row("Matthews", _spread(report["mcc"], report["mcc_interval"]))
    table.add_row("AUC, macro", _spread(report["auc"]["macro"], report["auc_interval"]["macro"]))
    return table


def _classes(report: Mapping[str, Any]) -> Table:
    table = _table("class", "precision", "recall", "F1", "AUC", "texts")
    for name in CLASSES:
        found, ends = report["classes"][name], report["class_intervals"][name]
        figures = [_spread(found[key], ends[key]) for key in ("precision", "recall", "f1")]
        area = _spread(report["auc"][name], report["auc_interval"][name])
        table.add_row(name, *figures, area, f"{found['support']:,}")
    return table


def _confusion(report: Mapping[str, Any]) -> Table:
    table = _table("true, read as", *CLASSES)
    for name, row in zip(CLASSES, report["confusion"], strict=True):
        table.add_row(name, *(f"{cell:,}" for cell in row))
    return table


def _calibration(report: Mapping[str, Any]) -> Table:
    before = report["before"]
    table = _table("calibration", "before", "after")
    for key, name in (("ece", "ECE"), ("adaptive_ece", "adaptive ECE"), ("brier", "Brier score")):
        table.add_row(name, *(_spread(one[key], one[f"{key}_interval"]) for one in (before, report)))
    tests = [one["confidence_test"] for one in (before, report)]
    told = [f"z {formats.ratio(test['z'])}, p {formats.probability(test['p_value'])}" for test in tests]
    table.add_row("is confidence the share right?", *told)
    return table


def _against(comparison: pd.DataFrame) -> Table:
    first, second = comparison["a"].iloc[0], comparison["b"].iloc[0]
    table = _table(f"{escaped(str(first))} less {escaped(str(second))}", "test", "difference", "p")
    for row in comparison.itertuples():
        ends = None if pd.isna(row.low) else (row.low, row.high)
        told = _spread(None if pd.isna(row.estimate) else row.estimate, ends)
        table.add_row(row.question, row.test, told, formats.probability(row.p_value))
    return table


def _believed(name: str, belief: PairedBelief) -> str:
    factor = formats.MISSING if belief.bayes_factor is None else f"{belief.bayes_factor:.3g}"
    return (
        f"Probability that {escaped(name)} truly has the lower log loss: {formats.probability(belief.positive)}; that "
        f"the two are within {belief.rope:g} nats: {formats.probability(belief.inside)}. Bayes factor of a difference: "
        f"{factor}."
    )


def _robustness(probed: pd.DataFrame) -> Table:
    table = _table("change of the text", "texts", "class changed", "mean shift")
    for row in probed.itertuples():
        name = f"{row.Index} (denial not understood)" if row.expects == "reversal" else str(row.Index)
        flips = (
            f"{formats.percent(row.flip_rate)} ({formats.percent(row.flip_low)} to {formats.percent(row.flip_high)})"
        )
        table.add_row(name, f"{row.n}", flips, _spread(row.mean_shift, (row.shift_low, row.shift_high)))
    return table


def _forgotten(found: Forgetting) -> Table:
    table = _table("general text", "before", "after", "forgotten")
    change = _spread(found.difference, (found.low, found.high))
    table.add_row(found.measure, _figure(found.before), _figure(found.after), change)
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left", overflow="fold")
    return table


def _figure(value: float | None) -> str:
    return formats.MISSING if value is None or pd.isna(value) else f"{value:.3f}"


def _spread(value: float | None, ends: Sequence[float] | None) -> str:
    return _figure(value) if ends is None else f"{_figure(value)} ({_figure(ends[0])} to {_figure(ends[1])})"
