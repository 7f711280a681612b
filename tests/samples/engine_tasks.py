"""Tasks for the engine: what they compute, and how they go wrong. At the top of a module, so that others find them."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import threadpoolctl

from embargo.data_loaders.errors import DataError
from embargo.models.content import cached_folder
from samples.killed_writers import EVENTS


def product(shared, item):
    """Return a product of matrices that several threads would add up in another order."""
    rng = np.random.default_rng([shared, item])
    return rng.normal(size=(96, 700)) @ rng.normal(size=(700, 96))


def threads(shared, item):
    """Return how many threads each pool has, and which process this is."""
    np.ones((2, 2)) @ np.ones((2, 2))
    return {each["num_threads"] for each in threadpoolctl.threadpool_info()}, os.getpid()


def slow_first(shared, item):
    time.sleep(0.6 if item == 0 else 0.0)
    return item


def wrong(shared, item):
    if item == shared:
        raise DataError(f"row {item}: not a number. Mend it.")
    return item


class OddError(Exception):
    """Cannot be made from its own text."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def odd(shared, item):
    raise OddError("one", "two")


def full(shared, item):
    raise MemoryError


def unsendable(shared, item):
    return lambda: item


def warns(shared, item):
    warnings.warn(f"careful with {item}", RuntimeWarning, stacklevel=1)
    return item


def dies(folder, item):
    """Be killed as often as the item says, and then give the item back."""
    while True:
        times = len(list(Path(folder).glob(f"{item}-*")))
        if times >= item:
            return item
        (Path(folder) / f"{item}-{times}").touch()
        os.kill(os.getpid(), signal.SIGKILL)


def makes_a_folder(place, item):
    """Write a folder of a cache and name its content; be killed at one event of the file system the first time."""
    room, marker = Path(place) / "adapters", Path(place) / f"killed-{item}"
    left = item

    def count(event, arguments):
        nonlocal left
        if event in EVENTS and any(str(room) in str(argument) for argument in arguments):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    if not marker.exists():
        marker.touch()
        sys.addaudithook(count)

    def build(folder):
        for name in ("weights", "words"):
            (folder / name).write_bytes(np.random.default_rng(item).bytes(10_000))
        return {"item": item}

    folder, manifest = cached_folder(room, "adapter", {"item": item}, build)
    return folder.name, manifest


def writes_and_waits(folder, item):
    (Path(folder) / f"{os.getpid()}").touch()
    time.sleep(120)


def gpu(shared, item):
    time.sleep(shared or 0.0)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def slow_product(shared, item):
    time.sleep(2.0)
    return product(shared, item)


def hoards(shared, item):
    """Take a fifth of a GB after another, and give in only after four."""
    taken = []
    for _ in range(20):
        taken.append(bytearray(200_000_000))
        time.sleep(0.4)
    return len(taken)
