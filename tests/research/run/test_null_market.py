"""A market in which news means nothing must not be told apart from chance, and one in which it does must be."""

from __future__ import annotations

from pathlib import Path

import pytest

from embargo.research.config.experiment import load_config
from embargo.research.examples.shipped import example
from embargo.research.progress import Quiet
from embargo.research.run.pipeline import Outcome, execute

SEEDS = 20
# Chance near copies of one stock phrase make D5 suspicious in one market of twenty: the check's rate of false alarms.
FALSE_ALARMS = 1


def demo(folder: Path, seed: int, strength: float) -> Outcome:
    """Run the demo's own config, read by the linear model: seconds instead of minutes."""
    with example("demo") as path:
        overrides = [f"seed={seed}", f"news.simulated.strength={strength}", "model.kind=linear"]
        config = load_config(path, overrides)
    return execute(config, out=folder / "runs", cache=folder / "cache", stages=Quiet())


def check_clean(outcomes: list[Outcome]) -> None:
    """Require that no clean market is called a leak, and that doubts are rare and only about chance near copies."""
    assert not any(outcome.status == "invalid" for outcome in outcomes)
    doubted = [outcome for outcome in outcomes if outcome.status == "caution"]
    assert len(doubted) <= FALSE_ALARMS
    doubts = {finding.code for outcome in doubted for finding in outcome.findings if finding.verdict == "suspicious"}
    assert doubts <= {"D5"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_at_strength_0_hardly_any_seed_claims_anything(tmp_path: Path) -> None:
    outcomes = [demo(tmp_path, seed, 0.0) for seed in range(SEEDS)]
    check_clean(outcomes)
    assert sum(outcome.metrics.sharpe_p_value < 0.05 for outcome in outcomes) <= 3
    assert sum(outcome.metrics.permutation_p_value < 0.05 for outcome in outcomes) <= 3
    assert sum(outcome.verdict.edge for outcome in outcomes) <= 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_at_the_default_strength_the_interval_holds_the_truth(tmp_path: Path) -> None:
    outcomes = [demo(tmp_path, seed, 1.0) for seed in range(SEEDS)]
    check_clean(outcomes)
    held = [
        outcome.metrics.sharpe_low <= outcome.metrics.truth.perfect_sharpe <= outcome.metrics.sharpe_high
        for outcome in outcomes
    ]
    assert sum(held) >= SEEDS - 1
    assert sum(outcome.verdict.edge for outcome in outcomes) >= SEEDS // 2
