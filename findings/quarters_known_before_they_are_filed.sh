#!/bin/sh
# edgartools 5.62.1: twelve months "as of" a day hold a quarter that is filed a month later, and what is restated since.
#
# `facts.query().as_of(day)` keeps what was filed by that day, a point in time. One would take the `as_of` of `get_ttm`,
# on the same facts, for the same. It keeps the quarters that *ended* by that day: as of 31 March the first quarter is
# in, whose report comes in May, and a year that is restated in 2025 has its new figure in 2024 already.
# Seen on 2026-11-30, Python 3.11; the company and its facts are made here, in the form of the SEC's company facts.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import os
import sys
import warnings
from datetime import date
from importlib.metadata import version

warnings.simplefilter("ignore")
os.environ["EDGAR_LOCAL_DATA_DIR"] = sys.argv[1]
from edgar.entity.parser import EntityFactsParser

NAME = "us-gaap:Revenues"
REPORTS = (  # begins, ends, filed, fiscal year and period of the report, value in millions
    ("2023-01-01", "2023-03-31", "2023-05-05", 2023, "Q1", 100),
    ("2023-04-01", "2023-06-30", "2023-08-04", 2023, "Q2", 100),
    ("2023-07-01", "2023-09-30", "2023-11-03", 2023, "Q3", 100),
    ("2023-01-01", "2023-12-31", "2024-02-16", 2023, "FY", 400),
    ("2024-01-01", "2024-03-31", "2024-05-03", 2024, "Q1", 200),
)
RESTATED = ("2023-01-01", "2023-12-31", "2025-02-14", 2024, "FY", 340)  # beside its own year, in the report for 2024


def facts_of(rows):
    reported = [
        {
            "start": start, "end": end, "val": value * 1_000_000, "accn": f"0000000000-{filed[2:4]}-{number:06}",
            "fy": year, "fp": period, "form": "10-K" if period == "FY" else "10-Q", "filed": filed,
        }
        for number, (start, end, filed, year, period, value) in enumerate(rows)
    ]
    revenues = {"label": "Revenues", "description": "Revenues", "units": {"USD": reported}}
    document = {"cik": 1, "entityName": "Acme", "facts": {"us-gaap": {"Revenues": revenues}}}
    return EntityFactsParser.parse_company_facts(document)


told, found = f"edgartools {version('edgartools')}", []
for name, rows in (("as first filed", REPORTS), ("2023 restated in 2025", (*REPORTS, RESTATED))):
    facts = facts_of(rows)
    for day in (date(2024, 3, 30), date(2024, 3, 31)):
        months = facts.get_ttm(NAME, as_of=day)
        known = facts.query().by_concept(NAME).as_of(day).execute()
        found.append((months.value / 1e6, max(each.period_end for each in known).isoformat()))
        print(f"{told}, {name}, as of {day}: twelve months {found[-1][0]:g} million; last period filed {found[-1][1]}")
sys.exit(found != [(value, "2023-12-31") for value in (400.0, 500.0, 340.0, 440.0)])
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q edgartools==5.62.1
"$folder/venv/bin/python" "$folder/ask.py" "$folder"
echo "as found"
