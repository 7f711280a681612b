#!/bin/sh
# PyPortfolioOpt 1.6.0: by Ledoit and Wolf a share that was listed late is the safest of all, and gets the money.
#
# `CovarianceShrinkage` takes prices with gaps. Its sample covariance leaves missing returns out; but for `ledoit_wolf`
# (its default target) and `oracle_approximating` they become returns of zero, without a word. Four shares of 32 % a
# year, one of them listed in the last tenth of the history: it is said to have 10 %, its correlations shrink likewise,
# and the portfolio of least variance puts three quarters into it. `sample_cov`, `exp_cov` and the target
# "constant_correlation" say about 32 % of the same prices.
# Seen on 2026-11-30, Python 3.11: 2,000 days of normal returns.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
import warnings
from importlib.metadata import version

import numpy as np
import pandas as pd
from pypfopt import EfficientFrontier, risk_models

returns = np.random.default_rng(1).normal(0.0, 0.02, (2000, 4))
prices = pd.DataFrame(
    100.0 * np.exp(returns.cumsum(axis=0)), index=pd.bdate_range("2016-01-01", periods=2000), columns=["A", "B", "C", "NEW"]
)
prices.iloc[:1800, 3] = np.nan
shrunk = risk_models.CovarianceShrinkage(prices)
found, told = {}, []
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    ways = {
        "sample_cov": risk_models.sample_cov(prices),
        "exp_cov": risk_models.exp_cov(prices),
        "ledoit_wolf": shrunk.ledoit_wolf(),
        "constant_correlation": shrunk.ledoit_wolf("constant_correlation"),
        "oracle_approximating": shrunk.oracle_approximating(),
    }
for name, covariance in ways.items():
    weights = EfficientFrontier(None, covariance).min_volatility()
    found[name] = (float(np.sqrt(covariance.loc["NEW", "NEW"])), float(weights["NEW"]))
    print(f"PyPortfolioOpt {version('PyPortfolioOpt')}, {name}: the newcomer has {found[name][0]:.0%} a year, gets {found[name][1]:.0%}")
print("warnings:", [str(warning.message) for warning in told])
low, high = ("ledoit_wolf", "oracle_approximating"), ("sample_cov", "exp_cov", "constant_correlation")
hidden = all(found[name][0] < 0.12 and found[name][1] > 0.7 for name in low)
seen = all(found[name][0] > 0.28 and found[name][1] < 0.4 for name in high)
sys.exit(not hidden or not seen or bool(told))
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile PyPortfolioOpt==1.6.0 packaging==26.4 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
