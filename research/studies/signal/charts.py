"""The charts of signal research: coefficients by horizon, by lag and over time, quantiles, event study and decay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from embargo.research.pages import formats
from embargo.research.pages.charts import DASHES, Chart, hatch, label_of, milliseconds, whiskers
from embargo.research.studies.signal.tables import lived
from embargo.signals.diagnostics.diagnosis import Diagnosis
from embargo.signals.diagnostics.events import ALL_HOURS

FEWEST_EVENTS = 40
_COLOURS = {"bullish": "var(--series-0)", "bearish": "var(--series-1)"}
_BANDS = {"bullish": "var(--fall)", "bearish": "var(--shade-1)"}


def _errors(middle: pd.Series, low: pd.Series, high: pd.Series) -> dict[str, Any]:
    """Whiskers of no length where an interval is not known."""
    ends = whiskers(middle, low, high, colour="var(--muted)", thickness=1.3)
    return ends | {side: ends[side].fillna(0.0) for side in ("array", "arrayminus")}


def _laid(figure: go.Figure, height: int, across: dict[str, Any], up: str, *, ticks: int = 6, **more: Any) -> None:
    """Lay a chart of one panel out: its height, its horizontal axis, and what is measured upwards from zero."""
    figure.update_layout(
        height=height,
        **more,
        hovermode="closest",
        xaxis={**across, "showgrid": False},
        yaxis={"title": {"text": up}, "nticks": ticks},
    )
    figure.update_yaxes(zeroline=True, zerolinewidth=1)


def horizon_chart(found: Diagnosis) -> Chart:
    """Draw the coefficient of each horizon with its interval."""
    rows = found.horizons
    figure = go.Figure(
        go.Scatter(
            x=[str(horizon) for horizon in rows["horizon"]],
            y=rows["ic"],
            mode="markers",
            marker={"size": 9, "color": "var(--series-0)", "symbol": "circle"},
            error_y=_errors(rows["ic"], rows["low"], rows["high"]),
            name="IC with 95% interval",
            hovertemplate="%{x} bars: %{y:.3f}<extra></extra>",
        )
    )
    _laid(figure, 300, {"type": "category", "title": {"text": "bars ahead"}}, "information coefficient")
    told = "; ".join(f"{row['horizon']} bars {formats.coefficient(row['ic'])}" for row in rows.to_dict("records"))
    return Chart(figure, f"Information coefficient by horizon: {told}.")


def lag_chart(found: Diagnosis) -> Chart:
    """Draw the coefficient of one bar's return by its distance from the signal, bars before apart from those after."""
    rows = found.lags
    figure = go.Figure()
    for name, mask, colour, pattern in (
        ("over before the signal was made", rows["lag"] < 0, "var(--series-4)", "/"),
        ("from the first bar that may be held", rows["lag"] >= 0, "var(--series-0)", ""),
    ):
        part = rows.loc[mask]
        figure.add_trace(
            go.Bar(
                x=part["lag"],
                y=part["ic"],
                name=name,
                marker=hatch(pattern, colour),
                error_y=_errors(part["ic"], part["low"], part["high"]),
                hovertemplate="bar %{x}: %{y:.3f}<extra></extra>",
            )
        )
    across = {"title": {"text": "bar of the return, 0 is the row's own"}, "showgrid": False, "dtick": 1}
    _laid(figure, 300, across, "information coefficient", bargap=0.25)
    values = rows.set_index("lag")["ic"]
    before, first, later = (formats.coefficient(values[lag]) for lag in (-1, 0, 1))
    return Chart(
        figure,
        f"Coefficient of one bar's return: {before} the bar before, {first} on the first bar that may be held, {later} "
        "one later.",
    )


def cumulative_chart(found: Diagnosis) -> Chart:
    """Draw the running sum of the first horizon's coefficients: a steady slope is steady information."""
    known = found.ic.dropna()
    running = known.cumsum()
    figure = go.Figure(
        go.Scatter(
            x=milliseconds(pd.DatetimeIndex(running.index)),
            y=running,
            mode="lines",
            line={"color": "var(--series-0)", "width": 1.6},
            name="sum of coefficients",
            hovertemplate="%{x|%Y-%m-%d}: %{y:.2f}<extra></extra>",
        )
    )
    _laid(figure, 260, {"type": "date"}, "sum of coefficients", ticks=5)
    half = len(known) // 2
    early, late = (formats.coefficient(part.mean()) for part in (known.iloc[:half], known.iloc[half:]))
    return Chart(
        figure,
        f"Running sum of {len(known):,} coefficients; their mean is {early} in the first half and {late} in the "
        "second.",
    )


def quantile_chart(found: Diagnosis) -> Chart:
    """Draw what each quantile earned per bar, one cluster of bars per horizon."""
    rows = found.quantiles.loc[found.quantiles["quantile"] != "spread"]
    names = list(dict.fromkeys(rows["quantile"]))
    figure = go.Figure()
    colours = ("var(--series-1)", "var(--series-4)", "var(--series-3)", "var(--series-2)", "var(--series-0)")
    chosen = colours if len(names) == 5 else (colours[0], colours[1], colours[-1])
    for place, (name, colour) in enumerate(zip(names, chosen, strict=True)):
        part = rows.loc[rows["quantile"] == name]
        scaled = {key: 1e4 * part[key] / part["horizon"] for key in ("mean", "low", "high")}
        label = "lowest signal" if place == 0 else "highest signal" if place == len(names) - 1 else f"quantile {name}"
        figure.add_trace(
            go.Bar(
                x=[str(horizon) for horizon in part["horizon"]],
                y=scaled["mean"],
                name=label,
                marker=hatch("/" if place == 0 else "", colour),
                error_y=_errors(scaled["mean"], scaled["low"], scaled["high"]),
                hovertemplate="%{x} bars ahead, %{fullData.name}: %{y:.1f} bp a bar<extra></extra>",
            )
        )
    across = {"type": "category", "title": {"text": "bars ahead"}}
    _laid(figure, 320, across, "basis points a bar, net of the market", barmode="group", bargap=0.3)
    spreads = found.quantiles.loc[found.quantiles["quantile"] == "spread"]
    told = "; ".join(f"{row['horizon']} bars {formats.basis_points(row['mean'])}" for row in spreads.to_dict("records"))
    return Chart(figure, f"Highest less lowest quantile in basis points over the horizon: {told}.")


def event_chart(found: Diagnosis) -> Chart:
    """Draw the mean path around the first tradable open, all events and by hours of publication."""
    everything = found.events
    numbers = everything.groupby(["direction", "hours"], sort=False)["events"].first()
    by_hours = numbers.groupby(level="hours", sort=False).max()
    drawn = [str(hours) for hours in by_hours.index if by_hours[hours] >= FEWEST_EVENTS or hours == ALL_HOURS]
    left = [str(hours) for hours in by_hours.index if hours not in drawn]
    lines = int(np.ceil(len(drawn) / 2))
    figure = make_subplots(
        rows=lines,
        cols=2,
        subplot_titles=[label_of(hours) for hours in drawn],
        shared_yaxes="all",
        horizontal_spacing=0.08,
        vertical_spacing=0.3 / max(lines, 1),
    )
    for place, hours in enumerate(drawn):
        where = {"row": place // 2 + 1, "col": place % 2 + 1}
        for direction, colour in _COLOURS.items():
            path = everything.loc[(everything["hours"] == hours) & (everything["direction"] == direction)]
            if path.empty or path["events"].iloc[0] < FEWEST_EVENTS:
                continue
            for trace in _path(path, direction, colour, first=place == 0):
                figure.add_trace(trace, **where)
    figure.update_layout(height=86 + 260 * lines, hovermode="closest", margin={"t": 28})
    figure.update_annotations(font={"size": 12, "color": "var(--ink)"})
    figure.update_xaxes(dtick=5, showgrid=False, zeroline=True, zerolinewidth=1)
    figure.update_yaxes(nticks=6, zeroline=True, zerolinewidth=1)
    figure.update_yaxes(title={"text": "basis points"}, col=1)
    ends = everything.loc[(everything["hours"] == ALL_HOURS)].groupby("direction")["car"].last()
    told = ", ".join(f"{name} {formats.basis_points(value)}" for name, value in ends.items())
    note = f"Fewer than {FEWEST_EVENTS} events, not drawn: {', '.join(left)}." if left else ""
    return Chart(
        figure, f"Cumulative abnormal return in basis points at the end of the window: {told or 'none'}.", note
    )


def _path(path: pd.DataFrame, direction: str, colour: str, *, first: bool) -> list[go.Scatter]:
    known = path.dropna(subset=["low", "high"])
    band = go.Scatter(
        x=[*known["offset"], *known["offset"][::-1]],
        y=[*(1e4 * known["high"]), *(1e4 * known["low"])[::-1]],
        fill="toself",
        mode="lines",
        line={"width": 0, "color": _BANDS[direction]},
        fillcolor=_BANDS[direction],
        hoverinfo="skip",
        legendgroup=direction,
        showlegend=False,
    )
    line = go.Scatter(
        x=path["offset"],
        y=1e4 * path["car"],
        mode="lines",
        line={"color": colour, "width": 2, "dash": DASHES[0 if direction == "bullish" else 1]},
        name=f"{direction} articles",
        legendgroup=direction,
        showlegend=first,
        customdata=path["events"],
        hovertemplate="bar %{x}: %{y:.1f} bp, %{customdata:,} events<extra></extra>",
    )
    return [band, line] if len(known) else [line]


def decay_chart(found: Diagnosis) -> Chart:
    """Draw the autocorrelation of the signal beside the coefficients by lag, both as shares of their first value."""
    figure = go.Figure()
    signal = found.persistence
    figure.add_trace(
        go.Scatter(
            x=signal["lag"],
            y=signal["autocorrelation"],
            mode="lines",
            line={"color": "var(--series-2)", "width": 2, "dash": DASHES[0]},
            name="signal: autocorrelation",
            hovertemplate="%{x} bars: %{y:.2f}<extra></extra>",
        )
    )
    life = found.half_lives["information"].bars
    after = found.lags.loc[found.lags["lag"] >= 0]
    if np.isfinite(life):
        curve = 2.0 ** (-after["lag"].to_numpy() / life)
        height = float((after["ic"] * curve).sum() / (curve**2).sum())
        if height > 0.0:
            figure.add_trace(
                go.Scatter(
                    x=after["lag"],
                    y=after["ic"] / height,
                    mode="markers",
                    marker={"color": "var(--series-0)", "size": 7, "symbol": "circle-open"},
                    name="information: coefficient over its fitted start",
                    hovertemplate="%{x} bars: %{y:.2f}<extra></extra>",
                )
            )
            figure.add_trace(
                go.Scatter(
                    x=after["lag"],
                    y=curve,
                    mode="lines",
                    line={"color": "var(--series-0)", "width": 1.6, "dash": DASHES[1]},
                    name=f"fitted: half-life {formats.number(round(life, 1))} bars",
                    hoverinfo="skip",
                )
            )
    _laid(figure, 290, {"title": {"text": "bars later"}}, "share of the start")
    information, own = (lived(found.half_lives[name]) for name in ("information", "signal"))
    return Chart(
        figure,
        f"Half-life of the signal {own[0]} bars ({own[1]}); of its information {information[0]} ({information[1]}).",
    )
