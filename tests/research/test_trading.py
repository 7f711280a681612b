"""Every setting of signal, portfolio, costs and execution reaches the books, and both engines keep the same ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_pipeline import SMALL

from research.config import Config, load_config
from research.pipeline import prepare
from research.preparation import Plan
from research.progress import Quiet
from research.reading import read
from research.trading import Trade, trade


@pytest.fixture(scope="module")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trading") / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def plan(config_file: Path) -> Plan:
    return prepare(load_config(config_file), Quiet())


@pytest.fixture(scope="module")
def scored(plan: Plan, config_file: Path) -> pd.DataFrame:
    return read(plan.config, plan.parts, None, config_file.parent / "cache", Quiet()).scored


@pytest.fixture(scope="module")
def usual(plan: Plan, scored: pd.DataFrame) -> Trade:
    return traded(plan, scored, plan.config)


def traded(plan: Plan, scored: pd.DataFrame, config: Config) -> Trade:
    return trade(config, plan.world, plan.rows, scored)


EVERYTHING = (
    "execution.participation=0.02",
    "execution.lot=1.0",
    "costs.impact=0.5",
    "costs.fee_minimum=1.0",
    "costs.fee_per_share=0.001",
    "costs.interest_annual=0.03",
    "execution.leverage=2.0",
    "portfolio.gross=1.5",
)


@pytest.mark.parametrize("overrides", [(), EVERYTHING, ("execution.fill=close", "execution.unfilled=drop")])
def test_both_engines_keep_the_same_books(
    overrides: tuple[str, ...], plan: Plan, scored: pd.DataFrame, config_file: Path
) -> None:
    books = [
        traded(plan, scored, load_config(config_file, [*overrides, f"execution.engine={engine}"])).books
        for engine in ("vectorbt", "kernel")
    ]
    np.testing.assert_allclose(books[0].equity, books[1].equity, rtol=1e-9)
    assert books[0].counts == books[1].counts
    assert books[0].trades is not None
    assert len(books[0].orders) == len(books[1].orders) > 100


@pytest.mark.parametrize(
    "override",
    [
        "signal.confidence=margin",
        "signal.novelty_floor=0.2",
        "signal.mode=vote",
        "signal.mode=sum",
        "signal.half_life_hours=12.0",
        "signal.holding_bars=1",
        "signal.group_weight=0.5",
        "signal.cross_section={ method = 'rank' }",
        "signal.cross_section={ neutral = 'market' }",
        "signal.cross_section={ standardise = 'rolling' }",
        "portfolio.inverse_volatility=true",
        "portfolio.target_volatility=0.05",
        "portfolio.net=0.1",
        "portfolio.gate={ bull = 0.0 }",
        "execution.fill=close",
        "execution.participation=0.001",
        "execution.lot=10.0",
        "costs.fee_per_share=0.01",
        "costs.fee_minimum=5.0",
        "costs.impact=1.0",
    ],
)
def test_every_setting_reaches_the_books(
    override: str, plan: Plan, scored: pd.DataFrame, usual: Trade, config_file: Path
) -> None:
    changed = traded(plan, scored, load_config(config_file, [override, "execution.engine=kernel"])).books
    assert np.isfinite(changed.returns).all()
    assert not np.allclose(changed.returns, usual.books.returns, atol=1e-9)


def test_a_gate_and_a_target_hold_less(plan: Plan, scored: pd.DataFrame, usual: Trade, config_file: Path) -> None:
    def gross(*overrides: str) -> float:
        config = load_config(config_file, [*overrides, "execution.engine=kernel"])
        return float(traded(plan, scored, config).decision.weights.abs().to_numpy().sum())

    full = float(usual.decision.weights.abs().to_numpy().sum())
    assert gross("portfolio.gate={ calm = 0.5, turbulent = 0.5 }") == pytest.approx(0.5 * full)
    assert gross("portfolio.target_volatility=0.02") < 0.9 * full


def test_more_than_the_account_may_borrow_is_refused(config_file: Path) -> None:
    from data_loaders.errors import ConfigError

    with pytest.raises(ConfigError, match=r"may not exceed execution\.leverage"):
        load_config(config_file, ["portfolio.gross=1.5"])
