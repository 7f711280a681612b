"""Where base models, adapters, scores, calendars and the ledger of attempts are kept between runs."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from embargo.data_loaders.errors import EmbargoError, MissingPartError
from embargo.data_loaders.recorded_sessions import keep_in

# Held by every process that uses a cache, for as long as it lives; who cleans up waits for no one and is kept out.
_LOCK = ".in-use"
_held: dict[Path, int] = {}


class CacheInUseError(EmbargoError):
    """A cache is used by a process that runs, so that nothing may be taken from it."""


def folder_for(name: str, place: Path) -> Path:
    """Return a folder that is there or can be made, so that no work is done for a place that cannot be.

    Raises
    ------
    MissingPartError
        If it is a file, or lies under one; ``name`` says whose setting it is.
    """
    there = next((folder for folder in (place, *place.parents) if folder.exists()), place)
    if there.exists() and not there.is_dir():
        raise MissingPartError(f"{name} {place}: {there} is a file, so no folder can be there. Name another.")
    return place


def cache_folder(chosen: Path | None, *, held: bool = True) -> Path:
    """Where models and scores are kept: the folder chosen, ``$EMBARGO_CACHE``, or the user's cache folder.

    Calendars that take seconds to make are kept there from now on too. Unless it is not ``held``, nobody can take
    anything out of it by `alone_in_cache` while this process lives.
    """
    folder = _folder(chosen)
    keep_in(folder / "calendars")
    if held:
        # Where nothing can be written there is nothing to clean up either.
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            _hold(folder)
    return folder


def _hold(folder: Path) -> int:
    """Hold a cache together with others, for good."""
    place = folder.resolve()
    if place not in _held:
        _held[place] = os.open(place / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(_held[place], fcntl.LOCK_SH)
    return _held[place]


@contextmanager
def alone_in_cache(folder: Path) -> Iterator[None]:
    """Keep every other process out of a cache for the length of a block.

    Raises
    ------
    CacheInUseError
        If one uses it.
    OSError
        If nothing can be written there.
    """
    held = _hold(folder)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as failure:
        # What is turned from shared to alone may be lost on the way.
        fcntl.flock(held, fcntl.LOCK_SH)
        raise CacheInUseError(
            f"{folder}: another process of Embargo uses this cache, so nothing is taken out of it. Wait until it has "
            "ended (a notebook: until its kernel is shut down), then start the same command again."
        ) from failure
    try:
        yield
    finally:
        fcntl.flock(held, fcntl.LOCK_SH)


def keep_calendars() -> None:
    """Keep calendars in the user's cache folder, as commands do, unless a folder was named before."""
    with suppress(MissingPartError):
        keep_in(_folder(None) / "calendars", unless_told=True)


def _folder(chosen: Path | None) -> Path:
    if chosen is not None:
        return folder_for("cache", chosen)
    if named := _named("EMBARGO_CACHE"):
        return named
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "embargo"


def ledger_folder(cache: Path) -> Path:
    """Where every attempt is written down, whatever folder its run goes to: ``$EMBARGO_LEDGER``, or beside the cache.

    Whoever clears the cache, or names another, forgets attempts with it; the variable keeps them elsewhere.

    Parameters
    ----------
    cache : Path
        From `cache_folder`.

    Examples
    --------
    >>> import os
    >>> from pathlib import Path
    >>> from unittest.mock import patch
    >>> from embargo.research.cache import ledger_folder
    >>> with patch.dict(os.environ, {"EMBARGO_LEDGER": "desk/attempts"}):
    ...     ledger_folder(Path("cache")).as_posix()
    'desk/attempts'
    """
    return _named("EMBARGO_LEDGER") or cache / "ledger"


def _named(variable: str) -> Path | None:
    """Return the folder that a variable names, None where it is blank; ``~`` is the user's home."""
    named = os.environ.get(variable, "").strip()
    try:
        return folder_for(f"${variable}", Path(named).expanduser()) if named else None
    except RuntimeError as failure:
        raise MissingPartError(f"${variable} {named}: nobody knows that home. Name the folder in full.") from failure
