"""Timing apart from exposure: always long in a rising market is named, skill on one side of the market is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import Finding, check_exposure
from embargo.data_loaders.errors import DataError


def market(seed: int, drift: float, n: int = 750, symbols: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    common = rng.normal(drift, 0.006, (n, 1))
    return pd.DataFrame(common + rng.normal(0, 0.01, (n, symbols)))


def judge(weights: pd.DataFrame, earned: pd.DataFrame) -> Finding:
    return check_exposure(weights, earned, periods_per_year=252)


def guesses(seed: int, earned: pd.DataFrame, skill: float) -> pd.DataFrame:
    """Weights between 0 and 2/6, nearer to the upper end where a guess of the return is high."""
    noise = np.random.default_rng(seed + 1000).normal(0, 1, earned.shape)
    guess = skill * earned.to_numpy() / 0.01 + noise
    return pd.DataFrame((guess > 0) / 3.0)


@pytest.mark.parametrize("seed", range(8))
def test_always_long_in_a_rising_market_is_named(seed: int) -> None:
    earned = market(seed, 0.0025)
    always = pd.DataFrame(np.random.default_rng(seed).uniform(0.1, 0.2, earned.shape))
    finding = judge(always, earned)
    assert finding.verdict == "suspicious"
    assert finding.interval[0] < finding.effect < finding.interval[1]
    constant = judge(pd.DataFrame(np.full(earned.shape, 1 / 6)), earned)
    assert (constant.verdict, constant.effect) == ("suspicious", 0.0)
    short = judge(-always, -earned)
    assert short.verdict == "suspicious"


@pytest.mark.parametrize("seed", range(8))
def test_skill_on_one_side_of_the_market_is_not(seed: int) -> None:
    earned = market(seed, 0.0025)
    assert judge(guesses(seed, earned, 0.3), earned).verdict == "pass"


@pytest.mark.parametrize("seed", range(8))
def test_both_sides_of_the_market_pass_and_so_does_what_earned_nothing(seed: int) -> None:
    earned = market(seed, 0.0025)
    neutral = guesses(seed, earned, 0.3).sub(guesses(seed, earned, 0.3).mean(axis=1), axis=0)
    assert judge(neutral, earned).verdict == "pass"
    sides = np.array([1, 1, 1, -1, -1, -1]) / 6
    constant = pd.DataFrame(np.tile(sides, (len(earned), 1)))
    assert judge(constant, earned * sides * 6).verdict == "pass", "long what rises and short what falls is a choice"
    flat = market(seed, 0.0)
    flat = flat - flat.mean()
    assert judge(pd.DataFrame(np.full(flat.shape, 1 / 6)), flat).verdict == "pass"


def test_the_parts_add_up_to_the_whole() -> None:
    earned = market(1, 0.001)
    weights = guesses(1, earned, 0.1)
    whole, average, timing = (row["return_a_year"] for row in judge(weights, earned).evidence)
    assert whole == pytest.approx(252 * (weights * earned).sum(axis=1).mean())
    assert average + timing == pytest.approx(whole)
    assert average == pytest.approx(252 * (weights.mean() * earned.mean()).sum())


def test_timing_by_guesses_alone_is_found_as_often_as_it_should() -> None:
    """Random weights around one half, long only: doubted where the market rose, unless luck looks like skill."""
    doubted = [
        judge(guesses(seed, earned, 0.0), earned).verdict for seed in range(200) for earned in [market(seed, 0.0025)]
    ]
    # 5 % of them look skilled at the level; 4 standard errors of 200 draws are 6 points.
    assert np.mean([verdict == "suspicious" for verdict in doubted]) > 0.89


def test_what_cannot_be_judged_says_so() -> None:
    earned = market(0, 0.001)
    weights = guesses(0, earned, 0.3)
    assert judge(weights[:59], earned[:59]).verdict == "inconclusive"
    assert judge(weights * 0, earned).verdict == "not-applicable"
    with pytest.raises(DataError, match="Align"):
        judge(weights[1:], earned)
