"""Stages show as bars on a terminal and as lines in a log."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from embargo.research.progress import Lean, Lines, Quiet, shown, time_left


def stages_on(console: Console) -> str:
    with shown(console) as stages:
        advance = stages.stage("first")
        advance(1, 4)
        stages.stage("second")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_log_gets_one_line_per_stage() -> None:
    assert stages_on(Console(file=io.StringIO(), force_terminal=False)) == "• first\n• second\n"


def test_a_terminal_sees_every_stage_finished() -> None:
    output = stages_on(Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None))
    final = output[output.rindex("first") :]
    assert final.count("100%") == 2
    assert final.count("✓") >= 1


def test_quiet_stages_accept_progress() -> None:
    Quiet().stage("anything")(1, 2)


def a_log(**settings: object) -> Console:
    return Console(file=io.StringIO(), **settings)  # type: ignore[arg-type]


def written(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_log_hears_now_and_then_how_long_a_stage_will_take() -> None:
    seconds = iter([0.0, 10.0, 40.0, 41.0, 99.0, 110.0, 3_000.0, 4_000.0])
    log = a_log(width=40)
    advance = Lines(log, clock=lambda: next(seconds)).stage("Tune the model, fold 1 of 2 of a long name")
    for done in (1, 10, 11, 25, 50, 100, 0):
        advance(done, 100)
    # Thirty seconds of silence, then a minute; what is finished, or has not begun, takes no time to be told.
    assert written(log) == [
        "• Tune the model, fold 1 of 2 of a long name",
        "  Tune the model, fold 1 of 2 of a long name: 10 % done, about 6 min left",
        "  Tune the model, fold 1 of 2 of a long name: 50 % done, about 2 min left",
    ]


def test_a_long_stage_is_told_less_and_less_often() -> None:
    now = 0.0
    log = a_log()
    advance = Lines(log, clock=lambda: now).stage("Audit")
    for second in range(1, 7_200):
        now = float(second)
        advance(second, 7_200)
    assert len(written(log)) == 1 + 4 + (7_200 - 450) // 480


def test_time_left_is_rounded_up_to_whole_minutes() -> None:
    assert [time_left(seconds) for seconds in (0, 59.9, 60, 61, 3_600, 3_601)] == [
        "under a minute left",
        "under a minute left",
        "about 1 min left",
        "about 2 min left",
        "about 1 h 0 min left",
        "about 1 h 1 min left",
    ]


@pytest.mark.parametrize("wish", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_a_pipe_gets_lines_even_where_colours_are_forced(wish: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(wish, "1")
    assert stages_on(a_log()) == "• first\n• second\n"


def test_memory_is_given_back_before_each_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("embargo.data_loaders.memory.release_unused", lambda: told.append("given back"))
    log = Console(file=io.StringIO(), width=100)
    lean = Lean(Lines(log))
    for name in ("Read the news", "Audit for leaks"):
        lean.stage(name)(1, 2)
    lean.say("a sentence")
    assert log.file.getvalue() == "• Read the news\n• Audit for leaks\na sentence\n"
    assert told == ["given back"] * 2
