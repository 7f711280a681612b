"""How often forecasts, or labels, have the side of the move that follows: news is right by a little, hindsight by much.

An archive from which what misled was taken out, a source that was edited afterwards, labels that a vendor made from
prices: none of them can be told text by text, and all of them are right more often than any news is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.distributions import binomial_sf
from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import plain, require_columns, utc_array
from embargo.backtest.leakage.memory.result import ProbeResult
from embargo.data_loaders.schemas import as_utc

# Share of right sides beyond chance that no honest daily news reaches, and what the best of it may be truly worth.
IMPLAUSIBLE, HONEST = 0.15, 0.05
# Level of a check, shared among all the shares that it looks at.
LEVEL = 0.001
# Moves of a symbol, and days, of which a share is taken.
FEWEST_MOVES, FEWEST_DAYS = 30, 15
_UNIT = "share of right sides beyond chance"
_OF_FORECASTS, _OF_LABELS = (CHECKS[name].title for name in ("check_hit_rate", "check_label_readings"))
_MEASURES = ("earned", "net")


@dataclass(frozen=True)
class _Share:
    """How often sides were right, what chance makes of it, and as many moves as they are worth on the days they have.

    Two sides that are right by lot agree as often as both are up or both are down: in a market that rose, much of
    what is bullish is right.
    """

    of: str
    measure: str
    moves: int
    days: int
    right: float
    chance: float
    worth: float

    @property
    def lead(self) -> float:
        return self.right - self.chance

    def doubted(self, level: float) -> bool:
        count = np.floor(self.worth)
        tail = binomial_sf(np.floor(self.right * count + 1e-9) - 1.0, count, min(max(self.chance, 0.5) + HONEST, 1.0))
        return self.lead >= IMPLAUSIBLE and bool(tail <= level)

    def row(self) -> dict[str, Any]:
        told = {"of": self.of, "moves": self.moves, "days": self.days, "right": self.right, "by_chance": self.chance}
        return {name: plain(value) for name, value in (told | {"measured_by": self.measure}).items()}


def check_hit_rate(forecasts: pd.DataFrame) -> ProbeResult:
    """Ask whether forecasts are right about the next move more often than news can be (S7).

    Forecasts of one symbol and bar count once, by their mean. Their sides are held against the return that follows, as
    it was earned and net of the market: all of them, the stronger half, and those of each source. A share of right
    sides that is 15 points above what chance makes of the two sides is doubted, at a level of 0.1 % shared among all
    shares, by the binomial tail of news that is truly right 5 points above chance, with as many moves as they are worth
    when moves of one day go together. The best documented daily news is right in 51 to 55 %. The level is that of news
    that is right 5 points above chance and no more. Truly better news is doubted: with 1,250 moves of 250 days and
    shares of six sources, 1 in 200 worlds in which it is right in 58 %, 21 in 200 at 62 %, 127 in 200 at 65 %.

    Silent on: hindsight in a part of the texts that leaves fewer than 15 points, fewer than 30 moves or 15 days, and
    news that is so good, which looks the same.

    Parameters
    ----------
    forecasts : DataFrame
        One row per article and symbol: ``at`` (UTC, the opening of the bar whose return is earned), ``symbol``,
        ``score`` (signed), ``earned`` and ``net`` (fractions: the return from that opening on, and the same less that
        of the market) and, where there are some, ``source``.

    Returns
    -------
    ProbeResult
        ``effect`` is the largest lead over chance among shares that are doubted, or of all forecasts; ``figures`` hold
        ``right`` and ``right_by_chance`` of all forecasts, ``moves`` and ``shares`` (that were looked at).

    Raises
    ------
    DataError
        If columns are missing or instants are naive.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_hit_rate
    >>> at, earned = pd.date_range("2020-01-01", periods=300, tz="UTC"), np.random.default_rng(0).normal(size=300)
    >>> score = np.where(np.arange(300) % 3, earned, 1.0)
    >>> frame = pd.DataFrame({"at": at, "symbol": "A", "score": score, "earned": earned, "net": earned})
    >>> check_hit_rate(frame).verdict, check_hit_rate(frame.assign(score=score[::-1])).verdict
    ('suspicious', 'pass')
    """
    require_columns(forecasts, ("at", "symbol", "score", *_MEASURES), where="forecasts against moves")
    sized = forecasts["score"].abs()
    parts = {"all": forecasts, "the stronger half": forecasts.loc[sized >= sized.median()]}
    if "source" in forecasts:
        parts |= {f"source {name}": part for name, part in forecasts.groupby("source", observed=True)}
    remedy = (
        "Ask when these texts were last changed and what was left out of the archive; hold them against another source."
    )
    return _judged(_OF_FORECASTS, "forecasts", parts, remedy)


def check_label_readings(labels: pd.DataFrame) -> ProbeResult:
    """Ask whether labels that are said to be readings of their texts know what followed (S7).

    The side of each label is held against the return that follows, as `check_hit_rate` does for forecasts: of all
    labels, and of those that do not have the side of the text's own reading. There an honest label says more than the
    words do, and is right as seldom as any; one that was made from prices is right because of them.

    Silent on: labels made from moves of other lengths, or of so few texts that they leave fewer than 15 points.

    Parameters
    ----------
    labels : DataFrame
        One row per labelled text: ``at, symbol, earned, net`` as in `check_hit_rate`, ``score`` (side of the label: 1,
        -1, or 0 for none) and ``reading`` (side of the text by another reader, such as a word list; 0 for none).

    Returns
    -------
    ProbeResult
        As `check_hit_rate`.

    Raises
    ------
    DataError
        If columns are missing or instants are naive.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_label_readings
    >>> at, rng = pd.date_range("2020-01-01", periods=400, tz="UTC"), np.random.default_rng(0)
    >>> earned, read = rng.normal(size=400), rng.choice([-1.0, 1.0], 400)
    >>> made = np.where(np.arange(400) % 2, read, np.sign(earned))
    >>> frame = pd.DataFrame({"at": at, "symbol": "A", "score": made, "reading": read, "earned": earned, "net": earned})
    >>> check_label_readings(frame).verdict, check_label_readings(frame.assign(score=read)).verdict
    ('suspicious', 'pass')
    """
    require_columns(labels, ("at", "symbol", "score", "reading", *_MEASURES), where="labels against moves")
    beyond = labels.loc[np.sign(labels["score"]) != np.sign(labels["reading"])]
    remedy = "Ask how the labels were made. From prices: name when each was complete as labels.ends_at, or leave them."
    return _judged(_OF_LABELS, "labels", {"all": labels, "beyond the text": beyond}, remedy)


def _judged(title: str, what: str, parts: dict[str, pd.DataFrame], remedy: str) -> ProbeResult:
    shares = [share for name, part in parts.items() for share in _shares(name, part)]
    if not shares:
        said = f"No {what} reach {FEWEST_MOVES} moves on {FEWEST_DAYS} days."
        return ProbeResult("S7", "inconclusive", title, said, unit=_UNIT)
    level = LEVEL / len(shares)
    doubted = sorted((share for share in shares if share.doubted(level)), key=lambda share: -share.lead)
    first = shares[0]
    figures = {
        "right": first.right, "right_by_chance": first.chance, "moves": float(first.moves), "shares": float(len(shares))
    }  # fmt: skip
    said = (
        f"{first.right:.1%} of {first.moves} moves have the side of the {what} ({first.of}) before them; chance makes "
        f"{first.chance:.1%}"
    )
    if not doubted:
        return ProbeResult("S7", "pass", title, f"{said}.", first.lead, None, _UNIT, figures)
    worst = doubted[0]
    said += (
        f"; {worst.of}: {worst.right:.1%} of {worst.moves}, by chance {worst.chance:.1%}. No news is so often right."
    )
    rows = [share.row() for share in doubted]
    return ProbeResult("S7", "suspicious", title, said, worst.lead, None, _UNIT, figures, rows, remedy)


def _shares(name: str, part: pd.DataFrame) -> Iterator[_Share]:
    """Yield the share of right sides by each measure, where there are moves and days enough."""
    at = utc_array(as_utc(part["at"], what="forecasts, column at"))
    symbol = pd.factorize(part["symbol"])[0]
    move = pd.factorize(at.astype(np.int64) * (int(symbol.max(initial=0)) + 1) + symbol)[0]
    day = at.astype("datetime64[D]").astype(np.int64)
    score = part["score"].to_numpy(dtype=float)
    for measure in _MEASURES:
        moved = part[measure].to_numpy(dtype=float)
        known = np.isfinite(score) & np.isfinite(moved)
        of, first = np.unique(move[known], return_index=True)
        told, came = np.bincount(move[known], score[known])[of], moved[known][first]
        kept = (told != 0.0) & (came != 0.0)
        told, came, on = told[kept] > 0.0, came[kept] > 0.0, pd.factorize(day[known][first][kept])[0]
        days = int(on.max(initial=-1)) + 1
        if len(told) < FEWEST_MOVES or days < FEWEST_DAYS:
            continue
        right = np.asarray(told == came, dtype=float)
        chance = told.mean() * came.mean() + (1.0 - told.mean()) * (1.0 - came.mean())
        off = right - right.mean()
        together = float((np.bincount(on, off) ** 2).sum()) / max(float((off**2).sum()), 1e-12)
        worth = len(told) / max(together, 1.0)
        yield _Share(name, measure, len(told), days, float(right.mean()), float(chance), worth)
