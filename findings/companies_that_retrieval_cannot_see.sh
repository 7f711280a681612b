#!/bin/sh
# bm25s 0.3.16: with its own tokens AT&T, tickers of one letter and every figure of one digit are not in the index.
#
# Tokens are words of two letters or digits and more, and common English words are left out. "AT&T" falls into "at",
# which is a common word, and "t", which is too short; Ford's F, Citigroup's C, "IT" and "ON" go the same way, and "3.5%"
# leaves nothing, so that two texts that differ in the figure alone are the same to it. A question made of such names
# has no token at all, and still gets its k hits. A token pattern that keeps what is not white space finds them.
# Seen on 2026-11-30, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys

import bm25s


def tokens(text: str, **how) -> list[str]:
    found = bm25s.tokenize([text], show_progress=False, **how)
    word_of = {number: word for word, number in found.vocab.items()}
    return [word_of[number] for number in found.ids[0]]


NEWS = ("AT&T (T) and Ford (F)", "Citigroup (C) on IT, ON and 3M", "Margin 3.5%", "Margin 4.2%")
found = {text: tokens(text) for text in NEWS}
for text, words in found.items():
    print(f"bm25s {bm25s.__version__}, {text!r}: {words}")
whole = tokens("AT&T 3.5%", stopwords=[], token_pattern=r"\S+")
print(f"bm25s {bm25s.__version__}, all that is not white space: {whole}")
expected = [["ford"], ["citigroup", "3m"], ["margin"], ["margin"]]
sys.exit(list(found.values()) != expected or whole != ["at&t", "3.5%"])
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q bm25s==0.3.16 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
