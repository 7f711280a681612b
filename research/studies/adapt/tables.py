"""A study of readers in the terminal, and the ready texts that the terminal, the page and the documents share."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from embargo.research.pages import formats
from embargo.research.pages.tables import terminal_table
from embargo.research.studies.adapt.adaptation import Adaptation
from embargo.research.studies.adapt.costs import VOLUMES
from embargo.research.studies.adapt.recommend import money
from embargo.research.studies.adapt.rows import MEASURES, TRUSTED, Apart, Row, Trust

NEVER = "never traded"
TRUST_WORDS: dict[Trust, str] = {
    "before": "ends before the test",
    "declared": "ends before the test (declared, not checked)",
    "inside": "reaches into the test",
    "unknown": "not known",
    "doubted": "knows the labels of the test",
}
POWERS = {10**power: f"10{sign}" for power, sign in zip(range(4, 9), "⁴⁵⁶⁷⁸", strict=True)}


def quality_heads(found: Adaptation) -> tuple[str, ...]:
    """Return the heads of `quality_cells`."""
    level = f"{100 * found.figures['level']:g}%"
    money_heads = ("Sharpe",) if found.figures["traded"] else ()
    return (
        f"Accuracy ({level})",
        f"Macro-F1 ({level})",
        "ECE",
        "Turned by other words",
        "By the worst change",
        *(f"{head} ({level})" for head in money_heads),
        "Knowledge",
    )


def quality_cells(found: Adaptation, row: Row) -> list[str]:
    """Return what the study says of how well a reader reads, one text for each head."""
    sharpe = []
    if found.figures["traded"]:
        sharpe = [NEVER if row.sharpe is None else formats.around(row.sharpe, (row.sharpe_low, row.sharpe_high))]
    return [
        formats.around(row.accuracy, row.accuracy_interval, "percent"),
        formats.around(row.macro_f1, row.macro_f1_interval, "coefficient"),
        formats.coefficient(row.ece),
        "not asked" if row.probed is None else formats.percent(row.probed["flip_rate"]),
        formats.MISSING if row.probed is None else worst_words(row),
        *sharpe,
        "" if row.trust is None else TRUST_WORDS[row.trust],
    ]


def worst_words(row: Row) -> str:
    """Name the change that turned the most readings, and how many it turned."""
    assert row.probed is not None
    if not row.probed["worst_rate"]:
        return "none turned any"
    return f"{formats.percent(row.probed['worst_rate'])} ({row.probed['worst']})"


COST_HEADS = ("CPU s to fit", "Cost of the fit", "CPU s per 1,000", "Cost per 1,000")


def cost_cells(found: Adaptation, row: Row) -> list[str]:
    """Return what a reader takes: to fit once, and for 1,000 articles."""
    currency = found.figures["adapt"]["currency"]
    if row.costs_note:
        return [row.costs_note, *[formats.MISSING] * 3]
    return [
        seconds(row.fit_cpu),
        money(row.fit_cost, currency),
        seconds(row.article_cpu),
        money(row.article_cost, currency),
    ]


def volume_heads() -> list[str]:
    """Return the numbers of articles that costs are told for."""
    return [POWERS[volume] for volume in VOLUMES]


def volume_cells(found: Adaptation, row: Row) -> list[str]:
    """Return what so many articles cost a reader, with its fit."""
    return [money(row.cost(volume), found.figures["adapt"]["currency"]) for volume in VOLUMES]


def seconds(value: float | None) -> str:
    """Print seconds of any size with two digits that tell something."""
    if value is None:
        return formats.MISSING
    if value >= 100.0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1.0 else f"{value:.2g}"


def ran(found: Adaptation) -> list[Row]:
    """Return the rows of readers that were carried out."""
    return [row for row in found.rows if row.ran]


def failures(found: Adaptation) -> list[Row]:
    """Return the rows of readers that were not."""
    return [row for row in found.rows if not row.ran]


def apart_cells(apart: Apart, *, sharpe: bool = False) -> list[str]:
    """Return a difference, its interval, and its p-value before and after Holm's correction."""
    unit: formats.Unit = "ratio" if sharpe else "coefficient"
    if apart.difference is None or apart.p_value is None:
        return [formats.value_of(apart.difference, unit), apart.note or formats.MISSING, *[formats.MISSING] * 2]
    return [
        formats.value_of(apart.difference, unit),
        formats.interval((apart.low, apart.high), unit),
        formats.probability(apart.p_value),
        formats.probability(apart.p_value_holm),
    ]


def what_was_tested(found: Adaptation) -> str:
    """Say on how much the readers were tested, and when that was."""
    figures = found.figures
    same = "the same for every reader"
    number = f"{formats.count(figures['n'])} labelled test texts"
    if not figures["traded"]:
        return f"{number}, {same}; undated, and nothing is traded."
    days = "" if figures["n_groups"] is None else f" of {formats.count(figures['n_groups'])} days"
    return (
        f"{number}{days}, {same}, known {figures['start'][:10]} to {figures['end'][:10]}; "
        f"{formats.count(figures['n_bars'])} bars traded; {formats.count(figures['n_trials'])} attempts so far on this "
        "test window."
    )


def how_tested(found: Adaptation) -> str:
    """Say what stands behind p-values and recommendation."""
    figures = found.figures
    left = "; ".join(f"{formats.count(n)} by {name}" for name, n in figures.get("n_left_out", {}).items())
    gone = f" Test texts left without an answer, and out of the comparison for all: {left}." if left else ""
    return (
        f"The recommendation rests on {MEASURES[figures['adapt']['judge_by']]}, chosen before anything was read, on "
        "whether accuracy or mean log loss are shown to be better than guessing, and "
        f"reckons with {formats.count(figures['adapt']['articles'])} articles. Differences are paired "
        f"({formats.count(figures['resamples'])} resamples) and corrected by Holm over {figures['family']} pairs, at "
        f"{figures['significance']:g}. Readers are not audited here: run the one you take.{gone}"
    )


def priced_at(found: Adaptation) -> str:
    """Say what computing is taken to cost."""
    prices = found.figures["adapt"]
    return (
        f"Costs are seconds measured on this machine at {prices['cpu_hour']:g} {prices['currency']} for an hour of one "
        f"core and {prices['gpu_hour']:g} {prices['currency']} for an hour of a device, which are assumptions "
        "(adapt.cpu_hour, adapt.gpu_hour), and what an endpoint charged."
    )


def break_even_lines(found: Adaptation) -> list[str]:
    """Say where two readers cost the same, one sentence each, those that matter at some volume."""
    currency = found.figures["adapt"]["currency"]
    return [
        f"{one['few']} is cheaper than {one['many']} up to {formats.count(one['articles'])} articles "
        f"({money(one['cost'], currency)}), and dearer from there."
        for one in found.figures["break_evens"]
        if 1.0 <= one["articles"] <= 10 * VOLUMES[-1]
    ]


def print_adaptation(console: Console, found: Adaptation) -> None:
    """Print a study: the readers, what they cost, what the tests between them say, and the recommendation.

    Parameters
    ----------
    console : rich.console.Console
    found : Adaptation

    Examples
    --------
    >>> from pathlib import Path
    >>> from rich.console import Console
    >>> from embargo.research.config.adapt import AdaptSection
    >>> from embargo.research.studies.adapt import Adaptation, Advice, Row, print_adaptation
    >>> figures = {"level": 0.95, "significance": 0.05, "resamples": 2000, "family": 0, "n": 40, "traded": False}
    >>> figures |= {"adapt": AdaptSection().model_dump(), "break_evens": []}
    >>> row = Row("line", "linear", n=40, accuracy=0.6, accuracy_interval=(0.5, 0.7), macro_f1=0.5, ece=0.1)
    >>> advice = Advice(None, None, (), (), "No reader can be recommended.", ())
    >>> print_adaptation(Console(width=160), Adaptation(Path("runs/mine"), [row], [], advice, figures))
    ... # doctest: +ELLIPSIS
    40 labelled test texts, the same for every reader; undated, and nothing is traded...
    """
    console.print(Text(what_was_tested(found)))
    table = terminal_table(["reader"], quality_heads(found))
    for row in ran(found):
        table.add_row(
            Text(row.name),
            *map(Text, quality_cells(found, row)),
            style="bold" if row.name == found.advice.take else "dim" if row.trust not in TRUSTED else None,
        )
    console.print(table)
    costs = terminal_table(["reader"], [*COST_HEADS, *(f"{head} articles" for head in volume_heads())])
    for row in ran(found):
        costs.add_row(Text(row.name), *map(Text, [*cost_cells(found, row), *volume_cells(found, row)]))
    console.print(costs)
    _print_pairs(console, found)
    for row in failures(found):
        console.print(Text(f"! {row.name} could not be carried out: {row.failed}"), style="yellow")
    console.print(Text(found.advice.headline), style="bold")
    for line in (*found.advice.lines, how_tested(found), priced_at(found)):
        console.print(Text(line))


def _print_pairs(console: Console, found: Adaptation) -> None:
    measure = found.figures["adapt"]["judge_by"]
    parts: Sequence[tuple[str, bool]] = [(measure, False), *([("sharpe", True)] if found.figures["traded"] else [])]
    heads = ["difference", "interval", "p, two-sided", "p (Holm), two-sided"]
    for name, sharpe in parts:
        title = Text(f"{'Sharpe ratio' if sharpe else MEASURES[name]}: the first less the second")
        table = terminal_table(["readers"], heads, title=title)
        for pair in found.pairs:
            apart = pair.of(pair.a, name)
            table.add_row(
                Text(f"{pair.a}, {pair.b}"),
                *map(Text, apart_cells(apart, sharpe=sharpe)),
                style="bold" if apart.stands(found.figures["significance"]) else None,
            )
        if found.pairs:
            console.print(table)
