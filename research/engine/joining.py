"""The Ray that tasks are carried out in: started on this machine for one command, or joined where it runs.

One that is started here listens on loopback alone, behind a secret of its own, reports to nobody, and leaves nothing.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from embargo.data_loaders.errors import ConfigError, MissingPartError
from embargo.data_loaders.threads import one_thread
from embargo.research.engine.keepers import gpus

# What an address is given to answer; Ray itself tries for over three minutes.
_ANSWER_S = 10.0


def cause_of(failure: Exception) -> str:
    """Return what Ray says of a death, in one line."""
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    told = next((line for line in lines if "Worker exit type" in line or "memory" in line), lines[-1] if lines else "")
    return f"{type(failure).__name__}: {told[:300]}".rstrip(".") + "."


@cache
def _secret() -> str:
    """Return what opens the Ray of this machine: it does what it is told by whoever reaches its ports."""
    return secrets.token_hex(32)


@contextmanager
def of_this_machine(workers: int) -> Iterator[Any]:
    """Start Ray for this command alone, and end it."""
    # Ray's sockets lie in it, whose names may not be long.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp" if Path("/tmp").is_dir() else None)  # noqa: S108
    wanted = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listens on loopback alone
        "RAY_AUTH_TOKEN": _secret(),  # else Ray writes one into the home, for everybody to read
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_worker_niceness": "0",  # by default tasks give way to whatever else runs
    }
    try:
        # What Ray decides by itself ends with it.
        with _variables(wanted, "RAY_AUTH_MODE"):
            yield from _connected(
                "local",
                num_cpus=workers,
                num_gpus=len(gpus()),
                include_dashboard=False,
                _temp_dir=folder,
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def joined(address: str) -> Iterator[Any]:
    """Join a cluster, and leave it.

    Raises
    ------
    MissingPartError
        If nobody answers there, or it is of another version.
    """
    _answers(address)
    with _variables({"RAY_USAGE_STATS_ENABLED": "0"}):
        yield from _connected(address)


def _connected(address: str, **options: Any) -> Iterator[Any]:
    # Part of what is called has no types.
    ray: Any = import_module("ray")
    if ray.is_initialized():
        there = str(ray.get_runtime_context().gcs_address)
        same = ray.util.client.ray.is_connected() if address.startswith("ray://") else address in ("auto", there)
        if not same:
            raise ConfigError(
                f"RAY_ADDRESS={address}: this process has joined {there} already. Call ray.shutdown() before."
            )
        yield ray
        return
    try:
        # Libraries that processes of Ray load are to start with one thread.
        with one_thread():
            ray.init(address, log_to_driver=False, logging_level="error", **options)
    except (RuntimeError, OSError, ValueError, ImportError, ray.exceptions.RayError) as failure:
        ray.shutdown()
        raise MissingPartError(
            f"Ray at {address}: {cause_of(failure)} 'ray status' tells what runs there."
        ) from failure
    try:
        yield ray
    finally:
        ray.shutdown()


def _answers(address: str) -> None:
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"RAY_ADDRESS={address}: name it as host:6379, ray://host:10001 or auto.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except OSError as failure:
        raise MissingPartError(
            f"RAY_ADDRESS={address}: nobody answers there ({failure}). 'ray start --head' starts a cluster; without "
            "RAY_ADDRESS, Ray is started on this machine."
        ) from None


@contextmanager
def _variables(wanted: dict[str, str], *others: str) -> Iterator[None]:
    """Set variables of the environment, and put back what was before, also of others."""
    before = {name: os.environ.get(name) for name in (*wanted, *others)}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
