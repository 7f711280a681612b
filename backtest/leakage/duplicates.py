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
from embargo.backtest.leakage.word_pairs import WordPairs, near_among
from embargo.data_loaders.checks.repeats import normalise_text, normalised
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import as_utc

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
_SHOWN_CHARACTERS = 160


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
    read = ReadTexts.of([train_texts, test_texts])
    return judge_copies(read, (0, train_known_at), (1, test_known_at), allowed=allowed, seed=seed)


def judge_copies(
    read: ReadTexts,
    train: tuple[int, pd.Series],
    test: tuple[int, pd.Series],
    *,
    allowed: float | None = None,
    seed: int = 0,
) -> Finding:
    """Do as `check_duplicates` with two of the series of texts that were read, each with when its texts were known."""
    if allowed is not None and not 0.0 <= allowed < 1.0:
        raise ConfigError(f"duplicates: allowed must lie in [0, 1), got {allowed}.")
    return _judged(read, _known(read, *train, "training"), _known(read, *test, "test"), allowed, seed)


def _judged(read: ReadTexts, train: _Texts, test: _Texts, allowed: float | None, seed: int) -> Finding:
    if train.rows.empty or test.rows.empty:
        return Finding(
            "D5",
            "not-applicable",
            _TITLE,
            f"{len(train.rows)} training and {len(test.rows)} test texts of at least {MIN_TOKENS} words leave "
            "nothing to compare.",
        )
    found = _copies(read, test.distinct, train.distinct, seed)
    share = found.share
    if allowed is not None:
        habit = _Habit(allowed, 0.0, 0.0, f"{allowed:.2%} are allowed")
    else:
        habit = _habit(read, train.rows, found, len(test.rows), seed)
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


@dataclass(frozen=True, eq=False)
class ReadTexts:
    """Several series of texts, each distinct text of which is read once, however many of them hold it.

    Attributes
    ----------
    numbers : tuple of ndarray of int32
        Which distinct text each of a series is, series by series.
    distinct : LargeStringArray
        The texts as they were given.
    key : ndarray of int64, shape (distinct,)
        Number of each normalised text.
    compared : ndarray of bool, shape (distinct,)
        Whether a text is long enough.
    pairs : WordPairs
        Of the normalised texts, by ``key``.
    """

    numbers: tuple[np.ndarray, ...]
    distinct: pa.LargeStringArray
    key: np.ndarray
    compared: np.ndarray
    pairs: WordPairs

    @classmethod
    def of(cls, series: Sequence[Sequence[str] | pd.Series]) -> ReadTexts:
        """Read texts without missing values; those of a Series of str are not copied."""
        given = [_strings(texts) for texts in series]
        coded = pa.chunked_array([chunk for texts in given for chunk in texts.chunks], pa.large_string())
        chunks = coded.dictionary_encode().chunks
        distinct = chunks[-1].dictionary if chunks else pa.array([], pa.large_string())
        every = np.concatenate([np.zeros(0, dtype=np.int32), *(chunk.indices.to_numpy() for chunk in chunks)])
        numbers = np.split(every, np.cumsum([len(texts) for texts in given])[:-1])
        words = normalised(pd.Series(distinct, dtype="str")).dictionary_encode()
        compared = np.asarray(pc.count_substring(words.dictionary, " ")) + 1 >= MIN_TOKENS
        key = words.indices.to_numpy().astype(np.int64)
        return cls(tuple(numbers), distinct, key, compared[key], WordPairs.of(words.dictionary))

    def texts(self, numbers: np.ndarray) -> np.ndarray:
        """Return distinct texts by their numbers, shape as given."""
        taken: np.ndarray = self.distinct.take(pa.array(numbers)).to_numpy(zero_copy_only=False)
        return taken.astype(object)


def _strings(texts: Sequence[str] | pd.Series) -> pa.ChunkedArray:
    array = pa.array(texts, pa.large_string())
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


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


def _known(read: ReadTexts, series: int, known_at: pd.Series, what: str) -> _Texts:
    number = read.numbers[series]
    if len(number) != len(known_at):
        raise DataError(
            f"duplicates: {len(number)} {what} texts but {len(known_at)} instants. Give one instant per text."
        )
    instants = utc_array(as_utc(pd.Series(known_at), what=f"duplicates, {what} known_at"))
    keep = read.compared[number]
    rows = pd.DataFrame({"number": number[keep], "key": read.key[number[keep]], "known_at": instants[keep]})
    return _Texts(rows.sort_values("known_at", kind="stable", ignore_index=True), int((~keep).sum()))


def _copies(read: ReadTexts, test: pd.DataFrame, train: pd.DataFrame, seed: int) -> _Copies:
    own, learnt = test["key"].to_numpy(), train["key"].to_numpy()
    place = pd.Index(learnt).get_indexer(pd.Index(own))
    similarity = np.where(place >= 0, 1.0, 0.0)
    exact = int((place >= 0).sum())
    rest = np.flatnonzero(place < 0)
    near = near_among(read.pairs, own[rest], learnt, seed=seed)
    place[rest], similarity[rest] = near.position, near.similarity
    hit = np.flatnonzero(place >= 0)
    pairs = pd.DataFrame(
        {
            "test_text": read.texts(test["number"].to_numpy()[hit]),
            "test_known_at": test["known_at"].to_numpy()[hit],
            "train_text": read.texts(train["number"].to_numpy()[place[hit]]),
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


def _habit(read: ReadTexts, train: pd.DataFrame, found: _Copies, n_test: int, seed: int) -> _Habit:
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
        blocks.append(_copies(read, block, before, seed))
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
