#!/bin/sh
# pandas 3.1.1 with numpy 2.4.6: which shares a ranking by tied scores buys depends on the processor, not on the data.
#
# Scores of word lists are small whole numbers, so that many shares are tied where a portfolio of the best 20 is cut. That
# sort_values by one column is not a stable sort is known; one would still expect the same rows from the same versions
# and the same data. The ties are left in the order of whichever vector instructions numpy finds as it starts, and plain
# x86-64 has another one than AVX2: a backtest buys other shares when its job moves to another kind of machine, and no
# version, seed or hash of the data tells why. Stamps (datetime64) are sorted without vectors and do not show it, so that
# half of the same script stays as it was. With kind="stable" the order is that of the rows everywhere. Needs x86-64 with
# AVX2, which is switched off once through numpy's own variable.
# Seen on 2026-12-01, Python 3.11: of the best 20 shares 5 are others, none by stamp and none by a stable sort.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import numpy as np
import pandas as pd

rng = np.random.default_rng(3)
shares = pd.DataFrame({"score": rng.poisson(2.0, 500) - rng.poisson(2.0, 500), "share": range(500)})
shares["at"] = pd.Timestamp("2024-03-04 14:30", tz="UTC") + pd.to_timedelta(shares["score"], unit="min")
for key, kind in (("score", "quicksort"), ("at", "quicksort"), ("score", "stable")):
    best = shares.sort_values(key, ascending=False, kind=kind).head(20)
    print(*sorted(best["share"]))
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" "$folder/ask.py" > "$folder/here"
NPY_DISABLE_CPU_FEATURES="X86_V3" "$folder/venv/bin/python" "$folder/ask.py" > "$folder/plain"
cd "$folder"
cat > held.py <<'PY'
here, plain = ([set(line.split()) for line in open(name)] for name in ("here", "plain"))
apart = [len(one - other) for one, other in zip(here, plain, strict=True)]
print(f"of the best 20 shares others are {apart[0]} by score, {apart[1]} by stamp, {apart[2]} by a stable sort")
raise SystemExit(not (apart[0] > 0 and apart[1:] == [0, 0]))
PY
if ! "$folder/venv/bin/python" held.py; then
    echo "pandas and numpy no longer do so, or this processor has no AVX2"
    exit 1
fi
echo "as found"
