"""What the hours of the news say by themselves: the night, the week, summer time, and months with another clock.

Pure figures of instants. News follows the day of the people who write it, wherever they live.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import sessions, zone_of
from embargo.data_loaders.checks.reaction import SHIFTS
from embargo.data_loaders.schemas import utc_microseconds

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
# Days are the independent pieces of evidence: of a month, the mean gain in standard errors and the share that agrees;
# of a season, which has more of them, the mean alone.
FEWEST_DAYS, DAYS_OF_MONTH, DAYS_AGREE, DAYS_OF_SEASON = 12, 2.75, 0.72, 5.0
# Below this many articles a season or a source has no hours to be held against those of the others.
FEWEST_APART = 120
# Standard errors that keep a source from living on another continent.
NOT_ELSEWHERE = 3.0
# Standard errors of a sign test over weeks, and the share of the articles on days of rest that a better week leaves.
WEEKS_BEYOND_DOUBT, WEEK_LEFT = 4.0, 0.5


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


def profiles(local: np.ndarray) -> np.ndarray:
    """Articles in each local hour of each day that has any; shape (days, 24)."""
    hours = local.astype("datetime64[h]").astype(np.int64)
    days, hour = np.divmod(hours, 24)
    place = np.unique(days, return_inverse=True)[1]
    counts: np.ndarray = np.bincount(place * 24 + hour, minlength=24 * (place.max(initial=-1) + 1)).reshape(-1, 24)
    return counts


def shifted_by(days: np.ndarray, reference: np.ndarray, *, per_article: float, agree: float, sure: float) -> int:
    """Whole hours by which profiles of days run later than another beyond doubt, 0 for none.

    Articles of one day are one event, so that days are counted: their mean gain must be beyond doubt, and a share of
    them ``agree``. ``per_article`` is the gain an article needs, ``sure`` the standard errors of the mean.
    """
    share = (reference + 0.5) / (reference + 0.5).sum()
    shifts = range(-FARTHEST_SHIFT, FARTHEST_SHIFT + 1)
    likelihood = days @ np.log(np.stack([np.roll(share, shift) for shift in shifts], axis=1))
    gain = 2.0 * (likelihood - likelihood[:, [FARTHEST_SHIFT]])
    best = int(np.argmax(gain.sum(axis=0)))
    if gain[:, best].sum() <= max(GAIN_OF_SHIFT, per_article * days.sum()):
        return 0
    # A flood of articles counts by the square root of its size.
    each = gain[:, best] / np.sqrt(np.maximum(days.sum(axis=1), 1))
    error = float(each.std()) / np.sqrt(len(each))
    enough = len(each) >= FEWEST_DAYS and each.mean() >= sure * error and (each > 0).mean() >= agree
    return shifts[best] if enough else 0


def summer_shift(instants: pd.Series, zone: ZoneInfo, *, sure: float = DAYS_OF_SEASON) -> tuple[int | None, str]:
    """Hours by which the local profile of summer time runs later than that of winter time, and in which it is stable.

    None where the zone has no summer time or a season has too few articles.
    """
    local = instants.dt.tz_convert(zone).dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    offset = local - utc_microseconds(instants)
    if len(np.unique(offset)) != 2:
        return None, "not judged"
    summer = offset == offset.max()
    if min(summer.sum(), (~summer).sum()) < ENOUGH_FOR_PROFILE:
        return None, "not judged"
    # An hour moves few articles to another hour, but there are many days to say so.
    winter = profiles(local[~summer]).sum(axis=0)
    shift = shifted_by(profiles(local[summer]), winter, per_article=0.0, agree=0.5, sure=sure)
    return shift, {0: "local time", 1: "UTC"}.get(shift, "neither")


@dataclass(frozen=True)
class Displacement:
    """By how many whole hours some articles run later than the others, judging by their profiles over the day.

    Attributes
    ----------
    hours : int
        Negative: earlier.
    gain : float
        Twice the log likelihood gained over no shift.
    score : float
        Mean gain of a day in standard errors; 0 where there are too few days.
    """

    hours: int
    gain: float
    score: float


def displacement(local: np.ndarray, chosen: np.ndarray, *, farthest: int = FARTHEST_SHIFT) -> Displacement:
    """Find the shift by which the articles chosen fit the profile of the others best.

    Days are the pieces of evidence, as in `shifted_by`, which asks for proof where this only measures.
    """
    if min(chosen.sum(), (~chosen).sum()) < FEWEST_APART:
        return Displacement(0, 0.0, 0.0)
    others = profiles(local[~chosen]).sum(axis=0)
    share, days = (others + 0.5) / (others + 0.5).sum(), profiles(local[chosen])
    shifts = range(-farthest, farthest + 1)
    likelihood = days @ np.log(np.stack([np.roll(share, shift) for shift in shifts], axis=1))
    gain = 2.0 * (likelihood - likelihood[:, [farthest]])
    best = int(np.argmax(gain.sum(axis=0)))
    each = gain[:, best] / np.sqrt(days.sum(axis=1))
    error = float(each.std()) / np.sqrt(len(each))
    score = float(each.mean()) / error if len(each) >= FEWEST_DAYS and error > 0 else 0.0
    return Displacement(shifts[best], float(gain[:, best].sum()), score)


def hours_from_home(night: Night) -> float:
    """Hours by which a night lies before the night at home; negative for after it."""
    return float((sum(HOME_NIGHT) / 2 - night.middle + 12.0) % 24.0 - 12.0)
