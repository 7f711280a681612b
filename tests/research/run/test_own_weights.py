"""The weights of a finished run, handed to `embargo.backtest` by themselves, give its figures to the last digit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from samples.small_runs import SMALL, metrics_of, only_run, settings
from samples.small_runs import embargo as command

import embargo.backtest
from embargo.backtest import Backtest, Costs, Execution
from embargo.backtest.leakage.causality import LATENCY
from embargo.data_loaders.schemas import Prices
from embargo.research.config.experiment import Config, load_config
from embargo.research.progress import Quiet
from embargo.research.run.preparation import prepare

DEAR = ("model.kind=lexicon", "costs.impact=0.5", "costs.fee=0.001", "execution.participation=0.02")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("own")
    (place / "small.toml").write_text(SMALL)
    made = command("run", place / "small.toml", "--out", place / "runs", "--cache", place / "cache", *settings(*DEAR))
    assert made.exit_code == 0, made.output
    return place


@pytest.fixture(scope="module")
def config(folder: Path) -> Config:
    return load_config(folder / "small.toml", list(DEAR))


@pytest.fixture(scope="module")
def prices(config: Config) -> Prices:
    return prepare(config, Quiet()).world.prices


@pytest.fixture(scope="module")
def again(folder: Path, config: Config, prices: Prices) -> Backtest:
    weights = pd.read_parquet(only_run(folder / "runs") / "weights.parquet")
    return embargo.backtest(
        weights,
        prices,
        costs=Costs(**config.costs.model_dump()),
        execution=Execution(**config.execution.model_dump(exclude={"engine", "funding"})),
        n_boot=config.statistics.bootstrap,
    )


def test_the_books_are_those_of_the_run(folder: Path, again: Backtest) -> None:
    account = pd.read_parquet(only_run(folder / "runs") / "account.parquet")
    np.testing.assert_array_equal(again.returns, account["net_return"])
    np.testing.assert_array_equal(again.turnover, account["turnover"])
    assert np.abs(again.returns).sum() > 0.0


def test_the_figures_are_those_of_the_run(folder: Path, again: Backtest) -> None:
    told = metrics_of(folder / "runs")
    assert again.sharpe.sharpe == told["sharpe"]
    assert (again.sharpe.low, again.sharpe.high, again.sharpe.p_value) == tuple(
        told[name] for name in ("sharpe_low", "sharpe_high", "sharpe_p_value")
    )
    for name in ("total_return", "max_drawdown", "tails", "trades", "exposure_gross"):
        assert again.performance[name] == told[name], name
    for name in ("costs_paid", "break_even_cost", "capacity"):
        assert again.frictions[name] == told[name], name
    for name in ("mean", "detectable_sharpe", "sharpe_errors"):
        assert again.judgement.reach[name] == pytest.approx(told[name]), name
    assert again.judgement.chance["probabilistic_sharpe"] == told["probabilistic_sharpe"]
    assert again.judgement.relative == {name: told["relative"][name] for name in ("buy_and_hold", "equal_weight")}
    for row in again.regimes.to_dict("records"):
        figures = told["regimes"][row.pop("definition")][row.pop("regime")]
        assert row == figures


def test_what_is_left_out_is_what_a_config_leaves_out(folder: Path) -> None:
    plain = load_config(folder / "small.toml")
    assert asdict(Costs()) == plain.costs.model_dump()
    assert asdict(Execution()) == plain.execution.model_dump(exclude={"engine", "funding"})
    assert pd.Timedelta(plain.prices.latency) == LATENCY
