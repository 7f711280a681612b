"""Tasks in the processes of a Ray cluster: one that is joined, or one of this machine.

Ray places processes and hears of their deaths; who does which task, what becomes of one that is lost and what a result
looks like on its way is decided here as it is for processes of this machine, so that it is the same to the bit.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from embargo.data_loaders.errors import ConfigError, MissingPartError
from embargo.data_loaders.threads import VARIABLES, one_thread
from embargo.research.engine.joining import cause_of, joined, of_this_machine
from embargo.research.engine.keepers import (
    RETRIES,
    Done,
    Step,
    TaskResult,
    carry_out,
    cores,
    gpus,
    no_progress,
    nothing_done,
    packed,
)
from embargo.research.progress import Advance
from embargo.research.records.provenance import computed_apart, git_commit, processor, versions

# CPU-seconds until a Ray of this machine can work: its own processes, and those of the tasks.
START_S = 9.0
# How often it is looked whether a cluster has grown, or holds everything back.
_LOOK_S = 5.0
# What a cluster is given to free or add a processor: one that grows by itself boots machines for minutes.
PATIENCE_S = 300.0


@dataclass(eq=False)
class _Worker:
    """An actor of Ray: placed as soon as it has said where, and at work once it is known to compute as this machine."""

    actor: Any
    waits_for: Any
    node: str = ""
    place: str = ""
    knows: bool = False
    task: int | None = None

    @property
    def free(self) -> bool:
        return self.waits_for is None


@dataclass
class _Job:
    number: int = 0
    content: bytes = b""
    reference: Any = None


@dataclass
class _Machines:
    """What is known of a cluster: nodes that compute as this machine does, and how often a worker was stillborn."""

    alike: set[str] = field(default_factory=set)
    stillborn: int = 0


class Ray:
    """Carries out tasks in a Ray cluster; results are those of `Serial` to the bit.

    Parameters
    ----------
    workers : int, optional
        How many tasks at once; by default one for each processor of the cluster, or for each GPU where it has any, also
        for those that join later.
    address : str, optional
        Of the cluster to join: ``host:6379`` on a machine of its own, ``ray://host:10001`` from elsewhere, or ``auto``
        for the one that runs on this machine. Without one, Ray is started on this machine alone, and ends with `close`.
    folder : Path, optional
        What all machines have to see, such as the cache.
    say : callable
        Told in a sentence what was joined, and where Ray does not pay.
    patience : float
        Seconds to wait for a processor where others hold all of them.

    Raises
    ------
    MissingPartError
        If ray is not installed.
    ConfigError
        If `workers` is less than 1.

    Examples
    --------
    >>> from embargo.research.engine.cluster import Ray
    >>> Ray(0)
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: --workers 0: at least one has to work. Leave it out for one on each core.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        address: str | None = None,
        folder: Path | None = None,
        say: Callable[[str], None] = lambda text: None,
        patience: float = PATIENCE_S,
    ) -> None:
        if workers is not None and workers < 1:
            raise ConfigError(f"--workers {workers}: at least one has to work. Leave it out for one on each core.")
        if importlib.util.find_spec("ray") is None:
            raise MissingPartError("--engine ray: 'ray' is not installed. Run: pip install 'embargo-backtest[ray]'.")
        self._asked, self._address, self._folder = workers, address or None, folder
        self._say, self._patience = say, patience
        self._ray: Any = None
        self._made: Any = None
        self._sign: Path | None = None
        self._held = ExitStack()
        self._running: list[_Worker] = []
        self._job = _Job()
        self._machines = _Machines()
        self._spent: float | None = 0.0

    @property
    def started(self) -> bool:
        """Whether a cluster has been started or joined already."""
        return self._ray is not None

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
        content = bytes(ForkingPickler.dumps((function, shared)))
        if not items:
            return []
        self._start()
        # Whoever has it already, such as a loaded model, does not get it again.
        if content != self._job.content:
            self._job = _Job(self._job.number + 1, content, self._ray.put(content))
            for worker in self._running:
                worker.knows = False
        waiting, results = deque(range(len(items))), dict[int, Any]()
        deaths: Counter[int] = Counter()
        began, spent = time.monotonic(), 0.0
        try:
            while len(results) < len(items):
                self._hand_out(items, waiting)
                heard = self._heard()
                if heard is None:
                    self._wait_for_room(began)
                    continue
                worker, answer, failure = heard
                number, began = worker.task, time.monotonic()
                if failure is not None:
                    self._bury(worker)
                    if number is None:
                        self._lost_before_work(failure)
                        continue
                    deaths[number] += 1
                    waiting.appendleft(number)
                    if deaths[number] > RETRIES:
                        raise _given_up(number, len(items), deaths[number], worker, failure)
                elif number is None:
                    self._welcome(worker, answer)
                else:
                    worker.task, (took, told) = None, answer
                    spent += took
                    results[number] = _opened(told)
                    done(number, results[number])
                    progress(len(results), len(items))
        except BaseException:
            # Nobody goes on with what nobody waits for.
            self._dismiss()
            raise
        self._judge(len(items), spent)
        return [results[number] for number in range(len(items))]

    def _start(self) -> None:
        if self._ray is not None:
            return
        loaded: Any = sys.modules.get("ray")
        if self._address is None and loaded is not None and loaded.is_initialized():
            # Such as by a notebook, which stays joined when this is over.
            self._address = str(loaded.get_runtime_context().gcs_address)
        if self._address is None:
            self._ray = self._held.enter_context(of_this_machine(self._asked or len(gpus()) or cores()))
            self._say(
                f"Ray on this machine, at some {START_S:.0f} CPU-seconds and 0.5 GB: --engine processes does the same "
                "for less. RAY_ADDRESS=... joins a cluster."
            )
            return
        self._ray = self._held.enter_context(joined(self._address))
        self._held.enter_context(self._token())
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        self._say(f"Ray at {self._address}: {len(nodes)} nodes, {self._workers()} tasks at once.")

    @contextmanager
    def _token(self) -> Iterator[None]:
        """Leave a file in the folder that all machines have to see, as long as tasks are carried out."""
        if self._folder is None:
            yield
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._sign = self._folder.resolve() / f".embargo-seen-{secrets.token_hex(8)}"
        self._sign.touch()
        try:
            yield
        finally:
            self._sign.unlink(missing_ok=True)

    def _share(self) -> float:
        """Return what of a GPU each worker gets."""
        there = float(self._ray.cluster_resources().get("GPU", 0.0))
        if not there or self._asked is None:
            return min(there, 1.0)
        return min(1.0, int(1e4 * there / self._asked) / 1e4)  # Ray counts in ten-thousandths

    def _workers(self) -> int:
        there = self._ray.cluster_resources()
        return self._asked or int(there.get("GPU", 0.0)) or max(int(there.get("CPU", 0.0)), 1)

    def _hand_out(self, items: Sequence[Any], waiting: deque[int]) -> None:
        """Give every worker that is free a task, and ask for those that are missing."""
        busy = sum(worker.task is not None for worker in self._running)
        if len(self._running) < busy + len(waiting):
            for _ in range(len(self._running), min(self._workers(), busy + len(waiting))):
                self._running.append(self._asked_for())
        for worker in [each for each in self._running if each.free]:
            if not waiting:
                return
            number = worker.task = waiting.popleft()
            # Wrapped, so that it is fetched by who does not know it yet and by nobody else.
            job = None if worker.knows else [self._job.reference]
            item = bytes(ForkingPickler.dumps(items[number]))
            worker.waits_for = worker.actor.carry_out.remote(self._job.number, job, item)
            worker.knows = True

    def _asked_for(self) -> _Worker:
        if self._made is None:
            self._made = self._ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(_Actor)
        actor = self._made.options(num_gpus=self._share()).remote(list(sys.path), str(Path.cwd()))
        return _Worker(actor, actor.place.remote())

    def _heard(self) -> tuple[_Worker, Any, Exception | None] | None:
        """Return who has answered, with the answer or what it died of; None if nobody has for a while."""
        asked = {worker.waits_for: worker for worker in self._running if not worker.free}
        ready, _ = self._ray.wait(list(asked), num_returns=1, timeout=min(_LOOK_S, self._patience))
        if not ready:
            return None
        worker = asked[ready[0]]
        try:
            answer = self._ray.get(ready[0])
        except self._ray.exceptions.RayError as failure:
            return worker, None, failure
        worker.waits_for = None
        return worker, answer, None

    def _welcome(self, worker: _Worker, answer: Any) -> None:
        """Take in a worker that has said where it is, and ask of another machine whether it is like this one."""
        if not worker.node:
            worker.node, worker.place = answer
            if self._address is not None and worker.node not in self._machines.alike:
                sign = None if self._sign is None else str(self._sign)
                worker.waits_for = worker.actor.describe.remote(sign, "torch" in sys.modules)
            return
        seen, made_of, computes = answer
        if not seen:
            raise ConfigError(
                f"RAY_ADDRESS={self._address}: node {worker.place} does not see {self._folder}. Give --cache, and "
                "where models are tuned --out, on a disk that all nodes hold at the same place."
            )
        here = _made_of()
        apart = [f"{name} {made_of[name]} against {here[name]}" for name in here if made_of.get(name) != here[name]]
        if apart := apart + computed_apart(computes, processor()):
            raise ConfigError(
                f"RAY_ADDRESS={self._address}: node {worker.place} does not compute as this machine does "
                f"({'; '.join(apart)}), so that the last digits would hang on who does what. Join nodes of one kind of "
                "processor with the same packages, and start the command on one of them."
            )
        self._machines.alike.add(worker.node)

    def _lost_before_work(self, failure: Exception) -> None:
        """Count a worker that died before it had a task; what kills each of them is the cluster's fault."""
        self._machines.stillborn += 1
        if self._machines.stillborn > RETRIES:
            raise MissingPartError(
                f"Ray: {self._machines.stillborn} workers died before they had a task: {cause_of(failure)} Every "
                "node needs this version of embargo-backtest and its packages."
            )

    def _wait_for_room(self, began: float) -> None:
        """Raise if others have held all processors for too long: Ray itself says nothing."""
        if any(worker.node for worker in self._running):
            return
        there, free = self._ray.cluster_resources(), self._ray.available_resources()
        wanted = {"CPU": 1.0, "GPU": self._share()}
        short = [name for name, least in wanted.items() if free.get(name, 0.0) < least]
        if short and time.monotonic() - began >= self._patience:
            name = short[-1]
            total = there.get(name, 0.0)
            raise MissingPartError(
                f"Ray: for {self._patience:.0f} seconds none of the {total:g} {name}s was free for a task: "
                f"{total - free.get(name, 0.0):g} are held by other actors and tasks. 'ray status' tells what is held. "
                "End what holds them, add a node, or use --engine processes."
            )

    def _bury(self, worker: _Worker) -> None:
        self._running.remove(worker)
        # It may live on where it cannot be reached.
        with suppress(Exception):
            self._ray.kill(worker.actor)

    def _dismiss(self) -> None:
        for worker in list(self._running):
            self._bury(worker)

    def _judge(self, tasks: int, spent: float) -> None:
        """Say once where all that was carried out did not repay the start."""
        if self._spent is None:
            return
        self._spent += spent
        if self._spent > START_S:
            self._spent = None
        elif tasks > 1:
            self._say(f"Ray did not pay: {tasks:,} tasks took {spent:.1f} s. --engine serial does them in that.")
            self._spent = None

    def close(self) -> None:
        """Let all workers go, and end Ray where it was started here."""
        if self._ray is None:
            return
        self._dismiss()
        self._ray = self._made = None
        self._job = _Job(self._job.number)
        self._machines = _Machines()
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Actor:
    """Carries out tasks on one thread, wherever Ray has placed it."""

    def __init__(self, path: list[str], folder: str) -> None:
        sys.path += [each for each in path if each not in sys.path]
        os.environ.update(dict.fromkeys(VARIABLES, "1"))
        # Paths may be relative; on another machine there may be no such folder, and then they are not.
        with suppress(OSError):
            os.chdir(folder)
        self._number, self._function, self._shared = 0, None, None

    def place(self) -> tuple[str, str]:
        ray: Any = import_module("ray")
        return ray.get_runtime_context().get_node_id(), ray.util.get_node_ip_address()

    def describe(self, sign: str | None, with_torch: bool) -> tuple[bool, dict[str, str], dict[str, Any]]:
        """Return whether this machine sees a file, and what decides the figures that it computes."""
        if with_torch:
            import torch  # noqa: F401 - tells its instructions
        with one_thread():
            return sign is None or Path(sign).exists(), _made_of(), processor()

    def carry_out(self, number: int, job: list[Any] | None, item: bytes) -> tuple[float, bytes]:
        """Return the seconds that a task took, and what came of it."""
        ray: Any = import_module("ray")
        if job is not None and number != self._number:
            self._function, self._shared = ForkingPickler.loads(ray.get(job[0]))
            self._number = number
        began = time.monotonic()
        told: Any = self._function
        # Packed here, since Ray hands out arrays that cannot be written to, and sends what processes refuse.
        answer = packed(carry_out(told, self._shared, ForkingPickler.loads(item)))
        return time.monotonic() - began, answer


def _made_of() -> dict[str, str]:
    commit = git_commit()
    return versions() | ({} if commit is None else {"commit": commit})


def _opened(told: bytes) -> Any:
    answer = ForkingPickler.loads(told)
    assert isinstance(answer, TaskResult)
    return answer.opened()


def _given_up(number: int, total: int, deaths: int, worker: _Worker, failure: Exception) -> MissingPartError:
    return MissingPartError(
        f"task {number + 1} of {total}: its process died {deaths} times, last on node {worker.place}: "
        f"{cause_of(failure)} That is most often want of memory: give fewer --workers, or --engine serial to see what "
        "it says."
    )
