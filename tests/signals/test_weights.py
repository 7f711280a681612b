from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.signals.weights import (
    WeightSettings,
    book_volatility,
    regime_gate,
    to_weights,
    tradable_mask,
    trailing_risk,
    weights_array,
)

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


@settings(max_examples=80, deadline=None)
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


@settings(max_examples=60, deadline=None)
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
        {"leverage": 0.5},
        {"gross": 2.5, "leverage": 2.0},
        {"cap": 1.5},
        {"net": -0.1},
        {"target_volatility": 0.0},
    ],
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        WeightSettings(**bad)


BARS = pd.date_range("2020-01-01", periods=60, freq="D", tz="UTC", unit="us")
LAST = np.arange(60) - 1


def prices(seed: int = 0, columns: int = 5, daily: float = 0.01, present: np.ndarray | None = None) -> pd.DataFrame:
    steps = np.random.default_rng(seed).normal(0.0, daily * (1 + np.arange(columns)), (60, columns))
    values = 100.0 * np.exp(steps.cumsum(axis=0))
    return pd.DataFrame(values if present is None else np.where(present, values, np.nan), index=BARS)


def risk_of(close: pd.DataFrame, rows: slice = slice(None), **settings):
    chosen = {"half_life": 5.0, "warm_up": 3, "periods_per_year": 252.0} | settings
    return trailing_risk(close, LAST, **chosen).rows(rows)


@st.composite
def whole_books(draw):
    chosen = draw(choices())
    leverage = draw(st.sampled_from([1.0, 1.5, 3.0]))
    return replace(
        chosen,
        leverage=leverage,
        gross=chosen.gross * leverage,
        cap=chosen.cap * leverage,
        net=draw(st.sampled_from([None, 0.0, 0.1, 0.8])),
        inverse_volatility=draw(st.booleans()),
        target_volatility=draw(st.sampled_from([None, 0.05, 0.5, 20.0])),
    )


GATES = hnp.arrays(float, SHAPE[0], elements=st.sampled_from([0.0, 0.5, 1.0]))
HOLES = hnp.arrays(bool, (60, 5), elements=st.integers(0, 9).map(bool))


@settings(max_examples=60, deadline=None)
@given(SIGNALS, MASKS, whole_books(), HOLES, GATES)
def test_every_promise_holds_with_risk_leverage_and_gate(signal, tradable, chosen, present, gate):
    risk = risk_of(prices(present=present), slice(20, 28))
    weights = weights_array(signal, tradable, chosen, risk=risk, gate=gate)
    assert np.isfinite(weights).all()
    assert np.abs(weights).sum(axis=1).max() <= chosen.gross * (1 + 1e-12)
    assert np.abs(weights).max() <= chosen.cap * (1 + 1e-12)
    if chosen.net is not None:
        assert np.abs(weights.sum(axis=1)).max() <= chosen.net + 1e-9
    assert (weights[~tradable] == 0).all()
    assert (weights[gate == 0.0] == 0).all()
    if chosen.needs_risk:
        assert (weights[~np.isfinite(risk.volatility)] == 0).all()
    if chosen.target_volatility is not None and chosen.band == 0.0:
        assert book_volatility(weights, risk).max() <= chosen.target_volatility * (1 + 1e-9)
    if chosen.long_only:
        assert (weights >= 0).all()


@settings(max_examples=80, deadline=None)
@given(SIGNALS, whole_books(), st.integers(0, 7), st.integers(0, 2**32 - 1))
def test_risk_depends_on_closed_bars_only(signal, chosen, t, seed):
    close = prices()
    other = close.copy()
    rows = slice(20, 28)
    # Row 20 + t knows the bars up to 20 + t - 1.
    other.iloc[20 + t :] *= np.random.default_rng(seed).uniform(0.5, 2.0, other.iloc[20 + t :].shape)
    before = weights_array(signal, None, chosen, risk=risk_of(close, rows))
    after = weights_array(signal, None, chosen, risk=risk_of(other, rows))
    np.testing.assert_array_equal(before[: t + 1], after[: t + 1])


@pytest.mark.parametrize("half_life", [2.0, 5.0])
def test_risk_is_the_weighted_second_moment(half_life):
    close = prices()
    risk = risk_of(close, half_life=half_life)
    returns = close.pct_change().to_numpy()[1:40]
    fade = 0.5 ** (np.arange(len(returns))[::-1] / half_life)
    covariance = (returns * fade[:, None]).T @ returns / fade.sum() * 252.0
    book = np.array([0.3, -0.2, 0.1, 0.0, 0.4])
    panel = np.zeros((60, 5))
    panel[40] = book
    np.testing.assert_allclose(risk.volatility[40], np.sqrt(np.diag(covariance)))
    np.testing.assert_allclose(book_volatility(panel, risk)[40], np.sqrt(book @ covariance @ book), rtol=1e-3)


def test_a_book_of_one_symbol_has_its_volatility_however_young():
    present = np.ones((60, 5), dtype=bool)
    present[:30, 1] = False
    present[33:36, 2] = False
    risk = risk_of(prices(present=present))
    for column in range(5):
        panel = np.zeros((60, 5))
        panel[45, column] = -0.5
        np.testing.assert_allclose(book_volatility(panel, risk)[45], 0.5 * risk.volatility[45, column], rtol=2e-3)
    # Bars 30 to 32 give the two returns known at row 33; three are needed.
    assert np.isnan(risk.volatility[33, 1])
    assert np.isfinite(risk.volatility[34, 1])


def test_the_target_is_hit_unless_a_limit_is_in_the_way():
    signal = np.tile([0.5, -0.2, 0.1, 0.0, 0.4], (60, 1))
    risk = risk_of(prices())
    free = WeightSettings(leverage=10, gross=10, cap=10, target_volatility=0.2)
    expected = book_volatility(weights_array(signal, None, free, risk=risk), risk)
    np.testing.assert_allclose(expected[4:], 0.2)
    assert (expected[:4] == 0.0).all()
    tight = replace(free, leverage=1, gross=0.5, cap=0.3, target_volatility=20.0)
    weights = weights_array(signal, None, tight, risk=risk)[10:]
    used = np.maximum(np.abs(weights).sum(axis=1) / 0.5, np.abs(weights).max(axis=1) / 0.3)
    np.testing.assert_allclose(used, 1.0)


def test_equal_signals_carry_equal_risk_and_a_lone_one_keeps_its_size():
    risk = risk_of(prices())
    signal = np.zeros((60, 5))
    signal[:, :3] = 0.8
    signal[50, 1:] = 0.0
    weights = weights_array(signal, None, WeightSettings(inverse_volatility=True, cap=1.0), risk=risk)
    carried = (weights * risk.volatility)[40, :3]
    np.testing.assert_allclose(carried, carried[0])
    assert weights[40].sum() == pytest.approx(1.0)
    assert weights[50, 0] == pytest.approx(0.8)


def test_the_net_cap_scales_the_larger_side_only():
    chosen = WeightSettings(cap=1.0, net=0.1, min_signal=0.0)
    np.testing.assert_allclose(weights_array(np.array([[0.4, 0.2, -0.2]]), None, chosen), [[0.2, 0.1, -0.2]])
    np.testing.assert_allclose(weights_array(np.array([[0.1, 0.0, -0.6]]), None, chosen), [[0.1, 0.0, -0.2]])


def test_leverage_allows_a_gross_above_1():
    chosen = WeightSettings(leverage=2.0, gross=2.0, cap=1.5, method="sign")
    np.testing.assert_allclose(weights_array(np.array([[0.9, -0.9]]), None, chosen), [[1.0, -1.0]])


def test_the_gate_names_regimes():
    labels = pd.Series(["calm", "turbulent", "unlabelled", "turbulent"], index=BARS[:4])
    gate = regime_gate(labels, {"turbulent": 0.5, "unlabelled": 0.0})
    assert gate.tolist() == [1.0, 0.5, 0.0, 0.5]
    signal = pd.DataFrame(0.4, index=BARS[:4], columns=["A"])
    weights = to_weights(signal, None, WeightSettings(cap=1.0), gate=gate)
    np.testing.assert_allclose(weights["A"], [0.4, 0.2, 0.0, 0.2])
    with pytest.raises(ConfigError, match="turbulent"):
        regime_gate(labels, {"turbulent": 1.5})
    with pytest.raises(DataError, match="no label"):
        regime_gate(labels.where(labels != "calm"), {})
    with pytest.raises(DataError, match="signal and gate"):
        to_weights(signal, None, WeightSettings(), gate=gate.iloc[1:])
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        weights_array(signal.to_numpy(), None, WeightSettings(), gate=np.full(4, 2.0))


def test_risk_that_is_missing_or_of_other_rows_is_refused():
    wanted = WeightSettings(target_volatility=0.1)
    with pytest.raises(ConfigError, match="trailing_risk"):
        weights_array(np.zeros((3, 5)), None, wanted)
    with pytest.raises(DataError, match="risk"):
        weights_array(np.zeros((3, 5)), None, wanted, risk=risk_of(prices()))
    with pytest.raises(DataError, match="row 0 claims"):
        trailing_risk(prices(), np.arange(60), periods_per_year=252.0)
    with pytest.raises(ConfigError, match="half_life"):
        risk_of(prices(), half_life=0.0)
