#!/bin/sh
# exchange_calendars 4.13.2: Bombay's evening of Diwali is a whole trading day up to 2012 and no session from then on.
#
# On Diwali the Indian exchanges are shut and open for about an hour in the evening (Muhurat trading), which gives each
# year a bar of its own. XBOM has the weekday ones up to 2012 as sessions from 9:15 to 15:30, so that the bar is taken
# to open hours before anybody could trade, and those from 2014 on not at all, so that the bars of those days belong to
# no session. The package holidays, which tells closed days only, calls all of them shut.
# Seen on 2026-11-30, Python 3.11, holidays 0.109.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
from importlib.metadata import version

import exchange_calendars
import holidays

bombay = exchange_calendars.get_calendar("XBOM", start="2010-01-04", end="2018-12-31")
shut = holidays.financial_holidays("XBOM", years=range(2010, 2019))
found = []
for day, name in sorted(shut.items()):
    if "Lakshmi Puja" not in name or day.weekday() > 4:
        continue
    hours = ""
    if bombay.is_session(str(day)):
        ends = (bombay.session_open(str(day)), bombay.session_close(str(day)))
        hours = " to ".join(f"{end.tz_convert('Asia/Kolkata'):%H:%M}" for end in ends)
    found.append((str(day), hours))
    print(f"exchange_calendars {version('exchange_calendars')}, {day}: {hours or 'no session'}")
whole = "09:15 to 15:30"
expected = [("2010-11-05", whole), ("2011-10-26", whole), ("2012-11-13", whole)]
expected += [(day, "") for day in ("2014-10-23", "2015-11-11", "2017-10-19", "2018-11-07")]
sys.exit(found != expected)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q exchange_calendars==4.13.2 holidays==0.109 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
