"""Where base models, adapters, scores, calendars and the ledger of attempts are kept between runs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from embargo.data_loaders.errors import MissingPartError
from embargo.data_loaders.recorded_sessions import keep_in


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


def cache_folder(chosen: Path | None) -> Path:
    """Where models and scores are kept: the folder chosen, ``$EMBARGO_CACHE``, or the user's cache folder.

    Calendars that take seconds to make are kept there from now on too.
    """
    folder = _folder(chosen)
    keep_in(folder / "calendars")
    return folder


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
