"""Hold the Sharpe intervals of a study of readers against the truth, which the simulated market knows.

Run by ``python -m embargo.research.benchmarks.adapt_truth``. The demo's experiment is studied on many simulated
markets, each its own seed. What a reader truly earns is the Sharpe ratio of all its markets' returns together, more of
them than the study is made on; its intervals should hold that as often as they promise. How good the readers truly are
against each other is known in the same way, so that a recommendation can be wrong.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
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

from embargo.data_loaders.errors import ConfigError
from embargo.models.calibration.measures import wilson_interval
from embargo.models.content import json_hash
from embargo.research.config.adapt import AdaptConfig, load_adapt
from embargo.research.examples.shipped import example
from embargo.research.progress import Quiet
from embargo.research.records.folders import writing
from embargo.research.run.plan import traded_news
from embargo.research.run.preparation import prepare
from embargo.research.run.reading import read, with_base
from embargo.research.run.trading import fuse, trade
from embargo.research.studies.adapt.carry import plan_of
from embargo.research.studies.adapt.study import adapt

FIRST_SEED = 7_300_000
CHEAP, USUAL = ("majority", "lexicon", "linear"), "usual"
BARS_PER_YEAR = 252.0
FIGURES = "figures.json"


@dataclass(frozen=True)
class Studied:
    """What a study said of one reader on one market."""

    sharpe: float | None
    low: float | None
    high: float | None
    macro_f1: float
    taken: bool
    best: bool


def study_of(seed: int, readers: Sequence[str] = CHEAP, overrides: Sequence[str] = ()) -> AdaptConfig:
    """Return the demo's experiment on one market, with some of the usual readers by name, or all of them.

    Raises
    ------
    ConfigError
        If a name is none of theirs.
    """
    with example("demo") as path:
        study = load_adapt(path, [f"seed={seed}", "adapt.probed=0", "adapt.timed=20", *overrides])
    names = list(study.readers) if USUAL in readers else list(readers)
    if strange := sorted(set(names) - set(study.readers)):
        raise ConfigError(
            f"readers: {', '.join(strange)} are none of {', '.join(study.readers)}. Name these, or usual."
        )
    return replace(study, readers={name: study.readers[name] for name in names})


def study_once(
    seed: int, readers: Sequence[str] = CHEAP, overrides: Sequence[str] = ()
) -> tuple[dict[str, Studied], dict[str, list[float]]]:
    """Carry a study out on one market; return what it says of every reader, and every reader's returns."""
    with TemporaryDirectory() as room:
        os.environ["EMBARGO_LEDGER"] = f"{room}/ledger"
        study = study_of(seed, readers, overrides)
        found = adapt(study, out=Path(room) / "runs", cache=Path(room) / "cache", stages=Quiet())
        returns = pd.read_parquet(found.folder / "returns.parquet")
    told = {
        row.name: Studied(
            row.sharpe,
            row.sharpe_low,
            row.sharpe_high,
            float(row.macro_f1 or 0.0),
            row.name == found.advice.take,
            row.name == found.advice.best,
        )
        for row in found.rows
        if row.ran
    }
    return told, {str(name): returns[name].tolist() for name in returns.columns}


def trade_once(seed: int, readers: Sequence[str] = CHEAP, overrides: Sequence[str] = ()) -> dict[str, list[float]]:
    """Return every reader's returns on one more market, without studying them."""
    study, found = study_of(seed, readers, overrides), {}
    shared = prepare(study.config_of(next(iter(study.readers))), Quiet())
    # One room for all: what several readers start from is made once.
    with TemporaryDirectory() as room:
        for name in study.readers:
            plan = plan_of(study, name, shared.world.inputs)
            plan = with_base(plan, plan.parts[0].fold.train_end, Path(room), Quiet())
            scored = read(plan, plan.parts, Path(room), Quiet()).scored
            result = trade(plan, traded_news(plan, scored), fuse(plan, scored))
            found[name] = result.books.returns.tolist()
    return found


def kept(room: Path | None, what: Callable[..., Any], told: Mapping[str, Any], seed: int) -> Any:
    """Carry ``what`` out on one market, or return what it left in a room for the same readers and settings."""
    if room is None:
        return what(seed, **told)
    left = room / f"{what.__name__}-{seed}-{json_hash(told)[:16]}"
    if not left.exists():
        found = what(seed, **told)
        with writing(left) as folder:
            (folder / FIGURES).write_text(json.dumps(found, default=asdict), encoding="utf-8")
    return json.loads((left / FIGURES).read_text(encoding="utf-8"))


def as_studied(told: Mapping[str, Studied | Mapping[str, Any]]) -> dict[str, Studied]:
    """Return what a study said of every reader, whether it was carried out now or read."""
    return {name: one if isinstance(one, Studied) else Studied(**one) for name, one in told.items()}


def true_sharpe(returns: Sequence[Sequence[float]]) -> tuple[float | None, float]:
    """Return the annual Sharpe ratio of all markets' returns together, and its standard error; None without a trade.

    The error is that of the mean of the markets' own ratios: markets are independent, the bars of one are not.
    """
    together = np.concatenate([np.asarray(one, dtype=float) for one in returns])
    if not together.std() > 0.0:
        return None, math.nan
    year = math.sqrt(BARS_PER_YEAR)
    own = [np.mean(one) / np.std(one, ddof=1) * year for one in returns if np.std(one) > 0.0]
    return float(together.mean() / together.std(ddof=1) * year), float(np.std(own, ddof=1) / math.sqrt(len(own)))


def summary(
    studies: Sequence[Mapping[str, Studied]], returns: Mapping[str, Sequence[Sequence[float]]]
) -> list[dict[str, Any]]:
    """Count for every reader how often its interval holds the truth, and how often it is taken or called best."""
    rows = []
    for name in returns:
        truth, error = true_sharpe(returns[name])
        told = [one[name] for one in studies if name in one]
        judged = [one for one in told if one.low is not None and one.high is not None]
        held = 0 if truth is None else sum(float(one.low or 0) <= truth <= float(one.high or 0) for one in judged)
        low, high = wilson_interval(np.array(held), np.array(len(judged)))
        rows.append(
            {
                "reader": name,
                "true_sharpe": truth,
                "standard_error": None if math.isnan(error) else error,
                "markets": len(returns[name]),
                "studies": len(told),
                "intervals": len(judged),
                "held": held,
                "coverage": held / len(judged) if judged else None,
                "coverage_low": float(low) if judged else None,
                "coverage_high": float(high) if judged else None,
                "mean_sharpe": float(np.mean([one.sharpe for one in judged])) if judged else None,
                "mean_macro_f1": float(np.mean([one.macro_f1 for one in told])),
                "taken": sum(one.taken for one in told),
                "best": sum(one.best for one in told),
            }
        )
    return rows


def markdown(rows: Sequence[Mapping[str, Any]], level: float = 0.95, overrides: Sequence[str] = ()) -> str:
    """Write the table and what it comes to."""
    heads = ["reader", "true Sharpe (s.e.)", "mean of the studies", "intervals that hold it", "share", "Wilson's 95 %"]
    heads += ["mean macro-F1", "taken", "called best"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        if row["coverage"] is None:
            cells = [row["reader"], "never traded", "–", "–", "–", "–"]
        else:
            cells = [
                row["reader"],
                f"{row['true_sharpe']:.2f} ({row['standard_error']:.2f})",
                f"{row['mean_sharpe']:.2f}",
                f"{row['held']} of {row['intervals']}",
                f"{row['coverage']:.0%}",
                f"{row['coverage_low']:.0%} to {row['coverage_high']:.0%}",
            ]
        studies = row["studies"]
        cells += [f"{row['mean_macro_f1']:.3f}", f"{row['taken']} of {studies}", f"{row['best']} of {studies}"]
        lines.append("| " + " | ".join(cells).replace("-0.", "−0.") + " |")
    markets, studies = rows[0]["markets"], rows[0]["studies"]
    changed = f", with {', '.join(f'`{each}`' for each in overrides)}" if overrides else ""
    return f"""## Where the truth is known

Simulated by `python -m embargo.research.benchmarks.adapt_truth`: the demo's study on {studies} markets{changed}. What a
reader truly earns is the Sharpe ratio of its returns on {markets} markets together, those of the studies among them;
intervals promise {level:.0%}.

{chr(10).join(lines)}
"""


def main(given: Sequence[str] | None = None) -> None:
    """Repeat the study and print how often intervals hold the truth, or write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--studies", type=int, default=20, help="markets that are studied")
    parser.add_argument("--markets", type=int, default=60, help="markets the truth is taken from, these among them")
    parser.add_argument(
        "--readers", nargs="+", default=list(CHEAP), metavar="NAME", help=f"of the usual readers, or {USUAL!r} for all"
    )
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument(
        "--room", type=Path, help="keep every market's figures here, and go on from those that are here"
    )
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--write", type=Path, help="write the tables here, as Markdown")
    arguments = parser.parse_args(given)
    seeds = range(FIRST_SEED, FIRST_SEED + max(arguments.markets, arguments.studies))
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:

        def repeat(what: Callable[..., Any], over: Sequence[int]) -> list[Any]:
            told = {"readers": tuple(arguments.readers), "overrides": tuple(arguments.overrides)}
            return list(pool.map(partial(kept, arguments.room, what, told), over))

        studied = [(as_studied(told), returns) for told, returns in repeat(study_once, seeds[: arguments.studies])]
        more = repeat(trade_once, seeds[arguments.studies :])
    returns = {name: [one[1][name] for one in studied] + [one[name] for one in more] for name in studied[0][1]}
    rows = summary([one[0] for one in studied], returns)
    told = markdown(rows, overrides=arguments.overrides)
    Console().print(told, markup=False, soft_wrap=True)
    if arguments.write is not None:
        arguments.write.write_text(told, encoding="utf-8")
    if arguments.json is not None:
        cases = [{name: asdict(one) for name, one in told.items()} for told, _ in studied]
        arguments.json.write_text(json.dumps({"readers": rows, "studies": cases}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
