#!/bin/sh
# duckdb 2.0.0: a CSV file of AT&T and Ford has no tickers but truth values, and one of INF trades on 9999-12-31.
#
# The reader finds types by what the first rows could be. "T" and "F" could be true and false, and so a file of those
# two shares, or one file a share, has a BOOLEAN column: written on to parquet, or joined as text to a table of names,
# the tickers are "true" and "false" and find nothing. TRUE (TrueCar) goes the same way, NAN (a fund) becomes a missing
# number and INF a day, infinity, which Python shows as 31 December 9999. With any other ticker among the first rows all
# is text, so that a test with AAPL passes; where AAPL comes after them, `ignore_errors` hands out all rows but its own,
# while `count(*)` counts it. pandas has T and F as text.
# Seen on 2026-11-30, Python 3.11, pandas 3.1.1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import io
import sys
from pathlib import Path

import duckdb
import pandas as pd

file, base, found, beside = Path(sys.argv[1]) / "bars.csv", duckdb.connect(), {}, {}
base.execute("CREATE TABLE names AS SELECT * FROM (VALUES ('T', 'AT&T'), ('F', 'Ford'), ('AAPL', 'Apple')) AS n (ticker, name)")
for tickers in ("T F", "T", "TRUE", "INF", "T F AAPL"):
    text = "ticker,close\n" + "".join(f"{ticker},17.5\n" for ticker in tickers.split())
    file.write_text(text)
    kind = base.execute(f"SELECT DISTINCT typeof(ticker) FROM '{file}'").fetchone()[0]
    joined = base.execute(f"SELECT count(*) FROM '{file}' AS b JOIN names AS n ON b.ticker::VARCHAR = n.ticker").fetchone()[0]
    found[tickers] = (kind, joined)
    beside[tickers] = [str(ticker) for ticker in pd.read_csv(io.StringIO(text))["ticker"]] == tickers.split()
    print(f"duckdb {duckdb.__version__}: {tickers!r} are {kind}, {joined} found by name; pandas keeps the text: {beside[tickers]}")
file.write_text("ticker,close\n" + "T,17.5\nF,12.5\n" * 15_000 + "AAPL,230.0\n")
READ = f"FROM read_csv('{file}', ignore_errors=true)"
late = (base.execute(f"SELECT count(*) {READ}").fetchone()[0], len(base.execute(f"SELECT ticker {READ}").fetchall()))
print(f"duckdb {duckdb.__version__}: with ignore_errors count(*) finds {late[0]} rows, the last of AAPL, and hands out {late[1]}")
WANTED = {
    "T F": ("BOOLEAN", 0), "T": ("BOOLEAN", 0), "TRUE": ("BOOLEAN", 0), "INF": ("DATE", 0), "T F AAPL": ("VARCHAR", 3),
}
sys.exit(found != WANTED or late != (30_001, 30_000) or not beside["T F"])
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile duckdb==2.0.0 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" "$folder/ask.py" "$folder"
echo "as found"
