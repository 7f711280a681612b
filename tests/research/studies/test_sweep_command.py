"""``embargo sweep`` from the command line, on a market read by the linear model."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from samples.small_runs import ONE_YEAR, embargo
from typer.testing import Result


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "small.toml").write_text(ONE_YEAR)
    return folder


def swept(desk: Path, *arguments: str | Path) -> Result:
    return embargo("sweep", desk / "small.toml", "--out", desk / "runs", "--cache", desk / "cache", *arguments)


@pytest.mark.slow
def test_a_sweep_from_config_to_page(desk: Path) -> None:
    grid = ["--grid", "signal.threshold=0.4:0.6:0.1", "--grid", "signal.half_life=1,5"]
    done = swept(desk, *grid, "--html", desk / "page.html")
    assert done.exit_code == 0, done.output
    (folder,) = [path for path in (desk / "runs").iterdir() if path.is_dir()]
    assert {path.name for path in folder.iterdir()} == {"cells.parquet", "config.toml", "report.html", "sweep.json"}
    assert (desk / "page.html").read_bytes() == (folder / "report.html").read_bytes()
    figures = json.loads((folder / "sweep.json").read_text())
    assert figures["cells"] == figures["n_trials"] == 6
    told = done.output.replace("\n", " ")
    for words in (
        "validation Sharpe",
        "chosen",
        "before any test row was traded",
        "one-sided p among 6 trials",
        "Overfitting (PBO of Bailey and others)",
        "Hansen",
    ):
        assert words in told, words
    assert folder.name in told
    (attempts,) = Path(os.environ["EMBARGO_LEDGER"]).glob("*.jsonl")
    assert len(attempts.read_text().splitlines()) == 6


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--grid", "signal.half_life=1,2", "--select", "test"], "cannot judge"),
        (["--grid", "model.rank=4,8"], "tunes and scores only once"),
        (["--grid", "signal.half_lfe=1,2"], "signal.half_lfe"),
        ([], "--grid"),
    ],
)
def test_misuse_is_told_before_anything_is_done(tmp_path: Path, arguments: list[str], told: str) -> None:
    (tmp_path / "small.toml").write_text(ONE_YEAR)
    result = swept(tmp_path, *arguments)
    assert result.exit_code == 2
    assert told in result.output
    assert not (tmp_path / "runs").exists()
