"""News from Yahoo through yfinance: one row per article and symbol, dated by Yahoo, seen when it was fetched.

Yahoo has served two forms, a nested one (``content.pubDate``) and a flat one (``providerPublishTime``); both are read.
An item without a title or a readable instant of publication is counted, never guessed at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.fields import UTC_DTYPE, iso_stamp
from embargo.data_loaders.retries import SYSTEM_CLOCK, Clock, Patience
from embargo.data_loaders.schemas import validate_news
from embargo.data_loaders.yahoo.client import YahooClient, ask_each, checked_symbols, connect, utc_of

SOURCE = "yahoo"
_COLUMNS = (
    "article_id",
    "published_at",
    "seen_at",
    "symbol",
    "text",
    "source",
    "url",
    "publisher",
    "displayed_at",
    "content_type",
)
_INSTANTS = ("published_at", "seen_at", "displayed_at")


@dataclass(frozen=True)
class YahooNews:
    """What Yahoo showed at one instant.

    Attributes
    ----------
    news : DataFrame
        ``article_id, published_at, seen_at, symbol, text, source, url, publisher, displayed_at, content_type``, one row
        per article and symbol that it concerns, whether or not that symbol was asked for. ``displayed_at`` (NaT where
        not offered) is the instant Yahoo shows, later than publication when an article was edited.
    failures : dict of symbol to reason
    counts : dict
        ``symbols, failed, items, ads, untitled, undated, without_id, repeated, articles, rows``: every item served is
        an advertisement, set aside, a repetition of an article, or an article.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.yahoo import YahooNews
    >>> YahooNews(pd.DataFrame(), {"AAPL": "not asked"}, {"symbols": 1, "failed": 1}).counts["failed"]
    1
    """

    news: pd.DataFrame
    failures: dict[str, str]
    counts: dict[str, int]


def _instant(value: object) -> pd.Timestamp | None:
    """Read an ISO instant with an offset, or seconds since 1970; None for anything else."""
    try:
        if isinstance(value, bool) or value is None:
            return None
        if isinstance(value, int | float):
            read = pd.Timestamp(float(value), unit="s", tz="UTC")
        else:
            read = iso_stamp(str(value))
    except (ValueError, OverflowError):
        return None
    # A stamp before Yahoo existed, or centuries ahead, is in another unit.
    if pd.isna(read) or read.tzinfo is None or not 1995 <= read.year < 2200:
        return None
    return read.tz_convert("UTC").as_unit("us")


def _inner(item: dict[str, Any], *names: str) -> Any:
    value: Any = item
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _related(item: dict[str, Any], content: dict[str, Any]) -> list[str]:
    tickers = _inner(content, "finance", "stockTickers") or item.get("relatedTickers") or []
    tickers = tickers if isinstance(tickers, list) else []
    named = [_inner(ticker, "symbol") if isinstance(ticker, dict) else ticker for ticker in tickers]
    return [str(symbol).strip().upper() for symbol in named if symbol and str(symbol).strip()]


def _read(item: dict[str, Any]) -> dict[str, Any] | str:
    """Fields of an item, or the name under which it is set aside."""
    if item.get("ad"):
        return "ads"
    content = item["content"] if isinstance(item.get("content"), dict) else item
    title = str(content.get("title") or "").strip()
    if not title:
        return "untitled"
    published = _instant(content.get("pubDate") or item.get("providerPublishTime"))
    if published is None:
        return "undated"
    article_id = str(item.get("id") or content.get("id") or item.get("uuid") or "").strip()
    if not article_id:
        return "without_id"
    summary = str(content.get("summary") or "").strip()
    return {
        "article_id": article_id,
        "published_at": published,
        "text": f"{title}\n{summary}" if summary and summary != title else title,
        "source": SOURCE,
        "url": str(
            _inner(content, "canonicalUrl", "url")
            or _inner(content, "clickThroughUrl", "url")
            or item.get("link")
            or ""
        ),
        "publisher": str(_inner(content, "provider", "displayName") or item.get("publisher") or ""),
        "displayed_at": _instant(content.get("displayTime")),
        "content_type": str(content.get("contentType") or item.get("type") or ""),
        "symbols": _related(item, content),
    }


def read_items(
    items: Iterable[tuple[str, dict[str, Any]]], *, now: pd.Timestamp
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Turn served items into news rows.

    Parameters
    ----------
    items : iterable of (symbol asked for, item as served)
    now : Timestamp
        When they were fetched: their ``seen_at``.

    Returns
    -------
    news : DataFrame as in ``YahooNews``
    counts : dict, see ``YahooNews``
    """
    counts = Counter(dict.fromkeys(("items", "ads", "untitled", "undated", "without_id", "repeated"), 0))
    articles: dict[str, dict[str, Any]] = {}
    for asked, item in items:
        counts["items"] += 1
        read = _read(item)
        if isinstance(read, str):
            counts[read] += 1
            continue
        known = articles.setdefault(read["article_id"], read)
        counts["repeated"] += known is not read
        # One text per article: what a second request served seconds later is next time's revision.
        known["symbols"] = list(dict.fromkeys([*known["symbols"], *read["symbols"], asked]))
    rows = [
        {**article, "symbol": symbol, "seen_at": now} for article in articles.values() for symbol in article["symbols"]
    ]
    frame = pd.DataFrame(rows, columns=list(_COLUMNS))
    frame = frame.astype({name: UTC_DTYPE if name in _INSTANTS else "str" for name in _COLUMNS})
    if len(frame):
        frame = validate_news(frame, where="Yahoo news")[list(_COLUMNS)]
    return frame, {**counts, "articles": len(articles), "rows": len(frame)}


def fetch_news(
    symbols: Iterable[str],
    *,
    now: pd.Timestamp,
    count: int = 50,
    patience: Patience | None = None,
    clock: Clock = SYSTEM_CLOCK,
    progress: Callable[[int, int], None] | None = None,
) -> YahooNews:
    """Fetch the newest articles of many symbols.

    Parameters
    ----------
    symbols : iterable of str
        Yahoo's names, such as ``AAPL``.
    now : Timestamp
        The instant of the request, UTC; becomes ``seen_at``.
    count : int
        Articles to ask for per symbol. Yahoo has no archive: what is older is not to be had.
    patience : Patience, optional
        Bounds of each request.
    clock : Clock
        Measures and waits.
    progress : callable (done, total), optional
        Called after each symbol.

    Returns
    -------
    YahooNews

    Raises
    ------
    ConfigError
        If a symbol or ``count`` cannot be asked for, or ``now`` has no time zone.
    ServiceError
        If Yahoo cannot be reached, or no symbol at all got a usable answer.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import ConfigError
    >>> from embargo.data_loaders.yahoo import fetch_news
    >>> try:
    ...     fetch_news(["US0378331005"], now=pd.Timestamp("2020-03-01", tz="UTC"))
    ... except ConfigError as error:
    ...     print(error)
    yahoo: 'US0378331005' is no Yahoo symbol. Write AAPL, BRK-B, VOD.L, ^GSPC or BTC-USD.
    """
    named = checked_symbols(symbols)
    fetched_at = utc_of(now, "now")
    if count < 1:
        raise ConfigError(f"yahoo: count must be at least 1, got {count}.")
    served: list[tuple[str, dict[str, Any]]] = []

    def ask(client: YahooClient, symbol: str) -> None:
        served.extend((symbol, item) for item in client.news(symbol, count))

    with connect(patience or Patience(), clock) as client:
        failures = ask_each(client, named, lambda symbol: ask(client, symbol), progress)
    news, counts = read_items(served, now=fetched_at)
    return YahooNews(news, failures, {"symbols": len(named), "failed": len(failures), **counts})
