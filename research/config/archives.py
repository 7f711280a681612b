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
FILE_FORM = ("timezone", "time_format", "delimiter", "encoding", "header")
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


def dialect_of(section: Written) -> Dialect:
    """How the files of a section are written; ConfigError where its settings make no sense."""
    return Dialect(section.delimiter, section.encoding, section.header)


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
    symbols: Annotated[int, Field(ge=4, le=MAX_SYMBOLS)] = 24
    start: Instant = pd.Timestamp("2015-01-01", tz="UTC")
    end: Instant = pd.Timestamp("2020-12-31", tz="UTC")
    articles_per_symbol_day: Annotated[float, Field(gt=0, le=5)] = 0.4


class NewsSection(Section):
    """Where the articles come from and how their columns read.

    ``drop_repeats`` leaves out articles whose text, but for case, links and punctuation, another one brought at most
    ``repeat_window`` before. ``repeat_scope = "symbol"`` compares articles of one symbol, ``"all"`` those of all. Four
    days reach from a Friday's close over a long weekend to Tuesday's open; what comes up again later, such as next
    quarter's "beats estimates", is news.

    Source columns, wherever they are named, may be paths inside nested ones, ``entities.sentiment.basic``; that of
    ``columns.symbol`` may lead through a list, ``tickers[]`` or ``tickers[].symbol``. It, or ``symbol_separator`` for
    cells such as ``NVDA,AMD``, makes one row per article and symbol. ``time_format`` says in the codes of strptime how
    times are written that are not ISO 8601, and ``"excel"`` or ``"excel1904"`` that they are the serial numbers of a
    spreadsheet: it is never guessed. ``delimiter`` and ``encoding`` say the same of files, and ``header = false`` that
    columns are named by their place, ``"1"``, ``"2"``.

    ``loader`` may be ``"package.module:name"`` of yours, which has to be allowed (``--allow``), or the name that an
    installed package registered under ``embargo.loaders``: a function of ``settings`` that returns news.
    """

    loader: str = "archive"
    path: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    columns: dict[str, str] = Field(default_factory=dict)
    text_from: tuple[str, ...] = ()
    filters: dict[str, Any] = Field(default_factory=dict)
    timezone: str | None = None
    time_format: str | None = None
    date_only: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    header: bool = True
    symbol_separator: str | None = None
    symbol_case: Literal["upper", "lower"] | None = None
    symbol: str | None = None
    symbol_flags: dict[str, str] = Field(default_factory=dict)
    max_characters: Annotated[int, Field(ge=20, le=MOST)] = 600
    drop_repeats: bool = True
    repeat_scope: Literal["symbol", "all"] = "symbol"
    repeat_window: Duration = "4D"
    unpriced: Literal["error", "drop"] = "error"
    simulated: Simulated = Simulated()

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
        "symbol_separator": news.symbol_separator,
        "symbol_case": news.symbol_case,
    }
