#!/bin/sh
# duckdb 2.0.0: what time a row of a CSV file was published depends on which other columns are asked for.
#
# A file of news has stamps with offsets, "2024-07-02T20:30:00-04:00"; duckdb finds that they are instants, TIMESTAMP
# WITH TIME ZONE, and tells so by DESCRIBE. Cast to TIMESTAMP or DATE with the session in UTC they should be the UTC
# time, 00:30 of 3 July, and so they are from a table, from parquet, or if the column itself stands beside the cast or
# sorts the rows. Alone, the cast is pushed down into the reader, which reads the text anew as a plain stamp and drops
# the offset: 20:30 of 2 July, four hours before it was published, a look-ahead; Tokyo's rows are nine hours late. So
# `SELECT title, published::TIMESTAMP` and `SELECT *, published::TIMESTAMP` differ; a filter "before 3 July" finds one
# row and shows stamps of 2 July if it says so by the column, and the days of a list are not those of a count by day.
# Seen on 2026-11-30, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
from datetime import datetime
from pathlib import Path

import duckdb

file = Path(sys.argv[1]) / "news.csv"
file.write_text("title,published\nNew York,2024-07-02T20:30:00-04:00\nTokyo,2024-07-02T09:30:00+09:00\n")
base = duckdb.connect()
base.execute("SET TimeZone = 'UTC'")


def ask(query: str) -> list[tuple]:
    rows = base.execute(query.replace("FILE", f"'{file}'")).fetchall()
    print(f"duckdb {duckdb.__version__}: {query}", *rows, sep="\n    ")
    return rows


UTC = [datetime(2024, 7, 3, 0, 30), datetime(2024, 7, 2, 0, 30)]
WALL = [datetime(2024, 7, 2, 20, 30), datetime(2024, 7, 2, 9, 30)]
assert ask("DESCRIBE SELECT published FROM FILE")[0][1] == "TIMESTAMP WITH TIME ZONE"
base.execute(f"CREATE TABLE kept AS SELECT * FROM '{file}'")
assert [row[-1] for row in ask("SELECT title, published::TIMESTAMP FROM kept")] == UTC
assert [row[-1] for row in ask("SELECT *, published::TIMESTAMP FROM FILE")] == UTC
alone = [row[-1] for row in ask("SELECT title, published::TIMESTAMP FROM FILE")]
days = sorted(str(row[0]) for row in ask("SELECT published::DATE FROM FILE"))
counted = sorted(str(row[0]) for row in ask("SELECT published::DATE, count(*) FROM FILE GROUP BY 1"))
sys.exit(alone != WALL or days != ["2024-07-02"] * 2 or counted != ["2024-07-02", "2024-07-03"])
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile duckdb==2.0.0 pytz==2026.6
"$folder/venv/bin/python" "$folder/ask.py" "$folder"
echo "as found"
