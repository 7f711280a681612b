"""The simulated market is asked for its truth, and the answers are counted right."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from embargo.research.benchmarks.simulated_market import (
    NEARBY,
    Attempt,
    MarketKind,
    as_markdown,
    attempt,
    best_of_variants,
    document,
    lost_to_attempts,
    main,
    power_curve,
    summary,
    trade_once,
)


def made(edge: bool, sharpe: float, seed: int) -> Attempt:
    returns = np.random.default_rng(seed).normal(0.0005, 0.01, 500)
    return Attempt(edge, sharpe, sharpe - 1.0, sharpe + 1.0, 0.01 if edge else 0.5, 0.2, 0.97, returns)


def test_verdicts_and_intervals_are_counted() -> None:
    found = summary(MarketKind(0.5), [made(number < 3, 0.7 + number, number) for number in range(10)])
    assert (found["markets"], found["edge"], found["sharpe_test"], found["permutation_test"]) == (10, 0.3, 0.3, 0.0)
    assert found["edge_low"] < 0.3 < found["edge_high"]
    together = np.concatenate([made(False, 0.0, number).returns for number in range(10)])
    truth = together.mean() / together.std(ddof=1) * np.sqrt(252)
    assert found["true_sharpe"] == pytest.approx(truth)
    assert found["coverage"] == sum(abs(0.7 + number - truth) <= 1.0 for number in range(10)) / 10
    rows = [found, summary(MarketKind(0.0), [made(False, 0.0, number) for number in range(4)])]
    assert as_markdown(rows).count("\n") == 3
    drawn = ElementTree.fromstring(power_curve(rows))
    assert len(drawn.findall("{*}circle")) == 2


@pytest.fixture(scope="module")
def alone() -> Attempt:
    return attempt(MarketKind(2.0), 1)


def test_one_market_is_carried_through_to_its_verdict(alone: Attempt) -> None:
    assert alone.edge
    assert alone.low < alone.sharpe < alone.high
    assert len(alone.returns) > 500


def test_settings_nearby_take_nothing_from_an_edge(alone: Attempt) -> None:
    after = attempt(MarketKind(2.0), 1, NEARBY)
    assert after.edge
    assert alone.adjusted <= after.adjusted < 0.05
    np.testing.assert_array_equal(alone.returns, after.returns)


def test_a_rising_market_is_the_same_market_with_higher_returns() -> None:
    still, rising = (trade_once(MarketKind(0.0, free=True, bull=bull), 0) for bull in (False, True))
    gain = rising.plan.world.prices.open.pct_change(fill_method=None).add(
        1.0
    ) / still.plan.world.prices.open.pct_change(fill_method=None).add(1.0)
    assert gain.notna().to_numpy().sum() > 10_000
    np.testing.assert_allclose(gain.to_numpy()[gain.notna().to_numpy()], np.exp(0.0015), rtol=1e-9)
    assert (rising.result.decision.weights >= 0.0).to_numpy().all()
    assert (still.result.decision.weights < 0.0).to_numpy().any()


def test_the_best_of_many_is_judged_alone_and_among_all() -> None:
    alone, among = best_of_variants(200, 0)
    assert alone
    assert not among


def test_the_document_counts_what_was_found() -> None:
    rows = [summary(MarketKind(0.0), [made(False, 0.0, number) for number in range(4)])]
    judged = [made(number < 3, 0.7, number) for number in range(10)]
    nearby = lost_to_attempts(judged, [*judged[2:], *judged[:2]])
    assert nearby == {"markets": 10, "alone": 0.3, "after": 0.3, "lost": 2, "gained": 2}
    text = document(rows, nearby, [(True, False)] * 19 + [(True, True)], 200, "power.svg")
    assert "in 100 % of the markets" in text
    assert "in 5 % (" in text


@pytest.mark.slow
def test_everything_is_written_where_asked(tmp_path: Path) -> None:
    few = ["--markets", "1", "--repetitions", "1", "--variants", "2", "--strengths", "--jobs", "1"]
    main([*few, "--write", str(tmp_path / "worth.md"), "--json", str(tmp_path / "worth.json")])
    assert "| 0, no costs, bull market held long |" in (tmp_path / "worth.md").read_text()
    assert (tmp_path / "power.svg").exists()
    assert (tmp_path / "worth.json").exists()
