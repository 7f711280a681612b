"""Is the declared clock of the news right: one judgement, which the data check and the audit of a run both speak.

Two witnesses are heard. News follows the day of the people who write it, so that it is quiet in their night, rests
when their week does and moves with their summer time; but where they live is not known. Prices move when news comes
out, so that articles stamped on one side of an open or close should see the move on that side. A witness without power
is said to be silent, and a wrong clock is never passed because the right one looks odd.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from scipy.stats import norm

from embargo.data_loaders.calendars import ROUND_THE_CLOCK, sessions, zone_of
from embargo.data_loaders.checks.reaction import SHIFTS, Legs, legs_of, reaction_by_shift
from embargo.data_loaders.schemas import Prices, utc_microseconds

ClockVerdict = Literal["pass", "suspicious", "inconclusive"]

# Below this many articles, one hour of the profile is a handful.
ENOUGH_FOR_PROFILE = 400
# A quarter of the day holds a quarter of the articles of a feed that never sleeps; a night holds far less.
NIGHT_HOURS, CLEAR_NIGHT = 6, 0.17
# Of articles spread evenly over the eighteen waking hours, the busiest eight hold .44.
BUSY_HOURS, CLEAR_DAY = 8, 0.50
# A feed that is quiet for more than half of the day has working hours, not nights.
QUIET, BRIEF_HOURS = 0.1, 12.0
# People at home sleep around these local hours; a feed that rests while the exchange trades lives elsewhere.
HOME_NIGHT = (0.0, 5.0)
HOURS_BEFORE_OPEN, HOURS_AFTER_CLOSE = 2.0, 3.0
# Farther from home than this, a night may as well lie on the other side.
DIRECTION = 9.0
# Twice the log likelihood gained by moving a profile by whole hours; pure chance reaches 30 once in ten million.
GAIN_OF_SHIFT = 30.0
# Real seasons and news days change a profile as well: per article the gain must exceed this too.
GAIN_PER_ARTICLE = 0.04
FARTHEST_SHIFT = 6
# Standard errors of a sign test over weeks, and the share of the articles on days of rest that a better week leaves.
WEEKS_BEYOND_DOUBT, WEEK_LEFT = 4.0, 0.5
# Share of false alarms allowed to all shifts and sources together, each of which is one test of how prices moved.
ALARM = 0.01
# The market bears the stamps out when it speaks against each of these hours by which they might be early.
EXCLUDED, BORNE_OUT, DOUBTED = tuple(range(2, 9)), 2.0, -2.0
MOST_SOURCES = 6

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


def local_minutes(instants: pd.Series, zone: ZoneInfo) -> np.ndarray:
    """Minutes since local midnight, fractions kept; shape (n,)."""
    local = instants.dt.tz_convert(zone).dt.tz_localize(None)
    stamps = local.to_numpy(dtype="datetime64[us]")
    minutes: np.ndarray = (stamps - stamps.astype("datetime64[D]")).astype(np.int64) / 60e6
    return minutes


def session_minutes(instants: pd.Series, calendar: str) -> tuple[float, float]:
    """Usual local minute at which sessions of these dates open and close."""
    table = sessions(calendar, instants.min(), instants.max() + pd.Timedelta(days=7))
    zone = zone_of(calendar)
    opens, closes = (float(np.median(local_minutes(table[name], zone))) for name in ("open_at", "close_at"))
    return opens, closes


@dataclass(frozen=True, eq=False)
class DateOnly:
    """Which stamps are dates written as times: exactly midnight of ``zone``."""

    mask: np.ndarray
    zone: str


def date_only(instants: pd.Series, zone: ZoneInfo) -> DateOnly:
    """Mark stamps at exactly midnight, if they outnumber what other full hours lead one to expect."""
    best = DateOnly(np.zeros(len(instants), dtype=bool), zone.key)
    for name in dict.fromkeys((zone.key, "UTC")):
        minutes = local_minutes(instants, ZoneInfo(name))
        counts = np.bincount((minutes[minutes % 60 == 0] // 60).astype(np.int64), minlength=24)
        usual = float(np.median(counts[1:]))
        if counts[0] > 3.0 * usual + 5.0 and counts[0] > best.mask.sum():
            best = DateOnly(minutes == 0, name)
    return best


@dataclass(frozen=True)
class Night:
    """What the profile over the day says.

    Attributes
    ----------
    kind : str
        ``"home"``: a night where the exchange sleeps; ``"apart"``: a night some hours beside it; ``"session"``: quiet
        while the exchange trades; ``"flat"``, ``"brief"`` and ``"few"``: too even, too few hours, too few articles to
        tell.
    middle : float
        Local hour in the middle of the quietest six hours.
    share : float
        Share of the articles in those.
    busiest : float
        Share of the other articles that falls into the busiest eight hours.
    """

    kind: Literal["home", "apart", "session", "flat", "brief", "few"]
    middle: float
    share: float
    busiest: float


def night_of(minutes: np.ndarray, session: tuple[float, float]) -> Night:
    """Find the night in minutes since local midnight, beside a session from and to a local minute."""
    halves = np.bincount((minutes // 30).astype(np.int64), minlength=48)[:48].astype(float)
    total = max(float(halves.sum()), 1.0)
    quiet, busy = _sums(halves, 2 * NIGHT_HOURS), _sums(halves, 2 * BUSY_HOURS)
    # Where several stretches are as quiet as each other, the middle is that of all of them together.
    start = _middle_of_longest(quiet <= quiet.min())
    middle, share = (start / 2 + NIGHT_HOURS / 2) % 24, float(quiet.min()) / total
    busiest = float(busy.max()) / total / max(1.0 - share, 1e-9)
    if len(minutes) < ENOUGH_FOR_PROFILE:
        return Night("few", middle, share, busiest)
    if share >= CLEAR_NIGHT or busiest < CLEAR_DAY:
        return Night("flat", middle, share, busiest)
    if np.count_nonzero(halves < QUIET * total / 48) / 2 > BRIEF_HOURS:
        return Night("brief", middle, share, busiest)
    if HOME_NIGHT[0] <= middle <= HOME_NIGHT[1]:
        return Night("home", middle, share, busiest)
    opens, closes = (minute / 60 for minute in session)
    trading = opens - HOURS_BEFORE_OPEN < middle < closes + HOURS_AFTER_CLOSE
    return Night("session" if trading else "apart", middle, share, busiest)


def _sums(halves: np.ndarray, width: int) -> np.ndarray:
    """Add up ``width`` half hours from each on, round the clock."""
    return np.convolve(np.concatenate([halves, halves[: width - 1]]), np.ones(width), mode="valid")


def _middle_of_longest(chosen: np.ndarray) -> float:
    """Middle place of the longest run of True on a circle."""
    if chosen.all():
        return 0.0
    first = int(np.flatnonzero(~chosen)[0])
    turned = np.roll(chosen, -first).astype(np.int64)
    edges = np.diff(np.concatenate([[0], turned, [0]]))
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    longest = int(np.argmax(ends - begins))
    return float((begins[longest] + ends[longest] - 1) / 2 + first)


def week_of(instants: pd.Series, calendar: str) -> int:
    """Tell by how many hours a week that ends at midnight lies beside that of the exchange.

    Articles on days without a session (weekends, holidays) are counted for every shift of the clock. A shift counts if
    it takes most of them onto session days and puts few others in their place, in nearly every week in which it changes
    anything; of such shifts the smallest is taken that leaves fewest.

    Returns
    -------
    int
        Hours to be added to the stamps, so positive for early stamps; 0 where no shift is better beyond doubt.
    """
    table = sessions(calendar, instants.min() - pd.Timedelta(days=3), instants.max() + pd.Timedelta(days=3))
    local = instants.dt.tz_convert(zone_of(calendar)).dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    hours, days = local.astype("datetime64[h]").astype(np.int64), table.index.to_numpy().astype("datetime64[D]")
    first = int(days[0].astype(np.int64)) - 7
    resting = np.ones(int(days[-1].astype(np.int64)) - first + 8, dtype=bool)
    resting[days.astype(np.int64) - first] = False
    off, week = resting[hours // 24 - first], (hours // 24 - first) // 7
    left = {0: int(off.sum())}
    for shift in SHIFTS:
        shifted = resting[(hours + shift) // 24 - first]
        gained = np.bincount(week, weights=off.astype(float) - shifted)
        better, worse = int((gained > 0).sum()), int((gained < 0).sum())
        wins = (better - worse) / np.sqrt(max(better + worse, 1))
        if wins >= WEEKS_BEYOND_DOUBT and shifted.sum() <= WEEK_LEFT * left[0]:
            left[shift] = int(shifted.sum())
    return min(left, key=lambda shift: (left[shift], abs(shift)))


@dataclass(frozen=True, eq=False)
class Market:
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
        return pd.Series(np.nan, index=list(SHIFTS)) if self.table is None else self.table["z"]

    @property
    def early(self) -> int:
        """Hours by which the stamps are early beyond doubt, 0 for none."""
        return self._beyond_doubt(self.scores[self.scores.index > 0])

    @property
    def late(self) -> int:
        """Hours by which prices moved before the stamps beyond doubt: late stamps, or news that follows prices."""
        return -self._beyond_doubt(self.scores[self.scores.index < 0])

    def _beyond_doubt(self, scores: pd.Series) -> int:
        worst = scores.min()
        return int(scores.idxmin()) if worst <= -self.level else 0

    def bears_out(self, *, late: bool) -> bool:
        """Whether prices speak against stamps two to eight hours early, and if asked against late ones too."""
        sides = (1, -1) if late else (1,)
        against = self.scores.loc[[side * hours for side in sides for hours in EXCLUDED]]
        return bool((against >= BORNE_OUT).all()) and not self.late

    @property
    def doubts(self) -> bool:
        """Whether early stamps fit better, if not beyond doubt."""
        return bool((self.scores[self.scores.index > 0] <= DOUBTED).any())

    def numbers(self, shift: int) -> str:
        """Words for one shift."""
        assert self.table is not None
        row = self.table.loc[shift]
        return (
            f"where {int(row['articles']):,} pairs of symbol and part of day change over, prices moved "
            f"{row['declared']:+.2f} more than usual at the stamps and {row['shifted']:+.2f} more {abs(shift)} h "
            f"{'after' if shift > 0 else 'before'} them (z {row['z']:.1f})"
        )


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
        Whether more than the hours of the day shows it.
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


def judge_clock(news: pd.DataFrame, *, calendar: str, prices: Prices | None = None) -> ClockJudgement:
    """Weigh what the hours of the news and the moves of prices say of the declared clock.

    Stamps that are dates written as times are left out. Suspicious: prices moved some hours after the stamps instead of
    at them; a clear night lies in the trading session, or prices moved before the stamps and the night is not at home
    or the week ends late; over the change to summer time the profile is not stable in local time; a month's profile
    fits the others better when moved. Each of the largest sources is judged by prices and its night as well. Pass:
    prices moved at the stamps and not two to eight hours later; or the night is at home, the day is no even stretch,
    and prices do not contradict.

    Silent on: shifts of one hour throughout, and of two or three where prices show nothing; stamps too late by a clock
    whose news has no clear night, since news that follows prices looks the same; sources below 400 articles.

    Parameters
    ----------
    news : DataFrame
        ``published_at`` (UTC); optionally ``article_id``, ``symbol`` and ``source``. One row per article and symbol.
    calendar : str
        exchange_calendars code or ``"24/7"``; for the latter only prices are heard.
    prices : Prices, optional
        Bars of the symbols, of any length. Without them the market is not heard.

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
    timed = news[~date_only(news["published_at"], zone).mask]
    if timed.empty:
        return ClockJudgement("inconclusive", "all stamps are dates, not times", figures={"articles": 0})
    parts = {"all": timed}
    if "source" in timed.columns:
        sizes = timed["source"].value_counts()
        named = sizes[(sizes >= ENOUGH_FOR_PROFILE) & (sizes < len(timed))].index[:MOST_SOURCES]
        parts |= {str(name): timed[timed["source"] == name] for name in named}
    at = timed["published_at"]
    legs = None if prices is None or "symbol" not in timed.columns else legs_of(prices, at.min(), at.max())
    level = float(norm.isf(ALARM / (12 * len(parts))))
    session = None if calendar == ROUND_THE_CLOCK else session_minutes(at, calendar)
    heard = {name: _hear(part, legs, level, zone, session) for name, part in parts.items()}
    week = 0 if session is None else week_of(_one_per_article(timed)["published_at"], calendar)
    complaints = [
        found
        for name, (night, market, count) in heard.items()
        if (found := _complaint(name, night, market, count, week if name == "all" else 0))
    ]
    night, market, count = heard["all"]
    figures: dict[str, int | float | str] = {"articles": count}
    if session is not None:
        figures |= {"quietest_hour_local": night.middle, "share_of_quietest_hours": night.share, "profile": night.kind}
        figures["week_hours"] = week
        elsewhere = night.kind != "home" and market.bears_out(late=True)
        more, seasons = _changes(_one_per_article(timed)["published_at"], zone, elsewhere=elsewhere)
        complaints += more
        figures |= seasons
    figures |= _market_figures(market)
    table = pd.DataFrame() if market.table is None else market.table
    hours = _hours_early(night, market, session)
    if complaints:
        complaints.sort(key=lambda complaint: ((True, None, False).index(complaint.early), not complaint.proven))
        first = complaints[0]
        named = "" if first.source == "all" else f"{first.source}: "
        words = f"{named}{first.finding}" + (f", and {len(complaints) - 1} more" if len(complaints) > 1 else "")
        remedy = f"{_HARM[first.early]} {_REMEDY}"
        return ClockJudgement("suspicious", words, remedy, tuple(complaints), hours, figures, table)
    at_home = night.kind == "home"
    # At home, news that follows prices by an hour or two is no reason to doubt the clock.
    if market.bears_out(late=not at_home):
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


def clock_time(hour: float) -> str:
    """Write an hour of the day, such as ``02:30``."""
    minutes = round(hour * 60) % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _one_per_article(news: pd.DataFrame) -> pd.DataFrame:
    return news.drop_duplicates("article_id") if "article_id" in news.columns else news


def _hear(
    part: pd.DataFrame, legs: Legs | None, level: float, zone: ZoneInfo, session: tuple[float, float] | None
) -> tuple[Night, Market, int]:
    once = _one_per_article(part)
    night = Night("few", 0.0, 0.0, 0.0)
    if session is not None:
        night = night_of(local_minutes(once["published_at"], zone), session)
    table = None if legs is None else reaction_by_shift(part["published_at"], part["symbol"], legs)
    return night, Market(table, level), len(once)


def _complaint(source: str, night: Night, market: Market, articles: int, week: int) -> Complaint | None:
    if market.early:
        return Complaint(source, f"the stamps look early: {market.numbers(market.early)}", articles, True, True)
    quiet = f"quietest around {clock_time(night.middle)} local time"
    if market.late and (night.kind in ("apart", "session") or week < 0):
        hours = quiet if night.kind in ("apart", "session") else f"the week ends {-week} h after midnight"
        finding = f"the stamps look late: {hours}, and {market.numbers(-market.late)}"
        return Complaint(source, finding, articles, False, True)
    if night.kind == "session":
        hours = _hours_from_home(night)
        early = None if abs(hours) > DIRECTION else hours > 0
        if market.bears_out(late=not early):
            return None
        finding = f"{quiet}, while the exchange is awake: the clock is wrong or the source sleeps elsewhere"
        return Complaint(source, finding, articles, early, False)
    return None


def _changes(at: pd.Series, zone: ZoneInfo, *, elsewhere: bool) -> tuple[list[Complaint], dict[str, int | float | str]]:
    """Complaints of seasons and months whose profile fits the others better when moved by whole hours.

    A source that lives ``elsewhere`` keeps other seasons.
    """
    local = at.dt.tz_convert(zone).dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    complaints: list[Complaint] = []
    summer, stable_in = _summer_shift(local, local - utc_microseconds(at))
    if summer and not elsewhere:
        finding = f"summer profile {summer:+d} h against winter: stable in {stable_in}"
        complaints.append(Complaint("all", finding, len(at), None, True))
    month, whole, moved = local.astype("datetime64[M]"), _profiles(local), 0
    for one in np.unique(month):
        part = local[month == one]
        if min(len(part), len(local) - len(part)) < ENOUGH_FOR_PROFILE:
            continue
        own = _profiles(part)
        shift = _shifted(own, (whole - own).sum(axis=0))
        if shift:
            moved += 1
            complaints.append(Complaint("all", f"{one} runs {shift:+d} h", len(part), shift < 0, True))
    return complaints, {
        "summer_shift_hours": "not judged" if summer is None else summer,
        "stable_in": stable_in,
        "shifted_months": moved,
    }


def _profiles(local: np.ndarray) -> np.ndarray:
    """Articles in each local hour of every other day, and of the days between; shape (2, 24)."""
    hours = local.astype("datetime64[h]").astype(np.int64)
    days, hour = np.divmod(hours, 24)
    counts: np.ndarray = np.bincount(days % 2 * 24 + hour, minlength=48).reshape(2, 24)
    return counts


def _shifted(halves: np.ndarray, reference: np.ndarray) -> int:
    """Whole hours by which a profile runs later than another beyond doubt, 0 for none.

    Every other day and the days between must both say so, since one day's burst of reposts has hours of its own.
    """
    share = (reference + 0.5) / (reference + 0.5).sum()
    shifts = range(-FARTHEST_SHIFT, FARTHEST_SHIFT + 1)
    likelihood = 2.0 * halves @ np.log(np.stack([np.roll(share, shift) for shift in shifts], axis=1))
    gain = likelihood - likelihood[:, [FARTHEST_SHIFT]]
    best = int(np.argmax(gain.sum(axis=0)))
    needed = np.maximum(GAIN_OF_SHIFT / 2, GAIN_PER_ARTICLE * halves.sum(axis=1))
    return shifts[best] if (gain[:, best] > needed).all() else 0


def _summer_shift(local: np.ndarray, offset: np.ndarray) -> tuple[int | None, str]:
    """Hours by which the local profile of summer time runs later than that of winter time, and in which it is stable.

    None where the zone has no summer time or a season has too few articles.
    """
    if len(np.unique(offset)) != 2:
        return None, "not judged"
    summer = offset == offset.max()
    if min(summer.sum(), (~summer).sum()) < ENOUGH_FOR_PROFILE:
        return None, "not judged"
    shift = _shifted(_profiles(local[summer]), _profiles(local[~summer]).sum(axis=0))
    return shift, {0: "local time", 1: "UTC"}.get(shift, "neither")


def _market_figures(market: Market) -> dict[str, int | float | str]:
    scores = market.scores.dropna()
    if market.table is None or scores.empty:
        return {"market": "not judged"}
    said = (
        "early" if market.early else "late" if market.late else "right" if market.bears_out(late=False) else "undecided"
    )
    worst = int(scores[scores.index > 0].idxmin()) if (scores.index > 0).any() else 0
    return {"market": said, "best_early_hours": worst, "z_of_best_early": float(scores.get(worst, np.nan))}


def _hours_early(night: Night, market: Market, session: tuple[float, float] | None) -> float | None:
    if market.early or market.late:
        return float(market.early or -market.late)
    if session is not None and night.kind == "session":
        return _hours_from_home(night)
    return None


def _hours_from_home(night: Night) -> float:
    """Hours by which a night lies before the night at home; negative for after it."""
    return float((sum(HOME_NIGHT) / 2 - night.middle + 12.0) % 24.0 - 12.0)


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


def _about_market(market: Market) -> str:
    if market.table is None:
        return "there are no prices of these symbols and days to hold it against"
    scores = market.scores.loc[list(EXCLUDED)].dropna()
    if scores.empty:
        return "too few articles would change sides of an open or close to hold prices against it"
    if market.late:
        return (
            "prices moved before the stamps, which news that follows prices does as well as a late clock: "
            + market.numbers(-market.late)
        )
    return (
        f"prices do not show it either: stamps {int(scores.idxmin())} h early would fit as well "
        f"(z {scores.min():.1f}; {BORNE_OUT:g} needed for each of {EXCLUDED[0]} to {EXCLUDED[-1]} h)"
    )
