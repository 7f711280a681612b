"""Agreement of two readers, against its definitions written out, and the coverage of its intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import cohen_kappa_score

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.evaluation.agreement import agreement


def pair(n: int, seed: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 3)) * 2
    other = logits + noise * rng.normal(size=(n, 3))
    return tuple(np.exp(each) / np.exp(each).sum(axis=1, keepdims=True) for each in (logits, other))


@pytest.mark.parametrize("groups", [None, np.arange(60) // 5])
def test_is_what_its_definitions_say(groups):
    one, two = pair(60, 1, 1.0)
    found = agreement(one, two, groups=groups)
    assert found["share"] == pytest.approx((one.argmax(axis=1) == two.argmax(axis=1)).mean())
    assert found["kappa"] == pytest.approx(cohen_kappa_score(one.argmax(axis=1), two.argmax(axis=1)))
    assert found["kl"] == pytest.approx(entropy(one, two, axis=1).mean())
    assert found["n"] == 60
    assert found["n_groups"] == (None if groups is None else 12)
    for name in ("share", "kappa", "kl"):
        low, high = found[f"{name}_interval"]
        assert low < found[name] < high


def test_a_reader_agrees_with_itself_and_one_class_alone_has_no_kappa():
    one, _ = pair(40, 2, 0.0)
    found = agreement(one, one)
    assert (found["share"], found["kappa"], found["kl"]) == (1.0, pytest.approx(1.0), 0.0)
    flat = np.tile([0.8, 0.1, 0.1], (40, 1))
    assert agreement(flat, flat)["kappa"] is None


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    whole = (lambda one, two: (one.argmax(axis=1) == two.argmax(axis=1)).mean())(*pair(400_000, 99, 1.0))
    held = 0
    for seed in range(200):
        low, high = agreement(*pair(150, seed, 1.0), resamples=300)["share_interval"]
        held += low <= whole <= high
    # Binomial with p = .95 and n = 200, three standard deviations on either side.
    assert 0.90 <= held / 200 <= 0.995


def test_days_that_go_together_widen_the_interval():
    one, two = pair(40, 3, 1.0)
    days = np.repeat(np.arange(40), 10)
    wide, narrow = (
        np.diff(agreement(one[days], two[days], groups=groups)["share_interval"]) for groups in (days, None)
    )
    assert wide > 2 * narrow


def test_what_cannot_be_measured_is_refused():
    one, two = pair(10, 4, 1.0)
    with pytest.raises(DataError, match="same texts"):
        agreement(one, two[:5])
    with pytest.raises(DataError, match="no probabilities"):
        agreement(one, two * 2)
    with pytest.raises(ConfigError, match="level"):
        agreement(one, two, level=1.0)
