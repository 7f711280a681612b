"""Bars and corporate actions as they were traded and paid, recovered from the charts that Yahoo serves today.

Yahoo scales every price, volume and dividend by all splits since. Here each split after a bar is undone, so that a row
is the same whenever it is fetched, and rows are placed on their exchange's calendar. What does not belong is set aside
with its reason, never dropped in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import ROUND_THE_CLOCK, length_of, name_of, recorded_span, sessions
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import UTC_DTYPE
from embargo.data_loaders.schemas import utc_microseconds
from embargo.data_loaders.yahoo.client import YahooChart

VENUE = "yahoo"
BAR_COLUMNS = ("venue", "symbol", "bar", "open_at", "close_at", "open", "high", "low", "close", "volume")
ACTION_COLUMNS = ("venue", "symbol", "kind", "ex_at", "value")
# How far ahead Yahoo is asked for events: once the last session before a split is over, it may be in the prices. The
# longest holidays (Golden Week) close an exchange for ten days.
AHEAD = pd.Timedelta(days=12)
_MARGIN = pd.Timedelta(days=10)
_DAYS_TO_ADJUST = pd.Timedelta(days=10)
# Yahoo rounds what it has scaled to six decimals.
_HALF_OF_LAST_DECIMAL = 5e-7

_SUBUNITS = {"GBp": ("GBP", 100), "ZAc": ("ZAR", 100), "ILA": ("ILS", 100), "KWF": ("KWD", 1000)}

_EXCHANGES: dict[str, str] = {
    exchange: calendar
    for calendar, exchanges in {
        "XNYS": "NMS NGM NCM NAS NIM NYQ NYS PCX ASE BTS PNK OTC OQB OQX OEM OBB OID SNP DJI",
        "XTSE": "TOR VAN CNQ NEO",
        "BVMF": "SAO",
        "XMEX": "MEX",
        "XBUE": "BUE",
        "XSGO": "SGO",
        "XLON": "LSE IOB FGI",
        "XETR": "GER",
        "XFRA": "FRA",
        "XSTU": "STU",
        "XDUS": "DUS",
        "XHAM": "HAM",
        "XPAR": "PAR",
        "XAMS": "AMS",
        "XBRU": "BRU",
        "XLIS": "LIS",
        "XDUB": "ISE",
        "XMIL": "MIL",
        "XMAD": "MCE",
        "XSWX": "EBS",
        "XWBO": "VIE",
        "XSTO": "STO",
        "XCSE": "CPH",
        "XHEL": "HEL",
        "XOSL": "OSL",
        "XICE": "ICE",
        "XTAL": "TAL",
        "XRIS": "RIS",
        "XLIT": "LIT",
        "XWAR": "WSE",
        "XPRA": "PRA",
        "XBUD": "BUD",
        "XIST": "IST",
        "XTAE": "TLV",
        "ASEX": "ATH",
        "XSAU": "SAU",
        "XJSE": "JNB",
        "XTKS": "JPX OSA",
        "XHKG": "HKG",
        "XSHG": "SHH SHZ",
        "XTAI": "TAI TWO",
        "XKRX": "KSC KOE",
        "XBOM": "BSE NSI",
        "XSES": "SES",
        "XKLS": "KLS",
        "XBKK": "SET",
        "XIDX": "JKT",
        "XPHS": "PHS",
        "XASX": "ASX",
        "XNZE": "NZE",
        ROUND_THE_CLOCK: "CCC",
    }.items()
    for exchange in exchanges.split()
}


def calendar_of(exchange: str, *, symbol: str) -> str:
    """Name the calendar on which Yahoo's exchange code trades.

    Parameters
    ----------
    exchange : str
        As Yahoo writes it, such as ``"NMS"`` or ``"CCC"``.
    symbol : str
        Named in the error.

    Returns
    -------
    str
        exchange_calendars code, or ``"24/7"``.

    Raises
    ------
    ConfigError
        If the code is not known, saying how to name the calendar oneself.

    Examples
    --------
    >>> from embargo.data_loaders.yahoo import calendar_of
    >>> calendar_of("NMS", symbol="AAPL"), calendar_of("CCC", symbol="BTC-USD")
    ('XNYS', '24/7')
    """
    try:
        return _EXCHANGES[exchange]
    except KeyError:
        raise ConfigError(
            f"{symbol}: Yahoo's exchange {exchange!r} has no known calendar. Name an exchange_calendars code yourself: "
            f"calendars={{{symbol!r}: 'XNYS'}}, or --calendar {symbol}=XNYS on the command line."
        ) from None


@dataclass(frozen=True, eq=False)
class YahooListing:
    """What Yahoo says of a symbol, with the calendar it trades on and all its sessions that a request may touch."""

    symbol: str
    calendar: str
    sessions: pd.DataFrame
    zone: str
    instrument_type: str
    currency: str
    first_traded_at: pd.Timestamp | None

    def row(self, now: pd.Timestamp) -> dict[str, object]:
        """One row of the instruments table, seen now."""
        paired = self.instrument_type in ("CRYPTOCURRENCY", "CURRENCY")
        return {
            "venue": VENUE,
            "symbol": self.symbol,
            "kind": "spot" if paired else "share",
            "base": self.symbol.partition("-")[0] if paired else self.symbol,
            "quote": self.currency,
            "listed_at": self.first_traded_at,
            "delisted_at": None,
            "status": "trading",
            "seen_at": now,
        }


def listing_of(
    symbol: str, meta: Mapping[str, Any], calendars: Mapping[str, str], *, start: pd.Timestamp, now: pd.Timestamp
) -> YahooListing:
    """Read the description of a symbol; a calendar named in ``calendars`` goes before Yahoo's exchange.

    Raises
    ------
    ConfigError
        If the calendar is unknown.
    DataError
        If Yahoo states no time zone, or the calendar does not reach back to ``start``.
    """
    zone = str(meta.get("exchangeTimezoneName") or "")
    if not zone:
        raise DataError(f"{symbol}: Yahoo states no exchange time zone, so its rows cannot be dated.")
    calendar = calendars.get(symbol) or calendar_of(str(meta.get("exchangeName") or ""), symbol=symbol)
    first_day, last_day = recorded_span(calendar)
    if start.tz_convert(None) - _MARGIN < first_day:
        raise DataError(
            f"{symbol}: the calendar {calendar} is recorded from {first_day.date()}, so rows and events before that "
            f"cannot be dated. Start at {(first_day + _MARGIN).date()} or later."
        )
    table = sessions(calendar, start - _MARGIN, now + AHEAD + _MARGIN)
    # A split of an unrecorded day may be in the prices once the last session that is recorded is over.
    if now + AHEAD > last_day.tz_localize("UTC") and now >= table["close_at"].iloc[-1]:
        raise DataError(
            f"{symbol}: the calendar {calendar} is recorded to {last_day.date()}, so rows and events after that cannot "
            "be dated. Install a release of exchange_calendars that knows more."
        )
    try:
        first = meta.get("firstTradeDate")
        listed_at = None if first is None else pd.Timestamp(int(first), unit="s", tz="UTC").as_unit("us")
    except (TypeError, ValueError, OverflowError) as failure:
        raise DataError(f"{symbol}: Yahoo states an unreadable date of its first trade ({failure}).") from failure
    return YahooListing(
        symbol,
        calendar,
        table,
        zone,
        str(meta.get("instrumentType") or ""),
        str(meta.get("currency") or ""),
        listed_at,
    )


@dataclass(frozen=True)
class Events:
    """Splits and payments of a symbol, oldest first.

    Attributes
    ----------
    splits : tuple of (ex_at, ratio)
        Instants as datetime64[us] in UTC; new shares per old as exact fractions.
    payments : DataFrame
        ``ex_at, dividend, capital_gain``: cash per share in the share units of that day, in the currency of the prices.
    foreign : tuple of (ex_at, currency)
        Payments in a currency that no fixed rate ties to that of the prices; they are in no other column.
    """

    splits: tuple[tuple[np.datetime64, Fraction], ...]
    payments: pd.DataFrame
    foreign: tuple[tuple[np.datetime64, str], ...] = ()


def _rate_to(paid: str, quoted: str) -> float | None:
    """Units of the prices' currency for one of the payment's; None where they are not one currency.

    Yahoo quotes London, Johannesburg, Tel Aviv and Kuwait in hundredths or thousandths of the currency that companies
    pay in, and may state the currency of a payment beside its amount.
    """
    if not paid or paid == quoted:
        return 1.0
    (whole, parts), (other, of_other) = _SUBUNITS.get(quoted, (quoted, 1)), _SUBUNITS.get(paid, (paid, 1))
    return parts / of_other if whole == other else None


def simplest_within(values: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return for each value the decimal with the fewest places that lies within ``error`` of it; shape (n,).

    A price that was quoted in ticks wider than twice the error is recovered exactly: two different decimals of its
    length, or a shorter one, would have to lie at least a tick away. NaN stays NaN.
    """
    found = np.asarray(values, dtype=float).copy()
    pending = np.isfinite(found)
    for places in range(16):
        near = np.round(values, places)
        # A decimal equal up to the last bits of a double counts as within.
        hit = pending & (np.abs(near - values) <= error + 4 * np.spacing(np.abs(values)))
        found[hit] = near[hit]
        pending &= ~hit
    return found


def _undone(served: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Undo the splits in prices or payments: ``served * factor`` without the noise of how it was served.

    Yahoo serves single-precision numbers, and rounds to six decimals what it has scaled.
    """
    with np.errstate(over="ignore"):
        noise = np.spacing(np.abs(served).astype(np.float32)).astype(float) / 2
    error = (noise + np.where(factor == 1.0, 0.0, _HALF_OF_LAST_DECIMAL)) * factor
    return simplest_within(served * factor, error)


def _factor_after(splits: tuple[tuple[np.datetime64, Fraction], ...], instants: np.ndarray) -> np.ndarray:
    """Count the shares that one share held at each instant has become since; shape (n,)."""
    later = [Fraction(1)]
    for _, ratio in reversed(splits):
        later.append(later[-1] * ratio)
    products = np.array([float(product) for product in reversed(later)])
    effective = np.array([ex_at for ex_at, _ in splits], dtype="datetime64[us]")
    return products[np.searchsorted(effective, instants, side="right")]


def _dated(chart: YahooChart, kind: str, listing: YahooListing) -> list[tuple[np.datetime64, dict[str, Any]]]:
    """Events of a kind with the open of their session, or of the next one where their day is no session."""
    dated = []
    for event in (chart.events.get(kind) or {}).values():
        day = (
            pd.Timestamp(int(event["date"]), unit="s", tz="UTC").tz_convert(listing.zone).tz_localize(None).normalize()
        )
        place = int(listing.sessions.index.searchsorted(day))
        if place < len(listing.sessions):
            dated.append((utc_microseconds(listing.sessions["open_at"].iloc[[place]])[0], event))
    return sorted(dated, key=lambda pair: pair[0])


def _refuse_undecided(
    chart: YahooChart, listing: YahooListing, splits: tuple[tuple[np.datetime64, Fraction], ...], now: Any
) -> None:
    """Raise if it cannot be told whether the served prices contain a split of these days."""
    closes, opens = chart.rows["Close"].dropna(), chart.rows["Open"].dropna()
    for ex_at, ratio in splits:
        instant = pd.Timestamp(ex_at, tz="UTC")
        day = instant.tz_convert(listing.zone).normalize()
        before, after = closes.loc[closes.index < day], opens.loc[opens.index >= day]
        if instant <= now - _DAYS_TO_ADJUST or before.empty:
            continue
        named = f"{listing.symbol}: the split of {ratio.numerator}:{ratio.denominator} on {day.date()}"
        until_then = listing.sessions.loc[
            (listing.sessions["close_at"] > now) & (listing.sessions["open_at"] < instant)
        ]
        if len(until_then):
            continue
        if instant > now or after.empty:
            raise DataError(
                f"{named} has no bar yet, so it cannot be told whether Yahoo's prices contain it already. Fetch this "
                "symbol again when that session is under way."
            )
        jump, by_ratio = np.log(after.iloc[0] / before.iloc[-1]), np.log(float(ratio))
        if abs(by_ratio) > np.log(1.9) and abs(jump + by_ratio) < abs(jump):
            raise DataError(
                f"{named} is reported, but Yahoo's prices are not adjusted for it yet ({before.iloc[-1]:g} before, "
                f"{after.iloc[0]:g} after). Fetch this symbol again in a day or two."
            )


def events_of(chart: YahooChart, listing: YahooListing, *, now: pd.Timestamp) -> Events:
    """Read splits, dividends and capital gains; each takes effect at the open of its session, or of the next one.

    Parameters
    ----------
    chart : YahooChart
        Daily rows and events from before the first bar wanted until ``now + AHEAD``: splits after the last bar wanted
        matter too.
    listing : YahooListing
        The symbol and its calendar.
    now : Timestamp
        Instant of the request, UTC.

    Raises
    ------
    DataError
        If an event is malformed, or it cannot be told whether the served prices contain a split of the last days: it
        takes effect after ``now`` or has no bar yet, or the prices still jump by its ratio.
    """
    try:
        splits = tuple(
            (ex_at, Fraction(str(event["numerator"])) / Fraction(str(event["denominator"])))
            for ex_at, event in _dated(chart, "splits", listing)
        )
        paid, foreign = [], []
        for kind, column in (("dividends", "dividend"), ("capitalGains", "capital_gain")):
            for ex_at, event in _dated(chart, kind, listing):
                currency = str(event.get("currency") or "")
                rate = _rate_to(currency, listing.currency)
                if rate is None:
                    foreign.append((ex_at, currency))
                else:
                    paid.append((ex_at, column, float(event["amount"]) * rate))
    except (KeyError, ValueError, TypeError, AttributeError, ZeroDivisionError) as failure:
        raise DataError(f"{listing.symbol}: Yahoo served an unreadable split or dividend ({failure!r}).") from failure
    if any(ratio <= 0 for _, ratio in splits):
        raise DataError(f"{listing.symbol}: Yahoo served a split whose ratio is not positive.")
    _refuse_undecided(chart, listing, splits, now)
    splits = tuple((ex_at, ratio) for ex_at, ratio in splits if pd.Timestamp(ex_at, tz="UTC") <= now)
    frame = pd.DataFrame(paid, columns=["ex_at", "kind", "value"])
    if frame.empty:
        none = pd.DataFrame({"ex_at": pd.Series(dtype=UTC_DTYPE), "dividend": 0.0, "capital_gain": 0.0})
        return Events(splits, none, tuple(foreign))
    instants = frame["ex_at"].to_numpy(dtype="datetime64[us]")
    frame["value"] = _undone(frame["value"].to_numpy(dtype=float), _factor_after(splits, instants))
    frame["ex_at"] = pd.Series(instants).dt.tz_localize("UTC").astype(UTC_DTYPE)
    payments = frame.pivot_table(index="ex_at", columns="kind", values="value", aggfunc="sum")
    payments = payments.reindex(columns=["dividend", "capital_gain"]).fillna(0.0).rename_axis(columns=None)
    return Events(splits, payments.reset_index(), tuple(foreign))


def actions_of(
    events: Events, listing: YahooListing, *, start: pd.Timestamp, end: pd.Timestamp, now: pd.Timestamp
) -> pd.DataFrame:
    """Return splits and dividends with ``start <= ex_at < end`` and not after ``now``, one row per kind and ex date.

    The dividend includes a capital gain paid that day. Yahoo adds gains to the dividend itself of late, so that one
    that is at least as large as the gain is taken to contain it. Payments of zero are no actions.
    """
    days: dict[np.datetime64, Fraction] = {}
    for ex_at, ratio in events.splits:
        days[ex_at] = days.get(ex_at, Fraction(1)) * ratio
    split = pd.DataFrame(
        {
            "kind": "split",
            "ex_at": pd.Series(list(days), dtype="datetime64[us]").dt.tz_localize("UTC"),
            "value": [float(ratio) for ratio in days.values()],
        }
    )
    dividend, gain = events.payments["dividend"], events.payments["capital_gain"]
    paid = pd.DataFrame(
        {"kind": "dividend", "ex_at": events.payments["ex_at"], "value": dividend + gain.where(dividend < gain, 0.0)}
    )
    frame = pd.concat([paid.loc[paid["value"] > 0], split], ignore_index=True)
    frame = frame.assign(venue=VENUE, symbol=listing.symbol).astype({"value": float})
    within = (frame["ex_at"] >= start) & (frame["ex_at"] < end) & (frame["ex_at"] <= now)
    return frame.loc[within, list(ACTION_COLUMNS)].sort_values(["ex_at", "kind"], ignore_index=True)


def unpaid_of(
    events: Events, listing: YahooListing, *, start: pd.Timestamp, end: pd.Timestamp, now: pd.Timestamp
) -> pd.DataFrame:
    """Return payments in a foreign currency, set aside: ``symbol, instant, reason``, one row each."""
    rows = [
        (listing.symbol, pd.Timestamp(ex_at, tz="UTC"), f"a dividend in {paid}, prices in {listing.currency}")
        for ex_at, paid in events.foreign
        if start <= pd.Timestamp(ex_at, tz="UTC") < end and pd.Timestamp(ex_at, tz="UTC") <= now
    ]
    frame = pd.DataFrame(rows, columns=["symbol", "instant", "reason"])
    return frame.astype({"symbol": "str", "instant": UTC_DTYPE, "reason": "str"})


def _daily(rows: pd.DataFrame, listing: YahooListing) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Open, close (datetime64[us], NaT where unplaced) and reason why a row has no place, each of shape (rows,)."""
    days = pd.DatetimeIndex(rows.index).tz_localize(None).normalize().as_unit("us")
    placed = listing.sessions.reindex(days)
    reason = np.where(days.isin(listing.sessions.index), "", f"no session of {name_of(listing.calendar)}")
    return utc_microseconds(placed["open_at"]), utc_microseconds(placed["close_at"]), reason


def _intraday(rows: pd.DataFrame, listing: YahooListing, bar: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    opens = utc_microseconds(pd.DatetimeIndex(rows.index).tz_convert("UTC"))
    session = np.searchsorted(utc_microseconds(listing.sessions["open_at"]), opens, side="right") - 1
    ends = utc_microseconds(listing.sessions["close_at"])[session]
    closes = np.minimum(opens + np.timedelta64(length_of(bar).to_timedelta64(), "us"), ends)
    reason = np.where(opens < ends, "", f"outside the sessions of {name_of(listing.calendar)}").astype(object)
    # Yahoo appends the last trade, stamped with its second, as if it were a bar.
    reason[opens != opens.astype("datetime64[m]")] = "a single trade, not a bar"
    regular = np.flatnonzero(reason == "")
    overlapping = regular[1:][opens[regular[1:]] < closes[regular[:-1]]]
    reason[overlapping] = "begins before the bar before it closed"
    return opens, closes, reason


def bars_of(
    rows: pd.DataFrame,
    listing: YahooListing,
    events: Events,
    *,
    bar: str,
    start: pd.Timestamp,
    end: pd.Timestamp,
    now: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Turn served rows into bars as traded.

    Prices are multiplied, and volumes divided, by all splits that took effect after the bar opened. The decimal with
    the fewest places within the error of serving stands for the price (see ``simplest_within``), so the price is exact
    whatever came later, as long as its tick is wider than 1e-6 times the splits since. A volume is exact after splits;
    after a reverse split the digits that Yahoo rounded away are gone.

    Parameters
    ----------
    rows : DataFrame
        yfinance's table with ``auto_adjust=False``, index in the exchange's zone.
    listing, events : YahooListing and Events
        Where it trades and what was split.
    bar : str
        ``"1d"`` or an intraday length such as ``"1h"``.
    start, end : Timestamp
        Bars with ``start <= open_at < end`` are kept.
    now : Timestamp
        Bars that close after it are unfinished.

    Returns
    -------
    bars : DataFrame with the columns of the store's bars, by ``open_at``
    set_aside : DataFrame with ``symbol, instant, reason``, one row for each row of the range that is no bar
    """
    rows = rows.loc[rows[["Open", "High", "Low", "Close"]].notna().any(axis=1)]
    empty = pd.DataFrame({"symbol": [], "instant": pd.Series(dtype=UTC_DTYPE), "reason": []}).astype(
        {"symbol": str, "reason": str}
    )
    if rows.empty:
        return _frame(listing, bar, np.empty(0, "datetime64[us]"), np.empty(0, "datetime64[us]"), {}), empty
    opens, closes, reason = _daily(rows, listing) if bar == "1d" else _intraday(rows, listing, bar)
    stamps = utc_microseconds(pd.DatetimeIndex(rows.index).tz_convert("UTC"))
    served = {name: rows[name.title()].to_numpy(dtype=float) for name in ("open", "high", "low", "close", "volume")}
    prices = np.column_stack([served[name] for name in ("open", "high", "low", "close")])
    reason = np.where((reason == "") & (prices <= 0).any(axis=1), "a price that is not positive", reason)
    impossible = (served["low"] > served["high"] * (1 + 1e-9)) | (served["volume"] < 0) | np.isinf(prices).any(axis=1)
    reason = np.where((reason == "") & impossible, "low above high, or a negative volume", reason)
    reason = np.where((reason == "") & (closes > np.datetime64(now.tz_convert(None), "us")), "unfinished", reason)
    at = np.where(np.isnat(opens), stamps, opens)
    within = (at >= np.datetime64(start.tz_convert(None), "us")) & (at < np.datetime64(end.tz_convert(None), "us"))
    kept, aside = within & (reason == ""), within & (reason != "")
    factor = _factor_after(events.splits, opens[kept])
    values = {name: _undone(served[name][kept], factor) for name in ("open", "high", "low", "close")}
    # Two prices closer than the error may not change sides.
    crossed = (values["low"] > values["high"]) & (served["low"][kept] <= served["high"][kept])
    for name in values:
        values[name] = np.where(crossed, served[name][kept] * factor, values[name])
    values["volume"] = np.rint(served["volume"][kept] / factor)
    set_aside = pd.DataFrame(
        {
            "symbol": listing.symbol,
            "instant": pd.Series(at[aside]).dt.tz_localize("UTC").astype(UTC_DTYPE),
            "reason": reason[aside].astype(str),
        }
    )
    return _frame(listing, bar, opens[kept], closes[kept], values), set_aside if len(set_aside) else empty


def _frame(
    listing: YahooListing, bar: str, opens: np.ndarray, closes: np.ndarray, values: dict[str, np.ndarray]
) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "open_at": pd.Series(opens).dt.tz_localize("UTC").astype(UTC_DTYPE),
            "close_at": pd.Series(closes).dt.tz_localize("UTC").astype(UTC_DTYPE),
            **{
                name: pd.Series(values.get(name, []), dtype=float)
                for name in ("open", "high", "low", "close", "volume")
            },
        }
    )
    frame = frame.assign(venue=VENUE, symbol=listing.symbol, bar=bar)
    return frame[list(BAR_COLUMNS)].sort_values("open_at", ignore_index=True, kind="stable")
