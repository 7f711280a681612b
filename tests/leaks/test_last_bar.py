"""A bar that was cut short is smaller than any like it; quiet days, half days and small markets are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import check_last_bar, last_bar
from embargo.data_loaders.schemas import Prices


def bars(seed: int, *, n: int = 200, symbols: int = 5, hours: int = 24, wild: float = 0.15) -> Prices:
    """Bars round the clock whose volume and range vary together from bar to bar."""
    rng = np.random.default_rng(seed)
    at = pd.date_range("2020-01-01", periods=n, freq=f"{hours}h", tz="UTC")
    busy = np.exp(wild * rng.standard_normal((n, 1)) + 0.3 * rng.standard_normal((n, symbols)))
    opened = 100.0 * np.exp(np.cumsum(0.01 * rng.standard_normal((n, symbols)), axis=0))
    reach = 0.02 * busy * rng.uniform(0.7, 1.3, (n, symbols))
    panels = (opened, opened * (1 + reach), opened, opened * (1 + 0.5 * reach), np.round(1e6 * busy))
    frames = [pd.DataFrame(panel, index=at, columns=[f"S{i}" for i in range(symbols)]) for panel in panels]
    return Prices(*frames, at, at + pd.Timedelta(hours=hours), calendar="24/7")


def cut_at(prices: Prices, share: float) -> Prices:
    """End the newest bar when that share of it was over: volume grows with time, range with its root."""
    panels = {name: getattr(prices, name).copy() for name in ("high", "low", "close", "volume")}
    opened = prices.open.iloc[-1]
    for name in ("high", "low", "close"):
        panels[name].iloc[-1] = opened + share**0.5 * (panels[name].iloc[-1] - opened)
    panels["volume"].iloc[-1] *= share
    return replace(prices, **panels)


@pytest.mark.parametrize(("symbols", "share"), [(5, 0.05), (5, 0.15), (1, 0.05)])
def test_a_bar_cut_short_is_suspicious_and_its_clean_twin_is_not(symbols, share):
    for seed in range(5):
        prices = bars(seed, symbols=symbols)
        assert check_last_bar(prices).verdict == "pass"
        finding = check_last_bar(cut_at(prices, share))
        assert (finding.verdict, finding.code) == ("suspicious", "T3")
        assert finding.effect < 2.5 * share
        assert finding.evidence[0]["share_of_usual"] == finding.effect
        assert "split.end" in finding.remedy


def test_of_bars_that_differ_much_most_short_parts_are_found_and_few_long_ones():
    """A sixth of a day stands out from days that have half or twice the usual; half of one does not."""
    worlds = [bars(seed, wild=0.35) for seed in range(20)]
    found = {
        share: sum(check_last_bar(cut_at(prices, share)).verdict == "suspicious" for prices in worlds)
        for share in (1 / 6, 1 / 2)
    }
    assert found[1 / 6] >= 9
    assert found[1 / 2] <= 3


def test_without_volumes_the_range_tells():
    prices = bars(1)
    bare = replace(prices, volume=prices.volume * np.nan)
    assert check_last_bar(bare).evidence[0]["what"] == "range"
    assert check_last_bar(cut_at(bare, 0.02)).verdict == "suspicious"


def test_a_quiet_day_is_not_a_part_of_one():
    """Little volume on a day of the usual range, and the other way round, was all the same a whole day."""
    prices = bars(2)
    short = cut_at(prices, 0.05)
    assert check_last_bar(replace(prices, volume=short.volume)).verdict == "pass"
    assert check_last_bar(replace(short, volume=prices.volume)).verdict == "pass"


def test_bars_are_held_against_those_of_their_own_hour():
    """An hour that is quiet every day is not quiet for its kind."""
    prices = bars(3, n=100 * 6, hours=4)
    quiet = np.where(prices.open_at.hour == prices.open_at[-1].hour, 0.05, 1.0)
    calm = prices.high.sub(prices.open).mul(quiet, axis=0).add(prices.open)
    daily = replace(prices, volume=prices.volume.mul(quiet, axis=0), high=calm, close=(calm + prices.open) / 2)
    finding = check_last_bar(daily)
    assert (finding.verdict, finding.evidence[0]["bars_alike"]) == ("pass", 80)
    assert check_last_bar(cut_at(daily, 0.05)).verdict == "suspicious"


def test_false_alarms_are_rarer_than_one_in_a_thousand():
    verdicts = [check_last_bar(bars(seed, symbols=1 + seed % 4, n=80 + seed % 100)).verdict for seed in range(300)]
    assert verdicts.count("suspicious") == 0


def test_few_bars_and_prices_without_anything_tell_nothing():
    prices = bars(4)
    assert check_last_bar(prices.select(bars=slice(0, 50))).verdict == "inconclusive"
    flat = dict.fromkeys(("high", "low", "close"), prices.open)
    assert check_last_bar(replace(prices, volume=prices.volume * 0.0, **flat)).verdict == "inconclusive"


def test_how_far_a_bar_lies_below_is_counted_from_the_middle_of_the_others():
    # The others lie at 1, 2, 3, 4 and 5, the newest three below their middle; half of them lie within one of it.
    assert last_bar._below(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 0.0])) == pytest.approx(-3.0 / 1.4826)
    assert last_bar._below(np.array([3.0, 3.0, 3.0, 0.0])) == 0.0
