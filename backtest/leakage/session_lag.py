"""Whether symbols move one session before the news of them, leg by leg: bars that are labelled a session early.

A day of an exchange has two legs, the session and the pause before the next one. Bars that carry the label of the bar
before put every move two legs ahead of its news: that of a session into the session before, that of a night into the
night before. Digests, previews and slow feeds put it elsewhere, into the leg next to the news or into its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from embargo.data_loaders.checks.reaction import Legs, legs_of
from embargo.data_loaders.schemas import Prices, as_utc, utc_microseconds

# Standard errors of the moves a session before, and by how much they exceed those of the legs between and of the news.
LOUD, LOUDER, EITHER_KIND = 4.0, 1.5, 1.5
ENOUGH_ARTICLES, ENOUGH_DAYS = 200, 60
USUAL_OVER, USUAL_FROM = 21, 8
LARGEST = 3.0
SESSION = 2


@dataclass(frozen=True)
class SessionLag:
    """How news go with moves, in standard errors; signed by what the news say where that is known.

    Attributes
    ----------
    articles : int
    before, between, own : float
        Of the leg one session before the news, of the leg after that, and of the leg in which the news came.
    kinds : (float, float)
        ``before``, of news of sessions and of news of the pauses.
    """

    articles: int
    before: float
    between: float
    own: float
    kinds: tuple[float, float]

    @property
    def early(self) -> bool:
        """Whether moves lie one session before the news, in both kinds of legs, and nowhere else as clearly."""
        return (
            self.before >= LOUD
            and self.before - max(self.between, self.own) >= LOUDER * np.sqrt(2.0)
            and min(self.kinds) >= EITHER_KIND
        )


def session_lag(news: pd.DataFrame, prices: Prices, told: pd.DataFrame | None = None) -> SessionLag | None:
    """Hold moves against news a session later (part of T2).

    Parameters
    ----------
    news : DataFrame
        ``published_at`` (UTC) and ``symbol``: how many there are, against how far symbols moved.
    prices : Prices
        Daily bars of an exchange.
    told : DataFrame, optional
        ``published_at, symbol`` and ``score``, signed: what articles said, against where symbols moved.

    Returns
    -------
    SessionLag or None
        None for fewer than 200 articles or 60 days of them, or bars that no pause parts.
    """
    at = as_utc(news["published_at"], what="news, column published_at")
    if len(at) < ENOUGH_ARTICLES:
        return None
    heard = [_of_counts(at, news["symbol"], legs_of(prices, at.min(), at.max()))]
    if told is not None and len(told) >= ENOUGH_ARTICLES:
        at = as_utc(told["published_at"], what="scored news, column published_at")
        legs = legs_of(prices, at.min(), at.max())
        heard.append(_of_scores(at, told["symbol"], told["score"].to_numpy(dtype=float), legs))
    each = [scores for scores in heard if scores is not None]
    if not each:
        return None
    together = np.sum(each, axis=0) / np.sqrt(len(each))
    before, between, own = together[0]
    return SessionLag(len(news), before, between, own, (together[1, 0], together[2, 0]))


def _of_counts(at: pd.Series, symbol: pd.Series, legs: Legs | None) -> np.ndarray | None:
    if (placed := _placed(at, symbol, legs)) is None or legs is None:
        return None
    own, column, _ = placed
    shape = legs.moves.shape
    counts = np.bincount(own * shape[1] + column, minlength=shape[0] * shape[1]).reshape(shape)
    busy = np.log1p(counts)
    # Sessions and the pauses between them have each their usual number of news.
    for kind in range(SESSION):
        part = pd.DataFrame(busy[kind::SESSION])
        busy[kind::SESSION] = part - part.rolling(USUAL_OVER, center=True, min_periods=USUAL_FROM).mean()
    where = np.nonzero(np.isfinite(busy))
    return _scores(busy[where], where[0], where[1], legs.starts, legs.moves)


def _of_scores(at: pd.Series, symbol: pd.Series, score: np.ndarray, legs: Legs | None) -> np.ndarray | None:
    if (placed := _placed(at, symbol, legs)) is None or legs is None:
        return None
    own, column, inside = placed
    said = score[inside]
    return _scores(said - said.mean(), own, column, legs.starts, legs.steps)


def _placed(at: pd.Series, symbol: pd.Series, legs: Legs | None) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return legs and symbols in which articles came, and which came in any; None without enough days or pauses."""
    if legs is None or not legs.alternate:
        return None
    stamps, column = utc_microseconds(at), legs.symbols.get_indexer(pd.Index(symbol))
    inside = (column >= 0) & (stamps >= legs.starts[0]) & (stamps < legs.end)
    own = np.searchsorted(legs.starts, stamps[inside], side="right") - 1
    if inside.sum() < ENOUGH_ARTICLES or len(np.unique(legs.starts[own].astype("datetime64[D]"))) < ENOUGH_DAYS:
        return None
    return own, column[inside], inside


def _scores(
    weight: np.ndarray, own: np.ndarray, column: np.ndarray, starts: np.ndarray, moved: np.ndarray
) -> np.ndarray:
    """Return errors clustered by day: rows all, sessions, pauses; columns a session before, between, own leg."""
    spread = np.nanstd(moved)
    moves = np.nan_to_num(np.clip(moved, -LARGEST * spread, LARGEST * spread))
    day = starts[own].astype("datetime64[D]").astype(np.int64)
    day -= day.min()
    found = np.zeros((3, 3))
    for place, lag in enumerate((-SESSION, -1, 0)):
        there = own + lag >= 0
        gain = np.where(there, weight * moves[np.maximum(own + lag, 0), column], 0.0)
        for row, kind in enumerate((own >= 0, own % SESSION == 0, own % SESSION == 1)):
            daily = np.bincount(day[kind], weights=gain[kind])
            error = float(np.sqrt((daily**2).sum()))
            found[row, place] = float(daily.sum()) / error if error > 0.0 else 0.0
    return found
