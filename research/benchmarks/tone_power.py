"""Judge the clock of small archives, with the prices alone and with a word list that says which way they should move.

Used by ``python -m embargo.research.benchmarks.clock_power``: wrong clocks of all articles and of a part of them, over
zones and profiles, and the false alarms on right ones.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Protocol

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import zone_of
from embargo.data_loaders.checks.clock_evidence import judge_clock
from embargo.research.benchmarks.size_and_power import markdown
from embargo.research.benchmarks.stamp_power import World, share_told

HOUR = pd.Timedelta(hours=1)
# One year and about a thousand articles: what a beginner has.
UNTIL, KEPT = "2016-12-31", 0.6
SOURCES = ("one", "two", "three", "four")


class TonedWorld(World, Protocol):
    """News with the right clock, prices, and what a word list makes of the news."""

    @property
    def tone(self) -> pd.Series:
        """From -1 (bad) to 1 (good), by the index of the news."""


# Takes the news, the calendar and which rows may be moved, and returns the stamps declared.
Clock = Callable[[pd.DataFrame, str, np.ndarray], pd.Series]


def _earlier(hours: int) -> Clock:
    def declared(news: pd.DataFrame, calendar: str, rows: np.ndarray) -> pd.Series:
        at = news["published_at"]
        return at.where(~rows, at - hours * HOUR)

    return declared


def _summer(news: pd.DataFrame, calendar: str, rows: np.ndarray) -> pd.Series:
    at = news["published_at"]
    dst = at.dt.tz_convert(zone_of(calendar)).map(lambda instant: bool(instant.dst())).to_numpy(dtype=bool)
    return at.where(~(rows & dst), at - HOUR)


def _new_york(news: pd.DataFrame, calendar: str, rows: np.ndarray) -> pd.Series:
    at = news["published_at"]
    return at.where(~rows, at.dt.tz_convert("America/New_York").dt.tz_localize(None).dt.tz_localize("UTC"))


# Name, clock, and how much of the news it stamps: a share of the articles, or of the sources.
CLOCKS: dict[str, tuple[Clock, float, str]] = {
    "right": (_earlier(0), 1.0, "articles"),
    "1 h early": (_earlier(1), 1.0, "articles"),
    "2 h early": (_earlier(2), 1.0, "articles"),
    "5 h early": (_earlier(5), 1.0, "articles"),
    "5 h early, half of the articles": (_earlier(5), 0.5, "articles"),
    "5 h early, 30 % of the articles": (_earlier(5), 0.3, "articles"),
    "5 h early, one of four sources": (_earlier(5), 0.25, "sources"),
    "New York read as UTC": (_new_york, 1.0, "articles"),
    "an hour early in summer time": (_summer, 1.0, "articles"),
}
KINDS = ("no reaction, with words", "reaction, prices alone", "reaction, with words")


def small(world: TonedWorld, rng: np.random.Generator) -> pd.DataFrame:
    """Cut a small archive of four sources out of a world.

    Returns
    -------
    DataFrame
        The news, with the tone as column ``tone``.
    """
    news = world.news.assign(tone=world.tone, source=np.asarray(SOURCES)[rng.integers(0, 4, len(world.news))])
    year = news["published_at"] < pd.Timestamp(UNTIL, tz="UTC")
    return news[year & (rng.random(len(news)) < KEPT)].reset_index(drop=True)


def words_section(
    make_world: Callable[[str, str, str, np.random.Generator], TonedWorld],
    zones: Mapping[str, str],
    profiles: Sequence[str],
    draws: int,
    seed: int,
) -> str:
    """Make the table of wrong clocks in small archives.

    Parameters
    ----------
    make_world : callable
        (calendar, profile, reaction, generator) to a world, as `embargo.research.benchmarks.clock_power.make_world`.
    zones : mapping of str to str
        Calendar by zone.
    profiles : sequence of str
        Dates without times are left out.
    draws : int
        Worlds a zone and profile.
    seed : int
    """
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    sizes: list[int] = []
    chosen = [profile for profile in profiles if profile != "midnight"]
    for zone, profile in product(zones, chosen):
        rng = np.random.default_rng([seed, 29, zlib.crc32(f"{zone} {profile}".encode())])
        for reaction, _ in product(("none", "at publication"), range(draws)):
            world = make_world(zones[zone], profile, reaction, rng)
            news = small(world, rng)
            sizes.append(len(news))
            drawn = rng.random(len(news))
            for name, (clock, share, of) in CLOCKS.items():
                rows = drawn < share if of == "articles" else (news["source"] == SOURCES[0]).to_numpy()
                stamped = news.assign(published_at=clock(news, world.calendar, rows))
                if stamped["published_at"].equals(news["published_at"]) and name != "right":
                    continue
                for kind in KINDS:
                    if kind.startswith("no") == (reaction == "none"):
                        tone = news["tone"] if kind.endswith("words") else None
                        judged = judge_clock(stamped, calendar=world.calendar, prices=world.prices, tone=tone)
                        found[kind, name].append(judged.verdict)
    told = [[name, *(share_told(found[kind, name]) for kind in KINDS)] for name in CLOCKS]
    return f"""## Small archives, with a word list

One year of the same made worlds ({draws} a zone and profile, dates without times left out), about
{np.mean(sizes):,.0f} articles of four sources, judged from the moves of prices alone and with what a word list says of
the articles: nothing of 45 %, the wrong side of 15 % of the others. The audit of a run has such a list. Cells hold how
many were found suspicious, the exact 95 % interval, and how many were called inconclusive.

{markdown(["stamps", *KINDS], told)}

New York's clock read as UTC is four or five hours early wherever the exchange is. An hour in summer time is asked of
the exchanges that keep one. Where prices do not react, a clock shows by its hours alone. Of articles of every source
that are moved in part, few are found here; `check_mixed_clocks` asks for them.
"""
