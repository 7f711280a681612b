"""List what is public: every name in every door, with the parameters it takes.

Run by ``python -m embargo.research.benchmarks.public_names --write docs/public_names.txt``. The committed list is what
the last release promised; a test holds the doors against it, so that no promise is broken unseen. What a change of it
means for the version is said in ``docs/versions.md``.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from embargo.research.benchmarks.structure import NAME, ROOT


def doors(root: Path = ROOT) -> list[str]:
    """Dotted names of all packages whose door lists public names, outer ones first."""
    stubs = [root / "__init__.pyi", *(path for path in root.glob("*/**/__init__.pyi") if ".venv" not in path.parts)]
    parts = (stub.parent.relative_to(root).parts for stub in stubs if stub.is_file())
    return sorted((".".join((NAME, *part)) for part in parts), key=lambda door: (door.count("."), door))


def public(door: str) -> dict[str, Any]:
    """Everything that a door holds, by name."""
    module = importlib.import_module(door)
    return {name: getattr(module, name) for name in module.__all__}


def listing(root: Path = ROOT) -> str:
    """Write one line a name: its door, and the parameters of what can be called."""
    lines: list[str] = []
    described: set[int] = set()
    for door in doors(root):
        for name, thing in public(door).items():
            lines.append(f"{door}.{name}{_parameters(thing)}")
            if inspect.isclass(thing) and id(thing) not in described:
                described.add(id(thing))
                lines += [f"{door}.{name}.{method}" for method in _methods(thing)]
    return "\n".join(lines) + "\n"


def _methods(thing: type) -> Iterator[str]:
    for name, member in sorted(vars(thing).items()):
        if not name.startswith("_"):
            if isinstance(member, property | cached_property):
                yield name
            elif callable(found := getattr(thing, name)) and not inspect.isclass(found):
                yield f"{name}{_parameters(found)}"


def _parameters(thing: Any) -> str:
    """Parameters with their defaults, without types; nothing for what cannot be called."""
    if not callable(thing):
        return ""
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return ""
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty, default=_default(parameter))
        for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


class _Shown:
    """A default that is no plain value, shown without what changes from process to process."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _default(parameter: inspect.Parameter) -> Any:
    default = parameter.default
    if default is inspect.Parameter.empty or isinstance(default, str | int | float | bool | tuple | None):
        return default
    return _Shown("...")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the list there instead of printing it")
    given = parser.parse_args()
    if given.write:
        given.write.write_text(listing(), encoding="utf-8")
    else:
        print(listing(), end="")


if __name__ == "__main__":
    main()
