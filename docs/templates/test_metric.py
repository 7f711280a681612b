"""A value worked out by hand, an independent way to the same figure, and a property."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metric import gain_to_pain

from embargo.backtest.metrics import omega
from embargo.data_loaders.errors import DataError

RETURNS = st.lists(st.floats(-0.5, 0.5).map(lambda value: round(value, 6)), min_size=1, max_size=50)


def test_by_hand() -> None:
    assert gain_to_pain([0.05, -0.02, -0.02, 0.03]) == pytest.approx(1.0)


@pytest.mark.parametrize("returns", [[], [0.0], [0.01, 0.02]])
def test_without_a_loss_there_is_none(returns: list[float]) -> None:
    assert gain_to_pain(returns) is None


def test_a_missing_return_is_refused() -> None:
    with pytest.raises(DataError):
        gain_to_pain([0.01, np.nan])


@given(RETURNS)
def test_it_is_one_less_than_omega_at_zero(returns: list[float]) -> None:
    found, peer = gain_to_pain(returns), omega(returns)
    assert (found is None) == (peer is None)
    if found is not None and peer is not None:
        assert found == pytest.approx(peer - 1.0, abs=1e-9)


@given(RETURNS, st.randoms(use_true_random=False))
def test_order_does_not_matter(returns: list[float], random: object) -> None:
    shuffled = list(returns)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert gain_to_pain(shuffled) == pytest.approx(gain_to_pain(returns))
