"""Days taken out by hand are named, and doubted where they hid the worst moves; quiet gaps pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from samples import leak_worlds as worlds

from embargo.backtest.leakage import check_exclusions
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices


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
    assert check_exclusions(prices, prices.open_at, gate={}).verdict == "pass"
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
    with pytest.raises(DataError, match="no sessions"):
        check_exclusions(prices, prices.open_at[:0], gate={})
