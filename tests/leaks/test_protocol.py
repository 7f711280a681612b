"""Functions whose fault is known: the protocol names kind, input, column and first row; honest ones pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from samples import leak_worlds as worlds

from embargo.backtest.leakage import assert_causal, perturb_function, perturb_levels
from embargo.backtest.leakage.futures import FAR_OFF, KEYS, FutureWorld, changes_of, lifted, poisoned, rows_in_gaps
from embargo.backtest.leakage.protocol import _Fault, _fault, _kind, name_of
from embargo.data_loaders.errors import DataError, LeakError
from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.schemas import validate_prices


@pytest.fixture(scope="module")
def world() -> worlds.World:
    return worlds.make_world(3, n_bars=140)


def ask(decide, world, **options):
    options = {"seed": 0, "n_rows": 8} | options
    return perturb_function(decide, world.news, world.prices, world.decided_at, **options)


def closes_before_the_end(news, prices):
    weights = worlds.honest(news, prices)
    weights.iloc[-7:] = 0.0
    return weights


def counts_the_bars(news, prices):
    return worlds.honest(news, prices) / len(prices.open_at)


def only_listed(news, prices):
    listed = prices.close.notna().cummax().shift(1, fill_value=False)
    return worlds.honest(news, prices).where(listed, 0.0).loc[:, listed.any()]


def looks_three_ahead(_news, prices):
    return np.sign(prices.close.pct_change(fill_method=None).shift(-3)).fillna(0.0) / 8


CODES = [
    (worlds.merged_by_date, {"T5"}),
    (worlds.same_bar_close, {"T1"}),
    (worlds.own_open, {"T1"}),
    (looks_three_ahead, {"T1"}),
    (worlds.filled_backwards, {"D8"}),
    (worlds.scaled_over_all_dates, {"S4"}),
    (closes_before_the_end, {"T9"}),
    (counts_the_bars, {"T9"}),
]


@pytest.mark.parametrize(("decide", "codes"), CODES, ids=[decide.__name__ for decide, _ in CODES])
def test_a_leak_is_found_and_its_kind_named(decide, codes, world):
    found = ask(decide, world)
    assert {finding.verdict for finding in found} == {"leak"}
    assert {finding.code for finding in found} == codes
    first = found[0].evidence[0]
    assert first["row"] <= first["perturbed_after_row"]
    assert first["value"] != first["value_perturbed"]
    assert first["symbol"] in world.prices.symbols
    assert found[0].remedy.endswith("after decided_at.")


@pytest.mark.parametrize("decide", [worlds.honest, only_listed])
@pytest.mark.parametrize("seed", range(3))
def test_honest_functions_pass(decide, seed):
    (finding,) = ask(decide, worlds.make_world(seed, n_bars=120), seed=seed)
    assert (finding.code, finding.verdict) == ("T1", "pass")


def test_a_symbol_that_lists_later_may_be_missing_where_the_data_end(world):
    late = replace(world.prices, **{name: getattr(world.prices, name).copy() for name in ("close", "open")})
    late.close.iloc[:100, -1] = np.nan
    late.open.iloc[:100, -1] = np.nan
    (finding,) = ask(only_listed, replace(world, prices=late))
    assert finding.verdict == "pass"


def test_the_column_that_reached_back_is_named(world):
    (close,) = ask(worlds.same_bar_close, world)
    assert close.evidence[0]["column"] == "close"
    (opens,) = ask(worlds.own_open, world)
    assert opens.evidence[0]["column"] == "open"
    news = world.news.assign(colour=np.arange(len(world.news)) % 5, mood=world.news["sentiment"])

    def by_colour(news, prices):
        row = worlds.rows_by_date(news, prices)
        weights = worlds.honest(news, prices)
        ok = row >= 0
        np.add.at(weights.to_numpy(), (row[ok], 0), 0.001 * news["colour"].to_numpy()[ok])
        return weights

    found = perturb_function(by_colour, news, world.prices, world.decided_at, seed=0, n_rows=8)
    assert [finding.code for finding in found] == ["T5"]
    assert found[0].evidence[0]["column"] == "colour"


def test_non_determinism_and_deafness_are_inconclusive(world):
    (restless,) = ask(worlds.Restless(), world)
    assert restless.verdict == "inconclusive"
    assert "non-deterministic" in restless.detail
    assert restless.remedy.startswith("Seed every random step")
    flat = pd.DataFrame(0.1, index=world.prices.open_at, columns=world.prices.open.columns)
    (deaf,) = ask(lambda _news, _prices: flat.copy(), world)
    assert (deaf.verdict, "no power" in deaf.detail) == ("inconclusive", True)


def test_who_reads_only_when_there_was_news_is_not_deaf(world):
    def counts(news, prices, rows):
        weights = prices.close * 0.0
        column, ok = prices.close.columns.get_indexer(news["symbol"]), rows >= 0
        np.add.at(weights.to_numpy(), (np.minimum(rows[ok], len(weights) - 1), column[ok]), 0.01)
        return weights.fillna(0.0)

    def by_date(news, prices):
        return counts(news, prices, worlds.rows_by_date(news, prices))

    (finding,) = ask(by_date, world)
    assert (finding.code, finding.verdict) == ("T5", "leak")


def test_a_function_that_fails_in_other_worlds_is_told_and_no_leak(world):
    known = set(world.news["sentiment"])

    def looks_up(news, prices):
        if not set(news["sentiment"]) <= known:
            raise KeyError("a score that nobody saw")
        return worlds.honest(news, prices)

    (finding,) = ask(looks_up, world)
    assert finding.verdict == "pass"
    assert "it failed, first with KeyError" in finding.detail


def test_poison_changes_every_column_but_the_keys_of_later_rows_alone(world):
    news = world.news.assign(text="as it was", kind=np.arange(len(world.news)).astype(str), flag=True)
    news.loc[::2, "flag"] = False
    later = news["known_at"] > world.decided_at[70]
    changed = poisoned(news, later, np.random.default_rng(0))
    pd.testing.assert_frame_equal(changed[~later], news[~later])
    for name in news.columns:
        unlike = (changed.loc[later, name] != news.loc[later, name]).to_numpy()
        assert unlike.any() == (name not in KEYS and name != "neutral"), name


def test_levels_are_doubted_in_adjusted_prices_alone(world):
    def cheap(_news, prices):
        return (prices.close.shift(1) < 50.0).astype(float) / 8

    adjusted = replace(world.prices, adjustment="splits")
    told = perturb_levels(cheap, world.news, adjusted)
    assert (told.code, told.verdict) == ("D7", "suspicious")
    assert perturb_levels(worlds.honest, world.news, adjusted).verdict == "pass"
    raw = perturb_levels(cheap, world.news, world.prices, adjusted=False)
    assert (raw.verdict, "as traded" in raw.detail) == ("pass", True)
    unstated = perturb_levels(cheap, world.news, world.prices)
    assert (unstated.verdict, "nobody stated" in unstated.detail) == ("inconclusive", True)
    idle = perturb_levels(lambda _news, prices: prices.close * 0.0, world.news, adjusted)
    assert (idle.verdict, "zero" in idle.detail) == ("inconclusive", True)


def only_with_many_bars(news, prices):
    """Close before the end of the data, and refuse data that end earlier."""
    if len(prices.open_at) < 140:
        raise ValueError("too few bars")
    return closes_before_the_end(news, prices)


def test_a_kind_of_world_that_could_never_be_tried_is_no_pass(world):
    end, rest = ask(only_with_many_bars, world)
    assert (end.code, end.verdict, "too few bars" in end.detail) == ("T9", "inconclusive", True)
    assert end.remedy.startswith("Let it run on other, and on shorter, news and prices")
    assert (rest.code, rest.verdict, "news poisoned, bars rescaled)" in rest.detail) == ("T1", "pass", True)
    with pytest.raises(DataError, match=r"not all is proven about only_with_many_bars \(T9\).*too few bars"):
        assert_causal(only_with_many_bars, prices=world.prices, news=world.news)


def with_a_gap(world, rows=slice(100, 108)):
    panels = {name: getattr(world.prices, name).copy() for name in PRICE_FIELDS}
    for panel in panels.values():
        panel.iloc[:, 1] = panel.iloc[:, 1].ffill()
        panel.iloc[rows, 0] = np.nan
    return replace(world, prices=replace(world.prices, **panels))


def trades_on(filled):
    def decide(_news, prices):
        other = prices.close.iloc[:, 1].ffill().pct_change(5, fill_method=None).shift(1)
        moves = filled(prices.close.iloc[:, 0]).pct_change(3, fill_method=None).shift(1)
        weights = prices.close * 0.0
        weights.iloc[:, 1] = np.sign(moves).fillna(0.0) / 2 + np.sign(other).fillna(0.0) / 8
        return weights.fillna(0.0)

    return decide


@pytest.mark.parametrize("n_rows", [4, 12])
def test_prices_filled_backwards_are_found_in_their_gap_and_named_so(n_rows, world):
    gapped = with_a_gap(world)
    assert np.flatnonzero(rows_in_gaps(gapped.prices, gapped.decided_at)).tolist() == list(range(101, 109))
    for filled in (pd.Series.bfill, pd.Series.interpolate):
        for seed in range(3):
            found = ask(trades_on(filled), gapped, n_rows=n_rows, seed=seed)
            assert [(each.code, each.verdict) for each in found] == [("D8", "leak")]
            assert "bfill" in found[0].remedy
    (honest,) = ask(trades_on(pd.Series.ffill), gapped, n_rows=n_rows)
    assert honest.verdict == "pass"
    # Who looks ahead everywhere does not do so by filling gaps.
    (ahead,) = ask(looks_three_ahead, gapped, n_rows=n_rows)
    assert (ahead.code, ahead.verdict) == ("T1", "leak")


def test_beside_a_gap_bars_go_either_way_so_that_a_sign_has_no_luck(world):
    """One bar is missing: what is drawn through it moves one row alone, and a sign there in one direction alone."""
    panels = {name: getattr(world.prices, name).copy() for name in PRICE_FIELDS}
    for panel in panels.values():
        panel.iloc[:, 1:] = panel.iloc[:, 1:].ffill()
        panel.iloc[80, 0] = np.nan
    gapped = replace(world, prices=replace(world.prices, **panels))
    for lag in (2, 20):

        def signs(_news, prices, lag=lag):
            filled = prices.close.interpolate()
            return np.sign(filled.pct_change(lag, fill_method=None)).shift(1).fillna(0.0) / 8

        for seed in range(2):
            found = ask(signs, gapped, seed=seed)
            assert [(each.code, each.verdict) for each in found] == [("D8", "leak")]
            assert found[0].evidence[0]["column"] == "close"


def test_lifted_bars_are_sound_and_the_same_to_the_bit_where_they_had_closed(world):
    at = world.decided_at[50]
    later = np.asarray(world.prices.close_at > at)
    assert 0 < later.sum() < len(later)
    for factor in FAR_OFF:
        other = lifted(world.prices, at, factor)
        validate_prices(other)
        for name in PRICE_FIELDS:
            one, two = getattr(world.prices, name), getattr(other, name)
            assert two[~later].equals(one[~later])
            assert two[later].equals(one[later] * (1.0 if name == "volume" else factor))


def test_who_decides_the_newest_row_alone_is_found_where_data_end_though_it_holds_nothing_now(world):
    quiet = replace(world, news=world.news.loc[world.news["known_at"] < world.decided_at[-20]].reset_index(drop=True))

    def newest(news, prices):
        whole = worlds.honest(news, prices)
        weights = whole * 0.0
        spoken = news["known_at"].max() > prices.open_at[-1] - pd.Timedelta(days=5) if len(news) else False
        weights.iloc[-1] = whole.iloc[-1] * float(spoken)
        return weights

    assert not newest(quiet.news, quiet.prices).to_numpy().any()
    (finding,) = ask(newest, quiet)
    assert (finding.code, finding.verdict) == ("T9", "leak")
    (nothing,) = ask(lambda news, prices: prices.close * 0.0, quiet)
    assert (nothing.verdict, "no power" in nothing.detail) == ("inconclusive", True)


def test_a_function_that_returns_its_newest_row_is_told_how_to_ask(world):
    with pytest.raises(DataError, match=r"called for every bar, with prices\.select"):
        assert_causal(lambda prices: prices.close.iloc[[-1]] * 0.0, prices=world.prices)
    with pytest.raises(DataError, match=r"index of the prices\.$"):
        assert_causal(lambda prices: prices.close.iloc[1:] * 0.0, prices=world.prices)


def test_an_assertion_says_first_row_both_values_input_column_and_what_to_do(world):
    with pytest.raises(LeakError) as caught:
        assert_causal(worlds.same_bar_close, news=world.news, prices=world.prices)
    said = str(caught.value)
    for part in (
        "knows the future (T1)",
        "at row",
        "decided",
        "became",
        "bars not yet closed were rescaled",
        "prices: close",
    ):
        assert part in said
    assert "shift(1)" in said


def test_rounding_alone_is_suspicious_not_a_leak(world):
    def rounding(news, prices):
        return worlds.honest(news, prices) + 2**-52 * (len(news) % 3)

    (finding,) = ask(rounding, world)
    assert (finding.code, finding.verdict) == ("T1", "suspicious")


def test_the_symbol_that_moved_is_named_in_whatever_order_columns_come(world):
    base = pd.DataFrame(0.0, index=world.prices.open_at[:4], columns=["late", "early"])
    after = base.assign(early=[0.0, 0.25, 0.0, 0.0], new=0.0)
    changed = FutureWorld("later news was removed", "news", world.news, world.prices)
    fault = _fault(base, after, 2, world.decided_at, changed)
    assert fault.evidence["symbol"] == "early"
    assert (fault.first, fault.row, fault.size) == (1, 2, 0.25)
    assert (fault.evidence["value"], fault.evidence["value_perturbed"]) == (0.0, 0.25)
    # What moves after the row alone is nobody's fault.
    assert _fault(base, after, 0, world.decided_at, changed) is None


def test_leaks_are_told_before_rounding_and_rows_as_they_are_done(world):
    def both(news, prices):
        row = worlds.rows_by_date(news, prices)
        weights = worlds.honest(news, prices) + 2**-52 * (len(prices.close.tail(1)) + prices.close.iloc[-1, 0] % 1)
        np.add.at(weights.to_numpy(), (row[row >= 0], 0), 0.001 * news["sentiment"].to_numpy()[row >= 0])
        return weights

    told: list[tuple[int, int]] = []
    found = ask(both, world, n_rows=3, progress=lambda done, total: told.append((done, total)))
    assert [finding.verdict for finding in found] == ["leak", "suspicious"]
    assert [done for done, _ in told] == [1, 2, 3]
    assert {total for _, total in told} == {3}


def test_levels_are_scaled_by_powers_of_two_which_round_nothing(world):
    seen = []

    def watching(_news, prices):
        seen.append(prices)
        return prices.close * 0.0 + 0.1

    assert perturb_levels(watching, world.news, replace(world.prices, adjustment="splits")).verdict == "pass"
    factors = (seen[1].close / seen[0].close).to_numpy()[-1]
    assert set(factors) == {2.0, 4.0, 8.0}
    assert (factors[:4] == [2.0, 4.0, 8.0, 2.0]).all()
    assert ((seen[1].volume * factors).fillna(0.0) == seen[0].volume.fillna(0.0)).all(axis=None)


@pytest.mark.parametrize(("first", "code"), [(11, "S4"), (17, "T1")])
def test_what_reaches_back_to_the_first_position_is_a_figure_of_all_rows(first, code):
    """Positions begin at row 10; a fault that reaches from row 30 back to 17 is no figure of all rows."""
    base = pd.DataFrame({"A": np.where(np.arange(40) < 10, 0.0, 0.1)})
    fault = _Fault("prices", "bars not yet closed were rescaled", 30, {}, first, 0.1)
    assert _kind("prices", [fault], base, np.zeros(40, dtype=bool)) == code


def test_what_has_no_name_is_called_by_its_kind():
    assert name_of(worlds.honest) == "honest"
    assert name_of(worlds.Restless()) == "Restless"


def test_a_weight_that_is_missing_in_one_answer_alone_has_moved_without_end():
    one, two = pd.DataFrame({"A": [np.nan, np.nan, 0.5, 0.5]}), pd.DataFrame({"A": [np.nan, 0.5, np.nan, 0.25]})
    assert changes_of(one, two, 4).ravel().tolist() == [0.0, np.inf, np.inf, 0.25]
    assert changes_of(one, two.rename(columns={"A": "B"}), 4)[3].tolist() == [0.5, 0.25]
