"""The compiled pass makes of rearranged evidence what the plain path makes of it, to the last bit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from embargo.signals import (
    AggregationSettings,
    CrossSectionSettings,
    Evidence,
    GroupSettings,
    SignalSettings,
    WeightSettings,
    to_signal,
    weights_array,
)
from embargo.signals.compiled import added
from embargo.signals.rearranged import has_pass, weights_pass

SEED = 7_300_100


def evidence_of(rng, bars, symbols, density):
    weight = np.where(rng.random((bars, symbols)) < density, rng.random((bars, symbols)), 0.0)
    count = (weight > 0).astype(np.int64)
    return Evidence(weight * rng.uniform(-1.0, 1.0, (bars, symbols)), weight, count, counts={})


def plain(evidence, signal, weights, tradable, gate, rows, columns, signs):
    panel = to_signal(evidence.rearranged(rows, columns, signs), signal, tradable=tradable)
    return weights_array(panel.values, tradable, weights, gate=gate)


WEIGHTS = st.builds(
    dict,
    method=st.sampled_from(["proportional", "sign"]),
    gross=st.sampled_from([1.0, 0.7]),
    cap=st.sampled_from([0.05, 0.3, 1.0]),
    side=st.sampled_from([{}, {"neutral": True}, {"long_only": True}]),
    band=st.sampled_from([0.0, 0.0, 0.01, 0.2]),
    net=st.sampled_from([None, None, 0.0, 0.3]),
    min_signal=st.sampled_from([0.0, 0.02, 0.3]),
)
SIGNALS = st.builds(
    AggregationSettings,
    half_life_bars=st.sampled_from([0.0, 0.5, 3.0, 200.0]),
    shrinkage=st.sampled_from([0.0, 0.5]),
    mode=st.sampled_from(["mean", "vote"]),
)
WIDE = {"side": {"neutral": True}, "cap": 0.1}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(1, 40),
    st.one_of(st.integers(1, 20), st.integers(100, 300)),
    st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    SIGNALS,
    WEIGHTS,
    st.booleans(),
    st.booleans(),
)
@example(1, 30, 88, 0.3, AggregationSettings(half_life_bars=5.0), WIDE, True, False)
@example(2, 30, 500, 0.3, AggregationSettings(), WIDE, False, True)
def test_weights_are_those_of_the_plain_path(seed, bars, symbols, density, heard, chosen, turned, gated):
    rng = np.random.default_rng([SEED, seed])
    chosen = dict(chosen)
    rules = WeightSettings(**chosen.pop("side"), **chosen)
    signal, evidence = SignalSettings(heard), evidence_of(rng, bars, symbols, density)
    # Panels that pandas hands over lie column after column.
    tradable = np.asfortranarray(rng.random((bars, symbols)) < 0.9)
    gate = rng.choice([0.0, 0.5, 1.0], bars) if gated else None
    moved = weights_pass(evidence, signal, rules, tradable=tradable, gate=gate)
    for _ in range(2):
        rows, columns = rng.permutation(bars), rng.permutation(symbols)
        signs = rng.choice(np.array([-1, 1], dtype=np.int8), (bars, symbols)) if turned else None
        found = moved(rows, columns, signs)
        assert np.array_equal(found, plain(evidence, signal, rules, tradable, gate, rows, columns, signs))
        # A second look must not find what the first one left.
        assert np.array_equal(found, moved(rows, columns, signs))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 700))
def test_a_row_is_added_up_in_the_order_of_numpy(seed, n):
    values = np.random.default_rng([SEED, seed]).normal(size=(2, n)) * 10.0 ** np.arange(2)[:, None]
    assert [added(row) for row in values] == values.sum(axis=1).tolist()


@pytest.mark.parametrize(
    ("signal", "weights"),
    [
        (SignalSettings(AggregationSettings(mode="sum")), WeightSettings()),
        (SignalSettings(AggregationSettings(holding_bars=3)), WeightSettings()),
        (SignalSettings(AggregationSettings(half_life_hours=3.0)), WeightSettings()),
        (SignalSettings(groups=GroupSettings(weight=0.5)), WeightSettings()),
        (SignalSettings(cross_section=CrossSectionSettings(method="rank")), WeightSettings()),
        (SignalSettings(), WeightSettings(method="top_bottom")),
        (SignalSettings(), WeightSettings(inverse_volatility=True)),
        (SignalSettings(), WeightSettings(target_volatility=0.1)),
    ],
)
def test_steps_that_are_not_compiled_have_no_pass(signal, weights):
    evidence = evidence_of(np.random.default_rng(SEED), 4, 3, 0.5)
    assert not has_pass(signal, weights)
    assert weights_pass(evidence, signal, weights, tradable=np.ones((4, 3), dtype=bool)) is None


def test_every_setting_is_either_compiled_or_refused():
    # A setting that is added must be thought of here too.
    heard = {"threshold", "half_life_bars", "shrinkage", "min_articles", "mode", "hold", "scale"}
    assert set(AggregationSettings.__dataclass_fields__) == heard | {"half_life_hours", "holding_bars"}
    assert set(SignalSettings.__dataclass_fields__) == {"aggregation", "groups", "cross_section"}
    compiled = {"method", "gross", "cap", "neutral", "long_only", "band", "min_signal", "net"}
    refused = {"k", "leverage", "inverse_volatility", "target_volatility"}
    assert set(WeightSettings.__dataclass_fields__) == compiled | refused
    assert has_pass(SignalSettings(), replace(WeightSettings(), leverage=2.0, gross=2.0))
