"""Where the configs that ship with the package lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path


@contextmanager
def example(name: str) -> Iterator[Path]:
    """Yield the path of a config that ships with the package."""
    with as_file(files("embargo.research.examples") / f"{name}.toml") as path:
        yield path
