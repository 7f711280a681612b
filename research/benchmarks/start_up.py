"""Time how long the command line and the package take to start, against an earlier build, in turns.

Run by ``python -m embargo.research.benchmarks.start_up --against COMMAND``, where COMMAND is the ``embargo`` of the
earlier build: its executable, or a line for the shell. Figures are seconds of CPU that a fresh process took, waiting
left out; a machine that is busy slows both builds alike, so the ratios are what to watch.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pandas as pd
from rich.console import Console
from rich.table import Table

from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.schemas import Prices
from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market

ROUNDS = 7
PYTHON = shlex.quote(sys.executable)
OURS = f"{PYTHON} -m embargo.research.cli"
MARKET = SimulatedMarket(n_symbols=6, start="2015-01-01", end="2016-12-31")
SPLIT = '[split]\nfirst_test = 2016-01-01\ntest_span = "6MS"\n[model]\nkind = "linear"\n'
SIMULATED = (
    'name = "simulated"\n[news]\nloader = "simulated"\n'
    "simulated = { symbols = 6, start = 2015-01-01, end = 2016-12-31 }\n"
    f'[prices]\nloader = "simulated"\n{SPLIT}'
)
FILES = f'name = "files"\n[news]\npath = "news.parquet"\n[prices]\npath = "prices.parquet"\n{SPLIT}'


@dataclass(frozen=True)
class Start:
    """Something that starts, in this build and in the earlier one, as lines for the shell; ``base`` is taken off."""

    name: str
    ours: str
    theirs: str
    base: str = ""


def cpu_seconds(command: str, folder: Path) -> float:
    """CPU seconds, of user and system, that a command and its children took in a folder that holds no other build."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Bytecode is kept, as it is where people work, but in the folder: neither build's own tree is touched.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    done = subprocess.run(  # noqa: S602 - the line for the shell is the caller's own
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise SystemExit(f"{command}: ended with status {done.returncode}.\n{done.stderr[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write_experiments(folder: Path) -> tuple[Path, Path]:
    """Write two experiments of the linear reader on the same market: simulated on the spot, and read from files."""
    market = simulate_market(MARKET)
    columns = ["article_id", "published_at", "symbol", "text", "label"]
    market.news[columns].to_parquet(folder / "news.parquet")
    _bars(market.prices).to_parquet(folder / "prices.parquet")
    (folder / "simulated.toml").write_text(SIMULATED, encoding="utf-8")
    (folder / "files.toml").write_text(FILES, encoding="utf-8")
    return folder / "simulated.toml", folder / "files.toml"


def _bars(prices: Prices) -> pd.DataFrame:
    days = prices.open_at.strftime("%Y-%m-%d")
    panels = {name: getattr(prices, name) for name in PRICE_FIELDS}
    return pd.concat(
        [
            pd.DataFrame({"symbol": symbol, "date": days} | {name: panels[name][symbol].array for name in panels})
            for symbol in prices.symbols
        ]
    )


def measured(starts: list[Start], rounds: int, folder: Path) -> Table:
    """Start everything in turns, round by round, and lay out the least and the middle of each."""
    commands = dict.fromkeys(line for start in starts for line in (start.ours, start.theirs, start.base) if line)
    for command in commands:
        cpu_seconds(command, folder)  # fills the caches of bytecode and files
    rows = [{command: cpu_seconds(command, folder) for command in commands} for _ in range(rounds)]
    table = Table("what starts", "this build", "earlier", "ratio", "middle", "earlier ", "ratio ")
    for start in starts:
        taken = [
            [max(row[line] - row.get(start.base, 0.0), 0.0) for row in rows] for line in (start.ours, start.theirs)
        ]
        figures = [(of(taken[0]), of(taken[1])) for of in (min, median)]
        cells = [(f"{ours:.3f}", f"{theirs:.3f}", f"{ours / theirs:.2f}") for ours, theirs in figures]
        table.add_row(start.name, *cells[0], *cells[1])
    return table


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m embargo.research.benchmarks.start_up", description=__doc__)
    parser.add_argument("--against", required=True, metavar="COMMAND", help="the earlier build's embargo")
    parser.add_argument("--import", dest="imported", metavar="COMMAND", help="a line that imports its pipeline")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of all that is timed (default: %(default)s)")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        simulated, files = (shlex.quote(str(path)) for path in write_experiments(Path(folder)))
        starts = [
            Start(name, f"{OURS} {words}", f"{asked.against} {words}")
            for name, words in (
                ("embargo --help", "--help"),
                ("embargo validate, linear reader, files", f"validate {files}"),
                ("embargo validate, linear reader, simulated", f"validate {simulated}"),
            )
        ]
        if asked.imported:
            name, bare = "import embargo, against its pipeline; Python's own start taken off", f"{PYTHON} -c pass"
            starts.append(Start(name, f"{PYTHON} -c 'import embargo'", asked.imported, bare))
        table = measured(starts, asked.rounds, Path(folder))
    table.title = f"CPU seconds: least and middle of {asked.rounds} rounds"
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
