"""An archive of many articles is what it says, and checking it stays within its memory."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet
import pytest

from embargo.data_loaders.archive import read_news, read_prices
from embargo.data_loaders.simulated import SimulatedMarket, simulate_market
from embargo.research.benchmarks import big_world


def test_the_archive_is_the_simulated_market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(big_world, "FIRST", "2020-01-01")
    monkeypatch.setattr(big_world, "LAST", "2020-12-31")
    monkeypatch.setattr(big_world, "CHUNK", 70)
    big_world.write_world(tmp_path, 10_000, 4, seed=7_300_005)
    rate = 10_000 / (big_world.KEPT * 4 * big_world.SESSIONS)
    market = simulate_market(
        SimulatedMarket(seed=7_300_005, n_symbols=4, start="2020-01-01", end="2020-12-31", articles_per_symbol_day=rate)
    )
    news = read_news(tmp_path / "news.parquet").frame
    pd.testing.assert_frame_equal(news[list(market.news.columns)], market.news)
    prices = read_prices(tmp_path / "prices.parquet", calendar="XNYS").prices
    pd.testing.assert_frame_equal(prices.close, market.prices.close[prices.symbols], check_freq=False)
    pd.testing.assert_frame_equal(prices.volume, market.prices.volume[prices.symbols], check_freq=False)


def test_the_archive_holds_about_as_many_articles_as_asked_for(tmp_path: Path) -> None:
    big_world.write_world(tmp_path, 20_000, 24, seed=7_300_006)
    rows = pyarrow.parquet.read_metadata(tmp_path / "news.parquet").num_rows
    assert rows == pytest.approx(20_000, rel=0.03)


@pytest.mark.slow
def test_checking_a_large_archive_takes_bounded_memory(tmp_path: Path) -> None:
    config = big_world.apart(big_world.write_world, tmp_path, 200_000, 100)
    stages = big_world.apart(big_world.stages_of, "validate", config)
    assert [stage.name for stage in stages][1:3] == ["Read the news", "Read the prices"]
    # Half of it is the code and the articles themselves.
    assert stages[-1].peak < 900
