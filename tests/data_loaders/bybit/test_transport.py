"""A service that fails in every way ends in a bounded time, says what happened, and never says the user's key."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import threading
import time
import traceback

import pandas as pd
import pytest
from servers.bybit_service import NOW, BybitService, redirect
from servers.loopback import (
    Answer,
    Hang,
    Html,
    Loopback,
    Reset,
    ServerError,
    Slow,
    Status,
    TooMany,
    Truncated,
)

from embargo.data_loaders.bybit.connection import connect
from embargo.data_loaders.bybit.transport import KEY_VARIABLES
from embargo.data_loaders.errors import ConfigError, ServiceError
from embargo.data_loaders.retries import Patience

KEY, SECRET = "kEy7Q2xUserKey", "sEcReT91zzUserSecret"
QUICK = Patience(attempts=3, first_wait=0.0, longest_wait=1.0, timeout=0.4, deadline=2.0)
DAY = {
    "start": pd.Timestamp("2024-02-28", tz="UTC"),
    "end": pd.Timestamp("2024-02-29", tz="UTC"),
    "now": pd.Timestamp(NOW, unit="ms", tz="UTC"),
}
KLINE = "/v5/market/kline"


class FakeClock:
    """Remembers the pauses and takes none."""

    def __init__(self):
        self.now, self.pauses = 0.0, []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def service():
    with BybitService() as running, redirect(running.url):
        yield running


def day(connection, *symbols):
    return connection.fetch_candles(symbols or ["BTCUSDT"], market="linear", bar="1h", **DAY)


def busy(code: int, message: str) -> dict[str, object]:
    return {"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": NOW}


FAULTS = {
    "429": TooMany(0),
    "502": ServerError(502),
    "503": ServerError(503),
    "truncated": Truncated(),
    "page": Html(),
    "reset": Reset(),
    "hang": Hang(),
    "slow": Slow(3.0),
    "too many visits": Status(200, busy(10006, "Too many visits!")),
    "ip limit": Status(200, busy(10018, "exceed ip rate limit")),
    "server error": Status(200, busy(10016, "Internal server error")),
    "403": Status(403, "403, access too frequent"),
    "no result": Status(200, {"retCode": 0, "retMsg": "OK"}),
    "empty": Status(200, b""),
    "list": Status(200, []),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_passing_fault_costs_a_try_and_nothing_else(service, name):
    service.fail(FAULTS[name], when=lambda request: request.path == KLINE)
    began = time.monotonic()
    result = day(connect(patience=QUICK))
    assert time.monotonic() - began < 1.5
    truth = service.truth("linear", "BTCUSDT", "1h", "2024-02-28", "2024-02-29")
    pd.testing.assert_frame_equal(result.bars[list(truth.columns)], truth)
    assert len(service.asked(KLINE)) == 2
    assert result.failures == {}


SAYS = {
    "429": "HTTP 429, too many requests",
    "502": "HTTP 502",
    "503": "HTTP 503",
    "truncated": "the connection broke before the answer was whole",
    "page": "a web page in place of data",
    "reset": "the connection broke before the answer was whole",
    "hang": "no whole answer in time",
    "slow": "no whole answer in time",
    "too many visits": "Bybit says 'Too many visits!' (retCode 10006)",
    "ip limit": "Bybit says 'exceed ip rate limit' (retCode 10018)",
    "server error": "Bybit says 'Internal server error' (retCode 10016)",
    "403": "HTTP 403, too many requests",
    "no result": "JSON without a result in place of data",
    "empty": "no JSON in place of data",
    "list": "no JSON in place of data",
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_lasting_fault_ends_in_time_and_says_what_it_was(service, name):
    service.fail(*[FAULTS[name]] * 20)
    began = time.monotonic()
    with pytest.raises(ServiceError) as caught:
        day(connect(patience=QUICK))
    assert time.monotonic() - began < 2.5
    assert SAYS[name] in str(caught.value)
    assert "Bybit linear instruments" in str(caught.value)
    assert "asked 3 times" in str(caught.value)


def test_one_symbol_in_trouble_is_named_and_the_rest_is_kept(service):
    service.fail(*[ServerError()] * 9, when=lambda request: request.query.get("symbol") == "ETHUSDT")
    result = day(connect(patience=QUICK), "ETHUSDT", "BTCUSDT")
    assert result.bars["symbol"].unique().tolist() == ["BTCUSDT"]
    assert "Bybit linear candles of ETHUSDT" in result.failures["ETHUSDT"]
    assert "HTTP 503" in result.failures["ETHUSDT"]


def test_a_service_that_goes_away_in_the_middle_is_an_error(service):
    service.fail(*[ServerError()] * 30, when=lambda request: request.path != "/v5/market/instruments-info")
    with pytest.raises(ServiceError, match="HTTP 503"):
        day(connect(patience=QUICK), "BTCUSDT", "ETHUSDT")


def test_retry_after_is_waited_for_in_full(service):
    clock = FakeClock()
    patience = Patience(attempts=4, first_wait=0.5, longest_wait=60.0, timeout=2.0, deadline=120.0)
    service.fail(TooMany(7), TooMany(), when=lambda request: request.path == KLINE)
    day(connect(patience=patience, clock=clock))
    assert clock.pauses == [7.0, 1.0]
    service.fail(TooMany(3600))
    with pytest.raises(ServiceError, match="asks for a pause of 3600 s"):
        connect(patience=patience, clock=clock).fetch_instruments("spot", now=DAY["now"])
    assert len(clock.pauses) == 2


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"X-Bapi-Limit-Reset-Timestamp": str(NOW + 2500)}, 2.5),
        ({"Date": "Fri, 01 Mar 2024 00:30:00 GMT", "Retry-After": "Fri, 01 Mar 2024 00:30:09 GMT"}, 9.0),
        ({"Retry-After": "soon"}, 0.5),
    ],
)
def test_every_way_bybit_names_a_pause(headers, pause):
    answers = [
        Answer(200, busy(10006, "Too many visits!"), headers),
        Answer(200, {"retCode": 0, "retMsg": "OK", "result": {"list": []}, "time": NOW}),
    ]
    clock = FakeClock()
    with Loopback(lambda request: answers.pop(0)) as server, redirect(server.url):
        connect(clock=clock).fetch_instruments("spot", now=DAY["now"])
    assert clock.pauses == [pause]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            Status(403, "The Amazon CloudFront distribution is configured to block access from your country."),
            "regional",
        ),
        (Status(404, "nothing here"), "answers HTTP 404"),
        (Status(200, busy(10001, "params error: symbol invalid")), r"'params error: symbol invalid' \(retCode 10001\)"),
    ],
)
def test_a_refusal_is_not_asked_again(service, fault, message):
    service.fail(fault)
    with pytest.raises(ServiceError, match=message):
        day(connect(patience=QUICK))
    assert len(service.requests) == 1


def test_a_redirect_is_not_followed():
    away = Answer(302, "", {"Location": "http://example.invalid/"})
    with Loopback(lambda request: away) as server, redirect(server.url), pytest.raises(ServiceError, match="HTTP 302"):
        day(connect(patience=QUICK))
    assert len(server.requests) == 1


def test_a_proxy_or_netrc_of_the_machine_sends_nothing_elsewhere(service, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password something\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert day(connect(patience=QUICK)).counts["bars"] == 24
    assert all("authorization" not in request.headers for request in service.requests)


def test_compressed_answers_are_read_and_huge_ones_are_not(monkeypatch):
    body = json.dumps({"retCode": 0, "retMsg": "OK", "result": {"list": [], "pad": "x" * 100_000}, "time": NOW})
    answer = Answer(
        body=gzip.compress(body.encode()), headers={"Content-Encoding": "gzip", "Content-Type": "application/json"}
    )
    with Loopback(lambda request: answer) as server, redirect(server.url):
        assert connect(patience=QUICK).fetch_instruments("spot", now=DAY["now"]).instruments.empty
        monkeypatch.setattr("embargo.data_loaders.bybit.transport.LARGEST_ANSWER", 50_000)
        with pytest.raises(ServiceError, match="an answer of more than"):
            connect(patience=QUICK).fetch_instruments("spot", now=DAY["now"])


def test_headers_that_drip_are_bounded_too():
    ended = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def drip():
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=send, args=(connection,), daemon=True).start()

    def send(connection):
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not ended.wait(0.05):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

    threading.Thread(target=drip, daemon=True).start()
    began = time.monotonic()
    with redirect(f"http://127.0.0.1:{listener.getsockname()[1]}"), pytest.raises(ServiceError, match="in time"):
        day(connect(patience=QUICK))
    assert time.monotonic() - began < 2.5
    ended.set()
    listener.close()


def _no_names(*_args, **_more):
    raise socket.gaierror(-3, "Temporary failure in name resolution")


def _stuck_names(*_args, **_more):
    time.sleep(5.0)
    raise socket.gaierror(-3, "Temporary failure in name resolution")


def test_without_a_network_the_error_says_so(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", _no_names)
    with pytest.raises(ServiceError, match=r"the name api\.bytick\.com could not be looked up: .* no network"):
        day(connect(hostname="bytick.com", patience=QUICK))


def test_a_name_look_up_that_hangs_is_bounded(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", _stuck_names)
    began = time.monotonic()
    with pytest.raises(ServiceError, match="no whole answer in time"):
        day(connect(patience=QUICK))
    assert time.monotonic() - began < 2.5


def test_a_closed_port_is_no_connection():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with redirect(f"http://127.0.0.1:{port}"), pytest.raises(ServiceError, match="there seems to be no network"):
        day(connect(patience=QUICK))


def test_the_key_reaches_ccxt_and_nothing_else(service, monkeypatch, caplog, capsys):
    monkeypatch.setenv(KEY_VARIABLES[0], KEY)
    monkeypatch.setenv(KEY_VARIABLES[1], SECRET)
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    echo = Status(200, busy(10003, f"API key {KEY} is invalid, secret {SECRET}"))
    for fault in (
        *FAULTS.values(),
        echo,
        Status(401, f"bad key {KEY}"),
        Status(403, f"{SECRET} banned in your region"),
    ):
        connection = connect(patience=QUICK)
        client = connection._transport._client
        assert (client.apiKey, client.secret) == (KEY, SECRET)
        service.recover()
        service.fail(*[fault] * 5)
        with pytest.raises(ServiceError) as caught:
            day(connection)
        said += [str(caught.value), repr(caught.value), "".join(traceback.format_exception(caught.value))]
        said += [repr(connection), str(connection), repr(connection._transport), repr(vars(connection))]
    service.recover()
    connection = connect(patience=QUICK)
    day(connection)
    connection.fetch_announcements(now=DAY["now"])
    connection.fetch_funding(["BTCUSDT"], **DAY)
    said += [caplog.text, *capsys.readouterr()]
    said += [f"{request.path} {request.query} {request.headers} {request.body!r}" for request in service.requests]
    assert "***" in "".join(said)
    for secret in (KEY, SECRET):
        assert not [text[:300] for text in said if secret in text]


def test_half_a_key_is_refused_without_showing_it(monkeypatch):
    monkeypatch.setenv(KEY_VARIABLES[0], KEY)
    monkeypatch.delenv(KEY_VARIABLES[1], raising=False)
    with pytest.raises(ConfigError, match="set both of") as caught:
        connect()
    assert KEY not in str(caught.value)
