"""Lists of survivors have too few endings; lists as they were have what chance gives; small ones tell nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from embargo.backtest.leakage import check_universe
from embargo.backtest.leakage.universe import ENDED, LEVEL
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices

WEEK = pd.Timedelta(days=7)


def market(seed: int, *, symbols: int = 100, years: float = 6.0, rate: float = 0.04, survivors: bool = False) -> Prices:
    """Symbols that end at a rate a year; of survivors alone as many as asked for, drawn from those that are left."""
    rng = np.random.default_rng(seed)
    at = pd.date_range("2012-01-02", periods=int(years * 52), freq="7D", tz="UTC")
    ends = rng.exponential(1.0 / rate, symbols * 20 if survivors else symbols)
    if survivors:
        ends = ends[ends > years][:symbols]
    alive = (at - at[0]).total_seconds().to_numpy()[:, None] / (365.25 * 86_400) <= ends
    close = pd.DataFrame(np.where(alive, 100.0, np.nan), index=at, columns=[f"S{i}" for i in range(len(ends))])
    return Prices(close, close, close, close, close, at, at + pd.Timedelta(hours=7), calendar="XNYS")


@pytest.mark.parametrize("seed", range(10))
def test_survivors_alone_are_suspicious_and_their_clean_twins_are_not(seed: int) -> None:
    biased = check_universe(market(seed, survivors=True))
    assert biased.verdict == "suspicious"
    assert (biased.evidence[0]["ended"], biased.effect) == (0, 0.0)
    assert biased.evidence[0]["symbol_years"] == pytest.approx(600, rel=0.02)
    clean = check_universe(market(seed))
    assert clean.verdict == "pass"
    assert clean.evidence[0]["those"]


def test_false_alarms_are_those_of_the_law_even_where_endings_are_as_rare_as_assumed() -> None:
    """At the assumed rate itself, the worst case: all rates above it alarm more seldom."""
    alarms = sum(check_universe(market(1_000 + seed, rate=0.02)).verdict == "suspicious" for seed in range(300))
    assert alarms <= stats.binom.ppf(0.999, 300, LEVEL)


def test_small_lists_and_short_times_tell_nothing() -> None:
    for prices in (market(0, symbols=19, years=30.0, survivors=True), market(0, years=2.0, survivors=True)):
        finding = check_universe(prices)
        assert finding.verdict == "inconclusive"
        assert "list was made" in finding.remedy


def test_a_halt_before_the_end_is_no_ending_and_a_late_start_counts_no_years() -> None:
    prices = market(0, symbols=30, years=4.0, survivors=True)
    halted = prices.close.copy()
    halted.iloc[-int(ENDED / WEEK) :, 0] = np.nan
    late = halted.copy()
    late.iloc[:104, :15] = np.nan

    def of(close: pd.DataFrame) -> Prices:
        return Prices(close, close, close, close, close, prices.open_at, prices.close_at, calendar="XNYS")

    assert check_universe(of(halted)).evidence[0]["ended"] == 0
    whole, cut = (check_universe(of(panel)).evidence[0]["symbol_years"] for panel in (halted, late))
    assert whole - cut == pytest.approx(15 * 104 * 7 / 365.25, abs=0.2)
    row = check_universe(of(halted), rate=0.1).evidence[0]
    assert row["expected"] == pytest.approx(0.1 * row["symbol_years"], abs=0.06)


def test_where_nothing_ends_nothing_is_asked_and_no_prices_are_refused() -> None:
    prices = market(0, survivors=True)
    assert check_universe(prices, rate=None).verdict == "not-applicable"
    empty = prices.close * np.nan
    with pytest.raises(DataError, match="no prices"):
        check_universe(Prices(empty, empty, empty, empty, empty, prices.open_at, prices.close_at, calendar="XNYS"))


def test_a_list_that_was_made_after_the_first_decision_is_suspicious_whatever_became_of_it() -> None:
    prices = market(0)
    first, last = prices.open_at[10], prices.open_at[-1]
    for rate in (0.02, None):
        late = check_universe(prices, rate=rate, chosen_at=last, first_decided_at=first)
        assert (late.verdict, late.effect) == ("suspicious", (last - first) / pd.Timedelta(days=1))
        shown = {name: pd.Timestamp(at) for name, at in late.evidence[0].items()}
        assert shown == {"chosen_at": last, "first_open_at": first}
    assert check_universe(prices, chosen_at=first, first_decided_at=first).verdict == "pass"


def test_a_dated_list_needs_no_endings_unless_chance_needs_them() -> None:
    small, large = market(0, symbols=12, survivors=True), market(0, survivors=True)
    assert check_universe(small, chosen_at=small.open_at[0]).verdict == "pass"
    assert check_universe(small).verdict == "inconclusive"
    assert check_universe(large, chosen_at=large.open_at[0]).verdict == "suspicious"


@pytest.mark.parametrize(
    ("calendar", "opens", "chosen", "verdict"),
    [
        ("24/7", "2020-01-01 00:00Z", "2020-01-01", "pass"),
        ("24/7", "2020-01-01 00:00Z", "2020-01-01 00:01", "suspicious"),
        ("24/7", "2020-01-01 00:00Z", "2020-01-02", "suspicious"),
        ("XNYS", "2020-01-02 14:30Z", "2020-01-02", "pass"),
        ("XNYS", "2020-01-02 14:30Z", "2020-01-02 20:00", "suspicious"),
        ("XNYS", "2020-01-02 14:30Z", "2020-01-03", "suspicious"),
        # In Sydney that day has begun before 00:00 UTC.
        ("XASX", "2020-01-01 23:00Z", "2020-01-02", "pass"),
    ],
)
def test_a_list_of_the_first_bars_own_day_is_not_late(calendar: str, opens: str, chosen: str, verdict: str) -> None:
    at = pd.date_range(opens, periods=3, freq="D")
    close = pd.DataFrame(1.0, index=at, columns=["A", "B"])
    prices = Prices(close, close, close, close, close, at, at + pd.Timedelta(hours=6), calendar=calendar)
    found = check_universe(
        prices,
        rate=None,
        chosen_at=pd.Timestamp(chosen, tz="UTC"),
        first_decided_at=at[0] - pd.Timedelta(minutes=5),
    )
    assert found.verdict == verdict
    # A good date is acknowledged where no endings are to be expected, too.
    assert chosen[:10] in found.detail


@pytest.mark.parametrize("name", ["chosen_at", "first_decided_at"])
def test_an_instant_without_a_zone_is_named(name: str) -> None:
    with pytest.raises(DataError, match=f"{name}.*time zone"):
        check_universe(market(0, symbols=3), **{name: pd.Timestamp("2012-01-02")})
