"""Combinatorial paths: every split trades only what it tested, and what a tested group says teaches nobody."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.splits import backtest_paths
from embargo.research.cli import app
from embargo.research.config.experiment import Config, parse_config
from embargo.research.progress import Quiet, Stages
from embargo.research.run.plan import Plan
from embargo.research.run.reading import Reading
from embargo.research.run.samples import Samples
from embargo.research.run.trading import perfect_scores
from embargo.research.run.world import World, load_world
from embargo.research.studies.paths import paths as module
from embargo.research.studies.paths.paths import trade_paths
from embargo.research.studies.paths.tables import sentences

WANTED = ("bearish", "neutral", "bullish", "confidence")

SMALL = {
    "name": "small",
    "news": {
        "loader": "simulated",
        "simulated": {"symbols": 6, "start": "2015-01-01", "end": "2016-12-31", "strength": 1.0},
    },
    "prices": {"loader": "simulated"},
    "split": {"first_test": "2015-07-01T00:00:00Z", "end": "2016-07-01T00:00:00Z", "test_span": "6MS"},
    "model": {"kind": "lexicon"},
    "statistics": {"bootstrap": 200},
}


def config(**sections: dict[str, object]) -> Config:
    document = SMALL | {name: SMALL.get(name, {}) | extra for name, extra in sections.items()}  # type: ignore[operator]
    return parse_config(document, where="test")


def traded(chosen: Config, tmp_path: Path, groups: int = 4, tested: int = 2) -> module.Paths:
    return trade_paths(
        chosen, groups=groups, tested=tested, out=tmp_path / "runs", cache=tmp_path / "cache", stages=Quiet()
    )


def all_alike(plan: Plan, parts: Sequence[Samples], cache: Path, stages: Stages) -> Reading:
    """Read as the market's own truth would, whatever was there to learn from."""
    scored = [perfect_scores(plan.world, part.test_news.assign(**dict.fromkeys(WANTED, 0.0))) for part in parts]
    return Reading(pd.concat([frame.assign(fold=index) for index, frame in enumerate(scored)]), pd.DataFrame(), [])


def test_a_reader_that_learns_nothing_walks_one_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "read", all_alike)
    result = traded(config(), tmp_path)
    assert (len(result.splits), len(result.sharpe)) == (6, 3)
    assert result.returns.shape == (253, 3)
    np.testing.assert_allclose(result.returns.to_numpy(), result.returns.to_numpy()[:, :1].repeat(3, axis=1))
    assert result.figures["mean_correlation"] == pytest.approx(1.0)
    np.testing.assert_allclose(result.sharpe, result.figures["sharpe_mean"])
    written = json.loads((result.folder / "paths.json").read_text())
    assert written["share_positive"] in (0.0, 1.0)
    assert pd.read_parquet(result.folder / "returns.parquet").shape == (253, 3)
    assert (result.folder / "config.toml").exists()


def test_a_reader_that_learns_walks_several_paths_and_groups_are_taught_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = config(model={"kind": "linear"})
    first = traded(chosen, tmp_path / "a")
    assert first.returns.nunique(axis=1).max() > 1
    assert first.figures["purged"] + first.figures["embargoed"] > 0

    def lying(config: Config, stages: Stages) -> World:
        """Turn the labels of the first group round: nobody who tests it may notice."""
        world = load_world(config, stages)
        group = first.splits[0].groups[0]
        inside = group.holds(world.news["known_at"])
        opposite = {"bullish": "bearish", "bearish": "bullish", "neutral": "neutral"}
        world.news.loc[inside, "label"] = world.news.loc[inside, "label"].map(opposite)
        return world

    monkeypatch.setattr(module, "load_world", lying)
    second = traded(chosen, tmp_path / "b")
    assert first.splits == second.splits
    start = len(first.returns) // 4
    np.testing.assert_array_equal(first.returns[:start], second.returns[:start])
    taught = [path for path, split in enumerate(backtest_paths(first.splits)[:, 3]) if 0 not in _tested(first, split)]
    assert taught
    assert not np.allclose(first.returns.iloc[-start:, taught], second.returns.iloc[-start:, taught])


def test_paths_that_never_traded_are_told_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "read", all_alike)
    result = traded(config(), tmp_path)
    figures = result.figures | {"paths_that_traded": 2}
    idle = replace(result, sharpe=np.array([np.nan, 1.0, 2.0]), figures=figures)
    told = " ".join(sentences(idle))
    assert "from 1.00 to 2.00" in told
    assert "1 path never traded and is left out" in told
    assert "never traded" not in " ".join(sentences(result))


def _tested(result: module.Paths, split: int) -> tuple[int, ...]:
    return result.splits[split].test_groups


@pytest.mark.parametrize(
    ("sections", "groups", "message"),
    [
        ({"fusion": {"method": "logistic"}}, 4, "fusion"),
        ({}, 40, "fewer groups"),
        ({}, 3, "n_test"),
    ],
)
def test_what_cannot_be_cut_is_refused(
    tmp_path: Path, sections: dict[str, dict[str, object]], groups: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        traded(config(**sections), tmp_path, groups=groups)
    assert not (tmp_path / "runs").exists()


def test_labels_of_all_time_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labelled.csv").write_text("text,label\n")
    labels = {"source": "file", "path": str(tmp_path / "labelled.csv"), "knowledge_cutoff": "2014-01-01T00:00:00Z"}
    with pytest.raises(ConfigError, match="every path would be the same"):
        traded(config(labels=labels), tmp_path)


def test_the_command_prints_every_path(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(config().to_toml(), encoding="utf-8")
    arguments = ["paths", str(path), "--groups", "4", "--test", "1", "--out", str(tmp_path / "runs")]
    result = CliRunner().invoke(app, [*arguments, "--cache", str(tmp_path / "cache")], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "4 models tested 1 of 4 groups each, which makes 1 paths" in result.output
    assert "2015-07-01" in result.output
