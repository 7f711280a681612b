"""A run that never trades is told why, and is never sent to the test for a better threshold."""

from __future__ import annotations

import pandas as pd
import pytest

from embargo.backtest.leakage import Finding
from embargo.research.run.perturbation import of_untraded

STILL = Finding("T1", "inconclusive", "Decisions", "They stayed the same.")
FLAT = pd.DataFrame({"A": [0.0, 0.0], "B": [0.0, float("nan")]})


@pytest.mark.parametrize(
    ("used", "reason", "remedy"),
    [
        ([False, False, True], "of 2 articles that reached a bar, none was read with a confidence", "lower signal"),
        ([True, False, False], "1 were read with enough confidence, and no weight came of them", "gate"),
    ],
)
def test_the_reason_is_the_true_one(used: list[bool], reason: str, remedy: str) -> None:
    scored = pd.DataFrame({"row": [0, 3, -1], "used": used})
    found = of_untraded(STILL, scored, FLAT, 0.5)
    assert (found.code, found.verdict) == ("T1", "inconclusive")
    assert reason in found.detail
    assert remedy in found.remedy
    assert "validation part alone" in found.remedy
    assert "never" in found.remedy


def test_a_run_that_traded_and_what_was_proved_stay_as_they_are() -> None:
    scored = pd.DataFrame({"row": [0], "used": [True]})
    assert of_untraded(STILL, scored, FLAT + 0.1, 0.5) is STILL
    leak = Finding("T1", "leak", "Decisions", "They moved.")
    assert of_untraded(leak, scored, FLAT, 0.5) is leak
