"""Judge news whose clock is known: how often the right one is doubted, a wrong one found, and a wrong one passed.

Run by ``python -m embargo.research.benchmarks.clock_power``. Worlds are made over exchanges, profiles of the day and
ways in which prices and news hang together; the very `judge_clock` of the data check and the audit says what it thinks
of the right clock and of wrong ones. ``--write docs/clock_power.md`` renews the committed tables; those made from real
archives are kept as they are, unless ``--data`` names the folder that holds them.
"""

from __future__ import annotations

import argparse
import math
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from rich.console import Console
from scipy.stats import beta

from embargo.data_loaders.calendars import sessions, zone_of
from embargo.data_loaders.checks.clock_evidence import ALARM, ClockVerdict, judge_clock
from embargo.data_loaders.schemas import Prices, utc_microseconds
from embargo.research.benchmarks.size_and_power import markdown
from embargo.research.benchmarks.stamp_power import archives_section, made_section
from embargo.research.benchmarks.tone_power import words_section

START, END = "2016-01-04", "2017-12-29"
SYMBOLS = 12
ARTICLES_PER_SYMBOL_DAY = 0.6
JUMP = 0.01
LEG_VOLATILITY = {"pause": 0.006, "session": 0.012}
MARKET_VOLATILITY = 0.006
LONGEST_WAIT_HOURS = 6.0
# Of what moves prices, a list of words finds nothing in a half and the wrong side in a sixth.
UNREAD, MISREAD = 0.45, 0.15

# Exchange by the zone it stands for; Reykjavik keeps UTC all year.
ZONES = {
    "America/New_York": "XNYS",
    "UTC": "XICE",
    "Europe/London": "XLON",
    "Asia/Tokyo": "XTKS",
    "Asia/Hong_Kong": "XHKG",
    "Australia/Sydney": "XASX",
}


def _between(first: int, last: int) -> tuple[float, ...]:
    return tuple(1.0 if first <= hour < last else 0.0 for hour in range(24))


# Articles by local hour; the weekend holds a share of a session day's.
_NIGHT = (1, 1, 1, 1, 1, 2, 4, 8, 11, 12, 12, 10, 9, 9, 9, 10, 13, 8, 5, 4, 3, 2, 2, 1)
PROFILES: dict[str, tuple[tuple[float, ...], float]] = {
    "clear night": (tuple(map(float, _NIGHT)), 0.15),
    "flat": (_between(0, 24), 0.0),
    "05-23 even": (_between(5, 23), 0.0),
    "business hours": (_between(9, 17), 0.0),
    "after hours": (_between(16, 22), 0.0),
    "midnight": (tuple(map(float, _NIGHT)), 0.0),
}
REACTIONS = ("none", "at publication", "news follows prices")
DECLARED = ("right", "1 h early", "1 h late", "5 h early", "5 h late", "UTC")


@dataclass(frozen=True)
class ClockWorld:
    """News with the right clock, and prices.

    Attributes
    ----------
    news : DataFrame
        ``article_id, published_at, symbol, text, source``.
    prices : Prices
    calendar : str
    tone : Series
        Index of ``news``: what a word list makes of each article, -1, 0 or 1.
    """

    news: pd.DataFrame
    prices: Prices
    calendar: str
    tone: pd.Series


@lru_cache(maxsize=8)
def _days(calendar: str) -> tuple[pd.DataFrame, np.ndarray]:
    table = sessions(calendar, pd.Timestamp(START), pd.Timestamp(END))
    return table, pd.date_range(START, END, freq="D").to_numpy().astype("datetime64[us]")


def make_world(calendar: str, profile: str, reaction: str, rng: np.random.Generator) -> ClockWorld:
    """Make two years of news of 12 symbols on one exchange.

    Parameters
    ----------
    calendar : str
        exchange_calendars code; the news is written in its zone.
    profile : str
        A key of `PROFILES`: where in the local day the news comes out, and whether at weekends. ``"midnight"`` is news
        of a clear night whose stamps are dates.
    reaction : str
        ``"at publication"``: each article moves its symbol by about 1 % in the part of the day it comes out in, up or
        down; ``"news follows prices"``: articles come out up to six hours after; ``"none"``.
    rng : Generator

    Returns
    -------
    ClockWorld
    """
    table, days = _days(calendar)
    by_hour, weekend = PROFILES[profile]
    busy = np.isin(days, table.index.to_numpy().astype("datetime64[us]"))
    rate = np.where(busy, 1.0, weekend) * ARTICLES_PER_SYMBOL_DAY
    counts = rng.poisson(np.repeat(rate[:, None], SYMBOLS, axis=1))
    day, column = np.divmod(np.repeat(np.arange(counts.size), counts.ravel()), SYMBOLS)
    chances = np.cumsum(by_hour) / np.sum(by_hour)
    hour = np.searchsorted(chances, rng.random(len(day)), side="right")
    seconds = hour * 3600 + rng.integers(1, 3600, len(day))
    published = _as_utc(days[day] + (seconds * 1_000_000).astype("timedelta64[us]"), zone_of(calendar))
    stamps = _as_utc(days[day], zone_of(calendar)) if profile == "midnight" else published
    names = [f"S{place:02d}" for place in range(SYMBOLS)]
    news = pd.DataFrame(
        {
            "article_id": [f"a{place:05d}" for place in range(len(day))],
            "published_at": pd.Series(stamps).dt.tz_localize("UTC"),
            "symbol": np.asarray(names)[column],
            "text": [f"item {place}" for place in range(len(day))],
            "source": "wire",
        }
    )
    moved = published
    if reaction == "news follows prices":
        moved = published - (rng.random(len(day)) * LONGEST_WAIT_HOURS * 3.6e9).astype("timedelta64[us]")
    jump = 0.0 if reaction == "none" else JUMP
    size = rng.standard_normal(len(moved))
    prices = _prices(calendar, table, moved, column, names, jump * size, rng)
    reader = rng.spawn(1)[0]
    heard = np.where(reader.random(len(size)) < MISREAD, -np.sign(size), np.sign(size))
    news = news.assign(tone=np.where(reader.random(len(size)) < UNREAD, 0.0, heard))
    news = news.sort_values("published_at", ignore_index=True, kind="stable")
    return ClockWorld(news.drop(columns="tone"), prices, calendar, news["tone"])


def _as_utc(local: np.ndarray, zone: ZoneInfo) -> np.ndarray:
    index = pd.DatetimeIndex(local)
    aware = index.tz_localize(zone, ambiguous=np.ones(len(index), dtype=bool), nonexistent="shift_forward")
    return np.asarray(aware.tz_convert("UTC").tz_localize(None).as_unit("us"), dtype="datetime64[us]")


def _prices(
    calendar: str,
    table: pd.DataFrame,
    moved: np.ndarray,
    column: np.ndarray,
    names: Sequence[str],
    size: np.ndarray,
    rng: np.random.Generator,
) -> Prices:
    """Daily bars: each instant moves its symbol in the session, or in the pause before the next."""
    shape = (len(table), len(names))
    pause, session = (
        scale * rng.standard_t(5, shape) + MARKET_VOLATILITY * rng.standard_normal((shape[0], 1))
        for scale in (LEG_VOLATILITY["pause"], LEG_VOLATILITY["session"])
    )
    opens, closes = (utc_microseconds(table[name]) for name in ("open_at", "close_at"))
    row = np.searchsorted(closes, moved, side="right")
    known = row < shape[0]
    trading = known & (moved >= opens[np.minimum(row, shape[0] - 1)])
    for leg, chosen in ((session, trading), (pause, known & ~trading)):
        np.add.at(leg, (row[chosen], column[chosen]), size[chosen])
    open_at, close_at = pd.DatetimeIndex(table["open_at"]), pd.DatetimeIndex(table["close_at"])
    close = np.log(50.0) + np.cumsum(pause + session, axis=0)
    first, last = np.exp(close - session), np.exp(close)

    def panel(values: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(values, index=open_at, columns=list(names))

    return Prices(
        open=panel(first),
        high=panel(np.maximum(first, last)),
        low=panel(np.minimum(first, last)),
        close=panel(last),
        volume=panel(np.full(shape, 1e6)),
        open_at=open_at,
        close_at=close_at,
        calendar=calendar,
    )


def declared(world: ClockWorld, clock: str) -> pd.DataFrame:
    """News as a reader sees it who declares another clock.

    Parameters
    ----------
    world : ClockWorld
    clock : str
        One of `DECLARED`: ``"UTC"`` reads what the exchange's clock showed as if it were UTC.

    Returns
    -------
    DataFrame like ``world.news``

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.research.benchmarks.clock_power import declared, make_world
    >>> world = make_world("XNYS", "flat", "none", np.random.default_rng(0))
    >>> (declared(world, "5 h early")["published_at"] - world.news["published_at"]).iloc[0]
    Timedelta('-1 days +19:00:00')
    """
    at = world.news["published_at"]
    if clock == "UTC":
        at = at.dt.tz_convert(zone_of(world.calendar)).dt.tz_localize(None).dt.tz_localize("UTC")
    elif clock != "right":
        hours, side = int(clock.split()[0]), clock.split()[-1]
        at = at + pd.Timedelta(hours=hours if side == "late" else -hours)
    return world.news.assign(published_at=at)


def judged(zone: str, profile: str, reaction: str, draws: int, seed: int) -> dict[str, list[ClockVerdict]]:
    """Verdicts on some worlds, by declared clock."""
    names = (zone, profile, reaction)
    rng = np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])
    found: dict[str, list[ClockVerdict]] = {clock: [] for clock in DECLARED}
    for _ in range(draws):
        world = make_world(ZONES[zone], profile, reaction, rng)
        for clock in DECLARED:
            news = declared(world, clock)
            verdict = judge_clock(news, calendar=world.calendar, prices=world.prices).verdict
            found[clock].append(verdict)
    return found


Verdicts = Mapping[tuple[str, str, str], Mapping[str, Sequence[ClockVerdict]]]


def _shares(verdicts: Sequence[ClockVerdict]) -> str:
    """Percent suspicious, inconclusive and passed; a dash for none."""
    if not verdicts:
        return "-"
    return " / ".join(
        f"{100.0 * verdicts.count(verdict) / len(verdicts):.0f}" for verdict in ("suspicious", "inconclusive", "pass")
    )


def pooled(found: Verdicts, clock: str, **chosen: str) -> list[ClockVerdict]:
    """Verdicts on one declared clock, over all cells with the chosen ``zone``, ``profile`` and ``reaction``."""
    place = {"zone": 0, "profile": 1, "reaction": 2}
    return [
        verdict
        for key, by_clock in found.items()
        if all(key[place[name]] == value for name, value in chosen.items())
        # The exchange whose zone is UTC reads it rightly.
        and not (clock == "UTC" and key[0] == "UTC")
        for verdict in by_clock[clock]
    ]


def profile_table(found: Verdicts) -> str:
    """Rows: profiles within reactions; columns: declared clocks."""
    rows = [
        [reaction, profile, *(_shares(pooled(found, clock, profile=profile, reaction=reaction)) for clock in DECLARED)]
        for reaction, profile in product(REACTIONS, PROFILES)
    ]
    return markdown(["reaction of prices", "profile", *DECLARED], rows)


def zone_table(found: Verdicts) -> str:
    """Rows: exchanges; columns: declared clocks; all profiles, where prices react at publication."""
    rows = [
        [zone, *(_shares(pooled(found, clock, zone=zone, reaction="at publication")) for clock in DECLARED)]
        for zone in ZONES
    ]
    return markdown(["zone of the exchange", *DECLARED], rows)


def false_alarms(found: Verdicts) -> list[tuple[str, str, str, float]]:
    """Cells by the share of right clocks that are doubted, most first."""
    shares = [(*key, by_clock["right"].count("suspicious") / len(by_clock["right"])) for key, by_clock in found.items()]
    return sorted(shares, key=lambda cell: -cell[-1])


def _text(found: Verdicts, draws: int) -> str:
    right = [verdict for by_clock in found.values() for verdict in by_clock["right"]]
    alarms = right.count("suspicious") / len(right)
    error = math.sqrt(alarms * (1.0 - alarms) / len(right))
    bound = float(beta.ppf(0.95, right.count("suspicious") + 1, right.count("pass") + right.count("inconclusive")))
    zone, profile, reaction, worst = false_alarms(found)[0]
    pooled_draws = draws * len(ZONES)
    return f"""# What the check of the clock sees

Made by `python -m embargo.research.benchmarks.clock_power --draws {draws} --write docs/clock_power.md`. `judge_clock`
(the clock of `embargo data check` and T4 of the audit) judges two years of made news, {SYMBOLS} symbols with
{ARTICLES_PER_SYMBOL_DAY} articles each a day, beside daily bars, where the true clock is known. The news is written by
the clock of the exchange:

- **clear night**: busy in working hours, few at night, some at weekends; **flat**: evenly over 24 hours of business
  days; **05-23 even**; **business hours**: 09-17; **after hours**: 16-22; **midnight**: stamps are dates.
- Prices do not react (**none**), each article moves its symbol by about {JUMP:.0%}, up or down, in the part of the day
  (session, or pause before it) it comes out in (**at publication**), or articles come out up to
  {LONGEST_WAIT_HOURS:.0f} hours after the move (**news follows prices**).
- The stamps are declared rightly, an hour or five too early (look-ahead) or too late, or the exchange's clock is read
  as if it were UTC: early west of Greenwich, late east of it.

Cells hold percent **suspicious / inconclusive / pass**.

## By profile, over the six zones

{pooled_draws} draws a cell (UTC: {pooled_draws - draws}); the standard error of a share near 50 % is
{50.0 / math.sqrt(pooled_draws):.1f} points, near 5 % {100.0 * math.sqrt(0.0475 / pooled_draws):.1f}.

{profile_table(found)}

## By zone, over the profiles, where prices react at publication

{draws * len(PROFILES)} draws a cell.

{zone_table(found)}

## False alarms

A right clock was doubted in {100.0 * alarms:.2f} % of {len(right):,} draws (standard error {100.0 * error:.2f}, upper
95 % limit {100.0 * bound:.2f}), and at most in {100.0 * worst:.0f} % of the {draws} of one cell
({zone}, {profile}, {reaction}). {100.0 * ALARM:g} % are allowed to all shifts and sources
together in the test of how prices moved, and 5 % to all tests.

What follows from how it judges:

- A clock an hour off is within what the hours of the day can tell, so that it may pass. London's clock read as UTC is
  right in winter and an hour late in summer, which prices and an even day do not tell from right.
- Stamps that are late without a clear night cannot be told from news that follows prices: inconclusive.
- News that follows prices by hours, stamped hours early, lies at the move again: that is the one way in which stamps
  five hours early pass, and it is rare.
- Where neither a night nor prices speak, nothing passes.
"""


def _workers(count: int) -> Executor:
    if count == 1:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"))


def _cell(key: tuple[str, str, str], draws: int, seed: int) -> dict[str, list[ClockVerdict]]:
    return judged(*key, draws, seed)


def _kept(path: Path | None) -> str:
    """Return the tables of real archives that a document holds, empty where it holds none."""
    lines = path.read_text(encoding="utf-8").splitlines() if path is not None and path.exists() else []
    first = next((place for place, line in enumerate(lines) if line.startswith("# Real archives")), len(lines))
    return "\n".join([*lines[first:], ""]) if first < len(lines) else ""


def main(argv: Sequence[str] | None = None) -> None:
    """Simulate and print, or write, the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20, help="worlds a cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--write", type=Path, help="file to renew")
    parser.add_argument("--data", type=Path, help="folder of real archives whose clock is right")
    options = parser.parse_args(argv)
    keys = list(product(ZONES, PROFILES, REACTIONS))
    with _workers(options.workers) as pool:
        found = dict(zip(keys, pool.map(partial(_cell, draws=options.draws, seed=options.seed), keys), strict=True))
    words = words_section(make_world, ZONES, list(PROFILES), max(1, options.draws // 2), options.seed)
    made = made_section(make_world, ZONES, list(PROFILES), max(1, options.draws // 3), options.seed)
    real = _kept(options.write) if options.data is None else archives_section(options.data, options.seed)
    text = "\n".join(part for part in (_text(found, options.draws), words, made, real) if part)
    if options.write is None:
        Console().print(text, markup=False)
    else:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
