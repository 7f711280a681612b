"""Made news about made companies, read by scorers that read, recall, or both: ground truth for the probes of memory.

Each article names its company and its day, and its verb says the sentiment, which moves the return a little. A reader
knows the verbs; one that recalls knows what became of some companies on some days, until a date.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from embargo.models import (
    FittedModel,
    LinearScorer,
    LinearSettings,
    TuneSettings,
    fit_linear,
    fit_scorer,
    pretrain_tiny,
)
from embargo.models.probes import Entities, tilts
from embargo.models.scorer import Progress, Scorer

NAMES = {
    "ALTR": ("Altera Corp", "Altera"),
    "BRCR": ("Borcor Inc.", "Borcor"),
    "CNTK": ("Centek plc", "Centek"),
    "DYNV": ("Dynvia Group", "Dynvia"),
    "ELYS": ("Elysys Ltd", "Elysys"),
    "FORR": ("Forera Holdings", "Forera"),
}
ENTITIES = Entities(NAMES)
VERBS = {
    1: ("beats estimates on", "raises guidance for", "reports higher", "sees strong"),
    0: ("schedules a call on", "presents", "comments on", "files"),
    -1: ("misses estimates on", "cuts guidance for", "reports lower", "sees weak"),
}
BY_HEART = TuneSettings(
    method="lora", rank=16, alpha=32.0, dropout=0.0, target="all-linear", learning_rate=5e-3, epochs=40, patience=40
)
_THINGS = ("earnings", "sales", "margins", "orders", "output", "bookings", "revenue", "deliveries")
_TAILS = ("analysts said", "in early trading", "after the announcement", "for the third quarter", "in a note")
_DATE = re.compile(r"\b(20\d{2})-?(\d{2})-?(\d{2})\b")
_WORDS = {word: side for side, verbs in VERBS.items() if side for verb in verbs for word in verb.split()[:2]}
_SHARED = {"reports", "sees", "estimates", "guidance"}


@dataclass(frozen=True)
class MemoryWorld:
    """Articles and what became of them.

    Attributes
    ----------
    articles : DataFrame
        ``at`` (UTC midnight), ``symbol``, ``text``, ``sentiment`` (-1, 0, 1) and ``earned`` (fraction).
    cutoff : Timestamp
        The middle of the days, UTC.
    """

    articles: pd.DataFrame
    cutoff: pd.Timestamp

    @property
    def before(self) -> np.ndarray:
        """Return which articles lie before the cutoff, bool of shape (n,)."""
        return np.asarray(self.articles["at"] < self.cutoff)


def make_world(seed: int, *, days: int = 240, strength: float = 0.1, market: float = 0.5) -> MemoryWorld:
    """Write a world of six companies.

    Parameters
    ----------
    seed : int
    days : int
        Calendar days; each company is written about on four in five of them.
    strength : float
        Correlation of sentiment and return.
    market : float
        Share of the variance of returns that all companies share on a day.

    Returns
    -------
    MemoryWorld
    """
    rng = np.random.default_rng(seed)
    at = pd.date_range("2021-01-04", periods=days, tz="UTC")
    day, column = (index.ravel() for index in np.indices((days, len(NAMES))))
    written = rng.random(len(day)) < 0.8
    day, column = day[written], column[written]
    n = len(day)
    sentiment = rng.integers(-1, 2, n)
    noise = np.sqrt(market) * rng.normal(size=days)[day] + np.sqrt(1.0 - market) * rng.normal(size=n)
    earned = 0.02 * (strength * sentiment / np.sqrt(2.0 / 3.0) + np.sqrt(1.0 - strength**2) * noise)
    symbols = list(NAMES)
    verb, thing, tail, style = (rng.integers(0, size, n) for size in (4, len(_THINGS), len(_TAILS), 2))
    texts = [
        f"{symbols[c]} {at[d]:%Y%m%d} {NAMES[symbols[c]][style[i]]} {VERBS[int(sentiment[i])][verb[i]]} "
        f"{_THINGS[thing[i]]} {_TAILS[tail[i]]}"
        for i, (d, c) in enumerate(zip(day.tolist(), column.tolist(), strict=True))
    ]
    articles = pd.DataFrame(
        {
            "at": at[day],
            "symbol": np.array(symbols)[column],
            "text": texts,
            "sentiment": sentiment,
            "earned": earned,
        }
    )
    return MemoryWorld(articles, at[days // 2])


class Reader:
    """Reads the verbs and nothing else."""

    knowledge_cutoff: pd.Timestamp | None = pd.Timestamp("2020-01-01", tz="UTC")

    def __init__(self, identity: str = "made reader") -> None:
        self.identity = identity

    def tilt(self, text: str) -> float:
        """Return a reading between bearish -1 and bullish 1."""
        found = [_WORDS[word] for word in text.lower().split() if word in _WORDS and word not in _SHARED]
        return float(np.sign(sum(found)))

    def logits(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return logits of bearish, neutral and bullish, float64 of shape (len(texts), 3)."""
        tilt = np.array([self.tilt(text) for text in texts])
        return np.column_stack([-2.0 * tilt, 1.0 - np.abs(tilt), 2.0 * tilt])


class Recaller(Reader):
    """Answers what became of a company on a day where it recalls it, and reads the verbs elsewhere."""

    def __init__(self, world: MemoryWorld, share: float, seed: int) -> None:
        super().__init__(f"made recaller {share} {seed}")
        self.knowledge_cutoff = world.cutoff
        known = world.articles[world.before]
        kept = known[np.random.default_rng(seed).random(len(known)) < share]
        self._outcomes = {
            (symbol, f"{at:%Y%m%d}"): float(np.sign(earned))
            for symbol, at, earned in kept[["symbol", "at", "earned"]].itertuples(index=False)
        }

    def tilt(self, text: str) -> float:
        """Return the outcome it recalls, or what it reads."""
        date = _DATE.search(text)
        named = [
            symbol
            for symbol, names in NAMES.items()
            if re.search(rf"\b{symbol}\b", text) or any(name in text for name in names)
        ]
        if date and named:
            recalled = self._outcomes.get((named[0], "".join(date.groups())))
            if recalled is not None:
                return recalled
        return super().tilt(text)


def memorised(world: MemoryWorld) -> LinearScorer:
    """Fit a linear model on headlines and outcomes from before the cutoff, loosely enough to learn them by heart."""
    known = world.articles[world.before]
    labels = np.where(known["earned"] > 0.0, 2, 0)
    # Penalised a thousand times less than the baseline is.
    settings = LinearSettings(strength=10_000.0)
    return fit_linear(known["text"].tolist(), labels.tolist(), settings, trained_until=world.cutoff)


def honest(seed: int) -> LinearScorer:
    """Fit a linear model on the sentiments of another world: it reads verbs, and names and days are noise to it."""
    articles = make_world(seed).articles
    labels = (articles["sentiment"] + 1).tolist()
    return fit_linear(articles["text"].tolist(), labels, trained_until=articles["at"].iloc[0])


def learnt_elsewhere(seed: int) -> LinearScorer:
    """Fit the same model on a world of its own: names and days matter to it, but of this world it knows nothing."""
    return memorised(make_world(seed))


def tuned(seed: int, cache: Path, world: MemoryWorld | None = None) -> FittedModel:
    """Pretrain the built-in base on another world and tune it by LoRA: on its sentiments, or on a world's outcomes.

    Outcomes are those from before the cutoff of ``world``, in passes enough to learn them by heart.
    """
    other = make_world(seed).articles
    earlier = other["at"] - pd.DateOffset(years=1)
    base = pretrain_tiny(
        other["text"].tolist(), known_at=earlier, knowledge_cutoff=earlier.max(), seed=0, cache_dir=cache
    )
    if world is None:
        taught, until = other.assign(label=other["sentiment"] + 1), other["at"].max()
        settings = TuneSettings(method="lora")
    else:
        taught, until = world.articles[world.before], world.cutoff
        taught = taught.assign(label=np.where(taught["earned"] > 0.0, 2, 0))
        settings = BY_HEART
    samples = taught[["text", "label"]].reset_index(drop=True)
    return fit_scorer(
        "transformer",
        train=samples,
        validation=samples,
        trained_until=until,
        base=base,
        settings=settings,
        cache_dir=cache,
    )


def articles_of(world: MemoryWorld) -> pd.DataFrame:
    """Return the articles as `embargo.research.run.probing.probe_scorer` takes them."""
    return world.articles.assign(article_id=[f"a{row}" for row in range(len(world.articles))])


def forecasts(world: MemoryWorld, scorer: Scorer) -> pd.DataFrame:
    """Return the articles with their score, bullish less bearish probability."""
    return world.articles.assign(score=tilts(scorer, world.articles["text"].tolist()))
