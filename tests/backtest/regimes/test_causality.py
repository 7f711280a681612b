"""No definition that may steer speaks of the future, and the test that says so notices those that do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.backtest.regimes import (
    at_decision,
    label_ex_post,
    label_regime,
    lunde_timmermann_ex_post,
    markov_ex_post,
    markov_regime,
    pagan_sossounov_ex_post,
    threshold_regime,
    trend_regime,
    turning_regime,
    volatility_regime,
)

N = 420
OPEN_AT = pd.date_range("2018-01-01 14:30", periods=N, freq="B", tz="UTC", unit="us")
Definition = Callable[[pd.Series, np.ndarray], pd.Series]

CAUSAL: dict[str, Definition] = {
    "trend": trend_regime,
    "volatility": volatility_regime,
    "turning points": lambda market, closed: turning_regime(market, closed, fall=0.08, rise=0.08),
    "Markov, two states": lambda market, closed: markov_regime(market, closed, minimum=120, refit_every=40),
    "Markov, three states": lambda market, closed: markov_regime(market, closed, states=3, minimum=150, refit_every=60),
}


def looking_back(definition: Callable[[pd.Series], pd.Series]) -> Definition:
    """Pass a definition with hindsight off as one that was known at each close."""
    return lambda market, closed: at_decision(definition(market).to_numpy(dtype=object), market, closed)


LEAKS: dict[str, Definition] = {
    "smoothed probabilities": looking_back(markov_ex_post),
    "turning points with hindsight": looking_back(
        lambda market: lunde_timmermann_ex_post(market, fall=0.08, rise=0.08)
    ),
    "monthly turning points": looking_back(lambda market: pagan_sossounov_ex_post(market, override=0.05)),
    "one fit for all": lambda market, closed: at_decision(
        np.where(market.abs() > market.abs().median(), "high", "low").astype(object), market, closed
    ),
}


def market_of(seed: int) -> pd.Series:
    """Calm and turbulent by turns, so that every definition has something to say."""
    rng = np.random.default_rng(seed)
    storm = (np.arange(N) // 60 + seed) % 2 == 1
    return pd.Series(rng.normal(0.0005, np.where(storm, 0.02, 0.006)), index=OPEN_AT)


def moved_by_the_future(definition: Definition, seed: int, t: int, delay: int) -> bool:
    """Whether a label up to row t changes when all bars after the newest closed one do, or are cut off."""
    closed = np.maximum(np.arange(N) - delay, -1)
    before = market_of(seed)
    after = before.copy()
    after.iloc[closed[t] + 1 :] = np.random.default_rng(seed + 1).normal(-0.01, 0.05, N - closed[t] - 1)
    whole = definition(before, closed).iloc[: t + 1].to_numpy()
    changed = definition(after, closed).iloc[: t + 1].to_numpy()
    cut = definition(before.iloc[: t + 1], closed[: t + 1]).to_numpy()
    return bool((whole != changed).any() or (whole != cut).any())


@pytest.mark.parametrize("name", CAUSAL)
@settings(max_examples=15)
@given(seed=st.integers(0, 1000), t=st.integers(N // 2, N - 2), delay=st.integers(1, 3))
def test_the_future_moves_no_label(name, seed, t, delay):
    assert not moved_by_the_future(CAUSAL[name], seed, t, delay)


@pytest.mark.parametrize("name", CAUSAL)
def test_every_definition_has_something_to_say(name):
    labels = CAUSAL[name](market_of(1), np.arange(N) - 1)
    assert labels.nunique() >= 3  # unlabelled is one


@pytest.mark.parametrize("name", LEAKS)
def test_hindsight_is_noticed(name):
    assert any(moved_by_the_future(LEAKS[name], seed, t, 1) for seed in range(6) for t in range(N // 2, N - 2, 23))


LABELS = pd.DataFrame(
    {
        "start": pd.to_datetime(["2018-01-10", "2018-06-01", "2018-09-03"], utc=True),
        "regime": ["expansion", "recession", "expansion"],
        "known_at": pd.to_datetime(["2018-02-01", "2018-08-15", "2019-01-10"], utc=True),
    }
)


@given(st.integers(0, N - 1))
def test_labels_and_thresholds_that_come_later_say_nothing_before(t):
    decided_at = OPEN_AT - pd.Timedelta(minutes=5)
    known = LABELS[LABELS["known_at"] <= decided_at[t]]
    pd.testing.assert_series_equal(
        label_regime(LABELS, decided_at).iloc[: t + 1], label_regime(known, decided_at).iloc[: t + 1]
    )
    series = pd.DataFrame({"known_at": OPEN_AT + pd.Timedelta(hours=7), "value": np.arange(N) % 50.0})
    told = series[series["known_at"] <= decided_at[t]]
    cut = {"cuts": [20.0, 35.0], "names": ["low", "middle", "high"]}
    pd.testing.assert_series_equal(
        threshold_regime(series, decided_at, **cut).iloc[: t + 1],
        threshold_regime(told, decided_at, **cut).iloc[: t + 1],
    )


def test_labels_taken_by_their_start_are_noticed():
    decided_at = OPEN_AT - pd.Timedelta(minutes=5)
    t = int(decided_at.searchsorted(pd.Timestamp("2018-07-02", tz="UTC")))
    known = LABELS[LABELS["known_at"] <= decided_at[t]]
    assert label_ex_post(LABELS, decided_at).iloc[t] != label_ex_post(known, decided_at).iloc[t]
