"""How a result shows itself: one table of figures as plain text or as a small piece of HTML, with a line of growth.

The HTML stands alone (no scripts, no outside files) and takes its colours from the notebook; all text is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Literal, NamedTuple

import numpy as np

Sides = Literal["one-sided", "two-sided"]

_WIDTH, _HEIGHT, _POINTS = 320, 56, 160


class Figure(NamedTuple):
    """One line of a table: what it is, its value, and what stands beside it."""

    label: str
    value: str
    note: str = ""


def counted(number: int, one: str) -> str:
    """Write a number with what it counts: ``1 row``, ``1,200 rows``."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def percent(value: float | None, places: int = 1) -> str:
    """Write a fraction as percent."""
    return "none" if value is None else f"{100.0 * value:.{places}f} %"


def decimal(value: float | None, places: int = 2) -> str:
    """Write a number with a fixed number of places."""
    return "none" if value is None else f"{value:.{places}f}"


def interval(low: float | None, high: float | None, level: float, p_value: float | None, sides: Sides) -> str:
    """Write a two-sided interval with its level, and the p-value of the same figure with its sides."""
    if low is None or high is None:
        return "no interval: too few rows that move"
    return f"{100.0 * level:g} % interval {low:.2f} to {high:.2f}, {sides} p {probability(p_value)}"


def probability(value: float | None) -> str:
    """Write a p-value."""
    return "none" if value is None else f"{value:.3f}"


def as_text(title: str, figures: Sequence[Figure]) -> str:
    """Write the table with one figure a line."""
    label = max((len(figure.label) for figure in figures), default=0)
    value = max((len(figure.value) for figure in figures), default=0)
    lines = [f"  {figure.label:<{label}}  {figure.value:>{value}}  {figure.note}".rstrip() for figure in figures]
    return "\n".join([title, *lines])


def as_html(title: str, figures: Sequence[Figure], returns: np.ndarray) -> str:
    """Write the table, and what one unit of money became, as HTML.

    Parameters
    ----------
    title : str
    figures : sequence of Figure
    returns : float array, shape (bars,)
    """
    rows = "".join(
        f'<tr><th style="text-align:left;white-space:nowrap">{escape(figure.label)}</th>'
        f'<td style="text-align:right;white-space:nowrap">{escape(figure.value)}</td>'
        f'<td style="text-align:left">{escape(figure.note)}</td></tr>'
        for figure in figures
    )
    return (
        f'<figure style="margin:0"><figcaption>{escape(title)}</figcaption>{_growth(returns)}'
        f"<table><tbody>{rows}</tbody></table></figure>"
    )


def _growth(returns: np.ndarray) -> str:
    wealth = np.concatenate([[1.0], np.cumprod(1.0 + returns)])
    kept = np.unique(np.linspace(0, len(wealth) - 1, min(len(wealth), _POINTS)).astype(int))
    low, high = float(wealth.min()), float(wealth.max())
    across = kept / max(len(wealth) - 1, 1) * _WIDTH
    up = _HEIGHT - (wealth[kept] - low) / (high - low if high > low else 1.0) * _HEIGHT
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, up, strict=True))
    told = f"Growth of 1 to {wealth[-1]:.3f}, between {low:.3f} and {high:.3f}"
    return (
        f'<svg role="img" width="{_WIDTH}" height="{_HEIGHT}" viewBox="-2 -2 {_WIDTH + 4} {_HEIGHT + 4}">'
        f'<title>{told}</title><polyline fill="none" stroke="currentColor" points="{points}"/></svg>'
    )


def performance_figures(performance: Mapping[str, Any]) -> list[Figure]:
    """Lines of what `embargo.backtest.metrics.performance` says."""
    worst, total = performance["max_drawdown"], percent(performance["total_return"])
    return [
        Figure("Return a year", percent(performance["annual_return"]), f"in all {total}"),
        Figure("Volatility a year", percent(performance["annual_volatility"])),
        Figure("Deepest drawdown", percent(worst), f"longest {counted(performance['longest_drawdown_bars'], 'row')}"),
    ]


def money(value: float | None) -> str:
    """Write an amount in currency to two digits: no more is known of what is estimated."""
    if value is None or not math.isfinite(value):
        return "none"
    if value == 0.0:
        return "0"
    digits = 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.0f}" if abs(value) >= 1.0 else f"{value:.2g}"
