"""Clusters of near-duplicate articles, named by whichever of them was known first.

An article joins a cluster only through articles known before it, so nothing that arrives later can move it: the ids
may be used inside a backtest. Memory is bounded by the articles of one window, however long the history.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd
from rensa import RMinHash

from embargo.data_loaders.checks.repeats import normalise_text
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import utc_microseconds

# A copy runs within days of its original; two articles alike but further apart are new news (the next quarter's).
DEFAULT_WINDOW = pd.Timedelta(days=7)
# On adjacent word pairs a headline of ten words keeps .64 after one swapped word; templates about two firms share less.
DEFAULT_THRESHOLD = 0.5
# 42 bands of 3 rows propose a pair of Jaccard similarity .5 with probability 1 - (1 - .5**3)**42 = .996, one of .6
# with .99997, one of .1 with .04; what they propose is then compared exactly, so no pair below the threshold is taken.
_BANDS, _ROWS_PER_BAND = 42, 3
_SEED = 20_140_101
_PIECE = 20_000
_MIX = np.uint64(0x9E3779B97F4A7C15)


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
    split = [text.split(" ") if text else [] for text in texts]
    lengths = np.asarray([len(words) for words in split], dtype=np.int64)
    flat = np.asarray([word for words in split for word in words], dtype=object)
    if not len(flat):
        return np.empty(0, dtype=np.uint64), np.zeros(len(texts) + 1, dtype=np.int64)
    words = pd.util.hash_array(flat)
    owner = np.repeat(np.arange(len(texts)), lengths)
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


def _band_keys(hashes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Bucket of each text in each band, shape (texts, bands), as uint64."""
    digest = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets.tolist(), _BANDS * _ROWS_PER_BAND, _SEED)
    rows = np.asarray(digest.to_rows(), dtype=np.uint64).reshape(len(offsets) - 1, _BANDS, _ROWS_PER_BAND)
    keys = np.broadcast_to(np.arange(_BANDS, dtype=np.uint64), rows.shape[:2]).copy()
    for place in range(_ROWS_PER_BAND):
        keys = (keys ^ rows[:, :, place]) * _MIX
        keys ^= keys >> np.uint64(29)
    return keys


@dataclass(slots=True)
class _Text:
    """A distinct text inside the window: what it says, about whom, when it was last known and where it belongs."""

    shingles: frozenset[int]
    symbols: frozenset[str]
    buckets: list[int]
    last_known: int
    order: int
    cluster: str


@dataclass
class RecentArticles:
    """The articles of the last ``window``, to which new ones are compared; fed in the order in which they were known.

    Attributes
    ----------
    window : Timedelta
        Two articles further apart are never compared.
    threshold : float
        Smallest Jaccard similarity of two near-duplicates' word pairs, in (0, 1].
    """

    window: pd.Timedelta = DEFAULT_WINDOW
    threshold: float = DEFAULT_THRESHOLD
    _texts: dict[str, _Text] = field(default_factory=dict, repr=False)
    _buckets: dict[int, dict[str, None]] = field(default_factory=dict, repr=False)
    _departures: deque[tuple[int, str]] = field(default_factory=deque, repr=False)
    _clusters: int = field(default=0, repr=False)
    _newest: int = field(default=-(2**62), repr=False)

    def __post_init__(self) -> None:
        if not self.window > pd.Timedelta(0):
            raise ConfigError(f"near-duplicates: window must be positive, got {self.window}.")
        if not 0.0 < self.threshold <= 1.0:
            raise ConfigError(f"near-duplicates: threshold must lie in (0, 1], got {self.threshold}.")

    def __len__(self) -> int:
        """Distinct texts held at the moment."""
        return len(self._texts)

    def assign(self, articles: pd.DataFrame) -> pd.Series:
        """Give each article the id of the first known article of its cluster, and remember it.

        Parameters
        ----------
        articles : DataFrame
            ``article_id, symbol, text, known_at``, one row per article and symbol, in increasing ``(known_at,
            article_id)``, no article before those of an earlier call.

        Returns
        -------
        Series of str, index of ``articles``

        Raises
        ------
        DataError
            If an article is out of order.
        """
        known_at = utc_microseconds(articles["known_at"]).astype(np.int64)
        if len(known_at) and (known_at[0] < self._newest or (np.diff(known_at) < 0).any()):
            raise DataError("near-duplicates: articles must arrive in the order in which they were known. Sort them.")
        ids = articles["article_id"].to_numpy(dtype=object)
        symbols = articles["symbol"].to_numpy(dtype=object)
        begins = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]]) if len(ids) else np.empty(0, dtype=np.int64)
        about = [frozenset(symbols[start:stop]) for start, stop in pairwise([*begins.tolist(), len(ids)])]
        texts = articles["text"].to_numpy(dtype=object)
        clusters: list[str] = []
        for start in range(0, len(begins), _PIECE):
            rows = begins[start : start + _PIECE]
            clusters += self._assign_piece(
                ids[rows].tolist(), texts[rows].tolist(), about[start : start + _PIECE], known_at[rows].tolist()
            )
        spread = np.repeat(np.asarray(clusters, dtype=object), np.diff(np.r_[begins, len(ids)]))
        return pd.Series(spread, index=articles.index, name="cluster", dtype="str")

    def _assign_piece(
        self, ids: list[str], texts: list[str], about: list[frozenset[str]], known_at: list[int]
    ) -> list[str]:
        # A text of nothing but a link or an emoji has no words to compare: only its verbatim copy is its copy.
        plain = [normalise_text(text) for text in texts]
        names = [words or f"\0{text}" for words, text in zip(plain, texts, strict=True)]
        distinct = list(dict.fromkeys(words for words in plain if words))
        place = {words: position for position, words in enumerate(distinct)}
        hashes, offsets = shingles(distinct)
        keys = _band_keys(hashes, offsets).tolist() if distinct else []
        found = []
        for article_id, name, symbols, now in zip(ids, names, about, known_at, strict=True):
            self._forget(now)
            text = self._texts.get(name)
            if text is None:
                row = place.get(name)
                own = frozenset() if row is None else frozenset(hashes[offsets[row] : offsets[row + 1]].tolist())
                text = _Text(own, symbols, [] if row is None else keys[row], now, self._clusters, article_id)
                self._enter(name, text)
            text.symbols |= symbols
            text.last_known = now
            self._departures.append((now, name))
            found.append(text.cluster)
        return found

    def _enter(self, name: str, text: _Text) -> None:
        """Add a text that is new to the window: to the oldest cluster that has a near-duplicate of it, or its own."""
        candidates = {rival: None for bucket in text.buckets for rival in self._buckets.get(bucket, ())}
        own = text.shingles
        for rival in map(self._texts.__getitem__, candidates):
            if rival.order >= text.order or text.symbols.isdisjoint(rival.symbols):
                continue
            shared = len(own & rival.shingles)
            if shared >= self.threshold * (len(own) + len(rival.shingles) - shared):
                text.order, text.cluster = rival.order, rival.cluster
        self._clusters += text.order == self._clusters
        self._texts[name] = text
        for bucket in text.buckets:
            self._buckets.setdefault(bucket, {})[name] = None

    def _forget(self, now: int) -> None:
        """Drop the texts last known before the window that ends now."""
        self._newest = now
        oldest = now - int(self.window / pd.Timedelta(microseconds=1))
        while self._departures and self._departures[0][0] < oldest:
            known_at, name = self._departures.popleft()
            text = self._texts.get(name)
            if text is None or text.last_known != known_at:
                continue
            del self._texts[name]
            for bucket in text.buckets:
                members = self._buckets[bucket]
                members.pop(name, None)
                if not members:
                    del self._buckets[bucket]


def near_duplicate_clusters(
    news: pd.DataFrame, *, window: pd.Timedelta = DEFAULT_WINDOW, threshold: float = DEFAULT_THRESHOLD
) -> pd.Series:
    """Name for every row of news the cluster of near-duplicates that its article belongs to.

    Two articles are near-duplicates when the Jaccard similarity of their sets of adjacent word pairs, after
    ``normalise_text``, is at least ``threshold``, they share a symbol, and they were known within ``window`` of
    one another; equal normalised texts need share no symbol. Wording that fits any company is a template, not a copy.
    A text still in the window keeps its cluster; a new one joins the oldest cluster that holds a near-duplicate of it,
    and clusters are never joined afterwards. Candidates come from MinHash, so a pair at the threshold itself is missed
    with probability .004 at most.

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
    Broder (1997), "On the resemblance and containment of documents"; Leskovec, Rajaraman and Ullman, "Mining of
    Massive Datasets", chapter 3.

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
    order = news.sort_values(["known_at", "article_id"], kind="stable")
    clusters = RecentArticles(window, threshold).assign(order[["article_id", "symbol", "text", "known_at"]])
    return clusters.set_axis(order.index).reindex(news.index)
