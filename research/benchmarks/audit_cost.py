"""What the audit of a cached run costs beside the rest of it: ``python -m embargo.research.benchmarks.audit_cost``.

Every experiment is run once to fill a cache and then again from it, in one process. CPU seconds of the audit are held
against those of everything else, check by check, since a ratio means the same on every machine.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from embargo.backtest import leakage
from embargo.research.benchmarks.structure import ROOT
from embargo.research.config.experiment import Config, load_config
from embargo.research.examples.shipped import example
from embargo.research.progress import Quiet
from embargo.research.run import pipeline

# What everything in the audit together may cost of the rest of a cached run.
BUDGET = 0.15
WHOLE, REST, AGAIN = "the audit", "rest of the run", "a fold carried out again"


def experiments() -> Iterator[tuple[str, Config]]:
    """Yield the demo, and the tweets of 88 shares read by the linear baseline where their files are at hand."""
    with example("demo") as path:
        yield "demo", load_config(path)
    data = Path(os.environ.get("EMBARGO_REAL_DATA", ROOT / "shared" / "data"))
    if (data / "stocknet_news.parquet").is_file():
        os.environ.setdefault("EMBARGO_REAL_DATA", str(data))
        experiment = ROOT / "research" / "experiments" / "stocknet.toml"
        linear = ["model={kind='linear'}"]
        yield "stocknet, linear", load_config(experiment, linear, env=["EMBARGO_REAL_DATA"])


def measured(config: Config, repeats: int, cache: Path) -> dict[str, float]:
    """Return the median CPU seconds of each check, of the whole audit and of the rest of a cached run."""
    found: dict[str, list[float]] = defaultdict(list)
    with TemporaryDirectory() as folder:
        execute = partial(pipeline.execute, config, out=Path(folder) / "runs", cache=cache, stages=Quiet())
        execute()
        for _ in range(repeats):
            with timed() as spent:
                start = time.process_time()
                execute()
                spent[REST] = time.process_time() - start - spent[WHOLE]
            for name, seconds in spent.items():
                found[name].append(seconds)
    return {name: float(np.median(seconds)) for name, seconds in found.items()}


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Add up the CPU seconds of every check of the door, of the fold carried out again, and of all the audit."""
    spent: dict[str, float] = defaultdict(float)
    places = [(leakage, name, name) for name in leakage.__all__ if name.startswith("check_")]
    places += [(pipeline, "audit", WHOLE), (pipeline, "perturb_once", AGAIN)]
    kept = [(module, name, getattr(module, name)) for module, name, _ in places]
    for (module, name, work), (_, _, label) in zip(kept, places, strict=True):
        setattr(module, name, _timed(work, label, spent))
    try:
        yield spent
    finally:
        for module, name, work in kept:
            setattr(module, name, work)


def _timed(work: Callable[..., Any], label: str, spent: dict[str, float]) -> Callable[..., Any]:
    def call(*given: Any, **named: Any) -> Any:
        start = time.process_time()
        try:
            return work(*given, **named)
        finally:
            spent[label] += time.process_time() - start

    return call


def main(
    repeats: Annotated[int, typer.Option(min=1, help="Cached runs, of which the median is shown.")] = 3,
    cache: Annotated[Path | None, typer.Option(help="Where models and scores are kept; by default nowhere.")] = None,
) -> None:
    """Print what the audit of a cached run costs, as shares of the rest of that run."""
    for number, (name, config) in enumerate(experiments()):
        with TemporaryDirectory() as folder:
            spent = measured(config, repeats, (cache or Path(folder)) / str(number))
        rest = spent.pop(REST)
        table = Table("what", "CPU s", "share of the rest", title=f"{name}: rest of a cached run {rest:.2f} CPU s")
        inside = sum(seconds for label, seconds in spent.items() if label != WHOLE)
        spent["between the checks"] = spent[WHOLE] - inside
        for label, seconds in sorted(spent.items(), key=lambda pair: -pair[1]):
            table.add_row(label, f"{seconds:.3f}", f"{seconds / rest:.2%}")
        Console(width=100).print(table)
        print(f"{name}: {spent[WHOLE] / rest:.1%} of the rest of a cached run; at most {BUDGET:.0%} are meant")


if __name__ == "__main__":
    typer.run(main)
