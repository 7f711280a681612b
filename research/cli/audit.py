"""The audit of an experiment, apart from a run, and of strategies made elsewhere: ``embargo audit``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.table import Table

from embargo.data_loaders.errors import ConfigError, EmbargoError
from embargo.research.cli.data_verdict import show_data
from embargo.research.cli.options import (
    AcceptOption,
    AllowOption,
    CacheOption,
    EnvOption,
    JsonOption,
    SetOption,
    experiment,
    refuse_orphans,
)
from embargo.research.cli.terminal import BAD_DATA, LEAK_FOUND, complaints, console, guarded
from embargo.research.progress import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from embargo.backtest.leakage import Finding
    from embargo.research.config.experiment import Config
    from embargo.research.progress import Stages
    from embargo.research.run.data_verdict import DataVerdict
    from embargo.research.run.plan import Plan
    from embargo.research.run.world import Inputs

COLOURS = {"leak": "bold red", "suspicious": "yellow", "inconclusive": "yellow", "pass": "green"}

commands = typer.Typer()


@dataclass(frozen=True)
class Asked:
    """What is asked anew: rows with other futures and articles put to readers, 0 for none, and with what."""

    rows: int
    articles: int
    names: Path | None
    cache: Path | None


class Options(NamedTuple):
    """What the options replace, accept, let be filled in and let be run."""

    overrides: list[str] | None
    accepted: list[str] | None
    env: list[str] | None
    allow: list[str] | None


class Traded(NamedTuple):
    """How rows are traded, as far as it was said."""

    fill: str | None
    leverage: float | None
    latency: str | None

    def completed(self, config: Config | None) -> tuple[str, float, str]:
        """Fill in what was not said: as an experiment has it, or as is usual."""
        fill, leverage, latency = "open", 1.0, "5min"
        if config is not None:
            fill, leverage, latency = config.execution.fill, config.execution.leverage, config.prices.latency
        return self.fill or fill, self.leverage or leverage, self.latency or latency


@commands.command()
@guarded("Nothing was written.")
def audit(
    what: Annotated[
        Path | None, typer.Argument(metavar="[RUN|CONFIG.toml]", help="Folder of a run, or an experiment.")
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Carry the whole run out again in worlds with other futures.")
    ] = False,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Rows whose future is changed; more find rarer leaks.")
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Put changed news to the run's own readers: what do they remember?")
    ] = False,
    articles: Annotated[
        int, typer.Option(min=1, help="Articles that are put to them, drawn at random; each costs a dozen readings.")
    ] = 600,
    names: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="What companies are called (.csv or .toml), in place of leakage.names.", dir_okay=False
        ),
    ] = None,
    overrides: SetOption = None,
    accepted: AcceptOption = None,
    env: EnvOption = None,
    allow: AllowOption = None,
    signal: Annotated[
        str | None,
        typer.Option(metavar="MODULE:FUNCTION", help="A strategy of your own; this runs your code as it stands."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Instead: weights (parquet or CSV), dated by when bars open.")
    ] = None,
    prices: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Bars that the strategy traded, if no config says.")
    ] = None,
    news: Annotated[Path | None, typer.Option(metavar="FILE", help="Articles that it read, if no config says.")] = None,
    orders: Annotated[Path | None, typer.Option(metavar="FILE", help="Its orders as they were filled.")] = None,
    calendar: Annotated[
        str | None, typer.Option(metavar="CODE", help="Exchange of the bars, such as XNYS or 24/7.")
    ] = None,
    bar: Annotated[str | None, typer.Option(help="Length of a bar. Default: 1d.")] = None,
    fill: Annotated[
        str | None, typer.Option(help="Price at which rows trade: open or close. Default: the config's, or open.")
    ] = None,
    latency: Annotated[
        str | None, typer.Option(help="Time between decision and open. Default: the config's, or 5min.")
    ] = None,
    leverage: Annotated[
        float | None,
        typer.Option(
            min=1.0, help="Gross exposure that the account allows, times its equity. Default: the config's, or 1."
        ),
    ] = None,
    adjusted: Annotated[
        bool | None,
        typer.Option("--adjusted/--as-traded", help="Whether levels were adjusted for splits or dividends to come."),
    ] = None,
    chosen_at: Annotated[
        str | None, typer.Option("--symbols-chosen-at", metavar="DATE", help="When the list of symbols was made.")
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Attempts that the strategy was picked from.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the rows and of the changes.")] = 0,
    cache: CacheOption = None,
    json: JsonOption = None,
) -> None:
    """Say what a run's audit found, ask a run more than that, or audit a strategy made elsewhere.

    With --deep everything is made anew, from the files to the orders, in worlds
    that agree on all that was known at an instant and differ after it: samples,
    models, calibrations, scores, signal, weights and orders up to then must stay
    as they were, bit for bit. It takes about as long as four runs without a cache.

    With --signal, a function of (prices), or of (news, prices), that returns
    weights is called with other futures: its rows decided before must stay as
    they were. With --weights alone, what can be told without the function is.
    Checks that need more are listed with what they need. News and prices are
    files with our columns, or those of CONFIG.toml, written as it says.

    With --probe the readers of each fold, out of the cache or fitted again, are
    given test news once more: with names masked, under false dates, with what
    happened turned round, and as bare symbols and dates or with the news of
    another day. What still forecasts returns is remembered. That takes a dozen
    readings of 600 articles, and goes with --deep.

    A model behind an address has to have a budget for either, such as
    model.endpoint.max_requests: what the run spent out of the same cache counts in
    it, and what was answered is not asked again.

    Exit status 3 if a leak is found, 4 if a check calls the data bad.

    Example: [bold]embargo audit research/experiments/stocknet.toml --deep[/bold]

    Example: [bold]embargo audit --signal mine:decide --prices bars.csv --calendar XNYS --news news.csv[/bold]

    Example: [bold]embargo audit mine.toml --signal mine:decide[/bold]
    """
    from embargo.research.records.folders import write_json

    refuse_orphans(json)
    data = None
    files = {"weights": weights, "prices": prices, "news": news, "orders": orders}
    named = [f"--{name}" for name, each in {"signal": signal, **files}.items() if each is not None]
    if named:
        of_config = {"--set": overrides, "--env": env, "--allow": allow} if what is None else {}
        others = {"--deep": deep, "--probe": probe, "--accept-data": accepted, **of_config}
        if needless := ", ".join(name for name, each in others.items() if each):
            raise ConfigError(f"{', '.join(named)}: a strategy made elsewhere has no run. Leave {needless} out.")
        options: dict[str, Any] = {"trials": trials, "rows": rows or 12, "seed": seed}
        options |= {"adjusted": adjusted, "symbols_chosen_at": chosen_at}
        if what is None:
            options |= {"calendar": calendar, "bar": bar or "1d"}
            found = _elsewhere(signal, files, options, Traded(fill, leverage, latency), None)
        else:
            twice = {"--prices": prices, "--news": news, "--calendar": calendar, "--bar": bar}
            if said := ", ".join(name for name, each in twice.items() if each is not None):
                raise ConfigError(f"{said}: {what} says which news and prices. Leave them out, or leave it out.")
            config = _experiment_of(what, Options(overrides, None, env, allow))[0]
            found = _elsewhere(signal, files, options, Traded(fill, leverage, latency), config)
    elif what is None:
        raise ConfigError(
            "audit: give the folder of a run, an experiment with --deep or --probe, or --signal or --weights."
        )
    elif deep or probe:
        asked = Asked((rows or 6) if deep else 0, articles if probe else 0, names, cache)
        found, data = _anew(what, asked, Options(overrides, accepted, env, allow))
    else:
        found = _recorded(what, overrides, accepted, None if names is None else [str(names)])
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


def _elsewhere(
    signal: str | None,
    files: dict[str, Path | None],
    options: dict[str, Any],
    traded: Traded,
    config: Config | None,
) -> list[dict[str, Any]]:
    """Audit a function of the user's own, or weights, on files or on the news and prices of an experiment."""
    from pandas import Timedelta

    from embargo.backtest import Execution
    from embargo.research.progress import shown
    from embargo.research.run.world import load_world
    from embargo.research.studies.strategy import audit_strategy, takes_news

    if files["prices"] is None and config is None:
        raise ConfigError(
            "--prices: give the bars that the strategy traded, and --calendar; or a config that has them."
        )
    fill, leverage, latency = traded.completed(config)
    if fill not in ("open", "close"):
        raise ConfigError(f"--fill {fill}: write open or close.")
    try:
        waited = Timedelta(latency)
    except ValueError as failure:
        raise ConfigError(f"--latency {latency}: write a time such as 5min.") from failure
    fn = None if signal is None else _function(signal)
    material: dict[str, Any] = {"prices": files["prices"], "news": files["news"]}
    with shown(complaints) as stages:
        if config is not None:
            world = load_world(config, stages)
            material = {"prices": world.prices, "news": world.news if fn is None or takes_news(fn) else None}
            if options["symbols_chosen_at"] is None:
                options["symbols_chosen_at"] = config.prices.symbols_chosen_at
        stages.stage("Audit a strategy made elsewhere")
        try:
            found = audit_strategy(
                signal=fn,
                execution=Execution(fill="close" if fill == "close" else "open", leverage=leverage),
                latency=waited,
                weights=files["weights"],
                orders=files["orders"],
                **material,
                **options,
            )
        except EmbargoError as failure:
            raise type(failure)(_by_options(str(failure))) from failure
    found = found.assign(**{name: found[name].map(_by_options) for name in ("detail", "remedy")})
    return [{str(name): value for name, value in row.items()} for row in found.to_dict("records")]


def _by_options(said: str) -> str:
    """Name the options of the command in place of the arguments that Python has for them."""
    for written, option in _WRITTEN.items():
        said = said.replace(written, option)
    said = re.sub(r"^symbols_chosen_at:", "--symbols-chosen-at:", said)
    return re.sub(
        rf"(?<![\w.`'(-])({'|'.join(_ARGUMENTS)})=(?=[\s.,:;]|$)",
        lambda found: f"--{found[1].replace('_', '-')}",
        said,
    )


# What an argument of `embargo.audit` is written as in advice, and the option in its place; no option takes returns.
_ARGUMENTS = ("signal", "weights", "prices", "news", "orders", "trials", "rows", "symbols_chosen_at")
_WRITTEN = {
    "execution=Execution(leverage=...)": "--leverage",
    "calendar='XNYS', '24/7'": "--calendar XNYS, 24/7",
    "adjusted= says": "--adjusted or --as-traded says",
    "rite the file with commas.": "rite the file with commas, or name a config that says so in place of the file.",
    "Take prices.select(symbols=...), or give": "Leave the others out of the file of prices, or give",
    "Hand in returns= beside orders=.": "Hand in returns= and orders= of embargo.audit in Python.",
}


def _function(name: str) -> Callable[..., Any]:
    """Import a user's function, from the folder that the command is called in among others."""
    from embargo.data_loaders.own_code import named

    found: Callable[..., Any] = named(name, what="--signal")
    if not callable(found):
        raise ConfigError(f"--signal {name}: {name.partition(':')[2]} is no function but {type(found).__name__}.")
    return found


def _recorded(run: Path, *given: Sequence[str] | None) -> list[dict[str, Any]]:
    """Read the findings of a finished run."""
    from embargo.research.records.run import Run

    if run.is_file():
        raise ConfigError(
            f"{run} is an experiment, not a run. Add --deep or --probe, --signal or --weights to audit those on its "
            "data, or give the folder of a run of it."
        )
    if any(given):
        raise ConfigError(
            f"--set, --accept-data and --names: {run} is a finished run. Add --deep or --probe to ask it anew."
        )
    return [{str(name): value for name, value in row.items()} for row in Run.load(run).findings.to_dict("records")]


def _anew(what: Path, asked: Asked, changes: Options) -> tuple[list[dict[str, Any]], DataVerdict]:
    """Prepare an experiment, or a run's once more, and ask of it what is wanted."""
    from embargo.backtest.leakage import GRAVITY
    from embargo.research.cache import cache_folder
    from embargo.research.config.names import read_names
    from embargo.research.progress import shown
    from embargo.research.run.preparation import prepare
    from embargo.research.run.probing import probe_run
    from embargo.research.run.world import load_inputs
    from embargo.research.studies.signal.recalled import hold_against

    config, kept = _experiment_of(what, changes)
    names = None if asked.names is None else read_names(asked.names)
    found: list[Finding] = []
    with shown(complaints) as stages:
        inputs = load_inputs(config, stages)
        plan = prepare(config, stages, inputs)
        if kept is not None:
            hold_against(kept, plan.world.fingerprints(), config, what)
        cache = cache_folder(asked.cache)
        if asked.rows:
            found += _other_futures(plan, inputs, asked.rows, cache, stages)
        if asked.articles:
            found += probe_run(plan, cache, stages, names=names, at_most=asked.articles)
    graver = sorted(found, key=lambda finding: GRAVITY.index(finding.verdict))
    return [finding.to_dict() for finding in graver], plan.data


def _other_futures(plan: Plan, inputs: Inputs, rows: int, kept: Path, stages: Stages) -> list[Finding]:
    from embargo.research.run.deep import audit_deeply

    with TemporaryDirectory(prefix="embargo-audit-") as cache:
        return audit_deeply(plan, inputs, Path(cache), stages, n_rows=rows, kept=kept)


def _experiment_of(what: Path, changes: Options) -> tuple[Config, dict[str, str] | None]:
    """Return an experiment and, of a run that is repeated as it was, the fingerprints of its data."""
    if not what.is_dir():
        return experiment(what, *changes), None
    from embargo.research.records.folders import CONFIG
    from embargo.research.records.run import Run

    run = Run.load(what)
    if changes.overrides or changes.accepted or changes.env:
        return experiment(what / CONFIG, *changes), None
    return run.config.allowing(changes.allow or ()), run.manifest.get("fingerprints", {})


def _show(found: Sequence[dict[str, Any]]) -> None:
    from embargo.research.pages.formats import instants_in

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("code", "verdict", "what was asked", "what was found"):
        table.add_column(heading)
    for finding in found:
        colour, remedy = COLOURS.get(finding["verdict"], "dim"), finding["remedy"]
        said = " ".join(text for text in (instants_in(finding["detail"]), remedy and f"To do: {remedy}") if text)
        verdict = f"[{colour}]{escaped(finding['verdict'])}[/]"
        table.add_row(escaped(finding["code"]), verdict, escaped(finding["title"]), escaped(said))
    console.print(table)
