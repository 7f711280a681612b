"""``run``, ``sweep`` and ``score`` elsewhere, with the command or a process of its tasks killed at random moments.

A command that has lost a process goes on; one that was killed itself is given again, in the place that it left. What is
there in the end is, but for its times, what an undisturbed command leaves, to the byte.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from samples.forked_commands import Forks, forks
from samples.model_desk import SETTINGS, news, texts
from samples.tiny_models import save_tiny_model

from embargo.research.examples.shipped import example

# In all, of which every other one hits the command itself.
KILLS = {("run", "processes"): 7, ("sweep", "processes"): 7, ("score", "processes"): 6, ("score", "ray"): 4}
INSTANT = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")


@pytest.fixture(scope="module")
def forked() -> Iterator[Forks]:
    with forks() as forked:
        yield forked


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, forked: Forks) -> Path:
    """A folder with an experiment, news, and a model that reads them."""
    folder = tmp_path_factory.mktemp("desk")
    with example("small") as path:
        shutil.copy(path, folder / "small.toml")
    news(1_200, seed=7_300_010, start="2010-01-01").to_parquet(folder / "news.parquet")
    save_tiny_model("bert", folder / "base")
    texts(160, seed=7_300_012).to_csv(folder / "labels.csv", index=False)
    (folder / "tune.toml").write_text(SETTINGS.format(base=folder / "base"))
    assert forked.run("tune", folder / "tune.toml", "--out", folder / "models", "--cache", folder / "cache") == 0
    return folder


def words(command: str, engine: str, desk: Path, place: Path) -> list[str | Path]:
    """Return a command that works in a folder of its own."""
    there = ["--cache", place / "cache", "--engine", engine, "--workers", "2"]
    if command == "score":
        (model,) = [path for path in (desk / "models").iterdir() if path.is_dir()]
        return [command, model, desk / "news.parquet", "--out", place / "scores.parquet", *there]
    grid = ["--grid", "signal.half_life=1,2", "--grid", "costs.fee=0.0005,0.001"] if command == "sweep" else []
    return [command, desk / "small.toml", "--set", "model.kind=linear", *grid, "--out", place / "runs", *there]


def left_in(place: Path) -> dict[str, bytes]:
    """Return the bytes of what a command leaves, without instants and what is derived from them."""
    if (place / "scores.parquet").exists():
        return {"scores.parquet": (place / "scores.parquet").read_bytes()}
    (run,) = [path for path in (place / "runs").iterdir() if path.is_dir()]
    found = {path.name: INSTANT.sub(b"", path.read_bytes()) for path in run.iterdir()}
    if "manifest.json" in found:
        manifest = json.loads(found["manifest.json"])
        del manifest["seal"], manifest["files"]["report.html"]
        found["manifest.json"] = json.dumps(manifest).encode()
    return found | {"its name": run.name.encode()}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("command", "engine"), list(KILLS))
def test_whatever_was_killed_the_same_bytes_are_left(
    forked: Forks, desk: Path, tmp_path: Path, command: str, engine: str
) -> None:
    whole, place = tmp_path / "undisturbed", tmp_path / "killed"
    assert forked.run(*words(command, engine, desk, tmp_path / "first")) == 0
    # The first one finds nothing in the disk's cache, and is longer than all others.
    began = time.monotonic()
    assert forked.run(*words(command, engine, desk, whole)) == 0
    length = time.monotonic() - began
    expected, moments = left_in(whole), random.Random(f"7_300_011 {command}")
    drivers = workers = 0
    for kill in range(KILLS[command, engine]):
        if kill % 2 == 0:
            # Not once it is over: the place is kept, and is then the sooner there.
            status = forked.run(*words(command, engine, desk, place), kill_after=moments.uniform(0.05, 0.6) * length)
            assert status in (0, -signal.SIGKILL)
            drivers += status != 0
        else:
            after, before = moments.uniform(0.0, 0.3) * length, forked.hits
            status = forked.run(*words(command, engine, desk, place), kill_after=after, one_of=moments)
            assert status == 0, "a command did not survive the death of one of its processes"
            workers += forked.hits - before
        if status == 0:
            assert left_in(place) == expected, f"kill {kill + 1} left something else"
            shutil.rmtree(place)
    assert forked.run(*words(command, engine, desk, place)) == 0
    assert left_in(place) == expected
    assert [path.name for path in place.rglob(".embargo-*")] == [], "drafts of the dead were left"
    assert drivers >= 2, "most commands were over before they were killed: the test proves nothing"
    assert workers >= KILLS[command, engine] // 3, "there was nobody to kill: the test proves nothing"
