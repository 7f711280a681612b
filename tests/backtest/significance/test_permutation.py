"""Permutation tests find what is there and no more, and each way of breaking the link breaks only that."""

import json
import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter

from embargo.backtest.significance import WAYS, block_permutation, permutation_test, possible, rearrangement
from embargo.data_loaders.errors import ConfigError, DataError


def shuffled(statistic, n, *, block, draws, seed, progress=None):
    return permutation_test(
        statistic,
        partial(block_permutation, n, block),
        observed=statistic(np.arange(n)),
        block=block,
        n_permutations=draws,
        seed=seed,
        progress=progress,
    )


@given(st.integers(1, 100), st.integers(1, 120), st.integers(0, 10**6))
def test_a_block_permutation_moves_whole_blocks(n, block, seed):
    index = block_permutation(n, block, np.random.default_rng(seed))
    assert sorted(index) == list(range(n))
    breaks = np.count_nonzero(np.diff(index) % n != 1 % n) if n > 1 else 0
    assert breaks <= math.ceil(n / block) - 1


@given(st.sampled_from(WAYS), st.integers(1, 60), st.integers(1, 8), st.integers(1, 20), st.integers(0, 10**6))
def test_a_rearrangement_breaks_one_thing_and_keeps_the_others(way, bars, symbols, block, seed):
    if not possible(way, (bars, symbols), block):
        with pytest.raises(ConfigError, match=way):
            rearrangement(way, (bars, symbols), block, np.random.default_rng(seed))
        return
    drawn = rearrangement(way, (bars, symbols), block, np.random.default_rng(seed))
    assert sorted(drawn.rows) == list(range(bars))
    assert sorted(drawn.columns) == list(range(symbols))
    assert (drawn.rows == np.arange(bars)).all() or way in ("dates", "shift")
    assert (drawn.columns == np.arange(symbols)).all() or way == "symbols"
    assert (drawn.signs is not None) == (way == "signs")
    if way == "shift":
        assert ((np.arange(bars) - drawn.rows) % bars == (-drawn.rows[0]) % bars).all()
    if drawn.signs is not None:
        assert drawn.signs.shape == (bars, symbols)
        assert set(np.unique(drawn.signs)) <= {-1, 1}
        # Within a symbol, signs turn at most at the borders of blocks.
        assert (np.count_nonzero(np.diff(drawn.signs, axis=0), axis=0) <= math.ceil(bars / block)).all()


def test_ways_reach_every_arrangement():
    rng = np.random.default_rng(0)
    shifts = {int(rearrangement("shift", (10, 5), 3, rng).rows[0]) for _ in range(200)}
    assert shifts == set(range(10))
    signs = np.stack([rearrangement("signs", (40, 3), 4, rng).signs for _ in range(500)])
    assert np.abs(signs.mean(axis=0)).max() < 0.25
    moved = np.stack([rearrangement("symbols", (3, 5), 1, rng).columns for _ in range(300)])
    assert all(set(moved[:, place]) == set(range(5)) for place in range(5))


def test_permutation_finds_a_planted_link_and_only_that():
    rng = np.random.default_rng(0)
    signal, noise = rng.normal(size=300), rng.normal(size=300)
    linked = 0.5 * signal + noise

    def test(outcome):
        return shuffled(lambda index: float(signal[index] @ outcome), 300, block=5, draws=199, seed=1)

    found = test(linked)
    assert found.p_value == 1 / 200
    assert found.observed == pytest.approx(signal @ linked)
    assert abs(found.null_mean) < 4 * found.null_sd / math.sqrt(199)
    assert test(noise).p_value > 0.05
    json.dumps(found.as_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("way", "planted"), [("dates", "timing"), ("shift", "timing"), ("symbols", "selection"), ("signs", "direction")]
)
def test_each_way_finds_what_it_breaks(way, planted):
    """Evidence that knows when, about whom or which way: the way that breaks it must notice, the others need not."""
    rng = np.random.default_rng(3)
    bars, symbols = 240, 12
    everyone = np.ones((bars, symbols))
    known = {
        "timing": rng.normal(size=(bars, 1)) * everyone,
        "selection": rng.normal(size=(1, symbols)) * everyone,
        "direction": rng.choice([-1.0, 1.0], size=(bars, symbols)),
    }[planted]
    returns = 0.3 * known + rng.normal(size=(bars, symbols))

    def earned(drawn):
        moved = known[np.ix_(drawn.rows, drawn.columns)]
        return float(((moved if drawn.signs is None else moved * drawn.signs) * returns).mean())

    result = permutation_test(
        earned,
        partial(rearrangement, way, (bars, symbols), 5),
        observed=float((known * returns).mean()),
        block=5,
        n_permutations=199,
        seed=0,
    )
    # Only shifts come back to the truth now and then: one in 240 turns nothing.
    assert result.p_value <= 0.02 if way == "shift" else result.p_value == 1 / 200


def test_who_is_meant_does_not_matter_to_evidence_about_all():
    """A market-timing signal says the same of every symbol, so exchanging symbols is not significant."""
    rng = np.random.default_rng(4)
    known = rng.normal(size=(100, 1)) * np.ones((100, 6))
    returns = known + rng.normal(size=(100, 6))
    result = permutation_test(
        lambda drawn: float((known[np.ix_(drawn.rows, drawn.columns)] * returns).mean()),
        partial(rearrangement, "symbols", (100, 6), 5),
        observed=float((known * returns).mean()),
        block=5,
        n_permutations=99,
        seed=0,
    )
    assert result.p_value == 1.0


def test_a_statistic_that_ignores_the_order_is_never_significant():
    result = shuffled(lambda index: float(index.sum()), 50, block=5, draws=50, seed=0)
    assert result.p_value == 1.0
    empty = shuffled(lambda index: 0.0, 50, block=5, draws=50, seed=0)
    assert (empty.p_value, empty.null_sd) == (1.0, 0.0)


def test_permutation_reports_progress_and_refuses_nonsense():
    calls = []
    shuffled(lambda index: 0.0, 5, block=1, draws=3, seed=0, progress=lambda *done: calls.append(done))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(DataError, match="finite"):
        shuffled(lambda index: math.nan, 5, block=1, draws=3, seed=0)
    with pytest.raises(ConfigError, match="n_permutations"):
        shuffled(lambda index: 0.0, 5, block=1, draws=0, seed=0)
    with pytest.raises(ConfigError, match="block"):
        block_permutation(5, 0, np.random.default_rng(0))


def test_shifts_keep_their_size_where_a_signal_remembers_long_beside_its_sample():
    """Without the short distances, this test rejects 20 % of true nulls."""
    rng, bars, rejected = np.random.default_rng(22), 100, 0
    for _ in range(500):
        signal = lfilter([1.0], [1.0, -(0.5**0.1)], rng.normal(size=400))[-bars:]
        outcome = rng.normal(size=bars)
        turned = np.fft.irfft(np.conj(np.fft.rfft(outcome)) * np.fft.rfft(signal), bars)
        result = permutation_test(
            lambda drawn, turned=turned: float(turned[drawn.rows[0]]),
            partial(rearrangement, "shift", (bars, 1), 40),
            observed=float(signal @ outcome),
            block=40,
            n_permutations=99,
            seed=rng,
        )
        rejected += result.p_value <= 0.05
    assert 0.01 < rejected / 500 < 0.08


@pytest.mark.slow
def test_size_of_the_permutation_test_with_a_persistent_signal():
    rng = np.random.default_rng(21)
    rejected = 0
    for _ in range(400):
        signal = lfilter([1.0], [1.0, -0.7], rng.normal(size=400))
        outcome = rng.normal(size=400)
        result = shuffled(lambda index, s=signal, o=outcome: float(s[index] @ o), 400, block=20, draws=99, seed=rng)
        rejected += result.p_value <= 0.05
    print("permutation test rejects", rejected / 400)
    assert 0.02 < rejected / 400 < 0.085
