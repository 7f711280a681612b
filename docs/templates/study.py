"""Returns by weekday: a template for studies with a page.

A study reads a finished run, computes one typed result from it, and shows that result twice: as a table on the terminal
and as a page in the dress of all pages. What is shown is computed once; a table of ready texts serves both. In the
product a study is a folder of ``research/studies`` with a command of its own, and its template lies beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import plotly.graph_objects as go
from rich.console import Console
from rich.text import Text

from embargo import Run
from embargo.backtest.significance import holm, mean_estimate
from embargo.research.pages import Chart, ReportTable, fill, placed, terminal_table
from embargo.research.pages.formats import basis_points, count, interval, probability

PAGE = Path(__file__).with_name("study.html.j2")
_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Weekday:
    """What the bars of one weekday earned.

    Attributes
    ----------
    name : str
    bars : int
    mean, low, high : float or None
        Mean net return per bar and the ends of its interval, fractions; the interval is None under 30 bars.
    p_value, p_holm : float or None
        Two-sided, for a true mean of 0; the second is adjusted for the number of weekdays.
    """

    name: str
    bars: int
    mean: float | None
    low: float | None
    high: float | None
    p_value: float | None
    p_holm: float | None


@dataclass(frozen=True)
class WeekdayStudy:
    """The weekdays of a run, those without bars left out.

    Attributes
    ----------
    run, status : str
        Name of the run, and what its audit left it: a study of an invalid run is no better than the run.
    level : float
        Of the intervals; one less is where a weekday counts as different from 0.
    weekdays : tuple of Weekday

    Examples
    --------
    >>> found = WeekdayStudy("mine", "valid", 0.95, (Weekday("Friday", 52, 2e-3, 1e-3, 3e-3, 0.0008, 0.004),))
    >>> headline(found)
    'More than chance on Friday'
    >>> weekday_table(found).rows
    (('Friday', '52', '20.0', '10.0 to 30.0', '< 0.001', '0.004'),)
    """

    run: str
    status: str
    level: float
    weekdays: tuple[Weekday, ...]


def study_weekdays(run: Run, *, level: float = 0.95) -> WeekdayStudy:
    """Ask whether a strategy earns on some weekdays what it does not on others.

    The weekday of a bar is that of the instant in UTC at which it opens. Intervals and p-values allow for
    autocorrelation from week to week; the p-values are adjusted after Holm, since five are looked at.

    Parameters
    ----------
    run : Run
    level : float
        Of the intervals.

    Returns
    -------
    WeekdayStudy

    Raises
    ------
    ConfigError
        If the level does not lie between 0 and 1.
    """
    returns = run.returns
    numbers = returns.index.day_of_week
    groups = {number: returns[numbers == number] for number in sorted(set(numbers))}
    # A year of one bar gives figures per bar.
    found = {number: mean_estimate(rows, periods_per_year=1.0, level=level) for number, rows in groups.items()}
    two_sided = [None if day.p_value is None else 2.0 * min(day.p_value, 1.0 - day.p_value) for day in found.values()]
    weekdays = tuple(
        Weekday(_NAMES[number], day.n, day.mean, day.low, day.high, p_value, p_holm)
        for (number, day), p_value, p_holm in zip(found.items(), two_sided, holm(two_sided), strict=True)
    )
    return WeekdayStudy(run.name, run.status, level, weekdays)


def weekday_table(found: WeekdayStudy) -> ReportTable:
    """Return the table that terminal and page show."""
    rows = tuple(
        (
            day.name,
            count(day.bars),
            basis_points(day.mean),
            interval((day.low, day.high), "basis points"),
            probability(day.p_value),
            probability(day.p_holm),
        )
        for day in found.weekdays
    )
    return ReportTable(
        "Net return by weekday",
        "Basis points a bar, by the day in UTC on which the bar opens; p is two-sided, for a mean of 0.",
        ("Weekday", "Bars", "Mean", f"{100 * found.level:g} % interval", "p, two-sided", "p (Holm), two-sided"),
        rows,
    )


def headline(found: WeekdayStudy) -> str:
    """Say in a sentence what the weekdays come to."""
    sure = [day.name for day in found.weekdays if day.p_holm is not None and day.p_holm < 1.0 - found.level]
    return f"More than chance on {', '.join(sure)}" if sure else "No weekday stands out from chance"


def print_weekdays(console: Console, found: WeekdayStudy) -> None:
    """Print the result for a terminal."""
    sheet = weekday_table(found)
    table = terminal_table(
        sheet.head[:1], sheet.head[1:], title=Text(f"{found.run}: {headline(found)}"), note=sheet.note
    )
    for row in sheet.rows:
        table.add_row(*map(Text, row))
    console.print(table)


def weekday_chart(found: WeekdayStudy) -> Chart:
    """Draw the mean of each weekday with its interval, in basis points."""
    drawn = [day for day in found.weekdays if day.mean is not None and day.low is not None and day.high is not None]
    figure = go.Figure(
        go.Bar(
            x=[day.name for day in drawn],
            y=[1e4 * day.mean for day in drawn],
            marker={"color": "var(--series-0)"},
            error_y={
                "array": [1e4 * (day.high - day.mean) for day in drawn],
                "arrayminus": [1e4 * (day.mean - day.low) for day in drawn],
                "color": "var(--muted)",
            },
        )
    )
    figure.update_layout(height=280, yaxis={"title": {"text": "basis points a bar"}})
    told = "; ".join(f"{day.name} {basis_points(day.mean)}" for day in drawn) or "too few bars"
    return Chart(figure, f"Mean net return by weekday, basis points: {told}.")


def render_page(found: WeekdayStudy) -> str:
    """Render the result as one HTML page that opens offline.

    Parameters
    ----------
    found : WeekdayStudy

    Returns
    -------
    str
        For `embargo.research.pages.write_page`; the same result gives the same text.
    """
    return fill(
        PAGE,
        title=found.run,
        subtitle="Net returns of the test windows by weekday",
        status=found.status,
        headline=headline(found),
        table=weekday_table(found),
        chart=placed("means", weekday_chart(found)),
    )
