"""What may be asked of an archive of news, completed with the names it has anyway and checked for contradictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack

import pandas as pd

from embargo.data_loaders.archive.files import Table
from embargo.data_loaders.archive.paths import is_list_path
from embargo.data_loaders.archive.tables import columns_hint, columns_of, mapped
from embargo.data_loaders.archive.time_forms import TimeForm
from embargo.data_loaders.archive.times import check_time_from, form_of, range_of
from embargo.data_loaders.errors import ConfigError, DataError

_NEWS_NAMES = ("article_id", "published_at", "seen_at", "symbol", "text", "source", "url", "label", "revision")


@dataclass(frozen=True)
class NewsRules:
    """Everything ``read_news`` was asked for, as one value that each piece is put through."""

    columns: Mapping[str, str]
    filters: Mapping[str, Any]
    timezone: str | None
    symbols: frozenset[str] | None
    start: pd.Timestamp | None
    end: pd.Timestamp | None
    text_from: tuple[str, ...]
    max_characters: int | None
    symbol: str | None
    symbol_flags: Mapping[str, str]
    date_only: str | None
    form: TimeForm | None = None
    symbol_separator: str | None = None
    symbol_case: str | None = None
    time_from: tuple[str, ...] = ()

    @property
    def listed(self) -> str | None:
        """The path of symbols, where it leads to lists."""
        source = self.columns.get("symbol")
        return source if source is not None and is_list_path(source) else None

    @property
    def wanted(self) -> list[str]:
        """Source columns that these rules read."""
        flag = [] if self.date_only in (None, "all", "midnight") else [str(self.date_only)]
        joined = [*self.time_from, *self.text_from]
        return [*self.columns.values(), *self.filters, *joined, *self.symbol_flags, *flag]


class NewsRequest(TypedDict, total=False):
    """What may be asked of ``read_news``, which says what it means."""

    columns: Mapping[str, str] | None
    filters: Mapping[str, Any] | None
    timezone: str | None
    symbols: Sequence[str] | None
    start: str | pd.Timestamp | None
    end: str | pd.Timestamp | None
    text_from: Sequence[str]
    max_characters: int | None
    symbol: str | None
    symbol_flags: Mapping[str, str] | None
    date_only: str | None
    time_format: str | None
    symbol_separator: str | None
    symbol_case: Literal["upper", "lower"] | None
    time_from: Sequence[str]


def news_rules(parts: Sequence[Table], **request: Unpack[NewsRequest]) -> NewsRules:
    """Complete and check what was asked for; parameters and errors as ``read_news``."""
    symbol, text_from = request.get("symbol"), tuple(request.get("text_from", ()))
    symbol_flags, time_from = dict(request.get("symbol_flags") or {}), tuple(request.get("time_from", ()))
    check_time_from(time_from, request.get("columns") or {}, "published_at", request.get("timezone"))
    given = mapped(parts, request.get("columns") or {}, _NEWS_NAMES)
    symbols = request.get("symbols")
    start, end = range_of(request.get("start"), request.get("end"), where=str(parts[0]))
    rules = NewsRules(
        columns={
            name: source
            for name, source in given.items()
            if not (name == "symbol" and (symbol is not None or symbol_flags))
            and not (name == "text" and text_from)
            and not (name == "published_at" and time_from)
        },
        filters=request.get("filters") or {},
        timezone=request.get("timezone"),
        symbols=None if symbols is None else frozenset(symbols),
        start=start,
        end=end,
        text_from=text_from,
        max_characters=request.get("max_characters"),
        symbol=symbol,
        symbol_flags=symbol_flags,
        date_only=request.get("date_only"),
        form=form_of(request.get("time_format"), request.get("timezone")),
        symbol_separator=request.get("symbol_separator"),
        symbol_case=request.get("symbol_case"),
        time_from=time_from,
    )
    _check_news_request(rules, parts[0])
    return rules


def _check_news_request(rules: NewsRules, path: Table) -> None:
    ways = [rules.symbol is not None, bool(rules.symbol_flags), "symbol" in rules.columns]
    lacking = []
    if not rules.time_from and "published_at" not in rules.columns:
        lacking.append(
            "no column for published_at. Map it with columns = {published_at = '...'}, or join date and time of day "
            "with time_from."
        )
    if not rules.text_from and "text" not in rules.columns:
        lacking.append("no column for text. Map it with columns, or join some with text_from.")
    if not any(ways):
        lacking.append("no symbols. Map a symbol column, set a constant 'symbol', or use symbol_flags.")
    if lacking:
        there = columns_of(path)
        shown = [name if len(name) <= 60 else f"{name[:57]}..." for name in there[:40]]
        hint = columns_hint(path, there)
        raise DataError(f"{path}: {lacking[0]} It has {shown}.{'' if hint.startswith('Map') else f' {hint}'}")
    if rules.symbol_separator == "" or (rules.symbol_separator and "symbol" not in rules.columns):
        raise ConfigError(
            f"{path}: symbol_separator = {rules.symbol_separator!r} splits the cells of a symbol column. Name its "
            "sign, such as ',', and map the column; or leave it out."
        )
    if rules.symbol_separator and rules.listed:
        raise ConfigError(f"{path}: {rules.listed!r} is a list already. Leave symbol_separator out.")
    if rules.symbol_case not in (None, "upper", "lower"):
        raise ConfigError(f"{path}: symbol_case must be 'upper' or 'lower', got {rules.symbol_case!r}.")
    if ways[0] and ways[1]:
        raise ConfigError(f"{path}: both a constant symbol and symbol_flags are set. Use one.")
    if rules.max_characters is not None and rules.max_characters < 1:
        raise ConfigError(f"{path}: max_characters must be at least 1, got {rules.max_characters}.")
