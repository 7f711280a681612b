"""Signal research: coefficients and errors against slow recomputations, known truths, planted leaks and their twins."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import spearmanr

from embargo.data_loaders.calendars import decision_times, sessions
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import Prices
from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
from embargo.signals.aggregation import AggregationSettings, collect, decay
from embargo.signals.alignment import align
from embargo.signals.diagnostics.diagnosis import Diagnosis, diagnose
from embargo.signals.diagnostics.events import event_study, publication_hours
from embargo.signals.diagnostics.information import (
    forward_returns,
    half_life,
    ic_by_lag,
    persistence,
    rank_ic,
    time_series_ic,
    turnover,
)
from embargo.signals.diagnostics.quantiles import quantile_returns
from embargo.signals.diagnostics.standard_errors import block_means, mean_by_row, newey_west_lag

World = tuple[pd.DataFrame, pd.DataFrame, Prices]
WINDOW = slice(200, 620)


def world(strength: float) -> World:
    """Signal, articles and prices of a simulated market whose sentiment is known."""
    market = simulate_market(SimulatedMarket(n_symbols=24, start="2015-01-01", end="2017-12-31", strength=strength))
    prices = market.prices
    decided_at = decision_times(prices.open_at, pd.Timedelta(minutes=5))[WINDOW]
    scored = market.news.drop(columns="label").merge(market.truth.perfect_scores, on="article_id")
    inside = (scored["known_at"] > decided_at[0] - pd.Timedelta(days=1)) & (scored["known_at"] <= decided_at[-1])
    scored = scored.loc[inside].reset_index(drop=True)
    placed = align(scored["known_at"], scored["symbol"], decided_at, prices.symbols)
    rules = AggregationSettings()
    evidence = collect(
        placed.row,
        placed.column,
        (scored["bullish"] - scored["bearish"]).to_numpy(),
        scored["confidence"].to_numpy(),
        shape=(len(decided_at), len(prices.symbols)),
        settings=rules,
    )
    signal = pd.DataFrame(decay(evidence, rules), index=prices.open_at[WINDOW], columns=prices.open.columns)
    return signal, scored.assign(row=placed.row, column=placed.column, used=True), prices


@pytest.fixture(scope="module")
def strong() -> World:
    return world(1.0)


@pytest.fixture(scope="module")
def found(strong: World) -> Diagnosis:
    signal, articles, prices = strong
    return diagnose(signal, signal * 0.05, articles, prices)


def frame(values: object) -> pd.DataFrame:
    array = np.asarray(values, dtype=float)
    bars = pd.date_range("2020-01-01", periods=len(array), freq="D", tz="UTC", unit="us", name="open_at")
    return pd.DataFrame(array, index=bars, columns=[f"S{place}" for place in range(array.shape[1])])


def persistent(rng: np.random.Generator, bars: int, symbols: int, factor: float = 0.9) -> np.ndarray:
    return np.asarray(lfilter([1.0], [1.0, -factor], rng.standard_normal((bars + 100, symbols)), axis=0)[100:])


def slow_variance(values: np.ndarray, lag: int) -> float:
    away = values - values.mean()
    total = 0.0
    for one in range(len(away)):
        for other in range(len(away)):
            total += max(0.0, 1.0 - abs(one - other) / lag) * away[one] * away[other]
    share = lag / len(values)
    return total / len(values) ** 2 / (1.0 - share + share**2 / 3.0)


def test_errors_are_those_of_a_double_loop() -> None:
    values = persistent(np.random.default_rng(0), 120, 1)[:, 0]
    made = mean_by_row(values, lag=12)
    assert made.standard_error == pytest.approx(math.sqrt(slow_variance(values, 12)))
    assert made.value == pytest.approx(values.mean())
    assert made.n_effective == pytest.approx(values.var() / made.standard_error**2)


@pytest.mark.slow
def test_errors_are_those_of_statsmodels_for_a_mean_not_taken_off() -> None:
    models = pytest.importorskip("statsmodels.api")
    values = persistent(np.random.default_rng(0), 120, 1)[:, 0]
    made = mean_by_row(values, lag=12)
    fit = models.OLS(values, np.ones(120)).fit(cov_type="HAC", cov_kwds={"maxlags": 11})
    assert made.standard_error == pytest.approx(float(fit.bse[0]) / math.sqrt(1.0 - 0.1 + 0.01 / 3.0))


def test_copies_on_the_same_bar_add_no_knowledge() -> None:
    values = np.random.default_rng(1).standard_normal(80)
    once = mean_by_row(values, lag=8)
    thrice = mean_by_row(np.repeat(values, 3), np.repeat(np.arange(80), 3), 80, lag=8)
    assert thrice.standard_error == pytest.approx(once.standard_error)
    assert thrice.p_value == pytest.approx(once.p_value)
    assert (once.n, thrice.n) == (80, 240)


def test_too_little_to_say_anything_says_so() -> None:
    for made in (
        mean_by_row(np.arange(10.0), lag=2),
        mean_by_row(np.arange(60.0), lag=40),
        mean_by_row(np.full(60, 0.3), lag=5),
    ):
        assert math.isfinite(made.value)
        assert math.isnan(made.p_value)
    assert mean_by_row(np.full(30, np.nan), lag=3).n == 0
    with pytest.raises(DataError, match="rows of shape"):
        mean_by_row(np.ones(3), np.zeros(2, dtype=int), 5, lag=1)
    with pytest.raises(ConfigError, match="lag"):
        mean_by_row(np.ones(3), lag=0)


@pytest.mark.slow
@pytest.mark.parametrize("symbols", [1, 20])
@pytest.mark.parametrize("horizon", [5, 10])
def test_a_persistent_worthless_signal_is_rejected_as_often_as_stated(symbols: int, horizon: int) -> None:
    rng = np.random.default_rng(7)
    hac, naive, draws = 0, 0, 1500
    for _ in range(draws):
        signal = frame(persistent(rng, 504, symbols))
        open_ = frame(np.exp(np.cumsum(0.01 * rng.standard_normal((504, symbols)), axis=0)))
        returns = forward_returns(open_, horizon)
        ic = (rank_ic(signal, returns) if symbols > 1 else time_series_ic(signal, returns)).to_numpy()
        hac += mean_by_row(ic, lag=newey_west_lag(504, horizon)).p_value < 0.05
        there = ic[np.isfinite(ic)]
        naive += abs(there.mean()) > 1.96 * there.std() / math.sqrt(len(there))
    assert 0.03 <= hac / draws <= 0.075
    assert naive / draws > 0.25


def test_returns_run_from_the_rows_own_open() -> None:
    open_ = frame([[10.0], [11.0], [np.nan], [22.0]])
    assert forward_returns(open_, 1)["S0"].tolist() == pytest.approx([0.1, np.nan, np.nan, np.nan], nan_ok=True)
    assert forward_returns(open_, 2)["S0"].tolist() == pytest.approx([np.nan, 1.0, np.nan, np.nan], nan_ok=True)
    with pytest.raises(ConfigError, match="horizon"):
        forward_returns(open_, 0)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(5, 9))
def test_coefficients_are_scipys_and_know_only_ranks(seed: int, symbols: int) -> None:
    rng = np.random.default_rng(seed)
    signal = frame(np.round(rng.standard_normal((12, symbols)), 1))
    returns = frame(np.where(rng.random((12, symbols)) < 0.1, np.nan, rng.standard_normal((12, symbols))))
    ic = rank_ic(signal, returns)
    for place, value in enumerate(ic):
        both = returns.iloc[place].notna()
        if both.sum() < 5 or signal.iloc[place][both].nunique() < 2:
            assert math.isnan(value)
        else:
            expected = spearmanr(signal.iloc[place][both], returns.iloc[place][both]).statistic
            assert value == pytest.approx(expected)
    order = rng.permutation(symbols)
    shifted = returns.iloc[:, order].add(rng.standard_normal(12), axis=0)
    moved = rank_ic(np.exp(signal.iloc[:, order]), shifted)
    assert moved.to_numpy() == pytest.approx(ic.to_numpy(), nan_ok=True)
    alone = time_series_ic(signal[["S0"]], returns[["S0"]])
    both = returns["S0"].notna()
    assert float(alone.mean()) == pytest.approx(spearmanr(signal["S0"][both], returns["S0"][both]).statistic)


def test_the_lag_profile_finds_the_bar_that_a_signal_knows() -> None:
    rng = np.random.default_rng(3)
    steps = 0.01 * rng.standard_normal((300, 8))
    open_ = frame(np.exp(np.vstack([np.zeros((1, 8)), np.cumsum(steps, axis=0)]))[:300])
    signal = frame(np.roll(steps, -3, axis=0))
    table, series = ic_by_lag(signal, open_, range(-2, 6))
    assert table.set_index("lag")["ic"].idxmax() == 3
    assert table.set_index("lag").loc[3, "ic"] > 0.99
    assert series.shape == (300, 8)


def test_half_lives_are_found_again() -> None:
    signal = frame(persistent(np.random.default_rng(4), 3000, 6))
    table, products = persistence(signal, 15)
    assert table["autocorrelation"].iloc[1] == pytest.approx(0.9, abs=0.02)
    life = half_life(products, block=60, seed=0)
    truth = math.log(0.5) / math.log(0.9)
    assert life.low < truth < life.high
    assert life.bars == pytest.approx(truth, rel=0.15)
    assert math.isnan(half_life(products[:50], block=60, seed=0).bars)


def test_resampled_means_keep_gaps_out() -> None:
    values = np.column_stack([np.arange(40.0), np.where(np.arange(40) % 2, np.nan, 5.0)])
    means = block_means(values, block=7, n_boot=400, seed=0)
    assert means[:, 0].mean() == pytest.approx(values[:, 0].mean(), abs=0.8)
    assert means[:, 1] == pytest.approx(np.full(400, 5.0))
    assert means[:, 0].std() > 2.0


def test_turnover_by_hand() -> None:
    weights = frame([[0.5, -0.5], [-0.5, 0.5], [-0.5, 0.5]])
    moved = turnover(weights, weights)
    assert moved["weights_traded"] == pytest.approx(0.5)
    assert moved["gross"] == pytest.approx(1.0)
    assert moved["holding_bars"] == pytest.approx(2.0)
    assert moved["rank_autocorrelation"] == pytest.approx(0.0)
    assert moved["rank_change"] == pytest.approx(0.25)


def test_quantiles_by_hand_whatever_the_order_of_columns() -> None:
    signal = frame(np.tile(np.arange(9.0, 0.0, -1.0), (40, 1)))
    rng = np.random.default_rng(5)
    noise = rng.standard_normal((40, 1)) * 1e-4
    returns = frame(np.tile([0.03, 0.03, 0.03, 0.02, 0.02, 0.02, 0.01, 0.01, 0.01], (40, 1)) + noise)
    made = quantile_returns(signal, returns, 3, horizon=1, seed=0)
    means = made.table.set_index("quantile")["mean"]
    assert means.to_dict() == pytest.approx({"1": 0.01, "2": 0.02, "3": 0.03, "spread": 0.02}, abs=1e-4)
    assert made.monotonicity < 0.01
    assert made.counts == {"used": 40, "too_few_symbols": 0, "tied": 0}
    order = rng.permutation(9)
    for equal in (signal, np.ceil(signal / 3.0)):
        again = quantile_returns(equal.iloc[:, order], returns.iloc[:, order], 3, horizon=1, seed=0)
        pd.testing.assert_frame_equal(made.table, again.table)
    assert quantile_returns(signal * 0.0, returns, 3, horizon=1, seed=0).counts["tied"] == 40
    assert quantile_returns(signal, -returns, 3, horizon=1, seed=0).monotonicity > 0.9


def test_hours_of_publication_follow_the_exchange() -> None:
    days = sessions("XNYS", pd.Timestamp("2014-07-02"), pd.Timestamp("2014-07-07"))
    opens, closes = pd.DatetimeIndex(days["open_at"]), pd.DatetimeIndex(days["close_at"])
    stamps = {
        "2014-07-02T12:00Z": "pre-market",
        "2014-07-02T13:30Z": "session",
        "2014-07-02T20:00Z": "after close",
        "2014-07-03T03:59Z": "after close",
        "2014-07-03T04:00Z": "pre-market",
        "2014-07-03T17:00Z": "after close",
        "2014-07-04T15:00Z": "closed day",
        "2014-07-06T15:00Z": "closed day",
        "2014-07-01T15:00Z": "outside the bars",
    }
    published = pd.Series(pd.to_datetime(list(stamps), utc=True)).dt.as_unit("us")
    assert list(publication_hours(published, opens, closes, "XNYS")) == list(stamps.values())
    assert publication_hours(published.iloc[:1], opens, closes, "24/7")[0] == "12–18 UTC"


def articles_at(rows: list[tuple[int, int, str]]) -> pd.DataFrame:
    made = pd.DataFrame(rows, columns=["row", "column", "said"])
    made["known_at"] = pd.date_range("2020-01-01", periods=len(made), freq="h", tz="UTC", unit="us")
    for name in ("bearish", "neutral", "bullish"):
        made[name] = np.where(made["said"] == name, 0.9, 0.05)
    return made.assign(confidence=np.where(made["said"] == "unsure", 0.4, 0.9))


def test_an_event_is_followed_from_its_first_tradable_open() -> None:
    rng = np.random.default_rng(6)
    steps = rng.standard_normal((120, 4)) * 1e-5
    for row in range(20, 100, 2):
        # S0 jumps before each event's open, by 2 %, and after it, by 1 %; both go back later.
        steps[row - 1, 0] += 0.02
        steps[row, 0] += 0.01
    open_ = frame(np.vstack([np.ones((1, 4)), np.cumprod(1.0 + steps, axis=0)])[:120])
    said = [(row - 10, 0, "bullish") for row in range(20, 100, 2)]
    said += [(5, 1, "bullish"), (5, 1, "bearish"), (6, 2, "neutral"), (7, 2, "unsure"), (-1, -1, "bullish")]
    said += [(109, 3, "bullish"), (10, 0, "bullish")]
    hours = np.full(len(said), "session", dtype=object)
    study = event_study(articles_at(said), open_, hours, first_row=10, confidence=0.6, before=1, after=1)
    path = study.table.loc[study.table["hours"] == "session"].set_index("offset")
    assert path.loc[0, ["car", "low", "high"]].tolist() == [0.0, 0.0, 0.0]
    assert path.loc[1, "car"] == pytest.approx(0.01 * 3 / 4, abs=2e-4)
    assert path.loc[-1, "car"] == pytest.approx(-0.02 * 3 / 4, abs=2e-4)
    assert path.loc[1, "low"] > 0.0
    assert path["events"].unique().tolist() == [40]
    counts = study.counts
    assert counts == {
        "articles": 47, "not_placed": 1, "not_confident": 1, "neutral": 1, "contradicted_cells": 1, "events": 41,
        "window_outside_the_bars": 1, "bars_without_trading": 0, "events_used": 40,
    }  # fmt: skip


def test_sentiment_that_moves_prices_is_seen(found: Diagnosis) -> None:
    first = found.horizons.iloc[0]
    assert found.ranking == "across symbols"
    assert first["ic"] > 0.02
    assert first["p_value"] < 0.01
    assert first["low"] > 0.0
    spread = found.quantiles.set_index(["horizon", "quantile"]).loc[(5, "spread")]
    assert spread["low"] > 0.0
    assert found.half_lives["information"].bars > 1.0
    ends = found.events.loc[found.events["hours"] == "all hours"].groupby("direction")["car"].last()
    assert ends["bullish"] > 0.0 > ends["bearish"]
    assert set(found.groups["kind"]) == {"all", "source", "confidence", "age"}


def test_what_prices_held_before_is_remarked_and_a_leak_is_not(found: Diagnosis) -> None:
    assert any("S9" in remark for remark in found.remarks)
    assert not any("T1" in remark for remark in found.remarks)


def test_a_market_without_memory_of_news_is_silent() -> None:
    signal, articles, prices = world(0.0)
    nothing = diagnose(signal, signal, articles, prices)
    assert (nothing.horizons["p_holm"] > 0.05).all()
    assert nothing.remarks == ()
    assert math.isnan(nothing.half_lives["information"].bars)


def test_a_return_leaked_into_its_own_bar_is_visible(strong: World) -> None:
    signal, articles, prices = strong
    own = forward_returns(prices.open, 1).iloc[WINDOW].set_axis(signal.index)
    leaked = (signal + 0.3 * np.sign(own.fillna(0.0))).clip(-1.0, 1.0)
    caught = diagnose(leaked, leaked, articles, prices)
    assert any("T1" in remark for remark in caught.remarks)
    twin = (signal + 0.3 * np.sign(own.shift(1).fillna(0.0))).clip(-1.0, 1.0)
    assert not any("T1" in remark for remark in diagnose(twin, twin, articles, prices).remarks)


def test_nothing_behind_the_window_is_looked_at(strong: World, found: Diagnosis) -> None:
    signal, articles, prices = strong
    rng = np.random.default_rng(8)
    panels = {}
    for name in ("open", "high", "low", "close"):
        panel = getattr(prices, name).copy()
        panel.iloc[WINDOW.stop :] *= rng.uniform(0.2, 5.0, panel.iloc[WINDOW.stop :].shape)
        panels[name] = panel
    again = diagnose(signal, signal * 0.05, articles, replace(prices, **panels))
    for name in ("horizons", "lags", "quantiles", "events", "groups"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(found, name))


def test_every_article_and_cell_is_accounted_for(strong: World, found: Diagnosis) -> None:
    signal, articles, _ = strong
    counts = found.counts["articles"]
    assert counts["articles"] == len(articles)
    assert counts["measured"] + counts["not_placed"] + counts["without_return_over_1_bars"] == len(articles)
    assert found.counts["cells"]["bars_times_symbols"] == signal.size
    groups = found.groups.groupby("kind")["articles"].sum()
    assert set(groups) == {counts["measured"]}
    events = found.counts["events"]
    assert (
        events["events_used"] + events["window_outside_the_bars"] + events["bars_without_trading"] == events["events"]
    )


def test_a_signal_without_opinions_is_said_to_be_one(strong: World) -> None:
    signal, articles, prices = strong
    silent = diagnose(signal * 0.0, signal * 0.0, articles, prices)
    (told,) = silent.remarks
    assert "no opinion on any bar" in told
    assert silent.groups["articles"].max() > 0


def test_a_signal_as_slow_as_its_window_is_doubted(strong: World, found: Diagnosis) -> None:
    signal, articles, prices = strong
    slow = pd.DataFrame(persistent(np.random.default_rng(5), *signal.shape, factor=0.99), signal.index, signal.columns)
    told = diagnose(slow, slow, articles, prices).remarks[0]
    assert told.startswith("Size not known to hold here: the signal remembers itself")
    assert not any("Size not known" in remark for remark in found.remarks)


def test_few_symbols_are_ranked_through_time(strong: World) -> None:
    signal, articles, prices = strong
    names = prices.symbols[:3]
    few = articles.loc[articles["column"].isin(range(3))]
    made = diagnose(signal[names], signal[names], few, prices.select(symbols=names))
    assert made.ranking == "through time"
    assert made.quantiles.empty
    assert math.isfinite(made.horizons["p_value"].iloc[0])
    assert any("Too few symbols for quantiles" in remark for remark in made.remarks)


def test_panels_that_do_not_belong_together_are_refused(strong: World) -> None:
    signal, articles, prices = strong
    with pytest.raises(DataError, match="not bars of the prices"):
        diagnose(signal.iloc[::2], signal.iloc[::2], articles, prices)
    with pytest.raises(DataError, match="symbols are not those"):
        diagnose(signal.iloc[:, ::-1], signal.iloc[:, ::-1], articles, prices)
    with pytest.raises(DataError, match="weights"):
        diagnose(signal, signal.iloc[1:], articles, prices)
    with pytest.raises(DataError, match="fewer than 60"):
        diagnose(signal.iloc[:30], signal.iloc[:30], articles, prices)
    with pytest.raises(ConfigError, match="horizons"):
        diagnose(signal, signal, articles, prices, horizons=(1, 300))
