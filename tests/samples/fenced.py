"""The fenced blocks of a document, and how each is carried out: what a reader would type, in one process and offline.

A fence says its language and, where it needs to, more: ``toml title="mine.toml"`` is a file that the reader saves under
that name, and ``bash no-run: REASON`` needs something that a test has not, such as a venue, a model hub or a GPU. A
comment ``<!-- world: files.md -->`` says that the page takes the files of another one to be there.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embargo.research.config.experiment import Config, load_config, parse_config
from embargo.research.gathering.collecting import load_collection
from samples.small_runs import embargo

_FENCE = re.compile(r"^```([\w+-]*)[ ]?([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_TITLE = re.compile(r'^title="([\w.]+)"$')
_STATUS = re.compile(r"#.*exit status (\d+)$")
_WORLD = re.compile(r"<!-- world: (\S+) -->")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what its fence says beside it, and its lines."""

    language: str
    said: str
    code: str

    @property
    def reason(self) -> str | None:
        """Why it is not run; None if it is."""
        return self.said.removeprefix("no-run:").strip() if self.said.startswith("no-run") else None

    @property
    def file(self) -> str | None:
        """Name under which the reader saves it."""
        found = _TITLE.match(self.said)
        return found[1] if found else None


def blocks(document: Path) -> list[Block]:
    """Find the fenced blocks of a document."""
    return [Block(*found) for found in _FENCE.findall(document.read_text(encoding="utf-8"))]


def fragment(code: str) -> Config:
    """Check some sections of an experiment, whose other sections do not matter."""
    document: dict[str, Any] = {
        "name": "mine",
        "news": {"path": "news.csv"},
        "prices": {"path": "prices.csv"},
        "split": {"first_test": "2018-01-01"},
    }
    for section, keys in tomllib.loads(code).items():
        document[section] = document.get(section, {}) | keys if isinstance(keys, dict) else keys
    return parse_config(document, where="fragment")


def carry_out(document: Path, folder: Path) -> int:
    """Do what a document says, in a folder that is the present one; return the number of blocks that ran."""
    ran, names = 0, {"__name__": "document"}
    if world := _WORLD.search(document.read_text(encoding="utf-8")):
        _lay_out(document.parent / world[1], folder)
    for block in blocks(document):
        if block.reason is not None:
            continue
        if block.file is not None:
            (folder / block.file).write_text(block.code, encoding="utf-8")
        if block.language == "python":
            if block.file is None:
                exec(compile(block.code, document.name, "exec"), names)
        elif block.language == "toml":
            _check(block, folder)
        elif block.language == "bash":
            for line in block.code.splitlines():
                _command(line)
        else:
            continue
        ran += 1
    return ran


def _lay_out(document: Path, folder: Path) -> None:
    """Write the files that another document has written: those of its first Python, and those it names."""
    exec(
        compile(next(block.code for block in blocks(document) if block.language == "python"), document.name, "exec"), {}
    )
    for block in blocks(document):
        if block.file is not None:
            (folder / block.file).write_text(block.code, encoding="utf-8")


def _check(block: Block, folder: Path) -> None:
    if block.file is None:
        fragment(block.code)
    elif "store" in tomllib.loads(block.code):
        load_collection(folder / block.file)
    else:
        load_config(folder / block.file)


def _command(line: str) -> None:
    words = shlex.split(line, comments=True)
    if not words:
        return
    assert words[0] == "embargo", f"{line!r} is no command of the product; say no-run and why"
    wanted = int(found[1]) if (found := _STATUS.search(line)) else 0
    # As a shell does it: runs/mine-* is what is there of that name.
    arguments = [
        each for word in words[1:] for each in (sorted(map(str, Path().glob(word))) if "*" in word else []) or [word]
    ]
    done = embargo(*arguments)
    assert done.exit_code == wanted, f"{line}\n{done.output}\n{done.exception!r}"
