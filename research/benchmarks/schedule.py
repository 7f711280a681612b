"""How long a job would take on machines that are not here: its tasks in the engine's order, with deaths and losses.

Run by ``python -m embargo.research.benchmarks.schedule``, which prints the table of docs/scale.md in seconds. Nothing
is carried out: what a task takes was measured on one core, or is named as an assumption, and the rest is the rule by
which the engine hands tasks out. The next task goes to the next worker that is free; a task whose worker dies goes
first; the driver takes one answer at a time; a frame of a stream is over before the next begins.
"""

from __future__ import annotations

import argparse
import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from embargo.data_loaders.archive.streams import BATCH_ROWS
from embargo.data_loaders.errors import ConfigError
from embargo.models.scorers.score import BLOCK
from embargo.research.engine.choice import START_S
from embargo.research.engine.keepers import RETRIES

HOUR = 3600.0
DAY = 24 * HOUR


@dataclass(frozen=True)
class Job:
    """What is to be done, by whom, and what goes wrong.

    Attributes
    ----------
    name : str
    seconds : sequence of float
        What each task takes on a worker, in the order of the tasks.
    workers : int
    frame : int, optional
        Tasks that are there at once; the next ones come when all of these are done.
    start_s : float
        Until a worker that was started can work.
    driver_s : float
        What the driver spends on each answer, during which it hears no other.
    kept_s : float, optional
        A task that is carried out again goes on from the last multiple of this, such as a pass of a tuning.
    deaths_per_hour : float
        Of one worker, at random.
    node : int
        Workers on one node.
    losses_per_day : float
        Of one node with all its workers, at random.
    boot_s : float
        Until a node is there in the place of one that was lost.
    usd_hour : float
        Price of a worker, paid until the job is over.

    Raises
    ------
    ConfigError
        If there is no worker, node or frame, or a time or rate is negative.
    """

    name: str
    seconds: Sequence[float]
    workers: int
    frame: int | None = None
    start_s: float = START_S
    driver_s: float = 0.0
    kept_s: float | None = None
    deaths_per_hour: float = 0.0
    node: int = 1
    losses_per_day: float = 0.0
    boot_s: float = 180.0
    usd_hour: float = 0.05

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("node", 1), ("frame", 1)):
            if (value := getattr(self, name)) is not None and value < least:
                raise ConfigError(f"{self.name}: {name} is {value}; it must be at least {least}.")
        for name in ("start_s", "driver_s", "deaths_per_hour", "losses_per_day", "boot_s", "usd_hour"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{self.name}: {name} is {getattr(self, name)}; it cannot be negative.")


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes
    ----------
    makespan : float
        Seconds from the start of the first worker to the last answer that was kept.
    worked : float
        Seconds of all workers on tasks, those that were lost among them.
    needed : float
        Seconds that the tasks take.
    deaths : int
        Of workers while they had a task.
    given_up : bool
        Whether a task died once too often, which ends the command.
    """

    makespan: float
    worked: float
    needed: float
    deaths: int
    given_up: bool


class _Cluster:
    """Workers and nodes, and what happens to them, in the order of time."""

    def __init__(self, job: Job, rng: np.random.Generator) -> None:
        self._job, self._rng = job, rng
        # Time, order of equal times, kind, who, and which life of theirs; what belongs to an earlier life is void.
        self._events: list[tuple[float, int, str, int, int]] = []
        self._count = 0
        self.life = [0] * job.workers
        for worker in range(job.workers):
            self.add(job.start_s, "free", worker)
        for node in range(-(-job.workers // job.node)):
            self._next_loss(node, 0.0)

    def add(self, at: float, kind: str, who: int) -> None:
        self._count += 1
        heapq.heappush(self._events, (at, self._count, kind, who, 0 if kind == "loss" else self.life[who]))

    def _next_loss(self, node: int, now: float) -> None:
        if self._job.losses_per_day > 0:
            self.add(now + self._rng.exponential(DAY / self._job.losses_per_day), "loss", node)

    def __iter__(self) -> Iterator[tuple[float, str, int]]:
        while self._events:
            at, _, kind, who, life = heapq.heappop(self._events)
            if kind == "loss" or life == self.life[who]:
                yield at, kind, who

    def begin(self, worker: int, now: float, takes: float) -> None:
        """Let a worker begin a task, which it finishes or dies of."""
        rate = self._job.deaths_per_hour
        dies = self._rng.exponential(HOUR / rate) if rate > 0 else np.inf
        self.add(now + min(takes, dies), "done" if takes <= dies else "dead", worker)

    def lost_with(self, node: int, now: float) -> list[int]:
        """Take a node away, and return its workers, which are there again when another has booted."""
        gone = list(range(node * self._job.node, min((node + 1) * self._job.node, self._job.workers)))
        for worker in gone:
            self.again(worker, now + self._job.boot_s)
        self._next_loss(node, now + self._job.boot_s)
        return gone

    def again(self, worker: int, at: float) -> None:
        """Start a worker anew."""
        self.life[worker] += 1
        self.add(at + self._job.start_s, "free", worker)


class _Book:
    """Which tasks are done, waiting and being done, and what they have cost so far."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._total = len(job.seconds)
        self._frame = self._total if job.frame is None else job.frame
        self.left, self._tries = list(job.seconds), [0] * self._total
        self._waiting: deque[int] = deque()
        self._come = self._done = 0
        self.doing: dict[int, tuple[int, float]] = {}
        self.worked = self.driver_free = 0.0
        self.deaths, self.given_up = 0, False

    def next(self) -> int | None:
        """Return the next task; None where none is there yet."""
        if self._done == self._come:
            come = min(self._come + self._frame, self._total)
            self._waiting.extend(range(self._come, come))
            self._come = come
        return self._waiting.popleft() if self._waiting else None

    def keep(self, worker: int, now: float) -> float | None:
        """Take the answer of a worker, and return when it gets its next task; None if this was the last."""
        self.worked += now - self.doing.pop(worker)[1]
        self.driver_free = max(self.driver_free, now) + self._job.driver_s
        self._done += 1
        return None if self._done == self._total else self.driver_free

    def lose(self, worker: int, now: float) -> None:
        """Take the task of a worker that is gone, if it had one, and put it before all others."""
        if worker not in self.doing:
            return
        task, since = self.doing.pop(worker)
        spent = now - since
        self.worked += spent
        self.deaths += 1
        self._tries[task] += 1
        self.given_up |= self._tries[task] > RETRIES
        if self._job.kept_s is not None:
            self.left[task] -= self._job.kept_s * (spent // self._job.kept_s)
        self._waiting.appendleft(task)


def simulate(job: Job, rng: np.random.Generator) -> Outcome:
    """Carry out a job in thought.

    Parameters
    ----------
    job : Job
    rng : Generator
        Draws deaths and losses.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.research.benchmarks.schedule import Job, simulate
    >>> simulate(Job("seven", [10.0] * 7, workers=3, start_s=5.0), np.random.default_rng(0)).makespan
    35.0
    """
    if not job.seconds:
        return Outcome(0.0, 0.0, 0.0, 0, given_up=False)
    cluster, book = _Cluster(job, rng), _Book(job)
    idle: deque[int] = deque()
    for now, kind, who in cluster:
        if kind == "free":
            idle.append(who)
        elif kind == "done":
            if (free := book.keep(who, now)) is None:
                break
            cluster.add(free, "free", who)
        elif kind == "dead":
            book.lose(who, now)
            cluster.again(who, now)
        else:
            for worker in cluster.lost_with(who, now):
                if worker in idle:
                    idle.remove(worker)
                book.lose(worker, now)
        if book.given_up:
            break
        while idle and (task := book.next()) is not None:
            worker = idle.popleft()
            book.doing[worker] = (task, now)
            cluster.begin(worker, now, book.left[task])
    end = now if book.given_up else book.driver_free
    return Outcome(end, book.worked, sum(job.seconds), book.deaths, book.given_up)


# What was measured on one core of an EPYC with AVX2, and what is assumed.
ARTICLES = 100_000_000
MINILM_TEXT_S = 10.2 / 600  # ONNX Runtime, fp32: 600 tweets in 10.2 CPU-seconds
DRIVER_TEXT_S = 13.0 / 500_000  # to read, keep and write 500,000 texts that cost nothing to score
FRAME = -(-BATCH_ROWS // BLOCK)  # of what a stream reads at once
TRAINED_TOKENS_S = 599.0  # LoRA of MiniLM, fp32
FOLD_TOKENS = 20_000 * 30 * 3  # texts, tokens of each, passes
# Assumed: 60 tokens a text, two operations a weight and token, at 40 % of what an H200 gives in bf16.
DECODER_TEXT_S = 60 * 2 * 8e9 / (0.4 * 989e12)


def spot(job: Job) -> Job:
    """Return a job on machines that are taken away: a worker dies once in 100 hours, a node twice a day."""
    return replace(job, name=f"{job.name}, spot", deaths_per_hour=0.01, losses_per_day=2.0)


def jobs() -> list[Job]:
    """Return the rows of the table."""
    blocks = -(-ARTICLES // BLOCK)
    driver_s = BLOCK * DRIVER_TEXT_S
    minilm = Job(
        "100 M articles, MiniLM by ONNX", [BLOCK * MINILM_TEXT_S] * blocks, 1, frame=FRAME, driver_s=driver_s, node=16
    )
    decoder = Job(
        "100 M articles, 8B decoder on GPUs",
        [BLOCK * DECODER_TEXT_S] * blocks,
        1,
        frame=FRAME,
        driver_s=driver_s,
        start_s=120.0,
        node=8,
        usd_hour=3.0,
    )
    passes = FOLD_TOKENS / TRAINED_TOKENS_S
    folds = Job("50 folds, LoRA of MiniLM", [passes] * 50, 1, driver_s=1.0, node=16, kept_s=passes / 3)
    found = [replace(minilm, workers=workers) for workers in (2, 16, 64, 123, 256)]
    found.append(spot(replace(minilm, workers=123)))
    found += [replace(decoder, workers=workers) for workers in (1, 8, 32)]
    found.append(spot(replace(decoder, workers=32)))
    found += [replace(folds, workers=workers) for workers in (2, 25, 50)]
    found.append(spot(replace(folds, workers=25)))
    return found


def row(job: Job, seeds: int = 5) -> str:
    """Return a line of the table: the middle of several draws."""
    drawn = [simulate(job, np.random.default_rng([7_300_020, seed])) for seed in range(seeds)]
    hours = median(each.makespan for each in drawn) / HOUR
    ideal = drawn[0].needed / job.workers / HOUR
    lost = max(median(each.worked / each.needed - 1.0 for each in drawn), 0.0)
    ended = sum(each.given_up for each in drawn)
    told = f"{lost:.2%}" + (f", {ended} of {seeds} given up" if ended else "")
    usd = hours * job.workers * job.usd_hour
    return f"| {job.name} | {job.workers} | {ideal:,.1f} | {hours:,.1f} | {ideal / hours:.0%} | {told} | {usd:,.0f} |"


def table() -> list[str]:
    """Return the table of docs/scale.md."""
    return [
        "| job | workers | hours if nothing were lost | hours | of them at work | done twice | USD |",
        "|---|--:|--:|--:|--:|--:|--:|",
        *map(row, jobs()),
    ]


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print("\n".join(table()))


if __name__ == "__main__":
    main()
