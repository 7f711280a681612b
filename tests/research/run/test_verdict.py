"""A claim needs everything at once, and a proven leak outweighs all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from samples.metric_samples import metrics_with, record_with

from embargo.backtest.leakage import Finding
from embargo.data_loaders.splits import walk_forward
from embargo.research.records.metrics import Sample
from embargo.research.run.verdict import conclude, idle_windows

STRONG = metrics_with(
    n_bars=750,
    n_articles=7000,
    total_return=0.4,
    sharpe=1.8,
    sharpe_low=0.6,
    sharpe_high=3.0,
    sharpe_p_value=0.004,
    permutation_p_value=0.002,
    adjusted_p_value=0.004,
    n_trials=1,
    level=0.95,
    detectable_sharpe=1.64,
)
PASS = Finding("T1", "pass", "Decisions do not move when the future does", "fine")
MEMORY = Finding("M1", "suspicious", "The base model is older than the test period", "it is not")
CLOCK = Finding("T4", "suspicious", "Time stamps carry a zone", "odd hours")
LEAK = Finding("D5", "leak", "Test texts are not copies of training texts", "10 % are")


def test_no_edge_is_claimed_on_bad_data_and_what_chance_says_is_still_told() -> None:
    verdict = conclude(STRONG, [PASS], significance=0.05, bad_data=["splits", "outliers"])
    assert (verdict.status, verdict.edge, verdict.stamp) == ("valid", False, None)
    assert verdict.headline == "No edge is claimed: chance does not explain the returns, but the data are bad."
    assert "leave that result standing" in verdict.text
    assert "The data are bad (splits, outliers)" in verdict.text
    weak = conclude(replace(STRONG, adjusted_p_value=0.2), [PASS], significance=0.05, bad_data=["splits"])
    assert weak.headline == "An edge is not shown: chance could have made this result."
    assert "The data are bad (splits)" in weak.text
    leaked = conclude(STRONG, [LEAK], significance=0.05, bad_data=["splits"])
    assert leaked.status == "invalid"
    assert "The data are bad (splits)" in leaked.text


def test_no_edge_is_claimed_where_sizes_are_not_known_to_hold_and_the_reason_is_told() -> None:
    doubt = "a few bars carry the sample: the 3 largest hold 60% of its squares"
    doubted = replace(STRONG, sample=record_with(Sample, doubts=(doubt,)))
    verdict = conclude(doubted, [PASS], significance=0.05)
    assert (verdict.status, verdict.edge) == ("valid", False)
    assert verdict.headline.startswith("No edge is claimed: on a sample like this")
    assert f"Size not known to hold here: {doubt}." in verdict.text
    weak = conclude(replace(doubted, adjusted_p_value=0.3), [PASS], significance=0.05)
    assert weak.headline.startswith("An edge is not shown")
    assert f"Size not known to hold here: {doubt}." in weak.text
    assert "Size not known" not in conclude(STRONG, [PASS], significance=0.05).text


def test_a_claim_says_that_the_clock_was_not_judged() -> None:
    unclear = replace(CLOCK, verdict="inconclusive")
    told = "Whether the clock of the news is right could not be told (T4)"
    assert told in conclude(STRONG, [unclear], significance=0.05).text
    assert told not in conclude(STRONG, [PASS], significance=0.05).text
    assert told not in conclude(replace(STRONG, adjusted_p_value=0.5), [unclear], significance=0.05).text


def test_an_edge_is_claimed_when_all_tests_agree() -> None:
    verdict = conclude(STRONG, [PASS], significance=0.05)
    assert verdict.edge
    assert verdict.status == "valid"
    assert verdict.stamp is None
    assert "1.80" in verdict.text
    assert "0.60 to 3.00" in verdict.text


def test_a_claim_whose_interval_reaches_below_zero_is_called_thin() -> None:
    verdict = conclude(replace(STRONG, sharpe_low=-0.1, adjusted_p_value=0.04), [PASS], significance=0.05)
    assert verdict.edge
    assert "thin" in verdict.text
    assert "thin" not in conclude(STRONG, [PASS], significance=0.05).text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"adjusted_p_value": 0.06}, "p = 0.060, one-sided"),
        ({"adjusted_p_value": None, "n_bars": 20}, "20 bars like these say too little"),
        ({"permutation_p_value": 0.2}, "shuffled against the dates"),
        ({"adjusted_p_value": 0.2, "n_trials": 40}, "allowing for 40 attempts"),
    ],
)
def test_any_single_failure_withdraws_the_claim_and_is_named(change: dict[str, Any], reason: str) -> None:
    verdict = conclude(replace(STRONG, **change), [PASS], significance=0.05)
    assert not verdict.edge
    assert verdict.headline.startswith("An edge is not shown")
    assert reason in verdict.text


def test_what_too_few_bars_leave_open_is_said_once() -> None:
    absent = ("sharpe_low", "sharpe_high", "sharpe_p_value", "adjusted_p_value", "detectable_sharpe")
    verdict = conclude(replace(STRONG, **dict.fromkeys(absent)), [PASS], significance=0.05)
    assert not verdict.edge
    assert "say too little" in verdict.text
    assert verdict.text.count("chance") == 1


def test_what_the_sample_could_have_shown_is_told_where_no_edge_is_shown() -> None:
    told = "a true Sharpe ratio of 1.64 or more in 80 % of cases"
    assert told in conclude(replace(STRONG, adjusted_p_value=0.2), [PASS], significance=0.05).text
    assert told not in conclude(STRONG, [PASS], significance=0.05).text


def test_a_run_without_trades_claims_nothing() -> None:
    absent = ("sharpe", "sharpe_low", "sharpe_high", "sharpe_p_value", "detectable_sharpe")
    verdict = conclude(replace(STRONG, **dict.fromkeys(absent)), [PASS], significance=0.05)
    assert not verdict.edge
    assert "never traded" in verdict.text


def test_a_leak_invalidates_whatever_the_figures_say() -> None:
    verdict = conclude(STRONG, [LEAK, MEMORY, PASS], significance=0.05)
    assert verdict.status == "invalid"
    assert not verdict.edge
    assert verdict.stamp is not None
    assert verdict.stamp.startswith("INVALID")
    assert "Test texts are not copies of training texts” (D5)" in verdict.text


def test_doubts_stamp_the_report_without_withdrawing_the_claim() -> None:
    verdict = conclude(STRONG, [MEMORY, PASS], significance=0.05)
    assert verdict.edge
    assert verdict.status == "caution"
    assert verdict.stamp == "The base model may remember this period"
    other = conclude(STRONG, [CLOCK, PASS], significance=0.05)
    assert other.stamp == "Caution: the audit has doubts (T4)"


def test_a_strategy_that_never_traded_is_not_judged() -> None:
    idle = replace(STRONG, sharpe=None, sharpe_low=None, sharpe_high=None, adjusted_p_value=None)
    verdict = conclude(idle, [PASS], significance=0.05)
    assert (verdict.status, verdict.edge) == ("caution", False)
    assert verdict.headline == verdict.stamp == "Not judged: the strategy never traded."
    assert conclude(idle, [LEAK], significance=0.05).status == "invalid"
    doubted = conclude(idle, [MEMORY], significance=0.05)
    assert (doubted.headline, doubted.stamp) == (verdict.headline, "The base model may remember this period")
    assert "counted under “What was left out” (abstained)" in verdict.text


def test_windows_in_which_nothing_was_held_are_named() -> None:
    start, first, end = (pd.Timestamp(day, tz="UTC") for day in ("2019-01-01", "2020-01-01", "2020-01-11"))
    windows = walk_forward(start, first, end, test_span="2D", validation_span="30D")
    days = pd.date_range(first, end, inclusive="left", tz="UTC")
    held = np.full((len(days), 2), 0.5)
    assert idle_windows(held, days, windows) == []
    held[:2] = 0.0
    (told,) = idle_windows(held, days, windows)
    assert told == (
        "Nothing was held in 1 of 5 test windows (2020-01-01 to 2020-01-03): its bars count as returns of 0."
    )
    held[3:] = 0.0
    held[2, 0] = 0.0
    (told,) = idle_windows(held, days, windows)
    assert "in 4 of 5 test windows (2020-01-01 to 2020-01-03; " in told
    assert told.endswith("; ...): their bars count as returns of 0.")
    # A short position is held too; where nothing ever was, the headline says so.
    assert idle_windows(-np.abs(held), days, windows) == [told]
    assert idle_windows(held * 0.0, days, windows) == []
