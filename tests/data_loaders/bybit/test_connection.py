"""Candles, funding rates and instruments through the real ccxt client against a loopback Bybit."""

from __future__ import annotations

import socket
import time

import ccxt
import pandas as pd
import pytest
from servers.bybit_service import GONE, HEALING, LATE, LISTINGS, NOW, OUTAGE, BybitService, ms, redirect
from servers.loopback import Status

from embargo.data_loaders.bybit.connection import BARS, bar_name, connect
from embargo.data_loaders.errors import ConfigError, ServiceError
from embargo.data_loaders.records import validate_facts
from embargo.data_loaders.retries import Patience

PATIENCE = Patience(attempts=3, first_wait=0.0, longest_wait=5.0, timeout=2.0, deadline=10.0)
PRICES = ["open_at", "open", "high", "low", "close", "volume"]


def at(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC").as_unit("us")


def instant(milliseconds: int) -> pd.Timestamp:
    return pd.Timestamp(milliseconds, unit="ms", tz="UTC").as_unit("us")


@pytest.fixture
def service():
    with BybitService() as running, redirect(running.url):
        yield running


def candles(symbols, *, market="linear", bar="1h", start, end, now=NOW, **more):
    return connect(patience=PATIENCE).fetch_candles(
        symbols, market=market, bar=bar, start=at(start), end=at(end), now=instant(now), **more
    )


@pytest.mark.parametrize("market", ["spot", "linear"])
def test_candles_past_a_thousand_equal_the_truth(service, market):
    result = candles(["BTCUSDT"], market=market, start="2023-11-01", end="2024-03-01")
    truth = service.truth(market, "BTCUSDT", "1h", "2023-11-01", "2024-03-01")
    assert len(truth) == 121 * 24
    pd.testing.assert_frame_equal(result.bars[PRICES], truth)
    assert (result.bars["close_at"] - result.bars["open_at"] == pd.Timedelta(hours=1)).all()
    assert result.bars["venue"].unique().tolist() == [f"bybit-{market}"]
    assert result.bars["open_at"].dtype == "datetime64[us, UTC]"
    assert result.failures == {}
    assert result.gaps.empty
    assert result.counts["requests"] == 3 + (1 if market == "spot" else 4)
    assert result.answered.iloc[0].tolist() == ["BTCUSDT", at("2023-11-01"), at("2024-03-01")]


@pytest.mark.parametrize("bar", BARS)
def test_every_length_of_bar(service, bar):
    result = candles(["BTCUSDT"], bar=bar, start="2024-02-29 07:10", end="2024-03-01")
    truth = service.truth("linear", "BTCUSDT", bar, "2024-02-29 07:10", "2024-03-01")
    assert len(truth) == (1 if bar == "12h" else 0 if bar == "1d" else len(truth))
    pd.testing.assert_frame_equal(result.bars[PRICES], truth)
    assert set(result.bars["bar"]) <= {bar}


def test_names_of_bars():
    assert bar_name("60min") == "1h"
    assert bar_name("1D") == "1d"
    assert all(bar_name(bar) == bar for bar in BARS)
    for bar in ("1w", "1M", "7d"):
        with pytest.raises(ConfigError, match="longer than a day, which is not supported"):
            bar_name(bar)
    with pytest.raises(ConfigError, match="not served by Bybit"):
        bar_name("7min")


def test_the_range_is_half_open_and_the_unfinished_candle_is_dropped(service):
    result = candles(["BTCUSDT"], start="2024-02-29 20:00", end="2024-02-29 22:00")
    assert result.bars["open_at"].tolist() == [at("2024-02-29 20:00"), at("2024-02-29 21:00")]
    assert result.counts["unfinished"] == 0
    result = candles(["BTCUSDT"], start="2024-02-29 20:00:00.000001", end="2024-02-29 22:00:00.000001")
    assert result.bars["open_at"].tolist() == [at("2024-02-29 21:00"), at("2024-02-29 22:00")]
    result = candles(["BTCUSDT"], start="2024-02-29 22:00", end="2024-03-02")
    assert result.bars["open_at"].tolist() == [at("2024-02-29 22:00"), at("2024-02-29 23:00")]
    assert result.counts["unfinished"] == 1
    assert result.gaps.empty
    assert result.answered["end"].tolist() == [at("2024-03-01")]
    # Finished at the very instant of its close, not a microsecond before.
    service.now = ms("2024-03-01 01:00")
    assert candles(["BTCUSDT"], start="2024-03-01", end="2024-03-02", now=service.now).counts["bars"] == 1
    assert candles(["BTCUSDT"], start="2024-03-01", end="2024-03-02", now=service.now - 1).counts["bars"] == 0


@pytest.mark.parametrize("market", ["spot", "linear"])
@pytest.mark.parametrize("name", ["BTCUSDT", "BTC/USDT", "BTC/USDT:USDT", "btc/usdt"])
def test_every_way_to_write_a_symbol(service, market, name):
    result = candles([name], market=market, start="2024-02-29", end="2024-02-29 03:00")
    assert result.bars["symbol"].tolist() == ["BTCUSDT"] * 3


def test_a_usdc_perpetual_is_another_instrument(service):
    names = ["BTC/USDC", "BTC/USDC:USDC", "BTCPERP"]
    result = candles(names, start="2024-02-29", end="2024-02-29 01:00")
    assert result.bars["symbol"].tolist() == ["BTCPERP"]


def test_an_outage_is_asked_for_twice_and_reported(service):
    result = candles(["OUTUSDT", "BTCUSDT"], start="2024-02-10", end="2024-02-11")
    assert result.gaps.to_dict("records") == [
        {"symbol": "OUTUSDT", "start": instant(OUTAGE[0]), "end": instant(OUTAGE[1]), "bars": 4}
    ]
    assert result.counts["gaps"] == 4
    assert result.counts["bars"] == 24 + 20
    asked = [request.query for request in service.asked("/v5/market/kline") if request.query["symbol"] == "OUTUSDT"]
    assert [(int(query["start"]), int(query["end"])) for query in asked] == [
        (ms("2024-02-10"), ms("2024-02-10 23:00")),
        (OUTAGE[0], OUTAGE[1] - 3_600_000),
    ]


def test_a_hole_that_fills_up_is_no_gap(service):
    result = candles(["HEALUSDT"], start="2024-02-12", end="2024-02-13")
    assert result.gaps.empty
    assert result.counts["refilled"] == 2
    truth = service.truth("linear", "HEALUSDT", "1h", "2024-02-12", "2024-02-13")
    assert instant(HEALING[0]) in truth["open_at"].tolist()
    pd.testing.assert_frame_equal(result.bars[PRICES], truth)


def test_bars_that_the_service_has_not_served_yet_are_not_called_answered(service):
    # The exchange lags: it is 04:10, and its newest finished candle is that of 00:00.
    service.now = ms("2024-03-01 04:10")
    service.distort = lambda rows: [row for row in rows if int(row[0]) < ms("2024-03-01 01:00")]
    result = candles(["BTCUSDT"], start="2024-02-29", end="2024-03-02", now=ms("2024-03-01 04:10"))
    assert result.gaps[["start", "end"]].values.tolist() == [[at("2024-03-01 01:00"), at("2024-03-01 04:00")]]
    assert result.answered["end"].tolist() == [at("2024-03-01 01:00")]


def test_a_candle_is_not_over_before_it_is_over_by_bybits_clock(service):
    # Our clock is 40 minutes ahead.
    result = candles(["BTCUSDT"], start="2024-02-29", end="2024-03-02", now=NOW + 40 * 60_000)
    assert result.bars["open_at"].max() == at("2024-02-29 23:00")
    assert result.answered["end"].tolist() == [at("2024-03-01")]
    assert result.gaps.empty


@pytest.mark.parametrize("result", [{}, {"list": None}, {"list": 5}])
def test_an_answer_without_its_list_is_a_fault_and_not_an_empty_list(service, result):
    broken = Status(200, {"retCode": 0, "retMsg": "OK", "result": result, "time": NOW})
    connection = connect(patience=PATIENCE)
    days = {"start": at("2024-02-09"), "end": at("2024-02-11"), "now": instant(NOW)}
    service.fail(*[broken] * 2, when=lambda request: "symbol" in request.query)
    for found in (
        connection.fetch_candles(["BTCUSDT"], market="linear", bar="1h", **days),
        connection.fetch_funding(["BTCUSDT"], **days),
    ):
        assert "without the list" in found.failures["BTCUSDT"]
        assert found.answered.empty
    for ask in (
        lambda: connection.fetch_announcements(now=instant(NOW)),
        lambda: connection.fetch_instruments("linear", now=instant(NOW)),
    ):
        service.fail(*[broken] * 2)
        with pytest.raises(ServiceError, match="without the list"):
            ask()
        service.recover()


def test_what_never_had_a_candle_or_a_rate_is_not_called_answered(service):
    days = {"start": at("2024-02-09"), "end": at("2024-02-11"), "now": instant(NOW)}
    found = candles(["VOIDUSDT"], start="2024-02-09", end="2024-02-11")
    assert (found.answered["end"] == found.answered["start"]).all()
    assert connect(patience=PATIENCE).fetch_funding(["VOIDUSDT"], **days).answered.empty


def test_an_instrument_with_an_impossible_date_is_malformed(service):
    rows = [
        {"symbol": name, "baseCoin": name, "quoteCoin": "USDT", "contractType": "LinearPerpetual", "launchTime": launch}
        for name, launch in (("GOOD", 0), ("BAD", 10**30))
    ]
    answer = {"retCode": 0, "retMsg": "OK", "result": {"list": rows}, "time": NOW}
    service.fail(Status(200, answer), when=lambda request: "status" not in request.query)
    found = connect(patience=PATIENCE).fetch_instruments("linear", now=instant(NOW))
    assert found.counts["malformed"] == 1
    assert {"GOOD", "BAD"} & set(found.instruments["symbol"]) == {"GOOD"}


@pytest.mark.parametrize("market", ["spot", "linear"])
def test_a_late_listing_begins_the_series(service, market):
    result = candles(["LATEUSDT"], market=market, start="2023-01-01", end="2024-02-21")
    truth = service.truth(market, "LATEUSDT", "1h", "2023-01-01", "2024-02-21")
    assert truth["open_at"].iloc[0] == instant(LATE).floor("h")
    pd.testing.assert_frame_equal(result.bars[PRICES], truth)
    assert result.gaps.empty
    assert result.counts["before_listing"] == 415 * 24 + 8
    # The launch of a perpetual is stated; that of a spot pair is looked up once its first bars are missing.
    assert result.counts["requests"] == (4 + 1 if market == "linear" else 1 + 2 + 4 + 1)


def test_a_delisted_perpetual_ends_the_series(service):
    result = candles(["GONEUSDT"], start="2024-02-10", end="2024-02-20")
    assert result.bars["close_at"].iloc[-1] == instant(GONE)
    assert result.gaps.empty
    assert result.counts["after_delisting"] == 4 * 24 + 15
    assert candles(["GONEUSDT"], start="2024-02-20", end="2024-02-21").counts["bars"] == 0


def test_symbols_without_a_single_candle_are_empty_not_broken(service):
    result = candles(["VOIDUSDT", "SOONUSDT"], start="2024-02-10", end="2024-02-20")
    assert result.bars.empty
    assert result.bars["open_at"].dtype == "datetime64[us, UTC]"
    assert result.gaps.empty
    assert result.failures == {}


def test_an_unknown_symbol_names_its_neighbours_and_loses_nobody_else(service):
    result = candles(["BTCUSD", "XYZQQ", "BTCUSDT"], start="2024-02-29", end="2024-02-29 02:00")
    assert result.counts["bars"] == 2
    assert "Did you mean BTCUSDT" in result.failures["BTCUSD"]
    assert "No traded name is near" in result.failures["XYZQQ"]


def test_one_symbol_that_bybit_refuses_loses_nobody_else(service):
    refusal = service.refusal(10001, "Not supported symbols")
    service.fail(Status(200, refusal), when=lambda request: request.query.get("symbol") == "ETHUSDT")
    result = candles(["ETHUSDT", "BTCUSDT"], start="2024-02-29", end="2024-02-29 02:00")
    assert result.bars["symbol"].unique().tolist() == ["BTCUSDT"]
    assert "Bybit says 'Not supported symbols' (retCode 10001)" in result.failures["ETHUSDT"]


def test_a_candle_that_changes_between_two_fetches_is_fetched_as_it_is_now(service):
    before = candles(["BTCUSDT"], start="2024-02-29", end="2024-02-29 02:00")
    service.restate("linear", "BTCUSDT", ms("2024-02-29"))
    after = candles(["BTCUSDT"], start="2024-02-29", end="2024-02-29 02:00")
    assert after.bars["close"].iloc[0] == pytest.approx(before.bars["close"].iloc[0] * 1.01, abs=1e-3)
    assert after.bars["close"].iloc[1] == before.bars["close"].iloc[1]
    assert after.contradictions.empty


def test_progress_counts_up_to_the_bars_expected(service):
    told: list[tuple[str, int, int]] = []
    candles(["BTCUSDT"], start="2023-12-01", end="2024-03-01", progress=lambda *step: told.append(step))
    assert told == [("BTCUSDT", 1000, 2184), ("BTCUSDT", 2000, 2184), ("BTCUSDT", 2184, 2184)]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"market": "inverse"}, "market 'inverse' is unknown"),
        ({"start": pd.Timestamp("2024-01-01")}, "must be a Timestamp with a time zone"),
        ({"start": at("2024-03-02")}, "must be later than start"),
        ({"symbols": []}, "at least one name"),
        ({"symbols": "BTCUSDT"}, "must be a list"),
    ],
)
def test_impossible_requests_are_refused_before_anything_is_asked(service, change, complaint):
    request = {
        "symbols": ["BTCUSDT"],
        "market": "spot",
        "bar": "1h",
        "start": at("2024-02-01"),
        "end": at("2024-03-01"),
        "now": instant(NOW),
    }
    with pytest.raises(ConfigError, match=complaint):
        connect(patience=PATIENCE).fetch_candles(**(request | change))
    assert service.requests == []


def test_funding_past_one_page_equals_the_truth(service):
    connection = connect(patience=PATIENCE)
    result = connection.fetch_funding(
        ["BTC/USDT", "GONEUSDT", "VOIDUSDT", "NOPEUSDT"], start=at("2023-08-01"), end=at("2024-03-02"), now=instant(NOW)
    )
    for symbol in ("BTCUSDT", "GONEUSDT"):
        rows = result.funding[result.funding["symbol"] == symbol]
        truth = service.rates(symbol, ms("2023-08-01"), ms("2024-03-02") - 1)
        assert rows["settles_at"].tolist() == [instant(t) for t, _ in truth]
        assert rows["rate"].tolist() == [float(rate) for _, rate in truth]
        assert len(truth) > 590
    assert list(result.failures) == ["NOPEUSDT"]
    assert result.funding["rate"].abs().max() <= 0.001
    assert result.answered["symbol"].tolist() == ["BTCUSDT", "GONEUSDT"]
    assert result.answered["end"].tolist() == [instant(NOW + 1)] * 2


def test_funding_is_half_open_and_never_from_the_future(service):
    connection = connect(patience=PATIENCE)
    result = connection.fetch_funding(["BTCUSDT"], start=at("2024-02-29 08:00"), end=at("2024-03-01"), now=instant(NOW))
    assert result.funding["settles_at"].tolist() == [at("2024-02-29 08:00"), at("2024-02-29 16:00")]
    result = connection.fetch_funding(
        ["BTCUSDT"], start=at("2024-02-29 08:00"), end=at("2024-03-02"), now=at("2024-02-29 15:59")
    )
    assert result.funding["settles_at"].tolist() == [at("2024-02-29 08:00")]


def test_instruments_come_on_several_pages_with_their_lives(service):
    service.instrument_page = 3
    result = connect(patience=PATIENCE).fetch_instruments("linear", now=instant(NOW))
    perpetuals = [row for row in LISTINGS if row.market == "linear" and row.contract == "LinearPerpetual"]
    frame = result.instruments.set_index("symbol")
    assert sorted(frame.index) == sorted(row.id for row in perpetuals)
    assert frame.loc["LATEUSDT", "listed_at"] == instant(LATE)
    assert frame.loc["GONEUSDT", ["delisted_at", "status"]].tolist() == [instant(GONE), "Closed"]
    assert frame.loc["SOONUSDT", "status"] == "PreLaunch"
    assert frame["delisted_at"].isna().sum() == len(frame) - 1
    assert (frame["seen_at"] == instant(NOW)).all()
    assert result.counts == {"instruments": len(perpetuals), "not_perpetual": 1, "malformed": 0}


def test_the_listing_of_a_named_spot_pair_is_looked_up_to_the_minute(service):
    connection = connect(patience=PATIENCE)
    everything = connection.fetch_instruments("spot", now=instant(NOW)).instruments
    assert everything["listed_at"].isna().all()
    named = connection.fetch_instruments("spot", now=instant(NOW), symbols=["LATE/USDT", "BTCUSDT"]).instruments
    assert named["symbol"].tolist() == ["BTCUSDT", "LATEUSDT"]
    assert named["listed_at"].tolist() == [at("2021-07-05 12:00"), instant(LATE)]


def test_the_loopback_service_satisfies_ccxt_itself_and_agrees_with_this_loader(service):
    client = ccxt.bybit()
    client.load_markets()
    assert client.markets["BTC/USDT:USDT"]["created"] == ms("2020-03-25 10:36")
    theirs = client.fetch_ohlcv("BTC/USDT:USDT", "1h", since=ms("2024-02-01"), limit=48)
    ours = candles(["BTC/USDT:USDT"], start="2024-02-01", end="2024-02-03").bars
    assert ours[["open", "high", "low", "close", "volume"]].values.tolist() == [row[1:] for row in theirs]
    assert ours["open_at"].tolist() == [instant(row[0]) for row in theirs]
    rates = client.fetch_funding_rate_history(
        "BTC/USDT:USDT", since=ms("2024-02-01"), params={"until": ms("2024-02-04") - 1}
    )
    mine = connect(patience=PATIENCE).fetch_funding(
        ["BTCUSDT"], start=at("2024-02-01"), end=at("2024-02-04"), now=instant(NOW)
    )
    assert mine.funding["rate"].tolist() == [rate["fundingRate"] for rate in rates]


def test_everything_fetched_passes_the_door_of_the_store(service):
    connection = connect(patience=PATIENCE)
    days = {"start": at("2024-02-09"), "end": at("2024-02-11"), "now": instant(NOW)}
    for symbol, rows in (("OUTUSDT", 44), ("VOIDUSDT", 0)):
        bars = connection.fetch_candles([symbol], market="linear", bar="1h", **days).bars
        assert len(validate_facts("bars", bars, where=symbol)) == rows
    assert len(validate_facts("funding", connection.fetch_funding(["BTCUSDT"], **days).funding, where="funding")) == 6
    for market in ("spot", "linear"):
        instruments = connection.fetch_instruments(market, now=instant(NOW)).instruments
        assert len(validate_facts("instruments", instruments, where=market)) == len(instruments) > 0
    news = connection.fetch_announcements(now=instant(NOW)).news
    assert len(validate_facts("news", news, where="announcements")) == 55


def test_nothing_looks_up_an_outside_host(service, monkeypatch):
    looked_up: list[str] = []
    original = socket.getaddrinfo

    def watched(host, *args, **more):
        looked_up.append(str(host))
        if str(host) not in ("127.0.0.1", "localhost"):
            raise socket.gaierror(f"a test looked up {host}")
        return original(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", watched)
    connection = connect(patience=PATIENCE)
    month = {"start": at("2024-02-01"), "end": at("2024-03-01"), "now": instant(NOW)}
    for market in ("spot", "linear"):
        assert connection.fetch_candles(["BTCUSDT"], market=market, bar="1d", **month).counts["bars"] == 29
        connection.fetch_instruments(market, now=instant(NOW))
    connection.fetch_funding(["BTCUSDT"], **month)
    connection.fetch_announcements(now=instant(NOW))
    assert set(looked_up) <= {"127.0.0.1", "localhost"}


def test_ccxts_own_throttle_stays_on(service):
    connection = connect(patience=PATIENCE)
    client = connection._transport._client
    assert client.enableRateLimit is True
    client.rateLimit = 20  # ccxt's own value; the redirect takes the pause away
    began = time.monotonic()
    connection.fetch_instruments("linear", now=instant(NOW))  # four requests, a tenth of a second apart
    assert time.monotonic() - began > 0.28


def test_the_host_of_a_region_is_asked_for():
    client = connect(hostname="bytick.com")._transport._client
    assert client.sign("v5/market/time")["url"] == "https://api.bytick.com/v5/market/time"
    with pytest.raises(ConfigError, match="is no host"):
        connect(hostname="https://api.bybit.com/")
