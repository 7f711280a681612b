"""The two charts of a study of readers: quality against cost, and cost over the number of articles."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go

from embargo.research.pages import formats
from embargo.research.pages.charts import Chart, label_of, series_colour, series_dash, whiskers
from embargo.research.studies.adapt.adaptation import Adaptation
from embargo.research.studies.adapt.costs import VOLUMES
from embargo.research.studies.adapt.recommend import money
from embargo.research.studies.adapt.rows import MEASURES, TRUSTED, Row

_POINTS = 81
# One more than there are colours, so that no two of many readers wear the same.
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "star", "pentagon")


def quality_chart(found: Adaptation) -> Chart:
    """Draw the figure that decides over the cost of as many articles as the study reckons with."""
    prices, number = found.figures["adapt"], found.figures["adapt"]["articles"]
    measure = prices["judge_by"]
    figure = go.Figure()
    told, unpriced = [], []
    costs = [row.cost(number) for row in found.rows if row.ran and _priced(row.cost(number))]
    ends = (min(costs), max(costs)) if costs else (0.1, 10.0)
    if ends[0] == ends[1]:
        ends = ends[0] / 2.0, ends[1] * 2.0
    for place, row in enumerate(found.rows):
        if not row.ran:
            continue
        cost, (value, bounds) = row.cost(number), row.quality(measure)
        if not _priced(cost):
            known = "at no cost" if cost <= 0.0 else "at a cost that is not known"
            words = f"{row.name}: {formats.around(value, bounds, 'coefficient')}, {known}"
            unpriced.append(row.name)
            figure.add_trace(_level(place, row, ends, value, words))
        else:
            words = f"{row.name}: {formats.around(value, bounds, 'coefficient')}, {money(cost, prices['currency'])}"
            # Beside the mark, towards the middle: above it runs the whisker, at its outer side the plot ends.
            side = "middle right" if cost * cost <= ends[0] * ends[1] else "middle left"
            figure.add_trace(_point(place, row, cost, value, bounds, words, side))
        told.append(words)
    figure.update_layout(
        height=420,
        hovermode="closest",
        xaxis={
            "type": "log",
            "title": {"text": f"{prices['currency']} for {formats.count(number)} articles, the fit among it"},
            "dtick": 1,
        },
        yaxis={"title": {"text": f"{MEASURES[measure]}, with interval"}},
    )
    note = ""
    if unpriced:
        note = f"A level line is a reader that costs nothing, or nobody knows what: {', '.join(unpriced)}."
    title = f"{MEASURES[measure]} over the cost of {formats.count(number)} articles"
    return Chart(figure, f"{title}. {'; '.join(told)}.", note)


def _priced(cost: float) -> bool:
    return math.isfinite(cost) and cost > 0.0


def _level(place: int, row: Row, ends: tuple[float, float], value: float, words: str) -> go.Scatter:
    """Draw how well a reader reads whose cost nobody knows, as a line over all costs."""
    return go.Scatter(
        x=[ends[0], math.sqrt(ends[0] * ends[1]), ends[1]],
        y=[value] * 3,
        mode="lines+text",
        name=label_of(row.name),
        text=["", label_of(row.name), ""],
        textposition="top center",
        line={"color": series_colour(place), "width": 2, "dash": "dot"},
        customdata=[label_of(words)] * 3,
        hovertemplate="%{customdata}<extra></extra>",
    )


def _point(
    place: int, row: Row, cost: float, value: float, bounds: tuple[float, float] | None, words: str, side: str
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
        text=[f"\u2002{label_of(row.name)}\u2002"],
        textposition=side,
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
    figure, told, left = go.Figure(), list[str](), list[str]()
    for place, row in enumerate(found.rows):
        if not row.ran:
            continue
        if not math.isfinite(row.cost(1.0)) or row.cost(VOLUMES[-1]) <= 0.0:
            left.append(row.name)
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
        height=420,
        xaxis={"type": "log", "title": {"text": "articles"}, "dtick": 1},
        yaxis={"type": "log", "title": {"text": f"{currency}, the fit among it"}, "dtick": 1},
    )
    note = f"Not drawn, as they cost nothing, or nobody knows what: {', '.join(left)}." if left else ""
    return Chart(figure, f"Cost over the number of articles. {'; '.join(told)}.", note)
