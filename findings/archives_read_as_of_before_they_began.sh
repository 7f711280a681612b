#!/bin/sh
# deltalake 1.6.6: "as of" a time before the table was begun is its first version, and a copy has no past at all.
#
# An archive kept as a Delta table is asked what it held at a point in time by `load_as_version(time)`. Of a time before
# its first commit, 1999, say, one would expect an error or no rows; it answers with version 0. Times of commits are
# those of the log's files, not those that the log states and `history()` tells: after a copy that does not keep file
# times (a download, a checkout) every time before the copy is "before the first commit", and a backtest that steps
# through the years is given version 0 in each.
# Rows come back with the latest append first: to drop repeats and keep the last keeps the row that was revised.
# Seen on 2026-11-30, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import shutil
import sys
import time
from datetime import datetime, timezone

import deltalake
import pandas as pd

table, copy = f"{sys.argv[1]}/table", f"{sys.argv[1]}/copy"
asked = {"in 1999": "1999-01-01T00:00:00Z"}
for number, earnings in enumerate((1.0, 1.2, 0.7)):
    row = pd.DataFrame({"day": ["2024-03-31"], "earnings": [earnings]})
    deltalake.write_deltalake(table, row, mode="append")
    time.sleep(1.1)
    asked[f"after version {number}"] = datetime.now(timezone.utc)
    time.sleep(1.1)
shutil.copytree(table, copy, copy_function=shutil.copyfile)
told, found = f"deltalake {deltalake.__version__}", {}
for name, at in asked.items():
    for where in (table, copy):
        loaded = deltalake.DeltaTable(where)
        loaded.load_as_version(at)
        found.setdefault(name, []).append(loaded.version())
    print(f"{told}, as of {name}: version {found[name][0]} of the table, {found[name][1]} of its copy")
history = [[each["timestamp"] for each in deltalake.DeltaTable(where).history()] for where in (table, copy)]
print(f"{told}: history() of the copy is", "that of the table" if history[0] == history[1] else "another")
rows = deltalake.DeltaTable(table).to_pandas()
kept = float(rows.drop_duplicates("day", keep="last")["earnings"].iloc[0])
print(f"{told}: rows as read back {rows['earnings'].tolist()}, the last is {kept}")
expected = {"in 1999": [0, 0], "after version 0": [0, 0], "after version 1": [1, 0], "after version 2": [2, 0]}
sys.exit(found != expected or history[0] != history[1] or rows["earnings"].tolist() != [0.7, 1.2, 1.0] or kept != 1.0)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q deltalake==1.6.6 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
"$folder/venv/bin/python" "$folder/ask.py" "$folder"
echo "as found"
