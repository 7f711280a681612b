"""The files that code of one's own opens by itself: nobody dates or hashes them, so a run has to know of them.

Python tells of files that are opened through it (PEP 578); it is listened to around calls into such code alone, in the
thread that makes the call. What an extension opens by itself, another process or another thread, is not seen.
"""

from __future__ import annotations

import importlib.machinery
import os
import site
import sys
import sysconfig
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

_OF_PYTHON = (*importlib.machinery.all_suffixes(), ".pth")
_SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/usr/lib", "/usr/lib64", "/usr/share")
_PARTS_OF_PRODUCT = ("backtest", "data_loaders", "models", "research", "signals")

_listening: ContextVar[_Opened | None] = ContextVar("files opened by code of one's own", default=None)
# What each code opened in this process, by the hash of its source: a module may keep what it read once.
_known: dict[str, set[str]] = {}


class _Opened:
    """Files that were opened for reading, without those that the same code wrote before."""

    def __init__(self, apart: Collection[Path]) -> None:
        self.read: set[str] = set()
        self._written: set[str] = set()
        self._apart = tuple(f"{each.resolve()}{os.sep}" for each in apart)

    def add(self, place: str, flags: int) -> None:
        if flags & (os.O_TRUNC | os.O_EXCL) or flags & os.O_ACCMODE == os.O_WRONLY:
            self._written.add(place)
        elif place not in self._written and not place.startswith(self._apart) and not _is_of_the_system(place):
            self.read.add(place)


def _is_of_the_system(place: str) -> bool:
    return place.endswith(_OF_PYTHON) or place.startswith(_left_out())


@cache
def _left_out() -> tuple[str, ...]:
    """Folders of the interpreter, of installed packages and of the product, as they begin a path."""
    named = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    named |= {*site.getsitepackages(), *_SYSTEM, *(str(Path(each, "lib")) for each in (sys.prefix, sys.base_prefix))}
    product = Path(__file__).resolve().parents[1]
    named |= {str(product / each) for each in _PARTS_OF_PRODUCT}
    named |= {os.path.realpath(each) for each in named}
    return tuple(sorted(f"{each}{os.sep}" for each in named))


def _hear(event: str, told: tuple[Any, ...]) -> None:
    if event not in ("open", "sqlite3.connect"):
        return
    opened = _listening.get()
    if opened is None or not told or not isinstance(told[0], str | bytes | os.PathLike):
        return  # a number stands for what was opened before
    place = os.path.realpath(os.fsdecode(told[0]).removeprefix("file:"))
    flags = told[2] if event == "open" and isinstance(told[2], int) else os.O_RDONLY
    opened.add(place, flags)


@cache
def _install() -> None:
    """Ask Python once to tell of what is opened; it cannot be asked to stop."""
    sys.addaudithook(_hear)


@contextmanager
def listening(apart: Collection[Path] = ()) -> Iterator[set[str]]:
    """Gather the paths of files that are read inside, but for those of the interpreter, packages and the product.

    Parameters
    ----------
    apart : collection of Path
        Folders whose files do not count, such as a cache.

    Yields
    ------
    set of str
        Absolute paths, complete when the block ends.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from embargo.data_loaders.own_files import listening
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     place = Path(folder) / "labels.csv"
    ...     _ = place.write_text("a,b")
    ...     with listening() as read:
    ...         _ = place.read_text()
    >>> [Path(each).name for each in read]
    ['labels.csv']
    """
    _install()
    opened = _Opened(apart)
    token = _listening.set(opened)
    try:
        yield opened.read
    finally:
        _listening.reset(token)


def remember(code: str, read: Collection[str]) -> None:
    """Add what code of one's own, known by the hash of its source, has read."""
    _known.setdefault(code, set()).update(read)


def remembered(code: str) -> list[str]:
    """Name what code has read in this process: each file with the folder that it lies in, sorted, no path beyond."""
    return sorted({str(Path(*Path(place).parts[-2:])) for place in _known.get(code, ())})
