"""What all charts wear: the template, colours by name, marks and intervals, and how many points are drawn.

A chart is a plotly figure whose colours are written as ``var(--name)``, so that one figure serves the light, the dark
and the printed page. Pages draw it with a script of their own, see `compact`; a notebook draws it with plotly. Text
that came from outside goes through `label_of`, because plotly reads labels as HTML.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup

from embargo.research.pages.compact import Columns, compacted

Points = TypeVar("Points", "pd.Series[float]", npt.NDArray[np.float64])

MAX_POINTS = 3_000
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SERIES_COLOURS = 6
SHADE_COLOURS = 4

AXIS = {
    "gridcolor": "var(--grid)",
    "linecolor": "var(--axis)",
    "zerolinecolor": "var(--axis)",
    "tickcolor": "var(--axis)",
    "automargin": True,
    "zeroline": False,
    "showline": False,
    "ticks": "",
    "ticklabelstandoff": 4,
    "title": {"font": {"size": 12}, "standoff": 8},
}


@dataclass(frozen=True, slots=True, eq=False)
class Chart:
    """A figure, the sentence that stands for it, and what must be said about how it was drawn.

    Attributes
    ----------
    figure : plotly Figure
        With ``var(--name)`` colours and a height.
    summary : str
        What the chart shows, in words and numbers; read out in its place.
    note : str
        What the drawing leaves out, or ``""``.

    Examples
    --------
    >>> import plotly.graph_objects as go
    >>> from embargo.research.pages import Chart
    >>> figure = go.Figure(go.Scatter(x=[0, 1], y=[1.0, 1.2]))
    >>> figure = figure.update_layout(height=300)
    >>> Chart(figure, "Growth from 1.00 to 1.20.").summary
    'Growth from 1.00 to 1.20.'
    """

    figure: go.Figure
    summary: str
    note: str = ""


def placed(key: str, chart: Chart, columns: Columns | None = None, **more: str) -> dict[str, Any]:
    """Return what a template needs to show a chart, for the macro ``figure``.

    Parameters
    ----------
    key : str
        Unique on its page: letters, digits and hyphens.
    chart : Chart
    columns : Columns, optional
        Takes the long columns of the figures of a page, so that each is written once; hand it to `fill` too.
    **more : str
        What else the template shows beside it, such as a title or a caption.

    Returns
    -------
    dict
        ``id, json, summary, note, height`` (pixels) and what was added.

    Raises
    ------
    DataError
        If the figure holds what pages do not draw.

    Examples
    --------
    >>> import plotly.graph_objects as go
    >>> from embargo.research.pages import Chart, placed
    >>> figure = go.Figure(go.Bar(x=["a</script>"], y=[1])).update_layout(height=300)
    >>> shown = placed("sizes", Chart(figure, "One bar."), title="Sizes")
    >>> shown["id"], shown["height"], shown["title"], "</script>" in shown["json"]
    ('sizes', 300, 'Sizes', False)
    """
    return {
        "id": key,
        **more,
        "json": script_json(compacted(chart.figure, key, columns)),
        "summary": chart.summary,
        "note": chart.note,
        "height": int(chart.figure.layout.height),
    }


def script_json(value: Any) -> Markup:
    """Write plain values as JSON that cannot end its script element, whatever its labels say."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - no sign of markup is left


def label_of(value: Any) -> str:
    """Escape text from outside for plotly, which would read ``<a href>`` and ``<b>`` in it as markup.

    Parameters
    ----------
    value : object
        Read as text.

    Returns
    -------
    str

    Examples
    --------
    >>> from embargo.research.pages import label_of
    >>> label_of("<b>ACME</b>")
    '&lt;b&gt;ACME&lt;/b&gt;'
    """
    return html.escape(str(value), quote=False)


def milliseconds(instants: pd.DatetimeIndex) -> npt.NDArray[np.float64]:
    """Return instants as the numbers that plotly takes for dates.

    Parameters
    ----------
    instants : DatetimeIndex, shape (n,)
        UTC.

    Returns
    -------
    float array, shape (n,)
        Milliseconds since 1970 UTC.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.research.pages import milliseconds
    >>> milliseconds(pd.DatetimeIndex(["1970-01-01 00:00:01"], tz="UTC")).tolist()
    [1000.0]
    """
    return np.asarray(instants.as_unit("us").asi8 / 1_000.0, dtype=np.float64)


def series_colour(position: int) -> str:
    """Colour of the series at a position; colours begin anew after `SERIES_COLOURS`."""
    return f"var(--series-{position % SERIES_COLOURS})"


def series_dash(position: int) -> str:
    """Dash of a line, another one where the colours begin anew."""
    return DASHES[(position + position // SERIES_COLOURS) % len(DASHES)]


def hatch(shape: str, colour: str) -> dict[str, Any]:
    """Marker of bars in a colour, hatched so that they differ on grey paper too; ``""`` for plain ones."""
    pattern = {"shape": shape, "fgcolor": "var(--panel)", "bgcolor": colour, "size": 6, "solidity": 0.25}
    return {"color": colour, "line": {"width": 0}, "pattern": pattern}


def whiskers(
    middle: Points, low: Points, high: Points, *, colour: str, thickness: float = 1.4, width: int = 4
) -> dict[str, Any]:
    """Error bars from ``low`` to ``high`` around ``middle``, each of shape (points,)."""
    return {
        "type": "data",
        "symmetric": False,
        "array": high - middle,
        "arrayminus": middle - low,
        "color": colour,
        "thickness": thickness,
        "width": width,
    }


def points_across(
    x: npt.NDArray[np.float64],
    y: Sequence[float] | npt.NDArray[np.float64],
    ends: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    told: Sequence[str],
    *,
    name: str,
    symbol: str,
    colour: str,
    size: int = 10,
    width: int = 4,
    **entry: Any,
) -> go.Scatter:
    """Points in rows, each with the ends of its interval and what it tells when pointed at.

    ``entry`` is how they stand in the legend.
    """
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        name=name,
        **entry,
        marker={"symbol": symbol, "size": size, "color": colour, "line": {"width": 2, "color": colour}},
        error_x=whiskers(x, *ends, colour=colour, width=width),
        customdata=list(told),
        hovertemplate="%{customdata}<extra></extra>",
    )


def in_rows(names: Sequence[str]) -> dict[str, Any]:
    """Vertical axis with one named row for each whole number, the first on top."""
    return {
        "tickvals": list(range(len(names))),
        "ticktext": list(names),
        "range": [len(names) - 0.5, -0.5],
        "showgrid": False,
        "fixedrange": True,
    }


def words_at(rows: Sequence[float] | npt.NDArray[np.float64], words: Sequence[str]) -> go.Scatter:
    """Words beside zero, in rows that hold no figure."""
    return go.Scatter(
        x=np.zeros(len(rows)),
        y=rows,
        mode="text",
        text=[f"\u2002{label_of(word)}" for word in words],
        textposition="middle right",
        showlegend=False,
        hoverinfo="skip",
    )


def keep_extremes(values: npt.NDArray[np.float64], limit: int = MAX_POINTS) -> npt.NDArray[np.intp]:
    """Choose rows to draw so that no peak and no trough is lost.

    The rows are cut into equal buckets; of each, the first row and every column's lowest and highest row are kept, and
    the very last row. So the drawn line touches the same peaks and troughs as the full one.

    Parameters
    ----------
    values : array of shape (rows, columns)
        NaN is ignored; a bucket of nothing but NaN keeps its first row.
    limit : int
        Largest number of rows to keep.

    Returns
    -------
    array of int
        Increasing row numbers, at most `limit`; all rows if they are no more than `limit`.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.research.pages import keep_extremes
    >>> path = np.zeros((1000, 1))
    >>> path[321] = -5.0
    >>> kept = keep_extremes(path, 10)
    >>> len(kept), 321 in kept
    (5, True)
    """
    rows, columns = values.shape
    if rows <= limit:
        return np.arange(rows)
    buckets = max(1, (limit - 1) // (1 + 2 * columns))
    bounds = np.linspace(0, rows, buckets + 1).astype(np.intp)
    kept = {rows - 1}
    low = np.where(np.isnan(values), np.inf, values)
    high = np.where(np.isnan(values), -np.inf, values)
    for start, stop in pairwise(bounds):
        kept.add(int(start))
        kept.update(int(start + row) for row in low[start:stop].argmin(axis=0))
        kept.update(int(start + row) for row in high[start:stop].argmax(axis=0))
    return np.array(sorted(kept), dtype=np.intp)
