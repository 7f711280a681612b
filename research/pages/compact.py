"""Figures as the short text that the pages' own script draws: what it can, with digits that an eye can tell.

A figure stays a plotly figure in Python, so that notebooks show it too. A page carries no plotly.js: the scripts beside
this module draw scatter, bar and heatmap traces, and whatever else a figure holds is refused here, by name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from embargo.data_loaders.errors import DataError
from embargo.research.plain import plain

DIGITS = 5
# Beside the largest number of its column a smaller share is what rounding left, which differs between processors.
_NOISE = 1e-12
# Shorter ones are written where they stand.
_LONG = 12
# Of what a figure may hold, what the scripts do not draw or what they know themselves.
_PASSED_OVER = ("template", "uid")
_MODES = {"lines", "markers", "text", "none"}
_FILLS = {None, "none", "tozeroy", "toself"}
_SYMBOLS = {"circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "star", "x"}


class Columns:
    """Long columns of the figures of a page, each kept once; a figure names them by their place.

    Examples
    --------
    >>> columns = Columns()
    >>> columns.place([0.123456789] * 20), columns.place([0.123456789] * 20), len(columns.kept)
    (0, 0, 1)
    """

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self._known: dict[str, int] = {}

    def place(self, values: list[Any] | dict[str, Any]) -> int:
        """Return the place of a column, added where it is new."""
        key = json.dumps(values, separators=(",", ":"))
        if key not in self._known:
            self._known[key] = len(self.kept)
            self.kept.append(values)
        return self._known[key]


def compacted(figure: go.Figure, what: str, columns: Columns | None = None) -> dict[str, Any]:
    """Return a figure as plain values for the pages' script.

    Parameters
    ----------
    figure : plotly Figure
        Scatter, bar and heatmap traces on plain axes.
    what : str
        The chart's name, for errors.
    columns : Columns, optional
        Takes the long columns; without it they stay in their traces.

    Returns
    -------
    dict
        ``data`` and ``layout``; floats hold `DIGITS` significant digits, whole numbers all of theirs.

    Raises
    ------
    DataError
        If the figure holds what the script does not draw; the message names it.

    Examples
    --------
    >>> import plotly.graph_objects as go
    >>> compacted(go.Figure(go.Scatter(x=[1, 2], y=[0.123456789, None])), "mine")["data"][0]["y"]
    [0.12346, None]
    >>> compacted(go.Figure(go.Violin(y=[1, 2])), "mine")
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.DataError: chart 'mine': pages draw no trace of type violin; use scatter, bar or heatmap
    """
    layout = {key: value for key, value in figure.layout.to_plotly_json().items() if key not in _PASSED_OVER}
    traces = [trace.to_plotly_json() for trace in figure.data]
    for trace in traces:
        _refuse_undrawn(trace, what)
    dated = {key for key, axis in layout.items() if key.startswith("xaxis") and axis.get("type") == "date"}
    data = []
    for trace in traces:
        on_dates = f"xaxis{str(trace.get('xaxis', 'x'))[1:]}" in dated
        data.append(
            {
                key: _column(value, columns, instants=on_dates and key == ("base" if "base" in trace else "x"))
                if key in ("x", "y", "base", "customdata", "text")
                else _short(value)
                for key, value in trace.items()
                if key not in _PASSED_OVER and value is not None
            }
        )
    return {"data": data, "layout": _short(layout)}


def _refuse_undrawn(trace: Mapping[str, Any], what: str) -> None:
    """Refuse what would silently be missing from a page."""
    kind = trace.get("type", "scatter")
    if kind not in ("scatter", "bar", "heatmap"):
        raise DataError(f"chart {what!r}: pages draw no trace of type {kind}; use scatter, bar or heatmap")
    if kind == "scatter" and (unknown := set(str(trace.get("mode", "lines")).split("+")) - _MODES):
        raise DataError(f"chart {what!r}: pages draw no mode {sorted(unknown)[0]}; use lines, markers or text")
    if kind == "scatter" and trace.get("fill") not in _FILLS:
        raise DataError(f"chart {what!r}: pages draw no fill {trace['fill']}; use tozeroy or toself")
    symbols = np.atleast_1d((trace.get("marker") or {}).get("symbol", "circle"))
    if unknown := {str(symbol).removesuffix("-open") for symbol in symbols} - _SYMBOLS:
        raise DataError(
            f"chart {what!r}: pages draw no mark {sorted(unknown)[0]}; use one of {', '.join(sorted(_SYMBOLS))}"
        )
    for axis in ("x", "y"):
        if axis not in trace and kind != "heatmap":
            raise DataError(f"chart {what!r}: a trace has no {axis}; give each of its points one")


def _column(values: Any, columns: Columns | None, *, instants: bool) -> Any:
    if isinstance(values, str) or not hasattr(values, "__len__"):
        return _short(values)
    if instants:
        return _placed(_steps(values), columns, len(values))
    return _placed(_of_one_kind(values), columns, len(values))


def _placed(column: Any, columns: Columns | None, length: int) -> Any:
    if columns is None or length < _LONG:
        return _unstepped(column) if isinstance(column, dict) else column
    return {"column": columns.place(column)}


def _entries(values: Any) -> list[Any]:
    return list(values.tolist() if isinstance(values, np.ndarray | pd.Series | pd.Index) else values)


def _steps(values: Any) -> dict[str, Any]:
    """Write instants (milliseconds) as whole steps from the one before; gaps stay gaps."""
    known = [None if value is None or value != value else round(float(value)) for value in _entries(values)]
    there = np.array([value for value in known if value is not None], dtype=np.int64)
    if not len(there):
        return {"from": 0, "unit": 1, "steps": known}
    unit = int(np.gcd.reduce(np.diff(there))) or 1
    steps = iter([0, *(np.diff(there) // unit).tolist()])
    return {"from": int(there[0]), "unit": unit, "steps": [None if value is None else next(steps) for value in known]}


def _unstepped(column: dict[str, Any]) -> list[int | None]:
    at, values = int(column["from"]), list[int | None]()
    for step in column["steps"]:
        at += 0 if step is None else step * column["unit"]
        values.append(None if step is None else at)
    return values


def _of_one_kind(values: Any) -> list[Any]:
    """Return a column in short, with nought in the place of what rounding left of its numbers."""
    entries = [_short(value) for value in _entries(values)]
    least = _NOISE * max((abs(value) for value in entries if isinstance(value, float | int)), default=0.0)
    return [0 if isinstance(value, float) and abs(value) < least else value for value in entries]


def _short(value: Any) -> Any:
    """Return plain values with floats to the digits that are drawn; what is not a number becomes None."""
    if isinstance(value, Mapping):
        return {str(key): _short(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | np.ndarray | pd.Series | pd.Index):
        return [_short(entry) for entry in _entries(value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 1e15 else float(f"{value:.{DIGITS}g}")
    return value
