import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from data_loaders.errors import ConfigError, DataError
from signals.weights import WeightSettings, to_weights, tradable_mask, weights_array

SHAPE = (8, 5)
SIGNALS = hnp.arrays(float, SHAPE, elements=st.one_of(st.just(0.0), st.floats(-1, 1)))
MASKS = hnp.arrays(bool, SHAPE)


@st.composite
def choices(draw):
    neutral = draw(st.booleans())
    return WeightSettings(
        method=draw(st.sampled_from(["proportional", "sign", "top_bottom"])),
        gross=draw(st.floats(0.05, 1.0)),
        cap=draw(st.floats(0.01, 1.0)),
        neutral=neutral,
        long_only=False if neutral else draw(st.booleans()),
        band=draw(st.sampled_from([0.0, 0.02, 0.2])),
        k=draw(st.integers(1, 7)),
        min_signal=draw(st.sampled_from([0.0, 0.1])),
    )


@settings(max_examples=200, deadline=None)
@given(SIGNALS, MASKS, choices())
def test_every_promise_holds(signal, tradable, chosen):
    weights = weights_array(signal, tradable, chosen)
    assert np.isfinite(weights).all()
    assert np.abs(weights).sum(axis=1).max() <= chosen.gross + 1e-12
    assert np.abs(weights).max() <= chosen.cap + 1e-12
    assert (weights[~tradable] == 0).all()
    assert (weights[np.abs(signal) < chosen.min_signal] == 0).all()
    if chosen.long_only:
        assert (weights >= 0).all()
    if chosen.neutral and chosen.band == 0:
        assert np.abs(weights.sum(axis=1)).max() <= 1e-12
    if not chosen.neutral:
        assert (weights * signal >= 0).all() or chosen.band > 0


@settings(max_examples=100, deadline=None)
@given(SIGNALS, MASKS, choices(), st.integers(0, 7), st.integers(0, 2**32 - 1))
def test_rows_depend_on_the_past_only(signal, tradable, chosen, t, seed):
    other = signal.copy()
    other[t + 1 :] = np.random.default_rng(seed).uniform(-1, 1, other[t + 1 :].shape)
    before, after = weights_array(signal, tradable, chosen), weights_array(other, tradable, chosen)
    np.testing.assert_array_equal(before[: t + 1], after[: t + 1])


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(float, SHAPE, elements=st.floats(-1, 1), unique=True), choices(), st.permutations(range(5)))
def test_the_order_of_the_symbols_does_not_matter(signal, chosen, order):
    np.testing.assert_allclose(
        weights_array(signal[:, order], None, chosen), weights_array(signal, None, chosen)[:, order], atol=1e-12
    )


def test_demeaning_breaks_no_rank():
    chosen = WeightSettings(method="top_bottom", k=1, cap=1.0, min_signal=0.0, neutral=True)
    np.testing.assert_allclose(weights_array(np.array([[1e-150, 2e-150, -0.5]]), None, chosen), [[0, 0.5, -0.5]])


def test_proportional_uses_the_full_gross_only_with_enough_conviction():
    chosen = WeightSettings(gross=0.8, cap=1.0, min_signal=0.0)
    weights = weights_array(np.array([[0.5, 0.0, 0.0], [1.0, -1.0, 0.0], [0.2, -0.1, 0.1]]), None, chosen)
    np.testing.assert_allclose(weights, [[0.4, 0, 0], [0.4, -0.4, 0], [0.16, -0.08, 0.08]])


def test_sign_and_extremes():
    signal = np.array([[0.9, 0.5, 0.1, -0.3, -0.8]])
    np.testing.assert_allclose(
        weights_array(signal, None, WeightSettings(method="sign", cap=1.0)), [[0.2, 0.2, 0.2, -0.2, -0.2]]
    )
    np.testing.assert_allclose(
        weights_array(signal, None, WeightSettings(method="top_bottom", k=1, cap=1.0)), [[0.5, 0, 0, 0, -0.5]]
    )


def test_neutral_demeans_over_the_symbols_with_a_signal():
    chosen = WeightSettings(neutral=True, cap=1.0)
    weights = weights_array(np.array([[0.6, 0.2, 0.0, 0.0], [0.5, 0.0, 0.0, 0.0]]), None, chosen)
    np.testing.assert_allclose(weights, [[0.2, -0.2, 0, 0], [0, 0, 0, 0]], atol=1e-15)


def test_capping_one_side_shrinks_the_other_when_neutral():
    chosen = WeightSettings(neutral=True, cap=0.2)
    weights = weights_array(np.array([[1.0, -0.5, -0.5, -0.5]]), None, chosen)
    assert weights[0, 0] == pytest.approx(0.2)
    assert weights.sum() == pytest.approx(0.0)


def test_the_band_keeps_small_moves_still_but_never_an_exit():
    chosen = WeightSettings(cap=1.0, band=0.1, min_signal=0.0)
    weights = weights_array(np.array([[0.50], [0.55], [0.59], [0.61], [0.05], [0.0]]), None, chosen)
    np.testing.assert_allclose(weights[:, 0], [0.5, 0.5, 0.5, 0.61, 0.05, 0.0])


def test_the_mask_knows_only_closed_bars():
    bars = pd.date_range("2020-01-01", periods=4, tz="UTC", unit="us")
    close = pd.DataFrame({"A": [1.0, np.nan, 1.0, 1.0], "B": [1.0, 1.0, 1.0, np.nan]}, index=bars)
    mask = tradable_mask(close, np.array([-1, 0, 1, 2]))
    assert mask["A"].tolist() == [False, True, False, True]
    assert mask["B"].tolist() == [False, True, True, True]
    with pytest.raises(DataError, match="4 bars but 2"):
        tradable_mask(close, np.array([0, 1]))


def test_labels_are_kept_and_must_agree():
    bars = pd.date_range("2020-01-01", periods=2, tz="UTC", unit="us")
    signal = pd.DataFrame({"A": [0.5, 0.5], "B": [0.0, -0.5]}, index=bars)
    weights = to_weights(signal, signal.notna(), WeightSettings())
    assert weights.index.equals(bars)
    assert list(weights.columns) == ["A", "B"]
    with pytest.raises(DataError, match="different bars or symbols"):
        to_weights(signal, signal.notna()[["B", "A"]], WeightSettings())


def test_missing_signals_are_refused():
    with pytest.raises(DataError, match="row 0, column 1"):
        weights_array(np.array([[0.1, np.nan]]), None, WeightSettings())
    with pytest.raises(DataError, match="tradable"):
        weights_array(np.zeros((2, 2)), np.ones((1, 2), dtype=bool), WeightSettings())


@pytest.mark.parametrize(
    "bad",
    [
        {"gross": 1.5},
        {"gross": 0.0},
        {"cap": 0.0},
        {"band": -0.1},
        {"k": 0},
        {"min_signal": 1.0},
        {"method": "magic"},
        {"neutral": True, "long_only": True},
    ],
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        WeightSettings(**bad)
