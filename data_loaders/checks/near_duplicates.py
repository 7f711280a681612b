"""Clusters of near-duplicate articles, named by whichever of them was known first.

An article joins a cluster only through articles known before it, so nothing that arrives later can move it: the ids
may be used inside a backtest. Every pair that could be alike is found: two texts whose word pairs overlap by half share
one of their rarest word pairs, so only texts that do are compared (Chaudhuri, Ganti and Kaushik 2006).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from embargo.data_loaders.checks.repeats import normalised, stories
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.schemas import time_order, utc_microseconds

# A copy runs within days of its original; two articles alike but further apart are new news (the next quarter's).
DEFAULT_WINDOW = pd.Timedelta(days=7)
# On adjacent word pairs a headline of ten words keeps .64 after one swapped word; templates about two firms share less.
DEFAULT_THRESHOLD = 0.5
# Articles whose pairs are sought together, and pairs compared together: what is held at once fits the caches.
_PIECE, _PAIRS = 25_000, 500_000
_MIX = np.uint64(0x9E3779B97F4A7C15)
_ALONE = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def _words(texts: pa.LargeStringArray) -> tuple[pa.DictionaryArray, np.ndarray, np.ndarray]:
    """Split texts at single spaces: all their words, the text that each is of, and how many each text has."""
    split = pc.split_pattern(texts, " ")
    blank = pc.equal(texts, "")
    lengths = np.where(blank, 0, pc.list_value_length(split))
    # To leave rows out copies all words, and hardly any text is blank.
    flat = (split.filter(pc.invert(blank)) if pc.any(blank).as_py() else split).flatten().dictionary_encode()
    return flat, np.repeat(np.arange(len(texts)), lengths), lengths


def shingles(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hash the distinct adjacent word pairs of normalised texts; a text of one word is its own shingle.

    Parameters
    ----------
    texts : list of str, length n
        As ``normalise_text`` returns them; a blank one has no shingle.

    Returns
    -------
    (hashes, offsets) : ndarray of uint64, ndarray of int64 with shape (n + 1,)
        Text i has ``hashes[offsets[i]:offsets[i + 1]]``, distinct and increasing. Hashes do not depend on the other
        texts.
    """
    flat, owner, lengths = _words(pa.array(texts, pa.large_string()))
    if not len(flat):
        return np.empty(0, dtype=np.uint64), np.zeros(len(texts) + 1, dtype=np.int64)
    known = pd.util.hash_array(flat.dictionary.to_numpy(zero_copy_only=False), categorize=False)
    words = known[flat.indices.to_numpy()]
    paired = owner[:-1] == owner[1:]
    pairs = ((words[:-1] * _MIX) ^ (words[1:] + (words[1:] >> np.uint64(7))))[paired]
    alone = lengths[owner] == 1
    hashes = np.concatenate([pairs, words[alone]])
    owners = np.concatenate([owner[:-1][paired], owner[alone]])
    order = np.lexsort((hashes, owners))
    hashes, owners = hashes[order], owners[order]
    fresh = np.r_[True, (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])]
    hashes, owners = hashes[fresh], owners[fresh]
    return hashes, np.searchsorted(owners, np.arange(len(texts) + 1)).astype(np.int64)


def clusters_of(
    news: pd.DataFrame, plain: pa.LargeStringArray, story: np.ndarray, *, window: pd.Timedelta, threshold: float
) -> pd.Series:
    """Do as `near_duplicate_clusters` with texts that are `normalised` and numbered already, each of length n."""
    if not window > pd.Timedelta(0):
        raise ConfigError(f"near-duplicates: window must be positive, got {window}.")
    if not 0.0 < threshold <= 1.0:
        raise ConfigError(f"near-duplicates: threshold must lie in (0, 1], got {threshold}.")
    order = time_order(news)
    named = news["article_id"].iloc[order]
    heads = np.flatnonzero((named != named.shift()).to_numpy())
    rows = order[heads]
    symbols = pd.factorize(news["symbol"])[0][order]
    known_at = utc_microseconds(news["known_at"]).astype(np.int64)[rows]
    told = _chains(
        story[rows],
        known_at,
        symbols,
        np.append(heads, len(named)),
        window // pd.Timedelta(1, "us"),
    )
    founder = told.entry.copy()
    for later, earlier in zip(*(side.tolist() for side in _pairs(told, plain, rows, threshold)), strict=True):
        founder[later] = min(founder[later], founder[earlier])
    founder = founder[told.entry]
    first = np.empty(len(news), dtype=np.int64)
    first[order] = np.repeat(rows[founder], np.diff(np.append(heads, len(named))))
    return news["article_id"].iloc[first].astype("str").set_axis(news.index).rename("cluster")


@dataclass(frozen=True, eq=False)
class _Told:
    """Articles in order of time, each text's tellings chained while none is more than a window after the last.

    Attributes
    ----------
    known_at : ndarray of int64, shape (articles,)
        Microseconds.
    story : ndarray of int64, shape (articles,)
        Number of the text.
    entry : ndarray of int64, shape (articles,)
        The article that opened the chain.
    symbols, begins : ndarray of int64
        What the chain was about up to article i: ``symbols[begins[i]:begins[i + 1]]``, none twice.
    window : int
        Microseconds.
    """

    known_at: np.ndarray
    story: np.ndarray
    entry: np.ndarray
    symbols: np.ndarray
    begins: np.ndarray
    window: int


def _chains(story: np.ndarray, known_at: np.ndarray, symbols: np.ndarray, begins: np.ndarray, window: int) -> _Told:
    together = np.argsort(story, kind="stable")
    opens = np.append(True, np.diff(story[together]) != 0)[: len(story)]
    opens[1:] |= np.diff(known_at[together]) > window
    entry = np.empty_like(story)
    entry[together] = together[np.maximum.accumulate(np.where(opens, np.arange(len(story)), 0))]
    owner = np.repeat(np.arange(len(story)), np.diff(begins))
    # A chain told of other symbols as it goes on is about all of them.
    several = np.diff(begins)[entry] != np.diff(begins)
    ahead = begins[entry[owner]] + np.arange(len(owner)) - begins[owner]
    several |= np.bincount(owner, symbols[np.minimum(ahead, len(symbols) - 1)] != symbols, len(story)) > 0
    widened = np.isin(entry, entry[several])
    about = {}
    held: dict[int, dict[int, None]] = {}
    for article in np.flatnonzero(widened).tolist():
        chain = held.setdefault(int(entry[article]), {})
        chain |= dict.fromkeys(symbols[begins[article] : begins[article + 1]].tolist())
        about[article] = list(chain)
    if about:
        lists = np.split(symbols, begins[1:-1])
        lists = [np.asarray(about.get(article, own)) for article, own in enumerate(lists)]
        begins = np.append(0, np.cumsum([len(own) for own in lists]))
        symbols = np.concatenate(lists).astype(np.int64)
    return _Told(known_at, story, entry, symbols, begins, window)


def _pairs(
    told: _Told, plain: pa.LargeStringArray, rows: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Near-duplicates among the articles that open a chain: the later ones, increasing, and the earlier ones."""
    found = [np.empty((0, 2), dtype=np.int64)]
    for start in range(0, len(rows), _PIECE):
        stop = min(start + _PIECE, len(rows))
        first = int(np.searchsorted(told.known_at, told.known_at[start] - told.window))
        text_of, texts = pd.factorize(told.story[first:stop])
        place = np.empty(told.story[:stop].max() + 1, dtype=np.int64)
        place[texts] = np.arange(len(texts))
        again = np.empty(len(texts), dtype=np.int64)
        again[text_of[::-1]] = np.arange(first, stop)[::-1]
        sets = _Sets.of(plain.take(pa.array(rows[again])))
        for later, earlier in _candidates(told, sets, text_of, first, start, threshold):
            alike = sets.alike(text_of[later - first], place[told.story[earlier]], threshold)
            found.append(np.column_stack([later[alike], earlier[alike]]))
    pairs = np.concatenate(found)
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    return pairs[:, 0], pairs[:, 1]


@dataclass(frozen=True, eq=False)
class _Sets:
    """The word pairs of texts, numbered from the rarest on, without those that only one text has.

    Attributes
    ----------
    members, begins : ndarray of int64
        Text i has ``members[begins[i]:begins[i + 1]]``, increasing.
    sizes : ndarray of int64, shape (texts,)
        How many distinct word pairs the text has, those of its own alone included.
    keys : ndarray of uint64
        Text and member in one integer each, increasing.
    pairs : int
        All members are smaller.
    """

    members: np.ndarray
    begins: np.ndarray
    sizes: np.ndarray
    keys: np.ndarray
    pairs: int

    @classmethod
    def of(cls, texts: pa.LargeStringArray) -> _Sets:
        flat, owner, lengths = _words(texts)
        word = flat.indices.to_numpy().astype(np.uint64)
        paired = owner[:-1] == owner[1:]
        alone = lengths[owner] == 1
        pair = np.concatenate([((word[:-1] << _HALF) | word[1:])[paired], (word[alone] << _HALF) | _ALONE])
        owner = np.concatenate([owner[:-1][paired], owner[alone]])
        code = pd.factorize(pair)[0]
        often = np.bincount(code)
        number = np.empty(len(often), dtype=np.uint64)
        number[np.argsort(often, kind="stable")] = np.arange(len(often), dtype=np.uint64)
        common = often[code] > 1
        keys = np.sort((owner[common].astype(np.uint64) << _HALF) | number[code[common]])
        keys = keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]]
        begins = np.searchsorted(keys, np.arange(len(texts) + 1, dtype=np.uint64) << _HALF)
        sizes = np.bincount(owner[~common], minlength=len(texts)) + np.diff(begins)
        return cls((keys & _ALONE).astype(np.int64), begins, sizes, keys, len(often))

    def rarest(self, threshold: float) -> np.ndarray:
        """How many of each text's ``members`` must hold one of any text at least so similar; shape (texts,)."""
        prefix = self.sizes - np.ceil(threshold * self.sizes - 1e-9).astype(np.int64) + 1
        kept = np.diff(self.begins)
        return np.asarray(np.clip(prefix - (self.sizes - kept), 0, kept))

    @cached_property
    def _bits(self) -> np.ndarray:
        """64 bits for each text, of which each of its members sets one."""
        filled = np.flatnonzero(np.diff(self.begins))
        bits = np.zeros(len(self.sizes), dtype=np.uint64)
        if len(filled):
            bit = np.uint64(1) << (((self.keys & _ALONE) * _MIX) >> np.uint64(58))
            bits[filled] = np.bitwise_or.reduceat(bit, self.begins[filled])
        return bits

    def alike(self, one: np.ndarray, other: np.ndarray, threshold: float) -> np.ndarray:
        """Tell which pairs of texts have a Jaccard similarity of at least ``threshold``."""
        kept, total = np.diff(self.begins), self.sizes[one] + self.sizes[other]
        # Every bit that only the one has stands for a word pair, or more, that only the one has.
        lacking = np.bitwise_count(self._bits[one] & ~self._bits[other])
        could = np.minimum(kept[one] - lacking, kept[other])
        likely = np.flatnonzero(could >= threshold * (total - could) - 1e-9)
        # The members of the one, each sought among those of the other.
        text = one[likely]
        asked = np.repeat(np.arange(len(likely)), kept[text])
        member = self.keys[spans(self.begins[text], kept[text])] & _ALONE
        wanted = (other[likely].astype(np.uint64) << _HALF)[asked] | member
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        shared = np.zeros(len(one))
        shared[likely] = np.bincount(asked, self.keys[at] == wanted, len(likely))
        return np.asarray((shared > 0) & (shared >= threshold * (total - shared)))


def spans(begins: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Positions ``begins[i], begins[i] + 1, ...``, ``lengths[i]`` of them, for every i in turn."""
    ends = np.cumsum(lengths)
    return np.asarray(np.arange(ends[-1] if len(ends) else 0) + np.repeat(begins - ends + lengths, lengths))


def _candidates(
    told: _Told, sets: _Sets, text_of: np.ndarray, first: int, start: int, threshold: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Articles from ``start`` on that open a chain, with what opened an earlier chain that may be alike.

    ``text_of`` are the texts of the articles from ``first`` on. Only a pair that shares a symbol and one of the rarest
    word pairs of both can reach the threshold.
    """
    stop = first + len(text_of)
    rarest = sets.rarest(threshold)
    # One entry for each article, symbol of its chain and rare word pair of its text.
    article = np.repeat(np.arange(stop - first), np.diff(told.begins[first : stop + 1]))
    symbol = told.symbols[told.begins[first] : told.begins[stop]]
    count = rarest[text_of[article]]
    member = sets.members[spans(sets.begins[text_of[article]], count)]
    group = np.repeat(symbol, count) * sets.pairs + member
    bits = np.uint64(len(text_of).bit_length())
    entries = np.sort((group.astype(np.uint64) << bits) | np.repeat(article, count).astype(np.uint64))
    mask = (np.uint64(1) << bits) - np.uint64(1)
    group = entries & ~mask
    same = group[1:] == group[:-1]
    several = np.append(same, False) | np.append(False, same)
    entries, group = entries[several[: len(entries)]], group[several[: len(entries)]]
    article = (entries & mask).astype(np.int64)
    at = np.flatnonzero((told.entry[first + article] == first + article) & (first + article >= start))
    begun = np.searchsorted(told.known_at, told.known_at[start:stop] - told.window)[first + article[at] - start] - first
    low = np.searchsorted(entries, group[at] | np.maximum(begun, 0).astype(np.uint64))
    number = at - low
    cuts = np.searchsorted(np.cumsum(number), np.arange(0, number.sum() + _PAIRS, _PAIRS)) + 1
    cuts[0] = 0
    for begin, end in pairwise(cuts.tolist()):
        width = number[begin:end]
        earlier = article[spans(low[begin:end], width)]
        later = np.repeat(article[at[begin:end]], width)
        pairs = sorted_distinct((first + later) * len(told.entry) + told.entry[first + earlier])
        yield pairs // len(told.entry), pairs % len(told.entry)


def sorted_distinct(numbers: np.ndarray) -> np.ndarray:
    """Return the distinct of many whole numbers in order, as numpy's unique does by hashes in twenty times the time.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.data_loaders.checks.near_duplicates import sorted_distinct
    >>> sorted_distinct(np.array([3, 1, 3])).tolist()
    [1, 3]
    """
    ordered = np.sort(numbers)
    return np.asarray(ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]])


def near_duplicate_clusters(
    news: pd.DataFrame, *, window: pd.Timedelta = DEFAULT_WINDOW, threshold: float = DEFAULT_THRESHOLD
) -> pd.Series:
    """Name for every row of news the cluster of near-duplicates that its article belongs to.

    Two articles are near-duplicates when the Jaccard similarity of their sets of adjacent word pairs, after
    ``normalise_text``, is at least ``threshold``, they share a symbol, and they were known within ``window`` of
    one another; equal normalised texts need share no symbol. Wording that fits any company is a template, not a copy.
    A text still in the window keeps its cluster; a new one joins the oldest cluster that holds a near-duplicate of it,
    and clusters are never joined afterwards.

    Silent on paraphrases without shared word pairs, on translations, and on copies later than the window.

    Parameters
    ----------
    news : DataFrame
        Validated news with ``article_id, symbol, text, known_at``, its index unique; an article filed under several
        symbols counts once.
    window : Timedelta
        Farthest that a copy may lie behind another copy of its cluster.
    threshold : float
        In (0, 1].

    Returns
    -------
    Series of str, shape (n,), index of ``news``
        ``article_id`` of the first known article of the cluster (at the same instant: the smaller id).

    Raises
    ------
    ConfigError
        If the window or the threshold is out of range.

    References
    ----------
    Broder (1997), "On the resemblance and containment of documents"; Chaudhuri, Ganti and Kaushik (2006), "A primitive
    operator for similarity joins in data cleaning".

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import validate_news
    >>> rows = {
    ...     "article_id": ["1", "2"],
    ...     "published_at": pd.to_datetime(["2020-01-02 15:00Z", "2020-01-02 16:00Z"]),
    ...     "symbol": "AAPL",
    ...     "text": ["Apple beats estimates and raises outlook", "RT @wire: Apple beats estimates, raises outlook"],
    ... }
    >>> news = validate_news(pd.DataFrame(rows))
    >>> from embargo.data_loaders.checks import near_duplicate_clusters
    >>> near_duplicate_clusters(news).tolist()
    ['1', '1']
    """
    plain = normalised(news["text"])
    return clusters_of(news, plain, stories(news["text"], plain), window=window, threshold=threshold)
