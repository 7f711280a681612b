#!/bin/sh
# pandas 3.1.1: to_datetime with a format of dates accepts the words "now" and "today" as the present instant, in the
# ISO8601 form too, so a column of times is read differently on every call; and "2024-01" as the first day of its month.
# Output seen: the present instant twice, then 2024-01-01 00:00:00. Expected of errors="coerce": NaT for the words.
# Exits 0 while that is so, non-zero once it changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "pandas==3.1.1"
"$folder/venv/bin/python" - <<'PYTHON'
import pandas as pd

print("pandas", pd.__version__)
word = pd.to_datetime(pd.Series(["now"]), format="%Y-%m-%d", errors="coerce").iloc[0]
iso = pd.to_datetime(pd.Series(["today"]), format="ISO8601", errors="coerce").iloc[0]
month = pd.to_datetime(pd.Series(["2024-01"]), format="ISO8601", errors="coerce").iloc[0]
print(word, iso, month, sep="\n")
assert not pd.isna(word) and not pd.isna(iso)
assert month == pd.Timestamp("2024-01-01")
PYTHON
