"""One request to Bybit through ccxt, with a hard bound on its time and size and errors that say what happened.

ccxt signs, throttles and addresses; the session underneath reads the answer in a thread of its own, so that neither a
name look-up nor a server that drips bytes can hold the caller past the limit. What an error says is written here from
Bybit's own code and message: ccxt's texts are not passed on, and a key of the user's appears in none of it.
"""

from __future__ import annotations

import io
import json
import logging
import os
import queue
import re
import threading
import time
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3

from embargo.data_loaders.errors import ConfigError, MissingPartError, ServiceError
from embargo.data_loaders.retries import Clock, Patience, Retryable, call

KEY_VARIABLES = ("EMBARGO_BYBIT_KEY", "EMBARGO_BYBIT_SECRET")
LARGEST_ANSWER = 32 * 2**20

# Busy, not wrong: server time-out, too many visits, server error, address over its limit.
_PASSING_CODES = frozenset({"10000", "10006", "10016", "10018"})


@dataclass(frozen=True)
class _Seen:
    status: int
    headers: dict[str, str]
    body: bytes


class BoundedSession:
    """What ccxt uses in place of its ``requests.Session``: the same calls, but an answer is whole in time or refused.

    Attributes
    ----------
    seconds : float
        Longest time for name look-up, connection, headers and body of one request together.
    seen : answer or None
        Status, headers and body of the last request, None if none arrived.
    fault : Exception or None
        Why none arrived.
    """

    def __init__(self) -> None:
        self.seconds = 20.0
        self.seen: _Seen | None = None
        self.fault: Exception | None = None
        self._session = self._fresh()

    @staticmethod
    def _fresh() -> Any:
        session = requests.Session()
        # A .netrc or a proxy variable would send requests, and whatever they carry, elsewhere than asked.
        session.trust_env = False
        return session

    @property
    def headers(self) -> Any:
        """Headers of every request."""
        return self._session.headers

    @property
    def cookies(self) -> Any:
        """Cookies, which ccxt clears before each request."""
        return self._session.cookies

    def close(self) -> None:
        """Close idle connections."""
        self._session.close()

    def request(self, method: str, url: str, **options: Any) -> Any:
        """Ask, and return a ``requests.Response`` whose body has been read; raise ``requests`` errors as it would."""
        self.seen, self.fault = None, None
        until = time.monotonic() + self.seconds
        options |= {"timeout": self.seconds, "stream": True, "allow_redirects": False}
        outcome: queue.SimpleQueue[Any] = queue.SimpleQueue()
        work = threading.Thread(
            target=_read_whole, args=(self._session, method, url, options, until, outcome), daemon=True
        )
        work.start()
        try:
            result = outcome.get(timeout=self.seconds)
        except queue.Empty:
            # The thread may be stuck in a look-up; it gets no second request.
            self._session = self._fresh()
            result = requests.exceptions.ReadTimeout(f"no whole answer within {self.seconds:.3g} s")
        if isinstance(result, Exception):
            self.fault = result
            raise result
        response, body = result
        self.seen = _Seen(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)
        response.raw = io.BytesIO(body)
        return response


def _read_whole(
    session: Any, method: str, url: str, options: dict[str, Any], until: float, outcome: queue.SimpleQueue[Any]
) -> None:
    try:
        response = session.request(method, url, **options)
        parts: list[bytes] = []
        size = 0
        # read1 returns with what one read of the socket brought: a dripping body passes here drop by drop.
        while part := response.raw.read1(65_536, decode_content=True):
            parts.append(part)
            size += len(part)
            if size > LARGEST_ANSWER:
                response.close()
                raise requests.exceptions.RequestException(f"an answer of more than {LARGEST_ANSWER >> 20} MiB")
            if time.monotonic() > until:
                response.close()
                raise requests.exceptions.ReadTimeout("the body did not end in time")
        response.raw.release_conn()
        outcome.put((response, b"".join(parts)))
    except (urllib3.exceptions.HTTPError, OSError) as failure:
        # requests' own errors are OSErrors and pass as they are.
        known = isinstance(failure, requests.exceptions.RequestException)
        outcome.put(failure if known else requests.exceptions.ConnectionError(f"Connection broken: {failure!r}"))
    except Exception as failure:
        outcome.put(requests.exceptions.RequestException(repr(failure)))


class Transport:
    """A ccxt client for Bybit's public endpoints with patience.

    Parameters
    ----------
    hostname : str
        ``bybit.com`` or one of Bybit's regional hosts.
    patience : Patience
        Bounds of one request with its retries.
    clock : Clock
        Measures and waits between retries.

    Attributes
    ----------
    requests : int
        Requests so far, repeated ones included.
    time_there : int or None
        Bybit's clock in milliseconds as the last answer states it.
    """

    def __init__(self, *, hostname: str, patience: Patience, clock: Clock) -> None:
        try:
            import ccxt  # three quarters of a second that only a fetch should pay
        except ModuleNotFoundError as failure:
            raise MissingPartError(
                "Bybit needs the package ccxt. Install it with: pip install 'embargo-backtest[bybit]'."
            ) from failure

        if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", hostname):
            raise ConfigError(
                f"hostname {hostname!r} is no host. Use 'bybit.com', 'bytick.com', 'bybit.nl' or the like."
            )
        key, secret = (os.environ.get(name, "") for name in KEY_VARIABLES)
        if bool(key) != bool(secret):
            raise ConfigError(f"set both of {KEY_VARIABLES[0]} and {KEY_VARIABLES[1]}, or neither.")
        self.hostname = hostname
        self.requests = 0
        self.time_there: int | None = None
        self._patience, self._clock = patience, clock
        self._base_error = ccxt.BaseError
        self._secrets = tuple(text for text in (key, secret) if text)
        settings = {"hostname": hostname, "enableRateLimit": True}
        # ccxt signs private endpoints only, and none is asked here: the key stays on this machine.
        self._client = ccxt.bybit(settings | ({"apiKey": key, "secret": secret} if key else {}))
        # ccxt logs whole requests and answers at its debug level; a logger outside the hierarchy drops them.
        self._client.logger = logging.Logger("ccxt.bybit", level=logging.CRITICAL)
        self._session = BoundedSession()
        self._client.session = self._session

    def __repr__(self) -> str:
        return f"Transport(hostname={self.hostname!r})"

    def ask(
        self,
        method: str,
        params: dict[str, Any],
        *,
        what: str,
        tolerated: frozenset[str] = frozenset(),
        patience: Patience | None = None,
    ) -> dict[str, Any]:
        """Call one of ccxt's public endpoint methods and return the answer's ``result``.

        Parameters
        ----------
        method : str
            Such as ``"publicGetV5MarketKline"``.
        params : dict
            Query parameters.
        what : str
            Names the request in errors.
        tolerated : frozenset of str
            Return codes that mean "nothing": an empty dict is returned for them.
        patience : Patience, optional
            In place of the transport's own.

        Raises
        ------
        ServiceError
            When Bybit refuses the request, or gives no usable answer within the patience.
        """

        def work(seconds: float) -> dict[str, Any]:
            self._session.seconds = max(seconds, 0.001)
            self._session.seen = self._session.fault = None
            self.requests += 1
            try:
                answer = getattr(self._client, method)(params)
            except self._base_error as failure:
                if self._session.fault is None and self._session.seen is None:
                    raise ServiceError(self._clean(f"{what}: ccxt could not ask: {type(failure).__name__}.")) from None
                answer = None
            result = answer.get("result") if isinstance(answer, dict) and str(answer.get("retCode")) == "0" else None
            stated = answer.get("time") if isinstance(answer, dict) else None
            self.time_there = stated if isinstance(stated, int) else None
            if isinstance(result, dict):
                return result
            if self._return_code()[0] in tolerated:
                return {}
            raise self._judge(what)

        return call(work, what=what, patience=patience or self._patience, clock=self._clock)

    def alive(self) -> bool:
        """Whether Bybit answers at all: one quick question."""
        once = replace(self._patience, attempts=1)
        try:
            self.ask("publicGetV5MarketTime", {}, what="Bybit's clock", patience=once)
        except ServiceError:
            return False
        return True

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _return_code(self) -> tuple[str | None, str, Any]:
        """Bybit's return code, its message, and the whole answer; (None, "", None) where it is not Bybit's JSON."""
        try:
            answer = json.loads(self._session.seen.body) if self._session.seen else None
        except ValueError:
            return None, "", None
        if not isinstance(answer, dict) or "retCode" not in answer:
            return None, "", None
        message = " ".join(str(answer.get("retMsg", "")).split())[:200]
        return str(answer["retCode"]), self._clean(message), answer

    def _judge(self, what: str) -> Retryable | ServiceError:
        """Say whether what came in place of an answer may pass, and why."""
        seen = self._session.seen
        if seen is None:
            return Retryable(_describe(self._session.fault, f"api.{self.hostname}"))
        code, message, answer = self._return_code()
        says = f"Bybit says {message!r} (retCode {code})" if code not in (None, "0") else f"HTTP {seen.status}"
        pause = _pause(seen, answer)
        if seen.status == 403 and re.search(rb"countr|region|block access", seen.body, re.IGNORECASE):
            return ServiceError(
                f"{what}: api.{self.hostname} refuses requests from this country or network (HTTP 403). "
                "Use the regional host of your account, such as hostname = 'bytick.com' or 'bybit.nl'."
            )
        if seen.status in (403, 429) or code in _PASSING_CODES:
            return Retryable(f"{says}, too many requests" if seen.status in (403, 429) else says, pause)
        if seen.status >= 500:
            return Retryable(says, pause)
        if code not in (None, "0"):
            return ServiceError(f"{what}: {says}. Check the symbol, the market and the range.")
        if seen.status != 200:
            return ServiceError(f"{what}: api.{self.hostname} answers HTTP {seen.status}. Check the hostname.")
        start = seen.body.lstrip()[:1]
        kind = "a web page" if start == b"<" else "JSON without a result" if answer else "no JSON"
        return Retryable(f"HTTP 200 with {kind} in place of data")


def listed(result: dict[str, Any], *, what: str) -> list[Any]:
    """Return the list that an answer must hold; ServiceError where there is none, since that is no empty list."""
    rows = result.get("list")
    if not isinstance(rows, list):
        raise ServiceError(f"{what}: Bybit answers without the list that was asked for. Try again later.")
    return rows


def _describe(fault: Exception | None, host: str) -> str:
    text = repr(fault)
    if any(mark in text for mark in ("NameResolution", "getaddrinfo", "Name or service", "name resolution")):
        return f"the name {host} could not be looked up: there seems to be no network"
    if any(mark in text for mark in ("NewConnection", "ConnectTimeout", "unreachable", "refused")):
        return f"no connection to {host}: there seems to be no network, or a firewall is in the way"
    if isinstance(fault, requests.exceptions.Timeout):
        return "no whole answer in time"
    if isinstance(fault, requests.exceptions.SSLError):
        return f"the certificate of {host} is not valid"
    if isinstance(fault, requests.exceptions.ConnectionError):
        return "the connection broke before the answer was whole"
    size = re.search(r"more than \d+ MiB", text)
    return f"an answer of {size[0]}" if size else "the answer could not be read"


def _pause(seen: _Seen, answer: Any) -> float | None:
    """Seconds Bybit asks to wait: Retry-After, else the reset instant of its limit, both on the server's own clock."""
    stated = seen.headers.get("retry-after", "")
    try:
        return max(0.0, float(stated))
    except ValueError:
        pass
    try:
        there, then = (parsedate_to_datetime(text) for text in (seen.headers.get("date", ""), stated))
        return max(0.0, (then - there).total_seconds())
    except (TypeError, ValueError):
        pass
    try:
        reset = float(seen.headers["x-bapi-limit-reset-timestamp"])
        return max(0.0, (reset - float(answer["time"])) / 1000)
    except (KeyError, TypeError, ValueError):
        return None
