"""Alphas against several benchmarks are one family of tests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from embargo.backtest.chance import held_against
from embargo.backtest.metrics import relative


def test_alphas_are_corrected_together_and_cash_is_no_benchmark() -> None:
    rng = np.random.default_rng(4)
    returns = pd.Series(rng.normal(0.0012, 0.01, 400))
    rivals = pd.DataFrame(rng.normal(0.0, 0.01, (400, 3)), columns=["one", "two", "three"]).assign(cash=0.0, flat=0.0)
    found = held_against(returns, rivals, periods_per_year=252)
    assert list(found) == ["one", "two", "three", "flat"]
    alone = [found[name]["alpha_p_value"] for name in ("one", "two", "three")]
    corrected = [found[name]["alpha_p_value_holm"] for name in ("one", "two", "three")]
    assert corrected == pytest.approx(multipletests(alone, method="holm")[1])
    assert min(corrected) > min(alone)
    assert found["flat"]["alpha_p_value_holm"] is None
    plain = relative(returns, rivals["one"], periods_per_year=252)
    assert {name: value for name, value in found["one"].items() if name != "alpha_p_value_holm"} == plain
