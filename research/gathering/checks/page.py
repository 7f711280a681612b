"""The data check as one HTML page that opens offline, in the dress of the run report.

The style sheet, the chart script and the number formats are those of `embargo.research.run.report`; everything from
outside is escaped, and the same checks give the same page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from embargo.data_loaders.checks import Check
from embargo.research.gathering.checks.charts import CHARTS
from embargo.research.gathering.checks.tables import ORDER, tally
from embargo.research.pages import formats
from embargo.research.pages.page import fill, placed, write_whole
from embargo.research.run.report.page import Cell, plain

# The style sheet knows the verdicts of the leakage audit; a check's verdict takes the colours of its equal.
_KINDS = {"bad": "leak", "look": "suspicious", "fine": "pass"}
_ICONS = {"bad": "×", "look": "!", "fine": "✓"}
_STATUS = {"bad": "invalid", "look": "caution", "fine": "valid"}
_HEADLINES = {
    "bad": "Do not believe results from these data yet",
    "look": "Usable, once somebody has looked at what follows",
    "fine": "Nothing stands out",
}
_SHARES = ("share", "_share", "before_", "in_session", "after_session", "weekend", "days_without_session", "midnight")


def render_page(parts: Mapping[str, Sequence[Check]], title: str, *, subtitle: str = "") -> str:
    """Render checks as one HTML page.

    Parameters
    ----------
    parts : mapping of str to sequence of Check
        The checks of each part of the data under its name, in any order; the page shows the worst of each first.
    title : str
        What was checked, such as the name of a store or an archive.
    subtitle : str
        A line below it.

    Returns
    -------
    str
        HTML with plotly.js, style and figures inside.
    """
    checks = [check for part in parts.values() for check in part]
    worst = min((check.verdict for check in checks), key=ORDER.index, default="fine")
    return fill(
        "embargo.research.gathering.checks",
        "page.html.j2",
        title=title,
        subtitle=subtitle,
        status=_STATUS[worst],
        status_word=worst.capitalize(),
        status_icon=_ICONS[worst],
        headline=_HEADLINES[worst],
        tally=tally(checks),
        total=len(checks),
        parts=[_part(number, name, part) for number, (name, part) in enumerate(parts.items())],
        missing=formats.MISSING,
    )


def write_page(parts: Mapping[str, Sequence[Check]], path: str | Path, title: str, *, subtitle: str = "") -> Path:
    """Render checks and write the page whole or not at all.

    Parameters
    ----------
    parts, title, subtitle
        As in ``render_page``.
    path : str or Path
        File to write; its folder must exist.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    MissingPartError
        If the folder does not exist.
    """
    return write_whole(render_page(parts, title, subtitle=subtitle), path, what="data check")


def _part(number: int, name: str, checks: Sequence[Check]) -> dict[str, Any]:
    ordered = sorted(checks, key=lambda check: ORDER.index(check.verdict))
    return {
        "id": f"part-{number}",
        "name": name,
        "tally": tally(checks),
        "findings": [_finding(check) for check in ordered],
        "charts": _charts(checks, f"-{number}"),
    }


def _finding(check: Check) -> dict[str, Any]:
    return {
        "name": plain(check.name),
        "verdict": check.verdict,
        "kind": _KINDS[check.verdict],
        "icon": _ICONS[check.verdict],
        "summary": check.summary[:1].upper() + check.summary[1:],
        "figures": [(plain(name), _figure(name, value)) for name, value in check.figures.items()],
        "columns": [plain(column) for column in check.rows.columns],
        "rows": [
            [Cell(_cell(column, value), numeric=isinstance(value, int | float)) for column, value in row.items()]
            for row in check.rows.to_dict("records")
        ],
    }


def _figure(name: str, value: Any) -> str:
    """Print a figure: what is named a share as percent, minutes of the day as a time, all else as it stands."""
    if isinstance(value, str):
        return formats.text(value)
    if name.endswith("_minute"):
        return f"{int(value) // 60:02d}:{int(value) % 60:02d}"
    if isinstance(value, float) and any(part in name for part in _SHARES):
        return f"{100 * value:.2f}%" if 0 < abs(value) < 0.01 else formats.percent(value)
    return formats.number(value)


def _cell(column: Any, value: Any) -> str:
    if (
        isinstance(value, float)
        and str(column).startswith("share")
        and not pd.isna(value)
        and column != "shares_per_old"
    ):
        return formats.percent(value)
    return formats.text(value)


def _charts(checks: Sequence[Check], suffix: str) -> list[dict[str, Any]]:
    """Draw what has a profile, in the order of `CHARTS`; the suffix keeps the parts' charts apart."""
    by_name = {check.name: check for check in checks}
    drawn = []
    for name, (key, caption, draw) in CHARTS.items():
        check = by_name.get(name)
        if check is None or check.profile.empty:
            continue
        drawn.append(placed(key + suffix, draw(check), title=plain(name), caption=caption))
    return drawn
