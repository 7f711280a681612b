"""The command that measures the audit: ``embargo leakbench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from embargo.research.cache import cache_folder
from embargo.research.cli.options import CacheOption, JsonOption, refuse_orphans
from embargo.research.cli.terminal import complaints, console, guarded

commands = typer.Typer()


@commands.command()
@guarded("Finished cases are kept; the same command goes on from them.")
def leakbench(
    quick: Annotated[bool, typer.Option("--quick", help="A handful of plants and worlds, in about a minute.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(metavar="PLANT|CODE", help="Plants to carry, by name or code; repeat for more.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows whose future the deep audit changes.")] = 1,
    processes: Annotated[int, typer.Option(min=1, help="Cases carried side by side.")] = 2,
    write: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the page here.", dir_okay=False)
    ] = None,
    json: JsonOption = None,
    cache: CacheOption = None,
) -> None:
    """Plant known leaks into clean runs, and count what the audit catches.

    Clean runs of many kinds are carried along: what is said of them is a false
    alarm. Every case goes through the checks of the data, the audit of a run,
    the deep audit and, where a reader is planted, the probes.

    Example: [bold]embargo leakbench --json leakbench.json[/bold]
    """
    from embargo.research.leakbench.bench import progress_of, run_bench, summarise, tasks
    from embargo.research.leakbench.page import in_short, markdown
    from embargo.research.progress import shown
    from embargo.research.records.folders import write_json

    refuse_orphans(json)
    wanted = tasks(quick=quick, only=only or ())
    with shown(complaints) as stages:
        told = stages.stage(f"Carry {len(wanted)} worlds through the audit")
        progress = progress_of(cache_folder(cache) / "leakbench", rows=rows)
        cases = run_bench(wanted, progress, rows=rows, processes=processes, told=told)
    result = summarise(cases, rows=rows, complete=not quick and not only)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("", "share", "of", "95% interval"):
        table.add_column(heading)
    for row in in_short(result):
        table.add_row(*row)
    console.print(table)
    if json is not None:
        write_json(json, result.model_dump(mode="json"))
        console.print(f"Cases: {json}", soft_wrap=True, highlight=False, markup=False)
    if write is not None:
        write.write_text(markdown(result), encoding="utf-8")
        console.print(f"Page: {write}", soft_wrap=True, highlight=False, markup=False)
