"""The charts of the report, as plotly figures whose colours are names of the page's own style sheet.

Each function takes the plain frames of a `ReportData` and returns a `Chart`: the figure and the sentence that a screen
reader says in its place. Colours are written as ``var(--name)`` and looked up by the page, so that one figure serves
the light, the dark and the printed page. Text that came from outside is escaped, because plotly reads labels as HTML.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from embargo.research.pages import formats

MAX_POINTS = 4_000
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SERIES_COLOURS = 6
SHADE_COLOURS = 4

_SHADES = {
    "var(--shade-up)": {"bull", "bullish", "up", "uptrend", "rising", "risk-on"},
    "var(--shade-down)": {"bear", "bearish", "down", "downtrend", "falling", "crisis", "high", "stressed", "turbulent"},
    "var(--shade-calm)": {"calm", "low", "quiet"},
}
_PATTERNS = {"var(--shade-down)": "/", "var(--shade-calm)": ""}
_AXIS = {
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

TEMPLATE = go.layout.Template(
    layout={
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {
            "family": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
            "size": 12,
            "color": "var(--muted)",
        },
        "margin": {"l": 48, "r": 20, "t": 12, "b": 36},
        "hovermode": "x unified",
        "hoverlabel": {
            "bgcolor": "var(--panel)",
            "bordercolor": "var(--line)",
            "font": {"color": "var(--ink)", "size": 12},
        },
        "showlegend": False,
        "dragmode": "zoom",
        "xaxis": _AXIS,
        "yaxis": _AXIS,
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Chart:
    """A figure, the sentence that stands for it, and what must be said about how it was drawn.

    Parameters
    ----------
    figure : plotly Figure
        With ``var(--name)`` colours.
    summary : str
        What the chart shows, in words and numbers.
    note : str
        What the drawing leaves out, or ``""``.
    """

    figure: go.Figure
    summary: str
    note: str = ""


def label_of(value: Any) -> str:
    """Escape outside text for plotly, which would read ``<a href>`` and ``<b>`` in it as markup."""
    return html.escape(str(value), quote=False)


def milliseconds(instants: pd.DatetimeIndex) -> npt.NDArray[np.float64]:
    """Milliseconds since 1970 UTC, the number plotly takes for a date."""
    return np.asarray(instants.as_unit("us").asi8 / 1_000.0, dtype=np.float64)


def pattern_of(shape: str, colour: str) -> dict[str, Any]:
    """Hatch a bar, so that bars differ on grey paper too."""
    return {"shape": shape, "fgcolor": "var(--panel)", "bgcolor": colour, "size": 6, "solidity": 0.25}


def _colour(position: int) -> str:
    return f"var(--series-{position % SERIES_COLOURS})"


def _dash(position: int) -> str:
    """Dash of a line, another one where the colours begin anew."""
    return DASHES[(position + position // SERIES_COLOURS) % len(DASHES)]


def drawdowns(equity: pd.DataFrame) -> pd.DataFrame:
    """Fall from the highest equity so far, as fractions at or below zero; the shape is that of `equity`."""
    return equity / equity.cummax() - 1.0


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


def _shade(label: str, position: int) -> str:
    for colour, names in _SHADES.items():
        if label.strip().lower() in names:
            return colour
    return f"var(--shade-{position % SHADE_COLOURS})"


def _runs(labels: pd.Series) -> pd.DataFrame:
    """Stretches of one label: columns `label`, `start`, `stop` (row numbers, half-open)."""
    names = labels.astype("object").where(labels.notna(), None)
    changes = np.flatnonzero(np.r_[True, (names != names.shift()).to_numpy()[1:]])
    stops = np.r_[changes[1:], len(names)]
    frame = pd.DataFrame({"label": names.to_numpy()[changes], "start": changes, "stop": stops})
    return frame[frame["label"].notna()]


def _regime_traces(regimes: pd.DataFrame, when: npt.NDArray[np.float64]) -> list[go.Scatter]:
    """One filled trace per definition and label; only the first definition is visible."""
    traces = []
    for number, definition in enumerate(regimes.columns):
        runs = _runs(regimes[definition])
        for position, label in enumerate(sorted(runs["label"].unique(), key=str)):
            xs: list[float | None] = []
            ys: list[float | None] = []
            for start, stop in runs.loc[runs["label"] == label, ["start", "stop"]].itertuples(index=False):
                left, right = when[start], when[min(stop, len(when) - 1)]
                xs += [left, left, right, right, None]
                ys += [0.0, 1.0, 1.0, 0.0, None]
            colour = _shade(str(label), position)
            traces.append(
                go.Scatter(
                    x=xs,
                    y=ys,
                    fill="toself",
                    mode="lines",
                    line={"width": 0, "color": colour},
                    fillcolor=colour,
                    fillpattern={
                        "shape": "/",
                        "size": 7,
                        "solidity": 0.12,
                        "fgcolor": "var(--hatch)",
                        "bgcolor": colour,
                    }
                    if _PATTERNS.get(colour)
                    else None,
                    hoverinfo="skip",
                    name=f"{label_of(definition)}: {label_of(label)}",
                    visible=number == 0,
                    meta={"regime": str(definition)},
                )
            )
    return traces


def equity_chart(equity: pd.DataFrame, regimes: pd.DataFrame | None) -> Chart:
    """Draw growth of one unit over its drawdown, with the regimes shaded behind.

    Parameters
    ----------
    equity : DataFrame, shape (bars, series)
        Starts at 1.0; UTC index; a column ``"strategy"``.
    regimes : DataFrame or None
        Text labels on the same index.
    """
    equity = equity[["strategy", *[column for column in equity.columns if column != "strategy"]]].astype(float)
    falls = drawdowns(equity)
    kept = keep_extremes(np.hstack([equity.to_numpy(), falls[["strategy"]].to_numpy()]))
    when = milliseconds(pd.DatetimeIndex(equity.index))
    figure = go.Figure()
    for axis, panel, kind in (("y2", equity, "equity"), ("y3", falls, "drawdown")):
        for position, column in enumerate(equity.columns):
            first = position == 0
            figure.add_trace(
                go.Scatter(
                    x=when[kept],
                    y=panel[column].to_numpy()[kept],
                    yaxis=axis,
                    mode="lines",
                    name=label_of(column) if kind == "equity" else f"{label_of(column)} drawdown",
                    legendgroup=f"series-{position}",
                    showlegend=kind == "equity",
                    line={
                        "color": _colour(position),
                        "width": 2 if first else 1.3,
                        "dash": _dash(position),
                    },
                    fill="tozeroy" if kind == "drawdown" and first else None,
                    fillcolor="var(--fall)" if kind == "drawdown" and first else None,
                    hovertemplate="%{y:.3f}" if kind == "equity" else "%{y:.1%}",
                )
            )
    if regimes is not None:
        figure.add_traces(_regime_traces(regimes, when))
    figure.update_layout(
        template=TEMPLATE,
        height=520,
        hoversubplots="axis",
        xaxis={"type": "date", "anchor": "y3", "showgrid": False, "hoverformat": "%Y-%m-%d %H:%M UTC"},
        yaxis={"domain": [0.32, 1.0], "range": [0, 1], "visible": False, "fixedrange": True, "anchor": "x"},
        yaxis2={
            **_AXIS,
            "overlaying": "y",
            "side": "left",
            "anchor": "x",
            "title": {"text": "growth of 1"},
            "tickformat": ".2~f",
            "tickmode": "auto",
            "nticks": 7,
        },
        yaxis3={
            **_AXIS,
            "domain": [0.0, 0.27],
            "anchor": "x",
            "title": {"text": "drawdown"},
            "tickformat": ".0%",
            "rangemode": "tozero",
            "nticks": 4,
        },
    )
    ends = "; ".join(
        f"{column} ends at {formats.ratio(_last(equity[column]))} with a worst drawdown of "
        f"{formats.percent(falls[column].min())}"
        for column in equity.columns
    )
    note = (
        ""
        if len(kept) == len(equity)
        else (f"Drawn with {len(kept):,} of {len(equity):,} bars: the highest and the lowest of every stretch is kept.")
    )
    start, stop = formats.instant(equity.index[0]), formats.instant(equity.index[-1])
    return Chart(figure, f"Line chart of equity and drawdown from {start} to {stop}. {ends}.", note)


def _last(series: pd.Series) -> float | None:
    known = series.dropna()
    return None if known.empty else float(known.iloc[-1])


def regime_chart(table: pd.DataFrame, significance: float) -> Chart:
    """Draw every regime's Sharpe ratio with its interval; filled marks stay significant after Holm's correction."""
    rows = table.reset_index(drop=True)
    known = rows[rows["sharpe"].notna()]
    adjusted = rows["p_value_holm"] if "p_value_holm" in rows.columns else pd.Series(np.nan, index=rows.index)
    figure = go.Figure()
    for significant, name, symbol in (
        (True, f"above zero (Holm-adjusted p below {significance:g}, one-sided)", "circle"),
        (False, "not shown to be above zero", "circle-open"),
    ):
        part = known[(adjusted.loc[known.index].astype(float) < significance) == significant]
        if part.empty:
            continue
        sharpe = part["sharpe"].to_numpy(float)
        figure.add_trace(
            go.Scatter(
                x=sharpe,
                y=part.index.to_numpy(float),
                mode="markers",
                name=name,
                marker={
                    "symbol": symbol,
                    "size": 10,
                    "color": "var(--series-0)",
                    "line": {"width": 2, "color": "var(--series-0)"},
                },
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": part["high"].to_numpy(float) - sharpe,
                    "arrayminus": sharpe - part["low"].to_numpy(float),
                    "color": "var(--series-0)",
                    "thickness": 1.4,
                    "width": 4,
                },
                customdata=[
                    f"{label_of(row.definition)}: {label_of(row.regime)}<br>Sharpe {formats.ratio(row.sharpe)}, "
                    f"{formats.ratio(row.low)} to {formats.ratio(row.high)}"
                    for row in part.itertuples()
                ],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
    empty = rows[rows["sharpe"].isna()]
    if not empty.empty:
        figure.add_trace(
            go.Scatter(
                x=np.zeros(len(empty)),
                y=empty.index.to_numpy(float),
                mode="text",
                text=["\u2002not estimated"] * len(empty),
                textposition="middle right",
                showlegend=False,
                hoverinfo="skip",
            )
        )
    figure.add_vline(x=0, line={"color": "var(--axis)", "width": 1})
    figure.update_layout(
        template=TEMPLATE,
        height=90 + 30 * len(rows),
        hovermode="closest",
        xaxis={"title": {"text": "annual Sharpe ratio, with interval"}},
        yaxis={
            "tickvals": list(range(len(rows))),
            "ticktext": [f"{label_of(row.definition)}: {label_of(row.regime)}" for row in rows.itertuples()],
            "range": [len(rows) - 0.5, -0.5],
            "showgrid": False,
            "fixedrange": True,
        },
    )
    words = "; ".join(
        f"{row.definition} {row.regime}: {formats.ratio(row.sharpe)}, interval {formats.interval((row.low, row.high))}"
        for row in rows.itertuples()
    )
    return Chart(figure, f"Sharpe ratio by regime. {words}.")


def reliability_chart(reliability: pd.DataFrame) -> Chart:
    """Draw accuracy against confidence before and after calibration, over the number of articles in each bin."""
    figure = go.Figure(
        go.Scatter(
            x=[0, 1],
            y=[0, 1],
            mode="lines",
            name="perfectly calibrated",
            hoverinfo="skip",
            line={"color": "var(--axis)", "width": 1, "dash": "dot"},
        )
    )
    gaps = []
    for stage, position, symbol in (("before", 1, "circle-open"), ("after", 0, "circle")):
        part = reliability[(reliability["stage"] == stage) & (reliability["count"] > 0)]
        if part.empty:
            continue
        colour = _colour(position)
        name = f"{stage} calibration"
        figure.add_trace(
            go.Scatter(
                x=part["confidence"].to_numpy(float),
                y=part["accuracy"].to_numpy(float),
                mode="lines+markers",
                name=name,
                legendgroup=stage,
                line={"color": colour, "width": 1.6, "dash": DASHES[position]},
                marker={"symbol": symbol, "size": 8, "color": colour},
                # Intervals of one stage alone: two would lie on each other.
                error_y={
                    "type": "data",
                    "array": (part["accuracy_high"] - part["accuracy"]).to_numpy(float),
                    "arrayminus": (part["accuracy"] - part["accuracy_low"]).to_numpy(float),
                    "visible": stage == "after",
                    "color": colour,
                    "thickness": 1,
                    "width": 3,
                },
                customdata=part[["accuracy_low", "accuracy_high"]].to_numpy(float),
                hovertemplate="%{y:.1%} (%{customdata[0]:.1%} to %{customdata[1]:.1%})",
            )
        )
        figure.add_trace(
            go.Bar(
                x=((part["lower"] + part["upper"]) / 2).to_numpy(float),
                y=part["count"].to_numpy(float),
                width=(part["upper"] - part["lower"]).to_numpy(float) * 0.42,
                offset=(part["upper"] - part["lower"]).to_numpy(float) * (-0.44 if stage == "before" else 0.02),
                yaxis="y2",
                name=f"articles {stage}",
                legendgroup=stage,
                showlegend=False,
                marker={
                    "color": colour,
                    "line": {"width": 0},
                    "pattern": pattern_of("/" if stage == "before" else "", colour),
                },
                hovertemplate="%{y:,.0f}",
            )
        )
        weight = part["count"] / part["count"].sum()
        gaps.append(f"{stage} {formats.percent(float((weight * (part['confidence'] - part['accuracy']).abs()).sum()))}")
    figure.update_layout(
        template=TEMPLATE,
        height=400,
        hoversubplots="axis",
        barmode="overlay",
        xaxis={"range": [0, 1], "title": {"text": "stated confidence"}, "tickformat": ".0%", "anchor": "y2"},
        yaxis={"domain": [0.32, 1], "range": [0, 1.02], "title": {"text": "share correct"}, "tickformat": ".0%"},
        yaxis2={
            **_AXIS,
            "domain": [0, 0.24],
            "anchor": "x",
            "title": {"text": "articles"},
            "nticks": 3,
            "tickmode": "auto",
        },
    )
    return Chart(
        figure, f"Reliability curve. Mean gap between confidence and accuracy: {', '.join(gaps) or 'no bins'}."
    )


def permutation_chart(permutation: Mapping[str, Any]) -> Chart:
    """Draw the histogram of the statistic under the null, with what was observed and the given quantiles."""
    edges = np.asarray(permutation["edges"], dtype=float)
    counts = np.asarray(permutation["counts"], dtype=float)
    observed = float(permutation["observed"])
    statistic = str(permutation.get("statistic", "Sharpe ratio"))
    top = float(counts.max(initial=1.0)) * 1.14
    figure = go.Figure(
        go.Bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts,
            width=np.diff(edges),
            name="permuted news",
            marker={"color": "var(--null)", "line": {"color": "var(--panel)", "width": 1}},
            customdata=[f"{formats.ratio(low)} to {formats.ratio(high)}" for low, high in pairwise(edges)],
            hovertemplate="%{customdata}: %{y:,.0f}<extra></extra>",
        )
    )
    for share, value in sorted((permutation.get("quantiles") or {}).items(), key=lambda item: float(item[0])):
        figure.add_trace(
            go.Scatter(
                x=[value, value],
                y=[0, top * 0.86],
                mode="lines",
                name=f"{100 * float(share):.3g}% of permutations lie below {formats.ratio(value)}",
                line={"color": "var(--muted)", "width": 1, "dash": "dot"},
                hovertemplate="%{fullData.name}<extra></extra>",
            )
        )
    figure.add_trace(
        go.Scatter(
            x=[observed, observed],
            y=[0, top],
            mode="lines",
            name=f"observed {formats.ratio(observed)}",
            line={"color": "var(--series-0)", "width": 2.4},
            hovertemplate="%{fullData.name}<extra></extra>",
        )
    )
    figure.update_layout(
        template=TEMPLATE,
        height=320,
        hovermode="closest",
        bargap=0,
        xaxis={"title": {"text": label_of(statistic)}, "showgrid": False},
        yaxis={"title": {"text": "permutations"}, "range": [0, top], "nticks": 5},
    )
    return Chart(
        figure,
        f"Histogram of the {statistic} over {int(counts.sum()):,} permutations, from {formats.ratio(edges[0])} to "
        f"{formats.ratio(edges[-1])}. Observed {formats.ratio(observed)}, p "
        f"{formats.probability(permutation['p_value'])}.",
    )


def folds_chart(folds: pd.DataFrame) -> Chart:
    """Draw the walk-forward as bars in time: training, validation and test of every fold, and the gaps between."""
    rows = folds.reset_index(drop=True)
    parts = (
        ("training", "train_start", "train_end", "var(--fold-train)", ""),
        ("purge and embargo gap", "train_end", "validation_start", "var(--fold-gap)", "x"),
        ("validation", "validation_start", "validation_end", "var(--fold-validation)", "/"),
        ("purge and embargo gap", "validation_end", "test_start", "var(--fold-gap)", "x"),
        ("test", "test_start", "test_end", "var(--fold-test)", ""),
    )
    figure = go.Figure()
    named: set[str] = set()
    for name, start, stop, colour, pattern in parts:
        begin = milliseconds(pd.DatetimeIndex(rows[start]))
        length = milliseconds(pd.DatetimeIndex(rows[stop])) - begin
        if not (length > 0).any():
            continue
        figure.add_trace(
            go.Bar(
                orientation="h",
                base=begin,
                x=length,
                y=rows.index.to_numpy(float),
                width=0.62,
                name=name,
                legendgroup=name,
                showlegend=name not in named,
                marker={
                    "color": colour,
                    "line": {"width": 0},
                    "pattern": pattern_of(pattern, colour),
                },
                customdata=[
                    f"fold {label_of(fold)}, {name}: {formats.instant(left)} to {formats.instant(right)}"
                    for fold, left, right in rows[["fold", start, stop]].itertuples(index=False)
                ],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
        named.add(name)
    figure.update_layout(
        template=TEMPLATE,
        height=80 + 30 * len(rows),
        hovermode="closest",
        barmode="overlay",
        xaxis={"type": "date"},
        yaxis={
            "tickvals": list(range(len(rows))),
            "ticktext": [f"fold {label_of(fold)}" for fold in rows["fold"]],
            "range": [len(rows) - 0.5, -0.5],
            "showgrid": False,
            "fixedrange": True,
        },
    )
    words = "; ".join(
        f"fold {row.fold} trains from {formats.instant(row.train_start)} and tests "
        f"{formats.instant(row.test_start)} to {formats.instant(row.test_end)}"
        for row in rows.itertuples()
    )
    return Chart(figure, f"Timeline of {len(rows)} folds: {words}.")
