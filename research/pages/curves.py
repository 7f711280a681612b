"""Growth of money over its drawdown, with the regimes of the market shaded behind: the chart a run is judged by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from embargo.research.pages.charts import (
    AXIS,
    SHADE_COLOURS,
    keep_extremes,
    label_of,
    milliseconds,
    series_colour,
    series_dash,
)

_SHADES = {
    "var(--shade-up)": {"bull", "bullish", "up", "uptrend", "rising", "risk-on"},
    "var(--shade-down)": {"bear", "bearish", "down", "downtrend", "falling", "crisis", "high", "stressed", "turbulent"},
    "var(--shade-calm)": {"calm", "low", "quiet"},
}
_PATTERNS = {"var(--shade-down)": "/", "var(--shade-calm)": ""}


def drawdowns(equity: pd.DataFrame) -> pd.DataFrame:
    """Fall from the highest equity so far, as fractions at or below zero; the shape is that of `equity`."""
    return equity / equity.cummax() - 1.0


def growth_figure(growth: pd.DataFrame, regimes: pd.DataFrame | None) -> tuple[go.Figure, str]:
    """Draw growth of one unit over its drawdown, with the regimes shaded behind.

    Parameters
    ----------
    growth : DataFrame of float, shape (bars, series)
        Starts at 1.0; UTC index. The first series is drawn thicker, and its drawdown is filled.
    regimes : DataFrame or None
        Text labels on the same index.

    Returns
    -------
    figure : plotly Figure
    note : str
        How many bars are drawn, where not all are.
    """
    falls = drawdowns(growth)
    kept = keep_extremes(np.hstack([growth.to_numpy(), falls.iloc[:, :1].to_numpy()]))
    when = milliseconds(pd.DatetimeIndex(growth.index))
    figure = go.Figure()
    for axis, panel, kind in (("y2", growth, "growth"), ("y3", falls, "drawdown")):
        for position, column in enumerate(growth.columns):
            first = position == 0
            figure.add_trace(
                go.Scatter(
                    x=when[kept],
                    y=panel[column].to_numpy()[kept],
                    yaxis=axis,
                    mode="lines",
                    name=label_of(column) if kind == "growth" else f"{label_of(column)} drawdown",
                    legendgroup=f"series-{position}",
                    showlegend=kind == "growth",
                    line={
                        "color": series_colour(position),
                        "width": 2 if first else 1.3,
                        "dash": series_dash(position),
                    },
                    fill="tozeroy" if kind == "drawdown" and first else None,
                    fillcolor="var(--fall)" if kind == "drawdown" and first else None,
                    hovertemplate="%{y:.3f}" if kind == "growth" else "%{y:.1%}",
                )
            )
    if regimes is not None:
        figure.add_traces(_regime_traces(regimes, when))
    figure.update_layout(
        height=520,
        hoversubplots="axis",
        xaxis={"type": "date", "anchor": "y3", "showgrid": False, "hoverformat": "%Y-%m-%d %H:%M UTC"},
        yaxis={"domain": [0.32, 1.0], "range": [0, 1], "visible": False, "fixedrange": True, "anchor": "x"},
        yaxis2={
            **AXIS,
            "overlaying": "y",
            "side": "left",
            "anchor": "x",
            "title": {"text": "growth of 1"},
            "tickformat": ".2~f",
            "tickmode": "auto",
            "nticks": 7,
        },
        yaxis3={
            **AXIS,
            "domain": [0.0, 0.27],
            "anchor": "x",
            "title": {"text": "drawdown"},
            "tickformat": ".0%",
            "rangemode": "tozero",
            "nticks": 4,
        },
    )
    note = f"Drawn with {len(kept):,} of {len(growth):,} bars: the highest and the lowest of every stretch is kept."
    return figure, "" if len(kept) == len(growth) else note


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
                    meta={"choice": str(definition)},
                )
            )
    return traces
