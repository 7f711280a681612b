#!/bin/sh
# thefuzz 0.22.1 and RapidFuzz 3.14.6: "Gap" is Singapore Airlines and "Meta" Metallus, as surely as Gap Inc and Meta.
#
# To link names in news to a list of companies one asks `process.extractOne`. Its score of a short name against a longer
# one is that of the best piece of the longer, wherever it begins: "gap" inside "sinGAPore" and "ford" inside "hartFORD"
# get 90, as the company itself does, since the word "Inc" costs the whole name the rest. Of equal scores the first in
# the list wins, so that the order of the list decides who is meant, and 90 is what most call safe. A company that is
# not on the list is linked all the same. RapidFuzz does so where case is folded; where it is not, "Meta" still finds
# "Metallus". `fuzz.token_set_ratio`, which compares whole words first, finds all three.
# Seen on 2026-12-01, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
from importlib.metadata import version

from rapidfuzz import process as rapid
from rapidfuzz import utils
from thefuzz import fuzz, process

LISTED = ["Singapore Airlines Ltd", "Hartford Financial", "Metallus Inc", "Ford Motor Co", "Gap Inc", "Meta Platforms"]
found = {}
for name in ("Gap", "Ford", "Meta"):
    best = process.extractOne(name, LISTED)
    folded = rapid.extractOne(name, LISTED, processor=utils.default_process)
    words = process.extractOne(name, LISTED, scorer=fuzz.token_set_ratio)
    found[name] = (best, folded[:2], rapid.extractOne(name, LISTED)[0], words[0])
    print(f"thefuzz {version('thefuzz')}, {name}: {best}, RapidFuzz {version('rapidfuzz')} {folded[:2]}; by words {words}")
absent = process.extractOne("Gap", [each for each in LISTED if each != "Gap Inc"])
print(f"Gap, which is not listed: {absent}")
expected = {"Gap": "Singapore Airlines Ltd", "Ford": "Hartford Financial", "Meta": "Metallus Inc"}
same = all(found[name][:2] == ((wrong, 90), (wrong, 90.0)) for name, wrong in expected.items())
right = [words for *_, words in found.values()] == ["Gap Inc", "Ford Motor Co", "Meta Platforms"]
sys.exit(not same or found["Meta"][2] != "Metallus Inc" or not right or absent != ("Singapore Airlines Ltd", 90))
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile thefuzz==0.22.1 RapidFuzz==3.14.6
if ! "$folder/venv/bin/python" "$folder/ask.py"; then
    echo "no longer"
    exit 1
fi
echo "as found"
