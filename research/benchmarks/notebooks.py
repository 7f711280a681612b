"""Write the notebooks of the documents as pages: their words, their code, and what the code printed.

Run by ``python -m embargo.research.benchmarks.notebooks --write docs/notebooks``, which makes a page beside each
script. A script has cells in the percent format that editors and Jupyter open as a notebook. A test carries each out
and holds the committed page against what it prints, so that no figure in it is older than the code.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embargo.data_loaders.errors import ConfigError

_MARK = re.compile(r"^# %%(.*)$")


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook.

    Attributes
    ----------
    words : bool
        Whether it holds markdown; else it holds Python.
    text : str
    """

    words: bool
    text: str


def cells(script: str) -> list[Cell]:
    r"""Cut a script in the percent format into its cells.

    Raises
    ------
    ConfigError
        If code stands before the first cell, or a line of a markdown cell is no comment.

    Examples
    --------
    >>> from embargo.research.benchmarks.notebooks import cells
    >>> [(cell.words, cell.text) for cell in cells("# %% [markdown]\n# # Sums\n# %%\n1 + 1\n")]
    [(True, '# Sums'), (False, '1 + 1')]
    """
    found: list[tuple[bool, list[str]]] = []
    for number, line in enumerate(script.splitlines(), start=1):
        if mark := _MARK.match(line):
            found.append(("[markdown]" in mark[1], []))
        elif not found:
            if line.strip():
                raise ConfigError(f"line {number}: {line!r} stands before the first cell. Begin with '# %%'.")
        elif found[-1][0] and line.strip() and not line.startswith("#"):
            raise ConfigError(f"line {number}: {line!r} is no comment. Begin lines of a markdown cell with '# '.")
        else:
            words, lines = found[-1]
            lines.append(re.sub(r"^# ?", "", line) if words else line)
    return [Cell(words, "\n".join(lines).strip()) for words, lines in found if "".join(lines).strip()]


def page(script: Path) -> str:
    """Carry a notebook out in a folder of its own, and write it with what it prints."""
    parts = [
        f"<!-- Made from {script.name} by: python -m embargo.research.benchmarks.notebooks --write docs/notebooks -->"
    ]
    names: dict[str, Any] = {"__name__": "__main__"}
    text = script.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder, contextlib.chdir(folder):
        for cell in cells(text):
            if cell.words:
                parts.append(cell.text)
                continue
            parts.append(f"```python\n{cell.text}\n```")
            if shown := _carried_out(cell.text, names, script.name):
                parts.append(f"```text\n{shown}\n```")
    return "\n\n".join(parts) + "\n"


def _carried_out(code: str, names: dict[str, Any], name: str) -> str:
    """Run a cell; give what it prints, and its last value where that is an expression."""
    body = ast.parse(code, name)
    last = body.body[-1] if body.body else None
    if isinstance(last, ast.Expr):
        body.body.pop()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(body, name, "exec"), names)  # noqa: S102 - the product's own notebook
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), names)  # noqa: S307
            if value is not None:
                print(value)
    return "\n".join(line.rstrip() for line in printed.getvalue().rstrip().splitlines())


def scripts(folder: Path) -> Iterator[Path]:
    """Find the notebooks of a folder."""
    yield from sorted(folder.glob("*.py"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FOLDER", required=True, help="folder of scripts and pages")
    given = parser.parse_args()
    os.environ.setdefault("COLUMNS", "100")
    # What others tried on these bars, and what is kept of it, would move the figures of a page.
    with tempfile.TemporaryDirectory(prefix="notebook-ledger-") as ledger:
        os.environ["EMBARGO_LEDGER"] = ledger
        for script in scripts(given.write):
            script.with_suffix(".md").write_text(page(script), encoding="utf-8")


if __name__ == "__main__":
    main()
