"""One's own weights or signal through the books: placed where they belong, charged, judged, and never bent to fit."""

from __future__ import annotations

import inspect
import pydoc
import warnings
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import pytest
from samples.own_strategies import coins, follow, shares

import embargo.backtest
from embargo.backtest import Costs, Execution, backtest, judge, simulate
from embargo.backtest.leakage import assert_causal
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.signals.weights import WeightSettings, to_weights, tradable_mask, trailing_risk

QUICK = {"engine": "kernel", "n_boot": 200}


@pytest.fixture(scope="module")
def result():
    return backtest(follow(shares()), shares(), trials=10, **QUICK)


def test_the_books_are_those_of_simulate(result):
    prices = shares()
    books = simulate(follow(prices), prices.open, prices.close, open_at=prices.open_at, costs=Costs(), engine="kernel")
    pd.testing.assert_series_equal(result.returns, books.returns)
    pd.testing.assert_series_equal(result.turnover, books.turnover)
    assert result.frictions["costs_paid"]["commission"]["currency"] == books.commission > 0.0


def test_the_judgement_is_that_of_its_returns(result):
    told = judge(result.returns, periods_per_year=252.0, trials=10, n_boot=200)
    assert told.sharpe == result.sharpe
    assert told.chance == result.judgement.chance
    assert told.performance.items() <= result.performance.items()
    assert list(result.benchmarks) == ["buy_and_hold", "equal_weight", "cash"]
    assert list(result.judgement.relative) == ["buy_and_hold", "equal_weight"]
    assert set(result.regimes["definition"]) == {"trend", "volatility"}


def test_vectorbt_keeps_the_same_books_and_single_trades():
    prices = coins(90)
    kept, fast = (backtest(follow(prices), prices, n_boot=200, engine=engine) for engine in ("vectorbt", "kernel"))
    np.testing.assert_allclose(kept.returns, fast.returns, rtol=0, atol=1e-9)
    assert kept.performance["trades"]["n_trades"] == len(kept.books.trades) > 0
    assert "trades" not in fast.performance


def test_history_before_the_weights_is_history_only():
    prices = shares()
    weights = follow(prices)
    late = backtest(weights.iloc[120:], prices, **QUICK)
    books = simulate(
        weights.iloc[120:],
        prices.open.iloc[120:],
        prices.close.iloc[120:],
        open_at=prices.open_at[120:],
        costs=Costs(),
        engine="kernel",
    )
    pd.testing.assert_series_equal(late.returns, books.returns)
    assert "unlabelled" not in set(late.judgement.labels["trend"])
    capped = {"execution": Execution(participation=0.001), "costs": Costs(impact=1.0)}
    assert backtest(weights.iloc[120:], prices, **capped, **QUICK).books.counts["capped_orders"] > 0


def test_labels_do_not_move_with_later_prices():
    prices = shares()
    cut = prices.select(bars=slice(0, 150))
    whole, part = (backtest(follow(cut), each, **QUICK).judgement.labels for each in (prices, cut))
    pd.testing.assert_frame_equal(whole, part)


@pytest.mark.parametrize(
    "weighting",
    [WeightSettings(), WeightSettings(method="sign", cap=0.2, inverse_volatility=True, target_volatility=0.1)],
)
def test_a_signal_becomes_weights_by_the_rule_of_a_run(weighting):
    prices = shares()
    signal = follow(prices) * 1.5
    last_closed = np.arange(len(signal)) - 1
    risk = trailing_risk(prices.close, last_closed, periods_per_year=252.0) if weighting.needs_risk else None
    wanted = to_weights(signal, tradable_mask(prices.close, last_closed), weighting, risk=risk)
    made = backtest(signal, prices, weighting=weighting, **QUICK)
    pd.testing.assert_frame_equal(made.weights, wanted)
    assert made.weights.abs().to_numpy().max() > 0.0


def test_what_is_no_signal_is_refused():
    prices = coins(60)
    signal = follow(prices)
    signal.iloc[20, 1] = 1.5
    with pytest.raises(DataError, match=r"B at 2022-01-21 .* is 1\.5.*leave weighting out"):
        backtest(signal, prices, weighting=WeightSettings(), **QUICK)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (
            lambda weights: weights.set_axis(weights.index.tz_localize(None)),
            "no time zone.*close of a bar belongs to a later one",
        ),
        (lambda weights: weights.reset_index(drop=True), "holds int64, not instants"),
        (lambda weights: weights.iloc[::-1], "do not increase at row 1"),
        (lambda weights: weights.drop(weights.index[10]), "no row for the bar that opens at 2022-01-11"),
        (
            lambda weights: weights.shift(1, freq="D"),
            "1 of 60 rows .* first 2022-03-02.*Cut what lies outside yourself.*belongs to a later one",
        ),
        (lambda weights: weights.shift(1, freq="h"), "60 of 60 rows .* no bar.*belongs to a later one"),
        (lambda weights: weights.drop(columns="C"), r"1 symbol .* first 'C'.*prices.select"),
        (lambda weights: weights[["A", "B", "C", "C"]], "'C' stands twice"),
        (lambda weights: weights.mask(weights == 0.0), "Write 0 to hold nothing"),
        (lambda weights: weights["A"], "expected a DataFrame"),
        (lambda weights: weights.astype(str), "A holds '0.0', no number"),
        (lambda weights: weights > 0.0, "A holds (bool|False), no number"),
        (lambda weights: weights + 0j, "no number"),
        (lambda weights: weights.set_axis(pd.MultiIndex.from_product([["x"], weights.columns]), axis=1), "2 levels"),
        (lambda weights: weights.set_axis(pd.DatetimeIndex([pd.NaT, *weights.index[1:]])), "row 0 has no instant"),
        (lambda weights: weights.iloc[:0], "there are no rows"),
    ],
)
def test_weights_that_do_not_fit_the_bars_are_refused(spoil, told):
    prices = coins(60)
    with pytest.raises(DataError, match=told):
        backtest(spoil(follow(prices)), prices, **QUICK)


def test_rows_dated_by_the_close_are_told_where_they_belong():
    prices = shares(60)
    with pytest.raises(DataError, match=r"is when a bar closes.*later one.*open_at"):
        backtest(follow(prices).set_axis(prices.close_at), prices, **QUICK)


def test_other_zones_and_orders_of_symbols_are_the_same_weights():
    prices = coins(60)
    weights = follow(prices)
    other = weights[["C", "A", "B"]].set_axis(weights.index.tz_convert("Asia/Tokyo"))
    pd.testing.assert_series_equal(backtest(other, prices, **QUICK).returns, backtest(weights, prices, **QUICK).returns)


@pytest.mark.parametrize(
    ("setting", "error", "told"),
    [
        ({"costs": 0.001}, TypeError, r"costs: expected Costs, got float.*Costs\(fee="),
        ({"costs": None}, TypeError, "costs: expected Costs"),
        ({"execution": "close"}, TypeError, "execution: expected Execution, got str"),
        ({"weighting": "sign"}, TypeError, "weighting: expected WeightSettings, got str"),
        ({"latency": "5min"}, TypeError, r"latency: expected timedelta, got str.*pd\.Timedelta"),
        ({"latency": pd.NaT}, TypeError, "latency: expected timedelta"),
        ({"preset": "equity"}, TypeError, "preset: expected RegimePreset, got str"),
        ({"funding": pd.Series([0.0])}, TypeError, "funding: expected DataFrame, got Series"),
        ({"funding": follow(coins(60)) * 0.0 + np.inf}, DataError, "funding: a rate is infinite"),
        ({"seed": -1}, ConfigError, "seed must be a whole number from 0 on, got -1"),
        ({"seed": None}, ConfigError, "seed must be a whole number"),
        ({"periods_per_year": 0}, ConfigError, "periods_per_year must be positive"),
        ({"periods_per_year": np.inf}, ConfigError, "periods_per_year must be positive and finite"),
        ({"n_boot": 200.5}, ConfigError, "n_boot must be a whole number"),
    ],
)
def test_settings_of_another_kind_are_refused_by_name(setting, error, told):
    prices = coins(60)
    with pytest.raises(error, match=told):
        backtest(follow(prices), prices, **(QUICK | setting))


def test_what_is_no_prices_or_of_no_calendar_is_refused():
    prices = coins(60)
    with pytest.raises(DataError, match=r"expected Prices, got DataFrame.*from_frames"):
        backtest(follow(prices), prices.close, **QUICK)
    with pytest.raises(ConfigError, match="calendar 'BINANCE' is unknown"):
        backtest(follow(prices), replace(prices, calendar="BINANCE"), **QUICK)


def test_gross_beyond_the_account_is_refused():
    prices = coins(60)
    with pytest.raises(ConfigError, match="exceeds 1"):
        backtest(follow(prices) * 2.0, prices, **QUICK)
    assert backtest(follow(prices) * 2.0, prices, execution=Execution(leverage=2.0), **QUICK).books.counts


def test_reading_the_bar_that_is_traded_warns_and_the_probe_says_why():
    def peek(prices):
        return np.sign(prices.close / prices.open - 1.0) / 3

    prices = coins()
    with pytest.warns(UserWarning, match="gone after one bar of delay.*assert_causal") as caught:
        result = embargo.backtest(peek(prices), prices, **QUICK)
    assert caught[0].filename == __file__
    assert result.findings[0].verdict == "suspicious"
    with pytest.raises(embargo.data_loaders.errors.LeakError, match="peek knows the future"):
        assert_causal(peek, prices=prices)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert embargo.backtest(follow(prices), prices, **QUICK).findings[0].verdict == "pass"
    assert assert_causal(follow, prices=prices).verdict == "pass"


@pytest.mark.parametrize(("prices", "years"), [(coins(60), 365.0), (shares(60), 252.0)])
def test_the_calendar_says_how_many_bars_a_year_has(prices, years):
    assert backtest(follow(prices), prices, **QUICK).judgement.periods_per_year == years
    assert backtest(follow(prices), prices, periods_per_year=100.0, **QUICK).judgement.periods_per_year == 100.0


def test_bars_that_no_calendar_counts_ask_for_their_number():
    prices = coins(60)
    weekly = prices.select(bars=np.arange(0, 60, 7))
    with pytest.raises(ConfigError, match="Pass periods_per_year"):
        backtest(follow(weekly), replace(weekly, calendar="XNYS"), **QUICK)
    with pytest.raises(DataError, match="one bar alone"):
        backtest(follow(prices).iloc[:1], prices.select(bars=slice(0, 1)), **QUICK)


def test_the_package_is_the_call():
    assert inspect.signature(embargo.backtest) == inspect.signature(backtest)
    text = pydoc.plain(pydoc.render_doc(embargo.backtest))
    assert "backtest(weights" in text
    assert "Row t is what is held from the open of bar t." in text
    from embargo.backtest import metrics

    assert embargo.backtest.metrics is metrics


def test_it_shows_itself(result):
    text = str(result)
    assert text.startswith("Backtest of 3 symbols on 200 rows, 2022-01-03 to 2022-10-18 (UTC)\n")
    for line in (
        "Sharpe ratio a year",
        "p after attempts, one-sided",
        "Beyond buy_and_hold",
        "Turnover a year",
        "Costs a year",
        "P7",
    ):
        assert line in text
    page = result._repr_html_()
    assert page.count("<tr>") == len(text.splitlines()) - 1
    assert len(page) < 12_000
    assert "http" not in page
    assert "<script" not in page


def test_what_loses_before_costs_bears_none():
    prices = shares()
    lost, won = sorted((backtest(sign * follow(prices), prices, **QUICK) for sign in (-1.0, 1.0)), key=_bearable)
    assert _bearable(lost) < 0.0 < _bearable(won)
    assert "it earned nothing before them either" in str(lost)
    mean, turnover = won.judgement.reach["mean"], won.performance["turnover_annual"]
    low = 10_000.0 * (_bearable(won) - (mean["mean"] - mean["low"]) / (2.0 * turnover))
    assert f"it would bear {10_000.0 * _bearable(won):.0f} (95 % interval {low:.0f} to " in str(won)


def _bearable(result):
    return result.frictions["break_even_cost"]


def test_what_it_shows_is_escaped():
    prices = coins(60)
    hostile = replace(
        prices,
        **{
            name: getattr(prices, name).rename(columns={"A": "<b>A"})
            for name in ("open", "high", "low", "close", "volume")
        },
    )
    shown = backtest(follow(hostile), hostile, **QUICK)
    finding = replace(shown.findings[0], title="<script>alert(1)</script>")
    page = replace(shown, findings=(finding,))._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_it_is_frozen(result):
    with pytest.raises(FrozenInstanceError):
        result.costs = Costs(0.0, 0.0, 0.0)
