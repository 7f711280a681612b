"""Options that several commands share, and where models and scores are kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from embargo.data_loaders.errors import MissingPartError

ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="The experiment.", dir_okay=False)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Replace one setting; repeat for more."),
]
CacheOption = Annotated[
    Path | None,
    typer.Option(help="Where base models, adapters and scores are kept. Default: $EMBARGO_CACHE or ~/.cache/embargo."),
]
OutOption = Annotated[Path, typer.Option(help="Folder that receives the run's own folder.", file_okay=False)]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Also write one page with charts.", dir_okay=False)
]
JsonOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write every figure as JSON.", dir_okay=False)
]


def cache_folder(chosen: Path | None) -> Path:
    """Where models and scores are kept: the option, ``$EMBARGO_CACHE``, or the user's cache folder."""
    if chosen is not None:
        return chosen
    if os.environ.get("EMBARGO_CACHE"):
        return Path(os.environ["EMBARGO_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "embargo"


def refuse_orphans(*files: Path | None) -> None:
    """Refuse files to be written into folders that do not exist, before any work."""
    for file in files:
        if file is not None and not file.parent.is_dir():
            raise MissingPartError(f"{file}: folder {file.parent} does not exist; create it first.")
