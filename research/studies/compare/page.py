"""A comparison as one HTML page that opens offline, in the dress of the run report.

The style sheet, the chart script and the number formats are those of `embargo.research.run.report`; everything from
outside is escaped, and the same comparison gives the same page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from embargo.research.pages import formats
from embargo.research.pages.page import fill, placed, write_whole
from embargo.research.run.report.page import STATUS_ICONS, STATUS_WORDS
from embargo.research.run.report.tables import name_of
from embargo.research.studies.compare import charts
from embargo.research.studies.compare.comparison import EVERYTHING, Comparison
from embargo.research.studies.compare.tables import (
    bayes_text,
    grid,
    headline,
    sentences,
    significance,
    stands,
    title_of,
)

_WORST = ("invalid", "caution", "valid")
_UNITS = {"fraction a year": formats.percent, "Sharpe a year": formats.ratio, "standard deviations": formats.ratio}


def render_page(found: Comparison) -> str:
    """Render a comparison as one HTML page with plotly.js, style and figures inside."""
    status = next((one for one in _WORST if any(run.status == one for run in found.runs)), "caution")
    return fill(
        "embargo.research.studies.compare",
        "page.html.j2",
        title=title_of(found),
        figures=found.figures,
        base=found.base.name,
        names=[run.name for run in found.runs],
        status=status,
        status_word=STATUS_WORDS[status],
        status_icon=STATUS_ICONS[status],
        stamp=_stamp(found),
        headline=headline(found),
        lines=sentences(found),
        cautions=found.cautions,
        definitions=[(str(name), name_of(str(name))) for name in found.labels.columns],
        growth=placed("growth", charts.growth_chart(found)),
        sharpes=placed("sharpes", charts.sharpe_chart(found)),
        apart=placed("apart", charts.difference_chart(found)),
        runs=_runs(found),
        regimes=_regimes(found),
        differences=_differences(found),
        questions=_questions(found),
        settings=_settings(found),
        origins=_origins(found),
        level=f"{100 * found.figures['level']:g}%",
        missing=formats.MISSING,
    )


def write_page(found: Comparison, path: str | Path) -> Path:
    """Render a comparison and write the page whole or not at all; MissingPartError if its folder does not exist."""
    return write_whole(render_page(found), path, what="comparison")


def _stamp(found: Comparison) -> str:
    if not found.invalid:
        return ""
    return f"INVALID: the audit of {', '.join(found.invalid)} found a leak"


def _runs(found: Comparison) -> list[dict[str, Any]]:
    overall = found.cells[found.cells["definition"] == EVERYTHING[0]].set_index("run")
    rows = []
    for run in found.runs:
        row = overall.loc[run.name]
        rows.append(
            {
                "name": run.name,
                "status": run.status if run.status in STATUS_WORDS else "caution",
                "base": run is found.base,
                "cells": [
                    formats.ratio(row["sharpe"]),
                    formats.interval((row["low"], row["high"])),
                    formats.probability(row["p_value"]),
                    formats.percent(row["annual_return"]),
                    formats.percent(row["annual_volatility"]),
                    formats.percent(row["max_drawdown"]),
                    formats.ratio(found.figures["correlation"][run.name]),
                    formats.count(run.n_trials),
                    formats.probability(run.deflated_sharpe),
                ],
            }
        )
    return rows


def _regimes(found: Comparison) -> list[dict[str, Any]]:
    """One group for each definition, one row for each regime, one cell for each run."""
    sure = {
        (row.definition, row.regime, row.run)
        for row in found.differences.itertuples()
        if stands(row, significance(found))
    }
    groups: dict[str, list[dict[str, Any]]] = {}
    for (definition, regime), row in grid(found).iterrows():
        if definition == EVERYTHING[0]:
            continue
        first = row.iloc[0]
        cells = [
            {
                "sharpe": formats.ratio(cell.sharpe),
                "interval": formats.interval((cell.low, cell.high)),
                "stands": (definition, regime, cell.run) in sure,
            }
            for cell in row
        ]
        note = next((str(cell.note) for cell in row if cell.note), "")
        facts = {"bars": formats.count(first.n_bars), "share": formats.percent(first.share)}
        groups.setdefault(definition, []).append({"regime": regime, "cells": cells, "note": note, **facts})
    return [{"definition": name_of(name), "rows": rows} for name, rows in groups.items()]


def _differences(found: Comparison) -> list[dict[str, Any]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    level = significance(found)
    for (definition, regime), rows in found.differences.groupby(["definition", "regime"], sort=False):
        notes = set(rows["note"])
        group = groups.setdefault(str(definition), [])
        if len(rows) > 1 and len(notes) == 1 and rows["difference"].isna().all():
            cells = [formats.count(rows["n_bars"].iloc[0]), formats.MISSING]
            group.append({"regime": regime, "run": "all", "stands": False, "note": notes.pop(), "cells": cells})
            continue
        group += [
            {
                "regime": regime,
                "run": row.run,
                "stands": stands(row, level),
                "note": row.note,
                "cells": _printed(row),
            }
            for row in rows.itertuples()
        ]
    return [{"definition": name_of(name), "rows": rows} for name, rows in groups.items()]


def _printed(row: Any) -> list[str]:
    return [
        formats.count(row.n_bars),
        formats.ratio(row.difference),
        formats.interval((row.low, row.high)),
        formats.probability(row.p_value),
        formats.probability(row.p_value_holm),
        formats.probability(row.probability),
        formats.probability(row.equal),
        bayes_text(row.bayes_factor),
        formats.ratio(row.detectable),
    ]


def _questions(found: Comparison) -> list[dict[str, Any]]:
    groups: dict[str, list[list[str]]] = {}
    for row in found.questions.itertuples():
        printed = _UNITS.get(str(row.unit), formats.number)
        unit = str(row.unit).removeprefix("fraction ")
        missing = formats.is_missing(row.low)
        between = formats.MISSING if missing else f"{printed(row.low)} to {printed(row.high)}"
        groups.setdefault(str(row.run), []).append(
            [row.question, row.test, printed(row.estimate), unit, between, formats.probability(row.p_value), row.n]
        )
    return [{"run": name, "rows": rows} for name, rows in groups.items()]


def _settings(found: Comparison) -> list[dict[str, Any]]:
    return [{"key": key, "cells": [str(value) for value in row]} for key, row in found.settings.iterrows()]


def _origins(found: Comparison) -> list[list[str]]:
    rows = []
    for run in found.runs:
        index = run.returns.index
        rows.append(
            [
                run.name,
                f"{index[0]:%Y-%m-%d} to {index[-1]:%Y-%m-%d}",
                formats.count(len(run.returns)),
                run.window[:12] or formats.MISSING,
                str(run.manifest.get("commit") or formats.MISSING)[:12],
                str(run.manifest.get("created_at") or formats.MISSING),
            ]
        )
    return rows
