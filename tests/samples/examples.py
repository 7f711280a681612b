"""What every public name must have, asked of one package at a time so that packages can be tested side by side."""

from __future__ import annotations

import doctest
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from numpydoc.validate import validate

from embargo.research.benchmarks.public_names import doors, public

# What numpydoc asks for by these codes: a summary and an example, and of a function every parameter with a type and a
# description, and what it returns.
OF_CLASSES = {"GL08", "SS01", "EX01"}
OF_FUNCTIONS = OF_CLASSES | {"PR01", "PR02", "PR03", "PR04", "PR10", "RT01"}


class PublicNames:
    """Tests of every name that some door holds and that is defined in ``package``."""

    package: str

    def test_are_described(self) -> None:
        missing = undescribed(self.package)
        assert not missing, "\n".join(missing)

    def test_examples_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        tried, reports = failing(self.package)
        assert tried, f"{self.package} has no examples"
        assert not reports, "\n".join(reports)
        left = [path.name for path in tmp_path.iterdir()]
        assert not left, f"an example left files behind: {left}"


def public_of(package: str) -> Iterator[tuple[str, Any]]:
    """Yield each function and class of a package that any door holds, once, by the name it is defined under."""
    things = {
        f"{thing.__module__}.{thing.__qualname__}": thing
        for door in doors()
        for thing in public(door).values()
        if inspect.isfunction(thing) or inspect.isclass(thing)
    }
    yield from ((name, thing) for name, thing in things.items() if name.startswith(f"{package}."))


def undescribed(package: str) -> list[str]:
    """Return what numpydoc misses in each public name of a package."""
    return [
        f"{name}: {code} {text}"
        for name, thing in public_of(package)
        for code, text in validate(name)["errors"]
        if code in (OF_CLASSES if inspect.isclass(thing) else OF_FUNCTIONS)
    ]


def failing(package: str) -> tuple[int, list[str]]:
    """Run every example of a package; return how many there are, and the report of each that fails."""
    finder, reports, tried = doctest.DocTestFinder(), [], 0
    for module in sorted({thing.__module__ for _, thing in public_of(package)}):
        for test in finder.find(sys.modules[module], module):
            report: list[str] = []
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
            tried += len(test.examples)
            if runner.run(test, out=report.append).failed:
                reports.append("".join(report))
    return tried, reports
