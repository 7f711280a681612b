"""Daily and intraday prices from Yahoo through yfinance: unadjusted, on the exchange's calendar, faults named.

Rows are as they were traded, with splits and dividends beside them, and the same whenever they are fetched. A symbol
that fails is reported with its reason while the others are kept; an unreachable service is one error, not one a symbol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

from embargo.data_loaders.calendars import zone_of
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.fields import UTC_DTYPE
from embargo.data_loaders.retries import SYSTEM_CLOCK, Clock, Patience
from embargo.data_loaders.yahoo.bars import (
    ACTION_COLUMNS,
    AHEAD,
    BAR_COLUMNS,
    YahooListing,
    actions_of,
    bars_of,
    events_of,
    listing_of,
    unpaid_of,
)
from embargo.data_loaders.yahoo.client import Refused, YahooClient, ask_each, checked_symbols, connect, utc_of


@dataclass(frozen=True)
class _Interval:
    """How Yahoo names a bar, how many days back it keeps it, and how many days it serves at once."""

    name: str
    kept_days: int | None = None
    days_at_once: int | None = None


INTERVALS: dict[str, _Interval] = {
    "1d": _Interval("1d"),
    "1h": _Interval("1h", 730),
    "90min": _Interval("90m", 60),
    "30min": _Interval("30m", 60),
    "15min": _Interval("15m", 60),
    "5min": _Interval("5m", 60),
    "2min": _Interval("2m", 60),
    "1min": _Interval("1m", 30, 7),
}
_MARGIN = pd.Timedelta(days=2)
_SETTLING = pd.Timedelta(days=1)


@dataclass(frozen=True)
class YahooPrices:
    """What Yahoo had for a range of time.

    Attributes
    ----------
    bars : DataFrame
        ``venue, symbol, bar, open_at, close_at, open, high, low, close, volume`` as traded, by symbol and ``open_at``.
        Volume is in shares; of crypto pairs Yahoo states it in the quote currency.
    actions : DataFrame
        ``venue, symbol, kind ("split" | "dividend"), ex_at, value`` within the range.
    capital_gains : DataFrame
        ``symbol, ex_at, value``: distributions of funds, cash per share; contained in the dividends of ``actions``.
    instruments : DataFrame
        One row per symbol that answered.
    calendars : dict of symbol to calendar code
    answered : dict of symbol to (start, until)
        What was answered in full and will not need asking again; ``until`` stops before an unfinished bar, and before
        a session of the last day that Yahoo does not serve yet. Where no bar was served at all (of a day, for daily
        bars also around the range) that may be a fault of the service, and nothing counts as answered.
    empty : dict of symbol to reason
        Symbols that answered properly and have no bar in the range.
    failures : dict of symbol to reason
        Symbols of which nothing is known: unknown or delisted, without a calendar, or faults of the service.
    set_aside : DataFrame
        ``symbol, instant, reason`` of every served row that is no bar.
    counts : dict
        ``symbols, answered, empty, failed, bars, actions``, and rows set aside by reason.

    Examples
    --------
    >>> from dataclasses import fields
    >>> from embargo.data_loaders.yahoo import YahooPrices
    >>> [field.name for field in fields(YahooPrices)][:4]
    ['bars', 'actions', 'capital_gains', 'instruments']
    """

    bars: pd.DataFrame
    actions: pd.DataFrame
    capital_gains: pd.DataFrame
    instruments: pd.DataFrame
    calendars: dict[str, str]
    answered: dict[str, tuple[pd.Timestamp, pd.Timestamp]]
    empty: dict[str, str]
    failures: dict[str, str]
    set_aside: pd.DataFrame
    counts: dict[str, int]


@dataclass
class _Found:
    bars: list[pd.DataFrame] = field(default_factory=list)
    actions: list[pd.DataFrame] = field(default_factory=list)
    gains: list[pd.DataFrame] = field(default_factory=list)
    set_aside: list[pd.DataFrame] = field(default_factory=list)
    instruments: list[dict[str, object]] = field(default_factory=list)
    calendars: dict[str, str] = field(default_factory=dict)
    answered: dict[str, tuple[pd.Timestamp, pd.Timestamp]] = field(default_factory=dict)
    empty: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Range:
    bar: str
    start: pd.Timestamp
    end: pd.Timestamp
    now: pd.Timestamp


def _checked_range(start: pd.Timestamp, end: pd.Timestamp, bar: str, now: pd.Timestamp) -> _Range:
    if bar not in INTERVALS:
        raise ConfigError(f"yahoo: bar {bar!r} is not served. Use one of {list(INTERVALS)}.")
    first, last, present = (utc_of(value, name) for value, name in ((start, "start"), (end, "end"), (now, "now")))
    if not first < min(last, present):
        raise ConfigError(
            f"yahoo: there is nothing between start {first} and the earlier of end {last} and now {present}."
        )
    kept = INTERVALS[bar].kept_days
    if kept is not None and first < present - pd.Timedelta(days=kept):
        raise ConfigError(
            f"yahoo: {bar} bars are kept for {kept} days only, and start {first} lies before "
            f"{present - pd.Timedelta(days=kept)}. Start later, or take longer bars."
        )
    return _Range(bar, first, last, present)


def _intraday_rows(client: YahooClient, symbol: str, span: _Range) -> tuple[pd.DataFrame, list[int]]:
    interval = INTERVALS[span.bar]
    last = min(span.end, span.now)
    step = last - span.start if interval.days_at_once is None else pd.Timedelta(days=interval.days_at_once)
    charts, cursor = [], span.start
    while cursor < last:
        until = min(cursor + step, last)
        try:
            charts.append(client.chart(symbol, cursor, until, interval.name))
        except Refused as refusal:
            if not _has_no_range(refusal):
                raise
        cursor = until
    parts = [chart.rows for chart in charts if len(chart.rows)]
    rows = pd.concat(parts) if parts else pd.DataFrame()
    return rows.loc[~rows.index.duplicated(keep="last")], [stamp for chart in charts for stamp in chart.without_price]


def _has_no_range(refusal: Refused) -> bool:
    return str(refusal).lower().startswith("data doesn't exist for startdate")


def _until(listing: YahooListing, span: _Range, bars: pd.DataFrame) -> pd.Timestamp:
    """Instant before which nothing will be added: see ``YahooPrices.answered``."""
    last = min(span.end, span.now)
    table = listing.sessions
    recent = table.loc[(table["open_at"] < last) & (table["close_at"] > span.now - _SETTLING)]
    for opened, closed in zip(recent["open_at"], recent["close_at"], strict=True):
        within = bars.loc[(bars["open_at"] >= opened) & (bars["open_at"] < closed), "close_at"]
        served: pd.Timestamp = opened if within.empty else within.max()
        if served < closed:
            return max(span.start, min(last, served))
    return last


def _set_aside(symbol: str, stamps: list[int], span: _Range) -> pd.DataFrame:
    instants = pd.Series(pd.to_datetime(stamps, unit="s", utc=True)).astype(UTC_DTYPE)
    instants = instants.loc[(instants >= span.start) & (instants < span.end)]
    return pd.DataFrame({"symbol": symbol, "instant": instants, "reason": "no price"})


def _ask(client: YahooClient, symbol: str, span: _Range, calendars: Mapping[str, str], found: _Found) -> None:
    try:
        daily = client.chart(symbol, span.start - _MARGIN, span.now + AHEAD, "1d")
    except Refused as refusal:
        if _has_no_range(refusal):
            found.empty[symbol] = f"Yahoo has no bars of it between {span.start} and {span.now}"
            return
        raise
    if daily.served_at is not None:
        # By a clock that runs ahead of Yahoo's, a bar would be over that is still being traded.
        span = replace(span, now=min(span.now, daily.served_at))
    listing = listing_of(symbol, daily.meta, calendars, start=span.start, now=span.now)
    events = events_of(daily, listing, now=span.now)
    if span.bar == "1d":
        rows, priceless = daily.rows, daily.without_price
    else:
        rows, priceless = _intraday_rows(client, symbol, span)
    bars, set_aside = bars_of(rows, listing, events, bar=span.bar, start=span.start, end=span.end, now=span.now)
    found.bars.append(bars)
    unpaid = unpaid_of(events, listing, start=span.start, end=span.end, now=span.now)
    found.set_aside += [set_aside, _set_aside(symbol, priceless, span), unpaid]
    found.actions.append(actions_of(events, listing, start=span.start, end=span.end, now=span.now))
    gains = events.payments.loc[events.payments["capital_gain"] > 0]
    gains = gains.loc[(gains["ex_at"] >= span.start) & (gains["ex_at"] < span.end) & (gains["ex_at"] <= span.now)]
    found.gains.append(pd.DataFrame({"symbol": symbol, "ex_at": gains["ex_at"], "value": gains["capital_gain"]}))
    found.instruments.append(listing.row(span.now))
    found.calendars[symbol] = listing.calendar
    if len(daily.rows if span.bar == "1d" else bars):
        found.answered[symbol] = (span.start, _until(listing, span, bars))
    if bars.empty:
        found.empty[symbol] = f"Yahoo has no bars of it between {span.start} and {min(span.end, span.now)}"


def fetch_prices(
    symbols: Iterable[str],
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
    bar: str = "1d",
    now: pd.Timestamp,
    patience: Patience | None = None,
    clock: Clock = SYSTEM_CLOCK,
    calendars: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> YahooPrices:
    """Fetch bars, splits and dividends of many symbols.

    Parameters
    ----------
    symbols : iterable of str
        Yahoo's names, such as ``AAPL``, ``VOD.L`` or ``BTC-USD``.
    start, end : Timestamp
        UTC; bars with ``start <= open_at < end``.
    bar : str
        ``"1d"``, ``"1h"`` (kept for 730 days), ``"90min"`` to ``"2min"`` (60 days) or ``"1min"`` (30 days).
    now : Timestamp
        The instant of the request, UTC. A bar that closes after it, here or by Yahoo's clock, is unfinished and left
        out.
    patience : Patience, optional
        Bounds of each request.
    clock : Clock
        Measures and waits.
    calendars : mapping of symbol to calendar code, optional
        Goes before Yahoo's exchange, and is needed where that is unknown.
    progress : callable (done, total), optional
        Called after each symbol.

    Returns
    -------
    YahooPrices

    Raises
    ------
    ConfigError
        If a symbol, bar or range cannot be asked for.
    ServiceError
        If Yahoo cannot be reached, or no symbol at all got a usable answer.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.yahoo import fetch_prices
    >>> now = pd.Timestamp("2020-03-01", tz="UTC")
    >>> fetch_prices(["AAPL"], start=now, end=now, bar="7min", now=now)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: yahoo: bar '7min' is not served. Use one of ['1d', '1h', ...].
    """
    named = checked_symbols(symbols)
    span = _checked_range(start, end, bar, now)
    own = {symbol.upper(): code for symbol, code in (calendars or {}).items()}
    for code in set(own.values()):
        zone_of(code)
    found = _Found()
    with connect(patience or Patience(), clock) as client:
        failures = ask_each(client, named, lambda symbol: _ask(client, symbol, span, own, found), progress)
    return _gathered(named, found, failures)


_TEXTS = ("venue", "symbol", "bar", "kind", "base", "quote", "status", "reason")
_INSTANTS = ("open_at", "close_at", "ex_at", "instant", "listed_at", "delisted_at", "seen_at")
_TYPES: dict[str, str | pd.DatetimeTZDtype] = {
    **dict.fromkeys(_TEXTS, "str"),
    **dict.fromkeys(_INSTANTS, UTC_DTYPE),
}


def _joined(frames: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    types = {name: _TYPES.get(name, "float64") for name in columns}
    filled = [frame for frame in frames if len(frame)]
    whole = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame({name: [] for name in columns})
    return whole[list(columns)].astype(types)


def _gathered(named: list[str], found: _Found, failures: dict[str, str]) -> YahooPrices:
    bars = _joined(found.bars, BAR_COLUMNS)
    actions = _joined(found.actions, ACTION_COLUMNS)
    set_aside = _joined(found.set_aside, ("symbol", "instant", "reason"))
    columns = ("venue", "symbol", "kind", "base", "quote", "listed_at", "delisted_at", "status", "seen_at")
    counts = {
        "symbols": len(named),
        "answered": len(named) - len(failures),
        "empty": len(found.empty),
        "failed": len(failures),
        "bars": len(bars),
        "actions": len(actions),
        **{str(reason): int(count) for reason, count in set_aside["reason"].value_counts().sort_index().items()},
    }
    return YahooPrices(
        bars,
        actions,
        _joined(found.gains, ("symbol", "ex_at", "value")),
        _joined([pd.DataFrame(found.instruments)], columns),
        found.calendars,
        found.answered,
        found.empty,
        failures,
        set_aside,
        counts,
    )
