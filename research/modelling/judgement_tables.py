"""How the judgement of a model reads on a terminal: its figures with their intervals, beside what they must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.text import Text

from embargo.data_loaders.fields import CLASSES
from embargo.research.pages import formats
from embargo.research.pages.tables import rows_of, terminal_table

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from embargo.backtest.significance import PairedBelief
    from embargo.models.evaluation.bias import Bias
    from embargo.models.evaluation.forgetting import Forgetting
    from embargo.research.modelling.judging import ModelJudgement


class _Answer(NamedTuple):
    """A row of `embargo.models.evaluation.comparison.compare_classifiers`."""

    question: str
    test: str
    estimate: float | None
    low: float | None
    high: float | None
    p_value: float | None


class _Swapped(NamedTuple):
    """A row of `embargo.models.evaluation.bias.Bias`."""

    attribute: str
    group: str
    reference: str
    n: int
    difference: float
    low: float
    high: float
    effect: float
    class_changed: float
    p_value: float
    p_value_holm: float


class _Probed(NamedTuple):
    """A row of `embargo.models.evaluation.robustness.Robustness`."""

    change: str
    expects: str
    n: int
    flip_rate: float
    flip_low: float
    flip_high: float
    mean_shift: float
    shift_low: float
    shift_high: float


def print_judgement(console: Console, judged: ModelJudgement) -> None:
    """Print every table of a judgement, and the notes last, where they are seen; text from outside is never markup."""
    report = judged.report
    size = f" on {report['n']:,} texts, {formats.percent(report['level'])} intervals"
    console.print(Text.assemble((judged.name, "bold"), size))
    console.print(_headline(judged))
    console.print(_classes(report))
    console.print(_confusion(report))
    console.print(_calibration(report))
    if judged.against is not None:
        console.print(_against(judged.against))
    if judged.belief is not None:
        console.print(Text(_believed(judged.name, judged.belief)), soft_wrap=True)
    if judged.robustness is not None:
        console.print(_robustness(judged.robustness.table))
    if judged.forgotten is not None:
        console.print(_forgotten(judged.forgotten))
        console.print(Text(judged.forgotten.note, style="dim"), soft_wrap=True)
    if judged.bias is not None:
        if judged.bias.untold:
            console.print(Text(_untold(judged.bias)), soft_wrap=True)
        else:
            console.print(_bias(judged.bias))
    for note in judged.notes:
        console.print(Text(note, style="yellow"), soft_wrap=True)


def _headline(judged: ModelJudgement) -> Table:
    report = judged.report
    table = terminal_table([""], ["model", *judged.baselines])
    names = {"accuracy": "accuracy", "macro_f1": "macro-F1", "weighted_f1": "weighted F1"}
    for key, name in names.items():
        baselines = [formats.coefficient(figures[key]) for figures in judged.baselines.values()]
        table.add_row(name, _spread(report[key], report[f"{key}_interval"]), *baselines)
    for key in ("accuracy", "macro_f1"):
        ahead = [figures[f"{key}_ahead"] for figures in judged.baselines.values()]
        told = [
            f"{_spread(one['estimate'], (one['low'], one['high']))}, two-sided p {formats.probability(one['p_value'])}"
            for one in ahead
        ]
        table.add_row(f"  ahead in {names[key]} by", "", *told)
    table.add_row("Matthews", _spread(report["mcc"], report["mcc_interval"]))
    table.add_row("AUC, macro", _spread(report["auc"]["macro"], report["auc_interval"]["macro"]))
    return table


def _classes(report: Mapping[str, Any]) -> Table:
    table = terminal_table(["class"], ["precision", "recall", "F1", "AUC", "texts"])
    for name in CLASSES:
        found, ends = report["classes"][name], report["class_intervals"][name]
        figures = [_spread(found[key], ends[key]) for key in ("precision", "recall", "f1")]
        area = _spread(report["auc"][name], report["auc_interval"][name])
        table.add_row(name, *figures, area, f"{found['support']:,}")
    return table


def _confusion(report: Mapping[str, Any]) -> Table:
    table = terminal_table(["true, read as"], CLASSES)
    for name, row in zip(CLASSES, report["confusion"], strict=True):
        table.add_row(name, *(f"{cell:,}" for cell in row))
    return table


def _calibration(report: Mapping[str, Any]) -> Table:
    before = report["before"]
    table = terminal_table(["calibration"], ["before", "after"])
    for key, name in (("ece", "ECE"), ("adaptive_ece", "adaptive ECE"), ("brier", "Brier score")):
        table.add_row(name, *(_spread(one[key], one[f"{key}_interval"]) for one in (before, report)))
    tests = [one["confidence_test"] for one in (before, report)]
    told = [f"z {formats.ratio(test['z'])}, two-sided p {formats.probability(test['p_value'])}" for test in tests]
    table.add_row("is confidence the share right?", *told)
    return table


def _against(comparison: pd.DataFrame) -> Table:
    first, second = comparison["a"].iloc[0], comparison["b"].iloc[0]
    table = terminal_table([f"{first} less {second}"], ["test", "difference", "p, two-sided"])
    for row in rows_of(comparison, _Answer):
        ends = None if formats.is_missing(row.low) else (row.low, row.high)
        table.add_row(row.question, row.test, _spread(row.estimate, ends), formats.probability(row.p_value))
    return table


def _believed(name: str, belief: PairedBelief) -> str:
    factor = formats.MISSING if belief.bayes_factor is None else f"{belief.bayes_factor:.3g}"
    return (
        f"Posterior probability that {name} truly has the lower log loss: {formats.probability(belief.positive)}; that "
        f"the two are within {belief.rope:g} nats: {formats.probability(belief.inside)}. Bayes factor of a difference: "
        f"{factor}."
    )


def _robustness(probed: pd.DataFrame) -> Table:
    table = terminal_table(["change of the text"], ["texts", "class changed", "mean shift"])
    for row in rows_of(probed.rename_axis("change").reset_index(), _Probed):
        name = f"{row.change} (denial not understood)" if row.expects == "reversal" else row.change
        flips = formats.around(row.flip_rate, (row.flip_low, row.flip_high), "percent")
        table.add_row(name, formats.count(row.n), flips, _spread(row.mean_shift, (row.shift_low, row.shift_high)))
    return table


def _forgotten(found: Forgetting) -> Table:
    table = terminal_table(["general text"], ["before", "after", "forgotten"])
    change = _spread(found.difference, (found.low, found.high))
    table.add_row(found.measure, formats.coefficient(found.before), formats.coefficient(found.after), change)
    return table


def _untold(found: Bias) -> str:
    return (
        f"Bias: not told. This reader tells none of the {len(found.table)} pairs apart at all: it gives the same "
        "numbers whoever a sentence is about, as one does that does not know these names or sentences."
    )


def _bias(found: Bias) -> Table:
    table = terminal_table(
        ["the same sentence about"],
        ["score moves by", "standard deviations", "class changed", f"p, two-sided, for all {len(found.table)}"],
    )
    for row in rows_of(found.table, _Swapped):
        table.add_row(
            f"{row.group} ({row.attribute}, against {row.reference})",
            _spread(row.difference, (row.low, row.high)),
            formats.coefficient(row.effect),
            formats.percent(row.class_changed),
            formats.probability(row.p_value_holm),
        )
    return table


def _spread(value: float | None, ends: tuple[float | None, float | None] | None) -> str:
    return formats.around(value, ends, "coefficient")
