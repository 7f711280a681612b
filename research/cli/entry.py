"""What the ``embargo`` command runs: the front door, which answers the commonest questions before anything is loaded.

``--version`` and ``--help`` need no command. Their answers come from the catalogue alone, so that they are there at
once; all else, and every terminal that is out of the ordinary, is left to the whole command line.
"""

from __future__ import annotations

import gc
import os
import sys
from io import TextIOWrapper

from embargo.research.plain import PlainStream

NAME = "embargo"
# More than a check of a config makes: the first look would be through all that was loaded until then.
GARBAGE_THRESHOLD = 250_000
INTERRUPTED = 130
# Who sets one of these wants another width or other colours than the terminal's own.
_WISHES = ("FORCE_COLOR", "GITHUB_ACTIONS", "NO_COLOR", "PY_COLORS", "TERMINAL_WIDTH", "TTY_COMPATIBLE")


def main() -> None:
    """Entry point of the ``embargo`` command.

    Examples
    --------
    >>> import sys
    >>> from unittest.mock import patch
    >>> from embargo.research.cli.entry import main
    >>> with patch.object(sys, "argv", ["embargo", "--version"]):
    ...     main()  # doctest: +ELLIPSIS
    embargo ...
    """
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal or log that cannot show a sign gets its number: no reason to fail half-way.
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.argv[1:] == ["--help"] and f"_{NAME.upper()}_COMPLETE" not in os.environ and _is_ordinary():
        from embargo.research.cli.overview import overview

        sys.stdout.write(overview(_width(), coloured=sys.stdout.isatty()))
        return
    if sys.argv[1:] == ["--version"]:
        import embargo

        sys.stdout.write(f"{NAME} {embargo.__version__}\n")
        return
    # What no console prints, such as a warning.
    sys.stdout, sys.stderr = PlainStream(sys.stdout), PlainStream(sys.stderr)
    # What is loaded stays for good, so looking for garbage among it so often only takes time.
    gc.set_threshold(GARBAGE_THRESHOLD)
    # Every distribution that is installed would be asked whether it watches over the configs.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        # Loaded here because typer and rich take longer than the answers above.
        from embargo.research.cli.commands import app

        app(prog_name=NAME)
    except KeyboardInterrupt:
        # Before a command began, or after it ended: there is nothing to tell of.
        raise SystemExit(INTERRUPTED) from None


def _is_ordinary() -> bool:
    """Tell whether the output takes signs of any language and no wish says how it is to look."""
    known = os.environ.get("TERM") not in ("dumb", "unknown") and not any(map(os.environ.get, _WISHES))
    return known and (sys.stdout.encoding or "").lower().startswith("utf")


def _width() -> int:
    """Columns of the terminal, or 80."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdigit() and int(asked):
        return int(asked)
    for stream in (0, 1, 2):
        try:
            return os.get_terminal_size(stream).columns or 80
        except OSError:
            continue
    return 80
