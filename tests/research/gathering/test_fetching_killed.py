"""A fetch that is killed at any moment: the store holds whole batches, and the next fetch completes it.

A parent without threads imports the command line once and forks for each fetch, so that the moment of the kill falls
into the work rather than into the start of the interpreter.
"""

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

import pandas as pd
import pytest
from samples import elsewhere
from samples.loopback_commands import START, Desk, desk_at

from embargo.data_loaders.store import Store

KILLS = 25
SYMBOLS = ("AAPL", "GE", "SPY", "VOD.L", "BTC-USD")
REQUESTS = {
    "yahoo": ["fetch", "yahoo", *SYMBOLS, "--start", "2020-06-01", "--end", "2021-02-01", "--no-news"],
    "bybit": ["fetch", "bybit", "BTCUSDT", "ETHUSDT", "--start", "2023-06-01", "--end", "2024-02-01", "--funding"],
}
FORKER = """
import os, sys
from servers import bybit_service, yahoo_service
from embargo.data_loaders import calendars
from embargo.data_loaders.store import Store
import ccxt, duckdb, pyarrow.parquet
from embargo.research.gathering import downloads, fetching
from embargo.research.cli import app
downloads.YAHOO_TOGETHER, fetching.FLUSH_ROWS, downloads.CHUNK_BARS = 1, 1, 1000
import pandas as pd
for code in ("XNYS", "XLON"):
    calendars.sessions(code, pd.Timestamp("2020-06-01"), pd.Timestamp("2021-02-01"))
with yahoo_service.redirect(sys.argv[1]), bybit_service.redirect(sys.argv[2]):
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            try:
                app(line.split(), standalone_mode=False)
            except BaseException as failure:
                os._exit(getattr(failure, "exit_code", 99))
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(status, flush=True)
"""


class Forker:
    """Runs one fetch after another in processes that start at once."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def fetch(self, request: list[str], store: Path, *, kill_after: float | None) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join([*request, "--store", str(store)]) + "\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        return int(self._process.stdout.readline())


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with desk_at(tmp_path, monkeypatch) as desk:
        yield desk


@contextmanager
def forker(desk: Desk) -> Iterator[Forker]:
    process = subprocess.Popen(
        [sys.executable, "-c", FORKER, desk.yahoo.url, desk.bybit.url],
        env=elsewhere(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Forker(process)
        assert process.stdin is not None
        process.stdin.close()


def contents(store: Path, source: str) -> dict[str, pd.DataFrame]:
    """Every fact of a store, without the instants of this machine."""
    world = Store.open(store).as_of(pd.Timestamp("2100-01-01", tz="UTC"))
    tables = {}
    for dataset in ("bars", "actions") if source == "yahoo" else ("bars", "funding"):
        parts = [batch.to_pandas() for batch in world.record_batches(dataset)]  # type: ignore[arg-type]
        whole = pd.concat(parts, ignore_index=True).drop(columns=["seen_at", "known_at"])
        tables[dataset] = whole.sort_values(list(whole.columns), ignore_index=True)
    return tables


@pytest.mark.slow
@pytest.mark.parametrize("source", ["yahoo", "bybit"])
def test_a_fetch_killed_at_random_moments_is_completed_by_the_next(desk: Desk, tmp_path: Path, source: str) -> None:
    request = REQUESTS[source]
    moments = random.Random(KILLS)
    with forker(desk) as forks:
        began = time.monotonic()
        assert forks.fetch(request, tmp_path / "undisturbed", kill_after=None) == 0
        length = time.monotonic() - began
        killed, left = 0, []
        for attempt in range(KILLS):
            store = tmp_path / f"killed-{attempt // 3}"
            status = forks.fetch(request, store, kill_after=moments.uniform(0.02, length))
            killed += os.WIFSIGNALED(status)
            if (store / "embargo-store.json").exists() or any(store.glob("*")):
                health = Store.create(store).check()
                assert health.damaged == (), health
                left.append(health.batches)
        assert killed >= KILLS // 3, "most fetches were over before they were killed: the test proves nothing"
        assert any(0 < batches < max(left) for batches in left), "no kill fell into the middle of a fetch"
        whole = contents(tmp_path / "undisturbed", source)
        for store in sorted(tmp_path.glob("killed-*")):
            assert forks.fetch(request, store, kill_after=None) == 0
            assert Store.open(store).check().sound
            for dataset, frame in contents(store, source).items():
                pd.testing.assert_frame_equal(frame, whole[dataset])


@pytest.mark.parametrize("source", ["yahoo", "bybit"])
def test_a_killed_process_of_its_own_leaves_a_store_that_continues(desk: Desk, source: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "servers.redirected", desk.yahoo.url, desk.bybit.url, "--", *REQUESTS[source]],
        cwd=desk.store.parent,
        env=elsewhere(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    service = desk.yahoo if source == "yahoo" else desk.bybit
    limit = time.monotonic() + 60
    while len(service.requests) < 4 and time.monotonic() < limit:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert Store.create(desk.store).check().damaged == ()
    assert desk.fetch(source, *REQUESTS[source][2:]).exit_code == 0
    assert desk.opened().check().sound
    expected = len(SYMBOLS) if source == "yahoo" else 2
    venue, bar = ("yahoo", "1d") if source == "yahoo" else ("bybit-linear", "1h")
    assert desk.bars(venue, bar, START)["symbol"].nunique() == expected
