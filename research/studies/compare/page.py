"""A comparison as one HTML page: what it comes to, the runs, their regimes and differences, settings and origins."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from embargo.research.pages import formats
from embargo.research.pages.charts import placed
from embargo.research.pages.page import fill
from embargo.research.pages.status import status_of, worst_status
from embargo.research.run.report.tables import name_of
from embargo.research.studies.compare import charts
from embargo.research.studies.compare.cautions import known_between
from embargo.research.studies.compare.comparison import Comparison
from embargo.research.studies.compare.many import heat_of, pareto_chart
from embargo.research.studies.compare.rows import Difference, differences, questions
from embargo.research.studies.compare.tables import (
    MANY,
    ParetoAxis,
    bayes_text,
    headline,
    over_all_bars,
    regimes_of,
    sentences,
    significance,
    stands,
    title_of,
    without,
)

_UNITS: dict[str, formats.Unit] = {
    "fraction a year": "percent",
    "Sharpe a year": "ratio",
    "standard deviations": "ratio",
}


def render_page(found: Comparison) -> str:
    """Render a comparison as one HTML page.

    Parameters
    ----------
    found : Comparison

    Returns
    -------
    str
        HTML with style, script and figures inside; the same comparison gives the same text.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.research.studies.compare import compare, render_page
    >>> bars = pd.bdate_range("2024-01-02", periods=60, tz="UTC")
    >>> texts = {"metrics.json": '{"bars_per_year": 252}', "manifest.json": "{}", "config.toml": "seed = 1"}
    >>> with tempfile.TemporaryDirectory() as place:
    ...     folders = [Path(place, name) for name in ("one", "two")]
    ...     for seed, folder in enumerate(folders):
    ...         folder.mkdir()
    ...         returns = np.random.default_rng(seed).normal(0.0, 0.01, 60)
    ...         pd.DataFrame({"net_return": returns}, index=bars).to_parquet(folder / "account.parquet")
    ...         pd.DataFrame(index=bars).to_parquet(folder / "regimes.parquet")
    ...         _ = [(folder / name).write_text(text) for name, text in texts.items()]
    ...     found = compare(folders)
    >>> "<title>two against one – Embargo comparison</title>" in render_page(found)
    True
    """
    many = len(found.runs) >= MANY
    axes: tuple[ParetoAxis, ...] = ("turnover", "cost") if many else ()
    drawn = [(spent, pareto_chart(found, spent)) for spent in axes]
    return fill(
        "studies/compare/page.html.j2",
        title=title_of(found),
        figures=found.figures,
        base=found.base.name,
        names=[run.name for run in found.runs],
        status=worst_status(run.status for run in found.runs),
        stamp=_stamp(found),
        headline=headline(found),
        lines=sentences(found),
        cautions=found.cautions,
        definitions=[(str(name), name_of(str(name))) for name in found.labels.columns],
        growth=placed("growth", charts.growth_chart(found)),
        sharpes=placed("sharpes", charts.sharpe_chart(found)),
        apart=placed("apart", charts.difference_chart(found)),
        heat=heat_of(found) if many and len(found.labels.columns) else None,
        paretos=[
            placed("pareto" if spent == "turnover" else f"pareto-{spent}", chart, spent=spent)
            for spent, chart in drawn
            if chart is not None
        ],
        undrawn=[without(found, spent) for spent, chart in drawn if chart is None and without(found, spent)],
        invalid=found.invalid,
        runs=_runs(found),
        regimes=_regimes(found),
        differences=_differences(found),
        questions=_questions(found),
        settings=_settings(found),
        origins=_origins(found),
        level=f"{100 * found.figures['level']:g}%",
    )


def _stamp(found: Comparison) -> str:
    if not found.invalid:
        return ""
    return f"INVALID: the audit of {', '.join(found.invalid)} found a leak"


def _runs(found: Comparison) -> list[dict[str, Any]]:
    overall = over_all_bars(found)
    rows = []
    for run in found.runs:
        row = overall[run.name]
        rows.append(
            {
                "name": run.name,
                "status": status_of(run.status),
                "base": run is found.base,
                "cells": [
                    formats.ratio(row.sharpe),
                    formats.interval((row.low, row.high)),
                    formats.probability(row.p_value),
                    formats.percent(row.annual_return),
                    formats.percent(row.annual_volatility),
                    formats.percent(row.max_drawdown),
                    formats.ratio(found.figures["correlation"][run.name]),
                    formats.count(run.n_trials),
                    formats.probability(run.deflated_sharpe),
                ],
            }
        )
    return rows


def _regimes(found: Comparison) -> list[dict[str, Any]]:
    """One group for each definition, one row for each regime, one cell for each run."""
    level = significance(found)
    sure = {(row.definition, row.regime, row.run) for row in differences(found) if stands(row, level)}
    groups: dict[str, list[dict[str, Any]]] = {}
    for (definition, regime), rows in regimes_of(found).items():
        cells = [
            {
                "sharpe": formats.ratio(row.sharpe),
                "interval": "" if row.note else formats.interval((row.low, row.high)),
                "stands": (definition, regime, row.run) in sure,
            }
            for row in rows
        ]
        note = next((row.note for row in rows if row.note and formats.is_missing(row.sharpe)), "")
        facts = {"bars": formats.count(rows[0].n_bars), "share": formats.percent(rows[0].share)}
        groups.setdefault(definition, []).append({"regime": regime, "cells": cells, "note": note, **facts})
    untested = {
        definition: row.note
        for (definition, _), rows in regimes_of(found).items()
        for row in rows
        if row.note and not formats.is_missing(row.sharpe)
    }
    return [
        {"definition": name_of(name) + (f": {untested[name]}" if name in untested else ""), "rows": rows}
        for name, rows in groups.items()
    ]


def _differences(found: Comparison) -> list[dict[str, Any]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    level = significance(found)
    for (definition, regime), same in groupby(differences(found), key=lambda row: (row.definition, row.regime)):
        rows = list(same)
        notes = {row.note for row in rows}
        group = groups.setdefault(definition, [])
        if len(rows) > 1 and len(notes) == 1 and all(row.difference is None for row in rows):
            cells = [formats.count(rows[0].n_bars), formats.MISSING]
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
            for row in rows
        ]
    return [{"definition": name_of(name), "rows": rows} for name, rows in groups.items()]


def _printed(row: Difference) -> list[str]:
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
    for row in questions(found):
        printed = _UNITS.get(row.unit, "number")
        groups.setdefault(row.run, []).append(
            [
                row.question,
                row.test,
                formats.value_of(row.estimate, printed),
                row.unit.removeprefix("fraction "),
                formats.interval((row.low, row.high), printed),
                formats.probability(row.p_value),
                row.n,
            ]
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
                formats.count(run.n_articles),
                known_between(run),
                run.fingerprint("news")[:12] or formats.MISSING,
                run.fingerprint("prices")[:12] or formats.MISSING,
                "yes" if run.sealed else "no",
                str(run.manifest.get("commit") or formats.MISSING)[:12],
                str(run.manifest.get("created_at") or formats.MISSING),
            ]
        )
    return rows
