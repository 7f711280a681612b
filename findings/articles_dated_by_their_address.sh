#!/bin/sh
# newspaper4k 0.9.6: an article whose address has a day is dated midnight of it, whatever the page states; zones go.
#
# `publish_date` of ".../2020/03/02/acme-results" is 2020-03-02 00:00, though JSON-LD, meta data and the time shown all
# state 16:45 in New York, after the close: a look-ahead of a whole session, and without a zone, so that it passes for
# a stamp like the others. Of an address and a page that state different days the address is believed.
# Without a day in the address the stated time comes, but "EST" and "ET" are dropped from it and "GMT+8" has its sign
# turned; where the JSON-LD tells of the web site too, the day the site began is taken for that of the article; and a
# page that states a change alone, without a publication, is dated by the change.
# Seen on 2026-11-30, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
import warnings
from importlib.metadata import version

warnings.simplefilter("ignore")
import newspaper

TEXT = "<p>" + 20 * "Acme reports its results, revenue rose and margins fell. " + "</p>"
STATED = "2020-03-02T16:45:00-05:00"
META = '<meta property="article:{}_time" content="{}">'
LINKED = '<script type="application/ld+json">{{{}"@type": "NewsArticle", "datePublished": "' + STATED + '"}}{}</script>'
SITE = '"@graph": [{"@type": "WebSite", "datePublished": "2015-01-01T00:00:00Z"}, {'
SHOWN = f'<time itemprop="datePublished" datetime="{STATED}">published</time>'
PLAIN, DATED = "https://news.example.com/acme-results", "https://news.example.com/2020/03/{:02}/acme-results"


def dated(address, head, shown=""):
    article = newspaper.Article(address)
    article.download(input_html=f"<html><head><title>Acme</title>{head}</head><body>{shown}{TEXT}</body></html>")
    article.parse()
    return str(article.publish_date)


all_three = LINKED.format("", "") + META.format("published", STATED)
expected = {
    "no day in the address": "2020-03-02 16:45:00-05:00",
    "day in the address": "2020-03-02 00:00:00",
    "another day in the address": "2020-03-05 00:00:00",
    "March 2, 2020 4:45 PM EST": "2020-03-02 16:45:00",
    "2020-03-02 16:45 GMT+8": "2020-03-02 16:45:00-08:00",
    "web site and article": "2015-01-01 00:00:00+00:00",
    "changed alone": "2021-05-06 08:30:00-05:00",
}
found = {
    "no day in the address": dated(PLAIN, all_three, SHOWN),
    "day in the address": dated(DATED.format(2), all_three, SHOWN),
    "another day in the address": dated(DATED.format(5), all_three, SHOWN),
    **{text: dated(PLAIN, META.format("published", text)) for text in list(expected)[3:5]},
    "web site and article": dated(PLAIN, LINKED.format(SITE, "]}")),
    "changed alone": dated(PLAIN, META.format("modified", "2021-05-06T08:30:00-05:00")),
}
for name, date in found.items():
    print(f"newspaper4k {version('newspaper4k')}, {name}: {date}")
sys.exit(found != expected)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q newspaper4k==0.9.6 python-dateutil==2.9.0.post0
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
