"""The command that tries many settings on one reading of the news: ``embargo sweep``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from embargo.data_loaders.errors import ConfigError
from embargo.research.cache import cache_folder, folder_for
from embargo.research.cli.data_verdict import advise
from embargo.research.cli.options import (
    AcceptOption,
    AllowOption,
    CacheOption,
    ConfigArgument,
    EngineOption,
    EnvOption,
    SetOption,
    WorkersOption,
    experiment,
)
from embargo.research.cli.terminal import BAD_DATA, complaints, console, guarded

INTERRUPTED = "Cells traded on the test rows so far are in the ledger, and count; the same command ends the sweep."


commands = typer.Typer()


@commands.command()
@guarded(INTERRUPTED)
def sweep(
    config: ConfigArgument,
    grid: Annotated[
        list[str],
        typer.Option(
            metavar="SECTION.KEY=VALUES", help="Values as 1,2,5 or first:last:step; repeat for more settings."
        ),
    ],
    overrides: SetOption = None,
    accepted: AcceptOption = None,
    env: EnvOption = None,
    allow: AllowOption = None,
    select: Annotated[
        str, typer.Option(metavar="PART", help="What chooses among the cells: validation, and nothing else.")
    ] = "validation",
    out: Annotated[Path, typer.Option(help="Folder of runs.", file_okay=False)] = Path("runs"),
    cache: CacheOption = None,
    engine: EngineOption = "auto",
    workers: WorkersOption = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the page here.", dir_okay=False)] = None,
) -> None:
    """Trade every combination of settings and choose one by validation.

    Models are tuned and news is scored once. Settings of signal, portfolio,
    costs and execution can be swept. The choice is made before any test row is
    traded; every cell is a trial in the ledger, and the chosen one is reported
    on test, deflated by the number of trials.

    Example: [bold]embargo sweep mine.toml --grid signal.threshold=0.5:0.9:0.1 --grid signal.half_life=1,2,5[/bold]
    """
    if select != "validation":
        raise ConfigError(
            f"--select {select}: a cell may only be chosen by validation. What test rows chose, they cannot judge."
        )
    from embargo.research.engine.choice import engine_of
    from embargo.research.pages.page import write_page
    from embargo.research.progress import shown
    from embargo.research.studies.sweep import print_sweep, render_page
    from embargo.research.studies.sweep.grid import read_axis
    from embargo.research.studies.sweep.search import sweep as run

    axes = [read_axis(text) for text in grid]
    settings = experiment(config, overrides, accepted, env, allow)
    places = {"out": folder_for("--out", out), "cache": cache_folder(cache)}
    with (
        shown(complaints) as stages,
        closing(engine_of(engine, workers, folder=places["cache"], say=stages.say)) as chosen,
    ):
        result = run(settings, axes, **places, stages=stages, engine=chosen)
    print_sweep(console, result)
    if html is not None:
        write_page(render_page(result, f"Sweep of {settings.name}"), html)
    console.print(f"Report: {result.folder / 'report.html'}", soft_wrap=True, highlight=False, markup=False)
    advise(result.figures["data"]["refused"])
    if result.figures["data"]["refused"]:
        raise typer.Exit(BAD_DATA)
