"""News and prices from files: parquet, CSV or JSONL, one file or a folder of them, read in pieces.

Columns are mapped, times get their zone, and whatever is set aside is counted by reason. Nothing is repaired in
silence: a time without a zone, a price that is not positive or an article with two texts is an error naming the row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from data_loaders.calendars import ROUND_THE_CLOCK, label_sessions, length_of, sessions
from data_loaders.errors import ConfigError, DataError
from data_loaders.schemas import PRICE_FIELDS, Prices, validate_news, validate_prices
from data_loaders.tables import (
    Piece,
    Progress,
    boundary_of,
    columns_of,
    files_of,
    instants_of,
    keep_filtered,
    numbers_of,
    pieces,
    session_labels_of,
    truth_of,
)

_NEWS_NAMES = ("article_id", "published_at", "seen_at", "symbol", "text", "source", "url", "label", "revision")
_QUOTES = ("open", "high", "low", "close")
_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class Loaded:
    """Validated news and how many rows were read, kept, and set aside for which reason."""

    frame: pd.DataFrame
    counts: dict[str, int]


@dataclass(frozen=True)
class LoadedPrices:
    """Validated prices and how many rows were read, kept, and set aside for which reason."""

    prices: Prices
    counts: dict[str, int]


@dataclass(frozen=True)
class _NewsRules:
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


def _mapped(path: str | Path, columns: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Complete a column map with the canonical names that the first file has anyway."""
    present = columns_of(files_of(path)[0])
    return {name: name for name in names if name in present and name not in columns} | dict(columns)


def _add(counts: dict[str, int], key: str, number: int) -> None:
    counts[key] = counts.get(key, 0) + int(number)


def _out_of_range(when: pd.Series, start: pd.Timestamp | None, end: pd.Timestamp | None) -> pd.Series:
    outside = pd.Series(False, index=when.index)
    if start is not None:
        outside |= when < start
    if end is not None:
        outside |= when >= end
    return outside


def _with_symbols(
    frame: pd.DataFrame, raw: pd.DataFrame, rules: _NewsRules, piece: Piece, counts: dict[str, int]
) -> pd.DataFrame:
    """Give every row its symbol: a constant, one row per raised flag, or the symbol column."""
    if rules.symbol is not None:
        frame = frame.assign(symbol=rules.symbol)
    elif rules.symbol_flags:
        parts = []
        for column, symbol in rules.symbol_flags.items():
            raised = truth_of(raw[column], where=f"{piece.file}, column {column!r}")
            parts.append(frame.loc[raised].assign(symbol=symbol))
        joined = pd.concat(parts).sort_index(kind="stable")
        _add(counts, "without_symbol", len(frame) - joined.index.nunique())
        _add(counts, "rows_added_by_flags", len(joined) - joined.index.nunique())
        frame = joined
    else:
        absent = frame["symbol"].isna() | (frame["symbol"].astype("str").str.strip() == "")
        _add(counts, "without_symbol", absent.sum())
        frame = frame.loc[~absent].assign(symbol=lambda part: part["symbol"].astype("str").str.strip())
    if rules.symbols is not None:
        wanted = frame["symbol"].isin(rules.symbols)
        _add(counts, "other_symbols", (~wanted).sum())
        frame = frame.loc[wanted]
    return frame


def _with_text(frame: pd.DataFrame, raw: pd.DataFrame, rules: _NewsRules, counts: dict[str, int]) -> pd.DataFrame:
    """Join title and body where asked, set blank texts aside, and cut long ones."""
    if rules.text_from:
        parts = [raw[name].map(lambda value: "" if pd.isna(value) else str(value).strip()) for name in rules.text_from]
        text = parts[0].astype("str")
        for part in parts[1:]:
            gap = np.where((text != "") & (part != ""), "\n", "")
            text = text + pd.Series(gap, index=text.index, dtype="str") + part.astype("str")
    else:
        text = raw[rules.columns["text"]].map(lambda value: "" if pd.isna(value) else str(value)).astype("str")
    frame = frame.assign(text=text)
    blank = frame["text"].str.strip() == ""
    _add(counts, "blank_text", blank.sum())
    frame = frame.loc[~blank]
    if rules.max_characters is not None:
        long = frame["text"].str.len() > rules.max_characters
        _add(counts, "truncated", long.sum())
        frame = frame.assign(text=frame["text"].str.slice(0, rules.max_characters))
    return frame


def _end_of_day(published_at: pd.Series, timezone: str | None) -> pd.Series:
    """Return the local midnight that ends each article's day, in UTC."""
    local = published_at.dt.tz_convert(timezone or "UTC").dt.tz_localize(None)
    midnight = local.dt.normalize() + _DAY
    later = np.zeros(len(midnight), dtype=bool)
    return midnight.dt.tz_localize(timezone or "UTC", ambiguous=later, nonexistent="shift_forward").dt.tz_convert("UTC")


def _dated(
    frame: pd.DataFrame, raw: pd.DataFrame, rules: _NewsRules, piece: Piece, counts: dict[str, int]
) -> pd.DataFrame:
    """Read times, set undated rows aside, delay date-only rows to the end of their day, and keep the range."""
    for name in ("published_at", "seen_at"):
        if name in rules.columns:
            where = f"{piece.file}, column {rules.columns[name]!r}"
            frame[name] = instants_of(
                raw[rules.columns[name]], rules.timezone, counts, where=where, bare_dates=rules.date_only is not None
            )
    if "seen_at" not in frame:
        frame["seen_at"] = frame["published_at"]
    undated = frame["published_at"].isna()
    _add(counts, "undated", undated.sum())
    frame = frame.loc[~undated].assign(seen_at=lambda part: part["seen_at"].fillna(part["published_at"]))
    if rules.date_only is not None:
        if rules.date_only == "all":
            vague = pd.Series(True, index=frame.index)
        elif rules.date_only == "midnight":
            local = frame["published_at"].dt.tz_convert(rules.timezone or "UTC")
            vague = local == local.dt.normalize()
        else:
            flags = raw.loc[frame.index, rules.date_only]
            vague = truth_of(flags, where=f"{piece.file}, column {rules.date_only!r}")
        _add(counts, "date_only", vague.sum())
        evening = _end_of_day(frame["published_at"], rules.timezone)
        frame["seen_at"] = frame["seen_at"].where(~vague, frame["seen_at"].where(frame["seen_at"] > evening, evening))
    outside = _out_of_range(frame["published_at"], rules.start, rules.end)
    _add(counts, "out_of_range", outside.sum())
    return frame.loc[~outside]


def _news_piece(piece: Piece, rules: _NewsRules, counts: dict[str, int]) -> pd.DataFrame:
    _add(counts, "rows", len(piece.frame))
    raw = keep_filtered(piece, rules.filters, counts)
    plain = {
        name: raw[source] for name, source in rules.columns.items() if name not in ("published_at", "seen_at", "text")
    }
    frame = _dated(pd.DataFrame(plain, index=raw.index), raw, rules, piece, counts)
    frame = _with_text(frame, raw.loc[frame.index], rules, counts)
    return _with_symbols(frame, raw.loc[frame.index], rules, piece, counts)


def _content_ids(frame: pd.DataFrame) -> list[str]:
    """Hash time, source and text, but not the symbol: one article under several symbols stays one article."""
    columns = (frame["published_at"].astype("int64"), frame["source"], frame["text"])
    return [
        hashlib.blake2b(f"{when}\0{source}\0{text}".encode(), digest_size=10).hexdigest()
        for when, source, text in zip(*columns, strict=True)
    ]


def _one_row_per_key(frame: pd.DataFrame, path: str | Path, counts: dict[str, int]) -> pd.DataFrame:
    """Collapse identical repetitions; refuse a key, or an article, with two contents."""
    identical = frame.astype({"text": "str"}).duplicated()
    counts["identical_rows_collapsed"] = int(identical.sum())
    frame = frame.loc[~identical]
    twice = frame.duplicated(["article_id", "symbol"], keep=False)
    if twice.any():
        first = frame.loc[twice].iloc[0]
        rivals = frame.loc[(frame["article_id"] == first["article_id"]) & (frame["symbol"] == first["symbol"])]
        differing = [name for name in frame.columns if len(rivals[name].unique()) > 1]
        raise DataError(
            f"{path}: article {first['article_id']!r} of {first['symbol']!r} stands there {len(rivals)} times with "
            f"different {differing} ({int(twice.sum())} such rows). Map another id, or filter by one of these columns."
        )
    content = frame.groupby("article_id")[["text", "published_at"]].nunique()
    torn = content.index[(content > 1).any(axis=1)]
    if len(torn):
        raise DataError(
            f"{path}: {len(torn)} article ids carry different texts or times under different symbols, first "
            f"{torn[0]!r}. An article has one text and one time: map another id."
        )
    return frame


def _check_news_request(rules: _NewsRules, path: str | Path) -> None:
    ways = [rules.symbol is not None, bool(rules.symbol_flags), "symbol" in rules.columns]
    if "published_at" not in rules.columns:
        raise DataError(f"{path}: no column for published_at. Map it with columns = {{published_at = '...'}}.")
    if not rules.text_from and "text" not in rules.columns:
        raise DataError(f"{path}: no column for text. Map it with columns, or join some with text_from.")
    if not any(ways):
        raise DataError(f"{path}: no symbols. Map a symbol column, set a constant 'symbol', or use symbol_flags.")
    if ways[0] and ways[1]:
        raise ConfigError(f"{path}: both a constant symbol and symbol_flags are set. Use one.")
    if rules.max_characters is not None and rules.max_characters < 1:
        raise ConfigError(f"{path}: max_characters must be at least 1, got {rules.max_characters}.")
    if rules.start is not None and rules.end is not None and rules.end <= rules.start:
        raise ConfigError(f"{path}: end {rules.end} is not after start {rules.start}.")


def read_news(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    filters: Mapping[str, Any] | None = None,
    timezone: str | None = None,
    symbols: Sequence[str] | None = None,
    start: str | pd.Timestamp | None = None,
    end: str | pd.Timestamp | None = None,
    text_from: Sequence[str] = (),
    max_characters: int | None = None,
    symbol: str | None = None,
    symbol_flags: Mapping[str, str] | None = None,
    date_only: str | None = None,
    progress: Progress | None = None,
) -> Loaded:
    """Read news from parquet, CSV or JSONL.

    Parameters
    ----------
    path : str or Path
        A file, or a folder of files of one format (sub-folders included).
    columns : mapping, optional
        Canonical name to source column, such as ``{"article_id": "id"}``. Canonical columns that the file has under
        their own name need no entry. Other names on the left are kept as extra columns.
    filters : mapping, optional
        Source column to a value (equality), a list (membership) or ``{"min": a, "max": b}`` (both included).
    timezone : str, optional
        Zone of times without an offset; without it they are refused. At clock changes the later instant is taken and
        counted as ``uncertain_local_times``. Also the zone of the days of ``date_only`` (UTC if not given).
    symbols : sequence of str, optional
        Keep only these.
    start, end : Timestamp or str, optional
        Keep ``start <= published_at < end``; a bare date is 00:00 UTC.
    text_from : sequence of str
        Source columns joined by a line break to make the text, such as title and body. Without it: column ``text``.
    max_characters : int, optional
        Cut longer texts.
    symbol : str, optional
        Symbol of all rows, for sources about one thing.
    symbol_flags : mapping, optional
        Flag column to symbol, such as ``{"mentions_btc": "BTC"}``: one row per article and raised flag.
    date_only : str, optional
        Which rows have a date but no true time: the name of a flag column, ``"midnight"`` (rows stamped exactly
        00:00) or ``"all"``. Such an article is seen at the end of its day, not before.
    progress : callable, optional
        Called with (files done, files in all).

    Returns
    -------
    Loaded
        News as ``schemas.validate_news`` returns them. ``article_id`` is a hash of time, source and text where the
        file has none. Counts: ``rows, filtered:<column>, undated, date_only, out_of_range, blank_text, truncated,
        without_symbol, rows_added_by_flags, other_symbols, uncertain_local_times, identical_rows_collapsed, kept``.

    Raises
    ------
    MissingPartError
        If there is no such file.
    DataError
        If a column is missing, a time has no zone or is unreadable, a key has two contents, or nothing is left.
    ConfigError
        If settings contradict each other.
    """
    symbol_flags = dict(symbol_flags or {})
    given = _mapped(path, columns or {}, _NEWS_NAMES)
    rules = _NewsRules(
        columns={
            name: source
            for name, source in given.items()
            if not (name == "symbol" and (symbol is not None or symbol_flags)) and not (name == "text" and text_from)
        },
        filters=filters or {},
        timezone=timezone,
        symbols=None if symbols is None else frozenset(symbols),
        start=boundary_of(start, "start"),
        end=boundary_of(end, "end"),
        text_from=tuple(text_from),
        max_characters=max_characters,
        symbol=symbol,
        symbol_flags=symbol_flags,
        date_only=date_only,
    )
    _check_news_request(rules, path)
    flag = [date_only] if date_only not in (None, "all", "midnight") else []
    wanted = [
        *rules.columns.values(),
        *rules.filters,
        *rules.text_from,
        *symbol_flags,
        *(name for name in flag if name),
    ]
    counts: dict[str, int] = {}
    kept = [_news_piece(piece, rules, counts) for piece in pieces(path, wanted, progress=progress)]
    frame = pd.concat([part for part in kept if len(part)], ignore_index=True) if any(map(len, kept)) else None
    if frame is None:
        raise DataError(f"{path}: no article is left ({counts}). Widen the range, the symbols or the filters.")
    frame["source"] = frame["source"].fillna("unknown") if "source" in frame else "unknown"
    if "article_id" not in frame:
        frame["article_id"] = _content_ids(frame)
    unnamed = frame["article_id"].isna()
    if unnamed.any():
        raise DataError(
            f"{path}: {int(unnamed.sum())} rows have no article id. Filter them out, or map none to have ids made."
        )
    frame = _one_row_per_key(frame, path, counts)
    counts["kept"] = len(frame)
    return Loaded(validate_news(frame, where=str(path)), counts)


@dataclass(frozen=True)
class _PriceRules:
    """Everything that a piece of a price file is put through."""

    columns: Mapping[str, str]
    stamp: str
    filters: Mapping[str, Any]
    symbols: tuple[str, ...] | None
    symbol: str | None
    timezone: str | None
    start: pd.Timestamp | None
    end: pd.Timestamp | None


def _price_piece(piece: Piece, rules: _PriceRules, counts: dict[str, int]) -> pd.DataFrame:
    """Keep the rows asked for and read their numbers, refusing prices that are not positive."""
    _add(counts, "rows", len(piece.frame))
    raw = keep_filtered(piece, rules.filters, counts)
    if rules.symbol is None:
        names = raw[rules.columns["symbol"]].astype("str")
        wanted = pd.Series(True, index=raw.index) if rules.symbols is None else names.isin(rules.symbols)
        _add(counts, "other_symbols", (~wanted).sum())
        raw, names = raw.loc[wanted], names.loc[wanted]
    else:
        names = pd.Series(rules.symbol, index=raw.index, dtype="str")
    when, where = raw[rules.columns[rules.stamp]], f"{piece.file}, column {rules.columns[rules.stamp]!r}"
    if rules.stamp == "date":
        bar = session_labels_of(when, rules.timezone, where=where).dt.tz_localize("UTC")
    else:
        bar = instants_of(when, rules.timezone, counts, where=where)
        if bar.isna().any():
            raise DataError(f"{where}, row {bar.isna().idxmax()}: the time is missing. Filter the row out.")
    outside = _out_of_range(bar, rules.start, rules.end)
    _add(counts, "out_of_range", outside.sum())
    raw, names, when = raw.loc[~outside], names.loc[~outside], when.loc[~outside]

    frame = pd.DataFrame({"symbol": names, "bar": bar.loc[~outside]})
    for field in (*PRICE_FIELDS, *(["adj_close"] if "adj_close" in rules.columns else [])):
        source = rules.columns[field]
        frame[field] = numbers_of(raw[source], where=f"{piece.file}, column {source!r}")
        bad = (frame[field] < 0) if field == "volume" else (frame[field] <= 0)
        if bad.any():
            row = bad.idxmax()
            raise DataError(
                f"{piece.file}, row {row}: {field} of {names.loc[row]} on {when.loc[row]} is {frame.loc[row, field]:g} "
                f"({int(bad.sum())} such values). Exclude these rows with filters, such as "
                f"{{{source!r}: {{'min': 1e-9}}}}, or set them to missing."
            )
    absent = frame[list(_QUOTES)].isna()
    _add(counts, "empty_rows", absent.all(axis=1).sum())
    _add(counts, "partly_empty_rows", (absent.any(axis=1) & ~absent.all(axis=1)).sum())
    _add(counts, "zero_volume_rows", (frame["volume"] == 0).sum())
    return frame.loc[~absent.all(axis=1)]


def _check_symbols(frame: pd.DataFrame, symbols: Sequence[str] | None, path: str | Path) -> list[str]:
    present = set(frame["symbol"].unique())
    if symbols is None:
        return sorted(present)
    absent = [name for name in symbols if name not in present]
    if absent:
        raise DataError(
            f"{path}: no prices for {absent[:10]}{' and others' if len(absent) > 10 else ''} in the range asked for. "
            "Drop these symbols, or check their spelling, the range and the filters."
        )
    return list(dict.fromkeys(symbols))


def _one_row_per_bar(frame: pd.DataFrame, path: str | Path, counts: dict[str, int]) -> pd.DataFrame:
    identical = frame.duplicated()
    counts["identical_rows_collapsed"] = int(identical.sum())
    frame = frame.loc[~identical]
    twice = frame.duplicated(["symbol", "bar"], keep=False)
    if twice.any():
        first = frame.loc[twice].iloc[0]
        raise DataError(
            f"{path}: {first['symbol']} has several different bars at {first['bar']} ({int(twice.sum())} such rows), "
            "perhaps from several venues. Keep one of them with filters."
        )
    return frame


def _absent_bars(calendar: str, bars: pd.DatetimeIndex, length: pd.Timedelta, *, daily: bool) -> int:
    """Count bars that the calendar has between the first and the last one but no symbol does."""
    if daily:
        return len(sessions(calendar, bars[0], bars[-1])) - len(bars)
    if calendar == ROUND_THE_CLOCK:
        return int((bars[-1] - bars[0]) / length) + 1 - len(bars)
    return 0


def _panels(frame: pd.DataFrame, columns: list[str]) -> dict[str, pd.DataFrame]:
    wide = frame.pivot(index="bar", columns="symbol", values=list(PRICE_FIELDS))  # noqa: PD010 - keys are unique here
    return {field: wide[field].reindex(columns=columns).sort_index() for field in PRICE_FIELDS}


def read_prices(
    path: str | Path,
    *,
    calendar: str,
    columns: Mapping[str, str] | None = None,
    filters: Mapping[str, Any] | None = None,
    symbols: Sequence[str] | None = None,
    start: str | pd.Timestamp | None = None,
    end: str | pd.Timestamp | None = None,
    bar: str = "1d",
    symbol: str | None = None,
    timezone: str | None = None,
    adjust: Literal["none", "total_return"] = "none",
    progress: Progress | None = None,
) -> LoadedPrices:
    """Read bars in long format (one row per symbol and bar) and lay them out as panels.

    Parameters
    ----------
    path : str or Path
        A parquet, CSV or JSONL file, or a folder of files of one format.
    calendar : str
        exchange_calendars code such as ``"XNYS"``, or ``"24/7"``.
    columns : mapping, optional
        Canonical name (``symbol, date`` or ``open_at, open, high, low, close, volume, adj_close``) to source column.
    filters : mapping, optional
        As in ``read_news``.
    symbols : sequence of str, optional
        Keep these, in this order; without it all, sorted.
    start, end : Timestamp or str, optional
        Keep ``start <= day < end`` for daily bars, ``start <= open_at < end`` for others; a bare date is 00:00 UTC.
    bar : str
        ``"1d"``: ``date`` is a trading day, a label that the calendar turns into an open and a close. Anything shorter,
        such as ``"1h"`` or ``"5min"``: ``open_at`` is the instant at which the bar opens.
    symbol : str, optional
        Symbol of all rows, for files about one.
    timezone : str, optional
        Zone of intraday times without an offset, and the zone in which timezone-aware trading days are midnight.
    adjust : {"none", "total_return"}
        ``"total_return"`` scales open, high, low and close by ``adj_close / close``. The factors know all later
        dividends, so use levels only for returns, never as features or in prompts.
    progress : callable, optional
        Called with (files done, files in all).

    Returns
    -------
    LoadedPrices
        Panels on the union of all symbols' bars, NaN where a symbol has none. Counts: ``rows, filtered:<column>,
        other_symbols, empty_rows`` (no price at all), ``partly_empty_rows, zero_volume_rows, out_of_range,
        identical_rows_collapsed, missing_bars`` (cells without an open between a symbol's first and last bar) and
        ``absent_bars`` (bars of the calendar that no symbol has).

    Raises
    ------
    MissingPartError
        If there is no such file.
    DataError
        If a column is missing, a price is not positive, a day is no session, a symbol has no prices, or a bar stands
        there twice with different content.
    ConfigError
        If ``bar`` or ``adjust`` is unknown.
    """
    if adjust not in ("none", "total_return"):
        raise ConfigError(f"{path}: adjust must be 'none' or 'total_return', got {adjust!r}.")
    length = length_of(bar)
    if length > _DAY:
        raise ConfigError(f"{path}: bar = {bar!r} is longer than a day. Use '1d', '1h', '5min' or the like.")
    daily = length == _DAY
    stamp = "date" if daily else "open_at"
    names = [
        stamp,
        *PRICE_FIELDS,
        *(["symbol"] if symbol is None else []),
        *(["adj_close"] if adjust != "none" else []),
    ]
    given = _mapped(path, columns or {}, names)
    missing = [name for name in names if name not in given]
    if missing:
        present = columns_of(files_of(path)[0])
        raise DataError(f"{path}: no columns for {missing}; it has {present}. Map with 'columns'.")
    rules = _PriceRules(
        columns={name: given[name] for name in names},
        stamp=stamp,
        filters=filters or {},
        symbols=None if symbols is None else tuple(symbols),
        symbol=symbol,
        timezone=timezone,
        start=boundary_of(start, "start"),
        end=boundary_of(end, "end"),
    )
    counts: dict[str, int] = {}
    wanted = [*rules.columns.values(), *rules.filters]
    kept = [_price_piece(piece, rules, counts) for piece in pieces(path, wanted, progress=progress)]
    frame = pd.concat(kept, ignore_index=True) if kept else pd.DataFrame()
    if frame.empty:
        sought = "" if symbols is None else f" of {list(symbols)[:8]}"
        raise DataError(f"{path}: no price{sought} is left ({counts}). Widen the range, the symbols or the filters.")
    chosen = _check_symbols(frame, symbols, path)
    frame = _one_row_per_bar(frame, path, counts)
    if adjust == "total_return":
        factor = frame["adj_close"] / frame["close"]
        frame[list(_QUOTES)] = frame[list(_QUOTES)].mul(factor, axis=0)
    panels = _panels(frame, chosen)
    bars = pd.DatetimeIndex(panels["open"].index)
    if daily:
        open_at, close_at = label_sessions(bars, calendar, where=str(path))
    else:
        open_at, close_at = bars, bars + length
    counts["missing_bars"] = _holes(panels["open"])
    counts["absent_bars"] = _absent_bars(calendar, bars, length, daily=daily)
    laid_out = {field: panel.set_axis(open_at, axis=0).rename_axis(columns=None) for field, panel in panels.items()}
    prices = Prices(
        **laid_out,
        open_at=open_at,
        close_at=close_at,
        calendar=calendar,
        adjustment="none" if adjust == "none" else "splits+dividends",
    )
    return LoadedPrices(validate_prices(prices, where=str(path)), counts)


def _holes(opens: pd.DataFrame) -> int:
    """Count cells without an opening price between a symbol's first and last one."""
    quoted = opens.notna().to_numpy()
    started = np.maximum.accumulate(quoted, axis=0)
    unfinished = np.maximum.accumulate(quoted[::-1], axis=0)[::-1]
    return int((started & unfinished & ~quoted).sum())
