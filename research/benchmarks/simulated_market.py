"""Ask what a run's verdict is worth, where the truth is known: ``python -m research.benchmarks.simulated_market``.

The demo's experiment, read by word list, is repeated on many simulated markets. Where news means nothing, a verdict
that claims an edge is false; where it means something, the intervals should hold the true Sharpe ratio as often as they
promise. The true Sharpe ratio of a strength is that of all markets' returns together. The audit is left out: it can
only take an edge back.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from scipy.stats import binomtest

from backtest.metrics import sharpe
from research.attempts import Attempts
from research.cli import example
from research.config import load_config
from research.ledger import Trial
from research.measurement import measure
from research.pipeline import prepare
from research.progress import Quiet
from research.reading import read
from research.trading import rules_of, shuffle_news, trade
from research.verdict import conclude

FREE = ("costs.fee=0", "costs.slippage=0", "costs.borrow_annual=0")
LEVEL = 0.05


@dataclass(frozen=True)
class World:
    """One kind of market: how strongly prices react to news, and whether trading costs anything."""

    strength: float
    free: bool = False

    @property
    def label(self) -> str:
        """Return the kind in words."""
        return f"{self.strength:g}" + (", no costs" if self.free else "")


@dataclass(frozen=True)
class Attempt:
    """What one run concluded, and the returns it concluded that from."""

    edge: bool
    sharpe: float
    low: float
    high: float
    p_value: float
    permutation_p_value: float
    deflated: float
    returns: np.ndarray


def attempt(world: World, seed: int) -> Attempt:
    """Carry out the demo's experiment on one market, from its news to its verdict."""
    overrides = [f"seed={seed}", f"news.simulated.strength={world.strength}", "model.kind=lexicon"]
    with example("demo") as path, TemporaryDirectory() as cache:
        config = load_config(path, [*overrides, *(FREE if world.free else ())])
        plan = prepare(config, Quiet())
        reading = read(config, plan.parts, None, Path(cache), Quiet())
    result = trade(config, plan.world, plan.rows, reading.scored)
    permutations = shuffle_news(config, plan.world, plan.rows, result, lambda done, total: None)
    returns = result.books.returns.to_numpy(dtype=float)
    per_bar = sharpe(returns, periods_per_year=1.0) or 0.0
    trial = Trial("one market", "one attempt", config.name, per_bar, len(returns))
    attempts = Attempts({}, {}).joined(trial, returns)
    measured = measure(config, plan.world, plan.rows, rules_of(config), reading, result, permutations, attempts, {})
    metrics = measured.metrics
    return Attempt(
        edge=conclude(metrics, [], significance=LEVEL).edge,
        sharpe=metrics["sharpe"],
        low=metrics["sharpe_low"],
        high=metrics["sharpe_high"],
        p_value=metrics["sharpe_p_value"],
        permutation_p_value=metrics["permutation_p_value"],
        deflated=metrics["deflated_sharpe"],
        returns=returns,
    )


def summary(world: World, attempts: Sequence[Attempt], periods_per_year: float = 252.0) -> dict[str, Any]:
    """Count verdicts, tests and intervals over the markets of one kind."""
    together = np.concatenate([found.returns for found in attempts])
    truth = float(together.mean() / together.std(ddof=1) * np.sqrt(periods_per_year))
    n = len(attempts)
    frame = pd.DataFrame([{k: v for k, v in asdict(found).items() if k != "returns"} for found in attempts])
    claims = int(frame["edge"].sum())
    interval = binomtest(claims, n).proportion_ci(method="wilson")
    return {
        "world": world.label,
        "strength": world.strength,
        "markets": n,
        "true_sharpe": truth,
        "edge": claims / n,
        "edge_low": float(interval.low),
        "edge_high": float(interval.high),
        "sharpe_test": float((frame["p_value"] < LEVEL).mean()),
        "permutation_test": float((frame["permutation_p_value"] < LEVEL).mean()),
        "deflated_sharpe": float((frame["deflated"] > 1 - LEVEL).mean()),
        "coverage": float(((frame["low"] <= truth) & (truth <= frame["high"])).mean()),
    }


def as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Write the summaries as a table."""
    head = ["strength", "markets", "true Sharpe", "edge claimed", "95 % interval", "Sharpe test", "news shuffled"]
    head += ["deflated", "coverage"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        shares = [f"{row[name]:.1%}" for name in ("sharpe_test", "permutation_test", "deflated_sharpe", "coverage")]
        lines.append(
            f"| {row['world']} | {row['markets']} | {row['true_sharpe']:.2f} | {row['edge']:.1%} | "
            f"{row['edge_low']:.1%} to {row['edge_high']:.1%} | " + " | ".join(shares) + " |"
        )
    return "\n".join(lines)


def power_curve(rows: Sequence[dict[str, Any]]) -> str:
    """Draw how often an edge is claimed by the true Sharpe ratio, with intervals, as a small SVG picture."""
    rows = sorted(rows, key=lambda row: float(row["true_sharpe"]))
    first, last = (float(rows[place]["true_sharpe"]) for place in (0, -1))
    width, height, margin = 520.0, 300.0, 46.0

    def x(ratio: float) -> float:
        return margin + (ratio - first) / max(last - first, 1e-9) * (width - 2 * margin)

    def y(share: float) -> float:
        return height - margin - share * (height - 2 * margin)

    text = '<text x="{:.0f}" y="{:.0f}" text-anchor="{}">{}</text>'
    drawn = [
        f'<line x1="{margin}" x2="{width - margin}" y1="{y(share):.1f}" y2="{y(share):.1f}" stroke="#ccc"/>'
        + text.format(margin - 6, y(share) + 4, "end", f"{share:.0%}")
        for share in (0.0, LEVEL, 0.5, 1.0)
    ]
    for row in rows:
        place, low, high = x(float(row["true_sharpe"])), y(float(row["edge_low"])), y(float(row["edge_high"]))
        drawn.append(f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="#1c4f8f"/>')
        drawn.append(f'<circle cx="{place:.1f}" cy="{y(float(row["edge"])):.1f}" r="4" fill="#1c4f8f"/>')
        drawn.append(text.format(place, height - margin + 16, "middle", f"{row['true_sharpe']:.2f}"))
    points = " ".join(f"{x(float(row['true_sharpe'])):.1f},{y(float(row['edge'])):.1f}" for row in rows)
    drawn.append(f'<polyline points="{points}" fill="none" stroke="#1c4f8f" stroke-width="2"/>')
    drawn.append(text.format(width / 2, height - 8, "middle", "true Sharpe ratio a year, after costs"))
    drawn.append(text.format(margin, 18, "start", "markets in which the verdict claims an edge"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif"'
    return f'{head} font-size="12"><rect width="100%" height="100%" fill="white"/>{"".join(drawn)}</svg>\n'


def main(given: Sequence[str] | None = None) -> None:
    """Repeat the experiment and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--markets", type=int, default=200)
    parser.add_argument("--strengths", nargs="*", type=float, default=[0.25, 0.5, 1.0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="write every figure here too")
    parser.add_argument("--svg", type=Path, help="draw the power curve here")
    arguments = parser.parse_args(given)
    worlds = [World(0.0, free=True), World(0.0), *(World(strength) for strength in arguments.strengths)]
    rows, console = [], Console()
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        for world in worlds:
            rows.append(summary(world, list(pool.map(partial(attempt, world), range(arguments.markets)))))
            console.print(rows[-1])
            if arguments.json is not None:
                arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    console.print(as_markdown(rows), soft_wrap=True)
    if arguments.svg is not None:
        arguments.svg.write_text(power_curve([row for row in rows if "costs" not in row["world"]]), encoding="utf-8")


if __name__ == "__main__":
    main()
