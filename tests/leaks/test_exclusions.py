"""Days taken out by hand are named, and doubted where they hid the worst moves; quiet gaps pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from samples import leak_worlds as worlds

from embargo.backtest.leakage import check_exclusions
from embargo.data_loaders import sessions
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices
from embargo.research.run.audit import grid_of


def without(prices: Prices, rows: np.ndarray) -> Prices:
    return prices.select(bars=np.setdiff1d(np.arange(len(prices.open_at)), rows))


def blanked(prices: Prices, rows: np.ndarray) -> Prices:
    panels = {name: getattr(prices, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for panel in panels.values():
        panel.iloc[rows] = np.nan
    return replace(prices, **panels)


def worst_days(prices: Prices, number: int) -> np.ndarray:
    """Rows whose own session and gaps moved the symbols most."""
    closes, opens = np.log(prices.close.to_numpy()), np.log(prices.open.to_numpy())
    across = np.abs(np.nanmean(opens[2:] - closes[:-2], axis=1))
    return np.argsort(across)[::-1][:number] + 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("how", [without, blanked])
def test_crash_days_that_were_taken_out_are_suspicious_and_named(seed: int, how) -> None:
    prices = worlds.make_world(seed, n_bars=400).prices
    rows = worst_days(prices, 5)
    finding = check_exclusions(how(prices, rows), prices.open_at, gate={})
    assert finding.verdict == "suspicious"
    assert finding.effect == pytest.approx(5 / 400)
    assert {row["session"] for row in finding.evidence} == {prices.open_at[row].isoformat() for row in rows}


@pytest.mark.parametrize("seed", range(5))
def test_a_whole_calendar_passes_and_so_do_quiet_days_that_are_missing(seed: int) -> None:
    prices = worlds.make_world(seed, n_bars=400).prices
    whole = check_exclusions(prices, prices.open_at, gate={})
    assert (whole.verdict, whole.effect) == ("pass", 0.0)
    across = np.abs(np.nanmean(np.log(prices.open.to_numpy()[2:]) - np.log(prices.close.to_numpy()[:-2]), axis=1))
    quiet = np.argsort(across)[:3] + 1
    finding = check_exclusions(without(prices, quiet), prices.open_at, gate={})
    assert finding.verdict == "pass"
    assert all(f"{prices.open_at[row]:%Y-%m-%d}" in finding.detail for row in quiet)


def test_regimes_in_which_nothing_is_held_are_named() -> None:
    prices = worlds.make_world(0, n_bars=100).prices
    finding = check_exclusions(prices, prices.open_at, gate={"bear": 0.0, "bull": 1.0})
    assert finding.verdict == "pass"
    assert "bear (0)" in finding.detail
    assert "bull" not in finding.detail


def test_too_few_bars_doubt_nothing_and_no_sessions_are_refused() -> None:
    prices = worlds.make_world(0, n_bars=60).prices
    assert check_exclusions(without(prices, worst_days(prices, 2)), prices.open_at, gate={}).verdict == "pass"
    few = prices.select(bars=np.array([0, 2]))
    assert check_exclusions(few, prices.open_at[:3], gate={}).verdict == "pass", "no move to hold it against"
    with pytest.raises(DataError, match="no sessions"):
        check_exclusions(prices, prices.open_at[:0], gate={})


def steady(move: float, n: int = 300, size: float = 0.01) -> Prices:
    """One symbol that rises and falls by ``size`` in turns overnight, and by ``move`` between rows 149 and 151."""
    at = pd.date_range("2024-01-01", periods=n, freq="D", tz="UTC")
    level = np.where(np.arange(n) % 4 < 2, 0.0, size)
    level[151:] += move - (level[151] - level[149])
    close = pd.DataFrame({"BTC": np.exp(level)}, index=at)
    return Prices(close, close, close, close, close, at, at + pd.Timedelta(hours=9), calendar="24/7")


@pytest.mark.parametrize(
    ("move", "verdict"),
    # 296 other moves of 1 %: nothing ranks above 1 of 297 unless it is beyond them, by the square of its size.
    [
        (0.0, "pass"),
        (0.01, "pass"),
        (0.0105, "pass"),
        (0.0110, "suspicious"),
        (-0.0110, "suspicious"),
        (0.5, "suspicious"),
    ],
)
def test_one_session_is_doubted_by_how_far_its_move_is_beyond_all_others(move: float, verdict: str) -> None:
    prices = steady(move)
    finding = check_exclusions(without(prices, np.array([150])), prices.open_at, gate={})
    assert finding.verdict == verdict
    assert finding.evidence == [{"session": prices.open_at[150].isoformat(), "mean_move_across": pytest.approx(move)}]
    assert finding.effect == 1 / 300
    assert "1 of 300 sessions have no price at all: 2024-05-30." in finding.detail


def test_a_week_without_prices_is_one_gap_and_held_against_moves_over_weeks() -> None:
    prices = worlds.make_world(2, n_bars=400).prices
    finding = check_exclusions(without(prices, np.arange(200, 205)), prices.open_at, gate={})
    assert finding.verdict == "pass"
    across = np.log(prices.open.iloc[205] / prices.close.iloc[199]).mean()
    assert [row["mean_move_across"] for row in finding.evidence] == pytest.approx([across] * 5)
    crash = replace(prices, **{
        name: getattr(prices, name) * np.where(np.arange(400) >= 202, 0.7, 1.0)[:, None]
        for name in ("open", "high", "low", "close")
    })  # fmt: skip
    assert check_exclusions(without(crash, np.arange(200, 205)), prices.open_at, gate={}).verdict == "suspicious"


def test_days_that_are_lost_by_accident_are_doubted_no_more_often_than_promised() -> None:
    rng = np.random.default_rng(7)
    doubted = 0
    for seed in range(12):
        prices = worlds.make_world(seed, n_bars=300).prices
        for number in (1, 2, 3, 5, 8, 12, 20, 30):
            lost = rng.choice(np.arange(5, 295), number, replace=False)
            doubted += check_exclusions(without(prices, lost), prices.open_at, gate={}).verdict == "suspicious"
    # 96 draws at 0.3 % give three or more in 0.3 % of cases.
    assert doubted <= 2


def test_sessions_at_either_end_have_no_move_across_and_only_the_largest_five_are_shown() -> None:
    prices = steady(0.3)
    rows = np.r_[0:2, 100, 120, 140, 150, 298:300]
    finding = check_exclusions(without(prices, rows), prices.open_at, gate={})
    assert finding.verdict == "suspicious"
    moves = [row["mean_move_across"] for row in finding.evidence]
    assert len(moves) == 5
    assert np.abs(moves) == pytest.approx(sorted(np.abs(moves), reverse=True))
    assert finding.evidence[0]["session"] == prices.open_at[150].isoformat()
    assert moves[0] == pytest.approx(0.3)
    assert "8 of 300 sessions" in finding.detail
    assert "..." in finding.detail
    assert "by 30.0% at most" in finding.detail
    ends = check_exclusions(without(prices, np.r_[0:2, 298:300]), prices.open_at, gate={})
    assert (ends.verdict, {row["mean_move_across"] for row in ends.evidence}) == ("pass", {0.0})


@pytest.mark.parametrize("first", range(2, 6))
def test_a_gap_is_found_wherever_it_begins(first: int) -> None:
    prices = steady(0.3)
    finding = check_exclusions(without(prices, np.array([first, 150])), prices.open_at, gate={})
    assert finding.verdict == "suspicious"
    assert [row["session"] for row in finding.evidence] == [
        prices.open_at[150].isoformat(),
        prices.open_at[first].isoformat(),
    ]
    near = np.log(prices.open["BTC"].iloc[first + 1] / prices.close["BTC"].iloc[first - 1])
    assert finding.evidence[1]["mean_move_across"] == pytest.approx(near)


def hourly(seed: int, calendar: str, n_days: int = 60) -> Prices:
    """Two symbols by the hour, every hour of the day or those of an exchange; one hour in 400 moves by 8 %."""
    rng = np.random.default_rng(seed)
    days = sessions(calendar, pd.Timestamp("2024-01-02"), pd.Timestamp("2024-01-02") + pd.Timedelta(days=n_days))
    hours = [pd.date_range(row.open_at, row.close_at, freq="h", inclusive="left") for row in days.itertuples()]
    open_at = pd.DatetimeIndex(np.concatenate(hours), tz="UTC")
    ends = pd.DatetimeIndex(np.repeat(days["close_at"].to_numpy(), [len(each) for each in hours]), tz="UTC")
    close_at = (open_at + pd.Timedelta(hours=1)).where(open_at + pd.Timedelta(hours=1) <= ends, ends)
    steps = rng.normal(0.0, 0.005, (len(open_at), 2))
    steps[rng.choice(np.arange(20, len(steps) - 20), len(steps) // 400, replace=False)] -= 0.08
    close = pd.DataFrame(100.0 * np.exp(steps.cumsum(axis=0)), index=open_at, columns=["AAA", "BBB"])
    opens = close.shift().fillna(100.0)
    return Prices(
        opens, close.clip(lower=opens), close.clip(upper=opens), close, close * 0.0 + 1.0, open_at, close_at, calendar
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("how", [without, blanked])
def test_crash_hours_taken_out_of_bars_round_the_clock_are_suspicious_and_a_whole_grid_passes(seed: int, how) -> None:
    prices, hour = hourly(seed, "24/7"), pd.Timedelta(hours=1)
    crash = np.argsort(np.log(prices.close / prices.open).mean(axis=1).to_numpy())[:3]
    found = check_exclusions(*grid_of(how(prices, crash), "24/7", hour), gate={})
    assert (found.verdict, found.effect) == ("suspicious", pytest.approx(3 / len(prices.open_at)))
    assert {row["session"] for row in found.evidence} == {prices.open_at[row].isoformat() for row in crash}
    assert all(f"{prices.open_at[row]:%Y-%m-%d %H:%M}" in found.detail for row in crash)
    whole = check_exclusions(*grid_of(prices, "24/7", hour), gate={})
    assert (whole.verdict, whole.effect) == ("pass", 0.0)
    lost = np.random.default_rng(seed).choice(np.setdiff1d(np.arange(10, 1400), [*crash - 1, *crash, *crash + 1]), 3)
    assert check_exclusions(*grid_of(how(prices, lost), "24/7", hour), gate={}).verdict == "pass"


@pytest.mark.parametrize("how", [without, blanked])
@pytest.mark.parametrize("calendar", ["XNYS", "XASX"])
def test_intraday_bars_of_an_exchange_are_held_against_its_sessions(calendar: str, how) -> None:
    prices, hour = hourly(1, calendar, 150), pd.Timedelta(hours=1)
    table = sessions(calendar, pd.Timestamp("2024-01-02"), pd.Timestamp("2024-05-31"))
    opens = pd.DatetimeIndex(table["open_at"])
    opens = opens[opens <= prices.open_at[-1]]
    joined, grid = grid_of(prices, calendar, hour)
    assert list(grid) == list(opens)
    assert list(joined.open_at) == list(opens)
    inside = prices.open_at.searchsorted(opens)
    assert list(joined.open["AAA"]) == list(prices.open["AAA"].iloc[inside])
    assert list(joined.close["BBB"]) == list(prices.close["BBB"].iloc[[*inside[1:] - 1, -1]])
    # An hour without a trade is no gap; a day of the worst fall is.
    assert check_exclusions(*grid_of(how(prices, np.array([2, 40, 77])), calendar, hour), gate={}).effect == 0.0
    fallen = replace(prices, **{
        name: getattr(prices, name) * np.where(prices.open_at >= opens[50], 0.7, 1.0)[:, None]
        for name in ("open", "high", "low", "close")
    })  # fmt: skip
    day = np.flatnonzero((prices.open_at >= opens[50]) & (prices.open_at < opens[51]))
    found = check_exclusions(*grid_of(how(fallen, day), calendar, hour), gate={})
    assert (found.verdict, found.evidence[0]["session"]) == ("suspicious", opens[50].isoformat())
    assert check_exclusions(*grid_of(how(prices, day), calendar, hour), gate={}).verdict == "pass"
