#!/bin/sh
# statsmodels 0.15.0: predictions and fitted values of a regime model are weighted by what the end of the sample knows.
#
# `predict()` of a fitted Markov switching model, its `fittedvalues` and its `resid` weigh the regimes by smoothed
# probabilities: those of a day in January move with the returns of December, even though the parameters stay as they
# are. One asks for "predicted" or "filtered" to get what was known then; "predict" alone sounds like it and is not.
# Seen on 2026-11-30, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
import warnings
from importlib.metadata import version

import numpy as np
import statsmodels.api as sm

warnings.simplefilter("ignore")
turns = np.repeat([0, 1, 0, 1], 60)
returns = np.random.default_rng(0).normal(np.where(turns, -1.0, 0.5), 1.0)
other_end = np.concatenate([returns[:-30], -2.0 * returns[-30:]])
fitted = sm.tsa.MarkovRegression(returns, k_regimes=2).fit()
again = sm.tsa.MarkovRegression(other_end, k_regimes=2).smooth(fitted.params)
moved = {}
for how in ("as it is", "predicted", "filtered"):
    options = {} if how == "as it is" else {"probabilities": how}
    one, other = (result.predict(**options)[:-30] for result in (fitted, again))
    moved[how] = float(np.abs(one - other).max())
    print(f"statsmodels {version('statsmodels')}, predict, {how}: moved by another end by {moved[how]:.2f}")
shift = float(np.abs(np.asarray(fitted.fittedvalues)[:-30] - np.asarray(again.fittedvalues)[:-30]).max())
print(f"statsmodels {version('statsmodels')}, fitted values: moved by another end by {shift:.2f}")
sys.exit(not (moved["as it is"] > 0.5 and shift > 0.5 and moved["predicted"] == moved["filtered"] == 0.0))
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q statsmodels==0.15.0 pandas==3.1.1 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
