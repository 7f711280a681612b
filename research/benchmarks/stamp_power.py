"""Plant wrong stamps in made news and in real archives whose clock is right, and count what the checks say.

Used by ``python -m embargo.research.benchmarks.clock_power``: minorities of stamps by another clock, bars labelled one
session late or early, and clocks shifted throughout, with the false alarms on every period that is left as it is.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from scipy.stats import beta

from embargo.backtest.leakage import check_bar_stamps, check_mixed_clocks, check_time_zones
from embargo.data_loaders.archive import read_prices
from embargo.data_loaders.calendars import zone_of
from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.schemas import Prices
from embargo.research.benchmarks.size_and_power import markdown

HOUR = pd.Timedelta(hours=1)
# Periods of fewer articles are left out; of a symbol's years, those with as many.
FEWEST, FEWEST_OF_SYMBOL = 200, 400
SHIFTS = (-8, -5, -2, -1, 1, 2, 5, 8)
PERIODS = {"year": "Y", "quarter": "Q", "month": "M"}
COPIES, COPY_MINUTES = 1.0, 20.0

Tally = Mapping[tuple[str, str], Sequence[str]]
Plant = Callable[[pd.DataFrame, str, np.random.Generator], pd.DataFrame]


class World(Protocol):
    """News with the right clock, and prices."""

    @property
    def news(self) -> pd.DataFrame:
        """As `embargo.data_loaders.validate_news` returns them."""

    @property
    def prices(self) -> Prices:
        """Bars of the symbols."""

    @property
    def calendar(self) -> str:
        """Code of exchange_calendars."""


# Calendar, profile and reaction to a world, as `embargo.research.benchmarks.clock_power.make_world`.
MakeWorld = Callable[[str, str, str, np.random.Generator], World]


def _chosen(news: pd.DataFrame, share: float, rng: np.random.Generator) -> np.ndarray:
    """Choose a share of the articles, whole articles under all their symbols."""
    place, names = pd.factorize(news["article_id"])
    chosen: np.ndarray = (rng.random(len(names)) < share)[place]
    return chosen


def _at(news: pd.DataFrame, rows: np.ndarray, stamps: pd.Series) -> pd.DataFrame:
    return news.assign(published_at=news["published_at"].where(~rows, stamps))


def _moved(share: float) -> Plant:
    def plant(news: pd.DataFrame, calendar: str, rng: np.random.Generator) -> pd.DataFrame:
        hours = int(rng.choice([-8, -5, -4, 4, 5, 8]))
        return _at(news, _chosen(news, share, rng), news["published_at"] + hours * HOUR)

    return plant


def _zone_dropped(news: pd.DataFrame, calendar: str, rng: np.random.Generator) -> pd.DataFrame:
    zone = zone_of("XNYS" if calendar in ("24/7", "XICE") else calendar)
    wall = news["published_at"].dt.tz_convert(zone).dt.tz_localize(None).dt.tz_localize("UTC")
    return _at(news, _chosen(news, 0.5, rng), wall)


def _default(share: float, *, minutes: bool) -> Plant:
    def plant(news: pd.DataFrame, calendar: str, rng: np.random.Generator) -> pd.DataFrame:
        at = news["published_at"]
        stamp = at.dt.normalize() + int(rng.integers(6, 18)) * HOUR
        return _at(news, _chosen(news, share, rng), stamp + (at - at.dt.floor("h")) if minutes else stamp)

    return plant


def _before_open(news: pd.DataFrame, calendar: str, rng: np.random.Generator) -> pd.DataFrame:
    local = news["published_at"].dt.tz_convert(zone_of(calendar))
    hour = local.dt.hour.to_numpy()
    rows = _chosen(news, 0.2, rng) & (hour >= 10) & (hour < 16)
    early = local.dt.normalize() + 8 * HOUR + pd.to_timedelta(rng.integers(0, 5400, len(news)), unit="s")
    return _at(news, rows, early.dt.tz_convert("UTC"))


def _as_it_is(news: pd.DataFrame, calendar: str, rng: np.random.Generator) -> pd.DataFrame:
    return news


MINORITIES: dict[str, Plant] = {
    "none": _as_it_is,
    "10 % moved": _moved(0.1),
    "30 % moved": _moved(0.3),
    "50 % moved": _moved(0.5),
    "zone dropped on half": _zone_dropped,
    "default minute on 10 %": _default(0.1, minutes=False),
    "default minute on 30 %": _default(0.3, minutes=False),
    "default hour on 30 %": _default(0.3, minutes=True),
    "20 % moved before the open": _before_open,
}


def labelled(prices: Prices, bars: int) -> Prices:
    """Return the prices with every bar labelled so many bars late (negative: early).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.research.benchmarks.clock_power import make_world
    >>> from embargo.research.benchmarks.stamp_power import labelled
    >>> prices = make_world("XNYS", "flat", "none", np.random.default_rng(0)).prices
    >>> bool(labelled(prices, 1).close.iloc[1, 0] == prices.close.iloc[0, 0])
    True
    """
    panels = {name: getattr(prices, name).shift(bars) for name in PRICE_FIELDS}
    return Prices(**panels, open_at=prices.open_at, close_at=prices.close_at, calendar=prices.calendar)


def with_copies(news: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Add copies of each article some minutes later, as feeds carry them: one on average."""
    number = rng.geometric(1.0 / (1.0 + COPIES), len(news)) - 1
    place = np.repeat(np.arange(len(news)), number)
    later = pd.to_timedelta(rng.exponential(COPY_MINUTES, len(place)) * 60.0, unit="s").round("us")
    copies = news.iloc[place].assign(article_id=[f"c{count}" for count in range(len(place))])
    copies["published_at"] = (copies["published_at"].reset_index(drop=True) + later).to_numpy()
    copies["published_at"] = pd.to_datetime(copies["published_at"], utc=True).astype(news["published_at"].dtype)
    return pd.concat([news, copies]).sort_values("published_at", ignore_index=True, kind="stable")


def periods(news: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Cut an archive into all of it, years, quarters, months, and years of single symbols."""
    yield "all", news
    naive = news["published_at"].dt.tz_localize(None)
    for name, code in PERIODS.items():
        for _, part in news.groupby(naive.dt.to_period(code)):
            if len(part) >= FEWEST:
                yield name, part
    for _, part in news.groupby([news["symbol"], naive.dt.year]):
        if len(part) >= FEWEST_OF_SYMBOL:
            yield "symbol and year", part


def share_told(verdicts: Sequence[str], verdict: str = "suspicious") -> str:
    """Write a count with the exact 95 % interval of its share (Clopper and Pearson 1934)."""
    found, n = sum(each in (verdict, "leak") for each in verdicts), len(verdicts)
    if not n:
        return "-"
    low = 0.0 if not found else float(beta.ppf(0.025, found, n - found + 1))
    high = 1.0 if found == n else float(beta.ppf(0.975, found + 1, n - found))
    unclear = sum(each == "inconclusive" for each in verdicts)
    return f"{found} of {n} ({100 * low:.0f}-{100 * high:.0f} %), {unclear} unclear"


def _table(found: Tally, kinds: Sequence[str], of: str) -> str:
    """Rows: plants; columns: kinds of world."""
    plants = list(dict.fromkeys(plant for _, plant in found))
    rows = [[plant, *(share_told(found.get((kind, plant), ())) for kind in kinds)] for plant in plants]
    return markdown([of, *kinds], rows)


def made_section(
    make_world: MakeWorld, zones: Mapping[str, str], profiles: Sequence[str], draws: int, seed: int
) -> str:
    """Tables of minorities and of bars, over made worlds."""
    mixed: dict[tuple[str, str], list[str]] = defaultdict(list)
    bars: dict[tuple[str, str], list[str]] = defaultdict(list)
    for zone, profile in product(zones, profiles):
        rng = np.random.default_rng([seed, zlib.crc32(f"{zone} {profile}".encode())])
        for _, reaction in product(range(draws), ("none", "at publication")):
            world = make_world(zones[zone], profile, reaction, rng)
            for late, side in ((0, "as they are"), (1, "one session late"), (-1, "one session early")):
                verdict = check_bar_stamps(labelled(world.prices, late), world.news).verdict
                bars[reaction, side].append(verdict)
            if reaction == "none" and profile != "midnight":
                for kind, news in (("single articles", world.news), ("with copies", with_copies(world.news, rng))):
                    for plant, change in MINORITIES.items():
                        verdict = check_mixed_clocks(change(news, world.calendar, rng), world.calendar).verdict
                        mixed[kind, plant].append(verdict)
    return f"""## A part of the stamps by another clock

`check_mixed_clocks` on the same made worlds ({draws} a zone and profile), as they are and with {COPIES:g} copy of each
article on average, {COPY_MINUTES:.0f} minutes later on average. Moved rows are moved by 4, 5 or 8 hours either way.
Cells hold how many were found suspicious or a leak, the exact 95 % interval, and how many were called inconclusive.

{_table(mixed, ("single articles", "with copies"), "planted")}

Rows moved by irregular times, such as to somewhere before the open, are not seen by their stamps; single articles
without copies or bursts show no echo.

## Bars labelled one session late or early

`check_bar_stamps` on the same worlds, whose volumes never change, so that news alone can tell. Early labels are no
look-ahead, and are never called by news alone.

{_table(bars, ("none", "at publication"), "labels")}
"""


def archives_section(folder: Path, seed: int) -> str:
    """Tables over periods of real archives whose clock is right, each as a world of its own.

    Parameters
    ----------
    folder : Path
        Holds ``stocknet_news``, ``stocknet_prices``, ``crypto_news`` and ``crypto_prices_1h``, all parquet.
    seed : int
    """
    parts = [_archive_section(*archive, seed) for archive in _archives(folder)]
    return "\n".join(["# Real archives whose clock is right", "", _ARCHIVES, "", *parts])


_ARCHIVES = """\
Made from data that are not part of this project (StockNet's messages of 2014 to 2016 beside daily bars, and crypto news
of 2021 and 2022 beside hourly bars); these tables are kept where the data are absent. Every period of at least 200
articles, and every year of a symbol with at least 400, is judged as if it were all there is; periods overlap, so that
intervals are too narrow across columns. Thresholds of months and seasons, of echoes and of bars were chosen while
looking at these periods as they are: their false alarms are in sample, those on made worlds are not. Cells hold how
many were found suspicious or a leak, the exact 95 % interval of that share, and how many were called inconclusive."""


def _archives(folder: Path) -> Iterator[tuple[str, pd.DataFrame, Prices, str]]:
    news = pd.read_parquet(folder / "stocknet_news.parquet").rename(columns={"id": "article_id"})
    news = news[news["cashtag_match"]].sort_values("published_at", ignore_index=True, kind="stable")
    prices = read_prices(folder / "stocknet_prices.parquet", calendar="XNYS").prices
    yield "StockNet", news, prices, "XNYS"
    raw = pd.read_parquet(folder / "crypto_news.parquet").rename(columns={"id": "article_id"})
    raw = raw.assign(published_at=raw["published_at"].dt.as_unit("us"))
    both = [raw[raw["mentions_btc"]].assign(symbol="BTCUSDT"), raw[raw["mentions_eth"]].assign(symbol="ETHUSDT")]
    table = pd.read_parquet(folder / "crypto_prices_1h.parquet")
    table = table[(table["venue"] == "binance_usdtm_perp") & (table["open_time"] >= raw["published_at"].min())]
    table = table[table["open_time"] <= raw["published_at"].max()]
    bars = table.set_index(["open_time", "symbol"])
    panels = {name: bars[name].unstack("symbol") for name in PRICE_FIELDS}  # noqa: PD010
    opens = pd.DatetimeIndex(panels["open"].index).as_unit("us")
    panels = {name: panel.set_axis(opens) for name, panel in panels.items()}
    prices = Prices(**panels, open_at=opens, close_at=opens + HOUR, calendar="24/7")
    yield "Crypto news", pd.concat(both).sort_values("published_at", ignore_index=True, kind="stable"), prices, "24/7"


def _archive_section(name: str, news: pd.DataFrame, prices: Prices, calendar: str, seed: int) -> str:
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    mixed: dict[tuple[str, str], list[str]] = defaultdict(list)
    bars: dict[tuple[str, str], list[str]] = defaultdict(list)
    clock: dict[tuple[str, str], list[str]] = defaultdict(list)
    for kind, part in periods(news):
        for plant, change in MINORITIES.items():
            if plant != "20 % moved before the open" or calendar != "24/7":
                mixed[kind, plant].append(check_mixed_clocks(change(part, calendar, rng), calendar).verdict)
        at = part["published_at"]
        for hours in (0, *SHIFTS):
            shifted = part.assign(published_at=at + hours * HOUR)
            plant = "as it is" if not hours else f"{abs(hours)} h {'late' if hours > 0 else 'early'}"
            clock[kind, plant].append(check_time_zones(shifted, calendar, prices=prices).verdict)
        wall = at.dt.tz_convert("America/New_York").dt.tz_localize(None).dt.tz_localize("UTC")
        shifted = part.assign(published_at=wall)
        clock[kind, "New York read as UTC"].append(check_time_zones(shifted, calendar, prices=prices).verdict)
        near = (prices.open_at >= at.min() - 20 * 24 * HOUR) & (prices.open_at <= at.max() + 5 * 24 * HOUR)
        around = prices.select(bars=np.flatnonzero(near))
        if kind in ("symbol and year", "month"):
            continue
        for late, side in ((0, "as they are"), (1, "one bar late"), (-1, "one bar early")):
            bars[kind, side].append(check_bar_stamps(labelled(around, late), part).verdict)
    kinds = ["all", *PERIODS, "symbol and year"]
    return f"""## {name}

The whole clock (`check_time_zones`):

{_table(clock, kinds, "stamps")}

A part of the stamps (`check_mixed_clocks`):

{_table(mixed, kinds, "planted")}

The bars (`check_bar_stamps`):

{_table(bars, ["all", "year", "quarter"], "labels")}
"""
