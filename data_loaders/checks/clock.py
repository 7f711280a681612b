"""Can the times of the news be believed: hour of day against the session, midnight stamps, zone and clock changes.

A clock that is wrong shows in the hours of all articles and in when prices moved, whatever the single stamps look like.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import ROUND_THE_CLOCK, sessions, zone_of
from embargo.data_loaders.checks.check import (
    Check,
    Grade,
    NewsFacts,
    examples,
    graded,
    news_facts,
    one_per_article,
    worse,
)
from embargo.data_loaders.checks.clock_evidence import ClockJudgement, judge_clock
from embargo.data_loaders.checks.day_profile import local_minutes, session_minutes
from embargo.data_loaders.schemas import Prices, utc_microseconds

# A true midnight stamp is one in 1,440 minutes (.07 %); half a per cent are dates written as times.
MIDNIGHT_LOOK, MIDNIGHT_BAD = 0.005, 0.20
# Scheduled releases fill a minute, but one in twenty articles in the same minute of the day is a batch load.
MINUTE_LOOK = 0.05
# A minute only counts as a spike beside its neighbourhood of an hour and above chance.
SPIKE_RATIO, SPIKE_ROWS, NEIGHBOURHOOD = 6.0, 20, 30
# Days that hold articles enough and yet do not show whose clock they were stamped by.
UNCLEAR = ("flat", "brief", "apart")
UNCLEAR_REMEDY = (
    "Read the source's documentation for the zone of its stamps, and set news.timezone if it names another. Early "
    "stamps are look-ahead, and a zone changed without evidence may make them so."
)
_MINUTES = 24 * 60


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
    return table.sort_values("articles", ascending=False, ignore_index=True, kind="stable")


def time_of_day(news: pd.DataFrame | NewsFacts, *, calendar: str) -> Check:
    """Hold the hour of publication against the session, and find stamps that are no times.

    A spike at exactly midnight, local or UTC, means dates written as times; a single minute or instant with a large
    part of all articles means a batch load. Silent on date-only stamps that were given another hour.
    """
    articles = one_per_article(news_facts(news))
    at = articles["published_at"]
    local = local_minutes(at, zone_of(calendar))
    utc = local_minutes(at, zone_of(ROUND_THE_CLOCK))
    midnight = (local == 0) | (utc == 0)
    midnight_share = float(midnight.mean()) if int(midnight.sum()) >= SPIKE_ROWS else 0.0
    spikes = _spikes(local[~midnight])
    top_share = float(spikes["articles"].iloc[0] / len(at)) if len(spikes) else 0.0
    instants = at.value_counts()
    busiest = int(instants.iloc[0])
    instant_share = busiest / len(at) if busiest >= SPIKE_ROWS else 0.0
    figures: dict[str, int | float | str] = {"articles": len(articles)}
    if calendar != ROUND_THE_CLOCK:
        opens, closes = session_minutes(at, calendar)
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


def clock(
    news: pd.DataFrame | NewsFacts,
    prices: Prices | None = None,
    *,
    calendar: str,
    judgement: ClockJudgement | None = None,
) -> Check:
    """Find a clock that is wrong throughout, wrong in summer, or set anew between months.

    Says what `embargo.data_loaders.checks.clock_evidence.judge_clock` says, as the audit of a run does: clean where
    the evidence is for the clock, or there is too little to tell ("not judged"); look where there are articles enough
    and they cannot tell, or where only the hours speak against it; bad where prices or a change of the profile do. What
    has been judged already of these news and prices may be given as ``judgement``.
    """
    judgement = judgement or judge_clock(news_facts(news), calendar=calendar, prices=prices)
    verdict: Grade = "clean"
    if judgement.verdict == "suspicious":
        verdict = "bad" if any(complaint.proven for complaint in judgement.complaints) else "look"
    unclear = judgement.verdict == "inconclusive" and judgement.figures.get("profile") in UNCLEAR
    if unclear:
        verdict = "look"
    listed = pd.DataFrame(
        [(told.source, told.finding, told.articles) for told in judgement.complaints],
        columns=["source", "finding", "articles"],
    )
    return Check(
        "clock",
        verdict,
        f"{judgement.summary}.",
        judgement.figures,
        examples(listed),
        judgement.reaction.reset_index(),
        remedy=UNCLEAR_REMEDY if unclear else judgement.remedy,
    )
