"""Stages show as bars on a terminal and as lines in a log."""

from __future__ import annotations

import io

from rich.console import Console

from embargo.research.progress import Quiet, shown


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
