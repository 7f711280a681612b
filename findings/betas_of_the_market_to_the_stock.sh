#!/bin/sh
# TA-Lib 0.8.2: BETA(stock, index), the order that its own text tells, is the beta of the index to the stock.
#
# The note in TA-Lib's source says that the stock's prices are the first input and the index's the second, and so does
# the habit of CAPM; the Python package names them real0 and real1. A stock that moves twice as the index, plus noise,
# has a beta of two. `BETA(stock, index)` says 0.49, `BETA(index, stock)` 2.02: whoever hedges by the first sells a
# quarter of what he should. Both are plausible numbers, and for a stock like the market they hardly differ.
# `VAR` takes `nbdev` as STDDEV does, where two doubles the result; in VAR it does nothing.
# Seen on 2026-11-30, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys

import numpy as np
import talib

rng = np.random.default_rng(0)
market = rng.normal(0.0, 0.01, 300)
stock = 2.0 * market + rng.normal(0.0, 0.002, 300)
index, share = 100.0 * np.cumprod(1.0 + market), 100.0 * np.cumprod(1.0 + stock)
true = np.polyfit(market[-60:], stock[-60:], 1)[0]
told, turned = talib.BETA(share, index, 60)[-1], talib.BETA(index, share, 60)[-1]
print(f"talib {talib.__version__}: regression {true:.3f}, BETA(stock, index) {told:.3f}, BETA(index, stock) {turned:.3f}")
one, two = talib.VAR(share, 20, 1)[-1], talib.VAR(share, 20, 2)[-1]
wide = talib.STDDEV(share, 20, 2)[-1] / talib.STDDEV(share, 20, 1)[-1]
print(f"talib {talib.__version__}: with nbdev=2 instead of 1 STDDEV is {wide:.1f} times, VAR {two / one:.1f} times as large")
sys.exit(not (abs(turned - true) < 1e-9 and told < 0.51 and one == two and abs(wide - 2.0) < 1e-12))
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile TA-Lib==0.8.2 numpy==2.4.6
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
