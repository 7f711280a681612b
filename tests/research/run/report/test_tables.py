"""The tables below the metrics: what each says of given figures, and that what does not exist is not shown as 0."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.metric_samples import metrics_with, read_with, record_with

from embargo.backtest.chance import reach
from embargo.backtest.metrics import break_even_cost, capacity, cost_breakdown, deepest_drawdowns, performance, relative
from embargo.research.pages import formats
from embargo.research.records.figures import from_json, values_of
from embargo.research.records.frictions import Capacity, CostPaid
from embargo.research.records.metrics import (
    BestOfAttempts,
    Drawdown,
    GrowingWindow,
    Performance,
    RandomTimes,
    Reach,
    Relative,
    ShuffledNews,
    TradeFigures,
)
from embargo.research.run.report.tables import _rounded, chance_tables_of, tables_of

TITLES = ["Costs and capacity", "Deepest drawdowns", "Against the benchmarks", "Trades and tails"]
CHANCE = ["The news broken on purpose", "Random timing", "Beside everything tried on this window"]
CHANCE += ["What a sample of this length can say"]


def metrics_of(returns, turnover=0.1, paid=None):
    """Return what `embargo.research.run.measurement.measure` writes of what the tables read."""
    rng = np.random.default_rng(1)
    bars = len(returns)
    paid = (
        {"commission": 500.0, "spread": 250.0, "impact": 0.0, "haircut": 0.0, "borrow": 90.0} if paid is None else paid
    )
    traded = np.full((bars, 2), turnover)
    empty = pd.DataFrame({"entry_bar": [], "exit_bar": [], "pnl": [], "return": []})
    book = pd.DataFrame({"entry_bar": [0, 2], "exit_bar": [1, 6], "pnl": [300.0, -100.0], "return": [0.03, -0.01]})
    drawdowns = tuple(
        Drawdown(
            depth=row["depth"],
            length_bars=row["length_bars"],
            start="2020-02-03T14:30:00+00:00",
            trough="2020-02-05T14:30:00+00:00",
            recovery=None if pd.isna(row["recovery_bar"]) else "2020-03-02T14:30:00+00:00",
        )
        for row in deepest_drawdowns(returns).to_dict("records")
    )
    held = performance(returns, periods_per_year=252.0, trades=book if turnover else empty)
    trades = read_with(TradeFigures, held.pop("trades"))
    costs = cost_breakdown(paid, np.full(bars, 1e4), np.full(bars, turnover), periods_per_year=252.0)
    room = capacity(returns, traded, np.full((bars, 2), 1e8), np.full((bars, 2), 0.01))
    against = relative(returns, rng.normal(0, 0.01, bars), periods_per_year=252.0)
    draws = {"observed": 0.5, "null_mean": -0.25, "null_sd": 1.0, "null_quantiles": {"0.95": 0.75}}
    return metrics_with(
        **values_of(read_with(Performance, held)),
        **values_of(
            from_json(Reach, reach(held, returns, periods_per_year=252.0, level=0.95, significance=0.05), "reach")
        ),
        n_trades=4 if turnover else 0,
        trades=trades,
        costs_paid={part: read_with(CostPaid, found) for part, found in costs.items()},
        break_even_cost=break_even_cost(returns, np.full(bars, turnover), paid=750.0 / 1e4 / bars),
        capacity=read_with(Capacity, room),
        drawdowns=drawdowns,
        relative={"buy_and_hold": read_with(Relative, against)},
        n_trials=12,
        n_partial=5,
        trials_elsewhere=3,
        growing_window=GrowingWindow(
            looks=6, judged=4, rows=240, p_value=0.045, statistic=2.1, bound=2.05, detectable_sharpe=2.75
        ),
        effective_trials=3.5,
        luckiest_sharpe=0.75,
        probabilistic_sharpe=0.96,
        deflated_sharpe=0.61,
        adjusted_p_value=0.03,
        significance_left=0.012,
        best_of_attempts=BestOfAttempts(best=1, p_value=0.04, superior=2, strategies=4),
        bars_per_year=252.0,
        sharpe_low_percentile=-0.25,
        sharpe_high_percentile=1.5,
        permutations={
            way: read_with(ShuffledNews, draws | {"p_value": p_value, "n_permutations": 500, "block": 20})
            for way, p_value in {"dates": 0.01, "shift": 0.2, "symbols": 0.03, "signs": 0.9}.items()
        },
        random_timing=record_with(
            RandomTimes,
            sharpe_quantiles={"0.05": -1.0, "0.5": 0.0, "0.95": 1.25},
            sharpe=0.5,
            share_beaten=0.75,
            p_value=0.26,
            n_draws=1000,
            block=1,
            gross_kept=1.0 if turnover else None,
        ),
    )


@pytest.fixture(scope="module")
def gaining():
    return metrics_of(np.random.default_rng(0).normal(0.002, 0.01, 250))


@pytest.fixture
def idle():
    """Figures of a strategy that never held anything."""
    return metrics_of(np.zeros(250), 0.0, dict.fromkeys(("commission", "spread", "impact", "borrow"), 0.0))


def tables(metrics):
    return {table.title: table for table in [*tables_of(metrics), *chance_tables_of(metrics)]}


def test_a_strategy_that_traded_has_every_table_once(gaining):
    made = [*tables_of(gaining), *chance_tables_of(gaining)]
    assert [table.title for table in made] == TITLES + CHANCE
    for table in made:
        assert all(len(row) == len(table.head) for row in table.rows)
        assert all(name.strip() for name in table.head)
        names = [row[0] for row in table.rows]
        assert len(set(names)) == len(names) or table.title == "Deepest drawdowns"


def test_a_strategy_that_never_held_anything_shows_no_tables_of_zeros(idle):
    assert tables_of(idle) == chance_tables_of(idle) == []


def test_the_columns_of_costs_add_up(gaining):
    rows = {row[0]: row[1:] for row in tables(gaining)["Costs and capacity"].rows}
    assert list(rows) == ["commission", "spread", "borrow", "total"]
    assert [rows[name][0] for name in rows] == ["500", "250", "90", "840"]
    # 250 bars of 0.1 of 10,000 each way are 500,000 traded; borrow is no price of trading and no part of that total.
    assert [rows[name][2] for name in rows] == ["10.0 bp", "5.0 bp", formats.MISSING, "15.0 bp"]


def test_rearranged_news_is_reported_way_by_way(gaining):
    table = tables(gaining)["The news broken on purpose"]
    assert [row[1:4] for row in table.rows] == [("−0.25", "0.75", "0.50")] * 4
    assert [row[4:] for row in table.rows] == [
        ("0.010", "0.040"),
        ("0.200", "0.400"),
        ("0.030", "0.090"),
        ("0.900",) * 2,
    ]
    assert "500 times, in blocks of 20 bars" in table.note


def test_attempts_and_reach_are_told(gaining):
    attempts = dict(tables(gaining)["Beside everything tried on this window"].rows)
    told = ["12", "5", "3", "0.030", "0.012", "3.50", "0.75", "0.960", "0.610", "0.045", "2.75", "0.040", "2"]
    assert list(attempts.values()) == told
    (growing,) = [label for label in attempts if "growing window" in label]
    assert "6 looks" in growing
    assert "newest judged at 240 bars" in growing
    alone = replace(gaining, n_trials=1, best_of_attempts=None)
    assert dict(tables(alone)["Beside everything tried on this window"].rows)["Attempts made elsewhere"] == "3"
    assert "Beside everything tried on this window" not in tables(replace(alone, trials_elsewhere=0))
    sample = dict(tables(gaining)["What a sample of this length can say"].rows)
    assert sample["Length of this sample"] == "0.99 years"
    assert sample["Interval of the plain Sharpe ratio, by percentiles of resamples"] == "−0.25 to 1.50"
    assert formats.MISSING not in sample.values()


def test_a_sample_on_which_sizes_are_not_known_says_why(gaining):
    table = tables(gaining)["What a sample of this length can say"]
    assert table.note == ""
    assert dict(table.rows)["Bars that moved"] == formats.percent(gaining.sample.moving_share)
    doubted = replace(gaining, sample=replace(gaining.sample, skew_term=-0.4, doubts=("a few bars carry the sample",)))
    table = tables(doubted)["What a sample of this length can say"]
    assert table.note == "Size not known to hold here: a few bars carry the sample."
    assert "−0.40" in dict(table.rows).values()


def test_small_amounts_are_not_printed_as_zero():
    metrics = metrics_of(np.full(20, 0.001), paid={"commission": 0.42, "funding": -0.37})
    rows = tables(metrics)["Costs and capacity"].rows
    assert [row[1] for row in rows] == ["0.42", "−0.37", "0.05"]


def test_free_trading_still_says_what_it_could_have_borne():
    free = metrics_of(np.full(250, 0.001), paid=dict.fromkeys(("commission", "spread"), 0.0))
    table = tables(free)["Costs and capacity"]
    assert [row[0] for row in table.rows] == ["total"]
    assert table.note.startswith("Trading could cost ")


def test_a_break_even_cost_is_printed_with_the_interval_of_the_mean_in_whole_basis_points(gaining):
    mean = replace(gaining.mean, mean=0.10, low=-0.05, high=0.25, level=0.95)
    found = replace(gaining, break_even_cost=0.0015, turnover=50.0, mean=mean)
    note = tables(found)["Costs and capacity"].note
    told = (
        "Trading could cost 15 bp of what is traded before nothing is left (95% interval 0 to 30, by that of the mean"
    )
    assert told in note
    assert "that there is room for any is not shown" in note
    sure = replace(found, mean=replace(mean, low=0.02))
    assert "is not shown" not in tables(sure)["Costs and capacity"].note
    unknown = replace(found, mean=replace(mean, low=None, high=None))
    assert "before nothing is left." in tables(unknown)["Costs and capacity"].note


def test_alphas_against_several_benchmarks_are_corrected_together(gaining):
    one = gaining.relative["buy_and_hold"]
    pair = {
        "buy_and_hold": replace(one, alpha_p_value=0.03, alpha_p_value_holm=0.06),
        "equal_weight": replace(one, alpha_p_value=0.04, alpha_p_value_holm=0.06),
    }
    table = tables(replace(gaining, relative=pair))["Against the benchmarks"]
    places = [table.head.index(name) for name in ("p, two-sided", "p (Holm), two-sided")]
    assert [[row[place] for place in places] for row in table.rows] == [["0.030", "0.060"], ["0.040", "0.060"]]


def test_a_strategy_that_loses_without_costs_has_no_cost_to_spare():
    losing = metrics_of(np.random.default_rng(0).normal(-0.02, 0.01, 250))
    assert losing.break_even_cost < 0.0
    note = tables(losing)["Costs and capacity"].note
    assert note.startswith("It would have lost even if trading had cost nothing.")
    assert "before nothing is left" not in note
    assert "most money" not in note


def test_capacity_names_its_bound_and_what_it_left_out(gaining):
    short = replace(gaining, capacity=replace(gaining.capacity, orders=500, orders_without_volume=3))
    assert "95 % of the orders stay below 5 % of the volume" in tables(gaining)["Costs and capacity"].note
    assert "had no known volume" not in tables(gaining)["Costs and capacity"].note
    assert "3 of 500 orders had no known volume" in tables(short)["Costs and capacity"].note


def test_what_was_never_made_up_for_is_said_to_last():
    metrics = metrics_of(np.r_[0.1, -0.05, 0.2, -0.1, np.zeros(20)])
    rows = tables(metrics)["Deepest drawdowns"].rows
    assert [(row[0], row[3]) for row in rows] == [("−10.0%", "not yet"), ("−5.0%", "2020-03-02")]


def test_a_missing_figure_is_a_dash(gaining):
    absent = dict.fromkeys(("alpha_standard_error", "alpha_p_value", "information_ratio", "tracking_error"))
    bare = replace(
        gaining,
        relative={"buy_and_hold": replace(gaining.relative["buy_and_hold"], **absent)},
        trades=replace(gaining.trades, profit_factor=None, mean_return=None),
        tails=replace(gaining.tails, value_at_risk=None, expected_shortfall=None),
    )
    made = tables(bare)
    row = made["Against the benchmarks"].rows[0]
    assert [place for place, cell in enumerate(row) if cell == formats.MISSING] == [2, 3, 4, 6, 7]
    assert [row[1] for row in made["Trades and tails"].rows].count(formats.MISSING) == 4
    assert "None" not in str(tables_of(bare))


def test_random_timing_prints_its_quantiles_in_order(gaining):
    table = tables(gaining)["Random timing"]
    assert table.head[1:] == ("5%", "50%", "95%", "Strategy", "Beaten", "p, one-sided")
    assert table.rows == (("Sharpe ratio", "−1.00", "0.00", "1.25", "0.50", "75.0%", "0.260"),)
    assert "1,000 random times, in blocks of 1 bar, " in table.note


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-3, 1e20))
def test_money_is_printed_to_two_digits_and_without_exponents(amount):
    text = _rounded(amount)
    assert "e+" not in text
    if amount >= 1e15:
        assert text == "more than 1,000 trillion"
        return
    figure, *name = text.split()
    size = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}[name[0]] if name else 1.0
    assert math.isclose(float(figure) * size, amount, rel_tol=0.051)
    assert float(figure) < 1000.0 or amount >= 9.9e14
