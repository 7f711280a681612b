"""From a config to data that is ready to learn from: news, bars, decision times, folds and samples.

Everything that can be wrong with a config or its data is found here, in seconds, before anything is trained. Nothing is
dropped without being counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from embargo.data_loaders import labels
from embargo.data_loaders.archive import label_sets
from embargo.data_loaders.archive import news as archive
from embargo.data_loaders.archive.tables import Piece, keep_filtered
from embargo.data_loaders.calendars import bars_per_year, decision_times, last_closed_bar, length_of
from embargo.data_loaders.checks import repeats as quality
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.funding import funding_panel
from embargo.data_loaders.schemas import CLASSES, PRICE_FIELDS, Prices
from embargo.data_loaders.splits import walk_forward as splits
from embargo.research.config.experiment import Config, Labels
from embargo.research.progress import Stages

if TYPE_CHECKING:
    from embargo.data_loaders.simulated.market import Truth
    from embargo.data_loaders.store import Snapshot
    from embargo.models.bases.resolve import Base

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
    funding : DataFrame or None
        Funding rates that settle during each row, shape (bars, symbols); None where none is charged.
    counts : dict of str to dict of str to int
    """

    news: pd.DataFrame
    stamps: pd.DataFrame
    prices: Prices
    decided_at: pd.DatetimeIndex
    last_closed: np.ndarray
    periods_per_year: float
    truth: Truth | None
    funding: pd.DataFrame | None
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
        if self.funding is not None:
            digest.update(np.ascontiguousarray(self.funding.to_numpy(dtype=float)).tobytes())
        return {"news": _frame_hash(self.news[columns]), "prices": digest.hexdigest()}


@dataclass(frozen=True)
class Samples:
    """What one model learns from, and what it is then asked to read.

    Attributes
    ----------
    index : int
        Of the fold or split.
    train, validation, test : DataFrame
        Labelled samples; ``test`` is only ever used to measure classification.
    test_news : DataFrame
        Articles known inside the test windows, labelled or not: those are traded on.
    trained_until : Timestamp
        Latest instant that anything in train or validation could know.
    thresholds : tuple of float or None
        Return thresholds between the classes, learnt on train; None for human labels.
    counts : dict of str to int
    """

    index: int
    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    test_news: pd.DataFrame
    trained_until: pd.Timestamp
    thresholds: tuple[float, float] | None
    counts: dict[str, int]

    @property
    def n_test_articles(self) -> int:
        """Distinct articles in the test windows."""
        return int(self.test_news["article_id"].nunique())


@dataclass(frozen=True)
class Part(Samples):
    """The samples of a fold that follows time."""

    fold: splits.Fold


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
    if config.news.loader == "simulated":
        news, prices, truth, counts = _simulated(config, latency, stages)
    else:
        news, prices, counts = _recorded(config, stages)
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
        periods_per_year=bars_per_year(prices.calendar, length_of(config.prices.bar)),
        truth=truth,
        funding=_funding(config, prices, counts),
        counts=counts,
    )


def _simulated(config: Config, latency: pd.Timedelta, stages: Stages) -> tuple[pd.DataFrame, Prices, Truth, Counts]:
    # This loader and the store's are loaded by those who use them: the store brings duckdb.
    from embargo.data_loaders.simulated.market import SimulatedMarket, simulate

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


def _recorded(config: Config, stages: Stages) -> tuple[pd.DataFrame, Prices, Counts]:
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
    if news.loader == "store":
        return _stored_news(config, stages)
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
    if prices.loader == "store":
        stages.stage("Read the prices")
        return _stored_prices(config, symbols)
    return archive.read_prices(
        Path(str(prices.path)),
        columns=prices.columns,
        filters=prices.filters,
        symbols=symbols,
        end=config.split.end,
        calendar=prices.calendar,
        bar=prices.bar,
        adjust="total_return" if prices.adjust == "total_return" else "none",
        progress=stages.stage("Read the prices"),
    )


def _snapshot(config: Config, path: str) -> Snapshot:
    """Open a store as of the instant asked for; by default with everything that it holds by now."""
    from embargo.data_loaders.store import Store

    return Store.open(path).as_of(config.as_of if config.as_of is not None else pd.Timestamp.now("UTC").as_unit("us"))


def _stored_news(config: Config, stages: Stages) -> archive.Loaded:
    """Read every article in its first version: what a trader had at the time, not what it was edited to later."""
    news = config.news
    stages.stage("Read the news")
    frame = _snapshot(config, str(news.path)).news(
        symbols=list(config.prices.symbols) or None,
        start=config.split.start,
        end=config.split.end,
        versions="first",
    )
    unknown = sorted(set(news.filters) - set(frame.columns))
    if unknown:
        raise ConfigError(f"news.filters: {news.path} has no columns {unknown}; it has {list(frame.columns)}.")
    counts = {"rows": len(frame)}
    frame = keep_filtered(Piece(str(news.path), frame, 0), news.filters, counts)
    if frame.empty:
        raise DataError(f"{news.path}: no article is left ({counts}). Widen the range, the symbols or the filters.")
    long = frame["text"].str.len() > news.max_characters
    counts["truncated"] = int(long.sum())
    frame = frame.assign(text=frame["text"].str.slice(0, news.max_characters)).reset_index(drop=True)
    return archive.Loaded(frame, counts | {"kept": len(frame)})


def _stored_prices(config: Config, symbols: list[str] | None) -> archive.LoadedPrices:
    """Read bars as traded and work splits and dividends in, unless the config wants neither and there are no splits."""
    prices = config.prices
    snapshot = _snapshot(config, str(prices.path))
    loaded = snapshot.prices(
        venue=str(prices.venue),
        bar=prices.bar,
        calendar=prices.calendar,
        symbols=symbols,
        end=config.split.end,
        adjust=prices.adjust or "total_return",
    )
    if prices.adjust == "none":
        bars = loaded.prices.open_at
        actions = snapshot.actions(venue=str(prices.venue), symbols=loaded.prices.symbols)
        inside = (actions["kind"] == "split") & (actions["ex_at"] > bars[0]) & (actions["ex_at"] <= bars[-1])
        if inside.any():
            split = actions.loc[inside].iloc[0]
            raise DataError(
                f"{prices.path}: {split['symbol']} was split {split['value']:g} for 1 on {split['ex_at']:%Y-%m-%d} "
                f"({int(inside.sum())} splits in all), and prices.adjust = 'none' would book that as a loss. Leave "
                "prices.adjust out, or set it to 'splits'."
            )
    return loaded


def _funding(config: Config, prices: Prices, counts: Counts) -> pd.DataFrame | None:
    if not config.execution.funding:
        return None
    recorded = _snapshot(config, str(config.prices.path)).funding(
        venue=str(config.prices.venue), symbols=prices.symbols, end=config.split.end
    )
    panel, counts["funding"] = funding_panel(recorded, prices, fill=config.execution.fill)
    return panel


def plan_folds(config: Config, world: World) -> list[splits.Fold]:
    """Cut time into folds; see `embargo.data_loaders.splits.walk_forward` for the rules and errors."""
    split = config.split
    start = split.start or world.news["known_at"].iloc[0].floor("D")
    end = split.end or world.prices.close_at[-1].ceil("D")
    if not start < split.first_test < end:
        raise ConfigError(
            f"split.first_test = {split.first_test} does not lie inside the data, which run from {start} to {end}."
        )
    validation, train, test = split.validation_span, split.train_span, split.test_span
    if isinstance(validation, int):
        known_at = world.news.drop_duplicates("article_id")["known_at"]
        return splits.walk_forward_by_count(
            start,
            split.first_test,
            end,
            instants=known_at,
            test_count=len(known_at) if split.method == "holdout" else int(test),
            validation_count=validation,
            train_count=None if train is None else int(train),
        )
    return splits.walk_forward(
        start,
        split.first_test,
        end,
        test_span=end - split.first_test if split.method == "holdout" else str(test),
        validation_span=validation,
        train_span=None if train is None else str(train),
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
    return [
        Part(**vars(samples), fold=fold)
        for samples, fold in zip(plan_samples(config, world, folds), folds, strict=True)
    ]


def plan_samples(config: Config, world: World, cuts: Sequence[splits.TimeSplit]) -> list[Samples]:
    """Do for splits of any kind what `plan_parts` does for folds."""
    if config.labels.source == "file":
        return _samples_from_file(config, world, cuts)
    if config.labels.source == "news":
        labelled = labels.from_news(world.news, column=config.labels.column, mapping=config.labels.mapping or None)
    else:
        labelled = labels.forward_returns(
            world.news, world.prices, world.decided_at, horizon_bars=config.labels.horizon_bars
        )
        # The classes depend on thresholds learnt on train alone, so they wait until time has been cut.
        labelled = replace(labelled, frame=labelled.frame.assign(label=CLASSES.index("neutral")))
    embargo = pd.Timedelta(config.split.embargo)
    planned = []
    for cut in cuts:
        samples = splits.part_of(labelled.frame, cut, embargo=embargo)
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
        counts |= labelled.counts
        planned.append(Samples(cut.index, train, validation, test, _test_news(world, cut), until, thresholds, counts))
    return planned


@dataclass(frozen=True)
class LabelledFile:
    """A labelled file cut in three, when its labels were known at the latest, and what was read and left out."""

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    known_until: pd.Timestamp
    counts: dict[str, int]


def split_labelled_file(settings: Labels, seed: int) -> LabelledFile:
    """Read a labelled file and cut it at random, class by class: its texts are undated.

    Raises
    ------
    MissingPartError, DataError, ConfigError
        As `embargo.data_loaders.archive.label_sets.read_label_set`.
    """
    labelled = label_sets.read_label_set(
        Path(str(settings.path)),
        format=settings.format,
        agreement=settings.agreement,
        threshold=settings.score_threshold,
        text=settings.text,
        label=settings.label,
        mapping=settings.mapping or None,
        filters=settings.filters,
        knowledge_cutoff=settings.knowledge_cutoff,
    )
    # Two cuts: a hold-out to measure on, then train and validation out of the rest.
    held = splits.split_undated(labelled.frame, validation_share=settings.validation_share, seed=seed)
    used = splits.split_undated(held.train, validation_share=settings.validation_share, seed=seed + 1)
    sizes = {"train": len(used.train), "validation": len(used.validation), "test": len(held.validation)}
    until = labelled.frame["known_at"].max()
    return LabelledFile(used.train, used.validation, held.validation, until, labelled.counts | sizes)


def _samples_from_file(config: Config, world: World, cuts: Sequence[splits.TimeSplit]) -> list[Samples]:
    held = split_labelled_file(config.labels, config.seed)
    return [
        Samples(
            cut.index,
            held.train,
            held.validation,
            held.test,
            _test_news(world, cut),
            held.known_until,
            None,
            dict(held.counts),
        )
        for cut in cuts
    ]


def _test_news(world: World, cut: splits.TimeSplit) -> pd.DataFrame:
    windows = cut.windows["test"]
    inside = np.logical_or.reduce([window.holds(world.news["known_at"]) for window in windows])
    if not inside.any():
        raise DataError(
            f"fold {cut.index}: no article between {windows[0].start} and {windows[-1].end}. "
            "Widen split.test_span or move split.end."
        )
    return world.news.loc[inside]


def samples_hash(parts: Sequence[Samples]) -> str:
    """Hash the texts and labels that models learn from and are calibrated on, equal on every machine; 64 hex digits."""
    used = pd.concat([frame for part in parts for frame in (part.train, part.validation)])
    return _frame_hash(used.drop_duplicates("article_id")[["article_id", "text", "label"]])


def _frame_hash(frame: pd.DataFrame) -> str:
    rows: Any = pd.util.hash_pandas_object(frame, index=False)
    return hashlib.sha256(rows.to_numpy().tobytes()).hexdigest()
