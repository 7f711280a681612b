"""The command that hands a finished run on: ``embargo export-run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embargo.data_loaders.errors import ConfigError
from embargo.research.cli.terminal import complaints, console, guarded
from embargo.research.progress import escaped

if TYPE_CHECKING:
    from embargo.research.records.exports import Form

commands = typer.Typer()


@commands.command("export-run")
@guarded("What was written whole stays.")
def export_run(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.", file_okay=False)],
    csv: Annotated[Path | None, typer.Option(metavar="DIR", help="Write CSV files here, a folder to be made.")] = None,
    xlsx: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write one workbook, with the extra of that name.")
    ] = None,
    parquet: Annotated[Path | None, typer.Option(metavar="DIR", help="Write parquet files.")] = None,
    pdf: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw a tear sheet of two A4 pages, such as sheet.pdf.")
    ] = None,
) -> None:
    """Write a run's returns, weights, trades and scored articles for other tools, or its tear sheet.

    Instants are UTC. daily_returns are simple returns by day at the exchange;
    in Python embargo.research.records.returns_for(run, LIBRARY) gives them as
    quantstats, pyfolio and skfolio take them. about.json says what the audit and
    the checks of the data found: show it with the figures, as the tear sheet does.

    Example: [bold]embargo export-run runs/mine-1a2b3c4d --csv mine --pdf mine.pdf[/bold]
    """
    places: dict[Form, Path | None] = {"csv": csv, "xlsx": xlsx, "parquet": parquet}
    wanted: list[tuple[Form, Path]] = [(form, place) for form, place in places.items() if place is not None]
    if not wanted and pdf is None:
        raise ConfigError("export-run: say where to: --csv DIR, --xlsx DIR, --parquet DIR or --pdf FILE.")
    from embargo.research.records.exports import export_run as export
    from embargo.research.records.run import Run

    found = Run.load(run)
    for form, place in wanted:
        files = export(found, place, form)
        console.print(
            f"{place}: {', '.join(file.name for file in files)}", soft_wrap=True, highlight=False, markup=False
        )
    if pdf is not None:
        # Loaded here because who writes tables draws nothing.
        from embargo.research.studies.sheet import write_sheet

        console.print(str(write_sheet(found, pdf)), soft_wrap=True, highlight=False, markup=False)
    if found.status != "valid" or found.data == "bad":
        where = "about.json" if wanted else "the sheet"
        what = f"This run is {found.status}, and its data are {found.data}: see {where}."
        told = f"[yellow]![/] {escaped(what)}"
        complaints.print(told, soft_wrap=True, highlight=False)
