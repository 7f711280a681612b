"""Bars labelled one bar late or early, held against early closes, expiries, midnights and news."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import check_bar_stamps
from embargo.data_loaders.archive import read_prices
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices
from embargo.research.benchmarks.clock_power import ClockWorld, make_world
from embargo.research.benchmarks.stamp_power import labelled


@pytest.fixture(scope="module")
def world() -> ClockWorld:
    return make_world("XNYS", "flat", "at publication", np.random.default_rng(3))


def with_volume(prices: Prices, seed: int = 0) -> Prices:
    """Volumes of a US exchange: half on early closes, half as much again on expiries."""
    rng = np.random.default_rng(seed)
    shape = prices.volume.shape
    local = prices.open_at.tz_convert("America/New_York")
    short = (prices.close_at - prices.open_at) < pd.Timedelta(hours=5)
    expiry = (local.month % 3 == 0) & (local.day_of_week == 4) & (local.day >= 15) & (local.day <= 21)
    usual = 14.0 + 0.1 * rng.standard_normal((shape[0], 1)) - 0.7 * short[:, None] + 0.4 * expiry[:, None]
    volume = np.exp(usual + 0.3 * rng.standard_normal(shape))
    panel = pd.DataFrame(volume, index=prices.volume.index, columns=prices.volume.columns)
    return dataclasses.replace(prices, volume=panel)


@pytest.mark.parametrize(("late", "verdict"), [(0, "pass"), (1, "suspicious"), (-1, "suspicious")])
@pytest.mark.parametrize("told", [True, False])
def test_volumes_of_special_days_tell(world, late, verdict, told):
    prices = labelled(with_volume(world.prices), late)
    finding = check_bar_stamps(prices, world.news if told else None)
    assert finding.verdict == verdict
    if late:
        assert f"one bar {'late' if late > 0 else 'early'}" in finding.detail
        assert ("look-ahead" in finding.detail) == (late > 0)
        assert "Do not move bars" in finding.remedy
        assert finding.effect < -4.0
    assert len(finding.evidence) == 1 + told


def test_news_alone_tells_late_labels_and_never_early_ones(world):
    assert check_bar_stamps(world.prices, world.news).verdict == "pass"
    late = check_bar_stamps(labelled(world.prices, 1), world.news)
    assert (late.verdict, late.effect < -5.0) == ("suspicious", True)
    assert check_bar_stamps(labelled(world.prices, -1), world.news).verdict == "inconclusive"


@pytest.mark.parametrize("side", ["previews", "digests"])
def test_news_beside_its_move_does_not_outvote_volumes(world, side):
    """Articles a session before what they speak of, or after it, with bars that are right."""
    day = pd.Timedelta(days=1 if side == "digests" else -1)
    news = world.news.assign(published_at=world.news["published_at"] + day)
    assert check_bar_stamps(with_volume(world.prices), news).verdict != "suspicious"


def test_prices_that_do_not_react_tell_nothing():
    for seed in range(6):
        silent = make_world("XNYS", "flat", "none", np.random.default_rng(seed))
        prices = dataclasses.replace(with_volume(silent.prices, seed), volume=silent.prices.volume)
        for late in (-1, 0, 1):
            assert check_bar_stamps(labelled(prices, late), silent.news).verdict == "inconclusive"


def _hourly(seed: int = 0, days: int = 200) -> Prices:
    rng = np.random.default_rng(seed)
    opens = pd.date_range("2022-01-01", periods=24 * days, freq="h", tz="UTC", unit="us")
    shape = (len(opens), 3)
    close = np.exp(4.0 + np.cumsum(0.005 * rng.standard_normal(shape), axis=0))
    volume = np.exp(10.0 + 0.4 * (opens.hour == 0)[:, None] + 0.4 * rng.standard_normal(shape))
    panels = [pd.DataFrame(values, index=opens, columns=list("abc")) for values in (close, volume)]
    return Prices(
        open=panels[0],
        high=panels[0],
        low=panels[0],
        close=panels[0],
        volume=panels[1],
        open_at=opens,
        close_at=opens + pd.Timedelta(hours=1),
        calendar="24/7",
    )


@pytest.mark.parametrize(("late", "verdict"), [(0, "pass"), (1, "suspicious"), (-1, "suspicious")])
def test_midnight_tells_of_hours_round_the_clock(late, verdict):
    assert check_bar_stamps(labelled(_hourly(), late)).verdict == verdict


def test_without_power_nothing_is_said(world):
    assert check_bar_stamps(world.prices).verdict == "inconclusive"
    few = world.prices.select(bars=np.arange(20))
    assert "too few" in check_bar_stamps(few, world.news).detail
    assert check_bar_stamps(world.prices, world.news.head(30)).verdict == "inconclusive"
    with pytest.raises(DataError, match="symbol"):
        check_bar_stamps(world.prices, world.news.drop(columns="symbol"))


@pytest.mark.real_data
def test_true_bars_of_a_year_pass_and_shifted_ones_do_not(real_data):
    prices = read_prices(real_data / "stocknet_prices.parquet", calendar="XNYS").prices
    for year in (2013, 2014, 2015, 2016):
        place = np.flatnonzero(prices.open_at.year == year)
        bars = prices.select(bars=place)
        assert check_bar_stamps(bars).verdict == "pass"
        for late in (1, -1):
            assert check_bar_stamps(labelled(bars, late)).verdict in {"suspicious", "inconclusive"}
    assert {check_bar_stamps(labelled(prices, late)).verdict for late in (1, -1)} == {"suspicious"}
