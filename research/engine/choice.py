"""Which engine carries out a job: the one that is named, or the one that pays.

To start processes costs seconds: ``auto`` begins here and hands over only what repays it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from embargo.data_loaders.errors import ConfigError
from embargo.research.engine.cluster import Ray
from embargo.research.engine.keepers import Done, Engine, Serial, Step, no_progress, nothing_done
from embargo.research.engine.processes import Processes
from embargo.research.progress import Advance

EngineName = Literal["serial", "processes", "ray", "auto"]

# CPU-seconds until a fresh process can work: Python and torch are loaded and the shared data unpacked.
START_S = 8.0
# Tasks have to save this many times what it costs to start.
REPAID = 2.0


class Auto:
    """Carries out tasks here as long as processes would not repay their start, and then in processes.

    Where nothing is known of the time a task takes, the first ones are measured; where it is carried out moves no bit
    of its result.

    Parameters
    ----------
    workers : int, optional
        See `embargo.research.engine.processes.Processes`.
    say : callable
        Told in a sentence what was decided.
    clock : callable
        Gives seconds.

    Examples
    --------
    >>> from operator import add
    >>> from embargo.research.engine.choice import Auto
    >>> with Auto(4, say=print) as engine:
    ...     engine.map(add, [1, 2], 10, seconds=1.5)
    Serial: 2 tasks of about 1.5 s would not repay the start of 2 processes.
    [11, 12]
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        say: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._processes = Processes(workers)
        self._say, self._clock = say, clock
        self._took: dict[Step, float] = {}
        self._told: set[Step] = set()

    def map(
        self,
        function: Step,
        items: Sequence[Any],
        shared: Any = None,
        *,
        done: Done = nothing_done,
        progress: Advance = no_progress,
        seconds: float | None = None,
    ) -> list[Any]:
        """Carry out ``function(shared, item)`` for every item; see `embargo.research.engine.keepers.Engine.map`."""
        results: list[Any] = []
        known, spent = self._took.get(function) if seconds is None else seconds, 0.0
        while len(results) < len(items) and not (known is not None and self._pays(len(items) - len(results), known)):
            before, number = self._clock(), len(results)
            results += Serial().map(function, items[number : number + 1], shared)
            spent += self._clock() - before
            done(number, results[-1])
            progress(len(results), len(items))
            if seconds is None:
                known = self._took[function] = spent / len(results)
        start, left = len(results), len(items) - len(results)
        if not left:
            if len(items) > 1 and known is not None and known * len(items) > 1.0:
                self._tell(
                    function,
                    f"Serial: {len(items):,} tasks of about {known:.1f} s would not repay the start of "
                    f"{self._workers(len(items))} processes.",
                )
            return results
        self._tell(function, f"{self._workers(left)} processes: {left:,} tasks of about {known:.1f} s.")
        return results + self._processes.map(
            function,
            items[start:],
            shared,
            done=lambda number, result: done(start + number, result),
            progress=lambda finished, _: progress(start + finished, len(items)),
        )

    def _tell(self, function: Step, text: str) -> None:
        """Say once of each kind of task where it is carried out; a stream asks for each of its frames."""
        if function not in self._told:
            self._told.add(function)
            self._say(text)

    def _workers(self, tasks: int) -> int:
        return min(self._processes.workers, tasks)

    def _pays(self, tasks: int, seconds: float) -> bool:
        workers = self._workers(tasks)
        # The last round is as long as a full one.
        saved = (tasks - -(-tasks // workers)) * seconds
        return saved > (0.0 if self._processes.started else REPAID * START_S)

    def close(self) -> None:
        """Let the processes end."""
        self._processes.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def engine_of(
    name: str,
    workers: int | None = None,
    *,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Engine:
    """Return the engine of a name.

    Parameters
    ----------
    name : {"serial", "processes", "ray", "auto"}
        ``ray`` joins the cluster at ``$RAY_ADDRESS``; without it, Ray is started on this machine. ``auto`` never leaves
        this machine: to compute on others is for whoever pays for them to say.
    workers : int, optional
        Tasks at once; by default one for each core.
    folder : Path, optional
        What all machines of a cluster have to see.
    say : callable
        Told in a sentence what ``auto`` decides, and what ``ray`` joins.

    Raises
    ------
    ConfigError
        If there is none of that name, or workers are asked of an engine that has one.
    MissingPartError
        If ray is not installed.

    Examples
    --------
    >>> from embargo.research.engine.choice import engine_of
    >>> engine_of("serial", 3)
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: --workers 3: the serial engine has one. Leave it out.
    """
    if name == "serial":
        if workers not in (None, 1):
            raise ConfigError(f"--workers {workers}: the serial engine has one. Leave it out.")
        return Serial()
    if name == "processes":
        return Processes(workers)
    if name == "ray":
        return Ray(workers, address=os.environ.get("RAY_ADDRESS"), folder=folder, say=say)
    if name != "auto":
        raise ConfigError(f"--engine {name}: there is serial, processes, ray and auto.")
    return Auto(workers, say=say)
