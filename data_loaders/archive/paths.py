"""Reaching inside nested columns: ``entities.sentiment.basic``, ``tickers[]``, ``tickers[].symbol``.

A dot goes to a name inside a record, ``[]`` to every entry of a list. A column that is called so itself comes first. In
CSV, where a nested cell is a text, it is read as JSON or as Python writes it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import DataError

EACH = "[]"
_PATH = re.compile(r"([^.\[\]]+(?:\[\])?)(?:\.[^.\[\]]+(?:\[\])?)*")
_STEP = re.compile(r"\[\]|[^.\[\]]+")
# Lists as Python and numpy write them; the latter puts no commas, which Python would join to one long text.
_QUOTED = r"(?:'[^'\\]*'|\"[^\"\\]*\")"
_TEXTS = re.compile(rf"\[\s*(?:{_QUOTED}(?:(?:\s*,\s*|\s+){_QUOTED})*\s*,?)?\s*\]")
_LONGEST, _DEEPEST = 100_000, 50


class _UnfitError(ValueError):
    """A value that a step of a path cannot enter."""


@dataclass(frozen=True)
class _Seen:
    """Names that records hold, and those among them that a path asks for."""

    inside: set[str]
    found: set[str]


@dataclass(frozen=True)
class ColumnPath:
    """A column and the steps to take inside it.

    Attributes
    ----------
    column : str
        The column of the table.
    steps : tuple of str
        Names, and ``"[]"`` for every entry of a list.
    """

    column: str
    steps: tuple[str, ...] = ()

    @property
    def lists(self) -> bool:
        """Whether a cell holds several values."""
        return EACH in self.steps


def path_of(name: str, present: Sequence[str]) -> ColumnPath:
    """Split a path; what is a column itself, or reads as no path, is taken as a column."""
    if name in present or _PATH.fullmatch(name) is None:
        return ColumnPath(name)
    column, *steps = _STEP.findall(name)
    return ColumnPath(column, tuple(steps))


def is_list_path(name: str) -> bool:
    """Tell whether a path, unless it is a column itself, leads to several values."""
    return _PATH.fullmatch(name) is not None and EACH in name


def nested(value: object) -> bool:
    """Tell whether a cell is a list or a record."""
    return isinstance(value, list | tuple | dict | np.ndarray)


def _missing(value: object) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)


def _depth(text: str) -> int:
    deepest = depth = 0
    for sign in text:
        depth += (sign in "[{(") - (sign in "]})")
        deepest = max(deepest, depth)
    return deepest


def _written(text: str) -> Any:
    """Read a cell that writes a list or a record as a text."""
    text = text.strip()
    if not text:
        return None
    if _TEXTS.fullmatch(text):
        return [one[1:-1] for one in re.findall(_QUOTED, text)]
    if not text.startswith(("[", "{", "(")):
        raise _UnfitError("is a plain text")
    if len(text) > _LONGEST or _depth(text) > _DEEPEST:
        raise _UnfitError("is too long or too deep to be read")
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as failure:
        raise _UnfitError("is written neither as JSON nor as Python writes it") from failure


def _reached(value: Any, steps: Sequence[str], seen: _Seen) -> Any:
    several = EACH in steps
    if not steps:
        return value
    if isinstance(value, str):
        value = _written(value)
    if _missing(value):
        return [] if several else None
    step, rest = steps[0], steps[1:]
    if step != EACH:
        if isinstance(value, list | tuple | np.ndarray):
            raise _UnfitError(f"is a list: write '[]' before '.{step}' to reach every entry")
        if not isinstance(value, Mapping):
            raise _UnfitError(f"holds nothing called {step!r}")
        seen.inside.update(map(str, value))
        if step in value:
            seen.found.add(step)
        return _reached(value.get(step), rest, seen)
    if not isinstance(value, list | tuple | np.ndarray):
        raise _UnfitError("is no list")
    found: list[Any] = []
    for entry in value:
        inner = _reached(entry, rest, seen)
        if EACH in rest:
            found.extend(inner)
        else:
            found.append(inner)
    return found


def _sample(value: object) -> str:
    shown = repr(value.tolist() if isinstance(value, np.ndarray) else value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def reach(values: pd.Series, path: ColumnPath, *, where: str, first: bool) -> list[Any]:
    """Take the steps of a path in every cell.

    Parameters
    ----------
    values : Series, shape (n,)
        Cells of the column.
    path : ColumnPath
        With at least one step.
    where : str
        Named in errors.
    first : bool
        Whether a name that no cell has is an error, as it is in the first rows of an archive.

    Returns
    -------
    list, length n
        Values, None where there is none; lists of them if the path goes through one.

    Raises
    ------
    DataError
        Naming the first row that cannot be entered, or the name that is nowhere.
    """
    seen = _Seen(set(), set())
    reached = []
    for row, value in values.items():
        try:
            reached.append(_reached(value, path.steps, seen))
        except _UnfitError as failure:
            raise DataError(
                f"{where}, column {path.column!r}, row {row}: {_sample(value)} {failure}; "
                f"{written(path)!r} cannot be reached. Mend the path, or filter such rows out."
            ) from failure
    absent = [step for step in path.steps if step != EACH and step not in seen.found]
    if first and seen.inside and absent:
        raise DataError(
            f"{where}, column {path.column!r}: nothing inside is called {absent[0]!r}; there are "
            f"{sorted(seen.inside)[:12]}. Mend the path {written(path)!r}."
        )
    return reached


def written(path: ColumnPath) -> str:
    """Write a path as it is set."""
    return path.column + "".join(step if step == EACH else f".{step}" for step in path.steps)


def refuse_nested(values: pd.Series, name: str, *, where: str) -> None:
    """Refuse lists and records where a value is needed, and say how to reach inside.

    Raises
    ------
    DataError
        Naming the column, the first such row and what it holds.
    """
    if values.dtype != object:
        return
    for row, value in values.items():
        if not nested(value):
            continue
        where_it_is = f"{where}, column {name!r}, row {row}: {_sample(value)}"
        if isinstance(value, dict):
            path = f"{name}.{next(iter(value), 'name')}"
            raise DataError(f"{where_it_is} is a record. Put a path in place of the column, such as {path!r}.")
        entry = value[0] if len(value) else None
        path = f"{name}{EACH}.{next(iter(entry))}" if isinstance(entry, dict) and entry else f"{name}{EACH}"
        raise DataError(
            f"{where_it_is} is a list. Where it holds symbols, columns = {{ symbol = {path!r} }} makes one row per "
            "article and symbol."
        )
