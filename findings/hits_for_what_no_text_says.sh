#!/bin/sh
# bm25s 0.3.16: a question that no text answers gets the last texts of the index, and so do all ties.
#
# `retrieve` always returns k hits. Where no word of the question is known, all scores are 0.0 and the hits are the last
# k rows; of texts that are word for word the same the later one comes first. An index of news lies in the order of
# time: what looks like retrieval is then "the newest", and an index that reaches too far answers from its far end.
# Only the score says so, and a k beyond the number of texts raises.
# Seen on 2026-11-30, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys

import bm25s

NEWS = [
    "2019: copper mine reopens",
    "2020: oil output rises",
    "2021: copper smelter shut by strike",
    "2022: bank raises outlook",
    "2023: retailer cuts outlook",
    "2023: retailer cuts outlook",
]
index = bm25s.BM25()
index.index(bm25s.tokenize(NEWS, show_progress=False), show_progress=False)
found = {}
for asked in ("copper", "uranium", "retailer"):
    hits, scores = index.retrieve(bm25s.tokenize([asked], show_progress=False), k=2, show_progress=False)
    found[asked] = (hits[0].tolist(), [round(float(score), 2) for score in scores[0]])
    print(f"bm25s {bm25s.__version__}, {asked!r}: rows {found[asked][0]}, scores {found[asked][1]}")
ok = found["uranium"] == ([5, 4], [0.0, 0.0]) and found["retailer"][0] == [5, 4] and sorted(found["copper"][0]) == [0, 2]
sys.exit(not ok)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q bm25s==0.3.16 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
