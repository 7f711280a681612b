"""Labels made from returns outside: purged where their end is stated, and never passed where it is not."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from embargo.backtest.leakage import Finding
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
from embargo.research.config.experiment import load_config
from embargo.research.progress import Quiet
from embargo.research.run.pipeline import execute
from embargo.research.run.preparation import prepare

CONFIG = """
name = "outside"
[news]
path = "news.parquet"
columns = {{ complete = "complete" }}
[prices]
path = "prices.parquet"
[split]
first_test = 2015-10-01
end = 2016-01-01
validation_span = "2MS"
method = "holdout"
[labels]
{labels}
[model]
kind = "lexicon"
[statistics]
bootstrap = 200
permutations = 99
"""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A market whose labels are the signs of the next twenty days, made where nobody saw it."""
    market = simulate_market(SimulatedMarket(n_symbols=4, start="2015-01-01", end="2016-02-28"))
    prices = market.prices
    row = prices.open_at.searchsorted(market.news["known_at"])
    until = (row + 20).clip(max=len(prices.open_at) - 1)
    opens, column = prices.open.to_numpy(), prices.open.columns.get_indexer(market.news["symbol"])
    rose = opens[until, column] > opens[row.clip(max=len(opens) - 1), column]
    news = market.news.drop(columns=["known_at"], errors="ignore")
    news = news.assign(label=["bullish" if up else "bearish" for up in rose], complete=prices.open_at[until])
    news.to_parquet(tmp_path / "news.parquet")
    long = [
        pd.DataFrame(
            {name: getattr(prices, name)[symbol].to_numpy() for name in ("open", "high", "low", "close", "volume")}
        ).assign(symbol=symbol, date=prices.open_at.strftime("%Y-%m-%d"))
        for symbol in prices.symbols
    ]
    pd.concat(long).to_parquet(tmp_path / "prices.parquet")
    return tmp_path


def overlap_of(folder: Path, labels: str) -> tuple[Finding, int]:
    (folder / "mine.toml").write_text(CONFIG.format(labels=labels))
    config = load_config(folder / "mine.toml")
    purged = sum(count for name, count in prepare(config, Quiet()).parts[0].counts.items() if name.startswith("purged"))
    outcome = execute(config, out=folder / "runs", cache=folder / "cache", stages=Quiet())
    (finding,) = (each for each in outcome.findings if each.code == "S1")
    return finding, purged


def test_labels_whose_end_nobody_states_do_not_pass(archive: Path) -> None:
    finding, purged = overlap_of(archive, 'source = "news"')
    assert (finding.verdict, purged) == ("inconclusive", 0)
    assert "labels.ends_at" in finding.remedy


def test_labels_whose_end_is_stated_are_purged_and_pass(archive: Path) -> None:
    finding, purged = overlap_of(archive, 'ends_at = "complete"')
    assert finding.verdict == "pass"
    assert purged > 0


def test_readings_of_the_text_may_be_said_to_be_such(archive: Path) -> None:
    finding, purged = overlap_of(archive, 'ends_at = "known_at"')
    assert (finding.verdict, purged) == ("pass", 0)


def test_an_end_belongs_to_a_column_of_the_news(archive: Path) -> None:
    (archive / "mine.toml").write_text(CONFIG.format(labels='source = "returns"\nends_at = "complete"'))
    with pytest.raises(ConfigError, match=r"labels\.ends_at belongs to"):
        load_config(archive / "mine.toml")
