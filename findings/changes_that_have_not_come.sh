#!/bin/sh
# stockstats 0.6.10: "close_1_r" and "close_1_d" look back on today from tomorrow, and "close_1_s" is tomorrow's close.
#
# Columns are made by their name. In "close_3_sma" and "close_1_roc" the number counts back, as everywhere; in "_r", "_d"
# and "_s" a plain number counts on, and only a negative one back. "close_1_r" stands beside "close_1_roc" like the same
# rate of change, and is the move that is yet to be earned, turned round: before a rise of 10 % it says -9.09. The last
# row, which has no tomorrow, is no gap either: it says 0.0, or repeats today's close.
# Seen on 2026-11-30, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
from importlib.metadata import version

import pandas as pd
from stockstats import StockDataFrame

closes = [100.0, 110.0, 99.0, 99.0, 108.9]
bars = pd.DataFrame(
    {"open": closes, "high": closes, "low": closes, "close": closes, "volume": 1.0},
    index=pd.bdate_range("2024-01-01", periods=5, name="date"),
)
frame = StockDataFrame.retype(bars)
names = ("close_1_roc", "close_1_r", "close_1_d", "close_1_s", "close_-1_r")
found = {name: [round(float(each), 2) for each in frame[name]] for name in names}
for name, values in found.items():
    print(f"stockstats {version('stockstats')}, {name}: {values}")
expected = {
    "close_1_roc": [0.0, 10.0, -10.0, 0.0, 10.0],
    "close_1_r": [-9.09, 11.11, 0.0, -9.09, 0.0],
    "close_1_d": [-10.0, 11.0, 0.0, -9.9, 0.0],
    "close_1_s": [110.0, 99.0, 99.0, 108.9, 108.9],
    "close_-1_r": [0.0, 10.0, -10.0, 0.0, 10.0],
}
sys.exit(found != expected)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q stockstats==0.6.10 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
