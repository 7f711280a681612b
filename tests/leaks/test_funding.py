"""Rates that nobody could know yet: in weights that read them, and in stamps that come before their settlement."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from embargo.backtest.leakage import check_funding
from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices

HOURS = 4


def market(seed: int, *, days: int = 60, symbols: int = 3, follows: float = 0.6) -> tuple[pd.DataFrame, Prices]:
    """Bars of four hours and rates that settle every eight, following the moves before by that correlation."""
    rng = np.random.default_rng(seed)
    n = days * 24 // HOURS
    at = pd.date_range("2023-01-01", periods=n, freq=f"{HOURS}h", tz="UTC")
    moves = 0.01 * (rng.standard_t(4, (n, 1)) + rng.standard_t(4, (n, symbols)))
    names = [f"S{i}" for i in range(symbols)]
    close = pd.DataFrame(100.0 * np.exp(moves.cumsum(axis=0)), index=at, columns=names)
    prices = Prices(
        close.shift(1).fillna(100.0), close, close, close, close, at, at + pd.Timedelta(hours=HOURS), "24/7"
    )
    # The second bar of eight hours ends as its rate settles.
    before = moves + np.vstack([np.zeros((1, symbols)), moves[:-1]])
    noise = rng.normal(size=moves.shape) * before.std()
    drawn = 4e-5 * (follows * before + np.sqrt(1 - follows**2) * noise) / before.std()
    rates, level = np.zeros_like(drawn), np.full(symbols, 1e-4)
    for row in range(1, n, 2):
        level = 0.8 * level + 2e-5 + drawn[row]
        rates[row] = level
    return pd.DataFrame(rates, index=at, columns=names), prices


def judged(rates, prices, **given):
    return check_funding(rates, prices, prices.open_at - pd.Timedelta(minutes=5), **given)


@pytest.mark.parametrize("seed", range(5))
def test_rates_a_settlement_early_go_with_the_moves_after_them(seed):
    rates, prices = market(seed)
    clean = judged(rates, prices)
    assert (clean.verdict, clean.effect > 3.0) == ("pass", True)
    early = judged(rates.shift(-2).fillna(0.0), prices)
    assert (early.verdict, early.code) == ("suspicious", "T8")
    assert early.effect < -4.0


def test_rates_that_follow_no_move_tell_nothing_and_raise_no_alarm():
    found = [judged(*market(seed, days=21 + seed, symbols=1 + seed % 4, follows=0.0)) for seed in range(120)]
    assert {finding.verdict for finding in found} <= {"inconclusive", "pass"}
    scores = np.array([finding.evidence[1]["z"] for finding in found if finding.evidence])
    assert stats.kstest(scores, "norm").pvalue > 0.001


def standing(seed: int = 0, *, back: int, long: bool = True):
    """Hold one sign, but not on rows whose rate, as many rows back, is high."""
    rates, prices = market(seed)

    def decide(funding: pd.DataFrame) -> pd.DataFrame:
        held = pd.DataFrame(0.2 if long else -0.2, index=funding.index, columns=funding.columns)
        return held.mask(funding.shift(back).fillna(0.0) > 1e-4, 0.0).iloc[:200]

    return judged(rates, prices, decide=decide)


def test_a_decision_that_knows_what_it_will_pay_is_a_leak():
    finding = standing(back=0)
    assert (finding.verdict, finding.code) == ("leak", "T8")
    shown = finding.evidence[0]
    assert shown["value"] != shown["value_perturbed"]
    assert f"first {shown['symbol']} at {shown['bar']}: {shown['value']} became" in finding.detail
    assert pd.Timestamp(shown["bar"]) > pd.Timestamp(shown["decided_at"])


def test_settled_rates_may_be_read_and_one_that_settles_at_the_open_may_not():
    assert standing(back=2).verdict == "pass"
    # Round the clock the bar before closes, and its rate settles, as the row opens, after its decision.
    assert standing(back=1).verdict == "leak"


def test_decisions_that_read_no_rate_are_made_twice_alone():
    rates, prices = market(1)
    calls = []

    def decide(funding):
        calls.append(1)
        return prices.close * 0.0

    assert judged(rates, prices, decide=decide).verdict == "pass"
    assert len(calls) == 2


def test_decisions_that_do_not_repeat_themselves_prove_nothing():
    rates, prices = market(1)
    rng = np.random.default_rng(0)
    finding = judged(rates, prices, decide=lambda funding: prices.close * rng.uniform())
    assert (finding.verdict, "non-deterministic" in finding.detail) == ("inconclusive", True)


def test_no_funding_is_not_asked_and_other_bars_are_refused():
    rates, prices = market(1)
    assert judged(None, prices).verdict == "not-applicable"
    assert judged(rates.iloc[:1].reindex(rates.index).fillna(0.0), prices).verdict == "inconclusive"
    with pytest.raises(DataError, match="different bars"):
        judged(rates.iloc[1:], prices)


@pytest.mark.parametrize("early", [False, True])
def test_symbols_that_settle_at_other_intervals_are_each_held_against_their_own(early):
    """Bars of an hour, of which some symbols settle in each, and others in every fourth and eighth."""
    n, every = 2400, (1, 4, 8, 8, 4, 8)
    rng = np.random.default_rng(3)
    at = pd.date_range("2023-01-01", periods=n, freq="h", tz="UTC")
    moves = 0.004 * (rng.normal(size=(n, 1)) + rng.normal(size=(n, len(every))))
    close = pd.DataFrame(100.0 * np.exp(moves.cumsum(axis=0)), index=at, columns=[f"S{i}" for i in range(len(every))])
    prices = Prices(close.shift(1).fillna(100.0), close, close, close, close, at, at + pd.Timedelta(hours=1), "24/7")
    rates = close * 0.0
    for column, hours in enumerate(every):
        rows = np.arange(hours - 1, n, hours)
        settled = 1e-4 + 0.01 * np.diff(np.log(close.iloc[rows, column]), prepend=np.log(100.0))
        settled += 4e-5 * rng.normal(size=len(rows)) * hours**0.5
        rates.iloc[rows, column] = np.append(settled[1:], 1e-4) if early else settled
    assert judged(rates, prices).verdict == ("suspicious" if early else "pass")


def test_when_rates_settle_is_a_schedule_that_may_be_read():
    rates, prices = market(1)

    def decide(funding):
        return funding.ne(0.0) * 0.1

    assert judged(rates, prices, decide=decide).verdict == "pass"
