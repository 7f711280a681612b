#!/bin/sh
# exchange_calendars 4.13.2: Seoul's late days end in 2020, and Singapore has no half days; nor has HKEX of
# pandas_market_calendars 5.5.0.
#
# On the day of the national university entrance exam Korea's exchange opens at 10:00 and closes at 16:30, an hour late.
# XKRX knows that of each year up to 2020 and of none since (2021-11-18, 2022-11-17, 2023-11-16, 2024-11-14 and
# 2025-11-13): the day's bar is taken to be known an hour before the close, and an order at the open to be filled an
# hour before anybody could trade. One would think that a rule of thirteen years goes on; `late_opens` tells of none.
# Singapore closes at noon before Christmas, New Year and the lunar new year; XSES has no early close in any year. XHKG
# has Hong Kong's, the calendar "HKEX" of the other package none: it trades in the afternoon of 24 and 31 December.
# Seen on 2026-11-30, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
import warnings
from importlib.metadata import version

warnings.simplefilter("ignore")
import exchange_calendars
import pandas_market_calendars

told = f"exchange_calendars {version('exchange_calendars')}"
seoul = exchange_calendars.get_calendar("XKRX", start="2008-01-02", end="2025-12-31")
hours = seoul.schedule[["open", "close"]].apply(lambda each: each.dt.tz_convert(seoul.tz).dt.strftime("%H:%M"))
autumn = hours[hours.index.month >= 11]
late = autumn[(autumn["open"] == "10:00") & autumn["close"].isin(["16:00", "16:30"])]
years = sorted(set(late.index.year))
print(f"{told}, XKRX: late days in November or December of {years[0]} to {years[-1]}, {len(years)} years")
exams = ["2021-11-18", "2022-11-17", "2023-11-16", "2024-11-14", "2025-11-13"]
since = {tuple(hours.loc[day]) for day in exams}
print(f"{told}, XKRX on the exam days since: {sorted(since)}; {len(seoul.late_opens)} late opens told of")
early = {
    code: len(exchange_calendars.get_calendar(code, start="2010-01-04", end="2025-12-31").early_closes)
    for code in ("XSES", "XHKG")
}
hkex = pandas_market_calendars.get_calendar("HKEX")
early["HKEX"] = len(hkex.early_closes(hkex.schedule("2010-01-04", "2025-12-31")))
print(f"{told}, early closes of 2010 to 2025: XSES {early['XSES']}, XHKG {early['XHKG']}")
print(f"pandas_market_calendars {version('pandas_market_calendars')}, HKEX {early['HKEX']}")
ok = years == list(range(2008, 2021)) and since == {("09:00", "15:30")} and len(seoul.late_opens) == 0
sys.exit(not ok or early != {"XSES": 0, "XHKG": 32, "HKEX": 0})
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q exchange_calendars==4.13.2 pandas_market_calendars==5.5.0 pandas==3.0.3
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
