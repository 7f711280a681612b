"""The catalogue of leaks and checks: ``embargo leaks``."""

from __future__ import annotations

import csv
import io
import json
from typing import Annotated

import typer
from rich.table import Table

from embargo.research.cli.data import OutputFormat
from embargo.research.cli.terminal import console, guarded, write
from embargo.research.progress import escaped

COLUMNS = (
    "code",
    "leak",
    "check",
    "what ought to hold",
    "catches",
    "silent on",
    "gravest",
    "time grows with",
    "remedy",
    "asked by",
)

commands = typer.Typer()


@commands.command("leaks")
@guarded("Nothing was written.")
def list_leaks(
    form: Annotated[OutputFormat, typer.Option("--format", help="How to write the list.")] = OutputFormat.TABLE,
) -> None:
    """List the leaks that are known, and the checks that look for them.

    Every run is audited by all of these checks but those that the last column
    says are asked on request. A leak without a check has a reason in its place;
    the report of a run lists those too. CSV and JSON also say what each check
    is silent on, what its time grows with, and the remedy.

    Example: [bold]embargo leaks --format csv > leaks.csv[/bold]
    """
    rows = catalogue_rows()
    if form is OutputFormat.CSV:
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerows([COLUMNS, *rows])
        write(text.getvalue())
    elif form is OutputFormat.JSON:
        write(json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows], indent=2) + "\n")
    else:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading in ("code", "leak", "what ought to hold, or why it is not tested", "asked by"):
            table.add_column(heading)
        for code, leak, name, title, catches, *_, asked_by in rows:
            said = escaped(title) if name else f"[dim]not tested: {escaped(catches)}[/]"
            table.add_row(code, escaped(leak), said, escaped(asked_by))
        console.print(table)


def catalogue_rows() -> list[tuple[str, ...]]:
    """Return a row of `COLUMNS` for every check, in the order of codes, and one for every leak without any."""
    from embargo.backtest.leakage import CHECKS, LEAKS, NOT_TESTED, ON_REQUEST

    rows: list[tuple[str, ...]] = []
    for code, leak in LEAKS.items():
        asked = [
            (code, leak, name, it.title, it.catches, it.silent_on, it.severity, it.cost, it.remedy, it.asked_by)
            for name, it in {**CHECKS, **ON_REQUEST}.items()
            if it.code == code
        ]
        rows += asked or [(code, leak, "", "", NOT_TESTED[code], "", "", "", "", "")]
    return rows
