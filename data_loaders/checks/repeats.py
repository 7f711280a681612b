"""Copies among news: what two texts have in common, and which of them was known first.

Everything here looks only backwards in time: whether an article is new never depends on later articles.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Literal

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import utc_microseconds

_LINK = re.compile(r"(?:https?://|www\.)\S+")
_REPOST = re.compile(r"^(?:\s*rt\b\s*(?=@\w|:)(?:@\w+)?\s*:?)+")
_HANDLE = re.compile(r"@\w+")
_NO_WORD = re.compile(r"[\W_]+")


def normalise_text(text: str) -> str:
    """Reduce a text to what its copies have in common.

    Case, links, repost marks (``RT @name:``), handles, punctuation and runs of white space go; words and digits stay.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        Empty for a text made of nothing else (a bare link, an emoji).

    Examples
    --------
    >>> from embargo.data_loaders.checks import normalise_text
    >>> normalise_text("RT @wire: Apple BEATS estimates! https://t.example/x")
    'apple beats estimates'
    """
    plain = (text if text.isascii() else unicodedata.normalize("NFKC", text)).casefold()
    if "http" in plain or "www." in plain:
        plain = _LINK.sub(" ", plain)
    if "@" in plain or plain.lstrip().startswith("rt"):
        plain = _HANDLE.sub(" ", _REPOST.sub(" ", plain))
    return _NO_WORD.sub(" ", plain).strip()


def text_keys(texts: pd.Series) -> pd.Series:
    """Hash each normalised text, so that copies get the same key.

    Parameters
    ----------
    texts : Series of str, shape (n,)
        Texts without missing values.

    Returns
    -------
    Series of str, shape (n,), index kept
        16 hexadecimal digits (BLAKE2b). A text that normalises to nothing is hashed as it stands, so that
        unrelated links and emoji do not count as copies of one another.

    Raises
    ------
    DataError
        If a text is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.checks import text_keys
    >>> text_keys(pd.Series(["Apple beats", "APPLE beats!", "Apple misses"])).nunique()
    2
    """
    if texts.isna().any():
        row = texts.index[int(np.argmax(texts.isna().to_numpy()))]
        raise DataError(f"text_keys: the text at row {row!r} is missing. Filter such rows out first.")
    codes, distinct = pd.factorize(texts)
    hashes = np.asarray(
        [
            hashlib.blake2b((normalise_text(text) or f"\0{text}").encode(), digest_size=8).hexdigest()
            for text in distinct.astype(object)
        ],
        dtype=object,
    )
    values = hashes[codes] if len(hashes) else np.empty(0, dtype=object)
    return pd.Series(values, index=texts.index, name="text_key", dtype="str")


def first_seen(
    news: pd.DataFrame, *, scope: Literal["symbol", "all"] = "all", window: pd.Timedelta | None = None
) -> pd.Series:
    """Tell which rows carry a text that was not known before under another article.

    Parameters
    ----------
    news : DataFrame
        Validated news with ``article_id, text, known_at`` and, for a scope of one symbol, ``symbol``.
    scope : {"symbol", "all"}
        Compare with news of the same symbol, or with all news.
    window : Timedelta, optional
        A text repeats one that counted as new at most so long before; after that it is new again, and what follows is
        measured from there. Without a window a text is new once for ever.

    Returns
    -------
    Series of bool, shape (n,), index of ``news``
        False where an article with another id and the same normalised text was known earlier (at the same instant:
        has the smaller id). One article filed under several symbols is one article.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.checks import first_seen
    >>> known_at = pd.to_datetime(["2020-01-02 15:00Z", "2020-01-02 16:00Z", "2020-04-02 15:00Z"])
    >>> texts = ["Apple beats estimates", "RT @wire: Apple beats estimates!", "Apple beats estimates"]
    >>> news = pd.DataFrame({"article_id": ["1", "2", "3"], "text": texts, "known_at": known_at})
    >>> first_seen(news).tolist(), first_seen(news, window=pd.Timedelta(days=4)).tolist()
    ([True, False, False], [True, False, True])
    """
    facts = pd.DataFrame(
        {
            "key": text_keys(news["text"]).to_numpy(),
            "symbol": news["symbol"].to_numpy() if scope == "symbol" else "",
            "article_id": news["article_id"].to_numpy(),
            "known_at": utc_microseconds(news["known_at"]),
        },
        index=np.arange(len(news)),
    )
    order = facts.sort_values(["known_at", "article_id"], kind="stable")
    groups = order.groupby(["key", "symbol"], sort=False)
    pioneer = groups["article_id"].transform("first")
    fresh = (pioneer == order["article_id"]).to_numpy(dtype=bool).copy()
    if window is not None:
        group = groups.ngroup().to_numpy()
        copied = np.isin(group, group[~fresh])
        fresh[copied] = _fresh_again(
            order[copied], group[copied], np.timedelta64(window // pd.Timedelta(1, "us"), "us")
        )
    told = pd.Series(fresh, index=order.index).reindex(facts.index)
    return pd.Series(told.to_numpy(dtype=bool), index=news.index, name="first_seen")


def _fresh_again(order: pd.DataFrame, group: np.ndarray, window: np.timedelta64) -> np.ndarray:
    """Tell in order of time which articles count as new, each measured against the last one of its group that did."""
    fresh = np.zeros(len(order), dtype=bool)
    newest: dict[int, tuple[object, np.datetime64]] = {}
    rows = zip(group.tolist(), order["article_id"], order["known_at"].to_numpy(), strict=True)
    for position, (own, article_id, known_at) in enumerate(rows):
        before = newest.get(own)
        fresh[position] = before is None or before[0] == article_id or known_at - before[1] > window
        if fresh[position]:
            newest[own] = (article_id, known_at)
    return fresh
