"""The data check in the terminal: one line per check, worst first, within a hundred columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from embargo.data_loaders.checks import Check
from embargo.research.gathering.checks.check import SEVERITY, worst_first
from embargo.research.pages.tables import terminal_table

WIDTH = 100
_STYLES = {"bad": "bold red", "look": "yellow", "clean": "green"}
_MARKS = {"bad": "× bad", "look": "! look", "clean": "✓ clean"}


def tally(checks: Sequence[Check]) -> str:
    """Count the verdicts in words: ``1 bad, 3 to look at, 12 clean``."""
    numbers = {verdict: sum(check.verdict == verdict for check in checks) for verdict in SEVERITY}
    return f"{numbers['bad']} bad, {numbers['look']} to look at, {numbers['clean']} clean"


def print_checks(console: Console, checks: Sequence[Check]) -> None:
    """Print checks as a table with their verdicts and summaries, worst first, and their tally below.

    Text from outside is printed as it stands, never read as markup.

    Parameters
    ----------
    console : rich.console.Console
        The table is at most 100 characters wide.
    checks : sequence of Check
        In any order.

    Examples
    --------
    >>> from rich.console import Console
    >>> from embargo.data_loaders.checks import Check
    >>> from embargo.research.gathering.checks import print_checks
    >>> checks = [Check("clock", "clean", "No hour."), Check("gaps", "bad", "Nine are missing.")]
    >>> print_checks(Console(width=60), checks)  # doctest: +NORMALIZE_WHITESPACE
    Check ┃ Verdict ┃ What was seen
    ━━━━━━╇━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
    gaps  │ × bad   │ Nine are missing.
    clock │ ✓ clean │ No hour.
    2 checks: 1 bad, 0 to look at, 1 clean.
    """
    table = terminal_table(["Check", "Verdict", "What was seen"], width=min(WIDTH, console.width))
    name, verdict, seen = table.columns
    name.no_wrap, name.max_width, verdict.no_wrap, seen.ratio = True, 26, True, 1
    for check in worst_first(checks):
        table.add_row(Text(check.name), Text(_MARKS[check.verdict], style=_STYLES[check.verdict]), Text(check.summary))
    console.print(table)
    console.print(Text(f"{len(checks)} checks: {tally(checks)}."))
