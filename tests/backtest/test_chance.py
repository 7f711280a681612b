"""Alphas against several benchmarks are one family of tests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from embargo.backtest.chance import after_attempts, held_against
from embargo.backtest.metrics import relative
from embargo.data_loaders.errors import ConfigError, DataError


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


PANEL = np.random.default_rng(0).normal(0.1, 1.0, (200, 3))
SETTINGS = {"significance": 0.05, "n_boot": 100, "block": None, "seed": 0}


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"n_trials": 2}, ConfigError, "n_trials must count the 3 attempts whose returns are given, got 2"),
        ({"n_trials": 0, "panel": None}, ConfigError, "n_trials must be at least 1"),
        ({"own": 3}, ConfigError, "own must be the number of one of the 3 columns"),
        ({"own": -1}, ConfigError, "own must be the number of one of the 3 columns"),
        ({"p_value": 2.0}, DataError, r"p_value must lie in \[0, 1\], got 2.0"),
        ({"p_value": float("nan")}, DataError, "got nan"),
        ({"member": np.ones((200, 2), dtype=bool)}, DataError, "member must be true and false"),
        ({"significance": 5.0}, ConfigError, "significance"),
    ],
)
def test_attempts_that_do_not_add_up_are_refused(changed: dict, error: type[Exception], said: str) -> None:
    asked = {"p_value": 0.01, "panel": PANEL, "n_trials": 3, **SETTINGS}
    with pytest.raises(error, match=said):
        after_attempts(**asked | changed)
    assert after_attempts(**asked).adjusted_p_value >= 0.01
