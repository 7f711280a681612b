"""The command line: experiments (``demo``, ``run`` ...), models (``tune``, ``score`` ...) and data (``fetch`` ...).

Exit status: 0 the command did its job, 1 an error (also where only a part of the work failed), 2 bad usage or
configuration, 3 the audit found a leak, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from embargo.research.cli import compare, data, models, paths, signal, sources, sweep
from embargo.research.cli.imports import import_
from embargo.research.cli.options import CacheOption, SetOption, cache_folder
from embargo.research.cli.terminal import LEAK_FOUND, complaints, console, escaped, guarded

if TYPE_CHECKING:
    from embargo.research.config.experiment import Config
    from embargo.research.run.pipeline import Outcome

RUN_INTERRUPTED = "No run was written; what was trained and scored so far stays cached."

app = typer.Typer(
    name="embargo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    help="""Backtest trading signals that language models read from news, without seeing the future.

    Start with [bold]embargo demo[/bold]: a simulated market, end to end, no data or network needed.
    Then fetch or import data, copy a config from research/experiments and run it.
    Models by themselves are tuned, judged, used and exported with the commands from [bold]tune[/bold] on.

    Exit status: 0 fine, 1 error, 2 bad usage or config, 3 the audit found a leak, 130 interrupted.""",
)

OutOption = Annotated[Path, typer.Option(help="Folder that receives the run's own folder.", file_okay=False)]
ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="The experiment.", dir_okay=False)]


@contextmanager
def example(name: str) -> Iterator[Path]:
    """Yield the path of a config that ships with the package."""
    with as_file(files("embargo.research.examples") / f"{name}.toml") as path:
        yield path


@app.command()
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
) -> None:
    """Run the main job on a simulated market whose truth is known.

    Writes articles and prices, pretrains a tiny language model on the oldest
    texts, tunes it with QLoRA before each test window, trades its scores
    through vectorbt, measures, audits for leaks, and reports.

    Example: [bold]embargo demo --strength 0.5[/bold]
    """
    from embargo.research.config.experiment import load_config

    with example("demo") as path:
        config = load_config(path, [f"seed={seed}", f"news.simulated.strength={strength}"])
    _execute(config, out, cache)


@app.command()
@guarded(RUN_INTERRUPTED)
def run(
    config: ConfigArgument,
    overrides: SetOption = None,
    out: OutOption = Path("runs"),
    cache: CacheOption = None,
) -> None:
    """Run one experiment and write its report.

    The config has the sections news, prices, labels, split, model, signal,
    portfolio, costs, statistics, regimes, leakage and report.

    Every key is described in research/config/experiment.py; whole examples are in
    research/experiments.

    Example: [bold]embargo run mine.toml --set signal.half_life=2[/bold]
    """
    from embargo.research.config.experiment import load_config

    _execute(load_config(config, overrides), out, cache)


@app.command()
@guarded(RUN_INTERRUPTED)
def validate(config: ConfigArgument, overrides: SetOption = None) -> None:
    """Check a config and its data without training anything, and show what a run would use.

    Example: [bold]embargo validate mine.toml[/bold]
    """
    from embargo.research.config.experiment import load_config
    from embargo.research.progress import shown
    from embargo.research.run.pipeline import prepare

    settings = load_config(config, overrides)
    with shown(complaints) as stages:
        plan = prepare(settings, stages)
    table = Table(title=f"{settings.name}: {len(plan.world.prices.symbols)} symbols, {len(plan.world.news):,} articles")
    for heading in ("fold", "train", "validation", "test", "test window"):
        table.add_column(heading, justify="left" if heading == "test window" else "right")
    for part in plan.parts:
        window = f"{part.fold.test_start:%Y-%m-%d} – {part.fold.test_end:%Y-%m-%d}"
        sizes = (len(part.train), len(part.validation), part.n_test_articles)
        table.add_row(str(part.fold.index), *(f"{size:,}" for size in sizes), window)
    console.print(table)
    console.print("[green]✓[/] config and data are fine")


@app.command()
@guarded(RUN_INTERRUPTED)
def runs(folder: Annotated[Path, typer.Argument(help="Folder of runs.", file_okay=False)] = Path("runs")) -> None:
    """List the runs so far with their headline figures.

    Example: [bold]embargo runs runs[/bold]
    """
    from embargo.research.pages import formats
    from embargo.research.records.folders import list_runs

    found = list_runs(folder)
    table = Table(title=f"{len(found)} runs in {folder}", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("run", "status", "Sharpe (interval)", "p", "return", "max DD", "trials"):
        table.add_column(heading, justify="left" if heading in ("run", "status") else "right", no_wrap=True)
    for row in found:
        table.add_row(
            row["run"],
            row["status"],
            f"{formats.ratio(row['sharpe'])} "
            f"({formats.ratio(row['sharpe_low'])} to {formats.ratio(row['sharpe_high'])})",
            formats.probability(row["sharpe_p_value"]),
            formats.percent(row["total_return"]),
            formats.percent(row["max_drawdown"]),
            formats.count(row["n_trials"]),
        )
    console.print(table)


# Help lists commands in the order in which they are added.
signal.register(app)
sweep.register(app)
paths.register(app)
compare.register(app)
models.register(app)
sources.register(app)
app.command(name="import")(import_)
app.add_typer(data.app, name="data")


def _execute(config: Config, out: Path, cache: Path | None) -> None:
    from embargo.research.progress import shown
    from embargo.research.run.pipeline import execute

    with shown(complaints) as stages:
        outcome = execute(config, out=out, cache=cache_folder(cache), stages=stages)
    _summarise(outcome)
    if outcome.status == "invalid":
        raise typer.Exit(LEAK_FOUND)


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
    console.print(f"Report: {outcome.folder / 'report.html'}", soft_wrap=True)


def main() -> None:
    """Entry point of the ``embargo`` command."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal or log that cannot show a sign gets its number: no reason to fail half-way.
        sys.stdout.reconfigure(errors="backslashreplace")
    app()
