"""``embargo distill``: a cheap reader learns from a costly one, and a card says what is lost and what is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from embargo.data_loaders.errors import ConfigError
from embargo.research.cache import cache_folder
from embargo.research.cli.options import AllowOption, CacheOption, EnvOption, SetOption
from embargo.research.cli.terminal import complaints, console, guarded
from embargo.research.progress import escaped

INTERRUPTED = "What the teacher answered is kept; the same command continues there."

commands = typer.Typer()


@commands.command()
@guarded(INTERRUPTED)
def distill(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="An experiment.", dir_okay=False)],
    overrides: SetOption = None,
    env: EnvOption = None,
    allow: AllowOption = None,
    out: Annotated[Path, typer.Option(help="Folder that receives the students' folders.", file_okay=False)] = Path(
        "models"
    ),
    cache: CacheOption = None,
) -> None:
    """Teach a cheap reader what a costly one says, and show how far the two agree.

    The config is an experiment as for [bold]embargo run[/bold], with

    model.kind = "distilled"
    model.distill.teacher = { kind = "transformer", base = "minilm" }
    model.distill.student = "linear"

    For each fold the teacher is fitted, asked about the news known before the
    training ended, and its probabilities are what the student learns; of its own
    training texts, which are counted, they are in-sample. Both then read the test
    window, and nothing is traded: [bold]embargo run[/bold] does that with the same
    config.

    Example: [bold]embargo distill mine.toml[/bold]
    """
    from embargo.research.modelling.distilling import distill_models, load_distillation
    from embargo.research.progress import shown

    settings = load_distillation(config, overrides, env=env or (), allow=allow or ())
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file. Name a folder.")
    with shown(complaints) as stages:
        made = list(distill_models(settings, out=out, cache=cache_folder(cache), stages=stages))
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("student", "agrees", "kappa", "accuracy", "teacher's", "CPU s / 1,000", "teacher's", "knows until"):
        table.add_column(heading, overflow="fold")
    for one in made:
        told = one.manifest
        judged, cost = told["judged"], told["cost"]
        table.add_row(
            escaped(one.path.name) + (" (was there)" if one.was_there else ""),
            _share(told["agreement"]["share"]),
            _number(told["agreement"]["kappa"]),
            *(_share(None if judged[who] is None else judged[who]["accuracy"]) for who in ("student", "teacher")),
            *(_number(cost[who]["cpu_seconds_per_1000"]) for who in ("student", "teacher")),
            _day(told["student"]["knowledge_cutoff"]),
        )
    console.print(table)
    taught = [one.manifest["student"]["settings"]["taught"] for one in made]
    own, n = (sum(each[name] for each in taught) for name in ("n_in_sample", "n_texts"))
    console.print(
        f"Of {n:,} texts that taught, the teacher was itself fitted on or shown {own:,}: there it answers in-sample."
    )
    console.print(f"Card: {made[-1].path / 'README.md'}", soft_wrap=True, highlight=False, markup=False)


def _share(value: Any) -> str:
    return "–" if value is None else f"{value:.1%}"


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:.2f}"


def _day(iso: str | None) -> str:
    return "unknown" if iso is None else iso[:10]
