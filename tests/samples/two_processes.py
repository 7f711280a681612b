"""Processes that train together, over gloo on the loopback interface."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path


def run_by_two(module: str | Path, *arguments: str, timeout: float = 280) -> None:
    """Call ``take_part`` of a test file with texts, in two launched processes; both must end well."""
    run_by(2, module, *arguments, timeout=timeout)


def run_by(count: int, module: str | Path, *arguments: str, call: str = "take_part", timeout: float = 280) -> None:
    """Call a function of a test file with texts, in launched processes; all must end well."""
    module = Path(module)
    here, tests = str(module.parent), str(Path(__file__).parents[1])
    script = (
        f"import sys; sys.path[:0] = {[here, tests]!r}\n"
        f"import {module.stem} as launched; launched.{call}(*{arguments!r})"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
    }
    common |= {"OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": str(count)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
        )
        for rank in range(count)
    ]
    try:
        errors = [process.communicate(timeout=timeout)[1].decode()[-3000:] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0] * count, "\n".join(errors)
