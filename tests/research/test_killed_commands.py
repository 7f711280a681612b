"""``import``, ``run``, ``sweep`` and ``tune`` killed at random moments: nothing is lost, and the same comes out after.

After each kill the same command is given again, and what it leaves must be what an undisturbed one leaves.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from samples.forked_commands import Forks, forks
from samples.model_desk import SETTINGS, news, texts
from samples.tiny_models import save_tiny_model

from embargo.data_loaders.store import Store
from embargo.models.bundles.bundle import open_bundle
from embargo.research.examples.shipped import example
from embargo.research.records.folders import list_runs

KILLS = 50


class Job(ABC):
    """One command, what may be there after a kill, and what must be there when it is over."""

    def __init__(self, desk: Path) -> None:
        self.desk = desk

    @abstractmethod
    def words(self, place: Path) -> list[str | Path]:
        """Return the command that works in a folder of its own."""

    @abstractmethod
    def check(self, place: Path, *, was_whole: bool) -> None:
        """Hold what a kill left against what may be."""

    @abstractmethod
    def outcome(self, place: Path) -> Any:
        """Return what is the same after every kill."""


class Import(Job):
    def __init__(self, desk: Path) -> None:
        super().__init__(desk)
        news(6_000, seed=1, start="2010-01-01").to_parquet(desk / "news.parquet")

    def words(self, place: Path) -> list[str | Path]:
        return ["import", self.desk / "news.parquet", "--store", place / "store"]

    def check(self, place: Path, *, was_whole: bool) -> None:
        if (place / "store" / "embargo-store.json").exists():
            health = Store.open(place / "store").check()
            assert health.damaged == ()
            assert not was_whole or len(self.outcome(place)) == 6_000

    def outcome(self, place: Path) -> Any:
        frame = Store.open(place / "store").as_of(pd.Timestamp("2100-01-01", tz="UTC")).news(versions="all")
        columns = ["article_id", "symbol", "text", "source", "published_at"]
        return frame[columns].sort_values(columns).astype(str).to_numpy().tolist()


class Run(Job):
    def words(self, place: Path) -> list[str | Path]:
        with example("small") as path:
            shutil.copy(path, self.desk / "small.toml")
        return ["run", self.desk / "small.toml", "--out", place / "runs", "--cache", place / "cache"]

    def check(self, place: Path, *, was_whole: bool) -> None:
        rows = list_runs(place / "runs", verify=True) if (place / "runs").is_dir() else []
        assert all(row["damage"] is None and row["sealed"] for row in rows), rows
        assert len(rows) == 1 or not was_whole, "a finished run is gone"

    def outcome(self, place: Path) -> Any:
        (run,) = [path for path in (place / "runs").iterdir() if path.is_dir()]
        (attempts,) = (place / "cache" / "ledger").glob("*.jsonl")
        lines = [json.loads(line) for line in attempts.read_text().splitlines()]
        files = {name: digest for name, digest in hashes(run).items() if name not in ("manifest.json", "report.html")}
        return run.name, files, sorted({line["settings"] for line in lines})


class Swept(Run):
    def words(self, place: Path) -> list[str | Path]:
        grid = ["--grid", "signal.half_life=1,2,4", "--grid", "signal.threshold=0.4,0.6"]
        return ["sweep", *super().words(place)[1:], *grid]

    def check(self, place: Path, *, was_whole: bool) -> None:
        rows = list((place / "runs").glob("[!.]*/sweep.json"))
        assert len(rows) == 1 or not was_whole, "a finished sweep is gone"
        for path in rows:
            assert {"cells.parquet", "config.toml", "report.html"} < {file.name for file in path.parent.iterdir()}


class Tuned(Job):
    def __init__(self, desk: Path) -> None:
        super().__init__(desk)
        save_tiny_model("bert", desk / "base")
        texts(160, seed=1).to_csv(desk / "labels.csv", index=False)
        (desk / "tune.toml").write_text(SETTINGS.format(base=desk / "base"))

    def words(self, place: Path) -> list[str | Path]:
        return ["tune", self.desk / "tune.toml", "--out", place / "models", "--cache", place / "cache"]

    def check(self, place: Path, *, was_whole: bool) -> None:
        found = [path for path in (place / "models").glob("[!.]*") if path.is_dir()]
        assert len(found) == 1 or not was_whole, "a finished model is gone"
        for path in found:
            open_bundle(path)

    def outcome(self, place: Path) -> Any:
        (model,) = [path for path in (place / "models").iterdir() if path.is_dir()]
        manifest = open_bundle(model).manifest
        return model.name, manifest["adapter_identity"], manifest["metrics"]


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def forked() -> Iterator[Forks]:
    with forks() as forked:
        yield forked


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", [Import, Run, Swept, Tuned])
def test_a_killed_command_given_again_leaves_what_an_undisturbed_one_leaves(
    forked: Forks, tmp_path: Path, kind: type[Job]
) -> None:
    job = kind(tmp_path)
    whole = tmp_path / "undisturbed"
    began = time.monotonic()
    assert forked.run(*job.words(whole)) == 0
    length = time.monotonic() - began
    expected, moments, killed, finished = job.outcome(whole), random.Random(kind.__name__), 0, 0
    for attempt in range(KILLS):
        place = tmp_path / f"{attempt}"
        # Every other one replaces, or finds, what an earlier command left.
        was_whole = attempt % 2 == 1
        if was_whole:
            shutil.copytree(whole, place)
        status = forked.run(*job.words(place), kill_after=moments.uniform(0.0, length))
        assert status in (0, -signal.SIGKILL)
        killed += status != 0
        job.check(place, was_whole=was_whole)
        assert forked.run(*job.words(place)) == 0
        job.check(place, was_whole=True)
        assert job.outcome(place) == expected, f"attempt {attempt} left something else"
        hidden = [path.name for path in place.rglob(".embargo-*")]
        assert hidden == [], "drafts of the dead were left"
        finished += 1
        shutil.rmtree(place)
    assert finished == KILLS
    assert killed > KILLS // 4, "most commands were over before they were killed: the test proves nothing"
