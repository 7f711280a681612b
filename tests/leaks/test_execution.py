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


def shaped(n: int, sharpe: float, *, left: float = 0.0, own: float = 0.01) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Panels of ``n`` bars to compare, with this Sharpe ratio a year and a share ``left`` of it a bar later.

    One symbol is always held; another changes side on every bar and earns what a delay loses. ``own`` is the share of
    the variance that the second brings: a delay turns it round, and the rest it leaves as it is.
    """
    unit = 0.01 * np.sqrt((n - 1) / n)
    mean = 0.01 * sharpe / np.sqrt(252)
    kept = mean * (1 + left) / 2 + unit * np.sqrt(1 - own) * np.tile([1, 1, -1, -1], n // 4)
    lost = mean * (1 - left) / 2 + unit * np.sqrt(own) * np.tile([1, -1, -1, 1], n // 4)
    turns = (-1.0) ** np.arange(n + 1)
    weights = pd.DataFrame({"held": 1.0, "turned": turns})
    return weights, pd.DataFrame({"held": [9.0, *kept], "turned": [9.0, *(lost * turns[1:])]})


@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        ({"n": 2000, "sharpe": 6.1}, "suspicious"),
        ({"n": 2000, "sharpe": 5.9}, "pass"),
        ({"n": 2000, "sharpe": 7.0, "left": 0.24}, "suspicious"),
        ({"n": 2000, "sharpe": 7.0, "left": 0.26}, "pass"),
        # 7 less 2.75 standard errors is 5.01 and 4.99, where five sixths of 6 are needed.
        ({"n": 528, "sharpe": 7.0}, "suspicious"),
        ({"n": 516, "sharpe": 7.0}, "pass"),
        # Half the Sharpe ratio a bar, 0.38, times the root of the bars: 4.07 and 3.93 standard errors.
        ({"n": 116, "sharpe": 12.0, "own": 1.0}, "suspicious"),
        ({"n": 108, "sharpe": 12.0, "own": 1.0}, "pass"),
    ],
)
def test_each_condition_of_a_collapse_decides_at_its_bound(options, verdict):
    finding = check_lag_decay(*shaped(**options), periods_per_year=252)
    assert finding.verdict == verdict, finding.detail
    assert finding.effect == pytest.approx(options["sharpe"] * (1 - options.get("left", 0.0)))
    assert [row["lag"] for row in finding.evidence] == [0, 1]
    sharpes = [options["sharpe"], options["sharpe"] * options.get("left", 0.0)]
    assert [row["sharpe"] for row in finding.evidence] == pytest.approx(sharpes)


def test_the_interval_is_that_of_the_delta_method():
    rng = np.random.default_rng(5)
    weights, earned = pd.DataFrame(rng.normal(size=(80, 2))), pd.DataFrame(rng.normal(0.002, 0.01, (80, 2)))
    finding = check_lag_decay(weights, earned, periods_per_year=252)
    returns = [(weights.shift(lag) * earned).sum(axis=1)[1:] for lag in (0, 1)]
    pull = 0.0
    for sign, x in zip((1, -1), returns, strict=True):
        m, s = x.mean(), x.std()
        # Gradient of m / s over mean and variance, times what each bar adds to them.
        pull += sign * ((x - m) / s - m / (2 * s**3) * ((x - m) ** 2 - s**2))
    half = 1.96 * np.sqrt(252 / 79) * pull.std()
    assert finding.interval == pytest.approx((finding.effect - half, finding.effect + half))
    # Nothing is known of a missing weight or return but that it earned nothing.
    gaps = weights.assign(gone=np.nan), earned.assign(gone=1.0)
    assert check_lag_decay(*gaps, periods_per_year=252).interval == pytest.approx(finding.interval)


def test_sixty_bars_are_enough_to_compare():
    weights, earned = shaped(60, 7.0)
    assert check_lag_decay(weights[1:], earned[1:], periods_per_year=252).verdict == "pass"
    assert check_lag_decay(weights[2:], earned[2:], periods_per_year=252).verdict == "inconclusive"


def test_one_fill_in_twenty_at_the_instant_it_read_is_a_habit():
    at = pd.Series(pd.date_range("2024-01-02 15:00", periods=40, freq="D", tz="UTC"))
    fills = pd.DataFrame({"symbol": [f"S{i}" for i in range(40)], "fill_at": at, "decided_at": at})
    fills["known_at"] = at - pd.Timedelta(hours=1)
    fills.loc[[7, 30], "known_at"] = at[[7, 30]]
    fills.loc[12, "known_at"] = pd.NaT
    habit = check_fill_order(fills)
    assert (habit.verdict, habit.effect) == ("leak", 2 / 40)
    assert [row["symbol"] for row in habit.evidence] == ["S7", "S30"]
    fills.loc[7, "known_at"] = at[7] - pd.Timedelta(1, "us")
    once = check_fill_order(fills)
    assert (once.verdict, once.effect, [row["symbol"] for row in once.evidence]) == ("suspicious", 1 / 40, ["S30"])
    # One that runs backwards counts beside them, and is the one that is shown.
    fills.loc[3, "decided_at"] = fills.loc[3, "known_at"] - pd.Timedelta(seconds=1)
    back = check_fill_order(fills)
    assert (back.verdict, back.effect, [row["symbol"] for row in back.evidence]) == ("leak", 2 / 40, ["S3"])
    assert "1 of 40 fills run backwards in time, first S3" in back.detail
    honest = check_fill_order(fills.drop(index=[3, 30]))
    assert (honest.verdict, honest.effect) == ("pass", 0.0)
    assert "(1 fills read no article)" in honest.detail
