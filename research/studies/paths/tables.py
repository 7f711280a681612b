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
    if figures["mean_correlation"] is not None:
        shared = f"mean correlation {formats.ratio(figures['mean_correlation'])}"
        told.append(f"Paths share their market and much of what they learnt ({shared}).")
        told.append("Their spread is therefore no standard error; the interval of a run is.")
    return told


def print_paths(console: Console, result: Paths) -> None:
    """Print one row per group and one column per path, and the whole path below."""
    table = terminal_table(["group"], [str(name) for name in result.returns.columns])
    for (start, end), (_, row) in zip(result.figures["groups"], result.by_group.iterrows(), strict=True):
        table.add_row(f"{start[:10]} to {end[:10]}", *(formats.ratio(value) for value in row))
    table.add_row("whole path", *(formats.ratio(value) for value in result.sharpe), style="bold")
    console.print(table)
    for line in sentences(result):
        console.print(Text(line))
