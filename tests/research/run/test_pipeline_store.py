"""A run on a store: the same figures as on files, first versions of the news, splits never booked as losses."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import Prices
from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
from embargo.data_loaders.store import Store
from embargo.research.config.experiment import Config, parse_config
from embargo.research.progress import Quiet
from embargo.research.run.world import World, load_world

COMMITTED = pd.Timestamp("2018-06-01", tz="UTC")
LATER = pd.Timestamp("2018-07-01", tz="UTC")
MARKET = SimulatedMarket(n_symbols=6, start="2015-01-01", end="2016-06-30")


def bars_of(prices: Prices) -> pd.DataFrame:
    fields = {name: getattr(prices, name) for name in ("open", "high", "low", "close", "volume")}
    long = pd.DataFrame({name: panel.unstack() for name, panel in fields.items()})  # noqa: PD010 - keys are unique
    long = long.rename_axis(["symbol", "open_at"]).reset_index().dropna()
    closes = dict(zip(prices.open_at, prices.close_at, strict=True))
    return long.assign(venue="test", bar="1d", close_at=long["open_at"].map(closes))


@pytest.fixture(scope="module")
def market() -> tuple[pd.DataFrame, Prices]:
    simulation = simulate_market(MARKET)
    return simulation.news, simulation.prices


@pytest.fixture
def store(tmp_path: Path, market: tuple[pd.DataFrame, Prices]) -> Store:
    news, prices = market
    store = Store.create(tmp_path / "store")
    store.append("news", news.drop(columns=["known_at", "seen_at"]), source="test", committed_at=COMMITTED)
    store.append("bars", bars_of(prices), source="test", committed_at=COMMITTED)
    return store


def config_of(store: Store, **prices: str) -> Config:
    return parse_config(
        {
            "name": "stored",
            "news": {"loader": "store", "path": store.root},
            "prices": {"loader": "store", "path": store.root, "venue": "test"} | prices,
            "split": {"first_test": "2016-01-01"},
        },
        where="test",
    )


def world_of(store: Store, **prices: str) -> World:
    return load_world(config_of(store, **prices), Quiet())


def test_a_store_gives_the_world_that_went_into_it(store: Store, market: tuple[pd.DataFrame, Prices]) -> None:
    news, prices = market
    world = world_of(store)
    assert len(world.news) + world.counts["news"]["repeats"] == len(news)
    assert set(world.news["article_id"]) <= set(news["article_id"])
    pd.testing.assert_frame_equal(world.prices.open, prices.open, check_freq=False, check_names=False)
    assert world.prices.close_at.equals(prices.close_at)
    assert world.fingerprints() == world_of(store).fingerprints()


def test_an_article_edited_later_is_read_as_it_was(store: Store, market: tuple[pd.DataFrame, Prices]) -> None:
    before = world_of(store)
    edited = market[0].drop(columns=["known_at", "seen_at"]).iloc[[0, 5, 9]]
    edited = edited.assign(text="Shares soared the day after: " + edited["text"])
    store.append("news", edited, source="test again", committed_at=LATER)
    after = world_of(store)
    assert after.fingerprints()["news"] == before.fingerprints()["news"]
    assert not after.news["text"].str.contains("Shares soared the day after").any()


def test_a_split_in_the_range_is_worked_in_or_refused(store: Store, market: tuple[pd.DataFrame, Prices]) -> None:
    prices = market[1]
    symbol, ex_at = prices.symbols[0], prices.open_at[100]
    split = pd.DataFrame({"venue": ["test"], "symbol": [symbol], "kind": ["split"], "ex_at": [ex_at], "value": [4.0]})
    store.append("actions", split, source="test", committed_at=COMMITTED)
    opens = world_of(store).prices.open[symbol]
    assert opens.iloc[99] == pytest.approx(prices.open[symbol].iloc[99] / 4)
    assert opens.iloc[100] == prices.open[symbol].iloc[100]
    with pytest.raises(DataError, match=f"{symbol} was split 4 for 1"):
        world_of(store, adjust="none")


def test_a_filter_counts_what_it_removes(store: Store) -> None:
    config = config_of(store)
    symbol = world_of(store).prices.symbols[0]
    filtered = config.model_copy(update={"news": config.news.model_copy(update={"filters": {"symbol": symbol}})})
    world = load_world(filtered, Quiet())
    assert set(world.news["symbol"]) == {symbol}
    assert world.counts["news"]["filtered:symbol"] > 0
    misspelt = config.model_copy(update={"news": config.news.model_copy(update={"filters": {"lang": "en"}})})
    with pytest.raises(ConfigError, match=r"no columns \['lang'\]"):
        load_world(misspelt, Quiet())
    nothing = config.model_copy(update={"news": config.news.model_copy(update={"filters": {"source": "nobody"}})})
    with pytest.raises(DataError, match="no article is left"):
        load_world(nothing, Quiet())
