"""Commands on experiments: ``embargo demo``, ``run``, ``validate`` and ``runs``."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from embargo.data_loaders.errors import EmbargoError
from embargo.research.cache import cache_folder, folder_for, ledger_folder
from embargo.research.cli.data_verdict import show_data
from embargo.research.cli.options import (
    AcceptOption,
    AllowOption,
    CacheOption,
    ConfigArgument,
    EngineOption,
    EnvOption,
    HtmlOption,
    OutOption,
    SetOption,
    WorkersOption,
    experiment,
    refuse_orphans,
)
from embargo.research.cli.terminal import BAD_DATA, FAILED, LEAK_FOUND, complaints, console, guarded, numbered
from embargo.research.progress import escaped
from embargo.research.screen import Screen

if TYPE_CHECKING:
    from embargo.research.config.experiment import Config
    from embargo.research.run.pipeline import Outcome

RUN_INTERRUPTED = "No run was written; what was trained and scored so far stays cached."

commands = typer.Typer()


@commands.command()
@guarded(RUN_INTERRUPTED)
def demo(
    strength: Annotated[
        float,
        typer.Option(
            min=0.0, max=5.0, help="How strongly prices react to news; 0 is a market where news means nothing."
        ),
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the market and of everything else.")] = 0,
    out: OutOption = Path("runs"),
    cache: CacheOption = None,
    engine: EngineOption = "auto",
    workers: WorkersOption = None,
) -> None:
    """Run the main job on a simulated market whose truth is known.

    Writes articles and prices, pretrains a tiny language model on the oldest
    texts, tunes it with QLoRA before each test window, trades its scores
    through vectorbt, measures, audits for leaks, and reports.

    Example: [bold]embargo demo --strength 0.5[/bold]
    """
    from embargo.research.config.experiment import load_config
    from embargo.research.examples.shipped import example

    with example("demo") as path:
        config = load_config(path, [f"seed={seed}", f"news.simulated.strength={strength}"])
    _execute(config, out, cache, engine, workers)


@commands.command()
@guarded(RUN_INTERRUPTED)
def run(
    config: ConfigArgument,
    overrides: SetOption = None,
    accepted: AcceptOption = None,
    env: EnvOption = None,
    allow: AllowOption = None,
    out: OutOption = Path("runs"),
    cache: CacheOption = None,
    engine: EngineOption = "auto",
    workers: WorkersOption = None,
) -> None:
    """Run one experiment and write its report.

    The config has the sections news, prices, labels, split, model, signal,
    portfolio, costs, statistics, regimes, leakage, report and data.

    Its news and prices are checked first. On data that a check calls bad no
    edge is claimed, the report is stamped, and the exit status is 4.

    Every key is described in docs/configuration.md; examples are in
    research/experiments.

    Example: [bold]embargo run mine.toml --set signal.half_life=2[/bold]
    """
    _execute(experiment(config, overrides, accepted, env, allow), out, cache, engine, workers)


@commands.command()
@guarded(RUN_INTERRUPTED)
def validate(
    config: ConfigArgument,
    overrides: SetOption = None,
    accepted: AcceptOption = None,
    env: EnvOption = None,
    allow: AllowOption = None,
) -> None:
    """Check a config and its data without training anything, and show what a run would use.

    The exit status is 4 where a check of the data calls them bad.

    Example: [bold]embargo validate mine.toml[/bold]
    """
    from embargo.models.bases.vintages import Vintages
    from embargo.research.progress import shown
    from embargo.research.run.kept import Kept
    from embargo.research.run.own_loaders import own_code_told
    from embargo.research.run.plan import base_of
    from embargo.research.run.preparation import prepare
    from embargo.research.run.samples import cautions, left_out

    try:
        settings = experiment(config, overrides, accepted, env, allow)
        kept = None
        # Who only checks needs no place, and does not mind a bad one.
        with suppress(EmbargoError, RuntimeError):
            kept = Kept(cache_folder(None) / "computed")
        with shown(complaints) as stages:
            plan = prepare(settings, stages, kept=kept)
    except EmbargoError:
        # What is open is often what is wrong.
        _tell_open(config, overrides, complaints)
        raise
    table = Table(title=f"{settings.name}: {len(plan.world.prices.symbols)} symbols, {len(plan.world.news):,} articles")
    dated = isinstance(plan.base, Vintages)
    for heading in ("fold", "train", "validation", "test", "test window", *(["base"] * dated)):
        table.add_column(heading, justify="left" if heading in ("test window", "base") else "right")
    for part in plan.parts:
        window = f"{part.fold.test_start:%Y-%m-%d} – {part.fold.test_end:%Y-%m-%d}"
        sizes = (len(part.train), len(part.validation), part.n_test_articles)
        base = base_of(plan, part)
        table.add_row(
            str(part.fold.index),
            *(f"{size:,}" for size in sizes),
            window,
            *([escaped(base.name)] if dated and base else []),
        )
    console.print(table)
    for said in own_code_told(settings):
        console.print(escaped(said), soft_wrap=True, highlight=False)
    for said in left_out(settings, plan.world, plan.parts):
        console.print(escaped(said), soft_wrap=True, highlight=False)
    for said in cautions(plan.world, plan.parts):
        console.print(f"[yellow]![/] {escaped(said)}", soft_wrap=True, highlight=False)
    teacher = settings.model.teacher
    if {settings.model.kind, None if teacher is None else teacher.kind} & {"prompted", "endpoint"}:
        # Loaded here because readers that are asked in words bring what no other kind needs.
        from embargo.research.run.asking import foreseen
        from embargo.research.run.foresight import prompt_cautions

        for said in prompt_cautions(plan):
            console.print(f"[yellow]![/] {escaped(said)}", soft_wrap=True, highlight=False)
        for said in foreseen(plan):
            console.print(escaped(said), soft_wrap=True, highlight=False)
    show_data(plan.data)
    _tell_open(config, overrides, console)
    if not plan.data.stands:
        raise typer.Exit(BAD_DATA)
    looked = "config and data are fine" if plan.data.grade == "clean" else "config is fine, and the data can be used"
    console.print(f"[green]✓[/] {looked}")


@commands.command()
@guarded(RUN_INTERRUPTED)
def runs(
    folder: Annotated[Path, typer.Argument(help="Folder of runs.", file_okay=False)] = Path("runs"),
    verify: Annotated[
        bool, typer.Option("--verify", help="Hold every file of every run against its hash, not only the figures.")
    ] = False,
    html: HtmlOption = None,
    cache: CacheOption = None,
) -> None:
    """List the runs so far with their headline figures.

    A run that was changed after it was written, or is not whole, is named below
    the others with what does not fit, and the exit status is 1. Runs of versions
    that kept no hashes are listed as unsealed.

    The page (--html) is a table to sort and to filter, with growth, links to the
    runs' own reports, and the attempts on each window that the ledger knows.

    Example: [bold]embargo runs runs --verify --html runs.html[/bold]
    """
    from embargo.research.pages import formats
    from embargo.research.records.folders import list_runs

    refuse_orphans(html)
    found = list_runs(folder, verify=verify)
    if html is not None:
        # Loaded here because the list alone needs neither frames nor templates.
        from embargo.research.pages.page import write_page
        from embargo.research.studies.listing import entries_of, render_page

        entries = entries_of(found, folder, ledger_folder(cache_folder(cache)))
        write_page(render_page(entries, folder, html), html)
        found = sorted((entry.row for entry in entries), key=lambda row: str(row["run"]))
    whole = [row for row in found if row["damage"] is None]
    title = escaped(f"{numbered(len(whole), 'run')} in {folder}")
    table = Table(title=title, box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("run", "status", "data", "Sharpe (interval)", "p, one-sided", "return", "max DD", "trials"):
        table.add_column(heading, justify="left" if heading in ("run", "status", "data") else "right", no_wrap=True)
    for row in whole:
        table.add_row(
            escaped(row["run"]),
            escaped(f"{row['status'] or formats.MISSING}{'' if row['sealed'] else ', unsealed'}"),
            escaped(row["data"] or formats.MISSING),
            formats.around(row["sharpe"], None if row["sharpe"] is None else (row["sharpe_low"], row["sharpe_high"])),
            formats.probability(row["sharpe_p_value"]),
            formats.percent(row["total_return"]),
            formats.percent(row["max_drawdown"]),
            formats.count(row["n_trials"]),
        )
    console.print(table)
    if unsealed := sum(not row["sealed"] for row in whole):
        runs = "1 run is" if unsealed == 1 else f"{unsealed:,} runs are"
        told = f"{runs} unsealed, written by a version that kept no hashes: changes to them cannot be noticed."
        console.print(told, style="dim", soft_wrap=True, highlight=False)
    if html is not None:
        console.print(f"Page: {escaped(str(html))}", soft_wrap=True, highlight=False)
    damaged = [row for row in found if row["damage"] is not None]
    for row in damaged:
        console.print(f"[bold red]damaged:[/] {escaped(row['damage'])}", soft_wrap=True, highlight=False)
    if damaged:
        raise typer.Exit(FAILED)


def _tell_open(config: Path, overrides: list[str] | None, screen: Screen) -> None:
    """Count and name what a config of ``embargo init`` still leaves open."""
    from embargo.research.proposing import still_open

    with suppress(OSError, UnicodeError):
        if left := still_open(config.read_text(encoding="utf-8"), overrides or ()):
            told = (
                f"{config} still leaves {numbered(len(left), 'line')} OPEN: {', '.join(left)}. Take the mark off the "
                "right one or write it; where it is to stay out, delete the comment that asks."
            )
            screen.print(f"[yellow]![/] {escaped(told)}", soft_wrap=True, highlight=False)


def _execute(config: Config, out: Path, cache: Path | None, engine: str, workers: int | None) -> None:
    from embargo.research.engine.choice import engine_of
    from embargo.research.progress import shown
    from embargo.research.run.pipeline import execute

    places = {"out": folder_for("--out", out), "cache": cache_folder(cache)}
    with (
        shown(complaints) as stages,
        closing(engine_of(engine, workers, folder=places["cache"], say=stages.say)) as chosen,
    ):
        outcome = execute(config, **places, stages=stages, engine=chosen)
    _summarise(outcome)
    if outcome.status == "invalid":
        raise typer.Exit(LEAK_FOUND)
    if not outcome.data.stands:
        raise typer.Exit(BAD_DATA)


def _summarise(outcome: Outcome) -> None:
    colour = {"valid": "green", "caution": "yellow", "invalid": "red"}[outcome.status]
    table = Table(title=f"[bold]{outcome.folder.name}[/]", show_header=True)
    table.add_column("")
    table.add_column("strategy", justify="right")
    table.add_column("what it means", style="dim")
    for label, value, note in outcome.headline:
        table.add_row(label, value, note)
    console.print(table)
    console.print(f"[bold {colour}]{escaped(outcome.verdict.headline)}[/]")
    console.print(escaped(outcome.verdict.text))
    show_data(outcome.data, outcome.metrics.data_faults, briefly=True)
    console.print(f"Report: {outcome.folder / 'report.html'}", soft_wrap=True, markup=False)
