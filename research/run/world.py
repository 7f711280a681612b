"""From a config to what a run knows: news, bars and the instants at which each bar is decided.

What can be wrong with files, stores and symbols is found here, in seconds, before anything is trained. Nothing is
dropped without being counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from embargo.data_loaders.archive.news import LoadedNews, read_news
from embargo.data_loaders.archive.prices import LoadedPrices, NoPricesError, read_prices
from embargo.data_loaders.archive.streams import Counts
from embargo.data_loaders.archive.tables import Piece, keep_filtered
from embargo.data_loaders.calendars import bars_per_year, decision_times, last_closed_bar, length_of
from embargo.data_loaders.checks.repeats import fresh_rows, text_numbers
from embargo.data_loaders.errors import ConfigError, DataError, such
from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.funding import funding_panel
from embargo.data_loaders.schemas import Prices, is_among
from embargo.research.config.archives import BUILT_IN_LOADERS, asked_of_archive, dialect_of
from embargo.research.config.experiment import Config
from embargo.research.progress import Stages
from embargo.research.run.given_scores import coverage
from embargo.research.run.own_loaders import own_news, own_prices

if TYPE_CHECKING:
    from embargo.data_loaders.archive.score_files import LoadedScores
    from embargo.data_loaders.simulated.market import Truth
    from embargo.data_loaders.store import Snapshot
    from embargo.research.run.samples import LabelledFile

# News this far from all prices are dated wrongly; archives of news do begin years before or end years after them.
DECADES = pd.Timedelta(days=30 * 365)
# Rows that are hashed together.
HASHED = 100_000


@dataclass(frozen=True)
class Inputs:
    """What was read of news and prices, before anything was decided about it.

    Attributes
    ----------
    news : DataFrame
        Validated, sorted by ``known_at``; one row per article and symbol.
    prices : Prices
    truth : Truth or None
    funding : DataFrame or None
    counts : dict of str to dict of str to int
        As in `World`.
    labelled : dict of str to LabelledFile
        Labelled files that were read and cut, by the settings that they were read under: they are undated, and so are
        the same in every world that is made of these inputs.
    scores : dict of str to LoadedScores
        Files of scores that were read, by the settings that they were read under.
    """

    news: pd.DataFrame
    prices: Prices
    truth: Truth | None
    funding: pd.DataFrame | None
    counts: dict[str, Counts]
    labelled: dict[str, LabelledFile] = field(default_factory=dict, compare=False, repr=False)
    scores: dict[str, LoadedScores] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class World:
    """What a run knows: news and bars, when each bar is decided, and what was left out.

    Attributes
    ----------
    news : DataFrame
        Validated, sorted by ``known_at``, repeats dropped if so configured; one row per article and symbol.
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
        Rows by what became of them, for ``news``, ``prices``, ``funding`` and a file of ``scores``.
    inputs : Inputs
        What it was made from.
    numbered : (DataFrame, ndarray) or None
        News whose texts were numbered on the way, and their `stories`.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from embargo.research import Quiet, load_config, prepare
    >>> plan = prepare(load_config(files("embargo.research.examples") / "small.toml"), Quiet())
    >>> plan.world.prices.symbols
    ['ALDR', 'BEXM', 'CORM', 'DELE']
    >>> bool((plan.world.decided_at < plan.world.prices.open_at).all())
    True
    """

    news: pd.DataFrame
    prices: Prices
    decided_at: pd.DatetimeIndex
    last_closed: np.ndarray
    periods_per_year: float
    truth: Truth | None
    funding: pd.DataFrame | None
    counts: dict[str, Counts]
    inputs: Inputs
    numbered: tuple[pd.DataFrame, np.ndarray] | None = field(default=None, compare=False, repr=False)

    @cached_property
    def stories(self) -> np.ndarray:
        """Number of each text of ``news`` that its copies share, as of `text_numbers`; shape (rows,)."""
        held = self.numbered
        # A world that was given other news numbers its own.
        return held[1] if held is not None and held[0] is self.news else text_numbers(self.news["text"])

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
        return {"news": frame_hash(self.news[columns]), "prices": digest.hexdigest()}


def load_world(config: Config, stages: Stages) -> World:
    """Load news and prices and settle when each bar is decided.

    Parameters
    ----------
    config : Config
    stages : Stages
        Shows progress.

    Returns
    -------
    World

    Raises
    ------
    MissingPartError, DataError, ConfigError
        If a file is missing, data break a contract, or symbols in the news have no prices.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from embargo.research import Quiet, load_config
    >>> from embargo.research.run import load_world
    >>> world = load_world(load_config(files("embargo.research.examples") / "small.toml"), Quiet())
    >>> world.counts["news"]
    {'read': 482, 'repeats': 32, 'unpriced': 0, 'kept': 450}
    """
    return world_of(config, load_inputs(config, stages))


def load_inputs(config: Config, stages: Stages) -> Inputs:
    """Read what a world is made of.

    Raises
    ------
    MissingPartError, DataError, ConfigError
        As `load_world`.
    """
    truth = None
    if config.news.loader == "simulated":
        news, prices, truth, counts = _simulated(config, pd.Timedelta(config.prices.latency), stages)
    else:
        news, prices, counts = _recorded(config, stages)
    return Inputs(news, prices, truth, _funding(config, prices, counts), counts)


def world_of(config: Config, inputs: Inputs) -> World:
    """Settle what of the inputs a run knows, and when each bar is decided.

    Raises
    ------
    DataError
        If news and prices do not belong together, or no news is left.
    """
    news, prices = inputs.news, inputs.prices
    latency = pd.Timedelta(config.prices.latency)
    counts = {name: dict(each) for name, each in inputs.counts.items()}
    _same_age(news, prices)
    story: np.ndarray | None = None
    if config.news.drop_repeats:
        story = text_numbers(news["text"])
        window = pd.Timedelta(config.news.repeat_window)
        fresh = fresh_rows(news, story, scope=config.news.repeat_scope, window=window)
        counts["news"]["repeats"] = int((~fresh).sum())
        news, story = news.loc[fresh].reset_index(drop=True), story[fresh]
    unpriced = sorted(set(news["symbol"].unique()) - set(prices.symbols))
    if unpriced and config.news.unpriced == "error":
        raise DataError(_without_prices(unpriced, _in_other_capitals(unpriced, prices.symbols)))
    counts["news"]["unpriced"] = 0
    if unpriced:
        has_price = ~is_among(news["symbol"], pd.Series(unpriced, dtype="str"))
        counts["news"]["unpriced"] = int((~has_price).sum())
        news, story = news.loc[has_price].reset_index(drop=True), None if story is None else story[has_price]
    if news.empty:
        alike = _in_other_capitals(unpriced, prices.symbols)
        raise DataError(
            _without_prices(unpriced, alike)
            if alike
            else "news: no article is left after filters. Check news.filters, the dates in [split] and prices.symbols."
        )
    counts["news"]["kept"] = len(news)
    if config.model.scores is not None:
        counts["scores"] = coverage(config.model.scores, inputs, news)
    decided_at = decision_times(prices.open_at, latency)
    return World(
        news=news,
        prices=prices,
        decided_at=decided_at,
        last_closed=last_closed_bar(prices.close_at, decided_at),
        periods_per_year=bars_per_year(prices.calendar, length_of(config.prices.bar)),
        truth=inputs.truth,
        funding=inputs.funding,
        counts=counts,
        inputs=inputs,
        numbered=None if story is None else (news, story),
    )


def _in_other_capitals(unpriced: Sequence[str], priced: Sequence[str]) -> dict[str, str]:
    """Which symbols have prices under a name that differs only in its capitals."""
    written = {name.casefold(): name for name in priced}
    return {name: written[name.casefold()] for name in unpriced if name.casefold() in written}


def _without_prices(unpriced: Sequence[str], alike: dict[str, str]) -> str:
    """Say that symbols of the news have no prices, and what to do about it."""
    one, several = "1 symbol has", f"{len(unpriced):,} symbols have"
    said = f"news: {one if len(unpriced) == 1 else several} no prices: {', '.join(map(repr, unpriced[:8]))}"
    said += " and others. " if len(unpriced) > 8 else ". "
    if alike:
        name, written = next(iter(alike.items()))
        case = next((case for case in ("upper", "lower") if getattr(name, case)() == written), None)
        remedy = f"set news.symbol_case = {case!r}" if case else "write them alike"
        return f"{said}{name!r} differs only in its capitals from {written!r} of the prices: {remedy}."
    return (
        f"{said}Add their prices, list the symbols to trade in prices.symbols, or set news.unpriced = 'drop' to leave "
        "news without prices out."
    )


def _same_age(news: pd.DataFrame, prices: Prices) -> None:
    """Refuse news from decades before the first bar or after the last one: their dates are wrong."""
    for name in ("published_at", "known_at"):
        far = (news[name] < prices.open_at[0] - DECADES) | (news[name] > prices.close_at[-1] + DECADES)
        if far.any():
            first, when = news.loc[far].iloc[0], f"{prices.open_at[0]} to {prices.close_at[-1]}"
            raise DataError(
                f"news: article {first['article_id']!r} of {first['symbol']} has {name} {first[name]}, decades away "
                f"from the prices, which run from {when} ({such(far.sum(), 'row')} of {len(news)}). Mend the dates, "
                "or leave these rows out with split.start, split.end or news.filters."
            )


def _simulated(
    config: Config, latency: pd.Timedelta, stages: Stages
) -> tuple[pd.DataFrame, Prices, Truth, dict[str, Counts]]:
    # This loader and the store's are loaded by those who use them: the store brings duckdb.
    from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market

    stages.stage("Simulate the market")
    market = config.news.simulated
    simulation = simulate_market(
        SimulatedMarket(
            seed=config.seed,
            strength=market.strength,
            n_symbols=market.symbols,
            start=f"{market.start:%Y-%m-%d}",
            end=f"{market.end:%Y-%m-%d}",
            calendar=config.prices.trading_calendar,
            articles_per_symbol_day=market.articles_per_symbol_day,
            latency=latency,
        )
    )
    return simulation.news, simulation.prices, simulation.truth, {"news": {"read": len(simulation.news)}, "prices": {}}


def _recorded(config: Config, stages: Stages) -> tuple[pd.DataFrame, Prices, dict[str, Counts]]:
    if config.prices.symbols:
        # Prices first: a mistyped symbol is then named, rather than missed in the news.
        bars = _read_prices(config, list(config.prices.symbols), stages)
        loaded = _read_news(config, stages)
    else:
        loaded = _read_news(config, stages)
        every = config.news.unpriced == "drop"
        try:
            bars = _read_prices(config, None if every else sorted(loaded.frame["symbol"].unique()), stages)
        except NoPricesError as failure:
            raise DataError(_without_prices(failure.absent, failure.spelt_alike)) from failure
    return loaded.frame, bars.prices, {"news": dict(loaded.counts), "prices": dict(bars.counts)}


def _read_news(config: Config, stages: Stages) -> LoadedNews:
    news = config.news
    if news.loader not in BUILT_IN_LOADERS:
        stages.stage("Read the news")
        return own_news(config)
    if news.loader == "store":
        return _stored_news(config, stages)
    return read_news(
        Path(str(news.path)),
        **asked_of_archive(news),
        symbols=list(config.prices.symbols) or None,
        start=config.split.start,
        end=config.split.end,
        dialect=dialect_of(news),
        progress=stages.stage("Read the news"),
    )


def _read_prices(config: Config, symbols: list[str] | None, stages: Stages) -> LoadedPrices:
    prices = config.prices
    if prices.loader not in BUILT_IN_LOADERS:
        stages.stage("Read the prices")
        return own_prices(config, symbols)
    if prices.loader == "store":
        stages.stage("Read the prices")
        return _stored_prices(config, symbols)
    return read_prices(
        Path(str(prices.path)),
        columns=prices.columns,
        filters=prices.filters,
        symbols=symbols,
        end=config.split.end,
        calendar=prices.trading_calendar,
        bar=prices.bar,
        adjust="total_return" if prices.adjust == "total_return" else "none",
        symbol=prices.symbol,
        timezone=prices.timezone,
        time_format=prices.time_format,
        time_from=prices.time_from,
        dialect=dialect_of(prices),
        progress=stages.stage("Read the prices"),
    )


def _snapshot(config: Config, path: str) -> Snapshot:
    """Open a store as of the instant asked for; by default with everything that it holds by now."""
    from embargo.data_loaders.store import Store

    return Store.open(path).as_of(config.as_of if config.as_of is not None else pd.Timestamp.now("UTC").as_unit("us"))


def _stored_news(config: Config, stages: Stages) -> LoadedNews:
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
    return LoadedNews(frame, counts | {"kept": len(frame)})


def _stored_prices(config: Config, symbols: list[str] | None) -> LoadedPrices:
    """Read bars as traded and work splits and dividends in, unless the config wants neither and there are no splits."""
    prices = config.prices
    snapshot = _snapshot(config, str(prices.path))
    loaded = snapshot.prices(
        venue=str(prices.venue),
        bar=prices.bar,
        calendar=prices.trading_calendar,
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


def _funding(config: Config, prices: Prices, counts: dict[str, Counts]) -> pd.DataFrame | None:
    if not config.execution.funding:
        return None
    recorded = _snapshot(config, str(config.prices.path)).funding(
        venue=str(config.prices.venue), symbols=prices.symbols, end=config.split.end
    )
    panel, counts["funding"] = funding_panel(recorded, prices, fill=config.execution.fill)
    return panel


def frame_hash(frame: pd.DataFrame) -> str:
    """Hash the rows of a table in their order, equal on every machine; 64 hex digits."""
    digest = hashlib.sha256()
    # A piece at a time, for each text becomes an object of its own while it is hashed.
    for start in range(0, len(frame), HASHED):
        rows: Any = pd.util.hash_pandas_object(frame.iloc[start : start + HASHED], index=False)
        digest.update(rows.to_numpy().tobytes())
    return digest.hexdigest()


def content_of(**given: Any) -> str:
    """Hash what a fit is made from, tables by their rows and everything else by how it is written; 64 hex digits."""
    written = {
        name: [list(map(str, value.columns)), frame_hash(value)] if isinstance(value, pd.DataFrame) else repr(value)
        for name, value in given.items()
    }
    return hashlib.sha256(repr(sorted(written.items())).encode()).hexdigest()
