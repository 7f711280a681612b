#!/bin/sh
# polars 2.1.0 and pandas 3.1.1: in a mean that fades with time the second article of an instant counts for nothing.
#
# News come in bursts, and dates without a time put all articles of a day on one instant. In a mean with a half-life one
# would give articles of the same instant the same say, or the later one the last word. `ewm_mean_by` of polars, and
# `ewm(times=..., adjust=False)` of pandas, mix each row in by the time that passed since the row before: after no time
# that is nothing at all. So of an upgrade and nine downgrades of one midnight the upgrade alone is heard, or one
# downgrade if that stands first: the order of the rows within the instant decides the sign. pandas by default
# (`adjust=True`) counts all ten.
# Seen on 2026-12-01, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
from datetime import datetime

import pandas as pd
import polars as pl

times = [datetime(2024, 1, 1)] + [datetime(2024, 1, 2)] * 10
found = {}
for name, burst in (("upgrade first", [1.0] + [-1.0] * 9), ("upgrade last", [-1.0] * 9 + [1.0])):
    scores = [0.0, *burst]
    rows = pl.DataFrame({"at": times, "score": scores})
    fading = pd.Series(scores)
    found[name] = tuple(
        round(float(value), 3)
        for value in (
            rows.select(pl.col("score").ewm_mean_by("at", half_life="1d")).to_series()[-1],
            fading.ewm(halflife="1D", times=pd.Series(times), adjust=False).mean().iloc[-1],
            fading.ewm(halflife="1D", times=pd.Series(times)).mean().iloc[-1],
        )
    )
    print(f"{name}: polars {pl.__version__} {found[name][0]}, pandas {pd.__version__} {found[name][1]},",
          f"by default {found[name][2]}")
sys.exit(found != {"upgrade first": (0.5, 0.5, -0.762), "upgrade last": (-0.5, -0.5, -0.762)})
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile polars==2.1.0 pandas==3.1.1 numpy==2.4.6
if ! "$folder/venv/bin/python" "$folder/ask.py"; then
    echo "no longer"
    exit 1
fi
echo "as found"
