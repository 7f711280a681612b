"""A Yahoo that misbehaves: every fault is retried within bounds, and none is ever taken for an answer."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pandas as pd
import pytest
from servers.loopback import Hang, Html, Reset, ServerError, Slow, Status, TooMany, Truncated
from servers.yahoo_service import YahooService, nested, redirect

from embargo.data_loaders import yahoo
from embargo.data_loaders.errors import ServiceError
from embargo.data_loaders.retries import SYSTEM_CLOCK, Patience

NOW = pd.Timestamp("2020-06-01 21:00", tz="UTC")
START = pd.Timestamp("2020-05-01", tz="UTC")
QUICK = Patience(attempts=3, first_wait=0.01, longest_wait=2, timeout=10, deadline=30)


def patience_for(fault: object) -> Patience:
    """Few seconds where the fault is silence, ample ones where a busy machine might be taken for it."""
    silent = isinstance(fault, Hang | Slow)
    return Patience(attempts=2, first_wait=0.01, timeout=1.0 if silent else 10, deadline=3 if silent else 30)


_ILLEGIBLE = {
    "meta": {"exchangeTimezoneName": "America/New_York", "instrumentType": "EQUITY", "currency": "USD", "priceHint": 2},
    "timestamp": [1588944600],
    "indicators": {"quote": [{"open": 5, "high": [5.0], "low": [5.0], "close": [5.0], "volume": [1]}]},
}
FAULTS = [
    (TooMany(), "HTTP 429"),
    (ServerError(500), "HTTP 500"),
    (ServerError(503), "HTTP 503"),
    (Truncated(), "broke off"),
    (Html(), "a web page in place of the data"),
    (Slow(30), "no complete answer within"),
    (Hang(), "no complete answer within"),
    (Reset(), "no connection, or it was reset"),
    (Status(200, b'{"chart": {"result": [{"meta":'), "broken or incomplete JSON"),
    (Status(200, {"finance": {}}), "an answer that is no chart"),
    (Status(200, {"chart": {"result": None, "error": None}}), "holds no result"),
    (Status(404, "<html>Not here</html>"), "HTTP 404 with a web page"),
    (Status(500, {"chart": {"result": None, "error": {"description": "No data found"}}}), "HTTP 500"),
    (
        Status(200, {"chart": {"result": [{"meta": {}, "indicators": {"quote": [{"open": [1.0]}]}}], "error": None}}),
        "yfinance cannot read the answer",
    ),
    (Status(200, {"chart": {"result": [_ILLEGIBLE], "error": None}}), "a chart that cannot be read"),
]


def _names(fault: object) -> str:
    return str(fault)[:40]


@pytest.fixture
def service(stocks) -> Iterator[YahooService]:
    with YahooService(stocks, now=NOW) as server, redirect(server.url):
        server.publish("AAPL", nested("u1", "Apple soars", "2020-05-30T12:00:00Z", "AAPL"))
        server.publish("MSFT", nested("u2", "Windows closes", "2020-05-30T13:00:00Z", "MSFT"))
        yield server


def fetch(*symbols: str, patience: Patience = QUICK, **more):
    return yahoo.fetch_prices(symbols, start=START, end=NOW, now=NOW, patience=patience, **more)


@pytest.mark.parametrize(("fault", "reason"), FAULTS, ids=_names)
def test_after_one_fault_the_answer_is_whole(service, fault, reason):
    service.fail(fault, symbol="AAPL")
    prices = fetch("AAPL", patience=patience_for(fault))
    assert prices.failures == {}
    assert len(prices.bars) == 21
    assert len(service.charts("AAPL")) == 2


@pytest.mark.parametrize(("fault", "reason"), FAULTS, ids=_names)
def test_a_fault_that_stays_is_that_symbols_failure_with_its_reason_and_the_rest_is_kept(service, fault, reason):
    # curl itself asks once more where a kept connection was reset before an answer.
    service.fail(*[fault] * (4 if fault == Reset() else 2), symbol="AAPL")
    began = time.monotonic()
    prices = fetch("MSFT", "AAPL", patience=patience_for(fault))
    assert time.monotonic() - began < 10
    assert set(prices.failures) == {"AAPL"}
    assert reason in prices.failures["AAPL"]
    assert "asked 2 times" in prices.failures["AAPL"]
    assert set(prices.bars["symbol"]) == {"MSFT"}
    assert prices.empty == {}
    assert set(prices.answered) == {"MSFT"}


def test_a_pause_that_yahoo_asks_for_is_kept_and_a_longer_one_ends_the_asking(service):
    service.fail(TooMany(retry_after=0.7), symbol="AAPL")
    began = time.monotonic()
    assert fetch("AAPL").failures == {}
    assert time.monotonic() - began >= 0.7
    service.fail(TooMany(retry_after=600), symbol="AAPL")
    failure = fetch("MSFT", "AAPL").failures["AAPL"]
    assert "asked once" in failure
    assert "pause of 600 s" in failure


def test_a_client_that_is_refused_is_no_unknown_symbol(service):
    service.fail(*[Status(401, {"finance": {"result": None, "error": {"code": "Unauthorized"}}})] * 9, symbol="AAPL")
    prices = fetch("MSFT", "AAPL")
    assert "refuses this client" in prices.failures["AAPL"]


def test_a_refusal_that_yfinance_mends_with_its_other_cookie_costs_nothing(service):
    service.fail(Status(401, {"finance": {"error": {"code": "Unauthorized"}}}), symbol="AAPL")
    assert len(fetch("AAPL").bars) == 21


@pytest.mark.parametrize("fault", [Hang(), Reset(), ServerError(503), Html(), TooMany(5)], ids=_names)
def test_cookies_and_crumbs_may_fail_without_harm(service, fault):
    service.fail_courtesies(*[fault] * 20)
    began = time.monotonic()
    assert fetch("AAPL", "MSFT", patience=Patience(timeout=6, deadline=20)).failures == {}
    assert time.monotonic() - began < 12
    if fault == Hang():
        # What hung once is not waited for again.
        assert len(service.requests) == len(service.charts()) + 1


def test_a_failing_server_is_one_error_after_three_symbols(service):
    service.fail(*[ServerError(503)] * 100)
    asked = []
    with pytest.raises(ServiceError, match=r"answers no request properly: gave up after 3 of 6 symbols.*HTTP 503"):
        fetch("AAPL", "MSFT", "GE", "SPY", "VOD.L", "BTC-USD", progress=lambda done, total: asked.append(done))
    assert asked == [1, 2, 3]


def test_a_server_that_fails_midway_keeps_what_came_before_and_names_the_rest(service):
    for symbol in ("MSFT", "GE", "SPY"):
        service.fail(*[ServerError(503)] * 3, symbol=symbol)
    prices = fetch("AAPL", "MSFT", "GE", "SPY", "VOD.L", "BTC-USD")
    assert set(prices.bars["symbol"]) == {"AAPL"}
    assert list(prices.failures) == ["MSFT", "GE", "SPY", "VOD.L", "BTC-USD"]
    assert "not asked" in prices.failures["VOD.L"]
    assert service.charts("VOD.L") == []


def test_an_unreachable_service_is_said_so_soon(stocks):
    with YahooService(stocks, now=NOW) as server:
        gone = server.url
    began = time.monotonic()
    with redirect(gone), pytest.raises(ServiceError, match=r"cannot be reached: gave up after 3 of 500.*no connection"):
        fetch(*[f"S{number}" for number in range(500)])
    assert time.monotonic() - began < 5


def test_a_host_name_that_cannot_be_looked_up_asks_whether_there_is_a_network(monkeypatch):
    from curl_cffi import requests

    def refuse(*args, **options):
        raise requests.exceptions.DNSError("Could not resolve host", code=6)

    monkeypatch.setattr(requests.Session, "request", refuse)
    with pytest.raises(ServiceError, match=r"cannot be reached: gave up after 1 of 1.*is there a network\?"):
        fetch("AAPL")


def test_a_service_that_hangs_on_everything_costs_no_more_than_the_deadlines(service):
    service.fail(*[Hang()] * 50)
    patience = Patience(attempts=3, first_wait=0.01, timeout=0.3, deadline=0.8)
    began = time.monotonic()
    with pytest.raises(ServiceError, match="gave up after 3 of 4"):
        fetch("AAPL", "MSFT", "GE", "SPY", patience=patience)
    assert time.monotonic() - began < 3 * 0.8 + 4


def test_a_fault_within_one_of_several_chunks_is_no_gap(service):
    service.fail(ServerError(502), Truncated(), symbol="AAPL")
    start = NOW - pd.Timedelta(days=20)
    prices = yahoo.fetch_prices(["AAPL"], start=start, end=NOW, now=NOW, bar="1min", patience=QUICK)
    whole = yahoo.fetch_prices(["AAPL"], start=start, end=NOW, now=NOW, bar="1min", patience=QUICK)
    pd.testing.assert_frame_equal(prices.bars, whole.bars)
    assert len(whole.bars) > 10 * 390


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (TooMany(), "HTTP 429"),
        (Truncated(), "broke off"),
        (Html(), "a web page in place of the data"),
        (Hang(), "no complete answer within"),
        (Reset(), "no connection, or it was reset"),
        (Status(200, {"data": {}}), "no stream"),
    ],
    ids=_names,
)
def test_news_that_fails_is_not_no_news(service, fault, reason):
    service.fail(fault, symbol="AAPL")
    assert yahoo.fetch_news(["AAPL"], now=NOW, patience=patience_for(fault)).failures == {}
    service.fail(*[fault] * 4, symbol="AAPL")
    found = yahoo.fetch_news(["MSFT", "AAPL"], now=NOW, patience=patience_for(fault))
    assert reason in found.failures["AAPL"]
    assert set(found.news["symbol"]) == {"MSFT"}


def test_waiting_goes_through_the_clock_that_is_handed_in(service):
    slept = []

    class Impatient:
        def monotonic(self) -> float:
            return SYSTEM_CLOCK.monotonic()

        def sleep(self, seconds: float) -> None:
            slept.append(seconds)

    service.fail(TooMany(retry_after=20), ServerError(503), symbol="AAPL")
    assert fetch("AAPL", patience=Patience(), clock=Impatient()).failures == {}
    assert slept == [20.0, 1.0]
