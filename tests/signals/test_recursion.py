"""Fading sums are those of ``scipy.signal.lfilter``, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from embargo.signals.recursion import faded_sum


@pytest.mark.parametrize("seed", range(7_300_000, 7_300_012))
def test_a_fading_sum_is_a_filter_of_one_pole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(1, 200)), int(rng.integers(1, 30))
    values = rng.normal(size=shape) * (rng.random(shape) < 0.4)
    values[rng.random(shape) < 0.01] = np.nan
    keep, start = float(rng.random()), rng.normal(size=shape[1])
    np.testing.assert_array_equal(faded_sum(values, keep), lfilter([1.0], [1.0, -keep], values, axis=0))
    np.testing.assert_array_equal(faded_sum(values[:, 0], keep), lfilter([1.0], [1.0, -keep], values[:, 0]))
    begun, _ = lfilter([1.0], [1.0, -keep], values, axis=0, zi=start[None])
    np.testing.assert_array_equal(faded_sum(values, keep, start), begun)


def test_no_rows_have_no_sum() -> None:
    assert faded_sum(np.empty((0, 3)), 0.5).shape == (0, 3)
