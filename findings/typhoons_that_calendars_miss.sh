#!/bin/sh
# exchange_calendars 4.13.2 and pandas_market_calendars 5.5.0: neither knows all days on which Hong Kong stayed closed
# for a storm, and each knows some that the other does not.
#
# Hong Kong did not trade at all on 2020-10-13, 2021-10-13, 2023-09-01, 2023-09-08 and 2024-09-06 (typhoons Nangka,
# Kompasu, Saola and Yagi, and the rain of September 2023). The first calendar has sessions on 2023-09-01 and
# 2023-09-08; the second on the other three, and on 2021-04-06, the holiday after Easter. Both agree on New York,
# London and Shanghai from 2000 on. Whoever takes the union of both for sessions sees gaps in good data; whoever fills
# them with the close before trades on days that never were.
# Seen on 2026-11-30, Python 3.11, sessions of 2018 to 2025.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
from importlib.metadata import version

import exchange_calendars
import pandas_market_calendars

first = exchange_calendars.get_calendar("XHKG", start="2018-01-01", end="2025-12-31").sessions
second = pandas_market_calendars.get_calendar("HKEX").valid_days("2018-01-01", "2025-12-31").tz_localize(None)
found = [[f"{day:%Y-%m-%d}" for day in days] for days in (first.difference(second), second.difference(first))]
print(f"exchange_calendars {version('exchange_calendars')} alone: {found[0]}")
print(f"pandas_market_calendars {version('pandas_market_calendars')} alone: {found[1]}")
sys.exit(found != [["2023-09-01", "2023-09-08"], ["2020-10-13", "2021-04-06", "2021-10-13", "2024-09-06"]])
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q exchange_calendars==4.13.2 pandas_market_calendars==5.5.0 pandas==3.1.1
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
