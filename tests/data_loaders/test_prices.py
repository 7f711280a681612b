"""Prices made in one call: those of a file are the reader's, and those of frames are the same as those of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from embargo.data_loaders import ConfigError, DataError, Prices, read_prices, validate_prices
from embargo.data_loaders.archive import stream_bars
from embargo.data_loaders.fields import PRICE_FIELDS

DAYS = pd.to_datetime(["2014-07-02", "2014-07-03", "2014-07-07"])
HOURS = pd.date_range("2014-07-03 13:30", periods=4, freq="h", tz="UTC")


def frames(index: pd.Index, symbols: tuple[str, ...] = ("AAA", "BBB")) -> dict[str, pd.DataFrame]:
    level = np.linspace(10.0, 20.0, len(index) * len(symbols)).reshape(len(index), len(symbols))
    scale = {"open": 1.0, "high": 1.02, "low": 0.98, "close": 1.01, "volume": 100.0}
    return {name: pd.DataFrame(level * factor, index, list(symbols)) for name, factor in scale.items()}


def as_file(wide: dict[str, pd.DataFrame], path: Path, stamp: str) -> Path:
    long = [frame.rename_axis(index=stamp).melt(var_name="symbol", ignore_index=False) for frame in wide.values()]
    columns = {name: part["value"] for name, part in zip(wide, long, strict=True)}
    long[0][["symbol"]].assign(**columns).to_csv(path)
    return path


def same(left: Prices, right: Prices) -> None:
    for name in PRICE_FIELDS:
        pd.testing.assert_frame_equal(getattr(left, name), getattr(right, name), check_freq=False, check_names=False)
    assert left.open_at.equals(right.open_at)
    assert left.close_at.equals(right.close_at)
    assert (left.calendar, left.adjustment) == (right.calendar, right.adjustment)


@pytest.mark.parametrize(
    ("index", "calendar", "bar", "stamp"),
    [(DAYS, "XNYS", "1d", "date"), (DAYS, "24/7", "1d", "date"), (HOURS, "XNYS", "1h", "open_at")],
)
def test_frames_a_file_and_the_reader_of_a_run_give_the_same_prices(tmp_path, index, calendar, bar, stamp) -> None:
    wide = frames(index)
    path = as_file(wide, tmp_path / "bars.csv", stamp)
    made = Prices.from_frames(**wide, calendar=calendar, bar=bar)
    same(made, Prices.read(path, calendar=calendar, bar=bar))
    same(made, read_prices(path, calendar=calendar, bar=bar).prices)


def test_the_keywords_of_a_run_reach_the_reader(tmp_path) -> None:
    wide = frames(DAYS, ("AAA", "BBB", "CCC"))
    path = as_file(wide | {"adj_close": wide["close"] / 2, "venue": wide["close"] * 0 + 7}, tmp_path / "b.csv", "day")
    asked = {"columns": {"date": "day"}, "filters": {"venue": 7}, "symbols": ["CCC", "AAA"], "start": "2014-07-03"}
    prices = Prices.read(path, calendar="XNYS", adjust="total_return", **asked)
    same(prices, read_prices(path, calendar="XNYS", adjust="total_return", **asked).prices)
    assert prices.symbols == ["CCC", "AAA"]
    assert prices.adjustment == "splits+dividends"
    assert len(prices.open_at) == 2
    zoned = frames(HOURS.tz_convert("America/New_York").tz_localize(None), ("AAA",))
    path = as_file(zoned, tmp_path / "h.csv", "open_at")
    prices = Prices.read(path, calendar="XNYS", bar="1h", timezone="America/New_York", end="2014-07-03 16:00")
    assert prices.open_at.equals(HOURS[:3])


def test_a_half_day_closes_early_and_instants_of_any_zone_are_taken() -> None:
    prices = Prices.from_frames(**frames(DAYS), calendar="XNYS")
    assert prices.close_at[1] == pd.Timestamp("2014-07-03 17:00", tz="UTC")
    opens = prices.open_at.tz_convert("Asia/Tokyo")
    same(Prices.from_frames(**frames(opens), calendar="XNYS"), prices)
    hourly = Prices.from_frames(**frames(HOURS), calendar="XNYS", bar="1h")
    assert hourly.close_at[3] == pd.Timestamp("2014-07-03 17:00", tz="UTC")


def test_without_volume_every_volume_is_unknown_and_the_frames_are_left_alone() -> None:
    wide = frames(DAYS)
    before = {name: frame.copy() for name, frame in wide.items()}
    del wide["volume"]
    prices = Prices.from_frames(**wide, calendar="XNYS", adjustment="splits")
    assert prices.volume.isna().all(axis=None)
    assert prices.adjustment == "splits"
    prices.open.iloc[0, 0] = 1.0
    for name, frame in wide.items():
        pd.testing.assert_frame_equal(frame, before[name])


def changed(index: pd.Index = DAYS, **given: object) -> dict[str, object]:
    return frames(index) | given


@pytest.mark.parametrize(
    ("given", "bar", "error", "says"),
    [
        (changed(HOURS.tz_localize(None)), "1h", DataError, r"no time zone \(first 2014-07-03 13:30.*tz_localize"),
        (changed(HOURS.tz_localize(None)), "1d", DataError, "13:30:00 carries a time of day"),
        (changed(pd.to_datetime(["2014-07-03", "2014-07-04"])), "1d", DataError, "no session of XNYS.*2014-07-04"),
        (changed(DAYS.tz_localize("America/New_York")), "1d", DataError, r"04:00.*3 such bars.*tz_localize\(None\)"),
        (changed(HOURS), "1d", DataError, "no session of XNYS opens at 2014-07-03 14:30"),
        (changed(pd.Index(["2014-07-02", "2014-07-03"])), "1d", DataError, "pd.to_datetime"),
        (changed(pd.DatetimeIndex([pd.NaT, "2014-07-03"])), "1d", DataError, "a missing instant"),
        (changed(DAYS[:0]), "1d", DataError, "no bars"),
        (changed(DAYS[::-1]), "1d", DataError, "increasing order"),
        (changed(HOURS[[0, 0]]), "1h", DataError, "increasing order"),
        (changed(high=frames(DAYS[:2])["high"]), "1d", DataError, r"prices.high: .*high.reindex\(index=open.index"),
        (changed(low=frames(DAYS)["low"][["BBB", "AAA"]]), "1d", DataError, "prices.low: its bars or symbols"),
        (changed(close=frames(DAYS)["close"]["AAA"]), "1d", DataError, "got Series.*to_frame"),
        (
            changed(close=frames(DAYS)["close"].astype(str) + "x"),
            "1d",
            DataError,
            "prices.close: AAA holds '10.1x', no number",
        ),
        (changed(open=frames(DAYS)["open"] - 10.0), "1d", DataError, "prices.open: 1 values are not positive.*AAA"),
        (changed(low=frames(DAYS)["high"] * 2), "1d", DataError, "low exceeds high for AAA"),
        (changed(), "2D", ConfigError, "longer than a day"),
        (changed(), "soon", ConfigError, "no length of time"),
        (changed(adjustment="dividends"), "1d", ConfigError, "adjustment must be one of"),
        (changed(calendar="NYSE?"), "1d", ConfigError, "calendar 'NYSE\\?' is unknown"),
    ],
)
def test_what_cannot_be_trusted_is_refused_with_what_to_do(given, bar, error, says) -> None:
    with pytest.raises(error, match=says):
        Prices.from_frames(**{"calendar": "XNYS"} | given, bar=bar)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (changed(close=frames(DAYS)["close"].astype(str)), "prices.close: AAA holds '10.1', no number"),
        (changed(volume=frames(DAYS)["volume"] > 0), "prices.volume: AAA holds (True|bool), no number"),
        ({name: frame[[]] for name, frame in frames(DAYS).items()}, "no symbols"),
        (
            {
                name: frame.set_axis(pd.MultiIndex.from_product([["x"], frame.columns]), axis=1)
                for name, frame in frames(DAYS).items()
            },
            "columns have 2 levels",
        ),
        (frames(DAYS[[0, 2, 1]]), r"first at row 2 \(2014-07-03.*Sort them"),
    ],
)
def test_frames_that_are_no_panel_of_numbers_are_refused(given, says) -> None:
    with pytest.raises(DataError, match=says):
        Prices.from_frames(**given, calendar="XNYS")


def test_bars_said_to_be_shorter_than_they_are_are_refused(tmp_path) -> None:
    # Their closes would be known half an hour before they were.
    hours = pd.date_range("2022-01-01", periods=24, freq="h", tz="UTC")
    wide = frames(hours)
    path = as_file(wide, tmp_path / "bars.csv", "open_at")
    with pytest.raises(DataError, match=r"are 1 h apart, so they are no 30min bars"):
        Prices.from_frames(**wide, calendar="24/7", bar="30min")
    with pytest.raises(DataError, match="Set bar = '1h'"):
        Prices.read(path, calendar="24/7", bar="30min")
    with pytest.raises(DataError, match="Set bar = '1h'"):
        list(stream_bars(path, venue="mine", calendar="24/7", bar="30min"))
    gappy = {name: frame.drop(frame.index[3:9]) for name, frame in wide.items()}
    assert len(Prices.from_frames(**gappy, calendar="24/7", bar="1h").open_at) == 18


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"symbols": "AAA"}, r"Write \['AAA'\]"),
        ({"columns": {"day": "date"}}, "'day' is none of .*our name first"),
        ({"columns": ["date"]}, "columns: expected a mapping.*got list"),
        ({"filters": "volume > 0"}, "filters: expected a mapping.*got str"),
        ({"bar": 1}, "1 is no length of time"),
    ],
)
def test_keywords_that_would_be_taken_apart_or_passed_over_are_refused(tmp_path, asked, says) -> None:
    path = as_file(frames(DAYS), tmp_path / "bars.csv", "date")
    with pytest.raises(ConfigError, match=says):
        Prices.read(path, calendar="XNYS", **asked)


def test_numbers_for_instants_are_told_to_name_their_unit(tmp_path) -> None:
    path = as_file(frames(HOURS), tmp_path / "bars.csv", "open_at")
    pd.read_csv(path).assign(open_at=1_640_995_200_000).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"Name its unit with 'timezone', such as 'unix:ms'"):
        Prices.read(path, calendar="24/7", bar="1h")


def test_a_selection_names_symbols_that_are_not_there() -> None:
    prices = Prices.from_frames(**frames(DAYS), calendar="XNYS")
    with pytest.raises(DataError, match=r"no symbols \['ZZZ'\]; there are \['AAA', 'BBB'\]"):
        prices.select(symbols=["AAA", "ZZZ"])
    with pytest.raises(ConfigError, match=r"Write \['AAA'\]"):
        prices.select(symbols="AAA")


def test_prices_show_themselves_in_a_line_and_are_equal_to_themselves_alone() -> None:
    prices, others = (Prices.from_frames(**frames(DAYS), calendar="XNYS") for _ in range(2))
    assert repr(prices) == "<Prices of AAA, BBB: 3 bars of XNYS, 2014-07-02 to 2014-07-07 (UTC), adjustment none>"
    assert prices in [others, prices]
    assert prices != others
    assert len({prices, others}) == 2


def test_what_is_no_prices_is_told_how_to_make_them() -> None:
    with pytest.raises(DataError, match=r"expected Prices, got DataFrame.*Prices\.read.*from_frames"):
        validate_prices(frames(DAYS)["close"])


def test_symbols_are_texts_and_stand_there_once() -> None:
    wide = {name: frame.set_axis([1, 2], axis=1) for name, frame in frames(DAYS).items()}
    assert Prices.from_frames(**wide, calendar="XNYS").symbols == ["1", "2"]
    wide = {name: frame.set_axis([1, "1"], axis=1) for name, frame in wide.items()}
    with pytest.raises(DataError, match="'1' has several columns"):
        Prices.from_frames(**wide, calendar="XNYS")


def test_a_bar_without_a_symbol_is_named(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("symbol,date,open,high,low,close,volume\nA,2024-01-02,1,1,1,1,1\n,2024-01-02,1,1,1,1,1\n")
    with pytest.raises(DataError, match="column 'symbol', row 2: the symbol is missing"):
        read_prices(path, calendar="XNYS")
