"""A writer killed at any event of the file system loses nothing that was finished, and leaves nothing for ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from samples import elsewhere
from samples.killed_writers import KILLED

from embargo.models.drafts import sweep_up
from embargo.research.records.finished import need_run
from embargo.research.records.folders import list_runs, writing


def killed(kind: str, folder: Path, before: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "samples.killed_writers", kind, str(folder), before]
    done = subprocess.run(command, env=elsewhere(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("before", ["1", ""])
def test_a_run_killed_at_any_event_is_the_old_one_or_the_new_one(tmp_path: Path, before: str) -> None:
    found = killed("run", tmp_path, before)
    assert len(found) > 15, "too few events were counted: the test proves nothing"
    assert [row["status"] for row in found] == [KILLED] * (len(found) - 1) + [0]
    for row in found:
        # Swept: nothing but a whole run is left, and none that was there before is gone.
        assert row["swept"] in ([["1"], ["2"]] if before else [[], ["2"]]), row
        assert row["after"] == ["3"], row
    assert ["2"] in [row["swept"] for row in found[:-1]], "no kill fell after the run was in its place"
    assert any("draft" in row["seen"] for row in found), "no kill left a draft"
    if before:
        assert ["draft", "draft"] in [row["seen"] for row in found], "no kill fell between the two renames"
    for number in range(len(found)):
        (row,) = list_runs(tmp_path / f"{number:03d}", verify=True)
        assert (row["sharpe"], row["sealed"], row["damage"]) == (3.0, True, None)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("before", ["1", ""])
def test_every_file_of_a_whole_run_is_written_or_none(tmp_path: Path, before: str) -> None:
    found = killed("saved", tmp_path, before)
    assert len(found) > 30
    for row in found:
        assert row["swept"] in ([["1"], ["2"]] if before else [[], ["2"]]), row
        assert row["after"] == ["3"], row
    for number in range(len(found)):
        (row,) = list_runs(tmp_path / f"{number:03d}", verify=True)
        assert (row["sealed"], row["damage"]) == (True, None)


def test_a_folder_of_the_cache_killed_at_any_event_is_whole_or_absent(tmp_path: Path) -> None:
    found = killed("cached", tmp_path, "")
    assert len(found) > 8
    for row in found:
        assert row["swept"] in ([], ["2"]), row
        assert row["after"] == (row["swept"] or ["3"]), row
    assert any("draft" in row["seen"] for row in found)


def test_the_draft_of_a_process_that_lives_is_left_alone(tmp_path: Path) -> None:
    with writing(tmp_path / "runs" / "mine-1a2b3c4d") as draft:
        (draft / "manifest.json").write_text("{}")
        child = os.fork()
        if not child:
            sweep_up(tmp_path / "runs")
            os._exit(0)
        os.waitpid(child, 0)
        sweep_up(tmp_path / "runs")
        with writing(tmp_path / "runs" / "other-1a2b3c4d") as second:
            assert second != draft
        assert (draft / "manifest.json").is_file()
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["mine-1a2b3c4d", "other-1a2b3c4d"]


def test_a_run_hidden_by_a_kill_is_found_by_whoever_looks_for_it(tmp_path: Path) -> None:
    for looking in (list_runs, lambda runs: need_run(runs / "mine-1a2b3c4d", ["metrics.json"])):
        hidden = tmp_path / ".embargo-old-abc" / "mine-1a2b3c4d"
        hidden.mkdir(parents=True)
        (hidden / "metrics.json").write_text("{}")
        looking(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["mine-1a2b3c4d"]
        (tmp_path / "mine-1a2b3c4d" / "metrics.json").unlink()
        (tmp_path / "mine-1a2b3c4d").rmdir()


def test_hidden_folders_of_others_are_none_of_ours(tmp_path: Path) -> None:
    for name in (".git", ".mine-1a2b3c4d-abcdefgh", ".ipynb_checkpoints"):
        (tmp_path / name).mkdir()
    sweep_up(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
