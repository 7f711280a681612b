"""What every command shares at the terminal: its two consoles, its exit statuses, and errors told in plain words.

Results go to the standard output and everything else to the standard error, so that a table can be piped. Nothing that
came from outside commands the terminal: see `embargo.research.screen`. A command never shows a traceback for an error
that Embargo raises on purpose.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ParamSpec

import typer

from embargo.data_loaders.errors import ConfigError, EmbargoError
from embargo.data_loaders.threads import one_thread
from embargo.research.cache import cache_folder
from embargo.research.cli.entry import INTERRUPTED
from embargo.research.interrupts import heeding_interrupts, raise_if_lost
from embargo.research.plain import plain
from embargo.research.progress import escaped
from embargo.research.screen import Screen

if TYPE_CHECKING:
    import pandas as pd

P = ParamSpec("P")

FAILED = 1
MISUSED = 2
LEAK_FOUND = 3
BAD_DATA = 4

# Where no terminal says how wide it is, tables are written for a file: unwrapped, at a width most of them fit.
WIDTH_OF_FILES = 132

console = Screen(width=None if sys.stdout.isatty() else WIDTH_OF_FILES)
complaints = Screen(stderr=True)

StoreOption = Annotated[
    str, typer.Option(metavar="STORE", help="Folder of the store, or an address such as s3://bucket/store.")
]


def write(text: str) -> None:
    """Write a document such as CSV on the standard output as it stands, but plain."""
    sys.stdout.write(plain(text))


def complain(text: str) -> None:
    """Print an error on the standard error, whole lines, however long."""
    complaints.print(f"[bold red]Error:[/] {escaped(text)}", soft_wrap=True, highlight=False)


def guarded(interrupted: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Turn errors into a message and an exit status: 2 for a `ConfigError`, 1 for any other that is no bug.

    Besides every `EmbargoError` these are the errors of the file system. Calendars are kept in the user's cache, and
    all is computed on one thread.

    Parameters
    ----------
    interrupted : str
        What to say on Ctrl-C: what was kept and how to go on. The status is then 130.
    """

    def decorate(command: Callable[P, None]) -> Callable[P, None]:
        @functools.wraps(command)
        def guard(*args: P.args, **kwargs: P.kwargs) -> None:
            # A command that takes --cache keeps them there; one that needs no place does not mind a bad one.
            with contextlib.suppress(EmbargoError, RuntimeError):
                cache_folder(None, held=False)
            try:
                with one_thread(), heeding_interrupts():
                    _heedful(command, *args, **kwargs)
            except EmbargoError as failure:
                complain(str(failure))
                raise typer.Exit(MISUSED if isinstance(failure, ConfigError) else FAILED) from failure
            except OSError as failure:
                # A reader that stopped listening is no error; whoever called this command deals with it.
                if failure.errno == errno.EPIPE:
                    raise
                place = "" if failure.filename is None else f"{failure.filename}: "
                reason = failure.strerror or str(failure)
                complain(f"{place}{reason}. Check the path, the rights to it and the space left there.")
                raise typer.Exit(FAILED) from failure
            except KeyboardInterrupt:
                complaints.print(f"Interrupted. {interrupted}", soft_wrap=True, highlight=False)
                raise typer.Exit(INTERRUPTED) from None

        return guard

    return decorate


def _heedful(command: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """Carry a command out; what fails after Ctrl-C was pressed fails by it, whatever error that was made into."""
    try:
        command(*args, **kwargs)
    except typer.Exit:
        raise
    except Exception:
        raise_if_lost()
        raise


def now() -> pd.Timestamp:
    """Return the current instant, UTC in microseconds; the only clock that commands on data read."""
    import pandas as pd

    return pd.Timestamp.now(tz="UTC").as_unit("us")


def instant(text: str, option: str) -> pd.Timestamp:
    """Read a date, or an instant with its zone, as configs do; ConfigError names the option."""
    from embargo.research.config.settings import parse_instant

    try:
        return parse_instant(text)
    except ValueError as failure:
        raise ConfigError(f"{option} {text}: {failure}") from failure


def numbered(number: int, one: str, many: str = "") -> str:
    """Write a number with what it counts: ``1 batch``, ``1,200 batches``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def pair(text: str, option: str, form: str) -> tuple[str, str]:
    """Split ``NAME=VALUE``; ConfigError names the option and the form it takes."""
    name, separator, value = text.partition("=")
    if not separator or not name.strip() or not value.strip():
        raise ConfigError(f"{option} {text!r}: write {form}.")
    return name.strip(), value.strip()
