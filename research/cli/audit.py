"""The audit of an experiment, apart from a run: ``embargo audit``."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from embargo.data_loaders.errors import ConfigError
from embargo.research.cli.data_verdict import show_data
from embargo.research.cli.options import AcceptOption, EnvOption, JsonOption, SetOption, experiment, refuse_orphans
from embargo.research.cli.terminal import BAD_DATA, LEAK_FOUND, complaints, console, guarded
from embargo.research.progress import escaped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embargo.research.config.experiment import Config
    from embargo.research.run.data_verdict import DataVerdict

COLOURS = {"leak": "bold red", "suspicious": "yellow", "inconclusive": "yellow", "pass": "green"}

commands = typer.Typer()


@commands.command()
@guarded("Nothing was written.")
def audit(
    what: Annotated[Path, typer.Argument(metavar="RUN|CONFIG.toml", help="Folder of a run, or an experiment.")],
    deep: Annotated[
        bool, typer.Option("--deep", help="Carry the whole run out again in worlds with other futures.")
    ] = False,
    rows: Annotated[int, typer.Option(min=1, help="Rows whose future is changed; more find rarer leaks.")] = 6,
    overrides: SetOption = None,
    accepted: AcceptOption = None,
    env: EnvOption = None,
    json: JsonOption = None,
) -> None:
    """Say what a run's audit found, or carry the run out again with other futures.

    With --deep everything is made anew, from the files to the orders, in worlds
    that agree on all that was known at an instant and differ after it: samples,
    models, calibrations, scores, signal, weights and orders up to then must stay
    as they were, bit for bit. It takes about as long as four runs without a cache.
    Texts are searched for words, numbers and sources that know what came of them.

    Exit status 3 if a leak is found, 4 if a check calls the data bad.

    Example: [bold]embargo audit research/experiments/stocknet.toml --deep[/bold]
    """
    from embargo.research.records.folders import write_json

    refuse_orphans(json)
    data = None
    if deep:
        found, data = _deeply(what, rows, overrides, accepted, env)
    else:
        found = _recorded(what, overrides, accepted)
    _show(found)
    if data is not None:
        show_data(data, briefly=True)
    if json is not None:
        write_json(json, found)
        console.print(f"Findings: {escaped(str(json))}", soft_wrap=True, highlight=False)
    if any(finding["verdict"] == "leak" for finding in found):
        raise typer.Exit(LEAK_FOUND)
    if data is not None and not data.stands:
        raise typer.Exit(BAD_DATA)


def _recorded(run: Path, *given: Sequence[str] | None) -> list[dict[str, Any]]:
    """Read the findings of a finished run."""
    from embargo.research.records.run import Run

    if run.is_file():
        raise ConfigError(f"{run} is an experiment, not a run. Add --deep, or give the folder of a run of it.")
    if any(given):
        raise ConfigError(f"--set and --accept-data: {run} is a finished run. Add --deep to carry it out again.")
    return [{str(name): value for name, value in row.items()} for row in Run.load(run).findings.to_dict("records")]


def _deeply(
    what: Path, rows: int, overrides: list[str] | None, accepted: list[str] | None, env: list[str] | None
) -> tuple[list[dict[str, Any]], DataVerdict]:
    from embargo.backtest.leakage import GRAVITY
    from embargo.research.progress import shown
    from embargo.research.run.deep import audit_deeply
    from embargo.research.run.preparation import prepare
    from embargo.research.run.world import load_inputs
    from embargo.research.studies.signal.recalled import hold_against

    config, kept = _experiment_of(what, overrides, accepted, env)
    with shown(complaints) as stages, TemporaryDirectory(prefix="embargo-audit-") as cache:
        inputs = load_inputs(config, stages)
        plan = prepare(config, stages, inputs)
        if kept is not None:
            hold_against(kept, plan.world.fingerprints(), config, what)
        found = audit_deeply(plan, inputs, Path(cache), stages, n_rows=rows)
    graver = sorted(found, key=lambda finding: GRAVITY.index(finding.verdict))
    return [finding.to_dict() for finding in graver], plan.data


def _experiment_of(
    what: Path, overrides: list[str] | None, accepted: list[str] | None, env: list[str] | None
) -> tuple[Config, dict[str, str] | None]:
    """Return an experiment and, of a run that is repeated as it was, the fingerprints of its data."""
    if not what.is_dir():
        return experiment(what, overrides, accepted, env), None
    from embargo.research.records.folders import CONFIG
    from embargo.research.records.run import Run

    run = Run.load(what)
    if overrides or accepted or env:
        return experiment(what / CONFIG, overrides, accepted, env), None
    return run.config, run.manifest.get("fingerprints", {})


def _show(found: Sequence[dict[str, Any]]) -> None:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("code", "verdict", "what was asked", "what was found"):
        table.add_column(heading)
    for finding in found:
        colour, remedy = COLOURS.get(finding["verdict"], "dim"), finding["remedy"]
        said = " ".join(text for text in (finding["detail"], remedy and f"To do: {remedy}") if text)
        verdict = f"[{colour}]{escaped(finding['verdict'])}[/]"
        table.add_row(escaped(finding["code"]), verdict, escaped(finding["title"]), escaped(said))
    console.print(table)
