"""The line to a server: requests go out side by side through the official client, and what comes back is waited for.

One request is one HTTP request: the client repeats none, follows no redirect, and takes nothing from the environment.
Each ends within its time whatever the server does, and its key is in the one header that needs it.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from embargo.data_loaders.errors import ConfigError, MissingPartError
from embargo.models.endpoints.secrets import is_loopback
from embargo.models.endpoints.settings import EndpointSettings

if TYPE_CHECKING:
    import asyncio

CONNECT_S = 10.0
# Seconds for the loop to end its connections; after that its thread is left behind, and ends with the process.
CLOSE_S = 5.0
# Headers that are sent. Whatever else a client adds, from the environment or about this machine, is nobody's business;
# by the last of them the client itself tells whether it is to hand out bytes.
_SENT = frozenset(
    {
        "host", "accept", "accept-encoding", "connection", "content-type", "content-length", "user-agent",
        "x-stainless-raw-response",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Reply:
    """A whole answer of the server, good or bad."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Lost:
    """No whole answer: not connected, cut off, or too late; or the client failed, which asking again does not mend."""

    reason: str
    passing: bool = True


def key_of(settings: EndpointSettings) -> str | None:
    """Return the key from the environment; None where the settings name none.

    Raises
    ------
    ConfigError
        If the variable is not set, or holds what no header can.
    """
    if settings.key is None:
        return None
    key = os.environ.get(settings.key, "").strip()
    if not key:
        raise ConfigError(
            f"model.endpoint.key: the variable {settings.key} of the environment is not set. Export the key under that "
            "name and repeat the command."
        )
    if not key.isascii() or not key.isprintable():
        raise ConfigError(
            f"model.endpoint.key: what the variable {settings.key} holds cannot be sent in a header. Export the key "
            "again, without line ends."
        )
    return key


INSTALL_CLIENT = "Install it with: pip install 'embargo-backtest[endpoint]'."


def require_client() -> None:
    """Raise MissingPartError where the client is not installed."""
    try:
        import openai  # noqa: F401
    except ImportError as failure:
        raise MissingPartError(f"model.kind = 'endpoint' needs the package openai. {INSTALL_CLIENT}") from failure


class Line:
    """Requests that are in flight at once, on a loop of their own.

    Parameters
    ----------
    settings : EndpointSettings
    key : str or None
    """

    def __init__(self, settings: EndpointSettings, key: str | None) -> None:
        import asyncio

        require_client()
        self._settings, self._key = settings, key
        self._back: queue.Queue[tuple[int, Reply | Lost]] = queue.Queue()
        self._loop = asyncio.new_event_loop()
        self._client: Any = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="endpoint", daemon=True)
        self._thread.start()

    def send(self, number: int, payload: Mapping[str, Any]) -> None:
        """Send a request; its answer comes back under the number."""
        self._loop.call_soon_threadsafe(self._begin, number, dict(payload))

    def wait(self, seconds: float) -> tuple[int, Reply | Lost] | None:
        """Return what comes back next, or None after so many seconds."""
        try:
            return self._back.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return None

    @property
    def alive(self) -> bool:
        """Whether anything can still come back."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Give up what is in flight and end the connections."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_S)

    def __enter__(self) -> Line:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        import asyncio

        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            for task in self._tasks:
                task.cancel()
            with contextlib.suppress(Exception):
                self._loop.run_until_complete(asyncio.wait_for(self._end(), CLOSE_S / 2))
            self._loop.close()

    async def _end(self) -> None:
        import asyncio

        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    def _begin(self, number: int, payload: dict[str, Any]) -> None:
        task = self._loop.create_task(self._ask(number, payload))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, number: int, payload: dict[str, Any]) -> None:
        self._back.put((number, await self._answer(payload)))

    async def _answer(self, payload: dict[str, Any]) -> Reply | Lost:
        import asyncio

        import openai

        # The client's own time-out bounds each read, and a server that sends a byte now and then is never too late.
        try:
            async with asyncio.timeout(self._settings.timeout):
                if self._client is None:
                    self._client = self._connected()
                door = self._client.chat.completions if self._settings.api == "chat" else self._client.completions
                raw = await door.with_raw_response.create(**payload)
                return Reply(raw.status_code, dict(raw.headers), raw.http_response.content)
        except openai.APIStatusError as failure:
            return Reply(failure.status_code, dict(failure.response.headers), failure.response.content)
        except (TimeoutError, openai.APITimeoutError):
            return Lost(f"no whole answer within {self._settings.timeout:g} s")
        except openai.APIConnectionError as failure:
            return Lost(f"connection failed ({type(failure.__cause__ or failure).__name__})")
        # A loop must go on whatever a library raises; what it says may repeat a key, and so its name alone is told.
        except Exception as failure:
            return Lost(f"the client failed ({type(failure).__name__})", passing=False)

    def _connected(self) -> Any:
        import openai

        settings, key = self._settings, self._key

        async def bare(request: Any) -> None:
            for name in list(request.headers):
                if name.lower() not in _SENT:
                    del request.headers[name]
            if key is not None:
                request.headers["Authorization"] = f"Bearer {key}"

        http = openai.DefaultAsyncHttpxClient(
            follow_redirects=False,
            # A proxy has no business between this machine and itself.
            trust_env=not is_loopback(settings.url),
            event_hooks={"request": [bare]},
        )
        return openai.AsyncOpenAI(
            base_url=settings.url,
            api_key=key or "none",
            max_retries=0,
            timeout=openai.Timeout(settings.timeout, connect=min(CONNECT_S, settings.timeout)),
            http_client=http,
        )
