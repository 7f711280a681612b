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


def shaped(z_timing: float, *, z_whole: float = 9.0, idle: float = 0.0, n: int = 100) -> tuple[pd.DataFrame, ...]:
    """One symbol always held, one held and sold in turns, one sold throughout that earns nothing; z as asked for."""
    timing = 0.001 * np.tile([1, 1, -1, -1], n // 4) + z_timing * 0.001 / np.sqrt(n - 1)
    swing = 0.002 * np.tile([1, -1, 1, -1], n // 4)
    market = swing + z_whole * np.hypot(0.001, 0.002) / np.sqrt(n - 1) - timing.mean()
    turns = np.tile([0.1, -0.1], n // 2)
    weights = pd.DataFrame({"held": 1.0, "turned": turns, "idle": np.full(n, -idle)})
    return weights, pd.DataFrame({"held": market, "turned": timing / turns, "idle": 0.0})


@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        ({"z_timing": 1.60}, "suspicious"),
        ({"z_timing": 1.70}, "pass"),
        ({"z_timing": 0.0, "z_whole": 2.8}, "suspicious"),
        ({"z_timing": 0.0, "z_whole": 2.7}, "pass"),
        ({"z_timing": -4.0, "z_whole": 1.6}, "pass"),
        ({"z_timing": -4.0, "z_whole": 1.7}, "suspicious"),
        # Net weight 0.75 of gross 1.35, then 0.65 of 1.45.
        ({"z_timing": 0.0, "idle": 0.25}, "suspicious"),
        ({"z_timing": 0.0, "idle": 0.35}, "pass"),
    ],
)
def test_each_condition_decides_at_its_bound(options: dict[str, float], verdict: str) -> None:
    weights, earned = shaped(**options)
    assert judge(weights, earned).verdict == verdict
    assert judge(-weights, -earned).verdict == verdict


def test_the_figures_are_those_of_paper_and_pencil() -> None:
    weights, earned = shaped(1.5, z_whole=6.0, n=64)
    # Deviations of 0.001 and of 0.001 and 0.002 together, whose variances are divided by 63 of 64 bars.
    finding = check_exposure(weights, earned, periods_per_year=100)
    sharpe = 10 * 1.5 / 8
    assert finding.effect == pytest.approx(sharpe)
    half = 1.96 * 10 * np.sqrt((1 + (1.5 / 8) ** 2 / 2) / 64)
    assert finding.interval == pytest.approx((sharpe - half, sharpe + half))
    whole, average, timing = finding.evidence
    assert [row["part"] for row in finding.evidence] == ["whole", "average weights", "timing"]
    assert whole["z"] == pytest.approx(6.0)
    assert timing["z"] == pytest.approx(1.5)
    assert timing["return_a_year"] == pytest.approx(100 * 1.5 * 0.001 / np.sqrt(63))
    assert average["z"] == pytest.approx(8 * earned["held"].mean() / earned["held"].std())
    assert f"Net weight {1 / 1.1:.0%} of gross" in finding.detail
    parts = (whole, average, timing)
    assert all(f"{row['return_a_year']:.1%}" in finding.detail for row in parts)


def test_missing_weights_and_returns_count_as_nothing() -> None:
    weights, earned = shaped(1.5)
    gaps = weights.assign(gone=np.nan), earned.assign(gone=0.5)
    assert judge(*gaps).to_dict() == judge(weights, earned).to_dict()
    assert judge(weights.assign(gone=0.0), earned.assign(gone=np.nan)).to_dict() == judge(weights, earned).to_dict()


def test_sixty_bars_are_enough() -> None:
    weights, earned = shaped(0.0, n=60)
    assert judge(weights, earned).verdict == "suspicious"
    assert judge(weights[1:], earned[1:]).verdict == "inconclusive"
