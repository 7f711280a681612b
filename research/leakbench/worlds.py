"""Clean worlds: runs of many kinds on simulated news and prices, in which nothing looks ahead.

A world is a config and what it loads. Every kind is a habit of honest archives and honest settings (syndication, late
feeds, half days, splits, sources with hours of their own, hourly bars), so that what a check doubts there is a false
alarm. Kinds and seeds fix a world to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.schemas import Prices, utc_microseconds, validate_news
from embargo.data_loaders.simulated import grammar
from embargo.data_loaders.simulated.market import SimulatedMarket, Truth, simulate_market
from embargo.research.config.experiment import Config, parse_config
from embargo.research.run.world import Inputs

YEARS = (2012, 2013, 2014, 2015, 2016, 2017, 2018)
# Bars of an hour that stand in one day of the simulation from which hourly worlds are made.
_HOURS = 24
# Hours of the day (UTC) at which an hourly world writes; markets that never close have a rhythm all the same.
_CRYPTO_DAY = np.array([5, 4, 4, 3, 3, 4, 5, 7, 9, 9, 9, 9, 10, 12, 14, 14, 14, 13, 12, 11, 10, 9, 8, 6], dtype=float)


@dataclass(frozen=True)
class Clean:
    """A run in which nothing looks ahead.

    Attributes
    ----------
    kind : str
        A key of `KINDS`.
    seed : int
    config : Config
    inputs : Inputs or None
        None where the run reads its own files, which `files` writes first.
    truth : Truth
        What the simulated market knows of itself; plants steal from it.
    files : callable or None
        Writes the files of the config into a folder and returns the config that reads them.
    """

    kind: str
    seed: int
    config: Config
    inputs: Inputs | None
    truth: Truth
    files: Callable[[Path], Config] | None = None


@dataclass(frozen=True)
class WorldKind:
    """How worlds of one kind are made.

    Attributes
    ----------
    what : str
        In words, for the tables.
    market : mapping
        Settings of the simulated market that differ from the usual.
    settings : mapping
        Settings of the config that differ from the usual, ``section.key`` to value.
    change : callable or None
        Takes what was simulated and a generator and returns it changed, honestly.
    hourly : bool
        Bars of an hour on a market that never closes.
    as_files : bool
        Written to disk and read by the product's own loaders.
    """

    what: str
    market: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[Inputs, np.random.Generator], Inputs] | None = None
    hourly: bool = False
    as_files: bool = False


def make_world(kind: str, seed: int) -> Clean:
    """Make a clean world.

    Parameters
    ----------
    kind : str
        A key of `KINDS`.
    seed : int
    """
    made, rng = KINDS[kind], np.random.default_rng([seed, 7])
    # The second half is traded, so that half days and changes of the clock lie in it.
    year = YEARS[seed % len(YEARS)]
    inputs, truth = (_hourly if made.hourly else _daily)(year, seed, made)
    if made.change is not None:
        inputs = made.change(inputs, rng)
    config = _config(kind, year, seed, made)
    if not made.as_files:
        return Clean(kind, seed, config, inputs, truth)

    def files(folder: Path) -> Config:
        return _written(config, inputs, folder, rng)

    return Clean(kind, seed, config, None, truth, files)


@lru_cache(maxsize=16)
def _simulated(**settings: Any) -> Any:
    return simulate_market(SimulatedMarket(**settings))


def _daily(year: int, seed: int, made: WorldKind) -> tuple[Inputs, Truth]:
    settings = {"n_symbols": 8, "articles_per_symbol_day": 0.5, "start": f"{year}-01-02", "end": f"{year}-12-31"}
    market = _simulated(seed=seed, **(settings | dict(made.market)))
    counts: dict[str, Any] = {"news": {"read": len(market.news)}, "prices": {}}
    return Inputs(market.news, market.prices, None, None, counts), market.truth


def _hourly(year: int, seed: int, made: WorldKind) -> tuple[Inputs, Truth]:
    """Simulate a day for every hour of 50 days, and let it pass in an hour."""
    days = 50
    start = pd.Timestamp(2014, 1, 1, tz="UTC")
    end = start + pd.Timedelta(days=days * _HOURS - 1)
    settings = {"n_symbols": 4, "articles_per_symbol_day": 0.5, "start": f"{start:%Y-%m-%d}", "end": f"{end:%Y-%m-%d}"}
    slow = _simulated(
        seed=seed, calendar="24/7", latency=pd.Timedelta(minutes=5) * _HOURS, **(settings | dict(made.market))
    )
    origin = pd.Timestamp(year, 3, 5, tz="UTC")

    def sooner(instants: Any) -> pd.DatetimeIndex:
        spent = (utc_microseconds(pd.DatetimeIndex(instants)) - np.datetime64("2014-01-01", "us")) // _HOURS
        return pd.DatetimeIndex(np.datetime64(f"{year}-03-05", "us") + spent).tz_localize("UTC")

    published = sooner(slow.news["published_at"])
    waited = slow.news["seen_at"] - slow.news["published_at"]
    rng = np.random.default_rng([seed, 3])
    written = rng.random(len(published)) < _CRYPTO_DAY[published.hour] / _CRYPTO_DAY.max()
    news = slow.news.assign(published_at=published, seen_at=published + pd.TimedeltaIndex(waited))[written]
    opens = pd.date_range(origin, periods=days * _HOURS, freq="h", unit="us")
    panels = {}
    for name in PRICE_FIELDS:
        panel = getattr(slow.prices, name)
        # What moves in a day is more than what moves in an hour.
        calmer = panel if name == "volume" else 100.0 * (panel / slow.prices.open.iloc[0]) ** 0.3
        panels[name] = calmer.set_axis(opens, axis=0)
    prices = Prices(**panels, open_at=opens, close_at=opens + pd.Timedelta(hours=1), calendar="24/7")
    counts: dict[str, Any] = {"news": {"read": int(written.sum())}, "prices": {}}
    return Inputs(validate_news(news.drop(columns="known_at")), prices, None, None, counts), slow.truth


def _config(kind: str, year: int, seed: int, made: WorldKind) -> Config:
    document: dict[str, Any] = {
        "name": "leakbench",
        "seed": seed % 100_000,
        "news": {"loader": "simulated"},
        "prices": {"loader": "simulated"},
        "labels": {"ends_at": "known_at"},
        "split": {"first_test": f"{year}-07-01", "test_span": "3MS", "validation_span": "2MS"},
        "model": {"kind": "lexicon"},
        "signal": {"threshold": 0.35, "half_life": 2},
        "execution": {"engine": "kernel"},
        "statistics": {"bootstrap": 200, "permutations": 99},
    }
    if made.hourly:
        document["prices"] |= {"calendar": "24/7", "bar": "1h"}
        document["split"] = {"first_test": f"{year}-03-30", "test_span": "13D", "validation_span": "7D"}
    if "calendar" in made.market:
        document["prices"]["calendar"] = made.market["calendar"]
    for name, value in made.settings.items():
        section, key = name.split(".")
        document.setdefault(section, {})[key] = value
    config = parse_config(document, where=f"clean world {kind!r}")
    return config.allowing([config.model.kind]) if config.model.is_own else config


def _syndicated(inputs: Inputs, rng: np.random.Generator) -> Inputs:
    """Give each source a day of its own: some write before the open, some round their stamps, one is an hour late."""
    news = inputs.news.copy()
    sources = sorted(news["source"].unique())
    late, coarse = rng.choice(sources, 2, replace=False)
    slow = (news["source"] == late).to_numpy()
    news.loc[slow, "published_at"] += pd.Timedelta(hours=1)
    rounded = (news["source"] == coarse).to_numpy()
    news.loc[rounded, "published_at"] = news.loc[rounded, "published_at"].dt.ceil("5min")
    hour = news["published_at"].dt.hour
    quiet = sources[0]
    kept = ~((news["source"] == quiet) & ~hour.between(9, 20)).to_numpy()
    news["seen_at"] = news[["published_at", "seen_at"]].max(axis=1)
    return replace(inputs, news=validate_news(news[kept].drop(columns="known_at")))


def _late_feed(inputs: Inputs, rng: np.random.Generator) -> Inputs:
    """See every article minutes to hours after it was published, and some in a second version later still."""
    news = inputs.news.drop(columns="known_at").copy()
    wait = np.clip(np.exp(rng.normal(np.log(1200.0), 1.2, len(news))), 30.0, 172_800.0)
    news["seen_at"] = news["published_at"] + pd.to_timedelta((wait * 1e6).astype(np.int64), unit="us")
    again = news.iloc[np.sort(rng.choice(len(news), len(news) // 20, replace=False))].copy()
    again["text"] = (
        "UPDATE: "
        + again["text"]
        + " "
        + np.asarray(["More follows.", "Adds details."])[rng.integers(0, 2, len(again))].astype(object)
    )
    later = pd.to_timedelta((rng.uniform(1.0, 30.0, len(again)) * 3.6e9).astype(np.int64), unit="us")
    again["seen_at"] = again["seen_at"] + later
    again["published_at"] = again["published_at"] + later
    again["article_id"] = again["article_id"].astype(str) + "-2"
    return replace(inputs, news=validate_news(pd.concat([news, again], ignore_index=True)))


def _dated_texts(inputs: Inputs, _: np.random.Generator) -> Inputs:
    """Let every text begin with the place and the day it was written, as wires do."""
    news = inputs.news.copy()
    news["text"] = news["published_at"].dt.strftime("%Y-%m-%d") + " (" + news["source"] + ") " + news["text"]
    return replace(inputs, news=news)


def _funded(inputs: Inputs, rng: np.random.Generator) -> Inputs:
    """Charge the funding of perpetuals at 00, 08 and 16 UTC: it remembers what it was, and follows the last moves."""
    opens, close, symbols = inputs.prices.open_at, inputs.prices.close, inputs.prices.symbols
    drawn = rng.normal(0.0, 4e-5, (len(opens), len(symbols)))
    moved = np.nan_to_num(np.log((close / close.shift(8)).to_numpy(dtype=float)))
    settles = np.flatnonzero((opens + pd.Timedelta(hours=1)).hour % 8 == 0)
    panel = np.zeros_like(drawn)
    level = np.full(len(symbols), 1e-4)
    for row in settles:
        # Buyers who drove prices up pay those who held against them.
        level = 0.8 * level + 0.2e-4 + drawn[row] + 2.5e-5 * moved[row] / moved.std()
        panel[row] = level
    return replace(inputs, funding=pd.DataFrame(panel, index=opens, columns=symbols))


def _written(config: Config, inputs: Inputs, folder: Path, rng: np.random.Generator) -> Config:
    """Write news with rows that have no date, and prices as traded, with a split and what they are adjusted by."""
    folder.mkdir(parents=True, exist_ok=True)
    news = inputs.news.drop(columns="known_at").copy()
    stamps = news["published_at"].map(lambda at: at.isoformat())
    undated = rng.random(len(news)) < 0.03
    news = news.assign(published_at=stamps.mask(undated), seen_at=news["seen_at"].map(lambda at: at.isoformat()))
    news.to_csv(folder / "news.csv", index=False)
    prices = inputs.prices
    bars = len(prices.open_at)
    ratio = np.ones((bars, len(prices.symbols)))
    ratio[: int(bars * rng.uniform(0.3, 0.8)), int(rng.integers(len(prices.symbols)))] = 2.0
    columns = {
        name: (getattr(prices, name) / ratio if name == "volume" else getattr(prices, name) * ratio)
        for name in PRICE_FIELDS
    }
    columns["adj_close"] = prices.close
    days, symbols = np.repeat(prices.open_at, len(prices.symbols)), np.tile(prices.symbols, bars)
    table = pd.DataFrame({name: panel.to_numpy().ravel() for name, panel in columns.items()})
    table = table.assign(symbol=symbols, date=pd.DatetimeIndex(days).strftime("%Y-%m-%d")).dropna(subset="open")
    table.to_csv(folder / "prices.csv", index=False)
    document = config.to_dict()
    document["news"] = {"path": str(folder / "news.csv")}
    document["prices"] = {"path": str(folder / "prices.csv"), "adjust": "total_return"}
    return parse_config(document, where="clean world of files")


_LINEAR = {"model.kind": "linear"}
_PROMPTED = {"model.kind": "embargo.research.leakbench.counting:COUNTING"}
_HOLDOUT = {"split.method": "holdout"}

KINDS: Mapping[str, WorldKind] = MappingProxyType(
    {
        "word list": WorldKind("daily shares, walk-forward, word list, mean of the articles"),
        "linear": WorldKind("daily shares, hold-out, linear reader, temperature", settings=_LINEAR | _HOLDOUT),
        "votes": WorldKind(
            "daily shares, walk-forward, linear reader calibrated class by class, votes, signs held",
            settings=_LINEAR | {"model.calibration": "vector", "signal.mode": "vote", "portfolio.method": "sign"},
        ),
        "sums": WorldKind(
            "daily shares, hold-out, linear reader, isotonic, sum of the articles, market-neutral",
            market={"articles_per_symbol_day": 0.8},
            settings=_LINEAR
            | _HOLDOUT
            | {
                "model.calibration": "isotonic",
                "split.validation_span": "4MS",
                "signal.mode": "sum",
                "portfolio.neutral": True,
            },
        ),
        "labels of returns": WorldKind(
            "daily shares, hold-out, linear reader of what followed over two bars",
            settings=_LINEAR
            | _HOLDOUT
            | {"labels.source": "returns", "labels.ends_at": None, "labels.horizon_bars": 2, "split.embargo": "3D"},
        ),
        "prompted": WorldKind(
            "daily shares, hold-out, a reader that counts words over its prompt, with examples and earlier articles",
            settings=_PROMPTED | _HOLDOUT,
        ),
        "prompted returns": WorldKind(
            "daily shares, hold-out, the same reader, examples labelled by what followed over two bars",
            settings=_PROMPTED
            | _HOLDOUT
            | {"labels.source": "returns", "labels.ends_at": None, "labels.horizon_bars": 2, "split.embargo": "3D"},
        ),
        "sources": WorldKind(
            "daily shares, word list, sources with hours of their own, one late, one coarse, weighed apart",
            market={"articles_per_symbol_day": 0.8},
            settings={"signal.source_weights": {"Meridian Wire": 1.5}, "signal.novelty_floor": 0.5},
            change=_syndicated,
        ),
        "late feed": WorldKind(
            "daily shares, word list, seen minutes to days late, revised versions", change=_late_feed
        ),
        "copies": WorldKind(
            "daily shares, word list, a third of the articles syndicated",
            market={"duplicate_share": 0.3, "articles_per_symbol_day": 0.6},
            settings={"news.repeat_scope": "all"},
        ),
        "files": WorldKind(
            "daily shares read from files: undated rows, a split, adjusted closes",
            market={"articles_per_symbol_day": 0.5},
            as_files=True,
        ),
        "limits": WorldKind(
            "daily shares, filled at the close, a cap on volume, market impact",
            settings={
                "execution.fill": "close",
                "execution.participation": 0.02,
                "costs.impact": 0.5,
                "portfolio.initial_cash": 20_000_000.0,
            },
        ),
        "capped": WorldKind(
            "daily shares, filled at the open, a cap on volume that cuts many orders",
            settings={"execution.participation": 0.02, "portfolio.initial_cash": 20_000_000.0},
        ),
        "risk": WorldKind(
            "daily shares, ranks, inverse volatility, a gate by regime",
            settings={
                "signal.cross_section": {"method": "rank"},
                "portfolio.inverse_volatility": True,
                "portfolio.gate": {"turbulent": 0.5},
                "regimes.gate_by": ["volatility"],
            },
        ),
        "hourly": WorldKind(
            "hourly crypto, walk-forward, word list, funding",
            settings={"signal.half_life": 6},
            change=_funded,
            hourly=True,
        ),
        "hourly linear": WorldKind(
            "hourly crypto, hold-out, linear reader, votes",
            settings=_LINEAR | _HOLDOUT | {"signal.mode": "vote", "signal.half_life": 6},
            hourly=True,
        ),
        "crypto": WorldKind(
            "daily crypto, round the clock, word list, sum of the articles",
            market={"calendar": "24/7", "n_symbols": 6},
            settings={"signal.mode": "sum"},
        ),
        "nothing": WorldKind("daily shares, news that means nothing", market={"strength": 0.0}),
        "strong": WorldKind("daily shares, news that moves prices three times as much", market={"strength": 3.0}),
        "wide": WorldKind(
            "daily shares, 20 symbols, listings and delistings, word list",
            market={"n_symbols": 20, "articles_per_symbol_day": 0.5},
        ),
        "long list": WorldKind(
            "daily shares, 80 symbols over six years, listings and delistings, little news",
            market={
                "n_symbols": 80,
                "articles_per_symbol_day": 0.03,
                "start": "2012-01-02",
                "end": "2017-12-29",
            },
            settings={
                "split.first_test": "2016-01-04",
                "split.test_span": "12MS",
                "split.validation_span": "12MS",
                "signal.threshold": 0.2,
            },
        ),
        "dated texts": WorldKind("daily shares, word list, texts that begin with their day", change=_dated_texts),
        "london": WorldKind(
            "daily shares of London, word list, decayed by the hour",
            market={"calendar": "XLON"},
            settings={"signal.half_life_hours": 30.0},
        ),
        "tuned": WorldKind(
            "daily shares, hold-out, the built-in base tuned",
            market={"n_symbols": 6},
            settings=_HOLDOUT | {"model.kind": "transformer", "model.epochs": 1},
        ),
    }
)


def names_of(inputs: Inputs) -> dict[str, list[str]]:
    """Return what the companies of a simulated market are called, by symbol."""
    known = {company.symbol: company.name for company in grammar.companies(480)}
    return {symbol: [known[symbol], known[symbol].split()[0]] for symbol in inputs.prices.symbols if symbol in known}
