"""The part of a report on where its result came from: figures of a `LookBack` as charts, tables and how to read them.

Everything is read out of the frames that the run keeps as files, so that who distrusts the page can recompute it.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from embargo.research.pages import formats
from embargo.research.pages.charts import Chart, placed
from embargo.research.pages.compact import Columns
from embargo.research.pages.tables import ReportTable
from embargo.research.run.report import book_charts, trades_chart
from embargo.research.run.report.book_charts import half_life_of

if TYPE_CHECKING:
    from embargo.research.run.look_back import LookBack

MOST_ROWS = 20


class Aid(NamedTuple):
    """How a figure is read, and what would make it worthless."""

    read: str
    worthless: str


AIDS = {
    "rolling": Aid(
        "Each point is the Sharpe ratio of the window that ends there; the band is where it would lie had every "
        "bar of the window been drawn alike and without memory (Lo 2002).",
        "Neighbouring windows share nearly all of their bars, so a long stretch above zero is one observation, "
        "not many; a stretch that was chosen because it looks good is none.",
    ),
    "exposure": Aid(
        "Gross is what was bet, net is what was bet on the market as a whole, names are the symbols it was spread"
        " over; turnover is what a bar traded, one way.",
        "Where net exposure follows the market, a return may be the market's own; where few names are held, it is"
        " their luck.",
    ),
    "costs": Aid(
        "What was paid from the first bar on, in percent of the equity at the start; a steeper stretch is a "
        "dearer one.",
        "Rates are what the config assumes: none of it is worth more than the assumption, and impact at another "
        "size is another.",
    ),
    "contributions": Aid(
        "From nothing to the total return, step by step: every symbol with what it added after the costs of its "
        "trades, as fractions of the equity at the start, so that the steps add up exactly.",
        "Symbols are ranked by what they turned out to add: that the best ones made the return was bound to be "
        "so, and a result that ends without one or two of them is theirs, not the signal's.",
    ),
    "information": Aid(
        "The rank correlation of signal and return, over more bars to the left, bar by bar to the right; the "
        "half-life is how long a signal keeps half of what it knew.",
        "Returns over several bars overlap and prices are those of fills before costs: a coefficient that is "
        "above zero for a bar that cannot be traded, or within its interval of zero, earns nothing.",
    ),
    "days": Aid(
        "The days that moved the account most, the symbols that did it, what was held, what the price did, and "
        "the newest articles that counted by then, with the score that the model gave.",
        "These days were chosen by their outcome: an article that fits the move proves nothing, and one that was "
        "known after the bar was decided would be a leak; the audit looks for that.",
    ),
    "trades": Aid(
        "Price, the bars on which the position turned, and the articles at the bar that they reached; below it "
        "the weight that was held.",
        "The symbols shown are those that moved the account most, so they are no sample of the others.",
    ),
}


def book_part(
    book: LookBack | None, columns: Columns, *, level: float, sources: BookSources | None
) -> dict[str, Any] | None:
    """Lay out the sections of a report on where its result came from; None without a `LookBack`."""
    if book is None:
        return None
    drawn: dict[str, Chart | None] = {
        "rolling": book_charts.rolling_chart(book.over_time, level),
        "exposure": book_charts.exposure_chart(book.over_time),
        "costs": book_charts.costs_chart(book.over_time),
        "contributions": book_charts.contributions_chart(book.contributions, book.over_time),
        "horizons": book_charts.horizon_chart(book.information),
        "decay": book_charts.decay_chart(book.information),
        "trades": None
        if sources is None
        else trades_chart.trades_chart(book.contributions, book.values, sources.weights, sources.articles),
    }
    return {
        "aids": AIDS,
        "charts": {name: None if chart is None else placed(name, chart, columns) for name, chart in drawn.items()},
        "symbols": trades_chart.shown_symbols(book.contributions),
        "tables": [sides_table(book), symbols_table(book)],
        "lives": lives_table(book.information),
        "days": [days_of(book.days, kind) for kind in ("best", "worst")],
    }


class BookSources(NamedTuple):
    """What is drawn of a run beside its `LookBack`: held weights, and the scored articles."""

    weights: pd.DataFrame
    articles: pd.DataFrame


def sides_table(book: LookBack) -> ReportTable:
    """Return what the long and the short side and holding added, which is the total return."""
    sums = book.over_time[["long", "short", "carry", "fees", "slippage"]].sum()
    total = sums["long"] + sums["short"] + sums["carry"]
    rows = (
        ("Long positions", formats.fine_percent(sums["long"]), _bars(book, "bars_long")),
        ("Short positions", formats.fine_percent(sums["short"]), _bars(book, "bars_short")),
        ("Borrow, interest and funding", formats.fine_percent(sums["carry"]), ""),
        ("Total return", formats.fine_percent(total), ""),
        ("of it commission", formats.fine_percent(sums["fees"]), ""),
        ("of it spread and impact", formats.fine_percent(sums["slippage"]), ""),
    )
    note = (
        "Fractions of the equity at the start. The costs of a fill belong to the side that the position then stands on."
    )
    return ReportTable("Long and short", note, ("Part", "Added", "Symbols times bars held"), rows)


def _bars(book: LookBack, name: str) -> str:
    return formats.count(int(book.contributions[name].sum()))


def symbols_table(book: LookBack) -> ReportTable:
    """Return what each symbol added, those that moved the account most first, the others together."""
    frame = book.contributions
    order = frame["total"].abs().sort_values(ascending=False, kind="stable").index
    shown, others = frame.loc[order[:MOST_ROWS]], frame.loc[order[MOST_ROWS:]]
    rows = [_symbol(str(name), row) for name, row in shown.iterrows()]
    if len(others):
        rows.append(_symbol(f"{len(others):,} others", others.sum()))
    carry = float(book.over_time["carry"].sum())
    rows.append(("Borrow, interest and funding", formats.fine_percent(carry), *[""] * 5))
    whole = _symbol("All", frame.sum())
    rows.append((whole[0], formats.fine_percent(float(frame["total"].sum()) + carry), *whole[2:]))
    head = ("Symbol", "Added", "Long", "Short", "Costs of its fills", "Bars long", "Bars short")
    return ReportTable("By symbol", "Costs are already within what a symbol added.", head, tuple(rows))


def _symbol(name: str, row: pd.Series) -> tuple[str, ...]:
    return (
        name,
        *(formats.fine_percent(row[key]) for key in ("total", "long", "short", "costs")),
        *(formats.count(int(row[key])) for key in ("bars_long", "bars_short")),
    )


def lives_table(information: pd.DataFrame) -> ReportTable | None:
    """Return the half-lives of the signal and of what it knows; None where nothing was asked."""
    if information.empty:
        return None
    rows = []
    for what, name in (("information", "What the signal knows"), ("signal", "The signal itself")):
        life, low, high = half_life_of(information, what)
        told = "no fading is shown" if formats.is_missing(life) else formats.interval((low, high), "ratio")
        rows.append((name, formats.ratio(life), told))
    note = (
        f"Of the newest {int(information['asked'].iloc[0]):,} bars. Where the signal lives longer than what it knows, "
        "positions outlive their reason."
    )
    return ReportTable("Half-lives in bars", note, ("What fades", "Half-life, bars", "95% interval"), tuple(rows))


def days_of(days: pd.DataFrame, kind: str) -> dict[str, Any]:
    """Lay out the best or the worst days: one group for each day, in it a row for each symbol with its articles."""
    # As plain rows, once: a frame for each symbol of each day would take a hundred times as long.
    told = days.loc[days["kind"] == kind].sort_values("rank", kind="stable").to_dict("records")
    groups = []
    for rank, rows in groupby(told, key=itemgetter("rank")):
        by_symbol: dict[str, list[dict[Any, Any]]] = {}
        for row in rows:
            by_symbol.setdefault(str(row["symbol"]), []).append(row)
        first = next(iter(by_symbol.values()))[0]
        symbols = [
            {
                "symbol": symbol,
                "cells": [
                    formats.percent(part[0]["weight"]),
                    formats.percent(part[0]["move"]),
                    formats.fine_percent(part[0]["contribution"]),
                ],
                "articles": [_article(row) for row in part if not pd.isna(row["known_at"])],
            }
            for symbol, part in by_symbol.items()
        ]
        title = f"{rank}. {formats.instant(first['day'])}: {formats.fine_percent(first['return'])}"
        groups.append({"title": title, "rows": symbols})
    return {"kind": kind, "groups": groups}


def _article(row: dict[Any, Any]) -> dict[str, str]:
    bars = row["bars_before"]
    return {
        "known": formats.instant(row["known_at"]),
        "ago": "for this bar" if bars == 0 else f"{bars:g} bar{'s' * (bars != 1)} before",
        "score": formats.ratio(row["score"]),
        "sure": formats.ratio(row["confidence"]),
        "source": str(row["source"]),
        "text": str(row["text"]),
    }
