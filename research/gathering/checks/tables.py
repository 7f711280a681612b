"""The data check in the terminal: one line per check, worst first, within a hundred columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from embargo.data_loaders.checks import Check

WIDTH = 100
ORDER = ("bad", "look", "fine")
_STYLES = {"bad": "bold red", "look": "yellow", "fine": "green"}
_MARKS = {"bad": "× bad", "look": "! look", "fine": "✓ fine"}


def tally(checks: Sequence[Check]) -> str:
    """Count the verdicts in words: ``1 bad, 3 to look at, 12 fine``."""
    numbers = {verdict: sum(check.verdict == verdict for check in checks) for verdict in ORDER}
    return f"{numbers['bad']} bad, {numbers['look']} to look at, {numbers['fine']} fine"


def print_checks(console: Console, checks: Sequence[Check]) -> None:
    """Print checks as a table with their verdicts and summaries, worst first, and their tally below.

    Text from outside is printed as it stands, never read as markup.
    """
    table = Table(width=min(WIDTH, console.width), show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("Check", no_wrap=True, max_width=26)
    table.add_column("Verdict", no_wrap=True)
    table.add_column("What was seen", ratio=1)
    for check in sorted(checks, key=lambda check: ORDER.index(check.verdict)):
        table.add_row(Text(check.name), Text(_MARKS[check.verdict], style=_STYLES[check.verdict]), Text(check.summary))
    console.print(table)
    console.print(Text(f"{len(checks)} checks: {tally(checks)}."))
