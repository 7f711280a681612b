"""The command that brings files into a store: ``embargo import``.

It can be stopped at any moment and started again, and whatever it sets aside is counted.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from embargo.data_loaders.errors import ConfigError
from embargo.research.cli import archives
from embargo.research.cli.terminal import StoreOption, complaints, console, guarded, now
from embargo.research.progress import escaped

INTERRUPTED = "What was imported is kept; the same command continues there."


class Kind(StrEnum):
    """What a file holds."""

    NEWS = "news"
    BARS = "bars"


commands = typer.Typer()


@commands.command("import")
@guarded(INTERRUPTED)
def import_(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Parquet, CSV, JSONL, packed or a folder of them.")],
    store: StoreOption = "store",
    kind: Annotated[Kind, typer.Option(help="What the file holds.")] = Kind.NEWS,
    columns: archives.ColumnsOption = None,
    filters: archives.FilterOption = None,
    timezone: archives.TimezoneOption = None,
    symbol: archives.SymbolOption = None,
    date_only: archives.DateOnlyOption = None,
    text_from: archives.TextFromOption = None,
    symbol_flag: archives.SymbolFlagOption = None,
    symbol_separator: archives.SeparatorOption = None,
    symbol_case: archives.CaseOption = None,
    time_format: archives.TimeFormatOption = None,
    time_from: archives.TimeFromOption = None,
    delimiter: archives.DelimiterOption = None,
    encoding: archives.EncodingOption = None,
    no_header: archives.NoHeaderOption = False,
    decimal: archives.DecimalOption = None,
    thousands: archives.ThousandsOption = None,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the source of news. Default: the file's name.")
    ] = None,
    venue: Annotated[str | None, typer.Option(help="Name of the venue of bars, of your choice.")] = None,
    calendar: Annotated[
        str,
        typer.Option(
            help="Calendar of bars: XNYS, XLON ..., or 24/7; 'XHKG -2023-09-01' says that it was shut that day."
        ),
    ] = "XNYS",
    bar: Annotated[str, typer.Option(help="Length of a bar: 1d, 1h, 5min ...")] = "1d",
) -> None:
    """Import an archive of news or prices that you have.

    An import that was interrupted goes on where it stopped, and one that is
    repeated adds nothing. Every row that is set aside is counted.

    Columns: article_id, published_at, seen_at, symbol, text, source for news;
    symbol, date or open_at, open, high, low, close, volume for bars. Those that
    have other names in the file are mapped; tickers[] or entities.name reaches
    inside nested ones.

    Examples
    --------
    [bold]embargo import tweets.parquet --map article_id=id[/bold]

    [bold]embargo import us.csv --kind bars --venue mine --calendar XNYS[/bold]
    """
    from embargo.data_loaders.store import Store
    from embargo.data_loaders.store.importing import import_bars, import_news
    from embargo.research.progress import shown

    rules: dict[str, Any] = {
        "columns": archives.columns_of(columns),
        "filters": archives.filters_of(filters),
        "timezone": timezone,
        "symbol": symbol,
        "time_format": time_format,
        "time_from": time_from or (),
        "dialect": archives.dialect_of(delimiter, encoding, no_header, decimal, thousands),
    }
    of_news = {
        "--date-only": date_only,
        "--text-from": text_from,
        "--symbol-flag": symbol_flag,
        "--symbol-separator": symbol_separator,
        "--symbol-case": symbol_case,
        "--source": source,
    }
    _refuse_strangers(kind, of_news, venue)
    target = Store.create(store)
    with shown(complaints) as stages:
        advance = stages.stage(f"Import {path.name}")
        if kind is Kind.NEWS:
            flags = archives.flags_of(symbol_flag)
            rules |= {"text_from": text_from or [], "symbol_flags": flags, "date_only": date_only}
            rules |= {"symbol_separator": symbol_separator, "symbol_case": symbol_case}
            name = source or path.name.partition(".")[0]
            report = import_news(path, target, source_name=name, clock=now, progress=advance, **rules)
        else:
            rules |= {"venue": venue, "calendar": calendar, "bar": bar}
            report = import_bars(path, target, clock=now, progress=advance, **rules)
    if report.counts:
        console.print(_counted(report.counts))
    if not report.batches:
        console.print("Nothing to do: this file was imported before with these settings.")
    elif report.skipped_batches:
        console.print(f"{report.skipped_batches:,} batches were there already; the import went on after them.")


def _counted(counts: dict[str, int]) -> Table:
    """Lay out what became of the rows: what was read first, what went into the store last."""
    ends = ("kept", "imported")
    between = [name for name in counts if name not in ("rows", *ends)]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    for name in ("rows", *between, *ends):
        if counts.get(name):
            label = {"rows": "rows read", "imported": "rows imported now"}.get(name, name)
            table.add_row(
                escaped(label.replace("_", " ").replace("filtered:", "left out by the filter on ")), f"{counts[name]:,}"
            )
    return table


def _refuse_strangers(kind: Kind, of_news: dict[str, Any], venue: str | None) -> None:
    """Refuse options of the other kind, which would be left unused without a word."""
    if kind is Kind.BARS:
        odd = [option for option, value in of_news.items() if value]
        if odd:
            raise ConfigError(f"{', '.join(odd)}: only for --kind news.")
        if venue is None:
            raise ConfigError("--venue is missing: give the source of the bars a name, such as --venue mine.")
    elif venue is not None:
        raise ConfigError("--venue: only for --kind bars; news have a --source.")
