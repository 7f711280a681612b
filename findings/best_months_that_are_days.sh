#!/bin/sh
# quantstats 0.0.86: the best month is the best day by `aggregate="M"`, and all Januaries of ten years by "month".
#
# `best`, `worst`, `win_rate`, `avg_win`, `consecutive_wins` and others take `aggregate`, in their own words one of "D",
# "W", "M", "Q" and "Y". "M", "Q" and "Y" are not known and give days, without a word: the best month of a share is its
# best day, the share of winning months that of winning days. "month", "quarter" and "week", which `aggregate_returns`
# names, put the same month of all years together: ten years have twelve months, and the best one is ten Januaries
# compounded. "W" cuts the week at New Year in two, and puts 31 December 2018 to the first week of January 2018. Months
# as everybody means them are "ME" or "eom".
# Seen on 2026-11-30, Python 3.11: ten years of normal daily returns.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import pandas as pd
from quantstats import stats, utils

days = pd.bdate_range("2015-01-01", "2024-12-31")
returns = pd.Series(np.random.default_rng(0).normal(0.0004, 0.01, len(days)), index=days)
months = (1.0 + returns).groupby([days.year, days.month]).prod() - 1.0
print(f"{len(days)} days, {len(months)} months; best day {returns.max():.2%}, best month {months.max():.2%}, "
      f"months won {(months > 0).mean():.1%}, days won {(returns > 0).mean():.1%}")
found = {}
for aggregate in ("M", "month", "ME", "Q", "Y"):
    periods = len(utils.aggregate_returns(returns, aggregate))
    best, won = float(stats.best(returns, aggregate=aggregate)), float(stats.win_rate(returns, aggregate=aggregate))
    found[aggregate] = (periods, best)
    print(f"quantstats {version('quantstats')}, aggregate={aggregate!r}: {periods} periods, best {best:.2%}, won {won:.1%}")
flat = pd.Series(0.0, index=pd.bdate_range("2018-01-01", "2018-12-31"))
flat.iloc[0], flat.iloc[-1] = 0.10, -0.10
week = float(utils.aggregate_returns(flat, "W").iloc[0])
print(f"quantstats {version('quantstats')}: +10 % on 1 January 2018, -10 % on 31 December; first week by 'W' {week:.2%}")
asked = (len(days), float(returns.max()))
januaries = float(((1.0 + returns).groupby(days.month).prod() - 1.0).max())
wanted = {"M": asked, "Q": asked, "Y": asked, "ME": (120, float(months.max())), "month": (12, januaries)}
same = all(found[name][0] == row[0] and abs(found[name][1] - row[1]) < 1e-9 for name, row in wanted.items())
sys.exit(not same or abs(week + 0.01) > 1e-9)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile quantstats==0.0.86 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
