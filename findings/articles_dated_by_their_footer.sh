#!/bin/sh
# htmldate 1.11.0: an article without a date gets the first of January of the year in its footer, or a day in its text.
#
# `find_date` is what crawlers of news (trafilatura among them) date articles by. Where a page states no date it
# searches on by default: a footer "(c) 2020" makes 2020-01-01, up to a year before the article came out, a look-ahead;
# a day that the text speaks of, of a merger to be closed, say, is taken for the day of publication. Nothing tells these
# from dates that were stated. With `extensive_search=False` the first page has no date, which is right.
# And where a page states both, the default is the day it was last changed: `original_date=True` asks for the first.
# Seen on 2026-11-30, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
from importlib.metadata import version

from htmldate import find_date

FOOTER = "<html><body><p>Acme reports its results.</p><footer>&copy; 2020 Acme</footer></body></html>"
TEXT = "<html><body><p>Acme buys Initech. The merger closes on 2020-06-30.</p></body></html>"
STATED = (
    '<html><head><meta property="article:published_time" content="2020-03-02T08:30:00-05:00">'
    '<meta property="article:modified_time" content="2021-05-06T08:30:00-05:00"></head><body><p>Acme</p></body></html>'
)
found = {
    "footer alone": find_date(FOOTER),
    "footer alone, the first date": find_date(FOOTER, original_date=True),
    "footer alone, no further search": find_date(FOOTER, extensive_search=False),
    "a day of the text": find_date(TEXT, original_date=True),
    "both stated": find_date(STATED),
    "both stated, the first date": find_date(STATED, original_date=True),
}
for name, day in found.items():
    print(f"htmldate {version('htmldate')}, {name}: {day}")
sys.exit(list(found.values()) != ["2020-01-01", "2020-01-01", None, "2020-06-30", "2021-05-06", "2020-03-02"])
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q htmldate==1.11.0
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
