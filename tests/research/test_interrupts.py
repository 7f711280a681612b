"""Ctrl-C where Python throws it away: the job ends all the same, at the next step that it tells of."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from embargo.data_loaders.errors import DataError
from embargo.research.cli.terminal import guarded
from embargo.research.interrupts import heeding_interrupts, raise_if_lost
from embargo.research.progress import shown
from embargo.research.screen import Screen


class Met:
    """An object in whose finaliser Ctrl-C is pressed."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.fixture
def ignored(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What Python ignored."""
    heard: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", lambda told: heard.append(told.exc_type))
    return heard


@pytest.mark.parametrize(
    "step",
    [lambda stages, advance: advance(2, 3), lambda stages, advance: stages.stage("Audit")],
    ids=["within a stage", "at the next stage"],
)
def test_a_lost_interrupt_is_raised_at_the_next_step(step: Callable[..., object], ignored: list[object]) -> None:
    with heeding_interrupts(), shown(Screen(stderr=True)) as stages:
        advance = stages.stage("Tune the model")
        advance(1, 3)
        pressed = Met()
        del pressed
        assert ignored == [KeyboardInterrupt]
        with pytest.raises(KeyboardInterrupt):
            step(stages, advance)
    raise_if_lost()  # and is forgotten with the block


def test_an_interrupt_that_is_not_lost_is_raised_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), heeding_interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_was_told_to_take_no_notice_takes_none() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with heeding_interrupts():
            signal.raise_signal(signal.SIGINT)
            raise_if_lost()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_command_ends_by_an_interrupt_that_was_lost(tmp_path: Path) -> None:
    script = tmp_path / "command.py"
    script.write_text(
        "import signal, typer\n"
        "from embargo.research.cli.terminal import complaints, guarded\n"
        "from embargo.research.progress import shown\n"
        "class Met:\n"
        "    def __del__(self):\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "@guarded('Nothing was written.')\n"
        "def command():\n"
        "    with shown(complaints) as stages:\n"
        "        Met()\n"
        "        stages.stage('Audit')\n"
        "        print('went on')\n"
        "typer.run(command)\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100)
    assert ended.returncode == 130, ended.stderr
    assert "Exception ignored" in ended.stderr
    assert "Interrupted. Nothing was written." in ended.stderr
    assert not ended.stdout


def test_an_interrupt_of_which_an_extension_makes_its_own_error_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    @guarded("Nothing was written.")
    def command(error: Exception) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise error from None

    # As numpy and scipy do while they are loaded.
    for error, status in ((ImportError("initialization failed"), 130), (DataError("torn"), 130), (typer.Exit(3), 3)):
        with pytest.raises(typer.Exit) as ended:
            command(error)
        assert ended.value.exit_code == status
        assert ("Interrupted. Nothing was written." in capsys.readouterr().err) == (status == 130)


def test_an_error_without_an_interrupt_stays_what_it_is() -> None:
    @guarded("Nothing was written.")
    def command() -> None:
        raise ImportError("no such library")

    with pytest.raises(ImportError, match="no such library"):
        command()


def test_an_interrupt_while_the_command_line_is_loaded_shows_no_traceback(tmp_path: Path) -> None:
    script = tmp_path / "command.py"
    script.write_text(
        "import signal, sys\n"
        "class Pressed:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer':\n"
        "            signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Pressed())\n"
        "sys.argv = ['embargo', 'runs']\n"
        "from embargo.research.cli.entry import main\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
