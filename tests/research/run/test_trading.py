"""Every setting of signal, portfolio, costs and execution reaches the books, and both engines keep the same ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from samples.small_runs import SMALL

from embargo.backtest.significance import WAYS, Rearrangement, possible, rearrangement
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.research.config.experiment import Config, load_config
from embargo.research.progress import Quiet
from embargo.research.run import chance
from embargo.research.run.chance import rearranged_returns, replay, shuffle_news
from embargo.research.run.plan import Plan
from embargo.research.run.preparation import prepare
from embargo.research.run.reading import read
from embargo.research.run.regimes import known_regimes
from embargo.research.run.trading import Trade, conditions, trade
from embargo.signals.rearranged import has_pass


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
    return read(plan, plan.parts, config_file.parent / "cache", Quiet()).scored


@pytest.fixture(scope="module")
def usual(plan: Plan, scored: pd.DataFrame) -> Trade:
    return traded(plan, scored, plan.config)


def traded(plan: Plan, scored: pd.DataFrame, config: Config) -> Trade:
    return trade(plan.under(config), scored)


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


def test_the_bars_that_a_gate_shuts_are_counted(
    plan: Plan, scored: pd.DataFrame, usual: Trade, config_file: Path
) -> None:
    config = load_config(config_file, ["portfolio.gate={ calm = 0.0, bull = 0.5 }", "execution.engine=kernel"])
    result = traded(plan, scored, config)
    labels = known_regimes(
        config.regimes, ("trend", "volatility"), plan.world.prices.close, plan.world.last_closed, plan.world.decided_at
    ).iloc[plan.rows]
    shut = labels["volatility"] == "calm"
    reduced = (labels["trend"] == "bull") & ~shut
    assert result.counts["gate"] == {
        "bars_shut": shut.sum(),
        "bars_reduced": reduced.sum(),
        "bars_open": (~shut & ~reduced).sum(),
    }
    assert 0 < shut.sum() < len(shut)
    assert usual.counts["gate"] == {}


def test_more_than_the_account_may_borrow_is_refused(config_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"may not exceed execution\.leverage"):
        load_config(config_file, ["portfolio.gross=1.5"])


def test_an_account_that_fees_eat_up_is_still_booked(plan: Plan, scored: pd.DataFrame, config_file: Path) -> None:
    overrides = [f"execution.{name}" for name in ("leverage=3.0", "maintenance=0.9")]
    overrides += [f"portfolio.{name}" for name in ("gross=3.0", "cap=3.0")]
    books = traded(plan, scored, load_config(config_file, [*overrides, "costs.fee=0.09"])).books
    assert books.equity.min() < 1e-3
    assert books.equity.min() >= 0.0


def test_closes_are_held_against_closes(plan: Plan, scored: pd.DataFrame, config_file: Path) -> None:
    result = traded(plan, scored, load_config(config_file, ["execution.fill=close"]))
    close = plan.world.prices.close.iloc[plan.rows]
    earned = close.pct_change(fill_method=None).iloc[1:].to_numpy()
    traded_twice = np.isfinite(earned)
    assert traded_twice.mean() > 0.9
    np.testing.assert_allclose(result.asset_returns.iloc[:-1].to_numpy()[traded_twice], earned[traded_twice])
    assert (result.asset_returns.iloc[-1].dropna() == 0.0).all()


def test_used_is_what_was_counted_as_used(plan: Plan, scored: pd.DataFrame, config_file: Path) -> None:
    for overrides in (["signal.confidence=margin", "signal.threshold=0.9"], ["signal.echo_weight=0.0"]):
        result = traded(plan, scored, load_config(config_file, overrides))
        used = result.placed["used"] & (result.placed["row"] >= 0) & (result.placed["column"] >= 0)
        assert 0 < used.sum() == result.counts["news"]["used"]


def test_no_two_tests_against_chance_share_their_draws(
    plan: Plan, usual: Trade, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams: list[np.random.Generator] = []

    def noted(statistic: object, draw: object, *, seed: np.random.Generator, **rest: object) -> None:
        streams.append(seed)

    monkeypatch.setattr(chance, "permutation_test", noted)
    shuffle_news(plan, usual, lambda done, total: None)
    # The Sharpe ratio's bootstrap and random timing draw from the experiment's seed itself.
    streams.append(np.random.default_rng(plan.config.seed))
    first = [stream.integers(2**63) for stream in streams]
    assert len(set(first)) == len(first) >= 4


@pytest.mark.parametrize(
    ("compiled", "overrides"),
    [
        (True, ()),
        (True, ("portfolio.neutral=true", "execution.participation=0.02", "portfolio.band=0.02")),
        (False, ("signal.mode=sum",)),
    ],
    ids=["usual", "neutral, in small orders", "not compiled"],
)
def test_shuffled_news_earn_what_they_earn_on_the_path_of_the_run(
    plan: Plan, scored: pd.DataFrame, config_file: Path, compiled: bool, overrides: tuple[str, ...]
) -> None:
    config = load_config(config_file, list(overrides))
    own = plan.under(config)
    result = trade(own, scored)
    assert has_pass(own.rules.signal, own.rules.weights) == compiled
    evidence, returns_of, quick = result.decision.evidence, replay(own, result), rearranged_returns(own, result)
    rng = np.random.default_rng(7_300_300)
    for way in WAYS:
        if possible(way, evidence.numerator.shape, 5):
            drawn = rearrangement(way, evidence.numerator.shape, 5, rng)
            moved = evidence.rearranged(drawn.rows, drawn.columns, drawn.signs)
            assert np.array_equal(quick(drawn), returns_of(moved))
    kept = np.arange(evidence.numerator.shape[0]), np.arange(evidence.numerator.shape[1])
    assert np.array_equal(quick(Rearrangement(*kept)), returns_of(evidence))


def test_a_cap_without_any_volume_is_refused(plan: Plan, config_file: Path) -> None:
    prices = replace(plan.world.prices, volume=plan.world.prices.volume * 0.0)
    capped = plan.under(load_config(config_file, ["execution.participation=0.1"]))
    with pytest.raises(DataError, match="has a volume"):
        conditions(replace(capped, world=replace(plan.world, prices=prices)))


def test_news_from_before_the_first_bar_does_not_move_it(plan: Plan, scored: pd.DataFrame) -> None:
    cut = slice(plan.rows.start, len(plan.world.prices.open_at))
    world = replace(
        plan.world,
        prices=plan.world.prices.select(bars=cut),
        decided_at=plan.world.decided_at[cut],
        last_closed=np.maximum(plan.world.last_closed[cut] - cut.start, -1),
    )
    first, bars = world.decided_at[0], plan.rows.stop - plan.rows.start
    late = replace(plan, world=world, rows=slice(0, bars))
    old = scored.assign(known_at=scored["known_at"] - (scored["known_at"].max() - first) - pd.Timedelta("4D"))
    counts = trade(late, pd.concat([old, scored], ignore_index=True)).counts["news"]
    assert counts["before_first_bar"] == len(old)
    assert trade(late, old).books.orders.empty
    assert trade(late, scored).counts["news"]["before_first_bar"] == 0
