"""One thread for every sum: what is added up by several threads is added in another order, and its last digits move.

Whatever is fitted, scored or measured runs inside `one_thread`, so that no figure hangs on how many cores there are.
Several cores are kept busy by several tasks instead, each on one thread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

# What a library of threads reads once, as it is loaded.
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_lock = Lock()
_depth = 0
_undo: list[Any] = []


@contextmanager
def one_thread() -> Iterator[None]:
    """Run a block, or what it decorates, with one thread in torch, BLAS and OpenMP, and put back what was before.

    Libraries that are loaded inside start with one thread too. Blocks may be nested, and opened by several threads: the
    last to leave puts back.

    Examples
    --------
    >>> import os
    >>> from embargo.data_loaders.threads import one_thread
    >>> with one_thread():
    ...     print(os.environ["OMP_NUM_THREADS"])
    1
    """
    global _depth
    with _lock:
        if _depth == 0:
            _undo.append(_held())
        _depth += 1
        _pin_torch()
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                _release(_undo.pop())


def _held() -> tuple[dict[str, str | None], Any, int | None]:
    """Hold every pool that is loaded to one thread, and return what is to be put back."""
    variables = {name: os.environ.get(name) for name in VARIABLES}
    os.environ.update(dict.fromkeys(VARIABLES, "1"))
    torch: Any = sys.modules.get("torch")
    threads = int(torch.get_num_threads()) if hasattr(torch, "get_num_threads") else None
    return variables, _limits(), threads


def _limits() -> Any:
    if "numpy" not in sys.modules:
        return None  # nothing that computes is loaded yet, and the variables hold whatever will be
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


def _pin_torch() -> None:
    """Hold torch to one thread: it may have been loaded since, and keeps a number for each thread that calls it."""
    torch: Any = sys.modules.get("torch")
    if hasattr(torch, "set_num_threads") and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


def _release(before: tuple[dict[str, str | None], Any, int | None]) -> None:
    variables, limits, threads = before
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if limits is not None:
        limits.restore_original_limits()
    torch: Any = sys.modules.get("torch")
    if hasattr(torch, "set_num_threads"):
        # One that was loaded inside has seen nothing but one thread.
        torch.set_num_threads(threads or int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
