"""What a figure is: a value declared together with its label, its unit and one sentence that defines it.

A record is a frozen dataclass of figures. Its JSON, and the reference that `docs/metrics.md` prints, follow from the
declarations alone, so that a label, a unit or a definition stands in one place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, TypeVar, Union, dataclass_transform, get_args, get_origin, get_type_hints

from embargo.data_loaders.errors import DataError

FigureUnit = Literal[
    "fraction",
    "fraction a year",
    "ratio",
    "Sharpe ratio a year",
    "Sharpe ratio a bar, squared",
    "times a year",
    "probability",
    "p-value",
    "one less p",
    "standard errors",
    "bars",
    "bars a year",
    "count",
    "currency",
    "nats",
    "UTC instant",
    "UTC day",
    "yes or no",
    "text",
    "record",
]

Interval = tuple[float, float]

_KEY = "figure"
_Record = TypeVar("_Record")


@dataclass(frozen=True)
class Definition:
    """What a figure means.

    Attributes
    ----------
    label : str
        As a page prints it.
    unit : str
        One of `FigureUnit`; ``"record"`` for a group of figures.
    definition : str
        One sentence.
    optional : bool
        Whether its key is left out of the JSON where it is None.
    """

    label: str
    unit: FigureUnit
    definition: str
    optional: bool = False


def figure(
    label: str,
    unit: FigureUnit,
    definition: str,
    *,
    optional: bool = False,
    default: Any = MISSING,
    default_factory: Callable[[], Any] | Any = MISSING,
) -> Any:
    """Declare a field of a `record`; parameters as in `Definition`, defaults as in `dataclasses.field`."""
    meaning = {_KEY: Definition(label, unit, definition, optional)}
    if default_factory is not MISSING:
        return field(default_factory=default_factory, metadata=meaning)
    return field(default=default, metadata=meaning)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(figure,))
def record(kind: type[_Record]) -> type[_Record]:
    """Make a class of figures a frozen dataclass that is filled by name.

    Examples
    --------
    >>> @record
    ... class Fall:
    ...     depth: float = figure("Depth", "fraction", "Return from the peak to the lowest point.")
    >>> as_json(Fall(depth=-0.2))
    {'depth': -0.2}
    """
    return dataclass(frozen=True, kw_only=True)(kind)


def figures_of(kind: type) -> dict[str, Definition]:
    """Return what each field of a record means, by name and in order.

    Examples
    --------
    >>> from embargo.research.records.metrics import Drawdown
    >>> figures_of(Drawdown)["depth"].unit
    'fraction'
    """
    return {each.name: each.metadata[_KEY] for each in fields(kind)}


def labels_of(kind: type, *names: str) -> tuple[str, ...]:
    """Return the labels of some figures of a record.

    Examples
    --------
    >>> from embargo.research.records.metrics import Drawdown
    >>> labels_of(Drawdown, "depth", "recovery")
    ('Depth', 'Recovered')
    """
    return tuple(figures_of(kind)[name].label for name in names)


def values_of(found: Any) -> dict[str, Any]:
    """Return the fields of a record by name, groups as the records they are.

    Examples
    --------
    >>> from embargo.research.records.frictions import CostPaid
    >>> values_of(CostPaid(currency=12.5, per_year=0.001, per_turnover=None))
    {'currency': 12.5, 'per_year': 0.001, 'per_turnover': None}
    """
    return {each.name: getattr(found, each.name) for each in fields(found)}


def as_json(found: Any) -> dict[str, Any]:
    """Return a record as plain dictionaries, lists and numbers.

    Examples
    --------
    >>> from embargo.research.records.classifier import Majority
    >>> as_json(Majority(accuracy=0.5, macro_f1=0.25))
    {'accuracy': 0.5, 'macro_f1': 0.25}
    """
    optional = {name for name, meaning in figures_of(type(found)).items() if meaning.optional}
    return {
        name: _plain(value) for name, value in values_of(found).items() if value is not None or name not in optional
    }


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return as_json(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def from_json(kind: type[_Record], found: object, where: str) -> _Record:
    """Make a record of plain dictionaries, as `as_json` or the packages below return them.

    Parameters
    ----------
    kind : type
        A `record`.
    found : object
        What was read.
    where : str
        Named by an error, such as the file.

    Returns
    -------
    kind

    Raises
    ------
    DataError
        If a figure is unknown, missing or of another type than declared.

    Examples
    --------
    >>> from embargo.research.records.frictions import CostPaid
    >>> from_json(CostPaid, {"currency": 12.5, "per_year": 0.001}, "metrics.json")
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.DataError: metrics.json: per_turnover is missing. Repeat the run with this version.
    """
    if not isinstance(found, Mapping):
        raise DataError(f"{where}: there are no figures but {found!r}. Repeat the run with this version.")
    shape: type = kind
    known, types = figures_of(shape), _types(shape)
    unknown = [str(name) for name in found if name not in known]
    missing = [name for name, meaning in known.items() if name not in found and not meaning.optional]
    if unknown or missing:
        faults = [(unknown, "not known"), (missing, "missing")]
        told = "; ".join(
            f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} {how}" for names, how in faults if names
        )
        raise DataError(f"{where}: {told}. Repeat the run with this version.")
    return kind(**{name: _read(types[name], value, f"{where}, {name}") for name, value in found.items()})


@cache
def _types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, UnionType):
        (inner,) = (each for each in arguments if each is not type(None))
        return None if value is None else _read(inner, value, where)
    if isinstance(kind, type) and is_dataclass(kind):
        return from_json(kind, value, where)
    if origin is Mapping and isinstance(value, Mapping):
        return {str(key): _read(arguments[1], entry, f"{where}, {key}") for key, entry in value.items()}
    if origin is tuple and isinstance(value, list | tuple):
        inside = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(inside) == len(value):
            return tuple(_read(each, entry, where) for each, entry in zip(inside, value, strict=True))
    fits = value in arguments if origin is Literal else _is(kind, value)
    if not fits:
        raise DataError(f"{where}: {value!r} is not what belongs there. Repeat the run with this version.")
    return value


def _is(kind: Any, value: Any) -> bool:
    """Tell whether a value is a number, text or truth value of this type; a truth value is no number."""
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(kind, type) and isinstance(value, (int, float) if kind is float else kind)


def kinds_of(kind: type) -> list[type]:
    """Return a record's type and those of the groups in it, each once and in order.

    Examples
    --------
    >>> from embargo.research.records.frictions import Frictions
    >>> [each.__name__ for each in kinds_of(Frictions)]
    ['Frictions', 'CostPaid', 'Capacity']
    """
    seen = dict.fromkeys([kind])
    for type_ in _types(kind).values():
        seen |= dict.fromkeys(each for inner in _records_in(type_) for each in kinds_of(inner))
    return list(seen)


def _records_in(kind: Any) -> Iterator[type]:
    if is_dataclass(kind) and isinstance(kind, type):
        yield kind
    for argument in get_args(kind):
        yield from _records_in(argument)


def reference(kind: type, opening: str) -> str:
    """Write what every figure of a record means, as Markdown.

    Parameters
    ----------
    kind : type
        A `record`.
    opening : str
        What the page begins with.

    Returns
    -------
    str

    Examples
    --------
    >>> from embargo.research.records.metrics import BestOfAttempts
    >>> reference(BestOfAttempts, "# Attempts").splitlines()[2]
    '## BestOfAttempts'
    """
    sections = [opening.rstrip()]
    printed: set[type] = set()
    for each in kinds_of(kind):
        # A record's own figures stand under its name, those that it shares under the name of what it has them from.
        parts = [part for part in (each, *each.__bases__) if part is not object and part not in printed]
        sections += [_section(part) for part in parts]
        printed |= set(parts)
    return "\n\n".join(sections) + "\n"


def _section(kind: type) -> str:
    known, types = figures_of(kind), _types(kind)
    rows = [
        f"| `{name}` | {known[name].label} | {_unit(known[name].unit, types[name])} | {known[name].definition} |"
        for name in inspect.get_annotations(kind)
    ]
    told = (inspect.getdoc(kind) or "").splitlines()[0]
    shared = [f"[{base.__name__}](#{base.__name__.lower()})" for base in kind.__bases__ if base is not object]
    if shared:
        told += f" On the same level stand the figures of {', '.join(shared)}."
    head = [f"## {kind.__name__}", "", told, ""]
    return "\n".join([*head, "| figure | label | unit | definition |", "|---|---|---|---|", *rows])


def _unit(unit: FigureUnit, kind: Any) -> str:
    """Say the unit, or where the group of figures is told, and how many of them there are."""
    inside = next(_records_in(kind), None)
    told = unit if inside is None else f"[{inside.__name__}](#{inside.__name__.lower()})"
    shapes = {get_origin(each) for each in (kind, *get_args(kind))}
    if Mapping in shapes:
        return f"{told}, by name"
    return f"{told}, a list" if inside is not None and tuple in shapes else told
