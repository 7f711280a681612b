"""Commands that look into a store: ``embargo data info``, ``check``, ``sql``, ``export`` and ``compact``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.research.cli.options import AllowOption, EnvOption
from embargo.research.cli.terminal import (
    BAD_DATA,
    FAILED,
    complain,
    complaints,
    console,
    guarded,
    instant,
    now,
    numbered,
    write,
)
from embargo.research.plain import for_spreadsheet
from embargo.research.progress import escaped

if TYPE_CHECKING:
    import pandas as pd

    from embargo.data_loaders.checks import Check
    from embargo.data_loaders.schemas import Prices
    from embargo.data_loaders.store import Store

UNTOUCHED = "The store is as it was."


class OutputFormat(StrEnum):
    """How a query's answer is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


commands = typer.Typer()
data = typer.Typer(no_args_is_help=True, help="Look into a store: what it holds, how sound it is, SQL.")
commands.add_typer(data, name="data")

StoreArgument = Annotated[str, typer.Argument(metavar="STORE", help="Folder or address of the store.")]


LimitOption = Annotated[
    int | None, typer.Option(min=0, help="Most rows to show. Default: 50 in a table, all in CSV and JSON.")
]

_HOLDINGS = {
    "news": ("source", "''", "published_at", "published_at"),
    "bars": ("venue", "bar", "open_at", "close_at"),
    "actions": ("venue", "kind", "ex_at", "ex_at"),
    "funding": ("venue", "''", "settles_at", "settles_at"),
    "instruments": ("venue", "kind", "seen_at", "seen_at"),
}


@data.command()
@guarded(UNTOUCHED)
def info(store: StoreArgument = "store") -> None:
    """Say what a store holds: datasets, venues, symbols, rows, ranges.

    Example: [bold]embargo data info store[/bold]
    """
    from embargo.data_loaders.store import Store

    opened = Store.open(store)
    batches = opened.batches()
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("dataset", "from", "symbols", "rows", "edits", "first", "last"):
        table.add_column(heading, justify="right" if heading in ("symbols", "rows", "edits") else "left", no_wrap=True)
    for dataset, (origin, kind, first, last) in _HOLDINGS.items():
        held = opened.sql(
            f"SELECT {origin} AS origin, {kind} AS kind, count(DISTINCT symbol) AS symbols, "  # noqa: S608
            f"count(*) FILTER (revision = 0) AS facts, count(*) FILTER (revision > 0) AS edits, "
            f"min({first}) AS first, max({last}) AS last FROM {dataset} GROUP BY ALL ORDER BY ALL"
        )
        for row in held.itertuples():
            table.add_row(
                dataset,
                escaped(f"{row.origin} {row.kind}".strip()),
                f"{row.symbols:,}",
                f"{row.facts:,}",
                f"{row.edits:,}",
                f"{row.first:%Y-%m-%d}",
                f"{row.last:%Y-%m-%d}",
            )
    console.print(table)
    newest = f", the last at {batches[-1].committed_at:%Y-%m-%d %H:%M:%S} UTC" if batches else ""
    console.print(f"{numbered(len(batches), 'batch', 'batches')}{newest}", highlight=False)


@data.command()
@guarded(UNTOUCHED)
def check(
    target: Annotated[str, typer.Argument(metavar="STORE|CONFIG.toml", help="A store, or an experiment.")] = "store",
    as_of: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="Check the world as known then. Default: now.")
    ] = None,
    venue: Annotated[str | None, typer.Option(help="Only the bars of this venue. Default: all.")] = None,
    bar: Annotated[str | None, typer.Option(help="Only bars of this length. Default: all.")] = None,
    calendar: Annotated[
        str | None, typer.Option(help="Calendar of the bars, such as XNYS. Default: as the bars tell.")
    ] = None,
    env: EnvOption = None,
    allow: AllowOption = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a page.", dir_okay=False)] = None,
) -> None:
    """Check the files of a store and whether its data can be trusted.

    Every file is read and compared with its hash; a damaged one is named and
    the exit status is 1. Then come gaps against the calendar, duplicates, times
    of day, back-filled news, coverage, outliers and jumps that look like splits;
    the exit status is 4 where the data are bad.

    For an experiment, what its run would load is checked.

    Example: [bold]embargo data check store --html check.html[/bold]
    """
    from embargo.research.gathering.checks import print_checks, render_page
    from embargo.research.pages.page import write_page

    if target.endswith(".toml"):
        odd = [name for name, value in (("--venue", venue), ("--bar", bar), ("--calendar", calendar)) if value]
        if odd or as_of:
            raise ConfigError(f"{', '.join([*odd, *(['--as-of'] if as_of else [])])}: the experiment says that itself.")
        sound, parts, accepted = _check_experiment(Path(target), env or [], allow or [])
    else:
        accepted = set[str]()
        at = now() if as_of is None else instant(as_of, "--as-of")
        sound, parts = _check_store(target, at, venue, bar, calendar)
    for name, checks in parts.items():
        console.print(f"\n{name}", style="bold", highlight=False, markup=False)
        print_checks(console, checks)
    if html is not None:
        page = render_page(parts, f"Data check: {Path(target).name}")
        console.print(f"Page: {write_page(page, html)}", soft_wrap=True, highlight=False, markup=False)
    bad = {check.code for checks in parts.values() for check in checks if check.verdict == "bad"}
    if not sound:
        raise typer.Exit(FAILED)
    if bad - accepted:
        raise typer.Exit(BAD_DATA)


def _check_experiment(path: Path, env: list[str], allow: list[str]) -> tuple[bool, dict[str, list[Check]], set[str]]:
    from embargo.research.config.experiment import load_config
    from embargo.research.gathering.checks import check_world
    from embargo.research.progress import shown
    from embargo.research.run.world import load_world

    config = load_config(path, env=env, allow=allow)
    sound = True
    for section in (config.news, config.prices):
        if section.loader == "store" and section.path:
            sound &= _verified(section.path)
    with shown(complaints) as stages:
        world = load_world(config, stages)
        stages.stage("Check news and prices")
        checks = check_world(
            world.news, world.prices, calendar=world.prices.calendar, counts=world.counts["news"], as_of=config.as_of
        )
    return sound, {config.name: checks}, set(config.data.accept)


def _check_store(
    address: str, at: pd.Timestamp, venue: str | None, bar: str | None, calendar: str | None
) -> tuple[bool, dict[str, list[Check]]]:
    from embargo.data_loaders.store import Store
    from embargo.research.gathering.checks import check_world
    from embargo.research.gathering.checks.check import judge_news
    from embargo.research.progress import shown

    sound = _verified(address)
    store = Store.open(address)
    world = store.as_of(at)
    parts: dict[str, list[Check]] = {}
    with shown(complaints) as stages:
        groups = _groups(store, venue, bar, calendar)
        panels: dict[str, tuple[Prices, str]] = {}
        for group in groups:
            stages.stage(f"Check {group}")
            try:
                loaded = world.prices(venue=group.venue, bar=group.bar, calendar=group.calendar, symbols=group.symbols)
                actions = world.actions(venue=group.venue, symbols=group.symbols) if group.acts else None
            except DataError as failure:
                complain(str(failure))
                sound = False
                continue
            panels[str(group)] = (loaded.prices, group.calendar)
            # A store holds levels as traded; a run works its splits in when it reads them.
            parts[str(group)] = check_world(
                None, loaded.prices, calendar=group.calendar, actions=actions, as_of=at, adjusted_later=True
            )
        stages.stage("Check news")
        for name, part in _by_venue(world.news(versions="all"), panels).items():
            prices, code = panels.get(name, (None, "XNYS"))
            parts[f"news on {name}" if name else "news"] = judge_news(part, prices, calendar=calendar or code)
    return sound, parts


def _by_venue(news: pd.DataFrame, panels: dict[str, tuple[Prices, str]]) -> dict[str, pd.DataFrame]:
    """Put the news of each source with the prices that most of them are about: two worlds have two clocks."""
    nearest = {}
    for source, part in news.groupby("source"):
        priced = {name: int(part["symbol"].isin(prices.symbols).sum()) for name, (prices, _) in panels.items()}
        best = max(priced, key=lambda name: priced[name], default="")
        nearest[source] = best if priced.get(best) else ""
    venue = news["source"].map(nearest)
    return {str(name): part.reset_index(drop=True) for name, part in news.groupby(venue)}


@dataclass(frozen=True)
class _Group:
    """Bars that can lie in one panel: of one venue, length and calendar."""

    venue: str
    bar: str
    calendar: str
    symbols: tuple[str, ...]
    acts: bool

    def __str__(self) -> str:
        return f"{self.venue} {self.bar} {self.calendar}"


def _groups(store: Store, venue: str | None, bar: str | None, calendar: str | None) -> list[_Group]:
    """Sort the bars of a store into panels, narrowed as asked."""
    from embargo.data_loaders.store.bar_calendars import calendars_in

    held = store.sql("SELECT DISTINCT venue, bar FROM bars ORDER BY ALL")
    every = [(str(row.venue), str(row.bar)) for row in held.itertuples()]
    chosen = [one for one in every if venue in (None, one[0]) and bar in (None, one[1])]
    if (venue or bar) and not chosen:
        there = ", ".join(" ".join(one) for one in every) or "none"
        raise ConfigError(f"the store has no {bar or ''} bars of {venue or 'any venue'}; there are: {there}.")
    acting = set(store.sql("SELECT DISTINCT venue FROM actions")["venue"])
    groups = []
    for name, length in chosen:
        codes = calendars_in(store, name, length)
        by_code: dict[str, list[str]] = {}
        for symbol, code in codes.items():
            by_code.setdefault(calendar or code or "", []).append(symbol)
        if lost := by_code.pop("", []):
            complain(f"{name} {length}: no calendar fits {', '.join(lost[:8])}. Name theirs with --calendar.")
        groups += [_Group(name, length, code, tuple(found), name in acting) for code, found in by_code.items()]
    return groups


def _verified(address: str) -> bool:
    """Verify every file of a store and name those that are damaged."""
    from embargo.data_loaders.store import Store

    health = Store.open(address).check()
    for damage in health.damaged:
        complain(f"{damage.path}: {damage.reason} (batch {damage.batch} of {damage.source})")
    orphans = (
        f"; {numbered(len(health.orphans), 'file')} of no batch, left by an interruption" if health.orphans else ""
    )
    state = "[green]✓[/] every file is whole" if health.sound else f"[red]✗[/] {len(health.damaged):,} damaged"
    console.print(
        f"{escaped(address)}: {numbered(health.files, 'file')}, {numbered(health.rows, 'row')}, {state}{orphans}",
        highlight=False,
        soft_wrap=True,
    )
    return bool(health.sound)


@data.command()
@guarded(UNTOUCHED)
def sql(
    store: StoreArgument,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT.")],
    form: Annotated[OutputFormat, typer.Option("--format", help="How to write the answer.")] = OutputFormat.TABLE,
    limit: LimitOption = None,
) -> None:
    """Ask a store in SQL (DuckDB).

    Views: news, bars, actions, funding, instruments. They hold every revision,
    with the instant at which it was known.

    CSV is made for spreadsheets: a text that one would compute (it begins with
    = + - @) gets an apostrophe before it, and control characters are shown as
    signs. JSON holds every text exactly.

    Example: [bold]embargo data sql store "SELECT symbol, count(*) FROM bars
    GROUP BY 1"[/bold]
    """
    from embargo.data_loaders.store import Store

    answer = Store.open(store).sql(query)
    most = 50 if limit is None and form is OutputFormat.TABLE else limit
    shown_rows = answer if most is None else answer.head(most)
    if form is OutputFormat.CSV:
        write(for_spreadsheet(shown_rows).to_csv(index=False))
    elif form is OutputFormat.JSON:
        document = shown_rows.to_json(orient="records", date_format="iso", date_unit="us", indent=2)
        # The one control character that JSON need not escape, and pandas does not.
        write(document.replace("\x7f", "\\u007f") + "\n")
    else:
        _print_rows(shown_rows)
    if len(shown_rows) < len(answer):
        complaints.print(f"{len(shown_rows):,} of {len(answer):,} rows shown; --limit shows more.", highlight=False)


def _print_rows(rows: pd.DataFrame) -> None:
    from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in rows.columns:
        justify: Literal["left", "right"] = "right" if is_numeric_dtype(rows[name]) else "left"
        table.add_column(escaped(str(name)), justify=justify, no_wrap=is_datetime64_any_dtype(rows[name]))
    for row in rows.itertuples(index=False, name=None):
        table.add_row(*(escaped(_cell(value)) for value in row))
    console.print(table)


def _cell(value: object) -> str:
    import pandas as pd

    if isinstance(value, pd.Timestamp):
        fraction = f".{value.microsecond:06d}" if value.microsecond else ""
        return f"{value:%Y-%m-%d %H:%M:%S}{fraction}{'' if value.tzinfo is None else 'Z'}"
    if isinstance(value, float):
        return f"{value:.10g}"
    return "" if value is None or value is pd.NaT or value is pd.NA else str(value)


@data.command()
@guarded("The store answers as before; what was not swept is swept next time.")
def compact(store: StoreArgument = "store") -> None:
    """Merge the small files of many fetches into few.

    The store answers every question as before, only faster.

    Example: [bold]embargo data compact store[/bold]
    """
    from embargo.data_loaders.store import Store

    done = Store.open(store).compact(committed_at=now())
    told = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in done.items() if number)
    console.print(told or "Nothing to merge.", highlight=False)


@data.command()
@guarded(UNTOUCHED)
def export(
    store: StoreArgument = "store",
    *,
    delta: Annotated[str, typer.Option(metavar="FOLDER", help="Write a Delta table for each kind of fact below it.")],
) -> None:
    """Write a store as Delta tables, for those who keep their data in a lake.

    Each table holds every version with when it was committed, seen and known. Needs the package deltalake.

    Example: [bold]embargo data export store --delta lake[/bold]
    """
    from embargo.data_loaders.store import Store, export_delta

    written = export_delta(Store.open(store), delta, at=now())
    for dataset, rows in written.items():
        told = "1 version" if rows == 1 else f"{rows:,} versions"
        console.print(f"{escaped(delta)}/{dataset}: {told}", highlight=False, soft_wrap=True)
    if not written:
        console.print("The store holds nothing yet, so nothing was written.")
