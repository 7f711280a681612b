"""The charts of a tear sheet, drawn in points: growth over drawdown, rolling Sharpe ratio, exposure, contributions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from embargo.backtest.attribution import Floats
from embargo.research.pages import formats
from embargo.research.pages.charts import keep_extremes
from embargo.research.run.report.book_charts import waterfall
from embargo.research.run.report.page import MONTHS
from embargo.research.studies.sheet.paper import Paper, printable, shortened, ticks, width_of

_POINTS = 700
_DASHES: tuple[Sequence[float] | None, ...] = (None, (4.0, 1.6), (1.2, 1.2), (5.0, 1.4, 1.2, 1.4))
# Beyond this growth is drawn by its logarithm: what lies early would be a flat line.
_MOST_LINEAR = 8.0
# Room for the values at the left of a chart, and for each date below it.
_LABELS, _DATE = 30.0, 42.0
_SMALL = 6.2


@dataclass(frozen=True)
class Frame:
    """A place on a page with a scale of time across and one of values upwards.

    Attributes
    ----------
    x, y, wide, high : float
        Points; y is the upper edge.
    start, stop : float
        Instants in nanoseconds.
    low, top : float
        Values at the lower and the upper edge.
    logarithmic : bool
    """

    x: float
    y: float
    wide: float
    high: float
    start: float
    stop: float
    low: float
    top: float
    logarithmic: bool = False

    def across(self, instants: Floats) -> Floats:
        """Return where instants lie."""
        share = (np.asarray(instants, dtype=float) - self.start) / max(1.0, self.stop - self.start)
        return np.asarray(self.x + self.wide * share, dtype=float)

    def down(self, values: Floats) -> Floats:
        """Return where values lie."""
        low, top, shown = np.array(self.low), np.array(self.top), np.asarray(values, dtype=float)
        if self.logarithmic:
            low, top, shown = np.log(low), np.log(top), np.log(shown)
        share = (shown - low) / max(1e-12, float(top - low))
        return np.asarray(self.y + self.high * (1.0 - share), dtype=float)


def nanoseconds(index: pd.DatetimeIndex) -> Floats:
    """Return instants as numbers that a `Frame` takes."""
    return index.as_unit("ns").asi8.astype(float)


def framed(
    paper: Paper,
    place: tuple[float, float, float, float],
    index: pd.DatetimeIndex,
    values: Floats,
    printed: Callable[[float], str],
    *,
    dates: bool,
    zero: bool = False,
    most: int = 6,
    logarithmic: bool = False,
) -> Frame:
    """Draw the grid of a chart: room for labels at its left, and for dates below where it has them."""
    x, y, wide, high = place
    known = values[np.isfinite(values)]
    low, top = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    low, top = (min(low, 0.0), max(top, 0.0)) if zero else (low, top)
    if low == top:
        low, top = low - 0.05, top + 0.05 * (not zero)
    if not logarithmic:
        room = 0.04 * (top - low) or 0.05 * max(1.0, abs(top))
        low, top = low - room * (low != 0.0 or not zero), top + room * (top != 0.0 or not zero)
    when = nanoseconds(index)
    frame = Frame(x + _LABELS, y, wide - _LABELS, high, when[0], when[-1], low, top, logarithmic)
    for value in ticks(low, top, most):
        if logarithmic and value <= 0.0:
            continue
        height = float(frame.down(np.array(value)))
        colour = "axis" if value == 0.0 else "grid"
        paper.line([frame.x, frame.x + frame.wide], [height, height], colour=colour, width=0.5)
        paper.text(frame.x - 4.0, height + 2.2, printed(value), size=_SMALL, colour="muted", side="right")
    for instant, told in dates_of(index, int(frame.wide / _DATE)):
        place_at = float(frame.across(np.array(instant)))
        paper.line([place_at, place_at], [y, y + high], colour="grid", width=0.4)
        if dates:
            middle = min(place_at, frame.x + frame.wide - width_of(told, _SMALL) / 2.0)
            paper.text(middle, y + high + 8.5, told, size=_SMALL, colour="muted", side="centre")
    paper.line([frame.x, frame.x + frame.wide], [y + high, y + high], colour="axis", width=0.5)
    return frame


def dates_of(index: pd.DatetimeIndex, most: int = 9) -> list[tuple[float, str]]:
    """Return instants to mark on an axis with what is printed below: starts of years, of months or of days.

    Examples
    --------
    >>> import pandas as pd
    >>> [told for _, told in dates_of(pd.date_range("2021-11-05", "2022-08-01", tz="UTC"), 5)]
    ['Jan 2022', 'Mar 2022', 'May 2022', 'Jul 2022']
    """
    start, stop = index[0], index[-1]
    months = pd.date_range(start.ceil("D"), stop, freq="MS")
    for step in (1, 2, 3, 6, 12, 24, 60, 120):
        marks = months[(12 * months.year + months.month - 1) % step == 0]
        if 2 <= len(marks) <= most:
            return [(_at(mark), _month(mark, years=step >= 12)) for mark in marks]
    days = pd.date_range(start.ceil("D"), stop, freq="D")
    marks = days[:: -(-len(days) // most) or 1]
    return [(_at(mark), f"{mark.day} {MONTHS[mark.month - 1]}") for mark in marks]


def _at(mark: pd.Timestamp) -> float:
    return float(mark.as_unit("ns").value)


def _month(mark: pd.Timestamp, *, years: bool) -> str:
    return f"{mark.year}" if years else f"{MONTHS[mark.month - 1]} {mark.year}"


def legend(paper: Paper, right: float, y: float, entries: Sequence[tuple[str, str, int]]) -> None:
    """Set names of lines beside each other so that they end at the right: (name, colour, dash) each."""
    x = right
    for name, colour, dash in reversed(entries):
        x -= width_of(name, _SMALL)
        paper.text(x, y, name, size=_SMALL, colour="muted")
        paper.line([x - 15.0, x - 3.0], [y - 2.2, y - 2.2], colour=colour, width=1.2, dashes=_DASHES[dash])
        x -= 24.0


def growth_chart(paper: Paper, x: float, y: float, wide: float, high: float, growth: pd.DataFrame) -> float:
    """Draw growth of 1 over the strategy's drawdown; return the y below it."""
    y = paper.heading(x, y, wide, "Growth of 1, after costs")
    panel = growth.to_numpy(dtype=float)
    falls = panel[:, 0] / np.maximum.accumulate(panel[:, 0]) - 1.0
    kept = keep_extremes(np.column_stack([panel, falls]), _POINTS)
    index = pd.DatetimeIndex(growth.index)
    when = nanoseconds(index)[kept]
    known = panel[np.isfinite(panel)]
    steep = bool(known.min() > 0.0 and known.max() / known.min() > _MOST_LINEAR)
    upper = 0.7 * (high - 34.0)
    frame = framed(
        paper, (x, y - 4.0, wide, upper), index, panel.ravel(), formats.ratio, dates=False, logarithmic=steep
    )
    entries = []
    for position in reversed(range(panel.shape[1])):
        colour, dash = f"series-{position % 6}", position % len(_DASHES)
        line = panel[kept, position]
        paper.line(
            frame.across(when), frame.down(line), colour=colour, width=0.8 if position else 1.3, dashes=_DASHES[dash]
        )
        value = formats.ratio(panel[-1, position])
        room = (wide - 125.0) / panel.shape[1] - 30.0 - width_of(value, _SMALL)
        name = shortened(printable(growth.columns[position]), _SMALL, room)
        entries.append((f"{name} {value}", colour, dash))
    legend(paper, x + wide, y - 13.0, entries[::-1])
    paper.text(frame.x + 4.0, frame.y + 8.0, "logarithmic" if steep else "", size=_SMALL, colour="muted")
    below = frame.y + upper + 6.0
    lower = framed(paper, (x, below, wide, 0.3 * (high - 34.0)), index, falls, _share, dates=True, zero=True, most=3)
    across, down = lower.across(when), lower.down(falls[kept])
    paper.area(across, np.full(len(when), float(lower.down(np.array(0.0)))), down, colour="series-0", alpha=0.16)
    paper.line(across, down, colour="series-0", width=0.8)
    paper.text(
        lower.x + 4.0, below + lower.high - 4.0, f"drawdown, deepest {formats.percent(falls.min())}", size=_SMALL,
        colour="muted",
    )  # fmt: skip
    return below + lower.high + 24.0


def _share(value: float) -> str:
    return formats.percent(value) if round(100 * value, 6) % 1 else f"{formats.count(100 * value)}%"


def rolling_chart(
    paper: Paper, x: float, y: float, wide: float, high: float, over_time: pd.DataFrame, told: tuple[int, float]
) -> float:
    """Draw the rolling Sharpe ratio in its band; ``told`` is the rows of a window and the level of the band."""
    rows, level = told
    y = paper.heading(x, y, wide, "Rolling Sharpe ratio a year")
    words = f"windows of {rows:,} bars, {level:.0%} band were all bars of a window drawn alike (Lo 2002)"
    paper.text(x + wide, y - 13.0, words, size=_SMALL, colour="muted", side="right")
    known = over_time[["rolling_sharpe", "rolling_low", "rolling_high"]].dropna()
    if len(known) < 2:
        paper.text(x, y + 4.0, "There are too few bars with a return for a window.", size=7.0, colour="muted")
        return y + 20.0
    panel = known.to_numpy(dtype=float)
    frame = framed(
        paper,
        (x, y - 4.0, wide, high - 26.0),
        pd.DatetimeIndex(over_time.index),
        panel.ravel(),
        formats.ratio,
        dates=True,
        zero=True,
        most=4,
    )
    kept = keep_extremes(panel, _POINTS)
    when = frame.across(nanoseconds(pd.DatetimeIndex(known.index))[kept])
    paper.area(when, frame.down(panel[kept, 2]), frame.down(panel[kept, 1]), colour="series-0", alpha=0.14)
    paper.line(when, frame.down(panel[kept, 0]), colour="series-0", width=1.1)
    return frame.y + frame.high + 24.0


def exposure_chart(paper: Paper, x: float, y: float, wide: float, high: float, over_time: pd.DataFrame) -> float:
    """Draw gross and net exposure over time."""
    y = paper.heading(x, y, wide, "Exposure over time")
    legend(paper, x + wide, y - 13.0, [("gross", "series-0", 0), ("net", "series-1", 1)])
    panel = over_time[["gross", "net"]].to_numpy(dtype=float)
    frame = framed(
        paper,
        (x, y - 4.0, wide, high - 26.0),
        pd.DatetimeIndex(over_time.index),
        panel.ravel(),
        _share,
        dates=True,
        zero=True,
        most=4,
    )
    kept = keep_extremes(panel, _POINTS)
    when = frame.across(nanoseconds(pd.DatetimeIndex(over_time.index))[kept])
    for position, colour in ((1, "series-1"), (0, "series-0")):
        paper.line(when, frame.down(panel[kept, position]), colour=colour, width=0.8, dashes=_DASHES[position])
    return frame.y + frame.high + 24.0


def contributions_chart(
    paper: Paper, x: float, y: float, wide: float, most: int, contributions: pd.DataFrame, over_time: pd.DataFrame
) -> float:
    """Draw what the symbols that gained and lost most added, the others, holding, and the total that they make."""
    y = paper.heading(x, y, wide, "Where the return came from")
    paper.text(x + wide, y - 13.0, "of equity at the start, after costs", size=_SMALL, colour="muted", side="right")
    steps = waterfall(contributions, over_time, most)
    rows = [*steps.itertuples(index=False, name=None), ("total return", float(steps["step"].sum()))]
    reach = max([abs(step) for _, step in rows] + [1e-12])
    left, right = x + 96.0, x + wide - 36.0
    room = right - left
    below = max([0.0, *(-step for _, step in rows)]) / reach
    above = max([0.0, *(step for _, step in rows)]) / reach
    zero = left + room * below / max(1e-12, below + above)
    for place, (name, step) in enumerate(rows):
        total = place == len(steps)
        told = "borrow, interest etc." if place == len(steps) - 1 else printable(name)
        paper.text(x, y, shortened(told, 6.6, 92.0, bold=total), size=6.6, bold=total)
        long = room * step / reach / max(1e-12, below + above)
        colour = "series-0" if total else "series-2" if step >= 0.0 else "series-1"
        paper.box(min(zero, zero + long), y - 5.6, abs(long), 6.4, fill=colour)
        paper.text(x + wide, y, formats.fine_percent(step), size=6.6, bold=total, side="right")
        y += 9.4
    paper.line([zero, zero], [y - 9.4 * len(rows) - 7.0, y - 7.0], colour="axis", width=0.5)
    return y + 8.0
