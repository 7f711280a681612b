"""Delimiters, encodings, missing headers and forms of time: read as they are named, never guessed, refused by name."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pandas as pd
import pytest

from embargo.data_loaders.archive import Dialect, read_label_set, read_news, read_prices
from embargo.data_loaders.archive.time_forms import form_hint, time_form
from embargo.data_loaders.archive.times import bare_dates_of, instants_of, session_labels_of
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.store import Store, import_bars, import_news

COLUMNS = {"article_id": "id", "published_at": "time", "text": "headline", "symbol": "ticker"}
HEAD = "id,time,ticker,headline\n"
TEXT = HEAD + "1,2024-01-02T10:00:00Z,AAPL,Café chain’s profit\n2,2024-01-03T10:00:00Z,MSFT,Über profit\n"
SYMBOLS = ["AAPL", "MSFT"]


def packed(path: Path, content: bytes) -> Path:
    match path.suffix:
        case ".gz":
            path.write_bytes(gzip.compress(content))
        case ".xz":
            path.write_bytes(lzma.compress(content))
        case ".zip":
            with ZipFile(path, "w") as file:
                file.writestr("n.csv", content)
        case _:
            path.write_bytes(content)
    return path


def semicolons(text: str) -> str:
    return text.replace(",", ";")


@pytest.mark.parametrize("name", ["n.csv", "n.csv.gz", "n.csv.xz", "n.zip"])
@pytest.mark.parametrize(
    ("encoding", "write", "dialect"),
    [
        ("cp1252", str, {"encoding": "cp1252"}),
        ("utf-16", str, {"encoding": "utf-16"}),
        ("utf-16-be", lambda text: "\ufeff" + text, {"encoding": "utf-16-be"}),
        ("utf-8", semicolons, {"delimiter": ";"}),
        ("utf-8-sig", str, {"encoding": "utf-8-sig"}),
        ("cp1252", lambda text: semicolons(text.partition("\n")[2]), {"delimiter": ";", "encoding": "cp1252"}),
    ],
    ids=["cp1252", "utf-16", "utf-16-be", "semicolons", "utf-8-sig", "no header"],
)
def test_csv_is_read_as_it_is_said_to_be_written(
    tmp_path: Path, name: str, encoding: str, write: Callable[[str], str], dialect: dict[str, Any]
) -> None:
    path = packed(tmp_path / name, write(TEXT).encode(encoding))
    columns = COLUMNS
    if len(dialect) == 2:
        dialect = dialect | {"header": False}
        columns = {"article_id": "1", "published_at": "2", "symbol": "3", "text": "4"}
    loaded = read_news(path, columns=columns, dialect=Dialect(**dialect))
    assert loaded.frame["symbol"].tolist() == SYMBOLS
    assert loaded.frame["text"].tolist() == ["Café chain’s profit", "Über profit"]


def test_json_has_an_encoding_and_every_part_of_a_folder_the_same(tmp_path: Path) -> None:
    for number in range(2):
        line = (
            f'{{"id": {number}, "time": "2024-01-0{number + 2}T10:00:00Z", "ticker": "A", "headline": "é{number}"}}\n'
        )
        (tmp_path / f"{number}.jsonl").write_text(line, encoding="utf-16")
    loaded = read_news(tmp_path, columns=COLUMNS, dialect=Dialect(encoding="utf-16"))
    assert loaded.frame["text"].tolist() == ["é0", "é1"]


def test_tabs_need_no_word_in_tsv(tmp_path: Path) -> None:
    (tmp_path / "n.tsv").write_text(TEXT.replace(",", "\t"), encoding="utf-8")
    assert read_news(tmp_path / "n.tsv", columns=COLUMNS).frame["symbol"].tolist() == SYMBOLS


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (TEXT.encode("cp1252"), r"n\.csv, line 2: no UTF-8 text .*encoding = 'cp1252'"),
        (TEXT.encode("utf-16"), r"n\.csv, line 1: no UTF-8 text .*set encoding = 'utf-16'"),
        (TEXT.replace("headline", "Schlagzeile ü").encode("cp1252"), r"n\.csv, line 1: no UTF-8 text .*cp1252"),
        (semicolons(TEXT).encode(), r"Its one column holds ';': set delimiter = ';'"),
        (TEXT.partition("\n")[2].encode(), r"no column for published_at.*It has \['1', '2024-01-02T10:00:00Z'"),
        (b"", "unreadable as csv .*Empty CSV file"),
        (HEAD.encode(), "the archive has columns and no rows"),
    ],
    ids=["cp1252", "utf-16", "cp1252 header", "semicolons", "no header", "empty", "header only"],
)
def test_what_was_not_said_is_asked_for_by_name(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "n.csv").write_bytes(content)
    columns = {} if complaint.startswith("no column") else COLUMNS
    with pytest.raises(DataError, match=complaint):
        read_news(tmp_path / "n.csv", columns=columns)


def test_a_wrong_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_bytes(TEXT.encode() + b"3,2024-01-03T10:00:00Z,A,x\x81\n")
    with pytest.raises(DataError, match=r"line 4: no cp1252 text .*name another encoding"):
        read_news(tmp_path / "n.csv", columns=COLUMNS, dialect=Dialect(encoding="cp1252"))


@pytest.mark.parametrize(
    "settings",
    [
        {"delimiter": ""},
        {"delimiter": ";;"},
        {"delimiter": '"'},
        {"delimiter": "\n"},
        {"delimiter": "§"},
        {"encoding": "klingon"},
        {"encoding": "base64"},
        {"encoding": "rot13"},
        {"encoding": "idna"},
        {"encoding": "a\0b"},
    ],
)
def test_dialects_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        Dialect(**settings)


def test_dialects_are_refused_where_they_do_not_belong(tmp_path: Path) -> None:
    pd.DataFrame({"id": ["1"]}).to_parquet(tmp_path / "n.parquet")
    with pytest.raises(ConfigError, match="delimiter and encoding is for CSV files, and this is parquet"):
        read_news(tmp_path / "n.parquet", dialect=Dialect(delimiter=";", encoding="cp1252"))


@pytest.mark.parametrize(
    ("form", "stamp", "zone", "instant"),
    [
        ("%m/%d/%Y %H:%M", "1/5/2015 9:50", "America/New_York", "2015-01-05 14:50Z"),
        ("%d/%m/%Y %H:%M", "1/5/2015 9:50", "America/New_York", "2015-05-01 13:50Z"),
        ("%Y-%m-%d %H:%M:%S", "2024-01-02 9:05:00", "UTC", "2024-01-02 09:05Z"),
        ("%Y%m%d%H%M%S", "20240102100000", "UTC", "2024-01-02 10:00Z"),
        ("%Y%m%d%H%M%S", 20240102100000, "UTC", "2024-01-02 10:00Z"),
        ("%a, %d %b %Y %H:%M:%S %z", "Tue, 02 Jan 2024 10:00:00 -0500", None, "2024-01-02 15:00Z"),
        ("%a, %d %b %Y %H:%M:%S GMT", "Tue, 02 Jan 2024 10:00:00 GMT", "UTC", "2024-01-02 10:00Z"),
        ("%I:%M  %p ET %a, %d %B %Y", "7:51 PM ET Fri, 17 July 2020", "America/New_York", "2020-07-17 23:51Z"),
        ("%Y-%m-%dT%H:%M:%S.%f%z", "2024-01-02T10:00:00.123456Z", None, "2024-01-02 10:00:00.123456Z"),
        # What LibreOffice Calc and Excel show of 2024-01-02 09:30 as a number; and of the same moment in a Mac's book.
        ("excel", "45293.395833333336", "America/New_York", "2024-01-02 14:30Z"),
        ("excel1904", "43831.395833333336", "America/New_York", "2024-01-02 14:30Z"),
    ],
)
def test_times_are_read_in_the_form_that_is_named(form: str, stamp: Any, zone: str | None, instant: str) -> None:
    values = pd.Series([stamp, None], dtype="Int64" if isinstance(stamp, int) else "str")
    read = instants_of(values, zone, {}, where="x", form=time_form(form))
    assert read.iloc[0] == pd.Timestamp(instant)
    assert pd.isna(read.iloc[1])


@pytest.mark.parametrize(
    ("form", "stamp", "complaint"),
    [
        ("%m/%d/%Y", "13/05/2015", "'13/05/2015' does not fit"),
        ("%m/%d/%Y", "1/5/2015 9:50", "does not fit"),
        ("%Y%m%d%H%M%S", "2024010210000", "does not fit"),
        ("%Y%m%d", "2024112", "does not fit"),
        ("%Y", None, "tells no year, month and day"),
        ("%Y-%m-%d", "now", "'now' does not fit"),
        ("%d.%m.%Y %H:%M", "31.02.2024 10:00", "does not fit"),
        # A day that never was, and what is no count of days.
        ("excel", "60", "'60' does not fit"),
        ("excel", "20240102", "does not fit"),
    ],
)
def test_rows_that_do_not_fit_are_named(form: str, stamp: str | None, complaint: str) -> None:
    with pytest.raises((DataError, ConfigError), match=complaint):
        instants_of(pd.Series([stamp], index=[7]), "UTC", {}, where="x", form=time_form(form), bare_dates=True)


@pytest.mark.parametrize("form", ["", "%Q", "%Y-%m", "%Y-%m-%d %M", "%d/%m/%Y %d", "%m/%d/%Y %I:%M", "%c", "%s", "%"])
def test_forms_that_tell_no_date_are_refused(form: str) -> None:
    with pytest.raises(ConfigError, match="time_format"):
        time_form(form)


def test_zone_letters_are_answered_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match="Write the letters themselves in its place"):
        time_form("%m/%d/%Y %H:%M %Z")


@pytest.mark.parametrize(
    ("stamp", "advice"),
    [
        ("03/04/2024 10:05", "'%m/%d/%Y %H:%M' or '%d/%m/%Y %H:%M', whichever its source means"),
        ("1/5/2015 9:50:00 PM", "'%m/%d/%Y %I:%M:%S %p' or '%d/%m/%Y %I:%M:%S %p'"),
        ("31.12.2014", "'%d.%m.%Y'"),
        ("20240102100000", "'%Y%m%d%H%M%S'"),
        ("Tue, 02 Jan 2024 10:00:00 +0000", "'%a, %d %b %Y %H:%M:%S %z'"),
        ("May 26, 2020 7:35 AM", "'%b %d, %Y %I:%M %p'"),
        ("18-Jul-20", "'%d-%b-%y'"),
        ("Jul 18 2020", "'%b %d %Y'"),
        ("Jan 2, 2024 at 9:05 AM", "'%b %d, %Y at %I:%M %p'"),
        ("Wed Jan 01 03:59:03 +0000 2014", "'%a %b %d %H:%M:%S %z %Y'"),
        ("2024-01-02 10:00:00 EST", "'%Y-%m-%d %H:%M:%S EST'"),
        ("yesterday", "such as"),
        ("03/04/2024 around ten", "such as"),
    ],
)
def test_a_stamp_of_another_form_is_answered_with_forms_not_with_date_only(stamp: str, advice: str) -> None:
    assert advice in form_hint(stamp)
    for bare in (False, True):
        with pytest.raises(DataError, match="Name the form with time_format") as caught:
            instants_of(pd.Series([stamp]), "UTC", {}, where="x", bare_dates=bare)
        assert "date_only" not in str(caught.value)


@pytest.mark.parametrize("stamp", ["now", "today", "2024", "2024-01", "NaT"])
def test_words_and_parts_of_dates_are_no_dates(stamp: str) -> None:
    # pandas reads the first two as the present instant, and a month as its first day, long before it is over.
    with pytest.raises(DataError, match="row 0"):
        instants_of(pd.Series([stamp]), "UTC", {}, where="x", bare_dates=True)


def test_a_bare_date_of_iso_is_still_answered_with_date_only() -> None:
    with pytest.raises(DataError, match=r"'2024-01-02' is a date without a time of day. Set date_only = 'all'"):
        instants_of(pd.Series(["2024-01-02"]), "UTC", {}, where="x")
    assert instants_of(pd.Series(["2024-01-02 9:05:00", " "]), "UTC", {}, where="x").notna().tolist() == [True, False]


@pytest.mark.parametrize("zone", [" UTC", "UTC", " gmt", "Z", "+00:00"])
def test_letters_for_utc_are_its_offset(zone: str) -> None:
    read = instants_of(pd.Series([f"2023-12-16 23:00:00{zone}"]), "America/New_York", {}, where="x")
    assert read[0] == pd.Timestamp("2023-12-16 23:00Z")


@pytest.mark.parametrize("indent", [None, 1])
def test_an_answer_of_a_service_is_not_its_rows(tmp_path: Path, indent: int | None) -> None:
    row = {"id": 1, "time": "2024-01-02T10:00:00Z", "ticker": "A", "headline": "x"}
    (tmp_path / "n.json").write_text(json.dumps({"news": [row], "next": "t"}, indent=indent))
    with pytest.raises(DataError, match=r"Its list 'news' seems to hold the rows: write that list alone"):
        read_news(tmp_path / "n.json", columns=COLUMNS)
    (tmp_path / "n.json").write_text(json.dumps([row], indent=indent))
    assert read_news(tmp_path / "n.json", columns=COLUMNS).counts["kept"] == 1


def test_dates_in_a_form_follow_date_only(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    path.write_text(HEAD + "1,31.12.2014,AAPL,x\n")
    rules: dict[str, Any] = {"columns": COLUMNS, "timezone": "Europe/Berlin", "time_format": "%d.%m.%Y"}
    with pytest.raises(DataError, match=r"'%d.%m.%Y' has no time of day. Set date_only = 'all'"):
        read_news(path, **rules)
    known = read_news(path, date_only="all", **rules).frame["known_at"].iloc[0]
    assert known == pd.Timestamp("2015-01-01", tz="Europe/Berlin")
    path.write_text("flag," + HEAD + "false,1,31.12.2014,AAPL,x\n")
    flagged = read_news(path, date_only="flag", **rules).frame["known_at"].iloc[0]
    assert flagged == known, "a date cannot be known before its day is over, whatever a flag says"


def test_forms_and_units_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    path.write_text(HEAD + "1,31.12.2014,AAPL,x\n")
    with pytest.raises(ConfigError, match="is for texts, and timezone = 'unix:s' for numbers"):
        read_news(path, columns=COLUMNS, timezone="unix:s", time_format="%d.%m.%Y")


BARS = "day;open;high;low;close;vol\n03.07.2014;93,7;1;1;1;5\n".replace(",", ".")


def test_prices_are_written_like_news(tmp_path: Path) -> None:
    path = packed(tmp_path / "p.csv.gz", BARS.replace(";1;1;1", ";94.1;93.2;94").encode("utf-16"))
    rules: dict[str, Any] = {
        "columns": {"date": "day", "volume": "vol"},
        "symbol": "AAPL",
        "time_format": "%d.%m.%Y",
        "dialect": Dialect(delimiter=";", encoding="utf-16"),
    }
    loaded = read_prices(path, calendar="XNYS", **rules)
    assert loaded.prices.close_at[0] == pd.Timestamp("2014-07-03 17:00Z")
    store = Store.create(tmp_path / "store")
    now = pd.Timestamp("2024-02-01", tz="UTC")
    assert import_bars(path, store, venue="v", calendar="XNYS", clock=lambda: now, **rules).counts["imported"] == 1
    with pytest.raises(DataError, match=r"'03.07.2014' is no ISO 8601 time .*'%d.%m.%Y'"):
        read_prices(path, calendar="XNYS", **rules | {"time_format": None})


def test_klines_without_a_header_are_named_by_their_place(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1h.csv"
    path.write_text(
        "1704067200000,42283.58,42554.57,42261.02,42475.23,1271.68\n1704070800000,42475,42775,42431,42613,1196\n"
    )
    columns = dict(zip(["open_at", "open", "high", "low", "close", "volume"], "123456", strict=True))
    bare = Dialect(header=False)
    loaded = read_prices(
        path,
        calendar="24/7",
        bar="1h",
        columns=columns,
        symbol="BTC",
        timezone="unix:ms",
        dialect=bare,
    )
    assert loaded.prices.open_at[0] == pd.Timestamp("2024-01-01 00:00Z")
    with pytest.raises(DataError, match=r"missing columns \['9'\].*named by their place"):
        read_news(path, columns={"published_at": "1", "text": "9"}, symbol="BTC", dialect=bare)


def test_days_written_in_figures_need_their_form() -> None:
    days = pd.Series([20240102, 20240103])
    assert session_labels_of(days, None, where="x", form=time_form("%Y%m%d")).iloc[1] == pd.Timestamp("2024-01-03")
    with pytest.raises(DataError, match="If its digits write a date, set time_format, such as '%Y%m%d'"):
        session_labels_of(days, None, where="x")


def test_an_import_in_another_form_is_another_import_and_an_old_one_stays_known(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    now = pd.Timestamp("2024-02-01", tz="UTC")
    path = packed(tmp_path / "n.csv", TEXT.encode("cp1252"))
    rules: dict[str, Any] = {"source_name": "wire", "columns": COLUMNS, "clock": lambda: now}
    done = import_news(path, store, dialect=Dialect(encoding="cp1252"), **rules)
    assert done.counts["imported"] == 2
    assert import_news(path, store, dialect=Dialect(encoding="cp1252"), **rules).batches == ()
    other = import_news(path, store, dialect=Dialect(encoding="latin-1"), **rules)
    assert other.batches != done.batches


def test_phrase_banks_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "all-data.csv"
    path.write_bytes('neutral,"Gran , it\xe9 has"\npositive,Profit rose\n'.encode("latin-1"))
    at = pd.Timestamp("2014-01-01", tz="UTC")
    read = read_label_set(
        path, text="2", label="1", knowledge_cutoff=at, dialect=Dialect(encoding="latin-1", header=False)
    )
    assert sorted(read.frame["label"]) == [1, 2]
    with pytest.raises(DataError, match="no UTF-8 text"):
        read_label_set(path, knowledge_cutoff=at)
    (tmp_path / "l.json").write_text('[{"text": "Profit rose", "label": "positive"}]')
    assert read_label_set(tmp_path / "l.json", knowledge_cutoff=at).frame["label"].tolist() == [2]


def test_the_shared_cases(cases: Path) -> None:
    small, eastern = cases / "small", {"timezone": "America/New_York"}
    wanted = [
        ("cp1252.csv", {"dialect": Dialect(encoding="cp1252")}, "Café chain’s profit rises", "2024-01-02 10:00Z"),
        ("utf16.csv", {"dialect": Dialect(encoding="utf-16")}, "Cafe chain profit rises", "2024-01-02 10:00Z"),
        ("semicolon.csv", {"dialect": Dialect(delimiter=";")}, "Cafe chain profit rises", "2024-01-02 10:00Z"),
        ("us_time.csv", eastern | {"time_format": "%m/%d/%Y %H:%M"}, "Cafe chain profit rises", "2024-03-04 15:05Z"),
        ("excel_time.csv", eastern, "Cafe chain profit rises", "2024-01-02 14:05Z"),
    ]
    for name, rules, text, instant in wanted:
        first = read_news(small / name, columns=COLUMNS, **rules).frame.iloc[0]  # type: ignore[arg-type]
        assert (first["text"], first["published_at"]) == (text, pd.Timestamp(instant)), name
    with pytest.raises(DataError, match=r"latin1_header\.csv, line 1: no UTF-8 text"):
        read_news(cases / "damaged" / "latin1_header.csv", columns=COLUMNS)
    with pytest.raises(DataError, match=r"metadata\.parquet"):
        read_news(cases / "damaged" / "metadata.parquet", filters={"text": "x"})
    bank = read_label_set(
        small / "fpb_kaggle.csv",
        text="2",
        label="1",
        knowledge_cutoff=pd.Timestamp("2014-01-01", tz="UTC"),
        dialect=Dialect(header=False),
    )
    assert set(bank.frame["label"]) == {0, 1, 2}


def test_a_whole_serial_is_a_date_and_no_midnight() -> None:
    serials = pd.Series([45293.5, 45294.0], index=[3, 4])
    with pytest.raises(DataError, match=r"row 4: '45294\.0' is a date without a time of day. Set date_only"):
        instants_of(serials, "UTC", {}, where="x", form=time_form("excel"))
    assert bare_dates_of(serials, "UTC", time_form("excel")).tolist() == [False, True]
    days = session_labels_of(pd.Series(["45293", "45294"]), None, where="x", form=time_form("excel"))
    assert days.tolist() == [pd.Timestamp("2024-01-02"), pd.Timestamp("2024-01-03")]


def test_days_with_offsets_are_those_of_the_zone_that_is_named() -> None:
    # Midnight in New York, in winter and in summer, as UTC writes it.
    stamps = pd.Series(["2016-01-04 05:00:00+00:00", "2016-07-05T04:00:00Z"])
    days = session_labels_of(stamps, "America/New_York", where="x")
    assert days.tolist() == [pd.Timestamp("2016-01-04"), pd.Timestamp("2016-07-05")]
    with pytest.raises(DataError, match="Name the zone in which it is midnight"):
        session_labels_of(stamps, None, where="x")
