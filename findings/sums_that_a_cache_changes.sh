#!/bin/sh
# numba 0.68.1: with cache=True the process that compiles says other digits than every later one on the same machine.
#
# fastmath lets the compiler choose an order of sums, and one would expect it to choose once: what cache=True keeps is the
# machine code, so that the second process repeats the first to the bit. It does not where one compiled function calls
# another that sums so. Both libraries then hold a copy of the callee, each optimised in its own place. Right after
# compiling, the callee's own library is loaded too and its copy is taken; from the cache only the caller's is loaded,
# with the other copy. So the figures of a backtest move in their last digits when it is run a second time, or after
# something else in the process has called the callee, and hashes of results never agree between a fresh machine and a
# warm one. With inline="always" on the callee there is one copy and the bits stay.
# Which loops show it goes by the processor: this one does on x86-64 with AVX2, the kind that numba is told to compile for
# here; one of quotients and limits did with AVX-512 alone.
# Seen on 2026-12-01, Python 3.11, llvmlite 0.50.0: three processes say "a b b", inlined "c c".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/loops.py" <<'PY'
import os

import numba as nb
import numpy as np

inlined = {"inline": "always"} if os.environ.get("INLINED") else {}


@nb.njit(cache=True, fastmath=True, **inlined)
def score(said, good, out):
    total = 0.0
    for j in range(len(said)):
        value = np.exp(said[j]) * good[j] + np.sqrt(abs(said[j]))
        total += value
        out[j] = value / 3.0
    for j in range(len(said)):
        total += out[j] * out[j]
    return total


@nb.njit(cache=True, **({"fastmath": True} if inlined else {}))
def weights(said, good, out):
    for t in range(len(said)):
        total = score(said[t], good[t], out[t])
        total += score(good[t], said[t], out[t])
        for j in range(out.shape[1]):
            out[t, j] /= total
PY
cat > "$folder/ask.py" <<'PY'
import hashlib

import loops
import numpy as np

rng = np.random.default_rng(1)
said, good = rng.normal(size=(300, 480)), 1.0 + rng.random((300, 480))
out = np.zeros_like(said)
loops.weights(said, good, out)
print(hashlib.sha256(out.tobytes()).hexdigest()[:12])
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile numba==0.68.1 llvmlite==0.50.0 numpy==2.4.6
cd "$folder"
ask() { PYTHONPATH="$folder" NUMBA_CACHE_DIR="$folder/$1" INLINED="$2" NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES= \
    "$folder/venv/bin/python" ask.py; }
first=$(ask called ""); second=$(ask called ""); third=$(ask called "")
echo "numba 0.68.1, called: $first $second $third"
inlined=$(ask inlined yes); again=$(ask inlined yes)
echo "numba 0.68.1, inlined: $inlined $again"
if [ "$first" = "$second" ] || [ "$second" != "$third" ] || [ "$inlined" != "$again" ]; then
    echo "numba no longer does so"
    exit 1
fi
echo "as found"
