import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import aggregation as reference

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.signals.aggregation import AggregationSettings, collect, decay, half_life_in_bars, heard

SHAPE = (12, 3)
ARTICLES = st.lists(
    st.tuples(st.integers(-1, 11), st.integers(0, 2), st.floats(-1, 1), st.floats(0, 1)), min_size=0, max_size=40
)
SETTINGS = st.builds(
    AggregationSettings,
    threshold=st.floats(0, 1),
    half_life_bars=st.one_of(st.just(0.0), st.floats(0.1, 20)),
    shrinkage=st.floats(0, 3),
    min_articles=st.integers(1, 3),
)


def gather(articles, chosen):
    columns = list(zip(*articles, strict=True)) if articles else [[], [], [], []]
    row, column, net, confidence = (np.asarray(values) for values in columns)
    column = np.where(np.asarray(row) < 0, -1, column)
    return collect(row, column, net, confidence, shape=SHAPE, settings=chosen)


def by_hand(articles, chosen):
    """The definition, one cell at a time."""
    signal = np.zeros(SHAPE)
    for s in range(SHAPE[1]):
        top = bottom = 0.0
        keep = 0.5 ** (1 / chosen.half_life_bars) if chosen.half_life_bars else 0.0
        for t in range(SHAPE[0]):
            here = [a for a in articles if a[0] == t and a[1] == s and a[3] >= chosen.threshold]
            if len(here) < chosen.min_articles:
                here = []
            top = top * keep + sum(a[2] * a[3] for a in here)
            bottom = bottom * keep + sum(a[3] for a in here)
            signal[t, s] = top / (bottom + chosen.shrinkage) if bottom > 0 else 0.0
    return signal


@settings(max_examples=75, deadline=None)
@given(ARTICLES, SETTINGS)
def test_agrees_with_the_definition_and_counts_every_article(articles, chosen):
    evidence = gather(articles, chosen)
    signal = decay(evidence, chosen)
    np.testing.assert_allclose(signal, by_hand(articles, chosen), atol=1e-9, rtol=1e-9)
    assert np.abs(signal).max(initial=0) <= 1.0
    assert sum(evidence.counts.values()) == sum(a[0] >= 0 for a in articles)
    assert evidence.counts["used"] == evidence.count.sum()


@settings(max_examples=60, deadline=None)
@given(ARTICLES, SETTINGS, st.integers(0, 11))
def test_later_articles_change_no_earlier_row(articles, chosen, t):
    early = [article for article in articles if article[0] <= t]
    np.testing.assert_array_equal(
        decay(gather(articles, chosen), chosen)[: t + 1], decay(gather(early, chosen), chosen)[: t + 1]
    )


def test_one_article_fades_with_the_half_life():
    chosen = AggregationSettings(half_life_bars=2.0, shrinkage=0.5)
    signal = decay(gather([(0, 1, 0.8, 1.0)], chosen), chosen)[:, 1]
    assert signal[0] == pytest.approx(0.8 / 1.5)
    assert signal[2] == pytest.approx(0.4 / 1.0)
    assert signal[4] == pytest.approx(0.2 / 0.75)
    assert (np.diff(signal) < 0).all()
    assert (decay(gather([(0, 1, 0.8, 1.0)], chosen), chosen)[:, [0, 2]] == 0).all()


def test_more_agreeing_articles_make_a_stronger_signal():
    chosen = AggregationSettings()
    one, five = (decay(gather([(3, 0, 0.9, 1.0)] * n, chosen), chosen)[3, 0] for n in (1, 5))
    assert five > one > 0


def test_rearranging_moves_what_was_said():
    chosen = AggregationSettings(half_life_bars=0.0)
    evidence = gather([(0, 0, 1.0, 1.0), (5, 2, -1.0, 0.5)], chosen)
    rng = np.random.default_rng(0)
    same, symbols = np.arange(SHAPE[0]), np.arange(SHAPE[1])
    order, others = rng.permutation(SHAPE[0]), rng.permutation(SHAPE[1])
    signs = rng.choice(np.array([-1, 1], dtype=np.int8), size=SHAPE)
    signal = decay(evidence, chosen)
    np.testing.assert_array_equal(decay(evidence.rearranged(same, symbols), chosen), signal)
    np.testing.assert_array_equal(decay(evidence.rearranged(order, symbols), chosen), signal[order])
    np.testing.assert_array_equal(decay(evidence.rearranged(same, others), chosen), signal[:, others])
    np.testing.assert_array_equal(decay(evidence.rearranged(same, symbols, signs), chosen), signal * signs)


@pytest.mark.parametrize(
    "bad", [(0, 0, 1.5, 1.0), (0, 0, float("nan"), 1.0), (0, 0, 0.5, 1.2), (0, 0, 0.5, float("nan"))]
)
def test_scores_out_of_range_are_refused(bad):
    with pytest.raises(DataError, match="aligned article 0"):
        gather([bad], AggregationSettings())


def test_cells_outside_the_panel_and_ragged_input_are_refused():
    with pytest.raises(DataError, match="outside the panel"):
        gather([(12, 0, 0.5, 0.5)], AggregationSettings())
    with pytest.raises(DataError, match="one of each"):
        collect(
            np.array([0]), np.array([0]), np.array([]), np.array([1.0]), shape=SHAPE, settings=AggregationSettings()
        )


@pytest.mark.parametrize(
    "bad",
    [
        {"threshold": 1.1},
        {"half_life_bars": -1},
        {"half_life_bars": float("inf")},
        {"shrinkage": float("inf")},
        {"min_articles": 0},
        {"mode": "median"},
        {"hold": 1.0},
        {"scale": 0.0},
        {"half_life_hours": 0.0},
        {"holding_bars": 0},
    ],
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        AggregationSettings(**bad)


HOURS = pd.date_range("2021-03-01 14:25", periods=12, freq="B", tz="UTC", unit="us")
MODES = st.builds(
    AggregationSettings,
    threshold=st.floats(0, 1),
    half_life_bars=st.one_of(st.just(0.0), st.floats(0.1, 20)),
    shrinkage=st.floats(0, 3),
    min_articles=st.integers(1, 2),
    mode=st.sampled_from(["mean", "vote", "sum"]),
    hold=st.sampled_from([0.0, 0.3]),
    scale=st.floats(0.2, 5),
    half_life_hours=st.one_of(st.none(), st.floats(0.05, 200)),
    holding_bars=st.one_of(st.none(), st.integers(1, 14)),
)
WEIGHED = st.lists(
    st.tuples(
        st.integers(0, 11),
        st.integers(0, 2),
        st.floats(-1, 1),
        st.floats(0, 1),
        st.sampled_from([0.0, 0.25, 1.0, 3.0]),
        st.integers(0, 100),
    ),
    max_size=30,
)


def gather_weighed(articles, chosen, rows=12):
    columns = list(zip(*articles, strict=True)) if articles else [[]] * 6
    row, column, net, confidence, weight, age = (np.asarray(values) for values in columns)
    row = row.astype(int)
    return collect(
        row,
        column,
        net,
        confidence,
        shape=(rows, 3),
        settings=chosen,
        weight=weight,
        known_at=HOURS[row] - pd.to_timedelta(age, unit="h").as_unit("us"),
        decided_at=HOURS[:rows],
    )


def reference_sums(articles, chosen):
    def fade(article, t):
        if chosen.half_life_hours is not None:
            elapsed = (HOURS[t] - HOURS[article[0]]) / pd.Timedelta(hours=1) + article[5]
            return 0.5 ** (elapsed / chosen.half_life_hours)
        if chosen.half_life_bars == 0.0:
            return float(t == article[0])
        return 0.5 ** ((t - article[0]) / chosen.half_life_bars)

    return reference.sums(
        articles,
        bars=12,
        symbols=3,
        threshold=chosen.threshold,
        min_articles=chosen.min_articles,
        mode=chosen.mode,
        hold=chosen.hold,
        fade=fade,
        holding=chosen.holding_bars,
    )


@given(WEIGHED, MODES)
def test_every_mode_agrees_with_the_reference(articles, chosen):
    evidence = gather_weighed(articles, chosen)
    signal = decay(evidence, chosen)
    top, bottom = reference_sums(articles, chosen)
    expected = reference.aggregate(top, bottom, mode=chosen.mode, shrinkage=chosen.shrinkage, scale=chosen.scale)
    # A mean of vanishing weights is a ratio of rounding errors; elsewhere the filter is exact to rounding.
    solid = (np.asarray(bottom) > 1e-6) | (chosen.shrinkage > 1e-3) | (chosen.mode == "sum")
    np.testing.assert_allclose(signal[solid], np.asarray(expected)[solid], atol=1e-8)
    assert np.abs(signal).max(initial=0) <= 1.0
    assert not signal[np.asarray(bottom) == 0.0].any()
    np.testing.assert_array_equal(heard(evidence, chosen, 0.1)[solid], (np.asarray(bottom) >= 0.1)[solid])
    assert sum(evidence.counts.values()) == len(articles)


@given(WEIGHED, MODES, st.integers(1, 12))
def test_cutting_the_future_changes_no_earlier_row_in_any_mode(articles, chosen, rows):
    early = [article for article in articles if article[0] < rows]
    np.testing.assert_array_equal(
        decay(gather_weighed(articles, chosen), chosen)[:rows], decay(gather_weighed(early, chosen, rows), chosen)
    )


@given(WEIGHED, MODES)
def test_turning_every_opinion_turns_the_signal(articles, chosen):
    turned = [(row, column, -net, *rest) for row, column, net, *rest in articles]
    np.testing.assert_array_equal(
        decay(gather_weighed(turned, chosen), chosen), -decay(gather_weighed(articles, chosen), chosen)
    )


def test_a_vote_is_the_share_of_buy_less_the_share_of_sell():
    chosen = AggregationSettings(mode="vote", hold=0.2, shrinkage=0.0, half_life_bars=0.0)
    votes = [(0, 0, net, 1.0, 1.0, 0) for net in (0.9, 0.3, 0.21, -0.5, 0.1)]
    assert decay(gather_weighed(votes, chosen), chosen)[0, 0] == pytest.approx(3 / 5 - 1 / 5)
    heavier = [*votes[:3], (0, 0, -0.5, 1.0, 3.0, 0), votes[4]]
    assert decay(gather_weighed(heavier, chosen), chosen)[0, 0] == pytest.approx(0.0)


def test_a_weekend_fades_by_hours_and_not_by_bars():
    by_clock = AggregationSettings(half_life_hours=24.0, mode="sum", half_life_bars=1.0)
    by_bars = AggregationSettings(half_life_bars=1.0, mode="sum")
    friday = [(4, 0, 1.0, 1.0, 1.0, 0)]
    clock, bars = (decay(gather_weighed(friday, chosen), chosen)[:, 0] for chosen in (by_clock, by_bars))
    assert clock[4] == pytest.approx(np.tanh(1.0))
    assert clock[5] == pytest.approx(np.tanh(1 / 8))
    assert bars[5] == pytest.approx(np.tanh(1 / 2))
    older = decay(gather_weighed([(4, 0, 1.0, 1.0, 1.0, 24)], by_clock), by_clock)[:, 0]
    assert older[4] == pytest.approx(np.tanh(1 / 2))


def test_a_held_article_keeps_its_weight_and_then_is_forgotten():
    chosen = AggregationSettings(half_life_bars=np.inf, holding_bars=3, shrinkage=1.0)
    signal = decay(gather([(2, 1, 0.8, 0.7), (9, 1, -0.3, 0.1)], chosen), chosen)[:, 1]
    np.testing.assert_allclose(signal[2:5], 0.56 / 1.7)
    assert (signal[5:9] == 0.0).all()
    assert signal[9] < 0


def test_shuffled_news_keeps_the_clock_of_the_bars():
    chosen = AggregationSettings(half_life_hours=24.0, mode="sum")
    evidence = gather_weighed([(0, 0, 1.0, 1.0, 1.0, 0)], chosen)
    moved = decay(evidence.rearranged(np.roll(np.arange(12), 4), np.arange(SHAPE[1])), chosen)
    np.testing.assert_array_equal(moved, decay(gather_weighed([(4, 0, 1.0, 1.0, 1.0, 0)], chosen), chosen))


def test_very_short_half_lives_in_hours_do_not_overflow():
    chosen = AggregationSettings(half_life_hours=0.01, mode="sum")
    signal = decay(gather_weighed([(3, 0, 1.0, 1.0, 1.0, 0), (9, 0, 1.0, 1.0, 1.0, 0)], chosen), chosen)[:, 0]
    np.testing.assert_allclose(signal, np.tanh(1.0) * np.isin(np.arange(12), [3, 9]), atol=1e-12)


def test_long_histories_by_hours_equal_the_filter_by_bars():
    rng = np.random.default_rng(3)
    instants = pd.date_range("2015-01-01", periods=30_000, freq="h", tz="UTC", unit="us")
    row = rng.integers(0, 30_000, 4_000)
    column, net, sure = rng.integers(0, 3, 4_000), rng.uniform(-1, 1, 4_000), rng.uniform(0, 1, 4_000)
    clock, bars = AggregationSettings(half_life_hours=7.0), AggregationSettings(half_life_bars=7.0)
    by_clock = collect(
        row, column, net, sure, shape=(30_000, 3), settings=clock, known_at=instants[row], decided_at=instants
    )
    by_bars = collect(row, column, net, sure, shape=(30_000, 3), settings=bars)
    np.testing.assert_allclose(decay(by_clock, clock), decay(by_bars, bars), atol=1e-10)


def test_the_half_life_in_bars_is_what_a_signal_remembers():
    assert half_life_in_bars(AggregationSettings(half_life_bars=3.0), HOURS) == 3.0
    assert half_life_in_bars(AggregationSettings(half_life_hours=48.0), HOURS) == pytest.approx(2.0)
    assert half_life_in_bars(AggregationSettings(half_life_bars=np.inf, holding_bars=5), HOURS) == 5.0


def test_what_does_not_fit_the_clock_is_refused():
    chosen = AggregationSettings(half_life_hours=24.0)
    with pytest.raises(DataError, match="half_life_hours needs known_at"):
        gather([(0, 0, 1.0, 1.0)], chosen)
    with pytest.raises(DataError, match="known 5 hours after"):
        gather_weighed([(2, 0, 1.0, 1.0, 1.0, -5)], chosen)
    with pytest.raises(DataError, match="collected without half_life_hours"):
        decay(gather([(0, 0, 1.0, 1.0)], AggregationSettings()), chosen)
    with pytest.raises(DataError, match="has the weight nan"):
        gather_weighed([(2, 0, 1.0, 1.0, float("nan"), 0)], AggregationSettings())
