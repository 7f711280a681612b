"""The tables of a report beside its metrics: what was paid, how far it fell, and what else would have earned as much.

Each is made of a run's ``metrics.json`` alone and holds ready texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embargo.backtest.significance import holm
from embargo.research.pages import formats
from embargo.research.pages.tables import ReportTable

_BROKEN = {
    "dates": "When it was said: blocks of dates shuffled",
    "shift": "When it was said: all dates shifted alike",
    "symbols": "About whom: symbols exchanged",
    "signs": "Which way: good and bad exchanged in random blocks",
}
_HELD = ("borrow", "interest", "funding")


def tables_of(metrics: Mapping[str, Any]) -> list[ReportTable]:
    """Return the tables that these metrics have something for, in the order in which they are read."""
    made = (_costs(metrics), _drawdowns(metrics), _relative(metrics), _trades(metrics))
    return [table for table in made if table.rows]


def chance_tables_of(metrics: Mapping[str, Any]) -> list[ReportTable]:
    """Return the tables that say what chance would have done, what was tried, and what the sample could have shown."""
    made = (_permutations(metrics), _chance(metrics), _attempts(metrics), _sample(metrics))
    return [table for table in made if table.rows]


def _costs(metrics: Mapping[str, Any]) -> ReportTable:
    paid: Mapping[str, Mapping[str, float | None]] = metrics["costs_paid"]
    shown = [part for part in paid if part != "total" and round(paid[part]["currency"] or 0.0, 2)]
    note = " ".join(_bearable(metrics))
    if not (shown or note):
        return ReportTable("Costs and capacity", "", (), ())
    per_turnover = {part: paid[part]["per_turnover"] for part in shown if part not in _HELD}
    traded = [fraction for fraction in per_turnover.values() if fraction is not None]
    # What holding cost is no price of trading: the total of that column is the total of what stands in it.
    per_turnover["total"] = sum(traded) if traded else None
    rows = [
        (
            part,
            formats.number(round(paid[part]["currency"] or 0.0, 0 if abs(paid[part]["currency"] or 0.0) >= 100 else 2)),
            _fine(paid[part]["per_year"]),
            _basis_points(per_turnover.get(part)),
        )
        for part in [*sorted(shown, key=lambda part: part in _HELD), "total"]
    ]
    head = ("Paid for", "Currency", "A year", "Of what is traded")
    return ReportTable("Costs and capacity", note, head, tuple(rows))


def _bearable(metrics: Mapping[str, Any]) -> list[str]:
    """Say what trading might cost and how much money the strategy might run, taking its return at face value."""
    spare, room = metrics["break_even_cost"], metrics["capacity"]
    sentences = []
    if spare is not None and spare <= 0.0:
        sentences.append("It would have lost even if trading had cost nothing.")
    elif spare is not None:
        sentences.append(f"Trading could cost {_basis_points(spare)} of what is traded before nothing is left.")
    if room["equity_break_even"] is not None:
        sentences.append(
            "Taking the return at face value, its own impact under the square-root law would eat it at an equity of "
            f"about {_rounded(room['equity_break_even'])}; most money is made at "
            f"{_rounded(room['equity_most_profit'])}."
        )
    if room["equity_at_participation"] is not None:
        sentences.append(
            f"Up to an equity of {_rounded(room['equity_at_participation'])}, 95 % of the orders stay below "
            f"{100 * room['participation']:g} % of the volume."
        )
    if room["orders_without_volume"]:
        left_out, orders = formats.count(room["orders_without_volume"]), formats.count(room["orders"])
        sentences.append(f"{left_out} of {orders} orders had no known volume and are left out of this.")
    return sentences


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
    head = ("Depth", "From", "Lowest", "Recovered", "Bars below")
    return ReportTable("Deepest drawdowns", "", head, rows)


def _relative(metrics: Mapping[str, Any]) -> ReportTable:
    rows = []
    for name, figures in metrics["relative"].items():
        if figures["alpha_annual"] is None or metrics["sharpe"] is None:
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


def _permutations(metrics: Mapping[str, Any]) -> ReportTable:
    found: Mapping[str, Mapping[str, Any]] = metrics["permutations"]
    if metrics["sharpe"] is None:  # it never held anything, and neither did its draws
        return ReportTable("The news broken on purpose", "", (), ())
    corrected = holm([result["p_value"] for result in found.values()])
    rows = tuple(
        (
            _BROKEN[way],
            formats.ratio(result["null_mean"]),
            formats.ratio(result["null_quantiles"]["0.95"]),
            formats.ratio(result["observed"]),
            formats.probability(result["p_value"]),
            formats.probability(p_holm),
        )
        for (way, result), p_holm in zip(found.items(), corrected, strict=True)
    )
    drawn = found["dates"]
    what = f"blocks of {drawn['block']} bar{'s' * (drawn['block'] != 1)}"
    note = (
        f"The market stays as it was. Each way rearranges the news {drawn['n_permutations']:,} times, in {what}, "
        "and walks the whole path from signal to books again. The verdict rests on the first row. The last column "
        "allows for the number of rows (Holm)."
    )
    head = ("What of the news is broken", "Mean Sharpe of draws", "95 % of draws below", "Strategy", "p", "p corrected")
    return ReportTable("The news broken on purpose", note, head, rows)


def _attempts(metrics: Mapping[str, Any]) -> ReportTable:
    title, n_trials, best = "Beside everything tried on this window", metrics["n_trials"], metrics["best_of_attempts"]
    if n_trials < 2 or metrics["sharpe"] is None:
        return ReportTable(title, "", (), ())
    luckiest, probabilistic, deflated = (
        metrics[name] for name in ("luckiest_sharpe", "probabilistic_sharpe", "deflated_sharpe")
    )
    rows = [
        ("Attempts", formats.count(n_trials)),
        ("Independent attempts they are worth", formats.ratio(metrics["effective_trials"])),
        ("Sharpe ratio of the luckiest of as many that vary alike, all worthless", formats.ratio(luckiest)),
        ("Probabilistic Sharpe ratio: how sure it is to be above zero", formats.probability(probabilistic)),
        ("Deflated Sharpe ratio: how sure it is to be above that luckiest one", formats.probability(deflated)),
    ]
    if best is not None:
        ability = formats.probability(best["superior_ability"]["p_value"])
        rows += [
            ("p that the best of them all does no better than cash (Hansen)", ability),
            ("Attempts better than cash, together (Romano and Wolf)", formats.count(best["superior"])),
        ]
    return ReportTable(title, "", ("Figure", "Value"), tuple(rows))


def _sample(metrics: Mapping[str, Any]) -> ReportTable:
    title, mean, errors = "What a sample of this length can say", metrics["mean"], metrics["sharpe_errors"]
    if metrics["sharpe"] is None:
        return ReportTable(title, "", (), ())
    low, high = formats.percent(mean["low"]), formats.percent(mean["high"])
    plain = formats.interval((metrics["sharpe_low_percentile"], metrics["sharpe_high_percentile"]))
    needed, per_year = metrics["minimum_track_record"], metrics["bars_per_year"]
    years = formats.MISSING if needed is None else f"{formats.ratio(needed / per_year)} years"
    rows = (
        ("Smallest true Sharpe ratio found with 80 % probability", formats.ratio(metrics["detectable_sharpe"])),
        ("Length of this sample", f"{formats.ratio(metrics['n_bars'] / per_year)} years"),
        ("Length at which this Sharpe ratio would be significant", years),
        ("Sharpe ratio a year, allowing for autocorrelation (Lo)", formats.ratio(metrics["sharpe_aggregated"])),
        ("Interval of the plain Sharpe ratio, by percentiles of resamples", plain),
        ("Mean return a year", f"{formats.percent(mean['mean'])} ({low} to {high})"),
        ("p of the mean, allowing for autocorrelation", formats.probability(mean["p_value"])),
        ("Standard error of the Sharpe ratio, independent normal returns (Lo)", formats.ratio(errors["normal"])),
        ("… independent returns as skewed and fat-tailed as these", formats.ratio(errors["moments"])),
        ("… allowing for autocorrelation and changing volatility too", formats.ratio(errors["hac"])),
    )
    return ReportTable(title, "", ("Figure", "Value"), rows)


def _chance(metrics: Mapping[str, Any]) -> ReportTable:
    found = metrics["random_timing"]
    if found["gross_kept"] is None:  # it never held anything, and neither did its draws
        return ReportTable("Random timing", "", (), ())
    quantiles = found["sharpe_quantiles"]
    head = ("Random timing", *(f"{float(share):.0%}" for share in quantiles), "Strategy", "Beaten", "p")
    figures = [formats.ratio(value) for value in quantiles.values()]
    row = (
        "Sharpe ratio",
        *figures,
        formats.ratio(found["sharpe"]),
        formats.percent(found["share_beaten"]),
        formats.probability(found["p_value"]),
    )
    bars = f"{found['block']} bar{'s' * (found['block'] != 1)}"
    note = (
        f"The strategy's own positions held at {found['n_draws']:,} random times, in blocks of {bars}, "
        "at the same costs: quantiles of what that earns, and the share of it that the strategy beats."
    )
    return ReportTable("Random timing", note, head, (row,))


def _trades(metrics: Mapping[str, Any]) -> ReportTable:
    trades, tails = metrics["trades"], metrics["tails"]
    facts: list[tuple[str, str]] = []
    if trades["n_trades"]:
        facts += [
            ("Round trips", formats.count(trades["n_trades"])),
            ("Round trips that gained", formats.percent(trades["hit_rate"])),
            ("Mean return of a round trip", _fine(trades["mean_return"])),
            ("Mean length of a round trip, bars", formats.ratio(trades["mean_bars"])),
            ("Gains over losses of round trips", formats.ratio(trades["profit_factor"])),
            (f"Value at risk of a bar, {tails['level']:.0%}", _fine(tails["value_at_risk"])),
            (f"Expected shortfall of a bar, {tails['level']:.0%}", _fine(tails["expected_shortfall"])),
        ]
    return ReportTable("Trades and tails", "", ("Figure", "Strategy"), tuple(facts))


def _fine(fraction: float | None) -> str:
    return formats.MISSING if fraction is None else f"{100 * fraction:z.2f}%".replace("-", "−")


def _basis_points(fraction: float | None) -> str:
    return formats.MISSING if fraction is None else f"{formats.basis_points(fraction)} bp"


def _rounded(amount: float) -> str:
    """Print an amount of money to two digits: no more is known of it."""
    if amount >= 1e15:
        return "more than 1,000 trillion"
    amount = float(f"{amount:.2g}")
    for size, name in ((1e12, " trillion"), (1e9, " billion"), (1e6, " million"), (1e3, " thousand")):
        if amount >= size:
            return f"{amount / size:g}{name}"
    return f"{amount:g}"


def _day(instant: str) -> str:
    return instant[:10]
