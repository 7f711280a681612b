import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.backtest import metrics
from embargo.data_loaders.errors import ConfigError, DataError

AMOUNTS = st.dictionaries(st.sampled_from(["commission", "spread", "impact", "funding"]), st.floats(-1e6, 1e6))


def test_cost_breakdown_by_hand():
    table = metrics.cost_breakdown(
        {"commission": 30.0, "spread": 20.0, "funding": -10.0},
        np.array([1000.0, 1000.0, 2000.0, 2000.0]),
        np.array([0.5, 0.0, 0.25, 0.0]),
        periods_per_year=2,
    )
    # Two years at a mean equity of 1,500; bought and sold for 1,000 twice.
    assert table["commission"] == pytest.approx({"currency": 30.0, "per_year": 0.01, "per_turnover": 0.015})
    assert table["funding"]["per_turnover"] == pytest.approx(-0.005)
    assert table["total"] == pytest.approx({"currency": 40.0, "per_year": 40 / 3000, "per_turnover": 0.02})
    json.dumps(table, allow_nan=False)


@given(AMOUNTS, st.lists(st.tuples(st.floats(1.0, 1e6), st.floats(0.0, 2.0)), max_size=10))
def test_parts_add_up(paid, rows):
    equity, turnover = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    table = metrics.cost_breakdown(paid, equity, turnover, periods_per_year=252)
    for unit in ("currency", "per_year", "per_turnover"):
        parts = [table[part][unit] for part in paid]
        if None not in parts and table["total"][unit] is not None:
            assert table["total"][unit] == pytest.approx(
                math.fsum(parts), rel=1e-9, abs=1e-6 * max(map(abs, parts), default=1)
            )
    json.dumps(table, allow_nan=False)


def test_nothing_traded_costs_nothing_per_turnover():
    table = metrics.cost_breakdown({"borrow": 5.0}, np.array([100.0]), np.array([0.0]), periods_per_year=1)
    assert table["borrow"] == {"currency": 5.0, "per_year": 0.05, "per_turnover": None}
    with pytest.raises(DataError, match="borrow is not a number"):
        metrics.cost_breakdown({"borrow": math.nan}, np.array([100.0]), np.array([0.0]), periods_per_year=1)
    with pytest.raises(DataError, match="2 rows of equity but 1 of turnover"):
        metrics.cost_breakdown({}, np.ones(2), np.ones(1), periods_per_year=1)


@given(st.floats(0.0, 0.01), st.integers(0, 1000))
def test_charging_the_break_even_cost_leaves_nothing(rate, seed):
    rng = np.random.default_rng(seed)
    gross, turnover = rng.normal(0.001, 0.01, 60), rng.uniform(0, 1, 60)
    net = gross - rate * 2 * turnover
    level = metrics.break_even_cost(net, turnover, paid=rate * 2 * turnover)
    assert (gross - level * 2 * turnover).mean() == pytest.approx(0.0, abs=1e-15)
    assert metrics.sharpe(gross - level * 2 * turnover, periods_per_year=252) == pytest.approx(0.0, abs=1e-9)
    mean = metrics.break_even_cost(net, turnover, paid=float((rate * 2 * turnover).mean()))
    assert mean == pytest.approx(level, rel=1e-9)


def test_break_even_cost_that_does_not_exist():
    assert metrics.break_even_cost(np.array([0.01, 0.02]), np.zeros(2)) is None
    assert metrics.break_even_cost(np.array([]), np.array([])) is None
    assert metrics.break_even_cost(np.array([-0.01]), np.array([1.0])) == pytest.approx(-0.005)
    with pytest.raises(DataError, match="costs of shape"):
        metrics.break_even_cost(np.zeros(3), np.ones(3), paid=np.ones(2))


def panels(seed=0):
    rng = np.random.default_rng(seed)
    traded = rng.normal(0, 0.05, (50, 3)) * (rng.uniform(size=(50, 3)) < 0.7)
    return traded, rng.uniform(1e6, 1e8, (50, 3)), rng.uniform(0.01, 0.03, (50, 3))


def earned(equity, returns, traded, volume, volatility, impact):
    """Money per row at a size, order by order."""
    profit = 0.0
    for row in range(len(returns)):
        profit += equity * returns[row]
        for x, v, s in zip(np.abs(traded[row]), volume[row], volatility[row], strict=True):
            profit -= equity * x * impact * s * math.sqrt(equity * x / v)
    return profit / len(returns)


def test_at_capacity_impact_has_eaten_the_edge():
    traded, volume, volatility = panels()
    returns = np.full(50, 0.0005)
    figures = metrics.capacity(returns, traded, volume, volatility, impact=0.8, participation=0.1)

    def money(equity):
        return earned(equity, returns, traded, volume, volatility, 0.8)

    size = figures["equity_break_even"]
    assert money(size) == pytest.approx(0.0, abs=1e-9 * size)
    best = figures["equity_most_profit"]
    assert money(best) > max(money(0.99 * best), money(1.01 * best), 0.0)
    orders = np.abs(traded[traded != 0]) * figures["equity_at_participation"] / volume[traded != 0]
    assert (orders <= 0.1 + 1e-12).mean() == pytest.approx(0.95, abs=0.02)
    assert figures["orders"] == np.count_nonzero(traded)
    assert figures["orders_without_volume"] == 0
    flat = 0.8 * (np.abs(traded) * volatility).sum() / 50 * math.sqrt(figures["participation_break_even"])
    assert flat == pytest.approx(0.0005)


@given(st.floats(0.1, 10.0), st.floats(0.1, 10.0))
def test_capacity_scales_as_the_law_says(edge, depth):
    traded, volume, volatility = panels(1)
    returns = np.full(50, 0.0005)
    plain = metrics.capacity(returns, traded, volume, volatility)["equity_break_even"]
    assert metrics.capacity(edge * returns, traded, volume, volatility)["equity_break_even"] == pytest.approx(
        plain * edge**2
    )
    assert metrics.capacity(returns, traded, depth * volume, volatility)["equity_break_even"] == pytest.approx(
        plain * depth
    )


def test_capacity_counts_orders_it_cannot_judge():
    traded, volume, volatility = panels(2)
    volume[:10] = np.nan
    volume[10:12] = 0.0
    frames = [pd.DataFrame(panel) for panel in (traded, volume, volatility)]
    figures = metrics.capacity(np.full(50, 0.001), *frames)
    assert figures["orders_without_volume"] == np.count_nonzero(traded[:12])
    assert math.isfinite(figures["equity_break_even"])
    losing = metrics.capacity(np.full(50, -0.001), *frames)
    assert losing["equity_break_even"] is None
    assert losing["equity_most_profit"] is None
    idle = metrics.capacity(np.full(50, 0.001), 0 * traded, volume, volatility)
    assert idle["equity_break_even"] is None
    assert idle["equity_at_participation"] is None
    json.dumps([figures, losing, idle], allow_nan=False)
    with pytest.raises(DataError, match="same bars and symbols"):
        metrics.capacity(np.zeros(49), *frames)
    with pytest.raises(ConfigError, match="participation"):
        metrics.capacity(np.zeros(50), *frames, participation=0.0)


@given(st.integers(0, 1000), st.floats(-0.5, 0.5), st.floats(0.0, 0.5))
def test_a_break_even_cost_moves_with_the_mean_alone(seed, mean, half):
    """Each end is the break-even cost of returns whose yearly mean is that end."""
    rng = np.random.default_rng(seed)
    turnover, noise = rng.uniform(0.01, 0.5, 50), rng.normal(0.0, 0.01, 50)
    returns = noise - noise.mean() + mean / 252
    cost = metrics.break_even_cost(returns, turnover)
    ends = metrics.break_even_interval(cost, 252 * turnover.mean(), mean=mean, low=mean - half, high=mean + half)
    shifted = [metrics.break_even_cost(returns + shift / 252, turnover) for shift in (-half, half)]
    assert ends == pytest.approx(shifted, abs=1e-12)
    assert metrics.break_even_interval(cost, 0.0, mean=mean, low=mean, high=mean) is None
