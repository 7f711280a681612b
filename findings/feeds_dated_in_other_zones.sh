#!/bin/sh
# feedparser 6.0.14: `published_parsed` is said to be UTC, but zones outside North America are passed over, unsaid.
#
# News feeds date their items in the way of mail: "Mon, 02 Mar 2026 08:30:00 EST". The four American zones are read
# right. Any other name is taken for UTC: an item of Sao Paulo ("BRT") counts from three hours before it was published,
# a look-ahead; of Tokyo ("JST") from nine hours after. Written as a date of ISO 8601 and a zone, "2026-03-02 08:30
# JST", the item keeps its day alone and counts from midnight; "2026-03-02T08:30:00 EST" from 08:30 UTC, five hours
# early. None of them is marked: `bozo` stays false. Offsets ("+0900") are read right, in both ways of writing.
# Seen on 2026-11-30, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys

import feedparser

PAGE = (
    '<?xml version="1.0"?><rss version="2.0"><channel><title>x</title>'
    "<item><title>a</title><pubDate>{}</pubDate></item></channel></rss>"
)
expected = {
    "Mon, 02 Mar 2026 08:30:00 EST": "2026-03-02 13:30",
    "Mon, 02 Mar 2026 08:30:00 +0900": "2026-03-01 23:30",
    "2026-03-02T08:30:00+09:00": "2026-03-01 23:30",
    "Mon, 02 Mar 2026 08:30:00 BRT": "2026-03-02 08:30",
    "Mon, 02 Mar 2026 08:30:00 CET": "2026-03-02 08:30",
    "Mon, 02 Mar 2026 08:30:00 JST": "2026-03-02 08:30",
    "2026-03-02 08:30 JST": "2026-03-02 00:00",
    "2026-03-02T08:30:00 EST": "2026-03-02 08:30",
}
found = {}
for written in expected:
    page = feedparser.parse(PAGE.format(written))
    year, month, day, hour, minute = page.entries[0].published_parsed[:5]
    found[written] = f"{year}-{month:02}-{day:02} {hour:02}:{minute:02}"
    print(f"feedparser {feedparser.__version__}: {written!r} is {found[written]} UTC, bozo {bool(page.bozo)}")
    if page.bozo:
        sys.exit(1)
sys.exit(found != expected)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q feedparser==6.0.14
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
