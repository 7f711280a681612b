"""Dates and times of day that stand in two columns, and the serial numbers of spreadsheets with a decimal comma."""

from __future__ import annotations

import datetime
import gzip
import zipfile
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import pytest

from embargo.data_loaders.archive import Dialect, read_news, read_prices, stream_news
from embargo.data_loaders.archive.files import told_workbooks, workbooks_in
from embargo.data_loaders.archive.time_forms import time_form
from embargo.data_loaders.archive.times import instants_of
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.store import Store, import_bars, import_news

BERLIN = "Europe/Berlin"
PARTS = ["Datum", "Uhrzeit"]
FORM = "%d.%m.%Y %H:%M"
HEAD = "Datum;Uhrzeit;symbol;text\n"
SEMICOLONS = Dialect(delimiter=";")


def put(folder: Path, *lines: str, head: str = HEAD) -> Path:
    (folder / "news.csv").write_text(head + "".join(f"{line}\n" for line in lines))
    return folder / "news.csv"


def test_date_and_time_of_day_are_read_as_one_time(tmp_path: Path) -> None:
    path = put(tmp_path, "02.01.2024;09:30;SAP;Profit rises", "03.07.2024;9:05;SAP;Profit falls", ";;SAP;Undated")
    loaded = read_news(path, time_from=PARTS, time_format=FORM, timezone=BERLIN, dialect=SEMICOLONS)
    told = [f"{at:%Y-%m-%d %H:%M}" for at in loaded.frame["known_at"]]
    assert told == ["2024-01-02 08:30", "2024-07-03 07:05"], "in UTC, winter and summer"
    assert loaded.counts["undated"] == 1
    with pytest.raises(DataError, match=r"columns 'Datum' and 'Uhrzeit', row 1: the time '02.01.2024 09:30' has no"):
        read_news(path, time_from=PARTS, time_format=FORM, dialect=SEMICOLONS)
    # Of no form it is told which one to name.
    with pytest.raises(DataError, match=r"Name the form with time_format: '%d.%m.%Y %H:%M'"):
        read_news(path, time_from=PARTS, timezone=BERLIN, dialect=SEMICOLONS)


def test_an_offset_may_stand_in_a_column_of_its_own(tmp_path: Path) -> None:
    path = put(tmp_path, "2024-01-02;09:30:00;+0100;SAP;Profit rises", head="day;clock;offset;symbol;text\n")
    asked = {"time_from": ["day", "clock", "offset"], "time_format": "%Y-%m-%d %H:%M:%S %z"}
    loaded = read_news(path, dialect=SEMICOLONS, **asked)
    assert loaded.frame["known_at"].tolist() == [pd.Timestamp("2024-01-02 08:30", tz="UTC")]


def test_a_date_without_its_time_of_day_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, "02.01.2024;09:30;SAP;Profit rises", "03.01.2024;;SAP;Profit falls", "04.01.2024;;SAP;More")
    with pytest.raises(
        DataError, match=r"column 'Uhrzeit', row 2: nothing stands beside '03.01.2024' \(2 such rows here\)"
    ):
        read_news(path, time_from=PARTS, time_format=FORM, timezone=BERLIN, dialect=SEMICOLONS)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"time_from": ["Datum"]}, "Name the columns of both"),
        ({"time_from": ["Datum", "Datum"]}, "names no date and time of day"),
        ({"time_from": PARTS, "columns": {"published_at": "Datum"}}, "both say where times stand"),
        ({"time_from": PARTS, "timezone": "unix:s"}, "is for numbers"),
    ],
)
def test_what_contradicts_it_is_refused(tmp_path: Path, settings: dict[str, object], told: str) -> None:
    path = put(tmp_path, "02.01.2024;09:30;SAP;Profit rises")
    with pytest.raises(ConfigError, match=told):
        read_news(path, dialect=SEMICOLONS, **settings)  # type: ignore[arg-type]


def test_stored_dates_and_times_of_day_are_joined(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {
            "day": [datetime.date(2024, 1, 2), datetime.date(2024, 1, 3)],
            "stamp": pd.to_datetime(["2024-01-02", "2024-01-03"]),
            "clock": [datetime.time(9, 30), datetime.time(16, 0, 5)],
            "symbol": "SAP",
            "text": ["Profit rises", "Profit falls"],
        }
    )
    rows.to_parquet(tmp_path / "news.parquet", index=False)
    for date in ("day", "stamp"):
        loaded = read_news(tmp_path / "news.parquet", time_from=[date, "clock"], timezone="UTC")
        assert [f"{at:%d %H:%M:%S}" for at in loaded.frame["known_at"]] == ["02 09:30:00", "03 16:00:05"]


def hours(folder: Path) -> Path:
    opens = pd.date_range("2024-01-02 09:30", periods=6, freq="h", tz="America/New_York")
    rows = pd.DataFrame({"symbol": "AAPL", "day": opens.strftime("%m/%d/%Y"), "clock": opens.strftime("%H:%M")})
    rows.assign(open=10.0, high=11.0, low=9.0, close=10.5, volume=100).to_csv(folder / "bars.csv", index=False)
    return folder / "bars.csv"


def test_bars_shorter_than_a_day_are_dated_by_both(tmp_path: Path) -> None:
    path = hours(tmp_path)
    asked = {"time_from": ["day", "clock"], "time_format": "%m/%d/%Y %H:%M", "timezone": "America/New_York"}
    read = read_prices(path, calendar="XNYS", bar="1h", **asked)  # type: ignore[arg-type]
    assert read.prices.open_at[0] == pd.Timestamp("2024-01-02 14:30", tz="UTC")
    assert len(read.prices.open_at) == 6
    with pytest.raises(ConfigError, match=r"time_from is for bars shorter than a day.*columns = \{ date = 'day' \}"):
        read_prices(path, calendar="XNYS", **asked)  # type: ignore[arg-type]


def test_an_import_joins_them_too_and_knows_what_it_had_before(tmp_path: Path) -> None:
    def clock() -> pd.Timestamp:
        return pd.Timestamp("2024-02-01", tz="UTC")

    store = Store.create(tmp_path / "store")
    path = put(tmp_path, "02.01.2024;09:30;SAP;Profit rises")
    asked = {"source_name": "wire", "clock": clock, "timezone": BERLIN, "dialect": SEMICOLONS}
    for imported, skipped in ((1, 0), (0, 1)):
        report = import_news(path, store, time_from=PARTS, time_format=FORM, **asked)  # type: ignore[arg-type]
        assert (report.counts.get("imported", 0), report.skipped_batches) == (imported, skipped)
    bars = import_bars(
        hours(tmp_path),
        store,
        venue="mine",
        calendar="XNYS",
        clock=clock,
        bar="1h",
        time_from=["day", "clock"],
        time_format="%m/%d/%Y %H:%M",
        timezone="America/New_York",
    )
    assert bars.counts["imported"] == 6


def test_serial_numbers_may_have_a_decimal_comma() -> None:
    form = time_form("excel")
    values = pd.Series(["45293,395833333336", "45293.395833333336"], dtype="str")
    read = instants_of(values, "America/New_York", {}, where="x", form=form)
    assert read.tolist() == [pd.Timestamp("2024-01-02 14:30", tz="UTC")] * 2
    assert form.without_clock(pd.Series(["45293", "45293,0", "45293,5"])).tolist() == [True, True, False]
    # As a group of thousands it would be a day of February 1900.
    with pytest.raises(DataError, match="'45,293' does not fit"):
        instants_of(pd.Series(["45,293"], dtype="str"), "UTC", {}, where="x", form=form, bare_dates=True)


@pytest.mark.parametrize("name", ["book.xlsx", "book.XLS", "book.ods"])
def test_a_workbook_is_refused_with_the_way_out(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"a workbook is not read\. Save its sheet as CSV"):
        read_news(tmp_path / name)


@pytest.mark.parametrize("archive", ["folder", "packed.zip"])
def test_workbooks_alone_are_refused_with_the_remedy(tmp_path: Path, archive: str) -> None:
    at = tmp_path / archive
    with zipfile.ZipFile(at, "w") if archive.endswith(".zip") else nullcontext() as packed:
        for name in ("2020.xlsb", "~$2020.xlsx", "notes.txt"):
            if packed is None:
                at.mkdir(exist_ok=True)
                (at / name).write_bytes(b"PK\x03\x04")
            else:
                packed.writestr(name, b"PK\x03\x04")
    with pytest.raises(DataError, match=r"2020\.xlsb: a workbook is not read\. Save its sheet"):
        read_news(at)


@pytest.mark.parametrize(
    ("begins", "told"),
    [
        (b"PK\x03\x04\xff", "It begins like a workbook or a zip. Save a workbook's sheet as CSV"),
        (bytes.fromhex("d0cf11e0a1b11ae1"), "It begins like a workbook. Save its sheet as CSV"),
        (b"PAR1\xff", "It begins like parquet. Give it its own ending"),
        (gzip.compress(b"time,text", mtime=0), "It begins like a gzip. Give it its own ending"),
    ],
)
def test_a_file_that_is_no_text_is_not_asked_for_its_encoding(tmp_path: Path, begins: bytes, told: str) -> None:
    (tmp_path / "news.csv").write_bytes(begins + bytes(range(256)) * 4)
    with pytest.raises(DataError, match=told) as refused:
        read_news(tmp_path / "news.csv")
    assert "encoding = " not in str(refused.value)


def test_workbooks_beside_tables_are_counted_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "news"
    (folder / "old").mkdir(parents=True)
    row = {"published_at": "2020-01-02T15:00:00+00:00", "symbol": "A", "text": "A beats estimates"}
    pd.DataFrame([row]).to_csv(folder / "a.csv", index=False)
    assert "workbooks_passed_over" not in read_news(folder).counts
    for name in ("b.XLSX", "old/c.ods", "~$b.xlsx", ".d.xlsx", "notes.txt"):
        (folder / name).write_bytes(b"PK")
    assert workbooks_in(folder) == ["b.XLSX", "old/c.ods"]
    assert read_news(folder).counts["workbooks_passed_over"] == 2
    packed = tmp_path / "news.zip"
    with zipfile.ZipFile(packed, "w") as file:
        file.write(folder / "a.csv", "a.csv")
        file.write(folder / "b.XLSX", "b.xlsx")
    assert workbooks_in(packed) == ["b.xlsx"]
    assert workbooks_in(folder / "a.csv") == []
    stream = stream_news(packed)
    assert [len(frame) for frame in stream] == [1]
    assert stream.counts["workbooks_passed_over"] == 1
    assert told_workbooks(["b.xlsx"]) == "1 workbook beside the tables is not read: b.xlsx."
    assert told_workbooks(list("abcd")) == "4 workbooks beside the tables are not read: a, b, c and 1 more."
