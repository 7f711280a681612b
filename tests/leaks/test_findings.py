from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import (
    Finding,
    check_costs,
    check_latency,
    check_trials,
    check_undated,
    is_invalid,
    overall_verdict,
)
from embargo.backtest.leakage.findings import aware_instant, evidence_rows
from embargo.data_loaders.errors import ConfigError, DataError

VERDICTS = ("leak", "suspicious", "inconclusive", "pass", "not-applicable")


def _finding(verdict, **fields) -> Finding:
    return Finding("T1", verdict, "title", "detail", **fields)


@pytest.mark.parametrize("place", range(5))
def test_the_gravest_verdict_wins(place):
    findings = [_finding(verdict) for verdict in reversed(VERDICTS[place:])]
    assert overall_verdict(findings) == VERDICTS[place]
    assert is_invalid(findings) == (place == 0)


def test_no_findings_are_not_applicable():
    assert overall_verdict([]) == "not-applicable"
    assert not is_invalid([])


def test_unknown_verdict_is_refused():
    with pytest.raises(ValueError, match="verdict must be one of"):
        _finding("fine")


def test_to_dict_is_json():
    frame = pd.DataFrame(
        {"at": pd.date_range("2020-01-01", periods=9, tz="UTC"), "n": np.arange(9), "x": [np.nan, np.inf, *range(7)]}
    )
    evidence = [*evidence_rows(frame), {"flag": np.bool_(True), "gap": pd.NaT, "list": (np.int64(1), None)}]
    written = json.loads(
        json.dumps(_finding("leak", evidence=evidence, effect=np.float64(0.5)).to_dict(), allow_nan=False)
    )
    assert len(written["evidence"]) == 6
    assert written["evidence"][0] == {"at": "2020-01-01T00:00:00+00:00", "n": 0, "x": None}
    assert written["evidence"][-1] == {"flag": True, "gap": None, "list": [1, None]}
    assert written["effect"] == 0.5


@pytest.mark.parametrize("value", ["2020-01-01", "soon", None, pd.NaT])
def test_instants_without_a_zone_are_refused(value):
    with pytest.raises(DataError, match="with an offset"):
        aware_instant(value, what="here")


def test_undated_articles():
    assert check_undated(0, 100, kept=True).verdict == "pass"
    assert check_undated(5, 100, kept=False).verdict == "pass"
    finding = check_undated(5, 100, kept=True)
    assert (finding.verdict, finding.effect) == ("leak", 0.05)
    with pytest.raises(ConfigError, match="5 of 3"):
        check_undated(5, 3, kept=False)


def test_latency():
    minute = pd.Timedelta(minutes=1)
    assert check_latency(5 * minute, pd.Timedelta(days=1)).verdict == "pass"
    assert check_latency(0 * minute, pd.Timedelta(days=1)).verdict == "suspicious"
    assert "much of the profit" in check_latency(0 * minute, minute).detail
    with pytest.raises(ConfigError, match="negative"):
        check_latency(-minute, minute)


def test_costs():
    assert check_costs({"fee": 0.0005, "borrow": 0.0}).verdict == "pass"
    assert check_costs({"fee": 0.0, "slippage": 0.0}).verdict == "suspicious"
    assert check_costs({}).verdict == "suspicious"
    for wrong in (-0.1, float("nan")):
        with pytest.raises(ConfigError, match="fee"):
            check_costs({"fee": wrong})


def test_trials():
    assert check_trials(1, deflated=False).verdict == "pass"
    assert check_trials(200, deflated=True).verdict == "pass"
    assert check_trials(200, deflated=False).verdict == "suspicious"
    assert check_trials(None, deflated=True).verdict == "suspicious"
    with pytest.raises(ConfigError, match="at least 1"):
        check_trials(0, deflated=True)
