#!/bin/sh
# QuantLib 1.44: its exchanges of India and Singapore have no holidays by the moon from 2015 to 2018, and all others do.
#
# Such holidays are written down year by year. One checks the first years and the last and takes those between for
# known. India's National Stock Exchange knows them up to 2014 and from 2019 on, Singapore's exchange too (and lacks
# 2011): in the four years between there is no Diwali, no Lunar New Year and no end of Ramadan, nothing raises and
# nothing marks the gap. Day counts, settlement days and expiries of those years are wrong, and each year has five to
# eleven sessions that never were. China, Taiwan and Korea are written down without such a hole.
# Seen on 2026-12-01, Python 3.11; the days that both markets were shut are of exchange_calendars 4.13.2.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys

import exchange_calendars
import pandas as pd
import QuantLib

found = {}
for name, code, asked in (
    ("India (NSE)", "XBOM", QuantLib.India(QuantLib.India.NSE)),
    ("Singapore (SGX)", "XSES", QuantLib.Singapore(QuantLib.Singapore.SGX)),
):
    told = exchange_calendars.get_calendar(code, start="2012-01-01", end="2020-12-31")
    missed = pd.Series(0, index=range(2012, 2021))
    for day in pd.bdate_range("2012-01-03", "2020-12-31"):
        if not told.is_session(day) and asked.isBusinessDay(QuantLib.Date(day.day, day.month, day.year)):
            missed[day.year] += 1
    found[code] = missed
    print(f"QuantLib {QuantLib.__version__}, {name}: days of a shut market that it trades on, {missed.to_dict()}")
diwali = QuantLib.India().isBusinessDay(QuantLib.Date(7, 11, 2018)), QuantLib.India().isBusinessDay(QuantLib.Date(28, 10, 2019))
new_year = [QuantLib.Singapore().isBusinessDay(QuantLib.Date(day, 2, year)) for day, year in ((16, 2018), (5, 2019))]
print(f"a business day: Diwali of 2018 {diwali[0]}, of 2019 {diwali[1]};",
      f"Lunar New Year in Singapore 2018 {new_year[0]}, 2019 {new_year[1]}")
hole = all(found[code].loc[2015:2018].min() >= 5 for code in found)
around = all(found[code].loc[[2012, 2013, 2019]].max() == 0 for code in found)
sys.exit(not hole or not around or diwali != (True, False) or new_year != [True, False])
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile QuantLib==1.44 exchange_calendars==4.13.2 pandas==3.0.3 numpy==2.4.6
if ! "$folder/venv/bin/python" "$folder/ask.py"; then
    echo "no longer"
    exit 1
fi
echo "as found"
