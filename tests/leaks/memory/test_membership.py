"""Familiarity steps at the cutoff or drifts past it; test texts are found among those fitted, or not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage.memory import check_contamination, check_membership
from embargo.data_loaders.errors import ConfigError, DataError


def familiar(seed: int, *, step: float, drift: float = 0.0, days: int = 300) -> tuple[pd.DataFrame, pd.Timestamp]:
    rng = np.random.default_rng(seed)
    at = pd.date_range("2020-01-01", periods=days, tz="UTC").repeat(4)
    time = np.arange(len(at)) / len(at)
    score = rng.normal(size=len(at)) + 0.3 * rng.normal(size=days).repeat(4) - drift * time
    cutoff = at[len(at) // 2]
    return pd.DataFrame({"at": at, "familiarity": score + step * (at < cutoff)}), cutoff


@pytest.mark.parametrize("step", [2.0, 0.7])
def test_a_step_at_the_cutoff_is_doubted(step):
    found = check_membership(*familiar(0, step=step))
    assert (found.code, found.verdict) == ("M4", "suspicious")
    assert found.interval[0] > 0
    assert (found.figures["n_before"], found.figures["n_after"]) == (600.0, 600.0)


@pytest.mark.parametrize("drift", [0.0, 0.6])
@pytest.mark.parametrize("seed", range(5))
def test_no_step_passes_even_where_wording_drifts(drift, seed):
    assert check_membership(*familiar(seed, step=0.0, drift=drift)).verdict == "pass"


def test_areas_are_shares_of_pairs():
    frame, cutoff = familiar(1, step=0.5)
    found = check_membership(frame, cutoff).figures
    middle = frame["at"].iloc[900]
    before, early, late = (frame["familiarity"][part].to_numpy() for part in (
        frame["at"] < cutoff, (frame["at"] >= cutoff) & (frame["at"] < middle), frame["at"] >= middle))  # fmt: skip
    assert found["auc"] == pytest.approx((before[:, None] > early).mean())
    assert found["auc_placebo"] == pytest.approx((early[:, None] > late).mean())


def test_says_when_nothing_is_proven():
    frame, cutoff = familiar(2, step=2.0, days=60)
    assert check_membership(frame, cutoff).verdict == "inconclusive"
    with pytest.raises(DataError):
        check_membership(frame.drop(columns="familiarity"), cutoff)
    with pytest.raises(ConfigError):
        check_membership(frame, cutoff, n_boot=1)


@pytest.fixture(scope="module")
def apart() -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(7)
    texts = [" ".join(f"word{number}" for number in rng.integers(0, 1000, 9)) for _ in range(400)]
    return texts[:200], texts[200:]


def test_copies_are_found(apart):
    fitted, test = apart
    copies = [text.upper() + "!!" for text in fitted[:3]]
    near = [f"{text} again" for text in fitted[3:5]]
    found = check_contamination([*test, *copies, *near, "too short"], fitted)
    assert found.verdict == "leak"
    figures = found.figures
    assert (figures["exact"], figures["near"], figures["short"], figures["texts"]) == (3, 2, 1, len(test) + 5)
    share, texts = found.effect, len(test) + 5
    assert share == pytest.approx(5 / texts)
    assert found.interval[1] - share == pytest.approx(1.96 * np.sqrt(share * (1.0 - share) / texts))
    assert found.detail.startswith("3 of 205 distinct test texts")
    assert found.evidence[0] == {"test_text": copies[0], "fitted_text": fitted[0], "similarity": 1.0}
    assert check_contamination([*test, *near], fitted).verdict == "suspicious"
    assert check_contamination([*test, *near], fitted, near=False).verdict == "pass"


def test_texts_apart_pass(apart):
    fitted, test = apart
    found = check_contamination(test, fitted)
    assert (found.verdict, found.effect) == ("pass", 0.0)
    assert found.figures["searched"] == len(test)


def test_a_source_may_repeat_itself(apart):
    fitted, test = apart
    ten_of_a_hundred = [*test[:90], *fitted[:10]]
    assert check_contamination(ten_of_a_hundred, fitted, allowed=0.10).verdict == "pass"
    assert check_contamination(ten_of_a_hundred, fitted, allowed=0.08).verdict == "suspicious"
    assert check_contamination(ten_of_a_hundred, fitted, allowed=0.001).verdict == "leak"
    for allowed in (-0.1, 1.0):
        with pytest.raises(ConfigError):
            check_contamination(test, fitted, allowed=allowed)
    assert check_contamination(["a b"], fitted).verdict == "not-applicable"
    assert check_contamination(test, []).verdict == "not-applicable"
