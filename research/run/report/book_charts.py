"""The charts of where a result came from: rolling Sharpe ratio, exposure, costs, contributions, information, trades.

Each function takes the frames of a `LookBack` and returns a `Chart`, or None where there is nothing to draw.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from embargo.research.pages import formats
from embargo.research.pages.charts import (
    AXIS,
    DASHES,
    Chart,
    in_rows,
    keep_extremes,
    label_of,
    milliseconds,
    series_colour,
    whiskers,
)

MOST_BARS_OF_THE_FALL = 10
_POINTS = 1_500
_COSTS = (("fees", "commission"), ("slippage", "spread and impact"), ("carry", "borrow, interest, funding"))


def _thinned(frame: pd.DataFrame, limit: int = _POINTS) -> tuple[pd.DataFrame, str]:
    """Keep what is drawn of a frame, and say so where that is not all of it."""
    kept = keep_extremes(frame.to_numpy(dtype=float), limit)
    note = f"Drawn with {len(kept):,} of {len(frame):,} bars: the highest and the lowest of every stretch is kept."
    return frame.iloc[kept], "" if len(kept) == len(frame) else note


def _line(
    frame: pd.DataFrame, column: str, name: str, place: int, form: str, *, dash: int | None = None, **more: object
) -> go.Scatter:
    return go.Scatter(
        x=milliseconds(pd.DatetimeIndex(frame.index)),
        y=frame[column].to_numpy(dtype=float),
        mode="lines",
        name=name,
        line={"color": series_colour(place), "width": 1.6, "dash": DASHES[place if dash is None else dash]},
        hovertemplate=f"%{{y:{form}}}",
        **more,
    )


def rolling_chart(over_time: pd.DataFrame, level: float) -> Chart | None:
    """Draw the rolling Sharpe ratio within its band."""
    known = over_time[["rolling_sharpe", "rolling_low", "rolling_high"]].dropna()
    if len(known) < 2:
        return None
    shown, note = _thinned(known, _POINTS // 2)
    when = milliseconds(pd.DatetimeIndex(shown.index))
    band = go.Scatter(
        x=np.concatenate([when, when[::-1]]),
        y=np.concatenate([shown["rolling_high"].to_numpy(), shown["rolling_low"].to_numpy()[::-1]]),
        fill="toself",
        mode="lines",
        line={"width": 0, "color": "var(--fall)"},
        fillcolor="var(--fall)",
        name=f"{level:.0%} band of each window",
        hoverinfo="skip",
    )
    figure = go.Figure([band, _line(shown, "rolling_sharpe", "rolling Sharpe ratio", 0, ".2f")])
    figure.update_layout(
        height=300,
        xaxis={"type": "date", "showgrid": False},
        yaxis={"title": {"text": "annual Sharpe ratio"}, "nticks": 6, "zeroline": True},
    )
    low, high, last = (formats.ratio(value) for value in (
        known["rolling_sharpe"].min(), known["rolling_sharpe"].max(), known["rolling_sharpe"].iloc[-1]
    ))  # fmt: skip
    return Chart(figure, f"Rolling annual Sharpe ratio, between {low} and {high}, {last} at the end.", note)


def exposure_chart(over_time: pd.DataFrame) -> Chart:
    """Draw gross and net exposure over the number of names held and the turnover of each bar."""
    shown, note = _thinned(over_time[["gross", "net", "names", "turnover"]])
    figure = go.Figure(
        [
            _line(shown, "gross", "gross exposure", 0, ".1%"),
            _line(shown, "net", "net exposure", 1, ".1%"),
            _line(shown, "names", "names held", 2, ",.0f", dash=0, yaxis="y2"),
            _line(shown, "turnover", "turnover of a bar, one way", 3, ".1%", dash=0, yaxis="y3"),
        ]
    )
    figure.update_layout(
        height=440,
        hoversubplots="axis",
        xaxis={"type": "date", "showgrid": False, "anchor": "y3"},
        yaxis={"domain": [0.52, 1.0], "title": {"text": "of equity"}, "tickformat": ".0%", "nticks": 5,
               "zeroline": True},
        yaxis2={**AXIS, "domain": [0.27, 0.45], "title": {"text": "names"}, "rangemode": "tozero", "nticks": 3},
        yaxis3={**AXIS, "domain": [0.0, 0.2], "title": {"text": "turnover"}, "tickformat": ".0%", "rangemode": "tozero",
                "nticks": 3},
    )  # fmt: skip
    means = over_time.mean()
    return Chart(
        figure,
        f"Exposure over time: on average {formats.percent(means['gross'])} gross and {formats.percent(means['net'])} "
        f"net in {formats.count(round(float(means['names'])))} names, with a turnover of "
        f"{formats.percent(means['turnover'])} a bar.",
        note,
    )


def costs_chart(over_time: pd.DataFrame) -> Chart:
    """Draw what was paid so far, by kind, in percent of the equity at the start."""
    paid = -over_time[[name for name, _ in _COSTS]].cumsum()
    shown, note = _thinned(paid)
    figure = go.Figure([_line(shown, name, words, place, ".2%") for place, (name, words) in enumerate(_COSTS)])
    figure.update_layout(
        height=300,
        xaxis={"type": "date", "showgrid": False},
        yaxis={
            "title": {"text": "paid so far, of equity at the start"},
            "tickformat": ".0%",
            "nticks": 6,
            "zeroline": True,
        },
    )
    ends = ", ".join(f"{words} {formats.percent(paid[name].iloc[-1])}" for name, words in _COSTS)
    return Chart(figure, f"Costs paid so far, of the equity at the start: {ends}.", note)


def waterfall(contributions: pd.DataFrame, over_time: pd.DataFrame, most: int = MOST_BARS_OF_THE_FALL) -> pd.DataFrame:
    """Return the steps from nothing to the total return, shape (steps, 2): ``name, step``; they add up to it exactly.

    The ``most`` symbols that gained and lost most stand by name, the others together, then what was paid for holding.
    """
    total = contributions["total"]
    gained = total[total > 0.0].sort_values(ascending=False, kind="stable").head(most)
    lost = total[total < 0.0].sort_values(kind="stable").head(most)
    others = total.drop([*gained.index, *lost.index])
    others = others[others != 0.0]
    steps = [*gained.items(), *lost[::-1].items()]
    if len(others):
        steps.append((f"{len(others):,} others", float(others.sum())))
    carry = float(over_time["carry"].sum())
    steps.append(("held: borrow, interest, funding", carry))
    return pd.DataFrame([(str(name), float(step)) for name, step in steps], columns=["name", "step"])


def contributions_chart(contributions: pd.DataFrame, over_time: pd.DataFrame) -> Chart:
    """Draw the steps of `waterfall`, one below the other, and what they add up to."""
    steps = waterfall(contributions, over_time)
    ends = steps["step"].cumsum().to_numpy()
    begins = np.concatenate([[0.0], ends[:-1]])
    rows = np.arange(len(steps))
    total = float(ends[-1])
    up = steps["step"].to_numpy() >= 0.0
    figure = go.Figure()
    for name, mask, colour in (("added", up, "var(--series-2)"), ("took away", ~up, "var(--series-1)")):
        if mask.any():
            figure.add_trace(
                _steps(begins[mask], steps["step"].to_numpy()[mask], rows[mask], steps["name"][mask], name, colour)
            )
    figure.add_trace(
        _steps(
            np.zeros(1),
            np.array([total]),
            np.array([len(steps)]),
            pd.Series(["total return"]),
            "total",
            "var(--series-0)",
        )
    )
    figure.add_vline(x=0, line={"color": "var(--axis)", "width": 1})
    figure.update_layout(
        height=90 + 22 * (len(steps) + 1),
        hovermode="closest",
        barmode="overlay",
        xaxis={"title": {"text": "of equity at the start"}, "tickformat": ".0%"},
        yaxis=in_rows([*map(label_of, steps["name"]), "total return"]),
    )
    told = "; ".join(f"{name} {formats.percent(step)}" for name, step in steps.itertuples(index=False))
    return Chart(figure, f"Steps to a total return of {formats.percent(total)}: {told}.")


def _steps(
    base: npt.NDArray[np.float64],
    length: npt.NDArray[np.float64],
    rows: npt.NDArray[np.int64],
    names: pd.Series,
    name: str,
    colour: str,
) -> go.Bar:
    return go.Bar(
        orientation="h",
        base=base,
        x=length,
        y=rows,
        width=0.66,
        name=name,
        marker={"color": colour},
        customdata=[f"{label_of(who)}: {formats.percent(step)}" for who, step in zip(names, length, strict=True)],
        hovertemplate="%{customdata}<extra></extra>",
    )


def horizon_chart(information: pd.DataFrame) -> Chart | None:
    """Draw the information coefficient of each horizon with its interval."""
    rows = information.loc[information["kind"] == "horizon"].dropna(subset=["value"])
    if rows.empty:
        return None
    ends = rows[["value", "low", "high"]].to_numpy(dtype=float)
    middle, low, high = ends[:, 0], np.where(np.isnan(ends[:, 1]), ends[:, 0], ends[:, 1]), np.where(
        np.isnan(ends[:, 2]), ends[:, 0], ends[:, 2]
    )  # fmt: skip
    figure = go.Figure(
        go.Scatter(
            x=[f"{bars:g}" for bars in rows["bars"]],
            y=middle,
            mode="markers",
            marker={"size": 9, "color": "var(--series-0)", "symbol": "circle"},
            error_y=whiskers(middle, low, high, colour="var(--muted)", thickness=1.3),
            name="information coefficient, 95% interval",
            hovertemplate="%{x} bars ahead: %{y:.3f}<extra></extra>",
        )
    )
    figure.update_layout(
        height=280,
        hovermode="closest",
        xaxis={"type": "category", "title": {"text": "bars ahead"}, "showgrid": False},
        yaxis={"title": {"text": "information coefficient"}, "nticks": 6, "zeroline": True},
    )
    told = "; ".join(f"{row.bars:g} bars {formats.coefficient(row.value)}" for row in rows.itertuples())
    return Chart(figure, f"Information coefficient by horizon: {told}.")


def decay_chart(information: pd.DataFrame) -> Chart | None:
    """Draw the coefficient of the return of one bar, some bars after the signal, with the fitted decay."""
    rows = information.loc[information["kind"] == "lag"].dropna(subset=["value"])
    if rows.empty:
        return None
    lags, ic = rows["bars"].to_numpy(dtype=float), rows["value"].to_numpy(dtype=float)
    ends = [np.where(np.isnan(rows[name].to_numpy(float)), ic, rows[name].to_numpy(float)) for name in ("low", "high")]
    figure = go.Figure(
        go.Bar(
            x=lags,
            y=ic,
            name="coefficient of one bar's return, 95% interval",
            marker={"color": "var(--null)"},
            error_y=whiskers(ic, *ends, colour="var(--muted)", thickness=1.1, width=3),
            hovertemplate="%{x} bars later: %{y:.3f}<extra></extra>",
        )
    )
    life = half_life_of(information, "information")[0]
    if np.isfinite(life):
        curve = 2.0 ** (-lags / life)
        figure.add_trace(
            go.Scatter(
                x=lags,
                y=curve * float((ic * curve).sum() / (curve**2).sum()),
                mode="lines",
                line={"color": "var(--series-0)", "width": 2},
                name=f"fitted: half-life {life:.1f} bars",
                hoverinfo="skip",
            )
        )
    figure.update_layout(
        height=280,
        hovermode="closest",
        bargap=0.25,
        xaxis={"title": {"text": "bars after the signal"}, "showgrid": False, "dtick": 1},
        yaxis={"title": {"text": "information coefficient"}, "nticks": 6, "zeroline": True},
    )
    told = ", ".join(formats.coefficient(value) for value in ic[:4])
    return Chart(figure, f"Coefficient of one bar's return from the first bar that may be held on: {told} and so on.")


def half_life_of(information: pd.DataFrame, what: str) -> tuple[float, float, float]:
    """Return a half-life in bars with its interval, ``what`` being "information" or "signal"; NaN where unknown."""
    rows = information.loc[information["kind"] == f"half-life of {what}", ["value", "low", "high"]]
    if rows.empty:
        return (float("nan"),) * 3
    value, low, high = rows.iloc[0].astype(float)
    return value, low, high
