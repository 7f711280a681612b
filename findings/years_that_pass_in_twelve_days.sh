#!/bin/sh
# polars 2.1.0 and duckdb 2.0.0: twelve months in American form are twelve days of January.
#
# Monthly figures are dated by the first of the month, and American files write it "02/01/2024". pandas reads February.
# The other two readers, which find dates by themselves (`try_parse_dates=True`; duckdb by default), read the day first:
# 1 January to 12 January. A daily file of the same form gives itself away on the thirteenth, and polars leaves it as
# text; a monthly one never does, so that what works for prices moves twelve months of macro figures to the first days
# of the year, up to eleven months before they were known.
# Seen on 2026-11-30, Python 3.11, pandas 3.1.1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl

file = Path(sys.argv[1]) / "cpi.csv"
file.write_text("month,cpi\n" + "".join(f"{month:02d}/01/2024,{300 + month}\n" for month in range(1, 13)))
read = {
    "pandas": pd.read_csv(file, parse_dates=["month"])["month"].dt.date.tolist(),
    "polars": pl.read_csv(file, try_parse_dates=True)["month"].to_list(),
    "duckdb": [row[0] for row in duckdb.sql(f"SELECT month FROM '{file}'").fetchall()],
}
for name, days in read.items():
    print(f"{name} {sys.modules[name].__version__}: {', '.join(map(str, days))}")
file.write_text("day,close\n01/12/2024,1.0\n01/16/2024,1.1\n")
daily = pl.read_csv(file, try_parse_dates=True)["day"].dtype
print(f"polars {pl.__version__}: a daily file is left as {daily}")
spans = {name: (days[-1] - days[0]).days for name, days in read.items()}
sys.exit(spans != {"pandas": 335, "polars": 11, "duckdb": 11} or daily != pl.String)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile polars==2.1.0 duckdb==2.0.0 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" "$folder/ask.py" "$folder"
echo "as found"
