"""Every kind of split satisfies the one diagnostic, agrees with a slow purge, and is caught when it is broken."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.purging import Sample, keep
from samples.split_samples import END, HOUR, MODES, NOTHING, START, daily, samples_at, unpurged, utc

from embargo.data_loaders.errors import ConfigError, DataError, LeakError
from embargo.data_loaders.splits import (
    assert_no_leakage,
    combinatorial,
    groups_by_calendar,
    holdout,
    part_of,
    split_undated,
    walk_forward,
)
from embargo.data_loaders.splits.purging import PARTS, assert_disjoint

DAY = pd.Timedelta(days=1)
FOLD = holdout("2020-01-01", "2020-03-01", "2020-04-01", "2020-05-01")


@st.composite
def worlds(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.Timedelta]:
    """Samples with ties, copies, labels that end at once and labels that reach over several windows."""
    size = draw(st.integers(25, 60))
    days = st.lists(st.integers(0, 384), min_size=size, max_size=size)
    known = [START + day * DAY for day in draw(days)]
    longest = draw(st.sampled_from([0, 30, 400, 2000]))
    horizons = draw(st.lists(st.integers(0, longest), min_size=size, max_size=size))
    waits = draw(st.lists(st.integers(0, 40), min_size=size, max_size=size))
    frame = samples_at(known, [hours * HOUR for hours in horizons])
    frame["text"] = [f"story {number}" for number in draw(st.lists(st.integers(0, 90), min_size=size, max_size=size))]
    frame["starts_at"] = np.minimum(frame["ends_at"], frame["known_at"] + pd.Series([wait * HOUR for wait in waits]))
    return frame, draw(st.sampled_from([0, 1, 24, 100, 400])) * HOUR


def stretches(split):
    return {name: [(window.start, window.end) for window in windows] for name, windows in split.windows.items()}


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=25)
@given(world=worlds(), pick=st.integers(0, 10_000), horizon_days=st.integers(0, 30))
def test_every_split_passes_the_diagnostic_and_keeps_what_a_slow_purge_keeps(mode, world, pick, horizon_days):
    frame, embargo = world
    try:
        folds = MODES[mode](frame)
    except ConfigError:  # too few samples, or too many at one instant, to fill the windows
        return
    fold = folds[pick % len(folds)]
    whole = set(unpurged(frame, fold)["test"]["article_id"])
    for samples in (frame, frame.assign(ends_at=frame["starts_at"] + horizon_days * DAY)):
        plain = [
            Sample(row.article_id, row.known_at.to_pydatetime(), row.ends_at.to_pydatetime(), row.text)
            for row in samples.itertuples()
        ]
        expected = keep(plain, stretches(fold), embargo.to_pytimedelta(), copies=not fold.causal)
        assert expected["test"] == whole
        try:
            split = part_of(samples, fold, embargo=embargo)
        except DataError:
            assert min(len(names) for names in expected.values()) == 0
            continue
        parts = {name: getattr(split, name) for name in PARTS}
        assert {name: set(part["article_id"]) for name, part in parts.items()} == expected
        assert_no_leakage(**parts, fold=fold, embargo=embargo)
        if not fold.causal:
            assert_disjoint(**parts)
        counts = {name: count for name, count in split.counts.items() if name != "test_texts_seen_in_train"}
        assert sum(counts.values()) == len(samples)


@pytest.mark.parametrize("mode", [mode for mode in MODES if not mode.startswith("combinatorial")])
@pytest.mark.parametrize("horizon", [0, 3, 9])
def test_train_and_validation_lose_their_last_samples_only(mode, horizon):
    frame = daily("2020-01-01", "2021-01-20", horizon)
    for fold in MODES[mode](frame):
        split, whole = part_of(frame, fold, embargo=2 * DAY), unpurged(frame, fold)
        for name in ("train", "validation"):
            kept = getattr(split, name)["article_id"].tolist()
            assert kept == whole[name]["article_id"].tolist()[: len(kept)]
            assert len(whole[name]) - len(kept) == horizon + 2


@pytest.mark.parametrize("horizon", [0, 3, 9])
def test_between_tested_groups_training_loses_on_both_sides(horizon):
    groups = groups_by_calendar(["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01", "2020-05-01"])
    frame = daily("2020-01-01", "2020-05-01", horizon)
    split = next(split for split in combinatorial(groups, n_test=1) if split.test_groups == (2,))
    assert split.validation_groups == (1,)
    found = part_of(frame, split, embargo=2 * DAY)
    last_tested = utc("2020-03-31")
    assert found.train["known_at"].min() == utc("2020-01-01")
    before = found.train.loc[found.train["known_at"] < utc("2020-02-01"), "ends_at"].max()
    after = found.train.loc[found.train["known_at"] >= utc("2020-02-01"), "known_at"].min()
    assert before == utc("2020-02-01") - 3 * DAY
    # Free are those known after the last tested label ended and the embargo passed; at the end of a window at once.
    assert after == max(utc("2020-04-01") + 2 * DAY, last_tested + horizon * DAY + 3 * DAY)
    assert (
        found.counts["purged_train"] + found.counts["embargoed_train"]
        == (horizon + 2) + (after - utc("2020-04-01")).days
    )


def test_labels_of_validation_keep_training_away_as_those_of_test_do():
    groups = groups_by_calendar(["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01", "2020-05-01"])
    split = next(split for split in combinatorial(groups, n_test=1) if split.test_groups == (0,))
    assert split.validation_groups == (1,)
    frame = daily("2020-01-01", "2020-05-01")
    frame.loc[frame["known_at"] == utc("2020-02-20"), "ends_at"] = utc("2020-03-10")
    found = part_of(frame, split, embargo=NOTHING)
    assert found.train["known_at"].min() == utc("2020-03-11")
    assert found.counts["purged_train"] == 10
    # A validation sample that is purged itself keeps nobody away.
    frame.loc[frame["known_at"] == utc("2020-01-31"), "ends_at"] = utc("2020-02-20")
    assert part_of(frame, split, embargo=NOTHING).train["known_at"].min() == utc("2020-03-01")


def planted(mode):
    frame = daily("2020-01-01", "2021-01-20", 5)
    folds = MODES[mode](frame)
    return frame, folds[:: max(1, len(folds) // 4)]


@pytest.mark.parametrize("mode", MODES)
def test_a_split_without_purge_is_caught_and_its_twin_without_overlap_is_not(mode):
    frame, folds = planted(mode)
    for fold in folds:
        with pytest.raises(LeakError, match=r"labels reach|samples are known before"):
            assert_no_leakage(**unpurged(frame, fold), fold=fold, embargo=NOTHING)
        clean = unpurged(frame.assign(ends_at=frame["known_at"]), fold)
        assert_no_leakage(**clean, fold=fold, embargo=NOTHING)


@pytest.mark.parametrize("mode", MODES)
def test_a_purge_on_the_wrong_side_is_caught(mode):
    frame, folds = planted(mode)
    for fold in folds:
        parts = unpurged(frame, fold)
        for name in ("validation", "test"):
            first = parts[name]["known_at"].min()
            parts[name] = parts[name][parts[name]["known_at"] > first + 5 * DAY]
        with pytest.raises(LeakError):
            assert_no_leakage(**parts, fold=fold, embargo=NOTHING)


@pytest.mark.parametrize("mode", MODES)
def test_an_embargo_with_its_sign_swapped_is_caught(mode):
    frame, folds = planted(mode)
    for fold in folds:
        split = part_of(frame, fold, embargo=NOTHING)
        parts = {name: getattr(split, name) for name in PARTS}
        assert_no_leakage(**parts, fold=fold, embargo=NOTHING)
        with pytest.raises(LeakError, match="embargo"):
            assert_no_leakage(**parts, fold=fold, embargo=DAY)


@pytest.mark.parametrize("mode", MODES)
def test_torn_ties_are_caught(mode):
    frame, folds = planted(mode)
    frame = pd.concat([frame, frame.assign(article_id=frame["article_id"] + "b", text=frame["text"] + " b")])
    for fold in folds:
        split = part_of(frame, fold, embargo=NOTHING)
        parts = {name: getattr(split, name) for name in PARTS}
        torn = parts["test"].iloc[:1]
        assert (parts["test"]["known_at"] == torn["known_at"].iloc[0]).sum() == 2
        parts["test"] = parts["test"].iloc[1:]
        parts["validation"] = pd.concat([parts["validation"], torn])
        with pytest.raises(LeakError, match=f"validation samples lie outside.*first '{torn['article_id'].iloc[0]}'"):
            assert_no_leakage(**parts, fold=fold, embargo=NOTHING)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode.startswith("combinatorial")])
def test_training_right_after_a_test_is_caught(mode):
    frame, folds = planted(mode)
    caught = 0
    for fold in folds:
        parts = unpurged(frame, fold)
        # The purge of a walk forward: labels that reach a later window go, labels of earlier windows are not looked at.
        for name, others in (("validation", ["test"]), ("train", ["test", "validation"])):
            for other in others:
                for window in fold.windows[other]:
                    part = parts[name]
                    parts[name] = part[~((part["known_at"] < window.start) & (part["ends_at"] >= window.start))]
        learnt_later = max(window.end for name in ("train", "validation") for window in fold.windows[name])
        if learnt_later > fold.windows["test"][0].end:
            caught += 1
            with pytest.raises(LeakError, match="label ends at"):
                assert_no_leakage(**parts, fold=fold, embargo=NOTHING)
    assert caught


def test_an_embargo_counted_from_the_window_alone_is_caught():
    groups = groups_by_calendar(["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01"])
    split = next(split for split in combinatorial(groups, n_test=1) if split.test_groups == (0,))
    frame = daily("2020-01-01", "2020-04-01")
    frame.loc[frame["known_at"] == utc("2020-01-31"), "ends_at"] = utc("2020-02-03")
    parts = unpurged(frame, split)
    parts["train"] = parts["train"][parts["train"]["known_at"] >= utc("2020-03-03")]
    for first, leaks in (("2020-02-03", True), ("2020-02-05", True), ("2020-02-06", False)):
        validation = parts["validation"]
        cut = parts | {"validation": validation[validation["known_at"] >= utc(first)]}
        if leaks:
            with pytest.raises(LeakError, match="before the last test label ends at 2020-02-03"):
                assert_no_leakage(**cut, fold=split, embargo=2 * DAY)
        else:
            assert_no_leakage(**cut, fold=split, embargo=2 * DAY)


def test_an_embargo_follows_the_window_even_where_its_last_days_are_empty():
    groups = groups_by_calendar(["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01"])
    split = next(split for split in combinatorial(groups, n_test=1) if split.test_groups == (0,))
    frame = daily("2020-01-01", "2020-04-01")
    frame = frame[(frame["known_at"] < utc("2020-01-15")) | (frame["known_at"] >= utc("2020-02-01"))]
    parts = unpurged(frame, split)
    for name, start in (("validation", "2020-02-03"), ("train", "2020-03-03")):
        parts[name] = parts[name][parts[name]["known_at"] >= utc(start)]
    found = part_of(frame, split, embargo=2 * DAY)
    for name, part in parts.items():
        assert getattr(found, name)["article_id"].tolist() == part["article_id"].tolist()
    assert_no_leakage(**parts, fold=split, embargo=2 * DAY)
    parts["train"] = parts["train"].iloc[2:]
    with pytest.raises(LeakError, match=r"2 validation samples are known before 2020-02-01 .* plus 4 days"):
        assert_no_leakage(**parts, fold=split, embargo=4 * DAY)


def test_copies_leave_training_where_training_may_be_later():
    groups = groups_by_calendar(["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01"])
    split = next(split for split in combinatorial(groups, n_test=1) if split.test_groups == (0,))
    frame = daily("2020-01-01", "2020-04-01")
    frame.loc[frame["known_at"] == utc("2020-03-05"), "text"] = "STORY 3!"
    frame.loc[frame["known_at"] == utc("2020-03-06"), "text"] = "Story 40"
    frame.loc[frame["known_at"] == utc("2020-02-07"), "text"] = "story 5."
    found = part_of(frame, split, embargo=NOTHING)
    assert (found.counts["copies_train"], found.counts["copies_validation"]) == (2, 1)
    assert found.counts["test_texts_seen_in_train"] == 0
    parts = unpurged(frame, split)
    with pytest.raises(LeakError, match="1 copies stand both in train and in validation, first 'a0065'"):
        assert_no_leakage(**parts, fold=split, embargo=NOTHING)
    with pytest.raises(LeakError, match="copies stand"):
        assert_disjoint(**parts)
    assert_no_leakage(**unpurged(daily("2020-01-01", "2020-04-01"), split), fold=split, embargo=NOTHING)


def test_a_group_of_the_callers_stays_on_one_side():
    frame = daily("2020-01-01", "2020-05-01").assign(cluster=lambda part: part["article_id"])
    frame.loc[frame["known_at"] >= utc("2020-04-29"), "cluster"] = ["a0003", "a0070"]
    plain = part_of(frame, FOLD, embargo=NOTHING)
    assert (plain.counts["copies_train"], len(plain.train)) == (0, 60)
    grouped = part_of(frame, FOLD, embargo=NOTHING, group="cluster")
    assert (grouped.counts["copies_train"], grouped.counts["copies_validation"]) == (1, 1)
    assert len(grouped.test) == len(plain.test)
    parts = {name: getattr(plain, name) for name in PARTS}
    assert_no_leakage(**parts, fold=FOLD, embargo=NOTHING)
    with pytest.raises(LeakError, match="copies stand both in train and in test, first 'a0003'"):
        assert_no_leakage(**parts, fold=FOLD, embargo=NOTHING, group="cluster")
    with pytest.raises(DataError, match="no column 'author'"):
        part_of(frame, FOLD, embargo=NOTHING, group="author")
    with pytest.raises(DataError, match="1 have no 'cluster', first 'a0009'"):
        part_of(
            frame.assign(cluster=frame["cluster"].where(frame["article_id"] != "a0009")),
            FOLD,
            embargo=NOTHING,
            group="cluster",
        )


def test_undated_clusters_stay_on_one_side():
    frame = samples_at([utc("2014-01-01")] * 60).assign(cluster=[f"c{number // 4}" for number in range(60)])
    split = split_undated(frame, validation_share=0.3, seed=1, group="cluster")
    assert set(split.train["cluster"]).isdisjoint(split.validation["cluster"])
    assert_disjoint(split.train, split.validation, split.test, group="cluster")
    torn = split_undated(frame, validation_share=0.3, seed=1)
    with pytest.raises(LeakError, match="copies stand both in train and in validation"):
        assert_disjoint(torn.train, torn.validation, torn.test, group="cluster")
    with pytest.raises(LeakError, match="articles stand both"):
        assert_disjoint(split.train, split.train.iloc[:1], split.test)


def test_an_article_in_two_parts_is_caught():
    groups = groups_by_calendar(["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01"])
    frame = daily("2020-01-01", "2020-04-01")
    frame.loc[frame["known_at"] == utc("2020-03-20"), "article_id"] = "a0010"
    for split in combinatorial(groups, n_test=1):
        with pytest.raises(LeakError, match=r"articles stand both in .* first 'a0010'"):
            part_of(frame, split, embargo=NOTHING)


def test_a_missing_instant_proves_nothing():
    split = part_of(daily("2020-01-01", "2020-05-01"), FOLD, embargo=NOTHING)
    train = split.train.copy()
    train.loc[3, "ends_at"] = pd.NaT
    with pytest.raises(DataError, match="train samples, column ends_at: 1 rows have no timestamp"):
        assert_no_leakage(train, split.validation, split.test, FOLD, NOTHING)


def test_a_rolling_window_of_months_is_purged_at_its_end():
    folds = walk_forward(
        START,
        "2020-07-01",
        END,
        test_span="1MS",
        validation_span=pd.DateOffset(months=1),
        train_span=pd.DateOffset(months=2),
    )
    frame = daily("2020-01-01", "2021-01-20", 4)
    for fold in folds:
        split = part_of(frame, fold, embargo=DAY)
        assert split.train["known_at"].min() == fold.train_start
        assert split.train["ends_at"].max() == fold.validation_start - 2 * DAY
