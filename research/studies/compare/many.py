"""Many runs at a glance: how each fared in each regime, and which are beaten both on Sharpe ratio and on what it took.

A run is beaten if another has at least its Sharpe ratio at no more turnover, or at no more cost, and is better in one
of the two. Being unbeaten is a fact of the sample: which differences are more than noise only the paired tests say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import plotly.graph_objects as go

from embargo.research.pages import formats
from embargo.research.pages.charts import Chart, label_of
from embargo.research.pages.tables import TableCell
from embargo.research.studies.compare.charts import regime_name
from embargo.research.studies.compare.rows import Fared, fared
from embargo.research.studies.compare.tables import ParetoAxis, listed, over_all_bars, without

if TYPE_CHECKING:
    from embargo.research.studies.compare.comparison import Comparison

# A ratio of 1 a year is never drawn as strongly as the strongest of a page unless it is.
_LEAST_SCALE = 1.0


class HeatRow(NamedTuple):
    """A run of the heat map: its cells stand in the order of the columns."""

    run: str
    cells: list[TableCell]


class Heat(NamedTuple):
    """Sharpe ratios by run and regime: names and bars of the columns, and a row for each run, the best first."""

    columns: list[tuple[str, str]]
    rows: list[HeatRow]


def heat_of(found: Comparison) -> Heat:
    """Lay the Sharpe ratios of all runs over all bars and in each regime side by side.

    Parameters
    ----------
    found : Comparison

    Returns
    -------
    Heat
        A cell that is too small for a figure says so in its text.
    """
    rows = fared(found)
    by_place = {(row.definition, row.regime, row.run): row for row in rows}
    keys = list(dict.fromkeys((row.definition, row.regime) for row in rows))
    known = [abs(row.sharpe) for row in rows if row.sharpe is not None and not formats.is_missing(row.sharpe)]
    scale = max([*known, _LEAST_SCALE])
    overall = over_all_bars(found)

    def rank(name: str) -> float:
        sharpe = overall[name].sharpe
        return float("inf") if sharpe is None or formats.is_missing(sharpe) else -sharpe

    names = sorted((run.name for run in found.runs), key=rank)
    return Heat(
        [(regime_name(*key), formats.count(by_place[(*key, names[0])].n_bars)) for key in keys],
        [HeatRow(name, [_cell(by_place[(*key, name)], scale) for key in keys]) for name in names],
    )


def _cell(row: Fared, scale: float) -> TableCell:
    if row.sharpe is None or formats.is_missing(row.sharpe):
        return TableCell(row.note.removesuffix(": not judged") or formats.MISSING, numeric=False)
    side = "up" if row.sharpe > 0 else "down"
    return TableCell(formats.ratio(row.sharpe), strength=round(abs(row.sharpe) / scale, 2), side=side)


class _Axis(NamedTuple):
    """What a run may be charged with: the figure that names who is unbeaten on it, its title and how it is printed."""

    unbeaten: str
    title: str
    printed: Callable[[float], str]
    tick: str


_AXES: dict[ParetoAxis, _Axis] = {
    "turnover": _Axis("unbeaten", "turnover, times a year, one way", formats.ratio, ""),
    "cost": _Axis("unbeaten_on_cost", "cost a year, of mean equity", formats.fine_percent, ".1%"),
}


def pareto_chart(found: Comparison, spent: ParetoAxis = "turnover") -> Chart | None:
    """Draw Sharpe ratio over turnover or over cost; None unless two runs or more have both.

    Runs that no other beats on both are filled and named. A run whose audit found a leak beats nobody.
    """
    axis, overall, took = _AXES[spent], over_all_bars(found), found.figures[spent]
    points = dict[str, tuple[float, float]]()
    for run in found.runs:
        value, sharpe = took[run.name], overall[run.name].sharpe
        if value is not None and sharpe is not None and not formats.is_missing(sharpe):
            points[run.name] = (float(value), float(sharpe))
    if len(points) < 2:
        return None
    front, leaked = found.figures[axis.unbeaten], set(found.invalid)
    kinds = (
        ("beaten", [name for name in points if name not in front and name not in leaked], "circle-open"),
        ("leak found, beats nobody", [name for name in points if name in leaked], "x"),
        ("unbeaten", front, "circle"),
    )
    figure = go.Figure()
    colours = ("var(--series-4)", "var(--bad)", "var(--series-0)")
    for (kind, names, symbol), colour in zip(kinds, colours, strict=True):
        if not names:
            continue
        first = kind == "unbeaten"
        figure.add_trace(
            go.Scatter(
                x=[points[name][0] for name in names],
                y=[points[name][1] for name in names],
                mode="markers+text" if first else "markers",
                name=kind,
                text=[f"{label_of(name)}\u2002" for name in names] if first else None,
                # No mark lies there: what did would be unbeaten.
                textposition="middle left",
                marker={"symbol": symbol, "size": 10, "color": colour, "line": {"width": 2, "color": colour}},
                customdata=[
                    f"{label_of(name)}<br>Sharpe ratio {formats.ratio(points[name][1])}, "
                    f"{spent} {axis.printed(points[name][0])} a year"
                    for name in names
                ],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
    figure.update_layout(
        height=360,
        hovermode="closest",
        xaxis={"title": {"text": axis.title}} | ({"tickformat": axis.tick} if axis.tick else {}),
        yaxis={"title": {"text": "annual Sharpe ratio"}},
    )
    words = "; ".join(
        f"{name}: {formats.ratio(sharpe)} at {axis.printed(value)}" for name, (value, sharpe) in points.items()
    )
    absent = [run.name for run in found.runs if run.name not in points and took[run.name] is not None]
    note = " ".join(
        [
            *([f"Not drawn, for want of a Sharpe ratio: {', '.join(absent)}."] if absent else []),
            *([lacking] if (lacking := without(found, spent)) else []),
        ]
    )
    unbeaten_are = f"Unbeaten on both: {listed(front)}" if front else "No run without a leak has both"
    return Chart(figure, f"Sharpe ratio over {spent} a year. {unbeaten_are}. {words}.", note)
