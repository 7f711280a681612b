#!/bin/sh
# dateparser 1.5.0: a stamp in the basic form of ISO 8601 is read as German, and "ET" is New York's winter time in July.
#
# GDELT dates its articles "20240715T083000Z". `dateparser.parse`, which tries all its languages, takes "T" for Tage:
# the article is of 83,000 days ago, in the 18th century; one of midnight, "T000000Z", is of this very second, the time
# of the run, and without seconds of some weeks or years ago. Only told `languages=["en"]` it gives None. A date of ISO
# weeks, "2024-W29-1", a day of July, becomes one of January.
# American news end in "ET" all year. dateparser has one offset for it: 8:30 in July is read an hour late (13:30 UTC for
# 12:30), "PT" likewise, while "CT" keeps no zone at all and "MT" gives None. "IST" is Israel, also for India.
# Seen on 2026-11-30, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import os
import sys
import time
import warnings
from datetime import datetime, timedelta

os.environ["TZ"] = "UTC"
time.tzset()
warnings.simplefilter("ignore")
import dateparser

told = f"dateparser {dateparser.__version__}"
ago = {"20240715T083000Z": 83_000, "20240715T133000Z": 133_000, "20240115T000000Z": 0, "20240715T0830Z": 830}
ok = True
for text, days in ago.items():
    read = dateparser.parse(text)
    print(f"{told}, {text!r}: {read}, that is {days} days ago;", dateparser.parse(text, languages=["en"]), "in English")
    ok = ok and abs(read - (datetime.now() - timedelta(days))) < timedelta(minutes=5)
    ok = ok and dateparser.parse(text, languages=["en"]) is None
expected = {
    "2024-W29-1": "2024-01-29T00:00:00",
    "July 15, 2024 8:30 a.m. EDT": "2024-07-15T08:30:00-04:00",
    "July 15, 2024 8:30 a.m. ET": "2024-07-15T08:30:00-05:00",
    "July 15, 2024 8:30 a.m. PT": "2024-07-15T08:30:00-08:00",
    "2024-07-15 08:30 CT": "2024-07-15T08:30:00",
    "2024-07-15 08:30 IST": "2024-07-15T08:30:00+02:00",
}
found = {text: dateparser.parse(text).isoformat() for text in expected}
for text, read in found.items():
    print(f"{told}, {text!r}: {read}")
sys.exit(not ok or found != expected)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q dateparser==1.5.0
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
