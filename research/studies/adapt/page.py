"""A study of readers as one HTML page: the recommendation, quality against cost, cost over volume, and every test."""

from __future__ import annotations

from typing import Any

from embargo.research.pages import formats
from embargo.research.pages.charts import placed
from embargo.research.pages.page import fill
from embargo.research.studies.adapt import charts
from embargo.research.studies.adapt.adaptation import Adaptation
from embargo.research.studies.adapt.rows import MEASURES, TRUSTED
from embargo.research.studies.adapt.students import student_lines
from embargo.research.studies.adapt.tables import (
    COST_HEADS,
    TRUST_WORDS,
    apart_cells,
    break_even_lines,
    cost_cells,
    failures,
    how_tested,
    priced_at,
    quality_cells,
    quality_heads,
    ran,
    volume_cells,
    volume_heads,
    what_was_tested,
)


def render_page(found: Adaptation) -> str:
    """Render a study of readers as one HTML page.

    Parameters
    ----------
    found : Adaptation

    Returns
    -------
    str
        HTML with style, script and figures inside; the same study gives the same text.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.research.config.adapt import AdaptSection
    >>> from embargo.research.studies.adapt import Adaptation, Advice, Row, render_page
    >>> figures = {"name": "mine", "level": 0.95, "significance": 0.05, "resamples": 2000, "family": 0, "n": 40}
    >>> figures |= {"traded": False, "adapt": AdaptSection().model_dump(), "break_evens": [], "settings": {}}
    >>> row = Row("line", "linear", n=40, accuracy=0.6, macro_f1=0.5, ece=0.1, trust="before")
    >>> advice = Advice(None, None, (), (), "No reader can be recommended.", ())
    >>> page = render_page(Adaptation(Path("runs/mine"), [row], [], advice, figures))
    >>> "<title>Readers of mine – Embargo readers</title>" in page
    True
    """
    done = ran(found)
    level = found.figures["significance"]
    return fill(
        "studies/adapt/page.html.j2",
        title=f"Readers of {found.figures['name']}",
        figures=found.figures,
        tested=what_was_tested(found),
        headline=found.advice.headline,
        lines=found.advice.lines,
        how=how_tested(found),
        prices=priced_at(found),
        status=_status(found),
        quality=placed("quality", charts.quality_chart(found)),
        volume=placed("volume", charts.volume_chart(found)),
        heads=quality_heads(found),
        rows=[_reader(found, position) for position in range(len(found.rows)) if found.rows[position].ran],
        students=student_lines(found),
        failed=[(row.name, row.failed) for row in failures(found)],
        cost_heads=COST_HEADS,
        volume_heads=volume_heads(),
        costs=[{"name": row.name, "cells": cost_cells(found, row), "at": volume_cells(found, row)} for row in done],
        crossings=break_even_lines(found),
        families=[
            {"title": title, "rows": _pairs(found, name, level)} for name, title in _families(found) if found.pairs
        ],
        knowledge=[
            [
                row.name,
                formats.text(row.kind),
                formats.MISSING if row.cutoff is None else formats.instant(row.cutoff),
                "" if row.trust is None else TRUST_WORDS[row.trust],
                row.trust_note,
            ]
            for row in done
        ],
        settings=formats.toml(found.figures["settings"]),
    )


def _status(found: Adaptation) -> str:
    """Say in the colour of the page whether a reader is recommended, and whether anything kept another from it."""
    if found.advice.take is None:
        return "caution"
    return "caution" if found.advice.aside or failures(found) else "valid"


def _families(found: Adaptation) -> list[tuple[str, str]]:
    first = found.figures["adapt"]["judge_by"]
    names = [first, *(name for name in MEASURES if name != first)]
    return [*((name, MEASURES[name]) for name in names), ("log_loss", "Mean log loss, in nats: lower is better")] + (
        [("sharpe", "Sharpe ratio, a year, net of costs")] if found.figures["traded"] else []
    )


def _reader(found: Adaptation, position: int) -> dict[str, Any]:
    row = found.rows[position]
    return {
        "name": row.name,
        "mark": "recommended" if row.name == found.advice.take else "set aside" if row.trust not in TRUSTED else "",
        "cells": quality_cells(found, row),
        "note": row.unprobed,
    }


def _pairs(found: Adaptation, measure: str, significance: float) -> list[dict[str, Any]]:
    rows = []
    for pair in found.pairs:
        apart = pair.of(pair.a, measure)
        cells = apart_cells(apart, sharpe=measure == "sharpe")
        rows.append({"a": pair.a, "b": pair.b, "cells": cells, "stands": apart.stands(significance)})
    return rows
