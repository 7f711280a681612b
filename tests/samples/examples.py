"""What every public name must have, asked of one package at a time so that packages can be tested side by side."""

from __future__ import annotations

import doctest
import inspect
import sys
from collections.abc import Iterator
from typing import Any

from numpydoc.validate import validate

from embargo.research.benchmarks.public_names import doors, public

# What numpydoc asks for by these codes: a summary, every parameter with a type and a description, a return, an example.
OF_FUNCTIONS = {"GL08", "SS01", "PR01", "PR02", "PR03", "PR04", "PR10", "RT01", "EX01"}
OF_CLASSES = {"GL08", "SS01"}


def public_of(package: str) -> Iterator[tuple[str, Any]]:
    """Yield each function and class of a package's doors once, by the name it is defined under."""
    seen: set[int] = set()
    for door in doors():
        if door == package or door.startswith(f"{package}."):
            for thing in public(door).values():
                if (inspect.isfunction(thing) or inspect.isclass(thing)) and id(thing) not in seen:
                    seen.add(id(thing))
                    if thing.__module__.startswith("embargo."):
                        yield f"{thing.__module__}.{thing.__qualname__}", thing


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
            if test.examples:
                report: list[str] = []
                runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
                tried += len(test.examples)
                if runner.run(test, out=report.append).failed:
                    reports.append("".join(report))
    return tried, reports
