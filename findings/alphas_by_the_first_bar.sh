#!/bin/sh
# alphalens-reloaded 0.5.1: the alpha of a year is 80 % or 3 % by which hour the sample begins with; it is 19 %.
#
# Forward returns of one hourly bar are named by how long a bar is, which alphalens finds out from the first thirty
# rows: not by the most common length but by that of the thirtieth, of which only whole days are mended. Where that row
# is the last of its session the column is called "18h", the night, else "1h". `factor_alpha_beta` brings the alpha of a
# bar to a year by that name, as 252 days of 24 hours over it: 6,048 hourly bars or 336, where seven bars a session make
# 1,764. Start the same sample an hour later and the alpha is another, with nothing said.
# Seen on 2026-11-30, Python 3.11: 20 shares, half a year of hourly bars from 10:00 to 16:00.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import contextlib
import io
import sys
import warnings

warnings.filterwarnings("ignore")
import numpy as np
import pandas as pd
from alphalens.performance import factor_alpha_beta, factor_returns
from alphalens.utils import get_clean_factor_and_forward_returns
from importlib.metadata import version

bars = pd.DatetimeIndex([
    day + pd.Timedelta(hours=hour) for day in pd.bdate_range("2022-01-03", "2022-06-30") for hour in range(10, 17)
])
rng = np.random.default_rng(0)
moves = rng.normal(0.0, 0.003, (len(bars), 20))
names = [f"S{share}" for share in range(20)]
prices = pd.DataFrame(100.0 * np.exp(moves.cumsum(axis=0)), index=bars, columns=names)
knows = 0.02 * np.vstack([moves[1:], np.zeros((1, 20))]) + rng.normal(0.0, 0.003, moves.shape)
factor = pd.DataFrame(knows, index=bars, columns=names)
found = []
for later in (0, 5, 6):
    with contextlib.redirect_stdout(io.StringIO()):
        rows = get_clean_factor_and_forward_returns(
            factor.iloc[later:].stack(), prices, periods=(1,), quantiles=5, max_loss=1.0
        )
    (column,) = (name for name in rows.columns if name not in ("factor", "factor_quantile"))
    told, bar = factor_alpha_beta(rows).loc["Ann. alpha", column], factor_returns(rows)[column].mean()
    true = (1.0 + bar) ** (7 * 252) - 1.0
    found.append((column, round(told, 2), round(true, 2)))
    print(f"alphalens-reloaded {version('alphalens-reloaded')}, from {bars[later]:%H:%M} on: called {column}, "
          f"alpha of a year {told:.1%}; {bar:.6f} a bar make {true:.1%}")
names = [row[0] for row in found]
sys.exit(names != ["1h", "18h", "1h"] or not all(abs(row[2] - 0.19) < 0.01 for row in found)
         or not found[0][1] > 0.7 or not found[1][1] < 0.05)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile alphalens-reloaded==0.5.1 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
