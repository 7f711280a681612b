"""The tables of signal research, printed once for the terminal and the page alike, and the document for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from embargo.research.pages import formats
from embargo.signals.diagnostics.diagnosis import Diagnosis
from embargo.signals.diagnostics.information import HalfLife

WIDTH = 100
_EVENT_OFFSETS = (-5, -1, 1, 5, 10)


@dataclass(frozen=True)
class Sheet:
    """A table with every cell printed: its key, title, a line below it, headings and rows; the first column is text."""

    key: str
    title: str
    caption: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def coefficient(value: Any) -> str:
    """Print a correlation with three decimals."""
    return formats.MISSING if formats.is_missing(value) else f"{float(value):z.3f}".replace("-", "−")


def basis_points(value: Any) -> str:
    """Print a fraction in basis points with one decimal."""
    return formats.MISSING if formats.is_missing(value) else f"{1e4 * float(value):z,.1f}".replace("-", "−")


def interval(low: Any, high: Any, printed: Any = coefficient) -> str:
    """Print an interval, a dash if it is not known."""
    return formats.MISSING if formats.is_missing(low) else f"{printed(low)} to {printed(high)}"


def lived(life: HalfLife) -> tuple[str, str]:
    """Print a half-life in bars and its interval."""
    if math.isnan(life.bars):
        return formats.MISSING, "nothing measurable fades"
    return bars(life.bars), f"95 %: {bars(life.low)} to {bars(life.high)} bars"


def bars(value: float) -> str:
    """Print a number of bars with one decimal; what does not fade as the sign for infinity."""
    return "∞" if math.isinf(value) else formats.MISSING if math.isnan(value) else f"{value:.1f}"


def sheets(found: Diagnosis) -> list[Sheet]:
    """Every table of a diagnosis, in reading order; those without rows are left out."""
    made = [
        _horizons(found),
        _fading(found),
        _quantiles(found),
        _events(found),
        *_groups(found),
    ]
    return [sheet for sheet in made if sheet.rows]


def _horizons(found: Diagnosis) -> Sheet:
    rows = [
        (
            str(row["horizon"]),
            coefficient(row["ic"]),
            interval(row["low"], row["high"]),
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
    return Sheet(
        "horizons",
        "Information coefficient by horizon",
        f"Spearman's, ranked {found.ranking}, of signal and return from the row's own open. Newey–West errors over at "
        "least six times the overlap, with fixed-b critical values; effective bars are what the overlap leaves.",
        ("Bars ahead", "IC", "95 % interval", "p", "p (Holm)", "ICIR", "Above 0", "Bars", "Effective"),
        rows,
    )


def _fading(found: Diagnosis) -> Sheet:
    information, signal = (lived(found.half_lives[name]) for name in ("information", "signal"))
    moved = found.turnover
    rows = [
        ("Half-life of the information, bars", information[0], information[1]),
        ("Half-life of the signal, bars", signal[0], signal[1]),
        ("Rank autocorrelation, bar to bar", coefficient(moved["rank_autocorrelation"]), "across symbols"),
        ("Change of rank", formats.percent(moved["rank_change"]), "mean move in percentiles a bar"),
        ("Weights traded", formats.percent(moved["weights_traded"]), "of equity a bar, one way"),
        ("Gross weight", formats.percent(moved["gross"]), "of equity, mean"),
        ("Bars a position lasts", bars(moved["holding_bars"]), "gross over weights traded"),
    ]
    return Sheet(
        "fading",
        "Decay and turnover",
        "Half-lives are of the best exponential, with block-bootstrap intervals.",
        ("Figure", "Value", "Note"),
        rows,
    )


def _quantiles(found: Diagnosis) -> Sheet:
    rows = []
    if not found.quantiles.empty and found.quantiles["mean"].notna().any():
        for horizon, part in found.quantiles.groupby("horizon"):
            means = part.set_index("quantile")
            spread = means.loc["spread"]
            order = " · ".join(basis_points(value) for name, value in means["mean"].items() if name != "spread")
            rows.append(
                (
                    str(horizon),
                    order,
                    basis_points(spread["mean"]),
                    interval(spread["low"], spread["high"], basis_points),
                    formats.probability(spread["p_value"]),
                    formats.probability(found.monotonicity[int(horizon)]),
                )
            )
    return Sheet(
        "quantiles",
        "Returns by quantile of the signal",
        "Basis points over the horizon, net of the equal-weight market, from the lowest signal to the highest. A small "
        "p of order shows that returns rise all the way (Patton and Timmermann).",
        ("Bars ahead", "Lowest to highest", "Spread", "95 % interval", "p", "p of order"),
        rows,
    )


def _events(found: Diagnosis) -> Sheet:
    rows = []
    for (direction, hours), part in found.events.groupby(["direction", "hours"], sort=False):
        path = part.set_index("offset")
        last = path.iloc[-1]
        rows.append(
            (
                f"{str(direction).capitalize()}, {hours}",
                formats.count(last["events"]),
                *(basis_points(path.loc[offset, "car"]) for offset in _EVENT_OFFSETS if offset in path.index),
                interval(last["low"], last["high"], basis_points),
            )
        )
    heads = tuple(
        f"{offset:+d}".replace("-", "−") for offset in _EVENT_OFFSETS if offset in set(found.events["offset"])
    )
    return Sheet(
        "events",
        "Event study around publication",
        "Cumulative return in basis points net of the equal-weight market, 0 at the first tradable open after "
        "confident articles. Negative offsets were over by then: what lies there was never to be earned.",
        ("Articles", "Events", *heads, "95 % at the end"),
        rows,
    )


def _groups(found: Diagnosis) -> list[Sheet]:
    titles = {
        "source": "By source",
        "confidence": "By confidence",
        "age": "By age at the first tradable open",
    }
    horizon = int(found.horizons["horizon"].iloc[0])
    whole = found.groups.loc[found.groups["kind"] == "all"]
    return [
        Sheet(
            kind,
            title,
            ""
            if kind != "source"
            else f"Per article over {horizon} bar{'s' * (horizon > 1)}, net of the market; return in basis points, "
            "signed by the article's direction. Errors are clustered by bar; of many groups some look good by chance.",
            ("Articles that are", "Articles", "IC", "95 % interval", "p", "Hits", "Return"),
            [
                _group(row)
                for row in pd.concat([found.groups.loc[found.groups["kind"] == kind], whole]).to_dict("records")
            ],
        )
        for kind, title in titles.items()
    ]


def _group(row: Mapping[Any, Any]) -> tuple[str, ...]:
    return (
        str(row["group"]),
        formats.count(row["articles"]),
        coefficient(row["ic"]),
        interval(row["low"], row["high"]),
        formats.probability(row["p_value"]),
        formats.percent(row["hit_rate"]),
        basis_points(row["mean_return"]),
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
    """Print a diagnosis as tables, remarks and counts; text from outside is never read as markup."""
    for remark in found.remarks:
        console.print(Text.assemble(("! ", "bold yellow"), remark))
    for sheet in sheets(found):
        table = Table(
            title=Text(sheet.title, style="bold"),
            title_justify="left",
            caption=Text(sheet.caption, style="dim") if sheet.caption else None,
            caption_justify="left",
            width=min(WIDTH, console.width),
            show_edge=False,
            pad_edge=False,
            header_style="bold",
        )
        for place, heading in enumerate(sheet.head):
            table.add_column(
                heading, justify="left" if place == 0 else "right", ratio=2 if place == 0 else None, overflow="fold"
            )
        for row in sheet.rows:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
        console.print()
    console.print(Text("Used and left out", style="bold"))
    for name, numbers in counted(found):
        told = ", ".join(f"{key.lower()} {number}" for key, number in numbers)
        console.print(Text(f"{name}: {told}"))


def as_document(found: Diagnosis, *, run: str) -> dict[str, Any]:
    """Everything of a diagnosis as nested plain values, ready for JSON."""
    frames = ("horizons", "lags", "persistence", "quantiles", "events", "groups")
    return {
        "run": run,
        "ranking": found.ranking,
        **{name: _records(getattr(found, name)) for name in frames},
        "ic": [
            {"open_at": instant.isoformat(), "ic": None if math.isnan(value) else float(value)}
            for instant, value in found.ic.items()
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
