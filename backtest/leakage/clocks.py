"""Stamps by more than one clock: a part of the rows that was moved, or filled with a default time.

A night or a mean reaction of prices shows what most stamps do; here the minority is looked for. One article cannot come
out twice a whole number of hours apart, a default piles up at one time of the day, and copies of a text, or bursts of
news, of which a part was moved by hours have an echo at exactly that distance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import EVIDENCE_ROWS, Finding, plain, require_columns, share_interval, utc_array
from embargo.data_loaders.calendars import zone_of
from embargo.data_loaders.checks.day_profile import date_only, local_minutes
from embargo.data_loaders.schemas import as_utc

UTC = ZoneInfo("UTC")
# Distances are counted in bins of five minutes; the echo of a burst is as narrow as the burst.
BIN_MINUTES, FIRST_LAG_HOURS, LAST_LAG_HOURS = 5, 1, 12
# Schedules give many echoes, and the same a day later; a part that was moved gives one. News of one symbol has more
# rhythms than copies of one text.
MOST_PAIRS = 2_000_000
ECHO_Z, ALONE_BY, ECHO_SHARE, ENOUGH_OF_SYMBOLS = {"text": 5.5, "symbol": 6.5}, 2.0, 0.04, 2_000
FEWEST_ECHO_DAYS, TOP_DAYS, LEFT_WITHOUT_TOP = 10, 2, 0.3
# The share of moved rows that a pass must be able to see.
SEEN_SHARE = 0.30
# A default fills one minute of the day, far beyond its neighbours and alone; releases have more than one favourite.
PILE_SHARE, PILE_RATIO, PILE_ALONE, PILE_ROWS, PILE_DAYS = 0.15, 20.0, 3.0, 50, 20
# A default hour that keeps its minutes has two sharp edges; a busy hour of people has one at most.
BLOCK_SHARE, BLOCK_EDGE, BLOCK_HOURS, EDGE_MINUTES = 0.20, 3.0, 8, 10
ENOUGH_ROWS, MOST_SOURCES = 200, 6
# Copies whose distance is a whole number of half hours, to the second, by chance: one in 1,800.
SPLIT_ARTICLES, SPLIT_SHARE, SPLIT_STEP = 20, 0.5, np.timedelta64(30, "m")
LONGEST_SPLIT = np.timedelta64(14, "h")

_TITLE = CHECKS["check_mixed_clocks"].title
_REMEDY = (
    "Find which rows these are (by source, file or period) and name the zone of each part when the archive is read. "
    "Until then set them aside: their true time is not known, and moving them by the distance found here would be a "
    "guess that may move news to before it was out."
)
_DEFAULT_REMEDY = (
    "If it is a default, treat these rows as dates without a time: known at the end of their day. If the source does "
    "publish at that time, nothing need be done."
)


def check_mixed_clocks(news: pd.DataFrame, calendar: str) -> Finding:
    """Look for a minority of stamps by another clock, or by none (T4).

    Leak: at least 20 articles stand under two instants that lie the same whole number of half hours apart. Suspicious:
    one minute of the day, or one hour with sharp edges, holds far more rows of a source than a schedule would; or
    copies of one text (or, where those are few, news of one symbol) lie at one distance of whole half hours far more
    often than at all other distances and than a day later, as bursts do of which a part was moved.

    Silent on: parts below about a tenth of the rows, rows moved by irregular times (such as to somewhere before the
    open), news without copies or bursts (inconclusive), schedules, and defaults that are used from the next day on.

    Parameters
    ----------
    news : DataFrame, shape (n, columns)
        ``published_at`` (UTC); optionally ``symbol``, ``text``, ``article_id``, ``source`` (piles are looked for in
        each) and ``known_at``, from which articles are used.
    calendar : str
        exchange_calendars code or ``"24/7"``.

    Returns
    -------
    Finding
        Code ``T4``; ``effect`` is the share of the rows that seems to be moved or filled in.

    Raises
    ------
    DataError
        If there is no column ``published_at``, or its stamps have no zone.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_mixed_clocks
    >>> at = pd.date_range("2024-03-01 12:00:07", periods=40, freq="37h", tz="UTC")
    >>> once = pd.DataFrame({"article_id": range(40), "symbol": "A", "published_at": at})
    >>> again = once.assign(symbol="B", published_at=at + pd.Timedelta(hours=5))
    >>> check_mixed_clocks(once, "XNYS").verdict, check_mixed_clocks(pd.concat([once, again]), "XNYS").verdict
    ('inconclusive', 'leak')
    """
    require_columns(news, ("published_at",), where="mixed clocks")
    news = news[news["published_at"].notna()]
    if news.empty:
        return Finding("T4", "not-applicable", _TITLE, "There are no time stamps.")
    news = news.assign(published_at=as_utc(news["published_at"], what="news, column published_at"))
    zone = zone_of(calendar)
    timed = news[~date_only(news["published_at"], zone).mask]
    if timed.empty:
        return Finding("T4", "not-applicable", _TITLE, "All stamps are dates, not times.")
    ids = pd.factorize(timed["article_id"])[0] if "article_id" in timed.columns else np.arange(len(timed))
    split = _split_articles(timed, ids)
    if split is not None:
        return split
    for name, part in _sources(timed).items():
        pile = _pile(part, name, zone)
        if pile is not None:
            return pile
    return _echo_finding(timed, ids)


def _sources(news: pd.DataFrame) -> dict[str, pd.DataFrame]:
    parts = {"": news} if len(news) >= ENOUGH_ROWS else {}
    if "source" in news.columns:
        sizes = news["source"].value_counts()
        named = sizes[(sizes >= ENOUGH_ROWS) & (sizes < len(news))].index[:MOST_SOURCES]
        parts |= {str(name): news[news["source"] == name] for name in named}
    return parts


def _split_articles(news: pd.DataFrame, ids: np.ndarray) -> Finding | None:
    """Find articles of one id that stand at two instants, the same whole number of half hours apart."""
    if ids.max(initial=0) + 1 == len(ids):
        return None
    stamps = utc_array(news["published_at"])
    order = np.lexsort((stamps, ids))
    ids, stamps = ids[order], stamps[order]
    gap = stamps[1:] - stamps[:-1]
    twice = (ids[1:] == ids[:-1]) & (gap > np.timedelta64(0, "us"))
    # Stamps of whole minutes alone may be rounded, and lie whole half hours apart one time in thirty.
    exact = twice & (gap % SPLIT_STEP == np.timedelta64(0, "us")) & (gap <= LONGEST_SPLIT)
    if exact.sum() < SPLIT_ARTICLES:
        return None
    distances, counts = np.unique(gap[exact], return_counts=True)
    most = int(np.argmax(counts))
    if counts[most] < max(SPLIT_ARTICLES, SPLIT_SHARE * twice.sum()):
        return None
    hours = float(distances[most] / np.timedelta64(1, "h"))
    rows = np.flatnonzero(exact & (gap == distances[most]))
    count, articles = len(rows), len(np.unique(ids))
    early = news.iloc[order[:-1][rows[:EVIDENCE_ROWS]]]
    late = news.iloc[order[1:][rows[:EVIDENCE_ROWS]]]
    evidence = [
        {
            "article_id": plain(one["article_id"]),
            "published_at": plain(one["published_at"]),
            "and_at": plain(two["published_at"]),
            **({"source": plain(one["source"])} if "source" in news.columns else {}),
        }
        for (_, one), (_, two) in zip(early.iterrows(), late.iterrows(), strict=True)
    ]
    return Finding(
        "T4",
        "leak",
        _TITLE,
        f"{count:,} of {articles:,} articles are stamped twice, exactly {hours:g} h apart ({int(twice.sum()):,} differ "
        f"at all): one of two clocks is wrong. First: {evidence[0]['article_id']} at {evidence[0]['published_at']} and "
        f"at {evidence[0]['and_at']}.",
        evidence,
        count / articles,
        "share of articles with two stamps",
        _REMEDY,
        share_interval(count, articles),
    )


def _pile(news: pd.DataFrame, source: str, zone: ZoneInfo) -> Finding | None:
    """Find a minute, or an hour with sharp edges, that holds far more rows than a schedule would put there."""
    whose = f"of {source} " if source else ""
    for name in dict.fromkeys((zone.key, "UTC")):
        clock = ZoneInfo(name)
        minutes = local_minutes(news["published_at"], clock)
        for kind, first, last in (("minute", *_full_minute(minutes)), ("hour", *_full_hour(minutes))):
            if last <= first:
                continue
            inside = (minutes >= first) & (minutes < last)
            if "known_at" in news.columns:
                day_ends = (
                    news["published_at"].dt.tz_convert(clock).dt.normalize() + pd.Timedelta(days=1)
                ).dt.tz_convert("UTC")
                inside &= ~(news["known_at"] >= day_ends - pd.Timedelta(hours=1)).to_numpy()
            share = float(inside.mean())
            days = news.loc[inside, "published_at"].dt.tz_convert(clock).dt.date.nunique()
            if share < (PILE_SHARE if kind == "minute" else BLOCK_SHARE) or days < PILE_DAYS:
                continue
            shown = news.loc[inside].head(EVIDENCE_ROWS)
            span = _clock(first) if kind == "minute" else f"{_clock(first)}-{_clock(last % 1440)}"
            told = "in this one minute" if kind == "minute" else "in this hour, which begins and ends abruptly"
            return Finding(
                "T4",
                "suspicious",
                _TITLE,
                f"{int(inside.sum()):,} of {len(news):,} stamps {whose}({share:.1%}) lie at {span} {name}, {told}, on "
                f"{days} days: a default, or a schedule. First: {_first_row(shown)}. Where the default lies before the "
                "true time, the news is read before it was out.",
                [_row(shown, place) for place in range(len(shown))],
                share,
                "share of stamps",
                _DEFAULT_REMEDY,
                share_interval(int(inside.sum()), len(news)),
            )
    return None


def _full_minute(minutes: np.ndarray) -> tuple[float, float]:
    counts = np.bincount(minutes.astype(np.int64), minlength=1440)[:1440].astype(float)
    top = int(np.argmax(counts))
    near = np.roll(counts, 30 - top)[:61]
    around = (near.sum() - counts[top]) / 60
    rival = np.partition(counts, -2)[-2]
    full = counts[top] >= max(PILE_ROWS, PILE_SHARE * len(minutes), PILE_RATIO * around, PILE_ALONE * rival)
    return (float(top), float(top + 1)) if full else (0.0, 0.0)


def _full_hour(minutes: np.ndarray) -> tuple[float, float]:
    counts = np.bincount(minutes.astype(np.int64), minlength=1440)[:1440].astype(float)
    counts[::60] = np.nan  # the full hour is everybody's favourite minute
    hours = np.nansum(counts.reshape(24, 60), axis=1)
    top = int(np.argmax(hours))
    rest = np.delete(hours, top)
    if hours[top] < max(PILE_ROWS, BLOCK_SHARE * len(minutes), BLOCK_EDGE * rest.max()):
        return 0.0, 0.0
    if (rest > 0.01 * rest.sum()).sum() < BLOCK_HOURS:
        return 0.0, 0.0
    turned = np.roll(counts, 60 - 60 * top)
    within = np.nanmean(turned[60 : 61 + EDGE_MINUTES]), np.nanmean(turned[120 - EDGE_MINUTES : 120])
    beyond = np.nanmean(turned[60 - EDGE_MINUTES : 60]), np.nanmean(turned[120 : 121 + EDGE_MINUTES])
    sharp = all(inner >= BLOCK_EDGE * (outer + 1e-9) for inner, outer in zip(within, beyond, strict=True))
    return (60.0 * top, 60.0 * top + 60.0) if sharp else (0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Echo:
    """Pairs of news of one text or symbol by their distance.

    Attributes
    ----------
    hours : float
        Distance, in whole half hours, of the strongest echo.
    z : float
        Its excess over its neighbours, in spreads of that of other distances.
    rival : float
        The same of the strongest echo elsewhere.
    next_day : float
        The same a day later.
    share : float
        Share of the rows that would have to be moved to give this echo.
    visible : float
        Smallest share of moved rows that would stand out; 1 where none would.
    spread_out : bool
        Whether the echo comes from many days, not from the floods of a few.
    """

    hours: float
    z: float
    rival: float
    next_day: float
    share: float
    visible: float
    spread_out: bool = True

    def stands_out(self, needed: float) -> bool:
        """Whether no schedule and no chance explains it."""
        alone = self.z >= ALONE_BY * max(self.rival, 0.0) and self.next_day <= self.z / ALONE_BY
        return self.z >= needed and alone and self.share >= ECHO_SHARE


_BIN = np.int64(BIN_MINUTES * 60_000_000)
_PER_HOUR = 60 // BIN_MINUTES
_BINS = (25 + LAST_LAG_HOURS) * _PER_HOUR


def _pairs(at: np.ndarray, key: np.ndarray, weight: np.ndarray, wanted: int | None = None) -> tuple[np.ndarray, Any]:
    """Sum the weights of pairs of one key by distance in bins; of one wanted bin and its neighbours list the pairs."""
    totals, first, step, seen = np.zeros(_BINS), np.arange(len(at)), 1, 0
    listed: list[np.ndarray] = []
    while len(first) and seen < MOST_PAIRS:
        first = first[first + step < len(at)]
        gap = at[first + step] - at[first]
        near = (key[first + step] == key[first]) & (gap < (_BINS - 1) * _BIN)
        first, gap = first[near], gap[near]
        place = (gap + _BIN // 2) // _BIN
        totals += np.bincount(place, weights=weight[first], minlength=_BINS)
        if wanted is not None:
            hit = np.abs(place - wanted) <= 8
            listed.append(np.stack([first[hit], first[hit] + step, place[hit] - wanted]))
        seen, step = seen + len(first), step + 1
    return totals, np.concatenate(listed, axis=1) if listed else np.zeros((3, 0), dtype=np.int64)


# The core of three bins less the mean of five on either side, two apart.
_CORE = np.concatenate([np.full(5, -0.1), np.zeros(2), np.full(3, 1 / 3), np.zeros(2), np.full(5, -0.1)])


def echo_of(at: np.ndarray, key: np.ndarray, needed: float) -> tuple[Echo, np.ndarray] | None:
    """Measure the strongest echo of news of one key; None where there are no pairs to have one.

    Parameters
    ----------
    at : ndarray of datetime64[us], shape (n,)
    key : ndarray of int, shape (n,)
        Texts or symbols.
    needed : float
        Spreads from which an echo stands out.

    Returns
    -------
    Echo, and the pairs that make it, shape (3, pairs): places of the earlier and the later row, and bins off.
    """
    micro = at.astype(np.int64)
    order = np.lexsort((micro, key))
    micro, key = micro[order], key[order]
    day = micro // 86_400_000_000
    cell = np.cumsum(np.concatenate([[0], (np.diff(key) != 0) | (np.diff(day) != 0)]))
    # One day's flood has as many pairs as the square of its news: it counts by less.
    weight = 1.0 / np.sqrt(np.bincount(cell)[cell])
    totals, _ = _pairs(micro, key, weight)
    excess = np.convolve(totals, _CORE, mode="same")
    lags = np.arange(FIRST_LAG_HOURS * _PER_HOUR, LAST_LAG_HOURS * _PER_HOUR + 1)
    step = _PER_HOUR // 2
    others = lags[(lags % step > 1) & (lags % step < step - 1)]
    spread = float(np.sqrt(np.mean(excess[others] ** 2)))
    burst = (2.0 * totals[0] + totals[1]) / 3.0 - float(np.mean(totals[4:9]))
    if spread <= 0 or burst <= 0:
        return None
    whole = lags[lags % step == 0]
    scores = excess[whole] / spread
    best = int(np.argmax(scores))
    elsewhere = np.abs(np.arange(len(whole)) - best) > 2
    found = Echo(
        hours=float(whole[best]) / _PER_HOUR,
        z=float(scores[best]),
        rival=float(scores[elsewhere].max()),
        next_day=float(excess[whole[best] + 24 * _PER_HOUR] / spread),
        share=min(0.5, _moved(float(excess[whole[best]]) / burst)),
        visible=_moved(needed * spread / burst),
    )
    if not found.stands_out(needed):
        return found, np.zeros((3, 0), dtype=np.int64)
    _, pairs = _pairs(micro, key, weight, int(whole[best]))
    signs = _CORE[pairs[2] + 8] * weight[pairs[0]]
    days = np.bincount(np.unique(day[pairs[0]], return_inverse=True)[1], weights=signs)
    core = np.abs(pairs[2]) <= 1
    if len(days) < FEWEST_ECHO_DAYS or np.sort(days)[:-TOP_DAYS].sum() < LEFT_WITHOUT_TOP * days.sum():
        return replace(found, spread_out=False), pairs[:, :0]
    return found, np.stack([order[pairs[0][core]], order[pairs[1][core]], pairs[2][core]])


def _moved(ratio: float) -> float:
    """Share of rows moved at random that gives an echo of this size beside the bursts that are left."""
    mixed = ratio / (1.0 + ratio)
    return 1.0 if mixed >= 0.5 else (1.0 - math.sqrt(1.0 - 2.0 * max(mixed, 0.0))) / 2.0


def _echo_finding(news: pd.DataFrame, ids: np.ndarray) -> Finding:
    """Ask copies of texts first, then bursts of symbols."""
    once = news[~pd.Series(ids).duplicated().to_numpy()]
    heard: list[tuple[str, Echo]] = []
    for kind, part, enough in (("text", once, ENOUGH_ROWS), ("symbol", news, ENOUGH_OF_SYMBOLS)):
        if len(part) < enough or kind not in part.columns:
            continue
        found = echo_of(utc_array(part["published_at"]), pd.factorize(part[kind])[0], ECHO_Z[kind])
        if found is None:
            continue
        if found[0].stands_out(ECHO_Z[kind]) and found[0].spread_out:
            return _moved_part(part, kind, *found)
        heard.append((kind, found[0]))
        # News of symbols is asked only where copies could not have told.
        if found[0].visible < SEEN_SHARE and found[0].spread_out:
            break
    able = [(kind, echo) for kind, echo in heard if echo.visible < SEEN_SHARE and echo.spread_out]
    if not able:
        return Finding(
            "T4",
            "inconclusive",
            _TITLE,
            f"No time of day is piled up. The {len(news):,} articles are too few, or have too few copies and bursts on "
            "too few days, to show whether a part of the stamps was moved by hours.",
        )
    kind, echo = able[0]
    return Finding(
        "T4",
        "pass",
        _TITLE,
        f"No time of day is piled up, and {_KINDS[kind]} have no echo hours apart: {_numbers(kind, echo)}. "
        f"{echo.visible:.0%} of the rows moved by one distance would have shown.",
        effect=0.0,
        unit="share of articles that would be moved",
    )


_KINDS = {"text": "copies of one text", "symbol": "bursts of news of one symbol"}


def _numbers(kind: str, echo: Echo) -> str:
    return (
        f"{_KINDS[kind]} lie {echo.hours:g} h apart more often than at other distances (z {echo.z:.1f}, "
        f"{ECHO_Z[kind]:g} needed; next strongest {echo.rival:.1f}, a day later {echo.next_day:.1f})"
    )


def _moved_part(news: pd.DataFrame, kind: str, echo: Echo, pairs: np.ndarray) -> Finding:
    whose = ""
    if "source" in news.columns and (news["source"] != news["source"].iloc[0]).any():
        sides = [news["source"].iloc[pairs[place]].value_counts(normalize=True) for place in (0, 1)]
        named = " and ".join(f"{side.index[0]} ({side.iloc[0]:.0%})" for side in sides)
        whose = f" The earlier and the later stamps are mostly of {named}."
    evidence = [
        {"earlier": _row(news, int(one)), "later": _row(news, int(two)), "hours": echo.hours}
        for one, two in pairs[:2, :EVIDENCE_ROWS].T
    ]
    return Finding(
        "T4",
        "suspicious",
        _TITLE,
        f"A part of the stamps seems to be moved by {echo.hours:g} h: {_numbers(kind, echo)}. That fits "
        f"{echo.share:.0%} of {len(news):,} articles.{whose} Which of the two is right cannot be seen from the stamps.",
        evidence,
        echo.share,
        "share of articles that would be moved",
        _REMEDY,
    )


def _row(news: pd.DataFrame, place: int) -> dict[str, Any]:
    row = news.iloc[place]
    return {name: plain(row[name]) for name in ("article_id", "symbol", "source", "published_at") if name in row.index}


def _first_row(shown: pd.DataFrame) -> str:
    row = shown.iloc[0]
    name = f"{row['article_id']} at " if "article_id" in shown.columns else ""
    return f"{name}{row['published_at']}"


def _clock(minute: float) -> str:
    return f"{int(minute) // 60:02d}:{int(minute) % 60:02d}"
