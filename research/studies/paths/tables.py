"""Combinatorial paths in the terminal: each path's Sharpe ratio by group, and what their spread says."""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.text import Text

from embargo.research.pages import formats
from embargo.research.pages.tables import terminal_table
from embargo.research.studies.paths.paths import Paths


def sentences(result: Paths) -> list[str]:
    """Say what the paths are and what may, and may not, be read from them."""
    figures = result.figures
    low, median, high = np.nanmin(result.sharpe), figures["sharpe_quantiles"]["0.5"], np.nanmax(result.sharpe)
    made = f"{figures['splits']} models tested {figures['tested_groups']} of {len(figures['groups'])} groups each"
    reach = f"from {formats.ratio(low)} to {formats.ratio(high)}, median {formats.ratio(median)}"
    told = [
        f"{made}, which makes {figures['paths']} paths over {figures['bars']:,} bars.",
        f"Sharpe ratio of the paths: {reach}; {formats.percent(figures['share_positive'])} of them above zero.",
    ]
    if idle := figures["paths"] - figures["paths_that_traded"]:
        told.append(f"{idle} path{'s' * (idle > 1)} never traded and {'are' if idle > 1 else 'is'} left out of this.")
    if (data := figures.get("data")) is not None and data["verdict"] != "clean":
        told.append(f"The data are {'bad' if data['verdict'] == 'bad' else 'to be looked at'}: {data['summary']}")
    if figures["mean_correlation"] is not None:
        shared = f"mean correlation {formats.ratio(figures['mean_correlation'])}"
        told.append(f"Paths share their market and much of what they learnt ({shared}).")
        told.append("Their spread is therefore no standard error; the interval of a run is.")
    return told


def print_paths(console: Console, result: Paths) -> None:
    """Print one row per group and one column per path, the whole path below, and what their spread says.

    Parameters
    ----------
    console : rich.console.Console
    result : Paths

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import pandas as pd
    >>> from rich.console import Console
    >>> from embargo.research.studies.paths import Paths, print_paths
    >>> figures = {"splits": 3, "tested_groups": 2, "paths": 2, "paths_that_traded": 2, "bars": 120}
    >>> figures |= {"groups": [("2016-01-04", "2016-03-24"), ("2016-03-28", "2016-06-20")], "mean_correlation": 0.8}
    >>> figures |= {"sharpe_quantiles": {"0.5": 0.5}, "share_positive": 1.0}
    >>> ratios = pd.DataFrame([[0.2, 1.1], [0.6, 0.3]])
    >>> result = Paths(Path("runs/mine"), [], pd.DataFrame({"1": [], "2": []}), np.array([0.4, 0.6]), ratios, figures)
    >>> print_paths(Console(width=100), result)
    group                    ┃    1 ┃    2
    ━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━╇━━━━━
    2016-01-04 to 2016-03-24 │ 0.20 │ 1.10
    2016-03-28 to 2016-06-20 │ 0.60 │ 0.30
    whole path               │ 0.40 │ 0.60
    3 models tested 2 of 2 groups each, which makes 2 paths over 120 bars.
    Sharpe ratio of the paths: from 0.40 to 0.60, median 0.50; 100.0% of them above zero.
    Paths share their market and much of what they learnt (mean correlation 0.80).
    Their spread is therefore no standard error; the interval of a run is.
    """
    table = terminal_table(["group"], [str(name) for name in result.returns.columns])
    for (start, end), (_, row) in zip(result.figures["groups"], result.by_group.iterrows(), strict=True):
        table.add_row(f"{start[:10]} to {end[:10]}", *(formats.ratio(value) for value in row))
    table.add_row("whole path", *(formats.ratio(value) for value in result.sharpe), style="bold")
    console.print(table)
    for line in sentences(result):
        console.print(Text(line))
