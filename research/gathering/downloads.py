"""What Yahoo and Bybit are asked for: their series, how far those can be finished, and the newest articles.

Sources are asked symbol by symbol, so that one that fails is named and the rest is kept. The instant at which an
article was seen is read after the answer has come, never before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import pandas as pd

from embargo.data_loaders import bybit, yahoo
from embargo.data_loaders.calendars import ROUND_THE_CLOCK, length_of
from embargo.data_loaders.retries import Patience
from embargo.data_loaders.store import Store
from embargo.data_loaders.store.bar_calendars import calendar_of_bars
from embargo.research.gathering.fetching import (
    CHUNK_BARS,
    Answer,
    Now,
    Series,
    Tally,
    Writer,
    fill,
    finished_until,
    interruptibly,
)
from embargo.research.progress import Stages

YAHOO_TOGETHER = 10
EDITED_FOR = pd.Timedelta(days=14)
FUNDING_STEP = pd.Timedelta(hours=8)
_MICROSECOND = pd.Timedelta(microseconds=1)
_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class Visit:
    """One visit to one source: where its answers go, what the time is, and how long to wait for an answer.

    Attributes
    ----------
    store : Store
    clock : callable
        Gives the current instant.
    stages : Stages
    patience : Patience
    writer : Writer
    tally : Tally
        What the visit did so far.
    """

    store: Store
    clock: Now
    stages: Stages
    patience: Patience
    writer: Writer
    tally: Tally


@contextmanager
def visiting(store: Store, source: str, *, clock: Now, stages: Stages, patience: Patience) -> Iterator[Visit]:
    """Visit a source; whatever was answered is in the store when the block ends, however it ends."""
    tally = Tally()
    visit = Visit(store, clock, stages, patience, Writer(store, source, clock, tally), tally)
    try:
        yield visit
    finally:
        visit.writer.flush()


def yahoo_prices(
    visit: Visit,
    symbols: Sequence[str],
    *,
    start: pd.Timestamp,
    end: pd.Timestamp | None,
    bar: str,
    calendars: Mapping[str, str],
) -> None:
    """Bring prices, dividends and splits of some symbols up to date.

    Parameters
    ----------
    visit : Visit
    symbols : sequence of str
        As Yahoo writes them.
    start, end : Timestamp
        UTC, ``[start, end)``; no end means up to the newest finished bar.
    bar : str
        ``"1d"``, ``"1h"`` and so on.
    calendars : mapping of symbol to calendar code
        For symbols whose exchange is not known.

    Raises
    ------
    ServiceError
        If Yahoo stays silent for as long as one request may take.
    """
    length = length_of(bar)
    named = yahoo.checked_symbols(symbols)
    # One instant for all: symbols that are asked for the same span share a question.
    now = visit.clock()
    known = _calendars(visit.store, bar, length, now) | dict(calendars)

    def ask(group: list[str], first: pd.Timestamp, last: pd.Timestamp) -> Answer:
        answer = yahoo.fetch_prices(
            group, start=first, end=last, bar=bar, now=visit.clock(), patience=visit.patience, calendars=calendars
        )
        return Answer(
            facts={"instruments": answer.instruments, "actions": answer.actions, "bars": answer.bars},
            until={symbol: until for symbol, (_, until) in answer.answered.items()},
            failures=answer.failures,
        )

    def end_of(series: Series) -> pd.Timestamp:
        calendar = known.get(series.symbol)
        finished = now if calendar is None else finished_until(calendar, length, now)
        return finished if end is None else min(end, finished)

    fill(
        [Series("bars", yahoo.VENUE, symbol, bar, length) for symbol in named],
        ask,
        start=start,
        end=end_of,
        chunk=None,
        together=YAHOO_TOGETHER,
        store=visit.store,
        writer=visit.writer,
        tally=visit.tally,
        patience=visit.patience,
        advance=visit.stages.stage(f"Yahoo: {bar} bars of {_named(named)}"),
    )


def _calendars(store: Store, bar: str, length: pd.Timedelta, now: pd.Timestamp) -> dict[str, str]:
    """Calendars of the daily series in the store, as their newest bars tell.

    Knowing that today's session is not over saves a question. Where nothing is known, Yahoo is asked.
    """
    if length != _DAY:
        return {}
    since = now - 14 * _DAY
    pieces = store.as_of(now).record_batches("bars", venue=yahoo.VENUE, bar=bar, start=since, end=now)
    recent = [piece.select(["symbol", "open_at", "close_at"]).to_pandas() for piece in pieces]
    if not recent:
        return {}
    known = {str(symbol): calendar_of_bars(part, daily=True) for symbol, part in pd.concat(recent).groupby("symbol")}
    return {symbol: code for symbol, code in known.items() if code is not None}


def yahoo_news(visit: Visit, symbols: Sequence[str]) -> None:
    """Add the newest articles of some symbols, seen now."""
    advance = visit.stages.stage(f"Yahoo: newest articles of {_named(symbols)}")
    ask = partial(yahoo.fetch_news, symbols, now=visit.clock(), patience=visit.patience, progress=advance)
    answer = interruptibly(ask)
    for symbol, reason in answer.failures.items():
        visit.tally.failures[f"{symbol} news"] = reason
    _seen_now(visit, answer.news)


def _seen_now(visit: Visit, news: pd.DataFrame) -> None:
    """Take articles as seen at this instant, which lies after the answer and before the commit."""
    news = news.drop(columns="known_at", errors="ignore").assign(seen_at=visit.clock())
    visit.writer.add("news", news, compare=True)
    visit.writer.flush()


def bybit_candles(
    visit: Visit,
    connection: bybit.Bybit,
    symbols: Sequence[str],
    *,
    market: bybit.BybitMarket,
    start: pd.Timestamp,
    end: pd.Timestamp | None,
    bar: str,
) -> None:
    """Bring candles up to date; parameters and errors as for `yahoo_prices`."""
    name = bybit.bar_name(bar)
    length = length_of(name)

    def ask(group: list[str], first: pd.Timestamp, last: pd.Timestamp) -> Answer:
        answer = connection.fetch_candles(group, market=market, bar=name, start=first, end=last, now=visit.clock())
        gaps = {group[0]: int(answer.gaps["bars"].sum())}
        return Answer({"bars": answer.bars}, _answered(group, answer.answered), answer.failures, gaps)

    def end_of(series: Series) -> pd.Timestamp:
        finished = finished_until(ROUND_THE_CLOCK, length, visit.clock())
        return finished if end is None else min(end, finished)

    fill(
        [Series("bars", bybit.VENUES[market], symbol, name, length) for symbol in identified(symbols)],
        ask,
        start=start,
        end=end_of,
        chunk=CHUNK_BARS * length,
        together=1,
        store=visit.store,
        writer=visit.writer,
        tally=visit.tally,
        patience=visit.patience,
        advance=visit.stages.stage(f"Bybit: {name} candles of {_named(symbols)}"),
    )


def bybit_funding(
    visit: Visit,
    connection: bybit.Bybit,
    symbols: Sequence[str],
    *,
    start: pd.Timestamp,
    end: pd.Timestamp | None,
) -> None:
    """Bring funding rates of perpetuals up to date; parameters and errors as for `yahoo_prices`."""

    def ask(group: list[str], first: pd.Timestamp, last: pd.Timestamp) -> Answer:
        answer = connection.fetch_funding(group, start=first, end=last, now=visit.clock())
        return Answer({"funding": answer.funding}, _answered(group, answer.answered), answer.failures)

    def end_of(series: Series) -> pd.Timestamp:
        # Rates settle on the hour: between two hours there is nothing to ask for.
        finished = visit.clock().floor("h") + _MICROSECOND
        return finished if end is None else min(end, finished)

    fill(
        [Series("funding", bybit.VENUES["linear"], symbol, "", FUNDING_STEP) for symbol in identified(symbols)],
        ask,
        start=start,
        end=end_of,
        chunk=CHUNK_BARS * FUNDING_STEP,
        together=1,
        store=visit.store,
        writer=visit.writer,
        tally=visit.tally,
        patience=visit.patience,
        advance=visit.stages.stage(f"Bybit: funding rates of {_named(symbols)}"),
    )


def identified(symbols: Sequence[str]) -> list[str]:
    """Write each symbol once and as the exchange does, ``BTC/USDT`` as ``BTCUSDT``."""
    return list(dict.fromkeys(symbol.strip().upper().partition(":")[0].replace("/", "") for symbol in symbols))


def _answered(group: list[str], answered: pd.DataFrame) -> dict[str, pd.Timestamp]:
    return {group[0]: answered["end"].iloc[0]} if len(answered) else {}


def bybit_instruments(visit: Visit, connection: bybit.Bybit, market: bybit.BybitMarket) -> None:
    """Note every instrument of a market with its listing dates, where that says something new."""
    visit.stages.stage(f"Bybit: instruments of {market}")
    answer = interruptibly(partial(connection.fetch_instruments, market, now=visit.clock()))
    visit.writer.add("instruments", answer.instruments, compare=True)
    visit.writer.flush()


def bybit_announcements(visit: Visit, connection: bybit.Bybit, *, locale: str) -> None:
    """Add the exchange's announcements, seen now: all at first, then those that are new or may have been edited."""
    visit.stages.stage("Bybit: announcements")
    newest = visit.store.sql(
        "SELECT max(published_at) AS newest FROM news "  # noqa: S608
        f"WHERE source = '{bybit.ANNOUNCED_BY}' AND starts_with(article_id, 'bybit/{bybit.check_locale(locale)}/')"
    )
    known = newest["newest"].iloc[0]
    since = None if pd.isna(known) else min(pd.Timestamp(known), visit.clock()).as_unit("us") - EDITED_FOR
    answer = interruptibly(partial(connection.fetch_announcements, now=visit.clock(), locale=locale, since=since))
    _seen_now(visit, answer.news)


def _named(symbols: Sequence[str]) -> str:
    return symbols[0] if len(symbols) == 1 else f"{len(symbols):,} symbols"
