"""Files of news and prices from a simulated market, and the faults of real price files to plant in them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market

LEVELS = ["open", "high", "low", "close"]
CONFIG = """
name = "faulty"
news = { path = "news.parquet" }
prices = { path = "prices.parquet", calendar = "XNYS" }
split = { first_test = 2016-07-01, end = 2017-01-01, test_span = "6MS", validation_span = "3MS" }
model = { kind = "lexicon" }
signal = { threshold = 0.34, half_life = 3.0 }
statistics = { bootstrap = 200, permutations = 99 }
"""
# A Wednesday in the test window, far from its ends.
DAY = "2016-10-12"
Fault = Callable[[pd.DataFrame], pd.DataFrame]


@cache
def market() -> tuple[pd.DataFrame, pd.DataFrame]:
    """News and daily prices of six symbols over two years, as they stand in files."""
    market = simulate_market(SimulatedMarket(seed=5, n_symbols=6, start="2015-01-01", end="2016-12-31"))
    panels = {name: getattr(market.prices, name) for name in PRICE_FIELDS}
    columns = {name: panel.unstack() for name, panel in panels.items()}  # noqa: PD010 - one long column per field
    prices = pd.DataFrame(columns).rename_axis(["symbol", "bar"]).reset_index().dropna()
    prices.insert(1, "date", prices.pop("bar").dt.tz_convert("America/New_York").dt.strftime("%Y-%m-%d"))
    return market.news.drop(columns="known_at"), prices


def write_market(folder: Path, config: str = CONFIG) -> Path:
    """Write the market with an experiment that tests its last half year; return that."""
    news, prices = market()
    news.to_parquet(folder / "news.parquet")
    prices.to_parquet(folder / "prices.parquet")
    (folder / "faulty.toml").write_text(config)
    return folder / "faulty.toml"


def plant(folder: Path, fault: Fault) -> None:
    """Put a fault into the prices of a folder."""
    file = folder / "prices.parquet"
    fault(pd.read_parquet(file)).to_parquet(file)


def first_symbol(prices: pd.DataFrame) -> str:
    """Name a symbol that is there on every bar."""
    bars = prices["symbol"].value_counts()
    return str(min(bars.index[bars == bars.max()]))


def scaled(prices: pd.DataFrame, where: pd.Series, factor: float, names: list[str] = LEVELS) -> pd.DataFrame:
    return prices.assign(**{name: prices[name].where(~where, prices[name] * factor) for name in names})


def a_bar_times_1000(prices: pd.DataFrame, day: str = DAY) -> pd.DataFrame:
    return scaled(prices, (prices["symbol"] == first_symbol(prices)) & (prices["date"] == day), 1000.0)


def a_month_in_pence(prices: pd.DataFrame) -> pd.DataFrame:
    inside = prices["date"].between(DAY, "2016-11-11")
    return scaled(prices, (prices["symbol"] == first_symbol(prices)) & inside, 100.0)


def a_day_times_100(prices: pd.DataFrame) -> pd.DataFrame:
    return scaled(prices, prices["date"] == DAY, 100.0)


def a_split_left_in(prices: pd.DataFrame, symbol: str = "", day: str = DAY) -> pd.DataFrame:
    after = (prices["symbol"] == (symbol or first_symbol(prices))) & (prices["date"] >= day)
    return scaled(scaled(prices, after, 0.25), after, 4.0, ["volume"])


def a_reused_ticker(prices: pd.DataFrame) -> pd.DataFrame:
    """Another company has the ticker from that day on, after three weeks without any."""
    name = first_symbol(prices)
    other = max(set(prices["symbol"]) - {name}, key=lambda each: int((prices["symbol"] == each).sum()))
    before = prices["date"] < "2016-09-21"
    mine = prices[(prices["symbol"] == name) & before]
    theirs = scaled(prices, prices["symbol"] == other, 0.02)
    theirs = theirs[(theirs["symbol"] == other) & (theirs["date"] >= DAY)].assign(symbol=name)
    return pd.concat([mine, theirs, prices[prices["symbol"] != name]], ignore_index=True)


def closes_adjusted_alone(prices: pd.DataFrame) -> pd.DataFrame:
    """Closes fall short of the other prices by the dividends paid later, as adjusted ones do."""
    left = pd.to_datetime("2016-12-31") - pd.to_datetime(prices["date"])
    return prices.assign(close=prices["close"] * np.exp(-0.04 * left.dt.days / 365.25))


def two_months_missing(prices: pd.DataFrame) -> pd.DataFrame:
    return prices[~prices["date"].between("2016-09-01", "2016-10-31")]


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        a_bar_times_1000,
        a_month_in_pence,
        a_day_times_100,
        a_split_left_in,
        a_reused_ticker,
        closes_adjusted_alone,
        two_months_missing,
    )
}
