#!/bin/sh
# pyarrow 26.0.1: a join as of a time with a tolerance of an hour takes the row of the hour to come.
#
# `Table.join_asof` lays on each row of the left the nearest one of the right "as of" its time. pandas, polars and
# duckdb look back, and a tolerance says how far. Here its sign is the direction: minus 3,600 seconds looks back an
# hour, and plus 3,600, which a hand used to pandas writes, looks ahead an hour and never back. Where both tables have a
# row at the same time they agree, so that a test of matching times passes; on true news a bar gets the article that
# follows it.
# Seen on 2026-12-01, Python 3.11, pandas 3.1.1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys

import pandas as pd
import pyarrow as pa

HOUR = 3600
bars = {"at": [10 * HOUR, 11 * HOUR], "symbol": ["A", "A"]}
news = {"at": [9 * HOUR + 1800, 10 * HOUR + 1800, 11 * HOUR], "symbol": ["A"] * 3, "article": ["9:30", "10:30", "11:00"]}
found = {}
for tolerance in (HOUR, -HOUR):
    joined = pa.table(bars).join_asof(pa.table(news), on="at", by="symbol", tolerance=tolerance)
    found[tolerance] = joined["article"].to_pylist()
    print(f"pyarrow {pa.__version__}, tolerance {tolerance}: bars of 10:00 and 11:00 get {found[tolerance]}")
joined = pd.merge_asof(pd.DataFrame(bars), pd.DataFrame(news), on="at", by="symbol", tolerance=HOUR)
found["pandas"] = joined["article"].tolist()
print(f"pandas {pd.__version__}, tolerance {HOUR}: bars of 10:00 and 11:00 get {found['pandas']}")
back = ["9:30", "11:00"]
sys.exit(found != {HOUR: ["10:30", "11:00"], -HOUR: back, "pandas": back})
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6
if ! "$folder/venv/bin/python" "$folder/ask.py"; then
    echo "no longer"
    exit 1
fi
echo "as found"
