"""Bybit's announcements as news: listings, delistings, maintenance, product changes, with the symbols they name.

``publishTime`` is when Bybit put the announcement out, and that is its publication here. ``dateTimestamp`` is a date
the author typed in; it is used only where there is no ``publishTime``, and such rows say so in ``dated_by``.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import pandas as pd

from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.fields import UTC_DTYPE

VENUE_WIDE = "BYBIT"
ANNOUNCED_BY = "bybit"
ANNOUNCEMENTS_A_PAGE = 20

_ENTRY_ID = re.compile(r"blt[0-9a-f]{8,}")
_WORD = re.compile(r"[A-Z0-9]+(?:/[A-Z0-9]+)?")
_TEXTS = ("article_id", "symbol", "text", "source", "url", "type", "tags", "dated_by")


@dataclass(frozen=True)
class BybitAnnouncements:
    """Announcements as news, one row per article and symbol.

    Attributes
    ----------
    news : DataFrame
        ``article_id, published_at, seen_at, symbol, text, source`` and ``url, type, tags, dated_by`` (the field of
        Bybit's that ``published_at`` comes from). An announcement that names no traded symbol has the symbol
        ``VENUE_WIDE``.
    undated : DataFrame
        ``article_id, text, url`` of announcements without a usable date: set aside.
    counts : dict of str to int
        ``received``, ``articles``, ``repeated`` (met on two pages), ``undated``, ``blank``, ``dated_by_author``,
        ``before_since``, ``venue_wide``.

    Examples
    --------
    >>> from dataclasses import fields
    >>> from embargo.data_loaders.bybit import BybitAnnouncements
    >>> [field.name for field in fields(BybitAnnouncements)]
    ['news', 'undated', 'counts']
    """

    news: pd.DataFrame
    undated: pd.DataFrame
    counts: dict[str, int]


def collect_announcements(
    ask: Callable[[int], list[Any]],
    symbols: Collection[str],
    *,
    now: pd.Timestamp,
    locale: str,
    since: pd.Timestamp | None,
) -> BybitAnnouncements:
    """Read pages, newest first, until one holds nothing new or nothing published at or after ``since``.

    Parameters
    ----------
    ask : callable
        Page number from 1 -> rows of Bybit's list.
    symbols : collection of str
        Ids of the traded instruments.
    now : Timestamp
        When the announcements are read: their ``seen_at``.
    locale : str
        Part of the identity of an article: its translation is another text.
    since : Timestamp, optional
        Oldest publication kept, included.
    """
    counts: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    undated: list[dict[str, Any]] = []
    seen: set[str] = set()
    number = 1
    while True:
        page = [row for row in ask(number) if isinstance(row, dict)]
        counts["received"] += len(page)
        recent = 0
        for row in page:
            article = _article_id(row, locale)
            if article in seen:
                counts["repeated"] += 1
                continue
            seen.add(article)
            recent += _sort(row, article, symbols, since, rows, undated, counts)
        if not recent:
            break
        number += 1
    counts["articles"] = len({row["article_id"] for row in rows})
    counts["venue_wide"] = sum(row["symbol"] == VENUE_WIDE for row in rows)
    names = ("received", "articles", "repeated", "undated", "blank", "dated_by_author", "before_since", "venue_wide")
    return BybitAnnouncements(
        _news_frame(rows, now),
        _texts_frame(undated, ("article_id", "text", "url")),
        {name: counts[name] for name in names},
    )


def _sort(
    row: dict[str, Any],
    article: str,
    symbols: Collection[str],
    since: pd.Timestamp | None,
    rows: list[dict[str, Any]],
    undated: list[dict[str, Any]],
    counts: Counter[str],
) -> bool:
    """File one announcement; return whether older ones may still be wanted."""
    title, description = (" ".join(str(row.get(name) or "").split()) for name in ("title", "description"))
    text = "\n".join(part for part in (title, description) if part)
    url = str(row.get("url") or "")
    if not text:
        counts["blank"] += 1
        return True
    instant, field = _published(row)
    if instant is None:
        counts["undated"] += 1
        undated.append({"article_id": article, "text": text, "url": url})
        return True
    if since is not None and instant < since:
        counts["before_since"] += 1
        return False
    counts["dated_by_author"] += field == "dateTimestamp"
    kind = row.get("type")
    tags = row.get("tags")
    common = {
        "article_id": article,
        "published_at": instant,
        "text": text,
        "source": ANNOUNCED_BY,
        "url": url,
        "type": str(kind.get("key") or kind.get("title") or "") if isinstance(kind, dict) else str(kind or ""),
        "tags": "|".join(map(str, tags)) if isinstance(tags, list) else "",
        "dated_by": field,
    }
    rows += [{**common, "symbol": symbol} for symbol in named_symbols(title, symbols)]
    return True


def named_symbols(title: str, symbols: Collection[str]) -> list[str]:
    """Ids of known instruments that a title names as ``ABCUSDT`` or ``ABC/USDT``; ``[VENUE_WIDE]`` if it names none.

    A bare coin (``ABC``) names no instrument: it may mean any of several pairs, and short ones are English words.
    """
    found = dict.fromkeys(word.replace("/", "") for word in _WORD.findall(title))
    return [word for word in found if word in symbols] or [VENUE_WIDE]


def _published(row: dict[str, Any]) -> tuple[pd.Timestamp | None, str]:
    for field in ("publishTime", "dateTimestamp"):
        try:
            milliseconds = int(row.get(field) or 0)
            instant = pd.Timestamp(milliseconds, unit="ms", tz="UTC").as_unit("us")
        except (TypeError, ValueError, OverflowError):
            continue
        if milliseconds > 0:
            return instant, field
    return None, ""


def _article_id(row: dict[str, Any], locale: str) -> str:
    """Identity that survives an edited title: the entry id in the address, else the address, else title and date."""
    url = str(row.get("url") or "")
    if entry := _ENTRY_ID.search(url):
        return f"bybit/{locale}/{entry[0]}"
    said = url or f"{row.get('title')}\n{row.get('publishTime')}\n{row.get('dateTimestamp')}"
    return f"bybit/{locale}/{hashlib.sha256(said.encode()).hexdigest()[:20]}"


def _texts_frame(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype="str") for name in columns})


def _news_frame(rows: list[dict[str, Any]], now: pd.Timestamp) -> pd.DataFrame:
    frame = _texts_frame(rows, _TEXTS)
    frame.insert(1, "published_at", pd.Series([row["published_at"] for row in rows], dtype=UTC_DTYPE))
    frame.insert(2, "seen_at", pd.Series([now] * len(rows), dtype=UTC_DTYPE))
    return frame.sort_values(["published_at", "article_id", "symbol"], ignore_index=True)


def check_locale(locale: str) -> str:
    """Return the locale if it is written as Bybit writes them.

    Parameters
    ----------
    locale : str
        ``en-US``, ``zh-TW`` and the like.

    Returns
    -------
    str

    Raises
    ------
    ConfigError
        If it is not.

    Examples
    --------
    >>> from embargo.data_loaders.bybit import check_locale
    >>> check_locale("en-US")
    'en-US'
    """
    if not re.fullmatch(r"[a-z]{2}-[A-Z]{2,3}", locale):
        raise ConfigError(f"locale {locale!r} is not of the form 'en-US'.")
    return locale
