"""What the stages of a run cost, each as a ratio to another build's, in CPU seconds and in one go.

Run by ``python -m embargo.research.benchmarks.run_stages --against PATH``, where PATH is a checkout of the other build.
Both carry out the same experiment twice, each with a cache of its own, and the second time counts: what was fitted and
scored the first time is then at hand, and loops are compiled. Loading Python itself is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

CONFIG = """
name = "stages"
news = { loader = "simulated", simulated = { symbols = 20, start = 2014-01-01, end = 2017-12-31 } }
prices = { loader = "simulated" }
split = { first_test = 2016-01-01, end = 2018-01-01, test_span = "6MS", validation_span = "3MS" }
model = { kind = "linear" }
portfolio = { neutral = true }
"""
# One stage per fold is one line.
FOLD = re.compile(r", fold \d+ of \d+$")


class Clocked:
    """Stages that write down what each took, in CPU seconds of this process."""

    def __init__(self) -> None:
        self.took: dict[str, float] = {}
        self._name, self._since = "Before the first stage", _spent()

    def stage(self, name: str) -> object:
        """Close the stage before and open one."""
        self.close()
        self._name, self._since = FOLD.sub("", name), _spent()
        return lambda done, total: None

    def say(self, text: str) -> None:
        """Keep it back."""

    def close(self) -> None:
        """Close the last stage."""
        self.took[self._name] = self.took.get(self._name, 0.0) + _spent() - self._since


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(config: Path, folder: Path) -> dict[str, float]:
    """Carry an experiment out and return what each stage took, CPU seconds."""
    from embargo.research.config.experiment import load_config
    from embargo.research.run.pipeline import execute

    stages = Clocked()
    execute(load_config(config), out=folder / "runs", cache=folder / "cache", stages=stages)  # type: ignore[arg-type]
    stages.close()
    return stages.took


def twice(build: Path, config: Path) -> dict[str, float]:
    """Measure the second of two runs of a build, each in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "embargo").symlink_to(build.resolve())
        environment = os.environ | {"PYTHONPATH": name, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        # The folder of this file holds names that libraries may look for.
        command = [sys.executable, "-P", __file__, "--measure", str(config), "--folder", name]
        for _ in range(2):
            done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
            if done.returncode:
                sys.exit(f"{build} failed:\n{done.stderr}")
    took: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return took


def table(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """Lay two measurements out side by side, a line per stage and one for all."""
    names = [*before, *(name for name in after if name not in before)]
    rows = [(name, before.get(name, 0.0), after.get(name, 0.0)) for name in names]
    rows.append(("all", sum(before.values()), sum(after.values())))
    return [f"{'':<40}{'before':>9}{'after':>9}{'ratio':>8}"] + [
        f"{name:<40}{old:>8.2f}s{new:>8.2f}s{new / old if old else float('nan'):>8.2f}" for name, old, new in rows
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, metavar="PATH", help="checkout of the other build")
    parser.add_argument("--config", type=Path, metavar="FILE", help="experiment; by default a simulated walk-forward")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.measure is not None:
        print(json.dumps(measure(given.measure, given.folder)))
        return
    if given.against is None:
        parser.error("name the other build with --against")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "stages.toml"
        config.write_text(CONFIG if given.config is None else given.config.read_text())
        own = Path(__file__).resolve().parents[2]
        print("\n".join(table(twice(given.against, config), twice(own, config))))


if __name__ == "__main__":
    main()
