"""A comparison in words and in the terminal: what stands after correction, and what could have been seen at all."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from embargo.research.pages import formats
from embargo.research.run.report.tables import name_of
from embargo.research.studies.compare.comparison import EVERYTHING, Comparison

NOT_JUDGED = "not judged"


def significance(found: Comparison) -> float:
    """Return the level of the tests, as the base's config has it."""
    return float(found.figures["significance"])


def stands(row: Any, significance: float) -> bool:
    """Tell whether a difference stays significant after Holm's correction; rows that are not judged never do."""
    return not formats.is_missing(row.p_value_holm) and float(row.p_value_holm) < significance


def headline(found: Comparison) -> str:
    """Say in one line what the comparison comes to over all bars."""
    if found.invalid:
        runs = " and ".join(found.invalid)
        return f"Invalid: {runs} saw the future."
    overall = found.differences[found.differences["definition"] == EVERYTHING[0]]
    sure = [row for row in overall.itertuples() if stands(row, significance(found))]
    better = [str(row.run) for row in sure if row.difference > 0]
    worse = [str(row.run) for row in sure if row.difference < 0]
    base = found.base.name
    if not sure and overall["p_value"].isna().all():
        return f"No run can be told apart from {base}."
    if not sure:
        return f"No run stands out from {base} over all bars: chance can explain the differences."
    parts = [
        f"{_listed(names)} {'has' if len(names) == 1 else 'have'} a {word} Sharpe ratio than {base}"
        for names, word in ((better, "higher"), (worse, "lower"))
        if names
    ]
    return "; ".join(parts) + "."


def sentences(found: Comparison) -> list[str]:
    """Say what each difference is, how sure, and what a sample of this length could have shown."""
    told = [_overall(found, row) for row in found.differences.itertuples() if row.definition == EVERYTHING[0]]
    best = found.figures["best_of_all"]
    if best is not None:
        told.append(
            f"Is the best of the {best['runs']} better than {found.base.name}, at equal volatility? Hansen's test, "
            f"which allows for the choice ({best['best']}): {_p(best['p_value'])}."
        )
    return told + [_within(found, str(definition)) for definition in found.labels.columns]


def _p(value: float | None) -> str:
    printed = formats.probability(value)
    return (f"p {printed}" if printed.startswith("<") else f"p = {printed}").replace(" ", "\u00a0")


def _overall(found: Comparison, row: Any) -> str:
    base, family = found.base.name, found.figures["family"].get(EVERYTHING[0], 0)
    if row.difference is None:
        return f"{row.run} cannot be set against {base}: {row.note}."
    said = (
        f"{row.run}: Sharpe ratio {formats.ratio(row.sharpe)} against {formats.ratio(row.base_sharpe)}, a difference "
        f"of {formats.ratio(row.difference)} a year"
    )
    if row.p_value is None:
        return f"{said} ({row.note})."
    several = f", {formats.probability(row.p_value_holm)} for {family} comparisons" if family > 1 else ""
    said += f" ({formats.interval((row.low, row.high))}; {_p(row.p_value)}{several})."
    if row.probability is not None:
        said += (
            f" Probability of being truly better: {formats.probability(row.probability)}; of being within "
            f"{found.figures['rope']:g} of equal: {formats.probability(row.equal)}."
        )
    return f"{said} True differences below {formats.ratio(row.detectable)} would often go unseen in so few bars."


def _within(found: Comparison, definition: str) -> str:
    rows = [row for row in found.differences.itertuples() if row.definition == definition]
    judged = [row for row in rows if row.p_value is not None]
    level = significance(found)
    sure = [f"{row.run} in {row.regime} ({formats.ratio(row.difference)})" for row in judged if stands(row, level)]
    named = name_of(definition)
    left = _left(rows)
    if not judged:
        return f"By {named}, nothing can be judged: {left}."
    left = f" Not judged: {left}." if left else ""
    if len({row.regime for row in rows}) == 1:
        return f"By {named}, every bar is {rows[0].regime}: the figures are those of all bars.{left}"
    many = "the one difference" if len(judged) == 1 else f"of {len(judged)} differences"
    if not sure:
        verb = "is not" if len(judged) == 1 else "none is"
        return f"By {named}, {many} {verb} significant after Holm's correction.{left}"
    number = "" if len(judged) == 1 else f" {len(sure)}"
    are = "is" if len(sure) == 1 else "are"
    return f"By {named}, {many}{number} {are} significant after Holm's correction: {_listed(sure)}.{left}"


def _left(rows: list[Any]) -> str:
    """Name the regimes that were not judged, each with its reason; empty where all were."""
    why: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.p_value is None:
            why.setdefault(str(row.note).removesuffix(": not judged"), {})[str(row.regime)] = None
    told = [f"{', '.join(regimes)} ({note})" for note, regimes in why.items()]
    return "; ".join(told)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def title_of(found: Comparison) -> str:
    """Name a comparison by its runs."""
    base, others = found.base.name, [run.name for run in found.runs[1:]]
    return f"{others[0]} against {base}" if len(others) == 1 else f"{len(others)} runs against {base}"


def sharpe_text(row: Any) -> str:
    """Print a Sharpe ratio with its interval."""
    if formats.is_missing(row.sharpe):
        return NOT_JUDGED
    return f"{formats.ratio(row.sharpe)} ({formats.interval((row.low, row.high))})"


def bayes_text(value: Any) -> str:
    """Print a Bayes factor: two decimals, and bounds beyond a thousand or a hundredth."""
    if formats.is_missing(value):
        return formats.MISSING
    return "> 1,000" if float(value) > 1000 else "< 0.01" if float(value) < 0.01 else formats.ratio(value)


def grid(found: Comparison) -> pd.DataFrame:
    """Rows of regimes, columns of runs: the row of `cells` of each; index (definition, regime)."""
    keys = list(dict.fromkeys(zip(found.cells["definition"], found.cells["regime"], strict=True)))
    rows = {(row.definition, row.regime, row.run): row for row in found.cells.itertuples()}
    table = [[rows[(*key, run.name)] for run in found.runs] for key in keys]
    names = [run.name for run in found.runs]
    return pd.DataFrame(table, index=pd.MultiIndex.from_tuples(keys), columns=names, dtype=object)


def print_comparison(console: Console, found: Comparison) -> None:
    """Print runs, regimes, differences, cautions and what follows."""
    for caution in found.cautions:
        console.print(Text(f"! {caution}"), style="bold red" if "found a leak" in caution else "yellow")
    console.print(_runs(found))
    if len(found.labels.columns):
        console.print(_regimes(found))
    console.print(_differences(found))
    console.print(Text(headline(found)), style="bold red" if found.invalid else "bold")
    for line in sentences(found):
        console.print(Text(line))


def _sheet(title: str, left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    table = Table(title=Text(title), title_justify="left", show_edge=False, pad_edge=False, header_style="bold")
    for name in left:
        table.add_column(Text(name), overflow="fold")
    for name in right:
        table.add_column(Text(name), justify="right", overflow="fold")
    return table


def _runs(found: Comparison) -> Table:
    figures = found.figures
    title = f"{figures['n_bars']:,} common bars, {figures['start'][:10]} to {figures['end'][:10]}"
    table = _sheet(title, ("run", "audit"), ("Sharpe (interval)", "p", "return a year", "max drawdown", "trials"))
    overall = found.cells[found.cells["definition"] == EVERYTHING[0]].set_index("run")
    for run in found.runs:
        row = overall.loc[run.name]
        table.add_row(
            Text(run.name),
            Text(run.status.upper() if run.status == "invalid" else run.status),
            sharpe_text(row),
            formats.probability(row["p_value"]),
            formats.percent(row["annual_return"]),
            formats.percent(row["max_drawdown"]),
            formats.count(run.n_trials),
        )
    return table


def _regimes(found: Comparison) -> Table:
    table = _sheet("Sharpe ratio by regime", ("by", "regime"), ("bars", *(run.name for run in found.runs)))
    for (definition, regime), row in grid(found).iterrows():
        if definition != EVERYTHING[0]:
            cells = [sharpe_text(cell) for cell in row]
            table.add_row(Text(name_of(definition)), Text(regime), formats.count(row.iloc[0].n_bars), *cells)
    return table


def _differences(found: Comparison) -> Table:
    title = f"Sharpe ratio less that of {found.base.name}"
    right = ("difference (interval)", "p", "p (Holm)", "better", "Bayes factor")
    table = _sheet(title, ("by", "regime", "run"), right)
    for row in found.differences.itertuples():
        if row.difference is None:
            continue
        table.add_row(
            Text(name_of(row.definition) if row.definition != EVERYTHING[0] else ""),
            Text(row.regime),
            Text(row.run),
            f"{formats.ratio(row.difference)} ({NOT_JUDGED if row.note else formats.interval((row.low, row.high))})",
            formats.probability(row.p_value),
            formats.probability(row.p_value_holm),
            formats.probability(row.probability),
            bayes_text(row.bayes_factor),
            style="bold" if stands(row, significance(found)) else None,
        )
    return table
