"""The traps that the shared real data sets are known for are found by the checks, and their sound parts are fine."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from embargo.data_loaders.archive import read_news, read_prices
from embargo.data_loaders.checks import Check, check_news, check_prices
from embargo.data_loaders.checks.levels import adjustment

pytestmark = pytest.mark.real_data
HOURLY = {"calendar": "24/7", "bar": "1h", "columns": {"open_at": "open_time"}}


def named(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


@pytest.mark.slow
def test_stocknet_news(real_data: Path) -> None:
    loaded = read_news(real_data / "stocknet_news.parquet", columns={"article_id": "id"})
    prices = read_prices(real_data / "stocknet_prices.parquet", calendar="XNYS").prices
    checks = named(check_news(loaded.frame, prices, calendar="XNYS", counts=loaded.counts))
    assert {name for name, check in checks.items() if check.verdict != "clean"} == {
        "first sighting",
        "exact copies",
        "near copies",
        "collection gaps",
        "symbol coverage",
    }
    gaps = checks["collection gaps"]
    assert gaps.figures["days_without_articles"] == gaps.figures["gap_days"] == 34
    assert gaps.figures["longest_gap_days"] == 12
    assert gaps.rows["first_day"].iloc[0] == pd.Timestamp("2014-11-11", tz="UTC")
    copies = checks["exact copies"].figures
    assert copies["share_of_rows_verbatim"] == pytest.approx(0.283, abs=0.006)
    assert 0.10 < float(copies["share_of_articles"]) < 0.20
    assert float(checks["near copies"].figures["share_of_articles"]) > 0.12
    hours = checks["time of day"].figures
    assert hours["weekend"] == pytest.approx(0.170, abs=0.005)
    assert float(hours["exact_midnight"]) < 0.001
    clock = checks["clock"].figures
    assert (clock["stable_in"], clock["shifted_months"]) == ("local time", 0)
    assert checks["first sighting"].figures["share_assumed"] == 1.0
    coverage = checks["symbol coverage"]
    assert coverage.figures["symbols_without_articles"] == 1
    assert coverage.rows["symbol"].iloc[0] == "GMRE"


def test_stocknet_prices(real_data: Path) -> None:
    prices = read_prices(real_data / "stocknet_prices.parquet", calendar="XNYS").prices
    checks = named(check_prices(prices))
    assert (checks["holes"].verdict, checks["holes"].figures["missing"]) == ("look", 3)
    assert sorted(checks["holes"].rows["symbol"]) == ["PTR", "REX", "SNP"]
    assert (checks["volume"].verdict, checks["volume"].figures["zero"]) == ("look", 111)
    assert not {name: check.summary for name, check in checks.items() if check.verdict == "bad"}
    # AGFS was not traded for a week, which is no fault of the prices.
    stale = checks["stale closes"]
    assert (stale.verdict, stale.figures["longest_run"], stale.rows["trouble"].tolist()) == ("look", 8, ["not traded"])
    assert (
        checks["splits"].verdict == checks["ranges"].verdict == checks["bars against the calendar"].verdict == "clean"
    )
    assert checks["listings"].verdict == "look"
    assert set(checks["listings"].rows["symbol"]) == {"ABBV", "BABA", "AGFS", "GMRE"}
    moves = checks["outliers"]
    assert (moves.verdict, moves.figures["bad_ticks"]) == ("look", 0)
    assert ("AGFS", pd.Timestamp("2016-11-09 14:30", tz="UTC")) in set(
        zip(moves.rows["symbol"], moves.rows["bar"], strict=True)
    )


def test_stocknet_adjusted_against_raw(real_data: Path) -> None:
    path = real_data / "stocknet_prices.parquet"
    prices = read_prices(path, calendar="XNYS").prices
    adjusted = read_prices(path, calendar="XNYS", adjust="total_return").prices
    check = adjustment(prices, adjusted.close)
    assert (check.verdict, check.figures["apart"], check.figures["adjusted_loses"]) == ("look", 4, 0)
    assert set(check.rows["symbol"]) == {"BCH", "BSAC", "CHL"}


def test_us_stocks(real_data: Path) -> None:
    checks = named(check_prices(read_prices(real_data / "us_stocks_daily.parquet", calendar="XNYS").prices))
    assert checks["splits"].figures["split_like_jumps"] == 0
    assert checks["bars against the calendar"].verdict == checks["ranges"].verdict == "clean"
    assert checks["holes"].figures["partly_empty"] == 83
    assert (checks["listings"].verdict, checks["listings"].figures["late_starts"]) == ("look", 7)
    assert checks["outliers"].figures["bad_ticks"] == 0
    assert "AAPL" in set(checks["outliers"].rows["symbol"])
    assert checks["repeated bars"].verdict == checks["level breaks"].verdict == "clean"
    # Before about 1993 the vendor has no opens of many symbols, and writes the close before.
    assert {name for name, check in checks.items() if check.verdict == "bad"} == {"opening prices"}
    assert checks["opening prices"].marked is not None


def test_the_index_has_no_opening_price(real_data: Path) -> None:
    path = real_data / "sp500_index_daily.parquet"
    checks = named(check_prices(read_prices(path, calendar="XNYS", start="1962-01-01").prices))
    opens = checks["opening prices"]
    assert opens.verdict == "bad"
    assert float(opens.figures["largest_share_of_a_year"]) > 0.9
    assert opens.rows["symbol"].tolist() == ["^GSPC"]
    early = read_prices(path, calendar="XNYS", start="1962-01-01", end="2010-01-01").prices
    share = float(named(check_prices(early))["opening prices"].figures["share_equal"])
    assert 0.64 < share < 0.92
    assert checks["holes"].figures["partly_empty"] > 1_500


def test_crypto_news(real_data: Path) -> None:
    loaded = read_news(
        real_data / "crypto_news.parquet", columns={"article_id": "id"}, text_from=("title", "text"), symbol="MARKET"
    )
    checks = named(check_news(loaded.frame, calendar="24/7", counts=loaded.counts))
    hours = checks["time of day"]
    assert hours.verdict == "look"
    assert hours.figures["exact_midnight"] == pytest.approx(0.017, abs=0.002)
    months = checks["articles per month"]
    assert months.verdict == "look"
    assert months.rows["month"].dt.strftime("%Y-%m").tolist() == ["2021-11", "2021-12"]
    assert months.profile["articles"].tolist()[:3] == [6, 186, 151]


def test_crypto_candles(real_data: Path) -> None:
    path = real_data / "crypto_prices_1h.parquet"
    perpetual = named(check_prices(read_prices(path, filters={"venue": "binance_usdtm_perp"}, **HOURLY).prices))
    assert {name for name, check in perpetual.items() if check.verdict != "clean"} == {"outliers"}
    assert perpetual["outliers"].figures["bad_ticks"] == 0
    spot = {"filters": {"venue": "binance_spot"}, **HOURLY}
    bitcoin = named(check_prices(read_prices(path, symbols=["BTCUSDT"], **spot).prices))["bars against the calendar"]
    assert (bitcoin.verdict, bitcoin.figures["missing"]) == ("look", 1)
    ether = named(check_prices(read_prices(path, symbols=["ETHUSDT"], **spot).prices))["bars against the calendar"]
    assert (ether.verdict, ether.figures["off_calendar"]) == ("look", 0)
    assert int(ether.figures["missing"]) == 32
