#!/bin/sh
# quantstats 0.0.86: a strategy that is under water from its first day to its last has no drawdowns in the table.
#
# `to_drawdown_series` counts a loss of the first day, and `max_drawdown` gives -41 %. But `drawdown_details`, which
# fills the table of the worst drawdowns in its reports, looks for days on which a drawdown begins after a day without
# one: there is none, and the table comes back empty. Of all strategies the one that never earned a cent looks safest.
# With one day of gain in front the same losses are listed.
# Seen on 2026-11-30, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
from importlib.metadata import version

import pandas as pd
from quantstats import stats

LOSES = [-0.3, 0.1, -0.2, 0.05, 0.0, 0.01, -0.1, 0.02]
found = {}
for name, earned in (("loses from the first day on", LOSES), ("gains on one day, then loses", [0.1, *LOSES])):
    returns = pd.Series(earned, index=pd.bdate_range("2020-01-01", periods=len(earned)))
    listed = stats.drawdown_details(stats.to_drawdown_series(returns))
    found[name] = (round(100 * float(stats.max_drawdown(returns))), len(listed))
    print(f"quantstats {version('quantstats')}, {name}: deepest {found[name][0]} %, drawdowns listed {found[name][1]}")
sys.exit(list(found.values()) != [(-41, 0), (-41, 1)])
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q quantstats==0.0.86 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
