"""Fusing news with market features inside a run: from the test windows before, never from what it predicts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from samples.small_runs import SMALL, embargo, metrics_of, only_run, settings

from embargo.research.config.experiment import load_config
from embargo.research.progress import Quiet
from embargo.research.run.plan import Plan
from embargo.research.run.preparation import prepare
from embargo.research.run.reading import read
from embargo.research.run.trading import decide, fuse

THREE = SMALL.replace('test_span = "9MS"', 'test_span = "6MS"') + '\n[fusion]\nmethod = "logistic"\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fusing")
    (folder / "fused.toml").write_text(THREE)
    return folder


@pytest.fixture(scope="module")
def plan(folder: Path) -> Plan:
    return prepare(load_config(folder / "fused.toml"), Quiet())


@pytest.fixture(scope="module")
def scored(plan: Plan, folder: Path) -> pd.DataFrame:
    return read(plan, plan.parts, folder / "cache", Quiet()).scored


def test_the_first_window_is_learnt_from_and_not_traded(plan: Plan, scored: pd.DataFrame) -> None:
    assert len(plan.parts) == 3
    assert plan.world.decided_at[plan.rows][0] >= plan.parts[1].fold.test_start
    fused = fuse(plan, scored)
    assert fused is not None
    assert len(fused.models) == 2
    for model, part, start in zip(fused.models, plan.parts[1:], fused.starts, strict=True):
        assert model.trained_until <= part.fold.test_start
        assert plan.world.decided_at[start] >= part.fold.test_start
        assert plan.world.decided_at[start - 1] < part.fold.test_start


def test_nothing_after_a_window_begins_moves_its_fusion(plan: Plan, scored: pd.DataFrame) -> None:
    boundary = plan.parts[1].fold.test_start
    late = scored["known_at"] >= boundary
    other_scores = scored.assign(
        bullish=scored["bullish"].where(~late, scored["bearish"]),
        bearish=scored["bearish"].where(~late, scored["bullish"]),
    )
    world = plan.world
    after = np.asarray(world.prices.close_at >= boundary)
    noise = np.exp(np.random.default_rng(3).normal(0.0, 0.05, world.prices.open.shape)) ** after[:, None]
    prices = replace(
        world.prices, **{name: getattr(world.prices, name) * noise for name in ("open", "high", "low", "close")}
    )
    as_it_was = fuse(plan, scored)
    rewritten = fuse(replace(plan, world=replace(world, prices=prices)), other_scores)
    assert as_it_was is not None
    assert rewritten is not None
    assert rewritten.models[0].state_hash == as_it_was.models[0].state_hash
    assert rewritten.models[1].state_hash != as_it_was.models[1].state_hash


def test_rows_before_a_fusion_hold_nothing_and_the_path_is_the_same_from_any_first_row(
    plan: Plan, scored: pd.DataFrame
) -> None:
    fused = fuse(plan, scored)
    whole = decide(replace(plan, rows=slice(0, plan.rows.stop)), scored, fused).signal
    assert not whole.iloc[: plan.rows.start].to_numpy().any()
    assert whole.iloc[plan.rows].to_numpy().any()
    from_one_row_on = decide(plan, scored, fused)
    # The later start has heard nothing of what was said before it; market features are the same.
    late = slice(-50, None)
    np.testing.assert_allclose(from_one_row_on.signal.iloc[late], whole.iloc[late], atol=1e-6)


def test_a_fused_run_is_whole_and_audited(folder: Path) -> None:
    result = embargo("run", folder / "fused.toml", "--out", folder / "runs", "--cache", folder / "cache")
    assert result.exit_code == 0, result.output
    metrics = metrics_of(folder / "runs")
    assert len(metrics["fusion"]["models"]) == 2
    findings = json.loads((only_run(folder / "runs") / "findings.json").read_text())
    assert not [finding for finding in findings if finding["verdict"] == "leak"]


def test_a_fusion_needs_an_earlier_window(folder: Path) -> None:
    result = embargo("validate", folder / "fused.toml", *settings('split.test_span="36MS"'))
    assert result.exit_code == 2
    assert "learns from earlier" in result.output
