"""The command that a newcomer begins with: ``embargo init``, which proposes a config from the files at hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embargo.data_loaders.errors import ConfigError
from embargo.research.cli.options import refuse_orphans
from embargo.research.cli.terminal import complaints, guarded, now, numbered, write
from embargo.research.progress import escaped

if TYPE_CHECKING:
    from embargo.research.proposing import Proposal

commands = typer.Typer()


@commands.command()
@guarded("Nothing was written.")
def init(
    news: Annotated[Path, typer.Argument(metavar="NEWS", help="News: parquet, CSV, JSONL, packed, or a folder.")],
    prices: Annotated[Path | None, typer.Argument(metavar="[PRICES]", help="Bars, likewise.")] = None,
    yahoo: Annotated[
        list[str] | None,
        typer.Option(metavar="SYMBOL", help="Prices from Yahoo instead, fetched later; repeat for more."),
    ] = None,
    bybit: Annotated[
        list[str] | None,
        typer.Option(metavar="SYMBOL", help="Prices from Bybit instead, such as BTC/USDT; repeat for more."),
    ] = None,
    news_times: Annotated[
        str | None,
        typer.Option(metavar="FORM", help="Form of the times of news, if you know it: '%d/%m/%Y %H:%M', or excel."),
    ] = None,
    price_times: Annotated[
        str | None, typer.Option(metavar="FORM", help="Form of the dates of prices, likewise.")
    ] = None,
    write_to: Annotated[
        Path | None,
        typer.Option("--write", metavar="FILE.toml", help="Write here, where nothing is yet. Default: show it."),
    ] = None,
) -> None:
    """Propose a config from your files of news and prices, every guess with its evidence.

    Looks at columns, delimiter, encoding, form of dates, clock, calendar and
    symbols. What the files show is written with the evidence, marked CONFIRM;
    what no file can tell, such as the zone of times without one, stays OPEN, a
    comment with the candidates and what the check of the clock says of each.

    Nothing is fetched. Read the lines, settle what is open, then run
    [bold]embargo validate[/bold].

    Example: [bold]embargo init news.csv prices.csv --write mine.toml[/bold]
    """
    ways = [prices is not None, bool(yahoo), bool(bybit)]
    if sum(ways) != 1:
        raise ConfigError("init: name the prices once: a file after the news, or --yahoo SYMBOL, or --bybit SYMBOL.")
    if write_to is not None and write_to.exists():
        raise ConfigError(f"--write {write_to}: is there already, and is left alone. Name another file.")
    refuse_orphans(write_to)
    from embargo.research.progress import shown
    from embargo.research.proposing import propose

    with shown(complaints) as stages:
        stages.stage("Look at the files")
        found = propose(
            news,
            prices,
            venue="yahoo" if yahoo else "bybit" if bybit else None,
            symbols=yahoo or bybit or (),
            now=now(),
            news_times=news_times,
            price_times=price_times,
            beside=Path() if write_to is None else write_to.parent,
        )
    if write_to is None:
        write(found.text)
    else:
        with write_to.open("x", encoding="utf-8") as file:
            file.write(found.text)
    _conclude(found, write_to)


def _conclude(found: Proposal, written: Path | None) -> None:
    """Say what is left to do, where it does not get into a config that is piped."""
    told = f"{numbered(found.to_confirm, 'line')} to confirm"
    if found.left_open:
        told += f", {len(found.left_open):,} left open: {', '.join(found.left_open)}"
    complaints.print(escaped(f"{told}."), soft_wrap=True, highlight=False)
    if written is not None:
        complaints.print(
            escaped(f"Written: {written}. Settle these, then: embargo validate {written}"),
            soft_wrap=True,
            highlight=False,
        )
