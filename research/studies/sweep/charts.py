"""Heat maps of a sweep: Sharpe ratio over two settings, one map for every combination of the others."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from embargo.research.pages import formats
from embargo.research.pages.charts import Chart, label_of
from embargo.research.studies.sweep.grid import Axis, Sweep

MOST_MAPS = 24
MOST_WRITTEN = 400
_WORDS = {"validation_sharpe": "validation", "test_sharpe": "test"}


def heat_map(result: Sweep, column: str) -> Chart:
    """Draw ``validation_sharpe`` or ``test_sharpe`` over the grid, the chosen cell framed, the best on test ringed.

    The two axes with most values span each map, settings before costs; the others make a map for each of their
    combinations. Both columns share one scale around 0, so that two charts can be compared by eye.
    """
    values = result.table[column].to_numpy(dtype=float).reshape([len(axis.values) for axis in result.axes])
    across, down, others = _roles(result.axes)
    facets = list(itertools.product(*(range(len(result.axes[at].values)) for at in others)))
    shown = facets[:MOST_MAPS]
    titles = [_title(result.axes, others, facet) for facet in shown] if others else None
    columns = min(2, len(shown))
    lines = int(np.ceil(len(shown) / columns))
    wide, high = len(result.axes[across].values), 1 if down is None else len(result.axes[down].values)
    height = 90 + lines * (70 + 34 * min(high, 14))
    figure = make_subplots(
        rows=lines,
        cols=columns,
        subplot_titles=titles,
        horizontal_spacing=0.14,
        vertical_spacing=min(0.9 / lines, 62 / height) if lines > 1 else 0.0,
    )
    top = _scale(result)
    places = {"chosen": _place(result, result.chosen), "best on test": _place(result, result.best)}
    for number, facet in enumerate(shown):
        at = {"row": number // columns + 1, "col": number % columns + 1}
        figure.add_trace(_map(result, column, _slice(values, across, down, others, facet), across, down, top), **at)
        for name, place in places.items():
            if tuple(place[axis] for axis in others) == facet:
                figure.add_trace(_mark(name, place[across], 0 if down is None else place[down]), **at)
    _dress(figure, result.axes, across, down, wide, high, height)
    left = len(facets) - len(shown)
    note = f"{left:,} more combinations of {', '.join(result.axes[axis].key for axis in others)} are in the table."
    return Chart(figure, _summary(result, column), note if left else "")


def _roles(axes: list[Axis]) -> tuple[int, int | None, tuple[int, ...]]:
    """Positions of the axis across, the axis down (None for one axis) and the rest."""
    assumed = [axis.key.startswith(("costs.", "execution.")) for axis in axes]
    order = sorted(range(len(axes)), key=lambda at: (assumed[at], -len(axes[at].values), at))
    across, down = order[0], order[1] if len(order) > 1 else None
    return across, down, tuple(sorted(order[2:]))


def _title(axes: list[Axis], others: tuple[int, ...], facet: tuple[int, ...]) -> str:
    pairs = zip(others, facet, strict=True)
    return label_of(", ".join(f"{axes[at].key} = {formats.text(axes[at].values[value])}" for at, value in pairs))


def _place(result: Sweep, position: int) -> tuple[int, ...]:
    shape = [len(axis.values) for axis in result.axes]
    return tuple(int(at) for at in np.unravel_index(position, shape))


def _slice(
    values: np.ndarray, across: int, down: int | None, others: tuple[int, ...], facet: tuple[int, ...]
) -> np.ndarray:
    ordered = np.moveaxis(values, others, range(len(others)))[facet] if others else values
    if down is None:
        return np.asarray(ordered[None, :])
    return np.asarray(ordered if down < across else ordered.T)


def _scale(result: Sweep) -> float:
    both = result.table[["validation_sharpe", "test_sharpe"]].to_numpy(dtype=float)
    known = np.abs(both[np.isfinite(both)])
    return float(known.max()) if known.size and known.max() > 0.0 else 1.0


def _map(result: Sweep, column: str, block: np.ndarray, across: int, down: int | None, top: float) -> go.Heatmap:
    first, second = result.axes[across], None if down is None else result.axes[down]
    texts = [[formats.ratio(value) if np.isfinite(value) else "no trade" for value in row] for row in block]
    names = [
        [
            label_of(
                f"{first.key} = {formats.text(x)}"
                + ("" if second is None else f", {second.key} = {formats.text(second.values[row])}")
            )
            for x in first.values
        ]
        for row in range(len(block))
    ]
    return go.Heatmap(
        z=block,
        x=np.arange(block.shape[1]),
        y=np.arange(block.shape[0]),
        text=texts,
        texttemplate="%{text}" if block.size <= MOST_WRITTEN and block.shape[1] <= 16 else None,
        textfont={"size": 11, "color": "var(--ink)"},
        customdata=names,
        hovertemplate="%{customdata}<br>" + _WORDS[column] + " Sharpe %{text}<extra></extra>",
        colorscale=[[0.0, "var(--sweep-low)"], [0.5, "var(--sweep-middle)"], [1.0, "var(--sweep-high)"]],
        zmin=-top,
        zmax=top,
        xgap=1,
        ygap=1,
        hoverongaps=False,
        coloraxis=None,
        showscale=False,
    )


def _mark(name: str, x: int, y: int) -> go.Scatter:
    symbol, size = ("square-open", 32) if name == "chosen" else ("circle-open", 33)
    return go.Scatter(
        x=[x],
        y=[y],
        mode="markers",
        name="chosen by validation" if name == "chosen" else "best on test, known only in hindsight",
        marker={
            "symbol": symbol,
            "size": size,
            "color": "var(--ink)",
            "line": {"width": 2.5 if name == "chosen" else 1.2},
        },
        hoverinfo="skip",
    )


def _dress(
    figure: go.Figure, axes: list[Axis], across: int, down: int | None, wide: int, high: int, height: int
) -> None:
    figure.update_layout(height=height, hovermode="closest", margin={"l": 90, "t": 34, "b": 52})
    figure.update_annotations(font={"size": 11})
    figure.update_xaxes(_ticks(axes[across], wide))
    if down is None:
        figure.update_yaxes(visible=False, range=[-0.5, 0.5])
    else:
        figure.update_yaxes(_ticks(axes[down], high))


def _ticks(axis: Axis, number: int) -> dict[str, Any]:
    return {
        "tickvals": list(range(number)),
        "ticktext": [label_of(formats.text(value)) for value in axis.values],
        "title": {"text": label_of(axis.key)},
        "range": [-0.5, number - 0.5],
        "showgrid": False,
        "zeroline": False,
    }


def _summary(result: Sweep, column: str) -> str:
    values = result.table[column]
    known = values.dropna()
    words = _WORDS[column]
    if known.empty:
        return f"Heat map of the {words} Sharpe ratio of {len(values):,} cells; none traded."
    idle = len(values) - len(known)
    chosen = values.iloc[result.chosen]
    return (
        f"Heat map of the {words} Sharpe ratio of {len(values):,} cells, from {formats.ratio(known.min())} to "
        f"{formats.ratio(known.max())}{f'; {idle:,} never traded' if idle else ''}; the chosen cell "
        f"{f'has {formats.ratio(chosen)}' if np.isfinite(chosen) else 'never traded'}."
    )
