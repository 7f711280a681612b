"""What making something took, written down beside it, so that whoever finds it made can still tell what it costs.

The note is a hidden file: no manifest or hash counts it, since the same work never takes the same time twice.
"""

from __future__ import annotations

import json
import math
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

NOTE = ".effort.json"
_running: ContextVar[tuple[Stopwatch, ...]] = ContextVar("running", default=())


class Stopwatch:
    """Seconds since it was made, or until it was stopped, and those of work that was done before."""

    def __init__(self) -> None:
        self._began, self._ended = _now(), (math.nan, math.nan)
        self._runs = True

    @property
    def taken(self) -> tuple[float, float]:
        """CPU seconds, in this process and its children, and wall seconds; NaN where nobody wrote a part of it down."""
        cpu, wall = _now() if self._runs else self._ended
        return cpu - self._began[0], wall - self._began[1]

    def add(self, taken: Sequence[float]) -> None:
        """Count work that was done before it was made."""
        cpu, wall = taken
        self._began = self._began[0] - cpu, self._began[1] - wall

    def stop(self) -> None:
        """Count nothing more."""
        self._ended, self._runs = _now(), False


@contextmanager
def clocked() -> Iterator[Stopwatch]:
    """Measure a block of work; what it finds made counts as when it was made.

    Yields
    ------
    Stopwatch
        Whose ``taken`` may be asked while the block runs, and when it is over.

    Examples
    --------
    >>> from embargo.models.effort import clocked
    >>> with clocked() as outer:
    ...     with clocked() as inner:
    ...         add_found((3600.0, 7200.0))
    >>> [round(seconds) for seconds in (*inner.taken, *outer.taken)]
    [3600, 7200, 3600, 7200]
    """
    clock = Stopwatch()
    token = _running.set((*_running.get(), clock))
    try:
        yield clock
    finally:
        _running.reset(token)
        clock.stop()


def note(folder: Path, clock: Stopwatch) -> None:
    """Write down in a folder what making it took; nothing where a part of that is unknown."""
    if all(map(math.isfinite, clock.taken)):
        (folder / NOTE).write_text(json.dumps(clock.taken), encoding="ascii")


def found(folder: Path) -> None:
    """Count what making a folder took once in every block that is measured now."""
    if _running.get():
        add_found(_noted(folder))


def add_found(taken: Sequence[float]) -> None:
    """Count work that was done before in every block that is measured now."""
    for clock in _running.get():
        clock.add(taken)


def _noted(folder: Path) -> tuple[float, float]:
    try:
        cpu, wall = map(float, json.loads((folder / NOTE).read_text(encoding="ascii")))
    except (OSError, ValueError, TypeError):
        return math.nan, math.nan
    return (cpu, wall) if min(cpu, wall) >= 0.0 else (math.nan, math.nan)


def _now() -> tuple[float, float]:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime, time.perf_counter()
