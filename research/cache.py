"""Where base models, adapters and scores are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(chosen: Path | None) -> Path:
    """Where models and scores are kept: the folder chosen, ``$EMBARGO_CACHE``, or the user's cache folder."""
    if chosen is not None:
        return chosen
    if os.environ.get("EMBARGO_CACHE"):
        return Path(os.environ["EMBARGO_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "embargo"
