"""Bars labelled one bar late or early, held against early closes, expiries, midnights and news."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from embargo.backtest.leakage import bar_stamps, check_bar_stamps
from embargo.backtest.leakage import session_lag as session_lag_of
from embargo.backtest.leakage.session_lag import LOUD, session_lag
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


def test_news_alone_tells_labels_that_are_a_session_off(world):
    assert check_bar_stamps(world.prices, world.news).verdict == "pass"
    late = check_bar_stamps(labelled(world.prices, 1), world.news)
    assert (late.verdict, late.effect < -5.0) == ("suspicious", True)
    early = check_bar_stamps(labelled(world.prices, -1), world.news)
    assert (early.verdict, early.effect > LOUD) == ("suspicious", True)
    assert "one bar early" in early.detail
    slow = world.news.assign(published_at=world.news["published_at"] + pd.Timedelta(days=1))
    for finding in (early, check_bar_stamps(world.prices, slow)):
        assert "news stamped a session late" in finding.detail
        assert all(word in finding.remedy for word in ("which of the two", "Volumes", "own stamp"))
    assert early.evidence[0]["z"] > early.evidence[1]["z"] + 2.0


def _told(seed: int, *, later_by: int = 0, strength: float = 0.5, n: int = 250) -> tuple[pd.DataFrame, Prices]:
    """News in sessions and at night, which say where its symbol went in the leg as many before it, and by how much."""
    rng = np.random.default_rng(seed)
    days = pd.bdate_range("2019-01-01", periods=n, tz="UTC")
    opens, closes = days + pd.Timedelta(hours=9), days + pd.Timedelta(hours=17)
    moves, names = rng.normal(size=(2 * n, 6)), [f"S{i}" for i in range(6)]
    when, who = rng.integers(4, 2 * n - 1, 900), rng.integers(0, 6, 900)
    said = strength * moves[when - later_by, who] + np.sqrt(1 - strength**2) * rng.normal(size=900)
    at = [(opens if leg % 2 == 0 else closes)[leg // 2] + pd.Timedelta(hours=3) for leg in when]
    news = pd.DataFrame({"published_at": at, "symbol": [names[i] for i in who], "score": said})
    level = 100.0 * np.exp(0.01 * moves.cumsum(axis=0))
    opened = np.vstack([np.full((1, 6), 100.0), level[1:-1:2]])
    frames = [pd.DataFrame(panel, index=opens, columns=names) for panel in (opened, level[::2])]
    return news, Prices(frames[0], *[frames[1]] * 3, frames[1] * np.nan, opens, closes, calendar="24/7")


@pytest.mark.parametrize("seed", range(3))
def test_what_news_say_tells_early_labels_and_digests_are_left_alone(seed):
    news, prices = _told(seed)
    early = session_lag(news, labelled(prices, -1), news)
    assert early is not None
    assert early.early
    assert check_bar_stamps(labelled(prices, -1), news, news).effect == early.before
    for later_by in (0, 1):
        honest = session_lag(*_told(seed, later_by=later_by), _told(seed, later_by=later_by)[0])
        assert honest is not None
        assert not honest.early
        assert (honest.own if later_by == 0 else honest.between) > LOUD


def test_news_that_mean_nothing_lie_nowhere_before_their_moves():
    made = [_told(seed, strength=0.0, n=90) for seed in range(25)]
    found = [session_lag(news, prices, news) for news, prices in made]
    before = np.array([lag.before for lag in found if lag is not None])
    assert len(before) == 25
    assert stats.kstest(before, "norm").pvalue > 0.001
    assert not any(lag.early for lag in found if lag is not None)


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


def test_the_first_legs_have_none_before_them_and_two_hundred_articles_are_enough():
    starts = np.array(["2024-01-01T09", "2024-01-01T17", "2024-01-02T09", "2024-01-02T17"], dtype="datetime64[us]")
    moved = np.array([[1.0], [1.0], [-1.0], [1.0]])
    first = session_lag_of._scores(np.ones(2), np.array([0, 1]), np.zeros(2, dtype=int), starts, moved)
    # A session before there was none; a leg before there was one, of the second alone.
    assert first[0].tolist() == [0.0, 1.0, 1.0]
    assert session_lag_of._scores(np.ones(1), np.array([2]), np.zeros(1, dtype=int), starts, moved)[0, 0] == 1.0
    news, prices = _told(0)
    inside = news.sort_values("published_at").iloc[::4].head(200)
    assert session_lag(inside, prices) is not None
    assert session_lag(inside.head(199), prices) is None


def test_two_hundred_articles_are_a_witness_and_eight_of_twenty_one_days_are_usual():
    news, prices = _told(1)
    assert bar_stamps._of_news(news.head(200), prices) is not None
    assert bar_stamps._of_news(news.head(199), prices) is None
    beside = bar_stamps._beside_usual(np.arange(30.0)[:, None])[:, 0]
    # At an edge half of the window is there; with seven values there is nothing usual.
    assert beside[0] == -5.0
    assert np.isfinite(beside).all()
    assert np.isfinite(bar_stamps._beside_usual(np.ones((8, 1)))).all()
    assert np.isnan(bar_stamps._beside_usual(np.ones((7, 1)))).all()
