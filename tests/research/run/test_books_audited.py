"""A run whose fills were better than its bars is invalid, and its clean twin under any rule of execution is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import CHECKS, Finding
from embargo.research.config.experiment import load_config
from embargo.research.examples.shipped import example
from embargo.research.progress import Quiet
from embargo.research.run import trading
from embargo.research.run.pipeline import Outcome, execute

TITLES = {CHECKS[name].title: name for name in ("check_books", "check_fills")}


def run(folder: Path, *overrides: str) -> tuple[Outcome, dict[str, Finding]]:
    with example("small") as path:
        config = load_config(path, overrides)
    outcome = execute(config, out=folder / "runs", cache=folder / "cache", stages=Quiet())
    return outcome, found_in(outcome)


def found_in(outcome: Outcome) -> dict[str, Finding]:
    return {TITLES[each.title]: each for each in outcome.findings if each.title in TITLES}


def test_a_plain_honest_run_passes(small_run: Outcome) -> None:
    assert {name: found.verdict for name, found in found_in(small_run).items()} == dict.fromkeys(
        TITLES.values(), "pass"
    )


@pytest.mark.parametrize(
    "overrides",
    [
        ('execution.fill="close"',),
        ("execution.participation=0.001", "costs.impact=1.0", "execution.lot=100"),
        ("execution.leverage=2.0", "portfolio.gross=2.0", "costs.interest_annual=0.05"),
    ],
    ids=["close", "small volume", "borrowed"],
)
def test_an_honest_run_passes(overrides: tuple[str, ...], tmp_path: Path) -> None:
    _, found = run(tmp_path, *overrides)
    assert {name: finding.verdict for name, finding in found.items()} == dict.fromkeys(TITLES.values(), "pass")


def test_fills_at_the_best_price_of_each_bar_make_a_run_invalid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = trading.simulate

    def generous(weights: pd.DataFrame, opens: pd.DataFrame, closes: pd.DataFrame, **rest: Any) -> Any:
        rising = weights.diff().fillna(weights) > 0
        best = np.fmin(opens, closes).where(rising, np.fmax(opens, closes))
        return honest(weights, best, closes, **rest)

    monkeypatch.setattr(trading, "simulate", generous)
    outcome, found = run(tmp_path)
    assert outcome.status == "invalid"
    assert {name: finding.verdict for name, finding in found.items()} == dict.fromkeys(TITLES.values(), "leak")
    assert "bar" in found["check_books"].evidence[0]
