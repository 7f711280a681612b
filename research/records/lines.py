"""Files that many writers append to, a line at a time: read while nobody writes, and never left with half a line."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from embargo.data_loaders.errors import DataError


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file to read, while nobody writes it; a device or a pipe, which may never end, is refused.

    Raises
    ------
    DataError
        If it cannot be read, or is no file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as failure:
        raise DataError(f"{path}: cannot be read ({failure.strerror}). Restore the file or move it away.") from failure
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise DataError(f"{path}: no file that a ledger wrote. Restore the file or move it away.")
        fcntl.flock(file, fcntl.LOCK_SH)
        yield file


def append_line(path: Path, text: str) -> None:
    """Append a line whole or not at all.

    Raises
    ------
    OSError
        If the disk is full; the file is then as it was.
    """
    line = (text + "\n").encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        whole = os.fstat(descriptor).st_size
        if os.write(descriptor, line) < len(line):
            os.ftruncate(descriptor, whole)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)
