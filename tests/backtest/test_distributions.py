"""Tails and ranks are those of ``scipy.stats``, and a regression that of statsmodels, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from embargo.backtest.distributions import average_ranks, binomial_sf, student_isf, student_ppf, student_sf
from embargo.backtest.metrics import regression
from embargo.backtest.metrics.against_benchmark import newey_west_lags

SEEDS = range(7_300_000, 7_300_008)


@pytest.mark.parametrize("seed", SEEDS)
def test_tails_are_those_of_scipy_to_the_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    statistic, degrees = 3.0 * rng.normal(size=300), rng.integers(1, 3000, 300)
    level = np.append(rng.random(297), [0.0, 1.0, np.nan])
    np.testing.assert_array_equal(student_sf(statistic, degrees), stats.t.sf(statistic, degrees))
    np.testing.assert_array_equal(student_isf(level, degrees), stats.t.isf(level, degrees))
    np.testing.assert_array_equal(student_ppf(level, degrees), stats.t.ppf(level, degrees))
    trials = rng.integers(0, 5000, 300)
    reached = np.floor(rng.random(300) * (trials + 3)) - 1
    chance = np.where(rng.random(300) < 0.3, 0.5, rng.random(300))
    np.testing.assert_array_equal(binomial_sf(reached, trials, chance), stats.binom.sf(reached, trials, chance))


@pytest.mark.parametrize("values", [[], [2.0], [0.3, 0.1, 0.3, -1.0, 0.3], [1.0, np.nan]])
def test_ranks_are_those_of_scipy(values: list[float]) -> None:
    np.testing.assert_array_equal(average_ranks(np.array(values)), stats.rankdata(np.array(values)))


@pytest.mark.parametrize("seed", SEEDS)
def test_ranks_of_many_ties_are_those_of_scipy(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=500).round(1)
    np.testing.assert_array_equal(average_ranks(values), stats.rankdata(values))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_regression_is_that_of_statsmodels(seed: int) -> None:
    from statsmodels.regression.linear_model import OLS

    rng = np.random.default_rng(seed)
    market = rng.standard_t(4, 400) * 0.01
    mine = rng.random() * market + rng.normal(0.0003, 0.01, 400)
    told = regression(mine, market, periods_per_year=1)
    spread = market.std(ddof=1)
    design = np.column_stack([np.ones(400), market / spread])
    plain = OLS(mine, design).fit()
    lags = max(newey_west_lags(plain.resid), newey_west_lags(plain.resid * (design[:, 1] - design[:, 1].mean())))
    fitted = plain.get_robustcov_results("HAC", maxlags=lags, use_correction=True, use_t=True)
    expected = {
        "alpha_annual": fitted.params[0],
        "alpha_standard_error": fitted.bse[0],
        "alpha_t": fitted.tvalues[0],
        "alpha_p_value": fitted.pvalues[0],
        "beta": fitted.params[1] / spread,
        "beta_standard_error": fitted.bse[1] / spread,
        "r_squared": plain.rsquared,
        "hac_lags": lags,
    }
    assert told == pytest.approx(expected, rel=1e-12)
