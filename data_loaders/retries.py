"""Ask a service again when it fails, a bounded number of times and never past a deadline.

Whatever speaks to a network goes through ``call``: the work is told how many seconds it may take, says which faults
are worth another try by raising ``Retryable``, and in the end either returns its answer or a ``ServiceError`` says what
failed, how often, for which last reason, and what to do. Time comes from a clock that is handed in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar

from embargo.data_loaders.errors import ConfigError, ServiceError

T = TypeVar("T")


class Clock(Protocol):
    """What measures and spends time."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class _SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


SYSTEM_CLOCK: Clock = _SystemClock()


@dataclass(frozen=True)
class Patience:
    """How long and how often to try.

    Attributes
    ----------
    attempts : int
        Tries in all, at least 1.
    first_wait : float
        Seconds before the second try; doubles with each further one.
    longest_wait : float
        Most seconds between two tries. A service that asks for a longer pause is not asked again.
    timeout : float
        Seconds one try may take.
    deadline : float
        Seconds for all tries and pauses together.

    Examples
    --------
    >>> from embargo.data_loaders import Patience
    >>> Patience(attempts=2, timeout=5.0).deadline
    120.0
    """

    attempts: int = 4
    first_wait: float = 0.5
    longest_wait: float = 30.0
    timeout: float = 20.0
    deadline: float = 120.0

    def __post_init__(self) -> None:
        """Refuse settings under which nothing could ever be asked."""
        if self.attempts < 1:
            raise ConfigError(f"patience: attempts must be at least 1, got {self.attempts}.")
        for name in ("first_wait", "longest_wait"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"patience: {name} must not be negative, got {getattr(self, name)}.")
        for name in ("timeout", "deadline"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"patience: {name} must be longer than nothing, got {getattr(self, name)}.")


class Retryable(Exception):  # noqa: N818 - a request, not a verdict
    """A fault that may pass: no answer, too many requests, an answer that makes no sense.

    Parameters
    ----------
    reason : str
        What happened, for the message in the end, such as ``"HTTP 503"``.
    retry_after : float, optional
        Seconds after which the service asked to be called again.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


def pause_asked(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer's ``Retry-After`` asks to wait; None if it does not say, or not readably.

    An HTTP date is counted from the answer's own ``Date``, so that no clock of ours is involved.
    """
    named = {name.lower(): value for name, value in headers.items()}
    text = named.get("retry-after", "").strip()
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        pause = parsedate_to_datetime(text) - parsedate_to_datetime(named.get("date", ""))
    except (TypeError, ValueError):
        return None
    return max(0.0, pause.total_seconds())


def call(work: Callable[[float], T], *, what: str, patience: Patience, clock: Clock = SYSTEM_CLOCK) -> T:
    """Do the work, and again after a pause whenever it raises ``Retryable``.

    Parameters
    ----------
    work : callable
        Gets the seconds it may take (the time-out, or less near the deadline) and must keep to them: this function
        cannot interrupt it.
    what : str
        Names the request in the error, such as ``"Yahoo prices of AAPL"``.
    patience : Patience
        The bounds.
    clock : Clock
        Measures and waits.

    Returns
    -------
    Whatever ``work`` returned.

    Raises
    ------
    ServiceError
        When the tries or the time are used up, or the service asks for a pause that is longer than ``longest_wait``
        or than what is left; its ``__cause__`` is the last ``Retryable``. Other exceptions of ``work`` pass through.
    """
    started = clock.monotonic()
    for attempt in range(1, patience.attempts + 1):
        left = patience.deadline - (clock.monotonic() - started)
        try:
            return work(min(patience.timeout, left))
        except Retryable as fault:
            left = patience.deadline - (clock.monotonic() - started)
            own = min(patience.longest_wait, patience.first_wait * 2.0 ** (attempt - 1))
            wait = own if fault.retry_after is None else max(0.0, fault.retry_after)
            if attempt < patience.attempts and wait <= patience.longest_wait and wait < left:
                clock.sleep(wait)
                continue
            tries = "once" if attempt == 1 else f"{attempt} times"
            asked = "" if fault.retry_after is None else f"; it asks for a pause of {fault.retry_after:g} s"
            raise ServiceError(
                f"{what}: no usable answer, asked {tries} in {clock.monotonic() - started:.1f} s; last reason: "
                f"{fault.reason}{asked}. Check the network, or try again later with more patience."
            ) from fault
    raise AssertionError("unreachable: attempts is at least 1")
