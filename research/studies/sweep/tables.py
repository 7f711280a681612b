"""A sweep in the terminal: the best cells by validation, the chosen one, and beside it the best in hindsight."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.text import Text

from embargo.research.pages import formats
from embargo.research.pages.tables import terminal_table

if TYPE_CHECKING:
    from embargo.research.studies.sweep.sweep import Sweep

MOST_ROWS = 20


class TradedCell(NamedTuple):
    """One cell of a sweep, as its tables show it; ``choice`` is in the order of the axes."""

    position: int
    choice: tuple[Any, ...]
    validation_sharpe: float
    test_sharpe: float
    competes: bool


def shown_of(result: Sweep, most: int, *, always: Set[int]) -> list[TradedCell]:
    """Return the best cells by validation Sharpe, best first; those to be shown always are among them."""
    table = result.table.sort_values("validation_sharpe", ascending=False, kind="stable", na_position="last")
    keys = [axis.key for axis in result.axes]
    columns = [table.index, *(table[name] for name in ("validation_sharpe", "test_sharpe", "competes"))]
    choices = zip(*(table[key] for key in keys), strict=True)
    return [
        TradedCell(position, choice, validation, test, competes)
        for rank, (choice, position, validation, test, competes) in enumerate(zip(choices, *columns, strict=True))
        if rank < most or position in always
    ]


def marks_of(result: Sweep, position: int) -> str:
    """Say in words what a cell is: chosen, best on test, both or neither."""
    names = [("chosen", result.chosen), ("best on test", result.best)]
    return ", ".join(name for name, place in names if place == position)


def sentences(result: Sweep) -> list[str]:
    """Say what was chosen, what it is worth after all attempts, and what hindsight would have shown."""
    figures, chosen, best = result.figures, result.figures["chosen"], result.figures["best_on_test"]
    rule = f"Chosen by {figures['validation']['bars']:,} validation bars, before any test row was traded"
    interval = f"{formats.ratio(chosen['sharpe_low'])} to {formats.ratio(chosen['sharpe_high'])}"
    worth = (
        f"On {figures['test']['bars']:,} test bars its Sharpe ratio is {formats.ratio(chosen['sharpe'])} ({interval})"
    )
    rank = f"rank {formats.count(chosen['rank_on_test'])} of {figures['competing']:,}"
    worth_of = f"worth {formats.ratio(chosen['effective_trials'])} independent ones"
    deflated = f"deflated for {figures['n_trials']:,} trials on this window, {worth_of}"
    told = [
        f"{rule}: {_settings(chosen)}.",
        f"{worth}, {rank}; {deflated}: {formats.probability(chosen['deflated_sharpe'])}.",
    ]
    if figures["overfitting"] is not None:
        share, splits = figures["overfitting"]["probability"], figures["overfitting"]["splits"]
        told.append(
            "Probability of overfitting: chosen on half of the test bars, the best cell is no better than the median "
            f"on the other half in {formats.percent(share)} of {splits:,} ways to cut them."
        )
    if figures["confidence_set"] is not None:
        alike, level = len(figures["confidence_set"]["settings"]), figures["confidence_set"]["level"]
        told.append(
            f"{alike:,} of {figures['competing']:,} cells cannot be told from the best by their mean returns on test "
            f"(model confidence set, {level:.0%})."
        )
    if figures["best_of_attempts"] is not None:
        ability = formats.probability(figures["best_of_attempts"]["superior_ability"]["p_value"])
        told.append(
            f"That the best of all {figures['n_trials']:,} trials is no better than cash has p = {ability} (Hansen); "
            f"{formats.count(figures['best_of_attempts']['superior'])} are better, tested together (Romano and Wolf)."
        )
    if result.best == result.chosen:
        return [*told, "It is also the best on test."]
    hindsight = f"Hindsight, not a result: the best on test, {_settings(best)}, has {formats.ratio(best['sharpe'])}"
    return [*told, f"{hindsight}; deflated: {formats.probability(best['deflated_sharpe'])}."]


def print_sweep(console: Console, result: Sweep) -> None:
    """Print the best cells by validation and what follows from them; a long grid is cut, and says so."""
    shown = shown_of(result, MOST_ROWS, always={result.best})
    axes = [axis.key for axis in result.axes]
    table = terminal_table([], [*axes, "validation Sharpe", "test Sharpe"])
    table.add_column("")
    for cell in shown:
        table.add_row(
            *(Text(formats.text(value)) for value in cell.choice),
            formats.ratio(cell.validation_sharpe),
            formats.ratio(cell.test_sharpe),
            marks_of(result, cell.position),
            style="bold" if cell.position == result.chosen else None if cell.competes else "dim",
        )
    console.print(table)
    if left := len(result.table) - len(shown):
        console.print(f"{left:,} more cells by validation Sharpe are in the report.", style="dim")
    for line in sentences(result):
        console.print(Text(line))


def _settings(figures: dict[str, object]) -> str:
    settings = figures["settings"]
    assert isinstance(settings, dict)
    return ", ".join(f"{key} = {formats.text(value)}" for key, value in settings.items())
