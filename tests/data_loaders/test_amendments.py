"""Closed days and extra sessions: written once, checked, and held wherever a calendar is used."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.data_loaders import Prices, amended, label_sessions, sessions
from embargo.data_loaders.amendments import read_calendar
from embargo.data_loaders.archive import read_prices, stream_bars
from embargo.data_loaders.calendars import closed_bars, decided_before, name_of, reopenings, zone_of
from embargo.data_loaders.checks.bars import calendar_gaps
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.store import Store, import_bars

MUMBAI = amended("XBOM", extra_sessions=["2023-11-12 18:15-19:15"])
STORM = amended("XHKG", closed=["2023-09-01"])


def at(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def test_a_calendar_is_written_in_one_way():
    twice = amended("XHKG", closed=["2023-09-08", "2023-09-01", "2023-09-01"])
    assert (
        twice
        == "XHKG -2023-09-01 -2023-09-08"
        == amended(amended("XHKG", closed=["2023-09-08"]), closed=["2023-09-01"])
    )
    assert str(read_calendar(twice)) == twice
    assert amended("XNYS") == "XNYS"
    assert name_of(twice) == "XHKG (2 days amended)"
    assert name_of("XHKG -2023-09-01 +2023-09-01@09:30-12:00") == "XHKG (1 day amended)"
    assert zone_of(twice) == zone_of("XHKG")


@pytest.mark.parametrize(
    ("calendar", "says"),
    [
        ("XHKG -2023-09-02", "2023-09-02 \\(Saturday\\) is no session of XHKG anyhow"),
        ("XBOM +2023-11-13@18:15-19:15", "already, from 09:15 to 15:30.*prices.closed too"),
        ("XHKG -2070-09-01", "cannot be amended: XHKG is recorded from 1960-01-01 to 2049-12-31"),
        ("XHKG -2023-9-1", "is no day"),
        ("XHKG 2023-09-01", "is no amendment"),
        ("XBOM +2023-11-12", "never assumed"),
        ("XBOM +2023-11-12@25:15-26:15", "is no session"),
        ("XBOM +2023-11-12@19:15-18:15", "closes before it opens"),
        ("XBOM +2023-11-12@18:15-19:15 +2023-11-12@10:15-11:15", "two extra sessions"),
        ("24/7 -2023-09-01", "never closes"),
        ("MOON -2023-09-01", "'MOON' is unknown"),
    ],
)
def test_amendments_that_do_not_fit_are_refused_in_words(calendar, says):
    with pytest.raises(ConfigError, match=says):
        sessions(calendar, pd.Timestamp("2023-08-01"), pd.Timestamp("2023-12-01"))


def test_a_sunday_in_mumbai(cases):
    file = cases / "calendars" / "bse.csv"
    with pytest.raises(
        DataError, match=r'2023-11-12 \(Sunday\)\. If XBOM did trade.*extra_sessions = \["2023-11-12 HH'
    ):
        Prices.read(file, calendar="XBOM")
    prices = Prices.read(file, calendar=MUMBAI)
    assert prices.open_at[1] == at("2023-11-12 12:45")
    assert prices.close_at[1] == at("2023-11-12 13:45")
    assert calendar_gaps(prices).verdict == "clean"


def test_a_saturday_in_mumbai_that_the_calendar_has(cases):
    assert Prices.read(cases / "calendars" / "bse_sat.csv", calendar="XBOM").open_at[1] == at("2024-01-20 03:45")


def test_a_storm_in_hong_kong(cases):
    file = cases / "calendars" / "hk.csv"
    gaps = calendar_gaps(Prices.read(file, calendar="XHKG"))
    assert gaps.verdict == "bad"
    assert 'prices.closed = ["2023-09-01"]' in gaps.remedy
    loaded = read_prices(file, calendar=STORM)
    assert at("2023-09-01 01:30") not in loaded.prices.open_at
    assert loaded.counts["on_closed_days"] == 1
    assert loaded.counts["absent_bars"] == 0
    assert calendar_gaps(loaded.prices).verdict == "clean"
    assert calendar_gaps(loaded.prices).remedy == ""


def test_a_session_that_no_symbol_has_names_the_setting():
    close = pd.DataFrame({"A": [1.0, 2.0]}, index=pd.to_datetime(["2023-08-31", "2023-09-04"]))
    gaps = calendar_gaps(Prices.from_frames(open=close, high=close, low=close, close=close, calendar="XHKG"))
    assert 'prices.closed = ["2023-09-01"]' in gaps.remedy


def test_an_index_without_volumes_is_not_taken_for_shut():
    days = sessions("XHKG", pd.Timestamp("2023-08-01"), pd.Timestamp("2023-09-29")).index
    close = pd.DataFrame({"HSI": np.arange(1.0, len(days) + 1)}, index=days)
    prices = Prices.from_frames(open=close, high=close, low=close, close=close, volume=close * 0, calendar="XHKG")
    assert calendar_gaps(prices).verdict == "clean"


def test_a_day_that_is_closed_and_extra_keeps_other_hours():
    half = amended("XHKG", closed=["2023-09-08"], extra_sessions=["2023-09-08 14:00-16:00"])
    row = sessions(half, pd.Timestamp("2023-09-08"), pd.Timestamp("2023-09-08")).iloc[0]
    assert (row["open_at"], row["close_at"]) == (at("2023-09-08 06:00"), at("2023-09-08 08:00"))
    assert not closed_bars(half, pd.DatetimeIndex(["2023-09-08"]), daily=True).any()
    later = label_sessions(pd.DatetimeIndex(["2023-09-08"]), half, where="x")[0]
    assert later[0] == row["open_at"]
    # There is no lunch break in the hours that were given.
    begins = reopenings(half, pd.Timestamp("2023-09-07"), pd.Timestamp("2023-09-08"))
    assert begins.strftime("%H:%M").tolist() == ["01:30", "05:00", "06:00"]


def test_the_bar_before_the_first_is_the_extra_session():
    opens, closes = pd.DatetimeIndex([at("2023-11-13 03:45")]), pd.DatetimeIndex([at("2023-11-13 10:00")])
    decided = opens - pd.Timedelta(minutes=5)
    assert decided_before(opens, closes, decided, "XBOM") == at("2023-11-10 03:40")
    assert decided_before(opens, closes, decided, MUMBAI) == at("2023-11-12 12:40")


def hourly(*opens: str) -> pd.DataFrame:
    quote = {"symbol": "A", "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1}
    return pd.DataFrame([{"open_at": f"{text}:00+00:00", **quote} for text in opens])


def test_shorter_bars_follow_the_amendments_too(tmp_path):
    hourly("2023-11-10 08:45", "2023-11-12 12:45", "2023-11-13 03:45").to_csv(tmp_path / "in.csv", index=False)
    with pytest.raises(DataError, match=r"is no 1h bar of calendar 'XBOM'.*prices.extra_sessions = \[\"2023-11-12"):
        Prices.read(tmp_path / "in.csv", calendar="XBOM", bar="1h")
    assert Prices.read(tmp_path / "in.csv", calendar=MUMBAI, bar="1h").close_at[1] == at("2023-11-12 13:45")
    hourly("2023-08-31 06:00", "2023-09-01 01:30", "2023-09-01 07:30", "2023-09-04 01:30").to_csv(
        tmp_path / "hk.csv", index=False
    )
    loaded = read_prices(tmp_path / "hk.csv", calendar=STORM, bar="1h")
    assert loaded.counts["on_closed_days"] == 2
    assert len(loaded.prices.open_at) == 2


def test_dates_that_are_a_day_off_are_not_taken_for_extra_sessions():
    days = sessions("XNYS", pd.Timestamp("2024-01-01"), pd.Timestamp("2024-03-29")).index
    with pytest.raises(DataError, match=r"Sessions beside them have no bar.*perhaps the dates are a day off") as found:
        label_sessions(pd.DatetimeIndex(days) + pd.Timedelta(days=1), "XNYS", where="bars.csv")
    assert "extra_sessions" not in str(found.value)


def test_a_store_keeps_and_reads_them(cases, tmp_path):
    store, clock = Store.create(tmp_path / "store"), lambda: at("2024-02-01")
    for name, calendar in (("bse", MUMBAI), ("hk", "XHKG")):
        import_bars(cases / "calendars" / f"{name}.csv", store, venue=name, calendar=calendar, clock=clock)
    world = store.as_of(at("2024-03-01"))
    with pytest.raises(DataError, match=r"opens outside its sessions.*prices.extra_sessions = \[\"2023-11-12"):
        world.prices(venue="bse", bar="1d", calendar="XBOM")
    assert len(world.prices(venue="bse", bar="1d", calendar=MUMBAI).prices.open_at) == 3
    storm = world.prices(venue="hk", bar="1d", calendar=STORM)
    assert len(storm.prices.open_at) == 4
    assert storm.counts["on_closed_days"] == 1
    assert storm.counts["absent_bars"] == 0
    (frame,) = stream_bars(cases / "calendars" / "hk.csv", venue="mine", calendar=STORM)
    assert len(frame) == 4
