"""The help of the whole command line, drawn from the catalogue without loading a command.

It says, word for word, what typer would say after it had loaded them all; a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from embargo.research.cli.catalogue import COMMANDS, HELP

OPTIONS = {
    "--version": "Show the version and exit.",
    "--install-completion": "Install completion for the current shell.",
    "--show-completion": "Show completion for the current shell, to copy it or customize the installation.",
    "--help": "Show this message and exit.",
}
_BOLD, _DIM, _NAME, _YELLOW = "1", "2", "1;36", "1;33"


def overview(width: int, *, coloured: bool) -> str:
    """Draw the help of ``embargo``.

    Parameters
    ----------
    width : int
        Columns of the terminal.
    coloured : bool
        Whether the terminal takes ANSI colours.
    """

    def styled(text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if coloured and text else text

    def panel(title: str, rows: dict[str, str], kind: str = "") -> Iterator[str]:
        names, inner = max(map(len, rows)), max(width - 4, 20)
        yield styled(f"╭─ {title} " + "─" * (inner - len(title) - 1) + "╮", _DIM)
        bar = styled("│", _DIM)
        for name, text in rows.items():
            shown = [name, *[""] * len(text)]
            room = inner - names - 2 - len(kind)
            for label, line in zip(shown, _wrapped(text, room), strict=False):
                gap = styled(kind if label else " " * len(kind), _YELLOW)
                yield f"{bar} {styled(label.ljust(names), _NAME)}  {gap}{line.ljust(room)} {bar}"
        yield styled("╰" + "─" * (inner + 2) + "╯", _DIM)

    first, *others = HELP.split("\n\n")
    usage = f"{styled('Usage: ', _YELLOW)}{styled('embargo [OPTIONS] COMMAND [ARGS]...', _BOLD)}"
    lines = ["", f" {usage}", "", *_indented(_wrapped(first, width - 2)), ""]
    for paragraph in others:
        for sentence in paragraph.splitlines():
            for line in _wrapped(sentence.strip(), width - 2):
                bold = line.replace("[bold]", f"\x1b[{_BOLD}m" if coloured else "")
                lines.append(" " + styled(bold.replace("[/bold]", f"\x1b[0;{_DIM}m" if coloured else ""), _DIM))
        lines.append("")
    lines += panel("Options", OPTIONS, kind="<bool>  ")
    lines += panel("Commands", {name: entry.summary for name, entry in COMMANDS.items()})
    return "\n".join(lines) + "\n\n"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f" {line}" for line in lines)


def _wrapped(text: str, width: int) -> list[str]:
    """Break text at spaces into lines that show no more than so many signs; marks of bold text show none."""
    lines, room = [""], width
    for word in text.split(" "):
        length = len(re.sub(r"\[/?bold\]", "", word))
        if lines[-1] and length + 1 > room:
            lines.append("")
            room = width
        room -= length + bool(lines[-1])
        lines[-1] += f" {word}" if lines[-1] else word
    return lines
