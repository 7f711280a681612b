"""From a config to data that is ready to learn from: news, bars, decision times, folds and samples.

Everything that can be wrong with a config or its data is found here, in seconds, before anything is trained. Nothing is
dropped without being counted.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_loaders import archive, labels, quality, splits
from data_loaders.calendars import bars_per_year, decision_times, last_closed_bar
from data_loaders.errors import ConfigError, DataError
from data_loaders.schemas import CLASSES, PRICE_FIELDS, Prices
from data_loaders.simulated import SimulatedMarket, Truth, simulate
from models.bases import Base
from research.config import Config
from research.progress import Stages

Counts = dict[str, dict[str, int]]


@dataclass(frozen=True)
class World:
    """What a run knows: news and bars, when each bar is decided, and what was left out.

    Attributes
    ----------
    news : DataFrame
        Validated, sorted by ``known_at``, repeats dropped if so configured; one row per article and symbol.
    stamps : DataFrame
        ``published_at`` and ``known_at`` of each loaded article, repeats included, for the audit.
    prices : Prices
    decided_at : DatetimeIndex, shape (bars,)
    last_closed : ndarray of int, shape (bars,)
        Newest bar already closed when each row is decided, -1 for none.
    periods_per_year : float
    truth : Truth or None
        What the simulated market knows of itself; None for real data.
    counts : dict of str to dict of str to int
    """

    news: pd.DataFrame
    stamps: pd.DataFrame
    prices: Prices
    decided_at: pd.DatetimeIndex
    last_closed: np.ndarray
    periods_per_year: float
    truth: Truth | None
    counts: Counts

    def fingerprints(self) -> dict[str, str]:
        """Content hashes of news and prices, equal on every machine; 64 hex digits each."""
        columns = ["article_id", "published_at", "seen_at", "symbol", "text", "source"]
        digest = hashlib.sha256()
        for name in PRICE_FIELDS:
            digest.update(np.ascontiguousarray(getattr(self.prices, name).to_numpy(dtype=float)).tobytes())
        digest.update(",".join(self.prices.symbols).encode())
        digest.update(self.prices.open_at.as_unit("us").asi8.tobytes())
        digest.update(self.prices.close_at.as_unit("us").asi8.tobytes())
        return {"news": _frame_hash(self.news[columns]), "prices": digest.hexdigest()}


@dataclass(frozen=True)
class Part:
    """One fold with its samples.

    Attributes
    ----------
    fold : Fold
    train, validation, test : DataFrame
        Labelled samples; ``test`` is only ever used to measure classification.
    test_news : DataFrame
        Articles known inside the test window, labelled or not: those are traded on.
    trained_until : Timestamp
        Latest instant that anything in train or validation could know.
    thresholds : tuple of float or None
        Return thresholds between the classes, learnt on train; None for human labels.
    counts : dict of str to int
    """

    fold: splits.Fold
    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    test_news: pd.DataFrame
    trained_until: pd.Timestamp
    thresholds: tuple[float, float] | None
    counts: dict[str, int]

    @property
    def n_test_articles(self) -> int:
        """Distinct articles in the test window."""
        return int(self.test_news["article_id"].nunique())


@dataclass(frozen=True)
class Plan:
    """Everything a run is made of before anything is trained.

    Attributes
    ----------
    config : Config
    world : World
    parts : list of Part
    rows : slice
        Positions of the bars decided inside the test windows.
    base : Base or None
        The base model; None where the run needs none or pretrains the built-in one.
    """

    config: Config
    world: World
    parts: list[Part]
    rows: slice
    base: Base | None


def load_world(config: Config, stages: Stages) -> World:
    """Load news and prices and settle when each bar is decided.

    Raises
    ------
    MissingPartError, DataError, ConfigError
        If a file is missing, data break a contract, or symbols in the news have no prices.
    """
    latency = pd.Timedelta(config.prices.latency)
    if config.news.source == "simulated":
        news, prices, truth, counts = _simulated(config, latency, stages)
    else:
        news, prices, counts = _archived(config, stages)
        truth = None
    stamps = news[["published_at", "known_at"]]
    if config.news.drop_repeats:
        fresh = quality.first_seen(news)
        counts["news"]["repeats"] = int((~fresh).sum())
        news = news.loc[fresh].reset_index(drop=True)
    unpriced = sorted(set(news["symbol"]) - set(prices.symbols))
    if unpriced and config.news.unpriced == "error":
        raise DataError(
            f"news: {len(unpriced)} symbols have no prices: {unpriced[:8]}. Add their prices, list the symbols "
            "to trade in prices.symbols, or set news.unpriced = 'drop' to leave them out."
        )
    has_price = ~news["symbol"].isin(unpriced)
    counts["news"]["unpriced"] = int((~has_price).sum())
    news = news.loc[has_price].reset_index(drop=True)
    if news.empty:
        raise DataError(
            "news: no article is left after filters. Check news.filters, the dates in [split] and prices.symbols."
        )
    counts["news"]["kept"] = len(news)
    decided_at = decision_times(prices.open_at, latency)
    return World(
        news=news,
        stamps=stamps,
        prices=prices,
        decided_at=decided_at,
        last_closed=last_closed_bar(prices.close_at, decided_at),
        periods_per_year=bars_per_year(prices.calendar, pd.Timedelta(config.prices.bar)),
        truth=truth,
        counts=counts,
    )


def _simulated(config: Config, latency: pd.Timedelta, stages: Stages) -> tuple[pd.DataFrame, Prices, Truth, Counts]:
    stages.stage("Simulate the market")
    market = config.news.simulated
    simulation = simulate(
        SimulatedMarket(
            seed=config.seed,
            strength=market.strength,
            n_symbols=market.symbols,
            start=f"{market.start:%Y-%m-%d}",
            end=f"{market.end:%Y-%m-%d}",
            calendar=config.prices.calendar,
            articles_per_symbol_day=market.articles_per_symbol_day,
            latency=latency,
        )
    )
    return simulation.news, simulation.prices, simulation.truth, {"news": {"read": len(simulation.news)}, "prices": {}}


def _archived(config: Config, stages: Stages) -> tuple[pd.DataFrame, Prices, Counts]:
    if config.prices.symbols:
        # Prices first: a mistyped symbol is then named, rather than missed in the news.
        bars = _read_prices(config, list(config.prices.symbols), stages)
        loaded = _read_news(config, stages)
    else:
        loaded = _read_news(config, stages)
        every = config.news.unpriced == "drop"
        bars = _read_prices(config, None if every else sorted(set(loaded.frame["symbol"])), stages)
    return loaded.frame, bars.prices, {"news": dict(loaded.counts), "prices": dict(bars.counts)}


def _read_news(config: Config, stages: Stages) -> archive.Loaded:
    news = config.news
    return archive.read_news(
        Path(str(news.path)),
        columns=news.columns,
        filters=news.filters,
        timezone=news.timezone,
        symbols=list(config.prices.symbols) or None,
        start=config.split.start,
        end=config.split.end,
        text_from=news.text_from,
        max_characters=news.max_characters,
        symbol=news.symbol,
        symbol_flags=news.symbol_flags,
        date_only=news.date_only,
        progress=stages.stage("Read the news"),
    )


def _read_prices(config: Config, symbols: list[str] | None, stages: Stages) -> archive.LoadedPrices:
    prices = config.prices
    return archive.read_prices(
        Path(str(prices.path)),
        columns=prices.columns,
        filters=prices.filters,
        symbols=symbols,
        end=config.split.end,
        calendar=prices.calendar,
        bar=prices.bar,
        adjust=prices.adjust,
        progress=stages.stage("Read the prices"),
    )


def plan_folds(config: Config, world: World) -> list[splits.Fold]:
    """Cut time into folds; see `data_loaders.splits` for the rules and errors."""
    split = config.split
    start = split.start or world.news["known_at"].iloc[0].floor("D")
    end = split.end or world.prices.close_at[-1].ceil("D")
    if not start < split.first_test < end:
        raise ConfigError(
            f"split.first_test = {split.first_test} does not lie inside the data, which run from {start} to {end}."
        )
    return splits.walk_forward(
        start,
        split.first_test,
        end,
        test_span=end - split.first_test if split.method == "holdout" else split.test_span,
        validation_span=split.validation_span,
        train_span=split.train_span,
    )


def plan_parts(config: Config, world: World, folds: list[splits.Fold], stages: Stages) -> list[Part]:
    """Give every fold its samples, purged and embargoed, and prove that they do not leak.

    Raises
    ------
    DataError
        If a part of a fold is empty.
    LeakError
        If a sample reaches over a boundary.
    """
    stages.stage("Label and split")
    embargo = pd.Timedelta(config.split.embargo)
    if config.labels.source == "file":
        return _parts_from_file(config, world, folds)
    if config.labels.source == "news":
        labelled = labels.from_news(world.news, column=config.labels.column, mapping=config.labels.mapping or None)
    else:
        labelled = labels.forward_returns(
            world.news, world.prices, world.decided_at, horizon_bars=config.labels.horizon_bars
        )
        # The classes depend on thresholds learnt on train alone, so they wait until time has been cut.
        labelled = replace(labelled, frame=labelled.frame.assign(label=CLASSES.index("neutral")))
    parts = []
    for fold in folds:
        samples = splits.part_of(labelled.frame, fold, embargo=embargo)
        train, validation, test, counts = samples.train, samples.validation, samples.test, dict(samples.counts)
        thresholds = None
        if config.labels.source == "returns":
            thresholds = labels.fit_thresholds(train["value"], config.labels.neutral_share)
            train, validation, test = (labels.from_returns(part, *thresholds) for part in (train, validation, test))
        if config.model.max_train and len(train) > config.model.max_train:
            counts["train_over_limit"] = len(train) - config.model.max_train
            train = train.sort_values("known_at").iloc[-config.model.max_train :]
        used = pd.concat([train, validation])
        until = max(used["known_at"].max(), used["ends_at"].max())
        parts.append(_part(world, fold, train, validation, test, until, thresholds, counts | labelled.counts))
    return parts


def _parts_from_file(config: Config, world: World, folds: list[splits.Fold]) -> list[Part]:
    settings = config.labels
    labelled = labels.read_label_set(
        Path(str(settings.path)),
        text=settings.text,
        label=settings.label,
        mapping=settings.mapping or None,
        filters=settings.filters,
        knowledge_cutoff=settings.knowledge_cutoff,
    )
    # Two cuts of one undated set: a hold-out to measure on, then train and validation out of the rest.
    held = splits.split_undated(labelled.frame, validation_share=settings.validation_share, seed=config.seed)
    used = splits.split_undated(held.train, validation_share=settings.validation_share, seed=config.seed + 1)
    counts = labelled.counts | {
        "train": len(used.train),
        "validation": len(used.validation),
        "test": len(held.validation),
    }
    until = labelled.frame["known_at"].max()
    return [_part(world, fold, used.train, used.validation, held.validation, until, None, counts) for fold in folds]


def _part(
    world: World,
    fold: splits.Fold,
    train: pd.DataFrame,
    validation: pd.DataFrame,
    test: pd.DataFrame,
    trained_until: pd.Timestamp,
    thresholds: tuple[float, float] | None,
    counts: dict[str, int],
) -> Part:
    known_at = world.news["known_at"]
    test_news = world.news.loc[(known_at >= fold.test_start) & (known_at < fold.test_end)]
    if test_news.empty:
        raise DataError(
            f"fold {fold.index}: no article between {fold.test_start} and {fold.test_end}. "
            "Widen split.test_span or move split.end."
        )
    return Part(fold, train, validation, test, test_news, trained_until, thresholds, counts)


def _frame_hash(frame: pd.DataFrame) -> str:
    rows: Any = pd.util.hash_pandas_object(frame, index=False)
    return hashlib.sha256(rows.to_numpy().tobytes()).hexdigest()
