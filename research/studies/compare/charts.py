"""Charts of a comparison: growth of the runs, their Sharpe ratios by regime, and their differences to the base."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from embargo.research.pages import formats
from embargo.research.pages.charts import (
    SERIES_COLOURS,
    Chart,
    in_rows,
    label_of,
    points_across,
    series_colour,
    words_at,
)
from embargo.research.pages.curves import drawdowns, growth_figure
from embargo.research.run.report.tables import name_of
from embargo.research.studies.compare.comparison import Comparison
from embargo.research.studies.compare.judgement import EVERYTHING
from embargo.research.studies.compare.rows import Difference, Fared, differences, fared
from embargo.research.studies.compare.tables import significance, stands

Row = TypeVar("Row", Fared, Difference)

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
    figure, note = growth_figure(growth, found.labels if len(found.labels.columns) else None)
    falls = drawdowns(growth)
    ends = "; ".join(
        f"{name} ends at {formats.ratio(growth[name].iloc[-1])}, worst drawdown {formats.percent(falls[name].min())}"
        for name in growth.columns
    )
    return Chart(figure, f"Line chart of growth and drawdown on the common bars. {ends}.", note)


def sharpe_chart(found: Comparison) -> Chart:
    """Draw the Sharpe ratio of every run in every regime, with intervals."""
    names = [run.name for run in found.runs]
    figure, words = _whiskers(
        fared(found), names, 0, lambda row: row.sharpe, lambda row: True, "annual Sharpe ratio, with interval"
    )
    return Chart(figure, f"Sharpe ratio of each run by regime. {words}.")


def difference_chart(found: Comparison) -> Chart:
    """Draw every difference to the base with its interval; filled marks stand after Holm's correction."""
    names = [run.name for run in found.runs[1:]]
    level = significance(found)
    figure, words = _whiskers(
        differences(found),
        names,
        1,
        lambda row: row.difference,
        lambda row: stands(row, level),
        f"Sharpe ratio less that of {label_of(found.base.name)}, with interval",
    )
    return Chart(figure, f"Difference of each run's Sharpe ratio to {found.base.name}. {words}.")


def _whiskers(
    table: Sequence[Row],
    names: Sequence[str],
    first_colour: int,
    value: Callable[[Row], float | None],
    filled: Callable[[Row], bool],
    axis: str,
) -> tuple[go.Figure, str]:
    """Points with intervals: one line of the chart for each regime, in it one row for each run."""
    keys = list(dict.fromkeys((row.definition, row.regime) for row in table))
    places = {key: place for place, key in enumerate(keys)}
    rows = [row for row in table if row.low is not None and row.high is not None]
    figure = go.Figure()
    for number, name in enumerate(names):
        colour = series_colour(number + first_colour)
        mine = [row for row in rows if row.run == name]
        shown = False
        for solid in (True, False):
            part = [row for row in mine if filled(row) == solid]
            if not part:
                continue
            # Rows of one regime share four fifths of its line.
            offset = 0.8 * ((number + 0.5) / len(names) - 0.5)
            heights = [places[(row.definition, row.regime)] + offset for row in part]
            symbol = MARKS[number // SERIES_COLOURS % len(MARKS)] + ("" if solid else "-open")
            x, low, high = (
                np.array(ends, dtype=float)
                for ends in ([value(row) for row in part], [row.low for row in part], [row.high for row in part])
            )
            told = [
                f"{label_of(row.run)}, {label_of(regime_name(row.definition, row.regime))}<br>"
                f"{formats.ratio(value(row))}, {formats.interval((row.low, row.high))}, "
                f"{formats.count(row.n_bars)} bars"
                for row in part
            ]
            figure.add_trace(
                points_across(
                    x,
                    heights,
                    (low, high),
                    told,
                    name=label_of(name),
                    legendgroup=f"run-{number}",
                    showlegend=not shown,
                    symbol=symbol,
                    colour=colour,
                    size=9,
                    width=3,
                )
            )
            shown = True
    empty = [key for key in keys if not any((row.definition, row.regime) == key for row in rows)]
    if empty:
        figure.add_trace(words_at([float(places[key]) for key in empty], [_why(table, key) for key in empty]))
    for place in range(1, len(keys)):
        figure.add_hline(y=place - 0.5, line={"color": "var(--grid)", "width": 1})
    figure.add_vline(x=0, line={"color": "var(--axis)", "width": 1})
    figure.update_layout(
        height=90 + len(keys) * max(30, 14 + _ROOM * len(names)),
        hovermode="closest",
        xaxis={"title": {"text": axis}},
        yaxis=in_rows([label_of(regime_name(*key)) for key in keys]),
    )
    words = "; ".join(
        f"{row.run}, {regime_name(row.definition, row.regime)}: {formats.ratio(value(row))}, "
        f"{formats.interval((row.low, row.high))}"
        for row in rows
    )
    return figure, words


def _why(table: Sequence[Row], key: tuple[str, str]) -> str:
    """Say why a regime carries no interval: as its rows note, which agree or differ by run."""
    notes = dict.fromkeys(row.note for row in table if (row.definition, row.regime) == key and row.note)
    return "; ".join(notes) if notes else "never traded here"


def regime_name(definition: str, regime: str) -> str:
    """Name a cell in a chart or a list."""
    return regime if definition == EVERYTHING[0] else f"{name_of(definition)}: {regime}"
