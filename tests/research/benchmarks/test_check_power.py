"""Worlds that the checks are measured on hold the fault that they are said to hold, and the page is of these worlds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embargo.research.benchmarks.check_power import CASES, Case, exact, market

PAGE = Path(__file__).parents[3] / "docs" / "check_power.md"


def test_intervals_are_exact() -> None:
    # The rule of three, and Clopper and Pearson's own table for 3 of 10.
    assert exact(0, 100) == pytest.approx((0.0, 1 - 0.025**0.01))
    assert exact(3, 10) == pytest.approx((0.0667, 0.6525), abs=5e-5)
    assert exact(10, 10)[1] == 1.0


@pytest.mark.parametrize("case", [case for case in CASES if case.world in ("daily", "to the second", "five days")])
def test_the_larger_dose_is_found_and_a_clean_world_is_passed(case: Case) -> None:
    rng = np.random.default_rng(5)
    assert case.draw(rng, 0) == "pass"
    assert case.draw(rng, 2) in ("suspicious", "leak")


def test_hourly_bars_follow_each_other_and_pause_at_night() -> None:
    prices, _ = market(np.random.default_rng(0), "hourly")
    paused = np.asarray(prices.open_at[1:] > prices.close_at[:-1])
    assert paused.sum() == (len(prices.open_at) - 1) // 6


def test_the_page_has_a_row_of_every_world() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"| {case.check} | {case.world} |" in page for case in CASES)
