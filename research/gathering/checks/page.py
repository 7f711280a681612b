"""The data check as one HTML page: the answers of each part of the data, worst first, and charts of their profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from embargo.data_loaders.checks import Check, Grade
from embargo.research.gathering.checks.charts import CHARTS, clock_time
from embargo.research.gathering.checks.check import worst, worst_first
from embargo.research.gathering.checks.tables import tally
from embargo.research.pages import formats
from embargo.research.pages.charts import placed
from embargo.research.pages.formats import plain
from embargo.research.pages.page import fill
from embargo.research.pages.status import Status
from embargo.research.pages.tables import TableCell

# The style sheet knows the verdicts of the leakage audit; a check's verdict takes the colours of its equal.
_KINDS = {"bad": "leak", "look": "suspicious", "clean": "pass"}
_ICONS = {"bad": "×", "look": "!", "clean": "✓"}
_STATUS: dict[Grade, Status] = {"bad": "invalid", "look": "caution", "clean": "valid"}
_HEADLINES = {
    "bad": "Do not believe results from these data yet",
    "look": "Usable, once somebody has looked at what follows",
    "clean": "Nothing stands out",
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
        HTML with style, script and figures inside; the same checks give the same text.

    Examples
    --------
    >>> from embargo.data_loaders.checks import Check
    >>> from embargo.research.gathering.checks import render_page
    >>> page = render_page({"news": [Check("clock", "clean", "no hour stands out")]}, "Archive of 2015")
    >>> "<title>Archive of 2015 – Clean – Embargo data check</title>" in page
    True
    """
    checks = [check for part in parts.values() for check in part]
    verdict = worst(checks)
    return fill(
        "gathering/checks/page.html.j2",
        title=title,
        subtitle=subtitle,
        status=_STATUS[verdict],
        word=verdict.capitalize(),
        headline=_HEADLINES[verdict],
        tally=tally(checks),
        total=len(checks),
        parts=[_part(number, name, part) for number, (name, part) in enumerate(parts.items())],
    )


def _part(number: int, name: str, checks: Sequence[Check]) -> dict[str, Any]:
    return {
        "id": f"part-{number}",
        "name": name,
        "tally": tally(checks),
        "findings": [_finding(check) for check in worst_first(checks)],
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
            [TableCell(_cell(column, value), numeric=isinstance(value, int | float)) for column, value in row.items()]
            for row in check.rows.to_dict("records")
        ],
    }


def _figure(name: str, value: Any) -> str:
    """Print a figure: what is named a share as percent, minutes of the day as a time, all else as it stands."""
    if isinstance(value, str):
        return formats.text(value)
    if name.endswith("_minute"):
        return clock_time(value)
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
