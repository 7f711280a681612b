#!/bin/sh
# duckdb 2.0.0: which of two revisions an ASOF JOIN finds turns with how many rows are asked about in one query.
#
# Two rows of one instant, the first figure and its correction, in this order: pandas and polars join the later one, and
# in duckdb too a study over a year finds the correction. But up to 63 rows on the left the join is done another way,
# which keeps the first row: the same day asked about alone, as it is each evening once the study runs live, gets the
# figure that was withdrawn. No warning; both answers are steady, so that a test of a few rows and one of many each
# pass. Only a second condition that makes instants unique is safe.
# Seen on 2026-11-30, Python 3.11, pandas 3.1.1, one thread.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys

import duckdb
import pandas as pd

base = duckdb.connect()
base.execute("SET threads = 1")
base.execute("""CREATE TABLE figures AS SELECT * FROM (VALUES
    (TIMESTAMP '2024-04-01', 'first'), (TIMESTAMP '2024-05-01', 'withdrawn'), (TIMESTAMP '2024-05-01', 'corrected')
) AS rows (known, figure)""")
found = {}
for days in (1, 63, 64, 365):
    rows = base.execute(f"""SELECT asked.day, figures.figure
        FROM (SELECT TIMESTAMP '2024-05-02' + INTERVAL 1 DAY * i AS day FROM range({days}) AS r(i)) AS asked
        ASOF JOIN figures ON asked.day >= figures.known ORDER BY asked.day""").fetchall()
    found[days] = {figure for _, figure in rows}
    print(f"duckdb {duckdb.__version__}: {days} days asked about, each finds {found[days]}")
asked = pd.DataFrame({"day": pd.to_datetime(["2024-05-02"])})
figures = pd.DataFrame({"known": pd.to_datetime(["2024-05-01"] * 2), "figure": ["withdrawn", "corrected"]})
joined = pd.merge_asof(asked, figures, left_on="day", right_on="known")["figure"].item()
print(f"pandas {pd.__version__}: one day asked about, finds {joined}")
few, many = {"withdrawn"}, {"corrected"}
sys.exit(found != {1: few, 63: few, 64: many, 365: many} or joined != "corrected")
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile duckdb==2.0.0 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
