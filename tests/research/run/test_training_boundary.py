"""What lies after a fold's boundary cannot reach its adapter: change all of it and no bit of the adapter moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from samples.small_bases import small_base

from embargo.data_loaders.calendars import length_of
from embargo.data_loaders.simulated.market import SimulatedMarket, Simulation, simulate_market
from embargo.models.fitting import fit_scorer
from embargo.models.methods.settings import TuneSettings
from embargo.research.config.experiment import load_config
from embargo.research.progress import Quiet
from embargo.research.run.plan import Plan
from embargo.research.run.preparation import prepare
from embargo.research.run.samples import Part

CONFIG = """
name = "boundary"
[news]
path = "news.parquet"
[prices]
path = "prices.parquet"
[split]
first_test = 2015-12-01
end = 2016-04-01
test_span = "2MS"
validation_span = "2MS"
[labels]
source = "{source}"
[model]
base = "{base}"
knowledge_cutoff = 2014-12-31
"""


@pytest.fixture(scope="module")
def market() -> Simulation:
    return simulate_market(SimulatedMarket(n_symbols=4, start="2015-01-01", end="2016-04-30"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(small_base("bert", tmp_path_factory.mktemp("base")).path_or_id)


def recorded(market: Simulation, folder: Path, *, rewritten_from: pd.Timestamp | None = None) -> None:
    """Write the market as an archive; from an instant on with other texts, labels and prices, and fewer articles."""
    news = market.news.drop(columns=["known_at"], errors="ignore")
    prices = market.prices
    long = pd.concat(
        [
            pd.DataFrame({name: getattr(prices, name)[symbol].to_numpy() for name in ("open", "high", "low", "close")})
            .assign(volume=prices.volume[symbol].to_numpy(), symbol=symbol, date=prices.open_at.strftime("%Y-%m-%d"))
            .reset_index(drop=True)
            for symbol in prices.symbols
        ]
    )
    if rewritten_from is not None:
        late = market.news["known_at"] >= rewritten_from
        news.loc[late, "text"] = [f"entirely other words {number}" for number in range(int(late.sum()))]
        news.loc[late, "label"] = "bearish"
        news = news.loc[~late | (np.arange(len(news)) % 3 > 0)]
        after = pd.to_datetime(long["date"], utc=True) >= rewritten_from.ceil("D")
        levels = ["open", "high", "low", "close"]
        walk = np.exp(np.random.default_rng(5).normal(0.0, 0.1, int(after.sum())))
        long.loc[after, levels] = long.loc[after, levels].to_numpy() * walk[:, None]
    news.to_parquet(folder / "news.parquet")
    long.to_parquet(folder / "prices.parquet")


def planned(folder: Path, base: Path, source: str) -> Plan:
    (folder / "boundary.toml").write_text(CONFIG.format(source=source, base=base))
    return prepare(load_config(folder / "boundary.toml"), Quiet())


def adapter_of(plan: Plan, part: Part, cache: Path) -> str:
    fitted = fit_scorer(
        "transformer",
        train=part.train,
        validation=part.validation,
        trained_until=part.trained_until,
        base=plan.base,
        settings=TuneSettings(method="lora", rank=2, alpha=4.0, epochs=2, max_length=16),
        cache_dir=cache,
    )
    return str(fitted.manifest["scorer_identity"])


@pytest.mark.parametrize("source", ["news", "returns"])
def test_nothing_after_the_boundary_moves_the_adapter(
    source: str, market: Simulation, base: Path, tmp_path: Path
) -> None:
    folders = {name: tmp_path / name for name in ("as_it_was", "rewritten", "leaked")}
    for folder in folders.values():
        folder.mkdir()
    recorded(market, folders["as_it_was"])
    plans = {"as_it_was": planned(folders["as_it_was"], base, source)}
    _, second = plans["as_it_was"].parts
    recorded(market, folders["rewritten"], rewritten_from=second.fold.test_start)
    # The planted leak: the rewriting begins inside what the fold may learn from.
    recorded(market, folders["leaked"], rewritten_from=second.fold.train_end - length_of("15d"))
    plans |= {name: planned(folders[name], base, source) for name in ("rewritten", "leaked")}
    assert [len(plan.parts) for plan in plans.values()] == [2, 2, 2]
    # A cache for each world, so that equal adapters are trained twice and not merely found.
    identities = {
        name: [adapter_of(plan, part, tmp_path / f"cache-{name}") for part in plan.parts]
        for name, plan in plans.items()
    }
    assert identities["rewritten"] == identities["as_it_was"]
    assert identities["leaked"][1] != identities["as_it_was"][1]
