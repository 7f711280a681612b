"""The report of a run as one HTML page: figures to JSON, frames to printed cells, and both into the template."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
from markupsafe import Markup

from embargo.backtest.leakage.findings import AuditVerdict
from embargo.research.pages import formats
from embargo.research.pages.charts import Chart, placed
from embargo.research.pages.compact import Columns
from embargo.research.pages.page import fill
from embargo.research.pages.status import STATUS_WORDS, STATUSES, VERDICT_ICONS, VERDICT_WORDS, VERDICTS, Status
from embargo.research.pages.tables import TableCell
from embargo.research.run.report import charts
from embargo.research.run.report.book import book_part
from embargo.research.run.report.contents import DataPart, MetricRow, ReportData

MAX_EVIDENCE_ROWS = 20
# The style sheet knows the verdicts of the leakage audit; a check of the data takes the colours of its equal.
_GRADE_KINDS: dict[str, AuditVerdict] = {"bad": "leak", "look": "suspicious", "clean": "pass"}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_REGIME_CELLS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("bars", "Bars", formats.count),
    ("share", "Share of time", formats.percent),
    ("sharpe", "Sharpe", formats.ratio),
    ("interval", "Interval", str),
    ("p_value", "p, one-sided", formats.probability),
    ("p_value_holm", "p (Holm), one-sided", formats.probability),
    ("annual_return", "Return a year", formats.percent),
    ("return_interval", "Interval", str),
    ("max_drawdown", "Max drawdown", formats.percent),
    ("hit_rate", "Hit rate", formats.percent),
    ("turnover_annual", "Turnover", formats.ratio),
    ("n_trades", "Trades", formats.count),
    ("trade_hit_rate", "Trades that gained", formats.percent),
)
_FOLD_CELLS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("train_samples", "Training", formats.count),
    ("validation_samples", "Validation", formats.count),
    ("test_samples", "Test", formats.count),
    ("purged", "Purged", formats.count),
    ("embargoed", "Embargoed", formats.count),
    ("epochs", "Epochs", formats.number),
    ("temperature", "Temperature", formats.ratio),
    ("macro_f1", "Macro-F1", formats.coefficient),
)


# Only where folds take bases of their own: elsewhere the audit names the one there is.
_BASE_CELL = ("base", "Base", formats.text)
# Only where model.scorer = "auto" left the choice to each fold.
_RUNTIME_CELL = ("runtime", "Scored with", formats.text)


def render_page(data: ReportData) -> str:
    """Render the report of a run as one HTML page.

    Parameters
    ----------
    data : ReportData
        All that the page shows.

    Returns
    -------
    str
        HTML with style, script and figures inside; the same data give the same text.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.research.run.report import ReportData, render_page
    >>> bars = pd.date_range("2024-01-02", periods=3, tz="UTC")
    >>> data = ReportData(
    ...     name="mine",
    ...     status="valid",
    ...     stamp=None,
    ...     verdict_headline="Chance explains it",
    ...     verdict_text="Three bars say nothing.",
    ...     headline=[("Total return", "1.0%", "after costs")],
    ...     metrics=[],
    ...     equity=pd.DataFrame({"strategy": [1.0, 1.02, 1.01]}, index=bars),
    ... )
    >>> "<title>mine – Valid – Embargo report</title>" in render_page(data)
    True
    """
    stamps, columns = _stamps(data), Columns()
    return fill(
        "run/report/page.html.j2",
        columns,
        data=data,
        title=data.name,
        status=data.status,
        stamps=stamps,
        stamp_css=Markup(_css_string(" – ".join(text for _, _, text in stamps))),  # noqa: S704 - escaped for CSS
        untrusted=any(kind == "invalid" for kind, _, _ in stamps),
        worth=_worth(data.data),
        period=_period(data),
        definitions=[] if data.regimes is None else [(name, name) for name in data.regimes.columns],
        charts=_charts(data, columns),
        book=book_part(data.book, columns, level=data.level, sources=data.book_sources),
        tiles_across=_tiles_across(len(data.headline)),
        metrics=_metrics(data),
        months=MONTHS,
        monthly=_monthly(data.equity["strategy"]),
        regime_head=[head for _, head, _ in _REGIME_CELLS],
        regimes=_regime_groups(data.regime_table),
        fold_head=[head for _, head, _ in _fold_cells(data.folds)],
        folds=_fold_rows(data.folds),
        permutation=_permutation(data.permutation),
        confusion=_confusion(data.confusion),
        classification=_classification(data.classification),
        findings=_findings(data.findings),
        tally=_tally(data.findings),
        not_tested=data.not_tested,
        counts=_counts(data.counts),
        config=formats.toml(data.config),
        manifest=formats.flat(data.manifest),
    )


def _stamps(data: ReportData) -> list[tuple[Status, str, str]]:
    """Stamps of the audit and of the data, each with the look and the word of its watermark, the gravest first."""
    stamps: list[tuple[Status, str, str]] = []
    if data.stamp:
        stamps.append((data.status, STATUS_WORDS[data.status], data.stamp))
    if data.data is not None and data.data.stamp:
        refused = data.data.refused
        stamps.append(
            (
                "invalid" if refused else "caution",
                "Bad\N{NO-BREAK SPACE}data" if refused else "Caution",
                data.data.stamp,
            )
        )
    return sorted(stamps, key=lambda stamp: STATUSES.index(stamp[0]))


def _worth(part: DataPart | None) -> dict[str, Any] | None:
    """Lay out what the data are worth: the checks that are not clean with their examples, and the clean ones."""
    if part is None:
        return None
    checks = [
        {
            **check,
            "kind": _GRADE_KINDS[check["verdict"]],
            "icon": VERDICT_ICONS[_GRADE_KINDS[check["verdict"]]],
            "evidence": _evidence(check["rows"].to_dict("records")),
        }
        for check in part.checks
    ]
    kind = "suspicious" if part.grade == "bad" and not part.refused else _GRADE_KINDS[part.grade]
    return {
        "kind": kind,
        "icon": VERDICT_ICONS[kind],
        "word": f"Data: {part.grade}{', accepted' if part.grade == 'bad' and not part.refused else ''}",
        "refused": part.refused,
        "summary": part.summary,
        "noticed": [check for check in checks if check["verdict"] != "clean"],
        "clean": [check for check in checks if check["verdict"] == "clean"],
        "without": part.without,
    }


def _css_string(text: str) -> str:
    """Quote text for CSS with every sign but letters, digits and spaces as a code point."""
    signs = (sign if sign.isascii() and (sign.isalnum() or sign == " ") else f"\\{ord(sign):06x}" for sign in text)
    return '"' + "".join(signs) + '"'


def _charts(data: ReportData, columns: Columns) -> dict[str, dict[str, Any] | None]:
    drawn: dict[str, Chart | None] = {
        "equity": charts.equity_chart(data.equity, data.regimes),
        "regimes": _drawn(partial(charts.regime_chart, significance=data.significance), data.regime_table),
        "permutation": None if data.permutation is None else charts.permutation_chart(data.permutation),
        "reliability": _drawn(charts.reliability_chart, data.reliability),
        "folds": _drawn(charts.folds_chart, data.folds),
    }
    return {name: None if chart is None else placed(name, chart, columns) for name, chart in drawn.items()}


def _drawn(draw: Callable[[pd.DataFrame], Chart], frame: pd.DataFrame | None) -> Chart | None:
    return None if frame is None or frame.empty else draw(frame)


def _period(data: ReportData) -> str:
    index = data.equity.index
    rivals = [str(column) for column in data.equity.columns if column != "strategy"]
    against = f" · against {', '.join(rivals)}" if rivals else ""
    first, last = formats.instant(index[0].normalize()), formats.instant(index[-1].normalize())
    # The curve has a point before the first bar, where it starts at 1.
    return f"{first} to {last} · {len(index) - 1:,} bars{against}"


def _tiles_across(number: int) -> int:
    """Columns that spread the tiles evenly over rows of at most six."""
    rows = max(1, math.ceil(number / 6))
    return max(1, math.ceil(number / rows))


def _metrics(data: ReportData) -> dict[str, Any]:
    rivals = list(dict.fromkeys(str(name) for row in data.metrics for name in row.benchmarks))

    def cells(row: MetricRow) -> list[TableCell]:
        return [
            TableCell(formats.value_of(row.strategy, row.unit)),
            TableCell(formats.interval(row.interval, row.unit)),
            *(TableCell(formats.value_of(row.benchmarks.get(name), row.unit)) for name in rivals),
        ]

    rows = [{"name": row.name, "definition": row.definition, "cells": cells(row)} for row in data.metrics]
    return {"rivals": rivals, "rows": rows}


def monthly_returns(growth: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Chain a strategy's growth from month end to month end, and from year end to year end.

    Parameters
    ----------
    growth : Series
        Of 1, by instants in UTC; without a value none of it counts.

    Returns
    -------
    Series, Series
        Returns as fractions, by (year, month) and by year.

    Examples
    --------
    >>> import pandas as pd
    >>> ends = pd.to_datetime(["2023-11-30 21:00Z", "2023-12-29 21:00Z", "2024-01-31 21:00Z"])
    >>> months, years = monthly_returns(pd.Series([1.0, 1.1, 1.21], index=ends))
    >>> months.round(3).to_dict(), years.round(3).to_dict()
    ({(2023, 11): 0.0, (2023, 12): 0.1, (2024, 1): 0.1}, {2023: 0.1, 2024: 0.1})
    """
    known = growth.dropna()
    index = pd.DatetimeIndex(known.index)
    start = known.iloc[:1].sum()
    ends, year_ends = (known.groupby(keys).last() for keys in ([index.year, index.month], index.year))
    return ends / ends.shift(fill_value=start) - 1.0, year_ends / year_ends.shift(fill_value=start) - 1.0


def _monthly(equity: pd.Series) -> list[dict[str, Any]]:
    """Lay out the strategy's returns: years in rows, months and the whole year in columns."""
    returns, year_returns = monthly_returns(equity)
    if returns.empty:
        return []
    scale = float(returns.abs().max()) or 1.0
    return [
        {
            "year": str(year),
            "cells": [
                TableCell("")
                if (year, month) not in returns.index
                else _return_cell(float(returns.loc[(year, month)]), scale)
                for month in range(1, 13)
            ]
            + [TableCell(formats.percent(year_returns.loc[year]))],
        }
        for year in year_returns.index
    ]


def _return_cell(value: float, scale: float) -> TableCell:
    strength = round(min(1.0, abs(value) / scale), 2)
    return TableCell(formats.percent(value), strength=strength, side="up" if value > 0 else "down")


def _regime_groups(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    """One group of rows per definition, in the order of the table."""
    if table is None:
        return []
    returns = table.reindex(columns=["annual_return_low", "annual_return_high"])
    shown = table.assign(
        interval=[formats.interval((low, high)) for low, high in zip(table["low"], table["high"], strict=True)],
        return_interval=[formats.interval((low, high), "percent") for low, high in returns.itertuples(index=False)],
    )
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in shown.to_dict("records"):
        group = groups.setdefault(_titled(shown, row["definition"]), [])
        # The reason stands in the place of the figures, where it is read, not beyond the last column.
        note = "" if formats.is_missing(row.get("note")) or not formats.is_missing(row["sharpe"]) else str(row["note"])
        cells = _cells(row, _REGIME_CELLS[:2] if note else _REGIME_CELLS)
        group.append({"regime": formats.text(row["regime"]), "cells": cells, "note": note})
    return [{"definition": definition, "rows": rows} for definition, rows in groups.items()]


def _titled(table: pd.DataFrame, definition: Any) -> str:
    """Name a definition, with the reason why none of its regimes has an interval, if it is one for all of them."""
    judged = table.loc[(table["definition"] == definition) & table["sharpe"].notna()]
    reasons = set(judged["note"]) if "note" in judged.columns else set()
    reason = reasons.pop() if len(reasons) == 1 else ""
    name = formats.text(definition)
    return name if formats.is_missing(reason) or judged["low"].notna().any() else f"{name}: {reason}"


def _fold_cells(folds: pd.DataFrame | None) -> tuple[tuple[str, str, Callable[[Any], str]], ...]:
    there = () if folds is None else folds.columns
    return (*_FOLD_CELLS, *(cell for cell in (_BASE_CELL, _RUNTIME_CELL) if cell[0] in there))


def _fold_rows(folds: pd.DataFrame | None) -> list[dict[str, Any]]:
    if folds is None:
        return []
    return [
        {
            "fold": formats.text(row["fold"]),
            "spans": [
                (formats.instant(row[f"{part}_start"]), formats.instant(row[f"{part}_end"]))
                for part in ("train", "validation", "test")
            ],
            "cells": _cells(row, _fold_cells(folds)),
        }
        for row in folds.to_dict("records")
    ]


def _cells(row: Mapping[Any, Any], columns: Sequence[tuple[str, str, Callable[[Any], str]]]) -> list[TableCell]:
    return [TableCell(printed(row.get(key))) for key, _, printed in columns]


def _permutation(permutation: Mapping[str, Any] | None) -> dict[str, str] | None:
    if permutation is None:
        return None
    drawn = permutation.get("permutations", sum(int(number) for number in permutation["counts"]))
    return {
        "statistic": formats.text(permutation.get("statistic", "Sharpe ratio")),
        "observed": formats.ratio(permutation["observed"]),
        "p_value": formats.probability(permutation["p_value"]),
        "permutations": formats.count(drawn),
        "method": str(permutation.get("method") or ""),
    }


def _confusion(confusion: pd.DataFrame | None) -> dict[str, Any] | None:
    if confusion is None:
        return None
    rows = []
    for name, row in confusion.iterrows():
        total = float(row.sum())
        shares = [float(value) / total if total else 0.0 for value in row]
        rows.append(
            {
                "name": str(name),
                "cells": [
                    {"count": formats.count(value), "share": formats.percent(share), "strength": round(share, 2)}
                    for value, share in zip(row, shares, strict=True)
                ],
            }
        )
    return {"classes": [str(column) for column in confusion.columns], "rows": rows}


def _classification(classification: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not classification:
        return None

    def printed(value: Any) -> str:
        return formats.coefficient(value) if isinstance(value, float) and -1 <= value <= 1 else formats.text(value)

    def fact(name: str, value: Any) -> tuple[str, str, str]:
        if not isinstance(value, tuple):
            return formats.plain(name), printed(value), ""
        return formats.plain(name), printed(value[0]), f"{printed(value[1])} to {printed(value[2])}"

    nested = {str(name): entry for name, entry in classification.items() if isinstance(entry, Mapping)}
    columns = list(dict.fromkeys(str(key) for entry in nested.values() for key in entry))
    return {
        "scalars": [fact(str(name), value) for name, value in classification.items() if not isinstance(value, Mapping)],
        "columns": [formats.plain(column) for column in columns],
        "rows": [(name, [printed(entry.get(column)) for column in columns]) for name, entry in nested.items()],
    }


def _findings(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    ordered = sorted(findings, key=lambda finding: (VERDICTS.index(finding["verdict"]), str(finding.get("code", ""))))
    return [
        {
            "code": formats.text(finding.get("code")),
            "verdict": finding["verdict"],
            "word": VERDICT_WORDS[finding["verdict"]],
            "icon": VERDICT_ICONS[finding["verdict"]],
            "title": formats.text(finding.get("title")),
            "detail": formats.instants_in(str(finding.get("detail") or "")),
            "effect": _effect(finding),
            "remedy": str(finding.get("remedy") or ""),
            "evidence": _evidence(finding.get("evidence") or []),
        }
        for finding in ordered
    ]


def _effect(finding: Mapping[str, Any]) -> str:
    """Print the size of what a check measured, with its interval and unit; nothing if it measured none."""
    if formats.is_missing(finding.get("effect")):
        return ""
    told = formats.percent if str(finding.get("unit") or "").startswith("share of ") else formats.text
    said = told(finding["effect"])
    if finding.get("interval"):
        low, high = finding["interval"]
        said += f", 95% interval {told(low)} to {told(high)}"
    return f"{said} ({finding['unit']})" if finding.get("unit") else said


def _evidence(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    if not rows:
        return None
    columns = list(dict.fromkeys(str(key) for row in rows for key in row))
    shown = [[_cell(column, row.get(column)) for column in columns] for row in rows[:MAX_EVIDENCE_ROWS]]
    return {"columns": [formats.plain(column) for column in columns], "rows": shown, "more": len(rows) - len(shown)}


def _cell(column: str, value: Any) -> str:
    """Print what stands in a column of evidence: shares in percent, instants without what nobody reads."""
    if isinstance(value, float) and {"share", "shares"} & set(column.split("_")):
        return formats.percent(value)
    return formats.instants_in(formats.text(value))


def _tally(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    numbers = {verdict: sum(finding["verdict"] == verdict for finding in findings) for verdict in VERDICTS}
    return [
        {"verdict": verdict, "word": VERDICT_WORDS[verdict].lower(), "icon": VERDICT_ICONS[verdict], "number": number}
        for verdict, number in numbers.items()
        if number
    ]


def _counts(counts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Group what was dropped by stage; reasons without a stage come first, under no heading."""
    loose = {reason: number for reason, number in counts.items() if not isinstance(number, Mapping)}
    groups = ([("", loose)] if loose else []) + [(s, e) for s, e in counts.items() if isinstance(e, Mapping)]
    return [
        {
            "stage": formats.plain(stage),
            "rows": [
                (formats.plain(reason), formats.count(value) if value.isdecimal() else value)
                for reason, value in formats.flat(dict(entries))
            ],
        }
        for stage, entries in groups
    ]
