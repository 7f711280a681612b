from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from samples import leak_worlds as worlds

from embargo.backtest.leakage import check_fill_order, check_lag_decay
from embargo.data_loaders.errors import DataError


def _fills(world: worlds.World, row: np.ndarray) -> pd.DataFrame:
    """One fill at the open of the row each article reached."""
    inside = row < len(world.decided_at)
    news, row = world.news[inside], row[inside]
    return pd.DataFrame(
        {
            "symbol": news["symbol"].to_numpy(),
            "known_at": news["known_at"].to_numpy(),
            "decided_at": world.decided_at[row],
            "fill_at": world.prices.open_at[row],
        }
    ).assign(
        known_at=lambda frame: (
            frame["known_at"].dt.tz_localize("UTC") if frame["known_at"].dt.tz is None else frame["known_at"]
        )
    )


@pytest.mark.parametrize("seed", range(3))
def test_fills_at_the_next_open_pass(seed):
    world = worlds.make_world(seed, n_bars=120)
    fills = _fills(world, worlds.first_rows(world.news["known_at"], world.decided_at))
    fills.loc[::7, "known_at"] = pd.NaT
    finding = check_fill_order(fills)
    assert finding.verdict == "pass"
    assert f"{fills['known_at'].isna().sum()} fills" in finding.detail


def test_fills_of_a_merge_by_date_run_backwards():
    world = worlds.make_world(0, n_bars=120)
    fills = _fills(world, worlds.rows_by_date(world.news, world.prices))
    backwards = (fills["decided_at"] < fills["known_at"]).sum()
    finding = check_fill_order(fills)
    assert finding.verdict == "leak"
    assert finding.effect == pytest.approx(backwards / len(fills))
    assert set(finding.evidence[0]) == {"symbol", "known_at", "decided_at", "fill_at"}


def test_fill_before_its_decision_is_a_leak():
    world = worlds.make_world(0, n_bars=60)
    fills = _fills(world, worlds.first_rows(world.news["known_at"], world.decided_at))
    fills.loc[5, "fill_at"] = fills.loc[5, "decided_at"] - pd.Timedelta(seconds=1)
    finding = check_fill_order(fills)
    assert (finding.verdict, len(finding.evidence)) == ("leak", 1)


def test_filling_at_the_close_that_was_read_is_a_leak_and_one_coincidence_is_not():
    closes = worlds.make_world(0, n_bars=60).prices.close_at
    same_bar = pd.DataFrame({"symbol": "S00", "fill_at": closes, "decided_at": closes, "known_at": closes})
    assert check_fill_order(same_bar).verdict == "leak"
    once = same_bar.assign(known_at=closes - pd.Timedelta(hours=1))
    once.loc[3, "known_at"] = once.loc[3, "fill_at"]
    assert check_fill_order(once).verdict == "suspicious"


def test_naive_or_missing_instants_are_refused():
    closes = worlds.make_world(0, n_bars=60).prices.close_at
    fills = pd.DataFrame({"symbol": "S00", "fill_at": closes, "decided_at": closes, "known_at": closes})
    with pytest.raises(DataError, match="timezone-aware"):
        check_fill_order(fills.assign(fill_at=closes.tz_localize(None)))
    with pytest.raises(DataError, match="no instant"):
        check_fill_order(fills.assign(fill_at=fills["fill_at"].mask(fills.index == 2)))
    assert check_fill_order(fills.iloc[:0]).verdict == "not-applicable"


def test_same_bar_profit_that_is_gone_a_bar_later_is_suspicious():
    world = worlds.make_world(0, n_bars=250)
    peeking = np.sign(world.earned.fillna(0.0)) / world.earned.shape[1]
    finding = check_lag_decay(peeking, world.earned, periods_per_year=252)
    assert finding.verdict == "suspicious"
    assert finding.effect > 6
    assert finding.interval[0] < finding.effect < finding.interval[1]


@pytest.mark.parametrize("edge", [0.0, 0.03])
def test_the_interval_of_what_a_delay_costs_is_as_wide_as_chance_makes_it(edge):
    lost, errors = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        weights = pd.DataFrame(rng.choice([-1, 0, 1], (250, 4), p=[0.3, 0.4, 0.3])) / 4
        earned = pd.DataFrame(rng.normal(0, 0.01, (250, 4))) + edge * weights
        finding = check_lag_decay(weights, earned, periods_per_year=252)
        lost.append(finding.effect)
        errors.append((finding.interval[1] - finding.interval[0]) / (2 * 1.96))
    # A standard deviation of 300 draws is known to 4 %.
    assert np.mean(errors) == pytest.approx(np.std(lost), rel=0.13)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("drift", [0.0, 0.002, 0.004])
def test_honest_profit_is_not_suspicious(seed, drift):
    world = worlds.make_world(seed, n_bars=250, drift=drift)
    weights = worlds.honest(world.news, world.prices)
    assert check_lag_decay(weights, world.earned, periods_per_year=252).verdict == "pass"


def test_lag_decay_refuses_panels_that_do_not_match_and_knows_when_it_cannot_tell():
    world = worlds.make_world(0, n_bars=100)
    weights = worlds.honest(world.news, world.prices)
    with pytest.raises(DataError, match="Align"):
        check_lag_decay(weights.iloc[1:], world.earned, periods_per_year=252)
    assert check_lag_decay(weights * 0, world.earned, periods_per_year=252).verdict == "inconclusive"
    assert check_lag_decay(weights[:30], world.earned[:30], periods_per_year=252).verdict == "inconclusive"
