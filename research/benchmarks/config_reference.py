"""Write down every key of every settings file: its type, default and range, and what it does.

Run by ``python -m embargo.research.benchmarks.config_reference --write docs/configuration.md``. All of it comes from
the models that check the files, so that the page cannot say what the code does not do; a test holds the committed page
against them.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import textwrap
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import pandas as pd
import tomli_w
from pydantic.fields import FieldInfo

from embargo.research.config import settings
from embargo.research.config.adapt import AdaptSection
from embargo.research.config.experiment import Config
from embargo.research.config.instruct import CorpusSection, InstructConfig
from embargo.research.config.model import ReaderSection
from embargo.research.config.settings import Section
from embargo.research.gathering.collecting import Collection
from embargo.research.modelling.tuning import TuneConfig

# What the kinds of settings are called that a function checks.
_CHECKED: dict[Any, str] = {
    settings.Instant: "date or instant",
    settings.Duration: "duration",
    settings.BarLength: "length of a bar",
    settings.Name: "name",
    settings.SplitSpan: "span, or number of articles",
    settings.ClosedDay: "day",
    settings.SessionHours: "day and hours",
    settings.BaseName: "text, or table of days to texts",
}
_BY_CHECK = {kind.__metadata__[0].func: word for kind, word in _CHECKED.items()}
_PLAIN = {str: "text", bool: "true or false", int: "whole number", float: "number", Any: "any value"}
_MANY = {
    "text": "texts",
    "number": "numbers",
    "day": "days",
    "day and hours": "days and hours",
    "any value": "any values",
}
_INTRODUCTION = """\
<!-- Made by: python -m embargo.research.benchmarks.config_reference --write docs/configuration.md -->

# Configuration

Every key of every settings file, as the code that checks them has it. Files are TOML. An unknown key is an error, and
so is a value out of range: the message names the key, what was given and what is allowed. `embargo validate` checks a
config and its data in seconds; `--set section.key=value` replaces one key for one command.

- A **date or instant** is TOML's own, such as `2018-01-01` (00:00 UTC) or `2018-01-01T09:30:00Z`; an instant needs its
  zone.
- A **duration** is a text such as `"5min"`, `"12h"` or `"2D"`; a **span** may also count months, `"6MS"`.
- **Paths** start from the folder of the file that they stand in. `${NAME}` in them is filled in only where the command
  says `--env NAME`.
- A default of `-` means unset; what that means is said beside it.
"""


@dataclass(frozen=True)
class File:
    """A kind of settings file: its title, what is said of it, its model, and a word that tells its sections apart."""

    title: str
    words: str
    model: type[Section]
    mark: str = ""


FILES = (
    File(
        "An experiment",
        "Read by `embargo run`, `validate`, `sweep`, `paths`, `adapt` and `tune`. It needs `name`, `news`, `prices` "
        "and `split`; everything else has a default.",
        Config,
    ),
    File(
        "One model",
        "Read by `embargo tune`, which makes one model for each fold of an experiment, and one of a file of these keys "
        "alone.",
        TuneConfig,
        "one model",
    ),
    File(
        "A decoder that answers",
        'Read by `embargo tune` too, by its `task = "instruct"`; `embargo tune --help` shows such a file.',
        InstructConfig,
        "answers",
    ),
    File("A collection", "Read by `embargo collect`: what is taken at each visit.", Collection, "collection"),
)
_READERS = """\
An experiment, or a file of `name`, `seed`, `labels` and `statistics` alone, with tables `[readers.NAME]`, each with the
keys of [`[model]`](#model), and a section `[adapt]`; both may stand in a second file (`--readers`). Without readers the
usual ones are taken.
"""


@dataclass(frozen=True)
class Key:
    """One key of a section.

    Attributes
    ----------
    name, kind, default, bounds, description : str
        As they are shown; no bounds are an empty text.
    section : type or None
        What the key holds, if that is a section of its own.
    """

    name: str
    kind: str
    default: str
    bounds: str
    description: str
    section: type[Section] | None


def keys(section: type[Section]) -> list[Key]:
    """List the keys of a section in the order of its class.

    Raises
    ------
    ValueError
        If a key has no description.

    Examples
    --------
    >>> from embargo.research.benchmarks.config_reference import keys
    >>> from embargo.research.config.trading import CostsSection
    >>> fee = keys(CostsSection)[0]
    >>> fee.name, fee.kind, fee.default, fee.bounds
    ('fee', 'number', '`0.0005`', '≥ 0, < 0.1')
    """
    return [_key(section, name, told) for name, told in section.model_fields.items()]


def undescribed(section: type[Section], seen: frozenset[type[Section]] = frozenset()) -> list[str]:
    """Name the keys of a section, and of all sections in it, that say nothing of themselves."""
    silent = []
    for name, told in section.model_fields.items():
        if not _described(section).get(name, "").strip():
            silent.append(f"{section.__name__}.{name}")
        inner = _section_of(told.annotation)
        if inner is not None and inner not in seen:
            silent += undescribed(inner, seen | {section, inner})
    return silent


def page() -> str:
    """Write the whole page as markdown."""
    parts = [_INTRODUCTION]
    for file in FILES:
        parts += [f"## {file.title}\n\n{file.words}\n", _table(file.model, "", file.mark), *_sections(file)]
        if file.model is Config:
            parts += [f"## Readers side by side\n\n{_READERS}", _titled(AdaptSection, "adapt", "")]
    return "\n".join(parts).rstrip() + "\n"


def _sections(file: File) -> Iterator[str]:
    """Give a table for each section of a file, those inside it next; none for what an experiment has too."""
    waiting = [(key.name, key.section) for key in keys(file.model)]
    while waiting:
        path, section = waiting.pop(0)
        if section is None or _shared(section, file.mark) or section is ReaderSection:
            continue
        yield _titled(section, path, file.mark)
        waiting[:0] = [(f"{path}.{key.name}", key.section) for key in keys(section)]


def _shared(section: type[Section], mark: str) -> str:
    """Name the section of an experiment that one of another file is like, if it is."""
    same = {
        kind.annotation: name for name, kind in Config.model_fields.items() if _section_of(kind.annotation) is not None
    }
    return "" if not mark else same.get(section, "news" if section is CorpusSection else "")


def _titled(section: type[Section], path: str, mark: str) -> str:
    of = f" ({mark})" if mark else ""
    paragraphs = (section.__doc__ or "").replace("``", "`").split("\n\n")
    told = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    return f"### `[{path}]`{of}\n\n{told.strip()}\n\n{_table(section, path, mark)}"


def _table(section: type[Section], path: str, mark: str) -> str:
    head = ["| key | type | default | range | what it does |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(_row(key, path, mark) for key in keys(section)), ""])


def _row(key: Key, path: str, mark: str) -> str:
    cells = (f"`{key.name}`", _kind(key, path, mark), key.default, key.bounds, key.description)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _kind(key: Key, path: str, mark: str) -> str:
    if key.section is None:
        return key.kind
    if key.section is ReaderSection:
        return "as [`[model]`](#model), without `distill`"
    if like := _shared(key.section, mark):
        return f"as [`[{like}]`](#{like})"
    place = f"{path}.{key.name}" if path else key.name
    anchor = place.replace(".", "") + (f"-{mark.replace(' ', '-')}" if mark else "")
    return f"[`[{place}]`](#{anchor})"


def _key(section: type[Section], name: str, told: FieldInfo) -> Key:
    description = " ".join(_described(section).get(name, "").split())
    if not description:
        raise ValueError(f"{section.__name__}.{name} has no description; write a docstring under the field")
    inner = _section_of(told.annotation)
    kind = _words(told.annotation, told.metadata)
    given = None if told.is_required() else told.get_default(call_default_factory=True)
    # What a section holds by default is told with its own keys.
    default = "required" if told.is_required() else "" if isinstance(given, Section) else _shown(given)
    return Key(name, kind, default, _bounds(told.annotation, told.metadata), description, inner)


@cache
def _described(section: type[Section]) -> dict[str, str]:
    """Read the docstrings under the fields of a section and of those that it is made from, by field.

    Read here from the source, and not by pydantic when a class is made, which would cost every command a tenth of a
    second that this page alone has use for.
    """
    told: dict[str, str] = {}
    for kind in reversed(section.__mro__):
        if not issubclass(kind, Section):
            continue
        (made,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        for field, after in pairwise(made.body if isinstance(made, ast.ClassDef) else ()):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                said = after.value if isinstance(after, ast.Expr) else None
                text = said.value if isinstance(said, ast.Constant) and isinstance(said.value, str) else ""
                told[field.target.id] = text
    return told


def _section_of(annotation: Any) -> type[Section] | None:
    kinds = (annotation, *get_args(annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)), None)


def _words(annotation: Any, metadata: Any = ()) -> str:
    """Say in the words of TOML what a key takes."""
    for check in metadata:
        if (word := _BY_CHECK.get(getattr(check, "func", None))) is not None:
            return word
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(inside[0], inside[1:])
    if origin in (Union, types.UnionType):
        return ", or ".join(_words(kind) for kind in inside if kind is not type(None))
    if origin is Literal:
        return ", ".join(f"`{_toml(value)}`" for value in inside)
    if origin is tuple:
        word = _words(inside[0])
        return f"list of {_MANY.get(word, word)}"
    if origin is dict:
        word = _words(inside[1])
        return f"table of {_MANY.get(word, word)}"
    return _PLAIN.get(annotation, "section")


def _bounds(annotation: Any, metadata: Any = ()) -> str:
    found = [text for check in _flat(metadata) if (text := _bound(check))]
    if found:
        return ", ".join(found)
    if get_origin(annotation) is Annotated:
        return _bounds(annotation.__origin__, annotation.__metadata__)
    return next((text for kind in get_args(annotation) if (text := _bounds(kind))), "")


def _flat(metadata: Any) -> Iterator[Any]:
    for check in metadata:
        yield from _flat(check.metadata) if isinstance(check, FieldInfo) else (check,)


def _bound(check: Any) -> str:
    match check:
        case annotated_types.Ge(bound):
            return f"≥ {_number(bound)}"
        case annotated_types.Gt(bound):
            return f"> {_number(bound)}"
        case annotated_types.Le(bound):
            return f"≤ {_number(bound)}"
        case annotated_types.Lt(bound):
            return f"< {_number(bound)}"
        case annotated_types.MultipleOf(step):
            return f"a multiple of {_number(step)}"
        case annotated_types.MinLen(length):
            return f"at least {length}"
        case annotated_types.MaxLen(length):
            return f"at most {length} long"
    return ""


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _shown(value: Any) -> str:
    return "-" if value is None else f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    if isinstance(value, dict) and not value:
        return "{}"
    plain = list(value) if isinstance(value, tuple) else value
    written = tomli_w.dumps({"key": plain}).removeprefix("key = ").strip()
    return " ".join(written.split()).replace("[ ", "[").replace(", ]", "]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page there instead of printing it")
    given = parser.parse_args()
    if given.write:
        given.write.write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")


if __name__ == "__main__":
    main()
