"""Whole calendars of exchanges: what pandas 3.1 took from them is back, and what was made once is kept."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd
import pytest

from embargo.data_loaders import recorded_sessions as recorded
from embargo.data_loaders.calendars import (
    ROUND_THE_CLOCK,
    label_sessions,
    recorded_span,
    remedy_for_instants,
    sessions,
)
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.recorded_sessions import keep_in, recorded_sessions
from embargo.data_loaders.store import Store
from embargo.data_loaders.yahoo.bars import _EXCHANGES

CODES = sorted(set(_EXCHANGES.values()) - {ROUND_THE_CLOCK})


def days(code: str, start: str, end: str) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(sessions(code, pd.Timestamp(start), pd.Timestamp(end)).index)


@pytest.fixture
def kept(tmp_path):
    before = list(recorded._places)
    keep_in(tmp_path)
    recorded_sessions.cache_clear()
    yield tmp_path
    keep_in(before[0] if before else None)
    recorded_sessions.cache_clear()


@pytest.mark.parametrize(
    ("code", "start", "end", "weekend", "number"),
    [
        ("XBOM", "2024-01-01", "2025-12-31", ["2024-01-20", "2025-02-01"], None),
        ("XTAE", "2025-12-28", "2026-01-11", ["2025-12-28", "2026-01-04"], 11),
        ("XMOS", "2012-03-05", "2012-03-12", ["2012-03-11"], None),
        ("XKRX", "1998-11-30", "1998-12-13", ["1998-12-05"], None),
    ],
)
def test_weeks_that_differ_are_there(code, start, end, weekend, number):
    found = days(code, start, end)
    assert found[found.day_of_week >= 5].strftime("%Y-%m-%d").tolist() == weekend
    if number is not None:
        assert len(found) == number


@pytest.mark.parametrize(
    ("code", "holiday"),
    [
        ("ASEX", "2024-05-03"),  # Orthodox Good Friday
        ("XBSE", "2024-05-06"),  # Orthodox Easter Monday
        ("XTAE", "2023-09-25"),  # Yom Kippur
        ("XTAE", "2026-04-02"),  # Passover
    ],
)
def test_holidays_by_other_reckonings_are_no_sessions(code, holiday):
    day = pd.Timestamp(holiday)
    found = days(code, str(day - pd.Timedelta(days=10)), str(day + pd.Timedelta(days=10)))
    assert day not in found
    assert len(found) > 5


@pytest.mark.slow
@pytest.mark.parametrize("code", CODES)
def test_every_year_of_every_calendar_that_yahoo_lists(code):
    first, last = recorded_span(code)
    for year in range(max(first.year, 1970), last.year + 1):
        table = sessions(code, pd.Timestamp(year, 1, 1), pd.Timestamp(year, 12, 31))
        assert 180 < len(table) < 310 or year in (first.year, last.year), (code, year)
        assert (table["close_at"] > table["open_at"]).all()
        assert (table["open_at"].to_numpy()[1:] >= table["close_at"].to_numpy()[:-1]).all()


@pytest.mark.parametrize("code", ["XSHG", "XBOM", "XSES"])
def test_the_last_and_the_first_year_are_read_and_beyond_them_a_word_is_said(code):
    first, last = recorded_span(code)
    assert last == pd.Timestamp("2026-12-31")
    assert len(days(code, "2026-12-01", "2027-01-31")) > 15
    assert len(days(code, str(first - pd.Timedelta(days=9)), str(first + pd.Timedelta(days=30)))) > 10
    with pytest.raises(DataError, match=f"{code} is recorded from {first.date()} to 2026-12-31"):
        sessions(code, pd.Timestamp("2027-01-01"), pd.Timestamp("2027-02-01"))
    with pytest.raises(DataError, match=f"1 day is no session of {code}.*is recorded from .* to 2026-12-31: leave"):
        label_sessions(pd.to_datetime(["2026-12-30", "2027-01-04"]), code, where="bars.csv")


def test_shanghai_in_2026(cases):
    from embargo.data_loaders import Prices

    prices = Prices.read(cases / "calendars" / "shanghai_2026.csv", calendar="XSHG")
    assert [str(at) for at in prices.open_at] == [f"2026-01-0{day} 01:30:00+00:00" for day in (5, 6, 7)]


@pytest.mark.parametrize("code", ["XNYS", "XHKG", "XBOM"])
def test_what_was_made_is_kept_and_read_again(kept, code, monkeypatch):
    made = recorded_sessions(code)
    (file,) = kept.rglob("*.parquet")
    assert not list(kept.rglob(".*"))
    monkeypatch.setattr(recorded, "_made", None)
    recorded_sessions.cache_clear()
    again = recorded_sessions(code)
    assert again.table.equals(made.table)
    assert (again.zone, again.first, again.last) == (made.zone, made.first, made.last)
    assert file.stat().st_size < 2_000_000


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        ("2019-11-14", "01:00", "07:30"),  # an exam that the library knows
        ("2021-11-17", "00:00", "06:30"),
        ("2021-11-18", "01:00", "07:30"),
        ("2022-11-17", "01:00", "07:30"),
        ("2023-11-16", "01:00", "07:30"),
        ("2024-11-14", "01:00", "07:30"),
        ("2025-11-13", "01:00", "07:30"),
        ("2026-11-19", "01:00", "07:30"),
        ("2026-11-20", "00:00", "06:30"),
        ("2024-01-02", "01:00", "06:30"),  # first of the year: opens later, closes as ever
    ],
)
def test_seoul_opens_and_closes_an_hour_later_on_the_day_of_the_exam(day, opens, closes):
    open_at, close_at = label_sessions(pd.DatetimeIndex([day]), "XKRX", where="bars.csv")
    assert open_at.tolist() == [pd.Timestamp(f"{day} {opens}Z")]
    assert close_at.tolist() == [pd.Timestamp(f"{day} {closes}Z")]


def test_bars_stamped_before_the_hours_were_put_right_are_told_how_to_be_read(tmp_path):
    at = pd.to_datetime([f"2023-11-{day} 00:00Z" for day in (15, 16, 17)])
    bars = pd.DataFrame(
        {"open_at": at, "close_at": at + pd.Timedelta("6.5h"), "venue": "mine", "symbol": "A", "bar": "1d"}
    )
    bars = bars.assign(**dict.fromkeys(("open", "high", "low", "close"), 5.0), volume=1.0)
    store = Store.create(tmp_path)
    store.append("bars", bars, source="mine", committed_at=pd.Timestamp("2024-01-01", tz="UTC"))
    known = store.as_of(pd.Timestamp("2024-01-02", tz="UTC"))
    with pytest.raises(DataError, match="XKRX traded 10:00-16:30 on 2023-11-16") as refused:
        known.prices(venue="mine", bar="1d", calendar="XKRX")
    as_they_are = re.search('read as they are with "(.*)"', str(refused.value))[1]
    assert known.prices(venue="mine", bar="1d", calendar=as_they_are).prices.open_at.tolist() == at.tolist()
    assert remedy_for_instants(at[:1] - pd.Timedelta("1h"), "XKRX", at) == ""


def test_hours_are_put_right_only_where_the_library_does_not_know_them():
    said = recorded._said_by_library("XKRX")
    right = recorded.with_other_hours(said)
    moved = right.ne(said.table) & (right.notna() | said.table.notna())
    lacking = sorted(day for each in recorded.OTHER_HOURS["XKRX"] for day in each.days)
    assert moved.index[moved.any(axis=1)].strftime("%Y-%m-%d").tolist() == lacking, (
        f"{recorded.LIBRARY} {recorded.version(recorded.LIBRARY)} knows hours that OTHER_HOURS puts right: take these "
        "days out of it"
    )
    known = replace(said, table=right)
    assert recorded.with_other_hours(known).equals(right)
    early = said.table.copy()
    early.loc["2023-11-16", "open_at"] = pd.Timestamp("2023-11-16 00:30Z")
    assert recorded.with_other_hours(replace(said, table=early)).loc["2023-11-16"].equals(early.loc["2023-11-16"])
    without = said.table.drop(pd.Timestamp("2023-11-16"))
    assert pd.Timestamp("2023-11-16") not in recorded.with_other_hours(replace(said, table=without)).index


def test_a_calendar_kept_before_its_hours_were_put_right_is_made_again(kept, monkeypatch):
    monkeypatch.setattr(recorded, "OTHER_HOURS", {})
    assert recorded_sessions("XKRX").table.loc["2023-11-16", "open_at"] == pd.Timestamp("2023-11-16 00:00Z")
    monkeypatch.undo()
    recorded_sessions.cache_clear()
    assert recorded_sessions("XKRX").table.loc["2023-11-16", "open_at"] == pd.Timestamp("2023-11-16 01:00Z")
    assert len(list(kept.rglob("XKRX.parquet"))) == 2


@pytest.mark.parametrize("damage", ["torn", "flipped", "empty", "another", "folder"])
def test_a_kept_calendar_that_cannot_be_read_is_made_again(kept, damage):
    made = recorded_sessions("XSES")
    (file,) = kept.rglob("XSES.parquet")
    whole = file.read_bytes()
    if damage == "another":
        recorded_sessions("XBOM")
        file.write_bytes(file.with_name("XBOM.parquet").read_bytes())
    elif damage == "folder":
        file.unlink()
        file.mkdir()
    else:
        middle = len(whole) // 3
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        file.write_bytes({"torn": whole[:middle], "flipped": flipped, "empty": b""}[damage])
    recorded_sessions.cache_clear()
    assert recorded_sessions("XSES").table.equals(made.table)
    if damage != "folder":
        assert file.read_bytes() == whole


def test_where_nothing_can_be_kept_nothing_is_lost(tmp_path, kept):
    (tmp_path / "file").write_text("")
    keep_in(tmp_path / "file")
    assert len(recorded_sessions("XSES").table) > 10_000


def test_a_calendar_that_the_library_cannot_make_is_one_line(monkeypatch, kept):
    from exchange_calendars.exchange_calendar_xses import XSESExchangeCalendar

    def fail(self, *args, **kwargs):
        raise ValueError("special dates are not sessions\nand so on")

    monkeypatch.setattr(XSESExchangeCalendar, "__init__", fail)
    with pytest.raises(
        ConfigError, match=r"'XSES' cannot be made by exchange_calendars .* \(ValueError: special dates"
    ):
        recorded_sessions("XSES")
    assert not list(kept.rglob("*.parquet"))
