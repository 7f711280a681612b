"""The tables and texts of a tear sheet: each takes a page, a place and contents, and returns the y below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from embargo.backtest.leakage import not_tested
from embargo.research.pages import formats
from embargo.research.pages.status import STATUS_ICONS, STATUS_WORDS, VERDICT_WORDS, VERDICTS, status_of
from embargo.research.records.figures import labels_of
from embargo.research.records.frictions import CostPaid
from embargo.research.records.metrics import Drawdown, Metrics, Performance, Relative
from embargo.research.run.report.assemble import headline_of
from embargo.research.run.report.page import MONTHS, monthly_returns
from embargo.research.run.report.tables import attempts_table, costs_table, name_of
from embargo.research.studies.sheet.contents import SheetContents, section_of, stamps_of
from embargo.research.studies.sheet.paper import (
    ELLIPSIS,
    INNER,
    MARGIN,
    Paper,
    Side,
    joined,
    printable,
    shortened,
    width_of,
    wrapped,
)

REST = "more in report.html"
PITCH = 9.6
_CELL = 6.6
_STATUS_COLOURS = {"valid": "good", "caution": "warn", "invalid": "bad"}
_DATA_COLOURS = {"clean": "good", "look": "warn", "accepted": "warn", "bad": "bad"}
_FIGURES = (
    "total_return", "annual_return", "annual_volatility", "sharpe", "sortino", "calmar", "max_drawdown",
    "longest_drawdown_bars", "hit_rate",
)  # fmt: skip
# Of the strategy against each benchmark.
_AGAINST: dict[str, Callable[[float | None], str]] = {
    "alpha_annual": formats.percent,
    "alpha_p_value_holm": formats.probability,
    "beta": formats.ratio,
}
_PERCENT = {"total_return", "annual_return", "annual_volatility", "max_drawdown", "hit_rate"}


class Column(NamedTuple):
    """A column of a table: its head, its share of the width, and the side on which its cells stand."""

    head: str
    share: float
    side: Side = "right"


def table(
    paper: Paper,
    x: float,
    y: float,
    wide: float,
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    strong: frozenset[int] = frozenset(),
) -> float:
    """Set a table; a name that is too wide is shortened, a figure set smaller; rows in ``strong`` are bold."""
    whole = sum(column.share for column in columns)
    left, places = x, list[tuple[float, float]]()
    for column in columns:
        places.append((left, wide * column.share / whole))
        left += places[-1][1]
    heads = [wrapped(column.head, 6.0, room - 4.0) for column, (_, room) in zip(columns, places, strict=True)]
    deep = max(len(lines) for lines in heads)
    for lines, column, place in zip(heads, columns, places, strict=True):
        for number, line in enumerate(lines, deep - len(lines)):
            _cell(paper, place, y + 7.4 * number, line, column.side, size=6.0, colour="muted")
    y += 7.4 * (deep - 1) + 3.0
    paper.line([x, x + wide], [y, y], colour="line", width=0.5)
    for number, row in enumerate(rows):
        y += PITCH
        for words, column, place in zip(row, columns, places, strict=True):
            bold = number in strong
            shown, room = printable(words), place[1] - 3.0
            if column.side == "left":
                shown = shortened(shown, _CELL, room, bold=bold)
            _cell(paper, place, y - 1.6, shown, column.side, size=_fitting(shown, room, bold=bold), bold=bold)
    return y + 12.0


def _cell(
    paper: Paper, place: tuple[float, float], y: float, words: str, side: Side, *, size: float, colour: str = "ink",
    bold: bool = False,
) -> None:  # fmt: skip
    x = place[0] if side == "left" else place[0] + place[1]
    paper.text(x, y, words, size=size, colour=colour, bold=bold, side=side)


def _fitting(words: str, room: float, *, bold: bool = False) -> float:
    """Return the size at which a figure fits: none of its digits may be left out."""
    return min(_CELL, room / max(1e-9, width_of(words, 1.0, bold=bold)))


def cut(words: str, size: float, room: float, most: int, *, bold: bool = False) -> list[str]:
    """Return the lines of a text, at most so many, the last of them saying where the rest stands.

    Examples
    --------
    >>> cut("of many words a few are shown and the others are not", 7.0, 100.0, 2)
    ['of many words a few are', '… (more in report.html)']
    """
    lines = wrapped(words, size, room, bold=bold)
    if len(lines) <= most:
        return lines
    end = f"{ELLIPSIS} ({REST})"
    last = lines[most - 1].split()
    while last and width_of(" ".join([*last, end]), size, bold=bold) > room:
        last.pop()
    return [*lines[: most - 1], " ".join([*last, end])]


def facts(
    paper: Paper, x: float, y: float, wide: float, rows: Sequence[tuple[str, str]], *, head: float, most: int = 2
) -> float:
    """Set (what, told) below each other, what is told wrapped in its own column; what is left out is marked."""
    for what, told in rows:
        paper.text(x, y, what, size=_CELL, colour="muted")
        lines = wrapped(printable(told), _CELL, wide - head)
        if len(lines) > most:
            lines = [*lines[: most - 1], shortened(" ".join(lines[most - 1 :]), _CELL, wide - head)]
        y = paper.lines(x + head, y, lines, size=_CELL) + 0.9
    return y + 6.0


def stamp_bars(paper: Paper, contents: SheetContents, y: float) -> float:
    """Set the stamps of a run over the whole width, as every page of it carries them."""
    for colour, told in stamps_of(contents):
        lines = cut(printable(told), 7.4, INNER - 12.0, 2, bold=True)
        high = 9.8 * len(lines) + 5.0
        paper.box(MARGIN, y, INNER, high, fill=colour if colour == "bad" else "warn-tint")
        paper.lines(MARGIN + 6.0, y + 9.6, lines, size=7.4, bold=True, colour="panel" if colour == "bad" else "warn")
        y += high + 3.0
    return y


def badges(paper: Paper, contents: SheetContents, right: float, y: float) -> float:
    """Set what audit and data checks came to, so that it ends at the right; return the left end."""
    status, data = status_of(contents.run.status), contents.run.data
    shown = [("Data: not judged" if data is None else f"Data: {data}", _DATA_COLOURS.get(str(data), "muted"))]
    told = f"{STATUS_ICONS[status]} {STATUS_WORDS[status]}"
    shown += [("Not audited", "warn") if contents.findings is None else (told, _STATUS_COLOURS[status])]
    for words, colour in shown:
        wide = width_of(words, 8.0, bold=True) + 12.0
        right -= wide
        paper.box(right, y - 9.6, wide, 13.6, edge=colour)
        paper.text(right + 6.0, y, words, size=8.0, bold=True, colour=colour)
        right -= 5.0
    return right


def verdict_block(paper: Paper, contents: SheetContents, y: float) -> float:
    """Set the verdict over its figures: interval and p-values before anything else."""
    metrics, tiles = contents.metrics, headline_of(contents.metrics)
    x, wide = MARGIN + 10.0, (INNER - 16.0) / len(tiles)
    headline = cut(printable(metrics.verdict or "This run gives no verdict."), 11.0, INNER - 20.0, 2, bold=True)
    notes = [wrapped(note, 5.9, wide - 6.0) for _, _, note in tiles]
    labels = [wrapped(label, 6.0, wide - 6.0) for label, _, _ in tiles]
    said = _reach(metrics)
    deep, more = max(map(len, labels)), max(map(len, notes))
    high = 16.0 + 14.0 * len(headline) + 7.6 * deep + 18.0 + 7.6 * more + 9.0 * len(said) + 4.0
    paper.box(MARGIN, y, INNER, high, fill="plain-tint")
    colour = "bad" if contents.run.status == "invalid" else "good" if metrics.edge else "ink"
    paper.box(MARGIN, y, 3.0, high, fill=colour if colour != "ink" else "muted")
    top = paper.lines(x, y + 15.0, headline, size=11.0, bold=True, colour=colour) + 1.0
    for number, (_, value, _) in enumerate(tiles):
        left = x + wide * number
        paper.lines(left, top, labels[number], size=5.9, colour="muted")
        paper.text(left, top + 7.6 * deep + 7.0, value, size=13.0, bold=True)
        paper.lines(left, top + 7.6 * deep + 15.5, notes[number], size=5.9, colour="muted")
    paper.lines(x, top + 7.6 * (deep + more) + 22.5, said, size=6.6)
    return y + high + 14.0


def _reach(metrics: Metrics) -> list[str]:
    told = []
    if metrics.detectable_sharpe is not None:
        told.append(
            f"A sample like this one shows a true Sharpe ratio of {formats.ratio(metrics.detectable_sharpe)} a year "
            "or more in 80 % of cases."
        )
    if metrics.sample.doubts:
        told.append(f"Size of the tests not known to hold here: {'; '.join(metrics.sample.doubts)}.")
    return [line for each in told for line in cut(printable(each), 6.6, INNER - 22.0, 3)]


def monthly_table(paper: Paper, growth: pd.Series, y: float, most: int) -> float:
    """Set the strategy's returns by month and year, shaded by size; earlier years that do not fit stand together."""
    months, years = monthly_returns(growth)
    y = paper.heading(MARGIN, y, INNER, "Returns by month")
    first, wide = 74.0, (INNER - 74.0) / 13.0
    for number, name in enumerate((*MONTHS, "Year")):
        paper.text(MARGIN + first + wide * (number + 1) - 3.0, y, name, size=6.0, colour="muted", side="right")
    shown = years.index[-most:] if len(years) > most else years.index
    if len(shown) < len(years):
        shown, early = shown[1:], years[: 1 - most]
        whole = formats.percent(float(np.prod(1.0 + early.to_numpy(dtype=float))) - 1.0)
        y += PITCH
        paper.text(MARGIN, y, f"{early.index[0]}–{early.index[-1]}", size=_CELL)
        paper.text(
            MARGIN + INNER - 3.0, y, f"{len(early)} years together {whole}, by month in report.html", size=_CELL,
            side="right",
        )  # fmt: skip
    scale = float(months.abs().max()) or 1.0
    for year in shown:
        y += PITCH
        paper.text(MARGIN, y, str(year), size=_CELL)
        for month in range(1, 13):
            if (year, month) in months.index:
                value = float(months.loc[(year, month)])
                x = MARGIN + first + wide * (month - 1)
                paper.box(
                    x + 1.0, y - 7.0, wide - 2.0, PITCH - 0.8, fill="#177846" if value > 0 else "#be3228",
                    alpha=0.32 * min(1.0, abs(value) / scale),
                )  # fmt: skip
                told = formats.percent(value)
                paper.text(x + wide - 3.0, y, told, size=_fitting(told, wide - 4.0), side="right")
        told = formats.percent(years.loc[year])
        size = _fitting(told, wide - 4.0, bold=True)
        paper.text(MARGIN + INNER - 3.0, y, told, size=size, bold=True, side="right")
    return y + 16.0


def figures_table(paper: Paper, contents: SheetContents, x: float, y: float, wide: float) -> float:
    """Set the headline figures of the strategy beside those of the benchmarks."""
    metrics = contents.metrics
    rivals = {name: found for name, found in metrics.benchmarks.items() if name != "cash"}
    kept = dict(list(rivals.items())[:3])
    y = paper.heading(x, y, wide, "Against the benchmarks")
    if len(kept) < len(rivals):
        left = f"{len(rivals) - len(kept)} {REST}"
        paper.text(x + wide, y - 13.0, left, size=6.2, colour="muted", side="right")
    columns = [Column("", 1.75, "left"), Column("strategy", 1.0)]
    columns += [Column(shortened(printable(name.replace("_", " ")), 6.0, 60.0), 1.1) for name in kept]
    rows = [
        [label, *(_figure(name, getattr(found, name)) for found in (metrics, *kept.values()))]
        for name, label in zip(_FIGURES, labels_of(Performance, *_FIGURES), strict=True)
    ]
    against = [metrics.relative.get(name) for name in kept]
    rows += [
        [label, "", *(formats.MISSING if found is None else printed(getattr(found, name)) for found in against)]
        for (name, printed), label in zip(_AGAINST.items(), labels_of(Relative, *_AGAINST), strict=True)
    ]
    return table(paper, x, y, wide, columns, rows)


def _figure(name: str, value: float | None) -> str:
    if name == "longest_drawdown_bars":
        return formats.count(value)
    return formats.percent(value) if name in _PERCENT else formats.ratio(value)


def falls_table(paper: Paper, contents: SheetContents, x: float, y: float, wide: float) -> float:
    """Set the deepest falls of the account."""
    y = paper.heading(x, y, wide, "Deepest drawdowns")
    names = ("depth", "start", "trough", "recovery", "length_bars")
    columns = [Column(head, 1.0) for head in labels_of(Drawdown, *names)]
    rows = [
        [
            formats.percent(fall.depth),
            *(formats.MISSING if at is None else at[:10] for at in (fall.start, fall.trough)),
            "not yet" if fall.recovery is None else fall.recovery[:10],
            formats.count(fall.length_bars),
        ]
        for fall in contents.metrics.drawdowns[:5]
    ]
    if not rows:
        paper.text(x, y, "The account never fell.", size=7.0, colour="muted")
        return y + 16.0
    return table(paper, x, y, wide, columns, rows)


def regimes_table(paper: Paper, contents: SheetContents, y: float, most: int) -> float:
    """Set what was made in each regime, with interval and corrected p-value; what was not judged says why."""
    metrics = contents.metrics
    y = paper.heading(MARGIN, y, INNER, "By market regime")
    how = f"{metrics.level:.0%} intervals; p one-sided, for a Sharpe ratio of 0 or less"
    paper.text(MARGIN + INNER, y - 13.0, how, size=6.2, colour="muted", side="right")
    told = [str(name) for name in contents.run.regimes.columns]
    names = sorted(metrics.regimes, key=lambda name: told.index(name) if name in told else len(told))
    every = [(name, regime, found) for name in names for regime, found in metrics.regimes[name].items()]
    if not every:
        paper.text(MARGIN, y, "This run told no regimes apart.", size=7.0, colour="muted")
        return y + 16.0
    rows = [
        [
            name_of(name),
            regime,
            formats.count(found.n_bars),
            formats.percent(found.share),
            formats.ratio(found.sharpe),
            formats.interval((found.low, found.high)),
            formats.probability(found.p_value),
            formats.probability(found.p_value_holm),
            formats.percent(found.annual_return),
            formats.percent(found.max_drawdown),
            formats.ratio(found.turnover_annual),
        ]
        for name, regime, found in every[:most]
    ]
    heads = ("Bars", "Share", "Sharpe", "Interval", "p", "p (Holm)", "Return a year", "Max drawdown", "Turnover")
    columns = [Column("By", 2.7, "left"), Column("Regime", 1.2, "left")]
    columns += [Column(head, 1.6 if head == "Interval" else 0.95) for head in heads]
    y = table(paper, MARGIN, y, INNER, columns, rows)
    notes = [printable(note) for note in _notes(metrics)]
    notes += [f"{len(every) - most:,} rows {REST}"] if len(every) > most else []
    if notes:
        y = paper.lines(MARGIN, y - 2.0, joined(notes, 6.0, INNER, 2, rest=REST), size=6.0, colour="muted")
    return y + 5.0


def _notes(metrics: Metrics) -> list[str]:
    """Say why regimes were not judged; a reason that holds for all of a definition names the definition alone."""
    why: dict[str, list[str]] = {}
    for name, regimes in metrics.regimes.items():
        for note in dict.fromkeys(found.note for found in regimes.values() if found.note):
            cells = [regime for regime, found in regimes.items() if found.note == note]
            named = name_of(name) if len(cells) == len(regimes) else f"{name_of(name)} {', '.join(cells)}"
            why.setdefault(note, []).append(named)
    return [f"{note} ({', '.join(cells)})" for note, cells in why.items()]


def costs_block(paper: Paper, contents: SheetContents, x: float, y: float, wide: float, most: int) -> float:
    """Set what was paid and for what, and what trading might cost before nothing is left."""
    found = costs_table(contents.metrics)
    y = paper.heading(x, y, wide, "Costs and turnover")
    if not found.rows:
        paper.text(x, y, "Nothing was traded, so nothing was paid.", size=7.0, colour="muted")
        return y + 16.0
    currency, per_year, per_turnover = labels_of(CostPaid, "currency", "per_year", "per_turnover")
    columns = [Column("Paid for", 1.3, "left"), Column(currency, 1.0), Column(per_year, 0.9), Column(per_turnover, 1.1)]
    y = table(paper, x, y, wide, columns, found.rows, strong=frozenset({len(found.rows) - 1}))
    (turnover,) = labels_of(Metrics, "turnover")
    told = f"{turnover}: {formats.ratio(contents.metrics.turnover)} times a year, one way. {found.note}"
    return paper.lines(x, y - 1.0, cut(told, 6.4, wide, most), size=6.4) + 6.0


def holding_facts(contents: SheetContents) -> list[tuple[str, str]]:
    """Say what was held, and what single trades made."""
    metrics = contents.metrics
    names = ("exposure_gross", "exposure_net", "time_in_market", "n_trades")
    rows = [
        (
            label,
            formats.count(getattr(metrics, name)) if name == "n_trades" else formats.percent(getattr(metrics, name)),
        )
        for name, label in zip(names, labels_of(Metrics, *names), strict=True)
    ]
    trades = metrics.trades
    if trades is not None:
        gained, length = formats.percent(trades.hit_rate), formats.ratio(trades.mean_bars)
        rows.append(("Round trips", f"{trades.n_trades:,}, {gained} gained, {length} bars on average"))
    tails = metrics.tails
    worst = f"{formats.fine_percent(metrics.worst_bar)}, best {formats.fine_percent(metrics.best_bar)}"
    short = f"{formats.fine_percent(tails.expected_shortfall)} (beyond {tails.level:.0%})"
    return [*rows, ("Worst bar", worst), ("Expected shortfall", short)]


def audit_block(paper: Paper, contents: SheetContents, y: float, lines: int) -> float:
    """Set what the audit found, what it passed, and which leaks nobody looked for."""
    found = contents.findings
    y = paper.heading(MARGIN, y, INNER, "Audit for look-ahead")
    if found is None:
        told = "This run holds no findings.json: it was not audited, and nothing here says that it did not look ahead."
        return paper.lines(MARGIN, y, wrapped(told, 7.0, INNER), size=7.0, colour="warn") + 6.0
    number = found["verdict"].value_counts()
    tally = [f"{number[verdict]} {VERDICT_WORDS[verdict].lower()}" for verdict in VERDICTS if verdict in number]
    paper.text(MARGIN + INNER, y - 13.0, ", ".join(tally), size=6.2, colour="muted", side="right")
    noticed = found[found["verdict"].isin(["leak", "suspicious", "inconclusive"])]
    kinds: list[tuple[str, list[str]]] = [
        (
            "Noticed",
            [
                f"{row['code']} {VERDICT_WORDS[row['verdict']].lower()}: {printable(row['title'])}"
                for row in noticed.to_dict("records")
            ]
            or ["nothing"],
        ),
        ("Passed", list(dict.fromkeys(map(str, found.loc[found["verdict"] == "pass", "code"])))),
        ("Did not apply", list(dict.fromkeys(map(str, found.loc[found["verdict"] == "not-applicable", "code"])))),
        ("Not tested", [f"{code} {leak}" for code, leak, _ in not_tested(found["code"])]),
    ]
    most = {"Noticed": 4, "Passed": 2, "Did not apply": 1, "Not tested": lines}
    for name, items in kinds:
        if not items:
            continue
        paper.text(MARGIN, y, name, size=6.4, colour="muted")
        between = ", " if name in ("Passed", "Did not apply") else "; "
        shown = joined(items, 6.4, INNER - 62.0, most[name], rest=REST, between=between)
        colour = "bad" if name == "Noticed" and (noticed["verdict"] == "leak").any() else "ink"
        y = paper.lines(MARGIN + 62.0, y, shown, size=6.4, colour=colour) + 1.0
    return y + 7.0


def data_facts(contents: SheetContents) -> list[tuple[str, str]]:
    """Say what the news and prices are worth."""
    checks = contents.checks
    if checks is None:
        return [("Data", "not judged: the version that made this run asked no checks of its data")]
    rows = [("Data", f"{contents.run.data or checks.get('verdict')}: {checks.get('summary', '')}")]
    each = [check for check in checks.get("checks", []) if isinstance(check, Mapping)]
    rows += [
        (str(check.get("verdict", "")).capitalize(), f"{check.get('code', '')}: {check.get('summary', '')}")
        for check in each
        if check.get("verdict") in ("bad", "look")
    ]
    left = len(rows) - 4
    return rows if left <= 0 else [*rows[:4], ("", f"and {left} {REST}")]


def attempts_facts(contents: SheetContents) -> list[tuple[str, str]]:
    """Say how many attempts the result was picked from, and what it is worth beside them."""
    metrics = contents.metrics
    stated = section_of(contents.run.finished.settings, "statistics").get("trials_elsewhere") is not None
    rows = [
        ("Attempts", f"{metrics.n_trials:,} on these bars, {metrics.n_partial:,} on bars that overlap"),
        ("Elsewhere", f"{metrics.trials_elsewhere:,}, as stated" if stated else "nobody says how many"),
    ]
    if not attempts_table(metrics).rows:
        told = "nothing to allow for: a first attempt" if metrics.sharpe is not None else "not judged: it never traded"
        return [*rows, ("p after all", told)]
    (deflated,) = labels_of(Metrics, "deflated_sharpe")
    rows.append(("p after all", f"{formats.probability(metrics.adjusted_p_value)}, one-sided"))
    return [*rows, (deflated, f"{formats.probability(metrics.deflated_sharpe)} (one less p)")]
