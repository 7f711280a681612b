"""Times that a wrong unit or a slip puts into another age are refused, with the row and what would make sense."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.data_loaders.archive.epochs import EPOCHS
from embargo.data_loaders.archive.news import read_news
from embargo.data_loaders.archive.plausible import check_bar_instants, check_news_instants
from embargo.data_loaders.archive.prices import read_prices
from embargo.data_loaders.archive.times import instants_of
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.store import Store, import_news

UNITS = list(EPOCHS)
NEWS = {"article_id": "id", "published_at": "time"}


def read(values: list[int], unit: str) -> None:
    written = pd.Series(values, index=range(1, len(values) + 1))
    check_news_instants(instants_of(written, unit, {}, where="f"), written, unit, where="f")


@given(st.lists(st.integers(330_000_000, 4_000_000_000), min_size=1, max_size=6), st.sampled_from(UNITS))
def test_epoch_times_are_read_in_their_own_unit_alone(seconds: list[int], unit: str) -> None:
    values = [round(second / EPOCHS[unit]) for second in seconds]
    if max(seconds) - min(seconds) < 30 * 365 * 86_400:
        read(values, unit)
    for other in UNITS:
        if other != unit:
            with pytest.raises(DataError, match=rf"row 1: {values[0]} .*(unix|No unit)"):
                read(values, other)


@given(st.integers(0, 4), st.sampled_from([("unix:s", "unix:ms"), ("unix:ms", "unix:us"), ("unix:us", "unix:ms")]))
def test_a_file_of_two_units_is_told_so(place: int, units: tuple[str, str]) -> None:
    right, wrong = units
    values = [round(1.4e9 / EPOCHS[right]) + number for number in range(5)]
    read(values, right)
    values[place] = round(1.4e9 / EPOCHS[wrong])
    with pytest.raises(DataError, match=rf"row {place + 1}: .*'{wrong}' it would be 2014-05-13.*(one\.)"):
        read(values, right)


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("1970-01-01T00:00:00Z", r"row 2: '1970-01-01T00:00:00Z' is 1970-01-01.*before the first electronic.*\(1 of 3"),
        ("1900-01-01T00:00:00Z", "before the first electronic"),
        ("0214-03-01T09:00:00Z", "row 2"),
        ("2104-03-01T09:00:00Z", "another age"),
        ("2074-03-01T09:00:00Z", "another age"),
    ],
)
def test_placeholders_and_slips_of_the_year_are_refused(when: str, message: str, tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"id": ["a", "b", "c"], "time": "2014-03-01T09:00:00Z", "symbol": "X", "text": "words of news"}
    )
    path = tmp_path / "news.csv"
    table.to_csv(path, index=False)
    assert read_news(path, columns=NEWS).counts["kept"] == 3
    table.loc[1, "time"] = when
    table.to_csv(path, index=False)
    with pytest.raises(DataError, match=message):
        read_news(path, columns=NEWS)
    with pytest.raises(DataError, match=message):
        read_news(path, columns=NEWS, start="2014-01-01", end="2015-01-01")
    store = Store.create(tmp_path / "store")
    with pytest.raises(DataError, match=message):
        import_news(path, store, source_name="x", columns=NEWS, clock=lambda: pd.Timestamp("2020-01-01", tz="UTC"))


def test_old_prices_pass_through_january_1970_and_misread_ones_do_not() -> None:
    days = pd.Series(pd.date_range("1962-01-02", "1990-01-01", freq="D", tz="UTC"))
    written = days.astype("datetime64[ms, UTC]").astype("int64")
    check_bar_instants(days, written, "unix:ms", where="f")
    seconds = pd.Series(range(1_400_000_000, 1_400_086_400, 3_600))
    with pytest.raises(DataError, match=r"row 0: 1400000000 read as 'unix:ms' is 1970-01-17.*timezone = 'unix:s'"):
        check_bar_instants(instants_of(seconds, "unix:ms", {}, where="f"), seconds, "unix:ms", where="f")


def test_bars_in_seconds_read_as_milliseconds_are_refused_by_the_reader(tmp_path: Path) -> None:
    opens = range(1_400_004_000, 1_400_090_400, 3_600)
    bars = pd.DataFrame(
        {"symbol": "X", "open_at": opens, "open": 1.0, "high": 2.0, "low": 1.0, "close": 1.5, "volume": 1}
    )
    bars.to_csv(tmp_path / "bars.csv", index=False)
    request = {"calendar": "24/7", "bar": "1h"}
    assert len(read_prices(tmp_path / "bars.csv", timezone="unix:s", **request).prices.open_at) == 24
    with pytest.raises(DataError, match=r"bars\.csv, column 'open_at', row 1: .*'unix:s'"):
        read_prices(tmp_path / "bars.csv", timezone="unix:ms", **request)


def test_the_archive_that_mixed_its_units(cases: Path) -> None:
    path = cases / "mixed_epoch" / "news.csv"
    with pytest.raises(
        DataError, match=r"row 1: '1388531408' read as 'unix:ms' is 1970-01-17.*'unix:s' .*2013-12-31.*mixes"
    ):
        read_news(path, columns=NEWS, timezone="unix:ms")
    with pytest.raises(DataError, match=r"row 342: 1396346708000 lies outside .*'unix:ms' it would be 2014-04-01"):
        read_news(path, columns=NEWS, timezone="unix:s")
