"""Figures of a run for tests that need a few of them: the rest does not exist, or is 0 or empty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_origin, get_type_hints

from embargo.research.records.figures import from_json
from embargo.research.records.metrics import Metrics

_Record = TypeVar("_Record")


def metrics_with(**values: Any) -> Metrics:
    return record_with(Metrics, **values)


def record_with(kind: type[_Record], **values: Any) -> _Record:
    """Make a record of a few figures; groups may be given as dictionaries of a few of theirs."""
    types = get_type_hints(kind)
    needed = [each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING]
    return kind(**{name: _blank(types[name]) for name in needed} | values)


def read_with(kind: type[_Record], found: Mapping[str, Any]) -> _Record:
    return from_json(kind, found, "test")


def _blank(kind: Any) -> Any:
    if type(None) in getattr(kind, "__args__", ()):
        return None
    origin = get_origin(kind)
    if origin is Mapping or origin is tuple:
        return {} if origin is Mapping else ()
    return kind() if kind in (int, float, str, bool) else record_with(kind)
