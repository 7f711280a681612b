"""Lines of a proposed config: settled by the file itself, to be confirmed, or left open with what would settle them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from embargo.research.pages.formats import toml_entry
from embargo.research.plain import plain

Standing = Literal["known", "confirm", "open", "note"]
_WIDTH = 118
OPEN = "OPEN: "


@dataclass(frozen=True)
class Setting:
    """One setting of a proposal.

    Attributes
    ----------
    key : str
    value : Any
        As TOML has it; of an open one a candidate.
    notes : tuple of str
        What it rests on, or what is missing: one sentence or more each.
    standing : {"known", "confirm", "open", "note"}
        ``"known"`` is written as it is; ``"confirm"`` with its evidence, to be looked at; ``"open"`` as a comment, with
        its ``rivals``; ``"note"`` is its notes alone.
    rivals : tuple
        Other values that an open setting may have.
    """

    key: str
    value: Any = None
    notes: tuple[str, ...] = ()
    standing: Standing = "known"
    rivals: tuple[Any, ...] = ()

    def lines(self) -> Iterator[str]:
        """Yield the setting as lines of TOML, each guess a comment."""
        mark = {"confirm": "CONFIRM: ", "open": OPEN}.get(self.standing, "")
        for number, note in enumerate(self.notes):
            yield from comment(note if number else f"{mark}{note}", more=bool(number))
        if self.standing == "note":
            return
        values = (self.value, *self.rivals) if self.standing == "open" else (self.value,)
        for value in values:
            if value is not None:
                yield ("# " if self.standing == "open" else "") + toml_entry(self.key, value)


def comment(text: str, *, more: bool = False) -> Iterator[str]:
    """Write a text from anywhere as lines of comment; ``more`` says that it goes on from one before."""
    single = " ".join(plain(text).split())
    first, rest = ("#   ", "#   ") if more else ("# ", "#   ")
    yield from textwrap.wrap(single, _WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)


def section(name: str, settings: Sequence[Setting]) -> str:
    """Write a section of TOML; without a name the settings that stand before all sections."""
    lines = [f"[{name}]"] if name else []
    for setting in settings:
        lines += setting.lines()
    return "\n".join(lines) + "\n"
