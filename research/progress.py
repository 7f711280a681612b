"""What a job shows on the terminal: one line per stage of a run, with a bar where a stage can count its work."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from embargo.research.interrupts import raise_if_lost

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

Advance = Callable[[int, int], None]

# Seconds of silence in a log: at first, and at most.
FIRST_WORD, LONGEST_SILENCE = 30.0, 480.0

# A bracket, the backslashes before it, and the rest where rich takes it for a mark of style.
_BRACKET = re.compile(r"(\\*)\[([a-z#/@][^\[]*?\])?")


def escaped(text: str) -> str:
    """Text that shows as it is where marks of style are read."""

    def kept(found: re.Match[str]) -> str:
        backslashes, mark = found.groups()
        return rf"{backslashes * 2}\[{mark}" if mark else f"{backslashes}{backslashes[:1]}["

    return _BRACKET.sub(kept, text)


def time_left(seconds: float) -> str:
    """Say roughly how long something takes, in words for a log.

    Examples
    --------
    >>> from embargo.research.progress import time_left
    >>> time_left(20.0), time_left(200.0), time_left(8_000.0)
    ('under a minute left', 'about 4 min left', 'about 2 h 14 min left')
    """
    if seconds < 60:
        return "under a minute left"
    hours, minutes = divmod(-int(-seconds // 60), 60)
    return f"about {f'{hours} h ' if hours else ''}{minutes} min left"


class Stages(Protocol):
    """Something that shows the stages of a run as they pass."""

    def stage(self, name: str) -> Advance:
        """Start a stage; the callable returned takes (done, total)."""
        ...

    def say(self, text: str) -> None:
        """Show a sentence between two stages."""
        ...


class Quiet:
    """Stages that show nothing.

    Examples
    --------
    >>> from embargo.research import Quiet
    >>> advance = Quiet().stage("Read the news")
    >>> advance(1, 10)
    """

    def stage(self, name: str) -> Advance:
        """Return a callable that does nothing."""
        return lambda done, total: None

    def say(self, text: str) -> None:
        """Keep it back."""


class Lines:
    """Stages as lines, for logs and pipes: a bar that redraws itself would only show when all is over.

    Each stage is one line as it starts; one that can count its work says now and then how far it is and how long it
    will take at the pace so far.

    Parameters
    ----------
    console : Console
        Of a stream that is no terminal.
    clock : callable, optional
        Seconds that only ever grow.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock

    def stage(self, name: str) -> Advance:
        """Print the stage's name as it starts."""
        self._print(f"• {name}")
        started = told = self._clock()
        pause = FIRST_WORD

        def advance(done: int, total: int) -> None:
            nonlocal told, pause
            now = self._clock()
            if now - told < pause or not 0 < done < total:
                return
            # A job of hours needs no line every half minute.
            told, pause = now, min(2 * pause, LONGEST_SILENCE)
            left = (now - started) * (total - done) / done
            self._print(f"  {name}: {100 * done // total} % done, {time_left(left)}")

        return advance

    def say(self, text: str) -> None:
        """Print the sentence."""
        self._print(text)

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


class Terminal:
    """Stages shown as rich progress bars; a stage is finished when the next one starts."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._finish: Callable[[], None] = lambda: None

    def stage(self, name: str) -> Advance:
        """Finish the stage before and show a new one."""
        self._finish()
        task = self._progress.add_task(name, total=None)

        def advance(done: int, total: int) -> None:
            self._progress.update(task, completed=done, total=total)

        def finish() -> None:
            total = self._progress.tasks[task].total or 1
            self._progress.update(task, completed=total, total=total)

        self._finish = finish
        return advance

    def say(self, text: str) -> None:
        """Print the sentence above the bars."""
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Finish the last stage."""
        self._finish()


class Lean:
    """Stages before each of which memory that nobody holds any more is given back.

    Examples
    --------
    >>> from embargo.research.progress import Lean, Quiet
    >>> advance = Lean(Quiet()).stage("Read the news")
    """

    def __init__(self, stages: Stages) -> None:
        self._stages = stages

    def stage(self, name: str) -> Advance:
        """Give memory back, and start the stage."""
        # Loaded here because not all that shows stages reads tables.
        from embargo.data_loaders.memory import release_unused

        release_unused()
        return self._stages.stage(name)

    def say(self, text: str) -> None:
        """Pass the sentence on."""
        self._stages.say(text)


class _Heeding:
    """Stages at which a Ctrl-C that Python threw away is raised again."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages

    def stage(self, name: str) -> Advance:
        raise_if_lost()
        shown_advance = self._stages.stage(name)

        def advance(done: int, total: int) -> None:
            raise_if_lost()
            shown_advance(done, total)

        return advance

    def say(self, text: str) -> None:
        self._stages.say(text)


@contextmanager
def shown(console: Console) -> Iterator[Stages]:
    """Show stages on a console for the length of a block: bars on a terminal, lines in a log.

    A Ctrl-C that was lost within `heeding_interrupts` is raised at the next step that is shown.
    """
    if not _redraws(console):
        yield _Heeding(Lines(console))
        return
    # Loaded here because only a terminal shows bars, and they cost as much to load as all else that draws.
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console) as progress:
        stages = Terminal(progress)
        yield _Heeding(stages)
        stages.close()


def _redraws(console: Console) -> bool:
    """Tell whether bars can be drawn over one another: colours may be forced into a pipe, movements never are."""
    forced = any(os.environ.get(name) for name in ("FORCE_COLOR", "TTY_COMPATIBLE"))
    return console.is_terminal and not console.is_dumb_terminal and (not forced or console.file.isatty())
