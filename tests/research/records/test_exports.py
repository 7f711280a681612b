"""What is handed on of a run: the figures that it left, in the shapes that others take, with what was found of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from samples.loopback_commands import embargo

from embargo.data_loaders.errors import DataError, MissingPartError
from embargo.models.content import TakenError
from embargo.research.records import FinishedRun, daily_returns, returns_for
from embargo.research.records import exports as exported
from embargo.research.records.exports import export_run
from embargo.research.records.run import Run
from embargo.research.run.pipeline import Outcome

TABLES = {"returns", "daily_returns", "weights", "trades", "articles"}


def finished(returns: pd.Series, market: pd.Series | None = None, calendar: str | None = None) -> FinishedRun:
    return FinishedRun(
        name="mine-1a2b3c4d",
        folder=Path("runs/mine-1a2b3c4d"),
        status="valid",
        returns=returns,
        regimes=pd.DataFrame(),
        judged=pd.DataFrame(),
        market=pd.Series(dtype=float) if market is None else market,
        symbols=("AAA",),
        metrics={},
        manifest={},
        settings={} if calendar is None else {"prices": {"calendar": calendar}},
    )


OPENS = pd.to_datetime(["2024-01-02 14:30Z", "2024-01-03 14:30Z", "2024-07-05 13:30Z"])
DAILY = finished(pd.Series([0.01, -0.02, 0.03], index=OPENS), pd.Series([0.0, 0.01, -0.01], index=OPENS))


def is_daily(index: pd.Index) -> None:
    """What all three libraries ask of an index: days without a zone, each once, in order."""
    assert isinstance(index, pd.DatetimeIndex)
    assert index.tz is None
    assert index.is_monotonic_increasing
    assert index.is_unique
    assert (index == index.normalize()).all()


def test_quantstats_takes_a_series_of_simple_returns() -> None:
    series = returns_for(DAILY, "quantstats")
    assert isinstance(series, pd.Series)
    is_daily(series.index)
    assert series.name == "mine-1a2b3c4d"
    assert series.dtype == np.float64
    assert series.tolist() == pytest.approx([0.01, -0.02, 0.03])


def test_pyfolio_takes_a_series_of_simple_returns() -> None:
    series = returns_for(DAILY, "pyfolio")
    assert isinstance(series, pd.Series)
    is_daily(series.index)
    assert not series.isna().any()
    assert [f"{day:%Y-%m-%d}" for day in series.index] == ["2024-01-02", "2024-01-03", "2024-07-05"]


def test_skfolio_takes_a_frame_of_returns_by_name() -> None:
    frame = returns_for(DAILY, "skfolio")
    assert isinstance(frame, pd.DataFrame)
    is_daily(frame.index)
    assert frame.columns.tolist() == ["strategy", "equal_weight"]
    assert frame["equal_weight"].tolist() == pytest.approx([0.0, 0.01, -0.01])
    alone = returns_for(finished(DAILY.returns), "skfolio")
    assert isinstance(alone, pd.DataFrame)
    assert alone.columns.tolist() == ["strategy"]


def test_hours_are_compounded_into_days() -> None:
    hours = pd.date_range("2024-01-01", periods=49, freq="h", tz="UTC")
    run = finished(pd.Series(0.001, index=hours), calendar="24/7")
    assert daily_returns(run)["strategy"].tolist() == pytest.approx([1.001**24 - 1, 1.001**24 - 1, 0.001])


def test_days_are_those_of_the_exchange() -> None:
    # Sydney opens at 23:00 UTC of the day before in summer, and at 00:00 UTC in winter.
    opens = pd.to_datetime(["2024-01-02 23:00Z", "2024-07-03 00:00Z"])
    run = finished(pd.Series([0.01, 0.02], index=opens), calendar="XASX")
    assert [f"{day:%Y-%m-%d}" for day in daily_returns(run).index] == ["2024-01-03", "2024-07-03"]


def test_a_missing_return_is_no_zero() -> None:
    run = finished(pd.Series([0.01, np.nan, 0.03], index=OPENS))
    with pytest.raises(DataError, match="no return of 2024-01-03"):
        returns_for(run, "quantstats")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_run_is_written_whole_with_its_verdict(small_run: Outcome, tmp_path: Path, form: str) -> None:
    target = tmp_path / "out"
    answer = embargo("export-run", small_run.folder, f"--{form}", target)
    assert answer.exit_code == 0, answer.stderr
    assert {path.name for path in target.iterdir()} == {*(f"{name}.{form}" for name in TABLES), "about.json"}
    about = json.loads((target / "about.json").read_text())
    run = Run.load(small_run.folder)
    assert (about["status"], about["data"], about["verdict"]) == (run.status, run.data, run.metrics["verdict"])

    def read(name: str) -> pd.DataFrame:
        path = target / f"{name}.{form}"
        return pd.read_parquet(path) if form == "parquet" else pd.read_csv(path)

    returns = read("returns")
    assert np.allclose(returns["net_return"], run.returns, rtol=0, atol=1e-15)
    # Each benchmark's return is that of the bar it stands beside.
    grown = (1.0 + returns["return of equal weight"]).cumprod()
    assert np.allclose(grown, run.growth["equal weight"].iloc[1:])
    assert np.allclose(read("daily_returns")["strategy"], returns["net_return"])
    assert np.allclose(read("weights")[run.weights.columns.tolist()], run.weights)
    assert len(read("trades")) == len(run.orders)
    assert {"bearish", "neutral", "bullish", "known_at", "symbol"} <= set(read("articles").columns)
    again = embargo("export-run", small_run.folder, f"--{form}", target)
    assert (again.exit_code, "exists already" in again.stderr) == (2, True)


def test_formulas_stay_texts(small_run: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.load(small_run.folder)
    monkeypatch.setattr(exported, "tables_of_run", lambda _: {"trades": pd.DataFrame({"symbol": ["=1+1"]})})
    export_run(run, tmp_path / "out", "csv")
    assert (tmp_path / "out" / "trades.csv").read_text() == "symbol\n'=1+1\n"


def test_no_cell_of_a_workbook_holds_a_control_sign() -> None:
    cells = exported.for_sheet(pd.DataFrame({"source": ["a\x0bb", "=\x1bz", "fine"], "weight \x07": [0.5, 1.0, -1.0]}))
    assert cells["source"].tolist() == ["a\u240bb", "'=\u241bz", "fine"]
    assert cells["weight \u2407"].tolist() == [0.5, 1.0, -1.0]


def test_what_no_sheet_holds_is_refused(small_run: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = pd.DataFrame(np.zeros((1, 16_385)))
    monkeypatch.setattr(exported, "find_spec", lambda name: object())
    monkeypatch.setattr(exported, "tables_of_run", lambda _: {"weights": wide})
    with pytest.raises(DataError, match=r"weights has 16,385 columns, and a sheet holds 16,384\. Use --csv"):
        export_run(Run.load(small_run.folder), tmp_path / "out", "xlsx")
    assert not (tmp_path / "out").exists()


def test_an_invalid_run_is_not_handed_on_as_a_valid_one(
    small_run: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "status", "invalid")
    answer = embargo("export-run", small_run.folder, "--csv", tmp_path / "out")
    assert (answer.exit_code, "This run is invalid" in answer.stderr) == (0, True)
    assert json.loads((tmp_path / "out" / "about.json").read_text())["status"] == "invalid"


def test_a_workbook_names_its_extra(small_run: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exported, "find_spec", lambda name: None)
    with pytest.raises(MissingPartError, match=r"pip install 'embargo-backtest\[xlsx\]'"):
        export_run(Run.load(small_run.folder), tmp_path / "out", "xlsx")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_left_alone(small_run: Outcome, tmp_path: Path) -> None:
    with pytest.raises(TakenError):
        export_run(Run.load(small_run.folder), tmp_path, "csv")


def test_a_place_has_to_be_said(small_run: Outcome) -> None:
    answer = embargo("export-run", small_run.folder)
    assert (answer.exit_code, "say where to" in answer.stderr) == (2, True)
