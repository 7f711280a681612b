"""Copies of training texts in the test: exact after normalisation, and near copies by shared word pairs.

A source that always repeats itself is no leak. Copies beyond its own habit are, and so is a test text that training
knows only from a later copy.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse
from scipy.special import betainc, gammainc

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import (
    EVIDENCE_ROWS,
    AuditVerdict,
    Finding,
    plain,
    require_columns,
    share_interval,
    utc_array,
)
from embargo.data_loaders.checks.near_duplicates import sorted_distinct
from embargo.data_loaders.checks.repeats import normalise_text, normalised
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import as_utc

NEAR_JACCARD = 0.7
MIN_TOKENS = 4
LEAK_EXCESS = 0.02
SUSPICIOUS_EXCESS = 0.005
MIN_REFERENCE = 100
REFERENCE_BLOCKS = 3
LEAK_TAIL = 1e-6
# An earlier form of the rule, without the Poisson rate and the blocks of 100, doubted 0.2 % of clean splits at most
# (200,000 draws at each of 54 sizes and rates).
SUSPICIOUS_TAIL = 0.003

_TITLE = CHECKS["check_duplicates"].title
_POSTINGS_AT_ONCE = 500_000
_POSTINGS_IN_ALL = 2_000_000
_ROWS_AT_ONCE = 50_000
_SHOWN_CHARACTERS = 160


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


def article_keys(frame: pd.DataFrame) -> list[str]:
    """Hash every article by its normalised text and the instant it was known, for manifests of training sets.

    Parameters
    ----------
    frame : DataFrame
        ``text`` and ``known_at`` (UTC).

    Returns
    -------
    list of str
        SHA-256 in hexadecimal, one per row. The same phrase at another time has another key.

    Raises
    ------
    DataError
        If a column is missing or an instant is naive.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import article_keys
    >>> known_at = pd.to_datetime(['2024-01-01', '2024-01-01'], utc=True)
    >>> news = pd.DataFrame({'text': ['Profit up!', 'profit  UP'], 'known_at': known_at})
    >>> first, second = article_keys(news)
    >>> first == second, first[:12]
    (True, '619a335420e2')
    """
    require_columns(frame, ("text", "known_at"), where="articles")
    known_at = as_utc(frame["known_at"], what="articles, column known_at")
    return [
        hashlib.sha256(f"{instant.isoformat()}\n{normalise_text(str(text))}".encode()).hexdigest()
        for text, instant in zip(frame["text"], known_at, strict=True)
    ]


def check_duplicates(
    train_texts: Sequence[str] | pd.Series,
    train_known_at: pd.Series,
    test_texts: Sequence[str] | pd.Series,
    test_known_at: pd.Series,
    *,
    allowed: float | None = None,
    seed: int = 0,
) -> Finding:
    """Look for test texts that copy training texts, word for word or nearly (D5).

    Texts are compared after normalisation (case, punctuation, links, handles); near copies share 70 % (Jaccard) of
    their pairs of neighbouring words. Shares are of distinct texts of at least four words. Without ``allowed``, the
    source's own habit is the yardstick: the largest share at which the latest blocks of training repeat what came
    before them. A leak is an excess of more than 2 points (and 3 standard errors) that chance brings about less than
    once in a million, or any test text that training holds word for word only from *later* than the test article;
    suspicious is an excess of more than half a point (and 2 standard errors) of less than 0.3 %. Chance is that of a
    binomial count, given all copies in test and blocks; near ones grow with the texts that they are sought among.

    Where training is too small for such blocks, copies word for word are held against how often training repeats
    itself, by the same rule; near copies, or fewer exact ones, are then inconclusive.

    Silent on: copies reworded beyond 70 %, translations, texts of fewer than four words (counted).

    Parameters
    ----------
    train_texts : sequence of str, shape (n,)
        Texts whose labels the model learned from.
    train_known_at : Series, shape (n,)
        When they were known (UTC).
    test_texts : sequence of str, shape (m,)
        Texts it is tested on.
    test_known_at : Series, shape (m,)
        When those were known (UTC).
    allowed : float, optional
        Share of test texts in [0, 1) that may be copies; any more is a leak.
    seed : int
        Picks the test texts searched for near copies where the work has to be capped.

    Returns
    -------
    Finding
        Code ``D5``; ``effect`` is the share of distinct test texts that copy a training text.

    Raises
    ------
    DataError
        If lengths differ or instants are naive.
    ConfigError
        If ``allowed`` is outside [0, 1).

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_duplicates
    >>> early, late = (pd.Series(pd.to_datetime([day], utc=True)) for day in ('2024-01-01', '2024-06-01'))
    >>> text = 'Acme raises its outlook for the year'
    >>> check_duplicates([text], early, [text], late).verdict
    'inconclusive'
    >>> check_duplicates([text], early, [text], late, allowed=0.0).verdict
    'leak'
    """
    if allowed is not None and not 0.0 <= allowed < 1.0:
        raise ConfigError(f"duplicates: allowed must lie in [0, 1), got {allowed}.")
    train = _read(train_texts, train_known_at, "training")
    test = _read(test_texts, test_known_at, "test")
    if train.rows.empty or test.rows.empty:
        return Finding(
            "D5",
            "not-applicable",
            _TITLE,
            f"{len(train.rows)} training and {len(test.rows)} test texts of at least {MIN_TOKENS} words leave "
            "nothing to compare.",
        )
    found = _copies(test.distinct, train.distinct, seed)
    share = found.share
    if allowed is not None:
        habit = _Habit(allowed, 0.0, 0.0, f"{allowed:.2%} are allowed")
    else:
        habit = _habit(train.rows, found, len(test.rows), seed)
    exact = found.pairs["similarity"] == 1.0
    from_later = found.pairs[exact & (found.pairs["train_known_at"] > found.pairs["test_known_at"])]

    said = (
        f"{found.exact} of {found.texts} distinct test texts equal a training text and {found.near} more nearly do "
        f"(together {share:.2%}; {habit.said})."
    )
    if found.searched < found.sought:
        said += f" Near copies were sought for {found.searched} of {found.sought} texts, drawn at random."
    if train.short + test.short:
        said += f" {train.short + test.short} texts of fewer than {MIN_TOKENS} words were left out."
    if len(from_later):
        detail = f"{len(from_later)} test texts have training copies only from later than themselves. {said}"
        return _finding("leak", detail, from_later, share, found.texts)
    if allowed is not None:
        verdict: AuditVerdict = "leak" if share > allowed else "pass"
    elif habit.measured:
        verdict = _judge(share, habit)
    else:
        verdict = _judge(found.exact / found.texts, habit)
        if verdict == "pass" and share > SUSPICIOUS_EXCESS:
            verdict = "inconclusive"
    return _finding(verdict, said, found.pairs, share, found.texts)


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
    n_queries, n_corpus = len(queries), len(corpus)
    position = np.full(n_queries, -1, dtype=np.int64)
    similarity = np.zeros(n_queries)
    searched = np.zeros(n_queries, dtype=bool)
    if not n_queries or not n_corpus:
        return NearMatches(position, similarity, np.ones(n_queries, dtype=bool))
    matrix = _shingles([*queries, *corpus])
    sizes = np.diff(matrix.indptr)
    prefix = _rarest_first_prefix(matrix, sizes, threshold)
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
        small = np.minimum(sizes[query], sizes[n_queries + match])
        near_size = small >= threshold * np.maximum(sizes[query], sizes[n_queries + match])
        query, match = np.divmod(sorted_distinct(query[near_size] * n_corpus + match[near_size]), n_corpus)
        common = np.asarray(matrix[query].multiply(matrix[n_queries + match]).sum(axis=1)).ravel()
        jaccard = common / (sizes[query] + sizes[n_queries + match] - common)
        close = np.flatnonzero(jaccard >= threshold - 1e-12)
        # Ascending, so that the most similar match (the first of equals) is written last.
        close = close[np.lexsort((-match[close], jaccard[close]))]
        position[query[close]], similarity[query[close]] = match[close], jaccard[close]
    return NearMatches(position, similarity, searched)


@dataclass(frozen=True)
class _Texts:
    """Texts long enough to compare, in the order they were known, and how many were too short."""

    rows: pd.DataFrame
    short: int

    @property
    def distinct(self) -> pd.DataFrame:
        return self.rows.drop_duplicates("key")


@dataclass(frozen=True)
class _Copies:
    pairs: pd.DataFrame
    texts: int
    exact: int
    near: int
    sought: int
    searched: int
    share: float

    @property
    def fair(self) -> float:
        """Texts that the copies found stand for, where not all were searched."""
        copies = self.exact + self.near
        if copies:
            return copies / self.share
        return self.texts * self.searched / self.sought if self.sought else float(self.texts)


def _read(texts: Sequence[str] | pd.Series, known_at: pd.Series, what: str) -> _Texts:
    if len(texts) != len(known_at):
        raise DataError(
            f"duplicates: {len(texts)} {what} texts but {len(known_at)} instants. Give one instant per text."
        )
    frame = pd.DataFrame(
        {
            "text": np.asarray(texts, dtype=object),
            "known_at": utc_array(as_utc(pd.Series(known_at), what=f"duplicates, {what} known_at")),
        }
    )
    codes, raw = pd.factorize(texts if isinstance(texts, pd.Series) else frame["text"])
    plain = normalised(pd.Series(raw, dtype="str"))
    plain_texts = plain.to_numpy(zero_copy_only=False).astype(object)
    long_enough = np.asarray(pc.count_substring(plain, " ")) + 1 >= MIN_TOKENS
    frame["key"] = plain_texts[codes] if len(plain_texts) else []
    keep = long_enough[codes] if len(plain_texts) else np.zeros(0, dtype=bool)
    return _Texts(frame.loc[keep].sort_values("known_at", kind="stable", ignore_index=True), int((~keep).sum()))


def _copies(test: pd.DataFrame, train: pd.DataFrame, seed: int) -> _Copies:
    place = pd.Index(train["key"]).get_indexer(pd.Index(test["key"]))
    similarity = np.where(place >= 0, 1.0, 0.0)
    exact = int((place >= 0).sum())
    rest = np.flatnonzero(place < 0)
    near = near_matches(test["key"].iloc[rest].tolist(), train["key"].tolist(), seed=seed)
    place[rest], similarity[rest] = near.position, near.similarity
    hit = np.flatnonzero(place >= 0)
    pairs = pd.DataFrame(
        {
            "test_text": test["text"].to_numpy()[hit],
            "test_known_at": test["known_at"].to_numpy()[hit],
            "train_text": train["text"].to_numpy()[place[hit]],
            "train_known_at": train["known_at"].to_numpy()[place[hit]],
            "similarity": similarity[hit],
        }
    )
    n_near, searched = len(hit) - exact, int(near.searched.sum())
    scaled = n_near * len(rest) / searched if searched else 0.0
    return _Copies(pairs, len(test), exact, n_near, len(rest), searched, (exact + scaled) / len(test))


@dataclass(frozen=True)
class _Habit:
    """What a source does by itself: share of copies, standard error of the excess over it, and chance of so many.

    Where the habit was not ``measured``, all this is of copies word for word.
    """

    share: float
    error: float
    tail: float
    said: str
    measured: bool = True


def _judge(share: float, habit: _Habit) -> AuditVerdict:
    excess = share - habit.share
    if excess > max(LEAK_EXCESS, 3.0 * habit.error) and habit.tail < LEAK_TAIL:
        return "leak"
    if excess > max(SUSPICIOUS_EXCESS, 2.0 * habit.error) and habit.tail < SUSPICIOUS_TAIL:
        return "suspicious"
    return "pass"


def _habit(train: pd.DataFrame, found: _Copies, n_test: int, seed: int) -> _Habit:
    """Measure the source's habit by the latest blocks of training, no shorter than the test, half of it at most.

    Where such blocks would be too short to say anything, copies word for word within all of training are counted.
    """
    size = min(max(n_test, MIN_REFERENCE), len(train) // 4)
    corpus = train["key"].nunique()
    if size < MIN_REFERENCE:
        repeats = len(train) - corpus
        # Each training text can repeat those before it alone, so half of all pairs.
        of_pairs = _part(found.texts * corpus, len(train) * (len(train) - 1) / 2)
        chance = _tail(found.exact, repeats, of_pairs)
        said = f"{len(train)} training texts are too few to show the source's habit"
        return _Habit(
            repeats / len(train), _error(found.exact, found.texts, repeats, len(train)), chance, said, measured=False
        )
    blocks, pairs, texts = [], 0.0, 0.0
    for back in range(min(REFERENCE_BLOCKS, len(train) // (2 * size))):
        cut, end = len(train) - (back + 1) * size, len(train) - back * size
        block, before = train.iloc[cut:end].drop_duplicates("key"), train.iloc[:cut].drop_duplicates("key")
        blocks.append(_copies(block, before, seed))
        texts += blocks[-1].fair
        pairs += blocks[-1].fair * len(before)
    most = max(blocks, key=lambda block: block.share)
    exact, near = (sum(getattr(block, kind) for block in blocks) for kind in ("exact", "near"))
    # A text resembles others by chance in proportion to their number, of which the blocks have fewer; what a source
    # sends again it sends at a rate. Copies of the two kinds together are no further apart than at their mean chance.
    count, of_texts, of_pairs = found.exact + found.near, _part(found.fair, texts), _part(found.fair * corpus, pairs)
    alike = (found.near + near) / max(count + exact + near, 1)
    chance = _tail(count, exact + near, alike * of_pairs + (1.0 - alike) * of_texts)
    return _Habit(
        most.share,
        _error(found.share * found.texts, found.texts, most.share * most.texts, most.texts),
        chance,
        f"training's own latest texts repeat earlier ones at up to {most.share:.2%}",
    )


def _error(count: float, n: int, other: float, m: int) -> float:
    """Return the standard error of the difference of two shares, if they are one."""
    pooled = (count + other) / (n + m)
    return math.sqrt(max(pooled * (1.0 - pooled), 0.0) * (1.0 / n + 1.0 / m))


def _part(here: float, there: float) -> float:
    return here / (here + there) if here else 0.0


def _tail(count: int, other: int, part: float) -> float:
    """Return the chance that so many of all copies, or more, fall on the first side (binomial, given their sum).

    Of copies that are chance, a ``part`` is expected there. Where the other side has none, their sum says little of the
    rate: it is the chance of both (Poisson) at that rate at which it is largest.
    """
    if not count or part >= 1.0:
        return 1.0
    if not other:
        expected = np.linspace(0.0, 3.0 * count + 10.0, 2_001)
        return float((gammainc(count, expected) * np.exp(-expected * (1.0 - part) / part)).max())
    return float(betainc(count, other + 1, part))


def _finding(verdict: AuditVerdict, detail: str, pairs: pd.DataFrame, share: float, n: int) -> Finding:
    read = f"Read the copies shown, or train on {4 * MIN_REFERENCE} texts or more, which show the source's habit."
    remedies = {"pass": "", "inconclusive": read}
    worst = pairs.sort_values("similarity", ascending=False, kind="stable").head(EVIDENCE_ROWS)
    evidence = [
        {
            str(key): plain(value[:_SHOWN_CHARACTERS] if isinstance(value, str) else _utc(value))
            for key, value in pair.items()
        }
        for pair in worst.to_dict("records")
    ]
    return Finding(
        "D5",
        verdict,
        _TITLE,
        detail,
        evidence,
        share,
        "share of distinct test texts",
        remedies.get(verdict, CHECKS["check_duplicates"].remedy),
        share_interval(share * n, n),
    )


def _utc(value: Any) -> Any:
    return value.tz_localize("UTC") if isinstance(value, pd.Timestamp) and value.tzinfo is None else value


def _shingles(texts: Sequence[str]) -> sparse.csr_matrix:
    """Binary matrix (texts, distinct word pairs); the pairs include one at either end of the text."""
    # Split and numbered by arrow: a loop over words in Python took longer than all that is done with them.
    split = pc.split_pattern(pa.array(texts, pa.large_string()), " ")
    lengths = np.diff(split.offsets.to_numpy())
    numbers = split.flatten().dictionary_encode()
    words = len(numbers.dictionary) + 1
    flat = np.zeros(int(lengths.sum()) + len(lengths) + 1, dtype=np.int64)
    place = np.arange(int(lengths.sum())) + np.repeat(np.arange(1, len(lengths) + 1), lengths)
    flat[place] = numbers.indices.to_numpy().astype(np.int64) + 1
    # Millions of words take gigabytes, so that nothing is held longer than it is read.
    del split, numbers, place
    pairs = flat[:-1] * words + flat[1:]
    del flat
    codes, distinct = pd.factorize(pairs)
    del pairs
    ends = np.concatenate([[0], np.cumsum(lengths + 1)])
    shape = len(lengths), len(distinct)
    matrix = sparse.csr_matrix((np.ones(len(codes), dtype=np.int32), codes, ends), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


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
