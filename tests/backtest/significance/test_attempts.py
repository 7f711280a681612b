import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import adjusted
from scipy.signal import lfilter
from scipy.stats import norm

from embargo.backtest.significance import attempts as module
from embargo.backtest.significance import group_sequential_bounds, sharpe_estimate, spent_by, stepwise_sharpe
from embargo.data_loaders.errors import ConfigError, DataError


def tried(seed, n=250, k=6, edge=0.0, worst=-0.2):
    """Correlated, serially dependent returns of very different volatility; the later columns are losers."""
    rng = np.random.default_rng(seed)
    noise = lfilter([1.0], [1.0, -0.2], rng.normal(size=(n, 1)) + rng.standard_t(5, (n, k)), axis=0)
    return (noise + np.linspace(edge, worst, k)) * rng.uniform(0.003, 0.03, k)


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 4), st.sampled_from([60, 61, 64]))
def test_the_slow_recomputation_agrees(seed, k, block, n):
    returns = tried(seed, n, k, edge=0.3)
    fast = stepwise_sharpe(returns, block=block, n_boot=100, seed=seed)
    starts = np.random.default_rng(seed).integers(0, n, (100, -(-n // block)))
    slow = adjusted.p_values(returns.T.tolist(), fast.statistics.tolist(), starts.tolist(), block)
    assert fast.p_values == pytest.approx(slow)


def windows(seed, n, k):
    """Membership of attempts on stretches of their own, some with a gap; each has a good part of the rows."""
    rng = np.random.default_rng([seed, 1])
    member = np.zeros((n, k), dtype=bool)
    for column in range(k):
        first, last = sorted(rng.choice(n + 1, 2, replace=False))
        member[first:last, column] = True
        member[: n // 2 + column, column] |= column % 2 == 0
    return member


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 5), st.sampled_from([80, 91]))
def test_the_slow_recomputation_agrees_on_attempts_that_overlap(seed, k, block, n):
    returns, member = tried(seed, n, k, edge=0.3), windows(seed, n, k)
    fast = stepwise_sharpe(np.where(member, returns, np.nan), member=member, block=block, n_boot=100, seed=seed)
    starts = np.random.default_rng(seed).integers(0, n, (100, -(-n // block))).tolist()
    at = np.flatnonzero(fast.judged)
    columns = [[float(v) if m else None for v, m in zip(returns[:, c], member[:, c], strict=True)] for c in at]
    statistics = fast.statistics[at].tolist()
    assert fast.p_values[at] == pytest.approx(adjusted.p_values(columns, statistics, starts, block))
    assert fast.own_p_values[at] == pytest.approx(adjusted.own_p_values(columns, statistics, starts, block))


def test_what_is_far_below_zero_goes_by_its_own_rows():
    n, member = 200, np.ones((200, 2), dtype=bool)
    member[40:, 1] = False
    returns = np.random.default_rng(0).normal(0.1, 1.0, (n, 2))
    # Between the bounds of 200 rows, -1.83, and of its own 40, -1.62: a loser on its own rows alone.
    for _ in range(40):
        found = stepwise_sharpe(returns, member=member, block=2, n_boot=100, seed=0)
        returns[:, 1] -= 0.05 * (found.statistics[1] + 1.72)
    assert -1.8 < found.statistics[1] < -1.65
    starts = np.random.default_rng(0).integers(0, n, (100, 100)).tolist()
    columns = [returns[:, 0].tolist(), [*returns[:40, 1].tolist(), *[None] * 160]]
    assert found.p_values == pytest.approx(adjusted.p_values(columns, found.statistics.tolist(), starts, 2))


@pytest.mark.parametrize(("seed", "k", "n"), [(0, 1, 60), (1, 2, 252), (2, 30, 504)])
def test_membership_of_all_rows_changes_nothing(seed, k, n):
    returns = tried(seed, n, k, edge=0.3)
    plain = stepwise_sharpe(returns, n_boot=300, seed=seed)
    everywhere = stepwise_sharpe(returns, member=np.ones((n, k), dtype=bool), n_boot=300, seed=seed)
    np.testing.assert_array_equal(everywhere.p_values, plain.p_values)
    np.testing.assert_array_equal(everywhere.statistics, plain.statistics)
    assert everywhere == plain


def test_panels_of_one_window_keep_the_numbers_that_they_had_before_windows_could_differ():
    """Taken from the version that knew one window only."""
    found = stepwise_sharpe(tried(2, 504, 4, edge=0.1), n_boot=999, seed=7)
    assert (found.p_values * 1000).round(6).tolist() == [166.0, 917.0, 972.0, 964.0]
    assert (found.block_length, round(found.critical_value, 6)) == (22, 2.249749)


@given(st.integers(0, 10**6))
@settings(max_examples=10)
def test_an_attempt_is_judged_on_its_own_rows_whatever_rows_the_others_have(seed):
    n, k = 180, 3
    returns, member = tried(seed, n, k, edge=0.3), windows(seed, n, k)
    together = stepwise_sharpe(returns, member=member, block=3, n_boot=200, seed=5)
    for column in np.flatnonzero(together.judged):
        own = stepwise_sharpe(returns[member[:, column], column], block=3, n_boot=200, seed=5)
        assert together.statistics[column] == pytest.approx(own.statistics[0])
        # Other draws of the same resampling.
        assert together.own_p_values[column] == pytest.approx(own.p_values[0], abs=0.15)
    assert (together.own_p_values <= together.p_values).all()
    elsewhere = np.where(member, returns, 10.0**6)
    np.testing.assert_array_equal(
        stepwise_sharpe(elsewhere, member=member, block=3, n_boot=200, seed=5).p_values, together.p_values
    )


def test_a_look_at_a_few_bars_less_costs_less_than_another_strategy():
    rng = np.random.default_rng(6)
    returns = rng.normal(0.12, 1.0, 504)
    twice, beside = np.column_stack([returns, returns]), np.column_stack([returns, rng.normal(size=504)])
    shorter = np.arange(504)[:, None] < [504, 480]
    alone = stepwise_sharpe(returns, seed=0).critical_value
    looked = stepwise_sharpe(twice, member=shorter, seed=0).critical_value
    other = stepwise_sharpe(beside, member=shorter, seed=0).critical_value
    assert alone < looked < other


def test_chunks_do_not_change_anything(monkeypatch):
    returns = tried(1, k=7, edge=0.2)
    member = windows(1, *returns.shape)
    member[:, :3] = True
    whole = stepwise_sharpe(returns, member=member, n_boot=300, seed=3)
    monkeypatch.setattr(module, "_COLUMNS_PER_CHUNK", 2)
    parts = stepwise_sharpe(returns, member=member, n_boot=300, seed=3)
    np.testing.assert_array_equal(whole.p_values, parts.p_values)
    assert whole.critical_value == parts.critical_value


@pytest.mark.parametrize("seed", range(4))
def test_one_attempt_has_the_p_value_of_its_sharpe_ratio(seed):
    returns = np.random.default_rng(seed).standard_t(5, 504) * 0.01 + 0.0005
    alone = stepwise_sharpe(returns[:, None], n_boot=10_000, block=2, seed=0)
    assert alone.p_values[0] == pytest.approx(
        sharpe_estimate(returns, periods_per_year=252, n_boot=10_000, block=2, seed=0).p_value, abs=0.03
    )


@given(st.integers(0, 10**6))
@settings(max_examples=15)
def test_company_never_makes_a_result_more_certain_and_order_says_nothing(seed):
    # Errors of more than three are drawn together, which may make one of them smaller.
    returns = tried(seed, n=120, k=3, edge=0.4)
    together = stepwise_sharpe(returns, block=2, n_boot=200, seed=5)
    for column in range(returns.shape[1]):
        alone = stepwise_sharpe(returns[:, [column]], block=2, n_boot=200, seed=5)
        assert alone.p_values[0] <= together.p_values[column]
    order = np.random.default_rng(seed).permutation(returns.shape[1])
    turned = stepwise_sharpe(returns[:, order] * 3.0, block=2, n_boot=200, seed=5)
    np.testing.assert_allclose(turned.p_values, together.p_values[order])


def test_a_copy_costs_nothing_and_a_better_p_belongs_to_a_better_statistic():
    returns = tried(3, edge=0.25)
    once = stepwise_sharpe(returns, block=3, seed=0)
    twice = stepwise_sharpe(np.hstack([returns, returns]), block=3, seed=0)
    np.testing.assert_allclose(twice.p_values[: returns.shape[1]], once.p_values, atol=0.01)
    ranked = once.p_values[np.argsort(-once.statistics)]
    assert (np.diff(ranked) >= 0.0).all()


def test_what_never_trades_claims_nothing_and_costs_nothing():
    returns = tried(4, edge=0.25)
    seldom = np.zeros(len(returns))
    seldom[[7, 90, 200]] = 0.05
    both = np.column_stack([returns, np.zeros(len(returns)), seldom])
    found, alone = (stepwise_sharpe(panel, block=2, seed=0) for panel in (both, returns))
    assert found.judged.tolist() == [True] * returns.shape[1] + [False, False]
    assert found.p_values[-2:].tolist() == [1.0, 1.0]
    assert np.isnan(found.statistics[-2:]).all()
    np.testing.assert_allclose(found.p_values[:-2], alone.p_values)
    nothing = stepwise_sharpe(np.zeros((50, 2)), seed=0)
    assert nothing.critical_value is None
    assert nothing.p_values.tolist() == [1.0, 1.0]


def test_blocks_that_hold_everything_judge_nothing():
    """A resample of one block has no error of its own, and each whole lap is the sample itself."""
    loser = np.random.default_rng(0).normal(-0.05, 1.0, (252, 1))
    for block in (252, 1e9, math.inf):
        found = stepwise_sharpe(loser, n_boot=200, block=block, seed=0)
        assert (found.judged.tolist(), found.critical_value, found.block_length) == ([False], None, 252)
        assert found.p_values.tolist() == found.own_p_values.tolist() == [1.0]
        assert np.isnan(found.statistics).all()
        assert sharpe_estimate(loser[:, 0], periods_per_year=252, n_boot=200, block=block, seed=0).p_value is None


def burst(seed, rows):
    """An attempt that traded once, for some rows of 1,000."""
    returns = np.zeros(1000)
    returns[300 : 300 + rows] = np.random.default_rng(seed).normal(1.0, 1.0, rows)
    return returns


def test_resamples_that_miss_the_trading_count_against_it():
    """Of 32 blocks of 32 rows none reaches 60 rows in (1 - 91 / 1,000) ** 32 = 4.7 % of resamples."""
    found = stepwise_sharpe(burst(0, 60), n_boot=20_000, block=32, seed=0)
    assert found.statistics[0] > 2.0
    assert found.own_p_values[0] == pytest.approx(0.048, abs=0.005)
    starts = np.random.default_rng(0).integers(0, 1000, (100, 32)).tolist()
    columns, few = [burst(0, 60).tolist()], stepwise_sharpe(burst(0, 60), n_boot=100, block=32, seed=0)
    assert few.own_p_values == pytest.approx(adjusted.own_p_values(columns, few.statistics.tolist(), starts, 32))


def test_what_most_resamples_miss_is_not_judged_and_takes_nothing_from_the_others():
    rng = np.random.default_rng(3)
    good = rng.normal(0.1, 1.0, 1000)
    beside, alone = np.column_stack([good, burst(0, 31)]), good[:, None]
    found = stepwise_sharpe(beside, n_boot=500, block=40, seed=0)
    assert found.judged.tolist() == [True, False]
    assert found.p_values[1] == found.own_p_values[1] == 1.0
    single = stepwise_sharpe(alone, n_boot=500, block=40, seed=0)
    assert (found.p_values[0], found.critical_value) == (single.p_values[0], single.critical_value)


def test_a_critical_value_ranks_resamples_without_a_figure_above_all():
    largest = np.append(np.arange(100.0), [-np.inf] * 4)
    assert module._critical_value(largest, 0.05) == pytest.approx(np.quantile(np.arange(104.0), 0.95))
    assert module._critical_value(largest, 0.02) == math.inf


@pytest.mark.filterwarnings("error")
def test_an_attempt_on_one_column_may_be_flat_and_one_on_no_bar_claims_nothing():
    returns, member = tried(0)[:, 0], np.arange(250) < 200
    flat = stepwise_sharpe(returns, member=member, n_boot=100, seed=0)
    assert flat == stepwise_sharpe(returns[:, None], member=member[:, None], n_boot=100, seed=0)
    with pytest.raises(DataError, match="member"):
        stepwise_sharpe(returns, member=member[:-1], n_boot=100, seed=0)
    nowhere = stepwise_sharpe(returns, member=np.zeros(250, dtype=bool), n_boot=100, seed=0)
    assert (nowhere.judged.tolist(), nowhere.p_values.tolist(), nowhere.critical_value) == ([False], [1.0], None)


def test_bad_input_is_named():
    with pytest.raises(DataError, match="row 3 of column 1"):
        stepwise_sharpe(np.where(np.arange(100).reshape(50, 2) == 7, np.nan, 0.1), seed=0)
    hole = np.where(np.arange(100).reshape(50, 2) == 7, np.nan, np.random.default_rng(0).normal(size=(50, 2)))
    with pytest.raises(DataError, match="row 3 of column 1"):
        stepwise_sharpe(hole, member=np.ones((50, 2), dtype=bool), seed=0)
    assert stepwise_sharpe(hole, member=np.isfinite(hole), n_boot=100, seed=0).judged.all()
    with pytest.raises(DataError, match="member"):
        stepwise_sharpe(hole, member=np.ones(50, dtype=bool), seed=0)
    with pytest.raises(ConfigError, match="level"):
        stepwise_sharpe(tried(0), level=1.0, seed=0)
    with pytest.raises(ConfigError, match="n_boot"):
        stepwise_sharpe(tried(0), n_boot=5, seed=0)


def claims(sharpes, *, draws, n, seed=0):
    """How often the first of some independent strategies is found, given the true annual Sharpe ratios of all."""
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(draws):
        returns = rng.normal(np.array(sharpes) / np.sqrt(252.0), 1.0, (n, len(sharpes)))
        found += stepwise_sharpe(returns, n_boot=199, seed=rng).p_values[0] <= 0.05
    return found / draws


def test_a_bad_sibling_takes_nothing_from_an_edge():
    """The deflated Sharpe ratio finds such an edge in 26 % of worlds beside one loser, and in 11 % beside two."""
    alone, beside = claims([2.0], n=756, draws=150), claims([2.0, -3.0], n=756, draws=150)
    assert alone > 0.9
    assert beside > alone - 0.03


@pytest.mark.slow
@pytest.mark.parametrize("attempts", [1, 2, 5, 20, 100])
@pytest.mark.parametrize("n", [252, 756])
def test_the_chance_of_any_false_claim_is_the_level(attempts, n):
    rng = np.random.default_rng([attempts, n])
    draws = 800
    false = 0
    for _ in range(draws):
        returns = lfilter([1.0], [1.0, -0.2], rng.normal(size=(n, 1)) + rng.normal(size=(n, attempts)), axis=0)
        false += bool((stepwise_sharpe(returns, n_boot=399, seed=rng).p_values <= 0.05).any())
    assert 0.03 <= false / draws <= 0.075


LOOKS = [(0, 252 + 21 * month) for month in range(1, 13)]
CHOICES = [(first, 504 - left) for first in range(0, 127, 21) for left in range(0, 127, 21)]


def worthless(kind, rng, n=504):
    """Independent normal returns, or a GARCH(1,1) of alpha 0.08 and beta 0.87."""
    shocks = rng.normal(size=n + 200)
    if kind == "i.i.d.":
        return shocks[200:]
    returns, variance = np.empty(n + 200), 1.0
    for row, shock in enumerate(shocks):
        returns[row] = np.sqrt(variance) * shock
        variance = 0.05 + 0.08 * returns[row] ** 2 + 0.87 * variance
    return returns[200:]


@pytest.mark.slow
@pytest.mark.parametrize("windows", [LOOKS, CHOICES], ids=["12 looks", "49 choices"])
@pytest.mark.parametrize("kind", ["i.i.d.", "GARCH"])
def test_looks_at_one_strategy_together_claim_as_seldom_as_one(windows, kind):
    """Each of them taken for the only one, some look claims in 11 % (12 monthly looks) or 18 % (49 choices)."""
    draws, taken_alone, together = 500, 0, 0
    member = np.zeros((504, len(windows)), dtype=bool)
    for column, (first, last) in enumerate(windows):
        member[first:last, column] = True
    for draw in range(draws):
        rng = np.random.default_rng([draw, len(windows)])
        panel = np.repeat(worthless(kind, rng)[:, None], len(windows), axis=1)
        found = stepwise_sharpe(panel, member=member, n_boot=399, seed=rng)
        taken_alone += bool((found.own_p_values <= 0.05).any())
        together += bool((found.p_values <= 0.05).any())
    assert taken_alone / draws > 0.075
    assert 0.025 <= together / draws <= 0.07


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["i.i.d.", "GARCH"])
def test_whenever_one_stops_looking_the_sequential_answer_holds(kind):
    draws, found = 500, {0.0: 0, 2.0: 0}
    member = np.arange(504)[:, None] < [last for _, last in LOOKS]
    rows = member.sum(axis=0)
    bounds = group_sequential_bounds(rows, spent_by(rows, level=0.05))
    for draw in range(draws):
        rng = np.random.default_rng([draw, 2])
        noise = worthless(kind, rng)
        for edge in found:
            panel = np.repeat((noise + edge / np.sqrt(252.0))[:, None], len(LOOKS), axis=1)
            own = stepwise_sharpe(panel, member=member, n_boot=999, seed=rng).own_p_values
            found[edge] += bool((norm.isf(own) >= bounds).any())
    assert found[0.0] / draws <= 0.05
    assert found[2.0] / draws >= 0.7
