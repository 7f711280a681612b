"""Combinatorial splits: every choice of test groups once, every path over every group once, no ties torn apart."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise
from math import comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.split_samples import HOUR, daily, utc

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.splits import (
    CombinatorialSplit,
    backtest_paths,
    combinatorial,
    groups_by_calendar,
    groups_by_count,
    path_series,
)
from embargo.data_loaders.splits.purging import Window

MONTHS = groups_by_calendar([f"2020-{month:02d}-01" for month in range(1, 8)])


@given(st.integers(3, 9), st.data())
def test_every_choice_is_made_once_and_every_path_covers_every_group(total, data):
    n_test = data.draw(st.integers(1, total - 2))
    n_validation = data.draw(st.integers(1, total - n_test - 1))
    groups = groups_by_calendar([f"{2000 + year}" for year in range(total + 1)])
    splits = combinatorial(groups, n_test=n_test, n_validation=n_validation)
    assert [split.test_groups for split in splits] == list(combinations(range(total), n_test))
    for split in splits:
        everything = sorted([*split.train_groups, *split.validation_groups, *split.test_groups])
        assert everything == list(range(total))
        assert len(split.validation_groups) == n_validation
    paths = backtest_paths(splits)
    assert paths.shape == (comb(total, n_test) * n_test // total, total)
    pairs = [(int(chosen), group) for path in paths for group, chosen in enumerate(path)]
    assert len(set(pairs)) == len(pairs) == len(splits) * n_test
    assert all(group in splits[chosen].test_groups for chosen, group in pairs)
    assert splits == combinatorial(groups, n_test=n_test, n_validation=n_validation)


def test_the_worked_example_of_the_book():
    # Lopez de Prado 2018, figure 12.1: six groups, two tested, fifteen splits, five paths; the first path takes the
    # splits S1 S1 S2 S3 S4 S5 and the last one S5 S9 S12 S14 S15 S15, counted from one.
    paths = backtest_paths(combinatorial(MONTHS, n_test=2)) + 1
    assert paths.shape == (5, 6)
    assert paths[0].tolist() == [1, 1, 2, 3, 4, 5]
    assert paths[-1].tolist() == [5, 9, 12, 14, 15, 15]


@pytest.mark.parametrize(
    ("tested", "validated"),
    [((0, 1), (2,)), ((0, 3), (2,)), ((2, 5), (4,)), ((4, 5), (3,)), ((1, 2), (0,)), ((3, 5), (4,))],
)
def test_validation_lies_right_before_a_tested_group_where_it_can(tested, validated):
    split = next(split for split in combinatorial(MONTHS, n_test=2) if split.test_groups == tested)
    assert split.validation_groups == validated
    assert not split.causal


@given(
    days=st.lists(st.integers(0, 120), min_size=1, max_size=120),
    n_groups=st.integers(2, 8),
)
def test_groups_by_count_are_contiguous_and_even_up_to_ties(days, n_groups):
    known = pd.Series(pd.DatetimeIndex([utc("2020-01-01") + day * 24 * HOUR for day in days]).as_unit("us"))
    try:
        groups = groups_by_count("2020-01-01", "2020-06-01", instants=known, n_groups=n_groups)
    except ConfigError:
        assert len(days) < n_groups or pd.Series(days).value_counts().iloc[0] > 1
        return
    assert (groups[0].start, groups[-1].end, len(groups)) == (utc("2020-01-01"), utc("2020-06-01"), n_groups)
    assert all(one.end == following.start for one, following in pairwise(groups))
    sizes = [int(group.holds(known).sum()) for group in groups]
    assert min(sizes) > 0
    assert sum(sizes) == len(days)
    largest_tie = int(pd.Series(days).value_counts().iloc[0])
    assert max(sizes) - min(sizes) <= 1 + 2 * (largest_tie - 1)


def test_instants_outside_the_range_do_not_count():
    groups = groups_by_count(
        "2020-01-01", "2020-03-01", instants=daily("2019-01-01", "2021-01-01")["known_at"], n_groups=3
    )
    assert [str(group.start.date()) for group in groups] == ["2020-01-01", "2020-01-21", "2020-02-10"]


def results(splits, step="D"):
    days = pd.date_range("2020-01-01", "2020-07-01", freq=step, tz="UTC", inclusive="left", unit="us")
    found = {}
    for split in splits:
        mask = np.logical_or.reduce([window.holds(days) for window in split.windows["test"]])
        found[split.index] = pd.Series(float(split.index), index=days[mask])
    return found


def test_paths_join_the_results_of_the_splits():
    splits = combinatorial(MONTHS, n_test=2)
    joined = path_series(splits, results(splits))
    days = pd.date_range("2020-01-01", "2020-07-01", freq="D", tz="UTC", inclusive="left", unit="us")
    for path, series in zip(backtest_paths(splits), joined, strict=True):
        assert series.index.equals(days)
        assert [int(series[group.start]) for group in MONTHS] == path.tolist()
        assert [int(series[group.end - 24 * HOUR]) for group in MONTHS] == path.tolist()


def test_results_that_do_not_fit_are_refused():
    splits = combinatorial(MONTHS, n_test=2)
    good = results(splits)
    with pytest.raises(DataError, match="split 3 has no results"):
        path_series(splits, {key: value for key, value in good.items() if key != 3})
    with pytest.raises(DataError, match="split 0 has 61 results outside its test windows, first at 2020-03-01"):
        path_series(splits, good | {0: pd.concat([good[0], good[9]])})
    with pytest.raises(DataError, match="split 2 has results out of order or twice"):
        path_series(splits, good | {2: good[2].iloc[::-1]})
    with pytest.raises(DataError, match="split 1 has no result in group 2"):
        path_series(splits, good | {1: good[1].iloc[:10]})
    with pytest.raises(ConfigError, match="14 splits are not all 15 choices"):
        path_series(splits[1:], good)
    with pytest.raises(ConfigError, match="no splits"):
        backtest_paths([])


@pytest.mark.parametrize(
    ("n_test", "n_validation", "complaint"),
    [(0, 1, "n_test = 0"), (2, 0, "n_validation = 0"), (5, 1, "leave a group to train on"), (3, 3, "leave a group")],
)
def test_impossible_numbers_are_refused(n_test, n_validation, complaint):
    with pytest.raises(ConfigError, match=complaint):
        combinatorial(MONTHS, n_test=n_test, n_validation=n_validation)


def test_thousands_of_models_are_refused():
    groups = groups_by_calendar([f"{1990 + year}" for year in range(21)])
    with pytest.raises(ConfigError, match="10 of 20 groups make 184,756 splits"):
        combinatorial(groups, n_test=10)


def test_splits_and_groups_check_themselves():
    split = combinatorial(MONTHS, n_test=2)[0]
    with pytest.raises(ConfigError, match="must be different positions"):
        replace(split, validation_groups=(0,))
    with pytest.raises(ConfigError, match="must be different positions"):
        replace(split, test_groups=(0, 6))
    with pytest.raises(ConfigError, match="need a group each"):
        replace(split, validation_groups=())
    with pytest.raises(ConfigError, match="a group ends at"):
        CombinatorialSplit(0, (Window(utc("2020-01-01"), utc("2020-03-01")), *MONTHS[1:]), (0,), (1,))
    with pytest.raises(ConfigError, match="is not after"):
        groups_by_calendar(["2020", "2022", "2021"])
    with pytest.raises(ConfigError, match="edge 1 = 'soon' is no date"):
        groups_by_calendar(["2020", "soon"])
    with pytest.raises(ConfigError, match="1 edges make no group"):
        groups_by_calendar(["2020"])
    with pytest.raises(ConfigError, match="n_groups must be at least 2"):
        groups_by_count("2020", "2021", instants=daily("2020-01-01", "2020-02-01")["known_at"], n_groups=1)
    with pytest.raises(DataError, match="no time zone"):
        groups_by_count("2020", "2021", instants=pd.Series(pd.to_datetime(["2020-02-01"])), n_groups=2)
