"""The whole command line: its help, its version, the completion of shells, and what it does not load."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from samples.loopback_commands import embargo
from typer.core import TyperGroup
from typer.main import get_command

import embargo as package
from embargo.research.cli.catalogue import COMMANDS
from embargo.research.cli.commands import app
from embargo.research.cli.overview import overview
from embargo.research.cli.terminal import guarded

WHOLE = get_command(app)
CONTEXT = typer.Context(WHOLE)
COLOURS = re.compile(r"\x1b\[[\d;]*m")


def _commands(group: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    assert isinstance(group, TyperGroup)
    for name in group.list_commands(CONTEXT):
        command = group.get_command(CONTEXT, name)
        if isinstance(command, TyperGroup):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name)


def _started(*arguments: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    unset = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "FORCE_COLOR", "NO_COLOR")}
    return subprocess.run(
        [sys.executable, "-m", "embargo.research.cli", *arguments],
        env={**unset, "COLUMNS": "80", **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _words(text: str) -> list[str]:
    """Words of a help, whatever its width: borders, colours and breaks between lines taken away."""
    return re.sub(r"[│╭╮╰╯─]", " ", COLOURS.sub("", text)).split()


@pytest.mark.parametrize("command", list(_commands(WHOLE)), ids=" ".join)
def test_help_fits_eighty_columns_and_shows_an_example(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = embargo(*command, "--help")
    assert result.exit_code == 0
    assert all(len(line) <= 80 for line in result.output.splitlines())
    assert "…" not in result.output, "something does not fit"
    assert "Example" in result.output


@pytest.mark.parametrize("command", list(_commands(WHOLE)), ids=" ".join)
def test_no_help_loses_what_stands_in_brackets(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    found, context = WHOLE, CONTEXT
    for name in command:
        assert isinstance(found, TyperGroup)
        found = found.get_command(context, name)
    texts = [found.help or "", *(getattr(option, "help", None) or "" for option in found.params)]
    written = {word for text in texts for word in re.findall(r"\[[^\[\]\s]+\]", text)} - {"[bold]", "[/bold]"}
    monkeypatch.setenv("COLUMNS", "160")
    shown = "".join(_words(embargo(*command, "--help").output))
    assert not {word for word in written if word not in shown}


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_help_that_loads_nothing_says_what_typer_says(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    drawn = overview(width, coloured=False)
    assert _words(drawn) == _words(embargo("--help").output)
    lines = drawn.splitlines()
    assert max(map(len, lines)) == width
    assert all(len(line) == width for line in lines if line.startswith(("│", "╭", "╰")))
    assert COLOURS.sub("", overview(width, coloured=True)) == drawn


def test_the_catalogue_lists_every_command_with_the_first_sentence_of_its_help() -> None:
    assert isinstance(WHOLE, TyperGroup)
    for name, entry in COMMANDS.items():
        command = WHOLE.get_command(CONTEXT, name)
        assert command is not None
        assert " ".join((command.help or "").split("\n\n")[0].split()) == entry.summary
    modules = {entry.module for entry in COMMANDS.values()}
    defined = [name for module in modules for name in _defined_in(module)]
    assert sorted(defined) == sorted(COMMANDS)


def _defined_in(module: str) -> list[str]:
    commands = __import__(f"embargo.research.cli.{module}", fromlist=["commands"]).commands
    return [command.name or command.callback.__name__ for command in commands.registered_commands] + [
        group.name for group in commands.registered_groups
    ]


@pytest.mark.parametrize("asked", [["--help"], ["--version"]])
def test_the_command_line_answers_at_once_as_it_does_whole(asked: list[str]) -> None:
    at_once, whole = _started(*asked), _started(*asked, TERMINAL_WIDTH="80")
    assert (at_once.returncode, whole.returncode) == (0, 0)
    assert _words(at_once.stdout) == _words(whole.stdout)
    assert package.__version__ in _started("--version").stdout


def test_a_terminal_without_these_signs_gets_a_plain_help() -> None:
    done = _started("--help", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert _words(done.stdout.replace("+", " ").replace("-", " "))
    assert "\\u" not in done.stdout


def test_a_mistyped_command_is_answered_with_the_right_one() -> None:
    done = _started("valdate")
    assert done.returncode == 2
    assert "Did you mean 'validate'" in done.stderr


def test_a_file_where_a_folder_should_be_is_told_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    for option in ("--out", "--cache"):
        answer = embargo("demo", option, str(tmp_path / "taken" / "under"))
        assert answer.exit_code == 1
        assert "is a file, so no folder can be there" in answer.stderr
        assert "Simulate" not in answer.stderr


def test_what_the_file_system_refuses_is_told_in_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "runs/mine")

    def unheard() -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(typer.Exit) as ended:
        guarded("")(full)()
    assert ended.value.exit_code == 1
    assert "Error: runs/mine: No space left on device. Check" in capsys.readouterr().err
    with pytest.raises(BrokenPipeError):
        guarded("")(unheard)()


def test_nothing_asked_is_answered_with_the_help() -> None:
    done = _started()
    assert done.returncode == 2
    assert _words(done.stdout) == _words(overview(80, coloured=False))


def test_bash_and_zsh_complete_commands_and_options() -> None:
    bash = {"_EMBARGO_COMPLETE": "complete_bash", "COMP_CWORD": "1"}
    assert _started(**bash, COMP_WORDS="embargo va").stdout.split() == ["validate"]
    assert _started(**bash, COMP_WORDS="embargo ").stdout.split() == list(COMMANDS)
    inner = _started(**{**bash, "COMP_CWORD": "2"}, COMP_WORDS="embargo data c")
    assert inner.stdout.split() == ["check", "compact"]
    zsh = {"_EMBARGO_COMPLETE": "complete_zsh"}
    assert '"validate":"Check a config' in _started(**zsh, _TYPER_COMPLETE_ARGS="embargo va").stdout
    assert '"--set"' in _started(**zsh, _TYPER_COMPLETE_ARGS="embargo validate --").stdout


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_script_of_a_shell_asks_the_command_itself(shell: str, tmp_path: Path) -> None:
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1", "HOME": str(tmp_path)}
    script = _started("--show-completion", shell, **named).stdout
    assert f"_EMBARGO_COMPLETE=complete_{shell}" in script
    installed = _started("--install-completion", shell, **named)
    assert installed.returncode == 0, installed.stderr
    assert any(script.strip() in path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_the_users_own_modules_do_not_stand_in_the_way(tmp_path: Path) -> None:
    for name in ("signals.py", "backtest.py", "models/__init__.py", "research/__init__.py", "data_loaders/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise RuntimeError('not the product')\n")
    (tmp_path / "small.toml").write_text(
        'name = "small"\n[news]\nloader = "simulated"\n'
        "simulated = { symbols = 4, start = 2015-01-01, end = 2015-12-31 }\n"
        '[prices]\nloader = "simulated"\n[split]\nfirst_test = 2015-07-01\n[model]\nkind = "lexicon"\n'
    )
    done = _started("validate", "small.toml", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "config and data are fine" in done.stdout
