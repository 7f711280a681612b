"""The command that tests every part of history by models taught on the others: ``embargo paths``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from embargo.research.cache import cache_folder, folder_for
from embargo.research.cli.data_verdict import advise
from embargo.research.cli.options import (
    AcceptOption,
    AllowOption,
    CacheOption,
    ConfigArgument,
    EnvOption,
    SetOption,
    experiment,
)
from embargo.research.cli.terminal import BAD_DATA, complaints, console, guarded

commands = typer.Typer()


@commands.command()
@guarded("Nothing was written; models trained so far are kept in the cache.")
def paths(
    config: ConfigArgument,
    groups: Annotated[int, typer.Option(min=3, metavar="N", help="Groups that the test period is cut into.")] = 6,
    tested: Annotated[int, typer.Option("--test", min=1, metavar="K", help="Groups that each model tests.")] = 2,
    overrides: SetOption = None,
    accepted: AcceptOption = None,
    env: EnvOption = None,
    allow: AllowOption = None,
    out: Annotated[Path, typer.Option(help="Folder of runs.", file_okay=False)] = Path("runs"),
    cache: CacheOption = None,
) -> None:
    """Show how much a Sharpe ratio owes to which part of history taught.

    The test period is cut into N groups. Every choice of K of them is tested by
    a model taught on the others, with label intervals purged; the results join
    into several whole paths. Models may learn from after what they are tested
    on, so this is a diagnostic of luck, not a record of earnings: for those see
    embargo run.

    Example: [bold]embargo paths mine.toml --groups 6 --test 2[/bold]
    """
    from embargo.research.progress import shown
    from embargo.research.studies.paths.paths import trade_paths
    from embargo.research.studies.paths.tables import print_paths

    settings = experiment(config, overrides, accepted, env, allow)
    folder_for("--out", out)
    with shown(complaints) as stages:
        result = trade_paths(settings, groups=groups, tested=tested, out=out, cache=cache_folder(cache), stages=stages)
    print_paths(console, result)
    console.print(f"Figures: {result.folder / 'paths.json'}", soft_wrap=True, highlight=False, markup=False)
    advise(result.figures["data"]["refused"])
    if result.figures["data"]["refused"]:
        raise typer.Exit(BAD_DATA)
