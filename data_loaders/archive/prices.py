"""Bars from files: laid out as panels to backtest on, or streamed as facts to keep in the store.

Columns are mapped, trading days become the instants at which their sessions open and close, and whatever is set aside
is counted by reason. A price that is not positive or a bar with two contents is an error naming the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import pandas as pd

from embargo.data_loaders.archive.dialect import PLAIN, Dialect
from embargo.data_loaders.archive.files import FileProgress, Table, passed_over, tables_of
from embargo.data_loaders.archive.panels import absent_bars, holes, opened_and_closed
from embargo.data_loaders.archive.plausible import check_bar_instants
from embargo.data_loaders.archive.price_rules import PriceRequest, PriceRules, price_rules
from embargo.data_loaders.archive.spacing import Locate, check_bars
from embargo.data_loaders.archive.streams import Counts, RowBatch, add_count, batches, nothing_left
from embargo.data_loaders.archive.tables import (
    Piece,
    keep_filtered,
    numbers_of,
    pieces,
)
from embargo.data_loaders.archive.times import (
    instants_of,
    joined_times,
    outside,
    session_labels_of,
)
from embargo.data_loaders.calendars import closed_bars, label_sessions
from embargo.data_loaders.errors import ConfigError, DataError, such
from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.schemas import Prices, validate_prices

_QUOTES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class LoadedPrices:
    """Validated prices and how many rows were read, kept, and set aside for which reason.

    Examples
    --------
    >>> from embargo.data_loaders import SimulatedMarket, simulate_market
    >>> from embargo.data_loaders.archive import LoadedPrices
    >>> market = simulate_market(SimulatedMarket(n_symbols=2, start="2020-01-01", end="2020-03-31"))
    >>> LoadedPrices(market.prices, {"rows": 124}).prices.symbols
    ['ALDR', 'BEXM']
    """

    prices: Prices
    counts: dict[str, int]


def _stamps(raw: pd.DataFrame, rules: PriceRules, piece: Piece) -> tuple[pd.Series, str]:
    """Return what dates the bars as it is written, and where it stands."""
    if rules.time_from:
        joined = joined_times(raw, rules.time_from, where=piece.place, remedy="Filter such rows out.")
        return joined, f"{piece.place}, columns {' and '.join(map(repr, rules.time_from))}"
    return raw[rules.columns[rules.stamp]], f"{piece.place}, column {rules.columns[rules.stamp]!r}"


def _price_piece(piece: Piece, rules: PriceRules, counts: Counts) -> pd.DataFrame:
    """Keep the rows asked for and read their numbers, refusing prices that are not positive."""
    raw = keep_filtered(piece, rules.filters, counts)
    if rules.symbol is None:
        source = rules.columns["symbol"]
        names = raw[source].astype("str")
        if names.isna().any():
            raise DataError(
                f"{piece.place}, column {source!r}, row {names.isna().idxmax()}: the symbol is missing "
                f"({such(names.isna().sum(), 'row')}). Filter them out."
            )
        wanted = pd.Series(True, index=raw.index) if rules.symbols is None else names.isin(rules.symbols)
        add_count(counts, "other_symbols", (~wanted).sum())
        raw, names = raw.loc[wanted], names.loc[wanted]
    else:
        names = pd.Series(rules.symbol, index=raw.index, dtype="str")
    when, where = _stamps(raw, rules, piece)
    if rules.daily:
        bar = _days_of(when, rules, where=where).dt.tz_localize("UTC")
    else:
        daily = "Set bar = '1d' if these are daily bars."
        bar = instants_of(when, rules.timezone, counts, where=where, form=rules.form, remedy=daily)
        if bar.isna().any():
            raise DataError(f"{where}, row {bar.isna().idxmax()}: the time is missing. Filter the row out.")
    check_bar_instants(bar, when, rules.timezone, where=where)
    excluded = outside(bar, rules.start, rules.end)
    add_count(counts, "out_of_range", excluded.sum())
    shut = closed_bars(rules.calendar, pd.DatetimeIndex(bar), daily=rules.daily) & ~excluded
    if shut.any():
        add_count(counts, "on_closed_days", shut.sum())
        excluded |= shut
    raw, names, when = raw.loc[~excluded], names.loc[~excluded], when.loc[~excluded]

    frame = pd.DataFrame({"symbol": names, "bar": bar.loc[~excluded]})
    if "seen_at" in rules.columns:
        source = rules.columns["seen_at"]
        frame["seen_at"] = instants_of(
            raw[source], rules.timezone, counts, where=f"{piece.place}, column {source!r}", form=rules.form
        )
    for name in (*PRICE_FIELDS, *(["adj_close"] if "adj_close" in rules.columns else [])):
        source = rules.columns[name]
        where_of = f"{piece.place}, column {source!r}"
        frame[name] = numbers_of(raw[source], where=where_of, dialect=piece.dialect)
        bad = (frame[name] < 0) if name == "volume" else (frame[name] <= 0)
        if bad.any():
            row = int(bad.to_numpy().argmax())
            raise DataError(
                f"{piece.place}, row {bad.index[row]}: {name} of {names.iloc[row]} on {when.iloc[row]} is "
                f"{frame[name].iloc[row]:g} "
                f"({such(bad.sum(), 'value')}). Exclude these rows with filters, such as "
                f"{{{source!r}: {{'min': 1e-9}}}}, or set them to missing."
            )
    absent = frame[list(_QUOTES)].isna()
    add_count(counts, "empty_rows", absent.all(axis=1).sum())
    add_count(counts, "partly_empty_rows", (absent.any(axis=1) & ~absent.all(axis=1)).sum())
    add_count(counts, "zero_volume_rows", (frame["volume"] == 0).sum())
    return frame.loc[~absent.all(axis=1)]


def _days_of(when: pd.Series, rules: PriceRules, *, where: str) -> pd.Series:
    """Read trading days, each as written once: symbols share them."""
    if when.dtype == "str" and not when.isna().any():
        place, distinct = pd.factorize(when)
        # A fault is told of all rows, so it is left to the reading of all.
        with suppress(DataError):
            days = session_labels_of(pd.Series(distinct), rules.timezone, where=where, form=rules.form)
            return pd.Series(days.to_numpy()[place], index=when.index)
    return session_labels_of(when, rules.timezone, where=where, form=rules.form)


class NoPricesError(DataError):
    """Symbols were asked for of which an archive has no prices.

    Attributes
    ----------
    absent : list of str
        Those symbols.
    spelt_alike : dict of str to str
        Which of them the archive has in other capitals, and how it writes them.
    """

    def __init__(self, message: str, absent: list[str], spelt_alike: dict[str, str]) -> None:
        super().__init__(message)
        self.absent = absent
        self.spelt_alike = spelt_alike


def _chosen(
    frame: pd.DataFrame, parts: Sequence[Table], rules: PriceRules, path: str | Path, counts: Counts
) -> list[str]:
    """Name the symbols to lay out, and refuse those of which there is nothing."""
    present = set(frame["symbol"].unique()) if len(frame) else set()
    if rules.symbols is None or not counts.get("rows"):
        if frame.empty:
            raise DataError(nothing_left(str(path), "price", counts))
        return sorted(present)
    absent = [name for name in rules.symbols if name not in present]
    if absent:
        written = {} if rules.symbol is not None else _written_in(parts, rules)
        alike = {name: found for name in absent if (found := written.get(name.casefold(), name)) != name}
        said = f" {next(iter(alike))!r} stands there as {next(iter(alike.values()))!r}." if alike else ""
        raise NoPricesError(
            f"{path}: no prices for {absent[:10]}{' and others' if len(absent) > 10 else ''} in the range asked for."
            f"{said} Add their prices, ask for other symbols, or check their spelling, the range and the filters.",
            absent,
            alike,
        )
    return list(dict.fromkeys(rules.symbols))


def _written_in(parts: Sequence[Table], rules: PriceRules) -> dict[str, str]:
    """How an archive writes each of its symbols, by the symbol without capitals."""
    names: set[str] = set()
    for piece in pieces(parts, [rules.columns["symbol"]]):
        names.update(piece.frame[rules.columns["symbol"]].dropna().astype("str").unique())
    return {name.casefold(): name for name in sorted(names)}


def _one_row_per_bar(frame: pd.DataFrame, path: str | Path, counts: Counts) -> pd.DataFrame:
    # Rows that are alike throughout share symbol and bar, which are sooner compared.
    twice = frame.duplicated(["symbol", "bar"], keep=False)
    alike = frame.loc[twice].duplicated()
    add_count(counts, "identical_rows_collapsed", alike.sum())
    if alike.any():
        frame = frame.drop(index=alike.index[alike])
        twice = frame.duplicated(["symbol", "bar"], keep=False)
    if twice.any():
        first = frame.loc[twice].iloc[0]
        raise DataError(
            f"{path}: {first['symbol']} has several different bars at {first['bar']} ({such(twice.sum(), 'row')}), "
            "perhaps from several venues. Keep one of them with filters."
        )
    return frame


def _panels(frame: pd.DataFrame, columns: list[str]) -> dict[str, pd.DataFrame]:
    """Lay the bars of some symbols out, one panel for each field; no symbol has a bar twice."""
    row, bars = pd.factorize(pd.DatetimeIndex(frame["bar"]), sort=True)
    column = pd.Index(columns, dtype="str").get_indexer(pd.Index(frame["symbol"], dtype="str"))
    chosen = column >= 0
    panels = {}
    for name in PRICE_FIELDS:
        # Symbol by symbol, as pandas keeps its columns.
        laid = np.full((len(columns), len(bars)), np.nan)
        laid[column[chosen], row[chosen]] = frame[name].to_numpy(dtype=float)[chosen]
        panels[name] = pd.DataFrame(laid.T, index=bars.rename("bar"), columns=columns, copy=False)
    return panels


def bar_batches(
    parts: Sequence[Table],
    rules: PriceRules,
    counts: Counts,
    *,
    progress: FileProgress | None = None,
    tell: Callable[[int], None] | None = None,
) -> Iterator[RowBatch]:
    """Put an archive through the rules, batch by batch, before sessions are looked up and repetitions looked for.

    Frames hold ``symbol, bar`` (the trading day at 00:00 UTC, or the instant at which the bar opens), the five fields,
    and ``adj_close`` and ``seen_at`` where they were asked for or mapped.
    """

    def work(piece: Piece, found: Counts) -> pd.DataFrame:
        return _price_piece(piece, rules, found)

    return batches(pieces(parts, rules.wanted, progress=progress), work, counts, tell=tell)


def locate_in(parts: Sequence[Table], rules: PriceRules) -> Locate:
    """Name the file and row of a bar, for errors: the archive is read again up to there."""

    def locate(symbol: str, open_at: pd.Timestamp) -> str:
        for piece in pieces(parts, rules.wanted):
            frame = _price_piece(piece, rules, {})
            bar = frame["bar"]
            if rules.daily and len(bar):
                bar = pd.Series(
                    label_sessions(pd.DatetimeIndex(bar), rules.calendar, where=piece.place)[0], index=bar.index
                )
            found = (frame["symbol"] == symbol) & (bar == open_at)
            if found.any():
                return f"{piece.place}, row {found.idxmax()}"
        return str(parts[0])

    return locate


def bars_of(
    frame: pd.DataFrame, rules: PriceRules, venue: str, counts: Counts, *, where: str, locate: Locate
) -> pd.DataFrame:
    """Turn a batch into facts: one row per venue, symbol and bar with the instants at which it opens and closes."""
    frame = _one_row_per_bar(frame, where, counts)
    crossed = frame["low"] > frame["high"] * (1 + 1e-9)
    if crossed.any():
        odd = frame.loc[crossed].iloc[0]
        raise DataError(
            f"{where}: low {odd['low']:g} exceeds high {odd['high']:g} for {odd['symbol']} at {odd['bar']} "
            f"({such(crossed.sum(), 'bar')}). Exclude these rows with filters."
        )
    open_at, close_at = opened_and_closed(
        pd.DatetimeIndex(frame["bar"]), calendar=rules.calendar, bar=rules.bar, where=where
    )
    check_bars(frame["symbol"], open_at, calendar=rules.calendar, bar=rules.bar, where=where, locate=locate)
    add_count(counts, "kept", len(frame))
    facts = {
        "venue": venue,
        "symbol": frame["symbol"].array,
        "bar": rules.bar,
        "open_at": open_at,
        "close_at": close_at,
    }
    also = [*PRICE_FIELDS, *(["seen_at"] if "seen_at" in frame else [])]
    return pd.DataFrame(facts | {name: frame[name].array for name in also}).astype({"venue": "str", "bar": "str"})


@dataclass
class BarStream:
    """Bars as facts, in frames of about 500,000 rows; iterating again reads the archive again.

    Attributes
    ----------
    counts : dict
        As ``read_prices`` without ``missing_bars`` and ``absent_bars``, for what has been yielded so far; and ``kept``.
    """

    path: str
    parts: Sequence[Table]
    rules: PriceRules
    venue: str
    progress: FileProgress | None = None
    counts: Counts = field(default_factory=dict)

    def __iter__(self) -> Iterator[pd.DataFrame]:
        self.counts.clear()
        self.counts.update(passed_over(self.path))
        add_count(self.counts, "kept", 0)
        locate = locate_in(self.parts, self.rules)
        for batch in bar_batches(self.parts, self.rules, self.counts, progress=self.progress):
            if len(batch.frame):
                yield bars_of(batch.frame, self.rules, self.venue, self.counts, where=self.path, locate=locate)


def stream_bars(
    path: str | Path,
    *,
    venue: str,
    calendar: str,
    dialect: Dialect = PLAIN,
    progress: FileProgress | None = None,
    **request: Unpack[PriceRequest],
) -> BarStream:
    """Read bars of any size in bounded memory, as facts for the store.

    Parameters
    ----------
    path : str or Path
        As in `read_prices`.
    venue : str
        Name of the market, such as ``"yahoo"`` or one of the importer's own.
    calendar : str
        exchange_calendars code such as ``"XNYS"``, ``"24/7"``, or what `embargo.data_loaders.amended` returns.
    dialect : Dialect
        As in ``archive.read_news``.
    progress : callable, optional
        Called with (tables done, tables in all).
    **request
        The other settings of `read_prices`. A column ``seen_at`` may be mapped too: when the source had the bar.

    Returns
    -------
    BarStream
        Yields ``venue, symbol, bar, open_at, close_at, open, high, low, close, volume`` and, where mapped, ``seen_at``
        (missing where the source does not say). Levels are taken as they stand: the store wants them as traded.

    Raises
    ------
    MissingPartError, DataError, ConfigError
        As ``read_prices``; faults of rows come up when their batch is reached, and repetitions with different content
        only if both are in one batch.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from embargo.data_loaders.archive import stream_bars
    >>> quote = {"open": 93.7, "high": 94.1, "low": 93.2, "close": 94.0, "volume": 22_891_800}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pd.DataFrame([{"symbol": "AAPL", "date": "2014-07-03", **quote}]).to_csv(f"{folder}/bars.csv", index=False)
    ...     stream = stream_bars(f"{folder}/bars.csv", venue="mine", calendar="XNYS")
    ...     frames = list(stream)
    >>> frames[0]["close_at"].iloc[0], stream.counts["kept"]
    (Timestamp('2014-07-03 17:00:00+0000', tz='UTC'), 1)
    """
    parts = tables_of(path, dialect=dialect)
    return BarStream(str(path), parts, price_rules(parts, calendar, **request), venue, progress)


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
    time_format: str | None = None,
    time_from: Sequence[str] = (),
    dialect: Dialect = PLAIN,
    progress: FileProgress | None = None,
) -> LoadedPrices:
    """Read bars in long format (one row per symbol and bar) and lay them out as panels.

    Parameters
    ----------
    path : str or Path
        As in ``archive.read_news``: a table, plain or packed, a zip or a folder of them.
    calendar : str
        exchange_calendars code such as ``"XNYS"``, ``"24/7"``, or what `embargo.data_loaders.amended` returns.
    columns : mapping, optional
        Canonical name (``symbol, date`` or ``open_at, open, high, low, close, volume, adj_close``) to source column.
    filters : mapping, optional
        As in ``archive.read_news``.
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
        Zone of intraday times without an offset, and the zone in which timezone-aware trading days are midnight; for
        times that are numbers ``"unix:s"``, ``"unix:ms"``, ``"unix:us"`` or ``"unix:ns"``.
    adjust : {"none", "total_return"}
        ``"total_return"`` scales open, high, low and close by ``adj_close / close``. The factors know all later
        dividends, so use levels only for returns, never as features or in prompts.
    time_format : str, optional
        Form of days and times in texts or figures, such as ``"%d.%m.%Y"``; see ``archive.read_news``.
    time_from : sequence of str
        Source columns of date and time of day, joined by a space to make ``open_at``; for bars shorter than a day.
    dialect : Dialect
        As in ``archive.read_news``.
    progress : callable, optional
        Called with (tables done, tables in all).

    Returns
    -------
    LoadedPrices
        Panels on the union of all symbols' bars, NaN where a symbol has none. Counts: ``rows, filtered:<column>,
        other_symbols, empty_rows`` (no price at all), ``partly_empty_rows, zero_volume_rows, out_of_range,
        on_closed_days`` (of days that the calendar is amended by as closed), ``identical_rows_collapsed, missing_bars``
        (cells without an open between a symbol's first and last bar) and ``absent_bars`` (bars of the calendar that no
        symbol has).

    Raises
    ------
    MissingPartError
        If there is no such file.
    DataError
        If a column is missing, a price is not positive, a day is no session, a symbol has no prices, a bar stands
        there twice with different content, or bars are not what ``bar`` says: of another length, stamped at their
        close, between those of the calendar, or alone long after all others.
    ConfigError
        If ``bar`` or ``adjust`` is unknown.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from embargo.data_loaders.archive import read_prices
    >>> quote = {"open": 93.7, "high": 94.1, "low": 93.2, "close": 94.0, "volume": 22_891_800}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pd.DataFrame([{"symbol": "AAPL", "date": "2014-07-03", **quote}]).to_csv(f"{folder}/bars.csv", index=False)
    ...     loaded = read_prices(f"{folder}/bars.csv", calendar="XNYS")
    >>> loaded.prices.close_at[0], loaded.counts["missing_bars"]
    (Timestamp('2014-07-03 17:00:00+0000', tz='UTC'), 0)
    """
    if adjust not in ("none", "total_return"):
        raise ConfigError(f"{path}: adjust must be 'none' or 'total_return', got {adjust!r}.")
    parts = tables_of(path, dialect=dialect)
    rules = price_rules(
        parts,
        calendar,
        ["adj_close"] if adjust != "none" else [],
        columns=columns,
        filters=filters,
        symbols=symbols,
        start=start,
        end=end,
        bar=bar,
        symbol=symbol,
        timezone=timezone,
        time_format=time_format,
        time_from=time_from,
    )
    counts: Counts = {}
    frames = [batch.frame for batch in bar_batches(parts, rules, counts, progress=progress)]
    frame = pd.concat(frames, ignore_index=True).drop(columns="seen_at", errors="ignore")
    chosen = _chosen(frame, parts, rules, path, counts)
    frame = _one_row_per_bar(frame, path, counts)
    if adjust == "total_return":
        factor = frame["adj_close"] / frame["close"]
        frame[list(_QUOTES)] = frame[list(_QUOTES)].mul(factor, axis=0)
    panels = _panels(frame, chosen)
    bars = pd.DatetimeIndex(panels["open"].index)
    open_at, close_at = opened_and_closed(bars, calendar=calendar, bar=rules.bar, where=str(path))
    check_bars(
        frame["symbol"],
        open_at[bars.get_indexer(pd.DatetimeIndex(frame["bar"]))],
        calendar=calendar,
        bar=rules.bar,
        where=str(path),
        locate=locate_in(parts, rules),
    )
    counts["missing_bars"] = holes(panels["open"])
    counts["absent_bars"] = absent_bars(open_at, calendar=calendar, bar=rules.bar)
    laid_out = {name: panel.set_axis(open_at, axis=0).rename_axis(columns=None) for name, panel in panels.items()}
    prices = Prices(
        **laid_out,
        open_at=open_at,
        close_at=close_at,
        calendar=calendar,
        adjustment="none" if adjust == "none" else "splits+dividends",
    )
    return LoadedPrices(validate_prices(prices, where=str(path)), counts | passed_over(path))
