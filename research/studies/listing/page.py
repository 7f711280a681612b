"""All runs of a folder as one HTML page: a table to sort and to filter, and the windows that the runs share."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from embargo.research.pages import formats
from embargo.research.pages.charts import keep_extremes
from embargo.research.pages.page import fill
from embargo.research.pages.status import STATUS_ICONS, STATUS_WORDS, STATUSES, status_of
from embargo.research.studies.listing.entries import ListedRun, SharedWindow

_MOST_POINTS = 60
_WIDE, _HIGH, _MARGIN = 96.0, 26.0, 2.0
# What the data of a run are worth: look, mark and word of the badge.
_DATA = {
    "clean": ("valid", "✓", "Clean"),
    "look": ("caution", "!", "Look"),
    "accepted": ("caution", "!", "Bad, accepted"),
    "bad": ("invalid", "×", "Bad"),
}
_DAMAGED = "damaged"
_HEADS = (
    ("Sharpe", "number"),
    ("Interval", ""),
    ("p, one-sided", "number"),
    ("Total return", "number"),
    ("Max drawdown", "number"),
    ("Attempts", "number"),
)


def render_page(entries: Sequence[ListedRun], folder: Path, page: Path) -> str:
    """Render the runs of a folder as one HTML page.

    Parameters
    ----------
    entries : sequence of ListedRun
        From `entries_of`.
    folder : Path
        That the runs lie in, as the user named it.
    page : Path
        File that the page will be written to: links to the runs' own reports lead from there.

    Returns
    -------
    str
        HTML with style, script and figures inside; the same runs give the same text.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.research.studies.listing import render_page
    >>> page = render_page([], Path("runs"), Path("runs.html"))
    >>> "<title>0 runs in runs – Embargo runs</title>" in page
    True
    """
    states = Counter(_state(entry) for entry in entries)
    windows = list({entry.window.label: entry.window for entry in entries if entry.window is not None}.values())
    return fill(
        "studies/listing/page.html.j2",
        title=f"{_numbered(len(entries), 'run')} in {folder}",
        headline=_headline(states, len(windows)),
        shared=sum(window.runs > 1 for window in windows),
        heads=_HEADS,
        rows=[_row(entry, page) for entry in entries],
        states=[(state, _word(state), states[state]) for state in (*STATUSES[::-1], _DAMAGED) if states[state]],
        windows=[_window_row(window) for window in windows],
        damages=[(entry.row["run"], entry.row["damage"]) for entry in entries if entry.damaged],
        unsealed=sum(not entry.row["sealed"] for entry in entries if not entry.damaged),
    )


def _numbered(number: int, word: str) -> str:
    return f"{number:,} {word if number == 1 else word + 's'}"


def _state(entry: ListedRun) -> str:
    return _DAMAGED if entry.damaged else status_of(str(entry.row["status"]))


def _word(state: str) -> str:
    return "Damaged" if state == _DAMAGED else STATUS_WORDS[status_of(state)]


def _headline(states: Counter[str], windows: int) -> str:
    told = [f"{states[state]:,} {state}" for state in (*STATUSES[::-1], _DAMAGED) if states[state]]
    return f"{_numbered(windows, 'test window')}; {', '.join(told)}." if told else "No run lies here."


def _row(entry: ListedRun, page: Path) -> dict[str, Any]:
    row, state, window = entry.row, _state(entry), entry.window
    figures = [
        (formats.ratio(row["sharpe"]), row["sharpe"]),
        (formats.interval((row["sharpe_low"], row["sharpe_high"])), None),
        (formats.probability(row["sharpe_p_value"]), row["sharpe_p_value"]),
        (formats.percent(row["total_return"]), row["total_return"]),
        (formats.percent(row["max_drawdown"]), row["max_drawdown"]),
        (formats.count(row["n_trials"]), row["n_trials"]),
    ]
    icon = STATUS_ICONS["invalid" if state == _DAMAGED else status_of(state)]
    return {
        "name": row["run"],
        "link": "" if entry.report is None else _link(entry.report, page),
        "state": state,
        "rank": (_DAMAGED, *STATUSES).index(state),
        "badge": ("invalid" if state == _DAMAGED else state, icon, _word(state)),
        "remark": "leak found" if state == "invalid" else "",
        "unsealed": not entry.damaged and not row["sealed"],
        "data": _DATA.get(row["data"]),
        "data_rank": [None, *_DATA].index(row["data"]) if row["data"] in _DATA else None,
        "window": "" if window is None else window.label,
        "order": window_order(window),
        "mates": "" if window is None or window.runs < 2 else f"{window.runs:,} runs",
        "path": _path(entry.growth),
        "told": "" if not len(entry.growth) else f"Growth of 1 to {formats.ratio(entry.growth[-1])}",
        "growth": float(entry.growth[-1]) if len(entry.growth) else None,
        "cells": [(text, "" if formats.is_missing(value) else repr(float(value))) for text, value in figures],
    }


def window_order(window: SharedWindow | None) -> int | None:
    """Place of a window among all, by its label: ``Z`` comes before ``AA``."""
    if window is None:
        return None
    place = 0
    for letter in window.label:
        place = 26 * place + ord(letter) - ord("A") + 1
    return place


def _link(report: Path, page: Path) -> str:
    """Lead from the page to a run's own, whatever its name holds."""
    return quote(Path(os.path.relpath(report, page.parent)).as_posix())


def _path(growth: npt.NDArray[np.float64]) -> str:
    """Draw growth as the path of a small chart; no peak and no trough is lost."""
    if not len(growth):
        return ""
    kept = keep_extremes(growth[:, None], _MOST_POINTS)
    values, span = growth[kept], float(np.ptp(growth))
    across = _MARGIN + (_WIDE - 2 * _MARGIN) * kept / max(1, len(growth) - 1)
    share = (values - growth.min()) / span if span > 0.0 else np.full(len(values), 0.5)
    down = _HIGH - _MARGIN - (_HIGH - 2 * _MARGIN) * share
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(across, down, strict=True))


def _window_row(window: SharedWindow) -> list[str]:
    return [
        window.label,
        formats.MISSING if window.first is None else f"{window.first:%Y-%m-%d}",
        formats.MISSING if window.last is None else f"{window.last:%Y-%m-%d}",
        formats.count(window.bars),
        formats.count(window.runs),
        formats.count(window.attempts),
        formats.count(window.around),
        window.fingerprint[:12] or formats.MISSING,
    ]
