"""Where base models, adapters and scores are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

from embargo.data_loaders.errors import MissingPartError


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
    """Where models and scores are kept: the folder chosen, ``$EMBARGO_CACHE``, or the user's cache folder."""
    if chosen is not None:
        return folder_for("cache", chosen)
    if os.environ.get("EMBARGO_CACHE"):
        return folder_for("$EMBARGO_CACHE", Path(os.environ["EMBARGO_CACHE"]))
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "embargo"
