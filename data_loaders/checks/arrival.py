"""When the news could first have been had: stated or assumed, and whether parts of the history were filled in later."""

from __future__ import annotations

import numpy as np
import pandas as pd

from embargo.data_loaders.checks.check import (
    Check,
    Grade,
    NewsFacts,
    examples,
    facts_of,
    graded,
    month_of,
    percent,
    plural,
)

# A history whose first sighting is assumed everywhere may have been collected, edited or selected years later.
ASSUMED_LOOK = 0.50
# Feeds deliver within hours and date-only rows count as seen at the end of their day; two days is neither.
LATE = pd.Timedelta(days=2)
LATE_LOOK, LATE_BAD = 0.005, 0.10
# So many late rows on one day of loading are a batch, not stragglers.
LOAD_ROWS = 30
# A month ten times slower than the usual month, and by more than an hour, was delivered some other way.
SLOW_RATIO, SLOW_AT_LEAST = 10.0, pd.Timedelta(hours=1)
# Clocks of sources and collectors differ by seconds; a minute of hindsight is a wrong zone or a wrong column.
EARLY = pd.Timedelta(minutes=1)
_EDGES = ("1s", "10s", "1min", "10min", "1h", "6h", "1D", "2D", "7D", "30D", "365D")
_NAMES = ("< 1 s", "1–10 s", "10–60 s", "1–10 min", "10–60 min", "1–6 h", "6–24 h", "1–2 d", "2–7 d", "7–30 d")
BINS = (*_NAMES, "30–365 d", "> 1 y")


def first_sighting(news: pd.DataFrame | NewsFacts) -> Check:
    """Say for what share of the rows the source states when they were first seen.

    Where it does not, ``seen_at`` is assumed to be ``published_at``. Where no row states it, the source does not tell,
    and nothing is judged; where most rows lack what others state, a person should look. Silent on whether a stated
    time is true (``back_fill``).
    """
    facts = facts_of(news).articles
    assumed = float((~facts["stated"]).mean())
    return Check(
        "first sighting",
        "clean" if assumed == 1.0 else graded(assumed, look=ASSUMED_LOOK),
        "not judged: no article states when it was first seen, so all are taken to be known when published."
        if assumed == 1.0
        else f"{assumed:.1%} of the articles do not state when they were first seen: taken to be when published."
        if assumed
        else "every article states when it was first seen.",
        {"articles": len(facts), "share_assumed": assumed},
        remedy="Map the column that says when an article was first had to seen_at (news.columns). Where there is none, "
        "allow for the delay with a longer prices.latency: an article may be read sooner than it came."
        if ASSUMED_LOOK <= assumed < 1.0
        else "",
    )


def back_fill(news: pd.DataFrame | NewsFacts) -> Check:
    """Find rows seen long after their publication, days on which many such rows came at once, and slow months.

    Judges the rows that state when they were first seen, by ``seen_at - published_at``. Silent on a back-filled history
    whose vendor states the date of publication as the time of arrival.
    """
    facts = facts_of(news).articles
    stated = facts[facts["stated"]]
    if stated.empty:
        return Check("back-fill", "clean", "not judged: no article states when it was first seen.", {"stated": 0})
    lag = (stated["seen_at"] - stated["published_at"]).to_numpy(dtype="timedelta64[us]")
    late = lag > LATE.to_timedelta64()
    early = lag < -EARLY.to_timedelta64()
    loaded_on = stated["seen_at"].to_numpy(dtype="datetime64[us]").astype("datetime64[D]")
    loads = pd.Series(loaded_on[late]).value_counts()
    loads = loads[loads >= LOAD_ROWS]
    medians = pd.Series(lag).groupby(month_of(stated["published_at"]).to_numpy(dtype="datetime64[us]")).median()
    usual = medians.median()
    slow = medians[(medians > SLOW_RATIO * usual) & (medians > SLOW_AT_LEAST)]
    late_share, early_share = float(late.mean()), float(early.mean())
    verdict: Grade = graded(late_share, look=LATE_LOOK, bad=LATE_BAD)
    if len(loads) and late_share >= LATE_BAD:
        verdict = "bad"
    elif verdict == "clean" and (len(loads) or len(slow) or early_share >= LATE_LOOK):
        verdict = "look"
    remedies = []
    if late_share >= LATE_LOOK or len(loads):
        remedies.append(
            "Test only after the history was loaded (split.first_test), or take seen_at from a source that stamps what "
            "arrives: an article is read once it was seen, and what was filled in later was chosen with hindsight. "
            "Never set seen_at back to published_at."
        )
    if len(slow):
        remedies.append("Slow months came another way: learn and test on months delivered alike.")
    if early_share >= LATE_LOOK:
        remedies.append("Seen before published is a wrong zone or column: check news.timezone and news.columns.")
    spread = np.bincount(
        np.searchsorted(pd.to_timedelta(list(_EDGES)).to_numpy(dtype="timedelta64[us]"), lag, side="right"),
        minlength=len(BINS),
    )
    words = f"{percent(late_share) if late_share else 'none'} of the articles seen more than two days after publication"
    words += f", {loads.iloc[0]:,} of them on {loads.index[0]:%Y-%m-%d} alone" if len(loads) else ""
    words += f"; {plural(len(slow), 'month')} far slower than usual" if len(slow) else ""
    words += f"; {early_share:.1%} were seen before they were published" if early_share >= LATE_LOOK else ""
    shown = stated.assign(lag_days=lag / np.timedelta64(1, "D"))[late | early]
    return Check(
        "back-fill",
        verdict,
        words + ".",
        {
            "stated": len(stated),
            "share_late": late_share,
            "share_seen_before_published": early_share,
            "load_days": len(loads),
            "largest_load": int(loads.iloc[0]) if len(loads) else 0,
            "slow_months": len(slow),
            "median_lag_seconds": float(np.median(lag) / np.timedelta64(1, "s")),
        },
        examples(
            shown.sort_values("lag_days", ascending=False, kind="stable"),
            ["article_id", "symbol", "published_at", "seen_at", "lag_days"],
        ),
        pd.DataFrame({"lag": list(BINS), "articles": spread}),
        remedy=" ".join(remedies) if verdict != "clean" else "",
    )
