"""A plant that is caught, its clean twin, and silence where nothing can be said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from leak_check import check_right_side

from embargo.data_loaders.errors import DataError


def panel(seed: int, bars: int = 250, symbols: int = 4) -> pd.DataFrame:
    index = pd.date_range("2020-01-01", periods=bars, tz="UTC", name="open_at")
    names = [f"S{number}" for number in range(symbols)]
    return pd.DataFrame(np.random.default_rng(seed).normal(0, 0.01, (bars, symbols)), index=index, columns=names)


@pytest.mark.parametrize("share", [1.0, 0.8])
def test_a_target_among_the_features_is_caught(share: float) -> None:
    returns = panel(0)
    known = np.random.default_rng(1).random(returns.shape) < share
    finding = check_right_side(np.sign(returns) * np.where(known, 1.0, np.nan), returns)
    assert finding.verdict == "suspicious"
    assert finding.evidence[0]["bar"] == returns.index[0].isoformat()


@pytest.mark.parametrize("seed", range(20))
def test_clean_twins_pass(seed: int) -> None:
    returns = panel(seed)
    assert check_right_side(np.sign(returns).shift(1), returns).verdict == "pass"


def test_few_positions_prove_nothing() -> None:
    returns = panel(0, bars=20)
    assert check_right_side(np.sign(returns), returns).verdict == "inconclusive"


def test_panels_must_fit() -> None:
    with pytest.raises(DataError, match="Align them"):
        check_right_side(panel(0), panel(0, symbols=3))
