"""Signal research on a finished run: ``embargo signal``.

It reads a run's folder and the data that its config names, trains nothing, and leaves the run as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from embargo.data_loaders.errors import ConfigError
from embargo.research.cli.options import AllowOption, HtmlOption, JsonOption, refuse_orphans
from embargo.research.cli.terminal import complaints, console, guarded
from embargo.research.progress import escaped

commands = typer.Typer()


@commands.command()
@guarded("Nothing was written.")
def signal(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", file_okay=False)],
    horizons: Annotated[str, typer.Option(metavar="BARS", help="Bars ahead, separated by commas.")] = "1,2,5,10,20",
    confidence: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Articles read with this confidence or more make events.")
    ] = 0.6,
    allow: AllowOption = None,
    html: HtmlOption = None,
    json: JsonOption = None,
) -> None:
    """Show what a run's signal knew, how fast it faded, and which news carried it.

    Information coefficients by horizon with errors that allow for overlap,
    returns by quantile, an event study around publication, decay, turnover.

    The run's data must still lie where its config says, unchanged.

    Example: [bold]embargo signal runs/demo-1a2b3c4d --html signal.html[/bold]
    """
    from embargo.research.pages.page import write_page
    from embargo.research.pages.status import status_of
    from embargo.research.progress import shown
    from embargo.research.records.folders import write_json
    from embargo.research.studies.signal import as_document, diagnose_run, print_diagnosis, render_page
    from embargo.research.studies.signal.recalled import recall

    wanted = _horizons(horizons)
    refuse_orphans(html, json)
    with shown(complaints) as stages:
        recalled = recall(run, stages, allow=allow or ())
        stages.stage("Research the signal")
        found = diagnose_run(recalled, wanted, confidence=confidence)
    if recalled.status == "invalid":
        complaints.print("[bold red]The audit of this run found a leak: no figure below can be believed.[/]")
    print_diagnosis(console, found)
    if html is not None:
        index = recalled.signal.index
        window = f"{index[0]:%Y-%m-%d} to {index[-1]:%Y-%m-%d}, {len(index):,} bars, {recalled.signal.shape[1]} symbols"
        level = recalled.config.statistics.significance
        status = status_of(recalled.status)
        page = render_page(found, recalled.name, status=status, subtitle=window, significance=level)
        write_page(page, html)
        console.print(f"Page: {escaped(str(html))}", soft_wrap=True, highlight=False)
    if json is not None:
        write_json(json, as_document(found, run=recalled.name))
        console.print(f"Figures: {escaped(str(json))}", soft_wrap=True, highlight=False)


def _horizons(text: str) -> list[int]:
    try:
        found = [int(part) for part in text.split(",") if part.strip()]
    except ValueError as failure:
        raise ConfigError(f"--horizons {text}: write whole bars, such as 1,5,20.") from failure
    if not found or min(found) < 1:
        raise ConfigError(f"--horizons {text}: give at least one, each 1 bar or more, such as 1,5,20.")
    return found
