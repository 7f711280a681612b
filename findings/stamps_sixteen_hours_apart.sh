#!/bin/sh
# pandas 3.1.1: "GMT+0800" is eight hours ahead of London or eight behind it, by which of its readers is asked.
#
# JavaScript and many an Asian news site write "2024-07-15 08:30 GMT+0800". `pd.to_datetime` of a column finds out the
# form and reads 00:30 UTC, which is right. `pd.Timestamp`, `DatetimeIndex`, `astype`, and `to_datetime` with
# `format="mixed"`, which its own error advises as soon as one row is written otherwise, turn the sign round: 16:30 UTC.
# "GMT+8", without the zeros, is turned round by all of them. One would think that they differ in speed and in what they
# accept. New York's "GMT-0400" turned round is 04:30 UTC for news of 12:30: a look-ahead of eight hours.
# Seen on 2026-11-30, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
import warnings

warnings.simplefilter("ignore")
import pandas as pd

READERS = {
    "to_datetime": lambda text: pd.to_datetime(pd.Series([text]), utc=True)[0],
    "to_datetime, mixed": lambda text: pd.to_datetime(pd.Series([text]), utc=True, format="mixed")[0],
    "Timestamp": lambda text: pd.Timestamp(text).tz_convert("UTC"),
    "DatetimeIndex": lambda text: pd.DatetimeIndex([text]).tz_convert("UTC")[0],
    "astype": lambda text: pd.Series([text]).astype("datetime64[us, UTC]")[0],
}
expected = {
    "2024-07-15 08:30 +0800": ["00:30"] * 5,
    "2024-07-15 08:30 GMT+0800": ["00:30"] + ["16:30"] * 4,
    "2024-07-15 08:30 GMT+8": ["16:30"] * 5,
    "2024-07-15 08:30 GMT-0400": ["12:30"] + ["04:30"] * 4,
}
found = {}
for text in expected:
    found[text] = [f"{read(text):%H:%M}" for read in READERS.values()]
    told = ", ".join(f"{name} {hour}" for name, hour in zip(READERS, found[text]))
    print(f"pandas {pd.__version__}, {text!r} in UTC: {told}")
sys.exit(found != expected)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pandas==3.1.1 numpy==2.4.6 python-dateutil==4.0.0
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
