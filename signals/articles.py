"""What each scored article says, how surely, and how much it counts: source, novelty and echoes of the price.

An article's weight depends on its own words and on articles known before it, never on later ones; with the default
settings every weight is 1. Nothing is dropped here: what is weighed down is counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import length_of
from embargo.data_loaders.checks.near_duplicates import DEFAULT_THRESHOLD, shingles
from embargo.data_loaders.checks.repeats import normalise_text
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.schemas import utc_microseconds

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Confidence = Literal["scored", "maximum", "margin", "entropy"]
Scope = Literal["symbol", "market"]

# Pairs of texts compared at once, which bounds memory.
_PAIRS, _ROWS = 4_000_000, 256

_AMOUNT = r"[+\-−]?\d[\d,]*(?:\.\d+)?\s?(?:%|percent\b|per cent\b|pct\b|points?\b|pts\b)"
# Price moves in the tenses headlines use; "up" and "down" stand for "is up".
_VERB = (
    r"\b(?:(?:jump|surg|soar|climb|gain|advanc|rall(?:y|i)|spik|popp?|rocket|ris|drop+|declin|slid|slip+|sink|tumbl|plung"
    r"|plummet|dip+|crash|slump|tank|los|shed|add|end|clos|trad|open|mov)(?:e|s|es|d|ed|ing)?"
    r"|rose|risen|fall(?:s|ing|en)?|fell|sank|sunk|lost|up|down|higher|lower)\b"
)
_NEAR = (
    r"(?:\W+(?:by|about|around|nearly|almost|over|more|than|as|much|another|some|roughly|up|down|higher|lower|at|a))"
    r"{0,4}"
)
_MOVE = (
    rf"{_VERB}{_NEAR}\W{{1,3}}{_AMOUNT}|{_AMOUNT}\W{{1,3}}(?:in\W+)?{_VERB}|(?:^|[\s(\[])[+\-−]\d[\d,]*(?:\.\d+)?\s?%"
)
# Words that announce a reason; "after hours", "as much as" and "on Friday" announce none.
_REASON = (
    r"\b(?:because|amid(?:st)?|following|despite|thanks to|due to|ahead of|driven by|boosted by|hit by|hurt by"
    r"|after(?!\W*hours)|as(?!\W+(?:of|much|high|low|many)\b)(?<!much as)(?<!high as)(?<!low as)"
    r"|on(?=\W+(?:strong|weak|news|report\w*|hopes?|fears?|concerns?|rumou?rs?|word|talk\w*|better|worse)))\b"
)
# What a firm did or what others said of it: news of its own, whatever the price did.
_EVENT = (
    r"\b(?:earnings|revenues?|sales|profits?|eps|margins?|income|guidance|forecasts?|outlook|estimates?|beats?|miss(?:es|ed)?"
    r"|results|dividends?|buybacks?|merger|acqui\w+|takeover|deal|bid|fda|approv\w+|trial|lawsuits?|sues?|sued|settle\w*"
    r"|recall\w*|layoffs?|ceo|cfo|appoint\w*|resign\w*|upgrad\w+|downgrad\w+|price target|initiat\w+|launch\w*|contract"
    r"|patent|probe|investigat\w+|subscribers|users|shipments|deliveries|orders|stake|ipo|offering|split)\b"
)
_LONGEST_ECHO = 30


@dataclass(frozen=True)
class ArticleSettings:
    """What an article's confidence is and what its weight depends on; the weights multiply.

    Attributes
    ----------
    confidence : {"scored", "maximum", "margin", "entropy"}
        ``scored``: the column ``confidence`` as it stands. Or made from the class probabilities: the largest, the
        largest less the second, or one less the entropy over its maximum.
    source_weights : mapping of source to weight
        Finite and not negative. Sources that are not named weigh 1; if any are named, the others are counted.
    novelty_floor : float
        Weight of a verbatim repeat, in [0, 1]; 1 switches novelty off. A text of similarity s to the nearest earlier
        one weighs ``floor + (1 - floor) * (1 - s)``.
    novelty_window : str
        How far behind an earlier article may lie, such as ``"7d"``.
    novelty_scope : {"symbol", "market"}
        Whether only articles about the same symbol make one old, or those about any; then one wording used for many
        firms counts as repeated.
    echo_weight : float
        Weight of an article that only reports a price move, in [0, 1]; 1 switches this off, 0 leaves such articles out.

    Examples
    --------
    >>> from embargo.signals import ArticleSettings
    >>> ArticleSettings(novelty_floor=0.2).novelty_window
    '7d'
    """

    confidence: Confidence = "scored"
    source_weights: Mapping[str, float] = field(default_factory=dict)
    novelty_floor: float = 1.0
    novelty_window: str = "7d"
    novelty_scope: Scope = "symbol"
    echo_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.confidence not in ("scored", "maximum", "margin", "entropy"):
            raise ConfigError(
                f"confidence must be 'scored', 'maximum', 'margin' or 'entropy', got {self.confidence!r}."
            )
        for source, weight in self.source_weights.items():
            if not (np.isfinite(weight) and weight >= 0.0):
                raise ConfigError(f"source_weights.{source} must be finite and not negative, got {weight}.")
        if not 0.0 <= self.novelty_floor <= 1.0:
            raise ConfigError(f"novelty_floor must lie in [0, 1], got {self.novelty_floor}. It weighs a repeat.")
        length_of(self.novelty_window)
        if self.novelty_scope not in ("symbol", "market"):
            raise ConfigError(f"novelty_scope must be 'symbol' or 'market', got {self.novelty_scope!r}.")
        if not 0.0 <= self.echo_weight <= 1.0:
            raise ConfigError(f"echo_weight must lie in [0, 1], got {self.echo_weight}. It weighs a mere price report.")


@dataclass(frozen=True)
class Opinions:
    """What `embargo.signals.aggregation.collect` needs to know of each article.

    Attributes
    ----------
    net : float array, shape (n,)
        Probability bullish minus probability bearish, in [-1, 1].
    confidence : float array, shape (n,)
        In [0, 1].
    weight : float array, shape (n,)
        Not negative; 1 under default settings.
    counts : dict
        Rows from an ``unlisted_source``, rows ``repeated`` (similarity of a near-duplicate or more) and ``price_echo``
        rows; only of what the settings ask for.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.signals import ArticleSettings, read_articles
    >>> scored = pd.DataFrame({'bearish': [0.1], 'neutral': [0.2], 'bullish': [0.7], 'confidence': [0.7]})
    >>> found = read_articles(scored, ArticleSettings())
    >>> found.net.round(2).tolist(), found.weight.tolist(), found.counts
    ([0.6], [1.0], {})
    """

    net: np.ndarray
    confidence: np.ndarray
    weight: np.ndarray
    counts: dict[str, int]


def net_sentiment(scored: pd.DataFrame) -> np.ndarray:
    """Probability bullish minus probability bearish, shape (n,), in [-1, 1]."""
    return np.asarray(scored["bullish"].to_numpy(dtype=float) - scored["bearish"].to_numpy(dtype=float))


def confidence_of(scored: pd.DataFrame, measure: Confidence) -> np.ndarray:
    """How sure the scores are; see `ArticleSettings`.

    Parameters
    ----------
    scored : DataFrame
        ``bearish, neutral, bullish``, or ``confidence`` for ``"scored"``.
    measure : {"scored", "maximum", "margin", "entropy"}

    Returns
    -------
    float array, shape (n,), in [0, 1]
        Even thirds have the margin 0 and the entropy measure 0, but a maximum of 1/3.
    """
    if measure == "scored":
        return np.asarray(scored["confidence"].to_numpy(dtype=float))
    values = scored[list(CLASSES)].to_numpy(dtype=float)
    if measure == "entropy":
        from scipy.special import entr  # loaded here because no other kind of confidence needs scipy

        return np.asarray(np.clip(1.0 - entr(values).sum(axis=1) / np.log(len(CLASSES)), 0.0, 1.0))
    ordered = np.sort(values, axis=1)
    return np.asarray(ordered[:, -1] if measure == "maximum" else ordered[:, -1] - ordered[:, -2])


def similarity_to_earlier(news: pd.DataFrame, *, window: pd.Timedelta, scope: Scope) -> np.ndarray:
    """Jaccard similarity of each article's adjacent word pairs to those of the nearest earlier article.

    Parameters
    ----------
    news : DataFrame, n rows
        ``article_id, symbol, text, known_at``; one row per article and symbol, in any order.
    window : Timedelta
        Only articles known at most this long before are compared.
    scope : {"symbol", "market"}
        Compare within a symbol, or with all articles; an article filed under several symbols is never its own repeat.

    Returns
    -------
    float array, shape (n,), in [0, 1]
        0 without an earlier article. Of articles known at the same instant the smaller id is the earlier. Texts are
        compared as ``normalise_text`` leaves them; one of no words (a link, an emoji) only repeats itself.
    """
    frame = pd.DataFrame(
        {
            "article_id": news["article_id"].to_numpy(dtype=object),
            "symbol": news["symbol"].to_numpy(dtype=object) if scope == "symbol" else "",
            "text": news["text"].to_numpy(dtype=object),
            "known_at": utc_microseconds(news["known_at"]).astype(np.int64),
        }
    )
    order = frame.sort_values(["symbol", "known_at", "article_id"], kind="stable")
    first = ~order.duplicated(["symbol", "article_id"])
    distinct = order[first.to_numpy()]
    similarity = np.zeros(len(distinct))
    if len(distinct):
        pairs, sizes = _word_pairs(distinct["text"])
        known_at = distinct["known_at"].to_numpy()
        length = int(window / pd.Timedelta(microseconds=1))
        begins = np.flatnonzero(~distinct["symbol"].duplicated().to_numpy())
        for start, stop in zip(begins, [*begins[1:], len(distinct)], strict=True):
            rows = slice(int(start), int(stop))
            similarity[rows] = _nearest(pairs[rows], sizes[rows], known_at[rows], length)
    # A row is looked up by symbol and article, so that further rows of one article share its figure.
    found = pd.Series(similarity, index=pd.MultiIndex.from_frame(distinct[["symbol", "article_id"]]))
    keys = pd.MultiIndex.from_frame(frame[["symbol", "article_id"]])
    return np.asarray(found.reindex(keys).to_numpy(dtype=float))


def _word_pairs(texts: pd.Series) -> tuple[csr_array, np.ndarray]:
    """Incidence of distinct word pairs in texts, shape (n, pairs), and how many each text has."""
    from scipy.sparse import csr_array  # loaded here because few strategies weigh news by novelty

    plain = [normalise_text(text) or "\0" + text.replace(" ", "\0") for text in texts]
    codes, distinct = pd.factorize(np.asarray(plain, dtype=object))
    hashes, offsets = shingles(distinct.tolist())
    names, columns = np.unique(hashes, return_inverse=True)
    ones = np.ones(len(columns), dtype=np.int32)
    incidence = csr_array((ones, columns, offsets), shape=(len(distinct), len(names)))
    return incidence[codes], np.diff(offsets)[codes]


def _nearest(pairs: csr_array, sizes: np.ndarray, known_at: np.ndarray, window: int) -> np.ndarray:
    """Similarity of each row to the nearest row before it, over rows sorted by the instant they were known."""
    nearest = np.zeros(len(sizes))
    oldest = np.searchsorted(known_at, known_at - window, side="left")
    start = 0
    while start < len(sizes):
        low = int(oldest[start])
        stop = min(len(sizes), start + max(1, min(_ROWS, _PAIRS // (start - low + _ROWS))))
        shared = (pairs[start:stop] @ pairs[low:stop].T).toarray()
        places = np.arange(low, stop)
        earlier = (places < np.arange(start, stop)[:, None]) & (places >= oldest[start:stop, None])
        union = sizes[start:stop, None] + sizes[low:stop] - shared
        nearest[start:stop] = np.where(earlier, shared / union, 0.0).max(axis=1)
        start = stop
    return nearest


def reports_move(texts: pd.Series) -> np.ndarray:
    """Mark texts that only tell how far a price has moved.

    A text is marked if it says so with a verb of movement next to a percentage or a number of points ("shares jump
    8 %", "closed down 120 points"), or with a signed percentage ("+3.4%"); gives no reason ("after", "amid", "as",
    "due to", "on strong ..."); names no event of its own (results, deals, ratings, approvals, people, ...); and has 30
    words at most. Silent on moves without a figure ("shares soar"), on events that are not in the list, and on
    languages other than English.

    Parameters
    ----------
    texts : Series of str, shape (n,)

    Returns
    -------
    bool array, shape (n,)
    """
    # Compiled here, since most who load this module ask for no echoes.
    figure, move, reason, event = (re.compile(each, re.IGNORECASE) for each in (_AMOUNT, _MOVE, _REASON, _EVENT))

    def is_echo(text: str) -> bool:
        return (
            # Most texts hold no such figure, and looking for one is ten times cheaper than looking for a move.
            figure.search(text) is not None
            and move.search(text) is not None
            and reason.search(text) is None
            and event.search(text) is None
            and len(text.split()) <= _LONGEST_ECHO
        )

    return np.fromiter((is_echo(text) for text in texts), dtype=bool, count=len(texts))


def read_articles(scored: pd.DataFrame, settings: ArticleSettings, *, history: pd.DataFrame | None = None) -> Opinions:
    """Turn scored articles into opinions with a confidence and a weight.

    Parameters
    ----------
    scored : DataFrame, n rows
        ``bearish, neutral, bullish, confidence``, NaN for an article without a score, which then weighs nothing and is
        counted as ``unscored``; ``source`` for source weights, ``text`` for echoes, and ``article_id,
        symbol, text, known_at`` for novelty.
    settings : ArticleSettings
    history : DataFrame, optional
        Further news with the columns for novelty, so that the first articles scored are compared with those before
        them; later news in it change nothing, and rows of ``scored`` may be among them.

    Returns
    -------
    Opinions
        Arrays of shape (n,).

    Raises
    ------
    DataError
        If a column that the settings need is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.signals import ArticleSettings, read_articles
    >>> scored = pd.DataFrame(
    ...     {
    ...         'bearish': [0.1, 0.7],
    ...         'neutral': [0.2, 0.2],
    ...         'bullish': [0.7, 0.1],
    ...         'confidence': [0.7, 0.7],
    ...         'text': ['Shares jump 8% on Monday', 'Firm cuts its outlook'],
    ...     }
    ... )
    >>> found = read_articles(scored, ArticleSettings(confidence='margin', echo_weight=0.25))
    >>> found.net.round(2).tolist(), found.confidence.round(2).tolist(), found.weight.tolist(), found.counts
    ([0.6, -0.6], [0.5, 0.5], [0.25, 1.0], {'price_echo': 1})
    """
    weight = np.ones(len(scored))
    counts: dict[str, int] = {}
    if settings.source_weights:
        _need(scored, ("source",), "source_weights")
        named = scored["source"].map(dict(settings.source_weights)).to_numpy(dtype=float)
        counts["unlisted_source"] = int(np.isnan(named).sum())
        weight *= np.where(np.isnan(named), 1.0, named)
    if settings.novelty_floor < 1.0:
        similarity = _similarity(scored, settings, history)
        counts["repeated"] = int((similarity >= DEFAULT_THRESHOLD).sum())
        weight *= settings.novelty_floor + (1.0 - settings.novelty_floor) * (1.0 - similarity)
    if settings.echo_weight < 1.0:
        _need(scored, ("text",), "echo_weight")
        echo = reports_move(scored["text"])
        counts["price_echo"] = int(echo.sum())
        weight *= np.where(echo, settings.echo_weight, 1.0)
    net, confidence = net_sentiment(scored), confidence_of(scored, settings.confidence)
    if (unscored := np.isnan(net)).any():
        counts["unscored"] = int(unscored.sum())
        net, confidence, weight = (np.where(unscored, 0.0, values) for values in (net, confidence, weight))
    return Opinions(net, confidence, weight, counts)


def _similarity(scored: pd.DataFrame, settings: ArticleSettings, history: pd.DataFrame | None) -> np.ndarray:
    columns = ["article_id", "symbol", "text", "known_at"]
    window = length_of(settings.novelty_window)
    _need(scored, tuple(columns), "novelty_floor")
    news = scored[columns]
    if history is not None and len(scored):
        _need(history, tuple(columns), "novelty_floor")
        near = history["known_at"].between(news["known_at"].min() - window, news["known_at"].max())
        news = pd.concat([news, history.loc[near, columns]], ignore_index=True)
        # What is scored counts as it stands there, whatever history says of the same article.
        repeated = news.duplicated(["article_id", "symbol"]).to_numpy(copy=True)
        repeated[: len(scored)] = False
        news = news[~repeated]
    return similarity_to_earlier(news, window=window, scope=settings.novelty_scope)[: len(scored)]


def _need(frame: pd.DataFrame, columns: tuple[str, ...], setting: str) -> None:
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise DataError(f"articles: {setting} needs the columns {missing}; there are {list(frame.columns)}.")
