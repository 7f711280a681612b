"""The tables of signal research, printed once for the terminal and the page alike, and the document for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd
from rich.console import Console
from rich.text import Text

from embargo.research.pages import formats
from embargo.research.pages.tables import ReportTable, terminal_table
from embargo.signals.diagnostics.diagnosis import Diagnosis
from embargo.signals.diagnostics.information import HalfLife

WIDTH = 100
_TWO_SIDED = ("p, two-sided", "p (Holm), two-sided")
_EVENT_OFFSETS = (-5, -1, 1, 5, 10)


def lived(life: HalfLife) -> tuple[str, str]:
    """Print a half-life in bars and its interval."""
    if math.isnan(life.bars):
        return formats.MISSING, "no fading is shown"
    return bars(life.bars), f"95%: {bars(life.low)} to {bars(life.high)} bars"


def bars(value: float) -> str:
    """Print a number of bars with one decimal; what does not fade as the sign for infinity."""
    return "∞" if math.isinf(value) else formats.MISSING if math.isnan(value) else f"{value:.1f}"


def sheets(found: Diagnosis) -> dict[str, ReportTable]:
    """Every table of a diagnosis by its key, in reading order; those without rows are left out."""
    made = {
        "horizons": _horizons(found),
        "fading": _fading(found),
        "quantiles": _quantiles(found),
        "events": _events(found),
        **_groups(found),
    }
    return {key: table for key, table in made.items() if table.rows}


def _horizons(found: Diagnosis) -> ReportTable:
    rows = [
        (
            str(row["horizon"]),
            formats.coefficient(row["ic"]),
            formats.interval((row["low"], row["high"]), "coefficient"),
            formats.probability(row["p_value"]),
            formats.probability(row["p_holm"]),
            formats.ratio(row["icir"]),
            formats.percent(row["hit_rate"]),
            formats.count(row["bars"]),
            # Chance makes it come out above the bars there are, which no overlap can do.
            formats.count(min(row["effective_bars"], row["bars"])),
        )
        for row in found.horizons.to_dict("records")
    ]
    return ReportTable(
        "Information coefficient by horizon",
        f"Spearman's, ranked {found.ranking}, of signal and return from the row's own open. Newey–West errors over at "
        "least six times the overlap, with fixed-b critical values; effective bars are what the overlap leaves.",
        (
            "Bars ahead",
            "IC",
            "95% interval",
            "p, two-sided",
            "p (Holm), two-sided",
            "ICIR",
            "Above 0",
            "Bars",
            "Effective",
        ),
        tuple(rows),
    )


def _fading(found: Diagnosis) -> ReportTable:
    information, signal = (lived(found.half_lives[name]) for name in ("information", "signal"))
    moved = found.turnover
    rows = [
        ("Half-life of the information, bars", information[0], information[1]),
        ("Half-life of the signal, bars", signal[0], signal[1]),
        ("Rank autocorrelation, bar to bar", formats.coefficient(moved["rank_autocorrelation"]), "across symbols"),
        ("Change of rank", formats.percent(moved["rank_change"]), "mean move in percentiles a bar"),
        ("Weights traded", formats.percent(moved["weights_traded"]), "of equity a bar, one way"),
        ("Gross weight", formats.percent(moved["gross"]), "of equity, mean"),
        ("Bars a position lasts", bars(moved["holding_bars"]), "gross over weights traded"),
    ]
    return ReportTable(
        "Decay and turnover",
        "Half-lives are of the best exponential, with block-bootstrap intervals.",
        ("Figure", "Value", "Note"),
        tuple(rows),
    )


def _quantiles(found: Diagnosis) -> ReportTable:
    rows = []
    if not found.quantiles.empty and found.quantiles["mean"].notna().any():
        for horizon, ordered in found.monotonicity.items():
            means = found.quantiles.loc[found.quantiles["horizon"] == horizon].set_index("quantile")
            spread = means.to_dict("index")["spread"]
            order = " · ".join(formats.basis_points(value) for name, value in means["mean"].items() if name != "spread")
            rows.append(
                (
                    str(horizon),
                    order,
                    formats.basis_points(spread["mean"]),
                    formats.interval((spread["low"], spread["high"]), "basis points"),
                    formats.probability(spread["p_value"]),
                    formats.probability(ordered),
                )
            )
    return ReportTable(
        "Returns by quantile of the signal",
        "Basis points over the horizon, net of the equal-weight market, from the lowest signal to the highest. A small "
        "p of order shows, one-sided, that returns rise all the way (Patton and Timmermann).",
        ("Bars ahead", "Lowest to highest", "Spread", "95% interval", "p, two-sided", "p of order, one-sided"),
        tuple(rows),
    )


def _events(found: Diagnosis) -> ReportTable:
    rows = []
    for (direction, hours), part in found.events.groupby(["direction", "hours"], sort=False):
        path = part.set_index("offset")
        last = path.iloc[-1]
        if not found.counts["events"]["events_used"]:
            # Which of nothing happened is no table: a remark says why there is nothing.
            break
        rows.append(
            (
                f"{str(direction).capitalize()}, {hours}",
                formats.count(last["events"]),
                *(formats.basis_points(path.loc[offset, "car"]) for offset in _EVENT_OFFSETS if offset in path.index),
                formats.interval((last["low"], last["high"]), "basis points"),
            )
        )
    heads = tuple(
        f"{offset:+d}".replace("-", "−") for offset in _EVENT_OFFSETS if offset in set(found.events["offset"])
    )
    return ReportTable(
        "Event study around publication",
        "Cumulative return in basis points net of the equal-weight market, 0 at the first tradable open after "
        "confident articles. Negative offsets were over by then: what lies there was never to be earned.",
        ("Articles", "Events", *heads, "95% at the end"),
        tuple(rows),
    )


def _groups(found: Diagnosis) -> dict[str, ReportTable]:
    titles = {
        "source": "By source",
        "confidence": "By confidence",
        "age": "By age at the first tradable open",
    }
    horizon = int(found.horizons["horizon"].iloc[0])
    note = (
        f"Per article over {horizon} bar{'s' * (horizon > 1)}, net of the market; return in basis points, signed by "
        "the article's direction. Errors are clustered by bar; of many groups some look good by chance."
    )
    head = ("Articles that are", "Articles", "IC", "95% interval", "p, two-sided", "Hits", "Return")
    return {
        kind: ReportTable(
            title,
            note if kind == "source" else "",
            head,
            tuple(
                _group(row)
                for one in (kind, "all")
                for row in found.groups.loc[found.groups["kind"] == one].to_dict("records")
            ),
        )
        for kind, title in titles.items()
    }


def _group(row: Mapping[Any, Any]) -> tuple[str, ...]:
    return (
        str(row["group"]),
        formats.count(row["articles"]),
        formats.coefficient(row["ic"]),
        formats.interval((row["low"], row["high"]), "coefficient"),
        formats.probability(row["p_value"]),
        formats.percent(row["hit_rate"]),
        formats.basis_points(row["mean_return"]),
    )


def counted(found: Diagnosis) -> list[tuple[str, list[tuple[str, str]]]]:
    """Say what was used and what was left out."""
    return [
        (
            name.capitalize(),
            [(key.replace("_", " ").capitalize(), formats.count(number)) for key, number in part.items()],
        )
        for name, part in found.counts.items()
    ]


def print_diagnosis(console: Console, found: Diagnosis) -> None:
    """Print a diagnosis as tables, remarks and counts; text from outside is never read as markup.

    Parameters
    ----------
    console : rich.console.Console
        Tables are at most 100 characters wide.
    found : Diagnosis

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
    >>> from embargo.research.studies.signal import print_diagnosis
    >>> from embargo.signals.diagnostics.diagnosis import diagnose
    >>> market = simulate_market(SimulatedMarket(n_symbols=4, end="2015-06-30"))
    >>> opens = market.prices.open
    >>> values = np.random.default_rng(0).normal(0.0, 0.1, opens.shape)
    >>> signal = pd.DataFrame(values, opens.index, opens.columns)
    >>> scores = {"bearish": 0.1, "neutral": 0.1, "bullish": 0.8, "confidence": 0.8}
    >>> articles = market.news.head(50).assign(row=np.arange(50), column=0, used=True, **scores)
    >>> found = diagnose(signal, signal, articles, market.prices, horizons=(1, 5))
    >>> import io
    >>> from rich.console import Console
    >>> console = Console(file=io.StringIO())
    >>> print_diagnosis(console, found)
    >>> "Information coefficient by horizon" in console.file.getvalue()
    True
    """
    for remark in found.remarks:
        console.print(Text.assemble(("! ", "bold yellow"), remark))
    for sheet in sheets(found).values():
        title = Text(sheet.title, style="bold")
        width = min(WIDTH, console.width)
        table = terminal_table(sheet.head[:1], sheet.head[1:], title=title, note=sheet.note, width=width)
        table.columns[0].ratio = 2
        # What may grow may shrink, to a letter a line if it is let.
        table.columns[0].min_width = len(sheet.head[0])
        for row in sheet.rows:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
        console.print()
    console.print(Text("Used and left out", style="bold"))
    for name, numbers in counted(found):
        told = ", ".join(f"{key.lower()} {number}" for key, number in numbers)
        console.print(Text(f"{name}: {told}"))


def as_document(found: Diagnosis, *, run: str) -> dict[str, Any]:
    """Return everything of a diagnosis as nested plain values, ready for JSON.

    Parameters
    ----------
    found : Diagnosis
    run : str
        Name of the run.

    Returns
    -------
    dict
        Frames are lists of their rows; what is not known is None.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
    >>> from embargo.research.studies.signal import as_document
    >>> from embargo.signals.diagnostics.diagnosis import diagnose
    >>> market = simulate_market(SimulatedMarket(n_symbols=4, end="2015-06-30"))
    >>> opens = market.prices.open
    >>> values = np.random.default_rng(0).normal(0.0, 0.1, opens.shape)
    >>> signal = pd.DataFrame(values, opens.index, opens.columns)
    >>> scores = {"bearish": 0.1, "neutral": 0.1, "bullish": 0.8, "confidence": 0.8}
    >>> articles = market.news.head(50).assign(row=np.arange(50), column=0, used=True, **scores)
    >>> found = diagnose(signal, signal, articles, market.prices, horizons=(1, 5))
    >>> [row["horizon"] for row in as_document(found, run="mine")["horizons"]]
    [1, 5]
    """
    frames = ("horizons", "lags", "persistence", "quantiles", "events", "groups")
    return {
        "run": run,
        "ranking": found.ranking,
        **{name: _records(getattr(found, name)) for name in frames},
        "ic": [
            {"open_at": instant.isoformat(), "ic": None if math.isnan(value) else float(value)}
            for instant, value in zip(pd.DatetimeIndex(found.ic.index), found.ic, strict=True)
        ],
        "half_lives": {name: asdict(life) for name, life in found.half_lives.items()},
        "turnover": found.turnover,
        "monotonicity": found.monotonicity,
        "counts": found.counts,
        "remarks": list(found.remarks),
    }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(key): value.item() if hasattr(value, "item") else value for key, value in row.items()}
        for row in frame.to_dict("records")
    ]
