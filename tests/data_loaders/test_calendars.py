"""When sessions open and close, including the days on which a weekday calendar is wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.data_loaders.calendars import (
    bars_per_year,
    decided_before,
    decision_times,
    label_sessions,
    last_closed_bar,
    length_of,
    sessions,
    zone_of,
)
from embargo.data_loaders.errors import ConfigError, DataError


def utc(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        ("2014-07-03", "13:30", "17:00"),  # half day before Independence Day
        ("2014-11-28", "14:30", "18:00"),  # half day after Thanksgiving
        ("2014-03-07", "14:30", "21:00"),  # Friday before the clocks change
        ("2014-03-10", "13:30", "20:00"),  # Monday after
        ("2014-10-31", "13:30", "20:00"),
        ("2014-11-03", "14:30", "21:00"),
    ],
)
def test_new_york_sessions_in_utc(day: str, opens: str, closes: str) -> None:
    row = sessions("XNYS", pd.Timestamp(day), pd.Timestamp(day)).loc[pd.Timestamp(day)]
    assert row["open_at"] == utc(f"{day} {opens}")
    assert row["close_at"] == utc(f"{day} {closes}")


@pytest.mark.parametrize("holiday", ["2014-04-18", "2018-12-05", "2021-07-05", "2021-12-24"])
def test_holidays_are_no_sessions(holiday: str) -> None:
    day = pd.Timestamp(holiday)
    assert day.weekday() < 5
    assert len(sessions("XNYS", day, day)) == 0
    with pytest.raises(DataError, match=f"first {holiday}"):
        label_sessions(pd.DatetimeIndex([day, day + pd.Timedelta(days=7)]), "XNYS", where="prices.csv")


def test_round_the_clock_days_touch_and_are_utc() -> None:
    table = sessions("24/7", pd.Timestamp("2020-02-28"), pd.Timestamp("2020-03-01"))
    assert len(table) == 3
    assert (table["close_at"].to_numpy()[:-1] == table["open_at"].to_numpy()[1:]).all()
    assert str(zone_of("24/7")) == "UTC"
    assert str(zone_of("XNYS")) == "America/New_York"


def test_labels_may_carry_a_zone_but_no_time_of_day() -> None:
    labels = pd.DatetimeIndex(["2014-07-03", "2014-07-07"])
    plain = label_sessions(labels, "XNYS", where="x")
    assert plain[1][0] == utc("2014-07-03 17:00")
    for zone in ("UTC", "America/New_York", "Asia/Tokyo"):
        zoned = label_sessions(labels.tz_localize(zone), "XNYS", where="x")
        assert zoned[0].equals(plain[0])
        assert zoned[1].equals(plain[1])
    with pytest.raises(DataError, match="time of day"):
        label_sessions(pd.DatetimeIndex(["2014-07-03 09:30"]), "XNYS", where="x")
    with pytest.raises(DataError, match="no session dates"):
        label_sessions(labels[:0], "XNYS", where="x")


def test_unknown_calendar_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="'MOON' is unknown"):
        sessions("MOON", pd.Timestamp("2020-01-01"), pd.Timestamp("2020-02-01"))


def test_bars_per_year() -> None:
    day, hour = pd.Timedelta(days=1), pd.Timedelta(hours=1)
    assert bars_per_year("XNYS", day) == 252
    assert bars_per_year("XNYS", hour) == 252 * 7
    assert bars_per_year("24/7", day) == 365
    assert bars_per_year("24/7", hour) == 365 * 24


def test_lengths_of_time() -> None:
    assert length_of("1d") == length_of("1D") == length_of("24h") == pd.Timedelta(days=1)
    assert length_of("5min") == pd.Timedelta(minutes=5)
    for nonsense in ("soon", "0h", "-1h", ""):
        with pytest.raises(ConfigError, match="length of time"):
            length_of(nonsense)


def test_a_decision_comes_before_the_open() -> None:
    opens = pd.date_range("2020-01-01", periods=3, freq="h", tz="UTC")
    assert (decision_times(opens, pd.Timedelta(minutes=5)) == opens - pd.Timedelta(minutes=5)).all()
    with pytest.raises(ConfigError, match="latency"):
        decision_times(opens, pd.Timedelta(minutes=-1))


def test_round_the_clock_bars_lag_two_bars_with_latency_and_one_without() -> None:
    opens = pd.date_range("2020-01-01", periods=6, freq="h", tz="UTC")
    closes = opens + pd.Timedelta(hours=1)
    assert last_closed_bar(closes, decision_times(opens, pd.Timedelta(minutes=5))).tolist() == [-1, -1, 0, 1, 2, 3]
    assert last_closed_bar(closes, decision_times(opens, pd.Timedelta(0))).tolist() == [-1, 0, 1, 2, 3, 4]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 700), st.integers(0, 20_000))
def test_last_closed_bar_is_the_newest_that_is_not_in_the_future(first: int, latency_seconds: int) -> None:
    table = sessions("XNYS", pd.Timestamp("2014-01-01"), pd.Timestamp("2016-12-31")).iloc[first : first + 10]
    closes = pd.DatetimeIndex(table["close_at"])
    decided = decision_times(pd.DatetimeIndex(table["open_at"]), pd.Timedelta(seconds=latency_seconds))
    newest = last_closed_bar(closes, decided)
    slow = [max((bar for bar in range(len(closes)) if closes[bar] <= moment), default=-1) for moment in decided]
    np.testing.assert_array_equal(newest, slow)


@pytest.mark.parametrize(
    ("calendar", "opens", "closes", "before"),
    [
        ("24/7", "2020-01-04 00:00", "2020-01-05 00:00", "2020-01-03 00:00"),
        ("24/7", "2020-01-04 00:00", "2020-01-04 01:00", "2020-01-03 23:00"),
        ("XNYS", "2014-07-07 13:30", "2014-07-07 20:00", "2014-07-03 13:30"),
        # The last hour of a half day begins half an hour before it ends.
        ("XNYS", "2014-07-07 13:30", "2014-07-07 14:30", "2014-07-03 16:30"),
        ("XNYS", "2014-07-07 15:30", "2014-07-07 16:30", "2014-07-07 14:30"),
        ("XNYS", "2014-07-07 14:00", "2014-07-07 15:00", "2014-07-07 13:30"),
        # A bar of no session: the session before it is the one that heard the news.
        ("XNYS", "2014-07-05 00:00", "2014-07-05 03:30", "2014-07-03 13:30"),
    ],
)
def test_the_bar_before_the_first_is_the_calendars(calendar, opens, closes, before):
    open_at, close_at = (pd.DatetimeIndex([pd.Timestamp(stamp, tz="UTC")]) for stamp in (opens, closes))
    latency = pd.Timedelta(minutes=5)
    found = decided_before(open_at, close_at, decision_times(open_at, latency), calendar)
    assert found == pd.Timestamp(before, tz="UTC") - latency
