"""Attempts on a window: alike ones count for less, unknown ones in full, and more of them are worth less."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embargo.backtest.chance import reach
from embargo.backtest.metrics import performance, sharpe
from embargo.backtest.significance import expected_maximum_sharpe, sharpe_estimate
from embargo.research.records.attempts import (
    Attempts,
    best_of,
    discounted,
    growing_window,
    overfitting,
    tried_around,
    undistinguished,
)
from embargo.research.records.figures import as_json, from_json
from embargo.research.records.ledger import Trial, record
from embargo.research.records.metrics import Discounted, Reach
from embargo.research.records.windows import TradedWindow

BARS = 300


def trial(name: str, returns: np.ndarray) -> Trial:
    return Trial("w", name, name, sharpe(returns, periods_per_year=1.0) or 0.0, len(returns))


def at(first: int, bars: int) -> np.ndarray:
    """When bars open, a day apart, in microseconds."""
    return 86_400_000_000 * np.arange(first, first + bars)


def looked(returns: np.ndarray, ends: list[int], series: str = "s") -> Attempts:
    """Attempts on windows that begin with the same bar, the last of them the one in question."""
    attempts = Attempts({}, {})
    for end in ends:
        own = returns[:end]
        each = Trial(f"w{end}", f"look{end}", "mine", sharpe(own, periods_per_year=1.0) or 0.0, end, series=series)
        attempts = attempts.joined(each, own, at(0, end))
    return attempts


GROWTH = {"significance": 0.05, "periods_per_year": 252.0, "n_boot": 500, "block": 1, "seed": 0}


def attempts_of(*columns: np.ndarray) -> Attempts:
    attempts = Attempts({}, {})
    for number, returns in enumerate(columns):
        attempts = attempts.joined(trial(f"t{number}", returns), returns)
    return attempts


def judging(attempts: Attempts, returns: np.ndarray) -> Attempts:
    """Take the attempt with these returns for the one in question."""
    (own, *_) = [name for name, each in attempts.returns.items() if np.array_equal(each, returns)]
    return replace(attempts, own=own)


def noise(seed: int, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 0.01, BARS)


def weighed(attempts: Attempts, returns: np.ndarray) -> Discounted:
    found = performance(returns, periods_per_year=252.0)
    alone = sharpe_estimate(returns, periods_per_year=252.0, n_boot=500, seed=0).p_value
    return discounted(
        judging(attempts, returns),
        found,
        alone,
        periods_per_year=252.0,
        significance=0.05,
        n_boot=500,
        block=None,
        seed=0,
    )


def test_one_attempt_is_not_deflated() -> None:
    good = noise(0, 0.001)
    figures = weighed(attempts_of(good), good)
    assert (figures.n_trials, figures.effective_trials, figures.luckiest_sharpe) == (1, 1.0, 0.0)
    assert figures.deflated_sharpe == figures.probabilistic_sharpe
    assert figures.adjusted_p_value == sharpe_estimate(good, periods_per_year=252.0, n_boot=500, seed=0).p_value
    assert 0.03 < figures.significance_left <= 0.05


def test_attempts_that_are_alike_count_for_less_than_their_number() -> None:
    good = noise(0, 0.001)
    different = weighed(attempts_of(good, *(noise(seed) for seed in range(1, 20))), good)
    alike = weighed(attempts_of(good, *(good + 0.02 * noise(seed) for seed in range(1, 20))), good)
    same = weighed(attempts_of(good, *(good.copy() for _ in range(19))), good)
    assert different.n_trials == alike.n_trials == same.n_trials == 20
    assert different.effective_trials > 15 > 3 > alike.effective_trials > same.effective_trials == 1.0
    assert different.deflated_sharpe < alike.deflated_sharpe < same.deflated_sharpe
    assert same.deflated_sharpe == pytest.approx(same.probabilistic_sharpe)
    assert different.luckiest_sharpe > 1.0
    assert different.adjusted_p_value > alike.adjusted_p_value >= same.adjusted_p_value
    assert different.significance_left < alike.significance_left < 0.05
    assert same.significance_left == pytest.approx(0.05, abs=0.015)


def test_a_bad_sibling_costs_an_edge_nothing() -> None:
    """By the deflated Sharpe ratio the distance to a loser counts as luck."""
    good = noise(0, 0.0025)
    alone, beside = weighed(attempts_of(good), good), weighed(attempts_of(good, noise(1, -0.004)), good)
    assert alone.adjusted_p_value < 0.01
    assert beside.adjusted_p_value < 0.01
    assert beside.deflated_sharpe < 0.9 < alone.deflated_sharpe


def test_attempts_without_returns_count_in_full_by_the_papers_formula() -> None:
    good = noise(0, 0.001)
    attempts = attempts_of(good, *(good + 0.02 * noise(seed) for seed in range(1, 5)))
    forgotten = Attempts(attempts.trials, {"t0": good}, own="t0")
    figures = weighed(forgotten, good)
    variance = np.var([each.sharpe_per_bar for each in attempts.trials.values()], ddof=1)
    assert figures.effective_trials == 5.0
    assert figures.luckiest_sharpe == pytest.approx(expected_maximum_sharpe(5, variance) * np.sqrt(252))
    assert best_of(forgotten, significance=0.05, block=None, n_boot=200, seed=0) is None
    assert overfitting(forgotten, ["t0", "t1"], seed=0) is None


def test_the_same_attempt_again_replaces_itself() -> None:
    attempts = attempts_of(noise(0), noise(1))
    again = attempts.joined(trial("t0", noise(2)), noise(2))
    assert len(again.trials) == 2
    np.testing.assert_array_equal(again.returns["t0"], noise(2))
    assert len(attempts.trials) == 2
    np.testing.assert_array_equal(attempts.returns["t0"], noise(0))


def test_the_best_of_noise_is_nothing_and_a_true_winner_is_found() -> None:
    crowd = [noise(seed) for seed in range(12)]
    nothing = best_of(attempts_of(*crowd), significance=0.05, block=None, n_boot=300, seed=0)
    assert nothing is not None
    assert nothing.superior == 0
    assert nothing.p_value > 0.05
    found = best_of(attempts_of(*crowd, noise(50, 0.004)), significance=0.05, block=None, n_boot=300, seed=0)
    assert found is not None
    assert found.superior == 1
    assert found.best == 12
    json.dumps(as_json(found), allow_nan=False)
    assert best_of(attempts_of(noise(0)), significance=0.05, block=None, n_boot=300, seed=0) is None
    still = [np.zeros(BARS), np.zeros(BARS)]
    assert best_of(attempts_of(*still), significance=0.05, block=None, n_boot=300, seed=0) is None


def test_choosing_among_noise_overfits_and_among_one_winner_does_not() -> None:
    crowd = [noise(seed) for seed in range(8)]
    names = [f"t{number}" for number in range(8)]
    noisy = overfitting(attempts_of(*crowd), names, seed=0)
    sure = overfitting(attempts_of(*crowd[:7], noise(9, 0.01)), names, seed=0)
    assert noisy is not None
    assert sure is not None
    assert sure["probability"] < 0.01 < 0.1 < noisy["probability"]
    assert sure["probability"] < sure["by_chance"]["low"]
    assert noisy["by_chance"]["low"] < noisy["probability"] < noisy["by_chance"]["high"]
    assert overfitting(attempts_of(*crowd), names, seed=0) == noisy
    assert overfitting(attempts_of(*crowd), names[:1], seed=0) is None
    assert overfitting(attempts_of(*(each[:20] for each in crowd)), names, seed=0) is None


def test_where_all_attempts_are_the_same_there_was_no_choice_to_overfit() -> None:
    same = attempts_of(*(noise(0) for _ in range(3)))
    assert overfitting(same, ["t0", "t1", "t2"], seed=0) is None
    assert overfitting(same, ["t0", "t0"], seed=0) is None


def test_attempts_of_other_lengths_are_not_compared() -> None:
    ragged = judging(attempts_of(noise(0), noise(1)[:200]), noise(0))
    assert ragged.panel is None
    assert overfitting(ragged, ["t0", "t1"], seed=0) is None
    assert weighed(ragged, noise(0)).effective_trials == 2.0


def reached(returns: np.ndarray) -> Reach:
    found = performance(returns, periods_per_year=252.0)
    figures = reach(found, returns, periods_per_year=252.0, level=0.95, significance=0.05)
    return from_json(Reach, figures, "reach")


def test_a_few_lucky_bars_prove_nothing() -> None:
    few = np.zeros(BARS)
    few[[50, 120, 200]] = 0.02
    figures = weighed(attempts_of(few, noise(1)), few)
    assert (figures.n_trials, figures.probabilistic_sharpe, figures.deflated_sharpe) == (2, None, None)
    told = reached(few)
    assert (told.detectable_sharpe, told.required_bars) == (None, None)
    assert told.mean.p_value > 0.01


def test_reach_says_how_long_and_how_large() -> None:
    good = noise(0, 0.001)
    figures = reached(good)
    longer = np.tile(good, 4)
    later = reached(longer)
    assert later.detectable_sharpe < 0.6 * figures.detectable_sharpe
    assert figures.required_bars > 1
    assert figures.mean.mean == pytest.approx(252 * good.mean())
    still = np.zeros(BARS)
    idle = reached(still)
    assert (idle.detectable_sharpe, idle.required_bars) == (None, None)
    json.dumps([as_json(figures), as_json(idle)], allow_nan=False)


def test_a_true_winner_is_alone_in_the_confidence_set_and_noise_is_not() -> None:
    crowd = [noise(seed) for seed in range(6)]
    names = [f"t{number}" for number in range(7)]
    sure = undistinguished(attempts_of(*crowd, noise(9, 0.01)), names, n_boot=300, seed=0)
    noisy = undistinguished(attempts_of(*crowd, noise(9)), names, n_boot=300, seed=0)
    assert sure == {"level": 0.9, "settings": ["t6"]}
    assert noisy is not None
    assert len(noisy["settings"]) >= 5
    assert undistinguished(attempts_of(*crowd), names[:1], n_boot=300, seed=0) is None


def test_attempts_that_never_traded_count_as_trials_and_compete_with_nobody() -> None:
    good, idle = noise(0, 0.001), np.zeros(BARS)
    alone, beside = attempts_of(good, noise(1)), attempts_of(idle, good, noise(1), idle)
    one, other = (best_of(each, significance=0.05, block=5, n_boot=200, seed=0) for each in (alone, beside))
    assert one is not None
    assert other is not None
    assert one.p_value == other.p_value
    assert (one.strategies, other.strategies) == (2, 2)
    assert (one.best, other.best) == (0, 1)
    assert (weighed(alone, good).n_trials, weighed(beside, good).n_trials) == (2, 4)


def test_attempts_on_other_windows_are_laid_on_the_bars_of_all_and_cost_what_they_share() -> None:
    good = noise(0, 0.001)
    own = Trial("own", "own", "mine", 0.1, BARS)
    alone = Attempts({}, {}).joined(own, good, at(0, BARS))
    shifted = np.concatenate([good[50:], noise(7, 0.001)[:50]])
    other = Trial("later", "later", "other", 0.1, BARS)
    beside = alone.joined(other, shifted, at(50, BARS)).joined(own, good, at(0, BARS))
    known, panel, member = beside.together()
    assert panel.shape == member.shape == (BARS + 50, 2)
    columns = [known.index("own"), known.index("later")]
    assert member[:, columns].sum(axis=0).tolist() == [BARS, BARS]
    np.testing.assert_array_equal(panel[member[:, columns[0]], columns[0]], good)
    np.testing.assert_array_equal(panel[member[:, columns[1]], columns[1]], shifted)
    np.testing.assert_array_equal(panel[50:BARS, columns[0]], panel[50:BARS, columns[1]])
    found, only, foreign = (
        weighed(each, good)
        for each in (
            beside,
            alone,
            alone.joined(Trial("far", "far", "other", 0.1, BARS), shifted, at(10_000, BARS)).joined(
                own, good, at(0, BARS)
            ),
        )
    )
    assert (found.n_trials, found.n_partial) == (2, 1)
    # Five sixths of their bars are the same, so that one may be luckier than the other by the rest alone.
    assert 1.0 < found.effective_trials < 1.5
    assert foreign.effective_trials > 1.9
    assert found.luckiest_sharpe < foreign.luckiest_sharpe
    assert only.adjusted_p_value < found.adjusted_p_value < foreign.adjusted_p_value + 0.02
    assert only.significance_left > found.significance_left > foreign.significance_left - 0.003
    assert beside.panel.shape == (BARS, 1)


def test_growing_looks_at_one_strategy_are_worth_little_more_than_one() -> None:
    returns = noise(0, 0.001)
    attempts = looked(returns, [200, 220, 240, 260, 280, 300])
    grown = weighed(attempts, returns)
    assert (grown.n_trials, grown.n_partial) == (6, 5)
    assert 1.0 < grown.effective_trials < 2.0
    lost = replace(attempts, returns={"look300": returns})
    assert weighed(lost, returns).effective_trials == 6.0
    assert weighed(replace(attempts, elsewhere=2), returns).effective_trials == pytest.approx(
        grown.effective_trials + 2.0
    )


def test_attempts_made_elsewhere_cost_in_full() -> None:
    good = noise(0, 0.001)
    alone = attempts_of(good)
    elsewhere = replace(alone, elsewhere=4)
    one, five = weighed(alone, good), weighed(elsewhere, good)
    assert five.adjusted_p_value == pytest.approx(5 * one.adjusted_p_value)
    assert 0.05 / five.significance_left == pytest.approx(0.05 / one.significance_left + 4)
    assert (five.n_trials, five.trials_elsewhere, five.effective_trials) == (1, 4, 5.0)
    # Nothing is known of how they vary, so the expected maximum is that of one.
    assert five.luckiest_sharpe == one.luckiest_sharpe == 0.0
    crowd = attempts_of(good, noise(1))
    assert weighed(replace(crowd, elsewhere=3), good).luckiest_sharpe > weighed(crowd, good).luckiest_sharpe


def test_what_a_brief_attempt_costs_is_counted_in_full() -> None:
    good, brief = noise(0, 0.001), noise(3)[:60]
    own = Trial("own", "own", "mine", 0.1, BARS)
    alone = Attempts({}, {}).joined(own, good, at(0, BARS))
    beside = alone.joined(Trial("few", "few", "other", 0.0, 60), brief, at(0, 60)).joined(own, good, at(0, BARS))
    one, two = weighed(alone, good), weighed(beside, good)
    assert two.adjusted_p_value == pytest.approx(2 * one.adjusted_p_value)
    assert 0.05 / two.significance_left == pytest.approx(0.05 / one.significance_left + 1)


def test_what_was_never_tried_costs_nothing() -> None:
    good = noise(0, 0.001)
    crowd = judging(attempts_of(good, *(noise(seed) for seed in range(1, 6))), good)
    assert crowd.without(["t4", "t5"]).number == 4
    assert weighed(crowd.without([f"t{k}" for k in range(1, 6)]), good) == weighed(attempts_of(good), good)


def test_a_growing_window_is_recognised_by_its_settings_and_its_first_bar() -> None:
    returns = noise(0, 0.0008)
    found = growing_window(looked(returns, [200, 250, 300]), **GROWTH)
    assert found is not None
    assert (found.looks, found.judged, found.rows) == (3, 3, 300)
    assert 0.0 < found.p_value <= 1.0
    assert (found.statistic >= found.bound) == (found.p_value <= 0.05)
    assert growing_window(looked(returns, [300]), **GROWTH) is None
    assert growing_window(looked(returns, [200, 300], series=""), **GROWTH) is None
    other = looked(returns, [200, 300])
    another = replace(other, trials=dict(other.trials) | {"look200": replace(other.trials["look200"], series="t")})
    assert growing_window(another, **GROWTH) is None
    later = replace(other, opened=dict(other.opened) | {"w200": at(1, 200)})
    assert growing_window(later, **GROWTH) is None
    # A look that comes after the one in question is none of its past.
    earlier = replace(looked(returns, [200, 250, 300]), own="look250")
    told = growing_window(earlier, **GROWTH)
    assert told is not None
    assert (told.looks, told.rows) == (2, 250)
    # One bar more is no look of its own.
    close = growing_window(looked(returns, [200, 298, 299, 300]), **GROWTH)
    assert close is not None
    assert (close.looks, close.judged, close.rows) == (4, 2, 298)


def test_a_growing_window_of_which_returns_are_lost_or_idle_has_no_answer_of_its_own() -> None:
    attempts = looked(noise(0), [200, 300])
    assert growing_window(replace(attempts, returns={"look300": noise(0)}), **GROWTH) is None
    assert growing_window(looked(np.zeros(BARS), [200, 300]), **GROWTH) is None


def test_the_ledger_joins_what_overlaps_and_nothing_else(tmp_path: Path) -> None:
    def window(first: int, bars: int, symbols: str, name: str) -> TradedWindow:
        marks = np.array([[1000 * ord(symbol) + day for symbol in symbols] for day in range(first, first + bars)])
        return TradedWindow(
            (name * 64)[:64], 86_400_000_000, tuple(symbols), at(first, bars), 1, marks.astype(np.int32)
        )

    asked = window(0, 100, "AB", "a")
    others = {
        "grown": window(0, 120, "AB", "b"),
        "fewer": window(50, 100, "B", "c"),
        "after": window(100, 50, "AB", "d"),
        "others": window(0, 100, "CD", "e"),
        "own": asked,
    }
    foreign = window(0, 100, "AB", "f")
    others["foreign"] = replace(foreign, marks=np.random.default_rng(0).permutation(foreign.marks))
    for name, each in others.items():
        bars = len(each.open_at)
        record(tmp_path, each, Trial(each.identity, name, name, 0.0, bars), np.full(bars, 0.01))
    # On bars of half a day prices cannot be held against those of a day: an equal name counts, in full.
    halves = replace(window(0, 60, "AB", "h"), length=43_200_000_000)
    record(tmp_path, halves, Trial(halves.identity, "halves", "halves", 0.0, 60), np.full(60, 0.01))
    # The same settings on a window read later: the one on the window asked for is the one.
    again = window(0, 90, "AB", "z")
    record(tmp_path, again, Trial(again.identity, "own", "own", 0.0, 90), np.zeros(90))
    found = tried_around(tmp_path, asked, elsewhere=2)
    assert sorted(found.trials) == ["fewer", "grown", "halves", "own"]
    assert found.trials["own"].window == asked.identity
    assert found.number == 6
    own = replace(found, own="own")
    # Whichever attempt is in question, its returns stand on the bars of this window or on none.
    assert replace(found, own="halves").together()[0] == own.together()[0]
    known, panel, member = own.together()
    assert panel.shape == (150, 3)
    assert dict(zip(known, member.sum(axis=0).tolist(), strict=True)) == {"fewer": 100, "grown": 120, "own": 100}
    assert sorted(own.partial) == ["fewer", "grown", "halves"]
