"""The Markov-switching model, held against statsmodels and against markets whose states are known."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.backtest.regimes import UNLABELLED, fit_markov, markov, markov_ex_post, markov_regime
from embargo.data_loaders.errors import ConfigError


def switching(n: int, seed: int, deviations=(0.006, 0.02), stay: float = 0.98) -> tuple[pd.Series, np.ndarray]:
    rng = np.random.default_rng(seed)
    states = np.zeros(n, dtype=int)
    for bar in range(1, n):
        moves = rng.random() > stay
        states[bar] = (
            rng.choice([s for s in range(len(deviations)) if s != states[bar - 1]]) if moves else states[bar - 1]
        )
    means = np.array([0.001, -0.001, -0.002])[states]
    index = pd.date_range("2010-01-01", periods=n, freq="B", tz="UTC")
    return pd.Series(rng.normal(means, np.array(deviations)[states]), index=index), states


def peer(returns: np.ndarray, states: int):
    from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

    return MarkovRegression(100.0 * returns, k_regimes=states, switching_variance=True)


def parameters(fit) -> np.ndarray:
    """The fit in the order of statsmodels, of returns in percent."""
    return np.concatenate([fit.moves.T[:-1].ravel(), 100.0 * fit.means, 1e4 * fit.deviations**2])


@pytest.mark.parametrize("states", [2, 3])
def test_filter_smoother_and_likelihood_are_those_of_statsmodels(states):
    returns, _ = switching(600, 1, (0.005, 0.02, 0.04)[:states])
    fit = fit_markov(returns, states=states)
    model = peer(returns.to_numpy(), states)
    theirs = model.smooth(parameters(fit))
    n = len(returns)
    assert fit.log_likelihood == pytest.approx(theirs.llf + n * np.log(100.0), abs=1e-3)
    np.testing.assert_allclose(fit.filtered(returns), theirs.filtered_marginal_probabilities, atol=1e-6)
    np.testing.assert_allclose(fit.smoothed(returns), theirs.smoothed_marginal_probabilities, atol=1e-5)
    assert fit.one_state == pytest.approx(
        float(np.sum(-0.5 * ((returns - returns.mean()) / returns.std(ddof=0)) ** 2))
        - n * np.log(returns.std(ddof=0) * np.sqrt(2 * np.pi))
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_fit_is_as_likely_as_that_of_statsmodels(seed):
    returns, _ = switching(1000, seed)
    fit = fit_markov(returns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peer(returns.to_numpy(), 2).fit(search_reps=0).llf + len(returns) * np.log(100.0)
    assert fit.log_likelihood > theirs - 0.05


@pytest.mark.parametrize("seed", [28, 41, 58])
def test_three_states_of_fat_tails_are_as_likely_as_random_starts_find_them(seed):
    """Starts that sort returns by size alone end 2.8 to 6.7 lower in these draws."""
    from embargo.backtest.regimes import compiled

    returns = np.random.default_rng(seed).standard_t(4, 504)
    unit = returns / returns.std()
    rng, found = np.random.default_rng(0), []
    for _ in range(25):
        moves = np.full((3, 3), 0.025) + 0.925 * np.eye(3)
        means, deviations = rng.normal(0.0, 0.3, 3), np.exp(rng.normal(-0.2, 0.6, 3))
        found.append(compiled.maximised(unit, means, deviations, moves, 0.05, 500, 1e-6)[3])
    best = max(found) - len(returns) * np.log(returns.std())
    assert fit_markov(returns, states=3).log_likelihood > best - 0.5


def test_states_that_are_there_are_found():
    returns, truth = switching(3000, 5)
    fit = fit_markov(returns)
    np.testing.assert_allclose(fit.deviations, [0.006, 0.02], rtol=0.08)
    np.testing.assert_allclose(np.diag(fit.moves), 0.98, atol=0.01)
    np.testing.assert_allclose(fit.expected_bars, 50.0, rtol=0.35)
    smoothed = markov_ex_post(returns).to_numpy()
    known = markov_regime(returns, np.arange(3000) - 1, minimum=500, refit_every=250).to_numpy()
    names = np.array(["calm", "turbulent"])[truth]
    assert (smoothed == names).mean() > 0.96
    # A row is told from the bar before it, so it cannot know of a change on the day itself.
    assert 0.9 < (known[500:] == names[500:]).mean() < (smoothed[500:] == names[500:]).mean()
    assert set(known[:500]) == {UNLABELLED}


@given(st.integers(0, 10_000))
@settings(max_examples=12)
def test_probabilities_are_probabilities_and_states_are_ordered(seed):
    rng = np.random.default_rng(seed)
    returns = rng.standard_t(3, 300) * 0.01
    returns[rng.random(300) < 0.05] = np.nan
    for states in (2, 3):
        fit = fit_markov(returns, states=states)
        assert (np.diff(fit.deviations) >= 0.0).all()
        np.testing.assert_allclose(fit.moves.sum(axis=1), 1.0)
        for chances in (fit.filtered(returns), fit.smoothed(returns)):
            np.testing.assert_allclose(chances.sum(axis=1), 1.0)
            assert (chances >= 0.0).all()
        again = fit_markov(7.0 * returns, states=states)
        np.testing.assert_allclose(again.filtered(7.0 * returns), fit.filtered(returns), atol=1e-9)


def test_a_past_that_did_not_change_is_not_fitted_again(monkeypatch):
    returns, _ = switching(600, 3)
    fitted = []
    monkeypatch.setattr(markov, "fit_markov", lambda past, states: fitted.append(len(past)) or fit_markov(past))
    first = markov_regime(returns, np.arange(600) - 1, minimum=200, refit_every=100)
    assert fitted == [200, 300, 400, 500, 600]
    attacked = returns.copy()
    attacked.iloc[450] = 0.3
    again = markov_regime(attacked, np.arange(600) - 1, minimum=200, refit_every=100)
    assert fitted[5:] == [500, 600]
    assert (again.iloc[:451] == first.iloc[:451]).all()


def test_one_state_is_not_cut_in_two():
    rng = np.random.default_rng(0)
    told = [fit_markov(rng.normal(0.0, 0.01, 500)).told_apart for _ in range(60)]
    assert np.mean(told) <= 0.05
    flat = pd.Series(rng.normal(0.0, 0.01, 500))
    assert (markov_ex_post(flat) == UNLABELLED).all()
    assert (markov_regime(flat, np.arange(500) - 1, minimum=200) == UNLABELLED).all()
    assert fit_markov(np.zeros(500)) is None
    assert fit_markov(rng.normal(size=50)) is None


def test_settings_are_checked():
    returns, _ = switching(200, 0)
    with pytest.raises(ConfigError, match="2 or 3"):
        fit_markov(returns, states=4)
    with pytest.raises(ConfigError, match="minimum must be at least 60"):
        markov_regime(returns, np.arange(200) - 1, minimum=50)
