"""What every keeper of the engine's promise does, and the one that needs nobody else.

A job is cut into tasks of fixed size, order and seed; each runs on one thread and takes nothing but what it is given,
so that its result is the same wherever it runs. Only the driver writes what is shared and changes: ledger, scores and
run folder.
"""

from __future__ import annotations

import os
import pickle
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from embargo.data_loaders.errors import EmbargoError, MissingPartError
from embargo.data_loaders.threads import one_thread
from embargo.research.progress import Advance

# Of a task whose process was killed or whose node is gone: carried out again as often as this.
RETRIES = 2

# Takes what all tasks share, and what is the task's own; at the top of a module, so that others find it by name.
Step = Callable[[Any, Any], Any]
# Called with the number of a task and its result as soon as it is there, in any order.
Done = Callable[[int, Any], None]


def nothing_done(number: int, result: object) -> None:
    """Keep nothing of a result before all are there."""


def no_progress(done: int, total: int) -> None:
    """Show nothing."""


class Engine(Protocol):
    """A keeper: carries out tasks and returns their results in the order of the tasks."""

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
        """Carry out ``function(shared, item)`` for every item.

        Parameters
        ----------
        function : callable
            At the top of a module.
        items : sequence
            One for each task.
        shared : object
            Sent once to everyone who carries out tasks.
        done : callable
            Called with number and result of each task as soon as it is there, so that it is kept though the job dies.
        progress : callable
            Called with (tasks done, tasks in all).
        seconds : float, optional
            What one task takes on one core, where that is known.

        Returns
        -------
        list
            In the order of ``items``.

        Raises
        ------
        MissingPartError
            If a task's process dies each time it is tried.
        Exception
            Whatever a task raised.
        """
        ...

    def close(self) -> None:
        """Let go of everyone who carries out tasks."""
        ...


class Serial:
    """Carries out tasks here, one after the other.

    Examples
    --------
    >>> from operator import add
    >>> from embargo.research.engine.keepers import Serial
    >>> Serial().map(add, [1, 2, 3], 10)
    [11, 12, 13]
    """

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
        """Carry out ``function(shared, item)`` for every item; see `Engine.map`."""
        results = []
        for number, item in enumerate(items):
            with one_thread():
                results.append(function(shared, item))
            done(number, results[-1])
            progress(len(results), len(items))
        return results

    def close(self) -> None:
        """Nobody is to be let go of."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class TaskResult:
    """What came of a task elsewhere: its result, or what it raised, and the warnings it gave."""

    result: Any = None
    error: BaseException | None = None
    where: str = ""
    warned: tuple[tuple[str, type[Warning], str, int], ...] = ()

    def opened(self) -> Any:
        """Give the warnings again here, and return the result or raise what was raised."""
        for message, category, file, line in self.warned:
            warnings.warn_explicit(message, category, file, line)
        if self.error is not None:
            if self.where:
                self.error.add_note(self.where)
            raise self.error
        return self.result


def carry_out(function: Step, shared: Any, item: Any) -> TaskResult:
    """Carry out a task for somebody else; its errors and warnings are part of the answer."""
    with warnings.catch_warnings(record=True) as caught, one_thread():
        warnings.simplefilter("default")
        try:
            result, error, where = function(shared, item), None, ""
        except Exception as failure:  # whatever it is, who asked has to hear of it
            result, error, where = None, *_portable(failure)
    warned = tuple((str(each.message), each.category, each.filename, each.lineno) for each in caught)
    return TaskResult(result, error, where, warned)


def packed(answer: TaskResult) -> bytes:
    """Return an answer as it is sent; one that cannot be sent becomes an error that says so."""
    try:
        return bytes(ForkingPickler.dumps(answer))
    except Exception as failure:  # what cannot be sent says so in many ways
        return bytes(
            ForkingPickler.dumps(TaskResult(error=TypeError(f"the result of a task cannot be sent: {failure}")))
        )


def _portable(failure: Exception) -> tuple[BaseException, str]:
    """Return an error that survives the way to another process, and where it happened."""
    where = f"In another process:\n{''.join(traceback.format_exception(failure))}"
    if isinstance(failure, MemoryError):
        return MissingPartError(
            f"a task ran out of memory ({failure or 'no more was given'}). Give fewer --workers, or a smaller task."
        ), ""
    failure.__traceback__ = failure.__cause__ = failure.__context__ = None
    try:
        same = type(pickle.loads(pickle.dumps(failure))) is type(failure)  # noqa: S301 - of this very process
    except Exception:  # an error that cannot be sent says so in many ways
        same = False
    if same:
        # What is raised on purpose says where and what to do by itself.
        return failure, "" if isinstance(failure, EmbargoError) else where
    return RuntimeError(f"{type(failure).__name__}: {failure}"), where


def gpus() -> list[str]:
    """Return the names by which the GPUs that this process may use are chosen; empty where there is none."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    # Asked of the driver's own list: to load torch for this would take seconds.
    return [str(number) for number, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
