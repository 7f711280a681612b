"""Intervals of a study are held against the truth, and the truth is what all markets say together."""

from __future__ import annotations

import numpy as np
import pytest

from embargo.data_loaders.errors import ConfigError
from embargo.research.benchmarks.adapt_truth import (
    CHEAP,
    FIRST_SEED,
    Studied,
    markdown,
    study_of,
    study_once,
    summary,
    true_sharpe,
)


def test_the_truth_is_that_of_all_returns_together() -> None:
    rng = np.random.default_rng(3)
    returns = [rng.normal(0.0005, 0.01, 2500).tolist() for _ in range(40)]
    truth, error = true_sharpe(returns)
    assert truth is not None
    assert abs(truth - 0.05 * np.sqrt(252)) < 4 * error
    assert true_sharpe([[0.0, 0.0], [0.0, 0.0]])[0] is None


def test_an_interval_beside_the_truth_does_not_count_as_one_that_holds_it() -> None:
    rng = np.random.default_rng(3)
    returns = {"line": [rng.normal(0.0005, 0.01, 2500).tolist() for _ in range(40)], "idle": [[0.0, 0.0]] * 40}
    idle = Studied(None, None, None, 0.2, taken=False, best=False)
    held, missed = (Studied(0.8, low, 1.6, 0.7, taken=True, best=False) for low in (0.0, 1.5))
    line, never = summary([{"line": held, "idle": idle}] * 3 + [{"line": missed, "idle": idle}], returns)
    assert (line["held"], line["intervals"], line["coverage"], line["taken"]) == (3, 4, 0.75, 4)
    assert line["coverage_low"] < 0.75 < line["coverage_high"]
    assert (never["coverage"], never["true_sharpe"]) == (None, None)
    assert "| idle | never traded |" in markdown([line, never])


@pytest.mark.slow
def test_a_study_of_one_market_tells_of_every_reader() -> None:
    told, returns = study_once(FIRST_SEED)
    assert set(told) == set(returns) == {"majority", "lexicon", "linear"}
    assert told["linear"].macro_f1 > told["lexicon"].macro_f1 > told["majority"].macro_f1


def test_readers_are_chosen_by_name() -> None:
    assert list(study_of(FIRST_SEED).readers) == list(CHEAP)
    usual = study_of(FIRST_SEED, ["usual"]).readers
    assert {*CHEAP, "tiny", "zero-shot", "student"} < set(usual)
    assert study_of(FIRST_SEED, ["tiny", "zero-shot"]).readers == {name: usual[name] for name in ("tiny", "zero-shot")}
    with pytest.raises(ConfigError, match="readers: fast are none of majority, lexicon, linear, tiny"):
        study_of(FIRST_SEED, ["linear", "fast"])
