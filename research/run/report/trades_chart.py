"""The trades of one symbol at a time, drawn on its price with the articles that were read about it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from embargo.research.pages import formats
from embargo.research.pages.charts import AXIS, Chart, keep_extremes, label_of, milliseconds

MOST_SYMBOLS = 8
MOST_MARKS = 150
_POINTS = 900
_TURNS = (
    ("goes long", 1.0, "triangle-up", "var(--series-2)"),
    ("goes short", -1.0, "triangle-down", "var(--series-1)"),
    ("closes", 0.0, "x", "var(--ink)"),
)
_TONES = (
    ("article, positive", 1.0, "circle", "var(--series-2)"),
    ("article, negative", -1.0, "circle", "var(--series-1)"),
)


def shown_symbols(contributions: pd.DataFrame) -> list[str]:
    """Return the symbols that moved the account most, by what they added or took away, the largest first."""
    moved = contributions["total"].abs()
    moved = moved[(contributions[["bars_long", "bars_short"]].sum(axis=1) > 0) | (moved > 0.0)]
    return [str(name) for name in moved.sort_values(ascending=False, kind="stable").head(MOST_SYMBOLS).index]


def trades_chart(
    contributions: pd.DataFrame, values: pd.DataFrame, weights: pd.DataFrame, articles: pd.DataFrame
) -> Chart | None:
    """Draw price, turns of the position and articles over what was held, for each of the symbols that moved most.

    Parameters
    ----------
    contributions, values : DataFrame
        As in `LookBack`.
    weights : DataFrame, shape (bars, symbols)
        Held after the fills.
    articles : DataFrame
        ``row, column, used, known_at, bullish, bearish, confidence``.
    """
    names = shown_symbols(contributions)
    if not names:
        return None
    figure, left = go.Figure(), []
    places = {str(name): place for place, name in enumerate(values.columns)}
    for name in names:
        price = values.iloc[:-1, places[name]].to_numpy(dtype=float)
        held = weights.iloc[:, places[name]].to_numpy(dtype=float)
        when = milliseconds(pd.DatetimeIndex(weights.index))
        mine = articles.loc[
            (articles["column"] == places[name]) & articles["used"] & articles["row"].between(0, len(price) - 1)
        ]
        more = {"meta": {"choice": name}}
        figure.add_traces(_lines(when, price, held, more))
        left += [_turns(figure, when, price, held, more), _tones(figure, when, price, mine, more)]
    figure.update_layout(
        height=460,
        hovermode="closest",
        xaxis={"type": "date", "showgrid": False, "anchor": "y2"},
        yaxis={"domain": [0.34, 1.0], "title": {"text": "price"}, "nticks": 6},
        yaxis2={
            **AXIS,
            "domain": [0.0, 0.24],
            "title": {"text": "held"},
            "tickformat": ".0%",
            "nticks": 4,
            "zeroline": True,
        },
    )
    note = f"The {len(names)} symbols that added or took away most."
    if any(left):
        note += f" Of turns and of articles no more than {MOST_MARKS} are marked for each: the largest, and the surest."
    told = "; ".join(f"{name} {formats.percent(contributions['total'].to_numpy()[places[name]])}" for name in names)
    return Chart(figure, f"Price, position and articles of one symbol at a time. What each added: {told}.", note)


def _lines(when: np.ndarray, price: np.ndarray, held: np.ndarray, more: Mapping[str, object]) -> list[go.Scatter]:
    kept = keep_extremes(np.column_stack([price, held]), _POINTS)
    return [
        go.Scatter(
            x=when[kept],
            y=price[kept],
            mode="lines",
            name="price at the fills",
            line={"color": "var(--muted)", "width": 1.2},
            hovertemplate="%{x|%Y-%m-%d}: %{y:.4g}<extra></extra>",
            **more,
        ),
        go.Scatter(
            x=when[kept],
            y=held[kept],
            yaxis="y2",
            mode="lines",
            name="weight held",
            line={"color": "var(--series-0)", "width": 1, "shape": "hv"},
            fill="tozeroy",
            fillcolor="var(--fall)",
            hovertemplate="%{x|%Y-%m-%d}: %{y:.1%}<extra></extra>",
            **more,
        ),
    ]


def _turns(
    figure: go.Figure, when: np.ndarray, price: np.ndarray, held: np.ndarray, more: Mapping[str, object]
) -> bool:
    """Mark where the position changes side or closes; whether some are left out."""
    side = np.sign(np.where(np.abs(held) > 1e-9, held, 0.0))
    turned = np.flatnonzero(np.diff(side, prepend=0.0) != 0.0)
    size = np.abs(np.diff(held, prepend=0.0))[turned]
    shown = np.sort(turned[np.argsort(-size, kind="stable")[:MOST_MARKS]])
    for name, sign, symbol, colour in _TURNS:
        bars = shown[side[shown] == sign]
        figure.add_trace(
            go.Scatter(
                x=when[bars],
                y=price[bars],
                mode="markers",
                name=name,
                marker={"symbol": symbol, "size": 8, "color": colour},
                customdata=held[bars],
                hovertemplate=f"%{{x|%Y-%m-%d}}: {name}, %{{customdata:.1%}} at %{{y:.4g}}<extra></extra>",
                **more,
            )
        )
    return len(shown) < len(turned)


def _tones(
    figure: go.Figure, when: np.ndarray, price: np.ndarray, articles: pd.DataFrame, more: Mapping[str, object]
) -> bool:
    """Mark the articles on the bar that they reached; whether some are left out."""
    score = (articles["bullish"] - articles["bearish"]).to_numpy(dtype=float)
    surest = np.sort(np.argsort(-articles["confidence"].to_numpy(dtype=float), kind="stable")[:MOST_MARKS])
    row, known = articles["row"].to_numpy(dtype=np.int64), articles["known_at"]
    for name, sign, symbol, colour in _TONES:
        mine = surest[(score[surest] > 0.0) == (sign > 0.0)]
        figure.add_trace(
            go.Scatter(
                x=when[row[mine]],
                y=price[row[mine]],
                mode="markers",
                name=name,
                marker={"symbol": f"{symbol}-open", "size": 6, "color": colour, "line": {"width": 1.2}},
                customdata=[
                    label_of(f"known {formats.instant(at)}, score {formats.ratio(value)}")
                    for at, value in zip(known.iloc[mine], score[mine], strict=True)
                ],
                hovertemplate="%{customdata}<extra></extra>",
                **more,
            )
        )
    return len(surest) < len(articles)
