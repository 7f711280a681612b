"""Which texts are nearly alike: those that share most of their pairs of neighbouring words.

The pairs of many texts are numbered once, a piece of them at a time, and any of the texts may then be sought among any
others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from embargo.data_loaders.checks.near_duplicates import sorted_distinct

NEAR_JACCARD = 0.7

_POSTINGS_AT_ONCE = 500_000
_POSTINGS_IN_ALL = 2_000_000
_ROWS_AT_ONCE = 50_000
_MIX = np.uint64(0x9E3779B97F4A7C15)
# Texts that are parted into words together: of millions, the words alone would take gigabytes.
_PIECE = 100_000


@dataclass(frozen=True)
class NearMatches:
    """Best match of each query in a corpus.

    Attributes
    ----------
    position : ndarray of int, shape (n_queries,)
        Position in the corpus of the most similar text at or above the threshold, -1 where there is none.
    similarity : ndarray of float, shape (n_queries,)
        Jaccard similarity with it; 0 where there is none.
    searched : ndarray of bool, shape (n_queries,)
        False for queries left out because the work was capped.
    """

    position: np.ndarray
    similarity: np.ndarray
    searched: np.ndarray


@dataclass(frozen=True, eq=False)
class WordPairs:
    """The pairs of neighbouring words of texts, among them one at either end of each text.

    Attributes
    ----------
    codes : ndarray of int32, shape (pairs,)
        Their numbers, in the order in which they stand, text after text.
    ends : ndarray of int64, shape (texts + 1,)
        Text i has ``codes[ends[i]:ends[i + 1]]``.
    kinds : int
        How many of them are distinct.
    """

    codes: np.ndarray
    ends: np.ndarray
    kinds: int

    @classmethod
    def of(cls, texts: pa.LargeStringArray) -> WordPairs:
        """Read normalised texts: words separated by single blanks."""
        pieces = [texts[start : start + _PIECE] for start in range(0, len(texts), _PIECE)]
        # Split and numbered by arrow: a loop over words in Python took longer than all that is done with them.
        parted = [_parted(piece) for piece in pieces]
        words, known = _unified([words for words, _ in parted])
        lengths = np.concatenate([np.zeros(0, dtype=np.int64), *(own for _, own in parted)])
        codes, kinds = _unified([_paired(*part, known) for part in zip(words, (own for _, own in parted), strict=True)])
        every = np.concatenate([np.zeros(0, dtype=np.int32), *codes])
        return cls(every, np.concatenate([[0], np.cumsum(lengths + 1)]), kinds)

    def matrix(self, rows: np.ndarray) -> sparse.csr_matrix:
        """Lay out which pairs some texts hold, (texts, distinct pairs); pairs in order of first appearance there."""
        lengths = np.diff(self.ends)[rows]
        ends = np.concatenate([[0], np.cumsum(lengths)])
        place = np.arange(ends[-1])
        place += np.repeat(self.ends[rows] - ends[:-1], lengths)
        codes = self.codes[place]
        place = np.arange(len(codes))
        first = np.empty(self.kinds, dtype=np.int64)
        first[codes[::-1]] = place[::-1]
        opens = codes[first[codes] == place]
        first[opens] = np.arange(len(opens))
        matrix = sparse.csr_matrix(
            (np.ones(len(codes), dtype=np.int32), first[codes], ends), shape=(len(rows), len(opens))
        )
        matrix.sum_duplicates()
        matrix.data[:] = 1
        return matrix


def _parted(texts: pa.LargeStringArray) -> tuple[pa.DictionaryArray, np.ndarray]:
    """Split texts at blanks: their words, and how many each has."""
    split = pc.split_pattern(texts, " ")
    return split.flatten().dictionary_encode(), np.diff(split.offsets.to_numpy())


def _unified(pieces: list[pa.DictionaryArray]) -> tuple[list[np.ndarray], int]:
    """Give the values of all pieces one numbering: their numbers, int32, piece by piece, and how many are distinct."""
    if not pieces:
        return [], 0
    alike = pa.chunked_array(pieces).unify_dictionaries().chunks
    return [piece.indices.to_numpy() for piece in alike], len(alike[0].dictionary)


def _paired(words: np.ndarray, lengths: np.ndarray, known: int) -> pa.DictionaryArray:
    """Give the pairs of a piece of texts, whose words are numbered below ``known`` by all pieces alike."""
    flat = np.zeros(len(words) + len(lengths) + 1, dtype=np.int64)
    flat[np.arange(len(words)) + np.repeat(np.arange(1, len(lengths) + 1), lengths)] = words.astype(np.int64) + 1
    return pa.array(flat[:-1] * (known + 1) + flat[1:]).dictionary_encode()


def near_matches(
    queries: Sequence[str], corpus: Sequence[str], *, threshold: float = NEAR_JACCARD, seed: int = 0
) -> NearMatches:
    """Find for each query the corpus text with the largest Jaccard similarity of word pairs, if it reaches a threshold.

    Exact, not sketched: two sets with Jaccard similarity t or more must share one of their rarest
    ``n - ceil(t n) + 1`` members, so only those are indexed (prefix filtering: Chaudhuri, Ganti and Kaushik 2006;
    Bayardo, Ma and Srikant 2007). The work is capped; queries are taken in random order, so those searched are a fair
    sample.

    Parameters
    ----------
    queries, corpus : sequence of str
        Normalised texts: words separated by single blanks.
    threshold : float
        In (0, 1].
    seed : int
        Order in which queries are searched.

    Returns
    -------
    NearMatches
    """
    every = np.arange(len(queries) + len(corpus))
    pairs = WordPairs.of(pa.array([*queries, *corpus], pa.large_string()))
    return near_among(pairs, every[: len(queries)], every[len(queries) :], threshold=threshold, seed=seed)


def near_among(
    pairs: WordPairs, queries: np.ndarray, corpus: np.ndarray, *, threshold: float = NEAR_JACCARD, seed: int = 0
) -> NearMatches:
    """Do as `near_matches` with texts whose pairs are numbered already: queries and corpus are positions among them."""
    n_queries, n_corpus = len(queries), len(corpus)
    position = np.full(n_queries, -1, dtype=np.int64)
    similarity = np.zeros(n_queries)
    searched = np.zeros(n_queries, dtype=bool)
    if not n_queries or not n_corpus:
        return NearMatches(position, similarity, np.ones(n_queries, dtype=bool))
    matrix = pairs.matrix(np.concatenate([queries, corpus]))
    sizes = np.diff(matrix.indptr)
    prefix = _rarest_first_prefix(matrix, sizes, threshold)
    # Of two sets at the threshold, no more members stand in one of them alone than this share of both their sizes.
    marks, unlike = _marks(matrix), (1.0 - threshold) / (1.0 + threshold)
    ask, answer = prefix[:n_queries], prefix[n_queries:].tocsc()
    postings = np.diff(answer.indptr)
    work = np.asarray(ask @ postings).ravel().astype(np.int64)
    order = np.random.default_rng(seed).permutation(n_queries)
    affordable = order[np.cumsum(work[order]) <= _POSTINGS_IN_ALL]
    searched[affordable] = True
    group = np.cumsum(work[affordable]) // _POSTINGS_AT_ONCE
    for chunk in np.split(affordable, np.flatnonzero(np.diff(group)) + 1):
        asked = ask[chunk]
        entry = np.repeat(np.arange(len(chunk)), np.diff(asked.indptr))
        starts, counts = answer.indptr[asked.indices], postings[asked.indices]
        total = int(counts.sum())
        if not total:
            continue
        offsets = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
        query = chunk[np.repeat(entry, counts)].astype(np.int64)
        match = answer.indices[np.repeat(starts, counts) + offsets].astype(np.int64)
        own, other = sizes[query], sizes[n_queries + match]
        may = np.minimum(own, other) >= threshold * np.maximum(own, other)
        may &= np.bitwise_count(marks[query] ^ marks[n_queries + match]) <= unlike * (own + other) + 1e-6
        query, match = np.divmod(sorted_distinct(query[may] * n_corpus + match[may]), n_corpus)
        common = np.asarray(matrix[query].multiply(matrix[n_queries + match]).sum(axis=1)).ravel()
        jaccard = common / (sizes[query] + sizes[n_queries + match] - common)
        close = np.flatnonzero(jaccard >= threshold - 1e-12)
        # Ascending, so that the most similar match (the first of equals) is written last.
        close = close[np.lexsort((-match[close], jaccard[close]))]
        position[query[close]], similarity[query[close]] = match[close], jaccard[close]
    return NearMatches(position, similarity, searched)


def _marks(matrix: sparse.csr_matrix) -> np.ndarray:
    """Set for each row the bits, of 64, that its members are dealt: a bit that one of two rows has alone is a member.

    So most rows that are not alike are told apart by one number each (a bitmap filter: Sandes, Teodoro and Melo 2020).
    """
    dealt = (matrix.indices.astype(np.uint64) * _MIX) >> np.uint64(58)
    marks: np.ndarray = np.bitwise_or.reduceat(np.uint64(1) << dealt, matrix.indptr[:-1])
    return marks


def _rarest_first_prefix(matrix: sparse.csr_matrix, sizes: np.ndarray, threshold: float) -> sparse.csr_matrix:
    """Keep of each row only the rarest members that a pair at the threshold must share."""
    columns = matrix.shape[1]
    by_frequency = np.argsort(np.bincount(matrix.indices, minlength=columns), kind="stable")
    rank = np.empty(columns, dtype=np.int64)
    rank[by_frequency] = np.arange(columns)
    length = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1
    kept = []
    for start in range(0, matrix.shape[0], _ROWS_AT_ONCE):
        part, own = matrix[start : start + _ROWS_AT_ONCE], sizes[start : start + _ROWS_AT_ONCE]
        rows = np.repeat(np.arange(part.shape[0]), own)
        # One number for row and rank, all of them distinct: sorting numbers is many times faster than ordering pairs.
        ranked = np.sort(rows * columns + rank[part.indices]) - rows * columns
        place = np.arange(len(rows)) - np.repeat(part.indptr[:-1], own)
        kept.append(by_frequency[ranked[place < length[start : start + _ROWS_AT_ONCE][rows]]])
    members = np.concatenate(kept)
    ends = np.concatenate([[0], np.cumsum(np.minimum(length, sizes))])
    return sparse.csr_matrix((np.ones(len(members), dtype=np.int64), members, ends), shape=matrix.shape)
