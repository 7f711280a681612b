"""The command that sets finished runs side by side: ``embargo compare``.

It reads run folders, runs nothing again, and leaves the runs as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from embargo.research.cli.options import HtmlOption, JsonOption, refuse_orphans
from embargo.research.cli.terminal import complaints, console, guarded
from embargo.research.progress import escaped

commands = typer.Typer()


@commands.command()
@guarded("Nothing was written.")
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN ...", help="Folders of runs.", file_okay=False)],
    by: Annotated[
        str | None,
        typer.Option(metavar="regime|NAME", help="Also within each market regime, or those of one definition."),
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="RUN", help="The run to set the others against; by default the first.")
    ] = None,
    html: HtmlOption = None,
    json: JsonOption = None,
) -> None:
    """Compare finished runs on the bars they share.

    Sharpe ratios with intervals, differences to the first run with p-values
    corrected for the number of comparisons, the probability of being better,
    and what a sample of this length could have shown at all.

    Runs whose test windows do not overlap are refused; other prices, other
    costs and leaks are said.

    Example: [bold]embargo compare runs/a-1a2b3c4d runs/b-5e6f7a8b --by regime --html compare.html[/bold]
    """
    from embargo.research.pages.page import write_page
    from embargo.research.progress import shown
    from embargo.research.records.folders import write_json
    from embargo.research.studies.compare import print_comparison, render_page
    from embargo.research.studies.compare.comparison import as_document
    from embargo.research.studies.compare.comparison import compare as found_between

    refuse_orphans(html, json)
    with shown(complaints) as stages:
        stages.stage("Compare the runs")
        found = found_between(runs, against=against, by=by)
    print_comparison(console, found)
    if html is not None:
        write_page(render_page(found), html)
        console.print(f"Page: {escaped(str(html))}", soft_wrap=True, highlight=False)
    if json is not None:
        write_json(json, as_document(found))
        console.print(f"Figures: {escaped(str(json))}", soft_wrap=True, highlight=False)
