"""A sweep in the terminal: the best cells by validation, the chosen one, and beside it the best in hindsight."""

from __future__ import annotations

from collections.abc import Set
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from embargo.research.pages import formats
from embargo.research.pages.phrases import phrase
from embargo.research.pages.tables import terminal_table
from embargo.research.studies.sweep.grid import Sweep

MOST_ROWS = 20
NEVER = "never traded"


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
    rank = f"rank {formats.count(chosen['rank_on_test'])} of {figures['ranked']:,}"
    worth_of = f"worth {formats.ratio(chosen['effective_trials'])} independent ones"
    # Hansen's test takes those on the same bars alone.
    tried, here = figures["n_trials"] + figures["trials_elsewhere"], figures["n_trials"] - figures["n_partial"]
    partial = f", {figures['n_partial']:,} of them on a part of it" if figures["n_partial"] else ""
    among = f"one-sided p among {tried:,} trials on this window{partial}, {worth_of}"
    told = [f"{rule}: {_settings(chosen)}."]
    if chosen["sharpe"] is None:
        told.append(f"On {figures['test']['bars']:,} test bars it never traded, so that it has no Sharpe ratio there.")
    else:
        told.append(f"{worth}, {rank}; {among}: {formats.probability(chosen['adjusted_p_value'])}.")
    told += figures.get("remarks", [])
    told += _idle(figures)
    told.append(_overfitting(figures["overfitting"]))
    if figures["confidence_set"] is not None:
        alike, level = len(figures["confidence_set"]["settings"]), figures["confidence_set"]["level"]
        told.append(
            f"{alike:,} of {figures['ranked']:,} cells cannot be told from the best by their mean returns on test "
            f"(model confidence set, {level:.0%})."
        )
    if figures["best_of_attempts"] is not None:
        smallest = formats.p_value(figures["best_of_attempts"]["p_value"])
        told.append(
            f"That none of all {here:,} trials is better than cash has {smallest}, one-sided; "
            f"{formats.count(figures['best_of_attempts']['superior'])} are better, tested together (Romano and Wolf)."
        )
    if (data := figures.get("data")) is not None and data["verdict"] != "clean":
        told.append(f"The data are {'bad' if data['verdict'] == 'bad' else 'to be looked at'}: {data['summary']}")
    if best["sharpe"] is None:
        return [*told, "No cell that competes traded on test, so none is the best there."]
    if result.best == result.chosen:
        return [*told, "It is also the best on test."]
    hindsight = f"Hindsight, not a result: the best on test, {_settings(best)}, has {formats.ratio(best['sharpe'])}"
    return [*told, f"{hindsight}; one-sided p among all: {formats.probability(best['adjusted_p_value'])}."]


def _overfitting(found: dict[str, Any] | None) -> str:
    """Say how often the choice disappoints, and how that compares with what chance alone makes of it."""
    name = "Overfitting (PBO of Bailey and others)"
    if found is None:
        return (
            f"{name}: not estimated. It takes two cells or more that traded on test with returns of their own, and two "
            "bars in each of 16 blocks."
        )
    share, chance = found["probability"], found["by_chance"]
    how = "carried over" if share < chance["low"] else "turned" if share > chance["high"] else "like chance"
    range_of = f"{formats.percent(chance['low'])} to {formats.percent(chance['high'])}"
    return (
        f"{name}: chosen on half of the test bars, the best cell is below the median on the other half in "
        f"{formats.percent(share)} of {found['splits']:,} ways to cut them, {phrase(f'choice {how}')}. Of panels of as "
        f"many cells that move alike and of which none is better, {chance['level']:.0%} show {range_of}."
    )


def _idle(figures: dict[str, Any]) -> list[str]:
    """Say which cells never traded, and how they count."""
    early, late = (figures["never_traded"][part] for part in ("validation", "test"))
    if not early and not late:
        return []
    where = " and ".join(
        f"{number:,} of {figures['cells']:,} on the {part} rows"
        for number, part in ((early, "validation"), (late, "test"))
        if number
    )
    told = (
        f"Cells that never traded: {where}. Their signals never reached what their settings ask for. They were "
        f"attempts, and are in the count of {figures['n_trials']:,} trials; with no returns of their own they "
        "are none of the independent ones it is worth, and they compete in no rank, overfitting or confidence set."
    )
    return [told]


def ratio_of(value: float | None) -> str:
    """Print a cell's Sharpe ratio, or that it has none."""
    return NEVER if value is None or formats.is_missing(value) else formats.ratio(value)


def print_sweep(console: Console, result: Sweep) -> None:
    """Print the best cells by validation and what follows from them; a long grid is cut, and says so.

    Parameters
    ----------
    console : rich.console.Console
    result : Sweep

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from embargo.research.studies.sweep import Axis, Sweep, print_sweep
    >>> cell = dict.fromkeys(["sharpe_low", "sharpe_high", "sharpe_p_value", "total_return", "max_drawdown"], 0.0)
    >>> cell |= {"settings": {"signal.half_life": 2.0}, "validation_sharpe": 1.1, "sharpe": 0.9}
    >>> cell |= {"rank_on_validation": 1, "rank_on_test": 1, "effective_trials": 1.8}
    >>> cell |= {"probabilistic_sharpe": 0.9, "deflated_sharpe": 0.7, "adjusted_p_value": 0.3}
    >>> span = {"start": "2016-01-04", "end": "2016-12-30", "bars": 252, "left_out_bars": 0}
    >>> figures = dict.fromkeys(["overfitting", "confidence_set", "best_of_attempts", "rank_correlation"])
    >>> figures |= dict.fromkeys(["cells", "competing", "ranked", "distinct_returns", "n_trials"], 2)
    >>> figures |= {"never_traded": {"validation": 0, "test": 0}, "n_partial": 0, "trials_elsewhere": 0}
    >>> figures |= {"validation": span, "test": span, "chosen": cell, "best_on_test": cell}
    >>> axis = Axis("signal.half_life", (1.0, 2.0))
    >>> ratios = {"validation_sharpe": [0.4, 1.1], "test_sharpe": [0.2, 0.9], "competes": True}
    >>> table = pd.DataFrame({axis.key: axis.values} | ratios)
    >>> result = Sweep(Path("runs/mine-sweep-1a2b3c4d"), [axis], table, 1, 1, figures)
    >>> from rich.console import Console
    >>> print_sweep(Console(width=100), result)  # doctest: +NORMALIZE_WHITESPACE
    signal.half_life ┃ validation Sharpe ┃ test Sharpe ┃
    ━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━
                   2 │              1.10 │        0.90 │ chosen, best on test
                   1 │              0.40 │        0.20 │
    Chosen by 252 validation bars, before any test row was traded: signal.half_life = 2.
    On 252 test bars its Sharpe ratio is 0.90 (0.00 to 0.00), rank 1 of 2; one-sided p among 2 trials on
    this window, worth 1.80 independent ones: 0.300.
    Overfitting (PBO of Bailey and others): not estimated. It takes two cells or more that traded on
    test with returns of their own, and two bars in each of 16 blocks.
    It is also the best on test.
    """
    shown = shown_of(result, MOST_ROWS, always={result.best})
    axes = [axis.key for axis in result.axes]
    table = terminal_table([], [*axes, "validation Sharpe", "test Sharpe"])
    table.add_column("")
    for cell in shown:
        table.add_row(
            *(Text(formats.text(value)) for value in cell.choice),
            ratio_of(cell.validation_sharpe),
            ratio_of(cell.test_sharpe),
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
