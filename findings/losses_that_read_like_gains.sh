#!/bin/sh
# rouge-score 0.1.2: a summary that turns a loss into a gain, or dollars into euros, gets full marks.
#
# ROUGE compares words, and everybody knows that it does not read. One would still think that other words cost. Its
# tokens are runs of Latin letters and digits: "-5%" and "5%" are one word, "$1.5bn" and "€1.5bn" are two same ones, so
# that summaries with the opposite figure score 1.0 by every variant, order and all. By the same rule "1,000" and "1000"
# share nothing, and digits of other figures can change places: by rouge1 an EPS of 3.5 is one of 5.3. As a reward, or
# to choose the best of several models for earnings news, it cannot see what moves the price.
# Seen on 2026-12-01, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
from importlib.metadata import version

from rouge_score import rouge_scorer

PAIRS = {
    "Profit -5% in the quarter": "Profit 5% in the quarter",
    "Revenue of $1.5bn": "Revenue of €1.5bn",
    "EPS of 3.5": "EPS of 5.3",
    "Cuts 1,000 jobs": "Cuts 1000 jobs",
}
kinds = ("rouge1", "rouge2", "rougeL")
scorer = rouge_scorer.RougeScorer(list(kinds))
found = []
for text, summary in PAIRS.items():
    told = scorer.score(text, summary)
    found.append([round(told[kind].fmeasure, 2) for kind in kinds])
    print(f"rouge-score {version('rouge-score')}, {text!r} for {summary!r}:", dict(zip(kinds, found[-1])))
sys.exit(found[:2] != 2 * [[1.0, 1.0, 1.0]] or found[2][0] != 1.0 or found[3][0] > 0.6)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile rouge-score==0.1.2
if ! "$folder/venv/bin/python" "$folder/ask.py"; then
    echo "no longer"
    exit 1
fi
echo "as found"
