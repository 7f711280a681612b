"""Decisions that hang on the level of adjusted prices are a leak; ratios, returns and prices as traded pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from samples import leak_worlds as worlds
from samples.small_runs import experiment

from embargo.backtest.leakage import check_levels
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices
from embargo.research.config.experiment import load_config
from embargo.research.progress import Quiet
from embargo.research.run.preparation import prepare
from embargo.research.run.trading import decide, perfect_scores

Rule = Callable[[pd.DataFrame, Prices], pd.DataFrame]


def lagged(panel: pd.DataFrame) -> pd.DataFrame:
    return panel.shift(2).fillna(0.0).astype(float)


def of_cheap_symbols_alone(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Trade the news of what costs less than the median symbol."""
    cheap = prices.close.le(prices.close.median(axis=1), axis=0)
    return worlds.honest(news, prices) * lagged(cheap)


def above_a_least_price(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    return worlds.honest(news, prices) * lagged(prices.close > float(prices.close.iloc[0].median()))


def by_weighted_index(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Trade while an index of the sums of prices rises: what costs more weighs more."""
    rising = prices.close.sum(axis=1).pct_change() > 0
    return worlds.honest(news, prices).mul(lagged(rising.to_frame()).iloc[:, 0], axis=0)


def by_volume_in_shares(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Trade what changed hands in more shares than the median symbol: a later split makes more of them."""
    many = prices.volume.ge(prices.volume.median(axis=1), axis=0)
    return worlds.honest(news, prices) * lagged(many)


def by_its_own_mean(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    above = prices.close > prices.close.rolling(20, min_periods=1).mean()
    return worlds.honest(news, prices) * lagged(above)


def by_turnover(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    money = prices.close * prices.volume
    return worlds.honest(news, prices) * lagged(money.ge(money.median(axis=1), axis=0))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rule", [of_cheap_symbols_alone, above_a_least_price, by_weighted_index, by_volume_in_shares])
def test_rules_that_use_levels_are_named_by_what_the_levels_are(rule: Rule, seed: int) -> None:
    world = worlds.make_world(seed, n_bars=120)
    volume = pd.DataFrame(
        np.random.default_rng(seed).lognormal(10.0, 1.0, world.prices.close.shape),
        index=world.prices.close.index,
        columns=world.prices.close.columns,
    )
    prices = replace(world.prices, volume=volume)
    finding = check_levels(rule, world.news, prices, adjusted=True, seed=seed)
    assert finding.verdict == "leak"
    assert finding.effect > 0.0
    row = finding.evidence[0]
    assert row["decided"] != row["decided_rescaled"]
    assert rule(world.news, prices).loc[pd.Timestamp(row["bar"]), row["symbol"]] == row["decided"]
    assert check_levels(rule, world.news, prices, adjusted=None, seed=seed).verdict == "suspicious"
    traded = check_levels(rule, world.news, prices, adjusted=False, seed=seed)
    assert (traded.verdict, traded.effect) == ("pass", finding.effect)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("rule", [worlds.honest, by_its_own_mean, by_turnover, worlds.same_bar_close])
def test_rules_of_ratios_pass_whatever_else_is_wrong_with_them(rule: Rule, seed: int) -> None:
    world = worlds.make_world(seed, n_bars=120)
    finding = check_levels(rule, world.news, world.prices, adjusted=True, seed=seed)
    assert (finding.verdict, finding.effect) == ("pass", 0.0)


def test_a_rule_that_does_not_repeat_itself_proves_nothing_and_no_bars_are_refused() -> None:
    world, rng = worlds.make_world(0, n_bars=60), np.random.default_rng(0)

    def dice(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
        return prices.close * 0.0 + rng.uniform(-0.1, 0.1, prices.close.shape)

    assert check_levels(dice, world.news, world.prices, adjusted=True).verdict == "inconclusive"
    with pytest.raises(DataError, match="no bars"):
        check_levels(worlds.honest, world.news, world.prices.select(bars=np.arange(0)), adjusted=True)


RULES = (
    "",
    "[portfolio]\ninverse_volatility = true\ntarget_volatility = 0.1",
    "[portfolio]\ngate = { turbulent = 0.5, bear = 0.0 }\nmethod = 'top_bottom'\nk = 2",
    "[signal.cross_section]\nstandardise = 'rolling'\nmethod = 'rank'\nneutral = 'market'",
    "[portfolio]\nband = 0.02\nneutral = true\nmethod = 'sign'",
)


@pytest.mark.parametrize("rules", RULES)
def test_no_rule_of_a_run_hangs_on_a_level(rules: str, tmp_path) -> None:
    spans = {"until": "2016-06-30", "first_test": "2015-07-01", "end": "2016-07-01", "test_span": "12MS"}
    (tmp_path / "run.toml").write_text(experiment(symbols=6, model='kind = "lexicon"', more=rules, **spans))
    plan = prepare(load_config(tmp_path / "run.toml"), Quiet())
    plan = replace(plan, rows=slice(0, plan.rows.stop))
    blank = dict.fromkeys(("bearish", "neutral", "bullish", "confidence"), 0.0)
    scored = perfect_scores(plan.world, plan.parts[0].test_news.assign(**blank))

    def weights(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
        return decide(replace(plan, world=replace(plan.world, prices=prices)), news).weights

    prices = plan.world.prices.select(bars=np.arange(plan.rows.stop))
    assert weights(scored, prices).abs().to_numpy().sum() > 1.0
    assert check_levels(weights, scored, prices, adjusted=True).verdict == "pass"


def test_what_moved_with_the_levels_is_told_in_words_and_figures() -> None:
    world = worlds.make_world(2, n_bars=40)

    def cheapest(_news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
        return (prices.close.rank(axis=1) == 1.0).astype(float)

    finding = check_levels(cheapest, world.news, world.prices, adjusted=True)
    assert (finding.code, finding.verdict, finding.unit) == ("D7", "leak", "share of decisions")
    assert finding.detail.startswith(f"{finding.effect:.1%} of decisions moved when each of ")
    assert finding.detail.endswith(" They are adjusted, and what adjusts them happened later.")
    assert {row["decided"] for row in finding.evidence} <= {0.0, 1.0}
    assert all(row["decided"] + row["decided_rescaled"] == 1.0 for row in finding.evidence)
    assert finding.remedy.startswith("Decide by returns and ratios of prices")
