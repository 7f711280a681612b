"""Options that several commands share."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embargo.data_loaders.errors import MissingPartError
from embargo.research.cli.terminal import pair

if TYPE_CHECKING:
    from embargo.research.config.experiment import Config

ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="The experiment.", dir_okay=False)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Replace one setting; repeat for more."),
]
AcceptOption = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-data",
        metavar="CODE=REASON",
        help="Go on with data that a check calls bad, and say why; repeat for more.",
    ),
]
EnvOption = Annotated[
    list[str] | None,
    typer.Option("--env", metavar="NAME", help="Let ${NAME} in the config's paths be filled in; repeat for more."),
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="MODULE:NAME",
        help="Let the config run this reader or loader of your own; repeat for more.",
    ),
]
CacheOption = Annotated[
    Path | None,
    typer.Option(
        help="Where base models, adapters, scores and calendars are kept, and the ledger of attempts unless "
        "$EMBARGO_LEDGER is set. Default: $EMBARGO_CACHE or ~/.cache/embargo."
    ),
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="Where tasks run: serial (here), processes (of this machine), ray (the cluster at $RAY_ADDRESS, or one "
        "that is started here) or auto (processes where they repay their start). It moves no figure.",
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", metavar="N", help="Tasks at once. Default: one on each core or GPU.")
]
OutOption = Annotated[Path, typer.Option(help="Folder that receives the run's own folder.", file_okay=False)]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Also write one page with charts.", dir_okay=False)
]
JsonOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write every figure as JSON.", dir_okay=False)
]


def experiment(
    path: Path,
    overrides: list[str] | None,
    accepted: list[str] | None,
    env: list[str] | None,
    allow: list[str] | None = None,
) -> Config:
    """Read an experiment with what the options replace, accept and let in; ConfigError names the fault."""
    # Loaded here because who asks for help needs no settings.
    from embargo.research.config.experiment import load_config

    config = load_config(path, overrides, env=env or (), allow=allow or ())
    if not gc.get_freeze_count():
        # What is loaded by now stays for good: neither a look for garbage nor the end of the command need go through it
        # once more. What comes later may be told of its end, as duckdb must be, and is not held.
        gc.freeze()
    return config if not accepted else config.accepting(accepting(accepted))


def accepting(accepted: list[str] | None) -> dict[str, str]:
    """Read which faults of the data are taken, and why; ConfigError where one is not of that form."""
    form = "CODE=REASON, such as --accept-data splits='a spin-off, see the filing'"
    return dict(pair(text, "--accept-data", form) for text in accepted or ())


def refuse_orphans(*files: Path | None) -> None:
    """Refuse files to be written into folders that do not exist, before any work."""
    for file in files:
        if file is not None and not file.parent.is_dir():
            raise MissingPartError(f"{file}: folder {file.parent} does not exist; create it first.")
