"""The whole command line, of which a command is loaded when it is called, completed or asked for help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

import embargo
from embargo.research.cli.catalogue import COMMANDS, HELP
from embargo.research.plain import plain


class OnCall(TyperGroup):
    """Commands that know their names at once and everything else only when one of them is wanted."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # Names alone: a mistyped command is answered with those that resemble it.
        self.commands = {name: TyperCommand(name, short_help=entry.summary) for name, entry in COMMANDS.items()}

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # the types are those of a click that typer keeps private
        """Load a command; None if there is none of this name."""
        entry = COMMANDS.get(cmd_name)
        return None if entry is None else _defined_in(entry.module)[cmd_name]

    def make_context(self, *args: Any, **settings: Any) -> Any:
        """Read the words before a command."""
        with _plain_errors():
            return super().make_context(*args, **settings)

    def invoke(self, ctx: Any) -> Any:
        """Read the words after a command and run it."""
        with _plain_errors():
            return super().invoke(ctx)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Make errors of usage plain, which repeat what was typed and are shown by typer's own console."""
    try:
        yield
    except Exception as failure:
        if isinstance(said := vars(failure).get("message"), str):
            vars(failure)["message"] = plain(said)
        raise


@cache
def _defined_in(module: str) -> Mapping[str, Any]:
    return get_group(import_module(f"embargo.research.cli.{module}").commands).commands


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"embargo {embargo.__version__}")
        raise typer.Exit


app = typer.Typer(
    name="embargo",
    cls=OnCall,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help=HELP,
)


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Show the version and exit.")
    ] = False,
) -> None: ...
