"""Folders and files in the making: assembled hidden beside their place, and swept up when their maker was killed.

A maker holds a lock on its draft, and the system takes the lock away when the process ends, however it ends: a draft
that nobody holds is litter, one that is held is left alone. What a kill left between the two renames that put one
folder in the place of another is put back.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_DRAFT = ".embargo-draft-"
_RETIRED = ".embargo-old-"
# A file named by its maker's process and chance, until it has its own name; to lose it stops no maker.
_HALF = re.compile(r"\..+\.\d+\.[0-9a-f]{8}")


@contextmanager
def draft_for(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target``, to be renamed; what is still there when the block ends is removed.

    Folders on the way are made, and drafts that killed processes left there are swept up.
    """
    parent = target.parent
    parent.mkdir(parents=True, exist_ok=True)
    sweep_up(parent)
    # A draft that is not locked yet is nobody's: it must not be seen before it is.
    with _alone_in(parent):
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=parent))
        held = os.open(draft, os.O_RDONLY | os.O_DIRECTORY)
        with suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        with naming(target):
            yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        os.close(held)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield where to write a file that is in its place, whole, when the block ends well, else what was there stays.

    What is no file, such as a terminal or a pipe, is written to as it stands; a link stays one.
    """
    place = Path(os.path.realpath(target))
    if place.exists() and not place.is_file():
        yield place
        return
    with draft_for(place) as draft:
        yield draft / place.name
        (draft / place.name).replace(place)


@contextmanager
def naming(place: Path) -> Iterator[None]:
    """Let errors of a block say what was written where the system does not: a full disk names no file."""
    try:
        yield
    except OSError as failure:
        # Those of a kind of their own, such as of a connection, are not about what is written.
        if type(failure) is OSError and failure.filename is None:
            failure.strerror = failure.strerror or str(failure)
            failure.filename = str(place)
        raise


def put_in_place(draft: Path, target: Path) -> None:
    """Rename a draft to ``target``, in the place of the folder that may be there, which is removed.

    A kill between the two renames hides the folder that was there until the next `sweep_up`.

    Raises
    ------
    OSError
        If it cannot be renamed; what was there is there still.
    """
    draft.chmod(0o755)
    with _alone_in(target.parent):
        if not os.path.lexists(target):
            draft.rename(target)
            return
        retired = Path(tempfile.mkdtemp(prefix=_RETIRED, dir=target.parent))
        target.rename(retired / target.name)
        try:
            draft.rename(target)
        except OSError:
            (retired / target.name).rename(target)
            retired.rmdir()
            raise
        litter = _as_litter(retired)
    shutil.rmtree(litter, ignore_errors=True)


def discard(target: Path) -> None:
    """Remove a folder or file; a kill leaves it whole, or as litter that the next `sweep_up` removes, never half.

    Raises
    ------
    OSError
        If it cannot be renamed.
    """
    with _alone_in(target.parent):
        litter = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=target.parent))
        try:
            target.rename(litter / target.name)
        except OSError:
            litter.rmdir()
            raise
    shutil.rmtree(litter)


def sweep_up(parent: Path) -> None:
    """Put back the folders that a kill hid in the middle of being replaced, and remove the drafts of dead processes.

    Where nothing can be changed (another's folder, a disk that is only read), all is left as it is.
    """
    with suppress(OSError):
        if not any(path.name.startswith((_DRAFT, _RETIRED)) for path in parent.iterdir()):
            return
        with _alone_in(parent):
            for path in [path for path in parent.iterdir() if path.name.startswith(_RETIRED)]:
                _put_back(path)
            for path in _litter_in(parent):
                shutil.rmtree(path, ignore_errors=True)


def left_behind(parent: Path) -> list[Path]:
    """Return what killed processes left in a folder: drafts that nobody holds, and files half written beside theirs.

    What a kill hid in the middle of being replaced is none: it is put back.
    """
    with suppress(OSError):
        if any(path.name.startswith(_DRAFT) or _HALF.fullmatch(path.name) for path in parent.iterdir()):
            with _alone_in(parent):
                half = [path for path in parent.iterdir() if _HALF.fullmatch(path.name)]
                return sorted(_litter_in(parent) + half)
    return []


def _litter_in(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.name.startswith(_DRAFT) and _abandoned(path)]


def _put_back(retired: Path) -> None:
    """Return what lies in a retired folder to its place, unless something is there again."""
    for inside in list(retired.iterdir()):
        place = retired.parent / inside.name
        if not os.path.lexists(place):
            inside.rename(place)
    _as_litter(retired)


def _as_litter(retired: Path) -> Path:
    """Rename a retired folder to what is only ever removed: a half of it must never be put back."""
    return retired.rename(retired.with_name(retired.name.replace(_RETIRED, _DRAFT, 1)))


def _abandoned(draft: Path) -> bool:
    """Tell whether nobody holds a draft; where locks are not known, somebody may."""
    try:
        found = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(found)
    return True


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, so that of all who rename in it one does at a time.

    A draft has one maker, who holds its lock already and would wait for himself.
    """
    if folder.name.startswith(_DRAFT):
        yield
        return
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Some file systems know no locks of folders; a single process needs none.
        with suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)
