#!/bin/sh
# TA-Lib 0.8.2: after one missing price RSI and CMO are 0.0 for good, and ADX is a number that is wrong.
#
# TA-Lib is known to carry a missing value on to the end: after it SMA and EMA are missing, which nobody can overlook.
# RSI does not. From the missing day on, for all the series, it says 0.0, the most oversold that a share can be, on
# which a rule to buy the dip buys every day; CMO says 0.0, neutral; ADX, of whose day high, low and close are missing,
# goes on with figures of its own. None of them is missing, so that `isnan` and `dropna` find nothing.
# Seen on 2026-11-30, Python 3.11: 300 days, no price on day 100; beside it the price of the day before.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys

import numpy as np
import talib

whole = 100.0 * np.exp(np.random.default_rng(0).normal(0.0, 0.01, 300).cumsum())
gap, filled = whole.copy(), whole.copy()
gap[100], filled[100] = np.nan, whole[99]
ways = {
    "SMA": lambda close: talib.SMA(close, 14),
    "RSI": lambda close: talib.RSI(close, 14),
    "CMO": lambda close: talib.CMO(close, 14),
    "ADX": lambda close: talib.ADX(close * 1.01, close * 0.99, close, 14),
}
found = {}
for name, way in ways.items():
    after, right = way(gap)[100:], way(filled)[100:]
    found[name] = (int(np.isnan(after).sum()), round(float(after[-1]), 1), round(float(right[-1]), 1))
    print(f"talib {talib.__version__}, {name}: {found[name][0]} of 200 missing; last {after[-1]:.2f}, filled {right[-1]:.2f}")
    if name in ("RSI", "CMO"):
        assert (after == 0.0).all()
missing = {name: row[0] for name, row in found.items()}
wrong = found["RSI"][2] > 30.0 and abs(found["ADX"][1] - found["ADX"][2]) > 5.0
sys.exit(missing != {"SMA": 200, "RSI": 0, "CMO": 0, "ADX": 0} or not wrong)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile TA-Lib==0.8.2 numpy==2.4.6
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
