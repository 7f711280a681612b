"""Options that several commands share, and where models and scores are kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Replace one setting; repeat for more."),
]
CacheOption = Annotated[
    Path | None,
    typer.Option(help="Where base models, adapters and scores are kept. Default: $EMBARGO_CACHE or ~/.cache/embargo."),
]


def cache_folder(chosen: Path | None) -> Path:
    """Where models and scores are kept: the option, ``$EMBARGO_CACHE``, or the user's cache folder."""
    if chosen is not None:
        return chosen
    if os.environ.get("EMBARGO_CACHE"):
        return Path(os.environ["EMBARGO_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "embargo"
