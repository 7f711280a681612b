"""The news of an experiment, and how the files of news, prices and labels are written."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

import pandas as pd
from pydantic import Field, model_validator

from embargo.data_loaders.archive.dialect import Dialect
from embargo.data_loaders.archive.times import form_of
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.own_code import LOADERS, check_reference
from embargo.data_loaders.simulated.grammar import MAX_SYMBOLS
from embargo.research.config.settings import MOST, Duration, Instant, Section

# What says how a file is written; a store has no use for it.
FILE_FORM = ("timezone", "time_format", "time_from", "delimiter", "encoding", "header", "decimal", "thousands")
# Loaders of the product; others are somebody's own.
BUILT_IN_LOADERS = ("archive", "store", "simulated")
_OF_NEWS_FILES = (
    "columns", "text_from", "date_only", "symbol", "symbol_flags", "symbol_separator", "symbol_case", *FILE_FORM
)  # fmt: skip


class Written(Protocol):
    """A section that reads files."""

    @property
    def delimiter(self) -> str | None:
        """The sign between cells."""

    @property
    def encoding(self) -> str | None:
        """The encoding of texts."""

    @property
    def header(self) -> bool:
        """Whether a first line names the columns."""

    @property
    def decimal(self) -> str | None:
        """The decimal sign of numbers."""

    @property
    def thousands(self) -> str | None:
        """The sign between groups of three figures."""


def dialect_of(section: Written) -> Dialect:
    """How the files of a section are written; ConfigError where its settings make no sense."""
    return Dialect(section.delimiter, section.encoding, section.header, section.decimal, section.thousands)


def check_form(section: Any) -> None:
    """Check how the files of a section are said to be written; ValueError says what makes no sense."""
    try:
        dialect_of(section)
        form_of(getattr(section, "time_format", None), getattr(section, "timezone", None))
    except ConfigError as failure:
        raise ValueError(str(failure)) from failure


def path_is_there(section: str, loader: str, path: str | None) -> None:
    """Refuse a section that reads files and names none; ValueError says what is missing."""
    if loader in ("archive", "store") and not path:
        what = "a store" if loader == "store" else "a parquet, CSV or JSONL file or folder"
        raise ValueError(f"{section}.path is missing; point it at {what}")


def only_for_archives(section: str, settings: Section, keys: tuple[str, ...]) -> None:
    """Refuse settings that map columns where a store was mapped long ago; ValueError names them."""
    if odd := _not_at_default(section, settings, keys):
        raise ValueError(f"{', '.join(odd)}: only for loader = 'archive'; a store is mapped when files are imported")


def fits_own_loader(section: str, settings: Section, loader: str, keys: tuple[str, ...]) -> None:
    """Refuse a loader that is unknown, settings for one of the product's, and of one's own what it is not told."""
    check_reference(loader, what=f"{section}.loader", built_in=BUILT_IN_LOADERS, group=LOADERS)
    if loader in BUILT_IN_LOADERS:
        if _not_at_default(section, settings, ("settings",)):
            raise ValueError(f"{section}.settings are for a loader of your own; {loader!r} has keys of its own")
    elif odd := _not_at_default(section, settings, ("path", *keys)):
        raise ValueError(
            f"{', '.join(odd)}: a loader of your own is not told this. Put what it needs into {section}.settings"
        )


def _not_at_default(section: str, settings: Section, keys: tuple[str, ...]) -> list[str]:
    defaults = {key: type(settings).model_fields[key].get_default(call_default_factory=True) for key in keys}
    return [f"{section}.{key}" for key in keys if getattr(settings, key) != defaults[key]]


class Simulated(Section):
    """The simulated market that stands in for both news and prices."""

    strength: Annotated[float, Field(ge=0.0, le=5.0)] = 1.0
    """How strongly prices react to news, as a multiple of the usual; 0 is a market where news means nothing."""
    symbols: Annotated[int, Field(ge=4, le=MAX_SYMBOLS)] = 24
    """Number of symbols."""
    start: Instant = pd.Timestamp("2015-01-01", tz="UTC")
    """First day of the market."""
    end: Instant = pd.Timestamp("2020-12-31", tz="UTC")
    """Last day of the market."""
    articles_per_symbol_day: Annotated[float, Field(gt=0, le=5)] = 0.4
    """Mean number of articles of each symbol a day."""


class NewsSection(Section):
    """Where the articles come from and how their columns read.

    Source columns, wherever they are named, may be paths inside nested ones, ``entities.sentiment.basic``; that of
    ``columns.symbol`` may lead through a list, ``tickers[]`` or ``tickers[].symbol``: one row per article and symbol. A
    loader of your own is a function of ``settings`` that returns news, or the name that an installed package registered
    under ``embargo.loaders``.
    """

    loader: str = "archive"
    """Where articles come from: `"archive"` (files), `"store"`, `"simulated"`, or a function of your own as
    `"package.module:name"`, which has to be allowed with `--allow`."""
    path: str | None = None
    """File or folder of an archive, or root of a store, from this file's folder on."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """What a loader of your own is told; the product's take none."""
    columns: dict[str, str] = Field(default_factory=dict)
    """The product's names (`article_id`, `published_at`, `seen_at`, `symbol`, `text`, `source`, `label` ...) to those
    of the file, where they differ."""
    text_from: tuple[str, ...] = ()
    """Columns joined by line breaks to make the text, such as title and body; unset, the column `text`."""
    filters: dict[str, Any] = Field(default_factory=dict)
    """Keep only rows whose source column has a value, one of a list, or lies in `{ min = a, max = b }`."""
    timezone: str | None = None
    """Zone of times that carry none, such as `"America/New_York"`, or the unit of epochs, `"unix:ms"`; without it naive
    times are refused."""
    time_format: str | None = None
    """How times are written that are not ISO 8601, in the codes of strptime, or `"excel"` or `"excel1904"` for the
    serial numbers of a spreadsheet; it is never guessed."""
    time_from: tuple[str, ...] = ()
    """Columns of date and time of day, joined by a space to make `published_at`, such as `["Datum", "Uhrzeit"]`;
    `time_format` is the form of both together, `"%d.%m.%Y %H:%M"`."""
    date_only: str | None = None
    """Which rows have a date but no true time: `"all"`, `"midnight"` (those at exactly 00:00), or the name of a column
    that flags them; they are known when their day ends."""
    delimiter: str | None = None
    """Sign between the cells of a CSV, where it is no comma."""
    encoding: str | None = None
    """Encoding of texts, where it is not UTF-8."""
    header: bool = True
    """Whether the first line names the columns; without one they are called `"1"`, `"2"` ..."""
    decimal: str | None = None
    """Decimal sign of the numbers that filters compare in a CSV, where it is no point: `","`."""
    thousands: str | None = None
    """Sign between groups of three figures in the numbers of a CSV, such as `"."` or `","`; unset, there is none."""
    symbol_separator: str | None = None
    """What keeps several symbols in one cell apart, such as `","`: one row per article and symbol."""
    symbol_case: Literal["upper", "lower"] | None = None
    """Write symbols in capitals, or without."""
    symbol: str | None = None
    """Symbol of all rows, for a source about one thing."""
    symbol_flags: dict[str, str] = Field(default_factory=dict)
    """Flag columns to symbols, such as `{ mentions_btc = "BTCUSDT" }`: one row per article and raised flag."""
    max_characters: Annotated[int, Field(ge=20, le=MOST)] = 600
    """Length to which texts are cut."""
    drop_repeats: bool = True
    """Whether articles are left out whose text, but for case, links and punctuation, an earlier one brought within
    `repeat_window`."""
    repeat_scope: Literal["symbol", "all"] = "symbol"
    """Whether a repeat is one among the articles of its symbol, or among all."""
    repeat_window: Duration = "4D"
    """How far back an article is repeated: four days reach from a Friday's close over a long weekend; what comes up
    later, such as next quarter's "beats estimates", is news."""
    unpriced: Literal["error", "drop"] = "error"
    """What happens to articles of symbols without prices: an error, or they are dropped and counted."""
    simulated: Simulated = Simulated()
    """The market behind `loader = "simulated"`."""

    @model_validator(mode="after")
    def _fits_its_loader(self) -> NewsSection:
        path_is_there("news", self.loader, self.path)
        fits_own_loader("news", self, self.loader, (*_OF_NEWS_FILES, "filters"))
        if self.loader == "store":
            only_for_archives("news", self, _OF_NEWS_FILES)
        check_form(self)
        return self


def asked_of_archive(news: NewsSection) -> dict[str, Any]:
    """Return what a section asks of `embargo.data_loaders.read_news`, but for symbols, range of time and dialect."""
    return {
        "columns": news.columns,
        "filters": news.filters,
        "timezone": news.timezone,
        "text_from": news.text_from,
        "max_characters": news.max_characters,
        "symbol": news.symbol,
        "symbol_flags": news.symbol_flags,
        "date_only": news.date_only,
        "time_format": news.time_format,
        "time_from": news.time_from,
        "symbol_separator": news.symbol_separator,
        "symbol_case": news.symbol_case,
    }
