"""Commands that bring data from services into a store: ``embargo fetch`` and ``embargo collect``.

Each can be stopped at any moment and started again: what was stored stays, and the next call goes on there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from embargo.data_loaders.errors import ConfigError, ServiceError
from embargo.research.cli.options import EnvOption
from embargo.research.cli.terminal import (
    FAILED,
    StoreOption,
    complain,
    complaints,
    console,
    guarded,
    instant,
    now,
    pair,
)
from embargo.research.progress import escaped

if TYPE_CHECKING:
    import pandas as pd

    from embargo.data_loaders.retries import Patience
    from embargo.research.gathering.downloads import Visit
    from embargo.research.gathering.fetching import Tally

FETCH_INTERRUPTED = "What was fetched is kept; the same command continues there."
COLLECT_INTERRUPTED = "What was collected is kept; the next run continues there."


class MarketOption(StrEnum):
    """Markets of Bybit."""

    SPOT = "spot"
    LINEAR = "linear"


commands = typer.Typer()
fetch = typer.Typer(
    no_args_is_help=True,
    help="""Fill a store from Yahoo or Bybit, asking only for what is missing.

    Start the same command again to continue after an interruption, or tomorrow
    to bring the store up to date.""",
)

SymbolsArgument = Annotated[list[str] | None, typer.Argument(metavar="SYMBOL...", help="What to fetch.")]
SymbolsFileOption = Annotated[
    str | None, typer.Option(metavar="FILE", help="More symbols, one a line, # for comments; - reads standard input.")
]
StartOption = Annotated[str, typer.Option(metavar="DATE", help="First day, or instant with a time zone.")]
EndOption = Annotated[str | None, typer.Option(metavar="DATE", help="Up to here, not included. Default: now.")]
PatienceOption = Annotated[
    float,
    typer.Option(
        "--patience", min=1.0, metavar="SECONDS", help="Give up on a request after this long, retries included."
    ),
]


commands.add_typer(fetch, name="fetch")


@fetch.command()
@guarded(FETCH_INTERRUPTED)
def yahoo(
    symbols: SymbolsArgument = None,
    store: StoreOption = "store",
    start: StartOption = "2010-01-01",
    end: EndOption = None,
    bar: Annotated[str, typer.Option(help="Length of a bar: 1d, 1h, 30min, 15min, 5min ...")] = "1d",
    news: Annotated[bool, typer.Option(help="Also fetch the newest articles.")] = True,
    calendar: Annotated[
        list[str] | None,
        typer.Option(metavar="SYMBOL=CODE", help="Calendar of a symbol whose exchange is not known; repeat for more."),
    ] = None,
    symbols_file: SymbolsFileOption = None,
    patience: PatienceOption = 60.0,
) -> None:
    """Fetch prices, dividends, splits and the newest articles of shares.

    Prices are stored as they were traded; dividends and splits lie beside them,
    so that a later split never moves an earlier level.

    Yahoo keeps articles for days only and hourly bars for two years: run
    [bold]embargo collect[/bold] regularly to build an archive.

    Example: [bold]embargo fetch yahoo AAPL MSFT --start 2015-01-01[/bold]
    """
    from embargo.research.gathering.downloads import yahoo_news, yahoo_prices

    wanted = _symbols(symbols, symbols_file)
    first, last = _range(start, end)
    calendars = _calendars(calendar or [])
    with _visit(store, "yahoo", patience) as visit:
        yahoo_prices(visit, wanted, start=first, end=last, bar=bar, calendars=calendars)
        if news:
            yahoo_news(visit, wanted)


@fetch.command()
@guarded(FETCH_INTERRUPTED)
def bybit(
    symbols: SymbolsArgument = None,
    store: StoreOption = "store",
    market: Annotated[MarketOption, typer.Option(help="Spot, or USDT and USDC perpetuals.")] = MarketOption.LINEAR,
    start: StartOption = "2020-01-01",
    end: EndOption = None,
    bar: Annotated[str, typer.Option(help="Length of a candle: 1min, 5min, 1h, 4h, 1d ...")] = "1h",
    funding: Annotated[bool, typer.Option("--funding", help="Also fetch funding rates (linear only).")] = False,
    instruments: Annotated[
        bool, typer.Option("--instruments", help="Also note what is listed now, and since when.")
    ] = False,
    symbols_file: SymbolsFileOption = None,
    patience: PatienceOption = 60.0,
) -> None:
    """Fetch candles, funding rates and listing dates of coins.

    Symbols may be written BTCUSDT or BTC/USDT. A candle that is still being
    traded is never stored. Public data need no key.

    Example: [bold]embargo fetch bybit BTCUSDT --start 2022-01-01 --funding[/bold]
    """
    from embargo.data_loaders.bybit.connection import connect
    from embargo.research.gathering.downloads import bybit_candles, bybit_funding, bybit_instruments

    if funding and market is not MarketOption.LINEAR:
        raise ConfigError("--funding: only perpetuals pay funding. Add --market linear, or leave --funding out.")
    wanted = _symbols(symbols, symbols_file)
    first, last = _range(start, end)
    with _visit(store, "bybit", patience) as visit:
        connection = connect(patience=visit.patience)
        if instruments:
            bybit_instruments(visit, connection, market.value)
        bybit_candles(visit, connection, wanted, market=market.value, start=first, end=last, bar=bar)
        if funding:
            bybit_funding(visit, connection, wanted, start=first, end=last)


@commands.command()
@guarded(COLLECT_INTERRUPTED)
def collect(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to collect.", dir_okay=False)],
    env: EnvOption = None,
    patience: PatienceOption = 60.0,
) -> None:
    """Store the newest articles, each stamped with the moment it was seen.

    Made for cron: run every few minutes it builds an archive free of
    look-ahead. Unchanged articles add nothing, edited ones become revisions,
    runs that overlap do no harm, and one line says what came in.

    Example: [bold]*/15 * * * * embargo collect /data/collect.toml[/bold]

    A commented config lies in research/experiments/collect.toml.
    """
    from embargo.research.gathering.collecting import collect as run
    from embargo.research.gathering.collecting import load_collection
    from embargo.research.progress import Quiet, shown

    settings = load_collection(config, env=env or ())
    with shown(complaints) if console.is_terminal else nullcontext(Quiet()) as stages:
        collected = run(settings, clock=now, stages=stages, patience=_patience(patience))
    for line in collected.failure_lines():
        complain(line)
    told = [f"{source} {_told(tally, collected.failures.get(source))}" for source, tally in collected.tallies.items()]
    told += [f"{source} failed" for source in collected.failures if source not in collected.tallies]
    console.print(f"{now():%Y-%m-%dT%H:%M:%SZ} {'; '.join(told)}", soft_wrap=True, highlight=False, markup=False)
    if collected.failure_lines():
        raise typer.Exit(FAILED)


def _told(tally: Tally, reason: str | None) -> str:
    """Say in one line what was added, and whether something failed beside it."""
    parts = []
    for dataset, added in tally.added.items():
        parts += [f"{added.new:,} new {dataset}"] if added.new else []
        parts += [f"{added.revised:,} revised {dataset}"] if added.revised else []
    failed = len(tally.failure_lines())
    parts += ["failed"] if reason is not None else [f"{failed:,} failed"] if failed else []
    return ", ".join(parts) or "nothing new"


@contextmanager
def _visit(store: str, source: str, patience: float) -> Iterator[Visit]:
    """Visit a source, then say what came of it; also where it fell silent on the way."""
    from embargo.data_loaders.store import Store
    from embargo.research.gathering.downloads import visiting
    from embargo.research.progress import shown

    with (
        shown(complaints) as stages,
        visiting(Store.create(store), source, clock=now, stages=stages, patience=_patience(patience)) as visit,
    ):
        silence = None
        try:
            yield visit
        except ServiceError as failure:
            silence = failure
    _conclude(visit.tally, store)
    if silence is not None:
        raise silence
    if visit.tally.failures:
        raise typer.Exit(FAILED)


def _conclude(tally: Tally, store: str) -> None:
    """Say what was added, what was there already, what is missing and what failed."""
    from embargo.data_loaders.store.additions import Added

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("", "new", "revised", "unchanged"):
        table.add_column(heading, justify="right" if heading else "left")
    held = {dataset: added for dataset, added in tally.added.items() if added != Added()}
    for dataset, added in held.items():
        table.add_row(dataset, f"{added.new:,}", f"{added.revised:,}", f"{added.unchanged:,}")
    if held:
        console.print(f"Added to {escaped(store)}", soft_wrap=True, highlight=False)
        console.print(table)
    if tally.complete:
        console.print(f"Already there, not asked for: {_listed(tally.complete)}", soft_wrap=True, highlight=False)
    if tally.empty:
        console.print(f"Nothing there in this range: {_listed(tally.empty)}", soft_wrap=True, highlight=False)
    for name, number in tally.gaps.items():
        told = f"Gaps: {name} lacks {number:,} bars that the source does not have"
        console.print(told, soft_wrap=True, highlight=False, markup=False)
    for line in tally.failure_lines():
        complain(line)


def _listed(names: list[str], most: int = 8) -> str:
    rest = len(names) - most
    return escaped(", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else ""))


def _patience(deadline: float) -> Patience:
    from embargo.data_loaders.retries import Patience

    return Patience(timeout=min(20.0, deadline), deadline=deadline)


def _symbols(given: list[str] | None, file: str | None) -> list[str]:
    """Join symbols of the command line and of a file, each once, in the order given."""
    lines: list[str] = []
    if file == "-":
        lines = sys.stdin.read().splitlines()
    elif file is not None:
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as failure:
            raise ConfigError(f"--symbols-file {file}: cannot be read: {failure}") from failure
    named = [line.partition("#")[0].strip() for line in lines]
    every = list(dict.fromkeys([*(given or []), *(name for name in named if name)]))
    if not every:
        raise ConfigError("no symbols. Name some, such as 'AAPL MSFT', or point --symbols-file at a list.")
    return every


def _calendars(named: list[str]) -> dict[str, str]:
    pairs = (pair(text, "--calendar", "SYMBOL=CODE") for text in named)
    return {symbol.upper(): code for symbol, code in pairs}


def _range(start: str, end: str | None) -> tuple[pd.Timestamp, pd.Timestamp | None]:
    first = instant(start, "--start")
    last = None if end is None else instant(end, "--end")
    if first >= now():
        raise ConfigError(f"--start {start} lies in the future, so there is nothing to fetch yet.")
    if last is not None and last <= first:
        raise ConfigError(f"--end {end} is not after --start {start}.")
    return first, last
