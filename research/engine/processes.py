"""Tasks in several processes of this machine, each on one thread.

Processes are started afresh rather than forked, since libraries of threads do not survive a fork. One that dies is
replaced and its task carried out again; one whose driver dies ends at once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from types import TracebackType
from typing import Any, Self

from embargo.data_loaders.errors import ConfigError, MissingPartError
from embargo.data_loaders.threads import one_thread
from embargo.research.engine.keepers import (
    RETRIES,
    Done,
    Step,
    carry_out,
    cores,
    gpus,
    no_progress,
    nothing_done,
    packed,
)
from embargo.research.progress import Advance

# What a process is given to end by itself.
_PATIENCE_S = 10.0


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    gpu: str | None = None
    job: int = 0
    task: int | None = None

    def end(self, *, now: bool) -> None:
        """Let it end, or end it."""
        if now:
            self.process.kill()
        self.connection.close()
        self.process.join(_PATIENCE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class Processes:
    """Carries out tasks in processes of this machine; results are those of `Serial` to the bit.

    Parameters
    ----------
    workers : int, optional
        How many; by default one for each core, or for each GPU where there are any. Each sees one GPU.

    Raises
    ------
    ConfigError
        If it is less than 1.

    Examples
    --------
    >>> from embargo.research.engine.processes import Processes
    >>> with Processes(2) as engine:
    ...     engine.workers
    2
    """

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise ConfigError(f"--workers {workers}: at least one has to work. Leave it out for one on each core.")
        self._gpus = gpus()
        self.workers = (len(self._gpus) or cores()) if workers is None else workers
        self._running: list[_Worker] = []
        self._jobs, self._job = 0, b""

    @property
    def started(self) -> bool:
        """Whether its processes are there already."""
        return bool(self._running)

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
        # Whoever has it already, such as a loaded model, does not get it again.
        if (job := bytes(ForkingPickler.dumps((function, shared)))) != self._job:
            self._jobs, self._job = self._jobs + 1, job
        waiting, results = deque(range(len(items))), dict[int, Any]()
        deaths: Counter[int] = Counter()
        try:
            while len(results) < len(items):
                self._hand_out(items, waiting)
                for worker in self._heard():
                    number = worker.task
                    assert number is not None
                    try:
                        answer = worker.connection.recv()
                    except (EOFError, OSError):
                        deaths[number] += 1
                        self._bury(worker, number, len(items), deaths[number])
                        waiting.appendleft(number)
                        continue
                    worker.task = None
                    results[number] = answer.opened()
                    done(number, results[number])
                    progress(len(results), len(items))
        except BaseException:
            # Nobody goes on with what nobody waits for.
            self._end(now=True)
            raise
        return [results[number] for number in range(len(items))]

    def _hand_out(self, items: Sequence[Any], waiting: deque[int]) -> None:
        """Give every process that is free a task, and start those that are missing."""
        busy = sum(worker.task is not None for worker in self._running)
        for _ in range(len(self._running), min(self.workers, busy + len(waiting))):
            used = Counter(worker.gpu for worker in self._running)
            self._running.append(_started(min(self._gpus, key=lambda gpu: used[gpu], default=None)))
        for worker in [each for each in self._running if each.task is None]:
            if not waiting:
                return
            number = worker.task = waiting.popleft()
            # One that has died meanwhile is heard of when its answer is read.
            with suppress(OSError):
                if worker.job != self._jobs:
                    worker.connection.send_bytes(b"j" + self._job)
                    worker.job = self._jobs
                worker.connection.send_bytes(b"t" + bytes(ForkingPickler.dumps(items[number])))

    def _heard(self) -> list[_Worker]:
        busy = {id(worker.connection): worker for worker in self._running if worker.task is not None}
        ready = wait([worker.connection for worker in busy.values()])
        return [busy[id(connection)] for connection in ready]

    def _bury(self, worker: _Worker, number: int, total: int, deaths: int) -> None:
        self._running.remove(worker)
        worker.end(now=False)
        if deaths > RETRIES:
            code = worker.process.exitcode or 0
            how = (
                f"killed by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"ended with status {code}"
            )
            raise MissingPartError(
                f"task {number + 1} of {total}: its process was {how}, {deaths} times. That is most often want of "
                "memory: give fewer --workers, or --engine serial to see what it says."
            )

    def _end(self, *, now: bool) -> None:
        for worker in self._running:
            worker.end(now=now)
        self._running.clear()

    def close(self) -> None:
        """Let the processes end."""
        self._end(now=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _started(gpu: str | None) -> _Worker:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(there, gpu), name="embargo worker", daemon=True)
    # Libraries that it loads are to start with one thread.
    with one_thread():
        process.start()
    there.close()
    return _Worker(process, here, gpu)


def _work(connection: Connection, gpu: str | None) -> None:
    """Carry out tasks until the driver lets go."""
    if gpu is not None:  # before anything has asked for the GPUs
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    # Ctrl-C reaches the whole group: the driver decides what becomes of its processes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_driver()
    function: Any = None
    shared: Any = None
    with one_thread(), suppress(EOFError, OSError):
        while True:
            message = connection.recv_bytes()
            told = ForkingPickler.loads(message[1:])
            if message[:1] == b"j":
                function, shared = told
            else:
                connection.send_bytes(packed(carry_out(function, shared, told)))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)  # to take libraries down one by one takes seconds, and nothing of theirs is kept


def _end_with_driver() -> None:
    """End this process when the driver does, in the middle of whatever it does."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="driver", daemon=True).start()
