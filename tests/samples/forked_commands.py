"""A parent without threads that has everything imported, and forks for each command, so that a kill hits the work."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from samples import elsewhere

_PARENT = """
import os, sys
import duckdb, pyarrow.parquet, torch, transformers, peft, vectorbt
from embargo.data_loaders.archive import streams, tables
from embargo.models.scorers import score
from embargo.research.cli import app
from embargo.research.modelling import tuning
from embargo.research.run import pipeline
from embargo.research.studies.sweep import search
streams.BATCH_ROWS = streams.PIECE_ROWS = tables.PIECE_ROWS = 200
score.BLOCK = 50
torch.set_num_threads(1)
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        try:
            status = app(line.split(), standalone_mode=False)
        except BaseException as failure:
            os._exit(getattr(failure, "exit_code", 99))
        os._exit(status or 0)  # an exit that was asked for is returned
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Forks:
    """Runs one command after another."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.hits = 0

    def run(self, *words: str | Path, kill_after: float | None = None, one_of: random.Random | None = None) -> int:
        """Run a command, or kill it after so many seconds; return its exit status, negative for a signal.

        With `one_of` one of the processes that do its tasks is killed in its place, as soon after as there is one.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            with suppress(ProcessLookupError):
                os.kill(child if one_of is None else _worker(child, one_of), signal.SIGKILL)
                self.hits += 1
        return os.waitstatus_to_exitcode(int(self._process.stdout.readline()))


def _worker(driver: int, one_of: random.Random) -> int:
    """Wait for processes that do the tasks of a command, and return one; ProcessLookupError if it ends without."""
    while True:
        found = [each for each in _below(driver) if b"spawn_main" in (name := _named(each)) or b"ray::_Actor" in name]
        if found:
            return one_of.choice(found)
        if not Path(f"/proc/{driver}/stat").exists() or _named(driver) == b"":
            raise ProcessLookupError(driver)
        time.sleep(0.02)


def _named(process: int) -> bytes:
    """Return how a process was called; nothing where it is over."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def _below(process: int) -> list[int]:
    """Return the processes that one has started, and those have."""
    try:
        own = [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text("ascii").split()]
    except OSError:
        return []
    return own + [each for one in own for each in _below(one)]


@contextmanager
def forks() -> Iterator[Forks]:
    process = subprocess.Popen(
        [sys.executable, "-c", _PARENT],
        env=elsewhere(OMP_NUM_THREADS="1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Forks(process)
        assert process.stdin is not None
        process.stdin.close()
