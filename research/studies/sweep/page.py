"""A sweep as one HTML page that opens offline, in the dress of the run report.

The style sheet, the chart script and the number formats are those of `embargo.research.run.report`; everything from
outside is escaped, and the same sweep gives the same page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from embargo.research.pages import formats
from embargo.research.pages.page import fill, placed, write_whole
from embargo.research.run.report.page import Cell
from embargo.research.studies.sweep.charts import heat_map
from embargo.research.studies.sweep.grid import Sweep
from embargo.research.studies.sweep.tables import marks_of, sentences

MOST_ROWS = 1_000

_CAPTIONS = {
    "validation_sharpe": (
        "Validation",
        "What the choice rests on; the framed cell won. The model was calibrated on these texts, which flatters all.",
    ),
    "test_sharpe": (
        "Test",
        "What the cells went on to earn. The ring is the best of them, which nobody could have known beforehand.",
    ),
}
_ROWS = (
    ("Validation Sharpe", "validation_sharpe", formats.ratio),
    ("Rank on validation", "rank_on_validation", formats.count),
    ("Test Sharpe", "sharpe", formats.ratio),
    ("Rank on test", "rank_on_test", formats.count),
    ("Total return on test", "total_return", formats.percent),
    ("Maximum drawdown on test", "max_drawdown", formats.percent),
    ("p of the test Sharpe, as if it were the only trial", "sharpe_p_value", formats.probability),
    ("Probability that the true Sharpe is above 0, as if alone", "probabilistic_sharpe", formats.probability),
    ("The same, deflated for all trials", "deflated_sharpe", formats.probability),
)


def render_page(result: Sweep, title: str) -> str:
    """Render a sweep as one HTML page with plotly.js, style and figures inside."""
    rows = _rows(result)
    return fill(
        "embargo.research.studies.sweep",
        "page.html.j2",
        title=title,
        figures=result.figures,
        correlation=formats.ratio(result.figures["rank_correlation"]),
        lines=sentences(result),
        charts=[_chart(result, column) for column in _CAPTIONS],
        compared=_compared(result),
        heads=[axis.key for axis in result.axes],
        rows=rows,
        left=len(result.table) - len(rows),
    )


def write_page(result: Sweep, path: str | Path, title: str) -> Path:
    """Render a sweep and write the page whole or not at all; MissingPartError if its folder does not exist."""
    return write_whole(render_page(result, title), path, what="sweep")


def _chart(result: Sweep, column: str) -> dict[str, Any]:
    title, caption = _CAPTIONS[column]
    return placed(column.replace("_", "-"), heat_map(result, column), title=title, caption=caption)


def _compared(result: Sweep) -> list[dict[str, Any]]:
    pair = (result.figures["chosen"], result.figures["best_on_test"])
    settings = [
        {"name": axis.key, "cells": [formats.text(cell["settings"][axis.key]) for cell in pair]} for axis in result.axes
    ]
    return settings + [{"name": name, "cells": [printed(cell[key]) for cell in pair]} for name, key, printed in _ROWS]


def _rows(result: Sweep) -> list[dict[str, Any]]:
    """Cells by validation Sharpe, best first; the two that are marked are always among them."""
    order = result.table["validation_sharpe"].sort_values(ascending=False, kind="stable", na_position="last").index
    marked = {result.chosen, result.best}
    shown = [at for rank, at in enumerate(order) if rank < MOST_ROWS or at in marked]
    rows = []
    for position in shown:
        row = result.table.loc[position]
        rows.append(
            {
                "mark": marks_of(result, position) or ("" if row["competes"] else "other costs"),
                "cells": [
                    *(
                        Cell(formats.text(row[axis.key]), numeric=not isinstance(row[axis.key], str))
                        for axis in result.axes
                    ),
                    Cell(formats.ratio(row["validation_sharpe"])),
                    Cell(formats.ratio(row["test_sharpe"])),
                ],
            }
        )
    return rows
