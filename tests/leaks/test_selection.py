"""The best of many variants is named as such; one attempt that is stated to be the first is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from samples.small_runs import SWEPT, embargo, only_run, settings

from embargo import backtest
from embargo.backtest.leakage import check_attempts, check_selection
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.simulated import SimulatedMarket, simulate_market
from embargo.research.config.experiment import parse_config
from embargo.research.records.run import Run
from embargo.research.run.pipeline import kin_of, tuning_of

LUCK = {"p_value": 0.02, "adjusted_p_value": 0.4, "significance": 0.05}
EDGE = {"p_value": 0.0001, "adjusted_p_value": 0.004, "significance": 0.05}


def variants(n: int, rank: int = 1, alike: bool = True) -> pd.DataFrame:
    sharpe = np.random.default_rng(n).normal(0.0, 0.05, n)
    tried = pd.DataFrame({"attempt": "mine", "sharpe": -np.sort(-sharpe), "own": np.arange(1, n + 1) == rank})
    return tried.assign(tuning=[f"signal.threshold={0.5 + 0.01 * k:.2f}" for k in range(n)], alike=alike)


def test_the_best_of_48_that_falls_with_their_number_is_doubted_and_named():
    finding = check_selection(variants(48), **LUCK)
    assert (finding.code, finding.verdict, finding.effect) == ("P1", "suspicious", 48.0)
    assert "48 attempts" in finding.detail
    assert "number 1 by" in finding.detail
    assert finding.evidence[0]["tuning"] == "signal.threshold=0.50"
    counted = check_attempts(variants(48), elsewhere=None, **LUCK)
    assert (counted.code, counted.verdict) == ("P2", "suspicious")


@pytest.mark.parametrize(
    ("tried", "judged"),
    [(variants(48), EDGE), (variants(48, rank=5), LUCK), (variants(9), LUCK)],
    ids=["survives", "not the best", "few"],
)
def test_what_is_not_picked_or_survives_passes(tried, judged):
    assert check_selection(tried, **judged).verdict == "pass"
    assert check_attempts(tried, elsewhere=0, **judged).verdict == "pass"


def test_other_kinds_of_attempts_are_no_tuning_but_attempts():
    tried = variants(48, alike=False)
    assert check_selection(tried, **LUCK).verdict == "not-applicable"
    assert check_attempts(tried, elsewhere=None, **LUCK).verdict == "suspicious"


@pytest.mark.parametrize(("stated", "verdict"), [(None, "inconclusive"), (0, "pass"), (47, "pass")])
def test_unsaid_none_and_many_are_three_answers(stated, verdict):
    finding = check_attempts(variants(1), elsewhere=stated, **LUCK)
    assert finding.verdict == verdict
    assert finding.effect == 1.0 + (stated or 0)
    assert ("trials_elsewhere" in finding.remedy) == (stated is None)


def test_an_attempt_that_never_traded_was_not_picked():
    for tried in (variants(1), variants(48)):
        idle = tried.assign(sharpe=tried["sharpe"].where(~tried["own"]).astype(object).where(~tried["own"], None))
        for found in (check_selection(idle, **LUCK), check_attempts(idle, elsewhere=None, **LUCK)):
            assert found.verdict == "not-applicable"
            assert "nothing was traded" in found.detail


def test_weights_that_never_trade_are_carried_out_and_judged():
    prices = simulate_market(SimulatedMarket(n_symbols=2, start="2016-01-01", end="2016-06-30")).prices
    traded = backtest(prices.close * 0.0, prices)
    assert {found.code: found.verdict for found in traded.findings}["P2"] == "not-applicable"


def test_the_advice_counts_the_first_attempt_as_each_door_does():
    finding = check_attempts(variants(1), elsewhere=None, **LUCK)
    assert "0 if this was the first" in finding.remedy
    assert "(1 if this was the first" in finding.remedy
    assert "ledger" not in finding.detail


def test_one_row_must_be_the_attempt_in_question():
    with pytest.raises(DataError, match="0 rows are the one in question"):
        check_selection(variants(3).assign(own=False), **LUCK)


DOCUMENT = {
    "name": "mine",
    "news": {"loader": "simulated"},
    "prices": {"loader": "simulated"},
    "split": {"first_test": "2016-01-01"},
    "model": {"kind": "lexicon"},
}


@pytest.mark.parametrize(
    ("change", "kin"),
    [
        ({"signal": {"threshold": 0.7, "half_life": 3.0}}, True),
        ({"portfolio": {"gross": 0.5}}, True),
        ({"seed": 5, "name": "other"}, True),
        ({"statistics": {"trials_elsewhere": 3}}, True),
        ({"model": {"kind": "linear"}}, False),
        ({"costs": {"fee": 0.001}}, False),
    ],
)
def test_kin_differ_in_tuning_alone(change, kin):
    one, other = parse_config(DOCUMENT, where="a"), parse_config(DOCUMENT | change, where="b")
    assert (kin_of(one, {"news": "n"}) == kin_of(other, {"news": "n"})) == kin
    assert kin_of(one, {"news": "n"}) != kin_of(one, {"news": "m"})
    assert (tuning_of(one), tuning_of(parse_config(DOCUMENT | {"signal": {"threshold": 0.7}}, where="c"))) == (
        "",
        "signal.threshold=0.7",
    )


KERNEL = "execution.engine=kernel"


def found_in(folder) -> dict[str, str]:
    findings = Run.load(only_run(folder)).findings
    return {row["code"]: row["verdict"] for row in findings.to_dict("records") if row["code"] in ("P1", "P2")}


@pytest.mark.slow
def test_a_sweep_and_then_its_best_is_seen_through_one_ledger(tmp_path):
    (tmp_path / "swept.toml").write_text(SWEPT)

    def carry_out(name, *overrides):
        places = ["--out", tmp_path / name, "--cache", tmp_path / "cache"]
        made = embargo("run", tmp_path / "swept.toml", *settings(KERNEL, *overrides), *places)
        assert made.exit_code == 0, made.output
        return found_in(tmp_path / name)

    assert carry_out("first", "statistics.trials_elsewhere=0") == {"P1": "not-applicable", "P2": "pass"}
    grid = ["--grid", "signal.threshold=0.4:0.9:0.1", "--grid", "signal.half_life=1,2"]
    places = ["--out", tmp_path / "sweep", "--cache", tmp_path / "cache"]
    swept = embargo("sweep", tmp_path / "swept.toml", *settings(KERNEL), *grid, *places)
    assert swept.exit_code == 0, swept.output
    cells = pd.read_parquet(only_run(tmp_path / "sweep") / "cells.parquet")
    best = cells.loc[cells["test_sharpe"].idxmax()]
    picked = [f"signal.{name}={best[f'signal.{name}']}" for name in ("threshold", "half_life")]
    assert carry_out("picked", *picked) == {"P1": "suspicious", "P2": "suspicious"}


def test_ten_variants_are_enough_to_have_been_picked_from():
    assert check_selection(variants(10), **LUCK).verdict == "suspicious"
    assert check_attempts(variants(10), elsewhere=None, **LUCK).verdict == "suspicious"
