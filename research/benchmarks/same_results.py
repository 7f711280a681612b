"""Hold everything that this build writes against an earlier one.

Run by ``python -m embargo.research.benchmarks.same_results --against COMMAND``, where COMMAND is the ``embargo`` of the
earlier build. Both carry out the same commands in folders of their own, each with an empty cache: the demo, a linear
walk-forward, a run on a store, a word list, a sweep, a signal study, a comparison and a data check. Then every file
that they left is compared: numbers to the last digit, pages to the last byte, but for the instant and the commit of
making. The exit status is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
from embargo.data_loaders.store import Store

# What says when and by whom a file was made, and nothing of what was found.
PASSING = {"created_at", "commit", "embargo", "seconds"}
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\+00:00|Z)")
COMMIT = re.compile(r"\b[0-9a-f]{12,40}(\+changes)?\b")
MARKET = SimulatedMarket(n_symbols=8, start="2015-01-01", end="2016-12-31")

LINEAR = """
name = "linear"
news = { loader = "simulated", simulated = { symbols = 10, start = 2015-01-01, end = 2017-12-31 } }
prices = { loader = "simulated" }
split = { first_test = 2016-07-01, end = 2018-01-01, test_span = "6MS", validation_span = "3MS" }
model = { kind = "linear" }
statistics = { bootstrap = 500, permutations = 199 }
"""
STORED = """
name = "stored"
news = { loader = "store", path = "store" }
prices = { loader = "store", path = "store", venue = "test" }
split = { first_test = 2016-01-01 }
model = { kind = "linear" }
statistics = { bootstrap = 500, permutations = 199 }
"""


@dataclass(frozen=True)
class Step:
    """One command; ``{linear}``, ``{words}`` ... stand for the folders of runs made before it."""

    name: str
    arguments: str
    accepted: tuple[int, ...] = (0,)


STEPS = (
    Step("demo", "demo"),
    Step("linear", "run linear.toml"),
    Step("words", 'run linear.toml --set name="words" --set model.kind=lexicon'),
    Step("stored", "run stored.toml"),
    Step(
        "sweep", "sweep linear.toml --grid signal.threshold=0.4:0.6:0.1 --grid signal.half_life=1,3 --html sweep.html"
    ),
    Step("signal", "signal {linear} --html signal.html"),
    Step("compare", "compare {linear} {words} --by regime --html compare.html --json compare.json"),
    Step("check", "data check store --html check.html", (0, 1)),
)


def fill_store(folder: Path) -> None:
    """Write a simulated market into a store, committed at one instant."""
    world = simulate_market(MARKET)
    committed = pd.Timestamp("2018-06-01", tz="UTC")
    fields = {name: getattr(world.prices, name) for name in ("open", "high", "low", "close", "volume")}
    bars = pd.DataFrame({name: panel.unstack() for name, panel in fields.items()})  # noqa: PD010 - keys are unique
    bars = bars.rename_axis(["symbol", "open_at"]).reset_index().dropna()
    closes = dict(zip(world.prices.open_at, world.prices.close_at, strict=True))
    bars = bars.assign(venue="test", bar="1d", close_at=bars["open_at"].map(closes))
    store = Store.create(folder)
    store.append("news", world.news.drop(columns=["known_at", "seen_at"]), source="made", committed_at=committed)
    store.append("bars", bars, source="made", committed_at=committed)


def carry_out(command: list[str], folder: Path, steps: list[Step]) -> None:
    """Run every step in a folder that has configs and a store; stop at the first that fails."""
    environment = os.environ | {"EMBARGO_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    for step in steps:
        runs = {path.name.rsplit("-", 1)[0]: f"runs/{path.name}" for path in folder.glob("runs/*-????????")}
        arguments = shlex.split(step.arguments.format(**runs))
        done = subprocess.run(  # noqa: S603 - the two builds that are compared
            [*command, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode not in step.accepted:
            sys.exit(f"{step.name} failed with {done.returncode} in {folder}:\n{done.stdout}\n{done.stderr}")


def differences(before: Path, after: Path) -> Iterator[tuple[str, str | None]]:
    """Yield every file that either build left, with the first difference or None."""
    left = {path.relative_to(folder) for folder in (before, after) for path in folder.rglob("*") if path.is_file()}
    for name in sorted(left):
        if name.parts[0] not in ("cache", "store"):
            yield str(name), _difference(before, after, name)


def _difference(old_folder: Path, new_folder: Path, name: Path) -> str | None:
    before, after = old_folder / name, new_folder / name
    missing = [path for path in (before, after) if not path.is_file()]
    if missing:
        return f"{missing[0]} is missing"
    if before.read_bytes() == after.read_bytes():
        return None
    if before.suffix == ".json":
        return _first(json.loads(before.read_text()), json.loads(after.read_text()), "")
    if before.suffix == ".parquet":
        old, new = pd.read_parquet(before), pd.read_parquet(after)
        return None if old.equals(new) and old.columns.equals(new.columns) else "frames differ"
    old_text, new_text = (
        COMMIT.sub("", INSTANT.sub("", (folder / name).read_text(errors="replace").replace(str(folder), "")))
        for folder in (old_folder, new_folder)
    )
    if old_text == new_text:
        return None
    place = next((i for i, (a, b) in enumerate(zip(old_text, new_text, strict=False)) if a != b), -1)
    return f"{old_text[place - 40 : place + 40]!r} became {new_text[place - 40 : place + 40]!r}"


def _first(before: Any, after: Any, where: str) -> str | None:
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [key for key in before if key not in PASSING]
        if keys != [key for key in after if key not in PASSING]:
            return f"{where or 'top'}: other keys or another order"
        return next((found for key in keys if (found := _first(before[key], after[key], f"{where}.{key}"))), None)
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return next((found for i, (a, b) in pairs if (found := _first(a, b, f"{where}[{i}]"))), None)
    return None if repr(before) == repr(after) else f"{where}: {before!r} became {after!r}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", required=True, metavar="COMMAND", help="embargo of the earlier build")
    parser.add_argument("--only", default="", metavar="STEP,STEP", help="steps to carry out, by name")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="where the earlier build's files are kept")
    given = parser.parse_args()
    wanted = [step for step in STEPS if not given.only or step.name in given.only.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        before, after = given.before or Path(folder) / "before", Path(folder) / "after"
        after.mkdir()
        (after / "linear.toml").write_text(LINEAR)
        (after / "stored.toml").write_text(STORED)
        fill_store(after / "store")
        if not before.exists():
            shutil.copytree(after, before)
            carry_out(shlex.split(given.against), before, wanted)
        carry_out([sys.executable, "-m", "embargo.research.cli"], after, wanted)
        counts: Counter[str] = Counter()
        differing = 0
        for name, difference in differences(before, after):
            place = name.split("/")[1].rsplit("-", 1)[0] if name.startswith("runs/") and "/" in name[5:] else name
            counts[place] += 1
            if difference:
                differing += 1
                print(f"{name}: {difference}")
        for place, count in counts.items():
            print(f"{place:<24}{count:>4} files")
        print(f"{sum(counts.values())} files, {differing} of them differ")
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
