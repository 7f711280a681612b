"""Time stamps of news: whether they carry a zone, whether the clock is right, and what they allowed to be traded.

The first tradable row of every article is computed again from the instants alone, independently of whoever aligned
it; the daily rhythm of publication and an event study by time of day look for clocks that lie.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from embargo.backtest.distributions import average_ranks
from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import EVIDENCE_ROWS, Finding, evidence_rows, plain, require_columns, utc_array
from embargo.data_loaders.archive.times import instants_of
from embargo.data_loaders.calendars import ROUND_THE_CLOCK
from embargo.data_loaders.checks.clock_evidence import ClockJudgement, judge_clock
from embargo.data_loaders.checks.day_profile import date_only
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices, as_utc

UTC = ZoneInfo("UTC")
DATE_ONLY_LEAK = 0.05
DATE_ONLY_SUSPICIOUS = 0.005
CONCENTRATION_Z = 5.0
CONCENTRATION_GAP = 0.10
CONCENTRATION_RATIO = 1.75
WINDOW_HOURS = (1, 3, 6)
MIN_BUCKET = 100
MIN_BUCKET_ROWS = 50

_ZONE_TITLE = CHECKS["check_time_zones"].title
_INSTANT_TITLE = CHECKS["check_tradable_instants"].title
_OFFSET = re.compile(r"(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}|\d[+-]\d{2})\s*$", re.IGNORECASE)
_BOTH_WAYS = re.compile(r"(?:UTC|GMT)\s*[+-]\s*\d+(?::\d+)?\s*$", re.IGNORECASE)
_DAY = pd.Timedelta(days=1)


def check_time_zones(
    news: pd.DataFrame,
    calendar: str,
    *,
    prices: Prices | None = None,
    tone: pd.Series | None = None,
    judgement: ClockJudgement | None = None,
) -> Finding:
    """Look for stamps without a zone and for a clock that is wrong (T4).

    A naive stamp is a leak: nobody can say whether it was known. Otherwise the clock is judged as the data check does,
    by `embargo.data_loaders.checks.clock_evidence.judge_clock`: by when prices moved beside the stamps, and by the
    night of the people who write. Only evidence for the declared clock passes. Round-the-clock markets have no rhythm
    to hold against the clock; there, a pile of stamps at exactly midnight counts as well.

    Silent on: shifts of an hour where few articles lie beside an open or close, and of up to three where prices show
    nothing; a part of the stamps (`check_mixed_clocks`); profiles that are flat or hold a few hours of the day, where
    prices show nothing (inconclusive); stamps that are late on such a profile.

    Parameters
    ----------
    news : DataFrame, shape (n, columns)
        ``published_at``: stamps as the source gives them, before any conversion; missing ones are counted and left
        out. Optionally ``article_id``, ``symbol`` (for prices), ``source`` (each judged by itself as well) and
        ``known_at``, instants (UTC) from which articles are used: midnight stamps that are used only after their day
        has ended are in order.
    calendar : str
        exchange_calendars code or ``"24/7"``.
    prices : Prices, optional
        Bars of the symbols. Without them the market is not heard.
    tone : Series, optional
        Index of ``news``: what each text says, from -1 (bad) to 1 (good), by a reader that knows no prices.
    judgement : ClockJudgement, optional
        What `embargo.data_loaders.checks.clock_evidence.judge_clock` says of these news and prices, where it was asked.

    Returns
    -------
    Finding
        Code ``T4``; ``effect`` is the share of naive stamps, of midnight stamps, or the hours by which the stamps lie
        before the news (negative: after it).

    Raises
    ------
    DataError
        If there is no column ``published_at``, or a text in it is no ISO 8601 time.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_time_zones
    >>> news = pd.DataFrame({'published_at': ['2024-03-01T09:31:00', '2024-03-01T10:02:00-05:00']})
    >>> finding = check_time_zones(news, 'XNYS')
    >>> finding.verdict, finding.effect
    ('leak', 0.5)
    """
    require_columns(news, ("published_at",), where="time zones")
    raw = news["published_at"].dropna()
    missing = len(news) - len(raw)
    if raw.empty:
        return Finding("T4", "not-applicable", _ZONE_TITLE, f"There are no time stamps ({missing} missing).")
    naive = _naive(raw)
    if naive.any():
        count, first = int(naive.sum()), raw[naive].iloc[0]
        return Finding(
            "T4",
            "leak",
            _ZONE_TITLE,
            f"{count} of {len(raw)} time stamps have no time zone, or one that is read both ways, such as GMT+8; first "
            f"{first!s}. Read in the wrong zone, they are known hours before they were.",
            [
                {"row": plain(index), "published_at": str(value)}
                for index, value in raw[naive].head(EVIDENCE_ROWS).items()
            ],
            count / len(raw),
            "share of stamps without a zone",
            "Name the source's zone when the archive is read, so that every stamp is converted to UTC.",
        )
    stamps = instants_of(raw, None, {}, where="time zones, published_at")
    stamped = news.loc[raw.index].assign(published_at=stamps)
    if calendar == ROUND_THE_CLOCK:
        piled = _midnight_pile(stamps, stamped.get("known_at"))
        if piled is not None:
            return piled
    judgement = judgement or judge_clock(stamped, calendar=calendar, prices=prices, tone=tone)
    words = judgement.summary[0].upper() + judgement.summary[1:]
    detail = f"All {len(stamps)} stamps carry a zone. {words}."
    if judgement.verdict != "suspicious":
        return Finding("T4", judgement.verdict, _ZONE_TITLE, detail)
    return Finding(
        "T4",
        "suspicious",
        _ZONE_TITLE,
        detail,
        [
            {"source": told.source, "finding": told.finding, "articles": told.articles}
            for told in judgement.complaints[:EVIDENCE_ROWS]
        ],
        judgement.hours_early,
        "" if judgement.hours_early is None else "hours by which the stamps lie before the news",
        judgement.remedy,
    )


def check_tradable_instants(
    articles: pd.DataFrame,
    decided_at: pd.DatetimeIndex,
    open_at: pd.DatetimeIndex,
    close_at: pd.DatetimeIndex,
    *,
    zone: ZoneInfo = UTC,
    effects: pd.DataFrame | None = None,
) -> Finding:
    """Recompute which bar each article could first move, and study predictive power by time of day (T5).

    An article that influenced a row decided before ``known_at``, or that is known before it was published, is a leak.
    So is a pile of date-only stamps (exactly midnight, in UTC or on the exchange's clock) traded before their day has
    ended, from 5 % of the articles on; suspicious from 0.5 %. Given ``effects``, power that concentrates in some
    hours of publication is suspicious: the rank correlation of score and return in a window of one, three or six hours
    exceeds that of the rest by 0.10 and 1.75 times, at 5 standard errors clustered by bar.

    Silent on: wrong stamps that lead to the same bar, and hours with fewer than 100 articles or 50 bars.

    Parameters
    ----------
    articles : DataFrame
        ``article_id, symbol, published_at, known_at`` (UTC) and ``row``, the position of the first bar the article
        influenced; -1, or any position after the last bar, where there is none.
    decided_at, open_at, close_at : DatetimeIndex, shape (bars,)
        Instants (UTC) of each bar.
    zone : ZoneInfo
        Zone of the exchange.
    effects : DataFrame, optional
        Index of ``articles``; ``score``, the signed sentiment, and ``earned``, the return of the article's symbol from
        open[row] to open[row+1] as a fraction. Missing values are left out.

    Returns
    -------
    Finding
        Code ``T5``; ``effect`` is the share of articles traded too early, or the excess correlation.

    Raises
    ------
    DataError
        If columns are missing, instants are naive, lengths differ, or the bars are not in order.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_tradable_instants
    >>> open_at = pd.date_range('2024-03-04 14:30', periods=3, freq='D', tz='UTC')
    >>> close_at, decided_at = open_at + pd.Timedelta(hours=6.5), open_at - pd.Timedelta(minutes=5)
    >>> at = open_at[[0]] + pd.Timedelta(hours=1)
    >>> read = {'article_id': ['a'], 'symbol': ['AAPL'], 'published_at': at, 'known_at': at}
    >>> late, early = (pd.DataFrame({**read, 'row': [row]}) for row in (1, 0))
    >>> check_tradable_instants(late, decided_at, open_at, close_at).verdict
    'pass'
    >>> check_tradable_instants(early, decided_at, open_at, close_at).verdict
    'leak'
    """
    require_columns(articles, ("article_id", "symbol", "published_at", "known_at", "row"), where="articles")
    if not len(decided_at) == len(open_at) == len(close_at):
        raise DataError("tradable instants: decided_at, open_at and close_at differ in length. Give one per bar.")
    if not decided_at.is_monotonic_increasing:
        raise DataError("tradable instants: decided_at does not increase. Sort the bars in time.")
    known_at = as_utc(articles["known_at"], what="articles, column known_at")
    published_at = as_utc(articles["published_at"], what="articles, column published_at")
    row = articles["row"].to_numpy(dtype=np.int64)
    used = (row >= 0) & (row < len(decided_at))
    if not used.any():
        return Finding("T5", "not-applicable", _INSTANT_TITLE, f"None of {len(articles)} articles influenced a bar.")
    first_allowed = np.searchsorted(utc_array(decided_at), utc_array(known_at), side="left")
    early = used & (row < first_allowed)
    if early.any():
        return _too_early(articles, row, first_allowed, early, used, known_at, decided_at, open_at, close_at)
    hindsight = (known_at < published_at).to_numpy() & used
    if hindsight.any():
        columns = ["article_id", "symbol", "published_at", "known_at"]
        return Finding(
            "T5",
            "leak",
            _INSTANT_TITLE,
            f"{int(hindsight.sum())} of {int(used.sum())} articles count as known before they were published.",
            evidence_rows(articles.loc[hindsight, columns]),
            float(hindsight.sum() / used.sum()),
            "share of articles used",
            "Set known_at to the later of published_at and seen_at.",
        )
    dated = date_only(published_at, zone)
    day_over = utc_array(decided_at)[np.clip(row, 0, len(decided_at) - 1)] >= utc_array(published_at + _DAY)
    pile = dated.mask & used & ~day_over
    share = float(pile.sum() / used.sum())
    if share >= DATE_ONLY_SUSPICIOUS:
        columns = ["article_id", "symbol", "published_at", "known_at", "row"]
        return Finding(
            "T5",
            "leak" if share >= DATE_ONLY_LEAK else "suspicious",
            _INSTANT_TITLE,
            f"{int(pile.sum())} of {int(used.sum())} articles ({share:.1%}) are stamped exactly midnight "
            f"{dated.zone}, which looks like a date without a time, and moved a bar decided before that day had ended.",
            evidence_rows(articles.loc[pile, columns]),
            share,
            "share of articles used",
            "Treat a date without a time as known at the end of that day.",
        )
    late = int((used & (row > first_allowed)).sum())
    exact = (
        f"All {int(used.sum())} articles that influenced a bar were known when it was decided ({late} wait longer "
        f"than they need, {int((~used).sum())} never reach a bar)."
    )
    if effects is None:
        said = f"{exact} Predictive power by hour was not studied."
        return Finding("T5", "pass", _INSTANT_TITLE, said, effect=0.0, unit="share of articles used")
    return _event_study(exact, effects, articles.index, published_at, row, used, zone)


def _naive(raw: pd.Series) -> np.ndarray:
    if isinstance(raw.dtype, pd.DatetimeTZDtype):
        return np.zeros(len(raw), dtype=bool)
    if isinstance(raw.dtype, np.dtype) and raw.dtype.kind == "M":
        return np.ones(len(raw), dtype=bool)
    return np.fromiter((_is_naive(value) for value in raw), dtype=bool, count=len(raw))


def _is_naive(value: Any) -> bool:
    if isinstance(value, str):
        # East for some and west for others: such a text says a zone no more than one without.
        if _BOTH_WAYS.search(value):
            return True
        return _OFFSET.search(value) is None or re.fullmatch(r"\s*\d{4}-\d{2}-\d{2}\s*", value) is not None
    return getattr(value, "tzinfo", None) is None


def _midnight_pile(stamps: pd.Series, known_at: pd.Series | None) -> Finding | None:
    dated = date_only(stamps, UTC)
    pile = dated.mask.copy()
    if known_at is not None:
        held_back = as_utc(known_at, what="known_at") >= stamps + _DAY - pd.Timedelta(seconds=1)
        pile &= ~held_back.to_numpy()
    share = float(pile.mean())
    if share < DATE_ONLY_SUSPICIOUS:
        return None
    examples = stamps[pile].head(EVIDENCE_ROWS)
    return Finding(
        "T4",
        "suspicious",
        _ZONE_TITLE,
        f"All stamps carry a zone, but {int(pile.sum())} of {len(stamps)} ({share:.1%}) are exactly midnight "
        f"{dated.zone}, three times what other full hours show: these look like dates without a time.",
        [{"row": plain(index), "published_at": plain(value)} for index, value in examples.items()],
        share,
        "share of stamps",
        "Treat a date without a time as known at the end of that day.",
    )


def _too_early(
    articles: pd.DataFrame,
    row: np.ndarray,
    first_allowed: np.ndarray,
    early: np.ndarray,
    used: np.ndarray,
    known_at: pd.Series,
    decided_at: pd.DatetimeIndex,
    open_at: pd.DatetimeIndex,
    close_at: pd.DatetimeIndex,
) -> Finding:
    at, known = row[early], utc_array(known_at[early])
    after_close = int((known >= utc_array(close_at)[at]).sum())
    within = int(((known >= utc_array(open_at)[at]) & (known < utc_array(close_at)[at])).sum())
    hours = (known - utc_array(decided_at)[at]) / np.timedelta64(1, "h")
    evidence = articles.loc[early, ["article_id", "symbol", "published_at", "known_at", "row"]].assign(
        decided_at=decided_at[at], first_allowed_row=first_allowed[early], hours_too_early=np.round(hours, 2)
    )
    first = evidence.iloc[0]
    count, total = int(early.sum()), int(used.sum())
    return Finding(
        "T5",
        "leak",
        _INSTANT_TITLE,
        f"{count} of {total} articles moved a bar decided before they were known: {after_close} came after that bar's "
        f"close, {within} while it was trading, {count - after_close - within} between decision and open. First: "
        f"{first['article_id']} ({first['symbol']}) known {first['known_at']}, row {first['row']} decided "
        f"{first['decided_at']}.",
        evidence_rows(evidence),
        count / total,
        "share of articles used",
        "Align each article to the first bar with decided_at >= known_at; never join by calendar date.",
    )


def _event_study(
    exact: str,
    effects: pd.DataFrame,
    index: pd.Index,
    published_at: pd.Series,
    row: np.ndarray,
    used: np.ndarray,
    zone: ZoneInfo,
) -> Finding:
    require_columns(effects, ("score", "earned"), where="effects")
    if not effects.index.equals(index):
        raise DataError("effects: the index differs from that of the articles. Give one row per article, in order.")
    score, earned = (effects[name].to_numpy(dtype=float) for name in ("score", "earned"))
    usable = used & np.isfinite(score) & np.isfinite(earned)
    unit = "excess rank correlation of score and return"
    if usable.sum() < 4 * MIN_BUCKET or np.ptp(score[usable]) == 0:
        return Finding(
            "T5",
            "pass",
            _INSTANT_TITLE,
            f"{exact} {int(usable.sum())} articles with score and return are too few for the study.",
        )
    score, rank = score[usable], average_ranks(earned[usable])
    hour = published_at[usable].dt.tz_convert(zone).dt.hour.to_numpy()
    windows = [
        found
        for width in WINDOW_HOURS
        for start in range(24)
        if (found := _window(score, rank, row[usable], hour, start, width)) is not None
    ]
    if not windows:
        return Finding(
            "T5", "pass", _INSTANT_TITLE, f"{exact} No hour has enough articles for the study by time of day."
        )
    worst = max(windows, key=lambda window: (window.guilty, window.z))
    # What a typical window would have to show before it were called: the honest limit of this study.
    limit = max(CONCENTRATION_GAP, CONCENTRATION_Z * float(np.median([window.error for window in windows])))
    numbers = (
        f"correlation of score and return {worst.inside:.3f} for articles published {worst.name} {zone.key} "
        f"({worst.count} articles) against {worst.outside:.3f} for the rest (z {worst.z:.1f})"
    )
    evidence = [
        {
            "published": window.name,
            "articles": window.count,
            "correlation": plain(window.inside),
            "correlation_of_rest": plain(window.outside),
            "z": plain(window.z),
        }
        for window in sorted(windows, key=lambda window: -window.z)[:EVIDENCE_ROWS]
    ]
    if worst.guilty:
        return Finding(
            "T5",
            "suspicious",
            _INSTANT_TITLE,
            f"{exact} But predictive power concentrates implausibly: {numbers}. Such stamps are often earlier than "
            "the news.",
            evidence,
            worst.inside - worst.outside,
            unit,
            "Compare the stamps of that window with another source; late items stamped early look like this.",
            worst.interval,
        )
    return Finding(
        "T5",
        "pass",
        _INSTANT_TITLE,
        f"{exact} Predictive power does not concentrate by time of day; strongest window: {numbers}. The study would "
        f"see an excess of about {limit:.2f}.",
        evidence,
        worst.inside - worst.outside,
        unit,
        interval=worst.interval,
    )


@dataclass(frozen=True)
class _Window:
    name: str
    count: int
    inside: float
    outside: float
    error: float

    @property
    def z(self) -> float:
        return (self.inside - self.outside) / self.error

    @property
    def interval(self) -> tuple[float, float]:
        gap = self.inside - self.outside
        return gap - 1.96 * self.error, gap + 1.96 * self.error

    @property
    def guilty(self) -> bool:
        gap = self.inside - self.outside
        ratio = self.inside > CONCENTRATION_RATIO * max(self.outside, 0.0)
        return self.z >= CONCENTRATION_Z and gap >= CONCENTRATION_GAP and ratio


def _window(
    score: np.ndarray, rank: np.ndarray, row: np.ndarray, hour: np.ndarray, start: int, width: int
) -> _Window | None:
    """Correlation inside a window of hours against the rest, with the error of the difference clustered by bar."""
    inside = (((np.arange(24) - start) % 24) < width)[hour]
    # By position, which takes values out several times faster than by a mask.
    within, without = np.flatnonzero(inside), np.flatnonzero(~inside)
    count = len(within)
    if min(count, len(without)) < MIN_BUCKET or np.count_nonzero(np.bincount(row[within])) < MIN_BUCKET_ROWS:
        return None
    found, pull = [], np.empty(len(row))
    for part, sign in ((within, 1.0), (without, -1.0)):
        x, y = (given - given.mean() for given in (score[part], rank[part]))
        spread_x, spread_y = float(x.std()), float(y.std())
        if spread_x == 0 or spread_y == 0:
            return None
        x, y = x / spread_x, y / spread_y
        correlation = float(np.clip((x * y).mean(), -1.0, 1.0))
        pull[part] = sign * (x * y - 0.5 * correlation * (x**2 + y**2)) / len(x)
        found.append(correlation)
    error = float(np.sqrt((np.bincount(row, weights=pull) ** 2).sum()))
    if error <= 0:
        return None
    end = (start + width) % 24
    return _Window(f"{start:02d}:00-{end:02d}:00", count, found[0], found[1], error)
