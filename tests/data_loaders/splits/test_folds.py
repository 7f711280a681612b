"""No split, in any mode, lets a label see past its boundary, and purging never touches the test window."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from samples.split_samples import HOUR, NOTHING, daily, samples_at, utc

from embargo.data_loaders.errors import ConfigError, DataError, LeakError
from embargo.data_loaders.splits import (
    Fold,
    assert_no_leakage,
    holdout,
    part_of,
    split_undated,
    walk_forward,
)

FOLD = holdout("2020-01-01", "2020-03-01", "2020-04-01", "2020-05-01")


def test_holdout_windows_are_half_open_and_complete() -> None:
    split = part_of(daily("2019-12-25", "2020-05-10"), FOLD, embargo=NOTHING)
    assert split.train["known_at"].iloc[[0, -1]].tolist() == [utc("2020-01-01"), utc("2020-02-29")]
    assert split.validation["known_at"].iloc[[0, -1]].tolist() == [utc("2020-03-01"), utc("2020-03-31")]
    assert split.test["known_at"].iloc[[0, -1]].tolist() == [utc("2020-04-01"), utc("2020-04-30")]
    assert split.counts["outside"] == 7 + 9


def test_train_labels_that_reach_validation_are_purged_and_only_those() -> None:
    known = [utc("2020-02-27"), utc("2020-02-28"), utc("2020-02-29"), utc("2020-03-02"), utc("2020-04-02")]
    horizons = [pd.Timedelta(days=1), pd.Timedelta(days=2) - HOUR, pd.Timedelta(days=1), NOTHING, NOTHING]
    split = part_of(samples_at(known, horizons), FOLD, embargo=NOTHING)
    # The third label ends exactly when validation starts: its last price is validation's first.
    assert split.train["article_id"].tolist() == ["a0000", "a0001"]
    assert split.counts["purged_train"] == 1
    assert split.counts["purged_validation"] == 0
    assert split.validation["article_id"].tolist() == ["a0003"]


def test_validation_labels_that_reach_test_are_purged_and_only_those() -> None:
    known = [utc("2020-02-01"), utc("2020-03-30"), utc("2020-03-31"), utc("2020-04-01")]
    split = part_of(samples_at(known, [HOUR, HOUR, pd.Timedelta(days=1), 30 * HOUR]), FOLD, embargo=NOTHING)
    assert split.validation["article_id"].tolist() == ["a0001"]
    assert split.counts["purged_validation"] == 1
    assert split.counts["purged_train"] == 0
    assert len(split.test) == 1


def test_test_labels_may_reach_beyond_the_end_and_early_validation_is_never_purged() -> None:
    known = [utc("2020-02-01"), utc("2020-03-01"), utc("2020-04-30")]
    split = part_of(samples_at(known, [HOUR, HOUR, pd.Timedelta(days=90)]), FOLD, embargo=NOTHING)
    assert len(split.validation) == len(split.test) == 1


def test_embargo_takes_what_ends_right_before_each_boundary() -> None:
    split = part_of(daily("2020-01-01", "2020-05-01"), FOLD, embargo=pd.Timedelta(days=3))
    assert split.train["known_at"].max() == utc("2020-02-26")
    assert split.counts["embargoed_train"] == 3
    assert split.counts["embargoed_validation"] == 3
    assert split.validation["known_at"].max() == utc("2020-03-28")


def test_counts_add_up_and_the_test_window_never_shrinks() -> None:
    frame = daily("2019-12-25", "2020-05-10", horizon_days=5)
    sizes = set()
    for embargo in (0, 1, 10, 20):
        counts = part_of(frame, FOLD, embargo=pd.Timedelta(days=embargo)).counts
        assert sum(value for name, value in counts.items() if name != "test_texts_seen_in_train") == len(frame)
        sizes.add(counts["test"])
    assert sizes == {30}


def test_repeated_texts_are_counted_and_kept() -> None:
    frame = daily("2020-01-01", "2020-05-01")
    frame.loc[frame["known_at"] == utc("2020-04-10"), "text"] = "STORY 3!"
    split = part_of(frame, FOLD, embargo=NOTHING)
    assert split.counts["test_texts_seen_in_train"] == 1
    assert len(split.test) == 30


@settings(max_examples=80)
@given(
    first=st.dates(date(2018, 1, 1), date(2019, 12, 31)),
    length=st.integers(1, 900),
    test_span=st.sampled_from(["1MS", "6MS", "1Y", "90D", "7D", "2W"]),
    rolling=st.sampled_from([None, "6MS", "100D"]),
)
def test_test_windows_tile_the_range(first: date, length: int, test_span: str, rolling: str | None) -> None:
    first_test = pd.Timestamp(first, tz="UTC")
    end = first_test + pd.Timedelta(days=length)
    folds = walk_forward("2015-01-01", first_test, end, test_span=test_span, validation_span="3MS", train_span=rolling)
    assert folds[0].test_start == first_test
    assert folds[-1].test_end == end
    assert [fold.index for fold in folds] == list(range(len(folds)))
    for before, after in pairwise(folds):
        assert before.test_end == after.test_start
        assert before.train_start <= after.train_start
    for fold in folds:
        assert fold.train_end == fold.validation_start
        assert fold.validation_end == fold.test_start
        assert (fold.train_start == utc("2015-01-01")) == (rolling is None)
    lengths = [fold.test_end - fold.test_start for fold in folds]
    if len(folds) > 1:
        assert lengths[-1] >= 0.45 * lengths[0]
        assert lengths[-1] <= 1.6 * lengths[0]


def test_a_short_remainder_joins_the_last_fold_and_a_long_one_stands_alone() -> None:
    spans = {"test_span": "6MS", "validation_span": "3MS"}
    short = walk_forward("2015-01-01", "2018-01-01", "2019-03-01", **spans)
    assert [str(fold.test_end.date()) for fold in short] == ["2018-07-01", "2019-03-01"]
    long = walk_forward("2015-01-01", "2018-01-01", "2019-05-01", **spans)
    assert [str(fold.test_end.date()) for fold in long] == ["2018-07-01", "2019-01-01", "2019-05-01"]
    whole = walk_forward("2015-01-01", "2018-01-01", "2019-01-01", **spans)
    assert [str(fold.test_end.date()) for fold in whole] == ["2018-07-01", "2019-01-01"]


def test_spans_may_be_offsets_and_months_do_not_creep() -> None:
    folds = walk_forward(
        "2015-01-01", "2018-01-31", "2018-05-31", test_span=pd.DateOffset(months=1), validation_span=pd.Timedelta("30D")
    )
    assert [str(fold.test_start.date()) for fold in folds] == ["2018-01-31", "2018-02-28", "2018-03-31", "2018-04-30"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"test_span": "soon"}, "test_span = 'soon' is no span of time"),
        ({"test_span": "0D"}, "is no span of time"),
        ({"validation_span": "-3D"}, "is no span of time"),
        ({"validation_span": pd.Timedelta(0)}, "longer than nothing"),
        ({"train_span": "9Y"}, "fold 0 would train from"),
        ({"validation_span": "4Y"}, "fold 0 would train from"),
        ({"end": "2017-01-01"}, "not after first_test"),
        ({"end": "someday"}, "is no date"),
    ],
)
def test_impossible_walks_are_refused(changes: dict[str, object], complaint: str) -> None:
    request = {"start": "2015-01-01", "first_test": "2018-01-01", "end": "2020-01-01"} | {
        "test_span": "6MS",
        "validation_span": "3MS",
    }
    with pytest.raises(ConfigError, match=complaint):
        walk_forward(**(request | changes))


def test_folds_check_themselves() -> None:
    with pytest.raises(ConfigError, match=r"the validation window .* is empty"):
        holdout("2020-01-01", "2020-03-01", "2020-03-01", "2020-05-01")
    with pytest.raises(ConfigError, match=r"train ends at .* after validation starts"):
        replace(FOLD, train_end=utc("2020-03-02"))
    with pytest.raises(ConfigError, match="has no time zone"):
        Fold(0, *[pd.Timestamp(2020, month, 1) for month in range(1, 7)])


def test_the_diagnostic_names_the_first_offender() -> None:
    frame = daily("2020-01-01", "2020-05-01")
    split = part_of(frame, FOLD, embargo=NOTHING)
    parts = {"train": split.train, "validation": split.validation, "test": split.test}

    def broken(name: str, row: int, **changes: object) -> dict[str, pd.DataFrame]:
        part = parts[name].copy()
        for column, value in changes.items():
            part.loc[row, column] = value
        return parts | {name: part}

    assert_no_leakage(**parts, fold=FOLD, embargo=NOTHING)
    plants = [
        (broken("train", 4, ends_at=utc("2020-03-01")), "a0004", NOTHING),
        (broken("validation", 2, ends_at=utc("2020-04-05")), "a0062", NOTHING),
        (broken("train", 9, known_at=utc("2020-03-05")), "a0009", NOTHING),
        (broken("test", 0, known_at=utc("2020-03-31")), "a0091", NOTHING),
        (broken("validation", 1, starts_at=utc("2020-02-10")), "a0040", NOTHING),
        (broken("test", 3, article_id="a0007"), "a0007", NOTHING),
        (parts, "a0057", pd.Timedelta(days=3)),
    ]
    for plant, offender, embargo in plants:
        with pytest.raises(LeakError, match=f"first '{offender}'"):
            assert_no_leakage(**plant, fold=FOLD, embargo=embargo)


def test_empty_windows_are_named_with_a_remedy() -> None:
    with pytest.raises(DataError, match=r"fold 0: no validation samples between 2020-03-01.*Move the dates"):
        part_of(daily("2020-01-01", "2020-02-01"), FOLD, embargo=NOTHING)
    with pytest.raises(DataError, match=r"no train samples .*60 before purge"):
        part_of(daily("2020-01-01", "2020-05-01", horizon_days=70), FOLD, embargo=NOTHING)
    with pytest.raises(DataError, match=r"no labelled sample is left to split.*horizon"):
        part_of(daily("2020-01-01", "2020-02-01").iloc[:0], FOLD, embargo=NOTHING)


def test_malformed_samples_are_refused() -> None:
    frame = daily("2020-01-01", "2020-05-01")
    with pytest.raises(DataError, match=r"missing columns \['ends_at'\]"):
        part_of(frame.drop(columns="ends_at"), FOLD, embargo=NOTHING)
    with pytest.raises(DataError, match="starts_at after ends_at"):
        part_of(frame.assign(ends_at=frame["ends_at"] - HOUR), FOLD, embargo=NOTHING)
    with pytest.raises(DataError, match="known_at after starts_at"):
        part_of(frame.assign(starts_at=frame["starts_at"] - HOUR), FOLD, embargo=NOTHING)
    with pytest.raises(DataError, match="label 3"):
        part_of(frame.assign(label=3), FOLD, embargo=NOTHING)
    with pytest.raises(ConfigError, match="embargo must not be negative"):
        part_of(frame, FOLD, embargo=-HOUR)


@settings(max_examples=60)
@given(
    texts=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2)), min_size=20, max_size=150),
    share=st.floats(0.1, 0.6),
    seed=st.integers(0, 5),
)
def test_undated_splits_keep_copies_together_and_classes_in_proportion(
    texts: list[tuple[int, int]], share: float, seed: int
) -> None:
    frame = samples_at([utc("2014-01-01")] * len(texts))
    frame["label"] = [number % 3 for number, _ in texts]
    frame["text"] = [f"story {number}" + "!" * dress for number, dress in texts]
    assume(frame.groupby("label")["text"].nunique().min() > 4)
    split = split_undated(frame, validation_share=share, seed=seed)
    assert sorted([*split.train["article_id"], *split.validation["article_id"]]) == frame["article_id"].tolist()
    assert split.test.empty
    strip = {text.rstrip("!") for text in split.train["text"]}
    assert strip.isdisjoint({text.rstrip("!") for text in split.validation["text"]})
    largest = frame["text"].str.rstrip("!").value_counts().iloc[0]
    wanted = frame["label"].value_counts() * share
    got = split.validation["label"].value_counts().reindex(wanted.index, fill_value=0)
    assert ((got - wanted).abs() <= largest + 0.5).all()
    again = split_undated(frame, validation_share=share, seed=seed)
    pd.testing.assert_frame_equal(again.validation, split.validation)


def test_dated_samples_are_never_split_at_random() -> None:
    with pytest.raises(DataError, match="random split would leak"):
        split_undated(daily("2020-01-01", "2020-02-01"), validation_share=0.2, seed=0)
    with pytest.raises(ConfigError, match="validation_share"):
        split_undated(samples_at([utc("2014-01-01")] * 9), validation_share=1.0, seed=0)
    with pytest.raises(DataError, match="leave 2 for training and 0"):
        split_undated(samples_at([utc("2014-01-01")] * 2), validation_share=0.2, seed=0)
