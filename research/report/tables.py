"""The tables of a report beside its metrics: what was paid, how far it fell, and what else would have earned as much.

Each is made of a run's ``metrics.json`` alone and holds ready texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from research.report import formats
from research.report.contents import ReportTable

_HELD = ("borrow", "interest", "funding")


def tables_of(metrics: Mapping[str, Any]) -> list[ReportTable]:
    """Return the tables that these metrics have something for, in the order in which they are read."""
    made = (_costs(metrics), _drawdowns(metrics), _relative(metrics), _chance(metrics), _trades(metrics))
    return [table for table in made if table.rows]


def _costs(metrics: Mapping[str, Any]) -> ReportTable:
    paid: Mapping[str, Mapping[str, float | None]] = metrics["costs_paid"]
    shown = [part for part in paid if part == "total" or abs(paid[part]["currency"] or 0.0) >= 0.005]
    rows = [
        (
            part,
            formats.count(round(paid[part]["currency"] or 0.0)),
            _fine(paid[part]["per_year"]),
            formats.MISSING if part in _HELD else _basis_points(paid[part]["per_turnover"]),
        )
        for part in sorted(shown, key=lambda part: (part == "total", part in _HELD))
    ]
    spare, room = metrics["break_even_cost"], metrics["capacity"]
    sentences = []
    if spare is not None:
        sentences.append(f"Trading could cost {_basis_points(spare)} of what is traded before nothing is left.")
    if room["equity_break_even"] is not None:
        sentences.append(
            f"By the square-root law its own impact would eat the edge at about {_rounded(room['equity_break_even'])} "
            f"of equity; most money is made at {_rounded(room['equity_most_profit'])}."
        )
    if room["equity_at_participation"] is not None:
        sentences.append(
            f"Up to {_rounded(room['equity_at_participation'])}, 95 % of the orders stay a small part of the volume."
        )
    head = ("Paid for", "Currency", "A year", "Of what is traded")
    return ReportTable("Costs and capacity", " ".join(sentences), head, tuple(rows))


def _drawdowns(metrics: Mapping[str, Any]) -> ReportTable:
    rows = tuple(
        (
            formats.percent(row["depth"]),
            _day(row["start"]),
            _day(row["trough"]),
            "not yet" if row["recovery"] is None else _day(row["recovery"]),
            formats.count(row["length_bars"]),
        )
        for row in metrics["drawdowns"]
    )
    head = ("Depth", "From", "Lowest", "Made up for", "Bars")
    return ReportTable("Deepest drawdowns", "", head, rows)


def _relative(metrics: Mapping[str, Any]) -> ReportTable:
    rows = []
    for name, figures in metrics["relative"].items():
        if figures["alpha_annual"] is None:
            continue
        error = figures["alpha_standard_error"]
        spread = formats.MISSING if error is None else f"± {formats.percent(error)}"
        rows.append(
            (
                name.replace("_", " "),
                formats.percent(figures["alpha_annual"]),
                spread,
                formats.probability(figures["alpha_p_value"]),
                formats.ratio(figures["beta"]),
                formats.percent(figures["tracking_error"]),
                formats.ratio(figures["information_ratio"]),
            )
        )
    note = (
        "Alpha is what is left of the strategy's return once its exposure to the benchmark is taken off; its standard "
        "error allows for autocorrelation and changing volatility (Newey and West)."
    )
    head = ("Against", "Alpha a year", "Standard error", "p", "Beta", "Tracking error", "Information ratio")
    return ReportTable("Against the benchmarks", note, head, tuple(rows))


def _chance(metrics: Mapping[str, Any]) -> ReportTable:
    found = metrics["random_timing"]
    quantiles = found["sharpe_quantiles"]
    if not quantiles:
        return ReportTable("Random timing", "", (), ())
    head = ("", *(f"{float(share):.0%}" for share in quantiles), "Strategy", "Beaten", "p")
    figures = [formats.ratio(value) for value in quantiles.values()]
    row = (
        "Sharpe ratio",
        *figures,
        formats.ratio(found["sharpe"]),
        formats.percent(found["share_beaten"]),
        formats.probability(found["p_value"]),
    )
    note = (
        f"The strategy's own positions held at {found['n_draws']:,} random times, in blocks of {found['block']} bars, "
        "at the same costs: quantiles of what that earns, and the share of it that the strategy beats."
    )
    return ReportTable("Random timing", note, head, (row,))


def _trades(metrics: Mapping[str, Any]) -> ReportTable:
    trades, tails = metrics.get("trades"), metrics["tails"]
    facts: list[tuple[str, str]] = []
    if trades and trades["n_trades"]:
        facts += [
            ("Round trips", formats.count(trades["n_trades"])),
            ("that gained", formats.percent(trades["hit_rate"])),
            ("mean return", _fine(trades["mean_return"])),
            ("mean length, bars", formats.ratio(trades["mean_bars"])),
            ("gains over losses", formats.ratio(trades["profit_factor"])),
        ]
    level = f"{tails['level']:.0%}"
    facts += [
        (f"Value at risk, {level}, a bar", _fine(tails["value_at_risk"])),
        (f"Expected shortfall, {level}, a bar", _fine(tails["expected_shortfall"])),
    ]
    return ReportTable("Trades and tails", "", ("", "Strategy"), tuple(facts))


def _fine(fraction: float | None) -> str:
    return formats.MISSING if fraction is None else f"{100 * fraction:.2f}%".replace("-", "−")


def _basis_points(fraction: float | None) -> str:
    return formats.MISSING if fraction is None else f"{1e4 * fraction:.1f} bp"


def _rounded(amount: float) -> str:
    """Print an amount of money to two digits: no more is known of it."""
    for size, name in ((1e9, " billion"), (1e6, " million"), (1e3, " thousand")):
        if amount >= size:
            return f"{float(f'{amount / size:.2g}'):g}{name}"
    return f"{amount:.0f}"


def _day(instant: str) -> str:
    return instant[:10]
