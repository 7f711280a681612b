#!/bin/sh
# ta 0.11.0: the KST of early rows is made with the mean of all closes, later ones too, though nothing is to be filled.
#
# KST adds up rates of change over 10 to 30 bars. Where a series has no bar that far back, `KSTIndicator` takes the mean
# of the whole series for the price then, with `fillna=False`, its default, as well, and `add_all_ta_features` hands the
# figures out. So rows 14 to 43 are numbers, not missing, and each knows where prices will go: of a share that doubles
# later they say that it stands below its past. Cut the series anywhere and they change. The other indicators of ta
# that fill with that mean (Vortex, TRIX, DPO) do so with `fillna=True` alone.
# Seen on 2026-11-30, Python 3.11: 600 closes of a random walk, and their first 300 alone.
#   KST: 30 rows differ, the first is 14; TRIX, Vortex and DPO by default: none
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import pandas as pd
from ta.trend import DPOIndicator, KSTIndicator, TRIXIndicator, VortexIndicator

steps = np.random.default_rng(0).normal(0.0, 0.01, 600)
close = pd.Series(100.0 * np.exp(steps.cumsum()), index=pd.bdate_range("2020-01-01", periods=600))
ways = {
    "KST": lambda close: KSTIndicator(close).kst(),
    "TRIX": lambda close: TRIXIndicator(close).trix(),
    "DPO": lambda close: DPOIndicator(close).dpo(),
    "Vortex": lambda close: VortexIndicator(close * 1.01, close * 0.99, close).vortex_indicator_pos(),
}
found = {}
for name, way in ways.items():
    early, whole = way(close.iloc[:300]).to_numpy(), way(close).to_numpy()[:300]
    rows = np.flatnonzero(~np.isclose(early, whole, equal_nan=True))
    found[name] = (len(rows), int(rows[0]) if len(rows) else None)
    print(f"ta {version('ta')}, {name}: {len(rows)} of 300 rows differ", f"from row {rows[0]} on" if len(rows) else "")
sys.exit(found != {"KST": (30, 14), "TRIX": (0, None), "DPO": (0, None), "Vortex": (0, None)})
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q ta==0.11.0 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
