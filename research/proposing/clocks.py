"""Whose clock the times of news are of: never chosen, but every candidate is held against hours and prices.

The evidence is that of the check of the clock which runs and ``embargo validate`` make.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from embargo.data_loaders.archive.times import later_of
from embargo.data_loaders.calendars import zone_of
from embargo.data_loaders.checks.clock_evidence import judge_clock
from embargo.data_loaders.schemas import Prices
from embargo.research.proposing.lines import Setting
from embargo.research.proposing.stamps import StampForm
from embargo.research.run.data_verdict import tone_of

ZONES = ("America/New_York", "UTC", "Europe/London", "Asia/Tokyo")
# No day ends later than here, at noon of the next in UTC.
LAST_TO_END = "Etc/GMT+12"
# Of news a true midnight is one minute in 1,440; more are dates that were written as times.
_DATES_AMONG_TIMES, _FEW = 0.005, 20
_SAID = {"pass": "fits", "suspicious": "is doubted", "inconclusive": "cannot be told"}
_LETTERS = {
    "et": "US Eastern time", "est": "US Eastern time", "edt": "US Eastern time", "ny": "New York", "utc": "UTC",
    "gmt": "GMT", "cet": "central European time", "jst": "Japan's time", "pst": "US Pacific time",
}  # fmt: skip


def day_settings(form: StampForm) -> list[Setting]:
    """Return settings of news whose stamps are dates, or dates among times: known as their day ends."""
    if form.kind == "dates":
        note = f"{form.evidence[0]} Such an article is known at the end of its day, not before."
        where = (
            "no day on Earth ends later than in this zone, so that nothing is known too early. Name the source's own "
            "zone once you know it from its documentation."
        )
        return [
            Setting("date_only", "all", (note,), "confirm"),
            Setting("timezone", LAST_TO_END, (where,), "confirm"),
        ]
    midnights = round(form.midnights * len(form.stamps))
    if form.midnights == 1.0 and form.kind in ("aware", "epoch"):
        note = "every stamp is exactly midnight in UTC: dates written as times. They are known at the end of that day."
        return [Setting("date_only", "all", (note,), "confirm")]
    if form.midnights >= _DATES_AMONG_TIMES and midnights >= _FEW:
        note = (
            f"{midnights:,} of {len(form.stamps):,} stamps ({form.midnights:.1%}) are exactly midnight, which chance "
            "makes one in 1,440: dates written as times. They are known at the end of their day."
        )
        return [Setting("date_only", "midnight", (note,), "confirm")]
    return []


def zone_settings(
    form: StampForm, column: str, news: pd.DataFrame | None, calendar: str | None, prices: Prices | None
) -> list[Setting]:
    """Leave the zone of local times open, and say what the check of the clock thinks of each candidate.

    Parameters
    ----------
    form : StampForm
    column : str
        Its name, which may say something.
    news : DataFrame or None
        As read with the clock taken for that of UTC; None where it could not be read.
    calendar : str or None
        Of the prices.
    prices : Prices or None
    """
    if form.kind == "open":
        note = (
            "if these are times of day without a zone, theirs has to be named too; what speaks for which is told then."
        )
        return [Setting("timezone", None, (note,), "open")]
    if form.kind != "local":
        return []
    own = [] if calendar is None else [zone_of(calendar).key]
    zones = list(dict.fromkeys([*own, *ZONES]))
    asked = "No file can tell whose clock that is: look it up where the news come from. A clock taken for one further "
    asked += "east shows news before they were out; of two that fit, the one further west can leak nothing."
    notes = [f"{form.evidence[0]} {asked}"]
    beside = [_LETTERS[part] for part in re.findall(r"[a-z]+", column.casefold()) if part in _LETTERS]
    if beside:
        notes.append(f"The name of the column, {column!r}, speaks of {beside[0]}.")
    if news is None or calendar is None:
        notes.append("What hours and prices say of each zone is told once the lines above are settled.")
        return [Setting("timezone", zones[0], tuple(notes), "open", tuple(zones[1:]))]
    tone = tone_of(news)
    wall = news["published_at"].dt.tz_localize(None)
    verdicts: dict[str, str] = {}
    notes.append(f"What the check of the clock says of these {news['article_id'].nunique():,} articles, by zone:")
    for zone in zones:
        placed = news.assign(published_at=later_of(wall, zone).astype(news["published_at"].dtype))
        told = judge_clock(placed, calendar=calendar, prices=prices, tone=tone)
        verdicts[zone] = told.verdict
        notes.append(f"{zone} {_SAID[told.verdict]}: {_briefly(told.summary)}.")
    return [Setting("timezone", None, tuple(notes), "open", _ranked(zones, verdicts))]


def _briefly(summary: str) -> str:
    """Keep of the figures of a market's reaction what they come to; the whole is what 'embargo validate' says."""
    return re.sub(r": where .*?\(z (-?[\d.]+)\)", r" (z \1)", summary.removeprefix("not judged: "))


def _ranked(zones: Sequence[str], verdicts: dict[str, str]) -> tuple[str, ...]:
    """Leave out the zones that are doubted, unless all are."""
    left = [zone for zone in zones if verdicts[zone] != "suspicious"] or list(zones)
    return tuple(sorted(left, key=lambda zone: verdicts[zone] != "pass"))
