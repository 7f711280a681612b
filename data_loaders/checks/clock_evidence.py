"""Is the declared clock of the news right: one judgement, which the data check and the audit of a run both speak.

Two witnesses are heard. News follows the day of the people who write it, so that it is quiet in their night, rests
when their week does and moves with their summer time; but where they live is not known. Prices move when news comes
out, so that articles stamped on one side of an open or close should see the move on that side. A witness without power
is said to be silent, and a wrong clock is never passed because the right one looks odd.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import ROUND_THE_CLOCK, zone_of
from embargo.data_loaders.checks.day_profile import (
    BUSY_HOURS,
    CLEAR_NIGHT,
    DAYS_AGREE,
    DAYS_OF_MONTH,
    DIRECTION,
    ENOUGH_FOR_PROFILE,
    GAIN_PER_ARTICLE,
    HOME_NIGHT,
    NIGHT_HOURS,
    NOT_ELSEWHERE,
    Night,
    date_only,
    displacement,
    hours_from_home,
    local_minutes,
    night_of,
    profiles,
    session_minutes,
    shifted_by,
    summer_shift,
    week_of,
)
from embargo.data_loaders.checks.reaction import SHIFTS, Legs, legs_of, reaction_by_shift, reaction_by_zone
from embargo.data_loaders.schemas import Prices, rows_where, utc_microseconds

ClockVerdict = Literal["pass", "suspicious", "inconclusive"]

# Share of false alarms allowed to all shifts and sources together, and the tests that shifts to one side count for: one
# each of how far prices moved; fewer of the way they moved as well, where neighbours share most of their articles and
# two witnesses must agree. Where news means nothing, 0.1 % of 900 simulated years with a list of words were doubted.
ALARM, TESTS, TESTS_WITH_TONE = 0.01, 12, 4
# The market bears the stamps out when it speaks against each of these hours by which they might be early.
EXCLUDED, BORNE_OUT, DOUBTED = tuple(range(2, 9)), 2.0, -2.0
ALONE = (1, *EXCLUDED, *(-hours for hours in EXCLUDED))
# Hours and prices agree that half of the year is an hour early: standard errors of both together, what the hours count
# for at most since seasons differ by themselves, and the least that prices must say.
TOGETHER, MOST_OF_HOURS, LEAST_OF_PRICES = 2.9, 4.0, {"summer": 1.5, "winter": 2.6}
# Below so many standard errors of prices, part of the year or of the sources is doubted, and the data not called bad.
PROVEN = 4.0
MOST_SOURCES = 6
# A source is early beside the others: hours, gain in likelihood, standard errors of its days; and what prices must say.
MOST_APART, HOURS_APART, GAIN_APART, DAYS_APART, LEAST_APART = 12, 3, 60.0, 3.5, 2.0
# Hours ahead of UTC of newsrooms that keep no summer time, from Moscow to Brisbane and a bit beyond.
ASIA = (2.0, 11.0)
UTC = ZoneInfo("UTC")
_READ = ("published_at", "article_id", "symbol", "source")

_HARM = {
    True: "The stamps look earlier than the news, so that results may rest on look-ahead.",
    False: "The stamps look later than the news, which loses returns but is no look-ahead.",
    None: "Some stamps may lie before the news, so that results may rest on look-ahead.",
}
_REMEDY = (
    "Check the zone in the source's documentation, or against an event of known time (a rate decision, an earnings "
    "call). Only if they name another zone, set timezone to that one: a change that moves news to before it was out is "
    "look-ahead, and shows returns that nobody could have earned."
)


@dataclass(frozen=True, eq=False)
class MarketReaction:
    """What prices say.

    Attributes
    ----------
    table : DataFrame or None
        As of `reaction_by_shift`; None where there are no prices of these symbols and days.
    level : float
        Standard errors from which a shift of the clock fits better beyond doubt.
    """

    table: pd.DataFrame | None
    level: float

    @property
    def scores(self) -> pd.Series:
        """Standard errors by which the declared clock fits better than one shifted by so many hours."""
        return pd.Series(np.nan, index=list(SHIFTS)) if self.table is None else self.table["score"]

    @property
    def early(self) -> int:
        """Hours by which the stamps are early beyond doubt, 0 for none."""
        return self._beyond_doubt(self.scores[self.scores.index > 0])

    @property
    def late(self) -> int:
        """Hours by which prices moved before the stamps beyond doubt: late stamps, or news that follows prices."""
        # Texts tell of moves that were, in their direction: only sizes are asked here.
        sizes = self.scores if self.table is None else self.table["z"]
        return -self._beyond_doubt(sizes[sizes.index < 0])

    def _beyond_doubt(self, scores: pd.Series) -> int:
        worst = scores.min()
        return _lowest(scores) if worst <= -self.level else 0

    def bears_out(self, *, alone: bool) -> bool:
        """Whether prices speak against stamps two to eight hours early and not for late ones.

        Where they stand ``alone``, without a night, they must speak against one hour as well, since news that follows
        prices and is stamped before them comes close to the move; and against late stamps.
        """
        against = list(ALONE if alone else EXCLUDED)
        return bool((self.scores.loc[against] >= BORNE_OUT).all()) and not self.late

    @property
    def doubts(self) -> bool:
        """Whether early stamps fit better, if not beyond doubt."""
        return bool((self.scores[self.scores.index > 0] <= DOUBTED).any())

    def numbers(self, shift: int) -> str:
        """Words for one shift."""
        assert self.table is not None
        row, side = self.table.loc[shift], f"{abs(shift)} h {'after' if shift > 0 else 'before'}"
        words = (
            f"where {row['articles']:,.0f} pairs of symbol and part of day change over, prices moved "
            f"{row['declared']:+.2f} more than usual at the stamps and {row['shifted']:+.2f} more {side} them"
        )
        if np.isfinite(row["z_tone"]):
            words += (
                f", and where {row['toned']:,.0f} say good or bad, {row['with_declared']:+.2f} their way at the stamps "
                f"and {row['with_shifted']:+.2f} {side}"
            )
        return f"{words} (z {row['score']:.1f})"


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong with the clock.

    Attributes
    ----------
    source : str
        ``"all"`` or the source's name.
    finding : str
    articles : int
        How many it was found on.
    early : bool or None
        Whether the stamps lie before the news (look-ahead) or after it; None where that is open.
    proven : bool
        Whether more than the hours of the day shows it beyond doubt.
    """

    source: str
    finding: str
    articles: int
    early: bool | None
    proven: bool


@dataclass(frozen=True, eq=False)
class ClockJudgement:
    """What is to be thought of the clock of some news.

    Attributes
    ----------
    verdict : {"pass", "suspicious", "inconclusive"}
        ``"suspicious"``: another clock fits better beyond doubt; ``"pass"``: the evidence is for this one;
        ``"inconclusive"``: it cannot tell.
    summary : str
        What decided, in one or two sentences.
    remedy : str
        Empty unless suspicious. Never an advice to move news earlier.
    complaints : tuple of Complaint
        Gravest first.
    hours_early : float or None
        By how many hours prices or the quiet hours say that the stamps lie before the news; negative for after it.
    figures : dict
        Everything measured.
    reaction : DataFrame
        Reaction of prices by shift of the clock; empty without prices.

    Examples
    --------
    >>> from embargo.data_loaders.checks.clock_evidence import judge_clock
    >>> from embargo.data_loaders.simulated import SimulatedMarket, simulate_market
    >>> market = simulate_market(SimulatedMarket(n_symbols=8, end="2016-12-31"))
    >>> judge_clock(market.news, calendar="XNYS", prices=market.prices).verdict
    'pass'
    """

    verdict: ClockVerdict
    summary: str
    remedy: str = ""
    complaints: tuple[Complaint, ...] = ()
    hours_early: float | None = None
    figures: dict[str, int | float | str] = field(default_factory=dict)
    reaction: pd.DataFrame = field(default_factory=pd.DataFrame)


def judge_clock(
    news: pd.DataFrame, *, calendar: str, prices: Prices | None = None, tone: pd.Series | None = None
) -> ClockJudgement:
    """Weigh what the hours of the news and the moves of prices say of the declared clock.

    Stamps that are dates written as times are left out. Suspicious: prices moved some hours after the stamps instead of
    at them; a clear night lies in the trading session, or prices moved before the stamps and the night is not at home
    or the week ends late; over the change to summer time the profile is not stable in local time; hours and prices
    agree that the stamps of summer, or of winter, are an hour early; sources whose day runs hours before that of the
    others have prices against them; a month's profile fits the others better when moved. Each of the largest sources is
    judged by its night too, and then by prices; a night of Asia is no complaint of one source among others, and leaves
    open what prices do not bear out. Pass: prices moved at the stamps and not two to eight hours later; or
    the night is at home, the day is no even stretch, and prices do not contradict.

    Silent on: shifts of one hour throughout where few articles lie within an hour of an open or close, and of two or
    three where prices show nothing; a part of the articles of every source; stamps too late by a clock whose news has
    no clear night, since news that follows prices looks the same; sources below 120 articles.

    Parameters
    ----------
    news : DataFrame
        ``published_at`` (UTC); optionally ``article_id``, ``symbol`` and ``source``. One row per article and symbol.
    calendar : str
        exchange_calendars code or ``"24/7"``; for the latter only prices are heard.
    prices : Prices, optional
        Bars of the symbols, of any length. Without them the market is not heard.
    tone : Series, optional
        Index of ``news``: what each text says, from -1 (bad) to 1 (good), as a reader has it who knows no prices, such
        as a word list. With it prices tell a wrong clock from a quarter of the articles.

    Returns
    -------
    ClockJudgement

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders.checks.clock_evidence import judge_clock
    >>> at = pd.date_range("2020-01-01", periods=5_000, freq="7h13min", tz="UTC").to_frame(name="published_at")
    >>> judge_clock(at, calendar="XNYS").verdict
    'inconclusive'
    """
    zone = zone_of(calendar)
    vague = date_only(news["published_at"], zone).mask
    # Texts are not read here, and each part of the news would copy them.
    timed = rows_where(news[[name for name in _READ if name in news.columns]], ~vague)
    if "article_id" in timed.columns:
        timed = timed.assign(article_id=pd.factorize(timed["article_id"])[0])
    if timed.empty:
        return ClockJudgement("inconclusive", "not judged: all stamps are dates, not times", figures={"articles": 0})
    parts = {"all": timed}
    if "source" in timed.columns:
        sizes = timed["source"].value_counts()
        named = sizes[(sizes >= ENOUGH_FOR_PROFILE) & (sizes < len(timed))].index[:MOST_SOURCES]
        parts |= {str(name): timed[timed["source"] == name] for name in named}
    at = timed["published_at"]
    legs = None if prices is None or "symbol" not in timed.columns else legs_of(prices, at.min(), at.max())
    level = -NormalDist().inv_cdf(ALARM / ((TESTS if tone is None else TESTS_WITH_TONE) * len(parts)))
    session = None if calendar == ROUND_THE_CLOCK else session_minutes(at, calendar)
    heard = {name: _hear(name, part, legs, level, zone, session, tone) for name, part in parts.items()}
    once = _one_per_article(timed)["published_at"]
    week = 0 if session is None else week_of(once, calendar)
    complaints, eastern = _of_each(heard, parts, week)
    unclear = ""
    night, market, count = heard["all"]
    figures: dict[str, int | float | str] = {"articles": count}
    if session is not None:
        figures |= {"quietest_hour_local": night.middle, "share_of_quietest_hours": night.share, "profile": night.kind}
        figures["week_hours"] = week
        elsewhere = night.kind != "home" and market.bears_out(alone=True)
        more, seasons = _changes(once, zone, elsewhere=elsewhere)
        apart, unclear = _sources_apart(timed, zone, legs, level, tone)
        unclear = unclear or eastern
        complaints += [*more, *_season_early(timed, zone, legs, level, tone), *apart]
        figures |= seasons
    figures |= _market_figures(market)
    table = pd.DataFrame() if market.table is None else market.table
    hours = _hours_early(night, market, session)
    if legs is not None and market.early and complaints:
        complaints[0] = replace(complaints[0], finding=f"{complaints[0].finding}{_like_zone(timed, legs, tone)}")
    if complaints:
        complaints.sort(
            key=lambda found: (not found.proven, (True, None, False).index(found.early), found.source != "all")
        )
        first = complaints[0]
        whose = "" if first.source == "all" else f"{first.source}: "
        words = f"{whose}{first.finding}" + (f", and {len(complaints) - 1} more" if len(complaints) > 1 else "")
        remedy = f"{_HARM[first.early]} {_REMEDY}"
        return ClockJudgement("suspicious", words, remedy, tuple(complaints), hours, figures, table)
    if unclear:
        return ClockJudgement("inconclusive", f"not judged: {unclear}", figures=figures, reaction=table)
    if figures.get("stable_in") in ("UTC", "neither"):
        words = (
            "not judged: prices moved at the stamps, but over the change to summer time the hours of the news are "
            f"stable in {figures['stable_in']}, as with a source that lives elsewhere or a clock an hour off for half "
            "of the year"
        )
        return ClockJudgement("inconclusive", words, figures=figures, reaction=table)
    at_home = night.kind == "home"
    # At home, news that follows prices by an hour or two is no reason to doubt the clock.
    if market.bears_out(alone=not at_home):
        words = "prices moved at the stamps: " + market.numbers(5)
        return ClockJudgement("pass", words, figures=figures, reaction=table)
    if at_home and not week and not market.late and not market.doubts:
        words = (
            f"quietest around {clock_time(night.middle)} local time, as a night should be; a clock wrong by less than "
            "four hours, or a source that sleeps elsewhere, would look the same"
        )
        return ClockJudgement("pass", words, figures=figures, reaction=table)
    words = f"not judged: {_about_night(night, session)}{_about_week(week)}, and {_about_market(market)}"
    return ClockJudgement("inconclusive", words, figures=figures, reaction=table)


def _lowest(scores: pd.Series) -> int:
    """Shift of the lowest score."""
    return int(scores.index.to_numpy()[int(np.nanargmin(scores.to_numpy(dtype=float)))])


def clock_time(hour: float) -> str:
    """Write an hour of the day, such as ``02:30``."""
    minutes = round(hour * 60) % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _one_per_article(news: pd.DataFrame) -> pd.DataFrame:
    return news.drop_duplicates("article_id") if "article_id" in news.columns else news


def _hear(
    name: str,
    part: pd.DataFrame,
    legs: Legs | None,
    level: float,
    zone: ZoneInfo,
    session: tuple[float, float] | None,
    tone: pd.Series | None,
) -> tuple[Night, MarketReaction, int]:
    once = _one_per_article(part)
    night = Night("few", 0.0, 0.0, 0.0)
    if session is not None:
        night = night_of(local_minutes(once["published_at"], zone), session)
    # One source of many whose night is at home is not asked further: it would cost a run as much as all of them.
    asked = name == "all" or night.kind != "home"
    table = None
    if legs is not None and asked:
        table = reaction_by_shift(part["published_at"], part["symbol"], legs, _told(tone, part))
    return night, MarketReaction(table, level), len(once)


def _complaint(source: str, night: Night, market: MarketReaction, articles: int, week: int) -> Complaint | None:
    if market.early:
        return Complaint(source, f"the stamps look early: {market.numbers(market.early)}", articles, True, True)
    quiet = f"quietest around {clock_time(night.middle)} local time"
    if market.late and (night.kind in ("apart", "session") or week < 0):
        hours = quiet if night.kind in ("apart", "session") else f"the week ends {-week} h after midnight"
        finding = f"the stamps look late: {hours}, and {market.numbers(-market.late)}"
        return Complaint(source, finding, articles, False, True)
    if night.kind == "session":
        off = hours_from_home(night)
        early = None if abs(off) > DIRECTION else off > 0
        if market.bears_out(alone=not early):
            return None
        finding = f"{quiet}, while the exchange is awake: the clock is wrong or the source sleeps elsewhere"
        return Complaint(source, finding, articles, early, False)
    return None


def _of_each(
    heard: dict[str, tuple[Night, MarketReaction, int]], parts: dict[str, pd.DataFrame], week: int
) -> tuple[list[Complaint], str]:
    """Complaints of all news and of each source; and what cannot be told of sources that may live in Asia.

    A newsroom of Asia beside others rests in the session by rights: its hours alone are no complaint.
    """
    complaints, eastern = [], ""
    for name, (night, market, count) in heard.items():
        found = _complaint(name, night, market, count, week if name == "all" else 0)
        if found is None:
            continue
        doubted = bool((market.scores <= DOUBTED).any())
        if name == "all" or found.proven or doubted or not ASIA[0] <= _ahead(parts[name]) <= ASIA[1]:
            complaints.append(found)
        else:
            eastern = f"{name} is {found.finding}"
    return complaints, eastern


def _changes(at: pd.Series, zone: ZoneInfo, *, elsewhere: bool) -> tuple[list[Complaint], dict[str, int | float | str]]:
    """Complaints of seasons and months whose profile fits the others better when moved by whole hours.

    A source that lives ``elsewhere`` keeps other seasons.
    """
    local = at.dt.tz_convert(zone).dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    complaints: list[Complaint] = []
    summer, stable_in = summer_shift(at, zone)
    if summer and not elsewhere and (abs(summer) > 1 or _clock_without_summer(at, zone)):
        finding = f"summer profile {summer:+d} h against winter: stable in {stable_in}"
        complaints.append(Complaint("all", finding, len(at), None, True))
    month, whole, moved = local.astype("datetime64[M]"), profiles(local).sum(axis=0), 0
    for one in np.unique(month):
        part = local[month == one]
        if min(len(part), len(local) - len(part)) < ENOUGH_FOR_PROFILE:
            continue
        own = profiles(part)
        shift = shifted_by(
            own, whole - own.sum(axis=0), per_article=GAIN_PER_ARTICLE, agree=DAYS_AGREE, sure=DAYS_OF_MONTH
        )
        if shift:
            moved += 1
            complaints.append(Complaint("all", f"{one} runs {shift:+d} h", len(part), shift < 0, True))
    return complaints, {
        "summer_shift_hours": "not judged" if summer is None else summer,
        "stable_in": stable_in,
        "shifted_months": moved,
    }


def _season_early(
    timed: pd.DataFrame, zone: ZoneInfo, legs: Legs | None, level: float, tone: pd.Series | None
) -> list[Complaint]:
    """Complaints of stamps an hour early while summer time holds, or while it does not: hours and prices together.

    A source that lives elsewhere moves its hours in winter but keeps its moment, so that prices must say it then.
    """
    at = timed["published_at"]
    local = at.dt.tz_convert(zone).dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    offset = local - utc_microseconds(at)
    if legs is None or len(np.unique(offset)) != 2:
        return []
    once, complaints = _first_rows(timed), []
    for season, chosen in (("summer", offset == offset.max()), ("winter", offset == offset.min())):
        found = displacement(local[once], chosen[once])
        if found.hours != -1 or found.score <= 0:
            continue
        told = _told(tone, timed[chosen])
        market = MarketReaction(reaction_by_shift(at[chosen], timed["symbol"][chosen], legs, told, shifts=(1,)), level)
        against = -float(market.scores.loc[1])
        both = (min(found.score, MOST_OF_HOURS) + against) / np.sqrt(2.0)
        if against >= LEAST_OF_PRICES[season] and (both >= TOGETHER or against >= level):
            words = (
                f"in {season} the stamps look an hour early: the hours of the news fit the other half of the year "
                f"better by one (z {found.score:.1f}), and {market.numbers(1)}"
            )
            complaints.append(Complaint("all", words, int(chosen.sum()), early=True, proven=against >= PROVEN))
    return complaints


def _sources_apart(
    timed: pd.DataFrame, zone: ZoneInfo, legs: Legs | None, level: float, tone: pd.Series | None
) -> tuple[list[Complaint], str]:
    """Complaints of sources whose day runs hours before that of the others and whose news prices follow; and doubts.

    A source that lives farther east has an early day by rights: then prices move at its stamps. All sources that are
    early are asked together, each by its own hours.
    """
    if "source" not in timed.columns:
        return [], ""
    local = timed["published_at"].dt.tz_convert(zone).dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    once = _first_rows(timed)
    early: dict[str, int] = {}
    for name in timed.loc[once, "source"].value_counts().index[:MOST_APART]:
        chosen = (timed["source"] == name).to_numpy()
        found = displacement(local[once], chosen[once], farthest=12)
        if found.hours <= -HOURS_APART and found.gain >= GAIN_APART and found.score >= DAYS_APART:
            early[str(name)] = -found.hours
    if not early:
        return [], ""
    chosen = timed["source"].isin(list(early)).to_numpy()
    hours = round(sum(early.values()) / len(early))
    whose = ", ".join(early)
    words = f"the day of {whose} runs {hours} h before that of the other sources"
    told = _told(tone, timed[chosen])
    market = MarketReaction(None, level)
    if legs is not None:
        part = timed[chosen]
        market = MarketReaction(
            reaction_by_shift(part["published_at"], part["symbol"], legs, told, shifts=(hours,)), level
        )
    score = float(market.scores.loc[hours])
    if score <= -LEAST_APART:
        said = f"{words}, and {market.numbers(hours)}"
        return [Complaint(whose, said, int(chosen.sum()), early=True, proven=score <= -PROVEN)], ""
    return [], "" if score >= BORNE_OUT else f"{words}, which they may owe to where they live or to another clock"


def _like_zone(timed: pd.DataFrame, legs: Legs, tone: pd.Series | None) -> str:
    """Name the zone whose wall clock, read as if it showed UTC, prices fit best, if they fit any beyond chance."""
    scores = reaction_by_zone(timed["published_at"], timed["symbol"], legs, _told(tone, timed))["score"].dropna()
    if scores.empty or scores.min() > -BORNE_OUT:
        return ""
    return f"; of twelve zones that of {scores.idxmin()} read as UTC fits best (z {scores.min():.1f})"


def _told(tone: pd.Series | None, part: pd.DataFrame) -> pd.Series | None:
    return None if tone is None else tone.loc[part.index]


def _first_rows(news: pd.DataFrame) -> np.ndarray:
    """Mark one row of each article."""
    if "article_id" not in news.columns:
        return np.ones(len(news), dtype=bool)
    return ~news["article_id"].duplicated().to_numpy(dtype=bool)


def _clock_without_summer(at: pd.Series, zone: ZoneInfo) -> bool:
    """Tell whether an hour's shift in summer is that of a clock, not of a source that lives elsewhere.

    Europe and America change on different days, so that a source of the other continent would keep those. Newsrooms
    that keep no summer time lie in Asia: where it is night at other hours, somebody's wall clock was read as if it
    never changed.
    """
    rival = ZoneInfo("Europe/London" if zone.key.startswith("America/") else "America/New_York")
    night = night_of(local_minutes(at, UTC), (0.0, 0.0))
    at_home = night.share >= CLEAR_NIGHT or ASIA[0] <= _hours_ahead(night) <= ASIA[1]
    return summer_shift(at, rival, sure=NOT_ELSEWHERE)[0] == 1 and not at_home


def _ahead(news: pd.DataFrame) -> float:
    """Hours ahead of UTC at which those live whose night this is."""
    return _hours_ahead(night_of(local_minutes(_one_per_article(news)["published_at"], UTC), (0.0, 0.0)))


def _hours_ahead(night: Night) -> float:
    return (sum(HOME_NIGHT) / 2 - night.middle + 12.0) % 24.0 - 12.0


def _market_figures(market: MarketReaction) -> dict[str, int | float | str]:
    scores = market.scores.dropna()
    if market.table is None or scores.empty:
        return {"market": "not judged"}
    said = (
        "early"
        if market.early
        else "late"
        if market.late
        else "right"
        if market.bears_out(alone=False)
        else "undecided"
    )
    worst = _lowest(scores[scores.index > 0]) if (scores.index > 0).any() else 0
    return {"market": said, "best_early_hours": worst, "z_of_best_early": float(scores.get(worst, np.nan))}


def _hours_early(night: Night, market: MarketReaction, session: tuple[float, float] | None) -> float | None:
    if market.early or market.late:
        return float(market.early or -market.late)
    if session is not None and night.kind == "session":
        return hours_from_home(night)
    return None


def _about_night(night: Night, session: tuple[float, float] | None) -> str:
    if session is None:
        return "a market that never closes has no hours to hold the clock against"
    return {
        "few": f"fewer than {ENOUGH_FOR_PROFILE} articles with a time of day are too few for a profile",
        "flat": f"the articles are spread too evenly over the day (the busiest {BUSY_HOURS} waking hours hold "
        f"{night.busiest:.0%}, the quietest {NIGHT_HOURS} {night.share:.0%})",
        "brief": "the articles come within a few hours of the day, which have no night",
        "apart": f"the quietest hours lie around {clock_time(night.middle)} local time, as with a clock some "
        "hours off or a source that sleeps elsewhere",
        "home": f"the quietest hours lie around {clock_time(night.middle)} local time, as a night should",
        "session": f"the quietest hours lie around {clock_time(night.middle)} local time",
    }[night.kind]


def _about_week(week: int) -> str:
    if not week:
        return ""
    return f", the week ends {abs(week)} h {'before' if week > 0 else 'after'} midnight"


def _about_market(market: MarketReaction) -> str:
    if market.table is None:
        return "there are no prices of these symbols and days to hold it against"
    scores = market.scores.loc[list(ALONE)].dropna()
    if scores.empty or (scores >= BORNE_OUT).all():
        return "too few articles would change sides of an open or close to hold prices against it"
    if market.late:
        return (
            "prices moved before the stamps, which news that follows prices does as well as a late clock: "
            + market.numbers(-market.late)
        )
    worst = _lowest(scores)
    return (
        f"prices do not show it either: stamps {abs(worst)} h {'early' if worst > 0 else 'late'} would fit as well "
        f"(z {scores.min():.1f}, {BORNE_OUT:g} needed)"
    )
