"""The charts of the data check: hours of publication, articles per month, delays, and coverage by symbol and month."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from embargo.data_loaders.checks import Check
from embargo.research.pages import formats
from embargo.research.pages.charts import Chart, hatch, label_of, milliseconds

LONGEST_TICK = 14


def clock_time(minute: float) -> str:
    """Print a minute of the day as a time: 570 gives ``09:30``."""
    return f"{int(minute) // 60:02d}:{int(minute) % 60:02d}"


def _short(name: object) -> str:
    text = str(name)
    return text if len(text) <= LONGEST_TICK else f"{text[: LONGEST_TICK - 1]}…"


def time_of_day_chart(check: Check) -> Chart:
    """Draw articles per half hour of the local day, weekdays and weekends, with the session shaded."""
    rows = check.profile
    starts = [clock_time(minute) for minute in rows["minute"]]
    figure = go.Figure()
    opens, closes = check.figures.get("opens_minute"), check.figures.get("closes_minute")
    top = float((rows["weekdays"] + rows["weekends"]).max()) * 1.05 or 1.0
    if isinstance(opens, float) and isinstance(closes, float):
        left, right = opens / 30 - 0.5, closes / 30 - 0.5
        figure.add_trace(
            go.Scatter(
                x=[left, left, right, right],
                y=[0, top, top, 0],
                fill="toself",
                mode="lines",
                line={"width": 0, "color": "var(--shade-calm)"},
                fillcolor="var(--shade-calm)",
                hoverinfo="skip",
                name=f"session, {clock_time(opens)} to {clock_time(closes)}",
            )
        )
    for name, colour, pattern in (("weekdays", "var(--series-0)", ""), ("weekends", "var(--series-1)", "/")):
        figure.add_trace(
            go.Bar(
                x=np.arange(len(rows)),
                y=rows[name],
                name=name,
                marker=hatch(pattern, colour),
                customdata=starts,
                hovertemplate="%{customdata} %{fullData.name}: %{y:,.0f}<extra></extra>",
            )
        )
    zone = label_of(check.figures.get("zone", "UTC"))
    figure.update_layout(
        height=300,
        barmode="stack",
        bargap=0.12,
        hovermode="closest",
        xaxis={
            "tickvals": list(range(0, 48, 6)),
            "ticktext": starts[::6],
            "title": {"text": zone},
            "showgrid": False,
            "range": [-0.6, 47.6],
        },
        yaxis={"title": {"text": "articles"}, "range": [0, top], "nticks": 5},
    )
    busiest = int((rows["weekdays"] + rows["weekends"]).to_numpy().argmax())
    return Chart(figure, f"Articles by half hour of the day in {zone}, most at {starts[busiest]}. {check.summary}")


def months_chart(check: Check) -> Chart:
    """Draw articles per month, thin months in another colour."""
    rows = check.profile
    usual = float(check.figures["median_articles"])
    thin = rows["month"].isin(check.rows["month"]) if len(check.rows) else pd.Series(False, index=rows.index)
    figure = go.Figure()
    parts = (
        ("articles", ~thin, "var(--series-0)", ""),
        ("less than a quarter of usual", thin, "var(--series-1)", "/"),
    )
    for name, mask, colour, pattern in parts:
        if not mask.any():
            continue
        figure.add_trace(
            go.Bar(
                x=milliseconds(pd.DatetimeIndex(rows.loc[mask, "month"])),
                y=rows.loc[mask, "articles"],
                width=24 * 86_400_000.0,
                offset=2 * 86_400_000.0,
                name=name,
                marker=hatch(pattern, colour),
                customdata=[f"{month:%Y-%m}" for month in rows.loc[mask, "month"]],
                hovertemplate="%{customdata}: %{y:,.0f}<extra></extra>",
            )
        )
    begin = milliseconds(pd.DatetimeIndex(rows["month"]))
    figure.add_trace(
        go.Scatter(
            x=[begin[0], begin[-1] + 28 * 86_400_000.0],
            y=[usual, usual],
            mode="lines",
            line={"color": "var(--muted)", "width": 1.2, "dash": "dash"},
            name=f"usual: {formats.count(usual)}",
            hoverinfo="skip",
        )
    )
    figure.update_layout(
        height=260,
        barmode="overlay",
        hovermode="closest",
        xaxis={"type": "date", "showgrid": False},
        yaxis={"title": {"text": "articles"}, "rangemode": "tozero", "nticks": 5},
    )
    return Chart(figure, f"Articles per month over {len(rows)} months, usually {formats.count(usual)}. {check.summary}")


def lag_chart(check: Check) -> Chart:
    """Draw how long after publication articles were seen, on unequal bins from a second to a year."""
    rows = check.profile
    late = rows.index >= len(rows) - 4
    figure = go.Figure()
    for name, mask, colour, pattern in (
        ("in time", ~late, "var(--series-0)", ""),
        ("more than two days late", late, "var(--series-1)", "/"),
    ):
        figure.add_trace(
            go.Bar(
                x=rows.index[mask],
                y=rows.loc[mask, "articles"],
                name=name,
                marker=hatch(pattern, colour),
                customdata=[label_of(text) for text in rows.loc[mask, "lag"]],
                hovertemplate="%{customdata}: %{y:,.0f}<extra></extra>",
            )
        )
    figure.update_layout(
        height=260,
        bargap=0.15,
        hovermode="closest",
        xaxis={
            "tickvals": list(range(len(rows))),
            "ticktext": [label_of(text) for text in rows["lag"]],
            "showgrid": False,
            "title": {"text": "seen after publication"},
        },
        yaxis={"title": {"text": "articles"}, "rangemode": "tozero", "nticks": 5},
    )
    return Chart(figure, f"Delay from publication to first sighting. {check.summary}")


def coverage_chart(check: Check) -> Chart:
    """Draw articles by symbol and month as a heat strip, the symbols with most articles on top, on a log scale."""
    rows = check.profile
    months = pd.date_range(rows["month"].min(), rows["month"].max(), freq="MS").as_unit("us")
    order = rows.groupby("symbol")["articles"].sum().sort_values(ascending=False, kind="stable").index
    counts = np.zeros((len(order), len(months)))
    places = order.get_indexer(pd.Index(rows["symbol"])), months.get_indexer(pd.DatetimeIndex(rows["month"]))
    counts[places] = rows["articles"]
    largest = float(counts.max())
    ticks = [10.0**power for power in range(int(np.log10(max(largest, 1.0))) + 1)]
    figure = go.Figure(
        go.Heatmap(
            z=np.where(counts > 0, np.log10(np.maximum(counts, 1.0)), np.nan),
            x=milliseconds(months),
            y=np.arange(len(order)),
            customdata=[[f"{label_of(name)}, {month:%Y-%m}" for month in months] for name in order],
            text=[[f"{int(value):,}" for value in row] for row in counts],
            hovertemplate="%{customdata}: %{text}<extra></extra>",
            colorscale=[[0.0, "var(--heat-low)"], [1.0, "var(--accent)"]],
            zmin=0.0,
            zmax=max(np.log10(max(largest, 1.0)), 1e-9),
            xgap=1,
            ygap=1,
            hoverongaps=False,
            colorbar={
                "thickness": 10,
                "outlinewidth": 0,
                "tickvals": [float(np.log10(tick)) for tick in ticks],
                "ticktext": [f"{tick:,.0f}" for tick in ticks],
                "title": {"text": "articles", "side": "right"},
            },
        )
    )
    figure.update_layout(
        height=110 + 13 * len(order),
        hovermode="closest",
        xaxis={"type": "date", "showgrid": False},
        yaxis={
            "tickvals": list(range(len(order))),
            "ticktext": [label_of(_short(name)) for name in order],
            "tickfont": {"size": 10},
            "range": [len(order) - 0.5, -0.5],
            "showgrid": False,
        },
    )
    empty = int((counts == 0).sum())
    total = int(float(check.figures["symbols_with_articles"]))
    note = f"The {len(order)} symbols with most articles of {total:,}." if total > len(order) else ""
    return Chart(
        figure,
        f"Articles by symbol and month: {len(order)} symbols, {len(months)} months, {empty:,} cells without articles.",
        note,
    )


CHARTS: dict[str, tuple[str, str, Callable[[Check], Chart]]] = {
    "time of day": (
        "hours",
        "Articles by half hour of the local day. A peak at the wrong hour is a wrong clock, one at 00:00 bare dates.",
        time_of_day_chart,
    ),
    "articles per month": ("months", "A month far below the others was collected some other way.", months_chart),
    "back-fill": (
        "delays",
        "How long after publication the collector had the article. A hump on the right is history filled in later.",
        lag_chart,
    ),
    "symbol coverage": (
        "coverage",
        "Articles by symbol and month. Blank cells have none: columns of them are collection gaps.",
        coverage_chart,
    ),
}
