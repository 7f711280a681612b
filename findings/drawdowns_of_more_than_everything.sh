#!/bin/sh
# skfolio 1.12.2: a portfolio that loses four fifths has a maximum drawdown of 150 %.
#
# Nobody can lose more than all without debt, and one takes a maximum drawdown for a share of the peak. By default
# skfolio adds returns up instead of compounding them, and takes the fall of that sum: 150 days of -1 % are 1.5. The
# figure is the one that strategies are ranked by (`max_drawdown`, and CDaR and Calmar likewise). With `compounded=True`
# it is what everybody means.
# Seen on 2026-12-01, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
import warnings

warnings.simplefilter("ignore")
from importlib.metadata import version

import numpy as np
import pandas as pd
from skfolio import Portfolio

days = pd.bdate_range("2020-01-01", periods=150)
falls = pd.DataFrame({"a": np.full(150, -0.01)}, index=days)
falls.iloc[0] = 0.0
half = pd.DataFrame({"a": np.r_[0.0, np.full(149, -0.00465)]}, index=days)
found = {}
for name, returns in (("falls by 1 % a day", falls), ("falls by half of that", half)):
    wealth = np.concatenate([[1.0], (1 + returns["a"]).cumprod()])
    true = float(np.max(1 - wealth / np.maximum.accumulate(wealth)))
    added, compounded = (
        float(Portfolio(returns, weights=[1.0], compounded=how).max_drawdown) for how in (False, True)
    )
    found[name] = tuple(round(each, 2) for each in (true, added, compounded))
    print(f"skfolio {version('skfolio')}, {name}: lost {true:.0%} of the peak, drawdown {added:.0%}, compounded {compounded:.0%}")
for wealth_lost, added, compounded in found.values():
    if compounded != wealth_lost or added < 1.3 * wealth_lost:
        sys.exit(1)
sys.exit(found["falls by 1 % a day"][1] < 1.4)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile skfolio==1.12.2 pandas==2.3.3 numpy==2.4.6 scikit-learn==1.9.1
if ! "$folder/venv/bin/python" "$folder/ask.py"; then
    echo "no longer"
    exit 1
fi
echo "as found"
