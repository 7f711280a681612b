"""The commands as functions, and a finished run as an object, on a small market read by a word list."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from samples.finished_runs import unsealed

from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.research.config.experiment import parse_config
from embargo.research.notebook import audit, compare, demo, run
from embargo.research.records.run import Run

SETTINGS = {
    "name": "small",
    "news": {"loader": "simulated", "simulated": {"symbols": 4, "start": "2015-01-01", "end": "2015-12-31"}},
    "prices": {"loader": "simulated"},
    "split": {"first_test": "2015-07-01"},
    "model": {"kind": "lexicon"},
    "statistics": {"bootstrap": 200, "permutations": 99},
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("desk")


@pytest.fixture(scope="module")
def made(desk: Path) -> Run:
    return run(SETTINGS, out=desk, cache=desk, progress=False)


def test_a_run_holds_what_its_folder_holds(made: Run) -> None:
    for name in ("weights", "signal", "orders", "articles", "growth"):
        pd.testing.assert_frame_equal(getattr(made, name), pd.read_parquet(made.folder / f"{name}.parquet"))
        assert getattr(made, name) is getattr(made, name), "read once"
    account = pd.read_parquet(made.folder / "account.parquet")
    pd.testing.assert_series_equal(made.returns, account["net_return"])
    pd.testing.assert_series_equal(made.equity, account["equity"])
    pd.testing.assert_series_equal(made.turnover, account["turnover"])
    pd.testing.assert_frame_equal(made.regimes, pd.read_parquet(made.folder / "regimes.parquet"))
    assert made.metrics == json.loads((made.folder / "metrics.json").read_text())
    assert made.manifest == json.loads((made.folder / "manifest.json").read_text())
    assert made.config == parse_config(SETTINGS, where="settings")
    assert made.report.is_file()
    assert (made.name, made.status) == (made.folder.name, made.metrics["status"])


def test_the_findings_come_gravest_first(made: Run, tmp_path: Path) -> None:
    folder = tmp_path / made.name
    shutil.copytree(made.folder, folder)
    unsealed(folder)
    findings = json.loads((folder / "findings.json").read_text())
    findings[-1]["verdict"] = "leak"
    (folder / "findings.json").write_text(json.dumps(findings))
    found = audit(folder)
    assert found["code"].iloc[0] == findings[-1]["code"]
    assert len(found) == len(findings)
    assert "1 leak, " in repr(Run.load(folder))
    (folder / "findings.json").write_text("[")
    with pytest.raises(DataError, match=r"findings\.json: cannot be read"):
        audit(folder)


def test_the_figures_draw_growth_and_drawdown_of_all(made: Run) -> None:
    assert set(made.figures) == {"growth", "drawdown"}
    for name, figure in made.figures.items():
        assert [trace.name for trace in figure.data] == list(made.growth.columns)
        lowest = min(trace.y.min() for trace in figure.data)
        drop = (made.growth / made.growth.cummax() - 1.0).to_numpy().min()
        assert lowest == pytest.approx(drop if name == "drawdown" else made.growth.to_numpy().min())


def test_a_notebook_shows_the_verdict_and_escapes_what_it_shows(made: Run, tmp_path: Path) -> None:
    folder = tmp_path / "a<b>c"
    shutil.copytree(made.folder, folder)
    shown = Run.load(folder)._repr_html_()
    assert "a&lt;b&gt;c" in shown
    assert "<b>" not in shown
    for words in (made.metrics["verdict"], "Sharpe ratio", "Deepest drawdown", "Audit", "<svg"):
        assert words in shown
    assert "http" not in shown
    assert "<script" not in shown


def test_what_is_no_whole_run_is_refused(made: Run, tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match="no such run"):
        Run.load(tmp_path / "nowhere")
    folder = tmp_path / "half"
    shutil.copytree(made.folder, folder)
    (folder / "metrics.json").unlink()
    with pytest.raises(MissingPartError, match=r"metrics\.json is missing"):
        Run.load(str(folder))


def _spoiled(made: Run, folder: Path, name: str, content: str | pd.DataFrame | None) -> Run:
    """Copy a run without its seal, put something else (or nothing) in the place of one of its files, and load it."""
    shutil.copytree(made.folder, folder)
    unsealed(folder)
    file = folder / name
    file.unlink()
    if isinstance(content, pd.DataFrame):
        content.to_parquet(file)
    elif content is not None:
        file.write_text(content)
    return Run.load(folder)


@pytest.mark.parametrize("content", ["{}", "null", "[]", '[{"code": "T1"}]', '[{"verdict": "fine"}]'])
def test_an_audit_that_says_nothing_does_not_pass_for_one_that_found_nothing(
    made: Run, tmp_path: Path, content: str
) -> None:
    with pytest.raises(DataError, match=r"findings\.json: holds no findings"):
        repr(_spoiled(made, tmp_path / "run", "findings.json", content))


@pytest.mark.parametrize("name", ["weights", "signal", "growth", "orders", "articles", "account"])
def test_a_table_that_is_not_of_the_run_is_refused(made: Run, tmp_path: Path, name: str) -> None:
    other = pd.DataFrame({"article_id": ["1"]})
    with pytest.raises(DataError, match=rf"{name}\.parquet: (its rows do not fit|there is no column)"):
        getattr(_spoiled(made, tmp_path / "run", f"{name}.parquet", other), name)
    if name in ("weights", "signal", "growth"):
        later = pd.read_parquet(made.folder / f"{name}.parquet").iloc[1:]
        with pytest.raises(DataError, match="do not fit"):
            getattr(_spoiled(made, tmp_path / "later", f"{name}.parquet", later), name)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("sharpe", "high", r"metrics\.json: sharpe is 'high', no number"),
        ("status", "fine", r"metrics\.json: status is 'fine', none of"),
        ("bars_per_year", None, r"metrics\.json: bars_per_year is None"),
    ],
)
def test_figures_of_another_kind_are_refused(made: Run, tmp_path: Path, name: str, value: object, told: str) -> None:
    with pytest.raises(DataError, match=told):
        repr(_spoiled(made, tmp_path / "run", "metrics.json", json.dumps(made.metrics | {name: value})))
    with pytest.raises(DataError, match="holds list, no figures by name"):
        _spoiled(made, tmp_path / "list", "metrics.json", "[]")


@pytest.mark.parametrize("name", ["weights", "signal", "growth", "orders", "articles", "findings", "config"])
def test_what_was_changed_after_the_run_is_not_shown(made: Run, tmp_path: Path, name: str) -> None:
    folder = tmp_path / made.name
    shutil.copytree(made.folder, folder)
    (file,) = folder.glob(f"{name}.*")
    content = file.read_bytes()
    loaded = Run.load(folder)
    assert loaded.sealed
    file.write_bytes(content.replace(content[-8:], content[-8:][::-1]))
    with pytest.raises(DataError, match=rf"{name}\.\w+: was changed after the run"):
        getattr(loaded, name)
    file.write_bytes(content)
    assert len(repr(getattr(loaded, name))) > 0


def test_a_file_is_no_run(made: Run) -> None:
    with pytest.raises(MissingPartError, match="a file, no run"):
        Run.load(made.report)


def test_a_run_and_its_judgement_say_the_same(made: Run) -> None:
    from embargo.backtest import judge

    statistics = made.config.statistics
    told = judge(
        made.returns, periods_per_year=made.metrics["bars_per_year"], n_boot=statistics.bootstrap, seed=made.config.seed
    )
    assert {name: made.metrics[name] for name in told.performance if name in made.metrics} == {
        name: value for name, value in told.performance.items() if name in made.metrics
    }
    shown = [made.metrics[f"sharpe{name}"] for name in ("", "_low", "_high", "_p_value")]
    assert [told.sharpe.sharpe, told.sharpe.low, told.sharpe.high, told.sharpe.p_value] == shown
    assert told.chance["probabilistic_sharpe"] == made.metrics["probabilistic_sharpe"]
    assert repr(told).splitlines()[4].split(maxsplit=4)[4:] == repr(made).splitlines()[1].split(maxsplit=4)[4:]


def test_a_file_a_mapping_and_a_config_are_the_same_experiment(
    made: Run, desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = desk / "small.toml"
    path.write_text(made.config.to_toml())
    again = [run(given, out=desk, cache=desk, progress=False) for given in (str(path), made.config)]
    assert {one.folder for one in again} == {made.folder}
    assert capsys.readouterr() == ("", "")
    given = {**SETTINGS, "signal": {"half_life": 2.0}}
    other = run(given, out=desk, cache=desk, overrides=["signal.half_life=3"], progress=True)
    assert other.config.signal.half_life == 3.0
    assert given["signal"] == {"half_life": 2.0}, "the caller's own mapping was changed"
    assert "Simulate the market" in capsys.readouterr().err
    changed = run(made.config, out=desk, cache=desk, overrides=["signal.half_life=3"], progress=False)
    assert changed.folder == other.folder
    found = compare(made, other.folder, against=other)
    assert found.base.name == other.name
    assert compare(str(made.folder), other, against=made.name).base.name == made.name
    assert len(repr(found).splitlines()) == 2
    assert f"Sharpe ratio of {made.name} less that of {other.name}" in repr(found)
    assert repr(found.base) == f"<FinishedRun {other.name}: valid, {len(other.returns)} bars>"


def test_settings_are_refused_as_a_file_is(desk: Path) -> None:
    with pytest.raises(ConfigError, match="nwes"):
        run({**SETTINGS, "nwes": {}}, out=desk, cache=desk)
    with pytest.raises(ConfigError, match="strength"):
        demo(strength=6.0, out=desk, cache=desk)
    with pytest.raises(ConfigError, match=r"Write \['signal.half_life=2'\]"):
        run(SETTINGS, out=desk, cache=desk, overrides="signal.half_life=2")
    with pytest.raises(ConfigError, match=r"split.first_test: give the time zone too"):
        run({**SETTINGS, "split": {"first_test": pd.Timestamp("2015-07-01")}}, out=desk, cache=desk)
    with pytest.raises(TypeError, match="expected a TOML file, a mapping or a Config, got list"):
        run([SETTINGS], out=desk, cache=desk)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="a folder, no config file"):
        run(desk, out=desk, cache=desk)


def test_paths_in_a_mapping_are_paths_of_files(desk: Path) -> None:
    files = {"news": {"path": desk / "nothing.csv"}, "prices": {"path": desk / "nothing.csv", "calendar": "XNYS"}}
    with pytest.raises(MissingPartError, match=r"nothing\.csv"):
        run({**SETTINGS, **files}, out=desk, cache=desk, progress=False)


@pytest.mark.parametrize("place", ["taken", "taken/under"])
def test_a_file_where_a_folder_should_be_is_refused_before_any_work(
    tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("mine")
    for folders in ({"out": tmp_path / place}, {"out": tmp_path, "cache": tmp_path / place}):
        with pytest.raises(MissingPartError, match="is a file, so no folder can be there"):
            run(SETTINGS, **folders)
    assert capsys.readouterr().err == ""


def test_a_leak_is_part_of_the_result(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from embargo.backtest.leakage import Finding
    from embargo.research.run import pipeline

    monkeypatch.setattr(pipeline, "audit", lambda *_: [Finding("T1", "leak", "planted", "for this test")])
    found = run(SETTINGS, out=desk / "leaky", cache=desk, progress=False)
    assert found.status == "invalid"
    assert list(found.findings["verdict"]) == ["leak"]
