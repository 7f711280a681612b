"""``embargo attempts``: what was tried on the bars of a run, of an experiment or at all, and what it cost."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples.small_runs import embargo, experiment
from typer.testing import Result

from embargo.data_loaders.errors import MissingPartError
from embargo.research.cache import ledger_folder
from embargo.research.records.ledger import Trial, record
from embargo.research.records.run import Run
from embargo.research.records.windows import windows_in

LEXICON = experiment(
    symbols=8,
    until="2017-12-31",
    first_test="2016-01-01",
    end="2017-01-01",
    test_span="24MS",
    articles=0.2,
    model='kind = "lexicon"',
    more="[statistics]\nbootstrap = 300\npermutations = 99",
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with three looks at a growing window from two folders of runs, and one run on fewer symbols."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "small.toml").write_text(LEXICON)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBARGO_LEDGER", str(folder / "ledger"))
        for out, *changed in (
            ("first", "split.end=2017-01-01"),
            ("second", "split.end=2017-03-01"),
            ("third", "split.end=2017-06-01", "statistics.trials_elsewhere=2"),
            ("other", "split.end=2017-01-01", "signal.half_life=5"),
        ):
            settings = [word for change in changed for word in ("--set", change)]
            done = embargo(
                "run", folder / "small.toml", "--out", folder / out, "--cache", folder / f"cache-{out}", *settings
            )
            assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(autouse=True)
def _ledger_of_the_desk(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBARGO_LEDGER", str(desk / "ledger"))


def run_in(folder: Path) -> Path:
    (run,) = [path for path in folder.iterdir() if path.is_dir()]
    return run


def rows_of(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_neither_another_folder_nor_another_bar_nor_another_cache_forgets_attempts(desk: Path) -> None:
    counted = {}
    for name in ("first", "second", "third", "other"):
        metrics = json.loads((run_in(desk / name) / "metrics.json").read_text())
        manifest = json.loads((run_in(desk / name) / "manifest.json").read_text())
        counted[name] = (metrics["n_trials"], metrics["n_partial"], metrics["trials_elsewhere"])
        ledger, partial, elsewhere = counted[name]
        assert manifest["attempts"] == {"ledger": ledger, "partly_overlapping": partial, "elsewhere": elsewhere}
        growing = metrics["growing_window"]
        assert (None if growing is None else growing["looks"]) == {"second": 2, "third": 3}.get(name)
    assert counted == {"first": (1, 0, 0), "second": (2, 1, 0), "third": (3, 2, 2), "other": (4, 2, 0)}
    report = (run_in(desk / "third") / "report.html").read_text()
    assert "3 looks at a growing window" in report
    assert "Attempts made elsewhere" in report


def test_every_attempt_is_listed_with_its_window_and_what_it_is_worth(desk: Path) -> None:
    rows = rows_of(embargo("attempts", "--format", "csv"))
    assert sorted(row["attempt"] for row in rows) == sorted(
        run_in(desk / name).name for name in ("first", "second", "third", "other")
    )
    by_run = {row["attempt"]: row for row in rows}
    third = by_run[run_in(desk / "third").name]
    metrics = json.loads((run_in(desk / "third") / "metrics.json").read_text())
    assert third["bars"] == str(metrics["n_bars"])
    assert third["symbols"] == "8"
    assert third["first_bar"].startswith("2016-01-04")
    assert third["last_bar"].startswith("2017-05-31")
    assert float(third["sharpe"]) == pytest.approx(metrics["sharpe"], rel=0.02)
    for row in rows:
        assert 0.0 < float(row["own_p"]) <= float(row["adjusted_p"]) <= 1.0
        assert row["cost"] == ""
    assert "4 attempts" in embargo("attempts").output


def test_a_run_is_told_what_each_attempt_cost_its_verdict(desk: Path) -> None:
    third = run_in(desk / "third")
    rows = rows_of(embargo("attempts", third, "--format", "csv"))
    assert len(rows) == 5
    metrics = json.loads((third / "metrics.json").read_text())
    costs = {row["attempt"]: row for row in rows}
    # Of the run itself both p are those that its report and its verdict show.
    assert float(costs[third.name]["own_p"]) == metrics["sharpe_p_value"]
    assert float(costs[third.name]["adjusted_p"]) >= metrics["sharpe_p_value"]
    assert costs[third.name]["cost"] == ""
    elsewhere = costs.pop("made elsewhere")
    now = float(elsewhere["verdict_p_without"]) + float(elsewhere["cost"])
    assert float(costs[third.name]["adjusted_p"]) == pytest.approx(now)
    assert now >= metrics["sharpe_p_value"]
    for name, row in costs.items():
        if name != third.name:
            assert float(row["verdict_p_without"]) + float(row["cost"]) == pytest.approx(now)
            assert int(row["shared_bars"]) == int(row["bars"])
    told = " ".join(embargo("attempts", third).output.split())
    assert "2 more were made elsewhere" in told
    assert f"{third.name}: p after attempts" in told
    assert "4 attempts" in told


def test_an_experiment_is_told_what_it_would_be_judged_among(desk: Path) -> None:
    small = desk / "small.toml"
    beside = rows_of(embargo("attempts", small, "--set", "split.end=2017-01-01", "--format", "csv"))
    assert len(beside) == 4
    # Nothing was tried on the bars that follow.
    after = ["--set", "split.end=2018-01-01", "--set", "split.first_test=2017-07-01"]
    assert rows_of(embargo("attempts", small, *after, "--format", "csv")) == []
    # The same names on another market are another market.
    assert rows_of(embargo("attempts", small, "--set", "seed=1", "--format", "csv")) == []


def test_a_run_that_the_ledger_does_not_know_is_said(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBARGO_LEDGER", str(desk / "nowhere"))
    result = embargo("attempts", run_in(desk / "first"))
    assert result.exit_code == 1
    assert "does not know" in result.output
    assert "--cache" in result.output
    assert "0 attempts" in embargo("attempts").output
    assert not (desk / "nowhere").exists()


def test_settings_that_nothing_would_take_are_refused(desk: Path) -> None:
    for what in ([], [run_in(desk / "first")]):
        result = embargo("attempts", *what, "--set", "seed=1")
        assert result.exit_code == 2
        assert "no settings to change" in " ".join(result.output.split())


def test_a_sweep_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text("{}")
    result = embargo("attempts", tmp_path)
    assert result.exit_code == 2
    assert "is a sweep, not a run" in result.output


def older(runs: Path) -> None:
    """The ledger of an earlier version: three attempts, one of them made twice, and a line that was torn."""
    lines = [
        json.dumps({"window": window, "settings": settings, "name": "mine", "sharpe_per_bar": 0.1, "bars": 250})
        for window, settings in (("a", "b"), ("a", "c"), ("d", "b"), ("a", "b"))
    ]
    runs.mkdir(exist_ok=True)
    (runs / "ledger.jsonl").write_text("\n".join([*lines, '{"window": "a"']))


def test_attempts_of_an_earlier_version_are_told_until_they_are_declared(desk: Path, tmp_path: Path) -> None:
    older(tmp_path)
    unknown = shutil.copytree(run_in(desk / "second"), tmp_path / "second")
    told = "holds 4 attempts of an earlier version"
    places = ["--out", tmp_path, "--cache", tmp_path / "cache", "--set", "split.end=2017-01-01"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBARGO_LEDGER", str(tmp_path / "empty"))
        assert told in " ".join(embargo("attempts", unknown).output.split())
        assert told in " ".join(embargo("run", desk / "small.toml", *places).output.split())
        again = embargo("run", desk / "small.toml", *places, "--set", "statistics.trials_elsewhere=4")
        assert again.exit_code == 0
        assert told not in " ".join(again.output.split())
        (run,) = (path for path in tmp_path.glob("small-*") if path.is_dir())
        assert told not in embargo("attempts", run).output


@pytest.mark.parametrize("command", [["run"], ["sweep", "--grid", "signal.half_life=1,3"]])
def test_a_ledger_that_cannot_be_written_stops_before_anything_is_traded(
    desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    (tmp_path / "ledger").symlink_to(tmp_path / "nowhere" / "ledger")
    monkeypatch.setenv("EMBARGO_LEDGER", str(tmp_path / "ledger"))
    result = embargo(command[0], desk / "small.toml", *command[1:], "--out", tmp_path, "--cache", tmp_path / "cache")
    assert result.exit_code == 1
    assert "the ledger of attempts cannot be written" in result.output
    assert "Trade" not in result.output


def test_lost_returns_are_told(desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(desk / "ledger", tmp_path / "ledger")
    monkeypatch.setenv("EMBARGO_LEDGER", str(tmp_path / "ledger"))
    window = Run.load(run_in(desk / "second")).finished.window
    (tmp_path / "ledger" / f"{window[:16]}.rows").write_bytes(b"")
    told = "returns of 1 of 4 attempts in the ledger are lost"
    for what in ([], [run_in(desk / "first")], [desk / "small.toml", "--set", "split.end=2017-01-01"]):
        result = embargo("attempts", *what, "--format", "csv")
        assert told in " ".join(result.output.split())
        assert told not in result.stdout
    done = embargo(
        "run", desk / "small.toml", "--out", tmp_path, "--cache", tmp_path / "c", "--set", "signal.half_life=4"
    )
    assert "returns of 1 of" in " ".join(done.output.split())


def test_a_home_is_found_and_a_blank_names_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("EMBARGO_LEDGER", "~/desk")
    assert ledger_folder(tmp_path) == tmp_path / "desk"
    monkeypatch.setenv("EMBARGO_LEDGER", "  ")
    assert ledger_folder(tmp_path) == tmp_path / "ledger"
    monkeypatch.setenv("EMBARGO_LEDGER", "~nobody-of-that-name/desk")
    with pytest.raises(MissingPartError, match="in full"):
        ledger_folder(tmp_path)


def test_attempts_on_bars_of_another_length_count_in_full(
    desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = shutil.copytree(desk / "ledger", tmp_path / "ledger")
    monkeypatch.setenv("EMBARGO_LEDGER", str(ledger))
    window = next(windows_in(ledger))
    halves = replace(window, identity="ab" * 32, length=window.length // 2)
    bars = len(window.open_at)
    record(ledger, halves, Trial(halves.identity, "0" * 64, "halves", 0.05, bars), np.full(bars, 0.001))
    told = "1 of 5 attempts in the ledger were made at the same time on bars of another length"
    listed = embargo("attempts", run_in(desk / "other"), "--format", "csv")
    assert told in " ".join(listed.output.split())
    rows = {row["attempt"]: row for row in csv.DictReader(io.StringIO(listed.stdout))}
    assert rows["halves-00000000"]["own_p"] == ""
    assert float(rows["halves-00000000"]["cost"]) > 0.0
    places = ["--out", tmp_path / "runs", "--cache", tmp_path / "cache"]
    done = embargo("run", desk / "small.toml", *places, "--set", "split.end=2017-01-01", "--set", "signal.half_life=5")
    assert told in " ".join(done.output.split())
    metrics = json.loads((run_in(tmp_path / "runs") / "metrics.json").read_text())
    assert (metrics["n_trials"], metrics["n_partial"]) == (5, 3)
