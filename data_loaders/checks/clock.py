"""Can the times of the news be believed: hour of day against the session, midnight stamps, zone and clock changes.

News follows the day of the people who write it: quiet at night where they live, an hour earlier in UTC in summer. A
clock that is wrong shows in the profile over the hours, whatever the single stamps look like.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import ROUND_THE_CLOCK, sessions, zone_of
from embargo.data_loaders.checks.check import Check, Grade, examples, graded, news_facts, one_per_article, worse
from embargo.data_loaders.checks.repeats import first_seen
from embargo.data_loaders.schemas import utc_microseconds

# A true midnight stamp is one in 1,440 minutes (.07 %); half a per cent are dates written as times.
MIDNIGHT_LOOK, MIDNIGHT_BAD = 0.005, 0.20
# Scheduled releases fill a minute, but one in twenty articles in the same minute of the day is a batch load.
MINUTE_LOOK = 0.05
# A minute only counts as a spike beside its neighbourhood of an hour and above chance.
SPIKE_RATIO, SPIKE_ROWS, NEIGHBOURHOOD = 6.0, 20, 30
# Below this many articles, one hour of the profile is a handful.
ENOUGH_FOR_PROFILE = 400
# A quarter of the day holds a quarter of the articles of a feed that never sleeps; a night holds far less.
NIGHT_HOURS, CLEAR_NIGHT = 6, 0.17
# The middle of the night lies at least this long after the close and before the open of the local exchange.
HOURS_AFTER_CLOSE, HOURS_BEFORE_OPEN = 5.5, 3.75
# Twice the log likelihood gained by moving a profile by whole hours; pure chance reaches 30 once in ten million.
GAIN_OF_SHIFT = 30.0
# Real seasons and news days change a profile as well: per article the gain must exceed this too.
GAIN_PER_ARTICLE = 0.04
FARTHEST_SHIFT = 6
_MINUTES = 24 * 60


def _local_minutes(instants: pd.Series, calendar: str) -> np.ndarray:
    """Minutes since local midnight of the exchange, fractions kept; shape (n,)."""
    local = instants.dt.tz_convert(zone_of(calendar)).dt.tz_localize(None)
    stamps = local.to_numpy(dtype="datetime64[us]")
    minutes: np.ndarray = (stamps - stamps.astype("datetime64[D]")).astype(np.int64) / 60e6
    return minutes


def _session_minutes(instants: pd.Series, calendar: str) -> tuple[float, float]:
    """Usual local minute at which sessions of these dates open and close."""
    table = sessions(calendar, instants.min(), instants.max() + pd.Timedelta(days=7))
    opens, closes = (float(np.median(_local_minutes(table[name], calendar))) for name in ("open_at", "close_at"))
    return opens, closes


def _parts_of_day(articles: pd.DataFrame, calendar: str) -> dict[str, float]:
    """Shares of articles before, during and after the session of their local day, and on days without one."""
    at = articles["published_at"]
    table = sessions(calendar, at.min() - pd.Timedelta(days=1), at.max() + pd.Timedelta(days=1))
    day = at.dt.tz_convert(zone_of(calendar)).dt.tz_localize(None).dt.normalize()
    row = table.index.get_indexer(pd.DatetimeIndex(day))
    stamps, trading = utc_microseconds(at), row >= 0
    opens, closes = utc_microseconds(table["open_at"])[row], utc_microseconds(table["close_at"])[row]
    return {
        "before_session": float((trading & (stamps < opens)).mean()),
        "in_session": float((trading & (stamps >= opens) & (stamps < closes)).mean()),
        "after_session": float((trading & (stamps >= closes)).mean()),
        "days_without_session": float((~trading).mean()),
        "weekend": float((day.dt.day_of_week >= 5).mean()),
    }


def _spikes(minutes: np.ndarray) -> pd.DataFrame:
    """Minutes of the day that hold far more articles than the hour around them: minute, articles, expected."""
    counts = np.bincount(minutes.astype(np.int64), minlength=_MINUTES)[:_MINUTES]
    around = np.concatenate([counts[-NEIGHBOURHOOD:], counts, counts[:NEIGHBOURHOOD]]).astype(float)
    windows = np.lib.stride_tricks.sliding_window_view(around, 2 * NEIGHBOURHOOD + 1)
    expected = (windows.sum(axis=1) - counts) / (2 * NEIGHBOURHOOD)
    spike = (counts >= SPIKE_ROWS) & (counts > SPIKE_RATIO * expected)
    chosen = np.flatnonzero(spike)
    table = pd.DataFrame({"minute": chosen, "articles": counts[chosen], "expected": expected[chosen]})
    return table.sort_values("articles", ascending=False, ignore_index=True)


def time_of_day(news: pd.DataFrame, *, calendar: str) -> Check:
    """Hold the hour of publication against the session, and find stamps that are no times.

    A spike at exactly midnight, local or UTC, means dates written as times; a single minute or instant with a large
    part of all articles means a batch load. Silent on date-only stamps that were given another hour.
    """
    articles = one_per_article(news_facts(news))
    at = articles["published_at"]
    local = _local_minutes(at, calendar)
    utc = _local_minutes(at, ROUND_THE_CLOCK)
    midnight = (local == 0) | (utc == 0)
    midnight_share = float(midnight.mean()) if int(midnight.sum()) >= SPIKE_ROWS else 0.0
    spikes = _spikes(local[~midnight])
    top_share = float(spikes["articles"].iloc[0] / len(at)) if len(spikes) else 0.0
    instants = at.value_counts()
    busiest = int(instants.iloc[0])
    instant_share = busiest / len(at) if busiest >= SPIKE_ROWS else 0.0
    figures: dict[str, int | float | str] = {"articles": len(articles)}
    if calendar != ROUND_THE_CLOCK:
        opens, closes = _session_minutes(at, calendar)
        figures |= {**_parts_of_day(articles, calendar), "opens_minute": opens, "closes_minute": closes}
        words = (
            f"{figures['before_session']:.1%} before the session, {figures['in_session']:.1%} in it, "
            f"{figures['after_session']:.1%} after it, {figures['days_without_session']:.1%} on days without one"
        )
    else:
        figures["weekend"] = float((at.dt.day_of_week >= 5).mean())
        words = f"{figures['weekend']:.1%} at weekends"
    figures |= {
        "zone": str(zone_of(calendar)),
        "exact_midnight": float(midnight.mean()),
        "spikes": len(spikes),
        "largest_spike": top_share,
        "busiest_instant_articles": busiest,
    }
    if midnight_share >= MIDNIGHT_LOOK:
        words += f"; {midnight_share:.1%} stamped exactly midnight: dates, not times"
    if max(top_share, instant_share) >= MINUTE_LOOK:
        words += f"; {max(top_share, instant_share):.1%} in a single minute: a batch load"
    weekday = at.dt.tz_convert(zone_of(calendar)).dt.day_of_week.to_numpy() < 5
    halves = (local // 30).astype(np.int64)
    profile = pd.DataFrame(
        {
            "minute": np.arange(48) * 30,
            "weekdays": np.bincount(halves[weekday], minlength=48),
            "weekends": np.bincount(halves[~weekday], minlength=48),
        }
    )
    listed = spikes.assign(
        local_time=[f"{minute // 60:02d}:{minute % 60:02d}" for minute in spikes["minute"]],
        expected=spikes["expected"].round(1),
    )[["local_time", "articles", "expected"]]
    return Check(
        "time of day",
        worse(
            graded(midnight_share, look=MIDNIGHT_LOOK, bad=MIDNIGHT_BAD),
            graded(max(top_share, instant_share), look=MINUTE_LOOK),
        ),
        words + ".",
        figures,
        examples(listed),
        profile,
    )


def _hours(instants: pd.Series, calendar: str) -> np.ndarray:
    """Articles in each local hour, shape (24,)."""
    counts: np.ndarray = np.bincount((_local_minutes(instants, calendar) // 60).astype(np.int64), minlength=24)
    return counts


def _night(minutes: np.ndarray) -> tuple[float, float]:
    """Local hour in the middle of the quietest six hours, and the share of the articles that falls into them."""
    halves = np.bincount((minutes // 30).astype(np.int64), minlength=48).astype(float)
    width = 2 * NIGHT_HOURS
    sums = np.convolve(np.concatenate([halves, halves[: width - 1]]), np.ones(width), mode="valid")
    start = int(np.argmin(sums))
    return (start / 2 + NIGHT_HOURS / 2) % 24, float(sums[start] / halves.sum())


def _best_shift(counts: np.ndarray, reference: np.ndarray) -> tuple[int, float]:
    """Whole hours by which ``counts`` runs later than ``reference``, and the gain in 2 log likelihood over none."""
    share = (reference + 0.5) / (reference + 0.5).sum()
    likelihood = {
        shift: 2.0 * float(counts @ np.log(np.roll(share, shift)))
        for shift in range(-FARTHEST_SHIFT, FARTHEST_SHIFT + 1)
    }
    best = max(likelihood, key=lambda shift: (likelihood[shift], -abs(shift)))
    return best, likelihood[best] - likelihood[0]


def _shifted(counts: np.ndarray, reference: np.ndarray) -> int:
    """Hours by which a profile is shifted beyond doubt, 0 for none."""
    shift, gain = _best_shift(counts, reference)
    return shift if gain > max(GAIN_OF_SHIFT, GAIN_PER_ARTICLE * counts.sum()) else 0


def _night_complaints(articles: pd.DataFrame, calendar: str) -> list[dict[str, object]]:
    """Name the sources, and all together, whose quietest hours are not the local night."""
    opens, closes = (minute / 60 for minute in _session_minutes(articles["published_at"], calendar))
    parts = {"all": articles}
    for name, part in articles.groupby("source"):
        if ENOUGH_FOR_PROFILE <= len(part) < len(articles):
            parts[str(name)] = part
    complaints = []
    for name, part in parts.items():
        middle, share = _night(_local_minutes(part["published_at"], calendar))
        after_close = (middle - closes) % 24
        before_open = (opens - middle) % 24
        asleep = after_close >= HOURS_AFTER_CLOSE and before_open >= HOURS_BEFORE_OPEN
        inside = after_close + before_open <= 24 - (closes - opens) + 1e-9
        if share < CLEAR_NIGHT and not (asleep and inside):
            finding = f"quietest around {int(middle):02d}:{int(middle % 1 * 60):02d} local time"
            complaints.append({"source": name, "finding": finding, "articles": len(part)})
    return complaints


def _summer_shift(articles: pd.DataFrame, calendar: str) -> tuple[int | None, str]:
    """Hours by which the local profile of summer time runs later than that of winter time, and in which it is stable.

    None where the zone has no summer time or a season has too few articles.
    """
    at = articles["published_at"]
    local = at.dt.tz_convert(zone_of(calendar)).dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    offset = (local - utc_microseconds(at)).astype(np.int64)
    if len(np.unique(offset)) != 2:
        return None, "not judged"
    summer = offset == offset.max()
    if min(summer.sum(), (~summer).sum()) < ENOUGH_FOR_PROFILE:
        return None, "not judged"
    shift = _shifted(_hours(at[summer], calendar), _hours(at[~summer], calendar))
    return shift, {0: "local time", 1: "UTC"}.get(shift, "neither")


def clock(news: pd.DataFrame, *, calendar: str) -> Check:
    """Find a clock that is wrong throughout, wrong in summer, or set anew between months.

    Copies are left out: a burst of reposts has hours of its own. Three tests, each on at least 400 articles:
    the quietest six hours of all articles, and of each source, lie in the local night; over the change to summer time
    the profile is stable in local time, not in UTC; no month's profile fits the others better when moved by whole
    hours. Silent on round-the-clock calendars, on feeds without a clear night, on shifts of the whole history by two
    or three hours, on months shifted by less than an hour, and on sources below 400 articles.
    """
    articles = one_per_article(news_facts(news))
    articles = articles[first_seen(articles)]
    at = articles["published_at"]
    if calendar == ROUND_THE_CLOCK or len(articles) < ENOUGH_FOR_PROFILE:
        why = "no session to hold it against" if calendar == ROUND_THE_CLOCK else "too few articles for a profile"
        return Check("clock", "clean", f"not judged: {why}.", {"articles": len(articles)})
    middle, share = _night(_local_minutes(at, calendar))
    complaints = _night_complaints(articles, calendar)
    summer, stable_in = _summer_shift(articles, calendar)
    if summer:
        complaints.append(
            {
                "source": "all",
                "finding": f"summer profile {summer:+d} h against winter: stable in {stable_in}",
                "articles": len(articles),
            }
        )
    whole = _hours(at, calendar)
    months: list[str] = []
    for month, part in at.groupby(at.dt.strftime("%Y-%m")):
        own = _hours(part, calendar)
        if len(part) < ENOUGH_FOR_PROFILE or len(at) - len(part) < ENOUGH_FOR_PROFILE:
            continue
        shift = _shifted(own, whole - own)
        if shift:
            months.append(str(month))
            complaints.append({"source": "all", "finding": f"{month} runs {shift:+d} h", "articles": len(part)})
    verdict: Grade = "bad" if complaints else "clean"
    return Check(
        "clock",
        verdict,
        f"{complaints[0]['finding']}" + (f", and {len(complaints) - 1} more" if len(complaints) > 1 else "") + "."
        if complaints
        else f"quietest around {int(middle):02d}:{int(middle % 1 * 60):02d} local time, as a night should be"
        + (f"; stable in {stable_in} over the change to summer time." if summer is not None else "."),
        {
            "articles": len(articles),
            "quietest_hour_local": middle,
            "share_of_quietest_hours": share,
            "summer_shift_hours": "not judged" if summer is None else summer,
            "stable_in": stable_in,
            "shifted_months": len(months),
        },
        examples(pd.DataFrame(complaints)),
    )
