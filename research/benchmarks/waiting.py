"""Where people wait: CPU seconds and memory of the commonest commands, against an earlier checkout, in turns.

Run by ``python -m embargo.research.benchmarks.waiting --against CHECKOUT``. Every row is a line of a registry: what is
prepared, what is run, and the share of the earlier build's time that it may take. Both builds run in processes of
their own, each in a folder of its own with its own cache, one after the other and in turns, so that a machine that is
busy slows both alike: the ratio is what to watch. Seconds are CPU seconds of a process and its children.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pandas as pd
from rich.console import Console
from rich.table import Table

from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
from embargo.research.benchmarks.structure import ROOT
from embargo.research.examples.shipped import example

REPEATS = 5
CLI = ("-m", "embargo.research.cli")
# As many symbols and days as the tweets of StockNet, and half as many articles.
TWEETS = SimulatedMarket(n_symbols=88, start="2014-01-01", end="2016-03-31", articles_per_symbol_day=0.9)
LINEAR = (
    'name = "tweets"\n{news}\n{prices}\n'
    '[split]\nfirst_test = 2014-07-01\nend = 2016-04-01\ntest_span = "6MS"\nvalidation_span = "1MS"\n'
    '[model]\nkind = "linear"\n'
)
SIMULATED = [
    (
        f'[news]\nloader = "simulated"\nsimulated = {{ symbols = {TWEETS.n_symbols}, start = 2014-01-01, '
        f"end = 2016-03-31, articles_per_symbol_day = {TWEETS.articles_per_symbol_day} }}"
    ),
    '[prices]\nloader = "simulated"',
]
# Linux counts the memory of whoever starts a process as its own, so a small one starts it; and the figures are of one
# process, since those of all children so far hold the largest of any of them.
LAUNCH = """
import os, subprocess, sys
started = subprocess.Popen([sys.executable, *sys.argv[2:]])
_, status, used = os.wait4(started.pid, 0)
with open(sys.argv[1], "w") as spent:
    spent.write(f"{used.ru_utime + used.ru_stime} {used.ru_maxrss}")
sys.exit(os.waitstatus_to_exitcode(status))
"""
AS_OF = """
import pandas as pd
from embargo.data_loaders import Store
month = {name: pd.Timestamp(day, tz="UTC") for name, day in (("start", "2015-03-01"), ("end", "2015-04-01"))}
news = Store.open("store").as_of(pd.Timestamp("2027-01-04", tz="UTC")).news(**month)
assert len(news) > 1_000, len(news)
"""
APPEND = """
import uuid
import pandas as pd
from embargo.data_loaders import Store
day = pd.read_parquet("day.parquet")
day["article_id"] = [uuid.uuid4().hex for _ in range(len(day))]
Store.open("store").append("news", day, source="feed", committed_at=pd.Timestamp("2026-01-02", tz="UTC"))
"""
CALENDAR = """
from pathlib import Path
from embargo.data_loaders.recorded_sessions import keep_in, recorded_sessions
keep_in(Path("calendars"))
assert len(recorded_sessions("XKRX").table) > 10_000
"""


@dataclass(frozen=True)
class Asked:
    """What whoever runs this has: the folder of the StockNet files, or None."""

    stocknet: Path | None = None


@dataclass(frozen=True)
class Wait:
    """One row: something that people wait for.

    Attributes
    ----------
    name : str
        What it is, in a few words; its first word chooses it (``--rows``).
    command : sequence of str
        Arguments for Python, run in the row's folder.
    goal : float
        The share of the earlier build's CPU seconds that it may take.
    set_up : callable
        Writes what both builds read into the folder of one of them.
    first : sequence of sequence of str
        Commands that each build runs once before, untimed.
    """

    name: str
    command: Sequence[str]
    goal: float
    set_up: Callable[[Path, Asked], None] = field(default=lambda folder, asked: None)
    first: Sequence[Sequence[str]] = ()


def write_demo(folder: Path, asked: Asked) -> None:
    """Write the demo's config as ``demo.toml``."""
    with example("demo") as path:
        (folder / "demo.toml").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")


def write_tweets(folder: Path, asked: Asked) -> None:
    """Write ``tweets.toml``: the linear reader on StockNet's files, or on a simulated market of that size."""
    news, prices = SIMULATED
    if asked.stocknet is not None:
        files = [asked.stocknet.resolve() / f"stocknet_{name}.parquet" for name in ("news", "prices")]
        news = (
            f"[news]\npath = '{files[0]}'\ncolumns = {{ article_id = 'id' }}\n"
            "filters = { cashtag_match = true, lang = 'en' }\nmax_characters = 300"
        )
        prices = (
            f"[prices]\npath = '{files[1]}'\ncalendar = 'XNYS'\nadjust = 'total_return'\n"
            "[labels]\nsource = 'returns'\nhorizon_bars = 1"
        )
    (folder / "tweets.toml").write_text(LINEAR.format(news=news, prices=prices), encoding="utf-8")


def write_news(folder: Path, asked: Asked) -> None:
    """Write ``news.parquet``, from which a store is filled, and ``day.parquet``, which is added to it."""
    news = simulate_market(TWEETS).news[["article_id", "published_at", "symbol", "text"]]
    news.to_parquet(folder / "news.parquet")
    day = news.iloc[:500].assign(published_at=pd.Timestamp("2026-01-01 15:00", tz="UTC"))
    day.to_parquet(folder / "day.parquet")


_FILLED = (*CLI, "import", "news.parquet", "--store", "store")
_RUN = (*CLI, "run", "tweets.toml", "--out", "runs")
_DEMO = (*CLI, "demo", "--out", "runs")
_VALIDATE = (*CLI, "validate", "demo.toml")
ROWS = [
    Wait("demo, all in the cache", _DEMO, 0.5, first=(_DEMO,)),
    Wait("linear reader on tweets, second run", _RUN, 0.5, write_tweets, first=(_RUN,)),
    Wait("validate the demo's config", _VALIDATE, 0.4, write_demo, first=(_VALIDATE,)),
    Wait("as_of, a month of a store", ("-c", AS_OF), 0.5, write_news, first=(_FILLED,)),
    Wait("append a day to a store", ("-c", APPEND), 0.5, write_news, first=(_FILLED,)),
    Wait("calendar of Seoul, kept", ("-c", CALENDAR), 1.0, first=(("-c", CALENDAR),)),
    Wait("help", (*CLI, "--help"), 1.0, first=((*CLI, "--help"),)),
]


@dataclass(frozen=True)
class Spent:
    """What a process and its children took: CPU seconds of user and system, and MiB that the largest held at most."""

    seconds: float
    memory: float


@dataclass(frozen=True)
class Build:
    """A checkout that is imported as ``embargo`` through a link of its own."""

    checkout: Path
    names: Path

    @classmethod
    def of(cls, checkout: Path, folder: Path) -> Build:
        """Link a checkout into a new folder.

        Raises
        ------
        SystemExit
            If it holds no package.
        """
        if not (checkout / "__init__.py").is_file():
            raise SystemExit(f"{checkout}: no checkout of embargo. Name the folder that holds its __init__.py.")
        folder.mkdir(parents=True)
        (folder / "embargo").symlink_to(checkout.resolve())
        return cls(checkout, folder)

    def run(self, arguments: Sequence[str], place: Path) -> Spent:
        """Run Python in a folder and return what it took.

        Raises
        ------
        SystemExit
            If it ends with another status than 0, or 4 of bad data.
        """
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {
            "PYTHONPATH": str(self.names),
            # Kept as where people work, and beside neither checkout.
            "PYTHONPYCACHEPREFIX": str(self.names / "bytecode"),
            "EMBARGO_CACHE": str(place / "cache"),
            "EMBARGO_LEDGER": str(place / "ledger"),
        }
        with tempfile.TemporaryDirectory() as aside:
            spent = Path(aside) / "spent"
            done = subprocess.run(  # noqa: S603 - Python and a line of the registry
                [sys.executable, "-c", LAUNCH, spent, *arguments],
                cwd=place,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
            if done.returncode not in (0, 4):
                said = done.stdout[-2000:].decode(errors="replace")
                raise SystemExit(f"{self.checkout}: {list(arguments)} ended with status {done.returncode}.\n{said}")
            seconds, kibibytes = map(float, spent.read_text(encoding="utf-8").split())
        return Spent(seconds, kibibytes / 1024)


@dataclass(frozen=True)
class Measured:
    """A row with what every repeat of this build and of the earlier one took."""

    wait: Wait
    ours: Sequence[Spent]
    theirs: Sequence[Spent]

    @property
    def ratio(self) -> float:
        """Median over the repeats of this build's seconds to the earlier one's of the same turn."""
        return median(one.seconds / two.seconds for one, two in zip(self.ours, self.theirs, strict=True))

    @property
    def held(self) -> bool:
        """Whether the goal is reached."""
        return self.ratio <= self.wait.goal

    def cells(self) -> list[str]:
        """Return the row as texts."""
        seconds = [median(each.seconds for each in spent) for spent in (self.ours, self.theirs)]
        memory = [median(each.memory for each in spent) for spent in (self.ours, self.theirs)]
        return [
            self.wait.name,
            *(f"{value:.2f}" for value in seconds),
            f"{self.ratio:.2f}",
            f"{self.wait.goal:.2f}",
            "yes" if self.held else "no",
            *(f"{value:,.0f}" for value in memory),
        ]


COLUMNS = ("what", "s", "s before", "ratio", "goal", "held", "MiB", "MiB before")


def measure(wait: Wait, builds: Sequence[Build], folder: Path, repeats: int, asked: Asked) -> Measured:
    """Prepare a row for this build and the earlier one, and run it in turns."""
    places = [folder / name for name in ("this", "earlier")]
    for build, place in zip(builds, places, strict=True):
        place.mkdir(parents=True)
        wait.set_up(place, asked)
        for arguments in wait.first:
            build.run(arguments, place)
        build.run(wait.command, place)
    turns = [
        [build.run(wait.command, place) for build, place in zip(builds, places, strict=True)] for _ in range(repeats)
    ]
    return Measured(wait, *zip(*turns, strict=True))


def chosen(names: Sequence[str] | None) -> list[Wait]:
    """Return the rows whose first words are named; all where none is.

    Raises
    ------
    SystemExit
        If there is no such row.
    """
    known = {wait.name.replace(",", "").split()[0]: wait for wait in ROWS}
    if strange := [name for name in names or () if name not in known]:
        raise SystemExit(f"{', '.join(strange)}: no such row. Choose from {', '.join(known)}.")
    return [known[name] for name in names or known]


def markdown(rows: Sequence[Measured]) -> list[str]:
    """Lay rows out as a table of a document."""
    rule = "|" + "|".join("---" if name in ("what", "held") else "---:" for name in COLUMNS) + "|"
    return [f"| {' | '.join(COLUMNS)} |", rule, *(f"| {' | '.join(row.cells())} |" for row in rows)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m embargo.research.benchmarks.waiting", description=__doc__)
    parser.add_argument("--against", required=True, type=Path, metavar="CHECKOUT", help="checkout of the earlier build")
    parser.add_argument("--rows", nargs="+", metavar="WORD", help="first words of the rows to measure (default: all)")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="turns of every row (default: %(default)s)")
    parser.add_argument("--stocknet", type=Path, metavar="FOLDER", help="where the StockNet files lie")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="also write the table as Markdown")
    asked = parser.parse_args(arguments)
    waits, rows = chosen(asked.rows), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        builds = [
            Build.of(checkout, folder / "names" / str(number)) for number, checkout in enumerate((ROOT, asked.against))
        ]
        for number, wait in enumerate(waits):
            rows.append(measure(wait, builds, folder / str(number), asked.repeats, Asked(asked.stocknet)))
            print(*rows[-1].cells(), sep="  ", flush=True)
    table = Table(*COLUMNS, title=f"CPU seconds and memory, medians of {asked.repeats} turns")
    for row in rows:
        table.add_row(*row.cells())
    Console(width=130).print(table)
    if asked.write is not None:
        asked.write.write_text("\n".join(markdown(rows)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
