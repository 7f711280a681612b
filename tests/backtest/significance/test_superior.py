import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import superiority
from scipy.signal import lfilter

from embargo.backtest.significance import panels
from embargo.backtest.significance.panels import PanelResampling, bootstrap_variance, panel_block_length
from embargo.backtest.significance.superior import reality_check, stepwise_superior, superior_ability
from embargo.data_loaders.errors import ConfigError, DataError

BLOCK = 6


def strategies(seed, n=180, k=8, edge=0.0, worst=-0.3):
    """Correlated, serially dependent returns of very different volatility; the later columns are losers."""
    rng = np.random.default_rng(seed)
    noise = lfilter([1.0], [1.0, -0.2], rng.normal(size=(n, 1)) + rng.normal(size=(n, k)), axis=0)
    return (noise + np.linspace(edge, worst, k)) * rng.uniform(0.003, 0.03, k)


def resampled(n, n_boot=199, seed=3):
    """Row numbers exactly as arch draws them with this seed."""
    from arch.bootstrap import StationaryBootstrap

    drawn = StationaryBootstrap(BLOCK, np.arange(n), seed=seed).bootstrap(n_boot)
    return np.array([position[0] for position, _ in drawn])


def of_arch(excess, n_boot=199, seed=3):
    from arch.bootstrap import SPA

    peer = SPA(np.zeros(len(excess)), -excess, block_size=BLOCK, reps=n_boot, seed=seed)
    peer.compute()
    return peer.pvalues[["lower", "consistent", "upper"]].to_numpy() * n_boot


def counts_of(found):
    """Resamples at least as extreme, from p-values that count the sample itself."""
    return [p * (1 + found.n_boot) - 1 for p in (found.p_lower, found.p_value, found.p_upper)]


@pytest.mark.parametrize("seed", range(6))
def test_p_values_equal_those_of_arch_given_the_same_resamples(seed):
    excess = strategies(seed, edge=0.1 * (seed % 3))
    found = superior_ability(
        excess, studentize=False, prewhiten=False, block=BLOCK, seed=0, resamples=resampled(len(excess))
    )
    assert counts_of(found) == pytest.approx(of_arch(excess))
    assert found.n_boot == 199
    assert found.p_lower < found.p_upper


@pytest.mark.parametrize("seed", range(4))
def test_studentised_p_values_equal_those_of_arch_for_columns_of_one_standard_error(seed):
    """Version 8 of arch takes the argument ``studentize`` and ignores it, so its columns are scaled here."""
    excess = strategies(seed, edge=0.15)
    error = np.sqrt(bootstrap_variance(excess - excess.mean(axis=0), BLOCK))
    found = superior_ability(excess, prewhiten=False, block=BLOCK, seed=0, resamples=resampled(len(excess)))
    assert counts_of(found) == pytest.approx(of_arch(excess / error))
    assert counts_of(found) != pytest.approx(of_arch(excess))


@settings(max_examples=12)
@given(st.integers(0, 10**6), st.booleans(), st.booleans(), st.sampled_from([31, 40]), st.integers(1, 6))
def test_the_slow_recomputation_agrees(seed, studentize, prewhiten, n, k):
    excess = strategies(seed, n, k, edge=0.4)
    resamples = np.random.default_rng(seed).integers(0, n, (30, n))
    options = {"studentize": studentize, "prewhiten": prewhiten}
    slow = superiority.superior(excess.T.tolist(), resamples.tolist(), 3.0, **options)
    fast = superior_ability(excess, block=3.0, seed=0, resamples=resamples, **options)
    assert fast.statistic == pytest.approx(slow["statistic"])
    assert (fast.p_lower, fast.p_value, fast.p_upper) == pytest.approx(
        (slow["lower"], slow["consistent"], slow["upper"])
    )
    stepwise = stepwise_superior(excess, block=3.0, seed=0, resamples=resamples, **options)
    np.testing.assert_allclose(stepwise.p_values, slow["adjusted"])


@pytest.mark.parametrize("seed", range(8))
def test_stepwise_finds_what_arch_finds(seed):
    from arch.bootstrap import StepM

    excess = strategies(seed, k=12, edge=0.45)
    excess /= np.sqrt(bootstrap_variance(excess - excess.mean(axis=0), BLOCK))
    peer = StepM(np.zeros(len(excess)), -excess, size=0.05, block_size=BLOCK, reps=999, seed=seed)
    peer.compute()
    options = {"prewhiten": False, "block": BLOCK, "seed": 0, "resamples": resampled(len(excess), 999, seed)}
    found = stepwise_superior(excess, **options)
    assert list(np.flatnonzero(found.superior)) == [int(column) for column in peer.superior_models]
    assert 0 < found.superior.sum() < 12
    assert found.p_values.min() == superior_ability(excess, **options).p_value


def test_a_step_finds_what_the_first_one_missed():
    """With many strong strategies out of the way, the rest compete with fewer and are found."""
    excess = np.random.default_rng(2).normal(size=(400, 40))
    excess -= excess.mean(axis=0)
    strong = np.arange(40) < 35
    excess += np.where(strong, 0.3, 0.13)
    assert stepwise_superior(excess, block=1.0, seed=1).superior.all()
    still_rivals = stepwise_superior(excess - np.where(strong, 0.3, 0.0), block=1.0, seed=1)
    assert not still_rivals.superior.any()


def test_a_calm_winner_among_wild_losers_needs_studentising():
    rng = np.random.default_rng(5)
    excess = rng.normal(0.0, 0.03, (504, 200))
    excess -= excess.mean(axis=0)
    excess[:, 0] = rng.normal(0.0008, 0.003, 504)
    found = superior_ability(excess, seed=1)
    assert (found.p_value < 0.01, found.best) == (True, 0)
    assert superior_ability(excess, seed=1, studentize=False).p_value > 0.5
    assert list(np.flatnonzero(stepwise_superior(excess, seed=1).superior)) == [0]


def test_the_reality_check_takes_everyone_to_be_as_good_as_the_benchmark():
    excess = strategies(3, edge=0.2)
    plain = superior_ability(excess, studentize=False, block=BLOCK, seed=4)
    assert reality_check(excess, block=BLOCK, seed=4) == plain.p_upper


@given(st.integers(0, 10**6), st.integers(1, 6), st.booleans())
def test_bounds_enclose_the_consistent_p_value(seed, k, studentize):
    found = superior_ability(strategies(seed, 60, k, edge=0.1), n_boot=100, studentize=studentize, seed=seed)
    assert 1 / 101 <= found.p_lower <= found.p_value <= found.p_upper <= 1.0
    assert 0 <= found.best < k
    json.dumps(found.as_dict(), allow_nan=False)


@given(st.integers(0, 10**6))
def test_units_order_and_copies_of_strategies_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    excess = strategies(seed, 80, 5, edge=0.2)
    options = {"block": 4.0, "seed": 0, "prewhiten": False, "resamples": rng.integers(0, 80, (120, 80))}
    found = superior_ability(excess, **options)
    order = rng.permutation(5)
    changed = superior_ability(
        np.hstack([excess * rng.uniform(0.1, 9.0, 5), excess])[:, np.append(order, 7)], **options
    )
    assert changed.p_value == found.p_value
    assert changed.statistic == pytest.approx(found.statistic)
    assert order[changed.best] == found.best if changed.best < 5 else found.best == 2
    stepwise = stepwise_superior(excess, **options)
    again = stepwise_superior(excess[:, order], **options)
    np.testing.assert_array_equal(again.p_values, stepwise.p_values[order])


def test_nobody_above_the_benchmark_is_no_evidence_at_all():
    excess = strategies(1, edge=-1.0, worst=-2.0)
    found = superior_ability(excess, seed=0)
    assert (found.statistic, found.p_value, found.p_upper) == (0.0, 1.0, 1.0)
    assert not stepwise_superior(excess, seed=0).superior.any()
    assert (stepwise_superior(excess, seed=0).p_values == 1.0).all()


def test_a_strategy_that_never_trades_counts_and_cannot_win():
    excess = strategies(2, edge=0.3)
    options = {"block": 4.0, "seed": 0, "resamples": np.random.default_rng(0).integers(0, 180, (200, 180))}
    padded = superior_ability(np.hstack([np.zeros((180, 1)), excess]), **options)
    plain = superior_ability(excess, **options)
    assert (padded.p_value, padded.strategies, padded.best) == (plain.p_value, plain.strategies + 1, plain.best + 1)
    assert stepwise_superior(np.hstack([np.zeros((180, 1)), excess]), **options).p_values[0] == 1.0
    with pytest.raises(DataError, match=r"column 0 is 0\.001 on every row"):
        superior_ability(np.hstack([np.full((180, 1), 0.001), excess]), **options)
    with pytest.raises(DataError, match="no column varies"):
        superior_ability(np.zeros((180, 3)), **options)


def test_one_series_is_a_family_of_one():
    excess = strategies(4, k=1, edge=0.2)
    assert superior_ability(excess[:, 0], seed=3) == superior_ability(excess, seed=3)


def test_memory_is_bounded_by_chunks_without_a_change_of_results(monkeypatch):
    excess = strategies(6, edge=0.2)
    options = {"block": BLOCK, "seed": 0, "resamples": resampled(len(excess))}
    whole = superior_ability(excess, **options), stepwise_superior(excess, **options)
    drawn = superior_ability(excess, block=BLOCK, seed=9)
    monkeypatch.setattr(panels, "_CELLS_PER_CHUNK", 1500)
    parts = superior_ability(excess, **options), stepwise_superior(excess, **options)
    assert parts[0] == whole[0]
    np.testing.assert_array_equal(parts[1].p_values, whole[1].p_values)
    assert superior_ability(excess, block=BLOCK, seed=9).p_value == pytest.approx(drawn.p_value, abs=0.05)
    sizes = [len(counts) for counts in PanelResampling(50, 100, 3.0, np.random.default_rng(0), None).counts(10)]
    assert max(sizes) <= 1500 // 110
    assert sum(sizes) == 100


@given(st.integers(2, 60), st.floats(1.0, 80.0), st.integers(0, 10**6))
def test_every_resample_has_as_many_rows_as_the_panel(n, block, seed):
    (counts,) = PanelResampling(n, 40, min(block, n), np.random.default_rng(seed), None).counts(3)
    assert counts.shape == (40, n)
    assert (counts >= 0).all()
    assert (counts.sum(axis=1) == n).all()


def test_resampled_means_vary_as_the_closed_form_says():
    values = strategies(8, n=120, k=3)
    centred = values - values.mean(axis=0)
    for block in (1.0, 5.0, 40.0):
        (counts,) = PanelResampling(120, 6000, block, np.random.default_rng(1), None).counts(3)
        spread = (counts @ centred / 120).var(axis=0) * 120
        np.testing.assert_allclose(spread, bootstrap_variance(centred, block), rtol=0.08)


@pytest.mark.parametrize("n", [30, 31, 64])
@pytest.mark.parametrize("block", [1.0, 1.7, 12.0, 64.0])
def test_the_bootstrap_variance_is_the_sum_over_lags(n, block):
    values = strategies(9, n, 3)
    slow = [superiority.bootstrap_variance(column.tolist(), block) for column in values.T]
    np.testing.assert_allclose(bootstrap_variance(values - values.mean(axis=0), block), slow, rtol=1e-9)


def test_the_block_length_of_a_panel_is_the_mean_over_some_columns():
    from arch.bootstrap import optimal_block_length

    values = strategies(10, 400, 5)
    expected = np.maximum(optimal_block_length(values)["stationary"], 1.0).mean()
    assert panel_block_length(values) == pytest.approx(expected)
    assert panel_block_length(values[:, ::-1]) == pytest.approx(expected)
    assert superior_ability(values, seed=0).block_length == pytest.approx(expected)
    assert superior_ability(values, block=1e9, seed=0).block_length == 400


def test_the_same_seed_gives_the_same_result_and_another_one_another():
    excess = strategies(11, edge=0.2)
    first, again, other = (stepwise_superior(excess, seed=seed).p_values for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_what_cannot_be_tested_is_refused():
    good = strategies(0)
    holed = good.copy()
    holed[7, 2] = np.nan
    with pytest.raises(DataError, match="row 7 of column 2"):
        superior_ability(holed, seed=0)
    with pytest.raises(DataError, match="at least 30 rows"):
        superior_ability(good[:20], seed=0)
    with pytest.raises(DataError, match="shape"):
        superior_ability(good[None], seed=0)
    with pytest.raises(ConfigError, match="n_boot"):
        superior_ability(good, n_boot=10, seed=0)
    with pytest.raises(ConfigError, match="block"):
        superior_ability(good, block=0.5, seed=0)
    with pytest.raises(ConfigError, match="level"):
        stepwise_superior(good, level=1.0, seed=0)
    for wrong in (np.zeros((3, 5), int), np.zeros((3, 180)), np.full((3, 180), 180), np.full((3, 180), -1)):
        with pytest.raises(DataError, match="resamples"):
            superior_ability(good, seed=0, resamples=wrong)


def test_no_warning_is_raised_on_awkward_panels():
    rng = np.random.default_rng(0)
    awkward = np.hstack([np.zeros((60, 1)), rng.normal(size=(60, 2)), rng.normal(size=(60, 1)) * 1e-9])
    awkward[:, 2] = 0.0
    awkward[5, 2] = 1.0
    alternating = np.where(np.arange(60) % 2, 0.01, -0.01)[:, None]
    awkward = np.hstack([awkward, alternating, -0.5 * alternating])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for block in (1.0, 60.0):
            for prewhiten in (True, False):
                found = superior_ability(awkward, n_boot=100, block=block, prewhiten=prewhiten, seed=0)
                assert np.isfinite(found.statistic)
                stepwise = stepwise_superior(awkward, n_boot=100, block=block, prewhiten=prewhiten, seed=0)
                assert np.isfinite(stepwise.statistics).all()


def _null(kind, rng, n, k, shared):
    noise = rng.standard_t(4, (n + 50, k + 1)) if kind == "t4" else rng.normal(size=(n + 50, k + 1))
    noise = np.sqrt(shared) * noise[:, :1] + np.sqrt(1.0 - shared) * noise[:, 1:]
    return lfilter([1.0], [1.0, -0.2 if kind == "ar" else 0.0], noise, axis=0)[50:]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("kind", "k", "shared"), [("iid", 50, 0.0), ("ar", 50, 0.0), ("ar", 50, 0.5), ("t4", 50, 0.3)])
def test_size_of_superior_ability_and_of_the_stepwise_search(kind, k, shared):
    """Two standard errors of 600 draws are 1.8 points."""
    rng = np.random.default_rng(1)
    draws, plain, stepwise = 600, 0, 0
    for _ in range(draws):
        excess = _null(kind, rng, 504, k, shared)
        plain += superior_ability(excess, n_boot=399, seed=rng).p_value <= 0.05
        stepwise += bool(stepwise_superior(excess, n_boot=399, seed=rng).superior.any())
    print(f"{kind} k={k} shared={shared}: SPA rejects {plain / draws:.3f}, StepM {stepwise / draws:.3f}")
    assert 0.03 < plain / draws < 0.075
    assert 0.03 < stepwise / draws < 0.075


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_prewhitening_is_what_keeps_the_size_under_autocorrelation():
    rng = np.random.default_rng(2)
    rejected = 0
    for _ in range(300):
        excess = _null("ar", rng, 504, 100, 0.0)
        rejected += superior_ability(excess, n_boot=399, prewhiten=False, seed=rng).p_value <= 0.05
    print(f"without prewhitening: rejects {rejected / 300:.3f}")
    assert rejected / 300 > 0.075


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_false_finds_stay_rare_beside_true_ones():
    """Half of the strategies are good: among the others a find is still made in at most 5 % of worlds."""
    rng = np.random.default_rng(3)
    false, found = 0, 0.0
    for _ in range(400):
        excess = _null("ar", rng, 504, 40, 0.3)
        excess[:, :20] += 0.25
        superior = stepwise_superior(excess, n_boot=399, seed=rng).superior
        false += bool(superior[20:].any())
        found += superior[:20].mean() / 400
    print(f"false finds {false / 400:.3f}, true ones found {found:.3f}")
    assert false / 400 < 0.075
    assert found > 0.8
