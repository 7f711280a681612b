"""``embargo audit``: what it prints of a run, what it carries out again, and when it ends with the status of a leak."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import pandas as pd
import pytest
from typer.testing import CliRunner

from embargo.research import Quiet, execute, load_config
from embargo.research.cli.commands import app
from embargo.research.run import perturbation

SMALL = str(files("embargo.research.examples") / "small.toml")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config = load_config(SMALL, ["model.kind=lexicon"])
    return execute(config, out=folder / "runs", cache=folder / "cache", stages=Quiet()).folder


def audit(*arguments):
    done = CliRunner().invoke(app, ["audit", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_the_findings_of_a_run_are_printed_and_written(run, tmp_path):
    done = audit(run, "--json", tmp_path / "found.json")
    assert done.exit_code == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row["code"] for row in found] == [row["code"] for row in json.loads((run / "findings.json").read_text())]
    assert "T1" in done.output


def test_a_run_is_carried_out_again_as_its_config_says(run):
    done = audit(run, "--deep", "--rows", 1)
    assert done.exit_code == 0
    assert "bit-identical" in " ".join(done.output.split())


def test_a_leak_ends_with_its_own_status(tmp_path, monkeypatch):
    honest = perturbation.trade

    def leaky(plan, *rest):
        result = honest(plan, *rest)
        weights = result.decision.weights / plan.world.prices.close.std()
        return replace(result, decision=replace(result.decision, weights=weights))

    monkeypatch.setattr(perturbation, "trade", leaky)
    done = audit(SMALL, "--deep", "--rows", 1, "--set", "model.kind=lexicon", "--json", tmp_path / "found.json")
    assert done.exit_code == 3
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row["verdict"] for row in found].count("leak") == 1
    assert (found[0]["verdict"], found[0]["code"]) == ("leak", "T1")
    assert {"D1", "S7"} < {row["code"] for row in found}


def test_an_experiment_that_was_not_run_has_no_findings():
    done = audit(SMALL)
    assert done.exit_code == 2
    assert "--deep" in done.output


def test_other_data_than_the_runs_are_refused(run, tmp_path, monkeypatch):
    honest = perturbation.world_of
    monkeypatch.setattr(
        "embargo.research.run.preparation.world_of",
        lambda config, inputs: honest(config, replace(inputs, news=inputs.news.iloc[: pd.Index(inputs.news).size - 1])),
    )
    done = audit(run, "--deep", "--rows", 1)
    assert done.exit_code == 1
    assert "news" in done.output
