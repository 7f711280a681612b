"""The loopback server itself: it answers, records, misbehaves on demand, and ends at once."""

from __future__ import annotations

import json
import time

import pytest
import requests

from servers.loopback import Answer, Hang, Html, Loopback, Request, Reset, ServerError, Slow, Status, TooMany, Truncated


def echo(request: Request) -> Answer:
    return Answer(body={"path": request.path, "query": request.query, "body": request.body.decode(), "pad": "x" * 4000})


def test_it_answers_and_records():
    with Loopback(echo) as server, requests.Session() as session:
        first = session.get(server.url + "/a/b", params={"x": "1", "y": ""}).json()
        second = session.post(server.url + "/c", data="hello", headers={"X-Name": "v"}).json()
    assert first["path"] == "/a/b"
    assert first["query"] == {"x": "1", "y": ""}
    assert second["body"] == "hello"
    assert [request.method for request in server.requests] == ["GET", "POST"]
    assert server.requests[1].headers["x-name"] == "v"
    assert len(server.asked("/c")) == 1


def test_each_fault_is_used_once_and_only_where_it_was_meant():
    with Loopback(echo) as server:
        server.fail(TooMany(7), ServerError(502), Html(), Status(403, {"why": "no"}), when=lambda r: r.path == "/bad")
        assert requests.get(server.url + "/good").status_code == 200
        limited = requests.get(server.url + "/bad")
        assert (limited.status_code, limited.headers["Retry-After"]) == (429, "7")
        assert requests.get(server.url + "/bad").status_code == 502
        with pytest.raises(json.JSONDecodeError):
            requests.get(server.url + "/bad").json()
        refused = requests.get(server.url + "/bad")
        assert (refused.status_code, refused.json()) == (403, {"why": "no"})
        assert requests.get(server.url + "/bad").status_code == 200
        server.fail(ServerError())
        server.recover()
        assert requests.get(server.url).status_code == 200


def test_broken_connections_look_broken_to_a_real_client():
    with Loopback(echo) as server:
        server.fail(Truncated())
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
            requests.get(server.url)
        server.fail(Reset())
        with pytest.raises(requests.exceptions.ConnectionError, match="reset by peer"):
            requests.get(server.url)
        server.fail(Hang())
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.get(server.url, timeout=0.2)
        assert requests.get(server.url).status_code == 200


def test_a_slow_body_drips_past_a_timeout_of_single_reads():
    with Loopback(echo) as server:
        server.fail(Slow(0.6))
        began = time.monotonic()
        assert requests.get(server.url, timeout=0.3).json()["path"] == "/"
        assert time.monotonic() - began > 0.5


def test_it_ends_at_once_with_connections_open():
    with requests.Session() as session:
        with Loopback(echo) as server:
            session.get(server.url)
            server.fail(Hang())
            with pytest.raises(requests.exceptions.ReadTimeout):
                session.get(server.url, timeout=0.1)
            began = time.monotonic()
        assert time.monotonic() - began < 1.0
        with pytest.raises(requests.exceptions.ConnectionError):
            session.get(server.url, timeout=1)


def test_a_broken_answer_function_fails_the_test():
    def broken(request: Request) -> Answer:
        raise LookupError("no such row")

    with pytest.raises(LookupError, match="no such row"), Loopback(broken) as server:
        assert requests.get(server.url).status_code == 500
