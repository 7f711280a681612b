"""Ask what a run's verdict is worth, where the truth is known.

Run by ``python -m embargo.research.benchmarks.simulated_market``. The demo's experiment, read by word list, is repeated
on many simulated markets. Where news means nothing, a verdict that claims an edge is false, the more tempting where the
market rises and is only held long; where news means something, the intervals should hold the true Sharpe ratio as often
as they promise. The true Sharpe ratio of a world is that of all its markets' returns together. The audit is left out:
it can only take an edge back.

Then attempts are added. Where news means something, some settings nearby are tried beside the run: they take nothing
from it that they should not. Where it means nothing, many worthless variants are tried on one market, each with its
news shuffled anew, and the best is judged twice: as if it were the only attempt, and as the best of all.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from scipy.stats import binomtest

from embargo.backtest.metrics import performance, sharpe
from embargo.backtest.significance import rearrangement
from embargo.data_loaders.schemas import Prices
from embargo.research.config.experiment import Config, load_config
from embargo.research.examples.shipped import example
from embargo.research.progress import Quiet
from embargo.research.records.attempts import Attempts, discounted
from embargo.research.records.ledger import Trial
from embargo.research.run.chance import block_of, replay, shuffle_news
from embargo.research.run.measurement import estimate, judged_against_chance
from embargo.research.run.plan import Plan
from embargo.research.run.preparation import prepare
from embargo.research.run.reading import read
from embargo.research.run.trading import Trade, trade
from embargo.research.run.verdict import conclude

FREE = ("costs.fee=0", "costs.slippage=0", "costs.borrow_annual=0")
LONG_ONLY = ("portfolio.long_only=true", "portfolio.neutral=false")
BULL_RISE = 0.0015
LEVEL = 0.05
# What anyone tries who tries anything: the demo has a half-life of 5 bars and a threshold of 0.5.
NEARBY_STRENGTH = 1.5
NEARBY = ("signal.half_life=4", "signal.half_life=6", "signal.threshold=0.4", "signal.threshold=0.6")


@dataclass(frozen=True)
class MarketKind:
    """One kind of market: how strongly prices react to news, whether trading is free, and whether all prices rise.

    ``bull`` adds 0.15 % to every bar's return and trades long only: holding anything pays, whatever the news says.
    """

    strength: float
    free: bool = False
    bull: bool = False

    @property
    def label(self) -> str:
        """Return the kind in words."""
        return f"{self.strength:g}" + ", no costs" * self.free + ", bull market held long" * self.bull

    def settings(self, seed: int, *changed: str) -> Config:
        """Return the demo's experiment in one market of this kind, with some settings changed."""
        overrides = [f"seed={seed}", f"news.simulated.strength={self.strength}", "model.kind=lexicon", *changed]
        with example("demo") as path:
            return load_config(path, [*overrides, *(FREE if self.free else ()), *(LONG_ONLY if self.bull else ())])


@dataclass(frozen=True)
class Attempt:
    """What one run concluded, and the returns it concluded that from."""

    edge: bool
    sharpe: float | None
    low: float | None
    high: float | None
    p_value: float | None
    permutation_p_value: float
    adjusted: float | None
    returns: np.ndarray


@dataclass(frozen=True)
class Traded:
    """A run up to its books."""

    plan: Plan
    scored: pd.DataFrame
    result: Trade


def trade_once(market: MarketKind, seed: int) -> Traded:
    """Carry out the demo's experiment on one market, from its news to its books."""
    plan = prepare(market.settings(seed), Quiet())
    if market.bull:
        plan = replace(plan, world=replace(plan.world, prices=rising(plan.world.prices)))
    with TemporaryDirectory() as cache:
        reading = read(plan, plan.parts, Path(cache), Quiet())
    return Traded(plan, reading.scored, trade(plan, reading.scored))


def rising(prices: Prices) -> Prices:
    """Return the same market with every bar's return raised."""
    growth = np.exp(BULL_RISE * np.arange(len(prices.open)))
    return replace(
        prices, **{name: getattr(prices, name).mul(growth, axis=0) for name in ("open", "high", "low", "close")}
    )


def attempt(market: MarketKind, seed: int, beside: Sequence[str] = ()) -> Attempt:
    """Judge one run as its report would, after some others that each changed one setting of what follows its reading.

    ``beside`` holds the changes, none of which may change the news or who reads it: that is done once.
    """
    attempts, done = Attempts({}, {}), trade_once(market, seed)
    plan, result = done.plan, done.result
    for change in beside:
        other = trade(plan.under(market.settings(seed, change)), done.scored).books.returns.to_numpy(dtype=float)
        attempts = attempts.joined(_trial(change, other), other)
    # The verdict asks for one of the ways to break the news.
    permutations = shuffle_news(plan, result, lambda *_: None, ways=("dates",))
    returns = result.books.returns.to_numpy(dtype=float)
    attempts = attempts.joined(_trial("as it is", returns), returns)
    metrics = judged_against_chance(plan, result, permutations, attempts)
    return Attempt(
        edge=conclude(metrics, [], significance=LEVEL).edge,
        sharpe=metrics.sharpe,
        low=metrics.sharpe_low,
        high=metrics.sharpe_high,
        p_value=metrics.sharpe_p_value,
        permutation_p_value=metrics.permutation_p_value,
        adjusted=metrics.adjusted_p_value,
        returns=returns,
    )


def _trial(name: str, returns: np.ndarray) -> Trial:
    return Trial("one market", name, "", sharpe(returns, periods_per_year=1.0) or 0.0, len(returns))


def summary(market: MarketKind, attempts: Sequence[Attempt], periods_per_year: float = 252.0) -> dict[str, Any]:
    """Count verdicts, tests and intervals over the markets of one kind."""
    together = np.concatenate([found.returns for found in attempts])
    truth = float(together.mean() / together.std(ddof=1) * np.sqrt(periods_per_year))
    n = len(attempts)
    frame = pd.DataFrame([{k: v for k, v in asdict(found).items() if k != "returns"} for found in attempts])
    low, high = share_interval(int(frame["edge"].sum()), n)
    return {
        "world": market.label,
        "strength": market.strength,
        "markets": n,
        "true_sharpe": truth,
        "edge": float(frame["edge"].mean()),
        "edge_low": low,
        "edge_high": high,
        "sharpe_test": float((frame["p_value"] < LEVEL).mean()),
        "permutation_test": float((frame["permutation_p_value"] < LEVEL).mean()),
        "adjusted_test": float((frame["adjusted"] <= LEVEL).mean()),
        "coverage": float(((frame["low"] <= truth) & (truth <= frame["high"])).mean()),
    }


def share_interval(found: int, of: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    interval = binomtest(found, of).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def best_of_variants(variants: int, seed: int) -> tuple[bool, bool]:
    """Try worthless variants on one market without costs; return what the best claims alone, and as the best of all."""
    done = trade_once(MarketKind(0.0, free=True), seed)
    plan, decision = done.plan, done.result.decision
    returns_of, shape = replay(plan, done.result), decision.weights.shape
    rng, block = np.random.default_rng([seed, variants]), block_of(plan)
    draws = [rearrangement("dates", shape, block, rng) for _ in range(variants)]
    returns = {str(k): returns_of(decision.evidence.rearranged(one.rows, one.columns)) for k, one in enumerate(draws)}
    trials = {name: _trial(name, each) for name, each in returns.items()}
    best = max(trials, key=lambda name: trials[name].sharpe_per_bar)
    years = plan.world.periods_per_year
    strategy = performance(pd.Series(returns[best], index=decision.weights.index), periods_per_year=years)

    alone = estimate(plan, pd.Series(returns[best], index=decision.weights.index)).p_value

    def claims(attempts: Attempts) -> bool:
        found = discounted(
            attempts,
            strategy,
            alone,
            periods_per_year=years,
            significance=LEVEL,
            n_boot=plan.config.statistics.bootstrap,
            block=plan.config.statistics.block,
            seed=plan.config.seed,
        )
        return found.adjusted_p_value is not None and found.adjusted_p_value <= LEVEL

    alone_in_it = Attempts({best: trials[best]}, {best: returns[best]}, own=best)
    return claims(alone_in_it), claims(Attempts(trials, returns, own=best))


def as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Write the summaries as a table."""
    head = [
        "strength",
        "true Sharpe",
        "edge claimed",
        "95 % interval",
        "Sharpe test",
        "news shuffled",
        "after attempts",
    ]
    lines = ["| " + " | ".join([*head, "truth inside the interval"]) + " |", "|" + "---|" * (len(head) + 1)]
    for row in rows:
        shares = [f"{row[name]:.1%}" for name in ("sharpe_test", "permutation_test", "adjusted_test", "coverage")]
        lines.append(
            f"| {row['world']} | {row['true_sharpe']:.2f} | {row['edge']:.1%} | "
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
        + text.format(margin - 6, y(share) + shift, "end", f"{share:.0%}")
        for share, shift in ((0.0, 8), (LEVEL, 2), (0.5, 4), (1.0, 4))
    ]
    for row in rows:
        place, low, high = x(float(row["true_sharpe"])), y(float(row["edge_low"])), y(float(row["edge_high"]))
        drawn.append(f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="#1c4f8f"/>')
        drawn.append(f'<circle cx="{place:.1f}" cy="{y(float(row["edge"])):.1f}" r="4" fill="#1c4f8f"/>')
        drawn.append(text.format(place, height - margin + 20, "middle", f"{row['true_sharpe']:.2f}"))
    points = " ".join(f"{x(float(row['true_sharpe'])):.1f},{y(float(row['edge'])):.1f}" for row in rows)
    drawn.append(f'<polyline points="{points}" fill="none" stroke="#1c4f8f" stroke-width="2"/>')
    drawn.append(text.format(width / 2, height - 8, "middle", "true Sharpe ratio a year, after costs"))
    drawn.append(text.format(margin, 18, "start", "markets in which the verdict claims an edge"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif"'
    return f'{head} font-size="12"><rect width="100%" height="100%" fill="white"/>{"".join(drawn)}</svg>\n'


def lost_to_attempts(alone: Sequence[Attempt], after: Sequence[Attempt]) -> dict[str, Any]:
    """Compare the verdicts on runs with those on the same runs after other attempts."""
    before, then = (np.array([found.edge for found in each]) for each in (alone, after))
    return {
        "markets": len(before),
        "alone": float(before.mean()),
        "after": float(then.mean()),
        "lost": int((before & ~then).sum()),
        "gained": int((then & ~before).sum()),
    }


def document(
    rows: Sequence[dict[str, Any]],
    nearby: dict[str, Any],
    claims: Sequence[tuple[bool, bool]],
    variants: int,
    picture: str,
) -> str:
    """Write what the simulations say."""
    n = len(claims)
    alone, among = (sum(each) for each in zip(*claims, strict=True))
    low, high = share_interval(among, n)
    return f"""# What a verdict is worth

Simulated by `python -m embargo.research.benchmarks.simulated_market --write docs/simulated_market.md`: the demo's
experiment, read by word list, on {rows[0]["markets"]} markets of each kind. Only the audit is left out, which can take
an edge back but never add one.

`strength` says how far prices follow the news (the demo has 1). At strength 0 news means nothing. The true Sharpe ratio
is that of the returns of all markets of a kind together, after costs where there are any. An edge is claimed where the
shuffled news and the Sharpe ratio after all attempts, each at 5 %, both say so; the columns to the right count how
often each of them does alone, and the Sharpe ratio taken for the only attempt.

{as_markdown(rows)}

Where trading is free and news means nothing, both must err for a false claim, so there are fewer than 5 %.
The level is used up where one of them is right: in a market that rises, whatever is held long earns money, no
Sharpe ratio can tell that from skill, and the shuffled news alone stands between the reader and a false claim. What is
held long also takes on the market's own trends, which last about a year: three years hold too few of them for any
interval made of these three years to hold the truth as often as it promises.

![How often an edge is claimed, by true Sharpe ratio]({picture})

## After harmless attempts

On {nearby["markets"]} markets of strength {NEARBY_STRENGTH:g}, the same run was judged after {len(NEARBY)} others, each
with one setting changed ({", ".join(f"`{change}`" for change in NEARBY)}). An edge is claimed in
{nearby["alone"]:.1%} where the run is the only attempt, and in {nearby["after"]:.1%} where it is one of
{len(NEARBY) + 1}: {nearby["lost"]} claims were lost, {nearby["gained"]} gained.

## Trying {variants} worthless variants

On each of {n} markets where news means nothing and trading is free, the experiment was traded {variants} times with its
news shuffled anew, and the variant with the best Sharpe ratio was judged. Taken for the only attempt, its p is at most
5 % in {100 * alone / n:.0f} % of the markets; among all attempts, in {100 * among / n:.0f} % (95 % interval
{100 * low:.1f} to {100 * high:.1f}).
"""


def main(given: Sequence[str] | None = None) -> None:
    """Repeat the experiments and print the document, or write it with its picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--markets", type=int, default=200)
    parser.add_argument("--strengths", nargs="*", type=float, default=[0.5, 1.0, 1.5, 2.0])
    parser.add_argument("--variants", type=int, default=200, help="worthless variants tried on one market")
    parser.add_argument("--repetitions", type=int, default=100, help="markets they are tried on")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="write every figure here too")
    parser.add_argument("--write", type=Path, help="write the document here, and its power curve beside it as SVG")
    arguments = parser.parse_args(given)
    kinds = [MarketKind(0.0, free=True), MarketKind(0.0, free=True, bull=True), MarketKind(0.0)]
    kinds += [MarketKind(strength) for strength in arguments.strengths]
    console = Console()
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:

        def repeat(what: Callable[[int], Any], times: int) -> list[Any]:
            return list(pool.map(what, range(times)))

        found = {}
        for kind in kinds:
            found[kind] = repeat(partial(attempt, kind), arguments.markets)
            console.print(summary(kind, found[kind]))
        rows = [summary(kind, each) for kind, each in found.items()]
        known, half = MarketKind(NEARBY_STRENGTH), (arguments.markets + 1) // 2
        alone = found[known] if known in found else repeat(partial(attempt, known), half)
        nearby = lost_to_attempts(alone[:half], repeat(partial(attempt, known, beside=NEARBY), half))
        console.print(nearby)
        claims = repeat(partial(best_of_variants, arguments.variants), arguments.repetitions)
    if arguments.json is not None:
        arguments.json.write_text(
            json.dumps({"markets": rows, "nearby": nearby, "variants": claims}, indent=1), encoding="utf-8"
        )
    curve = power_curve([row for kind, row in zip(kinds, rows, strict=True) if not kind.free])
    if arguments.write is None:
        console.print(document(rows, nearby, claims, arguments.variants, "power.svg"), markup=False, soft_wrap=True)
    else:
        picture = arguments.write.with_name("power.svg")
        picture.write_text(curve, encoding="utf-8")
        arguments.write.write_text(document(rows, nearby, claims, arguments.variants, picture.name), encoding="utf-8")


if __name__ == "__main__":
    main()
