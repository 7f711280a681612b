"""A small Yahoo on 127.0.0.1 that speaks to the real yfinance: chart, news, cookie and crumb.

It holds prices as they were traded and serves them as Yahoo would at ``now``: scaled by every split so far, rounded to
six decimals and to single precision, stamped with the open of the session, with the bar of today still moving. All of
it is deterministic. ``redirect`` sends yfinance there, and refuses any other host.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.utils import format_datetime
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
from curl_cffi import requests

from embargo.data_loaders.calendars import sessions, zone_of
from servers.loopback import Answer, Fault, Loopback, Request

FIRST, LAST = pd.Timestamp("2019-01-02"), pd.Timestamp("2027-12-31")
FIELDS = ("open", "high", "low", "close", "volume")
_KEPT_DAYS = {"1m": 30, "2m": 60, "5m": 60, "15m": 60, "30m": 60, "90m": 60, "1h": 730}
_MINUTES = {"1m": 1, "2m": 2, "5m": 5, "15m": 15, "30m": 30, "90m": 90, "1h": 60}
_DELISTED = "No data found, symbol may be delisted"


@dataclass(frozen=True)
class Stock:
    """A symbol as it was traded.

    Attributes
    ----------
    daily : DataFrame
        ``open_at, close_at, open, high, low, close, volume`` by session date, as traded; empty for a hollow symbol.
    splits : dict of session date to (new, old)
    dividends, capital_gains : dict of session date to cash per share as paid
    """

    symbol: str
    calendar: str
    exchange: str
    daily: pd.DataFrame
    splits: dict[str, tuple[float, float]] = field(default_factory=dict)
    dividends: dict[str, float] = field(default_factory=dict)
    capital_gains: dict[str, float] = field(default_factory=dict)
    instrument_type: str = "EQUITY"
    currency: str = "USD"


def generated(
    symbol: str,
    calendar: str,
    exchange: str,
    *,
    price: float = 100.0,
    tick: float = 0.01,
    first: pd.Timestamp = FIRST,
    last: pd.Timestamp = LAST,
    splits: dict[str, tuple[float, float]] | None = None,
    **more: Any,
) -> Stock:
    """Make a random walk in ticks, the same for a symbol on every machine; a split divides the level on its day."""
    rng = np.random.default_rng(zlib.crc32(symbol.encode()))
    table = sessions(calendar, first, last)
    steps = rng.normal(0, 0.015, len(table))
    level = np.log(price) + np.cumsum(steps)
    for day, (new, old) in (splits or {}).items():
        level[table.index >= pd.Timestamp(day)] -= np.log(new / old)
    close = np.exp(level)
    opened = close * np.exp(rng.normal(0, 0.004, len(table)))
    spread = np.abs(rng.normal(0, 0.006, (2, len(table))))
    values = {
        "open": opened,
        "high": np.maximum(opened, close) * (1 + spread[0]),
        "low": np.minimum(opened, close) * (1 - spread[1]),
        "close": close,
    }
    digits = round(-np.log10(tick))
    frame = pd.DataFrame({name: np.round(np.maximum(value, tick), digits) for name, value in values.items()})
    frame["volume"] = rng.integers(1_000_000, 90_000_000, len(table))
    frame.index = table.index
    return Stock(symbol, calendar, exchange, table.join(frame), splits or {}, **more)


def market() -> list[Stock]:
    """Return the symbols of the default service.

    AAPL (4:1 on 2020-08-31, quarterly dividends), MSFT, GE (reverse 1:8 on 2021-08-02), SPY (an ETF with a capital
    gain), VOD.L (London, pence), 7203.T (Tokyo), BTC-USD (round the clock), and HOLLOW, which is listed but has no
    bars. Any other symbol is answered as delisted.
    """
    quarters = ["2020-02-07", "2020-05-08", "2020-08-07", "2020-11-06", "2021-02-05", "2021-05-07", "2024-11-08"]
    hollow = generated("HOLLOW", "XNYS", "NYQ")
    return [
        generated(
            "AAPL",
            "XNYS",
            "NMS",
            price=300,
            splits={"2020-08-31": (4, 1)},
            dividends={day: 0.82 if day < "2020-08-31" else 0.205 for day in quarters},
        ),
        generated("MSFT", "XNYS", "NMS", price=180, dividends={"2020-02-19": 0.51, "2020-05-20": 0.51}),
        generated("GE", "XNYS", "NYQ", price=13, splits={"2021-08-02": (1, 8)}),
        generated(
            "SPY",
            "XNYS",
            "PCX",
            price=320,
            instrument_type="ETF",
            dividends={"2020-12-18": 1.58, "2021-12-17": 1.9},
            capital_gains={"2020-12-18": 0.4, "2021-12-20": 0.25},
        ),
        generated("VOD.L", "XLON", "LSE", price=150, currency="GBp", dividends={"2020-06-11": 4.5}),
        generated("7203.T", "XTKS", "JPX", price=7000, tick=1.0, currency="JPY"),
        generated("BTC-USD", "24/7", "CCC", price=9000, instrument_type="CRYPTOCURRENCY"),
        replace(hollow, daily=hollow.daily.iloc[:0]),
    ]


def nested(
    uuid: str, title: str, published: str | None, *symbols: str, summary: str = "", **content: Any
) -> dict[str, Any]:
    """Make an article in the form Yahoo serves today."""
    return {
        "id": uuid,
        "content": {
            "id": uuid,
            "contentType": "STORY",
            "title": title,
            "summary": summary,
            "pubDate": published,
            "displayTime": published,
            "provider": {"displayName": "Example Wire", "url": "http://example.com/"},
            "canonicalUrl": {"url": f"https://finance.example.com/{uuid}.html", "site": "finance"},
            "finance": {"stockTickers": [{"symbol": symbol} for symbol in symbols]},
            **content,
        },
    }


def flat(uuid: str, title: str, published: int | None, *symbols: str) -> dict[str, Any]:
    """Make an article in the form Yahoo served before."""
    return {
        "uuid": uuid,
        "title": title,
        "publisher": "Example Wire",
        "link": f"https://finance.example.com/{uuid}.html",
        "providerPublishTime": published,
        "type": "STORY",
        "relatedTickers": list(symbols),
    }


class YahooService:
    """Serve ``stocks`` as Yahoo would at ``now``, for as long as the context lasts.

    Attributes
    ----------
    now : Timestamp
        Yahoo's clock; set it to let time pass.
    adjusted_until : Timestamp or None
        Splits after it are reported but not yet in the prices, as happens for a day or two; None for no such lag.
    stray_days : dict of symbol to list of session dates
        Days on which a row is served although the exchange was closed.
    """

    def __init__(self, stocks: Iterable[Stock] | None = None, *, now: pd.Timestamp) -> None:
        self.stocks = {stock.symbol: stock for stock in (market() if stocks is None else stocks)}
        self.now = pd.Timestamp(now)
        self.adjusted_until: pd.Timestamp | None = None
        self.stray_days: dict[str, list[str]] = {}
        self._news: dict[str, list[dict[str, Any]]] = {}
        self._server = Loopback(self._answer)
        self.url = self._server.url

    @property
    def requests(self) -> list[Request]:
        """All that was asked, cookies and crumbs included."""
        return self._server.requests

    def charts(self, symbol: str = "") -> list[Request]:
        """Return the requests for charts, of one symbol or of all."""
        path = f"/v8/finance/chart/{symbol}"
        return [request for request in list(self.requests) if request.path.startswith(path)]

    def fail(self, *faults: Fault, symbol: str | None = None) -> None:
        """Queue faults for the next requests of data (of one symbol's chart, if named); cookies are left alone."""
        self._server.fail(*faults, when=lambda request: _is_data(request) and _concerns(request, symbol))

    def fail_courtesies(self, *faults: Fault) -> None:
        """Queue faults for the next requests of cookies and crumbs."""
        self._server.fail(*faults, when=lambda request: not _is_data(request))

    def recover(self) -> None:
        """Forget the faults still queued."""
        self._server.recover()

    def publish(self, symbol: str, *items: dict[str, Any]) -> None:
        """Add news to the stream of a symbol, newest first."""
        self._news[symbol] = [*items, *self._news.get(symbol, [])]

    def revise(self, symbol: str, day: str, **values: float) -> None:
        """Change what was traded on a day from now on, such as ``close=101.25``."""
        stock = self.stocks[symbol]
        daily = stock.daily.copy()
        for name, value in values.items():
            daily.loc[pd.Timestamp(day), name] = value
        self.stocks[symbol] = replace(stock, daily=daily)

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._server.__exit__(*failure)

    def _answer(self, request: Request) -> Answer:
        if request.path.startswith("/v8/finance/chart/"):
            return self._chart(request)
        if request.path == "/xhr/ncp":
            asked = json.loads(request.body)["serviceConfig"]
            stream = self._news.get(asked["s"][0], [])[: asked["snippetCount"]]
            return Answer(body={"data": {"tickerStream": {"stream": stream}}, "status": "OK"})
        if request.path == "/v1/test/getcrumb":
            return Answer(body="cRumB.0f/YahOo", headers={"Content-Type": "text/plain"})
        return Answer(404, "<html><body>nothing here but a cookie</body></html>")

    def _chart(self, request: Request) -> Answer:
        stock = self.stocks.get(request.path.rpartition("/")[2])
        interval = request.query["interval"]
        if stock is None:
            return _refused(404, "Not Found", _DELISTED)
        first, last = (pd.Timestamp(int(request.query[name]), unit="s", tz="UTC") for name in ("period1", "period2"))
        if interval in _KEPT_DAYS and first < self.now - pd.Timedelta(days=_KEPT_DAYS[interval], minutes=1):
            return _refused(
                422,
                "Unprocessable Entity",
                f"{interval} data not available for startTime={first}. The "
                f"requested range must be within the last {_KEPT_DAYS[interval]} days.",
            )
        if interval == "1m" and last - first > pd.Timedelta(days=8):
            return _refused(
                422,
                "Unprocessable Entity",
                "1m data not available. Only 8 days worth of 1m granularity "
                "data are allowed to be fetched per request.",
            )
        rows = self._served(stock, interval, first, last)
        result: dict[str, Any] = {"meta": self._meta(stock, interval, first, last), "indicators": {"quote": [{}]}}
        if len(rows):
            quote = {name: [None if pd.isna(value) else value for value in rows[name].tolist()] for name in FIELDS}
            result["timestamp"] = (rows.index - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(seconds=1)
            result["timestamp"] = [int(stamp) for stamp in result["timestamp"]]
            result["indicators"] = {"quote": [quote], "adjclose": [{"adjclose": quote["close"]}]}
        elif len(stock.daily):
            return _refused(400, "Bad Request", f"Data doesn't exist for startDate = {first:%s}, endDate = {last:%s}")
        result["events"] = self._events(stock, first, last)
        date = {"Date": format_datetime(self.now.tz_convert("UTC").floor("s").to_pydatetime(), usegmt=True)}
        return Answer(body={"chart": {"result": [result], "error": None}}, headers=date)

    def _ratio_after(self, stock: Stock, instants: pd.DatetimeIndex) -> np.ndarray:
        ratio = np.ones(len(instants))
        until = self.now if self.adjusted_until is None else self.adjusted_until
        for day, (new, old) in stock.splits.items():
            ex_at = stock.daily["open_at"].loc[pd.Timestamp(day)]
            if ex_at <= until:
                ratio[instants < ex_at] *= new / old
        return ratio

    def _served(self, stock: Stock, interval: str, first: pd.Timestamp, last: pd.Timestamp) -> pd.DataFrame:
        daily = stock.daily
        near = (daily["close_at"] > first) & (daily["open_at"] < min(last, self.now))
        rows = daily.loc[near]
        if interval == "1d":
            for day in self.stray_days.get(stock.symbol, []):
                stamp = pd.Timestamp(day).tz_localize(str(zone_of(stock.calendar))) + pd.Timedelta(hours=9, minutes=30)
                before = daily.loc[daily["open_at"] < stamp].iloc[-1:]
                rows = pd.concat([rows, before.assign(open_at=stamp.tz_convert("UTC"))])
            rows = rows.set_index("open_at").sort_index()
        else:
            rows = _within_sessions(rows, _MINUTES[interval])
        rows = rows.loc[(rows.index >= first) & (rows.index < min(last, self.now))].copy()
        moving = rows["close_at"] > self.now
        rows.loc[moving, "close"] = rows.loc[moving, "open"]
        rows.loc[moving, "volume"] //= 2
        ratio = self._ratio_after(stock, pd.DatetimeIndex(rows.index))
        for name in ("open", "high", "low", "close"):
            value = rows[name].to_numpy(dtype=float)
            rows[name] = np.where(ratio == 1.0, value, np.round(value / ratio, 6)).astype(np.float32).astype(float)
        rows["volume"] = np.rint(rows["volume"].to_numpy(dtype=float) * ratio)
        return rows

    def _events(self, stock: Stock, first: pd.Timestamp, last: pd.Timestamp) -> dict[str, Any]:
        events: dict[str, Any] = {"dividends": {}, "splits": {}, "capitalGains": {}}
        if stock.daily.empty:
            return {}
        for kind, days in (("dividends", stock.dividends), ("capitalGains", stock.capital_gains)):
            for day, cash in days.items():
                stamp = stock.daily["open_at"].loc[pd.Timestamp(day)]
                if first <= stamp < last:
                    ratio = self._ratio_after(stock, pd.DatetimeIndex([stamp]))[0]
                    epoch = int(stamp.timestamp())
                    events[kind][str(epoch)] = {"amount": float(np.round(cash / ratio, 6)), "date": epoch}
        for day, (new, old) in stock.splits.items():
            stamp = stock.daily["open_at"].loc[pd.Timestamp(day)]
            if first <= stamp < last:
                epoch = int(stamp.timestamp())
                events["splits"][str(epoch)] = {
                    "date": epoch,
                    "numerator": new,
                    "denominator": old,
                    "splitRatio": f"{new}:{old}",
                }
        return {kind: found for kind, found in events.items() if found}

    def _meta(self, stock: Stock, interval: str, first: pd.Timestamp, last: pd.Timestamp) -> dict[str, Any]:
        zone = str(zone_of(stock.calendar))
        meta: dict[str, Any] = {
            "currency": stock.currency,
            "symbol": stock.symbol,
            "exchangeName": stock.exchange,
            "instrumentType": stock.instrument_type,
            "firstTradeDate": int(stock.daily["open_at"].iloc[0].timestamp()) if len(stock.daily) else None,
            "regularMarketTime": int(self.now.timestamp()),
            "exchangeTimezoneName": zone,
            "priceHint": 2,
            "dataGranularity": interval,
            "range": "",
            "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
        }
        if interval != "1d":
            days = stock.daily.loc[(stock.daily["close_at"] > first) & (stock.daily["open_at"] < last)]
            # Yahoo states the usual close on half days too.
            length = (stock.daily["close_at"] - stock.daily["open_at"]).max()
            meta["tradingPeriods"] = [
                [
                    {
                        "timezone": "X",
                        "gmtoffset": 0,
                        "start": int(opened.timestamp()),
                        "end": int((opened + length).timestamp()),
                    }
                ]
                for opened in days["open_at"]
            ]
        return meta


def _within_sessions(days: pd.DataFrame, minutes: int) -> pd.DataFrame:
    """Intraday bars of whole sessions, on a straight line from open to close, and one after an early close."""
    usual = (days["close_at"] - days["open_at"]).max()
    parts = []
    for day in days.itertuples():
        early = day.close_at - day.open_at < usual
        opens = pd.date_range(day.open_at, day.close_at, freq=f"{minutes}min", inclusive="both" if early else "left")
        path = np.round(np.linspace(day.open, day.close, len(opens) + 1), 2)
        parts.append(
            pd.DataFrame(
                {
                    "open": path[:-1],
                    "high": np.maximum(path[:-1], path[1:]),
                    "low": np.minimum(path[:-1], path[1:]),
                    "close": path[1:],
                    "volume": day.volume // len(opens),
                    "close_at": opens + pd.Timedelta(minutes=minutes),
                },
                index=opens,
            )
        )
    return pd.concat(parts) if parts else days.set_index("open_at")


def _is_data(request: Request) -> bool:
    return request.path.startswith("/v8/finance/chart/") or request.path == "/xhr/ncp"


def _concerns(request: Request, symbol: str | None) -> bool:
    if symbol is None or request.path.endswith(f"/{symbol}"):
        return True
    return request.path == "/xhr/ncp" and json.loads(request.body)["serviceConfig"]["s"] == [symbol]


def _refused(status: int, code: str, description: str) -> Answer:
    return Answer(status, {"chart": {"result": None, "error": {"code": code, "description": description}}})


@contextmanager
def redirect(loopback: str) -> Iterator[None]:
    """Send every request that yfinance makes of any Yahoo host to ``loopback``; refuse all other hosts but 127.0.0.1.

    The addresses of cookies and crumbs are written out inside yfinance's functions, so this stands one step before the
    socket, where the real client hands its request to curl. The host meant is kept in the header ``X-Meant-For``.
    """
    original: Callable[..., Any] = requests.Session.request

    def request(self: Any, method: str, url: str, *args: Any, **options: Any) -> Any:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if host == "yahoo.com" or host.endswith(".yahoo.com"):
            headers = {**(options.pop("headers", None) or {}), "X-Meant-For": host}
            return original(self, method, f"{loopback}{parts.path or '/'}", *args, headers=headers, **options)
        if host != "127.0.0.1":
            raise AssertionError(f"a test tried to reach {host}")
        return original(self, method, url, *args, **options)

    requests.Session.request = request  # type: ignore[method-assign]
    try:
        yield
    finally:
        requests.Session.request = original  # type: ignore[method-assign]
