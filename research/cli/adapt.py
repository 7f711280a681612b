"""The command that sets every way to read side by side: ``embargo adapt``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from embargo.research.cache import cache_folder, folder_for
from embargo.research.cli.data_verdict import advise
from embargo.research.cli.options import (
    AcceptOption,
    AllowOption,
    CacheOption,
    ConfigArgument,
    EnvOption,
    HtmlOption,
    JsonOption,
    OutOption,
    SetOption,
    accepting,
    refuse_orphans,
)
from embargo.research.cli.terminal import BAD_DATA, complaints, console, guarded

commands = typer.Typer()


@commands.command()
@guarded("Nothing was written; models fitted so far are kept in the cache with what they took.")
def adapt(
    config: ConfigArgument,
    readers: Annotated[
        Path | None,
        typer.Option(
            "--readers",
            metavar="READERS.toml",
            help=r"Tables \[readers.NAME], each like \[model] of an experiment, and a section \[adapt]; by default "
            "those of CONFIG.",
            dir_okay=False,
        ),
    ] = None,
    overrides: SetOption = None,
    accepted: AcceptOption = None,
    env: EnvOption = None,
    allow: AllowOption = None,
    out: OutOption = Path("runs"),
    html: HtmlOption = None,
    json: JsonOption = None,
    write: Annotated[
        Path | None, typer.Option(metavar="FILE.md", help="Also write the tables as Markdown.", dir_okay=False)
    ] = None,
    cache: CacheOption = None,
) -> None:
    r"""Set every way to read side by side: quality, money, cost, and a recommendation.

    One split, one test set, one trading rule; a row for each reader: guessing,
    a word list, a linear model, tuned and prompted decoders, a student, an
    endpoint, scores that you have. Every two are tested on the same items, and
    the cheapest of those that cannot be told from the best is recommended.

    A file with name and \[labels] of source = "file" alone is read without
    prices. Each reader that trades counts as an attempt.

    Example: [bold]embargo adapt mine.toml --readers readers.toml[/bold]
    """
    from embargo.research.config.adapt import load_adapt
    from embargo.research.pages.page import write_page
    from embargo.research.progress import shown
    from embargo.research.records.folders import write_json
    from embargo.research.studies.adapt import adapt as run
    from embargo.research.studies.adapt import as_document, markdown, print_adaptation, render_page

    refuse_orphans(html, json, write)
    study = load_adapt(config, overrides, readers=readers, env=env or (), allow=allow or ())
    study = study.accepting(accepting(accepted))
    with shown(complaints) as stages:
        found = run(study, out=folder_for("--out", out), cache=cache_folder(cache), stages=stages)
    print_adaptation(console, found)
    if html is not None:
        write_page(render_page(found), html)
    if json is not None:
        write_json(json, as_document(found))
    if write is not None:
        write.write_text(markdown(found, title=f"Readers of {study.experiment.name}"), encoding="utf-8")
    console.print(f"Report: {found.folder / 'report.html'}", soft_wrap=True, highlight=False, markup=False)
    if "data" in found.figures:
        advise(found.figures["data"]["refused"])
        if found.figures["data"]["refused"]:
            raise typer.Exit(BAD_DATA)
