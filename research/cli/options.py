"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from embargo.data_loaders.errors import MissingPartError

ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="The experiment.", dir_okay=False)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Replace one setting; repeat for more."),
]
EnvOption = Annotated[
    list[str] | None,
    typer.Option("--env", metavar="NAME", help="Let ${NAME} in the config's paths be filled in; repeat for more."),
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


def refuse_orphans(*files: Path | None) -> None:
    """Refuse files to be written into folders that do not exist, before any work."""
    for file in files:
        if file is not None and not file.parent.is_dir():
            raise MissingPartError(f"{file}: folder {file.parent} does not exist; create it first.")
