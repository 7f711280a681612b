"""The yfinance package as a client that can be trusted: bounded in time, and honest about every fault.

yfinance answers many faults with an empty table, keeps answers of past ranges (faulty ones too) for the life of the
process, and writes caches shared by all processes of a user. Here each exchange with the data addresses is judged
before yfinance sees it, so that "the service failed" is never mistaken for "there is nothing", and whatever yfinance
keeps for itself is set aside for the duration and put back afterwards.
"""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError, ServiceError
from embargo.data_loaders.fields import iso_stamp
from embargo.data_loaders.retries import Clock, Patience, Retryable, call, pause_asked

try:
    import yfinance
    from curl_cffi import requests
    from yfinance import cache, data, exceptions
except ModuleNotFoundError as failure:
    raise MissingPartError(
        "Yahoo needs the package yfinance. Install it with: pip install 'embargo-backtest[yahoo]'."
    ) from failure

_CHART, _NEWS = "/v8/finance/chart/", "/xhr/ncp"
# Cookie and crumb are a courtesy that yfinance can do without: they may not use up the time of the data.
_COURTESY_SECONDS = 5.0
_FAULTS_IN_A_ROW = 3
_NO_ROWS = pd.DataFrame(
    {name: pd.Series(dtype=float) for name in ("Open", "High", "Low", "Close", "Volume")},
    index=pd.DatetimeIndex([], tz="UTC"),
)
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
_SYMBOL = re.compile(r"[A-Z0-9^][A-Z0-9.^=_&-]{0,30}")


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """Yahoo answered that it has no such thing: an unknown or delisted symbol, a range that it does not keep."""


@dataclass(frozen=True)
class YahooChart:
    """One answer of the chart address.

    Attributes
    ----------
    rows : DataFrame
        yfinance's table, ``Open, High, Low, Close, Volume`` and more; index in the exchange's zone. May be empty.
    meta : dict
        Yahoo's description of the symbol.
    events : dict
        ``dividends``, ``splits`` and ``capitalGains`` as served: yfinance moves one on a day without a bar to the bar
        before it, which would put a split in force a day early.
    without_price : list of int
        Stamps, in seconds since 1970, of the rows served without any price, which yfinance leaves out.
    served_at : Timestamp or None
        Yahoo's clock as the answer states it.
    """

    rows: pd.DataFrame
    meta: dict[str, Any]
    events: dict[str, Any]
    without_price: list[int]
    served_at: pd.Timestamp | None = None


class _NoCache:
    """Stands in for yfinance's caches on disk; answers the time zone that is only needed for naive dates."""

    def __init__(self, answer: str | None) -> None:
        self._answer = answer

    def lookup(self, key: str) -> str | None:
        return self._answer

    def store(self, key: str, value: object) -> None:
        """Keep nothing."""


class _JudgedSession(requests.Session[Any]):
    """A session that keeps to an allowance of seconds and turns every fault of a data address into ``Retryable``."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(impersonate="chrome")
        self.answer: dict[str, Any] = {}
        self.answered_at: pd.Timestamp | None = None
        self.reached = False
        self._clock = clock
        self._until = 0.0
        self._refusals = 0
        self._courtesy_failed = False
        self._cookie_answer: Any = None

    def allow(self, seconds: float) -> None:
        """Begin an attempt that may take so many seconds."""
        self._until = self._clock.monotonic() + seconds
        self._refusals = 0
        self.answer = {}

    def request(self, method: Any, url: str, *args: Any, **options: Any) -> Any:
        """Send a request within what is left of the allowance, and judge the answer of a data address."""
        path = urlsplit(url).path
        wanted = path.startswith((_CHART, _NEWS))
        left = self._until - self._clock.monotonic()
        if left <= 0:
            raise Retryable("no answer in time")
        if not wanted:
            return self._courtesy(method, url, *args, **{**options, "timeout": min(left / 3, _COURTESY_SECONDS)})
        try:
            response = super().request(method, url, *args, **{**options, "timeout": left})
        except requests.exceptions.RequestException as failure:
            raise Retryable(_reason(failure, left)) from failure
        self.reached = True
        self.answer = self._judged(response, path)
        self.answered_at = _dated(response.headers.get("date"))
        return response

    def _courtesy(self, method: Any, url: str, *args: Any, **options: Any) -> Any:
        if self._courtesy_failed:
            raise requests.exceptions.ConnectionError("not asked again")
        # Without its cache on disk yfinance would fetch the cookie, which this session holds, before every request.
        sets_cookie = urlsplit(url).hostname == "fc.yahoo.com"
        if sets_cookie and self._cookie_answer is not None:
            return self._cookie_answer
        try:
            response = super().request(method, url, *args, **options)
            if sets_cookie:
                self._cookie_answer = response
            return response
        except requests.exceptions.RequestException:
            self._courtesy_failed = True
            raise

    def _judged(self, response: Any, path: str) -> dict[str, Any]:
        status, body = int(response.status_code), bytes(response.content)
        if status == 429 or status >= 500:
            raise Retryable(f"HTTP {status}", pause_asked(response.headers))
        if status in (401, 403):
            # yfinance asks once more with its other kind of cookie.
            self._refusals += 1
            if self._refusals > 1:
                raise Retryable(f"HTTP {status}: Yahoo refuses this client")
            return {}
        try:
            answer = json.loads(body)
        except ValueError as failure:
            kind = "a web page" if body.lstrip()[:1] == b"<" else "broken or incomplete JSON"
            raise Retryable(f"HTTP {status} with {kind} in place of the data") from failure
        if path.startswith(_CHART):
            return _chart_result(answer, status)
        return _news_stream(answer, status)


def _dated(header: str | None) -> pd.Timestamp | None:
    try:
        return pd.Timestamp(parsedate_to_datetime(header or "")).tz_convert("UTC").as_unit("us")
    except (TypeError, ValueError):
        return None


def _reason(failure: Exception, seconds: float) -> str:
    faults = requests.exceptions
    if isinstance(failure, faults.DNSError):
        return "the host name cannot be looked up (is there a network?)"
    if isinstance(failure, faults.Timeout):
        return f"no complete answer within {seconds:.1f} s"
    if isinstance(failure, faults.IncompleteRead | faults.ChunkedEncodingError):
        return "the answer broke off"
    if isinstance(failure, faults.ConnectionError):
        return "no connection, or it was reset"
    return f"the transfer failed ({type(failure).__name__}, curl code {int(getattr(failure, 'code', 0) or 0)})"


def _chart_result(answer: Any, status: int) -> dict[str, Any]:
    chart = answer.get("chart") if isinstance(answer, dict) else None
    if not isinstance(chart, dict):
        raise Retryable(f"HTTP {status} with an answer that is no chart")
    if chart.get("error"):
        error = chart["error"]
        text = error.get("description") or error.get("code") if isinstance(error, dict) else error
        raise Refused(str(text))
    results = chart.get("result")
    if status >= 400 or not isinstance(results, list) or not results or not isinstance(results[0], dict):
        raise Retryable(f"HTTP {status} with a chart that holds no result")
    return results[0]


def _news_stream(answer: Any, status: int) -> dict[str, Any]:
    try:
        stream = answer["data"]["tickerStream"]["stream"]
    except (KeyError, TypeError) as failure:
        raise Retryable(f"HTTP {status} with an answer that holds no stream of news") from failure
    if status >= 400 or not isinstance(stream, list):
        raise Retryable(f"HTTP {status} with an answer that holds no stream of news")
    return {"stream": stream}


class YahooClient:
    """yfinance with patience. Made by ``connect``.

    Attributes
    ----------
    reached : bool
        Whether a data address has answered anything at all so far.
    """

    def __init__(self, session: _JudgedSession, patience: Patience, clock: Clock) -> None:
        self._session, self._patience, self._clock = session, patience, clock

    @property
    def reached(self) -> bool:
        """Whether a data address has answered anything at all so far."""
        return self._session.reached

    def chart(self, symbol: str, start: pd.Timestamp, end: pd.Timestamp, interval: str) -> YahooChart:
        """Bars and events of [start, end), as Yahoo serves them today: adjusted for every split so far.

        Raises
        ------
        Refused
            If Yahoo says that it has no such symbol or range.
        ServiceError
            If it gives no usable answer.
        """

        def work(seconds: float) -> YahooChart:
            rows = self._asked(
                seconds,
                lambda: yfinance.Ticker(symbol, session=self._session).history(
                    start=start.to_pydatetime(),
                    end=end.to_pydatetime(),
                    interval=interval,
                    auto_adjust=False,
                    actions=True,
                    timeout=seconds,
                ),
            )
            answer = self._session.answer
            try:
                meta, events = (dict(answer.get(name) or {}) for name in ("meta", "events"))
                return YahooChart(rows, meta, events, _without_price(answer), self._session.answered_at)
            except (KeyError, TypeError, ValueError, IndexError, AttributeError) as failure:
                raise Retryable(f"a chart that cannot be read ({type(failure).__name__}: {failure})") from failure

        return call(work, what=f"Yahoo bars of {symbol}", patience=self._patience, clock=self._clock)

    def news(self, symbol: str, count: int) -> list[dict[str, Any]]:
        """Return the newest items of a symbol as served, advertisements included.

        Raises
        ------
        ServiceError
            If Yahoo gives no usable answer.
        """

        def work(seconds: float) -> list[dict[str, Any]]:
            self._asked(seconds, lambda: yfinance.Ticker(symbol, session=self._session).get_news(count=count))
            return [item for item in self._session.answer["stream"] if isinstance(item, dict)]

        return call(work, what=f"Yahoo news of {symbol}", patience=self._patience, clock=self._clock)

    def _asked(self, seconds: float, request: Any) -> Any:
        # Kept answers would hide both a recovery and a revised candle.
        data.YfData.cache_get.cache_clear()
        self._session.allow(seconds)
        try:
            return request()
        except exceptions.YFPricesMissingError:
            if not self._session.answer:
                raise Retryable("yfinance found no prices in an answer that was not understood") from None
            return _NO_ROWS
        except (exceptions.YFException, KeyError, TypeError, ValueError, IndexError, AttributeError) as failure:
            raise Retryable(f"yfinance cannot read the answer ({type(failure).__name__}: {failure})") from failure


def _without_price(answer: dict[str, Any]) -> list[int]:
    quotes = (answer.get("indicators", {}).get("quote") or [{}])[0]
    priced = zip(*(quotes.get(name) or [] for name in ("open", "high", "low", "close")), strict=True)
    stamped = zip(answer.get("timestamp") or [], priced, strict=True)
    return [int(stamp) for stamp, prices in stamped if all(price is None for price in prices)]


@contextmanager
def connect(patience: Patience, clock: Clock) -> Iterator[YahooClient]:
    """Lend yfinance a judged session; its own settings, session, cookies and caches are back in place afterwards.

    yfinance keeps one session for a whole process, so only one thread of it may be inside at a time.
    """
    holders = (
        (cache._TzCacheManager, "_tz_cache", _NoCache("UTC")),
        (cache._CookieCacheManager, "_Cookie_cache", _NoCache(None)),
    )
    kept = [(holder, name, getattr(holder, name)) for holder, name, _ in holders]
    instances = data.SingletonMeta._instances
    previous = instances.pop(data.YfData, None)
    hides, retries = yfinance.config.debug.hide_exceptions, yfinance.config.network.retries
    log = logging.getLogger("yfinance")
    silent = log.disabled
    session = _JudgedSession(clock)
    try:
        for holder, name, stand_in in holders:
            setattr(holder, name, stand_in)
        yfinance.config.debug.hide_exceptions, yfinance.config.network.retries = False, 0
        log.disabled = True
        with warnings.catch_warnings():
            # It calls pandas in ways that pandas will remove: its own affair, and not the user's.
            warnings.filterwarnings("ignore", module=r"yfinance\.")
            yield YahooClient(session, patience, clock)
    finally:
        for holder, name, value in kept:
            setattr(holder, name, value)
        yfinance.config.debug.hide_exceptions, yfinance.config.network.retries = hides, retries
        log.disabled = silent
        instances.pop(data.YfData, None)
        if previous is not None:
            instances[data.YfData] = previous
        data.YfData.cache_get.cache_clear()
        session.close()


def utc_of(value: pd.Timestamp, name: str) -> pd.Timestamp:
    """Return an instant in UTC to the microsecond; ConfigError where it is missing or has no time zone."""
    try:
        instant = iso_stamp(value)
    except ValueError as failure:
        raise ConfigError(f"yahoo: {name} = {value!r} is no instant. Give a UTC instant.") from failure
    if pd.isna(instant) or instant.tzinfo is None:
        raise ConfigError(f"yahoo: {name} = {instant} has no time zone. Give a UTC instant.")
    return instant.tz_convert("UTC").as_unit("us")


def checked_symbols(symbols: Iterable[str]) -> list[str]:
    """Write symbols in upper case, each once, in order.

    Parameters
    ----------
    symbols : iterable of str
        Yahoo's names.

    Returns
    -------
    list of str

    Raises
    ------
    ConfigError
        If there is none, or one is no Yahoo symbol (an ISIN is none: yfinance would look it up elsewhere).

    Examples
    --------
    >>> from embargo.data_loaders.yahoo import checked_symbols
    >>> checked_symbols(["aapl", "BTC-USD", "AAPL"])
    ['AAPL', 'BTC-USD']
    """
    named = list(dict.fromkeys(str(symbol).strip().upper() for symbol in symbols))
    if not named:
        raise ConfigError("yahoo: no symbols. Name at least one, such as AAPL, VOD.L or BTC-USD.")
    for symbol in named:
        if not _SYMBOL.fullmatch(symbol) or _ISIN.fullmatch(symbol):
            raise ConfigError(f"yahoo: {symbol!r} is no Yahoo symbol. Write AAPL, BRK-B, VOD.L, ^GSPC or BTC-USD.")
    return named


def ask_each(
    client: YahooClient,
    symbols: list[str],
    ask: Callable[[str], None],
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """Ask for one symbol after another; return the reason of each that failed.

    Three symbols in a row without a usable answer end the round: the rest is not asked, and reported so.

    Raises
    ------
    ServiceError
        If no symbol got a usable answer.
    """
    failures: dict[str, str] = {}
    in_a_row, last = 0, None
    for done, symbol in enumerate(symbols, start=1):
        try:
            ask(symbol)
            in_a_row = 0
        except ServiceError as failure:
            in_a_row, last = in_a_row + 1, failure
            failures[symbol] = str(failure)
        except Refused as refusal:
            in_a_row = 0
            failures[symbol] = f"{symbol}: Yahoo knows no such symbol, or no longer: {refusal}"
        except (ConfigError, DataError) as failure:
            in_a_row = 0
            failures[symbol] = str(failure)
        if progress is not None:
            progress(done, len(symbols))
        if (
            last is not None
            and in_a_row == min(done, _FAULTS_IN_A_ROW)
            and in_a_row in (len(symbols), _FAULTS_IN_A_ROW)
        ):
            if in_a_row == done:
                state = "answers no request properly" if client.reached else "cannot be reached"
                raise ServiceError(f"Yahoo {state}: gave up after {done} of {len(symbols)} symbols. {last}") from last
            rest = symbols[done:]
            failures |= {name: f"{name}: not asked, since Yahoo failed {in_a_row} times in a row" for name in rest}
            break
    return failures
