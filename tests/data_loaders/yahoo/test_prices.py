"""Yahoo's prices through the real yfinance package and a Yahoo on loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
import pytest
import yfinance
from samples import elsewhere
from servers.yahoo_service import YahooService, generated, nested, redirect

from embargo.data_loaders import yahoo
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.records import DATASETS, validate_facts
from embargo.data_loaders.retries import Patience
from embargo.data_loaders.yahoo.bars import VENUE

QUICK = Patience(attempts=2, first_wait=0.01, timeout=10, deadline=20)
NOW = pd.Timestamp("2020-06-01 15:00", tz="UTC")
VALUES = ["open", "high", "low", "close", "volume"]


def utc(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """No host but 127.0.0.1 may be looked up."""
    look_up = socket.getaddrinfo

    def refuse(host, *args, **options):
        assert host in ("127.0.0.1", b"127.0.0.1"), f"looked up {host}"
        return look_up(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def service(stocks) -> Iterator[YahooService]:
    with YahooService(stocks, now=NOW) as server, redirect(server.url):
        yield server


def fetch(service: YahooService, *symbols: str, start="2020-01-01", end="2020-07-01", **more):
    return yahoo.fetch_prices(symbols, start=utc(start), end=utc(end), now=service.now, **{"patience": QUICK, **more})


def test_daily_bars_are_what_was_traded_on_the_calendar_of_the_exchange(service):
    prices = fetch(service, "AAPL", "VOD.L", "BTC-USD", "7203.T")
    assert prices.failures == {}
    assert prices.calendars == {"AAPL": "XNYS", "VOD.L": "XLON", "BTC-USD": "24/7", "7203.T": "XTKS"}
    for symbol, own in prices.bars.groupby("symbol"):
        true = service.stocks[symbol].daily
        true = true.loc[(true["open_at"] >= utc("2020-01-01")) & (true["close_at"] <= NOW)]
        pd.testing.assert_frame_equal(
            own[["open_at", "close_at", *VALUES]].reset_index(drop=True),
            true[["open_at", "close_at", *VALUES]].reset_index(drop=True).astype(dict.fromkeys(VALUES, float)),
        )
    assert set(prices.bars["venue"]) == {VENUE}
    assert set(prices.bars["bar"]) == {"1d"}
    # New York, London and the round-the-clock market are open at 15:00 UTC; Tokyo has closed.
    assert prices.counts["unfinished"] == 3
    assert prices.answered["AAPL"] == (utc("2020-01-01"), utc("2020-06-01 13:30"))
    assert prices.answered["7203.T"] == (utc("2020-01-01"), NOW)


def test_a_half_day_closes_early(service):
    service.now = utc("2020-12-31 15:00")
    bars = fetch(service, "AAPL", start="2020-11-25", end="2020-12-01").bars
    assert bars["close_at"].tolist() == [utc("2020-11-25 21:00"), utc("2020-11-27 18:00"), utc("2020-11-30 21:00")]


def test_rows_do_not_change_with_a_later_split_though_yahoo_rescales_and_rounds_all_of_them(service):
    before = fetch(service, "AAPL", "SPY")
    service.now = utc("2020-09-10 15:00")
    after = fetch(service, "AAPL", "SPY", end="2020-06-01")
    pd.testing.assert_frame_equal(before.bars.loc[before.bars["open_at"] < utc("2020-06-01")], after.bars)
    pd.testing.assert_frame_equal(before.actions, after.actions)
    assert after.actions.loc[after.actions["symbol"] == "AAPL", "value"].tolist() == [0.82, 0.82]
    # The split lies beyond the end of the range: it was asked for all the same.
    assert int(service.charts("AAPL")[-1].query["period2"]) > service.now.timestamp()


def test_splits_and_dividends_in_the_range_stand_beside_the_bars(service):
    service.now = utc("2020-12-31 15:00")
    prices = fetch(service, "AAPL", start="2020-08-01", end="2020-12-01")
    actions = prices.actions.set_index("ex_at")
    assert actions.loc[utc("2020-08-31 13:30"), ["kind", "value"]].tolist() == ["split", 4.0]
    assert actions.loc[utc("2020-08-07 13:30"), "value"] == 0.82
    assert actions.loc[utc("2020-11-06 14:30"), "value"] == 0.205
    close = prices.bars.set_index("open_at")["close"]
    true = service.stocks["AAPL"].daily.set_index("open_at")["close"]
    pd.testing.assert_series_equal(close, true.loc[close.index])
    assert close.loc[utc("2020-08-28 13:30")] / close.loc[utc("2020-08-31 13:30")] > 3


def test_a_reverse_split_changes_no_price_and_costs_only_the_last_digits_of_volume(service):
    before = fetch(service, "GE").bars
    service.now = utc("2021-09-01 15:00")
    after = fetch(service, "GE", end="2020-06-01").bars
    pd.testing.assert_frame_equal(before.drop(columns="volume"), after.drop(columns="volume"))
    assert (before["volume"] - after["volume"]).abs().max() <= 4


def test_capital_gains_are_kept_apart_and_counted_once_in_the_dividend(service):
    service.now = utc("2022-01-31 15:00")
    prices = fetch(service, "SPY", start="2020-12-01", end="2022-01-01")
    assert prices.capital_gains["value"].tolist() == [0.4, 0.25]
    # 1.58 contains the gain of its day; the gain of 2021-12-20 was paid alone.
    assert prices.actions["value"].tolist() == [1.58, 1.9, 0.25]


def test_a_split_that_yahoo_reports_before_its_prices_follow_fails_that_symbol_until_they_do(service):
    service.now = utc("2020-08-31 15:00")
    service.adjusted_until = utc("2020-08-30")
    late = fetch(service, "AAPL", "MSFT", end="2020-09-01")
    assert "not adjusted for it yet" in late.failures["AAPL"]
    assert set(late.bars["symbol"]) == {"MSFT"}
    service.adjusted_until = None
    assert fetch(service, "AAPL", end="2020-09-01").failures == {}


def test_a_split_fails_that_symbol_from_the_close_before_it_to_its_own_open(service):
    for now, failing in {
        "2020-08-28 19:59": False,
        "2020-08-28 20:00": True,
        "2020-08-31 13:29": True,
        "2020-08-31 13:31": False,
    }.items():
        service.now = utc(now)
        prices = fetch(service, "AAPL", "MSFT", end="2020-08-28")
        assert ("has no bar yet" in prices.failures.get("AAPL", "")) == failing, now
        if not failing:
            assert prices.bars["close"].iloc[0] == service.stocks["AAPL"].daily["close"].loc[pd.Timestamp("2020-01-02")]


def test_a_candle_that_changed_between_two_fetches_is_served_anew(service):
    first = fetch(service, "MSFT")
    service.revise("MSFT", "2020-05-28", close=123.45)
    second = fetch(service, "MSFT")
    changed = first.bars["close"] != second.bars["close"]
    assert second.bars.loc[changed, ["open_at", "close"]].to_numpy().tolist() == [[utc("2020-05-28 13:30"), 123.45]]


def test_the_bar_that_was_unfinished_is_whole_later_and_lies_beyond_what_was_answered(service):
    early = fetch(service, "MSFT")
    service.now = utc("2020-06-01 20:00")
    late = fetch(service, "MSFT")
    extra = late.bars.loc[~late.bars["open_at"].isin(early.bars["open_at"])]
    assert extra["open_at"].tolist() == [utc("2020-06-01 13:30")]
    assert extra["open_at"].min() >= early.answered["MSFT"][1]
    assert late.answered["MSFT"][1] == service.now


def test_a_session_that_is_over_but_not_served_yet_is_asked_for_again(service):
    stock = service.stocks["MSFT"]
    service.stocks["MSFT"] = replace(stock, daily=stock.daily.drop(pd.Timestamp("2020-06-01")))
    service.now = utc("2020-06-01 21:00")
    assert fetch(service, "MSFT").answered["MSFT"][1] == utc("2020-06-01 13:30")
    service.now = utc("2020-06-08 12:00")
    assert fetch(service, "MSFT").answered["MSFT"][1] == service.now


def test_rows_on_closed_days_are_set_aside_by_name_and_counted(service):
    service.stray_days["MSFT"] = ["2020-04-10", "2020-05-02"]
    prices = fetch(service, "MSFT")
    strays = prices.set_aside.loc[prices.set_aside["reason"] == "no session of XNYS"]
    assert strays["symbol"].tolist() == ["MSFT", "MSFT"]
    assert strays["instant"].dt.strftime("%Y-%m-%d").tolist() == ["2020-04-10", "2020-05-02"]
    assert prices.counts["no session of XNYS"] == 2
    assert len(prices.bars) == len(fetch(service, "AAPL").bars)


def test_rows_without_a_price_are_set_aside_and_counted(service):
    service.revise("MSFT", "2020-05-28", open=float("nan"), high=float("nan"), low=float("nan"), close=float("nan"))
    service.revise("MSFT", "2020-05-27", low=0.0)
    service.revise("MSFT", "2020-05-26", low=1000.0)
    prices = fetch(service, "MSFT")
    assert prices.counts["low above high, or a negative volume"] == 1
    assert prices.counts["no price"] == 1
    assert prices.counts["a price that is not positive"] == 1
    assert utc("2020-05-28 13:30") not in set(prices.bars["open_at"])


def test_a_bar_is_not_over_before_it_is_over_by_yahoos_clock(service):
    ahead = {"start": utc("2020-05-01"), "end": utc("2020-07-01"), "now": utc("2020-06-01 21:00")}
    for bar, last in (("1d", "2020-05-29 13:30"), ("1h", "2020-06-01 13:30")):
        prices = yahoo.fetch_prices(["MSFT"], bar=bar, patience=QUICK, **ahead)
        assert prices.bars["open_at"].max() == utc(last)
        assert prices.answered["MSFT"][1] <= utc("2020-06-01 15:00")


def test_the_range_is_half_open_on_the_open(service):
    bars = yahoo.fetch_prices(
        ["MSFT"], start=utc("2020-05-27 13:30"), end=utc("2020-05-29 13:30"), now=NOW, patience=QUICK
    ).bars
    assert bars["open_at"].tolist() == [utc("2020-05-27 13:30"), utc("2020-05-28 13:30")]


def test_empty_delisted_and_unknown_exchanges_are_told_apart_and_the_rest_is_kept(service):
    service.stocks["ODD"] = generated("ODD", "XNYS", "ZZZ")
    prices = fetch(service, "HOLLOW", "GONE", "ODD", "MSFT")
    assert "no bars" in prices.empty["HOLLOW"]
    assert set(prices.answered) == {"MSFT"}, "nothing at all may be a fault of the service"
    assert "may be delisted" in prices.failures["GONE"]
    assert "calendars={'ODD': 'XNYS'}" in prices.failures["ODD"]
    assert set(prices.bars["symbol"]) == {"MSFT"}
    assert prices.counts | {"bars": 0} == {
        "symbols": 4, "answered": 2, "empty": 1, "failed": 2, "bars": 0, "actions": 2, "unfinished": 1,
    }  # fmt: skip
    named = fetch(service, "ODD", calendars={"odd": "XNYS"})
    assert named.failures == {}
    assert named.calendars == {"ODD": "XNYS"}


def test_a_range_before_the_first_bar_is_empty_and_answered(service):
    prices = fetch(service, "MSFT", start="2017-01-01", end="2018-01-01")
    assert prices.failures == {}
    assert "no bars" in prices.empty["MSFT"]
    assert prices.answered["MSFT"] == (utc("2017-01-01"), utc("2018-01-01"))
    assert prices.bars.empty
    assert str(prices.bars["open_at"].dtype) == "datetime64[us, UTC]"


def test_hourly_bars_end_with_the_session_and_rows_after_an_early_close_are_set_aside(service):
    service.now = utc("2020-12-31 15:00")
    prices = fetch(service, "AAPL", start="2020-11-27", end="2020-12-01", bar="1h")
    day = prices.bars.loc[prices.bars["open_at"] < utc("2020-11-28")]
    assert day["close_at"].iloc[-1] == utc("2020-11-27 18:00")
    assert day["close_at"].iloc[-1] - day["open_at"].iloc[-1] == pd.Timedelta(minutes=30)
    assert len(prices.bars) == 4 + 7


def test_intraday_rows_are_undone_for_a_split_after_them(service):
    before = {}
    for now in (utc("2020-08-26 21:00"), utc("2020-09-08 21:00")):
        service.now = now
        before[now] = fetch(service, "AAPL", start="2020-08-20", end="2020-08-26", bar="15min").bars
    first, second = before.values()
    assert len(first) == 4 * 26
    pd.testing.assert_frame_equal(first, second)


def test_an_unfinished_intraday_bar_is_dropped_and_the_next_fetch_begins_there(service):
    service.now = utc("2020-06-01 15:07")
    prices = fetch(service, "MSFT", "BTC-USD", start="2020-05-28", end="2020-06-02", bar="5min")
    last = prices.bars.groupby("symbol")["close_at"].max()
    assert set(last) == {utc("2020-06-01 15:05")}
    assert {until for _, until in prices.answered.values()} == {utc("2020-06-01 15:05")}
    assert prices.counts["unfinished"] == 2


def test_minutes_are_asked_for_a_week_at_a_time(service):
    prices = fetch(service, "MSFT", start="2020-05-11", end="2020-05-30", bar="1min")
    asked = [request for request in service.charts("MSFT") if request.query["interval"] == "1m"]
    assert len(asked) == 3
    assert prices.failures == {}
    assert len(prices.bars) == 14 * 390
    assert prices.bars["open_at"].is_unique


@pytest.mark.parametrize(("bar", "days"), [("1min", 30), ("5min", 60), ("1h", 730)])
def test_a_start_before_what_yahoo_keeps_is_refused_naming_the_limit(bar, days):
    with pytest.raises(ConfigError, match=f"kept for {days} days"):
        yahoo.fetch_prices(["MSFT"], start=NOW - pd.Timedelta(days=days + 1), end=NOW, now=NOW, bar=bar)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"symbols": []}, "no symbols"),
        ({"symbols": ["../etc"]}, "no Yahoo symbol"),
        ({"symbols": ["US0378331005"]}, "no Yahoo symbol"),
        ({"bar": "1w"}, "not served"),
        ({"start": pd.Timestamp("2020-01-01")}, "start = .* no time zone"),
        ({"start": utc("2021-01-01")}, "nothing between"),
        ({"calendars": {"MSFT": "XMOON"}}, "XMOON"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_anything_is_asked(change, complaint):
    asked = {"symbols": ["MSFT"], "start": utc("2020-01-01"), "end": utc("2020-02-01"), "now": NOW, **change}
    with pytest.raises(ConfigError, match=complaint):
        yahoo.fetch_prices(asked.pop("symbols"), **asked)


def test_what_is_fetched_passes_the_doors_of_the_store(service):
    prices = fetch(service, "AAPL", "HOLLOW", "VOD.L", "BTC-USD", "SPY", start="2019-06-01")
    for dataset in ("bars", "actions", "instruments"):
        frame = getattr(prices, dataset)
        assert len(validate_facts(dataset, frame, where="yahoo")) == len(frame) > 0
        assert not frame.duplicated([*DATASETS[dataset].key]).any()
    service.publish("AAPL", nested("u-1", "Apple soars", "2020-05-30T12:00:00Z", "AAPL"))
    news = yahoo.fetch_news(["AAPL"], now=NOW, patience=QUICK).news
    assert len(validate_facts("news", news, where="yahoo")) == 1
    nothing = fetch(service, "HOLLOW")
    for dataset in ("bars", "actions"):
        assert validate_facts(dataset, getattr(nothing, dataset), where="yahoo").empty


def test_progress_is_told_after_each_symbol(service):
    steps = []
    fetch(service, "MSFT", "GONE", "AAPL", progress=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_yfinance_is_left_as_it_was_and_writes_nothing(service, tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setattr(yfinance.cache._TzDBManager, "_cache_dir", str(folder))
    monkeypatch.setattr(yfinance.cache._CookieDBManager, "_cache_dir", str(folder))
    before = (yfinance.config.debug.hide_exceptions, yfinance.cache._TzCacheManager._tz_cache)
    session = yfinance.data.YfData()
    fetch(service, "MSFT")
    assert (yfinance.config.debug.hide_exceptions, yfinance.cache._TzCacheManager._tz_cache) == before
    assert yfinance.data.YfData() is session
    assert not folder.exists()


def test_a_symbol_costs_one_request_and_the_cookie_is_fetched_once(service):
    fetch(service, "MSFT", "AAPL", "VOD.L")
    assert [request.path for request in service.requests] == [
        "/",
        "/v1/test/getcrumb",
        *(f"/v8/finance/chart/{symbol}" for symbol in ("MSFT", "AAPL", "VOD.L")),
    ]


def test_a_request_to_any_other_host_is_an_error_in_tests(service):
    from curl_cffi import requests

    with pytest.raises(AssertionError, match="tried to reach example"):
        requests.Session().get("https://example.com/")


def test_the_command_line_runs_redirected_in_a_process_of_its_own(service):
    run = subprocess.run(
        [sys.executable, "-m", "servers.redirected", service.url, "-", "--", "--help"],
        env=elsewhere(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    assert "embargo" in run.stdout.lower()
