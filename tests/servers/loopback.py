"""A small HTTP/1.1 server on 127.0.0.1 whose answers are a function, and which can be told to misbehave.

Real clients are pointed at it, so that retries, time-outs and parsing are tested through real sockets. It records what
it was asked, and a fault that was queued is used exactly once. Leaving the context ends every open connection at once.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Request:
    """What a client asked: path without the query, query by name, headers by lower-case name."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What the server says: a dict or list is sent as JSON, text as HTML unless ``headers`` say otherwise."""

    status: int = 200
    body: bytes | str | dict[str, Any] | list[Any] = b""
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> tuple[bytes, dict[str, str]]:
        """Body as bytes, and headers with a content type."""
        if isinstance(self.body, bytes):
            return self.body, {"Content-Type": "application/octet-stream", **self.headers}
        if isinstance(self.body, str):
            return self.body.encode(), {"Content-Type": "text/html; charset=utf-8", **self.headers}
        return json.dumps(self.body).encode(), {"Content-Type": "application/json", **self.headers}


@dataclass(frozen=True)
class TooMany:
    """429, with ``Retry-After`` unless None; a number of seconds or an HTTP date."""

    retry_after: float | str | None = None


@dataclass(frozen=True)
class ServerError:
    """A 5xx with a short HTML body."""

    status: int = 503


@dataclass(frozen=True)
class Truncated:
    """Half of the true body under the Content-Length of the whole, then the connection closes."""


@dataclass(frozen=True)
class Html:
    """200 with a page in place of the data, as captive portals and bot walls send it."""


@dataclass(frozen=True)
class Slow:
    """The true body, dripped evenly over so many seconds: every single read is quick, the whole is not."""

    seconds: float


@dataclass(frozen=True)
class Hang:
    """No byte of an answer until the server ends."""


@dataclass(frozen=True)
class Reset:
    """The connection is reset (RST) after the request was read."""


@dataclass(frozen=True)
class Status:
    """Any status with any body."""

    code: int
    body: bytes | str | dict[str, Any] | list[Any] = b""


Fault = TooMany | ServerError | Truncated | Html | Slow | Hang | Reset | Status

_PAGE = "<!DOCTYPE html><html><body><h1>Just a moment...</h1></body></html>"


class Loopback:
    """Serve ``answer`` on 127.0.0.1 at a free port, for as long as the context lasts.

    Attributes
    ----------
    url : str
        ``http://127.0.0.1:PORT``.
    requests : list of Request
        Everything asked so far, in order of arrival, whether or not a fault answered it.
    errors : list of BaseException
        What ``answer`` raised; the client got a 500, and leaving the context raises the first.
    """

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self.requests: list[Request] = []
        self.errors: list[BaseException] = []
        self._answer = answer
        self._faults: list[tuple[Fault, Callable[[Request], bool]]] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._open: set[socket.socket] = set()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def fail(self, *faults: Fault, when: Callable[[Request], bool] = lambda request: True) -> None:
        """Queue faults: each answers the next request that ``when`` admits, once, in this order."""
        with self._lock:
            self._faults += [(fault, when) for fault in faults]

    def recover(self) -> None:
        """Forget the faults still queued."""
        with self._lock:
            self._faults.clear()

    def asked(self, path: str) -> list[Request]:
        """Return the requests for exactly this path."""
        with self._lock:
            return [request for request in self.requests if request.path == path]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._thread.join(timeout=5)
        if self.errors and kind is None:
            raise self.errors[0]

    def _record(self, request: Request) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            for place, (fault, when) in enumerate(self._faults):
                if when(request):
                    del self._faults[place]
                    return fault
        return None

    def _reply(self, request: Request) -> Answer:
        try:
            return self._answer(request)
        except Exception as failure:
            with self._lock:
                self.errors.append(failure)
            return Answer(500, f"the test's answer function failed: {failure!r}")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, loopback: Loopback) -> None:
        self.loopback = loopback
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        # HTTPServer.server_bind looks up the host's full name, which may ask a name server.
        super(ThreadingHTTPServer.__mro__[2], self).server_bind()
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up in the middle are part of the tests, not worth a traceback."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        with self.server.loopback._lock:
            self.server.loopback._open.add(self.connection)

    def finish(self) -> None:
        with self.server.loopback._lock:
            self.server.loopback._open.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Keep the test's output clean."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(
            self.command,
            parts.path,
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            {name.lower(): value for name, value in self.headers.items()},
            body,
        )
        fault = self.server.loopback._record(request)
        match fault:
            case None:
                self._send(self.server.loopback._reply(request))
            case TooMany(retry_after):
                headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
                self._send(Answer(429, "Too Many Requests", headers))
            case ServerError(status):
                self._send(Answer(status, f"<html><body><h1>{status}</h1></body></html>"))
            case Status(code, content):
                self._send(Answer(code, content))
            case Html():
                self._send(Answer(200, _PAGE))
            case Truncated():
                self._send(self.server.loopback._reply(request), share=0.5)
            case Slow(seconds):
                self._send(self.server.loopback._reply(request), seconds=seconds)
            case Hang():
                self.server.loopback._ended.wait()
                self.close_connection = True
            case Reset():
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                with self.server.loopback._lock:
                    self.server.loopback._open.discard(self.connection)
                # Other file objects still hold the socket: only closing the descriptor itself resets it now.
                os.close(self.connection.detach())

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = _serve  # noqa: N815

    def _send(self, answer: Answer, *, share: float = 1.0, seconds: float = 0.0) -> None:
        content, headers = answer.encoded()
        self.send_response_only(answer.status)
        usual = {"Date": self.date_time_string(), "Content-Length": str(len(content))}
        for name, value in (usual | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if share < 1.0:
            content = content[: int(len(content) * share)]
            self.close_connection = True
        if not seconds:
            self.wfile.write(content)
            return
        drops = min(len(content), 200)
        size = -(-len(content) // drops) if drops else 1
        for first in range(0, len(content), size):
            self.wfile.write(content[first : first + size])
            if self.server.loopback._ended.wait(seconds / drops):
                self.close_connection = True
                return
