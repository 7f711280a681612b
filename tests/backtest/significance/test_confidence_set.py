import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.backtest.significance import confidence_set
from embargo.backtest.significance.confidence_set import model_confidence_set
from embargo.data_loaders.errors import ConfigError, DataError

BLOCK = 5


def losses_of(seed, n=150, models=9, gap=0.5):
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(n, models)) * rng.uniform(0.5, 2.0, models)
    return rng.normal(size=(n, 1)) + own + np.linspace(0.0, gap, models)[rng.permutation(models)]


def rows_of_arch(n, n_boot, seed):
    from arch.bootstrap import StationaryBootstrap

    drawn = StationaryBootstrap(BLOCK, np.arange(n), seed=seed).bootstrap(n_boot)
    return np.array([position[0] for position, _ in drawn])


@pytest.mark.parametrize("method", ["range", "max"])
@pytest.mark.parametrize("seed", range(5))
def test_p_values_and_order_equal_those_of_arch_given_the_same_resamples(method, seed):
    from arch.bootstrap import MCS

    losses = losses_of(seed, gap=0.3 * seed)
    peer = MCS(losses, 0.1, reps=250, block_size=BLOCK, method="R" if method == "range" else "max", seed=seed)
    peer.compute()
    found = model_confidence_set(
        losses, level=0.1, method=method, block=BLOCK, seed=0, resamples=rows_of_arch(len(losses), 250, seed)
    )
    assert list(found.eliminated) == list(peer.pvalues.index)
    theirs = peer.pvalues["Pvalue"].to_numpy()
    # A p-value counts the sample itself; the last model has 1 in both.
    np.testing.assert_allclose(found.p_values[found.eliminated[:-1]], (1.0 + 250 * theirs[:-1]) / 251)
    assert found.p_values[found.eliminated[-1]] == theirs[-1] == 1.0
    assert list(np.flatnonzero(found.included)) == peer.included


@given(st.integers(0, 10**6), st.sampled_from(["range", "max"]), st.integers(2, 7))
def test_the_set_is_never_empty_and_does_not_depend_on_units_or_order(seed, method, models):
    rng = np.random.default_rng(seed)
    losses = losses_of(seed, 60, models)
    options = {"method": method, "block": 3.0, "seed": 0, "resamples": rng.integers(0, 60, (120, 60))}
    found = model_confidence_set(losses, **options)
    assert sorted(found.eliminated) == list(range(models))
    assert found.included[found.eliminated[-1]]
    assert found.p_values.max() == 1.0
    assert (np.diff(found.p_values[found.eliminated]) >= 0.0).all()
    order = rng.permutation(models)
    again = model_confidence_set(7.0 * losses[:, order] + losses[:, :1], **options)
    np.testing.assert_array_equal(
        again.p_values, model_confidence_set(7.0 * losses + losses[:, :1], **options).p_values[order]
    )
    shifted = model_confidence_set(3.0 * losses - 5.0, **options)
    np.testing.assert_array_equal(shifted.p_values, found.p_values)


@pytest.mark.parametrize("method", ["range", "max"])
def test_much_worse_models_leave_the_set_and_equal_ones_stay(method):
    rng = np.random.default_rng(1)
    losses = rng.normal(size=(500, 6)) + np.array([0.0, 0.0, 0.0, 0.5, 0.9, 1.3])
    found = model_confidence_set(losses, method=method, seed=2)
    assert list(found.included) == [True, True, True, False, False, False]
    assert list(found.eliminated[:3]) == [5, 4, 3]


@pytest.mark.parametrize("method", ["range", "max"])
def test_twins_and_models_a_constant_apart(method):
    """Twins cannot be told apart; a constant difference needs no resampling to be seen."""
    one = np.random.default_rng(3).normal(size=(100, 1))
    losses = np.hstack([one, one, one + 0.5])
    found = model_confidence_set(losses, method=method, n_boot=200, seed=0)
    assert list(found.included) == [True, True, False]
    assert found.p_values[2] == pytest.approx(1 / 201)
    assert (found.p_values[:2] == 1.0).all()


def test_memory_is_bounded_by_steps_without_a_change_of_results(monkeypatch):
    losses = losses_of(4)
    whole = model_confidence_set(losses, block=BLOCK, seed=5)
    monkeypatch.setattr(confidence_set, "_CELLS_PER_STEP", 40)
    np.testing.assert_array_equal(model_confidence_set(losses, block=BLOCK, seed=5).p_values, whole.p_values)


def test_what_makes_no_set_is_refused():
    losses = losses_of(0)
    with pytest.raises(ConfigError, match="method"):
        model_confidence_set(losses, method="R", seed=0)
    with pytest.raises(ConfigError, match="level"):
        model_confidence_set(losses, level=0.0, seed=0)
    with pytest.raises(DataError, match="two models"):
        model_confidence_set(losses[:, :1], seed=0)
    losses[2, 3] = np.nan
    with pytest.raises(DataError, match="row 2 of column 3"):
        model_confidence_set(losses, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("method", ["range", "max"])
def test_the_best_model_is_in_the_set_as_often_as_promised(method):
    rng = np.random.default_rng(6)
    draws, kept, all_kept = 500, 0, 0
    for _ in range(draws):
        losses = rng.normal(size=(300, 1)) + rng.normal(size=(300, 8)) + np.array([0, 0, 0, 0, 0.3, 0.3, 0.6, 0.6])
        found = model_confidence_set(losses, method=method, n_boot=399, seed=rng)
        kept += bool(found.included[0])
        all_kept += bool(found.included[:4].all())
    print(f"{method}: the best is kept in {kept / draws:.3f}, all four equal ones in {all_kept / draws:.3f}")
    assert all_kept / draws > 0.92
    assert kept / draws > 0.95
