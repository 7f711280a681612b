"""Bybit through ccxt: candles, funding rates, instruments and announcements, complete or with what is missing named.

No key is needed. Every request is bounded in time, every bar asked for comes back as a finished candle, a reported gap
or a count, and no clock is read: the instant at which the data are taken is passed in. Facts come in the form that the
store keeps; symbols are the exchange's ids (``BTCUSDT``), volumes are in units of the base coin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar, get_args

import pandas as pd

from embargo.data_loaders.bybit.announcements import (
    ANNOUNCEMENTS_A_PAGE,
    BybitAnnouncements,
    check_locale,
    collect_announcements,
)
from embargo.data_loaders.bybit.candles import (
    CANDLES_A_PAGE,
    CollectedCandles,
    RowsByInstant,
    collect_candles,
    collect_rates,
    first_candle,
)
from embargo.data_loaders.bybit.instruments import (
    VENUES,
    BybitMarket,
    Instrument,
    instants,
    instruments_frame,
    load_instruments,
    resolve,
    venue_of,
)
from embargo.data_loaders.bybit.transport import Transport, listed
from embargo.data_loaders.calendars import length_of
from embargo.data_loaders.errors import ConfigError, ServiceError
from embargo.data_loaders.retries import SYSTEM_CLOCK, Clock, Patience

BARS = {
    "1min": "1",
    "3min": "3",
    "5min": "5",
    "15min": "15",
    "30min": "30",
    "1h": "60",
    "2h": "120",
    "4h": "240",
    "6h": "360",
    "12h": "720",
    "1d": "D",
}
_NAMES = {length_of(name): name for name in BARS}
_RATES_A_PAGE = 200
_COUNTS = ("rows", "duplicates", "seen_again", "contradictions", "malformed", "misaligned", "outside", "unfinished")

T = TypeVar("T")
SymbolProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class BybitCandles:
    """Finished candles of one market and bar length.

    Attributes
    ----------
    bars : DataFrame
        ``venue, symbol, bar, open_at, close_at, open, high, low, close, volume``, sorted by symbol and ``open_at``;
        volume in units of the base coin.
    gaps : DataFrame
        ``symbol, start, end, bars``: runs of bars in [start, end) that two requests did not bring.
    contradictions : DataFrame
        ``symbol, instant, outcome``: candles of which the service gave two versions within this fetch.
    answered : DataFrame
        ``symbol, start, end``: ranges within which the answer is final, gaps included. ``end`` stops at the first bar
        that is unfinished, or that the service has not served yet.
    failures : dict of str to str
        Reason by symbol as it was asked for; the others are complete.
    counts : dict of str to int
        ``rows`` received; ``duplicates`` (identical in one answer), ``seen_again`` (identical in a later answer),
        ``contradictions``, ``malformed``, ``misaligned``, ``outside`` (of the range), ``unfinished`` candles dropped,
        ``gaps`` (bars missing), ``refilled`` (bars that only a repeated request brought), ``before_listing`` and
        ``after_delisting`` (bars that cannot exist), ``bars``, ``requests``.

    Examples
    --------
    >>> from dataclasses import fields
    >>> from embargo.data_loaders.bybit import BybitCandles
    >>> [field.name for field in fields(BybitCandles)]
    ['bars', 'gaps', 'contradictions', 'answered', 'failures', 'counts']
    """

    bars: pd.DataFrame
    gaps: pd.DataFrame
    contradictions: pd.DataFrame
    answered: pd.DataFrame
    failures: dict[str, str]
    counts: dict[str, int]


@dataclass(frozen=True)
class BybitFunding:
    """Funding rates of linear perpetuals.

    ``funding`` holds ``venue, symbol, settles_at, rate`` (fraction of the notional per settlement; positive: longs pay
    shorts). ``contradictions``, ``answered``, ``failures`` and ``counts`` are as in ``BybitCandles``; ``unfinished``
    counts settlements still to come. Gaps cannot be told: Bybit changes the interval of a contract at will.

    Examples
    --------
    >>> from dataclasses import fields
    >>> from embargo.data_loaders.bybit import BybitFunding
    >>> [field.name for field in fields(BybitFunding)]
    ['funding', 'contradictions', 'answered', 'failures', 'counts']
    """

    funding: pd.DataFrame
    contradictions: pd.DataFrame
    answered: pd.DataFrame
    failures: dict[str, str]
    counts: dict[str, int]


@dataclass(frozen=True)
class BybitInstruments:
    """Instruments of one market as facts.

    ``instruments`` holds ``venue, symbol, kind, base, quote, status, listed_at, delisted_at, seen_at``; ``delisted_at``
    may lie ahead where Bybit has announced it. ``counts``: ``instruments``, ``not_perpetual`` (dated futures, left
    out), ``malformed``.

    Examples
    --------
    >>> from dataclasses import fields
    >>> from embargo.data_loaders.bybit import BybitInstruments
    >>> [field.name for field in fields(BybitInstruments)]
    ['instruments', 'counts']
    """

    instruments: pd.DataFrame
    counts: dict[str, int]


def bar_name(bar: str) -> str:
    """Name the candles of a length as they are kept (``"60min"`` is ``"1h"``).

    Parameters
    ----------
    bar : str
        A length of time.

    Returns
    -------
    str
        One of ``BARS``.

    Raises
    ------
    ConfigError
        If Bybit serves no such length, or it is longer than a day.

    Examples
    --------
    >>> from embargo.data_loaders.bybit import bar_name
    >>> bar_name("60min")
    '1h'
    """
    if bar.strip() in ("1w", "1W", "1M"):
        raise ConfigError(f"bar {bar!r} is longer than a day, which is not supported. Use one of {list(BARS)}.")
    length = length_of(bar)
    if length > pd.Timedelta(days=1):
        raise ConfigError(f"bar {bar!r} is longer than a day, which is not supported. Use one of {list(BARS)}.")
    if length not in _NAMES:
        raise ConfigError(f"bar {bar!r} is not served by Bybit. Use one of {list(BARS)}.")
    return _NAMES[length]


def connect(*, hostname: str = "bybit.com", patience: Patience | None = None, clock: Clock = SYSTEM_CLOCK) -> Bybit:
    """Prepare to ask Bybit; nothing is asked yet.

    Parameters
    ----------
    hostname : str
        ``bybit.com``, or the host of your region: ``bytick.com``, ``bybit.nl``, ``bybit.com.hk``, ``bybit.kz`` ...
    patience : Patience, optional
        Bounds of each request with its retries.
    clock : Clock
        Measures and waits between retries.

    Returns
    -------
    Bybit

    Raises
    ------
    ConfigError
        If the hostname is none, or only one of EMBARGO_BYBIT_KEY and EMBARGO_BYBIT_SECRET is set.

    Examples
    --------
    >>> from embargo.data_loaders.bybit import connect
    >>> connect(hostname="https://bybit.com")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: hostname 'https://bybit.com' is no host. Use 'bybit.com', ...
    """
    return Bybit(Transport(hostname=hostname, patience=patience or Patience(), clock=clock))


class Bybit:
    """A connection to Bybit: one request at a time, under ccxt's own rate limit, for one thread.

    The lists of instruments are asked for once and kept; ``fetch_instruments`` renews them.

    Examples
    --------
    >>> from embargo.data_loaders.bybit import connect
    >>> connect(hostname="bytick.com")
    Bybit(hostname='bytick.com')
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._instruments: dict[BybitMarket, dict[str, Instrument]] = {}

    def __repr__(self) -> str:
        return f"Bybit(hostname={self._transport.hostname!r})"

    def fetch_candles(
        self,
        symbols: Sequence[str],
        *,
        market: BybitMarket,
        bar: str,
        start: pd.Timestamp,
        end: pd.Timestamp,
        now: pd.Timestamp,
        progress: SymbolProgress | None = None,
    ) -> BybitCandles:
        """Fetch every finished candle that opens in [start, end).

        A symbol listed after ``start`` begins with its listing. Gaps are requested once more, then reported.

        Parameters
        ----------
        symbols : sequence of str
            ``BTCUSDT``, ``BTC/USDT`` or ``BTC/USDT:USDT``, in either market.
        market : {"spot", "linear"}
            Linear are the perpetuals margined in USDT or USDC.
        bar : str
            Length: one of ``BARS``.
        start, end : Timestamp
            Half-open range of ``open_at``, aware.
        now : Timestamp
            A candle that closes later, here or by Bybit's clock, is unfinished: dropped and counted.
        progress : callable, optional
            Called with symbol, bars gathered and bars expected after each page.

        Raises
        ------
        ServiceError
            If Bybit cannot be reached. What Bybit refuses for one symbol goes to ``failures``.
        ConfigError
            If market, bar or range is impossible.
        """
        venue, name = venue_of(market), bar_name(bar)
        step = length_of(name) // pd.Timedelta(milliseconds=1)
        first, last, current = (_milliseconds(t, what) for t, what in ((start, "start"), (end, "end"), (now, "now")))
        _check_range(first, last, start, end)
        asked_before = self._transport.requests

        def collect(instrument: Instrument, present: int = current) -> CollectedCandles:
            times: list[int] = []

            def advanced(done: int, total: int) -> None:
                if progress is not None:
                    progress(instrument.id, done, total)

            def ask(interval: str, low: int | None, high: int | None) -> list[Any]:
                rows = self._candles(instrument.id, market, interval, low, high)
                times.extend(() if self._transport.time_there is None else (self._transport.time_there,))
                return rows

            part = collect_candles(
                ask,
                interval=BARS[name],
                step=step,
                start=first,
                end=last,
                now=present,
                launch=instrument.launch,
                delivery=instrument.delivery,
                advanced=advanced,
            )
            # By a clock that runs ahead of Bybit's, a candle would be over that is still being traded.
            ahead = present == current and bool(times) and min(times) // step < min(current, last) // step
            return collect(instrument, min(times)) if ahead else part

        done, failures = self._each(symbols, market, collect)
        counts = _total(part.series.counts for part in done.values())
        counts |= {
            "gaps": sum((high - low) // step + 1 for part in done.values() for low, high in part.gaps),
            "refilled": sum(part.refilled for part in done.values()),
            "before_listing": sum(part.before_listing for part in done.values()),
            "after_delisting": sum(part.after_delisting for part in done.values()),
            "bars": sum(len(part.series.rows) for part in done.values()),
            "requests": self._transport.requests - asked_before,
        }
        gaps = [(s, low, high + step, (high - low) // step + 1) for s, p in done.items() for low, high in p.gaps]
        answered = [(symbol, first, part.final_until) for symbol, part in done.items()]
        return BybitCandles(
            bars=_bars_frame({symbol: part.series for symbol, part in done.items()}, venue, name, step),
            gaps=_ranges_frame(gaps).assign(bars=pd.Series([gap[3] for gap in gaps], dtype="int64")),
            contradictions=_doubts_frame({symbol: part.series for symbol, part in done.items()}),
            answered=_ranges_frame(answered),
            failures=failures,
            counts=counts,
        )

    def fetch_funding(
        self,
        symbols: Sequence[str],
        *,
        start: pd.Timestamp,
        end: pd.Timestamp,
        now: pd.Timestamp,
        progress: SymbolProgress | None = None,
    ) -> BybitFunding:
        """Fetch the funding rates of linear perpetuals that settle in [start, end) and not after ``now``.

        Parameters and errors are those of ``fetch_candles``; ``progress`` gets the rates of a symbol when they are
        complete.
        """
        first, last, current = (_milliseconds(t, what) for t, what in ((start, "start"), (end, "end"), (now, "now")))
        _check_range(first, last, start, end)
        asked_before = self._transport.requests

        def collect(instrument: Instrument) -> RowsByInstant:
            series = collect_rates(
                lambda low, high: self._rates(instrument.id, low, high), start=first, end=last, now=current
            )
            if progress is not None:
                progress(instrument.id, len(series.rows), len(series.rows))
            return series

        done, failures = self._each(symbols, "linear", collect)
        counts = _total(series.counts for series in done.values())
        counts |= {
            "rates": sum(len(series.rows) for series in done.values()),
            "requests": self._transport.requests - asked_before,
        }
        rows = [(symbol, t, values[0]) for symbol, s in sorted(done.items()) for t, values in sorted(s.rows.items())]
        funding = pd.DataFrame(
            {
                "venue": pd.Series([VENUES["linear"]] * len(rows), dtype="str"),
                "symbol": pd.Series([row[0] for row in rows], dtype="str"),
                "settles_at": instants(row[1] for row in rows),
                "rate": pd.Series([row[2] for row in rows], dtype="float64"),
            }
        )
        # No rate at all may be a fault of the service, and is asked for again.
        answered = [(symbol, first, max(first, min(last, current + 1))) for symbol, s in done.items() if s.rows]
        return BybitFunding(funding, _doubts_frame(done), _ranges_frame(answered), failures, counts)

    def fetch_instruments(
        self, market: BybitMarket, *, now: pd.Timestamp, symbols: Sequence[str] | None = None
    ) -> BybitInstruments:
        """Fetch the instruments of a market, all or those named.

        Bybit states the listing of a perpetual. It states none for a spot pair, and ``listed_at`` is then missing; for
        pairs that are named it is looked up: the open of the first minute ever traded (some five requests each).

        Raises
        ------
        ServiceError
            If Bybit cannot be reached or refuses.
        ConfigError
            If a named symbol is unknown.
        """
        _milliseconds(now, "now")
        table, counts = load_instruments(self._transport, market)
        self._instruments[market] = table
        if symbols is None:
            return BybitInstruments(instruments_frame(table.values(), market, now=now), counts)
        chosen = {row.id: row for row in (resolve(symbol, table, market) for symbol in symbols)}
        for row in chosen.values():
            if not row.launch:
                born = first_candle(partial(self._candles, row.id, market), 60_000)
                chosen[row.id] = replace(row, launch=born or 0)
        return BybitInstruments(instruments_frame(chosen.values(), market, now=now), counts)

    def fetch_announcements(
        self, *, now: pd.Timestamp, locale: str = "en-US", since: pd.Timestamp | None = None
    ) -> BybitAnnouncements:
        """Fetch announcements published at or after ``since`` (all, if None) as news seen at ``now``.

        Raises
        ------
        ServiceError
            If Bybit cannot be reached or refuses.
        """
        _milliseconds(now, "now")
        if since is not None:
            _milliseconds(since, "since")
        check_locale(locale)
        known = {symbol for market in get_args(BybitMarket) for symbol in self._table(market)}

        def ask(page: int) -> list[Any]:
            params = {"locale": locale, "page": page, "limit": ANNOUNCEMENTS_A_PAGE}
            what = f"Bybit announcements, page {page}"
            return listed(self._transport.ask("publicGetV5AnnouncementsIndex", params, what=what), what=what)

        return collect_announcements(ask, known, now=now, locale=locale, since=since)

    def _table(self, market: BybitMarket) -> dict[str, Instrument]:
        if market not in self._instruments:
            self._instruments[market], _ = load_instruments(self._transport, market)
        return self._instruments[market]

    def _each(
        self, symbols: Sequence[str], market: BybitMarket, collect: Callable[[Instrument], T]
    ) -> tuple[dict[str, T], dict[str, str]]:
        """Do each symbol on its own; a failure is the symbol's if Bybit still answers, and everybody's if not."""
        if isinstance(symbols, str) or not symbols:
            raise ConfigError(f"symbols must be a list with at least one name, got {symbols!r}.")
        table = self._table(market)
        done: dict[str, T] = {}
        failures: dict[str, str] = {}
        for symbol in symbols:
            try:
                instrument = resolve(symbol, table, market)
                if instrument.id not in done:
                    done[instrument.id] = collect(instrument)
            except ConfigError as failure:
                failures[symbol] = str(failure)
            except ServiceError as failure:
                if not self._transport.alive():
                    raise
                failures[symbol] = str(failure)
        return done, failures

    def _candles(self, symbol: str, market: BybitMarket, interval: str, low: int | None, high: int | None) -> list[Any]:
        params: dict[str, Any] = {"category": market, "symbol": symbol, "interval": interval, "limit": CANDLES_A_PAGE}
        params |= {name: value for name, value in (("start", low), ("end", high)) if value is not None}
        what = f"Bybit {market} candles of {symbol}"
        return listed(self._transport.ask("publicGetV5MarketKline", params, what=what), what=what)

    def _rates(self, symbol: str, low: int, high: int) -> list[Any]:
        params = {"category": "linear", "symbol": symbol, "startTime": low, "endTime": high, "limit": _RATES_A_PAGE}
        what = f"Bybit funding of {symbol}"
        return listed(self._transport.ask("publicGetV5MarketFundingHistory", params, what=what), what=what)


def _milliseconds(instant: pd.Timestamp, what: str) -> int:
    """Whole milliseconds, up for the bounds of a range and down for the present, so that neither admits too much."""
    if not isinstance(instant, pd.Timestamp) or instant.tzinfo is None:
        raise ConfigError(f"{what} must be a Timestamp with a time zone, got {instant!r}.")
    past = instant - pd.Timestamp(0, tz="UTC")
    unit = pd.Timedelta(milliseconds=1)
    return int(past // unit if what == "now" else -(-past // unit))


def _check_range(first: int, last: int, start: pd.Timestamp, end: pd.Timestamp) -> None:
    if last <= first:
        raise ConfigError(f"end ({end}) must be later than start ({start}).")


def _total(parts: Any) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return {name: total[name] for name in _COUNTS}


def _bars_frame(parts: dict[str, RowsByInstant], venue: str, bar: str, step: int) -> pd.DataFrame:
    opens = [(symbol, instant) for symbol, series in sorted(parts.items()) for instant in sorted(series.rows)]
    values = [parts[symbol].rows[instant] for symbol, instant in opens]
    frame = pd.DataFrame(
        {
            "venue": pd.Series([venue] * len(opens), dtype="str"),
            "symbol": pd.Series([symbol for symbol, _ in opens], dtype="str"),
            "bar": pd.Series([bar] * len(opens), dtype="str"),
            "open_at": instants(instant for _, instant in opens),
            "close_at": instants(instant + step for _, instant in opens),
        }
    )
    for place, name in enumerate(("open", "high", "low", "close", "volume")):
        frame[name] = pd.Series([row[place] for row in values], dtype="float64")
    return frame


def _ranges_frame(rows: list[Any]) -> pd.DataFrame:
    """First three entries of each row: symbol, start and end in milliseconds."""
    return pd.DataFrame(
        {
            "symbol": pd.Series([row[0] for row in rows], dtype="str"),
            "start": instants(row[1] for row in rows),
            "end": instants(row[2] for row in rows),
        }
    )


def _doubts_frame(parts: dict[str, RowsByInstant]) -> pd.DataFrame:
    rows = [(symbol, *item) for symbol, series in sorted(parts.items()) for item in sorted(series.doubts.items())]
    return pd.DataFrame(
        {
            "symbol": pd.Series([row[0] for row in rows], dtype="str"),
            "instant": instants(row[1] for row in rows),
            "outcome": pd.Series([row[2] for row in rows], dtype="str"),
        }
    )
