"""The trial ledger forgets nothing, counts the same settings once, and knows a market again by its prices."""

from __future__ import annotations

import os
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.data_loaders.errors import DataError, MissingPartError
from embargo.data_loaders.schemas import Prices
from embargo.research.records.attempts import remarks, tried_around
from embargo.research.records.ledger import Trial, refuse_unwritable, returns_of, trials_around, trials_on
from embargo.research.records.ledger import record as record_with
from embargo.research.records.windows import TradedWindow, overlap, window_on, windows_in

START = pd.Timestamp("2015-01-05T14:30", tz="UTC").value // 1000
DAY = 86_400_000_000


def window(name: str, bars: int = 5) -> TradedWindow:
    """A window of its own, on its own symbol."""
    open_at = START + DAY * np.arange(bars)
    return TradedWindow((name * 64)[:64], DAY, (name,), open_at, 1, np.arange(1, bars + 1, dtype=np.int32)[:, None])


W, OTHER = window("w"), window("o")


def trial(settings: str, where: TradedWindow = W, sharpe: float = 0.1) -> Trial:
    return Trial(where.identity, settings, "run", sharpe, 5)


def record(folder: Path, each: Trial, first: float = 0.0) -> None:
    where = next(known for known in (W, OTHER) if known.identity == each.window)
    record_with(folder, where, each, first + 0.01 * np.arange(5))


def list_of(folder: Path, where: TradedWindow = W) -> Path:
    return folder / f"{where.key}.jsonl"


def test_counts_distinct_settings_within_a_window(tmp_path: Path) -> None:
    assert trials_on(tmp_path, W.identity) == {}
    for each in (trial("a"), trial("b"), trial("a", sharpe=0.2), trial("c", OTHER)):
        record(tmp_path, each)
    found = trials_on(tmp_path, W.identity)
    assert sorted(found) == ["a", "b"]
    assert found["a"].sharpe_per_bar == 0.2
    assert {each.key: sorted(trials) for each, trials in trials_around(tmp_path, None)} == {
        W.key: ["a", "b"],
        OTHER.key: ["c"],
    }
    assert [sorted(trials) for _, trials in trials_around(tmp_path, W)] == [["a", "b"]]


def test_a_torn_line_is_an_error_that_names_it(tmp_path: Path) -> None:
    record(tmp_path, trial("a"))
    with list_of(tmp_path).open("a") as ledger:
        ledger.write('{"window": "w", "sett\n')
    with pytest.raises(DataError, match="line 2"):
        trials_on(tmp_path, W.identity)


@pytest.mark.parametrize("damage", [b"", b"{}\n", b'{"window": 3', b"\x00" * 40])
def test_a_damaged_window_is_an_error_that_names_it(tmp_path: Path, damage: bytes) -> None:
    record(tmp_path, trial("a"))
    (tmp_path / f"{W.key}.window").write_bytes(damage)
    with pytest.raises(DataError, match=f"{W.key}.window: not a window"):
        list(windows_in(tmp_path, OTHER))


def test_a_window_cut_short_is_an_error(tmp_path: Path) -> None:
    record(tmp_path, trial("a"))
    path = tmp_path / f"{W.key}.window"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DataError, match="not a window"):
        list(windows_in(tmp_path))


def _record_many(folder: Path, start: int) -> None:
    for number in range(start, start + 50):
        record(folder, trial(f"settings-{number:04d}-" + "x" * 200))


def test_processes_side_by_side_lose_nothing(tmp_path: Path) -> None:
    context = get_context("fork")
    workers = [context.Process(target=_record_many, args=(tmp_path, 50 * number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(trials_on(tmp_path, W.identity)) == 200
    assert len(returns_of(tmp_path, trials_on(tmp_path, W.identity).values())) == 200
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{W.key}{end}" for end in (".jsonl", ".rows", ".window")
    ]


def test_returns_are_kept_by_window_and_the_newest_count(tmp_path: Path) -> None:
    for each, first in ((trial("a"), 0.1), (trial("b"), 0.2), (trial("a"), 0.3), (trial("a", OTHER), 0.4)):
        record(tmp_path, each, first)
    found = returns_of(tmp_path, trials_on(tmp_path, W.identity).values())
    assert {name: list(returns) for name, returns in found.items()} == {
        "a": list(0.3 + 0.01 * np.arange(5)),
        "b": list(0.2 + 0.01 * np.arange(5)),
    }
    assert list(returns_of(tmp_path, [trial("a", OTHER)])["a"]) == list(0.4 + 0.01 * np.arange(5))


def test_attempts_whose_returns_are_lost_still_count(tmp_path: Path) -> None:
    record(tmp_path, trial("a"))
    record(tmp_path, trial("b"))
    for path in tmp_path.glob("*.rows"):
        path.unlink()
    assert len(trials_on(tmp_path, W.identity)) == 2
    assert returns_of(tmp_path, trials_on(tmp_path, W.identity).values()) == {}


def test_a_row_of_returns_torn_by_a_kill_is_mended(tmp_path: Path) -> None:
    record(tmp_path, trial("a"), 0.1)
    (path,) = tmp_path.glob("*.rows")
    with path.open("ab") as file:
        file.write(b"half a row")
    assert list(returns_of(tmp_path, [trial("a")])) == ["a"]
    record(tmp_path, trial("b"), 0.2)
    found = returns_of(tmp_path, trials_on(tmp_path, W.identity).values())
    assert found["b"][0] == 0.2
    assert path.stat().st_size == 2 * (32 + 5 * 8)


def test_a_line_for_which_the_disk_has_no_room_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path, trial("a"), 0.1)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:10]))
    with pytest.raises(OSError, match="space"):
        record(tmp_path, trial("b"), 0.2)
    monkeypatch.setattr(os, "write", write)
    assert sorted(trials_on(tmp_path, W.identity)) == ["a"]
    record(tmp_path, trial("c"), 0.3)
    found = trials_on(tmp_path, W.identity)
    assert sorted(found) == ["a", "c"]
    assert sorted(returns_of(tmp_path, found.values())) == ["a", "c"]


def test_what_does_not_fit_its_window_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="5 bars"):
        record_with(tmp_path, W, trial("a"), np.zeros(4))
    with pytest.raises(DataError, match="on a window of 6"):
        record_with(tmp_path, window("w", 6), trial("a"), np.zeros(5))
    with pytest.raises(DataError, match="another window"):
        record_with(tmp_path, OTHER, trial("a"), np.zeros(5))
    assert list(tmp_path.iterdir()) == []


def market(seed: int, symbols: str = "ABCD", bars: int = 400, bar: str = "1D") -> Prices:
    rng = np.random.default_rng(seed)
    open_at = pd.date_range("2015-01-05T14:30", periods=bars, freq=bar, tz="UTC").as_unit("us")
    closes = pd.DataFrame(100.0 * np.exp(np.cumsum(rng.normal(0, 0.01, (bars, len(symbols))), axis=0)), open_at)
    opens = closes * np.exp(rng.normal(0.0, 0.005, closes.shape))
    for panel in (opens, closes):
        panel.columns = pd.Index(list(symbols))
    both = np.maximum(opens, closes), np.minimum(opens, closes)
    close_at = open_at + pd.Timedelta(bar) / 2
    return Prices(opens, *both, closes, closes * 0.0 + 1e6, open_at, close_at, "24/7", "none")


@given(st.integers(0, 399), st.integers(1, 400), st.sets(st.integers(0, 3), min_size=1), st.integers(0, 3))
def test_windows_of_one_market_overlap_where_they_share_a_bar_and_a_symbol(
    first: int, length: int, symbols: set[int], held: int
) -> None:
    prices = market(0)
    one = window_on(prices.select(symbols=["ABCD"[held]], bars=np.arange(100, 250)), "1d")
    other = window_on(
        prices.select(symbols=["ABCD"[k] for k in sorted(symbols)], bars=np.arange(first, min(first + length, 400))),
        "1d",
    )
    shared = first < 250 and min(first + length, 400) > 100 and held in symbols
    assert overlap(one, other) is overlap(other, one) is shared


def test_prices_worked_over_for_a_later_split_are_the_same_market_and_other_prices_are_another() -> None:
    prices = market(0)
    cut = prices.select(bars=np.arange(300))
    factor = np.where(np.arange(300) < 150, 0.5 / 3.0, 1.0)[:, None]
    halved = replace(cut, **{name: getattr(cut, name) * factor for name in ("open", "high", "low", "close")})
    whole = window_on(prices, "1d")
    assert window_on(halved, "1d").identity != window_on(cut, "1d").identity
    assert overlap(whole, window_on(halved, "1d"))
    assert not overlap(whole, window_on(market(1), "1d"))
    assert not overlap(whole, window_on(market(0, symbols="EFGH"), "1d"))
    # One symbol of the same market is enough.
    mixed = market(1)
    for name in ("open", "high", "low", "close"):
        getattr(mixed, name)["C"] = getattr(prices, name)["C"]
    assert overlap(whole, window_on(mixed, "1d"))


def times(prices: Prices, factor: float, decimals: int) -> Prices:
    panels = {name: (getattr(prices, name) * factor).round(decimals) for name in ("open", "high", "low", "close")}
    return replace(prices, **panels)


@given(st.integers(0, 10_000), st.sampled_from([1.0, 1.37, 0.6]), st.integers(1, 60), st.booleans())
def test_prices_rounded_to_ticks_stay_the_same_market(seed: int, factor: float, bars: int, both: bool) -> None:
    prices = market(seed, bars=bars)
    whole = window_on(times(prices, 1.0, 2) if both else prices, "1d")
    assert overlap(whole, window_on(times(prices, factor, 2), "1d"))


@given(st.integers(0, 10_000), st.integers(1, 10_000), st.sampled_from([2, 6]), st.integers(60, 120))
def test_markets_that_have_but_their_names_in_common_stay_apart(seed: int, more: int, decimals: int, bars: int) -> None:
    one, other = (times(market(each, bars=bars), 1.0, decimals) for each in (seed, seed + more))
    assert not overlap(window_on(one, "1d"), window_on(other, "1d"))


def test_markets_that_have_but_their_names_in_common_join_in_less_than_one_of_1000_cases() -> None:
    markets = [window_on(market(seed, bars=60), "1d") for seed in range(64)]
    pairs = [overlap(one, other) for at, one in enumerate(markets) for other in markets[:at]]
    assert len(pairs) == 2016
    assert sum(pairs) <= 2


def test_one_wrong_price_makes_no_other_market() -> None:
    prices = market(0, symbols="A", bars=60)
    prices.close.iloc[30] *= 3.0
    assert overlap(window_on(prices, "1d"), window_on(market(0, symbols="A", bars=60), "1d"))


def test_bars_of_another_length_join_where_time_and_symbol_meet() -> None:
    daily, halves = window_on(market(0), "1d"), window_on(market(1, bar="12h"), "12h")
    assert overlap(daily, halves) is overlap(halves, daily) is True
    assert not overlap(daily, window_on(market(0, symbols="EFGH", bar="12h"), "12h"))
    assert not overlap(window_on(market(0).select(bars=np.arange(300, 400)), "1d"), halves)


def test_bars_that_open_at_other_instants_are_not_shared() -> None:
    prices = market(0)
    later = replace(prices, open_at=prices.open_at + pd.Timedelta("1h"), close_at=prices.close_at + pd.Timedelta("1h"))
    assert not overlap(window_on(prices, "1d"), window_on(later, "1d"))


def test_what_never_moves_is_taken_for_the_same_asset() -> None:
    flat = replace(market(0), open=market(0).close)
    assert overlap(window_on(flat, "1d"), window_on(market(1), "1d"))


def test_a_wide_market_keeps_few_marks_and_is_known_all_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    open_at = START + DAY * np.arange(2000)
    prices = market(0, bars=2000)
    names = [f"S{k}" for k in range(200)]
    opens = pd.DataFrame(rng.uniform(90, 110, (2000, 200)), prices.open_at, columns=names)
    closes = opens * np.exp(rng.normal(0, 0.01, opens.shape))
    wide = replace(prices, open=opens, high=opens, low=opens, close=closes, volume=opens)
    one, other = window_on(wide, "1d"), window_on(wide.select(symbols=names[7:8], bars=np.arange(1900, 2000)), "1d")
    assert one.marks.size <= 1 << 14
    assert other.step == 1
    assert overlap(one, other)
    assert len(open_at) == len(one.open_at)
    record_with(tmp_path, one, Trial(one.identity, "a", "run", 0.0, 2000), np.zeros(2000))
    (found,) = windows_in(tmp_path, other)
    assert (found.identity, found.symbols, found.step, found.length) == (
        one.identity,
        one.symbols,
        one.step,
        one.length,
    )
    np.testing.assert_array_equal(found.open_at, one.open_at)
    np.testing.assert_array_equal(found.marks, one.marks)
    assert (tmp_path / f"{one.key}.window").stat().st_size < 100_000


@pytest.mark.parametrize("lost", [[".window"], [".window", ".rows"], [".window", ".jsonl"], [".jsonl"]])
def test_files_that_stand_alone_are_an_error_that_names_what_is_missing(tmp_path: Path, lost: list[str]) -> None:
    one = window("a")
    record_with(tmp_path, one, Trial(one.identity, "a", "run", 0.1, 5), np.zeros(5))
    for suffix in lost:
        (tmp_path / f"{one.key}{suffix}").unlink()
    with pytest.raises(DataError, match=rf"{one.key}\{lost[0]}: missing.*Restore the file or move the others away"):
        list(trials_around(tmp_path, OTHER))


def test_other_files_of_a_folder_are_no_part_of_its_ledger(tmp_path: Path) -> None:
    record(tmp_path, trial("a"))
    (tmp_path / "seals.jsonl").write_text("{}\n")
    assert len(list(trials_around(tmp_path, None))) == 1


@pytest.mark.parametrize("sharpe", ["NaN", "Infinity", "1" + "0" * 400])
def test_a_ratio_that_is_no_number_is_an_error_that_names_its_line(tmp_path: Path, sharpe: str) -> None:
    record(tmp_path, trial("a"))
    path = list_of(tmp_path)
    path.write_text(path.read_text().replace("0.1", sharpe))
    with pytest.raises(DataError, match="line 1: not a trial"):
        trials_on(tmp_path, W.identity)


def test_a_window_under_another_key_is_an_error_that_names_it(tmp_path: Path) -> None:
    record(tmp_path, trial("a"))
    (tmp_path / "0123456789abcdef.window").write_bytes((tmp_path / f"{W.key}.window").read_bytes())
    with pytest.raises(DataError, match=r"0123456789abcdef.window: not a window .*it is of window w"):
        list(windows_in(tmp_path))


def test_a_trial_of_another_length_than_its_window_is_an_error(tmp_path: Path) -> None:
    record(tmp_path, trial("a"))
    path = list_of(tmp_path)
    path.write_text(path.read_text().replace('"bars": 5', '"bars": -5'))
    with pytest.raises(DataError, match="-5 bars, and its window 5"):
        list(trials_around(tmp_path, None))


@pytest.mark.parametrize("damage", [b"", b"\x07" * 72, np.full(9, np.nan).tobytes()])
def test_lost_returns_are_counted(tmp_path: Path, damage: bytes) -> None:
    record(tmp_path, trial("a"))
    record(tmp_path, trial("b"))
    (tmp_path / f"{W.key}.rows").write_bytes(damage)
    record(tmp_path, trial("c"))
    found = tried_around(tmp_path, W)
    assert sorted(found.lost) == ["a", "b"]
    (said,) = remarks(found)
    assert "2 of 3 attempts" in said
    assert remarks(tried_around(tmp_path / "none", W)) == []


def test_returns_that_are_no_numbers_are_lost(tmp_path: Path) -> None:
    record(tmp_path, trial("a"))
    record(tmp_path, trial("b"))
    path = tmp_path / f"{W.key}.rows"
    row = bytearray(path.read_bytes())
    row[32:40] = np.array([np.nan]).tobytes()
    path.write_bytes(row)
    assert tried_around(tmp_path, W).lost == ["a"]


@pytest.mark.parametrize("wrong", ["under a file", "list", "rows"])
def test_a_ledger_that_cannot_be_written_is_said_before(tmp_path: Path, wrong: str) -> None:
    refuse_unwritable(tmp_path / "new" / "ledger", W)
    assert list((tmp_path / "new" / "ledger").iterdir()) == []
    folder = tmp_path / "ledger"
    if wrong == "under a file":
        folder.write_text("")
    else:
        (folder / f"{W.key}.{'jsonl' if wrong == 'list' else wrong}").mkdir(parents=True)
    with pytest.raises(MissingPartError, match="cannot be written"):
        refuse_unwritable(folder, W)
