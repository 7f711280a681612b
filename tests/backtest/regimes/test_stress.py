from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.regimes import WINDOWS, StressWindow, stress_table
from embargo.data_loaders.errors import DataError


def daily(first: str, last: str, seed: int = 0) -> pd.Series:
    index = pd.date_range(f"{first} 14:30", f"{last} 14:30", freq="B", tz="UTC")
    return pd.Series(np.random.default_rng(seed).normal(0.0, 0.01, len(index)), index=index)


def test_windows_are_well_formed():
    assert len({window.name for window in WINDOWS}) == len(WINDOWS)
    for window in WINDOWS:
        assert pd.Timestamp(window.first) <= pd.Timestamp(window.last)
        assert window.market in ("shares", "crypto")
        assert 10 < len(window.fact) < 60


def test_only_windows_with_bars_are_listed_in_order_of_time():
    returns = daily("2020-01-01", "2022-03-31")
    table = stress_table(returns)
    assert table["first"].is_monotonic_increasing
    assert table["window"].tolist() == [
        "COVID crash", "Crypto crash March 2020", "Crypto crash May 2021", "Rates shock 2022"
    ]  # fmt: skip
    row = table.set_index("window").loc["COVID crash"]
    inside = returns["2020-02-20":"2020-03-23"]
    assert row["n_bars"] == len(inside) == 23
    assert row["total_return"] == pytest.approx((1 + inside).prod() - 1)
    assert row["worst_bar"] == inside.min()
    assert row["covered"] == 1.0
    assert row["max_drawdown"] <= row["worst_bar"]
    assert row["market_return"] is None
    partly = table.set_index("window").loc["Rates shock 2022", "covered"]
    assert partly == pytest.approx(87 / 282, abs=0.005)  # days from 4 January to 31 March and to 12 October
    json.dumps(table.to_dict("records"), allow_nan=False)


def test_nothing_overlaps_nothing_is_listed():
    assert stress_table(daily("2013-01-01", "2013-12-31")).empty


def test_the_market_stands_beside_on_the_same_bars():
    returns = daily("2018-01-01", "2018-12-31")
    market = -returns
    window = StressWindow("Autumn", "shares", "2018-10-01", "2018-10-31", "A month of its own.")
    (row,) = stress_table(returns, market=market, windows=[window]).to_dict("records")
    assert row["market_return"] == pytest.approx((1 - returns["2018-10"]).prod() - 1)
    with pytest.raises(DataError, match="different bars"):
        stress_table(returns, market=market.iloc[1:])
    with pytest.raises(DataError, match="UTC instants"):
        stress_table(returns.tz_localize(None))


def test_hours_of_a_day_belong_to_its_window():
    index = pd.date_range("2021-05-11", "2021-05-25", freq="h", tz="UTC")
    table = stress_table(pd.Series(0.001, index=index)).set_index("window")
    assert table.loc["Crypto crash May 2021", "n_bars"] == 12 * 24


@pytest.mark.real_data
def test_facts_about_the_sp500_are_facts(real_data):
    frame = pd.read_parquet(real_data / "sp500_index_daily.parquet")
    market = pd.Series(frame["close"].to_numpy(), index=pd.DatetimeIndex(frame["date"])).pct_change().fillna(0.0)
    shares = [window for window in WINDOWS if window.market == "shares"]
    table = stress_table(market, windows=shares).set_index("window")
    assert len(table) == len(shares)
    percent = 100.0 * table["total_return"].astype(float)
    named = {
        "Crash of 1929": -45, "Great Depression": -83, "Recession of 1937": -54, "Oil crisis 1973-74": -48,
        "Russia and LTCM 1998": -19, "Dot-com bust": -49, "Financial crisis": -57, "Flash crash 2010": -3.2,
        "Yuan devaluation 2015": -11, "Fourth quarter 2018": -19.8, "COVID crash": -34, "Rates shock 2022": -25,
        "Tariff shock 2025": -12,
    }  # fmt: skip
    for name, change in named.items():
        assert f"{abs(change):g} %" in table.loc[name, "fact"]
        assert percent[name] == pytest.approx(change, abs=0.06 if change % 1 else 0.6)
    assert 100.0 * table.loc["Black Monday 1987", "worst_bar"] == pytest.approx(-20.5, abs=0.05)
    # Every window begins and ends with a session, and the falls are falls to the low of the window.
    days = set(market.index.strftime("%Y-%m-%d"))
    assert all(window.first in days and window.last in days for window in shares)
