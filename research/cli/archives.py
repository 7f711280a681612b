"""Options of the commands that read an archive of news, and what was written after them."""

from __future__ import annotations

import tomllib
from typing import Annotated, Any

import typer

from embargo.research.cli.terminal import pair

ColumnsOption = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="NAME=COLUMN", help="Our name for one of the file's columns; repeat for more."),
]
FilterOption = Annotated[
    list[str] | None, typer.Option("--filter", metavar="COLUMN=VALUE", help="Only these rows; repeat for more.")
]
TimezoneOption = Annotated[
    str | None, typer.Option(help="Zone of times that carry none, such as America/New_York, or unix:s.")
]
SymbolOption = Annotated[str | None, typer.Option(help="Symbol of every row, if the file has no column for it.")]
DateOnlyOption = Annotated[
    str | None,
    typer.Option(help="News with a date but no time: 'all', 'midnight', or a column that flags them.", metavar="WHICH"),
]
TextFromOption = Annotated[
    list[str] | None, typer.Option(metavar="COLUMN", help="Join these columns to the text; repeat for more.")
]
SymbolFlagOption = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN=SYMBOL", help="A row with this flag is about this symbol; repeat for more."),
]


def columns_of(given: list[str] | None) -> dict[str, str]:
    """Read ``--map``."""
    return dict(pair(one, "--map", "NAME=COLUMN") for one in given or [])


def filters_of(given: list[str] | None) -> dict[str, Any]:
    """Read ``--filter``; values as TOML, so that true is a truth and 5 a number, and bare words are strings."""
    return {name: _value(value) for name, value in (pair(one, "--filter", "COLUMN=VALUE") for one in given or [])}


def flags_of(given: list[str] | None) -> dict[str, str]:
    """Read ``--symbol-flag``."""
    return dict(pair(one, "--symbol-flag", "COLUMN=SYMBOL") for one in given or [])


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
