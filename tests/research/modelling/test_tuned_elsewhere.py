"""``embargo tune --engine``: several folds are tuned elsewhere to the same bytes, and one model alone is tuned here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from samples.model_desk import ModelDesk, desk_in
from typer.testing import CliRunner

from embargo.research.cli import answering, app
from embargo.research.modelling import tuning
from embargo.research.modelling.tuning import ONE_TASK

INSTANT = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(\+00:00|Z)?")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> ModelDesk:
    return desk_in(tmp_path_factory.mktemp("desk"))


def test_folds_tuned_in_two_processes_are_tuned_the_same(desk: ModelDesk, tmp_path: Path) -> None:
    found = []
    for engine in (["serial"], ["processes", "--workers", "2"]):
        place = tmp_path / engine[0]
        words = ["tune", desk.folder / "folds.toml", "--out", place / "models", "--cache", place / "cache", "--engine"]
        result = CliRunner().invoke(app, [str(word) for word in [*words, *engine]], env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.output
        assert ("2 folds" in result.output) == (engine[0] == "processes"), result.output
        files = {path.relative_to(place / "models"): path for path in (place / "models").rglob("*") if path.is_file()}
        found.append({str(name): INSTANT.sub(b"", path.read_bytes()) for name, path in files.items()})
        assert [path for path in (place / "cache" / "scores").rglob("*") if path.is_file()], "no score was kept"
    here, there = found
    assert len({name.split("/")[0] for name in here}) == 2
    assert here.keys() == there.keys()
    assert [name for name in here if here[name] != there[name]] == []


@pytest.mark.parametrize(("engine", "said"), [("processes", True), ("auto", False), ("serial", False)])
def test_one_model_is_tuned_here_and_that_is_said_where_an_engine_was_named(
    desk: ModelDesk, monkeypatch: pytest.MonkeyPatch, engine: str, said: bool
) -> None:
    made = []

    def stop(job: object, *_: object) -> None:
        made.append(job)

    monkeypatch.setattr(tuning, "_tune", stop)
    result = desk.run("tune", desk.folder / "tune.toml", "--out", desk.folder / "models", "--engine", engine)
    assert len(made) == 1
    assert (ONE_TASK in result.output) == said


def test_one_model_that_answers_is_one_task_too(
    desk: ModelDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "answers.toml").write_text('task = "instruct"\nname = "desk"\n')
    monkeypatch.setattr(answering, "tune", lambda *_, **__: None)
    for engine, said in (("processes", True), ("auto", False)):
        result = desk.run("tune", tmp_path / "answers.toml", "--engine", engine)
        assert result.exit_code == 0, result.output
        assert (ONE_TASK in result.output) == said


def test_engines_that_cannot_be_are_refused_before_any_work(desk: ModelDesk) -> None:
    result = desk.run("tune", desk.folder / "folds.toml", "--out", desk.folder / "none", "--engine", "cluster")
    assert result.exit_code == 2
    assert "--engine cluster: there is serial, processes, ray and auto" in result.output
    assert not (desk.folder / "none").exists()
