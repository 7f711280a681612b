from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from samples import leak_worlds as worlds

from embargo.backtest.leakage import assert_causal, check_decisions_are_causal
from embargo.backtest.leakage.causality import _entries, _worlds, rescaled_prices, reversed_scores
from embargo.data_loaders.errors import ConfigError, DataError, LeakError
from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.schemas import Prices, validate_prices


@pytest.fixture(scope="module")
def world() -> worlds.World:
    return worlds.make_world(3)


def _check(decide, world, **options):
    options = {"seed": 0, "n_rows": 10} | options
    return check_decisions_are_causal(decide, world.news, world.prices, world.decided_at, **options)


@pytest.mark.parametrize("seed", range(5))
def test_honest_trader_passes(seed):
    finding = _check(worlds.honest, worlds.make_world(seed, n_bars=160), seed=seed)
    assert finding.verdict == "pass"
    assert finding.effect == 0.0


@pytest.mark.parametrize(
    ("decide", "guilty_input"),
    [
        (worlds.merged_by_date, "news"),
        (worlds.same_bar_close, "prices"),
        (worlds.own_open, "prices"),
        (worlds.scaled_over_all_dates, "news"),
        (worlds.filled_backwards, "news"),
        (worlds.half_day_peek, "prices"),
    ],
)
@pytest.mark.parametrize("seed", range(2))
def test_leaky_trader_is_caught_with_the_guilty_input(decide, guilty_input, seed, world):
    finding = _check(decide, world, seed=seed)
    assert finding.verdict == "leak"
    assert finding.effect > 1e-6
    first = finding.evidence[0]
    assert guilty_input in {word for row in finding.evidence for word in row["changed"].split()} | {"scores"}
    assert guilty_input in finding.detail
    assert first["row"] <= first["perturbed_after_row"]
    assert first["value"] != first["value_perturbed"]
    assert first["symbol"] in world.prices.symbols


def test_rows_that_begin_a_position_are_tried_until_every_symbol_has_one():
    held = np.zeros((40, 5))
    held[10:, :3], held[20:, 3], held[[12, 30], 4] = 0.5, -0.5, 1.0
    for seed in range(5):
        found = _entries(pd.DataFrame(held), np.random.default_rng(seed)).tolist()
        assert (found[0], len(found), set(found[1:]) - {12, 30}) == (10, 3, {20})
    assert _entries(pd.DataFrame(np.zeros((9, 2))), np.random.default_rng(0)).tolist() == []


@pytest.mark.parametrize("seed", range(4))
def test_one_symbol_that_is_filled_from_its_next_news_is_caught(seed):
    at = pd.date_range("2024-01-01", periods=120, freq="D", tz="UTC")
    names = list("ABCDEF")
    close = pd.DataFrame(np.exp(np.random.default_rng(seed).normal(0.0, 0.02, (120, 6)).cumsum(0)), at, names)
    prices = Prices(close, close, close, close, close, at, at + pd.Timedelta(days=1), calendar="24/7")
    spoken = [(row, name) for name in names for row in ((40, 90) if name == "A" else range(1, 120))]
    told = [(at[row] - pd.Timedelta(hours=3), name, 1.0 + row) for row, name in spoken]
    news = pd.DataFrame(told, columns=["known_at", "symbol", "score"])

    def decide(news, prices):
        row = prices.open_at.searchsorted(pd.DatetimeIndex(news["known_at"]))
        held = pd.DataFrame(0.0, prices.open_at, names)
        for place, name, score in zip(row, news["symbol"], news["score"], strict=True):
            held.iloc[place : place + 1, names.index(name)] = np.tanh(score / 100.0)
        held["A"] = held["A"].mask(held["A"] == 0.0).bfill(limit=1).fillna(0.0)
        return held

    found = check_decisions_are_causal(decide, news, prices, at - pd.Timedelta(minutes=5), n_rows=12, seed=seed)
    assert (found.verdict, found.evidence[0]["symbol"]) == ("leak", "A")


def test_the_first_bad_row_is_the_first_the_perturbation_could_reach(world):
    """A same-bar close reaches back no further than the perturbed row itself."""
    for row in _check(worlds.same_bar_close, world).evidence:
        assert row["row"] == row["perturbed_after_row"]


def test_reading_a_bar_that_still_runs_is_caught_round_the_clock():
    world = worlds.make_world(1, calendar="24/7", n_bars=200)
    assert _check(worlds.honest, world).verdict == "pass"
    finding = _check(worlds.open_bar_round_the_clock, world)
    assert finding.verdict == "leak"
    assert "prices" in finding.detail


def test_latency_gap_is_caught_when_an_article_falls_into_it(world):
    between = world.news.iloc[[0, 1]].assign(
        article_id=["gap1", "gap2"],
        known_at=world.decided_at[[100, 150]] + pd.Timedelta(minutes=2),
        bullish=0.9,
        bearish=0.0,
    )
    news = pd.concat([world.news, between], ignore_index=True)
    boundaries = [world.prices.open_at[100], world.prices.open_at[150]]
    options = {"seed": 0, "n_rows": 12, "boundaries": boundaries}
    leaky = check_decisions_are_causal(worlds.no_latency, news, world.prices, world.decided_at, **options)
    clean = check_decisions_are_causal(worlds.honest, news, world.prices, world.decided_at, **options)
    assert (leaky.verdict, clean.verdict) == ("leak", "pass")


def test_article_known_on_the_dot_may_be_used(world):
    on_the_dot = world.news.iloc[[0]].assign(article_id="dot", known_at=world.decided_at[[80]])
    news = pd.concat([world.news, on_the_dot], ignore_index=True)
    finding = check_decisions_are_causal(
        worlds.honest, news, world.prices, world.decided_at, seed=0, n_rows=6, boundaries=[world.decided_at[80]]
    )
    assert finding.verdict == "pass"


def test_non_determinism_is_never_called_a_leak(world):
    finding = _check(worlds.Restless(), world)
    assert finding.verdict == "inconclusive"
    assert "non-deterministic" in finding.detail


def test_deaf_trader_is_inconclusive(world):
    flat = pd.DataFrame(0.1, index=world.prices.open_at, columns=world.prices.open.columns)
    finding = _check(lambda _news, _prices: flat.copy(), world)
    assert finding.verdict == "inconclusive"
    assert "no power" in finding.detail


def test_universe_that_depends_on_later_news_is_inconclusive_not_a_leak(world):
    few = replace_news(
        world, world.news[(world.news["symbol"] != "S07") | (world.news["known_at"] > world.decided_at[-30])]
    )
    assert _check(worlds.universe_of_the_news, few).verdict == "inconclusive"


def replace_news(world: worlds.World, news: pd.DataFrame) -> worlds.World:
    return replace(world, news=news.reset_index(drop=True))


def test_rounding_alone_is_suspicious_not_a_leak(world):
    def rounding(news, prices):
        return worlds.honest(news, prices) * (1 + 2**-52 * (len(news) % 2)) + 2**-52 * (len(news) % 3)

    finding = _check(rounding, world)
    assert finding.verdict == "suspicious"
    assert "rounding" in finding.detail


def test_missing_weights_are_compared_as_missing(world):
    def with_gaps(news, prices):
        return worlds.honest(news, prices).mask(prices.open.isna())

    assert _check(with_gaps, world).verdict == "pass"


def test_wrong_number_of_rows_is_inconclusive_and_wrong_instants_are_refused(world):
    finding = _check(lambda news, prices: worlds.honest(news, prices).iloc[1:], world)
    assert finding.verdict == "inconclusive"
    with pytest.raises(DataError, match="one instant per bar"):
        check_decisions_are_causal(worlds.honest, world.news, world.prices, world.decided_at[1:], seed=0)


def test_progress_ends_at_its_total(world):
    steps: list[tuple[int, int]] = []
    _check(worlds.honest, world, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1][0] == steps[-1][1]
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


@pytest.mark.parametrize("row", [0, 57, 130, 259])
def test_worlds_agree_on_everything_known_and_differ_after(world, row):
    decided = world.decided_at[row]
    rng = np.random.default_rng(0)
    known = world.news["known_at"] <= decided
    closed = world.prices.close_at <= decided
    built = _worlds(world.news, world.news["known_at"], world.prices, decided, rng)
    assert built
    for made in built:
        pd.testing.assert_frame_equal(made.news[made.news["known_at"] <= decided], world.news[known])
        for name in PRICE_FIELDS:
            panel, base = getattr(made.prices, name), getattr(world.prices, name)
            pd.testing.assert_frame_equal(panel[closed], base[closed])
            pd.testing.assert_frame_equal(panel.isna(), base.isna())
        validate_prices(made.prices)
        same_news = len(made.news) == len(world.news) and made.news.equals(world.news)
        assert not (same_news and made.prices.close.equals(world.prices.close))


def testreversed_scores_remain_scores(world):
    later = world.news["known_at"] > world.decided_at[100]
    news = reversed_scores(world.news, later, np.random.default_rng(0))
    np.testing.assert_allclose(news[["bearish", "neutral", "bullish"]].sum(axis=1), 1.0)
    np.testing.assert_array_equal(news.loc[later, "bullish"], world.news.loc[later, "bearish"])


def test_noise_changes_every_price_after_the_decision(world):
    noisy = rescaled_prices(world.prices, world.decided_at[40], np.random.default_rng(0))
    after = world.prices.close_at > world.decided_at[40]
    for name in PRICE_FIELDS:
        before, now = getattr(world.prices, name)[after], getattr(noisy, name)[after]
        assert ((before != now) | before.isna()).to_numpy().all(), name


def momentum(prices):
    return np.sign(prices.close.pct_change()).shift(1).fillna(0.0) / 10


def own_close(prices):
    return np.sign(prices.close.pct_change()).fillna(0.0) / 10


def test_a_function_of_prices_alone_is_asserted_causal(world):
    finding = assert_causal(momentum, prices=world.prices)
    assert (finding.code, finding.verdict) == ("T1", "pass")
    with pytest.raises(LeakError, match=r"own_close knows the future.*first S0\d at row \d+ .*nothing with known_at"):
        assert_causal(own_close, prices=world.prices)


def test_the_latency_says_which_bar_had_closed():
    around_the_clock = worlds.make_world(1, calendar="24/7", n_bars=60).prices
    with pytest.raises(LeakError, match="momentum knows the future"):
        assert_causal(momentum, prices=around_the_clock)
    assert assert_causal(momentum, prices=around_the_clock, latency=pd.Timedelta(0)).verdict == "pass"


def test_a_function_of_news_and_prices_is_asserted_causal(world):
    assert assert_causal(worlds.honest, news=world.news, prices=world.prices).verdict == "pass"
    with pytest.raises(LeakError, match="merged_by_date knows the future"):
        assert_causal(worlds.merged_by_date, news=world.news, prices=world.prices)


@pytest.mark.parametrize(
    ("fn", "told"),
    [
        (lambda prices: prices.close * 0.0, "no power"),
        (lambda prices: momentum(prices).iloc[1:], "not dated by prices.open_at"),
        (lambda prices: momentum(prices).set_axis(prices.close_at), "not dated by prices.open_at"),
        (lambda prices: momentum(prices).iloc[::-1], "not dated by prices.open_at"),
        (lambda prices: momentum(prices)["S00"], "returned Series"),
    ],
)
def test_what_proves_nothing_does_not_pass(fn, told, world):
    with pytest.raises(DataError, match=told):
        assert_causal(fn, prices=world.prices)


def test_rows_dated_a_bar_early_do_not_pass_for_causal_ones(world):
    # Row by row they are the honest ones; by their dates each is held a bar before it was known.
    def early(prices):
        return momentum(prices).set_axis(prices.open_at - pd.Timedelta(days=1))

    with pytest.raises(DataError, match="nobody can tell which bar each is held from"):
        assert_causal(early, prices=world.prices)


def test_a_function_that_writes_into_its_prices_reaches_no_other_world(world):
    before = world.prices.close.copy()

    def spoils(prices):
        weights = momentum(prices)
        prices.close.iloc[:] = 1.0
        return weights

    assert assert_causal(spoils, prices=world.prices).verdict == "pass"
    pd.testing.assert_frame_equal(world.prices.close, before)


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"fn": None}, TypeError, "fn: expected a function of prices"),
        ({"news": "news.csv"}, TypeError, "news: expected DataFrame, got str"),
        ({"latency": "5min"}, TypeError, "latency: expected timedelta"),
        ({"prices": None}, DataError, "expected Prices, got NoneType.*Prices.read"),
        ({"seed": -1}, ConfigError, "seed must be a whole number"),
        ({"boundaries": [pd.Timestamp("2021-02-01")]}, DataError, "boundaries: an instant has no time zone"),
    ],
)
def test_arguments_of_another_kind_are_refused_by_name(given, error, told, world):
    with pytest.raises(error, match=told):
        assert_causal(**{"fn": momentum, "prices": world.prices} | given)


def test_pytest_shows_the_line_of_the_test_alone(world):
    with pytest.raises(LeakError) as caught:
        assert_causal(own_close, prices=world.prices)
    assert [frame.name for frame in caught.traceback.filter(caught)] == ["test_pytest_shows_the_line_of_the_test_alone"]


def test_an_assertion_without_rows_is_refused(world):
    with pytest.raises(ConfigError, match="n_rows must be at least 1"):
        assert_causal(momentum, prices=world.prices, n_rows=0)
