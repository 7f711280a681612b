"""Time and weigh the stages of `validate` and `run` on a simulated archive of millions of articles.

Run by ``python -m embargo.research.benchmarks.big_world``. The archive is written to a temporary folder, and each
command runs in a process of its own, whose peak memory is its own. Seconds are of the processor and depend on the
machine; that a stage grows no faster than the archive is what to watch.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from rich.console import Console
from rich.table import Table

from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.simulated.grammar import MAX_SYMBOLS
from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
from embargo.research.progress import Advance

Result = TypeVar("Result")

FIRST, LAST = "2013-01-01", "2022-12-31"
SESSIONS = 2_518
# Rows of news for each that is asked for: a symbol in six is listed for a part of the years only, and a twelfth of all
# articles are copies of others, which come on top.
KEPT = 1.04
CHUNK = 100_000
CONFIG = """
name = "big"
seed = 0

[news]
path = "{folder}/news.parquet"

[prices]
path = "{folder}/prices.parquet"
calendar = "XNYS"

[split]
first_test = 2016-01-01
end = 2022-12-31
test_span = "12MS"
validation_span = "3MS"
train_span = "24MS"

[model]
kind = "lexicon"

[execution]
engine = "kernel"

[statistics]
bootstrap = 200
permutations = 99
"""


@dataclass(frozen=True)
class Stage:
    """What a stage took: seconds of the processor, and the most MB that the process had held when it ended."""

    name: str
    seconds: float
    peak: float


class Meter:
    """Stages that are timed and weighed as they pass."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self._name, self._since = "Load the code", 0.0

    def stage(self, name: str) -> Advance:
        """End the stage before."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = used.ru_utime + used.ru_stime
        unit = 1 if sys.platform == "darwin" else 1024
        self.stages.append(Stage(self._name, seconds - self._since, used.ru_maxrss * unit / 1e6))
        self._name, self._since = name, seconds
        return lambda done, total: None

    def say(self, text: str) -> None:
        """Keep it back."""


def write_world(folder: Path, articles: int, symbols: int, *, seed: int = 7_300_000) -> Path:
    """Write news and prices of ten years as parquet, a piece at a time, and a config that reads them; return its path.

    Of articles there are about so many.
    """
    rate = articles / (KEPT * symbols * SESSIONS)
    market = simulate_market(
        SimulatedMarket(seed=seed, n_symbols=symbols, start=FIRST, end=LAST, articles_per_symbol_day=rate)
    )
    news = market.news.drop(columns="known_at")
    schema = pa.Schema.from_pandas(news, preserve_index=False)
    with pyarrow.parquet.ParquetWriter(folder / "news.parquet", schema) as file:
        for start in range(0, len(news), CHUNK):
            piece = news.iloc[start : start + CHUNK]
            file.write_table(pa.Table.from_pandas(piece, schema=schema, preserve_index=False))
    prices, file = market.prices, None
    days = prices.open_at.tz_convert("America/New_York").strftime("%Y-%m-%d")
    step = max(CHUNK // symbols, 1)
    for start in range(0, len(days), step):
        rows = slice(start, start + step)
        panels = {
            name: getattr(prices, name).iloc[rows].set_axis(days[rows], axis=0).stack(future_stack=True)  # noqa: PD013
            for name in PRICE_FIELDS
        }
        table = pa.Table.from_pandas(pd.DataFrame(panels).dropna().rename_axis(["date", "symbol"]).reset_index())
        file = file or pyarrow.parquet.ParquetWriter(folder / "prices.parquet", table.schema)
        file.write_table(table)
    if file is not None:
        file.close()
    config = folder / "big.toml"
    config.write_text(CONFIG.format(folder=folder.as_posix()))
    return config


def apart(work: Callable[..., Result], *arguments: object) -> Result:
    """Do work in a process of its own, started by one that has held little: the child is charged with that too."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work, *arguments).result()


def stages_of(command: str, path: Path) -> list[Stage]:
    """Run a command of the platform on a config and return what its stages took."""
    # Loaded here, so that the table shows what loading costs the command.
    from embargo.research.config.experiment import load_config

    meter, config = Meter(), load_config(path)
    if command == "validate":
        from embargo.research.run.preparation import prepare

        prepare(config, meter)
    else:
        from embargo.research.run.pipeline import execute

        execute(config, out=path.parent / "runs", cache=path.parent / "cache", stages=meter)
    meter.stage("")
    return meter.stages


def table_of(command: str, stages: list[Stage]) -> Table:
    table = Table("stage", "CPU s", "peak MB", title=command)
    for stage in stages:
        table.add_row(stage.name, f"{stage.seconds:.1f}", f"{stage.peak:,.0f}")
    table.add_row("in all", f"{sum(stage.seconds for stage in stages):.1f}", f"{stages[-1].peak:,.0f}")
    return table


def main(arguments: list[str] | None = None) -> None:
    """Print a table of stages for each command; ``--quick`` is tiny."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--articles", type=int, default=200_000, help="about so many")
    parser.add_argument("--symbols", type=int, default=100, help=f"at most {MAX_SYMBOLS}")
    parser.add_argument("--commands", nargs="+", default=["validate", "run"], choices=["validate", "run"])
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args(arguments)
    articles, symbols = (5_000, 8) if asked.quick else (asked.articles, asked.symbols)
    console = Console(width=100)
    with tempfile.TemporaryDirectory() as folder:
        config = write_world(Path(folder), articles, symbols)
        sizes = ", ".join(
            f"{(Path(folder) / f'{name}.parquet').stat().st_size / 1e6:.0f} MB" for name in ("news", "prices")
        )
        rows = pyarrow.parquet.read_metadata(Path(folder) / "news.parquet").num_rows
        console.print(f"{rows:,} articles, {symbols} symbols, ten years; news and prices on disk: {sizes}")
        for command in asked.commands:
            console.print(table_of(command, apart(stages_of, command, config)))
        for page in sorted(Path(folder).glob("runs/*/*.html")):
            console.print(f"{page.name}: {page.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
