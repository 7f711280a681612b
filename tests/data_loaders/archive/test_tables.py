"""Numbers, flags and times mean one thing, and what cannot be read is named by row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.data_loaders.archive.tables import numbers_of, truth_of
from embargo.data_loaders.archive.times import check_timezone, instants_of, session_labels_of
from embargo.data_loaders.errors import ConfigError, DataError

UNITS = {"unix:s": 10**6, "unix:ms": 10**3, "unix:us": 1}
LIMIT = 7_000_000_000


@given(
    st.lists(st.integers(-LIMIT, LIMIT), min_size=1, max_size=6), st.sampled_from([*UNITS, "unix:ns"]), st.booleans()
)
def test_epoch_times_keep_their_instant_as_numbers_and_as_texts(seconds: list[int], unit: str, as_text: bool) -> None:
    written = [second * 1000 if unit == "unix:ns" else second * (10**6 // UNITS[unit]) for second in seconds]
    written = [number * 10**6 for number in written] if unit == "unix:ns" else written
    values = pd.Series([str(number) for number in written], dtype="str") if as_text else pd.Series(written)
    result = instants_of(values, unit, {}, where="x")
    assert result.tolist() == [pd.Timestamp("1970-01-01", tz="UTC") + pd.Timedelta(second, "s") for second in seconds]


def test_epoch_fractions_and_gaps() -> None:
    result = instants_of(pd.Series([1583416800.25, np.nan]), "unix:s", {}, where="x")
    assert result[0] == pd.Timestamp("2020-03-05 14:00:00.25", tz="UTC")
    assert pd.isna(result[1])
    words = instants_of(pd.Series(["0", "nan"], dtype="str"), "unix:s", {}, where="x")
    assert words.isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("values", "timezone", "complaint"),
    [
        ([1_583_416_800], None, "row 0: 1583416800 is a number, and nobody can tell its unit"),
        ([1_583_416_800], "America/New_York", "nobody can tell its unit"),
        ([1, 1_583_416_800_000], "unix:s", "row 1: 1583416800000 lies outside the years"),
        (["1", "2020-01-01T00:00Z"], "unix:s", "row 1: '2020-01-01T00:00Z' is no number"),
        (pd.to_datetime(["2020-01-01"]), "unix:s", "no time zone"),
    ],
)
def test_epoch_times_need_the_right_unit(values: list[object], timezone: str | None, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        instants_of(pd.Series(values), timezone, {}, where="x")


def test_epoch_days_are_trading_days_only_at_midnight() -> None:
    assert session_labels_of(pd.Series([86_400]), "unix:s", where="x").tolist() == [pd.Timestamp("1970-01-02")]
    with pytest.raises(DataError, match="row 1: the date is missing"):
        session_labels_of(pd.Series(["86400", "nan"], dtype="str"), "unix:s", where="x")
    with pytest.raises(DataError, match=r"row 0: 86401 carries a time of day.* Write the day itself"):
        session_labels_of(pd.Series([86_401]), "unix:s", where="x")


@pytest.mark.parametrize("timezone", ["Nowhere/Town", "unix:days", "", "../etc/passwd"])
def test_unknown_zones_are_refused(timezone: str) -> None:
    with pytest.raises(ConfigError, match="is unknown"):
        check_timezone(timezone)


def test_flags_are_read_by_their_words() -> None:
    words = pd.Series(["true", " Yes", "1", "1.0", "FALSE", "no", "0", None])
    assert truth_of(words, where="x").tolist() == [True] * 4 + [False] * 4
    assert truth_of(pd.Series([None, None], dtype="str"), where="x").tolist() == [False, False]
    assert truth_of(pd.Series([True, None]), where="x").tolist() == [True, False]
    with pytest.raises(DataError, match="row 2: 'maybe' is no flag"):
        truth_of(pd.Series(["yes", "no", "maybe", "perhaps"]), where="x")


def test_numbers_tell_missing_from_wrong() -> None:
    assert np.isnan(numbers_of(pd.Series(["1", "n/a", None, "NaN"]), where="x")).tolist() == [False, True, True, True]
    with pytest.raises(DataError, match="row 1: 'dear' is no number"):
        numbers_of(pd.Series(["1", "dear"]), where="x")
