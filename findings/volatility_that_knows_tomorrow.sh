#!/bin/sh
# arch 8.0.0: a volatility of fixed parameters, or of none, and its forecasts move with returns that are yet to come.
#
# An exponentially weighted variance with a stated decay looks causal: of day t it should tell what the days before t
# told. But its recursion starts from a weighted mean of the first squares of the whole series that was handed over: 75
# of them for EWMAVariance and GARCH, and up to 1,667 (six and a half years of days) for RiskMetrics2006, which has no
# parameters. `fix([])` and `forecast(start=0)`, the way to forecasts without a fit, use the same start. So a crash on
# one day moves the forecasts made on the evenings before. A walk-forward that fits on the past only is not mended by
# that; one that hands over the past alone, again for each day, is.
# Seen on 2026-11-29, Python 3.11, 2,520 daily returns of Student's t with five degrees, one of them set to -15:
#   crash on row   60: EWMA 60 forecasts before it differ, the last by 0.4 %; RiskMetrics 2006 60, the last by 8.5 %
#   crash on row 1000: EWMA none; RiskMetrics 2006 all 1,000
#   crash on row 2000: none
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys

import arch
import numpy as np
from arch.univariate import EWMAVariance, RiskMetrics2006, ZeroMean

returns = np.random.default_rng(0).standard_t(5, 2520)


def forecasts(returns, volatility):
    model = ZeroMean(returns)
    model.volatility = volatility
    return np.sqrt(model.fix([]).forecast(horizon=1, start=0).variance.to_numpy()[:, 0])


found = {}
for crash in (60, 1000, 2000):
    crashed = returns.copy()
    crashed[crash] = -15.0
    for name, volatility in (("EWMA", EWMAVariance(0.94)), ("RM2006", RiskMetrics2006())):
        # The forecast at the place of a row is made after that row: these are all made before the crash.
        moved = np.abs(forecasts(crashed, volatility) / forecasts(returns, volatility) - 1.0)[:crash]
        found[name, crash] = int((moved > 1e-6).sum()), round(100.0 * float(moved[-1]), 1)
        number, last = found[name, crash]
        print(f"arch {arch.__version__}: crash on row {crash}, {name}: {number} forecasts before it differ,",
              f"the last by {last} %")
expected = {
    ("EWMA", 60): (60, 0.4), ("RM2006", 60): (60, 8.5),
    ("EWMA", 1000): (0, 0.0), ("RM2006", 1000): (1000, 0.0),
    ("EWMA", 2000): (0, 0.0), ("RM2006", 2000): (0, 0.0),
}
sys.exit(found != expected)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q arch==8.0.0 numpy==2.4.6 pandas==3.1.1 scipy==1.17.1 statsmodels==0.15.0
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
