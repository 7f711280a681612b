from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.backtest.leakage import check_base_cutoff, check_label_overlap, check_split_order
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.splits import Fold, holdout, part_of

DAY = pd.Timedelta(days=1)
FOLD = holdout("2020-01-01", "2020-07-01", "2020-10-01", "2021-01-01")
DECIDED = pd.date_range(FOLD.test_start, FOLD.test_end, freq="D", unit="us") + pd.Timedelta(hours=14)


def _samples(seed: int, horizon: pd.Timedelta, n: int = 900) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    known = FOLD.train_start + pd.to_timedelta(np.sort(rng.uniform(0, 366 * 86400, n)), unit="s").as_unit("us")
    starts = known.ceil("D")
    frame = pd.DataFrame({"known_at": known, "starts_at": starts, "ends_at": starts + horizon})
    return frame.assign(
        article_id=[f"a{i:04d}" for i in range(n)], text=[f"text {i}" for i in range(n)], label=rng.integers(0, 3, n)
    ).astype({"known_at": "datetime64[us, UTC]", "starts_at": "datetime64[us, UTC]", "ends_at": "datetime64[us, UTC]"})


def _unpurged(samples: pd.DataFrame, fold: Fold) -> tuple[pd.DataFrame, pd.DataFrame]:
    known = samples["known_at"]
    return (
        samples[known < fold.validation_start],
        samples[(known >= fold.validation_start) & (known < fold.test_start)],
    )


def _overlap(train, validation, embargo=DAY, fold=FOLD):
    return check_label_overlap(train, validation, fold.validation_start, fold.test_start, embargo=embargo)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), horizon=st.integers(0, 20), embargo=st.integers(0, 15))
def test_what_the_splitter_makes_passes_both_checks(seed, horizon, embargo):
    split = part_of(_samples(seed, horizon * DAY), FOLD, embargo=embargo * DAY)
    assert _overlap(split.train, split.validation, embargo * DAY).verdict == "pass"
    assert check_split_order(split.train, split.validation, split.test, DECIDED).verdict == "pass"


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), horizon=st.integers(2, 20))
def test_labels_that_were_not_purged_are_a_leak_counted_exactly(seed, horizon):
    samples = _samples(seed, horizon * DAY)
    train, validation = _unpurged(samples, FOLD)
    finding = _overlap(train, validation)
    reaching = (train["ends_at"] >= FOLD.validation_start).sum() + (validation["ends_at"] >= FOLD.test_start).sum()
    assert finding.verdict == "leak"
    assert finding.effect == pytest.approx(reaching / (len(train) + len(validation)))


def test_purged_on_one_side_only_is_still_a_leak():
    samples = _samples(1, 5 * DAY)
    split = part_of(samples, FOLD, embargo=DAY)
    train, validation = _unpurged(samples, FOLD)
    assert "0 validation labels" in _overlap(train, split.validation).detail
    assert "0 training" in _overlap(split.train, validation).detail
    assert {_overlap(train, split.validation).verdict, _overlap(split.train, validation).verdict} == {"leak"}


def test_a_broken_embargo_is_suspicious():
    split = part_of(_samples(2, 5 * DAY), FOLD, embargo=0 * DAY)
    assert _overlap(split.train, split.validation, 10 * DAY).verdict == "suspicious"
    assert _overlap(split.train, split.validation, 0 * DAY).verdict == "pass"


def test_label_ending_exactly_at_the_boundary_touches_it():
    samples = _samples(3, DAY).iloc[:1].assign(ends_at=FOLD.validation_start)
    assert _overlap(samples, samples.iloc[:0]).verdict == "leak"


def test_overlap_refuses_what_it_cannot_read():
    samples = _samples(0, DAY)
    with pytest.raises(DataError, match="missing columns"):
        _overlap(samples.drop(columns="ends_at"), samples)
    with pytest.raises(ConfigError, match="negative"):
        _overlap(samples, samples, -DAY)
    assert _overlap(samples.iloc[:0], samples.iloc[:0]).verdict == "not-applicable"


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_split_is_a_leak(seed):
    samples = _samples(seed, DAY)
    part = np.random.default_rng(seed).choice(3, len(samples), p=[0.6, 0.2, 0.2])
    finding = check_split_order(*(samples[part == which] for which in range(3)), DECIDED)
    assert finding.verdict == "leak"
    assert "shuffled" in finding.detail
    assert finding.evidence


def test_one_article_on_both_sides_is_a_leak():
    split = part_of(_samples(4, DAY), FOLD, embargo=DAY)
    twin = split.test.iloc[[0]].assign(known_at=split.train["known_at"].iloc[0])
    finding = check_split_order(pd.concat([split.train, twin]), split.validation, split.test, DECIDED)
    assert finding.verdict == "leak"
    assert "1 are articles of the test" in finding.detail


def test_training_younger_than_validation_is_suspicious():
    split = part_of(_samples(5, DAY), FOLD, embargo=DAY)
    assert check_split_order(split.validation, split.train, split.test, DECIDED).verdict == "suspicious"


def test_undated_set_known_at_one_instant_passes():
    samples = _samples(6, DAY).assign(known_at=FOLD.train_start)
    assert check_split_order(samples[:500], samples[500:], samples[:0], DECIDED).verdict == "pass"


def test_split_order_needs_decisions():
    samples = _samples(0, DAY)
    with pytest.raises(DataError, match="no test decisions"):
        check_split_order(samples, samples, samples, DECIDED[:0])
    assert check_split_order(samples[:0], samples[:0], samples, DECIDED).verdict == "not-applicable"


def _base(cutoff, source="model card"):
    return check_base_cutoff("a-base", cutoff, FOLD.test_start, FOLD.test_end, source)


def test_base_cutoff():
    assert _base(FOLD.test_start - DAY).verdict == "pass"
    assert _base(FOLD.test_start).verdict == "suspicious"
    half = _base(FOLD.test_start + (FOLD.test_end - FOLD.test_start) / 2)
    assert (half.verdict, half.effect) == ("suspicious", 0.5)
    assert _base(FOLD.test_end + 900 * DAY).effect == 1.0
    for unknown in (None, pd.NaT):
        finding = _base(unknown, source="")
        assert finding.verdict == "suspicious"
        assert "may remember this period" in finding.detail
    with pytest.raises(DataError, match="no time zone"):
        _base(pd.Timestamp("2020-01-01"))
    with pytest.raises(ConfigError, match="empty"):
        check_base_cutoff("a-base", None, FOLD.test_start, FOLD.test_start, "")


TICK = pd.Timedelta(1, "us")


def _labels(names: str, ends_at: list[pd.Timestamp], length: pd.Timedelta = DAY) -> pd.DataFrame:
    ends = pd.DatetimeIndex(ends_at, tz="UTC").as_unit("us")
    return pd.DataFrame({"article_id": list(names), "starts_at": ends - length, "ends_at": ends})


def test_labels_that_reach_over_are_told_by_side_the_furthest_first():
    start, test = FOLD.validation_start, FOLD.test_start
    train = _labels("abc", [start, start + 2 * DAY, start - 3 * DAY])
    validation = _labels("xyz", [test + 5 * DAY, test - 9 * DAY, test - 8 * DAY])
    finding = _overlap(train, validation)
    assert (finding.verdict, finding.effect) == ("leak", 3 / 6)
    assert [(row["article_id"], row["part"]) for row in finding.evidence] == [
        ("x", "validation"),
        ("b", "train"),
        ("a", "train"),
    ]
    assert finding.evidence[0]["ends_at"] == (test + 5 * DAY).isoformat()
    assert finding.evidence[0]["starts_at"] == (test + 4 * DAY).isoformat()
    assert "2 training and 1 validation labels of 6" in finding.detail
    assert "by up to 5 days" in finding.detail
    only = _overlap(_labels("a", [start + 3 * DAY]), validation[1:])
    assert (only.effect, "by up to 3 days" in only.detail) == (1 / 3, True)


def test_the_embargo_is_kept_to_the_microsecond_on_either_side():
    start, test = FOLD.validation_start, FOLD.test_start
    # The first validation label begins two days after validation does: up to there the gap counts.
    validation = _labels("xy", [start + 3 * DAY, test - 4 * DAY])
    for train_end, verdict in [(start - 2 * DAY, "pass"), (start - 2 * DAY + TICK, "suspicious")]:
        finding = _overlap(_labels("ab", [start - 30 * DAY, train_end]), validation, 4 * DAY)
        assert finding.verdict == verdict
        assert (finding.effect, len(finding.evidence)) == ((0.25, 1) if verdict == "suspicious" else (0.0, 0))
        assert "4 days" in finding.detail
    late = _labels("xyz", [start + 3 * DAY, test - 4 * DAY + TICK, test - 3 * DAY])
    finding = _overlap(_labels("a", [start - 30 * DAY]), late, 4 * DAY)
    assert (finding.verdict, finding.effect) == ("suspicious", 2 / 4)
    assert [row["article_id"] for row in finding.evidence] == ["z", "y"]
    # A validation label that begins before validation does moves no boundary, and without any the block's own counts.
    early = _labels("x", [start + DAY], 9 * DAY)
    for others in (early, early[:0]):
        assert _overlap(_labels("a", [start - 4 * DAY]), others, 4 * DAY).verdict == "pass"
        assert _overlap(_labels("a", [start - 4 * DAY + TICK]), others, 4 * DAY).verdict == "suspicious"


def test_training_without_validation_is_held_against_the_test():
    """Where the test begins before validation would, that is the boundary."""
    train = _labels("a", [FOLD.test_start - DAY])
    finding = check_label_overlap(train, train[:0], FOLD.test_start + 9 * DAY, FOLD.test_start, embargo=pd.Timedelta(0))
    assert finding.verdict == "pass"
    over = check_label_overlap(
        _labels("a", [FOLD.test_start]), train[:0], FOLD.test_start + 9 * DAY, FOLD.test_start, embargo=DAY
    )
    assert over.verdict == "leak"


def _known(names: list[str], days: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"article_id": names, "known_at": DECIDED[0] + pd.to_timedelta(days, unit="D")})


def test_what_was_known_at_the_first_test_decision_is_a_leak_and_a_moment_before_is_not():
    test = _known(["t"], [0.0])
    before = _known(["a", "b"], [-5.0, 0.0]).assign(known_at=lambda rows: rows["known_at"] - TICK)
    none = before[:0]
    clean = check_split_order(before, none, test, DECIDED)
    assert (clean.verdict, clean.effect) == ("pass", 0.0)
    assert "All 2 training and validation samples" in clean.detail
    assert "none of 1 test articles" in clean.detail
    # The order in which decisions are given does not matter.
    finding = check_split_order(_known(["a", "b"], [-5.0, 0.0]), none, test, DECIDED[::-1])
    assert (finding.verdict, finding.effect) == ("leak", 0.5)
    assert [(row["article_id"], row["part"]) for row in finding.evidence] == [("b", "train")]


def test_young_and_shared_articles_are_counted_once_and_told_apart():
    train = _known([f"a{i}" for i in range(38)], [-50.0 + i / 2 for i in range(38)])
    validation = _known(["v", "young"], [-20.0, 3.0])
    test = _known(["a7", "young", "t"], [1.0, 2.0, 3.0])
    finding = check_split_order(train, validation, test, DECIDED)
    assert (finding.verdict, finding.effect) == ("leak", 2 / 40)
    assert "1 of 40" in finding.detail
    assert "2 are articles of the test" in finding.detail
    assert "shuffled" not in finding.detail
    assert [(row["article_id"], row["part"]) for row in finding.evidence] == [("young", "validation"), ("a7", "train")]
    train.loc[37, "known_at"] = DECIDED[5]
    assert "shuffled" in check_split_order(train, validation, test, DECIDED).detail, "two of forty are a twentieth"


def test_training_that_is_younger_than_validation_or_shared_with_it_is_shown():
    train = _known(["a", "b", "c", "v"], [-9.0, -5.0, -4.0, -8.0])
    validation = _known(["v", "w"], [-5.0, -2.0])
    finding = check_split_order(train, validation, _known(["t"], [1.0]), DECIDED)
    assert (finding.verdict, finding.effect) == ("suspicious", 2 / 6)
    assert [row["article_id"] for row in finding.evidence] == ["c", "v"]
    assert "2 of 4 training samples" in finding.detail


def test_a_base_is_told_with_its_cutoff_and_how_far_that_is_from_the_test():
    finding = _base(FOLD.test_start - 30 * DAY)
    row = {
        "base": "a-base",
        "knowledge_cutoff": (FOLD.test_start - 30 * DAY).isoformat(),
        "test_start": FOLD.test_start.isoformat(),
        "test_end": FOLD.test_end.isoformat(),
    }
    assert (finding.effect, finding.evidence) == (0.0, [row])
    assert "30 days before the test" in finding.detail
    assert "source: model card" in finding.detail
    inside = _base(FOLD.test_start + (FOLD.test_end - FOLD.test_start) / 4, source=" ")
    assert inside.evidence == [row | {"knowledge_cutoff": (FOLD.test_start + 23 * DAY).isoformat()}]
    assert "25% of the test" in inside.detail
    assert "no source is given" in inside.detail
    unknown = _base(None)
    assert (unknown.effect, unknown.evidence) == (None, [row | {"knowledge_cutoff": None}])
    shortest = check_base_cutoff("b", None, FOLD.test_start, FOLD.test_start + TICK, "s")
    assert shortest.verdict == "suspicious"
