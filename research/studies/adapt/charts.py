"""The two charts of a study of readers: quality against cost, and cost over the number of articles."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go

from embargo.research.pages import formats
from embargo.research.pages.charts import TEMPLATE, Chart, label_of, series_colour, series_dash, whiskers
from embargo.research.studies.adapt.adaptation import Adaptation
from embargo.research.studies.adapt.costs import VOLUMES
from embargo.research.studies.adapt.recommend import money
from embargo.research.studies.adapt.rows import MEASURES, TRUSTED, Row

_POINTS = 81
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "star")


def quality_chart(found: Adaptation) -> Chart:
    """Draw the figure that decides over the cost of as many articles as the study reckons with."""
    prices, number = found.figures["adapt"], found.figures["adapt"]["articles"]
    measure = prices["judge_by"]
    figure = go.Figure()
    told, left = [], []
    for place, row in enumerate(found.rows):
        if not row.ran:
            continue
        cost, (value, bounds) = row.cost(number), row.quality(measure)
        words = f"{row.name}: {formats.around(value, bounds, 'coefficient')}, {money(cost, prices['currency'])}"
        if not (math.isfinite(cost) and cost > 0.0):
            left.append(row.name)
            continue
        told.append(words)
        figure.add_trace(_point(place, row, cost, value, bounds, words))
    figure.update_layout(
        template=TEMPLATE,
        height=420,
        hovermode="closest",
        xaxis={
            "type": "log",
            "title": {"text": f"{prices['currency']} for {formats.count(number)} articles, the fit among it"},
            "dtick": 1,
        },
        yaxis={"title": {"text": f"{MEASURES[measure]}, with interval"}},
    )
    note = f"Without a cost that is known, and left out: {', '.join(left)}." if left else ""
    title = f"{MEASURES[measure]} over the cost of {formats.count(number)} articles"
    return Chart(figure, f"{title}. {'; '.join(told)}.", note)


def _point(
    place: int, row: Row, cost: float, value: float, bounds: tuple[float, float] | None, words: str
) -> go.Scatter:
    colour = series_colour(place)
    y = np.array([value])
    low, high = (np.array([end]) for end in (bounds or (value, value)))
    trusted = row.trust in TRUSTED
    return go.Scatter(
        x=[cost],
        y=y,
        mode="markers+text",
        name=label_of(row.name),
        text=[label_of(row.name)],
        textposition="top center",
        marker={
            "symbol": _SYMBOLS[place % len(_SYMBOLS)] + ("" if trusted else "-open"),
            "size": 10,
            "color": colour,
            "line": {"width": 2, "color": colour},
        },
        error_y=whiskers(y, low, high, colour=colour),
        customdata=[label_of(words)],
        hovertemplate="%{customdata}<extra></extra>",
    )


def volume_chart(found: Adaptation) -> Chart:
    """Draw what each reader costs over the number of articles, and mark where two cost the same."""
    currency = found.figures["adapt"]["currency"]
    articles = np.geomspace(VOLUMES[0], VOLUMES[-1], _POINTS)
    figure, told = go.Figure(), []
    for place, row in enumerate(found.rows):
        if not row.ran or not math.isfinite(row.cost(1.0)) or row.cost(VOLUMES[-1]) <= 0.0:
            continue
        costs = np.array([row.cost(float(number)) for number in articles])
        ends = " to ".join(money(row.cost(number), currency) for number in (VOLUMES[0], VOLUMES[-1]))
        told.append(f"{row.name} from {ends}")
        figure.add_trace(
            go.Scatter(
                x=articles,
                y=costs,
                mode="lines",
                name=label_of(row.name),
                line={"color": series_colour(place), "width": 2, "dash": series_dash(place)},
                hovertemplate="%{y:.3g}",
            )
        )
    crossings = [
        one for one in found.figures["break_evens"] if VOLUMES[0] <= one["articles"] <= VOLUMES[-1] and one["cost"] > 0
    ]
    if crossings:
        figure.add_trace(
            go.Scatter(
                x=[one["articles"] for one in crossings],
                y=[one["cost"] for one in crossings],
                mode="markers",
                name="break-even",
                marker={"symbol": "circle-open", "size": 11, "color": "var(--ink)", "line": {"width": 2}},
                customdata=[
                    label_of(f"{one['few']} and {one['many']}: {formats.count(one['articles'])} articles")
                    for one in crossings
                ],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
        told += [f"{one['few']} and {one['many']} cross at {formats.count(one['articles'])}" for one in crossings]
    figure.update_layout(
        template=TEMPLATE,
        height=420,
        xaxis={"type": "log", "title": {"text": "articles"}, "dtick": 1},
        yaxis={"type": "log", "title": {"text": f"{currency}, the fit among it"}, "dtick": 1},
    )
    return Chart(figure, f"Cost over the number of articles. {'; '.join(told)}.")
