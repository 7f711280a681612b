"""Copies among news: what two texts have in common, and which of them was known first.

Everything here looks only backwards in time: whether an article is new never depends on later articles.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import time_order, utc_microseconds

_LINK = re.compile(r"(?:https?://|www\.)\S+")
_REPOST = re.compile(r"^(?:\s*rt\b\s*(?=@\w|:)(?:@\w+)?\s*:?)+")
_HANDLE = re.compile(r"@\w+")
_NO_WORD = re.compile(r"[\W_]+")
# The same for texts of plain ASCII in small letters, in the words of arrow's engine, whose classes are narrower.
_SPACE = r"\x09-\x0d\x1c-\x20"
_ASCII_LINK = rf"(?:https?://|www\.)[^{_SPACE}]+"
_ASCII_MAY_BE_REPOST = rf"^[{_SPACE}]*rt"
_ASCII_HANDLE = "@[0-9a-z_]+"
_TO_SPACES = bytes(byte if chr(byte) in "0123456789abcdefghijklmnopqrstuvwxyz" else ord(" ") for byte in range(256))

# Texts that are normalised together: their letters fit the caches.
_PIECE = 25_000
# Bytes of distinct texts whose words are kept.
_MOST_KEPT = 2**25
# To look among what is kept, all of it is hashed: dearer than a few texts normalised anew, by this many times a text.
_KEPT_FOR_ONE = 8


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


def normalised(texts: pd.Series) -> pa.LargeStringArray:
    """Give what `normalise_text` does of every text, many at once.

    Parameters
    ----------
    texts : Series of str, shape (n,)
        Without missing values.

    Returns
    -------
    LargeStringArray, length n
    """
    given = _strings(texts)
    if given.nbytes > 4 * _MOST_KEPT:
        return _in_pieces(given)
    coded = given.dictionary_encode()
    distinct = coded.dictionary
    return _known.of(distinct).take(coded.indices)


def _in_pieces(given: pa.LargeStringArray) -> pa.LargeStringArray:
    pieces = [_normalised(given[start : start + _PIECE]) for start in range(0, len(given), _PIECE)]
    return pa.concat_arrays(pieces or [given])


class _Known:
    """What texts were normalised to before: a run compares the same ones many times over."""

    def __init__(self) -> None:
        none = pa.array([], pa.large_string())
        # In one name, so that of two threads none finds the texts of one with the words of the other.
        self._kept = (none, none)

    def of(self, texts: pa.LargeStringArray) -> pa.LargeStringArray:
        """Normalise distinct texts, and keep what there is room for; what was kept before goes first.

        A few texts beside many that are kept are normalised anew.
        """
        given, plain = self._kept
        if len(given) > _KEPT_FOR_ONE * len(texts):
            return _in_pieces(texts)
        place = pc.index_in(texts, value_set=given)
        fresh = texts.filter(pc.is_null(place))
        if not len(fresh):
            return plain.take(place)
        made = _in_pieces(fresh)
        where = place.fill_null(-1).to_numpy().astype(np.int64)
        where[where < 0] = len(given) + np.arange(len(fresh))
        both = pa.concat_arrays([given, fresh]), pa.concat_arrays([plain, made])
        room = [kept for kept in (both, (fresh, made)) if kept[0].nbytes <= _MOST_KEPT]
        self._kept = room[0] if room else self._kept
        return both[1].take(pa.array(where))


_known = _Known()
# Those that take a loop in Python are most of the work.
_kept = lru_cache(maxsize=2 * _PIECE)(normalise_text)


def _normalised(given: pa.LargeStringArray) -> pa.LargeStringArray:
    plain = pc.ascii_lower(given)
    linked = pc.match_substring_regex(plain, "http|www\\.")
    if pc.any(linked).as_py():
        without = pc.replace_substring_regex(plain.filter(linked), _ASCII_LINK, " ")
        plain = pc.replace_with_mask(plain, linked, without)
    other = pc.or_(pc.invert(pc.string_is_ascii(given)), pc.match_substring_regex(plain, _ASCII_MAY_BE_REPOST))
    plain = pc.utf8_trim(_words_only(pc.replace_substring_regex(plain, _ASCII_HANDLE, " ")), " ")
    if pc.any(other).as_py():
        one_by_one = [_kept(text) for text in given.filter(other).to_pylist()]
        plain = pc.replace_with_mask(plain, other, pa.array(one_by_one, pa.large_string()))
    return plain


def _words_only(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """Put one space for every run of bytes that are neither digits nor small letters; at an end there may be none."""
    _, ends, letters = texts.buffers()
    offsets = np.frombuffer(ends, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    start = int(offsets[0])
    written = np.frombuffer(bytes(letters or b"")[start : int(offsets[-1])].translate(_TO_SPACES), np.uint8)
    space = written == ord(" ")
    again = np.flatnonzero(space[1:] & space[:-1]) + 1
    kept = np.ones(len(written), dtype=bool)
    kept[again] = False
    moved = offsets - start - np.searchsorted(again, offsets - start)
    return pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(moved), pa.py_buffer(written[kept]))


def _strings(texts: pd.Series) -> pa.LargeStringArray:
    array = pa.array(texts, pa.large_string())
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def stories(texts: pd.Series, plain: pa.LargeStringArray) -> np.ndarray:
    """Give each text a number that its copies share; a text of no words is only the copy of its own letters.

    Parameters
    ----------
    texts : Series of str, shape (n,)
    plain : LargeStringArray, length n
        The same, `normalised`.

    Returns
    -------
    ndarray of int64, shape (n,)
        In the order of first appearance, from 0 on.
    """
    blank = pc.equal(plain, "")
    if pc.any(blank).as_py():
        marked = [f"\0{text}" for text in _strings(texts).filter(blank).to_pylist()]
        plain = pc.replace_with_mask(plain, blank, pa.array(marked, pa.large_string()))
    codes: np.ndarray = plain.dictionary_encode().indices.to_numpy().astype(np.int64)
    return codes


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
    _refuse_missing(texts, "text_keys")
    codes, distinct = pd.factorize(texts)
    words = normalised(pd.Series(distinct, dtype="str")).to_pylist()
    hashes = np.asarray(
        [
            hashlib.blake2b((plain or f"\0{text}").encode(), digest_size=8).hexdigest()
            for plain, text in zip(words, distinct, strict=True)
        ],
        dtype=object,
    )
    values = hashes[codes] if len(hashes) else np.empty(0, dtype=object)
    return pd.Series(values, index=texts.index, name="text_key", dtype="str")


def text_numbers(texts: pd.Series) -> np.ndarray:
    """Give each text a number that its copies share, by the rule of `text_keys` and without its hashes; shape (n,).

    Raises
    ------
    DataError
        If a text is missing.
    """
    _refuse_missing(texts, "text_numbers")
    return stories(texts, normalised(texts))


def _refuse_missing(texts: pd.Series, who: str) -> None:
    if texts.isna().any():
        row = texts.index[int(np.argmax(texts.isna().to_numpy()))]
        raise DataError(f"{who}: the text at row {row!r} is missing. Filter such rows out first.")


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
    _refuse_missing(news["text"], "first_seen")
    fresh = fresh_rows(news, text_numbers(news["text"]), scope=scope, window=window)
    return pd.Series(fresh, index=news.index, name="first_seen")


def fresh_rows(
    news: pd.DataFrame, story: np.ndarray, *, scope: Literal["symbol", "all"], window: pd.Timedelta | None
) -> np.ndarray:
    """Do as `first_seen` with the numbers of texts that `text_numbers` gave them; shape (n,)."""
    key = story
    if scope == "symbol":
        symbol, names = pd.factorize(news["symbol"])
        key = story * len(names) + symbol
    return first_of(key, news, window)


def first_of(key: np.ndarray, news: pd.DataFrame, window: pd.Timedelta | None = None) -> np.ndarray:
    """Tell which rows are of the first article of their key, or the first for a window; shape (n,)."""
    order = time_order(news)
    group = pd.factorize(key[order])[0]
    article = pd.factorize(news["article_id"])[0][order]
    pioneer = np.empty(group.max(initial=-1) + 1, dtype=np.int64)
    pioneer[group[::-1]] = article[::-1]
    fresh = pioneer[group] == article
    if window is not None:
        copied = np.isin(group, group[~fresh])
        known_at = utc_microseconds(news["known_at"])[order]
        longest = window // pd.Timedelta(1, "us")
        fresh[copied] = _fresh_again(group[copied], article[copied], known_at[copied].astype(np.int64), longest)
    told = np.empty(len(order), dtype=bool)
    told[order] = fresh
    return told


def _fresh_again(group: np.ndarray, article: np.ndarray, known_at: np.ndarray, window: int) -> np.ndarray:
    """Tell in order of time which articles count as new, each measured against the last one of its group that did."""
    fresh = []
    newest: dict[int, tuple[int, int]] = {}
    for own, named, instant in zip(group.tolist(), article.tolist(), known_at.tolist(), strict=True):
        before = newest.get(own)
        counts = before is None or before[0] == named or instant - before[1] > window
        fresh.append(counts)
        if counts:
            newest[own] = (named, instant)
    return np.array(fresh, dtype=bool)
