"""Bars that are not what they are said to be are refused, by every door; gaps alone never are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.data_loaders.archive.panels import prices_from_frames
from embargo.data_loaders.archive.prices import read_prices, stream_bars
from embargo.data_loaders.archive.spacing import check_bars
from embargo.data_loaders.calendars import length_of, sessions
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.store import Store, import_bars

KINDS = [("24/7", "1h"), ("24/7", "5min"), ("24/7", "4h"), ("24/7", "1d"), ("XNYS", "1h"), ("XNYS", "15min")]
KINDS += [("XNYS", "1d"), ("XTKS", "1h"), ("XNYS", "full hours")]
NOW = pd.Timestamp("2025-01-01", tz="UTC")


def opens_of(calendar: str, bar: str, bars: int = 240) -> tuple[pd.DatetimeIndex, str]:
    """Bars as a vendor would date them, lunch breaks included."""
    table = sessions(calendar, pd.Timestamp("2024-01-02"), pd.Timestamp("2024-12-20"))
    if bar == "1d":
        return pd.DatetimeIndex(table["open_at"])[:bars], bar
    length = length_of("1h" if bar == "full hours" else bar)
    if calendar == "24/7":
        return pd.date_range(table["open_at"].iloc[0], periods=bars, freq=length, unit="us"), bar
    stamps: list[pd.Timestamp] = []
    for first, last in zip(table["open_at"], table["close_at"], strict=True):
        parts = [(first, last)]
        if calendar == "XTKS":
            parts = [(first, first + pd.Timedelta("2.5h")), (first + pd.Timedelta("3.5h"), last)]
        for begin, end in parts:
            inside = pd.date_range(begin, end, freq=length, inclusive="left")
            if bar == "full hours":
                inside = pd.DatetimeIndex([begin, *pd.date_range(begin.ceil("h"), end, freq="h", inclusive="left")])
            stamps += list(inside)
    return pd.DatetimeIndex(stamps[:bars]).as_unit("us"), "1h" if bar == "full hours" else bar


def check(open_at: pd.DatetimeIndex, calendar: str, bar: str) -> None:
    # A symbol with two bars beside it, since each is judged by its own steps.
    symbol = np.repeat(["A", "B"], [len(open_at), min(2, len(open_at))])
    check_bars(symbol, open_at.append(open_at[-2:]), calendar=calendar, bar=bar, where="f")


@settings(max_examples=120)
@given(st.sampled_from(KINDS), st.floats(0.03, 1.0), st.integers(0, 2**32 - 1))
def test_bars_with_gaps_are_bars(kind: tuple[str, str], kept: float, seed: int) -> None:
    calendar, name = kind
    open_at, bar = opens_of(calendar, name)
    rng = np.random.default_rng(seed)
    here = rng.random(len(open_at)) < kept
    # Outages come in one piece as well.
    start = int(rng.integers(20, 100))
    here[start : start + int(rng.integers(0, 100))] = False
    here[-20:] = True
    if here.any():
        check(open_at[here], calendar, bar)


@settings(max_examples=60)
@given(
    st.sampled_from(["5min", "1h"]), st.integers(2, 24), st.floats(0.9, 1.0), st.integers(0, 2**32 - 1), st.booleans()
)
def test_a_coarser_step_is_found_in_part_of_a_file_too(
    bar: str, times: int, kept: float, seed: int, partly: bool
) -> None:
    open_at, _ = opens_of("24/7", bar, bars=40 * times)
    coarse = open_at[::times]
    coarse = coarse[np.random.default_rng(seed).random(len(coarse)) < kept]
    if partly:
        coarse = coarse.append(pd.date_range(coarse[-1] + length_of(bar), periods=300, freq=length_of(bar), unit="us"))
    with pytest.raises(DataError, match=f"no {bar} bars"):
        check(coarse, "24/7", bar)


@settings(max_examples=60)
@given(
    st.sampled_from([kind for kind in KINDS if "1d" not in kind]),
    st.sampled_from(["1us", "1ms", "1s"]),
    st.floats(0.1, 1.0),
    st.integers(0, 2**32 - 1),
)
def test_candles_stamped_at_their_close_are_told_their_open(
    kind: tuple[str, str], before: str, kept: float, seed: int
) -> None:
    calendar, name = kind
    open_at, bar = opens_of(calendar, name)
    if name == "full hours":
        return
    open_at = open_at[np.random.default_rng(seed).random(len(open_at)) < kept]
    if open_at.empty:
        return
    closed = open_at + length_of(bar) - pd.Timedelta(before)
    first = closed[0] + pd.Timedelta(before) - length_of(bar)
    with pytest.raises(DataError) as failure:
        check(closed, calendar, bar)
    assert f"the bar that opened at {first}" in str(failure.value)
    check(closed + pd.Timedelta(before) - length_of(bar), calendar, bar)


@pytest.mark.parametrize(
    ("calendar", "bar", "move", "message"),
    [
        ("24/7", "1h", "30min", r"opens 30 min after one that does \(242 of 242"),
        ("24/7", "4h", "1h", "opens 1 h after"),
        ("XNYS", "1h", "-14h", "outside its sessions"),
        ("XNYS", "15min", "15min", "as if they carried the instant at which they close"),
    ],
)
def test_bars_between_those_of_the_calendar_are_refused(calendar: str, bar: str, move: str, message: str) -> None:
    open_at, _ = opens_of(calendar, bar)
    check(open_at, calendar, bar)
    with pytest.raises(DataError, match=message):
        check(open_at + pd.Timedelta(move), calendar, bar)


@pytest.mark.parametrize("kind", KINDS)
def test_a_quote_of_the_moment_is_refused_wherever_it_stands(kind: tuple[str, str]) -> None:
    calendar, name = kind
    open_at, bar = opens_of(calendar, name, bars=60)
    late, _ = opens_of(calendar, name, bars=100_000)
    later = late[late >= open_at[-1] + pd.Timedelta(days=60)]
    if bar != "1d":
        stray = open_at[-1] + pd.Timedelta("7min 12s")
        with pytest.raises(DataError, match="quote"):
            check(open_at.append(pd.DatetimeIndex([stray])), calendar, bar)
    if calendar == "24/7":
        later = open_at[:2] + pd.Timedelta(days=150)
    with pytest.raises(DataError, match=r"stands alone, .* after all others"):
        check(open_at.append(later[:1]), calendar, bar)
    with pytest.raises(DataError, match=r"stands alone, .* before all others"):
        check(
            open_at[:1].append(open_at + (later[0] - open_at[0]))
            if calendar == "24/7"
            else open_at[:1].append(late[late >= open_at[0] + pd.Timedelta(days=60)][:60]),
            calendar,
            bar,
        )
    # Two bars beyond a hole are a gap.
    check(open_at.append(later[:2]), calendar, bar)


def test_daily_bars_at_the_open_of_their_session_are_no_hours() -> None:
    days, _ = opens_of("XNYS", "1d", bars=60)
    with pytest.raises(DataError, match=r"one session apart.*Set bar = '1d'"):
        check(days, "XNYS", "1h")
    hours, _ = opens_of("XNYS", "1h")
    with pytest.raises(DataError, match="opens 15 min after the one before"):
        check(opens_of("XNYS", "15min")[0], "XNYS", "1h")
    with pytest.raises(DataError, match="one session apart"):
        check(days.append(hours[hours > days[-1]]), "XNYS", "1h")
    with pytest.raises(DataError, match=r"5 sessions apart.*give daily bars"):
        check(opens_of("XNYS", "1d")[0][::5], "XNYS", "1d")
    with pytest.raises(DataError, match=r"7 days apart.*give daily bars"):
        check(opens_of("24/7", "1d")[0][::7], "24/7", "1d")


def long_table(open_at: pd.DatetimeIndex, symbols: tuple[str, ...] = ("A", "B")) -> pd.DataFrame:
    table = pd.concat([pd.DataFrame({"symbol": name, "open_at": open_at.astype(str)}) for name in symbols])
    return table.assign(open=10.0, high=11.0, low=9.0, close=10.5, volume=3.0)


Door = Callable[[Path, Path, str, str], object]
DOORS: dict[str, Door] = {
    "read": lambda path, _, calendar, bar: read_prices(path, calendar=calendar, bar=bar),
    "stream": lambda path, _, calendar, bar: list(stream_bars(path, venue="v", calendar=calendar, bar=bar)),
    "import": lambda path, folder, calendar, bar: import_bars(
        path, Store.create(folder / "store"), venue="v", calendar=calendar, bar=bar, clock=lambda: NOW
    ),
}


@pytest.mark.parametrize("door", DOORS)
def test_every_door_of_an_archive_names_file_and_row(door: str, tmp_path: Path) -> None:
    open_at, _ = opens_of("24/7", "1h", bars=60)
    path = tmp_path / "bars.csv"
    table = long_table(open_at)
    table.to_csv(path, index=False)
    DOORS[door](path, tmp_path / "clean", "24/7", "1h")
    table.iloc[97, 1] = str(open_at[37] + pd.Timedelta(minutes=10))
    table.to_csv(path, index=False)
    with pytest.raises(DataError, match=r"bars\.csv, row 98: the bar of B at .*10 min after"):
        DOORS[door](path, tmp_path, "24/7", "1h")


def test_a_store_and_frames_are_held_to_the_same_step(tmp_path: Path) -> None:
    open_at, _ = opens_of("24/7", "4h", bars=60)
    facts = long_table(open_at).assign(
        venue="v", bar="1h", open_at=[*open_at] * 2, close_at=[*(open_at + pd.Timedelta(hours=1))] * 2
    )
    store = Store.create(tmp_path / "store")
    store.append("bars", facts, source="mine", committed_at=NOW)
    with pytest.raises(DataError, match="4 h apart"):
        store.as_of(NOW).prices(venue="v", bar="1h", calendar="24/7")
    panel = pd.DataFrame({"A": 10.0, "B": 11.0}, index=open_at)
    made = {"open": panel, "high": panel, "low": panel, "close": panel}
    with pytest.raises(DataError, match="4 h apart"):
        prices_from_frames(**made, calendar="24/7", bar="1h")
    assert len(prices_from_frames(**made, calendar="24/7", bar="4h").open_at) == 60


def test_a_day_stamped_with_its_end_is_told_the_day(tmp_path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=5, tz="UTC")
    table = long_table(days + pd.Timedelta("23:59:59.999")).rename(columns={"open_at": "date"})
    table.to_csv(tmp_path / "bars.csv", index=False)
    with pytest.raises(DataError, match=r"row 1: .* is the end of its day.*2024-01-01; the one after"):
        read_prices(tmp_path / "bars.csv", calendar="24/7")
    table = long_table(days).assign(open_at=[f"{day:%Y-%m-%d}" for day in days] * 2)
    table.to_csv(tmp_path / "bars.csv", index=False)
    with pytest.raises(DataError, match=r"row 1: .*Set bar = '1d'"):
        read_prices(tmp_path / "bars.csv", calendar="24/7", bar="1h", timezone="UTC")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("bars/close_stamped.csv", "row 1: .*opened at 2024-01-01 00:00:00"),
        ("bars/half_hour_off.csv", "row 1: .*30 min after"),
        ("bars/four_hourly.csv", "row 1: .*4 h apart.*Set bar = '4h'"),
        ("daily_as_1h/prices.parquet", "row 1: .*24 h apart.*Set bar = '1d'"),
    ],
)
def test_files_that_went_wrong(door: str, file: str, message: str, cases: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        DOORS[door](cases / file, tmp_path, "24/7", "1h")
