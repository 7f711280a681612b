#!/bin/sh
# pandas_market_calendars 5.5.0: its EUREX keeps London's holidays, its ASX knows none before 2011; XEUR and XASX, in
# the same package, do.
#
# Eurex is shut on 24 and 31 December, and a Boxing Day at a weekend is not made up for. "EUREX" has sessions on both
# eves in each year since 2000 where they are weekdays, and shuts on the Monday, or Tuesday, after a Christmas at a
# weekend, as London does. "ASX" trades on Good Friday, Christmas and New Year's Day up to 2010. One would take "EUREX"
# and "XEUR", "ASX" and "XASX" for two names of one calendar, as "LSE" and "XLON" are here day by day; the second is
# mirrored from exchange_calendars. Of a daily series that is aligned to "EUREX" two days a year are made up of the
# close before, and true bars of the days after Christmas fall out.
# Seen on 2026-11-30, Python 3.11, exchange_calendars 4.13.2, days of 2007 to 2025.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
import warnings
from importlib.metadata import version

warnings.simplefilter("ignore")
import pandas_market_calendars


def days(name):
    return pandas_market_calendars.get_calendar(name).valid_days("2007-01-01", "2025-12-31").tz_localize(None)


found = {}
for name, code in (("EUREX", "XEUR"), ("ASX", "XASX"), ("LSE", "XLON")):
    first, second = days(name), days(code)
    found[name] = [f"{day:%Y-%m-%d}" for day in first.difference(second)]
    found[code] = [f"{day:%Y-%m-%d}" for day in second.difference(first)]
    for one, other in ((name, code), (code, name)):
        told = f"{one} trades on {len(found[one])} days on which {other} does not: {' '.join(found[one])}"
        print(f"pandas_market_calendars {version('pandas_market_calendars')}: {told}")
eves = [f"{year}-12-{day}" for year in range(2007, 2026) for day in (24, 31)]
weekend = {"2011", "2016", "2022", "2017", "2023"}  # 24 December on Saturday or Sunday
expected_eves = [day for day in eves if day[:4] not in weekend]
after = ["2009-12-28", "2010-12-27", "2010-12-28", "2011-12-27", "2015-12-28", "2016-12-27", "2020-12-28", "2021-12-27"]
after += ["2021-12-28", "2022-12-27"]
holy = {"2007-04-06", "2007-12-25", "2008-03-21", "2008-12-25", "2009-04-10", "2009-12-25", "2010-01-01", "2010-04-02"}
ok = found["EUREX"] == expected_eves and found["XEUR"] == after and holy <= set(found["ASX"])
ok = ok and max(found["ASX"]) == "2011-04-26" and not found["XASX"] and not found["LSE"] and not found["XLON"]
sys.exit(not ok)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pandas_market_calendars==5.5.0 exchange_calendars==4.13.2 pandas==3.1.1
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
