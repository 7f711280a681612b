"""Bybit's v5 market and announcement endpoints on loopback, over a small made-up exchange with a known truth.

Rows leave newest first, as Bybit sends them; candles are a fixed function of symbol, interval and open, so that any
answer can be held against ``truth``. The exchange has its accidents: an outage, a hole that fills up, a late listing,
a delisting, a perpetual that never traded.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd

from servers.loopback import Answer, Loopback, Request

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
STEPS = {
    **{str(minutes): minutes * MINUTE for minutes in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    "D": DAY,
    "W": 7 * DAY,
}
INTERVALS = {
    **{f"{m}min": str(m) for m in (1, 3, 5, 15, 30)},
    **{f"{h}h": str(60 * h) for h in (1, 2, 4, 6, 12)},
    "1d": "D",
}
# 1970-01-01 was a Thursday; Bybit's weeks begin on Monday.
WEEK_OFFSET = 4 * DAY


def ms(text: str) -> int:
    """Milliseconds of a UTC instant such as ``2024-03-01 00:30``."""
    return int(pd.Timestamp(text, tz="UTC").timestamp() * 1000)


@dataclass(frozen=True)
class Listing:
    """One instrument: its life in milliseconds, and holes [start, end) in its candles.

    ``healing`` holes are missing from the first answer that should hold them and there from the second on.
    """

    id: str
    market: str
    base: str
    quote: str
    listed: int
    delisted: int = 0
    status: str = "Trading"
    contract: str = "LinearPerpetual"
    settle: str = ""
    holes: tuple[tuple[int, int], ...] = ()
    healing: tuple[tuple[int, int], ...] = ()
    empty: bool = False


NOW = ms("2024-03-01 00:30")
OUTAGE = (ms("2024-02-10 03:00"), ms("2024-02-10 07:00"))
HEALING = (ms("2024-02-12 10:00"), ms("2024-02-12 12:00"))
LATE = ms("2024-02-20 08:17")
GONE = ms("2024-02-15 09:00")
_OLD = ms("2020-03-25 10:36")
LISTINGS = (
    Listing("BTCUSDT", "spot", "BTC", "USDT", ms("2021-07-05 12:00")),
    Listing("ETHUSDT", "spot", "ETH", "USDT", ms("2021-07-05 12:00")),
    Listing("LATEUSDT", "spot", "LATE", "USDT", LATE),
    Listing("OUTUSDT", "spot", "OUT", "USDT", ms("2022-01-03 10:00"), holes=(OUTAGE,)),
    Listing("BTCUSDT", "linear", "BTC", "USDT", _OLD),
    Listing("BTCPERP", "linear", "BTC", "USDC", _OLD),
    Listing("ETHUSDT", "linear", "ETH", "USDT", _OLD),
    Listing("OUTUSDT", "linear", "OUT", "USDT", _OLD, holes=(OUTAGE,)),
    Listing("HEALUSDT", "linear", "HEAL", "USDT", _OLD, healing=(HEALING,)),
    Listing("LATEUSDT", "linear", "LATE", "USDT", LATE),
    Listing("GONEUSDT", "linear", "GONE", "USDT", _OLD, GONE, status="Closed"),
    Listing("VOIDUSDT", "linear", "VOID", "USDT", ms("2024-02-01 00:00"), empty=True),
    Listing("SOONUSDT", "linear", "SOON", "USDT", ms("2024-03-05 00:00"), status="PreLaunch"),
    Listing("BTCUSDT-29MAR24", "linear", "BTC", "USDT", _OLD, ms("2024-03-29 08:00"), contract="LinearFutures"),
)


def _post(number: int, published: str, title: str, **changes: Any) -> dict[str, Any]:
    instant = ms(published)
    return {
        "title": title,
        "description": f"What you need to know about it, number {number}.",
        "type": {"title": "New Listings", "key": "new_crypto"},
        "tags": ["Spot", "Spot Listings"],
        "url": f"https://announcements.bybit.com/en-US/article/some-title-blt{number:016x}/",
        "dateTimestamp": instant - 2 * HOUR,
        "startDateTimestamp": 0,
        "endDateTimestamp": 0,
        "publishTime": instant,
    } | changes


def _announcements() -> list[dict[str, Any]]:
    posts = [
        _post(1, "2024-02-29 12:00", "New listing: LATEUSDT perpetual contract, with up to 25x leverage"),
        _post(2, "2024-02-28 09:00", "Delisting of GONEUSDT and BTC/USDT margin changes"),
        _post(3, "2024-02-27 09:00", "Scheduled maintenance of the trading system", publishTime=0),
        _post(4, "2024-02-26 09:00", "An announcement without any date", publishTime=0, dateTimestamp=0),
        _post(5, "2024-02-25 09:00", "Bybit wins an award", url="https://announcements.bybit.com/award"),
    ]
    start = pd.Timestamp("2024-02-24 09:00")
    posts += [
        _post(number, str(start - pd.Timedelta(hours=12 * number)), f"Notice number {number} on ETHUSDT")
        for number in range(6, 56)
    ]
    return posts


class BybitService(Loopback):
    """The made-up exchange behind a loopback server.

    Attributes
    ----------
    now : int
        The exchange's clock in milliseconds; move it at will. The candle it lies in is unfinished.
    cap : int
        Most candles in one answer, whatever the client asks for.
    instrument_page : int
        Most instruments in one answer of the linear list.
    distort : callable
        Rows of a kline answer -> rows as sent.
    """

    def __init__(
        self,
        listings: tuple[Listing, ...] = LISTINGS,
        announcements: list[dict[str, Any]] | None = None,
        now: int = NOW,
    ) -> None:
        super().__init__(self._respond)
        self.now = now
        self.cap = 1000
        self.instrument_page = 500
        self.distort: Callable[[list[list[str]]], list[list[str]]] = lambda rows: rows
        self.announcements = _announcements() if announcements is None else announcements
        self.listings = {(listing.market, listing.id): listing for listing in listings}
        self._restated: dict[tuple[str, str, int], int] = {}
        self._healed: set[tuple[str, str]] = set()

    def restate(self, market: str, symbol: str, open_at: int) -> None:
        """Serve other values for this candle from now on."""
        key = (market, symbol, open_at)
        self._restated[key] = self._restated.get(key, 0) + 1

    def candle(self, market: str, symbol: str, interval: str, open_at: int) -> list[str]:
        """Row of Bybit's kline list for the bar that opens at this instant."""
        step = STEPS[interval]
        level = 10.0 + zlib.crc32(f"{market}{symbol}".encode()) % 1000

        def part(name: str, instant: int) -> float:
            return zlib.crc32(f"{symbol}{interval}{name}{instant}".encode()) % 10_000 / 10_000

        opened, closed = (level * (1 + part("price", instant) / 10) for instant in (open_at, open_at + step))
        closed *= 1 + 0.01 * self._restated.get((market, symbol, open_at), 0)
        volume = 100 * part("volume", open_at)
        if open_at + step > self.now:
            closed, volume = closed * 0.999, volume / 2
        high = max(opened, closed) * (1 + part("high", open_at) / 100)
        low = min(opened, closed) * (1 - part("low", open_at) / 100)
        return [
            str(open_at),
            *(f"{value:.4f}" for value in (opened, high, low, closed, volume)),
            f"{volume * closed:.4f}",
        ]

    def opens(self, market: str, symbol: str, interval: str, start: int, end: int) -> list[int]:
        """Opens in [start, end] of all candles that exist, healed holes included, oldest first."""
        listing = self.listings[market, symbol]
        if listing.empty:
            return []
        step, shift = STEPS[interval], WEEK_OFFSET if interval == "W" else 0
        first = max(-(-(start - shift) // step) * step, (listing.listed - shift) // step * step) + shift
        last = min(end, self.now, listing.delisted - 1 if listing.delisted else end)
        return [t for t in range(first, last + 1, step) if not _inside(t, t + step, listing.holes)]

    def truth(self, market: str, symbol: str, bar: str, start: str, end: str) -> pd.DataFrame:
        """Finished candles that open in [start, end): open_at, open, high, low, close, volume."""
        interval = INTERVALS[bar]
        opens = [
            t for t in self.opens(market, symbol, interval, ms(start), ms(end) - 1) if t + STEPS[interval] <= self.now
        ]
        rows = [[float(value) for value in self.candle(market, symbol, interval, t)[1:6]] for t in opens]
        frame = pd.DataFrame(rows, columns=["open", "high", "low", "close", "volume"], dtype=float)
        frame.insert(
            0, "open_at", pd.to_datetime(pd.Series(opens, dtype="int64"), unit="ms", utc=True).dt.as_unit("us")
        )
        return frame

    def rates(self, symbol: str, start: int, end: int) -> list[tuple[int, str]]:
        """Funding settlements in [start, end] that have happened, oldest first, every eight hours."""
        listing = self.listings["linear", symbol]
        last = min(end, self.now, listing.delisted or end)
        first = -(-max(start, listing.listed + 1) // (8 * HOUR)) * 8 * HOUR
        return [
            (t, f"{(zlib.crc32(f'{symbol}{t}'.encode()) % 2001 - 1000) / 1e6:.6f}")
            for t in range(first, last + 1, 8 * HOUR)
            if not listing.empty
        ]

    def _respond(self, request: Request) -> Answer:
        match request.path:
            case "/v5/market/kline":
                return self._kline(request.query)
            case "/v5/market/funding/history":
                return self._funding(request.query)
            case "/v5/market/instruments-info":
                return self._instruments(request.query)
            case "/v5/market/time":
                return self._good({"timeSecond": str(self.now // 1000), "timeNano": str(self.now * 1_000_000)})
            case "/v5/announcements/index":
                return self._posts(request.query)
        return Answer(404, "<html><body>404 page not found</body></html>")

    def _good(self, result: dict[str, Any]) -> Answer:
        return Answer(body={"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": self.now})

    def refusal(self, code: int, message: str) -> dict[str, Any]:
        """Body of an answer in which Bybit refuses; for the fault ``Status(200, ...)``."""
        return {"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": self.now}

    def _kline(self, query: dict[str, str]) -> Answer:
        market, symbol, interval = (query.get(name, "") for name in ("category", "symbol", "interval"))
        if (market, symbol) not in self.listings:
            return Answer(body=self.refusal(10001, "Not supported symbols"))
        if interval not in STEPS:
            return Answer(body=self.refusal(10001, "Invalid period!"))
        limit = min(int(query.get("limit", 200)), 1000, self.cap)
        start = int(query.get("start", 0))
        end = int(query["end"]) if "end" in query else start + (limit - 1) * STEPS[interval] if start else self.now
        listing = self.listings[market, symbol]
        opens = self.opens(market, symbol, interval, start, end)
        shut = [t for t in opens if _inside(t, t + STEPS[interval], listing.healing)]
        if shut and (market, symbol) not in self._healed:
            self._healed.add((market, symbol))
            opens = [t for t in opens if t not in shut]
        rows = [self.candle(market, symbol, interval, t) for t in reversed(opens[-limit:])]
        return self._good({"category": market, "symbol": symbol, "list": self.distort(rows)})

    def _funding(self, query: dict[str, str]) -> Answer:
        market, symbol = query.get("category", ""), query.get("symbol", "")
        if market != "linear" or (market, symbol) not in self.listings:
            return Answer(body=self.refusal(10001, "Not supported symbols"))
        if "startTime" in query and "endTime" not in query:
            return Answer(body=self.refusal(10001, "params error: endTime is required"))
        limit = min(int(query.get("limit", 200)), 200)
        rates = self.rates(symbol, int(query.get("startTime", 0)), int(query.get("endTime", self.now)))[-limit:]
        rows = [{"symbol": symbol, "fundingRate": rate, "fundingRateTimestamp": str(t)} for t, rate in reversed(rates)]
        return self._good({"category": market, "list": rows})

    def _instruments(self, query: dict[str, str]) -> Answer:
        market, status = query.get("category", ""), query.get("status", "Trading")
        rows = [
            _described(listing)
            for (where, _), listing in sorted(self.listings.items())
            if where == market and listing.status == status
        ]
        if market == "spot":
            return self._good({"category": market, "list": rows})
        first = int(query.get("cursor", "0"))
        last = first + min(int(query.get("limit", 500)), self.instrument_page)
        cursor = str(last) if last < len(rows) else ""
        return self._good({"category": market, "list": rows[first:last], "nextPageCursor": cursor})

    def _posts(self, query: dict[str, str]) -> Answer:
        if not query.get("locale"):
            return Answer(body=self.refusal(10001, "params error: locale"))
        limit = int(query.get("limit", 20))
        first = (int(query.get("page", 1)) - 1) * limit
        return self._good({"total": len(self.announcements), "list": self.announcements[first : first + limit]})


def _inside(start: int, end: int, holes: tuple[tuple[int, int], ...]) -> bool:
    return any(low <= start and end <= high for low, high in holes)


def _described(listing: Listing) -> dict[str, Any]:
    row: dict[str, Any] = {
        "symbol": listing.id,
        "status": listing.status,
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "lotSizeFilter": {
            "basePrecision": "0.000001",
            "qtyStep": "0.001",
            "minOrderQty": "0.001",
            "maxOrderQty": "100",
        },
        "priceFilter": {"tickSize": "0.0001"},
    }
    if listing.market == "spot":
        return row | {"innovation": "0", "marginTrading": "both"}
    return row | {
        "contractType": listing.contract,
        "settleCoin": listing.settle or listing.quote,
        "launchTime": str(listing.listed),
        "deliveryTime": str(listing.delisted),
        "fundingInterval": 480,
    }


@contextmanager
def redirect(url: str) -> Iterator[None]:
    """Point every ccxt.bybit that is made inside at this address, without its pause between requests."""
    import ccxt

    original = ccxt.bybit.describe

    def describe(self: Any) -> dict[str, Any]:
        settings: dict[str, Any] = original(self)
        settings["urls"]["api"] = dict.fromkeys(settings["urls"]["api"], url)
        settings["rateLimit"] = 0
        return settings

    ccxt.bybit.describe = describe
    try:
        yield
    finally:
        ccxt.bybit.describe = original
