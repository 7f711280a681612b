"""News from a vendor's JSON lines: a template for loaders.

The made-up vendor writes one object a line: ``id``, ``stamp`` (local time without an offset), ``tickers`` (a list) and
``headline``. A loader turns a source into what the schema validates, counts what it leaves out, and guesses nothing.

A run takes it with ``news.loader = "loader:newswire"`` and ``--allow loader:newswire`` from the folder that holds it;
what it needs to be told stands in ``news.settings``. One of prices returns `Prices` and is named in ``prices.loader``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd

from embargo.data_loaders.archive import LoadedNews
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import validate_news

SOURCE = "newswire"
_KEYS = ("id", "stamp", "tickers", "headline")


def newswire(settings: Mapping[str, Any]) -> LoadedNews:
    """Load what ``news.settings`` names: ``path`` and ``timezone``, as `read_newswire` takes them.

    Parameters
    ----------
    settings : mapping
        Of the config, whose paths are taken as they stand.

    Returns
    -------
    LoadedNews

    Raises
    ------
    ConfigError
        If a setting is missing or unknown, or as `read_newswire`.
    DataError
        As `read_newswire`.

    Examples
    --------
    >>> try:
    ...     newswire({"path": "news.jsonl"})
    ... except ConfigError as error:
    ...     print(error)
    news.settings: there are path; exactly path and timezone are needed.
    """
    if set(settings) != {"path", "timezone"}:
        there = ", ".join(sorted(settings)) or "none"
        raise ConfigError(f"news.settings: there are {there}; exactly path and timezone are needed.")
    return read_newswire(settings["path"], timezone=settings["timezone"])


def read_newswire(path: str | Path, *, timezone: str) -> LoadedNews:
    """Read a file of the vendor's news.

    Parameters
    ----------
    path : str or Path
        JSON lines.
    timezone : str
        Zone of ``stamp``, such as ``"America/New_York"``: the file does not say, and a guess would be look-ahead.

    Returns
    -------
    LoadedNews
        News, one row per article and symbol, and counts: ``rows``, ``kept``, ``no symbol``, ``no text``.

    Raises
    ------
    ConfigError
        If the zone is unknown.
    DataError
        If the file cannot be read, or a line is no JSON object, lacks a key, or has a stamp that names no one instant.

    Examples
    --------
    >>> import tempfile
    >>> line = '{"id": "1", "stamp": "2024-07-03 09:30", "tickers": ["A", "B"], "headline": "A buys B"}'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "news.jsonl"
    ...     _ = file.write_text(line)
    ...     loaded = read_newswire(file, timezone="America/New_York")
    >>> loaded.frame[["symbol", "known_at"]].astype(str).to_numpy().tolist()
    [['A', '2024-07-03 13:30:00+00:00'], ['B', '2024-07-03 13:30:00+00:00']]
    >>> loaded.counts
    {'rows': 1, 'kept': 2, 'no symbol': 0, 'no text': 0}
    """
    file = Path(path)
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError) as failure:
        raise ConfigError(f"timezone {timezone!r} is unknown. Name one such as 'America/New_York'.") from failure
    rows: list[dict[str, object]] = []
    counts = {"rows": 0, "kept": 0, "no symbol": 0, "no text": 0}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as failure:
        raise DataError(f"{file}: cannot be read ({failure}). Name a file of JSON lines in UTF-8.") from failure
    for number, line in enumerate(lines, start=1):
        article = _article(line, f"{file}, line {number}")
        counts["rows"] += 1
        counts["no symbol"] += not article["tickers"]
        counts["no text"] += not str(article["headline"]).strip()
        if str(article["headline"]).strip():
            known = _instant(str(article["stamp"]), zone, f"{file}, line {number}")
            rows += [
                {"article_id": article["id"], "published_at": known, "symbol": symbol, "text": article["headline"]}
                for symbol in article["tickers"]
            ]
    counts["kept"] = len(rows)
    if not rows:
        raise DataError(f"{file}: none of {counts['rows']} articles has a symbol and a text. Is it the right file?")
    return LoadedNews(validate_news(pd.DataFrame(rows).assign(source=SOURCE), where=str(file)), counts)


def _article(line: str, where: str) -> dict[str, object]:
    try:
        article = json.loads(line)
    except ValueError as failure:
        raise DataError(f"{where}: not JSON ({failure}). Repair or remove the line.") from failure
    missing = [key for key in _KEYS if not isinstance(article, dict) or key not in article]
    if missing:
        raise DataError(f"{where}: {missing} missing. Every line needs {list(_KEYS)}.")
    if not isinstance(article["tickers"], list):
        raise DataError(f"{where}: tickers is {article['tickers']!r}. It must be a list, empty for none.")
    return dict(article)


def _instant(stamp: str, zone: ZoneInfo, where: str) -> pd.Timestamp:
    """Read local time; an hour that the clock skips or repeats is no instant and is refused."""
    try:
        return pd.Timestamp(stamp).tz_localize(zone, ambiguous="raise", nonexistent="raise").tz_convert("UTC")
    except ValueError as failure:
        raise DataError(
            f"{where}: stamp {stamp!r} is no one instant in {zone} ({failure}). Add its offset."
        ) from failure
