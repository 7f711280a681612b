"""Where people wait: rows are prepared for both builds, run in turns, and held against their goals."""

from __future__ import annotations

import tomllib

import pytest

from embargo.research.benchmarks import waiting
from embargo.research.benchmarks.structure import ROOT
from embargo.research.config.experiment import load_config

BURN = """
import embargo, pathlib, time
turns = pathlib.Path("turns")
turns.write_text(turns.read_text() + "x" if turns.exists() else "x")
held = bytearray(1024 * 1024 * int(pathlib.Path("size").read_text()))
end = time.process_time() + 0.02
while time.process_time() < end: pass
"""


def test_both_builds_are_prepared_and_run_in_turns(tmp_path):
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    (earlier / "__init__.py").write_text(
        "import time\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass\n"
    )
    builds = [waiting.Build.of(place, tmp_path / "names" / place.name) for place in (ROOT, earlier)]
    wait = waiting.Wait("burn", ("-c", BURN), 0.9, lambda place, asked: (place / "size").write_text("64") and None)
    row = waiting.measure(wait, builds, tmp_path / "rows", 2, waiting.Asked())
    assert len(row.ours) == len(row.theirs) == 2
    for name in ("this", "earlier"):
        assert (tmp_path / "rows" / name / "turns").read_text() == "xxx"  # once before it counts
    assert all(spent.seconds > 0.4 for spent in row.theirs)
    # And not the memory of this process, which holds more.
    assert all(64 < spent.memory < 128 for spent in (*row.ours, *row.theirs))
    assert not list(earlier.rglob("__pycache__"))


def test_a_command_that_fails_says_what_it_said(tmp_path):
    build = waiting.Build.of(ROOT, tmp_path / "names")
    with pytest.raises(SystemExit, match=r"(?s)status 1.*no such thing"):
        build.run(("-c", "raise ValueError('no such thing')"), tmp_path)
    with pytest.raises(SystemExit, match="no checkout of embargo"):
        waiting.Build.of(tmp_path, tmp_path / "others")


def test_the_ratio_is_of_turns_and_the_goal_is_held_against_it():
    ours = [waiting.Spent(seconds, 10.0) for seconds in (1.0, 2.0, 30.0)]
    theirs = [waiting.Spent(seconds, 1_000.0) for seconds in (4.0, 4.0, 40.0)]
    row = waiting.Measured(waiting.Wait("burn", (), 0.5), ours, theirs)
    assert row.ratio == 0.5
    assert row.held
    assert waiting.markdown([row])[-1] == "| burn | 2.00 | 4.00 | 0.50 | 0.50 | yes | 10 | 1,000 |"
    assert not waiting.Measured(waiting.Wait("burn", (), 0.49), ours, theirs).held


def test_rows_are_chosen_by_their_first_words():
    assert [wait.name for wait in waiting.chosen(["validate", "demo"])] == [waiting.ROWS[2].name, waiting.ROWS[0].name]
    assert waiting.chosen(None) == waiting.ROWS
    with pytest.raises(SystemExit, match="lunch: no such row"):
        waiting.chosen(["lunch"])


@pytest.mark.parametrize("given", [False, True])
def test_configs_of_the_rows_are_read(tmp_path, given):
    waiting.write_demo(tmp_path, waiting.Asked())
    waiting.write_tweets(tmp_path, waiting.Asked(tmp_path if given else None))
    told = tomllib.loads((tmp_path / "tweets.toml").read_text(encoding="utf-8"))
    assert told["news"].get("loader") == (None if given else "simulated")
    for name in ("demo", "tweets"):
        assert load_config(tmp_path / f"{name}.toml").model.kind in ("linear", "transformer")
