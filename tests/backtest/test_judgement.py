"""Returns made elsewhere, judged: the same figures as their parts give, no look-ahead, and nothing bent to fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.backtest import judge
from embargo.backtest.metrics import performance, relative
from embargo.backtest.significance import deflated_sharpe, effective_trials, stepwise_sharpe, variance_inflation
from embargo.data_loaders.errors import ConfigError, DataError

DAYS = pd.date_range("2020-01-01", periods=400, freq="D", tz="UTC", unit="us")
QUICK = {"periods_per_year": 365.0, "n_boot": 200}


def earned(seed: int, mean: float = 0.0008) -> pd.Series:
    return pd.Series(np.random.default_rng(seed).normal(mean, 0.01, len(DAYS)), index=DAYS)


def test_it_says_what_its_parts_say():
    returns, market = earned(1), earned(2)
    told = judge(returns, benchmark=market, **QUICK)
    assert told.performance == performance(returns, periods_per_year=365.0)
    alone = relative(returns, market, periods_per_year=365.0)
    assert told.relative == {"benchmark": alone | {"alpha_p_value_holm": alone["alpha_p_value"]}}
    assert "two-sided p" in str(told)
    assert "for 1 benchmarks" not in str(told)
    assert told.regimes_of == "the benchmark"
    assert told.drawdowns["depth"].iloc[0] == told.performance["max_drawdown"]
    assert told.drawdowns["trough"].iloc[0] == DAYS[told.drawdowns["trough_bar"].iloc[0]]
    assert told.sharpe.low < told.sharpe.sharpe < told.sharpe.high


def test_untold_trials_deflate_nothing_and_say_so():
    told = judge(earned(1), **QUICK)
    assert told.chance["deflated_sharpe"] is told.chance["adjusted_p_value"] is None
    assert 0.0 < told.chance["probabilistic_sharpe"] < 1.0
    assert "nobody said how many attempts" in str(told)


def test_a_number_of_trials_deflates_by_what_chance_gives_as_many():
    returns = earned(1)
    told, inflation = judge(returns, trials=50, **QUICK), variance_inflation(returns)
    expected = deflated_sharpe(
        told.sharpe.sharpe / np.sqrt(365.0),
        400,
        told.performance["skew"],
        told.performance["kurtosis_raw"],
        n_trials=50,
        variance=inflation / 399,
        inflation=inflation,
    )
    assert told.chance["deflated_sharpe"] == pytest.approx(expected, rel=1e-12)
    assert told.chance["deflated_sharpe"] < told.chance["probabilistic_sharpe"]
    assert told.chance["adjusted_p_value"] == pytest.approx(min(1.0, 50 * told.sharpe.p_value))
    alone = judge(returns, trials=1, **QUICK).chance
    assert alone["adjusted_p_value"] == told.sharpe.p_value
    assert told.reach["detectable_sharpe"] > judge(returns, trials=1, **QUICK).reach["detectable_sharpe"]
    assert alone["deflated_sharpe"] == alone["probabilistic_sharpe"]


def test_returns_of_the_other_trials_count_for_what_they_are_worth():
    returns = earned(1)
    others = pd.DataFrame({f"v{place}": returns + 0.001 * earned(10 + place) for place in range(5)})
    told = judge(returns, trials=others, **QUICK)
    panel = np.column_stack([returns, others])
    assert told.chance["n_trials"] == 6
    assert told.chance["effective_trials"] == effective_trials(panel, seed=0).number < 2.5
    together = stepwise_sharpe(panel, n_boot=200, seed=0)
    np.testing.assert_array_equal(told.superior.p_values, together.p_values)
    assert "Best of the attempts" in str(told)


def test_no_label_looks_ahead():
    returns, later = earned(3), earned(3)
    later.iloc[300:] *= -5.0
    before, after = (judge(series, **QUICK).labels.iloc[:301] for series in (returns, later))
    pd.testing.assert_frame_equal(before, after)
    assert set(before["trend"]) > {"unlabelled"}


def test_few_rows_are_judged_as_far_as_they_go():
    told = judge(earned(1).iloc[:20], **QUICK)
    assert told.sharpe.low is None
    assert told.chance["probabilistic_sharpe"] is None
    assert "too few rows that move" in str(told)
    idle = judge(earned(1) * 0.0, trials=7, **QUICK)
    assert idle.sharpe.sharpe is None
    assert idle.chance["deflated_sharpe"] is None


def test_a_total_loss_is_judged_too():
    ruined = earned(4)
    ruined.iloc[200], ruined.iloc[201:] = -1.0, 0.0
    assert judge(ruined, **QUICK).performance["total_return"] == -1.0


@pytest.mark.parametrize(
    ("returns", "told"),
    [
        (earned(1).set_axis(DAYS.tz_localize(None)), "no time zone.*tz_localize"),
        (earned(1).reset_index(drop=True), "holds int64, not instants"),
        (earned(1).iloc[::-1], "do not increase at row 1"),
        (pd.concat([earned(1), earned(1).iloc[-1:]]), "do not increase at row 400"),
        (earned(1).mask(DAYS[7] == DAYS), r"returns: the return at 2020-01-08 .* is nan \(1 such\)"),
        (earned(1).astype(str), "no number"),
        (earned(1) > 0.0, "no number"),
        (earned(1) * 100.0, r"loss of more than all.*Divide percent by 100"),
        (100.0 * (1.0 + earned(1)).cumprod(), r"prices, wealth or percent.*pct_change\(\)\.shift\(-1\)"),
        ((1.0 + earned(1)).cumprod(), "prices, wealth or percent"),
        (earned(1).to_frame(), "expected a Series"),
        (earned(1).iloc[:0], "there are no rows"),
    ],
)
def test_returns_that_are_no_series_in_time_are_refused(returns, told):
    with pytest.raises(DataError, match=told):
        judge(returns, **QUICK)


@pytest.mark.parametrize("what", ["benchmark", "trials"])
def test_what_stands_beside_must_be_returns_too(what):
    wealth = (1.0 + earned(2)).cumprod()
    for odd, told in ((wealth, "prices, wealth or percent"), (earned(2).astype(str), "no number")):
        beside = odd if what == "benchmark" else odd.to_frame("other")
        with pytest.raises(DataError, match=f"{what}: .*{told}"):
            judge(earned(1), **{what: beside}, **QUICK)
    far = earned(2).set_axis(DAYS + pd.Timedelta(days=5000))
    with pytest.raises(DataError, match=f"{what}: not one of its 400 instants"):
        judge(earned(1), **{what: far if what == "benchmark" else far.to_frame()}, **QUICK)


def test_a_debt_at_the_end_is_a_loss_and_earnings_after_it_are_none():
    ruined = earned(4)
    ruined.iloc[200], ruined.iloc[201:] = -1.4, 0.0
    assert judge(ruined, **QUICK).returns.iloc[200] == -1.4
    ruined.iloc[300] = 0.01
    with pytest.raises(DataError, match=r"2020-07-19 .* is -1\.4, a loss of more than all, and others follow"):
        judge(ruined, **QUICK)


def test_the_judged_attempt_among_the_others_counts_once():
    returns = earned(1)
    others = pd.DataFrame({"one": earned(2), "two": earned(3)})
    alone, among = (judge(returns, trials=panel, **QUICK) for panel in (others, others.assign(mine=returns)))
    assert among.chance == alone.chance
    assert among.chance["n_trials"] == 3


def test_numbers_of_any_kind_are_the_same_returns():
    assert judge(earned(1).astype(object), **QUICK).performance == judge(earned(1), **QUICK).performance
    assert judge(earned(1).astype("Float64"), **QUICK).sharpe == judge(earned(1), **QUICK).sharpe


def test_what_stands_beside_must_be_on_the_same_instants():
    with pytest.raises(DataError, match=r"benchmark: 399 rows, returns 400.*first 2020-01-01"):
        judge(earned(1), benchmark=earned(2).iloc[1:], **QUICK)
    with pytest.raises(DataError, match="trials: 399 rows"):
        judge(earned(1), trials=earned(2).to_frame().iloc[:-1], **QUICK)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"trials": 0}, "trials must be at least 1"),
        ({"trials": 2.5}, "whole number"),
        ({"periods_per_year": 0.0}, "periods_per_year"),
        ({"trials": True}, "whole number"),
        ({"trials": earned(2)}, "got Series"),
        ({"n_boot": 9}, "n_boot"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_out_of_range_are_refused(setting, told):
    with pytest.raises(ConfigError, match=told):
        judge(earned(1), **(QUICK | setting))


def test_it_shows_itself_small_and_alone():
    told = judge(earned(1), benchmark=earned(2), trials=12, **QUICK)
    page = told._repr_html_()
    assert page.count("<tr>") == len(told.figures())
    assert len(page) < 8_000
    assert "Growth of 1 to" in page
    assert "<script" not in page
