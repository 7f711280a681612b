"""Charts of a comparison: growth of the runs, their Sharpe ratios by regime, and their differences to the base.

They follow the conventions of `embargo.research.run.report.charts`: colours are names of the style sheet, outside text
is escaped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from embargo.research.pages import formats
from embargo.research.run.report.charts import SERIES_COLOURS, TEMPLATE, Chart, drawdowns, equity_chart, label_of
from embargo.research.run.report.tables import name_of
from embargo.research.studies.compare.comparison import EVERYTHING, Comparison
from embargo.research.studies.compare.tables import significance, stands

_ROOM = 17
# Of runs beyond the number of colours.
MARKS = ("circle", "diamond", "square")


def growth_of(found: Comparison) -> pd.DataFrame:
    """Growth of 1 on the common bars, shape (bars + 1, runs); row t is the value when bar t opens."""
    bars = pd.DatetimeIndex(found.returns.index)
    end = bars[-1] + (bars[-1] - bars[-2])
    values = np.vstack([np.ones(len(found.runs)), (1.0 + found.returns.to_numpy()).cumprod(axis=0)])
    return pd.DataFrame(values, index=bars.append(pd.DatetimeIndex([end])), columns=found.returns.columns)


def growth_chart(found: Comparison) -> Chart:
    """Draw growth of 1 over drawdown for every run, the base first, regimes shaded behind."""
    growth = growth_of(found)
    names = list(growth.columns)
    # The chart of a run wants its series by these names; they are given back to the runs below.
    drawn = growth.set_axis(["strategy", *(f"series {number}" for number in range(1, len(names)))], axis=1)
    chart = equity_chart(drawn, found.labels if len(found.labels.columns) else None)
    for trace in chart.figure.data:
        group = str(trace.legendgroup or "")
        if group.startswith("series-"):
            name = label_of(names[int(group.removeprefix("series-"))])
            trace.name = name if trace.showlegend is not False else f"{name} drawdown"
    falls = drawdowns(growth)
    ends = "; ".join(
        f"{name} ends at {formats.ratio(growth[name].iloc[-1])}, worst drawdown {formats.percent(falls[name].min())}"
        for name in names
    )
    return Chart(chart.figure, f"Line chart of growth and drawdown on the common bars. {ends}.", chart.note)


def sharpe_chart(found: Comparison) -> Chart:
    """Draw the Sharpe ratio of every run in every regime, with intervals."""
    names = [run.name for run in found.runs]
    figure, words = _whiskers(
        found.cells, names, 0, lambda row: float(row.sharpe), lambda row: None, "annual Sharpe ratio, with interval"
    )
    return Chart(figure, f"Sharpe ratio of each run by regime. {words}.")


def difference_chart(found: Comparison) -> Chart:
    """Draw every difference to the base with its interval; filled marks stand after Holm's correction."""
    names = [run.name for run in found.runs[1:]]
    level = significance(found)
    figure, words = _whiskers(
        found.differences,
        names,
        1,
        lambda row: float(row.difference),
        lambda row: stands(row, level),
        f"Sharpe ratio less that of {label_of(found.base.name)}, with interval",
    )
    return Chart(figure, f"Difference of each run's Sharpe ratio to {found.base.name}. {words}.")


def _whiskers(
    table: pd.DataFrame,
    names: list[str],
    first_colour: int,
    value: Callable[[Any], float],
    filled: Callable[[Any], bool | None],
    axis: str,
) -> tuple[go.Figure, str]:
    """Points with intervals: one line of the chart for each regime, in it one row for each run."""
    keys = list(dict.fromkeys(zip(table["definition"], table["regime"], strict=True)))
    places = {key: place for place, key in enumerate(keys)}
    rows = [row for row in table.itertuples() if row.low is not None and row.high is not None]
    figure = go.Figure()
    for number, name in enumerate(names):
        colour = f"var(--series-{(number + first_colour) % SERIES_COLOURS})"
        mine = [row for row in rows if row.run == name]
        shown = False
        for solid in (True, False):
            part = [row for row in mine if (filled(row) is not False) == solid]
            if not part:
                continue
            figure.add_trace(_points(part, places, number, len(names), colour, solid, value, showlegend=not shown))
            shown = True
    empty = [key for key in keys if not any((row.definition, row.regime) == key for row in rows)]
    if empty:
        figure.add_trace(
            go.Scatter(
                x=np.zeros(len(empty)),
                y=[float(places[key]) for key in empty],
                mode="text",
                text=[f"\u2002{label_of(_why(table, key))}" for key in empty],
                textposition="middle right",
                showlegend=False,
                hoverinfo="skip",
            )
        )
    for place in range(1, len(keys)):
        figure.add_hline(y=place - 0.5, line={"color": "var(--grid)", "width": 1})
    figure.add_vline(x=0, line={"color": "var(--axis)", "width": 1})
    figure.update_layout(
        template=TEMPLATE,
        height=90 + len(keys) * max(30, 14 + _ROOM * len(names)),
        hovermode="closest",
        xaxis={"title": {"text": axis}},
        yaxis={
            "tickvals": list(range(len(keys))),
            "ticktext": [label_of(regime_name(*key)) for key in keys],
            "range": [len(keys) - 0.5, -0.5],
            "showgrid": False,
            "fixedrange": True,
        },
    )
    words = "; ".join(
        f"{row.run}, {regime_name(row.definition, row.regime)}: {formats.ratio(value(row))}, "
        f"{formats.interval((row.low, row.high))}"
        for row in rows
    )
    return figure, words


def _why(table: pd.DataFrame, key: tuple[str, str]) -> str:
    """Say why a regime carries no interval: as its rows note, which agree or differ by run."""
    inside = table[(table["definition"] == key[0]) & (table["regime"] == key[1])]
    notes = list(dict.fromkeys(str(note) for note in inside["note"] if note))
    return "; ".join(notes) if notes else "never traded here"


def _points(
    rows: list[Any],
    places: dict[tuple[str, str], int],
    number: int,
    runs: int,
    colour: str,
    solid: bool,
    value: Callable[[Any], float],
    *,
    showlegend: bool,
) -> go.Scatter:
    values = np.array([value(row) for row in rows])
    # Rows of one regime share four fifths of its line.
    offset = 0.8 * ((number + 0.5) / runs - 0.5)
    return go.Scatter(
        x=values,
        y=[places[(row.definition, row.regime)] + offset for row in rows],
        mode="markers",
        name=label_of(rows[0].run),
        legendgroup=f"run-{number}",
        showlegend=showlegend,
        marker={
            "symbol": MARKS[number // SERIES_COLOURS % len(MARKS)] + ("" if solid else "-open"),
            "size": 9,
            "color": colour,
            "line": {"width": 2, "color": colour},
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": np.array([float(row.high) for row in rows]) - values,
            "arrayminus": values - np.array([float(row.low) for row in rows]),
            "color": colour,
            "thickness": 1.4,
            "width": 3,
        },
        customdata=[
            f"{label_of(row.run)}, {label_of(regime_name(row.definition, row.regime))}<br>{formats.ratio(value(row))}, "
            f"{formats.interval((row.low, row.high))}, {formats.count(row.n_bars)} bars"
            for row in rows
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )


def regime_name(definition: str, regime: str) -> str:
    """Name a cell in a chart or a list."""
    return regime if definition == EVERYTHING[0] else f"{name_of(definition)}: {regime}"
