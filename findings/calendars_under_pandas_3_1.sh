#!/bin/sh
# exchange_calendars 4.13.2 under pandas 3.1.1 (its requirements allow it): sessions vanish without a word.
#
# pandas 3.1 calls `_add_datetime` and `_get_daily_offset_mask` of an offset where 3.0 called `_apply`, which is what
# exchange_calendars overrides for weeks that change and for holidays by other reckonings. So, against pandas 3.0.3,
#   XKRX loses every Saturday session of 1990 to 1998 (442), XBOM its two Saturdays of 2024 and 2025: no error;
#   XTAE from 2026-01-05 on is built, with Yom Kippur and Passover as sessions: no error;
#   XTAE from before that, and Athens, Bucharest, Belgrade and Nicosia in any year, cannot be built.
# Seen on 2026-11-29, Python 3.11:
#   pandas 3.0.3: XBOM 2/2 XKRX 442 XTAE-2026 [] XTAE-2025 built ASEX built XBSE built XBEL built XCYS built
#   pandas 3.1.1: XBOM 0/2 XKRX 0 XTAE-2026 [...] XTAE-2025 ValueError ASEX NotImplementedError ...
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
import warnings

warnings.simplefilter("ignore")
import exchange_calendars as xcals
import pandas as pd


def made(code, start, end):
    try:
        return xcals.get_calendar(code, start=start, end=end).sessions
    except Exception as failure:
        return type(failure).__name__


mumbai = made("XBOM", "2024-01-01", "2025-12-31")
seoul = made("XKRX", "1990-01-01", "1998-12-31")
tel_aviv = made("XTAE", "2026-01-05", "2026-12-31")
holy = [day for day in ("2026-04-02", "2026-09-21") if pd.Timestamp(day) in tel_aviv]  # Passover, Yom Kippur
told = {
    "XBOM": f"{sum(pd.Timestamp(day) in mumbai for day in ('2024-01-20', '2025-02-01'))}/2",
    "XKRX": str(sum(day.weekday() == 5 for day in seoul)),
    "XTAE-2026": str(len(holy)),
}
for name, code, start in (("XTAE-2025", "XTAE", "2025-01-01"), *((c, c, "2020-01-01") for c in ("ASEX", "XBSE", "XBEL", "XCYS"))):
    found = made(code, start, "2026-12-31")
    told[name] = found if isinstance(found, str) else "built"
print(f"pandas {pd.__version__}:", *(f"{name} {value}" for name, value in told.items()))
failed = {"XBSE", "XBEL", "XCYS", "ASEX"}
old = {"XBOM": "2/2", "XKRX": "442", "XTAE-2026": "0", "XTAE-2025": "built"} | dict.fromkeys(failed, "built")
new = {"XBOM": "0/2", "XKRX": "0", "XTAE-2026": "2", "XTAE-2025": "ValueError"} | dict.fromkeys(
    failed, "NotImplementedError"
)
sys.exit(told != (new if sys.argv[1] == "3.1.1" else old))
PY
for pandas in 3.0.3 3.1.1; do
    python3 -m venv "$folder/$pandas"
    "$folder/$pandas/bin/pip" install -q exchange_calendars==4.13.2 "pandas==$pandas"
    "$folder/$pandas/bin/python" "$folder/ask.py" "$pandas"
done
echo "as found"
