"""A sweep as one HTML page: the chosen cell beside the best on test, heat maps of both, and the cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from embargo.research.pages import formats
from embargo.research.pages.charts import placed
from embargo.research.pages.page import fill
from embargo.research.pages.tables import TableCell
from embargo.research.studies.sweep.charts import heat_map
from embargo.research.studies.sweep.grid import Sweep
from embargo.research.studies.sweep.tables import NEVER, TradedCell, marks_of, ratio_of, sentences, shown_of

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
_BEFORE_TEST = ("validation_sharpe", "rank_on_validation")
_ROWS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("Validation Sharpe", "validation_sharpe", formats.ratio),
    ("Rank on validation", "rank_on_validation", formats.count),
    ("Test Sharpe", "sharpe", formats.ratio),
    ("Rank on test", "rank_on_test", formats.count),
    ("Total return on test", "total_return", formats.percent),
    ("Maximum drawdown on test", "max_drawdown", formats.percent),
    ("p of the test Sharpe, one-sided, as if it were the only trial", "sharpe_p_value", formats.probability),
    ("p among all trials, one-sided", "adjusted_p_value", formats.probability),
    ("Probabilistic Sharpe ratio: 1 − p, one-sided, as if alone", "probabilistic_sharpe", formats.probability),
    ("Deflated Sharpe ratio: 1 − p, one-sided, against the luckiest", "deflated_sharpe", formats.probability),
)


def render_page(result: Sweep, title: str) -> str:
    """Render a sweep as one HTML page.

    Parameters
    ----------
    result : Sweep
    title : str
        Heading of the page.

    Returns
    -------
    str
        HTML with style, script and figures inside; the same sweep gives the same text.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from embargo.research.studies.sweep import Axis, Sweep, render_page
    >>> cell = dict.fromkeys(["sharpe_low", "sharpe_high", "sharpe_p_value", "total_return", "max_drawdown"], 0.0)
    >>> cell |= {"settings": {"signal.half_life": 2.0}, "validation_sharpe": 1.1, "sharpe": 0.9}
    >>> cell |= {"rank_on_validation": 1, "rank_on_test": 1, "effective_trials": 1.8}
    >>> cell |= {"probabilistic_sharpe": 0.9, "deflated_sharpe": 0.7, "adjusted_p_value": 0.3}
    >>> span = {"start": "2016-01-04", "end": "2016-12-30", "bars": 252, "left_out_bars": 0}
    >>> figures = dict.fromkeys(["overfitting", "confidence_set", "best_of_attempts", "rank_correlation"])
    >>> figures |= dict.fromkeys(["cells", "competing", "ranked", "distinct_returns", "n_trials"], 2)
    >>> figures |= {"never_traded": {"validation": 0, "test": 0}, "n_partial": 0, "trials_elsewhere": 0}
    >>> figures |= {"validation": span, "test": span, "chosen": cell, "best_on_test": cell}
    >>> axis = Axis("signal.half_life", (1.0, 2.0))
    >>> ratios = {"validation_sharpe": [0.4, 1.1], "test_sharpe": [0.2, 0.9], "competes": True}
    >>> table = pd.DataFrame({axis.key: axis.values} | ratios)
    >>> result = Sweep(Path("runs/mine-sweep-1a2b3c4d"), [axis], table, 1, 1, figures)
    >>> "<title>Sweep of mine – Embargo sweep</title>" in render_page(result, "Sweep of mine")
    True
    """
    shown = shown_of(result, MOST_ROWS, always={result.chosen, result.best})
    data = result.figures.get("data") or {}
    return fill(
        "studies/sweep/page.html.j2",
        title=title,
        stamp=data.get("stamp"),
        status="invalid" if data.get("refused") else "caution",
        figures=result.figures,
        correlation=_correlation(result.figures["rank_correlation"]),
        lines=sentences(result),
        charts=[_chart(result, column) for column in _CAPTIONS],
        compared=_compared(result),
        heads=[axis.key for axis in result.axes],
        rows=[_row(result, cell) for cell in shown],
        left=len(result.table) - len(shown),
    )


def _chart(result: Sweep, column: str) -> dict[str, Any]:
    title, caption = _CAPTIONS[column]
    return placed(column.replace("_", "-"), heat_map(result, column), title=title, caption=caption)


def _compared(result: Sweep) -> list[dict[str, Any]]:
    pair = (result.figures["chosen"], result.figures["best_on_test"])
    settings = [
        {"name": axis.key, "cells": [formats.text(cell["settings"][axis.key]) for cell in pair]} for axis in result.axes
    ]
    return settings + [
        {"name": name, "cells": [_printed(cell, key, printed) for cell in pair]} for name, key, printed in _ROWS
    ]


def _printed(cell: dict[str, Any], key: str, printed: Callable[[Any], str]) -> str:
    """Print a figure of a cell, or why there is none."""
    if cell[key] is not None:
        return printed(cell[key])
    if key in _BEFORE_TEST or cell["sharpe"] is None:
        return NEVER
    return "other assumptions" if key == "rank_on_test" else "too few bars that move"


def _correlation(value: float | None) -> str:
    return "none, with fewer than three cells that traded on both and differ" if value is None else formats.ratio(value)


def _row(result: Sweep, cell: TradedCell) -> dict[str, Any]:
    return {
        "mark": marks_of(result, cell.position) or ("" if cell.competes else "other costs"),
        "cells": [
            *(TableCell(formats.text(value), numeric=not isinstance(value, str)) for value in cell.choice),
            TableCell(ratio_of(cell.validation_sharpe)),
            TableCell(ratio_of(cell.test_sharpe)),
        ],
    }
