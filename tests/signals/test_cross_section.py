import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from reference import aggregation as reference

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.signals.aggregation import AggregationSettings, collect, decay
from embargo.signals.cross_section import (
    CrossSectionSettings,
    SignalSettings,
    compare,
    neutralise,
    rank,
    standardise,
    to_signal,
    winsorise,
    zscore,
)
from embargo.signals.sectors import GroupSettings, fill_from_groups, group_codes

# Multiples of an eighth tie often and are exact.
VALUES = arrays(float, (9, 5), elements=st.integers(-8, 8).map(lambda eighths: eighths / 8))
MASKS = arrays(bool, (9, 5))
CODES = arrays(np.int64, 5, elements=st.integers(-1, 2))
SETTINGS = st.builds(
    CrossSectionSettings,
    min_signal=st.sampled_from([0.0, 0.2]),
    standardise=st.sampled_from(["none", "rolling", "expanding"]),
    window=st.integers(3, 6),
    minimum=st.integers(2, 3),
    winsorise=st.sampled_from([0.0, 0.1, 0.3]),
    method=st.sampled_from(["none", "zscore", "rank"]),
    limit=st.floats(0.5, 4),
    neutral=st.sampled_from(["none", "market", "sector"]),
)


def with_gaps(values, present):
    return [[v if p else None for v, p in zip(*row, strict=True)] for row in zip(values, present, strict=True)]


@given(VALUES, MASKS, CODES, st.floats(0, 0.49))
def test_rows_agree_with_the_reference(values, present, codes, share):
    rows = with_gaps(values.tolist(), present.tolist())
    values = np.where(present, values, np.nan)
    for ours, theirs in (
        (zscore(values, present), [reference.zscore(row) for row in rows]),
        (rank(values, present), [reference.rank(row) for row in rows]),
        (winsorise(values, present, share), [reference.winsorise(row, share) for row in rows]),
        (neutralise(values, present, None), [reference.neutralise(row, [0] * 5) for row in rows]),
        (neutralise(values, present, codes), [reference.neutralise(row, codes.tolist()) for row in rows]),
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


@given(VALUES, MASKS, st.one_of(st.none(), st.integers(2, 12)), st.integers(2, 4))
def test_time_series_agree_with_the_reference(values, present, window, minimum):
    columns = zip(*with_gaps(values.tolist(), present.tolist()), strict=True)
    expected = [reference.standardise(list(column), window=window, minimum=minimum) for column in columns]
    ours = standardise(values, present, window=window, minimum=minimum)
    np.testing.assert_allclose(ours, np.asarray(expected, dtype=float).T, atol=1e-9)


@given(VALUES, MASKS, CODES, st.floats(0, 1))
def test_filling_agrees_with_the_reference_and_counts_every_cell(values, own, codes, weight):
    filled, counts = fill_from_groups(values, own, codes, weight)
    names = [None if code < 0 else code for code in codes.tolist()]
    expected = [reference.fill(row, has, names, weight) for row, has in zip(values.tolist(), own.tolist(), strict=True)]
    np.testing.assert_allclose(filled, expected, atol=1e-12)
    assert sum(counts.values()) == (~own).sum()
    without, _ = fill_from_groups(values, own, None, weight)
    nobody = fill_from_groups(values, own, np.full(5, -1), weight)[0]
    np.testing.assert_array_equal(without, nobody)


@given(VALUES, MASKS, CODES, SETTINGS, st.integers(1, 9))
def test_cutting_the_future_changes_no_earlier_row(values, tradable, codes, chosen, rows):
    whole = compare(values, chosen, tradable=tradable, sectors=codes).values
    early = compare(values[:rows], chosen, tradable=tradable[:rows], sectors=codes).values
    np.testing.assert_array_equal(whole[:rows], early)


@given(VALUES, MASKS, CODES, SETTINGS)
def test_signals_stay_in_range_and_off_what_is_not_tradable(values, tradable, codes, chosen):
    signal = compare(values, chosen, tradable=tradable, sectors=codes).values
    assert np.isfinite(signal).all()
    assert np.abs(signal).max() <= 1.0
    assert not signal[~tradable | (values == 0.0)].any()
    if chosen.neutral == "market":
        np.testing.assert_allclose(signal.sum(axis=1), 0.0, atol=1e-12)
    if chosen.neutral == "sector":
        for code in np.unique(codes):
            np.testing.assert_allclose(signal[:, codes == code].sum(axis=1), 0.0, atol=1e-12)


@given(VALUES, MASKS, CODES, SETTINGS)
def test_turning_signals_turns_the_result_and_columns_have_no_order(values, tradable, codes, chosen):
    straight = compare(values, chosen, tradable=tradable, sectors=codes)
    turned = compare(-values, chosen, tradable=tradable, sectors=codes)
    np.testing.assert_allclose(turned.values, -straight.values, atol=1e-9)
    order = np.random.default_rng(0).permutation(5)
    moved = compare(values[:, order], chosen, tradable=tradable[:, order], sectors=codes[order])
    np.testing.assert_allclose(moved.values, straight.values[:, order], atol=1e-9)
    assert moved.counts == straight.counts


@given(VALUES, MASKS, st.floats(0.01, 100), st.floats(-3, 3))
def test_scale_and_level_do_not_matter_to_standardised_rows(values, present, scale, level):
    assume(np.ptp(values) > 0)
    np.testing.assert_allclose(zscore(scale * values + level, present), zscore(values, present), atol=1e-6)
    np.testing.assert_array_equal(rank(scale * values, present), rank(values, present))
    np.testing.assert_allclose(neutralise(values + level, present, None), neutralise(values, present, None), atol=1e-12)


def test_a_row_by_hand():
    row, present = np.array([[0.4, 0.1, 0.9, 0.1, 5.0]]), np.array([[True, True, True, True, False]])
    np.testing.assert_allclose(rank(row, present), [[1 / 3, -2 / 3, 1.0, -2 / 3, 0.0]])
    z = zscore(row, present)
    assert z[0, :4].mean() == pytest.approx(0.0)
    assert z[0, :4].std() == pytest.approx(1.0)
    np.testing.assert_allclose(winsorise(row, present, 0.25), [[0.4, 0.1, 0.525, 0.1, 0.0]])
    np.testing.assert_allclose(neutralise(row, present, np.array([0, 0, 1, 1, 1])), [[0.15, -0.15, 0.4, -0.4, 0.0]])


def test_its_own_row_does_not_standardise_a_symbol():
    calm = np.array([0.1, 0.2, 0.1, 0.2, 0.1, 0.9])[:, None]
    against = standardise(calm, np.ones(calm.shape, dtype=bool), window=None, minimum=2)[:, 0]
    assert np.isnan(against[:2]).all()
    assert against[5] == pytest.approx((0.9 - 0.14) / np.std(calm[:5]))


def test_what_is_left_out_is_counted():
    signal = np.array([[0.5, 0.01, np.nan, 0.4], [0.5, 0.0, 0.0, 0.4]])
    tradable = np.array([[True, True, True, True], [True, True, True, False]])
    result = compare(signal, CrossSectionSettings(method="zscore"), tradable=tradable, sectors=None)
    np.testing.assert_allclose(result.values, [[1 / 3, 0, 0, -1 / 3], [0, 0, 0, 0]])
    assert result.counts == {"untradable": 1, "faint": 1, "incomparable": 1}
    history = compare(np.full((30, 2), 0.5), CrossSectionSettings(standardise="expanding"), tradable=None, sectors=None)
    assert not history.values.any()
    assert history.counts["short_history"] == 60


def test_symbols_without_news_take_from_sector_then_market():
    codes = group_codes(["A", "B", "C", "D", "E"], {"A": "oil", "B": "oil", "C": "banks", "D": "banks", "X": "oil"})
    assert codes.tolist() == [0, 0, 1, 1, -1]
    signal, own = np.array([[0.8, 0.0, 0.0, 0.0, 0.2]]), np.array([[True, False, False, False, True]])
    filled, counts = fill_from_groups(signal, own, codes, 0.5)
    np.testing.assert_allclose(filled, [[0.8, 0.4, 0.25, 0.25, 0.2]])
    assert counts == {"from_sector": 1, "from_market": 2, "without_news": 0}


def evidence_of(articles, chosen):
    row, column, net, sure = (np.asarray(values) for values in zip(*articles, strict=True))
    return collect(row, column, net, sure, shape=(6, 3), settings=chosen)


ARTICLES = [(0, 0, 0.9, 1.0), (1, 1, -0.5, 0.8), (4, 2, 0.3, 0.6), (4, 0, -0.7, 0.9)]


def test_by_default_the_signal_is_what_decay_returns():
    chosen = SignalSettings()
    evidence = evidence_of(ARTICLES, chosen.aggregation)
    result = to_signal(evidence, chosen, tradable=np.zeros((6, 3), dtype=bool), sectors=np.zeros(3, dtype=int))
    np.testing.assert_array_equal(result.values, decay(evidence, chosen.aggregation))
    assert result.counts == {}


@given(SETTINGS, st.floats(0, 1), st.integers(1, 6))
def test_the_whole_way_is_causal(chosen, weight, rows):
    whole = SignalSettings(AggregationSettings(), GroupSettings(weight=weight), chosen)
    codes = np.array([0, 0, 1])
    early = [article if article[0] < rows else (-1, -1, 0.0, 0.0) for article in ARTICLES]
    signal, cut = (
        to_signal(evidence_of(articles, whole.aggregation), whole, sectors=codes).values
        for articles in (ARTICLES, early)
    )
    np.testing.assert_array_equal(signal[:rows], cut[:rows])
    assert np.abs(signal).max() <= 1.0


def test_a_symbol_whose_news_has_faded_is_without_news():
    chosen = SignalSettings(AggregationSettings(half_life_bars=1.0), GroupSettings(weight=1.0, min_evidence=0.2))
    result = to_signal(evidence_of([(0, 0, 0.9, 1.0), (4, 1, -1.0, 1.0)], chosen.aggregation), chosen)
    own = decay(evidence_of([(0, 0, 0.9, 1.0), (4, 1, -1.0, 1.0)], chosen.aggregation), chosen.aggregation)
    np.testing.assert_array_equal(result.values[:3, 1], own[:3, 0])
    assert result.values[4, 0] == own[4, 1] < 0


@pytest.mark.parametrize(
    "bad",
    [
        {"min_signal": 1.0},
        {"standardise": "full"},
        {"standardise": "rolling", "window": 5},
        {"minimum": 1},
        {"winsorise": 0.5},
        {"method": "z"},
        {"limit": 0.0},
        {"neutral": "beta"},
    ],
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError, match=list(bad)[-1]):
        CrossSectionSettings(**bad)


@pytest.mark.parametrize("bad", [{"weight": 1.5}, {"min_evidence": float("nan")}])
def test_group_settings_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        GroupSettings(**bad)


def test_what_cannot_be_compared_is_refused():
    signal = np.zeros((2, 3))
    with pytest.raises(ConfigError, match="needs the sectors"):
        compare(signal, CrossSectionSettings(neutral="sector"), tradable=None, sectors=None)
    with pytest.raises(DataError, match="row 1, column 2 is infinite"):
        compare(np.array([[0, 0, 0], [0, 0, np.inf]]), CrossSectionSettings(), tradable=None, sectors=None)
    with pytest.raises(DataError, match=r"tradable \(3, 2\)"):
        compare(signal, CrossSectionSettings(), tradable=np.ones((3, 2), dtype=bool), sectors=None)
    with pytest.raises(DataError, match="2 codes for 3 symbols"):
        fill_from_groups(signal, signal > 0, np.array([0, 1]), 1.0)
