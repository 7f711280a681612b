"""Windows by count hold what was asked, tile the range, and never tear apart what was known together."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.split_samples import daily, utc

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.splits import walk_forward_by_count

DAY = pd.Timedelta(days=1)
DAYS = daily("2020-01-01", "2020-04-10")["known_at"]


def walk(instants=DAYS, start="2020-01-01", first_test="2020-02-01", end="2020-04-10", **counts):
    wanted = {"test_count": 10, "validation_count": 5} | counts
    return walk_forward_by_count(start, first_test, end, instants=instants, **wanted)


def inside(instants, start, end):
    return int(((instants >= start) & (instants < end)).sum())


def members(instants, start, end):
    return instants[(instants >= start) & (instants < end)]


def test_each_window_holds_its_count():
    folds = walk(train_count=20, end="2020-04-01")
    assert [str(fold.test_start.date()) for fold in folds] == [
        "2020-02-01",
        "2020-02-11",
        "2020-02-21",
        "2020-03-02",
        "2020-03-12",
        "2020-03-22",
    ]
    for fold in folds:
        assert inside(DAYS, fold.train_start, fold.train_end) == 20
        assert inside(DAYS, fold.validation_start, fold.validation_end) == 5
        assert inside(DAYS, fold.test_start, fold.test_end) == 10
        assert fold.train_end == fold.validation_start
        assert fold.validation_end == fold.test_start
    assert {fold.train_start for fold in walk()} == {utc("2020-01-01")}


def test_bars_are_counted_like_samples():
    sessions = DAYS[DAYS.dt.day_of_week < 5] + pd.Timedelta(hours=14, minutes=30)
    folds = walk(pd.DatetimeIndex(sessions), test_count=5, end="2020-04-04")
    assert {inside(sessions, fold.test_start, fold.test_end) for fold in folds} == {5}
    assert folds[1].test_start == utc("2020-02-10 14:30")


@pytest.mark.parametrize(("end", "sizes"), [("2020-02-25", [10, 14]), ("2020-02-26", [10, 10, 5]), ("2020-02-05", [4])])
def test_a_short_remainder_joins_the_last_fold_and_a_long_one_stands_alone(end, sizes):
    assert [inside(DAYS, fold.test_start, fold.test_end) for fold in walk(end=end)] == sizes


def test_ties_stay_together():
    # Four are known on each of the days, so a window of ten holds three whole days.
    instants = pd.Series(np.repeat(DAYS.to_numpy(dtype="datetime64[us]"), 4)).dt.tz_localize("UTC")
    folds = walk(instants, train_count=7)
    assert [inside(instants, fold.test_start, fold.test_end) for fold in folds[:-1]] == [12] * (len(folds) - 1)
    assert {inside(instants, fold.validation_start, fold.validation_end) for fold in folds} == {8}
    assert {inside(instants, fold.train_start, fold.train_end) for fold in folds} == {8}


@given(
    days=st.lists(st.integers(0, 99), min_size=1, max_size=150),
    test_count=st.integers(1, 40),
    validation_count=st.integers(1, 20),
    train_count=st.none() | st.integers(1, 30),
    first=st.integers(1, 60),
)
def test_windows_hold_at_least_their_count_and_tile_the_range(days, test_count, validation_count, train_count, first):
    instants = pd.Series(pd.DatetimeIndex([utc("2020-01-01") + day * DAY for day in days]).as_unit("us"))
    first_test, end = utc("2020-01-01") + first * DAY, utc("2020-04-10")
    before, tested = inside(instants, utc("2020-01-01"), first_test), inside(instants, first_test, end)
    fits = tested > 0 and before >= validation_count + (train_count or 1)
    try:
        folds = walk(
            instants,
            first_test=first_test,
            test_count=test_count,
            validation_count=validation_count,
            train_count=train_count,
        )
    except ConfigError:
        # A tie may swallow the training window of a fold that would fit by number alone.
        assert not fits or len(set(days)) < len(days)
        return
    assert fits
    assert (folds[0].test_start, folds[-1].test_end) == (first_test, end)
    for one, next_one in pairwise(folds):
        assert one.test_end == next_one.test_start
        assert inside(instants, one.test_start, one.test_end) >= test_count
        assert (instants == next_one.test_start).any()
        tested_now = members(instants, one.test_start, one.test_end)
        assert (tested_now < tested_now.max()).sum() < test_count
    assert inside(instants, folds[-1].test_start, end) >= min(test_count / 2, tested)
    for fold in folds:
        validated = members(instants, fold.validation_start, fold.validation_end)
        assert (validated > validated.min()).sum() < validation_count <= len(validated)
        trained = members(instants, fold.train_start, fold.train_end)
        if train_count is None:
            assert fold.train_start == utc("2020-01-01")
            assert len(trained)
        else:
            assert (trained > trained.min()).sum() < train_count <= len(trained)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"test_count": 0}, "test_count must be at least 1, got 0"),
        ({"validation_count": -1}, "validation_count must be at least 1"),
        ({"train_count": 0}, "train_count must be at least 1"),
        ({"validation_count": 32}, "validation_count = 32, but only 31 instants lie before 2020-02-01"),
        ({"validation_count": 31}, "train_count = 1, but only 0 instants lie before 2020-01-01"),
        ({"train_count": 27}, "train_count = 27, but only 26 instants lie before"),
        ({"end": "2020-01-15"}, "not after first_test"),
        ({"first_test": "2020-04-10", "end": "2020-05-01"}, "no instant lies between"),
        ({"first_test": "soon"}, "is no date"),
    ],
)
def test_impossible_counts_are_refused(changes, complaint):
    with pytest.raises(ConfigError, match=complaint):
        walk(**changes)


def test_naive_instants_are_refused():
    with pytest.raises(DataError, match="no time zone"):
        walk(DAYS.dt.tz_localize(None))
