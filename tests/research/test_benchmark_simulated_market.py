"""The simulated market is asked for its truth, and the answers are counted right."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from research.benchmarks.simulated_market import Attempt, World, as_markdown, attempt, power_curve, summary


def made(edge: bool, sharpe: float, seed: int) -> Attempt:
    returns = np.random.default_rng(seed).normal(0.0005, 0.01, 500)
    return Attempt(edge, sharpe, sharpe - 1.0, sharpe + 1.0, 0.01 if edge else 0.5, 0.2, 0.97, returns)


def test_verdicts_and_intervals_are_counted() -> None:
    found = summary(World(0.5), [made(number < 3, 0.7 + number, number) for number in range(10)])
    assert (found["markets"], found["edge"], found["sharpe_test"], found["permutation_test"]) == (10, 0.3, 0.3, 0.0)
    assert found["edge_low"] < 0.3 < found["edge_high"]
    together = np.concatenate([made(False, 0.0, number).returns for number in range(10)])
    truth = together.mean() / together.std(ddof=1) * np.sqrt(252)
    assert found["true_sharpe"] == pytest.approx(truth)
    assert found["coverage"] == sum(abs(0.7 + number - truth) <= 1.0 for number in range(10)) / 10
    rows = [found, summary(World(0.0), [made(False, 0.0, number) for number in range(4)])]
    assert as_markdown(rows).count("\n") == 3
    drawn = ElementTree.fromstring(power_curve(rows))
    assert len(drawn.findall("{*}circle")) == 2


def test_one_market_is_carried_through_to_its_verdict() -> None:
    found = attempt(World(3.0), 0)
    assert found.edge
    assert found.low < found.sharpe < found.high
    assert len(found.returns) > 500
