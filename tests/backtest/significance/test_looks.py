"""A growing window: published bounds, the chance of ever crossing, and what no look may change."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from embargo.backtest.significance import (
    crossing_probability,
    group_sequential_bounds,
    looks,
    sequential_test,
    spent_by,
)
from embargo.data_loaders.errors import ConfigError, DataError

growing = st.lists(st.integers(1, 60), min_size=1, max_size=6).map(lambda steps: 100.0 + np.cumsum(steps))


def test_bounds_are_those_that_lan_and_demets_spend_to() -> None:
    """One-sided 2.5 %, five equal looks: Reboussin, DeMets, Kim and Lan (2000), Controlled Clinical Trials 21."""
    share = np.arange(1, 6) / 5
    like_obrien_fleming = 2.0 * norm.sf(norm.isf(0.0125) / np.sqrt(share))
    like_pocock = 0.025 * np.log(1.0 + (np.e - 1.0) * share)
    assert group_sequential_bounds(share, like_obrien_fleming) == pytest.approx(
        [4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-4
    )
    assert group_sequential_bounds(share, like_pocock) == pytest.approx([2.438, 2.427, 2.410, 2.397, 2.386], abs=1e-3)


@pytest.mark.parametrize(
    ("looks", "pocock", "obrien_fleming"),
    [(2, 2.178, 1.977), (3, 2.289, 2.004), (4, 2.361, 2.024), (5, 2.413, 2.040), (10, 2.555, 2.087)],
)
def test_published_constants_cross_as_often_as_they_should(looks: int, pocock: float, obrien_fleming: float) -> None:
    """Jennison and Turnbull (2000), tables 2.1 and 2.3, two-sided 5 %: each side is crossed in 2.5 %."""
    share = np.arange(1, looks + 1) / looks
    assert crossing_probability(share, np.full(looks, pocock)) == pytest.approx(0.025, abs=1e-4)
    assert crossing_probability(share, obrien_fleming / np.sqrt(share)) == pytest.approx(0.025, abs=1e-4)


@settings(max_examples=10)
@given(growing.filter(lambda rows: len(rows) <= 3), st.floats(-0.1, 0.3))
def test_the_recursion_is_the_integral_of_the_joint_normal(rows: np.ndarray, drift: float) -> None:
    bounds = np.linspace(2.0, 1.5, len(rows))
    together = np.sqrt(np.minimum.outer(rows, rows) / np.maximum.outer(rows, rows))
    inside = multivariate_normal(drift * np.sqrt(rows), together, abseps=1e-8, allow_singular=True).cdf(bounds)
    assert crossing_probability(rows, bounds, drift=drift) == pytest.approx(1.0 - inside, abs=1e-5)


@given(growing, st.floats(0.001, 0.4))
@settings(max_examples=20)
def test_what_is_spent_is_what_is_crossed_and_stays_below_the_level(rows: np.ndarray, level: float) -> None:
    spent = spent_by(rows, level=level)
    assert (np.diff(spent) > 0.0).all()
    assert spent[-1] < level
    assert crossing_probability(rows, group_sequential_bounds(rows, spent)) == pytest.approx(spent[-1], rel=1e-5)


@given(growing, st.integers(0, 10**6))
@settings(max_examples=6)
def test_later_looks_take_nothing_back_and_a_better_look_is_no_worse(rows: np.ndarray, seed: int) -> None:
    p_values = np.random.default_rng(seed).uniform(1e-4, 0.5, len(rows))
    found = [sequential_test(rows[: k + 1], p_values[: k + 1]) for k in range(len(rows))]
    assert all(later.p_value <= sooner.p_value * 1.001 for sooner, later in pairwise(found))
    assert all(each.p_value >= p_values[: k + 1].min() for k, each in enumerate(found))
    better = sequential_test(rows, np.append(p_values[:-1], p_values[-1] / 10.0))
    assert better.p_value <= found[-1].p_value * 1.001
    newest = found[-1]
    assert (newest.statistic >= newest.bound) <= (newest.p_value <= newest.level * 1.001)


def test_a_claim_is_where_a_bound_is_crossed() -> None:
    rows = np.array([252, 378, 504])
    early = sequential_test(rows, np.array([0.001, 0.5, 0.5]))
    assert early.p_value == pytest.approx(0.005, rel=1e-3)
    assert early.statistic < early.bound
    (bound,) = group_sequential_bounds(rows[:1], spent_by(rows[:1], level=0.05))
    assert bound == pytest.approx(norm.isf(0.01))


def test_power_grows_with_the_edge_and_is_what_is_said() -> None:
    rows = np.arange(252, 505, 21)
    bounds = group_sequential_bounds(rows, spent_by(rows, level=0.05))
    power = [crossing_probability(rows, bounds, drift=sharpe / np.sqrt(252)) for sharpe in (0.0, 1.0, 2.0)]
    assert power == pytest.approx([0.03, 0.274, 0.767], abs=2e-3)
    found = sequential_test(rows, np.full(len(rows), 0.3))
    assert crossing_probability(rows, bounds, drift=found.detectable) == pytest.approx(0.8, abs=1e-3)


def test_looks_too_close_to_count_are_left_out_whatever_they_showed() -> None:
    rows, p_values = np.array([1000, 1001, 1009, 1010, 1500]), np.array([0.2, 1e-6, 1e-6, 0.1, 0.1])
    assert sequential_test(rows, p_values) == sequential_test(rows[[0, 3, 4]], p_values[[0, 3, 4]])


def test_looks_that_do_not_grow_are_refused() -> None:
    with pytest.raises(DataError, match="growing"):
        sequential_test(np.array([300, 252]), np.array([0.1, 0.1]))
    with pytest.raises(DataError, match="1 % of the rows"):
        group_sequential_bounds(np.array([300, 301]), np.array([0.01, 0.02]))
    with pytest.raises(DataError, match="never fall"):
        group_sequential_bounds(np.array([300, 400]), np.array([0.02, 0.01]))
    with pytest.raises(ConfigError, match="level"):
        sequential_test(np.array([300]), np.array([0.1]), level=1.5)


@pytest.mark.parametrize("p_values", [[0.1], [0.1, np.nan], [0.1, 1.5], [-0.1, 0.5], [[0.1, 0.2]]])
def test_p_values_that_are_none_or_do_not_fit_are_refused(p_values: list[float]) -> None:
    with pytest.raises(DataError, match="sequential_test"):
        sequential_test(np.array([252, 378]), np.array(p_values))


@pytest.mark.parametrize("rows", [[252.0, np.nan], [252.0, np.inf], [], [[252.0, 300.0]], [0.5, 2.0]])
def test_rows_that_are_none_are_refused(rows: list[float]) -> None:
    with pytest.raises(DataError, match="growing"):
        sequential_test(np.array(rows), np.full(len(rows), 0.1))


def test_looks_and_bounds_of_other_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="each of the 2 looks"):
        crossing_probability(np.array([1, 2]), np.array([1.6]))
    with pytest.raises(DataError, match="with 1 missing"):
        crossing_probability(np.array([1, 2]), np.array([1.6, np.nan]))
    with pytest.raises(DataError, match="each of the 2 looks"):
        group_sequential_bounds(np.array([1, 2]), np.array([0.01]))
    with pytest.raises(DataError, match="finite"):
        group_sequential_bounds(np.array([1, np.nan]), np.array([0.01, 0.02]))


def test_many_looks_are_as_exact_as_every_place_of_the_walk_would_make_them(monkeypatch) -> None:
    rows = 100.0 * 1.0101 ** np.arange(40)
    bounds = group_sequential_bounds(rows, spent_by(rows, level=0.05))
    near = crossing_probability(rows, bounds, drift=0.1)
    monkeypatch.setattr(looks, "_FARTHEST", 1e6)
    assert group_sequential_bounds(rows, spent_by(rows, level=0.05)) == pytest.approx(bounds, abs=1e-9)
    assert crossing_probability(rows, bounds, drift=0.1) == pytest.approx(near, abs=1e-12)
