"""What data are worth, told in the terminal: the checks that are not clean, their bars, and how to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from embargo.research.cli.terminal import console
from embargo.research.progress import escaped

if TYPE_CHECKING:
    from embargo.data_loaders.checks import Grade
    from embargo.research.records.data_faults import DataFault, WithoutBars
    from embargo.research.run.data_verdict import DataVerdict

_COLOURS = {"bad": "red", "look": "yellow", "clean": "green"}
_MARKS = {"bad": "×", "look": "!", "clean": "✓"}


def show_data(data: DataVerdict, measured: Mapping[str, DataFault] | None = None, *, briefly: bool = False) -> None:
    """Print the verdict on the data and the checks behind it.

    Parameters
    ----------
    data : DataVerdict
    measured : mapping of str to DataFault, optional
        Figures of a run by code of the check, to be shown without the bars that it marks.
    briefly : bool
        Whether checks that only ask for a look are named and no more.
    """
    shown = [check for check in data.noticed if check.verdict == "bad" or not briefly]
    named = [check.code for check in data.noticed if check not in shown]
    more = f" Also to be looked at: {', '.join(named)}." if named and shown else ""
    taken = data.grade == "bad" and data.stands
    look: Grade = "look" if taken else data.grade
    word = f"{_MARKS[look]} data: {data.grade}{', accepted' if taken else ''}"
    told = f"[bold {_COLOURS[look]}]{word}[/] – {escaped(data.summary)}{more}"
    console.print(told, soft_wrap=True, highlight=False)
    for check in shown:
        where = f" ({data.places[check.code]})" if data.places[check.code] else ""
        mark = f"[{_COLOURS[check.verdict]}]{_MARKS[check.verdict]}[/]"
        console.print(f"  {mark} {escaped(f'{check.code}: {check.summary}{where}')}", soft_wrap=True, highlight=False)
        if check.code in data.accepted:
            console.print(f"    {escaped(f'Accepted: {data.accepted[check.code]}')}", soft_wrap=True, highlight=False)
        if check.remedy:
            console.print(f"    {escaped(check.remedy)}", soft_wrap=True, highlight=False)
        fault = (measured or {}).get(check.code)
        if fault is not None and fault.without is not None:
            console.print(f"    {escaped(_without(fault.without))}", soft_wrap=True, highlight=False)
    advise(data.refused)


def advise(refused: Sequence[str]) -> None:
    """Say how to go on with data that some checks call bad; nothing where there are none such.

    Parameters
    ----------
    refused : sequence of str
        Codes of these checks.
    """
    if refused:
        options = " ".join(f"--accept-data {code}=REASON" for code in refused)
        advice = f"Mend the data. Where you know them to be right, say why and go on: {options}"
        console.print(f"  {escaped(advice)}", soft_wrap=True, highlight=False)


def _without(without: WithoutBars) -> str:
    from embargo.research.pages import formats

    if not without.n_left_out:
        return "None of these bars is traded in the test rows; models and lookbacks have read them."
    return (
        f"Without these bars ({formats.percent(without.share_left_out)} of the returns): Sharpe ratio "
        f"{formats.ratio(without.sharpe)}, return {formats.percent(without.total_return)}, drawdown "
        f"{formats.percent(without.max_drawdown)}."
    )
