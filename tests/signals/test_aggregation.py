import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_loaders.errors import ConfigError, DataError
from signals.aggregation import AggregationSettings, collect, decay, signal_frame

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


@settings(max_examples=150, deadline=None)
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


def test_taking_rows_in_another_order_moves_the_evidence():
    chosen = AggregationSettings(half_life_bars=0.0)
    evidence = gather([(0, 0, 1.0, 1.0), (5, 2, -1.0, 0.5)], chosen)
    order = np.random.default_rng(0).permutation(SHAPE[0])
    np.testing.assert_array_equal(decay(evidence.take(order), chosen), decay(evidence, chosen)[order])
    np.testing.assert_array_equal(decay(evidence.take(np.arange(12)), chosen), decay(evidence, chosen))


def test_the_frame_is_labelled():
    chosen = AggregationSettings()
    bars = pd.date_range("2020-01-01", periods=12, tz="UTC", unit="us")
    frame = signal_frame(gather([(0, 0, 1.0, 1.0)], chosen), chosen, open_at=bars, symbols=["A", "B", "C"])
    assert frame.index.equals(bars)
    assert list(frame.columns) == ["A", "B", "C"]
    assert frame.loc[bars[0], "A"] == pytest.approx(1 / 1.5)


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
    "bad", [{"threshold": 1.1}, {"half_life_bars": -1}, {"shrinkage": float("inf")}, {"min_articles": 0}]
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        AggregationSettings(**bad)
