"""The command that lists what was tried: ``embargo attempts``. It reads the ledger and leaves it as it is."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from embargo.data_loaders.errors import ConfigError
from embargo.research.cache import cache_folder, ledger_folder
from embargo.research.cli.options import AllowOption, CacheOption, EnvOption, SetOption, experiment
from embargo.research.cli.terminal import complaints, console, guarded, write
from embargo.research.progress import escaped

if TYPE_CHECKING:
    from embargo.research.studies.attempts import Tried


class ListFormat(StrEnum):
    """How the list is written."""

    TABLE = "table"
    CSV = "csv"


commands = typer.Typer()


@commands.command()
@guarded("Nothing was changed.")
def attempts(
    what: Annotated[
        Path | None, typer.Argument(metavar="RUN|CONFIG.toml", help="Folder of a run, or an experiment.")
    ] = None,
    overrides: SetOption = None,
    env: EnvOption = None,
    allow: AllowOption = None,
    form: Annotated[ListFormat, typer.Option("--format", help="How to write the list.")] = ListFormat.TABLE,
    cache: CacheOption = None,
) -> None:
    """List what was tried on the same bars and symbols, and what it cost.

    Of a run: every attempt whose window overlaps with the run's, with its
    Sharpe ratio, its p alone and among all, and the run's p without it. Of an
    experiment: what a run of it would be judged among; its data are read. Of
    neither: every attempt in the ledger. All p are one-sided.

    The ledger is where $EMBARGO_LEDGER says, or in the cache.

    Example: [bold]embargo attempts runs/mine-1a2b3c4d --format csv[/bold]
    """
    from embargo.research.plain import for_spreadsheet
    from embargo.research.progress import shown
    from embargo.research.records.folders import CONFIG
    from embargo.research.records.run import Run
    from embargo.research.run.preparation import prepare
    from embargo.research.studies.attempts import tried_at_all, tried_beside, tried_by

    if (overrides or env or allow) and (what is None or what.is_dir()):
        whose = "the whole ledger" if what is None else f"{what}, a folder,"
        raise ConfigError(
            f"--set, --env and --allow: {whose} has no settings to change. Give an experiment (CONFIG.toml)."
        )
    if what is not None and (what / "sweep.json").is_file():
        raise ConfigError(
            f"{what} is a sweep, not a run. Give {what / CONFIG} for the attempts beside its cells, or nothing for all."
        )
    place = ledger_folder(cache_folder(cache))
    with shown(complaints) as stages:
        if what is None:
            stages.stage("Judge every attempt")
            found = tried_at_all(place)
        elif what.is_dir():
            stages.stage("Judge the attempts beside the run")
            found = tried_beside(Run.load(what), place)
        else:
            plan = prepare(experiment(what, overrides, None, env, allow), stages)
            stages.stage("Judge the attempts")
            found = tried_by(plan, place)
    for said in found.remarks:
        complaints.print(f"[yellow]![/] {escaped(said)}", soft_wrap=True, highlight=False)
    if form is ListFormat.CSV:
        write(for_spreadsheet(found.table).to_csv(index=False))
        return
    _show(found)


def _show(found: Tried) -> None:
    from embargo.research.pages import formats

    number = int(found.table["settings"].notna().sum())
    table = Table(
        title=f"{number:,} attempt{'s' if number != 1 else ''}", box=None, padding=(0, 1, 0, 0), pad_edge=False
    )
    left = ("attempt", "window")
    heads = [*left, "bars", "shared", "symbols", "shared", "Sharpe", "p alone", "p among all"]
    heads += ["p of the run without", "cost"] if found.run else []
    for heading in heads:
        table.add_column(heading, justify="left" if heading in left else "right", no_wrap=heading in left)
    for row in found.table.to_dict("records"):
        dated = not formats.is_missing(row["first_bar"])
        cells = [
            escaped(str(row["attempt"])),
            f"{row['first_bar']:%Y-%m-%d} – {row['last_bar']:%Y-%m-%d}" if dated else formats.MISSING,
            *(formats.count(row[name]) for name in ("bars", "shared_bars", "symbols", "shared_symbols")),
            formats.ratio(row["sharpe"]),
            *(formats.probability(row[name]) for name in ("own_p", "adjusted_p")),
        ]
        if found.run:
            cells += [formats.probability(row["verdict_p_without"]), formats.coefficient(row["cost"])]
        table.add_row(*cells)
    console.print(table)
    if number:
        of_run = "Of the run asked for both p are those of its verdict; of the others they" if found.run else "Both p"
        told = f"{of_run} come from one stepwise test of all together, so a run's own report may differ a little."
        console.print(told, style="dim", soft_wrap=True, highlight=False)
    if found.elsewhere:
        console.print(f"{found.elsewhere:,} more were made elsewhere (statistics.trials_elsewhere).", highlight=False)
    if found.run:
        console.print(
            f"{escaped(found.run)}: p after attempts {formats.probability(found.verdict_p)} by now, "
            f"{formats.probability(found.verdict_p_then)} when it was made; one-sided.",
            soft_wrap=True,
            highlight=False,
        )
