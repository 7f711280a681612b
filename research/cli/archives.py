"""Options of the commands that read an archive of news, and what was written after them."""

from __future__ import annotations

import tomllib
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embargo.research.cli.terminal import pair

if TYPE_CHECKING:
    from embargo.data_loaders.archive.dialect import Dialect


class Case(StrEnum):
    """How symbols are written."""

    UPPER = "upper"
    LOWER = "lower"


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
DelimiterOption = Annotated[
    str | None, typer.Option(metavar="SIGN", help="Between the cells of a CSV. Default: a comma.")
]
EncodingOption = Annotated[str | None, typer.Option(help="Of texts, such as cp1252 or utf-16. Default: UTF-8.")]
NoHeaderOption = Annotated[
    bool, typer.Option("--no-header", help="The first line names no columns; they are called 1, 2 ...")
]
TimeFormatOption = Annotated[
    str | None, typer.Option(metavar="FORM", help="Of times that are not ISO 8601, such as '%m/%d/%Y %H:%M', or excel.")
]
TimeFromOption = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="Join these columns, date and time of day, to the time; repeat for each."),
]
DecimalOption = Annotated[
    str | None, typer.Option(metavar="SIGN", help="Decimal sign of numbers in a CSV. Default: a point.")
]
ThousandsOption = Annotated[
    str | None, typer.Option(metavar="SIGN", help="Between groups of three figures in a CSV. Default: none.")
]
SeparatorOption = Annotated[
    str | None, typer.Option(metavar="SIGN", help="Between symbols in one cell: one row for each of them.")
]
CaseOption = Annotated[Case | None, typer.Option(help="Write symbols in capitals, or without.")]


def dialect_of(
    delimiter: str | None,
    encoding: str | None,
    no_header: bool,
    decimal: str | None = None,
    thousands: str | None = None,
) -> Dialect:
    """Put together how files are written; a backslash and a t are a tab, which few can type."""
    from embargo.data_loaders.archive.dialect import Dialect

    return Dialect("\t" if delimiter == "\\t" else delimiter, encoding, not no_header, decimal, thousands)


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
