"""The charts of the report of a run: equity, regimes, reliability, permutations and folds.

Each function takes the plain frames of a `ReportData` and returns a `Chart`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from embargo.research.pages import formats
from embargo.research.pages.charts import (
    AXIS,
    DASHES,
    Chart,
    hatch,
    in_rows,
    label_of,
    milliseconds,
    points_across,
    series_colour,
    words_at,
)
from embargo.research.pages.curves import drawdowns, growth_figure
from embargo.research.pages.phrases import phrase
from embargo.research.pages.tables import rows_of


class RegimeRow(NamedTuple):
    """A row of ``ReportData.regime_table``, as far as it is drawn."""

    definition: str
    regime: str
    sharpe: float | None
    low: float | None
    high: float | None


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
    figure, note = growth_figure(equity, regimes)
    falls = drawdowns(equity)
    ends = "; ".join(
        f"{column} ends at {formats.ratio(_last(equity[column]))} with a worst drawdown of "
        f"{formats.percent(falls[column].min())}"
        for column in equity.columns
    )
    start, stop = formats.instant(equity.index[0]), formats.instant(equity.index[-1])
    return Chart(figure, f"Line chart of equity and drawdown from {start} to {stop}. {ends}.", note)


def _last(series: pd.Series) -> float | None:
    known = series.dropna()
    return None if known.empty else float(known.iloc[-1])


def regime_chart(table: pd.DataFrame, significance: float) -> Chart:
    """Draw every regime's Sharpe ratio with its interval; filled marks stay significant after Holm's correction."""
    rows = table.reset_index(drop=True)
    shown = rows_of(rows, RegimeRow)
    known = rows[rows["sharpe"].notna()]
    adjusted = rows["p_value_holm"] if "p_value_holm" in rows.columns else pd.Series(np.nan, index=rows.index)
    tested = rows["low"].notna().loc[known.index]
    shown_positive = adjusted.loc[known.index].astype(float) < significance
    figure = go.Figure()
    for chosen, name, symbol in (
        (tested & shown_positive, phrase("above zero", level=f"{significance:g}"), "circle"),
        (tested & ~shown_positive, phrase("above zero not shown"), "circle-open"),
        (~tested, "looks back: not tested", "diamond-open"),
    ):
        part = known[chosen]
        if part.empty:
            continue
        sharpe, low, high = (part[name].to_numpy(float) for name in ("sharpe", "low", "high"))
        told = [
            f"{label_of(row.definition)}: {label_of(row.regime)}<br>Sharpe {formats.ratio(row.sharpe)}, {_around(row)}"
            for row in rows_of(part, RegimeRow)
        ]
        places, colour = part.index.to_numpy(float), series_colour(0)
        figure.add_trace(points_across(sharpe, places, (low, high), told, name=name, symbol=symbol, colour=colour))
    empty = rows[rows["sharpe"].isna()]
    if not empty.empty:
        figure.add_trace(words_at(empty.index.to_numpy(float), ["not estimated"] * len(empty)))
    figure.add_vline(x=0, line={"color": "var(--axis)", "width": 1})
    figure.update_layout(
        height=90 + 30 * len(rows),
        hovermode="closest",
        xaxis={"title": {"text": "annual Sharpe ratio, with interval"}},
        yaxis=in_rows([f"{label_of(row.definition)}: {label_of(row.regime)}" for row in shown]),
    )
    words = "; ".join(f"{row.definition} {row.regime}: {formats.ratio(row.sharpe)}, {_around(row)}" for row in shown)
    return Chart(figure, f"Sharpe ratio by regime. {words}.")


def _around(row: RegimeRow) -> str:
    """Print the interval of a regime, or that there is none."""
    if formats.is_missing(row.low):
        return "no interval"
    return f"interval {formats.interval((row.low, row.high))}"


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
        colour = series_colour(position)
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
                marker=hatch("/" if stage == "before" else "", colour),
                hovertemplate="%{y:,.0f}",
            )
        )
        weight = part["count"] / part["count"].sum()
        gaps.append(f"{stage} {formats.percent(float((weight * (part['confidence'] - part['accuracy']).abs()).sum()))}")
    figure.update_layout(
        height=400,
        hoversubplots="axis",
        barmode="overlay",
        xaxis={"range": [0, 1], "title": {"text": "stated confidence"}, "tickformat": ".0%", "anchor": "y2"},
        yaxis={"domain": [0.32, 1], "range": [0, 1.02], "title": {"text": "share correct"}, "tickformat": ".0%"},
        yaxis2={
            **AXIS,
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
        height=320,
        hovermode="closest",
        bargap=0,
        xaxis={"title": {"text": label_of(statistic)}, "showgrid": False},
        yaxis={"title": {"text": "permutations"}, "range": [0, top], "nticks": 5},
    )
    return Chart(
        figure,
        f"Histogram of the {statistic} over {int(counts.sum()):,} permutations, from {formats.ratio(edges[0])} to "
        f"{formats.ratio(edges[-1])}. Observed {formats.ratio(observed)}, "
        f"p {formats.probability(permutation['p_value'])}, one-sided.",
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
                marker=hatch(pattern, colour),
                customdata=[
                    f"fold {label_of(fold)}, {name}: {formats.instant(left)} to {formats.instant(right)}"
                    for fold, left, right in rows[["fold", start, stop]].itertuples(index=False)
                ],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
        named.add(name)
    figure.update_layout(
        height=80 + 30 * len(rows),
        hovermode="closest",
        barmode="overlay",
        xaxis={"type": "date"},
        yaxis=in_rows([f"fold {label_of(fold)}" for fold in rows["fold"]]),
    )
    words = "; ".join(
        f"fold {row.fold} trains from {formats.instant(row.train_start)} and tests "
        f"{formats.instant(row.test_start)} to {formats.instant(row.test_end)}"
        for row in rows.itertuples()
    )
    return Chart(figure, f"Timeline of {len(rows)} folds: {words}.")
