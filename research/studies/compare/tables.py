"""A comparison in words and in the terminal: what stands after correction, and what could have been seen at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from embargo.research.pages import formats
from embargo.research.pages.phrases import phrase
from embargo.research.pages.tables import terminal_table
from embargo.research.run.report.tables import name_of
from embargo.research.studies.compare.comparison import Comparison
from embargo.research.studies.compare.judgement import EVERYTHING
from embargo.research.studies.compare.memory import memory_sentences
from embargo.research.studies.compare.rows import Difference, Fared, differences, fared

NOT_JUDGED = "not judged"
# From so many runs on, what concerns them all is said before what concerns each.
MANY = 3
ParetoAxis = Literal["turnover", "cost"]
MOST_SETTINGS = 20


def significance(found: Comparison) -> float:
    """Return the level of the tests, as the base's config has it."""
    return float(found.figures["significance"])


def stands(row: Difference, significance: float) -> bool:
    """Tell whether a difference stays significant after Holm's correction; rows that are not judged never do."""
    return row.p_value_holm is not None and row.p_value_holm < significance


def headline(found: Comparison) -> str:
    """Say in one line what the comparison comes to over all bars."""
    if found.invalid:
        runs = " and ".join(found.invalid)
        return f"Invalid: {runs} saw the future."
    overall = [row for row in differences(found) if row.definition == EVERYTHING[0]]
    sure = [row for row in overall if stands(row, significance(found))]
    better = [row.run for row in sure if (row.difference or 0.0) > 0]
    worse = [row.run for row in sure if (row.difference or 0.0) < 0]
    base = found.base.name
    if not sure and all(row.p_value is None for row in overall):
        return phrase("difference not tested", base=base)
    if not sure:
        return phrase("difference not shown", base=base)
    parts = [
        f"{listed(names)} {'has' if len(names) == 1 else 'have'} a {word} Sharpe ratio than {base}"
        for names, word in ((better, "higher"), (worse, "lower"))
        if names
    ]
    return "; ".join(parts) + "."


def sentences(found: Comparison) -> list[str]:
    """Say what each difference is, how sure, and what a sample of this length could have shown."""
    told = [noise_sentence(found)] if len(found.runs) >= MANY else []
    told += [_overall(found, row) for row in differences(found) if row.definition == EVERYTHING[0]]
    told += memory_sentences(found)
    best = found.figures["best_of_all"]
    if best is not None:
        told.append(
            f"Is the best of the {best['runs']} better than {found.base.name}, at equal volatility? Romano and Wolf's "
            f"test, which allows for the choice ({best['best']}): {formats.p_value(best['p_value'])}, one-sided."
        )
    return told + [_within(found, str(definition)) for definition in found.labels.columns]


def noise_sentence(found: Comparison) -> str:
    """Say in one sentence which differences to the base over all bars the paired tests cannot tell from noise."""
    base, rows = found.base.name, [row for row in differences(found) if row.definition == EVERYTHING[0]]
    if base in found.invalid:
        return f"No difference to {base} can be told from its leak."
    judged = [row for row in rows if row.p_value is not None and row.run not in found.invalid]
    level = significance(found)
    sure, noise = ([row.run for row in judged if stands(row, level) == wanted] for wanted in (True, False))
    number = "1 difference" if len(judged) == 1 else f"{len(judged):,} differences"
    verb = "stand" if len(sure) > 1 else "stands"
    parts = [f"Of {number} to {base} over all bars, {len(sure) or 'none'} {verb} after Holm's correction"]
    parts[0] += f" ({listed(sure)})" if sure else ""
    if noise:
        parts.append(f"{listed(noise)} cannot be told from noise")
        smallest = found.figures["family"][EVERYTHING[0]] / (found.figures["bootstrap"] + 1)
        if smallest >= level:
            parts.append(
                f"with {found.figures['bootstrap']:,} resamples no difference among so many could stand, so raise "
                "statistics.bootstrap"
            )
    if untested := [row.run for row in rows if row.p_value is None and row.run not in found.invalid]:
        parts.append(f"not tested: {listed(untested)}")
    if found.invalid:
        parts.append(f"left out for a leak: {listed(found.invalid)}")
    return f"{'; '.join(parts)}."


def _overall(found: Comparison, row: Difference) -> str:
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
    said += f" ({formats.interval((row.low, row.high))}; {formats.p_value(row.p_value)}, two-sided{several})."
    if row.probability is not None:
        said += (
            f" Posterior probability of being truly better: {formats.probability(row.probability)}; of being within "
            f"{found.figures['rope']:g} of equal: {formats.probability(row.equal)}."
        )
    return f"{said} True differences below {formats.ratio(row.detectable)} would often go unseen in so few bars."


def _within(found: Comparison, definition: str) -> str:
    rows = [row for row in differences(found) if row.definition == definition]
    judged = [row for row in rows if row.p_value is not None]
    level = significance(found)
    sure = [f"{row.run} in {row.regime} ({formats.ratio(row.difference)})" for row in judged if stands(row, level)]
    named = name_of(definition)
    left = _left(rows)
    if not judged:
        return f"By {named}, no difference is judged: {left}."
    left = f" Not judged: {left}." if left else ""
    if len({row.regime for row in rows}) == 1:
        return f"By {named}, every bar is {rows[0].regime}: the figures are those of all bars.{left}"
    many = "the one difference" if len(judged) == 1 else f"of {len(judged)} differences"
    if not sure:
        verb = "is not" if len(judged) == 1 else "none is"
        return f"By {named}, {many} {verb} significant after Holm's correction.{left}"
    number = "" if len(judged) == 1 else f" {len(sure)}"
    are = "is" if len(sure) == 1 else "are"
    return f"By {named}, {many}{number} {are} significant after Holm's correction: {listed(sure)}.{left}"


def _left(rows: Sequence[Difference]) -> str:
    """Name the regimes that were not judged, each with its reason; empty where all were."""
    why: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.p_value is None:
            why.setdefault(row.note.removesuffix(": not judged"), {})[row.regime] = None
    told = [f"{', '.join(regimes)} ({note})" for note, regimes in why.items()]
    return "; ".join(told)


def listed(names: list[str]) -> str:
    """Write names one after another, ``and`` before the last."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def without(found: Comparison, spent: ParetoAxis) -> str:
    """Say of how many runs turnover or cost is not known, and of which; empty where it is of all."""
    names = [run.name for run in found.runs if found.figures[spent][run.name] is None]
    if not names:
        return ""
    return (
        f"{len(names):,} of {len(found.runs):,} runs, made by an older version, hold no {spent} by bar and are not "
        f"drawn: {', '.join(names)}."
    )


def title_of(found: Comparison) -> str:
    """Name a comparison by its runs."""
    base, others = found.base.name, [run.name for run in found.runs[1:]]
    return f"{others[0]} against {base}" if len(others) == 1 else f"{len(others)} runs against {base}"


def sharpe_text(row: Fared) -> str:
    """Print a Sharpe ratio with its interval."""
    if formats.is_missing(row.sharpe):
        return NOT_JUDGED
    return formats.around(row.sharpe, None if row.note else (row.low, row.high))


def bayes_text(value: float | None) -> str:
    """Print a Bayes factor: two decimals, and bounds beyond a thousand or a hundredth."""
    if value is None or formats.is_missing(value):
        return formats.MISSING
    return "> 1,000" if value > 1000 else "< 0.01" if value < 0.01 else formats.ratio(value)


def regimes_of(found: Comparison) -> dict[tuple[str, str], list[Fared]]:
    """How each run fared in each regime, by (definition, regime); all bars are left out."""
    by_regime: dict[tuple[str, str], list[Fared]] = {}
    for row in fared(found):
        if row.definition != EVERYTHING[0]:
            by_regime.setdefault((row.definition, row.regime), []).append(row)
    order = [run.name for run in found.runs]
    return {key: sorted(rows, key=lambda row: order.index(row.run)) for key, rows in by_regime.items()}


def over_all_bars(found: Comparison) -> dict[str, Fared]:
    """How each run fared over all bars, by its name."""
    return {row.run: row for row in fared(found) if row.definition == EVERYTHING[0]}


def print_comparison(console: Console, found: Comparison) -> None:
    """Print runs, regimes, differences, cautions and what follows; text from outside is never read as markup.

    Parameters
    ----------
    console : rich.console.Console
    found : Comparison

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.research.studies.compare import compare, print_comparison
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
    >>> import io
    >>> from rich.console import Console
    >>> console = Console(file=io.StringIO(), width=100)
    >>> print_comparison(console, found)
    >>> print(console.file.getvalue().splitlines()[6])
    one │ caution │  1.36 (−6.33 to 9.59) │     0.329 │         20.3% │        −7.7% │      –
    """
    for caution in found.cautions:
        console.print(Text(f"! {caution}"), style="bold red" if "found a leak" in caution else "yellow")
    console.print(_runs(found))
    if unsealed := [run.name for run in found.runs if not run.sealed]:
        told = f"Unsealed, so that changes after the run cannot be noticed: {', '.join(unsealed)}."
        console.print(Text(told), style="dim")
    if len(found.runs) >= MANY and (told := without(found, "cost")):
        console.print(Text(told), style="dim")
    if len(found.labels.columns):
        console.print(_regimes(found))
    console.print(_differences(found))
    if len(found.settings):
        _print_settings(console, found)
    console.print(Text(headline(found)), style="bold red" if found.invalid else "bold")
    for line in sentences(found):
        console.print(Text(line))


def _print_settings(console: Console, found: Comparison) -> None:
    """Print the settings that are not the same in all runs; a long list is cut, and says so."""
    names = [run.name for run in found.runs]
    table = terminal_table(("setting", *names), (), title=Text("Settings that differ"))
    for key, row in found.settings.head(MOST_SETTINGS).iterrows():
        table.add_row(Text(str(key)), *(Text(str(value)) for value in row))
    console.print(table)
    if (left := len(found.settings) - MOST_SETTINGS) > 0:
        console.print(f"{left:,} more settings that differ are in the page (--html).", style="dim")


def _runs(found: Comparison) -> Table:
    figures = found.figures
    title = f"{figures['n_bars']:,} common bars, {figures['start'][:10]} to {figures['end'][:10]}"
    right = ("Sharpe (interval)", "p, one-sided", "return a year", "max drawdown", "trials")
    table = terminal_table(("run", "audit"), right, title=Text(title))
    overall = over_all_bars(found)
    for run in found.runs:
        row = overall[run.name]
        table.add_row(
            Text(run.name),
            Text(run.status.upper() if run.status == "invalid" else run.status),
            sharpe_text(row),
            formats.probability(row.p_value),
            formats.percent(row.annual_return),
            formats.percent(row.max_drawdown),
            formats.count(run.n_trials),
        )
    return table


def _regimes(found: Comparison) -> Table:
    names = [run.name for run in found.runs]
    table = terminal_table(("by", "regime"), ("bars", *names), title=Text("Sharpe ratio by regime"))
    for (definition, regime), rows in regimes_of(found).items():
        cells = [sharpe_text(row) for row in rows]
        table.add_row(Text(name_of(definition)), Text(regime), formats.count(rows[0].n_bars), *cells)
    return table


def _differences(found: Comparison) -> Table:
    title = Text(f"Sharpe ratio less that of {found.base.name}")
    right = ("difference (interval)", "p, two-sided", "p (Holm), two-sided", "better", "Bayes factor")
    table = terminal_table(("by", "regime", "run"), right, title=title)
    for row in differences(found):
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
